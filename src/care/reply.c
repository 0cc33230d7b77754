/* A reply's text without what surrounds it. */
#include "care/reply.h"

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
