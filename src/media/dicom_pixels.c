/* The worker's part of decoding pixels: one frame at a time, from the file's encoding to int32 or float samples,
 * interleaved, sign-extended from Bits Stored, chroma upsampled. Colour spaces and modality transforms are left to
 * the parent: this is arithmetic that needs no protection. */
#include <math.h>

#include "media/dicom_codec.h"
#include "media/dicom_inner.h"
#include "media/dicom_parse.h"
#include "media/j2k.h"

typedef struct shape {
    uint32_t rows, cols, samples, bits_allocated, bits_stored, high_bit;
    bool is_signed, is_planar, is_422;
    size_t n;           /* samples of a frame */
    size_t frame_bytes; /* as stored without compression, rounded up */
} shape;

typedef struct job {
    const wd_dcm *d;
    const wd_dicom_info *info;
    shape s;
    wd_dcm_elem pixels;
    wd_buf fragments; /* wd_span []: in file order */
    wd_buf joined;    /* of one frame */
    uint8_t *raw;     /* [s.n + 1] of up to 4 bytes: what a codec gave */
    int32_t *out;     /* [s.n] */
    wd_dicom__more *more;
} job;

/* ---- shapes ---- */

static wd_status get_shape(job *j, wd_err *err)
{
    const wd_dicom_info *i = j->info;
    const wd_dcm_item *root = &j->d->root;
    shape *s = &j->s;
    double v;

    *s = (shape){ .rows = i->rows,
                  .cols = i->cols,
                  .samples = i->samples,
                  .bits_allocated = i->bits_allocated,
                  .bits_stored = i->bits_stored,
                  .high_bit = i->bits_stored - 1,
                  .is_signed = i->is_signed };
    if ((uint64_t)s->rows * s->cols > WD_IMAGE_PIXELS_MAX ||
        (uint64_t)s->rows * s->cols * s->samples > WD_IMAGE_PIXELS_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "%u x %u pixels of %u samples are more than %u", (unsigned)s->cols,
                       (unsigned)s->rows, (unsigned)s->samples, WD_IMAGE_PIXELS_MAX);
    if (s->bits_allocated != 1 && s->bits_allocated != 8 && s->bits_allocated != 16 &&
        s->bits_allocated != 32 && !(i->is_float && s->bits_allocated == 64))
        return WD_FAIL(err, WD_E_UNSUPPORTED, "Bits Allocated is %u, expected 1, 8, 16 or 32",
                       (unsigned)s->bits_allocated);
    if (s->bits_allocated == 1 && s->samples != 1)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "colour with one bit");
    s->is_planar = s->samples == 3 && wd_dcm_number(root, WD_TAG(0x28, 6), "US", 0, &v) && v == 1;
    if (wd_dcm_number(root, WD_TAG(0x28, 0x102), "US", 0, &v) && v >= s->high_bit && v < s->bits_allocated)
        s->high_bit = (uint32_t)v;
    s->is_422 = strcmp(i->photometric_name, "YBR_FULL_422") == 0 && !j->d->encapsulated && s->samples == 3;
    s->n = (size_t)s->rows * s->cols * s->samples;
    s->frame_bytes = s->bits_allocated == 1 ? (s->n + 7) / 8 : s->n * (s->bits_allocated / 8);
    if (s->is_422) {
        if (s->cols % 2 || s->bits_allocated != 8)
            return WD_FAIL(err, WD_E_UNSUPPORTED, "YBR_FULL_422 with %u columns and %u bits",
                           (unsigned)s->cols, (unsigned)s->bits_allocated);
        s->frame_bytes = (size_t)s->rows * s->cols * 2;
    }
    return WD_OK;
}

/* A value of bits_stored bits below high_bit, as the standard places it; bits around it may be overlays. */
static int32_t extract(uint32_t v, const shape *s)
{
    const uint32_t down = s->high_bit + 1 - s->bits_stored;
    v >>= down;
    if (s->bits_stored < 32) {
        v &= (1u << s->bits_stored) - 1;
        if (s->is_signed && v >> (s->bits_stored - 1))
            v |= ~0u << s->bits_stored;
    }
    return (int32_t)v;
}

static uint32_t sample(const uint8_t *p, size_t i, uint32_t bytes, bool big)
{
    return bytes == 1 ? p[i] : bytes == 2 ? wd_dcm_u16(p + 2 * i, big) : wd_dcm_u32(p + 4 * i, big);
}

/* ---- native pixels ---- */

static void unpack_422(const job *j, const uint8_t *p)
{
    const size_t pairs = (size_t)j->s.rows * j->s.cols / 2;
    for (size_t i = 0; i < pairs; i++) { /* Y1 Y2 Cb Cr */
        int32_t *o = j->out + 6 * i;
        o[0] = p[4 * i];
        o[3] = p[4 * i + 1];
        o[1] = o[4] = p[4 * i + 2];
        o[2] = o[5] = p[4 * i + 3];
    }
}

static wd_status check_native_size(const job *j, uint32_t frame, wd_err *err)
{
    const shape *s = &j->s;
    const uint64_t end = s->bits_allocated == 1 ? ((frame + (uint64_t)1) * s->n + 7) / 8
                                                : (frame + (uint64_t)1) * s->frame_bytes;
    if (end > j->pixels.value.n)
        return WD_FAIL(err, WD_E_CORRUPT, "its pixels are %zu bytes, frame %u ends at %llu",
                       j->pixels.value.n, (unsigned)frame + 1, (unsigned long long)end);
    return WD_OK;
}

/* One bit a pixel: frames follow each other without padding, the first pixel in the lowest bit. */
static void unpack_bits(const job *j, uint32_t frame, bool swapped)
{
    const wd_span all = j->pixels.value;
    const uint64_t first = (uint64_t)frame * j->s.n;

    for (size_t i = 0; i < j->s.n; i++) {
        const size_t at = (size_t)((first + i) / 8) ^ (swapped ? 1u : 0u);
        j->out[i] = at < all.n ? all.p[at] >> (first + i) % 8 & 1 : 0;
    }
}

static void native_frame(const job *j, uint32_t frame)
{
    const shape *s = &j->s;
    const wd_span all = j->pixels.value;
    const uint32_t bytes = s->bits_allocated / 8;
    const size_t first = frame * s->frame_bytes, plane = (size_t)s->rows * s->cols;
    /* In a big-endian file Pixel Data of VR OW is swapped in pairs of bytes even when samples have 8 bits or 1. */
    const bool swapped = j->pixels.big && strcmp(j->pixels.vr, "OW") == 0 && bytes <= 1;

    if (bytes == 0) {
        unpack_bits(j, frame, swapped);
        return;
    }
    if (s->is_422) {
        unpack_422(j, all.p + first);
        return;
    }
    for (size_t i = 0; i < s->n; i++) {
        const size_t from = s->is_planar ? i % 3 * plane + i / 3 : i;
        if (swapped && ((first + from) ^ 1) < all.n)
            j->out[i] = extract(all.p[(first + from) ^ 1], s);
        else
            j->out[i] = extract(sample(all.p + first, from, bytes, j->pixels.big), s);
    }
}

/* ---- encapsulated pixels ---- */

static wd_status collect_fragments(job *j, wd_err *err)
{
    wd_dcm_item it;
    size_t at = 0;
    bool is_table = true; /* the first item is the offset table */

    j->fragments.max = (size_t)(WD_DICOM_FRAMES_MAX * 4) * sizeof(wd_span);
    while (wd_dcm_next_item(&j->pixels, &at, &it)) {
        if (!is_table)
            wd_buf_put(&j->fragments, &it.bytes, sizeof it.bytes);
        is_table = false;
    }
    WD_TRY(wd_buf_check(&j->fragments, "fragments of Pixel Data", err));
    /* The delimiter may be missing, but not a part of a fragment. */
    const wd_span rest = wd_span_sub(j->pixels.value, at, 8);
    if (rest.n == 8 &&
        (wd_dcm_u16(rest.p, j->pixels.big) != 0xFFFE || wd_dcm_u16(rest.p + 2, j->pixels.big) != 0xE0DD))
        return WD_FAIL(err, WD_E_CORRUPT, "fragment %zu of its compressed Pixel Data is cut off",
                       j->fragments.n / sizeof(wd_span) + 1);
    if (j->fragments.n == 0)
        return WD_FAIL(err, WD_E_CORRUPT, "its compressed Pixel Data has no fragments");
    return WD_OK;
}

static bool begins_codestream(wd_span s)
{
    static const uint8_t jp2[] = { 0, 0, 0, 12, 'j', 'P' };
    return (s.n >= 2 && s.p[0] == 0xFF && (s.p[1] == 0xD8 || s.p[1] == 0x4F)) ||
           (s.n >= sizeof jp2 && memcmp(s.p, jp2, sizeof jp2) == 0);
}

/* The entry of the offset table for a frame; false without a table that covers all frames. */
static bool offset_of(const job *j, uint32_t frame, uint64_t *out)
{
    wd_dcm_item table;
    size_t at = 0;
    if (!wd_dcm_next_item(&j->pixels, &at, &table) || table.bytes.n != (size_t)j->info->n_frame * 4)
        return false;
    *out = wd_le32(table.bytes.p + (size_t)frame * 4);
    return true;
}

/* Fragments [*first, *last) of a frame: one each, or all for one frame, or by the offset table, or by the markers
 * that begin a codestream. */
static wd_status fragments_of(const job *j, uint32_t frame, size_t *first, size_t *last, wd_err *err)
{
    const wd_span *f = (const wd_span *)(const void *)j->fragments.p;
    const size_t n = j->fragments.n / sizeof *f;
    const uint32_t n_frame = j->info->n_frame;
    uint64_t from, to = UINT64_MAX;

    if (n == n_frame || n_frame == 1) {
        *first = n_frame == 1 ? 0 : frame;
        *last = n_frame == 1 ? n : frame + (size_t)1;
        return WD_OK;
    }
    *first = *last = n;
    if (offset_of(j, frame, &from)) {
        if (frame + 1 < n_frame)
            (void)offset_of(j, frame + 1, &to);
        for (size_t i = n; i-- > 0;) {
            const uint64_t at = (uint64_t)(f[i].p - f[0].p); /* both are after heads of 8 bytes */
            if (at >= to)
                *last = i;
            if (at >= from)
                *first = i;
        }
    } else {
        size_t seen = 0;
        for (size_t i = 0; i < n; i++) {
            if (!begins_codestream(f[i]))
                continue;
            if (seen == frame)
                *first = i;
            if (seen == (size_t)frame + 1)
                *last = i;
            seen++;
        }
        if (seen != n_frame)
            *first = n;
    }
    if (*first >= *last)
        return WD_FAIL(err, WD_E_CORRUPT, "its %zu compressed fragments cannot be divided among %u frames", n,
                       (unsigned)n_frame);
    return WD_OK;
}

static wd_status frame_data(job *j, uint32_t frame, wd_span *out, wd_err *err)
{
    const wd_span *f = (const wd_span *)(const void *)j->fragments.p;
    size_t first, last;

    WD_TRY(fragments_of(j, frame, &first, &last, err));
    *out = f[first];
    if (last - first == 1)
        return WD_OK;
    wd_buf_clear(&j->joined);
    for (size_t i = first; i < last; i++)
        wd_buf_span(&j->joined, f[i]);
    *out = wd_buf_view(&j->joined);
    return wd_buf_check(&j->joined, "compressed frame", err);
}

typedef struct jpeg_head {
    uint32_t precision, rows, cols, n_comp;
    bool is_lossless, is_jfif, is_subsampled;
    int adobe_transform; /* -1 without the marker */
} jpeg_head;

/* The frame header of JPEG (SOF0..15) and JPEG-LS (SOF55): what is in it is checked before anything is decoded. */
static bool read_jpeg_head(wd_span s, jpeg_head *h)
{
    size_t at = 2;
    *h = (jpeg_head){ .adobe_transform = -1 };
    while (at + 4 <= s.n) {
        const uint8_t m = s.p[at + 1];
        if (s.p[at] != 0xFF)
            return false;
        if (m == 0xFF) { /* fill byte */
            at++;
            continue;
        }
        if (m == 0xF7 || (m >= 0xC0 && m <= 0xCF && m != 0xC4 && m != 0xC8 && m != 0xCC)) {
            if (at + 10 > s.n)
                return false;
            h->precision = s.p[at + 4];
            h->rows = wd_dcm_u16(s.p + at + 5, true);
            h->cols = wd_dcm_u16(s.p + at + 7, true);
            h->n_comp = s.p[at + 9];
            h->is_lossless = m == 0xC3 || m == 0xF7;
            h->is_subsampled = h->n_comp == 3 && at + 19 <= s.n && s.p[at + 11] != s.p[at + 14];
            return true;
        }
        if (m == 0xE0 && at + 9 <= s.n && memcmp(s.p + at + 4, "JFIF", 5) == 0)
            h->is_jfif = true;
        if (m == 0xEE && at + 16 <= s.n && memcmp(s.p + at + 4, "Adobe", 5) == 0)
            h->adobe_transform = s.p[at + 15];
        at += 2 + (size_t)wd_dcm_u16(s.p + at + 2, true);
    }
    return false;
}

/* Files that say RGB of a lossy JPEG whose own markers, or whose smaller chroma planes, say YCbCr; and the reverse. */
static void correct_colour(const job *j, const jpeg_head *h)
{
    if (h->n_comp != 3 || h->is_lossless)
        return;
    if (h->is_jfif || h->is_subsampled || h->adobe_transform == 1)
        j->more->colour = WD_PHOTOMETRIC_YBR_FULL;
    else if (h->adobe_transform == 0)
        j->more->colour = WD_PHOTOMETRIC_RGB;
}

static wd_status jpeg_frame(const job *j, const wd_codec_frame *cf, wd_err *err)
{
    const shape *s = &j->s;
    jpeg_head h;
    shape got = *s;

    if (!read_jpeg_head(cf->data, &h))
        return WD_FAIL(err, WD_E_CORRUPT, "the JPEG header is damaged");
    if (h.rows != s->rows || h.cols != s->cols || h.n_comp != s->samples)
        return WD_FAIL(err, WD_E_CORRUPT,
                       "the JPEG image is %u x %u of %u components, the header says %u x %u of %u",
                       (unsigned)h.cols, (unsigned)h.rows, (unsigned)h.n_comp, (unsigned)s->cols,
                       (unsigned)s->rows, (unsigned)s->samples);
    if (h.precision < 2 || h.precision > 16)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "JPEG with %u bits", (unsigned)h.precision);
    const uint32_t bytes = h.precision > 8 ? 2 : 1;
    correct_colour(j, &h);
    WD_TRY(wd_codec_decode(cf, j->raw, (s->n * bytes + 1) & ~(size_t)1, err)); /* DCMTK counts in words */
    got.bits_stored = WD_MIN(WD_MAX(s->bits_stored, h.precision),
                             bytes * 8); /* a wider codestream keeps its bits */
    got.high_bit = got.bits_stored - 1;
    for (size_t i = 0; i < s->n; i++)
        j->out[i] = extract(sample(j->raw, i, bytes, false), &got);
    return WD_OK;
}

/* One segment of PS3.5 annex G.3: runs and copies, until n bytes are there. They are every stride-th byte of out. */
static bool unpack_segment(wd_span s, uint8_t *out, size_t n, size_t stride)
{
    size_t at = 0, put = 0;
    while (put < n) {
        if (at >= s.n)
            return false;
        const uint8_t c = s.p[at++];
        if (c == 128)
            continue;
        const bool is_run = c > 128;
        size_t k = is_run ? (size_t)257 - c : (size_t)c + 1;
        if (s.n - at < (is_run ? 1 : k))
            return false;
        k = WD_MIN(k, n - put); /* an encoder may pad the last run */
        for (size_t i = 0; i < k; i++)
            out[(put + i) * stride] = s.p[is_run ? at : at + i];
        at += is_run ? 1 : (size_t)c + 1;
        put += k;
    }
    return true;
}

/* PS3.5 annex G: a header of 16 words {segments, offsets}; a segment for each byte of each sample, high bytes first. */
static wd_status rle_frame(const job *j, wd_span data, wd_err *err)
{
    const shape *s = &j->s;
    const uint32_t bytes = s->bits_allocated / 8, n_segment = bytes * s->samples;
    const size_t pixels = (size_t)s->rows * s->cols;

    if (bytes == 0)
        return WD_FAIL(err, WD_E_UNSUPPORTED, "RLE with one bit");
    if (data.n < 64 || wd_le32(data.p) != n_segment)
        return WD_FAIL(err, WD_E_CORRUPT, "the RLE header has %u segments, %u were expected",
                       data.n < 64 ? 0 : (unsigned)wd_le32(data.p), (unsigned)n_segment);
    for (uint32_t i = 0; i < n_segment; i++) {
        const uint32_t from = wd_le32(data.p + 4 + 4 * (size_t)i);
        const uint32_t to = i + 1 < n_segment ? wd_le32(data.p + 8 + 4 * (size_t)i) : (uint32_t)data.n;
        const uint32_t sample_i = i / bytes, byte_i = bytes - 1 - i % bytes;
        if (from < 64 || from > to || to > data.n ||
            !unpack_segment(wd_span_sub(data, from, to - from), j->raw + (size_t)sample_i * bytes + byte_i,
                            pixels, (size_t)bytes * s->samples))
            return WD_FAIL(err, WD_E_CORRUPT, "RLE segment %u of %u is damaged", (unsigned)i + 1,
                           (unsigned)n_segment);
    }
    for (size_t i = 0; i < s->n; i++)
        j->out[i] = extract(sample(j->raw, i, bytes, false), s);
    return WD_OK;
}

static wd_status j2k_frame(const job *j, wd_span data, wd_err *err)
{
    const shape *s = &j->s;
    const wd_j2k want = { .width = s->cols, .height = s->rows, .n_comp = s->samples };
    wd_j2k got;

    WD_TRY(wd_j2k_decode(data, &want, j->out, &got, err));
    /* The codestream knows its own sign; a header that says "signed" of an unsigned stream means two's complement. */
    if (got.is_signed) {
        j->more->is_signed = 1;
    } else if (s->is_signed && got.precision < 32) {
        const int32_t half = (int32_t)(1u << (got.precision - 1));
        for (size_t i = 0; i < s->n; i++)
            j->out[i] = (j->out[i] ^ half) - half;
    }
    if (s->samples == 3) /* OpenJPEG undoes the component transform */
        j->more->colour = j->info->photometric == WD_PHOTOMETRIC_YBR_FULL ? WD_PHOTOMETRIC_YBR_FULL
                                                                          : WD_PHOTOMETRIC_RGB;
    return WD_OK;
}

static bool is_ts(const job *j, const char *prefix)
{
    return strncmp(j->d->transfer_syntax, prefix, strlen(prefix)) == 0;
}

static wd_status coded_frame(job *j, uint32_t frame, wd_err *err)
{
    wd_span data;
    const shape *s = &j->s;

    WD_TRY(frame_data(j, frame, &data, err));
    const wd_codec_frame cf = { .transfer_syntax = j->d->transfer_syntax,
                                .photometric = j->info->photometric_name,
                                .rows = s->rows,
                                .cols = s->cols,
                                .samples = s->samples,
                                .bits_allocated = s->bits_allocated,
                                .bits_stored = s->bits_stored,
                                .is_signed = s->is_signed,
                                .data = data };
    if (is_ts(j, "1.2.840.10008.1.2.5"))
        return rle_frame(j, data, err);
    if (is_ts(j, "1.2.840.10008.1.2.4.9")) /* .90 to .93; .94 and .95 are links, and hold no data */
        return j2k_frame(j, data, err);
    if (is_ts(j, "1.2.840.10008.1.2.4.5") || is_ts(j, "1.2.840.10008.1.2.4.6") ||
        is_ts(j, "1.2.840.10008.1.2.4.7") || is_ts(j, "1.2.840.10008.1.2.4.8"))
        return jpeg_frame(j, &cf, err);
    return WD_FAIL(err, WD_E_UNSUPPORTED, "transfer syntax %s is not one that Ward reads",
                   *j->d->transfer_syntax ? j->d->transfer_syntax : "(none)");
}

/* ---- float pixels ---- */

static void float_frame(const job *j, uint32_t frame)
{
    const shape *s = &j->s;
    const uint32_t bytes = s->bits_allocated / 8;
    float *out = (float *)(void *)j->out;

    const uint64_t first = (uint64_t)frame * s->frame_bytes;
    for (size_t i = 0; i < s->n; i++) {
        const uint8_t *p = j->pixels.value.p + first + i * bytes;
        const uint32_t a = wd_dcm_u32(p, j->pixels.big),
                       b = bytes == 8 ? wd_dcm_u32(p + 4, j->pixels.big) : 0;
        const uint64_t wide = j->pixels.big ? (uint64_t)a << 32 | b : (uint64_t)b << 32 | a;
        double v;
        memcpy(&v, &wide, sizeof v);
        if (bytes == 8)
            out[i] = (float)v;
        else
            memcpy(&out[i], &a, sizeof a);
    }
}

/* ---- all frames asked for ---- */

static wd_status emit_frame(job *j, uint32_t frame, wd_buf *msg, wd_emit *out, wd_err *err)
{
    const shape *s = &j->s;
    const wd_dicom__block h = {
        .frame = frame, .rows = s->rows, .cols = s->cols, .samples = s->samples, .is_float = j->info->is_float
    };

    if (!j->d->encapsulated)
        WD_TRY(check_native_size(j, frame, err)); /* before memory is taken for what is not there */
    wd_buf_clear(msg);
    wd_buf_put(msg, &h, sizeof h);
    j->out = (int32_t *)(void *)wd_buf_grow(msg, s->n * sizeof *j->out);
    WD_TRY(wd_buf_check(msg, "a frame", err));
    if (j->info->is_float)
        float_frame(j, frame);
    else if (j->d->encapsulated)
        WD_TRY(coded_frame(j, frame, err));
    else
        native_frame(j, frame);
    return wd_emit_put(out, WD_DICOM__PIXELS, wd_buf_view(msg), err);
}

static wd_status find_pixel_element(job *j, wd_err *err)
{
    const wd_dcm_item *root = &j->d->root;
    const uint32_t tags[] = { WD_TAG_PIXEL_DATA, WD_TAG(0x7FE0, 8), WD_TAG(0x7FE0, 9) };
    for (size_t i = j->info->is_float ? 1 : 0; i < WD_COUNT(tags); i++)
        if (wd_dcm_find(root, tags[i], &j->pixels)) {
            if (j->info->is_float &&
                (j->info->samples != 1 || j->info->bits_allocated != (i == 1 ? 32u : 64u)))
                return WD_FAIL(err, WD_E_UNSUPPORTED, "float pixels of %u samples and %u bits",
                               (unsigned)j->info->samples, (unsigned)j->info->bits_allocated);
            return WD_OK;
        }
    return WD_FAIL(err, WD_E_INVALID, "it holds no pixels");
}

wd_status wd_dicom__emit_pixels(const wd_dcm *d, const wd_dicom_info *info, const wd_dicom__opts *o,
                                wd_dicom__more *more, wd_emit *out, wd_err *err)
{
    job j = { .d = d, .info = info, .more = more };
    wd_buf msg = { 0 };
    wd_status st;

    if (o->first_frame >= info->n_frame)
        return WD_FAIL(err, WD_E_INVALID, "frame %u was asked for, it has %u", (unsigned)o->first_frame + 1,
                       (unsigned)info->n_frame);
    const uint32_t left = info->n_frame - o->first_frame;
    const uint32_t n = o->n_frame ? WD_MIN(o->n_frame, left) : left;
    WD_TRY(get_shape(&j, err));
    WD_TRY(find_pixel_element(&j, err));
    st = d->encapsulated ? collect_fragments(&j, err) : WD_OK;
    if (st == WD_OK && d->encapsulated) {
        j.raw = wd_calloc(j.s.n + 1, 4);
        if (!j.raw)
            st = WD_FAIL(err, WD_E_NOMEM, "no memory for a frame of %zu samples", j.s.n);
    }
    for (uint32_t i = 0; st == WD_OK && i < n; i++)
        st = emit_frame(&j, o->first_frame + i, &msg, out, err);
    wd_free(j.raw);
    wd_buf_free(&msg);
    wd_buf_free(&j.joined);
    wd_buf_free(&j.fragments);
    return st;
}
