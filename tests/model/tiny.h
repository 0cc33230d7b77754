/* The tiny checkpoints of tests/golden, opened on this machine's best kernels in exact arithmetic. */
#ifndef WD_TESTS_MODEL_TINY_H
#define WD_TESTS_MODEL_TINY_H

#include "model/model.h"

typedef struct tiny {
    wd_model_config cfg;
    wd_weights *weights;
    wd_ops *ops;
    wd_model *model;
    wd_kv_pool *pool;
    wd_kv *kv;
} tiny;

/* name: a directory of build/tests/golden/checkpoints, e.g. "vl-dense". o may be NULL. */
void tiny_open(tiny *t, const char *name, const wd_model_opts *o);
/* The same after a change of its configuration, e.g. fewer layers than it has. */
void tiny_open_edited(tiny *t, const char *name, const wd_model_opts *o, void (*edit)(wd_model_config *c));
void tiny_close(tiny *t);
const char *tiny_dir(const char *name); /* valid until the next call */

/* n small token ids from a seed, none of them an image's or video's. */
void tiny_tokens(uint32_t *ids, size_t n, uint64_t seed);
/* n values between -2 and 2 from a seed. */
void tiny_values(float *v, size_t n, uint64_t seed);

#endif
