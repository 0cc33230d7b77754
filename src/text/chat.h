/* Chat: messages, the prompt formats of the Qwen3 and Qwen3-VL checkpoints, and their tokens.
 *
 *   wd_chat ── wd_chat_render ──> wd_chat_text ── wd_prompt_encode (prompt.h) ──> token ids
 *
 * The formats are the published Jinja templates, written out in C; the bytes are the same. Rendering keeps
 * apart what the template says and what people, tools and models say, and only the former can become a
 * special token: an "<|im_end|>" or "<think>" typed by a user stays ordinary text. The parts between special
 * tokens are encoded as one piece each, whoever they come from, so that without such text the ids are those
 * of the whole string.
 *
 * Everything built here lives in the caller's arena. Thread-safe for different arenas. Spans given in must
 * stay valid until the call returns; nothing keeps a pointer to them afterwards.
 */
#ifndef WD_TEXT_CHAT_H
#define WD_TEXT_CHAT_H

#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"

typedef enum wd_chat_kind {
    WD_CHAT_QWEN3,               /* "qwen3": hybrid, enable_thinking decides */
    WD_CHAT_QWEN3_INSTRUCT_2507, /* "qwen3-instruct-2507": no thinking */
    WD_CHAT_QWEN3_THINKING_2507, /* "qwen3-thinking-2507": always thinks; the prompt opens the block */
    WD_CHAT_QWEN3_VL_INSTRUCT,   /* "qwen3-vl-instruct": images and videos; also VL Embedding and Reranker */
    WD_CHAT_QWEN3_VL_THINKING,   /* "qwen3-vl-thinking": images and videos, always thinks */
    WD_CHAT_N_KIND
} wd_chat_kind;

const char *wd_chat_kind_name(wd_chat_kind kind);
bool wd_chat_kind_sees(wd_chat_kind kind); /* takes images and videos */

/* The kind of a checkpoint directory: chat_template.jinja, else chat_template.json, else
 * tokenizer_config.json (its "chat_template"), by the features of the template's text; model_type
 * (config.json, may be NULL) decides the family. want: a name from above overrides, NULL or "auto" detects.
 * Without a template, or with one that is none of ours, *kind is the family's default (qwen3, or
 * qwen3-vl-instruct), *known is false, and a warning is logged. known may be NULL.
 *
 *   WD_E_USAGE             want is no name of a kind
 *   WD_E_CORRUPT, _LIMIT   a template file that cannot be read as what it is
 */
WD_MUST_CHECK wd_status wd_chat_detect(const char *dir, const char *model_type, const char *want,
                                       wd_chat_kind *kind, bool *known, wd_err *err);
/* The same from a template's text alone, as a GGUF file carries it; empty: none. */
WD_MUST_CHECK wd_status wd_chat_detect_template(wd_span jinja, const char *model_type, const char *want,
                                                wd_chat_kind *kind, wd_err *err);
/* The kind that a template's text is; false, with the family's default, when it is none of ours. */
bool wd_chat_kind_of_template(wd_span jinja, const char *model_type, wd_chat_kind *kind);

typedef enum wd_role { WD_ROLE_SYSTEM, WD_ROLE_USER, WD_ROLE_ASSISTANT, WD_ROLE_TOOL } wd_role;

typedef enum wd_part_kind { WD_PART_TEXT, WD_PART_IMAGE, WD_PART_VIDEO } wd_part_kind;

typedef struct wd_part {
    wd_part_kind kind;
    wd_span text; /* of WD_PART_TEXT */
} wd_part;

/* A JSON value, from outside: parsed, or as text when value is NULL. Text keeps what jansson cannot hold
 * (integers beyond 64 bits). Both are written into the prompt as Python's json.dumps(ensure_ascii=False)
 * writes them. */
typedef struct wd_chat_json {
    const json_t *value;
    wd_span text;
} wd_chat_json;

typedef struct wd_tool_call {
    wd_span name;
    bool verbatim;     /* arguments.text goes into the prompt as it stands: what an OpenAI client sends */
    wd_chat_json args; /* an object */
} wd_tool_call;

typedef struct wd_message {
    wd_role role;
    const wd_part *part; /* [n_part] in reading order; one text part for plain string content */
    size_t n_part;
    bool is_list;      /* content came as a list: matters to one newline in the VL formats */
    wd_span reasoning; /* of an assistant; only looked at when has_reasoning */
    bool has_reasoning;
    const wd_tool_call *call; /* [n_call], of an assistant */
    size_t n_call;
} wd_message;

typedef enum wd_tristate { WD_UNSET, WD_OFF, WD_ON } wd_tristate;

typedef struct wd_chat {
    wd_chat_kind kind;
    const wd_message *message; /* [n_message] */
    size_t n_message;
    wd_chat_json tools;          /* an array of tools as given by the client; {0} for none */
    wd_tristate enable_thinking; /* WD_CHAT_QWEN3 only; the others have no such switch and ignore it */
    bool add_vision_id;          /* "Picture 1: " and "Video 1: " before media */
    bool no_generation_prompt;   /* leave out the opened assistant turn at the end */
} wd_chat;

/* One message with plain text content, for callers without lists. The part must outlive the message. */
wd_message wd_message_text(wd_role role, wd_span text, wd_part *part);

typedef enum wd_seg_kind {
    WD_SEG_TEMPLATE, /* the template's own words: special tokens are recognised in it */
    WD_SEG_GIVEN,    /* from people, tools, models, JSON: never a special token */
    WD_SEG_IMAGE,    /* "<|image_pad|>", between the template's vision_start and vision_end */
    WD_SEG_VIDEO     /* "<|vision_start|><|video_pad|><|vision_end|>", replaced as a whole */
} wd_seg_kind;

typedef struct wd_seg {
    wd_seg_kind kind;
    uint32_t index; /* which image or video, from 0, in prompt order */
    size_t at, n;   /* bytes of the text */
} wd_seg;

typedef struct wd_chat_text {
    wd_span text;      /* all segments, byte-equal to the published template's output */
    const wd_seg *seg; /* [n_seg], without gaps, in order; neighbours differ in kind or index */
    size_t n_seg;
    uint32_t n_image, n_video;
    bool opens_thinking; /* the text ends in "<think>\n": what is generated begins as reasoning */
} wd_chat_text;

/* Renders. Texts must be UTF-8: ill-formed parts become U+FFFD.
 *
 *   WD_E_INVALID   no messages; an image or video for a model without eyes; tool arguments or tools that are no JSON
 *                  of the right kind; media in a place where the format would drop them silently
 *   WD_E_LIMIT     JSON nested too deeply
 *   WD_E_NOMEM     the arena is full
 */
WD_MUST_CHECK wd_status wd_chat_render(wd_arena *a, const wd_chat *chat, wd_chat_text *out, wd_err *err);

/* Prompts of the embedding and reranking checkpoints, as their publishers build them. A mix of parts in any
 * order is put into the published one: videos, then images, then texts; nothing at all reads "NULL". Images
 * and videos are counted apart, so the i-th image given is image i of the prompt. */
typedef struct wd_chat_item {
    const wd_part *part;
    size_t n_part;
} wd_chat_item;

/* Qwen3-VL-Embedding. instruction empty: the published default. The tokenizer adds the end anchor (the
 * tokenizer's post-processor), not this text. */
WD_MUST_CHECK wd_status wd_chat_vl_embedding(wd_arena *a, wd_span instruction, wd_chat_item item,
                                             wd_chat_text *out, wd_err *err);
/* Qwen3-Embedding: "Instruct: TASK\nQuery:TEXT" for a query with a task, the bare text otherwise. */
WD_MUST_CHECK wd_status wd_chat_embedding(wd_arena *a, wd_span task, wd_span text, wd_chat_text *out,
                                          wd_err *err);
/* Qwen3-VL-Reranker: one query against one document. Places of media count query first, then document. */
WD_MUST_CHECK wd_status wd_chat_vl_reranker(wd_arena *a, wd_span instruction, wd_chat_item query,
                                            wd_chat_item document, wd_chat_text *out, wd_err *err);
/* Qwen3-Reranker, text only. */
WD_MUST_CHECK wd_status wd_chat_reranker(wd_arena *a, wd_span instruction, wd_span query, wd_span document,
                                         wd_chat_text *out, wd_err *err);

#endif
