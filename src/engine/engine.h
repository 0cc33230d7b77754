/* The port between Ward's workflows and whatever runs the model: the engine in this process (engine/local), a
 * scripted one in tests, later a remote server. Those above it know this header and nothing of models.
 *
 * Calls block and report through callbacks on the caller's thread. A call is cancelled through its flag and ends
 * within one step of the model. At temperature 0 the tokens of a request depend on that request alone.
 *
 * Threads: generate, embed, rerank and stats may be called from many threads at once, each with its own arena; what they
 * do is run together where the engine can. A callback that takes long holds up its own call only.
 */
#ifndef WD_ENGINE_ENGINE_H
#define WD_ENGINE_ENGINE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/image.h"
#include "text/chat.h"
#include "text/parse.h"
#include "text/sample.h"
#include "text/schema/constraint.h"

/* A video that can be asked for frames: what media/video.h found out, without its types. */
typedef struct wd_video_source {
    uint64_t n_frame;
    double fps; /* 0: unknown */
    uint32_t width, height;
    /* Delivers the frames index[0 .. n), not decreasing, in order. A failing on_frame ends it. */
    wd_status (*frames)(void *self, const uint64_t *index, uint32_t n,
                        wd_status (*on_frame)(void *ctx, uint32_t i, const wd_image *frame, wd_err *err),
                        void *ctx, wd_err *err);
    void *self;
} wd_video_source;

/* The images and videos of a prompt, each kind in order of appearance. Borrowed during the call. */
typedef struct wd_media {
    const wd_image *image;
    uint32_t n_image;
    const wd_video_source *video;
    uint32_t n_video;
} wd_media;

typedef enum wd_stage { WD_STAGE_PREPROCESS, WD_STAGE_VISION, WD_STAGE_PREFILL, WD_STAGE_DECODE } wd_stage;

typedef struct wd_token_logprob {
    float logprob;
    uint32_t n_top;
    const wd_logprob *top; /* [n_top], most likely first */
} wd_token_logprob;

#define WD_TOKEN_UNKNOWN UINT32_MAX

/* How a call is followed and stopped. {0} is fine. */
typedef struct wd_watch {
    const atomic_bool *cancel;
    /* units: images and frames, visual tokens, prompt tokens, tokens; total 0: unknown */
    void (*progress)(void *self, wd_stage stage, uint64_t done, uint64_t total);
    /* Pieces of the reply as they are known (text/parse.h). A status other than WD_OK ends the call. */
    wd_status (*event)(void *self, const wd_parse_event *ev, wd_err *err);
    /* Each token of the reply, before the pieces that it completes; lp NULL unless logprobs were asked for. An engine that
     * does not know tokens calls it with WD_TOKEN_UNKNOWN before each piece. */
    void (*token)(void *self, uint32_t id, const wd_token_logprob *lp);
    void *self;
} wd_watch;

/* For whom a call is made, and how soon it is wanted. {0} is fine. */
typedef struct wd_terms {
    uint64_t tenant;  /* tenants never share what is cached, and get like amounts of work while both wait */
    float weight;     /* of the tenant: its share of the work beside others'; 0: 1 */
    int32_t priority; /* a higher one goes first, whatever the tenant */
    uint64_t deadline_ns; /* of wd_clock_ns(): then the call ends with WD_E_DEADLINE; 0: none */
} wd_terms;

typedef struct wd_generate {
    wd_chat chat; /* kind: the engine's own is used */
    wd_media media;
    /* Tokens to be continued in the place of chat and media, NULL: none. The reply is all content then. */
    const uint32_t *prompt; /* [n_prompt] */
    size_t n_prompt;
    /* What the reply's content must satisfy, NULL: anything. Reasoning before it is free; a reply cut off by max_tokens is
     * the beginning of one that satisfies it. Tool calls do not come then, and not with ignore_stop_ids. */
    const wd_constraint *constraint;
    /* What a call of a tool must be, {"name": ..., "arguments": ...}; NULL: anything. It holds for what stands between
     * "<tool_call>" and its end; what stands around calls is free, or with must_call there is nothing but calls, one at
     * least. one_call: the reply ends with the first. Events tell of calls while they grow then. Only where the engine
     * holds_calls, and not beside a constraint. */
    const wd_constraint *call;
    bool must_call, one_call;
    wd_sample_opts sample; /* bf16 is the engine's to say */
    uint32_t max_tokens;   /* of the reply, 0: what is left of the context */
    const wd_span *stop;   /* [n_stop] stop strings */
    size_t n_stop;
    bool ignore_stop_ids; /* go on after an end token: benchmarks */
    bool logprobs;        /* of the reply's tokens, with n_top alternatives */
    bool prompt_logprobs; /* of the prompt's tokens from the second on, likewise */
    uint32_t n_top;       /* 0 .. WD_SAMPLE_TOP_MAX */
    wd_terms terms;
    wd_watch watch;
} wd_generate;

typedef enum wd_finish { WD_FINISH_STOP, WD_FINISH_LENGTH, WD_FINISH_TOOL_CALLS } wd_finish;
const char *wd_finish_name(wd_finish f); /* "stop", "length", "tool_calls" */

/* queue_s: until the first of its work began, at began_s of wd_clock_s() (0: not known); prefill_s and decode_s also have
 * what was done for others meanwhile. */
typedef struct wd_timings {
    double preprocess_s, queue_s, began_s, vision_s, prefill_s, decode_s;
} wd_timings;

/* Lives in the arena that was given, but for `reply`, which the caller frees (wd_parsed_free). */
typedef struct wd_generated {
    const uint32_t *prompt_id; /* [n_prompt]; NULL: the engine knows their number alone */
    size_t n_prompt, n_cached; /* n_cached: taken from the cache, not computed again */
    size_t n_visual;           /* of n_prompt, tokens that stand for images and videos */
    const uint32_t
        *id; /* [n_id] the reply's tokens; an end token, if one came, is the last; or NULL, likewise */
    size_t n_id;
    size_t n_guess, n_guess_right;   /* tokens looked up ahead of their pass, and those of them that came */
    const wd_token_logprob *logprob; /* [n_id] or NULL */
    const wd_token_logprob *prompt_logprob; /* [n_prompt], [0] empty; or NULL */
    wd_parsed reply;
    wd_finish finish;
    wd_timings timings;
} wd_generated;

/* One text with images and videos, to be embedded or ranked: {parts} in any order (text/chat.h). */
typedef struct wd_item {
    wd_chat_item parts;
    wd_media media;
} wd_item;

typedef struct wd_embed {
    wd_item item;
    wd_span instruction; /* empty: the model's default */
    uint32_t dim;        /* first so many values, scaled to length 1; 0: all */
    wd_terms terms;
    wd_watch watch;
} wd_embed;

typedef struct wd_rerank_pair {
    wd_item query, document;
    wd_span instruction; /* empty: the model's default */
    wd_terms terms;
    wd_watch watch;
} wd_rerank_pair;

#define WD_TOP_K_UNKNOWN INT32_MIN

typedef struct wd_engine_info {
    const char *name;         /* "qwen3_vl on cpu/avx512bf16" */
    const char *chat_kind;    /* text/chat.h; NULL: not known */
    bool sees;                /* takes images and videos */
    bool holds_calls;         /* of wd_generate: call, must_call, one_call */
    uint32_t n_embd, context; /* 0: not known */
    /* What the model's publisher recommends (generation_config.json). Where the engine alone knows it, temperature, top_p
     * and repetition_penalty are NAN and top_k is WD_TOP_K_UNKNOWN, and stand for it in a request. */
    wd_sample_opts sample;
} wd_engine_info;

/* What an engine did since it was made, and does now. */
typedef struct wd_engine_stats {
    uint32_t n_running, n_waiting;    /* calls whose work goes on; calls that wait for room */
    size_t kv_bytes, kv_max_bytes;    /* of running calls and of the prefix cache; 0: no limit */
    size_t prefix_bytes, image_bytes; /* cached */
    size_t prefix_max_bytes, image_max_bytes;
    uint32_t max_seqs;                    /* calls computed together at most; 0: not known */
    uint64_t n_prompt, n_cached, n_reply; /* tokens; n_cached: of n_prompt, not computed again */
    uint64_t n_image, n_image_cached;     /* images and frames; those whose features were there */
    uint64_t n_step_between;              /* of n_step, taken between two layers of the vision tower */
    uint64_t n_step, n_step_row,
        n_preempted; /* steps, tokens computed in them; calls that gave up their room */
} wd_engine_stats;

typedef struct wd_engine wd_engine;
struct wd_engine {
    void *self;
    wd_engine_info info;
    /* *out is untouched on failure.
     *   WD_E_LIMIT       the prompt does not fit into the context
     *   WD_E_CANCELLED   *cancel became true
     *   WD_E_BUSY        too many calls wait already
     *   WD_E_DEADLINE    the deadline of its terms passed
     *   WD_E_UNSUPPORTED media for a model that takes none */
    wd_status (*generate)(void *self, wd_arena *a, const wd_generate *rq, wd_generated *out, wd_err *err);
    /* *out [*dim] in the arena. */
    wd_status (*embed)(void *self, wd_arena *a, const wd_embed *rq, const float **out, uint32_t *dim,
                       size_t *n_token, wd_err *err);
    /* *score 0 .. 1. Pairs that share their query are cheap one after another. */
    wd_status (*rerank)(void *self, wd_arena *a, const wd_rerank_pair *rq, double *score, size_t *n_token,
                        wd_err *err);
    void (*stats)(void *self, wd_engine_stats *out); /* NULL: not known */
    void (*destroy)(void *self);                     /* no call is under way any more */
};

void wd_engine_destroy(wd_engine *e); /* accepts NULL */

#endif
