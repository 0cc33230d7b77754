/* The synthetic chest CT: the same bytes from the same seed, the distribution and geometry that ct.h documents, pixels
 * that show what the truth says, valid DICOM, and no half case after a failure. */
#include "support/program.h"
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#include "base/digest.h"
#include "base/file.h"
#include "base/json.h"
#include "care/phantom/ct.h"
#include "care/slices.h"
#include "media/sandbox.h"

#define FIELD_MM 360.0

static wd_ct *make(uint64_t seed, uint32_t n_slice, uint32_t matrix)
{
    const wd_ct_opts o = { .seed = seed, .n_slice = n_slice, .matrix = matrix };
    wd_ct *ct;
    assert_ok(wd_ct_create(&o, &ct, &err));
    return ct;
}

static double slice_z(uint32_t slice, uint32_t n)
{
    return -120 + (slice - 0.5) * 240 / n;
}

/* ---- determinism */

/* The digest of all pixels and of the truth. The demonstration models were trained on exactly these pictures and words:
 * a change here means that they have to be trained again. */
static void a_seed_is_the_same_bytes_everywhere(void **state)
{
    (void)state;
    static const char *const want[] = { "8df36cbeeaee6f1b5a1922bc588e1232f28971e1fa34b0d7f01039bb66d8170c",
                                        "1bf3f9548f23d66d697dca29ba188c9279c16d23989a4c6d77bbe014c86bb9f7",
                                        "e0c00d29a32b7e49241dcbaf1c0528048c5ee3df79e5c21949dcef310fd30f2c",
                                        "03e23a3ad02e3f7474fff7083e2bc3900aeedc3156947f5b75e753a788776ebf" };
    static const uint32_t option[][2] = { { 12, 256 }, { 12, 128 }, { 24, 64 }, { 13, 100 } };
    static int16_t hu[256 * 256];
    for (size_t i = 0; i < WD_COUNT(want); i++) {
        wd_ct *ct = make(22 + 1000000 * i, option[i][0], option[i][1]);
        wd_buf all = { 0 };
        wd_digest d;
        char hex[65];
        for (uint32_t s = 1; s <= option[i][0]; s++) {
            assert_ok(wd_ct_draw(ct, s, hu, &err));
            wd_buf_put(&all, hu, (size_t)option[i][1] * option[i][1] * sizeof *hu);
        }
        json_t *truth = wd_ct_truth(ct);
        assert_non_null(truth);
        assert_ok(wd_json_write(truth, JSON_COMPACT | JSON_REAL_PRECISION(6), &all, &err));
        wd_digest_of(wd_buf_view(&all), &d);
        wd_digest_hex(&d, hex);
        assert_string_equal(hex, want[i]);
        json_decref(truth);
        wd_buf_free(&all);
        wd_ct_destroy(ct);
    }
}

static void two_runs_write_the_same_files(void **state)
{
    (void)state;
    const wd_ct_opts o = { .seed = 31, .n_slice = 8, .matrix = 64 },
                     other = { .seed = 32, .n_slice = 8, .matrix = 64 };
    char *dir[3] = { test_make_dir(), test_make_dir(), test_make_dir() };
    wd_arena *a = wd_arena_create(1 << 20, false);
    char **names;
    size_t n;
    assert_ok(wd_ct_make(dir[0], &o, &err));
    assert_ok(wd_ct_make(dir[1], &o, &err));
    assert_ok(wd_ct_make(dir[2], &other, &err));
    assert_ok(wd_file_list(a, wd_path_join(a, dir[0], "series"), &names, &n, &err));
    assert_int_equal(n, 8);
    for (size_t i = 0; i <= n; i++) {
        wd_buf b[3] = { 0 };
        for (int k = 0; k < 3; k++) {
            const char *name = i < n ? wd_arena_printf(a, "series/%s", names[i]) : "truth.json";
            assert_ok(wd_file_read(wd_path_join(a, dir[k], name), 1 << 20, &b[k], &err));
        }
        assert_true(wd_span_eq(wd_buf_view(&b[0]), wd_buf_view(&b[1])));
        assert_false(wd_span_eq(wd_buf_view(&b[0]), wd_buf_view(&b[2])));
        for (int k = 0; k < 3; k++)
            wd_buf_free(&b[k]);
    }
    wd_arena_destroy(a);
    for (int k = 0; k < 3; k++)
        test_rm_dir(dir[k]);
}

/* ---- what is drawn, without drawing it */

/* The planes as ct.h states them, written down again. */
static double oblique_mm(const double p[3])
{
    return (p[2] - (-20 + p[1] + 0.2 * (fabs(p[0]) - 68))) / sqrt(2.04);
}

static void check_nodule(const wd_ct_finding *f, uint32_t n_slice)
{
    const double *c = f->centre_mm, o = oblique_mm(c), r = f->size_mm / 2;
    const wd_ct_lobe lobe = c[0] > 0   ? (o > 0 ? WD_CT_LUL : WD_CT_LLL)
                            : o < 0    ? WD_CT_RLL
                            : c[2] > 0 ? WD_CT_RUL
                                       : WD_CT_RML;
    assert_int_equal(f->side, c[0] > 0 ? WD_CT_LEFT : WD_CT_RIGHT);
    assert_int_equal(f->lobe, lobe);
    assert_int_equal(wd_ct_lobe_at(c), lobe);
    assert_true(fabs(o) >= 8);
    assert_true(f->side == WD_CT_LEFT || o < -8 || fabs(c[2]) >= 8);
    assert_true(f->size_mm >= 4 && f->size_mm <= 30 && f->size_mm == floor(f->size_mm));
    assert_true(f->density != WD_CT_PART_SOLID || f->size_mm >= 10);
    assert_true(f->density != WD_CT_GROUND_GLASS || f->size_mm >= 8);
    assert_true(f->margin == WD_CT_SMOOTH || f->size_mm >= 8);
    assert_false(f->margin == WD_CT_SPICULATED && f->density == WD_CT_CALCIFIED);
    double nearest = 1e9;
    for (uint32_t s = 1; s <= n_slice; s++) { /* on the slices named, and on no other */
        const double dz = fabs(slice_z(s, n_slice) - c[2]);
        bool named = false;
        for (uint32_t i = 0; i < f->n_slice; i++)
            named |= f->slice[i] == s;
        assert_int_equal(named, dz < r && sqrt(r * r - dz * dz) >= fmax(1.5, r / 2));
        nearest = fmin(nearest, dz);
    }
    assert_true(nearest <= 0.2 * r + 1e-9);
}

static void check_finding(const wd_ct_finding *f, uint32_t n_slice)
{
    assert_true(f->n_slice >= 1 && f->n_shown >= 1 && f->n_shown <= 3 && f->n_shown <= f->n_slice);
    for (uint32_t i = 0; i < f->n_slice; i++) {
        assert_in_range(f->slice[i], i ? f->slice[i - 1] + 1 : 1, n_slice);
        bool boxed = false;
        for (uint32_t k = 0; k < f->n_box; k++)
            boxed |= f->box[k].slice == f->slice[i];
        assert_true(boxed);
    }
    for (uint32_t i = 0; i < f->n_shown; i++) {
        bool listed = false;
        for (uint32_t k = 0; k < f->n_slice; k++)
            listed |= f->slice[k] == f->shown[i];
        assert_true(listed);
        assert_true(!i || f->shown[i] > f->shown[i - 1]);
    }
    for (uint32_t i = 0; i < f->n_box; i++) {
        const double *b = f->box[i].mm;
        assert_true(b[0] < b[2] && b[1] < b[3] && b[0] > -FIELD_MM / 2 && b[2] < FIELD_MM / 2);
        if (f->side != WD_CT_BOTH)
            assert_int_equal(b[0] + b[2] > 0, f->side == WD_CT_LEFT);
    }
}

typedef struct tally {
    uint32_t type[4], lobe[5], density[4], margin[3], grade[3], side[2], none, nodules[4], size[3];
} tally;

static void count_finding(const wd_ct_finding *f, tally *t)
{
    if (f->type == WD_CT_NODULE) {
        t->lobe[f->lobe]++;
        t->density[f->density]++;
        t->size[f->size_mm < 13 ? 0 : f->size_mm < 22 ? 1 : 2]++;
        if (f->size_mm >= 8)
            t->margin[f->margin]++;
    }
    if (f->type == WD_CT_EFFUSION) {
        t->grade[f->grade]++;
        t->side[f->side]++;
    }
}

static void check_case(uint64_t seed, tally *t)
{
    wd_ct *ct = make(seed, 12, 256);
    size_t n;
    const wd_ct_finding *f = wd_ct_findings(ct, &n);
    uint32_t of[4] = { 0 };
    for (size_t i = 0; i < n; i++) {
        check_finding(&f[i], 12);
        of[f[i].type]++;
        count_finding(&f[i], t);
        if (i)
            assert_true(f[i].type > f[i - 1].type ||
                        (f[i].type == WD_CT_NODULE && f[i].size_mm <= f[i - 1].size_mm));
        if (f[i].type == WD_CT_CONSOLIDATION)
            assert_true(f[i].size_mm >= 30 && f[i].size_mm <= 60 && f[i].n_slice <= 3);
        if (f[i].type != WD_CT_NODULE)
            continue;
        check_nodule(&f[i], 12);
        for (size_t k = 0; k < i; k++) {
            const double x = f[i].centre_mm[0] - f[k].centre_mm[0], y = f[i].centre_mm[1] - f[k].centre_mm[1];
            assert_true(fabs(f[i].centre_mm[2] - f[k].centre_mm[2]) > 30 || sqrt(x * x + y * y) >= 45);
        }
    }
    assert_true(of[WD_CT_NODULE] <= 3);
    for (int k = 0; k < 4; k++)
        t->type[k] += of[k] > 0;
    t->nodules[of[WD_CT_NODULE]]++;
    t->none += n == 0;
    wd_ct_destroy(ct);
}

/* Within four deviations of a binomial count. */
static void assert_share(uint32_t n, uint32_t of, double p, const char *what)
{
    const double slack = 4 * sqrt(p * (1 - p) / of), got = (double)n / of;
    if (fabs(got - p) > slack)
        fail_msg("%s: %.3f, expected %.3f +- %.3f", what, got, p, slack);
}

static void cases_follow_the_documented_distribution(void **state)
{
    (void)state;
    enum { CASES = 400 };
    tally t = { 0 };
    for (uint64_t seed = 1; seed <= CASES; seed++)
        check_case(seed, &t);
    const uint32_t nodules = t.lobe[0] + t.lobe[1] + t.lobe[2] + t.lobe[3] + t.lobe[4],
                   shaped = t.margin[0] + t.margin[1] + t.margin[2];
    assert_share(t.none, CASES, 0.15, "none");
    assert_share(t.type[WD_CT_NODULE], CASES, 0.62, "nodules");
    assert_share(t.type[WD_CT_CONSOLIDATION], CASES, 0.22, "consolidation");
    assert_share(t.type[WD_CT_EFFUSION], CASES, 0.22, "effusion");
    assert_share(t.type[WD_CT_EMPHYSEMA], CASES, 0.16, "emphysema");
    assert_share(t.nodules[1], CASES - t.nodules[0], 0.55, "one nodule");
    assert_share(t.nodules[2], CASES - t.nodules[0], 0.28, "two nodules");
    for (int k = 0; k < 5; k++)
        assert_share(t.lobe[k], nodules, 0.2, "a lobe");
    for (int k = 0; k < 3; k++) {
        assert_share(t.size[k], nodules, 1 / 3.0, "a third of the sizes");
        assert_share(t.margin[k], shaped, k == WD_CT_SPICULATED ? 0.28 : 0.36, "a margin");
        assert_share(t.grade[k], t.type[WD_CT_EFFUSION], 1 / 3.0, "a grade");
    }
    assert_share(t.side[0], t.type[WD_CT_EFFUSION], 0.5, "effusion on the right");
    for (int k = 0; k < 4; k++)
        assert_true(t.density[k] > nodules / 12);
    assert_true(t.density[WD_CT_SOLID] > nodules * 2 / 5);
}

static void dense_series_hold_the_same_rules(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        wd_ct *ct = make(seed, 60, 64);
        size_t n;
        const wd_ct_finding *f = wd_ct_findings(ct, &n);
        for (size_t i = 0; i < n; i++) {
            check_finding(&f[i], 60);
            if (f[i].type == WD_CT_NODULE)
                check_nodule(&f[i], 60);
        }
        wd_ct_destroy(ct);
    }
}

/* ---- what is seen */

enum { MATRIX = 256 };
static int16_t pixels[MATRIX * MATRIX];

static int at_mm(double mm)
{
    return (int)floor((mm + FIELD_MM / 2) * MATRIX / FIELD_MM);
}

/* Share of pixels between lo and hi, of a disc around a point. */
static double share_of(double x_mm, double y_mm, double r_mm, int lo, int hi)
{
    int all = 0, in = 0;
    for (int y = at_mm(y_mm - r_mm); y <= at_mm(y_mm + r_mm); y++) {
        for (int x = at_mm(x_mm - r_mm); x <= at_mm(x_mm + r_mm); x++) {
            const double dx = (x + 0.5) * FIELD_MM / MATRIX - FIELD_MM / 2 - x_mm,
                         dy = (y + 0.5) * FIELD_MM / MATRIX - FIELD_MM / 2 - y_mm;
            if (dx * dx + dy * dy > r_mm * r_mm)
                continue;
            all++;
            in += pixels[y * MATRIX + x] >= lo && pixels[y * MATRIX + x] <= hi;
        }
    }
    return all ? (double)in / all : 0;
}

/* Calls check for the first `want` findings of the kind, drawn on the slice that shows most. */
typedef bool (*wanted)(const wd_ct_finding *f, size_t n);
typedef void (*check)(const wd_ct_finding *f);
static void for_some(wanted is_wanted, int want, check ok)
{
    for (uint64_t seed = 1; want > 0; seed++) {
        assert_true(seed < 3000);
        wd_ct *ct = make(seed, 12, MATRIX);
        size_t n;
        const wd_ct_finding *f = wd_ct_findings(ct, &n);
        for (size_t i = 0; i < n && want > 0; i++) {
            if (!is_wanted(&f[i], n))
                continue;
            assert_ok(wd_ct_draw(ct, f[i].shown[f[i].n_shown / 2], pixels, &err));
            ok(&f[i]);
            want--;
        }
        wd_ct_destroy(ct);
    }
}

static bool large_smooth_solid(const wd_ct_finding *f, size_t n)
{
    (void)n;
    return f->type == WD_CT_NODULE && f->density == WD_CT_SOLID && f->margin == WD_CT_SMOOTH &&
           f->size_mm >= 15;
}

/* The diameter of a disc of as many pixels as are soft tissue, against the section of the ball. */
static void measures_as_said(const wd_ct_finding *f)
{
    const double r = f->size_mm / 2, dz = slice_z(f->shown[0], 12) - f->centre_mm[2],
                 section = 2 * sqrt(r * r - dz * dz), look = r + 1.5,
                 share = share_of(f->centre_mm[0], f->centre_mm[1], look, -400, 3000),
                 measured = 2 * look * sqrt(share);
    if (fabs(measured - section) > 1 || fabs(section - f->size_mm) > 1)
        fail_msg("a %.0f mm nodule has a section of %.2f mm and measures %.2f mm", f->size_mm, section,
                 measured);
    assert_int_equal(f->centre_mm[0] < 0,
                     at_mm(f->centre_mm[0]) < MATRIX / 2); /* the right lung is on the left */
    assert_int_equal(f->centre_mm[0] < 0, f->side == WD_CT_RIGHT);
}

static void a_large_nodule_measures_what_the_truth_says(void **state)
{
    (void)state;
    for_some(large_smooth_solid, 12, measures_as_said);
}

static bool any_nodule(const wd_ct_finding *f, size_t n)
{
    (void)n;
    return f->type == WD_CT_NODULE;
}

static void has_its_density(const wd_ct_finding *f)
{
    const double x = f->centre_mm[0], y = f->centre_mm[1], r = f->size_mm / 2;
    const double core = share_of(x, y, fmax(0.25 * r, 0.8), 400, 1200),
                 soft = share_of(x, y, fmax(0.25 * r, 0.8), -60, 150),
                 glass = share_of(x, y, 0.8 * r, -700, -450), solid_part = share_of(x, y, 0.8 * r, -60, 150);
    switch (f->density) {
    case WD_CT_CALCIFIED:
        assert_true(core > 0.99);
        break;
    case WD_CT_SOLID:
        assert_true(soft > 0.99);
        break;
    case WD_CT_PART_SOLID:
        assert_true(soft > 0.99 && glass > 0.3 && solid_part < 0.6);
        break;
    case WD_CT_GROUND_GLASS:
        assert_true(glass > 0.9 && solid_part < 0.05);
        break;
    }
}

static void densities_are_what_they_are_called(void **state)
{
    (void)state;
    for_some(any_nodule, 60, has_its_density);
}

static bool marked(const wd_ct_finding *f, size_t n)
{
    (void)n;
    return f->type == WD_CT_NODULE && f->density == WD_CT_SOLID && f->size_mm >= 12;
}

/* Spicules reach beyond the body; lobes leave notches within the circle; a ball does neither. */
static void has_its_margin(const wd_ct_finding *f)
{
    const double x = f->centre_mm[0], y = f->centre_mm[1], r = f->size_mm / 2;
    const double within = share_of(x, y, r - 0.5, -300, 3000), beyond = share_of(x, y, r + 3, -500, 3000),
                 ball = r * r / ((r + 3) * (r + 3));
    switch (f->margin) {
    case WD_CT_SMOOTH:
        assert_true(within > 0.97);
        break;
    case WD_CT_LOBULATED:
        assert_true(within < 0.96 && within > 0.6);
        break;
    case WD_CT_SPICULATED:
        assert_true(within > 0.97 && beyond > ball + 0.06);
        break;
    }
}

static void margins_are_what_they_are_called(void **state)
{
    (void)state;
    for_some(marked, 30, has_its_margin);
}

static bool lone_effusion(const wd_ct_finding *f, size_t n)
{
    return f->type == WD_CT_EFFUSION && n == 1;
}

static void is_fluid_on_its_side(const wd_ct_finding *f)
{
    const wd_ct_box *low = &f->box[0];
    const double x = (low->mm[0] + low->mm[2]) / 2;
    assert_int_equal(f->grade, f->depth_mm < 25   ? WD_CT_SMALL
                               : f->depth_mm < 42 ? WD_CT_MODERATE
                                                  : WD_CT_LARGE);
    double most = 0, other = 0; /* a place behind the lung that holds fluid here and air there */
    for (double y = 30; y < 80; y += 2) {
        const double here = share_of(x, y, 3, -40, 60), there = share_of(-x, y, 3, -1000, -600);
        if (there > 0.99 && here > most) {
            most = here;
            other = there;
        }
    }
    assert_true(most > 0.95 && other > 0.95);
}

static void an_effusion_is_fluid_behind_one_lung(void **state)
{
    (void)state;
    for_some(lone_effusion, 9, is_fluid_on_its_side);
}

static bool lone_consolidation(const wd_ct_finding *f, size_t n)
{
    return f->type == WD_CT_CONSOLIDATION && n == 1;
}

static void is_dense_with_air_in_it(const wd_ct_finding *f)
{
    const double r = f->size_mm / 2, x = f->centre_mm[0], y = f->centre_mm[1];
    const double dense = share_of(x, y, 0.45 * r, -250, 150), air = share_of(x, y, 0.6 * r, -1000, -450);
    if (dense < 0.3 || air < 0.03) /* air: the bronchi */
        fail_msg("dense %.2f, air %.2f", dense, air);
}

static void a_consolidation_holds_air_bronchograms(void **state)
{
    (void)state;
    for_some(lone_consolidation, 9, is_dense_with_air_in_it);
}

static bool lone_emphysema(const wd_ct_finding *f, size_t n)
{
    return f->type == WD_CT_EMPHYSEMA && n == 1;
}

static double dark_share(uint64_t seed, uint32_t slice)
{
    wd_ct *ct = make(seed, 12, MATRIX);
    assert_ok(wd_ct_draw(ct, slice, pixels, &err));
    wd_ct_destroy(ct);
    return share_of(-65, 5, 25, -1024, -920) + share_of(65, 5, 25, -1024, -920);
}

static void has_holes(const wd_ct_finding *f)
{
    assert_true(f->centre_mm[2] > 20); /* upper lobes more than the rest */
    assert_true(share_of(-62, 0, 34, -1024, -920) + share_of(62, 0, 34, -1024, -920) > 0.03);
}

static void emphysema_shows_holes_that_clear_lungs_do_not_have(void **state)
{
    (void)state;
    for_some(lone_emphysema, 5, has_holes);
    int clear = 0;
    for (uint64_t seed = 1; clear < 3; seed++) {
        wd_ct *ct = make(seed, 12, MATRIX);
        size_t n;
        (void)wd_ct_findings(ct, &n);
        wd_ct_destroy(ct);
        if (n)
            continue;
        assert_true(dark_share(seed, 8) < 0.002);
        clear++;
    }
}

/* ---- files */

static void slice_numbers_are_those_of_the_product(void **state)
{
    (void)state;
    const wd_ct_opts o = { .seed = 22, .n_slice = 12, .matrix = 64 };
    char *dir = test_make_dir(), series[600];
    const char *paths[1] = { series };
    wd_study *study;
    wd_arena *a = wd_arena_create((size_t)1 << 28, false);
    wd_slices shown;
    wd_ct *ct = make(22, 12, 64);
    int16_t hu[64 * 64];
    snprintf(series, sizeof series, "%s/series", dir);
    assert_ok(wd_ct_make(dir, &o, &err));
    assert_ok(wd_study_open(paths, 1, NULL, &study, &err));
    const wd_slices_opts so = { .windows = "lung" };
    assert_ok(wd_slices_pick(study, &so, a, &shown, &err));
    assert_int_equal(shown.n_picture, 12);
    assert_true(shown.series->is_even && shown.series->by_position);
    assert_true(fabs(shown.series->spacing_mm - 20) < 1e-6);
    for (uint32_t k = 1; k <= 12; k++) {
        wd_dicom *d;
        assert_int_equal(shown.picture[k - 1].slice + 1, k);
        assert_true(fabs(shown.picture[k - 1].info->position[2] - slice_z(k, 12)) < 1e-6);
        assert_ok(wd_study_load_slice(study, shown.series_i, k - 1, &d, &err));
        assert_ok(wd_ct_draw(ct, k, hu, &err));
        for (int i = 0; i < 64 * 64; i++)
            assert_true(wd_dicom_pixels_at(d, 0)->value[i] == hu[i]);
        wd_dicom_close(d);
    }
    wd_ct_destroy(ct);
    wd_arena_destroy(a);
    wd_study_close(study);
    test_rm_dir(dir);
}

static void dciodvfy_finds_no_error(void **state)
{
    (void)state;
    static const wd_ct_opts o[] = { { 3, 8, 64 }, { 1000007, 12, 100 }, { 999999999, 9, 512 } };
    if (!wd_file_exists("/usr/bin/dciodvfy"))
        skip();
    for (size_t i = 0; i < WD_COUNT(o); i++) {
        char *dir = test_make_dir();
        assert_ok(wd_ct_make(dir, &o[i], &err));
        for (uint32_t s = 1; s <= o[i].n_slice; s++) {
            char path[600];
            snprintf(path, sizeof path, "%s/series/slice-%03u.dcm", dir, s);
            const char *const argv[] = { "/usr/bin/dciodvfy", path, NULL };
            test_output out;
            test_run(argv, &out);
            if (out.exit_code || strstr((char *)out.err.p, "Error"))
                fail_msg("%s: %s", path, (char *)out.err.p);
            assert_non_null(strstr((char *)out.err.p, "CTImage")); /* it has read it as what it is */
            test_output_free(&out);
        }
        test_rm_dir(dir);
    }
}

static json_t *read_truth(const char *dir)
{
    char path[600];
    json_t *v = NULL;
    snprintf(path, sizeof path, "%s/truth.json", dir);
    assert_ok(wd_json_read_file(path, 1 << 20, &v, &err));
    return v;
}

static void check_truth_finding(const json_t *v, const wd_ct_finding *f)
{
    const bool nodule = f->type == WD_CT_NODULE;
    const json_t *size = json_object_get(v, "size_mm"), *density = json_object_get(v, "density"), *b;
    size_t i;
    assert_string_equal(json_string_value(json_object_get(v, "type")), wd_ct_type_name(f->type));
    assert_string_equal(json_string_value(json_object_get(v, "side")), wd_ct_side_name(f->side));
    assert_int_equal(json_is_null(json_object_get(v, "lobe")), f->lobe == WD_CT_NO_LOBE);
    assert_int_equal(json_is_null(size), f->size_mm == 0);
    assert_int_equal(json_integer_value(size), (int)f->size_mm);
    assert_int_equal(json_is_string(density), nodule);
    assert_int_equal(json_is_string(json_object_get(v, "grade")), f->type == WD_CT_EFFUSION);
    assert_int_equal(json_array_size(json_object_get(v, "slices")), f->n_slice);
    assert_int_equal(json_array_size(json_object_get(v, "centre_mm")), 3);
    assert_int_equal(json_array_size(json_object_get(v, "boxes")), f->n_box);
    json_array_foreach(json_object_get(v, "boxes"), i, b)
    {
        const json_t *box = json_object_get(b, "box");
        json_int_t p[4];
        for (size_t k = 0; k < 4; k++)
            p[k] = json_integer_value(json_array_get(box, k));
        assert_true(p[0] >= 0 && p[0] < p[2] && p[2] <= 64 && p[1] >= 0 && p[1] < p[3] && p[3] <= 64);
        assert_true(p[0] <= (f->box[i].mm[0] + 180) * 64 / 360 && p[2] >= (f->box[i].mm[2] + 180) * 64 / 360);
    }
    assert_string_equal(json_string_value(json_object_get(json_object_get(v, "text"), "zh")),
                        f->text[WD_CT_ZH]);
}

/* The report and the same in one wording: the same findings in the same places. */
static void check_reports(const json_t *truth, size_t n, const char *language)
{
    const json_t *r = json_object_get(json_object_get(truth, "report"), language),
                 *plain = json_object_get(json_object_get(truth, "plain"), language),
                 *a = json_object_get(r, "findings"), *b = json_object_get(plain, "findings");
    assert_true(json_array_size(a) >= n && json_array_size(b) >= n);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < 3; k++) {
            static const char *const same[] = { "place", "size_mm", "slices" };
            assert_non_null(json_object_get(json_array_get(a, i), same[k]));
            assert_true(json_equal(json_object_get(json_array_get(a, i), same[k]),
                                   json_object_get(json_array_get(b, i), same[k])));
        }
    assert_int_equal(json_array_size(json_object_get(r, "impression")),
                     json_array_size(json_object_get(plain, "impression")));
}

static void the_truth_on_disk_says_what_was_drawn(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        const wd_ct_opts o = { .seed = seed, .n_slice = 8, .matrix = 64 };
        char *dir = test_make_dir();
        wd_ct *ct = make(seed, 8, 64);
        size_t n;
        const wd_ct_finding *f = wd_ct_findings(ct, &n);
        assert_ok(wd_ct_make(dir, &o, &err));
        json_t *v = read_truth(dir), *list = json_object_get(v, "findings");
        assert_string_equal(json_string_value(json_object_get(v, "kind")), "ct");
        assert_int_equal(json_integer_value(json_object_get(v, "seed")), seed);
        assert_int_equal(json_integer_value(json_object_get(v, "slices")), 8);
        assert_int_equal(json_integer_value(json_object_get(v, "matrix")), 64);
        assert_true(json_real_value(json_object_get(v, "spacing_mm")) == 30.0);
        assert_true(json_real_value(json_object_get(v, "field_mm")) == 360.0);
        assert_int_equal(json_array_size(list), n);
        for (size_t i = 0; i < n; i++)
            check_truth_finding(json_array_get(list, i), &f[i]);
        check_reports(v, n, "en");
        check_reports(v, n, "zh");
        json_decref(v);
        wd_ct_destroy(ct);
        test_rm_dir(dir);
    }
}

/* ---- refusals */

static void odd_options_are_refused(void **state)
{
    (void)state;
    static const uint32_t bad[][2] = { { 7, 256 }, { 401, 256 }, { 12, 63 }, { 12, 513 }, { 0, 0 } };
    wd_ct *ct = (wd_ct *)1;
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        const wd_ct_opts o = { .seed = 1, .n_slice = bad[i][0], .matrix = bad[i][1] };
        assert_fails(wd_ct_create(&o, &ct, &err), WD_E_USAGE, "expected 8 to 400 of 64 to 512");
        assert_null(ct);
    }
    int16_t hu[64 * 64];
    ct = make(1, 8, 64);
    assert_fails(wd_ct_draw(ct, 0, hu, &err), WD_E_USAGE, "slice 0, expected 1 to 8");
    assert_fails(wd_ct_draw(ct, 9, hu, &err), WD_E_USAGE, "slice 9, expected 1 to 8");
    wd_ct_destroy(ct);
    wd_ct_destroy(NULL);
}

static void a_place_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    const wd_ct_opts o = { .seed = 1, .n_slice = 8, .matrix = 64 };
    char *dir = test_make_dir(), path[600], *longest = wd_calloc(5000, 1);
    test_write(dir, "file", "x", 1);
    snprintf(path, sizeof path, "%s/file/case", dir);
    assert_fails(wd_ct_make(path, &o, &err), WD_E_NOT_FOUND, "/file/case");
    memset(longest, 'd', 4090);
    assert_fails(wd_ct_make(longest, &o, &err), WD_E_INVALID, "4090 bytes is too long");
    wd_free(longest);
    test_rm_dir(dir);
}

static bool same_truth(const char *path, wd_span want)
{
    wd_buf b = { 0 };
    assert_ok(wd_file_read(path, 1 << 20, &b, &err));
    const bool same = wd_span_eq(wd_buf_view(&b), want);
    wd_buf_free(&b);
    return same;
}

/* Every allocation and write fails once: an error and no truth beside a series that is not whole, or (a failure that
 * can be done without, such as syncing the folder) the whole truth. No leak. */
static void failures_leave_no_half_case(void **state)
{
    (void)state;
    const wd_ct_opts o = { .seed = 22, .n_slice = 8, .matrix = 64 };
    char *whole = test_make_dir(), path[600];
    wd_buf want = { 0 };
    uint32_t failed = 0;
    bool done = false;
    snprintf(path, sizeof path, "%s/truth.json", whole);
    assert_ok(wd_ct_make(whole, &o, &err));
    assert_ok(wd_file_read(path, 1 << 20, &want, &err));
    for (uint64_t n = 1; !done; n += n < 60 ? 1 : 17) {
        char *dir = test_make_dir();
        wd_err err = { 0 };
        snprintf(path, sizeof path, "%s/truth.json", dir);
        wd_inject_failure(0);
        wd_inject_failure(n);
        const wd_status st = wd_ct_make(dir, &o, &err);
        done = wd_inject_failure(0) < n;
        if (st != WD_OK && st != WD_E_NOMEM && st != WD_E_IO)
            fail_msg("at %d: %s: %s", (int)n, wd_status_name(st), err.text);
        assert_int_equal(wd_file_exists(path), st == WD_OK);
        assert_true(st || same_truth(path, wd_buf_view(&want)));
        failed += st != WD_OK;
        test_rm_dir(dir);
    }
    assert_in_range(failed, 50, 100000);
    wd_buf_free(&want);
    test_rm_dir(whole);
}

int main(void)
{
    wd_err err;
    wd_json_use_our_memory();
    if (wd_sandbox_start(&err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_is_the_same_bytes_everywhere),
        cmocka_unit_test(two_runs_write_the_same_files),
        cmocka_unit_test(cases_follow_the_documented_distribution),
        cmocka_unit_test(dense_series_hold_the_same_rules),
        cmocka_unit_test(a_large_nodule_measures_what_the_truth_says),
        cmocka_unit_test(densities_are_what_they_are_called),
        cmocka_unit_test(margins_are_what_they_are_called),
        cmocka_unit_test(an_effusion_is_fluid_behind_one_lung),
        cmocka_unit_test(a_consolidation_holds_air_bronchograms),
        cmocka_unit_test(emphysema_shows_holes_that_clear_lungs_do_not_have),
        cmocka_unit_test(slice_numbers_are_those_of_the_product),
        cmocka_unit_test(dciodvfy_finds_no_error),
        cmocka_unit_test(the_truth_on_disk_says_what_was_drawn),
        cmocka_unit_test(odd_options_are_refused),
        cmocka_unit_test(a_place_that_cannot_be_written_is_named),
        cmocka_unit_test(failures_leave_no_half_case),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wd_sandbox_stop();
    return failed;
}
