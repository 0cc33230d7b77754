/* Checks and benchmarks of the matrix products. */
#include <stdio.h>
#include <string.h>

#include "check.h"

enum { F32, F16, BF16 };

typedef struct product {
    const char *name;
    size_t slot;
    int x_type, w_type;
    bool dot;
    double limit;
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

/* Weights may lie at an odd address of a mapped file; f32 operands of ours never do. */
static void *operand(wd_check *c, int type, size_t n)
{
    const size_t odd = type != F32 && c->low && !c->bench ? 1 : 0;
    char *p = wd_check_bytes(c, n * size_of(type) + odd);
    fill(c, type, p + odd, n);
    return p + odd;
}

/* Row by row, and outputs in two parts, must give the bits of the whole. */
static void check_parts(wd_check *c, const product *p, const wd_mm *whole, float *part, size_t n_y)
{
    wd_mm m = *whole;
    m.y = part;
    m.n = 1;
    for (size_t i = 0; i < whole->n; i++) {
        slot_of(c->dut, p->slot)(&m);
        m.y += m.y_stride;
        m.x = (const char *)m.x + m.x_stride * size_of(p->x_type);
    }
    wd_check_same(c, "rows alone and in a crowd", whole->y, part, n_y * sizeof *part);

    memset(part, 0, n_y * sizeof *part);
    m = *whole;
    m.y = part;
    m.n_out = whole->n_out / 3;
    slot_of(c->dut, p->slot)(&m);
    m.y += m.n_out;
    m.w = (const char *)m.w + m.n_out * (p->dot ? m.w_stride : 1) * size_of(p->w_type);
    m.n_out = whole->n_out - m.n_out;
    slot_of(c->dut, p->slot)(&m);
    wd_check_same(c, "outputs in two parts", whole->y, part, n_y * sizeof *part);
}

static void check_product(wd_check *c, const product *p)
{
    /* n, n_out, n_in: tails of every loop, more than one chunk of inputs, one of everything */
    static const struct {
        size_t n, n_out, n_in;
    } sizes[] = { { 1, 1, 1 },     { 1, 16, 32 },   { 2, 3, 7 },    { 3, 20, 33 },
                  { 5, 5, 15 },    { 7, 9, 72 },    { 13, 31, 65 }, { 48, 64, 128 },
                  { 1, 67, 2080 }, { 11, 8, 4101 }, { 6, 80, 20 },  { 4, 4, 1024 } };

    for (size_t s = 0; s < WD_COUNT(sizes); s++) {
        const size_t n = sizes[s].n, n_out = sizes[s].n_out, n_in = sizes[s].n_in;
        if (!wd_check_begin(c, p->slot, "%s_%zux%zux%zu", p->name, n, n_out, n_in))
            continue;
        const size_t pad = s % 3, x_stride = n_in + pad, w_stride = (p->dot ? n_in : n_out) + pad;
        const size_t y_stride = n_out + pad, n_y = (n - 1) * y_stride + n_out;
        wd_mm m = { .x = operand(c, p->x_type, (n - 1) * x_stride + n_in), .x_stride = x_stride, .n = n };
        m.w = operand(c, p->w_type, ((p->dot ? n_out : n_in) - 1) * w_stride + (p->dot ? n_in : n_out));
        m.w_stride = w_stride;
        m.y_stride = y_stride;
        m.n_out = n_out;
        m.n_in = n_in;
        float *want = wd_check_buf(c, n_y), *got = wd_check_buf(c, n_y), *part = wd_check_buf(c, n_y);
        m.y = want;
        slot_of(c->ref, p->slot)(&m);
        m.y = got;
        slot_of(c->dut, p->slot)(&m);
        wd_check_nmse(c, want, got, n_y, p->limit);
        check_parts(c, p, &m, part, n_y);
        if (p->dot)
            continue;
        m.add = true; /* both onto the same start */
        memcpy(want, got, n_y * sizeof *want);
        m.y = want;
        slot_of(c->ref, p->slot)(&m);
        m.y = got;
        slot_of(c->dut, p->slot)(&m);
        wd_check_nmse(c, want, got, n_y, p->limit);
    }
}

/* Shapes of a 2B model and of attention, in the panels that the operators use. */
static void bench_product(wd_check *c, const product *p)
{
    static const struct {
        size_t n, n_out, n_in;
    } sizes[] = { { 1, 64, 2048 },  { 8, 64, 2048 }, { 48, 64, 2048 },
                  { 48, 64, 6144 }, { 64, 64, 128 }, { 64, 128, 64 } };

    for (size_t s = 0; c->bench && s < WD_COUNT(sizes); s++) {
        const size_t n = sizes[s].n, n_out = sizes[s].n_out, n_in = sizes[s].n_in;
        if (!wd_check_begin(c, p->slot, "bench_%s_%zux%zux%zu", p->name, n, n_out, n_in))
            continue;
        float *y = wd_check_buf(c, n * n_out);
        const wd_mm m = { .y = y,
                          .y_stride = n_out,
                          .x = operand(c, p->x_type, n * n_in),
                          .x_stride = n_in,
                          .w = operand(c, p->w_type, n_out * n_in),
                          .w_stride = p->dot ? n_in : n_out,
                          .n = n,
                          .n_out = n_out,
                          .n_in = n_in };
        wd_check_bench(c, n_out * n_in * size_of(p->w_type), 2.0 * (double)n * (double)n_out * (double)n_in,
                       slot_of(c->dut, p->slot)(&m));
    }
}

void check_matmul(wd_check *c)
{
    for (size_t i = 0; i < WD_COUNT(products); i++) {
        check_product(c, &products[i]);
        bench_product(c, &products[i]);
    }
    wd_check_end(c);
}
