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

/* {"name": "f", "arguments": ...} for one function, standing at /anyOf/i. */
static json_t *call_schema(const json_t *function, size_t i)
{
    char at[64];
    const json_t *given = json_object_get(function, "parameters");
    json_t *args = json_is_object(given) && json_object_size(given) ? json_deep_copy(given)
                                                                    : json_pack("{s:s}", "type", "object");
    snprintf(at, sizeof at, "/anyOf/%zu/properties/arguments", i);
    if (args && !move_refs(args, at, 0)) {
        json_decref(args);
        return NULL;
    }
    return json_pack("{s:s, s:{s:{s:O}, s:o}, s:[s, s], s:b}", "type", "object", "properties", "name",
                     "const", json_object_get(function, "name"), "arguments", args, "required", "name",
                     "arguments", "additionalProperties", 0);
}

wd_status wd_format_calls(wd_req *r, const json_t *tools, const char *name, wd_constraint **out, wd_fault *f)
{
    json_t *any = json_array();
    for (size_t i = 0; i < json_array_size(tools); i++) {
        const json_t *fn = json_object_get(json_array_get(tools, i), "function");
        if (!name || !strcmp(json_string_value(json_object_get(fn, "name")), name))
            wd_json_append(&any, call_schema(fn, json_array_size(any)));
    }
    if (!any)
        return no_memory(f);
    if (!json_array_size(any)) {
        json_decref(any);
        return wd_fault_set(f, 400, "invalid_value", "tool_choice",
                            "tool_choice: tools has no such function");
    }
    json_t *schema = json_pack("{s:o}", "anyOf", any);
    const wd_status st = schema ? wd_format_schema(r, schema, "tools", out, f) : no_memory(f);
    json_decref(schema);
    return st;
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
