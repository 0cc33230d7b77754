/* Lines, fields, events. */
#include "engine/remote/sse.h"

static const uint8_t bom[3] = { 0xEF, 0xBB, 0xBF };

void wd_sse_init(wd_sse *s, size_t max, wd_sse_fn fn, void *self)
{
    *s = (wd_sse){ .max = max, .fn = fn, .self = self };
}

void wd_sse_deinit(wd_sse *s)
{
    wd_buf_wipe(&s->line);
    wd_buf_wipe(&s->data);
    wd_buf_free(&s->line);
    wd_buf_free(&s->data);
}

static wd_status add(wd_sse *s, wd_buf *b, wd_span bytes, const char *what, wd_err *err)
{
    s->over = bytes.n > s->max - b->n;
    if (s->over)
        return WD_FAIL(err, WD_E_LIMIT, "the stream has %s of more than %zu bytes", what, s->max);
    wd_buf_span(b, bytes);
    return wd_buf_check(b, "stream", err);
}

static wd_status end_event(wd_sse *s, wd_err *err)
{
    if (!s->has_data)
        return WD_OK;
    const wd_status st = s->fn(s->self, wd_buf_view(&s->data), err);
    wd_buf_clear(&s->data);
    s->has_data = false;
    return st;
}

static wd_status end_line(wd_sse *s, wd_err *err)
{
    wd_span line = wd_buf_view(&s->line);
    if (!s->began && line.n >= sizeof bom && !memcmp(line.p, bom, sizeof bom))
        line = wd_span_sub(line, sizeof bom, line.n);
    s->began = true;
    wd_status st = WD_OK;
    if (!line.n) {
        st = end_event(s, err);
    } else if (wd_span_starts(line, "data") && (line.n == 4 || line.p[4] == ':')) {
        const size_t at = line.n > 5 && line.p[5] == ' ' ? 6 : 5;
        if (s->has_data)
            st = add(s, &s->data, WD_SPAN_LIT("\n"), "an event", err);
        if (!st)
            st = add(s, &s->data, wd_span_sub(line, at, line.n), "an event", err);
        s->has_data = true;
    }
    wd_buf_clear(&s->line);
    return st;
}

wd_status wd_sse_feed(wd_sse *s, wd_span bytes, wd_err *err)
{
    for (size_t i = 0; i < bytes.n;) {
        if (s->after_cr && bytes.p[i] == '\n')
            i++;
        s->after_cr = false;
        size_t end = i;
        while (end < bytes.n && bytes.p[end] != '\n' && bytes.p[end] != '\r')
            end++;
        WD_TRY(add(s, &s->line, wd_span_sub(bytes, i, end - i), "a line", err));
        if (end == bytes.n)
            return WD_OK;
        s->after_cr = bytes.p[end] == '\r';
        i = end + 1;
        WD_TRY(end_line(s, err));
    }
    return WD_OK;
}
