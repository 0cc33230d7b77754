/* The processor files of a checkpoint. */
#include "vision/config.h"

#include <math.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"

#define FILE_MAX (1u << 20)
#define PIXELS_MAX (INT64_C(1) << 40)
#define BICUBIC 3

static const wd_pixel_format published_format = {
    .patch_size = 16,
    .temporal_patch_size = 2,
    .merge_size = 2,
    .mean = { 0.5f, 0.5f, 0.5f },
    .std = { 0.5f, 0.5f, 0.5f },
    .rescale = 1.0 / 255,
};

void wd_vision_processor_defaults(wd_vision_processor *p)
{
    *p = (wd_vision_processor){
        .image = published_format,
        .video = published_format,
        .image_budget = { 65536, 16777216 },
        .video_budget = { 4096, 25165824 },
        .fps = 2,
        .min_frames = 4,
        .max_frames = 768,
        .max_frame_tokens = 768,
    };
}

static wd_status read_u32(const json_t *o, const char *where, const char *key, int64_t min, int64_t max,
                          uint32_t *v, wd_err *err)
{
    int64_t got;
    WD_TRY(wd_json_int(o, where, key, min, max, *v, &got, err));
    *v = (uint32_t)got;
    return WD_OK;
}

static wd_status read_u64(const json_t *o, const char *where, const char *key, int64_t min, int64_t max,
                          uint64_t *v, wd_err *err)
{
    int64_t got;
    WD_TRY(wd_json_int(o, where, key, min, max, (int64_t)*v, &got, err));
    *v = (uint64_t)got;
    return WD_OK;
}

/* Three numbers, or one for all three. */
static wd_status read_triple(const json_t *o, const char *where, const char *key, double min, double max,
                             float v[3], wd_err *err)
{
    const json_t *m = json_object_get(o, key);
    if (!m || json_is_null(m))
        return WD_OK;
    if (!json_is_number(m) && !(json_is_array(m) && json_array_size(m) == 3))
        return WD_FAIL(err, WD_E_INVALID, "%s: %s must be three numbers", where, key);
    for (size_t i = 0; i < 3; i++) {
        const json_t *e = json_is_array(m) ? json_array_get(m, i) : m;
        const double d = json_is_number(e) ? json_number_value(e) : NAN;
        if (!(d >= min && d <= max))
            return WD_FAIL(err, WD_E_INVALID, "%s: %s must be three numbers from %g to %g", where, key, min,
                           max);
        v[i] = (float)d;
    }
    return WD_OK;
}

static wd_status need_on(const json_t *o, const char *where, const char *key, wd_err *err)
{
    bool on;
    WD_TRY(wd_json_bool(o, where, key, true, &on, err));
    if (!on)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: %s is false; Ward always does this step", where, key);
    return WD_OK;
}

static wd_status read_budget(const json_t *o, const char *where, wd_pixel_budget *b, wd_err *err)
{
    json_t *size = NULL;
    WD_TRY(wd_json_obj(o, where, "size", &size, err));
    if (size) {
        char sub[256];
        snprintf(sub, sizeof sub, "%s: size", where);
        if (json_object_get(size, "height") || json_object_get(size, "width"))
            return WD_FAIL(err, WD_E_UNSUPPORTED, "%s is a fixed height and width; two pixel counts expected",
                           sub);
        WD_TRY(read_u64(size, sub, "shortest_edge", 1, PIXELS_MAX, &b->min_pixels, err));
        WD_TRY(read_u64(size, sub, "longest_edge", 1, PIXELS_MAX, &b->max_pixels, err));
        WD_TRY(read_u64(size, sub, "min_pixels", 1, PIXELS_MAX, &b->min_pixels, err));
        WD_TRY(read_u64(size, sub, "max_pixels", 1, PIXELS_MAX, &b->max_pixels, err));
    }
    WD_TRY(read_u64(o, where, "min_pixels", 1, PIXELS_MAX, &b->min_pixels, err));
    WD_TRY(read_u64(o, where, "max_pixels", 1, PIXELS_MAX, &b->max_pixels, err));
    if (b->min_pixels > b->max_pixels)
        return WD_FAIL(err, WD_E_INVALID, "%s: at least %llu pixels but at most %llu", where,
                       (unsigned long long)b->min_pixels, (unsigned long long)b->max_pixels);
    return WD_OK;
}

/* What images and videos have in common. */
static wd_status read_format(const json_t *o, const char *where, wd_pixel_format *f, wd_pixel_budget *b,
                             wd_err *err)
{
    int64_t resample;
    WD_TRY(need_on(o, where, "do_resize", err));
    WD_TRY(need_on(o, where, "do_rescale", err));
    WD_TRY(need_on(o, where, "do_normalize", err));
    WD_TRY(wd_json_int(o, where, "resample", 0, 100, BICUBIC, &resample, err));
    if (resample != BICUBIC)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: resample is %lld; only %d (bicubic) is done", where,
                       (long long)resample, BICUBIC);
    WD_TRY(read_u32(o, where, "patch_size", 1, 64, &f->patch_size, err));
    WD_TRY(read_u32(o, where, "temporal_patch_size", 1, 8, &f->temporal_patch_size, err));
    WD_TRY(read_u32(o, where, "merge_size", 1, 8, &f->merge_size, err));
    WD_TRY(read_triple(o, where, "image_mean", -100, 100, f->mean, err));
    WD_TRY(read_triple(o, where, "image_std", 1e-3, 100, f->std, err));
    WD_TRY(wd_json_num(o, where, "rescale_factor", 1e-6, 1, f->rescale, &f->rescale, err));
    return read_budget(o, where, b, err);
}

static wd_status read_video(const json_t *o, const char *where, wd_vision_processor *p, wd_err *err)
{
    WD_TRY(read_format(o, where, &p->video, &p->video_budget, err));
    WD_TRY(wd_json_num(o, where, "fps", 1e-3, 1000, p->fps, &p->fps, err));
    WD_TRY(read_u32(o, where, "min_frames", 1, 1 << 20, &p->min_frames, err));
    WD_TRY(read_u32(o, where, "max_frames", 1, 1 << 20, &p->max_frames, err));
    WD_TRY(read_u32(o, where, "max_video_tokens", 1, 1 << 20, &p->max_frame_tokens, err));
    WD_TRY(wd_json_bool(o, where, "cap_pixels_per_frame", p->cap_frame_pixels, &p->cap_frame_pixels, err));
    if (p->min_frames > p->max_frames)
        return WD_FAIL(err, WD_E_INVALID, "%s: min_frames %u is more than max_frames %u", where,
                       p->min_frames, p->max_frames);
    return WD_OK;
}

/* dir/name when it exists; *doc NULL otherwise. *path in the arena. */
static wd_status load(wd_arena *a, const char *dir, const char *name, json_t **doc, wd_err *err)
{
    *doc = NULL;
    const char *path = wd_path_join(a, dir, name);
    if (!path)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", name);
    if (!wd_file_exists(path))
        return WD_OK;
    WD_TRY(wd_json_read_file(path, FILE_MAX, doc, err));
    if (!json_is_object(*doc))
        return WD_FAIL(err, WD_E_INVALID, "%s: a JSON object expected", path);
    return WD_OK;
}

static wd_status check_same(const wd_vision_processor *p, wd_err *err)
{
    const wd_pixel_format *i = &p->image, *v = &p->video;
    if (i->patch_size != v->patch_size || i->merge_size != v->merge_size ||
        i->temporal_patch_size != v->temporal_patch_size)
        return WD_FAIL(
            err, WD_E_INVALID,
            "processor: images are cut by %u x %u x %u (patch, merge, frames) and videos by %u x %u x %u; "
            "one vision tower needs both the same",
            i->patch_size, i->merge_size, i->temporal_patch_size, v->patch_size, v->merge_size,
            v->temporal_patch_size);
    return WD_OK;
}

wd_status wd_vision_processor_read(const char *dir, wd_vision_processor *out, wd_err *err)
{
    wd_vision_processor p;
    json_t *both = NULL, *image_file = NULL, *video_file = NULL, *image = NULL, *video = NULL;
    wd_status st;
    wd_arena *a = wd_arena_create(1 << 20, false);
    if (!a)
        return WD_FAIL(err, WD_E_NOMEM, "processor files: no memory");

    wd_vision_processor_defaults(&p);
    if ((st = load(a, dir, "processor_config.json", &both, err)))
        goto out;
    if (both && ((st = wd_json_obj(both, "processor_config.json", "image_processor", &image, err)) ||
                 (st = wd_json_obj(both, "processor_config.json", "video_processor", &video, err))))
        goto out;
    const char *image_name = "processor_config.json: image_processor";
    const char *video_name = "processor_config.json: video_processor";
    if (!image) {
        image_name = "preprocessor_config.json";
        if ((st = load(a, dir, image_name, &image_file, err)))
            goto out;
        image = image_file;
    }
    if (!video) {
        video_name = "video_preprocessor_config.json";
        if ((st = load(a, dir, video_name, &video_file, err)))
            goto out;
        video = video_file;
    }
    if (image && (st = read_format(image, image_name, &p.image, &p.image_budget, err)))
        goto out;
    if (video && (st = read_video(video, video_name, &p, err)))
        goto out;
    if ((st = check_same(&p, err)))
        goto out;
    *out = p;
out:
    json_decref(both);
    json_decref(image_file);
    json_decref(video_file);
    wd_arena_destroy(a);
    return st;
}
