/* The page's CT: report and find. */
#include "cli/demo/page.h"

static const wd_slice_picture *slice_of(const wd_demo *d, uint32_t number)
{
    for (uint32_t i = 0; i < d->slices.n_picture; i++)
        if (d->slices.picture[i].slice + 1 == number)
            return &d->slices.picture[i];
    return NULL;
}

/* Each slice once; figures use them. */
void wd_page_slices(wd_page *p)
{
    const wd_slices *s = &p->d->slices;
    if (!s->n_picture)
        return;
    wd_html(p->b, "<svg width=\"0\" height=\"0\" style=\"position:absolute\" aria-hidden=\"true\"><defs>\n");
    for (uint32_t i = 0; i < s->n_picture; i++) {
        const wd_slice_picture *pic = &s->picture[i];
        wd_html(p->b, "<image id=\"slice-%u\" width=\"%u\" height=\"%u\" href=\"", pic->slice + 1,
                pic->image.width, pic->image.height);
        wd_page_png(p, &pic->image);
        wd_html(p->b, "\"/>\n");
    }
    wd_html(p->b, "</defs></svg>\n");
}

/* <svg> with the slice, open for more. */
static void open_slice(wd_page *p, const wd_slice_picture *pic)
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

static void put_box(wd_page *p, const json_t *one, uint32_t number)
{
    if ((uint32_t)wd_demo_num(one, "slice") != number)
        return;
    double v[4];
    for (size_t i = 0; i < 4; i++)
        v[i] = json_number_value(json_array_get(json_object_get(one, "box"), i));
    wd_html(p->b, "<rect class=\"boxt\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>", v[0] - 2.5,
            v[1] - 2.5, v[2] - v[0] + 5, v[3] - v[1] + 5);
}

static void put_cited(wd_page *p, const json_t *said)
{
    if (!wd_demo_len(said, "slices")) {
        wd_html(p->b, "%s", p->w->cites_none);
        return;
    }
    wd_html(p->b, "%s ", p->w->cites);
    wd_page_numbers(p, json_object_get(said, "slices"));
    wd_html(p->b, ".");
}

/* A true finding with its box, and what the model cites for it. */
static void put_true_figure(wd_page *p, const json_t *result, size_t i, const json_t *check)
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
    wd_page_verdict(p, check);
    wd_html(p->b, "<br>%s<br>%s ", wd_demo_str(claim, "text"), p->w->shown_in);
    wd_page_numbers(p, json_object_get(claim, "slices"));
    wd_html(p->b, ". ");
    if (json_is_integer(match))
        put_cited(p, json_array_get(json_object_get(result, "said"), (size_t)json_integer_value(match)));
    wd_html(p->b, "</figcaption></figure>\n");
}

/* What the model says and is not there: the slice it cites, without a box. */
static void put_invented_figure(wd_page *p, const json_t *said)
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

void wd_page_report(wd_page *p)
{
    if (!wd_page_begin(p, WD_DEMO_REPORT))
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
        wd_page_texts(p, "ul", json_object_get(draft, "findings"), "text");
        wd_html(p->b, "<h3>%s</h3>", p->w->impression);
        wd_page_texts(p, "ol", json_object_get(draft, "impression"), NULL);
    } else {
        wd_page_raw(p, wd_demo_str(draft, "why_not_parsed"), wd_demo_str(draft, "raw"));
    }
    wd_html(p->b, "</div><div><h3>%s</h3>", p->w->truth);
    wd_page_texts(p, "ul", json_object_get(own, "findings"), "text");
    wd_html(p->b, "<h3>%s</h3>", p->w->impression);
    wd_page_texts(p, "ol", json_object_get(own, "impression"), NULL);
    wd_html(p->b, "</div></div>\n<h3>%s</h3>\n", p->w->what_agrees);
    wd_page_checks(p, section);
    wd_html(p->b, "<div class=\"figures\">\n");
    for (size_t i = 0; i < wd_demo_len(result, "truth"); i++)
        put_true_figure(p, result, i, json_array_get(json_object_get(section, "checks"), i));
    for (size_t i = 0; i < json_array_size(said); i++)
        if (!json_is_integer(json_object_get(json_array_get(said, i), "match")))
            put_invented_figure(p, json_array_get(said, i));
    wd_html(p->b, "</div><p class=\"soft\">%s</p>\n", p->w->box);
    wd_page_end(p);
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

static void put_query(wd_page *p, const json_t *query, const json_t *check)
{
    wd_html(p->b, "<h3>\xE2\x80\x9C%s\xE2\x80\x9D</h3><p class=\"meta\">", wd_demo_str(query, "sentence"));
    wd_page_verdict(p, check);
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

void wd_page_find(wd_page *p)
{
    if (!wd_page_begin(p, WD_DEMO_FIND))
        return;
    const json_t *section = wd_demo_at(p->d, WD_DEMO_FIND),
                 *queries = json_object_get(json_object_get(section, "result"), "queries");
    if (!json_array_size(queries))
        wd_html(p->b, "<p>%s</p>", p->w->no_query);
    for (size_t i = 0; i < json_array_size(queries); i++)
        put_query(p, json_array_get(queries, i), json_array_get(json_object_get(section, "checks"), i));
    if (json_array_size(queries))
        wd_html(p->b, "<p class=\"soft\">%s %s</p>\n", p->w->true_slice, p->w->best);
    wd_page_end(p);
}
