/* The process that forks workers, and the worker's own life.
 *
 * Invariants of the zygote:
 *   1. it has one thread, no secrets, and no descriptor but its socket, its signal descriptor and one control
 *      socket per worker;
 *   2. it never reads a byte of any input;
 *   3. a worker whose control socket has lost its other end is dead or being killed;
 *   4. each worker that ends is reaped and reported exactly once.
 */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "media/decoders.h"
#include "media/sandbox_inner.h"

enum { N_FD = 3 }; /* input, pipe, control: as they travel */

typedef struct worker {
    pid_t pid;
    int ctl;
    bool killed; /* and not reaped yet */
} worker;

typedef struct zygote {
    int sock, sigs;
    size_t n;
    worker w[WD_SANDBOX__WORKERS_MAX];
} zygote;

typedef struct job {
    wd_sandbox__request req;
    uint8_t opts[WD_SANDBOX__OPTS_MAX];
} job;

/* ---- the worker ---- */

static bool write_all(int fd, const void *p, size_t n)
{
    const uint8_t *b = p;
    while (n > 0) {
        const ssize_t put = write(fd, b, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        b += put;
        n -= (size_t)put;
    }
    return true;
}

wd_status wd_emit_put(wd_emit *e, uint32_t type, wd_span bytes, wd_err *err)
{
    const wd_sandbox__head h = { .type = type, .length = bytes.n };
    if (type == WD_SANDBOX__END)
        return WD_FAIL(err, WD_E_INTERNAL, "message type %u is the sandbox's own", (unsigned)type);
    if (e->fd < 0)
        return e->on_message(e->ctx, type, bytes, err);
    if (!write_all(e->fd, &h, sizeof h) || !write_all(e->fd, bytes.p, bytes.n))
        return WD_FAIL(err, WD_E_CANCELLED, "nobody reads the decoder's answer");
    return WD_OK;
}

static _Thread_local wd_span mapped_input;

void wd_sandbox__unmap_input(void)
{
    if (mapped_input.p)
        munmap((void *)(uintptr_t)mapped_input.p, mapped_input.n);
    mapped_input = (wd_span){ 0 };
}

wd_status wd_decode_input(const wd_decode_in *in, wd_span *out, wd_err *err)
{
    *out = (wd_span){ 0 };
    if (in->size == 0)
        return WD_OK;
    if (in->size > SIZE_MAX / 2)
        return WD_FAIL(err, WD_E_LIMIT, "%llu bytes are more than can be mapped",
                       (unsigned long long)in->size);
    void *p = mmap(NULL, (size_t)in->size, PROT_READ, MAP_PRIVATE, in->fd, 0);
    if (p == MAP_FAILED)
        return WD_FAIL(err, errno == ENOMEM ? WD_E_NOMEM : WD_E_IO, "%llu bytes of input cannot be mapped",
                       (unsigned long long)in->size);
    mapped_input = *out = wd_span_of(p, (size_t)in->size);
    return WD_OK;
}

static void send_end(int fd, wd_status st, const wd_err *err)
{
    const uint32_t code = (uint32_t)st;
    const size_t n = st ? strnlen(err->text, sizeof err->text) : 0;
    const wd_sandbox__head h = { .type = WD_SANDBOX__END, .length = sizeof code + n };
    if (!write_all(fd, &h, sizeof h) || !write_all(fd, &code, sizeof code) || !write_all(fd, err->text, n))
        _exit(2);
}

/* Puts the two descriptors where the filter expects them and closes all others. */
static bool place_fds(int in, int out)
{
    const int high_in = fcntl(in, F_DUPFD, 16), high_out = fcntl(out, F_DUPFD, 16);
    return high_in >= 0 && high_out >= 0 && dup2(high_in, WD_SANDBOX__FD_IN) >= 0 &&
           dup2(high_out, WD_SANDBOX__FD_OUT) >= 0 && close_range(WD_SANDBOX__FD_OUT + 1, ~0u, 0) == 0;
}

WD_NORETURN static void work(const job *j, const int fds[N_FD], pid_t parent)
{
    wd_err err = { 0 };
    wd_status st;
    sigset_t none;
    const wd_decoder *d = wd_decoder_get(j->req.id);

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* A worker that outlived its zygote would have nobody to stop it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent || !place_fds(fds[0], fds[1]))
        _exit(2);
    if (!wd_sandbox__lock_down(j->req.memory_bytes)) {
        st = WD_FAIL(&err, WD_E_INTERNAL, "the decoder could not be locked in (seccomp or limits)");
    } else if (!d || !d->decode) {
        st = WD_FAIL(&err, WD_E_UNSUPPORTED, "this build has no decoder for it");
    } else {
        const wd_decode_in in = { .opts = wd_span_of(j->opts, j->req.opts_bytes),
                                  .fd = WD_SANDBOX__FD_IN,
                                  .size = j->req.size };
        wd_emit out = { .fd = WD_SANDBOX__FD_OUT };
        st = d->decode(&in, &out, &err);
    }
    send_end(WD_SANDBOX__FD_OUT, st, &err);
    _exit(0);
}

/* ---- the zygote ---- */

static void report(int ctl, int kind, int value)
{
    const wd_sandbox__report r = { .kind = kind, .value = value };
    (void)!send(ctl, &r, sizeof r,
                MSG_NOSIGNAL | MSG_DONTWAIT); /* the caller may have gone: nothing to tell */
}

/* One request with its descriptors; false when the parent has gone. fds are -1 after a malformed one. */
static bool receive(int sock, job *j, int fds[N_FD])
{
    union {
        char b[CMSG_SPACE(N_FD * sizeof(int))];
        struct cmsghdr align;
    } ctl;
    struct iovec iov[2] = { { &j->req, sizeof j->req }, { j->opts, sizeof j->opts } };
    struct msghdr m = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = ctl.b, .msg_controllen = sizeof ctl.b
    };
    ssize_t n;

    fds[0] = fds[1] = fds[2] = -1;
    do
        n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return false;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
        c->cmsg_len == CMSG_LEN(N_FD * sizeof(int)))
        memcpy(fds, CMSG_DATA(c), N_FD * sizeof(int));
    if ((size_t)n < sizeof j->req || (size_t)n - sizeof j->req != j->req.opts_bytes)
        j->req.id = WD_DECODER_COUNT;
    return true;
}

static void start_worker(zygote *z, const job *j, const int fds[N_FD])
{
    const pid_t self = getpid();
    if (fds[2] < 0)
        return;
    if (z->n == WD_SANDBOX__WORKERS_MAX) {
        report(fds[2], WD_SANDBOX__BUSY, 0);
        close(fds[2]);
    } else {
        const pid_t pid = fork();
        if (pid == 0)
            work(j, fds, self);
        if (pid < 0) {
            report(fds[2], WD_SANDBOX__NO_FORK, errno);
            close(fds[2]);
        } else {
            z->w[z->n++] = (worker){ .pid = pid, .ctl = fds[2] };
        }
    }
    close(fds[0]);
    close(fds[1]);
}

static void reap(zygote *z)
{
    int ws;
    pid_t pid;
    struct signalfd_siginfo si;

    while (read(z->sigs, &si, sizeof si) > 0) {
    }
    while ((pid = waitpid(-1, &ws, WNOHANG)) > 0) {
        for (size_t i = 0; i < z->n; i++) {
            if (z->w[i].pid != pid)
                continue;
            if (WIFSIGNALED(ws))
                report(z->w[i].ctl, WD_SANDBOX__SIGNALED, WTERMSIG(ws));
            else
                report(z->w[i].ctl, WD_SANDBOX__EXITED, WEXITSTATUS(ws));
            close(z->w[i].ctl);
            z->w[i] = z->w[--z->n];
            break;
        }
    }
}

static bool become_zygote(zygote *z, int sock)
{
    sigset_t chld;
    const struct sigaction ign = { .sa_handler = SIG_IGN }, dfl = { .sa_handler = SIG_DFL };
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    for (int sig = 1; sig < NSIG; sig++) /* the program's handlers are not for this process */
        (void)sigaction(sig, &dfl, NULL);
    /* Ctrl-C reaches the whole process group: the parent decides what it means. */
    sigaction(SIGINT, &ign, NULL);
    sigaction(SIGQUIT, &ign, NULL);
    sigaction(SIGTERM, &ign, NULL);
    sigaction(SIGHUP, &ign, NULL);
    sigaction(SIGPIPE, &ign, NULL);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
        return false;
    if (!WD_SANDBOX__SANITIZER && dup2(null, 2) < 0) /* libraries print parts of their input there */
        return false;
    if (dup2(sock, 3) < 0 || close_range(4, ~0u, 0))
        return false;
    z->sock = 3;
    fcntl(z->sock, F_SETFD, FD_CLOEXEC);
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigprocmask(SIG_SETMASK, &chld, NULL);
    z->sigs = signalfd(-1, &chld, SFD_CLOEXEC | SFD_NONBLOCK);
    /* Files that the C library opens at first use: local time is looked up again and again, a fixed zone once. Texts
     * may be UTF-8; numbers keep their point. */
    setenv("TZ", "UTC0", 1);
    tzset();
    (void)setlocale(LC_CTYPE, "C.UTF-8");
    for (uint32_t id = 0; id < WD_DECODER_COUNT; id++) {
        const wd_decoder *d = wd_decoder_get(id);
        if (d && d->prepare)
            d->prepare();
    }
    return z->sigs >= 0;
}

void wd_sandbox__zygote(int sock)
{
    static zygote z; /* this process has nothing else to do */
    static job j;
    struct pollfd p[2 + WD_SANDBOX__WORKERS_MAX];

    if (!become_zygote(&z, sock))
        _exit(2);
    for (;;) {
        const size_t n = z.n;
        p[0] = (struct pollfd){ .fd = z.sock, .events = POLLIN };
        p[1] = (struct pollfd){ .fd = z.sigs, .events = POLLIN };
        for (size_t i = 0; i < n; i++)
            p[2 + i] = (struct pollfd){ .fd = z.w[i].killed ? -1 : z.w[i].ctl, .events = POLLIN };
        if (poll(p, 2 + n, -1) < 0 && errno != EINTR)
            break;
        for (size_t i = 0; i < n; i++)
            if (p[2 + i].revents) /* the caller never sends: its end was closed */
                z.w[i].killed = kill(z.w[i].pid, SIGKILL) == 0;
        if (p[1].revents)
            reap(&z);
        if (p[0].revents) {
            int fds[N_FD];
            if (!receive(z.sock, &j, fds))
                break;
            start_worker(&z, &j, fds);
        }
    }
    for (size_t i = 0; i < z.n; i++)
        kill(z.w[i].pid, SIGKILL);
    _exit(0);
}
