/* POST /v1/models/load and /v1/models/unload: models come and go while the server runs. Who may is the policy table's to say
 * (guard/policy.h). */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve/inner.h"

typedef struct change {
    wd_span model, base;
    bool replace;
    int64_t kv_mb;
    const json_t *roles;
    bool has_role[WD_MODEL_N_ROLE];
    const char *name;
    const wd_served *on; /* held: the base of an adapter */
    wd_server *server;
    double seconds;
    size_t n_held;
} change;

#define AT(field) offsetof(change, field)
/* clang-format off */
static const wd_field load_fields[] = {
    { "model", WD_FIELD_STR, AT(model), true, 0, 0, "name: of a directory, or a GGUF file without its ending, in the server's directory of models" },
    { "base", WD_FIELD_STR, AT(base), false, 0, 0, "the loaded model that this is an adapter of" },
    { "replace", WD_FIELD_BOOL, AT(replace), false, 0, 0, "take the place of a loaded one of that name; requests that run end on the old one" },
    { "kv_mb", WD_FIELD_INT, AT(kv_mb), false, 0, 1 << 24, "memory for its keys and values, MiB; 0: as the server's options say" },
    { "roles", WD_FIELD_ARR, AT(roles), false, 0, 0, "some of chat, embed, rerank: it answers these from now on where no model is named" },
};
static const wd_field unload_fields[] = {
    { "model", WD_FIELD_STR, AT(model), true, 0, 0, "name of a loaded model" },
};
/* clang-format on */

static void release(void *state)
{
    change *c = state;
    wd_models_release(c->server->models, c->on);
}

static wd_status begin(wd_req *r, const wd_field *fields, size_t n, wd_fault *f)
{
    change *c = WD_NEW(r->arena, change);
    if (!c)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    c->server = r->server;
    r->state = c;
    WD_TRY(wd_fields_read(fields, n, r->json, "", c, f));
    c->name = wd_arena_strndup(r->arena, (const char *)c->model.p, c->model.n);
    if (!c->name)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    if (memchr(c->name, 0, c->model.n) || !wd_models_name_ok(c->name))
        return wd_fault_set(
            f, 400, "invalid_value", "model",
            "model is no name: expected 1 to %d letters, digits and ._:+-, and '/' between them",
            WD_MODEL_NAME_MAX);
    r->about = c->name;
    r->n_item = 1;
    return WD_OK;
}

static wd_status read_roles(change *c, wd_fault *f)
{
    for (size_t i = 0; i < json_array_size(c->roles); i++) {
        const json_t *v = json_array_get(c->roles, i);
        wd_model_role role;
        if (!json_is_string(v) || !wd_model_role_parse(wd_json_span(v), &role))
            return wd_fault_set(f, 400, "invalid_value", "roles",
                                "roles[%zu]: expected chat, embed or rerank", i);
        c->has_role[role] = true;
    }
    return WD_OK;
}

static wd_status prepare_load(wd_req *r, wd_fault *f)
{
    WD_TRY(begin(r, load_fields, WD_COUNT(load_fields), f));
    change *c = r->state;
    WD_TRY(read_roles(c, f));
    if (!r->server->o.load)
        return wd_fault_set(
            f, 501, "unsupported", NULL,
            "this server loads nothing while it runs: it was started without a directory of models");
    if (!c->base.n)
        return WD_OK;
    c->on = wd_models_hold(r->server->models, c->base, WD_MODEL_CHAT);
    if (!c->on)
        return wd_serve__no_such_model("base", f);
    if (c->on->base)
        return wd_fault_set(f, 400, "invalid_value", "base", "base is an adapter itself");
    return WD_OK;
}

static wd_status load(wd_req *r, size_t i, wd_fault *f)
{
    wd_server *s = r->server;
    change *c = r->state;
    wd_served_opts o = { 0 };
    wd_err err = { 0 };
    const double start = wd_clock_s();
    (void)i;
    if (pthread_mutex_trylock(&s->loading) != 0) {
        wd_fault_set(f, 409, "model_loading", "model", "another model is being loaded");
        f->retry_s = 5;
        return WD_E_INVALID;
    }
    const wd_served *there = wd_models_hold(s->models, c->model, WD_MODEL_CHAT);
    wd_models_release(s->models, there); /* looked for, not used */
    wd_status st = WD_OK;
    if (there && !c->replace)
        st = wd_fault_set(f, 409, "model_exists", "model",
                          "there is a model of that name; replace: true puts another in its place");
    const wd_load what = { .name = c->name, .base = c->on, .kv_mb = c->kv_mb };
    if (!st && s->o.load(s->o.load_self, &what, &o, &err))
        st = wd_fault_of(f, err.code, "model", &err);
    if (!st && wd_models_add(s->models, &o, c->replace, &err)) {
        o.close(o.self);
        st = wd_fault_of(f, err.code, "model", &err);
    }
    for (unsigned k = 0; !st && k < WD_MODEL_N_ROLE; k++)
        if (c->has_role[k] && wd_models_assign(s->models, (wd_model_role)k, c->name, &err))
            st = wd_fault_of(f, err.code, "roles", &err);
    pthread_mutex_unlock(&s->loading);
    c->seconds = wd_clock_s() - start;
    if (!st)
        wd_log(WD_LOG_INFO, "serve", "model loaded name=%s seconds=%.1f", c->name, c->seconds);
    return st;
}

static void finish_load(wd_req *r)
{
    const change *c = r->state;
    wd_buf b = { 0 };
    wd_buf_str(&b, "{\"id\":");
    wd_buf_json(&b, wd_span_str(c->name));
    wd_buf_str(&b, ",\"object\":\"model\",\"parent\":");
    if (c->on)
        wd_buf_json(&b, wd_span_str(c->on->name));
    else
        wd_buf_str(&b, "null");
    wd_buf_printf(&b, ",\"loaded\":true,\"seconds\":%.3f}", c->seconds);
    wd_serve__answer(r, 200, "application/json", &b);
}

static wd_status prepare_unload(wd_req *r, wd_fault *f)
{
    return begin(r, unload_fields, WD_COUNT(unload_fields), f);
}

static wd_status unload(wd_req *r, size_t i, wd_fault *f)
{
    change *c = r->state;
    (void)i;
    if (!wd_models_remove(r->server->models, c->name, &c->n_held))
        return wd_serve__no_such_model("model", f);
    wd_log(WD_LOG_INFO, "serve", "model unloaded name=%s running=%zu", c->name, c->n_held);
    return WD_OK;
}

static void finish_unload(wd_req *r)
{
    const change *c = r->state;
    wd_buf b = { 0 };
    wd_buf_str(&b, "{\"id\":");
    wd_buf_json(&b, wd_span_str(c->name));
    wd_buf_printf(&b, ",\"object\":\"model\",\"deleted\":true,\"running\":%zu}", c->n_held);
    wd_serve__answer(r, 200, "application/json", &b);
}

const wd_route wd_route_load = { .method = "POST",
                                 .path = "/v1/models/load",
                                 .brief = "Loads a model, or an adapter of a loaded one.",
                                 .prepare = prepare_load,
                                 .item = load,
                                 .finish = finish_load,
                                 .release = release,
                                 .field = load_fields,
                                 .n_field = WD_COUNT(load_fields),
                                 .no_model = true };
const wd_route wd_route_unload = { .method = "POST",
                                   .path = "/v1/models/unload",
                                   .brief = "Takes a model out; requests that run on it are finished.",
                                   .prepare = prepare_unload,
                                   .item = unload,
                                   .finish = finish_unload,
                                   .release = release,
                                   .field = unload_fields,
                                   .n_field = WD_COUNT(unload_fields),
                                   .no_model = true };
