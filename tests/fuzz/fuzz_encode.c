/* Any bytes as text for a small tokenizer: plain text comes back as the NFC of its well-formed form, has no added
 * token in it, is the same token by token, and cutting it in parts changes nothing. */
#include <stdlib.h>

#include "base/utf8.h"
#include "text/mini.h"
#include "text/tokenizer.h"
#include "text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static wd_tokenizer *tok;
static wd_unicode *unicode;

#define CHECK(cond)  \
    do {             \
        if (!(cond)) \
            abort(); \
    } while (0)

static void open_once(void)
{
    const mini m = {
        .vocab = "\"ab\":256,\"abc\":257,\"\xC3\xA8\xC4\xA4\":258,\"aa\":259,\"aaaa\":260,"
                 "\"\xC4\xA0\xC4\xA0\":261",
        .merges = "\"a b\",\"ab c\",\"\xC3\xA8 \xC4\xA4\",\"a a\",\"aa aa\",\"\xC4\xA0 \xC4\xA0\"",
        .added = MINI_ADDED(262, "<s>", true) "," MINI_ADDED(263, "<think>", false)
    };
    wd_buf json = { 0 };
    wd_err err;

    if (tok)
        return;
    mini_json(&m, &json);
    CHECK(wd_tokenizer_open_json(wd_buf_view(&json), "mini", &tok, &err) == WD_OK);
    unicode = wd_unicode_create();
    CHECK(unicode);
    wd_buf_free(&json);
}

/* The text of ids, all at once and token by token. */
static wd_buf decode(const wd_ids *ids)
{
    wd_buf text = { 0 }, streamed = { 0 };
    wd_detok d;
    wd_err err;

    CHECK(wd_tokenizer_decode(tok, ids->v, ids->n, false, &text, &err) == WD_OK);
    wd_detok_init(&d, tok, false);
    for (size_t i = 0; i < ids->n; i++) {
        const size_t n = streamed.n;
        CHECK(wd_detok_push(&d, ids->v[i], &streamed, &err) == WD_OK);
        CHECK(wd_utf8_valid(wd_span_sub(wd_buf_view(&streamed), n, streamed.n)));
    }
    CHECK(wd_detok_flush(&d, &streamed, &err) == WD_OK);
    CHECK(wd_span_eq(wd_buf_view(&text), wd_buf_view(&streamed)));
    wd_buf_free(&streamed);
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const wd_span in = wd_span_of(data, size);
    wd_buf clean = { 0 }, nfc = { 0 };
    wd_ids ids = { 0 }, again = { 0 };
    wd_err err;

    open_once();
    wd_utf8_sanitize(in, &clean);
    CHECK(wd_unicode_nfc(unicode, wd_buf_view(&clean), &nfc, &err) == WD_OK);
    CHECK(wd_tokenizer_encode(tok, in, WD_TOK_PLAIN, &ids, &err) == WD_OK);
    for (size_t i = 0; i < ids.n; i++)
        CHECK(!wd_tokenizer_is_added(tok, ids.v[i]));
    wd_buf text = decode(&ids);
    CHECK(wd_span_eq(wd_buf_view(&text), wd_buf_view(&nfc)));

    size_t cut = size ? data[0] % (clean.n + 1) : 0;
    while (cut < clean.n && (clean.p[cut] & 0xC0) == 0x80)
        cut++;
    const wd_tok_part parts[] = { { wd_span_of(clean.p, cut), false },
                                  { wd_span_sub(wd_buf_view(&clean), cut, clean.n), false } };
    CHECK(wd_tokenizer_encode_parts(tok, parts, 2, 0, &again, &err) == WD_OK);
    CHECK(again.n == ids.n && (ids.n == 0 || memcmp(again.v, ids.v, ids.n * sizeof(*ids.v)) == 0));

    wd_ids_clear(&again);
    CHECK(wd_tokenizer_encode(tok, in, WD_TOK_SPECIAL, &again, &err) == WD_OK);
    wd_buf_free(&text);
    text = decode(&again);

    wd_buf_free(&text);
    wd_buf_free(&nfc);
    wd_buf_free(&clean);
    wd_ids_free(&ids);
    wd_ids_free(&again);
    return 0;
}
