/* The quantised formats: where each part of a matrix lies, packing, quantising, reading back.
 *
 * Quantising sums over 32 lanes and adds the lanes in order, so that a compiler may use vectors of any width and the
 * result is the same. */
#include "tensor/quant.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/compiler.h"

enum { STRIPE = WD_QUANT_STRIPE, LANES = 32, GROUP_MAX = WD_QUANT_GROUP_MAX };

#define F16_MAX 65504.0f

bool wd_quant_is(wd_dtype t)
{
    return t == WD_DTYPE_W8 || t == WD_DTYPE_W4;
}

bool wd_quant_group_is_good(size_t group)
{
    return group == 32 || group == 64 || group == 128;
}

static size_t stripes(size_t n_out)
{
    return (n_out + STRIPE - 1) / STRIPE;
}

wd_quant_sizes wd_quant_size(wd_dtype t, size_t n_out, size_t n_in, uint32_t group)
{
    assert(wd_quant_is(t) && wd_quant_group_is_good(group) && n_in % group == 0);
    const size_t outs = stripes(n_out) * STRIPE, groups = n_in / group;
    return (wd_quant_sizes){ .data = outs * n_in / (t == WD_DTYPE_W4 ? 2 : 1),
                             .scale = outs * groups * sizeof(wd_f16),
                             .zero = t == WD_DTYPE_W4 ? outs * groups : 0 };
}

static size_t round_64(size_t n)
{
    return (n + 63) / 64 * 64;
}

size_t wd_quant_bytes(wd_dtype t, size_t n_out, size_t n_in, uint32_t group)
{
    const wd_quant_sizes s = wd_quant_size(t, n_out, n_in, group);
    return round_64(s.data) + round_64(s.scale) + round_64(s.zero);
}

wd_quant wd_quant_over(wd_dtype t, size_t n_out, size_t n_in, uint32_t group, void *block)
{
    const wd_quant_sizes s = wd_quant_size(t, n_out, n_in, group);
    uint8_t *scale = (uint8_t *)block + round_64(s.data);
    return (wd_quant){ .dtype = t,
                       .n_out = n_out,
                       .n_in = n_in,
                       .group = group,
                       .data = block,
                       .scale = (wd_f16 *)(void *)scale,
                       .zero = s.zero ? scale + round_64(s.scale) : NULL };
}

wd_tensor wd_quant_tensor(const wd_quant *q)
{
    return (wd_tensor){ .data = q->data,
                        .dtype = q->dtype,
                        .n_dim = 2,
                        .dim = { q->n_out, q->n_in },
                        .scale = q->scale,
                        .scale_dtype = WD_DTYPE_F16,
                        .zero = q->zero,
                        .group = q->group };
}

/* Where the scale (and the zero) of a group lies, in elements. */
static size_t scale_at(size_t n_group, size_t out, size_t g)
{
    return (out / STRIPE * n_group + g) * STRIPE + out % STRIPE;
}

/* Where four inputs k .. k + 3 of an output begin; of W4, where inputs k .. k + 7 begin. */
static size_t data_at(wd_dtype t, size_t n_in, size_t out, size_t k)
{
    const size_t per = t == WD_DTYPE_W4 ? 8 : 4;
    return ((out / STRIPE * (n_in / per) + k / per) * STRIPE + out % STRIPE) * 4;
}

/* ---- packing ---- */

void wd_quant_put_w8(const wd_quant *t, size_t out, size_t g, wd_f16 scale, const int8_t *q)
{
    assert(t->dtype == WD_DTYPE_W8 && out < t->n_out && g < t->n_in / t->group);
    t->scale[scale_at(t->n_in / t->group, out, g)] = scale;
    uint8_t *to = t->data + data_at(WD_DTYPE_W8, t->n_in, out, g * t->group);
    for (size_t k = 0; k < t->group; k += 4, to += 4 * STRIPE) {
        for (size_t j = 0; j < 4; j++)
            to[j] = (uint8_t)(q[k + j] + 128);
    }
}

void wd_quant_put_w4(const wd_quant *t, size_t out, size_t g, wd_f16 scale, uint8_t zero, const uint8_t *q)
{
    assert(t->dtype == WD_DTYPE_W4 && out < t->n_out && g < t->n_in / t->group);
    const size_t at = scale_at(t->n_in / t->group, out, g);
    t->scale[at] = scale;
    t->zero[at] = zero;
    uint8_t *to = t->data + data_at(WD_DTYPE_W4, t->n_in, out, g * t->group);
    for (size_t k = 0; k < t->group; k += 8, to += 4 * STRIPE) {
        for (size_t j = 0; j < 4; j++)
            to[j] = (uint8_t)((q[k + j] & 15) | q[k + 4 + j] << 4);
    }
}

/* ---- quantising ---- */

static wd_status too_large(wd_err *err)
{
    return WD_FAIL(err, WD_E_UNSUPPORTED,
                   "a weight is not finite, or too large to be quantised with a scale in f16");
}

static float largest(const float *x, size_t n)
{
    float max = 0;
    for (size_t i = 0; i < n; i++) {
        const float v = fabsf(x[i]);
        max = v <= max ? max : v; /* a NaN stays */
        if (isnan(max))
            break;
    }
    return max;
}

/* To the nearest whole number, ties to even, for |v| < 2^22: an addition that leaves no bits below one. */
static inline float nearest(float v)
{
    return (v + 12582912.0f) - 12582912.0f;
}

static wd_status row_w8(const wd_quant *t, size_t out, const float *x, wd_err *err)
{
    for (size_t g = 0; g < t->n_in / t->group; g++, x += t->group) {
        int8_t q[GROUP_MAX];
        const float max = largest(x, t->group), step = max / 127;
        if (!(step <= F16_MAX))
            return too_large(err);
        wd_f16 scale = wd_f32_to_f16(step);
        if (max > 0 && wd_f16_to_f32(scale) * 127.5f < max)
            scale++; /* rounded down so far (among f16's denormals) that the largest would be cut */
        const float inv = scale ? 1 / wd_f16_to_f32(scale) : 0;
        for (size_t i = 0; i < t->group; i++)
            q[i] = (int8_t)nearest(WD_MIN(WD_MAX(x[i] * inv, -127.0f), 127.0f));
        wd_quant_put_w8(t, out, g, scale, q);
    }
    return WD_OK;
}

/* How a group may be stored, and its squared error. */
typedef struct fit {
    float error;
    wd_f16 scale;
    uint8_t zero;
    float q[GROUP_MAX];
} fit;

static float sum_lanes(const float *lane)
{
    float sum = 0;
    for (size_t i = 0; i < LANES; i++)
        sum += lane[i];
    return sum;
}

/* The best q for a scale and a zero, in steps from 0. */
static WD_ALWAYS_INLINE void assign(const float *x, size_t n, float scale, float zero, float *q)
{
    const float inv = 1 / scale;
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            float v = x[i + k] * inv + zero;
            v = v > 0 ? v : 0;
            v = v < 15 ? v : 15;
            q[i + k] = nearest(v);
        }
    }
}

static WD_ALWAYS_INLINE float error_of(const float *x, size_t n, float scale, float zero, const float *q)
{
    float lane[LANES] = { 0 };
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            const float e = x[i + k] - scale * (q[i + k] - zero);
            lane[k] += e * e;
        }
    }
    return sum_lanes(lane);
}

/* Rounds scale and zero (in steps) to what can be stored, and keeps the result where it is the best so far. */
static WD_ALWAYS_INLINE void try_fit(const float *x, size_t n, float scale, float zero, fit *best)
{
    fit f;
    f.scale = wd_f32_to_f16(scale);
    if ((f.scale & 0x7FFF) == 0 || (f.scale & 0x7C00) == 0x7C00)
        return;
    const float stored = wd_f16_to_f32(f.scale);
    float sixteenths = zero * (scale / stored) * 16;
    sixteenths = sixteenths > 0 ? sixteenths : 0;
    f.zero = (uint8_t)nearest(sixteenths < 255 ? sixteenths : 255);
    assign(x, n, stored, (float)f.zero / 16, f.q);
    f.error = error_of(x, n, stored, (float)f.zero / 16, f.q);
    if (f.error < best->error)
        *best = f;
}

/* The line through (q, x) with the least squares: *scale and *zero. False: there is none to tell. */
static WD_ALWAYS_INLINE bool refine(const float *x, size_t n, const float *q, float *scale, float *zero)
{
    float l1[LANES] = { 0 }, l2[LANES] = { 0 }, l3[LANES] = { 0 }, l4[LANES] = { 0 };
    for (size_t i = 0; i < n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            l1[k] += q[i + k];
            l2[k] += q[i + k] * q[i + k];
            l3[k] += x[i + k];
            l4[k] += x[i + k] * q[i + k];
        }
    }
    const double sq = sum_lanes(l1), sqq = sum_lanes(l2), sx = sum_lanes(l3), sxq = sum_lanes(l4);
    const double d = (double)n * sqq - sq * sq;
    if (!(d > 0))
        return false;
    const double slope = ((double)n * sxq - sq * sx) / d;
    if (!(slope > 0))
        return false;
    *scale = (float)slope;
    *zero = (float)((slope * sq - sx) / (double)n / slope);
    return true;
}

/* Scale and zero for the group. Ranges narrowed from both ends give up a few outliers for finer steps elsewhere. */
WD_CLONES static void search(const float *x, size_t n, fit *best)
{
    static const float narrow[] = { 1, 0.95f, 0.9f, 0.85f, 0.8f, 0.75f, 0.7f, 0.62f };
    float low = 0, high = 0;
    for (size_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    memset(best, 0, sizeof *best); /* a group of zeros, or of values too small for any scale */
    best->error = error_of(x, n, 0, 0, best->q);
    if (high - low == 0)
        return;
    if ((high - low) / 15 < 0x1p-24f) {
        try_fit(x, n, 0x1p-24f, -low * 0x1p24f, best);
        return;
    }
    for (size_t i = 0; i < WD_COUNT(narrow); i++) {
        float scale = (high - low) / 15 * narrow[i], zero = 7.5f - (low + high) / 2 / scale;
        float q[GROUP_MAX];
        for (int round = 0; round < 3; round++) {
            try_fit(x, n, scale, zero, best);
            assign(x, n, scale, zero, q);
            if (!refine(x, n, q, &scale, &zero))
                break;
        }
    }
}

static wd_status group_w4(const wd_quant *t, size_t out, size_t g, const float *x, wd_err *err)
{
    fit best;
    uint8_t q[GROUP_MAX];
    if (!(largest(x, t->group) / 15 * 2 <= F16_MAX))
        return too_large(err);
    search(x, t->group, &best);
    for (size_t i = 0; i < t->group; i++)
        q[i] = (uint8_t)best.q[i];
    wd_quant_put_w4(t, out, g, best.scale, best.zero, q);
    return WD_OK;
}

wd_status wd_quant_row(const wd_quant *t, size_t out, const float *x, wd_err *err)
{
    if (t->dtype == WD_DTYPE_W8)
        return row_w8(t, out, x, err);
    for (size_t g = 0; g < t->n_in / t->group; g++)
        WD_TRY(group_w4(t, out, g, x + g * t->group, err));
    return WD_OK;
}

wd_status wd_quant_put_w4_min(const wd_quant *t, size_t out, size_t g, float step, float min,
                              const uint8_t *q, wd_err *err)
{
    const wd_f16 scale = wd_f32_to_f16(step);
    const float stored = wd_f16_to_f32(scale);
    if (!(fabsf(step) <= F16_MAX) || !(fabsf(min) <= F16_MAX))
        return too_large(err);
    const float zero = stored > 0 || stored < 0 ? -16 * min / stored : 0;
    if ((stored == 0 && step == 0 && min == 0) || (stored != 0 && zero > -0.5f && zero < 255.5f)) {
        wd_quant_put_w4(t, out, g, scale, (uint8_t)nearest(WD_MIN(WD_MAX(zero, 0.0f), 255.0f)), q);
        return WD_OK;
    }
    float x[GROUP_MAX];
    for (size_t i = 0; i < t->group; i++)
        x[i] = step * (float)(q[i] & 15) + min;
    return group_w4(t, out, g, x, err);
}

/* ---- reading ---- */

static float scale_of(const wd_tensor *t, size_t at)
{
    wd_f16 h;
    memcpy(&h, (const uint8_t *)t->scale + at * sizeof h, sizeof h);
    return wd_f16_to_f32(h);
}

void wd_quant_get(const wd_tensor *t, size_t out, size_t first, size_t n, float *y)
{
    const size_t n_in = t->dim[1], n_group = n_in / t->group;
    assert(t->n_dim == 2 && out < t->dim[0] && first % 8 == 0 && n % 8 == 0 && first + n <= n_in);
    for (size_t k = first; k < first + n; k += 8, y += 8) {
        const size_t at = scale_at(n_group, out, k / t->group);
        const float scale = scale_of(t, at);
        const uint8_t *p = (const uint8_t *)t->data + data_at(t->dtype, n_in, out, k);
        if (t->dtype == WD_DTYPE_W8) {
            for (size_t j = 0; j < 8; j++)
                y[j] = scale * (float)((int)p[j / 4 * 4 * STRIPE + j % 4] - 128);
            continue;
        }
        const float offset = scale * ((float)((const uint8_t *)t->zero)[at] / 16);
        for (size_t j = 0; j < 8; j++)
            y[j] = scale * (float)(j < 4 ? p[j] & 15 : p[j - 4] >> 4) - offset;
    }
}
