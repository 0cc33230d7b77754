/* An operator table that passes everything on to another one and keeps account: calls, time, and the operations of
 * matrix products. What a benchmark measures with, and what a test counts with. Same numbers, bit for bit. */
#ifndef WD_TENSOR_METER_H
#define WD_TENSOR_METER_H

#include "tensor/ops.h"

typedef struct wd_meter wd_meter;

typedef struct wd_meter_sum {
    uint64_t n_call;
    double seconds;
    double ops; /* operations of its products, a multiply-add counting two; 0 for element-wise work */
} wd_meter_sum;

typedef struct wd_meter_total {
    wd_meter_sum linear; /* products with weights */
    wd_meter_sum attn;   /* queries with keys, weights with values; keys and values stored */
    wd_meter_sum rest;   /* embeddings, norms, rotations, activations */
} wd_meter_total;

/* inner is borrowed until the meter is gone. */
WD_MUST_CHECK wd_status wd_meter_create(wd_ops *inner, wd_meter **out, wd_err *err);
void wd_meter_destroy(wd_meter *m); /* accepts NULL */
/* The table to call; dies with the meter, not through wd_ops_destroy. */
wd_ops *wd_meter_ops(wd_meter *m);
/* What came together since the start or the last call of this. */
wd_meter_total wd_meter_take(wd_meter *m);

#endif
