/* HTML with what people and models wrote in it: text becomes text, never markup. */
#ifndef WD_CLI_HTML_H
#define WD_CLI_HTML_H

#include "base/buf.h"

/* Appends fmt with %s escaped (& < > " '), and %d %u %f %g %c %% as printf has them. NULL for a %s is "". What is in fmt
 * itself is markup. Bytes that are no UTF-8 become U+FFFD, control characters too. */
void wd_html(wd_buf *b, const char *fmt, ...) WD_PRINTF(2, 3);

/* Appends "data:TYPE;base64,..." */
void wd_html_data(wd_buf *b, const char *type, wd_span bytes);

#endif
