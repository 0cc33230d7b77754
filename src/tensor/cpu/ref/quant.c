/* Reference of the products with quantised weights: the formulas of kern.h and the layout of tensor/quant.h. */
#include "tensor/cpu/ref/ref.h"

#include <math.h>
#include <string.h>

#include "base/compiler.h"

enum { STRIPE = 16 };

static void quantise_group(int8_t *q, wd_qgroup *xg, const float *x, size_t group)
{
    float a = 0;
    int32_t sum = 0;
    memset(q, 0, group);
    for (size_t k = 0; k < group; k++) {
        if (!isfinite(x[k])) {
            *xg = (wd_qgroup){ .scale = NAN, .sum = NAN };
            return;
        }
        a = WD_MAX(a, fabsf(x[k]));
    }
    *xg = (wd_qgroup){ .scale = 0 };
    if (a < 0x1p-100f)
        return;
    const float inv = 127 / a;
    for (size_t k = 0; k < group; k++) {
        q[k] = (int8_t)rintf(x[k] * inv);
        sum += q[k];
    }
    xg->scale = a / 127;
    xg->sum = xg->scale * (float)sum;
    xg->shift = -128 * sum;
}

static void quantise(int8_t *q, wd_qgroup *xg, const float *x, size_t n_in, size_t group)
{
    for (size_t k = 0; k < n_in; k += group)
        quantise_group(q + k, xg + k / group, x + k, group);
}

static float scale_at(const wd_mmq *m, size_t at)
{
    wd_f16 h;
    memcpy(&h, (const uint8_t *)m->scale + at * sizeof h, sizeof h);
    return wd_f16_to_f32(h);
}

static void dot_w8(const wd_mmq *m)
{
    const size_t n_group = m->n_in / m->group;
    for (size_t i = 0; i < m->n; i++) {
        for (size_t o = 0; o < m->n_out; o++) {
            const size_t stripe = o / STRIPE, lane = o % STRIPE;
            const uint8_t *w = m->w + stripe * m->n_in * STRIPE + 4 * lane;
            float y = 0;
            for (size_t g = 0; g < n_group; g++) {
                int32_t sum = 0;
                for (size_t k = g * m->group; k < (g + 1) * m->group; k++)
                    sum += m->x[i * m->n_in + k] * (w[k / 4 * 4 * STRIPE + k % 4] - 128);
                const float s = scale_at(m, (stripe * n_group + g) * STRIPE + lane);
                y = fmaf((float)sum, m->xg[i * n_group + g].scale * s, y);
            }
            m->y[i * m->y_stride + o] = y;
        }
    }
}

static void dot_w4(const wd_mmq *m)
{
    const size_t n_group = m->n_in / m->group;
    for (size_t i = 0; i < m->n; i++) {
        for (size_t o = 0; o < m->n_out; o++) {
            const size_t stripe = o / STRIPE, lane = o % STRIPE;
            const uint8_t *w = m->w + stripe * m->n_in * STRIPE / 2 + 4 * lane;
            float y = 0;
            for (size_t g = 0; g < n_group; g++) {
                const wd_qgroup *x = &m->xg[i * n_group + g];
                const size_t at = (stripe * n_group + g) * STRIPE + lane;
                int32_t sum = 0;
                for (size_t k = g * m->group; k < (g + 1) * m->group; k++)
                    sum += m->x[i * m->n_in + k] * (w[k / 8 * 4 * STRIPE + k % 4] >> (k % 8 / 4 * 4) & 15);
                const float s = scale_at(m, at);
                y = fmaf((float)sum, x->scale * s, y);
                y = fmaf(-(s * ((float)m->zero[at] / 16)), x->sum, y);
            }
            m->y[i * m->y_stride + o] = y;
        }
    }
}

void wd_kern__ref_quant(wd_kern *k)
{
    k->quantise = quantise;
    k->dot_w8 = dot_w8;
    k->dot_w4 = dot_w4;
}
