/* The suite "find": is a finding's sentence answered with a slice that shows it?
 *
 * Every true finding that has a sentence and at least one shown slice is one query. The shown slices are ranked by the
 * story itself (or by embeddings), and the ranking is judged with the truth's slices as the relevant ones:
 *
 *   top1, top3   of queries: a relevant slice is first, among the first three
 *   mrr          mean of one over the rank of the first relevant slice
 *   ndcg         mean of the discounted gain (1 / log2(rank + 1) each) over the best possible one
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "care/eval/case.h"
#include "care/eval/claims.h"
#include "care/eval/eval.h"
#include "care/find.h"

#define QUERIES_MAX 100

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "evaluation: no memory");
}

static bool is_relevant(const wd_claim *c, uint32_t number)
{
    for (uint32_t i = 0; i < c->n_slice; i++)
        if (c->slice[i] == number)
            return true;
    return false;
}

/* ---- ranking ---- */

typedef struct ranked {
    uint32_t number; /* of the slice, from 1 */
    double score;
} ranked;

static int best_first(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->number < y->number ? -1 : 1;
}

typedef struct task {
    const wd_eval_run *run;
    const wd_study *study;
    const wd_slices *shown;
    const float **vector; /* [shown->n_picture] of each picture, for the embedding baseline */
    uint32_t dim;
    wd_arena *arena;
} task;

static wd_slices_opts slices_of(const wd_eval_run *r)
{
    return (wd_slices_opts){ .n_slice = r->n_slice, .windows = r->windows, .cancel = r->cancel };
}

static wd_status rank_by_story(const task *t, const wd_claim *c, ranked *out, wd_err *err)
{
    const wd_find_opts o = { .slices = slices_of(t->run), .watch = { .cancel = t->run->cancel } };
    for (uint32_t i = 0; t->run->oracle && i < t->shown->n_picture; i++)
        wd_oracle_expect_score(t->run->oracle, is_relevant(c, t->shown->picture[i].slice + 1) ? 1 : 0);
    wd_find f;
    WD_TRY(wd_find_slices(t->run->engine, t->study, c->text, &o, t->arena, &f, err));
    for (uint32_t i = 0; i < f.n_slice; i++)
        out[i] = (ranked){ f.slice[i].picture->slice + 1, f.slice[i].score };
    return WD_OK;
}

static wd_status embed_part(const task *t, const wd_part *part, const wd_image *image, const float **out,
                            uint32_t *dim, wd_err *err)
{
    const wd_embed rq = { .item = { { part, 1 }, { .image = image, .n_image = image ? 1 : 0 } },
                          .watch = { .cancel = t->run->cancel } };
    size_t n_token;
    wd_engine *e = t->run->engine;
    return e->embed(e->self, t->arena, &rq, out, dim, &n_token, err);
}

/* Each picture once, for all sentences of the case. */
static wd_status embed_pictures(task *t, wd_err *err)
{
    static const wd_part picture = { .kind = WD_PART_IMAGE };
    t->vector = WD_NEW_N(t->arena, const float *, t->shown->n_picture);
    if (!t->vector)
        return no_memory(err);
    for (uint32_t i = 0; i < t->shown->n_picture; i++)
        WD_TRY(embed_part(t, &picture, &t->shown->picture[i].image, &t->vector[i], &t->dim, err));
    return WD_OK;
}

/* Vectors have length 1: the product is the cosine. */
static double product(const float *a, const float *b, uint32_t n)
{
    double v = 0;
    for (uint32_t i = 0; i < n; i++)
        v += (double)a[i] * (double)b[i];
    return v;
}

static wd_status rank_by_embedding(const task *t, const wd_claim *c, ranked *out, wd_err *err)
{
    const wd_part sentence = { WD_PART_TEXT, wd_span_str(c->text) };
    const float *v;
    uint32_t dim;
    WD_TRY(embed_part(t, &sentence, NULL, &v, &dim, err));
    const wd_slices *s = t->shown;
    for (uint32_t i = 0; i < s->n_slice; i++) {
        out[i] = (ranked){ s->picture[(size_t)i * s->n_window].slice + 1, -2 };
        for (uint32_t w = 0; w < s->n_window; w++)
            out[i].score = fmax(out[i].score,
                                product(v, t->vector[(size_t)i * s->n_window + w], WD_MIN(dim, t->dim)));
    }
    qsort(out, s->n_slice, sizeof *out, best_first);
    return WD_OK;
}

/* ---- one case ---- */

static json_t *query_json(const wd_claim *c, const ranked *r, uint32_t n)
{
    json_t *ranking = json_array(), *scores = json_array(), *relevant = json_array();
    for (uint32_t i = 0; i < n; i++) {
        json_array_append_new(ranking, json_integer(r[i].number));
        json_array_append_new(scores, json_real(r[i].score));
    }
    for (uint32_t i = 0; i < n; i++)
        if (is_relevant(c, r[i].number))
            json_array_append_new(relevant, json_integer(r[i].number));
    return json_pack("{s:s, s:s, s:o, s:o, s:o}", "sentence", c->text, "type", wd_lex_type_name(c->type),
                     "relevant", relevant, "ranking", ranking, "scores", scores);
}

static bool is_shown(const wd_slices *s, const wd_claim *c)
{
    for (uint32_t i = 0; i < s->n_picture; i++)
        if (is_relevant(c, s->picture[i].slice + 1))
            return true;
    return false;
}

static wd_status ask_all(task *t, const wd_claim *c, size_t n, json_t *queries, wd_err *err)
{
    ranked *r = WD_NEW_N(t->arena, ranked, t->shown->n_slice);
    if (!r)
        return no_memory(err);
    bool embedded = false;
    for (size_t i = 0; i < n; i++) {
        if (!c[i].text || !is_shown(t->shown, &c[i]))
            continue;
        if (t->run->embedding && !embedded)
            WD_TRY(embed_pictures(t, err));
        embedded = true;
        WD_TRY(t->run->embedding ? rank_by_embedding(t, &c[i], r, err) : rank_by_story(t, &c[i], r, err));
        if (json_array_append_new(queries, query_json(&c[i], r, t->shown->n_slice)))
            return no_memory(err);
    }
    return WD_OK;
}

static wd_status run(const wd_eval_run *r, const char *dir, const json_t *truth, wd_arena *a, json_t **out,
                     wd_err *err)
{
    const char *where = wd_path_join(a, dir, "truth.json");
    wd_claim *claims;
    size_t n_claim;
    wd_study *study;
    wd_slices shown;
    if (!where)
        return no_memory(err);
    WD_TRY(wd_eval__truth(truth, where, r->language, a, &claims, &n_claim, err));
    WD_TRY(wd_eval__study(dir, r->cancel, a, &study, err));
    const wd_slices_opts so = slices_of(r);
    WD_TRY(wd_slices_pick(study, &so, a, &shown, err));
    task t = { .run = r, .study = study, .shown = &shown, .arena = a };
    json_t *queries = json_array();
    wd_status st = queries ? ask_all(&t, claims, n_claim, queries, err) : no_memory(err);
    if (!st) {
        *out = json_pack("{s:I, s:I, s:O}", "findings", (json_int_t)n_claim, "slices",
                         (json_int_t)shown.n_slice, "queries", queries);
        st = *out ? WD_OK : no_memory(err);
    }
    json_decref(queries);
    return st;
}

/* ---- all cases ---- */

typedef struct tally {
    size_t n, top1, top3;
    double mrr, ndcg;
} tally;

static bool holds(const json_t *list, const json_t *number)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), number))
            return true;
    return false;
}

static void tally_query(tally *t, const json_t *q)
{
    const json_t *relevant = json_object_get(q, "relevant"), *ranking = json_object_get(q, "ranking");
    const size_t n_relevant = json_array_size(relevant);
    size_t first = 0;
    double gain = 0, best = 0;
    for (size_t i = 0; i < json_array_size(ranking); i++) {
        const double worth = 1 / log2((double)i + 2);
        best += i < n_relevant ? worth : 0;
        if (!holds(relevant, json_array_get(ranking, i)))
            continue;
        gain += worth;
        first = first ? first : i + 1;
    }
    t->n++;
    t->top1 += first == 1;
    t->top3 += first >= 1 && first <= 3;
    t->mrr += first ? 1 / (double)first : 0;
    t->ndcg += best > 0 ? gain / best : 0;
}

static wd_status set_tally(json_t *m, const tally *t, wd_err *err)
{
    const double n = t->n ? (double)t->n : 1;
    WD_TRY(wd_eval_set(m, "top1", (double)t->top1 / n, t->n, err));
    WD_TRY(wd_eval_set(m, "top3", (double)t->top3 / n, t->n, err));
    WD_TRY(wd_eval_set(m, "mrr", t->mrr / n, t->n, err));
    return wd_eval_set(m, "ndcg", t->ndcg / n, t->n, err);
}

/* Of the queries whose type, or whose case's language, is `name`; NULL: all. */
static wd_status tally_all(json_t *const *result, size_t n, const char *key, const char *name, json_t *m,
                           wd_err *err)
{
    tally t = { 0 };
    for (size_t i = 0; i < n; i++) {
        const json_t *queries = json_object_get(result[i], "queries");
        for (size_t k = 0; k < json_array_size(queries); k++) {
            const json_t *q = json_array_get(queries, k);
            const char *own = !name                      ? NULL
                              : !strcmp(key, "language") ? json_string_value(json_object_get(result[i], key))
                                                         : json_string_value(json_object_get(q, key));
            if (!name || (own && !strcmp(own, name)))
                tally_query(&t, q);
        }
    }
    return set_tally(m, &t, err);
}

static wd_status set_groups(json_t *const *result, size_t n, json_t *by, wd_err *err)
{
    static const struct {
        const char *key, *name[5];
    } groups[] = { { "type", { "nodule", "effusion", "consolidation", "emphysema" } },
                   { "language", { "en", "zh" } } };
    for (size_t g = 0; g < WD_COUNT(groups); g++) {
        json_t *kind = json_object();
        if (json_object_set_new(by, groups[g].key, kind))
            return no_memory(err);
        for (size_t i = 0; groups[g].name[i]; i++) {
            json_t *m = json_object();
            if (json_object_set_new(kind, groups[g].name[i], m))
                return no_memory(err);
            WD_TRY(tally_all(result, n, groups[g].key, groups[g].name[i], m, err));
        }
    }
    return WD_OK;
}

static wd_status score(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    json_t *by = json_object();
    if (json_object_set_new(metrics, "by", by))
        return no_memory(err);
    WD_TRY(tally_all(result, n, NULL, NULL, metrics, err));
    return set_groups(result, n, by, err);
}

/* ---- the blind answer ---- */

/* Slices in the order of how often each is relevant in these cases, whatever the sentence. */
static wd_status blind_query(const json_t *q, const double *often, uint32_t max, wd_arena *a, json_t **out,
                             wd_err *err)
{
    const json_t *ranking = json_object_get(q, "ranking");
    const size_t n = json_array_size(ranking);
    ranked *r = WD_NEW_N(a, ranked, n);
    json_t *numbers = json_array();
    if (!r || !numbers) {
        json_decref(numbers);
        return no_memory(err);
    }
    for (size_t i = 0; i < n; i++) {
        const uint32_t number = (uint32_t)json_integer_value(json_array_get(ranking, i));
        r[i] = (ranked){ number, number <= max ? often[number] : 0 };
    }
    qsort(r, n, sizeof *r, best_first);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(numbers, json_integer(r[i].number));
    *out = json_pack("{s:O, s:O, s:o}", "type", json_object_get(q, "type"), "relevant",
                     json_object_get(q, "relevant"), "ranking", numbers);
    return *out ? WD_OK : no_memory(err);
}

#define NUMBER_MAX 100000u

static void count_relevant(json_t *const *result, size_t n, double *often)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *queries = json_object_get(result[i], "queries");
        for (size_t k = 0; k < json_array_size(queries); k++) {
            const json_t *relevant = json_object_get(json_array_get(queries, k), "relevant");
            for (size_t j = 0; j < json_array_size(relevant); j++) {
                const json_int_t number = json_integer_value(json_array_get(relevant, j));
                if (number > 0 && number <= NUMBER_MAX)
                    often[number]++;
            }
        }
    }
}

static wd_status blind_in(json_t *const *result, size_t n, wd_arena *a, json_t *metrics, wd_err *err)
{
    double *often = WD_NEW_N(a, double, NUMBER_MAX + 1);
    json_t **blind = WD_NEW_N(a, json_t *, n);
    wd_status st = often && blind ? WD_OK : no_memory(err);
    if (!st)
        count_relevant(result, n, often);
    for (size_t i = 0; !st && i < n; i++) {
        json_t *list = json_array();
        const json_t *queries = json_object_get(result[i], "queries");
        blind[i] = json_pack("{s:O, s:o}", "language", json_object_get(result[i], "language"), "queries",
                             list);
        st = blind[i] ? WD_OK : no_memory(err);
        for (size_t k = 0; !st && k < json_array_size(queries); k++) {
            json_t *q = NULL;
            st = blind_query(json_array_get(queries, k), often, NUMBER_MAX, a, &q, err);
            if (!st && json_array_append_new(list, q))
                st = no_memory(err);
        }
    }
    if (!st)
        st = score(blind, n, metrics, err);
    for (size_t i = 0; blind && i < n; i++)
        json_decref(blind[i]);
    return st;
}

static wd_status blind(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    wd_arena *a = wd_arena_create((size_t)1 << 30, false);
    if (!a)
        return no_memory(err);
    const wd_status st = blind_in(result, n, a, metrics, err);
    wd_arena_destroy(a);
    return st;
}

/* The figures that a hospital reported for Qwen3-VL-Reranker-8B in production. */
static const wd_eval_target targets[] = {
    { "top1", "", 0.89, false },
    { "top3", "", 0.961, false },
    { "mrr", "", NAN, false },
    { "ndcg", "", NAN, false },
};

const wd_eval_suite wd_eval_find = {
    .name = "find",
    .brief = "slices ranked by a finding's sentence",
    .target = targets,
    .n_target = WD_COUNT(targets),
    .make = wd_eval__make_ct,
    .run = run,
    .score = score,
    .blind = blind,
};
