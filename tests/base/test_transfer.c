/* What no transfer of ours does, whoever makes it: against a host that answers with a redirect and counts. */
#include "support/test.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/transfer.h"

typedef struct host {
    int fd;
    unsigned port;
    pthread_t thread;
    atomic_bool stop;
    atomic_uint n_asked;
} host;

static void *host_run(void *arg)
{
    static const char moved[] =
        "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    host *h = arg;
    char asked[4096];
    while (!atomic_load(&h->stop)) {
        struct pollfd p = { .fd = h->fd, .events = POLLIN };
        const int fd = poll(&p, 1, 10) == 1 ? accept(h->fd, NULL, NULL) : -1;
        if (fd < 0)
            continue;
        if (recv(fd, asked, sizeof asked, 0) > 0) {
            atomic_fetch_add(&h->n_asked, 1);
            (void)!send(fd, moved, sizeof moved - 1, MSG_NOSIGNAL);
        }
        close(fd);
    }
    return NULL;
}

static void host_start(host *h)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
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

static CURLcode get(const char *url, long *status)
{
    CURL *h = curl_easy_init();
    assert_non_null(h);
    assert_true(wd_transfer_set_up(h, NULL, 2000));
    assert_int_equal(curl_easy_setopt(h, CURLOPT_URL, url), CURLE_OK);
    const CURLcode code = curl_easy_perform(h);
    curl_easy_getinfo(h, CURLINFO_RESPONSE_CODE, status);
    curl_easy_cleanup(h);
    return code;
}

static void redirects_proxies_and_other_protocols_are_no_way_out(void **state)
{
    (void)state;
    static host h;
    char url[80];
    long status = 0;
    host_start(&h);
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:9", 1);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", h.port);
    assert_int_equal(get(url, &status), CURLE_OK);
    assert_int_equal(status, 302);
    assert_int_equal(atomic_load(&h.n_asked), 1);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    snprintf(url, sizeof url, "http://user:password@127.0.0.1:%u/", h.port);
    assert_int_equal(get(url, &status), CURLE_LOGIN_DENIED);
    assert_int_equal(get("file:///etc/hostname", &status), CURLE_UNSUPPORTED_PROTOCOL);
    assert_int_equal(get("ftp://127.0.0.1/", &status), CURLE_UNSUPPORTED_PROTOCOL);
    assert_int_equal(atomic_load(&h.n_asked), 1);
    host_stop(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redirects_proxies_and_other_protocols_are_no_way_out),
    };
    assert_int_equal(curl_global_init(CURL_GLOBAL_DEFAULT), CURLE_OK);
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    curl_global_cleanup();
    return failed;
}
