/* The HTTP server: an OpenAI-compatible API over the engine's port (docs/serve.md).
 *
 * One thread owns all connections: it reads requests, refuses what it can at once, and writes replies. Running requests
 * have a worker thread each, of a fixed number (with a guard, of each tenant: queue.c); the others wait in a bounded queue, and beyond that are refused with
 * 429. A reply that is streamed goes through a bounded buffer of its connection: a client that reads too slowly loses
 * its request and nobody else's.
 *
 * Without tokens (guard) the server listens on loopback only and answers only requests that name it by a loopback name,
 * so that no web page of elsewhere can talk to it.
 */
#ifndef WD_SERVE_SERVE_H
#define WD_SERVE_SERVE_H

#include "engine/engine.h"
#include "guard/guard.h"
#include "serve/models.h"
#include "text/tokenizer.h"

/* A model that is asked for while the server runs. */
typedef struct wd_load {
    const char *name;
    const wd_served *base; /* what it is an adapter of, held meanwhile; NULL: it is none */
    int64_t kv_mb;         /* for its keys and values; 0: as the loader thinks best */
} wd_load;

typedef struct wd_serve_opts {
    wd_models *models; /* those that may be asked; NULL: the one below. Borrowed, as all here */
    /* Opens a model; on WD_OK *out is complete, and what out->name points at lives until the next call. One at a time, on any
     * thread. NULL: none is loaded while the server runs. Whatever is wrong with the name is WD_E_NOT_FOUND or WD_E_INVALID,
     * no room WD_E_LIMIT. */
    wd_status (*load)(void *self, const wd_load *what, wd_served_opts *out, wd_err *err);
    void *load_self;
    wd_engine *engine;             /* of the one model */
    const wd_tokenizer *tokenizer; /* of it; NULL: no routes and fields that speak of tokens */
    wd_guard *guard;               /* who may do what, and the audit; NULL: an open server */
    const char *model;             /* the name that it is served under */
    const char *version;           /* of the program */
    const char *origin;            /* of its pages, behind a proxy; NULL: as it is called */
    const char *address;           /* numeric, IPv4 or IPv6          default "127.0.0.1" */
    uint16_t port;                 /* 0: the system chooses          default 8080 */
    const char *cert, *key;        /* PEM text, both or none: TLS    default NULL */
    uint32_t max_running;          /* requests with a worker         default 32 */
    uint32_t max_waiting;          /* requests in the queue          default 256 */
    uint32_t max_connections;      /*                                default 1024 */
    size_t body_bytes;             /* of one request                 default 64 MiB */
    size_t bodies_bytes;           /* of all requests together       default 1 GiB */
    size_t stream_bytes;           /* of a reply not read yet        default 1 MiB */
    size_t constraint_bytes;       /* of schemas compiled and kept   default 32 MiB */
    uint64_t image_pixels;         /* of all images of a request     default 64 Mi */
    uint32_t max_images;           /* of a request                   default 64 */
    uint32_t max_videos;           /* of a request                   default 4 */
    uint32_t max_choices;          /* "n"                            default 16 */
    uint32_t max_inputs;           /* texts to embed, documents      default 1024 */
    const char *data;              /* directory, of the guard's, where files are kept; NULL: in memory */
    uint64_t files_bytes;          /* of all files                   default 4 GiB, in memory 256 MiB */
    uint32_t file_s;               /* a file's longest time          default 86400 */
    uint64_t responses_bytes;      /* of all responses that are kept default 1 GiB, in memory 64 MiB */
    uint32_t response_s;           /* how long                       default 86400 */
    bool store_responses;          /* also those whose request does not say "store"   default false */
    const char *const *allow_url;  /* [n_allow_url] from where pictures come: serve/allow.h */
    size_t n_allow_url;
    const char *fetch_ca; /* PEM file of authorities for them; NULL: the system's */
    uint32_t fetch_ms;    /* for one of them                default 15000 */
    size_t fetch_bytes;   /* of all that a request fetches  default 64 MiB */
    uint32_t idle_s;      /* a connection that does nothing default 60 */
    uint32_t request_s;   /* from its last byte to the end  default 600 */
} wd_serve_opts;
#define WD_SERVE_OPTS_DEFAULT                               \
    ((wd_serve_opts){ .address = "127.0.0.1",               \
                      .port = 8080,                         \
                      .max_running = 32,                    \
                      .max_waiting = 256,                   \
                      .max_connections = 1024,              \
                      .body_bytes = (size_t)64 << 20,       \
                      .bodies_bytes = (size_t)1 << 30,      \
                      .stream_bytes = (size_t)1 << 20,      \
                      .constraint_bytes = (size_t)32 << 20, \
                      .image_pixels = (uint64_t)64 << 20,   \
                      .max_images = 64,                     \
                      .max_videos = 4,                      \
                      .max_choices = 16,                    \
                      .max_inputs = 1024,                   \
                      .file_s = 86400,                      \
                      .response_s = 86400,                  \
                      .fetch_ms = 15000,                    \
                      .fetch_bytes = (size_t)64 << 20,      \
                      .idle_s = 60,                         \
                      .request_s = 600 })

typedef struct wd_server wd_server;

/* Listens and serves until wd_serve_stop. *out is NULL on failure.
 *   WD_E_USAGE   an address that is none, one beyond loopback, an option out of its range
 *   WD_E_IO      the port is taken, or may not be used */
WD_MUST_CHECK wd_status wd_serve_start(const wd_serve_opts *o, wd_server **out, wd_err *err);
uint16_t wd_serve_port(const wd_server *s);
/* No new requests: /ready says 503, everything that comes gets 503. Returns when the last one is answered, or after
 * timeout_ms: then what still runs is cancelled. True when nothing had to be. */
bool wd_serve_drain(wd_server *s, uint32_t timeout_ms);
/* Drains without waiting, closes all connections and frees. Accepts NULL. */
void wd_serve_stop(wd_server *s);

#endif
