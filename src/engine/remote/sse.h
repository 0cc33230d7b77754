/* Server-sent events (WHATWG HTML, section 9.2), as far as OpenAI's API uses them: the data of each event.
 *
 * Lines end in CR, LF or both; a BOM at the beginning, comments, and fields other than data are passed over. An event is
 * what stands before an empty line: one that the stream ends in is none. The result does not depend on where the stream
 * is cut.
 */
#ifndef WD_ENGINE_REMOTE_SSE_H
#define WD_ENGINE_REMOTE_SSE_H

#include "base/buf.h"

/* data: valid during the call. A status other than WD_OK ends the feeding. */
typedef wd_status (*wd_sse_fn)(void *self, wd_span data, wd_err *err);

typedef struct wd_sse {
    wd_buf line, data;
    size_t max; /* most bytes of a line, of an event's data */
    wd_sse_fn fn;
    void *self;
    bool began;    /* the BOM can come no more */
    bool after_cr; /* an LF belongs to the CR before it */
    bool has_data;
    bool over; /* max was passed: nothing may be fed any more */
} wd_sse;

void wd_sse_init(wd_sse *s, size_t max, wd_sse_fn fn, void *self);
void wd_sse_deinit(wd_sse *s); /* wipes; accepts {0} */
/* WD_E_LIMIT for a line or an event beyond max; WD_E_NOMEM; what fn returns. */
WD_MUST_CHECK wd_status wd_sse_feed(wd_sse *s, wd_span bytes, wd_err *err);

#endif
