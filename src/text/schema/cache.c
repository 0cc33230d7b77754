/* Entries stand in a list, latest used first, and in the bucket of their key. The key is the source that the constraint
 * itself keeps. */
#include "text/schema/cache.h"

#include <pthread.h>

#include "text/schema/inner.h"

#define BUCKETS 1024

typedef struct entry {
    struct entry *older, *newer, *next; /* next: in its bucket */
    wd_constraint *c;
    uint64_t owner;
    size_t bytes, bucket;
} entry;

struct wd_constraint_cache {
    pthread_mutex_t mu;
    size_t max_bytes;
    /* under mu */
    entry *oldest, *newest, *bucket[BUCKETS];
    wd_constraint_cache_stats stats;
};

wd_status wd_constraint_cache_create(size_t max_bytes, wd_constraint_cache **out, wd_err *err)
{
    wd_constraint_cache *k = WD_ALLOC(wd_constraint_cache);
    *out = NULL;
    if (!k || pthread_mutex_init(&k->mu, NULL)) {
        wd_free(k);
        return WD_FAIL(err, WD_E_NOMEM, "constraints: no memory for their cache");
    }
    k->max_bytes = max_bytes;
    *out = k;
    return WD_OK;
}

/* --- keys ------------------------------------------------------------------------------------------------------------- */

static bool is_json(const wd_constraint_source *s)
{
    return s->kind == WD_CONSTRAINT_SCHEMA || s->kind == WD_CONSTRAINT_OBJECT;
}

static uint64_t mix(uint64_t h, wd_span s)
{
    h = (h ^ s.n) * 0x9E3779B97F4A7C15u;
    for (size_t i = 0; i < s.n; i++)
        h = (h ^ s.p[i]) * 0x100000001B3u;
    return h;
}

static size_t bucket_of(uint64_t owner, const wd_constraint_source *s)
{
    uint64_t h = mix(owner * 31 + (uint64_t)s->kind,
                     s->kind == WD_CONSTRAINT_OBJECT ? (wd_span){ 0 } : s->text);
    for (size_t i = 0; i < s->n_choice; i++)
        h = mix(h, s->choice[i]);
    return (h ^ h >> 32) % BUCKETS;
}

static bool is_same(const wd_constraint *c, const wd_constraint_source *s, wd_space space)
{
    const wd_constraint_source *have = &c->source;
    if (have->kind != s->kind || (is_json(s) && c->space != space))
        return false;
    if (s->kind == WD_CONSTRAINT_OBJECT)
        return true;
    if (have->n_choice != s->n_choice || !wd_span_eq(have->text, s->text))
        return false;
    for (size_t i = 0; i < s->n_choice; i++)
        if (!wd_span_eq(have->choice[i], s->choice[i]))
            return false;
    return true;
}

/* --- entries, under mu ----------------------------------------------------------------------------------------------- */

static void unlink_entry(wd_constraint_cache *k, entry *e)
{
    *(e->older ? &e->older->newer : &k->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &k->newest) = e->older;
}

static void link_newest(wd_constraint_cache *k, entry *e)
{
    e->newer = NULL;
    e->older = k->newest;
    *(k->newest ? &k->newest->newer : &k->oldest) = e;
    k->newest = e;
}

static entry *find(wd_constraint_cache *k, uint64_t owner, const wd_constraint_source *s, wd_space space)
{
    for (entry *e = k->bucket[bucket_of(owner, s)]; e; e = e->next)
        if (e->owner == owner && is_same(e->c, s, space)) {
            unlink_entry(k, e);
            link_newest(k, e);
            return e;
        }
    return NULL;
}

static void drop_oldest(wd_constraint_cache *k)
{
    entry *e = k->oldest, **at = &k->bucket[e->bucket];
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    unlink_entry(k, e);
    k->stats.n--;
    k->stats.bytes -= e->bytes;
    wd_constraint_unref(&e->c);
    wd_free(e);
}

static void add(wd_constraint_cache *k, entry *e)
{
    while (k->stats.bytes + e->bytes > k->max_bytes)
        drop_oldest(k);
    e->next = k->bucket[e->bucket];
    k->bucket[e->bucket] = e;
    link_newest(k, e);
    k->stats.n++;
    k->stats.bytes += e->bytes;
}

/* --- the whole -------------------------------------------------------------------------------------------------------- */

static wd_status compile(const wd_constraint_source *s, wd_space space, wd_constraint **out, wd_err *err)
{
    switch (s->kind) {
    case WD_CONSTRAINT_SCHEMA:
        return wd_constraint_schema(s->text, space, out, err);
    case WD_CONSTRAINT_OBJECT:
        return wd_constraint_object(space, out, err);
    case WD_CONSTRAINT_REGEX:
        return wd_constraint_regex(s->text, out, err);
    case WD_CONSTRAINT_CHOICE:
        break;
    }
    return wd_constraint_choice(s->choice, s->n_choice, out, err);
}

wd_status wd_constraint_cache_get(wd_constraint_cache *k, uint64_t owner, const wd_constraint_source *source,
                                  wd_space space, bool *hit, wd_constraint **out, wd_err *err)
{
    *out = NULL;
    pthread_mutex_lock(&k->mu);
    entry *e = find(k, owner, source, space);
    k->stats.n_query++;
    k->stats.n_hit += e != NULL;
    if (e)
        *out = wd_constraint_ref(e->c);
    pthread_mutex_unlock(&k->mu);
    if (hit)
        *hit = *out != NULL;
    if (*out)
        return WD_OK;

    WD_TRY(compile(source, space, out, err)); /* others go on meanwhile */
    const size_t bytes = sizeof *e + sizeof **out + wd_arena_used((*out)->arena);
    if (bytes > k->max_bytes / 4 || (e = WD_ALLOC(entry)) == NULL)
        return WD_OK;
    *e = (entry){
        .c = wd_constraint_ref(*out), .owner = owner, .bytes = bytes, .bucket = bucket_of(owner, source)
    };
    pthread_mutex_lock(&k->mu);
    entry *before = find(k, owner, source, space);
    if (before) { /* another thread was quicker: one serves both, with the masks that are found for it */
        wd_constraint_unref(out);
        *out = wd_constraint_ref(before->c);
    } else {
        add(k, e);
        e = NULL;
    }
    pthread_mutex_unlock(&k->mu);
    if (e)
        wd_constraint_unref(&e->c);
    wd_free(e);
    return WD_OK;
}

void wd_constraint_cache_state(wd_constraint_cache *k, wd_constraint_cache_stats *out)
{
    pthread_mutex_lock(&k->mu);
    *out = k->stats;
    pthread_mutex_unlock(&k->mu);
}

void wd_constraint_cache_destroy(wd_constraint_cache *k)
{
    if (!k)
        return;
    while (k->oldest)
        drop_oldest(k);
    pthread_mutex_destroy(&k->mu);
    wd_free(k);
}
