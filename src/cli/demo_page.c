/* The demo's page: HTML with its pictures inside. Only the two videos lie beside it; nothing is fetched, no script runs.
 * Everything a model or a case says goes through wd_html()'s %s. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "care/rehab_rules.h"
#include "cli/demo.h"
#include "cli/html.h"
#include "media/png_write.h"

/* ---- words ---- */

typedef struct words {
    const char *title, *lead, *section, *result, *time, *seconds, *total, *seed, *model, *text_model, *draft,
        *truth, *impression, *none, *unreadable, *raw, *said, *true_is, *verdict, *right, *slice, *series,
        *cites, *cites_none, *shown_in, *box, *no_such, *best, *true_slice, *no_query, *video, *reps, *angle,
        *measured, *from_truth, *limit, *advice, *cause, *mean_off, *by_model, *by_measurement, *not_measured,
        *joints, *terms, *what_agrees, *call, *reads, *answer, *no_call, *refused, *foot, *repeat;
} words;

static const words english = {
    .title = "Ward: five stories, beside what is true",
    .lead =
        "Every case on this page was drawn by a program from a seed that no model was trained on, so what is "
        "true of it is known exactly. The truth stands beside what the model says; where they differ, the "
        "page says so.",
    .section = "Story",
    .result = "Against the truth",
    .time = "Time",
    .seconds = "%.1f s",
    .total = "All in all",
    .seed = "seed",
    .model = "Pictures",
    .text_model = "Text",
    .draft = "The model's draft",
    .truth = "What is true",
    .impression = "Impression",
    .none = "none",
    .unreadable = "The model's text could not be read as a draft:",
    .raw = "The model's text, unchanged",
    .said = "Model",
    .true_is = "Truth",
    .verdict = "Comparison",
    .right = "right",
    .slice = "Slice",
    .series = "%d slices, %g mm apart, lung window",
    .cites = "The model cites slice",
    .cites_none = "The model cites no slice.",
    .shown_in = "True in slice",
    .box = "Box: where the finding truly is. The patient's right is on the left; slices count from the feet.",
    .no_such = "The model says:",
    .best = "Bars: the model's score from 0 to 1. Ranks are the model's.",
    .true_slice = "Framed: slices that truly show it.",
    .no_query = "This case has no finding to look for.",
    .video = "Video",
    .reps = "Repetitions",
    .angle = "Main angle",
    .measured = "measured",
    .from_truth = "true",
    .limit = "limit a repetition must reach",
    .advice = "Advice",
    .cause = "Likely cause",
    .mean_off = "Mean difference of the angle",
    .by_model = "put into words by the model",
    .by_measurement = "in the measurement's own words",
    .not_measured = "The angle could not be measured: too few joints were found, or not from this side.",
    .joints = "Lines: joints that the model points at. Circles: where they truly are.",
    .terms = "Words to know",
    .what_agrees = "Comparison",
    .call = "Tool call",
    .reads = "What the tool returned",
    .answer = "Answer",
    .no_call = "The model called no tool.",
    .refused = "refused",
    .foot = "Nobody is depicted and no patient stands behind any of this. Drafts are drafts: nothing here "
            "has been "
            "approved by anybody.",
    .repeat = "The same on many cases:",
};

static const words chinese = {
    .title = "Ward：五项功能，与真值并列",
    .lead = "本页所有病例均由程序按种子绘制，模型训练时未见过，因此真值完全已知，并列在旁。模型错误之处如实标"
            "出。",
    .section = "功能",
    .result = "与真值比较",
    .time = "用时",
    .seconds = "%.1f 秒",
    .total = "合计",
    .seed = "种子",
    .model = "看图模型",
    .text_model = "文本模型",
    .draft = "模型草稿",
    .truth = "真值",
    .impression = "印象",
    .none = "无",
    .unreadable = "模型输出无法解读：",
    .raw = "模型原文",
    .said = "模型",
    .true_is = "真值",
    .verdict = "比较",
    .right = "正确",
    .slice = "层面",
    .series = "%d 层，间隔 %g mm，肺窗",
    .cites = "模型引用层面",
    .cites_none = "模型未引用层面。",
    .shown_in = "实际见于层面",
    .box = "方框：病灶实际位置。图像左侧为患者右侧；层面自足侧起编号。",
    .no_such = "模型称：",
    .best = "条形：模型评分（0 至 1）；名次为模型所排。",
    .true_slice = "加框：实际显示该病灶的层面。",
    .no_query = "本例无可查找的病灶。",
    .video = "视频",
    .reps = "次数",
    .angle = "主要角度",
    .measured = "测得",
    .from_truth = "真值",
    .limit = "动作须达到的限值",
    .advice = "建议",
    .cause = "可能原因",
    .mean_off = "角度平均误差",
    .by_model = "由模型表述",
    .by_measurement = "按测量结果表述",
    .not_measured = "角度无法测量：找到的关节点太少，或拍摄角度不合适。",
    .joints = "线条：模型指出的关节；圆圈：关节实际位置。",
    .terms = "名词",
    .what_agrees = "比较",
    .call = "工具调用",
    .reads = "工具返回",
    .answer = "回答",
    .no_call = "模型未调用工具。",
    .refused = "已拒绝",
    .foot = "不涉及任何真实人物或患者。草稿仅为草稿，未经任何人审核。",
    .repeat = "在大量病例上重复：",
};

static const char style[] =
    ":root{--paper:#fbfbf9;--ink:#1b2226;--soft:#59656c;--line:#d9dedf;--panel:#f1f3f2;--accent:#1f5f86;"
    "--good:#25663a;--bad:#a12a1e;--part:#7d5700;--true:#e0a800}"
    "@media(prefers-color-scheme:dark){:root{--paper:#14181a;--ink:#e3e7e8;--soft:#9aa6ac;--line:#333b3f;"
    "--panel:#1c2225;--accent:#79b4d8;--good:#7cc492;--bad:#f08d80;--part:#dcb45a;--true:#f2c744}}"
    "*{box-sizing:border-box}html{-webkit-text-size-adjust:100%}"
    "body{margin:0;overflow-wrap:anywhere;background:var(--paper);color:var(--ink);font:16px/1.55 "
    "system-ui,-apple-system,'Segoe "
    "UI',"
    "Roboto,'Noto Sans','PingFang SC','Microsoft YaHei','Noto Sans CJK SC','WenQuanYi Micro Hei',sans-serif}"
    "main,header,footer{max-width:64rem;margin:0 auto;padding:0 1.25rem}"
    "header{padding-top:2.5rem}h1{font-size:1.7rem;line-height:1.25;margin:0 0 .75rem;font-weight:650}"
    "h2{font-size:1.3rem;margin:0;font-weight:650}h3{font-size:1rem;margin:1.4rem 0 .4rem;font-weight:650}"
    "p{margin:.5rem 0;max-width:46rem}ul,ol{margin:.3rem 0;padding-left:1.3rem}li{margin:.2rem 0}"
    ".notice{border:1px solid var(--line);border-left:4px solid var(--part);background:var(--panel);"
    "padding:.6rem .9rem;font-weight:600;max-width:none}"
    "section{border-top:1px solid var(--line);margin-top:2.5rem;padding-top:1.6rem}"
    ".head{display:flex;flex-wrap:wrap;gap:.2rem 1.2rem;align-items:baseline}"
    ".soft,figcaption,.meta{color:var(--soft);font-size:.875rem}.num{font-variant-numeric:tabular-nums}"
    "table{border-collapse:collapse;width:100%;margin:.6rem 0}th,td{text-align:left;vertical-align:top;"
    "padding:.45rem .8rem .45rem 0;border-bottom:1px solid var(--line)}"
    "th{font-size:.8125rem;color:var(--soft);font-weight:600}td.v,td.num{white-space:nowrap}"
    ".yes{color:var(--good)}.no{color:var(--bad)}.partly{color:var(--part)}.yes,.no,.partly{font-weight:600}"
    ".two{display:grid;grid-template-columns:1fr 1fr;gap:0 2.5rem}"
    ".figures{display:grid;grid-template-columns:repeat(auto-fill,minmax(15rem,1fr));gap:1.25rem;margin:1rem "
    "0}"
    "figure{margin:0}figure svg,figure img,video{display:block;width:100%;height:auto;background:#000}"
    "figcaption{padding-top:.4rem}figcaption b{color:var(--ink)}"
    ".strip{display:grid;grid-template-columns:repeat(6,1fr);gap:.6rem;margin:.6rem 0 .2rem}"
    ".strip div{font-size:.75rem;color:var(--soft)}.strip "
    "svg{display:block;width:100%;height:auto;background:#000;"
    "outline:2px solid transparent;outline-offset:1px}.strip .hit svg{outline-color:var(--true)}"
    ".bar{height:6px;background:var(--line);margin:.3rem 0 .15rem}.bar i{display:block;height:100%;"
    "background:var(--accent)}.rank{float:right;font-weight:650;color:var(--ink)}"
    ".wide{overflow-x:auto}.wide svg{min-width:36rem;width:100%;height:auto;display:block}"
    "svg text{font:9px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans','PingFang SC','Microsoft "
    "YaHei',"
    "'Noto Sans CJK SC','WenQuanYi Micro Hei',sans-serif;fill:var(--soft)}"
    ".grid{stroke:var(--line)}.rep{fill:var(--accent);opacity:.09}.cm{fill:none;stroke:var(--accent);"
    "stroke-width:2}.ct{fill:none;stroke:var(--soft);stroke-width:1.5}.lim{stroke:var(--part);"
    "stroke-dasharray:5 4}.ft{fill:none;stroke:var(--soft);stroke-width:1.5}.fm{fill:var(--accent)}"
    ".fx{fill:var(--bad)}.boxt{fill:none;stroke:#ffd23f;stroke-width:1.4}"
    ".bone{fill:none;stroke:#4fc3f7;stroke-width:2.2;stroke-linecap:round}.joint{fill:none;stroke:#ffd23f;"
    "stroke-width:1.3}.key{display:inline-block;width:1.4em;height:0;border-top:2px "
    "solid;vertical-align:middle;"
    "margin:0 .4em 0 1em}.qa{margin:1.6rem 0}.qa dt{font-size:.8125rem;color:var(--soft);font-weight:600;"
    "margin-top:.5rem}.qa dd{margin:0}code,pre{font:.875rem/1.5 ui-monospace,'Cascadia Mono',Menlo,Consolas,"
    "monospace;overflow-wrap:anywhere}pre{white-space:pre-wrap;background:var(--panel);padding:.7rem .9rem;"
    "margin:.3rem 0;max-height:20rem;overflow:auto}details summary{cursor:pointer;color:var(--accent);"
    "font-size:.875rem}footer{border-top:1px solid var(--line);margin-top:3rem;padding-top:1rem;"
    "padding-bottom:3rem;color:var(--soft);font-size:.875rem}"
    "@media(max-width:40rem){.two{grid-template-columns:1fr}.strip{grid-template-columns:repeat(3,1fr)}"
    "header{padding-top:1.4rem}h1{font-size:1.4rem}td.v{white-space:normal}}";

/* ---- parts ---- */

typedef struct page {
    const wd_demo *d;
    const words *w;
    wd_buf *b;
    wd_err *err;
    wd_status st; /* of the first picture that could not be written */
} page;

static void put_png(page *p, const wd_image *im)
{
    wd_buf png = { 0 };
    if (!p->st)
        p->st = wd_png_write(im, &png, p->err);
    if (!p->st)
        wd_html_data(p->b, "image/png", wd_buf_view(&png));
    wd_buf_free(&png);
}

static void put_seconds(page *p, double s)
{
    wd_html(p->b, p->w->seconds, s);
}

/* "✓ agrees with the truth" */
static void put_agrees(page *p, const json_t *section)
{
    const char *code = wd_demo_str(section, "agrees"), *mark = !strcmp(code, "yes")  ? "\xE2\x9C\x93"
                                                               : !strcmp(code, "no") ? "\xE2\x9C\x97"
                                                                                     : "\xE2\x89\x88";
    if (!*code)
        wd_html(p->b, "<span class=\"soft\">%s</span>", wd_demo_agrees(NULL, p->d->zh));
    else
        wd_html(p->b, "<span class=\"%s\">%s %s</span>", code, mark, wd_demo_agrees(code, p->d->zh));
}

/* "✓ right" or "✗ wrong side, wrong size (22 / 16 mm)" */
static void put_verdict(page *p, const json_t *check)
{
    const json_t *faults = json_object_get(check, "faults");
    if (!json_array_size(faults)) {
        wd_html(p->b, "<span class=\"yes\">\xE2\x9C\x93 %s</span>", p->w->right);
        return;
    }
    wd_html(p->b, "<span class=\"no\">\xE2\x9C\x97 ");
    for (size_t i = 0; i < json_array_size(faults); i++)
        wd_html(p->b, "%s%s", i ? ", " : "",
                wd_demo_fault(json_string_value(json_array_get(faults, i)), p->d->zh));
    if (*wd_demo_str(check, "note"))
        wd_html(p->b, " (%s)", wd_demo_str(check, "note"));
    wd_html(p->b, "</span>");
}

/* Title, verdict and time; true when there is a result to show. */
static bool begin_section(page *p, wd_demo_section s)
{
    const json_t *section = wd_demo_at(p->d, s);
    if (!section)
        return false;
    wd_html(p->b, "<section id=\"%s\"><div class=\"head\"><h2>%s</h2> ", wd_demo_section_name(s),
            wd_demo_title(s, p->d->zh));
    const bool ran = json_object_get(section, "result") != NULL;
    put_agrees(p, section);
    if (ran) {
        wd_html(p->b, " <span class=\"meta num\">");
        put_seconds(p, wd_demo_num(section, "seconds"));
        wd_html(p->b, " \xC2\xB7 %s %d</span>", p->w->seed, (int)wd_demo_num(section, "seed"));
    }
    wd_html(p->b, "</div>\n");
    if (!ran)
        wd_html(p->b, "<p>%s</p></section>\n", wd_demo_str(section, "skipped"));
    return ran;
}

static void end_section(page *p)
{
    wd_html(p->b, "</section>\n");
}

static void put_texts(page *p, const char *tag, const json_t *list, const char *key)
{
    const size_t n = json_array_size(list);
    if (!n) {
        wd_html(p->b, "<p class=\"soft\">%s</p>", p->w->none);
        return;
    }
    wd_html(p->b, "<%s>", tag);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        wd_html(p->b, "<li>%s</li>", key ? wd_demo_str(v, key) : json_string_value(v));
    }
    wd_html(p->b, "</%s>", tag);
}

static void put_numbers(page *p, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        wd_html(p->b, "%s%d", i ? ", " : "", (int)json_integer_value(json_array_get(list, i)));
}

/* Truth, model and comparison, one row a check. */
static void put_checks(page *p, const json_t *section)
{
    const json_t *checks = json_object_get(section, "checks");
    wd_html(p->b, "<div class=\"wide\"><table><tr><th>%s</th><th>%s</th><th>%s</th></tr>\n", p->w->true_is,
            p->w->said, p->w->verdict);
    for (size_t i = 0; i < json_array_size(checks); i++) {
        const json_t *c = json_array_get(checks, i);
        const char *truth = json_string_value(json_object_get(c, "truth")),
                   *said = json_string_value(json_object_get(c, "said"));
        wd_html(p->b, "<tr><td>%s</td><td>%s</td><td class=\"v\">", truth && *truth ? truth : "\xE2\x80\x93",
                said && *said ? said : "\xE2\x80\x93");
        put_verdict(p, c);
        wd_html(p->b, "</td></tr>\n");
    }
    wd_html(p->b, "</table></div>\n");
}

static void put_raw(page *p, const char *why, const char *raw)
{
    wd_html(p->b, "<p class=\"no\">%s %s</p><details><summary>%s</summary><pre>%s</pre></details>\n",
            p->w->unreadable, why, p->w->raw, raw);
}

/* ---- the CT ---- */

static const wd_slice_picture *slice_of(const wd_demo *d, uint32_t number)
{
    for (uint32_t i = 0; i < d->slices.n_picture; i++)
        if (d->slices.picture[i].slice + 1 == number)
            return &d->slices.picture[i];
    return NULL;
}

/* Each slice once; figures use them. */
static void put_slices(page *p)
{
    const wd_slices *s = &p->d->slices;
    if (!s->n_picture)
        return;
    wd_html(p->b, "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\"><defs>\n");
    for (uint32_t i = 0; i < s->n_picture; i++) {
        const wd_slice_picture *pic = &s->picture[i];
        wd_html(p->b, "<image id=\"slice-%u\" width=\"%u\" height=\"%u\" href=\"", pic->slice + 1,
                pic->image.width, pic->image.height);
        put_png(p, &pic->image);
        wd_html(p->b, "\"/>\n");
    }
    wd_html(p->b, "</defs></svg>\n");
}

/* <svg> with the slice, open for more. */
static void open_slice(page *p, const wd_slice_picture *pic)
{
    wd_html(p->b, "<svg viewBox=\"0 0 %u %u\" role=\"img\" aria-label=\"%s %u\"><use href=\"#slice-%u\"/>",
            pic->image.width, pic->image.height, p->w->slice, pic->slice + 1, pic->slice + 1);
}

/* The box of the true finding with the largest area. */
static const json_t *largest_box(const json_t *finding)
{
    const json_t *boxes = json_object_get(finding, "boxes"), *best = NULL;
    double most = 0;
    for (size_t i = 0; i < json_array_size(boxes); i++) {
        const json_t *one = json_array_get(boxes, i), *v = json_object_get(one, "box");
        const double area =
            (json_number_value(json_array_get(v, 2)) - json_number_value(json_array_get(v, 0))) *
            (json_number_value(json_array_get(v, 3)) - json_number_value(json_array_get(v, 1)));
        if (area > most) {
            most = area;
            best = one;
        }
    }
    return best;
}

static void put_box(page *p, const json_t *one, uint32_t number)
{
    if ((uint32_t)wd_demo_num(one, "slice") != number)
        return;
    double v[4];
    for (size_t i = 0; i < 4; i++)
        v[i] = json_number_value(json_array_get(json_object_get(one, "box"), i));
    wd_html(p->b, "<rect class=\"boxt\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", v[0] - 2.5,
            v[1] - 2.5, v[2] - v[0] + 5, v[3] - v[1] + 5);
}

static void put_cited(page *p, const json_t *said)
{
    if (!wd_demo_len(said, "slices")) {
        wd_html(p->b, "%s", p->w->cites_none);
        return;
    }
    wd_html(p->b, "%s ", p->w->cites);
    put_numbers(p, json_object_get(said, "slices"));
    wd_html(p->b, ".");
}

/* A true finding with its box, and what the model cites for it. */
static void put_true_figure(page *p, const json_t *result, size_t i, const json_t *check)
{
    const json_t *finding = json_array_get(json_object_get(p->d->truth[WD_DEMO_REPORT], "findings"), i),
                 *claim = json_array_get(json_object_get(result, "truth"), i),
                 *match = json_object_get(claim, "match"), *box = largest_box(finding),
                 *boxes = json_object_get(finding, "boxes");
    const wd_slice_picture *pic = slice_of(p->d, (uint32_t)wd_demo_num(box, "slice"));
    if (!pic)
        return;
    wd_html(p->b, "<figure>");
    open_slice(p, pic);
    for (size_t k = 0; k < json_array_size(boxes); k++)
        put_box(p, json_array_get(boxes, k), pic->slice + 1);
    wd_html(p->b, "</svg><figcaption><b>%s %u</b> ", p->w->slice, pic->slice + 1);
    put_verdict(p, check);
    wd_html(p->b, "<br>%s<br>%s ", wd_demo_str(claim, "text"), p->w->shown_in);
    put_numbers(p, json_object_get(claim, "slices"));
    wd_html(p->b, ". ");
    if (json_is_integer(match))
        put_cited(p, json_array_get(json_object_get(result, "said"), (size_t)json_integer_value(match)));
    wd_html(p->b, "</figcaption></figure>\n");
}

/* What the model says and is not there: the slice it cites, without a box. */
static void put_invented_figure(page *p, const json_t *said)
{
    const wd_slice_picture *pic = slice_of(
        p->d, (uint32_t)json_integer_value(json_array_get(json_object_get(said, "slices"), 0)));
    if (!pic)
        return;
    wd_html(p->b, "<figure>");
    open_slice(p, pic);
    wd_html(p->b, "</svg><figcaption><b>%s %u</b> <span class=\"no\">\xE2\x9C\x97 %s</span><br>%s %s<br>",
            p->w->slice, pic->slice + 1, wd_demo_fault("invented", p->d->zh), p->w->no_such,
            wd_demo_str(said, "text"));
    put_cited(p, said);
    wd_html(p->b, "</figcaption></figure>\n");
}

static void put_report(page *p)
{
    if (!begin_section(p, WD_DEMO_REPORT))
        return;
    const json_t *section = wd_demo_at(p->d, WD_DEMO_REPORT), *result = json_object_get(section, "result"),
                 *draft = json_object_get(result, "draft"), *said = json_object_get(result, "said"),
                 *own = json_object_get(json_object_get(p->d->truth[WD_DEMO_REPORT], "report"),
                                        p->d->zh ? "zh" : "en");
    const json_t *series = json_object_get(draft, "series");
    wd_html(p->b, "<p class=\"meta num\">%s %s, ", wd_demo_str(series, "modality"),
            wd_demo_str(series, "body_part"));
    wd_html(p->b, p->w->series, (int)wd_demo_num(series, "slices"),
            wd_demo_num(p->d->truth[WD_DEMO_REPORT], "spacing_mm"));
    wd_html(p->b, "</p>");
    wd_html(p->b, "<div class=\"two\"><div><h3>%s</h3>", p->w->draft);
    if (json_is_true(json_object_get(draft, "parsed"))) {
        put_texts(p, "ul", json_object_get(draft, "findings"), "text");
        wd_html(p->b, "<h3>%s</h3>", p->w->impression);
        put_texts(p, "ol", json_object_get(draft, "impression"), NULL);
    } else {
        put_raw(p, wd_demo_str(draft, "why_not_parsed"), wd_demo_str(draft, "raw"));
    }
    wd_html(p->b, "</div><div><h3>%s</h3>", p->w->truth);
    put_texts(p, "ul", json_object_get(own, "findings"), "text");
    wd_html(p->b, "<h3>%s</h3>", p->w->impression);
    put_texts(p, "ol", json_object_get(own, "impression"), NULL);
    wd_html(p->b, "</div></div>\n<h3>%s</h3>\n", p->w->what_agrees);
    put_checks(p, section);
    wd_html(p->b, "<div class=\"figures\">\n");
    for (size_t i = 0; i < wd_demo_len(result, "truth"); i++)
        put_true_figure(p, result, i, json_array_get(json_object_get(section, "checks"), i));
    for (size_t i = 0; i < json_array_size(said); i++)
        if (!json_is_integer(json_object_get(json_array_get(said, i), "match")))
            put_invented_figure(p, json_array_get(said, i));
    wd_html(p->b, "</div><p class=\"soft\">%s</p>\n", p->w->box);
    end_section(p);
}

/* Rank from 1 and score of a slice in a query. */
static size_t rank_of(const json_t *query, uint32_t number, double *score)
{
    const json_t *ranking = json_object_get(query, "ranking");
    for (size_t i = 0; i < json_array_size(ranking); i++) {
        if (json_integer_value(json_array_get(ranking, i)) == number) {
            *score = json_number_value(json_array_get(json_object_get(query, "scores"), i));
            return i + 1;
        }
    }
    *score = 0;
    return 0;
}

static void put_query(page *p, const json_t *query, const json_t *check)
{
    wd_html(p->b, "<h3>\xE2\x80\x9C%s\xE2\x80\x9D</h3><p class=\"meta\">", wd_demo_str(query, "sentence"));
    put_verdict(p, check);
    wd_html(p->b, " \xC2\xB7 %s ", p->w->shown_in);
    wd_html(p->b, "%s", wd_demo_str(check, "truth"));
    wd_html(p->b, "</p>\n<div class=\"strip\">\n");
    for (uint32_t i = 0; i < p->d->slices.n_picture; i++) {
        const wd_slice_picture *pic = &p->d->slices.picture[i];
        double score;
        const size_t rank = rank_of(query, pic->slice + 1, &score);
        wd_html(p->b, "<div class=\"%s\">",
                wd_demo_holds(json_object_get(query, "relevant"), pic->slice + 1) ? "hit" : "");
        open_slice(p, pic);
        wd_html(
            p->b,
            "</svg><div class=\"bar\"><i style=\"width:%.1f%%\"></i></div><span class=\"num\">%u \xC2\xB7 "
            "%.3f</span>",
            100 * score, pic->slice + 1, score);
        if (rank >= 1 && rank <= 3)
            wd_html(p->b, "<span class=\"rank\">%d</span>", (int)rank);
        wd_html(p->b, "</div>\n");
    }
    wd_html(p->b, "</div>\n");
}

static void put_find(page *p)
{
    if (!begin_section(p, WD_DEMO_FIND))
        return;
    const json_t *section = wd_demo_at(p->d, WD_DEMO_FIND),
                 *queries = json_object_get(json_object_get(section, "result"), "queries");
    if (!json_array_size(queries))
        wd_html(p->b, "<p>%s</p>", p->w->no_query);
    for (size_t i = 0; i < json_array_size(queries); i++)
        put_query(p, json_array_get(queries, i), json_array_get(json_object_get(section, "checks"), i));
    if (json_array_size(queries))
        wd_html(p->b, "<p class=\"soft\">%s %s</p>\n", p->w->true_slice, p->w->best);
    end_section(p);
}

/* ---- the exercise ---- */

#define PLOT_LEFT 44.0
#define PLOT_RIGHT 708.0
#define PLOT_TOP 12.0
#define PLOT_BOTTOM 210.0
#define LANE 30.0

typedef struct plot {
    double end_s, low, high; /* seconds; degrees */
} plot;

static double x_at(const plot *g, double s)
{
    return PLOT_LEFT + (PLOT_RIGHT - PLOT_LEFT) * fmin(fmax(s / g->end_s, 0), 1);
}

static double y_at(const plot *g, double deg)
{
    return PLOT_BOTTOM - (PLOT_BOTTOM - PLOT_TOP) * (deg - g->low) / (g->high - g->low);
}

static void widen(plot *g, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_number(v))
            continue;
        g->low = fmin(g->low, json_number_value(v));
        g->high = fmax(g->high, json_number_value(v));
    }
}

static plot plot_of(const json_t *truth, const json_t *draft, double limit)
{
    const double fps = wd_demo_num(truth, "fps"), n = wd_demo_num(truth, "n_frame");
    plot g = { .end_s = fps > 0 && n > 0 ? n / fps : 1, .low = limit, .high = limit };
    widen(&g, json_object_get(json_object_get(truth, "angles"), "main"));
    widen(&g, json_object_get(json_object_get(draft, "angles"), "main"));
    g.low = 20 * floor(g.low / 20);
    g.high = fmax(20 * ceil(g.high / 20), g.low + 20);
    return g;
}

static void put_axes(page *p, const plot *g)
{
    const double step = g->high - g->low > 100 ? 40 : 20, tick = g->end_s > 8 ? 2 : 1;
    for (double deg = g->low; deg <= g->high + .5; deg += step)
        wd_html(p->b,
                "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/><text x=\"%.1f\" "
                "y=\"%.1f\" "
                "text-anchor=\"end\">%.0f\xC2\xB0</text>",
                PLOT_LEFT, PLOT_RIGHT, y_at(g, deg), y_at(g, deg), PLOT_LEFT - 6, y_at(g, deg) + 4, deg);
    for (double s = 0; s <= g->end_s; s += tick)
        wd_html(p->b, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%.0f s</text>", x_at(g, s),
                PLOT_BOTTOM + 16, s);
}

/* A line through values[i] at times[i]; it breaks where there is no value. times NULL: i / fps. */
static void put_curve(page *p, const plot *g, const char *class, const json_t *values, const json_t *times,
                      double fps)
{
    bool open = false;
    wd_html(p->b, "<path class=\"%s\" d=\"", class);
    for (size_t i = 0; i < json_array_size(values); i++) {
        const json_t *v = json_array_get(values, i);
        const double s = times ? json_number_value(json_array_get(times, i)) : (double)i / fps;
        if (json_is_number(v))
            wd_html(p->b, "%c%.1f %.1f", open ? 'L' : 'M', x_at(g, s), y_at(g, json_number_value(v)));
        open = json_is_number(v);
    }
    wd_html(p->b, "\"/>");
}

static void put_reps(page *p, const plot *g, const json_t *reps)
{
    for (size_t i = 0; i < json_array_size(reps); i++) {
        const json_t *r = json_array_get(reps, i);
        const double x0 = x_at(g, wd_demo_num(r, "start_s")), x1 = x_at(g, wd_demo_num(r, "end_s"));
        wd_html(p->b,
                "<rect class=\"rep\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/><text x=\"%.1f\" "
                "y=\"%.1f\" "
                "text-anchor=\"middle\">%d</text>",
                x0, PLOT_TOP, fmax(x1 - x0, 0), PLOT_BOTTOM - PLOT_TOP, (x0 + x1) / 2, PLOT_TOP + 12,
                (int)i + 1);
    }
}

static void put_bars(page *p, const plot *g, const json_t *faults, const char *type, double y, bool truth)
{
    for (size_t i = 0; i < json_array_size(faults); i++) {
        const json_t *f = json_array_get(faults, i);
        if (strcmp(wd_demo_str(f, "type"), type) != 0)
            continue;
        const double x0 = x_at(g, wd_demo_num(f, "start_s")), x1 = x_at(g, wd_demo_num(f, "end_s"));
        const bool matched = json_is_integer(json_object_get(f, "match"));
        wd_html(p->b, "<rect class=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"5\"/>",
                truth     ? "ft"
                : matched ? "fm"
                          : "fx",
                x0, y, fmax(x1 - x0, 1));
    }
}

static bool has_type(const json_t *faults, const char *type)
{
    for (size_t i = 0; i < json_array_size(faults); i++)
        if (!strcmp(wd_demo_str(json_array_get(faults, i), "type"), type))
            return true;
    return false;
}

static void put_plot(page *p, const json_t *result, const wd_rehab_rule *rule)
{
    const json_t *truth = p->d->truth[WD_DEMO_REHAB], *draft = json_object_get(result, "draft"),
                 *angles = json_object_get(draft, "angles"),
                 *true_faults = json_object_get(result, "faults_true"),
                 *faults = json_object_get(result, "faults");
    const double limit = rule->limit_deg[WD_FAULT_INSUFFICIENT_DEPTH];
    const plot g = plot_of(truth, draft, limit);
    int n_lane = 0;
    for (int k = 0; k < WD_N_FAULT; k++) {
        const char *type = wd_rehab_fault_name((wd_rehab_fault_kind)k);
        n_lane += has_type(true_faults, type) || has_type(faults, type);
    }
    wd_html(p->b, "<div class=\"wide\"><svg viewBox=\"0 0 720 %.0f\" role=\"img\" aria-label=\"%s\">",
            PLOT_BOTTOM + 26 + LANE * n_lane, p->w->angle);
    put_reps(p, &g, json_object_get(draft, "repetitions"));
    put_axes(p, &g);
    wd_html(p->b, "<line class=\"lim\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>", PLOT_LEFT,
            PLOT_RIGHT, y_at(&g, limit), y_at(&g, limit));
    put_curve(p, &g, "ct", json_object_get(json_object_get(truth, "angles"), "main"), NULL,
              wd_demo_num(truth, "fps"));
    put_curve(p, &g, "cm", json_object_get(angles, "main"), json_object_get(angles, "time_s"), 1);
    double y = PLOT_BOTTOM + 26;
    for (int k = 0; k < WD_N_FAULT; k++) {
        const char *type = wd_rehab_fault_name((wd_rehab_fault_kind)k);
        if (!has_type(true_faults, type) && !has_type(faults, type))
            continue;
        wd_html(p->b, "<text x=\"%.1f\" y=\"%.1f\">%s</text>", PLOT_LEFT, y + 10,
                wd_demo_movement(type, p->d->zh));
        put_bars(p, &g, true_faults, type, y + 15, true);
        put_bars(p, &g, faults, type, y + 22, false);
        y += LANE;
    }
    wd_html(p->b,
            "</svg></div>\n<p class=\"soft\"><span class=\"key\" "
            "style=\"color:var(--accent);margin-left:0\"></span>"
            "%s<span class=\"key\" style=\"color:var(--soft)\"></span>%s<span class=\"key\" "
            "style=\"color:var(--part);border-top-style:dashed\"></span>%s</p>\n",
            p->w->measured, p->w->from_truth, p->w->limit);
}

static bool point_at(const json_t *points, size_t j, double xy[2])
{
    const json_t *v = json_array_get(points, j);
    xy[0] = json_number_value(json_array_get(v, 0));
    xy[1] = json_number_value(json_array_get(v, 1));
    return json_array_size(v) == 2;
}

static void put_pose(page *p, const wd_demo_frame *f, const json_t *said, const json_t *truth)
{
    static const unsigned char bones[][2] = {
        { WD_JOINT_LEFT_SHOULDER, WD_JOINT_RIGHT_SHOULDER },
        { WD_JOINT_LEFT_SHOULDER, WD_JOINT_LEFT_ELBOW },
        { WD_JOINT_LEFT_ELBOW, WD_JOINT_LEFT_WRIST },
        { WD_JOINT_RIGHT_SHOULDER, WD_JOINT_RIGHT_ELBOW },
        { WD_JOINT_RIGHT_ELBOW, WD_JOINT_RIGHT_WRIST },
        { WD_JOINT_LEFT_SHOULDER, WD_JOINT_LEFT_HIP },
        { WD_JOINT_RIGHT_SHOULDER, WD_JOINT_RIGHT_HIP },
        { WD_JOINT_LEFT_HIP, WD_JOINT_RIGHT_HIP },
        { WD_JOINT_LEFT_HIP, WD_JOINT_LEFT_KNEE },
        { WD_JOINT_LEFT_KNEE, WD_JOINT_LEFT_ANKLE },
        { WD_JOINT_RIGHT_HIP, WD_JOINT_RIGHT_KNEE },
        { WD_JOINT_RIGHT_KNEE, WD_JOINT_RIGHT_ANKLE },
    };
    double a[2], b[2];
    wd_html(p->b,
            "<figure><svg viewBox=\"0 0 %u %u\" role=\"img\" aria-label=\"%.1f s\"><image width=\"%u\" "
            "height=\"%u\" href=\"",
            f->image.width, f->image.height, f->time_s, f->image.width, f->image.height);
    put_png(p, &f->image);
    wd_html(p->b, "\"/>");
    for (size_t i = 0; i < WD_COUNT(bones); i++)
        if (point_at(said, bones[i][0], a) && point_at(said, bones[i][1], b))
            wd_html(p->b, "<path class=\"bone\" d=\"M%.1f %.1fL%.1f %.1f\"/>", a[0], a[1], b[0], b[1]);
    for (size_t j = 0; j < WD_N_JOINT; j++)
        if (point_at(truth, j, a))
            wd_html(p->b, "<circle class=\"joint\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.2\"/>", a[0], a[1]);
    wd_html(p->b, "</svg><figcaption class=\"num\">%.1f s</figcaption></figure>\n", f->time_s);
}

static void put_advice(page *p, const json_t *draft)
{
    const json_t *advice = json_object_get(draft, "advice");
    wd_html(p->b, "<h3>%s</h3><p>%s</p>", p->w->draft, wd_demo_str(draft, "summary"));
    if (json_array_size(advice))
        wd_html(p->b, "<ul>");
    for (size_t i = 0; i < json_array_size(advice); i++) {
        const json_t *v = json_array_get(advice, i);
        wd_html(p->b, "<li>%s", wd_demo_str(v, "issue"));
        if (*wd_demo_str(v, "cause"))
            wd_html(p->b, "<br>%s: %s", p->w->cause, wd_demo_str(v, "cause"));
        if (*wd_demo_str(v, "advice"))
            wd_html(p->b, "<br>%s: %s", p->w->advice, wd_demo_str(v, "advice"));
        wd_html(p->b, " <span class=\"soft\">(%s)</span></li>",
                !strcmp(wd_demo_str(v, "phrased_by"), "model") ? p->w->by_model : p->w->by_measurement);
    }
    if (json_array_size(advice))
        wd_html(p->b, "</ul>");
}

static void put_rehab(page *p)
{
    if (!begin_section(p, WD_DEMO_REHAB))
        return;
    const json_t *section = wd_demo_at(p->d, WD_DEMO_REHAB), *result = json_object_get(section, "result"),
                 *draft = json_object_get(result, "draft"), *truth = p->d->truth[WD_DEMO_REHAB],
                 *off = json_object_get(json_object_get(section, "metrics"), "angle_mae_deg");
    const wd_exercise_kind kind = wd_exercise_of(wd_demo_str(result, "exercise"));
    const wd_rehab_rule *rule = wd_rehab_rule_of(kind < WD_N_EXERCISE ? kind : WD_EXERCISE_SQUAT);
    wd_html(p->b,
            "<div class=\"two\"><div><h3>%s</h3><video controls preload=\"metadata\" "
            "src=\"exercise/video.mp4\"></video></div><div>",
            rule->title[p->d->zh]);
    put_advice(p, draft);
    wd_html(p->b, "<p class=\"soft\">%s: %d (%s %d)", p->w->reps, (int)wd_demo_num(result, "reps"),
            p->w->from_truth, (int)wd_demo_num(result, "reps_true"));
    if (json_is_number(off))
        wd_html(p->b, "<br>%s: %.1f\xC2\xB0", p->w->mean_off, json_number_value(off));
    wd_html(p->b, "</p></div></div>\n<h3>%s: %s</h3>\n", p->w->angle,
            wd_demo_angle(wd_demo_str(draft, "main_angle"), p->d->zh));
    if (!json_is_number(off))
        wd_html(p->b, "<p class=\"no\">%s</p>", p->w->not_measured);
    put_plot(p, result, rule);
    wd_html(p->b, "<div class=\"figures\">\n");
    const json_t *frames = json_object_get(json_object_get(draft, "angles"), "frame");
    for (size_t i = 0; i < p->d->n_exercise; i++) {
        const wd_demo_frame *f = &p->d->exercise[i];
        const json_t *now = json_array_get(json_object_get(result, "joints"), f->sample);
        const size_t number = (size_t)json_integer_value(json_array_get(frames, f->sample));
        put_pose(p, f, now, json_array_get(json_object_get(truth, "joints"), number));
    }
    wd_html(p->b, "</div><p class=\"soft\">%s</p><h3>%s</h3>\n", p->w->joints, p->w->what_agrees);
    put_checks(p, section);
    end_section(p);
}

/* ---- the lesson ---- */

static void put_step(page *p, const wd_demo_frame *f, const json_t *truth, const json_t *said,
                     const json_t *check)
{
    wd_html(p->b, "<figure><img alt=\"%s\" width=\"%u\" height=\"%u\" src=\"", wd_demo_str(truth, "title"),
            f->image.width, f->image.height);
    put_png(p, &f->image);
    wd_html(p->b, "\"><figcaption><b>%s</b> <span class=\"num\">%.1f\xE2\x80\x93%.1f s</span><br>%s: ",
            wd_demo_str(truth, "title"), wd_demo_num(truth, "start_s"), wd_demo_num(truth, "end_s"),
            p->w->said);
    if (said)
        wd_html(p->b, "%s <span class=\"num\">%.1f\xE2\x80\x93%.1f s</span>", wd_demo_str(said, "title"),
                wd_demo_num(said, "start_s"), wd_demo_num(said, "end_s"));
    else
        wd_html(p->b, "\xE2\x80\x93");
    wd_html(p->b, "<br>");
    put_verdict(p, check);
    wd_html(p->b, "</figcaption></figure>\n");
}

static void put_terms(page *p, const json_t *terms)
{
    for (size_t i = 0; i < json_array_size(terms); i++) {
        const json_t *t = json_array_get(terms, i);
        wd_html(p->b, "<br><b>%s</b>: %s", wd_demo_str(t, "term"), wd_demo_str(t, "meaning"));
    }
    if (!json_array_size(terms))
        wd_html(p->b, "%s", p->w->none);
}

static void put_lesson_words(page *p, const char *heading, const json_t *words_of)
{
    wd_html(p->b, "<h3>%s</h3><p><b>%s</b></p><p>%s</p><p class=\"soft\">%s: ", heading,
            wd_demo_str(words_of, "title"), wd_demo_str(words_of, "summary"), p->w->terms);
    put_terms(p, json_object_get(words_of, "terms"));
    wd_html(p->b, "</p>");
}

static void put_lesson(page *p)
{
    if (!begin_section(p, WD_DEMO_LESSON))
        return;
    const json_t *section = wd_demo_at(p->d, WD_DEMO_LESSON), *result = json_object_get(section, "result"),
                 *draft = json_object_get(result, "draft"), *truth = json_object_get(result, "steps_true"),
                 *said = json_object_get(result, "steps"), *checks = json_object_get(section, "checks");
    wd_html(p->b,
            "<div class=\"two\"><div><h3>%s</h3><video controls preload=\"metadata\" "
            "src=\"lesson/video.mp4\"></video></div><div>",
            p->w->video);
    if (json_is_true(json_object_get(draft, "parsed")))
        put_lesson_words(p, p->w->draft, draft);
    else
        put_raw(p, wd_demo_str(draft, "why_not_parsed"), wd_demo_str(draft, "raw"));
    put_lesson_words(p, p->w->truth, p->d->truth[WD_DEMO_LESSON]);
    wd_html(p->b, "</div></div>\n<div class=\"figures\">\n");
    for (size_t i = 0; i < p->d->n_lesson; i++) {
        const json_t *t = json_array_get(truth, i), *match = json_object_get(t, "match");
        put_step(p, &p->d->lesson[i], t,
                 json_is_integer(match) ? json_array_get(said, (size_t)json_integer_value(match)) : NULL,
                 json_array_get(checks, i + 1)); /* the first is about the title */
    }
    wd_html(p->b, "</div>\n<h3>%s</h3>\n", p->w->what_agrees);
    put_checks(p, section);
    end_section(p);
}

/* ---- the chart ---- */

static void put_value(page *p, const json_t *v)
{
    wd_buf b = { 0 };
    if (json_is_string(v))
        wd_html(p->b, "%s", json_string_value(v));
    else if (!p->st && !(p->st = wd_json_write(v, 0, &b, p->err)))
        wd_html(p->b, "%s", (const char *)b.p);
    wd_buf_free(&b);
}

static void put_call(page *p, const json_t *call)
{
    wd_html(p->b, "<code>%s ", wd_demo_str(call, "name"));
    put_value(p, json_object_get(call, "arguments"));
    wd_html(p->b, "</code>");
}

static void put_question(page *p, const json_t *q, const json_t *check)
{
    const json_t *calls = json_object_get(json_object_get(q, "draft"), "calls"),
                 *wanted = json_object_get(q, "true_calls");
    wd_html(p->b, "<div class=\"qa\"><h3>%s</h3>", wd_demo_str(q, "question"));
    put_verdict(p, check);
    wd_html(p->b, "<div class=\"two\"><dl><dt>%s: %s</dt>", p->w->said, p->w->call);
    if (!json_array_size(calls))
        wd_html(p->b, "<dd>%s</dd>", p->w->no_call);
    for (size_t i = 0; i < json_array_size(calls); i++) {
        const json_t *c = json_array_get(calls, i);
        wd_html(p->b, "<dd>");
        put_call(p, c);
        if (json_is_true(json_object_get(c, "refused")))
            wd_html(p->b, " <span class=\"no\">%s</span>", p->w->refused);
        wd_html(p->b, "<details><summary>%s</summary><pre>", p->w->reads);
        put_value(p, json_object_get(c, "result"));
        wd_html(p->b, "</pre></details></dd>");
    }
    wd_html(p->b, "<dt>%s: %s</dt><dd>%s</dd></dl><dl><dt>%s: %s</dt>", p->w->said, p->w->answer,
            wd_demo_str(q, "answer"), p->w->true_is, p->w->call);
    for (size_t i = 0; i < json_array_size(wanted); i++) {
        wd_html(p->b, "<dd>");
        put_call(p, json_array_get(wanted, i));
        wd_html(p->b, "</dd>");
    }
    if (!json_array_size(wanted))
        wd_html(p->b, "<dd>%s</dd>", p->w->none);
    wd_html(p->b, "<dt>%s: %s</dt><dd>%s</dd></dl></div></div>\n", p->w->true_is, p->w->answer,
            wd_demo_str(q, "true_answer"));
}

static void put_assist(page *p)
{
    if (!begin_section(p, WD_DEMO_ASSIST))
        return;
    const json_t *section = wd_demo_at(p->d, WD_DEMO_ASSIST),
                 *list = json_object_get(json_object_get(section, "result"), "questions");
    for (size_t i = 0; i < json_array_size(list); i++)
        put_question(p, json_array_get(list, i), json_array_get(json_object_get(section, "checks"), i));
    end_section(p);
}

/* ---- the page ---- */

static void put_engine(page *p, const char *label, const json_t *e)
{
    const char *model = wd_demo_str(e, "model"), *digest = wd_demo_str(e, "digest");
    char start[13] = "";
    snprintf(start, sizeof start, "%s", digest);
    if (*model)
        wd_html(p->b, "<br>%s: %s, %s, <span class=\"num\">%s</span>", label, wd_path_base(model),
                wd_demo_str(e, "name"), start);
}

static void put_head(page *p)
{
    const json_t *all = p->d->all, *engine = json_object_get(all, "engine");
    wd_html(
        p->b,
        "<!doctype html>\n<html lang=\"%s\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
        "content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">"
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
        "media-src 'self' file:; style-src 'unsafe-inline'\"><title>%s</title>\n<style>",
        p->d->zh ? "zh" : "en", p->w->title);
    wd_buf_str(p->b, style);
    wd_html(p->b, "</style></head><body>\n<header><h1>%s</h1><p class=\"notice\">%s</p><p>%s</p>\n",
            p->w->title, wd_demo_str(all, "notice"), p->w->lead);
    wd_html(p->b, "<table><tr><th>%s</th><th>%s</th><th>%s</th></tr>\n", p->w->section, p->w->result,
            p->w->time);
    for (int s = 0; s < WD_DEMO_N; s++) {
        const json_t *section = wd_demo_at(p->d, (wd_demo_section)s);
        if (!section)
            continue;
        wd_html(p->b, "<tr><td><a href=\"#%s\" style=\"color:var(--accent)\">%s</a></td><td>",
                wd_demo_section_name((wd_demo_section)s), wd_demo_title((wd_demo_section)s, p->d->zh));
        put_agrees(p, section);
        wd_html(p->b, "</td><td class=\"num\">");
        if (json_object_get(section, "result"))
            put_seconds(p, wd_demo_num(section, "seconds"));
        wd_html(p->b, "</td></tr>\n");
    }
    wd_html(p->b, "<tr><td>%s</td><td></td><td class=\"num\">", p->w->total);
    put_seconds(p, wd_demo_num(all, "seconds"));
    wd_html(p->b, "</td></tr></table>\n<p class=\"meta\">%s %d", p->w->seed, (int)wd_demo_num(all, "seed"));
    put_engine(p, p->w->model, json_object_get(engine, "sees"));
    put_engine(p, p->w->text_model, json_object_get(engine, "reads"));
    wd_html(p->b, "</p></header>\n");
}

wd_status wd_demo_page(const wd_demo *d, wd_buf *out, wd_err *err)
{
    page p = { .d = d, .w = d->zh ? &chinese : &english, .b = out, .err = err };
    put_head(&p);
    put_slices(&p);
    wd_html(out, "<main>\n");
    put_report(&p);
    put_find(&p);
    put_rehab(&p);
    put_lesson(&p);
    put_assist(&p);
    wd_html(
        out,
        "</main>\n<footer><p>%s</p><p>%s<br><code>ward eval report -m models/demo --seeds 1..200</code></p>"
        "<p>%s</p></footer></body></html>\n",
        p.w->foot, p.w->repeat, wd_demo_str(d->all, "notice"));
    return p.st ? p.st : wd_buf_check(out, "page", err);
}
