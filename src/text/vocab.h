/* The tokens of a tokenizer: bytes by id, id by bytes. */
#ifndef WD_TEXT_VOCAB_H
#define WD_TEXT_VOCAB_H

#include "base/buf.h"

#define WD_VOCAB_ID_END (4u << 20)     /* ids lie below */
#define WD_VOCAB_TOKEN_MAX (16u << 10) /* bytes of one token */

enum {
    WD_VOCAB_USED = 1,  /* the id has a token */
    WD_VOCAB_PIECE = 2, /* it is written in the byte alphabet: found by wd_vocab_find */
    WD_VOCAB_ADDED = 4,
    WD_VOCAB_SPECIAL = 8,
};

typedef struct wd_vocab_token {
    uint32_t at; /* in bytes */
    uint16_t n;
    uint8_t flags;
} wd_vocab_token;

typedef struct
    wd_vocab_slot { /* a piece, found by its bytes; all but the bytes is here to touch little memory */
    uint32_t id1;   /* 1 + id, 0 = empty */
    uint32_t at;
    uint16_t n, tag; /* tag: part of the hash */
} wd_vocab_slot;

typedef struct wd_vocab {
    wd_vocab_token *token; /* [n_id] */
    uint32_t n_id, id_cap;
    wd_buf bytes;
    wd_vocab_slot *slot; /* [n_slot] a power of two, at most three quarters full */
    size_t n_slot, n_piece;
    uint64_t seed;
} wd_vocab;

/* Empty; free also after a failure. */
void wd_vocab_init(wd_vocab *v);
void wd_vocab_free(wd_vocab *v);

/* Gives a free id (below WD_VOCAB_ID_END) its bytes (at most WD_VOCAB_TOKEN_MAX). With WD_VOCAB_PIECE, *twice tells
 * that the bytes are a piece's already: then nothing was added. WD_E_NOMEM with a sentence. */
WD_MUST_CHECK wd_status wd_vocab_add(wd_vocab *v, uint32_t id, wd_span bytes, uint8_t flags, bool *twice,
                                     wd_err *err);

/* The id of the piece, UINT32_MAX if there is none. */
uint32_t wd_vocab_find(const wd_vocab *v, const uint8_t *p, size_t n);

/* 0 for an id without a token. */
static inline uint8_t wd_vocab_flags(const wd_vocab *v, uint32_t id)
{
    return id < v->n_id ? v->token[id].flags : 0;
}

static inline wd_span wd_vocab_bytes(const wd_vocab *v, uint32_t id)
{
    if (!wd_vocab_flags(v, id))
        return (wd_span){ NULL, 0 };
    return wd_span_sub(wd_buf_view(&v->bytes), v->token[id].at, v->token[id].n);
}

#endif
