/* Prompt look-up: what followed the last words where they stood before is guessed to follow again, and the guess is
 * checked in the pass that the next token needs anyway (A. Saxena, Prompt Lookup Decoding, 2023). Reports, templates and
 * answers from records repeat their prompt.
 *
 * Nothing changes but the time. Each token is drawn from the logits of its own row, whose bits do not depend on the rows
 * beside it (tensor/ops.h), and what was guessed wrong is cut off the cache: the draws are those without guesses.
 *
 * A pass of a few rows costs more than one of a single row, by how much depends on the machine, the model, and on who
 * else is in the step. So both are timed, and where guesses do not pay for themselves there is a pause, longer each time.
 * In a step of many sequences they never do: weights are read once for all of them already.
 *
 * What a constraint leaves no choice about (jump-ahead) goes the same way, whatever it costs: its tokens come in any case.
 * Only where they could also be cut otherwise does a draw say so, and the rest is taken back like a wrong guess. */
#include <string.h>

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

/* The guess has been told apart: what was right has paid for the pass, or not. */
static void weigh(wd_local_lookup *l, double pass_s, size_t n, size_t n_right)
{
    const double tokens = (double)n_right + 1;
    if (l->one_s > 0)
        l->gain = mean(l->gain > 0 ? l->gain : FIRST_GAIN, tokens * l->one_s / pass_s);
    l->most = n_right == n ? WD_MIN(2 * l->most, (size_t)WD_LOCAL_LOOKUP) : WD_MAX(n_right + 1, (size_t)2);
    if (l->gain >= 1) {
        l->pause = 0;
    } else {
        l->pause = l->pause ? WD_MIN(2 * l->pause, PAUSE_MAX) : PAUSE_MIN;
        l->wait = l->pause;
        l->gain = 0;
    }
}

void wd_local__judge(wd_local_lookup *l, const wd_local_job *j, size_t n_right)
{
    const size_t n = j->n_row - 1;
    l->n_guess += n;
    l->n_right += n_right;
    if (j->step_mixed || l->known) /* its time tells nothing */
        return;
    if (n) {
        weigh(l, j->step_s, n, n_right);
        return;
    }
    if (l->n_seq != j->step_seqs)
        l->one_s = 0;
    l->n_seq = j->step_seqs;
    l->one_s = mean(l->one_s, j->step_s);
    l->wait -= l->wait > 0;
}

size_t wd_local__room(const wd_local *e, size_t n, size_t left)
{
    if (e->o.lookup == WD_LOOKUP_OFF || n >= e->capacity)
        return 0;
    const size_t room = WD_MIN(wd_model_max_rows(e->o.model) - 1, e->capacity - n);
    return WD_MIN(WD_MIN(left, room), (size_t)WD_LOCAL_LOOKUP);
}

/* Tokens to guess now. */
static size_t allowed(const wd_local *e, wd_local_lookup *l, const wd_local_job *j, size_t n, size_t left)
{
    const size_t room = wd_local__room(e, n, left);
    if (!room)
        return 0;
    if (e->o.lookup == WD_LOOKUP_AUTO &&
        (l->one_s == 0 || l->wait > 0 || j->step_seqs > WD_LOCAL_LOOKUP_SEQS))
        return 0;
    l->most = l->most ? l->most : FIRST_GUESS;
    return WD_MIN(l->most, room);
}

size_t wd_local__guess(const wd_local *e, wd_local_lookup *l, const wd_local_job *j, size_t n, size_t left)
{
    return guess(j->id, n, j->id + n, allowed(e, l, j, n, left));
}
