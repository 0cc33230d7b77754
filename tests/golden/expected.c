/* A reader of its own, so that a fault of src/weights cannot hide itself here. */
#include "golden/expected.h"

#include <stdio.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "support/test.h"

struct gold {
    char set[64];
    wd_mapped file;
    json_t *head;
    const uint8_t *data;
    const char **name;
    size_t n;
};

gold *gold_open(const char *set)
{
    gold *g = WD_ALLOC(gold);
    assert_non_null(g);
    snprintf(g->set, sizeof(g->set), "%s", set);
    char path[512];
    snprintf(path, sizeof(path), "%s/golden/expected/%s.safetensors", test_data_dir(), set);
    assert_ok(wd_file_map(path, &g->file, &err));
    assert_true(g->file.n > 8);
    const size_t n = (size_t)wd_le64(g->file.p);
    assert_true(n <= g->file.n - 8);
    assert_ok(wd_json_parse(wd_span_of(g->file.p + 8, n), path, &g->head, &err));
    g->data = g->file.p + 8 + n;
    assert_int_equal((uintptr_t)g->data % 4, 0);

    g->name = WD_ALLOC_N(const char *, json_object_size(g->head));
    assert_non_null(g->name);
    const char *key;
    json_t *v;
    json_object_foreach(g->head, key, v) if (strcmp(key, "__metadata__") != 0) g->name[g->n++] = key;
    return g;
}

void gold_close(gold *g)
{
    if (!g)
        return;
    json_decref(g->head);
    wd_file_unmap(&g->file);
    wd_free(g->name);
    wd_free(g);
}

bool gold_find(const gold *g, const char *sample, const char *name, gold_tensor *out)
{
    char key[128];
    snprintf(key, sizeof(key), "%s%s%s", sample, *sample ? "." : "", name);
    const json_t *v = json_object_get(g->head, key);
    if (!v)
        return false;
    const json_t *shape = json_object_get(v, "shape");
    const size_t n_dim = json_array_size(shape);
    gold_tensor t = { .n_row = 1, .n_col = 1 };
    for (size_t i = 0; i < n_dim; i++) {
        const size_t d = (size_t)json_integer_value(json_array_get(shape, i));
        if (i + 1 < n_dim)
            t.n_row *= d;
        else
            t.n_col = d;
    }
    t.n = t.n_row * t.n_col;
    const json_t *at = json_object_get(v, "data_offsets");
    const size_t begin = (size_t)json_integer_value(json_array_get(at, 0));
    const size_t end = (size_t)json_integer_value(json_array_get(at, 1));
    assert_true(end <= (size_t)(g->file.p + g->file.n - g->data) && end - begin == 4 * t.n);
    if (strcmp(json_string_value(json_object_get(v, "dtype")), "F32") == 0)
        t.f = (const float *)(const void *)(g->data + begin);
    else
        t.i = (const int32_t *)(const void *)(g->data + begin);
    *out = t;
    return true;
}

gold_tensor gold_get(const gold *g, const char *sample, const char *name)
{
    gold_tensor t = { 0 };
    if (!gold_find(g, sample, name, &t))
        fail_msg("expected/%s.safetensors has no \"%s.%s\"", g->set, sample, name);
    return t;
}

size_t gold_count(const gold *g)
{
    return g->n;
}

const char *gold_name(const gold *g, size_t i)
{
    return g->name[i];
}
