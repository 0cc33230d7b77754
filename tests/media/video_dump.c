/* Decodes a video through the sandbox and prints what it holds and digests of frames, one JSON object a line. For
 * tools/compare/videos.py.
 *
 *   video_dump FILE all            every frame
 *   video_dump FILE none           what it holds only
 *   video_dump FILE 0 17 33 ...    these frames
 *   video_dump FILE plan           the frames that a model is shown, resized on arrival; digest of the clip
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"
#include "media/video.h"
#include "vision/video.h"

static void print_digest(const char *name, const void *p, size_t n)
{
    wd_digest d;
    char hex[65];
    wd_digest_of(wd_span_of(p, n), &d);
    wd_digest_hex(&d, hex);
    printf("\"%s\": \"%s\"", name, hex);
}

static wd_status print_frame(void *ctx, uint32_t i, const wd_image *im, wd_err *err)
{
    const uint64_t *index = ctx;
    const char *dir = getenv("VIDEO_DUMP_FRAMES"); /* raw frames for a closer look */
    (void)err;
    printf("{\"frame\": %llu, \"width\": %u, \"height\": %u, ", (unsigned long long)index[i], im->width,
           im->height);
    print_digest("rgb", im->rgb, (size_t)im->width * im->height * 3);
    printf("}\n");
    if (dir) {
        char path[512];
        snprintf(path, sizeof path, "%s/%llu.rgb", dir, (unsigned long long)index[i]);
        FILE *f = fopen(path, "wb");
        if (f) {
            fwrite(im->rgb, 3, (size_t)im->width * im->height, f);
            fclose(f);
        }
    }
    return WD_OK;
}

static wd_status add_frame(void *ctx, uint32_t i, const wd_image *im, wd_err *err)
{
    (void)i;
    return wd_clip_add(ctx, im, err);
}

static wd_status print_plan(const char *path, int fd, const wd_video_info *info, wd_err *err)
{
    wd_vision_processor p;
    wd_video_plan plan = { 0 };
    wd_visual v = { 0 };
    wd_clip clip;

    wd_vision_processor_defaults(&p);
    WD_TRY(wd_video_plan_make(&p, NULL, info->n_frame, info->fps, (wd_size){ info->height, info->width },
                              &plan, err));
    wd_status st = wd_clip_begin(&clip, &p, &plan, &v, err);
    const double t0 = wd_clock_s();
    if (!st)
        st = wd_video_frames(path, fd, info, plan.index, plan.n_frame, NULL, add_frame, &clip, err);
    if (!st)
        st = wd_clip_end(&clip, err);
    if (!st) {
        printf("{\"chosen\": %u, \"width\": %u, \"height\": %u, \"groups\": %u, \"seconds\": %.3f, ",
               plan.n_frame, plan.size.width, plan.size.height, plan.n_group, wd_clock_s() - t0);
        print_digest("clip", v.rgb, (size_t)v.n_frame * v.width * v.height * 3);
        printf("}\n");
    }
    wd_visual_free(&v);
    wd_video_plan_free(&plan);
    return st;
}

static wd_status dump(const char *path, int n_arg, char **arg, wd_err *err)
{
    wd_video_info info = { 0 };
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: cannot be opened", path);
    const double t0 = wd_clock_s();
    wd_status st = wd_video_probe(path, fd, NULL, &info, err);
    if (!st)
        printf("{\"n_frame\": %llu, \"fps\": %.17g, \"duration_s\": %.6f, \"width\": %u, \"height\": %u, "
               "\"quarter_turns\": %u, \"mirrored\": %s, \"seekable\": %s, \"codec\": \"%s\", \"container\": "
               "\"%s\", "
               "\"seconds\": %.3f}\n",
               (unsigned long long)info.n_frame, info.fps, info.duration_s, info.width, info.height,
               info.quarter_turns, info.mirrored ? "true" : "false", info.seekable ? "true" : "false",
               info.codec, info.container, wd_clock_s() - t0);
    if (!st && !strcmp(arg[0], "plan")) {
        st = print_plan(path, fd, &info, err);
    } else if (!st && strcmp(arg[0], "none") != 0) {
        const bool all = !strcmp(arg[0], "all");
        const uint32_t n = all ? (uint32_t)info.n_frame : (uint32_t)n_arg;
        uint64_t *index = WD_ALLOC_N(uint64_t, n);
        for (uint32_t i = 0; i < n; i++)
            index[i] = all ? i : strtoull(arg[i], NULL, 10);
        st = wd_video_frames(path, fd, &info, index, n, NULL, print_frame, index, err);
        wd_free(index);
    }
    wd_video_info_free(&info);
    close(fd);
    return st;
}

int main(int argc, char **argv)
{
    wd_err err = { 0 };
    if (argc < 3) {
        fprintf(stderr, "video_dump FILE all|none|plan|INDEX...\n");
        return 2;
    }
    wd_status st = wd_sandbox_start(&err);
    if (!st)
        st = dump(argv[1], argc - 2, argv + 2, &err);
    wd_sandbox_stop();
    if (st)
        printf("{\"error\": \"%s\", \"text\": \"%s\"}\n", wd_status_name(st), err.text);
    return st ? wd_status_exit(st) : 0;
}
