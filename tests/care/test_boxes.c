/* Boxes of a reply: relative coordinates become pixels of the picture as it was given. */
#include "support/test.h"

#include "care/boxes.h"

static wd_arena *arena;

static wd_box *read_boxes(const char *reply, uint32_t w, uint32_t h, size_t *n, size_t *n_bad)
{
    wd_box *b;
    assert_ok(wd_boxes_read(wd_span_str(reply), w, h, arena, &b, n, n_bad, &err));
    return b;
}

/* Taking them for pixels (spec section 11, P17) is right for no picture but one of 1000 x 1000. */
static void relative_boxes_become_pixels(void **state)
{
    (void)state;
    size_t n, bad;
    const wd_box *b = read_boxes(
        "```json\n[{\"bbox_2d\": [250, 100, 1000, 900], \"label\": \"nodule\"}]\n```", 640, 480, &n, &bad);
    assert_int_equal(n, 1);
    assert_int_equal(bad, 0);
    assert_string_equal(b[0].label, "nodule");
    assert_true(b[0].x1 == 160 && b[0].y1 == 48 && b[0].x2 == 640 && b[0].y2 == 432);
}

static void one_object_or_words_around_it_are_read_too(void **state)
{
    (void)state;
    size_t n, bad;
    const wd_box *b = read_boxes("Here: {\"bbox_2d\": [0, 0, 500, 500]} as asked.", 100, 50, &n, &bad);
    assert_int_equal(n, 1);
    assert_string_equal(b[0].label, "");
    assert_true(b[0].x2 == 50 && b[0].y2 == 25);
    read_boxes("There is no box [here.", 100, 50, &n, &bad);
    assert_int_equal(n, 0);
}

static void what_is_no_box_is_counted_and_left_out(void **state)
{
    (void)state;
    size_t n, bad;
    read_boxes("[{\"bbox_2d\": [1, 2, 3]}, {\"bbox_2d\": [5, 0, 4, 9]}, {\"bbox_2d\": [0, 0, 1001, 9]}, "
               "{\"label\": \"x\"},"
               " {\"bbox_2d\": [0, -1, 4, 9]}, {\"bbox_2d\": [\"0\", 1, 4, 9]}, {\"bbox_2d\": [1, 1, 4, 9]}]",
               100, 100, &n, &bad);
    assert_int_equal(n, 1);
    assert_int_equal(bad, 5);
}

static int set_up(void **state)
{
    (void)state;
    arena = wd_arena_create(1 << 20, false);
    return arena ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relative_boxes_become_pixels),
        cmocka_unit_test(one_object_or_words_around_it_are_read_too),
        cmocka_unit_test(what_is_no_box_is_counted_and_left_out),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
