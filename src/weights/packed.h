/* GPTQ and AWQ checkpoints (spec sections 2.6, 2.7): words of packed integers become W4 or W8 when they are opened. */
#ifndef WD_WEIGHTS_PACKED_H
#define WD_WEIGHTS_PACKED_H

#include "base/pool.h"
#include "weights/config.h"
#include "weights/weights.h"

/* Replaces every X.qweight with its X.qzeros, X.scales and X.g_idx by one tensor X.weight, in memory that lives as long as
 * w. Does nothing when the configuration names neither format.
 *
 * 4 bits become W4 and 8 bits with a zero of 128 become W8, with the same values. What these cannot hold - inputs in the
 * order of their importance (g_idx), groups that are no multiple of 32, a zero of 16, other zeros of 8 bits - is
 * quantised again: in W8, with an error of at most half a 127th of the group's largest value (a zero of 16: in W4, for
 * that group). On failure w is only good for closing. The pool may be NULL.
 *   WD_E_NOT_FOUND, WD_E_INVALID   a part is missing or has another shape or dtype: names file and tensor */
WD_MUST_CHECK wd_status wd_weights_unpack(wd_weights *w, const wd_model_config *c, wd_pool *pool,
                                          wd_err *err);

#endif
