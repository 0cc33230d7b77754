#include "rig.h"

#include <stdio.h>

#include "base/rand.h"

void rig_open_opts(rig *r, const char *name, uint32_t max_rows, wd_local_opts o)
{
    char dir[1024];
    *r = (rig){ 0 };
    snprintf(dir, sizeof dir, "%s/%s", GOLDEN_CHECKPOINTS, name);
    assert_ok(wd_config_read(dir, &r->cfg, &err));
    assert_ok(wd_weights_open(dir, &r->weights, &err));
    assert_ok(wd_tokenizer_open(dir, &r->tok, &err));
    assert_ok(wd_cpu_ops_create(&(wd_cpu_opts){ .isa = wd_isa_detect() }, &r->ops, &err));
    const wd_model_opts mo = { .max_rows = max_rows ? max_rows : 16 };
    assert_ok(wd_model_open(r->weights, &r->cfg, &mo, r->ops, &r->model, &err));
    o.model = r->model;
    o.tokenizer = r->tok;
    o.backend = r->ops->name;
    o.chat_kind = r->cfg.has_vision ? WD_CHAT_QWEN3_VL_INSTRUCT : WD_CHAT_QWEN3;
    wd_vision_processor_defaults(&o.processor);
    o.processor.image_budget = (wd_pixel_budget){ .min_pixels = 4 * 1024, .max_pixels = 24 * 1024 };
    assert_ok(wd_local_create(&o, &r->engine, &err));
    r->arena = wd_arena_create((size_t)1 << 30, false);
}

void rig_open_with(rig *r, const char *name, uint32_t context, wd_lookup_choice lookup)
{
    rig_open_opts(r, name, 0, (wd_local_opts){ .context = context, .lookup = lookup });
}

void rig_open(rig *r, const char *name, uint32_t context)
{
    rig_open_with(r, name, context, WD_LOOKUP_AUTO);
}

void rig_close(rig *r)
{
    wd_engine_destroy(r->engine);
    wd_model_close(r->model);
    wd_ops_destroy(r->ops);
    wd_tokenizer_close(r->tok);
    wd_weights_close(r->weights);
    wd_arena_destroy(r->arena);
}

void ask_init(ask *q, const wd_image *image, uint32_t n_image, const char *const *text, size_t n)
{
    *q = (ask){ .rq = { .sample = WD_SAMPLE_OPTS_DEFAULT, .max_tokens = 12, .ignore_stop_ids = true } };
    size_t part = 0;
    for (size_t m = 0; m < n; m++) {
        q->message[m] = (wd_message){ .role = m % 2 ? WD_ROLE_ASSISTANT : WD_ROLE_USER,
                                      .part = &q->part[part] };
        for (uint32_t i = 0; m == 0 && i < n_image; i++)
            q->part[part++].kind = WD_PART_IMAGE;
        q->part[part++] = (wd_part){ WD_PART_TEXT, wd_span_str(text[m]) };
        q->message[m].n_part = (size_t)(&q->part[part] - q->message[m].part);
        q->message[m].is_list = m == 0 && n_image;
    }
    q->rq.chat.message = q->message;
    q->rq.chat.n_message = n;
    q->rq.media = (wd_media){ .image = image, .n_image = n_image };
    q->rq.sample.temperature = 0;
}

wd_generated go(rig *r, ask *q)
{
    wd_generated g;
    assert_ok(r->engine->generate(r->engine->self, r->arena, &q->rq, &g, &err));
    wd_parsed_free(&g.reply);
    return g;
}

void noise(wd_image *im, uint32_t w, uint32_t h, uint64_t seed)
{
    wd_rand rnd;
    wd_rand_init(&rnd, seed);
    assert_ok(wd_image_init(im, w, h, &err));
    for (size_t i = 0; i < (size_t)w * h * 3; i++)
        im->rgb[i] = (uint8_t)wd_rand_u64(&rnd);
}

void assert_same_tokens(const wd_generated *a, const wd_generated *b)
{
    assert_int_equal(a->n_id, b->n_id);
    assert_memory_equal(a->id, b->id, a->n_id * sizeof *a->id);
}
