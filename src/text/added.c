/* The added tokens as a byte trie. Their texts are short and few begin alike: text that begins none of them costs
 * one look per byte. */
#include "text/added.h"

static uint32_t child_of(const wd_added *a, uint32_t node, uint8_t byte)
{
    if (node == 0)
        return a->first[byte];
    uint32_t c = a->node[node].child;
    while (c && a->node[c].byte != byte)
        c = a->node[c].sibling;
    return c;
}

static uint32_t add_child(wd_added *a, uint32_t parent, uint8_t byte)
{
    if (a->n + 1 >= a->cap) { /* room for this one, and for the root before the first */
        const uint32_t cap = a->cap ? 2 * a->cap : 256;
        wd_added_node *grown = wd_realloc(a->node, cap, sizeof(*grown));
        if (!grown)
            return 0;
        a->node = grown;
        a->cap = cap;
    }
    if (a->n == 0)
        a->node[a->n++] = (wd_added_node){ .id = UINT32_MAX };
    const uint32_t c = a->n++;
    a->node[c] = (wd_added_node){ .id = UINT32_MAX, .byte = byte };
    if (parent == 0) {
        a->first[byte] = c;
    } else {
        a->node[c].sibling = a->node[parent].child;
        a->node[parent].child = c;
    }
    return c;
}

wd_status wd_added_put(wd_added *a, wd_span text, uint32_t id, wd_err *err)
{
    uint32_t at = 0;

    for (size_t i = 0; i < text.n; i++) {
        uint32_t next = child_of(a, at, text.p[i]);
        if (!next)
            next = add_child(a, at, text.p[i]);
        if (!next)
            return WD_FAIL(err, WD_E_NOMEM, "added tokens: no memory for %zu bytes", text.n);
        at = next;
    }
    a->node[at].id = id;
    return WD_OK;
}

void wd_added_free(wd_added *a)
{
    wd_free(a->node);
    *a = (wd_added){ 0 };
}

uint32_t wd_added_id(const wd_added *a, wd_span text)
{
    uint32_t at = 0;

    for (size_t i = 0; i < text.n; i++) {
        at = child_of(a, at, text.p[i]);
        if (!at)
            return UINT32_MAX;
    }
    return at ? a->node[at].id : UINT32_MAX;
}

bool wd_added_find(const wd_added *a, wd_span text, size_t *at, size_t *n, uint32_t *id)
{
    for (size_t i = *at; i < text.n; i++) {
        uint32_t node = a->first[text.p[i]];
        *n = 0;
        for (size_t k = i + 1; node; k++) {
            if (a->node[node].id != UINT32_MAX) {
                *n = k - i;
                *id = a->node[node].id;
            }
            node = k < text.n ? child_of(a, node, text.p[k]) : 0;
        }
        if (*n) {
            *at = i;
            return true;
        }
    }
    return false;
}
