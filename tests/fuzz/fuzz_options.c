/* The configuration file reader on arbitrary bytes. */
#include <stdlib.h>
#include <unistd.h>

#include "base/opt.h"

typedef struct target {
    const char *s;
    int64_t i;
    double d;
    bool b;
    wd_opt_list l;
} target;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const wd_opt opts[] = {
        { "model", 'm', WD_OPT_STR, offsetof(target, s), NULL, 0, 0, "" },
        { "count", 'n', WD_OPT_INT, offsetof(target, i), "3", 1, 9, "" },
        { "ratio", 'r', WD_OPT_NUM, offsetof(target, d), "0.5", 0, 1, "" },
        { "think", 0, WD_OPT_BOOL, offsetof(target, b), "true", 0, 0, "" },
        { "image", 'i', WD_OPT_LIST, offsetof(target, l), NULL, 0, 0, "" },
    };
    static const wd_opt_table table = { "chat", opts, WD_COUNT(opts) };
    char path[] = "/tmp/ward-fuzz-XXXXXX";
    const int fd = mkstemp(path);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size)
        abort();
    close(fd);
    wd_arena *a = wd_arena_create(16u << 20, false);
    target t = { 0 };
    wd_opt_list rest;
    wd_err err;
    if (!wd_opt_parse(&table, 0, NULL, path, a, &t, &rest, &err) &&
        (t.i < 1 || t.i > 9 || !(t.d >= 0 && t.d <= 1)))
        abort(); /* a value out of its range was let through */
    wd_arena_destroy(a);
    unlink(path);
    return 0;
}
