/* PEFT adapters: configuration, names, shapes. The model applies them. */
#include "weights/lora.h"

#include <math.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/json.h"
#include "base/map.h"
#include "weights/safetensors.h"
#include "weights/weights.h"

#define CONFIG_FILE "adapter_config.json"
#define WEIGHTS_FILE "adapter_model.safetensors"
#define PICKLE_FILE "adapter_model.bin"
#define CONFIG_MAX ((size_t)4 << 20)
#define ARENA_MAX ((size_t)1 << 30)
#define MAX_RANK 65536
#define PEFT_PREFIX "base_model.model."

typedef struct module {
    const char *name; /* normal name, no ".weight" */
    const char *path; /* as PEFT saw it: what rank_pattern and alpha_pattern speak of */
    wd_lora_pair pair;
    bool has_a, has_b;
} module;

struct wd_lora {
    wd_arena *arena;
    const char *dir, *config_path, *weights_path;
    wd_st_file file;
    module *module; /* by name */
    size_t n;
    wd_map *by_name;
    json_t *config; /* while opening */
    int64_t r;
    double alpha, user_scale;
    bool rslora;
};

/* PEFT features that change the numbers in a way that A, B and a scale do not say. */
static const struct {
    const char *key, *what;
} unsupported[] = {
    { "use_dora", "DoRA" },
    { "lora_bias", "a bias beside B" },
    { "fan_in_fan_out", "transposed weights" },
    { "modules_to_save", "replaced modules" },
    { "target_parameters", "adapters on bare parameters" },
    { "trainable_token_indices", "trained token embeddings" },
    { "layer_replication", "replicated layers" },
    { "alora_invocation_tokens", "activated LoRA" },
    { "use_qalora", "QA-LoRA" },
    { "use_bdlora", "block-diagonal LoRA" },
    { "arrow_config", "Arrow routing" },
    { "kasa_config", "KaSA" },
    { "monteclora_config", "MonteCLoRA" },
};

/* Initialisations that also rewrite the base: the adapter alone does not give the trained model. */
static const char *const base_changing_init[] = { "pissa", "olora", "corda", "loftq", "lora_ga" };

static wd_status no_memory(const wd_lora *l, wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the adapter", l->dir);
}

static bool is_set(const json_t *v)
{
    if (json_is_object(v))
        return json_object_size(v) > 0;
    if (json_is_array(v))
        return json_array_size(v) > 0;
    if (json_is_string(v))
        return json_string_length(v) > 0;
    return v && !json_is_null(v) && !json_is_false(v);
}

static wd_status check_variant(const wd_lora *l, wd_err *err)
{
    const char *type, *bias;
    WD_TRY(wd_json_need_str(l->config, l->config_path, "peft_type", &type, err));
    if (strcmp(type, "LORA") != 0)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: peft_type is \"%.64s\", only \"LORA\" is supported",
                       l->config_path, type);
    for (size_t i = 0; i < WD_COUNT(unsupported); i++)
        if (is_set(json_object_get(l->config, unsupported[i].key)))
            return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: %s is set: %s cannot be applied", l->config_path,
                           unsupported[i].key, unsupported[i].what);
    WD_TRY(wd_json_str(l->config, l->config_path, "bias", &bias, err));
    if (bias && strcmp(bias, "none") != 0)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: bias is \"%.64s\", only \"none\" is supported",
                       l->config_path, bias);
    const char *init = json_string_value(json_object_get(l->config, "init_lora_weights"));
    for (size_t i = 0; init && i < WD_COUNT(base_changing_init); i++)
        if (!strncmp(init, base_changing_init[i], strlen(base_changing_init[i])))
            return WD_FAIL(
                err, WD_E_UNSUPPORTED,
                "%s: init_lora_weights \"%.64s\" also changed the base weights; save the adapter converted "
                "to plain LoRA",
                l->config_path, init);
    return WD_OK;
}

/* PEFT reads the keys of a pattern as regular expressions; everyone writes plain module names. A name matches the
 * end of a module's path, whole parts only. Anything else would be guesswork. */
static wd_status check_pattern(const wd_lora *l, const char *which, double min, double max, wd_err *err)
{
    json_t *pattern, *v;
    const char *key;
    WD_TRY(wd_json_obj(l->config, l->config_path, which, &pattern, err));
    if (!pattern)
        return WD_OK;
    json_object_foreach(pattern, key, v)
    {
        if (!*key || strpbrk(key, "*+?[](){}|\\^$"))
            return WD_FAIL(err, WD_E_UNSUPPORTED,
                           "%s: %s key \"%.100s\" is a regular expression, expected a module name",
                           l->config_path, which, key);
        if (!json_is_number(v) || !(json_number_value(v) >= min && json_number_value(v) <= max))
            return WD_FAIL(err, WD_E_INVALID, "%s: %s of \"%.100s\" is not a number from %g to %g",
                           l->config_path, which, key, min, max);
    }
    return WD_OK;
}

static double pattern_value(const wd_lora *l, const char *which, const char *path, double def)
{
    const char *key;
    json_t *v;
    const wd_span p = wd_span_str(path);
    json_object_foreach(json_object_get(l->config, which), key, v)
    {
        const size_t n = strlen(key);
        if (wd_span_ends(p, key) && (p.n == n || path[p.n - n - 1] == '.'))
            return json_number_value(v);
    }
    return def;
}

static wd_status read_config(wd_lora *l, wd_err *err)
{
    WD_TRY(wd_json_read_file(l->config_path, CONFIG_MAX, &l->config, err));
    if (!json_is_object(l->config))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: not a JSON object", l->config_path);
    WD_TRY(check_variant(l, err));
    WD_TRY(wd_json_need_int(l->config, l->config_path, "r", 1, MAX_RANK, &l->r, err));
    if (!json_is_number(json_object_get(l->config, "lora_alpha")))
        return WD_FAIL(err, WD_E_INVALID, "%s: lora_alpha is not a number", l->config_path);
    WD_TRY(wd_json_num(l->config, l->config_path, "lora_alpha", 0, 1e6, 0, &l->alpha, err));
    WD_TRY(wd_json_bool(l->config, l->config_path, "use_rslora", false, &l->rslora, err));
    WD_TRY(check_pattern(l, "rank_pattern", 1, MAX_RANK, err));
    return check_pattern(l, "alpha_pattern", 0, 1e6, err);
}

/* "MODULE.lora_A.weight" or "MODULE.lora_A.ADAPTER.weight": where the module's name ends, or NULL. */
static const char *find_factor(const char *name, bool *is_a)
{
    const char *a = strstr(name, ".lora_A."), *b = strstr(name, ".lora_B.");
    const char *at = a ? a : b;
    if (!at || (a && b) || !wd_span_ends(wd_span_str(at), ".weight"))
        return NULL;
    const char *rest = at + strlen(".lora_A.");
    const char *dot = strchr(rest, '.');
    if (dot && strchr(dot + 1, '.')) /* an adapter's name is one part */
        return NULL;
    *is_a = a != NULL;
    return at;
}

static wd_status get_module(wd_lora *l, const char *path, const char *name, module **out, wd_err *err)
{
    uint64_t i;
    if (wd_map_get(l->by_name, wd_span_str(name), &i)) {
        *out = &l->module[i];
        return WD_OK;
    }
    if (wd_map_put(l->by_name, wd_span_str(name), l->n, NULL))
        return no_memory(l, err);
    l->module[l->n] = (module){ .name = name, .path = path };
    *out = &l->module[l->n++];
    return WD_OK;
}

static wd_status add_tensor(wd_lora *l, const wd_st_tensor *t, wd_err *err)
{
    bool is_a;
    char text[WD_ST_TEXT];
    const char *name = t->name;
    if (!strncmp(name, PEFT_PREFIX, strlen(PEFT_PREFIX)))
        name += strlen(PEFT_PREFIX);
    const char *end = find_factor(name, &is_a);
    if (!end)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "%s: tensor %s is no lora_A or lora_B weight and cannot be applied", l->weights_path,
                       t->name);
    if (t->t.n_dim != 2 || t->t.dim[0] == 0 || t->t.dim[1] == 0 ||
        (t->t.dtype != WD_DTYPE_F32 && t->t.dtype != WD_DTYPE_F16 && t->t.dtype != WD_DTYPE_BF16))
        return WD_FAIL(err, WD_E_INVALID, "%s: tensor %s is %s, expected an F32, F16 or BF16 matrix",
                       l->weights_path, t->name, wd_st_shape_text(&t->t, text));
    const char *path = wd_arena_strndup(l->arena, name, (size_t)(end - name));
    if (!path)
        return no_memory(l, err);
    module *m = NULL;
    WD_TRY(get_module(l, path, wd_weights_normal_name(path), &m, err));
    if (is_a ? m->has_a : m->has_b)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: %s has more than one lora_%c", l->weights_path, m->name,
                       is_a ? 'A' : 'B');
    *(is_a ? &m->pair.a : &m->pair.b) = t->t;
    *(is_a ? &m->has_a : &m->has_b) = true;
    return WD_OK;
}

/* "layers.12.self_attn.q_proj" -> 12 and "self_attn.q_proj"; false for any other form. */
static bool split_layer(const char *name, uint32_t *layer, const char **rest)
{
    static const char prefix[] = "layers.";
    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return false;
    const char *p = name + sizeof prefix - 1;
    const char *digits = p;
    uint32_t n = 0;
    while (*p >= '0' && *p <= '9' && p - digits < 6)
        n = n * 10 + (uint32_t)(*p++ - '0');
    if (p == digits || *p != '.' || (*digits == '0' && p - digits > 1))
        return false;
    *layer = n;
    *rest = p + 1;
    return true;
}

/* Output and input width of a linear that can be adapted; false when this model has none of that name. */
static bool base_shape(const wd_text_config *t, const char *name, size_t *out, size_t *in)
{
    const size_t h = t->n_embd, q = (size_t)t->n_head * t->head_dim, kv = (size_t)t->n_kv_head * t->head_dim;
    const struct {
        const char *name;
        size_t out, in;
        bool mlp;
    } linears[] = {
        { "self_attn.q_proj", q, h, false },   { "self_attn.k_proj", kv, h, false },
        { "self_attn.v_proj", kv, h, false },  { "self_attn.o_proj", h, q, false },
        { "mlp.gate_proj", t->n_ff, h, true }, { "mlp.up_proj", t->n_ff, h, true },
        { "mlp.down_proj", h, t->n_ff, true },
    };
    uint32_t layer;
    const char *rest;
    if (!split_layer(name, &layer, &rest) || layer >= t->n_layer)
        return false;
    for (size_t i = 0; i < WD_COUNT(linears); i++)
        if (!strcmp(rest, linears[i].name) && !(linears[i].mlp && t->sparse[layer])) {
            *out = linears[i].out;
            *in = linears[i].in;
            return true;
        }
    return false;
}

static wd_status check_module(const wd_lora *l, const wd_model_config *base, module *m, wd_err *err)
{
    char a[WD_ST_TEXT], b[WD_ST_TEXT];
    size_t out, in;
    if (!strncmp(m->name, "visual.", 7) || !strncmp(m->name, "lm_head", 7) ||
        !strncmp(m->name, "embed_tokens", 12) || strstr(m->name, ".mlp.experts") ||
        wd_span_ends(wd_span_str(m->name), ".mlp.gate"))
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "%s: it adapts %s; only q, k, v, o, gate, up and down of the decoder can be adapted",
                       l->weights_path, m->name);
    if (!base_shape(&base->text, m->name, &out, &in))
        return WD_FAIL(err, WD_E_INVALID, "%s: it adapts %s, which this %s of %u layers does not have",
                       l->weights_path, m->name, wd_arch_name(base->arch), base->text.n_layer);
    if (!m->has_a || !m->has_b)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: %s has lora_%c and no lora_%c", l->weights_path, m->name,
                       m->has_a ? 'A' : 'B', m->has_a ? 'B' : 'A');
    const size_t rank = m->pair.a.dim[0];
    if (m->pair.a.dim[1] != in || m->pair.b.dim[0] != out || m->pair.b.dim[1] != rank || rank > MAX_RANK)
        return WD_FAIL(err, WD_E_INVALID,
                       "%s: %s has lora_A %s and lora_B %s, expected [r, %zu] and [%zu, r]", l->weights_path,
                       m->name, wd_st_shape_text(&m->pair.a, a), wd_st_shape_text(&m->pair.b, b), in, out);
    const double said = pattern_value(l, "rank_pattern", m->path, (double)l->r);
    if (said != (double)rank)
        return WD_FAIL(err, WD_E_INVALID, "%s: %s has rank %zu, but %s says %g", l->weights_path, m->name,
                       rank, CONFIG_FILE, said);
    const double alpha = pattern_value(l, "alpha_pattern", m->path, l->alpha);
    m->pair.scale = (float)(l->user_scale * alpha / (l->rslora ? sqrt((double)rank) : (double)rank));
    return WD_OK;
}

static int by_name(const void *x, const void *y)
{
    return strcmp(((const module *)x)->name, ((const module *)y)->name);
}

static wd_status read_weights(wd_lora *l, const wd_model_config *base, wd_err *err)
{
    WD_TRY(wd_st_open(l->weights_path, l->arena, &l->file, err));
    l->module = WD_NEW_N(l->arena, module, WD_MAX(l->file.n, 1));
    l->by_name = wd_map_create(l->file.n / 2);
    if (!l->module || !l->by_name)
        return no_memory(l, err);
    for (size_t i = 0; i < l->file.n; i++)
        WD_TRY(add_tensor(l, &l->file.tensor[i], err));
    if (l->n == 0)
        return WD_FAIL(err, WD_E_INVALID, "%s: no tensors, so nothing to adapt", l->weights_path);
    qsort(l->module, l->n, sizeof *l->module, by_name);
    for (size_t i = 0; i < l->n; i++) {
        WD_TRY(check_module(l, base, &l->module[i], err));
        if (wd_map_put(l->by_name, wd_span_str(l->module[i].name), i, NULL)) /* the places after sorting */
            return no_memory(l, err);
    }
    return WD_OK;
}

static wd_status open_dir(wd_lora *l, const char *dir, const wd_model_config *base, wd_err *err)
{
    l->arena = wd_arena_create(ARENA_MAX, false);
    l->dir = l->arena ? wd_arena_strndup(l->arena, dir, strlen(dir)) : NULL;
    if (!l->dir)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the adapter", dir);
    l->config_path = wd_path_join(l->arena, dir, CONFIG_FILE);
    l->weights_path = wd_path_join(l->arena, dir, WEIGHTS_FILE);
    const char *pickle = wd_path_join(l->arena, dir, PICKLE_FILE);
    if (!l->config_path || !l->weights_path || !pickle)
        return no_memory(l, err);
    if (!wd_file_is_dir(dir))
        return WD_FAIL(err, WD_E_NOT_FOUND, "%s: expected a directory with a LoRA adapter, %s", dir,
                       wd_file_exists(dir) ? "this is a file" : "there is none");
    WD_TRY(read_config(l, err));
    if (!wd_file_exists(l->weights_path) && wd_file_exists(pickle))
        return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: a pickle is not read; save the adapter as %s", pickle,
                       WEIGHTS_FILE);
    return read_weights(l, base, err);
}

wd_status wd_lora_open(const char *dir, double user_scale, const wd_model_config *base, wd_lora **out,
                       wd_err *err)
{
    *out = NULL;
    if (!isfinite(user_scale))
        return WD_FAIL(err, WD_E_USAGE, "%s: the scale of an adapter must be a finite number", dir);
    wd_lora *l = WD_ALLOC(wd_lora);
    if (!l)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for the adapter", dir);
    l->user_scale = user_scale;
    const wd_status st = open_dir(l, dir, base, err);
    json_decref(l->config);
    l->config = NULL;
    if (st) {
        wd_lora_close(l);
        return st;
    }
    *out = l;
    return WD_OK;
}

void wd_lora_close(wd_lora *l)
{
    if (!l)
        return;
    wd_st_close(&l->file);
    wd_map_destroy(l->by_name);
    wd_arena_destroy(l->arena);
    wd_free(l);
}

bool wd_lora_find(const wd_lora *l, const char *name, wd_lora_pair *out)
{
    uint64_t i;
    if (!wd_map_get(l->by_name, wd_span_str(name), &i))
        return false;
    *out = l->module[i].pair;
    return true;
}

size_t wd_lora_count(const wd_lora *l)
{
    return l->n;
}

void wd_lora_at(const wd_lora *l, size_t i, const char **name, wd_lora_pair *out)
{
    *name = l->module[i].name;
    *out = l->module[i].pair;
}

uint32_t wd_lora_max_rank(const wd_lora *l)
{
    size_t max = 0;
    for (size_t i = 0; i < l->n; i++)
        max = WD_MAX(max, l->module[i].pair.a.dim[0]);
    return (uint32_t)max;
}

wd_status wd_lora_parse_arg(const char *arg, wd_arena *a, const char **dir, double *scale, wd_err *err)
{
    const char *eq = strrchr(arg, '=');
    size_t n = strlen(arg);
    double s = 1;
    if (eq && !wd_file_is_dir(arg)) { /* a directory may have '=' in its name */
        char *end;
        s = strtod(eq + 1, &end);
        if (end == eq + 1 || *end || !isfinite(s))
            return WD_FAIL(err, WD_E_USAGE, "LoRA \"%s\": \"%s\" is not a scale, expected DIR or DIR=NUMBER",
                           arg, eq + 1);
        n = (size_t)(eq - arg);
    }
    if (n == 0)
        return WD_FAIL(err, WD_E_USAGE, "LoRA \"%s\": the directory is missing, expected DIR or DIR=NUMBER",
                       arg);
    const char *d = wd_arena_strndup(a, arg, n);
    if (!d)
        return WD_FAIL(err, WD_E_NOMEM, "LoRA: no memory for its path");
    *dir = d;
    *scale = s;
    return WD_OK;
}
