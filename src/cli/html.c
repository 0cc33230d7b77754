/* Escaping, base 64, and a printf that escapes. */
#include "cli/html.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/utf8.h"

static void put_text(wd_buf *b, const char *text)
{
    const wd_span s = wd_span_str(text);
    size_t n;
    for (size_t at = 0; at < s.n; at += n) {
        const uint32_t cp = wd_utf8_next(s, at, &n);
        switch (cp) {
        case '&':
            wd_buf_str(b, "&amp;");
            break;
        case '<':
            wd_buf_str(b, "&lt;");
            break;
        case '>':
            wd_buf_str(b, "&gt;");
            break;
        case '"':
            wd_buf_str(b, "&quot;");
            break;
        case '\'':
            wd_buf_str(b, "&#39;");
            break;
        default:
            if (cp == 0xFFFD || (cp < 0x20 && cp != '\n' && cp != '\t') || cp == 0x7F)
                wd_buf_str(b, "\xEF\xBF\xBD");
            else
                wd_buf_span(b, wd_span_sub(s, at, n));
        }
    }
}

void wd_html(wd_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    while (*fmt) {
        const size_t plain = strcspn(fmt, "%");
        wd_buf_put(b, fmt, plain);
        fmt += plain;
        if (!*fmt)
            break;
        char spec[16], out[64] = "";
        const size_t n = 1 + strspn(fmt + 1, "+-0123456789.") + 1;
        snprintf(spec, sizeof spec, "%.*s", (int)WD_MIN(n, sizeof spec - 1), fmt);
        const char kind = fmt[n - 1];
        fmt += n;
        if (kind == 's') {
            put_text(b, va_arg(ap, const char *));
            continue;
        }
        if (kind == 'd' || kind == 'c')
            snprintf(out, sizeof out, spec, va_arg(ap, int));
        else if (kind == 'u')
            snprintf(out, sizeof out, spec, va_arg(ap, unsigned));
        else if (kind == 'f' || kind == 'g')
            snprintf(out, sizeof out, spec, va_arg(ap, double));
        else if (kind == '%')
            snprintf(out, sizeof out, "%%");
        wd_buf_str(b, out);
    }
    va_end(ap);
}

void wd_html_data(wd_buf *b, const char *type, wd_span bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    wd_html(b, "data:%s;base64,", type);
    for (size_t i = 0; i < bytes.n; i += 3) {
        const size_t n = WD_MIN(bytes.n - i, (size_t)3);
        const uint32_t v = (uint32_t)bytes.p[i] << 16 | (n > 1 ? (uint32_t)bytes.p[i + 1] << 8 : 0) |
                           (n > 2 ? bytes.p[i + 2] : 0);
        const char out[4] = { digits[v >> 18], digits[v >> 12 & 63], n > 1 ? digits[v >> 6 & 63] : '=',
                              n > 2 ? digits[v & 63] : '=' };
        wd_buf_put(b, out, 4);
    }
}
