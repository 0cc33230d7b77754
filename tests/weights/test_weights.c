/* Checkpoint directories: one file or shards, names, shapes, FP8 scales, the digest. */
#include "support/test.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "support/checkpoint.h"
#include "weights/hold.h"
#include "weights/weights.h"

#define INDEX "model.safetensors.index.json"
#define DIMS(...) (const size_t[]){ __VA_ARGS__ }, WD_COUNT(((const size_t[]){ __VA_ARGS__ }))

static const test_tensor part1[] = {
    { "model.embed_tokens.weight", "BF16", { 8, 4 } },
    { "model.layers.0.self_attn.q_proj.weight", "F16", { 6, 4 } },
};
static const test_tensor part2[] = {
    { "lm_head.weight", "F32", { 8, 4 } },
    { "model.norm.weight", "F32", { 4 } },
};
static const char good_index[] =
    "{\"metadata\":{\"total_size\":1},\"weight_map\":{"
    "\"model.embed_tokens.weight\":\"a.safetensors\","
    "\"model.layers.0.self_attn.q_proj.weight\":\"a.safetensors\","
    "\"lm_head.weight\":\"b.safetensors\",\"model.norm.weight\":\"b.safetensors\"}}";

/* A directory with part1 in a.safetensors, part2 in b.safetensors, and this index. */
static char *make_sharded(const char *index)
{
    char *dir = test_make_dir();
    test_write_st(dir, "a.safetensors", part1, WD_COUNT(part1));
    test_write_st(dir, "b.safetensors", part2, WD_COUNT(part2));
    test_write_text(dir, INDEX, index);
    return dir;
}

static char *make_single(const test_tensor *t, size_t n)
{
    char *dir = test_make_dir();
    test_write_st(dir, "model.safetensors", t, n);
    return dir;
}

static wd_status try_open(const char *dir, wd_err *err)
{
    wd_weights *w = NULL;
    const wd_status st = wd_weights_open(dir, &w, err);
    assert_true((st == WD_OK) == (w != NULL));
    wd_weights_close(w);
    return st;
}

static void refuse_index(const char *index, wd_status code, const char *part)
{
    char *dir = make_sharded(index);
    assert_fails(try_open(dir, &err), code, part);
    test_rm_dir(dir);
}

static void single_file_answers_by_name_and_shape(void **state)
{
    (void)state;
    char *dir = make_single(part1, WD_COUNT(part1));
    wd_weights *w;
    wd_tensor t;
    assert_ok(wd_weights_open(dir, &w, &err));
    assert_int_equal(wd_weights_count(w), 2);
    assert_ok(wd_weights_get(w, "layers.0.self_attn.q_proj.weight", DIMS(6, 4), &t, &err));
    assert_int_equal(t.dtype, WD_DTYPE_F16);
    assert_int_equal(wd_tensor_bytes(&t), 48);
    assert_null(t.scale);
    assert_int_equal(((const uint8_t *)t.data)[1], (64 + 1) & 0x3f);
    assert_fails(
        wd_weights_get(w, "layers.0.self_attn.q_proj.weight", DIMS(4, 6), &t, &err), WD_E_INVALID,
        "model.safetensors: tensor model.layers.0.self_attn.q_proj.weight is F16[6, 4], expected [4, 6]");
    assert_fails(wd_weights_get(w, "layers.0.self_attn.q_proj.weight", DIMS(24), &t, &err), WD_E_INVALID,
                 "is F16[6, 4], expected [24]");
    assert_fails(wd_weights_get(w, "norm.weight", DIMS(4), &t, &err), WD_E_NOT_FOUND,
                 "tensor norm.weight is missing, expected [4]");
    wd_weights_close(w);
    test_rm_dir(dir);
}

static void shards_are_found_through_the_index(void **state)
{
    (void)state;
    char *dir = make_sharded(good_index);
    wd_weights *w;
    wd_tensor t;
    const char *name, *stored, *file;
    bool fetched;
    size_t n_fetched = 0;
    assert_ok(wd_weights_open(dir, &w, &err));
    assert_int_equal(wd_weights_count(w), 4);
    assert_ok(wd_weights_get(w, "norm.weight", DIMS(4), &t, &err));
    assert_ok(wd_weights_get(w, "embed_tokens.weight", DIMS(8, 4), &t, &err));
    assert_true(wd_weights_find(w, "lm_head.weight", &t)); /* there, and not fetched */
    assert_int_equal(t.dim[0], 8);
    for (size_t i = 0; i < 4; i++) {
        wd_weights_at(w, i, &name, &stored, &file, &t, &fetched);
        n_fetched += fetched;
        assert_string_equal(file, strstr(stored, "norm") || strstr(stored, "lm_head") ? "b.safetensors"
                                                                                      : "a.safetensors");
        assert_string_equal(wd_weights_normal_name(stored), name);
    }
    assert_int_equal(n_fetched, 2);
    assert_true(wd_weights_mapped_bytes(w) > 64 + 48 + 128 + 16);
    wd_weights_close(w);
    test_rm_dir(dir);
}

static void index_is_checked_against_the_files(void **state)
{
    (void)state;
    refuse_index("{}", WD_E_CORRUPT, "weight_map is missing or empty");
    refuse_index("[1]", WD_E_CORRUPT, "weight_map is missing or empty");
    refuse_index("{\"weight_map\":{}}", WD_E_CORRUPT, "weight_map is missing or empty");
    refuse_index("{\"weight_map\":[]}", WD_E_INVALID, "weight_map is an array, expected an object");
    refuse_index("{\"weight_map\":{\"x\":1}}", WD_E_CORRUPT, "the file of tensor \"x\" is not a string");
    refuse_index("{\"weight_map\":{\"lm_head.weight\":\"c.safetensors\"}}", WD_E_NOT_FOUND,
                 "names c.safetensors, which is not in the directory");
    refuse_index("{\"weight_map\":{\"nothing.weight\":\"a.safetensors\"}}", WD_E_CORRUPT,
                 "tensor \"nothing.weight\" is not in a.safetensors");
    refuse_index(
        "{\"weight_map\":{\"lm_head.weight\":\"a.safetensors\",\"model.norm.weight\":\"b.safetensors\"}}",
        WD_E_CORRUPT, "tensor lm_head.weight is in b.safetensors, not in a.safetensors");
    refuse_index("{\"weight_map\":{\"x\":\"a.bin\"}}", WD_E_UNSUPPORTED,
                 "\"a.bin\" is not a .safetensors file");
    refuse_index("{\"weight_map\":{\"x\":\"a.safetensors\",\"x\":\"b.safetensors\"}}", WD_E_CORRUPT,
                 "duplicate");
}

static void index_cannot_reach_outside_the_directory(void **state)
{
    (void)state;
    static const char *const outside[] = {
        "../a.safetensors", "/etc/a.safetensors",       "sub/a.safetensors",  "..", "",
        ".a.safetensors",   "a\\\\..\\\\b.safetensors", "\\u001b.safetensors"
    };
    char index[200];
    for (size_t i = 0; i < WD_COUNT(outside); i++) {
        snprintf(index, sizeof index, "{\"weight_map\":{\"x\":\"%s\"}}", outside[i]);
        refuse_index(index, WD_E_INVALID, "is not the name of a file in the same directory");
    }
}

static void shards_may_be_symbolic_links(void **state)
{
    (void)state;
    char from[1100], to[1100];
    char *dir = make_sharded(good_index);
    snprintf(from, sizeof from, "%s/a.safetensors", dir);
    snprintf(to, sizeof to, "%s/blob", dir);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(symlink("blob", from), 0);
    assert_ok(try_open(dir, &err));
    test_rm_dir(dir);
}

static void tensor_that_the_index_leaves_out_is_ignored(void **state)
{
    (void)state;
    char *dir = make_sharded("{\"weight_map\":{\"lm_head.weight\":\"b.safetensors\"}}");
    wd_weights *w;
    assert_ok(wd_weights_open(dir, &w, &err));
    assert_int_equal(wd_weights_count(w), 1);
    assert_false(wd_weights_find(w, "norm.weight", NULL));
    wd_weights_close(w);
    test_rm_dir(dir);
}

static void doubled_tensors_are_refused(void **state)
{
    (void)state;
    static const test_tensor twice[] = { { "model.norm.weight", "F32", { 4 } },
                                         { "model.language_model.norm.weight", "F32", { 4 } } };
    char *dir = make_sharded("{\"weight_map\":{\"lm_head.weight\":\"b.safetensors\","
                             "\"model.norm.weight\":\"c.safetensors\"}}");
    test_write_st(dir, "c.safetensors", twice, 1);
    assert_fails(try_open(dir, &err), WD_E_CORRUPT,
                 "tensor model.norm.weight is doubled: it is in b.safetensors and in c.safetensors");
    test_rm_dir(dir);

    dir = make_single(twice, 2); /* two stored names, one normal name */
    assert_fails(try_open(dir, &err), WD_E_CORRUPT,
                 "tensors model.norm.weight and model.language_model.norm.weight are the same one by name");
    test_rm_dir(dir);
}

static void index_with_a_million_entries_is_read_in_seconds(void **state)
{
    (void)state;
    wd_buf index = { 0 };
    wd_buf_str(&index, "{\"weight_map\":{");
    for (int i = 0; i < 1000000; i++)
        wd_buf_printf(&index, "%s\"t%d\":\"a.safetensors\"", i ? "," : "", i);
    wd_buf_str(&index, "}}");
    refuse_index((const char *)index.p, WD_E_CORRUPT, "tensor \"t0\" is not in a.safetensors");

    wd_buf_clear(&index); /* and as many files: stops at the first that is not there */
    wd_buf_str(&index, "{\"weight_map\":{");
    for (int i = 0; i < 10000; i++)
        wd_buf_printf(&index, "%s\"t%d\":\"f%d.safetensors\"", i ? "," : "", i, i);
    wd_buf_str(&index, "}}");
    refuse_index((const char *)index.p, WD_E_NOT_FOUND, "names f0.safetensors");
    wd_buf_free(&index);
}

static void directory_without_safetensors_is_named(void **state)
{
    (void)state;
    char path[1100];
    char *dir = test_make_dir();
    assert_fails(try_open(dir, &err), WD_E_NOT_FOUND,
                 "neither model.safetensors nor model.safetensors.index.json");
    test_write_text(dir, "pytorch_model.bin", "x");
    assert_fails(try_open(dir, &err), WD_E_UNSUPPORTED, "only pytorch_model.bin (a pickle) is here");
    snprintf(path, sizeof path, "%s/pytorch_model.bin", dir);
    assert_fails(try_open(path, &err), WD_E_NOT_FOUND,
                 "expected a directory with a checkpoint, this is a file");
    snprintf(path, sizeof path, "%s/nowhere", dir);
    assert_fails(try_open(path, &err), WD_E_NOT_FOUND,
                 "expected a directory with a checkpoint, there is none");
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_fails(try_open(dir, &err), WD_E_INVALID, "model.safetensors: is a directory");
    test_rm_dir(dir);
}

static void published_spellings_have_one_normal_name(void **state)
{
    (void)state;
    static const char *const names[][2] = {
        { "model.layers.3.mlp.up_proj.weight", "layers.3.mlp.up_proj.weight" },
        { "model.language_model.layers.3.mlp.up_proj.weight", "layers.3.mlp.up_proj.weight" },
        { "language_model.model.layers.3.mlp.up_proj.weight", "layers.3.mlp.up_proj.weight" },
        { "language_model.layers.3.mlp.up_proj.weight", "layers.3.mlp.up_proj.weight" },
        { "layers.3.mlp.up_proj.weight", "layers.3.mlp.up_proj.weight" },
        { "lm_head.weight", "lm_head.weight" },
        { "language_model.lm_head.weight", "lm_head.weight" },
        { "model.visual.merger.norm.bias", "visual.merger.norm.bias" },
        { "visual.merger.norm.bias", "visual.merger.norm.bias" },
        { "modelling.weight", "modelling.weight" },
    };
    for (size_t i = 0; i < WD_COUNT(names); i++)
        assert_string_equal(wd_weights_normal_name(names[i][0]), names[i][1]);
}

static void fp8_weights_come_with_their_scales(void **state)
{
    (void)state;
    static const test_tensor good[] = {
        { "model.layers.0.a.weight", "F8_E4M3", { 130, 256 } },
        { "model.layers.0.a.weight_scale_inv", "F32", { 2, 2 } },
        { "model.layers.0.mlp.experts.gate_up_proj", "F8_E4M3", { 3, 128, 129 } },
        { "model.layers.0.mlp.experts.gate_up_proj_scale_inv", "BF16", { 3, 1, 2 } },
    };
    char *dir = make_single(good, WD_COUNT(good));
    wd_weights *w;
    wd_tensor t;
    bool fetched;
    assert_ok(wd_weights_open(dir, &w, &err));
    assert_ok(wd_weights_get(w, "layers.0.a.weight", DIMS(130, 256), &t, &err));
    assert_non_null(t.scale);
    assert_int_equal(t.scale_dtype, WD_DTYPE_F32);
    assert_ok(wd_weights_get(w, "layers.0.mlp.experts.gate_up_proj", DIMS(3, 128, 129), &t, &err));
    assert_int_equal(t.scale_dtype, WD_DTYPE_BF16);
    for (size_t i = 0; i < 4; i++) {
        wd_weights_at(w, i, NULL, NULL, NULL, NULL, &fetched);
        assert_true(fetched); /* scales too */
    }
    wd_weights_close(w);
    test_rm_dir(dir);
}

static void refuse_fp8(const test_tensor *t, size_t n, const size_t *dim, size_t n_dim, wd_status code,
                       const char *part)
{
    char *dir = make_single(t, n);
    wd_weights *w;
    wd_tensor got;
    assert_ok(wd_weights_open(dir, &w, &err));
    assert_fails(wd_weights_get(w, "a.weight", dim, (uint32_t)n_dim, &got, &err), code, part);
    wd_weights_close(w);
    test_rm_dir(dir);
}

static void fp8_scales_are_checked(void **state)
{
    (void)state;
    const test_tensor alone[] = { { "model.a.weight", "F8_E4M3", { 130, 256 } } };
    const test_tensor flat[] = { { "a.weight", "F8_E4M3", { 130 } }, { "a.weight_scale_inv", "F32", { 2 } } };
    const test_tensor shape[] = { { "a.weight", "F8_E4M3", { 130, 256 } },
                                  { "a.weight_scale_inv", "F32", { 1, 2 } } };
    const test_tensor dtype[] = { { "a.weight", "F8_E4M3", { 130, 256 } },
                                  { "a.weight_scale_inv", "F16", { 2, 2 } } };
    const test_tensor ints[] = { { "a.weight", "I32", { 130, 256 } } };
    refuse_fp8(alone, 1, DIMS(130, 256), WD_E_NOT_FOUND,
               "tensor model.a.weight is F8_E4M3 and has no model.a.weight_scale_inv");
    refuse_fp8(flat, 2, DIMS(130), WD_E_INVALID, "F8_E4M3 needs at least two dimensions");
    refuse_fp8(
        shape, 2, DIMS(130, 256), WD_E_INVALID,
        "tensor a.weight_scale_inv is F32[1, 2], expected F32 or BF16 [2, 2]: one scale per 128 x 128 block");
    refuse_fp8(dtype, 2, DIMS(130, 256), WD_E_INVALID,
               "tensor a.weight_scale_inv is F16[2, 2], expected F32 or BF16");
    refuse_fp8(ints, 1, DIMS(130, 256), WD_E_INVALID,
               "tensor a.weight is I32[130, 256], expected F32, F16, BF16 or F8");
}

static void digest_of(const char *dir, wd_digest *d)
{
    wd_weights *w;
    assert_ok(wd_weights_open(dir, &w, &err));
    assert_ok(wd_weights_digest(w, d, &err));
    wd_weights_close(w);
}

static void digest_sees_every_file_and_name(void **state)
{
    (void)state;
    wd_digest first, again, config, renamed;
    wd_weights *w;
    char *dir = make_sharded(good_index);
    assert_ok(wd_weights_open(dir, &w, &err));
    assert_fails(wd_weights_digest(w, &first, &err), WD_E_NOT_FOUND, "config.json");
    wd_weights_close(w);
    test_write_text(dir, "config.json", "{}");
    digest_of(dir, &first);
    digest_of(dir, &again);
    assert_memory_equal(first.b, again.b, sizeof first.b);
    test_write_text(dir, "config.json", "{ }");
    digest_of(dir, &config);
    assert_memory_not_equal(first.b, config.b, sizeof first.b);
    test_rm_dir(dir);

    dir = make_single(part1, 2);
    test_write_text(dir, "config.json", "{}");
    digest_of(dir, &renamed);
    test_write_st(dir, "model.safetensors", part2, 2);
    digest_of(dir, &again);
    assert_memory_not_equal(renamed.b, again.b, sizeof first.b);
    test_rm_dir(dir);
}

static void open_survives_every_failure(void **state)
{
    (void)state;
    char *dir = make_sharded(good_index);
    test_write_text(dir, "config.json", "{}");
    for (uint64_t n = 1;; n++) {
        wd_weights *w = NULL;
        wd_digest d;
        wd_err err = { 0 };
        wd_inject_failure(n);
        wd_status st = wd_weights_open(dir, &w, &err);
        if (st == WD_OK)
            st = wd_weights_digest(w, &d, &err);
        wd_weights_close(w);
        const uint64_t passed = wd_inject_failure(0);
        if (passed < n) {
            if (st)
                fail_msg("n=%u: %s", (unsigned)n, err.text);
            assert_true(n > 20); /* it did inject */
            break;
        }
        assert_int_not_equal(st, WD_OK);
        assert_true(err.text[0] != 0);
    }
    test_rm_dir(dir);
}

/* kB of a field of /proc/self/smaps over all mappings of files that end in `name`. */
static long mapped_kb(const char *name, const char *field)
{
    FILE *f = fopen("/proc/self/smaps", "r");
    char line[4096];
    bool mine = false;
    long sum = 0, kb;
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        const char *end = strstr(line, name);
        unsigned long from, to;
        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            mine = end && end[strlen(name)] == '\n';
        else if (mine && !strncmp(line, field, strlen(field)) &&
                 sscanf(line + strlen(field), "%ld", &kb) == 1)
            sum += kb;
    }
    fclose(f);
    return sum;
}

/* Under AddressSanitizer mlock does nothing and says that it did. */
static bool mlock_is_real(void)
{
#if defined(__SANITIZE_ADDRESS__)
    return false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
    return false;
#else
    return true;
#endif
#else
    return true;
#endif
}

static void weights_are_read_ahead_and_locked_when_asked(void **state)
{
    (void)state;
    static const test_tensor t[] = {
        { "model.embed_tokens.weight", "BF16", { 4096, 1024 } },
        { "model.norm.weight", "F32", { 1024 } },
        { "lm_head.weight", "F8_E4M3", { 1024, 1024 } },
        { "lm_head.weight_scale_inv", "BF16", { 8, 8 } },
    };
    char *dir = make_single(t, WD_COUNT(t));
    atomic_bool cancel = true;
    wd_weights *w;
    assert_ok(wd_weights_open(dir, &w, &err));
    assert_ok(wd_weights_hold(w, WD_HOLD_NOTHING, NULL, &err));
    assert_true(mapped_kb("model.safetensors", "Rss:") < 9216);
    assert_fails(wd_weights_hold(w, WD_HOLD_PRELOAD, &cancel, &err), WD_E_CANCELLED, "cancelled");
    assert_ok(wd_weights_hold(w, WD_HOLD_PRELOAD, NULL, &err));
    assert_true(mapped_kb("model.safetensors", "Rss:") >= 9216);
    assert_int_equal(mapped_kb("model.safetensors", "Locked:"), 0);
    wd_inject_failure(1);
    assert_fails(wd_weights_hold(w, WD_HOLD_PRELOAD, NULL, &err), WD_E_IO, "cannot be read at embed_tokens");
    wd_inject_failure(1);
    assert_fails(wd_weights_hold(w, WD_HOLD_LOCK, NULL, &err), WD_E_LIMIT, "ulimit -l");
    wd_inject_failure(0);
    const wd_status st = wd_weights_hold(w, WD_HOLD_LOCK, NULL, NULL);
    assert_true(st == WD_OK || st == WD_E_LIMIT); /* 9 MB may be more than this user may lock */
    if (!st && mlock_is_real())
        assert_true(mapped_kb("model.safetensors", "Locked:") >= 9216);
    wd_weights_close(w);
    test_rm_dir(dir);
}

int main(void)
{
    wd_json_use_our_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(single_file_answers_by_name_and_shape),
        cmocka_unit_test(shards_are_found_through_the_index),
        cmocka_unit_test(index_is_checked_against_the_files),
        cmocka_unit_test(index_cannot_reach_outside_the_directory),
        cmocka_unit_test(shards_may_be_symbolic_links),
        cmocka_unit_test(tensor_that_the_index_leaves_out_is_ignored),
        cmocka_unit_test(doubled_tensors_are_refused),
        cmocka_unit_test(index_with_a_million_entries_is_read_in_seconds),
        cmocka_unit_test(directory_without_safetensors_is_named),
        cmocka_unit_test(published_spellings_have_one_normal_name),
        cmocka_unit_test(fp8_weights_come_with_their_scales),
        cmocka_unit_test(fp8_scales_are_checked),
        cmocka_unit_test(digest_sees_every_file_and_name),
        cmocka_unit_test(open_survives_every_failure),
        cmocka_unit_test(weights_are_read_ahead_and_locked_when_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
