/* Weights in memory before they are needed. A mapped checkpoint is paged in on first use and its pages may be taken back:
 * the first answer, and one after a quiet night, then wait for the disk. */
#ifndef WD_WEIGHTS_HOLD_H
#define WD_WEIGHTS_HOLD_H

#include <stdatomic.h>

#include "weights/weights.h"

typedef enum wd_hold {
    WD_HOLD_NOTHING,
    WD_HOLD_PRELOAD, /* read now; the system may still take pages back */
    WD_HOLD_LOCK,    /* read now and kept (mlock) until w is closed */
} wd_hold;

/* Every tensor as it now is: as mapped, unpacked or quantised (but not the few scales of FP8). *cancel is looked at between tensors; NULL: never.
 *
 *   WD_E_LIMIT       LOCK: more than the process may lock (ulimit -l); what was locked stays so
 *   WD_E_IO          a page cannot be read
 *   WD_E_CANCELLED   *cancel became true */
WD_MUST_CHECK wd_status wd_weights_hold(const wd_weights *w, wd_hold how, const atomic_bool *cancel,
                                        wd_err *err);

/* Bytes of all tensors as they now are (but for the scales of FP8): what a model of them reads. Those of GGUF files that were
 * not fetched are not counted. */
size_t wd_weights_bytes(const wd_weights *w);

#endif
