/* The angle is the float product position * inv_freq, as the reference has it (its rounding grows with the
 * position, and the weights were trained with it); cos and sin of that float are taken in double. */
#include "model/rope.h"

#include <assert.h>
#include <math.h>

#include "base/compiler.h"

/* The pair index whose wavelength makes `turns` full turns over the original context. */
static double yarn_pair(const wd_rope_config *c, uint32_t head_dim, double turns)
{
    return head_dim * log(c->yarn_original_max_pos / (2.0 * M_PI * turns)) / (2.0 * log(c->theta));
}

/* Fast pairs keep their frequency, slow ones are divided by the factor, a linear ramp lies between. */
static void stretch(wd_rope *r, const wd_rope_config *c, uint32_t head_dim)
{
    double low = yarn_pair(c, head_dim, c->yarn_beta_fast), high = yarn_pair(c, head_dim, c->yarn_beta_slow);
    if (c->yarn_truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = WD_MAX(low, 0.0);
    high = WD_MIN(high, head_dim - 1.0);
    if (high == low)
        high += 0.001;

    for (uint32_t i = 0; i < r->n_pair; i++) {
        const double ramp = fmin(fmax((i - low) / (high - low), 0.0), 1.0);
        const double extra = pow(c->theta, -2.0 * i / head_dim), inter = extra / c->yarn_factor;
        r->inv_freq[i] = (float)(inter * ramp + extra * (1.0 - ramp));
    }
    r->scale = (float)c->yarn_attention_factor;
}

void wd_rope__init(wd_rope *r, const wd_rope_config *c, uint32_t head_dim)
{
    assert(head_dim % 2 == 0 && head_dim / 2 <= WD_ROPE_PAIRS_MAX);
    r->n_pair = head_dim / 2;
    r->scale = 1.0f;
    for (uint32_t i = 0; i < r->n_pair; i++) {
        r->inv_freq[i] = (float)pow(c->theta, -2.0 * i / head_dim);
        r->axis[i] = 0;
        if (c->mrope && i % 3 != 0 && i < 3 * c->mrope_section[i % 3])
            r->axis[i] = (uint8_t)(i % 3);
    }
    if (c->yarn)
        stretch(r, c, head_dim);
}

void wd_rope__angles(const wd_rope *r, const int32_t *const pos[3], size_t n, float *cos_out, float *sin_out)
{
    for (size_t t = 0; t < n; t++) {
        for (uint32_t i = 0; i < r->n_pair; i++) {
            const float angle = (float)pos[r->axis[i]][t] * r->inv_freq[i];
            cos_out[t * r->n_pair + i] = (float)cos(angle) * r->scale;
            sin_out[t * r->n_pair + i] = (float)sin(angle) * r->scale;
        }
    }
}

void wd_rope__init_axial(wd_rope *r, uint32_t head_dim)
{
    assert(head_dim % 4 == 0 && head_dim / 4 <= WD_ROPE_PAIRS_MAX);
    r->n_pair = head_dim / 4;
    r->scale = 1.0f;
    for (uint32_t i = 0; i < r->n_pair; i++) {
        r->inv_freq[i] = (float)pow(10000.0, -2.0 * i / (head_dim / 2.0));
        r->axis[i] = 0;
    }
}

void wd_rope__angles_axial(const wd_rope *r, uint32_t row, uint32_t col, float *cos_out, float *sin_out)
{
    for (uint32_t i = 0; i < r->n_pair; i++) {
        const float by_row = (float)row * r->inv_freq[i], by_col = (float)col * r->inv_freq[i];
        cos_out[i] = (float)cos(by_row);
        sin_out[i] = (float)sin(by_row);
        cos_out[r->n_pair + i] = (float)cos(by_col);
        sin_out[r->n_pair + i] = (float)sin(by_col);
    }
}
