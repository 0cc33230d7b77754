/* A video file for the engine's port. */
#include "care/video_file.h"

#include <unistd.h>

#include "base/file.h"
#include "media/video.h"

typedef struct video {
    const char *path;
    int fd;
    const atomic_bool *cancel;
    wd_video_info info;
} video;

static void close_video(void *arg)
{
    video *v = arg;
    wd_video_info_free(&v->info);
    if (v->fd >= 0)
        close(v->fd);
}

static wd_status video_frames(void *self, const uint64_t *index, uint32_t n,
                              wd_status (*on_frame)(void *ctx, uint32_t i, const wd_image *frame,
                                                    wd_err *err),
                              void *ctx, wd_err *err)
{
    const video *v = self;
    wd_video_limits limits = WD_VIDEO_LIMITS_DEFAULT;
    limits.cancel = v->cancel;
    return wd_video_frames(v->path, v->fd, &v->info, index, n, &limits, on_frame, ctx, err);
}

wd_status wd_video_file_open(const char *path, const atomic_bool *cancel, wd_arena *a, wd_video_source *out,
                             wd_err *err)
{
    uint64_t size;
    const int fd = wd_file_open_read(path, &size, err);
    return fd < 0 ? err->code : wd_video_file_take(path, fd, cancel, a, out, err);
}

wd_status wd_video_file_take(const char *path, int fd, const atomic_bool *cancel, wd_arena *a,
                             wd_video_source *out, wd_err *err)
{
    video *v = WD_NEW(a, video);
    if (!v) {
        close(fd);
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", path);
    }
    *v = (video){ .path = path, .fd = fd, .cancel = cancel };
    if (wd_arena_defer(a, close_video, v))
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", path);
    wd_video_limits limits = WD_VIDEO_LIMITS_DEFAULT;
    limits.cancel = cancel;
    WD_TRY(wd_video_probe(path, v->fd, &limits, &v->info, err));
    *out = (wd_video_source){ v->info.n_frame, v->info.fps, v->info.width, v->info.height, video_frames, v };
    return WD_OK;
}
