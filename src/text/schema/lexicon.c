/* The trie over a vocabulary, and the masks of strings.
 *
 * A string of some kind looks the same wherever it stands: which tokens stay within it depends on its automaton's state
 * (or on the characters that are left) alone. So these masks are kept, those of plain strings for all constraints
 * together. What they take: the trie is walked in order; below a place from where every byte leads back to the same state
 * all tokens are taken at once. */
#include "text/schema/lexicon_inner.h"

#include <stdlib.h>

#include "base/utf8.h"

#define FILL_MIN 8 /* nodes below that make it worth asking whether all are alike */

/* --- building ---------------------------------------------------------------------------------------------------------- */

/* Bytes of one kind mostly come together. 0: what JSON escapes, and the quote. */
static uint8_t bin_of(uint8_t b)
{
    static const char *const mark[] = { "-_", ".,", ":;!?", "()[]{}<>", "'`", "+*/=%#@&|~^$" };
    if (b < 0x20 || b == '"' || b == '\\')
        return 0;
    if (b >= 0x80)
        return 1;
    if (b == ' ')
        return 2;
    if (b >= '0' && b <= '9')
        return b < '5' ? 3 : 4;
    if (b >= 'a' && b <= 'z')
        return (uint8_t)(5 + (b - 'a') / 2);
    if (b >= 'A' && b <= 'Z')
        return (uint8_t)(18 + (b - 'A') / 4);
    for (uint8_t i = 0; i < WD_COUNT(mark); i++)
        if (strchr(mark[i], b))
            return (uint8_t)(25 + i);
    return 31;
}

static int compare_spans(wd_span x, wd_span y)
{
    const size_t n = WD_MIN(x.n, y.n);
    const int c = n ? memcmp(x.p, y.p, n) : 0;
    return c ? c : (x.n > y.n) - (x.n < y.n);
}

static int by_bytes(const void *a, const void *b, void *arg)
{
    const wd_span *bytes = arg;
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    const int c = compare_spans(bytes[x], bytes[y]);
    return c ? c : (x > y) - (x < y);
}

static size_t common(wd_span x, wd_span y)
{
    size_t n = 0;
    while (n < x.n && n < y.n && x.p[n] == y.p[n])
        n++;
    return n;
}

/* Of tokens with the same bytes only the one with the lowest id stays. */
static void drop_doubles(wd_lexicon *l)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n_order; i++) {
        if (n && wd_span_eq(l->bytes[l->order[i]], l->bytes[l->order[n - 1]]))
            l->bytes[l->order[i]] = (wd_span){ 0 };
        else
            l->order[n++] = l->order[i];
    }
    l->n_order = n;
}

/* Counts nodes first (node NULL), then makes them. */
static uint32_t make_nodes(wd_lexicon *l, wd_lex_node *node)
{
    uint32_t n = 0, open[WD_LEX_TOKEN_MAX + 1];
    size_t depth = 0;
    for (uint32_t i = 0; i < l->n_order; i++) {
        const wd_span s = l->bytes[l->order[i]];
        const size_t same = i ? common(s, l->bytes[l->order[i - 1]]) : 0;
        for (; node && depth > same; depth--)
            node[open[depth - 1]].skip = n;
        depth = same;
        for (; depth < s.n; depth++, n++) {
            if (!node)
                continue;
            open[depth] = n;
            node[n] = (wd_lex_node){ .token = WD_TOKEN_NONE,
                                     .rank = i,
                                     .byte = s.p[depth],
                                     .depth = (uint8_t)(depth + 1),
                                     .whole = wd_utf8_valid(wd_span_sub(s, 0, depth + 1)) };
        }
        if (node)
            node[n - 1].token = l->order[i];
    }
    for (; node && depth > 0; depth--)
        node[open[depth - 1]].skip = n;
    return n;
}

/* What lies below each node, from the leaves up: children come after their parents. */
static void summarise(wd_lexicon *l)
{
    for (uint32_t i = l->n_node; i-- > 0;) {
        wd_lex_node *v = &l->node[i];
        for (uint32_t k = i + 1; k < v->skip; k = l->node[k].skip) {
            const wd_lex_node *kid = &l->node[k];
            const uint8_t chars = (uint8_t)(kid->chars + ((kid->byte & 0xC0) != 0x80));
            v->bins |= kid->bins | 1u << bin_of(kid->byte);
            v->chars = WD_MAX(v->chars, chars);
        }
        if (v->depth == 1)
            l->max_chars = (uint8_t)WD_MAX(l->max_chars, v->chars + ((v->byte & 0xC0) != 0x80));
    }
}

/* Whether every token below ends with a character: told for all nodes by looking at each token once. */
static bool find_whole(wd_lexicon *l)
{
    uint32_t *broken = WD_ALLOC_N(uint32_t, (size_t)l->n_order + 1); /* sums */
    if (!broken)
        return false;
    for (uint32_t i = 0; i < l->n_order; i++)
        broken[i + 1] = broken[i] + !wd_utf8_valid(l->bytes[l->order[i]]);
    for (uint32_t i = 0; i < l->n_node; i++) {
        wd_lex_node *v = &l->node[i];
        const uint32_t end = v->skip < l->n_node ? l->node[v->skip].rank : l->n_order;
        v->whole = v->whole && broken[end] == broken[v->rank];
    }
    wd_free(broken);
    return true;
}

static wd_span behind(const wd_lexicon *l, const wd_lex_quote *q)
{
    return wd_span_sub(l->bytes[q->token], q->at, WD_LEX_TOKEN_MAX);
}

static int by_behind(const void *a, const void *b, void *arg)
{
    const wd_lex_quote *x = a, *y = b;
    const int c = compare_spans(behind(arg, x), behind(arg, y));
    return c ? c : (x->token > y->token) - (x->token < y->token);
}

static int by_token(const void *a, const void *b, void *arg)
{
    const wd_lexicon *l = arg;
    const wd_lex_quote *x = &l->quote[*(const uint32_t *)a], *y = &l->quote[*(const uint32_t *)b];
    return x->token != y->token ? (x->token > y->token) - (x->token < y->token) : x->at - y->at;
}

static bool make_quotes(wd_lexicon *l)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n_order; i++)
        for (size_t k = 0; k < l->bytes[l->order[i]].n; k++)
            n += l->bytes[l->order[i]].p[k] == '"';
    l->quote = WD_ALLOC_N(wd_lex_quote, (size_t)n + 1);
    l->quote_of = WD_ALLOC_N(uint32_t, (size_t)n + 1);
    if (!l->quote || !l->quote_of)
        return false;
    for (uint32_t i = 0; i < l->n_order; i++) {
        const wd_span s = l->bytes[l->order[i]];
        for (size_t k = 0; k < s.n; k++)
            if (s.p[k] == '"')
                l->quote[l->n_quote++] = (wd_lex_quote){ .token = l->order[i],
                                                         .at = (uint8_t)(k + 1),
                                                         .again = memchr(s.p + k + 1, '"', s.n - k - 1) !=
                                                                  NULL };
    }
    qsort_r(l->quote, n, sizeof *l->quote, by_behind, l);
    for (uint32_t i = 0; i < n; i++) {
        l->quote_of[i] = i;
        if (i)
            l->quote[i].same = (uint8_t)common(behind(l, &l->quote[i]), behind(l, &l->quote[i - 1]));
    }
    qsort_r(l->quote_of, n, sizeof *l->quote_of, by_token, l);
    return true;
}

static void free_mask(wd_lex_mask *m)
{
    if (!m)
        return;
    wd_free(m->bit);
    wd_free(m->close);
    wd_free(m->n_before);
    wd_free(m);
}

/* --- the tokens of a string's state ------------------------------------------------------------------------------------ */

#define LOOPS 64

typedef struct walk {
    const wd_lexicon *l;
    const wd_str_shape *shape;
    wd_thread at[WD_LEX_TOKEN_MAX + 1]; /* by depth */
    uint64_t *bit;
    uint8_t *length;   /* [n_vocab] characters of each token that stays; NULL: not asked for */
    uint8_t *n_before; /* [n_quote] 1 + characters before a quote that closes; 0: it does not */
    uint32_t loop_q[LOOPS], loop_bins[LOOPS];
    uint8_t bin[256];
} walk;

/* The kinds of bytes after which the automaton is in q again. */
static uint32_t loops(walk *w, uint32_t q)
{
    const wd_dfa *d = w->shape->dfa;
    if (!d)
        return ~1u;
    if (w->loop_q[q % LOOPS] == q)
        return w->loop_bins[q % LOOPS];
    const uint32_t *next = d->next + (size_t)q * d->n_class;
    uint32_t bins = w->shape->raw ? ~0u : ~1u;
    for (uint32_t b = w->shape->raw ? 1 : 0x20; b < 0x80; b++)
        if (next[d->ascii[b]] != q)
            bins &= ~(1u << w->bin[b]);
    for (uint32_t r = wd_dfa_range(d, 0x80); r < d->n_range; r++)
        if (next[d->cls[r]] != q && !(d->lo[r] == 0xD800 && (r + 1 == d->n_range || d->lo[r + 1] <= 0xE000)))
            bins &= ~2u;
    if (w->shape->raw) /* U+0000 */
        bins &= ~1u;
    w->loop_q[q % LOOPS] = q;
    return w->loop_bins[q % LOOPS] = bins;
}

static void put_token(walk *w, uint32_t token)
{
    w->bit[token / 64] |= (uint64_t)1 << token % 64;
}

static uint32_t rank_after(const wd_lexicon *l, const wd_lex_node *v)
{
    return v->skip < l->n_node ? l->node[v->skip].rank : l->n_order;
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

static void close_all(walk *w, const wd_lex_node *v, const wd_thread *t)
{
    const uint32_t end = rank_after(w->l, v);
    for (uint32_t i = v->rank; i < end; i++)
        w->n_before[quote_at(w->l, w->l->order[i], v->depth)] = (uint8_t)(1 + WD_MIN(t->n, 254));
}

/* A plain character of one byte: the common step, without the rest. */
static int quick_step(const walk *w, wd_thread *t, uint8_t b)
{
    const wd_dfa *d = w->shape->dfa;
    if (t->phase != WD_PH_TEXT || b >= 0x80 || w->bin[b] == 0)
        return wd_string_step(t, b);
    if (d) {
        t->q = d->next[(size_t)t->q * d->n_class + d->ascii[b]];
        t->n++;
        return t->q == WD_DFA_DEAD ? WD_STR_DEAD : WD_STR_ON;
    }
    return t->n++ < w->shape->max ? WD_STR_ON : WD_STR_DEAD;
}

static void walk_all(walk *w)
{
    const wd_lexicon *l = w->l;
    for (uint32_t i = 0; i < l->n_node;) {
        const wd_lex_node *v = &l->node[i];
        wd_thread *t = &w->at[v->depth];
        *t = w->at[v->depth - 1];
        const int how = quick_step(w, t, v->byte);
        if (how != WD_STR_ON) {
            if (how == WD_STR_CLOSED)
                close_all(w, v, t);
            i = v->skip;
            continue;
        }
        if (!w->length && v->whole && v->skip - i >= FILL_MIN && t->phase == WD_PH_TEXT &&
            t->n + v->chars <= w->shape->max && (v->bins & ~loops(w, t->q)) == 0) {
            const uint32_t end = rank_after(l, v);
            for (uint32_t k = v->rank; k < end; k++)
                put_token(w, l->order[k]);
            i = v->skip;
            continue;
        }
        if (v->token != WD_TOKEN_NONE) {
            put_token(w, v->token);
            if (w->length)
                w->length[v->token] = (uint8_t)(t->n + (t->phase != WD_PH_TEXT));
        }
        i++;
    }
}

static wd_lex_mask *find_mask(wd_lexicon *l, const wd_thread *t, uint32_t left, uint8_t *length)
{
    static const wd_str_shape any = { .max = UINT32_MAX };
    const wd_str_shape *s = t->shape ? t->shape : &any;
    wd_str_shape shape = *s;
    walk *w = WD_ALLOC(walk);
    wd_lex_mask *m = WD_ALLOC(wd_lex_mask);
    uint8_t *n_before = WD_ALLOC_N(uint8_t, (size_t)l->n_quote + 1);
    bool good = w && m && n_before && (m->bit = WD_ALLOC_N(uint64_t, (size_t)l->n_word + 1)) != NULL;
    if (good) {
        shape.min = 0;
        shape.max = left;
        w->l = l;
        w->shape = &shape;
        w->bit = m->bit;
        w->n_before = n_before;
        w->length = length;
        memset(w->loop_q, 0xFF, sizeof w->loop_q);
        for (uint32_t b = 0; b < 256; b++)
            w->bin[b] = bin_of((uint8_t)b);
        w->at[0] = *t;
        w->at[0].shape = &shape;
        w->at[0].n = 0;
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
    wd_free(w);
    wd_free(n_before);
    if (!good) {
        free_mask(m);
        return NULL;
    }
    m->bytes = sizeof *m + (size_t)l->n_word * 8 + (size_t)m->n_close * 5;
    return m;
}

/* What is left of plain strings' tokens when at most `left` characters may come. */
static wd_lex_mask *limit_plain(const wd_lexicon *l, const wd_lex_plain *p, uint32_t left)
{
    const uint32_t k = WD_MIN(left, 255), n = p->n_upto[255], keep = p->n_upto[k];
    wd_lex_mask *m = WD_ALLOC(wd_lex_mask);
    if (!m)
        return NULL;
    m->bit = WD_ALLOC_N(uint64_t, (size_t)l->n_word + 1);
    m->close = WD_ALLOC_N(uint32_t, (size_t)p->all->n_close + 1);
    m->n_before = WD_ALLOC_N(uint8_t, (size_t)p->all->n_close + 1);
    if (!m->bit || !m->close || !m->n_before) {
        free_mask(m);
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

/* For both places of a plain string: its tokens, sorted by their characters. */
static bool make_plain(wd_lexicon *l)
{
    uint8_t *length = WD_ALLOC_N(uint8_t, (size_t)l->n_vocab + 1);
    bool good = length != NULL;
    for (size_t p = 0; good && p < 2; p++) {
        wd_lex_plain *to = &l->plain[p];
        const wd_thread t = { .where = WD_AT_STRING, .phase = p ? WD_PH_TEXT : WD_PH_QUOTE };
        memset(length, 0, l->n_vocab);
        to->all = find_mask(l, &t, UINT32_MAX - 1, length);
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

/* --- a lexicon ---------------------------------------------------------------------------------------------------------- */

wd_status wd_lexicon_create_list(const wd_span *token, uint32_t n_vocab, wd_lexicon **out, wd_err *err)
{
    wd_lexicon *l = WD_ALLOC(wd_lexicon);
    *out = NULL;
    bool good = l != NULL && pthread_mutex_init(&l->mu, NULL) == 0;
    if (!good) {
        wd_free(l);
        return WD_FAIL(err, WD_E_NOMEM, "vocabulary: no memory for its trie");
    }
    l->n_vocab = n_vocab;
    l->n_word = (n_vocab + 63) / 64;
    l->bytes = WD_ALLOC_N(wd_span, (size_t)n_vocab + 1);
    l->order = WD_ALLOC_N(uint32_t, (size_t)n_vocab + 1);
    good = l->bytes && l->order;
    for (uint32_t i = 0; good && i < n_vocab; i++)
        if (token[i].n && token[i].n <= WD_LEX_TOKEN_MAX) {
            l->bytes[i] = token[i];
            l->order[l->n_order++] = i;
        }
    if (good) {
        qsort_r(l->order, l->n_order, sizeof *l->order, by_bytes, l->bytes);
        drop_doubles(l);
        l->n_node = make_nodes(l, NULL);
        l->node = WD_ALLOC_N(wd_lex_node, (size_t)l->n_node + 1);
    }
    if (good && l->node) {
        make_nodes(l, l->node);
        good = find_whole(l);
        summarise(l);
    }
    if (!good || !l->node || !make_quotes(l) || !make_plain(l)) {
        wd_lexicon_destroy(l);
        return WD_FAIL(err, WD_E_NOMEM, "vocabulary: no memory for its trie");
    }
    *out = l;
    return WD_OK;
}

wd_status wd_lexicon_create(const wd_tokenizer *tok, uint32_t n_vocab, wd_lexicon **out, wd_err *err)
{
    const uint32_t n = WD_MIN(n_vocab, wd_tokenizer_n_vocab(tok));
    wd_span *token = WD_ALLOC_N(wd_span, (size_t)n_vocab + 1);
    *out = NULL;
    if (!token)
        return WD_FAIL(err, WD_E_NOMEM, "vocabulary: no memory for its trie");
    for (uint32_t i = 0; i < n; i++)
        if (!wd_tokenizer_is_added(tok, i))
            token[i] = wd_tokenizer_bytes(tok, i);
    const wd_status st = wd_lexicon_create_list(token, n_vocab, out, err);
    wd_free(token);
    return st;
}

void wd_lexicon_destroy(wd_lexicon *l)
{
    if (!l)
        return;
    for (size_t b = 0; b < WD_LEX_BUCKETS; b++)
        while (l->bucket[b]) {
            wd_lex_mask *m = l->bucket[b];
            l->bucket[b] = m->next;
            free_mask(m);
        }
    pthread_mutex_destroy(&l->mu);
    wd_free(l->node);
    wd_free(l->order);
    wd_free(l->bytes);
    wd_free(l->quote);
    wd_free(l->quote_of);
    for (size_t p = 0; p < 2; p++) {
        free_mask(l->plain[p].all);
        wd_free(l->plain[p].token);
    }
    wd_free(l);
}

uint32_t wd_lexicon_n_vocab(const wd_lexicon *l)
{
    return l->n_vocab;
}

/* --- the cache --------------------------------------------------------------------------------------------------------- */

static size_t bucket_of(const uint64_t key[3])
{
    uint64_t h = key[0] * 0x9E3779B97F4A7C15u ^ key[1] * 0xC2B2AE3D27D4EB4Fu ^ key[2] * 0x165667B19E3779F9u;
    return (h ^ h >> 32) % WD_LEX_BUCKETS;
}

static wd_lex_mask *look_up(wd_lexicon *l, const uint64_t key[3])
{
    for (wd_lex_mask *m = l->bucket[bucket_of(key)]; m; m = m->next)
        if (memcmp(m->key, key, sizeof m->key) == 0) {
            m->refs++;
            m->used = ++l->clock;
            return m;
        }
    return NULL;
}

/* Down to three quarters, those not in use and used longest ago first. */
static void evict(wd_lexicon *l)
{
    while (l->cache_bytes > WD_LEXICON_CACHE_BYTES / 4 * 3) {
        uint64_t sum = 0, n = 0;
        for (size_t b = 0; b < WD_LEX_BUCKETS; b++)
            for (const wd_lex_mask *m = l->bucket[b]; m; m = m->next, n++)
                sum += m->used;
        const size_t before = l->cache_bytes;
        for (size_t b = 0; b < WD_LEX_BUCKETS; b++)
            for (wd_lex_mask **at = &l->bucket[b]; *at;) {
                wd_lex_mask *m = *at;
                if (m->refs || m->used > sum / n) {
                    at = &m->next;
                    continue;
                }
                *at = m->next;
                l->cache_bytes -= m->bytes;
                free_mask(m);
            }
        if (l->cache_bytes == before)
            break;
    }
}

const wd_lex_mask *wd_lexicon__string(wd_lexicon *l, const wd_constraint *c, const wd_thread *t)
{
    const wd_str_shape *s = t->shape;
    const bool plain = !s || !s->dfa;
    uint32_t left = plain && s && s->max != UINT32_MAX ? s->max - t->n : UINT32_MAX;
    if (left >= l->max_chars)
        left = UINT32_MAX - 1; /* counts, but never matters */
    const uint64_t key[3] = { plain ? 0 : c->serial, plain ? left : (uint64_t)s->id << 32 | t->q,
                              (uint64_t)t->phase << 32 | t->x };
    pthread_mutex_lock(&l->mu);
    wd_lex_mask *m = look_up(l, key);
    pthread_mutex_unlock(&l->mu);
    if (m)
        return m;
    wd_lex_mask *made = plain && t->phase <= WD_PH_TEXT ? limit_plain(l, &l->plain[t->phase], left)
                                                        : find_mask(l, t, left, NULL);
    if (!made)
        return NULL;
    memcpy(made->key, key, sizeof made->key);
    pthread_mutex_lock(&l->mu);
    m = look_up(l, key); /* another thread may have been quicker */
    if (!m) {
        made->refs = 1;
        made->used = ++l->clock;
        made->next = l->bucket[bucket_of(key)];
        l->bucket[bucket_of(key)] = made;
        l->cache_bytes += made->bytes;
        if (l->cache_bytes > WD_LEXICON_CACHE_BYTES)
            evict(l);
        m = made;
        made = NULL;
    }
    pthread_mutex_unlock(&l->mu);
    free_mask(made);
    return m;
}

void wd_lexicon__give_back(wd_lexicon *l, const wd_lex_mask *m)
{
    wd_lex_mask *shared = (wd_lex_mask *)m; /* only the count changes */
    pthread_mutex_lock(&l->mu);
    shared->refs--;
    pthread_mutex_unlock(&l->mu);
}
