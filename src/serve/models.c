/* The list of models.
 *
 * Invariants, under mu
 *   1. n_held counts who was given an entry and has not let it go.
 *   2. An entry is in the list until it is taken out, and closed exactly once: by who lets it go last after that, or takes it
 *      out while nobody holds it. Closing is done without mu: it may take long.
 *   3. The list has at most WD_MODELS_MAX entries, no two of one name.
 *   4. A role's name is a name or "", and stays when its model goes: one that comes under the name has the role. */
#include "serve/models.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"

typedef struct entry {
    wd_served s; /* first: who holds one has its address */
    void (*close)(void *self);
    struct entry *next; /* under mu, as below */
    size_t n_held;
    bool out; /* of the list */
} entry;

struct wd_models {
    pthread_mutex_t mu;
    entry *first;
    char role[WD_MODEL_N_ROLE][WD_MODEL_NAME_MAX + 1]; /* whose it is; "": the first's */
};

static const char *const role_names[WD_MODEL_N_ROLE] = { "chat", "embed", "rerank" };

const char *wd_model_role_name(wd_model_role role)
{
    return role_names[role];
}

bool wd_model_role_parse(wd_span text, wd_model_role *out)
{
    for (unsigned i = 0; i < WD_MODEL_N_ROLE; i++) {
        if (wd_span_is(text, role_names[i])) {
            *out = (wd_model_role)i;
            return true;
        }
    }
    return false;
}

wd_status wd_models_create(wd_models **out, wd_err *err)
{
    *out = WD_ALLOC(wd_models);
    if (!*out)
        return WD_FAIL(err, WD_E_NOMEM, "models: no memory");
    pthread_mutex_init(&(*out)->mu, NULL);
    return WD_OK;
}

static void free_entry(entry *e)
{
    if (!e)
        return;
    wd_metrics_destroy(e->s.metrics);
    wd_free((char *)(uintptr_t)e->s.name);
    wd_free((char *)(uintptr_t)e->s.base);
    wd_free(e);
}

static void close_entry(entry *e)
{
    if (e->close)
        e->close(e->s.self);
    free_entry(e);
}

void wd_models_destroy(wd_models *m)
{
    if (!m)
        return;
    while (m->first) {
        entry *e = m->first;
        WD_BUG_IF(e->n_held);
        m->first = e->next;
        close_entry(e);
    }
    pthread_mutex_destroy(&m->mu);
    wd_free(m);
}

/* Where the link to the entry of that name is, or the last link. Under mu. */
static entry **find(wd_models *m, wd_span name)
{
    entry **at = &m->first;
    while (*at && !wd_span_is(name, (*at)->s.name))
        at = &(*at)->next;
    return at;
}

bool wd_models_name_ok(const char *name)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:+-/";
    const size_t n = strlen(name);
    return n > 0 && n <= WD_MODEL_NAME_MAX && strspn(name, letters) == n && name[0] != '/' &&
           name[n - 1] != '/';
}

static wd_status make_entry(const wd_served_opts *o, entry **out, wd_err *err)
{
    entry *e = WD_ALLOC(entry);
    *out = NULL;
    if (!e)
        return WD_FAIL(err, WD_E_NOMEM, "models: no memory");
    e->s = (wd_served){ .name = wd_strdup(o->name),
                        .base = o->base ? wd_strdup(o->base) : NULL,
                        .engine = o->engine,
                        .tokenizer = o->tokenizer,
                        .kind = WD_CHAT_QWEN3,
                        .created = (int64_t)time(NULL),
                        .self = o->self,
                        .metrics = wd_metrics_create() };
    e->close = o->close;
    if (!e->s.name || (o->base && !e->s.base) || !e->s.metrics) {
        free_entry(e);
        return WD_FAIL(err, WD_E_NOMEM, "models: no memory");
    }
    const char *kind = o->engine->info.chat_kind;
    for (int k = 0; kind && k < WD_CHAT_N_KIND; k++)
        if (!strcmp(wd_chat_kind_name((wd_chat_kind)k), kind))
            e->s.kind = (wd_chat_kind)k;
    *out = e;
    return WD_OK;
}

static size_t count(const wd_models *m)
{
    size_t n = 0;
    for (const entry *e = m->first; e; e = e->next)
        n++;
    return n;
}

wd_status wd_models_add(wd_models *m, const wd_served_opts *o, bool replace, wd_err *err)
{
    entry *e, *old = NULL;
    wd_status st = WD_OK;
    if (!wd_models_name_ok(o->name))
        return WD_FAIL(err, WD_E_INVALID,
                       "the name of a model has 1 to %d letters, digits and ._:+-, and '/' between them",
                       WD_MODEL_NAME_MAX);
    WD_TRY(make_entry(o, &e, err));
    pthread_mutex_lock(&m->mu);
    entry **at = find(m, wd_span_str(o->name));
    if (*at && !replace) {
        st = WD_FAIL(err, WD_E_BUSY, "there is a model of that name already");
    } else if (!*at && count(m) >= WD_MODELS_MAX) {
        st = WD_FAIL(err, WD_E_BUSY, "there are %d models already, which is as many as may be",
                     WD_MODELS_MAX);
    } else {
        old = *at;
        e->next = old ? old->next : NULL;
        *at = e;
    }
    if (old)
        old->out = true;
    const bool close = old && old->n_held == 0;
    pthread_mutex_unlock(&m->mu);
    if (close)
        close_entry(old);
    if (st)
        free_entry(e);
    return st;
}

bool wd_models_remove(wd_models *m, const char *name, size_t *n_held)
{
    pthread_mutex_lock(&m->mu);
    entry **at = find(m, wd_span_str(name)), *e = *at;
    *n_held = 0;
    if (e) {
        *at = e->next;
        e->out = true;
        *n_held = e->n_held;
    }
    const bool close = e && e->n_held == 0;
    pthread_mutex_unlock(&m->mu);
    if (close)
        close_entry(e);
    return e != NULL;
}

wd_status wd_models_assign(wd_models *m, wd_model_role role, const char *name, wd_err *err)
{
    if (!wd_models_name_ok(name))
        return WD_FAIL(err, WD_E_INVALID, "the model of a role: expected the name of one");
    pthread_mutex_lock(&m->mu);
    memcpy(m->role[role], name, strlen(name) + 1);
    pthread_mutex_unlock(&m->mu);
    return WD_OK;
}

/* Under mu. */
static entry *of_role(wd_models *m, wd_model_role role)
{
    return m->role[role][0] ? *find(m, wd_span_str(m->role[role])) : m->first;
}

const wd_served *wd_models_hold(wd_models *m, wd_span name, wd_model_role role)
{
    pthread_mutex_lock(&m->mu);
    entry *e = name.n ? *find(m, name) : of_role(m, role);
    if (e)
        e->n_held++;
    pthread_mutex_unlock(&m->mu);
    return e ? &e->s : NULL;
}

void wd_models_look(wd_models *m, void (*fn)(void *ctx, const wd_served *const *s, size_t n), void *ctx)
{
    const wd_served *s[WD_MODELS_MAX];
    size_t n = 0;
    pthread_mutex_lock(&m->mu);
    for (entry *e = m->first; e; e = e->next) {
        e->s.roles = 0;
        for (unsigned i = 0; i < WD_MODEL_N_ROLE; i++)
            e->s.roles |= of_role(m, (wd_model_role)i) == e ? 1u << i : 0;
        s[n++] = &e->s;
    }
    fn(ctx, s, n);
    pthread_mutex_unlock(&m->mu);
}

void wd_models_release(wd_models *m, const wd_served *s)
{
    if (!s)
        return;
    entry *e = (entry *)(uintptr_t)s;
    pthread_mutex_lock(&m->mu);
    WD_BUG_IF(e->n_held == 0);
    const bool close = --e->n_held == 0 && e->out;
    pthread_mutex_unlock(&m->mu);
    if (close)
        close_entry(e);
}
