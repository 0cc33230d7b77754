/* ward serve: the model behind an OpenAI-compatible HTTP API. */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "cli/served.h"
#include "guard/guard.h"
#include "serve/serve.h"

#define PEM_MAX (1u << 20)

typedef struct options {
    wd_model_args m;
    wd_opt_list models, adapters, roles, allow_url;
    const char *models_dir, *address, *served_name, *tls_cert, *tls_key, *data, *anchors, *fetch_ca, *origin;
    int64_t memory_mb, port, max_running, max_waiting, max_connections, max_body_mb, max_images, idle_s,
        request_s, drain_s, files_mb, file_h, responses_mb, response_h, fetch_s, fetch_mb, session_min,
        session_idle_min;
    bool json, store_responses;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    { "model", 'm', WD_OPT_LIST, AT(models), NULL, 0, 0, "[NAME=]checkpoint directory, GGUF file, or URL[,URL] of servers; may be given again" },
    { "adapter", 0, WD_OPT_LIST, AT(adapters), NULL, 0, 0, "NAME=DIR: a PEFT adapter of the first model, as a model of its own" },
    { "role", 0, WD_OPT_LIST, AT(roles), NULL, 0, 0, "chat=NAME, embed=NAME or rerank=NAME: the model for requests that name none; default: the first" },
    { "models-dir", 0, WD_OPT_STR, AT(models_dir), NULL, 0, 0, "directory of models that may be loaded by name while the server runs" },
    { "memory-mb", 0, WD_OPT_INT, AT(memory_mb), "0", 0, 1 << 24, "for all models together, MiB; 0: nine tenths of what there is" },
    WD_MODEL_OPTS_BUT_MODEL(options, m),
    { "address", 'a', WD_OPT_STR, AT(address), "127.0.0.1", 0, 0, "numeric address to listen on" },
    { "port", 'p', WD_OPT_INT, AT(port), "8080", 0, 65535, "0: one that is free" },
    { "served-name", 0, WD_OPT_STR, AT(served_name), NULL, 0, 0, "name of the first model for clients; default: its directory's" },
    { "data", 0, WD_OPT_STR, AT(data), NULL, 0, 0, "directory of accounts and audit (ward user, key, audit); without: anybody at this machine" },
    { "anchors", 0, WD_OPT_STR, AT(anchors), NULL, 0, 0, "file for signed checkpoints of the audit; default: in the directory" },
    { "session-min", 0, WD_OPT_INT, AT(session_min), "600", 1, 60 * 24 * 30, "minutes that a log-in lasts" },
    { "session-idle-min", 0, WD_OPT_INT, AT(session_idle_min), "30", 0, 60 * 24 * 30, "minutes after which one that is not used ends; 0: as long as the first" },
    { "origin", 0, WD_OPT_STR, AT(origin), NULL, 0, 0, "of the server's pages behind a proxy: https://HOST[:PORT]; default: as it is called" },
    { "tls-cert", 0, WD_OPT_STR, AT(tls_cert), NULL, 0, 0, "certificate chain, PEM" },
    { "tls-key", 0, WD_OPT_STR, AT(tls_key), NULL, 0, 0, "its private key, PEM" },
    { "max-seqs", 0, WD_OPT_INT, AT(m.max_seqs), "32", 1, 1024, "replies and prompts computed together" },
    { "step-ms", 0, WD_OPT_INT, AT(m.step_ms), "150", 1, 60000, "most that replies should wait for a step with others' prompts in it, milliseconds" },
    { "kv-mb", 0, WD_OPT_INT, AT(m.kv_mb), "0", 0, 1 << 24, "memory for keys and values of a model, MiB; 0: what requests may need, at most a quarter of all" },
    { "prefix-mb", 0, WD_OPT_INT, AT(m.prefix_mb), "0", 0, 1 << 24, "of it, kept for prompts that begin alike, MiB; 0: 1024, or the latest request" },
    { "image-mb", 0, WD_OPT_INT, AT(m.image_mb), "256", 1, 1 << 24, "memory for what images look like to the model, MiB" },
    { "max-running", 0, WD_OPT_INT, AT(max_running), "32", 1, 1024, "requests that run at the same time" },
    { "max-waiting", 0, WD_OPT_INT, AT(max_waiting), "256", 0, 1 << 20, "requests that wait; more get 429" },
    { "max-connections", 0, WD_OPT_INT, AT(max_connections), "1024", 1, 1 << 16, "open connections" },
    { "max-body-mb", 0, WD_OPT_INT, AT(max_body_mb), "64", 1, 4096, "largest request body, MiB" },
    { "max-images", 0, WD_OPT_INT, AT(max_images), "64", 0, 10000, "of one request" },
    { "files-mb", 0, WD_OPT_INT, AT(files_mb), "0", 0, 1 << 24, "all uploaded files, MiB; 0: 4096 with --data, else 256 in memory" },
    { "file-h", 0, WD_OPT_INT, AT(file_h), "24", 1, 24 * 366, "hours that an uploaded file is kept" },
    { "responses-mb", 0, WD_OPT_INT, AT(responses_mb), "0", 0, 1 << 24, "all responses that are kept, MiB; 0: 1024 with --data, else 64 in memory" },
    { "response-h", 0, WD_OPT_INT, AT(response_h), "24", 1, 24 * 366, "hours that a response is kept" },
    { "store-responses", 0, WD_OPT_BOOL, AT(store_responses), "false", 0, 0, "keep responses also where a request does not say store" },
    { "allow-url", 0, WD_OPT_LIST, AT(allow_url), NULL, 0, 0, "http[s]://HOST[:PORT][/PATH][=NETWORK+...]: pictures may be fetched from there; may be given again" },
    { "fetch-ca", 0, WD_OPT_STR, AT(fetch_ca), NULL, 0, 0, "certificates of authorities for these, PEM; default: the system's" },
    { "fetch-s", 0, WD_OPT_INT, AT(fetch_s), "15", 1, 600, "seconds that fetching one picture may take" },
    { "fetch-mb", 0, WD_OPT_INT, AT(fetch_mb), "64", 1, 4096, "all that a request fetches, MiB" },
    { "idle-s", 0, WD_OPT_INT, AT(idle_s), "60", 1, 86400, "seconds after which a silent connection is closed" },
    { "request-s", 0, WD_OPT_INT, AT(request_s), "600", 1, 86400, "seconds that a request may take" },
    { "drain-s", 0, WD_OPT_INT, AT(drain_s), "30", 0, 86400, "seconds that running requests have at the end" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "print where the server listens as JSON" },
};
/* clang-format on */

/* systemd's protocol (sd_notify(3)): one datagram to the socket that $NOTIFY_SOCKET names. Nobody listens: fine. */
static void notify(const char *state)
{
    const char *path = wd_env("NOTIFY_SOCKET");
    struct sockaddr_un to = { .sun_family = AF_UNIX };
    if (!path || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, strlen(path));
    if (path[0] == '@')
        to.sun_path[0] = 0;
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const socklen_t n = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (fd >= 0 && sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to, n) < 0)
        wd_log(WD_LOG_WARN, "serve", "the service manager was not told: %s", state);
    if (fd >= 0)
        close(fd);
}

static wd_status read_pem(wd_cli *cli, const char *path, const char **out, wd_err *err)
{
    wd_buf b = { 0 };
    if (!path)
        return WD_OK;
    wd_status st = wd_file_read(path, PEM_MAX, &b, err);
    if (!st) {
        *out = wd_arena_strndup(cli->arena, (const char *)b.p, b.n); /* the arena wipes */
        if (!*out)
            st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory", path);
    }
    wd_buf_wipe(&b);
    wd_buf_free(&b);
    return st;
}

static wd_status say_where(const options *o, const char *model, uint16_t port, wd_err *err)
{
    const char *scheme = o->tls_cert ? "https" : "http", *open = strchr(o->address, ':') ? "[" : "",
               *close = *open ? "]" : "";
    char line[512];
    if (o->json)
        return wd_cli_print_json(
            json_pack("{s:s, s:i, s:s}", "address", o->address, "port", (int)port, "model", model), err);
    snprintf(line, sizeof line, "%s is served at %s://%s%s%s:%u/v1\n", model, scheme, open, o->address, close,
             port);
    return wd_cli_print(wd_span_str(line), err);
}

static wd_status open_guard(const options *o, wd_guard **out, wd_err *err)
{
    wd_guard_opts go = WD_GUARD_OPTS_DEFAULT;
    *out = NULL;
    if (!o->data)
        return WD_OK;
    go.dir = o->data;
    go.anchors = o->anchors;
    go.serve = true;
    go.session_s = (uint32_t)o->session_min * 60;
    go.session_idle_s = (uint32_t)o->session_idle_min * 60;
    go.must_exist = true; /* `ward user` makes it */
    return wd_guard_open(&go, out, err);
}

static wd_status serve(wd_cli *cli, const options *o, wd_cli_served *models, wd_err *err)
{
    wd_serve_opts so = WD_SERVE_OPTS_DEFAULT;
    wd_server *server;
    wd_cli_served_use(models, &so);
    so.version = WARD_VERSION;
    so.address = o->address;
    so.origin = o->origin;
    so.port = (uint16_t)o->port;
    so.max_running = (uint32_t)o->max_running;
    so.max_waiting = (uint32_t)o->max_waiting;
    so.max_connections = (uint32_t)o->max_connections;
    so.max_images = (uint32_t)o->max_images;
    so.body_bytes = (size_t)o->max_body_mb << 20;
    so.data = o->data;
    so.files_bytes = (uint64_t)o->files_mb << 20;
    so.file_s = (uint32_t)o->file_h * 3600;
    so.responses_bytes = (uint64_t)o->responses_mb << 20;
    so.response_s = (uint32_t)o->response_h * 3600;
    so.store_responses = o->store_responses;
    so.allow_url = o->allow_url.v;
    so.n_allow_url = o->allow_url.n;
    so.fetch_ca = o->fetch_ca;
    so.fetch_ms = (uint32_t)o->fetch_s * 1000;
    so.fetch_bytes = (size_t)o->fetch_mb << 20;
    so.idle_s = (uint32_t)o->idle_s;
    so.request_s = (uint32_t)o->request_s;
    WD_TRY(read_pem(cli, o->tls_cert, &so.cert, err));
    WD_TRY(read_pem(cli, o->tls_key, &so.key, err));
    WD_TRY(open_guard(o, &so.guard, err));
    wd_status st = wd_serve_start(&so, &server, err);
    if (st) {
        wd_guard_close(so.guard);
        return st;
    }
    st = say_where(o, wd_cli_served_name(models), wd_serve_port(server), err);
    if (!st)
        notify("READY=1");
    while (!st && !atomic_load(&wd_cli_cancelled))
        poll(NULL, 0, 100); /* a signal ends it early */
    notify("STOPPING=1");
    if (!wd_serve_drain(server, (uint32_t)o->drain_s * 1000))
        wd_log(WD_LOG_WARN, "serve", "requests still ran after %lld s and were cancelled",
               (long long)o->drain_s);
    wd_serve_stop(server);
    wd_guard_close(so.guard);
    return st;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_serve, argc, argv, &o, &rest, err));
    if (rest.n)
        return WD_FAIL(err, WD_E_USAGE, "serve takes no operands: \"%s\"", rest.v[0]);
    wd_log_set_level(WD_LOG_INFO); /* a line for each request */
    const wd_cli_served_opts so = { .args = &o.m,
                                    .model = &o.models,
                                    .adapter = &o.adapters,
                                    .role = &o.roles,
                                    .served_name = o.served_name,
                                    .dir = o.models_dir,
                                    .memory_bytes = (size_t)o.memory_mb << 20 };
    wd_cli_served *models;
    wd_status st = wd_cli_served_open(cli, &so, &models, err);
    if (!st)
        st = serve(cli, &o, models, err);
    wd_cli_served_close(models);
    return st;
}

const wd_command wd_cmd_serve = {
    .name = "serve",
    .brief = "answer requests over HTTP, as the OpenAI API does",
    .operands = "",
    .about =
        "Listens on loopback and serves the model to clients of the OpenAI API: chat, completions,\n"
        "embeddings, rerank, tokenize. docs/serve.md has the routes and limits. SIGTERM or Ctrl-C ends it\n"
        "when running requests are done.",
    .examples = "  ward serve -m Qwen3-VL-2B-Instruct\n"
                "  ward serve -m Qwen3-8B -p 8000 --served-name assistant --max-running 8\n"
                "  curl http://localhost:8080/v1/chat/completions -d '{\"messages\": [{\"role\": \"user\",\n"
                "    \"content\": \"What does a raised CRP mean?\"}], \"stream\": true}'\n",
    .options = { "serve", opts, WD_COUNT(opts) },
    .run = run,
};
