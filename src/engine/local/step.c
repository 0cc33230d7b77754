/* One step of the decoder over all that can run: a token of every reply (and guesses of how it goes on), and chunks of
 * prompts in what is left of the rows. Bits of a row do not depend on the others (model/model.h), so who is in a step
 * changes nothing but the time. */
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "engine/local/inner.h"

#define CROWD_ROWS 128 /* of prompts, while those of other tenants or priorities wait */

static bool in_step(const wd_local *e, const wd_local_job *j)
{
    for (size_t i = 0; i < e->n_part; i++)
        if (e->part[i].job == j)
            return true;
    return false;
}

/* Whose pages j may have: who came later at no higher priority, or whose caller is away. Nobody in this step. */
static wd_local_job *victim(const wd_local *e, const wd_local_job *j)
{
    wd_local_job *worst = NULL;
    for (wd_local_job *k = e->job; k; k = k->next) {
        if (k == j || k->state != WD_LOCAL_RUNNING || in_step(e, k))
            continue;
        const bool behind = k->terms->priority < j->terms->priority ||
                            (k->terms->priority == j->terms->priority && k->arrival > j->arrival);
        if ((behind || (k->ready && !k->due)) &&
            (!worst || k->terms->priority < worst->terms->priority ||
             (k->terms->priority == worst->terms->priority && k->arrival > worst->arrival)))
            worst = k;
    }
    return worst;
}

/* Room for n tokens of j: from the pool, from the prefix cache, from others. false: not now, or j has ended. */
static bool make_room(wd_local *e, wd_local_job *j, size_t n)
{
    wd_err err = { 0 };
    wd_kv_truncate(j->kv, j->n_done); /* guesses that did not come */
    for (;;) {
        const wd_status st = wd_kv_reserve(j->kv, n, &err);
        if (!st)
            return true;
        if ((st == WD_E_LIMIT || st == WD_E_NOMEM) && wd_local__evict_page(e))
            continue;
        wd_local_job *k = victim(e, j);
        if (k) {
            wd_local__preempt(e, k);
            continue;
        }
        if (e->n_running == 1)
            wd_local__end(e, j, st, &err);
        return false;
    }
}

/* Memory for the rows of images in a step, once somebody has any. */
static void need_features(wd_local *e)
{
    wd_err err = { 0 };
    for (wd_local_job *j = e->job; j && !e->step_feature.n_row; j = j->next) {
        if (j->state != WD_LOCAL_RUNNING || j->prompt->text.n_place == 0)
            continue;
        const wd_status st = wd_features_init(&e->step_feature, wd_model_max_rows(e->o.model),
                                              e->cfg->text.n_embd, e->cfg->vision.n_deepstack, &err);
        if (st)
            wd_local__end(e, j, st, &err);
    }
}

/* The step's row for visual token i of its place. */
static int32_t copy_feature(wd_local *e, const wd_features *from, size_t i)
{
    wd_features *to = &e->step_feature;
    const size_t n = to->n_embd;
    memcpy(to->main + e->n_feature * n, from->main + i * n, n * sizeof(float));
    for (uint32_t k = 0; k < to->n_deepstack; k++)
        memcpy(to->deepstack[k] + e->n_feature * n, from->deepstack[k] + i * n, n * sizeof(float));
    return (int32_t)e->n_feature++;
}

/* Token `at` of j becomes the next row. *place: the first visual place that does not end before it. */
static void add_row(wd_local *e, const wd_local_job *j, size_t at, uint32_t *place)
{
    const wd_local_prompt *p = j->prompt;
    const size_t row = e->n_row++;
    e->step_id[row] = j->id[at];
    for (int k = 0; k < 3; k++)
        e->step_pos[k][row] = at < p->n ? p->pos[k][at] : (int32_t)at + p->rope_delta;
    e->step_visual[row] = -1;
    if (at >= p->n || p->visual[at] < 0)
        return;
    const wd_prompt_place *pl = p->text.place;
    while (pl[*place].first + pl[*place].n <= at)
        ++*place;
    e->step_visual[row] = copy_feature(e, &j->seen[*place]->f, at - pl[*place].first);
}

/* The next n tokens of j join the step; room is there. */
static void add_part(wd_local *e, wd_local_job *j, size_t n)
{
    wd_local_part *part = &e->part[e->n_part];
    const size_t end = j->n_done + n;
    size_t first; /* token whose row is the first that is wanted */
    if (j->want == WD_LOCAL_EVERY && j->n_told < j->prompt->n)
        first = WD_MIN(WD_MAX(j->n_told, j->n_done), end);
    else
        first = end == j->n_known ? j->n_known - 1 - j->n_guess : end;
    *part = (wd_local_part){
        .job = j, .n = n, .first_out = e->n_out, .n_out = end - first, .first_index = first
    };
    for (size_t at = first; at < end; at++)
        e->out_row[e->n_out++] = (uint32_t)(e->n_row + at - j->n_done);
    uint32_t place = 0;
    for (size_t at = j->n_done; at < end; at++)
        add_row(e, j, at, &place);
    e->step_seq[e->n_part++] = (wd_step_seq){ j->kv, n };
    j->tenant->served += (double)n / j->tenant->weight;
}

static bool is_reply(const wd_local_job *j)
{
    return j->n_known - j->n_done == 1 + j->n_guess && j->n_done >= j->prompt->n;
}

static void add_replies(wd_local *e, size_t most)
{
    for (wd_local_job *j = e->job; j && e->n_row < most; j = j->next) {
        if (!wd_local__runnable(j) || j->blind || !is_reply(j))
            continue;
        if (e->n_row + 1 + j->n_guess > most ||
            e->n_out + 1 + j->n_guess + e->max_seqs + WD_LOCAL_EVERY_ROWS > e->max_out) {
            j->n_known -= j->n_guess;
            j->n_guess = 0;
        }
        if (make_room(e, j, 1 + j->n_guess))
            add_part(e, j, 1 + j->n_guess);
    }
}

/* Rows for prompts, once replies are in the step. It stays short while replies or other tenants wait for the next one: who
 * comes meanwhile is soon served. */
static size_t prefill_rows(const wd_local *e, size_t most)
{
    const size_t left = most - e->n_row, mixed = e->o.mixed_rows;
    if (e->n_part)
        return mixed ? WD_MIN(left, mixed) : wd_local__pace_rows(&e->pace, e->n_row, left);
    bool crowd = false;
    for (const wd_local_job *j = e->job; j && !crowd; j = j->next)
        crowd = j->tenant != e->job->tenant || j->terms->priority != e->job->terms->priority;
    return crowd ? WD_MIN(left, mixed ? mixed : CROWD_ROWS) : left;
}

static wd_local_job *next_prompt(const wd_local *e)
{
    wd_local_job *best = NULL;
    for (wd_local_job *j = e->job; j; j = j->next)
        if (wd_local__runnable(j) && !j->blind && !is_reply(j) && j->deferred != e->n_turn &&
            !in_step(e, j) && (!best || wd_local__before(j, best)))
            best = j;
    return best;
}

static void add_prompts(wd_local *e, size_t most)
{
    size_t left = prefill_rows(e, most);
    const wd_local_job *done = NULL; /* whose prompt ends in this step */
    bool every = false;
    while (left) {
        wd_local_job *j = next_prompt(e);
        if (!j || (done && done->tenant != j->tenant))
            return; /* a prompt that ends does not wait for other tenants' rows */
        size_t n = WD_MIN(left, j->n_known - j->n_done);
        const bool all = j->want == WD_LOCAL_EVERY && j->n_told < j->prompt->n;
        if (all)
            n = WD_MIN(n, (size_t)WD_LOCAL_EVERY_ROWS);
        if ((all && every) || !make_room(e, j, n)) {
            j->deferred = e->n_turn; /* not in this step */
            continue;
        }
        every |= all;
        add_part(e, j, n);
        left -= n;
        if (j->n_done + n == j->n_known)
            done = j;
    }
}

/* What came of one part. */
static void deliver(wd_local *e, const wd_local_part *part, double step_s, bool mixed)
{
    wd_local_job *j = part->job;
    const size_t n_vocab = e->cfg->text.n_vocab, n_embd = e->cfg->text.n_embd;
    const bool was_prompt = j->n_done < j->prompt->n;
    j->n_done += part->n;
    const size_t sure = WD_MIN(j->n_done, j->n_known - j->n_guess);
    if (was_prompt && j->n_done >= j->prompt->n) {
        wd_local__publish(e, j, sure); /* to the token: others may begin alike */
        wd_local__unsee(e, j);
    } else if (sure / e->page_len > j->n_published) {
        wd_local__publish(e, j, sure / e->page_len * e->page_len);
    }
    if (part->n_out == 0) {
        if (j->watch->progress)
            wd_local__wake(j);
        return;
    }
    j->ready = true;
    j->n_sure = j->n_known - j->n_guess;
    j->n_row = part->n_out;
    j->first_row = part->first_index;
    j->step_s = step_s;
    j->step_seqs = e->n_part;
    j->step_mixed = mixed;
    if (j->want == WD_LOCAL_EVERY && j->n_told < j->prompt->n)
        j->n_told = WD_MAX(j->n_told, j->n_done);
    if (j->want == WD_LOCAL_HIDDEN)
        j->row = e->hidden + part->first_out * n_embd;
    else
        j->row = e->logits + part->first_out * n_vocab;
    if (j->waiting) {
        j->due = true;
        e->n_due++;
        wd_local__wake(j);
    } else {
        WD_BUG_IF(!j->own || j->n_row > 1 + WD_LOCAL_LOOKUP);
        memcpy(j->own, j->row, j->n_row * n_vocab * sizeof(float));
        j->row = j->own;
    }
}

static bool wants_logits(const wd_local *e)
{
    for (size_t i = 0; i < e->n_part; i++)
        if (e->part[i].n_out && e->part[i].job->want != WD_LOCAL_HIDDEN)
            return true;
    return false;
}

bool wd_local__step(wd_local *e, bool replies_only)
{
    const size_t most = wd_model_max_rows(e->o.model);
    wd_err err = { 0 };
    e->n_part = e->n_row = e->n_out = e->n_feature = 0;
    need_features(e);
    add_replies(e, most);
    const size_t n_reply = e->n_part, n_reply_row = e->n_row;
    if (!replies_only)
        add_prompts(e, most);
    if (e->n_part == 0)
        return false;
    const bool mixed = e->n_part > n_reply;
    const wd_step s = { .ids = e->step_id,
                        .n = e->n_row,
                        .pos = { e->step_pos[0], e->step_pos[1], e->step_pos[2] },
                        .features = e->n_feature ? &e->step_feature : NULL,
                        .visual = e->n_feature ? e->step_visual : NULL,
                        .seq = e->step_seq,
                        .n_seq = e->n_part,
                        .out_row = e->out_row,
                        .n_out = e->n_out,
                        .hidden = e->hidden,
                        .logits = wants_logits(e) ? e->logits : NULL,
                        .cancel = e->n_part == 1 ? e->part[0].job->watch->cancel : NULL };
    pthread_mutex_unlock(&e->mu);
    wd_share_begin_turn(e->o.share);
    const double start = wd_clock_s();
    const wd_status st = wd_model_step(e->o.model, &s, &err);
    const double step_s = wd_clock_s() - start;
    wd_share_end_turn(e->o.share);
    pthread_mutex_lock(&e->mu);
    e->stats.n_step++;
    e->stats.n_step_row += e->n_row;
    if (!st)
        wd_local__pace_note(&e->pace, n_reply_row, e->n_row - n_reply_row, step_s);
    for (size_t i = 0; i < e->n_part; i++) {
        if (st)
            wd_local__end(e, e->part[i].job, st, &err);
        else
            deliver(e, &e->part[i], step_s, mixed);
    }
    return true;
}
