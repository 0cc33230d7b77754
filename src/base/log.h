/* The log: one line "level module message" on stderr. Our own ids and counts only, never PHI or prompt text.
 */
#ifndef WD_BASE_LOG_H
#define WD_BASE_LOG_H

#include "base/compiler.h"

typedef enum wd_log_level { WD_LOG_ERROR, WD_LOG_WARN, WD_LOG_INFO, WD_LOG_DEBUG } wd_log_level;

/* Set once at start; default WD_LOG_WARN. */
void wd_log_set_level(wd_log_level max);
void wd_log(wd_log_level level, const char *module, const char *fmt, ...) WD_PRINTF(3, 4);

#endif
