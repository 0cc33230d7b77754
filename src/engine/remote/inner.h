/* Shared inside engine/remote.
 *
 *   generate.c, score.c   what a call asks for and makes of the answer (request.c, reply.c, sse.c)
 *   call.c                which upstream, and again
 *   http.c                one request and its reply, through libcurl
 *   upstream.c            what is known of each upstream, and the thread that asks them
 *   remote.c              creation
 *
 * Invariants
 *   1. A line (http.c) is used by one call at a time; between calls it lies in `idle`, with its connections open.
 *   2. n_out of an upstream counts the calls that have picked it and not yet let go.
 *   3. Once a byte of a reply's body was handed to its reader, the call is not repeated.
 */
#ifndef WD_ENGINE_REMOTE_INNER_H
#define WD_ENGINE_REMOTE_INNER_H

#include <pthread.h>

#include "engine/remote/remote.h"

#define WD_REMOTE_NAME_MAX 256 /* host:port, name of a model */

struct curl_slist;
typedef struct wd_remote__line wd_remote__line;

typedef struct wd_upstream {
    char *url;                     /* without '/' at its end */
    char name[WD_REMOTE_NAME_MAX]; /* "host:port", for messages */
    /* under mu */
    uint32_t n_out;
    bool known, down; /* it has told its models; it did not answer last time */
    wd_upstream_kind kind;
    uint64_t not_before_ns; /* it has no room until then */
} wd_upstream;

typedef struct wd_remote {
    wd_engine engine;
    wd_remote_opts o;
    char *model, *key, *ca_file; /* model: set before start */
    struct curl_slist *header;   /* of every request; set before start */
    uint8_t salt[32];            /* of cache_salt */
    wd_upstream *up;             /* [n_up] */
    size_t n_up;
    pthread_t prober;
    bool has_prober;
    atomic_bool ending;

    pthread_mutex_t mu; /* all below; held for moments */
    pthread_cond_t changed;
    wd_remote__line *idle;
    size_t turn; /* where the search for an upstream begins */
    wd_engine_stats stats;
} wd_remote;

/* --- http.c -------------------------------------------------------------------------------------------------------- */

/* What went wrong, for who decides whether to go again. */
typedef enum wd_trouble {
    WD_TROUBLE_NONE,
    WD_TROUBLE_REACH, /* no connection, or it broke before the first byte of a reply */
    WD_TROUBLE_ROOM,  /* 429, 502, 503 */
    WD_TROUBLE_HERE, /* this upstream will not do it; another one may: its certificate is not to be trusted */
    WD_TROUBLE_LAST  /* not to be tried again */
} wd_trouble;

typedef struct wd_exchange {
    const char *url, *name;             /* name: "host:port" */
    wd_span body;                       /* of a POST; p NULL: a GET */
    const atomic_bool *cancel, *ending; /* either may be NULL */
    uint64_t deadline_ns;               /* 0: none */
    uint32_t first_byte_ms;
    bool events;      /* the reply is an event stream, else a JSON document */
    size_t max_bytes; /* of the body */
    wd_status (*data)(void *self, wd_span bytes, wd_err *err); /* of a body with status 200 */
    void *self;
    /* filled */
    wd_trouble trouble;
    int status;     /* 0: none came */
    double retry_s; /* Retry-After; < 0: none */
} wd_exchange;

/* One request and its reply. The sentence of a failure begins with the upstream's name.
 *   WD_E_IO           no connection, broken off, 401, 403, 5xx
 *   WD_E_BUSY         429, 502, 503
 *   WD_E_LIMIT        more than may be; the prompt is longer than the context (as the upstream says)
 *   WD_E_INVALID      400, 422 and other 4xx
 *   WD_E_UNSUPPORTED  404, 405, 501: no such route or model there
 *   WD_E_CORRUPT      a redirect, another content type than asked for
 *   WD_E_CANCELLED, WD_E_DEADLINE, or what `data` returned */
WD_MUST_CHECK wd_status wd_remote__exchange(wd_remote *r, wd_exchange *x, wd_err *err);
WD_MUST_CHECK wd_status wd_remote__http_begin(wd_err *err); /* once, before all else */
WD_MUST_CHECK wd_status wd_remote__headers(wd_remote *r, wd_err *err);
void wd_remote__http_end(wd_remote *r); /* frees lines and headers */

/* --- upstream.c ------------------------------------------------------------------------------------------------------ */

/* Scheme, host and port of an upstream's URL, taken apart and checked. */
WD_MUST_CHECK wd_status wd_upstream__init(wd_upstream *u, const char *url, bool clear, wd_err *err);

/* Asks one upstream for its models. *model, if not NULL, is filled with the model's name: the one that has been asked for
 * (want), else the only one listed. *context: 0 when it does not say. */
WD_MUST_CHECK wd_status wd_upstream__probe(wd_remote *r, size_t i, const atomic_bool *cancel,
                                           const char *want, char **model, uint32_t *context, wd_err *err);
/* One that has not been tried by this call; SIZE_MAX when all have been. Counts it as being used. */
size_t wd_upstream__pick(wd_remote *r, const bool *tried);
void wd_upstream__let_go(wd_remote *r, size_t i, wd_trouble trouble, double retry_s);
WD_MUST_CHECK wd_status wd_upstream__start(wd_remote *r, wd_err *err);
void wd_upstream__stop(wd_remote *r);

/* --- call.c ---------------------------------------------------------------------------------------------------------- */

/* A call on any upstream. */
typedef struct wd_remote__call {
    const char *path; /* "/chat/completions" */
    wd_status (*body)(void *self, wd_upstream_kind kind, wd_buf *out, wd_err *err);
    wd_status (*data)(void *self, wd_span bytes, wd_err *err);
    void *self;
    bool events;
    size_t max_bytes;
    const wd_watch *watch;
    const wd_terms *terms;
    const char *name; /* of the upstream, for messages; set before data is called */
} wd_remote__call;
WD_MUST_CHECK wd_status wd_remote__do(wd_remote *r, wd_remote__call *c, wd_err *err);

/* --- request.c ------------------------------------------------------------------------------------------------------- */

WD_MUST_CHECK wd_status wd_remote__check_generate(const wd_remote *r, const wd_generate *rq, wd_err *err);
WD_MUST_CHECK wd_status wd_remote__write_generate(const wd_remote *r, const wd_generate *rq,
                                                  wd_upstream_kind kind, wd_buf *out, wd_err *err);
WD_MUST_CHECK wd_status wd_remote__write_embed(const wd_remote *r, const wd_embed *rq, wd_upstream_kind kind,
                                               wd_buf *out, wd_err *err);
WD_MUST_CHECK wd_status wd_remote__write_rerank(const wd_remote *r, const wd_rerank_pair *rq,
                                                wd_upstream_kind kind, wd_buf *out, wd_err *err);

/* --- generate.c, score.c --------------------------------------------------------------------------------------------- */

wd_status wd_remote__generate(void *self, wd_arena *a, const wd_generate *rq, wd_generated *out, wd_err *err);
wd_status wd_remote__embed(void *self, wd_arena *a, const wd_embed *rq, const float **out, uint32_t *dim,
                           size_t *n_token, wd_err *err);
wd_status wd_remote__rerank(void *self, wd_arena *a, const wd_rerank_pair *rq, double *score, size_t *n_token,
                            wd_err *err);

#endif
