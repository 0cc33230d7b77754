/* Linear maps and the low-rank adapters beside them (spec section 10). */
#include <assert.h>
#include <stdio.h>

#include "model/pass.h"

void wd_linear__apply(wd_model *m, const wd_linear *lin, float *y, const float *x, const float *residual,
                      size_t n, size_t n_in, size_t n_out, wd_act act)
{
    m->ops->linear(m->ops->self,
                   &(wd_linear_args){
                       .y = y,
                       .x = x,
                       .residual = residual,
                       .n = n,
                       .x_stride = n_in,
                       .y_stride = n_out,
                       .lin = lin,
                       .act = act,
                   },
                   1);
}

wd_linear wd_linear__rows(const wd_linear *lin, size_t first, size_t n)
{
    wd_linear some = *lin;
    assert(!lin->in_out && !lin->w.scale);
    some.w.data = (const uint8_t *)lin->w.data + first * lin->w.dim[1] * wd_dtype_bytes(lin->w.dtype);
    some.w.dim[0] = n;
    if (lin->b.data) {
        some.b.data = (const uint8_t *)lin->b.data + first * wd_dtype_bytes(lin->b.dtype);
        some.b.dim[0] = n;
    }
    return some;
}

void wd_proj__add_adapters(wd_model *m, const wd_proj *p, const wd_linear_args *done)
{
    float *low = m->work.lora;
    for (uint32_t i = 0; i < p->n_adapter; i++) {
        const wd_adapter *a = &p->adapter[i];
        wd_linear_args down = *done, up = *done;
        down.y = low;
        down.y_stride = a->rank;
        down.residual = NULL;
        down.lin = &a->a;
        m->ops->linear(m->ops->self, &down, 1);
        for (size_t j = 0; j < done->n * a->rank; j++)
            low[j] *= a->scale;
        up.x = low;
        up.x_stride = a->rank;
        up.row = NULL;
        up.residual = done->y;
        up.lin = &a->b;
        m->ops->linear(m->ops->self, &up, 1);
    }
}

void wd_proj__apply(wd_model *m, const wd_proj *p, float *y, const float *x, const float *residual, size_t n,
                    size_t n_in, size_t n_out)
{
    const wd_linear_args a = {
        .y = y, .x = x, .residual = residual, .n = n, .x_stride = n_in, .y_stride = n_out, .lin = &p->lin
    };
    m->ops->linear(m->ops->self, &a, 1);
    wd_proj__add_adapters(m, p, &a);
}

void wd_proj__apply_each(wd_model *m, const wd_proj_to *to, size_t n_to, const float *x, size_t n,
                         size_t n_in)
{
    wd_linear_args a[WD_PROJ_TOGETHER] = { 0 };
    assert(n_to <= WD_PROJ_TOGETHER);
    for (size_t i = 0; i < n_to; i++)
        a[i] = (wd_linear_args){
            .y = to[i].y, .x = x, .n = n, .x_stride = n_in, .y_stride = to[i].n_out, .lin = &to[i].proj->lin
        };
    m->ops->linear(m->ops->self, a, n_to);
    for (size_t i = 0; i < n_to; i++)
        wd_proj__add_adapters(m, to[i].proj, &a[i]);
}

void wd_trace__at(const wd_trace *t, const char *fmt, uint32_t i, size_t n_row, size_t n_col,
                  const float *data)
{
    char stage[64];
    if (!t)
        return;
    snprintf(stage, sizeof stage, fmt, i);
    t->fn(t->self, stage, n_row, n_col, data);
}
