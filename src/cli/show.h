/* How a generation is shown: text as it comes, progress, or one JSON object at the end. */
#ifndef WD_CLI_SHOW_H
#define WD_CLI_SHOW_H

#include "cli/runtime.h"

typedef struct wd_show {
    bool quiet; /* no text while it is generated */
    wd_progress progress;
    wd_stage stage;
    bool in_stage, in_reasoning;
} wd_show;

void wd_show_begin(wd_show *s, bool quiet);
/* Follows a call of the engine: shows progress and text, and cancels on Ctrl-C. */
wd_watch wd_show_watch(wd_show *s);
void wd_show_end(wd_show *s); /* clears what progress is on the screen */

/* After the last piece of text: the end of the line, tool calls, a word about a reply that was cut. */
WD_MUST_CHECK wd_status wd_show_text_end(wd_show *s, const wd_generated *g, wd_err *err);

/* The contract of `ward chat --json`. */
WD_MUST_CHECK wd_status wd_show_json(const wd_generated *g, const wd_generate *rq, const wd_runtime *rt,
                                     wd_err *err);

#endif
