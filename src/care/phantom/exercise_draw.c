/* What an exercise video looks like: a room with some furniture, and the figure as limbs sorted by depth. */
#include <math.h>
#include <stdlib.h>

#include "care/phantom/exercise_inner.h"

#define W WD_EXERCISE_WIDTH
#define H WD_EXERCISE_HEIGHT
#define BACK_WALL_Z (-2.2)

/* ---- colours ---- */

static const wd_rgb skins[] = {
    { 241, 205, 178 }, { 224, 178, 142 }, { 198, 142, 104 }, { 150, 100, 70 }, { 104, 68, 48 }
};
static const wd_rgb hairs[] = { { 32, 26, 24 }, { 74, 48, 30 }, { 140, 98, 52 }, { 176, 170, 164 } };
static const wd_rgb cloths[] = { { 196, 52, 58 },  { 46, 92, 170 },   { 52, 132, 86 }, { 226, 178, 58 },
                                 { 120, 70, 150 }, { 236, 236, 240 }, { 60, 64, 72 },  { 228, 120, 60 },
                                 { 80, 168, 190 }, { 222, 130, 160 } };
static const wd_rgb dark_cloths[] = { { 38, 42, 54 }, { 58, 66, 96 },    { 88, 92, 98 }, { 66, 50, 46 },
                                      { 34, 68, 62 }, { 150, 146, 140 }, { 46, 74, 130 } };
static const wd_rgb walls[] = { { 226, 224, 216 }, { 208, 220, 226 }, { 222, 212, 196 },
                                { 206, 216, 204 }, { 190, 194, 202 }, { 232, 220, 222 } };
static const wd_rgb floors[] = {
    { 170, 136, 100 }, { 146, 148, 150 }, { 120, 140, 150 }, { 186, 172, 150 }, { 116, 96, 80 }
};

static wd_rgb any(const wd_rgb *c, size_t n, wd_rand *r)
{
    const wd_rgb b = c[wd_rand_below(r, n)];
    const wd_rgb to = { (uint8_t)wd_rand_below(r, 256), (uint8_t)wd_rand_below(r, 256),
                        (uint8_t)wd_rand_below(r, 256) };
    return wd_rgb_mix(b, to, wd_rand_range(r, 0, 0.12));
}
#define ANY(list, r) any(list, WD_COUNT(list), r)

static wd_rgb shade(wd_rgb c, double by)
{
    return by < 0 ? wd_rgb_mix(c, (wd_rgb){ 0, 0, 0 }, -by) : wd_rgb_mix(c, (wd_rgb){ 255, 255, 255 }, by);
}

void wd_exercise__draw_look(wd_exercise__look *l, wd_rand *r)
{
    l->skin = ANY(skins, r);
    l->hair = ANY(hairs, r);
    l->shirt = ANY(cloths, r);
    l->trousers = ANY(dark_cloths, r);
    l->shoes = wd_rand_unit(r) < 0.5 ? (wd_rgb){ 238, 238, 238 } : ANY(dark_cloths, r);
    l->wall[0] = ANY(walls, r);
    l->wall[1] = shade(l->wall[0], wd_rand_range(r, -0.16, 0.06));
    l->floor[0] = ANY(floors, r);
    l->floor[1] = shade(l->floor[0], wd_rand_range(r, -0.2, 0.2));
    l->trim = shade(l->wall[0], wd_rand_range(r, -0.4, 0.3));
    for (int i = 0; i < 4; i++)
        l->thing[i] = wd_rgb_mix(ANY(cloths, r), l->wall[0], wd_rand_range(r, 0.25, 0.6));
    l->long_sleeves = wd_rand_unit(r) < 0.4;
    l->long_trousers = wd_rand_unit(r) < 0.65;
    l->mat = wd_rand_unit(r) < 0.5;
    l->skirting = wd_rand_unit(r) < 0.6;
    for (int i = 0; i < 3; i++) {
        l->kind[i] = wd_rand_unit(r) < 0.6 ? 1 + (int)wd_rand_below(r, 6) : 0;
        l->place[i] = (i + wd_rand_range(r, 0.1, 0.9)) / 3;
    }
}

/* ---- the room ---- */

static wd_point at(const wd_exercise *x, double wx, double wy, double wz)
{
    return wd_camera__project(&x->camera, (wd_vec3){ wx, wy, wz }, NULL);
}

/* A point of the body's own coordinates. */
static wd_point by_body(const wd_exercise *x, double bx, double by, double bz)
{
    return wd_camera__project(&x->camera, wd_camera__to_world(&x->camera, (wd_vec3){ bx, by, bz }), NULL);
}

static void quad(wd_image *im, wd_point a, wd_point b, wd_point c, wd_point d, wd_rgb color)
{
    wd_canvas_polygon(im, (const wd_point[]){ a, b, c, d }, 4, color);
}

/* Something on or before the far wall, its foot (or middle) at x. */
static void draw_thing(const wd_exercise *x, int kind, double place, wd_rgb c, wd_image *im)
{
    const wd_exercise__look *l = &x->look;
    const wd_point foot = at(x, 0, 0, BACK_WALL_Z), up = at(x, 0, 1, BACK_WALL_Z);
    const double m = foot.y - up.y, px = place * W, wy = foot.y; /* m: pixels per metre at the wall */
    switch (kind) {
    case 1: /* a window */
        wd_canvas_rect(im, px - 0.55 * m, wy - 2.1 * m, 1.1 * m, 1.1 * m, l->trim);
        wd_canvas_gradient(im, px - 0.48 * m, wy - 2.03 * m, 0.96 * m, 0.96 * m, (wd_rgb){ 196, 220, 240 },
                           (wd_rgb){ 226, 236, 240 });
        wd_canvas_rect(im, px - 0.02 * m, wy - 2.03 * m, 0.04 * m, 0.96 * m, l->trim);
        break;
    case 2: /* a picture */
        wd_canvas_rect(im, px - 0.3 * m, wy - 1.8 * m, 0.6 * m, 0.45 * m, l->trim);
        wd_canvas_rect(im, px - 0.26 * m, wy - 1.76 * m, 0.52 * m, 0.37 * m, c);
        break;
    case 3: /* wall bars */
        wd_canvas_rect(im, px - 0.45 * m, wy - 2.2 * m, 0.06 * m, 2.2 * m, shade(c, -0.2));
        wd_canvas_rect(im, px + 0.39 * m, wy - 2.2 * m, 0.06 * m, 2.2 * m, shade(c, -0.2));
        for (int i = 1; i < 10; i++)
            wd_canvas_rect(im, px - 0.42 * m, wy - 0.22 * i * m, 0.84 * m, 0.035 * m, c);
        break;
    case 4: /* a plant */
        wd_canvas_round_rect(im, px - 0.14 * m, wy - 0.3 * m, 0.28 * m, 0.36 * m, 0.05 * m, shade(c, -0.1));
        for (int i = 0; i < 5; i++)
            wd_canvas_ellipse(im, (wd_point){ px + (i - 2) * 0.1 * m, wy - (0.55 + 0.1 * (i % 2)) * m },
                              0.11 * m, 0.24 * m, (wd_rgb){ (uint8_t)(70 + 9 * i), 124, 84 });
        break;
    case 5: /* a ball on the floor */
        wd_canvas_disc(im, (wd_point){ px, wy - 0.16 * m }, 0.3 * m, c);
        wd_canvas_disc(im, (wd_point){ px - 0.08 * m, wy - 0.26 * m }, 0.1 * m, shade(c, 0.25));
        break;
    case 6: /* a door */
        wd_canvas_rect(im, px - 0.46 * m, wy - 2.05 * m, 0.92 * m, 2.05 * m, l->trim);
        wd_canvas_rect(im, px - 0.41 * m, wy - 2 * m, 0.82 * m, 2 * m, wd_rgb_mix(c, l->wall[0], 0.4));
        wd_canvas_disc(im, (wd_point){ px + 0.33 * m, wy - m }, 0.03 * m, (wd_rgb){ 90, 90, 90 });
        break;
    }
}

/* What the exercise stands on, sits on or leans at; in the body's coordinates. */
static void draw_props(const wd_exercise *x, wd_image *im)
{
    const wd_exercise__look *l = &x->look;
    const wd_body__size *s = &x->size;
    const wd_vec3 *p = x->body[0].p;
    if (x->info.kind == WD_EXERCISE_STRAIGHT_LEG_RAISE || l->mat) {
        const bool lying = x->info.kind == WD_EXERCISE_STRAIGHT_LEG_RAISE;
        const double back = lying ? -s->trunk - 0.42 : -0.75,
                     front = lying ? s->thigh + s->shank + 0.3 : 0.75;
        quad(im, by_body(x, back, 0, -0.42), by_body(x, front, 0, -0.42), by_body(x, front, 0, 0.42),
             by_body(x, back, 0, 0.42), shade(l->thing[3], -0.1));
    }
    if (x->info.kind == WD_EXERCISE_WALL_SIT) { /* the back of the trunk touches it */
        const double w = p[WD_JOINT_LEFT_HIP].x - 0.085 * s->height;
        const double near = cos(x->camera.yaw * M_PI / 180) > 0 ? -0.75 : 0.75;
        quad(im, by_body(x, w, 0, near), by_body(x, w, 2.5, near), by_body(x, w - 1.2, 2.5, near),
             by_body(x, w - 1.2, 0, near), shade(l->trim, -0.12));
        quad(im, by_body(x, w, 0, near), by_body(x, w, 2.5, near), by_body(x, w, 2.5, -near),
             by_body(x, w, 0, -near), shade(l->wall[0], -0.06));
    }
    if (x->info.kind == WD_EXERCISE_KNEE_EXTENSION) {
        const double y = p[WD_JOINT_LEFT_HIP].y - 0.05 * s->height, b = -0.26, f = 0.6 * s->thigh;
        const wd_rgb c = shade(l->thing[2], -0.25);
        for (int i = 0; i < 4; i++) {
            const double lx = i < 2 ? b + 0.03 : f - 0.03, lz = i % 2 ? 0.2 : -0.2;
            wd_canvas_line(im, by_body(x, lx, 0, lz), by_body(x, lx, y, lz), 3, shade(c, -0.3));
        }
        quad(im, by_body(x, b, y, -0.23), by_body(x, f, y, -0.23), by_body(x, f, y, 0.23),
             by_body(x, b, y, 0.23), c);
        for (int i = 0; i < 2; i++)
            wd_canvas_line(im, by_body(x, b, y, i ? 0.23 : -0.23), by_body(x, f, y, i ? 0.23 : -0.23), 4, c);
    }
}

static void draw_room(const wd_exercise *x, wd_image *im)
{
    const wd_exercise__look *l = &x->look;
    const double edge = at(x, 0, 0, BACK_WALL_Z).y;
    wd_canvas_gradient(im, 0, 0, W, edge, l->wall[0], l->wall[1]);
    wd_canvas_gradient(im, 0, edge, W, H - edge, l->floor[0], l->floor[1]);
    if (l->skirting)
        wd_canvas_rect(im, 0, edge - 3, W, 3, l->trim);
    for (int i = 0; i < 3; i++)
        draw_thing(x, l->kind[i], l->place[i], l->thing[i], im);
    draw_props(x, im);
}

/* ---- the figure ---- */

typedef struct part {
    wd_point a, b;
    double ra, rb, depth;
    size_t order; /* of being added: decides between equal depths */
    wd_rgb color;
} part;

typedef struct figure {
    part part[48];
    size_t n;
    const wd_exercise *x;
    wd_point p[WD_BODY__N];
    double scale[WD_BODY__N], z[WD_BODY__N]; /* pixels per metre; depth in metres, more is further */
} figure;

/* A limb from point a to b, radii in statures. */
static void limb(figure *f, int a, double ra, int b, double rb, wd_rgb c, double nearer)
{
    const double h = f->x->size.height;
    f->part[f->n] = (part){
        f->p[a], f->p[b], ra * h * f->scale[a], rb * h * f->scale[b], (f->z[a] + f->z[b]) / 2 - nearer,
        f->n,    c
    };
    f->n++;
}

static int by_depth(const void *a, const void *b)
{
    const part *p = a, *q = b;
    return p->depth < q->depth ? 1 : p->depth > q->depth ? -1 : p->order < q->order ? -1 : 1;
}

/* The side away from the camera is a little darker: left and right can be told apart. */
static wd_rgb lit(const figure *f, int i, wd_rgb c)
{
    const double behind = f->z[WD_JOINT_LEFT_HIP + i] - f->z[WD_JOINT_LEFT_HIP + !i];
    return behind > 0.04 ? shade(c, -0.22) : c;
}

static void add_limbs(figure *f)
{
    const wd_exercise__look *l = &f->x->look;
    const wd_rgb sleeve = shade(l->shirt, 0.06), legs = l->trousers;
    for (int i = 0; i < 2; i++) {
        const wd_rgb leg = lit(f, i, legs), skin = lit(f, i, l->skin), arm = lit(f, i, sleeve);
        limb(f, WD_JOINT_LEFT_HIP + i, 0.05, WD_JOINT_LEFT_KNEE + i, 0.034, leg, 0);
        limb(f, WD_JOINT_LEFT_KNEE + i, 0.033, WD_JOINT_LEFT_ANKLE + i, 0.021, l->long_trousers ? leg : skin,
             0);
        limb(f, WD_JOINT_LEFT_ANKLE + i, 0.024, WD_BODY__LEFT_TOE + i, 0.015, lit(f, i, l->shoes), 0.01);
        limb(f, WD_JOINT_LEFT_SHOULDER + i, 0.031, WD_JOINT_LEFT_ELBOW + i, 0.023, arm, 0.02);
        limb(f, WD_JOINT_LEFT_ELBOW + i, 0.022, WD_JOINT_LEFT_WRIST + i, 0.016, l->long_sleeves ? arm : skin,
             0.03);
        limb(f, WD_JOINT_LEFT_WRIST + i, 0.017, WD_BODY__LEFT_HAND + i, 0.02, skin, 0.03);
        limb(f, WD_JOINT_LEFT_SHOULDER + i, 0.045, WD_JOINT_LEFT_HIP + i, 0.052, l->shirt, 0);
        limb(f, WD_JOINT_LEFT_SHOULDER + i, 0.038, WD_JOINT_RIGHT_SHOULDER - i, 0.038, l->shirt, 0.01);
        limb(f, WD_JOINT_LEFT_SHOULDER + i, 0.05, WD_JOINT_RIGHT_HIP - i, 0.055, l->shirt, 0.005);
    }
    limb(f, WD_JOINT_LEFT_HIP, 0.052, WD_JOINT_RIGHT_HIP, 0.052, legs, 0);
    const wd_point *l_hip = &f->p[WD_JOINT_LEFT_HIP], *r_hip = &f->p[WD_JOINT_RIGHT_HIP];
    const double belly = 0.06 * f->x->size.height * f->scale[WD_JOINT_LEFT_HIP];
    const double z = (f->z[WD_JOINT_LEFT_HIP] + f->z[WD_JOINT_RIGHT_HIP]) / 2;
    f->part[f->n] = (part){ f->p[WD_BODY__NECK],
                            { (l_hip->x + r_hip->x) / 2, (l_hip->y + r_hip->y) / 2 },
                            belly * 0.9,
                            belly,
                            z,
                            f->n,
                            l->shirt };
    f->n++;
    limb(f, WD_BODY__NECK, 0.026, WD_JOINT_HEAD, 0.026, l->skin, 0);
}

/* Hair behind, face, nose. */
static void add_head(figure *f)
{
    const double r = f->x->size.head * f->scale[WD_JOINT_HEAD], z = f->z[WD_JOINT_HEAD];
    const wd_point c = f->p[WD_JOINT_HEAD], crown = f->p[WD_BODY__CROWN], nose = f->p[WD_BODY__NOSE];
    const wd_point up = { (crown.x - c.x) * 0.32, (crown.y - c.y) * 0.32 };
    const wd_point front = { (nose.x - c.x) * 0.22, (nose.y - c.y) * 0.22 };
    const wd_point hair = { c.x + up.x - front.x, c.y + up.y - front.y },
                   face = { c.x - up.x * 0.25 + front.x, c.y - up.y * 0.25 + front.y };
    const wd_rgb skin = f->x->look.skin;
    f->part[f->n++] = (part){ hair, hair, r, r, z - 0.001, 0, f->x->look.hair };
    f->part[f->n++] = (part){ face, face, r * 0.86, r * 0.86, z - 0.002, 0, skin };
    const wd_point tip = { c.x + (nose.x - c.x) * 1.02, c.y + (nose.y - c.y) * 1.02 };
    f->part[f->n++] = (part){ face, tip, r * 0.25, r * 0.14, z - 0.003, 0, shade(skin, -0.1) };
}

void wd_exercise__draw_figure(const wd_exercise *x, uint32_t i, wd_image *im)
{
    figure f = { .x = x };
    for (int k = 0; k < WD_BODY__N; k++) {
        f.p[k] = wd_camera__project(&x->camera, wd_camera__to_world(&x->camera, x->body[i].p[k]),
                                    &f.scale[k]);
        f.z[k] = x->camera.focal / f.scale[k];
    }
    add_limbs(&f);
    add_head(&f);
    qsort(f.part, f.n, sizeof f.part[0], by_depth);
    for (size_t k = 0; k < f.n; k++)
        wd_canvas_limb(im, f.part[k].a, f.part[k].ra, f.part[k].b, f.part[k].rb, f.part[k].color);
}

void wd_exercise_draw(const wd_exercise *x, uint32_t i, wd_image *im)
{
    draw_room(x, im);
    if (i < x->info.n_frame)
        wd_exercise__draw_figure(x, i, im);
}
