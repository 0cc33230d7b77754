/* Checks and benchmarks of the matrix products. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "check.h"

enum { F32, F16, BF16 };

typedef struct product {
    const char *name;
    size_t slot;
    int x_type, w_type;
    bool dot;
    double limit; /* NMSE */
} product;

static const product products[] = {
    { "dot_f32", WD_SLOT(dot_f32), F32, F32, true, 1e-11 },
    { "dot_f16", WD_SLOT(dot_f16), F32, F16, true, 1e-11 },
    { "dot_bf16", WD_SLOT(dot_bf16), F32, BF16, true, 1e-11 },
    { "dot_bf16_bf16", WD_SLOT(dot_bf16_bf16), BF16, BF16, true, 1e-11 },
    { "mul_f32", WD_SLOT(mul_f32), F32, F32, false, 1e-11 },
    { "mul_f16", WD_SLOT(mul_f16), F32, F16, false, 1e-11 },
    { "mul_bf16", WD_SLOT(mul_bf16), F32, BF16, false, 1e-11 },
    { "mul_bf16_bf16", WD_SLOT(mul_bf16_bf16), BF16, BF16, false, 1e-11 },
};

static wd_mm_fn slot_of(const wd_kern *k, size_t slot)
{
    wd_mm_fn fn;
    memcpy(&fn, (const char *)k + slot, sizeof fn);
    return fn;
}

static size_t size_of(int type)
{
    return type == F32 ? 4 : 2;
}

static void fill(wd_check *c, int type, void *p, size_t n)
{
    if (type == F32)
        wd_check_fill(c, p, n);
    else if (type == F16)
        wd_check_fill_f16(c, p, n);
    else
        wd_check_fill_bf16(c, p, n);
}

/* odd: one byte off, as weights may lie in a mapped file. */
static void *operand(wd_check *c, int type, size_t n, bool odd)
{
    char *p = wd_check_bytes(c, n * size_of(type) + odd);
    float *aligned = WD_ALLOC_N(float, n);
    fill(c, type, aligned, n);
    memcpy(p + odd, aligned, n * size_of(type));
    wd_free(aligned);
    return p + odd;
}

/* The pair of slots that agree on a layout of bf16 activations between themselves. */
static bool is_packed(const product *p)
{
    return p->dot && p->x_type == BF16;
}

/* One call of slot p of table k: n rows from row i. x: as operand() made it, or f32 where the slot wants them packed;
 * then `packed` has room for them. */
static void call(const wd_kern *k, const product *p, const wd_mm *base, float *y, size_t i, size_t n,
                 void *packed)
{
    wd_mm m = *base;
    m.y = y + i * m.y_stride;
    m.n = n;
    if (is_packed(p)) {
        const size_t stride = (m.k0 + m.n_in + 31) / 32 * 32;
        k->dot_pack(packed, stride, (const float *)base->x + i * base->x_stride, base->x_stride, NULL, n,
                    m.k0 + m.n_in);
        m.x = packed;
        m.x_stride = stride;
    } else {
        m.x = (const char *)m.x + i * m.x_stride * size_of(p->x_type);
    }
    slot_of(k, p->slot)(&m);
}

/* Row by row, and outputs in two parts, must give the bits of the whole. */
static void check_parts(wd_check *c, const product *p, const wd_mm *m, const float *whole, float *part,
                        size_t n_y, void *packed)
{
    for (size_t i = 0; i < m->n; i++)
        call(c->dut, p, m, part, i, 1, packed);
    wd_check_same(c, "rows alone and in a crowd", whole, part, n_y * sizeof *part);

    memset(part, 0, n_y * sizeof *part);
    wd_mm half = *m;
    half.n_out = m->n_out / 3;
    call(c->dut, p, &half, part, 0, m->n, packed);
    half.w = (const char *)m->w + half.n_out * (p->dot ? m->w_stride : 1) * size_of(p->w_type);
    part += half.n_out;
    half.n_out = m->n_out - half.n_out;
    call(c->dut, p, &half, part, 0, m->n, packed);
    wd_check_same(c, "outputs in two parts", whole, part - m->n_out / 3, n_y * sizeof *part);
}

static void check_product(wd_check *c, const product *p)
{
    /* n, n_out, n_in: tails of every loop, more than one chunk of inputs, one of everything */
    static const struct {
        size_t n, n_out, n_in;
    } sizes[] = { { 1, 1, 1 },   { 1, 16, 32 },  { 2, 3, 7 },     { 3, 20, 33 },   { 5, 5, 15 },
                  { 7, 9, 72 },  { 13, 31, 65 }, { 48, 64, 128 }, { 1, 67, 2080 }, { 11, 8, 4101 },
                  { 6, 80, 20 }, { 4, 4, 1024 }, { 27, 37, 70 },  { 29, 11, 4133 } };

    for (size_t s = 0; s < WD_COUNT(sizes); s++) {
        const size_t n = sizes[s].n, n_out = sizes[s].n_out, n_in = sizes[s].n_in;
        if (!wd_check_begin(c, p->slot, "%s_%zux%zux%zu", p->name, n, n_out, n_in))
            continue;
        const size_t pad = s % 3, x_stride = n_in + pad, w_stride = (p->dot ? n_in : n_out) + pad;
        const size_t y_stride = n_out + pad, n_y = (n - 1) * y_stride + n_out;
        const int x_type = is_packed(p) ? F32 : p->x_type;
        const wd_mm m = { .x = operand(c, x_type, (n - 1) * x_stride + n_in, false),
                          .w = operand(c, p->w_type,
                                       ((p->dot ? n_out : n_in) - 1) * w_stride + (p->dot ? n_in : n_out),
                                       c->low),
                          .x_stride = x_stride,
                          .w_stride = w_stride,
                          .y_stride = y_stride,
                          .n = n,
                          .n_out = n_out,
                          .n_in = n_in };
        float *want = wd_check_buf(c, n_y), *got = wd_check_buf(c, n_y), *part = wd_check_buf(c, n_y);
        void *packed = wd_check_bytes(c, 2 * n * ((n_in + 31) / 32 * 32));
        call(c->ref, p, &m, want, 0, n, packed);
        call(c->dut, p, &m, got, 0, n, packed);
        wd_check_nmse(c, want, got, n_y, p->limit);
        check_parts(c, p, &m, got, part, n_y, packed);
        if (is_packed(p) && n_in > 32) { /* a part of the inputs */
            wd_mm rest = m;
            rest.k0 = 32;
            rest.n_in -= 32;
            call(c->ref, p, &rest, want, 0, n, packed);
            call(c->dut, p, &rest, got, 0, n, packed);
            wd_check_nmse(c, want, got, n_y, p->limit);
        }
        if (p->dot)
            continue;
        wd_mm more = m; /* both onto the same start */
        more.add = true;
        memcpy(want, got, n_y * sizeof *want);
        call(c->ref, p, &more, want, 0, n, packed);
        call(c->dut, p, &more, got, 0, n, packed);
        wd_check_nmse(c, want, got, n_y, p->limit);
    }
}

/* Shapes of a 2B model and of attention, in the panels that the operators use. */
static void bench_product(wd_check *c, const product *p)
{
    static const struct {
        size_t n, n_out, n_in;
    } sizes[] = { { 1, 64, 2048 },   { 8, 64, 2048 },   { 48, 64, 2048 }, { 48, 64, 6144 },
                  { 96, 256, 2048 }, { 96, 256, 6144 }, { 64, 64, 128 },  { 64, 128, 64 } };

    for (size_t s = 0; c->bench && s < WD_COUNT(sizes); s++) {
        const size_t n = sizes[s].n, n_out = sizes[s].n_out, n_in = sizes[s].n_in;
        if (!wd_check_begin(c, p->slot, "bench_%s_%zux%zux%zu", p->name, n, n_out, n_in))
            continue;
        float *y = wd_check_buf(c, n * n_out), *x = wd_check_buf(c, n * n_in);
        void *packed = wd_check_bytes(c, 2 * n * n_in);
        wd_check_fill(c, x, n * n_in);
        c->dut->dot_pack(packed, n_in, x, n_in, NULL, n, n_in);
        const wd_mm m = { .y = y,
                          .y_stride = n_out,
                          .x = is_packed(p) ? packed : operand(c, p->x_type, n * n_in, false),
                          .x_stride = n_in,
                          .w = operand(c, p->w_type, n_out * n_in, false),
                          .w_stride = p->dot ? n_in : n_out,
                          .n = n,
                          .n_out = n_out,
                          .n_in = n_in };
        wd_check_bench(c, n_out * n_in * size_of(p->w_type), 2.0 * (double)n * (double)n_out * (double)n_in,
                       slot_of(c->dut, p->slot)(&m));
    }
}

/* Rounding is exact, whatever the layout: a product with the identity gives the rounded rows back. Rows that are listed
 * are packed as their copies are. */
static void check_pack(wd_check *c)
{
    static const size_t sizes[][2] = { { 1, 1 }, { 3, 33 }, { 16, 32 }, { 21, 50 } };
    for (size_t s = 0; s < WD_COUNT(sizes); s++) {
        const size_t n = sizes[s][0], n_in = sizes[s][1], stride = (n_in + 31) / 32 * 32;
        if (!wd_check_begin(c, WD_SLOT(dot_pack), "dot_pack_%zux%zu", n, n_in))
            continue;
        float *x = wd_check_buf(c, n * n_in), *y = wd_check_buf(c, n * n_in),
              *copy = wd_check_buf(c, n * n_in);
        wd_bf16 *one = wd_check_bytes(c, 2 * n_in * n_in), *packed = wd_check_bytes(c, 2 * n * stride);
        wd_bf16 *listed = wd_check_bytes(c, 2 * n * stride);
        uint32_t *row = wd_check_bytes(c, n * sizeof *row);
        for (size_t i = 0; i < n * n_in; i++) /* no denormals: the product takes them as zero */
            x[i] = (float)wd_rand_normal(&c->rand) + 3;
        for (size_t i = 0; i < n_in; i++)
            one[i * n_in + i] = 0x3F80;
        for (size_t i = 0; i < n; i++) { /* backwards, and the first again in the end */
            row[i] = i + 1 < n ? (uint32_t)(n - 1 - i) : (uint32_t)(n - 1);
            memcpy(copy + i * n_in, x + row[i] * n_in, n_in * sizeof *x);
        }
        c->dut->dot_pack(packed, stride, copy, n_in, NULL, n, n_in);
        c->dut->dot_pack(listed, stride, x, n_in, row, n, n_in);
        wd_check_same(c, "listed rows", packed, listed, 2 * n * stride);
        c->dut->dot_pack(packed, stride, x, n_in, NULL, n, n_in);
        c->dut->dot_bf16_bf16(&(wd_mm){ .y = y,
                                        .x = packed,
                                        .w = one,
                                        .y_stride = n_in,
                                        .x_stride = stride,
                                        .w_stride = n_in,
                                        .n = n,
                                        .n_out = n_in,
                                        .n_in = n_in });
        for (size_t i = 0; i < n * n_in; i++)
            x[i] = wd_bf16_to_f32(wd_f32_to_bf16(x[i]));
        wd_check_same(c, "rounded rows", x, y, n * n_in * sizeof *x);
    }
}

void check_matmul(wd_check *c)
{
    for (size_t i = 0; i < WD_COUNT(products); i++) {
        check_product(c, &products[i]);
        bench_product(c, &products[i]);
    }
    check_pack(c);
    wd_check_end(c);
}
