/* Time. */
#include "base/clock.h"

#include <time.h>

uint64_t wd_clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

double wd_clock_s(void)
{
    return (double)wd_clock_ns() * 1e-9;
}

void wd_clock_iso8601(char out[21])
{
    const time_t now = time(NULL);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(out, 21, "%Y-%m-%dT%H:%M:%SZ", &tm);
}
