/* One thread that accepts; stopping it shuts the socket down, which wakes it. */
#include "support/host.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/test.h"

static void *run(void *arg)
{
    test_host *h = arg;
    while (!atomic_load(&h->stop)) {
        const int fd = accept(h->fd, NULL, NULL), on = 1;
        if (fd < 0)
            continue;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* each send is on its way at once */
        atomic_fetch_add(&h->n_accepted, 1);
        h->answer(h->self, fd);
    }
    return NULL;
}

void test_host_start(test_host *h)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(h->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    const int on = 1;
    h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(h->fd >= 0);
    setsockopt(h->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (h->receive_bytes) /* before it listens: connections have it from there */
        setsockopt(h->fd, SOL_SOCKET, SO_RCVBUF, &h->receive_bytes, sizeof h->receive_bytes);
    assert_int_equal(bind(h->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(h->fd, 64), 0);
    assert_int_equal(getsockname(h->fd, (struct sockaddr *)&a, &n), 0);
    h->port = ntohs(a.sin_port);
    atomic_store(&h->stop, false);
    assert_int_equal(pthread_create(&h->thread, NULL, run, h), 0);
    h->running = true;
}

void test_host_stop(test_host *h)
{
    if (!h->running)
        return;
    h->running = false;
    atomic_store(&h->stop, true);
    shutdown(h->fd, SHUT_RDWR); /* wakes accept */
    pthread_join(h->thread, NULL);
    close(h->fd);
}

bool test_host_sendn(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n) {
        const ssize_t done = send(fd, at, n, MSG_NOSIGNAL);
        if (done <= 0)
            return false;
        at += done;
        n -= (size_t)done;
    }
    return true;
}

bool test_host_send(int fd, const char *text)
{
    return test_host_sendn(fd, text, strlen(text));
}

bool test_host_hung_up(const test_host *h, int fd, int ms)
{
    char c;
    for (int waited = 0; waited < ms && !atomic_load(&h->stop); waited += 5) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, 5) > 0 && recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) <= 0 && errno != EAGAIN)
            return true;
    }
    return false;
}
