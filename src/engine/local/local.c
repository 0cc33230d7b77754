/* The local engine: creation, and what its parts share. */
#include "engine/local/local.h"

#include <stdio.h>

#include "base/mem.h"
#include "engine/local/inner.h"

#define PREFIX_BYTES ((size_t)1 << 30)
#define IMAGE_BYTES ((size_t)256 << 20)
#define MAX_SEQS 32
#define MAX_WAITING 256
#define LOOK_TOKENS 1024
#define STEP_MS 150

static void destroy(void *self)
{
    wd_local *e = self;
    if (!e)
        return;
    WD_BUG_IF(e->n_job);
    wd_local__forget_prefixes(e);
    wd_local__forget_features(e);
    wd_rerank_destroy(e->rerank);
    wd_lexicon_destroy(atomic_load(&e->lexicon));
    wd_kv_pool_destroy(e->pool);
    wd_features_free(&e->step_feature);
    wd_free(e->step_id);
    wd_free(e->out_row);
    for (int k = 0; k < 3; k++)
        wd_free(e->step_pos[k]);
    wd_free(e->step_visual);
    wd_free(e->step_seq);
    wd_free(e->part);
    wd_free(e->logits);
    wd_free(e->hidden);
    pthread_cond_destroy(&e->turned);
    pthread_mutex_destroy(&e->mu);
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

static wd_status open_kv(wd_local *e, wd_err *err)
{
    const wd_local_opts *o = &e->o;
    wd_kv_opts kv = wd_model_kv_opts(o->model);
    kv.max_len = e->context;
    if (o->kv != WD_KV_AUTO)
        kv.dtype = o->kv == WD_KV_F32 ? WD_DTYPE_F32 : o->kv == WD_KV_INT8 ? WD_DTYPE_KV8 : WD_DTYPE_BF16;
    e->page_len = kv.page_len;
    e->page_bytes = wd_kv_page_bytes(&kv);
    const size_t whole = (e->context + e->page_len - 1) / e->page_len;
    if (!o->kv_bytes && o->kv_auto_bytes)
        e->o.kv_bytes = WD_MIN(o->kv_auto_bytes / e->page_bytes, (whole + 2) * e->max_seqs) * e->page_bytes;
    kv.max_bytes = o->kv_bytes;
    WD_TRY(wd_kv_pool_create(&kv, &e->pool, err));
    e->max_pages = o->kv_bytes ? o->kv_bytes / e->page_bytes : SIZE_MAX;
    if (e->max_pages < 3)
        return WD_FAIL(err, WD_E_USAGE, "engine: %zu bytes for keys and values, expected at least %zu",
                       o->kv_bytes, 3 * e->page_bytes);
    /* One page is left for the copy of a shared one. */
    e->capacity = e->max_pages > whole ? e->context : (e->max_pages - 2) * e->page_len;
    e->prefix_max = o->prefix_bytes ? o->prefix_bytes : PREFIX_BYTES;
    if (o->kv_bytes)
        e->prefix_max = WD_MIN(e->prefix_max, o->kv_bytes);
    e->image_max = o->image_bytes ? o->image_bytes : IMAGE_BYTES;
    return WD_OK;
}

static wd_status open_step(wd_local *e, wd_err *err)
{
    const wd_text_config *t = &e->cfg->text;
    const size_t rows = wd_model_max_rows(e->o.model);
    e->max_seqs = WD_MIN(e->o.max_seqs ? e->o.max_seqs : MAX_SEQS, (uint32_t)rows);
    e->look_tokens = e->o.look_tokens ? e->o.look_tokens : LOOK_TOKENS;
    e->o.max_waiting = e->o.max_waiting ? e->o.max_waiting : MAX_WAITING;
    e->pace.most_s = (e->o.step_ms ? e->o.step_ms : STEP_MS) / 1e3;
    e->max_out = 2 * e->max_seqs + WD_LOCAL_LOOKUP_SEQS * WD_LOCAL_LOOKUP + WD_LOCAL_EVERY_ROWS;
    e->step_id = WD_ALLOC_N(uint32_t, rows);
    e->out_row = WD_ALLOC_N(uint32_t, e->max_out);
    for (int k = 0; k < 3; k++)
        e->step_pos[k] = WD_ALLOC_N(int32_t, rows);
    e->step_visual = WD_ALLOC_N(int32_t, rows);
    e->step_seq = WD_ALLOC_N(wd_step_seq, e->max_seqs);
    e->part = WD_ALLOC_N(wd_local_part, e->max_seqs);
    e->logits = wd_alloc_aligned((size_t)e->max_out * t->n_vocab, sizeof(float)); /* touched as far as used */
    e->hidden = wd_alloc_aligned((size_t)e->max_out * t->n_embd, sizeof(float));
    if (!e->step_id || !e->out_row || !e->step_pos[0] || !e->step_pos[1] || !e->step_pos[2] ||
        !e->step_visual || !e->step_seq || !e->part || !e->logits || !e->hidden)
        return WD_FAIL(err, WD_E_NOMEM, "engine: no memory for steps of %zu tokens", rows);
    return WD_OK;
}

static wd_status open_reranker(wd_local *e, wd_err *err)
{
    const uint32_t yes = wd_tokenizer_id(e->o.tokenizer, "yes"), no = wd_tokenizer_id(e->o.tokenizer, "no");
    const uint32_t n_vocab = e->cfg->text.n_vocab;
    if (yes >= n_vocab || no >= n_vocab)
        return WD_OK;
    wd_share_begin_turn(e->o.share);
    const wd_status st = wd_rerank_create(e->o.model, yes, no, &e->rerank, err);
    wd_share_end_turn(e->o.share);
    return st;
}

static wd_status fill(wd_local *e, const wd_local_opts *o, wd_err *err)
{
    e->o = *o;
    e->cfg = wd_model_cfg(o->model);
    e->context = o->context && o->context < e->cfg->text.max_pos ? o->context : e->cfg->text.max_pos;
    if (e->cfg->has_vision)
        WD_TRY(check_processor(&o->processor, &e->cfg->vision, err));
    e->bf16 = !o->exact && wd_model_dtype(o->model) == WD_DTYPE_BF16;
    WD_TRY(open_step(e, err));
    WD_TRY(open_kv(e, err));
    WD_TRY(open_reranker(e, err));
    char name[96];
    snprintf(name, sizeof name, "%s on %s", wd_arch_name(e->cfg->arch), o->backend ? o->backend : "cpu");
    char *kept = wd_strdup(name);
    e->engine.info.name = kept;
    if (!kept)
        return WD_FAIL(err, WD_E_NOMEM, "engine: no memory");
    find_stop_ids(e);
    e->engine.info.chat_kind = wd_chat_kind_name(o->chat_kind);
    e->engine.info.holds_calls = wd_constrained_can_call(o->tokenizer);
    e->engine.info.sees = e->cfg->has_vision && wd_chat_kind_sees(o->chat_kind);
    e->engine.info.n_embd = e->cfg->text.n_embd;
    e->engine.info.context = (uint32_t)WD_MIN((size_t)e->context, e->capacity);
    e->engine.info.sample = recommended(e->cfg);
    return WD_OK;
}

static void stats(void *self, wd_engine_stats *out)
{
    wd_local *e = self;
    pthread_mutex_lock(&e->mu);
    *out = e->stats;
    out->n_running = e->n_running;
    out->n_waiting = e->n_job - e->n_running;
    out->kv_bytes = wd_kv_pool_used(e->pool);
    out->kv_max_bytes = e->o.kv_bytes;
    out->prefix_bytes = e->prefix_bytes;
    out->image_bytes = e->image_bytes;
    out->prefix_max_bytes = e->prefix_max;
    out->image_max_bytes = e->image_max;
    out->max_seqs = e->max_seqs;
    pthread_mutex_unlock(&e->mu);
}

wd_status wd_local_create(const wd_local_opts *o, wd_engine **out, wd_err *err)
{
    *out = NULL;
    pthread_condattr_t attr;
    wd_local *e = WD_ALLOC(wd_local);
    if (!e)
        return WD_FAIL(err, WD_E_NOMEM, "engine: no memory");
    pthread_mutex_init(&e->mu, NULL);
    if (pthread_condattr_init(&attr) != 0) {
        pthread_mutex_destroy(&e->mu);
        wd_free(e);
        return WD_FAIL(err, WD_E_NOMEM, "engine: no memory");
    }
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&e->turned, &attr);
    pthread_condattr_destroy(&attr);
    e->engine.self = e;
    e->engine.generate = wd_local__generate;
    e->engine.embed = wd_local__embed;
    e->engine.rerank = wd_local__rerank;
    e->engine.stats = stats;
    e->engine.destroy = destroy;
    const wd_status st = fill(e, o, err);
    if (st) {
        destroy(e);
        return st;
    }
    *out = &e->engine;
    return WD_OK;
}

wd_share_need wd_local_need(const wd_engine *engine)
{
    const wd_local *e = engine->self;
    const wd_text_config *t = &e->cfg->text;
    const size_t rows = wd_model_max_rows(e->o.model), n_deepstack = e->cfg->vision.n_deepstack;
    const size_t out = (size_t)e->max_out * (t->n_vocab + t->n_embd);
    const size_t features = e->cfg->has_vision ? rows * t->n_embd * (1 + n_deepstack) : 0;
    return (wd_share_need){ .kv = e->o.kv_bytes,
                            .images = e->cfg->has_vision ? e->image_max : 0,
                            .work = (out + features) * sizeof(float) };
}

const wd_kv_opts *wd_local_kv(const wd_engine *e)
{
    const wd_local *l = e->self;
    return wd_kv_pool_opts(l->pool);
}
