/* One GET, through libcurl. Each has connections of its own: an address that was checked is not used for another entry. */
#include "serve/fetch.h"

#include <curl/curl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/transfer.h"

#define HEADER_BYTES_MAX ((size_t)64 << 10)

typedef struct transfer {
    const wd_fetch_opts *o;
    const wd_allow_entry *entry;
    CURL *easy;
    wd_buf *out;
    size_t n, header_bytes;
    bool denied, connected, too_much, no_memory;
} transfer;

/* The address that is about to be connected to: the one moment at which a name's answer is used. */
static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    transfer *t = arg;
    (void)purpose;
    if (!wd_allow_address(t->entry, &to->addr)) {
        t->denied = true;
        return CURL_SOCKET_BAD;
    }
    t->connected = true;
    return socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
    transfer *t = arg;
    (void)p;
    t->header_bytes += size * n;
    t->too_much |= t->header_bytes > HEADER_BYTES_MAX;
    return t->too_much ? 0 : size * n;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    transfer *t = arg;
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200)
        return 0;
    t->too_much |= size * n > t->o->max_bytes - t->n;
    if (t->too_much)
        return 0;
    wd_buf_put(t->out, p, size * n);
    t->n += size * n;
    t->no_memory |= t->out->failed;
    return t->no_memory ? 0 : size * n;
}

/* Other than 0 ends it. */
static int look_up(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
    const transfer *t = arg;
    (void)total, (void)now, (void)up_total, (void)up;
    return (t->o->cancel && atomic_load(t->o->cancel)) ||
           (t->o->deadline_ns && wd_clock_ns() >= t->o->deadline_ns);
}

static bool set_up(transfer *t, CURLU *url)
{
    const wd_fetch_opts *o = t->o;
    CURL *h = t->easy;
    bool good = wd_transfer_set_up(h, o->ca_file, o->connect_ms);
#define SET(option, value) (good = good && curl_easy_setopt(h, option, value) == CURLE_OK)
    SET(CURLOPT_CURLU, url);
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_USERAGENT, "ward");
    SET(CURLOPT_TIMEOUT_MS, (long)o->total_ms);
    SET(CURLOPT_OPENSOCKETFUNCTION, open_socket);
    SET(CURLOPT_OPENSOCKETDATA, t);
    SET(CURLOPT_HEADERFUNCTION, on_header);
    SET(CURLOPT_HEADERDATA, t);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, t);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, look_up);
    SET(CURLOPT_XFERINFODATA, t);
#undef SET
    return good;
}

static wd_status outcome(const transfer *t, CURLcode code, wd_err *err)
{
    const wd_fetch_opts *o = t->o;
    long status = 0;
    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    if (o->cancel && atomic_load(o->cancel))
        return WD_FAIL(err, WD_E_CANCELLED, "cancelled");
    if (o->deadline_ns && wd_clock_ns() >= o->deadline_ns)
        return WD_FAIL(err, WD_E_DEADLINE, "not fetched before the request's deadline");
    if (t->no_memory || code == CURLE_OUT_OF_MEMORY)
        return WD_FAIL(err, WD_E_NOMEM, "no memory for what is fetched");
    if (t->denied && !t->connected)
        return WD_FAIL(err, WD_E_DENIED, "its host has an address that this server does not fetch from");
    if (status >= 300 && status < 400)
        return WD_FAIL(err, WD_E_IO, "status %ld, a redirect, which is not followed", status);
    if (status && status != 200)
        return WD_FAIL(err, WD_E_IO, "status %ld, expected 200", status);
    if (t->too_much)
        return WD_FAIL(err, WD_E_LIMIT, "the answer has more than %zu bytes",
                       t->header_bytes > HEADER_BYTES_MAX ? HEADER_BYTES_MAX : o->max_bytes);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return WD_FAIL(err, WD_E_IO, "not there within %u ms", o->total_ms);
    if (code != CURLE_OK)
        return WD_FAIL(err, WD_E_IO, "cannot be fetched: %s", curl_easy_strerror(code));
    return WD_OK;
}

wd_status wd_fetch(const wd_fetch_opts *o, const char *url, wd_buf *out, wd_err *err)
{
    const wd_allow_entry *entry;
    CURLU *parsed;
    if (!o->allow)
        return WD_FAIL(err, WD_E_DENIED, "this server fetches nothing");
    WD_TRY(wd_allow_find(o->allow, url, &entry, &parsed, err));
    transfer t = { .o = o, .entry = entry, .easy = curl_easy_init(), .out = out };
    wd_status st = t.easy && set_up(&t, parsed) ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "no memory to fetch it");
    if (!st)
        st = outcome(&t, curl_easy_perform(t.easy), err);
    curl_easy_cleanup(t.easy);
    curl_url_cleanup(parsed);
    return st;
}
