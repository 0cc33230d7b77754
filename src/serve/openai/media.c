/* Pictures, DICOM objects, studies and videos of requests: from their URLs to what the engine takes. Nothing in them is read
 * outside the sandbox but their first bytes. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "care/slices.h"
#include "care/video_file.h"
#include "media/image.h"
#include "media/kind.h"
#include "serve/inner.h"

#define SLICES_DEFAULT 8 /* as the command line */
#define SLICES_MAX 1000
#define FILES_MAX 2000 /* of a ZIP file */
#define WINDOW_MAX 200 /* bytes */
#define PARAM_MAX 120

static wd_status no_memory(const char *param, wd_fault *f)
{
    return wd_fault_set(f, 503, "no_memory", param, "no memory for this request");
}

wd_status wd_serve__shown_init(wd_req *r, wd_shown *s, wd_fault *f)
{
    *s = (wd_shown){ .image = WD_NEW_N(r->arena, wd_image, r->server->o.max_images),
                     .video = WD_NEW_N(r->arena, wd_video_source, r->server->o.max_videos),
                     .pixels = r->server->o.image_pixels };
    return s->image && s->video ? WD_OK : no_memory(NULL, f);
}

wd_status wd_parts_add(wd_req *r, wd_parts *p, wd_part part, wd_fault *f)
{
    if (p->n == p->cap) {
        const size_t cap = p->cap ? 2 * p->cap : 4;
        wd_part *v = WD_NEW_N(r->arena, wd_part, cap);
        if (!v)
            return no_memory(NULL, f);
        if (p->n)
            memcpy(v, p->v, p->n * sizeof *v);
        p->v = v;
        p->cap = cap;
    }
    p->v[p->n++] = part;
    return WD_OK;
}

/* --- reading ----------------------------------------------------------------------------------------------- */

/* The bytes of a data URL in the arena. */
static wd_status read_data_url(wd_req *r, wd_span url, const char *param, wd_span *out, wd_fault *f)
{
    const uint8_t *comma = url.n ? memchr(url.p, ',', WD_MIN(url.n, (size_t)256)) : NULL;
    if (!comma || !wd_span_ends(wd_span_of(url.p, (size_t)(comma - url.p)), ";base64"))
        return wd_fault_set(f, 400, "invalid_value", param, "%s: a data URL without \";base64,\"", param);
    const char *text = (const char *)comma + 1;
    const size_t n_text = url.n - (size_t)(comma + 1 - url.p), room = n_text / 4 * 3 + 3;
    uint8_t *bytes = wd_arena_alloc(r->arena, room, 1);
    if (!bytes)
        return no_memory(param, f);
    static const int variants[] = { sodium_base64_VARIANT_ORIGINAL,
                                    sodium_base64_VARIANT_ORIGINAL_NO_PADDING };
    for (size_t i = 0; i < WD_COUNT(variants); i++) {
        size_t n;
        if (sodium_base642bin(bytes, room, text, n_text, " \r\n\t", &n, NULL, variants[i]) == 0 && n) {
            *out = wd_span_of(bytes, n);
            return WD_OK;
        }
    }
    return wd_fault_set(f, 400, "invalid_value", param, "%s: the data URL's base64 is empty or damaged",
                        param);
}

/* What a URL brings counts as if it had come with the request. */
static wd_status count_fetched(wd_req *r, size_t n, const char *param, wd_fault *f)
{
    wd_server *s = r->server;
    r->n_fetched += n;
    r->n_counted += n;
    if (atomic_fetch_add(&s->n_body, n) + n <= s->o.bodies_bytes)
        return WD_OK;
    wd_fault_set(f, 503, "busy", param, "too many bytes of requests are on their way");
    f->retry_s = 1;
    return WD_E_INVALID;
}

static wd_status fetch_fault(wd_status st, const char *param, const wd_err *err, wd_fault *f)
{
    const bool refused = st == WD_E_DENIED || st == WD_E_INVALID;
    if (refused || st == WD_E_IO)
        return wd_fault_set(f, 400, refused ? "remote_url_refused" : "remote_url_failed", param, "%s: %s",
                            param, err->text);
    return wd_fault_of(f, st, param, err);
}

/* The bytes of a URL of http or https, which the server's list must have. */
static wd_status read_remote_url(wd_req *r, wd_span url, const char *param, wd_span *out, wd_fault *f)
{
    const wd_server *s = r->server;
    wd_err err = { 0 };
    if (!s->allow)
        return wd_fault_set(f, 400, "remote_url_refused", param,
                            "%s: this server fetches nothing: expected \"data:...;base64,...\"", param);
    const char *text = wd_arena_strndup(r->arena, (const char *)url.p, url.n);
    wd_buf *b = wd_serve__new_buf(r);
    if (!text || !b)
        return no_memory(param, f);
    const wd_fetch_opts o = { .allow = s->allow,
                              .ca_file = s->o.fetch_ca,
                              .connect_ms = WD_MIN(s->o.fetch_ms, 5000),
                              .total_ms = s->o.fetch_ms,
                              .max_bytes = s->o.fetch_bytes - r->n_fetched,
                              .deadline_ns = r->deadline_ns,
                              .cancel = &r->cancel };
    WD_TRY(wd_serve__begin_visit(r, f)); /* what others see us do is work, too */
    const wd_status st = wd_fetch(&o, text, b, &err);
    if (st)
        return fetch_fault(st, param, &err, f);
    WD_TRY(count_fetched(r, b->n, param, f));
    *out = wd_buf_view(b);
    return WD_OK;
}

static wd_status read_url(wd_req *r, wd_span url, const char *param, wd_span *out, wd_fault *f)
{
    return wd_span_starts(url, "data:") ? read_data_url(r, url, param, out, f)
                                        : read_remote_url(r, url, param, out, f);
}

/* "window" and "slices" of an object that shows DICOM. */
static wd_status read_view(const json_t *o, char *param, size_t room, wd_show *out, wd_fault *f)
{
    const json_t *window = json_object_get(o, "window"), *slices = json_object_get(o, "slices");
    const size_t n = strlen(param);
    if (window && !json_is_null(window)) {
        snprintf(param + n, room - n, ".window");
        if (!json_is_string(window) || !json_string_length(window) || json_string_length(window) > WINDOW_MAX)
            return wd_fault_set(f, 400, "invalid_type", param,
                                "%s: expected a string such as \"lung\" or \"40/400\"", param);
        out->window = json_string_value(window);
    }
    if (slices && !json_is_null(slices)) {
        snprintf(param + n, room - n, ".slices");
        const json_int_t v = json_integer_value(slices);
        if (!json_is_integer(slices) || v < 1 || v > SLICES_MAX)
            return wd_fault_set(f, 400, "invalid_value", param, "%s: expected 1 to %d", param, SLICES_MAX);
        out->n_slice = (uint32_t)v;
    }
    param[n] = 0;
    return WD_OK;
}

wd_status wd_serve__read_show(const json_t *v, const char *key, char *param, size_t room, wd_show *out,
                              wd_fault *f)
{
    *out = (wd_show){ .window = "file", .n_slice = SLICES_DEFAULT };
    if (json_is_object(v)) {
        WD_TRY(read_view(v, param, room, out, f));
        const json_t *file = json_object_get(v, "file_id");
        const bool kept = file && !json_is_null(file);
        const size_t n = strlen(param);
        v = kept ? file : json_object_get(v, key);
        snprintf(param + n, room - n, ".%s", kept ? "file_id" : key);
        if (kept && json_is_string(v)) {
            out->file = json_string_value(v);
            return WD_OK;
        }
    }
    if (!json_is_string(v))
        return wd_fault_set(f, 400, "invalid_type", param, "%s is %s, expected a string", param,
                            v ? wd_json_kind(v) : "missing");
    out->url = wd_json_span(v);
    return WD_OK;
}

/* --- showing ----------------------------------------------------------------------------------------------- */

static void enter(wd_req *r)
{
    while (sem_wait(&r->server->decoders) != 0)
        ;
}

static void leave(wd_req *r)
{
    sem_post(&r->server->decoders);
}

/* A decoded image, freed elsewhere, becomes the next one of the request. */
static wd_status add_image(wd_req *r, wd_shown *s, const wd_image *im, const char *param, wd_parts *out,
                           wd_fault *f)
{
    const uint64_t n = (uint64_t)im->width * im->height;
    if (s->n_image == r->server->o.max_images)
        return wd_fault_set(f, 400, "limit_exceeded", param, "more than %u images", r->server->o.max_images);
    if (n > s->pixels)
        return wd_fault_set(f, 400, "limit_exceeded", param,
                            "%s: the images of a request have more than %llu pixels", param,
                            (unsigned long long)r->server->o.image_pixels);
    s->pixels -= n;
    s->image[s->n_image++] = *im;
    return wd_parts_add(r, out, (wd_part){ .kind = WD_PART_IMAGE }, f);
}

static void free_image(void *arg)
{
    wd_image_free(arg);
}

static wd_status show_picture(wd_req *r, wd_shown *s, wd_span bytes, const char *param, wd_parts *out,
                              wd_fault *f)
{
    wd_err err = { 0 };
    wd_image *im = WD_NEW(r->arena, wd_image); /* in the arena: freed with it */
    if (!im)
        return no_memory(param, f);
    const wd_image_opts o = { .cancel = &r->cancel };
    enter(r);
    const wd_status st = wd_image_decode(param, bytes, &o, im, &err);
    leave(r);
    if (st)
        return wd_fault_of(f, st, param, &err);
    if (wd_arena_defer(r->arena, free_image, im))
        return no_memory(param, f);
    return add_image(r, s, im, param, out, f);
}

/* The pictures of a study are drawn together: that they are not too many is found out before. */
static wd_status check_room(const wd_study *study, const wd_shown *s, const wd_show *w, const char *param,
                            wd_err *err)
{
    size_t i;
    uint64_t most = 0, n_view = 1;
    WD_TRY(wd_slices_series(study, NULL, &i, err));
    const wd_series *series = wd_study_series(study, i);
    for (uint32_t k = 0; k < series->n_slice; k++) {
        const wd_slice *one = wd_study_slice(study, i, k);
        most = WD_MAX(most, (uint64_t)one->rows * one->cols);
    }
    for (const char *c = w->window; *c; c++)
        n_view += *c == ',';
    if (!strcmp(w->window, "auto"))
        n_view = 2;
    const uint64_t n = WD_MIN(w->n_slice, series->n_slice) * n_view;
    if (most && n > s->pixels / most)
        return WD_FAIL(err, WD_E_LIMIT,
                       "%s: %llu pictures of up to %llu pixels are more than a request may have", param,
                       (unsigned long long)n, (unsigned long long)most);
    return WD_OK;
}

static wd_status pick_slices(wd_req *r, int fd, const wd_shown *s, const wd_show *w, const char *param,
                             wd_slices *out, wd_err *err)
{
    wd_study_opts so = WD_STUDY_OPTS_DEFAULT;
    so.cancel = &r->cancel;
    so.max_files = FILES_MAX;
    wd_study *study;
    const wd_slices_opts o = { .n_slice = w->n_slice, .windows = w->window, .cancel = &r->cancel };
    WD_TRY(wd_study_open_fd(param, fd, &so, &study, err));
    wd_status st = check_room(study, s, w, param, err);
    if (!st)
        st = wd_slices_pick(study, &o, r->arena, out, err); /* pictures: freed with the arena */
    wd_study_close(study);
    return st;
}

static wd_status show_study(wd_req *r, wd_shown *s, const wd_show *w, wd_span bytes, const char *param,
                            wd_parts *out, wd_fault *f)
{
    wd_err err = { 0 };
    wd_slices picked;
    const int fd = wd_sandbox_memfd(param, bytes, &err);
    if (fd < 0)
        return wd_fault_of(f, WD_E_IO, param, &err);
    enter(r);
    const wd_status st = pick_slices(r, fd, s, w, param, &picked, &err);
    leave(r);
    close(fd);
    if (st)
        return wd_fault_of(f, st == WD_E_NOT_FOUND ? WD_E_INVALID : st, param, &err);
    for (uint32_t i = 0; i < picked.n_picture; i++)
        WD_TRY(add_image(r, s, &picked.picture[i].image, param, out, f));
    return WD_OK;
}

static wd_status show_video(wd_req *r, wd_shown *s, wd_span bytes, const char *param, wd_parts *out,
                            wd_fault *f)
{
    wd_err err = { 0 };
    const char *name = wd_arena_strndup(r->arena, param, strlen(param)); /* as long as the video */
    if (!name)
        return no_memory(param, f);
    if (s->n_video == r->server->o.max_videos)
        return wd_fault_set(f, 400, "limit_exceeded", param, "more than %u videos", r->server->o.max_videos);
    const int fd = wd_sandbox_memfd(param, bytes, &err);
    if (fd < 0)
        return wd_fault_of(f, WD_E_IO, param, &err);
    enter(r);
    const wd_status st = wd_video_file_take(name, fd, &r->cancel, r->arena, &s->video[s->n_video], &err);
    leave(r);
    if (st)
        return wd_fault_of(f, st, param, &err);
    s->n_video++;
    return wd_parts_add(r, out, (wd_part){ .kind = WD_PART_VIDEO }, f);
}

wd_status wd_serve__show(wd_req *r, wd_shown *s, const wd_show *what, const char *param, wd_parts *out,
                         wd_fault *f)
{
    wd_span bytes;
    if (!r->model->engine->info.sees)
        return wd_fault_set(f, 400, "unsupported", param, "%s: this model takes no images", param);
    if (what->file) {
        wd_kept k;
        WD_TRY(wd_serve__find_kept(r, r->server->files, what->file, "file.content", param, &k, f));
        WD_TRY(wd_serve__read_kept(r, r->server->files, k.id, param, &bytes, f));
    } else {
        WD_TRY(read_url(r, what->url, param, &bytes, f));
    }
    switch (wd_media_kind_of(bytes)) {
    case WD_MEDIA_DICOM:
    case WD_MEDIA_ZIP:
        return show_study(r, s, what, bytes, param, out, f);
    case WD_MEDIA_VIDEO:
        return show_video(r, s, bytes, param, out, f);
    case WD_MEDIA_IMAGE:
    case WD_MEDIA_UNKNOWN: /* its decoder says what is wrong */
        break;
    }
    return show_picture(r, s, bytes, param, out, f);
}

wd_status wd_serve__item(wd_req *r, const json_t *v, const char *param, uint64_t *pixels, wd_item *out,
                         wd_fault *f)
{
    wd_shown shown;
    wd_parts parts = { 0 };
    wd_show show;
    char where[PARAM_MAX];
    *out = (wd_item){ 0 };
    if (json_is_string(v)) {
        WD_TRY(wd_parts_add(r, &parts, (wd_part){ WD_PART_TEXT, wd_json_span(v) }, f));
        out->parts = (wd_chat_item){ parts.v, parts.n };
        return WD_OK;
    }
    const json_t *image = json_object_get(v, "image"), *text = json_object_get(v, "text");
    if ((!image && !text) || (image && !json_is_string(image) && !json_is_object(image)) ||
        (text && !json_is_string(text)))
        return wd_fault_set(f, 400, "invalid_type", param,
                            "%s: expected a string, or an object with \"text\", \"image\" or both", param);
    if (image) {
        snprintf(where, sizeof where, "%s.image", param);
        WD_TRY(wd_serve__shown_init(r, &shown, f));
        shown.pixels = *pixels;
        WD_TRY(wd_serve__read_show(image, "url", where, sizeof where, &show, f));
        WD_TRY(wd_serve__show(r, &shown, &show, where, &parts, f));
        *pixels = shown.pixels;
        out->media = wd_shown_media(&shown);
    }
    if (text)
        WD_TRY(wd_parts_add(r, &parts, (wd_part){ WD_PART_TEXT, wd_json_span(text) }, f));
    out->parts = (wd_chat_item){ parts.v, parts.n };
    return WD_OK;
}
