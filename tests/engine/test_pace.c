/* Rows of prompts beside replies, for machines that are made up: what a step costs is told, no clock is read. */
#include "support/test.h"

#include <math.h>

#include "base/compiler.h"
#include "base/rand.h"
#include "engine/local/pace.h"

#define MOST_S 0.150
#define MOST_ROWS 512

/* A model on a machine: a step reads the weights, and multiplies, whichever takes longer; each reply's attention comes on
 * top. */
typedef struct machine {
    const char *name;
    double read_s, row_s, reply_s, fixed_s;
} machine;

static const machine machines[] = {
    { "small", 0.0005, 0.00002, 0.00001, 0.0001 },
    { "bf16", 0.110, 0.0093, 0.0005, 0.004 },
    { "8 bits", 0.065, 0.0054, 0.0005, 0.004 },
    { "8 bits, nothing overlaps", 0, 0.0054, 0.0005, 0.069 },
    { "4 bits, deep", 0.040, 0.0058, 0.010, 0.004 },
    { "tiles", 0.060, 0.0006, 0.0005, 0.004 },
    { "larger than its machine", 1.6, 0.130, 0.004, 0.010 },
};

static double cost(const machine *m, size_t n_reply, size_t n_prompt)
{
    const double multiply = (double)(n_reply + n_prompt) * m->row_s;
    return WD_MAX(m->read_s, multiply) + (double)n_reply * m->reply_s + m->fixed_s;
}

static double aim(const machine *m, size_t n_reply)
{
    return WD_MAX(MOST_S, 2 * cost(m, n_reply, 0));
}

/* As many as fit. */
static size_t best(const machine *m, size_t n_reply)
{
    size_t n = 1;
    while (n < MOST_ROWS && cost(m, n_reply, n + 1) <= aim(m, n_reply))
        n++;
    return n;
}

static size_t step(wd_local_pace *p, const machine *m, size_t n_reply, double factor)
{
    const size_t n = wd_local__pace_rows(p, n_reply, MOST_ROWS);
    wd_local__pace_note(p, n_reply, n, factor * cost(m, n_reply, n));
    return n;
}

/* The first prompt was computed alone; then its reply goes on beside a long one. */
static wd_local_pace after_a_prompt(const machine *m)
{
    wd_local_pace p = { .most_s = MOST_S };
    wd_local__pace_note(&p, 0, 300, cost(m, 0, 300));
    return p;
}

static void steps_come_near_their_time_and_stay_there(void **state)
{
    (void)state;
    for (size_t i = 0; i < WD_COUNT(machines); i++)
        for (size_t n_reply = 1; n_reply <= 16; n_reply *= 2) {
            const machine *m = &machines[i];
            wd_local_pace p = after_a_prompt(m);
            size_t n_alone = 0, least = SIZE_MAX;
            for (size_t k = 0; k < 200; k++) {
                const size_t n = step(&p, m, n_reply, 1);
                n_alone += n == 0;
                if (n == 0 || k < 12)
                    continue;
                least = WD_MIN(least, n);
                if (cost(m, n_reply, n) > 1.05 * aim(m, n_reply))
                    fail_msg("%s, %zu replies: %zu rows take %.3f s, the aim is %.3f", m->name, n_reply, n,
                             cost(m, n_reply, n), aim(m, n_reply));
            }
            if ((double)least < 0.85 * (double)best(m, n_reply))
                fail_msg("%s, %zu replies: %zu rows, %zu would fit", m->name, n_reply, least,
                         best(m, n_reply));
            assert_in_range(n_alone, 1, 200 / 32 + 1);
        }
}

/* What a prompt alone took a row, and what replies took alone, come on top of each other at most: the one is the budget, the
 * other half of it. */
static void the_first_step_beside_replies_is_not_much_longer_than_its_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < WD_COUNT(machines); i++) {
        const machine *m = &machines[i];
        wd_local_pace p = after_a_prompt(m);
        assert_int_equal(wd_local__pace_rows(&p, 1, MOST_ROWS), 0); /* what a reply takes is not known yet */
        wd_local__pace_note(&p, 1, 0, cost(m, 1, 0));
        const size_t n = wd_local__pace_rows(&p, 1, MOST_ROWS);
        assert_true(n >= 4 && (n == 4 || cost(m, 1, n) <= 1.55 * aim(m, 1)));
    }
}

static void prompts_go_on_whatever_replies_take(void **state)
{
    (void)state;
    static const machine slow = { "slow", 30, 0.5, 3, 0 };
    wd_local_pace p = after_a_prompt(&slow);
    size_t before = 1;
    for (size_t k = 0; k < 300; k++) {
        const size_t n = step(&p, &slow, 1 + k % 32, 1);
        assert_true(n >= 4 || (n == 0 && before > 0));
        before = n;
    }
}

/* Times that vary by a fifth, and one in twenty steps that takes ten times as long. */
static void steps_that_are_held_up_do_not_mislead(void **state)
{
    (void)state;
    for (size_t i = 0; i < WD_COUNT(machines); i++) {
        const machine *m = &machines[i];
        wd_local_pace p = after_a_prompt(m);
        wd_rand rnd;
        double sum = 0, worst = 0;
        size_t n_step = 0;
        wd_rand_init(&rnd, i);
        for (size_t k = 0; k < 2000; k++) {
            const double noise = wd_rand_range(&rnd, 0.9, 1.1) * (wd_rand_below(&rnd, 20) ? 1 : 10);
            const size_t n = step(&p, m, 4, noise);
            if (n == 0 || k < 20)
                continue;
            sum += (double)n;
            worst = WD_MAX(worst, cost(m, 4, n) / aim(m, 4));
            n_step++;
        }
        const double share = sum / (double)n_step / (double)best(m, 4);
        if (share < 0.6 || share > 1.2 || worst > 2.2)
            fail_msg("%s: %.2f of the rows that fit, the longest step %.2f of its time", m->name, share,
                     worst);
    }
}

static void replies_that_come_and_go_are_followed(void **state)
{
    (void)state;
    for (size_t i = 0; i < WD_COUNT(machines); i++) {
        const machine *m = &machines[i];
        wd_local_pace p = after_a_prompt(m);
        static const size_t crowd[] = { 1, 16, 1, 8, 2 };
        for (size_t c = 0; c < WD_COUNT(crowd); c++) {
            size_t n = 0;
            for (size_t k = 0; k < 160; k++) {
                const size_t now = step(&p, m, crowd[c], 1);
                n = now ? now : n;
            }
            const double t = cost(m, crowd[c], n) / aim(m, crowd[c]);
            if ((t < 0.85 && n < MOST_ROWS) || t > 1.05)
                fail_msg("%s: %zu rows beside %zu replies, %.2f of the time", m->name, n, crowd[c], t);
        }
    }
}

/* Steps with few rows because no more were there cost much a row. That says nothing of steps with many. */
static void short_prompts_do_not_make_steps_small(void **state)
{
    (void)state;
    const machine *m = &machines[2];
    wd_local_pace p = after_a_prompt(m);
    for (size_t k = 0; k < 40; k++)
        step(&p, m, 2, 1);
    const size_t n = wd_local__pace_rows(&p, 2, MOST_ROWS);
    for (size_t k = 0; k < 30; k++)
        wd_local__pace_note(&p, 2, 1, cost(m, 2, 1));
    wd_local__pace_note(&p, 2, 0, cost(m, 2, 0));
    assert_in_range(wd_local__pace_rows(&p, 2, MOST_ROWS), n - 1, n + 1);
}

static void there_are_never_more_rows_than_fit(void **state)
{
    (void)state;
    wd_local_pace p = { .most_s = MOST_S, .reply_s = 0.001, .row_s = 1e-9 };
    assert_int_equal(wd_local__pace_rows(&p, 3, 9), 9);
    assert_int_equal(wd_local__pace_rows(&p, 3, 2), 2);
    assert_int_equal(wd_local__pace_rows(&p, 3, 0), 0);
    p.row_s = 0;
    assert_in_range(wd_local__pace_rows(&p, 3, 500), 4, 64); /* nothing is known */
}

static void times_that_are_none_count_for_nothing(void **state)
{
    (void)state;
    wd_local_pace p = after_a_prompt(&machines[2]);
    wd_local__pace_note(&p, 1, 0, cost(&machines[2], 1, 0));
    const size_t n = wd_local__pace_rows(&p, 1, MOST_ROWS);
    wd_local__pace_note(&p, 1, 0, 0);
    wd_local__pace_note(&p, 1, 10, -1);
    wd_local__pace_note(&p, 1, 10, (double)NAN);
    wd_local__pace_note(&p, 0, 0, 1);
    assert_int_equal(wd_local__pace_rows(&p, 1, MOST_ROWS), n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_come_near_their_time_and_stay_there),
        cmocka_unit_test(the_first_step_beside_replies_is_not_much_longer_than_its_time),
        cmocka_unit_test(prompts_go_on_whatever_replies_take),
        cmocka_unit_test(steps_that_are_held_up_do_not_mislead),
        cmocka_unit_test(replies_that_come_and_go_are_followed),
        cmocka_unit_test(short_prompts_do_not_make_steps_small),
        cmocka_unit_test(there_are_never_more_rows_than_fit),
        cmocka_unit_test(times_that_are_none_count_for_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
