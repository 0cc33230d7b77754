/* What is known of each upstream, and the thread that asks them. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/host.h"
#include "base/json.h"
#include "base/log.h"
#include "base/utf8.h"
#include "engine/remote/inner.h"

#define LIST_BYTES_MAX ((size_t)1 << 20) /* of an upstream's models */
#define PROBE_MS 5000                    /* until it answers */

const char *wd_upstream_kind_name(wd_upstream_kind kind)
{
    static const char *const names[] = { "auto", "ward", "vllm", "sglang", "llamacpp", "openai" };
    return names[kind];
}

/* --- addresses --------------------------------------------------------------------------------------------- */

static wd_status check_parts(wd_upstream *u, const char *url, bool clear, const char *scheme,
                             const char *host, const char *port, wd_err *err)
{
    if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        return WD_FAIL(err, WD_E_USAGE, "upstream \"%s\": expected http:// or https://", url);
    if (!strcmp(scheme, "http") && !clear && !wd_host_is_loopback(host))
        return WD_FAIL(err, WD_E_USAGE,
                       "upstream \"%s\": prompts would cross the network unencrypted; expected https://, or "
                       "--remote-clear where the network itself is protected",
                       url);
    const int n = snprintf(u->name, sizeof u->name, "%s:%s", host, port);
    if (n < 0 || (size_t)n >= sizeof u->name)
        return WD_FAIL(err, WD_E_USAGE, "upstream: a host name of more than %d bytes", WD_REMOTE_NAME_MAX);
    return WD_OK;
}

wd_status wd_upstream__init(wd_upstream *u, const char *url, bool clear, wd_err *err)
{
    CURLU *p = curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL, *more = NULL;
    wd_status st = WD_OK;
    if (!p)
        return WD_FAIL(err, WD_E_NOMEM, "upstream: no memory");
    if (curl_url_set(p, CURLUPART_URL, url, CURLU_DISALLOW_USER) != CURLUE_OK ||
        curl_url_get(p, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(p, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(p, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK ||
        curl_url_get(p, CURLUPART_QUERY, &more, 0) != CURLUE_NO_QUERY ||
        curl_url_get(p, CURLUPART_FRAGMENT, &more, 0) != CURLUE_NO_FRAGMENT)
        st = WD_FAIL(
            err, WD_E_USAGE,
            "an upstream's URL is none that can be used; expected one like http://127.0.0.1:8000/v1, "
            "without name, password and query");
    if (!st)
        st = check_parts(u, url, clear, scheme, host, port, err);
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(more);
    curl_url_cleanup(p);
    if (st)
        return st;
    u->url = wd_strdup(url);
    if (!u->url)
        return WD_FAIL(err, WD_E_NOMEM, "upstream: no memory");
    for (size_t n = strlen(u->url); n && u->url[n - 1] == '/';)
        u->url[--n] = 0;
    return WD_OK;
}

/* --- asking ------------------------------------------------------------------------------------------------ */

static wd_status collect(void *self, wd_span bytes, wd_err *err)
{
    wd_buf_span(self, bytes);
    return wd_buf_check(self, "models", err);
}

static wd_upstream_kind kind_of(const char *owner)
{
    for (int k = WD_UPSTREAM_WARD; owner && k < WD_UPSTREAM_OPENAI; k++)
        if (!strcmp(owner, wd_upstream_kind_name((wd_upstream_kind)k)))
            return (wd_upstream_kind)k;
    return WD_UPSTREAM_OPENAI;
}

/* A name that may stand in a request, a header of ours and a log. */
static bool is_name(const char *s)
{
    const size_t n = s ? strlen(s) : 0;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)s[i] < ' ' || s[i] == 0x7F)
            return false;
    return n > 0 && n < WD_REMOTE_NAME_MAX && wd_utf8_valid(wd_span_str(s));
}

static wd_status read_models(wd_remote *r, wd_upstream *u, const json_t *v, const char *want, char **model,
                             uint32_t *context, wd_upstream_kind *kind, wd_err *err)
{
    const json_t *list = json_object_get(v, "data"), *one = json_array_get(list, 0);
    const size_t n = json_array_size(list);
    if (!json_is_array(list))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: its list of models has no array \"data\"", u->name);
    for (size_t i = 0; want && i < n; i++) {
        const char *id = json_string_value(json_object_get(json_array_get(list, i), "id"));
        if (id && !strcmp(id, want))
            one = json_array_get(list, i);
    }
    const char *id = want ? want : json_string_value(json_object_get(one, "id"));
    const json_int_t len = json_integer_value(json_object_get(one, "max_model_len"));
    *context = len > 0 && len < INT32_MAX ? (uint32_t)len : 0;
    *kind = r->o.kind ? r->o.kind : kind_of(json_string_value(json_object_get(one, "owned_by")));
    if (!model)
        return WD_OK;
    if (!want && n != 1)
        return WD_FAIL(err, n ? WD_E_USAGE : WD_E_NOT_FOUND,
                       n ? "%s: it has %zu models; name one with --remote-model"
                         : "%s: it lists no model; name one with --remote-model",
                       u->name, n);
    if (!is_name(id))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: the name of its model is none that can be used", u->name);
    *model = wd_strdup(id);
    return *model ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "remote: no memory");
}

wd_status wd_upstream__probe(wd_remote *r, size_t i, const atomic_bool *cancel, const char *want,
                             char **model, uint32_t *context, wd_err *err)
{
    wd_upstream *u = &r->up[i];
    wd_buf text = { .max = LIST_BYTES_MAX }, url = { 0 };
    wd_upstream_kind kind = WD_UPSTREAM_AUTO;
    wd_err why;
    json_t *v = NULL;
    wd_buf_printf(&url, "%s/models", u->url);
    wd_exchange x = { .url = (const char *)url.p,
                      .name = u->name,
                      .cancel = cancel,
                      .ending = &r->ending,
                      .first_byte_ms = PROBE_MS,
                      .max_bytes = LIST_BYTES_MAX - 1,
                      .data = collect,
                      .self = &text };
    wd_status st = url.failed ? WD_FAIL(err, WD_E_NOMEM, "%s: no memory", u->name)
                              : wd_remote__exchange(r, &x, err);
    if (!st && wd_json_parse(wd_buf_view(&text), "models", &v, &why))
        st = WD_FAIL(err, WD_E_CORRUPT, "%s: its list of models is not JSON", u->name);
    if (!st)
        st = read_models(r, u, v, want, model, context, &kind, err);
    json_decref(v);
    wd_buf_free(&text);
    wd_buf_free(&url);
    pthread_mutex_lock(&r->mu);
    const bool was_down = u->known && u->down, gone = u->known && !u->down && st && st != WD_E_CANCELLED;
    if (!st)
        u->kind = kind;
    u->known = u->known || !st;
    if (st != WD_E_CANCELLED)
        u->down = st != WD_OK;
    pthread_mutex_unlock(&r->mu);
    if (gone)
        wd_log(WD_LOG_WARN, "remote", "upstream=%s down: %s", u->name, err->text);
    if (!st && was_down)
        wd_log(WD_LOG_WARN, "remote", "upstream=%s up", u->name);
    return st;
}

static void *probe_all(void *arg)
{
    wd_remote *r = arg;
    wd_err err;
    pthread_mutex_lock(&r->mu);
    while (!atomic_load(&r->ending)) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += r->o.health_ms / 1000;
        until.tv_nsec += (long)(r->o.health_ms % 1000) * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        while (!atomic_load(&r->ending) && pthread_cond_timedwait(&r->changed, &r->mu, &until) != ETIMEDOUT)
            ;
        pthread_mutex_unlock(&r->mu);
        for (size_t i = 0; i < r->n_up && !atomic_load(&r->ending); i++) {
            uint32_t context;
            if (wd_upstream__probe(r, i, NULL, r->model, NULL, &context, &err))
                continue; /* noted by the probe */
        }
        pthread_mutex_lock(&r->mu);
    }
    pthread_mutex_unlock(&r->mu);
    return NULL;
}

wd_status wd_upstream__start(wd_remote *r, wd_err *err)
{
    if (pthread_create(&r->prober, NULL, probe_all, r) != 0)
        return WD_FAIL(err, WD_E_NOMEM, "remote: no thread to look after the upstreams");
    r->has_prober = true;
    return WD_OK;
}

void wd_upstream__stop(wd_remote *r)
{
    pthread_mutex_lock(&r->mu);
    atomic_store(&r->ending, true);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->mu);
    if (r->has_prober)
        pthread_join(r->prober, NULL);
}

/* --- choosing ---------------------------------------------------------------------------------------------- */

/* Worse is more: down, without room; then calls under way. One that was never asked counts as well: the call asks. */
static uint64_t cost(const wd_upstream *u, uint64_t now)
{
    return (uint64_t)u->down << 49 | (uint64_t)(u->not_before_ns > now) << 48 | u->n_out;
}

size_t wd_upstream__pick(wd_remote *r, const bool *tried)
{
    const uint64_t now = wd_clock_ns();
    size_t best = SIZE_MAX;
    pthread_mutex_lock(&r->mu);
    for (size_t k = 0; k < r->n_up; k++) {
        const size_t i = (r->turn + k) % r->n_up; /* equal ones take turns */
        if (!tried[i] && (best == SIZE_MAX || cost(&r->up[i], now) < cost(&r->up[best], now)))
            best = i;
    }
    if (best != SIZE_MAX) {
        r->up[best].n_out++;
        r->turn = best + 1;
    }
    pthread_mutex_unlock(&r->mu);
    return best;
}

void wd_upstream__let_go(wd_remote *r, size_t i, wd_trouble trouble, double retry_s)
{
    wd_upstream *u = &r->up[i];
    pthread_mutex_lock(&r->mu);
    u->n_out--;
    const bool gone = !u->down && (trouble == WD_TROUBLE_REACH || trouble == WD_TROUBLE_HERE);
    u->down |= gone;
    if (trouble == WD_TROUBLE_NONE)
        u->down = false;
    if (trouble == WD_TROUBLE_ROOM)
        u->not_before_ns = wd_clock_ns() + (uint64_t)((retry_s > 0 ? retry_s : 1) * 1e9);
    pthread_mutex_unlock(&r->mu);
    if (gone)
        wd_log(WD_LOG_WARN, "remote", "upstream=%s down: a call did not reach it", u->name);
}
