/* Which upstream, and again.
 *
 * Each round tries every upstream once, best first. Between rounds it waits: as long as an upstream asked for, else
 * PAUSE_MS, doubled each time. Nothing is tried again that could have reached the caller. */
#include <poll.h>

#include "base/clock.h"
#include "engine/remote/inner.h"

#define PAUSE_MS 250
#define PAUSE_MAX_MS 4000
#define SLICE_MS 20

typedef struct tries {
    uint64_t begin_ns;
    double ask_s;      /* the shortest wait that an upstream of this round asked for; < 0: none did */
    uint32_t pause_ms; /* where none did */
} tries;

/* False when the wait would take too long: the last failure stands. */
static bool wait_for_round(const wd_remote *r, const wd_remote__call *c, tries *t, wd_status *st, wd_err *err)
{
    const uint64_t now = wd_clock_ns();
    const double wait_s = t->ask_s >= 0 ? t->ask_s : t->pause_ms / 1e3;
    const uint64_t until = now + (uint64_t)(wait_s * 1e9);
    if (until - t->begin_ns > (uint64_t)r->o.retry_ms * 1000000 ||
        (c->terms->deadline_ns && until >= c->terms->deadline_ns))
        return false;
    t->pause_ms = WD_MIN(2 * t->pause_ms, PAUSE_MAX_MS);
    while (wd_clock_ns() < until) {
        if (c->watch->cancel && atomic_load(c->watch->cancel)) {
            *st = WD_FAIL(err, WD_E_CANCELLED, "cancelled");
            return false;
        }
        poll(NULL, 0, SLICE_MS);
    }
    return true;
}

static wd_status try_one(wd_remote *r, wd_remote__call *c, size_t i, wd_exchange *x, wd_err *err)
{
    wd_upstream *u = &r->up[i];
    wd_buf url = { 0 }, body = { 0 };
    uint32_t context;
    wd_status st = WD_OK;
    x->trouble = WD_TROUBLE_LAST;
    c->name = u->name;
    pthread_mutex_lock(&r->mu);
    const bool known = u->known;
    pthread_mutex_unlock(&r->mu);
    if (!known) {
        st = wd_upstream__probe(r, i, c->watch->cancel, r->model, NULL, &context, err);
        x->trouble = st == WD_E_CANCELLED ? WD_TROUBLE_LAST : WD_TROUBLE_HERE;
        if (st)
            return st;
        x->trouble = WD_TROUBLE_LAST;
    }
    pthread_mutex_lock(&r->mu);
    const wd_upstream_kind kind = u->kind;
    pthread_mutex_unlock(&r->mu);
    wd_buf_printf(&url, "%s%s", u->url, c->path);
    st = c->body(c->self, kind, &body, err);
    if (!st && (url.failed || body.failed))
        st = WD_FAIL(err, WD_E_NOMEM, "remote: no memory for the request");
    if (!st) {
        *x = (wd_exchange){ .url = (const char *)url.p,
                            .name = u->name,
                            .body = wd_buf_view(&body),
                            .cancel = c->watch->cancel,
                            .deadline_ns = c->terms->deadline_ns,
                            .first_byte_ms = r->o.first_byte_ms,
                            .events = c->events,
                            .max_bytes = c->max_bytes,
                            .data = c->data,
                            .self = c->self };
        st = wd_remote__exchange(r, x, err);
    }
    wd_buf_wipe(&body);
    wd_buf_free(&body);
    wd_buf_free(&url);
    return st;
}

wd_status wd_remote__do(wd_remote *r, wd_remote__call *c, wd_err *err)
{
    tries t = { .begin_ns = wd_clock_ns(), .pause_ms = PAUSE_MS };
    wd_status st = WD_E_INTERNAL; /* the first round sets it: there is an upstream */
    for (;;) {
        bool tried[WD_UPSTREAMS_MAX] = { false }, again = false;
        t.ask_s = -1;
        for (size_t i; (i = wd_upstream__pick(r, tried)) != SIZE_MAX;) {
            wd_exchange x = { .retry_s = -1 };
            tried[i] = true;
            st = try_one(r, c, i, &x, err);
            wd_upstream__let_go(r, i, st ? x.trouble : WD_TROUBLE_NONE, x.retry_s);
            if (!st || x.trouble == WD_TROUBLE_LAST)
                return st;
            again |= x.trouble != WD_TROUBLE_HERE;
            if (x.retry_s >= 0 && (t.ask_s < 0 || x.retry_s < t.ask_s))
                t.ask_s = x.retry_s;
        }
        if (!again || !r->o.retry_ms || !wait_for_round(r, c, &t, &st, err))
            return st;
    }
}
