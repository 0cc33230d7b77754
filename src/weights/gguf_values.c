/* The values of GGUF tensors in types that the operators take. */
#include <stdatomic.h>
#include <stdio.h>

#include "tensor/quant.h"
#include "weights/weights_parts.h"

#define PIECE 512 /* values decoded at a time: whole blocks of every type */
#define ROWS 16   /* a worker's share of a packed matrix: whole stripes */

typedef wd_weights_entry entry;

/* Four bits where the file has four, else eight. */
static wd_dtype packed_dtype(wd_ggml_type t)
{
    return t == WD_GGML_Q4_0 || t == WD_GGML_Q4_1 || t == WD_GGML_Q4_K ? WD_DTYPE_W4 : WD_DTYPE_W8;
}

void wd_weights__plan(wd_weights_entry *e)
{
    const wd_ggml_type t = e->rows[0].type;
    const bool matrix = e->t.n_dim == 2, vision = !strncmp(e->name, "visual.", 7);
    e->t.data = NULL;
    if (wd_ggml_block_len(t) > 1) { /* the tower stays in 16 bits */
        e->form = matrix && !vision ? WD_WEIGHTS_PACKED : WD_WEIGHTS_DECODED;
        e->t.dtype = e->form == WD_WEIGHTS_PACKED ? packed_dtype(t) : WD_DTYPE_BF16;
        return;
    }
    e->form = t == WD_GGML_F16 && e->t.n_dim >= 2 ? WD_WEIGHTS_NARROWED : WD_WEIGHTS_IN_PLACE;
    e->t.dtype = t == WD_GGML_F32 ? WD_DTYPE_F32 : t == WD_GGML_F16 ? WD_DTYPE_F16 : WD_DTYPE_BF16;
    e->t.data = e->rows[0].data;
}

/* Is there a bf16 of this value? */
static bool fits_bf16(float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    return (bits & 0xFFFFu) == 0;
}

typedef struct make_job {
    const wd_weights_rows *from;
    size_t count;
    wd_bf16 *to;
    bool exactly;         /* give up at a value that bf16 does not have */
    atomic_bool is_exact; /* false as soon as one was met */
} make_job;

static const uint8_t *values_at(const wd_weights_rows *r, size_t i)
{
    return r->data + i / wd_ggml_block_len(r->type) * wd_ggml_block_bytes(r->type);
}

static void make_part(void *arg, unsigned worker, unsigned n_worker)
{
    make_job *j = arg;
    float piece[PIECE];
    size_t first, last;
    wd_pool_share((j->count + PIECE - 1) / PIECE, 1, worker, n_worker, &first, &last);
    for (size_t i = first * PIECE; i < WD_MIN(last * PIECE, j->count); i += PIECE) {
        const size_t n = WD_MIN((size_t)PIECE, j->count - i);
        bool fits = true;
        wd_ggml_to_f32(j->from->type, values_at(j->from, i), piece, n);
        for (size_t k = 0; k < n; k++) {
            fits &= fits_bf16(piece[k]);
            j->to[i + k] = wd_f32_to_bf16(piece[k]);
        }
        if (j->exactly && !fits) {
            atomic_store(&j->is_exact, false);
            return;
        }
    }
}

static wd_status take_memory(const wd_weights *w, const entry *e, size_t count, wd_dtype dtype, void **out,
                             wd_err *err)
{
    *out = wd_alloc_aligned(count, wd_dtype_bytes(dtype));
    return *out ? WD_OK
                : WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the %zu values of tensor %s",
                          w->shard[e->shard_i].path, count, e->stored);
}

static void keep(wd_weights *w, entry *e, void *made, size_t count, wd_dtype dtype)
{
    e->owned = made;
    e->t.data = made;
    e->t.dtype = dtype;
    e->form = WD_WEIGHTS_IN_PLACE;
    w->made_bytes += count * wd_dtype_bytes(dtype);
}

/* ---- packing ---- */

typedef struct pack_job {
    const wd_weights_rows *from;
    wd_quant to;
    float *row; /* [worker][n_col] for types that are quantised again */
    atomic_bool failed;
} pack_job;

/* Q6_K has two scales in a group; five bits with a minimum have more levels than fit: both go to eight bits again. */
static bool is_requantised(wd_ggml_type t)
{
    return t == WD_GGML_Q6_K || t == WD_GGML_Q5_K || t == WD_GGML_Q5_1;
}

static wd_status pack_row(const pack_job *j, size_t r, float *row)
{
    const wd_ggml_type t = j->from->type;
    const size_t n = j->from->n_col;
    const uint8_t *src = values_at(j->from, r * n);
    if (is_requantised(t)) {
        wd_ggml_to_f32(t, src, row, n);
        return wd_quant_row(&j->to, r, row, NULL);
    }
    for (size_t g = 0; g < n / WD_GGML_GROUP; g++) {
        wd_ggml_group v;
        wd_ggml_group_at(t, src, g, &v);
        const uint8_t *q = (const uint8_t *)v.q;
        if (j->to.dtype == WD_DTYPE_W8)
            wd_quant_put_w8(&j->to, r, g, v.step_f16, v.q);
        else if (t == WD_GGML_Q4_0)
            wd_quant_put_w4(&j->to, r, g, v.step_f16, 8 * 16, q);
        else
            WD_TRY(wd_quant_put_w4_min(&j->to, r, g, v.step, v.min, q, NULL));
    }
    return WD_OK;
}

static void pack_part(void *arg, unsigned worker, unsigned n_worker)
{
    pack_job *j = arg;
    size_t first, last;
    wd_pool_share(j->from->n_row, ROWS, worker, n_worker, &first, &last);
    for (size_t r = first; r < last; r++)
        if (pack_row(j, r, j->row ? j->row + worker * j->from->n_col : NULL)) {
            atomic_store(&j->failed, true);
            return;
        }
}

static wd_status make_packed(wd_weights *w, entry *e, wd_err *err)
{
    const wd_weights_rows *from = &e->rows[0];
    const size_t bytes = wd_quant_bytes(e->t.dtype, from->n_row, from->n_col, WD_GGML_GROUP);
    pack_job j = { .from = from };
    void *block = wd_alloc_aligned(bytes, 1);
    if (is_requantised(from->type))
        j.row = wd_alloc_aligned((size_t)wd_pool_size(w->pool) * from->n_col, sizeof(float));
    wd_status st = WD_OK;
    if (!block || (is_requantised(from->type) && !j.row)) {
        st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the %zu values of tensor %s",
                     w->shard[e->shard_i].path, from->n_row * from->n_col, e->stored);
    } else {
        memset(block, 0, bytes);
        j.to = wd_quant_over(e->t.dtype, from->n_row, from->n_col, WD_GGML_GROUP, block);
        atomic_init(&j.failed, false);
        wd_pool_run(w->pool, pack_part, &j);
        if (atomic_load(&j.failed))
            st = WD_FAIL(err, WD_E_INVALID, "%s: tensor %s has values that are not finite or too large",
                         w->shard[e->shard_i].path, e->stored);
    }
    wd_free(j.row);
    if (st) {
        wd_free(block);
        return st;
    }
    e->t = wd_quant_tensor(&j.to);
    e->owned = block;
    e->form = WD_WEIGHTS_IN_PLACE;
    w->made_bytes += bytes;
    return WD_OK;
}

/* ---- 16 and 32 bits ---- */

/* DECODED and NARROWED. */
static wd_status make_bf16(wd_weights *w, entry *e, wd_err *err)
{
    void *made;
    make_job j = { .from = &e->rows[0], .count = e->rows[0].n_row * e->rows[0].n_col };
    WD_TRY(take_memory(w, e, j.count, WD_DTYPE_BF16, &made, err));
    j.to = made;
    j.exactly = e->form == WD_WEIGHTS_NARROWED;
    atomic_init(&j.is_exact, true);
    wd_pool_run(w->pool, make_part, &j);
    if (atomic_load(&j.is_exact)) {
        keep(w, e, made, j.count, WD_DTYPE_BF16);
    } else {
        wd_free(made);
        e->form = WD_WEIGHTS_IN_PLACE;
    }
    return WD_OK;
}

/* A few megabytes: one thread. */
static wd_status make_joined(wd_weights *w, entry *e, wd_err *err)
{
    void *wide, *narrow;
    const size_t n = e->n_turn, half = e->rows[0].n_row * e->rows[0].n_col;
    bool exact = e->narrow;
    WD_TRY(take_memory(w, e, 2 * half, WD_DTYPE_F32, &wide, err));
    float *to = wide;
    for (size_t i = 0; i < half; i += n) {
        wd_ggml_to_f32(e->rows[0].type, values_at(&e->rows[0], i), to + 2 * i, n);
        wd_ggml_to_f32(e->rows[1].type, values_at(&e->rows[1], i), to + 2 * i + n, n);
    }
    for (size_t i = 0; i < 2 * half && exact; i++)
        exact = fits_bf16(to[i]);
    if (!exact) {
        keep(w, e, wide, 2 * half, WD_DTYPE_F32);
        return WD_OK;
    }
    const wd_status st = take_memory(w, e, 2 * half, WD_DTYPE_BF16, &narrow, err);
    for (size_t i = 0; i < 2 * half && !st; i++)
        ((wd_bf16 *)narrow)[i] = wd_f32_to_bf16(to[i]);
    wd_free(wide);
    if (!st)
        keep(w, e, narrow, 2 * half, WD_DTYPE_BF16);
    return st;
}

wd_status wd_weights__make(wd_weights *w, wd_weights_entry *e, wd_err *err)
{
    if (e->form == WD_WEIGHTS_IN_PLACE)
        return WD_OK;
    if (e->form == WD_WEIGHTS_PACKED)
        return make_packed(w, e, err);
    return e->form == WD_WEIGHTS_JOINED ? make_joined(w, e, err) : make_bf16(w, e, err);
}
