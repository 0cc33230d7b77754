/* What the stories' readers of a model's reply share. The spans are parts of the one given. */
#ifndef WD_CARE_REPLY_H
#define WD_CARE_REPLY_H

#include <jansson.h>

#include "base/buf.h"

/* Without white space at its ends. */
wd_span wd_reply_trim(wd_span s);
/* What stands between the first ``` fences, or all of it; trimmed. */
wd_span wd_reply_body(wd_span s);
/* The first JSON value that begins with a character of `opens` ("[{" or "{"), whatever words or fences stand around it;
 * the caller's. NULL when there is none, or one that cannot be read or has a key twice. no_memory (may be NULL) becomes
 * true when that was the reason. */
json_t *wd_reply_json(wd_span s, const char *opens, bool *no_memory);

#endif
