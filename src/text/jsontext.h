/* JSON as text, in the form in which prompts carry it.
 *
 * Chat templates print JSON with Python's json.dumps(ensure_ascii=False): ", " and ": " between things, keys in the
 * order given, no escapes but the required ones, floats in their shortest form. A model has seen nothing else, so the
 * bytes are the same here.
 *
 * Text is checked strictly (RFC 8259, UTF-8, no lone surrogates, no key twice in an object) and never goes through a
 * tree: integers of any length keep their digits. Nesting is limited to WD_JSONTEXT_DEPTH.
 */
#ifndef WD_TEXT_JSONTEXT_H
#define WD_TEXT_JSONTEXT_H

#include <jansson.h>

#include "base/buf.h"
#include "base/err.h"

#define WD_JSONTEXT_DEPTH 256
#define WD_JSONTEXT_DIGITS 4300 /* longest integer that Python reads by default */

/* Appends one JSON value. WD_E_LIMIT when nested too deeply. `what` names the value in messages. */
WD_MUST_CHECK wd_status wd_jsontext_value(const json_t *v, const char *what, wd_buf *out, wd_err *err);

/* Appends the value that json is the text of, as json.dumps(json.loads(text)) would. *kind (may be NULL) gets its
 * first character class: '{', '[', '"', '0' (a number), 't', 'f', 'n'.
 *
 *   WD_E_INVALID   not JSON: the sentence names the byte
 *   WD_E_LIMIT     nested too deeply, or an integer too long
 */
WD_MUST_CHECK wd_status wd_jsontext_text(wd_span json, const char *what, char *kind, wd_buf *out,
                                         wd_err *err);

/* Appends the elements of an array, each behind a newline; *n gets how many. WD_E_INVALID when it is no array. */
WD_MUST_CHECK wd_status wd_jsontext_lines(wd_span json, const char *what, size_t *n, wd_buf *out,
                                          wd_err *err);

/* A Python float's repr; "inf", "-inf" and "nan" become Infinity, -Infinity and NaN as json.dumps writes them. */
void wd_jsontext_float(double v, wd_buf *out);

/* The bytes of member `key` of a JSON object's text, without white space around them; empty when there is none.
 * WD_E_INVALID or WD_E_LIMIT as above, also when the text is no object. */
WD_MUST_CHECK wd_status wd_jsontext_member(wd_span object, const char *key, wd_span *out, wd_err *err);

/* Appends the string that a JSON string's text spells. WD_E_INVALID when it is none. */
WD_MUST_CHECK wd_status wd_jsontext_unquote(wd_span json, wd_buf *out, wd_err *err);

#endif
