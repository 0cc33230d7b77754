/* The demo's page: HTML with its pictures inside. Only the two videos lie beside it; nothing is fetched, no script runs.
 * Everything a model or a case says goes through wd_html()'s %s. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/demo/page.h"
#include "media/png_write.h"

/* ---- parts ---- */

void wd_page_png(wd_page *p, const wd_image *im)
{
    wd_buf png = { 0 };
    if (!p->st)
        p->st = wd_png_write(im, &png, p->err);
    if (!p->st)
        wd_html_data(p->b, "image/png", wd_buf_view(&png));
    wd_buf_free(&png);
}

void wd_page_seconds(wd_page *p, double s)
{
    wd_html(p->b, p->w->seconds, s);
}

/* "✓ agrees with the truth" */
void wd_page_agrees(wd_page *p, const json_t *section)
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
void wd_page_verdict(wd_page *p, const json_t *check)
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
bool wd_page_begin(wd_page *p, wd_demo_section s)
{
    const json_t *section = wd_demo_at(p->d, s);
    if (!section)
        return false;
    wd_html(p->b, "<section id=\"%s\"><div class=\"head\"><h2>%s</h2> ", wd_demo_section_name(s),
            wd_demo_title(s, p->d->zh));
    const bool ran = json_object_get(section, "result") != NULL;
    wd_page_agrees(p, section);
    if (ran) {
        wd_html(p->b, " <span class=\"meta num\">");
        wd_page_seconds(p, wd_demo_num(section, "seconds"));
        wd_html(p->b, " \xC2\xB7 %s %d</span>", p->w->seed, (int)wd_demo_num(section, "seed"));
    }
    wd_html(p->b, "</div>\n");
    if (!ran)
        wd_html(p->b, "<p>%s</p></section>\n", wd_demo_str(section, "skipped"));
    return ran;
}

void wd_page_end(wd_page *p)
{
    wd_html(p->b, "</section>\n");
}

void wd_page_texts(wd_page *p, const char *tag, const json_t *list, const char *key)
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

void wd_page_numbers(wd_page *p, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        wd_html(p->b, "%s%d", i ? ", " : "", (int)json_integer_value(json_array_get(list, i)));
}

/* Truth, model and comparison, one row a check. */
void wd_page_checks(wd_page *p, const json_t *section)
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
        wd_page_verdict(p, c);
        wd_html(p->b, "</td></tr>\n");
    }
    wd_html(p->b, "</table></div>\n");
}

void wd_page_raw(wd_page *p, const char *why, const char *raw)
{
    wd_html(p->b, "<p class=\"no\">%s %s</p><details><summary>%s</summary><pre>%s</pre></details>\n",
            p->w->unreadable, why, p->w->raw, raw);
}

/* ---- the page ---- */

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

static void put_engine(wd_page *p, const char *label, const json_t *e)
{
    const char *model = wd_demo_str(e, "model"), *digest = wd_demo_str(e, "digest");
    char start[13] = "";
    snprintf(start, sizeof start, "%s", digest);
    if (*model)
        wd_html(p->b, "<br>%s: %s, %s, <span class=\"num\">%s</span>", label, wd_path_base(model),
                wd_demo_str(e, "name"), start);
}

static void put_head(wd_page *p)
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
        wd_page_agrees(p, section);
        wd_html(p->b, "</td><td class=\"num\">");
        if (json_object_get(section, "result"))
            wd_page_seconds(p, wd_demo_num(section, "seconds"));
        wd_html(p->b, "</td></tr>\n");
    }
    wd_html(p->b, "<tr><td>%s</td><td></td><td class=\"num\">", p->w->total);
    wd_page_seconds(p, wd_demo_num(all, "seconds"));
    wd_html(p->b, "</td></tr></table>\n<p class=\"meta\">%s %d", p->w->seed, (int)wd_demo_num(all, "seed"));
    put_engine(p, p->w->model, json_object_get(engine, "sees"));
    put_engine(p, p->w->text_model, json_object_get(engine, "reads"));
    wd_html(p->b, "</p></header>\n");
}

wd_status wd_demo_page(const wd_demo *d, wd_buf *out, wd_err *err)
{
    wd_page p = { .d = d, .w = d->zh ? &wd_page_chinese : &wd_page_english, .b = out, .err = err };
    put_head(&p);
    wd_page_slices(&p);
    wd_html(out, "<main>\n");
    wd_page_report(&p);
    wd_page_find(&p);
    wd_page_rehab(&p);
    wd_page_lesson(&p);
    wd_page_assist(&p);
    wd_html(
        out,
        "</main>\n<footer><p>%s</p><p>%s<br><code>ward eval report -m models/demo --seeds 1..200</code></p>"
        "<p>%s</p></footer></body></html>\n",
        p.w->foot, p.w->repeat, wd_demo_str(d->all, "notice"));
    return p.st ? p.st : wd_buf_check(out, "page", err);
}
