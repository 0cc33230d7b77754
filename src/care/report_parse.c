/* A model's reply becomes findings and impression, or is said not to. */
#include <ctype.h>
#include <string.h>

#include "base/json.h"
#include "care/reply.h"
#include "care/report.h"

#define FINDINGS_MAX 200u
#define SLICES_MAX 1000u

static const char *copy(wd_arena *a, wd_span s)
{
    return wd_arena_strndup(a, (const char *)s.p, s.n);
}

static bool was_shown(const wd_slices *shown, json_int_t number)
{
    for (uint32_t i = 0; shown && i < shown->n_picture; i++)
        if ((json_int_t)shown->picture[i].slice + 1 == number)
            return true;
    return false;
}

/* Citations of slices that were shown; others are counted. */
static bool take_slices(const json_t *list, const wd_slices *shown, wd_arena *a, wd_report_finding *f,
                        uint32_t *dropped)
{
    const size_t n = WD_MIN(json_array_size(list), SLICES_MAX);
    f->slice = WD_NEW_N(a, uint32_t, n);
    for (size_t i = 0; f->slice && i < n; i++) {
        const json_t *v = json_array_get(list, i);
        if (json_is_integer(v) && was_shown(shown, json_integer_value(v)))
            f->slice[f->n_slice++] = (uint32_t)json_integer_value(v);
        else
            ++*dropped;
    }
    return f->slice != NULL;
}

static const char *take_finding(const json_t *v, const wd_slices *shown, wd_arena *a, wd_report_finding *f,
                                uint32_t *dropped)
{
    const json_t *text = json_is_string(v) ? v : json_object_get(v, "text");
    const json_t *place = json_object_get(v, "place"), *size = json_object_get(v, "size_mm"),
                 *slices = json_object_get(v, "slices");
    if (!json_is_string(text) || !json_string_length(text))
        return "a finding has no text";
    if (size && !json_is_null(size) && !(json_is_number(size) && json_number_value(size) >= 0))
        return "size_mm of a finding is no number";
    f->text = copy(a, wd_span_of(json_string_value(text), json_string_length(text)));
    f->place = json_is_string(place) ? copy(a, wd_span_str(json_string_value(place))) : "";
    f->size_mm = json_number_value(size);
    if (!f->text || !f->place || !take_slices(slices, shown, a, f, dropped))
        return "there was no memory for it";
    return NULL;
}

/* NULL, or why this object is no report. */
static const char *take_object(const json_t *o, const wd_slices *shown, wd_arena *a, wd_report *r)
{
    const json_t *findings = json_object_get(o, "findings"), *impression = json_object_get(o, "impression");
    if (!json_is_array(findings) || !json_is_array(impression))
        return "the JSON has no findings or no impression array";
    const size_t nf = json_array_size(findings), ni = json_array_size(impression);
    if (nf > FINDINGS_MAX || ni > FINDINGS_MAX)
        return "it lists more findings than a report can have";
    r->finding = WD_NEW_N(a, wd_report_finding, nf);
    r->impression = WD_NEW_N(a, const char *, ni);
    if (!r->finding || !r->impression)
        return "there was no memory for it";
    for (size_t i = 0; i < nf; i++) {
        const char *why = take_finding(json_array_get(findings, i), shown, a, &r->finding[i],
                                       &r->n_dropped_slices);
        if (why)
            return why;
        r->n_finding++;
    }
    for (size_t i = 0; i < ni; i++) {
        const json_t *v = json_array_get(impression, i);
        const char *s = json_is_string(v) ? copy(a, wd_span_str(json_string_value(v))) : NULL;
        if (!s)
            return "an impression is no text";
        r->impression[r->n_impression++] = s;
    }
    return NULL;
}

/* Is this line the heading? "Findings:", "**Impression**", "## 印象", "影像所见：" and the like. */
static bool is_heading(wd_span line, const char *const *words, wd_span *rest)
{
    static const char *const colons[] = { ":", "\xEF\xBC\x9A" };
    while (line.n && strchr("#*[ \xE3", line.p[0]) && line.p[0] < 0x80)
        line = wd_span_sub(line, 1, line.n);
    if (wd_span_starts(line, "\xE3\x80\x90")) /* 【 */
        line = wd_span_sub(line, 3, line.n);
    for (size_t i = 0; words[i]; i++) {
        const size_t n = strlen(words[i]);
        if (line.n < n || strncasecmp((const char *)line.p, words[i], n) != 0)
            continue;
        wd_span after = wd_span_sub(line, n, line.n);
        while (after.n && strchr("*]# ", after.p[0]))
            after = wd_span_sub(after, 1, after.n);
        if (wd_span_starts(after, "\xE3\x80\x91")) /* 】 */
            after = wd_span_sub(after, 3, after.n);
        bool colon = false;
        for (size_t k = 0; k < WD_COUNT(colons) && !colon; k++) {
            if (wd_span_starts(after, colons[k])) {
                after = wd_span_sub(after, strlen(colons[k]), after.n);
                colon = true;
            }
        }
        while (after.n && strchr("* ", after.p[0]))
            after = wd_span_sub(after, 1, after.n);
        if (colon || !after.n) {
            *rest = after;
            return true;
        }
    }
    return false;
}

/* The item of a list line without its bullet or number. */
static wd_span without_bullet(wd_span line)
{
    line = wd_reply_trim(line);
    size_t i = 0;
    while (i < line.n && isdigit(line.p[i]))
        i++;
    if (i && i < line.n && (line.p[i] == '.' || line.p[i] == ')'))
        return wd_reply_trim(wd_span_sub(line, i + 1, line.n));
    if (line.n > 1 && (line.p[0] == '-' || line.p[0] == '*') && line.p[1] == ' ')
        return wd_reply_trim(wd_span_sub(line, 2, line.n));
    return line;
}

static const char *take_text(wd_span text, wd_arena *a, wd_report *r)
{
    static const char *const findings[] = { "findings", "影像所见", "检查所见", "所见", NULL };
    static const char *const impression[] = {
        "impression", "conclusion", "诊断印象", "影像诊断", "印象", NULL
    };
    enum { BEFORE, FINDINGS, IMPRESSION } in = BEFORE;
    r->finding = WD_NEW_N(a, wd_report_finding, FINDINGS_MAX);
    r->impression = WD_NEW_N(a, const char *, FINDINGS_MAX);
    if (!r->finding || !r->impression)
        return "there was no memory for it";
    bool seen[2] = { false, false };
    for (size_t at = 0; at < text.n;) {
        size_t end = wd_span_find(text, WD_SPAN_LIT("\n"), at);
        end = end == SIZE_MAX ? text.n : end;
        wd_span line = wd_reply_trim(wd_span_sub(text, at, end - at));
        at = end + 1;
        if (is_heading(line, findings, &line)) {
            in = FINDINGS;
            seen[0] = true;
        } else if (is_heading(line, impression, &line)) {
            in = IMPRESSION;
            seen[1] = true;
        }
        line = without_bullet(line);
        if (!line.n || in == BEFORE)
            continue;
        const char *s = copy(a, line);
        if (!s || r->n_finding == FINDINGS_MAX || r->n_impression == FINDINGS_MAX)
            return "it is too long for a report";
        if (in == FINDINGS)
            r->finding[r->n_finding++] = (wd_report_finding){ .text = s, .place = "" };
        else
            r->impression[r->n_impression++] = s;
    }
    return seen[0] && seen[1] ? NULL
                              : "it is neither the JSON asked for nor text with findings and impression";
}

bool wd_report_parse(wd_span text, const wd_slices *shown, wd_arena *a, wd_report *out)
{
    wd_err err;
    json_t *v = NULL;
    const wd_span body = wd_reply_body(text);
    const char *why;
    if (body.n && body.p[0] == '{') {
        const wd_status st = wd_json_parse(body, "reply", &v, &err);
        why = st ? "it is no whole JSON object" : take_object(v, shown, a, out);
    } else {
        why = take_text(text, a, out);
    }
    json_decref(v);
    out->parsed = why == NULL;
    out->why_not = why;
    if (why) {
        out->n_finding = out->n_impression = 0;
        out->n_dropped_slices = 0;
    }
    return out->parsed;
}
