/* ward inspect: what a checkpoint holds, what it lacks, and the memory it takes. */
#include <inttypes.h>
#include <stdlib.h>

#include "cli/checkpoint.h"
#include "cli/cli.h"
#include "weights/inventory.h"
#include "weights/lora.h"
#include "weights/packed.h"
#include "weights/safetensors.h"

#define DEFAULT_CONTEXT 32768
#define MAX_TYPES 64
#define LISTED 20 /* missing, misshaped or extra tensors shown in the text form; --json has all */

typedef struct options {
    const char *model, *mmproj;
    int64_t context;
    wd_opt_list lora;
    bool digest, json;
} options;

#define AT(field) offsetof(options, field)
static const wd_opt opts[] = {
    { "model", 'm', WD_OPT_STR, AT(model), NULL, 0, 0, "model, when it is not the operand" },
    { "mmproj", 0, WD_OPT_STR, AT(mmproj), NULL, 0, 0,
      "vision part of a GGUF model; else what is found beside it" },
    { "context", 'c', WD_OPT_INT, AT(context), "0", 0, 1 << 26,
      "tokens to count memory for; 0: the model's positions, at most 32768" },
    { "lora", 0, WD_OPT_LIST, AT(lora), NULL, 0, 0,
      "also check this adapter against the model: DIR or DIR=SCALE" },
    { "digest", 0, WD_OPT_BOOL, AT(digest), "false", 0, 0, "read every byte and print the model's digest" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "machine-readable output" },
};

/* Tensors that differ only in layer, block or expert number. */
typedef struct group {
    const char *name; /* numbers as '*' */
    const char *type; /* of the elements, as stored */
    wd_tensor t;
    size_t n;
} group;

typedef struct report {
    const char *dir;
    wd_checkpoint cp;
    wd_model_config c;
    wd_weights *w; /* of cp */
    wd_inventory expected;
    wd_inventory_diff diff;
    wd_expert_form form;
    group *group;
    size_t n_group;
    struct {
        const char *name;
        size_t n;
    } type[MAX_TYPES]; /* in the order met */
    size_t n_type;
    uint64_t context, kv_bytes;
    wd_lora **lora; /* [o->lora.n] */
    const char **lora_dir;
    char digest[65]; /* empty unless asked for */
} report;

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "inspect: no memory");
}

/* "layers.12.mlp.up_proj.weight" -> "layers.*.mlp.up_proj.weight" */
static char *pattern_of(wd_arena *a, const char *name)
{
    char *p = wd_arena_strndup(a, name, strlen(name));
    size_t n = 0;
    for (size_t i = 0; p && p[i];) {
        const bool starts = i == 0 || p[i - 1] == '.';
        const size_t digits = strspn(name + i, "0123456789");
        if (starts && digits && (name[i + digits] == '.' || !name[i + digits])) {
            p[n++] = '*';
            i += digits;
        } else {
            p[n++] = name[i++];
        }
    }
    if (p)
        p[n] = 0;
    return p;
}

static int by_group(const void *x, const void *y)
{
    const group *a = x, *b = y;
    const int c = strcmp(a->name, b->name);
    if (c)
        return c;
    if (strcmp(a->type, b->type) != 0)
        return strcmp(a->type, b->type);
    if (a->t.n_dim != b->t.n_dim)
        return a->t.n_dim < b->t.n_dim ? -1 : 1;
    for (uint32_t i = 0; i < a->t.n_dim; i++)
        if (a->t.dim[i] != b->t.dim[i])
            return a->t.dim[i] < b->t.dim[i] ? -1 : 1;
    return 0;
}

static void count_type(report *r, const char *name)
{
    size_t i = 0;
    while (i < r->n_type && strcmp(r->type[i].name, name) != 0)
        i++;
    if (i == MAX_TYPES)
        return;
    r->type[i].name = name;
    r->type[i].n++;
    r->n_type = WD_MAX(r->n_type, i + 1);
}

static wd_status group_tensors(report *r, wd_arena *a, wd_err *err)
{
    const size_t n = wd_weights_count(r->w);
    size_t k = 0;
    r->group = WD_NEW_N(a, group, WD_MAX(n, 1));
    if (!r->group)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const char *name;
        wd_weights_at(r->w, i, &name, NULL, NULL, &r->group[i].t, NULL);
        r->group[i].name = pattern_of(a, name);
        r->group[i].type = wd_weights_stored_type(r->w, i);
        r->group[i].n = 1;
        if (!r->group[i].name)
            return no_memory(err);
        count_type(r, r->group[i].type);
    }
    qsort(r->group, n, sizeof *r->group, by_group);
    for (size_t i = 1; i < n; i++)
        if (by_group(&r->group[k], &r->group[i]) == 0)
            r->group[k].n++;
        else
            r->group[++k] = r->group[i];
    r->n_group = n ? k + 1 : 0;
    return WD_OK;
}

static wd_status open_adapters(report *r, const options *o, wd_arena *a, wd_err *err)
{
    r->lora = WD_NEW_N(a, wd_lora *, WD_MAX(o->lora.n, 1));
    r->lora_dir = WD_NEW_N(a, const char *, WD_MAX(o->lora.n, 1));
    if (!r->lora || !r->lora_dir)
        return no_memory(err);
    for (size_t i = 0; i < o->lora.n; i++) {
        double scale;
        WD_TRY(wd_lora_parse_arg(o->lora.v[i], a, &r->lora_dir[i], &scale, err));
        WD_TRY(wd_lora_open(r->lora_dir[i], scale, &r->c, &r->lora[i], err));
    }
    return WD_OK;
}

static wd_status gather(report *r, const options *o, wd_arena *a, wd_err *err)
{
    wd_digest d;
    WD_TRY(wd_checkpoint_open(r->dir, o->mmproj, &r->cp, err));
    r->c = r->cp.cfg;
    r->w = r->cp.weights;
    WD_TRY(wd_weights_unpack(r->w, &r->c, NULL, err));
    r->form = wd_expert_form_of(&r->c, r->w);
    WD_TRY(wd_inventory_make(&r->c, r->form, a, &r->expected, err));
    WD_TRY(wd_inventory_compare(&r->expected, &r->c, r->w, a, &r->diff, err));
    WD_TRY(group_tensors(r, a, err));
    WD_TRY(open_adapters(r, o, a, err));
    r->context = o->context ? (uint64_t)o->context : WD_MIN(r->c.text.max_pos, DEFAULT_CONTEXT);
    r->kv_bytes = r->context * wd_kv_bytes_per_token(&r->c.text);
    if (o->digest) {
        WD_TRY(wd_weights_digest(r->w, &d, err));
        wd_digest_hex(&d, r->digest);
    }
    return WD_OK;
}

static void release(report *r, size_t n_lora)
{
    for (size_t i = 0; r->lora && i < n_lora; i++)
        wd_lora_close(r->lora[i]);
    wd_checkpoint_close(&r->cp);
}

/* The sentence for a checkpoint that cannot be run; WD_OK when it can. Where an untied head is missing, as in models
 * saved without one, the embedding stands in for it. */
static wd_status verdict(const report *r, wd_err *err)
{
    char is[WD_ST_TEXT], want[WD_ST_TEXT];
    wd_tensor t = { 0 };
    for (size_t i = 0; i < r->diff.n_missing; i++)
        if (strcmp(r->diff.missing[i]->name, "lm_head.weight") != 0)
            return WD_FAIL(err, WD_E_NOT_FOUND, "%s: tensor %s is missing (of %zu missing)", r->dir,
                           r->diff.missing[i]->name, r->diff.n_missing);
    if (r->diff.n_misshaped) {
        const wd_expected *e = r->diff.misshaped[0];
        wd_weights_find(r->w, e->name, &t);
        return WD_FAIL(err, WD_E_INVALID, "%s: tensor %s is %s, expected %s", r->dir, e->name,
                       wd_st_shape_text(&t, is), wd_st_dims_text(e->dim, e->n_dim, want));
    }
    for (size_t i = 0; i < r->expected.n; i++) /* element types, and the scales of FP8 */
        if (wd_weights_find(r->w, r->expected.tensor[i].name, &t))
            WD_TRY(wd_weights_check(r->w, r->expected.tensor[i].name, t.dim, t.n_dim, err));
    return WD_OK;
}

/* ---- text form ---- */

/* 8767123696 -> "8,767,123,696" */
static void put_count(wd_buf *b, uint64_t n)
{
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%" PRIu64, n);
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            wd_buf_char(b, ',');
        wd_buf_char(b, digits[i]);
    }
}

static void put_bytes(wd_buf *b, uint64_t n)
{
    const bool big = n >= (uint64_t)1 << 30;
    wd_buf_printf(b, "%.2f %s", (double)n / (big ? 1 << 30 : 1 << 20), big ? "GiB" : "MiB");
}

static void put_text_config(wd_buf *b, const report *r)
{
    const wd_text_config *t = &r->c.text;
    uint32_t n_sparse = 0;
    for (uint32_t i = 0; i < t->n_layer; i++)
        n_sparse += t->sparse[i];
    wd_buf_printf(
        b, "text         %u layers of width %u, %u heads and %u key-value heads of %u, vocabulary %u\n",
        t->n_layer, t->n_embd, t->n_head, t->n_kv_head, t->head_dim, t->n_vocab);
    if (n_sparse < t->n_layer)
        wd_buf_printf(b, "             feed-forward %u in %u layers\n", t->n_ff, t->n_layer - n_sparse);
    if (n_sparse)
        wd_buf_printf(b, "             %u experts of %u, %u used, in %u layers; stored %s\n", t->n_expert,
                      t->n_ff_expert, t->n_expert_used, n_sparse,
                      r->form == WD_EXPERTS_FUSED ? "fused" : "one by one");
    wd_buf_printf(b, "             head %s\n", t->tied ? "tied to the embedding" : "of its own");
    wd_buf_printf(b, "positions    %u, rope theta %g", t->max_pos, t->rope.theta);
    if (t->rope.mrope)
        wd_buf_printf(b, ", interleaved over t %u, h %u, w %u", t->rope.mrope_section[0],
                      t->rope.mrope_section[1], t->rope.mrope_section[2]);
    if (t->rope.yarn)
        wd_buf_printf(b, ", YaRN factor %g over %u", t->rope.yarn_factor, t->rope.yarn_original_max_pos);
    wd_buf_char(b, '\n');
}

static void put_vision_config(wd_buf *b, const wd_vision_config *v)
{
    wd_buf_printf(
        b, "vision       %u blocks of width %u, %u heads of %u, feed-forward %u, patches %u x %u x %u,\n",
        v->depth, v->n_embd, v->n_head, v->n_embd / v->n_head, v->n_ff, v->temporal_patch_size, v->patch_size,
        v->patch_size);
    wd_buf_printf(b, "             merged %u x %u to width %u, features after blocks", v->merge_size,
                  v->merge_size, v->n_out);
    for (uint32_t i = 0; i < v->n_deepstack; i++)
        wd_buf_printf(b, "%s %u", i ? "," : "", v->deepstack[i]);
    wd_buf_str(b, v->n_deepstack ? "\n" : " none\n");
}

static void put_totals(wd_buf *b, const report *r)
{
    const char *before = "";
    wd_buf_str(b, "parameters   ");
    put_count(b, r->expected.text_params + r->expected.vision_params);
    if (r->c.has_vision) {
        wd_buf_str(b, ": text ");
        put_count(b, r->expected.text_params);
        wd_buf_str(b, ", vision ");
        put_count(b, r->expected.vision_params);
    }
    wd_buf_str(b, "\ntensors      ");
    put_count(b, wd_weights_count(r->w));
    wd_buf_str(b, " (");
    for (size_t i = 0; i < r->n_type; i++) {
        wd_buf_printf(b, "%s%s %zu", before, r->type[i].name, r->type[i].n);
        before = ", ";
    }
    wd_buf_str(b, ")\nmemory       weights ");
    put_bytes(b, wd_weights_mapped_bytes(r->w));
    wd_buf_str(b, " mapped + keys and values ");
    put_bytes(b, r->kv_bytes);
    wd_buf_printf(b, " at %" PRIu64 " tokens (bf16) = ", r->context);
    put_bytes(b, wd_weights_mapped_bytes(r->w) + r->kv_bytes);
    wd_buf_char(b, '\n');
    if (r->digest[0])
        wd_buf_printf(b, "digest       %s\n", r->digest);
}

static void put_shapes(wd_buf *b, const report *r)
{
    char text[WD_ST_TEXT];
    wd_buf_str(b, "\nshapes\n");
    for (size_t i = 0; i < r->n_group; i++)
        wd_buf_printf(b, "  %6zu  %-52s %s%s\n", r->group[i].n, r->group[i].name, r->group[i].type,
                      wd_st_dims_text(r->group[i].t.dim, r->group[i].t.n_dim, text));
}

static void put_rest(wd_buf *b, size_t n)
{
    if (n > LISTED)
        wd_buf_printf(b, "  ... and %zu more\n", n - LISTED);
}

static void put_diff(wd_buf *b, const report *r)
{
    const wd_inventory_diff *d = &r->diff;
    char is[WD_ST_TEXT], want[WD_ST_TEXT];
    wd_buf_printf(b, "\nmissing tensors: %zu\n", d->n_missing);
    for (size_t i = 0; i < d->n_missing && i < LISTED; i++)
        wd_buf_printf(b, "  %s %s\n", d->missing[i]->name,
                      wd_st_dims_text(d->missing[i]->dim, d->missing[i]->n_dim, want));
    put_rest(b, d->n_missing);
    if (d->n_misshaped)
        wd_buf_printf(b, "tensors of another shape: %zu\n", d->n_misshaped);
    for (size_t i = 0; i < d->n_misshaped && i < LISTED; i++) {
        const wd_expected *e = d->misshaped[i];
        wd_tensor t = { 0 };
        wd_weights_find(r->w, e->name, &t);
        wd_buf_printf(b, "  %s %s, expected %s\n", e->name, wd_st_shape_text(&t, is),
                      wd_st_dims_text(e->dim, e->n_dim, want));
    }
    put_rest(b, d->n_misshaped);
    wd_buf_printf(b, "extra tensors: %zu\n", d->n_extra);
    for (size_t i = 0; i < d->n_extra && i < LISTED; i++)
        wd_buf_printf(b, "  %s\n", d->extra[i]);
    put_rest(b, d->n_extra);
}

static wd_status print_text(const report *r, const options *o, wd_err *err)
{
    wd_buf b = { 0 };
    wd_buf_printf(&b, "model        %s\narchitecture %s%s\n", r->dir, wd_arch_name(r->c.arch),
                  r->c.fp8               ? ", FP8 in blocks of 128 x 128"
                  : r->c.quant_bits == 8 ? ", weights in 8 bits"
                  : r->c.quant_bits == 4 ? ", weights in 4 bits"
                                         : "");
    put_text_config(&b, r);
    if (r->c.has_vision)
        put_vision_config(&b, &r->c.vision);
    put_totals(&b, r);
    for (size_t i = 0; i < o->lora.n; i++)
        wd_buf_printf(&b, "adapter      %s: %zu modules, rank up to %u\n", r->lora_dir[i],
                      wd_lora_count(r->lora[i]), wd_lora_max_rank(r->lora[i]));
    put_shapes(&b, r);
    put_diff(&b, r);
    wd_status st = wd_buf_check(&b, "inspect", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

/* ---- JSON form; jansson's allocations do not fail (base/json.c), so that only a model path that is not UTF-8 can
 * make the object NULL ---- */

static json_t *dims_json(const size_t *dim, uint32_t n_dim)
{
    json_t *v = json_array();
    for (uint32_t i = 0; i < n_dim; i++)
        json_array_append_new(v, json_integer((json_int_t)dim[i]));
    return v;
}

static json_t *text_json(const report *r)
{
    const wd_text_config *t = &r->c.text;
    json_t *o = json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:b, s:i, s:f}", "layers", (int)t->n_layer,
                          "hidden_size", (int)t->n_embd, "heads", (int)t->n_head, "kv_heads",
                          (int)t->n_kv_head, "head_dim", (int)t->head_dim, "intermediate_size", (int)t->n_ff,
                          "vocab_size", (int)t->n_vocab, "tied", t->tied, "max_positions", (int)t->max_pos,
                          "rope_theta", t->rope.theta);
    if (t->n_expert)
        json_object_set_new(o, "experts",
                            json_pack("{s:i, s:i, s:i, s:s}", "count", (int)t->n_expert, "used",
                                      (int)t->n_expert_used, "intermediate_size", (int)t->n_ff_expert,
                                      "stored", r->form == WD_EXPERTS_FUSED ? "fused" : "separate"));
    if (t->rope.mrope)
        json_object_set_new(o, "mrope_section",
                            json_pack("[i, i, i]", (int)t->rope.mrope_section[0],
                                      (int)t->rope.mrope_section[1], (int)t->rope.mrope_section[2]));
    if (t->rope.yarn)
        json_object_set_new(o, "yarn",
                            json_pack("{s:f, s:i, s:f}", "factor", t->rope.yarn_factor,
                                      "original_max_positions", (int)t->rope.yarn_original_max_pos,
                                      "attention_factor", t->rope.yarn_attention_factor));
    return o;
}

static json_t *vision_json(const wd_vision_config *v)
{
    json_t *deepstack = json_array();
    for (uint32_t i = 0; i < v->n_deepstack; i++)
        json_array_append_new(deepstack, json_integer(v->deepstack[i]));
    return json_pack("{s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:o}", "blocks", (int)v->depth,
                     "hidden_size", (int)v->n_embd, "heads", (int)v->n_head, "intermediate_size",
                     (int)v->n_ff, "patch_size", (int)v->patch_size, "temporal_patch_size",
                     (int)v->temporal_patch_size, "merge_size", (int)v->merge_size, "positions",
                     (int)v->n_pos, "out_hidden_size", (int)v->n_out, "deepstack", deepstack);
}

static json_t *shapes_json(const report *r)
{
    json_t *list = json_array();
    for (size_t i = 0; i < r->n_group; i++)
        json_array_append_new(list, json_pack("{s:s, s:I, s:s, s:o}", "name", r->group[i].name, "count",
                                              (json_int_t)r->group[i].n, "dtype", r->group[i].type, "shape",
                                              dims_json(r->group[i].t.dim, r->group[i].t.n_dim)));
    return list;
}

static json_t *expected_json(const wd_expected **e, size_t n, const wd_weights *w)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        wd_tensor t;
        json_t *o = json_pack("{s:s, s:o}", "name", e[i]->name, "expected",
                              dims_json(e[i]->dim, e[i]->n_dim));
        if (wd_weights_find(w, e[i]->name, &t))
            json_object_set_new(o, "shape", dims_json(t.dim, t.n_dim));
        json_array_append_new(list, o);
    }
    return list;
}

static void put_totals_json(const report *r, json_t *o)
{
    json_t *dtypes = json_object();
    for (size_t i = 0; i < r->n_type; i++)
        json_object_set_new(dtypes, r->type[i].name, json_integer((json_int_t)r->type[i].n));
    json_object_set_new(o, "dtypes", dtypes);
    json_object_set_new(o, "tensors", json_integer((json_int_t)wd_weights_count(r->w)));
    json_object_set_new(o, "parameters",
                        json_pack("{s:I, s:I, s:I}", "total",
                                  (json_int_t)(r->expected.text_params + r->expected.vision_params), "text",
                                  (json_int_t)r->expected.text_params, "vision",
                                  (json_int_t)r->expected.vision_params));
    const uint64_t mapped = wd_weights_mapped_bytes(r->w);
    json_object_set_new(
        o, "memory",
        json_pack("{s:I, s:I, s:I, s:I, s:I}", "weights_bytes", (json_int_t)mapped, "context",
                  (json_int_t)r->context, "kv_bytes_per_token", (json_int_t)wd_kv_bytes_per_token(&r->c.text),
                  "kv_bytes", (json_int_t)r->kv_bytes, "total_bytes", (json_int_t)(mapped + r->kv_bytes)));
}

static json_t *report_json(const report *r, const options *o, const wd_err *failure)
{
    json_t *v = json_pack("{s:s, s:s, s:b, s:o, s:o}", "model", r->dir, "architecture",
                          wd_arch_name(r->c.arch), "fp8", r->c.fp8, "text", text_json(r), "vision",
                          r->c.has_vision ? vision_json(&r->c.vision) : json_null());
    if (!v)
        return NULL;
    put_totals_json(r, v);
    json_object_set_new(v, "shapes", shapes_json(r));
    json_object_set_new(v, "missing", expected_json(r->diff.missing, r->diff.n_missing, r->w));
    json_object_set_new(v, "misshaped", expected_json(r->diff.misshaped, r->diff.n_misshaped, r->w));
    json_t *extra = json_array(), *adapters = json_array();
    for (size_t i = 0; i < r->diff.n_extra; i++)
        json_array_append_new(extra, json_string(r->diff.extra[i]));
    json_object_set_new(v, "extra", extra);
    for (size_t i = 0; i < o->lora.n; i++)
        json_array_append_new(adapters, json_pack("{s:s, s:I, s:i}", "path", r->lora_dir[i], "modules",
                                                  (json_int_t)wd_lora_count(r->lora[i]), "max_rank",
                                                  (int)wd_lora_max_rank(r->lora[i])));
    json_object_set_new(v, "adapters", adapters);
    if (r->digest[0])
        json_object_set_new(v, "digest", json_string(r->digest));
    if (failure->code)
        json_object_set_new(
            v, "error",
            json_pack("{s:s, s:s}", "code", wd_status_name(failure->code), "message", failure->text));
    return v;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_inspect, argc, argv, &o, &rest, err));
    if (rest.n > 1)
        return WD_FAIL(err, WD_E_USAGE, "ward inspect takes one model, got \"%s\" as well", rest.v[1]);
    report r = { .dir = rest.n ? rest.v[0] : o.model };
    if (!r.dir)
        return WD_FAIL(err, WD_E_USAGE, "ward inspect needs a model: a directory or a GGUF file");

    wd_err failure = { 0 };
    wd_status st = gather(&r, &o, cli->arena, err);
    if (st == WD_OK) {
        const wd_status bad = verdict(&r, &failure);
        st = o.json ? wd_cli_print_json(report_json(&r, &o, &failure), err) : print_text(&r, &o, err);
        if (st == WD_OK && bad) {
            cli->printed = o.json; /* the object holds the error */
            *err = failure;
            st = bad;
        }
    }
    release(&r, o.lora.n);
    return st;
}

const wd_command wd_cmd_inspect = {
    .name = "inspect",
    .brief = "show what a model holds, lacks and needs",
    .operands = "MODEL",
    .about = "Reads the headers of a checkpoint (a directory with config.json and safetensors, or a GGUF "
             "file) and prints\n"
             "its architecture, the\n"
             "shapes and element types of its tensors, its parameter count, and the memory that weights and "
             "key-value\n"
             "cache take at a context length. Tensors that the architecture needs and that are missing or "
             "have another\n"
             "shape are listed and make the command fail; extra ones are only listed.",
    .examples = "  ward inspect models/demo\n"
                "  ward inspect Qwen3-VL-8B-Instruct --context 131072\n"
                "  ward inspect Qwen3-8B --lora my-adapter=0.5 --json\n"
                "  ward inspect Qwen3-8B --digest\n",
    .options = { "inspect", opts, WD_COUNT(opts) },
    .run = run,
};
