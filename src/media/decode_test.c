/* Every way in which a decoder could go wrong, on request. */
#include "media/decode_test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "media/sandbox_inner.h"

static wd_status echo(const wd_decode_in *in, size_t part, wd_emit *out, wd_err *err)
{
    wd_span s;
    WD_TRY(wd_decode_input(in, &s, err));
    if (part == 0)
        part = s.n ? s.n : 1;
    for (size_t at = 0; at < s.n; at += part)
        WD_TRY(wd_emit_put(out, (uint32_t)(at / part), wd_span_sub(s, at, part), err));
    return WD_OK;
}

static wd_status say(const wd_decode_in *in, wd_status st, wd_err *err)
{
    wd_span s;
    WD_TRY(wd_decode_input(in, &s, err));
    return WD_FAIL(err, st, "%.*s", (int)WD_MIN(s.n, 1000), (const char *)s.p);
}

/* Not a tail call, and not a frame that an optimiser removes. */
static uint64_t recurse(volatile uint8_t *up, uint64_t depth) /* NOLINT: without a limit on purpose */
{
    volatile uint8_t here[512];
    here[depth % sizeof here] = up ? up[0] : 1;
    if (depth == UINT64_MAX)
        return here[0];
    return recurse(here, depth + 1) + here[1];
}

static wd_status allocate(wd_err *err)
{
    const size_t step = (size_t)16 << 20;
    for (;;) {
        uint8_t *p = wd_realloc(NULL, step, 1);
        if (!p)
            return WD_FAIL(err, WD_E_NOMEM, "no more memory");
        memset(p, 1, step);
    }
}

static void *nothing(void *arg)
{
    return arg;
}

/* A call that the filter should have refused. With a sanitizer open() fails instead of killing. */
static wd_status refused(bool done, wd_err *err)
{
    if (done)
        return WD_FAIL(err, WD_E_INTERNAL, "a forbidden call succeeded");
    return WD_FAIL(err, WD_E_CRASHED, "the decoder made a system call that it may not make");
}

static wd_status forbidden_call(uint32_t deed, const wd_decode_in *in, wd_err *err)
{
    static const struct sockaddr_un addr = { .sun_family = AF_UNIX, .sun_path = "/run/nothing" };
    char path[] = "/bin/sh";
    char *const argv[] = { path, NULL };
    pthread_t t;

    switch (deed) {
    case WD_TEST_OPEN:
        return refused(open("/etc/passwd", O_RDONLY) >= 0, err);
    case WD_TEST_SOCKET: {
        const int s = socket(AF_UNIX, SOCK_STREAM, 0);
        return refused(s >= 0 || connect(s, (const struct sockaddr *)&addr, sizeof addr) == 0, err);
    }
    case WD_TEST_FORK:
        return refused(fork() >= 0, err);
    case WD_TEST_THREAD:
        return refused(pthread_create(&t, NULL, nothing, NULL) == 0, err);
    case WD_TEST_EXEC:
        return refused(execve(argv[0], argv, NULL) == 0, err);
    case WD_TEST_KILL:
        return refused(kill(getppid(), 0) == 0, err);
    case WD_TEST_MAP_CODE:
        return refused(
            mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED, err);
    default: /* WD_TEST_WRITE_INPUT: an errno, because libraries write to stderr and mean no harm */
        return refused(write(in->fd, "x", 1) == 1, err);
    }
}

static wd_status raw(const wd_emit *out, const void *p, size_t n, wd_err *err)
{
    if (write(out->fd, p, n) != (ssize_t)n)
        return WD_FAIL(err, WD_E_IO, "short write");
    return WD_OK;
}

WD_NORETURN static void lie(uint32_t deed, const wd_emit *out, wd_err *err)
{
    struct {
        wd_sandbox__head h;
        uint32_t status;
    } m = { .h = { .type = 1, .length = 4 } };
    size_t n = sizeof m.h + sizeof m.status;

    if (deed == WD_TEST_LIE_LENGTH)
        m.h.length = (uint64_t)1 << 60;
    if (deed == WD_TEST_LIE_ZERO)
        m.h.zero = 7;
    if (deed == WD_TEST_LIE_STATUS || deed == WD_TEST_LIE_SHORT)
        m.h.type = WD_SANDBOX__END;
    if (deed == WD_TEST_LIE_STATUS)
        m.status = 4711;
    if (deed == WD_TEST_LIE_SHORT)
        m.h.length = 2;
    if (deed == WD_TEST_STOP_HALFWAY || deed == WD_TEST_DRIBBLE)
        n = sizeof m.h + 1;
    if (deed != WD_TEST_STOP_SILENT && raw(out, &m, n, err) != WD_OK)
        _exit(3);
    while (deed == WD_TEST_DRIBBLE)
        sched_yield();
    _exit(0);
}

static wd_status write_endless(bool empty, wd_emit *out, wd_err *err)
{
    static uint8_t block[1 << 16];
    for (;;)
        WD_TRY(wd_emit_put(out, 1, wd_span_of(block, empty ? 0 : sizeof block), err));
}

wd_status wd_decode_test(const wd_decode_in *in, wd_emit *out, wd_err *err)
{
    wd_test_request r;

    if (in->opts.n != sizeof r)
        return WD_FAIL(err, WD_E_INTERNAL, "test decoder: %zu bytes of options", in->opts.n);
    memcpy(&r, in->opts.p, sizeof r);
    switch (r.deed) {
    case WD_TEST_ECHO:
        return echo(in, (size_t)r.arg, out, err);
    case WD_TEST_SAY:
        return say(in, (wd_status)r.arg, err);
    case WD_TEST_SEGV:
        *(volatile int *)(uintptr_t)r.zero = 1;
        return WD_OK;
    case WD_TEST_ABORT:
        abort();
    case WD_TEST_RECURSE:
        return recurse(NULL, 0) ? WD_OK : WD_E_INTERNAL;
    case WD_TEST_LOOP:
        for (volatile uint64_t i = 0;; i = i + 1) {
        }
    case WD_TEST_ALLOC:
        return allocate(err);
    case WD_TEST_WRITE_ENDLESS:
        return write_endless(false, out, err);
    case WD_TEST_EMPTY_ENDLESS:
        return write_endless(true, out, err);
    case WD_TEST_LIE_LENGTH:
    case WD_TEST_LIE_ZERO:
    case WD_TEST_LIE_STATUS:
    case WD_TEST_LIE_SHORT:
    case WD_TEST_STOP_HALFWAY:
    case WD_TEST_STOP_SILENT:
    case WD_TEST_DRIBBLE:
        lie(r.deed, out, err);
    default:
        return forbidden_call(r.deed, in, err);
    }
}
