/* GGUF files made on the spot, good ones and such as no converter would write. */
#ifndef WD_TESTS_SUPPORT_GGUF_H
#define WD_TESTS_SUPPORT_GGUF_H

#include "tensor/ggml_blocks.h"
#include "base/buf.h"

typedef struct test_gguf {
    wd_buf pair, info, data;
    uint32_t version;          /* 0: 3 */
    size_t alignment;          /* 0: 32; says nothing in the metadata */
    uint64_t n_pair, n_tensor; /* counted on the way; a test may lie */
} test_gguf;

void test_gguf_u32(test_gguf *g, const char *key, uint32_t v);
void test_gguf_u64(test_gguf *g, const char *key, uint64_t v);
void test_gguf_f32(test_gguf *g, const char *key, float v);
void test_gguf_bool(test_gguf *g, const char *key, bool v);
void test_gguf_str(test_gguf *g, const char *key, const char *v);
void test_gguf_i32s(test_gguf *g, const char *key, const int32_t *v, size_t n);
void test_gguf_f32s(test_gguf *g, const char *key, const float *v, size_t n);
void test_gguf_bools(test_gguf *g, const char *key, const uint8_t *v, size_t n);
void test_gguf_strs(test_gguf *g, const char *key, const char *const *v, size_t n);
/* A pair as it is: key, type, and the bytes after it. */
void test_gguf_raw(test_gguf *g, const char *key, uint32_t type, const void *bytes, size_t n);

/* The next tensor, dimensions outermost first, ending at 0. bytes NULL: 1, 2, 3, ... */
void test_gguf_tensor(test_gguf *g, const char *name, wd_ggml_type type, const size_t *dim,
                      const void *bytes);
/* An entry of the table as it is; dimensions innermost first. */
void test_gguf_entry(test_gguf *g, const char *name, uint32_t n_dim, const uint64_t *dim, uint32_t type,
                     uint64_t offset);

/* The whole file, appended to *out; the builder becomes empty again. */
void test_gguf_end(test_gguf *g, wd_buf *out);
void test_gguf_write(test_gguf *g, const char *dir, const char *name);

/* A qwen3 text model of two layers: 6 tokens, width 32, heads 2 of 16, one key-value head, feed-forward 64; types of
 * matrices as given. moe: 4 experts, 2 used, feed-forward 32; eyes: qwen3vl(moe), one DeepStack layer. */
typedef struct test_gguf_model {
    wd_ggml_type type;
    bool moe, eyes, untied, joined; /* joined: attn_qkv and ffn_gate_up_exps */
} test_gguf_model;
void test_gguf_text(test_gguf *g, const test_gguf_model *m);
/* Its vision part: two blocks of width 8, 2 heads, feed-forward 32, patches of 4, 4 positions. */
void test_gguf_vision(test_gguf *g, wd_ggml_type type);

#endif
