/* What the files of the sandbox share, and tests and fuzzers of media/ may use. */
#ifndef WD_MEDIA_SANDBOX_INNER_H
#define WD_MEDIA_SANDBOX_INNER_H

#include <sys/types.h>

#include "media/sandbox.h"

/* A sanitizer's shadow needs terabytes of address space and its reports open files, so in such a build a
 * worker has no RLIMIT_AS, may write to stderr, and gets EACCES instead of death for open(). The rest stays.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define WD_SANDBOX__SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer) || __has_feature(thread_sanitizer)
#define WD_SANDBOX__SANITIZER 1
#endif
#endif
#ifndef WD_SANDBOX__SANITIZER
#define WD_SANDBOX__SANITIZER 0
#endif

enum {
    WD_SANDBOX__OPTS_MAX = 60 * 1024, /* one datagram holds request and options */
    WD_SANDBOX__WORKERS_MAX = 64,
    WD_SANDBOX__FD_IN = 3, /* where a worker finds its input and its pipe; 0..2 are /dev/null */
    WD_SANDBOX__FD_OUT = 4,
    WD_SANDBOX__CPU_S = 3600 /* processor time of one worker, a backstop: the parent's clock is the limit */
};

/* Type of the last message: {u32 status, sentence}. */
#define WD_SANDBOX__END 0xFFFFFFFFu

typedef struct wd_sandbox__head { /* before the bytes of each message */
    uint32_t type, zero;
    uint64_t length;
} wd_sandbox__head;

typedef struct wd_sandbox__request { /* parent to zygote, with the descriptors {input, pipe, control} */
    uint32_t id, opts_bytes;
    uint64_t size, memory_bytes;
} wd_sandbox__request; /* the options follow */

typedef struct wd_sandbox__report { /* zygote to parent on the call's control socket: why the worker ended */
    enum { WD_SANDBOX__EXITED, WD_SANDBOX__SIGNALED, WD_SANDBOX__NO_FORK, WD_SANDBOX__BUSY } kind;
    int value; /* exit status, signal or errno */
} wd_sandbox__report;

struct wd_emit {
    int fd; /* the pipe, or -1: on_message is called directly */
    wd_message_fn on_message;
    void *ctx;
};

/* Serves requests on `sock` until its other end closes. */
WD_NORETURN void wd_sandbox__zygote(int sock);

/* Gives up every right in this process but those of a decoder. memory_bytes counts from what is mapped now.
 * False: nothing may be decoded here. */
WD_MUST_CHECK bool wd_sandbox__lock_down(uint64_t memory_bytes);

/* False under a sanitizer or valgrind: RLIMIT_AS is not set there. */
bool wd_sandbox__memory_is_limited(void);
/* False under valgrind, where nothing is locked: it makes system calls of its own in the worker. For debugging. */
bool wd_sandbox__calls_are_filtered(void);

/* Runs a decoder in this process, without any protection: for fuzzing and failure injection only. */
WD_MUST_CHECK wd_status wd_sandbox__run_here(wd_decode_fn decode, wd_span opts, wd_span input,
                                             wd_message_fn on_message, void *ctx, wd_err *err);

/* Unmaps what wd_decode_input mapped last in this thread: in a worker the end of the process does. */
void wd_sandbox__unmap_input(void);

/* Process id of the zygote, or -1; for tests. */
pid_t wd_sandbox__zygote_pid(void);

#endif
