/* A step takes the longer of two times, about: that of reading the weights, which is the same for all numbers of rows, and
 * that of multiplying, which grows with them. So the time over the rows falls with their number and then stays, and from a
 * step of n rows that took t, n * budget / t rows are a safe next guess in either case: exact where multiplying rules, too
 * few where reading does, and better with each step. One number is kept, the time over the rows, and no more has to be
 * known of model and machine.
 *
 * The budget is the time that was asked for, or TIMES as long as replies take alone if that is more: so that prompts have
 * half of the time at least, on a model whose every step is longer than what was asked for. Replies are measured alone
 * where they are, and else once in EVERY steps.
 *
 * A single step that was held up (the processor was taken away, a page was not there) counts as twice the usual at most,
 * and its weight is halved with every step after it. */
#include "engine/local/pace.h"

#include "base/compiler.h"

#define TIMES 2.0
#define EVERY 32      /* steps with prompts, one without */
#define LEAST_ROWS 4  /* of prompts */
#define FIRST_ROWS 16 /* before anything is known */
#define CLIP 2.0      /* a measurement counts as this much more than the last ones, or less */
#define WEIGHT 0.5

static double follow(double before, double now)
{
    if (before <= 0)
        return now;
    now = WD_MAX(WD_MIN(now, before * CLIP), before / CLIP);
    return before + WEIGHT * (now - before);
}

static double budget(const wd_local_pace *p)
{
    return WD_MAX(p->most_s, TIMES * p->reply_s);
}

void wd_local__pace_note(wd_local_pace *p, size_t n_reply, size_t n_prompt, double step_s)
{
    if (!(step_s > 0) || n_reply + n_prompt == 0)
        return;
    if (n_prompt == 0) {
        p->reply_s = follow(p->reply_s, step_s);
        p->n_mixed = 0;
        return;
    }
    if (n_reply) {
        p->n_mixed++;
        p->reply_s = WD_MIN(p->reply_s, step_s);
    }
    const double row_s = step_s / (double)(n_reply + n_prompt);
    if (p->row_s <= 0 || row_s < p->row_s || step_s > budget(p)) /* else: fewer rows than could have been */
        p->row_s = follow(p->row_s, row_s);
}

size_t wd_local__pace_rows(const wd_local_pace *p, size_t n_reply, size_t most)
{
    if (p->reply_s <= 0 || p->n_mixed >= EVERY)
        return 0;
    size_t n = FIRST_ROWS;
    if (p->row_s > 0) {
        const double all = WD_MIN(budget(p) / p->row_s, (double)(n_reply + most));
        n = (size_t)all > n_reply ? (size_t)all - n_reply : 0;
    }
    return WD_MIN(WD_MAX(n, (size_t)LEAST_ROWS), most);
}
