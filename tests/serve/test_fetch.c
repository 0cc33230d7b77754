/* Pictures by URL: what the list allows and what it does not, against a host that answers as it likes. */
#include "support/test.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "guard/admin.h"
#include "guard/audit.h"
#include "media/sandbox.h"
#include "serve/client.h"
#include "serve/fetch.h"
#include "serve/keys.h"
#include "serve/serve.h"
#include "support/scripted.h"

/* ---- the list ---- */

static wd_allow *allow(const char *entry)
{
    wd_allow *a;
    assert_ok(wd_allow_create(&entry, 1, &a, &err));
    return a;
}

static wd_status find(const wd_allow *a, const char *url)
{
    const wd_allow_entry *e;
    wd_err err = { 0 };
    CURLU *u;
    const wd_status st = wd_allow_find(a, url, &e, &u, &err);
    assert_true(!st == (u != NULL) && !st == (e != NULL));
    curl_url_cleanup(u);
    assert_null(strstr(err.text, "secret")); /* what clients send is not repeated */
    return st;
}

static void urls_fall_under_an_entry_or_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *url;
        wd_status st;
    } of[] = {
        { "https://images.example", "https://images.example/a.png", WD_OK },
        { "https://images.example", "HTTPS://IMAGES.example:443/a.png?x=1#y", WD_OK },
        { "https://images.example", "http://images.example/a.png", WD_E_DENIED },
        { "https://images.example", "https://images.example:444/a.png", WD_E_DENIED },
        { "https://images.example", "https://images.example.evil.example/", WD_E_DENIED },
        { "https://images.example", "https://evil.example/images.example", WD_E_DENIED },
        { "https://images.example", "https://images.example@evil.example/", WD_E_INVALID },
        { "https://images.example", "https://user:secret@images.example/", WD_E_INVALID },
        { "https://images.example", "https://evil.example\\@images.example/", WD_E_INVALID },
        { "https://images.example", "ftp://images.example/a", WD_E_INVALID },
        { "https://images.example", "file:///etc/passwd", WD_E_INVALID },
        { "https://images.example", "gopher://images.example/", WD_E_INVALID },
        { "https://images.example", "images.example/a.png", WD_E_INVALID },
        { "https://images.example", "//images.example/a.png", WD_E_INVALID },
        { "https://images.example", "", WD_E_INVALID },
        { "https://images.example", "https://", WD_E_INVALID },
        { "https://images.example", "https://images.example\n/", WD_E_INVALID },
        { "http://pacs:8042/wado", "http://pacs:8042/wado?study=1", WD_OK },
        { "http://pacs:8042/wado", "http://pacs:8042/wado/x/../y", WD_OK },
        { "http://pacs:8042/wado/", "http://pacs:8042/wado/x", WD_OK },
        { "http://pacs:8042/wado", "http://pacs:8042/wadox", WD_E_DENIED },
        { "http://pacs:8042/wado", "http://pacs:8042/wado/../admin", WD_E_DENIED },
        { "http://pacs:8042/wado", "http://pacs:8042/wado/%2e%2E/admin", WD_E_DENIED },
        { "http://pacs:8042/wado", "http://pacs:8042/wado/..%2fadmin", WD_E_DENIED },
        { "http://pacs:8042/wado", "http://pacs:8042/wado/..\\admin", WD_E_DENIED },
        { "http://pacs:8042/wado", "http://pacs/wado", WD_E_DENIED },
        { "http://localhost", "http://2130706433/", WD_E_DENIED }, /* 127.0.0.1 in other words */
        { "http://localhost", "http://0x7f.1/", WD_E_DENIED },
        { "http://localhost", "http://017700000001/", WD_E_DENIED },
        { "http://localhost", "http://[::ffff:127.0.0.1]/", WD_E_DENIED },
        { "http://10.2.0.7:8042", "http://10.2.0.7:8042/a", WD_OK },
        { "http://10.2.0.7:8042", "http://10.2.0.8:8042/a", WD_E_DENIED },
    };
    for (size_t i = 0; i < WD_COUNT(of); i++) {
        wd_allow *a = allow(of[i].entry);
        const wd_status st = find(a, of[i].url);
        if (st != of[i].st)
            fail_msg("%s, %s: %s", of[i].entry, of[i].url, wd_status_name(st));
        wd_allow_destroy(a);
    }
}

static bool address_ok(const wd_allow *a, const char *url, const char *text)
{
    const wd_allow_entry *e;
    union {
        struct sockaddr sa;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } to = { 0 };
    if (inet_pton(AF_INET, text, &to.four.sin_addr) == 1)
        to.sa.sa_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &to.six.sin6_addr) == 1)
        to.sa.sa_family = AF_INET6;
    else
        fail_msg("%s is no address", text);
    assert_ok(wd_allow_find(a, url, &e, NULL, &err));
    return wd_allow_address(e, &to.sa);
}

static void only_addresses_that_the_entry_speaks_of_are_connected_to(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *address;
        bool ok;
    } of[] = {
        { "http://h", "93.184.216.34", true },
        { "http://h", "::ffff:93.184.216.34", true },
        { "http://h", "2606:4700::1111", true },
        { "http://h", "127.0.0.1", false },
        { "http://h", "127.255.255.254", false },
        { "http://h", "::1", false },
        { "http://h", "::", false },
        { "http://h", "0.0.0.0", false },
        { "http://h", "::ffff:127.0.0.1", false },
        { "http://h", "::ffff:10.0.0.1", false },
        { "http://h", "::127.0.0.1", false },
        { "http://h", "64:ff9b::7f00:1", false },
        { "http://h", "2002:7f00:1::", false },
        { "http://h", "2001:0:1::1", false },
        { "http://h", "10.1.2.3", false },
        { "http://h", "172.16.0.1", false },
        { "http://h", "172.31.255.255", false },
        { "http://h", "172.32.0.1", true },
        { "http://h", "192.168.1.1", false },
        { "http://h", "169.254.169.254", false },
        { "http://h", "100.64.0.1", false },
        { "http://h", "100.128.0.1", true },
        { "http://h", "198.19.0.1", false },
        { "http://h", "224.0.0.1", false },
        { "http://h", "255.255.255.255", false },
        { "http://h", "fe80::1", false },
        { "http://h", "fd00::1", false },
        { "http://h", "ff02::1", false },
        { "http://h=10.2.0.0/16", "10.2.3.4", true },
        { "http://h=10.2.0.0/16", "::ffff:10.2.3.4", true },
        { "http://h=10.2.0.0/16", "10.3.0.0", false },
        { "http://h=10.2.0.0/16", "93.184.216.34", false }, /* the entry says where it is */
        { "http://h=10.2.0.7", "10.2.0.7", true },
        { "http://h=10.2.0.7", "10.2.0.6", false },
        { "http://h=10.2.0.7+fd12::/20", "fd12:0fff::1", true },
        { "http://h=10.2.0.7+fd12::/20", "fd12:1000::1", false },
        { "http://10.2.0.7", "10.2.0.7", true }, /* named by its address */
        { "http://10.2.0.7", "10.2.0.8", false },
        { "http://[fd12::1]", "fd12::1", true },
        { "http://[fd12::1]", "::1", false },
    };
    for (size_t i = 0; i < WD_COUNT(of); i++) {
        wd_allow *a = allow(of[i].entry);
        char url[64];
        snprintf(url, sizeof url, "%.*s/x", (int)strcspn(of[i].entry, "="), of[i].entry);
        if (address_ok(a, url, of[i].address) != of[i].ok)
            fail_msg("%s, %s", of[i].entry, of[i].address);
        wd_allow_destroy(a);
    }
    wd_allow *a = allow("http://h");
    const wd_allow_entry *e;
    assert_ok(wd_allow_find(a, "http://h/", &e, NULL, &err));
    assert_false(wd_allow_address(e, &(struct sockaddr){ .sa_family = AF_UNIX }));
    wd_allow_destroy(a);
}

static void entries_that_are_none_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = { "images.example",     "ftp://x",
                                       "https://",           "http://u:p@x",
                                       "http://x=",          "http://x=10.0.0.0/33",
                                       "http://x=10.0.0.0/", "http://x=nowhere",
                                       "http://x=10.0.0.1+", "http://x=::1+::1+::1+::1+::1+::1+::1+::1+::1",
                                       "http://x/?a",        "http://x/#a" };
    wd_allow *a;
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        const char *both[] = { "https://good.example", bad[i] };
        assert_fails(wd_allow_create(both, 2, &a, &err), WD_E_USAGE, "allowed URL \"");
        assert_null(a);
    }
    assert_ok(wd_allow_create(NULL, 0, &a, &err));
    assert_null(a);
    const char *entry = "http://pacs:8042/wado=10.2.0.7";
    for (uint64_t nth = 1;; nth++) {
        wd_err e;
        wd_inject_failure(nth);
        const wd_status st = wd_allow_create(&entry, 1, &a, &e);
        wd_inject_failure(0);
        if (st == WD_OK)
            break;
        assert_int_equal(st, WD_E_NOMEM);
    }
    wd_allow_destroy(a);
}

/* ---- a host ---- */

typedef struct host {
    int fd;
    uint16_t port;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint n_accepted, n_ok; /* connections; requests of /ok */
    wd_span picture;
    char asked[4096]; /* the last request */
} host;

static void put(int fd, const char *text)
{
    (void)!send(fd, text, strlen(text), MSG_NOSIGNAL);
}

static bool put_slowly(host *h, int fd, const char *piece, uint32_t every_ms)
{
    while (!atomic_load(&h->stop) && send(fd, piece, strlen(piece), MSG_NOSIGNAL) > 0)
        poll(NULL, 0, (int)every_ms);
    return true;
}

static void answer_one(host *h, int fd)
{
    static char much[65536];
    char head[160];
    size_t n = 0;
    memset(h->asked, 0, sizeof h->asked);
    while (n < sizeof h->asked - 1 && !strstr(h->asked, "\r\n\r\n")) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, PATIENCE_MS) != 1)
            return;
        const ssize_t got = recv(fd, h->asked + n, sizeof h->asked - 1 - n, 0);
        if (got <= 0)
            return;
        n += (size_t)got;
    }
    if (!strncmp(h->asked, "GET /ok", 7)) {
        atomic_fetch_add(&h->n_ok, 1);
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", h->picture.n);
        put(fd, head);
        (void)!send(fd, h->picture.p, h->picture.n, MSG_NOSIGNAL);
    } else if (!strncmp(h->asked, "GET /redirect", 13)) {
        snprintf(head, sizeof head,
                 "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:%u/ok\r\nContent-Length: 0\r\n\r\n",
                 h->port);
        put(fd, head);
    } else if (!strncmp(h->asked, "GET /long", 9)) { /* says at once that it is too much */
        put(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        memset(much, 'x', sizeof much - 1);
        put_slowly(h, fd, much, 0);
    } else if (!strncmp(h->asked, "GET /endless", 12)) {
        put(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        put_slowly(h, fd, "400\r\n0123456789abcdef", 0); /* breaks its own chunks off in the end, too */
    } else if (!strncmp(h->asked, "GET /slow", 9)) {
        put(fd, "HTTP/1.1 200 OK\r\n\r\n");
        put_slowly(h, fd, "x", 20);
    } else if (!strncmp(h->asked, "GET /headers", 12)) {
        put(fd, "HTTP/1.1 200 OK\r\n");
        put_slowly(h, fd, "X-Filler: 0123456789012345678901234567890123456789012345678901234567890123\r\n",
                   0);
    } else if (!strncmp(h->asked, "GET /silent", 11)) {
        while (!atomic_load(&h->stop))
            poll(NULL, 0, 5);
    } else {
        put(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nsecret");
    }
}

static void *host_run(void *arg)
{
    host *h = arg;
    while (!atomic_load(&h->stop)) {
        struct pollfd p = { .fd = h->fd, .events = POLLIN };
        if (poll(&p, 1, 10) != 1)
            continue;
        const int fd = accept(h->fd, NULL, NULL);
        if (fd < 0)
            continue;
        atomic_fetch_add(&h->n_accepted, 1);
        answer_one(h, fd);
        close(fd);
    }
    return NULL;
}

static void host_start(host *h)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    *h = (host){ .picture = WD_SPAN_LIT("picture") };
    h->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(h->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(h->fd, 16), 0);
    assert_int_equal(getsockname(h->fd, (struct sockaddr *)&a, &n), 0);
    h->port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&h->thread, NULL, host_run, h), 0);
}

static void host_stop(host *h)
{
    atomic_store(&h->stop, true);
    assert_int_equal(pthread_join(h->thread, NULL), 0);
    close(h->fd);
}

/* Fetches scheme://name:port/path, where the list has "scheme://name:port" with `nets` behind it. */
static wd_status get(const host *h, const char *name, const char *nets, const char *path, wd_buf *out,
                     wd_err *e)
{
    char entry[128], url[160];
    snprintf(entry, sizeof entry, "http://%s:%u%s", name, h->port, nets);
    snprintf(url, sizeof url, "http://%s:%u%s", name, h->port, path);
    wd_allow *a = allow(entry);
    const wd_fetch_opts o = { .allow = a, .connect_ms = 2000, .total_ms = 400, .max_bytes = (size_t)1 << 20 };
    const wd_status st = wd_fetch(&o, url, out, e);
    wd_allow_destroy(a);
    return st;
}

static void what_is_allowed_comes_and_nothing_of_us_goes(void **state)
{
    (void)state;
    static host h;
    wd_buf b = { 0 };
    host_start(&h);
    assert_ok(get(&h, "127.0.0.1", "", "/ok?x=1", &b, &err));
    assert_true(wd_span_is(wd_buf_view(&b), "picture"));
    assert_ok(get(&h, "localhost", "=127.0.0.0/8", "/ok", &b, &err));
    assert_true(wd_span_is(wd_buf_view(&b), "picturepicture"));
    static const char *const ours[] = { "Cookie", "Authorization", "Referer", "Proxy" };
    for (size_t i = 0; i < WD_COUNT(ours); i++)
        assert_null(strstr(h.asked, ours[i]));
    wd_buf_free(&b);
    host_stop(&h);
}

/* A name that leads home, in whatever form: nobody is connected to. */
static void a_name_that_leads_to_loopback_is_refused_before_a_connection(void **state)
{
    (void)state;
    static host h;
    wd_buf b = { 0 };
    host_start(&h);
    assert_fails(get(&h, "localhost", "", "/ok", &b, &err), WD_E_DENIED,
                 "an address that this server does not");
    assert_fails(get(&h, "localhost", "=10.0.0.0/8", "/ok", &b, &err), WD_E_DENIED, "an address");
    assert_fails(get(&h, "localhost", "=128.0.0.0/1", "/ok", &b, &err), WD_E_DENIED, "an address");
    assert_int_equal(atomic_load(&h.n_accepted), 0);
    assert_int_equal(b.n, 0);
    /* proxies of the environment are no way out either */
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    assert_ok(get(&h, "127.0.0.1", "", "/ok", &b, &err));
    unsetenv("http_proxy");
    wd_buf_free(&b);
    host_stop(&h);
}

static void redirects_are_not_followed(void **state)
{
    (void)state;
    static host h;
    wd_buf b = { 0 };
    host_start(&h);
    assert_fails(get(&h, "127.0.0.1", "", "/redirect", &b, &err), WD_E_IO,
                 "a redirect, which is not followed");
    assert_int_equal(atomic_load(&h.n_accepted), 1);
    assert_int_equal(atomic_load(&h.n_ok), 0);
    assert_int_equal(b.n, 0);
    host_stop(&h);
}

static void what_is_too_much_or_too_slow_is_broken_off(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        wd_status st;
        const char *why;
    } of[] = {
        { "/long", WD_E_LIMIT, "more than 1048576 bytes" },
        { "/headers", WD_E_LIMIT, "more than 65536 bytes" },
        { "/slow", WD_E_IO, "not there within 400 ms" },
        { "/silent", WD_E_IO, "not there within 400 ms" },
        { "/missing", WD_E_IO, "status 404, expected 200" },
    };
    for (size_t i = 0; i < WD_COUNT(of); i++) {
        static host h;
        wd_buf b = { 0 };
        host_start(&h);
        const uint64_t start = wd_clock_ns();
        assert_fails(get(&h, "127.0.0.1", "", of[i].path, &b, &err), of[i].st, of[i].why);
        assert_true(wd_clock_ns() - start < (uint64_t)PATIENCE_MS * 1000000);
        assert_true(b.n <= (size_t)1 << 20);
        wd_buf_free(&b);
        host_stop(&h);
    }
    static host h;
    wd_buf b = { 0 };
    wd_err e;
    host_start(&h);
    assert_int_not_equal(get(&h, "127.0.0.1", "", "/endless", &b, &e), WD_OK);
    wd_buf_free(&b);
    host_stop(&h);
    assert_fails(get(&h, "127.0.0.1", "", "/ok", &b, &err), WD_E_IO,
                 "cannot be fetched"); /* nobody is there */
    wd_buf_free(&b);
}

static void a_request_that_ends_ends_it(void **state)
{
    (void)state;
    static host h;
    char entry[64], url[96];
    wd_buf b = { 0 };
    const atomic_bool cancel = true;
    host_start(&h);
    snprintf(entry, sizeof entry, "http://127.0.0.1:%u", h.port);
    snprintf(url, sizeof url, "%s/silent", entry);
    wd_allow *a = allow(entry);
    wd_fetch_opts o = {
        .allow = a, .connect_ms = 20000, .total_ms = 20000, .max_bytes = 100, .cancel = &cancel
    };
    assert_fails(wd_fetch(&o, url, &b, &err), WD_E_CANCELLED, "cancelled");
    o.cancel = NULL;
    o.deadline_ns = wd_clock_ns() + 50000000;
    assert_fails(wd_fetch(&o, url, &b, &err), WD_E_DEADLINE, "deadline");
    o.allow = NULL;
    assert_fails(wd_fetch(&o, url, &b, &err), WD_E_DENIED, "fetches nothing");
    wd_allow_destroy(a);
    host_stop(&h);
}

/* ---- behind the server ---- */

static answer chat(const wd_server *s, const char *url)
{
    answer a;
    char body[400];
    snprintf(body, sizeof body,
             "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"see\"},{\"type\":"
             "\"image_url\",\"image_url\":{\"url\":\"%s\"}}]}]}",
             url);
    const int fd = dial(wd_serve_port(s));
    ask(fd, "/v1/chat/completions", body);
    hear(fd, &a);
    return a;
}

static void a_picture_by_url_is_shown_where_the_list_has_it(void **state)
{
    (void)state;
    static const char *const reply[] = { "good day" };
    static host h;
    static scripted engine;
    wd_server *s;
    wd_buf film = { 0 };
    char path[600], entry[64], url[128];
    const char *list[1] = { entry };
    snprintf(path, sizeof path, "%s/golden/dicom/window_linear.dcm", test_data_dir());
    assert_ok(wd_file_read(path, 1 << 24, &film, &err));
    host_start(&h);
    h.picture = wd_buf_view(&film);
    snprintf(entry, sizeof entry, "http://127.0.0.1:%u/ok", h.port);
    scripted_init(&engine, reply, 1);
    for (int listed = 0; listed < 2; listed++) {
        wd_serve_opts o = WD_SERVE_OPTS_DEFAULT;
        o.engine = &engine.engine;
        o.model = "scripted";
        o.version = "0";
        o.port = 0;
        o.allow_url = list;
        o.n_allow_url = (size_t)listed;
        o.fetch_bytes = film.n + 10;
        assert_ok(wd_serve_start(&o, &s, &err));
        snprintf(url, sizeof url, "%s/film", entry);
        if (!listed) {
            expect_answer(chat(s, url), 400, "remote_url_refused");
            assert_int_equal(atomic_load(&h.n_accepted), 0);
        } else {
            expect_answer(chat(s, url), 200, "good day");
            assert_string_equal(engine.prompt, "see[image]");
            snprintf(url, sizeof url, "http://127.0.0.1:%u/redirect", h.port);
            expect_answer(chat(s, url), 400, "remote_url_refused");
            expect_answer(
                chat(s, "http://169.254.169.254/latest/meta-data"), 400,
                "\"param\":\"messages[0].content[1].image_url.url\",\"code\":\"remote_url_refused\"");
            expect_answer(chat(s, "file:///etc/passwd"), 400, "remote_url_refused");
            h.picture = WD_SPAN_LIT("no picture");
            snprintf(url, sizeof url, "%s/film", entry);
            expect_answer(chat(s, url), 400, "messages[0].content[1].image_url.url");
            h.picture = wd_buf_view(&film);
        }
        wd_serve_stop(s);
    }
    host_stop(&h);
    wd_buf_free(&film);
    static const char *const bad[] = { "nonsense" };
    wd_serve_opts o = WD_SERVE_OPTS_DEFAULT;
    o.engine = &engine.engine;
    o.model = "scripted";
    o.version = "0";
    o.port = 0;
    o.allow_url = bad;
    o.n_allow_url = 1;
    assert_fails(wd_serve_start(&o, &s, &err), WD_E_USAGE, "allowed URL \"nonsense\"");
}

/* All pictures of a request together have so many bytes. */
static void the_bytes_of_a_request_are_counted_together(void **state)
{
    (void)state;
    static const char *const reply[] = { "good day" };
    static host h;
    static scripted engine;
    wd_server *s;
    wd_buf film = { 0 }, body = { 0 };
    char path[600], entry[64];
    const char *list[1] = { entry };
    answer a;
    snprintf(path, sizeof path, "%s/golden/dicom/window_linear.dcm", test_data_dir());
    assert_ok(wd_file_read(path, 1 << 24, &film, &err));
    host_start(&h);
    h.picture = wd_buf_view(&film);
    snprintf(entry, sizeof entry, "http://127.0.0.1:%u", h.port);
    scripted_init(&engine, reply, 1);
    wd_serve_opts o = WD_SERVE_OPTS_DEFAULT;
    o.engine = &engine.engine;
    o.model = "scripted";
    o.version = "0";
    o.port = 0;
    o.allow_url = list;
    o.n_allow_url = 1;
    o.fetch_bytes = 2 * film.n + 10;
    assert_ok(wd_serve_start(&o, &s, &err));
    for (int n = 2; n <= 3; n++) {
        wd_buf_clear(&body);
        wd_buf_str(&body, "{\"messages\":[{\"role\":\"user\",\"content\":[");
        for (int i = 0; i < n; i++)
            wd_buf_printf(&body, "%s{\"type\":\"image_url\",\"image_url\":{\"url\":\"%s/ok\"}}", i ? "," : "",
                          entry);
        wd_buf_str(&body, "]}]}");
        const int fd = dial(wd_serve_port(s));
        ask(fd, "/v1/chat/completions", (char *)body.p);
        hear(fd, &a);
        expect_answer(a, n == 2 ? 200 : 400, n == 2 ? "good day" : "limit_exceeded");
    }
    wd_serve_stop(s);
    host_stop(&h);
    wd_buf_free(&film);
    wd_buf_free(&body);
}

/* Who is asked looks at the audit before answering: the record stands. */
static void what_is_fetched_is_recorded_before(void **state)
{
    (void)state;
    static const char *const reply[] = { "good day" };
    static host h;
    static scripted engine;
    static test_keys k;
    wd_server *s;
    wd_identity by;
    json_t *list_of;
    char entry[64], body[256], headers[200];
    const char *list[1] = { entry };
    answer a;
    test_keys_make(&k);
    host_start(&h);
    snprintf(entry, sizeof entry, "http://127.0.0.1:%u", h.port);
    scripted_init(&engine, reply, 1);
    wd_serve_opts o = WD_SERVE_OPTS_DEFAULT;
    o.engine = &engine.engine;
    o.guard = k.guard;
    o.model = "scripted";
    o.version = "0";
    o.port = 0;
    o.allow_url = list;
    o.n_allow_url = 1;
    assert_ok(wd_serve_start(&o, &s, &err));
    snprintf(headers, sizeof headers, "Connection: close\r\nAuthorization: %s\r\n", k.clinician);
    snprintf(body, sizeof body,
             "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{"
             "\"url\":\"%s/silent\"}}]}]}",
             entry);
    const int fd = dial(wd_serve_port(s));
    ask_with(fd, "POST", "/v1/chat/completions", headers, body);
    for (int i = 0; atomic_load(&h.n_accepted) == 0 && i < PATIENCE_MS; i++)
        poll(NULL, 0, 1);
    wd_identity_local("test", WD_ACCOUNT_AUDITOR, &by);
    assert_ok(wd_audit_list(k.guard, &by, &(wd_audit_filter){ .action = "chat.create" }, &list_of, &err));
    assert_int_equal(json_array_size(list_of), 1);
    assert_string_equal(text_at(list_of, "0.event"), "begin");
    assert_string_equal(text_at(list_of, "0.model"), "scripted");
    json_decref(list_of);
    host_stop(&h); /* breaks it off */
    hear(fd, &a);
    expect_answer(a, 400, "remote_url_failed");
    wd_serve_stop(s);
    assert_int_equal(test_keys_end(&k, "chat.create", "invalid"), 1);
}

int main(void)
{
    wd_err err = { 0 };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_fall_under_an_entry_or_are_refused),
        cmocka_unit_test(only_addresses_that_the_entry_speaks_of_are_connected_to),
        cmocka_unit_test(entries_that_are_none_are_named),
        cmocka_unit_test(what_is_allowed_comes_and_nothing_of_us_goes),
        cmocka_unit_test(a_name_that_leads_to_loopback_is_refused_before_a_connection),
        cmocka_unit_test(redirects_are_not_followed),
        cmocka_unit_test(what_is_too_much_or_too_slow_is_broken_off),
        cmocka_unit_test(a_request_that_ends_ends_it),
        cmocka_unit_test(a_picture_by_url_is_shown_where_the_list_has_it),
        cmocka_unit_test(the_bytes_of_a_request_are_counted_together),
        cmocka_unit_test(what_is_fetched_is_recorded_before),
    };
    if (wd_sandbox_start(&err))
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wd_sandbox_stop();
    return failed;
}
