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

/* A reply that is {"name": ..., "arguments": ...} of one of the tools, or of the one named (NULL: any): what tool_choice
 * "required" or a function asks for. The tools have been checked. */
WD_MUST_CHECK wd_status wd_format_calls(wd_req *r, const json_t *tools, const char *name, wd_constraint **out,
                                        wd_fault *f);
/* Such a reply, when it is complete, becomes a tool call, its content empty. WD_E_INVALID: it was cut off. */
WD_MUST_CHECK wd_status wd_format_take_call(wd_parsed *reply, wd_err *err);

#endif
