/* Decoders of untrusted bytes run in a child process: seccomp, no network, no file system, bounded memory and
 * time. The parent treats what comes back as hostile.
 *
 * wd_sandbox_start() forks a small "zygote" while the program has one thread and no secrets in memory. For each
 * call the zygote forks a worker that gets one descriptor of input and one pipe for output, drops every right,
 * and runs one decoder from the fixed table in media/decoders.c. A crash, a limit or a refused system call is an
 * error for that one input.
 *
 *   parent --(options bytes, input fd)--> zygote --fork--> worker --(pipe: messages)--> parent
 *
 * A message is {u32 type, u32 zero, u64 length, bytes}; the last one carries the status and the sentence.
 */
#ifndef WD_MEDIA_SANDBOX_H
#define WD_MEDIA_SANDBOX_H

#include <stdatomic.h>

#include "base/buf.h"

typedef enum wd_decoder_id {
    WD_DECODER_IMAGE,   /* media/image.h  */
    WD_DECODER_VIDEO,   /* media/video.h  */
    WD_DECODER_DICOM,   /* media/dicom.h  */
    WD_DECODER_ARCHIVE, /* media/archive.h */
    WD_DECODER_TEST,    /* misbehaves on request: tests only */
    WD_DECODER_COUNT
} wd_decoder_id;

/* ---- what a decoder sees, inside the worker ---- */

typedef struct wd_decode_in {
    wd_span opts; /* as the caller passed them; our own bytes, but check the size */
    int fd;       /* the input, readable and seekable: read, pread, lseek, fstat and mmap work */
    uint64_t size;
} wd_decode_in;

typedef struct wd_emit wd_emit;

/* Sends one message to the parent; blocks while the parent is behind. Fails only when the parent has gone. */
WD_MUST_CHECK wd_status wd_emit_put(wd_emit *e, uint32_t type, wd_span bytes, wd_err *err);

/* Reads the whole input (in->size bytes) or maps it; for decoders that want memory. Unmapped at exit. */
WD_MUST_CHECK wd_status wd_decode_input(const wd_decode_in *in, wd_span *out, wd_err *err);

typedef wd_status (*wd_decode_fn)(const wd_decode_in *in, wd_emit *out, wd_err *err);

/* ---- what the rest of media/ sees, in the parent ---- */

typedef struct wd_sandbox_limits {
    size_t memory_bytes;   /* address space of the worker          default 2 GiB   */
    uint32_t timeout_ms;   /* wall clock between two messages      default 60 s    */
    uint64_t output_bytes; /* sum of all messages                  default 8 GiB   */
    size_t message_bytes;  /* one message                          default 1 GiB   */
} wd_sandbox_limits;
#define WD_SANDBOX_LIMITS_DEFAULT                            \
    ((wd_sandbox_limits){ .memory_bytes = (size_t)2 << 30,   \
                          .timeout_ms = 60000,               \
                          .output_bytes = (uint64_t)8 << 30, \
                          .message_bytes = (size_t)1 << 30 })

/* Call first thing in main(), before any thread and before reading any secret. Idempotent. */
WD_MUST_CHECK wd_status wd_sandbox_start(wd_err *err);
void wd_sandbox_stop(void);

/* Gets each message in order. bytes are valid during the call only. A status other than WD_OK stops the worker
 * and becomes the call's result. */
typedef wd_status (*wd_message_fn)(void *ctx, uint32_t type, wd_span bytes, wd_err *err);

/* Runs decoder `id` on the open descriptor fd (not closed here). `what` names the input in errors (a file name).
 *   WD_E_CRASHED     the worker died: "WHAT: the decoder stopped (signal 11)"
 *   WD_E_LIMIT       memory, time or output limit
 *   others           what the decoder said
 * cancel (may be NULL): polled; when it becomes true the worker is stopped and WD_E_CANCELLED returned.
 * Thread-safe. */
WD_MUST_CHECK wd_status wd_sandbox_run(wd_decoder_id id, const char *what, wd_span opts, int fd,
                                       const wd_sandbox_limits *limits, const atomic_bool *cancel,
                                       wd_message_fn on_message, void *ctx, wd_err *err);

/* Bytes as a sealed file that lives in memory alone, for decoders that want a descriptor: the caller closes it. -1: no
 * memory, with *err filled (WD_E_IO). */
WD_MUST_CHECK int wd_sandbox_memfd(const char *what, wd_span bytes, wd_err *err);

/* The same for input that is in memory: passed through a sealed memfd. */
WD_MUST_CHECK wd_status wd_sandbox_run_bytes(wd_decoder_id id, const char *what, wd_span opts, wd_span input,
                                             const wd_sandbox_limits *limits, const atomic_bool *cancel,
                                             wd_message_fn on_message, void *ctx, wd_err *err);

#endif
