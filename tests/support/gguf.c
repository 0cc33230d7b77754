/* GGUF files made on the spot. */
#include "support/gguf.h"

#include <stdio.h>

#include "support/test.h"

enum { U32 = 4, I32 = 5, F32 = 6, BOOL = 7, STRING = 8, ARRAY = 9, U64 = 10 };

static void put(wd_buf *b, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        wd_buf_char(b, (char)(v >> (8 * i) & 0xff));
}

static void put_str(wd_buf *b, const char *s)
{
    put(b, strlen(s), 8);
    wd_buf_str(b, s);
}

static void put_key(test_gguf *g, const char *key, uint32_t type)
{
    put_str(&g->pair, key);
    put(&g->pair, type, 4);
    g->n_pair++;
}

static void put_array(test_gguf *g, const char *key, uint32_t type, size_t n)
{
    put_key(g, key, ARRAY);
    put(&g->pair, type, 4);
    put(&g->pair, n, 8);
}

static void put_float(wd_buf *b, float v)
{
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    put(b, bits, 4);
}

void test_gguf_u32(test_gguf *g, const char *key, uint32_t v)
{
    put_key(g, key, U32);
    put(&g->pair, v, 4);
}

void test_gguf_u64(test_gguf *g, const char *key, uint64_t v)
{
    put_key(g, key, U64);
    put(&g->pair, v, 8);
}

void test_gguf_f32(test_gguf *g, const char *key, float v)
{
    put_key(g, key, F32);
    put_float(&g->pair, v);
}

void test_gguf_bool(test_gguf *g, const char *key, bool v)
{
    put_key(g, key, BOOL);
    put(&g->pair, v, 1);
}

void test_gguf_str(test_gguf *g, const char *key, const char *v)
{
    put_key(g, key, STRING);
    put_str(&g->pair, v);
}

void test_gguf_i32s(test_gguf *g, const char *key, const int32_t *v, size_t n)
{
    put_array(g, key, I32, n);
    for (size_t i = 0; i < n; i++)
        put(&g->pair, (uint32_t)v[i], 4);
}

void test_gguf_f32s(test_gguf *g, const char *key, const float *v, size_t n)
{
    put_array(g, key, F32, n);
    for (size_t i = 0; i < n; i++)
        put_float(&g->pair, v[i]);
}

void test_gguf_bools(test_gguf *g, const char *key, const uint8_t *v, size_t n)
{
    put_array(g, key, BOOL, n);
    wd_buf_put(&g->pair, v, n);
}

void test_gguf_strs(test_gguf *g, const char *key, const char *const *v, size_t n)
{
    put_array(g, key, STRING, n);
    for (size_t i = 0; i < n; i++)
        put_str(&g->pair, v[i]);
}

void test_gguf_raw(test_gguf *g, const char *key, uint32_t type, const void *bytes, size_t n)
{
    put_key(g, key, type);
    wd_buf_put(&g->pair, bytes, n);
}

void test_gguf_entry(test_gguf *g, const char *name, uint32_t n_dim, const uint64_t *dim, uint32_t type,
                     uint64_t offset)
{
    put_str(&g->info, name);
    put(&g->info, n_dim, 4);
    for (uint32_t i = 0; i < n_dim; i++)
        put(&g->info, dim[i], 8);
    put(&g->info, type, 4);
    put(&g->info, offset, 8);
    g->n_tensor++;
}

static size_t alignment(const test_gguf *g)
{
    return g->alignment ? g->alignment : 32;
}

void test_gguf_tensor(test_gguf *g, const char *name, wd_ggml_type type, const size_t *dim, const void *bytes)
{
    uint64_t inner[4];
    uint32_t n_dim = 0;
    size_t count = 1;
    while (n_dim < 4 && dim[n_dim])
        n_dim++;
    for (uint32_t i = 0; i < n_dim; i++) {
        inner[i] = dim[n_dim - 1 - i];
        count *= dim[i];
    }
    while (g->data.n % alignment(g))
        wd_buf_char(&g->data, 0);
    test_gguf_entry(g, name, n_dim, inner, type, g->data.n);
    const size_t n = count / wd_ggml_block_len(type) * wd_ggml_block_bytes(type);
    for (size_t i = 0; i < n; i++)
        wd_buf_char(&g->data,
                    bytes ? ((const char *)bytes)[i] : (char)(i * 7 % 61)); /* small numbers of every type */
}

void test_gguf_end(test_gguf *g, wd_buf *out)
{
    wd_buf_str(out, "GGUF");
    put(out, g->version ? g->version : 3, 4);
    put(out, g->n_tensor, 8);
    put(out, g->n_pair, 8);
    wd_buf_span(out, wd_buf_view(&g->pair));
    wd_buf_span(out, wd_buf_view(&g->info));
    while (g->data.n && out->n % alignment(g))
        wd_buf_char(out, 0);
    wd_buf_span(out, wd_buf_view(&g->data));
    assert_ok(wd_buf_check(out, "GGUF", &err));
    wd_buf_free(&g->pair);
    wd_buf_free(&g->info);
    wd_buf_free(&g->data);
    *g = (test_gguf){ 0 };
}

void test_gguf_write(test_gguf *g, const char *dir, const char *name)
{
    wd_buf file = { 0 };
    test_gguf_end(g, &file);
    test_write(dir, name, file.p, file.n);
    wd_buf_free(&file);
}

#define DIM(...) ((const size_t[]){ __VA_ARGS__, 0 })

static void put_tokenizer(test_gguf *g)
{
    static const char *const tokens[] = { "<|im_end|>",    "<|endoftext|>",    "<|image_pad|>",
                                          "<|video_pad|>", "<|vision_start|>", "<|vision_end|>" };
    static const int32_t types[] = { 3, 3, 3, 3, 3, 3 };
    test_gguf_str(g, "tokenizer.ggml.model", "gpt2");
    test_gguf_str(g, "tokenizer.ggml.pre", "qwen2");
    test_gguf_strs(g, "tokenizer.ggml.tokens", tokens, 6);
    test_gguf_i32s(g, "tokenizer.ggml.token_type", types, 6);
    test_gguf_u32(g, "tokenizer.ggml.eos_token_id", 1);
}

static void put_layer(test_gguf *g, const test_gguf_model *m, unsigned i)
{
    char name[64];
#define LAYER(part, type, ...)                                   \
    do {                                                         \
        snprintf(name, sizeof name, "blk.%u.%s", i, part);       \
        test_gguf_tensor(g, name, type, DIM(__VA_ARGS__), NULL); \
    } while (0)
    LAYER("attn_norm.weight", WD_GGML_F32, 32);
    if (m->joined) {
        LAYER("attn_qkv.weight", m->type, 64, 32);
    } else {
        LAYER("attn_q.weight", m->type, 32, 32);
        LAYER("attn_k.weight", m->type, 16, 32);
        LAYER("attn_v.weight", m->type, 16, 32);
    }
    LAYER("attn_q_norm.weight", WD_GGML_F32, 16);
    LAYER("attn_k_norm.weight", WD_GGML_F32, 16);
    LAYER("attn_output.weight", m->type, 32, 32);
    LAYER("ffn_norm.weight", WD_GGML_F32, 32);
    if (!m->moe) {
        LAYER("ffn_gate.weight", m->type, 64, 32);
        LAYER("ffn_up.weight", m->type, 64, 32);
        LAYER("ffn_down.weight", m->type, 32, 64);
        return;
    }
    LAYER("ffn_gate_inp.weight", WD_GGML_F32, 4, 32);
    if (m->joined) {
        LAYER("ffn_gate_up_exps.weight", m->type, 4, 64, 32);
    } else {
        LAYER("ffn_gate_exps.weight", m->type, 4, 32, 32);
        LAYER("ffn_up_exps.weight", m->type, 4, 32, 32);
    }
    LAYER("ffn_down_exps.weight", m->type, 4, 32, 32);
#undef LAYER
}

void test_gguf_text(test_gguf *g, const test_gguf_model *m)
{
    static const int32_t sections[] = { 4, 2, 2, 0 };
    const char *arch = m->eyes ? m->moe ? "qwen3vlmoe" : "qwen3vl" : m->moe ? "qwen3moe" : "qwen3";
    const struct {
        const char *key;
        uint32_t v;
    } sizes[] = {
        { "block_count", 2 },
        { "context_length", 128 },
        { "embedding_length", 32 },
        { "feed_forward_length", 64 },
        { "attention.head_count", 2 },
        { "attention.head_count_kv", 1 },
        { "attention.key_length", 16 },
        { "attention.value_length", 16 },
        { "expert_count", 4 },
        { "expert_used_count", 2 },
        { "expert_feed_forward_length", 32 },
        { "n_deepstack_layers", 1 },
    };
    char key[64];
    test_gguf_str(g, "general.architecture", arch);
    for (size_t i = 0; i < 12 - (m->eyes ? 0 : 1); i++) {
        if (!strncmp(sizes[i].key, "expert", 6) && !m->moe)
            continue;
        snprintf(key, sizeof key, "%s.%s", arch, sizes[i].key);
        test_gguf_u32(g, key, sizes[i].v);
    }
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    test_gguf_f32(g, key, 1e-6f);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    test_gguf_f32(g, key, 5e6f);
    snprintf(key, sizeof key, "%s.rope.dimension_sections", arch);
    if (m->eyes)
        test_gguf_i32s(g, key, sections, 4);
    put_tokenizer(g);
    test_gguf_tensor(g, "token_embd.weight", m->type, DIM(6, 32), NULL);
    test_gguf_tensor(g, "output_norm.weight", WD_GGML_F32, DIM(32), NULL);
    if (m->untied)
        test_gguf_tensor(g, "output.weight", m->type, DIM(6, 32), NULL);
    for (unsigned i = 0; i < 2; i++)
        put_layer(g, m, i);
}

/* NAME.weight and NAME.bias; n_in 0: a norm. */
static void put_biased(test_gguf *g, const char *name, wd_ggml_type type, size_t n_out, size_t n_in)
{
    char whole[64];
    snprintf(whole, sizeof whole, "%s.weight", name);
    test_gguf_tensor(g, whole, n_in ? type : WD_GGML_F32, (const size_t[]){ n_out, n_in, 0 }, NULL);
    snprintf(whole, sizeof whole, "%s.bias", name);
    test_gguf_tensor(g, whole, WD_GGML_F32, DIM(n_out), NULL);
}

void test_gguf_vision(test_gguf *g, wd_ggml_type type)
{
    static const uint8_t deepstack[] = { 0, 1 };
    static const float half[] = { 0.5f, 0.25f, 0.125f };
    static const struct {
        const char *key;
        uint32_t v;
    } sizes[] = { { "patch_size", 4 },  { "embedding_length", 8 },     { "feed_forward_length", 32 },
                  { "block_count", 2 }, { "attention.head_count", 2 }, { "projection_dim", 32 },
                  { "image_size", 8 },  { "spatial_merge_size", 2 } };
    char name[64];
    test_gguf_str(g, "general.architecture", "clip");
    test_gguf_str(g, "clip.projector_type", "qwen3vl_merger");
    test_gguf_bool(g, "clip.has_vision_encoder", true);
    test_gguf_bool(g, "clip.use_gelu", true);
    test_gguf_f32(g, "clip.vision.attention.layer_norm_epsilon", 1e-6f);
    for (size_t i = 0; i < WD_COUNT(sizes); i++) {
        snprintf(name, sizeof name, "clip.vision.%s", sizes[i].key);
        test_gguf_u32(g, name, sizes[i].v);
    }
    test_gguf_bools(g, "clip.vision.is_deepstack_layers", deepstack, 2);
    test_gguf_f32s(g, "clip.vision.image_mean", half, 3);
    test_gguf_f32s(g, "clip.vision.image_std", half, 3);
    test_gguf_tensor(g, "v.patch_embd.weight", WD_GGML_F32, DIM(8, 3, 4, 4), NULL);
    test_gguf_tensor(g, "v.patch_embd.weight.1", WD_GGML_F32, DIM(8, 3, 4, 4), NULL);
    test_gguf_tensor(g, "v.patch_embd.bias", WD_GGML_F32, DIM(8), NULL);
    test_gguf_tensor(g, "v.position_embd.weight", WD_GGML_F32, DIM(4, 8), NULL);
    for (unsigned i = 0; i < 2; i++) {
        static const struct {
            const char *name;
            size_t n_out, n_in;
        } parts[] = { { "ln1", 8, 0 }, { "attn_qkv", 24, 8 }, { "attn_out", 8, 8 },
                      { "ln2", 8, 0 }, { "ffn_up", 32, 8 },   { "ffn_down", 8, 32 } };
        for (size_t k = 0; k < WD_COUNT(parts); k++) {
            snprintf(name, sizeof name, "v.blk.%u.%s", i, parts[k].name);
            put_biased(g, name, type, parts[k].n_out, parts[k].n_in);
        }
    }
    put_biased(g, "v.post_ln", type, 8, 0);
    put_biased(g, "mm.0", type, 32, 32);
    put_biased(g, "mm.2", type, 32, 32);
    put_biased(g, "v.deepstack.1.norm", type, 32, 0);
    put_biased(g, "v.deepstack.1.fc1", type, 32, 32);
    put_biased(g, "v.deepstack.1.fc2", type, 32, 32);
}
