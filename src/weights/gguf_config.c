/* From a GGUF file's metadata to a configuration.
 *
 * The metadata is put into the words of config.json and read by the same code, so that one place decides what Ward
 * computes. Ranges are checked here, where the GGUF key can be named; what several values must be together is checked
 * there.
 */
#include <math.h>
#include <stdio.h>

#include "base/json.h"
#include "weights/gguf_parts.h"

#define ARENA_MAX ((size_t)1 << 30)
#define MAX_SIZE (1 << 24)
#define TEMPORAL 2 /* frames in a patch: the two convolutions */

typedef struct reader {
    const wd_gguf_set *s;
    const wd_gguf *g; /* the text model's first file */
    wd_arena *arena;
    wd_span *token; /* [n_token] */
    size_t n_token;
    wd_err *err;
    wd_status st; /* the first failure; nothing is read after it */
} reader;

/* Gives v up. NULL, as a list without memory is, or an object without memory for it: a failure like any other. */
static void set(reader *r, json_t *o, const char *key, json_t *v)
{
    if (json_object_set_new(o, key, v) && !r->st)
        r->st = WD_FAIL(r->err, WD_E_NOMEM, "%s: no memory for its configuration", r->g->path);
}

/* The value of ARCH.NAME into o[key]; what is absent stays absent unless it is needed. */
static void put_int(reader *r, json_t *o, const char *key, const char *name, bool need, int64_t min)
{
    char whole[WD_GGUF_KEY_MAX];
    int64_t v;
    wd_gguf__key(r->s, name, whole);
    if (r->st || (!need && !wd_gguf_find(r->g, whole)))
        return;
    r->st = wd_gguf_need_same_int(r->g, whole, min, MAX_SIZE * (int64_t)4, &v, r->err);
    if (!r->st)
        set(r, o, key, json_integer(v));
}

static void put_num(reader *r, json_t *o, const char *key, const char *name, bool need, double min,
                    double max)
{
    char whole[WD_GGUF_KEY_MAX];
    double v;
    wd_gguf__key(r->s, name, whole);
    if (r->st || (!need && !wd_gguf_find(r->g, whole)))
        return;
    r->st = wd_gguf_need_num(r->g, whole, min, max, &v, r->err);
    if (!r->st)
        set(r, o, key, json_real(v));
}

static bool has_tensor(const reader *r, const char *name)
{
    return wd_gguf__text_tensor(r->s, name) != NULL;
}

/* The id of a token by its text, -1: none. */
static int64_t token_id(const reader *r, const char *text)
{
    for (size_t i = 0; i < r->n_token; i++)
        if (wd_span_is(r->token[i], text))
            return (int64_t)i;
    return -1;
}

/* ---- the text model ---- */

static void put_mrope(reader *r, json_t *rope)
{
    char key[WD_GGUF_KEY_MAX];
    const wd_gguf_pair *p = NULL;
    if (!r->st)
        r->st = wd_gguf_array(r->g, wd_gguf__key(r->s, "rope.dimension_sections", key), &p, r->err);
    if (r->st)
        return;
    if (!p || p->n < 3 || p->n > 4 || (p->n == 4 && wd_gguf_int_at(p, 3) != 0)) {
        r->st = WD_FAIL(r->err, WD_E_INVALID, "%s: %s should be three numbers and perhaps a zero", r->g->path,
                        key);
        return;
    }
    json_t *list = json_array();
    for (uint64_t i = 0; i < 3; i++)
        wd_json_append(&list, json_integer(wd_gguf_int_at(p, i)));
    set(r, rope, "mrope_section", list);
}

static void put_scaling(reader *r, json_t *rope)
{
    static const char *const factors[] = { "rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor",
                                           "rope.scaling.yarn_ext_factor" };
    char key[WD_GGUF_KEY_MAX];
    wd_span type = { 0 };
    double v;
    if (!r->st)
        r->st = wd_gguf_str(r->g, wd_gguf__key(r->s, "rope.scaling.type", key), &type, r->err);
    if (r->st || !type.p || wd_span_is(type, "none"))
        return;
    if (!wd_span_is(type, "yarn")) {
        r->st = WD_FAIL(r->err, WD_E_UNSUPPORTED, "%s: %s is neither \"none\" nor \"yarn\"", r->g->path, key);
        return;
    }
    set(r, rope, "rope_type", json_string("yarn"));
    put_num(r, rope, "factor", "rope.scaling.factor", true, 1, 1024);
    put_int(r, rope, "original_max_position_embeddings", "rope.scaling.original_context_length", true, 1);
    put_num(r, rope, "beta_fast", "rope.scaling.yarn_beta_fast", false, 1e-6, 1e6);
    put_num(r, rope, "beta_slow", "rope.scaling.yarn_beta_slow", false, 1e-6, 1e6);
    for (size_t i = 0; i < WD_COUNT(factors) && !r->st; i++) {
        r->st = wd_gguf_num(r->g, wd_gguf__key(r->s, factors[i], key), -1e9, 1e9, 1, &v, r->err);
        if (!r->st && v != 1)
            r->st = WD_FAIL(r->err, WD_E_UNSUPPORTED, "%s: %s is %g, only 1 is supported", r->g->path, key,
                            v);
    }
}

static void check_key_length(reader *r)
{
    char key[WD_GGUF_KEY_MAX], value[WD_GGUF_KEY_MAX];
    int64_t k = 0, v = 0;
    if (!r->st)
        r->st = wd_gguf_need_int(r->g, wd_gguf__key(r->s, "attention.key_length", key), 2, 1024, &k, r->err);
    if (!r->st)
        r->st = wd_gguf_int(r->g, wd_gguf__key(r->s, "attention.value_length", value), 2, 1024, k, &v,
                            r->err);
    if (!r->st && k != v)
        r->st = WD_FAIL(r->err, WD_E_UNSUPPORTED, "%s: %s is %lld and %s %lld, both should be the same",
                        r->g->path, key, (long long)k, value, (long long)v);
    if (!r->st)
        r->st = wd_gguf_int(r->g, wd_gguf__key(r->s, "rope.dimension_count", value), 2, 1024, k, &v, r->err);
    if (!r->st && k != v)
        r->st = WD_FAIL(r->err, WD_E_UNSUPPORTED, "%s: %s is %lld, expected all of %s, %lld", r->g->path,
                        value, (long long)v, key, (long long)k);
}

static void put_vocab(reader *r, json_t *o)
{
    const wd_gguf_tensor *t = wd_gguf__text_tensor(r->s, "token_embd.weight");
    if (r->st)
        return;
    if (!t || t->n_dim != 2 || t->dim[0] > MAX_SIZE)
        r->st = WD_FAIL(r->err, WD_E_NOT_FOUND, "%s: token_embd.weight, a matrix, is missing", r->g->path);
    else if (r->n_token > t->dim[0])
        r->st = WD_FAIL(r->err, WD_E_INVALID, "%s: %zu tokens, but token_embd.weight has %zu rows",
                        r->g->path, r->n_token, t->dim[0]);
    else
        set(r, o, "vocab_size", json_integer((json_int_t)t->dim[0]));
}

/* Layers without a router are dense. */
static void put_dense_layers(reader *r, json_t *o)
{
    char name[64];
    json_t *list = json_array();
    const json_int_t n = json_integer_value(json_object_get(o, "num_hidden_layers"));
    for (json_int_t i = 0; i < n && i < WD_MAX_LAYERS; i++) {
        snprintf(name, sizeof name, "blk.%lld.ffn_gate_inp.weight", (long long)i);
        if (!has_tensor(r, name))
            wd_json_append(&list, json_integer(i));
    }
    set(r, o, "mlp_only_layers", list);
}

static void put_text(reader *r, json_t *o, bool sees)
{
    const bool moe = r->s->arch == WD_ARCH_QWEN3_MOE || r->s->arch == WD_ARCH_QWEN3_VL_MOE;
    json_t *rope = json_object();
    put_vocab(r, o);
    check_key_length(r);
    put_int(r, o, "hidden_size", "embedding_length", true, 1);
    put_int(r, o, "num_hidden_layers", "block_count", true, 1);
    put_int(r, o, "num_attention_heads", "attention.head_count", true, 1);
    put_int(r, o, "num_key_value_heads", "attention.head_count_kv", false, 1);
    put_int(r, o, "head_dim", "attention.key_length", true, 2);
    put_int(r, o, "max_position_embeddings", "context_length", true, 1);
    put_int(r, o, "intermediate_size", "feed_forward_length", !moe, !moe);
    put_num(r, o, "rms_norm_eps", "attention.layer_norm_rms_epsilon", true, 1e-12, 0.1);
    put_num(r, o, "rope_theta", "rope.freq_base", true, 2, 1e15);
    if (moe) {
        put_int(r, o, "num_experts", "expert_count", true, 1);
        put_int(r, o, "num_experts_per_tok", "expert_used_count", true, 1);
        put_int(r, o, "moe_intermediate_size", "expert_feed_forward_length", true, 1);
        set(r, o, "norm_topk_prob", json_true()); /* of every published model; the file does not say */
        put_dense_layers(r, o);
    }
    put_scaling(r, rope);
    if (sees)
        put_mrope(r, rope);
    set(r, o, "rope_scaling", rope);
    set(r, o, "attention_bias", json_boolean(has_tensor(r, "blk.0.attn_q.bias")));
    set(r, o, "tie_word_embeddings", json_boolean(!has_tensor(r, "output.weight")));
}

/* ---- the vision file ---- */

static void put_clip(reader *r, json_t *o, const char *key, const char *name, int64_t def)
{
    char whole[WD_GGUF_KEY_MAX];
    const wd_gguf *v = wd_gguf_set_vision(r->s);
    int64_t n = def;
    snprintf(whole, sizeof whole, "clip.vision.%s", name);
    if (!r->st)
        r->st = def ? wd_gguf_int(v, whole, 1, MAX_SIZE, def, &n, r->err)
                    : wd_gguf_need_int(v, whole, 1, MAX_SIZE, &n, r->err);
    set(r, o, key, json_integer(n));
}

static void check_clip(reader *r, const wd_gguf *v)
{
    bool on = true;
    double eps;
    if (!r->st)
        r->st = wd_gguf_bool(v, "clip.use_gelu", true, &on, r->err);
    if (!r->st && !on)
        r->st = WD_FAIL(r->err, WD_E_UNSUPPORTED, "%s: clip.use_gelu is false, only GELU is supported",
                        v->path);
    if (!r->st)
        r->st = wd_gguf_num(v, "clip.vision.attention.layer_norm_epsilon", 1e-12, 1, 1e-6, &eps, r->err);
    if (!r->st && fabs(eps - 1e-6) > 1e-9)
        r->st = WD_FAIL(r->err, WD_E_UNSUPPORTED,
                        "%s: clip.vision.attention.layer_norm_epsilon is %g, only 1e-06 is supported",
                        v->path, eps);
    if (!r->st && !wd_gguf_tensor_find(v, "v.patch_embd.weight.1"))
        r->st = WD_FAIL(r->err, WD_E_NOT_FOUND,
                        "%s: v.patch_embd.weight.1 is missing: patches of two frames are expected", v->path);
}

static void put_vision(reader *r, json_t *o)
{
    const wd_gguf *v = wd_gguf_set_vision(r->s);
    uint32_t layer[WD_MAX_DEEPSTACK], n_layer = 0;
    check_clip(r, v);
    put_clip(r, o, "depth", "block_count", 0);
    put_clip(r, o, "hidden_size", "embedding_length", 0);
    put_clip(r, o, "num_heads", "attention.head_count", 0);
    put_clip(r, o, "intermediate_size", "feed_forward_length", 0);
    put_clip(r, o, "patch_size", "patch_size", 0);
    put_clip(r, o, "spatial_merge_size", "spatial_merge_size", 2);
    put_clip(r, o, "out_hidden_size", "projection_dim", 0);
    set(r, o, "temporal_patch_size", json_integer(TEMPORAL));

    const wd_gguf_tensor *pos = wd_gguf_tensor_find(v, "v.position_embd.weight");
    if (!r->st && (!pos || pos->n_dim != 2 || pos->dim[0] > MAX_SIZE))
        r->st = WD_FAIL(r->err, WD_E_NOT_FOUND, "%s: v.position_embd.weight, a matrix, is missing", v->path);
    if (!r->st)
        set(r, o, "num_position_embeddings", json_integer((json_int_t)pos->dim[0]));
    if (!r->st)
        r->st = wd_gguf__deepstack(v, layer, &n_layer, r->err);
    json_t *list = json_array();
    for (uint32_t i = 0; i < n_layer; i++)
        wd_json_append(&list, json_integer(layer[i]));
    set(r, o, "deepstack_visual_indexes", list);
}

static void put_visual_tokens(reader *r, json_t *o)
{
    static const char *const names[][2] = {
        { "image_token_id", "<|image_pad|>" },
        { "video_token_id", "<|video_pad|>" },
        { "vision_start_token_id", "<|vision_start|>" },
        { "vision_end_token_id", "<|vision_end|>" },
    };
    for (size_t i = 0; i < WD_COUNT(names) && !r->st; i++) {
        const int64_t id = token_id(r, names[i][1]);
        if (id < 0)
            r->st = WD_FAIL(r->err, WD_E_INVALID, "%s: tokenizer.ggml.tokens has no %s", r->g->path,
                            names[i][1]);
        set(r, o, names[i][0], json_integer(id));
    }
}

/* ---- both ---- */

/* Without a tower the positions of a token are all its index, and the model is that of plain text. */
static json_t *whole_config(reader *r)
{
    json_t *o = json_object();
    const wd_arch a = r->s->arch;
    if (!r->s->has_vision) {
        const bool moe = a == WD_ARCH_QWEN3_MOE || a == WD_ARCH_QWEN3_VL_MOE;
        set(r, o, "model_type", json_string(wd_arch_name(moe ? WD_ARCH_QWEN3_MOE : WD_ARCH_QWEN3)));
        put_text(r, o, false);
        return o;
    }
    json_t *text = json_object(), *vision = json_object();
    set(r, o, "model_type", json_string(wd_arch_name(a)));
    put_text(r, text, true);
    put_vision(r, vision);
    put_visual_tokens(r, o);
    set(r, o, "text_config", text);
    set(r, o, "vision_config", vision);
    return o;
}

static void add_stop(reader *r, json_t **list, int64_t id)
{
    for (size_t i = 0; i < json_array_size(*list); i++)
        if (json_integer_value(json_array_get(*list, i)) == id)
            return;
    if (id >= 0 && id < (int64_t)r->n_token)
        wd_json_append(list, json_integer(id));
}

static json_t *whole_generation(reader *r)
{
    static const char *const ids[] = { "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id" };
    static const char *const numbers[][2] = { { "general.sampling.temp", "temperature" },
                                              { "general.sampling.top_p", "top_p" },
                                              { "general.sampling.penalty_repeat", "repetition_penalty" } };
    json_t *o = json_object(), *stop = json_array();
    int64_t id;
    double v;
    for (size_t i = 0; i < WD_COUNT(ids) && !r->st; i++) {
        r->st = wd_gguf_int(r->g, ids[i], 0, MAX_SIZE, -1, &id, r->err);
        if (!r->st)
            add_stop(r, &stop, id);
    }
    add_stop(r, &stop, token_id(r, "<|im_end|>"));
    add_stop(r, &stop, token_id(r, "<|endoftext|>"));
    if (stop && json_array_size(stop) == 0) {
        json_decref(stop); /* nothing to say: the family's */
    } else {
        set(r, o, "eos_token_id", stop);
    }
    for (size_t i = 0; i < WD_COUNT(numbers) && !r->st; i++) {
        if (!wd_gguf_find(r->g, numbers[i][0]))
            continue;
        r->st = wd_gguf_need_num(r->g, numbers[i][0], 0, 1000, &v, r->err);
        set(r, o, numbers[i][1], json_real(v));
        if (i == 0)
            set(r, o, "do_sample", json_boolean(v > 0));
    }
    if (!r->st && wd_gguf_find(r->g, "general.sampling.top_k")) {
        r->st = wd_gguf_need_int(r->g, "general.sampling.top_k", 0, MAX_SIZE, &id, r->err);
        set(r, o, "top_k", json_integer(id));
    }
    return o;
}

/* Hands a document over as text. */
static wd_status parse(reader *r, json_t *(*make)(reader *),
                       wd_status (*use)(wd_span, const char *, wd_model_config *, wd_err *),
                       wd_model_config *c)
{
    wd_buf text = { 0 };
    json_t *o = make(r);
    wd_status st = r->st;
    if (!st)
        st = wd_json_write(o, JSON_COMPACT, &text, r->err);
    if (!st)
        st = use(wd_buf_view(&text), r->g->path, c, r->err);
    json_decref(o);
    wd_buf_free(&text);
    return st;
}

wd_status wd_gguf_config(const wd_gguf_set *s, wd_model_config *out, wd_err *err)
{
    wd_model_config c = { 0 };
    reader r = { .s = s, .g = wd_gguf_set_text(s), .err = err, .arena = wd_arena_create(ARENA_MAX, false) };
    if (!r.arena)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to read its metadata", r.g->path);
    r.st = wd_gguf_strings(r.g, "tokenizer.ggml.tokens", r.arena, &r.token, &r.n_token, err);
    if (!r.st)
        r.st = parse(&r, whole_config, wd_config_parse, &c);
    if (!r.st)
        r.st = parse(&r, whole_generation, wd_config_parse_generation, &c);
    wd_arena_destroy(r.arena);
    if (r.st)
        return r.st;
    c.arch = s->arch;
    *out = c;
    return WD_OK;
}
