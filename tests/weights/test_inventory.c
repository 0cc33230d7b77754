/* Inventories: tensor and parameter counts of every published size, and what a checkpoint lacks or has too much. */
#include "support/test.h"

#include <stdio.h>

#include "support/checkpoint.h"
#include "weights/inventory.h"

typedef struct size_row {
    const char *name;
    bool vl;
    unsigned layers, hidden, ff, heads, kv;
    bool tied;
    unsigned experts, ff_expert;
    unsigned depth, vision_hidden, vision_ff; /* 0 without a tower */
    uint64_t tensors, text_params, vision_params;
} size_row;

/* The published configurations; tensors and parameters are facts about the published files, not computed here. */
static const size_row sizes[] = {
    { "Qwen3-0.6B", false, 28, 1024, 3072, 16, 8, true, 0, 0, 0, 0, 0, 310, 596049920, 0 },
    { "Qwen3-1.7B", false, 28, 2048, 6144, 16, 8, true, 0, 0, 0, 0, 0, 310, 1720574976, 0 },
    { "Qwen3-4B", false, 36, 2560, 9728, 32, 8, true, 0, 0, 0, 0, 0, 398, 4022468096, 0 },
    { "Qwen3-8B", false, 36, 4096, 12288, 32, 8, false, 0, 0, 0, 0, 0, 399, 8190735360, 0 },
    { "Qwen3-14B", false, 40, 5120, 17408, 40, 8, false, 0, 0, 0, 0, 0, 443, 14768307200, 0 },
    { "Qwen3-32B", false, 64, 5120, 25600, 64, 8, false, 0, 0, 0, 0, 0, 707, 32762123264, 0 },
    { "Qwen3-30B-A3B", false, 48, 2048, 6144, 32, 4, false, 128, 768, 0, 0, 0, 18867, 30532122624, 0 },
    { "Qwen3-235B-A22B", false, 94, 4096, 12288, 64, 4, false, 128, 1536, 0, 0, 0, 36945, 235093634560, 0 },
    { "Qwen3-VL-2B", true, 28, 2048, 6144, 16, 8, true, 0, 0, 24, 1024, 4096, 625, 1720574976, 406957056 },
    { "Qwen3-VL-4B", true, 36, 2560, 9728, 32, 8, true, 0, 0, 24, 1024, 4096, 713, 4022468096, 415347712 },
    { "Qwen3-VL-8B", true, 36, 4096, 12288, 32, 8, false, 0, 0, 27, 1152, 4304, 750, 8190735360, 576388336 },
    { "Qwen3-VL-32B", true, 64, 5120, 25600, 64, 8, false, 0, 0, 27, 1152, 4304, 1058, 32762123264,
      595266800 },
    { "Qwen3-VL-30B-A3B", true, 48, 2048, 6144, 32, 4, false, 128, 768, 27, 1152, 4304, 882, 30532122624,
      538631408 },
    { "Qwen3-VL-235B-A22B", true, 94, 4096, 12288, 64, 4, false, 128, 1536, 27, 1152, 4304, 1388,
      235093634560, 576388336 },
};

static void put_text(wd_buf *b, const size_row *r)
{
    wd_buf_printf(
        b,
        "\"vocab_size\":151936,\"hidden_size\":%u,\"intermediate_size\":%u,\"num_hidden_layers\":%u,"
        "\"num_attention_heads\":%u,\"num_key_value_heads\":%u,\"head_dim\":128,\"hidden_act\":\"silu\","
        "\"rms_norm_eps\":1e-06,\"attention_bias\":false,\"rope_theta\":%s,\"max_position_embeddings\":%u",
        r->hidden, r->ff, r->layers, r->heads, r->kv, r->vl ? "5000000" : "1000000", r->vl ? 262144 : 40960);
    if (r->experts)
        wd_buf_printf(b,
                      ",\"num_experts\":%u,\"num_experts_per_tok\":8,\"moe_intermediate_size\":%u,"
                      "\"norm_topk_prob\":true,\"decoder_sparse_step\":1,\"mlp_only_layers\":[]",
                      r->experts, r->ff_expert);
    if (r->vl)
        wd_buf_str(b, ",\"rope_scaling\":{\"rope_type\":\"default\",\"mrope_section\":[24,20,20],"
                      "\"mrope_interleaved\":true}");
}

static void make_config(const size_row *r, wd_model_config *c)
{
    wd_buf b = { 0 };
    const char *type = r->vl ? r->experts ? "qwen3_vl_moe" : "qwen3_vl" : r->experts ? "qwen3_moe" : "qwen3";
    wd_buf_printf(&b, "{\"model_type\":\"%s\",\"tie_word_embeddings\":%s,", type, r->tied ? "true" : "false");
    if (r->vl)
        wd_buf_printf(&b, "\"text_config\":{\"model_type\":\"%s_text\",", type);
    put_text(&b, r);
    if (r->vl)
        wd_buf_printf(
            &b,
            "},\"image_token_id\":151655,\"video_token_id\":151656,\"vision_start_token_id\":151652,"
            "\"vision_end_token_id\":151653,\"vision_config\":{\"model_type\":\"%s\",\"depth\":%u,"
            "\"hidden_size\":%u,\"num_heads\":16,\"intermediate_size\":%u,\"in_channels\":3,"
            "\"hidden_act\":\"gelu_pytorch_tanh\",\"patch_size\":16,\"temporal_patch_size\":2,"
            "\"spatial_merge_size\":2,\"num_position_embeddings\":2304,\"out_hidden_size\":%u,"
            "\"deepstack_visual_indexes\":%s}",
            type, r->depth, r->vision_hidden, r->vision_ff, r->hidden,
            r->depth == 24 ? "[5,11,17]" : "[8,16,24]");
    wd_buf_char(&b, '}');
    assert_ok(wd_config_parse(wd_buf_view(&b), r->name, c, &err));
    wd_buf_free(&b);
}

static void every_published_size_has_its_tensors_and_parameters(void **state)
{
    (void)state;
    for (size_t i = 0; i < WD_COUNT(sizes); i++) {
        wd_model_config c;
        wd_inventory v;
        wd_arena *a = wd_arena_create(256u << 20, false);
        make_config(&sizes[i], &c);
        assert_ok(wd_inventory_make(&c, wd_expert_form_of(&c, NULL), a, &v, &err));
        if (v.n != sizes[i].tensors || v.text_params != sizes[i].text_params ||
            v.vision_params != sizes[i].vision_params)
            fail_msg("%s: %zu tensors, %llu + %llu parameters", sizes[i].name, v.n,
                     (unsigned long long)v.text_params, (unsigned long long)v.vision_params);
        wd_arena_destroy(a);
    }
}

static void vl_8b_is_the_published_inventory(void **state)
{
    (void)state;
    wd_model_config c;
    wd_inventory v;
    wd_arena *a = wd_arena_create(16u << 20, false);
    make_config(&sizes[10], &c);
    assert_ok(wd_inventory_make(&c, wd_expert_form_of(&c, NULL), a, &v, &err));
    assert_int_equal(v.n, 750);
    assert_int_equal(v.text_params + v.vision_params, 8767123696);
    size_t seen = 0;
    for (size_t i = 0; i < v.n; i++) {
        const wd_expected *e = &v.tensor[i];
        if (!strcmp(e->name, "visual.patch_embed.proj.weight")) {
            const size_t dim[5] = { 1152, 3, 2, 16, 16 };
            assert_int_equal(e->n_dim, 5);
            assert_memory_equal(e->dim, dim, sizeof dim);
            seen++;
        } else if (!strcmp(e->name, "visual.deepstack_merger_list.2.norm.weight")) {
            assert_int_equal(e->dim[0], 4608); /* after grouping */
            seen++;
        } else if (!strcmp(e->name, "visual.merger.norm.bias")) {
            assert_int_equal(e->dim[0], 1152);
            seen++;
        } else if (!strcmp(e->name, "layers.35.mlp.down_proj.weight")) {
            assert_int_equal(e->dim[0], 4096);
            assert_int_equal(e->dim[1], 12288);
            seen++;
        }
    }
    assert_int_equal(seen, 4);
    assert_int_equal(wd_kv_bytes_per_token(&c.text), 36 * 8 * 128 * 2 * 2);
    wd_arena_destroy(a);
}

/* Small enough to write whole files of. */
static void make_tiny(wd_model_config *c)
{
    static const size_row tiny = { .name = "tiny",
                                   .layers = 2,
                                   .hidden = 64,
                                   .ff = 96,
                                   .heads = 2,
                                   .kv = 1,
                                   .tied = true,
                                   .experts = 9,
                                   .ff_expert = 40 };
    make_config(&tiny, c);
    c->text.n_vocab = 32; /* keeps the embedding small */
}

/* Writes the inventory as a checkpoint; turned: fused experts in the other order. Returns how many were written. */
static size_t write_checkpoint(const char *dir, const wd_inventory *v, bool turned, const test_tensor *more,
                               size_t n_more)
{
    test_tensor *t = wd_calloc(v->n + n_more, sizeof *t);
    for (size_t i = 0; i < v->n; i++) {
        const wd_expected *e = &v->tensor[i];
        t[i] = (test_tensor){ .name = e->name, .dtype = "BF16" };
        memcpy(t[i].dim, e->dim, sizeof e->dim);
        if (turned && e->either_order) {
            t[i].dim[1] = e->dim[2];
            t[i].dim[2] = e->dim[1];
        }
    }
    if (n_more)
        memcpy(t + v->n, more, n_more * sizeof *more);
    test_write_st(dir, "model.safetensors", t, v->n + n_more);
    wd_free(t);
    return v->n + n_more;
}

static void both_expert_orders_and_separate_experts_fit(void **state)
{
    (void)state;
    wd_model_config c;
    make_tiny(&c);
    for (int form = 0; form < 3; form++) {
        const wd_expert_form want = form == 2 ? WD_EXPERTS_SEPARATE : WD_EXPERTS_FUSED;
        char *dir = test_make_dir();
        wd_arena *a = wd_arena_create(16u << 20, false);
        wd_inventory v;
        wd_inventory_diff d;
        wd_weights *w;
        assert_ok(wd_inventory_make(&c, want, a, &v, &err));
        write_checkpoint(dir, &v, form == 1, NULL, 0);
        assert_ok(wd_weights_open(dir, &w, &err));
        assert_int_equal(wd_expert_form_of(&c, w), want); /* what is there rules, not the architecture */
        assert_ok(wd_inventory_compare(&v, &c, w, a, &d, &err));
        assert_int_equal(d.n_missing + d.n_misshaped + d.n_extra, 0);
        wd_weights_close(w);
        wd_arena_destroy(a);
        test_rm_dir(dir);
    }
}

static void missing_misshaped_and_extra_tensors_are_told_apart(void **state)
{
    (void)state;
    static const test_tensor more[] = {
        { "lm_head.weight", "BF16", { 32, 64 } }, /* a copy of the tied head: no extra */
        { "model.layers.9.surprise.weight", "BF16", { 2 } },
        { "model.stray_scale_inv", "F32", { 2 } },
    };
    wd_model_config c;
    char *dir = test_make_dir();
    wd_arena *a = wd_arena_create(16u << 20, false);
    wd_inventory v, less;
    wd_inventory_diff d;
    wd_weights *w;
    make_tiny(&c);
    assert_ok(wd_inventory_make(&c, WD_EXPERTS_FUSED, a, &v, &err));
    less = v;
    less.n--; /* the last one is norm.weight */
    write_checkpoint(dir, &less, false, more, WD_COUNT(more));
    assert_ok(wd_weights_open(dir, &w, &err));
    v.tensor[1].dim[0]++; /* now the file's is wrong */
    assert_ok(wd_inventory_compare(&v, &c, w, a, &d, &err));
    assert_int_equal(d.n_missing, 1);
    assert_string_equal(d.missing[0]->name, "norm.weight");
    assert_int_equal(d.n_misshaped, 1);
    assert_string_equal(d.misshaped[0]->name, "layers.0.input_layernorm.weight");
    assert_int_equal(d.n_extra, 2);
    assert_string_equal(d.extra[0], "model.layers.9.surprise.weight"); /* as stored */
    assert_string_equal(d.extra[1], "model.stray_scale_inv");
    assert_ok(wd_inventory_warn_extra(&c, w, &err));
    wd_weights_close(w);
    wd_arena_destroy(a);
    test_rm_dir(dir);
}

static void listing_survives_every_failure(void **state)
{
    (void)state;
    wd_model_config c;
    make_config(&sizes[10], &c);
    for (uint64_t n = 1;; n++) {
        wd_inventory v;
        wd_inject_failure(n);
        wd_arena *a = wd_arena_create(16u << 20, false);
        const wd_status st = a ? wd_inventory_make(&c, WD_EXPERTS_FUSED, a, &v, NULL) : WD_E_NOMEM;
        wd_arena_destroy(a);
        const bool injected = wd_inject_failure(0) >= n;
        assert_int_equal(st, injected ? WD_E_NOMEM : WD_OK);
        if (!injected)
            break;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_published_size_has_its_tensors_and_parameters),
        cmocka_unit_test(vl_8b_is_the_published_inventory),
        cmocka_unit_test(both_expert_orders_and_separate_experts_fit),
        cmocka_unit_test(missing_misshaped_and_extra_tensors_are_told_apart),
        cmocka_unit_test(listing_survives_every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
