/* The added tokens of a tokenizer, found in text: leftmost first, the longest at a place. */
#ifndef WD_TEXT_ADDED_H
#define WD_TEXT_ADDED_H

#include "base/buf.h"

typedef struct wd_added_node { /* of a byte trie; 0 = none, as the root is nobody's child */
    uint32_t child, sibling;
    uint32_t id; /* of the token that ends here, UINT32_MAX if none does */
    uint8_t byte;
} wd_added_node;

typedef struct wd_added {
    wd_added_node *node; /* [n]; node[0] is the root */
    uint32_t n, cap;
    uint32_t first[256]; /* the root's children by byte */
} wd_added;

/* text must not be empty and not be there yet. Accepts {0}. */
WD_MUST_CHECK wd_status wd_added_put(wd_added *a, wd_span text, uint32_t id, wd_err *err);
void wd_added_free(wd_added *a); /* accepts {0} */

/* The token that text is, UINT32_MAX if none. */
uint32_t wd_added_id(const wd_added *a, wd_span text);

/* The first token in text at or after *at: its place, length and id. False if there is none. */
bool wd_added_find(const wd_added *a, wd_span text, size_t *at, size_t *n, uint32_t *id);

#endif
