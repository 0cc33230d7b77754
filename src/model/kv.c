/* Invariants:
 *  1. A page has as many references as sequences and sharers hold it; without any it lies on its pool's free list.
 *  2. n_page * page_len >= len, and the pages beyond len are reserved room.
 *  3. held = pages referred to + free pages; held * page_bytes <= max_bytes where there is a limit.
 *  4. Tokens before `shared` of a page stay. Those behind are the writer's, which is one sequence at most; who is alone
 *     with a page is its writer.
 */
#include "model/kv.h"

#include <assert.h>

#include <string.h>

#include "base/mem.h"

struct wd_kv_page {
    uint8_t *data;
    const wd_kv *writer;
    uint32_t n_ref, shared;
};

struct wd_kv_pool {
    wd_kv_opts o;
    size_t page_bytes, layer_bytes;
    wd_kv_page **free_page; /* [n_free], capacity cap_free >= held, so that giving back cannot fail */
    size_t n_free, cap_free, held;
    size_t n_kv;
};

struct wd_kv {
    wd_kv_pool *pool;
    wd_kv_page **page; /* [n_page] */
    void **view;       /* [n_page] the layer asked for last */
    size_t n_page, cap_page, len;
    int32_t rope_delta;
};

static size_t layer_bytes(const wd_kv_opts *o)
{
    return (size_t)2 * o->n_kv_head * wd_kv_head_bytes(o->dtype, o->page_len, o->head_dim);
}

size_t wd_kv_page_bytes(const wd_kv_opts *o)
{
    return layer_bytes(o) * o->n_layer;
}

wd_status wd_kv_pool_create(const wd_kv_opts *o, wd_kv_pool **out, wd_err *err)
{
    *out = NULL;
    if (o->page_len == 0 || o->page_len % 16 != 0 || o->page_len > 4096)
        return WD_FAIL(err, WD_E_USAGE, "KV cache: a page of %u tokens, expected a multiple of 16 up to 4096",
                       o->page_len);
    if (o->dtype != WD_DTYPE_F32 && o->dtype != WD_DTYPE_BF16 && o->dtype != WD_DTYPE_KV8)
        return WD_FAIL(err, WD_E_USAGE, "KV cache: dtype %s, expected F32, BF16 or KV8",
                       wd_dtype_name(o->dtype));
    if (o->n_layer == 0 || o->n_kv_head == 0 || o->head_dim == 0 || o->max_len == 0)
        return WD_FAIL(err, WD_E_USAGE, "KV cache: layers, heads, head size and length must not be 0");

    wd_kv_pool *p = WD_ALLOC(wd_kv_pool);
    if (!p)
        return WD_FAIL(err, WD_E_NOMEM, "KV cache: no memory for a pool");
    p->o = *o;
    p->layer_bytes = layer_bytes(o);
    p->page_bytes = wd_kv_page_bytes(o);
    *out = p;
    return WD_OK;
}

void wd_kv_pool_destroy(wd_kv_pool *p)
{
    if (!p)
        return;
    WD_BUG_IF(p->n_kv != 0 || p->n_free != p->held);
    for (size_t i = 0; i < p->n_free; i++) {
        wd_free(p->free_page[i]->data);
        wd_free(p->free_page[i]);
    }
    wd_free(p->free_page);
    wd_free(p);
}

const wd_kv_opts *wd_kv_pool_opts(const wd_kv_pool *p)
{
    return &p->o;
}

size_t wd_kv_pool_bytes(const wd_kv_pool *p)
{
    return p->held * p->page_bytes;
}

size_t wd_kv_pool_used(const wd_kv_pool *p)
{
    return (p->held - p->n_free) * p->page_bytes;
}

/* A page for kv alone. */
static wd_status take_page(wd_kv *kv, wd_kv_page **out, wd_err *err)
{
    wd_kv_pool *p = kv->pool;
    if (p->n_free) {
        *out = p->free_page[--p->n_free];
        **out = (wd_kv_page){ .data = (*out)->data, .writer = kv, .n_ref = 1 };
        return WD_OK;
    }
    if (p->o.max_bytes && (p->held + 1) * p->page_bytes > p->o.max_bytes)
        return WD_FAIL(err, WD_E_LIMIT, "KV cache: its limit of %zu bytes is reached", p->o.max_bytes);
    if (p->held + 1 > p->cap_free) {
        const size_t cap = p->cap_free ? 2 * p->cap_free : 16;
        wd_kv_page **list = wd_realloc(p->free_page, cap, sizeof *list);
        if (!list)
            return WD_FAIL(err, WD_E_NOMEM, "KV cache: no memory for one more page");
        p->free_page = list;
        p->cap_free = cap;
    }
    wd_kv_page *page = WD_ALLOC(wd_kv_page);
    uint8_t *data = wd_alloc_aligned(p->page_bytes, 1);
    if (!page || !data) {
        wd_free(page);
        wd_free(data);
        return WD_FAIL(err, WD_E_NOMEM, "KV cache: no memory for one more page of %zu bytes", p->page_bytes);
    }
    *page = (wd_kv_page){ .data = data, .writer = kv, .n_ref = 1 };
    p->held++;
    *out = page;
    return WD_OK;
}

void wd_kv_page_unref(wd_kv_pool *p, wd_kv_page **page)
{
    WD_BUG_IF((*page)->n_ref == 0);
    if (--(*page)->n_ref == 0)
        p->free_page[p->n_free++] = *page;
    *page = NULL;
}

static void give_pages(wd_kv *kv, size_t keep)
{
    while (kv->n_page > keep) {
        wd_kv_page **page = &kv->page[--kv->n_page];
        if ((*page)->writer == kv)
            (*page)->writer = NULL;
        wd_kv_page_unref(kv->pool, page);
    }
}

wd_status wd_kv_create(wd_kv_pool *p, wd_kv **out, wd_err *err)
{
    *out = NULL;
    wd_kv *kv = WD_ALLOC(wd_kv);
    if (!kv)
        return WD_FAIL(err, WD_E_NOMEM, "KV cache: no memory for a sequence");
    kv->pool = p;
    p->n_kv++;
    *out = kv;
    return WD_OK;
}

void wd_kv_destroy(wd_kv *kv)
{
    if (!kv)
        return;
    give_pages(kv, 0);
    kv->pool->n_kv--;
    wd_free(kv->page);
    wd_free(kv->view);
    wd_free(kv);
}

size_t wd_kv_len(const wd_kv *kv)
{
    return kv->len;
}

const wd_kv_opts *wd_kv_opts_of(const wd_kv *kv)
{
    return &kv->pool->o;
}

int32_t wd_kv_rope_delta(const wd_kv *kv)
{
    return kv->rope_delta;
}

void wd_kv_set_rope_delta(wd_kv *kv, int32_t delta)
{
    kv->rope_delta = delta;
}

static size_t pages_for(const wd_kv *kv, size_t len)
{
    return (len + kv->pool->o.page_len - 1) / kv->pool->o.page_len;
}

static wd_status grow_tables(wd_kv *kv, size_t n_page, wd_err *err)
{
    if (n_page <= kv->cap_page)
        return WD_OK;
    const size_t cap = n_page > 2 * kv->cap_page ? n_page : 2 * kv->cap_page;
    wd_kv_page **page = wd_realloc(kv->page, cap, sizeof *page);
    if (page)
        kv->page = page;
    void **view = wd_realloc(kv->view, cap, sizeof *view);
    if (view)
        kv->view = view;
    if (!page || !view)
        return WD_FAIL(err, WD_E_NOMEM, "KV cache: no memory for a table of %zu pages", cap);
    kv->cap_page = cap;
    return WD_OK;
}

/* Token n_used of the page may be written by kv. */
static bool may_write(const wd_kv *kv, const wd_kv_page *page, size_t n_used)
{
    return page->n_ref == 1 || (page->writer == kv && n_used >= page->shared);
}

/* The page that the next token goes into, when it holds tokens already, becomes one that kv may write. */
static wd_status own_last(wd_kv *kv, wd_err *err)
{
    const wd_kv_pool *p = kv->pool;
    const size_t used = kv->len % p->o.page_len;
    wd_kv_page **last = &kv->page[kv->len / p->o.page_len], *mine;
    if (used == 0)
        return WD_OK;
    if (may_write(kv, *last, used)) {
        if ((*last)->n_ref == 1) {
            (*last)->writer = kv;
            (*last)->shared = 0;
        }
        return WD_OK;
    }
    WD_TRY(take_page(kv, &mine, err));
    memcpy(mine->data, (*last)->data, p->page_bytes);
    wd_kv_page_unref(kv->pool, last);
    *last = mine;
    return WD_OK;
}

wd_status wd_kv_reserve(wd_kv *kv, size_t n, wd_err *err)
{
    const size_t had = kv->n_page;
    if (n > kv->pool->o.max_len - kv->len)
        return WD_FAIL(err, WD_E_LIMIT, "context: %zu tokens and %zu more, at most %u fit", kv->len, n,
                       kv->pool->o.max_len);

    const size_t want = pages_for(kv, kv->len + n);
    WD_TRY(grow_tables(kv, want, err));
    if (n)
        WD_TRY(own_last(kv, err));
    while (kv->n_page < want) {
        const wd_status st = take_page(kv, &kv->page[kv->n_page], err);
        if (st) {
            give_pages(kv, had);
            return st;
        }
        kv->n_page++;
    }
    return WD_OK;
}

void wd_kv_commit(wd_kv *kv, size_t n)
{
    assert(kv->len + n <= kv->n_page * kv->pool->o.page_len);
    kv->len += n;
}

void wd_kv_truncate(wd_kv *kv, size_t len)
{
    assert(len <= kv->len);
    kv->len = len;
    const size_t keep = pages_for(kv, len);
    if (keep < kv->n_page)
        give_pages(kv, keep);
}

wd_kv_page *wd_kv_share(wd_kv *kv, size_t i, size_t n)
{
    wd_kv_page *page = kv->page[i];
    assert(n <= kv->pool->o.page_len && i * kv->pool->o.page_len + n <= kv->len);
    page->shared = WD_MAX(page->shared, (uint32_t)n);
    page->n_ref++;
    return page;
}

wd_status wd_kv_attach(wd_kv *kv, wd_kv_page *page, size_t n, wd_err *err)
{
    WD_BUG_IF(kv->len % kv->pool->o.page_len != 0 || n > page->shared || page->n_ref == 0);
    if (n > kv->pool->o.max_len - kv->len)
        return WD_FAIL(err, WD_E_LIMIT, "context: %zu tokens and %zu more, at most %u fit", kv->len, n,
                       kv->pool->o.max_len);
    give_pages(kv, kv->len / kv->pool->o.page_len); /* reserved room */
    WD_TRY(grow_tables(kv, kv->n_page + 1, err));
    page->n_ref++;
    kv->page[kv->n_page++] = page;
    kv->len += n;
    return WD_OK;
}

bool wd_kv_page_is_shared(const wd_kv_page *page)
{
    return page->n_ref > 1;
}

void *const *wd_kv_layer(wd_kv *kv, uint32_t layer)
{
    assert(layer < kv->pool->o.n_layer);
    for (size_t i = 0; i < kv->n_page; i++)
        kv->view[i] = kv->page[i]->data + layer * kv->pool->layer_bytes;
    return kv->view;
}
