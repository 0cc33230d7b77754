/* What a reply is held to: response_format, vLLM's structured_outputs, and calls that the client demands. Compiled once
 * and kept (text/schema/cache.h). */
#ifndef WD_SERVE_OPENAI_FORMAT_H
#define WD_SERVE_OPENAI_FORMAT_H

#include "serve/inner.h"
#include "text/schema/cache.h"

/* A JSON Schema; param names it in faults. */
WD_MUST_CHECK wd_status wd_format_schema(wd_req *r, const json_t *schema, const char *param,
                                         wd_constraint **out, wd_fault *f);
/* Any JSON object. */
WD_MUST_CHECK wd_status wd_format_object(wd_req *r, const char *param, wd_constraint **out, wd_fault *f);
/* response_format; o NULL, or of type text: *out stays as it is. */
WD_MUST_CHECK wd_status wd_format_read(wd_req *r, const json_t *o, wd_constraint **out, wd_fault *f);
/* {"json": SCHEMA}, {"regex": ...}, {"choice": [...]} or {"json_object": true}; o NULL: nothing. */
WD_MUST_CHECK wd_status wd_format_read_structured(wd_req *r, const json_t *o, wd_constraint **out,
                                                  wd_fault *f);

/* What a client says of calls: must (tool_choice "required", or a function by its name, NULL: any), one at most. */
typedef struct wd_call_choice {
    const char *name;
    bool must, one;
} wd_call_choice;
/* Holds the reply's calls to the tools, which have been checked: rq->call and what goes with it. *out gets what is to be
 * kept while rq is used. Parameters with keywords that are not taken are refused where calls are demanded, and for a
 * function that is strict; otherwise such a function may be called with any object. With an engine that holds no calls,
 * one that is demanded comes as content, {"name": ..., "arguments": ...}: then *as_content. */
WD_MUST_CHECK wd_status wd_format_calls(wd_req *r, const json_t *tools, const wd_call_choice *how,
                                        wd_generate *rq, bool *as_content, wd_constraint **out, wd_fault *f);
/* Such a reply, when it is complete, becomes a tool call, its content empty. WD_E_INVALID: it was cut off. */
WD_MUST_CHECK wd_status wd_format_take_call(wd_parsed *reply, wd_err *err);

#endif
