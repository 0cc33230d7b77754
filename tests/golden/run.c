#include "golden/run.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "support/test.h"
#include "vision/positions.h"
#include "weights/lora.h"
#include "weights/quantise.h"

#define N_GREEDY 64

const char *const golden_isa[] = { "ref", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx", NULL };

bool golden_has_isa(const char *isa)
{
    uint32_t bits;
    return wd_isa_parse(isa, &bits, NULL) == WD_OK;
}

const char *golden_path(const char *checkpoint)
{
    static char path[512];
    snprintf(path, sizeof(path), "%s/%s", GOLDEN_CHECKPOINTS, checkpoint);
    return path;
}

void golden_open(golden_model *g, const golden_opts *o)
{
    *g = (golden_model){ .o = *o };
    const char *dir = o->dir ? o->dir : golden_path(o->checkpoint);
    assert_ok(wd_config_read(dir, &g->cfg, &err));
    assert_ok(wd_weights_open(o->weights_dir ? o->weights_dir : dir, &g->w, &err));
    if (o->weight_bits) {
        const wd_quantise_opts q = { .type = o->weight_bits == 8 ? WD_DTYPE_W8 : WD_DTYPE_W4,
                                     .group = o->weight_group };
        assert_ok(wd_weights_quantise(g->w, &g->cfg, &q, NULL, &err));
    }

    wd_cpu_opts cpu = { .precision = o->precision };
    assert_ok(wd_isa_parse(o->isa, &cpu.isa, &err));
    if (o->n_thread) {
        assert_ok(wd_pool_create(o->n_thread, &g->pool, &err));
        cpu.pool = g->pool;
    }
    assert_ok(wd_cpu_ops_create(&cpu, &g->ops, &err));

    for (; g->n_lora < 2 && o->lora[g->n_lora]; g->n_lora++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/golden/lora/%s", test_data_dir(), o->lora[g->n_lora]);
        const double scale = o->lora_scale == 0 ? 1 : o->lora_scale;
        assert_ok(wd_lora_open(path, scale, &g->cfg, &g->lora[g->n_lora], &err));
    }
    wd_model_opts mo = WD_MODEL_OPTS_DEFAULT;
    mo.lora = g->lora;
    mo.n_lora = g->n_lora;
    assert_ok(wd_model_open(g->w, &g->cfg, &mo, g->ops, &g->m, &err));

    wd_kv_opts kv = wd_model_kv_opts(g->m);
    kv.dtype = o->precision == WD_PRECISION_EXACT ? WD_DTYPE_F32 : WD_DTYPE_BF16;
    if (o->kv8)
        kv.dtype = WD_DTYPE_KV8;
    assert_ok(wd_kv_pool_create(&kv, &g->kv, &err));
}

void golden_close(golden_model *g)
{
    wd_kv_pool_destroy(g->kv);
    wd_model_close(g->m);
    for (size_t i = 0; i < g->n_lora; i++)
        wd_lora_close(g->lora[i]);
    wd_ops_destroy(g->ops);
    wd_pool_destroy(g->pool);
    wd_weights_close(g->w);
    *g = (golden_model){ 0 };
}

/* ---- prompts ---- */

float *golden_pixels(size_t n_row, size_t n_col, uint32_t seed)
{
    float *v = WD_ALLOC_N(float, n_row *n_col);
    assert_non_null(v);
    for (size_t i = 0; i < n_row * n_col; i++) {
        uint32_t x = (uint32_t)i + seed * 1000003u;
        x ^= x >> 16;
        x *= 0x85ebca6bu;
        x ^= x >> 13;
        x *= 0xc2b2ae35u;
        x ^= x >> 16;
        v[i] = (float)((int)(x >> 24) - 128) / 32.0f;
    }
    return v;
}

static void read_grids(golden_prompt *p, const gold *want, const char *sample)
{
    gold_tensor t;
    if (!gold_find(want, sample, "grids", &t))
        return;
    p->n_grid = t.n / 3;
    p->grid = wd_calloc(p->n_grid, sizeof(*p->grid));
    assert_non_null(p->grid);
    for (size_t i = 0; i < t.n; i++)
        p->grid[i / 3][i % 3] = (uint32_t)t.i[i];
    p->n_image = gold_find(want, sample, "n_image", &t) ? (size_t)t.i[0] : p->n_grid;
}

static void set_positions(golden_prompt *p, const golden_model *g, const gold *want, const char *sample)
{
    for (int a = 0; a < 3; a++)
        assert_non_null(p->pos[a] = WD_ALLOC_N(int32_t, p->n));
    if (p->n_grid)
        assert_non_null(p->visual = WD_ALLOC_N(int32_t, p->n));
    const wd_positions_in in = {
        .ids = p->ids,
        .n = p->n,
        .image_token = g->cfg.image_token,
        .video_token = g->cfg.video_token,
        .merge_size = g->cfg.has_vision ? g->cfg.vision.merge_size : 2,
        .image_grid = (const uint32_t(*)[3])p->grid,
        .n_image = p->n_image,
        .video_grid = (const uint32_t(*)[3])(p->grid ? p->grid + p->n_image : NULL),
        .n_video = p->n_grid - p->n_image,
    };
    wd_positions_out out = { .pos = { p->pos[0], p->pos[1], p->pos[2] }, .visual = p->visual };
    if (p->n_grid) {
        assert_ok(wd_positions(&in, &out, &err));
    } else {
        for (int a = 0; a < 3; a++)
            for (size_t i = 0; i < p->n; i++)
                p->pos[a][i] = (int32_t)i;
    }
    p->rope_delta = out.rope_delta;

    gold_tensor t;
    if (!gold_find(want, sample, "position_ids", &t))
        return;
    assert_int_equal(t.n, 3 * p->n);
    for (int a = 0; a < 3; a++)
        assert_memory_equal(p->pos[a], t.i + (size_t)a * p->n, p->n * sizeof(int32_t));
    assert_int_equal(p->rope_delta, gold_get(want, sample, "rope_delta").i[0]);
}

void golden_prompt_init(golden_prompt *p, golden_model *g, const gold *want, const char *sample,
                        const float *rows, const wd_trace *trace)
{
    *p = (golden_prompt){ 0 };
    const gold_tensor ids = gold_get(want, sample, "ids");
    p->n = ids.n;
    p->ids = (const uint32_t *)ids.i;
    read_grids(p, want, sample);
    set_positions(p, g, want, sample);
    if (!p->n_grid)
        return;
    gold_tensor t;
    const uint32_t seed = gold_find(want, sample, "pixel_seed", &t) ? (uint32_t)t.i[0] : 7;
    size_t n_row = 0;
    for (size_t i = 0; i < p->n_grid; i++)
        n_row += (size_t)p->grid[i][0] * p->grid[i][1] * p->grid[i][2];
    float *made = rows ? NULL : golden_pixels(n_row, 1536, seed);
    const wd_see see = { .patches = rows ? rows : made,
                         .grid = (const uint32_t(*)[3])p->grid,
                         .n_grid = p->n_grid,
                         .trace = trace };
    assert_ok(wd_model_see(g->m, &see, &p->features, &err));
    wd_free(made);
}

void golden_prompt_free(golden_prompt *p)
{
    wd_features_free(&p->features);
    for (int a = 0; a < 3; a++)
        wd_free(p->pos[a]);
    wd_free(p->visual);
    wd_free(p->grid);
    *p = (golden_prompt){ 0 };
}

void golden_feed(golden_model *g, const golden_prompt *p, wd_kv *kv, size_t first, size_t n, size_t chunk,
                 bool last_only, float *hidden, float *logits, const wd_trace *trace)
{
    const wd_text_config *c = &g->cfg.text;
    uint32_t *row = WD_ALLOC_N(uint32_t, n);
    assert_non_null(row);
    for (size_t i = 0; i < n; i++)
        row[i] = (uint32_t)i;
    for (size_t at = 0, k; at < n; at += k) {
        k = n - at < chunk ? n - at : chunk;
        const size_t i = first + at;
        const bool last = at + k == n;
        const uint32_t tail = (uint32_t)k - 1;
        const size_t o = last_only ? 0 : at;
        const wd_step s = {
            .ids = p->ids + i,
            .n = k,
            .pos = { p->pos[0] + i, p->pos[1] + i, p->pos[2] + i },
            .features = p->visual ? &p->features : NULL,
            .visual = p->visual ? p->visual + i : NULL,
            .kv = kv,
            .out_row = last_only ? &tail : row,
            .n_out = last_only ? last : k,
            .hidden = hidden ? hidden + o * c->n_embd : NULL,
            .logits = logits ? logits + o * c->n_vocab : NULL,
            .trace = trace,
        };
        assert_ok(wd_model_step(g->m, &s, &err));
    }
    wd_kv_set_rope_delta(kv, p->rope_delta);
    wd_free(row);
}

size_t golden_argmax(const float *v, size_t n)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (v[i] > v[best])
            best = i;
    return best;
}

void golden_greedy(golden_model *g, wd_kv *kv, const float *logits, size_t n_token, uint32_t *out)
{
    const size_t n_vocab = g->cfg.text.n_vocab;
    float *next = WD_ALLOC_N(float, n_vocab);
    assert_non_null(next);
    out[0] = (uint32_t)golden_argmax(logits, n_vocab);
    const uint32_t row = 0;
    for (size_t i = 1; i < n_token; i++) {
        const wd_step s = {
            .ids = &out[i - 1], .n = 1, .kv = kv, .out_row = &row, .n_out = 1, .logits = next
        };
        assert_ok(wd_model_step(g->m, &s, &err));
        out[i] = (uint32_t)golden_argmax(next, n_vocab);
    }
    wd_free(next);
}
