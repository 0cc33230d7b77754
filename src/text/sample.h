/* From logits to the next token.
 *
 * Order: bias, then repetition, frequency and presence penalties, then temperature, top-k, top-p, min-p, one
 * draw. This is the order of transformers' processors (and vLLM's). Sums and exponentials are in double;
 * equal logits are ordered by id, lowest first, so that the same seed gives the same tokens everywhere.
 * Nothing is allocated after creation, and selection is linear in the vocabulary.
 */
#ifndef WD_TEXT_SAMPLE_H
#define WD_TEXT_SAMPLE_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define WD_SAMPLE_TOP_MAX 64 /* alternatives with log-probabilities */

typedef struct wd_logit_bias {
    uint32_t id;
    float bias; /* -100 .. 100 as in the OpenAI API; added to the raw logit */
} wd_logit_bias;

typedef struct wd_sample_opts {
    float temperature; /* 0: greedy (then top_k, top_p, min_p and the seed do nothing)        default 1 */
    int32_t top_k;     /* keep the k most likely; 0: all                                      default 0 */
    float top_p;       /* keep the smallest set with at least this probability; 1: all        default 1 */
    float min_p;       /* keep those with min_p times the best's probability or more; 0: all  default 0 */
    float repetition_penalty; /* > 0: divides positive, multiplies negative logits of prompt and reply
                                 default 1 */
    float
        frequency_penalty; /* times the count in the reply, subtracted                            default 0 */
    float
        presence_penalty; /* subtracted once from every id in the reply                          default 0 */
    const wd_logit_bias *bias; /* [n_bias]; copied at creation */
    uint32_t n_bias;
    uint64_t seed; /* see wd_rand_os_seed for requests that name none */
    bool
        bf16; /* temperature 0: raw logits count as bf16 holds them, so that near ones are equal ones and the lowest id
                  comes, as in the reference, whose logits of a bf16 model are bf16              default false */
} wd_sample_opts;
#define WD_SAMPLE_OPTS_DEFAULT ((wd_sample_opts){ .temperature = 1, .top_p = 1, .repetition_penalty = 1 })

/* Log-probabilities under the model itself: log-softmax of the raw logits, before bias, penalties,
 * temperature and filters, so that they mean the same whatever the sampling options are. */
typedef struct wd_logprob {
    uint32_t id;
    float logprob;
} wd_logprob;

typedef struct wd_sampled {
    uint32_t id;
    float logprob;                     /* of id; 0 when log-probabilities were not asked for */
    uint32_t rank;                     /* 1: the most likely under the raw logits; 0 when not asked for */
    uint32_t n_top;                    /* filled below: min(asked for, n_vocab) */
    wd_logprob top[WD_SAMPLE_TOP_MAX]; /* most likely first, ties lowest id first */
} wd_sampled;

typedef struct wd_sampler wd_sampler;

/* n_vocab: logits per call. Values out of range are WD_E_USAGE naming the option ("top_p is 1.5, expected 0
 * to 1"). */
WD_MUST_CHECK wd_status wd_sampler_create(uint32_t n_vocab, const wd_sample_opts *opts, wd_sampler **out,
                                          wd_err *err);
void wd_sampler_destroy(wd_sampler *s); /* accepts NULL */

/* Tokens already there: the prompt (counted by the repetition penalty only) ... */
void wd_sampler_add_prompt(wd_sampler *s, const uint32_t *id, size_t n);
/* ... and the reply. wd_sampler_next does this itself for the token it returns. Ids out of range are ignored.
 */
void wd_sampler_add_reply(wd_sampler *s, uint32_t id);

/* The next token. logits [n_vocab] are read only. mask (may be NULL): bit i % 64 of word i / 64 set means
 * that token i may come; [(n_vocab + 63) / 64]. n_top 0..WD_SAMPLE_TOP_MAX alternatives; want_logprob fills
 * logprob and rank. -inf means impossible.
 *
 *   WD_E_INVALID   a logit is NaN or +inf (the sentence names the first such token), or no token is possible
 */
WD_MUST_CHECK wd_status wd_sampler_next(wd_sampler *s, const float *logits, const uint64_t *mask,
                                        bool want_logprob, uint32_t n_top, wd_sampled *out, wd_err *err);

/* The distribution that wd_sampler_next would draw from: prob [n_vocab], sums to 1. For tests and analysis.
 */
WD_MUST_CHECK wd_status wd_sampler_probs(wd_sampler *s, const float *logits, const uint64_t *mask,
                                         double *prob, wd_err *err);

/* Log-probability of one given token and the n_top best, e.g. for each position of a prompt. Touches no
 * sampler state. */
WD_MUST_CHECK wd_status wd_logprobs(const float *logits, uint32_t n_vocab, uint32_t id, uint32_t n_top,
                                    wd_sampled *out, wd_err *err);

#endif
