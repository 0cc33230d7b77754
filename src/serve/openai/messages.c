/* Messages of a chat: roles, content in parts, tool calls. */
#include <stdio.h>
#include <string.h>

#include "serve/inner.h"

#define MESSAGES_MAX 10000
#define PARAM_MAX 120

typedef struct reader {
    wd_req *r;
    wd_messages *out;
    wd_fault *f;
} reader;

static wd_status no_memory(wd_fault *f)
{
    return wd_fault_set(f, 503, "no_memory", "messages", "no memory for this request");
}

/* "image_url": {"url": ...} or a string; "video_url" alike; "file": {"file_id"} or {"file_data"}. */
static wd_status read_media_part(reader *d, const json_t *part, const char *type, const char *where,
                                 wd_parts *out)
{
    char param[PARAM_MAX + 16];
    const json_t *v = json_object_get(part, type);
    const bool file = !strcmp(type, "file");
    wd_show show;
    snprintf(param, sizeof param, "%s.%s", where, type);
    if (file && !json_is_object(v))
        return wd_fault_set(d->f, 400, "invalid_type", param, "%s is %s, expected an object", param,
                            v ? wd_json_kind(v) : "missing");
    WD_TRY(wd_serve__read_show(v, file ? "file_data" : "url", param, sizeof param, &show, d->f));
    return wd_serve__show(d->r, &d->out->shown, &show, param, out, d->f);
}

static wd_status read_part(reader *d, const json_t *part, const char *where, wd_parts *out)
{
    static const char *const media[] = { "image_url", "video_url", "file" };
    const char *type = json_string_value(json_object_get(part, "type"));
    char param[PARAM_MAX + 16];
    if (!json_is_object(part) || !type)
        return wd_fault_set(d->f, 400, "invalid_type", where, "%s is no object with a string \"type\"",
                            where);
    for (size_t i = 0; i < WD_COUNT(media); i++)
        if (!strcmp(type, media[i]))
            return read_media_part(d, part, media[i], where, out);
    const char *key = !strcmp(type, "refusal") ? "refusal" : "text";
    if (strcmp(type, key) != 0)
        return wd_fault_set(d->f, 400, "unsupported", where,
                            "%s: expected type \"text\", \"image_url\", \"video_url\" or \"file\"", where);
    snprintf(param, sizeof param, "%s.%s", where, key);
    const json_t *text = json_object_get(part, key);
    if (!json_is_string(text))
        return wd_fault_set(d->f, 400, "invalid_type", param, "%s is %s, expected a string", param,
                            text ? wd_json_kind(text) : "missing");
    return wd_parts_add(d->r, out, (wd_part){ WD_PART_TEXT, wd_json_span(text) }, d->f);
}

static wd_status read_content(reader *d, const json_t *v, const char *where, wd_message *out)
{
    char param[PARAM_MAX];
    snprintf(param, sizeof param, "%s.content", where);
    const bool may_lack = out->role == WD_ROLE_ASSISTANT;
    if (!v || json_is_null(v)) {
        if (!may_lack)
            return wd_fault_set(d->f, 400, "missing", param, "%s is missing", param);
        return WD_OK;
    }
    if (!json_is_string(v) && !json_is_array(v))
        return wd_fault_set(d->f, 400, "invalid_type", param,
                            "%s is %s, expected a string or an array of parts", param, wd_json_kind(v));
    wd_parts parts = { 0 };
    if (json_is_string(v))
        WD_TRY(wd_parts_add(d->r, &parts, (wd_part){ WD_PART_TEXT, wd_json_span(v) }, d->f));
    out->is_list = json_is_array(v);
    for (size_t i = 0; i < json_array_size(v); i++) {
        snprintf(param, sizeof param, "%s.content[%zu]", where, i);
        WD_TRY(read_part(d, json_array_get(v, i), param, &parts));
    }
    out->part = parts.v;
    out->n_part = parts.n;
    return WD_OK;
}

static wd_status read_call(reader *d, const json_t *v, const char *where, wd_tool_call *out)
{
    const json_t *fn = json_object_get(v, "function");
    const json_t *name = json_object_get(fn, "name"), *args = json_object_get(fn, "arguments");
    if (!json_is_string(name) || (!json_is_string(args) && !json_is_object(args)))
        return wd_fault_set(d->f, 400, "invalid_value", where,
                            "%s: expected {\"function\": {\"name\": ..., \"arguments\": ...}}", where);
    *out = (wd_tool_call){ .name = wd_json_span(name) };
    if (json_is_object(args)) {
        out->args.value = args;
    } else {
        out->verbatim = true;
        out->args.text = wd_json_span(args);
    }
    return WD_OK;
}

static wd_status read_assistant(reader *d, const json_t *v, const char *where, wd_message *out)
{
    char param[PARAM_MAX];
    const json_t *reasoning = json_object_get(v, "reasoning_content");
    if (!reasoning)
        reasoning = json_object_get(v, "reasoning");
    if (json_is_string(reasoning)) {
        out->reasoning = wd_json_span(reasoning);
        out->has_reasoning = true;
    }
    const json_t *calls = json_object_get(v, "tool_calls");
    if (!calls || json_is_null(calls))
        return WD_OK;
    if (!json_is_array(calls))
        return wd_fault_set(d->f, 400, "invalid_type", where, "%s.tool_calls is %s, expected an array", where,
                            wd_json_kind(calls));
    const size_t n = json_array_size(calls);
    wd_tool_call *call = WD_NEW_N(d->r->arena, wd_tool_call, n);
    if (n && !call)
        return no_memory(d->f);
    for (size_t i = 0; i < n; i++) {
        snprintf(param, sizeof param, "%s.tool_calls[%zu]", where, i);
        WD_TRY(read_call(d, json_array_get(calls, i), param, &call[i]));
    }
    out->call = call;
    out->n_call = n;
    return WD_OK;
}

static wd_status read_message(reader *d, const json_t *v, size_t i, wd_message *out)
{
    static const struct {
        const char *name;
        wd_role role;
    } roles[] = { { "system", WD_ROLE_SYSTEM }, { "developer", WD_ROLE_SYSTEM },
                  { "user", WD_ROLE_USER },     { "assistant", WD_ROLE_ASSISTANT },
                  { "tool", WD_ROLE_TOOL },     { "function", WD_ROLE_TOOL } };
    char where[PARAM_MAX / 2];
    snprintf(where, sizeof where, "messages[%zu]", i);
    const char *role = json_string_value(json_object_get(v, "role"));
    *out = (wd_message){ .role = WD_ROLE_USER };
    for (size_t k = 0; k <= WD_COUNT(roles); k++) {
        if (!role || k == WD_COUNT(roles))
            return wd_fault_set(d->f, 400, "invalid_value", where,
                                "%s.role: expected system, developer, user, assistant or tool", where);
        if (!strcmp(role, roles[k].name)) {
            out->role = roles[k].role;
            break;
        }
    }
    WD_TRY(read_content(d, json_object_get(v, "content"), where, out));
    return out->role == WD_ROLE_ASSISTANT ? read_assistant(d, v, where, out) : WD_OK;
}

wd_status wd_serve__messages(wd_req *r, const json_t *list, wd_messages *out, wd_fault *f)
{
    const size_t n = json_array_size(list);
    if (n == 0 || n > MESSAGES_MAX)
        return wd_fault_set(f, 400, "invalid_value", "messages", "messages has %zu members, expected 1 to %d",
                            n, MESSAGES_MAX);
    wd_message *m = WD_NEW_N(r->arena, wd_message, n);
    *out = (wd_messages){ .message = m, .n = n };
    if (!m)
        return no_memory(f);
    WD_TRY(wd_serve__shown_init(r, &out->shown, f));
    reader d = { r, out, f };
    for (size_t i = 0; i < n; i++)
        WD_TRY(read_message(&d, json_array_get(list, i), i, &m[i]));
    return WD_OK;
}
