/* Shared inside engine/local: a prompt made ready, calls as jobs, and what is cached between them. */
#ifndef WD_ENGINE_LOCAL_INNER_H
#define WD_ENGINE_LOCAL_INNER_H

#include <pthread.h>

#include "base/digest.h"
#include "engine/local/constrain.h"
#include "engine/local/local.h"
#include "engine/local/pace.h"
#include "model/heads.h"
#include "text/prompt.h"
#include "vision/patches.h"

typedef struct wd_local wd_local;

/* ---- prompts (prepare.c) ---- */

/* One image or video of a prompt. A video's frames are ready for the tower; an image's pixels are made shortly before they
 * are wanted there, and go afterwards. */
typedef struct wd_local_visual {
    wd_visual v;
    const wd_image *image; /* the caller's; NULL: a video */
    wd_digest
        digest; /* of the image, or the resized frames, and the grid: tells equal media apart from equal tokens */
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

/* Resizes the first images and all videos, encodes the text, computes positions. Images are borrowed as long as the prompt
 * lives. budget NULL: the processor's. */
WD_MUST_CHECK wd_status wd_local__prepare(wd_local *e, wd_arena *a, const wd_chat_text *text,
                                          const wd_media *image, const wd_pixel_budget *budget,
                                          bool end_anchor, const wd_watch *watch, wd_local_prompt *out,
                                          wd_err *err);

/* The same of tokens that are there already, without media. */
WD_MUST_CHECK wd_status wd_local__prepare_ids(wd_local *e, wd_arena *a, const uint32_t *id, size_t n,
                                              wd_local_prompt *out, wd_err *err);

/* Image i's pixels, if they are not there. One thread at a time for each image. */
WD_MUST_CHECK wd_status wd_local__resize(const wd_local_prompt *p, uint32_t i, wd_err *err);

/* ---- what is cached ---- */

/* What stands at a place of a sequence: a token, or a row of what an image looks like. Equal keys before and at a place
 * mean equal keys and values in the KV cache. */
typedef struct wd_local_key {
    uint64_t a, b;
} wd_local_key;

/* A page's worth of tokens that some sequence began with, after those of its parents (prefix.c). */
typedef struct wd_local_node wd_local_node;

/* Features of one image, or of one group of a video (see.c). */
typedef struct wd_local_feature {
    struct wd_local_feature *older, *newer;
    uint64_t tenant;
    wd_digest key;
    wd_features f;
    size_t bytes;
    uint32_t n_use; /* jobs that hold it */
} wd_local_feature;

typedef struct wd_local_tenant {
    struct wd_local_tenant *next;
    uint64_t id;
    double served, weight; /* tokens over weight, from a common start; weight: of the latest call */
    uint32_t n_job;        /* under way */
    wd_local_node *child;  /* sequences' first pages */
} wd_local_tenant;

/* ---- jobs (sched.c) ---- */

typedef enum wd_local_want { WD_LOCAL_HIDDEN, WD_LOCAL_LOGITS, WD_LOCAL_EVERY } wd_local_want;
typedef enum wd_local_state { WD_LOCAL_QUEUED, WD_LOCAL_RUNNING, WD_LOCAL_ENDED } wd_local_state;

#define WD_LOCAL_LOOKUP 15     /* tokens of a guess at most */
#define WD_LOCAL_LOOKUP_SEQS 4 /* sequences in a step at most, for guesses to be worth it */
#define WD_LOCAL_EVERY_ROWS 32 /* positions whose logits are held at once when all are wanted */

/* A call while its tokens are computed. Tokens [0, n_known) are the prompt, the reply so far, and n_guess guesses of how
 * it goes on; the KV cache holds the first n_done of them. */
typedef struct wd_local_job {
    /* set before it is queued, the caller's memory */
    const wd_local_prompt *prompt;
    const wd_terms *terms;
    const wd_watch *watch;
    wd_local_want want;
    uint32_t *id;            /* [cap] */
    wd_local_key *key;       /* [prompt->n] */
    wd_local_feature **seen; /* [prompt->text.n_place] held features, or NULL */
    size_t cap;
    float *
        own; /* [1 + WD_LOCAL_LOOKUP][n_vocab] results that came while the caller was away; NULL: it never is */

    /* under mu */
    struct wd_local_job *next, *prev;
    wd_local_state state;
    wd_local_tenant *tenant;
    uint64_t arrival, deferred; /* deferred: in that turn it waits for what another is computing */
    wd_kv *kv;                  /* running */
    size_t n_known, n_done, n_guess;
    size_t n_told;      /* EVERY: rows whose logits were handed out */
    size_t n_published; /* whole pages in the prefix cache */
    size_t n_cached;
    bool admitted; /* once at least */
    bool blind;    /* misses features for its next tokens */
    bool waiting;  /* the caller takes results at once */
    bool ready;    /* results are there */
    bool due;      /* ready, and the next step waits for the caller */
    pthread_cond_t wake;
    wd_status status; /* ENDED: why */
    wd_err err;

    /* results, while ready */
    const float *row;        /* [n_row][n_vocab], or of HIDDEN [n_embd] */
    size_t n_row, first_row; /* first_row: index of the token that the first row belongs to */
    size_t n_sure;    /* tokens that are no guesses: n_row - 1 guesses follow them in id, unless EVERY */
    double step_s;    /* how long the step took */
    size_t step_seqs; /* sequences in it */
    bool step_mixed;  /* it had more than one token of each and guesses */

    /* for reports */
    size_t n_see, n_saw; /* visual tokens to be seen, and seen */
    size_t told_saw, told_done, from;
    double queued_at, admitted_at, vision_s;
} wd_local_job;

/* One sequence's rows in the step being built. */
typedef struct wd_local_part {
    wd_local_job *job;
    size_t n, first_out, n_out,
        first_index; /* first_index: of the token that the first wanted row belongs to */
} wd_local_part;

struct wd_local {
    wd_engine engine;
    wd_local_opts o;
    const wd_model_config *cfg;
    uint32_t context;
    uint32_t stop[WD_MAX_STOP_IDS + 2], n_stop;
    bool bf16;                     /* greedy as the reference in bf16: wd_sample_opts.bf16 */
    wd_rerank *rerank;             /* NULL: no reranker */
    _Atomic(wd_lexicon *) lexicon; /* made on first use, by anybody */
    size_t page_len, page_bytes, max_pages, capacity; /* capacity: tokens of one sequence at most */
    uint32_t max_seqs, max_out, look_tokens;

    pthread_mutex_t mu;
    pthread_cond_t turned; /* a turn is over, or rests; nobody is due any more */
    /* under mu */
    bool leading; /* somebody takes a turn */
    bool
        resting; /* the turn is the tower's, between two layers: others that leave need not wait for its end */
    const wd_local_job *looked_at; /* whose images are in the tower */
    wd_local_job *heir; /* whose caller leads next, if it waits: its images are next; NULL: anybody */
    uint32_t n_due;     /* callers that a turn waits for */
    wd_local_job *job;  /* all, oldest first */
    uint32_t n_job, n_running;
    uint64_t n_arrival, n_turn;
    wd_engine_stats stats;

    /* of whoever leads, or holds mu while nobody leads */
    wd_kv_pool *pool;
    wd_local_tenant *tenant;
    wd_local_node *oldest, *newest, *free_node;
    size_t prefix_bytes, prefix_max;
    wd_local_feature *old_feature, *new_feature;
    size_t image_bytes, image_max;
    bool saw; /* the latest turn was the tower's */
    wd_local_pace pace;

    /* the step being built, [max_rows] and [max_out] */
    uint32_t *step_id, *out_row;
    int32_t *step_pos[3], *step_visual;
    wd_step_seq *step_seq; /* [max_seqs] */
    wd_local_part *part;   /* [max_seqs] */
    size_t n_part, n_row, n_out, n_feature;
    wd_features step_feature; /* [max_rows] rows, made on first use */
    float *logits;            /* [max_out][n_vocab] */
    float *hidden;            /* [max_out][n_embd] */
};

/* Makes a job of a prompt: memory for `room` more tokens, in the arena. */
WD_MUST_CHECK wd_status wd_local__job(wd_local *e, wd_arena *a, const wd_local_prompt *p, size_t room,
                                      wd_local_want want, const wd_terms *terms, const wd_watch *watch,
                                      wd_local_job *out, wd_err *err);
/* Queues it. Then wd_local__leave, in any case. */
WD_MUST_CHECK wd_status wd_local__enter(wd_local *e, wd_local_job *j, wd_err *err);
/* Until its results are there: j->row and what stands beside it, valid until wd_local__go_on or wd_local__leave. Takes
 * turns for all meanwhile. Reports progress. */
WD_MUST_CHECK wd_status wd_local__wait(wd_local *e, wd_local_job *j, wd_err *err);
/* Results are used: the first n_right guesses were right, the others are forgotten. j->id has n more tokens after those,
 * the last n_guess of them guessed. back: the caller waits next, with nothing slow before. */
void wd_local__go_on(wd_local *e, wd_local_job *j, size_t n_right, size_t n, size_t n_guess, bool back);
/* Gives everything back; what was computed stays in the prefix cache. Accepts a job that has left, or never entered. */
void wd_local__leave(wd_local *e, wd_local_job *j, size_t n_right);

/* ---- turns; all with mu held and nobody else leading ---- */

/* Some work for all, the model's part without mu. false: there was none. */
bool wd_local__turn(wd_local *e, const wd_local_job *self);
void wd_local__end(wd_local *e, wd_local_job *j, wd_status st, const wd_err *why);
/* Back into the queue, its pages to the prefix cache. */
void wd_local__preempt(wd_local *e, wd_local_job *j);
void wd_local__wake(wd_local_job *j);
bool wd_local__runnable(const wd_local_job *j);                      /* something to compute */
bool wd_local__before(const wd_local_job *a, const wd_local_job *b); /* a's work goes before b's */
/* One step over what can run, or over replies alone (step.c). false: nothing can. */
bool wd_local__step(wd_local *e, bool replies_only);
/* With mu held, in a turn of the tower between two of its layers: a step for those whose replies wait for it. false: there are
 * none, or their callers have not come back. */
bool wd_local__step_between(wd_local *e);

/* Features of one job's images (see.c). */
bool wd_local__has_to_see(wd_local *e, wd_local_job *j);
void wd_local__see(wd_local *e, wd_local_job *j, const wd_local_job *self);
void wd_local__unsee(wd_local *e, wd_local_job *j); /* lets them go */
void wd_local__forget_features(wd_local *e);
wd_digest wd_local__place_key(const wd_local_prompt *p, const wd_prompt_place *place);

/* The prefix cache (prefix.c). */
wd_local_key wd_local__key(const wd_local_job *j, size_t i);
wd_local_tenant *wd_local__tenant(wd_local *e, uint64_t id); /* NULL: no memory */
void wd_local__drop_tenant(wd_local *e, wd_local_tenant *t); /* if nothing needs it */
/* Tokens of j, at most `most`, that are cached for its tenant. */
size_t wd_local__match(const wd_local *e, const wd_local_job *j, size_t most);
WD_MUST_CHECK wd_status wd_local__attach(wd_local *e, wd_local_job *j, size_t n, wd_err *err);
void wd_local__publish(wd_local *e, wd_local_job *j, size_t n); /* the first n tokens of j */
bool wd_local__evict_page(wd_local *e);                         /* one that nobody else uses */
void wd_local__forget_prefixes(wd_local *e);

/* ---- prompt look-up during one generation (lookup.c); starts as {0} ---- */

typedef struct wd_local_lookup {
    size_t most, wait, pause; /* tokens of the next guess; tokens until it; the pause that runs or ran */
    size_t n_seq;             /* of the steps that one_s is of */
    double one_s, gain;       /* a pass without guesses; tokens for their time */
    size_t n_guess, n_right;  /* in all */
    bool known; /* the latest were no guesses but what a constraint says: they tell nothing of look-up */
} wd_local_lookup;

/* Tokens that may go into the next pass behind the first n of a sequence, `left` at most. 0: look-up is off. */
size_t wd_local__room(const wd_local *e, size_t n, size_t left);
/* The results of j showed n_right of its guesses right. */
void wd_local__judge(wd_local_lookup *l, const wd_local_job *j, size_t n_right);
/* Writes up to `left` guesses behind the first n of j->id. */
size_t wd_local__guess(const wd_local *e, wd_local_lookup *l, const wd_local_job *j, size_t n, size_t left);

wd_status wd_local__generate(void *self, wd_arena *a, const wd_generate *rq, wd_generated *out, wd_err *err);
wd_status wd_local__embed(void *self, wd_arena *a, const wd_embed *rq, const float **out, uint32_t *dim,
                          size_t *n_token, wd_err *err);
wd_status wd_local__rerank(void *self, wd_arena *a, const wd_rerank_pair *rq, double *score, size_t *n_token,
                           wd_err *err);

#endif
