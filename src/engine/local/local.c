/* The local engine: creation, and what its parts share. */
#include "engine/local/local.h"

#include <stdio.h>

#include "base/mem.h"
#include "engine/local/inner.h"

static void destroy(void *self)
{
    wd_local *e = self;
    if (!e)
        return;
    wd_rerank_destroy(e->rerank);
    wd_kv_destroy(e->kv);
    wd_kv_pool_destroy(e->pool);
    if (e->held)
        wd_wipe(e->held, e->context * sizeof *e->held);
    wd_free(e->held);
    wd_free(e->seen);
    wd_free(e->logits);
    wd_free(e->hidden);
    wd_free((char *)(uintptr_t)e->engine.info.name);
    wd_free(e);
}

/* The ids after which a reply is over: the checkpoint's, or the chat format's where it names none. */
static void find_stop_ids(wd_local *e)
{
    static const char *const names[] = { "<|im_end|>", "<|endoftext|>" };
    for (uint32_t i = 0; i < e->cfg->n_stop; i++)
        e->stop[e->n_stop++] = e->cfg->stop[i];
    for (size_t i = 0; e->cfg->n_stop == 0 && i < WD_COUNT(names); i++) {
        const uint32_t id = wd_tokenizer_id(e->o.tokenizer, names[i]);
        if (id != WD_TOKEN_NONE)
            e->stop[e->n_stop++] = id;
    }
}

/* generation_config.json, where the checkpoint has one; greedy where it says do_sample false. */
static wd_sample_opts recommended(const wd_model_config *c)
{
    wd_sample_opts s = WD_SAMPLE_OPTS_DEFAULT;
    s.temperature = c->do_sample ? (float)c->temperature : 0;
    s.top_p = (float)c->top_p;
    s.top_k = (int32_t)c->top_k;
    s.repetition_penalty = (float)c->repetition_penalty;
    return s;
}

/* Pixels are cut for this tower: rows of another length would be read past their end. */
static wd_status check_processor(const wd_vision_processor *p, const wd_vision_config *v, wd_err *err)
{
    const wd_pixel_format *const f[] = { &p->image, &p->video };
    for (size_t i = 0; i < WD_COUNT(f); i++)
        if (f[i]->patch_size != v->patch_size || f[i]->temporal_patch_size != v->temporal_patch_size ||
            f[i]->merge_size != v->merge_size)
            return WD_FAIL(
                err, WD_E_INVALID,
                "%s: patches of %u x %u x %u merged by %u, the model's config.json says %u x %u x %u by %u",
                i ? "video_preprocessor_config.json" : "preprocessor_config.json", f[i]->temporal_patch_size,
                f[i]->patch_size, f[i]->patch_size, f[i]->merge_size, v->temporal_patch_size, v->patch_size,
                v->patch_size, v->merge_size);
    return WD_OK;
}

static wd_status fill(wd_local *e, const wd_local_opts *o, wd_err *err)
{
    e->o = *o;
    e->cfg = wd_model_cfg(o->model);
    e->context = o->context && o->context < e->cfg->text.max_pos ? o->context : e->cfg->text.max_pos;
    const wd_text_config *t = &e->cfg->text;

    if (e->cfg->has_vision)
        WD_TRY(check_processor(&o->processor, &e->cfg->vision, err));
    wd_kv_opts kv = wd_model_kv_opts(o->model);
    kv.max_len = e->context;
    e->bf16 = !o->exact && wd_model_dtype(o->model) == WD_DTYPE_BF16;
    if (o->kv != WD_KV_AUTO)
        kv.dtype = o->kv == WD_KV_F32 ? WD_DTYPE_F32 : o->kv == WD_KV_INT8 ? WD_DTYPE_KV8 : WD_DTYPE_BF16;
    WD_TRY(wd_kv_pool_create(&kv, &e->pool, err));
    WD_TRY(wd_kv_create(e->pool, &e->kv, err));
    e->held = WD_ALLOC_N(uint32_t, e->context);
    e->logits = WD_ALLOC_N(float, t->n_vocab);
    e->hidden = WD_ALLOC_N(float, t->n_embd);
    char name[96];
    snprintf(name, sizeof name, "%s on %s", wd_arch_name(e->cfg->arch), o->backend ? o->backend : "cpu");
    char *kept = wd_strdup(name);
    e->engine.info.name = kept;
    if (!e->held || !e->logits || !e->hidden || !kept)
        return WD_FAIL(err, WD_E_NOMEM, "engine: no memory for a context of %u tokens", e->context);
    find_stop_ids(e);
    e->engine.info.chat_kind = wd_chat_kind_name(o->chat_kind);
    e->engine.info.sees = e->cfg->has_vision && wd_chat_kind_sees(o->chat_kind);
    e->engine.info.n_embd = t->n_embd;
    e->engine.info.context = e->context;
    e->engine.info.sample = recommended(e->cfg);
    return WD_OK;
}

wd_status wd_local_create(const wd_local_opts *o, wd_engine **out, wd_err *err)
{
    *out = NULL;
    wd_local *e = WD_ALLOC(wd_local);
    if (!e)
        return WD_FAIL(err, WD_E_NOMEM, "engine: no memory");
    e->engine.self = e;
    e->engine.generate = wd_local__generate;
    e->engine.embed = wd_local__embed;
    e->engine.rerank = wd_local__rerank;
    e->engine.destroy = destroy;
    const wd_status st = fill(e, o, err);
    if (st) {
        destroy(e);
        return st;
    }
    *out = &e->engine;
    return WD_OK;
}

const wd_kv_opts *wd_local_kv(const wd_engine *e)
{
    const wd_local *l = e->self;
    return wd_kv_pool_opts(l->pool);
}

void wd_local__forget(wd_local *e)
{
    wd_kv_truncate(e->kv, 0);
    wd_kv_set_rope_delta(e->kv, 0);
    e->n_seen = 0;
}
