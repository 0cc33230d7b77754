/* A decoder that misbehaves on request, so that tests can prove what the sandbox promises. Its options are
 * one wd_test_request. */
#ifndef WD_MEDIA_DECODE_TEST_H
#define WD_MEDIA_DECODE_TEST_H

#include "media/sandbox.h"

typedef enum wd_test_deed {
    WD_TEST_ECHO,          /* sends the input back, `arg` bytes a message */
    WD_TEST_SAY,           /* fails with the input as its sentence */
    WD_TEST_SEGV,          /* writes through a null pointer */
    WD_TEST_ABORT,         /* abort() */
    WD_TEST_RECURSE,       /* until the stack ends */
    WD_TEST_LOOP,          /* for ever */
    WD_TEST_ALLOC,         /* until there is no memory */
    WD_TEST_OPEN,          /* open("/etc/passwd") */
    WD_TEST_SOCKET,        /* socket(), connect() */
    WD_TEST_FORK,          /* fork() */
    WD_TEST_THREAD,        /* pthread_create() */
    WD_TEST_EXEC,          /* execve("/bin/sh") */
    WD_TEST_KILL,          /* kill(getppid()) */
    WD_TEST_MAP_CODE,      /* mmap(PROT_EXEC) */
    WD_TEST_WRITE_INPUT,   /* write() to the input */
    WD_TEST_WRITE_ENDLESS, /* messages without end */
    WD_TEST_EMPTY_ENDLESS, /* empty messages without end */
    WD_TEST_LIE_LENGTH,    /* a header that promises 2^60 bytes */
    WD_TEST_LIE_ZERO,      /* a header whose zero is not zero */
    WD_TEST_LIE_STATUS,    /* a last message with an unknown status */
    WD_TEST_LIE_SHORT,     /* a last message of two bytes */
    WD_TEST_STOP_HALFWAY,  /* exits inside a message */
    WD_TEST_STOP_SILENT,   /* exits without an answer */
    WD_TEST_DRIBBLE        /* one byte of a message, then waits for ever */
} wd_test_deed;

typedef struct wd_test_request {
    uint32_t deed;
    uint32_t zero;
    uint64_t arg;
} wd_test_request;

WD_MUST_CHECK wd_status wd_decode_test(const wd_decode_in *in, wd_emit *out, wd_err *err);

#endif
