/* A reply that must satisfy a constraint. States: THINK (free until "</think>"), BEGIN (the constraint, or "<think>"),
 * HELD (the constraint). */
#include "engine/local/constrain.h"

#include <string.h>

struct wd_constrained {
    enum { THINK, BEGIN, HELD } state;
    wd_constrain_opts o;
    wd_matcher *m;
    uint32_t open, close; /* "<think>" and its end, WD_TOKEN_NONE: no such token */
    uint32_t n_word;
    uint64_t *mask; /* [n_word] */
    wd_ids ahead;
};

wd_status wd_constrained_create(const wd_constrain_opts *o, wd_constrained **out, wd_err *err)
{
    wd_constrained *k = WD_ALLOC(wd_constrained);
    *out = NULL;
    if (!k)
        return WD_FAIL(err, WD_E_NOMEM, "constraint: no memory");
    k->o = *o;
    k->open = wd_tokenizer_id(o->tokenizer, "<think>");
    k->close = wd_tokenizer_id(o->tokenizer, "</think>");
    k->n_word = (wd_lexicon_n_vocab(o->lexicon) + 63) / 64;
    k->mask = WD_ALLOC_N(uint64_t, k->n_word);
    const bool tags = k->open != WD_TOKEN_NONE && k->close != WD_TOKEN_NONE;
    k->state = tags && o->thinking ? THINK : tags && o->may_think ? BEGIN : HELD;
    const wd_status st = k->mask ? wd_matcher_create(o->constraint, o->lexicon, o->end, o->n_end, &k->m, err)
                                 : WD_FAIL(err, WD_E_NOMEM, "constraint: no memory");
    if (st) {
        wd_constrained_destroy(k);
        return st;
    }
    *out = k;
    return WD_OK;
}

void wd_constrained_destroy(wd_constrained *k)
{
    if (!k)
        return;
    wd_matcher_destroy(k->m);
    wd_ids_wipe(&k->ahead);
    wd_ids_free(&k->ahead);
    wd_free(k->mask);
    wd_free(k);
}

wd_status wd_constrained_mask(wd_constrained *k, const uint64_t **mask, wd_err *err)
{
    *mask = k->mask;
    if (k->state == THINK) {
        memset(k->mask, 0xFF, k->n_word * sizeof *k->mask);
        for (uint32_t i = 0; i < k->o.n_end; i++)
            if (k->o.end[i] / 64 < k->n_word)
                k->mask[k->o.end[i] / 64] &= ~((uint64_t)1 << k->o.end[i] % 64);
        return WD_OK;
    }
    WD_TRY(wd_matcher_mask(k->m, k->mask, err));
    if (k->state == BEGIN && k->open / 64 < k->n_word)
        k->mask[k->open / 64] |= (uint64_t)1 << k->open % 64;
    return WD_OK;
}

wd_status wd_constrained_advance(wd_constrained *k, uint32_t id, wd_err *err)
{
    if (k->state == THINK) {
        k->state = id == k->close ? HELD : THINK;
        return WD_OK;
    }
    if (k->state == BEGIN && id == k->open) {
        k->state = THINK;
        return WD_OK;
    }
    k->state = HELD;
    return wd_matcher_advance(k->m, id, err);
}

size_t wd_constrained_ahead(wd_constrained *k, size_t most, uint32_t *id)
{
    if (k->state != HELD || !most)
        return 0;
    wd_ids_clear(&k->ahead);
    wd_matcher_ahead(k->m, k->o.tokenizer, most, &k->ahead);
    const size_t n = WD_MIN(most, k->ahead.n);
    if (n)
        memcpy(id, k->ahead.v, n * sizeof *id);
    return n;
}
