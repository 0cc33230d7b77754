/* The arithmetic of ward bench: medians, sizes, and the time that the machine's limits leave. */
#include <stdlib.h>
#include <string.h>

#include "cli/bench.h"

#define F32_PEAKS (1u << WD_PEAK_AVX2_F32 | 1u << WD_PEAK_AVX512_F32)
#define BF16_PEAKS (F32_PEAKS | 1u << WD_PEAK_AVX512_BF16 | 1u << WD_PEAK_AMX_BF16)
#define INT8_PEAKS (BF16_PEAKS | 1u << WD_PEAK_AVX512_INT8 | 1u << WD_PEAK_AMX_INT8)

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double wd_bench_median(const double *v, unsigned n)
{
    double s[WD_BENCH_RUNS];
    memcpy(s, v, n * sizeof *s);
    qsort(s, n, sizeof *s, by_value);
    return n % 2 ? s[n / 2] : (s[n / 2 - 1] + s[n / 2]) / 2;
}

wd_status wd_bench_sizes(const char *option, const char *text, uint64_t min, uint64_t max,
                         uint64_t size[WD_BENCH_SIZES], size_t *n, wd_err *err)
{
    *n = 0;
    for (const char *p = text;; p++) {
        char *end;
        const bool digit = *p >= '0' && *p <= '9';
        const unsigned long long v = digit ? strtoull(p, &end, 10) : 0; /* too large: ULLONG_MAX */
        if (!digit || v < min || v > max || (*end && *end != ',') || *n == WD_BENCH_SIZES)
            return WD_FAIL(err, WD_E_USAGE,
                           "--%s: \"%.100s\", expected up to %d numbers of %llu to %llu with commas between",
                           option, text, WD_BENCH_SIZES, (unsigned long long)min, (unsigned long long)max);
        size[(*n)++] = v;
        p = end;
        if (!*p)
            return WD_OK;
    }
}

uint32_t wd_bench_peaks(wd_dtype t, bool exact)
{
    if (exact)
        return F32_PEAKS;
    switch (t) {
    case WD_DTYPE_F32:
    case WD_DTYPE_F16: /* half precision's own units are not used here */
        return F32_PEAKS;
    case WD_DTYPE_BF16:
    case WD_DTYPE_F8_E4M3:
        return BF16_PEAKS;
    default:
        return INT8_PEAKS;
    }
}

static double over(double amount, double rate)
{
    return rate > 0 ? amount / rate : 0;
}

wd_bench_bound wd_bench_bound_of(const wd_limits *l, const wd_cost *c, wd_dtype t, bool exact)
{
    wd_bench_bound b = { .by = "read" };
    wd_peak which;
    const double read = wd_limits_read(l).all,
                 linear = wd_limits_peak(l, wd_bench_peaks(t, exact), &which).all;
    const double attn = wd_limits_peak(l, exact ? F32_PEAKS : BF16_PEAKS, NULL).all;
    const double weights_s = over(c->weight_bytes, read), kv_s = over(c->kv_bytes, read);
    const double linear_s = over(c->linear_ops, linear), attn_s = over(c->attn_ops, attn);
    b.linear_s = WD_MAX(weights_s, linear_s);
    b.attn_s = WD_MAX(kv_s, attn_s);
    b.read_s = weights_s + kv_s;
    b.multiply_s = linear_s + attn_s;
    b.seconds = b.read_s;
    if (b.multiply_s > b.read_s) {
        b.seconds = b.multiply_s;
        b.by = wd_peak_key(which);
    }
    return b;
}
