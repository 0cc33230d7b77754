/* Helpers of the unit tests. */
#include "support/test.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"

const char *test_data_dir(void)
{
    return WARD_TESTS;
}

char *test_make_dir(void)
{
    const char *tmp = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/ward-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(path))
        fail_msg("mkdtemp(%s)", path);
    return wd_strdup(path);
}

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

void test_rm_dir(char *dir)
{
    if (dir && strstr(dir, "/ward-test-"))
        nftw(dir, rm_one, 16, FTW_DEPTH | FTW_PHYS);
    wd_free(dir);
}

void test_write(const char *dir, const char *name, const void *bytes, size_t n)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_ok(wd_file_write(path, wd_span_of(bytes, n), &err));
}
