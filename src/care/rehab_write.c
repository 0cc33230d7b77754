/* The draft as JSON and as Markdown. */
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "care/rehab_inner.h"

static json_t *number(double v, double unit)
{
    return isfinite(v) ? json_real(round(v / unit) * unit) : json_null();
}

static json_t *text_or_null(const char *s)
{
    return s && *s ? json_string(s) : json_null();
}

static json_t *reps_json(const wd_rehab_measured *m)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < m->n_rep; i++) {
        const wd_rehab_rep *p = &m->rep[i];
        json_array_append_new(
            a, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "start_s", number(p->start_s, 0.01),
                         "end_s", number(p->end_s, 0.01), "peak_s", number(p->peak_s, 0.01), "peak_deg",
                         number(p->peak_deg, 0.1), "range_deg", number(p->range_deg, 0.1), "hold_s",
                         number(p->hold_s, 0.01), "left_peak_deg", number(p->side_deg[0], 0.1),
                         "right_peak_deg", number(p->side_deg[1], 0.1)));
    }
    return a;
}

static json_t *faults_json(const wd_rehab_measured *m)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < m->n_fault; i++) {
        const wd_rehab_fault *f = &m->fault[i];
        json_array_append_new(a, json_pack("{s:s, s:i, s:o, s:o, s:o, s:f}", "type",
                                           wd_rehab_fault_name(f->kind), "repetition", (int)f->rep, "start_s",
                                           number(f->start_s, 0.01), "end_s", number(f->end_s, 0.01),
                                           "worst_deg", number(f->worst_deg, 0.1), "limit_deg",
                                           wd_rehab_rule_of(m->kind)->limit_deg[f->kind]));
    }
    return a;
}

static json_t *advice_json(const wd_rehab *r)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < r->n_issue; i++) {
        const wd_rehab_issue *f = &r->issue[i];
        json_t *reps = json_array();
        for (uint32_t k = 0; k < f->n_rep; k++)
            json_array_append_new(reps, json_integer(f->rep[k]));
        json_array_append_new(
            a, json_pack("{s:s, s:o, s:o, s:s, s:o, s:o, s:s, s:o}", "type", wd_rehab_fault_name(f->kind),
                         "repetitions", reps, "worst_deg", number(f->worst_deg, 0.1), "issue", f->issue,
                         "cause", text_or_null(f->cause), "advice", text_or_null(f->advice), "phrased_by",
                         f->by_model ? "model" : "measurement", "note", text_or_null(f->note)));
    }
    return a;
}

static const char *why_name(wd_rehab_why w)
{
    static const char *const names[] = { "measured", "view", "points", "no_repetition" };
    return names[w];
}

static json_t *missing_json(const wd_rehab_measured *m)
{
    const wd_rehab_rule *rule = wd_rehab_rule_of(m->kind);
    json_t *a = json_array();
    if (m->main_why)
        json_array_append_new(a, json_pack("{s:s, s:s}", "what", wd_rehab_angle_name(rule->main), "why",
                                           why_name(m->main_why)));
    for (int k = 0; k < WD_N_FAULT; k++)
        if (rule->limit_deg[k] > 0 && m->fault_why[k])
            json_array_append_new(a,
                                  json_pack("{s:s, s:s}", "what", wd_rehab_fault_name((wd_rehab_fault_kind)k),
                                            "why", why_name(m->fault_why[k])));
    return a;
}

static void add_series(json_t *o, const char *name, const wd_rehab_measured *m, int angle, int side)
{
    json_t *a = json_array();
    bool any = false;
    for (uint32_t i = 0; i < m->n_sample; i++) {
        const double v = angle < 0 ? m->sample[i].main : m->sample[i].angle[angle][side];
        any |= isfinite(v);
        json_array_append_new(a, number(v, 0.1));
    }
    if (any)
        json_object_set_new(o, name, a);
    else
        json_decref(a);
}

static json_t *angles_json(const wd_rehab_measured *m)
{
    json_t *o = json_object(), *t = json_array(), *f = json_array();
    for (uint32_t i = 0; i < m->n_sample; i++) {
        json_array_append_new(t, number(m->sample[i].time_s, 0.001));
        json_array_append_new(f, json_integer((json_int_t)m->sample[i].frame));
    }
    json_object_set_new(o, "time_s", t);
    json_object_set_new(o, "frame", f);
    add_series(o, "main", m, -1, 0);
    for (int k = 0; k < WD_N_ANGLE; k++) {
        char name[48];
        for (int s = 0; s < 2 && k != WD_ANGLE_TRUNK_LEAN; s++) {
            snprintf(name, sizeof name, "%s_%s", s ? "right" : "left",
                     wd_rehab_angle_name((wd_rehab_angle)k));
            add_series(o, name, m, k, s);
        }
    }
    add_series(o, "trunk_lean", m, WD_ANGLE_TRUNK_LEAN, 0);
    return o;
}

json_t *wd_rehab_json(const wd_rehab *r)
{
    const wd_rehab_measured *m = r->m;
    const wd_rehab_rule *rule = wd_rehab_rule_of(m->kind);
    json_t *camera = json_pack("{s:s, s:o}", "view", wd_view_name(m->view), "yaw_deg",
                               number(m->yaw_deg, 0.1));
    json_t *points = json_pack("{s:s, s:o, s:o, s:s, s:i, s:i, s:i}", "source", r->pose_source, "coverage",
                               number(m->coverage, 0.001), "jitter_trunks", number(m->jitter, 0.001),
                               "confidence", wd_rehab_confidence(m), "samples", (int)m->n_sample, "asked",
                               (int)r->n_pose_asked, "unread", (int)r->n_pose_unread);
    json_t *tokens = json_pack("{s:I, s:I}", "prompt", (json_int_t)r->origin.n_prompt, "reply",
                               (json_int_t)r->origin.n_reply);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:s, s:s, s:o, s:o, s:b, s:b, s:i, s:b, "
        "s:s, s:o, s:o, s:o, s:o, s:o}",
        "status", "DRAFT", "created", r->origin.created, "language", r->origin.language, "exercise",
        rule->name, "main_angle", wd_rehab_angle_name(rule->main), "camera", camera, "points", points,
        "repetitions", reps_json(m), "tempo_s", number(wd_rehab_tempo_s(m), 0.01), "faults", faults_json(m),
        "advice", advice_json(r), "summary", r->summary, "summary_by",
        r->summary_by_model ? "model" : "measurement", "summary_note", text_or_null(r->summary_note),
        "not_measured", missing_json(m), "asked", r->asked, "parsed", r->parsed, "invented_faults",
        (int)r->n_invented, "cut", r->origin.cut, "raw", r->raw, "model", text_or_null(r->origin.model),
        "model_digest", text_or_null(r->origin.model_digest), "prompt_digest",
        text_or_null(r->origin.prompt_digest), "tokens", tokens, "angles", angles_json(m));
}

/* ---- Markdown ---- */

typedef struct words {
    const char *title, *note, *exercise, *view, *confidence[3], *reps, *head, *faults, *none, *cause, *advice,
        *missing, *why[4], *summary, *by_measurement, *rep;
} words;

static const words english = {
    "Exercise report - DRAFT",
    "Measured by a program from the joints in a video. Not for treatment until a physiotherapist has checked "
    "it.",
    "Exercise",
    "Camera",
    { "confidence high", "confidence medium", "confidence low" },
    "Repetitions",
    "| | from s | to s | peak | range | held s |\n|---|---|---|---|---|---|\n",
    "Faults",
    "none found",
    "Likely cause",
    "Advice",
    "Not measured",
    { "", "the camera does not see it: film from the side (abduction: from the front)",
      "too few joints were found", "there was no repetition" },
    "Summary",
    "in the measurement's words",
    "rep",
};
static const words chinese = {
    "动作评估报告 - 草稿 (DRAFT)",
    "由程序根据视频中的关节点测量，经物理治疗师核对之前不得用于治疗。",
    "动作",
    "拍摄角度",
    { "可信度高", "可信度中", "可信度低" },
    "次数",
    "| | 开始 s | 结束 s | 峰值 | 幅度 | 保持 s |\n|---|---|---|---|---|---|\n",
    "问题",
    "未发现",
    "可能原因",
    "建议",
    "未能测量",
    { "", "摄像机角度看不到：请从侧面拍摄（肩外展从正面）", "找到的关节点太少", "没有完成的动作" },
    "小结",
    "按测量结果表述",
    "第",
};

static void write_issue(const wd_rehab *r, const wd_rehab_issue *f, const words *w, wd_buf *out)
{
    wd_buf_printf(out, "- **%s**", f->issue);
    for (uint32_t i = 0, n = 0; i < r->m->n_fault; i++) {
        const wd_rehab_fault *g = &r->m->fault[i];
        if (g->kind == f->kind)
            wd_buf_printf(out, "%s%.1f-%.1f s", n++ ? ", " : " (", g->start_s, g->end_s);
    }
    wd_buf_str(out, ")\n");
    if (f->cause)
        wd_buf_printf(out, "  - %s: %s\n", w->cause, f->cause);
    if (f->advice)
        wd_buf_printf(out, "  - %s: %s\n", w->advice, f->advice);
    if (f->note)
        wd_buf_printf(out, "  - *%s*\n", f->note);
}

static void write_missing(const wd_rehab_measured *m, const words *w, bool zh, wd_buf *out)
{
    const wd_rehab_rule *rule = wd_rehab_rule_of(m->kind);
    bool any = false;
    for (int k = 0; k < WD_N_FAULT; k++) {
        if (rule->limit_deg[k] <= 0 || !m->fault_why[k])
            continue;
        if (!any)
            wd_buf_printf(out, "\n## %s\n\n", w->missing);
        any = true;
        wd_buf_printf(out, "- %s: %s\n", wd_rehab__fault_title((wd_rehab_fault_kind)k, zh),
                      w->why[m->fault_why[k]]);
    }
}

void wd_rehab_markdown(const wd_rehab *r, wd_buf *out)
{
    const wd_rehab_measured *m = r->m;
    const bool zh = !strcmp(r->origin.language, "zh");
    const words *w = zh ? &chinese : &english;
    const char *c = wd_rehab_confidence(m);
    wd_buf_printf(out, "# %s\n\n> %s\n\n%s: %s\n%s: %s, %s\n", w->title, w->note, w->exercise,
                  wd_rehab_rule_of(m->kind)->title[zh], w->view, wd_view_name(m->view),
                  w->confidence[*c == 'h'   ? 0
                                : *c == 'm' ? 1
                                            : 2]);
    wd_buf_printf(out, "\n## %s\n\n%s\n", w->summary, r->summary);
    if (r->summary_note)
        wd_buf_printf(out, "\n*%s*\n", r->summary_note);
    wd_buf_printf(out, "\n## %s: %u\n\n", w->reps, m->n_rep);
    if (m->n_rep)
        wd_buf_str(out, w->head);
    for (uint32_t i = 0; i < m->n_rep; i++) {
        const wd_rehab_rep *p = &m->rep[i];
        wd_buf_printf(out, "| %u | %.1f | %.1f | %.0f° | %.0f° | %.1f |\n", i + 1, p->start_s, p->end_s,
                      p->peak_deg, p->range_deg, p->hold_s);
    }
    wd_buf_printf(out, "\n## %s\n\n", w->faults);
    if (!r->n_issue && !m->main_why)
        wd_buf_printf(out, "%s\n", w->none);
    for (uint32_t i = 0; i < r->n_issue; i++)
        write_issue(r, &r->issue[i], w, out);
    write_missing(m, w, zh, out);
    wd_buf_printf(out, "\n---\nDRAFT, %s; %s %s; prompt %s\n", r->origin.created,
                  r->origin.model ? r->origin.model : w->by_measurement,
                  r->origin.model_digest ? r->origin.model_digest : "", r->origin.prompt_digest);
}

wd_status wd_rehab_text(const wd_rehab *r, bool json, wd_buf *out, wd_err *err)
{
    if (json) {
        json_t *v = wd_rehab_json(r);
        if (!v)
            return WD_FAIL(err, WD_E_NOMEM, "rehab: no memory");
        const wd_status st = wd_json_write(v, JSON_INDENT(2) | JSON_REAL_PRECISION(9), out, err);
        json_decref(v);
        WD_TRY(st);
        wd_buf_char(out, '\n');
    } else {
        wd_rehab_markdown(r, out);
    }
    return wd_buf_check(out, "rehab", err);
}

wd_status wd_rehab_save(const wd_rehab *r, const char *dir, wd_err *err)
{
    WD_TRY(wd_file_mkdirs(dir, err));
    wd_status st = WD_OK;
    for (int json = 1; !st && json >= 0; json--) {
        char path[4096];
        wd_buf b = { 0 };
        st = wd_rehab_text(r, json, &b, err);
        if (!st && snprintf(path, sizeof path, "%s/rehab.%s", dir, json ? "json" : "md") >= (int)sizeof path)
            st = WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", dir);
        if (!st)
            st = wd_file_write(path, wd_buf_view(&b), err);
        wd_buf_wipe(&b);
    }
    return st;
}
