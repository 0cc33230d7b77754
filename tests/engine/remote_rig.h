/* The remote engine over scripted upstreams, and requests for it. */
#ifndef WD_TESTS_ENGINE_REMOTE_RIG_H
#define WD_TESTS_ENGINE_REMOTE_RIG_H

#include "upstream.h"

#include "support/test.h"

#include "engine/remote/remote.h"

/* Events of a stream. */
#define CHUNK(delta, finish) \
    "data: {\"choices\":[{\"index\":0,\"delta\":{" delta "},\"finish_reason\":" finish "}]}\n\n"
#define CONTENT(text) CHUNK("\"content\":\"" text "\"", "null")
#define STOP CHUNK("", "\"stop\"")
#define USAGE                                                                    \
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\"" \
    ":4,\"prompt_tokens_details\":{\"cached_tokens\":3}}}\n\n"
#define DONE "data: [DONE]\n\n"
#define HELLO CONTENT("Hello") STOP USAGE DONE

/* An engine over the upstreams, in this order. */
wd_status create(wd_remote_opts o, const upstream *const *u, size_t n, wd_engine **e, wd_err *err);
/* Over one, which must go well. */
wd_engine *open_one(const upstream *u, wd_remote_opts o);

/* What a caller saw of a reply. */
typedef struct seen {
    char text[4096];
    size_t n_event, n_token;
    atomic_bool *raise; /* at the first event */
} seen;

extern const wd_part question; /* "Which CRP?" */
extern const wd_message user;  /* asks it */

/* Greedy, at most 16 tokens. What comes is noted in s; NULL: nowhere. */
wd_generate ask(seen *s);
wd_status generate(wd_engine *e, const wd_generate *rq, wd_generated *g, wd_err *err);
/* The content of a reply that must come. */
void expect(wd_engine *e, const char *want);

/* Upstreams that say "Hello"; that say the script, a byte at a time. */
bool say_hello(upstream *u, int fd, size_t nth);
bool say_script(upstream *u, int fd, size_t nth);
extern const char *script; /* of the next answers; one test at a time */

#endif
