/* What the stories' readers of a model's reply share. The spans are parts of the one given. */
#ifndef WD_CARE_REPLY_H
#define WD_CARE_REPLY_H

#include "base/buf.h"

/* Without white space at its ends. */
wd_span wd_reply_trim(wd_span s);
/* What stands between the first ``` fences, or all of it; trimmed. */
wd_span wd_reply_body(wd_span s);

#endif
