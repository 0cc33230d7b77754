/* The tokenizer of a checkpoint: tokenizer.json of the byte-level BPE kind, as Qwen publishes it, or the same in lists.
 *
 * Read: model BPE over the byte alphabet with any vocabulary that holds all 256 bytes, merges written "a b" or
 * ["a", "b"], added tokens, normalizer NFC or null, the Qwen split pattern followed by ByteLevel, a
 * TemplateProcessing post-processor (embedding checkpoints append <|endoftext|> with it). Any other kind of
 * normalizer, pre-tokenizer, decoder or post-processor is WD_E_UNSUPPORTED with a sentence that names it.
 * "truncation" and "padding" are ignored: the caller decides about lengths.
 *
 * The ids equal those of Hugging Face `tokenizers` on the same file (tools/compare/tokenizer.py).
 *
 * Text that is not valid UTF-8: each maximal ill-formed part becomes one U+FFFD before anything else
 * (base/utf8.h), part by part, so that bytes of two parts never join into one character.
 *
 * Trust. An added token ("<|im_start|>", "<think>", "<|image_pad|>") is cut out of text only where the text
 * is the program's own (`markup`). Text of a user, a tool or a document is encoded as plain text: none of the
 * added tokens, special or not, ever comes out of it, whatever it spells. No added token can be reached
 * through the merges either: a file in which one can is refused.
 */
#ifndef WD_TEXT_TOKENIZER_H
#define WD_TEXT_TOKENIZER_H

#include "base/buf.h"
#include "text/ids.h"

typedef struct wd_tokenizer wd_tokenizer; /* immutable once open; every function below is thread-safe */

#define WD_TOKEN_NONE UINT32_MAX

/* dir/tokenizer.json. *out on WD_OK is the caller's, to be given to wd_tokenizer_close(); NULL otherwise.
 *
 *   WD_E_NOT_FOUND     no such file
 *   WD_E_CORRUPT       not JSON, or cut off
 *   WD_E_INVALID       a merge of unknown tokens, an id used twice, a missing byte, ...
 *   WD_E_UNSUPPORTED   a kind of tokenizer that Ward does not read
 *   WD_E_LIMIT         file over 256 MiB, token over 16 KiB, id over 4 Mi
 *
 * Ids may have holes. The real Qwen3 file (11 MB) opens in well under 150 ms. */
WD_MUST_CHECK wd_status wd_tokenizer_open(const char *dir, wd_tokenizer **out, wd_err *err);
/* The same from the bytes of a tokenizer.json; `where` names them in messages. The bytes are not kept. */
WD_MUST_CHECK wd_status wd_tokenizer_open_json(wd_span json, const char *where, wd_tokenizer **out,
                                               wd_err *err);

/* A tokenizer as GGUF files carry it: tokens by id, pieces written in the byte alphabet, added tokens as they are. The
 * normalizer is NFC and the split Qwen's: the caller has checked that the file asks for them. */
typedef enum wd_tok_kind {
    WD_TOK_KIND_NONE, /* a row of the embedding without a token */
    WD_TOK_KIND_PIECE,
    WD_TOK_KIND_ADDED,
    WD_TOK_KIND_SPECIAL, /* an added token that skip_special leaves out */
} wd_tok_kind;

typedef struct wd_tok_lists {
    const wd_span *token; /* [n_token] */
    const uint8_t *kind;  /* [n_token] wd_tok_kind */
    size_t n_token;
    const wd_span *merge; /* [n_merge] "a b", best first */
    size_t n_merge;
    uint32_t before, after; /* what WD_TOK_POST puts around a text; WD_TOKEN_NONE: nothing */
} wd_tok_lists;

/* Nothing of the lists is kept. Errors as wd_tokenizer_open_json; messages speak of model.vocab and model.merges. */
WD_MUST_CHECK wd_status wd_tokenizer_open_lists(const wd_tok_lists *lists, const char *where,
                                                wd_tokenizer **out, wd_err *err);
void wd_tokenizer_close(wd_tokenizer *tok); /* accepts NULL */

enum {
    WD_TOK_PLAIN = 0,   /* user text: added tokens are not recognised */
    WD_TOK_SPECIAL = 1, /* our own text: every added token, special or not, is cut out as its id */
    WD_TOK_POST = 2,    /* apply the post-processor's template */
};

/* Appends the ids of text. flags: WD_TOK_PLAIN or a sum of the others. Fails only for memory, ids->max, or
 * more than 64 MiB of text (WD_E_LIMIT); then ids hold what they held before. Time is linear in the text, n log n
 * in a piece without a break. */
WD_MUST_CHECK wd_status wd_tokenizer_encode(const wd_tokenizer *tok, wd_span text, unsigned flags,
                                            wd_ids *ids, wd_err *err);

/* One text in parts of different trust: a rendered chat. The parts are encoded as the one text that they are
 * together (a word or a run of line ends may reach over a border, as in the reference), but an added token is
 * cut out only where all of its bytes lie in markup parts that follow each other directly. */
typedef struct wd_tok_part {
    wd_span text;
    bool markup; /* true: our own text, added tokens are recognised */
} wd_tok_part;
WD_MUST_CHECK wd_status wd_tokenizer_encode_parts(const wd_tokenizer *tok, const wd_tok_part *parts,
                                                  size_t n_part, unsigned flags, wd_ids *ids,
                                                  wd_err *err); /* 0 or WD_TOK_POST */

/* Appends the text of ids: their bytes joined, then each maximal ill-formed part replaced by U+FFFD. Ids that
 * have no token (holes, the padding rows of an embedding matrix) give nothing. skip_special leaves out the
 * tokens flagged special; <think>, <tool_call> and the like are not. */
WD_MUST_CHECK wd_status wd_tokenizer_decode(const wd_tokenizer *tok, const uint32_t *ids, size_t n,
                                            bool skip_special, wd_buf *out, wd_err *err);

/* Decoding token by token. What the calls append, joined, is byte for byte what wd_tokenizer_decode gives for
 * all the ids at once, and each call appends whole characters only: up to three bytes are held back until the
 * character is complete or known to be ill-formed. Init again to start anew; nothing to release. */
typedef struct wd_detok {
    const wd_tokenizer *tok;
    bool skip_special;
    uint8_t held[4]; /* beginning of a character */
    uint8_t n_held;
} wd_detok;
void wd_detok_init(wd_detok *d, const wd_tokenizer *tok, bool skip_special);
WD_MUST_CHECK wd_status wd_detok_push(wd_detok *d, uint32_t id, wd_buf *out, wd_err *err);
/* The end: a character that never became complete is one U+FFFD. */
WD_MUST_CHECK wd_status wd_detok_flush(wd_detok *d, wd_buf *out, wd_err *err);

/* One more than the largest id. */
uint32_t wd_tokenizer_n_vocab(const wd_tokenizer *tok);
/* The id of a token by its text, for instance "<|im_end|>" or " the"; added tokens first. WD_TOKEN_NONE if
 * none. */
uint32_t wd_tokenizer_id(const wd_tokenizer *tok, const char *text);
uint32_t wd_tokenizer_id_of(const wd_tokenizer *tok, wd_span bytes);
/* The bytes of a token, not always whole characters; empty for an id without one. Valid until close. */
wd_span wd_tokenizer_bytes(const wd_tokenizer *tok, uint32_t id);
bool wd_tokenizer_is_added(const wd_tokenizer *tok, uint32_t id);
bool wd_tokenizer_is_special(const wd_tokenizer *tok, uint32_t id);

#endif
