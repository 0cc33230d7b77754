/* What a forward pass cannot do without: the operations of its matrix products and the bytes it has to read, counted
 * from the model's shapes and the sizes of its tensors. Divided by the machine's limits it is the time below which no
 * program gets. Norms, rotations and activations are not counted; they are a small part. */
#ifndef WD_MODEL_COST_H
#define WD_MODEL_COST_H

#include "model/model.h"

typedef struct wd_cost {
    double linear_ops;             /* products with weights, a multiply-add counting two */
    double attn_ops;               /* queries with keys, weights with values */
    double weight_bytes, kv_bytes; /* read */
} wd_cost;

/* The bytes of a checkpoint by what they are for, as stored. */
typedef struct wd_cost_weights {
    double layers;   /* of the decoder, without experts: all of them for every token */
    double experts;  /* of all layers together */
    double head;     /* of the logits, where the embedding is the head too */
    double embd_row; /* of the embedding, one token's */
    double vision;
    wd_dtype layer_dtype, vision_dtype; /* of most of their bytes */
} wd_cost_weights;

void wd_cost_weigh(const wd_model_config *c, const wd_weights *w, wd_cost_weights *out);

/* Adds one pass over n new tokens, after `past` in the cache, of which the last n_out are read out, with logits or without.
 * kv_bytes: of one token in all layers. Weights count once, whatever the number of chunks; of the experts, as many as n
 * tokens touch on average when all are equally likely. */
void wd_cost_add_step(const wd_model_config *c, const wd_cost_weights *w, size_t n, size_t past, size_t n_out,
                      bool logits, double kv_bytes, wd_cost *io);
/* Adds one pass over one new token of each of n_seq sequences, all after `past`, all read out with logits. */
void wd_cost_add_batch(const wd_model_config *c, const wd_cost_weights *w, size_t n_seq, size_t past,
                       double kv_bytes, wd_cost *io);
/* Adds the tower's pass over grids of t, h, w patches. */
void wd_cost_add_see(const wd_model_config *c, const wd_cost_weights *w, const uint32_t (*grid)[3],
                     size_t n_grid, wd_cost *io);

#endif
