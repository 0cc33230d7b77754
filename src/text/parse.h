/* Takes a model's output apart while it is generated: reasoning, content, tool calls.
 *
 * The result does not depend on where the stream is cut. Pieces are handed on as soon as they cannot belong
 * to a tag any more; at most a tag's length and one tool call's body are held back, and a body is bounded.
 *
 * Rules. Reasoning is what stands before the first "</think>", if the prompt opened the block or the output begins
 * (after at most 256 bytes of white space) with "<think>"; without a "</think>" it is everything. Newlines around it
 * are markup. A "</think>" in an output that began as content, before any tool call, shows that the opening tag was
 * forgotten: what was reported as content is then declared reasoning (WD_PARSE_WAS_REASONING), once.
 *
 * After the reasoning, every "<tool_call>" up to its "</tool_call>", or to the end of the output, is a call if its body
 * is a JSON object with a string "name" and "arguments" that are an object or a string holding one; otherwise it stays
 * content, tags included. Newlines just outside a call's tags are markup; content on both sides of a call is joined
 * with one newline. Further tags are ordinary text.
 *
 * Where bodies are sure to be calls before they are complete (sure_calls), one is told of while it grows: WD_PARSE_CALL
 * with its name when its arguments begin, WD_PARSE_ARGS for more of them, and WD_PARSE_TOOL_CALL at its end with all of it,
 * as otherwise. A "</tool_call>" within a string of the arguments does not end it then. When the output ends within
 * a call, that is content all the same: content that comes between a call's beginning and its end is what was told of it.
 */
#ifndef WD_TEXT_PARSE_H
#define WD_TEXT_PARSE_H

#include "base/buf.h"
#include "base/err.h"

typedef enum wd_parse_kind {
    WD_PARSE_REASONING,     /* text: more of it */
    WD_PARSE_CONTENT,       /* text: more of it */
    WD_PARSE_WAS_REASONING, /* all content so far is reasoning */
    WD_PARSE_TOOL_CALL,     /* text: arguments as the model wrote them, a JSON object; name */
    WD_PARSE_CALL,          /* one begins: name */
    WD_PARSE_ARGS           /* text: more of its arguments: whole escapes, pairs of them, characters */
} wd_parse_kind;

typedef struct wd_parse_event {
    wd_parse_kind kind;
    wd_span text;   /* valid during the call */
    wd_span name;   /* of a tool call; valid during the call */
    uint32_t index; /* of a tool call, from 0; of what is told of it, too */
} wd_parse_event;

/* A status other than WD_OK stops the parser; feed or end returns it. */
typedef wd_status (*wd_parse_fn)(void *arg, const wd_parse_event *ev, wd_err *err);

typedef struct wd_parse_opts {
    bool opens_thinking; /* of the rendered prompt (wd_chat_text) */
    bool plain;          /* all is content, tags included: the output continues a text, not a chat */
    bool no_tools;       /* leave "<tool_call>" blocks in the content: the request had no tools */
    /* Bodies are {"name": ..., "arguments": {...}} as far as they go: something else sees to that. */
    bool sure_calls;
    /* Of one body, default 1 MiB; a longer one is content, or WD_E_LIMIT when it has been told of. */
    size_t max_call_bytes;
} wd_parse_opts;

typedef struct wd_parse wd_parse;

WD_MUST_CHECK wd_status wd_parse_create(const wd_parse_opts *opts, wd_parse_fn fn, void *arg, wd_parse **out,
                                        wd_err *err);
void wd_parse_destroy(wd_parse *p); /* accepts NULL; wipes what was held back */

/* The next bytes of the output, cut anywhere. */
WD_MUST_CHECK wd_status wd_parse_feed(wd_parse *p, wd_span bytes, wd_err *err);
/* The output is complete: what was held back is handed out. Nothing may be fed afterwards. */
WD_MUST_CHECK wd_status wd_parse_end(wd_parse *p, wd_err *err);

/* The whole result, for callers that do not stream: a wd_parse_fn with this struct as arg collects it. */
typedef struct wd_parsed_call {
    char *name;
    char *args; /* JSON object */
} wd_parsed_call;

typedef struct wd_parsed {
    wd_buf reasoning, content;
    wd_parsed_call *call; /* [n_call] */
    size_t n_call;
} wd_parsed;

WD_MUST_CHECK wd_status wd_parsed_collect(void *parsed, const wd_parse_event *ev, wd_err *err);
void wd_parsed_free(wd_parsed *r); /* wipes; becomes {0} */

/* A complete output at once into *out, which must be {0}. On failure it is {0} again. */
WD_MUST_CHECK wd_status wd_parse_text(wd_span output, const wd_parse_opts *opts, wd_parsed *out, wd_err *err);

#endif
