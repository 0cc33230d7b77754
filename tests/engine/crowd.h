/* Calls on threads of their own. */
#ifndef WD_TESTS_ENGINE_CROWD_H
#define WD_TESTS_ENGINE_CROWD_H

#include "rig.h"

#include <pthread.h>

#define N_WORD 12
extern const char *const words[N_WORD]; /* findings */

/* One call on a thread of its own. */
typedef struct call {
    rig *r;
    wd_arena *arena;
    ask q;
    char text[400];
    const char *texts[1];
    wd_generated g;
    wd_status st;
    wd_err err;
    uint64_t n_row; /* of the engine, at its first token */
    pthread_t thread;
} call;

/* Call i of a mixed crowd: short and long, greedy and drawn, with log-probabilities of reply or prompt; with an image where
 * one is given. */
void call_init(call *c, rig *r, size_t i, const wd_image *image);
/* c: the call. Its thread's function; alone it computes the reply here. */
void *call_run(void *c);
void call_start(call *c);
void call_end(call *c);

void assert_same_replies(const call *a, const call *b);
wd_engine_stats stats_of(rig *r);
/* Nobody is left, and all pages that are in use are the cache's. */
void assert_idle(rig *r);

#endif
