/* Expected values: spec sections 5.3, A.4 and A.5. */
#include <math.h>

#include "model/pass.h"
#include "support/test.h"

static void places_go_merge_block_by_merge_block(void **state)
{
    (void)state;
    static const uint32_t want[24][2] = { { 0, 0 }, { 0, 1 }, { 1, 0 }, { 1, 1 }, { 0, 2 }, { 0, 3 },
                                          { 1, 2 }, { 1, 3 }, { 0, 4 }, { 0, 5 }, { 1, 4 }, { 1, 5 },
                                          { 2, 0 }, { 2, 1 }, { 3, 0 }, { 3, 1 }, { 2, 2 }, { 2, 3 },
                                          { 3, 2 }, { 3, 3 }, { 2, 4 }, { 2, 5 }, { 3, 4 }, { 3, 5 } };
    for (size_t i = 0; i < 24; i++) {
        uint32_t row, col;
        wd_tower__place(6, 2, i, &row, &col);
        assert_int_equal(row, want[i][0]);
        assert_int_equal(col, want[i][1]);
    }
}

/* A table of side x side whose entry (r, c) is { r, c, r * c }: bilinear reading gives the coordinates themselves. */
typedef struct table {
    wd_model m;
    wd_tower tower;
    wd_ops *ops;
    float *data;
} table;

static void table_make(table *t, uint32_t side)
{
    *t = (table){ 0 };
    t->data = test_malloc((size_t)side * side * 3 * sizeof(float));
    for (uint32_t r = 0; r < side; r++)
        for (uint32_t c = 0; c < side; c++)
            memcpy(t->data + (r * side + c) * 3, (float[3]){ (float)r, (float)c, (float)r * (float)c }, 12);
    assert_ok(wd_cpu_ops_create(&(wd_cpu_opts){ 0 }, &t->ops, &err));
    t->m.ops = t->ops;
    t->m.cfg.vision = (wd_vision_config){ .n_embd = 3, .merge_size = 2 };
    t->m.tower = &t->tower;
    t->tower.side = side;
    t->tower.pos = (wd_tensor){
        .data = t->data, .dtype = WD_DTYPE_F32, .n_dim = 2, .dim = { (size_t)side * side, 3 }
    };
}

static void table_free(table *t)
{
    wd_ops_destroy(t->ops);
    test_free(t->data);
}

static void check_grid(uint32_t side, uint32_t h, uint32_t w)
{
    table t;
    float corner[12], *out = test_malloc((size_t)h * w * 3 * sizeof(float));
    table_make(&t, side);
    wd_tower__positions(&t.m, h, w, 0, (size_t)h * w, corner, out);
    for (size_t i = 0; i < (size_t)h * w; i++) {
        uint32_t row, col;
        wd_tower__place(w, 2, i, &row, &col);
        const double y = row * (side - 1.0) / (h - 1), x = col * (side - 1.0) / (w - 1);
        assert_float_equal(out[i * 3], y, 1e-5 * side);
        assert_float_equal(out[i * 3 + 1], x, 1e-5 * side);
        assert_float_equal(out[i * 3 + 2], y * x, 1e-5 * side * side);
    }
    test_free(out);
    table_free(&t);
}

static void corners_of_any_grid_are_the_corners_of_the_table(void **state)
{
    (void)state;
    check_grid(48, 4, 6);
    check_grid(48, 68, 120);
    check_grid(7, 10, 4);
    check_grid(7, 2, 2);
}

static void a_grid_of_the_tables_size_reproduces_it(void **state)
{
    (void)state;
    table t;
    static float out[48 * 48 * 3];
    float corner[12];
    table_make(&t, 48);
    wd_tower__positions(&t.m, 48, 48, 0, 48 * 48, corner, out);
    for (size_t i = 0; i < 48 * 48; i++) {
        uint32_t row, col;
        wd_tower__place(48, 2, i, &row, &col);
        assert_true(out[i * 3] == (float)row && out[i * 3 + 1] == (float)col &&
                    out[i * 3 + 2] == (float)(row * col));
    }
    table_free(&t);
}

static void published_rows_mix_the_published_shares(void **state)
{
    (void)state;
    table t;
    float corner[12], *out = test_malloc((size_t)68 * 2 * 3 * sizeof(float));
    table_make(&t, 48);
    wd_tower__positions(&t.m, 68, 2, 0, 68 * 2, corner, out);
    assert_float_equal(out[2 * 3], 0.7014925, 1e-6); /* patch 2 is row 1, column 0 */
    test_free(out);
    table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places_go_merge_block_by_merge_block),
        cmocka_unit_test(corners_of_any_grid_are_the_corners_of_the_table),
        cmocka_unit_test(a_grid_of_the_tables_size_reproduces_it),
        cmocka_unit_test(published_rows_mix_the_published_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
