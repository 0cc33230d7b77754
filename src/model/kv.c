/* Invariants:
 *  1. A page belongs to one sequence, or lies on its pool's free list: never both, never neither.
 *  2. n_page * page_len >= len, and the pages beyond len are reserved room.
 *  3. held = pages of all sequences + free pages; held * page_bytes <= max_bytes where there is a limit.
 */
#include "model/kv.h"

#include <assert.h>

#include "base/mem.h"

struct wd_kv_pool {
    wd_kv_opts o;
    size_t page_bytes, layer_bytes;
    void **free_page; /* [n_free], capacity cap_free >= held, so that giving back cannot fail */
    size_t n_free, cap_free, held;
    size_t n_kv;
};

struct wd_kv {
    wd_kv_pool *pool;
    uint8_t **page; /* [n_page] */
    void **view;    /* [n_page] the layer asked for last */
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
    WD_BUG_IF(p->n_kv != 0);
    for (size_t i = 0; i < p->n_free; i++)
        wd_free(p->free_page[i]);
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

static wd_status take_page(wd_kv_pool *p, uint8_t **out, wd_err *err)
{
    if (p->n_free) {
        *out = p->free_page[--p->n_free];
        return WD_OK;
    }
    if (p->o.max_bytes && (p->held + 1) * p->page_bytes > p->o.max_bytes)
        return WD_FAIL(err, WD_E_LIMIT, "KV cache: its limit of %zu bytes is reached", p->o.max_bytes);
    if (p->held + 1 > p->cap_free) {
        const size_t cap = p->cap_free ? 2 * p->cap_free : 16;
        void **list = wd_realloc(p->free_page, cap, sizeof *list);
        if (!list)
            return WD_FAIL(err, WD_E_NOMEM, "KV cache: no memory for one more page");
        p->free_page = list;
        p->cap_free = cap;
    }
    uint8_t *page = wd_alloc_aligned(p->page_bytes, 1);
    if (!page)
        return WD_FAIL(err, WD_E_NOMEM, "KV cache: no memory for one more page of %zu bytes", p->page_bytes);
    p->held++;
    *out = page;
    return WD_OK;
}

static void give_pages(wd_kv *kv, size_t keep)
{
    wd_kv_pool *p = kv->pool;
    while (kv->n_page > keep)
        p->free_page[p->n_free++] = kv->page[--kv->n_page];
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
    uint8_t **page = wd_realloc(kv->page, cap, sizeof *page);
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

wd_status wd_kv_reserve(wd_kv *kv, size_t n, wd_err *err)
{
    const size_t had = kv->n_page;
    if (n > kv->pool->o.max_len - kv->len)
        return WD_FAIL(err, WD_E_LIMIT, "context: %zu tokens and %zu more, at most %u fit", kv->len, n,
                       kv->pool->o.max_len);

    const size_t want = pages_for(kv, kv->len + n);
    WD_TRY(grow_tables(kv, want, err));
    while (kv->n_page < want) {
        const wd_status st = take_page(kv->pool, &kv->page[kv->n_page], err);
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

void *const *wd_kv_layer(wd_kv *kv, uint32_t layer)
{
    assert(layer < kv->pool->o.n_layer);
    for (size_t i = 0; i < kv->n_page; i++)
        kv->view[i] = kv->page[i] + layer * kv->pool->layer_bytes;
    return kv->view;
}
