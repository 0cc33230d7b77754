/* Unpacking GPTQ and AWQ, a stripe of outputs at a time: integers first, then groups as tensor/quant.h stores them. */
#include "weights/packed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "tensor/quant.h"
#include "weights/safetensors.h"

enum { STRIPE = WD_QUANT_STRIPE };

typedef struct source {
    wd_packing packing;
    uint32_t bits, per_word; /* values in a word */
    size_t n_out, n_in, n_group, group;
    const uint8_t *qweight, *qzeros; /* words, little endian */
    wd_tensor scales;
    const uint8_t *g_idx; /* words; NULL: r / group */
} source;

typedef struct job {
    const source *s;
    wd_quant to;
    bool as_stored; /* integers, zeros and scales fit as they are */
    uint8_t *q;     /* [n_worker][STRIPE][n_in] */
    float *row;     /* [n_worker][n_in] */
    wd_err *errs;
    wd_status *statuses;
} job;

/* The nibble of output 8 c + j in a word of AWQ. */
static const uint8_t awq_place[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };

/* Integers of outputs o .. o + 15. */
static void decode_stripe(const source *s, size_t o, uint8_t *q)
{
    const uint32_t mask = (1u << s->bits) - 1;
    if (s->packing == WD_PACKING_AWQ) {
        for (size_t r = 0; r < s->n_in; r++) {
            for (size_t j = 0; j < STRIPE; j++) {
                const uint32_t word = wd_le32(s->qweight + 4 * (r * (s->n_out / 8) + (o + j) / 8));
                q[j * s->n_in + r] = (uint8_t)(word >> 4 * awq_place[j % 8] & 15);
            }
        }
        return;
    }
    for (size_t r = 0; r < s->n_in / s->per_word; r++) {
        for (size_t j = 0; j < STRIPE; j++) {
            const uint32_t word = wd_le32(s->qweight + 4 * (r * s->n_out + o + j));
            for (uint32_t k = 0; k < s->per_word; k++)
                q[j * s->n_in + r * s->per_word + k] = (uint8_t)(word >> k * s->bits & mask);
        }
    }
}

static unsigned zero_of(const source *s, size_t g, size_t o)
{
    const uint32_t word = wd_le32(s->qzeros + 4 * (g * (s->n_out / s->per_word) + o / s->per_word));
    if (s->packing == WD_PACKING_AWQ)
        return word >> 4 * awq_place[o % 8] & 15;
    const unsigned z = word >> o % s->per_word * s->bits & ((1u << s->bits) - 1);
    return s->packing == WD_PACKING_GPTQ ? z + 1 : z;
}

static float scale_of(const source *s, size_t g, size_t o)
{
    return wd_tensor_get(&s->scales, g * s->n_out + o);
}

static size_t group_of(const source *s, size_t r)
{
    return s->g_idx ? wd_le32(s->g_idx + 4 * r) : r / s->group;
}

static wd_status put_as_stored(const job *j, size_t o, const uint8_t *q, wd_err *err)
{
    const source *s = j->s;
    for (size_t g = 0; g < s->n_in / j->to.group; g++, q += j->to.group) {
        const size_t from = g * j->to.group / s->group;
        const float scale = scale_of(s, from, o);
        const unsigned zero = zero_of(s, from, o);
        if (s->bits == 4) {
            WD_TRY(wd_quant_put_w4_min(&j->to, o, g, scale, -scale * (float)zero, q, err));
            continue;
        }
        int8_t v[WD_QUANT_GROUP_MAX];
        for (size_t k = 0; k < j->to.group; k++)
            v[k] = (int8_t)(q[k] - 128);
        wd_quant_put_w8(&j->to, o, g, wd_f32_to_f16(scale), v);
    }
    return WD_OK;
}

static wd_status put_again(const job *j, size_t o, const uint8_t *q, float *row, wd_err *err)
{
    const source *s = j->s;
    for (size_t r = 0; r < s->n_in; r++) {
        const size_t g = group_of(s, r);
        row[r] = scale_of(s, g, o) * (float)((int)q[r] - (int)zero_of(s, g, o));
    }
    return wd_quant_row(&j->to, o, row, err);
}

static void unpack_part(void *arg, unsigned worker, unsigned n_worker)
{
    const job *j = arg;
    const size_t n_in = j->s->n_in;
    uint8_t *q = j->q + worker * STRIPE * n_in;
    wd_status *st = &j->statuses[worker];
    size_t first, last;
    wd_pool_share(j->s->n_out, STRIPE, worker, n_worker, &first, &last);
    for (size_t o = first; o < last && !*st; o += STRIPE) {
        decode_stripe(j->s, o, q);
        for (size_t i = 0; i < STRIPE && !*st; i++)
            *st = j->as_stored ? put_as_stored(j, o + i, q + i * n_in, &j->errs[worker])
                               : put_again(j, o + i, q + i * n_in, j->row + worker * n_in, &j->errs[worker]);
    }
}

/* ---- the parts of one matrix ---- */

static wd_status part(const wd_weights *w, wd_arena *a, const char *stem, const char *name, bool needed,
                      wd_tensor *out, const char **full, wd_err *err)
{
    *out = (wd_tensor){ 0 };
    *full = wd_arena_printf(a, "%s.%s", stem, name);
    if (!*full)
        return WD_FAIL(err, WD_E_NOMEM, "tensor %s: no memory to unpack it", stem);
    if (!wd_weights_find(w, *full, out) && needed)
        return WD_FAIL(err, WD_E_NOT_FOUND, "tensor %s.qweight has no %s", stem, *full);
    return WD_OK;
}

static wd_status need_shape(const char *name, const wd_tensor *t, bool words, const size_t *dim,
                            uint32_t n_dim, wd_err *err)
{
    char is[WD_ST_TEXT], want[WD_ST_TEXT];
    const bool good = words
                          ? t->dtype == WD_DTYPE_I32
                          : t->dtype == WD_DTYPE_F16 || t->dtype == WD_DTYPE_BF16 || t->dtype == WD_DTYPE_F32;
    if (!good || t->n_dim != n_dim || memcmp(t->dim, dim, n_dim * sizeof *dim) != 0)
        return WD_FAIL(err, WD_E_INVALID, "tensor %s is %s, expected %s%s", name, wd_st_shape_text(t, is),
                       words ? "I32" : "F16, BF16 or F32 ", wd_st_dims_text(dim, n_dim, want));
    return WD_OK;
}

/* Whether inputs are in an order of their own; every index must name a group. */
static wd_status look_at_order(source *s, const char *name, wd_err *err)
{
    bool plain = true;
    for (size_t r = 0; r < s->n_in; r++) {
        const uint32_t g = wd_le32(s->g_idx + 4 * r);
        if (g >= s->n_group)
            return WD_FAIL(err, WD_E_CORRUPT, "tensor %s: input %zu is of group %u, there are %zu", name, r,
                           g, s->n_group);
        plain = plain && g == r / s->group;
    }
    if (plain)
        s->g_idx = NULL;
    return WD_OK;
}

static wd_status read_source(const wd_weights *w, const wd_model_config *c, wd_arena *a, const char *stem,
                             source *s, wd_err *err)
{
    wd_tensor qweight, qzeros, scales, g_idx;
    const char *name, *order;
    *s = (source){ .packing = c->packing, .bits = c->packed_bits, .per_word = 32 / c->packed_bits };
    WD_TRY(part(w, a, stem, "qweight", true, &qweight, &name, err));
    WD_TRY(need_shape(name, &qweight, true, qweight.dim, 2, err));
    const bool awq = c->packing == WD_PACKING_AWQ;
    s->n_in = qweight.dim[0] * (awq ? 1 : s->per_word);
    s->n_out = qweight.dim[1] * (awq ? s->per_word : 1);
    s->group = c->packed_group ? c->packed_group : s->n_in;
    if (s->n_out % STRIPE || s->n_out == 0 || s->n_in % 32 || s->n_in == 0 || s->n_in > WD_PACKED_IN_MAX)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "tensor %s: %zu outputs and %zu inputs, expected multiples of %d and 32", name,
                       s->n_out, s->n_in, STRIPE);
    s->n_group = (s->n_in + s->group - 1) / s->group;
    s->qweight = qweight.data;
    WD_TRY(part(w, a, stem, "qzeros", true, &qzeros, &name, err));
    WD_TRY(need_shape(name, &qzeros, true, (size_t[]){ s->n_group, s->n_out / s->per_word }, 2, err));
    s->qzeros = qzeros.data;
    WD_TRY(part(w, a, stem, "scales", true, &scales, &name, err));
    WD_TRY(need_shape(name, &scales, false, (size_t[]){ s->n_group, s->n_out }, 2, err));
    s->scales = scales;
    WD_TRY(part(w, a, stem, "g_idx", false, &g_idx, &order, err));
    if (!g_idx.data || awq)
        return WD_OK;
    WD_TRY(need_shape(order, &g_idx, true, &s->n_in, 1, err));
    s->g_idx = g_idx.data;
    return look_at_order(s, order, err);
}

/* The largest group that both divides the source's and is one of ours; 0: none. */
static uint32_t common_group(const source *s)
{
    for (uint32_t g = WD_QUANT_GROUP_MAX; g >= 32; g /= 2)
        if (s->group % g == 0 && s->n_in % g == 0)
            return g;
    return 0;
}

static bool fits_as_stored(const source *s)
{
    bool good = !s->g_idx && common_group(s);
    for (size_t g = 0; good && s->bits == 8 && g < s->n_group; g++)
        for (size_t o = 0; good && o < s->n_out; o++)
            good = zero_of(s, g, o) == 128;
    return good;
}

static wd_status unpack(wd_weights *w, const wd_model_config *c, wd_arena *a, const char *stem, wd_pool *pool,
                        wd_err *err)
{
    source s;
    WD_TRY(read_source(w, c, a, stem, &s, err));
    const unsigned n_worker = wd_pool_size(pool);
    job j = { .s = &s, .as_stored = fits_as_stored(&s) };
    const wd_dtype type = j.as_stored && s.bits == 4 ? WD_DTYPE_W4 : WD_DTYPE_W8;
    const uint32_t group = j.as_stored ? common_group(&s) : 32;
    const size_t bytes = wd_quant_bytes(type, s.n_out, s.n_in, group);
    const char *name = wd_arena_printf(a, "%s.weight", stem);
    void *block = wd_alloc_aligned(bytes, 1);
    wd_status st = WD_OK;
    j.q = wd_alloc_aligned((size_t)n_worker * STRIPE, s.n_in);
    j.row = wd_alloc_aligned((size_t)n_worker * s.n_in, sizeof(float));
    j.errs = WD_ALLOC_N(wd_err, n_worker);
    j.statuses = WD_ALLOC_N(wd_status, n_worker);
    if (!name || !block || !j.q || !j.row || !j.errs || !j.statuses)
        st = WD_FAIL(err, WD_E_NOMEM, "tensor %s: no memory to unpack it", stem);
    if (!st) {
        memset(block, 0, bytes);
        j.to = wd_quant_over(type, s.n_out, s.n_in, group, block);
        wd_pool_run(pool, unpack_part, &j);
    }
    for (unsigned i = 0; !st && i < n_worker; i++)
        if (j.statuses[i])
            st = WD_FAIL(err, j.statuses[i], "tensor %s: %s", stem, j.errs[i].text);
    if (!st) {
        const wd_tensor t = wd_quant_tensor(&j.to);
        st = wd_weights_put(w, name, &t, block, err);
    }
    if (st)
        wd_free(block);
    wd_free(j.q);
    wd_free(j.row);
    wd_free(j.errs);
    wd_free(j.statuses);
    return st;
}

static bool is_part(const char *name)
{
    static const char *const ends[] = { ".qweight", ".qzeros", ".scales", ".g_idx" };
    for (size_t i = 0; i < WD_COUNT(ends); i++)
        if (wd_span_ends(wd_span_str(name), ends[i]))
            return true;
    return false;
}

wd_status wd_weights_unpack(wd_weights *w, const wd_model_config *c, wd_pool *pool, wd_err *err)
{
    if (c->packing == WD_PACKING_NONE)
        return WD_OK;
    wd_status st = WD_OK;
    wd_arena *a = wd_arena_create((size_t)1 << 30, false);
    if (!a)
        return WD_FAIL(err, WD_E_NOMEM, "no memory to unpack the checkpoint");
    const size_t n = wd_weights_count(w); /* what is put comes behind */
    for (size_t i = 0; i < n && !st; i++) {
        const char *name;
        wd_weights_at(w, i, &name, NULL, NULL, NULL, NULL);
        if (!wd_span_ends(wd_span_str(name), ".qweight"))
            continue;
        const char *stem = wd_arena_strndup(a, name, strlen(name) - strlen(".qweight"));
        st = stem ? unpack(w, c, a, stem, pool, err)
                  : WD_FAIL(err, WD_E_NOMEM, "no memory to unpack the checkpoint");
    }
    if (!st)
        st = wd_weights_drop(w, is_part, err);
    wd_arena_destroy(a);
    return st;
}
