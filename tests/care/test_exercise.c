/* The exercise phantom: its bytes, its truth, its pictures. */
#include "care/phantom/exercise.h"

#include <fcntl.h>
#include <math.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "care/phantom/exercise_words.h"
#include "media/sandbox.h"
#include "media/video.h"
#include "support/test.h"

static char *dir;
static wd_arena *arena;

static int start(void **state)
{
    (void)state;
    assert_ok(wd_sandbox_start(&err));
    arena = wd_arena_create(1u << 28, false);
    dir = test_make_dir();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    test_rm_dir(dir);
    wd_arena_destroy(arena);
    wd_sandbox_stop();
    return 0;
}

static const wd_exercise_info *plan(uint64_t seed, wd_exercise **x)
{
    wd_exercise *mine;
    assert_ok(wd_exercise_plan(seed, arena, x ? x : &mine, &err));
    return wd_exercise_info_of(x ? *x : mine);
}

static void the_same_seed_gives_the_same_bytes(void **state)
{
    (void)state;
    static const char *const names[] = { "video.mp4", "truth.json" };
    char *to[3];
    for (int i = 0; i < 3; i++) {
        to[i] = wd_arena_printf(arena, "%s/%d", dir, i);
        assert_ok(wd_exercise_write(to[i], i < 2 ? 42 : 47, &err));
    }
    for (int k = 0; k < 2; k++) {
        wd_buf b[3] = { 0 };
        for (int i = 0; i < 3; i++)
            assert_ok(wd_file_read(wd_path_join(arena, to[i], names[k]), 1u << 24, &b[i], &err));
        assert_true(wd_span_eq(wd_buf_view(&b[0]), wd_buf_view(&b[1])));
        assert_false(wd_span_eq(wd_buf_view(&b[0]), wd_buf_view(&b[2])));
        for (int i = 0; i < 3; i++)
            wd_buf_free(&b[i]);
    }
}

typedef struct seen {
    const wd_exercise *x;
    uint32_t n;
    double off;
} seen;

static wd_status compare(void *ctx, uint32_t i, const wd_image *im, wd_err *err)
{
    seen *s = ctx;
    wd_image want = { 0 };
    WD_TRY(wd_image_init(&want, WD_EXERCISE_WIDTH, WD_EXERCISE_HEIGHT, err));
    wd_exercise_draw(s->x, 10 * i, &want);
    double sum = 0;
    for (size_t k = 0; k < (size_t)im->width * im->height * 3; k++)
        sum += abs(im->rgb[k] - want.rgb[k]);
    s->off = fmax(s->off, sum / (WD_EXERCISE_WIDTH * WD_EXERCISE_HEIGHT * 3));
    s->n++;
    wd_image_free(&want);
    return WD_OK;
}

static void the_video_is_what_was_drawn(void **state)
{
    (void)state;
    wd_exercise *x;
    const wd_exercise_info *info = plan(42, &x);
    const char *path = wd_arena_printf(arena, "%s/0/video.mp4", dir);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    wd_video_info v = { 0 };
    assert_ok(wd_video_probe(path, fd, NULL, &v, &err));
    assert_int_equal(v.n_frame, info->n_frame);
    assert_true(v.fps == WD_EXERCISE_FPS);
    assert_int_equal(v.width, WD_EXERCISE_WIDTH);
    assert_int_equal(v.height, WD_EXERCISE_HEIGHT);
    uint64_t index[9];
    for (uint64_t i = 0; i < 9; i++)
        index[i] = 10 * i;
    seen s = { .x = x };
    assert_ok(wd_video_frames(path, fd, &v, index, 9, NULL, compare, &s, &err));
    assert_int_equal(s.n, 9);
    if (s.off > 3) /* of 255: what the compression loses */
        fail_msg("a picture differs by %.2f", s.off);
    wd_video_info_free(&v);
    close(fd);
}

static const json_t *get(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    assert_non_null(v);
    return v;
}

static void the_truth_holds_what_it_says(void **state)
{
    (void)state;
    uint32_t n_kind[WD_N_EXERCISE] = { 0 }, n_camera[3] = { 0 }, n_fault[WD_N_FAULT] = { 0 }, n_clean = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        wd_exercise *x;
        const wd_exercise_info *i = plan(seed, &x);
        const wd_rehab_rule *rule = wd_rehab_rule_of(i->kind);
        n_kind[i->kind]++;
        n_camera[i->camera]++;
        n_clean += i->n_fault == 0;
        assert_true(i->n_frame >= 6 * 15 && i->n_frame <= 15 * 15);
        assert_true(rule->hold ? i->n_rep == 1 : i->n_rep >= 2 && i->n_rep <= WD_EXERCISE_REPS_MAX);
        for (uint32_t f = 0; f < i->n_frame; f++)
            for (int j = 0; j < WD_N_JOINT; j++)
                assert_true(i->frame[f].joint[j].x > 0 && i->frame[f].joint[j].x < WD_EXERCISE_WIDTH &&
                            i->frame[f].joint[j].y > 0 && i->frame[f].joint[j].y < WD_EXERCISE_HEIGHT);
        for (uint32_t k = 0; k < i->n_fault; k++) {
            const wd_exercise_fault *f = &i->fault[k];
            const double limit = rule->limit_deg[f->kind];
            assert_true(limit > 0);
            assert_true(f->rep >= 1 && f->rep <= i->n_rep && f->end_s > f->start_s);
            const bool low = f->kind == WD_FAULT_INSUFFICIENT_DEPTH && rule->rises;
            assert_true(low ? f->worst_deg < limit - 5 : f->worst_deg > limit + 5);
            n_fault[f->kind]++;
        }
        json_t *t = wd_exercise_truth(x);
        assert_string_equal(json_string_value(get(t, "kind")), "exercise");
        assert_string_equal(json_string_value(get(t, "exercise")), rule->name);
        assert_int_equal(json_array_size(get(t, "joints")), i->n_frame);
        assert_int_equal(json_array_size(get(get(t, "angles"), "main")), i->n_frame);
        assert_int_equal(json_array_size(get(t, "repetitions")), i->n_rep);
        assert_int_equal(json_array_size(get(t, "faults")), i->n_fault);
        assert_int_equal(json_array_size(get(get(t, "advice"), "en")),
                         json_array_size(get(get(t, "advice"), "zh")));
        assert_int_equal(json_array_size(get(get(t, "advice"), "en")) > 0, i->n_fault > 0);
        json_decref(t);
    }
    for (int k = 0; k < WD_N_EXERCISE; k++)
        assert_int_equal(n_kind[k], 20);
    for (int k = 0; k < 3; k++)
        assert_true(n_camera[k] >= 8);
    for (int k = 0; k < WD_N_FAULT; k++)
        assert_true(n_fault[k] >= 3);
    assert_true(n_clean >= 15 && n_clean <= 45);
}

/* The truth is in space: in it, an angle keeps its limit's side for as long as a fault lasts, and no longer. */
static void posture_faults_last_while_the_angle_is_past_its_limit(void **state)
{
    (void)state;
    uint32_t n = 0;
    for (uint64_t seed = 5; seed <= 400; seed += 5) { /* squats */
        const wd_exercise_info *i = plan(seed, NULL);
        for (uint32_t f = 0; f < i->n_frame; f++) {
            const double t = (double)f / WD_EXERCISE_FPS;
            bool in = false;
            for (uint32_t k = 0; k < i->n_fault; k++)
                in |= i->fault[k].kind == WD_FAULT_TRUNK_LEAN && t >= i->fault[k].start_s - 1e-9 &&
                      t <= i->fault[k].end_s + 1e-9;
            assert_int_equal(i->frame[f].angle[WD_ANGLE_TRUNK_LEAN][0] > 45, in);
            n += in;
        }
    }
    assert_true(n > 100);
}

static void words_name_the_numbers_and_follow_the_degree(void **state)
{
    (void)state;
    wd_exercise_said s = { WD_EXERCISE_SQUAT, WD_FAULT_TRUNK_LEAN, false, 50.6, { 1, 3, 4 }, 3 };
    wd_exercise_phrase a, b;
    wd_exercise_say(&s, &a);
    assert_string_equal(a.issue, "The trunk leans: 51 degrees in repetitions 1, 3 and 4.");
    s.worst_deg = 63;
    wd_exercise_say(&s, &b);
    assert_string_equal(b.issue, "The trunk leans clearly: 63 degrees in repetitions 1, 3 and 4.");
    assert_string_not_equal(a.advice, b.advice);
    s.zh = true;
    s.n_rep = 1;
    wd_exercise_say(&s, &a);
    assert_string_equal(a.issue, "躯干明显倾斜：63 度，第 1 次。");
    s = (wd_exercise_said){ WD_EXERCISE_WALL_SIT, WD_FAULT_TRUNK_LEAN, true, 20, { 1 }, 1 };
    wd_exercise_say(&s, &a);
    assert_string_equal(a.issue, "躯干倾斜：20 度。"); /* a hold has no repetitions */
    for (int k = 0; k < WD_N_EXERCISE; k++) {
        for (int f = 0; f < WD_N_FAULT; f++) {
            for (int v = 0; v < 4; v++) {
                s = (wd_exercise_said){
                    (wd_exercise_kind)k, (wd_rehab_fault_kind)f, v & 1, v & 2 ? 20 : 170, { 2 }, 1
                };
                wd_exercise_say(&s, &a);
                const bool exists = wd_rehab_rule_of((wd_exercise_kind)k)->limit_deg[f] > 0;
                assert_int_equal(a.cause[0] != 0, exists);
                assert_int_equal(a.advice[0] != 0, exists);
            }
        }
    }
    char sum[320];
    wd_exercise_sum_up(WD_EXERCISE_SQUAT, false, 4, 0, 0, sum);
    assert_string_equal(sum, "The squat was done 4 times in good form.");
    wd_exercise_sum_up(WD_EXERCISE_WALL_SIT, true, 1, 5.24, 2, sum);
    assert_string_equal(sum, "靠墙静蹲保持 5.2 秒，动作需要改进。");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_seed_gives_the_same_bytes),
        cmocka_unit_test(the_video_is_what_was_drawn),
        cmocka_unit_test(the_truth_holds_what_it_says),
        cmocka_unit_test(posture_faults_last_while_the_angle_is_past_its_limit),
        cmocka_unit_test(words_name_the_numbers_and_follow_the_degree),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
