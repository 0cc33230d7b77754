/* Draws one slice of a CT scene.
 *
 * Shapes go over each other in their order. Large ones are swept line by line (four lines a pixel, exact coverage along
 * the line), small ones are asked for their distance in a box around them. `lung` holds how much of a pixel is lung:
 * what is marked so is drawn that far only. All arithmetic is exact by IEEE 754 in a fixed order, and values are
 * rounded to whole HU at the end: the same bytes on every x86-64 machine.
 */
#include <math.h>
#include <string.h>

#include "care/phantom/ct_inner.h"

enum { LINES = 4, GRAIN_MARGIN = 1, SIDE_MAX = 512 };

typedef struct canvas {
    const wd_ct *ct;
    uint32_t side;
    double pixel, z;
    float *hu, *lung; /* [side][side] */
} canvas;

typedef struct rect {
    int x0, y0, x1, y1; /* x1, y1 beyond the last */
} rect;

static double mm_of(const canvas *c, double pixel)
{
    return pixel * c->pixel - CT_FIELD_MM / 2;
}

static int clip(const canvas *c, double v)
{
    return v < 0 ? 0 : v > c->side ? (int)c->side : (int)v;
}

static rect around(const canvas *c, const double lo[2], const double hi[2], double margin)
{
    return (rect){ clip(c, floor((lo[0] - margin + CT_FIELD_MM / 2) / c->pixel)),
                   clip(c, floor((lo[1] - margin + CT_FIELD_MM / 2) / c->pixel)),
                   clip(c, floor((hi[0] + margin + CT_FIELD_MM / 2) / c->pixel) + 1),
                   clip(c, floor((hi[1] + margin + CT_FIELD_MM / 2) / c->pixel) + 1) };
}

/* The section of a solid at a height: half axes, false when there is none. */
static bool section(const ct_solid *s, double z, double ab[2])
{
    const double w = (z - s->c[2]) / s->r[2], k2 = 1 - w * w;
    if (k2 <= 0 || z < s->z_min || z > s->z_max)
        return false;
    const double k = sqrt(k2);
    ab[0] = s->r[0] * k;
    ab[1] = s->r[1] * k;
    return true;
}

/* How much of each pixel of row y the section covers, in cover[x0 .. x1); an empty range when it is not met. */
static void cover_row(const canvas *c, const ct_solid *s, const double ab[2], double dy, int y, float *cover,
                      int *x0, int *x1)
{
    float edge[SIDE_MAX + 2];
    int lo = (int)c->side, hi = 0;
    memset(edge, 0, (c->side + 2) * sizeof *edge);
    for (int line = 0; line < LINES; line++) {
        const double v = (mm_of(c, y + (line + 0.5) / LINES) - s->c[1] - dy) / ab[1], v2 = v * v;
        if (v2 >= 1)
            continue;
        const double half = ab[0] * sqrt((1 - v2) / (1 - s->square * v2)), n = c->side,
                     from = fmin(fmax((s->c[0] - half + CT_FIELD_MM / 2) / c->pixel, 0), n),
                     to = fmin(fmax((s->c[0] + half + CT_FIELD_MM / 2) / c->pixel, 0), n);
        const int a = (int)from, b = (int)to;
        if (to <= from)
            continue;
        /* the running sum of edge is the cover: a step up over pixels a, a + 1, and one down over b, b + 1 */
        const float fa = (float)(from - a), fb = (float)(to - b);
        edge[a] += (1 - fa) / LINES;
        edge[a + 1] += fa / LINES;
        edge[b] -= (1 - fb) / LINES;
        edge[b + 1] -= fb / LINES;
        lo = a < lo ? a : lo;
        hi = b + 1 > hi ? b + 1 : hi;
    }
    *x0 = lo;
    *x1 = hi > (int)c->side ? (int)c->side : hi;
    float sum = 0;
    for (int x = lo; x < *x1; x++) {
        sum += edge[x];
        cover[x] = sum > 1 ? 1 : sum < 0 ? 0 : sum;
    }
}

static void draw_solid(const canvas *c, const ct_shape *shape)
{
    const ct_solid *s = &shape->solid;
    const bool is_lung = shape->kind == CT_LUNG;
    double ab[2];
    float cover[SIDE_MAX];
    if (!section(s, c->z, ab))
        return;
    const rect r = around(c, (const double[]){ s->c[0] - ab[0], s->c[1] - ab[1] },
                          (const double[]){ s->c[0] + ab[0], s->c[1] + ab[1] }, 0);
    for (int y = r.y0; y < r.y1; y++) {
        float *hu = c->hu + (size_t)y * c->side, *lung = c->lung + (size_t)y * c->side;
        int x0, x1;
        cover_row(c, s, ab, 0, y, cover, &x0, &x1);
        for (int x = x0; x < x1; x++) {
            hu[x] += cover[x] * (shape->hu - hu[x]);
            lung[x] += cover[x] * ((is_lung ? 1.0f : 0.0f) - lung[x]);
        }
    }
}

static void draw_fluid(const canvas *c, const ct_shape *shape)
{
    const ct_solid *s = &c->ct->shape[c->ct->lung[shape->fluid.side]].solid;
    const double depth = ct__fluid_depth(&shape->fluid, c->z);
    double ab[2];
    float cover[SIDE_MAX];
    if (depth <= 0 || !section(s, c->z, ab))
        return;
    const rect r = around(c, (const double[]){ s->c[0] - ab[0], s->c[1] - ab[1] },
                          (const double[]){ s->c[0] + ab[0], s->c[1] + ab[1] }, c->pixel);
    for (int y = r.y0; y < r.y1; y++) {
        float *hu = c->hu + (size_t)y * c->side, *lung = c->lung + (size_t)y * c->side;
        int x0, x1;
        cover_row(c, s, ab, -depth, y, cover, &x0, &x1);
        for (int x = r.x0; x < r.x1; x++) {
            const float a = lung[x] * (x < x0 || x >= x1 ? 1 : 1 - cover[x]);
            if (lung[x] > 0.99f)
                hu[x] += a * (shape->hu - hu[x]);
            else /* at the edge of the lung: fluid takes the place of its share of air */
                hu[x] = fminf(hu[x] + a * (shape->hu - CT_LUNG_HU), fmaxf(hu[x], shape->hu));
            lung[x] -= a;
        }
    }
}

static void blend(const canvas *c, const ct_shape *s, size_t at, float a)
{
    float *hu = &c->hu[at], *lung = &c->lung[at];
    if (s->in_lung)
        a *= *lung;
    *hu += a * (s->hu - *hu);
    if (!s->in_lung)
        *lung -= a * *lung;
}

static void draw_tube(const canvas *c, const ct_shape *shape)
{
    const ct_tube *t = &shape->tube;
    const double rmax = fmax(t->ra, t->rb), soft = fmax(c->pixel, shape->soft_mm), reach = rmax + soft / 2;
    if (c->z < fmin(t->a[2], t->b[2]) - reach || c->z > fmax(t->a[2], t->b[2]) + reach)
        return;
    double from = 0, to = 1; /* the part of the axis that can reach this height */
    const double rise = t->b[2] - t->a[2];
    if (fabs(rise) > 1e-9) {
        const double h0 = (c->z - reach - t->a[2]) / rise, h1 = (c->z + reach - t->a[2]) / rise;
        from = fmin(fmax(fmin(h0, h1), 0), 1);
        to = fmin(fmax(fmax(h0, h1), 0), 1);
    }
    double lo[2], hi[2];
    for (int k = 0; k < 2; k++) {
        const double p = t->a[k] + from * (t->b[k] - t->a[k]), q = t->a[k] + to * (t->b[k] - t->a[k]);
        lo[k] = fmin(p, q);
        hi[k] = fmax(p, q);
    }
    const rect r = around(c, lo, hi, reach);
    const double full = fmin(1, 2 * rmax / c->pixel); /* thinner than a pixel: never all of it */
    for (int y = r.y0; y < r.y1; y++) {
        for (int x = r.x0; x < r.x1; x++) {
            const double p[3] = { mm_of(c, x + 0.5), mm_of(c, y + 0.5), c->z },
                         d = ct__tube_depth(t, p) / soft + 0.5;
            if (d > 0)
                blend(c, shape, (size_t)y * c->side + (size_t)x, (float)(d < 1 ? d * full : full));
        }
    }
}

static void draw_patch(const canvas *c, const ct_shape *shape)
{
    const ct_patch *s = &shape->patch;
    const double reach = 1.35 * fmax(s->r[0], s->r[1]);
    if (fabs(c->z - s->c[2]) > 1.35 * s->r[2])
        return;
    const rect r = around(c, s->c, s->c, reach);
    for (int y = r.y0; y < r.y1; y++) {
        for (int x = r.x0; x < r.x1; x++) {
            const double p[3] = { mm_of(c, x + 0.5), mm_of(c, y + 0.5), c->z };
            if (wd_ct_lobe_at(p) != s->lobe)
                continue;
            const double a = ct__patch_at(s, p);
            if (a > 0)
                blend(c, shape, (size_t)y * c->side + (size_t)x, (float)a);
        }
    }
}

/* The oblique fissures: a thin line where their plane meets this slice. */
static void draw_fissures(const canvas *c, const ct_shape *shape)
{
    for (int side = -1; side <= 1; side += 2) {
        const double y = c->z + 20, near = 12, far = 122;
        ct_shape s = { .kind = CT_TUBE,
                       .in_lung = true,
                       .hu = shape->hu,
                       .tube = { .a = { side * near, y - 0.2 * (near - 68), c->z },
                                 .b = { side * far, y - 0.2 * (far - 68), c->z },
                                 .ra = 0.45,
                                 .rb = 0.45 } };
        draw_tube(c, &s);
    }
}

/* Grain: sums of four random bytes are near enough to a normal deviate; smoothed a little, as a kernel does. */
static void fill_grain(wd_rand *r, int16_t *grain, size_t n)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        const uint64_t v = wd_rand_u64(r), pairs = (v & 0x00FF00FF00FF00FFu) + (v >> 8 & 0x00FF00FF00FF00FFu);
        grain[i] = (int16_t)((int)(pairs & 0xFFFF) + (int)(pairs >> 16 & 0xFFFF) - 510);
        grain[i + 1] = (int16_t)((int)(pairs >> 32 & 0xFFFF) + (int)(pairs >> 48) - 510);
    }
}

/* Adds what lungs and noise do to the values, and rounds. */
static void finish(const canvas *c, const int16_t *grain, int16_t *out)
{
    const size_t row = c->side + 2;
    const float gain = c->ct->noise_hu / 661; /* the deviation of the sum below */
    for (uint32_t y = 0; y < c->side; y++) {
        const int16_t *up = grain + y * row, *at = up + row, *low = at + row;
        const float hang = (float)(mm_of(c, y + 0.5) * 0.22); /* blood goes where gravity draws it */
        for (uint32_t x = 0; x < c->side; x++) {
            const size_t i = (size_t)y * c->side + x;
            const int sum = 4 * at[x + 1] + up[x + 1] + low[x + 1] + at[x] + at[x + 2];
            const float v = c->hu[i] + c->lung[i] * hang + gain * (float)sum, kept = v < -1024  ? -1024
                                                                                     : v > 3000 ? 3000
                                                                                                : v;
            out[i] = (int16_t)((int)(kept + 1024.5f) - 1024);
        }
    }
}

wd_status wd_ct_draw(const wd_ct *ct, uint32_t slice, int16_t *hu, wd_err *err)
{
    const size_t side = ct->o.matrix, n = side * side, n_grain = ((side + 2) * (side + 2) + 1) & ~(size_t)1;
    if (slice < 1 || slice > ct->o.n_slice)
        return WD_FAIL(err, WD_E_USAGE, "phantom: slice %u, expected 1 to %u", slice, ct->o.n_slice);
    canvas c = { .ct = ct,
                 .side = ct->o.matrix,
                 .pixel = CT_FIELD_MM / (double)side,
                 .z = ct__slice_z(ct, slice),
                 .hu = WD_ALLOC_N(float, n),
                 .lung = WD_ALLOC_N(float, n) };
    int16_t *grain = WD_ALLOC_N(int16_t, n_grain);
    wd_status st = c.hu && c.lung && grain ? WD_OK
                                           : WD_FAIL(err, WD_E_NOMEM, "phantom: no memory for a slice");
    for (size_t i = 0; !st && i < n; i++)
        c.hu[i] = -1000;
    for (size_t i = 0; !st && i < ct->n_shape; i++) {
        const ct_shape *s = &ct->shape[i];
        switch (s->kind) {
        case CT_SOLID:
        case CT_LUNG:
            draw_solid(&c, s);
            break;
        case CT_TUBE:
            draw_tube(&c, s);
            break;
        case CT_PATCH:
            draw_patch(&c, s);
            break;
        case CT_FLUID:
            draw_fluid(&c, s);
            break;
        case CT_FISSURES:
            draw_fissures(&c, s);
            break;
        }
    }
    if (!st) {
        wd_rand r;
        wd_rand_init(&r, ct->o.seed * 1000003 + 7919 * (uint64_t)slice);
        fill_grain(&r, grain, n_grain);
        finish(&c, grain, hu);
    }
    wd_free(grain);
    wd_free(c.lung);
    wd_free(c.hu);
    return st;
}
