/* Embedding and reranking by an upstream: one JSON document each. */
#include <math.h>

#include "base/json.h"
#include "engine/remote/inner.h"

#define DOCUMENT_BYTES_MAX ((size_t)8 << 20)
#define DIM_MAX 65536
#define UNIT 1e-3 /* how far a vector's length may be from 1 before it is scaled */

typedef struct scoring {
    const wd_remote *r;
    const wd_embed *embed; /* or */
    const wd_rerank_pair *pair;
    wd_buf text;
} scoring;

static wd_status write_body(void *self, wd_upstream_kind kind, wd_buf *out, wd_err *err)
{
    const scoring *s = self;
    return s->embed ? wd_remote__write_embed(s->r, s->embed, kind, out, err)
                    : wd_remote__write_rerank(s->r, s->pair, kind, out, err);
}

static wd_status collect(void *self, wd_span bytes, wd_err *err)
{
    scoring *s = self;
    wd_buf_span(&s->text, bytes);
    return wd_buf_check(&s->text, "reply", err);
}

static wd_status corrupt(const char *name, const char *what, wd_err *err)
{
    return WD_FAIL(err, WD_E_CORRUPT, "%s: its reply is not what the API says: %s", name, what);
}

/* The document that the upstream sends, to be released. */
static wd_status ask(wd_remote *r, scoring *s, const char *path, const wd_watch *w, const wd_terms *terms,
                     const char **name, json_t **out, wd_err *err)
{
    wd_err ignored;
    wd_remote__call c = { .path = path,
                          .body = write_body,
                          .data = collect,
                          .self = s,
                          .max_bytes = DOCUMENT_BYTES_MAX,
                          .watch = w,
                          .terms = terms };
    *out = NULL;
    wd_status st = wd_remote__do(r, &c, err);
    *name = c.name;
    if (!st && wd_json_parse(wd_buf_view(&s->text), "reply", out, &ignored))
        st = corrupt(c.name, "it is not JSON", err);
    wd_buf_wipe(&s->text);
    wd_buf_free(&s->text);
    return st;
}

static size_t prompt_tokens(wd_remote *r, const json_t *v)
{
    const json_t *u = json_object_get(v, "usage"), *n = json_object_get(u, "prompt_tokens");
    if (!n)
        n = json_object_get(u, "total_tokens");
    const json_int_t i = json_integer_value(n);
    const size_t n_token = i > 0 && i < INT32_MAX ? (size_t)i : 0;
    pthread_mutex_lock(&r->mu);
    r->stats.n_prompt += n_token;
    pthread_mutex_unlock(&r->mu);
    return n_token;
}

static wd_status read_vector(const json_t *list, const char *name, wd_arena *a, uint32_t want,
                             const float **out, uint32_t *dim, wd_err *err)
{
    const size_t n = json_array_size(list);
    double sum = 0;
    if (n < 1 || n > DIM_MAX || (want && n != want))
        return corrupt(name, "the vector has not as many values as it should", err);
    float *v = WD_NEW_N(a, float, n);
    if (!v)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its reply", name);
    for (size_t i = 0; i < n; i++) {
        const json_t *x = json_array_get(list, i);
        v[i] = (float)json_number_value(x);
        sum += (double)v[i] * (double)v[i];
        if (!json_is_number(x) || !isfinite(v[i]))
            return corrupt(name, "a value of the vector is no number", err);
    }
    const double length = sqrt(sum);
    if (!(length > 0) || !isfinite(length))
        return corrupt(name, "the vector has no length", err);
    for (size_t i = 0; fabs(length - 1) > UNIT && i < n; i++)
        v[i] = (float)((double)v[i] / length);
    *out = v;
    *dim = (uint32_t)n;
    return WD_OK;
}

wd_status wd_remote__embed(void *self, wd_arena *a, const wd_embed *rq, const float **out, uint32_t *dim,
                           size_t *n_token, wd_err *err)
{
    wd_remote *r = self;
    scoring s = { .r = r, .embed = rq, .text.max = DOCUMENT_BYTES_MAX + 1 };
    const char *name;
    json_t *v;
    WD_TRY(ask(r, &s, "/embeddings", &rq->watch, &rq->terms, &name, &v, err));
    const json_t *one = json_array_get(json_object_get(v, "data"), 0);
    const wd_status st = read_vector(json_object_get(one, "embedding"), name, a, rq->dim, out, dim, err);
    if (!st)
        *n_token = prompt_tokens(r, v);
    json_decref(v);
    return st;
}

wd_status wd_remote__rerank(void *self, wd_arena *a, const wd_rerank_pair *rq, double *score, size_t *n_token,
                            wd_err *err)
{
    wd_remote *r = self;
    scoring s = { .r = r, .pair = rq, .text.max = DOCUMENT_BYTES_MAX + 1 };
    const char *name;
    json_t *v;
    wd_status st = WD_OK;
    (void)a;
    WD_TRY(ask(r, &s, "/rerank", &rq->watch, &rq->terms, &name, &v, err));
    const json_t *list = json_is_array(v) ? v
                                          : json_object_get(v, "results"); /* SGLang's is the array alone */
    const json_t *one = json_array_get(list, 0), *x = json_object_get(one, "relevance_score");
    if (!x)
        x = json_object_get(one, "score");
    const double got = json_number_value(x);
    if (json_array_size(list) != 1 || !json_is_number(x))
        st = corrupt(name, "expected one score", err);
    else if (!(got >= 0 && got <= 1))
        st = corrupt(name, "a score that is not from 0 to 1", err);
    if (!st) {
        *score = got;
        *n_token = prompt_tokens(r, v);
    }
    json_decref(v);
    return st;
}
