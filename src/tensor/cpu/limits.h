/* What this machine can do at most: the rates of which every measured speed is a share.
 *
 * Reading: a buffer far larger than the last cache, from end to end, by one thread or in equal shares by all, from
 * pages of the usual size and from huge ones, without and with a software prefetch. Multiplying: multiply-adds on
 * registers or tiles alone, as many independent ones as keep the units busy. Each rate is the best of several short
 * runs: a limit is what the machine can do, and whatever else runs on it only takes away.
 */
#ifndef WD_TENSOR_CPU_LIMITS_H
#define WD_TENSOR_CPU_LIMITS_H

#include "tensor/ops.h"

typedef struct wd_rate {
    double one, all; /* per second: on one thread, on the whole team; 0: not there */
} wd_rate;

typedef enum wd_peak {
    WD_PEAK_AVX2_F32, /* operations per second, a multiply-add counting two */
    WD_PEAK_AVX512_F32,
    WD_PEAK_AVX512_BF16, /* VDPBF16PS */
    WD_PEAK_AVX512_INT8, /* VPDPBUSD (VNNI) */
    WD_PEAK_AMX_BF16,
    WD_PEAK_AMX_INT8,
    WD_PEAK_COUNT
} wd_peak;

#define WD_CACHE_LEVELS 3

typedef struct wd_limits {
    char cpu[49]; /* as the processor names itself; empty: it does not */
    unsigned n_thread;
    uint32_t isa;
    size_t cache[WD_CACHE_LEVELS]; /* bytes of one cache of each level, the first for data; 0: not known */
    size_t buffer_bytes;           /* read from memory */
    size_t huge_bytes;             /* of the buffer for huge pages, so many did get them */
    wd_rate read[2][2];            /* bytes: [usual, huge pages][plain, prefetched] */
    wd_rate peak[WD_PEAK_COUNT];
} wd_limits;

typedef struct wd_limits_opts {
    wd_pool *pool;       /* borrowed; NULL: the calling thread alone */
    uint32_t isa;        /* from wd_isa_parse: peaks beyond it are left out, and reading uses no more */
    double seconds;      /* spent on each rate                                       default 0.25 */
    size_t buffer_bytes; /* 0: eight times the last cache, 512 MiB at least     default 0 */
} wd_limits_opts;
#define WD_LIMITS_OPTS_DEFAULT ((wd_limits_opts){ .seconds = 0.25 })

/* Takes about 24 * seconds. WD_E_NOMEM when the buffer cannot be had. */
WD_MUST_CHECK wd_status wd_limits_measure(const wd_limits_opts *o, wd_limits *out, wd_err *err);

/* The best way of reading, in bytes per second. */
wd_rate wd_limits_read(const wd_limits *l);
/* The highest of some peaks, as bits 1 << WD_PEAK_x; *which (may be NULL) is it, WD_PEAK_COUNT where none is there. */
wd_rate wd_limits_peak(const wd_limits *l, uint32_t peaks, wd_peak *which);

const char *wd_peak_name(wd_peak p); /* "AVX-512 int8 (VNNI)" */
const char *wd_peak_key(wd_peak p);  /* "avx512_int8": stable, for programs */

#endif
