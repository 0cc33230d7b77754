/* A checkpoint's tensors as one safetensors file. Data of quantised matrices comes first, then their scales and zeros,
 * then everything else, so that each part begins at a multiple of 32 bytes without a byte between them. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "tensor/quant.h"
#include "weights/quantise.h"

#define ARENA_MAX ((size_t)1 << 30)
#define HEADER_ALIGN 64

typedef enum kind { DATA, SCALE, ZERO, PLAIN, N_KIND } kind;

static const char *const suffixes[N_KIND] = { "", "_scale", "_zero", "" };

typedef struct writer {
    const wd_weights *w;
    wd_arena *arena;
    json_t *header;
    wd_span *part; /* [0]: the header; then the tensors, in file order */
    size_t n_part;
    uint64_t at;
} writer;

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "writing a checkpoint: no memory for its header");
}

/* The stored form of one part: dtype, shape and bytes. False: the tensor has no such part. */
static bool form_of(const wd_tensor *t, kind k, const char **dtype, size_t *dim, uint32_t *n_dim,
                    wd_span *bytes)
{
    const bool quantised = wd_quant_is(t->dtype);
    if (quantised != (k != PLAIN) || (k == ZERO && !t->zero))
        return false;
    if (!quantised) {
        *dtype = wd_dtype_name(t->dtype);
        *n_dim = t->n_dim;
        memcpy(dim, t->dim, t->n_dim * sizeof *dim);
        *bytes = wd_span_of(t->data, wd_tensor_bytes(t));
        return true;
    }
    const uint32_t lead = t->n_dim - 2;
    const size_t n = lead ? t->dim[0] : 1, n_out = t->dim[lead], n_in = t->dim[lead + 1];
    const wd_quant_sizes s = wd_quant_size(t->dtype, n_out, n_in, t->group);
    dim[0] = t->dim[0];
    dim[lead] = n_out / WD_QUANT_STRIPE;
    dim[lead + 1] = k == DATA ? n_in / (t->dtype == WD_DTYPE_W4 ? 8 : 4) : n_in / t->group;
    dim[lead + 2] = WD_QUANT_STRIPE;
    dim[lead + 3] = 4;
    *n_dim = lead + (k == DATA ? 4 : 3);
    *dtype = wd_dtype_name(k == SCALE ? WD_DTYPE_F16 : WD_DTYPE_U8);
    *bytes = k == DATA    ? wd_span_of(t->data, n * s.data)
             : k == SCALE ? wd_span_of(t->scale, n * s.scale)
                          : wd_span_of(t->zero, n * s.zero);
    return true;
}

static wd_status add_part(writer *x, const char *stored, kind k, const wd_tensor *t, wd_err *err)
{
    const char *dtype;
    size_t dim[WD_TENSOR_DIMS + 1];
    uint32_t n_dim;
    wd_span bytes;
    if (!form_of(t, k, &dtype, dim, &n_dim, &bytes))
        return WD_OK;
    json_t *shape = json_array(), *entry;
    for (uint32_t i = 0; i < n_dim; i++)
        wd_json_append(&shape, json_integer((json_int_t)dim[i]));
    entry = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtype, "shape", shape, "data_offsets",
                      (json_int_t)x->at, (json_int_t)(x->at + bytes.n));
    const char *name = wd_arena_printf(x->arena, "%s%s", stored, suffixes[k]);
    if (!name || !entry) {
        json_decref(entry);
        return no_memory(err);
    }
    if (json_object_get(x->header, name)) {
        json_decref(entry);
        return WD_FAIL(err, WD_E_INVALID, "writing a checkpoint: two tensors would be called %s", name);
    }
    if (json_object_set_new(x->header, name, entry))
        return no_memory(err);
    x->part[x->n_part++] = bytes;
    x->at += bytes.n;
    return WD_OK;
}

/* The scales of FP8 weights that are no longer in FP8. */
static bool is_left_over(const writer *x, const char *name)
{
    wd_tensor t;
    if (!wd_span_ends(wd_span_str(name), "_scale_inv"))
        return false;
    const char *of = wd_arena_strndup(x->arena, name, strlen(name) - strlen("_scale_inv"));
    return of && wd_weights_find(x->w, of, &t) && wd_quant_is(t.dtype);
}

static wd_status add_all(writer *x, wd_err *err)
{
    for (int k = 0; k < N_KIND; k++) {
        for (size_t i = 0; i < wd_weights_count(x->w); i++) {
            const char *name, *stored;
            wd_tensor t;
            wd_weights_at(x->w, i, &name, &stored, NULL, &t, NULL);
            if (!is_left_over(x, name))
                WD_TRY(add_part(x, stored, (kind)k, &t, err));
        }
    }
    return WD_OK;
}

/* 8 bytes of length, the object, spaces up to a multiple of 64. */
static wd_status put_header(const json_t *header, wd_buf *b, wd_err *err)
{
    uint8_t *p = wd_buf_grow(b, 8);
    if (p)
        memset(p, 0, 8);
    WD_TRY(wd_json_write(header, JSON_COMPACT, b, err));
    while (!b->failed && b->n % HEADER_ALIGN)
        wd_buf_char(b, ' ');
    WD_TRY(wd_buf_check(b, "a checkpoint's header", err));
    for (size_t i = 0; i < 8; i++)
        b->p[i] = (uint8_t)((uint64_t)(b->n - 8) >> (8 * i));
    return WD_OK;
}

wd_status wd_weights_save(const wd_weights *w, const char *dir, wd_err *err)
{
    wd_buf b = { 0 };
    writer x = { .w = w, .arena = wd_arena_create(ARENA_MAX, false) };
    wd_status st = WD_OK;
    const char *path = NULL;
    if (x.arena) {
        x.header = json_pack("{s:{s:s}}", "__metadata__", "format", "pt");
        x.part = WD_NEW_N(x.arena, wd_span, 1 + 3 * wd_weights_count(w));
        path = wd_path_join(x.arena, dir, "model.safetensors");
    }
    if (!x.header || !x.part || !path)
        st = no_memory(err);
    x.n_part = 1;
    if (!st)
        st = add_all(&x, err);
    if (!st)
        st = put_header(x.header, &b, err);
    if (!st) {
        x.part[0] = wd_buf_view(&b);
        st = wd_file_write_parts(path, x.part, x.n_part, err);
    }
    wd_buf_free(&b);
    json_decref(x.header);
    wd_arena_destroy(x.arena);
    return st;
}
