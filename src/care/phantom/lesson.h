/* Synthetic patient-education videos: a title card, three to six steps, sometimes a word to know; pictograms, cartoon
 * faces that move a little, hard cuts, dissolves and fades through black. 20 to 60 s at 10 frames per second, 256 x 144
 * or 320 x 180. All of it invented, drawn from the seed; the same seed gives the same bytes.
 *
 * Language by the seed: odd English, even Chinese.
 */
#ifndef WD_CARE_PHANTOM_LESSON_H
#define WD_CARE_PHANTOM_LESSON_H

#include <stdint.h>

#include "base/err.h"

/* Writes dir/video.mp4 and dir/truth.json (dir is created):
 *   {"kind": "lesson", "seed", "language": "en" | "zh", "topic", "title", "width", "height", "fps", "n_frame",
 *    "steps": [{"n", "title", "start_s", "end_s", "text"}],      text: all that is written on the step's card, by line
 *    "terms": [{"term", "meaning"}],                             those that the video shows
 *    "cards": [{"kind": "title" | "step" | "term", "start_s", "end_s"}],
 *    "faces": [{"frame", "box": [x1, y1, x2, y2]}],              pixels, for every frame that shows one
 *    "summary"}
 * A card begins at its first frame, or half way through its fade.
 *   WD_E_NOT_FOUND  a font is missing (phantom/lettering.h) */
WD_MUST_CHECK wd_status wd_phantom_lesson(const char *dir, uint64_t seed, wd_err *err);

#endif
