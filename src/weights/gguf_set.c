/* Finding and opening the files of a GGUF model. */
#include <ctype.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "weights/gguf_parts.h"

#define ARENA_MAX ((size_t)4 << 30)
#define PROJECTOR "qwen3vl_merger"
#define DIGITS 5 /* of the numbers in "-00001-of-00003.gguf" */

static const struct {
    const char *key;
    wd_arch arch;
} archs[] = {
    { "qwen3", WD_ARCH_QWEN3 },
    { "qwen3moe", WD_ARCH_QWEN3_MOE },
    { "qwen3vl", WD_ARCH_QWEN3_VL },
    { "qwen3vlmoe", WD_ARCH_QWEN3_VL_MOE },
};

bool wd_gguf_is_path(const char *path)
{
    uint8_t head[4];
    uint64_t size;
    wd_err err;
    if (wd_file_is_dir(path) || !wd_file_exists(path))
        return false;
    if (wd_span_ends(wd_span_str(path), ".gguf"))
        return true;
    const int fd = wd_file_open_read(path, &size, &err);
    if (fd < 0)
        return false;
    const ssize_t n = read(fd, head, sizeof head);
    close(fd);
    return n == (ssize_t)sizeof head && wd_gguf_is(wd_span_of(head, sizeof head));
}

const char *wd_gguf__key(const wd_gguf_set *s, const char *name, char key[WD_GGUF_KEY_MAX])
{
    snprintf(key, WD_GGUF_KEY_MAX, "%s.%s", s->arch_key, name);
    return key;
}

const wd_gguf *wd_gguf_set_text(const wd_gguf_set *s)
{
    return &s->file[0];
}

const wd_gguf *wd_gguf_set_vision(const wd_gguf_set *s)
{
    return s->has_vision ? &s->file[s->n_file - 1] : NULL;
}

const wd_gguf_tensor *wd_gguf__text_tensor(const wd_gguf_set *s, const char *name)
{
    const wd_gguf_tensor *t = NULL;
    for (size_t i = 0; i < s->n_file - s->has_vision && !t; i++)
        t = wd_gguf_tensor_find(&s->file[i], name);
    return t;
}

static bool has_eyes(wd_arch a)
{
    return a == WD_ARCH_QWEN3_VL || a == WD_ARCH_QWEN3_VL_MOE;
}

/* ---- the text model ---- */

static wd_status read_arch(wd_gguf_set *s, const wd_gguf *g, wd_err *err)
{
    wd_span arch;
    WD_TRY(wd_gguf_str(g, "general.architecture", &arch, err));
    if (!arch.p)
        return WD_FAIL(err, WD_E_INVALID, "%s: general.architecture is missing", g->path);
    if (wd_span_is(arch, "clip"))
        return WD_FAIL(
            err, WD_E_UNSUPPORTED,
            "%s: this is a model's vision part; give the text model with -m and this file with --mmproj",
            g->path);
    for (size_t i = 0; i < WD_COUNT(archs); i++)
        if (wd_span_is(arch, archs[i].key)) {
            s->arch = archs[i].arch;
            s->arch_key = archs[i].key;
            return WD_OK;
        }
    wd_span shown = wd_span_sub(arch, 0, 40);
    for (size_t i = 0; i < shown.n; i++)
        if (shown.p[i] < 0x20 || shown.p[i] > 0x7e)
            shown.n = i;
    return WD_FAIL(err, WD_E_UNSUPPORTED,
                   "%s: architecture \"%.*s\" is unknown, expected qwen3, qwen3moe, qwen3vl or qwen3vlmoe",
                   g->path, (int)shown.n, (const char *)shown.p);
}

/* "DIR/NAME-00001-of-00003.gguf" with another number; NULL when the name is not of that form. */
static char *part_path(wd_arena *a, const char *first, int64_t no, int64_t count)
{
    char end[40];
    const size_t n = strlen(first);
    const int len = snprintf(end, sizeof end, "-%0*d-of-%0*lld.gguf", DIGITS, 1, DIGITS, (long long)count);
    if (n < (size_t)len || strcmp(first + n - len, end) != 0)
        return NULL;
    return wd_arena_printf(a, "%.*s-%0*lld-of-%0*lld.gguf", (int)(n - (size_t)len), first, DIGITS,
                           (long long)(no + 1), DIGITS, (long long)count);
}

static wd_status open_part(wd_gguf_set *s, const char *path, int64_t no, int64_t count, wd_err *err)
{
    int64_t v;
    wd_gguf *g = &s->file[no];
    WD_TRY(wd_gguf_open(path, s->arena, g, err));
    s->n_file++;
    WD_TRY(wd_gguf_need_int(g, "split.count", 1, WD_GGUF_MAX_FILES - 1, &v, err));
    if (v != count)
        return WD_FAIL(err, WD_E_INVALID, "%s: one of %lld parts, expected one of %lld", path, (long long)v,
                       (long long)count);
    WD_TRY(wd_gguf_need_int(g, "split.no", 0, WD_GGUF_MAX_FILES, &v, err));
    if (v != no)
        return WD_FAIL(err, WD_E_INVALID, "%s: says that it is part %lld, its name says %lld", path,
                       (long long)v + 1, (long long)no + 1);
    return WD_OK;
}

static wd_status open_parts(wd_gguf_set *s, const char *path, wd_err *err)
{
    int64_t count, no, total, have = 0;
    const wd_gguf *first = &s->file[0];
    WD_TRY(wd_gguf_int(first, "split.count", 0, WD_GGUF_MAX_FILES - 1, 1, &count, err));
    WD_TRY(wd_gguf_int(first, "split.no", 0, WD_GGUF_MAX_FILES, 0, &no, err));
    if (count <= 1 && !first->n_tensor)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: a vocabulary without weights: it can be given to tokenize",
                       path);
    if (count <= 1)
        return WD_OK;
    if (no != 0)
        return WD_FAIL(err, WD_E_INVALID, "%s: part %lld of %lld; give the first part", path,
                       (long long)no + 1, (long long)count);
    for (no = 1; no < count; no++) {
        const char *part = part_path(s->arena, path, no, count);
        if (!part)
            return WD_FAIL(err, WD_E_INVALID,
                           "%s: the first of %lld parts, whose name should end in \"-00001-of-%05lld.gguf\"",
                           path, (long long)count, (long long)count);
        WD_TRY(open_part(s, part, no, count, err));
    }
    for (size_t i = 0; i < s->n_file; i++)
        have += (int64_t)s->file[i].n_tensor;
    WD_TRY(wd_gguf_int(first, "split.tensors.count", 0, INT32_MAX, have, &total, err));
    if (total != have)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: %lld tensors in all parts, expected %lld", path,
                       (long long)have, (long long)total);
    return WD_OK;
}

/* ---- the vision file ---- */

wd_status wd_gguf__deepstack(const wd_gguf *vision, uint32_t layer[WD_MAX_DEEPSTACK], uint32_t *n,
                             wd_err *err)
{
    const wd_gguf_pair *p;
    *n = 0;
    WD_TRY(wd_gguf_array(vision, "clip.vision.is_deepstack_layers", &p, err));
    for (uint64_t i = 0; p && i < p->n && i < WD_MAX_LAYERS; i++) {
        if (wd_gguf_int_at(p, i) != 1)
            continue;
        if (*n == WD_MAX_DEEPSTACK)
            return WD_FAIL(err, WD_E_UNSUPPORTED,
                           "%s: clip.vision.is_deepstack_layers names more than %d layers", vision->path,
                           WD_MAX_DEEPSTACK);
        layer[(*n)++] = (uint32_t)i;
    }
    return WD_OK;
}

/* WD_OK when the file is a tower for this model. */
static wd_status check_vision(const wd_gguf_set *s, const wd_gguf *v, wd_err *err)
{
    char key[WD_GGUF_KEY_MAX];
    wd_span arch, projector;
    int64_t n_out, n_embd, n_deepstack;
    uint32_t layer[WD_MAX_DEEPSTACK], n_layer;
    WD_TRY(wd_gguf_str(v, "general.architecture", &arch, err));
    WD_TRY(wd_gguf_str(v, "clip.projector_type", &projector, err));
    if (!projector.n)
        WD_TRY(wd_gguf_str(v, "clip.vision.projector_type", &projector, err));
    if (!wd_span_is(arch, "clip") || !wd_span_is(projector, PROJECTOR))
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "%s: not a vision part that Ward reads: expected general.architecture clip and "
                       "clip.projector_type " PROJECTOR,
                       v->path);
    WD_TRY(wd_gguf_need_int(v, "clip.vision.projection_dim", 1, 1 << 24, &n_out, err));
    WD_TRY(wd_gguf_need_int(wd_gguf_set_text(s), wd_gguf__key(s, "embedding_length", key), 1, 1 << 24,
                            &n_embd, err));
    if (n_out != n_embd)
        return WD_FAIL(err, WD_E_INVALID, "%s: made for a text model of width %lld, %s has %lld", v->path,
                       (long long)n_out, wd_gguf_set_text(s)->path, (long long)n_embd);
    WD_TRY(wd_gguf__deepstack(v, layer, &n_layer, err));
    WD_TRY(wd_gguf_int(wd_gguf_set_text(s), wd_gguf__key(s, "n_deepstack_layers", key), 0, WD_MAX_LAYERS,
                       n_layer, &n_deepstack, err));
    if (n_deepstack != n_layer)
        return WD_FAIL(err, WD_E_INVALID, "%s: %u DeepStack layers, %s expects %lld", v->path, n_layer,
                       wd_gguf_set_text(s)->path, (long long)n_deepstack);
    return WD_OK;
}

static wd_status add_vision(wd_gguf_set *s, const char *path, wd_err *err)
{
    wd_gguf *v = &s->file[s->n_file];
    WD_TRY(wd_gguf_open(path, s->arena, v, err));
    const wd_status st = check_vision(s, v, err);
    if (st) {
        wd_gguf_close(v);
        return st;
    }
    s->n_file++;
    s->has_vision = true;
    return WD_OK;
}

static bool names_mmproj(const char *name)
{
    static const char word[] = "mmproj";
    const size_t n = strlen(name);
    for (size_t i = 0; i + sizeof word - 1 <= n; i++) {
        size_t k = 0;
        while (word[k] && tolower((unsigned char)name[i + k]) == word[k])
            k++;
        if (!word[k])
            return wd_span_ends(wd_span_str(name), ".gguf");
    }
    return false;
}

/* How much the file is wanted, 0: not at all, because of what is in it. */
static wd_status rank_vision(const wd_gguf_set *s, const char *path, int *rank, wd_err *err)
{
    wd_gguf v;
    wd_err why = { 0 };
    *rank = 0;
    wd_arena *a = wd_arena_create(ARENA_MAX, false);
    if (!a)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open it", path);
    wd_status st = wd_gguf_open(path, a, &v, &why);
    if (!st) {
        st = check_vision(s, &v, &why);
        const wd_gguf_tensor *t = wd_gguf_tensor_find(&v, "v.blk.0.attn_qkv.weight");
        const wd_ggml_type type = t ? t->type : WD_GGML_Q8_0;
        if (!st)
            *rank = type == WD_GGML_BF16 ? 4 : type == WD_GGML_F16 ? 3 : type == WD_GGML_F32 ? 2 : 1;
        wd_gguf_close(&v);
    }
    wd_arena_destroy(a);
    if (!st)
        return WD_OK;
    if (st == WD_E_NOMEM || st == WD_E_IO) { /* says nothing about the file */
        if (err)
            *err = why;
        return st;
    }
    wd_log(WD_LOG_INFO, "gguf", "not taken: %s", why.text);
    return WD_OK;
}

static wd_status find_vision(wd_gguf_set *s, const char *path, wd_err *err)
{
    char **names;
    size_t n;
    int best_rank = 0;
    const char *best = NULL;
    const size_t dir_len = (size_t)(wd_path_base(path) - path);
    const char *dir = dir_len > 1 ? wd_arena_strndup(s->arena, path, dir_len - 1) : dir_len == 1 ? "/" : ".";
    if (!dir)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to look for an mmproj file", path);
    WD_TRY(wd_file_list(s->arena, dir, &names, &n, err));
    for (size_t i = 0; i < n; i++) {
        if (!names_mmproj(names[i]))
            continue;
        int rank;
        const char *one = wd_path_join(s->arena, dir, names[i]);
        if (!one)
            return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to look for an mmproj file", path);
        WD_TRY(rank_vision(s, one, &rank, err));
        if (rank > best_rank) {
            best_rank = rank;
            best = one;
        }
    }
    if (best) {
        wd_log(WD_LOG_INFO, "gguf", "vision part=%s", best);
        return add_vision(s, best, err);
    }
    wd_log(WD_LOG_WARN, "gguf", "no mmproj file beside %s: the model takes no pictures (--mmproj)", path);
    return WD_OK;
}

/* ---- all of it ---- */

static wd_status open_set(wd_gguf_set *s, const char *path, const char *mmproj, wd_err *err)
{
    s->arena = wd_arena_create(ARENA_MAX, false);
    s->file = s->arena ? WD_NEW_N(s->arena, wd_gguf, WD_GGUF_MAX_FILES + 1) : NULL;
    const char *kept = s->file ? wd_arena_strndup(s->arena, path, strlen(path)) : NULL;
    const char *kept_mmproj = kept && mmproj ? wd_arena_strndup(s->arena, mmproj, strlen(mmproj)) : NULL;
    if (!kept || (mmproj && !kept_mmproj))
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open it", path);
    WD_TRY(wd_gguf_open(kept, s->arena, &s->file[0], err));
    s->n_file = 1;
    WD_TRY(read_arch(s, &s->file[0], err));
    WD_TRY(open_parts(s, kept, err));
    if (kept_mmproj && !has_eyes(s->arch))
        return WD_FAIL(err, WD_E_INVALID, "%s: a %s model takes no vision part (--mmproj %s)", path,
                       s->arch_key, mmproj);
    if (kept_mmproj)
        return add_vision(s, kept_mmproj, err);
    return has_eyes(s->arch) ? find_vision(s, kept, err) : WD_OK;
}

wd_status wd_gguf_set_open(const char *path, const char *mmproj, wd_gguf_set **out, wd_err *err)
{
    *out = NULL;
    wd_gguf_set *s = WD_ALLOC(wd_gguf_set);
    if (!s)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open it", path);
    const wd_status st = open_set(s, path, mmproj, err);
    if (st) {
        wd_gguf_set_close(s);
        return st;
    }
    *out = s;
    return WD_OK;
}

void wd_gguf_set_close(wd_gguf_set *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_file; i++)
        wd_gguf_close(&s->file[i]);
    wd_arena_destroy(s->arena);
    wd_free(s);
}
