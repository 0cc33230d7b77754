/* Bodies of type multipart/form-data (RFC 7578), as browsers and clients upload files with. */
#ifndef WD_SERVE_MULTIPART_H
#define WD_SERVE_MULTIPART_H

#include "base/buf.h"

#define WD_BOUNDARY_MAX 70 /* RFC 2046, section 5.1.1 */

typedef struct wd_form_part {
    wd_span name, filename; /* as sent, without quotes: not unescaped; filename.p NULL: there was none */
    wd_span body;
} wd_form_part;

/* The boundary of a Content-Type, which may be NULL. WD_E_INVALID: it is not this type, or names none. */
WD_MUST_CHECK wd_status wd_multipart_boundary(const char *content_type, char out[WD_BOUNDARY_MAX + 1],
                                              wd_err *err);

/* The parts, views of body. A body that does not end as it must is refused: it may have been cut off.
 *   WD_E_CORRUPT   not such a body     WD_E_LIMIT   more than max parts */
WD_MUST_CHECK wd_status wd_multipart_parse(wd_span body, const char *boundary, wd_form_part *part, size_t max,
                                           size_t *n, wd_err *err);

#endif
