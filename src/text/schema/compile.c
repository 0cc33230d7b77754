/* From a schema to nodes: each list of schemas that must hold together becomes one, those met on the way are made until
 * none is left, and what cannot be written is found out from the inside. */
#include "text/schema/compile.h"

#include <stdlib.h>

#include "base/json.h"

#define WORK_MAX ((size_t)256 << 20)
#define PATH_STEPS 200000 /* values looked at to find where a schema stands */

wd_status wd_schema__no_memory(wd_compiler *c)
{
    return WD_FAIL(c->err, WD_E_NOMEM, "schema: no memory, or more than %zu MiB needed", WORK_MAX >> 20);
}

/* --- messages ---------------------------------------------------------------------------------------------------------- */

static bool find(const json_t *v, const json_t *what, int depth, int *left, wd_buf *path)
{
    const size_t n = path->n;
    if (v == what)
        return true;
    if (depth > 200 || --*left < 0)
        return false;
    const char *key;
    json_t *kid;
    size_t i;
    if (json_is_array(v))
        json_array_foreach(v, i, kid)
        {
            wd_buf_printf(path, "/%zu", i);
            if (find(kid, what, depth + 1, left, path))
                return true;
            path->n = n;
        }
    else
        json_object_foreach((json_t *)v, key, kid)
        { /* NOLINT: jansson's iteration is not const */
            wd_buf_printf(path, "/%.80s", key);
            if (find(kid, what, depth + 1, left, path))
                return true;
            path->n = n;
        }
    return false;
}

const char *wd_schema__path(wd_compiler *c, const json_t *schema)
{
    wd_buf path = { .max = 300 };
    int left = PATH_STEPS;
    wd_buf_char(&path, '#');
    const bool found = find(c->root, schema, 0, &left, &path);
    const char *text = found && !path.failed ? wd_arena_strndup(c->work, (const char *)path.p, path.n) : NULL;
    wd_buf_free(&path);
    return text ? text : "#/...";
}

/* --- nodes ------------------------------------------------------------------------------------------------------------- */

static wd_status new_node(wd_compiler *c, uint32_t *node)
{
    if (c->n_node == WD_NODES_MAX)
        return WD_FAIL(c->err, WD_E_LIMIT, "schema: more than %d different places", WD_NODES_MAX);
    if (c->n_node == c->cap_node) {
        const uint32_t cap = c->cap_node ? 2 * c->cap_node : 64;
        wd_all **todo = wd_realloc(c->todo, cap, sizeof *todo);
        c->todo = todo ? todo : c->todo;
        wd_set **given = wd_realloc(c->given, cap, sizeof *given); /* NOLINT: an array of pointers */
        c->given = given ? given : c->given;
        wd_node *v = wd_realloc(c->node, cap, sizeof *v);
        c->node = v ? v : c->node;
        if (!todo || !given || !v)
            return wd_schema__no_memory(c);
        c->cap_node = cap;
    }
    c->node[c->n_node] = (wd_node){ .height = WD_TALL };
    c->todo[c->n_node] = NULL;
    c->given[c->n_node] = NULL;
    *node = c->n_node++;
    return WD_OK;
}

wd_status wd_schema__node(wd_compiler *c, const wd_all *all, uint32_t *node)
{
    uint64_t at;
    const wd_span key = all->n ? wd_span_of(all->s, all->n * sizeof *all->s) : WD_SPAN_LIT("any");
    for (uint32_t i = 0; i < all->n; i++)
        if (json_is_false(all->s[i])) {
            *node = WD_NONE;
            return WD_OK;
        }
    if (wd_map_get(c->node_of, key, &at)) {
        *node = (uint32_t)at;
        return WD_OK;
    }
    wd_all *copy = WD_NEW(c->work, wd_all);
    if (!copy)
        return wd_schema__no_memory(c);
    *copy = *all;
    WD_TRY(new_node(c, node));
    c->todo[*node] = copy;
    return wd_map_put(c->node_of, key, *node, NULL) ? wd_schema__no_memory(c) : WD_OK;
}

wd_status wd_schema__node_of_set(wd_compiler *c, wd_set *set, uint32_t *node)
{
    WD_TRY(new_node(c, node));
    c->given[*node] = set;
    return WD_OK;
}

/* --- shapes ------------------------------------------------------------------------------------------------------------ */

/* A name as it stands between the quotes. */
static wd_status spell(wd_compiler *c, wd_span name, wd_span *out)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    wd_buf b = { 0 };
    for (size_t i = 0; i < name.n; i++) {
        const uint8_t ch = name.p[i];
        const char *at = ch ? strchr(from, ch) : NULL;
        if (at)
            wd_buf_printf(&b, "\\%c", to[at - from]);
        else if (ch < 0x20)
            wd_buf_printf(&b, "\\u%04x", ch);
        else
            wd_buf_char(&b, (char)ch);
    }
    char *text = b.failed ? NULL : wd_arena_strndup(c->a, b.n ? (const char *)b.p : "", b.n);
    *out = wd_span_of(text, b.n);
    wd_buf_free(&b);
    return text ? WD_OK : wd_schema__no_memory(c);
}

static int by_text(const void *a, const void *b)
{
    const wd_span x = ((const wd_name *)a)->text, y = ((const wd_name *)b)->text;
    const int c = memcmp(x.p, y.p, WD_MIN(x.n, y.n));
    return c ? c : (x.n > y.n) - (x.n < y.n);
}

static wd_status make_obj(wd_compiler *c, const wd_obj *o, wd_obj_shape *out)
{
    uint32_t *node = WD_NEW_N(c->a, uint32_t, o->n + 1), *need = WD_NEW_N(c->a, uint32_t, o->n + 1);
    wd_name *name = WD_NEW_N(c->a, wd_name, o->n + 1);
    if (!node || !need || !name)
        return wd_schema__no_memory(c);
    *out = (wd_obj_shape){
        .n_prop = o->n, .node = node, .need = need, .name = name, .min = o->min, .max = o->max
    };
    for (uint32_t i = o->n; i-- > 0;) {
        need[i] = need[i + 1] + o->prop[i].required;
        name[i].prop = i;
        WD_TRY(spell(c, o->prop[i].name, &name[i].text));
        WD_TRY(wd_schema__node(c, &o->prop[i].all, &node[i]));
    }
    qsort(name, o->n, sizeof *name, by_text);
    return wd_schema__node(c, &o->extra, &out->extra);
}

static wd_status make_arr(wd_compiler *c, const wd_arr *a, wd_arr_shape *out)
{
    uint32_t *prefix = WD_NEW_N(c->a, uint32_t, a->n + 1);
    if (!prefix)
        return wd_schema__no_memory(c);
    *out = (wd_arr_shape){ .n_prefix = a->n, .prefix = prefix, .min = a->min, .max = a->max };
    for (uint32_t i = 0; i < a->n; i++)
        WD_TRY(wd_schema__node(c, &a->prefix[i], &prefix[i]));
    return wd_schema__node(c, &a->rest, &out->rest);
}

static wd_status make_str(wd_compiler *c, const wd_str *s, wd_str_shape *out)
{
    *out = (wd_str_shape){ .dfa = s->dfa, .min = s->dfa ? 0 : s->min, .max = s->dfa ? UINT32_MAX : s->max };
    uint64_t id = 0;
    if (s->dfa && !wd_map_get(c->id_of, wd_span_of(&s->dfa, sizeof s->dfa), &id)) {
        id = wd_map_count(c->id_of) + 1;
        if (wd_map_put(c->id_of, wd_span_of(&s->dfa, sizeof s->dfa), id, NULL))
            return wd_schema__no_memory(c);
    }
    out->id = (uint32_t)id;
    return WD_OK;
}

static wd_status set_of_all(wd_compiler *c, const wd_all *all, wd_set **out)
{
    wd_set *s = wd_set_any(c), *one;
    if (!s)
        return wd_schema__no_memory(c);
    for (uint32_t i = 0; i < all->n; i++) {
        WD_TRY(wd_schema__set(c, all->s[i], &one));
        WD_TRY(wd_set_meet(c, all->s[i], s, one, &s));
    }
    *out = s;
    return WD_OK;
}

static wd_status make_node(wd_compiler *c, uint32_t at)
{
    wd_set *s = c->given[at];
    if (!s)
        WD_TRY(set_of_all(c, c->todo[at], &s));
    wd_node n = { .literals = s->literals, .height = WD_TALL };
    wd_str_shape *str = WD_NEW_N(c->a, wd_str_shape, s->n_str + 1);
    const wd_num **num = WD_NEW_N(c->a, const wd_num *, s->n_num + 1);
    n.obj = WD_NEW_N(c->a, wd_obj_shape, s->n_obj + 1);
    n.arr = WD_NEW_N(c->a, wd_arr_shape, s->n_arr + 1);
    n.str = str;
    n.num = num;
    if (!str || !num || !n.obj || !n.arr)
        return wd_schema__no_memory(c);
    for (uint32_t i = 0; i < s->n_str; i++)
        WD_TRY(make_str(c, &s->str[i], &str[n.n_str++]));
    for (uint32_t i = 0; i < s->n_num; i++) {
        WD_TRY(wd_num_create(c->a, &s->num[i], &num[n.n_num], c->err));
        n.n_num += num[n.n_num]->n_state > 0;
    }
    for (uint32_t i = 0; i < s->n_obj; i++)
        WD_TRY(make_obj(c, &s->obj[i], &n.obj[n.n_obj++]));
    for (uint32_t i = 0; i < s->n_arr; i++)
        WD_TRY(make_arr(c, &s->arr[i], &n.arr[n.n_arr++]));
    if (n.literals || n.n_str || n.n_num)
        n.height = 0;
    c->node[at] = n;
    return WD_OK;
}

/* --- heights ----------------------------------------------------------------------------------------------------------- */

static uint8_t height_of(const wd_compiler *c, uint32_t node)
{
    return node == WD_NONE ? WD_TALL : c->node[node].height;
}

static uint8_t one_more(uint8_t h)
{
    return h >= WD_SCHEMA_DEPTH ? WD_TALL : (uint8_t)(h + 1);
}

static uint8_t obj_height(const wd_compiler *c, const wd_obj_shape *o)
{
    uint32_t count[WD_TALL + 1] = { 0 }; /* of optional members, by height */
    uint8_t h = 0;
    for (uint32_t i = 0; i < o->n_prop; i++) {
        const uint8_t k = height_of(c, o->node[i]);
        if (o->need[i] != o->need[i + 1])
            h = WD_MAX(h, k);
        else
            count[k]++;
    }
    if (o->need[0] > o->max)
        return WD_TALL;
    uint64_t have = o->need[0];
    const uint8_t extra = height_of(c, o->extra);
    for (uint32_t k = 0; have < o->min && k < WD_TALL; k++) {
        have += count[k];
        if (extra <= k)
            have = o->min;
        if (count[k] || extra == k)
            h = (uint8_t)WD_MAX(h, k);
    }
    return have < o->min ? WD_TALL : one_more(h);
}

static uint8_t arr_height(const wd_compiler *c, const wd_arr_shape *a)
{
    uint8_t h = 0;
    for (uint32_t i = 0; i < a->min && i < a->n_prefix; i++)
        h = WD_MAX(h, height_of(c, a->prefix[i]));
    if (a->min > a->n_prefix)
        h = WD_MAX(h, height_of(c, a->rest));
    return one_more(h);
}

/* From the outside in nothing can be said: so from "cannot be written" on until nothing changes. */
static void find_heights(wd_compiler *c)
{
    for (bool more = true; more;) {
        more = false;
        for (uint32_t i = c->n_node; i-- > 0;) {
            wd_node *n = &c->node[i];
            uint8_t best = n->height;
            for (uint32_t k = 0; k < n->n_obj; k++) {
                n->obj[k].height = obj_height(c, &n->obj[k]);
                best = WD_MIN(best, n->obj[k].height);
            }
            for (uint32_t k = 0; k < n->n_arr; k++) {
                n->arr[k].height = arr_height(c, &n->arr[k]);
                best = WD_MIN(best, n->arr[k].height);
            }
            more |= best < n->height;
            n->height = best;
        }
    }
}

static wd_status check_apart(wd_compiler *c)
{
    for (const wd_apart *a = c->apart; a; a = a->next)
        if (c->node[a->node].height != WD_TALL)
            return WD_SCHEMA_FAIL(
                c, WD_E_UNSUPPORTED, a->schema,
                "oneOf: one value may satisfy both branches %u and %u; tell them apart, for instance "
                "by a required const, or use anyOf",
                a->first, a->second);
    return WD_OK;
}

/* --- all of it --------------------------------------------------------------------------------------------------------- */

static wd_status compile(wd_compiler *c, wd_constraint *out)
{
    wd_all all = { 0 };
    uint32_t first;
    WD_TRY(wd_all_add(c, &all, c->root));
    if (json_is_false(c->root))
        return WD_FAIL(c->err, WD_E_INVALID, "schema: no value satisfies it");
    WD_TRY(wd_schema__node(c, &all, &first));
    for (uint32_t i = 0; i < c->n_node; i++)
        WD_TRY(make_node(c, i));
    find_heights(c);
    WD_TRY(check_apart(c));
    if (c->node[0].height > WD_SCHEMA_DEPTH)
        return WD_FAIL(c->err, WD_E_INVALID, "schema: no value satisfies it (or none that can be written)");
    wd_node *node = WD_NEW_N(c->a, wd_node, c->n_node);
    if (!node)
        return wd_schema__no_memory(c);
    memcpy(node, c->node, c->n_node * sizeof *node);
    out->node = node;
    out->n_node = c->n_node;
    return WD_OK;
}

wd_status wd_schema__compile(wd_constraint *out, wd_span json, wd_err *err)
{
    wd_compiler c = { .a = out->arena,
                      .work = wd_arena_create(WORK_MAX, false),
                      .made = json_array(),
                      .const_of = wd_map_create(16),
                      .set_of = wd_map_create(64),
                      .dfa_of = wd_map_create(16),
                      .node_of = wd_map_create(64),
                      .id_of = wd_map_create(16),
                      .err = err };
    json_t *root = NULL;
    wd_status st = WD_OK;
    if (!c.work || !c.made || !c.const_of || !c.set_of || !c.dfa_of || !c.node_of || !c.id_of)
        st = wd_schema__no_memory(&c);
    if (!st)
        st = wd_json_parse(json, "schema", &root, err);
    if (!st && !json_is_object(root) && !json_is_boolean(root))
        st = WD_FAIL(err, WD_E_INVALID, "schema: expected an object, true or false");
    c.root = root;
    if (!st)
        st = compile(&c, out);
    json_decref(root);
    json_decref(c.made);
    wd_map_destroy(c.const_of);
    wd_map_destroy(c.set_of);
    wd_map_destroy(c.dfa_of);
    wd_map_destroy(c.node_of);
    wd_map_destroy(c.id_of);
    wd_free(c.todo);  /* NOLINT: an array of pointers */
    wd_free(c.given); /* NOLINT: an array of pointers */
    wd_free(c.node);
    wd_arena_destroy(c.work);
    return st;
}
