/* One request and its reply, through libcurl. The transfer runs on the caller's thread, which looks at its cancel flag and
 * its clocks every TICK_MS. */
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/transfer.h"
#include "engine/remote/inner.h"

#define TICK_MS 20
#define HEADER_BYTES_MAX ((size_t)64 << 10) /* of a reply, those of 100 Continue and the like included */
#define HEADERS_MAX 256
#define FAULT_BYTES_MAX ((size_t)64 << 10) /* of the body of an error that is read */
#define KEEP_CONNECTIONS 8L                /* of one line */
#define RETRY_AFTER_MAX 86400

struct wd_remote__line {
    CURLM *multi;
    CURL *easy;
    wd_remote__line *next;
};

typedef struct transfer {
    wd_exchange *x;
    CURL *easy;
    wd_err *err;
    wd_status st; /* of our own ending it */
    size_t n_header, header_bytes, n_body;
    bool came; /* a byte of a reply */
    bool is_events, is_json;
    bool fault_full;  /* enough of an error's body was read */
    uint64_t last_ns; /* a byte came, or the request began */
    wd_buf fault;
    char why[CURL_ERROR_SIZE];
} transfer;

/* --- lines ------------------------------------------------------------------------------------------------- */

static void line_destroy(wd_remote__line *l)
{
    if (!l)
        return;
    curl_easy_cleanup(l->easy);
    if (l->multi)
        curl_multi_cleanup(l->multi);
    wd_free(l);
}

static wd_status line_take(wd_remote *r, wd_remote__line **out, wd_err *err)
{
    pthread_mutex_lock(&r->mu);
    wd_remote__line *l = r->idle;
    if (l)
        r->idle = l->next;
    pthread_mutex_unlock(&r->mu);
    if (!l) {
        l = WD_ALLOC(wd_remote__line);
        if (l) {
            l->multi = curl_multi_init();
            l->easy = curl_easy_init();
        }
        if (!l || !l->multi || !l->easy) {
            line_destroy(l);
            return WD_FAIL(err, WD_E_NOMEM, "remote: no memory for a connection");
        }
        curl_multi_setopt(l->multi, CURLMOPT_MAXCONNECTS, KEEP_CONNECTIONS);
    }
    *out = l;
    return WD_OK;
}

static void line_give(wd_remote *r, wd_remote__line *l)
{
    pthread_mutex_lock(&r->mu);
    l->next = r->idle;
    r->idle = l;
    pthread_mutex_unlock(&r->mu);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static CURLcode global = CURLE_FAILED_INIT; /* written once */

static void init_curl(void)
{
    global = curl_global_init(CURL_GLOBAL_DEFAULT);
}

wd_status wd_remote__http_begin(wd_err *err)
{
    pthread_once(&once, init_curl);
    return global == CURLE_OK ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "remote: libcurl cannot be initialised");
}

static bool add_header(wd_remote *r, const char *line)
{
    struct curl_slist *more = curl_slist_append(r->header, line);
    if (more)
        r->header = more;
    return more != NULL;
}

wd_status wd_remote__headers(wd_remote *r, wd_err *err)
{
    bool good = add_header(r, "Content-Type: application/json") && add_header(r, "Expect:") &&
                add_header(r, "User-Agent: ward");
    for (const char *c = r->key; c && *c; c++)
        if (*c <= ' ' || *c > '~')
            return WD_FAIL(err, WD_E_USAGE, "remote: the key has a byte that no header can carry");
    if (r->key) {
        wd_buf b = { 0 };
        wd_buf_printf(&b, "Authorization: Bearer %s", r->key);
        good = good && !b.failed && add_header(r, (const char *)b.p);
        wd_buf_wipe(&b);
        wd_buf_free(&b);
    }
    return good ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "remote: no memory");
}

void wd_remote__http_end(wd_remote *r)
{
    while (r->idle) {
        wd_remote__line *l = r->idle;
        r->idle = l->next;
        line_destroy(l);
    }
    for (struct curl_slist *h = r->header; h; h = h->next)
        wd_wipe(h->data, strlen(h->data));
    curl_slist_free_all(r->header);
    r->header = NULL;
}

/* --- what comes -------------------------------------------------------------------------------------------- */

/* Ends the transfer: what libcurl's callbacks return then is "not all bytes were taken". */
static size_t end_with(transfer *t, wd_status st)
{
    t->st = st;
    return 0;
}

/* The value of a header, when it is this one. */
static bool is_header(wd_span line, const char *name, wd_span *value)
{
    const size_t n = strlen(name);
    if (line.n <= n || strncasecmp((const char *)line.p, name, n) != 0 || line.p[n] != ':')
        return false;
    *value = wd_span_sub(line, n + 1, line.n);
    while (value->n && (*value->p == ' ' || *value->p == '\t'))
        *value = wd_span_sub(*value, 1, value->n);
    return true;
}

/* Seconds. A date is not looked at: clocks of two machines differ. */
static double retry_after(wd_span v)
{
    double s = 0;
    size_t i = 0;
    for (; i < v.n && v.p[i] >= '0' && v.p[i] <= '9' && s < RETRY_AFTER_MAX; i++)
        s = s * 10 + (v.p[i] - '0');
    return i ? WD_MIN(s, RETRY_AFTER_MAX) : -1;
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    transfer *t = arg;
    wd_span line = wd_span_of(p, size * n), v;
    t->came = true;
    t->last_ns = wd_clock_ns();
    t->header_bytes += line.n;
    if (++t->n_header > HEADERS_MAX || t->header_bytes > HEADER_BYTES_MAX)
        return end_with(t, WD_FAIL(t->err, WD_E_LIMIT,
                                   "%s: a reply with more than %d headers or %zu bytes of them", t->x->name,
                                   HEADERS_MAX, HEADER_BYTES_MAX));
    if (wd_span_starts(line, "HTTP/")) { /* the next of several replies: 100 Continue comes first */
        t->x->retry_s = -1;
        t->is_events = t->is_json = false;
    }
    if (is_header(line, "Retry-After", &v))
        t->x->retry_s = retry_after(v);
    if (is_header(line, "Content-Type", &v)) {
        t->is_events = v.n >= 17 && !strncasecmp((const char *)v.p, "text/event-stream", 17);
        t->is_json = v.n >= 16 && !strncasecmp((const char *)v.p, "application/json", 16);
    }
    return line.n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    transfer *t = arg;
    wd_exchange *x = t->x;
    const wd_span bytes = wd_span_of(p, size * n);
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    x->status = (int)status;
    t->came = true;
    if (status != 200) {
        wd_buf_span(&t->fault, wd_span_sub(bytes, 0, FAULT_BYTES_MAX - t->fault.n));
        t->fault_full = t->fault.n == FAULT_BYTES_MAX;
        t->last_ns = wd_clock_ns();
        return t->fault_full ? 0 : bytes.n;
    }
    if (x->events ? !t->is_events : !t->is_json)
        return end_with(t, WD_FAIL(t->err, WD_E_CORRUPT, "%s: the reply is no %s", x->name,
                                   x->events ? "event stream" : "JSON document"));
    if (bytes.n > x->max_bytes - t->n_body)
        return end_with(
            t, WD_FAIL(t->err, WD_E_LIMIT, "%s: a reply of more than %zu bytes", x->name, x->max_bytes));
    t->n_body += bytes.n;
    const wd_status st = x->data(x->self, bytes, t->err);
    t->last_ns = wd_clock_ns(); /* the caller's own time does not count */
    return st ? end_with(t, st) : bytes.n;
}

/* --- errors ------------------------------------------------------------------------------------------------ */

/* A word of an error object that may be repeated: letters, digits, _ . [ ]. Everything else could be a prompt. */
static const char *word_of(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    size_t i = 0;
    if (!s || !*s)
        return NULL;
    for (; s[i]; i++)
        if (i == 48 || !strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.[]", s[i]))
            return NULL;
    return s;
}

static bool speaks_of_context(const json_t *o)
{
    const char *code = json_string_value(json_object_get(o, "code")),
               *type = json_string_value(json_object_get(o, "type")),
               *text = json_string_value(json_object_get(o, "message"));
    return (code && !strcmp(code, "context_length_exceeded")) ||
           (type && !strcmp(type, "exceed_context_size_error")) || (text && strstr(text, "context length"));
}

static wd_status refused(const transfer *t, int status, wd_err *err)
{
    wd_exchange *x = t->x;
    wd_err ignored;
    json_t *v = NULL;
    x->trouble = WD_TROUBLE_LAST;
    if (status >= 300 && status < 400)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: status %d, a redirect, which is not followed", x->name,
                       status);
    if (status == 429 || status == 502 || status == 503) {
        x->trouble = WD_TROUBLE_ROOM;
        return WD_FAIL(err, WD_E_BUSY, "%s: status %d, no room now", x->name, status);
    }
    if (status == 401 || status == 403)
        return WD_FAIL(err, WD_E_IO, "%s: status %d, %s", x->name, status,
                       status == 401 ? "the key is missing or not accepted" : "the key may not do this");
    if (status == 404 || status == 405 || status == 501)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: status %d, no such route or model there", x->name, status);
    if (wd_json_parse(wd_buf_view(&t->fault), "error", &v, &ignored))
        v = NULL;
    const json_t *o = json_object_get(v, "error");
    if (!json_is_object(o))
        o = v;
    const char *code = word_of(o, "code"), *param = word_of(o, "param");
    if (!code)
        code = word_of(o, "type");
    wd_status st;
    if (status < 500 && speaks_of_context(o))
        st = WD_FAIL(err, WD_E_LIMIT, "%s: status %d, the prompt is longer than the context there", x->name,
                     status);
    else
        st = WD_FAIL(err, status >= 400 && status < 500 ? WD_E_INVALID : WD_E_IO, "%s: status %d%s%s%s%s",
                     x->name, status, code ? ", " : "", code ? code : "", param ? ", param " : "",
                     param ? param : "");
    json_decref(v);
    return st;
}

static wd_status failed(const transfer *t, CURLcode code, wd_err *err)
{
    wd_exchange *x = t->x;
    const char *why = t->why[0] ? t->why : curl_easy_strerror(code);
    x->trouble = WD_TROUBLE_LAST;
    switch (code) {
    case CURLE_OUT_OF_MEMORY:
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", x->name);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
        x->trouble = WD_TROUBLE_HERE;
        return WD_FAIL(err, WD_E_IO, "%s: %s", x->name, why);
    default:
        if (t->came)
            return WD_FAIL(err, WD_E_IO, "%s: the reply broke off (%s)", x->name, curl_easy_strerror(code));
        x->trouble = WD_TROUBLE_REACH;
        return WD_FAIL(err, WD_E_IO, "%s: %s", x->name, why);
    }
}

/* --- the transfer ------------------------------------------------------------------------------------------ */

static bool set_up(wd_remote *r, transfer *t, CURL *h)
{
    const wd_exchange *x = t->x;
    curl_easy_reset(h);
    bool good = wd_transfer_set_up(h, r->ca_file, r->o.connect_ms);
#define SET(option, value) (good = good && curl_easy_setopt(h, option, value) == CURLE_OK)
    SET(CURLOPT_URL, x->url);
    SET(CURLOPT_HTTPHEADER, r->header);
    SET(CURLOPT_ERRORBUFFER, t->why);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    if (x->body.p) {
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body.n);
        SET(CURLOPT_POSTFIELDS, (const char *)x->body.p);
    }
#undef SET
    return good;
}

/* Whether it is over before its end: the caller's wish, or a clock. */
static wd_status look_up(const wd_remote *r, const transfer *t, wd_err *err)
{
    const wd_exchange *x = t->x;
    const uint64_t now = wd_clock_ns(), quiet_ms = (now - WD_MIN(now, t->last_ns)) / 1000000;
    if ((x->cancel && atomic_load(x->cancel)) || (x->ending && atomic_load(x->ending)))
        return WD_FAIL(err, WD_E_CANCELLED, "cancelled");
    if (x->deadline_ns && now >= x->deadline_ns)
        return WD_FAIL(err, WD_E_DEADLINE, "%s: not done before the deadline", x->name);
    if (!t->came && quiet_ms > (uint64_t)r->o.connect_ms + x->first_byte_ms)
        return WD_FAIL(err, WD_E_IO, "%s: no reply within %u s", x->name, x->first_byte_ms / 1000);
    if (t->came && quiet_ms > r->o.idle_ms)
        return WD_FAIL(err, WD_E_IO, "%s: silent for %u s in the middle of a reply", x->name,
                       r->o.idle_ms / 1000);
    return WD_OK;
}

static wd_status drive(const wd_remote *r, transfer *t, CURLM *m, CURLcode *code, wd_err *err)
{
    int n, left;
    for (;;) {
        if (curl_multi_perform(m, &n) != CURLM_OK)
            return WD_FAIL(err, WD_E_NOMEM, "%s: libcurl failed", t->x->name);
        for (CURLMsg *msg; (msg = curl_multi_info_read(m, &left)) != NULL;) {
            if (msg->msg == CURLMSG_DONE) {
                *code = msg->data.result;
                return WD_OK;
            }
        }
        WD_TRY(look_up(r, t, err));
        if (curl_multi_poll(m, NULL, 0, TICK_MS, NULL) != CURLM_OK)
            return WD_FAIL(err, WD_E_NOMEM, "%s: libcurl failed", t->x->name);
    }
}

wd_status wd_remote__exchange(wd_remote *r, wd_exchange *x, wd_err *err)
{
    wd_remote__line *l = NULL;
    CURLcode code = CURLE_OK;
    long status = 0;
    x->trouble = WD_TROUBLE_LAST;
    x->status = 0;
    x->retry_s = -1;
    WD_TRY(line_take(r, &l, err));
    transfer t = { .x = x, .easy = l->easy, .err = err, .last_ns = wd_clock_ns() };
    wd_status st;
    if (!set_up(r, &t, l->easy) || curl_multi_add_handle(l->multi, l->easy) != CURLM_OK) {
        line_destroy(l);
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", x->name);
    }
    st = drive(r, &t, l->multi, &code, err);
    curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(l->multi,
                             l->easy); /* closes the connection of a reply that is not read to its end */
    line_give(r, l);
    x->status = (int)status;
    if (!st && t.st)
        st = t.st;
    else if (!st && code != CURLE_OK && !t.fault_full)
        st = failed(&t, code, err);
    else if (!st && status != 200)
        st = refused(&t, x->status, err);
    if (!st)
        x->trouble = WD_TROUBLE_NONE;
    wd_buf_wipe(&t.fault);
    wd_buf_free(&t.fault);
    return st;
}
