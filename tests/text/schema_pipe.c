/* For the comparison with a validator of JSON Schema (tools/compare/schema.py): reads jobs, one JSON object a line,
 * answers one object a line.
 *
 *   schema_pipe TOKENIZER_DIR < JOBS
 *
 *   {"schema": {...}, "space": "none"?, "docs": ["text", ...], "draw": 20, "seed": 1, "max": 400}
 *     -> {"error": "...", "status": "..."} or {"accepts": [true, ...], "drawn": ["text", ...], "compile_ms": 0.1,
 *         "mask_us": [...]}
 *   Times are processor time, each the least of TIMES rounds that begin with no mask kept.
 *   "regex": "..." or "choice": [...] may stand for the schema. "sweep": n finds the mask of every state of every string
 *   automaton as if it were met for the first time, "sweep_us": [...], and "sweep_wrong": how many of n of them in each
 *   automaton are not what trying every token byte by byte gives.
 *
 * A drawn text comes from masks over the tokenizer's vocabulary: at each step one of the tokens that may come, short ones
 * mostly and the end with some eagerness, so that texts end. Each token outside the mask that is tried must be refused.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/rand.h"
#include "text/schema/lexicon_inner.h"
#include "text/schema/matcher.h"

#define TIMES 3 /* each mask is found so often anew: the least is ours, the rest is the machine's */
#define LINE_MAX ((size_t)64 << 20)

static void die(const char *what)
{
    fprintf(stderr, "schema_pipe: %s\n", what);
    exit(1);
}

static double cpu_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

typedef struct tools {
    wd_tokenizer *tok;
    wd_lexicon *lex;
    uint32_t end, n_vocab;
    uint64_t *mask;
    uint32_t *may; /* [n_vocab] */
} tools;

static wd_status compile(const json_t *job, wd_constraint **c, wd_err *err)
{
    const json_t *schema = json_object_get(job, "schema"), *choice = json_object_get(job, "choice");
    const char *regex = json_string_value(json_object_get(job, "regex"));
    const char *space = json_string_value(json_object_get(job, "space"));
    wd_status st;
    if (regex)
        return wd_constraint_regex(wd_span_str(regex), c, err);
    if (choice) {
        wd_span text[64];
        const size_t n = json_array_size(choice);
        for (size_t i = 0; i < n && i < WD_COUNT(text); i++)
            text[i] = wd_span_str(json_string_value(json_array_get(choice, i)));
        return wd_constraint_choice(text, n, c, err);
    }
    char *text = json_dumps(schema, JSON_ENCODE_ANY);
    st = wd_constraint_schema(wd_span_str(text), space ? WD_SPACE_NONE : WD_SPACE_BOUNDED, c, err);
    wd_free(text);
    return st;
}

/* A token of the mask: of a few tried, the one that brings the end nearest or the shortest, mostly. */
static uint32_t draw(tools *t, wd_rand *r, size_t n, bool hurry)
{
    uint32_t best = t->may[wd_rand_below(r, n)];
    const int tries = hurry ? 200 : (int)wd_rand_below(r, 4);
    for (int i = 0; i < tries; i++) {
        const uint32_t id = t->may[wd_rand_below(r, n)];
        const wd_span b = wd_tokenizer_bytes(t->tok, id);
        const wd_span o = wd_tokenizer_bytes(t->tok, best);
        const bool closes = b.n && memchr("\"]}", b.p[b.n - 1], 3),
                   closed = o.n && memchr("\"]}", o.p[o.n - 1], 3);
        if (closes != closed ? closes : b.n < o.n)
            best = id;
    }
    return best;
}

/* The time of the i-th mask, if it is the least so far. */
static void keep_least(json_t *times, size_t i, double us)
{
    json_t *so_far = json_array_get(times, i);
    if (!so_far)
        json_array_append_new(times, json_real(us));
    else if (us < json_real_value(so_far))
        json_real_set(so_far, us);
}

static bool draw_text(tools *t, const wd_constraint *c, wd_rand *r, size_t max, wd_buf *text, size_t *n_mask,
                      json_t *times)
{
    wd_matcher *m;
    wd_err err;
    bool over = false;
    if (wd_matcher_create(c, t->lex, &t->end, 1, &m, &err))
        die(err.text);
    for (size_t step = 0; step < max && !over; step++) {
        const double start = cpu_us();
        if (wd_matcher_mask(m, t->mask, &err))
            die(err.text);
        keep_least(times, (*n_mask)++, cpu_us() - start);
        size_t n = 0;
        bool end = false;
        for (uint32_t w = 0; w < (t->n_vocab + 63) / 64; w++)
            for (uint64_t bits = t->mask[w]; bits; bits &= bits - 1) {
                const uint32_t id = w * 64 + (uint32_t)__builtin_ctzll(bits);
                end |= id == t->end;
                if (id != t->end)
                    t->may[n++] = id;
            }
        if (!n && !end)
            die("an empty mask");
        if (end != wd_matcher_complete(m))
            die("the end token is not where the document is complete");
        for (int i = 0; i < 20; i++) { /* tokens outside are refused, and leave no trace */
            const uint32_t id = (uint32_t)wd_rand_below(r, t->n_vocab);
            if (!(t->mask[id / 64] >> id % 64 & 1) && !wd_matcher_advance(m, id, &err))
                die("a token outside the mask was taken");
        }
        over = end && (!n || wd_rand_below(r, 3) == 0 || step > max / 2);
        const uint32_t id = over ? t->end : draw(t, r, n, step > max / 3);
        if (wd_matcher_advance(m, id, &err))
            die(err.text);
        if (!over)
            wd_buf_span(text, wd_tokenizer_bytes(t->tok, id));
    }
    wd_matcher_destroy(m);
    return over;
}

/* --- every state ----------------------------------------------------------------------------------------------------- */

/* What each token does to the string, one after another: what every way of finding masks must agree with. */
static bool is_right(const tools *t, const wd_thread *from, const wd_lex_mask *m)
{
    const wd_lexicon *l = t->lex;
    uint8_t *closes = wd_calloc((size_t)l->n_quote + 1, 1);
    bool good = closes != NULL;
    for (uint32_t i = 0; i < m->n_close; i++)
        closes[m->close[i]] = (uint8_t)(1 + m->n_before[i]);
    for (uint32_t i = 0; good && i < l->n_order; i++) {
        const uint32_t id = l->order[i];
        wd_thread at = *from;
        int how = WD_STR_ON;
        for (size_t k = 0; k < l->bytes[id].n && how == WD_STR_ON; k++)
            how = wd_string_step(&at, l->bytes[id].p[k]);
        good = (m->bit[id / 64] >> id % 64 & 1) == (how == WD_STR_ON);
    }
    for (uint32_t i = 0; good && i < l->n_quote; i++) {
        const wd_lex_quote *q = &l->quote[i];
        wd_thread at = *from;
        int how = WD_STR_ON;
        for (size_t k = 0; k < q->at && how == WD_STR_ON; k++) {
            how = wd_string_step(&at, l->bytes[q->token].p[k]);
            if (how == WD_STR_CLOSED && k + 1 < q->at)
                how = WD_STR_DEAD; /* by a quote before this one */
        }
        good = (how == WD_STR_CLOSED) == (closes[i] != 0);
    }
    wd_free(closes);
    return good;
}

static void sweep(tools *t, const wd_constraint *c, uint32_t n_check, json_t *times, int *wrong)
{
    const wd_lex_views *views = wd_lexicon__views(t->lex, c);
    if (!views)
        die("no memory");
    for (uint32_t n = 0; n < c->n_node; n++)
        for (uint32_t s = 0; s < c->node[n].n_str; s++) {
            const wd_str_shape *shape = &c->node[n].str[s];
            const uint32_t n_state = shape->dfa ? shape->dfa->n_state : 0;
            for (uint32_t q = 0; q < n_state; q++) {
                const wd_thread at = { .where = WD_AT_STRING, .shape = shape, .phase = WD_PH_TEXT, .q = q };
                wd_lex_mask *m = NULL;
                const size_t i = json_array_size(times);
                for (int k = 0; k < TIMES; k++) {
                    wd_lexicon__free_mask(m);
                    const double start = cpu_us();
                    m = wd_lexicon__find(t->lex, views->of[shape->id], &at, UINT32_MAX - 1, NULL);
                    keep_least(times, i, cpu_us() - start);
                    if (!m)
                        die("no memory");
                }
                if (q % ((n_state + n_check - 1) / WD_MAX(n_check, 1) + 1) == 0 && n_check)
                    *wrong += !is_right(t, &at, m);
                wd_lexicon__free_mask(m);
            }
        }
    wd_lexicon__give_back_views(t->lex, views);
}

static json_t *answer(tools *t, const json_t *job)
{
    wd_constraint *c;
    wd_err err;
    double start = cpu_us();
    const wd_status st = compile(job, &c, &err);
    const double compile_ms = (cpu_us() - start) * 1e-3;
    if (st)
        return json_pack("{s:s, s:s}", "error", err.text, "status", wd_status_name(st));
    start = cpu_us();
    const wd_lex_views *views = wd_lexicon__views(t->lex, c);
    const double views_ms = (cpu_us() - start) * 1e-3;
    wd_lexicon__give_back_views(t->lex, views);
    json_t *accepts = json_array(), *drawn = json_array(), *times = json_array(), *doc;
    size_t i, unfinished = 0;
    json_array_foreach(json_object_get(job, "docs"), i, doc) json_array_append_new(
        accepts,
        json_boolean(wd_constraint_accepts(c, wd_span_of(json_string_value(doc), json_string_length(doc)))));
    for (int round = 0; round < TIMES; round++) { /* the same again, but for what is kept */
        wd_rand r;
        size_t n_mask = 0;
        wd_lexicon__forget(t->lex);
        wd_rand_init(&r, (uint64_t)json_integer_value(json_object_get(job, "seed")));
        const size_t max = (size_t)json_integer_value(json_object_get(job, "max"));
        for (json_int_t k = json_integer_value(json_object_get(job, "draw")); k > 0; k--) {
            wd_buf text = { 0 };
            const bool ended = draw_text(t, c, &r, max ? max : 400, &text, &n_mask, times);
            json_t *s = ended && round == 0 ? json_stringn(text.n ? (const char *)text.p : "", text.n) : NULL;
            if (ended && round == 0 && !s)
                die("a drawn text is not UTF-8");
            if (s)
                json_array_append_new(drawn, s);
            unfinished += !ended && round == 0;
            wd_buf_free(&text);
        }
    }
    json_t *swept = json_array();
    int wrong = 0;
    const json_t *n_check = json_object_get(job, "sweep");
    if (n_check)
        sweep(t, c, (uint32_t)json_integer_value(n_check), swept, &wrong);
    wd_constraint_unref(&c);
    return json_pack("{s:o, s:o, s:f, s:f, s:o, s:i, s:o, s:i}", "accepts", accepts, "drawn", drawn,
                     "compile_ms", compile_ms, "views_ms", views_ms, "mask_us", times, "unfinished",
                     (int)unfinished, "sweep_us", swept, "sweep_wrong", wrong);
}

int main(int argc, char **argv)
{
    tools t = { 0 };
    wd_err err;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    if (argc != 2)
        die("usage: schema_pipe TOKENIZER_DIR");
    wd_json_use_our_memory();
    if (wd_tokenizer_open(argv[1], &t.tok, &err))
        die(err.text);
    t.n_vocab = 151936;
    t.end = wd_tokenizer_id(t.tok, "<|im_end|>");
    const double start = cpu_us();
    if (wd_lexicon_create(t.tok, t.n_vocab, &t.lex, &err))
        die(err.text);
    fprintf(stderr, "trie %.1f ms\n", (cpu_us() - start) * 1e-3);
    t.mask = wd_calloc((t.n_vocab + 63) / 64, 8);
    t.may = wd_calloc(t.n_vocab, 4);
    while ((n = getline(&line, &cap, stdin)) > 0) {
        json_t *job;
        if (wd_json_parse(wd_span_of(line, (size_t)n), "job", &job, &err))
            die(err.text);
        json_t *a = answer(&t, job);
        json_dumpf(a, stdout, JSON_COMPACT);
        fputc('\n', stdout);
        fflush(stdout);
        json_decref(a);
        json_decref(job);
    }
    free(line); /* getline's own memory */
    wd_free(t.mask);
    wd_free(t.may);
    wd_lexicon_destroy(t.lex);
    wd_tokenizer_close(t.tok);
    return 0;
}
