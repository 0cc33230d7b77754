/* A small tokenizer.json. */
#include "mini.h"

#include "base/utf8.h"

static const char * or (const char *text, const char *usual)
{
    return text ? text : usual;
}

static void put_bytes(const mini *m, wd_buf *out)
{
    uint32_t next = 0x100;

    for (uint32_t b = 0; b < 256; b++) {
        const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        uint8_t utf8[4];
        const size_t n = wd_utf8_put(printable ? b : next++, utf8);
        if (m->left_out == (int)b + 1)
            continue;
        if (b > 1 || (b == 1 && m->left_out != 1))
            wd_buf_char(out, ',');
        wd_buf_json(out, wd_span_of(utf8, n));
        wd_buf_printf(out, ":%u", b);
    }
}

static void put_vocab(const mini *m, wd_buf *out)
{
    wd_buf_str(out, "\"vocab\":{");
    put_bytes(m, out);
    wd_buf_printf(out, "%s%s}", m->vocab && *m->vocab ? "," : "", or (m->vocab, ""));
}

void mini_json(const mini *m, wd_buf *out)
{
    wd_buf_printf(out, "{%s\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":[%s],",
                  or (m->more, ""), or (m->added, ""));
    wd_buf_printf(out, "\"normalizer\":%s,", or (m->normalizer, "{\"type\":\"NFC\"}"));
    wd_buf_printf(
        out, "\"pre_tokenizer\":%s,",
        or (m->pre_tokenizer, "{\"type\":\"Sequence\",\"pretokenizers\":[" MINI_SPLIT "," MINI_BYTES "]}"));
    wd_buf_printf(out, "\"post_processor\":%s,\"decoder\":%s,", or (m->post_processor, MINI_BYTES),
                  or (m->decoder, MINI_BYTES));
    wd_buf_printf(out, "\"model\":{%s",
                  or (m->model, "\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"));
    if (m->order) {
        wd_buf_printf(out, "\"merges\":[%s],", or (m->merges, ""));
        put_vocab(m, out);
    } else {
        put_vocab(m, out);
        wd_buf_printf(out, ",\"merges\":[%s]", or (m->merges, ""));
    }
    wd_buf_str(out, "}}");
}
