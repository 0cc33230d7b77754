/* Prompt look-up: what followed the last words where they stood before is guessed to follow again, and the guess is
 * checked in the pass that the next token needs anyway (A. Saxena, Prompt Lookup Decoding, 2023). Reports, templates and
 * answers from records repeat their prompt.
 *
 * Nothing changes but the time. Each token is drawn from the logits of its own row, whose bits do not depend on the rows
 * beside it (tensor/ops.h), and what was guessed wrong is cut off the cache: the draws are those without guesses.
 *
 * A pass of a few rows costs more than one of a single row, by how much depends on the machine and the model. So both are
 * timed, and where guesses do not pay for themselves there is a pause, longer each time. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/local/inner.h"

#define ALIKE 3       /* tokens that must have stood together before */
#define FIRST_GUESS 4 /* tokens */
#define PAUSE_MIN 16  /* tokens without a guess once guesses cost time */
#define PAUSE_MAX 512
#define WEIGHT 0.3     /* of the latest pass in the mean cost and gain */
#define FIRST_GAIN 1.2 /* a first wrong guess is forgiven */

static double mean(double before, double now)
{
    return before > 0 ? before + WEIGHT * (now - before) : now;
}

/* Up to `most` tokens that followed the last ALIKE of seq [n] the last time these stood anywhere before. */
static size_t guess(const uint32_t *seq, size_t n, uint32_t *out, size_t most)
{
    if (n < ALIKE + 1)
        return 0;
    const uint32_t *last = seq + n - ALIKE;
    for (size_t i = n - ALIKE; i-- > 0;) {
        if (seq[i + ALIKE - 1] != last[ALIKE - 1] || memcmp(seq + i, last, ALIKE * sizeof *seq) != 0)
            continue;
        const size_t k = WD_MIN(n - i - ALIKE, most);
        memcpy(out, seq + i + ALIKE, k * sizeof *out);
        return k;
    }
    return 0;
}

/* One pass over the first n of l->id; logits [n][n_vocab]. */
static wd_status pass(wd_local *e, const wd_local_lookup *l, size_t n, const wd_watch *watch, float *logits,
                      wd_err *err)
{
    uint32_t row[WD_LOCAL_LOOKUP + 1];
    for (uint32_t i = 0; i < n; i++)
        row[i] = i;
    const size_t at = wd_kv_len(e->kv);
    const wd_step s = { .ids = l->id,
                        .n = n,
                        .kv = e->kv,
                        .out_row = row,
                        .n_out = n,
                        .logits = logits,
                        .cancel = watch->cancel };
    WD_TRY(wd_model_step(e->o.model, &s, err));
    memcpy(e->held + at, l->id, n * sizeof *e->held);
    return WD_OK;
}

/* The guess has been told apart: what was right has paid for the pass, or not. */
static void judge(wd_local_lookup *l)
{
    const double tokens = (double)l->used + 1;
    l->gain = mean(l->gain > 0 ? l->gain : FIRST_GAIN, tokens * l->one_s / l->pass_s);
    l->n_right += l->used;
    l->most = l->used == l->n ? WD_MIN(2 * l->most, (size_t)WD_LOCAL_LOOKUP) : WD_MAX(l->used + 1, (size_t)2);
    if (l->gain >= 1) {
        l->pause = 0;
    } else {
        l->pause = l->pause ? WD_MIN(2 * l->pause, PAUSE_MAX) : PAUSE_MIN;
        l->wait = l->pause;
        l->gain = 0;
    }
    l->n = l->used = 0;
}

/* Tokens to guess now. */
static size_t allowed(const wd_local *e, wd_local_lookup *l, size_t left)
{
    if (e->o.lookup == WD_LOOKUP_OFF || (e->o.lookup == WD_LOOKUP_AUTO && (l->one_s == 0 || l->wait > 0)))
        return 0;
    l->most = l->most ? l->most : FIRST_GUESS;
    const size_t room = WD_MIN(wd_model_max_rows(e->o.model), e->context - wd_kv_len(e->kv)) - 1;
    return WD_MIN(l->most, WD_MIN(left, room));
}

wd_status wd_local__next(wd_local *e, wd_local_lookup *l, uint32_t id, size_t left, const wd_watch *watch,
                         const float **logits, wd_err *err)
{
    const size_t n_vocab = e->cfg->text.n_vocab;
    if (l->used < l->n && l->id[l->used + 1] == id) {
        l->used++;
        *logits = l->logits + l->used * n_vocab;
        return WD_OK;
    }
    if (l->n) {
        wd_kv_truncate(e->kv, wd_kv_len(e->kv) - (l->n - l->used));
        judge(l);
    }
    const size_t at = wd_kv_len(e->kv);
    l->id[0] = id;
    if (at < e->context)
        e->held[at] = id; /* behind the end of what is held: room for the search */
    size_t n = at + 1 < e->context ? guess(e->held, at + 1, l->id + 1, allowed(e, l, left)) : 0;
    if (n && !l->logits) {
        l->logits = wd_alloc_aligned((size_t)(WD_LOCAL_LOOKUP + 1) * n_vocab, sizeof(float));
        if (!l->logits)
            return WD_FAIL(err, WD_E_NOMEM, "generation: no memory for %d rows of logits",
                           WD_LOCAL_LOOKUP + 1);
    }
    const double start = wd_clock_s();
    *logits = n ? l->logits : e->logits;
    wd_status st = pass(e, l, n + 1, watch, n ? l->logits : e->logits, err);
    if (n && (st == WD_E_LIMIT || st == WD_E_NOMEM)) { /* no room for guesses */
        n = 0;
        *logits = e->logits;
        st = pass(e, l, 1, watch, e->logits, err);
    }
    WD_TRY(st);
    if (n) {
        l->n = n;
        l->n_guess += n;
        l->pass_s = wd_clock_s() - start;
    } else {
        l->one_s = mean(l->one_s, wd_clock_s() - start);
        l->wait -= l->wait > 0;
    }
    return WD_OK;
}

void wd_local__lookup_end(wd_local *e, wd_local_lookup *l)
{
    if (l->n)
        wd_kv_truncate(e->kv, wd_kv_len(e->kv) - (l->n - l->used));
    l->n_right += l->used;
    wd_free(l->logits);
    *l = (wd_local_lookup){ .n_guess = l->n_guess, .n_right = l->n_right };
}
