/* The masks of strings.
 *
 * A string of some kind looks the same wherever it stands: which tokens stay within it depends on its automaton's state
 * (or on the characters that are left) alone. Finding such a mask takes a walk with that state:
 *
 * - between characters, through the automaton's view of the vocabulary (lexicon_view.c), where all tokens that it cannot
 *   tell apart are one path;
 * - elsewhere, and where only few tokens begin with what may come, through the trie of bytes. */
#include "text/schema/lexicon_inner.h"

/* Where the walk is: a string thread without what stays the same. In the middle of a character that the node knows, it is
 * where the character began. */
typedef struct place {
    uint32_t q, x;
    uint16_t n; /* characters */
    uint8_t phase;
} place;

typedef struct walk {
    const wd_lexicon *l;
    const wd_str_shape *shape;
    wd_lex_walk trie;
    bool aligned;                   /* tokens begin with a character, so that what their nodes know holds */
    place at[WD_LEX_TOKEN_MAX + 1]; /* by depth */
    uint64_t *bit;
    uint8_t *length;   /* [n_vocab] characters of each token that stays; NULL: not asked for */
    uint8_t *n_before; /* [n_quote] 1 + characters before a quote that closes; 0: it does not */
    uint32_t state[WD_LEX_TOKEN_MAX + 1]; /* along a path of a view, by depth */
} walk;

static void put_token(walk *w, uint32_t token)
{
    w->bit[token / 64] |= (uint64_t)1 << token % 64;
}

/* --- by bytes ------------------------------------------------------------------------------------------------------------ */

/* The tokens of the node all have a quote there. */
static void close_all(walk *w, uint32_t at, uint32_t n)
{
    for (uint32_t i = w->trie.node->rank; i < w->trie.rank_end; i++)
        w->n_before[wd_lexicon__quote(w->l, w->l->order[i], at)] = (uint8_t)(1 + WD_MIN(n, 254u));
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

/* What JSON does not let stand for itself. */
static bool is_special(const walk *w, uint32_t cp)
{
    return !w->shape->raw && (cp < 0x20 || cp == '"' || cp == '\\');
}

/* One byte more. Characters that the node knows need no decoding. */
static int step(const walk *w, const place *from, const wd_lex_node *v, place *to)
{
    const wd_dfa *d = w->shape->dfa;
    uint32_t lo, hi;
    if (!w->aligned || from->phase != WD_PH_TEXT || is_special(w, v->cp))
        return any_step(w, from, v->byte, to);
    if (v->cp == WD_LEX_BAD)
        return WD_STR_DEAD;
    *to = *from;
    if (v->cp & WD_LEX_PART) {
        wd_lexicon__range(v->cp, &lo, &hi);
        return (d ? wd_dfa_any(d, from->q, lo, hi) : from->n < w->shape->max) ? WD_STR_ON : WD_STR_DEAD;
    }
    to->n++;
    if (!d)
        return from->n < w->shape->max ? WD_STR_ON : WD_STR_DEAD;
    to->q = wd_dfa_next(d, from->q, v->cp);
    return to->q == WD_DFA_DEAD ? WD_STR_DEAD : WD_STR_ON;
}

static bool in_character(const walk *w, const place *t, const wd_lex_node *v)
{
    return t->phase != WD_PH_TEXT || (w->aligned && v->cp != WD_LEX_BAD && v->cp & WD_LEX_PART);
}

/* All tokens below the node where w->trie stands, which is `depth` bytes deep, from w->at[0] on. */
static void walk_bytes(walk *w, uint32_t depth)
{
    const wd_lexicon *l = w->l;
    wd_lex_walk *trie = &w->trie;
    bool into = true;
    while (wd_lex_walk_next(trie, into)) {
        const wd_lex_node *v = trie->node;
        place *t = &w->at[trie->depth];
        const int how = step(w, t - 1, v, t);
        into = how == WD_STR_ON;
        if (how == WD_STR_CLOSED)
            close_all(w, depth + trie->depth, t->n);
        if (!into || !v->ends)
            continue;
        put_token(w, l->order[v->rank]);
        if (w->length)
            w->length[l->order[v->rank]] = (uint8_t)(t->n + in_character(w, t, v));
    }
}

/* --- by classes ---------------------------------------------------------------------------------------------------------- */

static void put_escaped(walk *w, const wd_lex_tail *tail, uint32_t q)
{
    const place text = { .q = q, .phase = WD_PH_TEXT };
    if (any_step(w, &text, '\\', &w->at[0]) != WD_STR_ON)
        return;
    w->trie = (wd_lex_walk){ .l = w->l, .node = &w->l->node[tail->of], .rank_end = tail->end };
    if (w->trie.node->ends)
        put_token(w, w->l->order[w->trie.node->rank]);
    walk_bytes(w, tail->x);
}

static void put_tails(walk *w, const wd_lex_view *view, const wd_lex_path *p, uint32_t q)
{
    const wd_dfa *d = w->shape->dfa;
    for (uint32_t i = p->tail; i < p[1].tail; i++) {
        const wd_lex_tail *tail = &w->l->tail[view->tail[i]];
        uint32_t lo, hi;
        switch (tail->kind) {
        case WD_TAIL_PART:
            wd_lexicon__range(tail->x, &lo, &hi);
            if (wd_dfa_any(d, q, lo, hi))
                put_token(w, tail->of);
            break;
        case WD_TAIL_QUOTE:
            w->n_before[tail->of] |= d->accept[q]; /* an automaton counts for itself */
            break;
        case WD_TAIL_ESCAPE:
            put_escaped(w, tail, q);
            break;
        }
    }
}

static void walk_view(walk *w, const wd_lex_view *view, uint32_t q)
{
    const wd_dfa *d = w->shape->dfa;
    w->state[0] = q;
    put_tails(w, view, view->path, q);
    for (uint32_t i = 1; i < view->n_path;) {
        const wd_lex_path *p = &view->path[i];
        q = d->next[(size_t)w->state[p->depth - 1] * d->n_class + p->cls];
        i = q == WD_DFA_DEAD ? p->next : i + 1;
        if (q == WD_DFA_DEAD)
            continue;
        w->state[p->depth] = q;
        for (uint32_t k = p->token; k < p[1].token; k++)
            put_token(w, view->token[k]);
        if (p->tail < p[1].tail)
            put_tails(w, view, p, q);
    }
}

/* ------------------------------------------------------------------------------------------------------------------------- */

wd_lex_mask *wd_lexicon__find(const wd_lexicon *l, const wd_lex_view *view, const wd_thread *t, uint32_t left,
                              uint8_t *length)
{
    static const wd_str_shape any = { .max = UINT32_MAX };
    wd_str_shape shape = t->shape ? *(const wd_str_shape *)t->shape : any;
    walk *w = WD_ALLOC(walk);
    wd_lex_mask *m = WD_ALLOC(wd_lex_mask);
    uint8_t *n_before = WD_ALLOC_N(uint8_t, (size_t)l->n_quote + 1);
    bool good = w && m && n_before && (m->bit = WD_ALLOC_N(uint64_t, (size_t)l->n_word + 1)) != NULL;
    if (good) {
        shape.min = 0;
        shape.max = left;
        w->l = l;
        w->shape = &shape;
        w->aligned = t->phase < WD_PH_1;
        w->bit = m->bit;
        w->n_before = n_before;
        w->length = length;
        w->at[0] = (place){ .q = t->q, .x = t->x, .phase = t->phase };
        wd_lex_walk_start(&w->trie, l);
        if (view && t->phase == WD_PH_TEXT)
            walk_view(w, view, t->q);
        else
            walk_bytes(w, 0);
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
        to->all = wd_lexicon__find(l, NULL, &t, UINT32_MAX - 1, length);
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
