/* The log. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

static wd_log_level log_max = WD_LOG_WARN; /* written once at start */

void wd_log_set_level(wd_log_level max)
{
    log_max = max;
}

void wd_log(wd_log_level level, const char *module, const char *fmt, ...)
{
    static const char *const names[] = { "error", "warn", "info", "debug" };
    if (level > log_max)
        return;
    char line[1024];
    const int head = snprintf(line, sizeof line, "ward: %s %s: ", names[level], module);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line + head, sizeof line - (size_t)head - 1, fmt, ap);
    va_end(ap);
    fprintf(stderr, "%s\n", line); /* one call: lines of threads do not mix */
}
