/* Reading ahead and locking, by whole pages. */
#include "weights/hold.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "tensor/quant.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

static int hold_bytes(const void *data, size_t n, wd_hold how)
{
    if (!data || n == 0)
        return 0;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = (uintptr_t)data & ~(page - 1), end = (uintptr_t)data + n;
    if (wd_inject_here())
        return ENOMEM;
    if (how == WD_HOLD_LOCK)
        return mlock((void *)first, end - first) < 0 ? errno : 0;
    if (madvise((void *)first, end - first, MADV_POPULATE_READ) == 0)
        return 0;
    if (errno != EINVAL)
        return errno;
    for (uintptr_t at = first; at < end; at += page) /* an older system: touch every page */
        (void)*(const volatile uint8_t *)at;
    return 0;
}

/* Of a tensor's parts; the scales of FP8 are not counted. */
static wd_quant_sizes sizes_of(const wd_tensor *t)
{
    if (!wd_quant_is(t->dtype))
        return (wd_quant_sizes){ .data = wd_tensor_bytes(t) };
    wd_quant_sizes s = wd_quant_size(t->dtype, t->dim[t->n_dim - 2], t->dim[t->n_dim - 1], t->group);
    const size_t n = t->n_dim > 2 ? t->dim[0] : 1;
    s.data *= n;
    s.scale *= n;
    s.zero *= n;
    return s;
}

static wd_status hold_tensor(const wd_tensor *t, const char *name, wd_hold how, wd_err *err)
{
    const wd_quant_sizes n = sizes_of(t);
    int e = hold_bytes(t->data, n.data, how);
    if (!e)
        e = hold_bytes(t->scale, n.scale, how);
    if (!e)
        e = hold_bytes(t->zero, n.zero, how);
    if (!e)
        return WD_OK;
    if (how == WD_HOLD_LOCK)
        return WD_FAIL(err, WD_E_LIMIT,
                       "weights cannot be locked in memory at %s: %s; the limit is \"ulimit -l\", or "
                       "LimitMEMLOCK of a service",
                       name, strerror(e));
    return WD_FAIL(err, WD_E_IO, "weights cannot be read at %s: %s", name, strerror(e));
}

wd_status wd_weights_hold(const wd_weights *w, wd_hold how, const atomic_bool *cancel, wd_err *err)
{
    for (size_t i = 0; how != WD_HOLD_NOTHING && i < wd_weights_count(w); i++) {
        const char *name;
        wd_tensor t;
        if (cancel && atomic_load_explicit(cancel, memory_order_relaxed))
            return WD_FAIL(err, WD_E_CANCELLED, "cancelled");
        wd_weights_at(w, i, &name, NULL, NULL, &t, NULL);
        WD_TRY(hold_tensor(&t, name, how, err));
    }
    return WD_OK;
}

size_t wd_weights_bytes(const wd_weights *w)
{
    size_t sum = 0;
    for (size_t i = 0; i < wd_weights_count(w); i++) {
        const char *name;
        wd_tensor t;
        wd_weights_at(w, i, &name, NULL, NULL, &t, NULL);
        const wd_quant_sizes n = sizes_of(&t);
        sum += t.data ? n.data + n.scale + n.zero : 0;
    }
    return sum;
}
