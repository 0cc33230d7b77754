/* Checks and benchmarks of the products with quantised weights: every level's bits are the reference's. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"
#include "tensor/quant.h"

typedef struct quant_case {
    size_t n, n_out, n_in, group;
} quant_case;

/* Tails of rows and outputs, every group, one of everything. */
static const quant_case cases[] = {
    { 1, 1, 32, 32 },    { 1, 16, 64, 64 },   { 1, 64, 1024, 128 }, { 2, 17, 96, 32 },
    { 3, 33, 128, 128 }, { 4, 48, 160, 32 },  { 5, 31, 192, 64 },   { 6, 32, 64, 32 },
    { 7, 64, 256, 128 }, { 8, 40, 64, 64 },   { 9, 16, 96, 32 },    { 16, 64, 128, 128 },
    { 17, 20, 64, 32 },  { 31, 47, 192, 64 }, { 33, 64, 128, 64 },  { 48, 64, 512, 128 },
    { 48, 63, 96, 32 },
};

static wd_mmq_fn slot_of(const wd_kern *k, bool four_bits)
{
    return four_bits ? k->dot_w4 : k->dot_w8;
}

/* Sound scales of mixed size and both signs, some denormal, some 0. */
static void fill_scales(wd_check *c, uint8_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const int e = (int)wd_rand_below(&c->rand, 12) - 16;
        const wd_f16 h = wd_f32_to_f16(wd_rand_below(&c->rand, 20) ? (float)ldexp(wd_rand_normal(&c->rand), e)
                                                                   : 0);
        memcpy(to + i * sizeof h, &h, sizeof h);
    }
}

/* Bytes of every value; whole rows of the two ends, where sums of products are the largest. */
static void fill_bytes(wd_check *c, uint8_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t v = wd_rand_below(&c->rand, 512);
        to[i] = i / 2048 % 4 == 1 ? 0xFF : i / 2048 % 4 == 2 ? 0 : (uint8_t)v;
    }
}

/* Ordinary rows; the second is at both ends of its range throughout. */
static void fill_rows(wd_check *c, float *x, size_t n, size_t n_in)
{
    for (size_t i = 0; i < n; i++) {
        if (i == 1) {
            for (size_t k = 0; k < n_in; k++)
                x[n_in + k] = k / 4 % 3 ? -5.5f : 5.5f;
            continue;
        }
        wd_check_fill(c, x + i * n_in, n_in);
    }
}

typedef struct quantised {
    int8_t *q;
    wd_qgroup *xg;
} quantised;

static quantised quantise(wd_check *c, const wd_kern *k, const float *x, const quant_case *s)
{
    const quantised to = { wd_check_bytes(c, s->n * s->n_in),
                           wd_check_bytes(c, s->n * (s->n_in / s->group) * sizeof(wd_qgroup)) };
    for (size_t i = 0; i < s->n; i++)
        k->quantise(to.q + i * s->n_in, to.xg + i * (s->n_in / s->group), x + i * s->n_in, s->n_in, s->group);
    return to;
}

static wd_mmq product(wd_check *c, bool four_bits, const quant_case *s, const quantised *x)
{
    const wd_quant_sizes bytes = wd_quant_size(four_bits ? WD_DTYPE_W4 : WD_DTYPE_W8, s->n_out, s->n_in,
                                               (uint32_t)s->group);
    uint8_t *w = wd_check_bytes(c, bytes.data), *scale = wd_check_bytes(c, bytes.scale);
    uint8_t *zero = wd_check_bytes(c, bytes.zero);
    fill_bytes(c, w, bytes.data);
    fill_scales(c, scale, bytes.scale / sizeof(wd_f16));
    fill_bytes(c, zero, bytes.zero);
    return (wd_mmq){ .x = x->q,
                     .xg = x->xg,
                     .w = w,
                     .scale = scale,
                     .zero = zero,
                     .n = s->n,
                     .n_out = s->n_out,
                     .n_in = s->n_in,
                     .group = s->group };
}

/* Row by row, and outputs in two parts, must give the bits of the whole. */
static void check_parts(wd_check *c, bool four_bits, const wd_mmq *m, const float *whole, float *part,
                        size_t n_y)
{
    const size_t n_group = m->n_in / m->group, cells = 16 * m->n_in;
    for (size_t i = 0; i < m->n; i++) {
        wd_mmq one = *m;
        one.n = 1;
        one.x += i * m->n_in;
        one.xg += i * n_group;
        one.y = part + i * m->y_stride;
        slot_of(c->dut, four_bits)(&one);
    }
    wd_check_same(c, "rows alone and in a crowd", whole, part, n_y * sizeof *part);
    if (m->n_out <= 16)
        return;
    memset(part, 0, n_y * sizeof *part);
    wd_mmq half = *m;
    half.y = part;
    half.n_out = 16;
    slot_of(c->dut, four_bits)(&half);
    half.n_out = m->n_out - 16;
    half.y = part + 16;
    half.w += four_bits ? cells / 2 : cells;
    half.scale = (const uint8_t *)half.scale + 16 * n_group * sizeof(wd_f16);
    half.zero += four_bits ? 16 * n_group : 0;
    slot_of(c->dut, four_bits)(&half);
    wd_check_same(c, "outputs in two parts", whole, part, n_y * sizeof *part);
}

static void check_product(wd_check *c, bool four_bits, const quant_case *s, bool is_reference)
{
    const size_t slot = four_bits ? WD_SLOT(dot_w4) : WD_SLOT(dot_w8);
    if (!wd_check_begin(c, slot, "dot_w%d_%zux%zux%zu_%zu", four_bits ? 4 : 8, s->n, s->n_out, s->n_in,
                        s->group))
        return;
    const size_t y_stride = s->n_out + s->n % 3, n_y = (s->n - 1) * y_stride + s->n_out;
    float *x = wd_check_buf(c, s->n * s->n_in);
    fill_rows(c, x, s->n, s->n_in);
    const quantised xq = quantise(c, c->ref, x, s);
    wd_mmq m = product(c, four_bits, s, &xq);
    float *want = wd_check_buf(c, n_y), *got = wd_check_buf(c, n_y), *part = wd_check_buf(c, n_y);
    m.y_stride = y_stride;
    m.y = want;
    slot_of(c->ref, four_bits)(&m);
    m.y = got;
    slot_of(c->dut, four_bits)(&m);
    if (is_reference) /* against formulas that round once */
        wd_check_nmse(c, want, got, n_y, 1e-12);
    else
        wd_check_same(c, "the reference's bits", want, got, n_y * sizeof *want);
    check_parts(c, four_bits, &m, got, part, n_y);
}

static void check_quantise(wd_check *c)
{
    static const size_t groups[] = { 32, 64, 128 };
    for (size_t g = 0; g < WD_COUNT(groups); g++) {
        const quant_case s = { .n = 9, .n_in = 3 * groups[g], .group = groups[g] };
        if (!wd_check_begin(c, WD_SLOT(quantise), "quantise_%zu", groups[g]))
            continue;
        float *x = wd_check_buf(c, s.n * s.n_in);
        fill_rows(c, x, s.n, s.n_in);
        for (size_t k = 0; k < s.n_in; k++) {
            x[2 * s.n_in + k] = (float)ldexp(wd_rand_normal(&c->rand), -130);       /* nothing to see */
            x[3 * s.n_in + k] = (float)((int)(k % 255) - 127) + (k % 2 ? 0.5f : 0); /* ties */
        }
        memset(x + 4 * s.n_in, 0, s.n_in * sizeof *x);
        x[5 * s.n_in + 1] = NAN;
        x[6 * s.n_in + groups[g] + 31] = INFINITY;
        x[7 * s.n_in + s.n_in - 1] = -INFINITY;
        x[8 * s.n_in] = 3e38f;
        const quantised want = quantise(c, c->ref, x, &s), got = quantise(c, c->dut, x, &s);
        wd_check_same(c, "values", want.q, got.q, s.n * s.n_in);
        for (size_t i = 0; i < s.n * 3; i++) {
            const bool nan = isnan(want.xg[i].scale) && isnan(got.xg[i].scale) && isnan(got.xg[i].sum) &&
                             got.xg[i].shift == 0;
            if (!nan && memcmp(&want.xg[i], &got.xg[i], sizeof *got.xg) != 0)
                wd_check_fail(c, "group %zu: scale %a, wanted %a", i, (double)got.xg[i].scale,
                              (double)want.xg[i].scale);
        }
        if (!isnan(got.xg[5 * 3].scale) || !isnan(got.xg[6 * 3 + 1].scale) ||
            !isnan(got.xg[7 * 3 + 2].scale) || isnan(got.xg[8 * 3].scale))
            wd_check_fail(c, "what is not finite must show, and nothing else");
    }
}

static void bench_product(wd_check *c, bool four_bits)
{
    static const quant_case sizes[] = { { 1, 64, 2048, 32 },  { 1, 64, 2048, 128 }, { 8, 64, 2048, 32 },
                                        { 48, 64, 2048, 32 }, { 48, 64, 2048, 64 }, { 48, 64, 2048, 128 } };
    const size_t slot = four_bits ? WD_SLOT(dot_w4) : WD_SLOT(dot_w8);
    for (size_t i = 0; c->bench && i < WD_COUNT(sizes); i++) {
        const quant_case *s = &sizes[i];
        if (!wd_check_begin(c, slot, "bench_dot_w%d_%zux%zux%zu_%zu", four_bits ? 4 : 8, s->n, s->n_out,
                            s->n_in, s->group))
            continue;
        float *x = wd_check_buf(c, s->n * s->n_in);
        fill_rows(c, x, s->n, s->n_in);
        const quantised xq = quantise(c, c->dut, x, s);
        wd_mmq m = product(c, four_bits, s, &xq);
        m.y = wd_check_buf(c, s->n * s->n_out);
        m.y_stride = s->n_out;
        wd_check_bench(c, s->n_out * s->n_in / (four_bits ? 2 : 1),
                       2.0 * (double)s->n * (double)s->n_out * (double)s->n_in,
                       slot_of(c->dut, four_bits)(&m));
    }
}

void check_quant(wd_check *c)
{
    const bool is_reference = !c->below;
    check_quantise(c);
    for (int four_bits = 0; four_bits < 2; four_bits++) {
        for (size_t i = 0; i < WD_COUNT(cases); i++)
            check_product(c, four_bits, &cases[i], is_reference);
        bench_product(c, four_bits);
    }
    wd_check_end(c);
}
