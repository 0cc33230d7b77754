/* A plain HTTP client. */
#include "serve/client.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/test.h"

int dial(uint16_t port)
{
    const struct sockaddr_in to = { .sin_family = AF_INET,
                                    .sin_port = htons(port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

void say(int fd, const char *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        const ssize_t sent = send(fd, text + at, n - at, MSG_NOSIGNAL);
        assert_true(sent > 0);
        at += (size_t)sent;
    }
}

void ask_with(int fd, const char *method, const char *path, const char *headers, const char *body)
{
    wd_buf b = { 0 };
    wd_buf_printf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n%s\r\n%s", method, path,
                  strlen(body), headers, body);
    say(fd, (const char *)b.p, b.n);
    wd_buf_free(&b);
}

void ask(int fd, const char *path, const char *body)
{
    ask_with(fd, *body ? "POST" : "GET", path, "Connection: close\r\n", body);
}

void hear(int fd, answer *a)
{
    *a = (answer){ 0 };
    char part[4096];
    for (;;) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, PATIENCE_MS) != 1)
            fail_msg("the server says nothing more after %zu bytes", a->raw.n);
        const ssize_t n = recv(fd, part, sizeof part, 0);
        if (n <= 0)
            break;
        wd_buf_put(&a->raw, part, (size_t)n);
    }
    close(fd);
    if (a->raw.n < 12)
        return; /* closed without a word */
    const char *text = (const char *)a->raw.p, *head = strstr(text, "\r\n\r\n");
    assert_non_null(head);
    a->status = atoi(text + 9);
    head += 4;
    const char *chunked = strstr(text, "Transfer-Encoding: chunked");
    if (!chunked || chunked > head) {
        wd_buf_str(&a->body, head);
        return;
    }
    for (char *end; *head;) {
        const unsigned long n = strtoul(head, &end, 16);
        assert_true(end[0] == '\r' && strlen(end) >= n + 2);
        wd_buf_put(&a->body, end + 2, n);
        head = n ? end + 2 + n + 2 : "";
    }
}

void answer_free(answer *a)
{
    wd_buf_free(&a->raw);
    wd_buf_free(&a->body);
}

void expect_answer(answer a, int status, const char *has)
{
    if (a.status != status || !strstr((char *)a.raw.p, has))
        fail_msg("wanted %d %s: %s", status, has, (char *)a.raw.p);
    answer_free(&a);
}

json_t *json_of(const answer *a)
{
    json_t *v;
    assert_ok(wd_json_parse(wd_buf_view(&a->body), "answer", &v, &err));
    return v;
}

json_t *at(json_t *v, const char *path)
{
    char key[64];
    for (size_t n; *path; path += n + (path[n] == '.')) {
        n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        v = json_is_array(v) ? json_array_get(v, (size_t)atoi(key)) : json_object_get(v, key);
    }
    return v;
}

const char *text_at(json_t *v, const char *path)
{
    const char *s = json_string_value(at(v, path));
    return s ? s : "(none)";
}
