/* Points from models and files. */
#include "care/rehab_pose.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "care/reply.h"

#define SCALE 1000.0 /* a model's units across a side */
#define POSE_FILE_MAX ((size_t)64 << 20)
#define REPLY_ITEMS_MAX 200u

/* ---- replies ---- */

/* [x, y] with both from 0 to 1000. */
static bool take_pair(const json_t *v, double *x, double *y)
{
    const json_t *a = json_array_get(v, 0), *b = json_array_get(v, 1);
    if (json_array_size(v) != 2 || !json_is_number(a) || !json_is_number(b))
        return false;
    *x = json_number_value(a);
    *y = json_number_value(b);
    return *x >= 0 && *x <= SCALE && *y >= 0 && *y <= SCALE;
}

static void take_point(const char *name, const json_t *at, uint32_t width, uint32_t height,
                       wd_pose_point *out)
{
    const wd_joint j = wd_joint_of(name);
    double x, y;
    if (j != WD_N_JOINT && out[j].confidence == 0 && take_pair(at, &x, &y)) /* the first one counts */
        out[j] = (wd_pose_point){ x / SCALE * width, y / SCALE * height, 1 };
}

uint32_t wd_pose_parse(wd_span reply, uint32_t width, uint32_t height, wd_pose_point out[WD_N_JOINT])
{
    json_t *v = wd_reply_json(reply, "[{", NULL);
    uint32_t n = 0;
    memset(out, 0, WD_N_JOINT * sizeof *out);
    if (json_is_object(v)) {
        const char *key;
        json_t *at;
        json_object_foreach(v, key, at) take_point(key, at, width, height, out);
    }
    for (size_t i = 0; json_is_array(v) && i < WD_MIN(json_array_size(v), REPLY_ITEMS_MAX); i++) {
        const json_t *item = json_array_get(v, i), *label = json_object_get(item, "label");
        if (json_is_string(label))
            take_point(json_string_value(label), json_object_get(item, "point_2d"), width, height, out);
    }
    json_decref(v);
    for (int j = 0; j < WD_N_JOINT; j++)
        n += out[j].confidence > 0;
    return n;
}

static long unit(double v, uint32_t side)
{
    return lround(fmin(fmax(v / side * SCALE, 0), SCALE));
}

void wd_pose_reply(const wd_pose_point p[WD_N_JOINT], uint32_t width, uint32_t height, wd_buf *out)
{
    const char *gap = "{";
    for (int j = 0; j < WD_N_JOINT; j++) {
        if (p[j].confidence <= 0)
            continue;
        wd_buf_printf(out, "%s\"%s\": [%ld, %ld]", gap, wd_joint_name((wd_joint)j), unit(p[j].x, width),
                      unit(p[j].y, height));
        gap = ", ";
    }
    wd_buf_str(out, *gap == '{' ? "{}" : "}");
}

/* ---- the model ---- */

static wd_status ask(void *self, const wd_image *im, uint64_t frame, wd_pose_point out[WD_N_JOINT],
                     wd_err *err)
{
    wd_pose_model *m = self;
    const wd_ask_opts o = { .max_tokens = m->max_tokens, .language = "en", .watch = { .cancel = m->cancel } };
    const wd_media media = { .image = im, .n_image = 1 };
    wd_prompt_file f;
    wd_origin origin;
    const char *text;
    (void)frame;
    wd_arena *a = wd_arena_create((size_t)1 << 30, true); /* per picture: its patches go at once */
    if (!a)
        return WD_FAIL(err, WD_E_NOMEM, "pose: no memory");
    wd_status st = wd_prompt_file_read(m->prompt_path, a, &f, err);
    if (!st) {
        const wd_part part[2] = { { .kind = WD_PART_IMAGE }, { WD_PART_TEXT, f.user } };
        const wd_message message = { .role = WD_ROLE_USER, .part = part, .n_part = 2, .is_list = true };
        wd_origin_begin(&origin, m->engine, &o, &f);
        st = wd_ask_text(m->engine, &o, f.system, &message, &media, a, &origin, &text, err);
    }
    if (!st) {
        const uint32_t n = wd_pose_parse(wd_span_str(text), im->width, im->height, out);
        m->n_asked++;
        m->n_unread += n == 0;
        m->n_joint += n;
    }
    wd_arena_destroy(a);
    return st;
}

wd_pose wd_pose_of_model(wd_pose_model *m)
{
    return (wd_pose){ m, ask };
}

/* ---- videos ---- */

/* The mean of the pixels that fall into one, parts of pixels counted. */
wd_status wd_pose_shrink(const wd_image *im, uint32_t max_width, wd_image *out, wd_err *err)
{
    const uint32_t w = WD_MIN(im->width, max_width ? max_width : 1);
    const uint32_t h = WD_MAX((uint32_t)(((uint64_t)im->height * w + im->width / 2) / im->width), 1u);
    WD_TRY(wd_image_init(out, w, h, err));
    if (w == im->width) {
        memcpy(out->rgb, im->rgb, (size_t)w * h * 3);
        return WD_OK;
    }
    const double sx = (double)im->width / w, sy = (double)im->height / h;
    for (uint32_t y = 0; y < h; y++) {
        for (uint32_t x = 0; x < w; x++) {
            double sum[3] = { 0 }, area = 0;
            for (uint32_t j = (uint32_t)(y * sy); j < im->height && j < (y + 1) * sy; j++) {
                const double fy = fmin(j + 1.0, (y + 1) * sy) - fmax(j, y * sy);
                for (uint32_t i = (uint32_t)(x * sx); i < im->width && i < (x + 1) * sx; i++) {
                    const double f = fy * (fmin(i + 1.0, (x + 1) * sx) - fmax(i, x * sx));
                    const uint8_t *p = im->rgb + 3 * ((size_t)j * im->width + i);
                    for (int c = 0; c < 3; c++)
                        sum[c] += f * p[c];
                    area += f;
                }
            }
            for (int c = 0; c < 3; c++)
                out->rgb[3 * ((size_t)y * w + x) + c] = (uint8_t)(area > 0 ? sum[c] / area + 0.5 : 0);
        }
    }
    return WD_OK;
}

typedef struct sampling {
    const wd_pose_sampling *o;
    const wd_pose *pose;
    const uint64_t *index;
    double fps;
    wd_pose_frame *frame;
    uint32_t n;
} sampling;

static wd_status on_frame(void *ctx, uint32_t i, const wd_image *im, wd_err *err)
{
    sampling *s = ctx;
    wd_image small = { 0 };
    if (s->o->cancel && atomic_load(s->o->cancel))
        return WD_FAIL(err, WD_E_CANCELLED, "cancelled after %u of %u pictures", i, s->n);
    if (s->o->progress)
        s->o->progress(s->o->self, i, s->n);
    wd_pose_frame *f = &s->frame[i];
    wd_status st = wd_pose_shrink(im, s->o->max_width, &small, err);
    if (!st)
        st = s->pose->points(s->pose->self, &small, s->index[i], f->joint, err);
    if (!st) {
        f->frame = s->index[i];
        f->time_s = (double)f->frame / s->fps;
        for (int j = 0; j < WD_N_JOINT; j++) {
            f->joint[j].x *= (double)im->width / small.width;
            f->joint[j].y *= (double)im->height / small.height;
        }
    }
    wd_image_free(&small);
    return st;
}

wd_status wd_pose_video(const wd_video_source *v, const wd_pose *p, const wd_pose_sampling *o, wd_arena *a,
                        wd_pose_frame **out, size_t *n, wd_err *err)
{
    if (!(v->fps > 0) || !(o->fps > 0))
        return WD_FAIL(err, WD_E_INVALID,
                       "the video's rate is %g and %g samples per second are wanted, expected more "
                       "than 0",
                       v->fps, o->fps);
    const double step = fmax(v->fps / o->fps, 1);
    const uint64_t fit = (uint64_t)((double)(v->n_frame - 1) / step) + 1;
    sampling s = { .o = o, .pose = p, .fps = v->fps, .n = (uint32_t)WD_MIN(fit, (uint64_t)o->max_samples) };
    uint64_t *index = WD_NEW_N(a, uint64_t, s.n);
    s.frame = WD_NEW_N(a, wd_pose_frame, s.n);
    if (!index || !s.frame)
        return WD_FAIL(err, WD_E_NOMEM, "pose: no memory");
    for (uint32_t i = 0; i < s.n; i++)
        index[i] = (uint64_t)(i * step);
    s.index = index;
    WD_TRY(v->frames(v->self, index, s.n, on_frame, &s, err));
    *out = s.frame;
    *n = s.n;
    return WD_OK;
}

/* ---- pose files ---- */

typedef struct reading {
    const char *path;
    double fps; /* 0: none */
} reading;

static wd_status read_points(const reading *r, const char *where, const json_t *points, wd_pose_frame *f,
                             wd_err *err)
{
    const char *name;
    json_t *v;
    json_object_foreach((json_t *)points, name, v)
    {
        const wd_joint j = wd_joint_of(name);
        double at[3] = { 0, 0, 1 };
        const size_t n = json_array_size(v);
        bool good = n == 2 || n == 3;
        if (j == WD_N_JOINT || json_is_null(v))
            continue;
        for (size_t i = 0; good && i < n; i++) {
            good = json_is_number(json_array_get(v, i));
            at[i] = json_number_value(json_array_get(v, i));
        }
        if (!good || !(at[2] >= 0 && at[2] <= 1) || fabs(at[0]) > 1e6 || fabs(at[1]) > 1e6)
            return WD_FAIL(err, WD_E_INVALID,
                           "%s: \"%s\" of %s is not [x, y] or [x, y, confidence 0..1] in pixels", r->path,
                           wd_joint_name(j), where);
        f->joint[j] = (wd_pose_point){ at[0], at[1], at[2] };
    }
    return WD_OK;
}

static wd_status read_frame(const reading *r, const json_t *v, size_t i, wd_pose_frame *f, wd_err *err)
{
    char where[64];
    int64_t number;
    json_t *points;
    snprintf(where, sizeof where, "frames[%zu]", i);
    if (!json_is_object(v))
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is no object", r->path, where);
    WD_TRY(wd_json_int(v, where, "frame", 0, (int64_t)1 << 40, (int64_t)i, &number, err));
    f->frame = (uint64_t)number;
    WD_TRY(
        wd_json_num(v, where, "time_s", 0, 1e6, r->fps > 0 ? (double)number / r->fps : -1, &f->time_s, err));
    if (f->time_s < 0)
        return WD_FAIL(err, WD_E_INVALID, "%s: %s has no time_s, and the file no fps", r->path, where);
    WD_TRY(wd_json_obj(v, where, "points", &points, err));
    if (!points)
        return WD_FAIL(err, WD_E_INVALID, "%s: %s has no points", r->path, where);
    return read_points(r, where, points, f, err);
}

static wd_status read_all(const reading *given, const json_t *doc, wd_arena *a, wd_pose_frame **out,
                          size_t *n, wd_err *err)
{
    reading r = *given;
    json_t *frames;
    if (!json_is_object(doc))
        return WD_FAIL(err, WD_E_INVALID, "%s: expected an object with \"frames\"", r.path);
    WD_TRY(wd_json_num(doc, r.path, "fps", 0, 10000, 0, &r.fps, err));
    WD_TRY(wd_json_arr(doc, r.path, "frames", &frames, err));
    const size_t count = json_array_size(frames);
    if (!count)
        return WD_FAIL(err, WD_E_INVALID, "%s: no frames", r.path);
    if (count > WD_REHAB_SAMPLES_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "%s: %zu frames, at most %u", r.path, count, WD_REHAB_SAMPLES_MAX);
    wd_pose_frame *f = WD_NEW_N(a, wd_pose_frame, count);
    if (!f)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for %zu frames", r.path, count);
    for (size_t i = 0; i < count; i++) {
        WD_TRY(read_frame(&r, json_array_get(frames, i), i, &f[i], err));
        if (i && f[i].time_s <= f[i - 1].time_s)
            return WD_FAIL(err, WD_E_INVALID, "%s: the time of frames[%zu] is %g s, expected more than %g s",
                           r.path, i, f[i].time_s, f[i - 1].time_s);
    }
    *out = f;
    *n = count;
    return WD_OK;
}

wd_status wd_pose_read(const char *path, wd_arena *a, wd_pose_frame **out, size_t *n, wd_err *err)
{
    json_t *doc = NULL;
    WD_TRY(wd_json_read_file(path, POSE_FILE_MAX, &doc, err));
    const reading r = { .path = path };
    const wd_status st = read_all(&r, doc, a, out, n, err);
    json_decref(doc);
    return st;
}
