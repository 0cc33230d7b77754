/* Quantised checkpoints: what is quantised and what is not, parts that do not fit, and failures on the way. */
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "support/checkpoint.h"
#include "weights/inventory.h"
#include "weights/quantise.h"

#define NAME "model.layers.0.mlp.up_proj.weight"

static wd_status try_open(const test_tensor *t, size_t n, wd_err *err)
{
    char *dir = test_make_dir();
    wd_weights *w = NULL;
    test_write_st(dir, "model.safetensors", t, n);
    const wd_status st = wd_weights_open(dir, &w, err);
    wd_weights_close(w);
    test_rm_dir(dir);
    return st;
}

static void parts_are_put_together(void **state)
{
    (void)state;
    static const test_tensor t[] = {
        { NAME, "U8", { 2, 16, 16, 4 } },
        { NAME "_scale", "F16", { 2, 1, 16 } },
        { "model.layers.0.mlp.down_proj.weight", "U8", { 1, 8, 16, 4 } },
        { "model.layers.0.mlp.down_proj.weight_scale", "F16", { 1, 2, 16 } },
        { "model.layers.0.mlp.down_proj.weight_zero", "U8", { 1, 2, 16 } },
        { "model.layers.1.mlp.experts.down_proj", "U8", { 3, 1, 8, 16, 4 } },
        { "model.layers.1.mlp.experts.down_proj_scale", "F16", { 3, 1, 1, 16 } },
        { "model.norm.weight", "BF16", { 8 } },
    };
    char *dir = test_make_dir();
    wd_weights *w;
    wd_tensor m;
    test_write_st(dir, "model.safetensors", t, WD_COUNT(t));
    assert_ok(wd_weights_open(dir, &w, &err));
    assert_int_equal(wd_weights_count(w), 4);
    assert_ok(wd_weights_get(w, "layers.0.mlp.up_proj.weight", (size_t[]){ 32, 64 }, 2, &m, &err));
    assert_int_equal(m.dtype, WD_DTYPE_W8);
    assert_int_equal(m.group, 64);
    assert_ok(wd_weights_get(w, "layers.0.mlp.down_proj.weight", (size_t[]){ 16, 64 }, 2, &m, &err));
    assert_int_equal(m.dtype, WD_DTYPE_W4);
    assert_int_equal(m.group, 32);
    assert_non_null(m.zero);
    assert_ok(wd_weights_get(w, "layers.1.mlp.experts.down_proj", (size_t[]){ 3, 16, 32 }, 3, &m, &err));
    assert_int_equal(m.dtype, WD_DTYPE_W8);
    assert_null(m.zero);
    assert_fails(wd_weights_get(w, "layers.0.mlp.up_proj.weight", (size_t[]){ 64, 32 }, 2, &m, &err),
                 WD_E_INVALID, "is W8[32, 64], expected [64, 32]");
    assert_false(wd_weights_find(w, "layers.0.mlp.up_proj.weight_scale", NULL));
    wd_weights_close(w);
    test_rm_dir(dir);
}

static void parts_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        test_tensor t[3];
        size_t n;
        wd_status code;
        const char *part;
    } bad[] = {
        { { { NAME, "U8", { 2, 16, 16, 4 } } }, 1, WD_E_NOT_FOUND, "has no " NAME "_scale" },
        { { { NAME, "U8", { 2, 16, 16, 4 } }, { NAME "_scale", "F32", { 2, 1, 16 } } },
          2,
          WD_E_INVALID,
          "is F32[2, 1, 16], expected F16[2, 1, 16]" },
        { { { NAME, "U8", { 2, 16, 16, 4 } }, { NAME "_scale", "F16", { 1, 1, 16 } } },
          2,
          WD_E_INVALID,
          "is F16[1, 1, 16], expected F16[2, 1, 16]" },
        { { { NAME, "U8", { 2, 16, 16, 4 } }, { NAME "_scale", "F16", { 2, 4, 16 } } },
          2,
          WD_E_INVALID,
          "64 inputs with 4 scales, expected one for 32, 64 or 128" },
        { { { NAME, "U8", { 2, 16, 16, 4 } }, { NAME "_scale", "F16", { 2, 3, 16 } } },
          2,
          WD_E_INVALID,
          "64 inputs with 3 scales" },
        { { { NAME, "U8", { 2, 16, 16, 4 } }, { NAME "_scale", "F16", { 32 } } },
          2,
          WD_E_INVALID,
          "64 inputs with 0 scales" },
        { { { NAME, "U8", { 2, 16, 16, 4 } },
            { NAME "_scale", "F16", { 2, 4, 16 } },
            { NAME "_zero", "U8", { 2, 2, 16 } } },
          3,
          WD_E_INVALID,
          "is U8[2, 2, 16], expected U8[2, 4, 16]" },
        { { { NAME, "U8", { 2, 16, 16, 4 } },
            { NAME "_scale", "F16", { 2, 4, 16 } },
            { NAME "_zero", "F16", { 2, 4, 16 } } },
          3,
          WD_E_INVALID,
          "is F16[2, 4, 16], expected U8[2, 4, 16]" },
        { { { NAME, "U8", { 3, 2, 16, 16, 4 } }, { NAME "_scale", "F16", { 2, 2, 16 } } },
          2,
          WD_E_INVALID,
          "with 0 scales" },
    };
    for (size_t i = 0; i < WD_COUNT(bad); i++)
        assert_fails(try_open(bad[i].t, bad[i].n, &err), bad[i].code, bad[i].part);
}

static void open_golden(const char *name, wd_model_config *c, wd_weights **w)
{
    char dir[512];
    snprintf(dir, sizeof dir, "%s/%s", GOLDEN_CHECKPOINTS, name);
    assert_ok(wd_config_read(dir, c, &err));
    assert_ok(wd_weights_open(dir, w, &err));
}

static wd_dtype dtype_of(const wd_weights *w, const char *name)
{
    wd_tensor t;
    assert_true(wd_weights_find(w, name, &t));
    return t.dtype;
}

static void matrices_of_the_decoder_are_quantised_and_nothing_else(void **state)
{
    (void)state;
    wd_model_config c;
    wd_weights *w;
    wd_quantised done;
    open_golden("vl-moe", &c, &w);
    assert_ok(wd_weights_quantise(w, &c, &(wd_quantise_opts){ .type = WD_DTYPE_W4 }, &done, &err));
    assert_int_equal(dtype_of(w, "layers.0.self_attn.q_proj.weight"), WD_DTYPE_W4);
    assert_int_equal(dtype_of(w, "layers.0.mlp.experts.gate_up_proj"), WD_DTYPE_W4);
    assert_int_equal(dtype_of(w, "layers.0.mlp.experts.down_proj"), WD_DTYPE_BF16); /* 40 inputs */
    assert_int_equal(dtype_of(w, "layers.0.mlp.gate.weight"), WD_DTYPE_BF16);
    assert_int_equal(dtype_of(w, "layers.0.self_attn.q_norm.weight"), WD_DTYPE_BF16);
    assert_int_equal(dtype_of(w, "lm_head.weight"), WD_DTYPE_W8);
    assert_int_equal(dtype_of(w, "embed_tokens.weight"), WD_DTYPE_BF16);
    assert_int_equal(dtype_of(w, "visual.blocks.0.attn.qkv.weight"), WD_DTYPE_BF16);
    assert_true(done.n_left > 0 && done.n_matrix > 8);
    assert_true((double)done.after * 8 / (double)done.n_weight < 8.5 && done.after < done.before);
    assert_fails(wd_weights_quantise(w, &c, &(wd_quantise_opts){ .type = WD_DTYPE_W8 }, &done, &err),
                 WD_E_UNSUPPORTED, "already");
    wd_weights_close(w);

    open_golden("text-tied", &c, &w); /* the head is the embedding */
    assert_ok(
        wd_weights_quantise(w, &c, &(wd_quantise_opts){ .type = WD_DTYPE_W4, .group = 64 }, NULL, &err));
    assert_int_equal(dtype_of(w, "embed_tokens.weight"), WD_DTYPE_W8);
    wd_tensor t;
    assert_true(wd_weights_find(w, "layers.0.self_attn.o_proj.weight", &t));
    assert_int_equal(t.group, 64);
    assert_true(wd_weights_find(w, "layers.0.self_attn.q_proj.weight", &t));
    assert_int_equal(t.group, 32); /* 96 inputs */
    wd_weights_close(w);
}

/* Dimensions of nothing times a great deal: no byte in the file, and none is read. */
static void a_matrix_of_no_experts_is_left_alone(void **state)
{
    (void)state;
    static const char header[] = "{\"model.layers.0.mlp.experts.gate_up_proj\":{\"dtype\":\"BF16\",\"shape\":"
                                 "[0,4096,4096],\"data_offsets\":[0,0]}}";
    static const char parts[] =
        "{\"x\":{\"dtype\":\"U8\",\"shape\":[0,1152921504606846976,8,16,4],\"data_offsets\":[0,0]},"
        "\"x_scale\":{\"dtype\":\"F16\",\"shape\":[0,1152921504606846976,1,16],\"data_offsets\":[0,0]}}";
    wd_model_config c;
    wd_weights *w;
    wd_quantised done;
    open_golden("text-moe", &c, &w);
    wd_weights_close(w);
    char *dir = test_make_dir();
    wd_buf b = { 0 };
    test_st_raw(&b, header, 0);
    test_write(dir, "model.safetensors", b.p, b.n);
    assert_ok(wd_weights_open(dir, &w, &err));
    assert_ok(wd_weights_quantise(w, &c, &(wd_quantise_opts){ .type = WD_DTYPE_W8 }, &done, &err));
    assert_int_equal(done.n_matrix, 0);
    wd_weights_close(w);
    wd_buf_clear(&b);
    test_st_raw(&b, parts, 0);
    test_write(dir, "model.safetensors", b.p, b.n);
    assert_fails(wd_weights_open(dir, &w, &err), WD_E_INVALID, "expected one for 32, 64 or 128");
    wd_buf_free(&b);
    test_rm_dir(dir);
}

/* One thread or three, either orientation of experts: the same bytes. */
static void bytes_do_not_depend_on_threads_or_orientation(void **state)
{
    (void)state;
    static const char *const forms[] = { "vl-moe", "vl-moe", "vl-moe-turned" };
    wd_weights *w[3];
    wd_model_config c;
    wd_pool *pool;
    wd_tensor a, b;
    assert_ok(wd_pool_create(3, &pool, &err));
    for (size_t i = 0; i < 3; i++) {
        open_golden(forms[i], &c, &w[i]);
        assert_ok(wd_weights_quantise(
            w[i], &c, &(wd_quantise_opts){ .type = WD_DTYPE_W4, .pool = i ? pool : NULL }, NULL, &err));
        assert_true(wd_weights_find(w[0], "layers.0.mlp.experts.gate_up_proj", &a));
        assert_true(wd_weights_find(w[i], "layers.0.mlp.experts.gate_up_proj", &b));
        assert_memory_equal(a.dim, b.dim, sizeof a.dim);
        assert_memory_equal(a.data, b.data, wd_tensor_bytes(&a)); /* the parts follow each other */
    }
    for (size_t i = 0; i < 3; i++)
        wd_weights_close(w[i]);
    wd_pool_destroy(pool);
}

static void a_weight_that_is_not_finite_is_named(void **state)
{
    (void)state;
    wd_model_config c;
    wd_weights *w;
    char *dir = test_make_dir();
    open_golden("text-tied", &c, &w); /* for its configuration */
    wd_weights_close(w);
    static const test_tensor t[] = { { "model.layers.0.mlp.up_proj.weight", "BF16", { 16, 128 } } };
    test_write_st(dir, "model.safetensors", t, 1); /* bytes count up: 0x7F7E .. 0xFF.. are among them */
    wd_buf b = { 0 };
    char path[600];
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_ok(wd_file_read(path, 1 << 20, &b, &err));
    memset(b.p + b.n - 2, 0xFF, 2);
    assert_ok(wd_file_write(path, wd_buf_view(&b), &err));
    wd_buf_free(&b);
    assert_ok(wd_weights_open(dir, &w, &err));
    assert_fails(wd_weights_quantise(w, &c, &(wd_quantise_opts){ .type = WD_DTYPE_W8 }, NULL, &err),
                 WD_E_UNSUPPORTED, "tensor layers.0.mlp.up_proj.weight: a weight is not finite");
    wd_weights_close(w);
    test_rm_dir(dir);
}

static void cancelling_and_wrong_options_stop_it(void **state)
{
    (void)state;
    const atomic_bool yes = true;
    wd_model_config c;
    wd_weights *w;
    open_golden("text-tied", &c, &w);
    assert_fails(
        wd_weights_quantise(w, &c, &(wd_quantise_opts){ .type = WD_DTYPE_W8, .cancel = &yes }, NULL, &err),
        WD_E_CANCELLED, "cancelled");
    assert_fails(wd_weights_quantise(w, &c, &(wd_quantise_opts){ .type = WD_DTYPE_F16 }, NULL, &err),
                 WD_E_USAGE, "W8 or W4");
    assert_fails(
        wd_weights_quantise(w, &c, &(wd_quantise_opts){ .type = WD_DTYPE_W8, .group = 48 }, NULL, &err),
        WD_E_USAGE, "32, 64 or 128");
    wd_weights_close(w);
}

/* Every allocation and write fails once: an error each time, and nothing is left behind. */
static void failures_on_the_way_are_errors(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        wd_model_config c;
        wd_weights *w;
        wd_err err = { 0 };
        char *dir = test_make_dir();
        open_golden("text-tied", &c, &w);
        wd_inject_failure(nth);
        wd_status st = wd_weights_quantise(w, &c, &(wd_quantise_opts){ .type = WD_DTYPE_W8 }, NULL, &err);
        if (st == WD_OK)
            st = wd_weights_save(w, dir, &err);
        wd_inject_failure(0);
        wd_weights_close(w);
        char path[600];
        snprintf(path, sizeof path, "%s/model.safetensors", dir);
        if (st == WD_OK) {
            assert_true(wd_file_exists(path) && nth > 20);
            test_rm_dir(dir);
            return;
        }
        assert_true(err.text[0] && !wd_file_exists(path));
        test_rm_dir(dir);
    }
}

/* Opened again: the inventory is whole, every view is aligned, and the names are the published ones. */
static void a_saved_checkpoint_opens_in_place(void **state)
{
    (void)state;
    static const char *const names[] = { "text-fp8", "vl-moe", "vl-tied" };
    for (size_t i = 0; i < WD_COUNT(names); i++) {
        wd_model_config c;
        wd_weights *w, *again;
        wd_inventory v;
        wd_inventory_diff d;
        char *dir = test_make_dir();
        wd_arena *a = wd_arena_create(64u << 20, false);
        open_golden(names[i], &c, &w);
        assert_ok(wd_weights_quantise(w, &c, &(wd_quantise_opts){ .type = WD_DTYPE_W4 }, NULL, &err));
        assert_ok(wd_weights_save(w, dir, &err));
        assert_ok(wd_weights_open(dir, &again, &err));
        assert_ok(wd_inventory_make(&c, wd_expert_form_of(&c, again), a, &v, &err));
        assert_ok(wd_inventory_compare(&v, &c, again, a, &d, &err));
        assert_int_equal(d.n_missing + d.n_misshaped + d.n_extra, 0);
        for (size_t k = 0; k < wd_weights_count(again); k++) {
            const char *name, *stored;
            wd_tensor t, before;
            wd_weights_at(again, k, &name, &stored, NULL, &t, NULL);
            assert_true(wd_weights_find(w, name, &before));
            assert_int_equal(before.dtype, t.dtype);
            assert_memory_equal(before.dim, t.dim, sizeof t.dim);
            if (t.dtype == WD_DTYPE_W4 || t.dtype == WD_DTYPE_W8) {
                assert_int_equal((uintptr_t)t.data % 64, 0);
                assert_int_equal((uintptr_t)t.scale % 32, 0);
                assert_int_equal(before.group, t.group);
            }
        }
        wd_weights_close(w);
        wd_weights_close(again);
        wd_arena_destroy(a);
        test_rm_dir(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_put_together),
        cmocka_unit_test(parts_that_do_not_fit_are_refused),
        cmocka_unit_test(matrices_of_the_decoder_are_quantised_and_nothing_else),
        cmocka_unit_test(a_matrix_of_no_experts_is_left_alone),
        cmocka_unit_test(bytes_do_not_depend_on_threads_or_orientation),
        cmocka_unit_test(a_weight_that_is_not_finite_is_named),
        cmocka_unit_test(cancelling_and_wrong_options_stop_it),
        cmocka_unit_test(failures_on_the_way_are_errors),
        cmocka_unit_test(a_saved_checkpoint_opens_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
