/* An upstream's reply to /chat/completions or /completions, taken apart chunk by chunk into the events of the port.
 *
 * Reasoning that the upstream keeps apart ("reasoning_content", "reasoning") is passed on as such. Content goes through
 * text/parse.h, for upstreams that leave the model's own tags in it, where a call is handed on when it is complete. One that
 * the upstream took out is told of while it grows (text/parse.h, sure_calls); that it becomes a call is not sure for all that:
 * WD_E_CORRUPT at its end where it does not. Every value is checked; what the reply says is never in an error's sentence.
 */
#ifndef WD_ENGINE_REMOTE_REPLY_H
#define WD_ENGINE_REMOTE_REPLY_H

#include "engine/engine.h"

typedef struct wd_reply_opts {
    const char *const *name; /* of the upstream, for messages; read when one is needed */
    bool plain;              /* /completions: all is content */
    bool tools;              /* there were some in the request */
    const wd_span *stop; /* [n_stop] content ends before the first of them: some servers hand it out, too */
    size_t n_stop;
    wd_status (*event)(void *self, const wd_parse_event *ev, wd_err *err);
    void *self;
} wd_reply_opts;

typedef struct wd_reply_end {
    wd_finish finish;
    size_t n_prompt, n_cached; /* 0: it did not say */
    size_t n_reply;            /* likewise: the number of pieces */
} wd_reply_end;

typedef struct wd_reply wd_reply;

WD_MUST_CHECK wd_status wd_reply_create(const wd_reply_opts *o, wd_reply **out, wd_err *err);
void wd_reply_destroy(wd_reply *r); /* accepts NULL; wipes */
/* The next bytes of the event stream, cut anywhere.
 *   WD_E_CORRUPT   not what the API says
 *   WD_E_LIMIT     a line, an event, a call or the reply is too long
 *   WD_E_LIMIT, WD_E_BUSY, WD_E_IO  the stream holds an error
 *   and what `event` returns */
WD_MUST_CHECK wd_status wd_reply_feed(wd_reply *r, wd_span bytes, wd_err *err);
/* The stream is over. WD_E_IO when the reply is not. */
WD_MUST_CHECK wd_status wd_reply_finish(wd_reply *r, wd_reply_end *out, wd_err *err);

#endif
