/* Windows: DICOM PS3.3 C.11.2.1.2 and C.11.2.1.3, and the names that radiologists use. */
#include "media/window.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Typical values for adults, from "Windowing (CT)" at radiopaedia.org/articles/windowing-ct, where it gives a range a
 * value inside it; "mediastinum" and "angio" as most viewers have them. Institutions differ: numbers can be given. */
static const wd_window_preset presets[] = {
    { "lung", -600, 1500, "lung parenchyma" },
    { "mediastinum", 40, 400, "mediastinum and soft tissue of the chest" },
    { "soft", 40, 400, "soft tissue" },
    { "bone", 400, 1800, "bone" },
    { "brain", 40, 80, "brain" },
    { "stroke", 40, 40, "early ischaemia: grey and white matter" },
    { "subdural", 75, 215, "blood beside bone" },
    { "temporal", 600, 2800, "temporal bone" },
    { "abdomen", 50, 400, "abdomen" },
    { "liver", 30, 150, "liver" },
    { "spine", 50, 250, "soft tissue of the spine" },
    { "angio", 300, 600, "contrast-filled vessels" },
};

const wd_window_preset *wd_window_preset_at(size_t i)
{
    return i < WD_COUNT(presets) ? &presets[i] : NULL;
}

const wd_window_preset *wd_window_preset_find(wd_span name)
{
    for (size_t i = 0; i < WD_COUNT(presets); i++) {
        const char *p = presets[i].name;
        size_t k = 0;
        if (strlen(p) != name.n)
            continue;
        while (k < name.n && tolower(name.p[k]) == p[k])
            k++;
        if (k == name.n)
            return &presets[i];
    }
    return NULL;
}

/* "center/width"; false when it is not two finite numbers. */
static bool parse_numbers(wd_span s, wd_window *w)
{
    char text[64], *end;

    if (s.n == 0 || s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    if (strspn(text, "0123456789+-.eE/") != s.n)
        return false;
    w->center = strtod(text, &end);
    if (end == text || *end != '/')
        return false;
    const char *width = end + 1;
    w->width = strtod(width, &end);
    return end != width && *end == 0 && isfinite(w->center) && isfinite(w->width);
}

static wd_status unknown(const char *text, wd_err *err)
{
    char names[256];
    size_t n = 0;
    for (size_t i = 0; i < WD_COUNT(presets); i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", i ? ", " : "", presets[i].name);
    return WD_FAIL(err, WD_E_USAGE, "window %.40s: expected file, file:N, range, CENTER/WIDTH or one of %s",
                   text, names);
}

wd_status wd_window_parse(const char *text, wd_window_choice *out, wd_err *err)
{
    wd_window_choice c = WD_WINDOW_CHOICE_DEFAULT;
    const char *colon = strchr(text, ':');
    const wd_span name = wd_span_of(text, colon ? (size_t)(colon - text) : strlen(text));
    const char *tail = colon ? colon + 1 : NULL;
    const wd_window_preset *p = wd_window_preset_find(name);

    if (wd_span_is(name, "file")) {
        char *end = NULL;
        const unsigned long n = tail ? strtoul(tail, &end, 10) : 1;
        if (tail && (!isdigit((unsigned char)*tail) || *end || n < 1 || n > 64))
            return WD_FAIL(err, WD_E_USAGE, "window %.40s: expected file:1 to file:64", text);
        c.tag_i = (uint32_t)n - 1;
    } else if (wd_span_is(name, "range") && !tail) {
        c.kind = WD_WINDOW_BY_RANGE;
    } else if (p && !tail) {
        c.kind = WD_WINDOW_BY_NUMBER;
        c.w = (wd_window){ .center = p->center, .width = p->width };
    } else if (parse_numbers(name, &c.w)) {
        c.kind = WD_WINDOW_BY_NUMBER;
        if (tail && strcmp(tail, "exact") == 0)
            c.w.fn = WD_WINDOW_LINEAR_EXACT;
        else if (tail && strcmp(tail, "sigmoid") == 0)
            c.w.fn = WD_WINDOW_SIGMOID;
        else if (tail)
            return unknown(text, err);
        if (c.w.fn == WD_WINDOW_LINEAR ? c.w.width < 1 : c.w.width <= 0)
            return WD_FAIL(err, WD_E_USAGE, "window %.40s: the width must be at least 1", text);
    } else {
        return unknown(text, err);
    }
    *out = c;
    return WD_OK;
}

double wd_window_at(const wd_window *w, double x)
{
    const double c = w->center, width = w->width;

    switch (w->fn) {
    case WD_WINDOW_SIGMOID:
        return 1 / (1 + exp(-4 * (x - c) / width));
    case WD_WINDOW_LINEAR_EXACT:
        if (x <= c - width / 2)
            return 0;
        if (x > c + width / 2)
            return 1;
        return (x - c) / width + 0.5;
    default:
        if (x <= c - 0.5 - (width - 1) / 2)
            return 0;
        if (x > c - 0.5 + (width - 1) / 2)
            return 1;
        return (x - (c - 0.5)) / (width - 1) + 0.5;
    }
}

void wd_window_apply(const wd_window *w, const float *v, size_t n, bool inverted, uint8_t *out)
{
    for (size_t i = 0; i < n; i++) {
        if (isnan(v[i])) {
            out[i] = 0;
            continue;
        }
        const uint8_t y = (uint8_t)(wd_window_at(w, v[i]) * 255 + 0.5);
        out[i] = inverted ? (uint8_t)(255 - y) : y;
    }
}

wd_window wd_window_of_range(double lo, double hi)
{
    /* A flat image has no contrast to show: one value, mid-grey. */
    const double width = hi > lo ? hi - lo : 1;
    return (wd_window){ .center = lo + (hi - lo) / 2, .width = width, .fn = WD_WINDOW_LINEAR_EXACT };
}
