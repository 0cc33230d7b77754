/* A strict pull reader for JSON, for documents too large to be worth a tree: a vocabulary has 150,000 members.
 *
 * The caller says what it expects; anything else is WD_E_CORRUPT with the byte's place, or WD_E_INVALID where the
 * JSON is fine but of another type. Small parts are skipped over and given to base/json.h.
 */
#ifndef WD_TEXT_JSCAN_H
#define WD_TEXT_JSCAN_H

#include "base/buf.h"

typedef struct wd_jscan {
    wd_span text;
    size_t at;
    const char *where; /* name of the document in messages */
    wd_buf scratch;    /* strings with escapes are undone here */
} wd_jscan;

void wd_jscan_init(wd_jscan *s, wd_span text, const char *where);
void wd_jscan_free(wd_jscan *s);

/* The next byte that is not white space, or -1 at the end. Stays before it. */
int wd_jscan_peek(wd_jscan *s);

/* Begins an object or array: open is '{' or '['; what names it in messages. */
WD_MUST_CHECK wd_status wd_jscan_enter(wd_jscan *s, char open, const char *what, wd_err *err);
/* Inside one: *more tells whether another member follows; if not, its end has been read. first: no member has been
 * read yet. */
WD_MUST_CHECK wd_status wd_jscan_more(wd_jscan *s, char open, bool first, bool *more, wd_err *err);
/* A string, its escapes undone. *out is valid until the next string is read. Raw bytes are not checked to be
 * UTF-8. Control characters, unpaired surrogates and unknown escapes are refused. */
WD_MUST_CHECK wd_status wd_jscan_string(wd_jscan *s, wd_span *out, wd_err *err);
/* A member's name and the colon. */
WD_MUST_CHECK wd_status wd_jscan_key(wd_jscan *s, wd_span *out, wd_err *err);
/* A non-negative integer of at most max; what names it in messages. */
WD_MUST_CHECK wd_status wd_jscan_uint(wd_jscan *s, uint64_t max, const char *what, uint64_t *out,
                                      wd_err *err);
/* Any value: *out is its text. Only strings and brackets are looked at: the text is for a real parser. */
WD_MUST_CHECK wd_status wd_jscan_skip(wd_jscan *s, wd_span *out, wd_err *err);
/* Nothing but white space is left. */
WD_MUST_CHECK wd_status wd_jscan_end(wd_jscan *s, wd_err *err);

#endif
