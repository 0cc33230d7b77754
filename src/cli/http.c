/* One request through libcurl. */
#include "cli/http.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/host.h"
#include "base/transfer.h"

#define KEY_BYTES_MAX 4096
#define REPLY_BYTES_MAX ((size_t)4 << 20)
#define CONNECT_MS 5000
#define WAIT_S 3600L /* a large model comes from a slow disk */
#define TEXT_MAX 300 /* of a server's sentence */

/* The key as a header; *out NULL: there is none. In the arena, which wipes. */
static wd_status key_header(wd_cli *cli, const wd_cli_server *s, char **out, wd_err *err)
{
    wd_buf b = { 0 };
    const char *key = wd_env("WARD_KEY");
    *out = NULL;
    if (s->key_file)
        WD_TRY(wd_file_read(s->key_file, KEY_BYTES_MAX, &b, err));
    else if (key)
        wd_buf_str(&b, key);
    while (b.n && (b.p[b.n - 1] == '\n' || b.p[b.n - 1] == '\r' || b.p[b.n - 1] == ' '))
        b.n--;
    wd_status st = WD_OK;
    for (size_t i = 0; i < b.n && !st; i++)
        if (b.p[i] <= ' ' || b.p[i] > '~')
            st = WD_FAIL(err, WD_E_INVALID, "%s: the key has a byte that no header can carry",
                         s->key_file ? s->key_file : "WARD_KEY");
    if (!st && s->key_file && !b.n)
        st = WD_FAIL(err, WD_E_INVALID, "%s: expected a key, the file is empty", s->key_file);
    if (!st && b.n) {
        const size_t n = b.n + sizeof "Authorization: Bearer ";
        *out = wd_arena_alloc(cli->arena, n, 1);
        if (*out)
            snprintf(*out, n, "Authorization: Bearer %.*s", (int)b.n, (const char *)b.p);
        else
            st = WD_FAIL(err, WD_E_NOMEM, "key: no memory");
    }
    wd_buf_wipe(&b);
    wd_buf_free(&b);
    return st;
}

/* The server's URL with the path behind it. */
static wd_status full_url(wd_cli *cli, const wd_cli_server *s, const char *path, bool has_key, char **out,
                          wd_err *err)
{
    char *scheme = NULL, *host = NULL;
    CURLU *u = curl_url();
    size_t n = strlen(s->url);
    wd_status st = WD_OK;
    if (!u || curl_url_set(u, CURLUPART_URL, s->url, CURLU_DISALLOW_USER) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) || strpbrk(s->url, "?#"))
        st = WD_FAIL(err, WD_E_USAGE, "--url: \"%.200s\", expected http://HOST[:PORT] or https://...",
                     s->url);
    else if (has_key && !strcmp(scheme, "http") && !wd_host_is_loopback(host))
        st = WD_FAIL(err, WD_E_USAGE, "--url: the key would go to %.200s unencrypted: expected https://",
                     host);
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    WD_TRY(st);
    while (n && s->url[n - 1] == '/')
        n--;
    const size_t room = n + strlen(path) + 1;
    *out = wd_arena_alloc(cli->arena, room, 1);
    if (!*out)
        return WD_FAIL(err, WD_E_NOMEM, "--url: no memory");
    snprintf(*out, room, "%.*s%s", (int)n, s->url, path);
    return WD_OK;
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
    wd_buf *b = arg;
    wd_buf_put(b, p, size * n);
    return b->failed ? 0 : size * n;
}

static int look_up(void *arg, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up)
{
    (void)arg, (void)total, (void)now, (void)up_total, (void)up;
    return atomic_load(&wd_cli_cancelled);
}

/* The sentence of an error object, without what a terminal would act on. */
static wd_status refused(long status, const json_t *reply, wd_err *err)
{
    const char *text = json_string_value(json_object_get(json_object_get(reply, "error"), "message"));
    char line[TEXT_MAX + 1];
    size_t n = 0;
    for (; text && *text && n < TEXT_MAX; text++)
        line[n++] = *text >= ' ' && *text <= '~' ? *text : '?';
    line[n] = 0;
    const wd_status st = status == 401                                     ? WD_E_AUTH
                         : status == 403                                   ? WD_E_DENIED
                         : status == 404                                   ? WD_E_NOT_FOUND
                         : status == 409 || status == 429 || status == 503 ? WD_E_BUSY
                         : status >= 400 && status < 500                   ? WD_E_INVALID
                                                                           : WD_E_IO;
    if (n)
        return WD_FAIL(err, st, "the server refused with status %ld: %s", status, line);
    return WD_FAIL(err, st, "the server answered with status %ld, expected 200", status);
}

static wd_status perform(CURL *h, const char *url, const char *ca_file, json_t **out, wd_err *err)
{
    wd_buf b = { .max = REPLY_BYTES_MAX };
    char why[CURL_ERROR_SIZE] = "";
    wd_err broken;
    long status = 0;
    bool good = wd_transfer_set_up(h, ca_file, CONNECT_MS);
#define SET(option, value) (good = good && curl_easy_setopt(h, option, value) == CURLE_OK)
    SET(CURLOPT_URL, url);
    SET(CURLOPT_TIMEOUT, WAIT_S);
    SET(CURLOPT_USERAGENT, "ward");
    SET(CURLOPT_ERRORBUFFER, why);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, &b);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, look_up);
#undef SET
    const CURLcode code = good ? curl_easy_perform(h) : CURLE_OUT_OF_MEMORY;
    wd_status st = WD_OK;
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, &status);
    if (atomic_load(&wd_cli_cancelled))
        st = WD_FAIL(err, WD_E_CANCELLED, "cancelled; the server may still do what it was asked for");
    else if (code != CURLE_OK)
        st = WD_FAIL(err, WD_E_IO, "%.200s: %s", url, why[0] ? why : curl_easy_strerror(code));
    else if (wd_json_parse(wd_buf_view(&b), "reply", out, &broken) || !json_is_object(*out))
        st = WD_FAIL(err, WD_E_IO, "%.200s: status %ld and no JSON object: is it a Ward?", url, status);
    else if (status != 200)
        st = refused(status, *out, err);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    wd_buf_free(&b);
    return st;
}

static wd_status request(const char *url, const char *header, const wd_cli_server *s, const wd_buf *body,
                         json_t **out, wd_err *err)
{
    CURL *h = curl_easy_init();
    struct curl_slist *list = curl_slist_append(NULL, "Content-Type: application/json"),
                      *more = header && list ? curl_slist_append(list, header) : list;
    wd_status st = WD_OK;
    if (!h || !more || curl_easy_setopt(h, CURLOPT_HTTPHEADER, more) != CURLE_OK ||
        (body->n && (curl_easy_setopt(h, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->n) != CURLE_OK ||
                     curl_easy_setopt(h, CURLOPT_POSTFIELDS, (const char *)body->p) != CURLE_OK)))
        st = WD_FAIL(err, WD_E_NOMEM, "no memory for a request");
    if (!st)
        st = perform(h, url, s->ca_file, out, err);
    for (struct curl_slist *one = list; one; one = one->next)
        wd_wipe(one->data, strlen(one->data));
    curl_slist_free_all(list);
    curl_easy_cleanup(h);
    return st;
}

wd_status wd_cli_http(wd_cli *cli, const wd_cli_server *s, const char *path, json_t *body, json_t **out,
                      wd_err *err)
{
    char *header, *url;
    wd_buf b = { 0 };
    *out = NULL;
    wd_status st = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
                       ? WD_OK
                       : WD_FAIL(err, WD_E_NOMEM, "libcurl cannot be initialised");
    if (!st && body)
        st = wd_json_write(body, JSON_COMPACT, &b, err);
    json_decref(body);
    if (!st)
        st = key_header(cli, s, &header, err);
    if (!st)
        st = full_url(cli, s, path, header != NULL, &url, err);
    if (!st)
        st = request(url, header, s, &b, out, err);
    wd_buf_free(&b);
    return st;
}
