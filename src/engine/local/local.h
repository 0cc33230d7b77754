/* The engine in this process. Calls from many threads run together, as one batch (sched.c).
 *
 * What was computed is kept while there is room: a call of the same tenant that begins with the same tokens (and the same
 * images) computes only what is new, to the same bits.
 */
#ifndef WD_ENGINE_LOCAL_LOCAL_H
#define WD_ENGINE_LOCAL_LOCAL_H

#include "engine/engine.h"
#include "engine/local/share.h"
#include "model/model.h"
#include "text/tokenizer.h"
#include "vision/config.h"
#include "vision/video.h"

/* How keys and values are kept: AUTO is f32 for an F32 checkpoint, bf16 for the others. */
typedef enum wd_kv_choice { WD_KV_AUTO, WD_KV_BF16, WD_KV_F32, WD_KV_INT8 } wd_kv_choice;

/* Prompt look-up (lookup.c): the same tokens, sooner where replies repeat what stands before. AUTO: while it pays. */
typedef enum wd_lookup_choice { WD_LOOKUP_AUTO, WD_LOOKUP_OFF, WD_LOOKUP_ALWAYS } wd_lookup_choice;

typedef struct wd_local_opts {
    wd_model *model; /* borrowed, as all below */
    const wd_tokenizer *tokenizer;
    wd_chat_kind chat_kind;
    wd_vision_processor processor; /* ignored for a model without eyes */
    wd_video_opts video;           /* {0}: the processor's */
    uint32_t context;              /* most tokens of prompt and reply, 0: the model's */
    wd_kv_choice kv;
    wd_lookup_choice lookup;
    bool exact;          /* the model's operators are WD_PRECISION_EXACT: logits are not taken for bf16 */
    const char *backend; /* name of the operators, for messages */
    wd_share
        *share; /* with other engines: models and operators of both are used in turns; NULL: there are none */

    uint32_t max_seqs;    /* calls computed together at most; 0: 32, or as many as a step has rows */
    uint32_t max_waiting; /* calls beyond those that may wait, others are WD_E_BUSY; 0: 256 */
    /* Prompt tokens of a step that others wait for: as many as let a step with replies take about step_ms (pace.h; 0: 150),
     * and 128 where only other tenants' prompts wait; or mixed_rows, whatever they take (0: step_ms rules). */
    uint32_t step_ms, mixed_rows;
    size_t kv_bytes; /* for keys and values, cached ones included; 0: no limit for those that calls need */
    size_t
        kv_auto_bytes; /* where kv_bytes is 0: what max_seqs whole contexts take, at most this; 0: no limit */
    size_t prefix_bytes;  /* of them cached; 0: 1 GiB, or the latest call if that is more */
    size_t image_bytes;   /* for features of images; 0: 256 MiB */
    uint32_t look_tokens; /* visual tokens in the tower at a time, one image at least; 0: 1024 */
} wd_local_opts;

WD_MUST_CHECK wd_status wd_local_create(const wd_local_opts *o, wd_engine **out, wd_err *err);

/* The most that it will hold, its model's weights and workspace not counted. kv is 0 without a limit. */
wd_share_need wd_local_need(const wd_engine *e);

/* How such an engine keeps keys and values; valid as long as it. */
const wd_kv_opts *wd_local_kv(const wd_engine *e);

#endif
