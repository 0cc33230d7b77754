/* Stop strings, matched over the borders of tokens.
 *
 * Output ends before the first stop string that the text completes. While the end of the text could be the
 * beginning of one, it is held back, so that no part of a stop string is ever handed out. Linear in the text.
 */
#ifndef WD_TEXT_STOP_H
#define WD_TEXT_STOP_H

#include "base/buf.h"
#include "base/err.h"

#define WD_STOP_MAX 16         /* stop strings */
#define WD_STOP_BYTES_MAX 1024 /* bytes of one */

typedef struct wd_stop wd_stop;

/* No strings is fine: everything passes. WD_E_INVALID for an empty or too long one, or too many. */
WD_MUST_CHECK wd_status wd_stop_create(const wd_span *stop, size_t n_stop, wd_stop **out, wd_err *err);
void wd_stop_destroy(wd_stop *s); /* accepts NULL; wipes what was held back */

/* Appends to out what is certain of the text so far. Returns true once a stop string is complete (then
 * *which, may be NULL, is its index; of several that end at the same byte the longest, then the first) and
 * ignores the rest. */
bool wd_stop_feed(wd_stop *s, wd_span text, wd_buf *out, size_t *which);
/* The text ended without a stop string: appends what was held back. */
void wd_stop_end(wd_stop *s, wd_buf *out);

#endif
