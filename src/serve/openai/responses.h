/* The inside of /v1/responses: what its requests say, in the terms of a chat. */
#ifndef WD_SERVE_OPENAI_RESPONSES_H
#define WD_SERVE_OPENAI_RESPONSES_H

#include "serve/openai/format.h"

/* "input", a text or a list of items, as the list alone: a new reference. */
WD_MUST_CHECK wd_status wd_responses_items(const json_t *input, json_t **out, wd_fault *f);
/* A list of items as messages; instructions come first, as the system's. What the model said in one turn (reasoning, a
 * message, calls) is one message again. The first n_before items are those of responses before. What the messages hold
 * lives as long as the list. */
WD_MUST_CHECK wd_status wd_responses_input(wd_req *r, const json_t *items, size_t n_before,
                                           wd_span instructions, wd_messages *out, wd_fault *f);

/* Tools in the form of the chat API: a new reference, NULL for none. */
WD_MUST_CHECK wd_status wd_responses_tools(const json_t *tools, json_t **out, wd_fault *f);

/* "text": {"format": ...}; *out stays as it is for plain text. */
WD_MUST_CHECK wd_status wd_responses_format(wd_req *r, const json_t *text, wd_constraint **out, wd_fault *f);

/* --- kept responses (responses_kept.c) --------------------------------------------------------------------- */

/* What was said up to and with that response, in order: a new reference. 404 when one of the chain is not there for the
 * caller. */
WD_MUST_CHECK wd_status wd_responses_before(wd_req *r, wd_span previous, json_t **items, wd_fault *f);
/* 507 when so many bytes would not be kept: asked before anything is computed. */
WD_MUST_CHECK wd_status wd_responses_room(wd_req *r, size_t bytes, wd_fault *f);
/* Keeps a response, as it is answered, with the items that it was made from. */
WD_MUST_CHECK wd_status wd_responses_keep(wd_req *r, const char *id, wd_span response, const json_t *items,
                                          wd_fault *f);

#endif
