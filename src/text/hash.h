/* A quick keyed hash of a few bytes, for tables in memory only. */
#ifndef WD_TEXT_HASH_H
#define WD_TEXT_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline uint64_t wd_text__mix(uint64_t h)
{
    h *= 0x9E3779B97F4A7C15u;
    return h ^ h >> 32;
}

static inline uint64_t wd_text__load(const uint8_t *p, size_t n) /* n <= 8 bytes, without reading past them */
{
    uint64_t v = 0;
    uint32_t a, b;

    if (n == 8) {
        memcpy(&v, p, 8);
        return v;
    }
    if (n >= 4) {
        memcpy(&a, p, 4);
        memcpy(&b, p + n - 4, 4);
        return (uint64_t)b << 32 | a;
    }
    if (n)
        v = (uint64_t)p[0] | (uint64_t)p[n / 2] << 8 | (uint64_t)p[n - 1] << 16;
    return v;
}

static inline uint64_t wd_text__hash(const uint8_t *p, size_t n, uint64_t seed)
{
    uint64_t h = wd_text__mix(seed ^ n);

    while (n > 8) {
        h = wd_text__mix(h ^ wd_text__load(p, 8));
        p += 8;
        n -= 8;
    }
    return wd_text__mix(wd_text__mix(h ^ wd_text__load(p, n)) + seed);
}

#endif
