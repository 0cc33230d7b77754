/* Pictures by URL: what the list allows and what it does not, against a host that answers as it likes. */
#include "support/test.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
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
#include "support/host.h"
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

typedef struct rig {
    test_host host;
    atomic_uint n_ok; /* requests of /ok */
    wd_span picture;  /* what it gives then */
    char asked[4096]; /* the last request */
    char url[64];     /* "http://127.0.0.1:PORT" */
    wd_buf film, got; /* a picture; what was fetched */
    scripted engine;
    wd_serve_opts serve; /* over the engine */
    const char *list[1]; /* allowed there: the host */
    wd_server *server;   /* where a test started it */
} rig;

static void put_slowly(rig *x, int fd, const char *piece, int every_ms)
{
    while (!atomic_load(&x->host.stop) && test_host_send(fd, piece))
        poll(NULL, 0, every_ms);
}

static bool asks(const rig *x, const char *path)
{
    return !strncmp(x->asked, "GET ", 4) && !strncmp(x->asked + 4, path, strlen(path));
}

static bool hear_request(rig *x, int fd)
{
    memset(x->asked, 0, sizeof x->asked);
    for (size_t n = 0; n < sizeof x->asked - 1 && !strstr(x->asked, "\r\n\r\n");) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, PATIENCE_MS) != 1)
            return false;
        const ssize_t got = recv(fd, x->asked + n, sizeof x->asked - 1 - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
    }
    return true;
}

static void say_reply(rig *x, int fd)
{
    static char much[65536];
    char head[160];
    if (asks(x, "/ok")) {
        atomic_fetch_add(&x->n_ok, 1);
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", x->picture.n);
        test_host_send(fd, head);
        test_host_sendn(fd, x->picture.p, x->picture.n);
    } else if (asks(x, "/redirect")) {
        snprintf(head, sizeof head, "HTTP/1.1 302 Found\r\nLocation: %s/ok\r\nContent-Length: 0\r\n\r\n",
                 x->url);
        test_host_send(fd, head);
    } else if (asks(x, "/long")) { /* says at once that it is too much */
        test_host_send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
        memset(much, 'x', sizeof much - 1);
        put_slowly(x, fd, much, 0);
    } else if (asks(x, "/endless")) {
        test_host_send(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        put_slowly(x, fd, "400\r\n0123456789abcdef", 0); /* breaks its own chunks off in the end, too */
    } else if (asks(x, "/slow")) {
        test_host_send(fd, "HTTP/1.1 200 OK\r\n\r\n");
        put_slowly(x, fd, "x", 20);
    } else if (asks(x, "/headers")) {
        test_host_send(fd, "HTTP/1.1 200 OK\r\n");
        put_slowly(x, fd, "X-Filler: 0123456789012345678901234567890123456789012345678901234567890123\r\n",
                   0);
    } else if (asks(x, "/silent")) {
        test_host_hung_up(&x->host, fd, PATIENCE_MS);
    } else {
        test_host_send(fd, "HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nsecret");
    }
}

static void answer_one(void *self, int fd)
{
    if (hear_request(self, fd))
        say_reply(self, fd);
    close(fd);
}

static int rig_make(void **state)
{
    static const char *const reply[] = { "good day" };
    static rig x;
    char path[600];
    memset(&x, 0, sizeof x);
    *state = &x;
    snprintf(path, sizeof path, "%s/golden/dicom/window_linear.dcm", test_data_dir());
    assert_ok(wd_file_read(path, 1 << 24, &x.film, &err));
    x.picture = wd_buf_view(&x.film);
    x.host = (test_host){ .answer = answer_one, .self = &x };
    test_host_start(&x.host);
    snprintf(x.url, sizeof x.url, "http://127.0.0.1:%u", x.host.port);
    scripted_init(&x.engine, reply, 1);
    x.list[0] = x.url;
    x.serve = WD_SERVE_OPTS_DEFAULT;
    x.serve.engine = &x.engine.engine;
    x.serve.model = "scripted";
    x.serve.version = "0";
    x.serve.port = 0;
    x.serve.allow_url = x.list;
    x.serve.n_allow_url = 1;
    return 0;
}

static int rig_end(void **state)
{
    rig *x = *state;
    wd_serve_stop(x->server);
    test_host_stop(&x->host);
    wd_buf_free(&x->film);
    wd_buf_free(&x->got);
    return 0;
}

/* Fetches http://NAME:PORT/path, where the list has "http://NAME:PORT" with `nets` behind it. */
static wd_status get(rig *x, const char *name, const char *nets, const char *path, wd_err *e)
{
    char entry[128], url[160];
    snprintf(entry, sizeof entry, "http://%s:%u%s", name, x->host.port, nets);
    snprintf(url, sizeof url, "http://%s:%u%s", name, x->host.port, path);
    wd_allow *a = allow(entry);
    const wd_fetch_opts o = { .allow = a, .connect_ms = 2000, .total_ms = 400, .max_bytes = (size_t)1 << 20 };
    const wd_status st = wd_fetch(&o, url, &x->got, e);
    wd_allow_destroy(a);
    return st;
}

static void what_is_allowed_comes_and_nothing_of_us_goes(void **state)
{
    static const char *const ours[] = { "Cookie", "Authorization", "Referer", "Proxy" };
    rig *x = *state;
    x->picture = WD_SPAN_LIT("picture");
    assert_ok(get(x, "127.0.0.1", "", "/ok?x=1", &err));
    assert_true(wd_span_is(wd_buf_view(&x->got), "picture"));
    assert_ok(get(x, "localhost", "=127.0.0.0/8", "/ok", &err));
    assert_true(wd_span_is(wd_buf_view(&x->got), "picturepicture"));
    for (size_t i = 0; i < WD_COUNT(ours); i++)
        assert_null(strstr(x->asked, ours[i]));
}

/* A name that leads home, in whatever form: nobody is connected to. */
static void a_name_that_leads_to_loopback_is_refused_before_a_connection(void **state)
{
    rig *x = *state;
    assert_fails(get(x, "localhost", "", "/ok", &err), WD_E_DENIED, "an address that this server does not");
    assert_fails(get(x, "localhost", "=10.0.0.0/8", "/ok", &err), WD_E_DENIED, "an address");
    assert_fails(get(x, "localhost", "=128.0.0.0/1", "/ok", &err), WD_E_DENIED, "an address");
    assert_int_equal(atomic_load(&x->host.n_accepted), 0);
    assert_int_equal(x->got.n, 0);
    /* proxies of the environment are no way out either */
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    assert_ok(get(x, "127.0.0.1", "", "/ok", &err));
    unsetenv("http_proxy");
}

static void redirects_are_not_followed(void **state)
{
    rig *x = *state;
    assert_fails(get(x, "127.0.0.1", "", "/redirect", &err), WD_E_IO, "a redirect, which is not followed");
    assert_int_equal(atomic_load(&x->host.n_accepted), 1);
    assert_int_equal(atomic_load(&x->n_ok), 0);
    assert_int_equal(x->got.n, 0);
}

static void what_is_too_much_or_too_slow_is_broken_off(void **state)
{
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
    rig *x = *state;
    wd_err e;
    for (size_t i = 0; i < WD_COUNT(of); i++) {
        const uint64_t start = wd_clock_ns();
        wd_buf_clear(&x->got);
        assert_fails(get(x, "127.0.0.1", "", of[i].path, &err), of[i].st, of[i].why);
        assert_true(wd_clock_ns() - start < (uint64_t)PATIENCE_MS * 1000000);
        assert_true(x->got.n <= (size_t)1 << 20);
    }
    assert_int_not_equal(get(x, "127.0.0.1", "", "/endless", &e), WD_OK);
    test_host_stop(&x->host);
    assert_fails(get(x, "127.0.0.1", "", "/ok", &err), WD_E_IO, "cannot be fetched"); /* nobody is there */
}

static void a_request_that_ends_ends_it(void **state)
{
    rig *x = *state;
    const atomic_bool cancel = true;
    char url[96];
    snprintf(url, sizeof url, "%s/silent", x->url);
    wd_allow *a = allow(x->url);
    wd_fetch_opts o = {
        .allow = a, .connect_ms = 20000, .total_ms = 20000, .max_bytes = 100, .cancel = &cancel
    };
    assert_fails(wd_fetch(&o, url, &x->got, &err), WD_E_CANCELLED, "cancelled");
    o.cancel = NULL;
    o.deadline_ns = wd_clock_ns() + 50000000;
    assert_fails(wd_fetch(&o, url, &x->got, &err), WD_E_DEADLINE, "deadline");
    o.allow = NULL;
    assert_fails(wd_fetch(&o, url, &x->got, &err), WD_E_DENIED, "fetches nothing");
    wd_allow_destroy(a);
}

/* ---- behind the server ---- */

static void serve(rig *x)
{
    assert_ok(wd_serve_start(&x->serve, &x->server, &err));
}

/* Asks the server about n pictures at base followed by path. */
static answer see(const rig *x, int n, const char *base, const char *path)
{
    answer a;
    wd_buf body = { 0 };
    wd_buf_str(&body, "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"see\"}");
    for (int i = 0; i < n; i++)
        wd_buf_printf(&body, ",{\"type\":\"image_url\",\"image_url\":{\"url\":\"%s%s\"}}", base, path);
    wd_buf_str(&body, "]}]}");
    const int fd = dial(wd_serve_port(x->server));
    ask(fd, "/v1/chat/completions", (char *)body.p);
    hear(fd, &a);
    wd_buf_free(&body);
    return a;
}

static void without_a_list_nothing_is_asked(void **state)
{
    rig *x = *state;
    x->serve.n_allow_url = 0;
    serve(x);
    expect_answer(see(x, 1, x->url, "/ok/film"), 400, "remote_url_refused");
    assert_int_equal(atomic_load(&x->host.n_accepted), 0);
}

static void a_picture_by_url_is_shown_where_the_list_has_it(void **state)
{
    rig *x = *state;
    char entry[80];
    snprintf(entry, sizeof entry, "%s/ok", x->url);
    x->list[0] = entry;
    x->serve.fetch_bytes = x->film.n + 10;
    serve(x);
    expect_answer(see(x, 1, x->url, "/ok/film"), 200, "good day");
    assert_string_equal(x->engine.prompt, "see[image]");
    expect_answer(see(x, 1, x->url, "/redirect"), 400, "remote_url_refused");
    expect_answer(see(x, 1, "http://169.254.169.254", "/latest/meta-data"), 400,
                  "\"param\":\"messages[0].content[1].image_url.url\",\"code\":\"remote_url_refused\"");
    expect_answer(see(x, 1, "file://", "/etc/passwd"), 400, "remote_url_refused");
    x->picture = WD_SPAN_LIT("no picture");
    expect_answer(see(x, 1, x->url, "/ok/film"), 400, "messages[0].content[1].image_url.url");
}

static void a_list_that_is_none_is_said_at_the_start(void **state)
{
    rig *x = *state;
    x->list[0] = "nonsense";
    assert_fails(wd_serve_start(&x->serve, &x->server, &err), WD_E_USAGE, "allowed URL \"nonsense\"");
}

/* All pictures of a request together have so many bytes. */
static void the_bytes_of_a_request_are_counted_together(void **state)
{
    rig *x = *state;
    x->serve.fetch_bytes = 2 * x->film.n + 10;
    serve(x);
    expect_answer(see(x, 2, x->url, "/ok"), 200, "good day");
    expect_answer(see(x, 3, x->url, "/ok"), 400, "limit_exceeded");
}

/* Who is asked looks at the audit before answering: the record stands. */
static void what_is_fetched_is_recorded_before(void **state)
{
    static test_keys k;
    rig *x = *state;
    wd_identity by;
    json_t *list_of;
    char body[256], headers[200];
    answer a;
    test_keys_make(&k);
    x->serve.guard = k.guard;
    serve(x);
    snprintf(headers, sizeof headers, "Connection: close\r\nAuthorization: %s\r\n", k.clinician);
    snprintf(body, sizeof body,
             "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{"
             "\"url\":\"%s/silent\"}}]}]}",
             x->url);
    const int fd = dial(wd_serve_port(x->server));
    ask_with(fd, "POST", "/v1/chat/completions", headers, body);
    for (int i = 0; atomic_load(&x->host.n_accepted) == 0 && i < PATIENCE_MS; i++)
        poll(NULL, 0, 1);
    wd_identity_local("test", WD_ACCOUNT_AUDITOR, &by);
    assert_ok(wd_audit_list(k.guard, &by, &(wd_audit_filter){ .action = "chat.create" }, &list_of, &err));
    assert_int_equal(json_array_size(list_of), 1);
    assert_string_equal(text_at(list_of, "0.event"), "begin");
    assert_string_equal(text_at(list_of, "0.model"), "scripted");
    json_decref(list_of);
    test_host_stop(&x->host); /* breaks it off */
    hear(fd, &a);
    expect_answer(a, 400, "remote_url_failed");
    wd_serve_stop(x->server);
    x->server = NULL;
    assert_int_equal(test_keys_end(&k, "chat.create", "invalid"), 1);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_make, rig_end)

int main(void)
{
    wd_err err = { 0 };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(urls_fall_under_an_entry_or_are_refused),
        cmocka_unit_test(only_addresses_that_the_entry_speaks_of_are_connected_to),
        cmocka_unit_test(entries_that_are_none_are_named),
        WITH_RIG(what_is_allowed_comes_and_nothing_of_us_goes),
        WITH_RIG(a_name_that_leads_to_loopback_is_refused_before_a_connection),
        WITH_RIG(redirects_are_not_followed),
        WITH_RIG(what_is_too_much_or_too_slow_is_broken_off),
        WITH_RIG(a_request_that_ends_ends_it),
        WITH_RIG(without_a_list_nothing_is_asked),
        WITH_RIG(a_picture_by_url_is_shown_where_the_list_has_it),
        WITH_RIG(a_list_that_is_none_is_said_at_the_start),
        WITH_RIG(the_bytes_of_a_request_are_counted_together),
        WITH_RIG(what_is_fetched_is_recorded_before),
    };
    if (wd_sandbox_start(&err))
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wd_sandbox_stop();
    return failed;
}
