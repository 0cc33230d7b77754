/* Sets of values: meeting, joining, taking apart. */
#include "text/schema/compile.h"

#include <stdlib.h>

static const wd_num_range any_number = { .kind = WD_NUM_ANY };

wd_set *wd_set_any(wd_compiler *c)
{
    wd_set *s = WD_NEW(c->work, wd_set);
    if (!s)
        return NULL;
    s->str = WD_NEW(c->work, wd_str);
    s->num = WD_NEW(c->work, wd_num_range);
    s->obj = WD_NEW(c->work, wd_obj);
    s->arr = WD_NEW(c->work, wd_arr);
    if (!s->str || !s->num || !s->obj || !s->arr)
        return NULL;
    s->literals = WD_LIT_NULL | WD_LIT_FALSE | WD_LIT_TRUE;
    s->n_str = s->n_num = s->n_obj = s->n_arr = 1;
    s->str->max = s->obj->max = s->arr->max = UINT32_MAX;
    *s->num = any_number;
    return s;
}

/* --- lists of schemas -------------------------------------------------------------------------------------------------- */

wd_status wd_all_add(wd_compiler *c, wd_all *all, const json_t *schema)
{
    if (json_is_true(schema))
        return WD_OK;
    const json_t **s = WD_NEW_N(c->work, const json_t *, all->n + 1);
    if (!s)
        return wd_schema__no_memory(c);
    uint32_t n = 0, i = 0;
    while (i < all->n && (uintptr_t)all->s[i] < (uintptr_t)schema)
        s[n++] = all->s[i++];
    s[n++] = schema;
    for (i += i < all->n && all->s[i] == schema; i < all->n; i++)
        s[n++] = all->s[i];
    *all = (wd_all){ n, s };
    return WD_OK;
}

wd_status wd_all_join(wd_compiler *c, const wd_all *x, const wd_all *y, wd_all *out)
{
    wd_all all = *x;
    for (uint32_t i = 0; i < y->n; i++)
        WD_TRY(wd_all_add(c, &all, y->s[i]));
    *out = all;
    return WD_OK;
}

/* --- strings ----------------------------------------------------------------------------------------------------------- */

wd_status wd_str_dfa(wd_compiler *c, const wd_str *s, const wd_dfa **out)
{
    if (s->dfa) {
        *out = s->dfa;
        return WD_OK;
    }
    return wd_dfa_length(c->a, s->min, s->max, out, c->err);
}

static wd_status meet_str(wd_compiler *c, const wd_str *x, const wd_str *y, wd_str *out, bool *some)
{
    const wd_dfa *dx, *dy;
    if (!x->dfa && !y->dfa) {
        *out = (wd_str){ NULL, WD_MAX(x->min, y->min), WD_MIN(x->max, y->max) };
        *some = out->min <= out->max;
        return WD_OK;
    }
    const wd_str *free_one = x->dfa ? y : x;
    if (!free_one->dfa && free_one->min == 0 && free_one->max == UINT32_MAX) {
        *out = x->dfa ? *x : *y;
        *some = out->dfa->n_state > 0;
        return WD_OK;
    }
    WD_TRY(wd_str_dfa(c, x, &dx));
    WD_TRY(wd_str_dfa(c, y, &dy));
    *out = (wd_str){ .max = UINT32_MAX };
    WD_TRY(wd_dfa_product(c->a, dx, dy, false, &out->dfa, c->err));
    *some = out->dfa->n_state > 0;
    return WD_OK;
}

/* --- containers -------------------------------------------------------------------------------------------------------- */

static const wd_prop *find(const wd_obj *o, wd_span name)
{
    for (uint32_t i = 0; i < o->n; i++)
        if (wd_span_eq(o->prop[i].name, name))
            return &o->prop[i];
    return NULL;
}

/* The members of x in order, then those that only y names. */
static wd_status meet_obj(wd_compiler *c, const wd_obj *x, const wd_obj *y, wd_obj *out, bool *some)
{
    wd_obj o = { .min = WD_MAX(x->min, y->min), .max = WD_MIN(x->max, y->max) };
    o.prop = WD_NEW_N(c->work, wd_prop, (size_t)x->n + y->n);
    if (!o.prop)
        return wd_schema__no_memory(c);
    for (uint32_t i = 0; i < x->n; i++) {
        const wd_prop *p = &x->prop[i], *q = find(y, p->name);
        o.prop[o.n] = *p;
        o.prop[o.n].required |= q && q->required;
        WD_TRY(wd_all_join(c, &p->all, q ? &q->all : &y->extra, &o.prop[o.n++].all));
    }
    for (uint32_t i = 0; i < y->n; i++) {
        const wd_prop *p = &y->prop[i];
        if (find(x, p->name))
            continue;
        o.prop[o.n] = *p;
        WD_TRY(wd_all_join(c, &x->extra, &p->all, &o.prop[o.n++].all));
    }
    WD_TRY(wd_all_join(c, &x->extra, &y->extra, &o.extra));
    *some = o.min <= o.max;
    *out = o;
    return WD_OK;
}

static wd_status meet_arr(wd_compiler *c, const wd_arr *x, const wd_arr *y, wd_arr *out, bool *some)
{
    wd_arr a = { .min = WD_MAX(x->min, y->min), .max = WD_MIN(x->max, y->max), .n = WD_MAX(x->n, y->n) };
    a.prefix = WD_NEW_N(c->work, wd_all, a.n);
    if (!a.prefix)
        return wd_schema__no_memory(c);
    for (uint32_t i = 0; i < a.n; i++)
        WD_TRY(wd_all_join(c, i < x->n ? &x->prefix[i] : &x->rest, i < y->n ? &y->prefix[i] : &y->rest,
                           &a.prefix[i]));
    WD_TRY(wd_all_join(c, &x->rest, &y->rest, &a.rest));
    *some = a.min <= a.max;
    *out = a;
    return WD_OK;
}

/* --- sets -------------------------------------------------------------------------------------------------------------- */

static wd_status too_many(wd_compiler *c, const json_t *at)
{
    return WD_SCHEMA_FAIL(c, WD_E_LIMIT, at, "more than %d alternatives in one place", WD_SHAPES_MAX);
}

/* Room for the given numbers of shapes, none there yet. */
static wd_status make(wd_compiler *c, const json_t *at, size_t str, size_t num, size_t obj, size_t arr,
                      wd_set **out)
{
    wd_set *s = WD_NEW(c->work, wd_set);
    if (str > WD_SHAPES_MAX || num > WD_SHAPES_MAX || obj > WD_SHAPES_MAX || arr > WD_SHAPES_MAX)
        return too_many(c, at);
    if (!s)
        return wd_schema__no_memory(c);
    s->str = WD_NEW_N(c->work, wd_str, str);
    s->num = WD_NEW_N(c->work, wd_num_range, num);
    s->obj = WD_NEW_N(c->work, wd_obj, obj);
    s->arr = WD_NEW_N(c->work, wd_arr, arr);
    if (!s->str || !s->num || !s->obj || !s->arr)
        return wd_schema__no_memory(c);
    *out = s;
    return WD_OK;
}

wd_status wd_set_meet(wd_compiler *c, const json_t *at, const wd_set *x, const wd_set *y, wd_set **out)
{
    wd_set *s;
    bool some = false;
    WD_TRY(make(c, at, (size_t)x->n_str * y->n_str, (size_t)x->n_num * y->n_num, (size_t)x->n_obj * y->n_obj,
                (size_t)x->n_arr * y->n_arr, &s));
    s->literals = x->literals & y->literals;
    for (uint32_t i = 0; i < x->n_str; i++)
        for (uint32_t k = 0; k < y->n_str; k++) {
            WD_TRY(meet_str(c, &x->str[i], &y->str[k], &s->str[s->n_str], &some));
            s->n_str += some;
        }
    for (uint32_t i = 0; i < x->n_num; i++)
        for (uint32_t k = 0; k < y->n_num; k++) {
            s->num[s->n_num] = x->num[i];
            s->n_num += wd_num_meet(&s->num[s->n_num], &y->num[k]);
        }
    for (uint32_t i = 0; i < x->n_obj; i++)
        for (uint32_t k = 0; k < y->n_obj; k++) {
            WD_TRY(meet_obj(c, &x->obj[i], &y->obj[k], &s->obj[s->n_obj], &some));
            s->n_obj += some;
        }
    for (uint32_t i = 0; i < x->n_arr; i++)
        for (uint32_t k = 0; k < y->n_arr; k++) {
            WD_TRY(meet_arr(c, &x->arr[i], &y->arr[k], &s->arr[s->n_arr], &some));
            s->n_arr += some;
        }
    *out = s;
    return WD_OK;
}

wd_status wd_set_join(wd_compiler *c, const json_t *at, const wd_set *x, const wd_set *y, wd_set **out)
{
    wd_set *s;
    WD_TRY(make(c, at, (size_t)x->n_str + y->n_str, (size_t)x->n_num + y->n_num, (size_t)x->n_obj + y->n_obj,
                (size_t)x->n_arr + y->n_arr, &s));
    const wd_set *part[] = { x, y };
    for (size_t p = 0; p < 2; p++) {
        s->literals |= part[p]->literals;
        for (uint32_t i = 0; i < part[p]->n_str; i++)
            s->str[s->n_str++] = part[p]->str[i];
        for (uint32_t i = 0; i < part[p]->n_num; i++)
            s->num[s->n_num++] = part[p]->num[i];
        for (uint32_t i = 0; i < part[p]->n_obj; i++)
            s->obj[s->n_obj++] = part[p]->obj[i];
        for (uint32_t i = 0; i < part[p]->n_arr; i++)
            s->arr[s->n_arr++] = part[p]->arr[i];
    }
    *out = s;
    return WD_OK;
}

/* Strings of x that no shape of y holds. */
static wd_status strings_without(wd_compiler *c, const wd_str *x, const wd_set *y, wd_str *out, bool *some)
{
    *out = *x;
    *some = true;
    for (uint32_t k = 0; *some && k < y->n_str; k++) {
        const wd_dfa *dx, *dy;
        if (!y->str[k].dfa && y->str[k].min == 0 && y->str[k].max == UINT32_MAX) {
            *some = false;
            break;
        }
        WD_TRY(wd_str_dfa(c, out, &dx));
        WD_TRY(wd_str_dfa(c, &y->str[k], &dy));
        *out = (wd_str){ .max = UINT32_MAX };
        WD_TRY(wd_dfa_product(c->a, dx, dy, true, &out->dfa, c->err));
        *some = out->dfa->n_state > 0;
    }
    return WD_OK;
}

/* Numbers of x that no range of y holds: each range of y splits what is there. */
static wd_status numbers_without(wd_compiler *c, const json_t *at, const wd_set *x, const wd_set *y,
                                 wd_set *s)
{
    wd_num_range *from = WD_NEW_N(c->work, wd_num_range, WD_SHAPES_MAX),
                 *to = WD_NEW_N(c->work, wd_num_range, WD_SHAPES_MAX);
    if (!from || !to)
        return wd_schema__no_memory(c);
    uint32_t n = x->n_num;
    memcpy(from, x->num, n * sizeof *from);
    for (uint32_t k = 0; k < y->n_num; k++) {
        uint32_t n_to = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (n_to + 3 > WD_SHAPES_MAX)
                return too_many(c, at);
            n_to += (uint32_t)wd_num_without(&from[i], &y->num[k], to + n_to);
        }
        wd_num_range *const swap = from;
        from = to;
        to = swap;
        n = n_to;
    }
    s->num = from;
    s->n_num = n;
    return WD_OK;
}

wd_status wd_set_without(wd_compiler *c, const json_t *at, const wd_set *x, const wd_set *y, wd_set **out)
{
    wd_set *s;
    bool some = false;
    WD_TRY(make(c, at, x->n_str, 0, 0, 0, &s));
    s->literals = x->literals & (uint8_t)~y->literals;
    for (uint32_t i = 0; i < x->n_str; i++) {
        WD_TRY(strings_without(c, &x->str[i], y, &s->str[s->n_str], &some));
        s->n_str += some;
    }
    WD_TRY(numbers_without(c, at, x, y, s));
    s->obj = x->obj;
    s->n_obj = x->n_obj;
    s->arr = x->arr;
    s->n_arr = x->n_arr;
    *out = s;
    return WD_OK;
}

/* --- one value --------------------------------------------------------------------------------------------------------- */

/* {"const": value}, the same one each time. */
static wd_status const_schema(wd_compiler *c, const json_t *value, wd_all *out)
{
    uint64_t at;
    json_t *schema;
    if (wd_map_get(c->const_of, wd_span_of(&value, sizeof value), &at)) {
        schema = (json_t *)(uintptr_t)at; /* NOLINT: maps hold integers */
    } else {
        schema = json_pack("{s:O}", "const", value);
        if (!schema || json_array_append_new(c->made, schema) ||
            wd_map_put(c->const_of, wd_span_of(&value, sizeof value), (uintptr_t)schema, NULL))
            return wd_schema__no_memory(c);
    }
    *out = (wd_all){ 0 };
    return wd_all_add(c, out, schema);
}

static wd_status const_obj(wd_compiler *c, const json_t *value, wd_set *s)
{
    const char *key;
    json_t *v;
    wd_obj *o = s->obj = WD_NEW(c->work, wd_obj);
    if (!o || !(o->prop = WD_NEW_N(c->work, wd_prop, json_object_size(value))))
        return wd_schema__no_memory(c);
    o->max = UINT32_MAX;
    s->n_obj = 1;
    json_object_foreach((json_t *)value, key, v)
    { /* NOLINT: jansson's iteration is not const */
        wd_prop *p = &o->prop[o->n++];
        *p = (wd_prop){ .name = wd_span_str(key), .required = true };
        WD_TRY(const_schema(c, v, &p->all));
    }
    return wd_all_add(c, &o->extra, json_false());
}

static wd_status const_arr(wd_compiler *c, const json_t *value, wd_set *s)
{
    wd_arr *a = s->arr = WD_NEW(c->work, wd_arr);
    if (!a || !(a->prefix = WD_NEW_N(c->work, wd_all, json_array_size(value))))
        return wd_schema__no_memory(c);
    s->n_arr = 1;
    a->n = a->min = a->max = (uint32_t)json_array_size(value);
    for (uint32_t i = 0; i < a->n; i++)
        WD_TRY(const_schema(c, json_array_get(value, i), &a->prefix[i]));
    return wd_all_add(c, &a->rest, json_false());
}

wd_status wd_set_const(wd_compiler *c, const json_t *value, wd_set **out)
{
    wd_set *s = *out = WD_NEW(c->work, wd_set);
    if (!s)
        return wd_schema__no_memory(c);
    switch (json_typeof(value)) {
    case JSON_NULL:
        s->literals = WD_LIT_NULL;
        return WD_OK;
    case JSON_FALSE:
        s->literals = WD_LIT_FALSE;
        return WD_OK;
    case JSON_TRUE:
        s->literals = WD_LIT_TRUE;
        return WD_OK;
    case JSON_STRING: {
        const wd_span text = wd_span_of(json_string_value(value), json_string_length(value));
        if (!(s->str = WD_NEW(c->work, wd_str)))
            return wd_schema__no_memory(c);
        s->n_str = 1;
        s->str->max = UINT32_MAX;
        return wd_dfa_literals(c->a, &text, 1, &s->str->dfa, c->err);
    }
    case JSON_INTEGER:
    case JSON_REAL: {
        wd_num_range *r = s->num = WD_NEW(c->work, wd_num_range);
        if (!r)
            return wd_schema__no_memory(c);
        s->n_num = 1;
        *r = (wd_num_range){ .has_lo = true, .has_hi = true, .lo = wd_dec_of(value), .hi = wd_dec_of(value) };
        r->kind = r->lo.n_frac || r->lo.cut ? WD_NUM_ANY : WD_NUM_INT;
        return WD_OK;
    }
    case JSON_OBJECT:
        return const_obj(c, value, s);
    default:
        return const_arr(c, value, s);
    }
}
