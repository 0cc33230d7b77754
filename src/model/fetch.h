/* From named tensors to parameters: every one by name, with the shape that the configuration asks for. */
#ifndef WD_MODEL_FETCH_H
#define WD_MODEL_FETCH_H

#include "model/params.h"

typedef struct wd_fetch {
    wd_model *m;
    wd_weights *w;
    const wd_model_opts *o;
    wd_err *err;
} wd_fetch;

wd_status wd_fetch__tensor(const wd_fetch *f, const char *name, const size_t *dim, uint32_t n_dim,
                           wd_tensor *out);
wd_status wd_fetch__linear(const wd_fetch *f, const char *name, size_t n_out, size_t n_in, bool bias,
                           wd_linear *out);
wd_status wd_fetch__proj(const wd_fetch *f, const char *name, size_t n_out, size_t n_in, bool bias,
                         wd_proj *out);
/* The share of every adapter that has one for this projection. */
wd_status wd_fetch__adapters(const wd_fetch *f, const char *name, size_t n_out, size_t n_in, wd_proj *out);
wd_status wd_fetch__norm(const wd_fetch *f, const char *name, size_t dim, bool bias, wd_norm *out);
wd_status wd_fetch__decoder(const wd_fetch *f);
wd_status wd_fetch__tower(const wd_fetch *f);
void wd_decoder__free(wd_decoder *d, const wd_text_config *c);
void wd_tower__free(wd_tower *t); /* accepts NULL */

#endif
