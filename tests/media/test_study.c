/* Studies: grouping, order, what is skipped and what is refused. */
#include "support/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>

#include "base/file.h"
#include "media/dicom_write.h"
#include "media/png_write.h"
#include "media/sandbox.h"
#include "media/study.h"

#define DICOMDIRS "/usr/lib/python3/dist-packages/pydicom/data/test_files/dicomdirtests"

typedef struct ct {
    const char *series, *patient;
    int instance;
    double z;
    int hu; /* of every pixel: tells which slice it is */
} ct;

static void bytes_of(const ct *c, wd_buf *out)
{
    int16_t hu[4 * 4];
    char uid[64], series[64];
    for (int i = 0; i < 16; i++)
        hu[i] = (int16_t)c->hu;
    snprintf(series, sizeof series, "2.25.7.%s", c->series);
    snprintf(uid, sizeof uid, "2.25.8.%s.%d", c->series, c->hu + 2000);
    const wd_dicom_ct one = { .study_uid = "2.25.9",
                              .series_uid = series,
                              .sop_instance_uid = uid,
                              .frame_of_reference_uid = "2.25.6",
                              .patient_name = "Invented",
                              .patient_id = c->patient ? c->patient : "P1",
                              .date = "20260101",
                              .time = "000000",
                              .series_number = c->series[0] - '0',
                              .instance_number = c->instance,
                              .rows = 4,
                              .cols = 4,
                              .hu = hu,
                              .position = { 0, 0, c->z },
                              .orientation = { 1, 0, 0, 0, 1, 0 },
                              .spacing = { 1, 1 },
                              .thickness = 2 };
    assert_ok(wd_dicom_write_ct(&one, out, &err));
}

static void put(const char *dir, const char *name, ct c)
{
    wd_buf b = { 0 };
    bytes_of(&c, &b);
    test_write(dir, name, b.p, b.n);
    wd_buf_free(&b);
}

static wd_study *open_one(const char *path)
{
    wd_study *s = NULL;
    assert_ok(wd_study_open(&path, 1, NULL, &s, &err));
    return s;
}

/* The HU of all pixels of a slice. */
static int value_of(const wd_study *s, size_t series, size_t slice)
{
    wd_dicom *d = NULL;
    assert_ok(wd_study_load_slice(s, series, slice, &d, &err));
    assert_int_equal(wd_dicom_n_pixels(d), 1);
    const int v = (int)wd_dicom_pixels_at(d, 0)->value[5];
    wd_dicom_close(d);
    return v;
}

static void slices_are_sorted_by_position_and_series_by_number(void **state)
{
    (void)state;
    char *dir = test_make_dir(), sub[600];
    put(dir, "a", (ct){ "2", 0, 3, -10, 1 });
    put(dir, "b", (ct){ "1", 0, 1, 5, 100 });
    put(dir, "c", (ct){ "2", 0, 1, 30.5, 3 });
    put(dir, "d", (ct){ "2", 0, 2, 10, 2 });
    snprintf(sub, sizeof sub, "%s/deep", dir);
    assert_int_equal(mkdir(sub, 0700), 0);
    put(sub, "e", (ct){ "2", 0, 9, -30, 0 });
    wd_study *s = open_one(dir);
    assert_int_equal(wd_study_n_series(s), 2);
    assert_int_equal(wd_study_series(s, 0)->number, 1);
    const wd_series *r = wd_study_series(s, 1);
    assert_int_equal(r->n_slice, 4);
    assert_true(r->by_position && r->n_orientation == 1 && !r->is_plain && r->rows == 4);
    assert_true(r->spacing_mm == 20 && r->is_even); /* 20, 20, 20.5 */
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(value_of(s, 1, i), i);
    assert_true(wd_study_slice(s, 1, 0)->along_mm == -30);
    assert_null(wd_study_slice(s, 1, 4));
    wd_dicom *d = NULL;
    assert_fails(wd_study_load_slice(s, 1, 4, &d, &err), WD_E_INVALID, "no slice 5 in series 2");
    wd_study_close(s);
    test_rm_dir(dir);
}

static void missing_slice_makes_the_series_uneven(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    put(dir, "a", (ct){ "1", 0, 1, 0, 0 });
    put(dir, "b", (ct){ "1", 0, 2, 2, 1 });
    put(dir, "c", (ct){ "1", 0, 3, 4, 2 });
    put(dir, "d", (ct){ "1", 0, 4, 8, 3 });
    wd_study *s = open_one(dir);
    assert_true(wd_study_series(s, 0)->spacing_mm == 2);
    assert_false(wd_study_series(s, 0)->is_even);
    wd_study_close(s);
    test_rm_dir(dir);
}

static void same_position_is_sorted_by_instance_number(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    put(dir, "a", (ct){ "1", 0, 12, 0.0001, 2 });
    put(dir, "b", (ct){ "1", 0, 3, 0, 0 });
    put(dir, "c", (ct){ "1", 0, 7, 0.0002, 1 });
    wd_study *s = open_one(dir);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(value_of(s, 0, i), i);
    wd_study_close(s);
    test_rm_dir(dir);
}

static void frames_become_slices_in_order_of_position(void **state)
{
    (void)state;
    char path[600];
    snprintf(path, sizeof path, "%s/golden/dicom/enhanced.dcm", test_data_dir());
    wd_study *s = open_one(path);
    const wd_study_counts *c = wd_study_counts_of(s);
    assert_int_equal(c->n_image, 1);
    assert_int_equal(c->n_slice, 3);
    static const uint32_t frames[] = { 1, 2, 0 }; /* at 0, 10, 20 mm */
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(wd_study_slice(s, 0, i)->frame, frames[i]);
        assert_int_equal(wd_study_slice(s, 0, i)->n_frame, 3);
        assert_int_equal(value_of(s, 0, i), (100 * frames[i] + 5 * 37) * (frames[i] + 1) - 10 * frames[i]);
    }
    wd_study_close(s);
}

static void other_things_are_counted_and_skipped(void **state)
{
    (void)state;
    char *dir = test_make_dir(), path[600];
    wd_buf b = { 0 };
    put(dir, "a.dcm", (ct){ "1", 0, 1, 0, 0 });
    put(dir, "copy of a.dcm", (ct){ "1", 0, 1, 0, 0 });
    test_write(dir, "README.txt", "not DICOM", 9);
    bytes_of(&(ct){ "1", 0, 2, 5, 1 }, &b);
    test_write(dir, "cut.dcm", b.p, 300);
    wd_buf_clear(&b);
    snprintf(path, sizeof path, "%s/golden/dicom/charset_utf8.dcm", test_data_dir());
    assert_ok(wd_file_read(path, 1 << 20, &b, &err));
    for (size_t i = 0; i + 5 < b.n; i++) /* the same patient as the others */
        if (memcmp(b.p + i, "INV-1", 5) == 0)
            memcpy(b.p + i, "P1   ", 5);
    test_write(dir, "report.dcm", b.p, b.n);
    wd_study *s = open_one(dir);
    const wd_study_counts *c = wd_study_counts_of(s);
    assert_int_equal(c->n_file, 5);
    assert_int_equal(c->n_image, 1);
    assert_int_equal(c->n_duplicate, 1);
    assert_int_equal(c->n_not_dicom, 1);
    assert_int_equal(c->n_broken, 1);
    assert_int_equal(c->n_not_image, 1);
    assert_non_null(strstr(c->first_broken, "cut.dcm: "));
    wd_study_close(s);
    wd_buf_free(&b);
    test_rm_dir(dir);
}

static void patients_are_not_mixed_and_not_named(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    wd_study *s = NULL;
    wd_err why = { 0 };
    put(dir, "a", (ct){ "1", "SECRET-1", 1, 0, 0 });
    put(dir, "b", (ct){ "2", "SECRET-2", 1, 0, 1 });
    const char *path = dir;
    assert_int_equal(wd_study_open(&path, 1, NULL, &s, &why), WD_E_INVALID);
    assert_null(s);
    assert_non_null(strstr(why.text, "objects of more than one patient"));
    assert_null(strstr(why.text, "SECRET"));
    test_rm_dir(dir);
}

static void nothing_to_see_is_an_error_that_says_why(void **state)
{
    (void)state;
    char *dir = test_make_dir(), missing[600];
    wd_study *s = NULL;
    const char *path = dir;
    assert_fails(wd_study_open(&path, 1, NULL, &s, &err), WD_E_NOT_FOUND, "holds no DICOM image; of 0 files");
    test_write(dir, "a.txt", "text", 4);
    assert_fails(wd_study_open(&path, 1, NULL, &s, &err), WD_E_NOT_FOUND, "of 1 files 1 are no DICOM");
    snprintf(missing, sizeof missing, "%s/a.txt", dir);
    path = missing;
    assert_fails(wd_study_open(&path, 1, NULL, &s, &err), WD_E_UNSUPPORTED, "a.txt: not a DICOM file");
    snprintf(missing, sizeof missing, "%s/none", dir);
    assert_fails(wd_study_open(&path, 1, NULL, &s, &err), WD_E_NOT_FOUND, "none: no such file");
    assert_fails(wd_study_open(&path, 0, NULL, &s, &err), WD_E_USAGE, "none was given");
    assert_null(s);
    test_rm_dir(dir);
}

static void limits_hold(void **state)
{
    (void)state;
    char *dir = test_make_dir(), deep[600];
    wd_study *s = NULL;
    wd_study_opts o = WD_STUDY_OPTS_DEFAULT;
    const char *path = dir;
    put(dir, "a", (ct){ "1", 0, 1, 0, 0 });
    put(dir, "b", (ct){ "1", 0, 2, 1, 1 });
    o.max_files = 1;
    assert_fails(wd_study_open(&path, 1, &o, &s, &err), WD_E_LIMIT, "more than 1 files");
    o = WD_STUDY_OPTS_DEFAULT;
    o.max_slices = 1;
    assert_fails(wd_study_open(&path, 1, &o, &s, &err), WD_E_LIMIT, "more than 1 slices");
    o = WD_STUDY_OPTS_DEFAULT;
    o.max_file_bytes = 100;
    assert_fails(wd_study_open(&path, 1, &o, &s, &err), WD_E_LIMIT, "at most 100 are read");
    snprintf(deep, sizeof deep, "%s/x", dir);
    assert_int_equal(mkdir(deep, 0700), 0);
    o = WD_STUDY_OPTS_DEFAULT;
    o.max_depth = 1;
    assert_fails(wd_study_open(&path, 1, &o, &s, &err), WD_E_LIMIT, "nested more than 1 deep");
    static const atomic_bool yes = true;
    o = WD_STUDY_OPTS_DEFAULT;
    o.cancel = &yes;
    assert_fails(wd_study_open(&path, 1, &o, &s, &err), WD_E_CANCELLED, "cancelled");
    test_rm_dir(dir);
}

static void links_that_go_round_are_not_followed(void **state)
{
    (void)state;
    char *dir = test_make_dir(), link[600];
    put(dir, "a", (ct){ "1", 0, 1, 0, 0 });
    snprintf(link, sizeof link, "%s/loop", dir);
    assert_int_equal(symlink(dir, link), 0);
    wd_study *s = open_one(dir);
    assert_int_equal(wd_study_counts_of(s)->n_file, 1);
    wd_study_close(s);
    test_rm_dir(dir);
}

static void zip_entry(struct archive *a, const char *name, const void *p, size_t n)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, name);
    archive_entry_set_size(e, (int64_t)n);
    archive_entry_set_filetype(e, AE_IFREG);
    archive_entry_set_perm(e, 0600);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    assert_int_equal(archive_write_data(a, p, n), n);
    archive_entry_free(e);
}

static void zip_is_a_study_too(void **state)
{
    (void)state;
    char *dir = test_make_dir(), path[600];
    struct archive *a = archive_write_new();
    snprintf(path, sizeof path, "%s/study.zip", dir);
    archive_write_set_format_zip(a);
    assert_int_equal(archive_write_open_filename(a, path), ARCHIVE_OK);
    for (int i = 0; i < 6; i++) {
        wd_buf b = { 0 };
        char name[32];
        bytes_of(&(ct){ "1", 0, i, 50 - i, i }, &b);
        snprintf(name, sizeof name, "IM/%d", i);
        zip_entry(a, name, b.p, b.n);
        wd_buf_free(&b);
    }
    zip_entry(a, "notes.txt", "x", 1);
    archive_write_free(a);
    wd_study *s = open_one(path);
    assert_int_equal(wd_study_series(s, 0)->n_slice, 6);
    assert_int_equal(wd_study_counts_of(s)->n_not_dicom, 1);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(value_of(s, 0, i), 5 - i);
    assert_non_null(strstr(wd_study_slice(s, 0, 0)->source, "study.zip: IM/5"));
    wd_study_close(s);
    test_rm_dir(dir);
}

static void list_of_files_is_a_study_and_each_must_be_good(void **state)
{
    (void)state;
    char *dir = test_make_dir(), p[3][600];
    wd_study *s = NULL;
    put(dir, "a", (ct){ "1", 0, 1, 3, 1 });
    put(dir, "b", (ct){ "1", 0, 2, 2, 0 });
    test_write(dir, "c", "text", 4);
    for (int i = 0; i < 3; i++)
        snprintf(p[i], sizeof p[i], "%s/%c", dir, 'a' + i);
    const char *const two[] = { p[0], p[1] }, *const three[] = { p[0], p[1], p[2] };
    assert_ok(wd_study_open(two, 2, NULL, &s, &err));
    assert_int_equal(value_of(s, 0, 0), 0);
    wd_study_close(s);
    assert_fails(wd_study_open(three, 3, NULL, &s, &err), WD_E_UNSUPPORTED, "/c: not a DICOM file");
    test_rm_dir(dir);
}

static void localizers_are_a_series_of_their_own(void **state)
{
    (void)state;
    if (!wd_file_is_dir(DICOMDIRS "/98892001"))
        skip();
    wd_study *s = open_one(DICOMDIRS "/98892001");
    const wd_study_counts *c = wd_study_counts_of(s);
    assert_int_equal(c->n_image, 7);
    assert_int_equal(c->n_localizer, 2);
    assert_int_equal(wd_study_n_series(s), 2);
    assert_false(wd_study_series(s, 0)->is_localizer);
    assert_true(wd_study_series(s, 1)->is_localizer); /* last, though its number is smaller */
    assert_int_equal(wd_study_series(s, 1)->n_orientation, 2);
    assert_true(wd_study_series(s, 0)->is_even);
    wd_study_close(s);
}

static void changed_file_is_noticed(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    wd_dicom *d = NULL;
    put(dir, "a", (ct){ "1", 0, 1, 0, 1 });
    wd_study *s = open_one(dir);
    put(dir, "a", (ct){ "1", 0, 1, 0, 2 });
    assert_fails(wd_study_load_slice(s, 0, 0, &d, &err), WD_E_CORRUPT,
                 "another object than when the study was opened");
    assert_null(d);
    wd_study_close(s);
    test_rm_dir(dir);
}

static void pictures_are_a_series_in_order_of_names(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    static const char *const names[] = { "img10.png", "img2.png", "img1.png" };
    for (int k = 0; k < 3; k++) {
        uint8_t rgb[3 * 2 * 3];
        wd_buf png = { 0 };
        memset(rgb, 10 * k, sizeof rgb);
        const wd_image im = { .rgb = rgb, .width = 3, .height = 2 };
        assert_ok(wd_png_write(&im, &png, &err));
        test_write(dir, names[k], png.p, png.n);
        wd_buf_free(&png);
    }
    test_write(dir, "bad.png", "\x89PNG\r\n\x1a\n....", 12);
    wd_study *s = open_one(dir);
    assert_true(wd_study_series(s, 0)->is_plain);
    assert_int_equal(wd_study_series(s, 0)->n_slice, 3);
    assert_int_equal(wd_study_counts_of(s)->n_broken, 1);
    assert_int_equal(wd_study_counts_of(s)->n_not_dicom, 0);
    for (int k = 0; k < 3; k++) {
        wd_dicom *d = NULL;
        wd_image im = { 0 };
        assert_ok(wd_study_load_slice(s, 0, (size_t)k, &d, &err));
        assert_ok(wd_dicom_render(d, 0, NULL, &im, NULL, &err));
        assert_int_equal(im.width, 3);
        assert_int_equal(im.rgb[4], 20 - 10 * k);
        wd_image_free(&im);
        wd_dicom_close(d);
    }
    wd_study_close(s);
    put(dir, "z", (ct){ "1", 0, 1, 0, 1 }); /* with DICOM beside them they are no study */
    s = open_one(dir);
    assert_false(wd_study_series(s, 0)->is_plain);
    assert_int_equal(wd_study_counts_of(s)->n_not_dicom, 4);
    wd_study_close(s);
    test_rm_dir(dir);
}

static void *load_all(void *arg)
{
    const wd_study *s = arg;
    uintptr_t wrong = 0;
    for (size_t i = 0; i < 20; i++) {
        wd_dicom *d = NULL;
        if (wd_study_load_slice(s, 0, i, &d, NULL) != WD_OK || wd_dicom_pixels_at(d, 0)->value[0] != (float)i)
            wrong++;
        wd_dicom_close(d);
    }
    return (void *)wrong; /* NOLINT */
}

static void slices_load_in_several_threads(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        put(dir, name, (ct){ "1", 0, i, i, i });
    }
    wd_study *s = open_one(dir);
    pthread_t t[3];
    for (size_t i = 0; i < WD_COUNT(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, load_all, s), 0);
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        void *wrong = NULL;
        pthread_join(t[i], &wrong);
        assert_null(wrong);
    }
    wd_study_close(s);
    test_rm_dir(dir);
}

static void failed_allocations_and_reads_are_errors(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    const char *path = dir;
    bool done = false;
    put(dir, "a", (ct){ "1", 0, 1, 0, 0 });
    put(dir, "b", (ct){ "1", 0, 2, 1, 1 });
    for (uint64_t n = 1; !done; n++) {
        wd_study *s = NULL;
        wd_dicom *d = NULL;
        wd_err err = { 0 };
        wd_inject_failure(0);
        wd_inject_failure(n);
        wd_status st = wd_study_open(&path, 1, NULL, &s, &err);
        const bool partial = st == WD_OK &&
                             wd_study_counts_of(s)->n_broken > 0; /* a file that could not be opened */
        if (st == WD_OK)
            st = wd_study_load_slice(s, 0, 0, &d, &err);
        done = wd_inject_failure(0) < n;
        if (st == WD_OK && !done && !partial)
            fail_msg("failure %u was not noticed", (unsigned)n);
        wd_dicom_close(d);
        wd_study_close(s);
        assert_true(n < 5000);
    }
    test_rm_dir(dir);
}

static int start(void **state)
{
    (void)state;
    wd_err err;
    return wd_sandbox_start(&err) != WD_OK;
}

static int stop(void **state)
{
    (void)state;
    wd_sandbox_stop();
    return 0;
}

static void open_file_is_a_study_under_the_name_given(void **state)
{
    (void)state;
    wd_buf one = { 0 };
    wd_study *s = NULL;
    bytes_of(&(ct){ "1", NULL, 1, 0, 77 }, &one);
    wd_err e = { 0 };
    int fd = wd_sandbox_memfd("part 3", wd_buf_view(&one), &e);
    assert_true(fd >= 0);
    assert_ok(wd_study_open_fd("part 3", fd, NULL, &s, &err));
    assert_int_equal(wd_study_n_series(s), 1);
    assert_string_equal(wd_study_slice(s, 0, 0)->source, "part 3");
    assert_int_equal(value_of(s, 0, 0), 77);
    assert_int_equal(value_of(s, 0, 0), 77); /* again: nothing depends on where reading stopped */
    wd_study_close(s);
    close(fd);
    fd = wd_sandbox_memfd("part 3", WD_SPAN_LIT("\x89PNG\r\n\x1a\n and what follows"), &e);
    assert_fails(wd_study_open_fd("part 3", fd, NULL, &s, &err), WD_E_UNSUPPORTED, "part 3");
    close(fd);
    wd_buf_free(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slices_are_sorted_by_position_and_series_by_number),
        cmocka_unit_test(missing_slice_makes_the_series_uneven),
        cmocka_unit_test(same_position_is_sorted_by_instance_number),
        cmocka_unit_test(frames_become_slices_in_order_of_position),
        cmocka_unit_test(other_things_are_counted_and_skipped),
        cmocka_unit_test(patients_are_not_mixed_and_not_named),
        cmocka_unit_test(nothing_to_see_is_an_error_that_says_why),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(links_that_go_round_are_not_followed),
        cmocka_unit_test(zip_is_a_study_too),
        cmocka_unit_test(list_of_files_is_a_study_and_each_must_be_good),
        cmocka_unit_test(localizers_are_a_series_of_their_own),
        cmocka_unit_test(changed_file_is_noticed),
        cmocka_unit_test(open_file_is_a_study_under_the_name_given),
        cmocka_unit_test(pictures_are_a_series_in_order_of_names),
        cmocka_unit_test(slices_load_in_several_threads),
        cmocka_unit_test(failed_allocations_and_reads_are_errors),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
