/* What of a section agrees with the truth, one thing at a time. The evaluation decides: matches come with its results,
 * and single pairs are put to its score(). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "care/eval/eval.h"
#include "care/rehab_rules.h"
#include "cli/demo/demo.h"

const char *wd_demo_section_name(wd_demo_section s)
{
    static const char *const names[] = { "report", "find", "rehab", "lesson", "assist" };
    return names[s];
}

json_t *wd_demo_at(const wd_demo *d, wd_demo_section s)
{
    return json_object_get(json_object_get(d->all, "sections"), wd_demo_section_name(s));
}

const char *wd_demo_str(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

double wd_demo_num(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

size_t wd_demo_len(const json_t *o, const char *key)
{
    return json_array_size(json_object_get(o, key));
}

static const struct {
    const char *code, *text[2];
} words[] = {
    { "missed", { "missed", "漏报" } },
    { "invented", { "not there", "实际不存在" } },
    { "side", { "wrong side", "左右错误" } },
    { "lobe", { "wrong lobe", "肺叶错误" } },
    { "size", { "wrong size", "大小不符" } },
    { "density", { "wrong density", "密度错误" } },
    { "margin", { "wrong margin", "边缘错误" } },
    { "unreadable", { "could not be read", "无法读取" } },
    { "contradiction", { "contradicts itself", "自相矛盾" } },
    { "unsupported", { "nothing supports it", "无依据" } },
    { "impression", { "wrong first impression", "首要印象错误" } },
    { "not first", { "in the first three, not first", "前三名内，非首位" } },
    { "count", { "wrong number", "次数错误" } },
    { "words", { "words replaced by the measurement's", "措辞由测量结果代替" } },
    { "unmeasured", { "could not be measured", "无法测量" } },
    { "time", { "wrong time", "时间不符" } },
    { "title", { "wrong title", "标题错误" } },
    { "call", { "wrong tool call", "工具调用错误" } },
    { "value", { "wrong value", "数值错误" } },
    { "ungrounded", { "number from no record", "数字无出处" } },
};

const char *wd_demo_fault(const char *code, bool zh)
{
    for (size_t i = 0; i < WD_COUNT(words); i++)
        if (!strcmp(words[i].code, code))
            return words[i].text[zh];
    return code;
}

const char *wd_demo_agrees(const char *code, bool zh)
{
    if (!code || !*code)
        return zh ? "未运行" : "did not run";
    if (!strcmp(code, "yes"))
        return zh ? "与真值一致" : "agrees with the truth";
    if (!strcmp(code, "partly"))
        return zh ? "部分一致" : "agrees in part";
    return zh ? "与真值不符" : "does not agree";
}

const char *wd_demo_title(wd_demo_section s, bool zh)
{
    static const char *const titles[][2] = { { "Report draft", "报告草稿" },
                                             { "Slices for a sentence", "按句找图" },
                                             { "Exercise", "康复动作" },
                                             { "Teaching video", "宣教视频" },
                                             { "Question about a chart", "病历问答" } };
    return titles[s][zh];
}

const char *wd_demo_movement(const char *code, bool zh)
{
    static const char *const names[WD_N_FAULT][2] = { { "knees past the toes", "膝超脚尖" },
                                                      { "trunk leans", "躯干倾斜" },
                                                      { "too little range", "幅度不足" },
                                                      { "left and right differ", "左右不对称" },
                                                      { "raised knee bends", "抬腿屈膝" } };
    const wd_rehab_fault_kind k = wd_rehab_fault_of(code);
    return k < WD_N_FAULT ? names[k][zh] : code;
}

const char *wd_demo_angle(const char *code, bool zh)
{
    static const char *const names[WD_N_ANGLE][2] = { { "knee flexion", "膝关节屈曲" },
                                                      { "hip flexion", "髋关节屈曲" },
                                                      { "shoulder abduction", "肩外展" },
                                                      { "trunk lean", "躯干倾斜" },
                                                      { "shin lean", "小腿倾斜" } };
    for (int i = 0; i < WD_N_ANGLE; i++)
        if (!strcmp(wd_rehab_angle_name((wd_rehab_angle)i), code))
            return names[i][zh];
    return code;
}

/* ---- checks ---- */

typedef struct judge {
    json_t *checks;
    const json_t *truth; /* of the case */
    const wd_eval_suite *suite;
    const char *language;
    wd_err *err;
} judge;

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "demo: no memory");
}

/* A new check; it belongs to the list. NULL: no memory. */
static json_t *add(judge *j, const char *about, const char *truth, const char *said)
{
    json_t *c = json_pack("{s:s, s:s?, s:s?, s:[]}", "about", about, "truth", truth, "said", said, "faults");
    return json_array_append_new(j->checks, c) ? NULL : c;
}

static void fault(json_t *check, const char *word)
{
    json_array_append_new(json_object_get(check, "faults"), json_string(word));
}

/* The suite's metrics of one result, which is given up. */
static wd_status score(judge *j, json_t *result, json_t **metrics, wd_err *err)
{
    *metrics = NULL;
    json_t *m = json_object();
    wd_status st = result && m && !json_object_set_new(result, "language", json_string(j->language))
                       ? j->suite->score(&result, 1, m, err)
                       : no_memory(err);
    json_decref(result);
    if (st)
        json_decref(m);
    else
        *metrics = m;
    return st;
}

static bool below_one(const json_t *metrics, const char *name)
{
    const json_t *v = json_object_get(metrics, name);
    return json_is_number(v) && json_number_value(v) < 1;
}

/* What the suite wants a metric to be at most; INFINITY where it wants nothing. */
static double target(const judge *j, const char *metric)
{
    for (size_t i = 0; i < j->suite->n_target; i++)
        if (!strcmp(j->suite->target[i].metric, metric) && !isnan(j->suite->target[i].value))
            return j->suite->target[i].value;
    return INFINITY;
}

/* A copy that is partner number 0 of the one on the other side. */
static json_t *alone(const json_t *v)
{
    json_t *c = json_copy((json_t *)(uintptr_t)v);
    if (c && json_object_set_new(c, "match", json_integer(0))) {
        json_decref(c);
        return NULL;
    }
    return c;
}

/* ---- report ---- */

static wd_status judge_pair(judge *j, json_t *check, const json_t *said, const json_t *truth)
{
    static const char *const same[] = { "laterality", "lobe", "density", "margin" }, *const word[] = {
        "side", "lobe", "density", "margin"
    };
    json_t *m;
    WD_TRY(score(j, json_pack("{s:[o], s:[o]}", "said", alone(said), "truth", alone(truth)), &m, j->err));
    for (size_t i = 0; i < WD_COUNT(same); i++)
        if (below_one(m, same[i]))
            fault(check, word[i]);
    const json_t *off = json_object_get(m, "size_err_mm_median");
    if (json_is_number(off) && json_number_value(off) > target(j, "size_err_mm_median")) {
        char note[64];
        fault(check, "size");
        snprintf(note, sizeof note, "%g / %g mm", wd_demo_num(said, "size_mm"),
                 wd_demo_num(truth, "size_mm"));
        json_object_set_new(check, "note", json_string(note));
    }
    json_decref(m);
    return WD_OK;
}

static bool among(const json_t *claims, const char *text)
{
    for (size_t i = 0; i < json_array_size(claims); i++)
        if (!strcmp(wd_demo_str(json_array_get(claims, i), "text"), text))
            return true;
    return false;
}

static const char *true_impression(const judge *j)
{
    const json_t *own = json_object_get(json_object_get(j->truth, "report"), j->language);
    return json_string_value(json_array_get(json_object_get(own, "impression"), 0));
}

static wd_status judge_report(judge *j, const json_t *r)
{
    const json_t *truth = json_object_get(r, "truth"), *said = json_object_get(r, "said");
    for (size_t i = 0; i < json_array_size(truth); i++) {
        const json_t *t = json_array_get(truth, i), *match = json_object_get(t, "match"),
                     *s = json_array_get(said, (size_t)json_integer_value(match));
        json_t *c = add(j, "finding", wd_demo_str(t, "text"),
                        json_is_integer(match) ? wd_demo_str(s, "text") : NULL);
        if (!c)
            return no_memory(j->err);
        if (json_is_integer(match))
            WD_TRY(judge_pair(j, c, s, t));
        else
            fault(c, "missed");
    }
    for (size_t i = 0; i < json_array_size(said); i++) {
        const json_t *s = json_array_get(said, i);
        if (!json_is_integer(json_object_get(s, "match")))
            fault(add(j, "finding", NULL, wd_demo_str(s, "text")), "invented");
    }
    if (!json_is_true(json_object_get(r, "parsed")))
        fault(add(j, "form", NULL, wd_demo_str(r, "why_not")), "unreadable");
    else if (!json_array_size(truth) && !json_array_size(said))
        add(j, "finding", "-", "-");
    for (size_t i = 0; i < wd_demo_len(r, "contradictions"); i++)
        fault(add(j, "contradiction", NULL,
                  json_string_value(json_array_get(json_object_get(r, "contradictions"), i))),
              "contradiction");
    for (size_t i = 0; i < wd_demo_len(r, "unsupported"); i++) {
        const char *text = json_string_value(json_array_get(json_object_get(r, "unsupported"), i));
        if (text && !among(said, text)) /* findings were named above */
            fault(add(j, "impression", NULL, text), "unsupported");
    }
    if (json_is_false(json_object_get(r, "impression_first")) && wd_demo_len(r, "impression"))
        fault(add(j, "impression", true_impression(j),
                  json_string_value(json_array_get(json_object_get(r, "impression"), 0))),
              "impression");
    return WD_OK;
}

/* ---- find ---- */

bool wd_demo_holds(const json_t *list, uint32_t number)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_integer_value(json_array_get(list, i)) == number)
            return true;
    return false;
}

static void slices_text(const json_t *list, size_t max, char *out, size_t size)
{
    size_t at = 0;
    out[0] = 0;
    for (size_t i = 0; i < json_array_size(list) && i < max && at < size - 16; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%lld", i ? ", " : "",
                               (long long)json_integer_value(json_array_get(list, i)));
}

static wd_status judge_find(judge *j, const json_t *r)
{
    const json_t *queries = json_object_get(r, "queries");
    for (size_t i = 0; i < json_array_size(queries); i++) {
        const json_t *q = json_array_get(queries, i);
        char want[200], got[60];
        json_t *relevant = json_array();
        for (uint32_t n = 1; relevant && n <= WD_DEMO_SLICES_MAX; n++)
            if (wd_demo_holds(json_object_get(q, "relevant"), n))
                json_array_append_new(relevant, json_integer(n));
        slices_text(relevant, 24, want, sizeof want); /* in order of position */
        json_decref(relevant);
        slices_text(json_object_get(q, "ranking"), 3, got, sizeof got);
        json_t *c = add(j, wd_demo_str(q, "sentence"), want, got), *m;
        if (!c)
            return no_memory(j->err);
        WD_TRY(score(j, json_pack("{s:[O]}", "queries", q), &m, j->err));
        if (below_one(m, "top1"))
            fault(c, below_one(m, "top3") ? "missed" : "not first");
        json_decref(m);
    }
    return WD_OK;
}

/* ---- rehab ---- */

static void fault_text(const judge *j, const json_t *f, char out[96])
{
    snprintf(out, 96, "%s, %.1f - %.1f s",
             wd_demo_movement(wd_demo_str(f, "type"), !strcmp(j->language, "zh")), wd_demo_num(f, "start_s"),
             wd_demo_num(f, "end_s"));
}

static wd_status judge_rehab(judge *j, const json_t *r)
{
    const json_t *truth = json_object_get(r, "faults_true"), *said = json_object_get(r, "faults");
    const json_t *metrics;
    json_t *m, *c;
    char a[96], b[96];
    WD_TRY(score(j, json_deep_copy(r), &m, j->err));
    metrics = m;
    const bool zh = !strcmp(j->language, "zh");
    const char *form = zh ? "次数：%d" : "repetitions: %d";
    snprintf(a, sizeof a, form, (int)wd_demo_num(r, "reps_true"));
    snprintf(b, sizeof b, form, (int)wd_demo_num(r, "reps"));
    c = add(j, "repetitions", a, b);
    if (below_one(metrics, "reps_exact"))
        fault(c, "count");
    if (!json_is_number(json_object_get(metrics, "angle_mae_deg")))
        fault(add(j, "angle", wd_demo_angle(wd_demo_str(j->truth, "main_angle"), zh), NULL), "unmeasured");
    json_decref(m);
    for (size_t i = 0; i < json_array_size(truth); i++) {
        const json_t *t = json_array_get(truth, i), *match = json_object_get(t, "match");
        fault_text(j, t, a);
        if (json_is_integer(match))
            fault_text(j, json_array_get(said, (size_t)json_integer_value(match)), b);
        c = add(j, "fault", a, json_is_integer(match) ? b : NULL);
        if (!json_is_integer(match))
            fault(c, "missed");
    }
    for (size_t i = 0; i < json_array_size(said); i++) {
        const json_t *s = json_array_get(said, i);
        fault_text(j, s, b);
        if (!json_is_integer(json_object_get(s, "match")))
            fault(add(j, "fault", NULL, b), "invented");
    }
    if (json_is_true(json_object_get(r, "asked")) && !json_is_true(json_object_get(r, "phrase_ok")))
        fault(add(j, "words", NULL, NULL), "words");
    return WD_OK;
}

/* ---- lesson ---- */

static wd_status judge_lesson(judge *j, const json_t *r)
{
    const json_t *truth = json_object_get(r, "steps_true"), *said = json_object_get(r, "steps");
    json_t *c = add(j, "title", wd_demo_str(r, "title_true"), wd_demo_str(r, "title")), *m;
    WD_TRY(score(j, json_deep_copy(r), &m, j->err));
    if (below_one(m, "title_exact"))
        fault(c, "title");
    json_decref(m);
    for (size_t i = 0; i < json_array_size(truth); i++) {
        const json_t *t = json_array_get(truth, i), *match = json_object_get(t, "match"),
                     *s = json_array_get(said, (size_t)json_integer_value(match));
        c = add(j, "step", wd_demo_str(t, "title"), json_is_integer(match) ? wd_demo_str(s, "title") : NULL);
        if (!c)
            return no_memory(j->err);
        if (!json_is_integer(match)) {
            fault(c, "missed");
            continue;
        }
        WD_TRY(score(j,
                     json_pack("{s:[o], s:[o], s:b}", "steps", alone(s), "steps_true", alone(t), "parsed", 1),
                     &m, j->err));
        if (below_one(m, "step_time_within_1s"))
            fault(c, "time");
        json_decref(m);
    }
    for (size_t i = 0; i < json_array_size(said); i++) {
        const json_t *s = json_array_get(said, i);
        if (!json_is_integer(json_object_get(s, "match")))
            fault(add(j, "step", NULL, wd_demo_str(s, "title")), "invented");
    }
    if (!json_is_true(json_object_get(r, "parsed")))
        fault(add(j, "form", NULL, NULL), "unreadable");
    return WD_OK;
}

/* ---- assist ---- */

static wd_status judge_assist(judge *j, const json_t *r)
{
    const json_t *list = json_object_get(r, "questions");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *q = json_array_get(list, i);
        json_t *c = add(j, wd_demo_str(q, "question"), wd_demo_str(q, "true_answer"),
                        wd_demo_str(q, "answer")),
               *m;
        if (!c)
            return no_memory(j->err);
        WD_TRY(score(j, json_pack("{s:[O]}", "questions", q), &m, j->err));
        if (below_one(m, "tool_call_exact"))
            fault(c, "call");
        if (below_one(m, "answer_value"))
            fault(c, "value");
        if (below_one(m, "grounded"))
            fault(c, "ungrounded");
        json_decref(m);
    }
    return WD_OK;
}

wd_status wd_demo_judge(json_t *section, wd_demo_section s, const json_t *truth, const char *language,
                        wd_err *err)
{
    static wd_status (*const judges[])(judge *, const json_t *) = { judge_report, judge_find, judge_rehab,
                                                                    judge_lesson, judge_assist };
    judge j = { .checks = json_array(),
                .truth = truth,
                .suite = wd_eval_find_suite(wd_demo_section_name(s)),
                .language = language,
                .err = err };
    if (!j.checks || json_object_set_new(section, "checks", j.checks))
        return no_memory(err);
    WD_TRY(judges[s](&j, json_object_get(section, "result")));
    size_t right = 0;
    const size_t n = json_array_size(j.checks);
    for (size_t i = 0; i < n; i++)
        right += !wd_demo_len(json_array_get(j.checks, i), "faults");
    const char *agrees = !n ? NULL : right == n ? "yes" : right ? "partly" : "no";
    if (json_object_set_new(section, "agrees", agrees ? json_string(agrees) : json_null()))
        return no_memory(err);
    return WD_OK;
}
