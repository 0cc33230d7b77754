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
    wd_buf_free(&v->bytes);
    *v = (wd_vocab){ 0 };
}

/* The slot of the piece, or the empty one where it belongs. */
static wd_vocab_slot *find_slot(const wd_vocab *v, const uint8_t *p, size_t n, uint64_t hash)
{
    size_t i = hash & (v->n_slot - 1);

    for (;; i = (i + 1) & (v->n_slot - 1)) {
        wd_vocab_slot *s = v->slot + i;
        if (s->id1 == 0 ||
            (s->tag == (uint16_t)(hash >> 48) && s->n == n && memcmp(v->bytes.p + s->at, p, n) == 0))
            return s;
    }
}

static bool grow_slots(wd_vocab *v)
{
    const size_t n_old = v->n_slot, n_slot = n_old ? n_old * 2 : 1024;
    wd_vocab_slot *old = v->slot, *slot = WD_ALLOC_N(wd_vocab_slot, n_slot);

    if (!slot)
        return false;
    v->slot = slot;
    v->n_slot = n_slot;
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].id1 == 0)
            continue;
        size_t k = wd_text__hash(v->bytes.p + old[i].at, old[i].n, v->seed) & (n_slot - 1);
        while (slot[k].id1)
            k = (k + 1) & (n_slot - 1);
        slot[k] = old[i];
    }
    wd_free(old);
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

wd_status wd_vocab_add(wd_vocab *v, uint32_t id, wd_span bytes, uint8_t flags, bool *twice, wd_err *err)
{
    const uint32_t at = (uint32_t)v->bytes.n;
    const uint16_t n = (uint16_t)bytes.n;
    const bool piece = flags & WD_VOCAB_PIECE;

    if (!grow_ids(v, id) || (piece && 4 * (v->n_piece + 1) > 3 * v->n_slot && !grow_slots(v)))
        return WD_FAIL(err, WD_E_NOMEM, "vocabulary: no memory for id %u", id);
    if (piece) {
        const uint64_t hash = wd_text__hash(bytes.p, n, v->seed);
        wd_vocab_slot *s = find_slot(v, bytes.p, n, hash);
        *twice = s->id1 != 0;
        if (*twice)
            return WD_OK;
        *s = (wd_vocab_slot){ .id1 = id + 1, .at = at, .n = n, .tag = (uint16_t)(hash >> 48) };
        v->n_piece++;
    }
    wd_buf_span(&v->bytes, bytes);
    if (v->bytes.failed)
        return WD_FAIL(err, WD_E_NOMEM, "vocabulary: no memory for more than %zu bytes of tokens",
                       v->bytes.n);
    v->token[id] = (wd_vocab_token){ .at = at, .n = n, .flags = flags | WD_VOCAB_USED };
    v->n_id = WD_MAX(v->n_id, id + 1);
    return WD_OK;
}

uint32_t wd_vocab_find(const wd_vocab *v, const uint8_t *p, size_t n)
{
    if (v->n_slot == 0)
        return UINT32_MAX;
    return find_slot(v, p, n, wd_text__hash(p, n, v->seed))->id1 - 1;
}
