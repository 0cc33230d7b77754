/* A video file as the engine's port asks for frames (engine/engine.h); what it holds is decoded in the sandbox. */
#ifndef WD_CARE_VIDEO_FILE_H
#define WD_CARE_VIDEO_FILE_H

#include "base/arena.h"
#include "engine/engine.h"

/* Opens it until the arena is reset. cancel may be NULL. Errors as wd_video_probe (media/video.h). */
WD_MUST_CHECK wd_status wd_video_file_open(const char *path, const atomic_bool *cancel, wd_arena *a,
                                           wd_video_source *out, wd_err *err);
/* The same of one that is open already, and is closed with the arena, or on failure. `what` names it in errors and must
 * live as long. */
WD_MUST_CHECK wd_status wd_video_file_take(const char *what, int fd, const atomic_bool *cancel, wd_arena *a,
                                           wd_video_source *out, wd_err *err);

#endif
