/* Views: counting, slicing, and slow element access. */
#include "tensor/tensor.h"

#include <assert.h>
#include <string.h>

#include "tensor/quant.h"

#define SCALE_BLOCK 128

size_t wd_tensor_count(const wd_tensor *t)
{
    size_t n = 1;
    if (!t->data)
        return 0;
    for (uint32_t i = 0; i < t->n_dim; i++)
        n *= t->dim[i]; /* checked against the file's size when the view was made */
    return n;
}

size_t wd_tensor_bytes(const wd_tensor *t)
{
    if (!wd_quant_is(t->dtype))
        return wd_tensor_count(t) * wd_dtype_bytes(t->dtype);
    if (!t->data)
        return 0;
    const wd_quant_sizes s = wd_quant_size(t->dtype, t->dim[t->n_dim - 2], t->dim[t->n_dim - 1], t->group);
    return (t->n_dim > 2 ? t->dim[0] : 1) * (s.data + s.scale + s.zero);
}

static size_t blocks(size_t n)
{
    return (n + SCALE_BLOCK - 1) / SCALE_BLOCK;
}

/* Bytes of scales that belong to one sub-tensor along dimension 0 of a tensor with n_dim >= 3. */
static size_t scale_bytes_at(const wd_tensor *t)
{
    size_t n = blocks(t->dim[t->n_dim - 2]) * blocks(t->dim[t->n_dim - 1]);
    for (uint32_t i = 1; i + 2 < t->n_dim; i++)
        n *= t->dim[i];
    return n * wd_dtype_bytes(t->scale_dtype);
}

static wd_tensor quantised_at(const wd_tensor *t, size_t i)
{
    assert(t->n_dim == 3);
    const wd_quant_sizes s = wd_quant_size(t->dtype, t->dim[1], t->dim[2], t->group);
    wd_tensor sub = *t;
    sub.n_dim = 2;
    sub.dim[0] = t->dim[1];
    sub.dim[1] = t->dim[2];
    sub.dim[2] = 0;
    sub.data = (const uint8_t *)t->data + i * s.data;
    sub.scale = (const uint8_t *)t->scale + i * s.scale;
    sub.zero = t->zero ? (const uint8_t *)t->zero + i * s.zero : NULL;
    return sub;
}

wd_tensor wd_tensor_at(const wd_tensor *t, size_t i)
{
    assert(t->data && t->n_dim >= 2 && i < t->dim[0]);
    if (wd_quant_is(t->dtype))
        return quantised_at(t, i);
    wd_tensor sub = *t;
    sub.n_dim--;
    memmove(sub.dim, t->dim + 1, sub.n_dim * sizeof sub.dim[0]);
    sub.dim[sub.n_dim] = 0;
    sub.data = (const uint8_t *)t->data + i * wd_tensor_bytes(&sub);
    if (!t->scale)
        return sub;
    if (t->n_dim > 2)
        sub.scale = (const uint8_t *)t->scale + i * scale_bytes_at(t);
    else /* a row: its 128 x 128 blocks are those of block row i / 128 */
        sub.scale = (const uint8_t *)t->scale +
                    i / SCALE_BLOCK * blocks(t->dim[1]) * wd_dtype_bytes(t->scale_dtype);
    return sub;
}

static float element(const void *data, wd_dtype dtype, size_t i)
{
    const uint8_t *p = (const uint8_t *)data + i * wd_dtype_bytes(dtype);
    uint16_t half;
    int32_t i32;
    int64_t i64;
    float f32;
    switch (dtype) {
    case WD_DTYPE_F32:
        memcpy(&f32, p, sizeof f32);
        return f32;
    case WD_DTYPE_F16:
        memcpy(&half, p, sizeof half);
        return wd_f16_to_f32(half);
    case WD_DTYPE_BF16:
        memcpy(&half, p, sizeof half);
        return wd_bf16_to_f32(half);
    case WD_DTYPE_F8_E4M3:
        return wd_f8_to_f32(*p);
    case WD_DTYPE_I32:
        memcpy(&i32, p, sizeof i32);
        return (float)i32;
    case WD_DTYPE_I64:
        memcpy(&i64, p, sizeof i64);
        return (float)i64;
    case WD_DTYPE_U8:
        return (float)*p;
    case WD_DTYPE_W8:
    case WD_DTYPE_W4:
    case WD_DTYPE_KV8:
    case WD_DTYPE_COUNT:
        break;
    }
    assert(!"a dtype");
    return 0;
}

float wd_tensor_get(const wd_tensor *t, size_t i)
{
    assert(i < wd_tensor_count(t));
    if (wd_quant_is(t->dtype)) {
        float eight[8];
        const size_t cells = t->dim[t->n_dim - 2] * t->dim[t->n_dim - 1];
        const wd_tensor m = t->n_dim > 2 ? quantised_at(t, i / cells) : *t;
        const size_t row = i % cells / m.dim[1], col = i % m.dim[1];
        wd_quant_get(&m, row, col / 8 * 8, 8, eight);
        return eight[col % 8];
    }
    const float v = element(t->data, t->dtype, i);
    if (!t->scale)
        return v;
    const size_t n_col = t->dim[t->n_dim - 1], n_row = t->n_dim > 1 ? t->dim[t->n_dim - 2] : 1;
    const size_t matrix = i / (n_row * n_col), row = i / n_col % n_row, col = i % n_col;
    const size_t block = (matrix * blocks(n_row) + row / SCALE_BLOCK) * blocks(n_col) + col / SCALE_BLOCK;
    return v * element(t->scale, t->scale_dtype, block);
}
