/* A reply that must satisfy a constraint, or whose calls must: masks for the sampler, with the reasoning before it left
 * free.
 *
 * Reasoning. Where the prompt opened it, or a hybrid model may begin it with "<think>", everything up to "</think>" is
 * free but for end tokens; the constraint holds for what follows.
 *
 * Calls. What stands between "<tool_call>" and its end satisfies `call`. Both are tokens of their own: a call that the
 * model spells out in others is not seen here. */
#ifndef WD_ENGINE_LOCAL_CONSTRAIN_H
#define WD_ENGINE_LOCAL_CONSTRAIN_H

#include "engine/engine.h"
#include "text/schema/matcher.h"

typedef struct wd_constrained wd_constrained;

typedef struct wd_constrain_opts {
    const wd_constraint *constraint; /* one of these */
    const wd_constraint *call;
    bool must_call, one_call; /* as in wd_generate */
    wd_lexicon *lexicon;
    const wd_tokenizer *tokenizer;
    const uint32_t *end; /* [n_end] end tokens; borrowed */
    uint32_t n_end;
    bool thinking;  /* reasoning has begun */
    bool may_think; /* it may begin */
} wd_constrain_opts;

WD_MUST_CHECK wd_status wd_constrained_create(const wd_constrain_opts *o, wd_constrained **out, wd_err *err);
void wd_constrained_destroy(wd_constrained *k); /* accepts NULL */

/* Whether the vocabulary has tokens for calls. */
bool wd_constrained_can_call(const wd_tokenizer *t);

/* What may come next, for wd_sampler_next, NULL: anything; valid until the next call. */
WD_MUST_CHECK wd_status wd_constrained_mask(wd_constrained *k, const uint64_t **mask, wd_err *err);
/* It came. */
WD_MUST_CHECK wd_status wd_constrained_advance(wd_constrained *k, uint32_t id, wd_err *err);
/* Tokens that are certain, or nearly so, to come next: at most `most` into id. Returns how many. */
size_t wd_constrained_ahead(wd_constrained *k, size_t most, uint32_t *id);

#endif
