/* Shared by lexicon.c, lexicon_mask.c, lexicon_view.c and matcher.c. */
#ifndef WD_TEXT_SCHEMA_LEXICON_INNER_H
#define WD_TEXT_SCHEMA_LEXICON_INNER_H

#include <pthread.h>

#include "text/schema/inner.h"
#include "text/schema/lexicon.h"

#define WD_LEX_TOKEN_MAX 255

#define WD_LEX_BAD UINT32_MAX           /* not UTF-8 */
#define WD_LEX_PART ((uint32_t)1 << 31) /* of a character: this, missing bytes << 24, bits so far */

/* One byte of the trie. Children stand together, and blocks of children in the order of their parents: whoever tries all
 * children of a node, or goes through the whole trie, reads memory in order. [0] is the root, before the first byte. */
typedef struct wd_lex_node {
    uint32_t kid;  /* the first child */
    uint32_t rank; /* tokens before this one in the order */
    uint32_t cp;   /* the character that ends here, the part of one, or WD_LEX_BAD */
    uint16_t n_kid : 9;
    uint16_t ends : 1; /* order[rank] ends here */
    uint8_t byte;
    uint8_t chars; /* most characters begun below */
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

/* One character of the trie of those that are UTF-8 from the first byte on, in the same order: children together, blocks in
 * the order of their parents. [0] is the root. */
typedef struct wd_lex_char {
    uint32_t node; /* of the bytes, where it ends */
    uint32_t kid, n_kid;
    uint32_t point : 24; /* which of the lexicon's code points */
    uint32_t depth : 8;  /* in bytes */
    uint32_t tail;       /* its first one */
} wd_lex_char;

/* What a string's automaton does not see as a further character of its own. */
typedef struct wd_lex_tail {
    enum { WD_TAIL_PART, WD_TAIL_QUOTE, WD_TAIL_ESCAPE } kind;
    uint32_t at;  /* the character before it */
    uint32_t of;  /* the token that ends in a part of a character; the quote; the backslash's node */
    uint32_t x;   /* the part, as in wd_lex_node; depth of the backslash */
    uint32_t end; /* one past the last token behind the backslash */
} wd_lex_tail;

/* Tokens whose characters are of the same classes, up to one of them. Each is before those that go on from it. */
typedef struct wd_lex_path {
    uint32_t next;        /* the first that does not go on from it */
    uint32_t token, tail; /* its first ones; the path after it has the end of them */
    uint16_t cls;         /* of its last character */
    uint16_t depth;       /* in characters */
} wd_lex_path;

/* The vocabulary as automata see it that tell the same characters apart. */
typedef struct wd_lex_view {
    struct wd_lex_view *next; /* under mu, as are: */
    uint32_t uses;            /* by wd_lex_views */
    bool raw;                 /* set before it is shared: */
    uint32_t n_range, n_path, n_token, n_tail;
    uint32_t *lo;      /* [n_range] as in wd_dfa */
    uint16_t *cls;     /* [n_range] */
    wd_lex_path *path; /* [n_path + 1] */
    uint32_t *token, *tail;
    size_t bytes;
} wd_lex_view;

/* Those of a constraint. */
typedef struct wd_lex_views {
    struct wd_lex_views *next; /* under mu, as is: */
    uint32_t refs;
    uint64_t serial;
    uint32_t n;
    wd_lex_view
        *of[]; /* [n] by wd_str_shape.id; NULL: few tokens begin as the automaton asks, a walk finds them */
} wd_lex_views;

#define WD_LEX_BUCKETS 4096

/* A string of any characters, before its quote or within: what a limit of k characters takes away are the longest tokens. */
typedef struct wd_lex_plain {
    wd_lex_mask *all;     /* without a limit */
    uint32_t *token;      /* [n_upto[255]] those of `all`, fewest characters first */
    uint32_t n_upto[256]; /* of at most so many characters, one that is only begun counted */
} wd_lex_plain;

struct wd_lexicon {
    uint32_t n_vocab, n_word, n_node, n_order, n_quote;
    uint32_t n_char, n_point, n_tail;
    uint8_t max_chars; /* of any token */
    wd_lex_node *node; /* [n_node] */
    uint32_t *end;     /* [n_node] one past the last token below each; while it is made */
    wd_lex_char *chr;  /* [n_char + 1] */
    uint32_t *point;   /* [n_point] code points, rising */
    uint32_t *begin;   /* [n_point] tokens that begin with it */
    wd_lex_tail *tail; /* [n_tail] */
    uint32_t *order;   /* [n_order] tokens by bytes */
    wd_span *bytes;    /* [n_vocab] */
    wd_lex_quote *quote;
    wd_lex_plain plain[2]; /* WD_PH_QUOTE, WD_PH_TEXT */
    uint32_t *quote_of;    /* [n_quote] sorted by token, then place */
    pthread_mutex_t mu;
    wd_lex_mask *bucket[WD_LEX_BUCKETS]; /* under mu */
    size_t cache_bytes;                  /* under mu */
    uint64_t clock;                      /* under mu */
    wd_lex_views *views;                 /* under mu, the one used last first */
    wd_lex_view *view;                   /* under mu */
    size_t view_bytes, n_views;          /* under mu */
};

/* Through the trie in the order of tokens. */
typedef struct wd_lex_walk {
    const wd_lexicon *l;
    const wd_lex_node *node; /* where it is */
    uint32_t depth;          /* of it */
    uint32_t rank_end;       /* one past the last token below it */
    struct {
        uint32_t next, end, rank_end; /* brothers that are left, and their last token */
    } level[WD_LEX_TOKEN_MAX + 2];
} wd_lex_walk;

static inline void wd_lex_walk_start(wd_lex_walk *w, const wd_lexicon *l)
{
    w->l = l;
    w->node = l->node;
    w->depth = 0;
    w->rank_end = l->n_order;
}

/* To the node's first child (into), or past it and all below. False at the end. */
static inline bool wd_lex_walk_next(wd_lex_walk *w, bool into)
{
    const wd_lex_node *v = w->node;
    if (into && v->n_kid) {
        w->depth++;
        w->level[w->depth].next = v->kid;
        w->level[w->depth].end = v->kid + v->n_kid;
        w->level[w->depth].rank_end = w->rank_end;
    }
    while (w->depth && w->level[w->depth].next == w->level[w->depth].end)
        w->depth--;
    if (!w->depth)
        return false;
    const uint32_t i = w->level[w->depth].next++;
    w->node = &w->l->node[i];
    w->rank_end = i + 1 < w->level[w->depth].end ? w->l->node[i + 1].rank : w->level[w->depth].rank_end;
    return true;
}

/* The characters that begin so. */
void wd_lexicon__range(uint32_t part, uint32_t *lo, uint32_t *hi);

/* The quote of the token that ends before byte `at`. */
uint32_t wd_lexicon__quote(const wd_lexicon *l, uint32_t token, uint32_t at);

/* lexicon_view.c. What views are made from. False without memory. */
bool wd_lexicon__make_chars(wd_lexicon *l);
/* Those of the constraint, made or found: to be given back. NULL without memory. */
const wd_lex_views *wd_lexicon__views(wd_lexicon *l, const wd_constraint *c);
void wd_lexicon__give_back_views(wd_lexicon *l, const wd_lex_views *v); /* accepts NULL */
void wd_lexicon__free_views(wd_lexicon *l);                             /* at the end */

/* lexicon_mask.c. What the string thread t can become within `left` characters; NULL without memory. view: of t's shape,
 * or NULL. length [n_vocab]: gets the characters of each token that stays, NULL: not asked for. */
wd_lex_mask *wd_lexicon__find(const wd_lexicon *l, const wd_lex_view *view, const wd_thread *t, uint32_t left,
                              uint8_t *length);
/* What is left of plain strings' tokens when at most `left` characters may come. */
wd_lex_mask *wd_lexicon__limit_plain(const wd_lexicon *l, const wd_lex_plain *p, uint32_t left);
/* For both places of a plain string: its tokens, sorted by their characters. False without memory. */
bool wd_lexicon__make_plain(wd_lexicon *l);
void wd_lexicon__free_mask(wd_lex_mask *m); /* accepts NULL */

/* What the string thread t (WD_AT_STRING) can become. Shared: to be given back. NULL without memory. */
const wd_lex_mask *wd_lexicon__string(wd_lexicon *l, const wd_constraint *c, const wd_lex_views *v,
                                      const wd_thread *t);
void wd_lexicon__give_back(wd_lexicon *l, const wd_lex_mask *m);
/* Drops the masks that are not in use: measurements begin there. */
void wd_lexicon__forget(wd_lexicon *l);

#endif
