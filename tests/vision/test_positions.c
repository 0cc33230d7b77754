/* Three-dimensional positions against the reference. */
#include "golden.h"
#include "vision/positions.h"

#define MOST 20000
#define IMAGE 151655
#define VIDEO 151656

typedef struct prompt {
    uint32_t ids[MOST], image[64][3], video[64][3];
    size_t n, n_image, n_video;
    int32_t pos[3][MOST], visual[MOST];
} prompt;

static void add(prompt *p, uint32_t id, size_t n)
{
    assert_true(p->n + n <= MOST);
    while (n--)
        p->ids[p->n++] = id;
}

static void add_image(prompt *p, uint32_t gh, uint32_t gw)
{
    memcpy(p->image[p->n_image++], ((uint32_t[]){ 1, gh, gw }), sizeof p->image[0]);
    add(p, 151652, 1);
    add(p, IMAGE, gh * gw / 4);
    add(p, 151653, 1);
}

static void add_video(prompt *p, uint32_t t, uint32_t gh, uint32_t gw)
{
    memcpy(p->video[p->n_video++], ((uint32_t[]){ t, gh, gw }), sizeof p->video[0]);
    for (uint32_t g = 0; g < t; g++) {
        add(p, 101, 4);
        add(p, 151652, 1);
        add(p, VIDEO, gh * gw / 4);
        add(p, 151653, 1);
    }
}

static wd_status run(prompt *p, size_t n_past, int32_t before, int32_t *delta, wd_err *err)
{
    const wd_positions_in in = { p->ids,     p->n,
                                 IMAGE,      VIDEO,
                                 2,          (const uint32_t(*)[3])p->image,
                                 p->n_image, (const uint32_t(*)[3])p->video,
                                 p->n_video, n_past,
                                 before };
    wd_positions_out out = { { p->pos[0], p->pos[1], p->pos[2] }, p->visual, -12345 };
    const wd_status st = wd_positions(&in, &out, err);
    *delta = out.rope_delta;
    return st;
}

static void the_example_of_the_specification(void **state)
{
    static prompt p;
    static const int32_t want[3][13] = { { 0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 7, 8, 9 },
                                         { 0, 1, 2, 3, 4, 4, 4, 5, 5, 5, 7, 8, 9 },
                                         { 0, 1, 2, 3, 4, 5, 6, 4, 5, 6, 7, 8, 9 } };
    static const int32_t visual[13] = { -1, -1, -1, -1, 0, 1, 2, 3, 4, 5, -1, -1, -1 };
    int32_t delta;
    (void)state;
    p.n = p.n_image = p.n_video = 0;
    add(&p, 7, 3);
    add_image(&p, 4, 6);
    add(&p, 7, 2);
    assert_ok(run(&p, 0, 0, &delta, &err));
    assert_int_equal(delta, -3);
    for (size_t a = 0; a < 3; a++)
        assert_memory_equal(p.pos[a], want[a], sizeof want[a]);
    assert_memory_equal(p.visual, visual, sizeof visual);
}

static void prompts_equal_the_reference(void **state)
{
    static prompt p;
    json_t *doc = golden_load();
    const json_t *c, *part, *all = json_object_get(doc, "positions");
    size_t i, k;
    int32_t delta;
    (void)state;
    assert_true(json_array_size(all) >= 40);
    json_array_foreach(all, i, c)
    {
        p.n = p.n_image = p.n_video = 0;
        json_array_foreach(json_object_get(c, "plan"), k, part)
        {
            const char kind = json_string_value(json_array_get(part, 0))[0];
            uint32_t v[3] = { 0 };
            for (size_t j = 1; j < json_array_size(part); j++)
                v[j - 1] = (uint32_t)json_integer_value(json_array_get(part, j));
            if (kind == 't')
                add(&p, 100, v[0]);
            else if (kind == 'i')
                add_image(&p, v[0], v[1]);
            else
                add_video(&p, v[0], v[1], v[2]);
        }
        assert_ok(run(&p, 0, 0, &delta, &err));
        assert_int_equal(p.n, golden_int(c, "n"));
        assert_int_equal(delta, golden_int(c, "delta"));
        int32_t *all_pos = WD_ALLOC_N(int32_t, 3 * p.n);
        for (size_t a = 0; a < 3; a++)
            memcpy(all_pos + a * p.n, p.pos[a], p.n * sizeof(int32_t));
        golden_check(all_pos, 3 * p.n * sizeof(int32_t), golden_str(c, "pos"), "positions");
        wd_free(all_pos);
    }
    json_decref(doc);
}

/* A second turn appended to the cache stands where it would stand in one prompt. */
static void a_following_turn_goes_on(void **state)
{
    static prompt whole, first, second;
    int32_t d, d1, d2;
    (void)state;
    whole.n = whole.n_image = whole.n_video = 0;
    add(&whole, 7, 5), add_image(&whole, 4, 20), add(&whole, 7, 3), add_video(&whole, 2, 6, 6),
        add(&whole, 7, 2);
    add(&first, 7, 5), add_image(&first, 4, 20), add(&first, 7, 1);
    add(&second, 7, 2), add_video(&second, 2, 6, 6), add(&second, 7, 2);
    assert_ok(run(&whole, 0, 0, &d, &err));
    assert_ok(run(&first, 0, 0, &d1, &err));
    assert_ok(run(&second, first.n, d1, &d2, &err));
    assert_int_equal(d2, d);
    for (size_t a = 0; a < 3; a++)
        assert_memory_equal(whole.pos[a] + first.n, second.pos[a], second.n * sizeof(int32_t));
}

static void refuses_placeholders_that_do_not_match(void **state)
{
    static prompt p;
    int32_t delta;
    (void)state;
    p = (prompt){ 0 };
    add(&p, 7, 1), add_image(&p, 4, 6);
    p.n_image = 0;
    assert_fails(run(&p, 0, 0, &delta, &err), WD_E_INVALID, "only 0 images");
    p.n_image = 2;
    memcpy(p.image[1], p.image[0], sizeof p.image[0]);
    assert_fails(run(&p, 0, 0, &delta, &err), WD_E_INVALID, "1 of 2 images");
    p.n_image = 1, p.n -= 2;
    assert_fails(run(&p, 0, 0, &delta, &err), WD_E_INVALID,
                 "5 image placeholders at token 2 where 6 are expected");
    p.image[0][1] = 5;
    assert_fails(run(&p, 0, 0, &delta, &err), WD_E_INVALID, "does not merge");
    p.image[0][0] = 2;
    assert_fails(run(&p, 0, 0, &delta, &err), WD_E_INVALID, "an image has 1");
    assert_int_equal(delta, -12345);
    p = (prompt){ 0 };
    add(&p, 7, 9);
    assert_fails(run(&p, 0x7ffffffe, 0, &delta, &err), WD_E_LIMIT, "31 bits");
    assert_fails(run(&p, 5, -6, &delta, &err), WD_E_LIMIT, "31 bits");
    /* a grid whose product overflows 32 bits */
    add(&p, IMAGE, 4);
    p.n_image = 1;
    memcpy(p.image[0], ((uint32_t[]){ 1, 0xfffffffe, 0xfffffffe }), sizeof p.image[0]);
    assert_fails(run(&p, 0, 0, &delta, &err), WD_E_INVALID, "placeholders at token 9");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_specification),
        cmocka_unit_test(prompts_equal_the_reference),
        cmocka_unit_test(a_following_turn_goes_on),
        cmocka_unit_test(refuses_placeholders_that_do_not_match),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
