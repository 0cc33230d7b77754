/* Wiring: weights, configuration, tokenizer, operators, model, engine. */
#include "cli/runtime.h"

#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "cli/checkpoint.h"
#include "engine/local/local.h"
#include "model/model.h"
#include "weights/hold.h"
#include "weights/inventory.h"
#include "weights/lora.h"
#include "weights/packed.h"
#include "weights/quantise.h"

struct wd_runtime {
    wd_checkpoint cp;
    wd_lora **lora;
    size_t n_lora;
    wd_tokenizer *tokenizer;
    wd_pool *pool;
    wd_ops *ops;
    wd_meter *meter; /* NULL: not metered */
    wd_model *model;
    wd_engine *engine;
    const char *isa;
    uint32_t isa_bits;
    double load_s;
};

void wd_runtime_close(wd_runtime *r)
{
    if (!r)
        return;
    wd_engine_destroy(r->engine);
    wd_model_close(r->model);
    wd_meter_destroy(r->meter);
    wd_ops_destroy(r->ops);
    wd_pool_destroy(r->pool);
    wd_tokenizer_close(r->tokenizer);
    for (size_t i = 0; i < r->n_lora; i++)
        wd_lora_close(r->lora[i]);
    wd_checkpoint_close(&r->cp);
    wd_free(r);
}

/* One of the words, by index. */
static wd_status choose(const char *option, const char *word, const char *const *words, size_t n, size_t *out,
                        wd_err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(word, words[i])) {
            *out = i;
            return WD_OK;
        }
    }
    return WD_FAIL(err, WD_E_USAGE, "--%s: \"%s\", expected %s%s%s%s%s", option, word, words[0],
                   n > 2 ? ", " : "", n > 2 ? words[1] : "", " or ", words[n - 1]);
}

static wd_status open_lora(wd_cli *cli, const wd_model_args *m, wd_runtime *r, wd_err *err)
{
    r->lora = WD_NEW_N(cli->arena, wd_lora *, m->lora.n);
    if (!r->lora)
        return WD_FAIL(err, WD_E_NOMEM, "adapters: no memory");
    for (size_t i = 0; i < m->lora.n; i++) {
        const char *dir;
        double scale;
        WD_TRY(wd_lora_parse_arg(m->lora.v[i], cli->arena, &dir, &scale, err));
        WD_TRY(wd_lora_open(dir, scale, &r->cp.cfg, &r->lora[i], err));
        r->n_lora++;
    }
    return WD_OK;
}

static wd_status open_operators(const wd_model_args *m, wd_runtime *r, wd_err *err)
{
    static const char *const precisions[] = { "fast", "exact" };
    size_t precision = 0;
    uint32_t isa;
    WD_TRY(choose("precision", m->precision, precisions, 2, &precision, err));
    WD_TRY(wd_isa_parse(m->isa, &isa, err));
    r->isa = wd_isa_name(isa);
    r->isa_bits = isa;
    WD_TRY(wd_pool_create((unsigned)m->threads, &r->pool, err));
    const wd_cpu_opts o = { .isa = isa,
                            .precision = precision ? WD_PRECISION_EXACT : WD_PRECISION_FAST,
                            .pool = r->pool };
    WD_TRY(wd_cpu_ops_create(&o, &r->ops, err));
    return m->metered ? wd_meter_create(r->ops, &r->meter, err) : WD_OK;
}

/* --weights: in memory, before the model takes its views. */
static wd_status quantise(const wd_model_args *m, wd_runtime *r, wd_err *err)
{
    static const char *const words[] = { "as-stored", "w8", "w4" };
    size_t word = 0;
    wd_quantised done;
    wd_progress progress;
    WD_TRY(choose("weights", m->weights, words, WD_COUNT(words), &word, err));
    if (word == 0)
        return WD_OK;
    wd_progress_begin(&progress, "quantising", "weights");
    const wd_quantise_opts o = { .type = word == 1 ? WD_DTYPE_W8 : WD_DTYPE_W4,
                                 .pool = r->pool,
                                 .cancel = &wd_cli_cancelled,
                                 .progress = wd_cli_progress,
                                 .progress_self = &progress };
    const wd_status st = wd_weights_quantise(r->cp.weights, &r->cp.cfg, &o, &done, err);
    wd_progress_end(&progress);
    if (st == WD_OK)
        wd_log(WD_LOG_INFO, "weights", "quantised to %s matrices=%zu bytes=%llu was=%llu left=%zu",
               words[word], done.n_matrix, (unsigned long long)done.after, (unsigned long long)done.before,
               done.n_left);
    return st;
}

static wd_status open_model(wd_runtime *r, wd_err *err)
{
    wd_model_opts o = WD_MODEL_OPTS_DEFAULT;
    o.lora = r->lora;
    o.n_lora = r->n_lora;
    wd_ops *ops = r->meter ? wd_meter_ops(r->meter) : r->ops;
    wd_weights_use_pool(r->cp.weights, r->pool);
    WD_TRY(wd_inventory_warn_extra(&r->cp.cfg, r->cp.weights, err));
    return wd_model_open(r->cp.weights, &r->cp.cfg, &o, ops, &r->model, err);
}

/* --hold: the weights as the model now has them. */
static wd_status hold(const wd_model_args *m, wd_runtime *r, wd_err *err)
{
    static const char *const words[] = { "as-needed", "preload", "lock" };
    size_t word = 0;
    WD_TRY(choose("hold", m->hold, words, WD_COUNT(words), &word, err));
    return wd_weights_hold(r->cp.weights, (wd_hold)word, &wd_cli_cancelled, err);
}

static wd_status open_engine(const wd_model_args *m, wd_runtime *r, wd_err *err)
{
    static const char *const kv[] = { "auto", "bf16", "f32", "int8" };
    wd_local_opts o = { .model = r->model,
                        .tokenizer = r->tokenizer,
                        .context = (uint32_t)m->context,
                        .backend = r->ops->name,
                        .max_seqs = (uint32_t)m->max_seqs,
                        .kv_bytes = (size_t)m->kv_mb << 20,
                        .prefix_bytes = (size_t)m->prefix_mb << 20,
                        .image_bytes = (size_t)m->image_mb << 20,
                        .exact = !strcmp(m->precision, "exact") };
    static const char *const lookup[] = { "auto", "off" };
    size_t kv_i = 0, lookup_i = 0;
    WD_TRY(choose("kv", m->kv, kv, 4, &kv_i, err));
    o.kv = (wd_kv_choice)kv_i;
    WD_TRY(choose("lookup", m->lookup, lookup, 2, &lookup_i, err));
    o.lookup = (wd_lookup_choice)lookup_i;
    WD_TRY(wd_checkpoint_chat(&r->cp, m->chat_template, &o.chat_kind, err));
    if (r->cp.cfg.has_vision) {
        WD_TRY(wd_checkpoint_processor(&r->cp, &o.processor, err));
        if (m->min_pixels)
            o.processor.image_budget.min_pixels = (uint64_t)m->min_pixels;
        if (m->max_pixels)
            o.processor.image_budget.max_pixels = (uint64_t)m->max_pixels;
        if (o.processor.image_budget.min_pixels > o.processor.image_budget.max_pixels)
            return WD_FAIL(err, WD_E_USAGE, "--min-pixels %llu is more than the %llu of --max-pixels",
                           (unsigned long long)o.processor.image_budget.min_pixels,
                           (unsigned long long)o.processor.image_budget.max_pixels);
        o.video.fps = m->fps;
        o.video.max_frames = (uint32_t)m->max_frames;
    }
    return wd_local_create(&o, &r->engine, err);
}

static wd_status open_all(wd_cli *cli, const wd_model_args *m, wd_runtime *r, wd_err *err)
{
    WD_TRY(wd_checkpoint_open(m->model, m->mmproj, &r->cp, err));
    WD_TRY(open_lora(cli, m, r, err));
    WD_TRY(wd_checkpoint_tokenizer(&r->cp, &r->tokenizer, err));
    WD_TRY(open_operators(m, r, err));
    WD_TRY(wd_weights_unpack(r->cp.weights, &r->cp.cfg, r->pool, err));
    WD_TRY(quantise(m, r, err));
    WD_TRY(open_model(r, err));
    WD_TRY(hold(m, r, err));
    return open_engine(m, r, err);
}

wd_status wd_runtime_open(wd_cli *cli, const wd_model_args *m, wd_runtime **out, wd_err *err)
{
    *out = NULL;
    if (!m->model)
        return WD_FAIL(err, WD_E_USAGE, "no model: give -m DIR or FILE.gguf, or model = DIR in ward.ini");
    const double start = wd_clock_s();
    wd_runtime *r = WD_ALLOC(wd_runtime);
    if (!r)
        return WD_FAIL(err, WD_E_NOMEM, "model: no memory");
    const wd_status st = open_all(cli, m, r, err);
    if (st) {
        wd_runtime_close(r);
        return st;
    }
    r->load_s = wd_clock_s() - start;
    *out = r;
    return WD_OK;
}

wd_engine *wd_runtime_engine(wd_runtime *r)
{
    return r->engine;
}

const wd_tokenizer *wd_runtime_tokenizer(const wd_runtime *r)
{
    return r->tokenizer;
}

double wd_runtime_load_s(const wd_runtime *r)
{
    return r->load_s;
}

const char *wd_runtime_isa(const wd_runtime *r)
{
    return r->isa;
}

uint32_t wd_runtime_isa_bits(const wd_runtime *r)
{
    return r->isa_bits;
}

wd_model *wd_runtime_model(wd_runtime *r)
{
    return r->model;
}

wd_ops *wd_runtime_ops(wd_runtime *r)
{
    return r->ops;
}

wd_pool *wd_runtime_pool(wd_runtime *r)
{
    return r->pool;
}

wd_meter *wd_runtime_meter(wd_runtime *r)
{
    return r->meter;
}

const wd_kv_opts *wd_runtime_kv(const wd_runtime *r)
{
    return wd_local_kv(r->engine);
}

const wd_weights *wd_runtime_weights(const wd_runtime *r)
{
    return r->cp.weights;
}
