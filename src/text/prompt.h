/* From a rendered chat to token ids, with images and videos given their room. */
#ifndef WD_TEXT_PROMPT_H
#define WD_TEXT_PROMPT_H

#include "text/chat.h"

struct wd_tokenizer;

/* What the vision part found out about each image and video, in prompt order. */
typedef struct wd_prompt_video {
    uint32_t n_group;      /* temporal patches, >= 1 */
    uint32_t group_tokens; /* merged patches of one group, >= 1 */
    const double *time_s;  /* [n_group] mean time of the group's frames, >= 0 */
} wd_prompt_video;

typedef struct wd_prompt_media {
    const uint32_t *image_tokens; /* [n_image] merged patches, >= 1 */
    uint32_t n_image;
    const wd_prompt_video *video; /* [n_video] */
    uint32_t n_video;
} wd_prompt_media;

/* A run of pad tokens that features will replace, in token order: one per image, one per group of a video. */
typedef struct wd_prompt_place {
    bool video;
    uint32_t index;    /* which image or video */
    uint32_t group;    /* of the video */
    uint32_t first, n; /* tokens [first, first + n) */
} wd_prompt_place;

typedef struct wd_prompt {
    uint32_t *id; /* [n_id] */
    uint32_t n_id;
    wd_prompt_place *place; /* [n_place] */
    uint32_t n_place;
} wd_prompt;

/* Ids of the text. An image's placeholder becomes image_tokens[i] pads; a video's becomes, group after group,
 * "<1.5 seconds>" (time_s with one decimal), vision_start, pads, vision_end. media may be NULL when the text
 * has none. end_anchor: append what the tokenizer's post-processor appends (embedding checkpoints).
 *
 *   WD_E_INVALID   the number of images or videos is not the text's, or a count is 0, or a time is not a number
 *   WD_E_LIMIT     more than max_tokens ids (0: 2^31 - 1)
 *   WD_E_NOMEM     the arena is full
 */
WD_MUST_CHECK wd_status wd_prompt_encode(wd_arena *a, const struct wd_tokenizer *tok,
                                         const wd_chat_text *text, const wd_prompt_media *media,
                                         bool end_anchor, uint32_t max_tokens, wd_prompt *out, wd_err *err);

#endif
