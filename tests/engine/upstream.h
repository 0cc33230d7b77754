/* An upstream for tests: a small HTTP server on loopback whose replies a function writes, byte by byte if it wants. */
#ifndef WD_TESTS_ENGINE_UPSTREAM_H
#define WD_TESTS_ENGINE_UPSTREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
    uint16_t port;
    int fd;
    pthread_t thread;
    atomic_bool ending;
    atomic_size_t n_post, n_get, n_conn;
    pthread_t *conn;    /* [n_conn] */
    pthread_mutex_t mu; /* of the latest POST: */
    char *head, *body;
};

#define UPSTREAM_MODELS(owner) \
    "{\"object\":\"list\",\"data\":[{\"id\":\"m\",\"owned_by\":\"" owner "\",\"max_model_len\":512}]}"

void upstream_start(upstream *u, upstream_fn answer, const char *models);
void upstream_stop(upstream *u);

void upstream_send(int fd, const char *text);
void upstream_sendn(int fd, const void *p, size_t n);
/* A whole reply. headers: further ones, each with its line end, or "". */
void upstream_reply(int fd, int status, const char *headers, const char *body);
/* The head of an event stream that ends with the connection. */
void upstream_stream(int fd);
/* The connection breaks with RST. */
void upstream_reset(int fd);
/* Until the client hangs up, at most ms; true when it did. */
bool upstream_hung_up(const upstream *u, int fd, int ms);
/* A copy of the latest POST's body. */
void upstream_body(upstream *u, char out[UPSTREAM_BODY_MAX]);

#endif
