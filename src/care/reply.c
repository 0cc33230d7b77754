/* A reply's text without what surrounds it. */
#include "care/reply.h"

#include <string.h>

static bool blank(uint8_t c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

wd_span wd_reply_trim(wd_span s)
{
    while (s.n && blank(s.p[0]))
        s = wd_span_sub(s, 1, s.n);
    while (s.n && blank(s.p[s.n - 1]))
        s.n--;
    return s;
}

wd_span wd_reply_body(wd_span s)
{
    const size_t open = wd_span_find(s, WD_SPAN_LIT("```"), 0);
    const size_t line = open == SIZE_MAX ? SIZE_MAX : wd_span_find(s, WD_SPAN_LIT("\n"), open);
    const size_t close = line == SIZE_MAX ? SIZE_MAX : wd_span_find(s, WD_SPAN_LIT("```"), line);
    return wd_reply_trim(close == SIZE_MAX ? s : wd_span_sub(s, line + 1, close - line - 1));
}

json_t *wd_reply_json(wd_span s, const char *opens, bool *no_memory)
{
    size_t at = 0;
    while (at < s.n && (!s.p[at] || !strchr(opens, s.p[at])))
        at++;
    if (at == s.n)
        return NULL;
    json_error_t why;
    json_t *v = json_loadb((const char *)s.p + at, s.n - at, JSON_DISABLE_EOF_CHECK | JSON_REJECT_DUPLICATES,
                           &why);
    if (no_memory && !v && json_error_code(&why) == json_error_out_of_memory)
        *no_memory = true;
    return v;
}
