/* Models in GGUF files: configuration, names, values, parts, and the vision file. */
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "support/gguf.h"
#include "tensor/quant.h"
#include "weights/gguf_open.h"
#include "weights/inventory.h"

typedef struct opened {
    wd_gguf_set *set;
    wd_model_config c;
    wd_weights *w;
} opened;

/* Good until the fourth call after. */
static char *path_in(const char *dir, const char *name)
{
    static char path[4][1100];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static wd_status open_all(const char *path, const char *mmproj, opened *o, wd_err *err)
{
    *o = (opened){ 0 };
    WD_TRY(wd_gguf_set_open(path, mmproj, &o->set, err));
    WD_TRY(wd_gguf_config(o->set, &o->c, err));
    return wd_weights_open_gguf(o->set, &o->c, &o->w, err);
}

static void close_all(opened *o)
{
    wd_weights_close(o->w);
    wd_gguf_set_close(o->set);
}

/* The builder's file, written and opened. */
static void open_text(const char *dir, const test_gguf_model *m, opened *o)
{
    test_gguf b = { 0 };
    test_gguf_text(&b, m);
    test_gguf_write(&b, dir, "m.gguf");
    assert_ok(open_all(path_in(dir, "m.gguf"), NULL, o, &err));
}

static void refuse(test_gguf *b, const char *dir, wd_status code, const char *part)
{
    opened o;
    test_gguf_write(b, dir, "bad.gguf");
    assert_fails(open_all(path_in(dir, "bad.gguf"), NULL, &o, &err), code, part);
    close_all(&o);
}

/* Nothing missing, misshaped or extra, and everything can be fetched. */
static void check_inventory(opened *o)
{
    wd_inventory v;
    wd_inventory_diff d;
    wd_arena *a = wd_arena_create(1 << 24, false);
    assert_ok(wd_inventory_make(&o->c, wd_expert_form_of(&o->c, o->w), a, &v, &err));
    assert_ok(wd_inventory_compare(&v, &o->c, o->w, a, &d, &err));
    if (d.n_missing || d.n_misshaped || d.n_extra)
        fail_msg("missing %s, misshaped %s, extra %s", d.n_missing ? d.missing[0]->name : "none",
                 d.n_misshaped ? d.misshaped[0]->name : "none", d.n_extra ? d.extra[0] : "none");
    for (size_t i = 0; i < v.n; i++) {
        wd_tensor t;
        const wd_expected *e = &v.tensor[i];
        assert_ok(wd_weights_check(o->w, e->name, e->dim, e->n_dim, &err));
        assert_ok(wd_weights_get(o->w, e->name, e->dim, e->n_dim, &t, &err));
        assert_non_null(t.data);
        assert_true(t.dtype == WD_DTYPE_F32 || t.dtype == WD_DTYPE_F16 || t.dtype == WD_DTYPE_BF16 ||
                    t.scale);
    }
    wd_arena_destroy(a);
}

static wd_tensor get2(opened *o, const char *name, size_t rows, size_t cols)
{
    wd_tensor t;
    assert_ok(wd_weights_get(o->w, name, (size_t[]){ rows, cols }, 2, &t, &err));
    return t;
}

static void configuration_is_that_of_the_metadata(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    opened o;
    open_text(dir, &(test_gguf_model){ .type = WD_GGML_BF16 }, &o);
    assert_int_equal(o.c.arch, WD_ARCH_QWEN3);
    const wd_text_config *t = &o.c.text;
    assert_int_equal(t->n_vocab, 6);
    assert_int_equal(t->n_embd, 32);
    assert_int_equal(t->n_layer, 2);
    assert_int_equal(t->n_head, 2);
    assert_int_equal(t->n_kv_head, 1);
    assert_int_equal(t->head_dim, 16);
    assert_int_equal(t->n_ff, 64);
    assert_int_equal(t->max_pos, 128);
    assert_true(t->rope.theta == 5e6 && t->rms_eps == 1e-6f && t->tied && !t->attention_bias);
    assert_false(o.c.has_vision);
    assert_int_equal(o.c.n_stop, 2); /* <|endoftext|> is the file's eos, <|im_end|> is one by its name */
    assert_int_equal(o.c.stop[0], 1);
    assert_int_equal(o.c.stop[1], 0);
    assert_false(o.c.do_sample);
    check_inventory(&o);
    close_all(&o);
    open_text(dir, &(test_gguf_model){ .type = WD_GGML_BF16, .untied = true }, &o);
    assert_false(o.c.text.tied);
    check_inventory(&o);
    close_all(&o);
    test_rm_dir(dir);
}

static void sampling_yarn_and_other_keys_are_read(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    opened o;
    test_gguf b = { 0 };
    test_gguf_text(&b, &(test_gguf_model){ .type = WD_GGML_F32 });
    test_gguf_f32(&b, "general.sampling.temp", 0.5f);
    test_gguf_u32(&b, "general.sampling.top_k", 20);
    test_gguf_f32(&b, "general.sampling.top_p", 0.75f);
    test_gguf_f32(&b, "general.sampling.penalty_repeat", 1.25f);
    test_gguf_u32(&b, "tokenizer.ggml.eot_token_id", 5);
    test_gguf_str(&b, "qwen3.rope.scaling.type", "yarn");
    test_gguf_f32(&b, "qwen3.rope.scaling.factor", 4);
    test_gguf_u32(&b, "qwen3.rope.scaling.original_context_length", 32);
    test_gguf_write(&b, dir, "m.gguf");
    assert_ok(open_all(path_in(dir, "m.gguf"), NULL, &o, &err));
    assert_true(o.c.do_sample && o.c.temperature == 0.5 && o.c.top_p == 0.75 &&
                o.c.repetition_penalty == 1.25);
    assert_int_equal(o.c.top_k, 20);
    assert_int_equal(o.c.n_stop, 3);
    assert_true(o.c.text.rope.yarn && o.c.text.rope.yarn_factor == 4);
    assert_int_equal(o.c.text.rope.yarn_original_max_pos, 32);
    close_all(&o);
    test_rm_dir(dir);
}

static void joined_tensors_come_apart(void **state)
{
    (void)state;
    static const wd_ggml_type types[] = { WD_GGML_F32, WD_GGML_BF16, WD_GGML_Q8_0, WD_GGML_Q4_0 };
    char *dir = test_make_dir();
    for (size_t i = 0; i < WD_COUNT(types); i++) {
        opened o;
        open_text(dir, &(test_gguf_model){ .type = types[i], .moe = true, .joined = true }, &o);
        assert_int_equal(o.c.arch, WD_ARCH_QWEN3_MOE);
        assert_int_equal(o.c.text.n_expert, 4);
        assert_int_equal(o.c.text.n_expert_used, 2);
        assert_int_equal(o.c.text.n_ff_expert, 32);
        assert_true(o.c.text.norm_topk_prob && o.c.text.sparse[0] && o.c.text.sparse[1]);
        check_inventory(&o);

        /* values against the whole tensor's own blocks */
        const wd_gguf *g = wd_gguf_set_text(o.set);
        const wd_gguf_tensor *qkv = wd_gguf_tensor_find(g, "blk.1.attn_qkv.weight");
        const wd_gguf_tensor *both = wd_gguf_tensor_find(g, "blk.1.ffn_gate_up_exps.weight");
        static float want[4 * 64 * 32];
        wd_ggml_to_f32(types[i], qkv->data, want, 64 * 32);
        const wd_tensor k = get2(&o, "layers.1.self_attn.k_proj.weight", 16, 32);
        const wd_tensor v = get2(&o, "layers.1.self_attn.v_proj.weight", 16, 32);
        for (size_t e = 0; e < 16 * 32; e++) { /* F32 and BF16 in place, Q8_0 as W8, Q4_0 as W4: all exact */
            assert_true(wd_tensor_get(&k, e) == want[32 * 32 + e]);
            assert_true(wd_tensor_get(&v, e) == want[48 * 32 + e]);
        }
        wd_ggml_to_f32(types[i], both->data, want, 4 * 64 * 32);
        const wd_tensor up = get2(&o, "layers.1.mlp.experts.2.up_proj.weight", 32, 32);
        for (size_t e = 0; e < 32 * 32; e++)
            assert_true(wd_tensor_get(&up, e) == want[(2 * 64 + 32) * 32 + e]);
        close_all(&o);
    }
    test_rm_dir(dir);
}

static void values_are_packed_once_and_by_any_number_of_threads(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    wd_pool *pool;
    opened one, three;
    open_text(dir, &(test_gguf_model){ .type = WD_GGML_Q4_1 }, &one);
    open_text(dir, &(test_gguf_model){ .type = WD_GGML_Q4_1 }, &three);
    assert_ok(wd_pool_create(3, &pool, &err));
    wd_weights_use_pool(three.w, pool);
    assert_int_equal(wd_weights_made_bytes(one.w), 0);
    const wd_tensor a = get2(&one, "layers.0.mlp.up_proj.weight", 64, 32);
    const size_t bytes = wd_quant_bytes(WD_DTYPE_W4, 64, 32, 32);
    assert_int_equal(wd_weights_made_bytes(one.w), bytes);
    const wd_tensor again = get2(&one, "layers.0.mlp.up_proj.weight", 64, 32);
    assert_ptr_equal(a.data, again.data);
    assert_int_equal(wd_weights_made_bytes(one.w), bytes);
    const wd_tensor b = get2(&three, "layers.0.mlp.up_proj.weight", 64, 32);
    assert_int_equal(a.dtype, WD_DTYPE_W4);
    assert_memory_equal(a.data, b.data, bytes);
    for (size_t i = 0; i < wd_weights_count(one.w); i++) {
        const char *name;
        wd_weights_at(one.w, i, &name, NULL, NULL, NULL, NULL);
        if (!strcmp(name, "layers.0.mlp.up_proj.weight"))
            assert_string_equal(wd_weights_stored_type(one.w, i), "Q4_1");
    }
    close_all(&one);
    close_all(&three);
    wd_pool_destroy(pool);
    test_rm_dir(dir);
}

/* Real-looking rows in every type: what the products will see against what the file says. */
static void packed_values_are_those_of_the_file_or_near(void **state)
{
    (void)state;
    static const struct {
        wd_ggml_type type;
        wd_dtype dtype;
        double most; /* error, in parts of the largest value of 32 */
    } cases[] = {
        { WD_GGML_Q8_0, WD_DTYPE_W8, 0 },
        { WD_GGML_Q5_0, WD_DTYPE_W8, 0 },
        { WD_GGML_IQ4_NL, WD_DTYPE_W8, 0 },
        { WD_GGML_Q4_0, WD_DTYPE_W4, 0 },
        { WD_GGML_Q4_1, WD_DTYPE_W4, 2.0 / 32 / 7 },
        { WD_GGML_Q4_K, WD_DTYPE_W4, 2.0 / 32 / 7 },
        { WD_GGML_Q5_1, WD_DTYPE_W8, 1.0 / 250 },
        { WD_GGML_Q5_K, WD_DTYPE_W8, 1.0 / 250 },
        { WD_GGML_Q6_K, WD_DTYPE_W8, 1.0 / 250 },
    };
    static uint8_t blocks[34 * 256]; /* Q8_0 is the largest: 34 bytes for 32 values */
    static float want[32 * 256];
    for (size_t k = 0; k < WD_COUNT(cases); k++) {
        char *dir = test_make_dir();
        const wd_ggml_type type = cases[k].type;
        const size_t len = wd_ggml_block_len(type), bytes = wd_ggml_block_bytes(type), n = 32 * 256 / len;
        opened o;
        test_gguf b = { 0 };
        for (size_t i = 0; i < n * bytes; i++)
            blocks[i] = (uint8_t)(i * 167 + i / 13 * 29);
        for (size_t i = 0; i < n; i++) { /* scales of a size, minima below zero */
            uint8_t *at = blocks + i * bytes;
            const size_t d = type == WD_GGML_Q6_K ? 208 : 0;
            at[d + 1] = (uint8_t)(0x20 + i % 5);
            if (type == WD_GGML_Q4_1 || type == WD_GGML_Q5_1)
                at[3] = (uint8_t)(0xA8 + i % 3);
            for (size_t g = 0; g < 4 && (type == WD_GGML_Q4_K || type == WD_GGML_Q5_K); g++) {
                at[3] = 0x20;
                at[4 + g] |= 0xE0; /* scales of 32 and more, minima below: 0 lies in reach, as with weights */
                at[8 + g] &= 0x1F;
            }
        }
        test_gguf_text(&b, &(test_gguf_model){ .type = WD_GGML_F32 });
        test_gguf_tensor(&b, "blk.7.ffn_up.weight", type, (const size_t[]){ 32, 256, 0 }, blocks);
        test_gguf_write(&b, dir, "m.gguf");
        assert_ok(open_all(path_in(dir, "m.gguf"), NULL, &o, &err));
        const wd_tensor t = get2(&o, "layers.7.mlp.up_proj.weight", 32, 256);
        assert_int_equal(t.dtype, cases[k].dtype);
        wd_ggml_to_f32(type, blocks, want, 32 * 256);
        for (size_t g = 0; g < 32 * 256; g += 32) {
            double largest = 0;
            for (size_t i = g; i < g + 32; i++)
                largest = fmax(largest, fabs((double)want[i]));
            for (size_t i = g; i < g + 32; i++) {
                const double off = fabs((double)wd_tensor_get(&t, i) - (double)want[i]);
                if (off > cases[k].most * largest)
                    fail_msg("%s value %zu: %g, expected %g", wd_ggml_name(type), i,
                             (double)wd_tensor_get(&t, i), (double)want[i]);
            }
        }
        close_all(&o);
        test_rm_dir(dir);
    }
}

static void scales_that_are_no_numbers_are_refused(void **state)
{
    (void)state;
    static const uint8_t infinite[20] = { 0x00, 0x7C, 0x00, 0x3C };
    char *dir = test_make_dir();
    opened o;
    wd_tensor t;
    test_gguf b = { 0 };
    test_gguf_text(&b, &(test_gguf_model){ .type = WD_GGML_F32 });
    test_gguf_tensor(&b, "blk.7.ffn_up.weight", WD_GGML_Q4_1, (const size_t[]){ 1, 32, 0 }, infinite);
    test_gguf_write(&b, dir, "m.gguf");
    assert_ok(open_all(path_in(dir, "m.gguf"), NULL, &o, &err));
    assert_fails(wd_weights_get(o.w, "layers.7.mlp.up_proj.weight", (size_t[]){ 1, 32 }, 2, &t, &err),
                 WD_E_INVALID, "tensor blk.7.ffn_up.weight has values that are not finite or too large");
    close_all(&o);
    test_rm_dir(dir);
}

static void half_floats_become_bf16_only_when_nothing_is_lost(void **state)
{
    (void)state;
    static uint16_t kept[64 * 32], odd[64 * 32];
    char *dir = test_make_dir();
    opened o;
    test_gguf b = { 0 };
    for (size_t i = 0; i < 64 * 32; i++) /* eight bits of precision, and subnormal numbers with as many */
        kept[i] = odd[i] = (uint16_t)(i % 5 ? (i % 31) << 10 | (i % 128) << 3 : i % 256);
    odd[64 * 32 - 1] = 0x3C01; /* 1 + 2^-10 */
    test_gguf_text(&b, &(test_gguf_model){ .type = WD_GGML_F32 });
    test_gguf_tensor(&b, "blk.7.ffn_up.weight", WD_GGML_F16, (const size_t[]){ 64, 32, 0 }, kept);
    test_gguf_tensor(&b, "blk.8.ffn_up.weight", WD_GGML_F16, (const size_t[]){ 64, 32, 0 }, odd);
    test_gguf_write(&b, dir, "m.gguf");
    assert_ok(open_all(path_in(dir, "m.gguf"), NULL, &o, &err));
    const wd_tensor narrow = get2(&o, "layers.7.mlp.up_proj.weight", 64, 32);
    const wd_tensor wide = get2(&o, "layers.8.mlp.up_proj.weight", 64, 32);
    assert_int_equal(narrow.dtype, WD_DTYPE_BF16);
    assert_int_equal(wide.dtype, WD_DTYPE_F16);
    for (size_t i = 0; i < 64 * 32; i++) {
        assert_true(wd_tensor_get(&narrow, i) == wd_f16_to_f32(kept[i]));
        assert_true(wd_tensor_get(&wide, i) == wd_f16_to_f32(odd[i]));
    }
    assert_int_equal(wd_weights_made_bytes(o.w), 64 * 32 * 2); /* nothing of the other was kept */
    close_all(&o);
    test_rm_dir(dir);
}

static void write_pair(const char *dir, const test_gguf_model *m, wd_ggml_type vision)
{
    test_gguf b = { 0 };
    test_gguf_text(&b, m);
    test_gguf_write(&b, dir, "m.gguf");
    test_gguf_vision(&b, vision);
    test_gguf_write(&b, dir, "mmproj-m.gguf");
}

static void vision_part_is_found_and_fits(void **state)
{
    (void)state;
    const test_gguf_model m = { .type = WD_GGML_BF16, .eyes = true };
    char *dir = test_make_dir();
    opened o;
    write_pair(dir, &m, WD_GGML_BF16);
    assert_ok(open_all(path_in(dir, "m.gguf"), NULL, &o, &err));
    assert_int_equal(o.c.arch, WD_ARCH_QWEN3_VL);
    assert_true(o.c.has_vision && o.c.text.rope.mrope);
    assert_int_equal(o.c.text.rope.mrope_section[0], 4);
    assert_int_equal(o.c.text.rope.mrope_section[2], 2);
    assert_int_equal(o.c.image_token, 2);
    assert_int_equal(o.c.video_token, 3);
    assert_int_equal(o.c.vision_start_token, 4);
    assert_int_equal(o.c.vision_end_token, 5);
    const wd_vision_config *v = &o.c.vision;
    assert_int_equal(v->depth, 2);
    assert_int_equal(v->n_embd, 8);
    assert_int_equal(v->n_head, 2);
    assert_int_equal(v->n_ff, 32);
    assert_int_equal(v->patch_size, 4);
    assert_int_equal(v->temporal_patch_size, 2);
    assert_int_equal(v->merge_size, 2);
    assert_int_equal(v->n_pos, 4);
    assert_int_equal(v->n_out, 32);
    assert_int_equal(v->n_deepstack, 1);
    assert_int_equal(v->deepstack[0], 1); /* the block's number, not its place in the list */
    check_inventory(&o);
    close_all(&o);

    assert_ok(open_all(path_in(dir, "m.gguf"), path_in(dir, "mmproj-m.gguf"), &o, &err));
    close_all(&o);
    test_rm_dir(dir);
}

/* The patch embedding [n][3][2][4][4] out of two of [n][3][4][4]. */
static void two_convolutions_become_one(void **state)
{
    (void)state;
    const size_t dim[] = { 8, 3, 2, 4, 4 };
    static const struct {
        wd_ggml_type tower;
        wd_dtype want;
    } cases[] = { { WD_GGML_F32, WD_DTYPE_F32 },
                  { WD_GGML_BF16, WD_DTYPE_BF16 },
                  { WD_GGML_F16, WD_DTYPE_F32 } };
    for (size_t k = 0; k < WD_COUNT(cases); k++) {
        char *dir = test_make_dir();
        static float half[2][8 * 3 * 16];
        test_gguf b = { 0 };
        opened o;
        wd_tensor t;
        for (size_t i = 0; i < 8 * 3 * 16; i++) {
            half[0][i] = (float)(i % 251) / 2; /* eight bits */
            half[1][i] = -(float)(i % 256);
        }
        if (k == 2)
            half[1][5] = 0.1f; /* not a bf16: then all of it stays f32 */
        test_gguf_text(&b, &(test_gguf_model){ .type = WD_GGML_F32, .eyes = true });
        test_gguf_write(&b, dir, "m.gguf");
        test_gguf_vision(&b, cases[k].tower);
        memcpy(b.data.p, half[0], sizeof half[0]); /* the first two tensors */
        memcpy(b.data.p + sizeof half[0], half[1], sizeof half[1]);
        test_gguf_write(&b, dir, "mmproj-m.gguf");
        assert_ok(open_all(path_in(dir, "m.gguf"), NULL, &o, &err));
        assert_ok(wd_weights_get(o.w, "visual.patch_embed.proj.weight", dim, 5, &t, &err));
        assert_int_equal(t.dtype, cases[k].want);
        for (size_t c = 0; c < 24; c++)
            for (size_t f = 0; f < 2; f++)
                for (size_t i = 0; i < 16; i++)
                    assert_true(wd_tensor_get(&t, (c * 2 + f) * 16 + i) == half[f][c * 16 + i]);
        close_all(&o);
        test_rm_dir(dir);
    }
}

static void best_of_several_vision_parts_is_taken(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    test_gguf b = { 0 };
    opened o;
    write_pair(dir, &(test_gguf_model){ .type = WD_GGML_BF16, .eyes = true },
               WD_GGML_F32); /* mmproj-m.gguf */
    test_gguf_vision(&b, WD_GGML_F16);
    test_gguf_write(&b, dir, "MMPROJ-F16.gguf");
    test_write(dir, "mmproj-broken.gguf", "GGUF", 4);
    test_write(dir, "mmproj-notes.txt", "x", 1);
    test_gguf_vision(&b, WD_GGML_BF16); /* of another model: a DeepStack layer more */
    static const uint8_t both[] = { 1, 1 };
    uint8_t *list = memmem(b.pair.p, b.pair.n, "is_deepstack_layers", 19);
    memcpy(list + 19 + 4 + 4 + 8, both, 2);
    test_gguf_write(&b, dir, "mmproj-bf16.gguf");
    assert_ok(open_all(path_in(dir, "m.gguf"), NULL, &o, &err));
    assert_non_null(strstr(wd_gguf_set_vision(o.set)->path, "MMPROJ-F16.gguf"));
    close_all(&o);
    const char *wrong = path_in(dir, "mmproj-bf16.gguf");
    assert_fails(open_all(path_in(dir, "m.gguf"), wrong, &o, &err), WD_E_INVALID, "2 DeepStack layers");
    close_all(&o);
    test_rm_dir(dir);
}

static void without_a_vision_part_the_model_is_one_of_text(void **state)
{
    (void)state;
    static const bool moe[] = { false, true };
    for (size_t i = 0; i < 2; i++) {
        char *dir = test_make_dir();
        opened o;
        open_text(dir, &(test_gguf_model){ .type = WD_GGML_BF16, .eyes = true, .moe = moe[i] }, &o);
        assert_int_equal(o.c.arch, moe[i] ? WD_ARCH_QWEN3_VL_MOE : WD_ARCH_QWEN3_VL);
        assert_false(o.c.has_vision);
        assert_null(wd_gguf_set_vision(o.set));
        check_inventory(&o);
        close_all(&o);
        test_rm_dir(dir);
    }
}

static void other_models_are_named(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    opened o;
    test_gguf b = { 0 };
    test_gguf_str(&b, "general.architecture", "llama");
    refuse(&b, dir, WD_E_UNSUPPORTED,
           "architecture \"llama\" is unknown, expected qwen3, qwen3moe, qwen3vl or qwen3vlmoe");
    test_gguf_str(&b, "general.architecture", "qw\x1b[2Jen");
    refuse(&b, dir, WD_E_UNSUPPORTED, "architecture \"qw\" is unknown");
    test_gguf_u32(&b, "general.architecture", 1);
    refuse(&b, dir, WD_E_INVALID, "general.architecture is not a string");
    test_gguf_str(&b, "general.name", "x");
    refuse(&b, dir, WD_E_INVALID, "general.architecture is missing");
    test_gguf_vision(&b, WD_GGML_F32);
    refuse(&b, dir, WD_E_UNSUPPORTED, "this is a model's vision part; give the text model with -m");

    write_pair(dir, &(test_gguf_model){ .type = WD_GGML_F32 }, WD_GGML_F32);
    const char *vision = path_in(dir, "mmproj-m.gguf");
    assert_fails(open_all(path_in(dir, "m.gguf"), vision, &o, &err), WD_E_INVALID,
                 "a qwen3 model takes no vision part");
    close_all(&o);
    test_gguf_text(&b, &(test_gguf_model){ .type = WD_GGML_F32, .eyes = true });
    test_gguf_write(&b, dir, "m.gguf");
    const char *text = path_in(dir, "m.gguf");
    assert_fails(open_all(text, text, &o, &err), WD_E_UNSUPPORTED, "not a vision part that Ward reads");
    close_all(&o);
    test_rm_dir(dir);
}

static void what_the_metadata_lacks_or_contradicts_is_named(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    test_gguf b = { 0 };
    const test_gguf_model m = { .type = WD_GGML_F32 };
    static const struct {
        const char *key, *part;
    } gone[] = {
        { "qwen3.block_count", "qwen3.block_count is missing" },
        { "qwen3.context_length", "qwen3.context_length is missing" },
        { "qwen3.embedding_length", "qwen3.embedding_length is missing" },
        { "qwen3.attention.head_count", "qwen3.attention.head_count is missing" },
        { "qwen3.attention.key_length", "qwen3.attention.key_length is missing" },
        { "qwen3.feed_forward_length", "qwen3.feed_forward_length is missing" },
        { "qwen3.rope.freq_base", "qwen3.rope.freq_base is missing" },
        { "qwen3.attention.layer_norm_rms_epsilon", "layer_norm_rms_epsilon is missing" },
    };
    for (size_t i = 0; i < WD_COUNT(gone); i++) { /* the key becomes another one */
        test_gguf_text(&b, &m);
        uint8_t *key = memmem(b.pair.p, b.pair.n, gone[i].key, strlen(gone[i].key));
        assert_non_null(key);
        key[0] = 'Q';
        refuse(&b, dir, WD_E_INVALID, gone[i].part);
    }
    test_gguf_text(&b, &m);
    test_gguf_u32(&b, "qwen3.rope.dimension_count", 8);
    refuse(&b, dir, WD_E_UNSUPPORTED,
           "qwen3.rope.dimension_count is 8, expected all of qwen3.attention.key_length, 16");
    test_gguf_text(&b, &m);
    test_gguf_str(&b, "qwen3.rope.scaling.type", "longrope");
    refuse(&b, dir, WD_E_UNSUPPORTED, "qwen3.rope.scaling.type is neither \"none\" nor \"yarn\"");
    test_gguf_text(&b, &m);
    test_gguf_str(&b, "qwen3.rope.scaling.type", "yarn");
    refuse(&b, dir, WD_E_INVALID, "qwen3.rope.scaling.factor is missing");
    test_gguf_text(&b, &m);
    test_gguf_tensor(&b, "rope_freqs.weight", WD_GGML_F32, (const size_t[]){ 8, 0 }, NULL);
    refuse(&b, dir, WD_E_UNSUPPORTED, "tensor rope_freqs.weight changes the rotation");
    test_gguf_text(&b, &(test_gguf_model){ .type = WD_GGML_F32, .moe = true });
    test_gguf_tensor(&b, "blk.9.ffn_up_exps.weight", WD_GGML_F32, (const size_t[]){ 3, 32, 32, 0 }, NULL);
    refuse(&b, dir, WD_E_INVALID,
           "blk.9.ffn_up_exps.weight is [3, 32, 32], expected one matrix for each expert");
    test_gguf_text(&b, &m);
    test_gguf_tensor(&b, "blk.9.attn_qkv.weight", WD_GGML_F32, (const size_t[]){ 63, 32, 0 }, NULL);
    refuse(&b, dir, WD_E_INVALID, "blk.9.attn_qkv.weight is [63, 32], expected queries, keys and values");
    test_gguf_text(&b, &m);
    test_gguf_tensor(&b, "layers.0.mlp.up_proj.weight", WD_GGML_F32, (const size_t[]){ 1, 0 }, NULL);
    refuse(&b, dir, WD_E_CORRUPT, "are the same one by name");
    test_gguf_str(&b, "general.architecture", "qwen3");
    refuse(&b, dir, WD_E_UNSUPPORTED, "a vocabulary without weights");
    test_gguf_str(&b, "general.architecture", "qwen3");
    test_gguf_tensor(&b, "output_norm.weight", WD_GGML_F32, (const size_t[]){ 32, 0 }, NULL);
    refuse(&b, dir, WD_E_NOT_FOUND, "token_embd.weight, a matrix, is missing");
    test_rm_dir(dir);
}

static void put_split(test_gguf *b, uint32_t no, uint32_t count, uint32_t tensors)
{
    test_gguf_u32(b, "split.no", no);
    test_gguf_u32(b, "split.count", count);
    test_gguf_u32(b, "split.tensors.count", tensors);
}

static void parts_are_opened_together(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    opened o;
    test_gguf b = { 0 };
    const test_gguf_model m = { .type = WD_GGML_F32 };
    test_gguf_text(&b, &m);
    put_split(&b, 0, 2, (uint32_t)b.n_tensor + 1);
    test_gguf_write(&b, dir, "m-00001-of-00002.gguf");
    char first[1100];
    snprintf(first, sizeof first, "%s/m-00001-of-00002.gguf", dir);
    assert_fails(open_all(first, NULL, &o, &err), WD_E_NOT_FOUND, "m-00002-of-00002.gguf: cannot open");
    close_all(&o);
    put_split(&b, 1, 2, 0);
    test_gguf_tensor(&b, "output.weight", WD_GGML_F32, (const size_t[]){ 6, 32, 0 }, NULL);
    test_gguf_write(&b, dir, "m-00002-of-00002.gguf");
    assert_ok(open_all(first, NULL, &o, &err));
    assert_false(o.c.text.tied); /* the head is in the second part */
    check_inventory(&o);
    const char *file;
    wd_weights_at(o.w, wd_weights_count(o.w) - 1, NULL, NULL, &file, NULL, NULL);
    assert_string_equal(file, "m-00002-of-00002.gguf");
    close_all(&o);

    assert_fails(open_all(path_in(dir, "m-00002-of-00002.gguf"), NULL, &o, &err), WD_E_INVALID,
                 "general.architecture is missing");
    close_all(&o);
    test_gguf_text(&b, &m);
    put_split(&b, 1, 2, 0);
    refuse(&b, dir, WD_E_INVALID, "part 2 of 2; give the first part");
    test_gguf_text(&b, &m);
    put_split(&b, 0, 2, 0);
    refuse(&b, dir, WD_E_INVALID, "whose name should end in \"-00001-of-00002.gguf\"");
    put_split(&b, 0, 2, 0); /* says that it is the first */
    test_gguf_write(&b, dir, "m-00002-of-00002.gguf");
    assert_fails(open_all(first, NULL, &o, &err), WD_E_INVALID, "says that it is part 1, its name says 2");
    close_all(&o);
    put_split(&b, 1, 2, 0); /* without its tensor */
    test_gguf_write(&b, dir, "m-00002-of-00002.gguf");
    assert_fails(open_all(first, NULL, &o, &err), WD_E_CORRUPT, "tensors in all parts, expected");
    close_all(&o);
    test_rm_dir(dir);
}

static void digest_sees_every_byte_of_every_file(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    opened o;
    wd_digest first, again, other;
    write_pair(dir, &(test_gguf_model){ .type = WD_GGML_F32, .eyes = true }, WD_GGML_F32);
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            write_pair(dir, &(test_gguf_model){ .type = WD_GGML_F32, .eyes = true }, WD_GGML_BF16);
        assert_ok(open_all(path_in(dir, "m.gguf"), NULL, &o, &err));
        assert_ok(wd_weights_digest(o.w, i == 0 ? &first : i == 1 ? &again : &other, &err));
        close_all(&o);
    }
    assert_memory_equal(&first, &again, sizeof first);
    assert_memory_not_equal(&first, &other, sizeof first);
    test_rm_dir(dir);
}

static void files_are_known_by_name_or_beginning(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    test_write(dir, "a.gguf", "x", 1);
    test_write(dir, "b", "GGUF....", 8);
    test_write(dir, "c", "GGU", 3);
    assert_true(wd_gguf_is_path(path_in(dir, "a.gguf")));
    assert_true(wd_gguf_is_path(path_in(dir, "b")));
    assert_false(wd_gguf_is_path(path_in(dir, "c")));
    assert_false(wd_gguf_is_path(path_in(dir, "none.gguf")));
    assert_false(wd_gguf_is_path(dir));
    test_rm_dir(dir);
}

static void opening_survives_every_failure(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    write_pair(dir, &(test_gguf_model){ .type = WD_GGML_Q8_0, .eyes = true, .joined = true }, WD_GGML_BF16);
    for (uint64_t n = 1;; n++) {
        opened o;
        wd_tensor t;
        wd_digest d;
        const size_t patch[] = { 8, 3, 2, 4, 4 };
        wd_err err = { 0 };
        wd_inject_failure(n);
        wd_status st = open_all(path_in(dir, "m.gguf"), NULL, &o, &err);
        const bool sees = st == WD_OK && o.c.has_vision;
        if (!st)
            st = wd_weights_get(o.w, "layers.0.self_attn.q_proj.weight", (size_t[]){ 32, 32 }, 2, &t, &err);
        if (!st && sees)
            st = wd_weights_get(o.w, "visual.patch_embed.proj.weight", patch, 5, &t, &err);
        if (!st)
            st = wd_weights_digest(o.w, &d, &err);
        close_all(&o);
        const uint64_t passed = wd_inject_failure(0);
        if (passed < n) {
            if (st)
                fail_msg("n=%u: %s", (unsigned)n, err.text);
            assert_true(n > 60 && sees);
            break;
        }
        if (st == WD_OK) /* memory for JSON is asked for twice (base/json.c): then all is there */
            assert_true(sees);
        else
            assert_true(err.text[0] != 0);
    }
    test_rm_dir(dir);
}

int main(void)
{
    wd_json_use_our_memory();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configuration_is_that_of_the_metadata),
        cmocka_unit_test(sampling_yarn_and_other_keys_are_read),
        cmocka_unit_test(joined_tensors_come_apart),
        cmocka_unit_test(values_are_packed_once_and_by_any_number_of_threads),
        cmocka_unit_test(packed_values_are_those_of_the_file_or_near),
        cmocka_unit_test(scales_that_are_no_numbers_are_refused),
        cmocka_unit_test(half_floats_become_bf16_only_when_nothing_is_lost),
        cmocka_unit_test(vision_part_is_found_and_fits),
        cmocka_unit_test(two_convolutions_become_one),
        cmocka_unit_test(best_of_several_vision_parts_is_taken),
        cmocka_unit_test(without_a_vision_part_the_model_is_one_of_text),
        cmocka_unit_test(other_models_are_named),
        cmocka_unit_test(what_the_metadata_lacks_or_contradicts_is_named),
        cmocka_unit_test(parts_are_opened_together),
        cmocka_unit_test(digest_sees_every_byte_of_every_file),
        cmocka_unit_test(files_are_known_by_name_or_beginning),
        cmocka_unit_test(opening_survives_every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
