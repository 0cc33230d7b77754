/* The video writer: what it writes is read back by our own reader, and is the same each time. */
#include "media/mp4_write.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "media/sandbox.h"
#include "media/video.h"
#include "support/test.h"

#define W 96
#define H 64
#define FRAMES 40

static char *dir;
static wd_arena *arena;
static wd_image im;

static int start(void **state)
{
    (void)state;
    assert_ok(wd_sandbox_start(&err));
    arena = wd_arena_create(1u << 24, false);
    dir = test_make_dir();
    assert_ok(wd_image_init(&im, W, H, &err));
    return 0;
}

static int stop(void **state)
{
    (void)state;
    wd_image_free(&im);
    test_rm_dir(dir);
    wd_arena_destroy(arena);
    wd_sandbox_stop();
    return 0;
}

/* Picture i: three plain bands of which one grows by 2 pixels a picture. */
static void draw(uint32_t i)
{
    for (uint32_t y = 0; y < H; y++) {
        for (uint32_t x = 0; x < W; x++) {
            uint8_t *p = im.rgb + 3 * ((size_t)y * W + x);
            p[0] = x < 8 + 2 * i ? 200 : 40;
            p[1] = y < H / 2 ? 160 : 60;
            p[2] = 100;
        }
    }
}

static wd_mp4_opts opts(void)
{
    wd_mp4_opts o = WD_MP4_OPTS_DEFAULT;
    o.width = W;
    o.height = H;
    return o;
}

static const char *write_video(const char *name, const wd_mp4_opts *o, uint32_t n)
{
    const char *path = wd_path_join(arena, dir, name);
    wd_mp4 *m = NULL;
    assert_ok(wd_mp4_create(path, o, &m, &err));
    for (uint32_t i = 0; i < n; i++) {
        draw(i);
        assert_ok(wd_mp4_add(m, &im, &err));
    }
    assert_false(wd_file_exists(path)); /* not before it is whole */
    assert_ok(wd_mp4_finish(m, &err));
    wd_mp4_destroy(m);
    return path;
}

static wd_status compare(void *ctx, uint32_t i, const wd_image *got, wd_err *err)
{
    uint32_t *n = ctx;
    (void)err;
    draw(i);
    assert_int_equal(got->width, W);
    assert_int_equal(got->height, H);
    double sum = 0;
    for (size_t k = 0; k < (size_t)W * H * 3; k++)
        sum += got->rgb[k] > im.rgb[k] ? got->rgb[k] - im.rgb[k] : im.rgb[k] - got->rgb[k];
    if (sum / (W * H * 3) > 4)
        fail_msg("picture %u differs by %.1f per value", i, sum / (W * H * 3));
    ++*n;
    return WD_OK;
}

static void our_reader_finds_every_picture(void **state)
{
    (void)state;
    wd_mp4_opts o = opts();
    o.fps_num = 25;
    o.fps_den = 2;
    o.key_every = 16;
    const char *path = write_video("read.mp4", &o, FRAMES);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    wd_video_info info = { 0 };
    assert_ok(wd_video_probe(path, fd, NULL, &info, &err));
    assert_int_equal(info.n_frame, FRAMES);
    assert_true(info.fps == 12.5);
    assert_int_equal(info.width, W);
    assert_int_equal(info.height, H);
    assert_true(info.seekable);
    assert_string_equal(info.codec, "h264");
    for (uint32_t i = 0; i < FRAMES; i++)
        assert_int_equal(info.key[i], i % 16 == 0);
    uint64_t index[FRAMES];
    for (uint64_t i = 0; i < FRAMES; i++)
        index[i] = i;
    uint32_t n = 0;
    assert_ok(wd_video_frames(path, fd, &info, index, FRAMES, NULL, compare, &n, &err));
    assert_int_equal(n, FRAMES);
    wd_video_info_free(&info);
    close(fd);
}

static wd_status count(void *ctx, uint32_t i, const wd_image *got, wd_err *err)
{
    (void)i, (void)err;
    *(uint32_t *)ctx += got->width;
    return WD_OK;
}

/* swscale writes whole vectors: past the last row, unless the width is a multiple of 16. */
static void every_width_is_read_back(void **state)
{
    (void)state;
    for (uint32_t width = 24; width <= 50; width += 2) {
        wd_image narrow = { 0 };
        wd_mp4 *m = NULL;
        wd_mp4_opts o = opts();
        const char *path = wd_path_join(arena, dir, "narrow.mp4");
        o.width = width;
        o.height = 36;
        assert_ok(wd_image_init(&narrow, o.width, o.height, &err));
        assert_ok(wd_mp4_create(path, &o, &m, &err));
        for (uint32_t i = 0; i < 4; i++)
            assert_ok(wd_mp4_add(m, &narrow, &err));
        assert_ok(wd_mp4_finish(m, &err));
        wd_mp4_destroy(m);
        wd_image_free(&narrow);
        const int fd = open(path, O_RDONLY | O_CLOEXEC);
        wd_video_info info = { 0 };
        const uint64_t index[4] = { 0, 1, 2, 3 };
        uint32_t sum = 0;
        assert_ok(wd_video_probe(path, fd, NULL, &info, &err));
        assert_ok(wd_video_frames(path, fd, &info, index, 4, NULL, count, &sum, &err));
        assert_int_equal(sum, 4 * width);
        wd_video_info_free(&info);
        close(fd);
    }
}

static void the_same_pictures_give_the_same_bytes(void **state)
{
    (void)state;
    const wd_mp4_opts o = opts();
    wd_buf a = { 0 }, b = { 0 };
    assert_ok(wd_file_read(write_video("a.mp4", &o, FRAMES), 1u << 24, &a, &err));
    assert_ok(wd_file_read(write_video("b.mp4", &o, FRAMES), 1u << 24, &b, &err));
    assert_true(a.n > 1000 && wd_span_eq(wd_buf_view(&a), wd_buf_view(&b)));
    wd_buf_free(&a);
    wd_buf_free(&b);
}

static void what_is_no_video_is_refused(void **state)
{
    (void)state;
    static const struct {
        wd_mp4_opts o;
        const char *says;
    } bad[] = { { { 95, 64, 15, 1, 20, 30 }, "95 x 64" },    { { 96, 0, 15, 1, 20, 30 }, "96 x 0" },
                { { 96, 8194, 15, 1, 20, 30 }, "8194" },     { { 96, 64, 0, 1, 20, 30 }, "0/1" },
                { { 96, 64, 15, 0, 20, 30 }, "15/0" },       { { 96, 64, 2000, 1, 20, 30 }, "2000/1" },
                { { 96, 64, 15, 1, 52, 30 }, "quality 52" }, { { 96, 64, 15, 1, 20, 0 }, "every 0" } };
    wd_mp4 *m = NULL;
    for (size_t i = 0; i < WD_COUNT(bad); i++)
        assert_fails(wd_mp4_create("x.mp4", &bad[i].o, &m, &err), WD_E_INVALID, bad[i].says);
    const wd_mp4_opts o = opts();
    assert_fails(wd_mp4_create("/nonexistent/x.mp4", &o, &m, &err), WD_E_NOT_FOUND, "/nonexistent/x.mp4");
    assert_null(m);
}

static void an_unfinished_video_leaves_nothing(void **state)
{
    (void)state;
    const wd_mp4_opts o = opts();
    char *mine = test_make_dir(), **names;
    size_t n;
    wd_mp4 *m = NULL;
    assert_ok(wd_mp4_create(wd_path_join(arena, mine, "x.mp4"), &o, &m, &err));
    assert_fails(wd_mp4_finish(m, &err), WD_E_INVALID, "without a picture");
    wd_image other = { 0 };
    assert_ok(wd_image_init(&other, 16, 16, &err));
    assert_fails(wd_mp4_add(m, &other, &err), WD_E_INVALID, "16 x 16 in a video of 96 x 64");
    wd_image_free(&other);
    wd_mp4_destroy(m);
    assert_ok(wd_file_list(arena, mine, &names, &n, &err));
    assert_int_equal(n, 0);
    wd_mp4_destroy(NULL);
    test_rm_dir(mine);
}

static void a_full_disk_is_said(void **state)
{
    (void)state;
    const wd_mp4_opts o = opts();
    char *mine = test_make_dir(), **names;
    size_t n;
    wd_mp4 *m = NULL;
    assert_ok(wd_mp4_create(wd_path_join(arena, mine, "x.mp4"), &o, &m, &err));
    assert_ok(wd_file_list(arena, mine, &names, &n, &err));
    assert_int_equal(n, 1);
    /* The descriptor under it becomes one that takes nothing. */
    char want[4096], link[64];
    snprintf(want, sizeof want, "%s/%s", mine, names[0]);
    int mine_fd = -1;
    for (int fd = 3; fd < 256 && mine_fd < 0; fd++) {
        char to[4096] = "";
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        if (readlink(link, to, sizeof to - 1) > 0 && !strcmp(to, want))
            mine_fd = fd;
    }
    assert_true(mine_fd > 0);
    const int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(dup2(full, mine_fd) == mine_fd);
    close(full);
    wd_status st = WD_OK;
    wd_err e = { 0 };
    for (uint32_t i = 0; !st && i < 4; i++) {
        draw(i);
        st = wd_mp4_add(m, &im, &e);
    }
    if (!st)
        st = wd_mp4_finish(m, &e);
    assert_int_equal(st, WD_E_IO);
    assert_non_null(strstr(e.text, "No space left"));
    wd_mp4_destroy(m);
    assert_ok(wd_file_list(arena, mine, &names, &n, &err));
    assert_int_equal(n, 0);
    test_rm_dir(mine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(our_reader_finds_every_picture),
        cmocka_unit_test(every_width_is_read_back),
        cmocka_unit_test(the_same_pictures_give_the_same_bytes),
        cmocka_unit_test(what_is_no_video_is_refused),
        cmocka_unit_test(an_unfinished_video_leaves_nothing),
        cmocka_unit_test(a_full_disk_is_said),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
