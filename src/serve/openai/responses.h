/* The inside of /v1/responses: what its requests say, in the terms of a chat. */
#ifndef WD_SERVE_OPENAI_RESPONSES_H
#define WD_SERVE_OPENAI_RESPONSES_H

#include "serve/openai/format.h"

/* "input", a text or a list of items, as messages; instructions come first, as the system's. What the model said in one
 * turn (reasoning, a message, calls) is one message again. */
WD_MUST_CHECK wd_status wd_responses_input(wd_req *r, const json_t *input, wd_span instructions,
                                           wd_messages *out, wd_fault *f);

/* Tools in the form of the chat API: a new reference, NULL for none. */
WD_MUST_CHECK wd_status wd_responses_tools(const json_t *tools, json_t **out, wd_fault *f);

/* "text": {"format": ...}; *out stays as it is for plain text. */
WD_MUST_CHECK wd_status wd_responses_format(wd_req *r, const json_t *text, wd_constraint **out, wd_fault *f);

#endif
