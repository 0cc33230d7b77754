#include "model/tiny.h"

#include <stdio.h>

#include "base/rand.h"
#include "support/test.h"

const char *tiny_dir(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof path, "%s/%s", GOLDEN_CHECKPOINTS, name);
    return path;
}

void tiny_open(tiny *t, const char *name, const wd_model_opts *o)
{
    tiny_open_edited(t, name, o, NULL);
}

void tiny_open_edited(tiny *t, const char *name, const wd_model_opts *o, void (*edit)(wd_model_config *c))
{
    const char *dir = tiny_dir(name);
    *t = (tiny){ 0 };
    assert_ok(wd_config_read(dir, &t->cfg, &err));
    if (edit)
        edit(&t->cfg);
    assert_ok(wd_weights_open(dir, &t->weights, &err));
    assert_ok(wd_cpu_ops_create(&(wd_cpu_opts){ .isa = wd_isa_detect(), .precision = WD_PRECISION_EXACT },
                                &t->ops, &err));
    assert_ok(wd_model_open(t->weights, &t->cfg, o, t->ops, &t->model, &err));
    const wd_kv_opts k = wd_model_kv_opts(t->model);
    assert_ok(wd_kv_pool_create(&k, &t->pool, &err));
    assert_ok(wd_kv_create(t->pool, &t->kv, &err));
}

void tiny_close(tiny *t)
{
    wd_kv_destroy(t->kv);
    wd_kv_pool_destroy(t->pool);
    wd_model_close(t->model);
    wd_ops_destroy(t->ops);
    wd_weights_close(t->weights);
    *t = (tiny){ 0 };
}

void tiny_tokens(uint32_t *ids, size_t n, uint64_t seed)
{
    wd_rand r;
    wd_rand_init(&r, seed);
    for (size_t i = 0; i < n; i++)
        ids[i] = (uint32_t)wd_rand_below(&r, 2000);
}

void tiny_values(float *v, size_t n, uint64_t seed)
{
    wd_rand r;
    wd_rand_init(&r, seed);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)wd_rand_range(&r, -2.0, 2.0);
}
