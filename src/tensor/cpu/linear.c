/* y = act(x W' + b) + residual, in panels.
 *
 * Outputs are dealt out to the workers in panels of at most WD_CPU_OUTS, whose weights stay in the second-level cache
 * while all rows pass by, WD_CPU_ROWS at a time. So weights are read from memory once, in their stored type and place.
 * A kernel that takes many rows a chunk of inputs at a time has it the other way round: WD_CPU_MANY rows of x stay in the
 * cache while WD_CPU_WIDE outputs pass by, whose weights come from memory once and then from the third level.
 * Bias, activation and residual are applied to a finished panel.
 *
 * FP8 weights are widened exactly, WD_CPU_F8_OUTS x WD_CPU_F8_K at a time; the sum over a block of inputs is
 * multiplied by the block's scale, and blocks are added in the order of the inputs.
 *
 * W8 and W4 weights meet activations in groups of 8 bits, quantised once for all panels; EXACT widens them as it does
 * FP8.
 *
 * Maps of as many inputs that want their rows prepared in the same way are one loop over the outputs of all, and rows that
 * several of them share are prepared once. Rows that are listed are fetched while they are prepared; where they would be
 * used as they are, preparing is copying. */
#include <assert.h>
#include <string.h>

#include "base/compiler.h"
#include "tensor/cpu/cpu.h"
#include "tensor/quant.h"

/* What becomes of the rows of x before they are multiplied. */
typedef enum preparation { AS_THEY_ARE, GATHERED, ROUNDED, PACKED, QUANTISED } preparation;

enum { TOGETHER = 32, GRAIN = 16 }; /* maps in one loop at most; outputs that only one worker has */

typedef struct linear_job {
    wd_cpu *c;
    const wd_linear_args *a;
    const void *x; /* [n][x_stride] f32, or bf16 when rounded, or quantised */
    size_t x_stride;
    size_t row0, n;    /* the rows of this pass */
    size_t rows, outs; /* of a panel at most; outs: floats from row to row in it */
    size_t at;         /* prepared, they begin at this row of c->x */
    size_t n_out, n_in;
    size_t end;      /* where its outputs end in the loop; they begin at a multiple of GRAIN */
    bool shares;     /* the prepared rows of the job before it */
    bool rounded;    /* x is bf16 */
    bool widened;    /* W8 or W4 as f32 */
    wd_mm_fn kern;   /* NULL: one of the next, or FP8 */
    wd_mmq_fn quant; /* x is quantised, */
    wd_qgroup *xg;   /* with these scales, n_in / group for each row */
} linear_job;

typedef struct together {
    linear_job job[TOGETHER]; /* n_in and the preparation are the same in all */
    size_t n_job;
    preparation prep;
    size_t stride, align, most; /* of prepared rows: elements; a map's begin at a multiple; at a time */
    size_t n_row; /* of all, one behind the other: more than `most` only if all maps share them */
} together;

static const float *source(const linear_job *j, size_t i)
{
    return j->a->x + (j->a->row ? j->a->row[j->row0 + i] : j->row0 + i) * j->a->x_stride;
}

/* Rows [i, i + n) of this pass to where they are read from. */
static void prepare(const together *t, const linear_job *j, size_t i, size_t n)
{
    const wd_linear_args *a = j->a;
    const wd_kern *k = &j->c->k;
    const size_t to = (j->at + i) * t->stride, group = a->lin->w.group;
    if (t->prep == PACKED) { /* the first rows of groups of 16 */
        const float *x = a->row ? a->x : a->x + (j->row0 + i) * a->x_stride;
        k->dot_pack(j->c->x + to, t->stride, x, a->x_stride, a->row ? a->row + j->row0 + i : NULL, n,
                    j->n_in);
        return;
    }
    for (size_t r = 0; r < n; r++) {
        const float *x = source(j, i + r);
        if (t->prep == QUANTISED)
            k->quantise((int8_t *)j->c->x + to + r * t->stride, j->xg + (i + r) * (j->n_in / group), x,
                        j->n_in, group);
        else if (t->prep == ROUNDED)
            k->f32_to_bf16(j->c->x + to + r * t->stride, x, j->n_in);
        else
            memcpy((float *)(void *)j->c->x + to + r * t->stride, x, j->n_in * sizeof *x);
    }
}

static void prepare_part(void *arg, unsigned worker, unsigned n_worker)
{
    const together *t = arg;
    size_t first, last;
    wd_pool_share(WD_MIN(t->n_row, t->most), t->align, worker, n_worker, &first, &last);
    for (const linear_job *j = t->job; j < t->job + t->n_job; j++) {
        const size_t from = WD_MAX(first, j->at), to = WD_MIN(last, j->at + j->n);
        if (!j->shares && from < to)
            prepare(t, j, from - j->at, to - from);
    }
}

static preparation preparation_of(const wd_cpu *c, const wd_linear_args *a)
{
    const wd_linear *lin = a->lin;
    if (wd_quant_is(lin->w.dtype) && !c->exact)
        return QUANTISED;
    if (c->bf16_x && (lin->w.dtype == WD_DTYPE_BF16 || lin->w.dtype == WD_DTYPE_F8_E4M3))
        return lin->in_out ? ROUNDED : PACKED;
    return a->row ? GATHERED : AS_THEY_ARE;
}

static wd_mm_fn kernel_for(const wd_cpu *c, const wd_linear *lin)
{
    switch (lin->w.dtype) {
    case WD_DTYPE_F32:
        return lin->in_out ? c->k.mul_f32 : c->k.dot_f32;
    case WD_DTYPE_F16:
        return lin->in_out ? c->k.mul_f16 : c->k.dot_f16;
    case WD_DTYPE_BF16:
        if (c->bf16_x)
            return lin->in_out ? c->k.mul_bf16_bf16 : c->k.dot_bf16_bf16;
        return lin->in_out ? c->k.mul_bf16 : c->k.dot_bf16;
    default:
        assert(lin->w.dtype == WD_DTYPE_F8_E4M3 || (wd_quant_is(lin->w.dtype) && !lin->in_out));
        return NULL;
    }
}

static size_t x_bytes(const linear_job *j)
{
    return j->rounded ? sizeof(wd_bf16) : sizeof(float);
}

static const uint8_t *x_at(const linear_job *j, size_t row)
{
    return (const uint8_t *)j->x + row * j->x_stride * x_bytes(j);
}

static void activate(const wd_kern *k, wd_act act, float *y, size_t n)
{
    switch (act) {
    case WD_ACT_NONE:
        return;
    case WD_ACT_SILU:
        k->silu(y, n);
        return;
    case WD_ACT_GELU_TANH:
        k->gelu_tanh(y, n);
        return;
    case WD_ACT_GELU_ERF:
        k->gelu_erf(y, n);
        return;
    }
}

/* Takes rows [row, row + n) x outputs [out, out + n_out) from the scratch panel to where they belong. */
static void finish(const linear_job *j, wd_cpu_scratch *s, size_t row, size_t n, size_t out, size_t n_out)
{
    const wd_kern *k = &j->c->k;
    const wd_linear_args *a = j->a;
    if (a->lin->b.data)
        wd_cpu__to_f32(j->c, s->bias, &a->lin->b, out, n_out);
    for (size_t i = 0; i < n; i++) {
        float *panel = s->y + i * j->outs;
        const size_t at = (j->row0 + row + i) * a->y_stride + out;
        if (a->lin->b.data)
            k->add_scaled(panel, s->bias, 1, n_out);
        activate(k, a->act, panel, n_out);
        if (a->residual && a->residual == a->y) { /* the same sum, without the copy */
            k->add_scaled(a->y + at, panel, 1, n_out);
            continue;
        }
        if (a->residual)
            k->add_scaled(panel, a->residual + at, 1, n_out);
        memcpy(a->y + at, panel, n_out * sizeof *panel);
    }
}

static void plain_panel(const linear_job *j, wd_cpu_scratch *s, size_t out, size_t n_out)
{
    const wd_tensor *w = &j->a->lin->w;
    const size_t w_first = j->a->lin->in_out ? out : out * j->n_in;
    for (size_t row = 0; row < j->n; row += j->rows) {
        const size_t n = WD_MIN(j->n - row, j->rows);
        j->kern(&(wd_mm){ .y = s->y,
                          .y_stride = j->outs,
                          .x = x_at(j, row),
                          .x_stride = j->x_stride,
                          .w = (const uint8_t *)w->data + w_first * wd_dtype_bytes(w->dtype),
                          .w_stride = j->a->lin->in_out ? j->n_out : j->n_in,
                          .n = n,
                          .n_out = n_out,
                          .n_in = j->n_in });
        finish(j, s, row, n, out, n_out);
    }
}

/* The factor of the 128 x 128 block at row r, column c of an FP8 matrix. */
static float f8_scale(const wd_tensor *w, size_t r, size_t c)
{
    const size_t across = (w->dim[1] + WD_CPU_F8_K - 1) / WD_CPU_F8_K;
    const wd_tensor scale = { .data = w->scale, .dtype = w->scale_dtype, .n_dim = 1, .dim = { SIZE_MAX } };
    return w->scale ? wd_tensor_get(&scale, r / WD_CPU_F8_K * across + c / WD_CPU_F8_K) : 1;
}

/* Outputs [out, out + n_out) x inputs [k0, k0 + n_k) of FP8 weights, without their scale, to s->w: as f32, or as bf16
 * where activations are rounded to it. [n_out][n_k], or [n_k][n_out] when in_out. */
static void f8_expand(const linear_job *j, wd_cpu_scratch *s, size_t out, size_t n_out, size_t k0, size_t n_k)
{
    const wd_kern *k = &j->c->k;
    const bool in_out = j->a->lin->in_out;
    const size_t rows = in_out ? n_k : n_out, cols = in_out ? n_out : n_k;
    const wd_f8 *from = (const wd_f8 *)j->a->lin->w.data +
                        (in_out ? k0 * j->n_out + out : out * j->n_in + k0);
    const size_t step = in_out ? j->n_out : j->n_in;
    /* Short pieces of many rows: no hardware prefetcher sees through that. Four blocks on, or in the next rows. */
    const size_t ahead = in_out ? 4 * WD_CPU_F8_K * step
                                : 4 * WD_CPU_F8_K + (k0 + 4 * WD_CPU_F8_K < j->n_in ? 0 : (n_out - 1) * step);
    for (size_t r = 0; r < rows; r++, from += step) {
        for (size_t c = 0; c < cols; c += 64)
            WD_PREFETCH((const void *)((uintptr_t)from + ahead + c));
        if (j->rounded)
            k->f8_to_bf16((wd_bf16 *)(void *)s->w + r * cols, from, cols);
        else
            k->f8_to_f32(s->w + r * cols, from, 1, cols);
    }
}

static wd_mm_fn f8_kernel(const linear_job *j)
{
    const wd_kern *k = &j->c->k;
    if (j->a->lin->in_out)
        return j->rounded ? k->mul_bf16_bf16 : k->mul_f32;
    return j->rounded ? k->dot_bf16_bf16 : k->dot_f32;
}

/* Rows [row, row + n) against at most F8_OUTS outputs of one row of blocks: block by block, times its scale. */
static void f8_rows(const linear_job *j, wd_cpu_scratch *s, size_t row, size_t n, size_t out, size_t n_out)
{
    const bool in_out = j->a->lin->in_out, packed = j->rounded && !in_out;
    memset(s->y, 0, n * WD_CPU_OUTS * sizeof s->y[0]);
    for (size_t k0 = 0; k0 < j->n_in; k0 += WD_CPU_F8_K) {
        const size_t n_k = WD_MIN(j->n_in - k0, (size_t)WD_CPU_F8_K);
        const float scale = f8_scale(&j->a->lin->w, in_out ? k0 : out, in_out ? out : k0);
        f8_expand(j, s, out, n_out, k0, n_k);
        f8_kernel(j)(&(wd_mm){ .y = s->part,
                               .y_stride = WD_CPU_OUTS,
                               .x = x_at(j, row) + (packed ? 0 : k0 * x_bytes(j)),
                               .x_stride = j->x_stride,
                               .k0 = packed ? k0 : 0,
                               .w = s->w,
                               .w_stride = in_out ? n_out : n_k,
                               .n = n,
                               .n_out = n_out,
                               .n_in = n_k });
        for (size_t i = 0; i < n; i++)
            j->c->k.add_scaled(s->y + i * WD_CPU_OUTS, s->part + i * WD_CPU_OUTS, scale, n_out);
    }
    finish(j, s, row, n, out, n_out);
}

/* Outputs from a stripe's first against all rows. */
static void quant_panel(const linear_job *j, wd_cpu_scratch *s, size_t out, size_t n_out)
{
    const wd_tensor *w = &j->a->lin->w;
    const size_t n_group = j->n_in / w->group, cells = out * j->n_in;
    for (size_t row = 0; row < j->n; row += WD_CPU_ROWS) {
        const size_t n = WD_MIN(j->n - row, (size_t)WD_CPU_ROWS);
        j->quant(&(wd_mmq){ .y = s->y,
                            .y_stride = WD_CPU_OUTS,
                            .x = (const int8_t *)j->x + row * j->n_in,
                            .xg = j->xg + row * n_group,
                            .w = (const uint8_t *)w->data + (w->dtype == WD_DTYPE_W4 ? cells / 2 : cells),
                            .scale = (const uint8_t *)w->scale + out * n_group * sizeof(wd_f16),
                            .zero = w->zero ? (const uint8_t *)w->zero + out * n_group : NULL,
                            .n = n,
                            .n_out = n_out,
                            .n_in = j->n_in,
                            .group = w->group });
        finish(j, s, row, n, out, n_out);
    }
}

/* Rows [row, row + n) against at most F8_OUTS outputs of W8 or W4, F8_K inputs widened at a time. */
static void widened_rows(const linear_job *j, wd_cpu_scratch *s, size_t row, size_t n, size_t out,
                         size_t n_out)
{
    memset(s->y, 0, n * WD_CPU_OUTS * sizeof s->y[0]);
    for (size_t k0 = 0; k0 < j->n_in; k0 += WD_CPU_F8_K) {
        const size_t n_k = WD_MIN(j->n_in - k0, (size_t)WD_CPU_F8_K);
        for (size_t o = 0; o < n_out; o++)
            wd_quant_get(&j->a->lin->w, out + o, k0, n_k, s->w + o * n_k);
        j->c->k.dot_f32(&(wd_mm){ .y = s->part,
                                  .y_stride = WD_CPU_OUTS,
                                  .x = x_at(j, row) + k0 * sizeof(float),
                                  .x_stride = j->x_stride,
                                  .w = s->w,
                                  .w_stride = n_k,
                                  .n = n,
                                  .n_out = n_out,
                                  .n_in = n_k });
        for (size_t i = 0; i < n; i++)
            j->c->k.add_scaled(s->y + i * WD_CPU_OUTS, s->part + i * WD_CPU_OUTS, 1, n_out);
    }
    finish(j, s, row, n, out, n_out);
}

/* Outputs [first, last), first a multiple of GRAIN. */
static void linear_piece(const linear_job *j, wd_cpu_scratch *s, size_t first, size_t last)
{
    const size_t panel = j->kern || j->quant ? j->outs : WD_CPU_F8_OUTS;
    for (size_t out = first; out < last; out += panel) {
        const size_t n_out = WD_MIN(last - out, panel);
        if (j->kern) {
            plain_panel(j, s, out, n_out);
            continue;
        }
        if (j->quant) {
            quant_panel(j, s, out, n_out);
            continue;
        }
        for (size_t row = 0; row < j->n; row += WD_CPU_ROWS) {
            const size_t n = WD_MIN(j->n - row, (size_t)WD_CPU_ROWS);
            if (j->widened)
                widened_rows(j, s, row, n, out, n_out);
            else
                f8_rows(j, s, row, n, out, n_out);
        }
    }
}

static void together_piece(void *arg, unsigned worker, size_t first, size_t last)
{
    const together *t = arg;
    size_t begin = 0;
    for (const linear_job *j = t->job; j < t->job + t->n_job && begin < last; begin = j++->end) {
        if (first < j->end)
            linear_piece(j, &j->c->scratch[worker], WD_MAX(first, begin) - begin,
                         WD_MIN(WD_MIN(last, j->end) - begin, j->n_out));
    }
}

/* Chooses the panels of a pass. */
static void size_panel(linear_job *j)
{
    const wd_kern *k = &j->c->k;
    const bool wide = k->dot_by_chunk && j->kern == k->dot_bf16_bf16 && j->n > WD_CPU_ROWS;
    j->rows = wide ? WD_CPU_MANY : WD_CPU_ROWS;
    j->outs = wide ? WD_CPU_WIDE : WD_CPU_OUTS;
}

/* Where the rows of this pass lie, prepared or not. */
static void place(const together *t, linear_job *j, size_t row0)
{
    const size_t n_group = t->prep == QUANTISED ? j->n_in / j->a->lin->w.group : 0;
    uint8_t *base = (uint8_t *)j->c->x;
    j->row0 = row0;
    j->n = WD_MIN(j->a->n - row0, t->most);
    j->x_stride = t->stride;
    if (t->prep == AS_THEY_ARE) {
        j->x_stride = j->a->x_stride;
        j->x = source(j, 0);
    } else if (t->prep == QUANTISED) {
        j->x = base + j->at * t->stride;
        j->xg = (wd_qgroup *)(void *)(base + t->most * t->stride) +
                j->at * n_group; /* most is a multiple of 16 */
    } else {
        j->x = base + j->at * t->stride * x_bytes(j);
    }
}

static void run(together *t)
{
    wd_cpu *c = t->job[0].c;
    assert(t->most > 0);
    for (size_t row0 = 0; row0 < t->n_row; row0 += t->most) {
        size_t work = 0, panel = 0;
        for (linear_job *j = t->job; j < t->job + t->n_job; j++) {
            place(t, j, row0);
            size_panel(j);
            panel = WD_MAX(panel, j->outs);
            work += j->n_out * j->n_in * WD_MIN(j->n, (size_t)8);
        }
        if (t->prep != AS_THEY_ARE)
            wd_cpu__run(c, WD_MIN(t->n_row, t->most) * t->job[0].n_in / 8, prepare_part, t);
        wd_cpu__deal(c, work, t->job[t->n_job - 1].end, GRAIN, panel, together_piece, t);
    }
}

static linear_job job_of(wd_cpu *c, const wd_linear_args *a)
{
    const wd_tensor *w = &a->lin->w;
    const preparation prep = preparation_of(c, a);
    assert(w->data && w->n_dim == 2);
    linear_job j = { .c = c, .a = a, .kern = kernel_for(c, a->lin) };
    j.n_out = w->dim[a->lin->in_out ? 1 : 0];
    j.n_in = w->dim[a->lin->in_out ? 0 : 1];
    j.rounded = prep == ROUNDED || prep == PACKED;
    j.widened = wd_quant_is(w->dtype) && prep != QUANTISED;
    if (prep == QUANTISED)
        j.quant = w->dtype == WD_DTYPE_W8 ? c->k.dot_w8 : c->k.dot_w4;
    assert(a->x_stride >= j.n_in && a->y_stride >= j.n_out);
    assert(!a->lin->b.data || wd_tensor_count(&a->lin->b) == j.n_out);
    return j;
}

/* A loop with one map in it, to which others may come. */
static void begin(together *t, const linear_job *j)
{
    const size_t n_in = j->n_in;
    *t = (together){ .prep = preparation_of(j->c, j->a), .align = 1, .most = SIZE_MAX };
    switch (t->prep) {
    case AS_THEY_ARE:
        break;
    case GATHERED:
        t->stride = n_in + WD_CPU_X_GAP;
        t->most = WD_CPU_X_BYTES / sizeof(float) / t->stride;
        break;
    case ROUNDED:
    case PACKED:
        t->stride = (n_in + 31) / 32 * 32 + WD_CPU_X_GAP;
        t->align = 16;
        t->most = WD_CPU_X_BYTES / sizeof(wd_bf16) / t->stride / 16 * 16;
        break;
    case QUANTISED: /* the values of all rows, their scales behind */
        t->stride = n_in;
        t->most = WD_CPU_X_BYTES / (n_in + n_in / j->a->lin->w.group * sizeof(wd_qgroup)) / 16 * 16;
        break;
    }
}

static bool same_rows(const wd_linear_args *a, const wd_linear_args *b)
{
    return a->x == b->x && a->x_stride == b->x_stride && a->n == b->n && !a->row == !b->row &&
           (a->row == b->row || memcmp(a->row, b->row, a->n * sizeof *a->row) == 0);
}

/* false: it has to wait for another loop. */
static bool join(together *t, linear_job j)
{
    const linear_job *before = t->n_job ? &t->job[t->n_job - 1] : NULL;
    if (before && (t->n_job == TOGETHER || preparation_of(j.c, j.a) != t->prep || j.n_in != before->n_in ||
                   j.a->lin->w.group != before->a->lin->w.group))
        return false;
    j.shares = before && same_rows(j.a, before->a);
    j.at = j.shares ? before->at : (t->n_row + t->align - 1) / t->align * t->align;
    if (before && !j.shares && (j.at > t->most || j.a->n > t->most - j.at))
        return false;
    j.end = (before ? before->end : 0) + (j.n_out + GRAIN - 1) / GRAIN * GRAIN;
    t->n_row = j.at + j.a->n;
    t->job[t->n_job++] = j;
    return true;
}

void wd_cpu__linear(void *self, const wd_linear_args *a, size_t n_a)
{
    for (size_t i = 0; i < n_a;) {
        together t;
        linear_job j = job_of(self, &a[i]);
        begin(&t, &j);
        while (join(&t, j) && ++i < n_a)
            j = job_of(self, &a[i]);
        run(&t);
    }
}
