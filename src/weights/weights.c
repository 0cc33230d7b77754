/* A checkpoint directory: one safetensors file or several, one table of tensors under their normal names. What it does
 * with the table once open holds for GGUF files too, which gguf_open.c opens.
 *
 * Invariants once open:
 *   1. an entry's data lies in a mapped file, or in memory of its own, that lives as long as the wd_weights;
 *   2. names are unique, both as stored and after normalisation;
 *   3. with an index, exactly the tensors it names are entries, each from the file it names.
 */
#include "weights/weights.h"

#include <assert.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "tensor/quant.h"
#include "weights/weights_parts.h"

#define SINGLE_FILE "model.safetensors"
#define INDEX_FILE "model.safetensors.index.json"
#define CONFIG_FILE "config.json"
#define INDEX_MAX ((size_t)256 << 20)
#define CONFIG_MAX ((size_t)16 << 20)
#define ARENA_MAX ((size_t)4 << 30)
#define MAX_SHARDS 4096
#define FP8_BLOCK 128

typedef wd_weights_shard shard;
typedef wd_weights_entry entry;

const char *wd_weights_normal_name(const char *stored)
{
    static const char *const prefix[] = { "model.", "language_model." };
    for (size_t i = 0; i < WD_COUNT(prefix);)
        if (!strncmp(stored, prefix[i], strlen(prefix[i]))) {
            stored += strlen(prefix[i]);
            i = 0; /* "model.language_model." and "language_model.model." both occur */
        } else {
            i++;
        }
    return stored;
}

static wd_status no_memory(const wd_weights *w, wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the table of tensors", w->dir);
}

/* A shard is a plain name in the checkpoint's own directory: an index must not reach other files. (The file
 * may be a symbolic link, as in the caches of common download tools.) */
static wd_status check_shard_name(const wd_weights *w, const char *name, wd_err *err)
{
    const size_t n = strlen(name);
    bool plain = n > 0 && n <= WD_ST_NAME_MAX && name[0] != '.';
    for (size_t i = 0; i < n && plain; i++)
        plain = name[i] > 0x20 && name[i] <= 0x7e && name[i] != '/' && name[i] != '\\';
    if (!plain)
        return WD_FAIL(err, WD_E_INVALID, "%s: \"%.100s\" is not the name of a file in the same directory",
                       w->index_path, name);
    if (!wd_span_ends(wd_span_str(name), ".safetensors"))
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: \"%.100s\" is not a .safetensors file", w->index_path,
                       name);
    return WD_OK;
}

static int by_shard_name(const void *x, const void *y)
{
    return strcmp(((const shard *)x)->name, ((const shard *)y)->name);
}

static wd_status add_shard(wd_weights *w, const char *name, wd_err *err)
{
    shard *s = &w->shard[w->n_shard];
    s->name = wd_arena_strndup(w->arena, name, strlen(name));
    s->path = wd_path_join(w->arena, w->dir, name);
    if (!s->name || !s->path)
        return no_memory(w, err);
    if (!wd_file_exists(s->path) && w->has_index)
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s names %s, which is not in the directory", w->index_path,
                       name);
    w->n_shard++;
    return WD_OK;
}

/* The distinct files of the index, sorted by name. */
static wd_status list_shards(wd_weights *w, json_t *weight_map, wd_err *err)
{
    const char *key;
    json_t *v;
    wd_status st = WD_OK;
    wd_map *seen = wd_map_create(64);
    w->shard = WD_NEW_N(w->arena, shard, MAX_SHARDS);
    if (!seen || !w->shard)
        st = no_memory(w, err);
    json_object_foreach(weight_map, key, v)
    {
        uint64_t unused;
        if (st)
            break;
        if (!json_is_string(v)) {
            st = WD_FAIL(err, WD_E_CORRUPT, "%s: the file of tensor \"%.200s\" is not a string",
                         w->index_path, key);
            break;
        }
        const char *name = json_string_value(v);
        if (wd_map_get(seen, wd_span_str(name), &unused))
            continue;
        st = check_shard_name(w, name, err);
        if (st == WD_OK && w->n_shard == MAX_SHARDS)
            st = WD_FAIL(err, WD_E_LIMIT, "%s: more than %d files", w->index_path, MAX_SHARDS);
        if (st == WD_OK && wd_map_put(seen, wd_span_str(name), 1, NULL))
            st = no_memory(w, err);
        if (st == WD_OK)
            st = add_shard(w, name, err);
    }
    wd_map_destroy(seen);
    if (st == WD_OK)
        qsort(w->shard, w->n_shard, sizeof *w->shard, by_shard_name);
    return st;
}

static wd_status open_shards(wd_weights *w, wd_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_shard; i++) {
        shard *s = &w->shard[i];
        WD_TRY(wd_st_open(s->path, w->arena, &s->file, err));
        s->bytes = wd_span_of(s->file.map.p, s->file.map.n);
        n += s->file.n;
    }
    w->cap_entry = WD_MAX(n, 1);
    w->entry = WD_NEW_N(w->arena, entry, w->cap_entry);
    if (!w->entry)
        return no_memory(w, err);
    for (size_t i = 0; i < w->n_shard; i++)
        for (size_t k = 0; k < w->shard[i].file.n; k++) {
            const wd_st_tensor *t = &w->shard[i].file.tensor[k];
            w->entry[w->n_entry++] = (entry){
                .stored = t->name,
                .name = wd_weights_normal_name(t->name),
                .shard_i = (uint32_t)i,
                .indexed = !w->has_index,
                .t = t->t,
            };
        }
    return WD_OK;
}

/* Marks the entries that the index names; every one must be in the file the index says. */
static wd_status match_index(wd_weights *w, json_t *weight_map, const wd_map *by_stored, wd_err *err)
{
    const char *key;
    json_t *v;
    json_object_foreach(weight_map, key, v)
    {
        uint64_t i;
        const char *file = json_string_value(v);
        if (!wd_map_get(by_stored, wd_span_str(key), &i))
            return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor \"%.200s\" is not in %s", w->index_path, key, file);
        entry *e = &w->entry[i];
        if (strcmp(w->shard[e->shard_i].name, file) != 0)
            return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s is in %s, not in %s", w->index_path, e->stored,
                           w->shard[e->shard_i].name, file);
        e->indexed = true;
    }
    return WD_OK;
}

/* ---- quantised matrices: one tensor made of two or three ---- */

static wd_status part_of(wd_weights *w, const wd_map *by_stored, const entry *e, const char *suffix,
                         bool needed, entry **out, wd_err *err)
{
    uint64_t i;
    const char *name = wd_arena_printf(w->arena, "%s%s", e->stored, suffix);
    *out = NULL;
    if (!name)
        return no_memory(w, err);
    if (wd_map_get(by_stored, wd_span_str(name), &i))
        *out = &w->entry[i];
    else if (needed)
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: tensor %s has no %s", w->shard[e->shard_i].path, e->stored,
                       name);
    return WD_OK;
}

static wd_status need_part(const wd_weights *w, const entry *e, wd_dtype dtype, const size_t *dim,
                           uint32_t n_dim, wd_err *err)
{
    char is[WD_ST_TEXT], want[WD_ST_TEXT];
    if (e->t.dtype != dtype || e->t.n_dim != n_dim || memcmp(e->t.dim, dim, n_dim * sizeof *dim) != 0)
        return WD_FAIL(err, WD_E_INVALID, "%s: tensor %s is %s, expected %s%s", w->shard[e->shard_i].path,
                       e->stored, wd_st_shape_text(&e->t, is), wd_dtype_name(dtype),
                       wd_st_dims_text(dim, n_dim, want));
    return WD_OK;
}

/* [..][n_stripe][n_in / 4 or 8][16][4] with [..][n_stripe][n_group][16] beside it. The files' sizes bound all products:
 * n_out * n_in is at most twice the bytes of the data. */
static wd_status join_matrix(wd_weights *w, entry *e, entry *scale, entry *zero, wd_err *err)
{
    const uint32_t lead = e->t.n_dim - 4; /* an expert dimension */
    const size_t *dim = e->t.dim + lead;
    const size_t n_in = dim[1] * (zero ? 8 : 4);
    const size_t n_group = scale->t.n_dim == 3 + lead ? scale->t.dim[1 + lead] : 0;
    const size_t group = n_group && n_in % n_group == 0 ? n_in / n_group : 0;
    size_t want[4] = { e->t.dim[0], dim[0], n_group, WD_QUANT_STRIPE };
    if (!lead)
        memmove(want, want + 1, 3 * sizeof want[0]);
    if (!wd_quant_group_is_good(group) || dim[0] == 0 || e->t.dim[0] == 0)
        return WD_FAIL(err, WD_E_INVALID,
                       "%s: tensor %s: %zu inputs with %zu scales, expected one for 32, 64 or 128",
                       w->shard[e->shard_i].path, e->stored, n_in, n_group);
    WD_TRY(need_part(w, scale, WD_DTYPE_F16, want, 3 + lead, err));
    if (zero)
        WD_TRY(need_part(w, zero, WD_DTYPE_U8, want, 3 + lead, err));
    wd_tensor t = { .data = e->t.data,
                    .dtype = zero ? WD_DTYPE_W4 : WD_DTYPE_W8,
                    .n_dim = 2 + lead,
                    .scale = scale->t.data,
                    .scale_dtype = WD_DTYPE_F16,
                    .zero = zero ? zero->t.data : NULL,
                    .group = (uint32_t)group };
    t.dim[0] = e->t.dim[0];
    t.dim[lead] = dim[0] * WD_QUANT_STRIPE;
    t.dim[lead + 1] = n_in;
    e->t = t;
    scale->part = true;
    if (zero)
        zero->part = true;
    return WD_OK;
}

static bool is_quantised_data(const wd_tensor *t)
{
    return t->dtype == WD_DTYPE_U8 && (t->n_dim == 4 || t->n_dim == 5) &&
           t->dim[t->n_dim - 2] == WD_QUANT_STRIPE && t->dim[t->n_dim - 1] == 4;
}

static wd_status join_quantised(wd_weights *w, const wd_map *by_stored, wd_err *err)
{
    for (size_t i = 0; i < w->n_entry; i++) {
        entry *e = &w->entry[i], *scale, *zero;
        if (!is_quantised_data(&e->t))
            continue;
        WD_TRY(part_of(w, by_stored, e, "_scale", true, &scale, err));
        WD_TRY(part_of(w, by_stored, e, "_zero", false, &zero, err));
        WD_TRY(join_matrix(w, e, scale, zero, err));
    }
    return WD_OK;
}

/* ---- the table ---- */

static wd_status check_doubled(wd_weights *w, json_t *weight_map, wd_err *err)
{
    wd_status st = WD_OK;
    wd_map *by_stored = wd_map_create(w->n_entry);
    if (!by_stored)
        return no_memory(w, err);
    for (size_t i = 0; i < w->n_entry && !st; i++) {
        uint64_t first;
        const entry *e = &w->entry[i];
        if (wd_map_get(by_stored, wd_span_str(e->stored), &first))
            st = WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s is doubled: it is in %s and in %s", w->dir,
                         e->stored, w->shard[w->entry[first].shard_i].name, w->shard[e->shard_i].name);
        else if (wd_map_put(by_stored, wd_span_str(e->stored), i, NULL))
            st = no_memory(w, err);
    }
    if (!st && weight_map)
        st = match_index(w, weight_map, by_stored, err);
    if (!st)
        st = join_quantised(w, by_stored, err);
    wd_map_destroy(by_stored);
    return st;
}

static void drop_parts(wd_weights *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_entry; i++)
        if (!w->entry[i].part)
            w->entry[n++] = w->entry[i];
    w->n_entry = n;
}

static void drop_unindexed(wd_weights *w)
{
    size_t n = 0;
    const char *example = NULL;
    for (size_t i = 0; i < w->n_entry; i++)
        if (w->entry[i].indexed)
            w->entry[n++] = w->entry[i];
        else
            example = w->entry[i].stored;
    if (example)
        wd_log(WD_LOG_WARN, "weights", "the index leaves out tensors of its files, ignored: n=%zu example=%s",
               w->n_entry - n, example);
    w->n_entry = n;
}

wd_status wd_weights__index_names(wd_weights *w, wd_err *err)
{
    w->by_name = wd_map_create(w->n_entry);
    if (!w->by_name)
        return no_memory(w, err);
    for (size_t i = 0; i < w->n_entry; i++) {
        uint64_t first;
        const wd_span name = wd_span_str(w->entry[i].name);
        if (wd_map_get(w->by_name, name, &first))
            return WD_FAIL(err, WD_E_CORRUPT, "%s: tensors %s and %s are the same one by name", w->dir,
                           w->entry[first].stored, w->entry[i].stored);
        if (wd_map_put(w->by_name, name, i, NULL))
            return no_memory(w, err);
    }
    return WD_OK;
}

static wd_status load_table(wd_weights *w, json_t *weight_map, wd_err *err)
{
    WD_TRY(open_shards(w, err));
    WD_TRY(check_doubled(w, weight_map, err));
    drop_unindexed(w);
    drop_parts(w);
    return wd_weights__index_names(w, err);
}

static wd_status open_sharded(wd_weights *w, wd_err *err)
{
    json_t *index = NULL, *weight_map = NULL;
    WD_TRY(wd_json_read_file(w->index_path, INDEX_MAX, &index, err));
    wd_status st = wd_json_obj(index, w->index_path, "weight_map", &weight_map, err);
    if (st == WD_OK && (!weight_map || json_object_size(weight_map) == 0))
        st = WD_FAIL(err, WD_E_CORRUPT, "%s: weight_map is missing or empty", w->index_path);
    if (st == WD_OK)
        st = list_shards(w, weight_map, err);
    if (st == WD_OK)
        st = load_table(w, weight_map, err);
    json_decref(index);
    return st;
}

static wd_status open_single(wd_weights *w, wd_err *err)
{
    w->shard = WD_NEW_N(w->arena, shard, 1);
    if (!w->shard)
        return no_memory(w, err);
    WD_TRY(add_shard(w, SINGLE_FILE, err));
    return load_table(w, NULL, err);
}

static wd_status nothing_to_open(const wd_weights *w, wd_err *err)
{
    static const char *const pickle[] = { "pytorch_model.bin", "pytorch_model.bin.index.json" };
    for (size_t i = 0; i < WD_COUNT(pickle); i++) {
        const char *path = wd_path_join(w->arena, w->dir, pickle[i]);
        if (path && wd_file_exists(path))
            return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: only %s (a pickle) is here; convert it to safetensors",
                           w->dir, pickle[i]);
    }
    return WD_FAIL(err, WD_E_NOT_FOUND, "%s: neither %s nor %s is here", w->dir, SINGLE_FILE, INDEX_FILE);
}

static wd_status open_dir(wd_weights *w, const char *dir, wd_err *err)
{
    w->dir = wd_arena_strndup(w->arena, dir, strlen(dir));
    w->index_path = wd_path_join(w->arena, dir, INDEX_FILE);
    w->config_path = wd_path_join(w->arena, dir, CONFIG_FILE);
    const char *single = wd_path_join(w->arena, dir, SINGLE_FILE);
    if (!w->dir || !w->index_path || !w->config_path || !single)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open the checkpoint", dir);
    if (!wd_file_is_dir(dir))
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: expected a directory with a checkpoint, %s", dir,
                       wd_file_exists(dir) ? "this is a file" : "there is none");
    /* The reference's order: a single file wins over an index beside it. */
    if (wd_file_exists(single))
        return open_single(w, err);
    if (wd_file_exists(w->index_path)) {
        w->has_index = true;
        return open_sharded(w, err);
    }
    return nothing_to_open(w, err);
}

wd_status wd_weights_open(const char *dir, wd_weights **out, wd_err *err)
{
    *out = NULL;
    wd_weights *w = WD_ALLOC(wd_weights);
    if (!w)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open the checkpoint", dir);
    w->arena = wd_arena_create(ARENA_MAX, false);
    wd_status st = w->arena ? open_dir(w, dir, err)
                            : WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open the checkpoint", dir);
    if (st) {
        wd_weights_close(w);
        return st;
    }
    *out = w;
    return WD_OK;
}

void wd_weights_close(wd_weights *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_entry; i++)
        wd_free(w->entry[i].owned);
    for (size_t i = 0; i < w->n_shard; i++)
        wd_st_close(&w->shard[i].file);
    wd_map_destroy(w->by_name);
    wd_arena_destroy(w->arena);
    wd_free(w);
}

static entry *lookup(const wd_weights *w, const char *name)
{
    uint64_t i;
    return wd_map_get(w->by_name, wd_span_str(name), &i) ? &w->entry[i] : NULL;
}

/* The scales of an FP8 weight: "X.weight" has "X.weight_scale_inv", fused experts "X" have "X_scale_inv". */
static entry *lookup_scale(const wd_weights *w, const entry *e)
{
    char name[WD_ST_NAME_MAX + sizeof "_scale_inv"];
    snprintf(name, sizeof name, "%s_scale_inv", e->name);
    return lookup(w, name);
}

static wd_status attach_scale(const wd_weights *w, const entry *e, const entry *s, wd_tensor *t, wd_err *err)
{
    char is[WD_ST_TEXT], want[WD_ST_TEXT];
    const char *file = w->shard[e->shard_i].path;
    if (!s)
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: tensor %s is F8_E4M3 and has no %s_scale_inv", file,
                       e->stored, e->stored);
    if (t->n_dim < 2)
        return WD_FAIL(err, WD_E_INVALID, "%s: tensor %s is %s; F8_E4M3 needs at least two dimensions", file,
                       e->stored, wd_st_shape_text(t, is));
    size_t dim[WD_TENSOR_DIMS];
    for (uint32_t i = 0; i < t->n_dim; i++)
        dim[i] = i + 2 < t->n_dim ? t->dim[i] : t->dim[i] / FP8_BLOCK + (t->dim[i] % FP8_BLOCK != 0);
    if ((s->t.dtype != WD_DTYPE_F32 && s->t.dtype != WD_DTYPE_BF16) || s->t.n_dim != t->n_dim ||
        memcmp(s->t.dim, dim, t->n_dim * sizeof dim[0]) != 0)
        return WD_FAIL(err, WD_E_INVALID,
                       "%s: tensor %s is %s, expected F32 or BF16 %s: one scale per %d x %d block",
                       w->shard[s->shard_i].path, s->stored, wd_st_shape_text(&s->t, is),
                       wd_st_dims_text(dim, t->n_dim, want), FP8_BLOCK, FP8_BLOCK);
    t->scale = s->t.data;
    t->scale_dtype = s->t.dtype;
    return WD_OK;
}

/* The entry of this name and shape, with its scales; values that must be made first are made when `make` says so. */
static wd_status resolve(wd_weights *w, const char *name, const size_t *dim, uint32_t n_dim, bool make,
                         wd_tensor *out, wd_err *err)
{
    char is[WD_ST_TEXT], want[WD_ST_TEXT];
    assert(n_dim <= WD_TENSOR_DIMS);
    entry *e = lookup(w, name);
    if (!e)
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: tensor %s is missing, expected %s", w->dir, name,
                       wd_st_dims_text(dim, n_dim, want));
    wd_tensor t = e->t;
    const char *file = w->shard[e->shard_i].path;
    if (t.n_dim != n_dim || memcmp(t.dim, dim, n_dim * sizeof dim[0]) != 0)
        return WD_FAIL(err, WD_E_INVALID, "%s: tensor %s is %s, expected %s", file, e->stored,
                       wd_st_shape_text(&t, is), wd_st_dims_text(dim, n_dim, want));
    if (t.dtype != WD_DTYPE_F32 && t.dtype != WD_DTYPE_F16 && t.dtype != WD_DTYPE_BF16 &&
        t.dtype != WD_DTYPE_F8_E4M3 && !wd_quant_is(t.dtype))
        return WD_FAIL(err, WD_E_INVALID, "%s: tensor %s is %s, expected F32, F16, BF16 or F8_E4M3", file,
                       e->stored, wd_st_shape_text(&t, is));
    if (make && e->form != WD_WEIGHTS_IN_PLACE) {
        WD_TRY(wd_weights__make(w, e, err));
        t = e->t;
    }
    if (t.dtype == WD_DTYPE_F8_E4M3) {
        entry *s = lookup_scale(w, e);
        WD_TRY(attach_scale(w, e, s, &t, err));
        s->fetched |= make;
    }
    e->fetched |= make;
    *out = t;
    return WD_OK;
}

wd_status wd_weights_get(wd_weights *w, const char *name, const size_t *dim, uint32_t n_dim, wd_tensor *out,
                         wd_err *err)
{
    return resolve(w, name, dim, n_dim, true, out, err);
}

wd_status wd_weights_check(wd_weights *w, const char *name, const size_t *dim, uint32_t n_dim, wd_err *err)
{
    wd_tensor unused;
    return resolve(w, name, dim, n_dim, false, &unused, err);
}

bool wd_weights_find(const wd_weights *w, const char *name, wd_tensor *out)
{
    const entry *e = lookup(w, name);
    if (e && out)
        *out = e->t;
    return e != NULL;
}

wd_status wd_weights_replace(wd_weights *w, const char *name, const wd_tensor *t, void *owned, wd_err *err)
{
    entry *e = lookup(w, name);
    if (!e)
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: tensor %s is missing", w->dir, name);
    wd_free(e->owned);
    e->owned = owned;
    e->t = *t;
    e->form = WD_WEIGHTS_IN_PLACE;
    return WD_OK;
}

static wd_status make_room(wd_weights *w, wd_err *err)
{
    if (w->n_entry < w->cap_entry)
        return WD_OK;
    entry *more = WD_NEW_N(w->arena, entry, w->cap_entry * 2);
    if (!more)
        return no_memory(w, err);
    memcpy(more, w->entry, w->n_entry * sizeof *more);
    w->entry = more;
    w->cap_entry *= 2;
    return WD_OK;
}

wd_status wd_weights_put(wd_weights *w, const char *name, const wd_tensor *t, void *owned, wd_err *err)
{
    char *own = wd_arena_strndup(w->arena, name, strlen(name));
    if (lookup(w, name))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: tensor %s is there twice, packed and not", w->dir, name);
    if (!own)
        return no_memory(w, err);
    WD_TRY(make_room(w, err));
    if (wd_map_put(w->by_name, wd_span_str(own), w->n_entry, NULL))
        return no_memory(w, err);
    w->entry[w->n_entry++] = (entry){ .stored = own, .name = own, .indexed = true, .owned = owned, .t = *t };
    return WD_OK;
}

wd_status wd_weights_drop(wd_weights *w, bool (*gone)(const char *name), wd_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_entry; i++) {
        if (gone(w->entry[i].name)) {
            wd_free(w->entry[i].owned);
            continue;
        }
        w->entry[n++] = w->entry[i];
    }
    w->n_entry = n;
    wd_map_destroy(w->by_name);
    w->by_name = NULL;
    return wd_weights__index_names(w, err);
}

size_t wd_weights_count(const wd_weights *w)
{
    return w->n_entry;
}

void wd_weights_at(const wd_weights *w, size_t i, const char **name, const char **stored_name,
                   const char **file, wd_tensor *t, bool *fetched)
{
    const entry *e = &w->entry[i];
    if (name)
        *name = e->name;
    if (stored_name)
        *stored_name = e->stored;
    if (file)
        *file = w->shard[e->shard_i].name;
    if (t)
        *t = e->t;
    if (fetched)
        *fetched = e->fetched;
}

size_t wd_weights_mapped_bytes(const wd_weights *w)
{
    size_t n = 0;
    for (size_t i = 0; i < w->n_shard; i++)
        n += w->shard[i].bytes.n;
    return n;
}

size_t wd_weights_made_bytes(const wd_weights *w)
{
    return w->made_bytes;
}

const char *wd_weights_stored_type(const wd_weights *w, size_t i)
{
    return w->is_gguf ? wd_ggml_name(w->entry[i].rows[0].type) : wd_dtype_name(w->entry[i].t.dtype);
}

void wd_weights_use_pool(wd_weights *w, wd_pool *pool)
{
    w->pool = pool;
}

/* Name, length and bytes, so that no two different sets of files give one input. */
static void digest_file(wd_digester *d, const char *name, wd_span bytes)
{
    uint8_t len[8];
    for (int i = 0; i < 8; i++)
        len[i] = (uint8_t)((uint64_t)bytes.n >> (8 * i));
    wd_digester_add(d, wd_span_of(name, strlen(name) + 1));
    wd_digester_add(d, wd_span_of(len, sizeof len));
    wd_digester_add(d, bytes);
}

wd_status wd_weights_digest(const wd_weights *w, wd_digest *out, wd_err *err)
{
    wd_buf config = { 0 }, index = { 0 };
    wd_digester *d = NULL;
    wd_status st = w->is_gguf ? WD_OK : wd_file_read(w->config_path, CONFIG_MAX, &config, err);
    if (st == WD_OK && w->has_index)
        st = wd_file_read(w->index_path, INDEX_MAX, &index, err);
    if (st)
        goto out;
    d = wd_digester_create();
    if (!d) {
        st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the digest", w->dir);
        goto out;
    }
    if (!w->is_gguf)
        digest_file(d, CONFIG_FILE, wd_buf_view(&config));
    if (w->has_index)
        digest_file(d, INDEX_FILE, wd_buf_view(&index));
    for (size_t i = 0; i < w->n_shard; i++)
        digest_file(d, w->shard[i].name, w->shard[i].bytes);
    wd_digester_end(d, out);
out:
    wd_buf_free(&config);
    wd_buf_free(&index);
    return st;
}
