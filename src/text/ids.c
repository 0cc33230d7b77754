/* A growable array of token ids. */
#include "text/ids.h"

#include <string.h>

void wd_ids_add(wd_ids *ids, const uint32_t *v, size_t n)
{
    size_t need;

    if (ids->failed || n == 0)
        return;
    if (!wd_add_size(ids->n, n, &need) || (ids->max && need > ids->max)) {
        ids->failed = true;
        return;
    }
    if (need > ids->cap) {
        const size_t cap = WD_MAX(WD_MAX(need, ids->cap + ids->cap / 2), (size_t)64);
        uint32_t *grown = wd_realloc(ids->v, cap, sizeof(*ids->v));
        if (!grown) {
            ids->failed = true;
            return;
        }
        ids->v = grown;
        ids->cap = cap;
    }
    memcpy(ids->v + ids->n, v, n * sizeof(*v));
    ids->n = need;
}

void wd_ids_put(wd_ids *ids, uint32_t id)
{
    if (WD_LIKELY(ids->n < ids->cap && !ids->failed && (ids->max == 0 || ids->n < ids->max)))
        ids->v[ids->n++] = id;
    else
        wd_ids_add(ids, &id, 1);
}

wd_status wd_ids_check(const wd_ids *ids, const char *what, wd_err *err)
{
    if (!ids->failed)
        return WD_OK;
    if (ids->max)
        return WD_FAIL(err, WD_E_LIMIT, "%s: more than %zu tokens", what, ids->max);
    return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for more than %zu tokens", what, ids->n);
}

void wd_ids_clear(wd_ids *ids)
{
    ids->n = 0;
    ids->failed = false;
}

void wd_ids_wipe(wd_ids *ids)
{
    if (ids->v)
        wd_wipe(ids->v, ids->cap * sizeof(*ids->v));
    wd_ids_clear(ids);
}

void wd_ids_free(wd_ids *ids)
{
    wd_free(ids->v);
    *ids = (wd_ids){ .max = ids->max };
}
