/* The queue of requests and the workers that take from it.
 *
 * Invariants, all under mu
 *   1. A request in the list has tickets > 0; each is worth one worker's visit.
 *   2. holders counts its tickets and the workers that visit it; who takes the last away finishes the request.
 *   3. n_waiting counts those in the list that nobody has visited yet.
 *   4. More tickets of a request that is prepared go to the head: it has been let in already.
 *   5. A share is in the list while a request of its tenant is under way. Its n_visit is the number of workers there.
 *
 * Fairness. Of those that wait, the one goes next whose tenant has the fewest workers, and there the first. With tenants (a
 * guard), one of them has at most max_running workers and fills at most three quarters of the queue, and there are some more
 * workers than that: whoever comes beside a flood finds a worker and a place. What the engine does for whom is its own
 * matter (engine/local/sched.c). */
#include <signal.h>
#include <time.h>

#include "base/clock.h"
#include "serve/inner.h"

#define TOGETHER 8 /* items of one request that run at the same time at most */
#define ARENA_MAX ((size_t)1 << 31)

/* What one tenant has of the queue. */
struct wd_queue_share {
    struct wd_queue_share *next;
    uint64_t tenant;
    size_t n_request, n_waiting, n_visit;
};

struct wd_queue {
    wd_server *server;
    struct wd_queue_share *share;
    size_t most_visit, most_waiting; /* of one tenant */
    pthread_mutex_t mu;
    pthread_cond_t work, idle;
    wd_req *head, *tail;
    size_t n_waiting, n_active, n_idle; /* requests; requests; workers */
    bool stop;
    pthread_t *thread;
    size_t n_thread;
};

static void push_back(struct wd_queue *q, wd_req *r)
{
    r->queue_next = NULL;
    if (q->tail)
        q->tail->queue_next = r;
    else
        q->head = r;
    q->tail = r;
}

static void push_front(struct wd_queue *q, wd_req *r)
{
    r->queue_next = q->head;
    q->head = r;
    if (!q->tail)
        q->tail = r;
}

static void unlink_one(struct wd_queue *q, wd_req *r)
{
    wd_req **at = &q->head, *before = NULL;
    while (*at && *at != r) {
        before = *at;
        at = &(*at)->queue_next;
    }
    if (!*at)
        return;
    *at = r->queue_next;
    if (q->tail == r)
        q->tail = before;
    r->queue_next = NULL;
}

/* NULL: no memory. */
static struct wd_queue_share *share_of(struct wd_queue *q, uint64_t tenant)
{
    for (struct wd_queue_share *s = q->share; s; s = s->next)
        if (s->tenant == tenant)
            return s;
    struct wd_queue_share *s = WD_ALLOC(struct wd_queue_share);
    if (!s)
        return NULL;
    *s = (struct wd_queue_share){ .next = q->share, .tenant = tenant };
    q->share = s;
    return s;
}

static void drop_share(struct wd_queue *q, struct wd_queue_share *s)
{
    if (!s || s->n_request || s->n_visit)
        return;
    struct wd_queue_share **at = &q->share;
    while (*at != s)
        at = &(*at)->next;
    *at = s->next;
    wd_free(s);
}

/* Who is visited next, NULL: nobody may be. */
static wd_req *pick(const struct wd_queue *q)
{
    wd_req *best = NULL;
    for (wd_req *r = q->head; r; r = r->queue_next)
        if (r->share->n_visit < q->most_visit && (!best || r->share->n_visit < best->share->n_visit))
            best = r;
    return best;
}

/* Workers that would come to this tenant at once. */
static size_t idle_for(const struct wd_queue *q, const struct wd_queue_share *s)
{
    return WD_MIN(q->n_idle, q->most_visit - WD_MIN(q->most_visit, s->n_visit));
}

/* A server that drains is told so before it is asked whether it is idle: under mu, one of the two sees the other. */
bool wd_serve__submit(wd_req *r)
{
    struct wd_queue *q = r->server->queue;
    r->tenant = wd_gate_tenant(r->visit);
    r->weight = wd_gate_weight(r->visit);
    pthread_mutex_lock(&q->mu);
    struct wd_queue_share *s = atomic_load(&r->server->draining) ? NULL : share_of(q, r->tenant);
    const bool room = s && q->n_waiting < r->server->o.max_waiting + q->n_idle &&
                      s->n_waiting < q->most_waiting + idle_for(q, s);
    if (room) {
        wd_serve__ref(r);
        r->tickets = r->holders = 1;
        r->share = s;
        s->n_request++;
        s->n_waiting++;
        q->n_waiting++;
        q->n_active++;
        push_back(q, r);
        wd_metrics_gauge(r->server->metrics, WD_GAUGE_WAITING, 1);
        pthread_cond_signal(&q->work);
    }
    drop_share(q, s);
    pthread_mutex_unlock(&q->mu);
    return room;
}

wd_status wd_serve__begin_visit(wd_req *r, wd_fault *f)
{
    if (r->begun)
        return WD_OK;
    const wd_span about = r->route->secret ? (wd_span){ 0 } : r->input.n ? r->input : wd_buf_view(&r->body);
    WD_TRY(wd_gate_begin(r->server->o.guard, r->visit, r->model ? r->model->name : r->about, about, f));
    r->begun = true;
    return WD_OK;
}

/* Reads the request and says how many items it has. */
static wd_status prepare(wd_req *r, wd_fault *f)
{
    const double waited = (double)(wd_clock_ns() - r->start_ns) * 1e-9;
    r->arena = wd_arena_create(ARENA_MAX, true);
    if (!r->arena)
        return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
    if (r->route->body == WD_BODY_JSON)
        WD_TRY(wd_serve__read_body(r, f));
    if (!r->route->no_model) {
        WD_TRY(wd_serve__choose_model(r, f));
        wd_metrics_gauge(r->model->metrics, WD_GAUGE_RUNNING, 1);
        wd_metrics_observe(r->model->metrics, WD_HISTOGRAM_QUEUED, waited);
    }
    WD_TRY(r->route->prepare(r, f));
    const wd_status st = wd_serve__begin_visit(r, f);
    if (r->input.n) /* a part of the body: it is needed until the end */
        return st;
    wd_buf_wipe(&r->body);
    wd_buf_free(&r->body);
    return st;
}

/* More workers for a request of several items. */
static void share(struct wd_queue *q, wd_req *r)
{
    const size_t most = WD_MIN(r->n_item, (size_t)TOGETHER);
    if (most < 2)
        return;
    pthread_mutex_lock(&q->mu);
    r->tickets = (unsigned)most - 1;
    r->holders += r->tickets;
    push_front(q, r);
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(&q->mu);
}

static void run_items(wd_req *r)
{
    size_t i;
    while (!atomic_load(&r->cancel) && (i = atomic_fetch_add(&r->next_item, 1)) < r->n_item) {
        wd_fault f;
        if (r->route->item(r, i, &f))
            wd_serve__fail(r, &f);
    }
}

/* A fault is what goes back: as the answer, or as the last event of a stream. */
static void finish_fault(wd_req *r, const wd_fault *f)
{
    if (!wd_serve__is_streaming(r)) {
        wd_serve__answer_fault(r, f);
        return;
    }
    wd_buf b = { 0 };
    if (r->route->stream_fault) {
        r->route->stream_fault(r, f, &b);
    } else {
        wd_buf_str(&b, "data: ");
        wd_fault_json(f, &b);
        wd_buf_str(&b, "\n\ndata: [DONE]\n\n");
    }
    if (b.failed || wd_serve__stream_put(r, wd_buf_view(&b)))
        wd_serve__cancel(r, "vanished");
    wd_buf_free(&b);
    wd_serve__stream_end(r);
}

/* All its workers have left: what there is goes back, once the audit holds it. */
static void finish(wd_req *r)
{
    pthread_mutex_lock(&r->mu);
    const bool failed = r->failed;
    wd_fault f = r->fault;
    const char *why = r->why;
    pthread_mutex_unlock(&r->mu);
    const bool done = !failed && !atomic_load(&r->cancel);
    const bool gone = why && (!strcmp(why, "vanished") || !strcmp(why, "slow reader"));
    if (!done && (!failed || f.http == 499)) /* nobody reads it, unless time is over */
        wd_fault_set(&f, why && !strcmp(why, "deadline") ? 504 : 503, "cancelled", NULL,
                     "the request was ended: %s", why ? why : "cancelled");
    const int http = done ? 200 : gone ? 499 : f.http;
    if (wd_serve__end_visit(r, http, done ? NULL : f.code, &f) != WD_OK || !done)
        finish_fault(r, &f);
    else
        r->route->finish(r);
}

/* One visit. */
static void visit(struct wd_queue *q, wd_req *r, bool first)
{
    wd_metrics *m = q->server->metrics;
    if (first) {
        wd_fault f;
        wd_metrics_gauge(m, WD_GAUGE_WAITING, -1);
        if (atomic_load(&r->cancel) || prepare(r, &f) == WD_OK)
            share(q, r);
        else
            wd_serve__fail(r, &f);
    }
    run_items(r);
    pthread_mutex_lock(&q->mu);
    if (r->tickets) { /* nothing is left for those who would come */
        r->holders -= r->tickets;
        r->tickets = 0;
        unlink_one(q, r);
    }
    const bool last = --r->holders == 0;
    pthread_mutex_unlock(&q->mu);
    if (!last)
        return;
    finish(r);
    if (r->model)
        wd_metrics_gauge(r->model->metrics, WD_GAUGE_RUNNING, -1);
    wd_models_release(r->server->models, r->model);
    r->model = NULL;
    pthread_mutex_lock(&q->mu);
    r->share->n_request--;
    if (--q->n_active == 0)
        pthread_cond_broadcast(&q->idle);
    pthread_mutex_unlock(&q->mu);
    wd_serve__unref(r);
}

static void *work(void *arg)
{
    struct wd_queue *q = arg;
    pthread_mutex_lock(&q->mu);
    for (;;) {
        q->n_idle++;
        wd_req *r;
        while (!(r = pick(q)) && !q->stop)
            pthread_cond_wait(&q->work, &q->mu);
        q->n_idle--;
        if (!r)
            break;
        struct wd_queue_share *s = r->share; /* outlives the request while it is visited */
        const bool first = !r->prepared;
        if (first) {
            q->n_waiting--;
            s->n_waiting--;
        }
        s->n_visit++;
        r->prepared = true;
        if (--r->tickets == 0)
            unlink_one(q, r);
        pthread_mutex_unlock(&q->mu);
        visit(q, r, first);
        pthread_mutex_lock(&q->mu);
        s->n_visit--;
        drop_share(q, s);
    }
    pthread_mutex_unlock(&q->mu);
    return NULL;
}

wd_status wd_queue_create(wd_server *s, struct wd_queue **out, wd_err *err)
{
    pthread_condattr_t attr;
    struct wd_queue *q = WD_ALLOC(struct wd_queue);
    *out = q;
    if (!q)
        return WD_FAIL(err, WD_E_NOMEM, "server: no memory");
    q->server = s;
    pthread_mutex_init(&q->mu, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->work, NULL);
    pthread_cond_init(&q->idle, &attr);
    pthread_condattr_destroy(&attr);
    const size_t n_thread = s->o.max_running + (s->o.guard ? WD_MAX(s->o.max_running / 4, 1) : 0);
    q->most_visit = s->o.max_running;
    q->most_waiting = s->o.guard ? s->o.max_waiting - s->o.max_waiting / 4 : s->o.max_waiting;
    q->thread = WD_ALLOC_N(pthread_t, n_thread);
    if (!q->thread)
        return WD_FAIL(err, WD_E_NOMEM, "server: no memory");
    while (q->n_thread < n_thread) {
        if (pthread_create(&q->thread[q->n_thread], NULL, work, q) != 0)
            return WD_FAIL(err, WD_E_IO, "server: the system gives no more than %zu threads", q->n_thread);
        q->n_thread++;
    }
    return WD_OK;
}

bool wd_queue_wait_idle(struct wd_queue *q, uint32_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&q->mu);
    while (q->n_active && pthread_cond_timedwait(&q->idle, &q->mu, &until) == 0)
        ;
    const bool idle = q->n_active == 0;
    pthread_mutex_unlock(&q->mu);
    return idle;
}

void wd_queue_destroy(struct wd_queue *q)
{
    if (!q)
        return;
    pthread_mutex_lock(&q->mu);
    q->stop = true;
    pthread_cond_broadcast(&q->work);
    pthread_mutex_unlock(&q->mu);
    for (size_t i = 0; i < q->n_thread; i++)
        pthread_join(q->thread[i], NULL);
    WD_BUG_IF(q->head || q->share);
    pthread_cond_destroy(&q->work);
    pthread_cond_destroy(&q->idle);
    pthread_mutex_destroy(&q->mu);
    wd_free(q->thread);
    wd_free(q);
}
