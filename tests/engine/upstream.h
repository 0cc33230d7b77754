/* An upstream for tests: a small HTTP server on loopback whose replies a function writes, byte by byte if it wants. */
#ifndef WD_TESTS_ENGINE_UPSTREAM_H
#define WD_TESTS_ENGINE_UPSTREAM_H

#include "support/host.h"

#define UPSTREAM_BODY_MAX 65536
#define UPSTREAM_CONNECTIONS 1024

typedef struct upstream upstream;

/* Answers the nth POST (from 0) on connection fd. True: the connection stays open. */
typedef bool (*upstream_fn)(upstream *u, int fd, size_t nth);

struct upstream {
    upstream_fn answer;
    const char *models; /* body of GET /models; set before start */
    atomic_int models_status;
    char url[64]; /* "http://127.0.0.1:PORT/v1" */
    test_host host;
    atomic_size_t n_post, n_get;
    size_t n_conn;      /* host's thread, until it stops */
    pthread_t *conn;    /* [n_conn] */
    pthread_mutex_t mu; /* of the latest POST: */
    char *head, *body;
};

#define UPSTREAM_MODELS(owner) \
    "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"owned_by\":\"" owner "\",\"max_model_len\":512}]}"

void upstream_start(upstream *u, upstream_fn answer, const char *models);
void upstream_stop(upstream *u);

/* A whole reply. headers: further ones, each with its line end, or "". */
void upstream_reply(int fd, int status, const char *headers, const char *body);
/* The head of an event stream that ends with the connection. */
void upstream_stream(int fd);
/* The connection breaks with RST. */
void upstream_reset(int fd);
/* A copy of the latest POST's body. */
void upstream_body(upstream *u, char out[UPSTREAM_BODY_MAX]);

#endif
