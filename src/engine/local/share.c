/* Turns by tickets, and sums. */
#include "engine/local/share.h"

#include <pthread.h>
#include <stdint.h>

#include "base/mem.h"

struct wd_share {
    size_t max;
    pthread_mutex_t mu;
    pthread_cond_t next;
    uint64_t n_ticket, now; /* under mu: tickets given out; whose turn it is, or would be */
    size_t used;            /* under mu */
};

wd_status wd_share_create(size_t max_bytes, wd_share **out, wd_err *err)
{
    wd_share *s = *out = WD_ALLOC(wd_share);
    if (!s)
        return WD_FAIL(err, WD_E_NOMEM, "models: no memory");
    s->max = max_bytes;
    pthread_mutex_init(&s->mu, NULL);
    pthread_cond_init(&s->next, NULL);
    return WD_OK;
}

void wd_share_destroy(wd_share *s)
{
    if (!s)
        return;
    WD_BUG_IF(s->used || s->now != s->n_ticket);
    pthread_cond_destroy(&s->next);
    pthread_mutex_destroy(&s->mu);
    wd_free(s);
}

void wd_share_begin_turn(wd_share *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->mu);
    const uint64_t mine = s->n_ticket++;
    while (s->now != mine)
        pthread_cond_wait(&s->next, &s->mu);
    pthread_mutex_unlock(&s->mu);
}

void wd_share_end_turn(wd_share *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->mu);
    s->now++;
    pthread_cond_broadcast(&s->next);
    pthread_mutex_unlock(&s->mu);
}

/* Sums of what came from outside stay at the top. */
static size_t sum_of(const wd_share_need *n)
{
    const size_t part[] = { n->weights, n->kv, n->images, n->work };
    size_t sum = 0;
    for (size_t i = 0; i < WD_COUNT(part); i++)
        sum = part[i] > SIZE_MAX - sum ? SIZE_MAX : sum + part[i];
    return sum;
}

static double mib(size_t bytes)
{
    return (double)bytes / (1 << 20);
}

wd_status wd_share_reserve(wd_share *s, const char *name, const wd_share_need *n, wd_err *err)
{
    wd_status st = WD_OK;
    const size_t need = sum_of(n);
    pthread_mutex_lock(&s->mu);
    if (s->max && need > s->max - s->used)
        st = WD_FAIL(
            err, WD_E_LIMIT,
            "%s needs %.0f MiB (weights %.0f, keys and values %.0f, images %.0f, work %.0f), and of the %.0f "
            "MiB for models %.0f are left",
            name, mib(need), mib(n->weights), mib(n->kv), mib(n->images), mib(n->work), mib(s->max),
            mib(s->max - s->used));
    else
        s->used += need;
    pthread_mutex_unlock(&s->mu);
    return st;
}

void wd_share_give_back(wd_share *s, const wd_share_need *n)
{
    pthread_mutex_lock(&s->mu);
    const size_t need = sum_of(n);
    WD_BUG_IF(need > s->used);
    s->used -= need;
    pthread_mutex_unlock(&s->mu);
}

size_t wd_share_max(const wd_share *s)
{
    return s ? s->max : 0;
}

size_t wd_share_used(wd_share *s)
{
    pthread_mutex_lock(&s->mu);
    const size_t n = s->used;
    pthread_mutex_unlock(&s->mu);
    return n;
}
