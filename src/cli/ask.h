/* Options of the commands that ask a model for a draft, and how they are asked. */
#ifndef WD_CLI_ASK_H
#define WD_CLI_ASK_H

#include "care/ask.h"
#include "cli/runtime.h"

typedef struct wd_ask_args {
    const char *language, *prompt;
    int64_t max_tokens, seed;
    double temperature;
} wd_ask_args;

#define WD_ASK_OPT_(T, m, name, flag, type, field, def, min, max, help)                      \
    {                                                                                        \
        name, flag, type, offsetof(T, m) + offsetof(wd_ask_args, field), def, min, max, help \
    }
/* Rows of an option table for struct T with the field `m`. */
/* clang-format off */
#define WD_ASK_OPTS(T, m, story, language_default, languages, tokens_default)                                          \
    WD_ASK_OPT_(T, m, "language", 'l', WD_OPT_STR, language, language_default, 0, 0, "of the draft: " languages),      \
    WD_ASK_OPT_(T, m, "prompt", 0, WD_OPT_STR, prompt, NULL, 0, 0,                                                     \
                "prompt template; default: prompts/" story ".LANGUAGE.txt"),                                           \
    WD_ASK_OPT_(T, m, "max-tokens", 'n', WD_OPT_INT, max_tokens, tokens_default, 1, 1 << 24, "of a reply"),            \
    WD_ASK_OPT_(T, m, "temperature", 't', WD_OPT_NUM, temperature, "0", -1, 100, "0: greedy; -1: the model's"),        \
    WD_ASK_OPT_(T, m, "seed", 0, WD_OPT_INT, seed, "0", 0, 0x1p62, "for a temperature above 0")
/* clang-format on */

/* WD_E_USAGE for another language than en and zh. */
WD_MUST_CHECK wd_status wd_cli_language(const char *language, wd_err *err);

/* The options as the story ("report") wants them: its template is looked up where none was named, and the model's digest
 * is taken. rt NULL: no model is asked. The watch is the caller's to set. Lives in the program's arena. */
WD_MUST_CHECK wd_status wd_cli_ask(wd_cli *cli, const wd_ask_args *m, const char *story, const wd_runtime *rt,
                                   wd_ask_opts *out, wd_err *err);

#endif
