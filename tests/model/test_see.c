#include "model/tiny.h"

#include "base/mem.h"
#include "model/params.h"
#include "support/test.h"

#define PATCH 1536

static void see(tiny *t, const float *patches, const uint32_t (*grid)[3], size_t n, wd_features *out)
{
    assert_ok(wd_model_see(t->model, &(wd_see){ .patches = patches, .grid = grid, .n_grid = n }, out, &err));
}

/* Rows [at, at + part->n_row) of `all` are those of `part`. */
static void check_part(const wd_features *all, size_t at, const wd_features *part)
{
    const size_t bytes = part->n_row * part->n_embd * sizeof(float);
    assert_true(at + part->n_row <= all->n_row);
    assert_memory_equal(all->main + at * all->n_embd, part->main, bytes);
    for (uint32_t k = 0; k < part->n_deepstack; k++)
        assert_memory_equal(all->deepstack[k] + at * all->n_embd, part->deepstack[k], bytes);
}

static void each_image_and_each_group_of_a_video_is_on_its_own(void **state)
{
    (void)state;
    static const uint32_t grid[3][3] = { { 1, 4, 6 }, { 1, 10, 4 }, { 3, 6, 4 } };
    static const uint32_t group[1][3] = { { 1, 6, 4 } };
    tiny t;
    wd_features all, part;
    tiny_open(&t, "vl-dense-f32", NULL);
    float *patches = test_malloc((24 + 40 + 72) * PATCH * sizeof *patches);
    tiny_values(patches, (24 + 40 + 72) * PATCH, 4);
    see(&t, patches, grid, 3, &all);
    assert_int_equal(all.n_row, 34);
    assert_int_equal(all.n_deepstack, 3);

    see(&t, patches, grid, 1, &part);
    check_part(&all, 0, &part);
    wd_features_free(&part);
    see(&t, patches + 24 * PATCH, grid + 1, 1, &part);
    check_part(&all, 6, &part);
    wd_features_free(&part);
    for (size_t g = 0; g < 3; g++) {
        see(&t, patches + (64 + g * 24) * PATCH, group, 1, &part);
        check_part(&all, 16 + g * 6, &part);
        wd_features_free(&part);
    }
    wd_features_free(&all);
    test_free(patches);
    tiny_close(&t);
}

/* A large image goes head by head: the same numbers as all heads at once. */
static void heads_in_parts_give_the_same_bits(void **state)
{
    (void)state;
    static const uint32_t grid[2][3] = { { 1, 12, 8 }, { 2, 6, 4 } };
    static const size_t n = 96 + 48, floats[] = { 144 * 3 * 40, 144 * 3 * 20, 1 };
    tiny t;
    wd_features all, parts;
    tiny_open(&t, "vl-dense-f32", NULL);
    float *patches = test_malloc(n * PATCH * sizeof *patches);
    tiny_values(patches, n * PATCH, 6);
    see(&t, patches, grid, 2, &all);
    for (size_t i = 0; i < WD_COUNT(floats); i++) {
        t.model->tower->qkv_floats = floats[i];
        see(&t, patches, grid, 2, &parts);
        check_part(&all, 0, &parts);
        wd_features_free(&parts);
    }
    wd_features_free(&all);
    test_free(patches);
    tiny_close(&t);
}

typedef struct seen {
    size_t rows, calls;
    double done;
} seen;

static void count_rows(void *self, const char *stage, size_t n_row, size_t n_col, const float *data)
{
    seen *s = self;
    (void)data;
    if (strcmp(stage, "vis_block_0") != 0)
        return;
    assert_int_equal(n_col, 80);
    s->rows += n_row;
    s->calls++;
}

static void watch(void *self, double done)
{
    seen *s = self;
    assert_true(done > s->done && done <= 1.0);
    s->done = done;
}

static void only_the_first_block(wd_model_config *c)
{
    c->vision.depth = c->vision.n_deepstack = 1;
}

/* 46 x 46 patches are a batch of their own; 42 of the video's 43 groups share one. */
static void a_call_larger_than_a_batch_is_cut_between_segments(void **state)
{
    (void)state;
    static const uint32_t grid[2][3] = { { 43, 6, 8 }, { 1, 46, 46 } };
    const size_t n = 43 * 48 + 46 * 46;
    tiny t;
    wd_features all, part;
    seen s = { 0 };
    const wd_trace trace = { count_rows, &s };
    tiny_open_edited(&t, "vl-dense", NULL, only_the_first_block);
    float *patches = test_malloc(n * PATCH * sizeof *patches);
    tiny_values(patches, n * PATCH, 4);
    assert_ok(wd_model_see(t.model,
                           &(wd_see){ .patches = patches,
                                      .grid = grid,
                                      .n_grid = 2,
                                      .trace = &trace,
                                      .progress = watch,
                                      .progress_self = &s },
                           &all, &err));
    assert_int_equal(s.rows, n);
    assert_int_equal(s.calls, 3);
    assert_true(s.done == 1.0);

    static const uint32_t group[1][3] = { { 1, 6, 8 } };
    see(&t, patches + 42 * 48 * PATCH, group, 1, &part);
    check_part(&all, 42 * 12, &part);
    wd_features_free(&part);
    wd_features_free(&all);
    test_free(patches);
    tiny_close(&t);
}

static void see_refuses_grids_that_cannot_be_merged(void **state)
{
    (void)state;
    static const uint32_t bad[][1][3] = {
        { { 1, 3, 4 } }, { { 1, 4, 5 } }, { { 0, 4, 4 } }, { { 1, 0, 4 } }
    };
    tiny t;
    wd_features f = { .n_row = 77 };
    float patch[1] = { 0 };
    tiny_open(&t, "vl-dense", NULL);
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        const wd_see in = { .patches = patch, .grid = bad[i], .n_grid = 1 };
        assert_fails(wd_model_see(t.model, &in, &f, &err), WD_E_INVALID, "multiples of 2");
    }
    static const uint32_t huge[1][3] = { { UINT32_MAX, UINT32_MAX - 1, UINT32_MAX - 1 } };
    const wd_see in = { .patches = patch, .grid = huge, .n_grid = 1 };
    assert_fails(wd_model_see(t.model, &in, &f, &err), WD_E_LIMIT, "too many patches");
    assert_int_equal(f.n_row, 77); /* untouched */
    tiny_close(&t);
}

static void see_refuses_a_model_without_a_tower(void **state)
{
    (void)state;
    static const uint32_t grid[1][3] = { { 1, 4, 4 } };
    tiny t;
    wd_features f;
    float patch[1] = { 0 };
    const wd_see in = { .patches = patch, .grid = grid, .n_grid = 1 };
    tiny_open(&t, "text-tied", NULL);
    assert_fails(wd_model_see(t.model, &in, &f, &err), WD_E_UNSUPPORTED, "text only");
    tiny_close(&t);
    tiny_open(&t, "vl-dense", &(wd_model_opts){ .max_rows = 8, .no_vision = true });
    assert_fails(wd_model_see(t.model, &in, &f, &err), WD_E_UNSUPPORTED, "text only");
    tiny_close(&t);
}

static void cancel_ends_it_between_blocks(void **state)
{
    (void)state;
    static const uint32_t grid[1][3] = { { 1, 4, 4 } };
    tiny t;
    wd_features f;
    float *patches = test_malloc(16 * PATCH * sizeof *patches);
    atomic_bool cancel = true;
    tiny_values(patches, 16 * PATCH, 1);
    tiny_open(&t, "vl-dense", NULL);
    const wd_see in = { .patches = patches, .grid = grid, .n_grid = 1, .cancel = &cancel };
    assert_fails(wd_model_see(t.model, &in, &f, &err), WD_E_CANCELLED, "cancelled");
    tiny_close(&t);
    test_free(patches);
}

static void every_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    static const uint32_t grid[1][3] = { { 1, 2, 2 } };
    tiny t;
    float *patches = test_malloc(4 * PATCH * sizeof *patches);
    tiny_values(patches, 4 * PATCH, 1);
    tiny_open(&t, "vl-dense", NULL);
    for (uint64_t n = 1;; n++) {
        wd_features f = { 0 };
        wd_err err = { 0 };
        wd_inject_failure(n);
        const wd_status st = wd_model_see(t.model, &(wd_see){ .patches = patches, .grid = grid, .n_grid = 1 },
                                          &f, &err);
        const bool hit = wd_inject_failure(0) >= n;
        wd_features_free(&f);
        if (!hit) {
            assert_int_equal(st, WD_OK);
            break;
        }
        assert_int_equal(st, WD_E_NOMEM);
    }
    tiny_close(&t);
    test_free(patches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_image_and_each_group_of_a_video_is_on_its_own),
        cmocka_unit_test(heads_in_parts_give_the_same_bits),
        cmocka_unit_test(a_call_larger_than_a_batch_is_cut_between_segments),
        cmocka_unit_test(see_refuses_grids_that_cannot_be_merged),
        cmocka_unit_test(see_refuses_a_model_without_a_tower),
        cmocka_unit_test(cancel_ends_it_between_blocks),
        cmocka_unit_test(every_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
