/* What the port is asked for, in the words of OpenAI's API and its servers' extensions (sources: OpenAI's API reference;
 * vllm/entrypoints/openai/chat_completion/protocol.py of vLLM 0.32; SGLang's documentation of structured outputs;
 * tools/server/README.md of llama.cpp). */
#include <math.h>
#include <sodium.h>
#include <stdio.h>

#include "engine/remote/inner.h"
#include "text/jsontext.h"

#define BODY_BYTES_MAX ((size_t)1 << 30)

enum { FILTERS = 1, REPETITION = 2, IGNORE_EOS = 4, REGEX = 8, CHOICE = 16, ITEMS = 32 };

static const unsigned knows[WD_UPSTREAM_N_KIND] = {
    [WD_UPSTREAM_WARD] = FILTERS | REPETITION | IGNORE_EOS | REGEX | CHOICE | ITEMS,
    [WD_UPSTREAM_VLLM] = FILTERS | REPETITION | IGNORE_EOS | REGEX | CHOICE,
    [WD_UPSTREAM_SGLANG] = FILTERS | REPETITION | IGNORE_EOS | REGEX,
    [WD_UPSTREAM_LLAMACPP] = FILTERS | IGNORE_EOS,
};

static wd_status cannot(wd_upstream_kind kind, const char *what, wd_err *err)
{
    return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: an upstream of kind %s has no field for it", what,
                   wd_upstream_kind_name(kind));
}

static wd_status ended(const wd_buf *out, wd_err *err)
{
    return out->failed ? WD_FAIL(err, WD_E_NOMEM, "remote: no memory for the request") : WD_OK;
}

/* A number as JSON has it. */
static void put_num(wd_buf *out, const char *key, float v)
{
    wd_buf_printf(out, ",\"%s\":", key);
    wd_jsontext_float((double)v, out);
}

static void put_key_text(wd_buf *out, const char *key, wd_span text)
{
    wd_buf_printf(out, ",\"%s\":", key);
    wd_buf_json(out, text);
}

static void begin(const wd_remote *r, wd_buf *out)
{
    out->max = BODY_BYTES_MAX;
    wd_buf_str(out, "{\"model\":");
    wd_buf_json(out, wd_span_str(r->model));
}

/* --- pictures ---------------------------------------------------------------------------------------------- */

/* "data:image/png;base64,..." with its quotes. */
static wd_status put_picture(const wd_remote *r, const wd_image *im, wd_buf *out, wd_err *err)
{
    wd_buf png = { 0 };
    if (!r->o.png)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "this engine sends no pictures");
    wd_status st = r->o.png(im, &png, err);
    if (!st) {
        const size_t n = sodium_base64_ENCODED_LEN(png.n, sodium_base64_VARIANT_ORIGINAL);
        wd_buf_str(out, "\"data:image/png;base64,");
        char *to = (char *)wd_buf_grow(out, n);
        if (to) {
            sodium_bin2base64(to, n, png.p, png.n, sodium_base64_VARIANT_ORIGINAL);
            out->n--; /* its NUL */
        }
        wd_buf_char(out, '"');
        st = ended(out, err);
    }
    wd_buf_wipe(&png);
    wd_buf_free(&png);
    return st;
}

/* --- messages ---------------------------------------------------------------------------------------------- */

typedef struct chat_writer {
    const wd_remote *r;
    const wd_generate *rq;
    wd_buf *out;
    uint32_t n_image;
    size_t n_call,
        n_answer; /* ids of calls, and of answers to them: both count from the conversation's beginning */
} chat_writer;

static wd_status put_part(chat_writer *w, const wd_part *p, wd_err *err)
{
    if (p->kind == WD_PART_TEXT) {
        wd_buf_str(w->out, "{\"type\":\"text\",\"text\":");
        wd_buf_json(w->out, p->text);
        wd_buf_char(w->out, '}');
        return WD_OK;
    }
    if (w->n_image >= w->rq->media.n_image)
        return WD_FAIL(err, WD_E_INVALID, "the messages have more places for pictures than there are");
    wd_buf_str(w->out, "{\"type\":\"image_url\",\"image_url\":{\"url\":");
    WD_TRY(put_picture(w->r, &w->rq->media.image[w->n_image++], w->out, err));
    wd_buf_str(w->out, "}}");
    return WD_OK;
}

static wd_status put_content(chat_writer *w, const wd_message *m, wd_err *err)
{
    if (!m->n_part) {
        wd_buf_str(w->out, m->n_call ? "null" : "\"\"");
    } else if (m->n_part == 1 && m->part[0].kind == WD_PART_TEXT && !m->is_list) {
        wd_buf_json(w->out, m->part[0].text);
    } else {
        for (size_t i = 0; i < m->n_part; i++) {
            wd_buf_char(w->out, i ? ',' : '[');
            WD_TRY(put_part(w, &m->part[i], err));
        }
        wd_buf_char(w->out, ']');
    }
    return WD_OK;
}

/* JSON in a string, as arguments are sent. */
static wd_status put_arguments(const wd_tool_call *c, wd_buf *out, wd_err *err)
{
    wd_buf text = { 0 };
    wd_status st = WD_OK;
    if (c->args.value)
        st = wd_jsontext_value(c->args.value, "arguments", &text, err);
    else
        wd_buf_span(&text, c->args.text);
    if (!st) {
        wd_buf_json(out, wd_buf_view(&text));
        st = text.failed ? WD_FAIL(err, WD_E_NOMEM, "remote: no memory for the request") : WD_OK;
    }
    wd_buf_wipe(&text);
    wd_buf_free(&text);
    return st;
}

static wd_status put_message(chat_writer *w, const wd_message *m, wd_err *err)
{
    static const char *const roles[] = { "system", "user", "assistant", "tool" };
    wd_buf_printf(w->out, "{\"role\":\"%s\",\"content\":", roles[m->role]);
    WD_TRY(put_content(w, m, err));
    if (m->role == WD_ROLE_TOOL)
        wd_buf_printf(w->out, ",\"tool_call_id\":\"call_%zu\"", w->n_answer++);
    if (m->role == WD_ROLE_ASSISTANT && m->has_reasoning)
        put_key_text(w->out, "reasoning_content", m->reasoning);
    for (size_t i = 0; i < m->n_call; i++) {
        wd_buf_printf(w->out, "%s{\"id\":\"call_%zu\",\"type\":\"function\",\"function\":{\"name\":",
                      i ? "," : ",\"tool_calls\":[", w->n_call++);
        wd_buf_json(w->out, m->call[i].name);
        wd_buf_str(w->out, ",\"arguments\":");
        WD_TRY(put_arguments(&m->call[i], w->out, err));
        wd_buf_str(w->out, i + 1 == m->n_call ? "}}]" : "}}");
    }
    wd_buf_char(w->out, '}');
    return WD_OK;
}

static wd_status put_tools(const wd_chat_json *tools, wd_buf *out, wd_err *err)
{
    char kind = 0;
    if (!tools->value && !tools->text.n)
        return WD_OK;
    wd_buf_str(out, ",\"tools\":");
    if (tools->value)
        return wd_jsontext_value(tools->value, "tools", out, err);
    WD_TRY(wd_jsontext_text(tools->text, "tools", &kind, out, err));
    return kind == '[' ? WD_OK : WD_FAIL(err, WD_E_INVALID, "tools: expected a JSON array");
}

static void put_template_kwargs(const wd_chat *c, wd_buf *out)
{
    const bool think = c->enable_thinking != WD_UNSET;
    if (!think && !c->add_vision_id)
        return;
    wd_buf_str(out, ",\"chat_template_kwargs\":{");
    if (think)
        wd_buf_printf(out, "\"enable_thinking\":%s", c->enable_thinking == WD_ON ? "true" : "false");
    if (c->add_vision_id)
        wd_buf_printf(out, "%s\"add_vision_id\":true", think ? "," : "");
    wd_buf_char(out, '}');
}

static wd_status put_chat(const wd_remote *r, const wd_generate *rq, wd_buf *out, wd_err *err)
{
    chat_writer w = { .r = r, .rq = rq, .out = out };
    if (!rq->chat.n_message)
        return WD_FAIL(err, WD_E_INVALID, "chat: no messages");
    for (size_t i = 0; i < rq->chat.n_message; i++) {
        wd_buf_str(out, i ? "," : ",\"messages\":[");
        WD_TRY(put_message(&w, &rq->chat.message[i], err));
    }
    wd_buf_char(out, ']');
    if (w.n_image != rq->media.n_image)
        return WD_FAIL(err, WD_E_INVALID, "the messages have %u places for %u pictures", w.n_image,
                       rq->media.n_image);
    WD_TRY(put_tools(&rq->chat.tools, out, err));
    put_template_kwargs(&rq->chat, out);
    return WD_OK;
}

/* --- sampling ---------------------------------------------------------------------------------------------- */

static wd_status put_filters(const wd_sample_opts *s, wd_upstream_kind kind, wd_buf *out, wd_err *err)
{
    const bool can = knows[kind] & FILTERS;
    if (!isnan(s->top_p))
        put_num(out, "top_p", s->top_p);
    if (s->top_k != WD_TOP_K_UNKNOWN) {
        if (s->top_k > 0 && !can)
            return cannot(kind, "top_k", err);
        if (can)
            wd_buf_printf(out, ",\"top_k\":%d", s->top_k > 0 ? (int)s->top_k : -1);
    }
    if (s->min_p > 0 && !can)
        return cannot(kind, "min_p", err);
    if (can)
        put_num(out, "min_p", s->min_p);
    wd_buf_printf(out, ",\"seed\":%llu", (unsigned long long)(s->seed & INT64_MAX)); /* servers take int64 */
    return WD_OK;
}

static wd_status put_sampling(const wd_generate *rq, wd_upstream_kind kind, wd_buf *out, wd_err *err)
{
    const wd_sample_opts *s = &rq->sample;
    if (!isnan(s->temperature))
        put_num(out, "temperature", s->temperature);
    if (isnan(s->temperature) || s->temperature > 0)
        WD_TRY(put_filters(s, kind, out, err));
    if (!isnan(s->repetition_penalty) && !(knows[kind] & REPETITION) &&
        (s->repetition_penalty < 1 || s->repetition_penalty > 1))
        return cannot(kind, "repetition_penalty", err);
    if (!isnan(s->repetition_penalty) && knows[kind] & REPETITION)
        put_num(out, "repetition_penalty", s->repetition_penalty);
    if (s->frequency_penalty < 0 || s->frequency_penalty > 0)
        put_num(out, "frequency_penalty", s->frequency_penalty);
    if (s->presence_penalty < 0 || s->presence_penalty > 0)
        put_num(out, "presence_penalty", s->presence_penalty);
    for (uint32_t i = 0; i < s->n_bias; i++) {
        wd_buf_printf(out, "%s\"%u\":", i ? "," : ",\"logit_bias\":{", s->bias[i].id);
        wd_jsontext_float((double)s->bias[i].bias, out);
        if (i + 1 == s->n_bias)
            wd_buf_char(out, '}');
    }
    if (rq->max_tokens)
        wd_buf_printf(out, ",\"max_tokens\":%u", rq->max_tokens);
    for (size_t i = 0; i < rq->n_stop; i++) {
        wd_buf_str(out, i ? "," : ",\"stop\":[");
        wd_buf_json(out, rq->stop[i]);
        if (i + 1 == rq->n_stop)
            wd_buf_char(out, ']');
    }
    if (rq->ignore_stop_ids && !(knows[kind] & IGNORE_EOS))
        return cannot(kind, "going on after an end token", err);
    if (rq->ignore_stop_ids)
        wd_buf_str(out, ",\"ignore_eos\":true");
    return WD_OK;
}

static wd_status put_constraint(const wd_constraint *c, wd_upstream_kind kind, wd_buf *out, wd_err *err)
{
    const wd_constraint_source *s = wd_constraint_source_of(c);
    switch (s->kind) {
    case WD_CONSTRAINT_OBJECT:
        wd_buf_str(out, ",\"response_format\":{\"type\":\"json_object\"}");
        return WD_OK;
    case WD_CONSTRAINT_SCHEMA: /* compiled before: it is JSON */
        wd_buf_str(out, ",\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"name\":\"reply\","
                        "\"strict\":true,\"schema\":");
        wd_buf_span(out, s->text);
        wd_buf_str(out, "}}");
        return WD_OK;
    case WD_CONSTRAINT_REGEX:
        if (!(knows[kind] & REGEX))
            return cannot(kind, "a regular expression", err);
        if (kind == WD_UPSTREAM_SGLANG) {
            put_key_text(out, "regex", s->text);
            return WD_OK;
        }
        wd_buf_str(out, ",\"structured_outputs\":{\"regex\":");
        wd_buf_json(out, s->text);
        wd_buf_char(out, '}');
        return WD_OK;
    case WD_CONSTRAINT_CHOICE:
        if (!(knows[kind] & CHOICE))
            return cannot(kind, "one of some texts", err);
        for (size_t i = 0; i < s->n_choice; i++) {
            wd_buf_str(out, i ? "," : ",\"structured_outputs\":{\"choice\":[");
            wd_buf_json(out, s->choice[i]);
        }
        wd_buf_str(out, "]}");
        return WD_OK;
    }
    return WD_FAIL(err, WD_E_INTERNAL, "a constraint of an unknown kind");
}

/* vLLM keeps what it has cached apart by this. Nobody outside can guess another tenant's. */
static void put_cache_salt(const wd_remote *r, uint64_t tenant, wd_buf *out)
{
    uint8_t hash[16];
    char hex[2 * sizeof hash + 1];
    crypto_generichash(hash, sizeof hash, (const uint8_t *)&tenant, sizeof tenant, r->salt, sizeof r->salt);
    wd_buf_printf(out, ",\"cache_salt\":\"%s\"", sodium_bin2hex(hex, sizeof hex, hash, sizeof hash));
}

wd_status wd_remote__check_generate(const wd_remote *r, const wd_generate *rq, wd_err *err)
{
    if (rq->logprobs || rq->prompt_logprobs)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "log-probabilities: an upstream does not say which tokens they are of");
    if (rq->media.n_video)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "videos are not sent to an upstream");
    if (rq->media.n_image && !r->o.png)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "this engine sends no pictures");
    if (rq->chat.no_generation_prompt)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "an upstream always opens the assistant's turn");
    if (rq->constraint && rq->ignore_stop_ids)
        return WD_FAIL(err, WD_E_USAGE, "a constrained reply ends: end tokens cannot be ignored");
    return WD_OK;
}

wd_status wd_remote__write_generate(const wd_remote *r, const wd_generate *rq, wd_upstream_kind kind,
                                    wd_buf *out, wd_err *err)
{
    begin(r, out);
    wd_buf_str(out, ",\"stream\":true,\"stream_options\":{\"include_usage\":true}");
    if (rq->prompt) {
        for (size_t i = 0; i < rq->n_prompt; i++)
            wd_buf_printf(out, "%s%u", i ? "," : ",\"prompt\":[", rq->prompt[i]);
        wd_buf_char(out, ']');
        if (!rq->n_prompt)
            return WD_FAIL(err, WD_E_INVALID, "prompt: no token");
        if (!rq->max_tokens) /* 16 by default, as in OpenAI's API */
            return WD_FAIL(err, WD_E_UNSUPPORTED, "an upstream wants to know how many tokens may be added");
    } else {
        WD_TRY(put_chat(r, rq, out, err));
    }
    WD_TRY(put_sampling(rq, kind, out, err));
    if (rq->constraint) {
        WD_TRY(put_constraint(rq->constraint, kind, out, err));
        if (!rq->prompt && (rq->chat.tools.value || rq->chat.tools.text.n))
            wd_buf_str(out, ",\"tool_choice\":\"none\"");
    }
    if (kind == WD_UPSTREAM_VLLM && rq->terms.tenant)
        put_cache_salt(r, rq->terms.tenant, out);
    wd_buf_char(out, '}');
    return ended(out, err);
}

/* --- items ------------------------------------------------------------------------------------------------- */

/* A text, or Ward's {"text": ..., "image": "data:..."}. Texts are joined, as the models' own wrappers do. */
static wd_status put_item(const wd_remote *r, const wd_item *item, wd_upstream_kind kind, wd_buf *out,
                          wd_err *err)
{
    wd_buf text = { 0 };
    const uint32_t n_image = item->media.n_image;
    if (item->media.n_video)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "videos are not sent to an upstream");
    if (n_image && !(knows[kind] & ITEMS))
        return cannot(kind, "a picture to be embedded or ranked", err);
    if (n_image > 1)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "several pictures of one item are not sent to an upstream");
    for (size_t i = 0; i < item->parts.n_part; i++)
        if (item->parts.part[i].kind == WD_PART_TEXT)
            wd_buf_span(&text, item->parts.part[i].text);
    wd_status st = ended(&text, err);
    if (n_image)
        wd_buf_str(out, text.n ? "{\"text\":" : "{");
    if (text.n || !n_image)
        wd_buf_json(out, wd_buf_view(&text));
    if (n_image) {
        wd_buf_str(out, text.n ? ",\"image\":" : "\"image\":");
        if (!st)
            st = put_picture(r, &item->media.image[0], out, err);
        wd_buf_char(out, '}');
    }
    wd_buf_wipe(&text);
    wd_buf_free(&text);
    return st;
}

static wd_status put_instruction(wd_span instruction, wd_upstream_kind kind, wd_buf *out, wd_err *err)
{
    if (!instruction.n)
        return WD_OK;
    if (!(knows[kind] & ITEMS))
        return cannot(kind, "an instruction", err);
    put_key_text(out, "instruction", instruction);
    return WD_OK;
}

wd_status wd_remote__write_embed(const wd_remote *r, const wd_embed *rq, wd_upstream_kind kind, wd_buf *out,
                                 wd_err *err)
{
    begin(r, out);
    wd_buf_str(out, ",\"encoding_format\":\"float\",\"input\":");
    WD_TRY(put_item(r, &rq->item, kind, out, err));
    WD_TRY(put_instruction(rq->instruction, kind, out, err));
    if (rq->dim)
        wd_buf_printf(out, ",\"dimensions\":%u", rq->dim);
    wd_buf_char(out, '}');
    return ended(out, err);
}

wd_status wd_remote__write_rerank(const wd_remote *r, const wd_rerank_pair *rq, wd_upstream_kind kind,
                                  wd_buf *out, wd_err *err)
{
    begin(r, out);
    wd_buf_str(out, ",\"query\":");
    WD_TRY(put_item(r, &rq->query, kind, out, err));
    wd_buf_str(out, ",\"documents\":[");
    WD_TRY(put_item(r, &rq->document, kind, out, err));
    wd_buf_str(out, "],\"top_n\":1,\"return_documents\":false");
    WD_TRY(put_instruction(rq->instruction, kind, out, err));
    wd_buf_char(out, '}');
    return ended(out, err);
}
