/* A tensor is a typed view of memory that somebody else owns, row-major, outermost dimension first. */
#ifndef WD_TENSOR_TENSOR_H
#define WD_TENSOR_TENSOR_H

#include "tensor/dtype.h"

#define WD_TENSOR_DIMS 5

typedef struct wd_tensor {
    const void *data; /* NULL: absent; may be unaligned for its dtype when it lies in a mapped file */
    wd_dtype dtype;
    uint32_t n_dim;
    size_t dim[WD_TENSOR_DIMS];
    /* F8_E4M3 weights only: one scale per 128 x 128 block of the last two dimensions, multiplied.
     * [..][ceil(dim[n-2] / 128)][ceil(dim[n-1] / 128)], F32 or BF16; NULL otherwise. */
    const void *scale;
    wd_dtype scale_dtype;
    /* W8 and W4 only, see tensor/quant.h; then scale is the groups', F16. */
    const void *zero;
    uint32_t group;
} wd_tensor;

size_t wd_tensor_count(const wd_tensor *t); /* elements; 0 when absent */
size_t wd_tensor_bytes(const wd_tensor *t);
/* The i-th sub-tensor along dimension 0 (an expert, a row; of W8 and W4 no row); i < dim[0], n_dim >= 2. Scales
 * follow. */
wd_tensor wd_tensor_at(const wd_tensor *t, size_t i);
/* Element i of the flattened tensor as f32, block scale applied. Slow: for tests and small vectors. */
float wd_tensor_get(const wd_tensor *t, size_t i);

#endif
