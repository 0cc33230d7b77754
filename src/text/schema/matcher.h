/* Follows a constraint token by token: which tokens may come, and what is certain to come.
 *
 *   wd_matcher_mask    before a token is drawn
 *   wd_matcher_advance after it
 *
 * After any tokens that the masks let through the reply can be completed, and an end token is let through exactly where
 * it is complete. A matcher belongs to one thread at a time; those of many requests share a lexicon and constraints.
 * What was written is kept while the matcher lives and wiped with it: it may be about a patient.
 */
#ifndef WD_TEXT_SCHEMA_MATCHER_H
#define WD_TEXT_SCHEMA_MATCHER_H

#include "text/ids.h"
#include "text/schema/constraint.h"
#include "text/schema/lexicon.h"

typedef struct wd_matcher wd_matcher;

/* end [n_end]: tokens that end a reply. Takes a reference to c. The first of a constraint finds out how its patterns see
 * the vocabulary (some milliseconds for each that is not like one before), so that no mask takes long. WD_E_NOMEM,
 * WD_E_LIMIT as below. */
WD_MUST_CHECK wd_status wd_matcher_create(const wd_constraint *c, wd_lexicon *l, const uint32_t *end,
                                          size_t n_end, wd_matcher **out, wd_err *err);
void wd_matcher_destroy(wd_matcher *m); /* accepts NULL */
/* Before the document two line breaks may come, as models write them behind "</think>" and "<tool_call>". Where a reply
 * begins with the document they may not: clients that read it as it is streamed take white space alone for an error. */
void wd_matcher_allow_lines_before(wd_matcher *m);
/* Behind the document one line break may come, as models write it before "</tool_call>". */
void wd_matcher_allow_line_end(wd_matcher *m);

/* mask [(n_vocab + 63) / 64], laid out as in text/sample.h: every token that may come next. Never empty, but after an end
 * token.
 *   WD_E_NOMEM
 *   WD_E_LIMIT  more alternatives are possible at once than can be followed (512, all places of a schema's "anyOf" that
 *               begin alike counted) */
WD_MUST_CHECK wd_status wd_matcher_mask(wd_matcher *m, uint64_t *mask, wd_err *err);

/* The token was drawn. WD_E_INVALID when it may not come; WD_E_NOMEM, WD_E_LIMIT as above. The matcher is as before then. */
WD_MUST_CHECK wd_status wd_matcher_advance(wd_matcher *m, uint32_t id, wd_err *err);

/* The reply may end here. */
bool wd_matcher_complete(const wd_matcher *m);

/* Jump-ahead: appends the tokens that are certain to come, at most `most`, as the tokenizer would cut them. The last one
 * whose end could be another with what follows is left out. The matcher does not move: advance over them. None is fine,
 * also for want of memory. */
void wd_matcher_ahead(wd_matcher *m, const wd_tokenizer *tok, size_t most, wd_ids *ids);
/* The same as bytes. */
void wd_matcher_ahead_bytes(wd_matcher *m, size_t most, wd_buf *out);

#endif
