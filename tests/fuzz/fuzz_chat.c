/* Chat rendering on arbitrary conversations, and detection of the format. The input is a row of pieces
 * [what][length][bytes]: it must render to segments without gaps, in which the template's words are always the same
 * number of turns, or be refused. */
#include <stdlib.h>

#include "base/log.h"
#include "base/utf8.h"
#include "text/chat.h"

#define MESSAGES 16
#define PARTS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

typedef struct talk {
    wd_message message[MESSAGES];
    wd_part part[PARTS];
    wd_tool_call call[MESSAGES];
    size_t n_message, n_part;
    wd_chat_json tools;
} talk;

static void add_piece(talk *t, uint8_t what, wd_span bytes)
{
    wd_message *last = t->n_message ? &t->message[t->n_message - 1] : NULL;
    switch (what % 8) {
    case 0: /* a new message */
    case 1:
        if (t->n_message == MESSAGES || t->n_part == PARTS)
            return;
        t->part[t->n_part] = (wd_part){ .text = bytes };
        t->message[t->n_message++] = (wd_message){
            .role = (wd_role)(what >> 3 & 3),
            .part = &t->part[t->n_part++],
            .n_part = 1,
            .is_list = what & 1,
        };
        return;
    case 2: /* another part of the message at hand: it is the last one, so its parts lie at the end */
    case 3:
        if (!last || t->n_part == PARTS)
            return;
        t->part[t->n_part++] = (wd_part){ .kind = (wd_part_kind)((what >> 3) % 3), .text = bytes };
        last->n_part++;
        last->is_list = true;
        return;
    case 4:
        if (last) {
            last->has_reasoning = true;
            last->reasoning = bytes;
        }
        return;
    case 5:
    case 6:
        if (!last)
            return;
        t->call[t->n_message - 1] = (wd_tool_call){ .name = WD_SPAN_LIT("f"),
                                                    .verbatim = what & 8,
                                                    .args.text = bytes };
        last->call = &t->call[t->n_message - 1];
        last->n_call = 1;
        return;
    default:
        t->tools.text = bytes;
    }
}

static void check(const wd_chat_text *x)
{
    size_t at = 0;
    for (size_t i = 0; i < x->n_seg; i++) {
        must(x->seg[i].at == at && x->seg[i].n > 0);
        at += x->seg[i].n;
    }
    must(at == x->text.n && wd_utf8_valid(x->text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static talk t;
    wd_log_set_level(WD_LOG_ERROR); /* dropped system messages are worth a warning each */
    wd_chat_kind kind;
    t = (talk){ 0 };
    wd_chat_kind_of_template(wd_span_of(data, size), "qwen3_vl", &kind);
    for (size_t at = 0; at + 2 <= size;) {
        const wd_span bytes = wd_span_sub(wd_span_of(data, size), at + 2, data[at + 1]);
        add_piece(&t, data[at], bytes);
        at += 2 + bytes.n;
    }
    for (int k = 0; k < WD_CHAT_N_KIND; k++) {
        wd_arena *a = wd_arena_create((size_t)4 << 20, false);
        const wd_chat chat = { .kind = (wd_chat_kind)k,
                               .message = t.message,
                               .n_message = t.n_message,
                               .tools = t.tools,
                               .enable_thinking = WD_OFF,
                               .add_vision_id = size & 1 };
        wd_chat_text x;
        wd_err err;
        if (!wd_chat_render(a, &chat, &x, &err))
            check(&x);
        if (!wd_chat_vl_embedding(a, t.tools.text, (wd_chat_item){ t.part, t.n_part }, &x, &err))
            check(&x);
        wd_arena_destroy(a);
    }
    return 0;
}
