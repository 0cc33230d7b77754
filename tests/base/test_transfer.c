/* What no transfer of ours does, whoever makes it: against a host that answers with a redirect and counts. */
#include "support/test.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/transfer.h"
#include "support/host.h"

static void move_on(void *self, int fd)
{
    char asked[4096];
    (void)self;
    if (recv(fd, asked, sizeof asked, 0) > 0)
        test_host_send(fd, "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n"
                           "Connection: close\r\n\r\n");
    close(fd);
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
    test_host h = { .answer = move_on };
    char url[80];
    long status = 0;
    test_host_start(&h);
    setenv("http_proxy", "http://127.0.0.1:9", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:9", 1);
    snprintf(url, sizeof url, "http://127.0.0.1:%u/", h.port);
    assert_int_equal(get(url, &status), CURLE_OK);
    assert_int_equal(status, 302);
    assert_int_equal(atomic_load(&h.n_accepted), 1);
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
    snprintf(url, sizeof url, "http://user:password@127.0.0.1:%u/", h.port);
    assert_int_equal(get(url, &status), CURLE_LOGIN_DENIED);
    assert_int_equal(get("file:///etc/hostname", &status), CURLE_UNSUPPORTED_PROTOCOL);
    assert_int_equal(get("ftp://127.0.0.1/", &status), CURLE_UNSUPPORTED_PROTOCOL);
    assert_int_equal(atomic_load(&h.n_accepted), 1);
    test_host_stop(&h);
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
