#include "golden/textbook.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/arena.h"
#include "support/test.h"

#define PI 3.14159265358979323846

const char *const tb_fault_name[TB_N_FAULT] = {
    "none",
    "P1 blocked sections",
    "P3 video as one block",
    "P6 DeepStack dropped",
    "P6 DeepStack before the layer",
    "P6 DeepStack one layer late",
    "P6 DeepStack from the next block",
    "P7 fourth axis",
    "P8 erf in the blocks",
    "P8 tanh in the mergers",
    "P9 main merger normalised after grouping",
    "P9 DeepStack normalised before grouping",
    "P10 half-pixel centres",
    "P10 positions in raster order",
    "P11 patches in raster order",
    "P11 colour innermost",
    "P12 first temporal slice only",
    "P12 no convolution bias",
    "P19 attention across images",
    "P19 attention across video groups",
    "P21 adjacent pairs",
    "P22 QK-norm after RoPE",
    "P22 QK-norm over the whole projection",
    "P22 QK-norm skipped",
    "P23 gate and up interleaved",
    "P23 up before gate",
    "P24 weights not renormalised",
    "P24 raw router scores",
};

typedef struct tb {
    const golden_model *g;
    const golden_prompt *p;
    tb_fault fault;
    const wd_trace *trace;
    wd_arena *a;
    float *main, *deep[WD_MAX_DEEPSTACK]; /* the tower's answers */
} tb;

static float *room(tb *t, size_t n)
{
    float *v = WD_NEW_N(t->a, float, n);
    assert_non_null(v);
    return v;
}

/* A weight as f32. */
static WD_PRINTF(2, 3) float *weight(tb *t, const char *fmt, ...)
{
    char name[128];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof(name), fmt, ap);
    va_end(ap);
    wd_tensor w;
    if (!wd_weights_find(t->g->w, name, &w))
        fail_msg("no tensor %s", name);
    const size_t n = wd_tensor_count(&w);
    float *v = room(t, n);
    for (size_t i = 0; i < n; i++)
        v[i] = wd_tensor_get(&w, i);
    return v;
}

static void show(tb *t, const char *stage, int i, size_t n_row, size_t n_col, const float *v)
{
    char name[64];
    snprintf(name, sizeof(name), stage, i);
    t->trace->fn(t->trace->self, name, n_row, n_col, v);
}

/* ---- arithmetic ---- */

/* y [n][out] = x [n][in] W^T + b */
static float *linear(tb *t, const float *x, size_t n, size_t in, const float *w, const float *b, size_t out)
{
    float *y = room(t, n * out);
    for (size_t i = 0; i < n; i++)
        for (size_t o = 0; o < out; o++) {
            double s = b ? (double)b[o] : 0;
            for (size_t k = 0; k < in; k++)
                s += (double)x[i * in + k] * (double)w[o * in + k];
            y[i * out + o] = (float)s;
        }
    return y;
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n)
{
    double s = 0;
    for (size_t i = 0; i < n; i++)
        s += (double)x[i] * (double)x[i];
    const double r = 1 / sqrt(s / (double)n + 1e-6);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((double)x[i] * r * (double)w[i]);
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t n)
{
    double m = 0, v = 0;
    for (size_t i = 0; i < n; i++)
        m += (double)x[i] / (double)n;
    for (size_t i = 0; i < n; i++)
        v += ((double)x[i] - m) * ((double)x[i] - m) / (double)n;
    const double r = 1 / sqrt(v + 1e-6);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)(((double)x[i] - m) * r * (double)w[i] + (double)b[i]);
}

static double gelu(double z, bool use_tanh)
{
    if (use_tanh)
        return 0.5 * z * (1 + tanh(sqrt(2 / PI) * (z + 0.044715 * z * z * z)));
    return 0.5 * z * (1 + erf(z / sqrt(2)));
}

static double silu(double z)
{
    return z / (1 + exp(-z));
}

/* Rotates one head of d values; angle [d / 2]. */
static void rotate(float *x, size_t d, const float *angle, bool adjacent)
{
    for (size_t i = 0; i < d / 2; i++) {
        float *p = adjacent ? &x[2 * i] : &x[i], *q = adjacent ? &x[2 * i + 1] : &x[i + d / 2];
        const double c = cos((double)angle[i]), s = sin((double)angle[i]), u = (double)*p, v = (double)*q;
        *p = (float)(u * c - v * s);
        *q = (float)(v * c + u * s);
    }
}

/* out [d] of one query head over keys first .. last - 1; k, v [.][stride] at the head's columns. */
static void attend(float *out, const float *q, const float *k, const float *v, size_t stride, size_t first,
                   size_t last, size_t d)
{
    double *p = wd_calloc(last - first, sizeof(double)), top = -INFINITY, sum = 0;
    assert_non_null(p);
    for (size_t j = first; j < last; j++) {
        for (size_t i = 0; i < d; i++)
            p[j - first] += (double)q[i] * (double)k[j * stride + i];
        p[j - first] /= sqrt((double)d);
        top = fmax(top, p[j - first]);
    }
    for (size_t j = first; j < last; j++)
        sum += p[j - first] = exp(p[j - first] - top);
    for (size_t i = 0; i < d; i++) {
        double s = 0;
        for (size_t j = first; j < last; j++)
            s += p[j - first] * (double)v[j * stride + i];
        out[i] = (float)(s / sum);
    }
    wd_free(p);
}

/* ---- the tower (spec section 5) ---- */

/* Row and column of patch i of a grid, in block order, or in raster order when that is the mistake. */
static void place(size_t i, size_t gw, bool raster, size_t *row, size_t *col)
{
    const size_t block = i / 4, in = i % 4, bw = gw / 2;
    *row = raster ? i / gw : block / bw * 2 + in / 2;
    *col = raster ? i % gw : block % bw * 2 + in % 2;
}

static void patch_embed(tb *t, const float *rows, size_t n, float *e)
{
    const wd_vision_config *c = &t->g->cfg.vision;
    float *w = weight(t, "visual.patch_embed.proj.weight"), *b = weight(t, "visual.patch_embed.proj.bias");
    float *x = room(t, n * 1536);
    memcpy(x, rows, n * 1536 * sizeof(float));
    if (t->fault == TB_ROW_HWC)
        for (size_t i = 0; i < n; i++)
            for (size_t ch = 0; ch < 3; ch++)
                for (size_t k = 0; k < 512; k++)
                    x[i * 1536 + k * 3 + ch] = rows[i * 1536 + ch * 512 + k];
    if (t->fault == TB_FIRST_SLICE_ONLY)
        for (size_t i = 0; i < c->n_embd * 1536; i++)
            if (i / 256 % 2)
                w[i] = 0;
    if (t->fault == TB_NO_CONV_BIAS)
        memset(b, 0, c->n_embd * sizeof(float));
    memcpy(e, linear(t, x, n, 1536, w, b, c->n_embd), n * c->n_embd * sizeof(float));
}

static double source(size_t i, size_t n, size_t side, bool half_pixel)
{
    if (half_pixel)
        return fmin(fmax(((double)i + 0.5) * (double)side / (double)n - 0.5, 0), (double)side - 1);
    return n > 1 ? (double)i * (double)(side - 1) / (double)(n - 1) : 0;
}

static void pos_embed(tb *t, const uint32_t *grid, float *out)
{
    const wd_vision_config *c = &t->g->cfg.vision;
    const float *table = weight(t, "visual.pos_embed.weight");
    const size_t side = (size_t)(sqrt((double)c->n_pos) + 0.5), n = (size_t)grid[1] * grid[2];
    for (size_t i = 0; i < n * grid[0]; i++) {
        size_t row, col;
        place(i % n, grid[2], t->fault == TB_POS_RASTER, &row, &col);
        const double y = source(row, grid[1], side, t->fault == TB_POS_HALF_PIXEL);
        const double x = source(col, grid[2], side, t->fault == TB_POS_HALF_PIXEL);
        const size_t y0 = (size_t)y, x0 = (size_t)x, y1 = y0 + 1 < side ? y0 + 1 : y0,
                     x1 = x0 + 1 < side ? x0 + 1 : x0;
        const double dy = y - (double)y0, dx = x - (double)x0;
        for (size_t k = 0; k < c->n_embd; k++)
            out[i * c->n_embd + k] =
                (float)((1 - dy) * ((1 - dx) * (double)table[(y0 * side + x0) * c->n_embd + k] +
                                    dx * (double)table[(y0 * side + x1) * c->n_embd + k]) +
                        dy * ((1 - dx) * (double)table[(y1 * side + x0) * c->n_embd + k] +
                              dx * (double)table[(y1 * side + x1) * c->n_embd + k]));
    }
}

/* Segment borders: one per temporal group of each image or video. */
static size_t segments(const tb *t, size_t *seg)
{
    size_t n = 0, at = 0;
    seg[n++] = 0;
    for (size_t i = 0; i < t->p->n_grid; i++) {
        const uint32_t *g = t->p->grid[i];
        const size_t parts = t->fault == TB_SEE_OTHER_GROUPS ? 1 : g[0];
        for (size_t k = 0; k < parts; k++)
            seg[n++] = at += (size_t)g[0] * g[1] * g[2] / parts;
    }
    if (t->fault == TB_SEE_OTHER_IMAGES) {
        seg[1] = at;
        n = 2;
    }
    return n - 1;
}

static void tower_angles(const tb *t, float *angle)
{
    const size_t d = t->g->cfg.vision.n_embd / t->g->cfg.vision.n_head;
    for (size_t i = 0; i < t->p->n_grid; i++) {
        const uint32_t *g = t->p->grid[i];
        for (size_t j = 0; j < (size_t)g[0] * g[1] * g[2]; j++, angle += d / 2) {
            size_t row, col;
            place(j % ((size_t)g[1] * g[2]), g[2], false, &row, &col);
            for (size_t m = 0; m < d / 4; m++) {
                const double f = pow(10000, -2.0 * (double)m / (double)(d / 2));
                angle[m] = (float)((double)row * f);
                angle[d / 4 + m] = (float)((double)col * f);
            }
        }
    }
}

static void tower_block(tb *t, float *x, size_t n, int j, const float *angle)
{
    const wd_vision_config *c = &t->g->cfg.vision;
    const size_t h = c->n_embd, d = h / c->n_head;
    size_t seg[64];
    const size_t n_seg = segments(t, seg);
    float *norm = room(t, n * h), *out = room(t, n * h);
    float *w = weight(t, "visual.blocks.%d.norm1.weight", j),
          *b = weight(t, "visual.blocks.%d.norm1.bias", j);
    for (size_t i = 0; i < n; i++)
        layernorm(norm + i * h, x + i * h, w, b, h);
    float *qkv = linear(t, norm, n, h, weight(t, "visual.blocks.%d.attn.qkv.weight", j),
                        weight(t, "visual.blocks.%d.attn.qkv.bias", j), 3 * h);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < 2 * c->n_head; k++)
            rotate(qkv + i * 3 * h + k * d, d, angle + i * (d / 2), false);
    for (size_t s = 0; s < n_seg; s++)
        for (size_t i = seg[s]; i < seg[s + 1]; i++)
            for (size_t k = 0; k < c->n_head; k++)
                attend(out + i * h + k * d, qkv + i * 3 * h + k * d, qkv + h + k * d, qkv + 2 * h + k * d,
                       3 * h, seg[s], seg[s + 1], d);
    const float *y = linear(t, out, n, h, weight(t, "visual.blocks.%d.attn.proj.weight", j),
                            weight(t, "visual.blocks.%d.attn.proj.bias", j), h);
    for (size_t i = 0; i < n * h; i++)
        x[i] += y[i];
    w = weight(t, "visual.blocks.%d.norm2.weight", j);
    b = weight(t, "visual.blocks.%d.norm2.bias", j);
    for (size_t i = 0; i < n; i++)
        layernorm(norm + i * h, x + i * h, w, b, h);
    float *f = linear(t, norm, n, h, weight(t, "visual.blocks.%d.mlp.linear_fc1.weight", j),
                      weight(t, "visual.blocks.%d.mlp.linear_fc1.bias", j), c->n_ff);
    for (size_t i = 0; i < n * c->n_ff; i++)
        f[i] = (float)gelu((double)f[i], t->fault != TB_GELU_ERF_IN_BLOCKS);
    y = linear(t, f, n, c->n_ff, weight(t, "visual.blocks.%d.mlp.linear_fc2.weight", j),
               weight(t, "visual.blocks.%d.mlp.linear_fc2.bias", j), h);
    for (size_t i = 0; i < n * h; i++)
        x[i] += y[i];
    show(t, "vis_block_%d", j, n, h, x);
}

/* k < 0: the main merger. */
static float *merge(tb *t, const float *x, size_t n, int k)
{
    const wd_vision_config *c = &t->g->cfg.vision;
    const size_t h = c->n_embd;
    char name[48];
    snprintf(name, sizeof(name), k < 0 ? "visual.merger" : "visual.deepstack_merger_list.%d", k);
    const float *w = weight(t, "%s.norm.weight", name), *b = weight(t, "%s.norm.bias", name);
    float *norm = room(t, n * h);
    const bool after = k >= 0 ? t->fault != TB_DEEPSTACK_NORM_BEFORE : t->fault == TB_MERGER_NORM_AFTER;
    float w4[4 * 96], b4[4 * 96];
    assert_true(h <= 96);
    for (size_t i = 0; i < 4 * h; i++) { /* the main merger's weight serves each quarter */
        w4[i] = w[k < 0 ? i % h : i];
        b4[i] = b[k < 0 ? i % h : i];
    }
    for (size_t i = 0; after && i < n / 4; i++)
        layernorm(norm + i * 4 * h, x + i * 4 * h, w4, b4, 4 * h);
    for (size_t i = 0; !after && i < n; i++)
        layernorm(norm + i * h, x + i * h, w4 + (k < 0 ? 0 : i % 4 * h), b4 + (k < 0 ? 0 : i % 4 * h), h);
    float *f = linear(t, norm, n / 4, 4 * h, weight(t, "%s.linear_fc1.weight", name),
                      weight(t, "%s.linear_fc1.bias", name), 4 * h);
    for (size_t i = 0; i < n * h; i++)
        f[i] = (float)gelu((double)f[i], t->fault == TB_GELU_TANH_IN_MERGERS);
    float *y = linear(t, f, n / 4, 4 * h, weight(t, "%s.linear_fc2.weight", name),
                      weight(t, "%s.linear_fc2.bias", name), c->n_out);
    show(t, k < 0 ? "merger_out" : "deepstack_%d", k, n / 4, c->n_out, y);
    return y;
}

/* The rows as a program would give them that lays patches out line by line. */
static float *raster_rows(tb *t, const float *rows)
{
    size_t n = 0;
    for (size_t i = 0; i < t->p->n_grid; i++)
        n += (size_t)t->p->grid[i][0] * t->p->grid[i][1] * t->p->grid[i][2];
    float *out = room(t, n * 1536);
    size_t at = 0;
    for (size_t i = 0; i < t->p->n_grid; i++) {
        const uint32_t *g = t->p->grid[i];
        const size_t area = (size_t)g[1] * g[2];
        for (size_t j = 0; j < g[0] * area; j++) {
            size_t row, col;
            place(j % area, g[2], false, &row, &col);
            const size_t to = at + j / area * area + row * g[2] + col;
            memcpy(out + to * 1536, rows + (at + j) * 1536, 1536 * sizeof(float));
        }
        at += g[0] * area;
    }
    return out;
}

static void tower(tb *t, const float *rows)
{
    const wd_vision_config *c = &t->g->cfg.vision;
    const size_t h = c->n_embd;
    size_t n = 0;
    for (size_t i = 0; i < t->p->n_grid; i++)
        n += (size_t)t->p->grid[i][0] * t->p->grid[i][1] * t->p->grid[i][2];
    float *x = room(t, n * h), *pos = room(t, n * h), *angle = room(t, n * h);
    patch_embed(t, t->fault == TB_ROWS_RASTER ? raster_rows(t, rows) : rows, n, x);
    show(t, "patch_embed", 0, n, h, x);
    size_t at = 0;
    for (size_t i = 0; i < t->p->n_grid; i++) {
        pos_embed(t, t->p->grid[i], pos + at * h);
        at += (size_t)t->p->grid[i][0] * t->p->grid[i][1] * t->p->grid[i][2];
    }
    show(t, "pos_embed_interp", 0, n, h, pos);
    for (size_t i = 0; i < n * h; i++)
        x[i] += pos[i];
    show(t, "vis_in", 0, n, h, x);
    tower_angles(t, angle);
    for (uint32_t j = 0; j < c->depth; j++) {
        tower_block(t, x, n, (int)j, angle);
        for (uint32_t k = 0; k < c->n_deepstack; k++)
            if (c->deepstack[k] + (t->fault == TB_DEEPSTACK_FROM_NEXT) == j)
                t->deep[k] = merge(t, x, n, (int)k);
    }
    t->main = merge(t, x, n, -1);
}

/* ---- the decoder (spec sections 3 and 4) ---- */

/* Positions again, with the one mistake that lies in them. */
static void positions(const tb *t, int32_t *pos[3])
{
    const wd_model_config *c = &t->g->cfg;
    size_t at = 0, video = t->p->n_image, group = 0;
    int32_t cur = 0;
    for (int a = 0; a < 3; a++)
        memcpy(pos[a], t->p->pos[a], t->p->n * sizeof(int32_t));
    if (t->fault != TB_VIDEO_ONE_BLOCK)
        return;
    for (; at < t->p->n; at++)
        if (t->p->ids[at] == c->video_token && t->p->ids[at - 1] != c->video_token) {
            const uint32_t *g = t->p->grid[video];
            cur = t->p->pos[0][at] - (int32_t)group;
            for (size_t k = 0; k < (size_t)g[1] * g[2] / 4; k++)
                pos[0][at + k] = cur + (int32_t)(2 * group);
            group = group + 1 < g[0] ? group + 1 : 0;
        }
}

static void text_angles(const tb *t, int32_t *const pos[3], float *angle)
{
    const wd_text_config *c = &t->g->cfg.text;
    const uint32_t *s = c->rope.mrope_section;
    const size_t half = c->head_dim / 2;
    for (size_t i = 0; i < t->p->n; i++)
        for (size_t k = 0; k < half; k++) {
            const float f = (float)pow(c->rope.theta, -2.0 * (double)k / (double)c->head_dim);
            int axis = 0;
            if (!c->rope.mrope)
                axis = 0;
            else if (t->fault == TB_MROPE_BLOCKED)
                axis = k < s[0] ? 0 : k < s[0] + s[1] ? 1 : 2;
            else if (k % 3 == 1 && k < 3 * s[1])
                axis = 1;
            else if (k % 3 == 2 && k < 3 * s[2])
                axis = 2;
            else if (t->fault == TB_FOURTH_AXIS && k % 3 != 0)
                axis = 3;
            angle[i * half + k] = axis == 3 ? 0 : (float)pos[axis][i] * f;
        }
}

static void qk_norm(const tb *t, float *x, size_t n_head, size_t d, const float *w)
{
    if (t->fault == TB_QK_NORM_SKIPPED)
        return;
    if (t->fault == TB_QK_NORM_WHOLE) {
        float all[2048];
        assert_true(n_head * d <= WD_COUNT(all));
        for (size_t i = 0; i < n_head * d; i++)
            all[i] = w[i % d];
        rmsnorm(x, x, all, n_head * d);
        return;
    }
    for (size_t k = 0; k < n_head; k++)
        rmsnorm(x + k * d, x + k * d, w, d);
}

static void attention(tb *t, float *x, int l, const float *angle)
{
    const wd_text_config *c = &t->g->cfg.text;
    const size_t n = t->p->n, h = c->n_embd, d = c->head_dim, nq = c->n_head * d, nk = c->n_kv_head * d;
    float *norm = room(t, n * h), *out = room(t, n * nq);
    const float *w = weight(t, "layers.%d.input_layernorm.weight", l);
    for (size_t i = 0; i < n; i++)
        rmsnorm(norm + i * h, x + i * h, w, h);
    float *q = linear(t, norm, n, h, weight(t, "layers.%d.self_attn.q_proj.weight", l), NULL, nq);
    float *k = linear(t, norm, n, h, weight(t, "layers.%d.self_attn.k_proj.weight", l), NULL, nk);
    const float *v = linear(t, norm, n, h, weight(t, "layers.%d.self_attn.v_proj.weight", l), NULL, nk);
    const float *wq = weight(t, "layers.%d.self_attn.q_norm.weight", l);
    const float *wk = weight(t, "layers.%d.self_attn.k_norm.weight", l);
    for (size_t i = 0; i < n; i++)
        for (int step = 0; step < 2; step++) {
            if ((step == 0) != (t->fault == TB_QK_NORM_AFTER_ROPE)) {
                qk_norm(t, q + i * nq, c->n_head, d, wq);
                qk_norm(t, k + i * nk, c->n_kv_head, d, wk);
                continue;
            }
            for (size_t e = 0; e < c->n_head; e++)
                rotate(q + i * nq + e * d, d, angle + i * d / 2, t->fault == TB_ROPE_ADJACENT);
            for (size_t e = 0; e < c->n_kv_head; e++)
                rotate(k + i * nk + e * d, d, angle + i * d / 2, t->fault == TB_ROPE_ADJACENT);
        }
    if (l == 0) {
        show(t, "l0_q_rope", 0, n, nq, q);
        show(t, "l0_k_rope", 0, n, nk, k);
    }
    const size_t share = c->n_head / c->n_kv_head;
    for (size_t i = 0; i < n; i++)
        for (size_t e = 0; e < c->n_head; e++)
            attend(out + i * nq + e * d, q + i * nq + e * d, k + e / share * d, v + e / share * d, nk, 0,
                   i + 1, d);
    const float *y = linear(t, out, n, nq, weight(t, "layers.%d.self_attn.o_proj.weight", l), NULL, h);
    for (size_t i = 0; i < n * h; i++)
        x[i] += y[i];
    show(t, "layer_%d_attn", l, n, h, x);
}

static void dense_mlp(tb *t, float *x, const float *norm, int l)
{
    const wd_text_config *c = &t->g->cfg.text;
    const size_t n = t->p->n;
    float *g = linear(t, norm, n, c->n_embd, weight(t, "layers.%d.mlp.gate_proj.weight", l), NULL, c->n_ff);
    const float *u = linear(t, norm, n, c->n_embd, weight(t, "layers.%d.mlp.up_proj.weight", l), NULL,
                            c->n_ff);
    for (size_t i = 0; i < n * c->n_ff; i++)
        g[i] = (float)(silu((double)g[i]) * (double)u[i]);
    const float *y = linear(t, g, n, c->n_ff, weight(t, "layers.%d.mlp.down_proj.weight", l), NULL,
                            c->n_embd);
    for (size_t i = 0; i < n * c->n_embd; i++)
        x[i] += y[i];
}

/* y += share * expert e of one row; fused tensors in the published orientation. */
static void expert(const tb *t, float *y, const float *row, const float *gate_up, const float *down, size_t e,
                   double share)
{
    const wd_text_config *c = &t->g->cfg.text;
    const size_t h = c->n_embd, m = c->n_ff_expert;
    double a[256];
    assert_true(m <= WD_COUNT(a));
    for (size_t j = 0; j < m; j++) {
        size_t gj = j, uj = m + j;
        if (t->fault == TB_EXPERTS_INTERLEAVED) {
            gj = 2 * j;
            uj = 2 * j + 1;
        } else if (t->fault == TB_EXPERTS_UP_FIRST) {
            gj = m + j;
            uj = j;
        }
        double g = 0, u = 0;
        for (size_t k = 0; k < h; k++) {
            g += (double)row[k] * (double)gate_up[(e * h + k) * 2 * m + gj];
            u += (double)row[k] * (double)gate_up[(e * h + k) * 2 * m + uj];
        }
        a[j] = silu(g) * u;
    }
    for (size_t k = 0; k < h; k++) {
        double s = 0;
        for (size_t j = 0; j < m; j++)
            s += a[j] * (double)down[(e * m + j) * h + k];
        y[k] += (float)(share * s);
    }
}

static void sparse_mlp(tb *t, float *x, const float *norm, int l)
{
    const wd_text_config *c = &t->g->cfg.text;
    const size_t n = t->p->n, h = c->n_embd;
    const float *r = linear(t, norm, n, h, weight(t, "layers.%d.mlp.gate.weight", l), NULL, c->n_expert);
    const float *gu = weight(t, "layers.%d.mlp.experts.gate_up_proj", l);
    const float *dn = weight(t, "layers.%d.mlp.experts.down_proj", l);
    for (size_t i = 0; i < n; i++) {
        const float *s = r + i * c->n_expert;
        double p[64], sum = 0, taken = 0;
        size_t best[64];
        assert_true(c->n_expert <= 64);
        for (size_t e = 0; e < c->n_expert; e++)
            sum += p[e] = exp((double)s[e]);
        for (size_t k = 0; k < c->n_expert_used; k++) {
            best[k] = SIZE_MAX;
            for (size_t e = 0; e < c->n_expert; e++) {
                bool used = false;
                for (size_t b = 0; b < k; b++)
                    used = used || best[b] == e;
                if (!used && (best[k] == SIZE_MAX || p[e] > p[best[k]]))
                    best[k] = e;
            }
            taken += p[best[k]];
        }
        for (size_t k = 0; k < c->n_expert_used; k++) {
            double share = p[best[k]] / taken;
            if (t->fault == TB_ROUTER_NOT_RENORMALISED)
                share = p[best[k]] / sum;
            else if (t->fault == TB_ROUTER_RAW_SCORES)
                share = (double)s[best[k]];
            expert(t, x + i * h, norm + i * h, gu, dn, best[k], share);
        }
    }
}

/* x[visual rows] += DeepStack feature k. */
static void add_deepstack(const tb *t, float *x, int k)
{
    const size_t h = t->g->cfg.text.n_embd;
    if (!t->p->visual || k < 0 || (uint32_t)k >= t->g->cfg.vision.n_deepstack ||
        t->fault == TB_DEEPSTACK_DROPPED)
        return;
    for (size_t i = 0; i < t->p->n; i++)
        for (size_t j = 0; t->p->visual[i] >= 0 && j < h; j++)
            x[i * h + j] += t->deep[k][(size_t)t->p->visual[i] * h + j];
}

static void decoder(tb *t)
{
    const wd_text_config *c = &t->g->cfg.text;
    const size_t n = t->p->n, h = c->n_embd;
    const float *embd = weight(t, "embed_tokens.weight");
    float *x = room(t, n * h), *norm = room(t, n * h), *angle = room(t, n * c->head_dim / 2);
    int32_t *pos[3];
    for (int a = 0; a < 3; a++)
        assert_non_null(pos[a] = WD_NEW_N(t->a, int32_t, n));
    positions(t, pos);
    text_angles(t, pos, angle);
    for (size_t i = 0; i < n; i++) {
        const bool visual = t->p->visual && t->p->visual[i] >= 0;
        memcpy(x + i * h, visual ? t->main + (size_t)t->p->visual[i] * h : embd + (size_t)t->p->ids[i] * h,
               h * sizeof(float));
    }
    show(t, "inputs_embeds", 0, n, h, x);
    const int late = t->fault == TB_DEEPSTACK_LATE;
    for (int l = 0; l < (int)c->n_layer; l++) {
        if (t->fault == TB_DEEPSTACK_BEFORE)
            add_deepstack(t, x, l);
        attention(t, x, l, angle);
        const float *w = weight(t, "layers.%d.post_attention_layernorm.weight", l);
        for (size_t i = 0; i < n; i++)
            rmsnorm(norm + i * h, x + i * h, w, h);
        if (c->sparse[l])
            sparse_mlp(t, x, norm, l);
        else
            dense_mlp(t, x, norm, l);
        show(t, "layer_%d_mlp", l, n, h, x);
        if (t->fault != TB_DEEPSTACK_BEFORE)
            add_deepstack(t, x, l - late);
        show(t, "layer_%d_out", l, n, h, x);
    }
    const float *w = weight(t, "norm.weight");
    for (size_t i = 0; i < n; i++)
        rmsnorm(norm + i * h, x + i * h, w, h);
    show(t, "final_norm", 0, n, h, norm);
    show(t, "logits", 0, n, c->n_vocab,
         linear(t, norm, n, h, c->tied ? embd : weight(t, "lm_head.weight"), NULL, c->n_vocab));
}

void tb_run(const golden_model *g, const golden_prompt *p, const float *pixel_rows, tb_fault fault,
            const wd_trace *trace)
{
    tb t = { .g = g, .p = p, .fault = fault, .trace = trace };
    assert_non_null(t.a = wd_arena_create(1u << 30, false));
    if (p->n_grid)
        tower(&t, pixel_rows);
    decoder(&t);
    wd_arena_destroy(t.a);
}
