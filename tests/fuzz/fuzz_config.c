/* config.json and generation_config.json from arbitrary bytes: what is accepted must be a model one can compute. */
#include <math.h>
#include <stdlib.h>

#include "base/log.h"
#include "weights/config.h"
#include "weights/inventory.h"

static const char base[] =
    "{\"model_type\":\"qwen3\",\"vocab_size\":2048,\"hidden_size\":96,\"intermediate_size\":160,"
    "\"num_hidden_layers\":5,\"num_attention_heads\":6,\"num_key_value_heads\":2,\"head_dim\":32,"
    "\"rope_theta\":1e6,\"max_position_embeddings\":4096}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const wd_model_config *c)
{
    const wd_text_config *t = &c->text;
    bool good = t->n_layer >= 1 && t->n_layer <= WD_MAX_LAYERS && t->n_kv_head >= 1 &&
                t->n_head % t->n_kv_head == 0 && t->head_dim >= 2 && t->head_dim % 2 == 0 && t->n_embd >= 1 &&
                t->max_pos >= 1 && t->rms_eps > 0 && t->rope.theta >= 2 && isfinite(t->rope.theta) &&
                c->n_stop <= WD_MAX_STOP_IDS;
    for (uint32_t i = 0; i < t->n_layer && good; i++)
        good = t->sparse[i] ? t->n_expert >= t->n_expert_used && t->n_expert_used >= 1 && t->n_ff_expert >= 1
                            : t->n_ff >= 1;
    for (uint32_t i = 0; i < c->n_stop; i++)
        good &= c->stop[i] < t->n_vocab;
    if (t->rope.yarn)
        good &= t->rope.yarn_factor >= 1 && t->rope.yarn_attention_factor > 0 &&
                t->rope.yarn_original_max_pos >= 1;
    if (t->rope.mrope)
        good &= t->rope.mrope_section[0] + t->rope.mrope_section[1] + t->rope.mrope_section[2] ==
                t->head_dim / 2;
    if (c->has_vision)
        good &= c->vision.n_deepstack <= WD_MAX_DEEPSTACK && c->vision.n_embd % c->vision.n_head == 0 &&
                c->vision.n_out == t->n_embd && c->image_token < t->n_vocab;
    for (uint32_t i = 0; i < c->vision.n_deepstack; i++)
        good &= c->vision.deepstack[i] < c->vision.depth;
    good &= c->temperature >= 0 && c->top_p > 0 && c->top_p <= 1 && c->repetition_penalty > 0;
    if (!good)
        abort(); /* a value out of its range was let through */

    wd_inventory v;
    wd_err err;
    wd_arena *a = wd_arena_create(256u << 20, false);
    if (a && (uint64_t)t->n_expert * t->n_layer <= 4096)
        (void)!wd_inventory_make(c, WD_EXPERTS_SEPARATE, a, &v, &err);
    wd_arena_destroy(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wd_model_config c;
    wd_err err;
    wd_log_set_level(WD_LOG_ERROR);
    if (!wd_config_parse(wd_span_of(data, size), "config.json", &c, &err))
        check(&c);
    if (wd_config_parse(WD_SPAN_LIT(base), "base", &c, &err))
        abort();
    if (!wd_config_parse_generation(wd_span_of(data, size), "generation_config.json", &c, &err))
        check(&c);
    return 0;
}
