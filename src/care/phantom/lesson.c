/* A lesson is first written (which cards, when, how they look), then drawn frame by frame.
 *
 * All places are in units of a 256 x 144 picture; `scale` makes pixels of them. A card's still part is drawn once; its
 * face, which moves, into a copy of it.
 */
#include "care/phantom/lesson.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "care/phantom/lesson_script.h"
#include "care/phantom/lettering.h"
#include "media/mp4_write.h"

#define FPS 10u
#define WIDTH 256.0
#define HEIGHT 144.0
#define STEPS_MAX 6
#define CARDS_MAX (1 + STEPS_MAX + 1 + WD_SCRIPT_TERMS)
#define LINES_MAX 4
#define SIZE_MIN_PX 13u

typedef enum card_kind { CARD_TITLE, CARD_STEP, CARD_TERM } card_kind;
typedef enum passage { PASS_CUT, PASS_DISSOLVE, PASS_BLACK } passage;

typedef struct rect {
    double x, y, w, h;
} rect;

/* Where things stand on a card. */
typedef struct layout {
    rect text;
    wd_point number;
    rect picture; /* square */
    wd_point face;
    double face_r;
    bool centred;
} layout;

static const layout layouts[] = {
    { { 10, 42, 152, 94 }, { 10, 10 }, { 170, 62, 76, 76 }, { 214, 34 }, 20, false },
    { { 96, 42, 152, 94 }, { 96, 10 }, { 8, 60, 78, 78 }, { 44, 32 }, 20, false },
    { { 8, 36, 240, 46 }, { 8, 8 }, { 24, 84, 56, 56 }, { 196, 112 }, 19, true },
    { { 8, 88, 240, 50 }, { 8, 8 }, { 96, 10, 70, 70 }, { 212, 42 }, 21, true },
};
static const layout title_layout = { { 12, 34, 232, 62 }, { 12, 8 }, { 16, 98, 42, 42 },
                                     { 214, 118 },        17,        true };
static const layout term_layout = {
    { 56, 38, 190, 42 }, { 12, 8 }, { 10, 44, 40, 40 }, { 30, 120 }, 15, true
};
static const rect meaning_place = { 56, 86, 190, 50 };

typedef struct card {
    card_kind kind;
    uint32_t step;        /* of the lesson, or which term */
    uint32_t start, end;  /* frames; end excluded */
    passage into;         /* from the card before */
    uint32_t into_frames; /* even */
    layout at;
    wd_pictogram pictogram;
    bool mirror, has_face;
    wd_rgb back[2], text;
    wd_pictogram_ink ink;
    wd_face_look look;
    uint32_t bob; /* of the face: frames of one round */
    double sway;
    uint32_t decor;
    wd_image still;
} card;

typedef struct lesson {
    wd_rand r;
    const wd_script_topic *topic;
    int language;
    const char *title;
    uint32_t n_step;
    const char *step_title[STEPS_MAX];
    wd_pictogram step_pictogram[STEPS_MAX];
    uint32_t n_term;
    const wd_script_term *term[WD_SCRIPT_TERMS];
    card card[CARDS_MAX];
    uint32_t n_card, n_frame;
    double scale;
    uint32_t width, height;
    uint32_t numbering;
    wd_letters letters;
    wd_lettering *lettering;
    json_t *faces;
} lesson;

/* ---- writing ---- */

static bool chance(wd_rand *r, double p)
{
    return wd_rand_unit(r) < p;
}

static void pick_words(lesson *l)
{
    l->topic = &wd_script[wd_rand_below(&l->r, WD_SCRIPT_TOPICS)];
    l->title = l->topic->title[l->language][wd_rand_below(&l->r, 2)];
    const uint32_t want = 3 + (uint32_t)wd_rand_below(&l->r, 4);
    for (uint32_t i = 0; i < WD_SCRIPT_STEPS && l->n_step < want; i++) {
        const wd_script_step *s = &l->topic->step[i];
        if (wd_rand_below(&l->r, WD_SCRIPT_STEPS - i) >= want - l->n_step)
            continue;
        const char *other = s->other[l->language];
        l->step_pictogram[l->n_step] = s->pictogram;
        l->step_title[l->n_step++] = other && chance(&l->r, 0.5) ? other : s->title[l->language];
    }
    const double u = wd_rand_unit(&l->r);
    l->n_term = u < 0.5 ? 0 : u < 0.85 ? 1 : 2;
    const uint32_t first = l->n_term == 1 ? (uint32_t)wd_rand_below(&l->r, WD_SCRIPT_TERMS) : 0;
    for (uint32_t i = 0; i < l->n_term; i++)
        l->term[i] = &l->topic->term[first + i];
}

static void add_card(lesson *l, card_kind kind, uint32_t step)
{
    card *c = &l->card[l->n_card++];
    c->kind = kind;
    c->step = step;
    c->pictogram = kind == CARD_STEP   ? l->step_pictogram[step]
                   : kind == CARD_TERM ? WD_PICT_BOOK
                                       : l->step_pictogram[l->n_step - 1];
}

static void pick_cards(lesson *l)
{
    const bool terms_first = chance(&l->r, 0.4);
    const uint32_t twice = chance(&l->r, 0.25) ? (uint32_t)wd_rand_below(&l->r, l->n_step) : UINT32_MAX;
    add_card(l, CARD_TITLE, 0);
    for (uint32_t i = 0; terms_first && i < l->n_term; i++)
        add_card(l, CARD_TERM, i);
    for (uint32_t i = 0; i < l->n_step; i++) {
        add_card(l, CARD_STEP, i);
        if (i == twice)
            add_card(l, CARD_STEP, i);
    }
    for (uint32_t i = 0; !terms_first && i < l->n_term; i++)
        add_card(l, CARD_TERM, i);
}

static void pick_times(lesson *l)
{
    const double style = wd_rand_unit(&l->r), total_s = wd_rand_range(&l->r, 22, 58);
    double weight[CARDS_MAX], sum = 0;
    for (uint32_t i = 0; i < l->n_card; i++)
        sum += weight[i] = wd_rand_range(&l->r, 0.7, 1.3) * (l->card[i].kind == CARD_STEP ? 1 : 0.7);
    for (uint32_t i = 0; i < l->n_card; i++) {
        card *c = &l->card[i];
        const double s = fmin(fmax(total_s * weight[i] / sum, 2.5), 14);
        c->start = l->n_frame;
        c->end = l->n_frame += (uint32_t)(s * FPS + 0.5);
        const double u = style < 0.5 ? 0 : style < 0.75 ? 0.6 : style < 0.85 ? 0.9 : wd_rand_unit(&l->r);
        c->into = i == 0 || u < 0.5 ? PASS_CUT : u < 0.8 ? PASS_DISSOLVE : PASS_BLACK;
        c->into_frames = c->into == PASS_CUT ? 0 : 4 + 2 * (uint32_t)wd_rand_below(&l->r, 2);
    }
}

static uint8_t channel(double v)
{
    return (uint8_t)fmin(fmax(v * 255 + 0.5, 0), 255);
}

/* Hue 0 .. 6, saturation and value 0 .. 1. */
static wd_rgb of_hsv(double h, double s, double v)
{
    const double sector = floor(h), f = h - sector, p = v * (1 - s), q = v * (1 - s * f),
                 t = v * (1 - s * (1 - f));
    const double rgb[6][3] = { { v, t, p }, { q, v, p }, { p, v, t }, { p, q, v }, { t, p, v }, { v, p, q } };
    const double *c = rgb[(int)sector % 6];
    return (wd_rgb){ channel(c[0]), channel(c[1]), channel(c[2]) };
}

static void pick_colours(lesson *l, card *c, double hue, bool dark)
{
    wd_rand *r = &l->r;
    const double s = dark ? wd_rand_range(r, 0.5, 0.9) : wd_rand_range(r, 0.08, 0.4);
    const double v = dark ? wd_rand_range(r, 0.2, 0.42) : wd_rand_range(r, 0.88, 1);
    const wd_rgb white = { 255, 255, 255 }, black = { 0, 0, 0 };
    c->back[0] = of_hsv(hue, s, v);
    c->back[1] = wd_rgb_mix(c->back[0], dark ? black : white, wd_rand_range(r, 0, 0.4));
    c->text = dark ? wd_rgb_mix(white, of_hsv(hue, 0.4, 1), wd_rand_unit(r) * 0.5)
                   : of_hsv(wd_rand_range(r, 0, 6), wd_rand_range(r, 0.3, 0.95), wd_rand_range(r, 0.1, 0.4));
    c->ink = (wd_pictogram_ink){ .line = dark ? (wd_rgb){ 225, 225, 225 } : (wd_rgb){ 50, 55, 65 },
                                 .fill = dark ? of_hsv(hue, 0.3, 0.25) : white,
                                 .skin = { 236, 188, 150 },
                                 .accent = of_hsv(wd_rand_range(r, 0, 6), 0.65, dark ? 0.95 : 0.8) };
}

static wd_face_look pick_look(wd_rand *r)
{
    static const wd_rgb skins[] = { { 246, 208, 177 }, { 224, 172, 125 }, { 190, 130, 90 }, { 120, 78, 52 } };
    static const wd_rgb hairs[] = { { 30, 26, 24 }, { 92, 60, 36 }, { 190, 150, 90 }, { 150, 150, 155 } };
    return (wd_face_look){ .skin = skins[wd_rand_below(r, WD_COUNT(skins))],
                           .hair = hairs[wd_rand_below(r, WD_COUNT(hairs))],
                           .long_hair = chance(r, 0.5),
                           .glasses = chance(r, 0.3) };
}

static void pick_looks(lesson *l)
{
    wd_rand *r = &l->r;
    const bool dark = chance(r, 0.4), with_faces = chance(r, 0.6), one_layout = chance(r, 0.5);
    const wd_face_look presenter = pick_look(r);
    const uint32_t usual = (uint32_t)wd_rand_below(r, WD_COUNT(layouts));
    double hue = wd_rand_range(r, 0, 6);
    l->letters = (wd_letters)wd_rand_below(r, WD_LETTERS_N);
    l->numbering = (uint32_t)wd_rand_below(r, 3);
    for (uint32_t i = 0; i < l->n_card; i++) {
        card *c = &l->card[i];
        hue += wd_rand_range(r, 0.7, 2); /* the next background differs, as editors make it */
        hue -= hue >= 6 ? 6 : 0;
        pick_colours(l, c, hue, dark);
        c->at = c->kind == CARD_TITLE  ? title_layout
                : c->kind == CARD_TERM ? term_layout
                                       : layouts[one_layout ? usual : wd_rand_below(r, WD_COUNT(layouts))];
        c->mirror = chance(r, 0.5) && c->pictogram != WD_PICT_CHECK;
        c->has_face = with_faces && chance(r, 0.6);
        c->look = presenter;
        c->bob = 12 + (uint32_t)wd_rand_below(r, 14);
        c->sway = wd_rand_range(r, 0.5, 2.5);
        c->decor = (uint32_t)wd_rand_below(r, 4);
    }
}

/* ---- drawing ---- */

typedef struct lines {
    wd_span line[LINES_MAX];
    uint32_t n, size_px;
} lines;

static bool is_wide(wd_span s)
{
    return s.n && s.p[0] >= 0xE0;
}

/* Breaks English at spaces so that no line is wider than w. */
static wd_status wrap_words(lesson *l, const wd_pen *pen, wd_span s, double w, lines *out, bool *fits,
                            wd_err *err)
{
    out->n = 0;
    *fits = true;
    for (size_t from = 0, to; from < s.n && *fits; from = to + 1) {
        double width = 0;
        to = from;
        for (size_t next = from; next < s.n;) {
            const size_t space = wd_span_find(s, WD_SPAN_LIT(" "), next);
            const size_t end = space == SIZE_MAX ? s.n : space;
            WD_TRY(wd_lettering_width(l->lettering, pen, wd_span_sub(s, from, end - from), &width, err));
            if (width > w)
                break;
            to = end;
            next = end + 1;
        }
        if (to == from || out->n == LINES_MAX)
            *fits = false;
        else
            out->line[out->n++] = wd_span_sub(s, from, to - from);
    }
    return WD_OK;
}

/* Chinese breaks anywhere: into n lines of about the same length. */
static wd_status wrap_han(lesson *l, const wd_pen *pen, wd_span s, double w, uint32_t n, lines *out,
                          bool *fits, wd_err *err)
{
    const size_t chars = s.n / 3; /* all of them take three bytes */
    out->n = 0;
    *fits = true;
    for (uint32_t i = 0; i < n && *fits; i++) {
        const size_t a = chars * i / n * 3, b = chars * (i + 1) / n * 3;
        double width;
        out->line[out->n++] = wd_span_sub(s, a, b - a);
        WD_TRY(wd_lettering_width(l->lettering, pen, out->line[i], &width, err));
        *fits = width <= w;
    }
    return WD_OK;
}

/* The largest letters up to most_px with which the text fits into the place. */
static wd_status fit(lesson *l, wd_pen *pen, const char *text, rect place, uint32_t most_px, lines *out,
                     wd_err *err)
{
    const wd_span s = wd_span_str(text);
    const double w = place.w * l->scale, h = place.h * l->scale;
    for (uint32_t px = (uint32_t)(most_px * l->scale); px >= SIZE_MIN_PX; px--) {
        pen->size_px = px;
        const uint32_t room = WD_MIN((uint32_t)(h / (px * 1.2)), LINES_MAX);
        for (uint32_t n = 1; n <= room; n++) {
            bool fits;
            WD_TRY(is_wide(s) ? wrap_han(l, pen, s, w, n, out, &fits, err)
                              : wrap_words(l, pen, s, w, out, &fits, err));
            if (fits && out->n <= room) {
                out->size_px = px;
                return WD_OK;
            }
        }
    }
    return WD_FAIL(err, WD_E_INTERNAL, "lesson: \"%s\" does not fit on its card", text);
}

static wd_status draw_text(lesson *l, card *c, const char *text, rect place, uint32_t most_px, bool centred,
                           wd_err *err)
{
    wd_pen pen = { .letters = l->letters, .rgb = { c->text.r, c->text.g, c->text.b } };
    lines t = { 0 };
    WD_TRY(fit(l, &pen, text, place, most_px, &t, err));
    const double leading = t.size_px * 1.2;
    double y = (place.y + place.h / 2) * l->scale - leading * t.n / 2 + t.size_px * 0.95;
    for (uint32_t i = 0; i < t.n; i++, y += leading) {
        double w = 0;
        WD_TRY(wd_lettering_width(l->lettering, &pen, t.line[i], &w, err));
        const double x = place.x * l->scale + (centred ? (place.w * l->scale - w) / 2 : 0);
        WD_TRY(wd_lettering_draw(l->lettering, &c->still, x, y, &pen, t.line[i], err));
    }
    return WD_OK;
}

/* What stands above a step's title, "1", "Step 1", ...; above the others, what the card is. */
static void heading(const lesson *l, const card *c, char out[32])
{
    static const char *const step[2][3] = { { "%u", "Step %u", "%u." }, { "%u", "第%u步", "步骤%u" } };
    const bool zh = l->language == WD_SCRIPT_ZH;
    if (c->kind == CARD_STEP)
        snprintf(out, 32, step[l->language][l->numbering], c->step + 1);
    else
        snprintf(out, 32, "%s",
                 c->kind == CARD_TITLE ? (zh ? "患者教育" : "For patients")
                 : zh                  ? "词语"
                                       : "New word");
}

static void draw_back(const lesson *l, card *c)
{
    const double k = l->scale;
    const wd_rgb deep = wd_rgb_mix(c->back[0], c->ink.accent, 0.3),
                 edge = wd_rgb_mix(c->back[0], c->text, 0.5);
    wd_canvas_gradient(&c->still, 0, 0, l->width, l->height, c->back[0], c->back[1]);
    if (c->decor == 1)
        wd_canvas_rect(&c->still, 0, 0, l->width, 5 * k, deep);
    if (c->decor == 2)
        wd_canvas_disc(&c->still, (wd_point){ WIDTH * k, HEIGHT * k }, 60 * k, deep);
    if (c->decor == 3)
        wd_canvas_rect(&c->still, 0, (HEIGHT - 4) * k, l->width, 4 * k, edge);
}

static wd_status draw_number(lesson *l, card *c, wd_err *err)
{
    char text[32];
    heading(l, c, text);
    const double k = l->scale;
    const bool badge = c->kind == CARD_STEP && l->numbering == 0;
    wd_pen pen = { .letters = l->letters, .size_px = (uint32_t)((c->kind == CARD_STEP ? 22 : 16) * k) };
    const wd_rgb ink = badge ? c->back[0] : c->text;
    memcpy(pen.rgb, (const uint8_t[]){ ink.r, ink.g, ink.b }, 3);
    double w, x = c->at.number.x * k;
    WD_TRY(wd_lettering_width(l->lettering, &pen, wd_span_str(text), &w, err));
    if (badge) {
        const wd_point middle = { (c->at.number.x + 14) * k, (c->at.number.y + 13) * k };
        wd_canvas_disc(&c->still, middle, 15 * k, c->text);
        x = middle.x - w / 2;
    }
    return wd_lettering_draw(l->lettering, &c->still, x, (c->at.number.y + 13) * k + pen.size_px * 0.36, &pen,
                             wd_span_str(text), err);
}

static wd_status draw_card(lesson *l, card *c, wd_err *err)
{
    const double k = l->scale;
    const rect p = c->at.picture;
    WD_TRY(wd_image_init(&c->still, l->width, l->height, err));
    draw_back(l, c);
    wd_pictogram_draw(&c->still, c->pictogram, p.x * k, p.y * k, p.w * k, c->mirror, &c->ink);
    WD_TRY(draw_number(l, c, err));
    if (c->kind == CARD_TITLE)
        return draw_text(l, c, l->title, c->at.text, 30, true, err);
    if (c->kind == CARD_STEP)
        return draw_text(l, c, l->step_title[c->step], c->at.text, 32, c->at.centred, err);
    const wd_script_term *t = l->term[c->step];
    WD_TRY(draw_text(l, c, t->term[l->language], c->at.text, 28, true, err));
    return draw_text(l, c, t->meaning[l->language], meaning_place, 20, true, err);
}

/* 0 .. 1 .. 0 over one round. */
static double triangle(uint32_t frame, uint32_t round)
{
    const double u = (double)(frame % round) / round;
    return u < 0.5 ? 2 * u : 2 - 2 * u;
}

static double face_box(const lesson *l, const card *c, uint32_t frame, wd_point *middle)
{
    middle->x = (c->at.face.x + c->sway * (triangle(frame, c->bob * 3) - 0.5)) * l->scale;
    middle->y = (c->at.face.y + 1.5 * (triangle(frame, c->bob) - 0.5)) * l->scale;
    return c->at.face_r * l->scale;
}

static void draw_card_at(const lesson *l, const card *c, uint32_t frame, wd_image *im)
{
    memcpy(im->rgb, c->still.rgb, (size_t)l->width * l->height * 3);
    if (!c->has_face)
        return;
    wd_point middle;
    const double r = face_box(l, c, frame, &middle);
    wd_face_draw(im, middle, r, triangle(frame, 7), &c->look);
}

/* a becomes the mixture with b's share t of 256. */
static void mix(wd_image *a, const uint8_t *b, uint32_t t)
{
    const size_t n = (size_t)a->width * a->height * 3;
    for (size_t i = 0; i < n; i++)
        a->rgb[i] = (uint8_t)((a->rgb[i] * (256 - t) + (b ? b[i] : 0) * t + 128) >> 8);
}

static wd_status note_face(lesson *l, const card *c, uint32_t frame, wd_err *err)
{
    wd_point m;
    const double r = face_box(l, c, frame, &m);
    const int x1 = (int)fmax(floor(m.x - r), 0), y1 = (int)fmax(floor(m.y - 1.2 * r), 0),
              x2 = (int)fmin(ceil(m.x + r), l->width), y2 = (int)fmin(ceil(m.y + 1.2 * r), l->height);
    json_t *v = json_pack("{s:i, s:[i, i, i, i]}", "frame", (int)frame, "box", x1, y1, x2, y2);
    if (!v || json_array_append_new(l->faces, v) != 0)
        return WD_FAIL(err, WD_E_NOMEM, "lesson: no memory");
    return WD_OK;
}

/* Frame number `frame`, which lies in card i: with what is left of the card before, or comes of the next. */
static wd_status draw_frame(lesson *l, uint32_t i, uint32_t frame, wd_image *im, wd_image *other, wd_err *err)
{
    const card *c = &l->card[i], *next = i + 1 < l->n_card ? c + 1 : NULL;
    draw_card_at(l, c, frame, im);
    uint32_t share = 0; /* of the other picture, of 256 */
    const card *with = NULL;
    if (c->into_frames && frame < c->start + c->into_frames / 2) {
        with = c - 1; /* second half: 256 at the middle's other side would be all of the card before */
        share = 256 - (2 * (frame - c->start + c->into_frames / 2) + 1) * 256 / (2 * c->into_frames);
    } else if (next && next->into_frames && frame >= next->start - next->into_frames / 2) {
        with = next;
        share = (2 * (frame - (next->start - next->into_frames / 2)) + 1) * 256 / (2 * next->into_frames);
    }
    const passage how = !with ? PASS_CUT : with == next ? next->into : c->into;
    if (how == PASS_DISSOLVE) {
        draw_card_at(l, with, frame, other);
        mix(im, other->rgb, share);
    } else if (how == PASS_BLACK) {
        mix(im, NULL, 2 * share);
    }
    return c->has_face ? note_face(l, c, frame, err) : WD_OK;
}

static wd_status draw_video(lesson *l, const char *path, wd_err *err)
{
    wd_mp4_opts o = WD_MP4_OPTS_DEFAULT;
    wd_image im = { 0 }, other = { 0 };
    wd_mp4 *m = NULL;
    o.width = l->width;
    o.height = l->height;
    o.fps_num = FPS;
    wd_status st = wd_image_init(&im, l->width, l->height, err);
    if (!st)
        st = wd_image_init(&other, l->width, l->height, err);
    if (!st)
        st = wd_mp4_create(path, &o, &m, err);
    for (uint32_t i = 0; !st && i < l->n_card; i++)
        st = draw_card(l, &l->card[i], err);
    for (uint32_t i = 0; !st && i < l->n_card; i++) {
        for (uint32_t f = l->card[i].start; !st && f < l->card[i].end; f++) {
            st = draw_frame(l, i, f, &im, &other, err);
            if (!st)
                st = wd_mp4_add(m, &im, err);
        }
    }
    if (!st)
        st = wd_mp4_finish(m, err);
    wd_mp4_destroy(m);
    wd_image_free(&im);
    wd_image_free(&other);
    return st;
}

/* ---- the truth ---- */

static json_t *seconds(uint32_t frame)
{
    return json_real((double)frame / FPS);
}

static json_t *steps_json(const lesson *l)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < l->n_card; i++) {
        const card *c = &l->card[i];
        uint32_t end = i;
        if (c->kind != CARD_STEP || (i && c[-1].kind == CARD_STEP && c[-1].step == c->step))
            continue;
        while (end + 1 < l->n_card && l->card[end + 1].kind == CARD_STEP && l->card[end + 1].step == c->step)
            end++;
        char number[32], text[160];
        heading(l, c, number);
        snprintf(text, sizeof text, "%s\n%s", number, l->step_title[c->step]);
        wd_json_append(&a, json_pack("{s:i, s:s, s:o, s:o, s:s}", "n", (int)c->step + 1, "title",
                                     l->step_title[c->step], "start_s", seconds(c->start), "end_s",
                                     seconds(l->card[end].end), "text", text));
    }
    return a;
}

static json_t *terms_json(const lesson *l)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < l->n_term; i++)
        wd_json_append(&a, json_pack("{s:s, s:s}", "term", l->term[i]->term[l->language], "meaning",
                                     l->term[i]->meaning[l->language]));
    return a;
}

static json_t *cards_json(const lesson *l)
{
    static const char *const names[] = { "title", "step", "term" };
    json_t *a = json_array();
    for (uint32_t i = 0; i < l->n_card; i++)
        wd_json_append(&a, json_pack("{s:s, s:o, s:o}", "kind", names[l->card[i].kind], "start_s",
                                     seconds(l->card[i].start), "end_s", seconds(l->card[i].end)));
    return a;
}

static wd_status write_truth(const lesson *l, uint64_t seed, const char *path, wd_err *err)
{
    char summary[160];
    snprintf(summary, sizeof summary, l->language == WD_SCRIPT_ZH ? "%s，共%u步。" : "%s in %u steps.",
             l->title, l->n_step);
    json_t *v = json_pack("{s:s, s:I, s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:o, s:o, s:o, s:O, s:s}", "kind",
                          "lesson", "seed", (json_int_t)seed, "language",
                          l->language == WD_SCRIPT_ZH ? "zh" : "en", "topic", l->topic->name, "title",
                          l->title, "width", (int)l->width, "height", (int)l->height, "fps", (int)FPS,
                          "n_frame", (int)l->n_frame, "steps", steps_json(l), "terms", terms_json(l), "cards",
                          cards_json(l), "faces", l->faces, "summary", summary);
    if (!v)
        return WD_FAIL(err, WD_E_NOMEM, "lesson: no memory for the truth");
    wd_buf b = { 0 };
    wd_status st = wd_json_write(v, JSON_COMPACT | JSON_REAL_PRECISION(6), &b, err);
    json_decref(v);
    wd_buf_char(&b, '\n');
    if (!st)
        st = wd_buf_check(&b, path, err);
    if (!st)
        st = wd_file_write(path, wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static wd_status make(lesson *l, const char *dir, uint64_t seed, wd_err *err)
{
    char video[4096], truth[4096];
    if (snprintf(video, sizeof video, "%s/video.mp4", dir) >= (int)sizeof video ||
        snprintf(truth, sizeof truth, "%s/truth.json", dir) >= (int)sizeof truth)
        return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", dir);
    WD_TRY(wd_file_mkdirs(dir, err));
    WD_TRY(wd_lettering_open(NULL, &l->lettering, err));
    wd_rand_init(&l->r, seed);
    l->language = seed % 2 ? WD_SCRIPT_EN : WD_SCRIPT_ZH;
    l->scale = chance(&l->r, 0.75) ? 1 : 1.25;
    l->width = (uint32_t)(WIDTH * l->scale);
    l->height = (uint32_t)(HEIGHT * l->scale);
    l->faces = json_array();
    pick_words(l);
    pick_cards(l);
    pick_times(l);
    pick_looks(l);
    WD_TRY(draw_video(l, video, err));
    return write_truth(l, seed, truth, err);
}

wd_status wd_phantom_lesson(const char *dir, uint64_t seed, wd_err *err)
{
    lesson *l = WD_ALLOC(lesson);
    if (!l)
        return WD_FAIL(err, WD_E_NOMEM, "lesson: no memory");
    const wd_status st = make(l, dir, seed, err);
    for (uint32_t i = 0; i < l->n_card; i++)
        wd_image_free(&l->card[i].still);
    wd_lettering_close(l->lettering);
    json_decref(l->faces);
    wd_free(l);
    return st;
}
