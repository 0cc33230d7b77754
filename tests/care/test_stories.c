/* The stories on a phantom series, with a scripted engine: which slices are asked about, what becomes of the reply. */
#include "support/scripted.h"
#include "support/test.h"

#include <stdio.h>

#include "base/file.h"
#include "care/find.h"
#include "care/phantom/ct.h"
#include "care/report.h"
#include "media/sandbox.h"

static char *dir;
static wd_arena *arena;
static wd_study *study;
static wd_ct *ct;
static const wd_ct_finding *nodule;
static char prompt_en[600];

static wd_report_opts report_opts(void)
{
    return (wd_report_opts){
        .slices = { .n_slice = 4, .windows = "lung,mediastinum" },
        .ask = { .prompt_path = prompt_en, .language = "en", .model_digest = "00" },
        .question = "cough",
    };
}

static void the_series_is_in_order_and_shows_a_nodule_where_the_truth_says(void **state)
{
    (void)state;
    assert_int_equal(wd_study_n_series(study), 1);
    const wd_series *s = wd_study_series(study, 0);
    assert_int_equal(s->n_slice, 24);
    assert_true(s->by_position && s->is_even && s->spacing_mm > 9.99 && s->spacing_mm < 10.01);
    const uint32_t mid = nodule->slice[nodule->n_slice / 2] - 1;
    const wd_slice *info = wd_study_slice(study, 0, mid);
    wd_dicom *d;
    assert_ok(wd_study_load_slice(study, 0, mid, &d, &err));
    const wd_dicom_pixels *p = wd_dicom_pixels_at(d, 0);
    const uint32_t x = (uint32_t)((nodule->centre_mm[0] - info->position[0]) / info->spacing[1]),
                   y = (uint32_t)((nodule->centre_mm[1] - info->position[1]) / info->spacing[0]);
    const float hu = p->value[y * p->cols + x];
    assert_true(hu > -60 && hu < 130); /* soft tissue, not lung */
    wd_dicom_close(d);
}

static void report_shows_even_slices_and_keeps_their_evidence(void **state)
{
    (void)state;
    static const char *const reply[] = {
        "{\"findings\": [{\"text\": \"Nodule.\", \"place\": \"left lung\", \"size_mm\": 12, "
        "\"slices\": [4, 5]}], \"impression\": [\"Nodule\"]}"
    };
    static scripted e;
    scripted_init(&e, reply, 1);
    const wd_report_opts o = report_opts();
    wd_report r;
    assert_ok(wd_report_make(&e.engine, study, &o, arena, &r, &err));
    assert_int_equal(e.n_image, 8); /* 4 slices through 2 windows */
    assert_non_null(strstr(e.prompt, "Slice 4 (lung): [image]Slice 4 (mediastinum): [image]"));
    assert_non_null(strstr(e.prompt, "Clinical question: cough"));
    assert_null(strstr(e.prompt, "PHANTOM")); /* no patient in a prompt */
    assert_null(strstr(e.prompt, "Phantom^"));
    assert_true(r.parsed);
    assert_int_equal(r.finding[0].n_slice, 1); /* 4 was shown, 5 was not */
    assert_int_equal(r.n_dropped_slices, 1);

    json_t *v = wd_report_json(&r);
    assert_string_equal(json_string_value(json_object_get(v, "status")), "DRAFT");
    assert_int_equal(json_array_size(json_object_get(v, "shown")), 8);
    assert_true(json_is_true(json_object_get(v, "parsed")));
    json_decref(v);
    wd_buf md = { 0 };
    wd_report_markdown(&r, &md);
    assert_non_null(strstr((char *)md.p, "DRAFT"));
    assert_non_null(strstr((char *)md.p, "- Nodule. [left lung] (12 mm) (slice 4)"));
    wd_buf_free(&md);
}

static void a_reply_that_is_no_report_is_kept_raw_and_said_to_be_so(void **state)
{
    (void)state;
    static const char *const reply[] = { "I see lungs." };
    static scripted e;
    scripted_init(&e, reply, 1);
    const wd_report_opts o = report_opts();
    wd_report r;
    assert_ok(wd_report_make(&e.engine, study, &o, arena, &r, &err));
    assert_false(r.parsed);
    assert_string_equal(r.raw, "I see lungs.");
    wd_buf md = { 0 };
    wd_report_markdown(&r, &md);
    assert_non_null(strstr((char *)md.p, "could not be read as a report"));
    assert_non_null(strstr((char *)md.p, "I see lungs."));
    assert_non_null(strstr((char *)md.p, "DRAFT"));
    wd_buf_free(&md);
}

static void an_engine_failure_is_passed_on(void **state)
{
    (void)state;
    static const char *const reply[] = { "" };
    static scripted e;
    scripted_init(&e, reply, 1);
    e.fail = WD_E_CANCELLED;
    const wd_report_opts o = report_opts();
    wd_report r;
    assert_fails(wd_report_make(&e.engine, study, &o, arena, &r, &err), WD_E_CANCELLED, "scripted failure");
}

static double brightness(const wd_image *im, const wd_slice *info, double x_mm, double y_mm)
{
    const uint32_t x = (uint32_t)((x_mm - info->position[0]) / info->spacing[1]),
                   y = (uint32_t)((y_mm - info->position[1]) / info->spacing[0]);
    return im->rgb[((size_t)y * im->width + x) * 3] / 255.0;
}

/* Scores a picture by how much brighter the spot where the nodule is than what is around it: the right slices must
 * come first. */
static double score_spot(void *ctx, const wd_rerank_pair *pair)
{
    const wd_slice *info = ctx;
    const wd_image *im = pair->document.media.image;
    const double x = nodule->centre_mm[0], y = nodule->centre_mm[1], r = nodule->size_mm / 2 + 3;
    const double around = brightness(im, info, x - r, y) + brightness(im, info, x + r, y) +
                          brightness(im, info, x, y - r) + brightness(im, info, x, y + r);
    return brightness(im, info, x, y) - around / 4;
}

static void find_ranks_every_slice_best_first(void **state)
{
    (void)state;
    static scripted e;
    scripted_init(&e, NULL, 0);
    e.score = score_spot;
    e.ctx = (void *)(uintptr_t)wd_study_slice(study, 0, 0);
    const wd_find_opts o = { .slices = { .windows = "lung" } };
    wd_find f;
    assert_ok(wd_find_slices(&e.engine, study, "A nodule.", &o, arena, &f, &err));
    assert_int_equal(e.n_asked, 24);
    assert_int_equal(f.n_slice, 24);
    for (uint32_t i = 1; i < f.n_slice; i++)
        assert_true(f.slice[i - 1].score >= f.slice[i].score);
    assert_in_range(f.slice[0].picture->slice + 1, nodule->slice[0], nodule->slice[nodule->n_slice - 1]);
    assert_fails(wd_find_slices(&e.engine, study, " \n", &o, arena, &f, &err), WD_E_INVALID,
                 "sentence is empty");
}

static void rules_choose_what_they_say(void **state)
{
    (void)state;
    wd_slices s;
    wd_slices_opts o = { .rule = "5-8", .windows = "lung" };
    assert_ok(wd_slices_pick(study, &o, arena, &s, &err));
    assert_int_equal(s.n_picture, 4);
    assert_int_equal(s.picture[0].slice, 4);
    assert_int_equal(s.picture[3].slice, 7);
    o = (wd_slices_opts){ .n_slice = 1, .windows = "lung" };
    assert_ok(wd_slices_pick(study, &o, arena, &s, &err));
    assert_int_equal(s.picture[0].slice, 12); /* the middle one, not the first */
    o = (wd_slices_opts){ .rule = "20-30" };
    assert_fails(wd_slices_pick(study, &o, arena, &s, &err), WD_E_USAGE, "expected a range within 1-24");
    o = (wd_slices_opts){ .rule = "some" };
    assert_fails(wd_slices_pick(study, &o, arena, &s, &err), WD_E_USAGE, "expected even, all, or a range");
    o = (wd_slices_opts){ .windows = "lungs" };
    assert_fails(wd_slices_pick(study, &o, arena, &s, &err), WD_E_USAGE, "lungs");
    o = (wd_slices_opts){ .series = "9" };
    assert_fails(wd_slices_pick(study, &o, arena, &s, &err), WD_E_NOT_FOUND, "no series 9, but 1");
}

/* The first case whose one finding is a smooth solid nodule of some size. */
static wd_status some_nodule(wd_err *err)
{
    for (wd_ct_opts o = { .n_slice = 24, .matrix = 128 };; o.seed++) {
        WD_TRY(wd_ct_create(&o, &ct, err));
        size_t n;
        nodule = wd_ct_findings(ct, &n);
        if (n == 1 && nodule->type == WD_CT_NODULE && nodule->density == WD_CT_SOLID && nodule->size_mm > 15)
            return WD_OK;
        wd_ct_destroy(ct);
    }
}

static int set_up(void **state)
{
    (void)state;
    wd_err err;
    dir = test_make_dir();
    arena = wd_arena_create((size_t)1 << 30, false);
    const char *paths[1] = { dir };
    snprintf(prompt_en, sizeof prompt_en, "%s/../prompts/report.en.txt", test_data_dir());
    return some_nodule(&err) || wd_ct_write(ct, dir, &err) || wd_study_open(paths, 1, NULL, &study, &err) ? -1
                                                                                                          : 0;
}

static int tear_down(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
    wd_study_close(study);
    wd_ct_destroy(ct);
    test_rm_dir(dir);
    return 0;
}

int main(void)
{
    wd_err err;
    if (wd_sandbox_start(&err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_series_is_in_order_and_shows_a_nodule_where_the_truth_says),
        cmocka_unit_test(report_shows_even_slices_and_keeps_their_evidence),
        cmocka_unit_test(a_reply_that_is_no_report_is_kept_raw_and_said_to_be_so),
        cmocka_unit_test(an_engine_failure_is_passed_on),
        cmocka_unit_test(find_ranks_every_slice_best_first),
        cmocka_unit_test(rules_choose_what_they_say),
    };
    const int failed = cmocka_run_group_tests(tests, set_up, tear_down);
    wd_sandbox_stop();
    return failed;
}
