/* Directories and GGUF files behind one face. */
#include "cli/checkpoint.h"

#include <math.h>

#define ARENA_MAX ((size_t)1 << 30)

/* What tokenizer.ggml.token_type says. */
enum { TYPE_NORMAL = 1, TYPE_UNKNOWN, TYPE_CONTROL, TYPE_USER, TYPE_UNUSED };

/* ---- the tokenizer of a GGUF file ---- */

static wd_status need_word(const wd_gguf *g, const char *key, const char *want, wd_err *err)
{
    wd_span s;
    WD_TRY(wd_gguf_str(g, key, &s, err));
    if (!wd_span_is(s, want))
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: %s is \"%.*s\", expected \"%s\"", g->path, key,
                       (int)WD_MIN(s.n, (size_t)40), s.n ? (const char *)s.p : "", want);
    return WD_OK;
}

static wd_status read_kinds(const wd_gguf *g, wd_arena *a, wd_tok_lists *l, wd_err *err)
{
    static const uint8_t kind_of[] = { [TYPE_NORMAL] = WD_TOK_KIND_PIECE,
                                       [TYPE_UNKNOWN] = WD_TOK_KIND_NONE,
                                       [TYPE_CONTROL] = WD_TOK_KIND_SPECIAL,
                                       [TYPE_USER] = WD_TOK_KIND_ADDED,
                                       [TYPE_UNUSED] = WD_TOK_KIND_NONE };
    const char *key = "tokenizer.ggml.token_type";
    const wd_gguf_pair *types;
    WD_TRY(wd_gguf_array(g, key, &types, err));
    if (!types || types->n != l->n_token)
        return WD_FAIL(err, WD_E_INVALID, "%s: %s has %llu entries, one for each of %zu tokens expected",
                       g->path, key, types ? (unsigned long long)types->n : 0, l->n_token);
    uint8_t *kind = WD_NEW_N(a, uint8_t, WD_MAX(l->n_token, 1));
    if (!kind)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its tokenizer", g->path);
    for (size_t i = 0; i < l->n_token; i++) {
        const int64_t type = wd_gguf_int_at(types, i);
        if (type < TYPE_NORMAL || type > TYPE_UNUSED)
            return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: %s[%zu] is %lld, expected %d to %d", g->path, key, i,
                           (long long)type, TYPE_NORMAL, TYPE_UNUSED);
        kind[i] = kind_of[type];
    }
    l->kind = kind;
    return WD_OK;
}

/* The id of `id_key` when `on_key` is true. */
static wd_status read_template_id(const wd_gguf *g, const char *on_key, const char *id_key, uint32_t *out,
                                  wd_err *err)
{
    bool on;
    int64_t id;
    *out = WD_TOKEN_NONE;
    WD_TRY(wd_gguf_bool(g, on_key, false, &on, err));
    if (!on)
        return WD_OK;
    WD_TRY(wd_gguf_need_int(g, id_key, 0, UINT32_MAX - 1, &id, err));
    *out = (uint32_t)id;
    return WD_OK;
}

static wd_status read_lists(const wd_gguf *g, wd_arena *a, wd_tok_lists *l, wd_err *err)
{
    wd_span *token, *merge;
    WD_TRY(need_word(g, "tokenizer.ggml.model", "gpt2", err));
    WD_TRY(need_word(g, "tokenizer.ggml.pre", "qwen2", err));
    WD_TRY(wd_gguf_strings(g, "tokenizer.ggml.tokens", a, &token, &l->n_token, err));
    WD_TRY(wd_gguf_strings(g, "tokenizer.ggml.merges", a, &merge, &l->n_merge, err));
    if (!token || !merge)
        return WD_FAIL(err, WD_E_INVALID, "%s: tokenizer.ggml.%s is missing", g->path,
                       token ? "merges" : "tokens");
    l->token = token;
    l->merge = merge;
    WD_TRY(read_kinds(g, a, l, err));
    WD_TRY(
        read_template_id(g, "tokenizer.ggml.add_bos_token", "tokenizer.ggml.bos_token_id", &l->before, err));
    return read_template_id(g, "tokenizer.ggml.add_eos_token", "tokenizer.ggml.eos_token_id", &l->after, err);
}

static wd_status gguf_tokenizer(const wd_gguf *g, wd_tokenizer **out, wd_err *err)
{
    wd_tok_lists l = { 0 };
    *out = NULL;
    wd_arena *a = wd_arena_create(ARENA_MAX, false);
    if (!a)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its tokenizer", g->path);
    wd_status st = read_lists(g, a, &l, err);
    if (!st)
        st = wd_tokenizer_open_lists(&l, g->path, out, err);
    wd_arena_destroy(a);
    return st;
}

wd_status wd_checkpoint_tokenizer(const wd_checkpoint *c, wd_tokenizer **out, wd_err *err)
{
    return c->gguf ? gguf_tokenizer(wd_gguf_set_text(c->gguf), out, err)
                   : wd_tokenizer_open(c->path, out, err);
}

wd_status wd_checkpoint_open_tokenizer(const char *path, wd_tokenizer **out, wd_err *err)
{
    wd_gguf g;
    *out = NULL;
    if (!wd_gguf_is_path(path))
        return wd_tokenizer_open(path, out, err);
    wd_arena *a = wd_arena_create(ARENA_MAX, false);
    if (!a)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open it", path);
    wd_status st = wd_gguf_open(path, a, &g, err);
    if (!st) {
        st = gguf_tokenizer(&g, out, err);
        wd_gguf_close(&g);
    }
    wd_arena_destroy(a);
    return st;
}

/* ---- the rest ---- */

wd_status wd_checkpoint_chat(const wd_checkpoint *c, const char *want, wd_chat_kind *kind, wd_err *err)
{
    wd_span jinja;
    const char *arch = wd_arch_name(c->cfg.arch);
    if (!c->gguf)
        return wd_chat_detect(c->path, arch, want, kind, NULL, err);
    WD_TRY(wd_gguf_str(wd_gguf_set_text(c->gguf), "tokenizer.chat_template", &jinja, err));
    return wd_chat_detect_template(jinja, arch, want, kind, err);
}

/* Three numbers. */
static wd_status read_colours(const wd_gguf *g, const char *key, double min, float v[3], wd_err *err)
{
    const wd_gguf_pair *p;
    WD_TRY(wd_gguf_array(g, key, &p, err));
    for (uint64_t i = 0; p && i < 3; i++) {
        const double d = p->n == 3 ? wd_gguf_num_at(p, i) : NAN;
        if (!(d >= min && d <= 100))
            return WD_FAIL(err, WD_E_INVALID, "%s: %s should be three numbers from %g to 100", g->path, key,
                           min);
        v[i] = (float)d;
    }
    return WD_OK;
}

static wd_status gguf_processor(const wd_gguf *g, const wd_vision_config *v, wd_vision_processor *out,
                                wd_err *err)
{
    wd_vision_processor p;
    int64_t min, max;
    wd_vision_processor_defaults(&p);
    p.image.patch_size = v->patch_size;
    p.image.merge_size = v->merge_size;
    p.image.temporal_patch_size = v->temporal_patch_size;
    WD_TRY(read_colours(g, "clip.vision.image_mean", -100, p.image.mean, err));
    WD_TRY(read_colours(g, "clip.vision.image_std", 1e-3, p.image.std, err));
    p.video = p.image;
    WD_TRY(wd_gguf_int(g, "clip.vision.image_min_pixels", 1, INT64_C(1) << 40,
                       (int64_t)p.image_budget.min_pixels, &min, err));
    WD_TRY(wd_gguf_int(g, "clip.vision.image_max_pixels", 1, INT64_C(1) << 40,
                       (int64_t)p.image_budget.max_pixels, &max, err));
    if (min > max)
        return WD_FAIL(err, WD_E_INVALID, "%s: clip.vision.image_min_pixels is more than image_max_pixels",
                       g->path);
    p.image_budget.min_pixels = (uint64_t)min;
    p.image_budget.max_pixels = (uint64_t)max;
    *out = p;
    return WD_OK;
}

wd_status wd_checkpoint_processor(const wd_checkpoint *c, wd_vision_processor *out, wd_err *err)
{
    const wd_gguf *g = c->gguf ? wd_gguf_set_vision(c->gguf) : NULL;
    return g ? gguf_processor(g, &c->cfg.vision, out, err) : wd_vision_processor_read(c->path, out, err);
}

static wd_status open_gguf(wd_checkpoint *c, const char *mmproj, wd_err *err)
{
    WD_TRY(wd_gguf_set_open(c->path, mmproj, &c->gguf, err));
    WD_TRY(wd_gguf_config(c->gguf, &c->cfg, err));
    return wd_weights_open_gguf(c->gguf, &c->cfg, &c->weights, err);
}

static wd_status open_directory(wd_checkpoint *c, const char *mmproj, wd_err *err)
{
    if (mmproj)
        return WD_FAIL(err, WD_E_USAGE, "--mmproj goes with a GGUF file, and %s is none", c->path);
    WD_TRY(wd_config_read(c->path, &c->cfg, err));
    return wd_weights_open(c->path, &c->weights, err);
}

wd_status wd_checkpoint_open(const char *path, const char *mmproj, wd_checkpoint *out, wd_err *err)
{
    wd_checkpoint c = { .path = path };
    const wd_status st = wd_gguf_is_path(path) ? open_gguf(&c, mmproj, err) : open_directory(&c, mmproj, err);
    if (st) {
        wd_checkpoint_close(&c);
        return st;
    }
    *out = c;
    return WD_OK;
}

void wd_checkpoint_close(wd_checkpoint *c)
{
    wd_weights_close(c->weights);
    wd_gguf_set_close(c->gguf);
    *c = (wd_checkpoint){ 0 };
}
