/* Writing a CT image: what is written is read back, and dciodvfy (dicom3tools) has nothing to say against it. */
#include "support/test.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "media/dicom.h"
#include "media/dicom_write.h"
#include "media/sandbox.h"

enum { ROWS = 5, COLS = 7 };

static int16_t hu[ROWS * COLS];

static wd_dicom_ct good(void)
{
    for (int i = 0; i < ROWS * COLS; i++)
        hu[i] = (int16_t)(i * 100 - 1024);
    hu[ROWS * COLS - 1] = 32767;
    return (wd_dicom_ct){ .study_uid = "2.25.1",
                          .series_uid = "2.25.2",
                          .sop_instance_uid = "2.25.3",
                          .frame_of_reference_uid = "2.25.4",
                          .patient_name = "Phantom^Öne",
                          .patient_id = "DEMO-1",
                          .study_description = "胸部 CT",
                          .series_description = "Chest",
                          .date = "20260131",
                          .time = "120000",
                          .body_part = "CHEST",
                          .series_number = 2,
                          .instance_number = 7,
                          .rows = ROWS,
                          .cols = COLS,
                          .hu = hu,
                          .position = { -1.0 / 3, 1e-9, 12345.678901234 },
                          .orientation = { 1, 0, 0, 0, 1, 0 },
                          .spacing = { 0.7, 0.65 },
                          .thickness = 1.25,
                          .window_center = -600,
                          .window_width = 1500 };
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    const wd_dicom_ct ct = good();
    const wd_dicom_want want = { .pixels = true };
    wd_buf b = { 0 };
    wd_dicom *d = NULL;
    assert_ok(wd_dicom_write_ct(&ct, &b, &err));
    const wd_dicom_source src = { .what = "ct", .fd = -1, .bytes = wd_buf_view(&b) };
    assert_ok(wd_dicom_read(&src, &want, &d, &err));
    const wd_dicom_info *i = wd_dicom_info_of(d);
    const wd_dicom_frame *f = wd_dicom_frame_at(d, 0);
    assert_string_equal(i->sop_instance_uid, "2.25.3");
    assert_string_equal(i->study_description, "胸部 CT");
    assert_string_equal(i->body_part, "CHEST");
    assert_int_equal(i->series_number, 2);
    assert_int_equal(i->instance_number, 7);
    for (int k = 0; k < ROWS * COLS; k++)
        assert_true(wd_dicom_pixels_at(d, 0)->value[k] == hu[k]);
    for (int k = 0; k < 3; k++)
        assert_true(f->position[k] - ct.position[k] < 1e-6 && ct.position[k] - f->position[k] < 1e-6);
    assert_memory_equal(f->orientation, ct.orientation, sizeof ct.orientation);
    assert_memory_equal(f->spacing, ct.spacing, sizeof ct.spacing);
    assert_true(f->thickness == 1.25 && f->n_window == 1 && f->windows[0].w.center == -600);
    assert_string_equal(f->rescale_type, "HU");
    wd_dicom_close(d);
    wd_buf_free(&b);
}

static void same_image_is_the_same_bytes(void **state)
{
    (void)state;
    const wd_dicom_ct ct = good();
    wd_buf a = { 0 }, b = { 0 };
    assert_ok(wd_dicom_write_ct(&ct, &a, &err));
    assert_ok(wd_dicom_write_ct(&ct, &b, &err));
    assert_true(wd_span_eq(wd_buf_view(&a), wd_buf_view(&b)));
    wd_buf_free(&a);
    wd_buf_free(&b);
}

static void unwritable_images_are_refused(void **state)
{
    (void)state;
    wd_buf b = { 0 };
    wd_dicom_ct ct = good();
    ct.series_uid = "2.25.x";
    assert_fails(wd_dicom_write_ct(&ct, &b, &err), WD_E_INVALID, "Series Instance UID");
    ct = good();
    ct.spacing[1] = 0;
    assert_fails(wd_dicom_write_ct(&ct, &b, &err), WD_E_INVALID, "pixel spacing");
    ct = good();
    hu[3] = -1025;
    assert_fails(wd_dicom_write_ct(&ct, &b, &err), WD_E_INVALID, "-1025 HU");
    ct = good();
    ct.rows = 0;
    assert_fails(wd_dicom_write_ct(&ct, &b, &err), WD_E_INVALID, "7 x 0 pixels");
    assert_int_equal(b.n, 0);
}

/* dciodvfy writes to stderr; its exit status is not zero when it found an error. */
static void dciodvfy_finds_no_error(void **state)
{
    (void)state;
    const wd_dicom_ct ct = good();
    char *dir = test_make_dir(), path[600];
    wd_buf b = { 0 };
    int ws = 0;
    if (!wd_file_exists("/usr/bin/dciodvfy"))
        skip();
    assert_ok(wd_dicom_write_ct(&ct, &b, &err));
    snprintf(path, sizeof path, "%s/ct.dcm", dir);
    test_write(dir, "ct.dcm", b.p, b.n);
    const pid_t pid = fork();
    if (pid == 0) {
        execl("/usr/bin/dciodvfy", "dciodvfy", path, (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0 && waitpid(pid, &ws, 0) == pid);
    assert_true(WIFEXITED(ws));
    assert_int_equal(WEXITSTATUS(ws), 0);
    wd_buf_free(&b);
    test_rm_dir(dir);
}

static void failed_allocations_are_errors(void **state)
{
    (void)state;
    const wd_dicom_ct ct = good();
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        wd_buf b = { 0 };
        wd_err err = { 0 };
        wd_inject_failure(0);
        wd_inject_failure(n);
        const wd_status st = wd_dicom_write_ct(&ct, &b, &err);
        done = wd_inject_failure(0) < n;
        assert_int_equal(st, done ? WD_OK : WD_E_NOMEM);
        wd_buf_free(&b);
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),  cmocka_unit_test(same_image_is_the_same_bytes),
        cmocka_unit_test(unwritable_images_are_refused), cmocka_unit_test(dciodvfy_finds_no_error),
        cmocka_unit_test(failed_allocations_are_errors),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
