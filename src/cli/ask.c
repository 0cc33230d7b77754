/* From options to a question. */
#include "cli/ask.h"

#include <string.h>

#include "cli/data.h"

wd_status wd_cli_language(const char *language, wd_err *err)
{
    if (strcmp(language, "en") != 0 && strcmp(language, "zh") != 0)
        return WD_FAIL(err, WD_E_USAGE, "--language: \"%s\", expected en or zh", language);
    return WD_OK;
}

wd_status wd_cli_ask(wd_cli *cli, const wd_ask_args *m, const char *story, const wd_runtime *rt,
                     wd_ask_opts *out, wd_err *err)
{
    *out = (wd_ask_opts){ .prompt_path = m->prompt,
                          .language = m->language,
                          .max_tokens = (uint32_t)m->max_tokens,
                          .temperature = m->temperature,
                          .seed = (uint64_t)m->seed };
    if (!rt)
        return WD_OK;
    if (!m->prompt) {
        const char *name = wd_arena_printf(cli->arena, "prompts/%s.%s.txt", story, m->language);
        if (!name)
            return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", story);
        WD_TRY(wd_data_find(cli, name, &out->prompt_path, err));
    }
    return wd_runtime_digest(rt, cli->arena, &out->model_digest, err);
}
