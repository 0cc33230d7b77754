/* Creation, and what the parts share. */
#include "engine/remote/remote.h"

#include <math.h>
#include <sodium.h>
#include <time.h>

#include "engine/remote/inner.h"

static void destroy(void *self)
{
    wd_remote *r = self;
    if (!r)
        return;
    wd_upstream__stop(r);
    wd_remote__http_end(r);
    for (size_t i = 0; i < r->n_up; i++)
        wd_free(r->up[i].url);
    wd_free(r->up);
    if (r->key)
        wd_wipe(r->key, strlen(r->key));
    wd_free(r->key);
    wd_free(r->ca_file);
    wd_free(r->model);
    wd_free((char *)(uintptr_t)r->engine.info.name);
    wd_wipe(r->salt, sizeof r->salt);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->mu);
    wd_free(r);
}

static void stats(void *self, wd_engine_stats *out)
{
    wd_remote *r = self;
    pthread_mutex_lock(&r->mu);
    *out = r->stats;
    for (size_t i = 0; i < r->n_up; i++)
        out->n_running += r->up[i].n_out;
    pthread_mutex_unlock(&r->mu);
}

/* A copy of an optional text. */
static bool keep(const char *s, char **out)
{
    *out = s ? wd_strdup(s) : NULL;
    return !s || *out;
}

static wd_status copy_opts(wd_remote *r, const wd_remote_opts *o, wd_err *err)
{
    r->o = *o;
    r->o.url = NULL;
    r->o.model = r->o.key = r->o.ca_file = NULL;
    if (!o->n_url || o->n_url > WD_UPSTREAMS_MAX)
        return WD_FAIL(err, WD_E_USAGE, "remote: %zu upstreams, expected 1 to %d", o->n_url,
                       WD_UPSTREAMS_MAX);
    r->up = WD_ALLOC_N(wd_upstream, o->n_url);
    if (!r->up || !keep(o->model, &r->model) || !keep(o->key, &r->key) || !keep(o->ca_file, &r->ca_file))
        return WD_FAIL(err, WD_E_NOMEM, "remote: no memory");
    for (; r->n_up < o->n_url; r->n_up++)
        WD_TRY(wd_upstream__init(&r->up[r->n_up], o->url[r->n_up], o->clear, err));
    return wd_remote__headers(r, err);
}

/* The first that answers says which model it is and how long its context is. */
static wd_status find_model(wd_remote *r, const atomic_bool *cancel, wd_err *err)
{
    wd_status first = WD_OK;
    for (size_t i = 0; i < r->n_up; i++) {
        wd_err why = { 0 };
        uint32_t context = 0;
        char *model = NULL;
        const wd_status st = wd_upstream__probe(r, i, cancel, r->model, r->model ? NULL : &model, &context,
                                                first ? &why : err);
        if (st == WD_E_CANCELLED)
            return WD_FAIL(err, WD_E_CANCELLED, "cancelled");
        if (st) {
            first = first ? first : st;
            continue;
        }
        if (!r->model)
            r->model = model;
        r->engine.info.context = context;
        return WD_OK;
    }
    return first;
}

/* "demo at 127.0.0.1:8000, 127.0.0.1:8001" */
static wd_status name_engine(wd_remote *r, wd_err *err)
{
    wd_buf b = { 0 };
    wd_buf_str(&b, r->model);
    for (size_t i = 0; i < r->n_up; i++)
        wd_buf_printf(&b, "%s%s", i ? ", " : " at ", r->up[i].name);
    r->engine.info.name = b.failed ? NULL : wd_strdup((const char *)b.p);
    wd_buf_free(&b);
    return r->engine.info.name ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "remote: no memory");
}

static wd_status fill(wd_remote *r, const wd_remote_opts *o, const atomic_bool *cancel, wd_err *err)
{
    WD_TRY(wd_remote__http_begin(err));
    WD_TRY(copy_opts(r, o, err));
    randombytes_buf(r->salt, sizeof r->salt);
    WD_TRY(find_model(r, cancel, err));
    WD_TRY(name_engine(r, err));
    return wd_upstream__start(r, err);
}

wd_status wd_remote_create(const wd_remote_opts *o, const atomic_bool *cancel, wd_engine **out, wd_err *err)
{
    pthread_condattr_t attr;
    *out = NULL;
    wd_remote *r = WD_ALLOC(wd_remote);
    if (!r)
        return WD_FAIL(err, WD_E_NOMEM, "remote: no memory");
    pthread_mutex_init(&r->mu, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&r->changed, &attr);
    pthread_condattr_destroy(&attr);
    r->engine = (wd_engine){ .self = r,
                             .info = { .sees = o->png != NULL, .sample = WD_SAMPLE_OPTS_DEFAULT },
                             .generate = wd_remote__generate,
                             .embed = wd_remote__embed,
                             .rerank = wd_remote__rerank,
                             .stats = stats,
                             .destroy = destroy };
    r->engine.info.sample.temperature = r->engine.info.sample.top_p =
        r->engine.info.sample.repetition_penalty = NAN;
    r->engine.info.sample.top_k = WD_TOP_K_UNKNOWN;
    const wd_status st = fill(r, o, cancel, err);
    if (st) {
        destroy(r);
        return st;
    }
    *out = &r->engine;
    return WD_OK;
}

const char *wd_remote_model(const wd_engine *e)
{
    const wd_remote *r = e->self;
    return r->model;
}
