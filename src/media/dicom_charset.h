/* Specific Character Set (PS3.3 C.12.1.1.2, PS3.5 section 6.1) to UTF-8, through the C library's iconv.
 *
 * Single-byte sets, UTF-8, GB18030 and GBK as a whole; ISO 2022 code extensions by their escape sequences, with the
 * state reset where the standard says so (end of line, backslash, and in names ^ and =). Bytes that are not in the
 * set become U+FFFD, as does everything beyond ASCII when the set is unknown.
 */
#ifndef WD_MEDIA_DICOM_CHARSET_H
#define WD_MEDIA_DICOM_CHARSET_H

#include "base/buf.h"

/* Opens every converter once: a worker cannot load the C library's tables. Idempotent. */
void wd_charset_prepare(void);

/* set: the value of (0008,0005), with its backslashes; empty is ASCII. is_name: VR PN. Appends to *out. */
void wd_charset_to_utf8(wd_span set, wd_span text, bool is_name, wd_buf *out);

#endif
