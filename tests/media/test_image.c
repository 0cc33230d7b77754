/* Images: samples whole, cut and damaged, through the sandbox and without it; bombs; orientation and alpha. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rand.h"
#include "media/image_inner.h"
#include "media/orient.h"
#include "support/test.h"

typedef void (*sample_fn)(const char *name, wd_span bytes);

/* Every file of the fuzz corpus: small pictures of all formats, made by tools/compare/images.py. */
static void each_sample(sample_fn fn)
{
    char dir[512];
    char **names = NULL;
    size_t n = 0, read = 0;
    wd_arena *a = wd_arena_create(1u << 20, false);
    snprintf(dir, sizeof dir, "%s/fuzz/corpus/image", test_data_dir());
    assert_ok(wd_file_list(a, dir, &names, &n, &err));
    for (size_t i = 0; i < n; i++) {
        const char *dot = strrchr(names[i], '.');
        wd_buf b = { 0 };
        if (!dot)
            continue; /* an input that the fuzzer found */
        assert_ok(wd_file_read(wd_path_join(a, dir, names[i]), 1u << 20, &b, &err));
        fn(names[i], wd_buf_view(&b));
        wd_buf_free(&b);
        read++;
    }
    assert_true(read >= 30);
    wd_arena_destroy(a);
}

static bool same(const wd_image *a, const wd_image *b)
{
    return a->width == b->width && a->height == b->height &&
           memcmp(a->rgb, b->rgb, (size_t)a->width * a->height * 3) == 0;
}

static void in_both_ways(const char *name, wd_span bytes)
{
    wd_image here = { 0 }, there = { 0 };
    assert_ok(wd_image_decode_here(bytes, false, &here, &err));
    assert_ok(wd_image_decode(name, bytes, NULL, &there, &err));
    assert_true(same(&here, &there));
    wd_image_free(&here);
    wd_image_free(&there);
}

static void samples_decode_the_same_in_the_sandbox(void **state)
{
    (void)state;
    each_sample(in_both_ways);
}

/* The bytes lie at the end of a block of their own, where AddressSanitizer sees a step beyond them. */
static void cut_everywhere(const char *name, wd_span bytes)
{
    wd_image whole = { 0 };
    assert_ok(wd_image_decode_here(bytes, false, &whole, &err));
    for (size_t n = 0; n < bytes.n; n++) {
        wd_image part = { 0 };
        wd_err err = { 0 };
        uint8_t *p = wd_realloc(NULL, n ? n : 1, 1);
        memcpy(p, bytes.p, n);
        if (wd_image_decode_here(wd_span_of(p, n), false, &part, &err) == WD_OK) {
            if (!same(&part, &whole))
                fail_msg("%s cut to %zu of %zu bytes gives another picture", name, n, bytes.n);
            wd_image_free(&part);
        } else if (!err.text[0]) {
            fail_msg("%s cut to %zu bytes: no sentence", name, n);
        }
        wd_free(p);
    }
    wd_image_free(&whole);
}

static void a_file_that_is_cut_off_is_never_half_a_picture(void **state)
{
    (void)state;
    each_sample(cut_everywhere);
}

static void damage(const char *name, wd_span bytes)
{
    wd_rand r;
    (void)name;
    wd_rand_init(&r, bytes.n);
    uint8_t *p = wd_realloc(NULL, bytes.n, 1);
    for (size_t round = 0; round < 300; round++) {
        wd_image im = { 0 };
        wd_err err = { 0 };
        memcpy(p, bytes.p, bytes.n);
        for (size_t k = 0; k <= round % 4; k++)
            p[wd_rand_below(&r, bytes.n)] = (uint8_t)wd_rand_u64(&r);
        if (wd_image_decode_here(wd_span_of(p, bytes.n), false, &im, &err))
            assert_true(err.text[0] && !im.rgb);
        wd_image_free(&im);
    }
    wd_free(p);
}

static void damaged_files_do_no_harm(void **state)
{
    (void)state;
    each_sample(damage);
}

/* The decoders' own memory; the libraries' is limited by the sandbox. A failure is an error, or did not matter. */
static void fail_each(const char *name, wd_span bytes)
{
    wd_image whole = { 0 };
    assert_ok(wd_image_decode_here(bytes, false, &whole, &err));
    for (uint64_t n = 1;; n++) {
        wd_image im = { 0 };
        wd_err err = { 0 };
        wd_inject_failure(n);
        const wd_status st = wd_image_decode_here(bytes, false, &im, &err);
        const uint64_t passed = wd_inject_failure(0);
        if (st == WD_OK ? !same(&im, &whole) : im.rgb || !err.text[0])
            fail_msg("%s: allocation %llu failed, and the answer is wrong", name, (unsigned long long)n);
        wd_image_free(&im);
        if (passed < n)
            break;
    }
    wd_image_free(&whole);
}

static void survives_every_failed_allocation(void **state)
{
    (void)state;
    each_sample(fail_each);
}

/* ---- bombs: a header that claims 100,000 x 100,000 pixels (or what its fields can hold) ---- */

static size_t big32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24), p[1] = (uint8_t)(v >> 16), p[2] = (uint8_t)(v >> 8), p[3] = (uint8_t)v;
    return 4;
}

static size_t png_bomb(uint8_t *p)
{
    memcpy(p, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16);
    big32(p + 16, 100000), big32(p + 20, 100000);
    memcpy(p + 24, "\x08\x06\0\0\0", 5);
    big32(p + 29, 0x12345678);
    return 33;
}

static size_t bmp_bomb(uint8_t *p)
{
    memcpy(p, "BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\xa0\x86\x01\0\xa0\x86\x01\0\x01\0\x18\0", 30);
    return 54;
}

static size_t gif_bomb(uint8_t *p)
{
    memcpy(p, "GIF89a\xff\xff\xff\xff\x00\0\0,\0\0\0\0\xff\xff\xff\xff\0\x08", 24);
    return 24;
}

static size_t tiff_bomb(uint8_t *p)
{
    static const uint8_t entries[][12] = {
        { 0x00, 1, 4, 0, 1, 0, 0, 0, 0xa0, 0x86, 1, 0 }, { 0x01, 1, 4, 0, 1, 0, 0, 0, 0xa0, 0x86, 1, 0 },
        { 0x02, 1, 3, 0, 1, 0, 0, 0, 8, 0, 0, 0 },       { 0x06, 1, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0 },
        { 0x11, 1, 4, 0, 1, 0, 0, 0, 8, 0, 0, 0 },       { 0x17, 1, 4, 0, 1, 0, 0, 0, 1, 0, 0, 0 },
    };
    memcpy(p, "II*\0\x08\0\0\0\x06\0", 10);
    memcpy(p + 10, entries, sizeof entries);
    return 10 + sizeof entries + 4;
}

static size_t webp_bomb(uint8_t *p)
{
    memcpy(p, "RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\x9f\x86\x01\x9f\x86\x01", 30);
    return 30;
}

static size_t jpeg_bomb(uint8_t *p)
{
    memcpy(p, "\xff\xd8\xff\xc0\0\x0b\x08\xff\xdc\xff\xdc\x01\x01\x11\0\xff\xda\0\x08\x01\x01\0\0\x3f\0", 25);
    return 25;
}

static void bombs_are_refused_before_memory_is_taken(void **state)
{
    static const struct {
        size_t (*make)(uint8_t *p);
        const char *part;
    } rows[] = {
        { png_bomb, "PNG: 100000 x 100000 pixels" }, { bmp_bomb, "BMP: 100000 x 100000 pixels" },
        { gif_bomb, "GIF: 65535 x 65535 pixels" },   { tiff_bomb, "TIFF: 100000 x 100000 pixels" },
        { webp_bomb, "WebP: 100000 x 100000" },      { jpeg_bomb, "JPEG: 65500 x 65500 pixels" },
    };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(rows); i++) {
        uint8_t p[256] = { 0 };
        wd_image im = { 0 };
        const size_t n = rows[i].make(p);
        assert_fails(wd_image_decode_here(wd_span_of(p, n), false, &im, &err), WD_E_LIMIT, rows[i].part);
        assert_fails(wd_image_decode("bomb", wd_span_of(p, n), NULL, &im, &err), WD_E_LIMIT, rows[i].part);
        assert_fails(wd_image_decode("bomb", wd_span_of(p, n), NULL, &im, &err), WD_E_LIMIT, "bomb: ");
        assert_null(im.rgb);
    }
}

static void what_is_no_picture_is_refused_by_its_bytes(void **state)
{
    static const char text[] = "Findings: no fracture.\n";
    char *dir = test_make_dir(), path[512];
    wd_image im = { 0 };
    (void)state;
    test_write(dir, "scan.png", text, strlen(text));
    test_write(dir, "empty.jpg", "", 0);
    snprintf(path, sizeof path, "%s/scan.png", dir);
    assert_fails(wd_image_open(path, NULL, &im, &err), WD_E_UNSUPPORTED, "scan.png: not an image");
    snprintf(path, sizeof path, "%s/empty.jpg", dir);
    assert_fails(wd_image_open(path, NULL, &im, &err), WD_E_CORRUPT, "empty.jpg: the file is empty");
    snprintf(path, sizeof path, "%s/none.jpg", dir);
    assert_fails(wd_image_open(path, NULL, &im, &err), WD_E_NOT_FOUND, "none.jpg");
    assert_fails(wd_image_open(dir, NULL, &im, &err), WD_E_INVALID, "directory");
    test_rm_dir(dir);
}

static void the_cancel_flag_is_obeyed(void **state)
{
    static const atomic_bool yes = true;
    const wd_image_opts o = { .cancel = &yes };
    wd_image im = { 0 };
    (void)state;
    assert_fails(wd_image_decode("x", WD_SPAN_LIT("GIF89a"), &o, &im, &err), WD_E_CANCELLED, "x: ");
}

/* ---- the parent believes nothing ---- */

static void answers_that_are_no_image_are_refused(void **state)
{
    static const uint32_t head[2] = { 2, 1 }, huge[2] = { 65535, 65535 };
    static const uint8_t px[7] = { 0 };
    const wd_span h = wd_span_of(head, 8);
    wd_image__receiver r = { .what = "x" };
    wd_image im = { 0 };
    (void)state;
    assert_fails(wd_image__receive(&r, WD_IMAGE__ROWS, wd_span_of(px, 1), &err), WD_E_CRASHED,
                 "x: the decoder's");
    assert_fails(wd_image__receive(&r, WD_IMAGE__HEAD, wd_span_of(head, 7), &err), WD_E_CRASHED,
                 "not an image");
    assert_fails(wd_image__receive(&r, WD_IMAGE__HEAD, wd_span_of(huge, 8), &err), WD_E_LIMIT, "65535");
    assert_ok(wd_image__receive(&r, WD_IMAGE__HEAD, h, &err));
    assert_fails(wd_image__receive(&r, WD_IMAGE__HEAD, h, &err), WD_E_CRASHED, "not an image");
    assert_fails(wd_image__receive(&r, 77, h, &err), WD_E_CRASHED, "not an image");
    assert_ok(wd_image__receive(&r, WD_IMAGE__ROWS, wd_span_of(px, 5), &err));
    assert_fails(wd_image__receive(&r, WD_IMAGE__ROWS, wd_span_of(px, 2), &err), WD_E_CRASHED,
                 "not an image");
    assert_fails(wd_image__finish(&r, WD_OK, &im, &err), WD_E_CRASHED, "not an image");
    assert_null(im.rgb);
    r = (wd_image__receiver){ .what = "x" };
    assert_fails(wd_image__finish(&r, WD_OK, &im, &err), WD_E_CRASHED, "not an image");
}

/* ---- small rules ---- */

static void pictures_are_turned_upright(void **state)
{
    /* stored: a b c / d e f. What EXIF says about where its first row and column belong. */
    static const struct {
        uint32_t w, h;
        const char *shown;
    } rows[] = { { 3, 2, "abcdef" }, { 3, 2, "cbafed" }, { 3, 2, "fedcba" }, { 3, 2, "defabc" },
                 { 2, 3, "adbecf" }, { 2, 3, "daebfc" }, { 2, 3, "fcebda" }, { 2, 3, "cfbead" } };
    (void)state;
    for (uint32_t o = 1; o <= 8; o++) {
        wd_image im = { 0 };
        assert_ok(wd_image_init(&im, 3, 2, &err));
        for (size_t i = 0; i < 6; i++)
            memset(im.rgb + 3 * i, 'a' + (int)i, 3);
        assert_ok(wd_orient(&im, o, &err));
        assert_int_equal(im.width, rows[o - 1].w);
        assert_int_equal(im.height, rows[o - 1].h);
        for (size_t i = 0; i < 18; i++)
            assert_int_equal(im.rgb[i], rows[o - 1].shown[i / 3]);
        wd_image_free(&im);
    }
}

static void orientation_can_be_left_alone(void **state)
{
    char path[512];
    wd_image turned = { 0 }, stored = { 0 };
    const wd_image_opts keep = { .keep_orientation = true };
    (void)state;
    snprintf(path, sizeof path, "%s/fuzz/corpus/image/exif-6.jpg", test_data_dir());
    assert_ok(wd_image_open(path, NULL, &turned, &err));
    assert_ok(wd_image_open(path, &keep, &stored, &err));
    assert_int_equal(turned.width, stored.height);
    assert_int_equal(turned.height, stored.width);
    assert_ok(wd_orient(&stored, 6, &err));
    assert_true(same(&turned, &stored));
    wd_image_free(&turned);
    wd_image_free(&stored);
}

static void alpha_is_composited_on_white_with_exact_rounding(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 256; c++) {
        for (uint32_t a = 0; a < 256; a++) {
            const uint32_t x = c * a + 255 * (255 - a);
            assert_int_equal(wd_image__on_white(c, a), (2 * x + 255) / 510);
        }
    }
}

static void strange_exif_blocks_say_nothing(void **state)
{
    static const char good[] = "MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    char bad[sizeof good];
    (void)state;
    assert_int_equal(wd_image__exif_orientation(wd_span_of(good, sizeof good - 1)), 6);
    for (size_t n = 0; n < sizeof good - 5; n++) {
        const uint32_t o = wd_image__exif_orientation(wd_span_of(good, n));
        assert_true(o == 1 || (o == 6 && n >= 22));
    }
    memcpy(bad, good, sizeof good);
    bad[4] = bad[5] = (char)0xff; /* the directory is beyond the end */
    assert_int_equal(wd_image__exif_orientation(wd_span_of(bad, sizeof bad)), 1);
    memcpy(bad, good, sizeof good);
    bad[19] = 9;
    assert_int_equal(wd_image__exif_orientation(wd_span_of(bad, sizeof bad)), 1);
}

static int start(void **state)
{
    wd_err err;
    (void)state;
    return wd_sandbox_start(&err);
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
        cmocka_unit_test(samples_decode_the_same_in_the_sandbox),
        cmocka_unit_test(a_file_that_is_cut_off_is_never_half_a_picture),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(bombs_are_refused_before_memory_is_taken),
        cmocka_unit_test(what_is_no_picture_is_refused_by_its_bytes),
        cmocka_unit_test(the_cancel_flag_is_obeyed),
        cmocka_unit_test(answers_that_are_no_image_are_refused),
        cmocka_unit_test(pictures_are_turned_upright),
        cmocka_unit_test(orientation_can_be_left_alone),
        cmocka_unit_test(alpha_is_composited_on_white_with_exact_rounding),
        cmocka_unit_test(strange_exif_blocks_say_nothing),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
