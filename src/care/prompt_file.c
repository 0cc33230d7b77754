/* Prompt templates. */
#include "care/prompt_file.h"

#include <string.h>

#include "base/file.h"

#define PROMPT_FILE_MAX ((size_t)1 << 20)

/* The lines after the line `[name]` up to the next such line or the end, without the last newline. */
static bool find_part(wd_span file, const char *mark, wd_span *out)
{
    const size_t at = wd_span_find(file, wd_span_str(mark), 0);
    if (at == SIZE_MAX || (at > 0 && file.p[at - 1] != '\n'))
        return false;
    const size_t from = at + strlen(mark);
    size_t to = wd_span_find(file, WD_SPAN_LIT("\n["), from);
    while (to != SIZE_MAX && !wd_span_starts(wd_span_sub(file, to + 1, 8), "[user]\n") &&
           !wd_span_starts(wd_span_sub(file, to + 1, 10), "[system]\n"))
        to = wd_span_find(file, WD_SPAN_LIT("\n["), to + 1);
    *out = wd_span_sub(file, from, (to == SIZE_MAX ? file.n : to) - from);
    while (out->n && out->p[out->n - 1] == '\n')
        out->n--;
    return true;
}

wd_status wd_prompt_file_read(const char *path, wd_arena *a, wd_prompt_file *out, wd_err *err)
{
    wd_buf b = { 0 };
    wd_status st = wd_file_read(path, PROMPT_FILE_MAX, &b, err);
    if (!st) {
        const char *kept = wd_arena_strndup(a, (const char *)b.p, b.n);
        const wd_span file = wd_span_of(kept, b.n);
        if (!kept)
            st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory", path);
        else if (!find_part(file, "[system]\n", &out->system) || !find_part(file, "[user]\n", &out->user))
            st = WD_FAIL(err, WD_E_INVALID, "%s: expected a [system] and a [user] part", path);
        if (!st)
            wd_digest_of(file, &out->digest);
        out->path = path;
    }
    wd_buf_free(&b);
    return st;
}

wd_status wd_prompt_file_fill(const wd_prompt_file *f, wd_span part, const wd_prompt_value *values, size_t n,
                              wd_buf *out, wd_err *err)
{
    size_t done = 0;
    for (;;) {
        const size_t open = wd_span_find(part, WD_SPAN_LIT("{{"), done);
        const size_t close = open == SIZE_MAX ? SIZE_MAX : wd_span_find(part, WD_SPAN_LIT("}}"), open);
        wd_buf_span(out, wd_span_sub(part, done, (close == SIZE_MAX ? part.n : open) - done));
        if (close == SIZE_MAX)
            return wd_buf_check(out, f->path, err);
        const wd_span name = wd_span_sub(part, open + 2, close - open - 2);
        size_t i = 0;
        while (i < n && !wd_span_is(name, values[i].name))
            i++;
        if (i == n)
            return WD_FAIL(err, WD_E_INVALID, "%s: {{%.*s}} is no known place", f->path,
                           (int)WD_MIN(name.n, 40), (const char *)name.p);
        wd_buf_span(out, values[i].value);
        done = close + 2;
    }
}
