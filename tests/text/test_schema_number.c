#include "text/schema/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/rand.h"
#include "support/test.h"

static wd_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = wd_arena_create((size_t)256 << 20, false);
    return arena ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
    return 0;
}

static bool accepts(const wd_num *d, const char *text)
{
    uint32_t q = 0;
    if (!d->n_state)
        return false;
    for (; *text; text++) {
        const int c = wd_num_class((uint8_t)*text);
        q = c < 0 ? WD_NUM_DEAD : d->next[q][c];
        if (q == WD_NUM_DEAD)
            return false;
    }
    return d->accept[q];
}

static wd_dec dec(const char *text)
{
    json_error_t e;
    json_t *v = json_loads(text, JSON_DECODE_ANY, &e);
    assert_non_null(v);
    const wd_dec d = wd_dec_of(v);
    json_decref(v);
    return d;
}

/* "[0,5)" and kind 'a', 'i' or 'b'; "(,5]" has no lower bound. */
static wd_num_range range(const char *text, char kind)
{
    wd_num_range r = { .kind = kind == 'i' ? WD_NUM_INT : kind == 'b' ? WD_NUM_BROKEN : WD_NUM_ANY };
    char lo[40] = "", hi[40] = "";
    const char *comma = strchr(text, ',');
    memcpy(lo, text + 1, (size_t)(comma - text - 1));
    memcpy(hi, comma + 1, strlen(comma) - 2);
    r.has_lo = lo[0] != 0;
    r.has_hi = hi[0] != 0;
    r.lo_open = text[0] == '(' && r.has_lo;
    r.hi_open = text[strlen(text) - 1] == ')' && r.has_hi;
    if (r.has_lo)
        r.lo = dec(lo);
    if (r.has_hi)
        r.hi = dec(hi);
    return r;
}

static const wd_num *automaton(const wd_num_range *r)
{
    const wd_num *d = NULL;
    assert_ok(wd_num_create(arena, r, &d, &err));
    return d;
}

static bool in_range(const wd_num_range *r, double lo, double hi, double v)
{
    if (r->has_lo && (r->lo_open ? !(v > lo) : !(v >= lo)))
        return false;
    if (r->has_hi && (r->hi_open ? !(v < hi) : !(v <= hi)))
        return false;
    return r->kind == WD_NUM_ANY || (v == floor(v)) == (r->kind == WD_NUM_INT);
}

static void bounds_hold_for_every_short_number(void **state)
{
    static const char *const ranges[] = {
        "[0,100]",    "(0,100)",    "[-5,5]",   "[-0.5,0.25]", "(-1,1)",      "[95,1005]",
        "[1.1,1.1]",  "(1.1,1.2)",  "[,7]",     "(-3,]",       "[12.5,99.9]", "[-99,-12]",
        "[0,0]",      "[0.05,0.1)", "(-0.1,0]", "[10,10.5]",   "(0,]",        "(,0)",
        "[-20,-0.5)", "[999,1001]", "[1e-3,2]", "[5,3]",
    };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(ranges); i++)
        for (int kind = 0; kind < 3; kind++) {
            wd_num_range r = range(ranges[i], "aib"[kind]);
            const char *comma = strchr(ranges[i], ',');
            const double lo = strtod(ranges[i] + 1, NULL), hi = strtod(comma + 1, NULL);
            const wd_num *d = automaton(&r);
            for (int n = -120000; n <= 120000; n += n > -1300 && n < 1300 ? 1 : 31) {
                for (int digits = 0; digits < 3; digits++) {
                    char text[32];
                    const double v = n / pow(10, digits);
                    snprintf(text, sizeof text, "%.*f", digits, v);
                    if (v == 0 && text[0] == '-')
                        continue;
                    bool want = in_range(&r, lo, hi, strtod(text, NULL));
                    if (r.kind == WD_NUM_INT && digits)
                        want = false; /* written without a fraction */
                    if (accepts(d, text) != want)
                        fail_msg("%s %c: %s, expected %d", ranges[i], "aib"[kind], text, want);
                }
            }
        }
}

static void only_json_numbers_are_written(void **state)
{
    (void)state;
    const wd_num_range any = { .kind = WD_NUM_ANY };
    const wd_num *d = automaton(&any);
    static const char *const good[] = { "0",
                                        "-1",
                                        "1.50",
                                        "-0.0",
                                        "1e5",
                                        "2.5E-10",
                                        "123456789012345678",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "0.00000000000001" };
    static const char *const bad[] = { "",
                                       "-",
                                       "01",
                                       "1.",
                                       ".5",
                                       "+1",
                                       "1e",
                                       "1e123",
                                       "9223372036854775808",
                                       "-0",
                                       "12345678901234567890",
                                       "1.1234567890123456",
                                       "--1",
                                       "1e5.5" };
    for (size_t i = 0; i < WD_COUNT(good); i++)
        if (!accepts(d, good[i]))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < WD_COUNT(bad); i++)
        if (accepts(d, bad[i]))
            fail_msg("%s", bad[i]);
}

static void far_and_fine_bounds_are_kept(void **state)
{
    (void)state;
    wd_num_range r = range("[1e-30,1e300]", 'a');
    const wd_num *d = automaton(&r);
    assert_true(accepts(d, "0.00000000000001"));
    assert_false(accepts(d, "0.0"));
    assert_true(accepts(d, "9223372036854775807"));
    r = range("[1e30,]", 'a');
    assert_int_equal(automaton(&r)->n_state, 0);
    r = range("[-1e30,-1e-30]", 'a');
    d = automaton(&r);
    assert_true(accepts(d, "-5"));
    assert_false(accepts(d, "0"));
    r = range("[0.1234567890123456,0.1234567890123457]", 'a');
    assert_int_equal(automaton(&r)->n_state, 0); /* nothing of 15 digits lies between */
}

static void what_is_taken_out_is_gone(void **state)
{
    static const char *const ranges[] = { "[0,10]", "(2,5)", "[5,15]", "[,3]", "(4,]", "[,]", "[7,7]" };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(ranges); i++)
        for (size_t k = 0; k < WD_COUNT(ranges); k++)
            for (int kinds = 0; kinds < 9; kinds++) {
                const wd_num_range x = range(ranges[i], "aib"[kinds / 3]),
                                   y = range(ranges[k], "aib"[kinds % 3]);
                wd_num_range part[3], both = x;
                const size_t n = wd_num_without(&x, &y, part);
                const bool some = wd_num_meet(&both, &y);
                for (int v = -8; v <= 80; v++) {
                    char text[16];
                    bool in = false;
                    snprintf(text, sizeof text, v % 4 ? "%.2f" : "%.0f", v / 4.0);
                    for (size_t p = 0; p < n; p++)
                        in |= accepts(automaton(&part[p]), text);
                    const bool in_x = accepts(automaton(&x), text), in_y = accepts(automaton(&y), text);
                    assert_int_equal(in, in_x && !in_y);
                    assert_int_equal(some && accepts(automaton(&both), text), in_x && in_y);
                }
                wd_arena_reset(arena);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_hold_for_every_short_number),
        cmocka_unit_test(only_json_numbers_are_written),
        cmocka_unit_test(far_and_fine_bounds_are_kept),
        cmocka_unit_test(what_is_taken_out_is_gone),
    };
    return cmocka_run_group_tests_name("schema_number", tests, set_up, tear_down);
}
