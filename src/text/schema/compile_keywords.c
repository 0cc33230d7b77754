/* The keywords of JSON Schema: each narrows the set of values that the schema began with. */
#include "text/schema/compile.h"

#include <math.h>

#define DEPTH_MAX 64
#define LENGTH_MAX 1000000 /* of minLength and the like: nobody writes more */

/* What plain keywords say of the one shape of each type. */
typedef struct plain {
    wd_set *set;
    const json_t *schema;
} plain;

typedef wd_status (*keyword_fn)(wd_compiler *c, plain *p, const json_t *v, const char *key);

static wd_status wrong(wd_compiler *c, const plain *p, const char *key, const char *expected)
{
    return WD_SCHEMA_FAIL(c, WD_E_INVALID, p->schema, "%s: expected %s", key, expected);
}

/* --- of any type ----------------------------------------------------------------------------------------------------- */

static bool keep_type(wd_set *s, const wd_set *from, const char *type)
{
    static const struct {
        const char *name;
        uint8_t literals;
    } literal[] = { { "null", WD_LIT_NULL }, { "boolean", WD_LIT_FALSE | WD_LIT_TRUE } };
    for (size_t i = 0; i < WD_COUNT(literal); i++)
        if (strcmp(type, literal[i].name) == 0) {
            s->literals |= literal[i].literals;
            return true;
        }
    if (strcmp(type, "string") == 0) {
        s->n_str = from->n_str;
    } else if (strcmp(type, "number") == 0) {
        s->n_num = from->n_num;
        s->num->kind = WD_NUM_ANY;
    } else if (strcmp(type, "integer") == 0) {
        if (!s->n_num)
            s->num->kind = WD_NUM_INT;
        s->n_num = from->n_num;
    } else if (strcmp(type, "object") == 0) {
        s->n_obj = from->n_obj;
    } else if (strcmp(type, "array") == 0) {
        s->n_arr = from->n_arr;
    } else {
        return false;
    }
    return true;
}

static wd_status on_type(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    static const char expected[] = "null, boolean, integer, number, string, array, object or a list of them";
    wd_set *s = p->set;
    const wd_set all = *s;
    size_t n = json_is_array(v) ? json_array_size(v) : 1;
    s->literals = 0;
    s->n_str = s->n_num = s->n_obj = s->n_arr = 0;
    for (size_t i = 0; i < n; i++) {
        const char *type = json_string_value(json_is_array(v) ? json_array_get(v, i) : v);
        if (!type || !keep_type(s, &all, type))
            return wrong(c, p, key, expected);
    }
    return n ? WD_OK : wrong(c, p, key, expected);
}

/* --- numbers --------------------------------------------------------------------------------------------------------- */

static wd_status on_bound(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    if (!json_is_number(v))
        return wrong(c, p, key, "a number");
    const bool open = key[0] == 'e', low = key[open ? 10 : 1] == 'i';
    wd_num_range r = { .has_lo = low, .has_hi = !low, .lo_open = low && open, .hi_open = !low && open };
    *(low ? &r.lo : &r.hi) = wd_dec_of(v);
    if (!wd_num_meet(p->set->num, &r))
        p->set->n_num = 0;
    return WD_OK;
}

/* --- counts ---------------------------------------------------------------------------------------------------------- */

static wd_status on_count(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    wd_set *s = p->set;
    const double n = json_number_value(v);
    if (!json_is_number(v) || n < 0 || n != floor(n))
        return wrong(c, p, key, "a whole number from 0 on");
    const bool low = key[1] == 'i';
    const char kind = key[3]; /* minLength, minItems, minProperties */
    if (low && n > LENGTH_MAX)
        return WD_SCHEMA_FAIL(c, WD_E_LIMIT, p->schema, "%s is over %d", key, LENGTH_MAX);
    const uint32_t k = n > UINT32_MAX - 1 ? UINT32_MAX : (uint32_t)n;
    uint32_t *to = kind == 'L'   ? (low ? &s->str->min : &s->str->max)
                   : kind == 'I' ? (low ? &s->arr->min : &s->arr->max)
                                 : (low ? &s->obj->min : &s->obj->max);
    *to = k;
    return WD_OK;
}

/* --- strings --------------------------------------------------------------------------------------------------------- */

static wd_status add_dfa(wd_compiler *c, plain *p, const wd_dfa *d)
{
    wd_str *s = p->set->str;
    if (s->dfa)
        return wd_dfa_product(c->a, s->dfa, d, false, &s->dfa, c->err);
    s->dfa = d;
    return WD_OK;
}

/* The automaton of a regular expression that may have been met before. */
static wd_status dfa_of(wd_compiler *c, wd_span re, bool search, const char *key, const wd_dfa **out)
{
    uint64_t at;
    wd_buf name = { 0 };
    wd_buf_char(&name, search ? 's' : 'f');
    wd_buf_span(&name, re);
    wd_status st = wd_buf_check(&name, "schema", c->err);
    if (!st && wd_map_get(c->dfa_of, wd_buf_view(&name), &at)) {
        *out = (const wd_dfa *)(uintptr_t)at; /* NOLINT: maps hold integers */
    } else if (!st) {
        st = wd_dfa_regex(c->a, re, search, key, out, c->err);
        if (!st && wd_map_put(c->dfa_of, wd_buf_view(&name), (uintptr_t)*out, NULL))
            st = wd_schema__no_memory(c);
    }
    wd_buf_free(&name);
    return st;
}

static wd_status on_pattern(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    const wd_dfa *d;
    if (!json_is_string(v))
        return wrong(c, p, key, "a regular expression");
    const char *where = wd_arena_printf(c->work, "schema: %s: pattern", wd_schema__path(c, p->schema));
    WD_TRY(dfa_of(c, wd_span_of(json_string_value(v), json_string_length(v)), true, where ? where : key, &d));
    return add_dfa(c, p, d);
}

static wd_status on_format(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    const wd_dfa *d;
    wd_span re;
    if (!json_is_string(v))
        return wrong(c, p, key, "a name");
    if (wd_schema__format(json_string_value(v), &re))
        return WD_SCHEMA_FAIL(c, WD_E_UNSUPPORTED, p->schema,
                              "format \"%.60s\" is not supported (date, date-time, time, uuid and email are)",
                              json_string_value(v));
    WD_TRY(dfa_of(c, re, false, key, &d));
    return add_dfa(c, p, d);
}

/* --- arrays ---------------------------------------------------------------------------------------------------------- */

static bool is_schema(const json_t *v)
{
    return json_is_object(v) || json_is_boolean(v);
}

static wd_status on_items(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    if (!is_schema(v))
        return wrong(c, p, key, "a schema");
    return wd_all_add(c, &p->set->arr->rest, v);
}

static wd_status on_prefix_items(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    wd_arr *a = p->set->arr;
    a->n = (uint32_t)json_array_size(v);
    a->prefix = WD_NEW_N(c->work, wd_all, (size_t)a->n + 1);
    if (!json_is_array(v) || !a->n)
        return wrong(c, p, key, "a list of schemas");
    if (!a->prefix)
        return wd_schema__no_memory(c);
    for (uint32_t i = 0; i < a->n; i++) {
        if (!is_schema(json_array_get(v, i)))
            return wrong(c, p, key, "a list of schemas");
        WD_TRY(wd_all_add(c, &a->prefix[i], json_array_get(v, i)));
    }
    return WD_OK;
}

/* --- objects --------------------------------------------------------------------------------------------------------- */

/* properties, required and additionalProperties together, for they depend on each other. */
static wd_status objects(wd_compiler *c, plain *p)
{
    const json_t *props = json_object_get(p->schema, "properties"),
                 *need = json_object_get(p->schema, "required"),
                 *extra = json_object_get(p->schema, "additionalProperties");
    wd_obj *o = p->set->obj;
    const char *key;
    json_t *v;
    if (extra && !is_schema(extra))
        return wrong(c, p, "additionalProperties", "a schema");
    if (extra)
        WD_TRY(wd_all_add(c, &o->extra, extra));
    if (props && !json_is_object(props))
        return wrong(c, p, "properties", "an object of schemas");
    if (need && !json_is_array(need))
        return wrong(c, p, "required", "a list of names");
    o->prop = WD_NEW_N(c->work, wd_prop, json_object_size(props) + json_array_size(need) + 1);
    if (!o->prop)
        return wd_schema__no_memory(c);
    json_object_foreach((json_t *)props, key, v)
    { /* NOLINT: jansson's iteration is not const */
        if (!is_schema(v))
            return wrong(c, p, "properties", "an object of schemas");
        o->prop[o->n] = (wd_prop){ .name = wd_span_str(key) };
        WD_TRY(wd_all_add(c, &o->prop[o->n++].all, v));
    }
    wd_map *at = wd_map_create(o->n);
    wd_status st = at ? WD_OK : wd_schema__no_memory(c);
    for (uint32_t i = 0; !st && i < o->n; i++)
        st = wd_map_put(at, o->prop[i].name, i, NULL) ? wd_schema__no_memory(c) : WD_OK;
    for (size_t i = 0; !st && i < json_array_size(need); i++) {
        const json_t *name = json_array_get(need, i);
        const wd_span text = wd_span_of(json_string_value(name), json_string_length(name));
        uint64_t k = o->n;
        if (!json_is_string(name)) {
            st = wrong(c, p, "required", "a list of names");
        } else if (!wd_map_get(at, text, &k)) {
            o->prop[o->n++] = (wd_prop){ .name = text, .all = o->extra };
            st = wd_map_put(at, text, k, NULL) ? wd_schema__no_memory(c) : WD_OK;
        }
        if (!st)
            o->prop[k].required = true;
    }
    wd_map_destroy(at);
    return st;
}

static wd_status on_object(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    (void)c, (void)p, (void)v, (void)key; /* objects() */
    return WD_OK;
}

/* --- keywords that hold schemas -------------------------------------------------------------------------------------- */

static wd_status need_list(wd_compiler *c, const plain *p, const json_t *v, const char *key)
{
    if (!json_is_array(v) || !json_array_size(v))
        return wrong(c, p, key, "a list of schemas");
    for (size_t i = 0; i < json_array_size(v); i++)
        if (!is_schema(json_array_get(v, i)))
            return wrong(c, p, key, "a list of schemas");
    return WD_OK;
}

static wd_status on_all_of(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    WD_TRY(need_list(c, p, v, key));
    for (size_t i = 0; i < json_array_size(v); i++) {
        wd_set *s;
        WD_TRY(wd_schema__set(c, json_array_get(v, i), &s));
        WD_TRY(wd_set_meet(c, p->schema, p->set, s, &p->set));
    }
    return WD_OK;
}

static wd_status on_any_of(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    WD_TRY(need_list(c, p, v, key));
    wd_set *any = WD_NEW(c->work, wd_set), *s;
    if (!any)
        return wd_schema__no_memory(c);
    for (size_t i = 0; i < json_array_size(v); i++) {
        WD_TRY(wd_schema__set(c, json_array_get(v, i), &s));
        WD_TRY(wd_set_join(c, p->schema, any, s, &any));
    }
    return wd_set_meet(c, p->schema, p->set, any, &p->set);
}

/* No object and no array may satisfy two branches; that is known only when all nodes have been made. */
static wd_status keep_apart(wd_compiler *c, const plain *p, const wd_set *x, const wd_set *y, uint32_t i,
                            uint32_t k)
{
    wd_set only_x = { .n_obj = x->n_obj, .obj = x->obj, .n_arr = x->n_arr, .arr = x->arr };
    wd_set only_y = { .n_obj = y->n_obj, .obj = y->obj, .n_arr = y->n_arr, .arr = y->arr };
    wd_set *both;
    WD_TRY(wd_set_meet(c, p->schema, &only_x, &only_y, &both));
    if (!both->n_obj && !both->n_arr)
        return WD_OK;
    wd_apart *a = WD_NEW(c->work, wd_apart);
    if (!a)
        return wd_schema__no_memory(c);
    *a = (wd_apart){ .schema = p->schema, .first = i, .second = k, .next = c->apart };
    c->apart = a;
    return wd_schema__node_of_set(c, both, &a->node);
}

static wd_status on_one_of(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    WD_TRY(need_list(c, p, v, key));
    const uint32_t n = (uint32_t)json_array_size(v);
    wd_set **s = WD_NEW_N(c->work, wd_set *, n), *one = WD_NEW(c->work, wd_set);
    if (!s || !one)
        return wd_schema__no_memory(c);
    for (uint32_t i = 0; i < n; i++) {
        WD_TRY(wd_schema__set(c, json_array_get(v, i), &s[i]));
        WD_TRY(wd_set_meet(c, p->schema, p->set, s[i], &s[i]));
    }
    for (uint32_t i = 0; i < n; i++) {
        wd_set *rest = s[i];
        for (uint32_t k = 0; k < n; k++) {
            if (k != i)
                WD_TRY(wd_set_without(c, p->schema, rest, s[k], &rest));
            if (k > i)
                WD_TRY(keep_apart(c, p, s[i], s[k], i, k));
        }
        WD_TRY(wd_set_join(c, p->schema, one, rest, &one));
    }
    p->set = one;
    return WD_OK;
}

static wd_status on_enum(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    if (!json_is_array(v) || !json_array_size(v))
        return wrong(c, p, key, "a list of values");
    wd_set *any = WD_NEW(c->work, wd_set), *s;
    wd_span *text = WD_NEW_N(c->work, wd_span, json_array_size(v));
    size_t n_text = 0;
    if (!any || !text || !(any->str = WD_NEW(c->work, wd_str)))
        return wd_schema__no_memory(c);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *value = json_array_get(v, i);
        if (json_is_string(value)) { /* all of them become one automaton */
            text[n_text++] = wd_span_of(json_string_value(value), json_string_length(value));
            continue;
        }
        WD_TRY(wd_set_const(c, value, &s));
        WD_TRY(wd_set_join(c, p->schema, any, s, &any));
    }
    if (n_text) {
        wd_set strings = { .n_str = 1, .str = &(wd_str){ .max = UINT32_MAX } };
        WD_TRY(wd_dfa_literals(c->a, text, n_text, &strings.str->dfa, c->err));
        WD_TRY(wd_set_join(c, p->schema, any, &strings, &any));
    }
    return wd_set_meet(c, p->schema, p->set, any, &p->set);
}

static wd_status on_const(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    wd_set *s;
    (void)key;
    WD_TRY(wd_set_const(c, v, &s));
    return wd_set_meet(c, p->schema, p->set, s, &p->set);
}

/* The part of the document that "#/a/b" points to; NULL: none. */
static const json_t *follow(const json_t *root, const char *ref)
{
    const json_t *v = root;
    if (*ref++ != '#')
        return NULL;
    while (v && *ref == '/') {
        char key[512];
        size_t n = 0;
        for (ref++; *ref && *ref != '/' && n < sizeof key - 1; ref++) {
            char ch = *ref;
            if (ch == '~') {
                ref++;
                if (*ref != '0' && *ref != '1')
                    return NULL;
                ch = *ref == '0' ? '~' : '/';
            } else if (ch == '%') {
                uint32_t x = 0;
                for (int i = 1; i <= 2; i++) {
                    const int d = ref[i] | 32;
                    const int h = ref[i] >= '0' && ref[i] <= '9' ? ref[i] - '0'
                                  : d >= 'a' && d <= 'f'         ? d - 'a' + 10
                                                                 : -1;
                    if (h < 0)
                        return NULL;
                    x = x << 4 | (uint32_t)h;
                }
                ch = (char)x;
                ref += 2;
            }
            key[n++] = ch;
        }
        key[n] = 0;
        if (json_is_array(v)) {
            size_t at = 0;
            for (size_t i = 0; i < n && at < 1000000; i++)
                at = key[i] >= '0' && key[i] <= '9' ? at * 10 + (size_t)(key[i] - '0') : SIZE_MAX / 2;
            v = n && n < 7 ? json_array_get(v, at) : NULL;
        } else {
            v = json_object_get(v, key);
        }
    }
    return *ref ? NULL : v;
}

static wd_status on_ref(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    wd_set *s;
    if (!json_is_string(v))
        return wrong(c, p, key, "a place in the document, \"#/...\"");
    const char *ref = json_string_value(v);
    if (ref[0] != '#' || (ref[1] && ref[1] != '/'))
        return WD_SCHEMA_FAIL(c, WD_E_UNSUPPORTED, p->schema,
                              "$ref \"%.100s\" is not supported (places in the document are, \"#/...\")",
                              ref);
    const json_t *to = follow(c->root, ref);
    if (!to || !is_schema(to))
        return WD_SCHEMA_FAIL(c, WD_E_INVALID, p->schema, "$ref \"%.100s\" leads to no schema", ref);
    WD_TRY(wd_schema__set(c, to, &s));
    return wd_set_meet(c, p->schema, p->set, s, &p->set);
}

static wd_status on_defs(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    return json_is_object(v) ? WD_OK : wrong(c, p, key, "an object of schemas");
}

static wd_status on_false(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    if (json_is_false(v))
        return WD_OK;
    return WD_SCHEMA_FAIL(c, WD_E_UNSUPPORTED, p->schema, "the keyword %s is not supported", key);
}

static wd_status on_note(wd_compiler *c, plain *p, const json_t *v, const char *key)
{
    (void)c, (void)p, (void)v, (void)key;
    return WD_OK;
}

/* In this order: first what concerns the one shape of each type, then what may make several. */
static const struct {
    const char *name;
    keyword_fn fn;
} keywords[] = {
    { "minimum", on_bound },
    { "maximum", on_bound },
    { "exclusiveMinimum", on_bound },
    { "exclusiveMaximum", on_bound },
    { "minLength", on_count },
    { "maxLength", on_count },
    { "minItems", on_count },
    { "maxItems", on_count },
    { "minProperties", on_count },
    { "maxProperties", on_count },
    { "pattern", on_pattern },
    { "format", on_format },
    { "items", on_items },
    { "prefixItems", on_prefix_items },
    { "properties", on_object },
    { "required", on_object },
    { "additionalProperties", on_object },
    { "type", on_type },
    { "uniqueItems", on_false },
    { "$defs", on_defs },
    { "definitions", on_defs },
    { "title", on_note },
    { "description", on_note },
    { "default", on_note },
    { "examples", on_note },
    { "deprecated", on_note },
    { "readOnly", on_note },
    { "writeOnly", on_note },
    { "$comment", on_note },
    { "$schema", on_note },
    { "$id", on_note },
};
static const struct {
    const char *name;
    keyword_fn fn;
} joining[] = {
    { "enum", on_enum },    { "const", on_const },  { "$ref", on_ref },
    { "allOf", on_all_of }, { "anyOf", on_any_of }, { "oneOf", on_one_of },
};

static wd_status know_all(wd_compiler *c, const json_t *schema)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)schema, key, v)
    { /* NOLINT: jansson's iteration is not const */
        bool known = strcmp(key, "$id") != 0 || schema == c->root;
        bool listed = false;
        for (size_t i = 0; i < WD_COUNT(keywords) && !listed; i++)
            listed = strcmp(key, keywords[i].name) == 0;
        for (size_t i = 0; i < WD_COUNT(joining) && !listed; i++)
            listed = strcmp(key, joining[i].name) == 0;
        if (!known || !listed)
            return WD_SCHEMA_FAIL(c, WD_E_UNSUPPORTED, schema, "the keyword \"%.60s\" is not supported", key);
    }
    return WD_OK;
}

/* pattern and lengths together: one automaton. And empty shapes go. */
static wd_status settle(wd_compiler *c, plain *p)
{
    wd_set *s = p->set;
    if (s->n_str && s->str->min > s->str->max)
        s->n_str = 0;
    if (s->n_str && s->str->dfa && (s->str->min || s->str->max != UINT32_MAX)) {
        const wd_dfa *len;
        WD_TRY(wd_dfa_length(c->a, s->str->min, s->str->max, &len, c->err));
        WD_TRY(wd_dfa_product(c->a, s->str->dfa, len, false, &s->str->dfa, c->err));
        s->str->min = 0;
        s->str->max = UINT32_MAX;
    }
    if (s->n_str && s->str->dfa && !s->str->dfa->n_state)
        s->n_str = 0;
    if (s->obj->min > s->obj->max)
        s->n_obj = 0;
    if (s->arr->min > s->arr->max)
        s->n_arr = 0;
    return WD_OK;
}

static wd_status from_keywords(wd_compiler *c, const json_t *schema, wd_set **out)
{
    plain p = { .set = wd_set_any(c), .schema = schema };
    if (!p.set)
        return wd_schema__no_memory(c);
    WD_TRY(know_all(c, schema));
    for (size_t i = 0; i < WD_COUNT(keywords); i++) {
        const json_t *v = json_object_get(schema, keywords[i].name);
        if (v)
            WD_TRY(keywords[i].fn(c, &p, v, keywords[i].name));
    }
    WD_TRY(objects(c, &p));
    WD_TRY(settle(c, &p));
    for (size_t i = 0; i < WD_COUNT(joining); i++) {
        const json_t *v = json_object_get(schema, joining[i].name);
        if (v)
            WD_TRY(joining[i].fn(c, &p, v, joining[i].name));
    }
    *out = p.set;
    return WD_OK;
}

wd_status wd_schema__set(wd_compiler *c, const json_t *schema, wd_set **out)
{
    uint64_t at;
    const wd_span key = wd_span_of(&schema, sizeof schema);
    if (json_is_true(schema) || json_is_false(schema)) {
        *out = json_is_true(schema) ? wd_set_any(c) : WD_NEW(c->work, wd_set);
        return *out ? WD_OK : wd_schema__no_memory(c);
    }
    if (wd_map_get(c->set_of, key, &at)) {
        *out = (wd_set *)(uintptr_t)at; /* NOLINT: maps hold integers */
        if (!*out)
            return WD_SCHEMA_FAIL(c, WD_E_INVALID, schema, "%s",
                                  "$ref comes back to itself without a step inwards");
        return WD_OK;
    }
    if (c->depth >= DEPTH_MAX)
        return WD_SCHEMA_FAIL(c, WD_E_LIMIT, schema, "%s", "schemas of schemas nest too deeply");
    if (wd_map_put(c->set_of, key, 0, NULL))
        return wd_schema__no_memory(c);
    c->depth++;
    const wd_status st = from_keywords(c, schema, out);
    c->depth--;
    if (!st && wd_map_put(c->set_of, key, (uintptr_t)*out, NULL))
        return wd_schema__no_memory(c);
    return st;
}
