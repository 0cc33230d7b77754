/* Inside serve/: a request on its way through the server.
 *
 *   loop thread   READING ──> refused at once, or answered at once
 *                    │ wd_serve__submit (queue.c)
 *   workers       WAITING ──> prepare ──> items, several at a time ──> finish
 *                    │                        │ wd_serve__stream_* (reply.c)
 *   loop thread   ANSWERED: status and body, or a stream that workers fill while it is read
 *
 * Invariants
 *   1. The connection and the queue hold one reference each; the request is freed with the last.
 *   2. `suspended` is true exactly while libmicrohttpd leaves the connection alone because of us; who sets it to false
 *      resumes it, under mu.
 *   3. After `gone` nobody touches the connection.
 *   4. state, json and arena are written in prepare, by one thread, and only read afterwards, until finish.
 */
#ifndef WD_SERVE_INNER_H
#define WD_SERVE_INNER_H

#include <microhttpd.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "base/json.h"
#include "serve/fault.h"
#include "serve/fetch.h"
#include "serve/field.h"
#include "serve/gate.h"
#include "serve/metrics.h"
#include "serve/models.h"
#include "serve/multipart.h"
#include "serve/serve.h"
#include "store/files.h"

typedef struct wd_req wd_req;

/* What a path does. now: answers on the loop thread, without waiting for anything. Otherwise prepare reads the body and
 * says how many items there are; item runs once for each, on several threads; finish answers when all are done. A
 * failing prepare or item ends the request with its fault. */
typedef enum wd_body_kind { WD_BODY_JSON, WD_BODY_NONE, WD_BODY_FORM } wd_body_kind;

typedef struct wd_route {
    const char *method;
    const char *path; /* "{id}" in it stands for one segment, "{rest}" at its end for all that follows */
    const char *brief;
    void (*now)(wd_req *r);
    wd_status (*prepare)(wd_req *r, wd_fault *f);
    wd_status (*item)(wd_req *r, size_t i, wd_fault *f);
    void (*finish)(wd_req *r);
    void (*release)(void *state); /* frees what state holds outside the arena; NULL: nothing */
    /* The last event of a stream that fails; NULL: an error object, and [DONE]. */
    void (*stream_fault)(wd_req *r, const wd_fault *f, wd_buf *out);
    const wd_field *field; /* [n_field] of the body, for /api/openapi.json */
    size_t n_field;
    const wd_field *query; /* [n_query] of the URL, likewise */
    size_t n_query;
    const char *form; /* likewise: the schema of a form's parts */
    wd_body_kind body;
    bool open;          /* needs no token */
    wd_model_role role; /* whose model it wants where none is named */
    bool secret;   /* the body holds a password: the audit has no digest of it, which could be guessed at */
    bool no_model; /* prepare, item and finish need none: "model" of the body is not looked at */
} wd_route;

extern const wd_route wd_route_chat, wd_route_completions, wd_route_responses, wd_route_response,
    wd_route_response_delete, wd_route_response_input, wd_route_embeddings, wd_route_rerank,
    wd_route_rerank_v2, wd_route_models, wd_route_model, wd_route_tokenize, wd_route_detokenize,
    wd_route_file_create, wd_route_file_list, wd_route_file, wd_route_file_content, wd_route_file_delete,
    wd_route_load, wd_route_unload, wd_route_session, wd_route_session_create, wd_route_session_delete,
    wd_route_health, wd_route_ready, wd_route_metrics, wd_route_openapi, wd_route_version;

/* All of them, in the order of the document. */
extern const wd_route *const wd_serve__routes[];
extern const size_t wd_serve__n_route;

struct wd_req {
    wd_server *server;
    const wd_route *route;
    char id[48];                        /* ours: "req-..." */
    char name[WD_NAME_MAX + 1];         /* what stands for {id} or {rest} */
    char boundary[WD_BOUNDARY_MAX + 1]; /* of a form */
    atomic_uint refs;
    struct MHD_Connection *conn; /* loop thread; others resume it, under mu */
    int fd;                      /* of the connection, for watch.c */
    uint64_t start_ns;           /* its last byte was here */
    uint64_t deadline_ns;

    wd_buf body;        /* loop thread, then prepare */
    wd_visit *visit;    /* loop thread until submitted, then its workers in turn; NULL: none, or ended */
    size_t n_counted;   /* of server->n_body; from prepare on its worker's */
    size_t n_discarded; /* bytes of the body that came, kept or not */
    bool submitted;
    bool begun; /* the record that its work begins is on disk; prepare */

    wd_arena *arena; /* from prepare on */
    json_t *json;
    const char
        *about; /* the model that the record names where there is no `model`; set in prepare, or NULL */
    const wd_served *model; /* held from before prepare until finish is done; NULL: the route needs none */
    size_t n_fetched;       /* bytes that its URLs brought; prepare */
    wd_span input;          /* what the audit has a digest of; {0}: the body */
    uint64_t tenant;        /* of the visit, for the engine; 0: an open server */
    float weight;           /* the tenant's, likewise */
    void *state;
    wd_buf early;     /* an answer that item wrote, while there was a visit */
    char cookie[256]; /* Set-Cookie of the answer, or "": written before it */
    size_t n_item;
    atomic_size_t next_item;

    atomic_bool cancel;
    const char *why; /* of a cancelled one, under mu: "vanished", "slow reader", "deadline", "shutdown" */

    /* queue.c, under the queue's mutex */
    wd_req *queue_next;
    unsigned tickets, holders;
    bool prepared;
    struct wd_queue_share *share; /* of its tenant, while it is queued or visited */

    /* watch.c, under its mutex */
    wd_req *watch_prev, *watch_next;
    bool watched;

    pthread_mutex_t mu; /* all below */
    bool suspended, gone;
    bool answered;  /* status and content type are known */
    bool streaming; /* out goes on growing until ended */
    bool ended;
    bool broken; /* something is missing at the end of out: the stream breaks off there */
    bool failed;
    bool queued_reply; /* loop thread: the answer is with libmicrohttpd */
    int http;
    const char *type;
    wd_buf out;
    size_t out_at; /* of out: read by the connection */
    wd_fault fault;
    size_t n_prompt, n_cached, n_reply; /* for the log */
};

struct wd_queue;
struct wd_queue_share;
struct wd_watcher;

struct wd_server {
    wd_serve_opts o;
    struct MHD_Daemon *daemon;
    uint16_t port;
    wd_metrics *metrics;
    struct wd_constraint_cache *constraints;
    struct wd_queue *queue;
    struct wd_watcher *watcher;
    atomic_bool draining;
    atomic_size_t n_body; /* bytes of all bodies held */
    wd_models *models;    /* the options', or own_models */
    wd_models *own_models;
    wd_files *files, *responses;
    wd_allow *allow;         /* NULL: nothing is fetched */
    pthread_mutex_t loading; /* held while a model is loaded; nothing is waited for under it but the loader */
    bool secure;             /* its pages come over TLS, here or at a proxy */
    bool open;               /* no tokens are asked for: only loopback names are answered */
    sem_t decoders;          /* images decoded at the same time */
};

/* --- reply.c ----------------------------------------------------------------------------------------------- */

void wd_serve__ref(wd_req *r);
void wd_serve__unref(wd_req *r);

/* The whole answer: body is taken over and becomes {0}. Does nothing when it is answered already. */
void wd_serve__answer(wd_req *r, int http, const char *type, wd_buf *body);
void wd_serve__answer_fault(wd_req *r, const wd_fault *f);
/* The first fault of a request counts, and its other items end. */
void wd_serve__fail(wd_req *r, const wd_fault *f);

/* Ends the visit, if it has not ended: an answer may leave only after this. http is what would be answered. */
WD_MUST_CHECK wd_status wd_serve__end_visit(wd_req *r, int http, const char *code, wd_fault *f);

/* Server-sent events. open answers with 200 and is idempotent; put appends one event's bytes, WD_E_CANCELLED once the
 * reader has gone or is too far behind; end closes the stream. Thread-safe. */
void wd_serve__stream_open(wd_req *r);
WD_MUST_CHECK wd_status wd_serve__stream_put(wd_req *r, wd_span bytes);
void wd_serve__stream_end(wd_req *r);
bool wd_serve__is_streaming(wd_req *r);

void wd_serve__cancel(wd_req *r, const char *why);

/* --- server.c ---------------------------------------------------------------------------------------------- */

/* The name of a session's cookie. */
const char *wd_serve__cookie(const wd_server *s);

/* --- queue.c ----------------------------------------------------------------------------------------------- */

WD_MUST_CHECK wd_status wd_queue_create(wd_server *s, struct wd_queue **out, wd_err *err);
void wd_queue_destroy(struct wd_queue *q); /* nothing may be in it; accepts NULL */
/* Before any work, in prepare or after it: the record that it begins is on disk. Idempotent. */
WD_MUST_CHECK wd_status wd_serve__begin_visit(wd_req *r, wd_fault *f);
/* False when too many wait, or the server drains. */
bool wd_serve__submit(wd_req *r);
/* Waits until nothing waits or runs, or for timeout_ms; true when so. */
bool wd_queue_wait_idle(struct wd_queue *q, uint32_t timeout_ms);

/* --- watch.c ----------------------------------------------------------------------------------------------- */

/* Cancels requests whose client has gone, or whose time is over. */
WD_MUST_CHECK wd_status wd_watcher_create(wd_server *s, struct wd_watcher **out, wd_err *err);
void wd_watcher_destroy(struct wd_watcher *w); /* accepts NULL */
void wd_watch_add(wd_req *r);
void wd_watch_remove(wd_req *r);
void wd_watch_cancel_all(struct wd_watcher *w, const char *why);

/* --- the engine -------------------------------------------------------------------------------------------- */

static inline wd_terms wd_serve__terms(const wd_req *r)
{
    return (wd_terms){ .tenant = r->tenant, .weight = r->weight, .deadline_ns = r->deadline_ns };
}

/* --- what routes share (openai/common.c) ------------------------------------------------------------------- */

/* The body as a JSON object in r->json. */
WD_MUST_CHECK wd_status wd_serve__read_body(wd_req *r, wd_fault *f);
/* r->model from "model" of the body: that one, or where none is named the one of the route's role; else 404. */
WD_MUST_CHECK wd_status wd_serve__choose_model(wd_req *r, wd_fault *f);
WD_MUST_CHECK wd_status wd_serve__no_such_model(const char *param, wd_fault *f);
WD_MUST_CHECK wd_status wd_serve__need_tokenizer(const wd_req *r, const char *param, wd_fault *f);

/* Which part of a list the URL asks for. after: the id of the item that the part before ended with; "": from the first. */
typedef struct wd_page {
    size_t limit;
    char after[WD_NAME_MAX + 1];
    bool newest_first;
} wd_page;
/* clang-format off */
#define WD_PAGE_FIELDS(max)                                                                            \
    { "limit", WD_FIELD_INT, 0, false, 1, max, "of a page" },                                          \
    { "order", WD_FIELD_STR, 0, false, 0, 0, "desc, the newest first; or asc" },                       \
    { "after", WD_FIELD_STR, 0, false, 0, 0, "the id of the last item of the page before" }
/* clang-format on */
/* limit: where none is asked for. An id that is longer than any here is nobody's. */
WD_MUST_CHECK wd_status wd_serve__page(wd_req *r, size_t limit, size_t max, wd_page *out, wd_fault *f);

/* --- pictures and videos (openai/media.c) ------------------------------------------------------------------- */

/* What a request shows the model, each kind in order. */
typedef struct wd_shown {
    wd_image *image; /* [max_images] */
    uint32_t n_image;
    wd_video_source *video; /* [max_videos] */
    uint32_t n_video;
    uint64_t pixels; /* that further images may have */
} wd_shown;
WD_MUST_CHECK wd_status wd_serve__shown_init(wd_req *r, wd_shown *s, wd_fault *f);
static inline wd_media wd_shown_media(const wd_shown *s)
{
    return (wd_media){ s->image, s->n_image, s->video, s->n_video };
}

typedef struct wd_parts { /* in the request's arena */
    wd_part *v;
    size_t n, cap;
} wd_parts;
WD_MUST_CHECK wd_status wd_parts_add(wd_req *r, wd_parts *p, wd_part part, wd_fault *f);

/* One thing to be shown: a picture, a DICOM object or a ZIP file of a study, or a video. */
typedef struct wd_show {
    wd_span url;        /* "data:...;base64,...", or of http where the server's list has it; or */
    const char *file;   /* the id of a kept file */
    const char *window; /* of DICOM: media/window.h; several with commas */
    uint32_t n_slice;   /* of DICOM: most slices */
} wd_show;
/* v: a string, or an object with the string `key` or "file_id", and "window" and "slices" of DICOM. The field at fault is appended to
 * param, of `room` bytes. */
WD_MUST_CHECK wd_status wd_serve__read_show(const json_t *v, const char *key, char *param, size_t room,
                                            wd_show *out, wd_fault *f);
/* Decodes it in the sandbox (a video: when the engine asks for its frames) and adds its parts: one picture, or one for each
 * slice and window. All of it lives in the request's arena. */
WD_MUST_CHECK wd_status wd_serve__show(wd_req *r, wd_shown *s, const wd_show *what, const char *param,
                                       wd_parts *out, wd_fault *f);

/* One text with pictures: a string, or {"text": ..., "image": what wd_serve__read_show takes}. pixels: see wd_shown; counts
 * down over all items of a request. */
WD_MUST_CHECK wd_status wd_serve__item(wd_req *r, const json_t *v, const char *param, uint64_t *pixels,
                                       wd_item *out, wd_fault *f);

/* --- kept files and responses (openai/files.c) ------------------------------------------------------------ */

/* One that the caller may use as by that action; else 404. */
WD_MUST_CHECK wd_status wd_serve__find_kept(wd_req *r, wd_files *in, const char *id, const char *action,
                                            const char *param, wd_kept *out, wd_fault *f);
/* Its bytes, until the arena is reset. */
WD_MUST_CHECK wd_status wd_serve__read_kept(wd_req *r, wd_files *in, const char *id, const char *param,
                                            wd_span *out, wd_fault *f);
/* Empty; wiped and freed with the arena. NULL: no memory. */
wd_buf *wd_serve__new_buf(wd_req *r);
/* What wd_files_put or wd_files_room said. */
wd_status wd_serve__not_kept(wd_fault *f, wd_status st, const char *param, const wd_err *err);

/* Messages of the chat API (openai/messages.c). */
typedef struct wd_messages {
    const wd_message *message; /* [n] */
    size_t n;
    wd_shown shown;
} wd_messages;
WD_MUST_CHECK wd_status wd_serve__messages(wd_req *r, const json_t *list, wd_messages *out, wd_fault *f);

/* {"enable_thinking": ..., "add_vision_id": ...} */
WD_MUST_CHECK wd_status wd_serve__template_kwargs(const json_t *o, wd_chat *chat, wd_fault *f);

/* Fields of sampling, those of chat and completions. Not given: NAN, INT64_MIN, NULL. */
typedef struct wd_sampling {
    double temperature, top_p, min_p, presence_penalty, frequency_penalty, repetition_penalty;
    int64_t top_k, seed, n, max_tokens;
    bool ignore_eos, stream;
    const json_t *stop, *logit_bias, *stream_options;
    wd_span model;
} wd_sampling;
extern const wd_sampling wd_sampling_default;
/* Rows of a field table for struct T with the member `s`. */
/* clang-format off */
#define WD_SAMPLING_FIELDS(T, s)                                                                                       \
    { "model", WD_FIELD_STR, offsetof(T, s.model), false, 0, 0, "name of the model; may be left out" },                \
    { "temperature", WD_FIELD_NUM, offsetof(T, s.temperature), false, 0, 2, "0: the most likely token" },              \
    { "top_p", WD_FIELD_NUM, offsetof(T, s.top_p), false, 0, 1, "smallest set of tokens with this probability" },      \
    { "top_k", WD_FIELD_INT, offsetof(T, s.top_k), false, -1, 1 << 24, "most likely tokens; 0 or -1: all" },           \
    { "min_p", WD_FIELD_NUM, offsetof(T, s.min_p), false, 0, 1, "least share of the best token's probability" },       \
    { "presence_penalty", WD_FIELD_NUM, offsetof(T, s.presence_penalty), false, -2, 2, "for tokens of the reply" },    \
    { "frequency_penalty", WD_FIELD_NUM, offsetof(T, s.frequency_penalty), false, -2, 2, "times their count" },        \
    { "repetition_penalty", WD_FIELD_NUM, offsetof(T, s.repetition_penalty), false, 0.01, 100, "1: none" },            \
    { "seed", WD_FIELD_INT, offsetof(T, s.seed), false, 0, 0, "the same seed gives the same reply" },                  \
    { "n", WD_FIELD_INT, offsetof(T, s.n), false, 1, 128, "replies to the same prompt" },                              \
    { "max_tokens", WD_FIELD_INT, offsetof(T, s.max_tokens), false, 1, 1 << 24, "of the reply" },                      \
    { "stop", WD_FIELD_ANY, offsetof(T, s.stop), false, 0, 0, "a string or up to 16: the reply ends before it" },      \
    { "logit_bias", WD_FIELD_OBJ, offsetof(T, s.logit_bias), false, 0, 0, "token id: -100 to 100" },                   \
    { "ignore_eos", WD_FIELD_BOOL, offsetof(T, s.ignore_eos), false, 0, 0, "go on after an end token: measuring" },    \
    { "stream", WD_FIELD_BOOL, offsetof(T, s.stream), false, 0, 0, "server-sent events" },                             \
    { "stream_options", WD_FIELD_OBJ, offsetof(T, s.stream_options), false, 0, 0, "include_usage" }
/* clang-format on */

/* Fills what rq->sample, stop, max_tokens say. The choice of item i adds i to the seed. */
WD_MUST_CHECK wd_status wd_serve__sampling(wd_req *r, const wd_sampling *s, wd_generate *rq, wd_fault *f);
WD_MUST_CHECK wd_status wd_serve__include_usage(const wd_sampling *s, bool *usage, wd_fault *f);

/* One choice's times and counts, for the metrics. */
typedef struct wd_pace {
    wd_req *r;
    uint64_t last_ns;
    size_t n;
} wd_pace;
void wd_pace_token(wd_pace *p);
/* A generation ended with st (out is valid when WD_OK). */
void wd_serve__account(wd_req *r, wd_status st, const wd_generated *out, bool first_choice);

/* The same of a request without replies. */
void wd_serve__account_prompt(wd_req *r, size_t n_token);

/* "prompt_tokens": ..., for "usage". */
void wd_serve__usage(wd_buf *out, size_t n_prompt, size_t n_cached, size_t n_reply);
/* A new id: prefix and 24 random letters and digits, into out [48]. */
void wd_serve__new_id(const char *prefix, char out[48]);
/* A log-probability that JSON can hold: -inf becomes -9999, as clients know it. */
void wd_serve__logprob(wd_buf *out, float lp);
/* A token's bytes as text. */
void wd_serve__token_text(const wd_tokenizer *t, uint32_t id, wd_buf *out);

#endif
