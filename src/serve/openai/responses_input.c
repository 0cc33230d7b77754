/* The input of /v1/responses: a flat list of items, some of which belong to one turn of the model. */
#include <stdio.h>
#include <string.h>

#include "serve/openai/responses.h"

#define ITEMS_MAX 10000
#define PARAM_MAX 120

typedef struct reader {
    wd_req *r;
    const json_t *input;
    size_t n_before;     /* items of responses before */
    wd_message *message; /* [items + 1] */
    size_t n;
    wd_tool_call *call; /* where the last message's calls go on; NULL: it takes none */
    wd_span reasoning;  /* of the turn that comes */
    wd_shown *shown;
    wd_fault *f;
} reader;

static wd_status no_memory(wd_fault *f)
{
    return wd_fault_set(f, 503, "no_memory", "input", "no memory for this request");
}

static wd_status need_string(const json_t *v, const char *param, wd_fault *f)
{
    if (json_is_string(v))
        return WD_OK;
    return wd_fault_set(f, 400, v ? "invalid_type" : "missing", param, "%s is %s, expected a string", param,
                        v ? wd_json_kind(v) : "missing");
}

static wd_message *add_message(reader *d, wd_role role)
{
    wd_message *m = &d->message[d->n++];
    *m = (wd_message){ .role = role };
    if (role == WD_ROLE_ASSISTANT && d->reasoning.n) {
        m->reasoning = d->reasoning;
        m->has_reasoning = true;
    }
    d->reasoning = (wd_span){ 0 };
    d->call = NULL;
    return m;
}

/* --- content ----------------------------------------------------------------------------------------------- */

static wd_status read_media(reader *d, const json_t *part, const char *key, const char *where, wd_parts *out)
{
    char param[PARAM_MAX + 48];
    wd_show show;
    snprintf(param, sizeof param, "%s", where);
    WD_TRY(wd_serve__read_show(part, key, param, sizeof param, &show, d->f));
    return wd_serve__show(d->r, d->shown, &show, param, out, d->f);
}

static wd_status read_part(reader *d, const json_t *part, const char *where, wd_parts *out)
{
    static const char *const texts[] = { "input_text", "output_text", "text", "summary_text", "refusal" };
    const char *type = json_string_value(json_object_get(part, "type"));
    char param[PARAM_MAX + 16];
    if (!type)
        return wd_fault_set(d->f, 400, "invalid_type", where, "%s is no object with a string \"type\"",
                            where);
    if (!strcmp(type, "input_image"))
        return read_media(d, part, "image_url", where, out);
    if (!strcmp(type, "input_file"))
        return read_media(d, part, "file_data", where, out);
    for (size_t i = 0; i < WD_COUNT(texts); i++) {
        if (strcmp(type, texts[i]) != 0)
            continue;
        const char *key = !strcmp(type, "refusal") ? "refusal" : "text";
        const json_t *text = json_object_get(part, key);
        snprintf(param, sizeof param, "%s.%s", where, key);
        WD_TRY(need_string(text, param, d->f));
        return wd_parts_add(d->r, out, (wd_part){ WD_PART_TEXT, wd_json_span(text) }, d->f);
    }
    return wd_fault_set(d->f, 400, "unsupported", where,
                        "%s.type: expected input_text, input_image, input_file, output_text or refusal",
                        where);
}

static wd_status read_content(reader *d, const json_t *v, const char *where, wd_message *out)
{
    wd_parts parts = { 0 };
    char param[PARAM_MAX];
    if (json_is_string(v))
        WD_TRY(wd_parts_add(d->r, &parts, (wd_part){ WD_PART_TEXT, wd_json_span(v) }, d->f));
    else if (!json_is_array(v))
        return wd_fault_set(d->f, 400, v ? "invalid_type" : "missing", where,
                            "%s is %s, expected a string or an array of parts", where,
                            v ? wd_json_kind(v) : "missing");
    /* a message of texts alone is one text: what the model said comes back as it was */
    out->is_list = json_is_array(v) && out->role != WD_ROLE_ASSISTANT;
    for (size_t i = 0; i < json_array_size(v); i++) {
        snprintf(param, sizeof param, "%s[%zu]", where, i);
        WD_TRY(read_part(d, json_array_get(v, i), param, &parts));
    }
    out->part = parts.v;
    out->n_part = parts.n;
    return WD_OK;
}

/* --- items ------------------------------------------------------------------------------------------------- */

static wd_status read_message(reader *d, const json_t *v, const char *where)
{
    static const struct {
        const char *name;
        wd_role role;
    } roles[] = { { "system", WD_ROLE_SYSTEM },
                  { "developer", WD_ROLE_SYSTEM },
                  { "user", WD_ROLE_USER },
                  { "assistant", WD_ROLE_ASSISTANT } };
    const char *role = json_string_value(json_object_get(v, "role"));
    char param[PARAM_MAX];
    for (size_t i = 0; role && i < WD_COUNT(roles); i++) {
        if (strcmp(role, roles[i].name) != 0)
            continue;
        snprintf(param, sizeof param, "%s.content", where);
        return read_content(d, json_object_get(v, "content"), param, add_message(d, roles[i].role));
    }
    snprintf(param, sizeof param, "%s.role", where);
    return wd_fault_set(d->f, 400, "invalid_value", param,
                        "%s: expected system, developer, user or assistant", param);
}

/* Its text, else its summary; it stands before what the model said next. */
static wd_status read_reasoning(reader *d, const json_t *v, const char *where)
{
    static const char *const keys[] = { "content", "summary" };
    wd_buf text = { 0 };
    char param[PARAM_MAX];
    for (size_t k = 0; k < WD_COUNT(keys) && !text.n; k++) {
        const json_t *list = json_object_get(v, keys[k]);
        for (size_t i = 0; i < json_array_size(list); i++) {
            const json_t *one = json_object_get(json_array_get(list, i), "text");
            snprintf(param, sizeof param, "%s.%s[%zu].text", where, keys[k], i);
            const wd_status st = need_string(one, param, d->f);
            if (st) {
                wd_buf_free(&text);
                return st;
            }
            wd_buf_span(&text, wd_json_span(one));
        }
    }
    char *copy = text.failed ? NULL : wd_arena_strndup(d->r->arena, (const char *)text.p, text.n);
    d->reasoning = wd_span_of(copy, text.n);
    d->call = NULL;
    wd_buf_wipe(&text);
    wd_buf_free(&text);
    return copy ? WD_OK : no_memory(d->f);
}

static const char *type_of(const json_t *item)
{
    const json_t *type = json_object_get(item, "type");
    if (!type && json_object_get(item, "role"))
        return "message";
    return json_is_string(type) ? json_string_value(type) : "";
}

/* How many calls stand one after another from item i on. */
static size_t count_calls(const reader *d, size_t i)
{
    size_t n = 0;
    while (!strcmp(type_of(json_array_get(d->input, i + n)), "function_call"))
        n++;
    return n;
}

static wd_status read_call(reader *d, size_t i, const json_t *v, const char *where)
{
    const json_t *name = json_object_get(v, "name"), *args = json_object_get(v, "arguments");
    const char *status = json_string_value(json_object_get(v, "status"));
    char param[PARAM_MAX];
    snprintf(param, sizeof param, "%s.name", where);
    WD_TRY(need_string(name, param, d->f));
    snprintf(param, sizeof param, "%s.arguments", where);
    WD_TRY(need_string(args, param, d->f));
    /* cut off within its arguments: nobody has done what it asks */
    if (status && !strcmp(status, "incomplete"))
        return WD_OK;
    if (!d->call) { /* the first of its turn */
        const bool said = d->n && d->message[d->n - 1].role == WD_ROLE_ASSISTANT && !d->reasoning.n;
        wd_message *m = said ? &d->message[d->n - 1] : add_message(d, WD_ROLE_ASSISTANT);
        d->call = WD_NEW_N(d->r->arena, wd_tool_call, count_calls(d, i));
        if (!d->call)
            return no_memory(d->f);
        m->call = d->call;
    }
    *d->call++ = (wd_tool_call){ .name = wd_json_span(name),
                                 .verbatim = true,
                                 .args = { .text = wd_json_span(args) } };
    d->message[d->n - 1].n_call++;
    return WD_OK;
}

static wd_status read_item(reader *d, size_t i)
{
    const json_t *v = json_array_get(d->input, i);
    const char *type = type_of(v);
    char where[PARAM_MAX / 2], param[PARAM_MAX];
    if (i < d->n_before)
        snprintf(where, sizeof where, "previous_response_id.items[%zu]", i);
    else
        snprintf(where, sizeof where, "input[%zu]", i - d->n_before);
    if (!json_is_object(v))
        return wd_fault_set(d->f, 400, "invalid_type", where, "%s is %s, expected an object", where,
                            wd_json_kind(v));
    if (!strcmp(type, "message"))
        return read_message(d, v, where);
    if (!strcmp(type, "reasoning"))
        return read_reasoning(d, v, where);
    if (!strcmp(type, "function_call"))
        return read_call(d, i, v, where);
    if (!strcmp(type, "function_call_output")) {
        snprintf(param, sizeof param, "%s.output", where);
        return read_content(d, json_object_get(v, "output"), param, add_message(d, WD_ROLE_TOOL));
    }
    snprintf(param, sizeof param, "%s.type", where);
    if (!strcmp(type, "item_reference"))
        return wd_fault_set(d->f, 400, "unsupported", param,
                            "%s: send the item itself, or previous_response_id", param);
    return wd_fault_set(d->f, 400, "unsupported", param,
                        "%s: expected message, reasoning, function_call or function_call_output", param);
}

wd_status wd_responses_items(const json_t *input, json_t **out, wd_fault *f)
{
    *out = NULL;
    if (!json_is_string(input) && !json_is_array(input))
        return wd_fault_set(f, 400, "invalid_type", "input", "input is %s, expected a string or an array",
                            wd_json_kind(input));
    if (json_is_array(input) && json_array_size(input) == 0)
        return wd_fault_set(f, 400, "invalid_value", "input", "input has 0 items, expected 1 to %d",
                            ITEMS_MAX);
    *out = json_is_array(input)
               ? json_incref((json_t *)(uintptr_t)input)
               : json_pack("[{s:s, s:O}]", "role", "user", "content", (json_t *)(uintptr_t)input);
    return *out ? WD_OK : no_memory(f);
}

wd_status wd_responses_input(wd_req *r, const json_t *items, size_t n_before, wd_span instructions,
                             wd_messages *out, wd_fault *f)
{
    const size_t n = json_array_size(items);
    if (n > ITEMS_MAX)
        return wd_fault_set(f, 400, "invalid_value", "input", "input has %zu items, expected 1 to %d", n,
                            ITEMS_MAX);
    reader d = { .r = r,
                 .input = items,
                 .n_before = n_before,
                 .message = WD_NEW_N(r->arena, wd_message, n + 1),
                 .shown = &out->shown,
                 .f = f };
    *out = (wd_messages){ .message = d.message };
    if (!d.message)
        return no_memory(f);
    WD_TRY(wd_serve__shown_init(r, &out->shown, f));
    wd_parts parts = { 0 };
    if (instructions.n) {
        WD_TRY(wd_parts_add(r, &parts, (wd_part){ WD_PART_TEXT, instructions }, f));
        wd_message *m = add_message(&d, WD_ROLE_SYSTEM);
        m->part = parts.v;
        m->n_part = 1;
    }
    for (size_t i = 0; i < n; i++)
        WD_TRY(read_item(&d, i));
    if (!d.n)
        return wd_fault_set(f, 400, "invalid_value", "input", "input has no message");
    out->n = d.n;
    return WD_OK;
}

/* --- tools and formats ------------------------------------------------------------------------------------- */

static wd_status read_tool(const json_t *t, size_t i, json_t **out, wd_fault *f)
{
    const char *type = json_string_value(json_object_get(t, "type"));
    const json_t *name = json_object_get(t, "name"), *about = json_object_get(t, "description"),
                 *p = json_object_get(t, "parameters");
    char param[64];
    snprintf(param, sizeof param, "tools[%zu]", i);
    if (!type || strcmp(type, "function") != 0)
        return wd_fault_set(f, 400, "unsupported", param,
                            "%s.type: expected \"function\": this server has no tools of its own", param);
    if (!json_is_string(name) || !json_string_length(name) || json_string_length(name) > 64)
        return wd_fault_set(f, 400, "invalid_value", param, "%s.name: expected 1 to 64 characters", param);
    if (about && !json_is_null(about) && !json_is_string(about))
        return wd_fault_set(f, 400, "invalid_type", param, "%s.description is %s, expected a string", param,
                            wd_json_kind(about));
    if (p && !json_is_null(p) && !json_is_object(p))
        return wd_fault_set(f, 400, "invalid_type", param, "%s.parameters is %s, expected an object", param,
                            wd_json_kind(p));
    json_t *fn = json_pack("{s:O}", "name", name);
    bool ok = fn != NULL;
    if (ok && json_is_string(about))
        ok = json_object_set(fn, "description", (json_t *)(uintptr_t)about) == 0;
    if (ok && json_is_object(p))
        ok = json_object_set(fn, "parameters", (json_t *)(uintptr_t)p) == 0;
    if (!ok) {
        json_decref(fn);
        return no_memory(f);
    }
    wd_json_append(out, json_pack("{s:s, s:o}", "type", "function", "function", fn));
    return *out ? WD_OK : no_memory(f);
}

wd_status wd_responses_tools(const json_t *tools, json_t **out, wd_fault *f)
{
    *out = NULL;
    if (!json_array_size(tools))
        return WD_OK;
    json_t *list = json_array();
    wd_status st = list ? WD_OK : no_memory(f);
    for (size_t i = 0; !st && i < json_array_size(tools); i++)
        st = read_tool(json_array_get(tools, i), i, &list, f);
    if (st) {
        json_decref(list);
        return st;
    }
    *out = list;
    return WD_OK;
}

wd_status wd_responses_format(wd_req *r, const json_t *text, wd_constraint **out, wd_fault *f)
{
    const json_t *format = json_object_get(text, "format");
    const char *type = json_string_value(json_object_get(format, "type"));
    if (!format || json_is_null(format) || (type && !strcmp(type, "text")))
        return WD_OK;
    if (type && !strcmp(type, "json_schema"))
        return wd_format_schema(r, json_object_get(format, "schema"), "text.format.schema", out, f);
    if (!type || strcmp(type, "json_object") != 0)
        return wd_fault_set(f, 400, "invalid_value", "text.format.type",
                            "text.format.type: expected text, json_object or json_schema");
    return wd_format_object(r, "text.format", out, f);
}
