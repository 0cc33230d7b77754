/* How a checkpoint wants its pixels: preprocessor_config.json, video_preprocessor_config.json, and the
 * processor_config.json that newer libraries write in their place.
 */
#ifndef WD_VISION_CONFIG_H
#define WD_VISION_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Pixel counts, not edge lengths, although the files call them shortest_edge and longest_edge. */
typedef struct wd_pixel_budget {
    uint64_t min_pixels; /* image: height * width; video: frames * height * width of the whole clip */
    uint64_t max_pixels;
} wd_pixel_budget;

/* Images of the official embedding and reranking wrappers (1800 tokens at most). */
#define WD_PIXEL_BUDGET_EMBED ((wd_pixel_budget){ .min_pixels = 4 * 1024, .max_pixels = 1800 * 1024 })

/* Cutting, scaling and colour of one kind of input. */
typedef struct wd_pixel_format {
    uint32_t patch_size;          /* 16: side of a patch                                       */
    uint32_t temporal_patch_size; /* 2: frames per patch                                       */
    uint32_t merge_size;          /* 2: patches per token and side                             */
    float mean[3], std[3];        /* R, G, B; of values scaled to 0..1                         */
    double rescale;               /* 1/255: pixel byte to value                                */
} wd_pixel_format;

typedef struct wd_vision_processor {
    wd_pixel_format image, video;
    wd_pixel_budget image_budget, video_budget;
    double fps;                      /* sampled frames per second of a video   */
    uint32_t min_frames, max_frames; /* of a clip                              */
    bool cap_frame_pixels;           /* bound every frame too, see vision/video.h */
    uint32_t max_frame_tokens;       /* that bound, in tokens                  */
} wd_vision_processor;

/* What the published Qwen3-VL checkpoints say: patches of 16, 64 to 16384 tokens per image, 2 frames/s, 4 to
 * 768 frames, mean and deviation 0.5. */
void wd_vision_processor_defaults(wd_vision_processor *p);

/* Reads dir: processor_config.json for the parts it holds, else the two older files; what no file says keeps
 * its default. "size" may be {shortest_edge, longest_edge} or {min_pixels, max_pixels}, and min_pixels and
 * max_pixels may stand beside it (then they win).
 * - WD_E_INVALID: a value of the wrong type or out of range; names file, key and value
 * - WD_E_UNSUPPORTED: another resampling than bicubic, or a step (resize, rescale, normalise) switched off
 * - WD_E_CORRUPT: a file that is no JSON
 * On failure *out is untouched. */
WD_MUST_CHECK wd_status wd_vision_processor_read(const char *dir, wd_vision_processor *out, wd_err *err);

/* Floats in one row of patches: 3 * temporal_patch_size * patch_size^2, 1536 as published. */
uint32_t wd_patch_row_len(const wd_pixel_format *f);

#endif
