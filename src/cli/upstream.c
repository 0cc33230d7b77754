/* From options to an engine over other servers. */
#include "cli/upstream.h"

#include <string.h>

#include "base/file.h"
#include "engine/remote/remote.h"
#include "media/png_write.h"

#define KEY_BYTES_MAX 4096

bool wd_cli_is_upstream(const char *model)
{
    return model && (!strncmp(model, "http://", 7) || !strncmp(model, "https://", 8));
}

/* What shapes an engine in this process shapes no other server. */
static wd_status check_local(const wd_model_args *m, wd_err *err)
{
    const struct {
        const char *name;
        bool given;
    } local[] = {
        { "mmproj", m->mmproj != NULL },
        { "lora", m->lora.n > 0 },
        { "context", m->context != 0 },
        { "threads", m->threads != 0 },
        { "isa", strcmp(m->isa, "auto") != 0 },
        { "precision", strcmp(m->precision, "fast") != 0 },
        { "weights", strcmp(m->weights, "as-stored") != 0 },
        { "hold", strcmp(m->hold, "as-needed") != 0 },
        { "kv", strcmp(m->kv, "auto") != 0 },
        { "lookup", strcmp(m->lookup, "auto") != 0 },
        { "chat-template", strcmp(m->chat_template, "auto") != 0 },
        { "min-pixels", m->min_pixels != 0 },
        { "max-pixels", m->max_pixels != 0 },
        { "fps", m->fps > 0 },
        { "max-frames", m->max_frames != 0 },
        { "kv-mb", m->kv_mb != 0 },
        { "prefix-mb", m->prefix_mb != 0 },
    };
    if (m->metered)
        return WD_FAIL(err, WD_E_USAGE, "this command measures the engine in this process: -m takes no URL");
    for (size_t i = 0; i < WD_COUNT(local); i++)
        if (local[i].given && (!m->machine || i < 2)) /* there may be models of both sorts */
            return WD_FAIL(err, WD_E_USAGE,
                           "--%s is for a model in this process; -m names a server, which has its own",
                           local[i].name);
    return WD_OK;
}

static wd_status split(wd_cli *cli, const char *list, wd_remote_opts *o, wd_err *err)
{
    const char **url = WD_NEW_N(cli->arena, const char *, WD_UPSTREAMS_MAX);
    if (!url)
        return WD_FAIL(err, WD_E_NOMEM, "upstream: no memory");
    for (const char *p = list; *p || p == list;) {
        const size_t n = strcspn(p, ",");
        if (o->n_url == WD_UPSTREAMS_MAX)
            return WD_FAIL(err, WD_E_USAGE, "-m: more than %d servers", WD_UPSTREAMS_MAX);
        url[o->n_url] = wd_arena_strndup(cli->arena, p, n);
        if (!url[o->n_url++])
            return WD_FAIL(err, WD_E_NOMEM, "upstream: no memory");
        p += n + (p[n] == ',');
    }
    o->url = url;
    return WD_OK;
}

/* Of the file, without the line's end; else of the environment. */
static wd_status read_key(wd_cli *cli, const char *path, const char **key, wd_err *err)
{
    wd_buf b = { 0 };
    *key = wd_env("WARD_REMOTE_KEY");
    if (!path)
        return WD_OK;
    wd_status st = wd_file_read(path, KEY_BYTES_MAX, &b, err);
    while (!st && b.n && (b.p[b.n - 1] == '\n' || b.p[b.n - 1] == '\r' || b.p[b.n - 1] == ' '))
        b.n--;
    if (!st && !b.n)
        st = WD_FAIL(err, WD_E_INVALID, "%s: expected a key, the file is empty", path);
    if (!st) {
        *key = wd_arena_strndup(cli->arena, (const char *)b.p, b.n); /* the arena wipes */
        if (!*key)
            st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory", path);
    }
    wd_buf_wipe(&b);
    wd_buf_free(&b);
    return st;
}

static wd_status read_kind(const char *name, wd_upstream_kind *out, wd_err *err)
{
    for (int k = 0; k < WD_UPSTREAM_N_KIND; k++) {
        *out = (wd_upstream_kind)k;
        if (!strcmp(name, wd_upstream_kind_name(*out)))
            return WD_OK;
    }
    return WD_FAIL(err, WD_E_USAGE,
                   "--remote-kind: \"%s\", expected auto, ward, vllm, sglang, llamacpp or openai", name);
}

wd_status wd_cli_open_upstream(wd_cli *cli, const wd_model_args *m, wd_engine **out, wd_err *err)
{
    wd_remote_opts o = WD_REMOTE_OPTS_DEFAULT;
    *out = NULL;
    WD_TRY(check_local(m, err));
    WD_TRY(split(cli, m->model, &o, err));
    WD_TRY(read_key(cli, m->remote_key, &o.key, err));
    WD_TRY(read_kind(m->remote_kind, &o.kind, err));
    o.model = m->remote_model;
    o.ca_file = m->remote_ca;
    o.clear = m->remote_clear;
    o.connect_ms = (uint32_t)m->remote_connect_s * 1000;
    o.first_byte_ms = (uint32_t)m->remote_wait_s * 1000;
    o.idle_ms = (uint32_t)m->remote_idle_s * 1000;
    o.retry_ms = (uint32_t)m->remote_retry_s * 1000;
    o.png = wd_png_write;
    return wd_remote_create(&o, &wd_cli_cancelled, out, err);
}
