/* Many calls, one model: continuous batching.
 *
 * There is no engine thread. Callers take turns: whoever waits for its tokens and finds nobody leading leads one turn for
 * all, a step of the decoder over one ragged batch or some images through the tower, and hands out what came of it. So a
 * single caller runs the model on its own thread and pays for no hand-over; and sampling, detokenising, masks of grammars
 * and callbacks are on the threads of their calls, beside each other. A caller that is given its logits is `due`: the
 * next step waits for it, since it is back as soon as a token is drawn (microseconds; nothing of the caller's own code
 * runs between). Then the caller hands its text on. If that takes long, its token is computed meanwhile, the result kept
 * for it (job.own), and the batch goes on without it.
 *
 * Invariants
 *   1. One turn at a time: `leading`. It owns the model, the KV pool and both caches; who leaves does so between turns, or
 *      while the tower rests between two of its layers, where it uses none of these.
 *   2. A turn begins when n_due is 0. Due callers run no code but ours, so that it becomes 0.
 *   3. A job has a kv if and only if it is RUNNING. n_done <= wd_kv_len(kv); tokens behind are wrong guesses.
 *   4. Somebody who waits is awake, or is woken by the last who is due, or by the end of the turn; and looks around every
 *      WAIT_MS in any case, for its cancel flag and its deadline.
 *
 * States: QUEUED (wd_local__enter, wd_local__preempt) -> RUNNING (admit) -> ENDED (wd_local__end) or gone
 * (wd_local__leave).
 *
 * Order. A higher priority first. Within one, the tenant that was served the fewest tokens for its weight so far (Y. Sheng et al.,
 * Fairness in Serving Large Language Models, 2024). A tenant that comes back starts from the least served one's count less
 * CREDIT: its question goes ahead of another's flood, and idling saves no more than that up. Then who came first. That
 * order admits and shares out prefill; tokens of replies are in every step. When pages run out, the latest of the lowest
 * priority goes back into the queue; what it had computed stays in the prefix cache while there is room, and the rest is
 * computed again, to the same bits. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/local/inner.h"

#define WAIT_MS 50
#define REST_NS 2000000  /* that the tower waits for callers who are due */
#define CREDIT 4096      /* tokens that a tenant may be behind when it comes back */
#define WORTH_WAITING 16 /* tokens that another job is computing right now */

/* ---- jobs ---- */

/* Equal pixels at the same place of equal images have equal keys; a token's key is its id. */
static void make_keys(wd_local_job *j)
{
    const wd_local_prompt *p = j->prompt;
    for (size_t i = 0; i < p->n; i++)
        j->key[i] = (wd_local_key){ p->id[i], 0 };
    for (uint32_t k = 0; k < p->text.n_place; k++) {
        const wd_prompt_place *place = &p->text.place[k];
        const wd_digest d = wd_local__place_key(p, place);
        for (uint32_t i = 0; i < place->n; i++)
            j->key[place->first + i] = (wd_local_key){ wd_le64(d.b) | (uint64_t)1 << 63,
                                                       wd_le64(d.b + 8) + i };
    }
}

static wd_status check_prompt(const wd_local *e, const wd_local_prompt *p, wd_err *err)
{
    if (p->n > e->context)
        return WD_FAIL(err, WD_E_LIMIT, "the prompt has %zu tokens, the context %u", p->n, e->context);
    if (p->n > e->capacity)
        return WD_FAIL(err, WD_E_LIMIT, "the prompt has %zu tokens, the memory for keys and values holds %zu",
                       p->n, e->capacity);
    for (size_t i = 0; i < p->n; i++) {
        if (p->id[i] >= e->cfg->text.n_vocab)
            return WD_FAIL(err, WD_E_INVALID, "prompt: token %u is outside the vocabulary of %u", p->id[i],
                           e->cfg->text.n_vocab);
        for (int k = 0; k < 3; k++)
            if (p->pos[k][i] < 0)
                return WD_FAIL(err, WD_E_INVALID, "prompt: position %d is negative", p->pos[k][i]);
    }
    return WD_OK;
}

wd_status wd_local__job(wd_local *e, wd_arena *a, const wd_local_prompt *p, size_t room, wd_local_want want,
                        const wd_terms *terms, const wd_watch *watch, wd_local_job *out, wd_err *err)
{
    WD_TRY(check_prompt(e, p, err));
    *out = (wd_local_job){ .prompt = p, .terms = terms, .watch = watch, .want = want };
    out->cap = p->n + room;
    out->id = WD_NEW_N(a, uint32_t, out->cap);
    out->key = WD_NEW_N(a, wd_local_key, p->n);
    out->seen = WD_NEW_N(a, wd_local_feature *, p->text.n_place);
    if (!out->id || !out->key || !out->seen)
        return WD_FAIL(err, WD_E_NOMEM, "request: no memory for %zu tokens", out->cap);
    memcpy(out->id, p->id, p->n * sizeof *p->id);
    make_keys(out);
    out->n_known = p->n;
    return WD_OK;
}

bool wd_local__runnable(const wd_local_job *j)
{
    return j->state == WD_LOCAL_RUNNING && !j->ready && j->n_done < j->n_known;
}

static bool in_prefill(const wd_local_job *j)
{
    return j->n_done < j->prompt->n;
}

void wd_local__wake(wd_local_job *j)
{
    pthread_cond_signal(&j->wake);
}

/* Somebody who waits leads on, if nobody does. */
static void pass_on(wd_local *e)
{
    if (e->resting && !e->n_due)
        pthread_cond_broadcast(&e->turned);
    if (e->leading || e->n_due)
        return;
    if (e->heir && e->heir->waiting) {
        wd_local__wake(e->heir);
        return;
    }
    for (wd_local_job *j = e->job; j; j = j->next)
        if (j->waiting && !j->ready && j->state != WD_LOCAL_ENDED) {
            wd_local__wake(j);
            return;
        }
}

static void not_due(wd_local *e, wd_local_job *j)
{
    e->n_due -= j->due;
    j->due = j->ready = false;
}

/* Gives back what a running job has. */
static void release(wd_local *e, wd_local_job *j)
{
    if (j->state == WD_LOCAL_RUNNING) {
        wd_local__publish(e, j, WD_MIN(j->n_done, j->n_known - j->n_guess));
        wd_kv_destroy(j->kv);
        j->kv = NULL;
        e->n_running--;
    }
    wd_local__unsee(e, j);
}

void wd_local__end(wd_local *e, wd_local_job *j, wd_status st, const wd_err *why)
{
    release(e, j);
    not_due(e, j);
    j->state = WD_LOCAL_ENDED;
    j->status = st;
    j->err = *why;
    wd_local__wake(j);
}

void wd_local__preempt(wd_local *e, wd_local_job *j)
{
    release(e, j);
    j->state = WD_LOCAL_QUEUED;
    j->n_known -= j->n_guess; /* j->n_sure stays for a caller who has results in hand */
    j->n_guess = 0;
    j->n_done = j->n_published = 0;
    e->stats.n_preempted++;
}

/* ---- admission ---- */

bool wd_local__before(const wd_local_job *a, const wd_local_job *b)
{
    if (a->terms->priority != b->terms->priority)
        return a->terms->priority > b->terms->priority;
    if (a->tenant != b->tenant &&
        (a->tenant->served < b->tenant->served || a->tenant->served > b->tenant->served))
        return a->tenant->served < b->tenant->served;
    return a->arrival < b->arrival;
}

/* Pages for all of its tokens, one more token, and a copy of a shared page. */
static size_t pages_wanted(const wd_local *e, const wd_local_job *j)
{
    return j->n_known / e->page_len + 2;
}

static bool has_room(const wd_local *e, const wd_local_job *j)
{
    size_t n = pages_wanted(e, j);
    if (e->n_running == 0)
        return true; /* fits alone: check_prompt */
    if (e->n_running >= e->max_seqs)
        return false;
    for (const wd_local_job *k = e->job; k; k = k->next)
        if (k->state == WD_LOCAL_RUNNING)
            n += pages_wanted(e, k);
    return n <= e->max_pages;
}

/* Tokens of a tenant's running jobs. */
static size_t in_use(const wd_local *e, const wd_local_tenant *t)
{
    size_t n = 0;
    for (const wd_local_job *j = e->job; j; j = j->next)
        n += j->state == WD_LOCAL_RUNNING && j->tenant == t ? j->n_known : 0;
    return n;
}

static bool is_away(const wd_local_job *j)
{
    return j->ready && !j->due;
}

/* Who makes room for j: of a lower priority; or whose caller is away with its results; or of a tenant that has more than
 * j's would have afterwards, so that they do not push each other out in turn. NULL: nobody. */
static wd_local_job *who_yields(const wd_local *e, const wd_local_job *j)
{
    wd_local_job *worst = NULL;
    const size_t ours = in_use(e, j->tenant) + j->n_known;
    for (wd_local_job *k = e->job; k; k = k->next) {
        if (k->state != WD_LOCAL_RUNNING || k->terms->priority > j->terms->priority)
            continue;
        const bool yields = k->terms->priority < j->terms->priority || is_away(k) ||
                            (k->tenant != j->tenant && in_use(e, k->tenant) > ours);
        if (yields && (!worst || k->terms->priority < worst->terms->priority ||
                       (k->terms->priority == worst->terms->priority && k->arrival > worst->arrival)))
            worst = k;
    }
    return worst;
}

/* Most of j that may come from the cache. */
static size_t most_cached(const wd_local_job *j)
{
    return j->want == WD_LOCAL_EVERY ? j->n_told : j->n_known - 1;
}

/* Another job computes more of the beginning of j, right now, than there is in the cache. */
static bool is_being_computed(const wd_local *e, const wd_local_job *j, size_t cached)
{
    const size_t most = most_cached(j);
    for (const wd_local_job *k = e->job; k; k = k->next) {
        if (k->state != WD_LOCAL_RUNNING || k->tenant != j->tenant || !in_prefill(k))
            continue;
        size_t n = cached;
        while (n < most && n < k->prompt->n && wd_local__key(j, n).a == k->key[n].a &&
               wd_local__key(j, n).b == k->key[n].b)
            n++;
        if (n >= cached + WORTH_WAITING && k->n_done < n)
            return true;
    }
    return false;
}

/* Tokens that running jobs which go before j have yet to compute of their prompts. */
static size_t ahead(const wd_local *e, const wd_local_job *j)
{
    size_t n = 0;
    for (const wd_local_job *k = e->job; k; k = k->next)
        if (k->state == WD_LOCAL_RUNNING && k->n_known - k->n_done > 1 && wd_local__before(k, j))
            n += k->n_known - k->n_done;
    return n;
}

static void start(wd_local *e, wd_local_job *j, size_t cached)
{
    wd_err err = { 0 };
    wd_status st = wd_kv_create(e->pool, &j->kv, &err);
    if (st) {
        wd_local__end(e, j, st, &err);
        return;
    }
    j->state = WD_LOCAL_RUNNING;
    e->n_running++;
    wd_kv_set_rope_delta(j->kv, j->prompt->rope_delta);
    st = wd_local__attach(e, j, cached, &err);
    j->n_done = wd_kv_len(j->kv);
    if (st) {
        wd_local__end(e, j, st, &err);
        return;
    }
    j->n_published = cached / e->page_len;
    if (!j->admitted) {
        j->admitted = true;
        j->admitted_at = wd_clock_s();
        j->n_cached = j->from = j->told_done = cached;
        e->stats.n_prompt += j->prompt->n;
        e->stats.n_cached += cached;
    }
}

/* Lets queued jobs in while there is room, and not more than the next steps can use. */
static void admit(wd_local *e)
{
    e->n_turn++;
    for (;;) {
        wd_local_job *best = NULL;
        for (wd_local_job *j = e->job; j; j = j->next)
            if (j->state == WD_LOCAL_QUEUED && !j->ready && j->deferred != e->n_turn &&
                (!best || wd_local__before(j, best)))
                best = j;
        if (!best || ahead(e, best) >= wd_model_max_rows(e->o.model))
            return;
        const size_t cached = wd_local__match(e, best, most_cached(best));
        if (is_being_computed(e, best, cached)) {
            best->deferred = e->n_turn;
            continue;
        }
        while (!has_room(e, best)) {
            wd_local_job *k = who_yields(e, best);
            if (!k)
                return;
            wd_local__preempt(e, k);
            k->deferred = e->n_turn;
        }
        start(e, best, wd_local__match(e, best, most_cached(best)));
    }
}

/* ---- turns ---- */

static bool is_cancelled(const wd_local_job *j)
{
    return j->watch->cancel && atomic_load_explicit(j->watch->cancel, memory_order_relaxed);
}

static void end_late(wd_local *e)
{
    wd_err err = { 0 };
    for (wd_local_job *j = e->job; j; j = j->next) {
        if (j->state == WD_LOCAL_ENDED)
            continue;
        if (is_cancelled(j))
            wd_local__end(e, j, WD_FAIL(&err, WD_E_CANCELLED, "cancelled"), &err);
        else if (j->terms->deadline_ns && wd_clock_ns() >= j->terms->deadline_ns)
            wd_local__end(e, j,
                          WD_FAIL(&err, WD_E_DEADLINE, "the deadline passed after %zu of %zu tokens",
                                  j->n_done, j->n_known),
                          &err);
    }
}

bool wd_local__turn(wd_local *e, const wd_local_job *self)
{
    wd_local_job *look = NULL;
    end_late(e);
    admit(e);
    for (wd_local_job *j = e->job; j; j = j->next)
        if (wd_local__runnable(j)) {
            j->blind = wd_local__has_to_see(e, j);
            if (j->blind && (!look || wd_local__before(j, look)))
                look = j;
        }
    /* Images take long: steps come between them. */
    const bool saw = e->saw;
    e->saw = false;
    if ((!look || saw) && wd_local__step(e, false))
        return true;
    if (!look)
        return false;
    if (look != self && look->waiting) { /* who has nothing else to do runs the tower */
        e->heir = look;
        return false;
    }
    e->saw = true;
    wd_local__see(e, look, self);
    return true;
}

/* What came of it since the last report, without mu. */
static void report(wd_local *e, wd_local_job *j)
{
    const wd_watch *w = j->watch;
    if (!w->progress || j->state == WD_LOCAL_ENDED)
        return;
    const size_t done = WD_MIN(j->n_done, j->prompt->n), total = j->prompt->n - j->from, saw = j->n_saw;
    const bool see = saw != j->told_saw, more = done > j->told_done;
    const size_t n_see = j->n_see;
    j->told_saw = saw;
    j->told_done = WD_MAX(done, j->told_done);
    if (!see && !more)
        return;
    pthread_mutex_unlock(&e->mu);
    if (see)
        w->progress(w->self, WD_STAGE_VISION, saw, n_see);
    if (more)
        w->progress(w->self, WD_STAGE_PREFILL, done - j->from, total);
    pthread_mutex_lock(&e->mu);
}

/* Until *cond is signalled, or for some time. */
static void wait_for(wd_local *e, pthread_cond_t *cond, long ns)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += ns;
    t.tv_sec += t.tv_nsec / 1000000000;
    t.tv_nsec %= 1000000000;
    pthread_cond_timedwait(cond, &e->mu, &t);
}

bool wd_local__step_between(wd_local *e)
{
    const uint64_t until = wd_clock_ns() + REST_NS;
    e->resting = true;
    pthread_cond_broadcast(&e->turned);
    while (e->n_due && wd_clock_ns() < until)
        wait_for(e, &e->turned, REST_NS);
    e->resting = false;
    return e->n_due == 0 && wd_local__step(e, true);
}

wd_status wd_local__wait(wd_local *e, wd_local_job *j, wd_err *err)
{
    pthread_mutex_lock(&e->mu);
    j->waiting = true;
    while (!j->ready && j->state != WD_LOCAL_ENDED) {
        bool worked = false;
        if (!e->leading && e->n_due == 0 && (!e->heir || e->heir == j || !e->heir->waiting)) {
            e->leading = true;
            e->heir = NULL;
            worked = wd_local__turn(e, j);
            e->leading = false;
            pthread_cond_broadcast(&e->turned);
            if (e->heir)
                pass_on(e);
        }
        report(e, j);
        if (!worked && !j->ready && j->state != WD_LOCAL_ENDED)
            wait_for(e, &j->wake, WAIT_MS * 1000000);
    }
    j->waiting = false;
    pass_on(e);
    const wd_status st = j->state == WD_LOCAL_ENDED ? j->status : WD_OK;
    if (st && err)
        *err = j->err;
    pthread_mutex_unlock(&e->mu);
    return st;
}

/* ---- a call comes and goes ---- */

static double least_served(const wd_local *e, const wd_local_tenant *but)
{
    double least = -1;
    for (const wd_local_tenant *t = e->tenant; t; t = t->next)
        if (t->n_job && t != but && (least < 0 || t->served < least))
            least = t->served;
    return least;
}

wd_status wd_local__enter(wd_local *e, wd_local_job *j, wd_err *err)
{
    wd_status st = WD_OK;
    pthread_condattr_t attr;
    pthread_mutex_lock(&e->mu);
    if (e->n_job >= e->max_seqs + e->o.max_waiting) {
        st = WD_FAIL(err, WD_E_BUSY, "%u calls are under way or wait, which is as many as may", e->n_job);
        goto out;
    }
    j->tenant = wd_local__tenant(e, j->terms->tenant);
    if (!j->tenant || pthread_condattr_init(&attr) != 0) {
        j->tenant = NULL;
        st = WD_FAIL(err, WD_E_NOMEM, "request: no memory");
        goto out;
    }
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&j->wake, &attr);
    pthread_condattr_destroy(&attr);
    j->tenant->weight = j->terms->weight > 0 ? (double)j->terms->weight : 1;
    if (j->tenant->n_job++ == 0)
        j->tenant->served = WD_MAX(j->tenant->served, least_served(e, j->tenant) - CREDIT);
    wd_local_job **at = &e->job;
    while (*at) {
        j->prev = *at;
        at = &(*at)->next;
    }
    *at = j;
    j->arrival = e->n_arrival++;
    j->state = WD_LOCAL_QUEUED;
    j->waiting = true;
    j->queued_at = wd_clock_s();
    e->n_job++;
out:
    pthread_mutex_unlock(&e->mu);
    return st;
}

void wd_local__go_on(wd_local *e, wd_local_job *j, size_t n_right, size_t n, size_t n_guess, bool back)
{
    pthread_mutex_lock(&e->mu);
    if (j->want != WD_LOCAL_HIDDEN)
        e->stats.n_reply += n_right + n - n_guess;
    if (j->state != WD_LOCAL_ENDED) {
        j->n_known = j->n_sure + n_right;
        j->n_done = WD_MIN(j->n_done, j->n_known);
        j->n_known += n;
        j->n_guess = n_guess;
        WD_BUG_IF(j->n_known > j->cap);
        not_due(e, j);
    }
    j->waiting = back;
    pass_on(e);
    pthread_mutex_unlock(&e->mu);
}

void wd_local__leave(wd_local *e, wd_local_job *j, size_t n_right)
{
    if (!j->tenant)
        return;
    pthread_mutex_lock(&e->mu);
    if (j->want != WD_LOCAL_HIDDEN)
        e->stats.n_reply += j->ready + n_right;
    not_due(e, j);
    e->n_due++; /* no turn, and no step between layers, begins before this is done */
    while (e->leading && !(e->resting && e->looked_at != j))
        pthread_cond_wait(&e->turned, &e->mu); /* the turn owns the pool, and may be computing for this job */
    e->n_due--;
    if (j->state != WD_LOCAL_ENDED) {
        j->n_done = WD_MIN(j->n_done, j->n_known - j->n_guess + n_right);
        j->n_guess = 0;
        release(e, j);
    }
    *(j->prev ? &j->prev->next : &e->job) = j->next;
    if (j->next)
        j->next->prev = j->prev;
    if (e->heir == j)
        e->heir = NULL;
    e->n_job--;
    j->tenant->n_job--;
    wd_local__drop_tenant(e, j->tenant);
    j->tenant = NULL;
    pass_on(e);
    pthread_mutex_unlock(&e->mu);
    pthread_cond_destroy(&j->wake);
}
