/* Time. Monotonic for durations, wall clock only for what people read. */
#ifndef WD_BASE_CLOCK_H
#define WD_BASE_CLOCK_H

#include <stdint.h>

uint64_t wd_clock_ns(void); /* monotonic */
double wd_clock_s(void);    /* monotonic, seconds */
/* UTC as 2026-01-31T23:59:59Z, 20 bytes and NUL. */
void wd_clock_iso8601(char out[21]);

#endif
