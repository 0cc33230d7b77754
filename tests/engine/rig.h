/* The local engine on a golden checkpoint, and requests for it. */
#ifndef WD_TESTS_ENGINE_RIG_H
#define WD_TESTS_ENGINE_RIG_H

#include "support/test.h"

#include "engine/local/local.h"
#include "weights/weights.h"

typedef struct rig {
    wd_weights *weights;
    wd_model_config cfg;
    wd_tokenizer *tok;
    wd_ops *ops;
    wd_model *model;
    wd_engine *engine;
    wd_arena *arena;
} rig;

/* max_rows 0: 16. o: what is not the model's own; small images in any case. */
void rig_open_opts(rig *r, const char *name, uint32_t max_rows, wd_local_opts o);
void rig_open_with(rig *r, const char *name, uint32_t context, wd_lookup_choice lookup);
void rig_open(rig *r, const char *name, uint32_t context);
void rig_close(rig *r);

/* A request of up to three messages, user first, with images before the first text. */
typedef struct ask {
    wd_message message[3];
    wd_part part[8];
    wd_generate rq;
} ask;

/* Greedy, 12 tokens, end tokens ignored. */
void ask_init(ask *q, const wd_image *image, uint32_t n_image, const char *const *text, size_t n);
/* In the rig's arena; the reply's text is dropped. */
wd_generated go(rig *r, ask *q);
void noise(wd_image *im, uint32_t w, uint32_t h, uint64_t seed);
void assert_same_tokens(const wd_generated *a, const wd_generated *b);

#endif
