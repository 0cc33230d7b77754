/* What the stories share: how a model is asked, and what a draft notes of where it came from. */
#ifndef WD_CARE_ASK_H
#define WD_CARE_ASK_H

#include "care/prompt_file.h"
#include "engine/engine.h"

typedef struct wd_ask_opts {
    const char *prompt_path;  /* template file (care/prompt_file.h) */
    const char *language;     /* "en" or "zh": of the draft */
    uint32_t max_tokens;      /* of a reply */
    double temperature;       /* < 0: the model's */
    uint64_t seed;            /* for a temperature above 0 */
    const char *model_digest; /* hex, noted in the draft; NULL: left out */
    wd_watch watch;
} wd_ask_opts;

typedef struct wd_origin {
    const char *language;
    const char *model, *model_digest;    /* NULL: none was asked, none is known */
    char prompt_digest[65], created[21]; /* of the template, hex; ISO 8601 */
    wd_timings timings;                  /* of all replies */
    size_t n_prompt, n_reply;            /* tokens, of all replies */
    bool cut;                            /* the token limit ended the last reply */
} wd_origin;

/* The user's message of a template: its text with the values filled in and, where {{images}} stands, n_image pictures each
 * after its label. In the arena.
 *   WD_E_INVALID  there are pictures and no {{images}}; or as wd_prompt_file_fill() */
WD_MUST_CHECK wd_status wd_ask_message(const wd_prompt_file *f, const wd_prompt_value *value, size_t n_value,
                                       const char *const *label, uint32_t n_image, wd_arena *a,
                                       wd_message *out, wd_err *err);

/* Before the first question. f NULL: none is asked. */
void wd_origin_begin(wd_origin *g, const wd_engine *e, const wd_ask_opts *o, const wd_prompt_file *f);

/* One reply to rq's chat and media, with o's way of sampling, limit and watch; adds to g. The reply is the caller's
 * (wd_parsed_free). Errors as wd_engine.generate. */
WD_MUST_CHECK wd_status wd_ask(wd_engine *e, const wd_ask_opts *o, wd_generate *rq, wd_arena *a, wd_origin *g,
                               wd_parsed *reply, wd_err *err);
/* The same with a template's system part (may be empty) and one message of the user; *text is what the model wrote, as valid UTF-8. */
WD_MUST_CHECK wd_status wd_ask_text(wd_engine *e, const wd_ask_opts *o, wd_span system,
                                    const wd_message *user, const wd_media *media, wd_arena *a, wd_origin *g,
                                    const char **text, wd_err *err);

#endif
