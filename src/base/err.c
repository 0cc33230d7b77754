/* Status codes and error sentences. */
#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

static const struct {
    const char *name;
    int exit_code;
} status_table[] = {
    [WD_OK] = { "ok", 0 },
    [WD_E_USAGE] = { "usage", 2 },
    [WD_E_INVALID] = { "invalid", 3 },
    [WD_E_CORRUPT] = { "corrupt", 3 },
    [WD_E_UNSUPPORTED] = { "unsupported", 3 },
    [WD_E_NOT_FOUND] = { "not_found", 3 },
    [WD_E_LIMIT] = { "limit", 3 },
    [WD_E_IO] = { "io", 1 },
    [WD_E_NOMEM] = { "out_of_memory", 1 },
    [WD_E_CANCELLED] = { "cancelled", 1 },
    [WD_E_CRASHED] = { "decoder_crashed", 3 },
    [WD_E_BUSY] = { "busy", 1 },
    [WD_E_DEADLINE] = { "deadline", 1 },
    [WD_E_AUTH] = { "unauthenticated", 1 },
    [WD_E_DENIED] = { "denied", 1 },
    [WD_E_INTERNAL] = { "internal", 1 },
};

wd_status wd_err_set(wd_err *err, wd_status code, const char *file, int line, const char *fmt, ...)
{
    if (!err)
        return code;
    va_list ap;
    va_start(ap, fmt);
    /* Formatted aside: an argument may be err->text itself. */
    char text[WD_ERR_TEXT_MAX];
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);

    size_t n = strlen(text);
    n -= wd_utf8_partial(wd_span_of(text, n)); /* never cut inside a character */
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)text[i];
        err->text[i] = c < 0x20 || c == 0x7F ? '?' : (char)c;
    }
    err->text[n] = 0;
    err->code = code;
    err->file = file;
    err->line = line;
    return code;
}

const char *wd_status_name(wd_status st)
{
    return (size_t)st < WD_COUNT(status_table) ? status_table[st].name : "unknown";
}

int wd_status_exit(wd_status st)
{
    return (size_t)st < WD_COUNT(status_table) ? status_table[st].exit_code : 1;
}

void wd_bug(const char *what, const char *file, int line)
{
    fprintf(stderr, "ward: broken isolation (%s) at %s:%d; stopping\n", what, file, line);
    abort();
}
