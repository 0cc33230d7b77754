/* Clients that have gone, requests whose time is over, and files whose time is.
 *
 * While a connection is suspended libmicrohttpd does not look at it: a client that closes it would be noticed only when
 * the reply is written. Here its descriptor waits in an epoll set for nothing but the hang-up. A half-closed connection
 * counts as gone, as with other servers.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/inner.h"

#define SWEEP_NS ((uint64_t)30 * 1000000000) /* how often files whose time is over are looked for */
#define LOOK_MS 200                          /* how late a deadline may be noticed */

struct wd_watcher {
    wd_server *server;
    pthread_mutex_t mu;
    wd_req *head; /* under mu */
    int epoll, wake;
    bool stop; /* under mu */
    pthread_t thread;
    bool started;
};

void wd_watch_add(wd_req *r)
{
    struct wd_watcher *w = r->server->watcher;
    struct epoll_event ev = { .events = EPOLLRDHUP, .data.fd = r->fd };
    pthread_mutex_lock(&w->mu);
    r->watched = true;
    r->watch_prev = NULL;
    r->watch_next = w->head;
    if (w->head)
        w->head->watch_prev = r;
    w->head = r;
    epoll_ctl(w->epoll, EPOLL_CTL_ADD, r->fd, &ev); /* without it, the reply's writing notices */
    pthread_mutex_unlock(&w->mu);
}

void wd_watch_remove(wd_req *r)
{
    struct wd_watcher *w = r->server->watcher;
    pthread_mutex_lock(&w->mu);
    if (r->watched) {
        epoll_ctl(w->epoll, EPOLL_CTL_DEL, r->fd, NULL);
        if (r->watch_prev)
            r->watch_prev->watch_next = r->watch_next;
        else
            w->head = r->watch_next;
        if (r->watch_next)
            r->watch_next->watch_prev = r->watch_prev;
        r->watched = false;
    }
    pthread_mutex_unlock(&w->mu);
}

void wd_watch_cancel_all(struct wd_watcher *w, const char *why)
{
    pthread_mutex_lock(&w->mu);
    for (wd_req *r = w->head; r; r = r->watch_next)
        wd_serve__cancel(r, why);
    pthread_mutex_unlock(&w->mu);
}

/* Under mu. A request is in the list only while its connection is open: a descriptor stands for one request. */
static void hung_up(struct wd_watcher *w, int fd)
{
    for (wd_req *r = w->head; r; r = r->watch_next) {
        if (r->fd != fd)
            continue;
        epoll_ctl(w->epoll, EPOLL_CTL_DEL, fd, NULL); /* once is enough */
        wd_serve__cancel(r, "vanished");
    }
}

static void *watch(void *arg)
{
    struct wd_watcher *w = arg;
    uint64_t swept = wd_clock_ns();
    for (bool stop = false; !stop;) {
        struct epoll_event ev[64];
        const int n = epoll_wait(w->epoll, ev, (int)WD_COUNT(ev), LOOK_MS);
        const uint64_t now = wd_clock_ns();
        pthread_mutex_lock(&w->mu);
        for (int i = 0; i < n; i++)
            if (ev[i].data.fd != w->wake)
                hung_up(w, ev[i].data.fd);
        for (wd_req *r = w->head; r; r = r->watch_next)
            if (r->deadline_ns && now > r->deadline_ns)
                wd_serve__cancel(r, "deadline");
        stop = w->stop;
        pthread_mutex_unlock(&w->mu);
        if (now - swept > SWEEP_NS) {
            wd_files_sweep(w->server->files);
            wd_files_sweep(w->server->responses);
            swept = now;
        }
    }
    return NULL;
}

wd_status wd_watcher_create(wd_server *s, struct wd_watcher **out, wd_err *err)
{
    struct wd_watcher *w = WD_ALLOC(struct wd_watcher);
    *out = w;
    if (!w)
        return WD_FAIL(err, WD_E_NOMEM, "server: no memory");
    w->server = s;
    pthread_mutex_init(&w->mu, NULL);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    w->wake = eventfd(0, EFD_CLOEXEC);
    struct epoll_event ev = { .events = EPOLLIN, .data.fd = w->wake };
    if (w->epoll < 0 || w->wake < 0 || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->wake, &ev) < 0 ||
        pthread_create(&w->thread, NULL, watch, w) != 0)
        return WD_FAIL(err, WD_E_IO, "server: the system gives no descriptor or thread for watching");
    w->started = true;
    return WD_OK;
}

void wd_watcher_destroy(struct wd_watcher *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->mu);
    w->stop = true;
    pthread_mutex_unlock(&w->mu);
    const uint64_t one = 1;
    if (w->started) {
        while (write(w->wake, &one, sizeof one) < 0 && errno == EINTR)
            ;
        pthread_join(w->thread, NULL);
    }
    if (w->wake >= 0)
        close(w->wake);
    if (w->epoll >= 0)
        close(w->epoll);
    pthread_mutex_destroy(&w->mu);
    wd_free(w);
}
