/* Sampling.
 *
 * Every filter keeps a beginning of one order: by adjusted logit, highest first, equal ones by id. Floats are mapped to
 * integers that sort alike, and a cut is found by three counting passes over them from the high bits down (a radix
 * selection), by number for top-k, by probability for top-p. Nothing is ever sorted; candidates stay in id order, in
 * which the draw walks.
 *
 * The vocabulary is looked at whole only once, for the maximum of each block of 64: it gives the best token, and for
 * top-k a floor below which nothing can be among the k, so that few blocks are looked into. */
#include "text/sample.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rand.h"

#define BINS 2048
#define BLOCK 64   /* tokens of a mask word */
#define FLOOR_K 64 /* largest top-k with a floor */

struct wd_sampler {
    wd_sample_opts o;
    wd_logit_bias *bias; /* [o.n_bias] */
    uint32_t n_vocab;
    wd_rand rand;

    uint32_t *count;   /* [n_vocab] times in the reply */
    bool *seen;        /* [n_vocab] in the prompt or the reply */
    uint32_t *touched; /* [n_touched] ids with seen */
    uint32_t n_touched;

    float *w;       /* [n_vocab] adjusted logits */
    uint32_t *cand; /* [n_cand] ids that are left, ascending */
    double *p;      /* [n_cand] their weights, 1 for the best */
    float *block;   /* [n_block] highest adjusted logit of the tokens that are possible, -inf for none */
    uint32_t n_block;
    uint32_t n_cand;
    double bin[BINS];
};

/* --- creation ---------------------------------------------------------------------------------------------- */

static wd_status check_range(const char *name, double v, double min, double max, wd_err *err)
{
    if (v >= min && v <= max)
        return WD_OK;
    return WD_FAIL(err, WD_E_USAGE, "%s is %g, expected %g to %g", name, v, min, max);
}

static wd_status check_opts(const wd_sample_opts *o, uint32_t n_vocab, wd_err *err)
{
    WD_TRY(check_range("temperature", o->temperature, 0, 100, err));
    WD_TRY(check_range("top_k", o->top_k, 0, INT32_MAX, err));
    WD_TRY(check_range("top_p", o->top_p, 0, 1, err));
    WD_TRY(check_range("min_p", o->min_p, 0, 1, err));
    WD_TRY(check_range("repetition_penalty", o->repetition_penalty, 0.01, 100, err));
    WD_TRY(check_range("frequency_penalty", o->frequency_penalty, -100, 100, err));
    WD_TRY(check_range("presence_penalty", o->presence_penalty, -100, 100, err));
    for (uint32_t i = 0; i < o->n_bias; i++) {
        WD_TRY(check_range("logit_bias", o->bias[i].bias, -100, 100, err));
        if (o->bias[i].id >= n_vocab)
            return WD_FAIL(err, WD_E_USAGE, "logit_bias names token %u, expected 0 to %u", o->bias[i].id,
                           n_vocab - 1);
    }
    return WD_OK;
}

wd_status wd_sampler_create(uint32_t n_vocab, const wd_sample_opts *opts, wd_sampler **out, wd_err *err)
{
    *out = NULL;
    if (!n_vocab)
        return WD_FAIL(err, WD_E_USAGE, "sampler: a vocabulary of no tokens");
    WD_TRY(check_opts(opts, n_vocab, err));
    wd_sampler *s = WD_ALLOC(wd_sampler);
    if (s) {
        s->o = *opts;
        s->n_vocab = n_vocab;
        s->bias = WD_ALLOC_N(wd_logit_bias, (size_t)opts->n_bias + 1);
        s->count = WD_ALLOC_N(uint32_t, n_vocab);
        s->seen = WD_ALLOC_N(bool, n_vocab);
        s->touched = WD_ALLOC_N(uint32_t, n_vocab);
        s->w = WD_ALLOC_N(float, n_vocab);
        s->cand = WD_ALLOC_N(uint32_t, n_vocab);
        s->p = WD_ALLOC_N(double, n_vocab);
        s->n_block = (n_vocab - 1) / BLOCK + 1;
        s->block = WD_ALLOC_N(float, s->n_block);
    }
    if (!s || !s->bias || !s->count || !s->seen || !s->touched || !s->w || !s->cand || !s->p || !s->block) {
        wd_sampler_destroy(s);
        return WD_FAIL(err, WD_E_NOMEM, "sampler: no memory for %u tokens", n_vocab);
    }
    if (opts->n_bias)
        memcpy(s->bias, opts->bias, opts->n_bias * sizeof *s->bias);
    s->o.bias = s->bias;
    wd_rand_init(&s->rand, opts->seed);
    *out = s;
    return WD_OK;
}

void wd_sampler_destroy(wd_sampler *s)
{
    if (!s)
        return;
    wd_free(s->bias);
    wd_free(s->count);
    wd_free(s->seen);
    wd_free(s->touched);
    wd_free(s->w);
    wd_free(s->cand);
    wd_free(s->p);
    wd_free(s->block);
    wd_free(s);
}

static void touch(wd_sampler *s, uint32_t id)
{
    if (!s->seen[id]) {
        s->seen[id] = true;
        s->touched[s->n_touched++] = id;
    }
}

void wd_sampler_add_prompt(wd_sampler *s, const uint32_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (id[i] < s->n_vocab)
            touch(s, id[i]);
}

void wd_sampler_add_reply(wd_sampler *s, uint32_t id)
{
    if (id >= s->n_vocab)
        return;
    touch(s, id);
    s->count[id]++;
}

/* --- logits -------------------------------------------------------------------------------------------------- */

static wd_status check_logits(const float *logits, uint32_t n, wd_err *err)
{
    bool good = true;
    for (uint32_t i = 0; i < n; i++)
        good &= logits[i] < INFINITY; /* false for NaN too */
    for (uint32_t i = 0; !good && i < n; i++)
        if (!(logits[i] < INFINITY))
            return WD_FAIL(err, WD_E_INVALID, "the model's logit of token %u is %s", i,
                           isnan(logits[i]) ? "not a number" : "infinite");
    return WD_OK;
}

/* Rounded to nearest even. Not for NaN. */
static float as_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    u = (u + 0x7FFF + (u >> 16 & 1)) & 0xFFFF0000u;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* w: bias, then penalties, in float as the reference does them. */
static void adjust(wd_sampler *s, const float *logits)
{
    memcpy(s->w, logits, s->n_vocab * sizeof *s->w);
    for (uint32_t i = 0; s->o.bf16 && s->o.temperature == 0 && i < s->n_vocab; i++)
        s->w[i] = as_bf16(logits[i]);
    for (uint32_t i = 0; i < s->o.n_bias; i++)
        s->w[s->bias[i].id] += s->bias[i].bias;
    for (uint32_t i = 0; i < s->n_touched; i++) {
        const uint32_t id = s->touched[i];
        float *w = &s->w[id];
        *w = *w < 0 ? *w * s->o.repetition_penalty : *w / s->o.repetition_penalty;
        if (s->count[id])
            *w -= s->o.frequency_penalty * (float)s->count[id] + s->o.presence_penalty;
    }
}

static float max_of(const float *w, uint32_t n)
{
    float lane[8], max = -INFINITY;
    for (uint32_t k = 0; k < 8; k++)
        lane[k] = -INFINITY;
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (uint32_t k = 0; k < 8; k++)
            lane[k] = w[i + k] > lane[k] ? w[i + k] : lane[k];
    for (; i < n; i++)
        max = w[i] > max ? w[i] : max;
    for (uint32_t k = 0; k < 8; k++)
        max = lane[k] > max ? lane[k] : max;
    return max;
}

/* Fills block. w of what the mask excludes becomes -inf. *best: the most likely token. */
static wd_status look_at_blocks(wd_sampler *s, const uint64_t *mask, uint32_t *best, wd_err *err)
{
    float max = -INFINITY;
    uint32_t best_block = 0;
    for (uint32_t b = 0; b < s->n_block; b++) {
        const uint32_t from = b * BLOCK, n = WD_MIN(s->n_vocab - from, BLOCK);
        for (uint32_t i = 0; mask && mask[b] != UINT64_MAX && i < n; i++)
            if (!(mask[b] >> i & 1))
                s->w[from + i] = -INFINITY;
        s->block[b] = mask && mask[b] == 0 ? -INFINITY : max_of(s->w + from, n);
        if (s->block[b] > max) {
            max = s->block[b];
            best_block = b;
        }
    }
    if (max == -INFINITY)
        return WD_FAIL(err, WD_E_INVALID, "no token is possible: all are excluded");
    *best = best_block * BLOCK;
    while (s->w[*best] != max)
        (*best)++;
    return WD_OK;
}

/* No token below this is among the k most likely: the k-th highest of the blocks' maxima. */
static float floor_of_top_k(const wd_sampler *s, uint32_t k)
{
    float top[FLOOR_K];
    uint32_t n = 0;
    if (k == 0 || k > FLOOR_K)
        return -INFINITY;
    for (uint32_t b = 0; b < s->n_block; b++) {
        const float f = s->block[b];
        uint32_t at = n;
        if (n == k && f <= top[k - 1])
            continue;
        if (n < k)
            n++;
        else
            at--;
        for (; at > 0 && f > top[at - 1]; at--)
            top[at] = top[at - 1];
        top[at] = f;
    }
    return n == k ? top[k - 1] : -INFINITY;
}

/* cand: every possible token that is not below the floor. */
static void list_candidates(wd_sampler *s, float floor)
{
    s->n_cand = 0;
    for (uint32_t b = 0; b < s->n_block; b++) {
        if (s->block[b] < floor || s->block[b] == -INFINITY)
            continue;
        const uint32_t end = WD_MIN((b + 1) * BLOCK, s->n_vocab);
        for (uint32_t i = b * BLOCK; i < end; i++)
            if (s->w[i] >= floor && s->w[i] > -INFINITY)
                s->cand[s->n_cand++] = i;
    }
}

/* --- filters ------------------------------------------------------------------------------------------------- */

/* An integer that sorts as the float does; -0 and 0 are one. */
static uint32_t sortable(float f)
{
    uint32_t u;
    f += 0.0f;
    memcpy(&u, &f, sizeof u);
    return u & 0x80000000u ? ~u : u | 0x80000000u;
}

/* Keeps candidates in order until their number, or with by_mass their weight, reaches target (> 0): the last one kept
 * is the one that reaches it. */
static void cut(wd_sampler *s, double target, bool by_mass)
{
    static const struct {
        uint32_t shift, bins;
    } pass[] = { { 21, 2048 }, { 10, 2048 }, { 0, 1024 } };
    uint32_t prefix = 0; /* of the key at which the cut lies */
    double before = 0;   /* what lies above it */
    for (size_t k = 0; k < 3; k++) {
        const uint32_t shift = pass[k].shift, bins = pass[k].bins;
        memset(s->bin, 0, bins * sizeof *s->bin);
        for (uint32_t i = 0; i < s->n_cand; i++) {
            const uint32_t key = sortable(s->w[s->cand[i]]);
            if (k == 0 || key >> pass[k - 1].shift == prefix)
                s->bin[key >> shift & (bins - 1)] += by_mass ? s->p[i] : 1;
        }
        uint32_t b = bins - 1, chosen = 0;
        for (;; b--) {
            if (s->bin[b] > 0)
                chosen = b;
            if (b == 0 || before + s->bin[b] >= target)
                break;
            before += s->bin[b];
        }
        if (b == 0 && before + s->bin[0] < target && chosen != 0)
            before -=
                s->bin[b = chosen]; /* rounding kept the whole just below the target: cut at its last one */
        prefix = prefix << (k == 2 ? 10 : 11) | b;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_cand; i++) {
        const uint32_t key = sortable(s->w[s->cand[i]]);
        if (key < prefix || (key == prefix && before >= target))
            continue;
        if (key == prefix)
            before += by_mass ? s->p[i] : 1;
        s->cand[n] = s->cand[i];
        s->p[n++] = s->p[i];
    }
    s->n_cand = n;
}

/* p of every candidate, relative to the best; returns their sum. */
static double weigh(wd_sampler *s, float best)
{
    double sum = 0;
    for (uint32_t i = 0; i < s->n_cand; i++) {
        s->p[i] = exp(((double)s->w[s->cand[i]] - best) / s->o.temperature);
        sum += s->p[i];
    }
    return sum;
}

/* Leaves in cand and p what may be drawn; *sum is the weight of it. */
static wd_status prepare(wd_sampler *s, const float *logits, const uint64_t *mask, double *sum, wd_err *err)
{
    WD_TRY(check_logits(logits, s->n_vocab, err));
    adjust(s, logits);
    uint32_t best = 0;
    WD_TRY(look_at_blocks(s, mask, &best, err));
    if (s->o.temperature == 0) {
        s->cand[0] = best;
        s->p[0] = *sum = 1;
        s->n_cand = 1;
        return WD_OK;
    }
    list_candidates(s, floor_of_top_k(s, (uint32_t)s->o.top_k));
    if (s->o.top_k && (uint32_t)s->o.top_k < s->n_cand)
        cut(s, s->o.top_k, false);
    const double all = weigh(s, s->w[best]);
    if (s->o.top_p < 1)
        cut(s, fmax(s->o.top_p * all, DBL_MIN), true);
    uint32_t n = 0;
    *sum = 0;
    for (uint32_t i = 0; i < s->n_cand; i++) {
        if (s->p[i] < s->o.min_p)
            continue;
        s->cand[n] = s->cand[i];
        s->p[n] = s->p[i];
        *sum += s->p[n++];
    }
    s->n_cand = n;
    return WD_OK;
}

/* --- log-probabilities ----------------------------------------------------------------------------------------- */

static void put_top(wd_sampled *out, uint32_t max, uint32_t id, float logit)
{
    uint32_t at = out->n_top;
    if (at == max && !(max && logit > out->top[max - 1].logprob))
        return; /* equal ones came with a lower id */
    if (at == max)
        at--;
    else
        out->n_top++;
    for (; at > 0 && logit > out->top[at - 1].logprob; at--)
        out->top[at] = out->top[at - 1];
    out->top[at] = (wd_logprob){ id, logit };
}

static void fill_logprobs(const float *logits, uint32_t n_vocab, uint32_t id, uint32_t n_top, wd_sampled *out)
{
    const float own = logits[id];
    float max = -INFINITY;
    double sum = 0;
    out->rank = 1;
    out->n_top = 0;
    for (uint32_t i = 0; i < n_vocab; i++) {
        max = logits[i] > max ? logits[i] : max;
        out->rank += logits[i] > own || (logits[i] == own && i < id);
        put_top(out, n_top, i, logits[i]);
    }
    for (uint32_t i = 0; i < n_vocab; i++)
        sum += exp((double)logits[i] - max);
    const double log_sum = max + log(sum);
    out->logprob = (float)(own - log_sum);
    for (uint32_t i = 0; i < out->n_top; i++)
        out->top[i].logprob = (float)(out->top[i].logprob - log_sum);
}

wd_status wd_logprobs(const float *logits, uint32_t n_vocab, uint32_t id, uint32_t n_top, wd_sampled *out,
                      wd_err *err)
{
    if (id >= n_vocab || n_top > WD_SAMPLE_TOP_MAX)
        return WD_FAIL(err, WD_E_USAGE,
                       "log-probabilities of token %u with %u others, expected a token below %u, at most %d",
                       id, n_top, n_vocab, WD_SAMPLE_TOP_MAX);
    WD_TRY(check_logits(logits, n_vocab, err));
    bool possible = false;
    for (uint32_t i = 0; i < n_vocab && !possible; i++)
        possible = logits[i] > -INFINITY;
    if (!possible)
        return WD_FAIL(err, WD_E_INVALID, "the model's logits are -inf from token 0 on");
    out->id = id;
    fill_logprobs(logits, n_vocab, id, n_top, out);
    return WD_OK;
}

/* --- the next token -------------------------------------------------------------------------------------------- */

wd_status wd_sampler_next(wd_sampler *s, const float *logits, const uint64_t *mask, bool want_logprob,
                          uint32_t n_top, wd_sampled *out, wd_err *err)
{
    double sum;
    if (n_top > WD_SAMPLE_TOP_MAX)
        return WD_FAIL(err, WD_E_USAGE, "%u alternatives, expected at most %d", n_top, WD_SAMPLE_TOP_MAX);
    WD_TRY(prepare(s, logits, mask, &sum, err));
    uint32_t at = 0;
    if (s->o.temperature > 0) {
        double left = wd_rand_unit(&s->rand) * sum;
        uint32_t last = 0; /* with a weight: where rounding may leave the walk */
        for (at = 0; at < s->n_cand; at++) {
            last = s->p[at] > 0 ? at : last;
            left -= s->p[at];
            if (left < 0)
                break;
        }
        at = at < s->n_cand ? at : last;
    }
    out->id = s->cand[at];
    out->logprob = 0;
    out->rank = 0;
    out->n_top = 0;
    if (want_logprob || n_top)
        fill_logprobs(logits, s->n_vocab, out->id, n_top, out);
    wd_sampler_add_reply(s, out->id);
    return WD_OK;
}

wd_status wd_sampler_probs(wd_sampler *s, const float *logits, const uint64_t *mask, double *prob,
                           wd_err *err)
{
    double sum;
    WD_TRY(prepare(s, logits, mask, &sum, err));
    memset(prob, 0, s->n_vocab * sizeof *prob);
    for (uint32_t i = 0; i < s->n_cand; i++)
        prob[s->cand[i]] = s->p[i] / sum;
    return WD_OK;
}
