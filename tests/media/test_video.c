/* Videos: samples whole, cut and damaged; frames by seeking and by reading on; answers that are not believed. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "base/rand.h"
#include "media/orient.h"
#include "media/sandbox_inner.h"
#include "media/video_inner.h"
#include "support/test.h"

#define FRAMES 12 /* of every sample */

typedef struct shots {
    uint32_t n;
    uint32_t width, height;
    uint64_t sum[64]; /* of the bytes, weighted by place */
} shots;

static wd_status take(void *ctx, uint32_t i, const wd_image *im, wd_err *err)
{
    shots *s = ctx;
    (void)err;
    assert_int_equal(i, s->n);
    assert_true(s->n < WD_COUNT(s->sum));
    s->width = im->width;
    s->height = im->height;
    for (size_t k = 0; k < (size_t)im->width * im->height * 3; k++)
        s->sum[s->n] = s->sum[s->n] * 31 + im->rgb[k];
    s->n++;
    return WD_OK;
}

static int memory_file(const void *p, size_t n)
{
    const int fd = memfd_create("video", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), (ssize_t)n);
    return fd;
}

typedef void (*sample_fn)(const char *name, wd_span bytes);

static void each_sample(sample_fn fn)
{
    char dir[512];
    char **names = NULL;
    size_t n = 0, read = 0;
    wd_arena *a = wd_arena_create(1u << 20, false);
    snprintf(dir, sizeof dir, "%s/fuzz/corpus/video", test_data_dir());
    assert_ok(wd_file_list(a, dir, &names, &n, &err));
    for (size_t i = 0; i < n; i++) {
        wd_buf b = { 0 };
        if (!strchr(names[i], '.'))
            continue; /* an input that the fuzzer found */
        assert_ok(wd_file_read(wd_path_join(a, dir, names[i]), 1u << 20, &b, &err));
        fn(names[i], wd_buf_view(&b));
        wd_buf_free(&b);
        read++;
    }
    assert_true(read >= 8);
    wd_arena_destroy(a);
}

static void whole_and_in_parts(const char *name, wd_span bytes)
{
    const int fd = memory_file(bytes.p, bytes.n);
    wd_video_info info = { 0 };
    shots all = { 0 };
    uint64_t index[FRAMES], moves = 0;

    assert_ok(wd_video_probe(name, fd, NULL, &info, &err));
    assert_int_equal(info.n_frame, FRAMES);
    assert_true(info.fps == 12);
    assert_int_equal(info.quarter_turns, strcmp(name, "rotated.mov") == 0 ? 3 : 0);
    assert_int_equal(info.width, info.quarter_turns ? 48 : 64);
    for (uint64_t i = 0; i < FRAMES; i++)
        index[i] = i;
    assert_ok(wd_video_frames(name, fd, &info, index, FRAMES, NULL, take, &all, &err));
    assert_int_equal(all.n, FRAMES);
    assert_int_equal(all.width, info.width);
    assert_int_equal(all.height, info.height);
    for (uint64_t i = 0; i < FRAMES; i++) { /* each alone: from a key frame */
        shots one = { 0 };
        assert_ok(wd_video_frames(name, fd, &info, &i, 1, NULL, take, &one, &err));
        if (one.sum[0] != all.sum[i])
            fail_msg("%s: frame %llu is another one when it is sought", name, (unsigned long long)i);
        moves += i > 0 && all.sum[i] != all.sum[i - 1];
    }
    assert_true(moves >= FRAMES / 2); /* the sample shows that one frame is not another */
    wd_video_info_free(&info);
    close(fd);
}

static void frames_are_the_same_sought_and_in_order(void **state)
{
    (void)state;
    each_sample(whole_and_in_parts);
}

static void a_repeated_frame_is_delivered_again(void **state)
{
    static const uint64_t index[] = { 0, 0, 3, 3, 3, 11 };
    char path[512];
    wd_video_info info = { 0 };
    shots s = { 0 };
    (void)state;
    snprintf(path, sizeof path, "%s/fuzz/corpus/video/h264.mp4", test_data_dir());
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_ok(wd_video_probe("x", fd, NULL, &info, &err));
    assert_ok(wd_video_frames("x", fd, &info, index, 6, NULL, take, &s, &err));
    assert_int_equal(s.n, 6);
    assert_true(s.sum[0] == s.sum[1] && s.sum[2] == s.sum[3] && s.sum[3] == s.sum[4] && s.sum[1] != s.sum[2]);
    assert_fails(wd_video_frames("x", fd, &info, (const uint64_t[]){ 5, 4 }, 2, NULL, take, &s, &err),
                 WD_E_USAGE, "must not decrease");
    assert_fails(wd_video_frames("x", fd, &info, (const uint64_t[]){ 12 }, 1, NULL, take, &s, &err),
                 WD_E_USAGE, "less than 12");
    wd_video_info_free(&info);
    close(fd);
}

/* A cut file is refused, or nothing was missing but a table that is not needed. */
static void cut(const char *name, wd_span bytes)
{
    static const unsigned parts[] = { 1, 20, 35, 50, 65, 80, 92 };
    for (size_t k = 0; k < WD_COUNT(parts); k++) {
        const int fd = memory_file(bytes.p, bytes.n * parts[k] / 100);
        wd_video_info info = { 0 };
        wd_err err = { 0 };
        if (wd_video_probe(name, fd, NULL, &info, &err) == WD_OK)
            assert_int_equal(info.n_frame, FRAMES);
        else
            assert_true(err.code == WD_E_CORRUPT || err.code == WD_E_UNSUPPORTED);
        wd_video_info_free(&info);
        close(fd);
    }
}

static void a_video_that_is_cut_off_is_refused(void **state)
{
    (void)state;
    each_sample(cut);
}

static void damage(const char *name, wd_span bytes)
{
    const uint64_t index[] = { 0, FRAMES / 2, FRAMES - 1 };
    wd_rand r;
    wd_rand_init(&r, bytes.n);
    uint8_t *p = wd_realloc(NULL, bytes.n, 1);
    for (size_t round = 0; round < 12; round++) {
        wd_video_info info = { 0 };
        shots s = { 0 };
        wd_err err = { 0 };
        memcpy(p, bytes.p, bytes.n);
        for (size_t k = 0; k < 1 + round; k++)
            p[wd_rand_below(&r, bytes.n)] = (uint8_t)wd_rand_u64(&r);
        const int fd = memory_file(p, bytes.n);
        wd_status st = wd_video_probe(name, fd, NULL, &info, &err);
        if (!st && info.n_frame == FRAMES)
            st = wd_video_frames(name, fd, &info, index, 3, NULL, take, &s, &err);
        assert_true(!st || err.text[0]);
        assert_true(st != WD_E_CRASHED && st != WD_E_INTERNAL);
        wd_video_info_free(&info);
        close(fd);
    }
    wd_free(p);
}

static void damaged_videos_do_no_harm(void **state)
{
    (void)state;
    each_sample(damage);
}

static void what_is_no_video_is_refused(void **state)
{
    static const char text[] = "Patient walks without aid.\n";
    wd_video_info info = { 0 };
    int fd = memory_file(text, strlen(text));
    (void)state;
    assert_fails(wd_video_probe("walk.mp4", fd, NULL, &info, &err), WD_E_UNSUPPORTED,
                 "walk.mp4: not a video");
    close(fd);
    fd = memory_file("", 0);
    assert_fails(wd_video_probe("walk.mp4", fd, NULL, &info, &err), WD_E_CORRUPT, "the file is empty");
    close(fd);
    fd = memory_file("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n", 31); /* a playlist may not lead anywhere */
    assert_fails(wd_video_probe("list.m3u8", fd, NULL, &info, &err), WD_E_UNSUPPORTED, "not a video");
    close(fd);
    fd = memory_file("ffconcat version 1.0\nfile /etc/passwd\n", 38);
    assert_fails(wd_video_probe("list", fd, NULL, &info, &err), WD_E_UNSUPPORTED, "not a video");
    close(fd);
}

static void time_and_cancel_are_obeyed(void **state)
{
    static const atomic_bool yes = true;
    const wd_video_limits cancelled = { .cancel = &yes };
    wd_video_info info = { 0 };
    const int fd = memory_file("RIFF", 4);
    (void)state;
    assert_fails(wd_video_probe("x", fd, &cancelled, &info, &err), WD_E_CANCELLED, "x: ");
    close(fd);
    wd_video__probe late = { .what = "x", .deadline_s = 1e-9 };
    assert_fails(wd_video__take_probe(&late, WD_VIDEO__ALIVE, (wd_span){ 0 }, &err), WD_E_LIMIT,
                 "longer than allowed");
}

/* Moves each pixel of a 3 x 2 picture by the matrix, and compares with what its EXIF number does. */
static void matrices_and_orientations_agree(void **state)
{
    static const int32_t ways[][4] = { { 1, 0, 0, 1 }, { -1, 0, 0, 1 }, { -1, 0, 0, -1 }, { 1, 0, 0, -1 },
                                       { 0, 1, 1, 0 }, { 0, 1, -1, 0 }, { 0, -1, -1, 0 }, { 0, -1, 1, 0 } };
    (void)state;
    for (uint32_t o = 1; o <= 8; o++) {
        const int32_t a = ways[o - 1][0], b = ways[o - 1][1], c = ways[o - 1][2], d = ways[o - 1][3];
        const int32_t m[9] = { a * 65000, b * 65000 + 900, 0, c * 65000, d * 65000, 0, 1 << 20, 0, 1 << 30 };
        const uint32_t got = wd_video__orientation_of(m);
        assert_int_equal(got, o);
        wd_image im = { 0 };
        assert_ok(wd_image_init(&im, 3, 2, &err));
        for (uint8_t i = 0; i < 6; i++)
            im.rgb[3 * i] = i;
        assert_ok(wd_orient(&im, got, &err));
        const int32_t left = WD_MIN(0, 2 * a) + WD_MIN(0, c), top = WD_MIN(0, 2 * b) + WD_MIN(0, d);
        for (int32_t y = 0; y < 2; y++) {
            for (int32_t x = 0; x < 3; x++) {
                const int32_t to_x = a * x + c * y - left, to_y = b * x + d * y - top;
                assert_int_equal(im.rgb[3 * (to_y * (int32_t)im.width + to_x)], y * 3 + x);
            }
        }
        wd_image_free(&im);
    }
}

/* Both sides in this process, as the fuzzer runs them. */
static wd_status both_passes(wd_span bytes, shots *s, wd_err *err)
{
    static const uint64_t index[1] = { 3 };
    const wd_video__request first = { .pass = 1 };
    wd_video__probe p = { .what = "x" };
    wd_video_info info = { 0 };
    wd_status st = wd_sandbox__run_here(wd_decode_video, wd_span_of(&first, sizeof first), bytes,
                                        wd_video__take_probe, &p, err);
    WD_TRY(wd_video__end_probe(&p, st, &info, err));
    const struct {
        wd_video__request q;
        wd_video__wanted w;
    } second = { { .pass = 2, .n_wanted = 1, .seekable = 1 }, { 3, info.pts[3], info.pts[0], info.pts[0] } };
    wd_video__frames f = { .what = "x", .index = index, .n = 1, .on_frame = take, .ctx = s };
    wd_video_info_free(&info);
    return wd_sandbox__run_here(wd_decode_video, wd_span_of(&second, sizeof second), bytes,
                                wd_video__take_frame, &f, err);
}

static void survives_every_failed_allocation(void **state)
{
    char path[512];
    wd_buf b = { 0 };
    uint64_t n = 1;
    (void)state;
    snprintf(path, sizeof path, "%s/fuzz/corpus/video/rotated.mov", test_data_dir());
    assert_ok(wd_file_read(path, 1u << 20, &b, &err));
    for (;; n++) {
        shots s = { 0 };
        wd_err err = { 0 };
        wd_inject_failure(n);
        const wd_status st = both_passes(wd_buf_view(&b), &s, &err);
        if (wd_inject_failure(0) < n) {
            assert_int_equal(st, WD_OK);
            assert_int_equal(s.n, 1);
            break;
        }
        assert_int_not_equal(st, WD_OK);
        assert_true(err.text[0]);
    }
    assert_true(n > 8);
    wd_buf_free(&b);
}

/* ---- the parent believes nothing ---- */

static wd_video__info good_info(void)
{
    return (wd_video__info){ .n_frame = 2,
                             .fps = 25,
                             .width = 4,
                             .height = 2,
                             .orientation = 1,
                             .seekable = 1,
                             .codec = "h264",
                             .container = "mov" };
}

static void no_info(void (*spoil)(wd_video__info *i))
{
    wd_video__info i = good_info();
    wd_video__probe p = { .what = "x" };
    spoil(&i);
    assert_fails(wd_video__take_probe(&p, WD_VIDEO__INFO, wd_span_of(&i, sizeof i), &err), WD_E_CRASHED,
                 "not a video");
    assert_null(p.info.pts);
}

static void no_frames(wd_video__info *i)
{
    i->n_frame = 0;
}
static void endless_frames(wd_video__info *i)
{
    i->n_frame = UINT64_MAX;
}
static void no_width(wd_video__info *i)
{
    i->width = 0;
}
static void huge(wd_video__info *i)
{
    i->width = i->height = 60000;
}
static void strange_turn(wd_video__info *i)
{
    i->orientation = 9;
}
static void endless_name(wd_video__info *i)
{
    memset(i->codec, 'x', sizeof i->codec);
}
static void escape_in_name(wd_video__info *i)
{
    i->container[0] = 27;
}

static void a_strange_description_is_refused(void **state)
{
    (void)state;
    no_info(no_frames), no_info(endless_frames), no_info(no_width), no_info(huge), no_info(strange_turn);
    no_info(endless_name), no_info(escape_in_name);

    wd_video__info i = good_info();
    i.fps = 0.0 / 0.0;
    i.duration_s = -1;
    wd_video__probe p = { .what = "x" };
    wd_video_info info = { 0 };
    static const int64_t pts[3] = { 5, 5, 9 };
    static const uint8_t key[3] = { 1 };
    assert_ok(wd_video__take_probe(&p, WD_VIDEO__INFO, wd_span_of(&i, sizeof i), &err));
    assert_true(p.info.fps == 0 && p.info.duration_s == 0);
    assert_fails(wd_video__take_probe(&p, WD_VIDEO__INFO, wd_span_of(&i, sizeof i), &err), WD_E_CRASHED,
                 "not a video");
    assert_fails(wd_video__take_probe(&p, WD_VIDEO__PTS, wd_span_of(pts, 24), &err), WD_E_CRASHED,
                 "not a video");
    assert_fails(wd_video__take_probe(&p, WD_VIDEO__PTS, wd_span_of(pts, 15), &err), WD_E_CRASHED,
                 "not a video");
    assert_ok(wd_video__take_probe(&p, WD_VIDEO__PTS, wd_span_of(pts, 16), &err));
    assert_fails(wd_video__take_probe(&p, WD_VIDEO__KEYS, wd_span_of(key, 3), &err), WD_E_CRASHED,
                 "not a video");
    assert_ok(wd_video__take_probe(&p, WD_VIDEO__KEYS, wd_span_of(key, 2), &err));
    assert_fails(wd_video__take_probe(&p, 99, (wd_span){ 0 }, &err), WD_E_CRASHED, "not a video");
    assert_fails(wd_video__end_probe(&p, WD_OK, &info, &err), WD_E_CRASHED,
                 "not a video"); /* times not in order */
    assert_null(info.pts);
    wd_video__probe nothing = { .what = "x" };
    assert_fails(wd_video__end_probe(&nothing, WD_OK, &info, &err), WD_E_CRASHED, "not a video");
}

static void strange_frames_are_refused(void **state)
{
    static const uint64_t index[1] = { 0 };
    static const uint8_t px[24] = { 0 };
    const wd_video__frame good = { 0, 4, 2, 0 }, other = { 1, 4, 2, 0 }, big = { 0, 65535, 65535, 0 };
    shots s = { 0 };
    wd_video__frames f = { .what = "x", .index = index, .n = 1, .on_frame = take, .ctx = &s };
    (void)state;
    assert_fails(wd_video__take_frame(&f, WD_VIDEO__PIXELS, wd_span_of(px, 24), &err), WD_E_CRASHED,
                 "not a video");
    assert_fails(wd_video__take_frame(&f, WD_VIDEO__FRAME, wd_span_of(&other, 16), &err), WD_E_CRASHED,
                 "not a video");
    assert_fails(wd_video__take_frame(&f, WD_VIDEO__FRAME, wd_span_of(&big, 16), &err), WD_E_CRASHED,
                 "not a video");
    assert_fails(wd_video__take_frame(&f, WD_VIDEO__FRAME, wd_span_of(&good, 15), &err), WD_E_CRASHED,
                 "not a video");
    assert_ok(wd_video__take_frame(&f, WD_VIDEO__FRAME, wd_span_of(&good, 16), &err));
    assert_fails(wd_video__take_frame(&f, WD_VIDEO__PIXELS, wd_span_of(px, 23), &err), WD_E_CRASHED,
                 "not a video");
    assert_ok(wd_video__take_frame(&f, WD_VIDEO__PIXELS, wd_span_of(px, 24), &err));
    assert_fails(wd_video__take_frame(&f, WD_VIDEO__FRAME, wd_span_of(&other, 16), &err), WD_E_CRASHED,
                 "not a video");
    assert_int_equal(s.n, 1);
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
        cmocka_unit_test(frames_are_the_same_sought_and_in_order),
        cmocka_unit_test(a_repeated_frame_is_delivered_again),
        cmocka_unit_test(a_video_that_is_cut_off_is_refused),
        cmocka_unit_test(damaged_videos_do_no_harm),
        cmocka_unit_test(what_is_no_video_is_refused),
        cmocka_unit_test(matrices_and_orientations_agree),
        cmocka_unit_test(time_and_cancel_are_obeyed),
        cmocka_unit_test(survives_every_failed_allocation),
        cmocka_unit_test(a_strange_description_is_refused),
        cmocka_unit_test(strange_frames_are_refused),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
