/* The story "report". */
#include "care/report.h"

#include <stdio.h>
#include <string.h>

/* "CT slice 12 (lung)" before each picture: the number that a finding may cite. */
static const char *label(wd_arena *a, const wd_report_opts *o, const wd_slice_picture *p)
{
    const bool zh = !strcmp(o->ask.language, "zh");
    const char *window = p->window[0] ? p->window : "";
    if (zh)
        return wd_arena_printf(a, *window ? "第 %u 层（%s）：" : "第 %u 层：", p->slice + 1, window);
    return wd_arena_printf(a, *window ? "Slice %u (%s): " : "Slice %u: ", p->slice + 1, window);
}

static wd_span or_unknown(const wd_report_opts *o, const char *s)
{
    if (s && *s)
        return wd_span_str(s);
    return !strcmp(o->ask.language, "zh") ? WD_SPAN_LIT("无") : WD_SPAN_LIT("none given");
}

static wd_status user_message(const wd_prompt_file *f, const wd_report_opts *o, const wd_slices *s,
                              wd_arena *a, wd_message *out, wd_err *err)
{
    char numbers[2][16];
    snprintf(numbers[0], sizeof numbers[0], "%u", s->n_slice);
    snprintf(numbers[1], sizeof numbers[1], "%u", s->series->n_slice);
    const wd_prompt_value values[] = {
        { "modality", or_unknown(o, s->series->modality) },
        { "body_part", or_unknown(o, s->series->body_part) },
        { "series", or_unknown(o, s->series->description) },
        { "n_slices", wd_span_str(numbers[0]) },
        { "n_series_slices", wd_span_str(numbers[1]) },
        { "question", or_unknown(o, o->question) },
        { "earlier", or_unknown(o, o->earlier) },
    };
    const char **labels = WD_NEW_N(a, const char *, s->n_picture);
    bool whole = labels;
    for (uint32_t i = 0; whole && i < s->n_picture; i++)
        whole = (labels[i] = label(a, o, &s->picture[i])) != NULL;
    if (!whole)
        return WD_FAIL(err, WD_E_NOMEM, "report: no memory");
    return wd_ask_message(f, values, WD_COUNT(values), labels, s->n_picture, a, out, err);
}

wd_status wd_report_make(wd_engine *e, const wd_study *study, const wd_report_opts *o, wd_arena *a,
                         wd_report *out, wd_err *err)
{
    wd_slices *shown = WD_NEW(a, wd_slices);
    if (!shown)
        return WD_FAIL(err, WD_E_NOMEM, "report: no memory");
    WD_TRY(wd_slices_pick(study, &o->slices, a, shown, err));
    wd_prompt_file file;
    wd_message message;
    WD_TRY(wd_prompt_file_read(o->ask.prompt_path, a, &file, err));
    WD_TRY(user_message(&file, o, shown, a, &message, err));
    wd_image *images = WD_NEW_N(a, wd_image, shown->n_picture);
    if (!images)
        return WD_FAIL(err, WD_E_NOMEM, "report: no memory");
    for (uint32_t i = 0; i < shown->n_picture; i++)
        images[i] = shown->picture[i].image;

    wd_report r = { .shown = shown, .question = o->question };
    const wd_media media = { .image = images, .n_image = shown->n_picture };
    wd_origin_begin(&r.origin, e, &o->ask, &file);
    WD_TRY(wd_ask_text(e, &o->ask, file.system, &message, &media, a, &r.origin, &r.raw, err));
    (void)wd_report_parse(wd_span_str(r.raw), shown, a, &r); /* r.parsed tells */
    *out = r;
    return WD_OK;
}
