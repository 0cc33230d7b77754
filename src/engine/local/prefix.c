/* The prefix cache: pages of the KV cache that some sequence began with, in a tree.
 *
 * A node is one page after its parents' pages, and knows what stands at each of its tokens. A sequence that begins alike
 * takes the pages as its own as far as they agree, to the token: where they part inside a page, that page is copied when
 * it is written (model/kv.h). Each tenant has a tree of its own.
 *
 * Invariants
 *   1. A node with children is a whole page.
 *   2. Children of one node differ, and none is the beginning of another.
 *   3. oldest .. newest has every node once, children before their parents: the oldest has none.
 *   4. prefix_bytes is a page for each node, pages that running sequences use too included: at most prefix_max, or where
 *      the options name no limit, the latest sequence if that is more. */
#include <string.h>

#include "base/mem.h"
#include "engine/local/inner.h"

struct wd_local_node {
    wd_local_node *parent, *child, *next, *prev; /* next, prev: of one parent */
    wd_local_node *older, *newer;
    wd_local_tenant *tenant;
    wd_kv_page *page;
    uint32_t n;
    wd_local_key key[]; /* [page_len], n used */
};

wd_local_key wd_local__key(const wd_local_job *j, size_t i)
{
    return i < j->prompt->n ? j->key[i] : (wd_local_key){ j->id[i], 0 };
}

wd_local_tenant *wd_local__tenant(wd_local *e, uint64_t id)
{
    for (wd_local_tenant *t = e->tenant; t; t = t->next)
        if (t->id == id)
            return t;
    wd_local_tenant *t = WD_ALLOC(wd_local_tenant);
    if (!t)
        return NULL;
    t->id = id;
    t->next = e->tenant;
    e->tenant = t;
    return t;
}

void wd_local__drop_tenant(wd_local *e, wd_local_tenant *t)
{
    if (t->n_job || t->child)
        return;
    for (wd_local_tenant **at = &e->tenant; *at; at = &(*at)->next)
        if (*at == t) {
            *at = t->next;
            wd_free(t);
            return;
        }
}

/* Tokens from `at` on, at most `most`, that the node has too. */
static size_t same_tokens(const wd_local_node *node, const wd_local_job *j, size_t at, size_t most)
{
    const size_t n = WD_MIN(most, node->n);
    size_t i = 0;
    for (; i < n; i++) {
        const wd_local_key k = wd_local__key(j, at + i);
        if (k.a != node->key[i].a || k.b != node->key[i].b)
            break;
    }
    return i;
}

/* The node of a list that agrees longest; NULL when none does. */
static wd_local_node *best_of(wd_local_node *list, const wd_local_job *j, size_t at, size_t most,
                              size_t *same)
{
    wd_local_node *best = NULL;
    *same = 0;
    for (wd_local_node *node = list; node; node = node->next) {
        const size_t n = same_tokens(node, j, at, most);
        if (n > *same) {
            *same = n;
            best = node;
        }
    }
    return best;
}

size_t wd_local__match(const wd_local *e, const wd_local_job *j, size_t most)
{
    const wd_prompt *p = &j->prompt->text;
    size_t at = 0;
    for (wd_local_node *list = j->tenant->child; list && at < most;) {
        size_t same;
        const wd_local_node *node = best_of(list, j, at, WD_MIN(e->page_len, most - at), &same);
        at += same;
        if (same < e->page_len)
            break;
        list = node->child;
    }
    for (uint32_t i = 0; i < p->n_place && p->place[i].first < at; i++) /* images whole or not at all */
        if (p->place[i].first + p->place[i].n > at)
            return p->place[i].first;
    return at;
}

static void unlink_age(wd_local *e, wd_local_node *node)
{
    *(node->older ? &node->older->newer : &e->oldest) = node->newer;
    *(node->newer ? &node->newer->older : &e->newest) = node->older;
}

static void make_newest(wd_local *e, wd_local_node *node)
{
    node->older = e->newest;
    node->newer = NULL;
    *(e->newest ? &e->newest->newer : &e->oldest) = node;
    e->newest = node;
}

/* Parents last: invariant 3. */
static void touch(wd_local *e, wd_local_node *node)
{
    for (; node; node = node->parent) {
        unlink_age(e, node);
        make_newest(e, node);
    }
}

wd_status wd_local__attach(wd_local *e, wd_local_job *j, size_t n, wd_err *err)
{
    wd_local_node *list = j->tenant->child, *last = NULL;
    for (size_t at = 0, same; at < n; at += same) {
        wd_local_node *node = best_of(list, j, at, WD_MIN(e->page_len, n - at), &same);
        WD_BUG_IF(!node || node->tenant != j->tenant);
        WD_TRY(wd_kv_attach(j->kv, node->page, same, err));
        last = node;
        list = node->child;
    }
    touch(e, last);
    return WD_OK;
}

static void remove_node(wd_local *e, wd_local_node *node)
{
    wd_local_tenant *t = node->tenant;
    WD_BUG_IF(node->child);
    unlink_age(e, node);
    *(node->prev ? &node->prev->next : node->parent ? &node->parent->child : &t->child) = node->next;
    if (node->next)
        node->next->prev = node->prev;
    wd_kv_page_unref(e->pool, &node->page);
    e->prefix_bytes -= e->page_bytes;
    wd_wipe(node->key, node->n * sizeof *node->key);
    node->next = e->free_node;
    e->free_node = node;
    wd_local__drop_tenant(e, t);
}

bool wd_local__evict_page(wd_local *e)
{
    for (wd_local_node *node = e->oldest; node; node = node->newer)
        if (!node->child && !wd_kv_page_is_shared(node->page)) {
            remove_node(e, node);
            return true;
        }
    return false;
}

/* Room for one more node; `keep` stays. */
static bool make_room(wd_local *e, const wd_local_node *keep)
{
    while (e->prefix_bytes + e->page_bytes > e->prefix_max) {
        wd_local_node *node = e->oldest;
        while (node && (node->child || node == keep))
            node = node->newer;
        if (!node)
            return e->o.prefix_bytes == 0; /* the latest sequence, whole */
        remove_node(e, node);
    }
    return true;
}

static wd_local_node *add_node(wd_local *e, wd_local_tenant *t, wd_local_node *parent, wd_kv_page *page)
{
    wd_local_node *node = e->free_node;
    if (node)
        e->free_node = node->next;
    else
        node = wd_calloc(1, sizeof *node + e->page_len * sizeof *node->key);
    if (!node)
        return NULL;
    wd_local_node **list = parent ? &parent->child : &t->child;
    *node = (wd_local_node){ .parent = parent, .next = *list, .tenant = t, .page = page };
    if (*list)
        (*list)->prev = node;
    *list = node;
    make_newest(e, node);
    e->prefix_bytes += e->page_bytes;
    return node;
}

void wd_local__publish(wd_local *e, wd_local_job *j, size_t n)
{
    wd_local_node *parent = NULL;
    for (size_t i = 0, at = 0; at < n; i++, at += e->page_len) {
        const size_t m = WD_MIN(e->page_len, n - at);
        size_t same;
        wd_local_node *node = best_of(parent ? parent->child : j->tenant->child, j, at, m, &same);
        if (!node || same < m) {
            if (node && same < node->n)
                node = NULL; /* they part: a new one beside it */
            if (!node && !make_room(e, parent))
                break;
            wd_kv_page *page = wd_kv_share(j->kv, i, m);
            if (node)
                wd_kv_page_unref(e->pool, &node->page); /* ours goes on where it ends */
            else
                node = add_node(e, j->tenant, parent, NULL);
            if (!node) {
                wd_kv_page_unref(e->pool, &page);
                break;
            }
            node->page = page;
            node->n = (uint32_t)m;
            for (size_t k = 0; k < m; k++)
                node->key[k] = wd_local__key(j, at + k);
        }
        parent = node;
    }
    touch(e, parent);
    j->n_published = n / e->page_len;
}

void wd_local__forget_prefixes(wd_local *e)
{
    while (e->oldest)
        remove_node(e, e->oldest);
    while (e->free_node) {
        wd_local_node *node = e->free_node;
        e->free_node = node->next;
        wd_free(node);
    }
}
