/* Separable bicubic resampling in 22-bit fixed point.
 *
 * One kernel does both passes: a weighted sum of byte rows that lie `stride` apart. In the vertical pass these are
 * rows of the picture. For the horizontal pass a band of BAND rows is turned on its side first, so that the pixels of
 * one column are adjacent and a column takes the place of a row; the sums are then long runs of independent bytes,
 * which every vector unit likes, whatever the number of taps.
 */
#include "vision/resize.h"

#include <math.h>

#define PRECISION 22
#define HALF (1 << (PRECISION - 1))
#define SUPPORT 2.0
#define BAND 16           /* rows turned at a time */
#define COLUMN (BAND * 3) /* bytes of a turned column */
#define LANES COLUMN      /* sums kept at a time */

/* For each output index a run of input indices and its weights. */
typedef struct taps {
    uint32_t *first; /* [n] */
    uint32_t *count; /* [n] */
    int32_t *weight; /* [n][most] */
    uint32_t most;
} taps;

static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
    if (x < 2.0)
        return (((x - 5) * x + 8) * x - 4) * a;
    return 0.0;
}

static void taps_free(taps *t)
{
    wd_free(t->first);
    wd_free(t->count);
    wd_free(t->weight);
    *t = (taps){ 0 };
}

static wd_status taps_init(taps *t, uint32_t n_in, uint32_t n_out, wd_err *err)
{
    const double scale = (double)n_in / n_out;
    const double spread = scale < 1.0 ? 1.0 : scale;
    const double support = SUPPORT * spread, inverse = 1.0 / spread;

    *t = (taps){ .most = (uint32_t)ceil(support) * 2 + 1 };
    t->first = WD_ALLOC_N(uint32_t, n_out);
    t->count = WD_ALLOC_N(uint32_t, n_out);
    t->weight = wd_calloc(n_out, t->most * sizeof *t->weight);
    double *w = WD_ALLOC_N(double, t->most);
    if (!t->first || !t->count || !t->weight || !w) {
        wd_free(w);
        taps_free(t);
        return WD_FAIL(err, WD_E_NOMEM, "resize: no memory for the weights of %u pixels", n_out);
    }
    for (uint32_t o = 0; o < n_out; o++) {
        const double center = (o + 0.5) * scale;
        const int lo = WD_MAX((int)(center - support + 0.5), 0);
        const int hi = WD_MIN((int)(center + support + 0.5), (int)n_in);
        double sum = 0.0;
        for (int i = lo; i < hi; i++) {
            w[i - lo] = cubic((i - center + 0.5) * inverse);
            sum += w[i - lo];
        }
        for (int i = lo; i < hi; i++) {
            const double v = (sum != 0.0 ? w[i - lo] / sum : w[i - lo]) * (1 << PRECISION);
            t->weight[(size_t)o * t->most + (size_t)(i - lo)] = (int32_t)(v < 0 ? v - 0.5 : v + 0.5);
        }
        t->first[o] = (uint32_t)lo;
        t->count[o] = (uint32_t)(hi - lo);
    }
    wd_free(w);
    return WD_OK;
}

static inline uint8_t to_byte(int32_t sum)
{
    const int32_t v = sum >> PRECISION;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* dst[j] = round(sum over k of src[k * stride + j] * w[k]), clamped, for j < n. The weights sum to 2^22 and their
 * absolute values to less than 2^23, so that 32 bits hold every sum. */
WD_CLONES static void weigh(uint8_t *restrict dst, const uint8_t *restrict src, size_t stride, size_t n,
                            const int32_t *restrict w, uint32_t n_w)
{
    size_t j = 0;
    for (; j + LANES <= n; j += LANES) {
        int32_t acc[LANES];
        for (int i = 0; i < LANES; i++)
            acc[i] = HALF;
        for (uint32_t k = 0; k < n_w; k++) {
            const uint8_t *p = src + k * stride + j;
            for (int i = 0; i < LANES; i++)
                acc[i] += p[i] * w[k];
        }
        for (int i = 0; i < LANES; i++)
            dst[j + (size_t)i] = to_byte(acc[i]);
    }
    for (; j < n; j++) {
        int32_t acc = HALF;
        for (uint32_t k = 0; k < n_w; k++)
            acc += src[k * stride + j] * w[k];
        dst[j] = to_byte(acc);
    }
}

/* rows [n][width][3] to columns [width][BAND][3], and back. */
static void turn(uint8_t *restrict columns, const uint8_t *restrict rows, size_t width, size_t n)
{
    for (size_t r = 0; r < n; r++) {
        const uint8_t *p = rows + r * width * 3;
        uint8_t *q = columns + r * 3;
        for (size_t x = 0; x < width; x++, p += 3, q += COLUMN)
            q[0] = p[0], q[1] = p[1], q[2] = p[2];
    }
}

static void turn_back(uint8_t *restrict rows, const uint8_t *restrict columns, size_t width, size_t n)
{
    for (size_t r = 0; r < n; r++) {
        uint8_t *p = rows + r * width * 3;
        const uint8_t *q = columns + r * 3;
        for (size_t x = 0; x < width; x++, p += 3, q += COLUMN)
            p[0] = q[0], p[1] = q[1], p[2] = q[2];
    }
}

static wd_status pass_across(const uint8_t *src, uint32_t src_w, uint32_t h, uint8_t *dst, uint32_t dst_w,
                             wd_err *err)
{
    taps t;
    WD_TRY(taps_init(&t, src_w, dst_w, err));
    uint8_t *in = wd_alloc_aligned(src_w, COLUMN), *out = wd_alloc_aligned(dst_w, COLUMN);
    wd_status st = WD_OK;
    if (!in || !out) {
        st = WD_FAIL(err, WD_E_NOMEM, "resize: no memory for a band of %u columns", src_w);
        goto done;
    }
    for (uint32_t y = 0; y < h; y += BAND) {
        const size_t n = WD_MIN(BAND, h - y);
        turn(in, src + (size_t)y * src_w * 3, src_w, n);
        for (uint32_t x = 0; x < dst_w; x++)
            weigh(out + (size_t)x * COLUMN, in + (size_t)t.first[x] * COLUMN, COLUMN, n * 3,
                  t.weight + (size_t)x * t.most, t.count[x]);
        turn_back(dst + (size_t)y * dst_w * 3, out, dst_w, n);
    }
done:
    wd_free(in);
    wd_free(out);
    taps_free(&t);
    return st;
}

static wd_status pass_down(const uint8_t *src, uint32_t w, uint32_t src_h, uint8_t *dst, uint32_t dst_h,
                           wd_err *err)
{
    const size_t stride = (size_t)w * 3;
    taps t;
    WD_TRY(taps_init(&t, src_h, dst_h, err));
    for (uint32_t y = 0; y < dst_h; y++)
        weigh(dst + y * stride, src + t.first[y] * stride, stride, stride, t.weight + (size_t)y * t.most,
              t.count[y]);
    taps_free(&t);
    return WD_OK;
}

static bool side_ok(uint32_t n)
{
    return n >= 1 && n <= WD_IMAGE_SIDE_MAX;
}

wd_status wd_resize_rgb(const uint8_t *src, uint32_t src_w, uint32_t src_h, uint8_t *dst, uint32_t dst_w,
                        uint32_t dst_h, wd_err *err)
{
    if (!side_ok(src_w) || !side_ok(src_h) || !side_ok(dst_w) || !side_ok(dst_h))
        return WD_FAIL(err, WD_E_INVALID, "resize %u x %u to %u x %u: sides must be 1 to %u", src_w, src_h,
                       dst_w, dst_h, WD_IMAGE_SIDE_MAX);
    if (src_w == dst_w && src_h == dst_h) {
        memcpy(dst, src, (size_t)src_w * src_h * 3);
        return WD_OK;
    }
    if (src_w == dst_w)
        return pass_down(src, src_w, src_h, dst, dst_h, err);
    if (src_h == dst_h)
        return pass_across(src, src_w, src_h, dst, dst_w, err);

    uint8_t *mid = wd_alloc_aligned((size_t)dst_w * 3, src_h);
    if (!mid)
        return WD_FAIL(err, WD_E_NOMEM, "resize: no memory for %u x %u pixels", dst_w, src_h);
    wd_status st = pass_across(src, src_w, src_h, mid, dst_w, err);
    if (!st)
        st = pass_down(mid, dst_w, src_h, dst, dst_h, err);
    wd_free(mid);
    return st;
}

wd_status wd_resize_image(const wd_image *in, uint32_t width, uint32_t height, wd_image *out, wd_err *err)
{
    wd_image im = { 0 };
    WD_TRY(wd_image_init(&im, width, height, err));
    wd_status st = wd_resize_rgb(in->rgb, in->width, in->height, im.rgb, width, height, err);
    if (st) {
        wd_image_free(&im);
        return st;
    }
    *out = im;
    return WD_OK;
}
