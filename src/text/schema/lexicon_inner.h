/* Shared by lexicon.c and matcher.c. */
#ifndef WD_TEXT_SCHEMA_LEXICON_INNER_H
#define WD_TEXT_SCHEMA_LEXICON_INNER_H

#include <pthread.h>

#include "text/schema/inner.h"
#include "text/schema/lexicon.h"

#define WD_LEX_TOKEN_MAX 255

/* One byte of the trie, in preorder. */
typedef struct wd_lex_node {
    uint32_t skip;  /* the next node that is not below this one */
    uint32_t token; /* that ends here, or WD_TOKEN_NONE */
    uint32_t rank;  /* tokens before this one in the order */
    uint32_t bins;  /* kinds of bytes below, see bin_of() */
    uint8_t byte, depth;
    uint8_t chars; /* most characters begun below */
    bool whole;    /* this and all tokens below end with a character */
} wd_lex_node;

/* A quote within a token, and what comes behind it. Sorted by that. */
typedef struct wd_lex_quote {
    uint32_t token;
    uint8_t at;   /* one past the quote */
    uint8_t same; /* bytes behind it that are those of the one before this */
    bool again;   /* another quote follows */
} wd_lex_quote;

/* What comes of a string's state: tokens that stay within the string, and those that close it. */
typedef struct wd_lex_mask {
    struct wd_lex_mask *next; /* in its bucket */
    uint64_t key[3];
    uint64_t used; /* when last, for eviction */
    size_t bytes;
    uint32_t refs; /* under mu */
    uint32_t n_close;
    uint64_t *bit;     /* [n_word] */
    uint32_t *close;   /* [n_close] quotes, rising */
    uint8_t *n_before; /* [n_close] characters before each */
} wd_lex_mask;

#define WD_LEX_BUCKETS 4096

/* A string of any characters, before its quote or within: what a limit of k characters takes away are the longest tokens. */
typedef struct wd_lex_plain {
    wd_lex_mask *all;     /* without a limit */
    uint32_t *token;      /* [n_upto[255]] those of `all`, fewest characters first */
    uint32_t n_upto[256]; /* of at most so many characters, one that is only begun counted */
} wd_lex_plain;

struct wd_lexicon {
    uint32_t n_vocab, n_word, n_node, n_order, n_quote;
    uint8_t max_chars; /* of any token */
    wd_lex_node *node; /* [n_node] */
    uint32_t *order;   /* [n_order] tokens by bytes */
    wd_span *bytes;    /* [n_vocab] */
    wd_lex_quote *quote;
    wd_lex_plain plain[2]; /* WD_PH_QUOTE, WD_PH_TEXT */
    uint32_t *quote_of;    /* [n_quote] sorted by token, then place */
    pthread_mutex_t mu;
    wd_lex_mask *bucket[WD_LEX_BUCKETS]; /* under mu */
    size_t cache_bytes;                  /* under mu */
    uint64_t clock;                      /* under mu */
};

/* What the string thread t (WD_AT_STRING) can become. Shared: to be given back. NULL without memory. */
const wd_lex_mask *wd_lexicon__string(wd_lexicon *l, const wd_constraint *c, const wd_thread *t);
void wd_lexicon__give_back(wd_lexicon *l, const wd_lex_mask *m);

#endif
