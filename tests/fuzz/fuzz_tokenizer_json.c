/* Any bytes as a tokenizer.json; one that opens must encode and decode. */
#include <stdlib.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wd_tokenizer *tok;
    wd_err err;
    wd_ids ids = { 0 };
    wd_buf text = { 0 };

    if (wd_tokenizer_open_json(wd_span_of(data, size), "fuzz", &tok, &err))
        return 0;
    if (wd_tokenizer_encode(tok, wd_span_of(data, size < 2000 ? size : 2000), WD_TOK_SPECIAL | WD_TOK_POST,
                            &ids, &err) ||
        wd_tokenizer_decode(tok, ids.v, ids.n, false, &text, &err))
        abort();
    wd_buf_free(&text);
    wd_ids_free(&ids);
    wd_tokenizer_close(tok);
    return 0;
}
