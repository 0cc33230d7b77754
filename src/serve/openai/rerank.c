/* /v1/rerank and /v2/rerank: documents by relevance to a query, in the form that Jina's and Cohere's clients read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/inner.h"

typedef struct rank_rq {
    wd_span model, instruction;
    const json_t *query, *documents;
    int64_t top_n;
    bool return_documents;
} rank_rq;

#define AT(field) offsetof(rank_rq, field)
/* clang-format off */
static const wd_field fields[] = {
    { "model", WD_FIELD_STR, AT(model), false, 0, 0, "name of the model; may be left out" },
    { "query", WD_FIELD_ANY, AT(query), true, 0, 0, "a text, or {\"text\", \"image\"}" },
    { "documents", WD_FIELD_ARR, AT(documents), true, 0, 0, "texts, or {\"text\", \"image\"}" },
    { "top_n", WD_FIELD_INT, AT(top_n), false, 1, 1 << 30, "only the best so many" },
    { "return_documents", WD_FIELD_BOOL, AT(return_documents), false, 0, 0, "the documents beside their scores; v1: true" },
    { "instruction", WD_FIELD_STR, AT(instruction), false, 0, 0, "what counts as relevant; default: the model's own" },
};
/* clang-format on */

typedef struct document {
    wd_item item;
    size_t index, n_token;
    double score;
} document;

typedef struct rank_job {
    rank_rq rq;
    wd_item query;
    document *document; /* [n] each touched by the thread of its item, until finish */
    size_t n;
    char id[48];
} rank_job;

static wd_status prepare(wd_req *r, wd_fault *f)
{
    rank_job *j = WD_NEW(r->arena, rank_job);
    uint64_t pixels = r->server->o.image_pixels;
    if (!j)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    r->state = j;
    wd_serve__new_id("rerank-", j->id);
    j->rq.return_documents = r->route == &wd_route_rerank;
    WD_TRY(wd_fields_read(fields, WD_COUNT(fields), r->json, "", &j->rq, f));
    WD_TRY(wd_serve__item(r, j->rq.query, "query", &pixels, &j->query, f));
    const size_t n = json_array_size(j->rq.documents);
    if (n == 0 || n > r->server->o.max_inputs)
        return wd_fault_set(f, 400, "invalid_value", "documents",
                            "documents has %zu members, expected 1 to %u", n, r->server->o.max_inputs);
    j->document = WD_NEW_N(r->arena, document, n);
    if (!j->document)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    for (size_t i = 0; i < n; i++) {
        char param[48];
        snprintf(param, sizeof param, "documents[%zu]", i);
        j->document[i].index = i;
        WD_TRY(
            wd_serve__item(r, json_array_get(j->rq.documents, i), param, &pixels, &j->document[i].item, f));
    }
    j->n = r->n_item = n;
    return WD_OK;
}

static wd_status item(wd_req *r, size_t i, wd_fault *f)
{
    rank_job *j = r->state;
    document *d = &j->document[i];
    wd_err err = { 0 };
    const wd_engine *e = r->model->engine;
    wd_arena *a = wd_arena_create((size_t)1 << 31, true);
    if (!a)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    const wd_rerank_pair rq = { .query = j->query,
                                .document = d->item,
                                .instruction = j->rq.instruction,
                                .terms = wd_serve__terms(r),
                                .watch = { .cancel = &r->cancel } };
    const wd_status st = e->rerank(e->self, a, &rq, &d->score, &d->n_token, &err);
    wd_arena_destroy(a);
    if (!st)
        return WD_OK;
    char param[48];
    snprintf(param, sizeof param, "documents[%zu]", i);
    return wd_fault_of(f, st, param, &err);
}

static int by_score(const void *a, const void *b)
{
    const document *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->index < y->index ? -1 : 1;
}

static void put_document(const rank_job *j, size_t index, wd_buf *b)
{
    const json_t *v = json_array_get(j->rq.documents, index);
    const json_t *text = json_is_object(v) ? json_object_get(v, "text") : v;
    if (!json_is_string(text)) /* a picture is not sent back */
        return;
    wd_buf_str(b, ",\"document\":{\"text\":");
    wd_buf_json(b, wd_json_span(text));
    wd_buf_char(b, '}');
}

static void finish(wd_req *r)
{
    rank_job *j = r->state;
    wd_buf b = { 0 };
    size_t n_token = 0;
    for (size_t i = 0; i < j->n; i++)
        n_token += j->document[i].n_token;
    qsort(j->document, j->n, sizeof *j->document, by_score);
    wd_buf_printf(&b, "{\"id\":\"%s\",\"model\":", j->id);
    wd_buf_json(&b, wd_span_str(r->model->name));
    wd_buf_str(&b, ",\"results\":[");
    const size_t n = j->rq.top_n ? WD_MIN(j->n, (size_t)j->rq.top_n) : j->n;
    for (size_t i = 0; i < n; i++) {
        const document *d = &j->document[i];
        wd_buf_printf(&b, "%s{\"index\":%zu,\"relevance_score\":%.9g", i ? "," : "", d->index, d->score);
        if (j->rq.return_documents)
            put_document(j, d->index, &b);
        wd_buf_char(&b, '}');
    }
    wd_buf_printf(
        &b,
        "],\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu},\"meta\":{\"api_version\":{\"version\":"
        "\"%s\"},\"billed_units\":{\"search_units\":1}}}",
        n_token, n_token, r->route == &wd_route_rerank ? "1" : "2");
    wd_serve__account_prompt(r, n_token);
    wd_serve__answer(r, 200, "application/json", &b);
}

#define RERANK(name, where)                                                        \
    const wd_route name = { .method = "POST",                                      \
                            .path = where,                                         \
                            .brief = "Documents by relevance to a query, 0 to 1.", \
                            .role = WD_MODEL_RERANK,                               \
                            .prepare = prepare,                                    \
                            .item = item,                                          \
                            .finish = finish,                                      \
                            .field = fields,                                       \
                            .n_field = WD_COUNT(fields) }
RERANK(wd_route_rerank, "/v1/rerank");
RERANK(wd_route_rerank_v2, "/v2/rerank");
