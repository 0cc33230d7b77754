/* One thread for each connection. It uses none of the project's memory, so that failures can be injected there. */
#include "upstream.h"

#include "support/test.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct client {
    upstream *u;
    int fd;
} client;

void upstream_reply(int fd, int status, const char *headers, const char *body)
{
    char head[512];
    snprintf(head, sizeof head,
             "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n", status,
             strlen(body), headers);
    test_host_send(fd, head);
    test_host_send(fd, body);
}

void upstream_stream(int fd)
{
    test_host_send(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
                       "Connection: close\r\n\r\n");
}

void upstream_reset(int fd)
{
    const struct linger hard = { .l_onoff = 1, .l_linger = 0 };
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
}

void upstream_body(upstream *u, char out[UPSTREAM_BODY_MAX])
{
    pthread_mutex_lock(&u->mu);
    memcpy(out, u->body, UPSTREAM_BODY_MAX);
    pthread_mutex_unlock(&u->mu);
}

/* One request: its head, and its body by Content-Length. False when the client has gone. */
static bool read_request(const upstream *u, int fd, char *text, size_t max, char **body)
{
    size_t n = 0, want = SIZE_MAX;
    *body = NULL;
    while (n + 1 < max && n < want) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (atomic_load(&u->host.stop))
            return false;
        if (poll(&p, 1, 10) <= 0)
            continue;
        const ssize_t got = recv(fd, text + n, max - 1 - n, 0);
        if (got <= 0)
            return false;
        n += (size_t)got;
        text[n] = 0;
        char *end = strstr(text, "\r\n\r\n");
        if (end && want == SIZE_MAX) {
            const char *len = strstr(text, "Content-Length: ");
            *body = end + 4;
            want = (size_t)(*body - text) + (len && len < end ? strtoul(len + 16, NULL, 10) : 0);
        }
    }
    return n >= want;
}

static void *run_connection(void *arg)
{
    client c = *(client *)arg;
    upstream *u = c.u;
    char *text = malloc(UPSTREAM_BODY_MAX), *body;
    free(arg);
    bool open = text != NULL;
    while (open && read_request(u, c.fd, text, UPSTREAM_BODY_MAX, &body)) {
        if (!strncmp(text, "GET ", 4)) {
            atomic_fetch_add(&u->n_get, 1);
            upstream_reply(c.fd, atomic_load(&u->models_status), "", u->models);
            continue;
        }
        pthread_mutex_lock(&u->mu);
        snprintf(u->body, UPSTREAM_BODY_MAX, "%s", body);
        body[-1] = 0;
        snprintf(u->head, UPSTREAM_BODY_MAX, "%s", text);
        pthread_mutex_unlock(&u->mu);
        open = u->answer(u, c.fd, atomic_fetch_add(&u->n_post, 1));
    }
    close(c.fd);
    free(text);
    return NULL;
}

static void connect_one(void *self, int fd)
{
    upstream *u = self;
    client *c = malloc(sizeof *c);
    if (!c || u->n_conn == UPSTREAM_CONNECTIONS)
        abort(); /* a test that opens more says so above */
    *c = (client){ u, fd };
    if (pthread_create(&u->conn[u->n_conn], NULL, run_connection, c) != 0)
        abort();
    u->n_conn++;
}

void upstream_start(upstream *u, upstream_fn answer, const char *models)
{
    memset(u, 0, sizeof *u);
    u->host = (test_host){ .answer = connect_one, .self = u };
    u->answer = answer;
    u->models = models ? models : UPSTREAM_MODELS("ward");
    atomic_store(&u->models_status, 200);
    u->head = calloc(1, UPSTREAM_BODY_MAX);
    u->body = calloc(1, UPSTREAM_BODY_MAX);
    u->conn = calloc(UPSTREAM_CONNECTIONS, sizeof *u->conn);
    assert_true(u->head && u->body && u->conn);
    pthread_mutex_init(&u->mu, NULL);
    test_host_start(&u->host);
    snprintf(u->url, sizeof u->url, "http://127.0.0.1:%u/v1", u->host.port);
}

void upstream_stop(upstream *u)
{
    test_host_stop(&u->host);
    for (size_t i = 0; i < u->n_conn; i++)
        pthread_join(u->conn[i], NULL);
    pthread_mutex_destroy(&u->mu);
    free(u->head);
    free(u->body);
    free(u->conn);
}
