/* The parent's part of reading ZIP files: collects the parts of an entry and holds the limits a second time. */
#include "media/archive.h"

#include "base/utf8.h"
#include "media/archive_inner.h"
#include "media/sandbox_inner.h"

enum { MEMORY = 256 << 20 };

typedef struct reading {
    const char *what;
    wd_archive_limits limits;
    wd_archive_fn fn;
    void *ctx;
    bool in_entry;
    uint32_t entry, n_entry;
    uint64_t total;
    wd_buf name, bytes;
} reading;

bool wd_archive_is_zip(wd_span head)
{
    return wd_span_starts(head, "PK\3\4") || wd_span_starts(head, "PK\5\6"); /* the second: an empty one */
}

static wd_status broken_answer(const reading *r, wd_err *err)
{
    return WD_FAIL(err, WD_E_CRASHED, "%s: the decoder's answer about it makes no sense", r->what);
}

static wd_status take_name(reading *r, wd_span b, wd_err *err)
{
    if (r->in_entry || b.n < sizeof r->entry || b.n > sizeof r->entry + WD_ARCHIVE__NAME_MAX ||
        r->n_entry == r->limits.max_entries)
        return broken_answer(r, err);
    memcpy(&r->entry, b.p, sizeof r->entry);
    wd_buf_clear(&r->name);
    wd_buf_clear(&r->bytes);
    wd_utf8_sanitize(wd_span_sub(b, sizeof r->entry, b.n), &r->name);
    wd_buf_char(&r->name, 0);
    WD_TRY(wd_buf_check(&r->name, r->what, err));
    for (size_t i = 0; i + 1 < r->name.n; i++)
        if (r->name.p[i] < 0x20 || r->name.p[i] == 0x7F)
            r->name.p[i] = '?';
    r->in_entry = true;
    r->n_entry++;
    return WD_OK;
}

static wd_status take(void *ctx, uint32_t type, wd_span bytes, wd_err *err)
{
    reading *r = ctx;
    if (type == WD_ARCHIVE__NAME)
        return take_name(r, bytes, err);
    if (!r->in_entry)
        return broken_answer(r, err);
    if (type == WD_ARCHIVE__DATA) {
        r->total += bytes.n;
        if (r->total > r->limits.max_total_bytes || bytes.n > r->limits.max_entry_bytes - r->bytes.n)
            return broken_answer(r, err);
        wd_buf_span(&r->bytes, bytes);
        return wd_buf_check(&r->bytes, r->what, err);
    }
    if (type != WD_ARCHIVE__DONE)
        return broken_answer(r, err);
    r->in_entry = false;
    return r->fn(r->ctx, r->entry, (const char *)r->name.p, wd_buf_view(&r->bytes), err);
}

static wd_archive__opts options(const wd_archive_limits *l, uint32_t only)
{
    return (wd_archive__opts){ .max_entry_bytes = l->max_entry_bytes,
                               .max_total_bytes = l->max_total_bytes,
                               .max_entries = l->max_entries,
                               .max_ratio = l->max_ratio ? l->max_ratio : 1,
                               .only = only };
}

static wd_status run(int fd, wd_span bytes, uint32_t only, reading *r, wd_err *err)
{
    const wd_archive__opts o = options(&r->limits, only);
    const wd_span opts = wd_span_of(&o, sizeof o);
    wd_sandbox_limits limits = WD_SANDBOX_LIMITS_DEFAULT;
    wd_status st;

    limits.memory_bytes = MEMORY;
    limits.message_bytes = 2 * (size_t)WD_ARCHIVE__PART;
    limits.output_bytes = r->limits.max_total_bytes + (uint64_t)r->limits.max_entries * 8192 +
                          ((uint64_t)1 << 30);
    if (fd >= 0)
        st = wd_sandbox_run(WD_DECODER_ARCHIVE, r->what, opts, fd, &limits, r->limits.cancel, take, r, err);
    else
        st = wd_sandbox__run_here(wd_decode_archive, opts, bytes, take, r, err);
    if (st == WD_OK && r->in_entry)
        st = broken_answer(r, err);
    wd_buf_free(&r->name);
    wd_buf_free(&r->bytes);
    return st;
}

wd_status wd_archive_each(int fd, const char *what, const wd_archive_limits *limits, wd_archive_fn fn,
                          void *ctx, wd_err *err)
{
    reading r = {
        .what = what, .limits = limits ? *limits : WD_ARCHIVE_LIMITS_DEFAULT, .fn = fn, .ctx = ctx
    };
    return run(fd, wd_span_of(NULL, 0), UINT32_MAX, &r, err);
}

wd_status wd_archive__each_here(wd_span bytes, const wd_archive_limits *limits, wd_archive_fn fn, void *ctx,
                                wd_err *err)
{
    reading r = {
        .what = "input", .limits = limits ? *limits : WD_ARCHIVE_LIMITS_DEFAULT, .fn = fn, .ctx = ctx
    };
    return run(-1, bytes, UINT32_MAX, &r, err);
}

static wd_status keep(void *ctx, uint32_t entry, const char *name, wd_span bytes, wd_err *err)
{
    wd_buf *out = ctx;
    (void)entry, (void)name;
    wd_buf_span(out, bytes);
    return wd_buf_check(out, "an entry of the ZIP file", err);
}

wd_status wd_archive_entry(int fd, const char *what, uint32_t entry, const wd_archive_limits *limits,
                           wd_buf *out, wd_err *err)
{
    reading r = {
        .what = what, .limits = limits ? *limits : WD_ARCHIVE_LIMITS_DEFAULT, .fn = keep, .ctx = out
    };
    return run(fd, wd_span_of(NULL, 0), entry, &r, err);
}
