/* Prompt templates: text files in prompts/ with "[system]" and "[user]" parts and {{name}} places. */
#ifndef WD_CARE_PROMPT_FILE_H
#define WD_CARE_PROMPT_FILE_H

#include "base/arena.h"
#include "base/digest.h"

typedef struct wd_prompt_file {
    wd_span system, user;
    wd_digest digest; /* of the file's bytes */
    const char *path;
} wd_prompt_file;

typedef struct wd_prompt_value {
    const char *name;
    wd_span value;
} wd_prompt_value;

/* WD_E_INVALID when a part is missing. Everything lives in the arena. */
WD_MUST_CHECK wd_status wd_prompt_file_read(const char *path, wd_arena *a, wd_prompt_file *out, wd_err *err);

/* Replaces every {{name}}. An unknown name is WD_E_INVALID naming file and name. Values are not searched again. */
WD_MUST_CHECK wd_status wd_prompt_file_fill(const wd_prompt_file *f, wd_span part,
                                            const wd_prompt_value *values, size_t n, wd_buf *out,
                                            wd_err *err);

#endif
