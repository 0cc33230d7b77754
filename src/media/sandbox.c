/* The parent's side: starts the zygote, sends it calls, and reads what workers answer without believing it.
 *
 * A call owns two descriptors: the reading end of the worker's pipe and a control socket whose other end the
 * zygote holds. Closing the control socket makes the zygote kill the worker; the zygote writes one report to
 * it when the worker has ended by itself. So no process id ever leaves the zygote, and none can be confused.
 */
#include "media/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "media/sandbox_inner.h"

enum {
    PIPE_BYTES = 1 << 20,
    CANCEL_POLL_MS = 50,
    REPORT_WAIT_MS = 5000, /* from the end of the pipe to the zygote's report */
    END_MAX = 4096         /* the last message: a status and a sentence */
};

/* The one zygote of this process: written by start and stop under mu. */
static struct {
    pthread_mutex_t mu;
    int sock;
    pid_t pid;
    bool gone; /* a call found nobody at the other end */
} the_zygote = { .mu = PTHREAD_MUTEX_INITIALIZER, .sock = -1, .pid = -1 };

typedef struct call {
    const char *what;
    const wd_sandbox_limits *limits;
    const atomic_bool *cancel;
    wd_message_fn on_message;
    void *ctx;
    int pipe, ctl;
    uint64_t deadline_ns; /* of the message being waited for */
    uint64_t taken;       /* bytes of all messages so far, headers included */
    wd_buf body;
} call;

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- starting and stopping ---- */

static void forget_zygote(void) /* under mu */
{
    close_fd(&the_zygote.sock);
    if (the_zygote.pid > 0)
        while (waitpid(the_zygote.pid, NULL, 0) < 0 && errno == EINTR) {
        }
    the_zygote.pid = -1;
    the_zygote.gone = false;
}

static wd_status fork_zygote(wd_err *err) /* under mu */
{
    int pair[2];
    const pid_t self = getpid();

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair))
        return WD_FAIL(err, WD_E_IO, "the decoder process needs a socket pair: %s", strerror(errno));
    const pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != self)
            _exit(2);
        wd_sandbox__zygote(pair[1]);
    }
    const int why = errno;
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        return WD_FAIL(err, WD_E_IO, "the decoder process cannot be started: %s", strerror(why));
    }
    the_zygote.sock = pair[0];
    the_zygote.pid = pid;
    return WD_OK;
}

/* Whether the zygote has ended. While it is dying, waitpid does not know yet, but its end of the socket is closed. */
static bool zygote_is_gone(void) /* under mu */
{
    struct pollfd p = { .fd = the_zygote.sock };
    if (waitpid(the_zygote.pid, NULL, WNOHANG) != 0) {
        the_zygote.pid = -1; /* reaped now */
        return true;
    }
    return the_zygote.gone || (poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR)));
}

wd_status wd_sandbox_start(wd_err *err)
{
    wd_status st = WD_OK;
    pthread_mutex_lock(&the_zygote.mu);
    if (the_zygote.pid > 0 && zygote_is_gone()) {
        if (the_zygote.pid > 0)
            kill(the_zygote.pid, SIGKILL);
        forget_zygote();
    }
    if (the_zygote.pid <= 0)
        st = fork_zygote(err);
    pthread_mutex_unlock(&the_zygote.mu);
    return st;
}

void wd_sandbox_stop(void)
{
    pthread_mutex_lock(&the_zygote.mu);
    forget_zygote();
    pthread_mutex_unlock(&the_zygote.mu);
}

pid_t wd_sandbox__zygote_pid(void)
{
    pthread_mutex_lock(&the_zygote.mu);
    const pid_t pid = the_zygote.pid;
    pthread_mutex_unlock(&the_zygote.mu);
    return pid;
}

/* ---- sending a call ---- */

/* The worker gets a file description of its own, read-only and at offset 0: callers may share one descriptor
 * between threads, and a shared offset would mix their reads. */
static wd_status open_input(const call *c, int fd, int *own, uint64_t *size, wd_err *err)
{
    struct stat s;
    char path[64];

    if (fstat(fd, &s))
        return WD_FAIL(err, WD_E_IO, "%s: %s", c->what, strerror(errno));
    if (!S_ISREG(s.st_mode))
        return WD_FAIL(err, WD_E_INVALID, "%s: not a regular file", c->what);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    *own = open(path, O_RDONLY | O_CLOEXEC);
    if (*own < 0)
        return WD_FAIL(err, WD_E_IO, "%s: cannot be opened again for the decoder: %s", c->what,
                       strerror(errno));
    *size = (uint64_t)s.st_size;
    return WD_OK;
}

static wd_status post(const call *c, const wd_sandbox__request *r, wd_span opts, const int fds[3],
                      wd_err *err)
{
    union {
        char b[CMSG_SPACE(3 * sizeof(int))];
        struct cmsghdr align;
    } ctl = { .b = { 0 } };
    struct iovec iov[2] = { { (void *)(uintptr_t)r, sizeof *r }, { (void *)(uintptr_t)opts.p, opts.n } };
    struct msghdr m = {
        .msg_iov = iov, .msg_iovlen = 2, .msg_control = ctl.b, .msg_controllen = sizeof ctl.b
    };
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    ssize_t n;

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(3 * sizeof(int));
    memcpy(CMSG_DATA(h), fds, 3 * sizeof(int));

    pthread_mutex_lock(&the_zygote.mu);
    const bool started = the_zygote.sock >= 0;
    do
        n = started ? sendmsg(the_zygote.sock, &m, MSG_NOSIGNAL) : -1;
    while (started && n < 0 && errno == EINTR);
    const int why = errno;
    const bool gone = n < 0 && (why == EPIPE || why == ECONNRESET || why == ECONNREFUSED);
    the_zygote.gone |= started && gone;
    pthread_mutex_unlock(&the_zygote.mu);

    if (!started)
        return WD_FAIL(err, WD_E_INTERNAL, "%s: the decoder process was not started", c->what);
    if (gone)
        return WD_FAIL(err, WD_E_IO, "%s: the decoder process has ended; nothing can be decoded", c->what);
    if (n < 0)
        return WD_FAIL(err, WD_E_IO, "%s: the decoder process cannot be reached: %s", c->what, strerror(why));
    return WD_OK;
}

static wd_status submit(call *c, wd_decoder_id id, wd_span opts, int fd, wd_err *err)
{
    wd_status st;
    int own = -1, ends[2] = { -1, -1 }, pair[2] = { -1, -1 };
    wd_sandbox__request r = { .id = (uint32_t)id, .memory_bytes = c->limits->memory_bytes };

    if (opts.n > WD_SANDBOX__OPTS_MAX)
        return WD_FAIL(err, WD_E_INTERNAL, "%s: %zu bytes of decoder options, at most %d", c->what, opts.n,
                       WD_SANDBOX__OPTS_MAX);
    r.opts_bytes = (uint32_t)opts.n;
    st = open_input(c, fd, &own, &r.size, err);
    if (st)
        goto out;
    if (pipe2(ends, O_CLOEXEC) || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        st = WD_FAIL(err, WD_E_IO, "%s: no descriptors for the decoder: %s", c->what, strerror(errno));
        goto out;
    }
    (void)fcntl(ends[0], F_SETPIPE_SZ, PIPE_BYTES); /* only speed: refused when the user's quota is spent */
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    st = post(c, &r, opts, (const int[3]){ own, ends[1], pair[1] }, err);
    if (st)
        goto out;
    c->pipe = ends[0];
    c->ctl = pair[0];
    ends[0] = pair[0] = -1;
out:
    close_fd(&own);
    close_fd(&ends[0]);
    close_fd(&ends[1]);
    close_fd(&pair[0]);
    close_fd(&pair[1]);
    return st;
}

/* ---- receiving ---- */

static wd_status explain_signal(const call *c, int sig, wd_err *err)
{
    switch (sig) {
    case SIGSYS:
        return WD_FAIL(err, WD_E_CRASHED,
                       "%s: the decoder made a system call that it may not make and was stopped", c->what);
    case SIGXCPU:
        return WD_FAIL(err, WD_E_LIMIT, "%s: decoding used more than %d s of processor time", c->what,
                       WD_SANDBOX__CPU_S);
    case SIGXFSZ:
        return WD_FAIL(err, WD_E_CRASHED, "%s: the decoder tried to write a file and was stopped", c->what);
    case SIGKILL:
        return WD_FAIL(err, WD_E_LIMIT,
                       "%s: the decoder was killed, probably because the machine has no memory left",
                       c->what);
    case SIGBUS:
        return WD_FAIL(err, WD_E_CRASHED,
                       "%s: the decoder stopped (signal %d); did the file shrink meanwhile?", c->what, sig);
    default:
        return WD_FAIL(err, WD_E_CRASHED, "%s: the decoder stopped (signal %d)", c->what, sig);
    }
}

/* The pipe ended before the last message: why? */
static wd_status explain_end(const call *c, wd_err *err)
{
    struct pollfd p = { .fd = c->ctl, .events = POLLIN };
    wd_sandbox__report r;
    int ready;

    do
        ready = poll(&p, 1, REPORT_WAIT_MS);
    while (ready < 0 && errno == EINTR);
    if (ready <= 0)
        return WD_FAIL(err, WD_E_CRASHED, "%s: the decoder closed its answer but did not end", c->what);
    if (recv(c->ctl, &r, sizeof r, 0) != (ssize_t)sizeof r)
        return WD_FAIL(err, WD_E_IO, "%s: the decoder process ended during decoding", c->what);
    switch (r.kind) {
    case WD_SANDBOX__SIGNALED:
        return explain_signal(c, r.value, err);
    case WD_SANDBOX__NO_FORK:
        return WD_FAIL(err, WD_E_IO, "%s: no process for the decoder: %s", c->what, strerror(r.value));
    case WD_SANDBOX__BUSY:
        return WD_FAIL(err, WD_E_LIMIT, "%s: %d decoders are running already", c->what,
                       WD_SANDBOX__WORKERS_MAX);
    default:
        return WD_FAIL(err, WD_E_CRASHED, "%s: the decoder ended without an answer (exit %d)", c->what,
                       r.value);
    }
}

/* Until the pipe can be read (or has ended). */
static wd_status wait_readable(const call *c, wd_err *err)
{
    for (;;) {
        struct pollfd p = { .fd = c->pipe, .events = POLLIN };
        const uint64_t now = wd_clock_ns();
        if (c->cancel && *c->cancel)
            return WD_FAIL(err, WD_E_CANCELLED, "%s: decoding was cancelled", c->what);
        if (now >= c->deadline_ns)
            return WD_FAIL(err, WD_E_LIMIT, "%s: the decoder gave no answer for %g s", c->what,
                           c->limits->timeout_ms / 1000.0);
        const uint64_t left_ms = (c->deadline_ns - now) / 1000000 + 1;
        const int ready = poll(&p, 1, (int)WD_MIN(left_ms, c->cancel ? CANCEL_POLL_MS : 60000));
        if (ready > 0)
            return WD_OK;
        if (ready < 0 && errno != EINTR)
            return WD_FAIL(err, WD_E_IO, "%s: waiting for the decoder: %s", c->what, strerror(errno));
    }
}

static wd_status read_full(const call *c, void *dst, size_t n, wd_err *err)
{
    uint8_t *p = dst;
    while (n > 0) {
        const ssize_t got = read(c->pipe, p, n);
        if (got > 0) {
            p += got;
            n -= (size_t)got;
        } else if (got == 0) {
            return explain_end(c, err);
        } else if (errno == EAGAIN) {
            WD_TRY(wait_readable(c, err));
        } else if (errno != EINTR) {
            return WD_FAIL(err, WD_E_IO, "%s: reading from the decoder: %s", c->what, strerror(errno));
        }
    }
    return WD_OK;
}

/* A promised length costs nothing until the bytes arrive. */
static wd_status read_body(call *c, size_t n, wd_err *err)
{
    wd_buf_clear(&c->body);
    while (c->body.n < n) {
        const size_t part = WD_MIN(n - c->body.n, WD_MAX((size_t)PIPE_BYTES, c->body.n));
        uint8_t *p = wd_buf_grow(&c->body, part);
        if (!p)
            return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the decoder's answer of %zu bytes", c->what,
                           n);
        WD_TRY(read_full(c, p, part, err));
    }
    return WD_OK;
}

static wd_status check_head(call *c, const wd_sandbox__head *h, wd_err *err)
{
    const uint64_t max = h->type == WD_SANDBOX__END ? END_MAX : c->limits->message_bytes;
    if (h->zero != 0)
        return WD_FAIL(err, WD_E_CRASHED, "%s: the decoder's answer is not in its own format", c->what);
    if (h->length > max || h->length > SIZE_MAX / 2)
        return WD_FAIL(err, WD_E_LIMIT, "%s: the decoder announced a message of %llu bytes, at most %llu",
                       c->what, (unsigned long long)h->length, (unsigned long long)max);
    c->taken += sizeof *h + h->length; /* both bounded: no overflow before the limit is met */
    if (c->taken > c->limits->output_bytes && h->type != WD_SANDBOX__END)
        return WD_FAIL(err, WD_E_LIMIT, "%s: decoding gives more than %llu bytes", c->what,
                       (unsigned long long)c->limits->output_bytes);
    return WD_OK;
}

/* The last message: the decoder's own verdict. */
static wd_status finish(const call *c, wd_err *err)
{
    uint32_t code;
    wd_buf text = { .max = END_MAX * 4 };

    if (c->body.n < sizeof code)
        return WD_FAIL(err, WD_E_CRASHED, "%s: the decoder's answer is not in its own format", c->what);
    memcpy(&code, c->body.p, sizeof code);
    if (code > WD_E_INTERNAL)
        return WD_FAIL(err, WD_E_CRASHED, "%s: the decoder's answer is not in its own format", c->what);
    if (code == WD_OK)
        return WD_OK;
    if (code == WD_E_NOMEM)
        return WD_FAIL(err, WD_E_LIMIT, "%s: decoding needs more than the %zu MiB of memory that it may use",
                       c->what, c->limits->memory_bytes >> 20);
    wd_utf8_sanitize(wd_span_of(c->body.p + sizeof code, c->body.n - sizeof code), &text);
    const wd_status st = WD_FAIL(err, (wd_status)code, "%s: %s", c->what,
                                 text.n ? (const char *)text.p : "refused");
    wd_buf_free(&text);
    return st;
}

static wd_status receive(call *c, wd_err *err)
{
    for (;;) {
        wd_sandbox__head h;
        c->deadline_ns = wd_clock_ns() + (uint64_t)c->limits->timeout_ms * 1000000;
        WD_TRY(wait_readable(c, err)); /* also a worker that always has bytes ready can be cancelled */
        WD_TRY(read_full(c, &h, sizeof h, err));
        WD_TRY(check_head(c, &h, err));
        WD_TRY(read_body(c, (size_t)h.length, err));
        if (h.type == WD_SANDBOX__END)
            return finish(c, err);
        WD_TRY(c->on_message(c->ctx, h.type, wd_buf_view(&c->body), err));
    }
}

/* ---- the calls ---- */

wd_status wd_sandbox_run(wd_decoder_id id, const char *what, wd_span opts, int fd,
                         const wd_sandbox_limits *limits, const atomic_bool *cancel, wd_message_fn on_message,
                         void *ctx, wd_err *err)
{
    const wd_sandbox_limits usual = WD_SANDBOX_LIMITS_DEFAULT;
    call c = { .what = what,
               .limits = limits ? limits : &usual,
               .cancel = cancel,
               .on_message = on_message,
               .ctx = ctx,
               .pipe = -1,
               .ctl = -1 };

    wd_status st = submit(&c, id, opts, fd, err);
    if (st == WD_OK)
        st = receive(&c, err);
    close_fd(&c.ctl); /* the zygote stops the worker if it still runs */
    close_fd(&c.pipe);
    wd_buf_free(&c.body);
    return st;
}

static wd_status write_memfd(int fd, const char *what, wd_span s, wd_err *err)
{
    while (s.n > 0) {
        const ssize_t n = write(fd, s.p, s.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return WD_FAIL(err, WD_E_IO, "%s: no memory to hand it to the decoder: %s", what,
                           strerror(errno));
        s = wd_span_of(s.p + n, s.n - (size_t)n);
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
        return WD_FAIL(err, WD_E_IO, "%s: sealing the decoder's input: %s", what, strerror(errno));
    return WD_OK;
}

int wd_sandbox_memfd(const char *what, wd_span bytes, wd_err *err)
{
    const int fd = memfd_create("ward-input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        (void)WD_FAIL(err, WD_E_IO, "%s: no memory file for the decoder: %s", what, strerror(errno));
        return -1;
    }
    if (write_memfd(fd, what, bytes, err) == WD_OK)
        return fd;
    close(fd);
    return -1;
}

wd_status wd_sandbox_run_bytes(wd_decoder_id id, const char *what, wd_span opts, wd_span input,
                               const wd_sandbox_limits *limits, const atomic_bool *cancel,
                               wd_message_fn on_message, void *ctx, wd_err *err)
{
    wd_err local = { 0 };
    const int fd = wd_sandbox_memfd(what, input, err ? err : &local);
    if (fd < 0)
        return WD_E_IO;
    const wd_status st = wd_sandbox_run(id, what, opts, fd, limits, cancel, on_message, ctx, err);
    close(fd);
    return st;
}

wd_status wd_sandbox__run_here(wd_decode_fn decode, wd_span opts, wd_span input, wd_message_fn on_message,
                               void *ctx, wd_err *err)
{
    wd_emit out = { .fd = -1, .on_message = on_message, .ctx = ctx };
    const int fd = memfd_create("ward-input", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return WD_FAIL(err, WD_E_IO, "no memory file: %s", strerror(errno));
    wd_status st = write_memfd(fd, "input", input, err);
    if (st == WD_OK) {
        const wd_decode_in in = { .opts = opts, .fd = fd, .size = input.n };
        st = decode(&in, &out, err);
        wd_sandbox__unmap_input();
    }
    close(fd);
    return st;
}
