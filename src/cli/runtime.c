/* Wiring: weights, configuration, tokenizer, operators, model, engine. */
#include "cli/runtime.h"

#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "cli/checkpoint.h"
#include "cli/upstream.h"
#include "engine/local/local.h"
#include "engine/remote/remote.h"
#include "model/model.h"
#include "weights/hold.h"
#include "weights/inventory.h"
#include "weights/lora.h"
#include "weights/packed.h"
#include "weights/quantise.h"

#define KV_SHARE \
    4 /* of the memory for models, where no option says how much a model's keys and values may take */

struct wd_machine {
    wd_pool *pool;
    wd_share *share;
};

/* What a model and its adapters have in common. */
typedef struct base {
    atomic_uint refs;
    wd_checkpoint cp;
    char *path; /* of cp */
    wd_tokenizer *tokenizer;
    wd_machine *machine; /* NULL: none */
    wd_share_need need;
    bool reserved;
} base;

struct wd_runtime {
    base *base;
    wd_lora **lora; /* [n_lora] */
    size_t n_lora;
    wd_pool *own_pool, *pool; /* own_pool NULL: the machine's */
    wd_ops *ops;
    wd_meter *meter; /* NULL: not metered */
    wd_model *model;
    wd_engine *engine;
    wd_share_need need;
    bool reserved;
    bool is_remote; /* the engine alone is there: base NULL */
    const char *isa;
    uint32_t isa_bits;
    double load_s;
};

wd_status wd_machine_create(unsigned n_thread, size_t max_bytes, wd_machine **out, wd_err *err)
{
    wd_machine *m = WD_ALLOC(wd_machine);
    *out = NULL;
    if (!m)
        return WD_FAIL(err, WD_E_NOMEM, "models: no memory");
    wd_status st = wd_pool_create(n_thread, &m->pool, err);
    if (!st)
        st = wd_share_create(max_bytes, &m->share, err);
    if (st) {
        wd_machine_destroy(m);
        return st;
    }
    *out = m;
    return WD_OK;
}

void wd_machine_destroy(wd_machine *m)
{
    if (!m)
        return;
    wd_share_destroy(m->share);
    wd_pool_destroy(m->pool);
    wd_free(m);
}

static void unref_base(base *b)
{
    if (!b || atomic_fetch_sub(&b->refs, 1) != 1)
        return;
    if (b->reserved)
        wd_share_give_back(b->machine->share, &b->need);
    wd_tokenizer_close(b->tokenizer);
    wd_checkpoint_close(&b->cp);
    wd_free(b->path);
    wd_free(b);
}

void wd_runtime_close(wd_runtime *r)
{
    if (!r)
        return;
    wd_engine_destroy(r->engine);
    wd_model_close(r->model);
    wd_meter_destroy(r->meter);
    wd_ops_destroy(r->ops);
    if (r->reserved)
        wd_share_give_back(r->base->machine->share, &r->need);
    for (size_t i = 0; i < r->n_lora; i++)
        wd_lora_close(r->lora[i]);
    wd_free(r->lora);
    unref_base(r->base);
    wd_pool_destroy(r->own_pool);
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

static wd_status add_lora(wd_runtime *r, const char *dir, double scale, wd_err *err)
{
    WD_TRY(wd_lora_open(dir, scale, &r->base->cp.cfg, &r->lora[r->n_lora], err));
    r->n_lora++;
    return WD_OK;
}

static wd_status open_lora(wd_cli *cli, const wd_model_args *m, wd_runtime *r, wd_err *err)
{
    r->lora = wd_calloc(WD_MAX(m->lora.n, 1), sizeof *r->lora);
    if (!r->lora)
        return WD_FAIL(err, WD_E_NOMEM, "adapters: no memory");
    for (size_t i = 0; i < m->lora.n; i++) {
        const char *dir;
        double scale;
        WD_TRY(wd_lora_parse_arg(m->lora.v[i], cli->arena, &dir, &scale, err));
        WD_TRY(add_lora(r, dir, scale, err));
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
    if (!m->machine)
        WD_TRY(wd_pool_create((unsigned)m->threads, &r->own_pool, err));
    r->pool = m->machine ? m->machine->pool : r->own_pool;
    const wd_cpu_opts o = { .isa = isa,
                            .precision = precision ? WD_PRECISION_EXACT : WD_PRECISION_FAST,
                            .pool = r->pool };
    WD_TRY(wd_cpu_ops_create(&o, &r->ops, err));
    return m->metered ? wd_meter_create(r->ops, &r->meter, err) : WD_OK;
}

/* --weights: in memory, before the model takes its views. */
static wd_status quantise(const wd_model_args *m, wd_runtime *r, wd_pool *pool, wd_err *err)
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
                                 .pool = pool,
                                 .cancel = &wd_cli_cancelled,
                                 .progress = wd_cli_progress,
                                 .progress_self = &progress };
    const wd_status st = wd_weights_quantise(r->base->cp.weights, &r->base->cp.cfg, &o, &done, err);
    wd_progress_end(&progress);
    if (st == WD_OK)
        wd_log(WD_LOG_INFO, "weights", "quantised to %s matrices=%zu bytes=%llu was=%llu left=%zu",
               words[word], done.n_matrix, (unsigned long long)done.after, (unsigned long long)done.before,
               done.n_left);
    return st;
}

static wd_status open_model(wd_runtime *r, wd_pool *pool, wd_err *err)
{
    wd_model_opts o = WD_MODEL_OPTS_DEFAULT;
    o.lora = r->lora;
    o.n_lora = r->n_lora;
    wd_ops *ops = r->meter ? wd_meter_ops(r->meter) : r->ops;
    wd_weights_use_pool(r->base->cp.weights, pool);
    const wd_status st = wd_model_open(r->base->cp.weights, &r->base->cp.cfg, &o, ops, &r->model, err);
    wd_weights_use_pool(r->base->cp.weights, NULL);
    return st;
}

/* --hold: the weights as the model now has them. */
static wd_status hold(const wd_model_args *m, wd_runtime *r, wd_err *err)
{
    static const char *const words[] = { "as-needed", "preload", "lock" };
    size_t word = 0;
    WD_TRY(choose("hold", m->hold, words, WD_COUNT(words), &word, err));
    return wd_weights_hold(r->base->cp.weights, (wd_hold)word, &wd_cli_cancelled, err);
}

static wd_status open_engine(const wd_model_args *m, wd_runtime *r, wd_err *err)
{
    static const char *const kv[] = { "auto", "bf16", "f32", "int8" };
    wd_local_opts o = { .model = r->model,
                        .tokenizer = r->base->tokenizer,
                        .share = m->machine ? m->machine->share : NULL,
                        .kv_auto_bytes = m->machine ? wd_share_max(m->machine->share) / KV_SHARE : 0,
                        .context = (uint32_t)m->context,
                        .backend = r->ops->name,
                        .max_seqs = (uint32_t)m->max_seqs,
                        .step_ms = (uint32_t)m->step_ms,
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
    WD_TRY(wd_checkpoint_chat(&r->base->cp, m->chat_template, &o.chat_kind, err));
    if (r->base->cp.cfg.has_vision) {
        WD_TRY(wd_checkpoint_processor(&r->base->cp, &o.processor, err));
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

static size_t lora_bytes(const wd_runtime *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->n_lora; i++)
        for (size_t k = 0; k < wd_lora_count(r->lora[i]); k++) {
            const char *module;
            wd_lora_pair p;
            wd_lora_at(r->lora[i], k, &module, &p);
            n += wd_tensor_bytes(&p.a) + wd_tensor_bytes(&p.b);
        }
    return n;
}

/* What was opened is mapped, or lazily touched: it counts before any of it is used. */
static wd_status reserve(const wd_model_args *m, wd_runtime *r, const char *name, bool with_base, wd_err *err)
{
    wd_share_need all;
    if (!m->machine)
        return WD_OK;
    r->need = wd_local_need(r->engine);
    r->need.work += wd_model_workspace_bytes(r->model);
    r->need.weights = lora_bytes(r);
    all = r->need;
    if (with_base) {
        r->base->need.weights = wd_weights_bytes(r->base->cp.weights);
        all.weights += r->base->need.weights;
    }
    WD_TRY(wd_share_reserve(m->machine->share, name, &all, err)); /* given back in two parts */
    r->reserved = true;
    r->base->reserved |= with_base;
    return WD_OK;
}

/* pool: for the work of opening. Others may be using the machine's. */
static wd_status open_all(wd_cli *cli, const wd_model_args *m, wd_runtime *r, wd_pool *pool, wd_err *err)
{
    wd_checkpoint *cp = &r->base->cp;
    WD_TRY(wd_checkpoint_open(r->base->path, m->mmproj, cp, err));
    WD_TRY(open_lora(cli, m, r, err));
    WD_TRY(wd_checkpoint_tokenizer(cp, &r->base->tokenizer, err));
    WD_TRY(open_operators(m, r, err));
    pool = pool ? pool : r->pool;
    WD_TRY(wd_weights_unpack(cp->weights, &cp->cfg, pool, err));
    WD_TRY(quantise(m, r, pool, err));
    WD_TRY(wd_inventory_warn_extra(&cp->cfg, cp->weights, err));
    WD_TRY(open_model(r, pool, err));
    WD_TRY(open_engine(m, r, err));
    WD_TRY(reserve(m, r, m->name ? m->name : r->base->path, true, err));
    return hold(m, r, err);
}

static wd_status new_base(const wd_model_args *m, base **out, wd_err *err)
{
    base *b = *out = WD_ALLOC(base);
    if (!b)
        return WD_FAIL(err, WD_E_NOMEM, "model: no memory");
    atomic_init(&b->refs, 1);
    b->machine = m->machine;
    b->path = wd_strdup(m->model);
    return b->path ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "model: no memory");
}

wd_status wd_runtime_open(wd_cli *cli, const wd_model_args *m, wd_runtime **out, wd_err *err)
{
    wd_pool *loaders = NULL;
    *out = NULL;
    if (!m->model)
        return WD_FAIL(err, WD_E_USAGE,
                       "no model: give -m DIR, FILE.gguf or URL, or model = DIR in ward.ini");
    const double start = wd_clock_s();
    wd_runtime *r = WD_ALLOC(wd_runtime);
    if (!r)
        return WD_FAIL(err, WD_E_NOMEM, "model: no memory");
    r->is_remote = wd_cli_is_upstream(m->model);
    wd_status st = r->is_remote ? wd_cli_open_upstream(cli, m, &r->engine, err) : new_base(m, &r->base, err);
    if (!st && m->machine && !r->is_remote)
        st = wd_pool_create((unsigned)m->threads, &loaders, err);
    if (!st && !r->is_remote)
        st = open_all(cli, m, r, loaders, err);
    wd_pool_destroy(loaders);
    if (st) {
        wd_runtime_close(r);
        return st;
    }
    r->load_s = wd_clock_s() - start;
    *out = r;
    return WD_OK;
}

static wd_status open_adapter(const wd_model_args *m, wd_runtime *r, const char *dir, wd_err *err)
{
    r->lora = wd_calloc(1, sizeof *r->lora);
    if (!r->lora)
        return WD_FAIL(err, WD_E_NOMEM, "adapters: no memory");
    WD_TRY(add_lora(r, dir, 1, err));
    WD_TRY(open_operators(m, r, err));
    WD_TRY(open_model(r, NULL, err));
    WD_TRY(open_engine(m, r, err));
    return reserve(m, r, m->name, false, err);
}

wd_status wd_runtime_open_adapter(const wd_model_args *m, wd_runtime *of, const char *dir, wd_runtime **out,
                                  wd_err *err)
{
    *out = NULL;
    if (of->is_remote)
        return WD_FAIL(err, WD_E_USAGE, "%s: an adapter needs a model in this process, not another server's",
                       dir);
    const double start = wd_clock_s();
    wd_runtime *r = WD_ALLOC(wd_runtime);
    if (!r)
        return WD_FAIL(err, WD_E_NOMEM, "adapter: no memory");
    atomic_fetch_add(&of->base->refs, 1);
    r->base = of->base;
    const wd_status st = open_adapter(m, r, dir, err);
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
    return r->base ? r->base->tokenizer : NULL;
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
    return r->base ? r->base->cp.weights : NULL;
}

wd_status wd_runtime_digest(const wd_runtime *r, wd_arena *a, const char **out, wd_err *err)
{
    wd_digest d;
    char hex[65];
    *out = NULL;
    if (r->is_remote)
        return WD_OK;
    WD_TRY(wd_weights_digest(r->base->cp.weights, &d, err));
    wd_digest_hex(&d, hex);
    *out = wd_arena_strndup(a, hex, 64);
    return *out ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "model: no memory");
}

const char *wd_runtime_remote_model(const wd_runtime *r)
{
    return r->is_remote ? wd_remote_model(r->engine) : NULL;
}
