/* Prompts of the embedding and reranking checkpoints: fixed conversations around one or two items. */
#include "text/chat.h"

#include <utf8proc.h>

#include "base/utf8.h"
#include "text/chat_build.h"

static const char judge[] =
    "Judge whether the Document meets the requirements based on the Query and the Instruct "
    "provided. Note that the answer can only be \"yes\" or \"no\".";

/* The characters that Python's str.strip() takes away. */
static bool is_space(uint32_t cp)
{
    return (cp >= 0x09 && cp <= 0x0D) || (cp >= 0x1C && cp <= 0x20) || cp == 0x85 || cp == 0xA0 ||
           cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200A) || cp == 0x2028 || cp == 0x2029 || cp == 0x202F ||
           cp == 0x205F || cp == 0x3000;
}

static bool is_punctuation(uint32_t cp)
{
    const utf8proc_category_t c = utf8proc_category((utf8proc_int32_t)cp);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

/* s without white space at its ends; *last is its last character. */
static wd_span strip(wd_span s, uint32_t *last)
{
    size_t from = SIZE_MAX, to = 0;
    *last = 0;
    for (size_t i = 0, n; i < s.n; i += n) {
        const uint32_t cp = wd_utf8_next(s, i, &n);
        if (is_space(cp))
            continue;
        if (from == SIZE_MAX)
            from = i;
        to = i + n;
        *last = cp;
    }
    return from == SIZE_MAX ? (wd_span){ 0 } : wd_span_sub(s, from, to - from);
}

static void put_instruction(wd_chat__build *b, wd_span instruction, const char *otherwise)
{
    uint32_t last;
    const wd_span s = strip(instruction, &last);
    if (!s.n) {
        wd_chat__given(b, wd_span_str(otherwise));
        return;
    }
    wd_chat__given(b, s);
    if (!is_punctuation(last))
        wd_chat__given(b, WD_SPAN_LIT("."));
}

/* Videos, images, texts, each in the order given. */
static void put_item(wd_chat__build *b, wd_chat_item item)
{
    static const wd_part_kind order[] = { WD_PART_VIDEO, WD_PART_IMAGE, WD_PART_TEXT };
    const size_t before = b->text.n;
    for (size_t k = 0; k < WD_COUNT(order); k++)
        for (size_t i = 0; i < item.n_part; i++)
            if (item.part[i].kind == order[k]) {
                if (order[k] == WD_PART_TEXT)
                    wd_chat__given(b, item.part[i].text);
                else
                    wd_chat__media(b, order[k]);
            }
    if (b->text.n == before)
        wd_chat__given(b, WD_SPAN_LIT("NULL"));
}

static wd_status finish(wd_chat__build *b, wd_arena *a, wd_chat_text *out, wd_err *err)
{
    wd_status st = wd_chat__finish(b, a, out, err);
    wd_chat__free(b);
    return st;
}

wd_status wd_chat_vl_embedding(wd_arena *a, wd_span instruction, wd_chat_item item, wd_chat_text *out,
                               wd_err *err)
{
    wd_chat__build b = { 0 };
    wd_chat__template(&b, "<|im_start|>system\n");
    put_instruction(&b, instruction, "Represent the user's input.");
    wd_chat__template(&b, "<|im_end|>\n<|im_start|>user\n");
    put_item(&b, item);
    wd_chat__template(&b, "<|im_end|>\n<|im_start|>assistant\n");
    return finish(&b, a, out, err);
}

wd_status wd_chat_embedding(wd_arena *a, wd_span task, wd_span text, wd_chat_text *out, wd_err *err)
{
    wd_chat__build b = { 0 };
    if (task.n) {
        wd_chat__template(&b, "Instruct: ");
        wd_chat__given(&b, task);
        wd_chat__template(&b, "\nQuery:");
    }
    wd_chat__given(&b, text);
    return finish(&b, a, out, err);
}

wd_status wd_chat_vl_reranker(wd_arena *a, wd_span instruction, wd_chat_item query, wd_chat_item document,
                              wd_chat_text *out, wd_err *err)
{
    wd_chat__build b = { 0 };
    wd_chat__template(&b, "<|im_start|>system\n");
    wd_chat__template(&b, judge);
    wd_chat__template(&b, "<|im_end|>\n<|im_start|>user\n<Instruct>: ");
    wd_chat__given(&b, instruction.n
                           ? instruction
                           : WD_SPAN_LIT("Given a search query, retrieve relevant candidates that answer "
                                         "the query."));
    wd_chat__template(&b, "<Query>:");
    put_item(&b, query);
    wd_chat__template(&b, "\n<Document>:");
    put_item(&b, document);
    wd_chat__template(&b, "<|im_end|>\n<|im_start|>assistant\n");
    return finish(&b, a, out, err);
}

wd_status wd_chat_reranker(wd_arena *a, wd_span instruction, wd_span query, wd_span document,
                           wd_chat_text *out, wd_err *err)
{
    wd_chat__build b = { 0 };
    wd_chat__template(&b, "<|im_start|>system\n");
    wd_chat__template(&b, judge);
    wd_chat__template(&b, "<|im_end|>\n<|im_start|>user\n<Instruct>: ");
    wd_chat__given(&b, instruction.n
                           ? instruction
                           : WD_SPAN_LIT("Given a web search query, retrieve relevant passages that answer "
                                         "the query"));
    wd_chat__template(&b, "\n<Query>: ");
    wd_chat__given(&b, query);
    wd_chat__template(&b, "\n<Document>: ");
    wd_chat__given(&b, document);
    wd_chat__template(&b, "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n");
    return finish(&b, a, out, err);
}
