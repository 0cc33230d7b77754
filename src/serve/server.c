/* The server: connections (libmicrohttpd), what of a request can be refused at once, start and end.
 *
 * A request that is refused is read to its end all the same, up to some bytes: a client that is still sending when the
 * connection closes would never see the answer.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "serve/inner.h"
#include "text/schema/cache.h"

#define DISCARD_MAX 4 /* times the largest body: what a refused client may still send */
#define CONNECTION_MEMORY 65536
#define STREAM_BLOCK 16384
#define FILES_ON_DISK ((uint64_t)4 << 30)
#define FILES_IN_MEMORY ((uint64_t)256 << 20)
#define RESPONSES_ON_DISK ((uint64_t)1 << 30)
#define RESPONSES_IN_MEMORY ((uint64_t)64 << 20)
#define GRACE_MS 10000 /* for cancelled requests to end */

/* --- answers ----------------------------------------------------------------------------------------------- */

static ssize_t read_stream(void *cls, uint64_t pos, char *buf, size_t max)
{
    wd_req *r = cls;
    ssize_t n;
    (void)pos;
    pthread_mutex_lock(&r->mu);
    const size_t have = r->out.n - r->out_at;
    if (have) {
        n = (ssize_t)WD_MIN(have, max);
        memcpy(buf, r->out.p + r->out_at, (size_t)n);
        r->out_at += (size_t)n;
    } else if (r->broken) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (r->ended) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        n = 0;
        r->suspended = true;
        MHD_suspend_connection(r->conn);
    }
    pthread_mutex_unlock(&r->mu);
    return n;
}

static void drop_ref(void *cls)
{
    wd_serve__unref(cls);
}

static void add_headers(const wd_req *r, struct MHD_Response *resp)
{
    char retry[16];
    MHD_add_response_header(resp, "Content-Type", r->type);
    MHD_add_response_header(resp, "Cache-Control", "no-store");
    MHD_add_response_header(resp, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(resp, "X-Request-Id", r->id);
    if (r->streaming)
        MHD_add_response_header(resp, "X-Accel-Buffering", "no");
    if (!r->streaming && r->failed && r->fault.retry_s) { /* a stream may be failing now */
        snprintf(retry, sizeof retry, "%u", r->fault.retry_s);
        MHD_add_response_header(resp, "Retry-After", retry);
    }
    for (size_t i = 0; r->http == 405 && r->route && i < wd_serve__n_route; i++)
        if (!strcmp(wd_serve__routes[i]->path, r->route->path))
            MHD_add_response_header(resp, "Allow", wd_serve__routes[i]->method);
    if (r->route && r->route->body == WD_BODY_NONE && !strncmp(r->type, "application/octet-stream", 24))
        MHD_add_response_header(resp, "Content-Disposition", "attachment");
    if (r->cookie[0] && r->http == 200)
        MHD_add_response_header(resp, "Set-Cookie", r->cookie);
    if (r->http == 401)
        MHD_add_response_header(resp, "WWW-Authenticate", "Bearer");
    if (atomic_load(&r->server->draining))
        MHD_add_response_header(resp, "Connection", "close");
}

/* Loop thread, without mu: what is answered does not change any more (out, fault and failed of a stream do), and
 * libmicrohttpd has a lock of its own that it holds when it calls read_stream. It gives its reference back when it is
 * done with the answer. */
static enum MHD_Result send_answer(wd_req *r)
{
    wd_serve__ref(r);
    struct MHD_Response *resp = r->streaming ? MHD_create_response_from_callback(
                                                   MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_stream, r, drop_ref)
                                             : MHD_create_response_from_buffer_with_free_callback_cls(
                                                   r->out.n, r->out.p, drop_ref, r);
    if (!resp) {
        wd_serve__unref(r); /* the connection has its own: this is not the last */
        return MHD_NO;
    }
    add_headers(r, resp);
    r->queued_reply = true;
    const enum MHD_Result ok = MHD_queue_response(r->conn, (unsigned)r->http, resp);
    MHD_destroy_response(resp);
    return ok;
}

/* --- what is refused at once ------------------------------------------------------------------------------- */

/* "localhost:8080", "127.0.0.1", "[::1]:80" */
static bool names_loopback(const char *host)
{
    static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };
    for (size_t i = 0; i < WD_COUNT(names); i++) {
        const size_t n = strlen(names[i]);
        if (!strncasecmp(host, names[i], n) && (host[n] == 0 || host[n] == ':'))
            return true;
    }
    return false;
}

/* A page of another site that the user's browser shows must not reach an open server, be it by its own scripts (Origin)
 * or by a name of its own that it lets point here (Host). */
static wd_status check_origin(const wd_server *s, struct MHD_Connection *c, wd_fault *f)
{
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
    const char *origin = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Origin");
    if (!s->open)
        return WD_OK;
    if (host && !names_loopback(host))
        return wd_fault_set(f, 403, "host_refused", NULL,
                            "this server asks for no tokens and is for this machine: call it localhost");
    if (!origin)
        return WD_OK;
    const char *name = strstr(origin, "://");
    if (!name || !names_loopback(name + 3))
        return wd_fault_set(f, 403, "origin_refused", NULL,
                            "this server asks for no tokens and answers no page of another origin");
    return WD_OK;
}

/* The part of the path that stands for {id} or {rest} goes into name. */
static bool path_matches(const char *pattern, const char *url, char name[WD_NAME_MAX + 1])
{
    name[0] = 0;
    while (*pattern && *url) {
        if (*pattern != '{') {
            if (*pattern++ != *url++)
                return false;
            continue;
        }
        const size_t n = strncmp(pattern, "{rest}", 6) ? strcspn(url, "/") : strlen(url);
        if (n == 0 || n > WD_NAME_MAX)
            return false;
        memcpy(name, url, n);
        name[n] = 0;
        pattern = strchr(pattern, '}') + 1;
        url += n;
    }
    return !*pattern && !*url;
}

static const wd_route *find_route(const char *url, const char *method, char name[WD_NAME_MAX + 1],
                                  bool *other_method)
{
    const wd_route *same_path = NULL;
    const bool head = !strcmp(method, "HEAD");
    for (size_t i = 0; i < wd_serve__n_route; i++) {
        const wd_route *route = wd_serve__routes[i];
        if (!path_matches(route->path, url, name))
            continue;
        if (!strcmp(route->method, method) || (head && !strcmp(route->method, "GET")))
            return route;
        same_path = route;
    }
    *other_method = same_path != NULL;
    return same_path;
}

const char *wd_serve__cookie(const wd_server *s)
{
    return s->secure ? "__Host-ward" : "ward"; /* browsers take the first from this host over TLS alone */
}

/* Whose page asks: this server's, as the request calls it, or as the options say. */
static wd_origin origin_of(const wd_server *s, struct MHD_Connection *c)
{
    const char *origin = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Origin");
    const char *host = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Host");
    const char *scheme = s->o.cert ? "https://" : "http://";
    if (!origin)
        return WD_ORIGIN_NONE;
    if (s->o.origin)
        return strcasecmp(origin, s->o.origin) ? WD_ORIGIN_OTHER : WD_ORIGIN_OWN;
    const size_t n = strlen(scheme);
    return host && !strncasecmp(origin, scheme, n) && !strcasecmp(origin + n, host) ? WD_ORIGIN_OWN
                                                                                    : WD_ORIGIN_OTHER;
}

/* Who asks, and may they: before the body is read. */
static wd_status ask_guard(wd_req *r, const char *url, const char *method, wd_fault *f)
{
    char from[INET6_ADDRSTRLEN] = "", id[33];
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->conn,
                                                                   MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *sa = info ? info->client_addr : NULL;
    if (sa && sa->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, from, sizeof from);
    else if (sa && sa->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, from, sizeof from);
    const wd_gate_ask ask = {
        .method = strcmp(method, "HEAD") ? method : "GET",
        .path = url,
        .authorization = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Authorization"),
        .from = from,
        .session = MHD_lookup_connection_value(r->conn, MHD_COOKIE_KIND, wd_serve__cookie(r->server)),
        .csrf = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "X-CSRF-Token"),
        .origin = origin_of(r->server, r->conn)
    };
    WD_TRY(wd_gate_admit(r->server->o.guard, &ask, &r->visit, id, f));
    if (r->visit)
        snprintf(r->id, sizeof r->id, "%s", id);
    return WD_OK;
}

static wd_status admit(wd_req *r, const char *url, const char *method, wd_fault *f)
{
    bool other_method = false;
    wd_server *s = r->server;
    WD_TRY(check_origin(s, r->conn, f));
    r->route = find_route(url, method, r->name, &other_method);
    if (!r->route)
        return wd_fault_set(f, 404, "unknown_path", NULL, "no such path; /api/openapi.json lists them");
    WD_TRY(ask_guard(r, url, method, f));
    if (other_method)
        return wd_fault_set(f, 405, "method_not_allowed", NULL, "%s: not by this method", r->route->path);
    if (atomic_load(&s->draining) && !r->route->now) {
        wd_fault_set(f, 503, "draining", NULL, "the server is shutting down");
        f->retry_s = 5;
        return WD_E_INVALID;
    }
    const char *len = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Content-Length");
    if (len && strtoull(len, NULL, 10) > s->o.body_bytes)
        return wd_fault_set(f, 413, "body_too_large", NULL, "the body has more than %zu bytes",
                            s->o.body_bytes);
    wd_err err = { 0 };
    const char *type = MHD_lookup_connection_value(r->conn, MHD_HEADER_KIND, "Content-Type");
    if (r->route->body == WD_BODY_FORM && wd_multipart_boundary(type, r->boundary, &err))
        return wd_fault_set(f, 415, "unsupported", NULL, "%s", err.text);
    return WD_OK;
}

/* --- a request --------------------------------------------------------------------------------------------- */

static wd_req *begin(wd_server *s, struct MHD_Connection *c, const char *url, const char *method)
{
    wd_req *r = WD_ALLOC(wd_req);
    if (!r)
        return NULL;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    r->server = s;
    r->conn = c;
    r->fd = info ? info->connect_fd : -1;
    r->start_ns = wd_clock_ns();
    atomic_store(&r->refs, 1);
    pthread_mutex_init(&r->mu, NULL);
    wd_serve__new_id("req-", r->id);
    r->body.max = s->o.body_bytes;
    r->failed = admit(r, url, method, &r->fault) != WD_OK;
    return r;
}

/* Part of the body. False: enough of it. */
static bool take(wd_req *r, const char *data, size_t n)
{
    wd_server *s = r->server;
    r->n_discarded += n;
    if (r->failed)
        return r->n_discarded <= DISCARD_MAX * s->o.body_bytes;
    if (r->body.n + n > s->o.body_bytes) {
        wd_fault_set(&r->fault, 413, "body_too_large", NULL, "the body has more than %zu bytes",
                     s->o.body_bytes);
        r->failed = true;
    } else if (atomic_fetch_add(&s->n_body, n) + n > s->o.bodies_bytes) {
        r->n_counted += n;
        wd_fault_set(&r->fault, 503, "busy", NULL, "too many bytes of requests are on their way");
        r->fault.retry_s = 1;
        r->failed = true;
    } else {
        r->n_counted += n;
        wd_buf_put(&r->body, data, n);
        if (r->body.failed) {
            wd_fault_set(&r->fault, 503, "no_memory", NULL, "no memory for this request");
            r->failed = true;
        }
    }
    if (r->failed) {
        wd_buf_wipe(&r->body);
        wd_buf_free(&r->body);
    }
    return true;
}

/* On the loop thread: the refusal is recorded, then answered. */
static void answer_fault(wd_req *r, const wd_fault *fault)
{
    wd_fault f = *fault, unrecorded;
    if (wd_serve__end_visit(r, f.http, f.code, &unrecorded))
        f = unrecorded;
    wd_serve__answer_fault(r, &f);
}

/* An answer that has not left is replaced by the fault. */
static void withhold(wd_req *r, const wd_fault *f)
{
    pthread_mutex_lock(&r->mu);
    r->answered = false;
    wd_buf_wipe(&r->out);
    wd_buf_free(&r->out);
    pthread_mutex_unlock(&r->mu);
    wd_serve__answer_fault(r, f);
}

/* The body is complete: answer now, or queue. */
static enum MHD_Result dispatch(wd_req *r)
{
    wd_server *s = r->server;
    r->submitted = true;
    r->start_ns = wd_clock_ns();
    if (r->failed) {
        answer_fault(r, &r->fault);
    } else if (r->route->now) {
        wd_fault f;
        r->route->now(r); /* nothing leaves before send_answer */
        if (wd_serve__end_visit(r, r->http, r->failed ? r->fault.code : NULL, &f))
            withhold(r, &f);
    } else {
        r->deadline_ns = r->start_ns + (uint64_t)s->o.request_s * 1000000000;
        wd_watch_add(r);
        pthread_mutex_lock(&r->mu);
        const bool room = wd_serve__submit(r);
        if (room) {
            r->suspended = true;
            MHD_suspend_connection(r->conn);
        }
        pthread_mutex_unlock(&r->mu);
        if (room)
            return MHD_YES;
        wd_fault f;
        if (atomic_load(&s->draining)) {
            wd_fault_set(&f, 503, "draining", NULL, "the server is shutting down");
        } else {
            wd_fault_set(&f, 429, "queue_full", NULL, "%u requests wait already; try again",
                         s->o.max_waiting);
            wd_metrics_count(s->metrics, WD_COUNTER_REFUSED_FULL, 1);
        }
        f.retry_s = 1;
        answer_fault(r, &f);
    }
    return send_answer(r);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                                  const char *version, const char *data, size_t *n_data, void **req)
{
    wd_req *r = *req;
    (void)version;
    if (!r) {
        r = begin(cls, c, url, method);
        *req = r;
        return r ? MHD_YES : MHD_NO;
    }
    if (*n_data) {
        const bool more = take(r, data, *n_data);
        *n_data = 0;
        return more ? MHD_YES : MHD_NO;
    }
    if (!r->submitted)
        return dispatch(r);
    if (r->queued_reply)
        return MHD_NO;
    pthread_mutex_lock(&r->mu);
    const bool answered = r->answered;
    if (!answered) {
        r->suspended = true;
        MHD_suspend_connection(r->conn);
    }
    pthread_mutex_unlock(&r->mu);
    return answered ? send_answer(r) : MHD_YES;
}

static void on_completed(void *cls, struct MHD_Connection *c, void **req, enum MHD_RequestTerminationCode how)
{
    wd_server *s = cls;
    wd_req *r = *req;
    (void)c;
    if (!r)
        return;
    *req = NULL;
    wd_watch_remove(r);
    wd_fault f;
    if (!r->submitted && wd_serve__end_visit(r, 499, "vanished", &f)) /* it never came to its end */
        wd_log(WD_LOG_ERROR, "serve", "request id=%s: the audit could not be written", r->id);
    pthread_mutex_lock(&r->mu);
    r->gone = true;
    r->suspended = false;
    if (how != MHD_REQUEST_TERMINATED_COMPLETED_OK && !r->why)
        r->why = how == MHD_REQUEST_TERMINATED_TIMEOUT_REACHED ? "slow reader" : "vanished";
    const char *why = r->why;
    const int http = r->answered ? r->http : 0;
    const double ms = (double)(wd_clock_ns() - r->start_ns) * 1e-6;
    wd_log(WD_LOG_INFO, "serve",
           "request id=%s route=%s status=%d ms=%.0f prompt=%zu cached=%zu reply=%zu end=%s", r->id,
           r->route ? r->route->path : "-", http, ms, r->n_prompt, r->n_cached, r->n_reply,
           why ? why : "complete");
    pthread_mutex_unlock(&r->mu);
    atomic_store(&r->cancel, true);
    if (why && !strcmp(why, "slow reader"))
        wd_metrics_count(s->metrics, WD_COUNTER_SLOW_READER, 1);
    if (why && !strcmp(why, "vanished"))
        wd_metrics_count(s->metrics, WD_COUNTER_VANISHED, 1);
    size_t i = 0; /* counted by path: the first route that has it */
    while (r->route && strcmp(wd_serve__routes[i]->path, r->route->path) != 0)
        i++;
    if (r->route)
        wd_metrics_answer(s->metrics, i, http);
    wd_serve__unref(r);
}

static void on_connection(void *cls, struct MHD_Connection *c, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    wd_server *s = cls;
    (void)c;
    (void)socket_context;
    wd_metrics_gauge(s->metrics, WD_GAUGE_CONNECTIONS, what == MHD_CONNECTION_NOTIFY_STARTED ? 1 : -1);
}

static void on_log(void *cls, const char *fmt, va_list ap)
{
    char line[256]; /* libmicrohttpd's own words: it never prints what clients send */
    (void)cls;
    vsnprintf(line, sizeof line, fmt, ap);
    line[strcspn(line, "\n")] = 0;
    wd_log(WD_LOG_DEBUG, "http", "%s", line);
}

/* --- start and end ----------------------------------------------------------------------------------------- */

typedef union address {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

static wd_status read_address(const wd_serve_opts *o, address *a, bool *loopback, wd_err *err)
{
    memset(a, 0, sizeof *a);
    if (inet_pton(AF_INET, o->address, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(o->port);
        *loopback = ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
    } else if (inet_pton(AF_INET6, o->address, &a->v6.sin6_addr) == 1) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons(o->port);
        *loopback = IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
    } else {
        return WD_FAIL(err, WD_E_USAGE, "address: \"%s\" is no numeric IPv4 or IPv6 address", o->address);
    }
    return WD_OK;
}

static wd_status check_opts(const wd_serve_opts *o, bool loopback, wd_err *err)
{
    if (!o->cert != !o->key)
        return WD_FAIL(err, WD_E_USAGE, "TLS needs a certificate and its key");
    if (!loopback && !o->cert)
        return WD_FAIL(err, WD_E_USAGE, "%s is not loopback: beyond it the server needs a TLS certificate",
                       o->address);
    if (!loopback && !o->guard)
        return WD_FAIL(err, WD_E_USAGE,
                       "%s is not loopback: without tokens the server is for this machine only", o->address);
    if (o->cert && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "libmicrohttpd was built without TLS");
    if (!o->max_running || o->max_running > 1024 || !o->max_choices || !o->max_inputs || !o->max_connections)
        return WD_FAIL(err, WD_E_USAGE,
                       "the server's limits: running requests 1 to 1024, the others at least 1");
    return WD_OK;
}

static wd_status listen_on(wd_server *s, const address *a, wd_err *err)
{
    const unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_EPOLL | MHD_USE_ITC |
                           MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | (s->o.cert ? MHD_USE_TLS : 0) |
                           (a->sa.sa_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    struct MHD_OptionItem tls[3] = { { MHD_OPTION_END, 0, NULL } };
    if (s->o.cert) {
        tls[0] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)s->o.cert };
        tls[1] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)s->o.key };
        tls[2] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
    }
    s->daemon = MHD_start_daemon(
        flags, s->o.port, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_SOCK_ADDR, &a->sa, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)s->o.max_connections, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)s->o.idle_s,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY, MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (!s->daemon)
        return WD_FAIL(err, WD_E_IO, "cannot listen on %s port %u: %s", s->o.address, s->o.port,
                       errno ? strerror(errno) : "refused");
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
    s->port = info ? info->port : s->o.port;
    return WD_OK;
}

/* The options' list, or one of the one model that they name. */
static wd_status open_models(wd_server *s, wd_err *err)
{
    s->models = s->o.models;
    if (s->models)
        return WD_OK;
    const wd_served_opts one = { .name = s->o.model, .engine = s->o.engine, .tokenizer = s->o.tokenizer };
    WD_TRY(wd_models_create(&s->own_models, err));
    s->models = s->own_models;
    return wd_models_add(s->models, &one, false, err);
}

static wd_status open_kept(const wd_server *s, wd_files_kind kind, uint64_t bytes, wd_files **out,
                           wd_err *err)
{
    wd_files_opts o = WD_FILES_OPTS_DEFAULT;
    o.kind = kind;
    o.dir = s->o.data;
    o.max_bytes = bytes;
    o.owner_bytes = s->o.guard ? bytes / 4 : bytes;
    return wd_files_open(&o, out, err);
}

static wd_status open_files(wd_server *s, wd_err *err)
{
    const bool on_disk = s->o.data != NULL;
    const uint64_t files = on_disk ? FILES_ON_DISK : FILES_IN_MEMORY,
                   responses = on_disk ? RESPONSES_ON_DISK : RESPONSES_IN_MEMORY;
    WD_TRY(open_kept(s, WD_FILES_UPLOADS, s->o.files_bytes ? s->o.files_bytes : files, &s->files, err));
    return open_kept(s, WD_FILES_RESPONSES, s->o.responses_bytes ? s->o.responses_bytes : responses,
                     &s->responses, err);
}

static wd_status start(wd_server *s, wd_err *err)
{
    address a;
    bool loopback = false;
    WD_TRY(read_address(&s->o, &a, &loopback, err));
    WD_TRY(check_opts(&s->o, loopback, err));
    s->open = !s->o.guard;
    s->secure = s->o.cert || (s->o.origin && !strncasecmp(s->o.origin, "https://", 8));
    WD_TRY(open_models(s, err));
    s->metrics = wd_metrics_create();
    if (!s->metrics)
        return WD_FAIL(err, WD_E_NOMEM, "server: no memory");
    WD_TRY(wd_constraint_cache_create(s->o.constraint_bytes, &s->constraints, err));
    WD_TRY(open_files(s, err));
    WD_TRY(wd_allow_create(s->o.allow_url, s->o.n_allow_url, &s->allow, err));
    WD_TRY(wd_watcher_create(s, &s->watcher, err));
    WD_TRY(wd_queue_create(s, &s->queue, err));
    return listen_on(s, &a, err);
}

wd_status wd_serve_start(const wd_serve_opts *o, wd_server **out, wd_err *err)
{
    sigset_t all, before;
    *out = NULL;
    wd_server *s = WD_ALLOC(wd_server);
    if (!s)
        return WD_FAIL(err, WD_E_NOMEM, "server: no memory");
    s->o = *o;
    sem_init(&s->decoders, 0, 4);
    pthread_mutex_init(&s->loading, NULL);
    sigfillset(&all); /* signals are for the caller's thread: those made here inherit the mask */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const wd_status st = start(s, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (st) {
        wd_serve_stop(s);
        return st;
    }
    *out = s;
    return WD_OK;
}

uint16_t wd_serve_port(const wd_server *s)
{
    return s->port;
}

bool wd_serve_drain(wd_server *s, uint32_t timeout_ms)
{
    atomic_store(&s->draining, true);
    if (wd_queue_wait_idle(s->queue, timeout_ms))
        return true;
    wd_watch_cancel_all(s->watcher, "shutdown");
    wd_queue_wait_idle(s->queue, GRACE_MS);
    return false;
}

void wd_serve_stop(wd_server *s)
{
    if (!s)
        return;
    if (s->daemon) {
        wd_serve_drain(s, 0);
        while (!wd_queue_wait_idle(s->queue, 1000)) /* a suspended connection may not be closed */
            ;
        MHD_stop_daemon(s->daemon);
    }
    wd_queue_destroy(s->queue);
    wd_watcher_destroy(s->watcher);
    wd_models_destroy(s->own_models);
    wd_metrics_destroy(s->metrics);
    pthread_mutex_destroy(&s->loading);
    wd_constraint_cache_destroy(s->constraints);
    wd_files_close(s->files);
    wd_files_close(s->responses);
    wd_allow_destroy(s->allow);
    sem_destroy(&s->decoders);
    wd_free(s);
}
