/* Byte-pair merging.
 *
 * Three ways to the same ids. A piece met lately comes from the cache: text repeats its words. A short one is kept
 * in arrays and scanned for the best pair after each merge: quadratic, but over a few dozen numbers in registers
 * and the first cache level. A long one (a paragraph without spaces, or somebody's megabyte of one letter) is a
 * linked list with a heap of candidate pairs: n log n.
 */
#include "text/bpe.h"

#include <string.h>

#include "base/rand.h"
#include "text/hash.h"

#define NO_RANK UINT32_MAX
#define SHORT_PIECE 80        /* bytes; measured: beyond it the heap wins */
#define CACHE_KEY 38          /* bytes of a piece that the cache keeps */
#define CACHE_IDS 6           /* and ids */
#define CACHE_ENTRIES 8192    /* a power of two */
#define KEEP_NODES (64 << 10) /* what wd_bpe_work_trim leaves */

typedef struct cached { /* one cache line */
    uint32_t id[CACHE_IDS];
    uint8_t n_id, n_key; /* n_key 0: empty */
    uint8_t key[CACHE_KEY];
} cached;

typedef struct node { /* a token of the long piece; its place is where its first byte was */
    uint32_t id, prev, next;
    uint32_t rank, merged; /* of the pair that it begins: NO_RANK if none */
} node;

struct wd_bpe_work {
    cached *cache; /* [CACHE_ENTRIES] direct-mapped */
    node *node;
    size_t node_cap;
    uint64_t *heap; /* rank << 32 | place, the smallest first; old entries stay and are skipped */
    size_t n_heap, heap_cap;
};

static inline size_t home(const wd_bpe *b, uint64_t pair)
{
    return wd_text__mix(wd_text__mix(pair ^ b->seed)) & (b->n_slot - 1);
}

wd_status wd_bpe_init(wd_bpe *b, const wd_bpe_merge *merge, size_t n, const char *where, wd_err *err)
{
    size_t n_slot = 16;

    while (n_slot < 2 * n)
        n_slot *= 2;
    b->slot = wd_alloc_aligned(n_slot, sizeof(*b->slot));
    if (!b->slot)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for %zu merges", where, n);
    b->n_slot = n_slot;
    b->seed = wd_rand_os_seed();
    memset(b->slot, 0xFF, n_slot * sizeof(*b->slot));
    for (size_t rank = 0; rank < n; rank++) {
        const uint64_t pair = (uint64_t)merge[rank].left << 32 | merge[rank].right;
        size_t i = home(b, pair);
        while (b->slot[i].pair != UINT64_MAX) {
            if (b->slot[i].pair == pair)
                return WD_FAIL(err, WD_E_INVALID, "%s: merges[%zu] repeats merges[%u]", where, rank,
                               b->slot[i].rank);
            i = (i + 1) & (n_slot - 1);
        }
        b->slot[i] = (wd_bpe_slot){ .pair = pair, .rank = (uint32_t)rank, .id = merge[rank].id };
    }
    return WD_OK;
}

void wd_bpe_free(wd_bpe *b)
{
    wd_free(b->slot);
    *b = (wd_bpe){ 0 };
}

/* The rank of joining left and right, and the token that it gives. */
static inline uint32_t rank_of(const wd_bpe *b, uint32_t left, uint32_t right, uint32_t *merged)
{
    const uint64_t pair = (uint64_t)left << 32 | right;

    for (size_t i = home(b, pair);; i = (i + 1) & (b->n_slot - 1)) {
        const wd_bpe_slot *s = b->slot + i;
        if (s->pair == pair) {
            *merged = s->id;
            return s->rank;
        }
        if (s->pair == UINT64_MAX)
            return NO_RANK;
    }
}

/* id[n] becomes the tokens of the piece; returns how many. */
static size_t encode_short(const wd_bpe *b, const uint8_t *p, size_t n, uint32_t *id)
{
    uint32_t rank[SHORT_PIECE], merged[SHORT_PIECE];

    for (size_t i = 0; i < n; i++)
        id[i] = b->byte_id[p[i]];
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = rank_of(b, id[i], id[i + 1], &merged[i]);
    while (n > 1) {
        uint32_t best = NO_RANK;
        size_t k = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            if (rank[i] < best) {
                best = rank[i];
                k = i;
            }
        }
        if (best == NO_RANK)
            break;
        id[k] = merged[k];
        n--;
        for (size_t i = k + 1; i < n; i++) {
            id[i] = id[i + 1];
            rank[i - 1] = rank[i];
            merged[i - 1] = merged[i];
        }
        if (k + 1 < n)
            rank[k] = rank_of(b, id[k], id[k + 1], &merged[k]);
        if (k > 0)
            rank[k - 1] = rank_of(b, id[k - 1], id[k], &merged[k - 1]);
    }
    return n;
}

static void sift_down(uint64_t *heap, size_t n, size_t i)
{
    const uint64_t v = heap[i];

    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (v <= heap[child])
            break;
        heap[i] = heap[child];
    }
    heap[i] = v;
}

static void push(wd_bpe_work *w, uint64_t v)
{
    size_t i = w->n_heap++;

    while (i > 0 && w->heap[(i - 1) / 2] > v) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = v;
}

/* Works out the pair that begins at place i anew; a candidate goes onto the heap. */
static void look_at(const wd_bpe *b, wd_bpe_work *w, uint32_t i)
{
    node *a = w->node + i;

    a->rank = a->next == UINT32_MAX ? NO_RANK : rank_of(b, a->id, w->node[a->next].id, &a->merged);
    if (a->rank != NO_RANK)
        push(w, (uint64_t)a->rank << 32 | i);
}

/* A merge takes one entry off the heap and puts two on at most, and there are n - 1 merges: 2 n entries. */
static bool reserve(wd_bpe_work *w, size_t n)
{
    if (n > w->node_cap) {
        node *grown = wd_realloc(w->node, n, sizeof(*w->node));
        if (!grown)
            return false;
        w->node = grown;
        w->node_cap = n;
    }
    if (2 * n > w->heap_cap) {
        uint64_t *grown = wd_realloc(w->heap, 2 * n, sizeof(*w->heap));
        if (!grown)
            return false;
        w->heap = grown;
        w->heap_cap = 2 * n;
    }
    return true;
}

static void merge_all(const wd_bpe *b, wd_bpe_work *w)
{
    while (w->n_heap > 0) {
        const uint64_t top = w->heap[0];
        const uint32_t i = (uint32_t)top;
        node *a = w->node + i;
        w->heap[0] = w->heap[--w->n_heap];
        sift_down(w->heap, w->n_heap, 0);
        if (a->rank != top >> 32)
            continue; /* the pair is gone */
        node *gone = w->node + a->next;
        a->id = a->merged;
        a->next = gone->next;
        gone->rank = NO_RANK;
        if (a->next != UINT32_MAX)
            w->node[a->next].prev = i;
        look_at(b, w, i);
        if (a->prev != UINT32_MAX)
            look_at(b, w, a->prev);
    }
}

static wd_status encode_long(const wd_bpe *b, wd_bpe_work *w, const uint8_t *p, size_t n, wd_ids *ids,
                             wd_err *err)
{
    if (n >= UINT32_MAX || !reserve(w, n))
        return WD_FAIL(err, WD_E_NOMEM, "tokenizer: no memory for %zu bytes without a break", n);
    w->n_heap = 0;
    for (size_t i = 0; i < n; i++) {
        node *a = w->node + i;
        *a = (node){ .id = b->byte_id[p[i]], .rank = NO_RANK };
        a->prev = i ? (uint32_t)i - 1 : UINT32_MAX;
        a->next = i + 1 < n ? (uint32_t)i + 1 : UINT32_MAX;
        if (i == 0)
            continue;
        a[-1].rank = rank_of(b, a[-1].id, a->id, &a[-1].merged);
        if (a[-1].rank != NO_RANK)
            w->heap[w->n_heap++] = (uint64_t)a[-1].rank << 32 | (i - 1);
    }
    for (size_t i = w->n_heap / 2; i-- > 0;)
        sift_down(w->heap, w->n_heap, i);
    merge_all(b, w);
    for (uint32_t i = 0; i != UINT32_MAX; i = w->node[i].next)
        wd_ids_put(ids, w->node[i].id);
    return WD_OK;
}

wd_status wd_bpe_encode(const wd_bpe *b, wd_bpe_work *w, const uint8_t *p, size_t n, wd_ids *ids, wd_err *err)
{
    uint32_t id[SHORT_PIECE];
    cached *c;

    if (n == 1) {
        wd_ids_put(ids, b->byte_id[p[0]]);
        return WD_OK;
    }
    if (n > SHORT_PIECE)
        return encode_long(b, w, p, n, ids, err);
    if (n > CACHE_KEY) {
        wd_ids_add(ids, id, encode_short(b, p, n, id));
        return WD_OK;
    }
    c = w->cache + (wd_text__hash(p, n, b->seed) & (CACHE_ENTRIES - 1));
    if (c->n_key == n && memcmp(c->key, p, n) == 0) {
        if (c->n_id == 1)
            wd_ids_put(ids, c->id[0]);
        else
            wd_ids_add(ids, c->id, c->n_id);
        return WD_OK;
    }
    const size_t n_id = encode_short(b, p, n, id);
    wd_ids_add(ids, id, n_id);
    if (n_id <= CACHE_IDS) {
        memcpy(c->id, id, n_id * sizeof(*id));
        memcpy(c->key, p, n);
        c->n_id = (uint8_t)n_id;
        c->n_key = (uint8_t)n;
    }
    return WD_OK;
}

wd_bpe_work *wd_bpe_work_create(void)
{
    wd_bpe_work *w = WD_ALLOC(wd_bpe_work);

    _Static_assert(sizeof(cached) == 64, "one cache line");
    if (!w)
        return NULL;
    w->cache = wd_alloc_aligned(CACHE_ENTRIES, sizeof(cached));
    if (!w->cache) {
        wd_free(w);
        return NULL;
    }
    memset(w->cache, 0, CACHE_ENTRIES * sizeof(cached));
    return w;
}

static void drop_room(wd_bpe_work *w)
{
    if (w->node)
        wd_wipe(w->node, w->node_cap * sizeof(*w->node));
    wd_free(w->node);
    wd_free(w->heap);
    w->node = NULL;
    w->heap = NULL;
    w->node_cap = w->heap_cap = 0;
}

void wd_bpe_work_trim(wd_bpe_work *w)
{
    if (w->node_cap > KEEP_NODES)
        drop_room(w);
}

void wd_bpe_work_destroy(wd_bpe_work *w)
{
    if (!w)
        return;
    drop_room(w);
    wd_wipe(w->cache, CACHE_ENTRIES * sizeof(cached));
    wd_free(w->cache);
    wd_free(w);
}
