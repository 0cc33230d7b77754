/* The tokens of a tokenizer: open addressing over their bytes, seeded so that a file cannot choose collisions. */
#include "text/vocab.h"

#include "base/rand.h"
#include "text/hash.h"

void wd_vocab_init(wd_vocab *v)
{
    *v = (wd_vocab){ .seed = wd_rand_os_seed(), .bytes = { .max = UINT32_MAX } };
}

void wd_vocab_free(wd_vocab *v)
{
    wd_free(v->token);
    wd_free(v->slot);
    wd_free(v->tag);
    wd_buf_free(&v->bytes);
    *v = (wd_vocab){ 0 };
}

static void insert(wd_vocab *v, uint32_t id, uint64_t hash)
{
    size_t i = hash & (v->n_slot - 1);

    while (v->slot[i])
        i = (i + 1) & (v->n_slot - 1);
    v->slot[i] = id + 1;
    v->tag[i] = (uint8_t)(hash >> 56);
}

static bool grow_slots(wd_vocab *v)
{
    const size_t n_slot = v->n_slot ? v->n_slot * 2 : 1024;
    uint32_t *slot = WD_ALLOC_N(uint32_t, n_slot);
    uint8_t *tag = WD_ALLOC_N(uint8_t, n_slot);

    if (!slot || !tag) {
        wd_free(slot);
        wd_free(tag);
        return false;
    }
    wd_free(v->slot);
    wd_free(v->tag);
    v->slot = slot;
    v->tag = tag;
    v->n_slot = n_slot;
    for (uint32_t id = 0; id < v->n_id; id++) {
        if (v->token[id].flags & WD_VOCAB_PIECE)
            insert(v, id, wd_text__hash(v->bytes.p + v->token[id].at, v->token[id].n, v->seed));
    }
    return true;
}

static bool grow_ids(wd_vocab *v, uint32_t id)
{
    if (id >= v->id_cap) {
        const uint32_t cap = WD_MAX(id + 1, v->id_cap ? v->id_cap * 2 : 1024);
        wd_vocab_token *token = wd_realloc(v->token, cap, sizeof(*token));
        if (!token)
            return false;
        memset(token + v->id_cap, 0, (cap - v->id_cap) * sizeof(*token));
        v->token = token;
        v->id_cap = cap;
    }
    return true;
}

wd_status wd_vocab_add(wd_vocab *v, uint32_t id, wd_span bytes, uint8_t flags, wd_err *err)
{
    const uint32_t at = (uint32_t)v->bytes.n;
    const bool piece = flags & WD_VOCAB_PIECE;
    bool ok = grow_ids(v, id) && !(piece && 2 * (v->n_piece + 1) > v->n_slot && !grow_slots(v));

    if (ok)
        wd_buf_span(&v->bytes, bytes);
    if (!ok || v->bytes.failed)
        return WD_FAIL(err, WD_E_NOMEM, "vocabulary: no memory for more than %zu bytes of tokens",
                       v->bytes.n);
    v->token[id] = (wd_vocab_token){ .at = at, .n = (uint16_t)bytes.n, .flags = flags | WD_VOCAB_USED };
    v->n_id = WD_MAX(v->n_id, id + 1);
    if (piece) {
        insert(v, id, wd_text__hash(bytes.p, bytes.n, v->seed));
        v->n_piece++;
    }
    return WD_OK;
}

uint32_t wd_vocab_find(const wd_vocab *v, const uint8_t *p, size_t n)
{
    if (v->n_slot == 0)
        return UINT32_MAX;
    const uint64_t hash = wd_text__hash(p, n, v->seed);
    for (size_t i = hash & (v->n_slot - 1); v->slot[i]; i = (i + 1) & (v->n_slot - 1)) {
        const wd_vocab_token *t = v->token + (v->slot[i] - 1);
        if (v->tag[i] == (uint8_t)(hash >> 56) && t->n == n && memcmp(v->bytes.p + t->at, p, n) == 0)
            return v->slot[i] - 1;
    }
    return UINT32_MAX;
}
