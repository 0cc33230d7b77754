/* Status codes and the one sentence that goes with a failure.
 *
 * A function that can fail returns wd_status. The origin of the failure fills the optional wd_err once with
 * a sentence that names the file, field or value and what was expected, never a patient's data or prompt
 * text. Callers pass it on untouched; the edges (cli, serve) turn the status into an exit code.
 */
#ifndef WD_BASE_ERR_H
#define WD_BASE_ERR_H

#include "base/compiler.h"

typedef enum wd_status {
    WD_OK = 0,
    WD_E_USAGE,       /* the caller's options or arguments are wrong             exit 2 */
    WD_E_INVALID,     /* well-formed input with a value we must refuse           exit 3 */
    WD_E_CORRUPT,     /* bytes that break their own format                       exit 3 */
    WD_E_UNSUPPORTED, /* well-formed, but a kind that Ward does not read         exit 3 */
    WD_E_NOT_FOUND,   /* no such file, tensor, series, ...                       exit 3 */
    WD_E_LIMIT,       /* a stated limit (size, time, depth) was passed           exit 3 */
    WD_E_IO,          /* the operating system failed: disk full, read error      exit 1 */
    WD_E_NOMEM,       /* no memory                                               exit 1 */
    WD_E_CANCELLED,   /* the caller asked to stop                                exit 1 */
    WD_E_CRASHED,     /* the decoder child died on this input                    exit 3 */
    WD_E_BUSY,        /* as much is under way as may be: later it may work       exit 1 */
    WD_E_DEADLINE,    /* the caller's deadline passed                            exit 1 */
    WD_E_AUTH,        /* no credentials, or none that count                      exit 1 */
    WD_E_DENIED,      /* known, but the role, scope or reach is not enough       exit 1 */
    WD_E_INTERNAL     /* a state that should not exist                           exit 1 */
} wd_status;

#define WD_ERR_TEXT_MAX 480

typedef struct wd_err {
    wd_status code;
    const char *file; /* source position of the origin */
    int line;
    char text[WD_ERR_TEXT_MAX]; /* one sentence, no newline; cut at a character boundary when too long */
} wd_err;

/* Fills *err (may be NULL) and returns code. Control bytes in the text become '?'. */
wd_status wd_err_set(wd_err *err, wd_status code, const char *file, int line, const char *fmt, ...)
    WD_PRINTF(5, 6);

/* Stable lower-case name, e.g. "corrupt"; for --json and programs. */
const char *wd_status_name(wd_status st);

/* Process exit code of the command line: 0, 1, 2 or 3. */
int wd_status_exit(wd_status st);

#define WD_FAIL(err, code, ...) wd_err_set((err), (code), __FILE__, __LINE__, __VA_ARGS__)
#define WD_TRY(expr)            \
    do {                        \
        wd_status st_ = (expr); \
        if (st_)                \
            return st_;         \
    } while (0)

/* Stays in release builds and stops the process: only for isolation (a page or arena of another owner). */
#define WD_BUG_IF(cond)                        \
    do {                                       \
        if (WD_UNLIKELY(cond))                 \
            wd_bug(#cond, __FILE__, __LINE__); \
    } while (0)
WD_NORETURN void wd_bug(const char *what, const char *file, int line);

#endif
