#include "model/model.h"

#include "base/mem.h"
#include "model/fetch.h"
#include "model/pass.h"

/* What the operators and the passes take for granted about a configuration. */
static wd_status check_text(const wd_text_config *t, wd_err *err)
{
    if (t->head_dim == 0 || t->head_dim % 2 || t->head_dim > WD_HEAD_DIM_MAX)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "config.json: head_dim %u, expected an even number up to %d",
                       t->head_dim, WD_HEAD_DIM_MAX);
    if (t->n_head == 0 || t->n_kv_head == 0 || t->n_head % t->n_kv_head)
        return WD_FAIL(err, WD_E_INVALID, "config.json: %u attention heads cannot share %u key-value heads",
                       t->n_head, t->n_kv_head);
    if (t->n_layer == 0 || t->n_layer > WD_MAX_LAYERS)
        return WD_FAIL(err, WD_E_INVALID, "config.json: %u layers, expected 1 to %d", t->n_layer,
                       WD_MAX_LAYERS);
    if (t->n_embd > WD_NORM_DIM_MAX || t->n_ff > WD_LINEAR_IN_MAX || t->n_ff_expert > WD_LINEAR_IN_MAX)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "config.json: a hidden size of %u or an intermediate size of %u is too large",
                       t->n_embd, WD_MAX(t->n_ff, t->n_ff_expert));
    if (t->n_expert && (t->n_expert_used == 0 || t->n_expert_used > t->n_expert))
        return WD_FAIL(err, WD_E_INVALID, "config.json: %u experts of %u for each token", t->n_expert_used,
                       t->n_expert);
    return WD_OK;
}

static wd_status check_vision(const wd_vision_config *v, const wd_text_config *t, wd_err *err)
{
    if (v->n_head == 0 || v->n_embd % v->n_head || v->n_embd / v->n_head % 4 ||
        v->n_embd / v->n_head > WD_HEAD_DIM_MAX)
        return WD_FAIL(
            err, WD_E_UNSUPPORTED,
            "config.json: vision_config: %u values in %u heads, expected a multiple of 4 up to %d in each",
            v->n_embd, v->n_head, WD_HEAD_DIM_MAX);
    if (v->n_out != t->n_embd)
        return WD_FAIL(err, WD_E_INVALID,
                       "config.json: vision_config: out_hidden_size %u, expected the decoder's %u", v->n_out,
                       t->n_embd);
    const size_t patch = (size_t)3 * v->temporal_patch_size * v->patch_size * v->patch_size;
    const size_t group = (size_t)v->merge_size * v->merge_size * v->n_embd;
    if (patch > WD_LINEAR_IN_MAX || group > WD_NORM_DIM_MAX || v->n_ff > WD_LINEAR_IN_MAX)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "config.json: vision_config: patches of %zu values, merged rows of %zu or an "
                       "intermediate size of "
                       "%u are too large",
                       patch, group, v->n_ff);
    if (v->merge_size == 0 || v->merge_size > 16 || v->n_deepstack > WD_MAX_DEEPSTACK ||
        v->n_deepstack > t->n_layer)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "config.json: vision_config: merge size %u or %u DeepStack layers", v->merge_size,
                       v->n_deepstack);
    return WD_OK;
}

/* The next part of the block, 64-byte aligned; before the block is there, only its place is counted. */
static void *cut(wd_work *w, size_t count)
{
    void *p = w->block ? w->block + w->n_float : NULL;
    w->n_float += (count + 15) / 16 * 16; /* every element has 4 bytes */
    return p;
}

static void cut_all(wd_model *m)
{
    const wd_text_config *c = &m->cfg.text;
    wd_work *w = &m->work;
    const size_t rows = m->max_rows, k = c->n_expert ? c->n_expert_used : 0, ex_embd = k ? c->n_embd : 0;
    w->n_float = 0;
    w->x = cut(w, rows * c->n_embd);
    w->norm = cut(w, rows * c->n_embd);
    w->q = cut(w, rows * c->n_head * c->head_dim);
    w->attn = cut(w, rows * c->n_head * c->head_dim);
    w->k = cut(w, rows * c->n_kv_head * c->head_dim);
    w->v = cut(w, rows * c->n_kv_head * c->head_dim);
    w->gate = cut(w, rows * m->n_ff_dense);
    w->up = cut(w, rows * m->n_ff_dense);
    w->cos = cut(w, rows * c->head_dim / 2);
    w->sin = cut(w, rows * c->head_dim / 2);
    w->lora = cut(w, rows * m->max_rank);
    w->probs = cut(w, rows * c->n_expert);
    w->top_p = cut(w, rows * k);
    w->top_i = cut(w, rows * k);
    w->order = cut(w, rows * k);
    w->start = cut(w, c->n_expert + 1);
    w->ex_out = cut(w, rows * ex_embd);
    w->ex_ff = cut(w, rows * 2 * c->n_ff_expert);
    w->ex_act = cut(w, rows * c->n_ff_expert);
    w->ex_weight = cut(w, rows * k);
    w->ex_map = cut(w, 2 * (size_t)c->n_expert * sizeof *w->ex_map / sizeof(float));
    w->pos = cut(w, rows);
    w->seq = cut(w, rows * sizeof *w->seq / sizeof(float));
}

/* The sizes are bounded by the configuration's ranges and max_rows: no product overflows. */
static wd_status take_workspace(wd_model *m, wd_err *err)
{
    cut_all(m);
    const size_t total = m->work.n_float;
    m->work.block = wd_alloc_aligned(total, sizeof(float));
    if (!m->work.block)
        return WD_FAIL(err, WD_E_NOMEM, "model: no memory for a workspace of %zu bytes",
                       total * sizeof(float));
    cut_all(m);
    return WD_OK;
}

wd_status wd_model_open(wd_weights *w, const wd_model_config *c, const wd_model_opts *o, wd_ops *ops,
                        wd_model **out, wd_err *err)
{
    const wd_model_opts defaults = WD_MODEL_OPTS_DEFAULT;
    *out = NULL;
    o = o ? o : &defaults;
    WD_TRY(check_text(&c->text, err));
    if (c->has_vision)
        WD_TRY(check_vision(&c->vision, &c->text, err));
    if (o->max_rows == 0 || o->max_rows > 65536)
        return WD_FAIL(err, WD_E_USAGE, "model: %u tokens per step, expected 1 to 65536", o->max_rows);

    wd_model *m = WD_ALLOC(wd_model);
    if (!m)
        return WD_FAIL(err, WD_E_NOMEM, "model: no memory");
    m->cfg = *c;
    m->ops = ops;
    m->max_rows = o->max_rows;
    const wd_fetch f = { .m = m, .w = w, .o = o, .err = err };
    wd_status st = wd_fetch__decoder(&f);
    if (!st && c->has_vision && !o->no_vision)
        st = wd_fetch__tower(&f);
    if (!st)
        st = take_workspace(m, err);
    if (st) {
        wd_model_close(m);
        return st;
    }
    *out = m;
    return WD_OK;
}

void wd_model_close(wd_model *m)
{
    if (!m)
        return;
    wd_decoder__free(&m->text, &m->cfg.text);
    wd_tower__free(m->tower);
    wd_free(m->work.block);
    wd_free(m);
}

const wd_model_config *wd_model_cfg(const wd_model *m)
{
    return &m->cfg;
}

uint32_t wd_model_max_rows(const wd_model *m)
{
    return m->max_rows;
}

size_t wd_model_workspace_bytes(const wd_model *m)
{
    return m->work.n_float * sizeof(float);
}

wd_dtype wd_model_dtype(const wd_model *m)
{
    return m->text.embd.dtype;
}

wd_kv_opts wd_model_kv_opts(const wd_model *m)
{
    const wd_text_config *c = &m->cfg.text;
    return (wd_kv_opts){
        .n_layer = c->n_layer,
        .n_kv_head = c->n_kv_head,
        .head_dim = c->head_dim,
        .dtype = m->text.embd.dtype == WD_DTYPE_F32 ? WD_DTYPE_F32 : WD_DTYPE_BF16,
        .page_len = 64,
        .max_len = c->max_pos,
    };
}
