/* The decoder's tensors: spec sections 2.2 (dense, unfused experts) and 2.4 (fused experts). */
#include "model/fetch.h"

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "tensor/quant.h"

#define NAME_MAX_LEN 160

static wd_status fetch_mlp(const wd_fetch *f, const char *name, size_t n_ff, size_t n_embd, wd_mlp *mlp)
{
    char part[NAME_MAX_LEN];
    snprintf(part, sizeof part, "%s.gate_proj", name);
    WD_TRY(wd_fetch__proj(f, part, n_ff, n_embd, false, &mlp->gate));
    snprintf(part, sizeof part, "%s.up_proj", name);
    WD_TRY(wd_fetch__proj(f, part, n_ff, n_embd, false, &mlp->up));
    snprintf(part, sizeof part, "%s.down_proj", name);
    return wd_fetch__proj(f, part, n_embd, n_ff, false, &mlp->down);
}

/* A fused tensor [n_expert][n_in][n_out] as published, or [n_expert][n_out][n_in]: its shape decides, and the published
 * orientation is taken (and named in the error) when it is neither. Quantised, it is the latter. */
static wd_status fetch_fused(const wd_fetch *f, const char *name, size_t n_expert, size_t n_out, size_t n_in,
                             wd_tensor *out, bool *in_out)
{
    wd_tensor have = { 0 };
    const bool there = wd_weights_find(f->w, name, &have);
    *in_out = !(there && have.n_dim == 3 &&
                (wd_quant_is(have.dtype) || (n_in != n_out && have.dim[1] == n_out && have.dim[2] == n_in)));
    const size_t dim[3] = { n_expert, *in_out ? n_in : n_out, *in_out ? n_out : n_in };
    return wd_fetch__tensor(f, name, dim, 3, out);
}

static wd_status fetch_fused_experts(const wd_fetch *f, uint32_t l, wd_moe *moe)
{
    const wd_text_config *c = &f->m->cfg.text;
    char name[NAME_MAX_LEN];
    wd_tensor gate_up, down;
    bool gate_up_in_out, down_in_out;
    snprintf(name, sizeof name, "layers.%u.mlp.experts.gate_up_proj", l);
    WD_TRY(
        fetch_fused(f, name, c->n_expert, 2 * (size_t)c->n_ff_expert, c->n_embd, &gate_up, &gate_up_in_out));
    snprintf(name, sizeof name, "layers.%u.mlp.experts.down_proj", l);
    WD_TRY(fetch_fused(f, name, c->n_expert, c->n_embd, c->n_ff_expert, &down, &down_in_out));

    for (uint32_t e = 0; e < c->n_expert; e++) {
        wd_expert *x = &moe->expert[e];
        x->gate_up = (wd_linear){ .w = wd_tensor_at(&gate_up, e), .in_out = gate_up_in_out };
        x->mlp.down.lin = (wd_linear){ .w = wd_tensor_at(&down, e), .in_out = down_in_out };
    }
    return WD_OK;
}

static wd_status fetch_moe(const wd_fetch *f, uint32_t l, wd_moe *moe)
{
    const wd_text_config *c = &f->m->cfg.text;
    char name[NAME_MAX_LEN];
    snprintf(name, sizeof name, "layers.%u.mlp.gate", l);
    WD_TRY(wd_fetch__linear(f, name, c->n_expert, c->n_embd, false, &moe->router));
    moe->expert = WD_ALLOC_N(wd_expert, c->n_expert);
    if (!moe->expert)
        return WD_FAIL(f->err, WD_E_NOMEM, "model: no memory for a table of %u experts", c->n_expert);

    /* Either storage may hold either architecture (re-saved files): what is there decides. */
    snprintf(name, sizeof name, "layers.%u.mlp.experts.0.gate_proj.weight", l);
    const bool unfused = wd_weights_find(f->w, name, NULL);
    snprintf(name, sizeof name, "layers.%u.mlp.experts.gate_up_proj", l);
    const bool fused = wd_weights_find(f->w, name, NULL);
    moe->fused = fused || (!unfused && f->m->cfg.arch == WD_ARCH_QWEN3_VL_MOE);
    if (moe->fused)
        return fetch_fused_experts(f, l, moe);
    for (uint32_t e = 0; e < c->n_expert; e++) {
        snprintf(name, sizeof name, "layers.%u.mlp.experts.%u", l, e);
        WD_TRY(fetch_mlp(f, name, c->n_ff_expert, c->n_embd, &moe->expert[e].mlp));
    }
    return WD_OK;
}

static wd_status fetch_attention(const wd_fetch *f, uint32_t l, wd_layer *y)
{
    const wd_text_config *c = &f->m->cfg.text;
    const size_t n_q = (size_t)c->n_head * c->head_dim, n_kv = (size_t)c->n_kv_head * c->head_dim;
    const struct {
        const char *name;
        size_t n_out, n_in;
        wd_proj *to;
    } proj[] = {
        { "q_proj", n_q, c->n_embd, &y->q },
        { "k_proj", n_kv, c->n_embd, &y->k },
        { "v_proj", n_kv, c->n_embd, &y->v },
        { "o_proj", c->n_embd, n_q, &y->o },
    };
    char name[NAME_MAX_LEN];
    for (size_t i = 0; i < WD_COUNT(proj); i++) {
        snprintf(name, sizeof name, "layers.%u.self_attn.%s", l, proj[i].name);
        WD_TRY(wd_fetch__proj(f, name, proj[i].n_out, proj[i].n_in, c->attention_bias, proj[i].to));
    }
    snprintf(name, sizeof name, "layers.%u.self_attn.q_norm", l);
    WD_TRY(wd_fetch__norm(f, name, c->head_dim, false, &y->q_norm));
    snprintf(name, sizeof name, "layers.%u.self_attn.k_norm", l);
    return wd_fetch__norm(f, name, c->head_dim, false, &y->k_norm);
}

static wd_status fetch_layer(const wd_fetch *f, uint32_t l)
{
    const wd_text_config *c = &f->m->cfg.text;
    wd_layer *y = &f->m->text.layer[l];
    char name[NAME_MAX_LEN];
    snprintf(name, sizeof name, "layers.%u.input_layernorm", l);
    WD_TRY(wd_fetch__norm(f, name, c->n_embd, false, &y->attn_norm));
    WD_TRY(fetch_attention(f, l, y));
    snprintf(name, sizeof name, "layers.%u.post_attention_layernorm", l);
    WD_TRY(wd_fetch__norm(f, name, c->n_embd, false, &y->mlp_norm));

    y->sparse = c->n_expert && c->sparse[l];
    if (y->sparse)
        return fetch_moe(f, l, &y->moe);
    f->m->n_ff_dense = c->n_ff;
    snprintf(name, sizeof name, "layers.%u.mlp", l);
    return fetch_mlp(f, name, c->n_ff, c->n_embd, &y->mlp);
}

/* A tied head is the embedding whatever else the file stores (spec section 2.2). */
static wd_status fetch_head(const wd_fetch *f)
{
    const wd_text_config *c = &f->m->cfg.text;
    wd_decoder *d = &f->m->text;
    if (!c->tied && wd_weights_find(f->w, "lm_head.weight", NULL))
        return wd_fetch__linear(f, "lm_head", c->n_vocab, c->n_embd, false, &d->head);
    if (!c->tied)
        wd_log(WD_LOG_WARN, "model", "lm_head.weight is missing, the embedding table is used instead");
    d->head = (wd_linear){ .w = d->embd };
    return WD_OK;
}

wd_status wd_fetch__decoder(const wd_fetch *f)
{
    const wd_text_config *c = &f->m->cfg.text;
    wd_decoder *d = &f->m->text;
    d->layer = WD_ALLOC_N(wd_layer, c->n_layer);
    if (!d->layer)
        return WD_FAIL(f->err, WD_E_NOMEM, "model: no memory for a table of %u layers", c->n_layer);
    WD_TRY(wd_fetch__tensor(f, "embed_tokens.weight", (size_t[]){ c->n_vocab, c->n_embd }, 2, &d->embd));
    for (uint32_t l = 0; l < c->n_layer; l++)
        WD_TRY(fetch_layer(f, l));
    WD_TRY(wd_fetch__norm(f, "norm", c->n_embd, false, &d->norm));
    WD_TRY(fetch_head(f));
    wd_rope__init(&d->rope, &c->rope, c->head_dim);
    return WD_OK;
}

static void free_mlp(wd_mlp *mlp)
{
    wd_free(mlp->gate.adapter);
    wd_free(mlp->up.adapter);
    wd_free(mlp->down.adapter);
}

void wd_decoder__free(wd_decoder *d, const wd_text_config *c)
{
    for (uint32_t l = 0; d->layer && l < c->n_layer; l++) {
        wd_layer *y = &d->layer[l];
        wd_free(y->q.adapter);
        wd_free(y->k.adapter);
        wd_free(y->v.adapter);
        wd_free(y->o.adapter);
        free_mlp(&y->mlp);
        for (uint32_t e = 0; y->moe.expert && e < c->n_expert; e++)
            free_mlp(&y->moe.expert[e].mlp);
        wd_free(y->moe.expert);
    }
    wd_free(d->layer);
    d->layer = NULL;
}
