/* The safetensors reader on arbitrary bytes: what it accepts must hold what its header promises. */
#include <stdlib.h>

#include "weights/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wd_st_tensor *t = NULL;
    size_t n = 0, covered = 0;
    wd_err err;
    char text[WD_ST_TEXT];
    wd_arena *a = wd_arena_create(64u << 20, false);
    if (!a || wd_st_parse(wd_span_of(data, size), "fuzz", a, &t, &n, &err)) {
        wd_arena_destroy(a);
        return 0;
    }
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = t[i].t.data;
        const size_t bytes = wd_tensor_bytes(&t[i].t);
        if (p < data || p > data + size || bytes > (size_t)(data + size - p) ||
            bytes != t[i].end - t[i].begin)
            abort(); /* a view that leaves the file, or another size than stated */
        if (bytes && wd_tensor_count(&t[i].t))
            (void)wd_tensor_get(&t[i].t, wd_tensor_count(&t[i].t) - 1);
        if (strlen(wd_st_shape_text(&t[i].t, text)) >= WD_ST_TEXT)
            abort();
        covered += bytes;
    }
    if (covered + 8 + (size_t)wd_le64(data) != size)
        abort(); /* bytes that nobody owns */
    wd_arena_destroy(a);
    return 0;
}
