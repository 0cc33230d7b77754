/* Forms with files. */
#include "serve/multipart.h"

#include <stdio.h>
#include <strings.h>

#define HEAD_MAX 8192 /* bytes of one part's headers */

/* --- the boundary ------------------------------------------------------------------------------------------ */

wd_status wd_multipart_boundary(const char *content_type, char out[WD_BOUNDARY_MAX + 1], wd_err *err)
{
    static const char type[] = "multipart/form-data", key[] = "boundary=";
    const char *at = content_type;
    size_t n;
    if (!at || strncasecmp(at, type, sizeof type - 1) != 0 ||
        (at[sizeof type - 1] != ';' && at[sizeof type - 1] != ' '))
        return WD_FAIL(err, WD_E_INVALID, "expected a body of type multipart/form-data");
    for (at += sizeof type - 1; (at = strchr(at, ';')) != NULL;) {
        at += 1 + strspn(at + 1, " \t");
        if (!strncasecmp(at, key, sizeof key - 1))
            break;
    }
    if (at) {
        at += sizeof key - 1;
        const bool quoted = *at == '"';
        at += quoted;
        n = strcspn(at, quoted ? "\"" : "; \t");
        if (n >= 1 && n <= WD_BOUNDARY_MAX && (!quoted || at[n] == '"')) {
            memcpy(out, at, n);
            out[n] = 0;
            return WD_OK;
        }
    }
    return WD_FAIL(err, WD_E_INVALID, "Content-Type names no boundary of 1 to %d characters",
                   WD_BOUNDARY_MAX);
}

/* --- headers of a part ------------------------------------------------------------------------------------- */

/* The value of key="..." (or key=token) in a header's parameters; {NULL, 0}: it is not there. */
static wd_span parameter(wd_span line, const char *key)
{
    const size_t n_key = strlen(key);
    bool in_quotes = false;
    for (size_t i = 0; i < line.n; i++) {
        if (line.p[i] == '\\' && in_quotes) {
            i++;
            continue;
        }
        if (line.p[i] == '"')
            in_quotes = !in_quotes;
        if (line.p[i] != ';' || in_quotes)
            continue;
        size_t at = i + 1;
        while (at < line.n && (line.p[at] == ' ' || line.p[at] == '\t'))
            at++;
        if (line.n - at <= n_key || strncasecmp((const char *)line.p + at, key, n_key) != 0 ||
            line.p[at + n_key] != '=')
            continue;
        at += n_key + 1;
        const bool quoted = at < line.n && line.p[at] == '"';
        const size_t from = at + quoted;
        size_t to = from;
        while (to < line.n && (quoted ? line.p[to] != '"' : line.p[to] != ';'))
            to += line.p[to] == '\\' && quoted && to + 1 < line.n ? 2 : 1;
        return wd_span_of(line.p + from, to - from);
    }
    return (wd_span){ 0 };
}

static void read_line(wd_span line, wd_form_part *part)
{
    static const char header[] = "content-disposition:";
    if (line.n < sizeof header - 1 || strncasecmp((const char *)line.p, header, sizeof header - 1) != 0)
        return;
    part->name = parameter(line, "name");
    part->filename = parameter(line, "filename");
}

/* --- the body ---------------------------------------------------------------------------------------------- */

static wd_status broken(wd_err *err)
{
    return WD_FAIL(err, WD_E_CORRUPT, "the form is damaged, or was cut off");
}

/* One part: its headers, an empty line, and its body up to `end`. */
static wd_status read_part(wd_span text, wd_form_part *part, wd_err *err)
{
    *part = (wd_form_part){ 0 };
    for (size_t at = 0; at < text.n && at < HEAD_MAX;) {
        const size_t eol = wd_span_find(text, WD_SPAN_LIT("\r\n"), at);
        if (eol == SIZE_MAX)
            break;
        if (eol == at) {
            part->body = wd_span_sub(text, at + 2, text.n);
            if (!part->name.n)
                return WD_FAIL(err, WD_E_CORRUPT, "the form has a part without a name");
            return WD_OK;
        }
        read_line(wd_span_sub(text, at, eol - at), part);
        at = eol + 2;
    }
    return broken(err);
}

wd_status wd_multipart_parse(wd_span body, const char *boundary, wd_form_part *part, size_t max, size_t *n,
                             wd_err *err)
{
    char mark[WD_BOUNDARY_MAX + 5];
    snprintf(mark, sizeof mark, "\r\n--%.*s", WD_BOUNDARY_MAX, boundary);
    const wd_span next = wd_span_str(mark), first = wd_span_sub(next, 2, next.n);
    *n = 0;
    /* the first boundary may stand at the very beginning; what comes before it is no part */
    size_t at = wd_span_starts(body, mark + 2) ? first.n : wd_span_find(body, next, 0);
    if (at == SIZE_MAX)
        return broken(err);
    if (!wd_span_starts(body, mark + 2))
        at += next.n;
    for (;;) {
        const wd_span rest = wd_span_sub(body, at, body.n);
        if (wd_span_starts(rest, "--"))
            return WD_OK;
        if (!wd_span_starts(rest, "\r\n"))
            return broken(err);
        const size_t end = wd_span_find(body, next, at);
        if (end == SIZE_MAX)
            return broken(err);
        if (*n == max)
            return WD_FAIL(err, WD_E_LIMIT, "the form has more than %zu parts", max);
        /* an empty part's line end is the boundary's */
        const wd_span text = end < at + 2 ? (wd_span){ 0 } : wd_span_sub(body, at + 2, end - at - 2);
        WD_TRY(read_part(text, &part[*n], err));
        ++*n;
        at = end + next.n;
    }
}
