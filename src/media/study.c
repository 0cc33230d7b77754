/* Studies: which objects there are (headers only), in which order, and one slice at a time.
 *
 * Invariants once a study is open:
 *   1. nothing in it changes any more: loading slices may happen in several threads;
 *   2. a slice names its source and the SOP Instance UID that was read there; what is found there later must be the
 *      same object;
 *   3. all objects with a known patient are of one patient.
 */
#include "media/study.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/map.h"
#include "media/archive.h"
#include "media/study_inner.h"

enum { ARENA_MAX = 1 << 30, SERIES_MAX = 4096 };

/* ---- objects into series ---- */

static wd_status check_patient(wd_study *s, const wd_patient_key *k, wd_err *err)
{
    wd_patient_key *known = k->by_name ? &s->by_name : &s->by_id;
    if (wd_patient_differs(known, k))
        return WD_FAIL(err, WD_E_INVALID, "%s: objects of more than one patient; give those of one", s->what);
    if (k->known)
        *known = *k;
    return WD_OK;
}

/* The series that an object belongs to; a new one if need be. */
static wd_status find_series(wd_study *s, const wd_dicom_info *info, uint32_t *out, wd_err *err)
{
    char key[2 * WD_DICOM_UID_MAX + 4];
    uint64_t at;
    const int n = snprintf(key, sizeof key, "%s|%s|%d", info->study_uid, info->series_uid,
                           info->is_localizer);

    if (wd_map_get(s->by_uid, wd_span_of(key, (size_t)n), &at)) {
        *out = (uint32_t)at;
        return WD_OK;
    }
    if (s->n_series == SERIES_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "%s: more than %d series", s->what, SERIES_MAX);
    wd_study__series *more = wd_realloc(s->series, s->n_series + 1, sizeof *more);
    if (!more)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its series", s->what);
    s->series = more;
    wd_study__series *one = &s->series[s->n_series];
    *one = (wd_study__series){ .order = (uint32_t)s->n_series };
    memcpy(one->pub.study_uid, info->study_uid, sizeof one->pub.study_uid);
    memcpy(one->pub.series_uid, info->series_uid, sizeof one->pub.series_uid);
    memcpy(one->pub.modality, info->modality, sizeof one->pub.modality);
    memcpy(one->pub.description, *info->series_description ? info->series_description : info->protocol_name,
           sizeof one->pub.description);
    memcpy(one->pub.body_part, info->body_part, sizeof one->pub.body_part);
    one->pub.number = info->series_number;
    one->pub.is_localizer = info->is_localizer;
    one->pub.is_colour = info->samples == 3 || info->photometric == WD_PHOTOMETRIC_PALETTE;
    WD_TRY(wd_map_put(s->by_uid, wd_span_of(key, (size_t)n), s->n_series, NULL));
    *out = (uint32_t)s->n_series++;
    return WD_OK;
}

static void fill_slice(wd_study__slice *sl, const wd_dicom_info *info, const wd_dicom_frame *f,
                       uint32_t frame)
{
    wd_slice *p = &sl->pub;
    memcpy(p->sop_instance_uid, info->sop_instance_uid, sizeof p->sop_instance_uid);
    p->instance_number = info->instance_number;
    p->frame = frame;
    p->n_frame = info->n_frame;
    p->rows = info->rows;
    p->cols = info->cols;
    p->has_position = f->has_position;
    p->has_orientation = f->has_orientation;
    p->has_spacing = f->has_spacing;
    memcpy(p->position, f->position, sizeof p->position);
    memcpy(p->orientation, f->orientation, sizeof p->orientation);
    memcpy(p->spacing, f->spacing, sizeof p->spacing);
    p->thickness_mm = f->has_thickness ? f->thickness : 0;
}

static wd_status add_image(wd_study *s, const wd_dicom *d, const wd_study__source *src, wd_err *err)
{
    const wd_dicom_info *info = wd_dicom_info_of(d);
    const wd_span uid = wd_span_str(info->sop_instance_uid);
    uint32_t at = 0;
    bool seen = false;

    if (uid.n) {
        if (wd_map_put(s->objects, uid, 1, &seen) != WD_OK)
            return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its objects", s->what);
        if (seen) {
            s->counts.n_duplicate++;
            return WD_OK;
        }
    }
    if (info->n_frame > s->opts.max_slices - s->counts.n_slice)
        return WD_FAIL(err, WD_E_LIMIT, "%s: more than %u slices", s->what, (unsigned)s->opts.max_slices);
    WD_TRY(find_series(s, info, &at, err));
    wd_study__series *one = &s->series[at];
    for (uint32_t i = 0; i < info->n_frame; i++) {
        wd_study__slice sl = { .src = *src, .order = s->counts.n_slice + i };
        fill_slice(&sl, info, wd_dicom_frame_at(d, i), i);
        sl.pub.source = src->name;
        wd_buf_put(&one->slices, &sl, sizeof sl);
    }
    WD_TRY(wd_buf_check(&one->slices, s->what, err));
    s->counts.n_image++;
    s->counts.n_slice += info->n_frame;
    s->counts.n_localizer += info->is_localizer;
    return WD_OK;
}

static wd_status add_object(wd_study *s, const wd_dicom *d, const wd_study__source *src, wd_err *err)
{
    const wd_dicom_info *info = wd_dicom_info_of(d);
    WD_TRY(check_patient(s, &info->patient, err));
    if (info->has_pixels)
        return add_image(s, d, src, err);
    s->counts.n_not_image++;
    return WD_OK;
}

/* What a failure to read one object means for the study: it is counted, unless it says something about us, or the
 * object was named by itself. */
static wd_status judge(wd_study *s, wd_status st, bool named, const wd_err *why, wd_err *err)
{
    if (named || st == WD_E_CANCELLED || st == WD_E_NOMEM || st == WD_E_INTERNAL || st == WD_E_IO) {
        if (err)
            *err = *why;
        return st;
    }
    if (st == WD_E_UNSUPPORTED) /* headers are read of every DICOM object: it is none */
        s->counts.n_not_dicom++;
    else if (s->counts.n_broken++ == 0)
        memcpy(s->counts.first_broken, why->text, sizeof s->counts.first_broken);
    return WD_OK;
}

static wd_span head_of(const wd_dicom_source *from, uint8_t room[16])
{
    if (from->fd < 0)
        return wd_span_sub(from->bytes, 0, 16);
    const ssize_t n = pread(from->fd, room, 16, 0);
    return wd_span_of(room, n > 0 ? (size_t)n : 0);
}

static wd_status read_header(wd_study *s, const wd_dicom_source *from, const wd_study__source *src,
                             bool named, wd_err *err)
{
    const wd_dicom_want want = { .cancel = s->opts.cancel };
    wd_dicom *d = NULL;
    wd_err why = { 0 };
    uint8_t room[16];
    bool is_picture = false;

    s->counts.n_file++;
    wd_status st = wd_dicom_read(from, &want, &d, &why);
    if (st == WD_OK) {
        st = add_object(s, d, src, err);
        wd_dicom_close(d);
        return st;
    }
    if (st == WD_E_UNSUPPORTED && src->fd < 0)
        WD_TRY(wd_study__keep_plain(s, src, head_of(from, room), &is_picture, err));
    return judge(s, st, named && !is_picture, &why, err);
}

/* ---- files ---- */

static wd_status too_many(const wd_study *s, wd_err *err)
{
    return WD_FAIL(err, WD_E_LIMIT, "%s: more than %u files", s->what, (unsigned)s->opts.max_files);
}

static wd_status add_file(wd_study *s, const char *path, bool named, wd_err *err)
{
    uint64_t size = 0;
    wd_err why = { 0 };
    const wd_study__source src = { .name = path, .fd = -1, .zip = -1 };
    const int fd = wd_file_open_read(path, &size, &why);
    wd_status st;

    if (fd < 0) { /* not ours to read, or gone: this file's trouble */
        s->counts.n_file++;
        return judge(s, WD_E_INVALID, named, &why, err);
    }
    if (size > s->opts.max_file_bytes) {
        close(fd);
        return WD_FAIL(err, WD_E_LIMIT, "%s: %llu bytes, at most %llu are read", path,
                       (unsigned long long)size, (unsigned long long)s->opts.max_file_bytes);
    }
    const wd_dicom_source from = { .what = path, .fd = fd };
    st = read_header(s, &from, &src, named, err);
    close(fd);
    return st;
}

typedef struct listing { /* of regular files, in the order of names */
    const char **v;
    size_t n, cap;
} listing;

static wd_status list_file(wd_study *s, listing *l, const char *path, wd_err *err)
{
    if (l->n >= s->opts.max_files)
        return too_many(s, err);
    if (l->n == l->cap) {
        const size_t cap = l->cap ? 2 * l->cap : 256;
        const char **more = wd_realloc(l->v, cap, sizeof *more);
        if (!more)
            return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its list of files", s->what);
        l->v = more;
        l->cap = cap;
    }
    l->v[l->n++] = path;
    return WD_OK;
}

/* Links to directories are not followed: they may go round. */
static wd_status list_dir(wd_study *s, listing *l, const char *dir, uint32_t depth, wd_err *err)
{
    char **names;
    size_t n;

    if (depth > s->opts.max_depth)
        return WD_FAIL(err, WD_E_LIMIT, "%s: directories are nested more than %u deep", s->what,
                       (unsigned)s->opts.max_depth);
    WD_TRY(wd_file_list(s->arena, dir, &names, &n, err));
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        const char *path = wd_path_join(s->arena, dir, names[i]);
        if (!path)
            return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its list of files", s->what);
        if (lstat(path, &st) != 0)
            continue; /* removed meanwhile */
        if (S_ISDIR(st.st_mode))
            WD_TRY(list_dir(s, l, path, depth + 1, err)); /* at most max_depth deep */
        else if (S_ISREG(st.st_mode) || (S_ISLNK(st.st_mode) && stat(path, &st) == 0 && S_ISREG(st.st_mode)))
            WD_TRY(list_file(s, l, path, err));
    }
    return WD_OK;
}

static wd_status add_dir(wd_study *s, const char *dir, wd_err *err)
{
    listing l = { 0 };
    wd_status st = list_dir(s, &l, dir, 1, err);

    for (size_t i = 0; i < l.n && st == WD_OK; i++) {
        if (s->counts.n_file >= s->opts.max_files)
            st = too_many(s, err);
        else
            st = add_file(s, l.v[i], false, err);
        if (s->opts.on_progress)
            s->opts.on_progress(s->opts.ctx, (uint32_t)i + 1, (uint32_t)l.n);
    }
    wd_free(l.v);
    return st;
}

/* ---- ZIP ---- */

typedef struct zip_reading {
    wd_study *s;
    const char *path;
    int32_t zip;
} zip_reading;

static wd_status add_entry(void *ctx, uint32_t entry, const char *name, wd_span bytes, wd_err *err)
{
    const zip_reading *r = ctx;
    wd_study *s = r->s;
    const wd_study__source src = {
        .name = wd_arena_printf(s->arena, "%s: %s", r->path, name), .fd = -1, .zip = r->zip, .entry = entry
    };
    if (!src.name)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for its list of files", s->what);
    if (s->counts.n_file >= s->opts.max_files)
        return too_many(s, err);
    const wd_dicom_source from = { .what = src.name, .fd = -1, .bytes = bytes };
    WD_TRY(read_header(s, &from, &src, false, err));
    if (s->opts.on_progress)
        s->opts.on_progress(s->opts.ctx, s->counts.n_file, 0);
    return WD_OK;
}

static wd_archive_limits zip_limits(const wd_study *s)
{
    wd_archive_limits l = WD_ARCHIVE_LIMITS_DEFAULT;
    l.max_entries = s->opts.max_files;
    l.cancel = s->opts.cancel;
    return l;
}

static wd_status add_zip(wd_study *s, const char *path, int fd, wd_err *err)
{
    int *more = wd_realloc(s->zips, s->n_zip + 1, sizeof *more);
    if (!more) {
        close(fd);
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", s->what);
    }
    s->zips = more;
    s->zips[s->n_zip] = fd; /* stays open: slices are loaded from it */
    zip_reading r = { .s = s, .path = path, .zip = (int32_t)s->n_zip++ };
    const wd_archive_limits l = zip_limits(s);
    return wd_archive_each(fd, path, &l, add_entry, &r, err);
}

static wd_status add_path(wd_study *s, const char *given, wd_err *err)
{
    uint8_t head[4] = { 0 };
    uint64_t size;
    const char *path = wd_arena_strndup(s->arena, given, strlen(given));

    if (!path)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", s->what);
    if (wd_file_is_dir(path))
        return add_dir(s, path, err);
    if (!wd_file_exists(path))
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: no such file or directory", path);
    if (s->counts.n_file >= s->opts.max_files)
        return too_many(s, err);
    const int fd = wd_file_open_read(path, &size, err);
    if (fd < 0)
        return err ? err->code : WD_E_IO;
    if (pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
        wd_archive_is_zip(wd_span_of(head, sizeof head)))
        return add_zip(s, path, fd, err);
    close(fd);
    return add_file(s, path, true, err);
}

/* ---- order ---- */

static void normal_of(const double o[6], double n[3])
{
    n[0] = o[1] * o[5] - o[2] * o[4];
    n[1] = o[2] * o[3] - o[0] * o[5];
    n[2] = o[0] * o[4] - o[1] * o[3];
}

static double dot(const double *a, const double *b)
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* Within about 2.5 degrees: scanners write the same plane with rounding. */
static bool same_plane(const double a[6], const double b[6])
{
    return dot(a, b) > 0.999 && dot(a + 3, b + 3) > 0.999;
}

/* Numbers the planes of a series in order of appearance and projects each slice on its plane's normal. */
static void place_slices(wd_study__series *one)
{
    enum { PLANES = 64 };
    double planes[PLANES][6], normal[3];
    wd_study__slice *v = wd_study__slices(one);

    one->pub.n_orientation = 0;
    one->pub.by_position = true;
    for (uint32_t i = 0; i < one->pub.n_slice; i++)
        one->pub.by_position &= v[i].pub.has_position && v[i].pub.has_orientation;
    if (!one->pub.by_position) {
        one->pub.n_orientation = 1;
        return;
    }
    for (uint32_t i = 0; i < one->pub.n_slice; i++) {
        uint32_t k = 0;
        while (k < one->pub.n_orientation && !same_plane(planes[k], v[i].pub.orientation))
            k++;
        if (k == one->pub.n_orientation && k < PLANES)
            memcpy(planes[one->pub.n_orientation++], v[i].pub.orientation, sizeof planes[0]);
        v[i].plane = WD_MIN(k, PLANES - 1u);
        normal_of(planes[v[i].plane], normal);
        v[i].pub.along_mm = dot(v[i].pub.position, normal);
    }
}

static int by_double(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#define COMPARE(x, y)                  \
    do {                               \
        if ((x) != (y))                \
            return (x) < (y) ? -1 : 1; \
    } while (0)

static int by_place(const void *pa, const void *pb)
{
    const wd_study__slice *a = pa, *b = pb;
    COMPARE(a->plane, b->plane);
    if (fabs(a->pub.along_mm - b->pub.along_mm) > WD_STUDY__SAME_MM)
        COMPARE(a->pub.along_mm, b->pub.along_mm);
    COMPARE(a->pub.instance_number, b->pub.instance_number);
    COMPARE(a->order, b->order); /* frames of one object, then files, as they were met */
    return 0;
}

static int by_number(const void *pa, const void *pb)
{
    const wd_study__series *a = pa, *b = pb;
    COMPARE(a->pub.is_localizer, b->pub.is_localizer);
    COMPARE(a->pub.number, b->pub.number);
    COMPARE(a->order, b->order);
    return 0;
}

/* Positions that differ by less than rounding are made equal, so that "nearly equal" is transitive for sorting. */
static void round_positions(wd_study__series *one)
{
    wd_study__slice *v = wd_study__slices(one);
    for (uint32_t i = 0; i < one->pub.n_slice; i++)
        v[i].pub.along_mm = round(v[i].pub.along_mm / WD_STUDY__SAME_MM) * WD_STUDY__SAME_MM;
}

static wd_status measure_spacing(const wd_study *s, wd_study__series *one, wd_err *err)
{
    const wd_study__slice *v = wd_study__slices(one);
    size_t n = 0;

    one->pub.is_even = false;
    if (!one->pub.by_position || one->pub.n_slice < 2)
        return WD_OK;
    double *gap = WD_ALLOC_N(double, one->pub.n_slice);
    if (!gap)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to order its slices", s->what);
    for (uint32_t i = 1; i < one->pub.n_slice; i++) {
        const double d = v[i].pub.along_mm - v[i - 1].pub.along_mm;
        if (v[i].plane == v[i - 1].plane && d > WD_STUDY__SAME_MM)
            gap[n++] = d;
    }
    qsort(gap, n, sizeof *gap, by_double);
    if (n > 0) {
        one->pub.spacing_mm = gap[n / 2];
        one->pub.is_even = gap[0] >= 0.9 * gap[n / 2] && gap[n - 1] <= 1.1 * gap[n / 2];
    }
    wd_free(gap);
    return WD_OK;
}

static wd_status put_in_order(wd_study *s, wd_err *err)
{
    for (size_t i = 0; i < s->n_series; i++) {
        wd_study__series *one = &s->series[i];
        one->pub.n_slice = (uint32_t)(one->slices.n / sizeof(wd_study__slice));
        place_slices(one);
        round_positions(one);
        qsort(one->slices.p, one->pub.n_slice, sizeof(wd_study__slice), by_place);
        one->pub.rows = wd_study__slices(one)->pub.rows;
        one->pub.cols = wd_study__slices(one)->pub.cols;
        WD_TRY(measure_spacing(s, one, err));
    }
    if (s->n_series > 0)
        qsort(s->series, s->n_series, sizeof *s->series, by_number);
    return WD_OK;
}

/* ---- the study ---- */

static wd_status nothing_found(const wd_study *s, wd_err *err)
{
    const wd_study_counts *c = &s->counts;
    if (c->n_broken)
        return WD_FAIL(err, WD_E_NOT_FOUND,
                       "%s holds no DICOM image that can be read; of %u files %u are broken, first %s",
                       s->what, (unsigned)c->n_file, (unsigned)c->n_broken, c->first_broken);
    return WD_FAIL(err, WD_E_NOT_FOUND,
                   "%s holds no DICOM image; of %u files %u are no DICOM, %u have no pixels", s->what,
                   (unsigned)c->n_file, (unsigned)c->n_not_dicom, (unsigned)c->n_not_image);
}

/* An open file; `what` is its name for people. */
static wd_status add_open(wd_study *s, int fd, wd_err *err)
{
    uint8_t head[4] = { 0 };
    if (pread(fd, head, sizeof head, 0) == (ssize_t)sizeof head &&
        wd_archive_is_zip(wd_span_of(head, sizeof head))) {
        const int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (own < 0)
            return WD_FAIL(err, WD_E_IO, "%s: no descriptor left", s->what);
        return add_zip(s, s->what, own, err);
    }
    const wd_study__source src = { .name = s->what, .fd = fd, .zip = -1 };
    const wd_dicom_source from = { .what = s->what, .fd = fd };
    return read_header(s, &from, &src, true, err);
}

static wd_status build(wd_study *s, const char *const *paths, size_t n, int fd, wd_err *err)
{
    s->arena = wd_arena_create(ARENA_MAX, true); /* names of files may say who */
    s->by_uid = wd_map_create(16);
    s->objects = wd_map_create(256);
    if (!s->arena || !s->by_uid || !s->objects)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", paths[0]);
    s->what = wd_arena_strndup(s->arena, paths[0], strlen(paths[0]));
    if (!s->what)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", paths[0]);
    for (size_t i = 0; i < n; i++) {
        WD_TRY(fd < 0 ? add_path(s, paths[i], err) : add_open(s, fd, err));
        if (n > 1 && s->opts.on_progress)
            s->opts.on_progress(s->opts.ctx, (uint32_t)i + 1, (uint32_t)n);
    }
    if (s->n_series == 0)
        WD_TRY(wd_study__use_plain(s, err));
    if (s->n_series == 0)
        return nothing_found(s, err);
    return put_in_order(s, err);
}

static wd_status open_study(const char *const *paths, size_t n, int fd, const wd_study_opts *opts,
                            wd_study **out, wd_err *err)
{
    *out = NULL;
    if (n == 0)
        return WD_FAIL(err, WD_E_USAGE, "a study is a directory, a ZIP file or files: none was given");
    wd_study *s = WD_ALLOC(wd_study);
    if (!s)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", paths[0]);
    s->opts = opts ? *opts : WD_STUDY_OPTS_DEFAULT;
    const wd_status st = build(s, paths, n, fd, err);
    if (st == WD_OK)
        *out = s;
    else
        wd_study_close(s);
    return st;
}

wd_status wd_study_open(const char *const *paths, size_t n, const wd_study_opts *opts, wd_study **out,
                        wd_err *err)
{
    return open_study(paths, n, -1, opts, out, err);
}

wd_status wd_study_open_fd(const char *what, int fd, const wd_study_opts *opts, wd_study **out, wd_err *err)
{
    return open_study(&what, 1, fd, opts, out, err);
}

void wd_study_close(wd_study *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_series; i++)
        wd_buf_free(&s->series[i].slices);
    for (size_t i = 0; i < s->n_zip; i++)
        close(s->zips[i]);
    wd_buf_free(&s->plain);
    wd_free(s->series);
    wd_free(s->zips);
    wd_map_destroy(s->by_uid);
    wd_map_destroy(s->objects);
    wd_arena_destroy(s->arena);
    wd_free(s);
}

const wd_study_counts *wd_study_counts_of(const wd_study *s)
{
    return &s->counts;
}

size_t wd_study_n_series(const wd_study *s)
{
    return s->n_series;
}

const wd_series *wd_study_series(const wd_study *s, size_t series)
{
    return series < s->n_series ? &s->series[series].pub : NULL;
}

const wd_slice *wd_study_slice(const wd_study *s, size_t series, size_t slice)
{
    if (series >= s->n_series || slice >= s->series[series].pub.n_slice)
        return NULL;
    return &wd_study__slices(&s->series[series])[slice].pub;
}

wd_status wd_study__unzip(const wd_study *s, const wd_study__source *src, wd_buf *out, wd_err *err)
{
    const wd_archive_limits l = zip_limits(s);
    return wd_archive_entry(s->zips[src->zip], src->name, src->entry, &l, out, err);
}

static wd_status read_slice(const wd_study *s, const wd_study__slice *sl, const wd_dicom_want *want,
                            wd_dicom **out, wd_err *err)
{
    wd_buf bytes = { 0 };

    if (sl->src.fd >= 0) {
        const wd_dicom_source from = { .what = sl->src.name, .fd = sl->src.fd };
        return wd_dicom_read(&from, want, out, err);
    }
    if (sl->src.zip < 0)
        return wd_dicom_read_file(sl->src.name, want, out, err);
    wd_status st = wd_study__unzip(s, &sl->src, &bytes, err);
    if (st == WD_OK) {
        const wd_dicom_source from = { .what = sl->src.name, .fd = -1, .bytes = wd_buf_view(&bytes) };
        st = wd_dicom_read(&from, want, out, err);
    }
    wd_buf_wipe(&bytes);
    wd_buf_free(&bytes);
    return st;
}

wd_status wd_study_load_slice(const wd_study *s, size_t series, size_t slice, wd_dicom **out, wd_err *err)
{
    *out = NULL;
    if (!wd_study_slice(s, series, slice))
        return WD_FAIL(err, WD_E_INVALID, "%s: no slice %zu in series %zu", s->what, slice + 1, series + 1);
    const wd_study__slice *sl = &wd_study__slices(&s->series[series])[slice];
    if (s->series[series].pub.is_plain)
        return wd_study__load_plain(s, sl, out, err);
    const wd_dicom_want want = {
        .pixels = true, .first_frame = sl->pub.frame, .n_frame = 1, .cancel = s->opts.cancel
    };
    WD_TRY(read_slice(s, sl, &want, out, err));
    const wd_dicom_info *info = wd_dicom_info_of(*out);
    if (strcmp(info->sop_instance_uid, sl->pub.sop_instance_uid) != 0 || info->rows != sl->pub.rows ||
        info->cols != sl->pub.cols) {
        wd_dicom_close(*out);
        *out = NULL;
        return WD_FAIL(err, WD_E_CORRUPT, "%s: it is another object than when the study was opened",
                       sl->src.name);
    }
    return WD_OK;
}
