/* Shared inside engine/local: a prompt made ready, and the sequence whose keys and values are held. */
#ifndef WD_ENGINE_LOCAL_INNER_H
#define WD_ENGINE_LOCAL_INNER_H

#include "base/digest.h"
#include "engine/local/local.h"
#include "model/heads.h"
#include "text/prompt.h"
#include "vision/patches.h"

/* One image or video of a prompt, ready for the tower. */
typedef struct wd_local_visual {
    wd_visual v;
    wd_digest digest; /* of the resized pixels and their shape: tells equal media apart from equal tokens */
    const double *group_s; /* of a video: [v.grid[0]] */
} wd_local_visual;

/* A prompt, whole: tokens, places of visual tokens, positions. Lives in the request's arena. */
typedef struct wd_local_prompt {
    wd_prompt text;
    const uint32_t *id; /* [n] */
    size_t n;
    int32_t *pos[3], *visual; /* [n] */
    int32_t rope_delta;
    wd_local_visual *image, *video;
    uint32_t n_image, n_video;
    size_t n_visual;
    bool opens_thinking;
} wd_local_prompt;

/* What the cache holds of a place of visual tokens. */
typedef struct wd_local_seen {
    uint32_t first, n;
    wd_digest digest;
} wd_local_seen;

typedef struct wd_local {
    wd_engine engine;
    wd_local_opts o;
    const wd_model_config *cfg;
    uint32_t context;
    uint32_t stop[WD_MAX_STOP_IDS + 2], n_stop;
    wd_kv_pool *pool;
    wd_kv *kv;
    uint32_t *held;      /* [context] tokens in the cache, wd_kv_len() of them */
    wd_local_seen *seen; /* [n_seen] visual places among them */
    size_t n_seen;
    bool bf16;         /* greedy as the reference in bf16: wd_sample_opts.bf16 */
    float *logits;     /* [n_vocab] */
    float *hidden;     /* [n_embd] */
    wd_rerank *rerank; /* made on first use */
} wd_local;

/* Resizes media, encodes the text, computes positions. budget NULL: the processor's. */
WD_MUST_CHECK wd_status wd_local__prepare(wd_local *e, wd_arena *a, const wd_chat_text *text,
                                          const wd_media *image, const wd_pixel_budget *budget,
                                          bool end_anchor, const wd_watch *watch, wd_local_prompt *out,
                                          wd_err *err);

/* The same of tokens that are there already, without media. */
WD_MUST_CHECK wd_status wd_local__prepare_ids(wd_local *e, wd_arena *a, const uint32_t *id, size_t n,
                                              wd_local_prompt *out, wd_err *err);

/* Gets the n rows of logits after tokens first .. first + n - 1 of the prompt; valid during the call. */
typedef wd_status (*wd_local_logits_fn)(void *ctx, size_t first, size_t n, const float *logits, wd_err *err);

/* Brings the cache to hold exactly the prompt, computing what it does not hold yet (at least the last token).
 * Afterwards hidden (when not NULL) has the final-norm state of the last token, logits (when not NULL) its
 * logits. every: called with the logits of all positions (then nothing is taken from the cache). */
WD_MUST_CHECK wd_status wd_local__prefill(wd_local *e, wd_arena *a, const wd_local_prompt *p,
                                          const wd_watch *watch, float *hidden, float *logits,
                                          wd_local_logits_fn every, void *ctx, size_t *n_cached,
                                          wd_timings *t, wd_err *err);

/* Prompt look-up during one generation; starts as {0}. */
#define WD_LOCAL_LOOKUP 15 /* tokens of a guess at most */
typedef struct wd_local_lookup {
    uint32_t id[WD_LOCAL_LOOKUP + 1]; /* the token of the latest pass, then what was guessed to follow */
    size_t n, used;                   /* guesses in the cache; those of them that came */
    float *logits;                    /* [n + 1][n_vocab] of that pass, when something was guessed */
    size_t most, wait, pause;   /* tokens of the next guess; tokens until it; the pause that runs or ran */
    double one_s, pass_s, gain; /* a pass of one row; the latest of several; tokens for their time */
    size_t n_guess, n_right;    /* in all */
} wd_local_lookup;

/* Token id comes next; *logits [n_vocab] are those of the one after, valid until the next call. At most `left` tokens
 * are guessed. On failure the cache is as it was but for guesses. */
WD_MUST_CHECK wd_status wd_local__next(wd_local *e, wd_local_lookup *l, uint32_t id, size_t left,
                                       const wd_watch *watch, const float **logits, wd_err *err);
/* Frees it and forgets guesses that did not come; the counts stay. */
void wd_local__lookup_end(wd_local *e, wd_local_lookup *l);

/* Forgets what the cache holds. */
void wd_local__forget(wd_local *e);

wd_status wd_local__generate(void *self, wd_arena *a, const wd_generate *rq, wd_generated *out, wd_err *err);
wd_status wd_local__embed(void *self, wd_arena *a, const wd_embed *rq, const float **out, uint32_t *dim,
                          size_t *n_token, wd_err *err);
wd_status wd_local__rerank(void *self, wd_arena *a, const wd_rerank_pair *rq, double *score, size_t *n_token,
                           wd_err *err);

#endif
