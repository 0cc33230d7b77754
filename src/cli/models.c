/* ward models: the models of a running server. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/http.h"
#include "cli/trust.h"

typedef struct options {
    wd_cli_server server;
    const char *base;
    wd_opt_list roles;
    int64_t kv_mb;
    bool json;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    { "url", 0, WD_OPT_STR, AT(server.url), "http://127.0.0.1:8080", 0, 0, "where the server listens" },
    { "key-file", 0, WD_OPT_STR, AT(server.key_file), NULL, 0, 0, "file with a key; else $WARD_KEY" },
    { "ca", 0, WD_OPT_STR, AT(server.ca_file), NULL, 0, 0, "certificates of authorities, PEM; default: the system's" },
    { "base", 'b', WD_OPT_STR, AT(base), NULL, 0, 0, "load: the loaded model that this is an adapter of" },
    { "role", 'r', WD_OPT_LIST, AT(roles), NULL, 0, 0, "load, replace: chat, embed or rerank: it answers where no model is named; may be given again" },
    { "kv-mb", 0, WD_OPT_INT, AT(kv_mb), "0", 0, 1 << 24, "load, replace: memory for its keys and values, MiB; 0: as the server's options say" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "machine-readable output" },
};
/* clang-format on */

static wd_status list(wd_cli *cli, const options *o, wd_err *err)
{
    static const char *const columns[] = { "id", "parent", "roles", "max_model_len" };
    json_t *reply;
    WD_TRY(wd_cli_http(cli, &o->server, "/v1/models", NULL, &reply, err));
    json_t *data = json_object_get(reply, "data");
    size_t i;
    json_t *one;
    if (!json_is_array(data)) {
        json_decref(reply);
        return WD_FAIL(err, WD_E_IO, "the server's list of models is no list");
    }
    json_array_foreach(data, i, one)
    {
        wd_buf roles = { 0 }; /* a table has texts */
        const json_t *v = json_object_get(one, "roles");
        for (size_t k = 0; !o->json && k < json_array_size(v); k++) {
            const char *role = json_string_value(json_array_get(v, k));
            wd_buf_printf(&roles, "%s%s", roles.n ? "," : "", role ? role : "?");
        }
        if (!o->json && json_object_set_new(one, "roles", json_stringn((const char *)roles.p, roles.n)))
            wd_buf_clear(&roles); /* no memory: the list stands there as it came */
        wd_buf_free(&roles);
    }
    json_incref(data);
    json_decref(reply);
    return wd_trust_print(data, o->json, columns, WD_COUNT(columns), err);
}

static wd_status show(const options *o, json_t *reply, const char *what, wd_err *err)
{
    wd_buf b = { 0 };
    if (o->json)
        return wd_cli_print_json(reply, err);
    const char *id = json_string_value(json_object_get(reply, "id"));
    const double s = json_number_value(json_object_get(reply, "seconds"));
    const long long running = json_integer_value(json_object_get(reply, "running"));
    wd_buf_printf(&b, "%.*s: %s", WD_NAME_MAX, id ? id : "?", what);
    if (json_object_get(reply, "seconds"))
        wd_buf_printf(&b, " in %.1f s", s);
    if (running)
        wd_buf_printf(&b, "; %lld requests end on it", running);
    wd_buf_char(&b, '\n');
    json_decref(reply);
    wd_status st = wd_buf_check(&b, "line", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static wd_status load(wd_cli *cli, const options *o, const char *name, bool replace, wd_err *err)
{
    json_t *body = json_pack("{s:s, s:b, s:I}", "model", name, "replace", replace, "kv_mb",
                             (json_int_t)o->kv_mb),
           *reply, *roles = o->roles.n ? json_array() : NULL;
    bool whole = body && !o->roles.n == !roles;
    for (size_t i = 0; whole && i < o->roles.n; i++)
        whole = json_array_append_new(roles, json_string(o->roles.v[i])) == 0;
    if (whole && roles)
        whole = json_object_set(body, "roles", roles) == 0;
    if (whole && o->base)
        whole = json_object_set_new(body, "base", json_string(o->base)) == 0;
    json_decref(roles);
    if (!whole) {
        json_decref(body);
        return WD_FAIL(err, WD_E_NOMEM, "no memory for a request");
    }
    WD_TRY(wd_cli_http(cli, &o->server, "/v1/models/load", body, &reply, err));
    return show(o, reply, replace ? "loaded, in its place" : "loaded", err);
}

static wd_status unload(wd_cli *cli, const options *o, const char *name, wd_err *err)
{
    json_t *body = json_pack("{s:s}", "model", name), *reply;
    if (!body)
        return WD_FAIL(err, WD_E_NOMEM, "no memory for a request");
    WD_TRY(wd_cli_http(cli, &o->server, "/v1/models/unload", body, &reply, err));
    return show(o, reply, "unloaded", err);
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_models, argc, argv, &o, &rest, err));
    const char *what = rest.n ? rest.v[0] : "";
    const bool is_list = !strcmp(what, "list"), is_load = !strcmp(what, "load"),
               is_replace = !strcmp(what, "replace"), is_unload = !strcmp(what, "unload");
    if (rest.n != (is_list ? 1u : 2u) || !(is_list || is_load || is_replace || is_unload))
        return WD_FAIL(err, WD_E_USAGE, "ward models takes list, load NAME, replace NAME or unload NAME");
    if ((is_list || is_unload) && (o.base || o.roles.n || o.kv_mb))
        return WD_FAIL(err, WD_E_USAGE, "--base, --role and --kv-mb are for load and replace");
    if (is_list)
        return list(cli, &o, err);
    return is_unload ? unload(cli, &o, rest.v[1], err) : load(cli, &o, rest.v[1], is_replace, err);
}

const wd_command wd_cmd_models = {
    .name = "models",
    .brief = "the models of a running server: list, load, replace, unload",
    .operands = "list | load NAME | replace NAME | unload NAME",
    .about = "Asks a running ward serve (docs/serve.md, Several models). NAME is an entry of its "
             "--models-dir. Requests that\n"
             "run end on the model that they began with. With accounts it takes the key of an administrator "
             "to change\n"
             "something, in $WARD_KEY or --key-file.",
    .examples = "  ward models list\n"
                "  ward models load Qwen3-VL-Reranker-2B --role rerank\n"
                "  ward models load chest --base Qwen3-VL-2B\n"
                "  ward models replace Qwen3-VL-2B --url https://ward.hospital:8443 --key-file admin.key\n",
    .options = { "models", opts, WD_COUNT(opts) },
    .run = run,
};
