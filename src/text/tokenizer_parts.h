/* What an open tokenizer is made of: for tokenizer.c, which uses it, and tokenizer_read.c, which makes it. */
#ifndef WD_TEXT_TOKENIZER_PARTS_H
#define WD_TEXT_TOKENIZER_PARTS_H

#include "text/added.h"
#include "text/bpe.h"
#include "text/tokenizer.h"
#include "text/unicode.h"
#include "text/vocab.h"

typedef struct wd_tokenizer_pool wd_tokenizer_pool;

struct wd_tokenizer {
    wd_unicode *unicode;
    wd_vocab vocab;
    wd_bpe bpe;
    wd_added added;
    bool nfc;
    wd_ids before, after;    /* what WD_TOK_POST puts around the text */
    wd_tokenizer_pool *pool; /* encoders' memory; the only part that changes, behind its own lock */
};

/* Fills an empty tokenizer (all but unicode and pool) from a tokenizer.json. What it holds after a failure is for
 * wd_tokenizer_close to release. */
WD_MUST_CHECK wd_status wd_tokenizer__read(wd_tokenizer *tok, wd_span json, const char *where, wd_err *err);
/* The same from lists. */
WD_MUST_CHECK wd_status wd_tokenizer__read_lists(wd_tokenizer *tok, const wd_tok_lists *lists,
                                                 const char *where, wd_err *err);

#endif
