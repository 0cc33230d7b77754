/* Reference conversions and transposes: dtype.h, one element at a time. */
#include "tensor/cpu/ref/ref.h"

#include <string.h>

static uint16_t load16(const void *x, size_t i)
{
    uint16_t v;
    memcpy(&v, (const uint8_t *)x + i * sizeof v, sizeof v);
    return v;
}

static void bf16_to_f32(float *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = wd_bf16_to_f32(load16(x, i));
}

static void f16_to_f32(float *y, const void *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = wd_f16_to_f32(load16(x, i));
}

static void f8_to_f32(float *y, const void *x, float scale, size_t n)
{
    const wd_f8 *p = x;
    for (size_t i = 0; i < n; i++)
        y[i] = wd_f8_to_f32(p[i]) * scale;
}

static void f8_to_bf16(wd_bf16 *y, const void *x, size_t n)
{
    const wd_f8 *p = x;
    for (size_t i = 0; i < n; i++)
        y[i] = wd_f32_to_bf16(wd_f8_to_f32(p[i]));
}

static void f32_to_bf16(wd_bf16 *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = wd_f32_to_bf16(x[i]);
}

static void dot_pack(wd_bf16 *to, size_t stride, const float *x, size_t x_stride, const uint32_t *row,
                     size_t n, size_t n_in)
{
    for (size_t i = 0; i < n; i++)
        f32_to_bf16(to + i * stride, x + (row ? row[i] : i) * x_stride, n_in);
}

static void transpose_f32(float *y, size_t y_stride, const void *x, size_t x_stride, size_t rows, size_t cols)
{
    for (size_t c = 0; c < cols; c++) {
        for (size_t r = 0; r < rows; r++)
            memcpy(&y[c * y_stride + r], (const uint8_t *)x + (r * x_stride + c) * sizeof *y, sizeof *y);
    }
}

static void pair_keys(wd_bf16 *to, const float *x, size_t x_stride, size_t n, size_t dim)
{
    for (size_t e = 0; e < dim; e++) {
        for (size_t j = 0; j < 16; j++)
            to[(e / 2 * 16 + j) * 2 + e % 2] = j < n ? wd_f32_to_bf16(x[j * x_stride + e]) : 0;
    }
}

static void pair_values(wd_bf16 *to, const float *x, size_t x_stride, size_t n, size_t dim)
{
    for (size_t j = 0; j < (n + 1) / 2 * 2; j++) {
        for (size_t e = 0; e < dim; e++)
            to[(j / 2 * dim + e) * 2 + j % 2] = j < n ? wd_f32_to_bf16(x[j * x_stride + e]) : 0;
    }
}

static void i8_to_bf16(wd_bf16 *y, const void *x, const float *scale, size_t n)
{
    const int8_t *p = x;
    for (size_t i = 0; i < n; i++)
        y[i] = wd_f32_to_bf16((float)p[i] * scale[i % 32]);
}

static void unpair_bf16(float *y, size_t y_stride, const void *x, size_t rows, size_t n)
{
    for (size_t r = 0; r < 2 * rows; r++) {
        for (size_t i = 0; i < n; i++)
            y[r * y_stride + i] = wd_bf16_to_f32(load16(x, (r / 2 * n + i) * 2 + r % 2));
    }
}

void wd_kern__ref_convert(wd_kern *k)
{
    k->bf16_to_f32 = bf16_to_f32;
    k->f16_to_f32 = f16_to_f32;
    k->f8_to_f32 = f8_to_f32;
    k->f8_to_bf16 = f8_to_bf16;
    k->f32_to_bf16 = f32_to_bf16;
    k->dot_pack = dot_pack;
    k->transpose_f32 = transpose_f32;
    k->pair_keys = pair_keys;
    k->pair_values = pair_values;
    k->i8_to_bf16 = i8_to_bf16;
    k->unpair_bf16 = unpair_bf16;
}
