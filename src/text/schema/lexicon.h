/* A vocabulary as a trie of its tokens' bytes, and what has been found out about it: how patterns see it, which tokens go
 * on within a string of some kind. Built once per tokenizer (some tens of milliseconds, about 13 MB for the 151,936 tokens of Qwen3) and
 * shared by all matchers; thread-safe.
 *
 * Added tokens, tokens without bytes and those of more than 255 bytes are not in it, and of tokens with the
 * same bytes only the first is: no mask ever holds the others. Every byte
 * must be a token, as wd_tokenizer_open sees to: otherwise a mask may become empty.
 */
#ifndef WD_TEXT_SCHEMA_LEXICON_H
#define WD_TEXT_SCHEMA_LEXICON_H

#include "text/tokenizer.h"

#define WD_LEXICON_CACHE_BYTES ((size_t)64 << 20) /* masks kept at most */

typedef struct wd_lexicon wd_lexicon;

/* n_vocab: bits of a mask, the rows of the model's output; tokens beyond it do not exist. tok must live as long. */
WD_MUST_CHECK wd_status wd_lexicon_create(const wd_tokenizer *tok, uint32_t n_vocab, wd_lexicon **out,
                                          wd_err *err);
/* The same from byte strings by id; empty ones are no tokens. The bytes must live as long. */
WD_MUST_CHECK wd_status wd_lexicon_create_list(const wd_span *token, uint32_t n_vocab, wd_lexicon **out,
                                               wd_err *err);
void wd_lexicon_destroy(wd_lexicon *l); /* accepts NULL; no matcher may be left */

uint32_t wd_lexicon_n_vocab(const wd_lexicon *l);

#endif
