/* What every unit test includes: cmocka with its four headers in the order it wants, and checks for
 * wd_status. */
#ifndef WD_TESTS_SUPPORT_TEST_H
#define WD_TESTS_SUPPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/err.h"

/* expr must be WD_OK; prints the sentence when it is not. expr uses `err`. */
#define assert_ok(expr)                                                    \
    do {                                                                   \
        wd_err err = { 0 };                                                \
        wd_status got_ = (expr);                                           \
        if (got_ != WD_OK)                                                 \
            fail_msg("%s: %s: %s", #expr, wd_status_name(got_), err.text); \
    } while (0)

/* expr must fail with `code`, and its sentence must contain `part`. expr uses `err`. */
#define assert_fails(expr, want, part)                                                               \
    do {                                                                                             \
        wd_err err = { 0 };                                                                          \
        wd_status got_ = (expr);                                                                     \
        if (got_ != (want))                                                                          \
            fail_msg("%s: wanted %s, got %s: %s", #expr, wd_status_name(want), wd_status_name(got_), \
                     err.text);                                                                      \
        if (!strstr(err.text, (part)))                                                               \
            fail_msg("%s: \"%s\" does not contain \"%s\"", #expr, err.text, (part));                 \
    } while (0)

/* The tests/ folder of the source tree ($WARD_TESTS, set by meson): golden files, corpora. */
const char *test_data_dir(void);
/* A new empty directory under $TMPDIR, removed with all in it by test_rm_dir (and only such a one is). */
char *test_make_dir(void);
void test_rm_dir(char *dir);
/* Writes dir/name. Fails the test on error. */
void test_write(const char *dir, const char *name, const void *bytes, size_t n);

#endif
