/* The page's chart: questions, calls and answers. */
#include "cli/demo/page.h"

#include "base/json.h"

static void put_value(wd_page *p, const json_t *v)
{
    wd_buf b = { 0 };
    if (json_is_string(v))
        wd_html(p->b, "%s", json_string_value(v));
    else if (!p->st && !(p->st = wd_json_write(v, 0, &b, p->err)))
        wd_html(p->b, "%s", (const char *)b.p);
    wd_buf_free(&b);
}

static void put_call(wd_page *p, const json_t *call)
{
    wd_html(p->b, "<code>%s ", wd_demo_str(call, "name"));
    put_value(p, json_object_get(call, "arguments"));
    wd_html(p->b, "</code>");
}

static void put_question(wd_page *p, const json_t *q, const json_t *check)
{
    const json_t *calls = json_object_get(json_object_get(q, "draft"), "calls"),
                 *wanted = json_object_get(q, "true_calls");
    wd_html(p->b, "<div class=\"qa\"><h3>%s</h3>", wd_demo_str(q, "question"));
    wd_page_verdict(p, check);
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

void wd_page_assist(wd_page *p)
{
    if (!wd_page_begin(p, WD_DEMO_ASSIST))
        return;
    const json_t *section = wd_demo_at(p->d, WD_DEMO_ASSIST),
                 *list = json_object_get(json_object_get(section, "result"), "questions");
    for (size_t i = 0; i < json_array_size(list); i++)
        put_question(p, json_array_get(list, i), json_array_get(json_object_get(section, "checks"), i));
    wd_page_end(p);
}
