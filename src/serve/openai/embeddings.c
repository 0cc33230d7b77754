/* /v1/embeddings: texts, and pictures with them, as vectors. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "serve/inner.h"

typedef struct embed_rq {
    wd_span model, encoding, instruction;
    const json_t *input;
    int64_t dimensions;
} embed_rq;

#define AT(field) offsetof(embed_rq, field)
/* clang-format off */
static const wd_field fields[] = {
    { "model", WD_FIELD_STR, AT(model), false, 0, 0, "name of the model; may be left out" },
    { "input", WD_FIELD_ANY, AT(input), true, 0, 0, "a text, {\"text\", \"image\"}, or an array of these" },
    { "encoding_format", WD_FIELD_STR, AT(encoding), false, 0, 0, "float or base64 (of float32, little-endian)" },
    { "dimensions", WD_FIELD_INT, AT(dimensions), false, 1, 1 << 20, "the first so many values, scaled to length 1" },
    { "instruction", WD_FIELD_STR, AT(instruction), false, 0, 0, "what the vectors are for; default: the model's own" },
};
/* clang-format on */

typedef struct input {
    wd_item item;
    const float *v; /* [dim] */
    uint32_t dim;
    wd_arena *arena; /* where v lives */
    size_t n_token;
} input;

typedef struct embed_job {
    embed_rq rq;
    bool base64;
    input *input; /* [n] each touched by the thread of its item, until finish */
    size_t n;
} embed_job;

static void release(void *state)
{
    embed_job *j = state;
    for (size_t i = 0; i < j->n; i++)
        wd_arena_destroy(j->input[i].arena);
}

static wd_status prepare(wd_req *r, wd_fault *f)
{
    embed_job *j = WD_NEW(r->arena, embed_job);
    if (!j)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    r->state = j;
    WD_TRY(wd_fields_read(fields, WD_COUNT(fields), r->json, "", &j->rq, f));
    j->base64 = wd_span_is(j->rq.encoding, "base64");
    if (j->rq.encoding.n && !j->base64 && !wd_span_is(j->rq.encoding, "float"))
        return wd_fault_set(f, 400, "invalid_value", "encoding_format",
                            "encoding_format: expected float or base64");
    const uint32_t n_embd = r->model->engine->info.n_embd;
    if (n_embd && j->rq.dimensions > n_embd)
        return wd_fault_set(f, 400, "invalid_value", "dimensions", "dimensions is %lld, the model has %u",
                            (long long)j->rq.dimensions, n_embd);
    const bool list = json_is_array(j->rq.input);
    const size_t n = list ? json_array_size(j->rq.input) : 1;
    if (n == 0 || n > r->server->o.max_inputs)
        return wd_fault_set(f, 400, "invalid_value", "input", "input has %zu members, expected 1 to %u", n,
                            r->server->o.max_inputs);
    if (list &&
        (json_is_integer(json_array_get(j->rq.input, 0)) || json_is_array(json_array_get(j->rq.input, 0))))
        return wd_fault_set(f, 400, "unsupported", "input",
                            "input: token ids are not taken, as they are mostly another model's; send text "
                            "(LangChain: check_embedding_ctx_length=False)");
    j->input = WD_NEW_N(r->arena, input, n);
    if (!j->input)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    j->n = r->n_item = n;
    uint64_t pixels = r->server->o.image_pixels;
    for (size_t i = 0; i < n; i++) {
        char param[48];
        snprintf(param, sizeof param, list ? "input[%zu]" : "input", i);
        WD_TRY(wd_serve__item(r, list ? json_array_get(j->rq.input, i) : j->rq.input, param, &pixels,
                              &j->input[i].item, f));
    }
    return WD_OK;
}

static wd_status item(wd_req *r, size_t i, wd_fault *f)
{
    embed_job *j = r->state;
    input *in = &j->input[i];
    wd_err err = { 0 };
    const wd_engine *e = r->model->engine;
    in->arena = wd_arena_create((size_t)1 << 31, true);
    if (!in->arena)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    const wd_embed rq = { .item = in->item,
                          .instruction = j->rq.instruction,
                          .terms = wd_serve__terms(r),
                          .dim = (uint32_t)j->rq.dimensions,
                          .watch = { .cancel = &r->cancel } };
    const wd_status st = e->embed(e->self, in->arena, &rq, &in->v, &in->dim, &in->n_token, &err);
    if (!st)
        return WD_OK;
    char param[48];
    snprintf(param, sizeof param, "input[%zu]", i);
    return wd_fault_of(f, st, param, &err);
}

static void put_vector(const embed_job *j, const input *in, wd_buf *b)
{
    if (j->base64) { /* x86-64 and arm64 hold floats as the format does */
        const size_t bytes = in->dim * sizeof *in->v,
                     n = sodium_base64_ENCODED_LEN(bytes, sodium_base64_VARIANT_ORIGINAL);
        wd_buf_char(b, '"');
        char *to = (char *)wd_buf_grow(b, n);
        if (to)
            sodium_bin2base64(to, n, (const unsigned char *)in->v, bytes, sodium_base64_VARIANT_ORIGINAL);
        if (to)
            b->n--; /* its NUL */
        wd_buf_char(b, '"');
        return;
    }
    wd_buf_char(b, '[');
    for (uint32_t k = 0; k < in->dim; k++)
        wd_buf_printf(b, "%s%.9g", k ? "," : "", (double)in->v[k]);
    wd_buf_char(b, ']');
}

static void finish(wd_req *r)
{
    const embed_job *j = r->state;
    wd_buf b = { 0 };
    size_t n_token = 0;
    wd_buf_str(&b, "{\"object\":\"list\",\"data\":[");
    for (size_t i = 0; i < j->n; i++) {
        wd_buf_printf(&b, "%s{\"object\":\"embedding\",\"index\":%zu,\"embedding\":", i ? "," : "", i);
        put_vector(j, &j->input[i], &b);
        wd_buf_char(&b, '}');
        n_token += j->input[i].n_token;
    }
    wd_buf_str(&b, "],\"model\":");
    wd_buf_json(&b, wd_span_str(r->model->name));
    wd_buf_printf(&b, ",\"usage\":{\"prompt_tokens\":%zu,\"total_tokens\":%zu}}", n_token, n_token);
    wd_serve__account_prompt(r, n_token);
    wd_serve__answer(r, 200, "application/json", &b);
}

const wd_route wd_route_embeddings = {
    .method = "POST",
    .path = "/v1/embeddings",
    .brief = "Texts and pictures as vectors of length 1.",
    .role = WD_MODEL_EMBED,
    .prepare = prepare,
    .item = item,
    .finish = finish,
    .release = release,
    .field = fields,
    .n_field = WD_COUNT(fields),
};
