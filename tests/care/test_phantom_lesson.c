/* Synthetic lessons: the same bytes for a seed, a truth that agrees with the picture, text that is large enough. */
#include "care/phantom/lesson.h"

#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "care/lesson.h"
#include "care/phantom/lesson_script.h"
#include "care/phantom/lettering.h"
#include "media/sandbox.h"
#include "support/test.h"

#define SEEDS 6

static char *dir;
static wd_arena *arena;

static const char *place(uint64_t seed, const char *name)
{
    static char path[2][700];
    static int turn;
    char *p = path[turn ^= 1];
    snprintf(p, sizeof path[0], "%s/%llu/%s", dir, (unsigned long long)seed, name);
    return p;
}

static json_t *truth_of(uint64_t seed)
{
    json_t *v = NULL;
    assert_ok(wd_json_read_file(place(seed, "truth.json"), 1 << 20, &v, &err));
    return v;
}

static double num(const json_t *o, const char *key)
{
    assert_true(json_is_number(json_object_get(o, key)));
    return json_number_value(json_object_get(o, key));
}

static void the_same_seed_gives_the_same_bytes(void **state)
{
    (void)state;
    static const char *const names[] = { "video.mp4", "truth.json" };
    wd_buf a = { 0 }, b = { 0 };
    char other[700];
    snprintf(other, sizeof other, "%s/again", dir);
    assert_ok(wd_phantom_lesson(other, 2, &err));
    for (size_t i = 0; i < WD_COUNT(names); i++) {
        char path[760];
        wd_buf_clear(&a);
        wd_buf_clear(&b);
        snprintf(path, sizeof path, "%s/%s", other, names[i]);
        assert_ok(wd_file_read(path, 8u << 20, &a, &err));
        assert_ok(wd_file_read(place(2, names[i]), 8u << 20, &b, &err));
        assert_true(a.n > 500 && wd_span_eq(wd_buf_view(&a), wd_buf_view(&b)));
    }
    wd_buf_clear(&b);
    assert_ok(wd_file_read(place(4, "truth.json"), 8u << 20, &b, &err));
    assert_false(wd_span_eq(wd_buf_view(&a), wd_buf_view(&b)));
    wd_buf_free(&a);
    wd_buf_free(&b);
}

static void the_truth_is_whole_and_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        json_t *t = truth_of(seed);
        const json_t *steps = json_object_get(t, "steps"), *cards = json_object_get(t, "cards");
        const double end = num(t, "n_frame") / num(t, "fps");
        assert_string_equal(json_string_value(json_object_get(t, "kind")), "lesson");
        assert_string_equal(json_string_value(json_object_get(t, "language")), seed % 2 ? "en" : "zh");
        assert_true(end >= 20 && end <= 60);
        assert_in_range(json_array_size(steps), 3, 6);
        double at = 0;
        for (size_t i = 0; i < json_array_size(cards); i++) {
            assert_true(fabs(num(json_array_get(cards, i), "start_s") - at) < 1e-9);
            at = num(json_array_get(cards, i), "end_s");
        }
        assert_true(fabs(at - end) < 1e-9);
        at = num(json_array_get(cards, 0), "end_s");
        for (size_t i = 0; i < json_array_size(steps); i++) {
            const json_t *s = json_array_get(steps, i);
            const char *title = json_string_value(json_object_get(s, "title")),
                       *text = json_string_value(json_object_get(s, "text"));
            assert_int_equal(num(s, "n"), i + 1);
            assert_true(num(s, "start_s") >= at - 1e-9 && num(s, "end_s") > num(s, "start_s") + 2);
            assert_true(*title && strlen(text) > strlen(title) &&
                        !strcmp(text + strlen(text) - strlen(title), title));
            at = num(s, "end_s");
        }
        assert_non_null(strstr(json_string_value(json_object_get(t, "summary")),
                               json_string_value(json_object_get(t, "title"))));
        json_decref(t);
    }
}

static void the_cuts_of_the_video_are_those_of_the_truth(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        json_t *t = truth_of(seed);
        const json_t *cards = json_object_get(t, "cards");
        const wd_lesson_opts o = WD_LESSON_OPTS_DEFAULT;
        wd_lesson_cards c;
        assert_ok(wd_lesson_look(place(seed, "video.mp4"), &o, arena, &c, &err));
        assert_int_equal(c.n_card, json_array_size(cards));
        assert_int_equal(c.width, num(t, "width"));
        for (uint32_t i = 0; i < c.n_card; i++) {
            assert_true(fabs(c.card[i].start_s - num(json_array_get(cards, i), "start_s")) < 0.3);
            assert_true(c.card[i].picture.width == 256 && c.card[i].picture.height == 144);
        }
        json_decref(t);
    }
}

/* Skin is redder than it is blue; neither is a face on every card, so the boxes must say where to look. */
static bool is_skin(const wd_image *im, double x, double y)
{
    const uint8_t *p = im->rgb + 3 * ((size_t)y * im->width + (size_t)x);
    return p[0] > p[1] && p[1] > p[2] && p[0] - p[2] > 40;
}

static void faces_are_in_their_boxes(void **state)
{
    (void)state;
    size_t n_box = 0, n_looked = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        json_t *t = truth_of(seed);
        const json_t *faces = json_object_get(t, "faces");
        const wd_lesson_opts o = WD_LESSON_OPTS_DEFAULT;
        wd_lesson_cards c;
        assert_ok(wd_lesson_look(place(seed, "video.mp4"), &o, arena, &c, &err));
        for (size_t i = 0; i < json_array_size(faces); i++) {
            const json_t *box = json_object_get(json_array_get(faces, i), "box");
            double v[4];
            for (size_t k = 0; k < 4; k++)
                v[k] = json_number_value(json_array_get(box, k));
            const double frame = num(json_array_get(faces, i), "frame");
            assert_true(v[0] >= 0 && v[1] >= 0 && v[2] <= num(t, "width") && v[3] <= num(t, "height"));
            assert_true(v[2] - v[0] >= 28 && v[2] - v[0] <= 60 && v[3] - v[1] > v[2] - v[0]);
            assert_true(frame < num(t, "n_frame"));
            n_box++;
            for (uint32_t k = 0; k < c.n_card; k++) { /* a cheek, on the picture of that very frame */
                if (fabs(c.card[k].key_s * num(t, "fps") - frame) > 1e-6)
                    continue;
                const double scale = 256 / num(t, "width"), w = v[2] - v[0], h = v[3] - v[1];
                assert_true(
                    is_skin(&c.card[k].picture, (v[0] + 0.28 * w) * scale, (v[1] + 0.66 * h) * scale));
                n_looked++;
            }
        }
        json_decref(t);
    }
    assert_true(n_box > 100 && n_looked >= 3);
}

static void every_title_can_be_written_large(void **state)
{
    (void)state;
    wd_lettering *l = NULL;
    size_t n_title[2] = { 0, 0 };
    assert_ok(wd_lettering_open(NULL, &l, &err));
    for (size_t t = 0; t < WD_SCRIPT_TOPICS; t++) {
        for (size_t s = 0; s < 2 * WD_SCRIPT_STEPS; s++) {
            const wd_script_step *step = &wd_script[t].step[s / 2];
            for (int k = 0; k < 2; k++) {
                const char *title = s % 2 ? step->other[k] : step->title[k];
                if (!title)
                    continue;
                n_title[k]++;
                double w = 0, widest = 0;
                const wd_pen pen = { .letters = (wd_letters)(s % WD_LETTERS_N), .size_px = 20 };
                const wd_span text = wd_span_str(title);
                if (k == WD_SCRIPT_ZH)
                    assert_in_range(text.n / 3, 4, 10);
                for (size_t from = 0; k == WD_SCRIPT_EN && from < text.n;) { /* its longest word */
                    const size_t space = wd_span_find(text, WD_SPAN_LIT(" "), from);
                    const size_t end = space == SIZE_MAX ? text.n : space;
                    assert_ok(wd_lettering_width(l, &pen, wd_span_sub(text, from, end - from), &w, &err));
                    widest = fmax(widest, w);
                    from = end + 1;
                }
                assert_true(widest <= 152);
                assert_ok(wd_lettering_width(l, &pen, text, &w, &err)); /* every character is in a font */
            }
        }
    }
    assert_in_range(n_title[WD_SCRIPT_EN], 80, 110);
    assert_int_equal(n_title[WD_SCRIPT_EN], n_title[WD_SCRIPT_ZH]);
    wd_lettering_close(l);
}

static void a_place_that_cannot_be_written_is_named(void **state)
{
    (void)state;
    test_write(dir, "file", "x", 1);
    char path[700];
    snprintf(path, sizeof path, "%s/file", dir);
    assert_fails(wd_phantom_lesson(path, 1, &err), WD_E_INVALID, "file");
}

static int begin(void **state)
{
    (void)state;
    dir = test_make_dir();
    arena = wd_arena_create((size_t)1 << 30, false);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        char path[700];
        snprintf(path, sizeof path, "%s/%llu", dir, (unsigned long long)seed);
        assert_ok(wd_phantom_lesson(path, seed, &err));
    }
    return 0;
}

static int end(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
    test_rm_dir(dir);
    return 0;
}

int main(void)
{
    wd_err err;
    if (wd_sandbox_start(&err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_bytes),
        cmocka_unit_test(the_truth_is_whole_and_in_order),
        cmocka_unit_test(the_cuts_of_the_video_are_those_of_the_truth),
        cmocka_unit_test(faces_are_in_their_boxes),
        cmocka_unit_test(every_title_can_be_written_large),
        cmocka_unit_test(a_place_that_cannot_be_written_is_named),
    };
    const int failed = cmocka_run_group_tests(tests, begin, end);
    wd_sandbox_stop();
    return failed;
}
