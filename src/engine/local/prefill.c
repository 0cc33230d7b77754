/* The sequence in the cache: what of a prompt is there already, the tower for what is not, and the chunks.
 *
 * Invariants
 *   1. held[0 .. wd_kv_len) are the tokens whose keys and values the cache holds.
 *   2. seen[] are the visual places wholly below wd_kv_len, in order, with the digest of their pixels.
 *   3. A failed step leaves the cache as it was before that step, so 1 and 2 hold after every return.
 */
#include <string.h>

#include "base/clock.h"
#include "engine/local/inner.h"

#define LOGIT_ROWS 32 /* positions whose logits are held at once when all are wanted */

static const wd_local_visual *visual_of(const wd_local_prompt *p, const wd_prompt_place *place)
{
    return place->video ? &p->video[place->index] : &p->image[place->index];
}

/* The group of a place goes into its key: groups of one video differ by it. */
static wd_digest place_key(const wd_local_prompt *p, const wd_prompt_place *place)
{
    wd_digest d = visual_of(p, place)->digest;
    for (int i = 0; i < 4; i++)
        d.b[i] ^= (uint8_t)(place->group >> (8 * i));
    return d;
}

/* How many leading tokens of the prompt the cache holds already; never inside a visual place, never all. */
static size_t common_prefix(const wd_local *e, const wd_local_prompt *p)
{
    const size_t most = WD_MIN(p->n - 1, wd_kv_len(e->kv));
    size_t n = 0;
    while (n < most && e->held[n] == p->id[n])
        n++;
    for (uint32_t i = 0; i < p->text.n_place && p->text.place[i].first < n; i++) {
        const wd_prompt_place *place = &p->text.place[i];
        const wd_digest key = place_key(p, place);
        const bool same = i < e->n_seen && e->seen[i].first == place->first && e->seen[i].n == place->n &&
                          memcmp(&e->seen[i].digest, &key, sizeof key) == 0;
        if (!same || place->first + place->n > n)
            return place->first;
    }
    return n;
}

/* Cuts the cache down to n tokens. */
static void keep(wd_local *e, size_t n)
{
    wd_kv_truncate(e->kv, n);
    while (e->n_seen && e->seen[e->n_seen - 1].first + e->seen[e->n_seen - 1].n > n)
        e->n_seen--;
}

/* Visual places that the tower has to see, as one run of patch rows. */
typedef struct sight {
    const wd_local_prompt *p;
    const wd_prompt_place *place; /* [n] */
    size_t n;
    const wd_watch *watch;
    size_t n_token;
} sight;

static void tower_progress(void *self, double done)
{
    const sight *s = self;
    s->watch->progress(s->watch->self, WD_STAGE_VISION, (uint64_t)((double)s->n_token * done), s->n_token);
}

/* Rows first .. first + n - 1 of all places' patches, which follow each other. */
static void fill_rows(void *self, size_t first, size_t n, float *out)
{
    const sight *s = self;
    for (size_t i = 0; i < s->n && n; i++) {
        const wd_visual *v = &visual_of(s->p, &s->place[i])->v;
        const size_t rows = wd_visual_group_rows(v);
        if (first >= rows) {
            first -= rows;
            continue;
        }
        const size_t take = WD_MIN(n, rows - first);
        wd_visual_fill(v, rows * s->place[i].group + first, take, out);
        out += take * wd_patch_row_len(&v->format);
        n -= take;
        first = 0;
    }
}

/* Features of all visual places from token `from` on. *base: running number of the first of them. */
static wd_status see(wd_local *e, wd_arena *a, const wd_local_prompt *p, size_t from, const wd_watch *watch,
                     wd_features *out, size_t *base, wd_err *err)
{
    size_t first = 0;
    *base = 0;
    while (first < p->text.n_place && p->text.place[first].first < from)
        *base += p->text.place[first++].n;
    sight s = { .p = p, .place = p->text.place + first, .n = p->text.n_place - first, .watch = watch };
    if (!s.n)
        return WD_OK;
    uint32_t(*grid)[3] = wd_arena_alloc(a, s.n, sizeof *grid);
    if (!grid)
        return WD_FAIL(err, WD_E_NOMEM, "images: no memory");
    for (size_t i = 0; i < s.n; i++) {
        const wd_visual *v = &visual_of(p, &s.place[i])->v;
        grid[i][0] = 1; /* a place is one temporal group */
        grid[i][1] = v->grid[1];
        grid[i][2] = v->grid[2];
        s.n_token += s.place[i].n;
    }
    const wd_see in = { .fill = fill_rows,
                        .fill_self = &s,
                        .grid = (const uint32_t(*)[3])grid,
                        .n_grid = s.n,
                        .cancel = watch->cancel,
                        .progress = watch->progress ? tower_progress : NULL,
                        .progress_self = &s };
    return wd_model_see(e->o.model, &in, out, err);
}

static wd_status note_places(wd_local *e, const wd_local_prompt *p, wd_err *err)
{
    wd_local_seen *seen = wd_realloc(e->seen, WD_MAX(p->text.n_place, 1), sizeof *seen);
    if (!seen)
        return WD_FAIL(err, WD_E_NOMEM, "prompt: no memory");
    e->seen = seen;
    return WD_OK;
}

/* One chunk: tokens [at, at + n) of the prompt; hidden and logits of its rows `rows` [n_row]. */
static wd_status chunk(wd_local *e, const wd_local_prompt *p, size_t at, size_t n, const int32_t *visual,
                       const wd_features *f, const wd_watch *watch, const uint32_t *rows, size_t n_row,
                       float *hidden, float *logits, wd_err *err)
{
    const wd_step s = { .ids = p->id + at,
                        .n = n,
                        .pos = { p->pos[0] + at, p->pos[1] + at, p->pos[2] + at },
                        .features = f->n_row ? f : NULL,
                        .visual = f->n_row ? visual + at : NULL,
                        .kv = e->kv,
                        .out_row = rows,
                        .n_out = n_row,
                        .hidden = hidden,
                        .logits = logits,
                        .cancel = watch->cancel };
    WD_TRY(wd_model_step(e->o.model, &s, err));
    memcpy(e->held + at, p->id + at, n * sizeof *e->held);
    for (uint32_t i = (uint32_t)e->n_seen; i < p->text.n_place; i++) {
        const wd_prompt_place *place = &p->text.place[i];
        if (place->first + place->n > at + n)
            break;
        e->seen[e->n_seen++] = (wd_local_seen){ place->first, place->n, place_key(p, place) };
    }
    return WD_OK;
}

typedef struct chunks {
    float *hidden, *logits;
    wd_local_logits_fn every;
    void *ctx;
    float *every_logits; /* [LOGIT_ROWS][n_vocab] */
} chunks;

static wd_status run_chunks(wd_local *e, const wd_local_prompt *p, size_t from, const int32_t *visual,
                            const wd_features *f, const wd_watch *watch, const chunks *c, wd_err *err)
{
    static const uint32_t iota[LOGIT_ROWS] = {
        0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15,
        16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
    };
    const size_t most = c->every ? WD_MIN(LOGIT_ROWS, wd_model_max_rows(e->o.model))
                                 : wd_model_max_rows(e->o.model);
    for (size_t at = from, n; at < p->n; at += n) {
        n = WD_MIN(most, p->n - at);
        if (watch->progress)
            watch->progress(watch->self, WD_STAGE_PREFILL, at - from, p->n - from);
        const uint32_t last = (uint32_t)n - 1;
        if (c->every) {
            WD_TRY(chunk(e, p, at, n, visual, f, watch, iota, n, NULL, c->every_logits, err));
            WD_TRY(c->every(c->ctx, at, n, c->every_logits, err));
            if (at + n == p->n && c->logits)
                memcpy(c->logits, c->every_logits + last * e->cfg->text.n_vocab,
                       e->cfg->text.n_vocab * sizeof(float));
        } else {
            const bool end = at + n == p->n;
            WD_TRY(chunk(e, p, at, n, visual, f, watch, &last, end, end ? c->hidden : NULL,
                         end ? c->logits : NULL, err));
        }
    }
    if (watch->progress)
        watch->progress(watch->self, WD_STAGE_PREFILL, p->n - from, p->n - from);
    return WD_OK;
}

wd_status wd_local__prefill(wd_local *e, wd_arena *a, const wd_local_prompt *p, const wd_watch *watch,
                            float *hidden, float *logits, wd_local_logits_fn every, void *ctx,
                            size_t *n_cached, wd_timings *t, wd_err *err)
{
    if (p->n > e->context)
        return WD_FAIL(err, WD_E_LIMIT, "the prompt has %zu tokens, the context %u", p->n, e->context);
    const size_t from = every ? 0 : common_prefix(e, p);
    keep(e, from);
    WD_TRY(note_places(e, p, err));

    wd_status st;
    wd_features f = { 0 };
    chunks c = { .hidden = hidden, .logits = logits, .every = every, .ctx = ctx };
    size_t base;
    const double start = wd_clock_s();
    st = see(e, a, p, from, watch, &f, &base, err);
    if (st)
        goto out;
    t->vision_s += wd_clock_s() - start;

    /* Features hold the rows from running number `base` on. */
    int32_t *visual = p->visual;
    if (base) {
        visual = WD_NEW_N(a, int32_t, p->n);
        if (!visual) {
            st = WD_FAIL(err, WD_E_NOMEM, "prompt: no memory");
            goto out;
        }
        for (size_t i = 0; i < p->n; i++)
            visual[i] = p->visual[i] < 0 || (size_t)p->visual[i] < base ? -1 : p->visual[i] - (int32_t)base;
    }
    if (every) {
        c.every_logits = wd_alloc_aligned((size_t)LOGIT_ROWS * e->cfg->text.n_vocab, sizeof(float));
        if (!c.every_logits) {
            st = WD_FAIL(err, WD_E_NOMEM, "prompt log-probabilities: no memory");
            goto out;
        }
    }
    const double seen = wd_clock_s();
    wd_kv_set_rope_delta(e->kv, p->rope_delta);
    st = run_chunks(e, p, from, visual, &f, watch, &c, err);
    t->prefill_s += wd_clock_s() - seen;
    *n_cached = from;
out:
    wd_free(c.every_logits);
    wd_features_free(&f);
    return st;
}
