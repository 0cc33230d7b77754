/* Draws the findings of a synthetic chest CT from its distribution (ct.h), places them, and measures where they are
 * seen. Nothing here looks at pixels: what is measured is the geometry, on a grid in the planes of the slices. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "care/phantom/ct_inner.h"

#define P_NONE 0.15
/* Chances before cases without any are drawn again; then 62, 22, 22 and 16 % of all cases have them. */
#define P_NODULES 0.54
#define P_CONSOLIDATION 0.19
#define P_EFFUSION 0.19
#define P_EMPHYSEMA 0.14
#define GRID_MM 2.0
#define HILAR_ZONE_MM 36.0

enum { NODULES_MAX = 3, PLACE_TRIES = 500 };

typedef struct wanted {
    uint32_t n_nodule;
    bool consolidation, effusion, emphysema;
} wanted;

typedef struct ball {
    double c[3], r;
} ball;

/* What is in the way of nodules, and what is drawn after them. */
typedef struct plan {
    bool has_patch, has_fluid;
    ct_patch patch;
    wd_ct_side patch_side;
    ct_fluid fluid;
    ball hole[2 * 220];
    size_t n_hole;
} plan;

/* cos and sin of 0, 15, .. 345 degrees. */
static void direction(unsigned i, double d[2])
{
    static const double quarter[7] = { 1, 0.96592583, 0.86602540, 0.70710678, 0.5, 0.25881905, 0 };
    const unsigned k = i % 24, q = k / 6, at = k % 6;
    const double c = quarter[at], s = quarter[6 - at];
    d[0] = q == 0 ? c : q == 1 ? -s : q == 2 ? -c : s;
    d[1] = q == 0 ? s : q == 1 ? c : q == 2 ? -s : -c;
}

static wanted draw_wanted(wd_rand *r)
{
    wanted w = { 0 };
    if (wd_rand_unit(r) < P_NONE)
        return w;
    do {
        w = (wanted){ 0 };
        if (wd_rand_unit(r) < P_NODULES) {
            const double u = wd_rand_unit(r);
            w.n_nodule = u < 0.55 ? 1 : u < 0.83 ? 2 : NODULES_MAX;
        }
        w.consolidation = wd_rand_unit(r) < P_CONSOLIDATION;
        w.effusion = wd_rand_unit(r) < P_EFFUSION;
        w.emphysema = wd_rand_unit(r) < P_EMPHYSEMA;
    } while (!w.n_nodule && !w.consolidation && !w.effusion && !w.emphysema);
    return w;
}

/* ---- where something is seen */

static wd_status add_box(wd_ct *ct, wd_ct_finding *f, const wd_ct_box *b, wd_err *err)
{
    if (!f->box)
        f->box = WD_ALLOC_N(wd_ct_box, 2 * (size_t)ct->o.n_slice);
    if (!f->box)
        return WD_FAIL(err, WD_E_NOMEM, "phantom: no memory for a finding");
    f->box[f->n_box++] = *b;
    return WD_OK;
}

static double area_on(const wd_ct_finding *f, uint32_t slice)
{
    double sum = 0;
    for (uint32_t i = 0; i < f->n_box; i++)
        sum += f->box[i].slice == slice ? f->box[i].area_mm2 : 0;
    return sum;
}

/* Keeps the boxes of slices that show at least `least` and `share` of the most; then lists the slices. */
static wd_status list_slices(wd_ct *ct, wd_ct_finding *f, double least, double share, wd_err *err)
{
    double most = 0;
    uint32_t kept = 0;
    for (uint32_t s = 1; s <= ct->o.n_slice; s++)
        most = fmax(most, area_on(f, s));
    f->slice = WD_ALLOC_N(uint32_t, ct->o.n_slice);
    if (!f->slice)
        return WD_FAIL(err, WD_E_NOMEM, "phantom: no memory for a finding");
    for (uint32_t s = 1; s <= ct->o.n_slice; s++) {
        const double area = area_on(f, s);
        if (area > 0 && area >= least && area >= share * most)
            f->slice[f->n_slice++] = s;
    }
    for (uint32_t i = 0; i < f->n_box; i++)
        for (uint32_t k = 0; k < f->n_slice; k++)
            if (f->slice[k] == f->box[i].slice) {
                f->box[kept++] = f->box[i];
                break;
            }
    f->n_box = kept;
    while (f->n_shown < WD_COUNT(f->shown) &&
           f->n_shown < f->n_slice) { /* the most telling, one after another */
        uint32_t best = 0;
        double best_area = -1;
        for (uint32_t k = 0; k < f->n_slice; k++) {
            bool had = false;
            for (uint32_t j = 0; j < f->n_shown; j++)
                had |= f->shown[j] == f->slice[k];
            const double area = area_on(f, f->slice[k]);
            if (!had && area > best_area) {
                best = f->slice[k];
                best_area = area;
            }
        }
        uint32_t at = f->n_shown++;
        for (; at > 0 && f->shown[at - 1] > best; at--)
            f->shown[at] = f->shown[at - 1];
        f->shown[at] = best;
    }
    return WD_OK;
}

/* The height of the slice nearest to a height: what is thin lies there, to be seen. */
static double nearest_z(const wd_ct *ct, double z)
{
    const double at = floor((z + CT_HEIGHT_MM / 2) / ct->step_mm);
    return ct__slice_z(ct, 1 + (uint32_t)fmin(fmax(at, 0), ct->o.n_slice - 1.0));
}

typedef bool (*is_there)(const wd_ct *ct, const plan *pl, const double p[3]);

static bool fluid_there(const wd_ct *ct, const plan *pl, const double p[3])
{
    const wd_ct_side side = pl->fluid.side;
    const double shifted[3] = { p[0], p[1] + ct__fluid_depth(&pl->fluid, p[2]), p[2] };
    return ct__solid_depth(&ct->shape[ct->lung[side]].solid, shifted) < 0 && ct__lung_room(ct, side, p) > 0;
}

static bool patch_there(const wd_ct *ct, const plan *pl, const double p[3])
{
    return wd_ct_lobe_at(p) == pl->patch.lobe && ct__patch_at(&pl->patch, p) > 0.5 &&
           ct__lung_room(ct, pl->patch_side, p) > 0 && !(pl->has_fluid && fluid_there(ct, pl, p));
}

/* Walks a grid over the middle of a region in every slice: boxes, areas, and the longest extent in a plane. */
static wd_status survey(wd_ct *ct, const plan *pl, is_there there, const double c[2], double reach,
                        wd_ct_finding *f, double *longest, wd_err *err)
{
    *longest = 0;
    for (uint32_t s = 1; s <= ct->o.n_slice; s++) {
        const double z = ct__slice_z(ct, s);
        wd_ct_box b = { .slice = s, .mm = { CT_FAR, CT_FAR, -CT_FAR, -CT_FAR } };
        double lo[12], hi[12];
        for (unsigned i = 0; i < 12; i++) {
            lo[i] = CT_FAR;
            hi[i] = -CT_FAR;
        }
        for (double y = c[1] - reach; y <= c[1] + reach; y += GRID_MM) {
            for (double x = c[0] - reach; x <= c[0] + reach; x += GRID_MM) {
                const double p[3] = { x, y, z };
                if (!there(ct, pl, p))
                    continue;
                b.area_mm2 += GRID_MM * GRID_MM;
                b.mm[0] = fmin(b.mm[0], x - GRID_MM / 2);
                b.mm[1] = fmin(b.mm[1], y - GRID_MM / 2);
                b.mm[2] = fmax(b.mm[2], x + GRID_MM / 2);
                b.mm[3] = fmax(b.mm[3], y + GRID_MM / 2);
                for (unsigned i = 0; i < 12; i++) {
                    double d[2];
                    direction(i, d);
                    lo[i] = fmin(lo[i], x * d[0] + y * d[1]);
                    hi[i] = fmax(hi[i], x * d[0] + y * d[1]);
                }
            }
        }
        if (b.area_mm2 <= 0)
            continue;
        for (unsigned i = 0; i < 12; i++)
            *longest = fmax(*longest, hi[i] - lo[i] + GRID_MM);
        WD_TRY(add_box(ct, f, &b, err));
    }
    return WD_OK;
}

/* ---- effusion */

static void choose_fluid(wd_ct *ct, plan *pl, wd_ct_finding *f)
{
    static const double depth[3][2] = { { 17, 23 }, { 29, 39 }, { 47, 62 } }, height[3] = { 80, 125, 185 };
    wd_rand *r = &ct->rand;
    f->type = WD_CT_EFFUSION;
    f->side = wd_rand_below(r, 2) ? WD_CT_LEFT : WD_CT_RIGHT;
    f->lobe = WD_CT_NO_LOBE;
    f->grade = (wd_ct_grade)wd_rand_below(r, 3);
    pl->fluid = (ct_fluid){ .side = f->side,
                            .depth_mm = wd_rand_range(r, depth[f->grade][0], depth[f->grade][1]),
                            .z_bottom = -118,
                            .height_mm = height[f->grade] * wd_rand_range(r, 0.93, 1.07) };
    pl->has_fluid = true;
}

static wd_status measure_fluid(wd_ct *ct, const plan *pl, wd_ct_finding *f, wd_err *err)
{
    const ct_solid *lung = &ct->shape[ct->lung[f->side]].solid;
    double longest;
    WD_TRY(survey(ct, pl, fluid_there, lung->c, fmax(lung->r[0], lung->r[1]), f, &longest, err));
    WD_TRY(list_slices(ct, f, 200, 0.25, err));
    double most = 0;
    for (uint32_t i = 0; i < f->n_box; i++) {
        const wd_ct_box *b = &f->box[i];
        f->depth_mm = fmax(f->depth_mm, ct__fluid_depth(&pl->fluid, ct__slice_z(ct, b->slice)));
        if (b->area_mm2 > most) {
            most = b->area_mm2;
            f->centre_mm[0] = (b->mm[0] + b->mm[2]) / 2;
            f->centre_mm[1] = b->mm[3] - ct__fluid_depth(&pl->fluid, ct__slice_z(ct, b->slice)) / 2;
            f->centre_mm[2] = ct__slice_z(ct, b->slice);
        }
    }
    return WD_OK;
}

/* ---- consolidation */

static void free_places(wd_ct_finding *f)
{
    wd_free(f->box);
    wd_free(f->slice);
    f->box = NULL;
    f->slice = NULL;
    f->n_box = f->n_slice = f->n_shown = 0;
}

static bool choose_patch(wd_ct *ct, plan *pl, wd_ct_finding *f)
{
    wd_rand *r = &ct->rand;
    const wd_ct_lobe lobe = (wd_ct_lobe)wd_rand_below(r, WD_CT_NO_LOBE);
    const wd_ct_side side = lobe >= WD_CT_LUL ? WD_CT_LEFT : WD_CT_RIGHT;
    const ct_solid *lung = &ct->shape[ct->lung[side]].solid;
    const double half = wd_rand_range(r, 15, 30);
    double d[2], len2;
    do {
        d[0] = wd_rand_range(r, -1, 1);
        d[1] = wd_rand_range(r, -1, 1);
        len2 = d[0] * d[0] + d[1] * d[1];
    } while (len2 > 1 || len2 < 0.01);
    for (int i = 0; i < PLACE_TRIES; i++) {
        const uint32_t slice = 1 + (uint32_t)wd_rand_below(r, ct->o.n_slice);
        const double p[3] = { lung->c[0] + wd_rand_range(r, -1, 1) * lung->r[0],
                              lung->c[1] + wd_rand_range(r, -1, 1) * lung->r[1],
                              ct__slice_z(ct, slice) + wd_rand_range(r, -2, 2) };
        if (wd_ct_lobe_at(p) != lobe || ct__fissure_mm(p) < 8 || ct__hilum_mm(side, p) < 30 ||
            ct__lung_room(ct, side, p) < 0.55 * half)
            continue;
        if (pl->has_fluid && pl->fluid.side == side) {
            const double behind[3] = { p[0], p[1] + ct__fluid_depth(&pl->fluid, p[2]), p[2] };
            if (ct__solid_depth(lung, behind) < 0.7 * half)
                continue;
        }
        const double hilum_x = side == WD_CT_LEFT ? 34 : -34; /* the long axis points away from it */
        const double away = (p[0] - hilum_x) * d[0] + (p[1] - 4) * d[1] < 0 ? -1 : 1;
        pl->patch = (ct_patch){ .c = { p[0], p[1], p[2] },
                                .r = { half, half * wd_rand_range(r, 0.65, 1), wd_rand_range(r, 12, 26) },
                                .dir = { away * d[0] / sqrt(len2), away * d[1] / sqrt(len2) },
                                .noise = wd_rand_u64(r),
                                .lobe = lobe };
        pl->patch_side = side;
        pl->has_patch = true;
        *f = (wd_ct_finding){
            .type = WD_CT_CONSOLIDATION, .side = side, .lobe = lobe, .centre_mm = { p[0], p[1], p[2] }
        };
        return true;
    }
    return false;
}

/* Chooses again until what is seen of it has a size within the range. */
static wd_status place_patch(wd_ct *ct, plan *pl, wd_ct_finding *f, wd_err *err)
{
    for (int i = 0; i < 30; i++) {
        if (!choose_patch(ct, pl, f))
            continue;
        WD_TRY(survey(ct, pl, patch_there, pl->patch.c, 1.35 * fmax(pl->patch.r[0], pl->patch.r[1]), f,
                      &f->size_mm, err));
        WD_TRY(list_slices(ct, f, 200, 0.25, err));
        f->size_mm = floor(f->size_mm + 0.5);
        if (f->n_slice && f->size_mm >= 30 && f->size_mm <= 60)
            return WD_OK;
        free_places(f);
    }
    pl->has_patch = false;
    return WD_OK;
}

/* Air-filled bronchi in it: two or three stems from the side of the hilum with a branch each, in its planes. */
static void add_patch(wd_ct *ct, const plan *pl)
{
    const ct_patch *s = &pl->patch;
    wd_rand *r = &ct->rand;
    ct_shape shape = {
        .kind = CT_PATCH, .in_lung = true, .hu = (float)wd_rand_range(r, 15, 40), .patch = *s
    };
    ct__add(ct, &shape);
    const int n = s->r[0] < 20 ? 2 : 3; /* bronchi */
    const double apart = ct->step_mm * ceil(8 / ct->step_mm), middle = nearest_z(ct, s->c[2]);
    for (int layer = -2; layer <= 2; layer++) {
        const double z = middle + layer * apart;
        if (fabs(z - s->c[2]) > 0.8 * s->r[2])
            continue;
        for (int i = 0; i < n; i++) {
            const double across = (i - (n - 1) / 2.0) * 0.42 + wd_rand_range(r, -0.08, 0.08),
                         thin = wd_rand_range(r, 1.0, 1.45);
            double at[3][3]; /* along the long axis, then off it */
            const double way[3][2] = { { -0.7, across * 0.55 },
                                       { 0.05, across },
                                       { wd_rand_range(r, 0.5, 0.72), across * 1.35 } };
            for (int k = 0; k < 3; k++) {
                const double u = way[k][0] * s->r[0], v = way[k][1] * s->r[1];
                at[k][0] = s->c[0] + u * s->dir[0] - v * s->dir[1];
                at[k][1] = s->c[1] + u * s->dir[1] + v * s->dir[0];
                at[k][2] = z;
            }
            ct__tube(ct, at[0], at[1], thin, thin * 0.85, -930, true);
            ct__tube(ct, at[1], at[2], thin * 0.85, thin * 0.6, -930, true);
        }
    }
}

/* ---- emphysema */

static void choose_holes(wd_ct *ct, plan *pl)
{
    wd_rand *r = &ct->rand;
    const size_t n = (size_t)(150 * wd_rand_range(r, 0.8, 1.4));
    for (wd_ct_side side = WD_CT_RIGHT; side <= WD_CT_LEFT; side++) {
        const ct_solid *lung = &ct->shape[ct->lung[side]].solid;
        size_t had = 0;
        for (int i = 0; i < 6000 && had < n; i++) {
            const double radius = wd_rand_range(r, 2, 6),
                         p[3] = { lung->c[0] + wd_rand_range(r, -1, 1) * lung->r[0],
                                  lung->c[1] + wd_rand_range(r, -1, 1) * lung->r[1],
                                  wd_rand_range(r, -80, 118) },
                         keep = p[2] > 15 ? 1 : 0.25;
            if (wd_rand_unit(r) > keep || ct__lung_room(ct, side, p) < radius + 1 ||
                ct__hilum_mm(side, p) < 20)
                continue;
            if (pl->n_hole < WD_COUNT(pl->hole)) {
                pl->hole[pl->n_hole++] = (ball){ { p[0], p[1], p[2] }, radius };
                had++;
            }
        }
    }
}

static wd_status measure_holes(wd_ct *ct, const plan *pl, wd_ct_finding *f, wd_err *err)
{
    *f = (wd_ct_finding){ .type = WD_CT_EMPHYSEMA, .side = WD_CT_BOTH, .lobe = WD_CT_NO_LOBE };
    double sum = 0;
    for (size_t i = 0; i < pl->n_hole; i++) {
        for (int k = 0; k < 3; k++)
            f->centre_mm[k] += pl->hole[i].c[k] * pl->hole[i].r;
        sum += pl->hole[i].r;
    }
    for (int k = 0; k < 3 && sum > 0; k++)
        f->centre_mm[k] /= sum;
    for (uint32_t s = 1; s <= ct->o.n_slice; s++) {
        const double z = ct__slice_z(ct, s);
        wd_ct_box b[2] = { { .slice = s, .mm = { CT_FAR, CT_FAR, -CT_FAR, -CT_FAR } },
                           { .slice = s, .mm = { CT_FAR, CT_FAR, -CT_FAR, -CT_FAR } } };
        int seen = 0;
        for (size_t i = 0; i < pl->n_hole; i++) {
            const ball *h = &pl->hole[i];
            const double r2 = h->r * h->r - (z - h->c[2]) * (z - h->c[2]);
            if (r2 < 1.5 * 1.5)
                continue;
            const double radius = sqrt(r2);
            wd_ct_box *to = &b[h->c[0] > 0];
            seen++;
            to->area_mm2 += 3.14159265358979 * r2;
            to->mm[0] = fmin(to->mm[0], h->c[0] - radius);
            to->mm[1] = fmin(to->mm[1], h->c[1] - radius);
            to->mm[2] = fmax(to->mm[2], h->c[0] + radius);
            to->mm[3] = fmax(to->mm[3], h->c[1] + radius);
        }
        for (int side = 0; side < 2; side++)
            if (seen >= 4 && b[side].area_mm2 > 0)
                WD_TRY(add_box(ct, f, &b[side], err));
    }
    return list_slices(ct, f, 0, 1.0 / 3, err);
}

/* ---- nodules */

static void choose_kind(wd_rand *r, wd_ct_finding *f)
{
    f->size_mm = 4 + (double)wd_rand_below(r, 27);
    for (;;) {
        const double u = wd_rand_unit(r);
        f->density = u < 0.45   ? WD_CT_SOLID
                     : u < 0.65 ? WD_CT_PART_SOLID
                     : u < 0.85 ? WD_CT_GROUND_GLASS
                                : WD_CT_CALCIFIED;
        if (f->size_mm >= (f->density == WD_CT_PART_SOLID ? 10 : f->density == WD_CT_GROUND_GLASS ? 8 : 0))
            break;
    }
    f->margin = WD_CT_SMOOTH;
    if (f->size_mm >= 8)
        f->margin = (wd_ct_margin)wd_rand_below(r, f->density == WD_CT_CALCIFIED ? 2 : 3);
}

/* Nothing else is too near: other findings of the case. */
static bool is_free(const wd_ct *ct, const plan *pl, wd_ct_side side, const double p[3], double radius)
{
    for (size_t i = 0; i < ct->n_finding; i++) {
        const wd_ct_finding *f = &ct->finding[i];
        if (f->type != WD_CT_NODULE)
            continue;
        const double x = p[0] - f->centre_mm[0], y = p[1] - f->centre_mm[1], z = fabs(p[2] - f->centre_mm[2]);
        if (z <= fmax(1.6 * ct->step_mm, radius + f->size_mm / 2 + ct->step_mm) && x * x + y * y < 45 * 45)
            return false;
    }
    if (pl->has_patch && pl->patch_side == side) {
        const ct_patch *s = &pl->patch;
        const double x = p[0] - s->c[0], y = p[1] - s->c[1],
                     away = 1.25 * fmax(s->r[0], s->r[1]) + radius + 6;
        if (fabs(p[2] - s->c[2]) < 1.3 * s->r[2] + radius && x * x + y * y < away * away)
            return false;
    }
    if (pl->has_fluid && pl->fluid.side == side) {
        const double behind[3] = { p[0], p[1] + ct__fluid_depth(&pl->fluid, p[2]), p[2] };
        if (ct__solid_depth(&ct->shape[ct->lung[side]].solid, behind) < radius + 4)
            return false;
    }
    return true;
}

static bool place_nodule(wd_ct *ct, const plan *pl, wd_ct_finding *f)
{
    wd_rand *r = &ct->rand;
    const double radius = f->size_mm / 2;
    for (int round = 0; round < 8; round++) {
        const wd_ct_lobe lobe = (wd_ct_lobe)wd_rand_below(r, WD_CT_NO_LOBE);
        const wd_ct_side side = lobe >= WD_CT_LUL ? WD_CT_LEFT : WD_CT_RIGHT;
        const ct_solid *lung = &ct->shape[ct->lung[side]].solid;
        for (int i = 0; i < PLACE_TRIES; i++) {
            const uint32_t slice = 1 + (uint32_t)wd_rand_below(r, ct->o.n_slice);
            const double p[3] = { lung->c[0] + wd_rand_range(r, -1, 1) * lung->r[0],
                                  lung->c[1] + wd_rand_range(r, -1, 1) * lung->r[1],
                                  ct__slice_z(ct, slice) + wd_rand_range(r, -0.2, 0.2) * radius };
            if (wd_ct_lobe_at(p) != lobe || ct__fissure_mm(p) < 8 || ct__hilum_mm(side, p) < HILAR_ZONE_MM ||
                !is_free(ct, pl, side, p, radius) || ct__lung_room(ct, side, p) < fmax(6, radius + 2))
                continue;
            f->side = side;
            f->lobe = lobe;
            memcpy(f->centre_mm, p, sizeof f->centre_mm);
            return true;
        }
    }
    return false;
}

static void add_body(wd_ct *ct, const wd_ct_finding *f, float hu, float soft)
{
    const double radius = f->size_mm / 2, *c = f->centre_mm, z = nearest_z(ct, f->centre_mm[2]);
    if (f->margin != WD_CT_LOBULATED) {
        ct__ball(ct, c, radius, hu, soft, false);
        return;
    }
    const unsigned n = f->size_mm < 14 ? 4 : 6, turn = (unsigned)wd_rand_below(&ct->rand, 24);
    ct__ball(ct, (double[]){ c[0], c[1], z }, 0.64 * radius, hu, soft, false);
    ct__ball(ct, c, 0.6 * radius, hu, soft, false);
    for (unsigned i = 0; i < n; i++) {
        const double share = n == 4 ? 0.42 : 0.34;
        double d[2];
        direction(turn + i * 24 / n, d);
        ct__ball(ct, (double[]){ c[0] + (1 - share) * radius * d[0], c[1] + (1 - share) * radius * d[1], z },
                 share * radius, hu, soft, false);
    }
    for (int up = -1; up <= 1; up += 2)
        ct__ball(ct, (double[]){ c[0], c[1], c[2] + up * 0.6 * radius }, 0.4 * radius, hu, soft, false);
}

static void add_spicules(wd_ct *ct, const wd_ct_finding *f, float hu)
{
    wd_rand *r = &ct->rand;
    const double radius = f->size_mm / 2, z = nearest_z(ct, f->centre_mm[2]),
                 thick = fmin(fmax(0.14 * radius, 0.9), 1.5);
    const unsigned turn = (unsigned)wd_rand_below(r, 24);
    for (unsigned i = 0; i < 24; i += 2) {
        const double reach = radius + fmin(fmax(radius * wd_rand_range(r, 0.55, 0.95), 4.5), 10);
        double d[2];
        direction(turn + i + (wd_rand_unit(r) < 0.3), d);
        ct__tube(
            ct, (double[]){ f->centre_mm[0] + 0.7 * radius * d[0], f->centre_mm[1] + 0.7 * radius * d[1], z },
            (double[]){ f->centre_mm[0] + reach * d[0], f->centre_mm[1] + reach * d[1], z }, thick, 0.35, hu,
            true);
    }
}

static void add_nodule(wd_ct *ct, const wd_ct_finding *f)
{
    static const float base[] = { 35, -575, -575, 750 };
    wd_rand *r = &ct->rand;
    const bool glass = f->density == WD_CT_PART_SOLID || f->density == WD_CT_GROUND_GLASS;
    const float hu = base[f->density] + (float)wd_rand_range(r, -20, 20), soft = glass ? 2.0f : 0;
    if (f->margin == WD_CT_SPICULATED)
        add_spicules(ct, f, glass ? -380 : hu);
    add_body(ct, f, hu, soft);
    if (f->density == WD_CT_PART_SOLID) {
        const double radius = f->size_mm / 2, off = 0.1 * radius,
                     c[3] = { f->centre_mm[0] + wd_rand_range(r, -off, off),
                              f->centre_mm[1] + wd_rand_range(r, -off, off), f->centre_mm[2] };
        ct__ball(ct, c, radius * wd_rand_range(r, 0.46, 0.54), 35, 0, false);
    }
}

static wd_status measure_nodule(wd_ct *ct, wd_ct_finding *f, wd_err *err)
{
    const double radius = f->size_mm / 2, least = fmax(1.5, radius / 2);
    for (uint32_t s = 1; s <= ct->o.n_slice; s++) {
        const double dz = ct__slice_z(ct, s) - f->centre_mm[2], r2 = radius * radius - dz * dz;
        if (r2 < least * least)
            continue;
        const double rs = sqrt(r2);
        const wd_ct_box b = { .slice = s,
                              .mm = { f->centre_mm[0] - rs, f->centre_mm[1] - rs, f->centre_mm[0] + rs,
                                      f->centre_mm[1] + rs },
                              .area_mm2 = 3.14159265358979 * r2 };
        WD_TRY(add_box(ct, f, &b, err));
    }
    return list_slices(ct, f, 0, 0, err);
}

static wd_status add_nodules(wd_ct *ct, const plan *pl, uint32_t n, wd_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        wd_ct_finding f = { .type = WD_CT_NODULE };
        choose_kind(&ct->rand, &f);
        if (!place_nodule(ct, pl, &f))
            continue;
        size_t at = ct->n_finding; /* by falling size; its boxes belong to the case from here on */
        for (; at > 0 && ct->finding[at - 1].size_mm < f.size_mm; at--)
            ct->finding[at] = ct->finding[at - 1];
        ct->finding[at] = f;
        ct->n_finding++;
        add_nodule(ct, &f);
        WD_TRY(measure_nodule(ct, &ct->finding[at], err));
    }
    return WD_OK;
}

static wd_status all_of(wd_ct *ct, plan *pl, wd_err *err)
{
    const wanted w = draw_wanted(&ct->rand);
    wd_ct_finding fluid = { 0 }, patch = { 0 }, holes = { 0 };
    wd_status st = WD_OK;
    if (w.effusion) {
        choose_fluid(ct, pl, &fluid);
        st = measure_fluid(ct, pl, &fluid, err);
    }
    if (!st && w.consolidation)
        st = place_patch(ct, pl, &patch, err);
    if (!st && w.emphysema) {
        choose_holes(ct, pl);
        st = measure_holes(ct, pl, &holes, err);
    }
    for (size_t i = 0; i < pl->n_hole; i++)
        ct__ball(ct, pl->hole[i].c, pl->hole[i].r, (float)wd_rand_range(&ct->rand, -980, -955), 0, true);
    if (!st)
        st = add_nodules(ct, pl, w.n_nodule, err);
    if (pl->has_patch) {
        add_patch(ct, pl);
        ct->finding[ct->n_finding++] = patch;
    } else {
        free_places(&patch);
    }
    if (pl->has_fluid) {
        const ct_shape s = { .kind = CT_FLUID,
                             .hu = (float)wd_rand_range(&ct->rand, 5, 15),
                             .fluid = pl->fluid };
        ct__add(ct, &s);
        ct->finding[ct->n_finding++] = fluid;
    }
    if (w.emphysema)
        ct->finding[ct->n_finding++] = holes;
    return st;
}

wd_status ct__findings(wd_ct *ct, wd_err *err)
{
    plan *pl = WD_ALLOC(plan);
    if (!pl)
        return WD_FAIL(err, WD_E_NOMEM, "phantom: no memory");
    const wd_status st = all_of(ct, pl, err);
    wd_free(pl);
    return st;
}
