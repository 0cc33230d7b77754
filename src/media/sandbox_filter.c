/* What a worker may still do: use memory, read its input, write its pipe, end.
 *
 * The limits of the kernel come first (they need system calls that the filter then forbids), the filter last.
 * Anything not on the list stops the process. Three calls that libraries make out of habit and that do no
 * harm when they fail (fstat of a path, terminal queries, a line to stderr) get an errno instead.
 */
#include "media/sandbox_inner.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#endif
#endif

static bool under_valgrind(void)
{
#ifdef RUNNING_ON_VALGRIND
    return RUNNING_ON_VALGRIND != 0;
#else
    return false;
#endif
}

bool wd_sandbox__memory_is_limited(void)
{
    return !WD_SANDBOX__SANITIZER && !under_valgrind();
}

bool wd_sandbox__calls_are_filtered(void)
{
    return !under_valgrind();
}

/* Address space in use now, in bytes; 0 when /proc does not say. */
static uint64_t mapped_bytes(void)
{
    char text[128];
    unsigned long long pages = 0;
    const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    const ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = 0;
    if (sscanf(text, "%llu", &pages) != 1)
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static bool limit(int what, rlim_t soft, rlim_t hard)
{
    const struct rlimit r = { .rlim_cur = soft, .rlim_max = hard };
    return setrlimit(what, &r) == 0;
}

static bool set_limits(uint64_t memory_bytes)
{
    if (wd_sandbox__memory_is_limited()) {
        const uint64_t all = mapped_bytes() + memory_bytes;
        if (all < memory_bytes || !limit(RLIMIT_AS, all, all))
            return false;
    }
    return limit(RLIMIT_CPU, WD_SANDBOX__CPU_S, WD_SANDBOX__CPU_S + 5) && limit(RLIMIT_FSIZE, 0, 0) &&
           limit(RLIMIT_CORE, 0, 0) && limit(RLIMIT_NPROC, 0, 0) &&
           limit(RLIMIT_NOFILE, WD_SANDBOX__FD_OUT + 1, WD_SANDBOX__FD_OUT + 1) &&
           limit(RLIMIT_MEMLOCK, 0, 0);
}

/* Calls that are allowed whatever their arguments. */
static const int free_calls[] = {
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(futex),
    SCMP_SYS(exit),
    SCMP_SYS(exit_group),
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(time),
    SCMP_SYS(getrandom),
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    SCMP_SYS(getpid),
    SCMP_SYS(gettid),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sysinfo),
};

static int add_free_calls(scmp_filter_ctx f)
{
    int bad = 0;
    for (size_t i = 0; i < WD_COUNT(free_calls); i++)
        bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, free_calls[i], 0);
    return bad;
}

static struct scmp_arg_cmp arg_is(unsigned i, uint64_t value)
{
    return (struct scmp_arg_cmp){ .arg = i, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0 };
}

/* A library's complaint goes nowhere, but is no crime; a sanitizer's report may be seen. */
static int add_stderr_calls(scmp_filter_ctx f)
{
#if WD_SANDBOX__SANITIZER
    static const int refused[] = { SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(readlink), SCMP_SYS(readlinkat),
                                   SCMP_SYS(prctl) };
    int bad = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, arg_is(0, STDERR_FILENO));
    for (size_t i = 0; i < WD_COUNT(refused); i++)
        bad |= seccomp_rule_add(f, SCMP_ACT_ERRNO(EACCES), refused[i], 0);
    return bad;
#else
    const struct scmp_arg_cmp not_out = {
        .arg = 0, .op = SCMP_CMP_NE, .datum_a = WD_SANDBOX__FD_OUT, .datum_b = 0
    };
    return seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(write), 1, not_out);
#endif
}

static int add_bound_calls(scmp_filter_ctx f)
{
    const struct scmp_arg_cmp in = arg_is(0, WD_SANDBOX__FD_IN), out = arg_is(0, WD_SANDBOX__FD_OUT);
    const struct scmp_arg_cmp self = arg_is(0, (uint64_t)getpid()), thread = arg_is(1, (uint64_t)gettid());
    const struct scmp_arg_cmp no_code = {
        .arg = 2, .op = SCMP_CMP_MASKED_EQ, .datum_a = PROT_EXEC, .datum_b = 0
    };
    static const int of_input[] = { SCMP_SYS(read), SCMP_SYS(pread64), SCMP_SYS(lseek), SCMP_SYS(fstat) };
    int bad = 0;

    for (size_t i = 0; i < WD_COUNT(of_input); i++)
        bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, of_input[i], 1, in);
    bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(write), 1, out);
    bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, no_code);
    bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, no_code);
    /* abort() signals its own thread; no other process can be named. */
    bad |= seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 2, self, thread);
    bad |= seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(newfstatat), 0);
    bad |= seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOTTY), SCMP_SYS(ioctl), 0);
    bad |= add_stderr_calls(f);
    return bad;
}

static bool filter_calls(void)
{
    scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!f)
        return false;
    const bool ok = !add_free_calls(f) && !add_bound_calls(f) && !seccomp_load(f);
    seccomp_release(f);
    return ok;
}

bool wd_sandbox__lock_down(uint64_t memory_bytes)
{
    if (under_valgrind()) /* it makes system calls of its own in this process: nothing can be taken away */
        return true;
    if (prctl(PR_SET_DUMPABLE, 0) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        return false;
    if (!set_limits(memory_bytes))
        return false;
    return filter_calls();
}
