/* The tensors of each architecture, listed from its configuration. */
#include "weights/inventory.h"

#include <stdio.h>

#include "base/log.h"
#include "base/map.h"
#include "tensor/quant.h"

#define ARENA_MAX ((size_t)1 << 30)
#define NAMED_EXTRAS 6
#define DIMS(...) (const size_t[]){ __VA_ARGS__ }, WD_COUNT(((const size_t[]){ __VA_ARGS__ }))

typedef struct list {
    wd_arena *arena;
    wd_expected *t;
    size_t n, cap;
    bool failed; /* looked at once, at the end */
} list;

/* Appends a tensor whose name is the two parts joined. */
static void add(list *l, const char *prefix, const char *name, const size_t *dim, size_t n_dim)
{
    if (l->n == l->cap) {
        const size_t cap = l->cap ? l->cap * 2 : 1024;
        wd_expected *t = WD_NEW_N(l->arena, wd_expected, cap);
        if (t && l->n)
            memcpy(t, l->t, l->n * sizeof *t);
        l->t = t ? t : l->t;
        l->cap = t ? cap : l->cap;
        l->failed |= !t;
    }
    const char *whole = l->failed ? NULL : wd_arena_printf(l->arena, "%s%s", prefix, name);
    l->failed |= !whole;
    if (l->failed)
        return;
    wd_expected *e = &l->t[l->n++];
    *e = (wd_expected){ .name = whole, .n_dim = (uint32_t)n_dim };
    memcpy(e->dim, dim, n_dim * sizeof *dim);
}

static void add_either_order(list *l, const char *prefix, const char *name, const size_t *dim, size_t n_dim)
{
    add(l, prefix, name, dim, n_dim);
    if (!l->failed)
        l->t[l->n - 1].either_order = true;
}

static void add_attention(list *l, const char *at, const wd_text_config *t)
{
    const size_t h = t->n_embd, q = (size_t)t->n_head * t->head_dim, kv = (size_t)t->n_kv_head * t->head_dim;
    add(l, at, "self_attn.q_proj.weight", DIMS(q, h));
    add(l, at, "self_attn.k_proj.weight", DIMS(kv, h));
    add(l, at, "self_attn.v_proj.weight", DIMS(kv, h));
    add(l, at, "self_attn.o_proj.weight", DIMS(h, q));
    add(l, at, "self_attn.q_norm.weight", DIMS(t->head_dim));
    add(l, at, "self_attn.k_norm.weight", DIMS(t->head_dim));
    if (t->attention_bias) {
        add(l, at, "self_attn.q_proj.bias", DIMS(q));
        add(l, at, "self_attn.k_proj.bias", DIMS(kv));
        add(l, at, "self_attn.v_proj.bias", DIMS(kv));
        add(l, at, "self_attn.o_proj.bias", DIMS(h));
    }
}

static void add_gated_mlp(list *l, const char *at, size_t n_embd, size_t n_ff)
{
    add(l, at, "gate_proj.weight", DIMS(n_ff, n_embd));
    add(l, at, "up_proj.weight", DIMS(n_ff, n_embd));
    add(l, at, "down_proj.weight", DIMS(n_embd, n_ff));
}

static void add_experts(list *l, uint32_t layer, const wd_text_config *t, wd_expert_form form)
{
    char at[64];
    const size_t e = t->n_expert, h = t->n_embd, f = t->n_ff_expert;
    snprintf(at, sizeof at, "layers.%u.mlp.", layer);
    add(l, at, "gate.weight", DIMS(e, h));
    if (form == WD_EXPERTS_FUSED) {
        add_either_order(l, at, "experts.gate_up_proj", DIMS(e, h, 2 * f));
        add_either_order(l, at, "experts.down_proj", DIMS(e, f, h));
        return;
    }
    for (uint32_t i = 0; i < t->n_expert; i++) {
        snprintf(at, sizeof at, "layers.%u.mlp.experts.%u.", layer, i);
        add_gated_mlp(l, at, h, f);
    }
}

static void add_text(list *l, const wd_text_config *t, wd_expert_form form)
{
    char at[64];
    add(l, "", "embed_tokens.weight", DIMS(t->n_vocab, t->n_embd));
    for (uint32_t i = 0; i < t->n_layer; i++) {
        snprintf(at, sizeof at, "layers.%u.", i);
        add(l, at, "input_layernorm.weight", DIMS(t->n_embd));
        add_attention(l, at, t);
        add(l, at, "post_attention_layernorm.weight", DIMS(t->n_embd));
        if (t->sparse[i]) {
            add_experts(l, i, t, form);
        } else {
            snprintf(at, sizeof at, "layers.%u.mlp.", i);
            add_gated_mlp(l, at, t->n_embd, t->n_ff);
        }
    }
    add(l, "", "norm.weight", DIMS(t->n_embd));
    if (!t->tied)
        add(l, "", "lm_head.weight", DIMS(t->n_vocab, t->n_embd));
}

/* NAME.weight and NAME.bias of a linear layer, or of a norm when in is 0. */
static void add_biased(list *l, const char *at, const char *name, size_t out, size_t in)
{
    char whole[64];
    snprintf(whole, sizeof whole, "%s.weight", name);
    if (in)
        add(l, at, whole, DIMS(out, in));
    else
        add(l, at, whole, DIMS(out));
    snprintf(whole, sizeof whole, "%s.bias", name);
    add(l, at, whole, DIMS(out));
}

static void add_merger(list *l, const char *at, const wd_vision_config *v, size_t n_norm)
{
    const size_t merged = (size_t)v->merge_size * v->merge_size * v->n_embd;
    add_biased(l, at, "norm", n_norm, 0);
    add_biased(l, at, "linear_fc1", merged, merged);
    add_biased(l, at, "linear_fc2", v->n_out, merged);
}

static void add_vision(list *l, const wd_vision_config *v)
{
    char at[64];
    const size_t h = v->n_embd;
    add(l, "visual.", "patch_embed.proj.weight",
        DIMS(h, 3, v->temporal_patch_size, v->patch_size, v->patch_size));
    add(l, "visual.", "patch_embed.proj.bias", DIMS(h));
    add(l, "visual.", "pos_embed.weight", DIMS(v->n_pos, h));
    for (uint32_t i = 0; i < v->depth; i++) {
        snprintf(at, sizeof at, "visual.blocks.%u.", i);
        add_biased(l, at, "norm1", h, 0);
        add_biased(l, at, "attn.qkv", 3 * h, h);
        add_biased(l, at, "attn.proj", h, h);
        add_biased(l, at, "norm2", h, 0);
        add_biased(l, at, "mlp.linear_fc1", v->n_ff, h);
        add_biased(l, at, "mlp.linear_fc2", h, v->n_ff);
    }
    add_merger(l, "visual.merger.", v, h);
    for (uint32_t i = 0; i < v->n_deepstack; i++) {
        snprintf(at, sizeof at, "visual.deepstack_merger_list.%u.", i);
        add_merger(l, at, v,
                   (size_t)v->merge_size * v->merge_size * h); /* normalised after grouping, unlike above */
    }
}

wd_expert_form wd_expert_form_of(const wd_model_config *c, const wd_weights *w)
{
    char fused[64], separate[64];
    for (uint32_t i = 0; w && i < c->text.n_layer; i++) {
        if (!c->text.sparse[i])
            continue;
        snprintf(fused, sizeof fused, "layers.%u.mlp.experts.gate_up_proj", i);
        snprintf(separate, sizeof separate, "layers.%u.mlp.experts.0.gate_proj.weight", i);
        if (wd_weights_find(w, fused, NULL))
            return WD_EXPERTS_FUSED;
        if (wd_weights_find(w, separate, NULL))
            return WD_EXPERTS_SEPARATE;
    }
    return c->arch == WD_ARCH_QWEN3_VL_MOE ? WD_EXPERTS_FUSED : WD_EXPERTS_SEPARATE;
}

/* The configuration's own limits keep every product below 2^64, see config.c; a 3-D expert tensor is the largest:
 * 2^12 experts of 2^16 x 2^21. */
static uint64_t count_params(const wd_expected *e)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < e->n_dim; i++)
        n *= e->dim[i];
    return n;
}

wd_status wd_inventory_make(const wd_model_config *c, wd_expert_form form, wd_arena *a, wd_inventory *out,
                            wd_err *err)
{
    list l = { .arena = a };
    add_text(&l, &c->text, form);
    if (c->has_vision)
        add_vision(&l, &c->vision);
    if (l.failed)
        return WD_FAIL(err, WD_E_NOMEM, "no memory to list the tensors of this %s", wd_arch_name(c->arch));
    wd_inventory v = { .tensor = l.t, .n = l.n };
    for (size_t i = 0; i < v.n; i++)
        *(strncmp(v.tensor[i].name, "visual.", 7) == 0 ? &v.vision_params
                                                       : &v.text_params) += count_params(&v.tensor[i]);
    *out = v;
    return WD_OK;
}

static bool shape_fits(const wd_expected *e, const wd_tensor *t)
{
    if (t->n_dim != e->n_dim)
        return false;
    if (memcmp(t->dim, e->dim, e->n_dim * sizeof e->dim[0]) == 0)
        return true;
    return e->either_order && t->dim[0] == e->dim[0] && t->dim[1] == e->dim[2] && t->dim[2] == e->dim[1];
}

/* "X_scale_inv" of an FP8 tensor X that is there, or of what X was quantised to. */
static bool is_scale(const wd_weights *w, const char *name, wd_arena *a)
{
    wd_tensor t;
    if (!wd_span_ends(wd_span_str(name), "_scale_inv"))
        return false;
    const char *of = wd_arena_strndup(a, name, strlen(name) - strlen("_scale_inv"));
    return of && wd_weights_find(w, of, &t) && (t.dtype == WD_DTYPE_F8_E4M3 || wd_quant_is(t.dtype));
}

static wd_status find_extra(const wd_map *expected, const wd_model_config *c, const wd_weights *w,
                            wd_arena *a, wd_inventory_diff *d, wd_err *err)
{
    d->extra = WD_NEW_N(a, const char *, WD_MAX(wd_weights_count(w), 1));
    if (!d->extra)
        return WD_FAIL(err, WD_E_NOMEM, "no memory to compare the tensors");
    for (size_t i = 0; i < wd_weights_count(w); i++) {
        uint64_t unused;
        const char *name, *stored;
        wd_weights_at(w, i, &name, &stored, NULL, NULL, NULL);
        if (wd_map_get(expected, wd_span_str(name), &unused) || is_scale(w, name, a) ||
            (c->text.tied && !strcmp(name, "lm_head.weight")))
            continue;
        d->extra[d->n_extra++] = stored;
    }
    return WD_OK;
}

wd_status wd_inventory_compare(const wd_inventory *v, const wd_model_config *c, const wd_weights *w,
                               wd_arena *a, wd_inventory_diff *out, wd_err *err)
{
    wd_inventory_diff d = { 0 };
    wd_status st = WD_OK;
    wd_map *expected = wd_map_create(v->n);
    d.missing = WD_NEW_N(a, const wd_expected *, WD_MAX(v->n, 1));
    d.misshaped = WD_NEW_N(a, const wd_expected *, WD_MAX(v->n, 1));
    if (!expected || !d.missing || !d.misshaped)
        st = WD_FAIL(err, WD_E_NOMEM, "no memory to compare the tensors");
    for (size_t i = 0; i < v->n && !st; i++) {
        wd_tensor t;
        const wd_expected *e = &v->tensor[i];
        if (wd_map_put(expected, wd_span_str(e->name), i, NULL))
            st = WD_FAIL(err, WD_E_NOMEM, "no memory to compare the tensors");
        else if (!wd_weights_find(w, e->name, &t))
            d.missing[d.n_missing++] = e;
        else if (!shape_fits(e, &t))
            d.misshaped[d.n_misshaped++] = e;
    }
    if (st == WD_OK)
        st = find_extra(expected, c, w, a, &d, err);
    wd_map_destroy(expected);
    if (st == WD_OK)
        *out = d;
    return st;
}

wd_status wd_inventory_warn_extra(const wd_model_config *c, const wd_weights *w, wd_err *err)
{
    wd_inventory v;
    wd_inventory_diff d = { 0 };
    wd_buf names = { 0 };
    wd_arena *a = wd_arena_create(ARENA_MAX, false);
    if (!a)
        return WD_FAIL(err, WD_E_NOMEM, "no memory to compare the tensors");
    wd_status st = wd_inventory_make(c, wd_expert_form_of(c, w), a, &v, err);
    if (st == WD_OK)
        st = wd_inventory_compare(&v, c, w, a, &d, err);
    for (size_t i = 0; i < d.n_extra && i < NAMED_EXTRAS; i++)
        wd_buf_printf(&names, "%s%s", i ? ", " : "", d.extra[i]);
    if (d.n_extra > NAMED_EXTRAS)
        wd_buf_printf(&names, " and %zu more", d.n_extra - NAMED_EXTRAS);
    if (st == WD_OK)
        st = wd_buf_check(&names, "names of extra tensors", err);
    if (st == WD_OK && d.n_extra)
        wd_log(WD_LOG_WARN, "weights", "tensors that a %s does not have, ignored: %s", wd_arch_name(c->arch),
               (const char *)names.p);
    wd_buf_free(&names);
    wd_arena_destroy(a);
    return st;
}

uint64_t wd_kv_bytes_per_token(const wd_text_config *t)
{
    return (uint64_t)t->n_layer * t->n_kv_head * t->head_dim * 2 /* keys, values */ * sizeof(wd_bf16);
}
