/* Inside text/: follows the body of a tool call while it grows, {"name": "...", "arguments": {...}}, so that it can be told
 * of before it is complete. Knows where its parts are, not whether they are JSON: something else holds the model to that. */
#ifndef WD_TEXT_PARSE_CALL_H
#define WD_TEXT_PARSE_CALL_H

#include "base/buf.h"

/* {0} to begin with. Places are bytes of the body; 0: not there yet, for it begins with a brace. */
typedef struct wd_call_follow {
    bool lost; /* it is of another form */
    uint8_t part, in;
    uint16_t unit;         /* of an escape by number, its digits so far */
    bool half;             /* the escape before was the first half of a pair */
    uint32_t depth;        /* brackets of the arguments that are open */
    size_t at;             /* so far it has been followed */
    size_t name, name_end; /* with its quotes */
    size_t args, safe;     /* of them, up to here escapes and pairs of them are whole */
    size_t end;            /* of all */
} wd_call_follow;

/* On to the end of the body, or of the call. The body only grows. */
void wd_parse__follow(wd_call_follow *f, wd_span body);

#endif
