/* Routes that answer at once: the model, health, metrics, the API document. */
#include <string.h>

#include "serve/inner.h"

static void put_model(const wd_served *m, wd_buf *b)
{
    wd_buf_str(b, "{\"id\":");
    wd_buf_json(b, wd_span_str(m->name));
    wd_buf_printf(b, ",\"object\":\"model\",\"created\":%lld,\"owned_by\":\"ward\"", (long long)m->created);
    if (m->engine->info.context)
        wd_buf_printf(b, ",\"max_model_len\":%u", m->engine->info.context);
    wd_buf_str(b, ",\"parent\":");
    if (m->base)
        wd_buf_json(b, wd_span_str(m->base));
    else
        wd_buf_str(b, "null");
    wd_buf_str(b, ",\"roles\":[");
    for (unsigned i = 0, n = 0; i < WD_MODEL_N_ROLE; i++)
        if (m->roles & 1u << i)
            wd_buf_printf(b, "%s\"%s\"", n++ ? "," : "", wd_model_role_name((wd_model_role)i));
    wd_buf_str(b, "]}");
}

static void put_models(void *ctx, const wd_served *const *s, size_t n)
{
    wd_buf *b = ctx;
    for (size_t i = 0; i < n; i++) {
        wd_buf_str(b, i ? "," : "");
        put_model(s[i], b);
    }
}

static void models(wd_req *r)
{
    wd_buf b = { 0 };
    wd_buf_str(&b, "{\"object\":\"list\",\"data\":[");
    wd_models_look(r->server->models, put_models, &b);
    wd_buf_str(&b, "]}");
    wd_serve__answer(r, 200, "application/json", &b);
}

typedef struct one_model {
    const char *name;
    wd_buf *out;
} one_model;

static void put_one(void *ctx, const wd_served *const *s, size_t n)
{
    const one_model *one = ctx;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(s[i]->name, one->name))
            put_model(s[i], one->out);
}

static void model(wd_req *r)
{
    wd_fault f;
    wd_buf b = { 0 };
    one_model one = { r->name, &b };
    wd_models_look(r->server->models, put_one, &one);
    if (!b.n && !b.failed && wd_serve__no_such_model("model", &f))
        wd_serve__answer_fault(r, &f);
    else
        wd_serve__answer(r, 200, "application/json", &b);
}

static void health(wd_req *r)
{
    wd_buf b = { 0 };
    wd_buf_str(&b, "{\"status\":\"ok\"}");
    wd_serve__answer(r, 200, "application/json", &b);
}

static void ready(wd_req *r)
{
    const bool draining = atomic_load(&r->server->draining);
    wd_buf b = { 0 };
    wd_buf_str(&b, draining ? "{\"status\":\"draining\"}" : "{\"status\":\"ready\"}");
    wd_serve__answer(r, draining ? 503 : 200, "application/json", &b);
}

static void version(wd_req *r)
{
    wd_buf b = { 0 };
    wd_buf_str(&b, "{\"version\":");
    wd_buf_json(&b, wd_span_str(r->server->o.version));
    wd_buf_char(&b, '}');
    wd_serve__answer(r, 200, "application/json", &b);
}

static void read_state(const wd_served *s, wd_metrics_model *out)
{
    wd_engine_stats now;
    *out = (wd_metrics_model){ .name = s->name, .of = s->metrics, .has_state = s->engine->stats != NULL };
    if (!out->has_state)
        return;
    s->engine->stats(s->engine->self, &now);
    out->state = (wd_metrics_engine){
        .n_running = now.n_running,
        .n_waiting = now.n_waiting,
        .n_preempted = now.n_preempted,
        .n_image = now.n_image,
        .n_image_cached = now.n_image_cached,
        .kv_bytes = now.kv_bytes,
        .kv_max_bytes = now.kv_max_bytes,
        .prefix_bytes = now.prefix_bytes,
        .prefix_max_bytes = now.prefix_max_bytes,
        .image_bytes = now.image_bytes,
        .image_max_bytes = now.image_max_bytes,
        .max_seqs = now.max_seqs,
        .kv_share = now.kv_max_bytes ? (double)now.kv_bytes / (double)now.kv_max_bytes : 0,
    };
}

typedef struct metrics_page {
    const wd_server *s;
    wd_buf *out;
} metrics_page;

static void put_metrics(void *ctx, const wd_served *const *served, size_t n)
{
    const metrics_page *p = ctx;
    const char *path[WD_METRICS_ROUTES];
    wd_metrics_model model[WD_MODELS_MAX];
    wd_metrics_who who = { .version = p->s->o.version,
                           .engine = n ? served[0]->engine->info.name : "",
                           .route = path,
                           .model = model,
                           .n_model = n };
    for (; who.n_route < wd_serve__n_route && who.n_route < WD_METRICS_ROUTES; who.n_route++)
        path[who.n_route] = wd_serve__routes[who.n_route]->path;
    for (size_t i = 0; i < n; i++)
        read_state(served[i], &model[i]);
    wd_metrics_write(p->s->metrics, &who, p->out);
}

static void metrics(wd_req *r)
{
    wd_buf b = { 0 };
    wd_models_look(r->server->models, put_metrics, &(metrics_page){ r->server, &b });
    wd_serve__answer(r, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
}

/* What a caller shows who it is by: a key, or the cookie of a log-in. A request by cookie that changes something needs a
 * sign besides that no page of another site has made it (docs/trust.md). */
static void put_security(const wd_server *s, wd_buf *b)
{
    wd_buf_str(b, "\"securitySchemes\":{\"key\":{\"type\":\"http\",\"scheme\":\"bearer\","
                  "\"description\":\"ward key add makes them\"},"
                  "\"session\":{\"type\":\"apiKey\",\"in\":\"cookie\",\"name\":");
    wd_buf_json(b, wd_span_str(wd_serve__cookie(s)));
    wd_buf_str(b,
               ",\"description\":\"POST /api/v1/session sets it\"},"
               "\"csrf\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-CSRF-Token\","
               "\"description\":\"csrf of GET /api/v1/session. Not needed with an Origin header that is this "
               "server's own, as browsers send it.\"}},");
}

static void put_parameters(const wd_route *route, wd_buf *b)
{
    const char *brace = strchr(route->path, '{');
    if (!brace && !route->n_query)
        return;
    wd_buf_str(b, ",\"parameters\":[");
    if (brace)
        wd_buf_printf(b,
                      "{\"name\":\"%.*s\",\"in\":\"path\",\"required\":true,"
                      "\"schema\":{\"type\":\"string\"}}%s",
                      (int)strcspn(brace + 1, "}"), brace + 1, route->n_query ? "," : "");
    wd_fields_query(route->query, route->n_query, b);
    wd_buf_char(b, ']');
}

static void put_method(const wd_route *route, bool guarded, wd_buf *b)
{
    wd_buf_char(b, '"');
    for (const char *c = route->method; *c; c++)
        wd_buf_char(b, (char)(*c - 'A' + 'a'));
    wd_buf_str(b, "\":{\"summary\":");
    wd_buf_json(b, wd_span_str(route->brief));
    if (guarded && route->open)
        wd_buf_str(b, ",\"security\":[]");
    else if (guarded && strcmp(route->method, "GET") != 0)
        wd_buf_str(b, ",\"security\":[{\"key\":[]},{\"session\":[],\"csrf\":[]}]");
    put_parameters(route, b);
    if (route->form)
        wd_buf_printf(
            b, ",\"requestBody\":{\"required\":true,\"content\":{\"multipart/form-data\":{\"schema\":%s}}}",
            route->form);
    if (route->n_field) {
        wd_buf_str(b, ",\"requestBody\":{\"required\":true,\"content\":{\"application/json\":{\"schema\":");
        wd_fields_schema(route->field, route->n_field, b);
        wd_buf_str(b, "}}}");
    }
    wd_buf_str(b, ",\"responses\":{\"200\":{\"description\":\"done\"}");
    if (!route->now)
        wd_buf_str(b,
                   ",\"default\":{\"description\":\"refused or failed\",\"content\":{\"application/json\":{"
                   "\"schema\":{\"$ref\":\"#/components/schemas/Error\"}}}}");
    wd_buf_str(b, "}}");
}

/* A path with all its methods, where the first of them stands in the list. */
static void put_path(size_t i, bool guarded, wd_buf *b)
{
    const wd_route *route = wd_serve__routes[i];
    for (size_t k = 0; k < i; k++)
        if (!strcmp(wd_serve__routes[k]->path, route->path))
            return;
    wd_buf_printf(b, "%s\"%s\":{", i ? "," : "", route->path);
    put_method(route, guarded, b);
    for (size_t k = i + 1; k < wd_serve__n_route; k++) {
        if (strcmp(wd_serve__routes[k]->path, route->path) != 0)
            continue;
        wd_buf_char(b, ',');
        put_method(wd_serve__routes[k], guarded, b);
    }
    wd_buf_char(b, '}');
}

static void openapi(wd_req *r)
{
    const bool guarded = !r->server->open;
    wd_buf b = { 0 };
    wd_buf_str(&b, "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"Ward\",\"version\":");
    wd_buf_json(&b, wd_span_str(r->server->o.version));
    wd_buf_str(&b, guarded ? "},\"security\":[{\"key\":[]},{\"session\":[]}],\"paths\":{" : "},\"paths\":{");
    for (size_t i = 0; i < wd_serve__n_route; i++)
        put_path(i, guarded, &b);
    wd_buf_str(&b, "},\"components\":{");
    if (guarded)
        put_security(r->server, &b);
    wd_buf_str(&b,
               "\"schemas\":{\"Error\":{\"type\":\"object\",\"required\":[\"error\"],"
               "\"properties\":{\"error\":{\"type\":\"object\",\"properties\":{"
               "\"message\":{\"type\":\"string\"},\"type\":{\"type\":\"string\"},"
               "\"param\":{\"type\":[\"string\",\"null\"]},\"code\":{\"type\":[\"string\",\"null\"]}}}}}}}}");
    wd_serve__answer(r, 200, "application/json", &b);
}

#define NOW(name, where, fn, what, ...) \
    const wd_route name = { .method = "GET", .path = where, .brief = what, .now = fn, __VA_ARGS__ }
NOW(wd_route_models, "/v1/models", models, "The models that are served.", .open = false);
NOW(wd_route_model, "/v1/models/{rest}", model, "One of them.", .open = false);
NOW(wd_route_health, "/health", health, "200 while the process lives.", .open = true);
NOW(wd_route_ready, "/ready", ready, "200 while requests are taken.", .open = true);
NOW(wd_route_version, "/version", version, "The program's version.", .open = true);
NOW(wd_route_metrics, "/metrics", metrics, "Prometheus text, under vLLM's names.", .open = false);
NOW(wd_route_openapi, "/api/openapi.json", openapi, "This document.", .open = true);

const wd_route *const wd_serve__routes[] = {
    &wd_route_load,
    &wd_route_unload,
    &wd_route_chat,
    &wd_route_completions,
    &wd_route_responses,
    &wd_route_response,
    &wd_route_response_delete,
    &wd_route_response_input,
    &wd_route_embeddings,
    &wd_route_rerank,
    &wd_route_rerank_v2,
    &wd_route_models,
    &wd_route_model,
    &wd_route_tokenize,
    &wd_route_detokenize,
    &wd_route_file_create,
    &wd_route_file_list,
    &wd_route_file,
    &wd_route_file_content,
    &wd_route_file_delete,
    &wd_route_session_create,
    &wd_route_session,
    &wd_route_session_delete,
    &wd_route_health,
    &wd_route_ready,
    &wd_route_version,
    &wd_route_metrics,
    &wd_route_openapi,
};
const size_t wd_serve__n_route = WD_COUNT(wd_serve__routes);
