/* The parameters of a model as the forward passes use them, and its workspace. Only for src/model. */
#ifndef WD_MODEL_PARAMS_H
#define WD_MODEL_PARAMS_H

#include "model/model.h"
#include "model/rope.h"

/* y += (scale * x aT) bT */
typedef struct wd_adapter {
    wd_linear a, b; /* [rank][n_in], [n_out][rank] */
    size_t rank;
    float scale;
} wd_adapter;

/* A projection with its adapters. */
typedef struct wd_proj {
    wd_linear lin;
    wd_adapter *adapter; /* [n_adapter] */
    uint32_t n_adapter;
} wd_proj;

typedef struct wd_norm {
    wd_tensor w, b; /* b absent for an RMSNorm */
} wd_norm;

typedef struct wd_mlp {
    wd_proj gate, up; /* [n_ff][n_embd] */
    wd_proj down;     /* [n_embd][n_ff] */
} wd_mlp;

/* One expert: gate and up as one product where the checkpoint stores them so. */
typedef struct wd_expert {
    wd_linear gate_up; /* fused: 2 * n_ff_expert outputs, the gate's first */
    wd_mlp mlp;        /* not fused: all three; fused: down only */
} wd_expert;

typedef struct wd_moe {
    wd_linear router;  /* [n_expert][n_embd] */
    wd_expert *expert; /* [n_expert] */
    bool fused;
} wd_moe;

typedef struct wd_layer {
    wd_norm attn_norm, mlp_norm;
    wd_proj q, k, v, o;
    wd_norm q_norm, k_norm;
    wd_mlp mlp; /* dense layers */
    wd_moe moe; /* sparse layers */
    bool sparse;
} wd_layer;

typedef struct wd_decoder {
    wd_tensor embd;  /* [n_vocab][n_embd] */
    wd_layer *layer; /* [n_layer] */
    wd_norm norm;
    wd_linear head; /* [n_vocab][n_embd]; the embedding itself when tied */
    wd_rope rope;
} wd_decoder;

typedef struct wd_vit_block {
    wd_norm norm1, norm2;
    wd_linear qkv, proj, fc1, fc2;
} wd_vit_block;

typedef struct wd_merger {
    wd_norm norm; /* of n_embd values, or of merge^2 * n_embd in a DeepStack merger */
    wd_linear fc1, fc2;
} wd_merger;

typedef struct wd_tower {
    wd_linear patch; /* [n_embd][3 * temporal_patch_size * patch_size^2] */
    wd_tensor pos;   /* [side * side][n_embd] */
    uint32_t side;
    wd_vit_block *block; /* [depth] */
    wd_merger merger, deepstack[WD_MAX_DEEPSTACK];
    wd_rope rope;
    bool qkv_fp8;      /* some block's, with scales */
    size_t qkv_floats; /* the most for the queries, keys and values of a large image */
} wd_tower;

/* The decoder's workspace: every field has max_rows rows. */
typedef struct wd_work {
    float *block; /* what all the others are parts of */
    size_t n_float;
    float *x;                /* [n_embd] the residual stream */
    float *norm;             /* [n_embd] */
    float *q, *attn;         /* [n_head * head_dim] */
    float *k, *v;            /* [n_kv_head * head_dim] */
    float *gate, *up;        /* [n_ff] */
    float *cos, *sin;        /* [head_dim / 2] */
    float *lora;             /* [largest rank] */
    float *probs;            /* [n_expert] */
    float *top_p;            /* [n_expert_used] */
    float *ex_out;           /* [n_embd] rows of a few experts */
    float *ex_ff;            /* [2 * n_ff_expert] */
    float *ex_act;           /* [n_ff_expert] */
    float *ex_weight;        /* [n_expert_used] */
    wd_linear_args *ex_map;  /* [2 * n_expert], not rows */
    uint32_t *top_i;         /* [n_expert_used] */
    uint32_t *order;         /* [n_expert_used] places in top_i, grouped by expert; then their rows */
    uint32_t *start;         /* n_expert + 1, not rows: where each expert's group begins in order */
    int32_t *pos;            /* [1] */
    struct wd_pass_seq *seq; /* [1] */
} wd_work;

struct wd_model {
    wd_model_config cfg;
    wd_ops *ops;
    uint32_t max_rows;
    size_t max_rank;
    size_t n_ff_dense; /* n_ff, or 0 when every layer is sparse */
    wd_decoder text;
    wd_tower *tower; /* NULL: none */
    wd_work work;
};

#endif
