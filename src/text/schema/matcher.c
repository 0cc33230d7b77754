/* Masks from threads.
 *
 * A thread within a string takes the mask of its state from the lexicon and adds the tokens that close the string, if
 * what they hold behind the quote may come there: those are sorted by that part, so that each distinct one is tried once.
 * All other threads are walked through the trie together, which ends early nearly everywhere: few bytes may come. */
#include "text/schema/matcher.h"

#include "text/schema/lexicon_inner.h"

#define TIDY_AT 2048 /* cells */
#define AHEAD_BYTES 512

struct wd_matcher {
    wd_machine machine;
    wd_constraint *c;
    wd_lexicon *l;
    const wd_lex_views *views;
    uint32_t *end;
    size_t n_end;
    bool over; /* an end token came */
    wd_threads *now, *next;
    wd_threads *level[WD_LEX_TOKEN_MAX + 2]; /* of walks, made when first needed */
    uint32_t mark[WD_LEX_TOKEN_MAX + 2];     /* cells that were there at each level */
    wd_buf name;
    wd_lex_walk trie;
};

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "constraint: no memory to follow it");
}

/* What went wrong on the way, if anything. */
static wd_status trouble(wd_matcher *m, wd_err *err)
{
    const bool failed = m->machine.failed || m->machine.text.failed, crowded = m->machine.crowded;
    m->machine.failed = m->machine.text.failed = m->machine.crowded = false;
    if (crowded)
        return WD_FAIL(
            err, WD_E_LIMIT,
            "constraint: more than %d of its alternatives are possible at once, for they begin alike",
            WD_THREADS_MAX);
    return failed ? no_memory(err) : WD_OK;
}

wd_status wd_matcher_create(const wd_constraint *c, wd_lexicon *l, const uint32_t *end, size_t n_end,
                            wd_matcher **out, wd_err *err)
{
    wd_matcher *m = WD_ALLOC(wd_matcher);
    *out = NULL;
    if (!m)
        return no_memory(err);
    wd_machine_init(&m->machine, c);
    m->c = wd_constraint_ref(c);
    m->l = l;
    m->now = WD_ALLOC(wd_threads);
    m->next = WD_ALLOC(wd_threads);
    m->end = WD_ALLOC_N(uint32_t, n_end + 1);
    m->views = wd_lexicon__views(l, c);
    if (!m->now || !m->next || !m->end || !m->views) {
        wd_matcher_destroy(m);
        return no_memory(err);
    }
    if (n_end)
        memcpy(m->end, end, n_end * sizeof *end);
    m->n_end = n_end;
    wd_machine_start(&m->machine, m->now);
    const wd_status st = trouble(m, err);
    if (st) {
        wd_matcher_destroy(m);
        return st;
    }
    *out = m;
    return WD_OK;
}

void wd_matcher_destroy(wd_matcher *m)
{
    if (!m)
        return;
    wd_machine_free(&m->machine);
    wd_lexicon__give_back_views(m->l, m->views);
    wd_constraint_unref(&m->c);
    wd_free(m->now);
    wd_free(m->next);
    wd_free(m->end);
    for (size_t i = 0; i < WD_COUNT(m->level); i++)
        wd_free(m->level[i]);
    wd_buf_wipe(&m->name);
    wd_buf_free(&m->name);
    wd_free(m);
}

void wd_matcher_allow_lines_before(wd_matcher *m)
{
    m->machine.lines_before = true;
}

void wd_matcher_allow_line_end(wd_matcher *m)
{
    m->machine.line_end = true;
}

/* --- trying bytes ------------------------------------------------------------------------------------------------------ */

/* A try may add text and cells; afterwards both are cut back. */
typedef struct saved {
    size_t text;
    uint32_t cells;
} saved;

static saved save(const wd_matcher *m)
{
    return (saved){ m->machine.text.n, m->machine.n_cell };
}

static void restore(wd_matcher *m, saved s)
{
    m->machine.text.n = s.text;
    m->machine.n_cell = s.cells;
}

static wd_threads *level(wd_matcher *m, size_t i)
{
    if (!m->level[i])
        m->level[i] = WD_ALLOC(wd_threads);
    if (!m->level[i])
        m->machine.failed = true;
    return m->level[i];
}

/* What `from` becomes by one more byte, in *to; the byte is text afterwards. */
static bool try_byte(wd_matcher *m, const wd_threads *from, uint8_t b, wd_threads *to)
{
    to->n = 0;
    for (uint32_t i = 0; i < from->n; i++)
        wd_machine_step(&m->machine, &from->t[i], b, to);
    wd_buf_put(&m->machine.text, &b, 1);
    return to->n > 0;
}

static void put_token(uint64_t *mask, uint32_t id)
{
    mask[id / 64] |= (uint64_t)1 << id % 64;
}

static bool has_token(const uint64_t *mask, uint32_t id)
{
    return mask[id / 64] >> id % 64 & 1;
}

/* Tokens that the threads of level 0 can take. */
static void walk_trie(wd_matcher *m, uint64_t *mask)
{
    const saved s = save(m);
    bool into = true;
    wd_lex_walk_start(&m->trie, m->l);
    m->mark[0] = s.cells;
    while (wd_lex_walk_next(&m->trie, into)) {
        const wd_lex_node *v = m->trie.node;
        const size_t depth = m->trie.depth;
        wd_threads *to = level(m, depth);
        restore(m, (saved){ s.text + depth - 1, m->mark[depth - 1] });
        into = to && try_byte(m, m->level[depth - 1], v->byte, to);
        if (!into)
            continue;
        m->mark[depth] = m->machine.n_cell;
        if (v->ends)
            put_token(mask, m->l->order[v->rank]);
    }
    restore(m, s);
}

/* --- tokens that close a string ---------------------------------------------------------------------------------------- */

static wd_span behind(const wd_lexicon *l, const wd_lex_quote *q)
{
    return wd_span_sub(l->bytes[q->token], q->at, WD_LEX_TOKEN_MAX);
}

/* The whole token, byte by byte from the thread t: for the few that hold a second name. */
static bool takes(wd_matcher *m, const wd_thread *t, wd_span token)
{
    wd_threads *from = level(m, WD_LEX_TOKEN_MAX + 1), *to = level(m, WD_LEX_TOKEN_MAX);
    const saved s = save(m);
    bool good = from && to;
    if (good) {
        from->n = 1;
        from->t[0] = *t;
    }
    for (size_t i = 0; good && i < token.n; i++) {
        good = try_byte(m, from, token.p[i], to);
        wd_threads *const swap = from;
        from = to;
        to = swap;
    }
    restore(m, s);
    return good;
}

/* A closing quote of a name: the names that may not come are told by their text. */
static bool name_taken(wd_matcher *m, const wd_thread *t, const wd_lex_quote *q)
{
    const wd_span text = wd_buf_view(&m->machine.text), token = m->l->bytes[q->token];
    const size_t skip = t->phase == WD_PH_QUOTE; /* the opening quote is the token's first byte */
    const size_t from = skip ? text.n : t->from;
    wd_buf_clear(&m->name);
    wd_buf_span(&m->name, wd_span_sub(text, from, text.n - from));
    wd_buf_span(&m->name, wd_span_sub(token, skip, q->at - 1 - skip));
    m->machine.failed |= m->name.failed;
    return m->name.failed || wd_machine_taken(&m->machine, t->cell, wd_buf_view(&m->name));
}

static void close_strings(wd_matcher *m, const wd_thread *t, const wd_lex_mask *w, uint64_t *mask)
{
    const wd_lexicon *l = m->l;
    const wd_str_shape *shape = t->shape;
    const uint32_t need = shape && !shape->dfa && shape->min > t->n ? shape->min - t->n : 0;
    const saved s = save(m);
    size_t reached = 0,
           dead = SIZE_MAX; /* levels that hold; the first byte behind the quote that may not come */
    wd_threads *first = level(m, 0);
    if (!first || !w->n_close)
        return;
    /* a name that is not taken, so that its end is known; real ones are looked at one by one */
    first->n = 0;
    wd_thread end = *t;
    end.from = (uint32_t)s.text;
    if (t->name)
        wd_buf_str(&m->machine.text, "\"");
    wd_machine_closed(&m->machine, &end, (uint32_t)m->machine.text.n, first);
    m->mark[0] = m->machine.n_cell;
    const size_t base = m->machine.text.n;
    uint32_t before = 0;
    for (uint32_t i = 0; i < w->n_close; i++) {
        const wd_lex_quote *q = &l->quote[w->close[i]];
        const wd_span rest = behind(l, q);
        size_t same = rest.n;
        for (uint32_t k = before + 1; i && k <= w->close[i]; k++)
            same = WD_MIN(same, l->quote[k].same);
        before = w->close[i];
        same = i ? same : 0;
        if (dead != SIZE_MAX && same > dead)
            continue; /* shares the byte that may not come */
        dead = SIZE_MAX;
        reached = WD_MIN(reached, same);
        while (reached < rest.n) {
            wd_threads *to = level(m, reached + 1);
            restore(m, (saved){ base + reached, m->mark[reached] });
            if (!to || !try_byte(m, m->level[reached], rest.p[reached], to)) {
                dead = reached;
                break;
            }
            m->mark[++reached] = m->machine.n_cell;
        }
        if (dead != SIZE_MAX || w->n_before[i] < need || has_token(mask, q->token))
            continue;
        const saved here = { base + reached, m->mark[reached] };
        restore(m, s);
        if (!t->name || (!name_taken(m, t, q) && (!q->again || takes(m, t, l->bytes[q->token]))))
            put_token(mask, q->token);
        restore(m, here);
    }
    restore(m, s);
}

wd_status wd_matcher_mask(wd_matcher *m, uint64_t *mask, wd_err *err)
{
    memset(mask, 0, m->l->n_word * sizeof *mask);
    if (m->over)
        return WD_OK;
    const bool ends = wd_machine_ends(&m->machine, m->now);
    for (uint32_t i = 0; i < m->now->n; i++) {
        const wd_thread *t = &m->now->t[i];
        if (t->where != WD_AT_STRING)
            continue;
        const wd_lex_mask *w = wd_lexicon__string(m->l, m->c, m->views, t);
        if (!w)
            return no_memory(err);
        for (uint32_t k = 0; k < m->l->n_word; k++)
            mask[k] |= w->bit[k];
        close_strings(m, t, w, mask);
        wd_lexicon__give_back(m->l, w);
    }
    wd_threads *others = level(m, 0);
    if (others) {
        others->n = 0;
        for (uint32_t i = 0; i < m->now->n; i++)
            if (m->now->t[i].where != WD_AT_STRING &&
                (m->now->t[i].where != WD_AT_END || m->machine.line_end))
                others->t[others->n++] = m->now->t[i];
        if (others->n)
            walk_trie(m, mask);
    }
    for (size_t i = 0; ends && i < m->n_end; i++)
        if (m->end[i] < m->l->n_vocab)
            put_token(mask, m->end[i]);
    return trouble(m, err);
}

/* --- moving on --------------------------------------------------------------------------------------------------------- */

static bool is_end(const wd_matcher *m, uint32_t id)
{
    for (size_t i = 0; i < m->n_end; i++)
        if (m->end[i] == id)
            return true;
    return false;
}

wd_status wd_matcher_advance(wd_matcher *m, uint32_t id, wd_err *err)
{
    const saved s = save(m);
    const wd_span bytes = id < m->l->n_vocab ? m->l->bytes[id] : (wd_span){ 0 };
    if (is_end(m, id) && !m->over && wd_matcher_complete(m)) {
        m->over = true;
        return WD_OK;
    }
    wd_threads *from = level(m, 0), *to = level(m, 1);
    if (!from || !to)
        return no_memory(err);
    *from = *m->now;
    bool good = bytes.n > 0 && !m->over;
    for (size_t i = 0; good && i < bytes.n; i++) {
        good = try_byte(m, from, bytes.p[i], to);
        wd_threads *const swap = from;
        from = to;
        to = swap;
    }
    wd_status st = trouble(m, err);
    if (!st && !good)
        st = WD_FAIL(err, WD_E_INVALID, "constraint: token %u may not come here", id);
    if (st) {
        restore(m, s);
        return st;
    }
    *m->now = *from;
    if (m->machine.n_cell > TIDY_AT)
        wd_machine_tidy(&m->machine, m->now);
    return WD_OK;
}

bool wd_matcher_complete(const wd_matcher *m)
{
    return m->over || wd_machine_ends(&m->machine, m->now);
}

/* --- jump-ahead -------------------------------------------------------------------------------------------------------- */

/* The only byte that may come after the threads of *from; *to holds what they become. */
static bool only_byte(wd_matcher *m, const wd_threads *from, uint8_t *byte, wd_threads *to)
{
    wd_threads *some = level(m, 2);
    const saved s = save(m);
    size_t n = 0;
    if (!some || wd_machine_ends(&m->machine, from))
        return false;
    for (uint32_t b = 0; b < 256 && n < 2; b++) {
        if (try_byte(m, from, (uint8_t)b, some) && n++ == 0)
            *byte = (uint8_t)b;
        restore(m, s);
    }
    return n == 1 && !m->machine.crowded && try_byte(m, from, *byte, to);
}

void wd_matcher_ahead_bytes(wd_matcher *m, size_t most, wd_buf *out)
{
    wd_threads *from = level(m, 0), *to = level(m, 1);
    const saved s = save(m);
    uint8_t b;
    if (!from || !to || m->over)
        return;
    *from = *m->now;
    for (size_t i = 0; i < most && only_byte(m, from, &b, to); i++) {
        wd_buf_put(out, &b, 1);
        wd_threads *const swap = from;
        from = to;
        to = swap;
    }
    restore(m, s);
    m->machine.failed = m->machine.text.failed = m->machine.crowded = false;
}

void wd_matcher_ahead(wd_matcher *m, const wd_tokenizer *tok, size_t most, wd_ids *ids)
{
    wd_buf text = { 0 };
    wd_ids cut = { 0 };
    size_t at = 0, good = 0;
    wd_matcher_ahead_bytes(m, AHEAD_BYTES, &text);
    const wd_status st = text.n && !text.failed
                             ? wd_tokenizer_encode(tok, wd_buf_view(&text), WD_TOK_PLAIN, &cut, NULL)
                             : WD_E_INVALID;
    /* the tokens must be these very bytes: text is normalised before it is cut */
    for (; !st && good + 1 < cut.n && good < most; good++) {
        const wd_span b = wd_tokenizer_bytes(tok, cut.v[good]);
        if (!b.n || !wd_span_eq(b, wd_span_sub(wd_buf_view(&text), at, b.n)))
            break;
        at += b.n;
    }
    wd_ids_add(ids, cut.v, good);
    wd_ids_wipe(&cut);
    wd_ids_free(&cut);
    wd_buf_wipe(&text);
    wd_buf_free(&text);
}
