/* Runs a fuzz target over every file of the directories and files given: what `make check` does with the
 * corpora. The same target links against libFuzzer in the fuzz build. */
#include <stdio.h>

#include "base/arena.h"
#include "base/file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int one_file(const char *path)
{
    wd_err err;
    wd_buf b = { 0 };
    if (wd_file_read(path, (size_t)64 << 20, &b, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    LLVMFuzzerTestOneInput(b.p, b.n);
    wd_buf_free(&b);
    return 0;
}

int main(int argc, char **argv)
{
    size_t done = 0;
    for (int i = 1; i < argc; i++) {
        if (!wd_file_is_dir(argv[i])) {
            if (one_file(argv[i]))
                return 1;
            done++;
            continue;
        }
        wd_arena *a = wd_arena_create((size_t)64 << 20, false);
        wd_err err;
        char **names;
        size_t n;
        if (!a || wd_file_list(a, argv[i], &names, &n, &err)) {
            fprintf(stderr, "%s\n", a ? err.text : "no memory");
            return 1;
        }
        for (size_t k = 0; k < n; k++, done++) {
            if (one_file(wd_path_join(a, argv[i], names[k])))
                return 1;
        }
        wd_arena_destroy(a);
    }
    printf("%zu inputs\n", done);
    return done ? 0 : 1;
}
