/* What a reply is held to: response_format, vLLM's structured_outputs, and calls that the client demands. */
#include "serve/openai/format.h"

#include <stdio.h>
#include <string.h>

#include "text/jsontext.h"

#define CHOICES_MAX 10000
#define REF_DEPTH 512 /* of a schema's nesting; the parser allows 2048, the compiler less */

static wd_status of_engine(wd_status st, const char *param, const wd_err *err, wd_fault *f)
{
    return st ? wd_fault_of(f, st == WD_E_CORRUPT ? WD_E_INVALID : st, param, err) : WD_OK;
}

static wd_status no_memory(wd_fault *f)
{
    return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
}

/* Compiled, or found so. */
static wd_status hold_to(wd_req *r, const wd_constraint_source *source, const char *param,
                         wd_constraint **out, wd_fault *f)
{
    wd_err err = { 0 };
    bool hit;
    const wd_status st = wd_constraint_cache_get(r->server->constraints, r->tenant, source, WD_SPACE_BOUNDED,
                                                 &hit, out, &err);
    wd_metrics_count(r->server->metrics, WD_COUNTER_CONSTRAINT_QUERIES, 1);
    if (hit)
        wd_metrics_count(r->server->metrics, WD_COUNTER_CONSTRAINT_HITS, 1);
    return of_engine(st, param, &err, f);
}

wd_status wd_format_object(wd_req *r, const char *param, wd_constraint **out, wd_fault *f)
{
    const wd_constraint_source source = { .kind = WD_CONSTRAINT_OBJECT };
    return hold_to(r, &source, param, out, f);
}

wd_status wd_format_schema(wd_req *r, const json_t *schema, const char *param, wd_constraint **out,
                           wd_fault *f)
{
    wd_buf text = { .max = WD_SCHEMA_BYTES_MAX };
    wd_err err = { 0 };
    if (!json_is_object(schema) && !json_is_boolean(schema))
        return wd_fault_set(f, 400, "invalid_type", param, "%s is %s, expected a JSON Schema", param,
                            schema ? wd_json_kind(schema) : "missing");
    wd_status st = wd_json_write(schema, JSON_COMPACT, &text, &err);
    if (!st)
        st = wd_buf_check(&text, "schema", &err);
    const wd_constraint_source source = { .kind = WD_CONSTRAINT_SCHEMA, .text = wd_buf_view(&text) };
    st = st ? of_engine(st, param, &err, f) : hold_to(r, &source, param, out, f);
    wd_buf_free(&text);
    return st;
}

static wd_status hold_to_choice(wd_req *r, const json_t *list, const char *param, wd_constraint **out,
                                wd_fault *f)
{
    const size_t n = json_array_size(list);
    if (n == 0 || n > CHOICES_MAX)
        return wd_fault_set(f, 400, "invalid_value", param, "%s: expected an array of 1 to %d strings", param,
                            CHOICES_MAX);
    wd_span *text = WD_NEW_N(r->arena, wd_span, n);
    if (!text)
        return no_memory(f);
    for (size_t i = 0; i < n; i++) {
        const json_t *one = json_array_get(list, i);
        if (!json_is_string(one) || !json_string_length(one))
            return wd_fault_set(f, 400, "invalid_value", param,
                                "%s[%zu]: expected a string that is not empty", param, i);
        text[i] = wd_json_span(one);
    }
    const wd_constraint_source source = { .kind = WD_CONSTRAINT_CHOICE, .choice = text, .n_choice = n };
    return hold_to(r, &source, param, out, f);
}

wd_status wd_format_read(wd_req *r, const json_t *o, wd_constraint **out, wd_fault *f)
{
    const char *type = json_string_value(json_object_get(o, "type"));
    if (!o || (type && !strcmp(type, "text")))
        return WD_OK;
    if (type && !strcmp(type, "json_object"))
        return wd_format_object(r, "response_format", out, f);
    if (type && !strcmp(type, "json_schema"))
        return wd_format_schema(r, json_object_get(json_object_get(o, "json_schema"), "schema"),
                                "response_format.json_schema.schema", out, f);
    return wd_fault_set(f, 400, "invalid_value", "response_format.type",
                        "response_format.type: expected text, json_object or json_schema");
}

wd_status wd_format_read_structured(wd_req *r, const json_t *o, wd_constraint **out, wd_fault *f)
{
    const json_t *json = json_object_get(o, "json"), *regex = json_object_get(o, "regex"),
                 *choice = json_object_get(o, "choice"), *object = json_object_get(o, "json_object");
    if (!o)
        return WD_OK;
    if ((json != NULL) + (regex != NULL) + (choice != NULL) + json_is_true(object) != 1)
        return wd_fault_set(f, 400, "invalid_value", "structured_outputs",
                            "structured_outputs: expected one of json, regex, choice and json_object");
    if (json)
        return wd_format_schema(r, json, "structured_outputs.json", out, f);
    if (choice)
        return hold_to_choice(r, choice, "structured_outputs.choice", out, f);
    if (!regex)
        return wd_format_object(r, "structured_outputs", out, f);
    if (!json_is_string(regex))
        return wd_fault_set(f, 400, "invalid_type", "structured_outputs.regex",
                            "structured_outputs.regex is %s, expected a string", wd_json_kind(regex));
    const wd_constraint_source source = { .kind = WD_CONSTRAINT_REGEX, .text = wd_json_span(regex) };
    return hold_to(r, &source, "structured_outputs.regex", out, f);
}

/* --- calls that must come ---------------------------------------------------------------------------------- */

/* References into a schema's own document become references into the one that it is put into. */
static bool move_refs(json_t *v, const char *to, unsigned depth)
{
    const char *key;
    json_t *member;
    size_t i;
    if (depth > REF_DEPTH)
        return false;
    if (json_is_array(v)) {
        json_array_foreach(v, i, member) if (!move_refs(member, to, depth + 1)) return false;
        return true;
    }
    json_object_foreach(v, key, member)
    {
        const char *ref = json_string_value(member);
        if (!strcmp(key, "$ref") && ref && ref[0] == '#') {
            wd_buf b = { 0 };
            wd_buf_printf(&b, "#%s%s", to, ref + 1);
            const bool ok = !b.failed && json_string_set((json_t *)member, (const char *)b.p) == 0;
            wd_buf_free(&b);
            if (!ok)
                return false;
        } else if (!move_refs(member, to, depth + 1)) {
            return false;
        }
    }
    return true;
}

/* {"name": "f", "arguments": {...}} for one function, standing at /anyOf/i. any: whatever object the arguments are. */
static json_t *call_schema(const json_t *function, size_t i, bool any)
{
    char at[64];
    const json_t *given = json_object_get(function, "parameters");
    const char *type = json_string_value(json_object_get(given, "type"));
    const bool open = any || !json_is_object(given), object = type && !strcmp(type, "object");
    json_t *args = open ? json_pack("{s:s}", "type", "object") : json_deep_copy(given);
    snprintf(at, sizeof at, "/anyOf/%zu/properties/arguments%s", i, object ? "" : "/allOf/1");
    if (args && !open && !move_refs(args, at, 0)) {
        json_decref(args);
        return NULL;
    }
    if (!open && !object)
        args = json_pack("{s:[{s:s}, o]}", "allOf", "type", "object", args);
    return json_pack("{s:s, s:{s:{s:O}, s:o}, s:[s, s], s:b}", "type", "object", "properties", "name",
                     "const", json_object_get(function, "name"), "arguments", args, "required", "name",
                     "arguments", "additionalProperties", 0);
}

static wd_status compile_calls(wd_req *r, json_t *any, wd_constraint **out, wd_fault *f)
{
    json_t *schema = any ? json_pack("{s:o}", "anyOf", any) : NULL;
    const wd_status st = schema ? wd_format_schema(r, schema, "tools", out, f) : no_memory(f);
    json_decref(schema);
    return st;
}

/* Whether the function's parameters alone use what is not taken, and the client does not insist on them. */
static wd_status must_leave_open(wd_req *r, const json_t *fn, bool *open, wd_fault *f)
{
    wd_constraint *alone = NULL;
    json_t *any = json_array();
    wd_fault why = { 0 };
    wd_json_append(&any, call_schema(fn, 0, false));
    const wd_status st = compile_calls(r, any, &alone, &why);
    wd_constraint_unref(&alone);
    *open = st == WD_E_UNSUPPORTED && !json_is_true(json_object_get(fn, "strict"));
    if (st && !*open)
        *f = why;
    return *open ? WD_OK : st;
}

/* lenient: a function that is not strict and has parameters with keywords that are not taken may get any object. */
static wd_status calls(wd_req *r, const json_t *tools, const char *name, bool lenient, wd_constraint **out,
                       wd_fault *f)
{
    json_t *any = json_array();
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *fn = json_object_get(json_array_get(tools, i), "function");
        bool open = false;
        if (name && strcmp(json_string_value(json_object_get(fn, "name")), name) != 0)
            continue;
        const wd_status st = lenient ? must_leave_open(r, fn, &open, f) : WD_OK;
        if (st) {
            json_decref(any);
            return st;
        }
        wd_json_append(&any, call_schema(fn, json_array_size(any), open));
    }
    if (any && !json_array_size(any)) {
        json_decref(any);
        return wd_fault_set(f, 400, "invalid_value", "tool_choice",
                            "tool_choice: tools has no such function");
    }
    return compile_calls(r, any, out, f);
}

wd_status wd_format_calls(wd_req *r, const json_t *tools, const wd_call_choice *how, wd_generate *rq,
                          bool *as_content, wd_constraint **out, wd_fault *f)
{
    wd_fault whole = { 0 };
    const bool native = r->model->engine->info.holds_calls;
    *as_content = how->must && !native;
    if (!how->must && !native)
        return WD_OK;
    wd_status st = calls(r, tools, how->name, false, out, how->must ? f : &whole);
    if (st == WD_E_UNSUPPORTED && !how->must)
        st = calls(r, tools, how->name, true, out, f);
    else if (st && !how->must)
        *f = whole;
    if (st)
        return st;
    rq->constraint = native ? NULL : *out;
    rq->call = native ? *out : NULL;
    rq->must_call = native && how->must;
    rq->one_call = how->one || how->name;
    return WD_OK;
}

wd_status wd_format_take_call(wd_parsed *reply, wd_err *err)
{
    wd_span name, args;
    wd_buf plain = { 0 };
    const wd_span text = wd_buf_view(&reply->content);
    wd_status st = wd_jsontext_member(text, "name", &name, err);
    if (!st)
        st = wd_jsontext_member(text, "arguments", &args, err);
    if (!st)
        st = wd_jsontext_unquote(name, &plain, err);
    if (!st) {
        const wd_parse_event ev = { WD_PARSE_TOOL_CALL, args, wd_buf_view(&plain), 0 };
        st = wd_parsed_collect(reply, &ev, err);
    }
    if (!st)
        wd_buf_wipe(&reply->content); /* it is the call now */
    wd_buf_free(&plain);
    return st;
}
