/* A log server for tests: TLS on loopback, one connection at a time, each treated as the test says. */
#ifndef WD_TESTS_GUARD_RECEIVER_H
#define WD_TESTS_GUARD_RECEIVER_H

#include "support/host.h"

typedef enum receiver_way {
    RECEIVER_GOOD,     /* reads to the end, answers the end, closes */
    RECEIVER_CURT,     /* reads to the end and closes without a word, as rsyslog does */
    RECEIVER_DIES,     /* reads `after` bytes, then its process is gone: the descriptor is closed, no more */
    RECEIVER_RESETS,   /* the same with a reset */
    RECEIVER_SHUTS,    /* the same, having said its end first, as a server does that is stopped */
    RECEIVER_HANGS_UP, /* closes instead of the handshake */
    RECEIVER_STALLS,   /* shakes hands and reads nothing until released */
    RECEIVER_HALF,     /* says its end at once and reads nothing until released */
    RECEIVER_WANTS     /* good, but wants a certificate that its own authority has signed */
} receiver_way;

/* Grows by malloc: wd_buf is where failures are injected, and they are meant for the sender. */
typedef struct receiver_text {
    char *p; /* ends in 0, once there is something */
    size_t n;
} receiver_text;

typedef struct receiver {
    /* set before start */
    char cert[640], key[640]; /* files in dir; the certificate is for "localhost" and its own authority */
    const char *dir;          /* a directory for them */
    char fingerprint[128];
    char port[8];
    bool small; /* its system takes little that it has not read */
    /* under mu */
    pthread_mutex_t mu;
    pthread_cond_t changed;
    receiver_way way;
    size_t after;
    void (*before_close)(void *ctx); /* of a good connection */
    void *ctx;
    bool released;
    receiver_text got; /* what the connections have read, whole messages only, each with a newline */
    test_host host;
} receiver;

/* Makes key and certificate, listens, starts. */
void receiver_start(receiver *r, const char *dir);
void receiver_set(receiver *r, receiver_way way, size_t after);
void receiver_release(receiver *r);
/* Ends the listening; the port stays free for receiver_again. */
void receiver_stop(receiver *r);
void receiver_again(receiver *r);
void receiver_end(receiver *r);

/* Highest n so that records 1..n were all read, in this order, nothing else between but what came before again. */
int64_t receiver_has(receiver *r);

#endif
