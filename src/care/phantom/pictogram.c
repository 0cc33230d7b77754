/* Pictograms in a unit square, y down. */
#include "care/phantom/pictogram.h"

typedef struct sheet {
    wd_image *im;
    double x, y, s;
    bool mirror;
    const wd_pictogram_ink *ink;
} sheet;

static wd_point at(const sheet *q, double u, double v)
{
    return (wd_point){ q->x + (q->mirror ? 1 - u : u) * q->s, q->y + v * q->s };
}

static void line(const sheet *q, double u0, double v0, double u1, double v1, double width, wd_rgb c)
{
    wd_canvas_line(q->im, at(q, u0, v0), at(q, u1, v1), width * q->s, c);
}

static void limb(const sheet *q, double u0, double v0, double r0, double u1, double v1, double r1, wd_rgb c)
{
    wd_canvas_limb(q->im, at(q, u0, v0), r0 * q->s, at(q, u1, v1), r1 * q->s, c);
}

static void disc(const sheet *q, double u, double v, double r, wd_rgb c)
{
    wd_canvas_disc(q->im, at(q, u, v), r * q->s, c);
}

static void ellipse(const sheet *q, double u, double v, double ru, double rv, wd_rgb c)
{
    wd_canvas_ellipse(q->im, at(q, u, v), ru * q->s, rv * q->s, c);
}

static void block(const sheet *q, double u0, double v0, double u1, double v1, double radius, wd_rgb c)
{
    const wd_point a = at(q, q->mirror ? u1 : u0, v0);
    wd_canvas_round_rect(q->im, a.x, a.y, (u1 - u0) * q->s, (v1 - v0) * q->s, radius * q->s, c);
}

static void shape(const sheet *q, const double (*p)[2], size_t n, wd_rgb c)
{
    wd_point v[WD_CANVAS_POLYGON_MAX];
    for (size_t i = 0; i < n && i < WD_COUNT(v); i++)
        v[i] = at(q, p[i][0], p[i][1]);
    wd_canvas_polygon(q->im, v, n, c);
}
#define SHAPE(q, c, ...)                               \
    do {                                               \
        static const double p_[][2] = { __VA_ARGS__ }; \
        shape(q, p_, WD_COUNT(p_), c);                 \
    } while (0)

static void draw_hand(const sheet *q, const wd_pictogram_ink *k)
{
    for (int i = 0; i < 4; i++)
        limb(q, 0.34 + 0.13 * i, 0.55, 0.06, 0.31 + 0.145 * i, i == 0 || i == 3 ? 0.22 : 0.12, 0.055,
             k->skin);
    limb(q, 0.36, 0.76, 0.07, 0.14, 0.5, 0.06, k->skin);
    block(q, 0.28, 0.46, 0.8, 0.86, 0.16, k->skin);
    block(q, 0.36, 0.82, 0.72, 1, 0.04, k->accent);
}

static void draw_drop(const sheet *q, const wd_pictogram_ink *k)
{
    SHAPE(q, k->accent, { 0.5, 0.06 }, { 0.75, 0.52 }, { 0.25, 0.52 });
    disc(q, 0.5, 0.64, 0.285, k->accent);
    ellipse(q, 0.4, 0.66, 0.06, 0.11, k->fill);
}

static void draw_pill(const sheet *q, const wd_pictogram_ink *k)
{
    limb(q, 0.28, 0.72, 0.2, 0.72, 0.28, 0.2, k->line);
    limb(q, 0.28, 0.72, 0.17, 0.5, 0.5, 0.17, k->accent);
    limb(q, 0.5, 0.5, 0.17, 0.72, 0.28, 0.17, k->fill);
}

static void draw_glass(const sheet *q, const wd_pictogram_ink *k)
{
    SHAPE(q, k->line, { 0.2, 0.08 }, { 0.8, 0.08 }, { 0.7, 0.94 }, { 0.3, 0.94 });
    SHAPE(q, k->fill, { 0.26, 0.13 }, { 0.74, 0.13 }, { 0.66, 0.89 }, { 0.34, 0.89 });
    SHAPE(q, k->accent, { 0.29, 0.4 }, { 0.71, 0.4 }, { 0.66, 0.89 }, { 0.34, 0.89 });
}

static void draw_chair(const sheet *q, const wd_pictogram_ink *k)
{
    line(q, 0.27, 0.08, 0.27, 0.94, 0.09, k->line);
    line(q, 0.75, 0.56, 0.75, 0.94, 0.09, k->line);
    block(q, 0.22, 0.5, 0.82, 0.62, 0.04, k->accent);
    block(q, 0.22, 0.08, 0.36, 0.44, 0.05, k->accent);
}

static void draw_arrow(const sheet *q, const wd_pictogram_ink *k)
{
    SHAPE(q, k->accent, { 0.5, 0.06 }, { 0.9, 0.48 }, { 0.66, 0.48 }, { 0.66, 0.94 }, { 0.34, 0.94 },
          { 0.34, 0.48 }, { 0.1, 0.48 });
}

static void draw_arrow_down(const sheet *q, const wd_pictogram_ink *k)
{
    SHAPE(q, k->accent, { 0.5, 0.94 }, { 0.9, 0.52 }, { 0.66, 0.52 }, { 0.66, 0.06 }, { 0.34, 0.06 },
          { 0.34, 0.52 }, { 0.1, 0.52 });
}

static void draw_arrow_right(const sheet *q, const wd_pictogram_ink *k)
{
    SHAPE(q, k->accent, { 0.94, 0.5 }, { 0.52, 0.1 }, { 0.52, 0.34 }, { 0.06, 0.34 }, { 0.06, 0.66 },
          { 0.52, 0.66 }, { 0.52, 0.9 });
}

static void draw_clock(const sheet *q, const wd_pictogram_ink *k)
{
    disc(q, 0.5, 0.5, 0.45, k->line);
    disc(q, 0.5, 0.5, 0.38, k->fill);
    line(q, 0.5, 0.5, 0.5, 0.22, 0.07, k->line);
    line(q, 0.5, 0.5, 0.7, 0.6, 0.07, k->accent);
}

static void draw_inhaler(const sheet *q, const wd_pictogram_ink *k)
{
    block(q, 0.3, 0.04, 0.62, 0.4, 0.06, k->line);
    block(q, 0.24, 0.26, 0.68, 0.94, 0.06, k->accent);
    block(q, 0.52, 0.66, 0.96, 0.94, 0.04, k->accent);
    block(q, 0.88, 0.64, 0.97, 0.96, 0.02, k->line);
}

static void draw_syringe(const sheet *q, const wd_pictogram_ink *k)
{
    line(q, 0.06, 0.94, 0.3, 0.7, 0.03, k->line);
    line(q, 0.3, 0.7, 0.7, 0.3, 0.24, k->line);
    line(q, 0.31, 0.69, 0.69, 0.31, 0.17, k->fill);
    line(q, 0.31, 0.69, 0.5, 0.5, 0.17, k->accent);
    line(q, 0.7, 0.3, 0.88, 0.12, 0.06, k->line);
    line(q, 0.78, 0.04, 0.96, 0.22, 0.07, k->line);
}

static void draw_crutch(const sheet *q, const wd_pictogram_ink *k)
{
    line(q, 0.3, 0.1, 0.44, 0.62, 0.05, k->line);
    line(q, 0.7, 0.1, 0.56, 0.62, 0.05, k->line);
    line(q, 0.5, 0.6, 0.5, 0.92, 0.08, k->line);
    line(q, 0.26, 0.09, 0.74, 0.09, 0.11, k->accent);
    line(q, 0.36, 0.38, 0.64, 0.38, 0.08, k->accent);
    block(q, 0.42, 0.89, 0.58, 0.97, 0.03, k->accent);
}

static void draw_plaster(const sheet *q, const wd_pictogram_ink *k)
{
    line(q, 0.22, 0.78, 0.78, 0.22, 0.34, k->skin);
    line(q, 0.42, 0.58, 0.58, 0.42, 0.26, k->fill);
    for (int i = 0; i < 4; i++)
        disc(q, i & 1 ? 0.46 : 0.54, 0.41 + 0.06 * i, 0.022, k->line);
}

static void draw_leg(const sheet *q, const wd_pictogram_ink *k)
{
    limb(q, 0.14, 0.22, 0.14, 0.56, 0.34, 0.1, k->skin);
    limb(q, 0.56, 0.34, 0.1, 0.6, 0.82, 0.07, k->skin);
    limb(q, 0.6, 0.88, 0.07, 0.84, 0.9, 0.06, k->accent);
    disc(q, 0.57, 0.35, 0.06, k->accent);
}

static void draw_heart(const sheet *q, const wd_pictogram_ink *k)
{
    disc(q, 0.3, 0.34, 0.225, k->accent);
    disc(q, 0.7, 0.34, 0.225, k->accent);
    SHAPE(q, k->accent, { 0.1, 0.44 }, { 0.5, 0.3 }, { 0.9, 0.44 }, { 0.5, 0.94 });
}

static void draw_cuff(const sheet *q, const wd_pictogram_ink *k)
{
    limb(q, 0.08, 0.3, 0.11, 0.92, 0.36, 0.09, k->skin);
    block(q, 0.3, 0.12, 0.62, 0.52, 0.06, k->accent);
    line(q, 0.46, 0.52, 0.46, 0.74, 0.04, k->line);
    block(q, 0.24, 0.68, 0.72, 0.96, 0.05, k->line);
    block(q, 0.3, 0.73, 0.66, 0.89, 0.02, k->fill);
}

static void draw_foot(const sheet *q, const wd_pictogram_ink *k)
{
    limb(q, 0.52, 0.78, 0.15, 0.46, 0.42, 0.2, k->skin);
    disc(q, 0.28, 0.14, 0.1, k->skin);
    for (int i = 0; i < 4; i++)
        disc(q, 0.45 + 0.11 * i, 0.12 + 0.035 * i * i / 2, 0.062, k->skin);
}

static void draw_shoe(const sheet *q, const wd_pictogram_ink *k)
{
    SHAPE(q, k->accent, { 0.1, 0.26 }, { 0.4, 0.26 }, { 0.56, 0.5 }, { 0.86, 0.58 }, { 0.94, 0.74 },
          { 0.1, 0.74 });
    block(q, 0.07, 0.72, 0.96, 0.84, 0.04, k->line);
    line(q, 0.42, 0.46, 0.54, 0.36, 0.04, k->fill);
    line(q, 0.5, 0.54, 0.62, 0.44, 0.04, k->fill);
}

static void draw_bed(const sheet *q, const wd_pictogram_ink *k)
{
    line(q, 0.07, 0.2, 0.07, 0.88, 0.08, k->line);
    line(q, 0.93, 0.5, 0.93, 0.88, 0.08, k->line);
    block(q, 0.07, 0.56, 0.93, 0.74, 0.03, k->line);
    block(q, 0.13, 0.4, 0.38, 0.56, 0.06, k->fill);
    block(q, 0.36, 0.44, 0.93, 0.62, 0.05, k->accent);
}

static void draw_lamp(const sheet *q, const wd_pictogram_ink *k)
{
    disc(q, 0.5, 0.42, 0.3, k->accent);
    block(q, 0.36, 0.64, 0.64, 0.9, 0.05, k->line);
    line(q, 0.42, 0.62, 0.44, 0.42, 0.03, k->line);
    line(q, 0.58, 0.62, 0.56, 0.42, 0.03, k->line);
}

static void draw_check(const sheet *q, const wd_pictogram_ink *k)
{
    disc(q, 0.5, 0.5, 0.45, k->accent);
    line(q, 0.27, 0.52, 0.44, 0.7, 0.1, k->fill);
    line(q, 0.44, 0.7, 0.74, 0.32, 0.1, k->fill);
}

static void draw_cross(const sheet *q, const wd_pictogram_ink *k)
{
    disc(q, 0.5, 0.5, 0.45, k->line);
    line(q, 0.32, 0.32, 0.68, 0.68, 0.11, k->fill);
    line(q, 0.68, 0.32, 0.32, 0.68, 0.11, k->fill);
}

static void draw_bin(const sheet *q, const wd_pictogram_ink *k)
{
    SHAPE(q, k->accent, { 0.2, 0.28 }, { 0.8, 0.28 }, { 0.73, 0.95 }, { 0.27, 0.95 });
    block(q, 0.13, 0.16, 0.87, 0.27, 0.04, k->line);
    block(q, 0.4, 0.07, 0.6, 0.17, 0.03, k->line);
    for (int i = 0; i < 3; i++)
        line(q, 0.36 + 0.14 * i, 0.4, 0.38 + 0.12 * i, 0.84, 0.04, k->fill);
}

static void draw_soap(const sheet *q, const wd_pictogram_ink *k)
{
    block(q, 0.08, 0.52, 0.78, 0.92, 0.14, k->accent);
    block(q, 0.2, 0.64, 0.66, 0.8, 0.08, k->fill);
    wd_canvas_ring(q->im, at(q, 0.62, 0.3), 0.13 * q->s, 0.04 * q->s, k->line);
    wd_canvas_ring(q->im, at(q, 0.85, 0.45), 0.08 * q->s, 0.04 * q->s, k->line);
    wd_canvas_ring(q->im, at(q, 0.38, 0.38), 0.07 * q->s, 0.04 * q->s, k->line);
}

static void draw_mask(const sheet *q, const wd_pictogram_ink *k)
{
    ellipse(q, 0.5, 0.46, 0.36, 0.42, k->skin);
    disc(q, 0.37, 0.36, 0.04, k->line);
    disc(q, 0.63, 0.36, 0.04, k->line);
    line(q, 0.16, 0.5, 0.84, 0.5, 0.03, k->line);
    block(q, 0.3, 0.48, 0.7, 0.82, 0.14, k->accent);
    line(q, 0.5, 0.8, 0.5, 0.98, 0.08, k->line);
}

static void draw_stairs(const sheet *q, const wd_pictogram_ink *k)
{
    SHAPE(q, k->accent, { 0.06, 0.94 }, { 0.06, 0.76 }, { 0.3, 0.76 }, { 0.3, 0.58 }, { 0.54, 0.58 },
          { 0.54, 0.4 }, { 0.78, 0.4 }, { 0.78, 0.24 }, { 0.96, 0.24 }, { 0.96, 0.94 });
    line(q, 0.08, 0.46, 0.8, 0.06, 0.05, k->line);
    line(q, 0.18, 0.42, 0.18, 0.76, 0.03, k->line);
    line(q, 0.66, 0.15, 0.66, 0.4, 0.03, k->line);
}

static void draw_pen(const sheet *q, const wd_pictogram_ink *k)
{
    block(q, 0.1, 0.08, 0.72, 0.94, 0.05, k->line);
    block(q, 0.15, 0.13, 0.67, 0.89, 0.03, k->fill);
    for (int i = 0; i < 3; i++)
        line(q, 0.24, 0.3 + 0.16 * i, 0.56, 0.3 + 0.16 * i, 0.04, k->line);
    line(q, 0.58, 0.76, 0.88, 0.3, 0.1, k->accent);
    line(q, 0.54, 0.84, 0.58, 0.76, 0.04, k->line);
}

static void draw_bell(const sheet *q, const wd_pictogram_ink *k)
{
    disc(q, 0.5, 0.84, 0.1, k->line);
    disc(q, 0.5, 0.4, 0.28, k->accent);
    SHAPE(q, k->accent, { 0.22, 0.4 }, { 0.78, 0.4 }, { 0.9, 0.78 }, { 0.1, 0.78 });
    disc(q, 0.5, 0.1, 0.06, k->line);
}

static void draw_mouth(const sheet *q, const wd_pictogram_ink *k)
{
    ellipse(q, 0.5, 0.5, 0.44, 0.26, (wd_rgb){ 200, 70, 80 });
    ellipse(q, 0.5, 0.5, 0.34, 0.13, k->line);
    block(q, 0.28, 0.4, 0.72, 0.48, 0.03, k->fill);
}

static void draw_book(const sheet *q, const wd_pictogram_ink *k)
{
    SHAPE(q, k->line, { 0.04, 0.2 }, { 0.5, 0.3 }, { 0.96, 0.2 }, { 0.96, 0.82 }, { 0.5, 0.92 },
          { 0.04, 0.82 });
    SHAPE(q, k->fill, { 0.1, 0.27 }, { 0.47, 0.35 }, { 0.47, 0.85 }, { 0.1, 0.77 });
    SHAPE(q, k->fill, { 0.53, 0.35 }, { 0.9, 0.27 }, { 0.9, 0.77 }, { 0.53, 0.85 });
    line(q, 0.18, 0.45, 0.39, 0.5, 0.04, k->accent);
    line(q, 0.18, 0.6, 0.39, 0.65, 0.04, k->accent);
    line(q, 0.61, 0.5, 0.82, 0.45, 0.04, k->accent);
}

typedef void (*draw_fn)(const sheet *q, const wd_pictogram_ink *k);

static const draw_fn drawings[WD_PICT_N] = {
    [WD_PICT_HAND] = draw_hand,
    [WD_PICT_DROP] = draw_drop,
    [WD_PICT_PILL] = draw_pill,
    [WD_PICT_GLASS] = draw_glass,
    [WD_PICT_CHAIR] = draw_chair,
    [WD_PICT_ARROW_UP] = draw_arrow,
    [WD_PICT_ARROW_DOWN] = draw_arrow_down,
    [WD_PICT_ARROW_RIGHT] = draw_arrow_right,
    [WD_PICT_CLOCK] = draw_clock,
    [WD_PICT_INHALER] = draw_inhaler,
    [WD_PICT_SYRINGE] = draw_syringe,
    [WD_PICT_CRUTCH] = draw_crutch,
    [WD_PICT_PLASTER] = draw_plaster,
    [WD_PICT_LEG] = draw_leg,
    [WD_PICT_HEART] = draw_heart,
    [WD_PICT_CUFF] = draw_cuff,
    [WD_PICT_FOOT] = draw_foot,
    [WD_PICT_SHOE] = draw_shoe,
    [WD_PICT_BED] = draw_bed,
    [WD_PICT_LAMP] = draw_lamp,
    [WD_PICT_CHECK] = draw_check,
    [WD_PICT_CROSS] = draw_cross,
    [WD_PICT_BIN] = draw_bin,
    [WD_PICT_SOAP] = draw_soap,
    [WD_PICT_MASK] = draw_mask,
    [WD_PICT_STAIRS] = draw_stairs,
    [WD_PICT_PEN] = draw_pen,
    [WD_PICT_BELL] = draw_bell,
    [WD_PICT_MOUTH] = draw_mouth,
    [WD_PICT_BOOK] = draw_book,
};

void wd_pictogram_draw(wd_image *im, wd_pictogram p, double x, double y, double side, bool mirror,
                       const wd_pictogram_ink *ink)
{
    const sheet q = { im, x, y, side, mirror, ink };
    drawings[p](&q, ink);
}

void wd_face_draw(wd_image *im, wd_point c, double r, double mouth, const wd_face_look *k)
{
    const wd_rgb white = { 250, 250, 250 }, dark = { 40, 30, 30 }, lips = { 170, 60, 60 };
    if (k->long_hair)
        wd_canvas_round_rect(im, c.x - r, c.y - r, 2 * r, 2.2 * r, r * 0.8, k->hair);
    wd_canvas_ellipse(im, (wd_point){ c.x, c.y - 0.1 * r }, r, 1.1 * r, k->hair);
    wd_canvas_ellipse(im, (wd_point){ c.x, c.y + 0.14 * r }, 0.86 * r, 1.02 * r, k->skin);
    for (int side = -1; side <= 1; side += 2) {
        const wd_point eye = { c.x + side * 0.36 * r, c.y };
        wd_canvas_ellipse(im, eye, 0.19 * r, 0.13 * r, white);
        wd_canvas_disc(im, eye, 0.1 * r, dark);
        wd_canvas_line(im, (wd_point){ eye.x - 0.2 * r, eye.y - 0.26 * r },
                       (wd_point){ eye.x + 0.2 * r, eye.y - 0.26 * r }, 0.07 * r, k->hair);
        if (k->glasses)
            wd_canvas_ring(im, eye, 0.29 * r, 0.07 * r, dark);
    }
    wd_canvas_line(im, (wd_point){ c.x, c.y + 0.1 * r }, (wd_point){ c.x + 0.05 * r, c.y + 0.35 * r },
                   0.08 * r, wd_rgb_mix(k->skin, dark, 0.35));
    wd_canvas_ellipse(im, (wd_point){ c.x, c.y + 0.66 * r }, 0.32 * r, (0.07 + 0.15 * mouth) * r, lips);
}
