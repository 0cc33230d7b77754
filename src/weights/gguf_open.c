/* The tensors of GGUF files under the names of spec sections 2.2 and 2.3. */
#include "weights/gguf_open.h"

#include <stdio.h>

#include "weights/gguf_parts.h"
#include "weights/weights_parts.h"

#define ARENA_MAX ((size_t)4 << 30)

typedef wd_weights_entry entry;

/* ---- names ---- */

/* Of a layer: "blk.N.FROM.weight" or ".bias" is "layers.N.TO.weight" or ".bias". */
static const struct {
    const char *from, *to;
} text_names[] = {
    { "attn_norm", "input_layernorm" },
    { "attn_q", "self_attn.q_proj" },
    { "attn_k", "self_attn.k_proj" },
    { "attn_v", "self_attn.v_proj" },
    { "attn_output", "self_attn.o_proj" },
    { "attn_q_norm", "self_attn.q_norm" },
    { "attn_k_norm", "self_attn.k_norm" },
    { "ffn_norm", "post_attention_layernorm" },
    { "ffn_gate", "mlp.gate_proj" },
    { "ffn_up", "mlp.up_proj" },
    { "ffn_down", "mlp.down_proj" },
    { "ffn_gate_inp", "mlp.gate" },
}, vision_names[] = {
    { "ln1", "norm1" },
    { "ln2", "norm2" },
    { "attn_qkv", "attn.qkv" },
    { "attn_out", "attn.proj" },
    { "ffn_up", "mlp.linear_fc1" },
    { "ffn_down", "mlp.linear_fc2" },
}, deepstack_names[] = {
    { "norm", "norm" },
    { "fc1", "linear_fc1" },
    { "fc2", "linear_fc2" },
}, whole_names[] = {
    { "token_embd", "embed_tokens" },
    { "output_norm", "norm" },
    { "output", "lm_head" },
    { "v.patch_embd", "visual.patch_embed.proj" },
    { "v.position_embd", "visual.pos_embed" },
    { "v.post_ln", "visual.merger.norm" },
    { "mm.0", "visual.merger.linear_fc1" },
    { "mm.2", "visual.merger.linear_fc2" },
};

typedef struct builder {
    wd_weights *w;
    const wd_model_config *c;
    size_t cap;
    uint32_t file_i;
    wd_err *err;
} builder;

/* "blk.12.attn_q.weight" with prefix "blk." gives 12, "attn_q" and ".weight". */
typedef struct parsed_name {
    uint32_t layer;
    wd_span stem;
    const char *kind;
} parsed_name;

static bool parse_name(const char *name, const char *prefix, parsed_name *p)
{
    const size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0)
        return false;
    name += n;
    p->layer = 0;
    if (n) {
        size_t digits = 0;
        for (; name[digits] >= '0' && name[digits] <= '9' && digits < 6; digits++)
            p->layer = p->layer * 10 + (uint32_t)(name[digits] - '0');
        if (digits == 0 || name[digits] != '.')
            return false;
        name += digits + 1;
    }
    const char *dot = strrchr(name, '.');
    if (!dot || (strcmp(dot, ".weight") != 0 && strcmp(dot, ".bias") != 0))
        return false;
    p->stem = wd_span_of(name, (size_t)(dot - name));
    p->kind = dot;
    return true;
}

#define FIND(table, stem) find_name((const char *const *)(const void *)(table), WD_COUNT(table), stem)
static const char *find_name(const char *const *pairs, size_t n, wd_span stem)
{
    for (size_t i = 0; i < n; i++)
        if (wd_span_is(stem, pairs[2 * i]))
            return pairs[2 * i + 1];
    return NULL;
}

/* ---- entries ---- */

static bool is_plain(wd_ggml_type t)
{
    return wd_ggml_block_len(t) == 1;
}

static wd_status no_memory(const builder *b)
{
    return WD_FAIL(b->err, WD_E_NOMEM, "%s: no memory for the table of tensors", b->w->dir);
}

/* Rows first_row .. + n_row of t, which has n_col values in a row, as a tensor of the dimensions dim. */
static wd_status add_rows(builder *b, const wd_gguf_tensor *t, const char *name, size_t first_row,
                          size_t n_row, const size_t *dim, uint32_t n_dim)
{
    wd_weights *w = b->w;
    if (!name)
        return no_memory(b);
    if (w->n_entry == b->cap) {
        const size_t cap = b->cap ? b->cap * 2 : 1024;
        entry *grown = WD_NEW_N(w->arena, entry, cap);
        if (!grown)
            return no_memory(b);
        if (w->n_entry)
            memcpy(grown, w->entry, w->n_entry * sizeof *grown);
        w->entry = grown;
        b->cap = cap;
    }
    const size_t n_col = t->dim[t->n_dim - 1];
    const size_t row_bytes = n_col / wd_ggml_block_len(t->type) * wd_ggml_block_bytes(t->type);
    entry *e = &w->entry[w->n_entry++];
    *e = (entry){ .stored = t->name, .name = name, .shard_i = b->file_i, .indexed = true };
    e->rows[0] = (wd_weights_rows){ t->data + first_row * row_bytes, t->type, n_row, n_col };
    e->t.n_dim = n_dim;
    memcpy(e->t.dim, dim, n_dim * sizeof *dim);
    wd_weights__plan(e);
    return WD_OK;
}

static size_t rows_of(const wd_gguf_tensor *t)
{
    size_t n = 1;
    for (uint32_t i = 0; i + 1 < t->n_dim; i++)
        n *= t->dim[i]; /* their product with the bytes of a row fits: checked when the file was opened */
    return n;
}

static wd_status add_whole(builder *b, const wd_gguf_tensor *t, const char *name)
{
    return add_rows(b, t, name, 0, rows_of(t), t->dim, t->n_dim);
}

static wd_status bad_shape(const builder *b, const wd_gguf_tensor *t, const char *want)
{
    wd_tensor shape = { .n_dim = t->n_dim };
    char text[WD_ST_TEXT];
    memcpy(shape.dim, t->dim, sizeof t->dim);
    return WD_FAIL(b->err, WD_E_INVALID, "%s: tensor %s is %s, expected %s", b->w->shard[b->file_i].path,
                   t->name, wd_st_dims_text(shape.dim, shape.n_dim, text), want);
}

/* [n_expert][n_out][n_in], or gate and up one after the other in each expert, as one matrix for each expert. */
static wd_status add_experts(builder *b, const wd_gguf_tensor *t, uint32_t layer, const char *const *part,
                             size_t n_part)
{
    if (t->n_dim != 3 || t->dim[0] != b->c->text.n_expert || t->dim[1] % n_part)
        return bad_shape(b, t, "one matrix for each expert");
    const size_t dim[2] = { t->dim[1] / n_part, t->dim[2] };
    for (size_t e = 0; e < t->dim[0]; e++)
        for (size_t k = 0; k < n_part; k++)
            WD_TRY(add_rows(
                b, t, wd_arena_printf(b->w->arena, "layers.%u.mlp.experts.%zu.%s.weight", layer, e, part[k]),
                e * t->dim[1] + k * dim[0], dim[0], dim, 2));
    return WD_OK;
}

/* Queries, keys and values in one tensor. */
static wd_status add_qkv(builder *b, const wd_gguf_tensor *t, const parsed_name *p)
{
    static const char *const names[3] = { "q_proj", "k_proj", "v_proj" };
    const wd_text_config *c = &b->c->text;
    const size_t q = (size_t)c->n_head * c->head_dim, kv = (size_t)c->n_kv_head * c->head_dim;
    const size_t n[3] = { q, kv, kv };
    const bool weight = !strcmp(p->kind, ".weight");
    size_t at = 0;
    if (t->n_dim != (weight ? 2 : 1) || t->dim[0] != q + 2 * kv || (!weight && !is_plain(t->type)))
        return bad_shape(b, t, "queries, keys and values");
    for (size_t i = 0; i < 3; at += n[i++]) {
        const char *name = wd_arena_printf(b->w->arena, "layers.%u.self_attn.%s%s", p->layer, names[i],
                                           p->kind);
        const size_t dim[2] = { n[i], weight ? t->dim[1] : 0 };
        if (weight) {
            WD_TRY(add_rows(b, t, name, at, n[i], dim, 2));
            continue;
        }
        wd_gguf_tensor part = *t; /* a vector has one row: cut it by values */
        part.dim[0] = n[i];
        part.data += at * wd_ggml_block_bytes(t->type);
        WD_TRY(add_rows(b, &part, name, 0, 1, dim, 1));
    }
    return WD_OK;
}

/* The two convolutions of a patch, [n_embd][3][patch][patch] each, as one over two frames. */
static wd_status add_patch(builder *b, const wd_gguf *g, const wd_gguf_tensor *t)
{
    const wd_gguf_tensor *second = wd_gguf_tensor_find(g, "v.patch_embd.weight.1");
    const wd_gguf_tensor *other = wd_gguf_tensor_find(g, "v.blk.0.attn_qkv.weight");
    if (t->n_dim != 4 || !second || second->n_dim != 4 || memcmp(t->dim, second->dim, sizeof t->dim) != 0)
        return bad_shape(b, t, "four dimensions, the same as v.patch_embd.weight.1");
    const size_t dim[5] = { t->dim[0], t->dim[1], 2, t->dim[2], t->dim[3] };
    WD_TRY(add_rows(b, t, "visual.patch_embed.proj.weight", 0, rows_of(t), dim, 5));
    entry *e = &b->w->entry[b->w->n_entry - 1];
    e->rows[1] = e->rows[0];
    e->rows[1].data = second->data;
    e->rows[1].type = second->type;
    e->form = WD_WEIGHTS_JOINED;
    e->n_turn = t->dim[2] * t->dim[3];
    e->narrow = other && other->type != WD_GGML_F32; /* a file in F32 is meant to be computed in it */
    e->t.data = NULL;
    e->t.dtype = WD_DTYPE_F32;
    return WD_OK;
}

static wd_status add_layer(builder *b, const wd_gguf_tensor *t, const parsed_name *p, bool *known)
{
    static const char *const gate[] = { "gate_proj", "up_proj" };
    static const char *const down[] = { "down_proj" };
    const char *to = FIND(text_names, p->stem);
    *known = true;
    if (to)
        return add_whole(b, t, wd_arena_printf(b->w->arena, "layers.%u.%s%s", p->layer, to, p->kind));
    if (wd_span_is(p->stem, "ffn_gate_exps"))
        return add_experts(b, t, p->layer, gate, 1);
    if (wd_span_is(p->stem, "ffn_up_exps"))
        return add_experts(b, t, p->layer, gate + 1, 1);
    if (wd_span_is(p->stem, "ffn_gate_up_exps"))
        return add_experts(b, t, p->layer, gate, 2);
    if (wd_span_is(p->stem, "ffn_down_exps"))
        return add_experts(b, t, p->layer, down, 1);
    if (wd_span_is(p->stem, "attn_qkv"))
        return add_qkv(b, t, p);
    *known = false;
    return WD_OK;
}

static wd_status add_deepstack(builder *b, const wd_gguf_tensor *t, const parsed_name *p, bool *known)
{
    const char *to = FIND(deepstack_names, p->stem);
    const wd_vision_config *v = &b->c->vision;
    for (uint32_t k = 0; to && k < v->n_deepstack; k++)
        if (v->deepstack[k] == p->layer) {
            *known = true;
            return add_whole(
                b, t, wd_arena_printf(b->w->arena, "visual.deepstack_merger_list.%u.%s%s", k, to, p->kind));
        }
    return WD_OK;
}

static wd_status add_tensor(builder *b, const wd_gguf *g, const wd_gguf_tensor *t)
{
    parsed_name p;
    bool known = false;
    const char *to;
    if (!strncmp(t->name, "rope_freqs", 10))
        return WD_FAIL(b->err, WD_E_UNSUPPORTED, "%s: tensor %s changes the rotation, which is not supported",
                       g->path, t->name);
    if (!strcmp(t->name, "v.patch_embd.weight"))
        return add_patch(b, g, t);
    if (!strcmp(t->name, "v.patch_embd.weight.1"))
        return WD_OK; /* joined to the other */
    if (parse_name(t->name, "blk.", &p))
        WD_TRY(add_layer(b, t, &p, &known));
    else if (parse_name(t->name, "v.deepstack.", &p))
        WD_TRY(add_deepstack(b, t, &p, &known));
    else if (parse_name(t->name, "v.blk.", &p) && (to = FIND(vision_names, p.stem)))
        return add_whole(b, t, wd_arena_printf(b->w->arena, "visual.blocks.%u.%s%s", p.layer, to, p.kind));
    else if (parse_name(t->name, "", &p) && (to = FIND(whole_names, p.stem)))
        return add_whole(b, t, wd_arena_printf(b->w->arena, "%s%s", to, p.kind));
    return known ? WD_OK : add_whole(b, t, t->name); /* under its own name: listed as one too many */
}

static wd_status open_set(wd_weights *w, const wd_gguf_set *s, const wd_model_config *c, wd_err *err)
{
    builder b = { .w = w, .c = c, .err = err };
    w->is_gguf = true;
    w->dir = s->file[0].path;
    w->shard = WD_NEW_N(w->arena, wd_weights_shard, s->n_file);
    if (!w->shard)
        return no_memory(&b);
    for (; b.file_i < s->n_file; b.file_i++) {
        const wd_gguf *g = &s->file[b.file_i];
        w->shard[b.file_i] = (wd_weights_shard){ .name = wd_path_base(g->path),
                                                 .path = g->path,
                                                 .bytes = wd_span_of(g->map.p, g->map.n) };
        w->n_shard++;
        for (size_t i = 0; i < g->n_tensor; i++)
            WD_TRY(add_tensor(&b, g, &g->tensor[i]));
    }
    return wd_weights__index_names(w, err);
}

wd_status wd_weights_open_gguf(const wd_gguf_set *s, const wd_model_config *c, wd_weights **out, wd_err *err)
{
    *out = NULL;
    wd_weights *w = WD_ALLOC(wd_weights);
    if (!w)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open the checkpoint", s->file[0].path);
    w->arena = wd_arena_create(ARENA_MAX, false);
    const wd_status st = w->arena ? open_set(w, s, c, err)
                                  : WD_FAIL(err, WD_E_NOMEM, "%s: no memory to open the checkpoint",
                                            s->file[0].path);
    if (st) {
        wd_weights_close(w);
        return st;
    }
    *out = w;
    return WD_OK;
}
