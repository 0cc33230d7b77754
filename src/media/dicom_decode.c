/* The worker's part of reading DICOM: from data elements to the structs of dicom.h. */
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "base/digest.h"
#include "base/utf8.h"
#include "media/dicom_charset.h"
#include "media/dicom_codec.h"
#include "media/dicom_inner.h"
#include "media/dicom_parse.h"

void wd_dicom__prepare(void)
{
    wd_charset_prepare();
    wd_codec_prepare();
}

/* ---- one value ---- */

static wd_status get_text(const wd_dcm *d, uint32_t tag, char *out, size_t size, wd_err *err)
{
    wd_dcm_elem set = { 0 }, e;
    wd_buf text = { 0 };

    out[0] = 0;
    if (!wd_dcm_find(&d->root, tag, &e))
        return WD_OK;
    (void)wd_dcm_find(&d->root, WD_TAG(8, 5), &set);
    wd_charset_to_utf8(set.value, wd_span_sub(e.value, 0, 4096), false, &text);
    size_t n = 0, end = 0;
    for (size_t at = 0; at < text.n; at += n) {
        const uint32_t cp = wd_utf8_next(wd_buf_view(&text), at, &n);
        if (at + n >= size)
            break;
        for (size_t i = 0; i < n; i++)
            out[at + i] = cp < 0x20 || cp == 0x7F ? ' ' : (char)text.p[at + i];
        if (cp > 0x20)
            end = at + n; /* padding at the end is no text */
        out[at + n] = 0;
    }
    out[end] = 0;
    const wd_status st = wd_buf_check(&text, "text", err);
    wd_buf_free(&text);
    return st;
}

/* Codes and UIDs are ASCII; anything else in them is shown as '?'. */
static void get_code(const wd_dcm_item *it, uint32_t tag, char *out, size_t size)
{
    out[0] = 0;
    (void)wd_dcm_code(it, tag, out, size);
    for (char *p = out; *p; p++)
        if ((unsigned char)*p < 0x20 || (unsigned char)*p > 0x7E)
            *p = '?';
}

static bool get_i32(const wd_dcm_item *it, uint32_t tag, const char *vr, int32_t *out)
{
    double v;
    if (!wd_dcm_number(it, tag, vr, 0, &v) || v < INT32_MIN || v > INT32_MAX)
        return false;
    *out = (int32_t)v;
    return true;
}

static int32_t get_number_or_none(const wd_dcm_item *it, uint32_t tag)
{
    int32_t v = INT32_MIN;
    (void)get_i32(it, tag, "IS", &v);
    return v;
}

static bool get_doubles(const wd_dcm_item *it, uint32_t tag, double *out, uint32_t n)
{
    double v[6];
    for (uint32_t i = 0; i < n; i++)
        if (!wd_dcm_number(it, tag, "DS", i, &v[i]))
            return false;
    memcpy(out, v, n * sizeof *out);
    return true;
}

/* ---- the header ---- */

static wd_status digest_text(wd_digester *g, const wd_dcm *d, uint32_t tag, wd_err *err)
{
    char text[WD_DICOM_TEXT_MAX + 1];
    const wd_status st = get_text(d, tag, text, sizeof text, err);
    wd_digester_add(g, wd_span_of(text, strlen(text) + 1));
    wd_wipe(text, sizeof text);
    return st;
}

static wd_status get_patient(const wd_dcm *d, const uint8_t salt[32], wd_patient_key *out, wd_err *err)
{
    static const uint32_t by_id[] = { WD_TAG(0x10, 0x20), WD_TAG(0x10, 0x21) },
                          by_name[] = { WD_TAG(0x10, 0x10) };
    char probe[8];
    wd_digest sum;
    const bool has_id = wd_dcm_code(&d->root, by_id[0], probe, sizeof probe);
    const bool has_name = wd_dcm_code(&d->root, by_name[0], probe, sizeof probe);
    wd_status st;

    wd_wipe(probe, sizeof probe);
    *out = (wd_patient_key){ 0 };
    if (!has_id && !has_name)
        return WD_OK;
    wd_digester *g = wd_digester_create();
    if (!g)
        return WD_FAIL(err, WD_E_NOMEM, "no memory for a digest");
    wd_digester_add(g, wd_span_of(salt, 32));
    st = digest_text(g, d, has_id ? by_id[0] : by_name[0], err);
    if (st == WD_OK && has_id)
        st = digest_text(g, d, by_id[1], err);
    wd_digester_end(g, &sum);
    WD_TRY(st);
    memcpy(out->secret, sum.b, sizeof out->secret);
    out->known = true;
    out->by_name = !has_id;
    return WD_OK;
}

static wd_photometric photometric_of(const char *name)
{
    static const struct {
        const char *name;
        wd_photometric p;
    } names[] = {
        { "MONOCHROME1", WD_PHOTOMETRIC_MONOCHROME1 }, { "MONOCHROME2", WD_PHOTOMETRIC_MONOCHROME2 },
        { "PALETTE COLOR", WD_PHOTOMETRIC_PALETTE },   { "RGB", WD_PHOTOMETRIC_RGB },
        { "YBR_FULL", WD_PHOTOMETRIC_YBR_FULL },       { "YBR_FULL_422", WD_PHOTOMETRIC_YBR_FULL },
        { "YBR_RCT", WD_PHOTOMETRIC_YBR_RCT },         { "YBR_ICT", WD_PHOTOMETRIC_YBR_ICT }
    };
    for (size_t i = 0; i < WD_COUNT(names); i++)
        if (strcmp(name, names[i].name) == 0)
            return names[i].p;
    return WD_PHOTOMETRIC_OTHER;
}

static wd_status need_u16(const wd_dcm_item *it, uint32_t tag, const char *name, uint32_t max, uint32_t *out,
                          wd_err *err)
{
    double v;
    if (!wd_dcm_number(it, tag, "US", 0, &v))
        return WD_FAIL(err, WD_E_INVALID, "it has pixels but no %s", name);
    if (v < 1 || v > max)
        return WD_FAIL(err, WD_E_INVALID, "%s is %g, expected 1 to %u", name, v, (unsigned)max);
    *out = (uint32_t)v;
    return WD_OK;
}

static wd_status get_n_frame(const wd_dcm_item *it, uint32_t *out, wd_err *err)
{
    char text[32];
    double v = 1;

    *out = 1;
    if (!wd_dcm_code(it, WD_TAG(0x28, 8), text, sizeof text))
        return WD_OK;
    if (!wd_dcm_number(it, WD_TAG(0x28, 8), "IS", 0, &v) || v < 0 || v != floor(v))
        return WD_FAIL(err, WD_E_INVALID, "Number of Frames is not a whole number");
    if (v > WD_DICOM_FRAMES_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "Number of Frames is %.0f, at most %d", v, WD_DICOM_FRAMES_MAX);
    if (v > 0)
        *out = (uint32_t)v;
    return WD_OK;
}

static wd_status get_pixel_shape(const wd_dcm *d, wd_dicom_info *info, wd_err *err)
{
    const wd_dcm_item *it = &d->root;
    double v;

    WD_TRY(need_u16(it, WD_TAG(0x28, 0x10), "Rows", 65535, &info->rows, err));
    WD_TRY(need_u16(it, WD_TAG(0x28, 0x11), "Columns", 65535, &info->cols, err));
    WD_TRY(need_u16(it, WD_TAG(0x28, 0x100), "Bits Allocated", 64, &info->bits_allocated, err));
    WD_TRY(get_n_frame(it, &info->n_frame, err));
    info->samples = 1;
    if (wd_dcm_number(it, WD_TAG(0x28, 2), "US", 0, &v))
        WD_TRY(need_u16(it, WD_TAG(0x28, 2), "Samples per Pixel", 3, &info->samples, err));
    if (info->samples == 2)
        return WD_FAIL(err, WD_E_INVALID, "Samples per Pixel is 2, expected 1 or 3");
    info->bits_stored = info->bits_allocated;
    if (!info->is_float) {
        WD_TRY(
            need_u16(it, WD_TAG(0x28, 0x101), "Bits Stored", info->bits_allocated, &info->bits_stored, err));
        info->is_signed = wd_dcm_number(it, WD_TAG(0x28, 0x103), "US", 0, &v) && v == 1;
    }
    get_code(it, WD_TAG(0x28, 4), info->photometric_name, sizeof info->photometric_name);
    info->photometric = photometric_of(info->photometric_name);
    if (!info->photometric_name[0] && info->samples == 1)
        info->photometric = WD_PHOTOMETRIC_MONOCHROME2;
    return WD_OK;
}

static wd_status get_info(const wd_dcm *d, const uint8_t salt[32], wd_dicom_info *info, wd_err *err)
{
    const wd_dcm_item *it = &d->root;
    wd_dcm_elem e;

#define CODE(field, group, element) get_code(it, WD_TAG(group, element), info->field, sizeof info->field)
#define TEXT(field, group, element) \
    WD_TRY(get_text(d, WD_TAG(group, element), info->field, sizeof info->field, err))
    snprintf(info->transfer_syntax_uid, sizeof info->transfer_syntax_uid, "%s", d->transfer_syntax);
    CODE(sop_class_uid, 0x08, 0x16);
    CODE(sop_instance_uid, 0x08, 0x18);
    CODE(study_uid, 0x20, 0x0D);
    CODE(series_uid, 0x20, 0x0E);
    CODE(frame_of_reference_uid, 0x20, 0x52);
    CODE(modality, 0x08, 0x60);
    CODE(image_type, 0x08, 0x08);
    CODE(view_position, 0x18, 0x5101);
    CODE(laterality, 0x20, 0x62);
    if (!info->laterality[0])
        CODE(laterality, 0x20, 0x60);
    TEXT(body_part, 0x18, 0x15);
    TEXT(study_description, 0x08, 0x1030);
    TEXT(series_description, 0x08, 0x103E);
    TEXT(protocol_name, 0x18, 0x1030);
    TEXT(contrast_agent, 0x18, 0x10);
#undef CODE
#undef TEXT
    WD_TRY(get_patient(d, salt, &info->patient, err));
    info->series_number = get_number_or_none(it, WD_TAG(0x20, 0x11));
    info->acquisition_number = get_number_or_none(it, WD_TAG(0x20, 0x12));
    info->instance_number = get_number_or_none(it, WD_TAG(0x20, 0x13));
    info->is_localizer = strstr(info->image_type, "LOCALIZER") || strstr(info->image_type, "SCOUT");
    info->is_float = !d->has_pixels &&
                     (wd_dcm_find(it, WD_TAG(0x7FE0, 8), &e) || wd_dcm_find(it, WD_TAG(0x7FE0, 9), &e));
    info->has_pixels = d->has_pixels || info->is_float;
    return info->has_pixels ? get_pixel_shape(d, info, err) : WD_OK;
}

/* ---- frames ---- */

/* Where a frame's attributes may be: its own functional groups, the shared ones, the object itself. */
typedef struct places {
    const wd_dcm_item *own, *shared, *root; /* own and shared may be NULL */
} places;

/* The item of macro (a sequence with one item) nearest to the frame; the object itself at last. */
static wd_dcm_item macro_of(const places *p, uint32_t macro)
{
    wd_dcm_item it;
    if (p->own && wd_dcm_sub(p->own, macro, 0, &it))
        return it;
    if (p->shared && wd_dcm_sub(p->shared, macro, 0, &it))
        return it;
    return *p->root;
}

/* The k-th of the texts between backslashes of (0028,1055) or (0028,1056); the last one serves all further. */
static void get_part(const wd_dcm_item *it, uint32_t tag, uint32_t k, char *out, size_t size)
{
    char all[1024], *p = all;

    get_code(it, tag, all, sizeof all);
    for (; k > 0; k--) {
        char *next = strchr(p, '\\');
        if (!next)
            break;
        p = next + 1;
    }
    snprintf(out, size, "%.*s", (int)strcspn(p, "\\"), p);
}

static void get_windows(const wd_dcm_item *it, wd_dicom_frame *f)
{
    char fn[32];

    for (uint32_t k = 0; k < WD_DICOM_WINDOWS_MAX; k++) {
        wd_dicom_window w = { 0 };
        if (!wd_dcm_number(it, WD_TAG(0x28, 0x1050), "DS", k, &w.w.center) ||
            !wd_dcm_number(it, WD_TAG(0x28, 0x1051), "DS", k, &w.w.width))
            break;
        get_part(it, WD_TAG(0x28, 0x1056), k, fn, sizeof fn);
        w.w.fn = strcmp(fn, "SIGMOID") == 0        ? WD_WINDOW_SIGMOID
                 : strcmp(fn, "LINEAR_EXACT") == 0 ? WD_WINDOW_LINEAR_EXACT
                                                   : WD_WINDOW_LINEAR;
        if (w.w.fn == WD_WINDOW_LINEAR ? w.w.width < 1 : w.w.width <= 0)
            continue; /* C.11.2.1.2.1 forbids it; another view of the file may be good */
        get_part(it, WD_TAG(0x28, 0x1055), k, w.explanation, sizeof w.explanation);
        f->windows[f->n_window++] = w;
    }
}

static void get_frame(const places *p, wd_dicom_frame *f)
{
    wd_dcm_item it = macro_of(p, WD_TAG(0x20, 0x9113)); /* Plane Position */
    f->has_position = get_doubles(&it, WD_TAG(0x20, 0x32), f->position, 3);
    it = macro_of(p, WD_TAG(0x20, 0x9116)); /* Plane Orientation */
    f->has_orientation = get_doubles(&it, WD_TAG(0x20, 0x37), f->orientation, 6);
    it = macro_of(p, WD_TAG(0x28, 0x9110)); /* Pixel Measures */
    f->has_spacing = get_doubles(&it, WD_TAG(0x28, 0x30), f->spacing, 2);
    f->has_thickness = get_doubles(&it, WD_TAG(0x18, 0x50), &f->thickness, 1);
    f->has_spacing_between = get_doubles(&it, WD_TAG(0x18, 0x88), &f->spacing_between, 1);
    if (!f->has_spacing) /* projection X-ray: at the detector, and not calibrated */
        f->has_spacing = get_doubles(p->root, WD_TAG(0x18, 0x1164), f->spacing, 2);
    it = macro_of(p, WD_TAG(0x28, 0x9145)); /* Pixel Value Transformation */
    f->slope = 1;
    f->has_rescale = get_doubles(&it, WD_TAG(0x28, 0x1053), &f->slope, 1);
    if (f->has_rescale)
        (void)get_doubles(&it, WD_TAG(0x28, 0x1052), &f->intercept, 1);
    get_code(&it, WD_TAG(0x28, 0x1054), f->rescale_type, sizeof f->rescale_type);
    it = macro_of(p, WD_TAG(0x28, 0x9132)); /* Frame VOI LUT */
    get_windows(&it, f);
}

/* RT dose: planes are offsets along the normal from the first. */
static void shift_by_grid(const wd_dcm_item *root, uint32_t i, wd_dicom_frame *f)
{
    double offset, first;
    const double *r = f->orientation, *c = f->orientation + 3;

    if (!f->has_position || !f->has_orientation ||
        !wd_dcm_number(root, WD_TAG(0x3004, 0x0C), "DS", i, &offset) ||
        !wd_dcm_number(root, WD_TAG(0x3004, 0x0C), "DS", 0, &first))
        return;
    const double normal[3] = { r[1] * c[2] - r[2] * c[1], r[2] * c[0] - r[0] * c[2],
                               r[0] * c[1] - r[1] * c[0] };
    for (int k = 0; k < 3; k++)
        f->position[k] += normal[k] * (offset - first);
}

static wd_status get_frames(const wd_dcm *d, uint32_t n, wd_dicom_frame *f, wd_err *err)
{
    wd_dcm_elem per_frame = { 0 };
    wd_dcm_item shared, own;
    places p = { .root = &d->root };
    size_t at = 0;

    if (wd_dcm_sub(&d->root, WD_TAG(0x5200, 0x9229), 0, &shared))
        p.shared = &shared;
    const bool has_own = wd_dcm_find(&d->root, WD_TAG(0x5200, 0x9230), &per_frame);
    for (uint32_t i = 0; i < n; i++) {
        if (has_own && !wd_dcm_next_item(&per_frame, &at, &own))
            return WD_FAIL(err, WD_E_CORRUPT, "%u frames, but functional groups of %u", (unsigned)n,
                           (unsigned)i);
        p.own = has_own ? &own : NULL;
        if (i > 0 && !has_own)
            f[i] = f[0];
        else
            get_frame(&p, &f[i]);
    }
    for (uint32_t i = n; i-- > 1 && !has_own;)
        shift_by_grid(&d->root, i, &f[i]);
    return WD_OK;
}

/* ---- look-up tables ---- */

static wd_status emit_lut(wd_dicom__lut_kind kind, const wd_dcm_item *it, uint32_t descriptor,
                          wd_span entries, bool big, bool is_signed, wd_emit *out, wd_err *err)
{
    wd_dcm_elem desc = { 0 };
    wd_buf msg = { 0 };
    double n = 0, first = 0, bits = 0;
    const bool is_ss = wd_dcm_find(it, descriptor, &desc) &&
                       (strcmp(desc.vr, "SS") == 0 || (!desc.vr[0] && is_signed));

    if (!wd_dcm_number(it, descriptor, "US", 0, &n) || !wd_dcm_number(it, descriptor, "US", 1, &first) ||
        !wd_dcm_number(it, descriptor, "US", 2, &bits) || bits < 1 || bits > 16)
        return WD_FAIL(err, WD_E_CORRUPT, "the descriptor of a look-up table (%04x,%04x) is not readable",
                       (unsigned)(descriptor >> 16), (unsigned)(descriptor & 0xffff));
    if (n <= 0) /* 0 means 2^16; a signed descriptor shows large counts as negative */
        n += 65536;
    if (is_ss || (strcmp(desc.vr, "US") == 0 && is_signed && first > 32767 && kind != WD_DICOM__LUT_VOI))
        first = (int16_t)(uint16_t)(int32_t)first;
    wd_dicom__lut h = { .kind = kind, .n = (uint32_t)n, .bits = (uint32_t)bits, .first = (int32_t)first };
    const bool bytes = h.bits <= 8 && entries.n < (size_t)h.n * 2; /* packed two to a word */
    if (entries.n < (size_t)h.n * (bytes ? 1 : 2))
        return WD_FAIL(err, WD_E_CORRUPT, "a look-up table of %u entries has only %zu bytes", (unsigned)h.n,
                       entries.n);
    wd_buf_put(&msg, &h, sizeof h);
    for (uint32_t i = 0; i < h.n; i++) {
        const uint16_t v = bytes ? entries.p[i] : wd_dcm_u16(entries.p + 2 * (size_t)i, big);
        wd_buf_put(&msg, &v, sizeof v);
    }
    wd_status st = wd_buf_check(&msg, "look-up table", err);
    if (st == WD_OK)
        st = wd_emit_put(out, WD_DICOM__LUT, wd_buf_view(&msg), err);
    wd_buf_free(&msg);
    return st;
}

static wd_status emit_plain_lut(wd_dicom__lut_kind kind, const wd_dcm_item *it, uint32_t descriptor,
                                uint32_t data, bool is_signed, wd_emit *out, wd_err *err)
{
    wd_dcm_elem e;
    if (!wd_dcm_find(it, data, &e))
        return WD_FAIL(err, WD_E_CORRUPT, "a look-up table has no data (%04x,%04x)", (unsigned)(data >> 16),
                       (unsigned)(data & 0xffff));
    return emit_lut(kind, it, descriptor, e.value, e.big, is_signed, out, err);
}

/* PS3.3 C.7.9.2: segments of 16-bit words {opcode, length, values}; 0 discrete, 1 linear to a value, 2 indirect. The
 * indirect one repeats `length` segments from an earlier place, one level deep. */
typedef struct segments {
    wd_span s;
    bool big;
    wd_buf out; /* little-endian words */
    size_t n_max;
} segments;

static uint32_t word(const segments *g, size_t i)
{
    return wd_dcm_u16(g->s.p + 2 * i, g->big);
}

static size_t n_out(const segments *g)
{
    return g->out.n / 2;
}

static void put_word(segments *g, uint32_t v)
{
    const uint8_t b[2] = { (uint8_t)v, (uint8_t)(v >> 8) };
    wd_buf_put(&g->out, b, sizeof b);
}

/* The segment at word *at; *at moves past it. */
static wd_status expand_direct(segments *g, size_t *at, wd_err *err)
{
    const size_t n_words = g->s.n / 2;
    if (*at + 2 > n_words)
        return WD_FAIL(err, WD_E_CORRUPT, "a segmented palette is cut off");
    const uint32_t op = word(g, *at), n = word(g, *at + 1);
    const size_t n_values = op == 0 ? n : 1;
    if (op > 1 || *at + 2 + n_values > n_words || n_out(g) + n > g->n_max || (op == 1 && n_out(g) == 0))
        return WD_FAIL(err, WD_E_CORRUPT, "a segment of a segmented palette is not valid");
    if (op == 0) {
        for (uint32_t i = 0; i < n; i++)
            put_word(g, word(g, *at + 2 + i));
    } else {
        const double from = wd_le16(g->out.p + g->out.n - 2), to = word(g, *at + 2);
        for (uint32_t i = 1; i <= n && !g->out.failed; i++)
            put_word(g, (uint32_t)lround(from + (to - from) * i / n));
    }
    *at += 2 + n_values;
    return wd_buf_check(&g->out, "segmented palette", err);
}

static wd_status expand(segments *g, wd_err *err)
{
    const size_t n_words = g->s.n / 2;
    for (size_t at = 0; at + 2 <= n_words && n_out(g) < g->n_max;) {
        if (word(g, at) != 2) {
            WD_TRY(expand_direct(g, &at, err));
            continue;
        }
        if (at + 4 > n_words)
            return WD_FAIL(err, WD_E_CORRUPT, "a segmented palette is cut off");
        size_t from = (word(g, at + 2) | (size_t)word(g, at + 3) << 16) / 2; /* a byte offset */
        for (uint32_t i = word(g, at + 1); i > 0; i--) {
            if (from >= at)
                return WD_FAIL(err, WD_E_CORRUPT, "a segmented palette refers past its own place");
            WD_TRY(expand_direct(g, &from, err));
        }
        at += 4;
    }
    return WD_OK;
}

static wd_status emit_palette(const wd_dcm_item *it, bool is_signed, wd_emit *out, wd_err *err)
{
    for (uint32_t c = 0; c < 3; c++) {
        const uint32_t descriptor = WD_TAG(0x28, 0x1101 + c);
        const wd_dicom__lut_kind kind = (wd_dicom__lut_kind)(WD_DICOM__LUT_RED + (int)c);
        wd_dcm_elem e;
        double n = 0;
        if (wd_dcm_find(it, WD_TAG(0x28, 0x1201 + c), &e)) {
            WD_TRY(emit_lut(kind, it, descriptor, e.value, e.big, is_signed, out, err));
            continue;
        }
        if (!wd_dcm_find(it, WD_TAG(0x28, 0x1221 + c), &e) || !wd_dcm_number(it, descriptor, "US", 0, &n))
            return WD_FAIL(err, WD_E_INVALID, "PALETTE COLOR without a palette");
        segments g = { .s = e.value, .big = e.big, .n_max = n <= 0 ? (size_t)(n + 65536) : (size_t)n };
        wd_status st = expand(&g, err);
        if (st == WD_OK)
            st = emit_lut(kind, it, descriptor, wd_buf_view(&g.out), false, is_signed, out, err);
        wd_buf_free(&g.out);
        WD_TRY(st);
    }
    return WD_OK;
}

static wd_status emit_luts(const wd_dcm *d, const wd_dicom_info *info, wd_emit *out, wd_err *err)
{
    const wd_dcm_item *root = &d->root;
    wd_dcm_item it, shared, voi;

    if (info->photometric == WD_PHOTOMETRIC_PALETTE)
        return emit_palette(root, info->is_signed, out, err);
    if (info->samples != 1 || info->is_float)
        return WD_OK;
    if (wd_dcm_sub(root, WD_TAG(0x28, 0x3000), 0, &it))
        WD_TRY(emit_plain_lut(WD_DICOM__LUT_MODALITY, &it, WD_TAG(0x28, 0x3002), WD_TAG(0x28, 0x3006),
                              info->is_signed, out, err));
    const wd_dcm_item *where = root;
    if (wd_dcm_sub(root, WD_TAG(0x5200, 0x9229), 0, &shared) &&
        wd_dcm_sub(&shared, WD_TAG(0x28, 0x9132), 0, &voi))
        where = &voi;
    for (uint32_t i = 0; i < WD_DICOM_WINDOWS_MAX && wd_dcm_sub(where, WD_TAG(0x28, 0x3010), i, &it); i++)
        WD_TRY(emit_plain_lut(WD_DICOM__LUT_VOI, &it, WD_TAG(0x28, 0x3002), WD_TAG(0x28, 0x3006),
                              info->is_signed, out, err));
    return WD_OK;
}

/* ---- the whole ---- */

static void get_padding(const wd_dcm_item *root, const wd_dicom_info *info, wd_dicom__more *more)
{
    const char *vr = info->is_signed ? "SS" : "US";
    double a, b;

    if (!wd_dcm_number(root, WD_TAG(0x28, 0x120), vr, 0, &a) || info->samples != 1)
        return;
    if (!wd_dcm_number(root, WD_TAG(0x28, 0x121), vr, 0, &b))
        b = a;
    if (info->is_signed &&
        info->bits_allocated <= 16) { /* written with VR US in many a file of signed pixels */
        a = (int16_t)(uint16_t)(int32_t)a;
        b = (int16_t)(uint16_t)(int32_t)b;
    }
    more->has_padding = 1;
    more->padding_lo = WD_MIN(a, b);
    more->padding_hi = WD_MAX(a, b);
}

static wd_status emit_all(const wd_dcm *d, const wd_dicom__opts *o, wd_emit *out, wd_err *err)
{
    wd_dicom_info info = { 0 };
    wd_dicom__more more = { 0 };

    WD_TRY(get_info(d, o->salt, &info, err));
    WD_TRY(wd_emit_put(out, WD_DICOM__INFO, wd_span_of(&info, sizeof info), err));
    if (!info.has_pixels) {
        if (o->pixels)
            return WD_FAIL(err, WD_E_INVALID, "it holds no pixels");
        return wd_emit_put(out, WD_DICOM__MORE, wd_span_of(&more, sizeof more), err);
    }
    wd_dicom_frame *frames = WD_ALLOC_N(wd_dicom_frame, info.n_frame);
    if (!frames)
        return WD_FAIL(err, WD_E_NOMEM, "no memory for %u frames", (unsigned)info.n_frame);
    wd_status st = get_frames(d, info.n_frame, frames, err);
    if (st == WD_OK)
        st = wd_emit_put(out, WD_DICOM__FRAMES, wd_span_of(frames, info.n_frame * sizeof *frames), err);
    wd_free(frames);
    WD_TRY(st);
    more.colour = info.photometric;
    more.is_signed = info.is_signed;
    get_padding(&d->root, &info, &more);
    if (o->pixels) {
        WD_TRY(emit_luts(d, &info, out, err));
        WD_TRY(wd_dicom__emit_pixels(d, &info, o, &more, out, err));
    }
    return wd_emit_put(out, WD_DICOM__MORE, wd_span_of(&more, sizeof more), err);
}

wd_status wd_decode_dicom(const wd_decode_in *in, wd_emit *out, wd_err *err)
{
    wd_dicom__opts o;
    wd_span bytes;
    wd_dcm d = { 0 };

    if (in->opts.n != sizeof o)
        return WD_FAIL(err, WD_E_INTERNAL, "DICOM decoder: %zu bytes of options", in->opts.n);
    memcpy(&o, in->opts.p, sizeof o);
    WD_TRY(wd_decode_input(in, &bytes, err));
    WD_TRY(wd_dcm_open(bytes, &d, err));
    const wd_status st = emit_all(&d, &o, out, err);
    wd_dcm_close(&d);
    return st;
}
