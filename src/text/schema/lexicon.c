/* The trie over a vocabulary, and the masks that are kept. */
#include "text/schema/lexicon_inner.h"

#include <stdlib.h>

/* --- building ---------------------------------------------------------------------------------------------------------- */

/* What the first n bytes of s end with, when those before are characters: a character, the beginning of one, or neither. */
static uint32_t last_of(wd_span s, size_t n)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    uint32_t back = 0;
    while (back < 3 && back + 1 < n && (s.p[n - 1 - back] & 0xC0) == 0x80)
        back++;
    const uint8_t lead = s.p[n - 1 - back];
    const uint32_t more = lead < 0x80                   ? 0
                          : lead >= 0xC2 && lead < 0xE0 ? 1
                          : lead >= 0xE0 && lead < 0xF0 ? 2
                          : lead >= 0xF0 && lead < 0xF5 ? 3
                                                        : 4;
    if (more > 3 || back > more)
        return WD_LEX_BAD;
    const uint32_t missing = more - back;
    uint32_t x = lead & (more ? 0x3Fu >> more : 0x7Fu);
    for (uint32_t k = back; k > 0; k--)
        x = x << 6 | (s.p[n - k] & 0x3Fu);
    const uint32_t lo = x << 6 * missing, hi = lo | ((1u << 6 * missing) - 1);
    if (hi < least[more] || lo > 0x10FFFF || (lo >= 0xD800 && hi < 0xE000))
        return WD_LEX_BAD;
    return missing ? WD_LEX_PART | missing << 24 | x : x;
}

void wd_lexicon__range(uint32_t part, uint32_t *lo, uint32_t *hi)
{
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    const uint32_t missing = part >> 24 & 3, x = part & 0xFFFFFF;
    *lo = x << 6 * missing;
    *hi = WD_MIN(*lo | ((1u << 6 * missing) - 1), 0x10FFFFu);
    *lo = WD_MAX(*lo, least[missing]);
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

static uint32_t count_nodes(const wd_lexicon *l)
{
    uint32_t n = 1;
    for (uint32_t i = 0; i < l->n_order; i++) {
        const wd_span s = l->bytes[l->order[i]];
        n += (uint32_t)(s.n - (i ? common(s, l->bytes[l->order[i - 1]]) : 0));
    }
    return n;
}

/* The children of a node `depth` bytes deep, that has the tokens up to `end`. */
static void make_kids(wd_lexicon *l, wd_lex_node *v, size_t depth, uint32_t end)
{
    uint32_t from = v->rank;
    v->kid = l->n_node;
    if (from < end && l->bytes[l->order[from]].n == depth) {
        v->ends = depth > 0;
        from++;
    }
    while (from < end) {
        const wd_span s = l->bytes[l->order[from]];
        const bool within = (s.p[depth] & 0xC0) == 0x80, begun = v->cp & WD_LEX_PART;
        wd_lex_node *kid = &l->node[l->n_node];
        *kid = (wd_lex_node){ .rank = from,
                              .byte = s.p[depth],
                              .cp = v->cp != WD_LEX_BAD && within == begun ? last_of(s, depth + 1)
                                                                           : WD_LEX_BAD };
        while (from < end && l->bytes[l->order[from]].p[depth] == kid->byte)
            from++;
        l->end[l->n_node++] = from;
        v->n_kid++;
    }
}

/* Level by level. False without memory. */
static bool make_nodes(wd_lexicon *l)
{
    const uint32_t n = count_nodes(l);
    l->end = WD_ALLOC_N(uint32_t, n);
    l->node = WD_ALLOC_N(wd_lex_node, n);
    if (!l->end || !l->node)
        return false;
    l->end[0] = l->n_order;
    l->n_node = 1;
    for (uint32_t i = 0, level_end = 1, depth = 0; i < l->n_node; i++) {
        if (i == level_end) {
            depth++;
            level_end = l->n_node;
        }
        make_kids(l, &l->node[i], depth, l->end[i]);
    }
    return true;
}

/* What lies below each node, from the leaves up. */
static void summarise(wd_lexicon *l)
{
    for (uint32_t i = l->n_node; i-- > 0;) {
        wd_lex_node *v = &l->node[i];
        for (uint32_t k = v->kid; k < v->kid + v->n_kid; k++) {
            const wd_lex_node *kid = &l->node[k];
            const uint8_t chars = (uint8_t)(kid->chars + ((kid->byte & 0xC0) != 0x80));
            v->chars = WD_MAX(v->chars, chars);
        }
    }
    l->max_chars = l->node[0].chars;
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

uint32_t wd_lexicon__quote(const wd_lexicon *l, uint32_t token, uint32_t at)
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

void wd_lexicon__free_mask(wd_lex_mask *m)
{
    if (!m)
        return;
    wd_free(m->bit);
    wd_free(m->close);
    wd_free(m->n_before);
    wd_free(m);
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
        good = make_nodes(l);
    }
    if (good)
        summarise(l);
    if (!good || !make_quotes(l) || !wd_lexicon__make_chars(l) || !wd_lexicon__make_plain(l)) {
        wd_lexicon_destroy(l);
        return WD_FAIL(err, WD_E_NOMEM, "vocabulary: no memory for its trie");
    }
    wd_free(l->end);
    l->end = NULL;
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
            wd_lexicon__free_mask(m);
        }
    wd_lexicon__free_views(l);
    pthread_mutex_destroy(&l->mu);
    wd_free(l->node);
    wd_free(l->end);
    wd_free(l->chr);
    wd_free(l->point);
    wd_free(l->begin);
    wd_free(l->tail);
    wd_free(l->order);
    wd_free(l->bytes);
    wd_free(l->quote);
    wd_free(l->quote_of);
    for (size_t p = 0; p < 2; p++) {
        wd_lexicon__free_mask(l->plain[p].all);
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

/* Down to so many bytes, those not in use and used longest ago first. */
static void evict(wd_lexicon *l, size_t most)
{
    while (l->cache_bytes > most) {
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
                wd_lexicon__free_mask(m);
            }
        if (l->cache_bytes == before)
            break;
    }
}

const wd_lex_mask *wd_lexicon__string(wd_lexicon *l, const wd_constraint *c, const wd_lex_views *v,
                                      const wd_thread *t)
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
    wd_lex_mask *made = plain && t->phase <= WD_PH_TEXT
                            ? wd_lexicon__limit_plain(l, &l->plain[t->phase], left)
                            : wd_lexicon__find(l, plain ? NULL : v->of[s->id], t, left, NULL);
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
            evict(l, WD_LEXICON_CACHE_BYTES / 4 * 3);
        m = made;
        made = NULL;
    }
    pthread_mutex_unlock(&l->mu);
    wd_lexicon__free_mask(made);
    return m;
}

void wd_lexicon__give_back(wd_lexicon *l, const wd_lex_mask *m)
{
    wd_lex_mask *shared = (wd_lex_mask *)m; /* only the count changes */
    pthread_mutex_lock(&l->mu);
    shared->refs--;
    pthread_mutex_unlock(&l->mu);
}

void wd_lexicon__forget(wd_lexicon *l)
{
    pthread_mutex_lock(&l->mu);
    evict(l, 0);
    pthread_mutex_unlock(&l->mu);
}
