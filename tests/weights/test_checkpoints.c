/* Every golden checkpoint, as the reference library's layouts have it: nothing missing, nothing extra. */
#include "support/test.h"

#include <stdio.h>

#include "base/file.h"
#include "weights/inventory.h"
#include "weights/lora.h"

static char *path_of(wd_arena *a, const char *name)
{
    char *path = wd_path_join(a, GOLDEN_CHECKPOINTS, name);
    assert_non_null(path);
    return path;
}

static void every_checkpoint_has_exactly_its_inventory(void **state)
{
    (void)state;
    wd_arena *a = wd_arena_create(64u << 20, false);
    char **names;
    size_t n;
    assert_ok(wd_file_list(a, GOLDEN_CHECKPOINTS, &names, &n, &err));
    assert_true(n >= 20);
    for (size_t i = 0; i < n; i++) {
        wd_model_config c;
        wd_weights *w;
        wd_inventory v;
        wd_inventory_diff d;
        const char *dir = path_of(a, names[i]);
        assert_ok(wd_config_read(dir, &c, &err));
        assert_ok(wd_weights_open(dir, &w, &err));
        assert_ok(wd_inventory_make(&c, wd_expert_form_of(&c, w), a, &v, &err));
        assert_ok(wd_inventory_compare(&v, &c, w, a, &d, &err));
        if (d.n_missing || d.n_misshaped || d.n_extra)
            fail_msg("%s: %zu missing, %zu misshaped, %zu extra", names[i], d.n_missing, d.n_misshaped,
                     d.n_extra);
        for (size_t k = 0; k < v.n; k++) { /* and each can be fetched in the shape that it has */
            wd_tensor t;
            assert_true(wd_weights_find(w, v.tensor[k].name, &t));
            assert_ok(wd_weights_get(w, v.tensor[k].name, t.dim, t.n_dim, &t, &err));
            assert_true((t.dtype == WD_DTYPE_F8_E4M3) == (t.scale != NULL));
        }
        wd_weights_close(w);
    }
    wd_arena_destroy(a);
}

static void forms_of_experts_are_told_by_shape(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        wd_expert_form form;
        bool turned;
    } rows[] = {
        { "vl-moe", WD_EXPERTS_FUSED, false },
        { "vl-moe-turned", WD_EXPERTS_FUSED, true },
        { "vl-moe-unfused", WD_EXPERTS_SEPARATE, false },
        { "text-moe", WD_EXPERTS_SEPARATE, false },
    };
    wd_arena *a = wd_arena_create(1u << 20, false);
    for (size_t i = 0; i < WD_COUNT(rows); i++) {
        wd_model_config c;
        wd_weights *w;
        wd_tensor t;
        const char *dir = path_of(a, rows[i].name);
        assert_ok(wd_config_read(dir, &c, &err));
        assert_ok(wd_weights_open(dir, &w, &err));
        assert_int_equal(wd_expert_form_of(&c, w), rows[i].form);
        if (rows[i].form == WD_EXPERTS_FUSED) {
            assert_true(wd_weights_find(w, "layers.0.mlp.experts.gate_up_proj", &t));
            assert_int_equal(t.dim[1] == c.text.n_embd, !rows[i].turned);
        }
        wd_weights_close(w);
    }
    wd_arena_destroy(a);
}

static void sharded_copy_holds_the_same_tensors(void **state)
{
    (void)state;
    wd_arena *a = wd_arena_create(1u << 20, false);
    wd_weights *one, *many;
    assert_ok(wd_weights_open(path_of(a, "vl-dense"), &one, &err));
    assert_ok(wd_weights_open(path_of(a, "vl-dense-sharded"), &many, &err));
    assert_int_equal(wd_weights_count(one), wd_weights_count(many));
    for (size_t i = 0; i < wd_weights_count(one); i++) {
        const char *name;
        wd_tensor x, y;
        wd_weights_at(one, i, &name, NULL, NULL, &x, NULL);
        assert_true(wd_weights_find(many, name, &y));
        assert_int_equal(wd_tensor_bytes(&x), wd_tensor_bytes(&y));
        assert_memory_equal(x.data, y.data, wd_tensor_bytes(&x));
    }
    wd_weights_close(one);
    wd_weights_close(many);
    wd_arena_destroy(a);
}

static void adapters_written_by_peft_open_together(void **state)
{
    (void)state;
    static const char *const names[] = { "golden/lora/a", "golden/lora/b" };
    wd_arena *a = wd_arena_create(1u << 20, false);
    wd_model_config c;
    wd_lora *l[2];
    wd_lora_pair p;
    assert_ok(wd_config_read(path_of(a, "text-untied"), &c, &err));
    for (size_t i = 0; i < 2; i++)
        assert_ok(wd_lora_open(wd_path_join(a, test_data_dir(), names[i]), 1, &c, &l[i], &err));
    assert_true(wd_lora_find(l[0], "layers.0.self_attn.q_proj", &p));
    assert_int_equal(p.b.dim[0], (size_t)c.text.n_head * c.text.head_dim);
    wd_lora_close(l[0]);
    wd_lora_close(l[1]);
    wd_arena_destroy(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_checkpoint_has_exactly_its_inventory),
        cmocka_unit_test(forms_of_experts_are_told_by_shape),
        cmocka_unit_test(sharded_copy_holds_the_same_tensors),
        cmocka_unit_test(adapters_written_by_peft_open_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
