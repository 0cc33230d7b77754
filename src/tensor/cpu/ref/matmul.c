/* Reference matrix products: three loops, products and sums in double, rounded once. */
#include "tensor/cpu/ref/ref.h"

#include <string.h>

typedef double (*load_fn)(const void *p, size_t i);

static double load_f32(const void *p, size_t i)
{
    float v;
    memcpy(&v, (const uint8_t *)p + i * sizeof v, sizeof v);
    return v;
}

static double load_f16(const void *p, size_t i)
{
    wd_f16 v;
    memcpy(&v, (const uint8_t *)p + i * sizeof v, sizeof v);
    return wd_f16_to_f32(v);
}

static double load_bf16(const void *p, size_t i)
{
    wd_bf16 v;
    memcpy(&v, (const uint8_t *)p + i * sizeof v, sizeof v);
    return wd_bf16_to_f32(v);
}

static inline void dot(const wd_mm *m, load_fn load_x, load_fn load_w)
{
    for (size_t i = 0; i < m->n; i++) {
        for (size_t o = 0; o < m->n_out; o++) {
            double sum = 0;
            for (size_t k = 0; k < m->n_in; k++)
                sum += load_x(m->x, i * m->x_stride + m->k0 + k) * load_w(m->w, o * m->w_stride + k);
            m->y[i * m->y_stride + o] = (float)sum;
        }
    }
}

static inline void mul(const wd_mm *m, load_fn load_x, load_fn load_w)
{
    for (size_t i = 0; i < m->n; i++) {
        for (size_t o = 0; o < m->n_out; o++) {
            float *y = &m->y[i * m->y_stride + o];
            double sum = m->add ? *y : 0;
            for (size_t k = 0; k < m->n_in; k++)
                sum += load_x(m->x, i * m->x_stride + k) * load_w(m->w, k * m->w_stride + o);
            *y = (float)sum;
        }
    }
}

static void dot_f32(const wd_mm *m)
{
    dot(m, load_f32, load_f32);
}

static void dot_f16(const wd_mm *m)
{
    dot(m, load_f32, load_f16);
}

static void dot_bf16(const wd_mm *m)
{
    dot(m, load_f32, load_bf16);
}

static void dot_bf16_bf16(const wd_mm *m)
{
    dot(m, load_bf16, load_bf16);
}

static void mul_f32(const wd_mm *m)
{
    mul(m, load_f32, load_f32);
}

static void mul_f16(const wd_mm *m)
{
    mul(m, load_f32, load_f16);
}

static void mul_bf16(const wd_mm *m)
{
    mul(m, load_f32, load_bf16);
}

static void mul_bf16_bf16(const wd_mm *m)
{
    mul(m, load_bf16, load_bf16);
}

void wd_kern__ref_matmul(wd_kern *k)
{
    k->dot_f32 = dot_f32;
    k->dot_f16 = dot_f16;
    k->dot_bf16 = dot_bf16;
    k->dot_bf16_bf16 = dot_bf16_bf16;
    k->mul_f32 = mul_f32;
    k->mul_f16 = mul_f16;
    k->mul_bf16 = mul_bf16;
    k->mul_bf16_bf16 = mul_bf16_bf16;
}
