/* ZIP files: what comes out, and which limit each bad one meets. */
#include "support/test.h"

#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "media/archive_inner.h"
#include "media/sandbox.h"

typedef struct seen {
    char text[4096]; /* "number name size\n" of each entry */
    size_t n, n_entry;
    uint32_t stop_at;
} seen;

static wd_status see(void *ctx, uint32_t entry, const char *name, wd_span bytes, wd_err *err)
{
    seen *s = ctx;
    if (++s->n_entry == s->stop_at)
        return WD_FAIL(err, WD_E_INVALID, "seen enough");
    s->n += (size_t)snprintf(s->text + s->n, sizeof s->text - s->n, "%u %s %zu\n", (unsigned)entry, name,
                             bytes.n);
    if (s->n >= sizeof s->text)
        s->n = sizeof s->text - 1;
    return WD_OK;
}

static int open_golden(const char *name)
{
    char path[600];
    uint64_t size;
    snprintf(path, sizeof path, "%s/golden/dicom/%s", test_data_dir(), name);
    const int fd = wd_file_open_read(path, &size, NULL);
    assert_true(fd >= 0);
    return fd;
}

static void entries_come_in_order_with_harmless_names(void **state)
{
    (void)state;
    const int fd = open_golden("good.zip");
    seen s = { 0 };
    assert_ok(wd_archive_each(fd, "good.zip", NULL, see, &s, &err));
    assert_string_equal(s.text, "0 a/1.txt 3\n1 ../../etc/passwd 3\n2 肺.txt 5\n3 empty 0\n");
    close(fd);
}

static void one_entry_is_found_by_its_number(void **state)
{
    (void)state;
    const int fd = open_golden("good.zip");
    wd_buf b = { 0 };
    assert_ok(wd_archive_entry(fd, "good.zip", 2, NULL, &b, &err));
    assert_string_equal((char *)b.p, "three");
    assert_fails(wd_archive_entry(fd, "good.zip", 9, NULL, &b, &err), WD_E_NOT_FOUND,
                 "good.zip: the ZIP file has no entry 10");
    wd_buf_free(&b);
    close(fd);
}

static void check_bad(const char *name, const wd_archive_limits *limits, wd_status want, const char *part)
{
    const int fd = open_golden(name);
    seen s = { 0 };
    assert_fails(wd_archive_each(fd, name, limits, see, &s, &err), want, part);
    close(fd);
}

static void bad_archives_get_one_sentence(void **state)
{
    (void)state;
    wd_archive_limits l = WD_ARCHIVE_LIMITS_DEFAULT;
    check_bad("bad_bomb.zip", NULL, WD_E_LIMIT, "unpacks to more than 200 times its size");
    check_bad("bad_nested.zip", NULL, WD_E_UNSUPPORTED,
              "entry 2 is an archive in the archive; unpack it first");
    check_bad("bad_encrypted.zip", NULL, WD_E_UNSUPPORTED, "entry 1 is encrypted");
    check_bad("bad_cut.zip", NULL, WD_E_CORRUPT, "the ZIP file is damaged or cut off at entry 2");
    check_bad("plain.dcm", NULL, WD_E_CORRUPT, "plain.dcm: not a readable ZIP file");
    l.max_entries = 299;
    check_bad("bad_entries.zip", &l, WD_E_LIMIT, "the ZIP file has more than 299 entries");
    l = WD_ARCHIVE_LIMITS_DEFAULT;
    l.max_entry_bytes = 4;
    check_bad("good.zip", &l, WD_E_LIMIT, "entry 3 unpacks to more than 4 bytes");
    l = WD_ARCHIVE_LIMITS_DEFAULT;
    l.max_total_bytes = 10;
    check_bad("good.zip", &l, WD_E_LIMIT, "the ZIP file unpacks to more than 10 bytes");
}

static void reader_can_stop_and_be_cancelled(void **state)
{
    (void)state;
    static const atomic_bool yes = true;
    const int fd = open_golden("good.zip");
    seen s = { .stop_at = 2 };
    assert_fails(wd_archive_each(fd, "good.zip", NULL, see, &s, &err), WD_E_INVALID, "seen enough");
    assert_int_equal(s.n_entry, 2);
    wd_archive_limits l = WD_ARCHIVE_LIMITS_DEFAULT;
    l.cancel = &yes;
    assert_fails(wd_archive_each(fd, "good.zip", &l, see, &s, &err), WD_E_CANCELLED, "cancelled");
    close(fd);
}

static void failed_allocations_are_errors(void **state)
{
    (void)state;
    char path[600];
    wd_mapped m;
    bool done = false;
    snprintf(path, sizeof path, "%s/golden/dicom/good.zip", test_data_dir());
    assert_ok(wd_file_map(path, &m, &err));
    for (uint64_t n = 1; !done; n++) {
        seen s = { 0 };
        wd_err err = { 0 };
        wd_inject_failure(0);
        wd_inject_failure(n);
        const wd_status st = wd_archive__each_here(wd_span_of(m.p, m.n), NULL, see, &s, &err);
        done = wd_inject_failure(0) < n;
        assert_int_equal(st, done ? WD_OK : WD_E_NOMEM);
    }
    wd_file_unmap(&m);
}

static void zip_is_known_by_its_first_bytes(void **state)
{
    (void)state;
    assert_true(wd_archive_is_zip(WD_SPAN_LIT("PK\3\4")));
    assert_true(wd_archive_is_zip(WD_SPAN_LIT("PK\5\6")));
    assert_false(wd_archive_is_zip(WD_SPAN_LIT("PK\3")));
    assert_false(wd_archive_is_zip(wd_span_of(NULL, 0)));
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
        cmocka_unit_test(entries_come_in_order_with_harmless_names),
        cmocka_unit_test(one_entry_is_found_by_its_number),
        cmocka_unit_test(bad_archives_get_one_sentence),
        cmocka_unit_test(reader_can_stop_and_be_cancelled),
        cmocka_unit_test(failed_allocations_are_errors),
        cmocka_unit_test(zip_is_known_by_its_first_bytes),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
