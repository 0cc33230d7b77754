/* The GGUF container.
 *
 * Everything comes from outside. Reading goes through a cursor that never passes the end of the file; a count is
 * compared with the bytes that are left before anything is allocated for it; a tensor is handed out only when its range
 * lies in the file and the ranges follow each other as the format says.
 */
#include "weights/gguf.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/map.h"
#include "weights/safetensors.h"

#define MAGIC "GGUF"
#define HEADER_BYTES 24
#define DEFAULT_ALIGNMENT 32
#define MAX_ALIGNMENT 65536
#define MIN_PAIR_BYTES 14   /* key length, one byte of key, type, a value of one byte */
#define MIN_TENSOR_BYTES 33 /* name length, one byte of name, count, one dimension, type, offset */

/* Bytes of one element; 0 where it depends. */
static const uint8_t type_bytes[WD_GGUF_N_TYPE] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };

typedef struct cursor {
    wd_span file;
    size_t at;
    const char *where;
} cursor;

static wd_status past_end(const cursor *c, const char *what, wd_err *err)
{
    return WD_FAIL(err, WD_E_CORRUPT, "%s: the file ends (%zu bytes) in %s", c->where, c->file.n, what);
}

static wd_status take(cursor *c, uint64_t n, const char *what, const uint8_t **p, wd_err *err)
{
    if (n > c->file.n - c->at)
        return past_end(c, what, err);
    *p = c->file.p + c->at;
    c->at += (size_t)n;
    return WD_OK;
}

static wd_status take_u32(cursor *c, const char *what, uint32_t *out, wd_err *err)
{
    const uint8_t *p = NULL;
    WD_TRY(take(c, 4, what, &p, err));
    *out = wd_le32(p);
    return WD_OK;
}

static wd_status take_u64(cursor *c, const char *what, uint64_t *out, wd_err *err)
{
    const uint8_t *p = NULL;
    WD_TRY(take(c, 8, what, &p, err));
    *out = wd_le64(p);
    return WD_OK;
}

static wd_status take_string(cursor *c, const char *what, wd_span *out, wd_err *err)
{
    uint64_t n;
    const uint8_t *p = NULL;
    WD_TRY(take_u64(c, what, &n, err));
    WD_TRY(take(c, n, what, &p, err));
    *out = wd_span_of(p, (size_t)n);
    return WD_OK;
}

/* A key or a tensor's name: it goes into messages and onto terminals. */
static wd_status take_name(cursor *c, const char *kind, wd_arena *a, const char **out, wd_err *err)
{
    wd_span s;
    WD_TRY(take_string(c, kind, &s, err));
    if (s.n == 0 || s.n > WD_ST_NAME_MAX)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: %s has %zu bytes, expected 1 to %d", c->where, kind, s.n,
                       WD_ST_NAME_MAX);
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] < 0x20 || s.p[i] > 0x7e)
            return WD_FAIL(err, WD_E_CORRUPT, "%s: %s holds a byte that is not printable ASCII", c->where,
                           kind);
    *out = wd_arena_strndup(a, (const char *)s.p, s.n);
    return *out ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its names", c->where);
}

/* ---- header ---- */

bool wd_gguf_is(wd_span bytes)
{
    return bytes.n >= 4 && memcmp(bytes.p, MAGIC, 4) == 0;
}

static wd_status read_header(cursor *c, uint32_t *version, uint64_t *n_tensor, uint64_t *n_pair, wd_err *err)
{
    if (c->file.n < HEADER_BYTES)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: %zu bytes, a GGUF file has at least %d", c->where, c->file.n,
                       HEADER_BYTES);
    if (!wd_gguf_is(c->file))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: does not begin with \"GGUF\"", c->where);
    c->at = 4;
    WD_TRY(take_u32(c, "the header", version, err));
    if (*version != 2 && *version != 3)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "%s: GGUF version %u%s; versions 2 and 3, little-endian, are read", c->where, *version,
                       *version && *version << 16 == 0 ? " (a big-endian file)" : "");
    WD_TRY(take_u64(c, "the header", n_tensor, err));
    WD_TRY(take_u64(c, "the header", n_pair, err));
    if (*n_pair > WD_GGUF_MAX_PAIRS || *n_tensor > WD_GGUF_MAX_TENSORS)
        return WD_FAIL(err, WD_E_LIMIT,
                       "%s: %llu metadata pairs and %llu tensors, at most %d and %d are read", c->where,
                       (unsigned long long)*n_pair, (unsigned long long)*n_tensor, WD_GGUF_MAX_PAIRS,
                       WD_GGUF_MAX_TENSORS);
    const uint64_t left = c->file.n - c->at;
    if (*n_pair * MIN_PAIR_BYTES + *n_tensor * MIN_TENSOR_BYTES > left)
        return WD_FAIL(
            err, WD_E_CORRUPT,
            "%s: %llu metadata pairs and %llu tensors do not fit in the %llu bytes after the header",
            c->where, (unsigned long long)*n_pair, (unsigned long long)*n_tensor, (unsigned long long)left);
    return WD_OK;
}

/* ---- metadata ---- */

static wd_status skip_strings(cursor *c, const char *key, uint64_t n, wd_err *err)
{
    wd_span unused;
    for (uint64_t i = 0; i < n;
         i++) /* each takes 8 bytes of the file at least: the loop is as long as the file */
        WD_TRY(take_string(c, key, &unused, err));
    return WD_OK;
}

static wd_status check_bools(const cursor *c, const wd_gguf_pair *p, wd_err *err)
{
    for (uint64_t i = 0; p->type == WD_GGUF_BOOL && i < p->n; i++)
        if (p->bytes.p[i] > 1)
            return WD_FAIL(err, WD_E_CORRUPT, "%s: %s holds the bool %u, expected 0 or 1", c->where, p->key,
                           p->bytes.p[i]);
    return WD_OK;
}

static wd_status read_pair(cursor *c, wd_arena *a, wd_gguf_pair *p, wd_err *err)
{
    uint32_t type;
    WD_TRY(take_name(c, "a metadata key", a, &p->key, err));
    WD_TRY(take_u32(c, p->key, &type, err));
    p->n = 1;
    p->is_array = type == WD_GGUF_ARRAY;
    if (p->is_array) {
        WD_TRY(take_u32(c, p->key, &type, err));
        WD_TRY(take_u64(c, p->key, &p->n, err));
        if (type == WD_GGUF_ARRAY)
            return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: %s is an array of arrays, which is not read", c->where,
                           p->key);
    }
    if (type >= WD_GGUF_N_TYPE)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: %s has type %u, the largest known is %d", c->where, p->key,
                       type, WD_GGUF_N_TYPE - 1);
    p->type = (wd_gguf_type)type;

    const size_t from = c->at;
    if (p->type == WD_GGUF_STRING) {
        WD_TRY(skip_strings(c, p->key, p->n, err));
    } else {
        const uint8_t *unused;
        if (p->n > (c->file.n - c->at) / type_bytes[type])
            return past_end(c, p->key, err);
        WD_TRY(take(c, p->n * type_bytes[type], p->key, &unused, err));
    }
    p->bytes = wd_span_sub(c->file, from, c->at - from);
    return check_bools(c, p, err);
}

static wd_status add_once(const cursor *c, wd_map *seen, const char *name, const char *kind, wd_err *err)
{
    bool was;
    if (wd_map_put(seen, wd_span_str(name), 1, &was))
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its names", c->where);
    if (was)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: %s %s is there twice", c->where, kind, name);
    return WD_OK;
}

static wd_status read_pairs(cursor *c, wd_arena *a, wd_gguf *g, wd_err *err)
{
    wd_status st = WD_OK;
    wd_map *seen = wd_map_create(g->n_pair);
    g->pair = WD_NEW_N(a, wd_gguf_pair, WD_MAX(g->n_pair, 1));
    if (!seen || !g->pair)
        st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory for %zu metadata pairs", c->where, g->n_pair);
    for (size_t i = 0; i < g->n_pair && !st; i++) {
        st = read_pair(c, a, &g->pair[i], err);
        if (!st)
            st = add_once(c, seen, g->pair[i].key, "key", err);
    }
    wd_map_destroy(seen);
    return st;
}

/* ---- tensors ---- */

/* The shape, and the bytes that it takes. The offset stands in data until the section's place is known. */
static wd_status read_tensor(cursor *c, wd_arena *a, wd_gguf_tensor *t, uint64_t *offset, wd_err *err)
{
    uint32_t type;
    uint64_t dim[WD_GGUF_DIMS];
    WD_TRY(take_name(c, "a tensor name", a, &t->name, err));
    WD_TRY(take_u32(c, t->name, &t->n_dim, err));
    if (t->n_dim == 0 || t->n_dim > WD_GGUF_DIMS)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s has %u dimensions, expected 1 to %d", c->where,
                       t->name, t->n_dim, WD_GGUF_DIMS);
    for (uint32_t i = 0; i < t->n_dim; i++)
        WD_TRY(take_u64(c, t->name, &dim[i], err));
    WD_TRY(take_u32(c, t->name, &type, err));
    WD_TRY(take_u64(c, t->name, offset, err));
    if (!wd_ggml_can_decode(type)) {
        const char *name = wd_ggml_name(type);
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: tensor %s is of type %s (%u), expected " WD_GGML_READS,
                       c->where, t->name, name ? name : "unknown", type);
    }
    t->type = (wd_ggml_type)type;
    const size_t len = wd_ggml_block_len(t->type);
    t->bytes = wd_ggml_block_bytes(t->type);
    for (uint32_t i = 0; i < t->n_dim; i++) {
        if (dim[i] == 0 || dim[i] > SIZE_MAX || (i == 0 && dim[0] % len))
            return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s has rows of %llu values, expected blocks of %zu",
                           c->where, t->name, (unsigned long long)dim[i], i ? (size_t)1 : len);
        t->dim[t->n_dim - 1 - i] = (size_t)dim[i];
        if (!wd_mul_size(t->bytes, i ? (size_t)dim[i] : (size_t)dim[0] / len, &t->bytes))
            return WD_FAIL(err, WD_E_CORRUPT, "%s: the size of tensor %s overflows", c->where, t->name);
    }
    return WD_OK;
}

typedef struct placed {
    uint64_t offset;
    wd_gguf_tensor t;
} placed;

static int by_offset(const void *x, const void *y)
{
    const placed *a = x, *b = y;
    if (a->offset != b->offset)
        return a->offset < b->offset ? -1 : 1;
    return strcmp(a->t.name, b->t.name);
}

/* Tensors follow each other, each at the next multiple of the alignment. */
static wd_status place(const cursor *c, size_t base, size_t alignment, placed *p, size_t n, wd_err *err)
{
    uint64_t at = 0;
    const uint64_t data_bytes = c->file.n - base;
    for (size_t i = 0; i < n; i++) {
        wd_gguf_tensor *t = &p[i].t;
        if (p[i].offset % alignment)
            return WD_FAIL(err, WD_E_CORRUPT,
                           "%s: tensor %s begins at %llu, no multiple of the alignment %zu", c->where,
                           t->name, (unsigned long long)p[i].offset, alignment);
        if (p[i].offset < at)
            return WD_FAIL(err, WD_E_CORRUPT, "%s: tensors %s and %s overlap", c->where, p[i - 1].t.name,
                           t->name);
        if (p[i].offset > data_bytes || t->bytes > data_bytes - p[i].offset)
            return WD_FAIL(err, WD_E_CORRUPT,
                           "%s: tensor %s has %zu bytes from %llu, past the %llu bytes of data in the file",
                           c->where, t->name, t->bytes, (unsigned long long)p[i].offset,
                           (unsigned long long)data_bytes);
        if (p[i].offset - at >= alignment)
            return WD_FAIL(err, WD_E_CORRUPT, "%s: a hole: %llu bytes before tensor %s belong to no tensor",
                           c->where, (unsigned long long)(p[i].offset - at), t->name);
        t->data = c->file.p + base + (size_t)p[i].offset;
        at = p[i].offset + t->bytes;
    }
    return WD_OK;
}

static wd_status read_alignment(const wd_gguf *g, size_t *out, wd_err *err)
{
    int64_t v;
    WD_TRY(wd_gguf_int(g, "general.alignment", 8, MAX_ALIGNMENT, DEFAULT_ALIGNMENT, &v, err));
    if (v & (v - 1))
        return WD_FAIL(err, WD_E_INVALID,
                       "%s: general.alignment is %lld, expected a power of two from 8 to %d", g->path,
                       (long long)v, MAX_ALIGNMENT);
    *out = (size_t)v;
    return WD_OK;
}

static wd_status read_table(cursor *c, wd_arena *a, wd_map *seen, placed *p, wd_gguf *g, wd_err *err)
{
    size_t alignment = DEFAULT_ALIGNMENT;
    for (size_t i = 0; i < g->n_tensor; i++) {
        WD_TRY(read_tensor(c, a, &p[i].t, &p[i].offset, err));
        WD_TRY(add_once(c, seen, p[i].t.name, "tensor", err));
    }
    WD_TRY(read_alignment(g, &alignment, err));
    const size_t base = (c->at + alignment - 1) / alignment * alignment;
    if (base > c->file.n && g->n_tensor) /* without tensors there may be no padding either */
        return past_end(c, "the padding before the data", err);
    qsort(p, g->n_tensor, sizeof *p, by_offset);
    return place(c, WD_MIN(base, c->file.n), alignment, p, g->n_tensor, err);
}

static wd_status read_tensors(cursor *c, wd_arena *a, wd_gguf *g, wd_err *err)
{
    wd_status st;
    wd_map *seen = wd_map_create(g->n_tensor);
    placed *p = WD_ALLOC_N(placed, WD_MAX(g->n_tensor, 1));
    g->tensor = WD_NEW_N(a, wd_gguf_tensor, WD_MAX(g->n_tensor, 1));
    if (seen && p && g->tensor)
        st = read_table(c, a, seen, p, g, err);
    else
        st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory for %zu tensors", c->where, g->n_tensor);
    for (size_t i = 0; i < g->n_tensor && !st; i++)
        g->tensor[i] = p[i].t;
    wd_free(p);
    wd_map_destroy(seen);
    return st;
}

wd_status wd_gguf_parse(wd_span bytes, const char *where, wd_arena *a, wd_gguf *out, wd_err *err)
{
    cursor c = { .file = bytes, .where = where };
    wd_gguf g = { .path = where };
    uint64_t n_tensor, n_pair;
    WD_TRY(read_header(&c, &g.version, &n_tensor, &n_pair, err));
    g.n_tensor = (size_t)n_tensor;
    g.n_pair = (size_t)n_pair;
    WD_TRY(read_pairs(&c, a, &g, err));
    WD_TRY(read_tensors(&c, a, &g, err));
    *out = g;
    return WD_OK;
}

wd_status wd_gguf_open(const char *path, wd_arena *a, wd_gguf *out, wd_err *err)
{
    wd_mapped map = { 0 };
    wd_gguf g;
    *out = (wd_gguf){ 0 };
    WD_TRY(wd_file_map(path, &map, err));
    wd_file_want_huge(&map);
    const wd_status st = wd_gguf_parse(wd_span_of(map.p, map.n), path, a, &g, err);
    if (st) {
        wd_file_unmap(&map);
        return st;
    }
    g.map = map;
    *out = g;
    return WD_OK;
}

void wd_gguf_close(wd_gguf *g)
{
    wd_file_unmap(&g->map);
    *g = (wd_gguf){ 0 };
}

/* ---- typed access ---- */

const wd_gguf_pair *wd_gguf_find(const wd_gguf *g, const char *key)
{
    for (size_t i = 0; i < g->n_pair; i++)
        if (!strcmp(g->pair[i].key, key))
            return &g->pair[i];
    return NULL;
}

const wd_gguf_tensor *wd_gguf_tensor_find(const wd_gguf *g, const char *name)
{
    for (size_t i = 0; i < g->n_tensor; i++)
        if (!strcmp(g->tensor[i].name, name))
            return &g->tensor[i];
    return NULL;
}

int64_t wd_gguf_int_at(const wd_gguf_pair *p, uint64_t i)
{
    const size_t size = type_bytes[p->type];
    if (i >= p->n || size == 0)
        return INT64_MIN;
    const uint8_t *b = p->bytes.p + (size_t)i * size;
    switch (p->type) {
    case WD_GGUF_U8:
        return b[0];
    case WD_GGUF_I8:
        return (int8_t)b[0];
    case WD_GGUF_U16:
        return wd_le16(b);
    case WD_GGUF_I16:
        return (int16_t)wd_le16(b);
    case WD_GGUF_U32:
        return wd_le32(b);
    case WD_GGUF_I32:
        return (int32_t)wd_le32(b);
    case WD_GGUF_U64: /* what is larger is outside every range that is asked for */
        return wd_le64(b) > INT64_MAX ? INT64_MAX : (int64_t)wd_le64(b);
    case WD_GGUF_I64:
        return (int64_t)wd_le64(b);
    case WD_GGUF_BOOL:
        return b[0];
    default:
        return INT64_MIN;
    }
}

double wd_gguf_num_at(const wd_gguf_pair *p, uint64_t i)
{
    if (i < p->n && p->type == WD_GGUF_F32) {
        const uint32_t bits = wd_le32(p->bytes.p + (size_t)i * 4);
        float v;
        memcpy(&v, &bits, sizeof v);
        return v;
    }
    if (i < p->n && p->type == WD_GGUF_F64) {
        const uint64_t bits = wd_le64(p->bytes.p + (size_t)i * 8);
        double v;
        memcpy(&v, &bits, sizeof v);
        return v;
    }
    const int64_t v = wd_gguf_int_at(p, i);
    return v == INT64_MIN ? NAN : (double)v;
}

static bool is_int(const wd_gguf_pair *p)
{
    return p->type != WD_GGUF_F32 && p->type != WD_GGUF_F64 && p->type != WD_GGUF_STRING &&
           p->type != WD_GGUF_BOOL;
}

static wd_status missing(const wd_gguf *g, const char *key, wd_err *err)
{
    return WD_FAIL(err, WD_E_INVALID, "%s: %s is missing", g->path, key);
}

static wd_status int_in(const wd_gguf *g, const wd_gguf_pair *p, int64_t min, int64_t max, int64_t *out,
                        wd_err *err)
{
    if (p->n == 0 || !is_int(p))
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is not an integer", g->path, p->key);
    const int64_t v = wd_gguf_int_at(p, 0);
    if (v < min || v > max)
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is %lld, expected %lld to %lld", g->path, p->key,
                       (long long)v, (long long)min, (long long)max);
    *out = v;
    return WD_OK;
}

wd_status wd_gguf_int(const wd_gguf *g, const char *key, int64_t min, int64_t max, int64_t def, int64_t *out,
                      wd_err *err)
{
    const wd_gguf_pair *p = wd_gguf_find(g, key);
    if (!p) {
        *out = def;
        return WD_OK;
    }
    if (p->is_array)
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is an array, expected an integer", g->path, key);
    return int_in(g, p, min, max, out, err);
}

wd_status wd_gguf_need_int(const wd_gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
                           wd_err *err)
{
    if (!wd_gguf_find(g, key))
        return missing(g, key, err);
    return wd_gguf_int(g, key, min, max, 0, out, err);
}

wd_status wd_gguf_need_same_int(const wd_gguf *g, const char *key, int64_t min, int64_t max, int64_t *out,
                                wd_err *err)
{
    const wd_gguf_pair *p = wd_gguf_find(g, key);
    if (!p)
        return missing(g, key, err);
    for (uint64_t i = 1; i < p->n && is_int(p); i++)
        if (wd_gguf_int_at(p, i) != wd_gguf_int_at(p, 0))
            return WD_FAIL(err, WD_E_UNSUPPORTED,
                           "%s: %s differs between layers (%lld, then %lld), one value expected", g->path,
                           key, (long long)wd_gguf_int_at(p, 0), (long long)wd_gguf_int_at(p, i));
    return int_in(g, p, min, max, out, err);
}

wd_status wd_gguf_num(const wd_gguf *g, const char *key, double min, double max, double def, double *out,
                      wd_err *err)
{
    const wd_gguf_pair *p = wd_gguf_find(g, key);
    if (!p) {
        *out = def;
        return WD_OK;
    }
    const double v = p->is_array || p->type == WD_GGUF_BOOL ? NAN : wd_gguf_num_at(p, 0);
    if (!(v >= min && v <= max)) {
        if (p->is_array || p->type == WD_GGUF_STRING || p->type == WD_GGUF_BOOL)
            return WD_FAIL(err, WD_E_INVALID, "%s: %s is not a number", g->path, key);
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is %g, expected %g to %g", g->path, key, v, min, max);
    }
    *out = v;
    return WD_OK;
}

wd_status wd_gguf_need_num(const wd_gguf *g, const char *key, double min, double max, double *out,
                           wd_err *err)
{
    if (!wd_gguf_find(g, key))
        return missing(g, key, err);
    return wd_gguf_num(g, key, min, max, 0, out, err);
}

wd_status wd_gguf_bool(const wd_gguf *g, const char *key, bool def, bool *out, wd_err *err)
{
    const wd_gguf_pair *p = wd_gguf_find(g, key);
    if (p && (p->is_array || p->type != WD_GGUF_BOOL))
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is not a bool", g->path, key);
    *out = p ? p->bytes.p[0] : def;
    return WD_OK;
}

wd_status wd_gguf_str(const wd_gguf *g, const char *key, wd_span *out, wd_err *err)
{
    const wd_gguf_pair *p = wd_gguf_find(g, key);
    *out = (wd_span){ 0 };
    if (p && (p->is_array || p->type != WD_GGUF_STRING))
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is not a string", g->path, key);
    if (p)
        *out = wd_span_sub(p->bytes, 8, SIZE_MAX);
    return WD_OK;
}

wd_status wd_gguf_array(const wd_gguf *g, const char *key, const wd_gguf_pair **out, wd_err *err)
{
    *out = wd_gguf_find(g, key);
    if (*out && (!(*out)->is_array || (*out)->type == WD_GGUF_STRING))
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is not an array of numbers", g->path, key);
    return WD_OK;
}

wd_status wd_gguf_strings(const wd_gguf *g, const char *key, wd_arena *a, wd_span **out, size_t *n,
                          wd_err *err)
{
    const wd_gguf_pair *p = wd_gguf_find(g, key);
    *out = NULL;
    *n = 0;
    if (!p)
        return WD_OK;
    if (!p->is_array || p->type != WD_GGUF_STRING)
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is not an array of strings", g->path, key);
    wd_span *list = WD_NEW_N(a, wd_span, (size_t)WD_MAX(p->n, 1));
    if (!list)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the %llu strings of %s", g->path,
                       (unsigned long long)p->n, key);
    size_t at = 0;
    for (uint64_t i = 0; i < p->n; i++) { /* lengths were checked when the file was opened */
        const size_t len = (size_t)wd_le64(p->bytes.p + at);
        list[i] = wd_span_sub(p->bytes, at + 8, len);
        at += 8 + len;
    }
    *out = list;
    *n = (size_t)p->n;
    return WD_OK;
}
