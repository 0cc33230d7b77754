/* The draft as JSON and as Markdown. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "care/report.h"

static json_t *shown_json(const wd_slices *s)
{
    json_t *a = json_array();
    for (uint32_t i = 0; a && i < s->n_picture; i++) {
        const wd_slice_picture *p = &s->picture[i];
        json_t *v = json_pack("{s:i, s:s, s:s}", "slice", (int)p->slice + 1, "window", p->window,
                              "sop_instance_uid", p->info->sop_instance_uid);
        if (v && p->info->n_frame > 1)
            json_object_set_new(v, "frame", json_integer(p->info->frame + 1));
        if (v && p->info->has_position)
            json_object_set_new(v, "along_mm", json_real(p->info->along_mm));
        json_array_append_new(a, v);
    }
    return a;
}

static json_t *findings_json(const wd_report *r)
{
    json_t *a = json_array();
    for (uint32_t i = 0; a && i < r->n_finding; i++) {
        const wd_report_finding *f = &r->finding[i];
        json_t *slices = json_array();
        for (uint32_t k = 0; slices && k < f->n_slice; k++)
            json_array_append_new(slices, json_integer(f->slice[k]));
        json_array_append_new(a, json_pack("{s:s, s:s, s:o, s:o}", "text", f->text, "place", f->place,
                                           "size_mm", f->size_mm > 0 ? json_real(f->size_mm) : json_null(),
                                           "slices", slices));
    }
    return a;
}

static json_t *impression_json(const wd_report *r)
{
    json_t *a = json_array();
    for (uint32_t i = 0; a && i < r->n_impression; i++)
        json_array_append_new(a, json_string(r->impression[i]));
    return a;
}

static json_t *text_or_null(const char *s)
{
    return s ? json_string(s) : json_null();
}

json_t *wd_report_json(const wd_report *r)
{
    const wd_series *s = r->shown->series;
    json_t *series = json_pack("{s:s, s:s, s:s, s:s, s:s, s:i}", "study_uid", s->study_uid, "series_uid",
                               s->series_uid, "modality", s->modality, "description", s->description,
                               "body_part", s->body_part, "slices", (int)s->n_slice);
    json_t *tokens = json_pack("{s:I, s:I}", "prompt", (json_int_t)r->origin.n_prompt, "reply",
                               (json_int_t)r->origin.n_reply);
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:i, s:b, s:s, s:s, s:o, s:s, s:o}",
                     "status", "DRAFT", "created", r->origin.created, "language", r->origin.language,
                     "question", text_or_null(r->question), "series", series, "shown", shown_json(r->shown),
                     "parsed", r->parsed, "why_not_parsed", text_or_null(r->why_not), "findings",
                     findings_json(r), "impression", impression_json(r), "dropped_slice_citations",
                     (int)r->n_dropped_slices, "cut", r->origin.cut, "raw", r->raw, "model", r->origin.model,
                     "model_digest", text_or_null(r->origin.model_digest), "prompt_digest",
                     r->origin.prompt_digest, "tokens", tokens);
}

/* The words of the page in the report's language. */
typedef struct words {
    const char *title, *note, *series, *question, *findings, *impression, *none, *raw, *unparsed, *cut,
        *dropped, *shown, *slice;
} words;

static const words english = {
    "Radiology report - DRAFT",
    "Written by a program from the slices listed below. Not for clinical use until a radiologist has checked "
    "and "
    "signed it.",
    "Series",
    "Clinical question",
    "Findings",
    "Impression",
    "(none)",
    "The model's text, unchanged",
    "The model's text could not be read as a report",
    "It was cut at the token limit.",
    "citations of slices that were not shown were removed",
    "Slices shown",
    "slice",
};
static const words chinese = {
    "影像报告 - 草稿 (DRAFT)",
    "由程序根据下列层面起草，经放射科医生审核签发之前不得用于临床。",
    "序列",
    "临床问题",
    "影像所见",
    "诊断印象",
    "（无）",
    "模型原文（未改动）",
    "模型输出无法解析为报告",
    "因达到长度上限而截断。",
    "处引用了未显示的层面，已删除",
    "所示层面",
    "层",
};

static void write_finding(const wd_report_finding *f, const words *w, wd_buf *out)
{
    wd_buf_printf(out, "- %s", f->text);
    if (f->place[0])
        wd_buf_printf(out, " [%s]", f->place);
    if (f->size_mm > 0)
        wd_buf_printf(out, " (%g mm)", f->size_mm);
    if (f->n_slice)
        wd_buf_printf(out, " (%s", w->slice);
    for (uint32_t k = 0; k < f->n_slice; k++)
        wd_buf_printf(out, "%s %u", k ? "," : "", f->slice[k]);
    wd_buf_str(out, f->n_slice ? ")\n" : "\n");
}

void wd_report_markdown(const wd_report *r, wd_buf *out)
{
    const words *w = !strcmp(r->origin.language, "zh") ? &chinese : &english;
    const wd_series *s = r->shown->series;
    wd_buf_printf(out, "# %s\n\n> %s\n\n%s: %s %s %s (%u)\n", w->title, w->note, w->series, s->modality,
                  s->body_part, s->description, s->n_slice);
    if (r->question)
        wd_buf_printf(out, "%s: %s\n", w->question, r->question);
    if (r->parsed) {
        wd_buf_printf(out, "\n## %s\n\n", w->findings);
        for (uint32_t i = 0; i < r->n_finding; i++)
            write_finding(&r->finding[i], w, out);
        wd_buf_printf(out, "%s\n## %s\n\n", r->n_finding ? "" : w->none, w->impression);
        for (uint32_t i = 0; i < r->n_impression; i++)
            wd_buf_printf(out, "%u. %s\n", i + 1, r->impression[i]);
        wd_buf_str(out, r->n_impression ? "" : w->none);
    } else {
        wd_buf_printf(out, "\n**%s: %s.**%s%s\n\n## %s\n\n```\n%s\n```\n", w->unparsed, r->why_not,
                      r->origin.cut ? " " : "", r->origin.cut ? w->cut : "", w->raw, r->raw);
    }
    if (r->n_dropped_slices)
        wd_buf_printf(out, "\n%u %s.\n", r->n_dropped_slices, w->dropped);
    wd_buf_printf(out, "\n## %s\n\n", w->shown);
    for (uint32_t i = 0; i < r->shown->n_picture; i++)
        wd_buf_printf(out, "- %u %s `%s`\n", r->shown->picture[i].slice + 1, r->shown->picture[i].window,
                      r->shown->picture[i].info->sop_instance_uid);
    wd_buf_printf(out, "\n---\nDRAFT, %s; model %s %s; prompt %s\n", r->origin.created, r->origin.model,
                  r->origin.model_digest ? r->origin.model_digest : "", r->origin.prompt_digest);
}

wd_status wd_report_text(const wd_report *r, bool json, wd_buf *out, wd_err *err)
{
    if (json) {
        json_t *v = wd_report_json(r);
        if (!v)
            return WD_FAIL(err, WD_E_NOMEM, "report: no memory");
        const wd_status st = wd_json_write(v, JSON_INDENT(2), out, err);
        json_decref(v);
        WD_TRY(st);
        wd_buf_char(out, '\n');
    } else {
        wd_report_markdown(r, out);
    }
    return wd_buf_check(out, "report", err);
}

wd_status wd_report_save(const wd_report *r, const char *dir, wd_err *err)
{
    WD_TRY(wd_file_mkdirs(dir, err));
    wd_status st = WD_OK;
    for (int json = 1; !st && json >= 0; json--) {
        char path[4096];
        wd_buf b = { 0 };
        st = wd_report_text(r, json, &b, err);
        if (!st && snprintf(path, sizeof path, "%s/report.%s", dir, json ? "json" : "md") >= (int)sizeof path)
            st = WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", dir);
        if (!st)
            st = wd_file_write(path, wd_buf_view(&b), err);
        wd_buf_wipe(&b);
    }
    return st;
}
