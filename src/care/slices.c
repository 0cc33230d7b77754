/* Choosing slices. */
#include "care/slices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOWS_MAX 4

typedef struct view {
    const char *name;
    wd_window_choice choice;
} view;

/* What a reader of such a study looks at first. */
static const char *usual_windows(const wd_series *s)
{
    static const struct {
        const char *body, *windows;
    } ct[] = {
        { "CHEST", "lung,mediastinum" },
        { "THORAX", "lung,mediastinum" },
        { "LUNG", "lung,mediastinum" },
        { "HEAD", "brain,bone" },
        { "BRAIN", "brain,bone" },
        { "ABDOMEN", "abdomen" },
        { "LIVER", "liver" },
        { "PELVIS", "abdomen" },
    };
    if (strcmp(s->modality, "CT") != 0)
        return "file";
    for (size_t i = 0; i < WD_COUNT(ct); i++)
        if (strstr(s->body_part, ct[i].body))
            return ct[i].windows;
    return "file";
}

static wd_status parse_views(wd_arena *a, const char *list, view *out, uint32_t *n, wd_err *err)
{
    for (const char *at = list; *at;) {
        const char *comma = strchr(at, ',');
        const size_t len = comma ? (size_t)(comma - at) : strlen(at);
        char *name = wd_arena_strndup(a, at, len);
        if (!name)
            return WD_FAIL(err, WD_E_NOMEM, "windows: no memory");
        if (*n == WINDOWS_MAX)
            return WD_FAIL(err, WD_E_USAGE, "windows: more than %d in \"%s\"", WINDOWS_MAX, list);
        out[*n].name = name;
        WD_TRY(wd_window_parse(name, &out[*n].choice, err));
        ++*n;
        at += len + (comma != NULL);
    }
    if (!*n)
        return WD_FAIL(err, WD_E_USAGE, "windows: none in \"%s\"", list);
    return WD_OK;
}

static wd_status no_such_series(const wd_study *s, const char *want, wd_err *err)
{
    char list[256] = "";
    size_t at = 0;
    for (size_t i = 0; i < wd_study_n_series(s) && at < sizeof list - 64; i++) {
        const wd_series *one = wd_study_series(s, i);
        if (one->number == INT32_MIN)
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%.40s", at ? ", " : "", one->series_uid);
        else
            at += (size_t)snprintf(list + at, sizeof list - at, "%s%d", at ? ", " : "", one->number);
    }
    return WD_FAIL(err, WD_E_NOT_FOUND, "the study has no series %s, but %s", want, list);
}

wd_status wd_slices_series(const wd_study *s, const char *want, size_t *out, wd_err *err)
{
    const size_t n = wd_study_n_series(s);
    size_t best = SIZE_MAX;
    if (want && strcmp(want, "auto") != 0) {
        char *end;
        const long number = strtol(want, &end, 10);
        for (size_t i = 0; i < n && best == SIZE_MAX; i++) {
            const wd_series *one = wd_study_series(s, i);
            if (!strcmp(one->series_uid, want) || (end != want && !*end && one->number == number))
                best = i;
        }
        if (best == SIZE_MAX)
            return no_such_series(s, want, err);
    }
    for (size_t i = 0; (!want || !strcmp(want, "auto")) && i < n; i++) {
        const wd_series *one = wd_study_series(s, i),
                        *had = best == SIZE_MAX ? NULL : wd_study_series(s, best);
        if (!had || (had->is_localizer && !one->is_localizer) ||
            (had->is_localizer == one->is_localizer && one->n_slice > had->n_slice))
            best = i;
    }
    if (best == SIZE_MAX)
        return WD_FAIL(err, WD_E_NOT_FOUND, "the study has no series");
    *out = best;
    return WD_OK;
}

/* The range of the rule, [*first, *first + *n) from 0. */
static wd_status read_rule(const char *rule, uint32_t n_slice, uint32_t *first, uint32_t *n, wd_err *err)
{
    *first = 0;
    *n = n_slice;
    if (!rule || !strcmp(rule, "even") || !strcmp(rule, "all"))
        return WD_OK;
    unsigned from, to;
    int used = 0;
    if (sscanf(rule, "%u-%u%n", &from, &to, &used) != 2 || rule[used])
        return WD_FAIL(err, WD_E_USAGE, "slices: \"%s\", expected even, all, or a range such as 10-20", rule);
    if (from < 1 || to < from || to > n_slice)
        return WD_FAIL(err, WD_E_USAGE, "slices: %u-%u, expected a range within 1-%u", from, to, n_slice);
    *first = from - 1;
    *n = to - from + 1;
    return WD_OK;
}

/* Draws one slice through every view. */
static wd_status draw(const wd_study *s, wd_slices *out, uint32_t slice, const view *views,
                      wd_slice_picture *to, wd_err *err)
{
    wd_dicom *d = NULL;
    wd_status st = wd_study_load_slice(s, out->series_i, slice, &d, err);
    for (uint32_t v = 0; !st && v < out->n_window; v++) {
        to[v].slice = slice;
        to[v].info = wd_study_slice(s, out->series_i, slice);
        to[v].window = out->series->is_colour ? "" : views[v].name;
        st = wd_dicom_render(d, 0, &views[v].choice, &to[v].image, NULL, err);
    }
    wd_dicom_close(d);
    return st;
}

static void free_pictures(void *arg)
{
    wd_slices *s = arg;
    for (uint32_t i = 0; i < s->n_picture; i++)
        wd_image_free(&s->picture[i].image);
}

wd_status wd_slices_pick(const wd_study *s, const wd_slices_opts *o, wd_arena *a, wd_slices *out, wd_err *err)
{
    wd_slices *r = WD_NEW(a, wd_slices); /* in the arena: its pictures are freed with it */
    if (!r)
        return WD_FAIL(err, WD_E_NOMEM, "slices: no memory");
    WD_TRY(wd_slices_series(s, o->series, &r->series_i, err));
    r->series = wd_study_series(s, r->series_i);

    view views[WINDOWS_MAX] = { 0 };
    const char *windows = !o->windows || !strcmp(o->windows, "auto") ? usual_windows(r->series) : o->windows;
    WD_TRY(parse_views(a, windows, views, &r->n_window, err));
    if (r->series->is_colour)
        r->n_window = 1;

    uint32_t first, n;
    WD_TRY(read_rule(o->rule, r->series->n_slice, &first, &n, err));
    r->n_slice = o->n_slice && o->n_slice < n ? o->n_slice : n;
    r->picture = WD_NEW_N(a, wd_slice_picture, (size_t)r->n_slice * r->n_window);
    if (!r->picture || wd_arena_defer(a, free_pictures, r))
        return WD_FAIL(err, WD_E_NOMEM, "slices: no memory for %u pictures", r->n_slice * r->n_window);
    for (uint32_t i = 0; i < r->n_slice; i++) {
        if (o->cancel && atomic_load(o->cancel))
            return WD_FAIL(err, WD_E_CANCELLED, "cancelled while slices were read");
        if (o->progress)
            o->progress(o->progress_self, i, r->n_slice);
        /* the middles of n_slice equal parts: never only the outermost slices, which show little */
        const uint32_t slice = first + (uint32_t)(((uint64_t)2 * i + 1) * n / (2 * (uint64_t)r->n_slice));
        r->n_picture = (i + 1) * r->n_window;
        WD_TRY(draw(s, r, slice, views, &r->picture[(size_t)i * r->n_window], err));
    }
    *out = *r;
    return WD_OK;
}
