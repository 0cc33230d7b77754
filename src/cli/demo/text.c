/* The demo in a terminal: verdicts, figures of characters, and key pictures. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "cli/demo/demo.h"

#define COLUMNS 64

typedef struct screen {
    const wd_demo *d;
    wd_buf *b;
    bool colour;
} screen;

/* ---- parts ---- */

static void put_style(screen *s, const char *code)
{
    if (s->colour)
        wd_buf_printf(s->b, "\033[%sm", code);
}

static void put_styled(screen *s, const char *code, const char *text)
{
    put_style(s, code);
    wd_buf_str(s->b, text);
    put_style(s, "0");
}

/* The picture as rows of half blocks, two pixels to a character; plain characters without colour. */
static void put_picture(screen *s, const wd_image *im, uint32_t columns)
{
    static const char ramp[] = " .:-=+*#%@";
    const uint32_t rows = columns * im->height / im->width / 2;
    for (uint32_t row = 0; row < rows; row++) {
        wd_buf_str(s->b, "  ");
        for (uint32_t col = 0; col < columns; col++) {
            const uint32_t x = col * im->width / columns, top = 2 * row * im->height / (2 * rows),
                           bottom = (2 * row + 1) * im->height / (2 * rows);
            const uint8_t *up = im->rgb + ((size_t)top * im->width + x) * 3,
                          *low = im->rgb + ((size_t)bottom * im->width + x) * 3;
            if (s->colour)
                wd_buf_printf(s->b, "\033[38;2;%u;%u;%um\033[48;2;%u;%u;%um\xE2\x96\x80", up[0], up[1], up[2],
                              low[0], low[1], low[2]);
            else
                wd_buf_char(s->b, ramp[(up[1] + low[1]) / 2 * (sizeof ramp - 2) / 255]);
        }
        put_style(s, "0");
        wd_buf_char(s->b, '\n');
    }
}

static bool begin_section(screen *s, wd_demo_section which)
{
    const json_t *section = wd_demo_at(s->d, which);
    if (!section)
        return false;
    const char *agrees = wd_demo_str(section, "agrees");
    const bool ran = json_object_get(section, "result") != NULL;
    wd_buf_char(s->b, '\n');
    put_styled(s, "1", wd_demo_title(which, s->d->zh));
    wd_buf_str(s->b, ": ");
    put_styled(s,
               !strcmp(agrees, "yes")  ? "32"
               : !strcmp(agrees, "no") ? "31"
                                       : "33",
               wd_demo_agrees(agrees, s->d->zh));
    if (ran)
        wd_buf_printf(s->b, " (%.1f s)", wd_demo_num(section, "seconds"));
    wd_buf_str(s->b, "\n");
    if (!ran)
        wd_buf_printf(s->b, "  %s\n", wd_demo_str(section, "skipped"));
    return ran;
}

static void put_faults(screen *s, const json_t *check)
{
    const json_t *faults = json_object_get(check, "faults");
    if (!json_array_size(faults))
        put_styled(s, "32", s->d->zh ? "正确" : "right");
    for (size_t i = 0; i < json_array_size(faults); i++) {
        if (i)
            wd_buf_str(s->b, ", ");
        put_styled(s, "31", wd_demo_fault(json_string_value(json_array_get(faults, i)), s->d->zh));
    }
    if (*wd_demo_str(check, "note"))
        wd_buf_printf(s->b, " (%s)", wd_demo_str(check, "note"));
    wd_buf_char(s->b, '\n');
}

/* At most about four lines of a text; what runs on is cut. */
static void put_cut(screen *s, const char *text)
{
    const size_t max = 320;
    wd_span t = wd_span_sub(wd_span_str(text), 0, max);
    const bool cut = t.n < strlen(text);
    if (cut)
        t.n -= wd_utf8_partial(t);
    wd_buf_span(s->b, t);
    wd_buf_str(s->b, cut ? " ...\n" : "\n");
}

/* A check as truth, model, verdict; what is not there is left out. */
static void put_check(screen *s, const json_t *check)
{
    const bool zh = s->d->zh;
    const char *truth = json_string_value(json_object_get(check, "truth")),
               *said = json_string_value(json_object_get(check, "said"));
    if (truth && said && !strcmp(truth, said) && !wd_demo_len(check, "faults")) {
        wd_buf_printf(s->b, "  %s  ", truth);
        put_faults(s, check);
        return;
    }
    wd_buf_str(s->b, zh ? "  真值  " : "  truth  ");
    put_cut(s, truth ? truth : "-");
    wd_buf_str(s->b, zh ? "  模型  " : "  model  ");
    put_cut(s, said ? said : "-");
    wd_buf_str(s->b, zh ? "        " : "         ");
    put_faults(s, check);
}

static void put_checks(screen *s, wd_demo_section which)
{
    const json_t *checks = json_object_get(wd_demo_at(s->d, which), "checks");
    for (size_t i = 0; i < json_array_size(checks); i++)
        put_check(s, json_array_get(checks, i));
}

/* ---- sections ---- */

/* The frame of a box, two pixels wide, on a copy. */
static void draw_box(wd_image *im, const json_t *box)
{
    int v[4];
    for (size_t i = 0; i < 4; i++)
        v[i] = (int)json_number_value(json_array_get(box, i)) + (i < 2 ? -6 : 6);
    for (int y = v[1]; y <= v[3]; y++) {
        for (int x = v[0]; x <= v[2]; x++) {
            const bool inside = x >= v[0] + 4 && x <= v[2] - 4 && y >= v[1] + 4 && y <= v[3] - 4;
            if (inside || x < 0 || y < 0 || x >= (int)im->width || y >= (int)im->height)
                continue;
            uint8_t *p = im->rgb + ((size_t)y * im->width + (size_t)x) * 3;
            p[0] = 255;
            p[1] = 210;
            p[2] = 63;
        }
    }
}

/* The first true finding in a slice that shows it, framed; the middle slice of a series without findings. */
static void put_key_slice(screen *s, const json_t *truth)
{
    const wd_slices *all = &s->d->slices;
    const json_t *boxes = json_object_get(json_array_get(json_object_get(truth, "findings"), 0), "boxes"),
                 *one = json_array_get(boxes, json_array_size(boxes) / 2);
    uint32_t i = all->n_picture / 2;
    for (uint32_t k = 0; one && k < all->n_picture; k++)
        if (all->picture[k].slice + 1 == (uint32_t)wd_demo_num(one, "slice"))
            i = k;
    if (!all->n_picture)
        return;
    const wd_image *from = &all->picture[i].image;
    wd_image im = { wd_calloc((size_t)from->width * from->height, 3), from->width, from->height };
    if (!im.rgb)
        return; /* a picture less */
    memcpy(im.rgb, from->rgb, (size_t)from->width * from->height * 3);
    if (one)
        draw_box(&im, json_object_get(one, "box"));
    wd_buf_printf(s->b, s->d->zh ? "  层面 %u，肺窗%s\n" : "  slice %u, lung window%s\n",
                  all->picture[i].slice + 1,
                  !one       ? ""
                  : s->d->zh ? "，方框为真值"
                             : "; the frame is the truth");
    put_picture(s, &im, COLUMNS);
    wd_free(im.rgb);
}

static bool holds(const json_t *list, const json_t *number)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_array_get(list, i), number))
            return true;
    return false;
}

static void put_bar(wd_buf *b, double share, int columns)
{
    const int n = (int)lround(fmin(fmax(share, 0), 1) * columns);
    for (int i = 0; i < columns; i++)
        wd_buf_str(b, i < n ? "\xE2\x96\x88" : "\xE2\x96\x91");
}

static void put_find(screen *s)
{
    const json_t *section = wd_demo_at(s->d, WD_DEMO_FIND),
                 *queries = json_object_get(json_object_get(section, "result"), "queries");
    if (!json_array_size(queries))
        wd_buf_str(s->b, s->d->zh ? "  本例无可查找的病灶。\n" : "  This case has no finding to look for.\n");
    for (size_t i = 0; i < json_array_size(queries); i++) {
        const json_t *q = json_array_get(queries, i), *ranking = json_object_get(q, "ranking");
        wd_buf_printf(s->b, "  \"%s\"  ", wd_demo_str(q, "sentence"));
        put_faults(s, json_array_get(json_object_get(section, "checks"), i));
        for (size_t k = 0; k < 3 && k < json_array_size(ranking); k++) {
            const json_t *number = json_array_get(ranking, k);
            const double score = json_number_value(json_array_get(json_object_get(q, "scores"), k));
            wd_buf_printf(s->b, s->d->zh ? "    层面 %2d  %.3f " : "    slice %2d  %.3f ",
                          (int)json_integer_value(number), score);
            put_bar(s->b, score, 20);
            if (holds(json_object_get(q, "relevant"), number))
                wd_buf_str(s->b, s->d->zh ? "  显示该病灶" : "  shows it");
            wd_buf_char(s->b, '\n');
        }
    }
}

/* A row of eighths between low and high; what could not be measured is a blank. */
static void put_spark(wd_buf *b, const json_t *values, double low, double high)
{
    const size_t n = json_array_size(values);
    for (size_t i = 0; i < COLUMNS && n; i++) {
        const json_t *v = json_array_get(values, i * n / COLUMNS);
        const double share = (json_number_value(v) - low) / fmax(high - low, 1);
        if (json_is_number(v))
            wd_buf_printf(b, "\xE2\x96%c", 0x81 + (int)fmin(fmax(share * 8, 0), 7));
        else
            wd_buf_char(b, ' ');
    }
}

static void put_rehab(screen *s)
{
    const json_t *section = wd_demo_at(s->d, WD_DEMO_REHAB), *result = json_object_get(section, "result"),
                 *draft = json_object_get(result, "draft"),
                 *truth = json_object_get(json_object_get(s->d->truth[WD_DEMO_REHAB], "angles"), "main"),
                 *off = json_object_get(json_object_get(section, "metrics"), "angle_mae_deg");
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < json_array_size(truth); i++) {
        low = fmin(low, json_number_value(json_array_get(truth, i)));
        high = fmax(high, json_number_value(json_array_get(truth, i)));
    }
    if (s->d->n_exercise)
        put_picture(s, &s->d->exercise[s->d->n_exercise > 1].image, 48);
    wd_buf_str(s->b, s->d->zh ? "  真值  " : "  truth  ");
    put_spark(s->b, truth, low, high);
    wd_buf_str(s->b, s->d->zh ? "\n  测得  " : "\n  model  ");
    put_spark(s->b, json_object_get(json_object_get(draft, "angles"), "main"), low, high);
    wd_buf_printf(s->b, s->d->zh ? "\n        %s，%.0f 至 %.0f 度" : "\n         %s, %.0f to %.0f degrees",
                  wd_demo_angle(wd_demo_str(draft, "main_angle"), s->d->zh), low, high);
    if (json_is_number(off))
        wd_buf_printf(s->b, s->d->zh ? "，平均误差 %.1f 度" : "; %.1f degrees off on average",
                      json_number_value(off));
    wd_buf_char(s->b, '\n');
    put_checks(s, WD_DEMO_REHAB);
    wd_buf_printf(s->b, "  %s\n", wd_demo_str(draft, "summary"));
}

static void put_assist(screen *s)
{
    const json_t *section = wd_demo_at(s->d, WD_DEMO_ASSIST),
                 *list = json_object_get(json_object_get(section, "result"), "questions");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *q = json_array_get(list, i), *calls = json_object_get(q, "calls");
        wd_buf_printf(s->b, "  %s\n", wd_demo_str(q, "question"));
        for (size_t k = 0; k < json_array_size(calls); k++) {
            const json_t *c = json_array_get(calls, k);
            wd_buf_printf(s->b, "  -> %s ", wd_demo_str(c, "name"));
            wd_err unused;
            if (wd_json_write(json_object_get(c, "arguments"), JSON_ENCODE_ANY, s->b, &unused))
                wd_buf_str(s->b, "?");
            wd_buf_char(s->b, '\n');
        }
        put_check(s, json_array_get(json_object_get(section, "checks"), i));
    }
}

wd_status wd_demo_text(const wd_demo *d, bool colour, wd_buf *out, wd_err *err)
{
    screen s = { d, out, colour };
    wd_buf_printf(out, "Ward demo, seed %d\n%s\n", (int)wd_demo_num(d->all, "seed"),
                  wd_demo_str(d->all, "notice"));
    if (begin_section(&s, WD_DEMO_REPORT)) {
        put_key_slice(&s, d->truth[WD_DEMO_REPORT]);
        put_checks(&s, WD_DEMO_REPORT);
    }
    if (begin_section(&s, WD_DEMO_FIND))
        put_find(&s);
    if (begin_section(&s, WD_DEMO_REHAB))
        put_rehab(&s);
    if (begin_section(&s, WD_DEMO_LESSON)) {
        if (d->n_lesson)
            put_picture(&s, &d->lesson[0].image, 48);
        put_checks(&s, WD_DEMO_LESSON);
    }
    if (begin_section(&s, WD_DEMO_ASSIST))
        put_assist(&s);
    wd_buf_printf(out, d->zh ? "\n用时 %.1f 秒。网页：%s\n" : "\nDone in %.1f s. The page: %s\n",
                  wd_demo_num(d->all, "seconds"), wd_demo_str(d->all, "page"));
    return wd_buf_check(out, "demo", err);
}
