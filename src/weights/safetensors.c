/* The safetensors container: 8 bytes of header length, a JSON object, then the data section.
 *
 * Everything in the header comes from outside. A tensor is handed out only when its range lies in the file
 * and holds exactly its elements, and a file is accepted only when the ranges tile the data section: a header
 * that disagrees with its data anywhere is not trusted elsewhere.
 */
#include "weights/safetensors.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json.h"

#define PREFIX 8

static wd_status parse_dtype(const char *text, const char *where, const char *name, wd_dtype *out,
                             wd_err *err)
{
    for (int i = 0; i < WD_DTYPE_STORED; i++)
        if (!strcmp(text, wd_dtype_name((wd_dtype)i))) {
            *out = (wd_dtype)i;
            return WD_OK;
        }
    return WD_FAIL(err, WD_E_UNSUPPORTED,
                   "%s: tensor %s has dtype \"%.32s\", expected F32, F16, BF16, F8_E4M3, I32, I64 or U8",
                   where, name, text);
}

/* Names go into messages and onto terminals, and no tensor of any published model needs more than this. */
static wd_status check_name(const char *name, const char *where, wd_err *err)
{
    const size_t n = strlen(name);
    if (n == 0 || n > WD_ST_NAME_MAX)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: a tensor name has %zu bytes, expected 1 to %d", where, n,
                       WD_ST_NAME_MAX);
    for (size_t i = 0; i < n; i++)
        if (name[i] < 0x20 || name[i] > 0x7e)
            return WD_FAIL(err, WD_E_CORRUPT,
                           "%s: tensor name \"%s\" holds a byte that is not printable ASCII", where, name);
    return WD_OK;
}

static wd_status need_size(const json_t *v, const char *what, const char *where, const char *name,
                           size_t *out, wd_err *err)
{
    if (!json_is_integer(v))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s has a %s that is not an integer", where, name, what);
    const json_int_t i = json_integer_value(v);
    if (i < 0)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s has the negative %s %lld", where, name, what,
                       (long long)i);
    *out = (size_t)i;
    return WD_OK;
}

static wd_status parse_shape(const json_t *entry, const char *where, const char *name, wd_tensor *t,
                             wd_err *err)
{
    const json_t *shape = json_object_get(entry, "shape");
    if (!json_is_array(shape))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s has no shape", where, name);
    const size_t n = json_array_size(shape);
    if (n > WD_TENSOR_DIMS)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: tensor %s has %zu dimensions, at most %d are read", where,
                       name, n, WD_TENSOR_DIMS);
    t->n_dim = (uint32_t)n;
    for (size_t i = 0; i < n; i++)
        WD_TRY(need_size(json_array_get(shape, i), "dimension", where, name, &t->dim[i], err));
    return WD_OK;
}

static wd_status parse_range(const json_t *entry, const char *where, size_t data_bytes, wd_st_tensor *t,
                             wd_err *err)
{
    const json_t *at = json_object_get(entry, "data_offsets");
    if (!json_is_array(at) || json_array_size(at) != 2)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s needs data_offsets of two numbers", where, t->name);
    WD_TRY(need_size(json_array_get(at, 0), "offset", where, t->name, &t->begin, err));
    WD_TRY(need_size(json_array_get(at, 1), "offset", where, t->name, &t->end, err));
    if (t->begin > t->end)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s ends at %zu, before it begins at %zu", where,
                       t->name, t->end, t->begin);
    if (t->end > data_bytes)
        return WD_FAIL(err, WD_E_CORRUPT,
                       "%s: tensor %s ends at byte %zu, past the %zu bytes of data in the file", where,
                       t->name, t->end, data_bytes);
    return WD_OK;
}

static wd_status parse_entry(const json_t *entry, const char *where, wd_span data, wd_st_tensor *t,
                             wd_err *err)
{
    char text[WD_ST_TEXT];
    if (!json_is_object(entry))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s is not described by an object", where, t->name);
    const json_t *dtype = json_object_get(entry, "dtype");
    if (!json_is_string(dtype))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s has no dtype", where, t->name);
    WD_TRY(parse_dtype(json_string_value(dtype), where, t->name, &t->t.dtype, err));
    WD_TRY(parse_shape(entry, where, t->name, &t->t, err));
    WD_TRY(parse_range(entry, where, data.n, t, err));

    size_t bytes = wd_dtype_bytes(t->t.dtype);
    for (uint32_t i = 0; i < t->t.n_dim; i++)
        if (!wd_mul_size(bytes, t->t.dim[i], &bytes))
            return WD_FAIL(err, WD_E_CORRUPT, "%s: the size of tensor %s, %s, overflows", where, t->name,
                           wd_st_shape_text(&t->t, text));
    if (bytes != t->end - t->begin)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s has %zu bytes, but %s needs %zu", where, t->name,
                       t->end - t->begin, wd_st_shape_text(&t->t, text), bytes);
    t->t.data = data.p + t->begin;
    return WD_OK;
}

static wd_status check_metadata(const json_t *meta, const char *where, wd_err *err)
{
    const char *key;
    json_t *v;
    if (!json_is_object(meta))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: __metadata__ is not an object", where);
    json_object_foreach((json_t *)meta, key, v)
    {
        if (!json_is_string(v))
            return WD_FAIL(err, WD_E_CORRUPT, "%s: __metadata__ holds \"%.64s\", which is not a string",
                           where, key);
    }
    return WD_OK;
}

static int by_offset(const void *x, const void *y)
{
    const wd_st_tensor *a = (const wd_st_tensor *)x, *b = (const wd_st_tensor *)y;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end)
        return a->end < b->end ? -1 : 1; /* an empty tensor before the one that begins with it */
    return strcmp(a->name, b->name);
}

static wd_status check_cover(const wd_st_tensor *t, size_t n, size_t data_bytes, const char *where,
                             wd_err *err)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (t[i].begin < at)
            return WD_FAIL(err, WD_E_CORRUPT, "%s: tensors %s and %s overlap", where, t[i - 1].name,
                           t[i].name);
        if (t[i].begin > at)
            return WD_FAIL(err, WD_E_CORRUPT,
                           "%s: a hole: the %zu bytes before tensor %s belong to no tensor", where,
                           t[i].begin - at, t[i].name);
        at = t[i].end;
    }
    if (at != data_bytes)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: the last %zu bytes belong to no tensor", where,
                       data_bytes - at);
    return WD_OK;
}

static wd_status parse_header(json_t *head, const char *where, wd_span data, wd_arena *a,
                              wd_st_tensor **tensor, size_t *n, wd_err *err)
{
    const char *key;
    json_t *v;
    size_t i = 0;
    wd_st_tensor *t = WD_NEW_N(a, wd_st_tensor, WD_MAX(json_object_size(head), 1));
    if (!t)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for %zu tensors", where, json_object_size(head));
    json_object_foreach(head, key, v)
    {
        if (!strcmp(key, "__metadata__")) {
            WD_TRY(check_metadata(v, where, err));
            continue;
        }
        WD_TRY(check_name(key, where, err));
        t[i].name = wd_arena_strndup(a, key, strlen(key));
        if (!t[i].name)
            return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the tensor names", where);
        WD_TRY(parse_entry(v, where, data, &t[i], err));
        i++;
    }
    qsort(t, i, sizeof *t, by_offset);
    WD_TRY(check_cover(t, i, data.n, where, err));
    *tensor = t;
    *n = i;
    return WD_OK;
}

wd_status wd_st_parse(wd_span bytes, const char *where, wd_arena *a, wd_st_tensor **tensor, size_t *n,
                      wd_err *err)
{
    if (bytes.n < PREFIX)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: %zu bytes, a safetensors file has at least %d", where, bytes.n,
                       PREFIX);
    const uint64_t head_bytes = wd_le64(bytes.p);
    if (head_bytes > WD_ST_HEADER_MAX)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: header length %llu is over the limit of %d bytes", where,
                       (unsigned long long)head_bytes, WD_ST_HEADER_MAX);
    if (head_bytes > bytes.n - PREFIX)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: header length %llu is past the end of the file (%zu bytes)",
                       where, (unsigned long long)head_bytes, bytes.n);
    if (head_bytes == 0 || bytes.p[PREFIX] != '{')
        return WD_FAIL(err, WD_E_CORRUPT, "%s: the header does not begin with '{'", where);

    json_t *head = NULL;
    wd_status st = wd_json_parse(wd_span_sub(bytes, PREFIX, (size_t)head_bytes), where, &head, err);
    if (st == WD_OK)
        st = parse_header(head, where, wd_span_sub(bytes, PREFIX + (size_t)head_bytes, SIZE_MAX), a, tensor,
                          n, err);
    json_decref(head);
    return st;
}

wd_status wd_st_open(const char *path, wd_arena *a, wd_st_file *out, wd_err *err)
{
    wd_st_file f = { 0 };
    *out = f;
    WD_TRY(wd_file_map(path, &f.map, err));
    wd_file_want_huge(&f.map);
    wd_status st = wd_st_parse(wd_span_of(f.map.p, f.map.n), path, a, &f.tensor, &f.n, err);
    if (st) {
        wd_file_unmap(&f.map);
        return st;
    }
    *out = f;
    return WD_OK;
}

void wd_st_close(wd_st_file *f)
{
    wd_file_unmap(&f->map);
    *f = (wd_st_file){ 0 };
}

/* Five numbers of 20 digits and a dtype name stay under WD_ST_TEXT. */
static size_t put_dims(const size_t *dim, uint32_t n_dim, char *text, size_t at)
{
    assert(n_dim <= WD_TENSOR_DIMS);
    text[at++] = '[';
    for (uint32_t i = 0; i < n_dim; i++)
        at += (size_t)snprintf(text + at, WD_ST_TEXT - at, "%s%zu", i ? ", " : "", dim[i]);
    text[at++] = ']';
    text[at] = 0;
    return at;
}

const char *wd_st_dims_text(const size_t *dim, uint32_t n_dim, char text[WD_ST_TEXT])
{
    put_dims(dim, n_dim, text, 0);
    return text;
}

const char *wd_st_shape_text(const wd_tensor *t, char text[WD_ST_TEXT])
{
    const int n = snprintf(text, WD_ST_TEXT, "%s", wd_dtype_name(t->dtype));
    put_dims(t->dim, t->n_dim, text, (size_t)n);
    return text;
}
