/* Reference norms, rotation, activations and softmax: the formulas as written, sums in double. */
#include "tensor/cpu/ref/ref.h"

#include <math.h>

static void rmsnorm(float *y, const float *x, const float *w, size_t rows, size_t dim, float eps)
{
    for (size_t r = 0; r < rows; r++, x += dim, y += dim) {
        double sum = 0;
        for (size_t i = 0; i < dim; i++)
            sum += (double)x[i] * x[i];
        const double inv = 1 / sqrt(sum / (double)dim + (double)eps);
        for (size_t i = 0; i < dim; i++)
            y[i] = (float)(x[i] * inv) * w[i];
    }
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t rows, size_t dim,
                      float eps)
{
    for (size_t r = 0; r < rows; r++, x += dim, y += dim) {
        double sum = 0, square = 0;
        for (size_t i = 0; i < dim; i++)
            sum += x[i];
        const double mean = sum / (double)dim;
        for (size_t i = 0; i < dim; i++)
            square += (x[i] - mean) * (x[i] - mean);
        const double inv = 1 / sqrt(square / (double)dim + (double)eps);
        for (size_t i = 0; i < dim; i++)
            y[i] = (float)((x[i] - mean) * inv * w[i] + b[i]);
    }
}

static void rope(float *x, const float *cosine, const float *sine, size_t n_head, size_t head_dim)
{
    const size_t half = head_dim / 2;
    for (size_t h = 0; h < n_head; h++, x += head_dim) {
        for (size_t i = 0; i < half; i++) {
            const float a = x[i], b = x[i + half];
            x[i] = a * cosine[i] - b * sine[i];
            x[i + half] = b * cosine[i] + a * sine[i];
        }
    }
}

static float silu_of(float z)
{
    return z / (1 + expf(-z));
}

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = silu_of(gate[i]) * up[i];
}

static void silu(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = silu_of(y[i]);
}

static void gelu_tanh(float *y, size_t n)
{
    const double c = 0.79788456080286535588; /* sqrt(2 / pi) */
    for (size_t i = 0; i < n; i++) {
        const double z = y[i];
        y[i] = (float)(0.5 * z * (1 + tanh(c * (z + 0.044715 * z * z * z))));
    }
}

static void gelu_erf(float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double z = y[i];
        y[i] = (float)(0.5 * z * erfc(-z * 0.70710678118654752440));
    }
}

static void add_scaled(float *y, const float *x, float a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * x[i];
}

static void softmax_step(float *s, size_t s_stride, size_t n_key, float *m, float *l, float *acc, size_t dim,
                         size_t n)
{
    for (size_t r = 0; r < n; r++, s += s_stride, acc += dim) {
        float max = m[r];
        double sum = 0;
        for (size_t j = 0; j < n_key; j++)
            max = fmaxf(max, s[j]);
        const float correction = expf(m[r] - max);
        for (size_t j = 0; j < n_key; j++) {
            s[j] = expf(s[j] - max);
            sum += s[j];
        }
        for (size_t i = 0; i < dim; i++)
            acc[i] *= correction;
        l[r] = (float)((double)l[r] * correction + sum);
        m[r] = max;
    }
}

void wd_kern__ref_rows(wd_kern *k)
{
    k->rmsnorm = rmsnorm;
    k->layernorm = layernorm;
    k->rope = rope;
    k->silu_mul = silu_mul;
    k->silu = silu;
    k->gelu_tanh = gelu_tanh;
    k->gelu_erf = gelu_erf;
    k->add_scaled = add_scaled;
    k->softmax_step = softmax_step;
}
