/* See dicom_parse.h. Nesting is followed with a small stack of our own, so that a file cannot exhaust the C one,
 * and every length is compared with the bytes that are left before it is used. */
#include "media/dicom_parse.h"

#include <math.h>
#include <stdlib.h>
#include <zlib.h>

#define ITEM WD_TAG(0xFFFE, 0xE000)
#define ITEM_END WD_TAG(0xFFFE, 0xE00D)
#define SEQUENCE_END WD_TAG(0xFFFE, 0xE0DD)
#define UNDEFINED 0xFFFFFFFFu

enum { PREAMBLE = 128 };

/* How elements are written at some place. */
typedef struct coding {
    bool explicit_vr, big;
} coding;

typedef struct head {
    uint32_t tag, length;
    char vr[3];
    size_t n; /* bytes of the head */
} head;

uint16_t wd_dcm_u16(const uint8_t *p, bool big)
{
    return big ? (uint16_t)(p[0] << 8 | p[1]) : wd_le16(p);
}

uint32_t wd_dcm_u32(const uint8_t *p, bool big)
{
    return big ? (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3] : wd_le32(p);
}

static uint64_t u64(const uint8_t *p, bool big)
{
    return big ? (uint64_t)wd_dcm_u32(p, true) << 32 | wd_dcm_u32(p + 4, true) : wd_le64(p);
}

static bool is_vr(const uint8_t *p)
{
    return p[0] >= 'A' && p[0] <= 'Z' && p[1] >= 'A' && p[1] <= 'Z';
}

/* VRs with two reserved bytes and a 32-bit length (PS3.5 table 7.1-1). */
static bool is_long_vr(const uint8_t *p)
{
    static const char vrs[][3] = { "OB", "OD", "OF", "OL", "OV", "OW", "SQ",
                                   "SV", "UC", "UN", "UR", "UT", "UV" };
    for (size_t i = 0; i < WD_COUNT(vrs); i++)
        if (memcmp(p, vrs[i], 2) == 0)
            return true;
    return false;
}

static wd_status cut_short(size_t at, wd_err *err)
{
    return WD_FAIL(err, WD_E_CORRUPT, "the data ends inside the element at byte %zu", at);
}

static wd_status read_head(wd_span s, size_t at, coding c, head *h, wd_err *err)
{
    const uint8_t *p = s.p + at;
    const size_t left = s.n - at;

    if (left < 8)
        return cut_short(at, err);
    *h = (head){ .tag = WD_TAG(wd_dcm_u16(p, c.big), wd_dcm_u16(p + 2, c.big)), .n = 8 };
    if (!c.explicit_vr || h->tag >> 16 == 0xFFFE || !is_vr(p + 4)) {
        h->length = wd_dcm_u32(p + 4, c.big);
        return WD_OK;
    }
    memcpy(h->vr, p + 4, 2);
    if (!is_long_vr(p + 4)) {
        h->length = wd_dcm_u16(p + 6, c.big);
        return WD_OK;
    }
    if (left < 12)
        return cut_short(at, err);
    h->n = 12;
    h->length = wd_dcm_u32(p + 8, c.big);
    return WD_OK;
}

static wd_status check_length(const head *h, size_t left, wd_err *err)
{
    if (h->length > left)
        return WD_FAIL(err, WD_E_CORRUPT, "element (%04x,%04x) claims %u bytes, %zu are left",
                       (unsigned)(h->tag >> 16), (unsigned)(h->tag & 0xffff), (unsigned)h->length, left);
    return WD_OK;
}

/* What an element of undefined length holds is coded as its surroundings; an unknown one implicitly (CP-246). */
static coding inside(coding c, const head *h)
{
    return strcmp(h->vr, "UN") == 0 ? (coding){ .explicit_vr = false, .big = false } : c;
}

/* From *at, just after the head of an element of undefined length, past its delimiter; *end is before it. */
static wd_status skip_undefined(wd_span s, size_t *at, coding c, size_t *end, wd_err *err)
{
    struct {
        bool in_item; /* else between items */
        coding c;
    } level[2 * WD_DCM_DEPTH_MAX] = { { .in_item = false, .c = c } };
    size_t depth = 1;

    while (depth > 0) {
        head h;
        const bool in_item = level[depth - 1].in_item;
        const coding now = level[depth - 1].c;
        *end = *at;
        WD_TRY(read_head(s, *at, now, &h, err));
        *at += h.n;
        if (h.tag == (in_item ? ITEM_END : SEQUENCE_END)) {
            depth--;
            continue;
        }
        if (!in_item && h.tag != ITEM)
            return WD_FAIL(err, WD_E_CORRUPT,
                           "(%04x,%04x) at byte %zu, where an item of a sequence was expected",
                           (unsigned)(h.tag >> 16), (unsigned)(h.tag & 0xffff), *end);
        if (h.length != UNDEFINED) {
            WD_TRY(check_length(&h, s.n - *at, err));
            *at += h.length;
            continue;
        }
        if (depth == WD_COUNT(level))
            return WD_FAIL(err, WD_E_LIMIT, "sequences are nested more than %d deep", WD_DCM_DEPTH_MAX);
        level[depth].in_item = !in_item;
        level[depth].c = in_item ? inside(now, &h) : now;
        depth++;
    }
    return WD_OK;
}

/* Sequences of defined length inside each other: nobody here follows them deeper than needed, but a file whose
 * nesting has no end is refused as a whole. */
static wd_status check_nesting(wd_span s, coding c, wd_err *err)
{
    size_t end[2 * WD_DCM_DEPTH_MAX], depth = 0, at = 0;

    while (at < s.n) {
        head h;
        while (depth > 0 && at >= end[depth - 1])
            depth--;
        WD_TRY(read_head(s, at, c, &h, err));
        at += h.n;
        if (h.tag == WD_TAG_PIXEL_DATA && depth == 0)
            return WD_OK;
        if (h.length == UNDEFINED || h.tag == ITEM_END || h.tag == SEQUENCE_END) {
            /* Undefined lengths are counted where they are skipped; delimiters have length 0. */
            if (h.length == UNDEFINED && strcmp(h.vr, "UN") == 0) {
                size_t before;
                WD_TRY(skip_undefined(s, &at, inside(c, &h), &before, err));
            }
            continue;
        }
        if (h.length > s.n - at)
            return WD_OK; /* whoever looks into it will not find it; the rest of the file is whole */
        if (h.tag != ITEM && strcmp(h.vr, "SQ") != 0) {
            at += h.length;
            continue;
        }
        if (depth == WD_COUNT(end))
            return WD_FAIL(err, WD_E_LIMIT, "sequences are nested more than %d deep", WD_DCM_DEPTH_MAX);
        end[depth++] = at + h.length;
    }
    return WD_OK;
}

/* The element at *at, which moves past it. Pixel Data of undefined length reaches to the end: its fragments are
 * walked when they are wanted. */
static wd_status read_elem(wd_span s, size_t *at, coding c, wd_dcm_elem *out, wd_err *err)
{
    head h;
    size_t end;

    WD_TRY(read_head(s, *at, c, &h, err));
    const size_t first = *at + h.n;
    *out = (wd_dcm_elem){
        .tag = h.tag, .undefined = h.length == UNDEFINED, .big = c.big, .explicit_vr = c.explicit_vr
    };
    memcpy(out->vr, h.vr, sizeof out->vr);
    if (!out->undefined) {
        if (h.tag == WD_TAG_PIXEL_DATA) /* cut off: the header is whole, and decoding says what is missing */
            h.length = (uint32_t)WD_MIN(h.length, s.n - first);
        WD_TRY(check_length(&h, s.n - first, err));
        out->value = wd_span_sub(s, first, h.length);
        *at = first + h.length;
        return WD_OK;
    }
    const coding in = inside(c, &h);
    out->explicit_vr = in.explicit_vr;
    out->big = in.big;
    *at = first;
    if (h.tag == WD_TAG_PIXEL_DATA) {
        end = *at = s.n;
    } else {
        WD_TRY(skip_undefined(s, at, in, &end, err));
    }
    out->value = wd_span_sub(s, first, end - first);
    return WD_OK;
}

/* ---- opening ---- */

/* A first element that real files have: group 2 or 8, little or big endian, a VR or a plausible length. */
static bool looks_like_dataset(wd_span s, coding *c)
{
    if (s.n < 8)
        return false;
    for (int big = 0; big < 2; big++) {
        const uint16_t group = wd_dcm_u16(s.p, big), element = wd_dcm_u16(s.p + 2, big);
        if (group == 0 || group > 0x0010 || group % 2 || element > 0x1155)
            continue;
        *c = (coding){ .explicit_vr = is_vr(s.p + 4), .big = big };
        if (c->explicit_vr || wd_dcm_u32(s.p + 4, big) <= 0x10000)
            return true;
    }
    return false;
}

static wd_status read_meta(wd_dcm *d, wd_span s, size_t *at, wd_err *err)
{
    const coding c = { .explicit_vr = true, .big = false };
    while (s.n - *at >= 8 && wd_le16(s.p + *at) == 2) {
        wd_dcm_elem e;
        WD_TRY(read_elem(s, at, c, &e, err));
        if (e.tag == WD_TAG(2, 0x10)) {
            size_t n = WD_MIN(e.value.n, sizeof d->transfer_syntax - 1);
            memcpy(d->transfer_syntax, e.value.p, n);
            while (n > 0 && (d->transfer_syntax[n - 1] == ' ' || d->transfer_syntax[n - 1] == 0))
                n--;
            d->transfer_syntax[n] = 0;
        }
    }
    return WD_OK;
}

static wd_status inflate_rest(wd_dcm *d, wd_span s, wd_err *err)
{
    enum { STEP = 1 << 20 };
    z_stream z = { 0 };
    int r = Z_OK;

    if (s.n > UINT32_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "%zu deflated bytes are too many", s.n);
    if (inflateInit2(&z, -MAX_WBITS) != Z_OK)
        return WD_FAIL(err, WD_E_NOMEM, "no memory to inflate");
    z.next_in = (uint8_t *)(uintptr_t)s.p;
    z.avail_in = (uInt)s.n;
    d->inflated.max = WD_DCM_INFLATED_MAX;
    while (r == Z_OK && !d->inflated.failed) {
        uint8_t *p = wd_buf_grow(&d->inflated, STEP);
        if (!p)
            break;
        z.next_out = p;
        z.avail_out = STEP;
        r = inflate(&z, Z_NO_FLUSH);
        d->inflated.n -= z.avail_out;
        if (r == Z_BUF_ERROR || (r == Z_OK && z.avail_in == 0 && z.avail_out == STEP))
            break;
    }
    inflateEnd(&z);
    WD_TRY(wd_buf_check(&d->inflated, "deflated dataset", err));
    if (r != Z_STREAM_END)
        return WD_FAIL(err, r == Z_MEM_ERROR ? WD_E_NOMEM : WD_E_CORRUPT,
                       "the deflated dataset is damaged or cut off");
    return WD_OK;
}

/* How the dataset is written. The first element decides against a wrong transfer syntax. */
static wd_status choose_coding(const wd_dcm *d, wd_span s, coding *c, wd_err *err)
{
    coding seen;
    const char *ts = d->transfer_syntax;

    *c = (coding){ .explicit_vr = strcmp(ts, "1.2.840.10008.1.2") != 0 && *ts,
                   .big = strcmp(ts, "1.2.840.10008.1.2.2") == 0 };
    if (s.n < 8)
        return s.n == 0 ? WD_OK : cut_short(0, err);
    if (!*ts && looks_like_dataset(s, &seen))
        *c = seen;
    else
        c->explicit_vr = is_vr(s.p + 4);
    return WD_OK;
}

static wd_status build_index(wd_dcm *d, wd_span s, coding c, wd_err *err)
{
    size_t at = 0;

    while (at < s.n && !d->has_pixels) {
        wd_dcm_elem e;
        WD_TRY(read_elem(s, &at, c, &e, err));
        if (d->index.n / sizeof e == WD_DCM_ELEMENTS_MAX)
            return WD_FAIL(err, WD_E_LIMIT, "more than %d data elements", WD_DCM_ELEMENTS_MAX);
        if (strcmp(e.vr, "SQ") == 0 && !e.undefined)
            WD_TRY(check_nesting(e.value, c, err));
        d->has_pixels = e.tag == WD_TAG_PIXEL_DATA;
        d->encapsulated = d->has_pixels && e.undefined;
        wd_buf_put(&d->index, &e, sizeof e);
    }
    return wd_buf_check(&d->index, "data elements", err);
}

wd_status wd_dcm_open(wd_span bytes, wd_dcm *d, wd_err *err)
{
    wd_status st;
    coding c;
    size_t at = 0;

    *d = (wd_dcm){ 0 };
    if (bytes.n >= PREAMBLE + 4 && memcmp(bytes.p + PREAMBLE, "DICM", 4) == 0)
        at = PREAMBLE + 4;
    else if (!looks_like_dataset(bytes, &c))
        return WD_FAIL(err, WD_E_UNSUPPORTED, "not a DICOM file");
    st = read_meta(d, bytes, &at, err);
    wd_span rest = wd_span_sub(bytes, at, bytes.n);
    if (st == WD_OK && strcmp(d->transfer_syntax, "1.2.840.10008.1.2.1.99") == 0) {
        st = inflate_rest(d, rest, err);
        rest = wd_buf_view(&d->inflated);
    }
    if (st == WD_OK)
        st = choose_coding(d, rest, &c, err);
    if (st == WD_OK)
        st = build_index(d, rest, c, err);
    if (st == WD_OK && d->index.n == 0)
        st = WD_FAIL(err, WD_E_CORRUPT, "there is no data element");
    if (st) {
        wd_dcm_close(d);
        return st;
    }
    d->root = (wd_dcm_item){ .bytes = rest,
                             .explicit_vr = c.explicit_vr,
                             .big = c.big,
                             .index = (const wd_dcm_elem *)(const void *)d->index.p,
                             .n_index = d->index.n / sizeof(wd_dcm_elem) };
    return WD_OK;
}

void wd_dcm_close(wd_dcm *d)
{
    wd_buf_free(&d->index);
    wd_buf_free(&d->inflated);
    *d = (wd_dcm){ 0 };
}

/* ---- looking things up ---- */

bool wd_dcm_find(const wd_dcm_item *it, uint32_t tag, wd_dcm_elem *out)
{
    const coding c = { .explicit_vr = it->explicit_vr, .big = it->big };
    size_t at = 0;

    for (size_t i = 0; i < it->n_index; i++)
        if (it->index[i].tag == tag) {
            *out = it->index[i];
            return true;
        }
    while (!it->index && at < it->bytes.n) {
        if (read_elem(it->bytes, &at, c, out, NULL) != WD_OK)
            return false;
        if (out->tag == tag)
            return true;
    }
    return false;
}

bool wd_dcm_next_item(const wd_dcm_elem *seq, size_t *at, wd_dcm_item *out)
{
    const coding c = { .explicit_vr = seq->explicit_vr, .big = seq->big };
    head h;
    size_t end, first;

    if (*at >= seq->value.n || read_head(seq->value, *at, c, &h, NULL) != WD_OK || h.tag != ITEM)
        return false;
    first = *at + h.n;
    if (h.length != UNDEFINED) {
        if (h.length > seq->value.n - first)
            return false;
        end = *at = first + h.length;
    } else {
        size_t p = first;
        for (;;) {
            wd_dcm_elem e;
            if (p + 8 > seq->value.n)
                return false;
            if (wd_dcm_u16(seq->value.p + p, c.big) == 0xFFFE &&
                wd_dcm_u16(seq->value.p + p + 2, c.big) == 0xE00D)
                break;
            if (read_elem(seq->value, &p, c, &e, NULL) != WD_OK)
                return false;
        }
        end = p;
        *at = p + 8;
    }
    *out = (wd_dcm_item){ .bytes = wd_span_sub(seq->value, first, end - first),
                          .explicit_vr = c.explicit_vr,
                          .big = c.big };
    return true;
}

bool wd_dcm_sub(const wd_dcm_item *it, uint32_t tag, uint32_t i, wd_dcm_item *out)
{
    wd_dcm_elem e;
    size_t at = 0;

    if (!wd_dcm_find(it, tag, &e))
        return false;
    for (uint32_t k = 0; wd_dcm_next_item(&e, &at, out); k++)
        if (k == i)
            return true;
    return false;
}

static bool is_padding(uint8_t c)
{
    return c == ' ' || c == 0 || c == '\t' || c == '\n' || c == '\r';
}

static wd_span trimmed(wd_span s)
{
    while (s.n > 0 && is_padding(s.p[s.n - 1]))
        s.n--;
    while (s.n > 0 && is_padding(s.p[0]))
        s = wd_span_sub(s, 1, s.n);
    return s;
}

bool wd_dcm_code(const wd_dcm_item *it, uint32_t tag, char *out, size_t size)
{
    wd_dcm_elem e;
    if (!wd_dcm_find(it, tag, &e))
        return false;
    const wd_span s = trimmed(e.value);
    const size_t n = WD_MIN(s.n, size - 1);
    if (n > 0)
        memcpy(out, s.p, n);
    out[n] = 0;
    return n > 0;
}

/* The pos-th of the parts between backslashes, parsed in the C locale. */
static bool text_number(wd_span s, uint32_t pos, double *out)
{
    char text[64], *end;

    for (; pos > 0; pos--) {
        const size_t cut = wd_span_find(s, WD_SPAN_LIT("\\"), 0);
        if (cut == SIZE_MAX)
            return false;
        s = wd_span_sub(s, cut + 1, s.n);
    }
    const size_t cut = wd_span_find(s, WD_SPAN_LIT("\\"), 0);
    s = trimmed(wd_span_sub(s, 0, cut == SIZE_MAX ? s.n : cut));
    if (s.n == 0 || s.n >= sizeof text)
        return false;
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("0123456789+-.eE", text[i]))
            return false; /* strtod would also take "inf", "nan", hexadecimal */
    *out = strtod(text, &end);
    return end == text + s.n && isfinite(*out);
}

static bool binary_number(const wd_dcm_elem *e, const char *vr, uint32_t pos, double *out)
{
    const bool wide = vr[0] == 'F' && vr[1] == 'D';
    const bool half = strcmp(vr, "US") == 0 || strcmp(vr, "SS") == 0 || strcmp(vr, "OW") == 0;
    const size_t size = wide ? 8 : half ? 2 : 4;
    float f;

    if (pos >= e->value.n / size)
        return false;
    const uint8_t *p = e->value.p + pos * size;
    if (wide) {
        const uint64_t bits = u64(p, e->big);
        memcpy(out, &bits, sizeof *out);
    } else if (half) {
        *out = vr[0] == 'S' ? (int16_t)wd_dcm_u16(p, e->big) : wd_dcm_u16(p, e->big);
    } else {
        const uint32_t bits = wd_dcm_u32(p, e->big);
        memcpy(&f, &bits, sizeof f);
        *out = vr[0] == 'F' ? (double)f : vr[0] == 'S' ? (double)(int32_t)bits : (double)bits;
    }
    return isfinite(*out);
}

bool wd_dcm_number(const wd_dcm_item *it, uint32_t tag, const char *vr, uint32_t pos, double *out)
{
    static const char binary[][3] = { "US", "SS", "OW", "UL", "SL", "FL", "FD" };
    wd_dcm_elem e;

    if (!wd_dcm_find(it, tag, &e))
        return false;
    for (size_t i = 0; i < WD_COUNT(binary); i++)
        if (strcmp(e.vr, binary[i]) == 0)
            return binary_number(&e, e.vr, pos, out);
    if (strcmp(e.vr, "DS") == 0 || strcmp(e.vr, "IS") == 0 || strcmp(vr, "DS") == 0 || strcmp(vr, "IS") == 0)
        return text_number(e.value, pos, out);
    return binary_number(&e, vr, pos, out); /* implicit, or UN */
}

uint32_t wd_dcm_n_number(const wd_dcm_item *it, uint32_t tag)
{
    wd_dcm_elem e;
    uint32_t n = 1;
    if (!wd_dcm_find(it, tag, &e) || trimmed(e.value).n == 0)
        return 0;
    for (size_t i = 0; i < e.value.n; i++)
        n += e.value.p[i] == '\\';
    return n;
}
