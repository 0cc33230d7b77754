/* Reference attention over a block: one row after another, as the formulas say, products and sums in double. */
#include "tensor/cpu/ref/ref.h"

#include <math.h>

static double element(const wd_bf16 *p, size_t i)
{
    return wd_bf16_to_f32(p[i]);
}

/* The block's probabilities for row r; moves m, and returns the factor of what was summed before. */
static double probabilities(const wd_attn_block *b, size_t r, float *p)
{
    const size_t group = 16 * b->dim;
    float max = b->m[r];
    for (size_t j = 0; j < b->n_see[r]; j++) {
        double sum = 0;
        for (size_t e = 0; e < b->dim; e++)
            sum += element(b->q, r * b->q_stride + e) *
                   element(b->k, j / 16 * group + (e / 2 * 16 + j % 16) * 2 + e % 2);
        p[j] = (float)sum;
        max = fmaxf(max, p[j]);
    }
    for (size_t j = 0; j < b->n_key; j++) {
        const float below = j < b->n_see[r] ? p[j] - max : -INFINITY;
        p[j] = below < -126 ? 0 : wd_bf16_to_f32(wd_f32_to_bf16(exp2f(below)));
    }
    const double factor = exp2((double)b->m[r] - (double)max);
    b->m[r] = max;
    return factor;
}

static void attn_block(const wd_attn_block *b)
{
    for (size_t r = 0; r < b->n; r++) {
        float p[WD_ATTN_KEYS];
        const double factor = probabilities(b, r, p);
        for (size_t part = 0; part < 16; part++) {
            double sum = b->l[r * 16 + part] * factor;
            for (size_t j = part; j < b->n_key; j += 16)
                sum += p[j];
            b->l[r * 16 + part] = (float)sum;
        }
        for (size_t e = 0; e < b->dim; e++) {
            double sum = b->acc[r * b->dim + e] * factor;
            for (size_t j = 0; j < b->n_key; j++)
                sum += p[j] * element(b->v, (j / 2 * b->dim + e) * 2 + j % 2);
            b->acc[r * b->dim + e] = (float)sum;
        }
    }
}

void wd_kern__ref_attn(wd_kern *k)
{
    k->attn_block = attn_block;
}
