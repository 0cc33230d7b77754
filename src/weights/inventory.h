/* Every tensor that an architecture has, by name and shape: what a checkpoint is compared with. */
#ifndef WD_WEIGHTS_INVENTORY_H
#define WD_WEIGHTS_INVENTORY_H

#include "base/arena.h"
#include "weights/weights.h"

/* How a mixture of experts is stored. */
typedef enum wd_expert_form {
    WD_EXPERTS_SEPARATE, /* mlp.experts.E.gate_proj.weight [n_ff_expert][n_embd], up_proj, down_proj */
    WD_EXPERTS_FUSED /* mlp.experts.gate_up_proj, down_proj: three dimensions, the last two in either order */
} wd_expert_form;

typedef struct wd_expected {
    const char *name; /* normal name */
    uint32_t n_dim;
    size_t dim[WD_TENSOR_DIMS]; /* as published */
    bool either_order;          /* the last two dimensions may be swapped */
} wd_expected;

typedef struct wd_inventory {
    wd_expected *tensor; /* text, head, vision; layers in order */
    size_t n;
    uint64_t text_params, vision_params; /* the head counts as text */
} wd_inventory;

/* The form that the checkpoint has; w NULL, or with neither: as published for the architecture. */
wd_expert_form wd_expert_form_of(const wd_model_config *c, const wd_weights *w);

/* The list lives in the arena. A tied head is not in it. */
WD_MUST_CHECK wd_status wd_inventory_make(const wd_model_config *c, wd_expert_form form, wd_arena *a,
                                          wd_inventory *out, wd_err *err);

typedef struct wd_inventory_diff {
    const wd_expected **missing;
    size_t n_missing;
    const wd_expected **misshaped; /* there, with another shape */
    size_t n_misshaped;
    const char *
        *extra; /* stored names; scales of FP8 weights are no extras, nor is a stored copy of a tied head */
    size_t n_extra;
} wd_inventory_diff;

WD_MUST_CHECK wd_status wd_inventory_compare(const wd_inventory *v, const wd_model_config *c,
                                             const wd_weights *w, wd_arena *a, wd_inventory_diff *out,
                                             wd_err *err);

/* What a loader calls: tensors that the architecture does not have are named in one warning, and are no error. */
WD_MUST_CHECK wd_status wd_inventory_warn_extra(const wd_model_config *c, const wd_weights *w, wd_err *err);

/* Bytes of keys and values that one token keeps in every layer, in bf16. */
uint64_t wd_kv_bytes_per_token(const wd_text_config *t);

#endif
