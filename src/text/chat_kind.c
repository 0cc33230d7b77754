/* Which of the chat formats a checkpoint was trained on. The templates are recognised by what they do, so that a
 * changed comment or indentation in a re-saved file does not matter, and a different template is not mistaken. */
#include "text/chat.h"

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"

#define TEMPLATE_MAX ((size_t)1 << 20)
#define CONFIG_MAX ((size_t)64 << 20)

static const char *const names[WD_CHAT_N_KIND] = {
    [WD_CHAT_QWEN3] = "qwen3",
    [WD_CHAT_QWEN3_INSTRUCT_2507] = "qwen3-instruct-2507",
    [WD_CHAT_QWEN3_THINKING_2507] = "qwen3-thinking-2507",
    [WD_CHAT_QWEN3_VL_INSTRUCT] = "qwen3-vl-instruct",
    [WD_CHAT_QWEN3_VL_THINKING] = "qwen3-vl-thinking",
};

const char *wd_chat_kind_name(wd_chat_kind kind)
{
    return names[kind];
}

/* Whether part begins at s.p[at]; a newline in it also matches a backslash and an n. */
static bool is_at(wd_span s, size_t at, const char *part)
{
    for (; *part; part++, at++) {
        if (at >= s.n)
            return false;
        if (s.p[at] == (uint8_t)*part)
            continue;
        if (*part != '\n' || s.p[at] != '\\' || at + 1 >= s.n || s.p[at + 1] != 'n')
            return false;
        at++;
    }
    return true;
}

static bool has(wd_span text, const char *part)
{
    for (size_t i = 0; i < text.n; i++)
        if (is_at(text, i, part))
            return true;
    return false;
}

static bool has_all(wd_span t, const char *const *part, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!has(t, part[i]))
            return false;
    return true;
}

static bool recognise(wd_span t, wd_chat_kind *kind)
{
    static const char *const chat[] = { "<|im_start|>", "<|im_end|>\n", "add_generation_prompt",
                                        "assistant\n" };
    /* Tool calls as JSON, tool results as turns of the user. */
    static const char *const tools[] = {
        "You may call one or more functions to assist with the user query.",
        "<tool_call>\n{\"name\": \"",
        "\n<tool_response>\n",
    };
    /* Default system messages, and what other and later Qwen generations do. */
    static const char *const foreign[] = {
        "You are a helpful assistant", "<function=", "<|audio_", "raise_exception", "preserve_thinking",
    };
    if (!has_all(t, chat, WD_COUNT(chat)))
        return false;
    for (size_t i = 0; i < WD_COUNT(foreign); i++)
        if (has(t, foreign[i]))
            return false;
    const bool with_tools = has_all(t, tools, WD_COUNT(tools));
    const bool opens = has(t, "<|im_start|>assistant\n<think>\n");
    const bool strips = has(t, "last_query_index") && has(t, "</think>") && has(t, "reasoning_content");
    if (has(t, "<|vision_start|><|image_pad|><|vision_end|>") &&
        has(t, "<|vision_start|><|video_pad|><|vision_end|>")) {
        *kind = opens ? WD_CHAT_QWEN3_VL_THINKING : WD_CHAT_QWEN3_VL_INSTRUCT;
        /* A template cut down to plain turns is the instruct format for all that it can say. */
        return with_tools ? strips == opens
                          : !strips && !has(t, "tool_call") && !has(t, "if tools") && !has(t, "<think>");
    }
    *kind = opens                       ? WD_CHAT_QWEN3_THINKING_2507
            : has(t, "enable_thinking") ? WD_CHAT_QWEN3
                                        : WD_CHAT_QWEN3_INSTRUCT_2507;
    return with_tools && strips;
}

static wd_chat_kind family_default(const char *model_type)
{
    return model_type && strncmp(model_type, "qwen3_vl", 8) == 0 ? WD_CHAT_QWEN3_VL_INSTRUCT : WD_CHAT_QWEN3;
}

bool wd_chat_kind_of_template(wd_span jinja, const char *model_type, wd_chat_kind *kind)
{
    wd_chat_kind found = WD_CHAT_QWEN3;
    const bool known = recognise(jinja, &found);
    *kind = known ? found : family_default(model_type);
    return known;
}

/* The template's text in a JSON document: a string, or a list of named ones of which "default" counts. */
static const char *template_in(const json_t *doc)
{
    const json_t *t = json_object_get(doc, "chat_template");
    for (size_t i = 0; json_is_array(t) && i < json_array_size(t); i++) {
        const json_t *one = json_array_get(t, i);
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && strcmp(name, "default") == 0)
            return json_string_value(json_object_get(one, "template"));
    }
    return json_string_value(t);
}

/* The first file that has a template; text stays empty when none has. */
static wd_status read_template(wd_arena *a, const char *dir, wd_buf *text, wd_err *err)
{
    static const char *const files[] = { "chat_template.jinja", "chat_template.json",
                                         "tokenizer_config.json" };
    for (size_t i = 0; i < WD_COUNT(files) && !text->n; i++) {
        const char *path = wd_path_join(a, dir, files[i]);
        if (!path)
            return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", dir);
        if (!wd_file_exists(path))
            continue;
        if (i == 0) {
            WD_TRY(wd_file_read(path, TEMPLATE_MAX, text, err));
            continue;
        }
        json_t *doc;
        WD_TRY(wd_json_read_file(path, CONFIG_MAX, &doc, err));
        const char *found = template_in(doc);
        if (found)
            wd_buf_str(text, found);
        json_decref(doc);
        WD_TRY(wd_buf_check(text, path, err));
    }
    return WD_OK;
}

/* The kind of a template's text, with a warning where it had to be guessed. */
static bool kind_of(wd_span text, const char *model_type, wd_chat_kind *kind)
{
    const bool known = wd_chat_kind_of_template(text, model_type, kind);
    if (!known)
        wd_log(WD_LOG_WARN, "chat", "%s chat template, taking the family's default, format=%s",
               text.n ? "unknown" : "no", names[*kind]);
    else if (wd_chat_kind_sees(family_default(model_type)) && !wd_chat_kind_sees(*kind))
        wd_log(WD_LOG_WARN, "chat", "the chat template is one for text only, format=%s", names[*kind]);
    return known;
}

static wd_status detect(const char *dir, const char *model_type, wd_chat_kind *kind, bool *known, wd_err *err)
{
    wd_buf text = { 0 };
    wd_arena *a = wd_arena_create((size_t)64 << 10, false);
    wd_status st = a ? read_template(a, dir, &text, err) : WD_FAIL(err, WD_E_NOMEM, "%s: no memory", dir);
    if (!st)
        *known = kind_of(wd_buf_view(&text), model_type, kind);
    wd_buf_free(&text);
    wd_arena_destroy(a);
    return st;
}

static bool is_auto(const char *want)
{
    return !want || !*want || strcmp(want, "auto") == 0;
}

static wd_status kind_by_name(const char *want, wd_chat_kind *kind, wd_err *err)
{
    for (size_t i = 0; i < WD_CHAT_N_KIND; i++) {
        if (strcmp(want, names[i]) == 0) {
            *kind = (wd_chat_kind)i;
            return WD_OK;
        }
    }
    return WD_FAIL(
        err, WD_E_USAGE,
        "chat format \"%s\" is unknown, expected auto, qwen3, qwen3-instruct-2507, qwen3-thinking-2507, "
        "qwen3-vl-instruct or qwen3-vl-thinking",
        want);
}

wd_status wd_chat_detect(const char *dir, const char *model_type, const char *want, wd_chat_kind *kind,
                         bool *known, wd_err *err)
{
    bool unused;
    known = known ? known : &unused;
    if (is_auto(want))
        return detect(dir, model_type, kind, known, err);
    *known = true;
    return kind_by_name(want, kind, err);
}

wd_status wd_chat_detect_template(wd_span jinja, const char *model_type, const char *want, wd_chat_kind *kind,
                                  wd_err *err)
{
    if (!is_auto(want))
        return kind_by_name(want, kind, err);
    (void)kind_of(jinja, model_type, kind);
    return WD_OK;
}
