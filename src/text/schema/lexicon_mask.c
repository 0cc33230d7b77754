/* The masks of strings.
 *
 * A string of some kind looks the same wherever it stands: which tokens stay within it depends on its automaton's state
 * (or on the characters that are left) alone. What such a mask takes: the trie is walked in order, but for what is known
 * without it.
 *
 * - From most states on, some kinds of characters (bins) are welcome whatever came before, and some never are: plan() looks
 *   at the states that the welcome ones lead to. Tokens of those kinds alone may come exactly if none of the unwelcome is
 *   among them, which is told for all at once. Only what holds other kinds is walked.
 * - Elsewhere, below a place from where nothing that follows can leave the automaton, all tokens are taken at once. That
 *   is told from the node (the kinds below it, and how many characters there are at most) and the states they lead to. */
#include "text/schema/lexicon_inner.h"

#define ASK_MIN 2       /* children that make it worth asking what the states are that they lead to */
#define STATES 256      /* remembered, by number */
#define ANSWERS 1024    /* of safe(), likewise */
#define REACH 64        /* states, and characters, that safe() and plan() go through at most */
#define SAFE_WORK 60000 /* transitions they look at in one walk: some 50 us */
#define FOR_EVER 255u
#define ASTRAY_MAX 8 /* kinds */

/* Where the walk is: a string thread without what stays the same. In the middle of a character that the node knows, it is
 * where the character began. */
typedef struct place {
    uint32_t q, x;
    uint16_t n; /* characters */
    uint8_t phase;
    bool simple; /* all characters so far were welcome ones of the plan */
} place;

/* Kinds of characters, by bins, every one of which leads on from the state, leads nowhere, or leads to it again. */
typedef struct state_bins {
    uint32_t q;
    uint64_t live, dead, loop;
} state_bins;

typedef struct answer {
    uint32_t q, chars;
    uint64_t key;
} answer;

typedef struct walk {
    const wd_lexicon *l;
    const wd_str_shape *shape;
    wd_lex_walk trie;
    bool planned;            /* bit began as what the plan lets through */
    uint64_t welcome, never; /* kinds of the plan, for so many characters: */
    uint32_t plan_chars;
    uint8_t bin[128];
    bool aligned;                   /* tokens begin with a character, so that what their nodes know holds */
    place at[WD_LEX_TOKEN_MAX + 1]; /* by depth */
    uint64_t *bit;
    uint8_t *length;      /* [n_vocab] characters of each token that stays; NULL: not asked for */
    uint8_t *n_before;    /* [n_quote] 1 + characters before a quote that closes; 0: it does not */
    uint64_t *class_bins; /* [n_class] kinds that have characters of the class */
    uint32_t work;
    bool special[128];
    state_bins state[STATES];
    answer answer[ANSWERS];
} walk;

/* --- what may follow a state ------------------------------------------------------------------------------------------- */

/* Kinds of characters in each class. Escapes and quotes (bin 0) are always walked. */
static void find_class_bins(walk *w)
{
    const wd_dfa *d = w->shape->dfa;
    for (uint32_t b = 0x20; b < 0x80; b++)
        w->class_bins[d->ascii[b]] |= (uint64_t)1 << wd_lexicon__bin(b);
    for (uint32_t r = wd_dfa_range(d, 0x80); r < d->n_range; r++) {
        const uint32_t lo = WD_MAX(d->lo[r], 0x80u), hi = r + 1 < d->n_range ? d->lo[r + 1] - 1 : 0x10FFFFu;
        if (lo < 0xD800) /* surrogates are no characters */
            w->class_bins[d->cls[r]] |= wd_lexicon__bins(lo, WD_MIN(hi, 0xD7FFu));
        if (hi > 0xDFFF)
            w->class_bins[d->cls[r]] |= wd_lexicon__bins(WD_MAX(lo, 0xE000u), hi);
    }
}

static const state_bins *bins_of(walk *w, uint32_t q)
{
    const wd_dfa *d = w->shape->dfa;
    state_bins *s = &w->state[q % STATES];
    if (s->q == q)
        return s;
    *s = (state_bins){ .q = q, .live = ~(uint64_t)1, .dead = ~(uint64_t)1, .loop = ~(uint64_t)1 };
    const uint32_t *next = d->next + (size_t)q * d->n_class;
    for (uint32_t c = 0; c < d->n_class; c++) {
        if (next[c] == WD_DFA_DEAD)
            s->live &= ~w->class_bins[c];
        else
            s->dead &= ~w->class_bins[c];
        if (next[c] != q)
            s->loop &= ~w->class_bins[c];
    }
    return s;
}

/* The states that characters of these kinds lead to from q are added to seen [REACH]. False when those are too many. */
static bool add_next(walk *w, uint32_t q, uint64_t bins, uint32_t *seen, uint32_t *n_seen)
{
    const wd_dfa *d = w->shape->dfa;
    const uint32_t *next = d->next + (size_t)q * d->n_class;
    w->work += d->n_class;
    for (uint32_t c = 0; c < d->n_class; c++) {
        uint32_t k = 0;
        if (!(w->class_bins[c] & bins) || next[c] == WD_DFA_DEAD)
            continue;
        while (k < *n_seen && seen[k] != next[c])
            k++;
        if (k == REACH)
            return false;
        if (k == *n_seen)
            seen[(*n_seen)++] = next[c];
    }
    return true;
}

/* How many characters of these kinds can come from q on, whichever they are. Gives up early rather than late. */
static uint32_t safe(walk *w, uint32_t q, uint64_t bins)
{
    uint32_t seen[REACH] = { q }, n_seen = 1, from = 0, chars = 0;
    bool fits = true;
    for (; fits && chars < REACH; chars++) {
        const uint32_t to = n_seen;
        for (uint32_t i = from; i < to; i++)
            if (bins & ~bins_of(w, seen[i])->live)
                return chars;
        for (; from < to && fits; from++)
            fits = add_next(w, seen[from], bins, seen, &n_seen);
        if (fits && n_seen == to)
            return FOR_EVER;
    }
    return chars;
}

/* Kinds of `live` that lead from q to states where much of `live` and `dead` is otherwise: better no part of a plan than
 * its end. */
static uint64_t astray(walk *w, uint32_t q, uint64_t live, uint64_t dead)
{
    const wd_dfa *d = w->shape->dfa;
    const uint32_t *next = d->next + (size_t)q * d->n_class;
    uint64_t out = 0;
    for (uint32_t c = 0; c < d->n_class; c++) {
        const uint64_t bins = w->class_bins[c] & live;
        if (!bins || __builtin_popcountll(bins) > ASTRAY_MAX)
            continue;
        const state_bins *s = bins_of(w, next[c]);
        if (__builtin_popcountll((live & ~s->live) | (dead & ~s->dead)) > ASTRAY_MAX)
            out |= bins;
    }
    return out;
}

/* Kinds that are welcome, or never, in every state that the welcome ones lead to from q. */
static void plan(walk *w, uint32_t q)
{
    uint32_t seen[REACH] = { q }, n_seen = 1, from = 0, chars = 0;
    uint64_t live = ~(uint64_t)1, dead = ~(uint64_t)1;
    bool fits = true;
    for (; fits && chars < REACH; chars++) {
        const uint32_t to = n_seen;
        uint64_t on = live, off = dead;
        for (uint32_t i = from; i < to; i++) {
            on &= bins_of(w, seen[i])->live;
            off &= bins_of(w, seen[i])->dead;
        }
        if (chars && __builtin_popcountll((live & ~on) | (dead & ~off)) > ASTRAY_MAX)
            break; /* rather fewer characters, of more kinds */
        live = on;
        dead = off;
        for (uint32_t i = from; i < to; i++)
            live &= ~astray(w, seen[i], live, dead);
        for (; from < to && fits; from++)
            fits = add_next(w, seen[from], live, seen, &n_seen);
        if (fits && n_seen == to) {
            chars = FOR_EVER;
            break;
        }
    }
    w->plan_chars = chars;
    w->welcome = live;
    w->never = dead;
}

/* Stands for the bins in what is remembered: their classes, if those fit. */
static uint64_t key_of(const walk *w, uint64_t bins)
{
    uint64_t key = 0;
    const uint32_t n = w->shape->dfa->n_class;
    if (n > 64)
        return bins;
    for (uint32_t c = 0; c < n; c++)
        key |= (uint64_t)((w->class_bins[c] & bins) != 0) << c;
    return key;
}

/* Whether any `chars` characters of these kinds can come from q on. ask: also where it takes more than a look. */
static bool can_all(walk *w, uint32_t q, uint64_t bins, uint32_t chars, bool ask)
{
    if (bins & 1)
        return false;
    if (!w->shape->dfa)
        return true;
    const state_bins *s = bins_of(w, q);
    if (bins & ~s->live)
        return false;
    if (!(bins & ~s->loop) || chars <= 1)
        return true;
    if (!ask)
        return false;
    const uint64_t key = key_of(w, bins);
    answer *a = &w->answer[((q * 31 + key) * 0x9E3779B97F4A7C15u >> 32) % ANSWERS];
    if (a->q == q && a->key == key)
        return a->chars >= chars;
    if (w->work > SAFE_WORK)
        return false;
    *a = (answer){ .q = q, .chars = safe(w, q, bins), .key = key };
    return a->chars >= chars;
}

/* --- the walk ------------------------------------------------------------------------------------------------------------ */

static void put_token(walk *w, uint32_t token)
{
    w->bit[token / 64] |= (uint64_t)1 << token % 64;
}

static void take_token(walk *w, uint32_t token)
{
    w->bit[token / 64] &= ~((uint64_t)1 << token % 64);
}

/* The quote of the token that ends before `at`. */
static uint32_t quote_at(const wd_lexicon *l, uint32_t token, uint8_t at)
{
    uint32_t lo = 0, hi = l->n_quote;
    while (hi - lo > 1) {
        const uint32_t mid = lo + (hi - lo) / 2;
        const wd_lex_quote *q = &l->quote[l->quote_of[mid]];
        if (q->token < token || (q->token == token && q->at <= at))
            lo = mid;
        else
            hi = mid;
    }
    return l->quote_of[lo];
}

static void close_all(walk *w, uint32_t n)
{
    for (uint32_t i = w->trie.node->rank; i < w->trie.rank_end; i++)
        w->n_before[quote_at(w->l, w->l->order[i], (uint8_t)w->trie.depth)] = (uint8_t)(1 + WD_MIN(n, 254u));
}

static int any_step(const walk *w, const place *from, uint8_t b, place *to)
{
    wd_thread t = { .where = WD_AT_STRING,
                    .shape = w->shape,
                    .phase = from->phase,
                    .q = from->q,
                    .n = from->n,
                    .x = from->x };
    const int how = wd_string_step(&t, b);
    *to = (place){ .q = t.q, .x = t.x, .n = (uint16_t)t.n, .phase = t.phase };
    return how;
}

/* One byte more. Characters that the node knows need no decoding. */
static int step(const walk *w, const place *from, const wd_lex_node *v, place *to)
{
    const wd_dfa *d = w->shape->dfa;
    uint32_t lo, hi;
    if (!w->aligned || from->phase != WD_PH_TEXT || (v->cp < 0x80 && w->special[v->cp]))
        return any_step(w, from, v->byte, to);
    if (v->cp == WD_LEX_BAD)
        return WD_STR_DEAD;
    *to = *from;
    if (v->cp & WD_LEX_PART) {
        wd_lexicon__range(v->cp, &lo, &hi);
        return (d ? wd_dfa_any(d, from->q, lo, hi) : from->n < w->shape->max) ? WD_STR_ON : WD_STR_DEAD;
    }
    to->n++;
    to->simple = from->simple && w->welcome >> (v->cp < 0x80 ? w->bin[v->cp] : wd_lexicon__bin(v->cp)) & 1;
    if (!d)
        return from->n < w->shape->max ? WD_STR_ON : WD_STR_DEAD;
    to->q = wd_dfa_next(d, from->q, v->cp);
    return to->q == WD_DFA_DEAD ? WD_STR_DEAD : WD_STR_ON;
}

static bool in_character(const walk *w, const place *t, const wd_lex_node *v)
{
    return t->phase != WD_PH_TEXT || (w->aligned && v->cp != WD_LEX_BAD && v->cp & WD_LEX_PART);
}

/* All tokens of the node and below may come. */
static bool fills(walk *w, const place *t, const wd_lex_node *v)
{
    if (w->length || !v->n_kid || !w->aligned || !v->sound || t->phase != WD_PH_TEXT)
        return false;
    const uint32_t chars = v->chars + (v->cp & WD_LEX_PART ? 1u : 0u);
    return t->n + chars <= w->shape->max &&
           can_all(w, t->q, w->l->bins[v - w->l->node], chars, v->n_kid >= ASK_MIN);
}

/* The plan has seen to the node's tokens and those below. */
static bool is_planned(const walk *w, const place *t, const wd_lex_node *v)
{
    const uint32_t chars = t->n + v->chars + (v->cp & WD_LEX_PART ? 1u : 0u);
    return t->simple && chars <= w->plan_chars && !(v->ends && v->cp & WD_LEX_PART) &&
           !(w->l->bins[v - w->l->node] & ~(w->welcome | w->never));
}

static void walk_all(walk *w)
{
    const wd_lexicon *l = w->l;
    wd_lex_walk *trie = &w->trie;
    bool into = true;
    wd_lex_walk_start(trie, l);
    while (wd_lex_walk_next(trie, into)) {
        const wd_lex_node *v = trie->node;
        place *t = &w->at[trie->depth];
        const int how = step(w, t - 1, v, t);
        into = false;
        if (how == WD_STR_CLOSED) {
            close_all(w, t->n);
        } else if (how == WD_STR_DEAD) {
            if (w->planned && !((t - 1)->simple && !(wd_lexicon__own_bins(v) & ~w->never)))
                for (uint32_t k = v->rank; k < trie->rank_end; k++)
                    take_token(w, l->order[k]);
        } else if (is_planned(w, t, v)) {
            continue;
        } else if (fills(w, t, v)) {
            for (uint32_t k = v->rank; k < trie->rank_end; k++)
                put_token(w, l->order[k]);
        } else {
            into = true;
            if (!v->ends)
                continue;
            put_token(w, l->order[v->rank]);
            if (w->length)
                w->length[l->order[v->rank]] = (uint8_t)(t->n + in_character(w, t, v));
        }
    }
}

/* Tokens of welcome kinds alone; the walk sees to those with others. */
static void start_with_plan(walk *w, uint32_t q)
{
    const wd_lexicon *l = w->l;
    w->planned = true;
    plan(w, q);
    memcpy(w->bit, l->has, l->n_word * sizeof *w->bit);
    for (uint64_t bins = w->never; bins; bins &= bins - 1) {
        const uint64_t *has = l->has + (size_t)__builtin_ctzll(bins) * l->n_word;
        for (uint32_t i = 0; i < l->n_word; i++)
            w->bit[i] &= ~has[i];
    }
}

wd_lex_mask *wd_lexicon__find(const wd_lexicon *l, const wd_thread *t, uint32_t left, uint8_t *length)
{
    static const wd_str_shape any = { .max = UINT32_MAX };
    const wd_str_shape *s = t->shape ? t->shape : &any;
    wd_str_shape shape = *s;
    walk *w = WD_ALLOC(walk);
    wd_lex_mask *m = WD_ALLOC(wd_lex_mask);
    uint8_t *n_before = WD_ALLOC_N(uint8_t, (size_t)l->n_quote + 1);
    bool good = w && m && n_before && (m->bit = WD_ALLOC_N(uint64_t, (size_t)l->n_word + 1)) != NULL;
    if (good && s->dfa)
        good = (w->class_bins = WD_ALLOC_N(uint64_t, (size_t)s->dfa->n_class + 1)) != NULL;
    if (good) {
        shape.min = 0;
        shape.max = left;
        w->l = l;
        w->shape = &shape;
        w->aligned = t->phase < WD_PH_1;
        w->bit = m->bit;
        w->n_before = n_before;
        w->length = length;
        for (uint32_t i = 0; i < STATES; i++)
            w->state[i].q = WD_DFA_DEAD;
        for (uint32_t i = 0; i < ANSWERS; i++)
            w->answer[i].q = WD_DFA_DEAD;
        for (uint32_t b = 0; b < 128; b++) {
            w->bin[b] = (uint8_t)wd_lexicon__bin(b);
            w->special[b] = !shape.raw && w->bin[b] == 0;
        }
        if (s->dfa)
            find_class_bins(w);
        w->at[0] = (place){ .q = t->q, .x = t->x, .phase = t->phase };
        w->at[0].simple = s->dfa && t->phase == WD_PH_TEXT;
        if (w->at[0].simple)
            start_with_plan(w, t->q);
        walk_all(w);
        for (uint32_t i = 0; i < l->n_quote; i++)
            m->n_close += n_before[i] != 0;
        m->close = WD_ALLOC_N(uint32_t, (size_t)m->n_close + 1);
        m->n_before = WD_ALLOC_N(uint8_t, (size_t)m->n_close + 1);
        good = m->close && m->n_before;
    }
    for (uint32_t i = 0, k = 0; good && i < l->n_quote; i++)
        if (n_before[i]) {
            m->close[k] = i;
            m->n_before[k++] = (uint8_t)(n_before[i] - 1);
        }
    if (w)
        wd_free(w->class_bins);
    wd_free(w);
    wd_free(n_before);
    if (!good) {
        wd_lexicon__free_mask(m);
        return NULL;
    }
    m->bytes = sizeof *m + (size_t)l->n_word * 8 + (size_t)m->n_close * 5;
    return m;
}

wd_lex_mask *wd_lexicon__limit_plain(const wd_lexicon *l, const wd_lex_plain *p, uint32_t left)
{
    const uint32_t k = WD_MIN(left, 255), n = p->n_upto[255], keep = p->n_upto[k];
    wd_lex_mask *m = WD_ALLOC(wd_lex_mask);
    if (!m)
        return NULL;
    m->bit = WD_ALLOC_N(uint64_t, (size_t)l->n_word + 1);
    m->close = WD_ALLOC_N(uint32_t, (size_t)p->all->n_close + 1);
    m->n_before = WD_ALLOC_N(uint8_t, (size_t)p->all->n_close + 1);
    if (!m->bit || !m->close || !m->n_before) {
        wd_lexicon__free_mask(m);
        return NULL;
    }
    if (keep > n / 2) {
        memcpy(m->bit, p->all->bit, l->n_word * sizeof *m->bit);
        for (uint32_t i = keep; i < n; i++)
            m->bit[p->token[i] / 64] &= ~((uint64_t)1 << p->token[i] % 64);
    } else {
        for (uint32_t i = 0; i < keep; i++)
            m->bit[p->token[i] / 64] |= (uint64_t)1 << p->token[i] % 64;
    }
    for (uint32_t i = 0; i < p->all->n_close; i++)
        if (p->all->n_before[i] <= left) {
            m->close[m->n_close] = p->all->close[i];
            m->n_before[m->n_close++] = p->all->n_before[i];
        }
    m->bytes = sizeof *m + (size_t)l->n_word * 8 + (size_t)p->all->n_close * 5;
    return m;
}

bool wd_lexicon__make_plain(wd_lexicon *l)
{
    uint8_t *length = WD_ALLOC_N(uint8_t, (size_t)l->n_vocab + 1);
    bool good = length != NULL;
    for (size_t p = 0; good && p < 2; p++) {
        wd_lex_plain *to = &l->plain[p];
        const wd_thread t = { .where = WD_AT_STRING, .phase = p ? WD_PH_TEXT : WD_PH_QUOTE };
        memset(length, 0, l->n_vocab);
        to->all = wd_lexicon__find(l, &t, UINT32_MAX - 1, length);
        to->token = WD_ALLOC_N(uint32_t, (size_t)l->n_order + 1);
        good = to->all && to->token;
        uint32_t at[256] = { 0 };
        for (uint32_t i = 0; good && i < l->n_order; i++)
            if (to->all->bit[l->order[i] / 64] >> l->order[i] % 64 & 1)
                to->n_upto[length[l->order[i]]]++;
        for (uint32_t k = 1; good && k < 256; k++) {
            at[k] = to->n_upto[k - 1];
            to->n_upto[k] += to->n_upto[k - 1];
        }
        for (uint32_t i = 0; good && i < l->n_order; i++)
            if (to->all->bit[l->order[i] / 64] >> l->order[i] % 64 & 1)
                to->token[at[length[l->order[i]]]++] = l->order[i];
    }
    wd_free(length);
    return good;
}
