/* Any bytes as a form, the first line its Content-Type: views within the body, or a sentence. */
#include <stdlib.h>

#include "serve/multipart.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

static void within(wd_span s, const uint8_t *data, size_t size)
{
    must(!s.n || (s.p >= data && s.p + s.n <= data + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wd_form_part part[8];
    char type[256] = "", boundary[WD_BOUNDARY_MAX + 1];
    wd_err err = { 0 };
    const uint8_t *eol = size ? memchr(data, '\n', size) : NULL;
    if (!eol || (size_t)(eol - data) >= sizeof type)
        return 0;
    memcpy(type, data, (size_t)(eol - data));
    if (wd_multipart_boundary(type, boundary, &err)) {
        must(err.text[0]);
        return 0;
    }
    const size_t from = (size_t)(eol + 1 - data);
    size_t n = 0;
    if (wd_multipart_parse(wd_span_of(data + from, size - from), boundary, part, WD_COUNT(part), &n, &err))
        must(err.text[0]);
    must(n <= WD_COUNT(part));
    for (size_t i = 0; i < n; i++) {
        must(part[i].name.n > 0);
        within(part[i].name, data + from, size - from);
        within(part[i].filename, data + from, size - from);
        within(part[i].body, data + from, size - from);
    }
    return 0;
}
