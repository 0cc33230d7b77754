/* /tokenize and /detokenize, in the form of vLLM's server. */
#include <string.h>

#include "serve/inner.h"
#include "text/prompt.h"

typedef struct tokens_rq {
    wd_span model;
    const json_t *prompt, *content, *messages, *tools, *kwargs, *tokens;
    bool add_special_tokens, add_generation_prompt, return_token_strs;
} tokens_rq;

#define AT(field) offsetof(tokens_rq, field)
/* clang-format off */
static const wd_field fields[] = {
    { "model", WD_FIELD_STR, AT(model), false, 0, 0, "name of the model; may be left out" },
    { "prompt", WD_FIELD_ANY, AT(prompt), false, 0, 0, "a text; special tokens are recognised in it" },
    { "content", WD_FIELD_ANY, AT(content), false, 0, 0, "the same under llama.cpp's name" },
    { "messages", WD_FIELD_ARR, AT(messages), false, 0, 0, "a chat, in the place of a prompt; without pictures" },
    { "tools", WD_FIELD_ARR, AT(tools), false, 0, 0, "of the chat" },
    { "chat_template_kwargs", WD_FIELD_OBJ, AT(kwargs), false, 0, 0, "enable_thinking, add_vision_id" },
    { "add_generation_prompt", WD_FIELD_BOOL, AT(add_generation_prompt), false, 0, 0, "of the chat; default true" },
    { "add_special_tokens", WD_FIELD_BOOL, AT(add_special_tokens), false, 0, 0, "what the tokenizer puts around a text; default true" },
    { "return_token_strs", WD_FIELD_BOOL, AT(return_token_strs), false, 0, 0, "the tokens as text beside their ids" },
};
static const wd_field detokenize_fields[] = {
    { "model", WD_FIELD_STR, AT(model), false, 0, 0, "name of the model; may be left out" },
    { "tokens", WD_FIELD_ARR, AT(tokens), true, 0, 0, "ids" },
};
/* clang-format on */

typedef struct tokens_job {
    tokens_rq rq;
    wd_ids ids;
    wd_buf text;
} tokens_job;

static void release(void *state)
{
    tokens_job *j = state;
    wd_ids_wipe(&j->ids);
    wd_ids_free(&j->ids);
    wd_buf_wipe(&j->text);
    wd_buf_free(&j->text);
}

static wd_status begin(wd_req *r, const wd_field *table, size_t n, tokens_job **out, wd_fault *f)
{
    tokens_job *j = WD_NEW(r->arena, tokens_job);
    *out = j;
    if (!j)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    r->state = j;
    j->rq.add_special_tokens = j->rq.add_generation_prompt = true;
    WD_TRY(wd_fields_read(table, n, r->json, "", &j->rq, f));
    return wd_serve__need_tokenizer(r, NULL, f);
}

static wd_status encode_chat(wd_req *r, tokens_job *j, wd_fault *f)
{
    wd_messages m;
    wd_chat chat = { .kind = r->model->kind, .no_generation_prompt = !j->rq.add_generation_prompt };
    wd_chat_text text;
    wd_prompt p;
    wd_err err = { 0 };
    WD_TRY(wd_serve__template_kwargs(j->rq.kwargs, &chat, f));
    WD_TRY(wd_serve__messages(r, j->rq.messages, &m, f));
    if (m.shown.n_image || m.shown.n_video)
        return wd_fault_set(f, 400, "unsupported", "messages",
                            "messages: pictures have no tokens before the model looks at them");
    chat.message = m.message;
    chat.n_message = m.n;
    if (json_array_size(j->rq.tools))
        chat.tools = (wd_chat_json){ .value = j->rq.tools };
    wd_status st = wd_chat_render(r->arena, &chat, &text, &err);
    if (!st)
        st = wd_prompt_encode(r->arena, r->model->tokenizer, &text, NULL, false, 0, &p, &err);
    if (!st) {
        wd_ids_add(&j->ids, p.id, p.n_id);
        st = wd_ids_check(&j->ids, "messages", &err);
    }
    return st ? wd_fault_of(f, st, "messages", &err) : WD_OK;
}

static wd_status prepare(wd_req *r, wd_fault *f)
{
    tokens_job *j;
    wd_err err = { 0 };
    WD_TRY(begin(r, fields, WD_COUNT(fields), &j, f));
    if (j->rq.messages)
        return encode_chat(r, j, f);
    const json_t *text = j->rq.prompt ? j->rq.prompt : j->rq.content;
    if (!json_is_string(text))
        return wd_fault_set(f, 400, text ? "invalid_type" : "missing", "prompt",
                            "prompt is %s, expected a string", text ? wd_json_kind(text) : "missing");
    const unsigned flags = WD_TOK_SPECIAL | (j->rq.add_special_tokens ? WD_TOK_POST : 0);
    const wd_status st = wd_tokenizer_encode(r->model->tokenizer, wd_json_span(text), flags, &j->ids, &err);
    return st ? wd_fault_of(f, st, "prompt", &err) : WD_OK;
}

static void finish(wd_req *r)
{
    const tokens_job *j = r->state;
    wd_buf b = { 0 };
    wd_buf_printf(&b, "{\"count\":%zu,\"max_model_len\":%u,\"tokens\":[", j->ids.n,
                  r->model->engine->info.context);
    for (size_t i = 0; i < j->ids.n; i++)
        wd_buf_printf(&b, "%s%u", i ? "," : "", j->ids.v[i]);
    wd_buf_str(&b, "],\"token_strs\":");
    for (size_t i = 0; i < j->ids.n && j->rq.return_token_strs; i++) {
        wd_buf_char(&b, i ? ',' : '[');
        wd_serve__token_text(r->model->tokenizer, j->ids.v[i], &b);
    }
    wd_buf_str(&b, !j->rq.return_token_strs ? "null}" : j->ids.n ? "]}" : "[]}");
    wd_serve__answer(r, 200, "application/json", &b);
}

static wd_status prepare_text(wd_req *r, wd_fault *f)
{
    tokens_job *j;
    wd_err err = { 0 };
    WD_TRY(begin(r, detokenize_fields, WD_COUNT(detokenize_fields), &j, f));
    const uint32_t n_vocab = wd_tokenizer_n_vocab(r->model->tokenizer);
    for (size_t i = 0; i < json_array_size(j->rq.tokens); i++) {
        const json_t *v = json_array_get(j->rq.tokens, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) >= (json_int_t)n_vocab)
            return wd_fault_set(f, 400, "invalid_value", "tokens", "tokens[%zu] is no id from 0 to %u", i,
                                n_vocab - 1);
        wd_ids_put(&j->ids, (uint32_t)json_integer_value(v));
    }
    wd_status st = wd_ids_check(&j->ids, "tokens", &err);
    if (!st)
        st = wd_tokenizer_decode(r->model->tokenizer, j->ids.v, j->ids.n, false, &j->text, &err);
    return st ? wd_fault_of(f, st, "tokens", &err) : WD_OK;
}

static void finish_text(wd_req *r)
{
    const tokens_job *j = r->state;
    wd_buf b = { 0 };
    wd_buf_str(&b, "{\"prompt\":");
    wd_buf_json(&b, wd_buf_view(&j->text));
    wd_buf_str(&b, ",\"content\":");
    wd_buf_json(&b, wd_buf_view(&j->text));
    wd_buf_char(&b, '}');
    wd_serve__answer(r, 200, "application/json", &b);
}

const wd_route wd_route_tokenize = {
    .method = "POST",
    .path = "/tokenize",
    .brief = "A text or a chat as the model's tokens.",
    .prepare = prepare,
    .finish = finish,
    .release = release,
    .field = fields,
    .n_field = WD_COUNT(fields),
};
const wd_route wd_route_detokenize = {
    .method = "POST",
    .path = "/detokenize",
    .brief = "Tokens as text.",
    .prepare = prepare_text,
    .finish = finish_text,
    .release = release,
    .field = detokenize_fields,
    .n_field = WD_COUNT(detokenize_fields),
};
