/* A reply that must satisfy a constraint, or whose calls must.
 *
 *   THINK   free until "</think>"
 *   BEGIN   what HELD or FREE says, or "<think>"
 *   HELD    the constraint
 *   FREE    anything; "<tool_call>" begins a call
 *   CALL    a call's constraint, then "</tool_call>"
 *   CALLED  a call is complete: its line may end, another may follow, or the reply ends
 *   NEXT    only "<tool_call>"
 *
 * With must_call the reply begins at NEXT and is in CALLED after each call; otherwise it is free between calls. */
#include "engine/local/constrain.h"

#include <string.h>

struct wd_constrained {
    enum {
        THINK,
        BEGIN,
        HELD,
        FREE,
        CALL,
        CALLED,
        NEXT
    } state,
        content; /* content: what comes after reasoning */
    wd_constrain_opts o;
    wd_matcher *m;         /* HELD, CALL */
    uint32_t open, close;  /* "<think>" and its end, WD_TOKEN_NONE: no such token */
    uint32_t call, called; /* "<tool_call>" and its end */
    uint32_t line;         /* "\n" */
    uint32_t n_word;
    uint64_t *mask; /* [n_word] */
    wd_ids ahead;
};

bool wd_constrained_can_call(const wd_tokenizer *t)
{
    return wd_tokenizer_id(t, "<tool_call>") != WD_TOKEN_NONE &&
           wd_tokenizer_id(t, "</tool_call>") != WD_TOKEN_NONE;
}

/* Another one in the place of what there is: views of the vocabulary stay while one of them uses them. */
static wd_status begin_matcher(wd_constrained *k, wd_err *err)
{
    const wd_constrain_opts *o = &k->o;
    wd_matcher *m;
    if (o->constraint)
        WD_TRY(wd_matcher_create(o->constraint, o->lexicon, o->end, o->n_end, &m, err));
    else
        WD_TRY(wd_matcher_create(o->call, o->lexicon, &k->called, 1, &m, err));
    if (!o->constraint) {
        wd_matcher_allow_lines_before(m);
        wd_matcher_allow_line_end(m);
    }
    wd_matcher_destroy(k->m);
    k->m = m;
    return WD_OK;
}

wd_status wd_constrained_create(const wd_constrain_opts *o, wd_constrained **out, wd_err *err)
{
    wd_constrained *k = WD_ALLOC(wd_constrained);
    *out = NULL;
    if (!k)
        return WD_FAIL(err, WD_E_NOMEM, "constraint: no memory");
    k->o = *o;
    k->open = wd_tokenizer_id(o->tokenizer, "<think>");
    k->close = wd_tokenizer_id(o->tokenizer, "</think>");
    k->call = wd_tokenizer_id(o->tokenizer, "<tool_call>");
    k->called = wd_tokenizer_id(o->tokenizer, "</tool_call>");
    k->line = wd_tokenizer_id(o->tokenizer, "\n");
    k->n_word = (wd_lexicon_n_vocab(o->lexicon) + 63) / 64;
    k->mask = WD_ALLOC_N(uint64_t, k->n_word);
    const bool tags = k->open != WD_TOKEN_NONE && k->close != WD_TOKEN_NONE;
    k->content = o->constraint ? HELD : o->must_call ? NEXT : FREE;
    k->state = tags && o->thinking ? THINK : tags && o->may_think ? BEGIN : k->content;
    wd_status st = k->mask ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "constraint: no memory");
    if (!st && o->call && (k->call == WD_TOKEN_NONE || k->called == WD_TOKEN_NONE))
        st = WD_FAIL(err, WD_E_UNSUPPORTED, "tool calls: the vocabulary has no \"<tool_call>\"");
    if (!st && (o->constraint || o->call)) /* of calls: what takes long is done before the first token */
        st = begin_matcher(k, err);
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

static void let(wd_constrained *k, uint32_t id)
{
    if (id / 64 < k->n_word)
        k->mask[id / 64] |= (uint64_t)1 << id % 64;
}

static void let_ends(wd_constrained *k)
{
    for (uint32_t i = 0; i < k->o.n_end; i++)
        let(k, k->o.end[i]);
}

static void all_but_ends(wd_constrained *k)
{
    memset(k->mask, 0xFF, k->n_word * sizeof *k->mask);
    for (uint32_t i = 0; i < k->o.n_end; i++)
        if (k->o.end[i] / 64 < k->n_word)
            k->mask[k->o.end[i] / 64] &= ~((uint64_t)1 << k->o.end[i] % 64);
}

wd_status wd_constrained_mask(wd_constrained *k, const uint64_t **mask, wd_err *err)
{
    const int state = k->state == BEGIN ? (int)k->content : (int)k->state;
    *mask = k->mask;
    if (state == FREE || (state == THINK && k->content == FREE)) {
        *mask = NULL;
        return WD_OK;
    }
    if (state == THINK) {
        all_but_ends(k);
        return WD_OK;
    }
    if (state == HELD || state == CALL) {
        WD_TRY(wd_matcher_mask(k->m, k->mask, err));
    } else {
        memset(k->mask, 0, k->n_word * sizeof *k->mask);
        if (state == CALLED) {
            let_ends(k);
            if (!k->o.one_call)
                let(k, k->line);
        }
        if (state == NEXT || !k->o.one_call)
            let(k, k->call);
    }
    if (k->state == BEGIN)
        let(k, k->open);
    return WD_OK;
}

static bool is_space(wd_span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (s.p[i] != ' ' && s.p[i] != '\n' && s.p[i] != '\r' && s.p[i] != '\t')
            return false;
    return s.n > 0;
}

/* What follows a call that is complete. */
static void end_call(wd_constrained *k)
{
    k->state = k->o.must_call || k->o.one_call ? CALLED : FREE;
}

wd_status wd_constrained_advance(wd_constrained *k, uint32_t id, wd_err *err)
{
    if (k->state == THINK) {
        k->state = id == k->close ? k->content : THINK;
        if (k->state == HELD)
            wd_matcher_allow_lines_before(k->m);
        return WD_OK;
    }
    if (k->state == BEGIN && id == k->open) {
        k->state = THINK;
        return WD_OK;
    }
    if (k->state == BEGIN && k->content == FREE && is_space(wd_tokenizer_bytes(k->o.tokenizer, id)))
        return WD_OK; /* as the parser reads it */
    if (k->state == BEGIN)
        k->state = k->content;
    switch (k->state) {
    case FREE:
    case NEXT:
    case CALLED:
        if (id == k->call) {
            k->state = CALL;
            return begin_matcher(k, err);
        }
        if (k->state == CALLED && id == k->line)
            k->state = NEXT;
        return WD_OK;
    case CALL:
        WD_TRY(wd_matcher_advance(k->m, id, err));
        if (id == k->called)
            end_call(k);
        return WD_OK;
    default:
        return wd_matcher_advance(k->m, id, err);
    }
}

size_t wd_constrained_ahead(wd_constrained *k, size_t most, uint32_t *id)
{
    if ((k->state != HELD && k->state != CALL) || !most)
        return 0;
    wd_ids_clear(&k->ahead);
    wd_matcher_ahead(k->m, k->o.tokenizer, most, &k->ahead);
    const size_t n = WD_MIN(most, k->ahead.n);
    if (n)
        memcpy(id, k->ahead.v, n * sizeof *id);
    return n;
}
