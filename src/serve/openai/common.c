/* What the OpenAI routes share: bodies, sampling fields, usage. */
#include <math.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/rand.h"
#include "serve/inner.h"
#include "text/stop.h"

#define BODY_VALUES_MAX ((size_t)1 << 20) /* a value takes 130 bytes once parsed */

/* At least as many as there are values, less one. */
static size_t count_values(wd_span text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == ',' || text.p[i] == '[' || text.p[i] == '{';
    return n;
}

wd_status wd_serve__read_body(wd_req *r, wd_fault *f)
{
    wd_err err = { 0 };
    if (!r->body.n)
        return wd_fault_set(f, 400, "no_body", NULL, "the request has no body; expected a JSON object");
    if (count_values(wd_buf_view(&r->body)) > BODY_VALUES_MAX)
        return wd_fault_set(f, 400, "limit_exceeded", NULL, "the body has more than %zu JSON values",
                            BODY_VALUES_MAX);
    const wd_status st = wd_json_parse(wd_buf_view(&r->body), "body", &r->json, &err);
    if (st)
        return wd_fault_of(f, st == WD_E_CORRUPT ? WD_E_INVALID : st, NULL, &err);
    if (!json_is_object(r->json))
        return wd_fault_set(f, 400, "invalid_type", NULL, "the body is %s, expected an object",
                            wd_json_kind(r->json));
    return WD_OK;
}

wd_status wd_serve__page(wd_req *r, size_t limit, size_t max, wd_page *out, wd_fault *f)
{
    const char *asked = MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND, "limit"),
               *order = MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND, "order"),
               *after = MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND, "after");
    if (asked) {
        char *end;
        const long v = strtol(asked, &end, 10);
        if (*asked < '0' || *asked > '9' || *end || v < 1 || (size_t)v > max)
            return wd_fault_set(f, 400, "invalid_value", "limit", "limit: expected 1 to %zu", max);
        limit = (size_t)v;
    }
    if (order && strcmp(order, "asc") != 0 && strcmp(order, "desc") != 0)
        return wd_fault_set(f, 400, "invalid_value", "order", "order: expected asc or desc");
    if (after && strlen(after) > WD_NAME_MAX)
        return wd_fault_set(f, 404, "not_found", "after", "after: no such id");
    *out = (wd_page){ .limit = limit, .newest_first = !order || !strcmp(order, "desc") };
    snprintf(out->after, sizeof out->after, "%s", after ? after : "");
    return WD_OK;
}

wd_status wd_serve__no_such_model(const char *param, wd_fault *f)
{
    return wd_fault_set(f, 404, "model_not_found", param,
                        "this server has no model of that name; GET /v1/models lists those it has");
}

wd_status wd_serve__choose_model(wd_req *r, wd_fault *f)
{
    const json_t *name = json_object_get(r->json,
                                         "model"); /* of another type: the route's table refuses it */
    const wd_span asked = json_is_string(name) ? wd_json_span(name) : (wd_span){ 0 };
    r->model = wd_models_hold(r->server->models, asked, r->route->role);
    if (r->model || asked.n)
        return r->model ? WD_OK : wd_serve__no_such_model("model", f);
    return wd_fault_set(f, 404, "model_not_found", "model",
                        "the model for %s is not loaded: name another one",
                        wd_model_role_name(r->route->role));
}

wd_status wd_serve__need_tokenizer(const wd_req *r, const char *param, wd_fault *f)
{
    if (r->model->tokenizer)
        return WD_OK;
    return wd_fault_set(f, 501, "unsupported", param, "this engine does not say what its tokens are");
}

const wd_sampling wd_sampling_default = { .temperature = NAN,
                                          .top_p = NAN,
                                          .min_p = NAN,
                                          .presence_penalty = NAN,
                                          .frequency_penalty = NAN,
                                          .repetition_penalty = NAN,
                                          .top_k = INT64_MIN,
                                          .seed = INT64_MIN,
                                          .n = 1 };

static void take(double from, float *to)
{
    if (!isnan(from))
        *to = (float)from;
}

static wd_status read_stop(wd_req *r, const json_t *v, wd_generate *rq, wd_fault *f)
{
    if (!v)
        return WD_OK;
    if (!json_is_string(v) && !json_is_array(v))
        return wd_fault_set(f, 400, "invalid_type", "stop",
                            "stop is %s, expected a string or an array of strings", wd_json_kind(v));
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;
    wd_span *stop = WD_NEW_N(r->arena, wd_span, n);
    if (n > WD_STOP_MAX)
        return wd_fault_set(f, 400, "invalid_value", "stop", "stop has %zu strings, expected at most %d", n,
                            WD_STOP_MAX);
    if (!stop)
        return wd_fault_set(f, 503, "no_memory", "stop", "no memory for this request");
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_is_array(v) ? json_array_get(v, i) : v;
        if (!json_is_string(one))
            return wd_fault_set(f, 400, "invalid_type", "stop", "stop[%zu] is %s, expected a string", i,
                                wd_json_kind(one));
        stop[i] = wd_json_span(one);
        if (!stop[i].n || stop[i].n > WD_STOP_BYTES_MAX)
            return wd_fault_set(f, 400, "invalid_value", "stop", "stop[%zu] has %zu bytes, expected 1 to %d",
                                i, stop[i].n, WD_STOP_BYTES_MAX);
    }
    rq->stop = stop;
    rq->n_stop = n;
    return WD_OK;
}

static wd_status read_bias(wd_req *r, const json_t *o, wd_sample_opts *s, wd_fault *f)
{
    const char *key;
    json_t *v;
    const size_t n = json_object_size(o);
    wd_logit_bias *bias = WD_NEW_N(r->arena, wd_logit_bias, n);
    if (n && !bias)
        return wd_fault_set(f, 503, "no_memory", "logit_bias", "no memory for this request");
    json_object_foreach((json_t *)(uintptr_t)o, key, v)
    {
        char *end;
        const unsigned long id = strtoul(key, &end, 10);
        if (*key < '0' || *key > '9' || *end || id > INT32_MAX)
            return wd_fault_set(f, 400, "invalid_value", "logit_bias", "logit_bias: a key is no token id");
        if (!json_is_number(v) || !(fabs(json_number_value(v)) <= 100))
            return wd_fault_set(f, 400, "invalid_value", "logit_bias",
                                "logit_bias of token %lu is not a number from -100 to 100", id);
        bias[s->n_bias++] = (wd_logit_bias){ (uint32_t)id, (float)json_number_value(v) };
    }
    s->bias = bias;
    return WD_OK;
}

wd_status wd_serve__sampling(wd_req *r, const wd_sampling *s, wd_generate *rq, wd_fault *f)
{
    const wd_server *server = r->server;
    wd_sample_opts *o = &rq->sample;
    *o = r->model->engine->info.sample;
    take(s->temperature, &o->temperature);
    take(s->top_p, &o->top_p);
    take(s->min_p, &o->min_p);
    take(s->presence_penalty, &o->presence_penalty);
    take(s->frequency_penalty, &o->frequency_penalty);
    take(s->repetition_penalty, &o->repetition_penalty);
    if (o->top_p <= 0)
        return wd_fault_set(f, 400, "invalid_value", "top_p", "top_p is 0, expected more");
    if (s->top_k != INT64_MIN)
        o->top_k = (int32_t)WD_MAX(s->top_k, 0);
    o->seed = s->seed == INT64_MIN ? wd_rand_os_seed() : (uint64_t)s->seed;
    if (s->n > server->o.max_choices)
        return wd_fault_set(f, 400, "invalid_value", "n", "n is %lld, expected at most %u", (long long)s->n,
                            server->o.max_choices);
    rq->max_tokens = (uint32_t)s->max_tokens;
    rq->ignore_stop_ids = s->ignore_eos;
    WD_TRY(read_stop(r, s->stop, rq, f));
    return s->logit_bias ? read_bias(r, s->logit_bias, o, f) : WD_OK;
}

wd_status wd_serve__include_usage(const wd_sampling *s, bool *usage, wd_fault *f)
{
    static const wd_field fields[] = { { "include_usage", WD_FIELD_BOOL, 0, false, 0, 0, "" } };
    *usage = false;
    if (!s->stream_options)
        return WD_OK;
    if (!s->stream)
        return wd_fault_set(f, 400, "invalid_value", "stream_options", "stream_options is for stream: true");
    return wd_fields_read(fields, 1, s->stream_options, "stream_options.", usage, f);
}

typedef struct template_kwargs {
    const json_t *think;
    bool vision_id;
} template_kwargs;

wd_status wd_serve__template_kwargs(const json_t *o, wd_chat *chat, wd_fault *f)
{
    static const wd_field fields[] = {
        { "enable_thinking", WD_FIELD_ANY, offsetof(template_kwargs, think), false, 0, 0, "" },
        { "add_vision_id", WD_FIELD_BOOL, offsetof(template_kwargs, vision_id), false, 0, 0, "" },
    };
    template_kwargs k = { NULL, false };
    if (!o)
        return WD_OK;
    WD_TRY(wd_fields_read(fields, WD_COUNT(fields), o, "chat_template_kwargs.", &k, f));
    if (k.think && !json_is_boolean(k.think))
        return wd_fault_set(f, 400, "invalid_type", "chat_template_kwargs.enable_thinking",
                            "chat_template_kwargs.enable_thinking is %s, expected true or false",
                            wd_json_kind(k.think));
    if (k.think)
        chat->enable_thinking = json_is_true(k.think) ? WD_ON : WD_OFF;
    chat->add_vision_id = k.vision_id;
    return WD_OK;
}

void wd_pace_token(wd_pace *p)
{
    const uint64_t now = wd_clock_ns();
    wd_metrics *m = p->r->model->metrics;
    if (p->n++ == 0)
        wd_metrics_observe(m, WD_HISTOGRAM_FIRST_TOKEN, (double)(now - p->r->start_ns) * 1e-9);
    else
        wd_metrics_observe(m, WD_HISTOGRAM_INTER_TOKEN, (double)(now - p->last_ns) * 1e-9);
    p->last_ns = now;
}

void wd_serve__account(wd_req *r, wd_status st, const wd_generated *out, bool first_choice)
{
    static const wd_counter ends[] = { [WD_FINISH_STOP] = WD_COUNTER_STOP,
                                       [WD_FINISH_LENGTH] = WD_COUNTER_LENGTH,
                                       [WD_FINISH_TOOL_CALLS] = WD_COUNTER_TOOL_CALLS };
    wd_metrics *m = r->model->metrics;
    if (st) {
        wd_metrics_count(m, st == WD_E_CANCELLED ? WD_COUNTER_ABORT : WD_COUNTER_ERROR, 1);
        return;
    }
    wd_metrics_count(m, ends[out->finish], 1);
    wd_metrics_count(m, WD_COUNTER_PROMPT_TOKENS, out->n_prompt);
    wd_metrics_count(m, WD_COUNTER_PREFIX_QUERIES, out->n_prompt);
    wd_metrics_count(m, WD_COUNTER_PREFIX_HITS, out->n_cached);
    wd_metrics_count(m, WD_COUNTER_GENERATION_TOKENS, out->n_id);
    wd_metrics_observe(m, WD_HISTOGRAM_PROMPT_TOKENS, (double)out->n_prompt);
    wd_metrics_observe(m, WD_HISTOGRAM_GENERATION_TOKENS, (double)out->n_id);
    wd_metrics_observe(m, WD_HISTOGRAM_WHOLE, (double)(wd_clock_ns() - r->start_ns) * 1e-9);
    pthread_mutex_lock(&r->mu);
    if (first_choice) { /* one prompt, however many replies */
        r->n_prompt = out->n_prompt;
        r->n_cached = out->n_cached;
    }
    r->n_reply += out->n_id;
    pthread_mutex_unlock(&r->mu);
}

void wd_serve__account_prompt(wd_req *r, size_t n_token)
{
    wd_metrics_count(r->model->metrics, WD_COUNTER_PROMPT_TOKENS, n_token);
    wd_metrics_count(r->model->metrics, WD_COUNTER_STOP, 1);
    wd_metrics_observe(r->model->metrics, WD_HISTOGRAM_WHOLE, (double)(wd_clock_ns() - r->start_ns) * 1e-9);
    pthread_mutex_lock(&r->mu);
    r->n_prompt = n_token;
    pthread_mutex_unlock(&r->mu);
}

void wd_serve__usage(wd_buf *out, size_t n_prompt, size_t n_cached, size_t n_reply)
{
    wd_buf_printf(out,
                  "{\"prompt_tokens\":%zu,\"completion_tokens\":%zu,\"total_tokens\":%zu,"
                  "\"prompt_tokens_details\":{\"cached_tokens\":%zu}}",
                  n_prompt, n_reply, n_prompt + n_reply, n_cached);
}

void wd_serve__new_id(const char *prefix, char out[48])
{
    static const char letters[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char tail[25] = { 0 };
    for (size_t i = 0; i < 24; i++)
        tail[i] = letters[randombytes_uniform(sizeof letters - 1)];
    snprintf(out, 48, "%.20s%s", prefix, tail);
}

void wd_serve__logprob(wd_buf *out, float lp)
{
    wd_buf_printf(out, "%.8g", lp > -9999.0f ? (double)lp : -9999.0);
}

void wd_serve__token_text(const wd_tokenizer *t, uint32_t id, wd_buf *out)
{
    wd_buf_json(out, wd_tokenizer_bytes(t, id)); /* what is no whole character is shown as U+FFFD */
}
