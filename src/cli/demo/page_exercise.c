/* The page's exercise: the angle over time, and joints on pictures. */
#include "cli/demo/page.h"

#include <math.h>
#include <string.h>

#include "care/rehab_rules.h"

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

static void put_axes(wd_page *p, const plot *g)
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
static void put_curve(wd_page *p, const plot *g, const char *class, const json_t *values, const json_t *times,
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

static void put_reps(wd_page *p, const plot *g, const json_t *reps)
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

static void put_bars(wd_page *p, const plot *g, const json_t *faults, const char *type, double y, bool truth)
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

static void put_plot(wd_page *p, const json_t *result, const wd_rehab_rule *rule)
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

static void put_pose(wd_page *p, const wd_demo_frame *f, const json_t *said, const json_t *truth)
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
    wd_page_png(p, &f->image);
    wd_html(p->b, "\"/>");
    for (size_t i = 0; i < WD_COUNT(bones); i++)
        if (point_at(said, bones[i][0], a) && point_at(said, bones[i][1], b))
            wd_html(p->b, "<path class=\"bone\" d=\"M%.1f %.1fL%.1f %.1f\"/>", a[0], a[1], b[0], b[1]);
    for (size_t j = 0; j < WD_N_JOINT; j++)
        if (point_at(truth, j, a))
            wd_html(p->b, "<circle class=\"joint\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.2\"/>", a[0], a[1]);
    wd_html(p->b, "</svg><figcaption class=\"num\">%.1f s</figcaption></figure>\n", f->time_s);
}

static void put_advice(wd_page *p, const json_t *draft)
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

void wd_page_rehab(wd_page *p)
{
    if (!wd_page_begin(p, WD_DEMO_REHAB))
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
    wd_page_checks(p, section);
    wd_page_end(p);
}
