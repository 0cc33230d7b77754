/* The chat formats of the Qwen3 and Qwen3-VL checkpoints.
 *
 * One walk over the messages serves all kinds; what differs between the published templates is in the table `formats`
 * and in the two places that ask for it. Words of the template and words of others are kept apart from the first byte
 * on (chat_build.h). */
#include "text/chat.h"

#include <stdio.h>

#include "base/log.h"
#include "text/chat_build.h"
#include "text/jsontext.h"

typedef struct format {
    bool sees; /* images and videos are rendered */
    bool
        strips_history; /* assistant turns: reasoning is taken out of the content, and dropped in old turns */
    bool system_anywhere; /* system messages after the first one are rendered */
    bool switchable;      /* enable_thinking = false closes an empty think block in the generation prompt */
    bool opens_thinking;  /* the generation prompt ends in "<think>\n" */
} format;

static const format formats[WD_CHAT_N_KIND] = {
    [WD_CHAT_QWEN3] = { .strips_history = true, .system_anywhere = true, .switchable = true },
    [WD_CHAT_QWEN3_INSTRUCT_2507] = { .strips_history = true, .system_anywhere = true },
    [WD_CHAT_QWEN3_THINKING_2507] = { .strips_history = true,
                                      .system_anywhere = true,
                                      .opens_thinking = true },
    [WD_CHAT_QWEN3_VL_INSTRUCT] = { .sees = true },
    [WD_CHAT_QWEN3_VL_THINKING] = { .sees = true,
                                    .strips_history = true,
                                    .system_anywhere = true,
                                    .opens_thinking = true },
};

static const char tools_before[] =
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>";
static const char tools_after[] =
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
    "<tool_call></tool_call> XML tags:\n<tool_call>\n"
    "{\"name\": <function-name>, \"arguments\": <args-json-object>}\n</tool_call>";

typedef struct render {
    const wd_chat *chat;
    const format *f;
    wd_chat__build out;
    wd_chat__build content;   /* of the message at hand */
    wd_chat__build reasoning; /* of the message at hand */
    uint32_t picture, video;  /* numbers given by add_vision_id */
    wd_err *err;
} render;

/* A piece of a build. */
typedef struct piece {
    const wd_chat__build *in;
    size_t from, to;
} piece;

static piece whole(const wd_chat__build *b)
{
    return (piece){ b, 0, b->text.n };
}

static wd_span piece_text(piece p)
{
    return wd_span_sub(wd_buf_view(&p.in->text), p.from, p.to - p.from);
}

static piece lstrip(piece p)
{
    while (p.from < p.to && p.in->text.p[p.from] == '\n')
        p.from++;
    return p;
}

static piece rstrip(piece p)
{
    while (p.from < p.to && p.in->text.p[p.to - 1] == '\n')
        p.to--;
    return p;
}

static void emit(render *r, piece p)
{
    wd_chat__copy(&r->out, p.in, p.from, p.to);
}

/* "Picture 2: " before an image, when asked for. A message that does not count shows the number reached so far. */
static void put_vision_id(render *r, wd_chat__build *into, wd_part_kind kind, bool counts)
{
    uint32_t *number = kind == WD_PART_IMAGE ? &r->picture : &r->video;
    char label[40];
    *number += counts;
    if (!r->chat->add_vision_id)
        return;
    snprintf(label, sizeof label, "%s %u: ", kind == WD_PART_IMAGE ? "Picture" : "Video", *number);
    wd_chat__template(into, label);
}

/* r->content becomes what the template makes of the message's content. */
static wd_status render_content(render *r, const wd_message *m, bool counts)
{
    const bool media_shown = r->f->system_anywhere || m->role == WD_ROLE_USER || m->role == WD_ROLE_TOOL;
    wd_chat__clear(&r->content);
    for (size_t i = 0; i < m->n_part; i++) {
        const wd_part *part = &m->part[i];
        if (part->kind == WD_PART_TEXT) {
            wd_chat__given(&r->content, part->text);
            continue;
        }
        if (!r->f->sees)
            return WD_FAIL(r->err, WD_E_INVALID,
                           "message %zu: an image or video, but this model reads text only",
                           (size_t)(m - r->chat->message) + 1);
        if (!media_shown)
            return WD_FAIL(r->err, WD_E_INVALID,
                           "message %zu: this model's chat format has no place for an image or video there",
                           (size_t)(m - r->chat->message) + 1);
        put_vision_id(r, &r->content, part->kind, counts);
        wd_chat__media(&r->content, part->kind);
    }
    return wd_chat__check(&r->content, r->err);
}

/* Index of the last message by which a person asks something: older turns lose their reasoning. */
static wd_status find_last_query(render *r, size_t *index)
{
    const wd_chat *chat = r->chat;
    *index = chat->n_message - 1;
    for (size_t i = chat->n_message; i-- > 0;) {
        if (chat->message[i].role != WD_ROLE_USER)
            continue;
        WD_TRY(render_content(r, &chat->message[i], false));
        const wd_span s = wd_buf_view(&r->content.text);
        if (!(wd_span_starts(s, "<tool_response>") && wd_span_ends(s, "</tool_response>"))) {
            *index = i;
            break;
        }
    }
    return WD_OK;
}

/* Prints the tools into lines; none when there are none. */
static wd_status print_tools(const wd_chat_json *tools, wd_buf *lines, wd_err *err)
{
    size_t n;
    if (!tools->value)
        return tools->text.n ? wd_jsontext_lines(tools->text, "tools", &n, lines, err) : WD_OK;
    if (json_is_null(tools->value))
        return WD_OK;
    if (!json_is_array(tools->value))
        return WD_FAIL(err, WD_E_INVALID, "tools: expected an array");
    for (size_t i = 0; i < json_array_size(tools->value); i++) {
        wd_buf_char(lines, '\n');
        WD_TRY(wd_jsontext_value(json_array_get(tools->value, i), "tools", lines, err));
    }
    return wd_buf_check(lines, "tools", err);
}

/* The first turn: the system message, the tools, or both. */
static wd_status render_head(render *r, wd_span tool_lines)
{
    const wd_message *first = &r->chat->message[0];
    const bool system = first->role == WD_ROLE_SYSTEM;
    if (!tool_lines.n && !system)
        return WD_OK;
    wd_chat__template(&r->out, "<|im_start|>system\n");
    if (system) {
        WD_TRY(render_content(r, first, false));
        emit(r, whole(&r->content));
    }
    if (tool_lines.n) {
        wd_chat__template(&r->out, system ? "\n\n" : "");
        wd_chat__template(&r->out, tools_before);
        wd_chat__given(&r->out, tool_lines);
        wd_chat__template(&r->out, tools_after);
    }
    wd_chat__template(&r->out, "<|im_end|>\n");
    return WD_OK;
}

static wd_status render_arguments(render *r, const wd_message *m, const wd_tool_call *call)
{
    const json_t *v = call->args.value;
    if (call->verbatim) {
        wd_chat__given(&r->out, call->args.text);
        return WD_OK;
    }
    if (json_is_string(v)) {
        wd_chat__given(&r->out, wd_span_of(json_string_value(v), json_string_length(v)));
        return WD_OK;
    }
    wd_buf json = { 0 };
    char kind = v && json_is_object(v) ? '{' : 0;
    wd_status st = v ? wd_jsontext_value(v, "tool call arguments", &json, r->err)
                     : wd_jsontext_text(call->args.text, "tool call arguments", &kind, &json, r->err);
    if (!st && kind == '"') { /* a string that holds the arguments stands for itself */
        wd_buf_clear(&json);
        st = wd_jsontext_unquote(call->args.text, &json, r->err);
    } else if (!st && kind != '{') {
        st = WD_FAIL(r->err, WD_E_INVALID, "message %zu: tool call arguments are no JSON object",
                     (size_t)(m - r->chat->message) + 1);
    }
    if (!st)
        wd_chat__given(&r->out, wd_buf_view(&json));
    wd_buf_wipe(&json);
    return st;
}

static wd_status render_calls(render *r, const wd_message *m, bool has_content)
{
    for (size_t i = 0; i < m->n_call; i++) {
        if (has_content || i)
            wd_chat__template(&r->out, "\n");
        wd_chat__template(&r->out, "<tool_call>\n{\"name\": \"");
        wd_chat__given(&r->out, m->call[i].name);
        wd_chat__template(&r->out, "\", \"arguments\": ");
        WD_TRY(render_arguments(r, m, &m->call[i]));
        wd_chat__template(&r->out, "}\n</tool_call>");
    }
    return WD_OK;
}

/* Takes "<think>...</think>" out of r->content: text before the first closing tag and after the last opening one in
 * it, and text after the last closing tag. */
static void split_reasoning(piece *content, piece *reasoning)
{
    const wd_span close = WD_SPAN_LIT("</think>"), open = WD_SPAN_LIT("<think>");
    const wd_span s = piece_text(*content);
    const size_t first = wd_span_find(s, close, 0);
    if (first == SIZE_MAX)
        return;
    size_t last = first;
    for (size_t at = first; at != SIZE_MAX; at = wd_span_find(s, close, at + close.n))
        last = at;
    *reasoning = rstrip((piece){ content->in, 0, first });
    const wd_span thought = piece_text(*reasoning);
    for (size_t at = wd_span_find(thought, open, 0); at != SIZE_MAX;
         at = wd_span_find(thought, open, at + open.n))
        reasoning->from = at + open.n;
    *reasoning = lstrip(*reasoning);
    content->from = last + close.n;
    *content = lstrip(*content);
}

static wd_status render_assistant(render *r, size_t i, size_t last_query)
{
    const wd_message *m = &r->chat->message[i];
    wd_chat__clear(&r->reasoning);
    piece content = whole(&r->content), reasoning = whole(&r->reasoning);
    bool has_content = content.to > 0;

    wd_chat__template(&r->out, "<|im_start|>assistant\n");
    if (r->f->strips_history) {
        if (m->has_reasoning) {
            wd_chat__given(&r->reasoning, m->reasoning);
            WD_TRY(wd_chat__check(&r->reasoning, r->err));
            reasoning = whole(&r->reasoning);
        } else {
            split_reasoning(&content, &reasoning);
        }
        has_content = content.to > content.from;
        const bool last = i + 1 == r->chat->n_message;
        if (i > last_query && (last || reasoning.to > reasoning.from)) {
            wd_chat__template(&r->out, "<think>\n");
            emit(r, lstrip(rstrip(reasoning)));
            wd_chat__template(&r->out, "\n</think>\n\n");
            content = lstrip(content);
        }
    } else if (m->is_list) {
        has_content = m->n_part > 0; /* the VL-Instruct template asks the list, not its text */
    }
    emit(r, content);
    WD_TRY(render_calls(r, m, has_content));
    wd_chat__template(&r->out, "<|im_end|>\n");
    return WD_OK;
}

static void render_tool(render *r, size_t i)
{
    const wd_message *m = r->chat->message;
    if (i == 0 || m[i - 1].role != WD_ROLE_TOOL)
        wd_chat__template(&r->out, "<|im_start|>user");
    wd_chat__template(&r->out, "\n<tool_response>\n");
    emit(r, whole(&r->content));
    wd_chat__template(&r->out, "\n</tool_response>");
    if (i + 1 == r->chat->n_message || m[i + 1].role != WD_ROLE_TOOL)
        wd_chat__template(&r->out, "<|im_end|>\n");
}

static wd_status render_message(render *r, size_t i, size_t last_query)
{
    const wd_message *m = &r->chat->message[i];
    if (m->role == WD_ROLE_SYSTEM && i && !r->f->system_anywhere) {
        wd_log(WD_LOG_WARN, "chat", "system message dropped by the model's chat format, message=%zu", i + 1);
        return WD_OK;
    }
    WD_TRY(render_content(r, m, true));
    switch (m->role) {
    case WD_ROLE_SYSTEM:
        if (i == 0)
            return WD_OK; /* said in the head; read again only because its pictures count */
        wd_chat__template(&r->out, "<|im_start|>system\n");
        break;
    case WD_ROLE_USER:
        wd_chat__template(&r->out, "<|im_start|>user\n");
        break;
    case WD_ROLE_ASSISTANT:
        return render_assistant(r, i, last_query);
    case WD_ROLE_TOOL:
        render_tool(r, i);
        return WD_OK;
    }
    emit(r, whole(&r->content));
    wd_chat__template(&r->out, "<|im_end|>\n");
    return WD_OK;
}

static wd_status render_all(render *r, wd_span tool_lines)
{
    size_t last_query = 0;
    uint32_t n_given = 0;
    WD_TRY(render_head(r, tool_lines));
    if (r->f->strips_history)
        WD_TRY(find_last_query(r, &last_query));
    for (size_t i = 0; i < r->chat->n_message; i++) {
        WD_TRY(render_message(r, i, last_query));
        for (size_t k = 0; k < r->chat->message[i].n_part; k++)
            n_given += r->chat->message[i].part[k].kind != WD_PART_TEXT;
        if (r->out.n_image + r->out.n_video != n_given)
            return WD_FAIL(r->err, WD_E_INVALID,
                           "message %zu: this model's chat format would leave out an image or video of it",
                           i + 1);
    }
    if (r->chat->no_generation_prompt)
        return WD_OK;
    wd_chat__template(&r->out, "<|im_start|>assistant\n");
    if (r->f->opens_thinking)
        wd_chat__template(&r->out, "<think>\n");
    else if (r->f->switchable && r->chat->enable_thinking == WD_OFF)
        wd_chat__template(&r->out, "<think>\n\n</think>\n\n");
    return WD_OK;
}

wd_status wd_chat_render(wd_arena *a, const wd_chat *chat, wd_chat_text *out, wd_err *err)
{
    if (chat->n_message == 0)
        return WD_FAIL(err, WD_E_INVALID, "chat: no messages");
    render r = { .chat = chat, .f = &formats[chat->kind], .err = err };
    wd_buf tools = { 0 };
    wd_chat_text text = { 0 };
    wd_status st = print_tools(&chat->tools, &tools, err);
    if (!st)
        st = render_all(&r, wd_buf_view(&tools));
    if (!st)
        st = wd_chat__finish(&r.out, a, &text, err);
    if (!st) {
        text.opens_thinking = r.f->opens_thinking && !chat->no_generation_prompt;
        *out = text;
    }
    wd_buf_wipe(&tools);
    wd_chat__free(&r.out);
    wd_chat__free(&r.content);
    wd_chat__free(&r.reasoning);
    return st;
}

wd_message wd_message_text(wd_role role, wd_span text, wd_part *part)
{
    *part = (wd_part){ .kind = WD_PART_TEXT, .text = text };
    return (wd_message){ .role = role, .part = part, .n_part = 1 };
}

bool wd_chat_kind_sees(wd_chat_kind kind)
{
    return formats[kind].sees;
}
