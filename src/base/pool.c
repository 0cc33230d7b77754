/* A team of threads.
 *
 * A loop is announced by raising `round`; each worker runs it and counts `left` down; the caller runs its own
 * share and waits for zero. Both waits spin for a while, because the loops of a decode step follow each other
 * within microseconds, and then sleep on a condition variable.
 *
 * Invariants
 *   1. fn and arg change only while left == 0 and are published by the release store of round.
 *   2. A worker that sleeps has announced it under mu; whoever wakes it takes mu, so no wake-up is lost.
 *   3. What is left of a member's share only becomes smaller while a loop runs, and is set anew only while left == 0; it
 *      publishes no data but itself.
 */
#include "base/pool.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/clock.h"
#include "base/cores.h"
#include "base/mem.h"

#define SPIN_NS 50000u

typedef struct member {
    WD_ALIGNED(64)
    _Atomic uint64_t share; /* grains that nobody has taken: the first << 32 | behind the last */
    struct wd_pool *pool;
    unsigned index;
    pthread_t thread;
} member;

struct wd_pool {
    unsigned n;
    wd_pool_fn fn; /* set by the caller before round */
    void *arg;
    WD_ALIGNED(64) atomic_uint round;
    WD_ALIGNED(64) atomic_uint left;
    atomic_bool quit;
    pthread_mutex_t mu;
    pthread_cond_t work, done;
    unsigned n_started; /* threads that exist, for destroy */
    member members[];   /* [n]; 0 is the caller and has no thread */
};

static void relax(void)
{
#if WD_ARCH_X86_64
    __builtin_ia32_pause();
#endif
}

/* Spins until *v differs from (or equals) `value`; false when the time is up. */
static bool spin_until(atomic_uint *v, unsigned value, bool equal)
{
    const uint64_t start = wd_clock_ns();
    do {
        for (int i = 0; i < 64; i++) {
            if ((atomic_load_explicit(v, memory_order_acquire) == value) == equal)
                return true;
            relax();
        }
    } while (wd_clock_ns() - start < SPIN_NS);
    return false;
}

static void wait_until(wd_pool *p, atomic_uint *v, unsigned value, bool equal, pthread_cond_t *cond)
{
    if (spin_until(v, value, equal))
        return;
    pthread_mutex_lock(&p->mu);
    while ((atomic_load_explicit(v, memory_order_acquire) == value) != equal)
        pthread_cond_wait(cond, &p->mu);
    pthread_mutex_unlock(&p->mu);
}

static void *worker(void *arg)
{
    const member *m = arg;
    wd_pool *p = m->pool;
    for (unsigned round = 0;; round++) {
        wait_until(p, &p->round, round, false, &p->work);
        if (atomic_load_explicit(&p->quit, memory_order_acquire))
            return NULL;
        p->fn(p->arg, m->index, p->n);
        if (atomic_fetch_sub_explicit(&p->left, 1, memory_order_acq_rel) == 1) {
            pthread_mutex_lock(&p->mu);
            pthread_cond_signal(&p->done);
            pthread_mutex_unlock(&p->mu);
        }
    }
}

static void announce(wd_pool *p)
{
    pthread_mutex_lock(&p->mu);
    atomic_fetch_add_explicit(&p->round, 1, memory_order_release);
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->mu);
}

wd_status wd_pool_create(unsigned n_thread, wd_pool **out, wd_err *err)
{
    *out = NULL;
    const unsigned n = n_thread ? n_thread : wd_core_count();
    if (n > 1024)
        return WD_FAIL(err, WD_E_USAGE, "threads: %u, expected at most 1024", n);
    wd_pool *p = wd_alloc_aligned(1, sizeof *p + n * sizeof p->members[0]);
    if (!p)
        return WD_FAIL(err, WD_E_NOMEM, "thread pool: no memory");
    memset(p, 0, sizeof *p + n * sizeof p->members[0]);
    p->n = n;
    p->n_started = 1;
    pthread_mutex_init(&p->mu, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->done, NULL);

    /* Workers leave signals to the threads that know what to do with them. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (; p->n_started < n; p->n_started++) {
        member *m = &p->members[p->n_started];
        *m = (member){ .pool = p, .index = p->n_started };
        if (pthread_create(&m->thread, NULL, worker, m) != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (p->n_started < n) {
        wd_pool_destroy(p);
        return WD_FAIL(err, WD_E_NOMEM, "thread pool: the system refused thread %u of %u", p->n_started + 1,
                       n);
    }
    *out = p;
    return WD_OK;
}

void wd_pool_destroy(wd_pool *p)
{
    if (!p)
        return;
    atomic_store_explicit(&p->quit, true, memory_order_release);
    announce(p);
    for (unsigned i = 1; i < p->n_started; i++)
        pthread_join(p->members[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->work);
    pthread_mutex_destroy(&p->mu);
    wd_free(p);
}

unsigned wd_pool_size(const wd_pool *p)
{
    return p ? p->n : 1;
}

void wd_pool_run(wd_pool *p, wd_pool_fn fn, void *arg)
{
    if (!p || p->n == 1) {
        fn(arg, 0, 1);
        return;
    }
    p->fn = fn;
    p->arg = arg;
    atomic_store_explicit(&p->left, p->n - 1, memory_order_relaxed);
    announce(p);
    fn(arg, 0, p->n);
    wait_until(p, &p->left, 0, true, &p->done);
}

void wd_pool_share(size_t n, size_t grain, unsigned worker_i, unsigned n_worker, size_t *first, size_t *last)
{
    const size_t pieces = (n + grain - 1) / grain;
    *first = WD_MIN(n, pieces * worker_i / n_worker * grain);
    *last = WD_MIN(n, pieces * (worker_i + 1) / n_worker * grain);
}

typedef struct deal_job {
    wd_pool *pool;
    size_t n, grain;
    uint32_t most; /* grains */
    wd_pool_piece_fn fn;
    void *arg;
} deal_job;

/* Half of what is left, at most `most`: off the front for the owner, off the back for others. */
static bool take(_Atomic uint64_t *share, bool mine, uint32_t most, uint32_t *first, uint32_t *last)
{
    uint64_t left = atomic_load_explicit(share, memory_order_relaxed), then;
    do {
        *first = (uint32_t)(left >> 32);
        *last = (uint32_t)left;
        if (*first == *last)
            return false;
        const uint32_t n = WD_MIN(most, (*last - *first + 1) / 2);
        if (mine)
            *last = *first + n;
        else
            *first = *last - n;
        then = mine ? (uint64_t)*last << 32 | (uint32_t)left : left >> 32 << 32 | *first;
    } while (!atomic_compare_exchange_weak_explicit(share, &left, then, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

static void deal_part(void *arg, unsigned worker_i, unsigned n_worker)
{
    const deal_job *j = arg;
    for (unsigned i = 0; i < n_worker; i++) {
        member *m = &j->pool->members[(worker_i + i) % n_worker];
        uint32_t first, last;
        while (take(&m->share, i == 0, j->most, &first, &last))
            j->fn(j->arg, worker_i, first * j->grain, WD_MIN(j->n, last * j->grain));
    }
}

void wd_pool_deal(wd_pool *p, size_t n, size_t grain, size_t most, wd_pool_piece_fn fn, void *arg)
{
    const size_t n_grain = (n + grain - 1) / grain, step = WD_MAX(most / grain, (size_t)1);
    assert(n_grain <= UINT32_MAX);
    if (!p || p->n == 1) {
        for (size_t i = 0; i < n_grain; i += step)
            fn(arg, 0, i * grain, WD_MIN(n, (i + step) * grain));
        return;
    }
    for (unsigned i = 0; i < p->n; i++) {
        size_t first, last;
        wd_pool_share(n_grain, 1, i, p->n, &first, &last);
        atomic_store_explicit(&p->members[i].share, (uint64_t)first << 32 | last, memory_order_relaxed);
    }
    deal_job j = { .pool = p, .n = n, .grain = grain, .most = (uint32_t)step, .fn = fn, .arg = arg };
    wd_pool_run(p, deal_part, &j);
}
