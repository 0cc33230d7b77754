/* The page's lesson. */
#include "cli/demo/page.h"

static void put_step(wd_page *p, const wd_demo_frame *f, const json_t *truth, const json_t *said,
                     const json_t *check)
{
    wd_html(p->b, "<figure><img alt=\"%s\" width=\"%u\" height=\"%u\" src=\"", wd_demo_str(truth, "title"),
            f->image.width, f->image.height);
    wd_page_png(p, &f->image);
    wd_html(p->b, "\"><figcaption><b>%s</b> <span class=\"num\">%.1f\xE2\x80\x93%.1f s</span><br>%s: ",
            wd_demo_str(truth, "title"), wd_demo_num(truth, "start_s"), wd_demo_num(truth, "end_s"),
            p->w->said);
    if (said)
        wd_html(p->b, "%s <span class=\"num\">%.1f\xE2\x80\x93%.1f s</span>", wd_demo_str(said, "title"),
                wd_demo_num(said, "start_s"), wd_demo_num(said, "end_s"));
    else
        wd_html(p->b, "\xE2\x80\x93");
    wd_html(p->b, "<br>");
    wd_page_verdict(p, check);
    wd_html(p->b, "</figcaption></figure>\n");
}

static void put_terms(wd_page *p, const json_t *terms)
{
    for (size_t i = 0; i < json_array_size(terms); i++) {
        const json_t *t = json_array_get(terms, i);
        wd_html(p->b, "<br><b>%s</b>: %s", wd_demo_str(t, "term"), wd_demo_str(t, "meaning"));
    }
    if (!json_array_size(terms))
        wd_html(p->b, "%s", p->w->none);
}

static void put_lesson_words(wd_page *p, const char *heading, const json_t *words_of)
{
    wd_html(p->b, "<h3>%s</h3><p><b>%s</b></p><p>%s</p><p class=\"soft\">%s: ", heading,
            wd_demo_str(words_of, "title"), wd_demo_str(words_of, "summary"), p->w->terms);
    put_terms(p, json_object_get(words_of, "terms"));
    wd_html(p->b, "</p>");
}

void wd_page_lesson(wd_page *p)
{
    if (!wd_page_begin(p, WD_DEMO_LESSON))
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
        wd_page_raw(p, wd_demo_str(draft, "why_not_parsed"), wd_demo_str(draft, "raw"));
    put_lesson_words(p, p->w->truth, p->d->truth[WD_DEMO_LESSON]);
    wd_html(p->b, "</div></div>\n<div class=\"figures\">\n");
    for (size_t i = 0; i < p->d->n_lesson; i++) {
        const json_t *t = json_array_get(truth, i), *match = json_object_get(t, "match");
        put_step(p, &p->d->lesson[i], t,
                 json_is_integer(match) ? json_array_get(said, (size_t)json_integer_value(match)) : NULL,
                 json_array_get(checks, i + 1)); /* the first is about the title */
    }
    wd_html(p->b, "</div>\n<h3>%s</h3>\n", p->w->what_agrees);
    wd_page_checks(p, section);
    wd_page_end(p);
}
