/* The vision tower's tensors: spec section 2.3. */
#include "model/fetch.h"

#include <stdio.h>

#include "base/mem.h"

#define NAME_MAX_LEN 160
#define QKV_FLOATS ((size_t)12 << 20)

static wd_status fetch_patch(const wd_fetch *f, wd_tower *t)
{
    const wd_vision_config *c = &f->m->cfg.vision;
    const size_t dim[5] = { c->n_embd, 3, c->temporal_patch_size, c->patch_size, c->patch_size },
                 n_embd = c->n_embd;
    WD_TRY(wd_fetch__tensor(f, "visual.patch_embed.proj.weight", dim, 5, &t->patch.w));
    WD_TRY(wd_fetch__tensor(f, "visual.patch_embed.proj.bias", &n_embd, 1, &t->patch.b));
    /* Kernel and stride are equal, so the convolution is a product over flattened patches. */
    t->patch.w.n_dim = 2;
    t->patch.w.dim[1] = dim[1] * dim[2] * dim[3] * dim[4];
    t->patch.w.dim[2] = t->patch.w.dim[3] = t->patch.w.dim[4] = 0;
    return WD_OK;
}

static wd_status fetch_positions(const wd_fetch *f, wd_tower *t)
{
    const wd_vision_config *c = &f->m->cfg.vision;
    while ((size_t)t->side * t->side < c->n_pos)
        t->side++;
    if ((size_t)t->side * t->side != c->n_pos)
        return WD_FAIL(f->err, WD_E_INVALID,
                       "config.json: vision_config: num_position_embeddings %u is not a square", c->n_pos);
    return wd_fetch__tensor(f, "visual.pos_embed.weight", (size_t[]){ c->n_pos, c->n_embd }, 2, &t->pos);
}

static wd_status fetch_block(const wd_fetch *f, uint32_t j, wd_vit_block *b)
{
    const wd_vision_config *c = &f->m->cfg.vision;
    const struct {
        const char *name;
        size_t n_out, n_in;
        wd_linear *to;
    } lin[] = {
        { "attn.qkv", 3 * (size_t)c->n_embd, c->n_embd, &b->qkv },
        { "attn.proj", c->n_embd, c->n_embd, &b->proj },
        { "mlp.linear_fc1", c->n_ff, c->n_embd, &b->fc1 },
        { "mlp.linear_fc2", c->n_embd, c->n_ff, &b->fc2 },
    };
    char name[NAME_MAX_LEN];
    for (size_t i = 0; i < WD_COUNT(lin); i++) {
        snprintf(name, sizeof name, "visual.blocks.%u.%s", j, lin[i].name);
        WD_TRY(wd_fetch__linear(f, name, lin[i].n_out, lin[i].n_in, true, lin[i].to));
    }
    snprintf(name, sizeof name, "visual.blocks.%u.norm1", j);
    WD_TRY(wd_fetch__norm(f, name, c->n_embd, true, &b->norm1));
    snprintf(name, sizeof name, "visual.blocks.%u.norm2", j);
    return wd_fetch__norm(f, name, c->n_embd, true, &b->norm2);
}

static wd_status fetch_merger(const wd_fetch *f, const char *name, size_t norm_dim, wd_merger *g)
{
    const wd_vision_config *c = &f->m->cfg.vision;
    const size_t n_in = (size_t)c->merge_size * c->merge_size * c->n_embd;
    char part[NAME_MAX_LEN];
    snprintf(part, sizeof part, "%s.norm", name);
    WD_TRY(wd_fetch__norm(f, part, norm_dim, true, &g->norm));
    snprintf(part, sizeof part, "%s.linear_fc1", name);
    WD_TRY(wd_fetch__linear(f, part, n_in, n_in, true, &g->fc1));
    snprintf(part, sizeof part, "%s.linear_fc2", name);
    return wd_fetch__linear(f, part, c->n_out, n_in, true, &g->fc2);
}

wd_status wd_fetch__tower(const wd_fetch *f)
{
    const wd_vision_config *c = &f->m->cfg.vision;
    wd_tower *t = f->m->tower = WD_ALLOC(wd_tower);
    if (!t || !(t->block = WD_ALLOC_N(wd_vit_block, c->depth)))
        return WD_FAIL(f->err, WD_E_NOMEM, "model: no memory for a table of %u vision blocks", c->depth);

    WD_TRY(fetch_patch(f, t));
    WD_TRY(fetch_positions(f, t));
    for (uint32_t j = 0; j < c->depth; j++) {
        WD_TRY(fetch_block(f, j, &t->block[j]));
        t->qkv_fp8 |= t->block[j].qkv.w.scale != NULL;
    }
    WD_TRY(fetch_merger(f, "visual.merger", c->n_embd, &t->merger));
    for (uint32_t k = 0; k < c->n_deepstack; k++) {
        char name[NAME_MAX_LEN];
        snprintf(name, sizeof name, "visual.deepstack_merger_list.%u", k);
        WD_TRY(fetch_merger(f, name, (size_t)c->merge_size * c->merge_size * c->n_embd, &t->deepstack[k]));
    }
    t->qkv_floats = QKV_FLOATS;
    wd_rope__init_axial(&t->rope, c->n_embd / c->n_head);
    return WD_OK;
}

void wd_tower__free(wd_tower *t)
{
    if (!t)
        return;
    wd_free(t->block);
    wd_free(t);
}
