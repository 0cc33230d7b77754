/* Reading DICOM through the sandbox: the files of tests/golden/dicom (tools/golden/dicom.py made them and says what is
 * in each). Equality with pydicom on real files is the oracle suite's, tools/compare/dicom.py. */
#include "support/test.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <zlib.h>

#include "base/file.h"
#include "media/dicom_inner.h"
#include "media/sandbox_inner.h"

#define PYDICOM "/usr/lib/python3/dist-packages/pydicom/data/test_files"

static char *path_of(const char *name)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/golden/dicom/%s", test_data_dir(), name);
    return path;
}

static wd_dicom *load(const char *name)
{
    const wd_dicom_want want = { .pixels = true };
    wd_dicom *d = NULL;
    assert_ok(wd_dicom_read_file(path_of(name), &want, &d, &err));
    return d;
}

static wd_dicom *header(const char *name)
{
    wd_dicom *d = NULL;
    assert_ok(wd_dicom_read_file(path_of(name), NULL, &d, &err));
    return d;
}

/* The red byte of each pixel, as choice draws it. */
static wd_image draw(const wd_dicom *d, size_t i, const wd_window_choice *choice)
{
    wd_image im = { 0 };
    assert_ok(wd_dicom_render(d, i, choice, &im, NULL, &err));
    return im;
}

static void header_is_read_without_pixels(void **state)
{
    (void)state;
    wd_dicom *d = header("plain.dcm");
    const wd_dicom_info *i = wd_dicom_info_of(d);
    const wd_dicom_frame *f = wd_dicom_frame_at(d, 0);
    assert_string_equal(i->modality, "CT");
    assert_string_equal(i->study_uid, "2.25.100");
    assert_string_equal(i->series_uid, "2.25.200");
    assert_string_equal(i->frame_of_reference_uid, "2.25.300");
    assert_string_equal(i->transfer_syntax_uid, "1.2.840.10008.1.2.1");
    assert_string_equal(i->series_description, "Chest 1 mm");
    assert_string_equal(i->body_part, "CHEST");
    assert_string_equal(i->laterality, "L");
    assert_string_equal(i->image_type, "ORIGINAL\\PRIMARY\\AXIAL");
    assert_int_equal(i->instance_number, 1);
    assert_int_equal(i->acquisition_number, INT32_MIN);
    assert_int_equal(i->rows, 6);
    assert_int_equal(i->cols, 8);
    assert_int_equal(i->n_frame, 1);
    assert_true(i->has_pixels && i->is_signed && !i->is_localizer && i->patient.known && !i->patient.by_name);
    assert_true(f->has_position && f->has_orientation && f->has_spacing && f->has_thickness &&
                f->has_rescale);
    assert_true(f->position[2] == 3.5 && f->spacing[0] == 0.7 && f->spacing[1] == 0.8 &&
                f->thickness == 1.25);
    assert_true(f->orientation[0] == 1 && f->orientation[4] == 1);
    assert_string_equal(f->rescale_type, "HU");
    assert_int_equal(f->n_window, 2);
    assert_true(f->windows[1].w.center == -600 && f->windows[1].w.width == 1500);
    assert_string_equal(f->windows[1].explanation, "lung");
    assert_int_equal(wd_dicom_n_pixels(d), 0);
    assert_null(wd_dicom_frame_at(d, 1));
    wd_dicom_close(d);
}

static void values_follow_slope_and_intercept(void **state)
{
    (void)state;
    wd_dicom *d = load("plain.dcm");
    const wd_dicom_pixels *p = wd_dicom_pixels_at(d, 0);
    for (int i = 0; i < 48; i++) {
        assert_int_equal(p->stored[i], -800 + 37 * i);
        assert_true(p->value[i] == (float)(2 * (-800 + 37 * i) - 24));
    }
    assert_null(p->padding);
    wd_dicom_close(d);
}

static void every_encoding_gives_the_same_values(void **state)
{
    (void)state;
    static const char *const names[] = { "implicit.dcm", "big.dcm", "deflated.dcm", "rle.dcm" };
    for (size_t k = 0; k < WD_COUNT(names); k++) {
        wd_dicom *d = load(names[k]);
        const wd_dicom_pixels *p = wd_dicom_pixels_at(d, 0);
        for (int i = 0; i < 48; i++)
            if (p->stored[i] != 37 * i)
                fail_msg("%s: pixel %d is %d", names[k], i, p->stored[i]);
        wd_dicom_close(d);
    }
}

static void stored_bits_are_cut_out_and_signed(void **state)
{
    (void)state;
    wd_dicom *d = load("twelve_signed.dcm"); /* 16 allocated, 12 stored, two's complement in bit 11 */
    const wd_dicom_pixels *p = wd_dicom_pixels_at(d, 0);
    for (int i = 0; i < 48; i++) {
        const int v = 85 * i % 4096;
        assert_int_equal(p->stored[i], v >= 2048 ? v - 4096 : v);
    }
    wd_dicom_close(d);
}

static void one_bit_frames_begin_inside_a_byte(void **state)
{
    (void)state;
    static const int bits[] = { 1, 0, 1, 1, 0, 0, 1, 0, 1, 1 };
    wd_dicom *d = load("bits.dcm");
    assert_int_equal(wd_dicom_n_pixels(d), 2);
    for (int i = 0; i < 30; i++)
        assert_int_equal(wd_dicom_pixels_at(d, (size_t)i / 15)->stored[i % 15], bits[i % 10]);
    wd_dicom_close(d);
}

static void fragments_are_put_together_by_table_or_marker(void **state)
{
    (void)state;
    static const char *const names[] = { "j2k.dcm", "j2k_no_table.dcm" };
    for (size_t k = 0; k < 2; k++) {
        wd_dicom *d = load(names[k]);
        assert_int_equal(wd_dicom_n_pixels(d), 2);
        for (size_t f = 0; f < 2; f++)
            for (int i = 0; i < 256; i++)
                assert_int_equal(wd_dicom_pixels_at(d, f)->stored[i], i);
        wd_dicom_close(d);
    }
}

static void frames_are_decoded_one_by_one(void **state)
{
    (void)state;
    const wd_dicom_want second = { .pixels = true, .first_frame = 1, .n_frame = 1 };
    const wd_dicom_want past = { .pixels = true, .first_frame = 3 };
    wd_dicom *d = NULL;
    assert_ok(wd_dicom_read_file(path_of("enhanced.dcm"), &second, &d, &err));
    assert_int_equal(wd_dicom_n_pixels(d), 1);
    assert_int_equal(wd_dicom_pixels_at(d, 0)->frame, 1);
    assert_int_equal(wd_dicom_pixels_at(d, 0)->stored[0], 100);
    wd_dicom_close(d);
    assert_fails(wd_dicom_read_file(path_of("enhanced.dcm"), &past, &d, &err), WD_E_INVALID,
                 "frame 4 was asked for, it has 3");
    assert_null(d);
}

static void frames_have_their_own_groups(void **state)
{
    (void)state;
    static const double z[] = { 20, 0, 10 };
    wd_dicom *d = load("enhanced.dcm");
    assert_int_equal(wd_dicom_n_pixels(d), 3);
    for (uint32_t k = 0; k < 3; k++) {
        const wd_dicom_frame *f = wd_dicom_frame_at(d, k);
        assert_true(f->has_position && f->position[2] == z[k]);
        assert_true(f->has_orientation && f->has_spacing && f->spacing[1] == 0.6 && f->thickness == 2);
        assert_true(f->slope == k + 1 && f->intercept == -10.0 * k);
        assert_int_equal(f->n_window, 1);
        assert_true(f->windows[0].w.center == 100 * k + 50 && f->windows[0].w.width == 200 + k);
        const wd_dicom_pixels *p = wd_dicom_pixels_at(d, k);
        for (int i = 0; i < 16; i++)
            assert_true(p->value[i] == (float)((100.0 * k + 37 * i) * (k + 1) - 10.0 * k));
    }
    wd_dicom_close(d);
}

static void float_pixels_are_values(void **state)
{
    (void)state;
    wd_dicom *d = load("float.dcm");
    const wd_dicom_pixels *p = wd_dicom_pixels_at(d, 0);
    assert_null(p->stored);
    for (int i = 0; i < 16; i++)
        assert_true(p->value[i] == (float)i / 3 - 2);
    wd_dicom_close(d);
}

static void modality_table_replaces_slope(void **state)
{
    (void)state;
    wd_dicom *d = load(
        "modality_lut.dcm"); /* 20 entries 10 k^2 from input 4 on; the ends serve what is outside */
    const wd_dicom_pixels *p = wd_dicom_pixels_at(d, 0);
    for (int i = 0; i < 48; i++) {
        const int k = i < 4 ? 0 : i > 23 ? 19 : i - 4;
        assert_true(p->value[i] == (float)(10 * k * k));
    }
    wd_dicom_close(d);
}

static void views_are_tables_then_windows(void **state)
{
    (void)state;
    wd_dicom *d = load("voi_lut.dcm");
    assert_int_equal(wd_dicom_n_voi_lut(d), 2);
    for (uint32_t view = 0; view < 3; view++) {
        const wd_window_choice c = { .kind = WD_WINDOW_BY_FILE, .tag_i = view };
        wd_image im = draw(d, 0, &c);
        for (int i = 0; i < 48; i++) {
            const int x = 3 * i, at = view ? WD_MIN(x, 99) : WD_MIN(WD_MAX(x - 10, 0), 63);
            const double y = view == 0   ? at * at / 4095.0
                             : view == 1 ? (100 - at) / 255.0
                                         : wd_window_at(&(wd_window){ .center = 60, .width = 100 }, x);
            assert_int_equal(im.rgb[3 * i], (int)(y * 255 + 0.5));
        }
        wd_image_free(&im);
    }
    const wd_window_choice past = { .kind = WD_WINDOW_BY_FILE, .tag_i = 3 };
    wd_image im = { 0 };
    assert_fails(wd_dicom_render(d, 0, &past, &im, NULL, &err), WD_E_INVALID, "view 4 was asked for");
    assert_fails(wd_dicom_render(d, 1, NULL, &im, NULL, &err), WD_E_INVALID, "frame 2 was not decoded");
    assert_null(im.rgb);
    wd_dicom_close(d);
}

static void drawing_takes_the_files_first_window(void **state)
{
    (void)state;
    wd_dicom *d = load("plain.dcm");
    wd_window used = { 0 };
    wd_image im = { 0 };
    assert_ok(wd_dicom_render(d, 0, NULL, &im, &used, &err));
    assert_true(used.center == 40 && used.width == 400);
    for (int i = 0; i < 48; i++) {
        const double y = wd_window_at(&used, wd_dicom_pixels_at(d, 0)->value[i]);
        assert_int_equal(im.rgb[3 * i], (int)(y * 255 + 0.5));
        assert_int_equal(im.rgb[3 * i], im.rgb[3 * i + 2]);
    }
    wd_image_free(&im);
    wd_dicom_close(d);
}

static void monochrome1_is_drawn_inverted(void **state)
{
    (void)state;
    wd_dicom *d = load("monochrome1.dcm");
    wd_image im = draw(d, 0, NULL);
    assert_int_equal(im.rgb[0], 255);
    assert_int_equal(im.rgb[3 * 47], 0);
    wd_image_free(&im);
    wd_dicom_close(d);
}

static void padding_is_black_and_does_not_stretch_the_range(void **state)
{
    (void)state;
    wd_dicom *d = load("padding.dcm"); /* -1000 to -880 is padding: the first four values */
    const wd_dicom_pixels *p = wd_dicom_pixels_at(d, 0);
    const wd_window_choice range = { .kind = WD_WINDOW_BY_RANGE };
    wd_window used = { 0 };
    wd_image im = { 0 };
    assert_non_null(p->padding);
    for (int i = 0; i < 48; i++)
        assert_int_equal(p->padding[i], i < 4);
    assert_ok(wd_dicom_render(d, 0, &range, &im, &used, &err));
    assert_true(used.center - used.width / 2 == -840);
    assert_int_equal(im.rgb[3 * 3], 0);
    assert_int_equal(im.rgb[3 * 47], 255);
    wd_image_free(&im);
    wd_dicom_close(d);
}

static void colours_are_drawn_from_planes_palettes_and_chroma(void **state)
{
    (void)state;
    wd_dicom *d = load("rgb_planar.dcm");
    wd_image im = draw(d, 0, NULL);
    for (int i = 0; i < 20; i++)
        for (int c = 0; c < 3; c++)
            assert_int_equal(im.rgb[3 * i + c], 20 * c + i);
    wd_image_free(&im);
    wd_dicom_close(d);

    d = load("ybr422.dcm"); /* Y1 Y2 Cb Cr = 10 11 12 13, 14 15 16 17, ... */
    const wd_dicom_pixels *p = wd_dicom_pixels_at(d, 0);
    assert_int_equal(p->stored[0], 10);
    assert_int_equal(p->stored[3], 11);
    assert_int_equal(p->stored[1], 12);
    assert_int_equal(p->stored[4], 12);
    assert_int_equal(p->stored[5], 13);
    assert_null(p->value);
    im = draw(d, 0, NULL);
    assert_int_equal(im.rgb[1], 10 + (int)(0.344136 * 116 + 0.714136 * 115 + 0.5));
    wd_image_free(&im);
    wd_dicom_close(d);

    d = load("palette_segmented.dcm");
    im = draw(d, 0, NULL);
    static const int want[][2] = { { 0, 100 },  { 1, 20000 },  { 3, 40000 }, { 13, 50000 }, { 23, 60000 },
                                   { 24, 100 }, { 27, 40000 }, { 39, 100 },  { 47, 100 } };
    for (size_t k = 0; k < WD_COUNT(want); k++)
        assert_int_equal(im.rgb[3 * want[k][0] + 1], want[k][1] >> 8);
    wd_image_free(&im);
    wd_dicom_close(d);
}

static void unknown_colour_spaces_are_not_guessed(void **state)
{
    (void)state;
    wd_buf b = { 0 };
    wd_dicom *d = NULL;
    wd_image im = { 0 };
    const wd_dicom_want want = { .pixels = true };
    assert_ok(wd_file_read(path_of("rgb_planar.dcm"), 1 << 20, &b, &err));
    const size_t at = wd_span_find(wd_buf_view(&b), WD_SPAN_LIT("CS\4\0RGB "), 0);
    assert_true(at != SIZE_MAX);
    memcpy(b.p + at + 4, "HSV ", 4);
    const wd_dicom_source src = { .what = "hsv", .fd = -1, .bytes = wd_buf_view(&b) };
    assert_ok(wd_dicom_read(&src, &want, &d, &err));
    assert_fails(wd_dicom_render(d, 0, NULL, &im, NULL, &err), WD_E_UNSUPPORTED,
                 "Photometric Interpretation HSV");
    wd_dicom_close(d);
    wd_buf_free(&b);
}

static void texts_are_utf8_whatever_the_character_set(void **state)
{
    (void)state;
    static const char *const want[][2] = {
        { "charset_gb18030.dcm", "胸部CT平扫 𠀀" },
        { "charset_gbk.dcm", "颅脑增强" },
        { "charset_utf8.dcm", "Thorax – 肺" },
        { "charset_latin2.dcm", "Płuco" },
        { "charset_cyrillic.dcm", "Грудь" },
        { "charset_thai.dcm", "ทรวงอก" },
        { "charset_japanese.dcm", "胸部 CT" },
        { "charset_jisx0201.dcm", "ｷｮｳﾌﾞ CT" },
        { "charset_jisx0212.dcm", "丂!" },
        { "charset_korean.dcm", "흉부 CT" },
        { "charset_chinese.dcm", "胸部 CT" },
        { "charset_unknown.dcm", "a\xef\xbf\xbd"
                                 "b" },
    };
    for (size_t i = 0; i < WD_COUNT(want); i++) {
        wd_dicom *d = header(want[i][0]);
        assert_string_equal(wd_dicom_info_of(d)->series_description, want[i][1]);
        assert_false(wd_dicom_info_of(d)->has_pixels);
        wd_dicom_close(d);
    }
}

static void patients_are_only_compared(void **state)
{
    (void)state;
    wd_dicom *a = header("plain.dcm"), *b = header("enhanced.dcm"), *c = NULL;
    const wd_patient_key *ka = &wd_dicom_info_of(a)->patient, *kb = &wd_dicom_info_of(b)->patient;
    assert_true(wd_patient_same(ka, kb));
    assert_false(wd_patient_differs(ka, kb));
    assert_ok(wd_dicom_read_file(PYDICOM "/CT_small.dcm", NULL, &c, &err));
    const wd_patient_key *kc = &wd_dicom_info_of(c)->patient;
    assert_false(wd_patient_same(ka, kc));
    assert_true(wd_patient_differs(ka, kc));
    wd_dicom_close(c);
    c = header("undefined_lengths.dcm"); /* says nothing about the patient */
    kc = &wd_dicom_info_of(c)->patient;
    assert_false(kc->known);
    assert_false(wd_patient_same(ka, kc) || wd_patient_differs(ka, kc) || wd_patient_same(kc, kc));
    wd_dicom_close(c);
    wd_dicom_close(b);
    wd_dicom_close(a);
}

static void preamble_and_lengths_may_be_missing(void **state)
{
    (void)state;
    static const char *const names[] = { "no_preamble.dcm", "undefined_lengths.dcm" };
    for (size_t k = 0; k < 2; k++) {
        wd_dicom *d = load(names[k]);
        assert_int_equal(wd_dicom_pixels_at(d, 0)->stored[1], 0x0302);
        wd_dicom_close(d);
    }
}

static void hostile_files_get_one_sentence(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        wd_status want;
        const char *part;
    } bad[] = {
        { "bad_huge_rows.dcm", WD_E_LIMIT, "65535 x 65535 pixels of 1 samples are more than 268435456" },
        { "bad_many_frames.dcm", WD_E_LIMIT, "Number of Frames is 99999999, at most 65536" },
        { "bad_zero_rows.dcm", WD_E_INVALID, "Rows is 0, expected 1 to 65535" },
        { "bad_short_pixels.dcm", WD_E_CORRUPT, "its pixels are 30 bytes, frame 1 ends at 32" },
        { "bad_length.dcm", WD_E_CORRUPT, "element (0009,0010) claims 4294967280 bytes, 4 are left" },
        { "bad_cut.dcm", WD_E_CORRUPT, "the data ends inside the element at byte 14" },
        { "bad_nesting_undefined.dcm", WD_E_LIMIT, "sequences are nested more than 64 deep" },
        { "bad_nesting_defined.dcm", WD_E_LIMIT, "sequences are nested more than 64 deep" },
        { "j2k_wrong_size.dcm", WD_E_CORRUPT, "the JPEG 2000 image is 16 x 16, the header says 20 x 20" },
        { "good.zip", WD_E_UNSUPPORTED, "not a DICOM file" },
        { "charset_utf8.dcm", WD_E_INVALID, "it holds no pixels" },
    };
    const wd_dicom_want want = { .pixels = true };
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        wd_dicom *d = NULL;
        assert_fails(wd_dicom_read_file(path_of(bad[i].name), &want, &d, &err), bad[i].want, bad[i].part);
        assert_null(d);
    }
    wd_dicom *d = NULL;
    assert_fails(wd_dicom_read_file("/nonexistent.dcm", &want, &d, &err), WD_E_NOT_FOUND, "/nonexistent.dcm");
}

/* Cut anywhere, a file gives an error or a header, and never a crash of the decoder. */
static void files_cut_anywhere_are_refused(void **state)
{
    (void)state;
    static const char *const names[] = { "enhanced.dcm", "voi_lut.dcm", "j2k.dcm", "palette_segmented.dcm",
                                         "rle.dcm" };
    for (size_t k = 0; k < WD_COUNT(names); k++) {
        wd_mapped m;
        assert_ok(wd_file_map(path_of(names[k]), &m, &err));
        for (size_t n = 0; n < m.n; n += 7) {
            const wd_dicom_want want = { .pixels = true };
            wd_dicom *d = NULL;
            wd_err err = { 0 };
            const wd_status st = wd_dicom__read_here(wd_span_of(m.p, n), &want, &d, &err);
            if (st == WD_OK && n + 8 < m.n) /* all but the last delimiter may do */
                fail_msg("%s cut at %zu of %zu was read", names[k], n, m.n);
            assert_true((st == WD_OK) == (d != NULL) && st != WD_E_CRASHED);
            wd_dicom_close(d);
        }
        wd_file_unmap(&m);
    }
}

static void deflate_bomb_meets_the_memory_limit(void **state)
{
    (void)state;
    if (!wd_sandbox__memory_is_limited())
        skip();
    enum { STEP = 1 << 20, STEPS = 600 };
    wd_buf b = { 0 };
    uint8_t *zeros = wd_calloc(STEP, 1);
    z_stream z = { 0 };
    wd_dicom *d = NULL;
    assert_ok(wd_file_read(path_of("deflated.dcm"), 1 << 20, &b, &err));
    size_t at = wd_span_find(wd_buf_view(&b), WD_SPAN_LIT("1.2.840.10008.1.2.1.99"), 0);
    for (at += 22; wd_le16(b.p + at) == 2 || wd_le16(b.p + at) == 0; at++) {
        /* to the end of the meta header is not needed: any deflated stream after group 2 will do */
        if (wd_le16(b.p + at) == 2)
            break;
    }
    b.n = at;
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, -MAX_WBITS, 9, Z_DEFAULT_STRATEGY), Z_OK);
    for (int i = 0; i <= STEPS; i++) {
        z.next_in = zeros;
        z.avail_in = i < STEPS ? STEP : 0;
        do {
            uint8_t out[4096];
            z.next_out = out;
            z.avail_out = sizeof out;
            (void)deflate(&z, i < STEPS ? Z_NO_FLUSH : Z_FINISH);
            wd_buf_put(&b, out, sizeof out - z.avail_out);
        } while (z.avail_out == 0);
    }
    deflateEnd(&z);
    const wd_dicom_source src = { .what = "bomb", .fd = -1, .bytes = wd_buf_view(&b) };
    assert_fails(wd_dicom_read(&src, NULL, &d, &err), WD_E_LIMIT, "bomb: decoding needs more than the ");
    wd_buf_free(&b);
    wd_free(zeros);
}

static void cancelled_reading_stops(void **state)
{
    (void)state;
    static const atomic_bool yes = true;
    const wd_dicom_want want = { .pixels = true, .cancel = &yes };
    wd_dicom *d = NULL;
    assert_fails(wd_dicom_read_file(path_of("plain.dcm"), &want, &d, &err), WD_E_CANCELLED, "cancelled");
}

static void real_ct_has_its_hounsfield_units(void **state)
{
    (void)state;
    const wd_dicom_want want = { .pixels = true };
    wd_dicom *d = NULL;
    if (!wd_file_exists(PYDICOM "/CT_small.dcm"))
        skip();
    assert_ok(wd_dicom_read_file(PYDICOM "/CT_small.dcm", &want, &d, &err));
    const wd_dicom_pixels *p = wd_dicom_pixels_at(d, 0);
    assert_int_equal(p->rows, 128);
    assert_int_equal(p->stored[0], 175); /* as pydicom reads it */
    assert_true(p->value[0] == 175 - 1024);
    wd_dicom_close(d);
}

/* The n-th allocation fails, on both sides of the pipe (one process here): an error, and everything is released. */
static void failed_allocations_are_errors(void **state)
{
    (void)state;
    static const char *const names[] = { "plain.dcm",    "enhanced.dcm",
                                         "voi_lut.dcm",  "palette_segmented.dcm",
                                         "deflated.dcm", "j2k.dcm",
                                         "padding.dcm",  "charset_gb18030.dcm" };
    for (size_t k = 0; k < WD_COUNT(names); k++) {
        wd_mapped m;
        bool done = false;
        const wd_dicom_want want = { .pixels = strstr(names[k], "charset") == NULL };
        assert_ok(wd_file_map(path_of(names[k]), &m, &err));
        for (uint64_t n = 1; !done; n++) {
            wd_dicom *d = NULL;
            wd_err err = { 0 };
            wd_inject_failure(0);
            wd_inject_failure(n);
            const wd_status st = wd_dicom__read_here(wd_span_of(m.p, m.n), &want, &d, &err);
            done = wd_inject_failure(0) < n;
            if (st != WD_OK && st != WD_E_NOMEM)
                fail_msg("%s: allocation %u: %s", names[k], (unsigned)n, err.text);
            assert_true(st == WD_E_NOMEM || done);
            assert_true((st == WD_OK) == (d != NULL));
            wd_dicom_close(d);
        }
        wd_file_unmap(&m);
    }
}

static int start(void **state)
{
    (void)state;
    wd_err err;
    return wd_sandbox_start(&err) != WD_OK;
}

static int stop(void **state)
{
    (void)state;
    wd_sandbox_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_is_read_without_pixels),
        cmocka_unit_test(values_follow_slope_and_intercept),
        cmocka_unit_test(every_encoding_gives_the_same_values),
        cmocka_unit_test(stored_bits_are_cut_out_and_signed),
        cmocka_unit_test(one_bit_frames_begin_inside_a_byte),
        cmocka_unit_test(fragments_are_put_together_by_table_or_marker),
        cmocka_unit_test(frames_are_decoded_one_by_one),
        cmocka_unit_test(frames_have_their_own_groups),
        cmocka_unit_test(float_pixels_are_values),
        cmocka_unit_test(modality_table_replaces_slope),
        cmocka_unit_test(views_are_tables_then_windows),
        cmocka_unit_test(drawing_takes_the_files_first_window),
        cmocka_unit_test(monochrome1_is_drawn_inverted),
        cmocka_unit_test(padding_is_black_and_does_not_stretch_the_range),
        cmocka_unit_test(colours_are_drawn_from_planes_palettes_and_chroma),
        cmocka_unit_test(unknown_colour_spaces_are_not_guessed),
        cmocka_unit_test(texts_are_utf8_whatever_the_character_set),
        cmocka_unit_test(patients_are_only_compared),
        cmocka_unit_test(preamble_and_lengths_may_be_missing),
        cmocka_unit_test(hostile_files_get_one_sentence),
        cmocka_unit_test(files_cut_anywhere_are_refused),
        cmocka_unit_test(deflate_bomb_meets_the_memory_limit),
        cmocka_unit_test(cancelled_reading_stops),
        cmocka_unit_test(real_ct_has_its_hounsfield_units),
        cmocka_unit_test(failed_allocations_are_errors),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
