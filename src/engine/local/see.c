/* The tower's turns, and the image cache: features by tenant and by what the pixels are.
 *
 * A turn is as many images as make look_tokens, one at least; the tower's own batches are no larger. While they are in it, a
 * thread resizes those of the next turn, and their pixels go when they have been seen: of a long series two turns' pixels are
 * there. The thread ends before the turn does, so that nobody else has to know of it. It is one more than the cores, for the
 * few ms that it takes; who multiplies beside it takes over what the held-up thread has left (base/pool.h). */
#include <pthread.h>
#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/local/inner.h"

static const wd_local_visual *visual_of(const wd_local_prompt *p, const wd_prompt_place *place)
{
    return place->video ? &p->video[place->index] : &p->image[place->index];
}

/* The group of a place goes into its key: groups of one video differ by it. */
wd_digest wd_local__place_key(const wd_local_prompt *p, const wd_prompt_place *place)
{
    wd_digest d = visual_of(p, place)->digest;
    for (int i = 0; i < 4; i++)
        d.b[i] ^= (uint8_t)(place->group >> (8 * i));
    return d;
}

/* ---- the cache: old_feature .. new_feature ---- */

static void unlink_feature(wd_local *e, wd_local_feature *f)
{
    *(f->older ? &f->older->newer : &e->old_feature) = f->newer;
    *(f->newer ? &f->newer->older : &e->new_feature) = f->older;
}

static void make_newest(wd_local *e, wd_local_feature *f)
{
    f->older = e->new_feature;
    f->newer = NULL;
    *(e->new_feature ? &e->new_feature->newer : &e->old_feature) = f;
    e->new_feature = f;
}

/* Down to `most` bytes, but for those in use. */
static void shrink(wd_local *e, size_t most)
{
    for (wd_local_feature *f = e->old_feature, *next; f && e->image_bytes > most; f = next) {
        next = f->newer;
        if (f->n_use)
            continue;
        unlink_feature(e, f);
        e->image_bytes -= f->bytes;
        wd_features_free(&f->f);
        wd_free(f);
    }
}

static wd_local_feature *find(wd_local *e, uint64_t tenant, const wd_digest *key)
{
    for (wd_local_feature *f = e->new_feature; f; f = f->older)
        if (f->tenant == tenant && memcmp(&f->key, key, sizeof *key) == 0) {
            unlink_feature(e, f);
            make_newest(e, f);
            return f;
        }
    return NULL;
}

void wd_local__unsee(wd_local *e, wd_local_job *j)
{
    for (uint32_t i = 0; i < j->prompt->text.n_place; i++)
        if (j->seen[i]) {
            j->seen[i]->n_use--;
            j->seen[i] = NULL;
        }
    shrink(e, e->image_max);
}

void wd_local__forget_features(wd_local *e)
{
    shrink(e, 0);
}

bool wd_local__has_to_see(wd_local *e, wd_local_job *j)
{
    const wd_prompt *p = &j->prompt->text;
    bool missing = false;
    for (uint32_t i = 0; i < p->n_place; i++) {
        if (j->seen[i] || p->place[i].first + p->place[i].n <= j->n_done)
            continue;
        const wd_digest key = wd_local__place_key(j->prompt, &p->place[i]);
        j->seen[i] = find(e, j->tenant->id, &key);
        if (j->seen[i]) {
            j->seen[i]->n_use++;
            e->stats.n_image++;
            e->stats.n_image_cached++;
        } else {
            missing = true;
        }
    }
    return missing;
}

/* ---- the tower ---- */

/* Visual places that the tower has to see, as one run of patch rows. */
typedef struct sight {
    const wd_local_prompt *p;
    const uint32_t *place; /* [n] indices */
    size_t n, n_token, done, total;
    const wd_watch *watch;
    bool tells;    /* watch->progress is for this thread to call */
    bool may_step; /* no reply waits for this thread */
    wd_local *e;
    double stepped_at, step_s; /* end and length of the latest step between layers */
} sight;

/* After each layer. Replies get a step in between, but not more than half of the time: neither they nor the image wait long. */
static void between_layers(void *self, double done)
{
    sight *s = self;
    wd_local *e = s->e;
    const double now = wd_clock_s();
    if (s->tells)
        s->watch->progress(s->watch->self, WD_STAGE_VISION, s->done + (uint64_t)((double)s->n_token * done),
                           s->total);
    wd_share_end_turn(e->o.share); /* others may have theirs, and the step takes its own */
    if (s->may_step && now - s->stepped_at >= s->step_s) {
        pthread_mutex_lock(&e->mu);
        if (e->n_job > 1 && wd_local__step_between(e)) {
            e->stats.n_step_between++;
            s->stepped_at = wd_clock_s();
            s->step_s = s->stepped_at - now;
        }
        pthread_mutex_unlock(&e->mu);
    }
    wd_share_begin_turn(e->o.share);
}

/* Rows first .. first + n - 1 of all places' patches, which follow each other. */
static void fill_rows(void *self, size_t first, size_t n, float *out)
{
    const sight *s = self;
    for (size_t i = 0; i < s->n && n; i++) {
        const wd_prompt_place *place = &s->p->text.place[s->place[i]];
        const wd_visual *v = &visual_of(s->p, place)->v;
        const size_t rows = wd_visual_group_rows(v);
        if (first >= rows) {
            first -= rows;
            continue;
        }
        const size_t take = WD_MIN(n, rows - first);
        wd_visual_fill(v, rows * place->group + first, take, out);
        out += take * wd_patch_row_len(&v->format);
        n -= take;
        first = 0;
    }
}

/* Rows [at, at + n) of what the tower gave, as an entry of their own. */
static wd_status keep(wd_local *e, wd_local_job *j, uint32_t i, const wd_features *all, size_t at, size_t n,
                      wd_err *err)
{
    wd_local_feature *f = WD_ALLOC(wd_local_feature);
    if (!f)
        return WD_FAIL(err, WD_E_NOMEM, "images: no memory");
    const wd_status st = wd_features_init(&f->f, n, all->n_embd, all->n_deepstack, err);
    if (st) {
        wd_free(f);
        return st;
    }
    const size_t row = all->n_embd * sizeof(float);
    memcpy(f->f.main, all->main + at * all->n_embd, n * row);
    for (uint32_t k = 0; k < all->n_deepstack; k++)
        memcpy(f->f.deepstack[k], all->deepstack[k] + at * all->n_embd, n * row);
    f->tenant = j->tenant->id;
    f->key = wd_local__place_key(j->prompt, &j->prompt->text.place[i]);
    f->bytes = sizeof *f + n * row * (1 + all->n_deepstack);
    f->n_use = 1;
    make_newest(e, f);
    e->image_bytes += f->bytes;
    j->seen[i] = f;
    e->stats.n_image++;
    return WD_OK;
}

static bool held_twice(const wd_local_job *j, const uint32_t *place, size_t n, uint32_t i)
{
    const wd_digest key = wd_local__place_key(j->prompt, &j->prompt->text.place[i]);
    for (size_t k = 0; k < n; k++) {
        const wd_digest other = wd_local__place_key(j->prompt, &j->prompt->text.place[place[k]]);
        if (memcmp(&key, &other, sizeof key) == 0)
            return true;
    }
    return false;
}

/* Appends what may go into one turn to the n places that are chosen already. */
static size_t choose(const wd_local *e, const wd_local_job *j, uint32_t *place, size_t n, size_t *n_token)
{
    const wd_prompt *p = &j->prompt->text;
    const size_t before = n;
    *n_token = 0;
    for (uint32_t i = 0; i < p->n_place; i++) {
        const size_t more = p->place[i].n;
        if (j->seen[i] || p->place[i].first + more <= j->n_done ||
            (n > before && *n_token + more > e->look_tokens) || held_twice(j, place, n, i))
            continue;
        place[n++] = i;
        *n_token += more;
    }
    return n - before;
}

static size_t tokens_to_see(const wd_local_job *j)
{
    const wd_prompt *p = &j->prompt->text;
    size_t n = 0;
    for (uint32_t i = 0; i < p->n_place; i++)
        n += j->seen[i] || p->place[i].first + p->place[i].n <= j->n_done ? 0 : p->place[i].n;
    return n;
}

/* Images of the next turn. */
typedef struct next_images {
    const wd_local_prompt *p;
    const uint32_t *place; /* [n] */
    size_t n;
    const atomic_bool *cancel;
    wd_status st;
    wd_err err;
} next_images;

static void resize_images(next_images *x)
{
    for (size_t i = 0; i < x->n && !x->st; i++) {
        const wd_prompt_place *place = &x->p->text.place[x->place[i]];
        if (x->cancel && atomic_load_explicit(x->cancel, memory_order_relaxed))
            x->st = WD_FAIL(&x->err, WD_E_CANCELLED, "cancelled while images were prepared");
        else if (!place->video)
            x->st = wd_local__resize(x->p, place->index, &x->err);
    }
}

static void *resize_ahead(void *arg)
{
    resize_images(arg);
    return NULL;
}

/* false: no thread, or nothing to do; then the next turn does it. Signals are left to those who know what to do with them. */
static bool begin_ahead(next_images *x, pthread_t *thread)
{
    sigset_t all, before;
    if (x->n == 0)
        return false;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    const bool begun = pthread_create(thread, NULL, resize_ahead, x) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return begun;
}

/* The turn itself, without mu: s's images through the tower, and the next ones beside it. s's own are there, unless the turn
 * before had no thread, or the job gave up its room and looks again. */
static wd_status look(sight *s, const wd_see *in, next_images *next, wd_features *out, wd_err *err)
{
    pthread_t thread;
    next_images now = { .p = s->p, .place = s->place, .n = s->n, .cancel = s->watch->cancel };
    resize_images(&now);
    if (now.st) {
        *err = now.err;
        return now.st;
    }
    const bool ahead = begin_ahead(next, &thread);
    wd_share_begin_turn(s->e->o.share);
    const wd_status st = wd_model_see(s->e->o.model, in, out, err);
    wd_share_end_turn(s->e->o.share);
    if (ahead)
        pthread_join(thread, NULL);
    for (size_t i = 0; i < s->n; i++) {
        const wd_prompt_place *place = &s->p->text.place[s->place[i]];
        if (!place->video)
            wd_visual_drop(&s->p->image[place->index].v);
    }
    return st;
}

void wd_local__see(wd_local *e, wd_local_job *j, const wd_local_job *self)
{
    const wd_prompt *p = &j->prompt->text;
    bool gone = false;
    sight s = { .p = j->prompt,
                .watch = j->watch,
                .tells = j == self && j->watch->progress,
                .may_step = j == self,
                .done = j->n_saw,
                .total = j->n_saw + tokens_to_see(j),
                .e = e,
                .stepped_at = wd_clock_s() };
    next_images next = { .p = j->prompt, .cancel = j->watch->cancel };
    size_t later;
    wd_features all = { 0 };
    wd_err err = { 0 };
    const double start = wd_clock_s();
    wd_status st = WD_OK;
    uint32_t *place = WD_ALLOC_N(uint32_t, p->n_place), (*grid)[3] = wd_calloc(p->n_place, sizeof *grid);
    if (!place || !grid) {
        st = WD_FAIL(&err, WD_E_NOMEM, "images: no memory");
        goto out;
    }
    s.place = place;
    s.n = choose(e, j, place, 0, &s.n_token);
    for (size_t i = 0; i < s.n; i++) {
        const wd_visual *v = &visual_of(j->prompt, &p->place[place[i]])->v;
        memcpy(grid[i], (uint32_t[]){ 1, v->grid[1], v->grid[2] }, sizeof *grid); /* one temporal group */
    }
    next.place = place + s.n;
    next.n = choose(e, j, place, s.n, &later);
    j->n_see = s.total;
    const wd_see in = { .fill = fill_rows,
                        .fill_self = &s,
                        .grid = (const uint32_t(*)[3])grid,
                        .n_grid = s.n,
                        .cancel = j->watch->cancel,
                        .progress = between_layers,
                        .progress_self = &s };
    e->looked_at = j;
    pthread_mutex_unlock(&e->mu);
    st = look(&s, &in, &next, &all, &err);
    pthread_mutex_lock(&e->mu);
    e->looked_at = NULL;
    gone = j->state == WD_LOCAL_ENDED; /* a step between had no memory for it */
    for (size_t i = 0, at = 0; !st && !gone && i < s.n; at += p->place[place[i++]].n)
        st = keep(e, j, place[i], &all, at, p->place[place[i]].n, &err);
    j->n_saw += s.n_token;
    if (!st && next.st) {
        st = next.st;
        err = next.err;
    }
    shrink(e, e->image_max);
out:
    j->vision_s += wd_clock_s() - start;
    wd_features_free(&all);
    wd_free(place);
    wd_free(grid);
    if (st && !gone)
        wd_local__end(e, j, st, &err);
}
