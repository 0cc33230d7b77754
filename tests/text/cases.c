/* Reads the golden conversations. */
#include "cases.h"

#include <stdio.h>

#include "base/json.h"
#include "base/opt.h"
#include "support/test.h"

json_t *cases_read(const char *name)
{
    char path[512];
    json_t *doc = NULL;
    const char *other = wd_env("WARD_CHAT_CASES");
    if (other)
        snprintf(path, sizeof path, "%s/%s.json", other, name);
    else
        snprintf(path, sizeof path, "%s/golden/chat/%s.json", test_data_dir(), name);
    assert_ok(wd_json_read_file(path, (size_t)256 << 20, &doc, &err));
    return doc;
}

wd_span cases_str(const json_t *o, const char *key)
{
    const json_t *s = json_object_get(o, key);
    return wd_span_of(json_string_value(s), json_string_length(s));
}

static wd_part part_of(const json_t *v)
{
    const wd_span type = cases_str(v, "type");
    wd_part p = { .kind = WD_PART_TEXT };
    if (json_is_string(v))
        p.text = wd_span_of(json_string_value(v), json_string_length(v));
    else if (wd_span_is(type, "text"))
        p.text = cases_str(v, "text");
    else
        p.kind = wd_span_is(type, "image") ? WD_PART_IMAGE : WD_PART_VIDEO;
    return p;
}

static wd_chat_json json_of(wd_arena *a, const json_t *v, bool as_text)
{
    if (!as_text)
        return (wd_chat_json){ .value = v };
    char *text = json_dumps(v, JSON_ENCODE_ANY | JSON_INDENT(3) | JSON_ENSURE_ASCII);
    char *copy = wd_arena_strndup(a, text, strlen(text));
    free(text);
    return (wd_chat_json){ .text = wd_span_str(copy) };
}

static wd_tool_call call_of(wd_arena *a, const json_t *v, bool as_text)
{
    const json_t *f = json_object_get(v, "function");
    f = f ? f : v;
    const json_t *args = json_object_get(f, "arguments");
    wd_tool_call c = { .name = cases_str(f, "name"), .verbatim = json_is_string(args) };
    if (c.verbatim)
        c.args.text = wd_span_of(json_string_value(args), json_string_length(args));
    else
        c.args = json_of(a, args, as_text);
    return c;
}

static wd_message message_of(wd_arena *a, const json_t *v, bool as_text)
{
    static const char *const roles[] = { "system", "user", "assistant", "tool" };
    const json_t *content = json_object_get(v, "content");
    const json_t *calls = json_object_get(v, "tool_calls");
    wd_message m = { .is_list = json_is_array(content) };
    for (size_t i = 0; i < WD_COUNT(roles); i++)
        if (wd_span_is(cases_str(v, "role"), roles[i]))
            m.role = (wd_role)i;
    m.n_part = m.is_list ? json_array_size(content) : json_is_string(content);
    wd_part *part = WD_NEW_N(a, wd_part, m.n_part + 1);
    for (size_t i = 0; i < m.n_part; i++)
        part[i] = part_of(m.is_list ? json_array_get(content, i) : content);
    m.part = part;
    m.has_reasoning = json_is_string(json_object_get(v, "reasoning_content"));
    m.reasoning = cases_str(v, "reasoning_content");
    m.n_call = json_array_size(calls);
    wd_tool_call *call = WD_NEW_N(a, wd_tool_call, m.n_call + 1);
    for (size_t i = 0; i < m.n_call; i++)
        call[i] = call_of(a, json_array_get(calls, i), as_text);
    m.call = call;
    return m;
}

wd_chat cases_chat(wd_arena *a, const json_t *one, wd_chat_kind kind, bool as_text)
{
    const json_t *messages = json_object_get(one, "messages");
    const json_t *tools = json_object_get(one, "tools"), *think = json_object_get(one, "enable_thinking");
    wd_chat c = {
        .kind = kind,
        .n_message = json_array_size(messages),
        .enable_thinking = json_is_true(think)    ? WD_ON
                           : json_is_false(think) ? WD_OFF
                                                  : WD_UNSET,
        .add_vision_id = json_is_true(json_object_get(one, "add_vision_id")),
        .no_generation_prompt = json_is_false(json_object_get(one, "add_generation_prompt")),
    };
    wd_message *m = WD_NEW_N(a, wd_message, c.n_message);
    for (size_t i = 0; i < c.n_message; i++)
        m[i] = message_of(a, json_array_get(messages, i), as_text);
    c.message = m;
    if (tools)
        c.tools = json_of(a, tools, as_text);
    return c;
}

wd_chat_item cases_item(wd_arena *a, const json_t *item)
{
    const json_t *texts = json_object_get(item, "texts");
    const size_t n_video = (size_t)json_integer_value(json_object_get(item, "videos"));
    const size_t n_image = (size_t)json_integer_value(json_object_get(item, "images"));
    const size_t n_text = json_array_size(texts), n = n_video + n_image + n_text;
    wd_part *part = WD_NEW_N(a, wd_part, n + 1);
    /* given in another order than the one that is published, which is videos, images, texts */
    for (size_t i = 0; i < n; i++) {
        if (i < n_text)
            part[i] = part_of(json_array_get(texts, i));
        else
            part[i].kind = i < n_text + n_image ? WD_PART_IMAGE : WD_PART_VIDEO;
    }
    return (wd_chat_item){ part, n };
}
