/* Rotary position embedding: frequencies (plain, YaRN) and the axis each one follows (interleaved MRoPE). */
#ifndef WD_MODEL_ROPE_H
#define WD_MODEL_ROPE_H

#include <stddef.h>
#include <stdint.h>

#include "weights/config.h"

#define WD_ROPE_PAIRS_MAX 256

typedef struct wd_rope {
    uint32_t n_pair;                   /* head_dim / 2 */
    float scale;                       /* of cos and sin: YaRN's attention factor, 1 without */
    float inv_freq[WD_ROPE_PAIRS_MAX]; /* [n_pair] */
    uint8_t axis[WD_ROPE_PAIRS_MAX];   /* [n_pair] 0 t, 1 h, 2 w */
} wd_rope;

/* head_dim is even and at most 2 * WD_ROPE_PAIRS_MAX. */
void wd_rope__init(wd_rope *r, const wd_rope_config *c, uint32_t head_dim);

/* cos, sin [n][n_pair] of tokens at positions pos[0] t, pos[1] h, pos[2] w, [n] each. */
void wd_rope__angles(const wd_rope *r, const int32_t *const pos[3], size_t n, float *cos, float *sin);

/* The tower's frequencies, 10000^(-2m / (head_dim / 2)) for m < head_dim / 4 (spec section 5.4). */
void wd_rope__init_axial(wd_rope *r, uint32_t head_dim);
/* cos, sin [2 * n_pair] of one patch: the row's angles, then the column's. */
void wd_rope__angles_axial(const wd_rope *r, uint32_t row, uint32_t col, float *cos, float *sin);

#endif
