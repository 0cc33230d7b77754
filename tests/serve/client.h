/* A plain HTTP client on a socket, and reading what it got. Failures fail the test. */
#ifndef WD_TESTS_SERVE_CLIENT_H
#define WD_TESTS_SERVE_CLIENT_H

#include "base/json.h"

#define PATIENCE_MS 20000 /* until a test gives up on what should come at once */

int dial(uint16_t port);
void say(int fd, const char *text, size_t n);
/* headers: lines with their ends, or "". */
void ask_with(int fd, const char *method, const char *path, const char *headers, const char *body);
/* POST, or GET where body is empty; the server closes the connection afterwards. */
void ask(int fd, const char *path, const char *body);

typedef struct answer {
    int status;
    wd_buf raw, body; /* body: without chunk lengths */
} answer;

/* Reads until the server closes; closes fd. */
void hear(int fd, answer *a);
void answer_free(answer *a);
/* That status, and somewhere in it, headers included, that text; frees it. */
void expect_answer(answer a, int status, const char *has);

json_t *json_of(const answer *a);
json_t *at(json_t *v, const char *path);          /* "a.0.b" of a JSON value, borrowed */
const char *text_at(json_t *v, const char *path); /* "(none)" when it is no string */

#endif
