/* The worker's part of reading ZIP files. What a header claims about sizes is never used: bytes are counted as they
 * come out. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <unistd.h>

#include "media/archive_inner.h"

enum { BLOCK = 256 * 1024, RATIO_FREE = 64 << 20 /* bytes below which no ratio is a bomb */ };

typedef struct source {
    int fd;
    uint64_t at, size;
    uint8_t block[BLOCK];
} source;

typedef struct unpacking {
    struct archive *a;
    const wd_archive__opts *o;
    uint64_t packed, total;
    uint8_t part[WD_ARCHIVE__PART];
} unpacking;

static la_ssize_t read_block(struct archive *a, void *ctx, const void **out)
{
    source *s = ctx;
    ssize_t n;
    do
        n = pread(s->fd, s->block, sizeof s->block, (off_t)s->at);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        archive_set_error(a, errno, "read error");
        return ARCHIVE_FATAL;
    }
    s->at += (uint64_t)n;
    *out = s->block;
    return n;
}

static la_int64_t skip_bytes(struct archive *a, void *ctx, la_int64_t n)
{
    source *s = ctx;
    (void)a;
    if (n < 0)
        return 0;
    const uint64_t left = s->size > s->at ? s->size - s->at : 0, take = WD_MIN((uint64_t)n, left);
    s->at += take;
    return (la_int64_t)take;
}

static la_int64_t seek_to(struct archive *a, void *ctx, la_int64_t offset, int whence)
{
    source *s = ctx;
    const int64_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? (int64_t)s->at : (int64_t)s->size;
    (void)a;
    if (offset < -base || offset > (int64_t)s->size - base)
        return ARCHIVE_FATAL;
    s->at = (uint64_t)(base + offset);
    return (la_int64_t)s->at;
}

void wd_archive__prepare(void)
{
    struct archive *a = archive_read_new(); /* initialises what the library initialises once */
    if (a && archive_read_support_format_zip(a) == ARCHIVE_OK)
        (void)archive_version_details();
    archive_read_free(a);
}

static bool name_is(const char *name, const char *suffix)
{
    const size_t n = strlen(name), m = strlen(suffix);
    if (n < m)
        return false;
    for (size_t i = 0; i < m; i++)
        if ((name[n - m + i] | 0x20) != suffix[i])
            return false;
    return true;
}

/* By its name and its bytes: a word processor's file is a ZIP too, and no reason to refuse. */
static bool is_archive(const char *name, wd_span head)
{
    static const struct {
        const char *suffix;
        wd_span magic;
    } kinds[] = { { ".zip", WD_SPAN_LIT("PK\3\4") },
                  { ".7z", WD_SPAN_LIT("7z\xBC\xAF") },
                  { ".rar", WD_SPAN_LIT("Rar!") },
                  { ".gz", WD_SPAN_LIT("\x1F\x8B") },
                  { ".tgz", WD_SPAN_LIT("\x1F\x8B") },
                  { ".bz2", WD_SPAN_LIT("BZh") },
                  { ".xz", WD_SPAN_LIT("\xFD"
                                       "7zXZ") } };
    for (size_t i = 0; i < WD_COUNT(kinds); i++)
        if (name_is(name, kinds[i].suffix) &&
            wd_span_eq(wd_span_sub(head, 0, kinds[i].magic.n), kinds[i].magic))
            return true;
    return name_is(name, ".tar") && wd_span_eq(wd_span_sub(head, 257, 5), WD_SPAN_LIT("ustar"));
}

static wd_status damaged(const unpacking *u, uint32_t entry, wd_err *err)
{
    const int why = archive_errno(u->a);
    if (why == ENOMEM)
        return WD_FAIL(err, WD_E_NOMEM, "no memory to unpack entry %u", (unsigned)entry + 1);
    return WD_FAIL(err, WD_E_CORRUPT, "the ZIP file is damaged or cut off at entry %u", (unsigned)entry + 1);
}

static wd_status count_bytes(unpacking *u, uint64_t *of_entry, uint64_t n, uint32_t entry, wd_err *err)
{
    *of_entry += n;
    u->total += n;
    if (*of_entry > u->o->max_entry_bytes)
        return WD_FAIL(err, WD_E_LIMIT, "entry %u unpacks to more than %llu bytes", (unsigned)entry + 1,
                       (unsigned long long)u->o->max_entry_bytes);
    if (u->total > u->o->max_total_bytes)
        return WD_FAIL(err, WD_E_LIMIT, "the ZIP file unpacks to more than %llu bytes",
                       (unsigned long long)u->o->max_total_bytes);
    if (u->total > RATIO_FREE && u->total / u->o->max_ratio > u->packed)
        return WD_FAIL(err, WD_E_LIMIT,
                       "the ZIP file of %llu bytes unpacks to more than %u times its size (a bomb?)",
                       (unsigned long long)u->packed, (unsigned)u->o->max_ratio);
    return WD_OK;
}

static wd_status unpack_entry(unpacking *u, uint32_t entry, const char *name, wd_emit *out, wd_err *err)
{
    uint8_t head[sizeof entry + WD_ARCHIVE__NAME_MAX];
    const size_t name_n = strnlen(name, WD_ARCHIVE__NAME_MAX);
    uint64_t of_entry = 0;

    memcpy(head, &entry, sizeof entry);
    memcpy(head + sizeof entry, name, name_n);
    WD_TRY(wd_emit_put(out, WD_ARCHIVE__NAME, wd_span_of(head, sizeof entry + name_n), err));
    for (;;) {
        const la_ssize_t n = archive_read_data(u->a, u->part, sizeof u->part);
        if (n == 0)
            break;
        if (n == ARCHIVE_RETRY)
            continue;
        if (n < 0)
            return damaged(u, entry, err);
        if (of_entry == 0 && is_archive(name, wd_span_of(u->part, (size_t)n)))
            return WD_FAIL(err, WD_E_UNSUPPORTED, "entry %u is an archive in the archive; unpack it first",
                           (unsigned)entry + 1);
        WD_TRY(count_bytes(u, &of_entry, (uint64_t)n, entry, err));
        WD_TRY(wd_emit_put(out, WD_ARCHIVE__DATA, wd_span_of(u->part, (size_t)n), err));
    }
    return wd_emit_put(out, WD_ARCHIVE__DONE, wd_span_of(NULL, 0), err);
}

static wd_status unpack(unpacking *u, wd_emit *out, wd_err *err)
{
    for (uint32_t entry = 0;; entry++) {
        struct archive_entry *e;
        const int r = archive_read_next_header(u->a, &e);
        if (r == ARCHIVE_EOF)
            break;
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return entry ? damaged(u, entry, err) : WD_FAIL(err, WD_E_CORRUPT, "not a readable ZIP file");
        if (entry == u->o->max_entries)
            return WD_FAIL(err, WD_E_LIMIT, "the ZIP file has more than %u entries",
                           (unsigned)u->o->max_entries);
        if (archive_entry_is_encrypted(e))
            return WD_FAIL(err, WD_E_UNSUPPORTED, "entry %u is encrypted", (unsigned)entry + 1);
        if (archive_entry_filetype(e) != AE_IFREG || (u->o->only != UINT32_MAX && u->o->only != entry))
            continue;
        const char *name = archive_entry_pathname_utf8(e);
        if (!name)
            name = archive_entry_pathname(e);
        WD_TRY(unpack_entry(u, entry, name ? name : "", out, err));
        if (u->o->only == entry)
            return WD_OK;
    }
    if (u->o->only != UINT32_MAX)
        return WD_FAIL(err, WD_E_NOT_FOUND, "the ZIP file has no entry %u", (unsigned)u->o->only + 1);
    return WD_OK;
}

wd_status wd_decode_archive(const wd_decode_in *in, wd_emit *out, wd_err *err)
{
    wd_archive__opts o;
    wd_status st;
    source *s = WD_ALLOC(source);
    unpacking *u = WD_ALLOC(unpacking);

    if (in->opts.n != sizeof o) {
        st = WD_FAIL(err, WD_E_INTERNAL, "archive decoder: %zu bytes of options", in->opts.n);
        goto out;
    }
    memcpy(&o, in->opts.p, sizeof o);
    if (!s || !u || !(u->a = archive_read_new())) {
        st = WD_FAIL(err, WD_E_NOMEM, "no memory to unpack");
        goto out;
    }
    s->fd = in->fd;
    s->size = in->size;
    u->o = &o;
    u->packed = in->size;
    archive_read_set_read_callback(u->a, read_block);
    archive_read_set_skip_callback(u->a, skip_bytes);
    archive_read_set_seek_callback(u->a, seek_to);
    archive_read_set_callback_data(u->a, s);
    if (archive_read_support_format_zip(u->a) != ARCHIVE_OK || archive_read_open1(u->a) != ARCHIVE_OK)
        st = WD_FAIL(err, WD_E_CORRUPT, "not a readable ZIP file");
    else
        st = unpack(u, out, err);
out:
    if (u && u->a)
        archive_read_free(u->a);
    wd_free(u);
    wd_free(s);
    return st;
}
