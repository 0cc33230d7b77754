/* Images and videos of the command line. */
#include "cli/inputs.h"

#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "care/slices.h"
#include "care/video_file.h"
#include "media/image.h"

/* An image of the list being built; grows in the arena by copying. */
typedef struct images {
    wd_arena *arena;
    wd_image *v;
    const char **name;
    uint32_t n, cap;
} images;

static wd_status add(images *l, wd_image im, const char *name, wd_err *err)
{
    if (l->n == l->cap) {
        const uint32_t cap = l->cap ? l->cap * 2 : 8;
        wd_image *v = WD_NEW_N(l->arena, wd_image, cap);
        const char **names = WD_NEW_N(l->arena, const char *, cap);
        if (!v || !names)
            return WD_FAIL(err, WD_E_NOMEM, "images: no memory");
        if (l->n) {
            memcpy(v, l->v, l->n * sizeof *v);
            memcpy(names, l->name, l->n * sizeof *names);
        }
        l->v = v;
        l->name = names;
        l->cap = cap;
    }
    l->v[l->n] = im;
    l->name[l->n++] = name;
    return WD_OK;
}

/* A picture by its first bytes; everything else is left to the study reader. */
static bool is_picture(const char *path)
{
    uint64_t size;
    wd_err ignored;
    const int fd = wd_file_is_dir(path) ? -1 : wd_file_open_read(path, &size, &ignored);
    uint8_t head[16];
    const ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof head);
    if (fd >= 0)
        close(fd);
    return n > 0 && wd_image_kind_of(wd_span_of(head, (size_t)n)) != WD_IMAGE_KIND_UNKNOWN;
}

static void free_image(void *arg)
{
    wd_image_free(arg);
}

static wd_status add_picture(images *l, const char *path, wd_err *err)
{
    wd_image *im = WD_NEW(l->arena, wd_image); /* in the arena: freed with it */
    if (!im)
        return WD_FAIL(err, WD_E_NOMEM, "images: no memory");
    const wd_image_opts o = { .cancel = &wd_cli_cancelled };
    WD_TRY(wd_image_open(path, &o, im, err));
    if (wd_arena_defer(l->arena, free_image, im))
        return WD_FAIL(err, WD_E_NOMEM, "images: no memory");
    return add(l, *im, path, err);
}

static void close_study(void *arg)
{
    wd_study_close(arg);
}

static wd_status add_study(images *l, const char *path, const char *window, uint32_t n_slice, wd_err *err)
{
    wd_study_opts so = WD_STUDY_OPTS_DEFAULT;
    so.cancel = &wd_cli_cancelled;
    wd_study *study;
    WD_TRY(wd_study_open(&path, 1, &so, &study, err));
    if (wd_arena_defer(l->arena, close_study, study))
        return WD_FAIL(err, WD_E_NOMEM, "images: no memory");
    const wd_slices_opts o = { .n_slice = n_slice, .windows = window, .cancel = &wd_cli_cancelled };
    wd_slices s;
    WD_TRY(wd_slices_pick(study, &o, l->arena, &s, err));
    for (uint32_t i = 0; i < s.n_picture; i++)
        WD_TRY(add(l, s.picture[i].image, s.picture[i].info->source, err));
    return WD_OK;
}

wd_status wd_inputs_open(wd_cli *cli, const wd_opt_list *image_paths, const wd_opt_list *video_paths,
                         const char *window, uint32_t n_slice, wd_inputs *out, wd_err *err)
{
    images l = { .arena = cli->arena };
    for (size_t i = 0; i < image_paths->n; i++) {
        const char *path = image_paths->v[i];
        WD_TRY(is_picture(path) ? add_picture(&l, path, err) : add_study(&l, path, window, n_slice, err));
    }
    wd_video_source *videos = WD_NEW_N(cli->arena, wd_video_source, video_paths->n);
    if (!videos)
        return WD_FAIL(err, WD_E_NOMEM, "videos: no memory");
    for (size_t i = 0; i < video_paths->n; i++)
        WD_TRY(wd_video_file_open(video_paths->v[i], &wd_cli_cancelled, cli->arena, &videos[i], err));
    *out = (wd_inputs){ { l.v, l.n, videos, (uint32_t)video_paths->n }, l.name };
    return WD_OK;
}
