/* The vision tower (spec section 5).
 *
 * A segment is one temporal group of one image or video: rows attend within it and nowhere else, so the tower takes
 * whole segments in batches of about BATCH_ROWS rows (one larger segment is a batch of its own) and runs all blocks
 * over a batch before it begins the next. Memory is therefore bounded by the largest image, not by their number or by
 * a video's length. Inside a batch everything but attention works on BLOCK_ROWS rows at a time, and the attention of a
 * large image on as many heads at a time as fit wd_tower.qkv_floats.
 *
 * How a segment is computed depends on its own size only (a batch of several is small enough for all heads), so its
 * bits do not depend on its neighbours. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "model/pass.h"

/* Fixed in the reference's code, not in the configuration. */
#define EPS 1e-6f
#define BATCH_ROWS 2048
#define BLOCK_ROWS 512
#define SEGMENTS_MAX 512

typedef struct tower_run {
    wd_model *m;
    const wd_vision_config *c;
    const wd_see *in;
    wd_features *out;
    size_t n_total, n_done; /* rows of the whole call, rows of the batches before this one */
    size_t at_grid, at_t;   /* the next segment */
    size_t n, n_seg;        /* this batch */
    size_t seg[SEGMENTS_MAX + 1];
    uint32_t seg_h[SEGMENTS_MAX], seg_w[SEGMENTS_MAX];
    float *block;     /* what all the others are parts of */
    float *x, *attn;  /* [rows][n_embd] */
    uint32_t n_head;  /* computed at a time in this batch, a divisor of all */
    float *qkv;       /* [rows][3][n_head][head_dim] */
    float *part;      /* [rows][n_head][head_dim]; unused when all heads go at once */
    float *cos, *sin; /* [rows][head_dim / 2] */
    float *norm;      /* [BLOCK_ROWS][n_embd] */
    float *hidden;    /* [BLOCK_ROWS][max(n_ff, n_embd)] */
    float *corner;    /* [4][n_embd] */
} tower_run;

wd_status wd_features_init(wd_features *f, size_t n_row, size_t n_embd, uint32_t n_deepstack, wd_err *err)
{
    *f = (wd_features){ 0 };
    size_t count, all;
    if (n_deepstack > WD_MAX_DEEPSTACK || !wd_mul_size(n_row, n_embd, &count) ||
        !wd_mul_size(count, n_deepstack + 1, &all))
        return WD_FAIL(err, WD_E_LIMIT, "vision: features of %zu tokens are too large", n_row);
    float *p = wd_alloc_aligned(all ? all : 1, sizeof *p);
    if (!p)
        return WD_FAIL(err, WD_E_NOMEM, "vision: no memory for the features of %zu tokens", n_row);
    *f = (wd_features){ .n_row = n_row, .n_embd = n_embd, .n_deepstack = n_deepstack, .main = p };
    for (uint32_t k = 0; k < n_deepstack; k++)
        f->deepstack[k] = p + (k + 1) * count;
    return WD_OK;
}

void wd_features_free(wd_features *f)
{
    wd_free(f->main); /* one block holds them all */
    *f = (wd_features){ 0 };
}

/* Counts all rows and finds the largest segment. */
static wd_status check_grids(const wd_see *in, uint32_t merge, size_t *total, size_t *largest, wd_err *err)
{
    *total = *largest = 0;
    for (size_t g = 0; g < in->n_grid; g++) {
        const uint32_t *thw = in->grid[g];
        size_t seg, all;
        if (!thw[0] || !thw[1] || !thw[2] || thw[1] % merge || thw[2] % merge)
            return WD_FAIL(err, WD_E_INVALID,
                           "vision: a grid of %u x %u x %u patches, expected sides in multiples of %u",
                           thw[0], thw[1], thw[2], merge);
        if (!wd_mul_size(thw[1], thw[2], &seg) || !wd_mul_size(seg, thw[0], &all) ||
            !wd_add_size(*total, all, total))
            return WD_FAIL(err, WD_E_LIMIT, "vision: too many patches");
        *largest = WD_MAX(*largest, seg);
    }
    return WD_OK;
}

/* The most heads whose queries, keys and values fit qkv_floats; one at least. FP8 scales cannot be cut between heads. */
static uint32_t heads_at_once(const wd_model *m, size_t rows)
{
    const wd_vision_config *c = &m->cfg.vision;
    uint32_t n = c->n_head;
    if (m->tower->qkv_fp8)
        return n;
    while (n > 1 && (c->n_head % n || 3 * rows * n * (c->n_embd / c->n_head) > m->tower->qkv_floats))
        n--;
    return n;
}

static wd_status take_workspace(tower_run *r, size_t rows, wd_err *err)
{
    const wd_vision_config *c = r->c;
    const size_t head_dim = c->n_embd / c->n_head, half = head_dim / 2;
    const uint32_t heads = heads_at_once(r->m, rows);
    /* Smaller batches take more heads at a time, but never more than the limit or all of them. */
    const size_t qkv = heads == c->n_head ? 3 * rows * c->n_embd
                                          : WD_MAX(r->m->tower->qkv_floats, 3 * rows * head_dim);
    const struct {
        float **to;
        size_t rows, cols;
    } part[] = {
        { &r->x, rows, c->n_embd },
        { &r->attn, rows, c->n_embd },
        { &r->qkv, 3, qkv / 3 },
        { &r->part, 1, heads < c->n_head ? qkv / 3 : 0 },
        { &r->cos, rows, half },
        { &r->sin, rows, half },
        { &r->norm, BLOCK_ROWS, c->n_embd },
        { &r->hidden, BLOCK_ROWS, WD_MAX(WD_MAX(c->n_ff, c->n_embd), r->m->tower->patch.w.dim[1]) },
        { &r->corner, 4, c->n_embd },
    };
    size_t total = 0, at = 0;
    for (size_t i = 0; i < WD_COUNT(part); i++) {
        size_t n;
        if (!wd_mul_size(part[i].rows, part[i].cols, &n) || !wd_add_size(total, (n + 15) / 16 * 16, &total))
            return WD_FAIL(err, WD_E_LIMIT, "vision: an image of %zu patches is too large", rows);
    }
    r->block = wd_alloc_aligned(total, sizeof(float));
    if (!r->block)
        return WD_FAIL(err, WD_E_NOMEM, "vision: no memory for an image of %zu patches", rows);
    for (size_t i = 0; i < WD_COUNT(part); i++) {
        *part[i].to = r->block + at;
        at += (part[i].rows * part[i].cols + 15) / 16 * 16;
    }
    return WD_OK;
}

/* The next segments that fit together; false at the end. */
static bool next_batch(tower_run *r)
{
    r->n_done += r->n;
    r->n = r->n_seg = 0;
    while (r->at_grid < r->in->n_grid && r->n_seg < SEGMENTS_MAX) {
        const uint32_t *thw = r->in->grid[r->at_grid];
        const size_t rows = (size_t)thw[1] * thw[2];
        if (r->n && r->n + rows > BATCH_ROWS)
            break;
        r->seg[r->n_seg] = r->n;
        r->seg_h[r->n_seg] = thw[1];
        r->seg_w[r->n_seg++] = thw[2];
        r->n += rows;
        if (++r->at_t == thw[0]) {
            r->at_t = 0;
            r->at_grid++;
        }
    }
    r->seg[r->n_seg] = r->n;
    r->n_head = heads_at_once(r->m, r->n);
    return r->n > 0;
}

/* x = patches as embeddings + interpolated positions; and the angles of every patch. */
static void enter(tower_run *r)
{
    const wd_vision_config *c = r->c;
    const wd_rope *rope = &r->m->tower->rope;
    const size_t n_embd = c->n_embd, half = n_embd / c->n_head / 2, n_in = r->m->tower->patch.w.dim[1];
    for (size_t i = 0, rows; i < r->n; i += rows) {
        rows = WD_MIN(r->n - i, (size_t)BLOCK_ROWS);
        const float *patches = r->hidden;
        if (r->in->patches)
            patches = r->in->patches + (r->n_done + i) * n_in;
        else
            r->in->fill(r->in->fill_self, r->n_done + i, rows, r->hidden);
        wd_linear__apply(r->m, &r->m->tower->patch, r->x + i * n_embd, patches, NULL, rows, n_in, n_embd,
                         WD_ACT_NONE);
    }
    wd_trace__rows(r->in->trace, "patch_embed", r->n, n_embd, r->x);

    for (size_t s = 0; s < r->n_seg; s++) {
        const size_t rows = r->seg[s + 1] - r->seg[s];
        float *pos = r->attn + r->seg[s] * n_embd; /* free before the first block */
        wd_tower__positions(r->m, r->seg_h[s], r->seg_w[s], 0, rows, r->corner, pos);
        for (size_t i = 0; i < rows; i++) {
            uint32_t row, col;
            wd_tower__place(r->seg_w[s], c->merge_size, i, &row, &col);
            wd_rope__angles_axial(rope, row, col, r->cos + (r->seg[s] + i) * half,
                                  r->sin + (r->seg[s] + i) * half);
        }
    }
    wd_trace__rows(r->in->trace, "pos_embed_interp", r->n, n_embd, r->attn);
    wd_trace__rows(r->in->trace, "vis_cos", r->n, half, r->cos);
    wd_trace__rows(r->in->trace, "vis_sin", r->n, half, r->sin);
    r->m->ops->add_scaled(r->m->ops->self, r->x, r->attn, 1.0f, r->n * n_embd);
    wd_trace__rows(r->in->trace, "vis_in", r->n, n_embd, r->x);
}

/* Queries and keys lie among the values: copied out for whoever looks. */
static void trace_columns(tower_run *r, const char *stage, const float *from, size_t rows)
{
    const size_t n_col = r->c->n_embd / r->c->n_head * r->n_head;
    for (size_t i = 0; i < rows; i++)
        memcpy(r->hidden + i * n_col, from + i * 3 * n_col, n_col * sizeof(float));
    wd_trace__rows(r->in->trace, stage, rows, n_col, r->hidden);
}

/* qkv [rows][3][n_head][head_dim] of heads first .. first + n_head - 1, from r->norm. */
static void project(tower_run *r, const wd_linear *all, uint32_t first, size_t rows, float *qkv)
{
    const wd_vision_config *c = r->c;
    const size_t n_embd = c->n_embd, head_dim = n_embd / c->n_head, n_out = head_dim * r->n_head;
    if (r->n_head == c->n_head) {
        wd_linear__apply(r->m, all, qkv, r->norm, NULL, rows, n_embd, 3 * n_embd, WD_ACT_NONE);
        return;
    }
    wd_linear some[3];
    wd_linear_args a[3];
    for (size_t i = 0; i < 3; i++) {
        some[i] = wd_linear__rows(all, i * n_embd + first * head_dim, n_out);
        a[i] = (wd_linear_args){ .y = qkv + i * n_out,
                                 .x = r->norm,
                                 .n = rows,
                                 .x_stride = n_embd,
                                 .y_stride = 3 * n_out,
                                 .lin = &some[i] };
    }
    r->m->ops->linear(r->m->ops->self, a, 3);
}

/* Heads first .. first + n_head - 1 of the batch: their part of r->attn. */
static void attend(tower_run *r, const wd_vit_block *b, uint32_t first, const wd_trace *t)
{
    const wd_vision_config *c = r->c;
    const wd_ops *ops = r->m->ops;
    const size_t n_embd = c->n_embd, head_dim = n_embd / c->n_head, n_col = head_dim * r->n_head,
                 stride = 3 * n_col;
    for (size_t i = 0, rows; i < r->n; i += rows) {
        rows = WD_MIN(r->n - i, (size_t)BLOCK_ROWS);
        float *qkv = r->qkv + i * stride;
        const float *cos_i = r->cos + i * head_dim / 2, *sin_i = r->sin + i * head_dim / 2;
        ops->layernorm(ops->self, r->norm, r->x + i * n_embd, &b->norm1.w, &b->norm1.b, rows, n_embd, EPS);
        if (first == 0)
            wd_trace__rows(t, "vis_norm1_0", rows, n_embd, r->norm);
        project(r, &b->qkv, first, rows, qkv);
        ops->rope(ops->self, qkv, cos_i, sin_i, rows, stride, r->n_head, head_dim);
        ops->rope(ops->self, qkv + n_col, cos_i, sin_i, rows, stride, r->n_head, head_dim);
        if (t && n_col == n_embd) {
            trace_columns(r, "vis_q_rope_0", qkv, rows);
            trace_columns(r, "vis_k_rope_0", qkv + n_col, rows);
        }
    }

    float *out = n_col == n_embd ? r->attn : r->part;
    ops->attn_full(ops->self, &(wd_attn_full){
                                  .q = r->qkv,
                                  .k = r->qkv + n_col,
                                  .v = r->qkv + 2 * n_col,
                                  .stride = stride,
                                  .out = out,
                                  .n_head = r->n_head,
                                  .head_dim = head_dim,
                                  .seg = r->seg,
                                  .n_seg = r->n_seg,
                                  .scale = 1.0f / sqrtf((float)head_dim),
                                  .round = b->qkv.w.dtype != WD_DTYPE_F32,
                              });
    for (size_t i = 0; out == r->part && i < r->n; i++)
        memcpy(r->attn + i * n_embd + first * head_dim, out + i * n_col, n_col * sizeof *out);
}

static void run_block(tower_run *r, uint32_t j)
{
    const wd_vision_config *c = r->c;
    const wd_ops *ops = r->m->ops;
    const wd_vit_block *b = &r->m->tower->block[j];
    const size_t n_embd = c->n_embd;
    const wd_trace *t = j == 0 ? r->in->trace : NULL;
    for (uint32_t h = 0; h < c->n_head; h += r->n_head)
        attend(r, b, h, t);
    wd_trace__rows(t, "vis_attn_out_0", r->n, n_embd, r->attn);
    for (size_t i = 0, rows; i < r->n; i += rows) {
        rows = WD_MIN(r->n - i, (size_t)BLOCK_ROWS);
        float *x = r->x + i * n_embd;
        wd_linear__apply(r->m, &b->proj, x, r->attn + i * n_embd, x, rows, n_embd, n_embd, WD_ACT_NONE);
        ops->layernorm(ops->self, r->norm, x, &b->norm2.w, &b->norm2.b, rows, n_embd, EPS);
        wd_linear__apply(r->m, &b->fc1, r->hidden, r->norm, NULL, rows, n_embd, c->n_ff, WD_ACT_GELU_TANH);
        wd_linear__apply(r->m, &b->fc2, x, r->hidden, x, rows, c->n_ff, n_embd, WD_ACT_NONE);
    }
    wd_trace__at(r->in->trace, "vis_block_%u", j, r->n, n_embd, r->x);
}

/* out: where the first row of this batch goes. */
static void merge(tower_run *r, const wd_merger *g, bool norm_after_grouping, float *out)
{
    const size_t unit = (size_t)r->c->merge_size * r->c->merge_size, step = BLOCK_ROWS / unit,
                 n = r->n / unit;
    for (size_t i = 0; i < n; i += step)
        wd_merger__run(r->m, g, norm_after_grouping, r->x + i * unit * r->c->n_embd, WD_MIN(n - i, step),
                       r->norm, r->hidden, out + i * r->c->n_out);
}

static wd_status run_batch(tower_run *r, wd_err *err)
{
    const wd_vision_config *c = r->c;
    const size_t unit = (size_t)c->merge_size * c->merge_size;
    const size_t first = r->n_done / unit * c->n_out, n_out = r->n / unit;
    enter(r);
    for (uint32_t j = 0, k = 0; j < c->depth; j++) {
        if (r->in->cancel && atomic_load_explicit(r->in->cancel, memory_order_relaxed))
            return WD_FAIL(err, WD_E_CANCELLED, "cancelled");
        run_block(r, j);
        if (k < c->n_deepstack && c->deepstack[k] == j) {
            merge(r, &r->m->tower->deepstack[k], true, r->out->deepstack[k] + first);
            wd_trace__at(r->in->trace, "deepstack_%u", k, n_out, c->n_out, r->out->deepstack[k] + first);
            k++;
        }
        if (r->in->progress) {
            const double rows = (double)r->n_done + (double)r->n * (j + 1) / c->depth;
            r->in->progress(r->in->progress_self, rows / (double)r->n_total);
        }
    }
    merge(r, &r->m->tower->merger, false, r->out->main + first);
    wd_trace__rows(r->in->trace, "merger_out", n_out, c->n_out, r->out->main + first);
    return WD_OK;
}

wd_status wd_model_see(wd_model *m, const wd_see *in, wd_features *out, wd_err *err)
{
    if (!m->tower)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "vision: this model reads text only");
    const wd_vision_config *c = &m->cfg.vision;
    wd_features f = { 0 };
    size_t largest;
    tower_run *r = WD_ALLOC(tower_run);
    if (!r)
        return WD_FAIL(err, WD_E_NOMEM, "vision: no memory");
    *r = (tower_run){ .m = m, .c = c, .in = in, .out = &f };

    wd_status st = check_grids(in, c->merge_size, &r->n_total, &largest, err);
    if (st)
        goto out;
    st = take_workspace(r, WD_MIN(WD_MAX(largest, (size_t)BATCH_ROWS), r->n_total), err);
    if (st)
        goto out;
    st = wd_features_init(&f, r->n_total / (c->merge_size * c->merge_size), c->n_out, c->n_deepstack, err);
    while (!st && next_batch(r))
        st = run_batch(r, err);
    if (st)
        goto out;
    *out = f;
    f = (wd_features){ 0 };
out:
    wd_features_free(&f);
    wd_free(r->block);
    wd_free(r);
    return st;
}
