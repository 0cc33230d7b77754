#include "model/fetch.h"

#include <stdio.h>

#include "base/mem.h"

#define NAME_MAX_LEN 160

wd_status wd_fetch__tensor(const wd_fetch *f, const char *name, const size_t *dim, uint32_t n_dim,
                           wd_tensor *out)
{
    return wd_weights_get(f->w, name, dim, n_dim, out, f->err);
}

static wd_status fetch_part(const wd_fetch *f, const char *name, const char *part, const size_t *dim,
                            uint32_t n_dim, wd_tensor *out)
{
    char full[NAME_MAX_LEN];
    snprintf(full, sizeof full, "%s.%s", name, part);
    return wd_fetch__tensor(f, full, dim, n_dim, out);
}

wd_status wd_fetch__linear(const wd_fetch *f, const char *name, size_t n_out, size_t n_in, bool bias,
                           wd_linear *out)
{
    WD_TRY(fetch_part(f, name, "weight", (size_t[]){ n_out, n_in }, 2, &out->w));
    return bias ? fetch_part(f, name, "bias", &n_out, 1, &out->b) : WD_OK;
}

wd_status wd_fetch__norm(const wd_fetch *f, const char *name, size_t dim, bool bias, wd_norm *out)
{
    WD_TRY(fetch_part(f, name, "weight", &dim, 1, &out->w));
    return bias ? fetch_part(f, name, "bias", &dim, 1, &out->b) : WD_OK;
}

wd_status wd_fetch__proj(const wd_fetch *f, const char *name, size_t n_out, size_t n_in, bool bias,
                         wd_proj *out)
{
    WD_TRY(wd_fetch__linear(f, name, n_out, n_in, bias, &out->lin));
    return wd_fetch__adapters(f, name, n_out, n_in, out);
}

wd_status wd_fetch__adapters(const wd_fetch *f, const char *name, size_t n_out, size_t n_in, wd_proj *out)
{
    wd_lora_pair pair;
    uint32_t n = 0;
    for (size_t i = 0; i < f->o->n_lora; i++)
        n += wd_lora_find(f->o->lora[i], name, &pair);
    if (n == 0)
        return WD_OK;

    out->adapter = WD_ALLOC_N(wd_adapter, n);
    if (!out->adapter)
        return WD_FAIL(f->err, WD_E_NOMEM, "model: no memory for %u adapters", n);
    for (size_t i = 0; i < f->o->n_lora; i++) {
        if (!wd_lora_find(f->o->lora[i], name, &pair))
            continue;
        if (pair.a.dim[1] != n_in || pair.b.dim[0] != n_out || pair.a.dim[0] != pair.b.dim[1])
            return WD_FAIL(f->err, WD_E_INVALID,
                           "adapter: %s is for %zu inputs and %zu outputs, expected %zu and %zu", name,
                           pair.a.dim[1], pair.b.dim[0], n_in, n_out);
        out->adapter[out->n_adapter++] = (wd_adapter){
            .a = { .w = pair.a },
            .b = { .w = pair.b },
            .rank = pair.a.dim[0],
            .scale = pair.scale,
        };
        f->m->max_rank = WD_MAX(f->m->max_rank, pair.a.dim[0]);
    }
    return WD_OK;
}
