/* A listening host for tests: on loopback, on a port that the system chooses, answering as the test says.
 *
 * It uses none of the project's memory, so that failures can be injected there. */
#ifndef WD_TESTS_SUPPORT_HOST_H
#define WD_TESTS_SUPPORT_HOST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct test_host {
    /* Set before start. answer: on the host's thread, for each connection; fd is its own to close. port 0: the system
     * chooses, and it stands here then; another is one that was left just now. receive_bytes: of the system's buffer for
     * each connection; 0: its own choice. */
    void (*answer)(void *self, int fd);
    void *self;
    uint16_t port;
    int receive_bytes;
    /* while it runs */
    atomic_bool stop; /* answers that wait look at it */
    atomic_uint n_accepted;
    /* its own */
    int fd;
    bool running;
    pthread_t thread;
} test_host;

/* Fails the test where it cannot listen. */
void test_host_start(test_host *h);
/* Nobody listens afterwards; waits for an answer that is under way. Accepts one that does not run; it can be started again. */
void test_host_stop(test_host *h);

/* All of it, unless the client has gone: then false. */
bool test_host_send(int fd, const char *text);
bool test_host_sendn(int fd, const void *p, size_t n);
/* Waits at most ms, or until the host stops, for the client to hang up; true when it did. */
bool test_host_hung_up(const test_host *h, int fd, int ms);

#endif
