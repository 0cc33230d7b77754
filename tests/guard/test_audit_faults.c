/* The audit: what failures leave, what a killed process leaves, what threads and programs make together. */
#include "guard/place.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "base/log.h"
#include "base/rand.h"
#include "support/vfs.h"

/* ---- failures ---- */

static void a_full_disk_refuses_requests_and_the_next_one_after_it_works(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        place p;
        char token[WD_TOKEN_MAX];
        uint64_t nth = 1, refused = 0;
        test_vfs_reset();
        place_make(&p);
        p.o.vfs = "test";
        p.o.checkpoint_every = 2;
        place_open(&p);
        place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, NULL);
        test_vfs_state.full = full;
        for (;; nth++) {
            wd_visit *v;
            wd_refusal no;
            assert_ok(place_ask(&p, "POST", "/v1/embeddings", token, &v, &no, &err));
            wd_err why = { 0 };
            wd_inject_failure(nth); /* the first record: writes, syncs, memory, the anchors */
            const wd_status st = wd_visit_begin(v, &(wd_work){ .model = "tiny" }, &why);
            const bool hit = wd_inject_failure(0) >= nth;
            if (st) {
                refused++;
                assert_true(st == WD_E_IO || st == WD_E_NOMEM);
                assert_true(*why.text != 0);
            }
            const wd_outcome o = { .kind = st ? WD_OUTCOME_FAILED : WD_OUTCOME_DONE };
            assert_ok(wd_visit_end(&v, &o, &err)); /* room again */
            if (!hit)
                break;
            assert_int_equal(!st, 0);
        }
        assert_true(refused > 5);
        /* the same for the last record: what could not be written stays open, and the next start closes it */
        uint64_t lost = 0;
        for (nth = 1;; nth++) {
            wd_visit *v;
            wd_refusal no;
            assert_ok(place_ask(&p, "POST", "/v1/embeddings", token, &v, &no, &err));
            assert_ok(wd_visit_begin(v, &(wd_work){ .model = "tiny" }, &err));
            wd_inject_failure(nth);
            const wd_status st = wd_visit_end(&v, &(wd_outcome){ .kind = WD_OUTCOME_DONE }, NULL);
            assert_null(v);
            lost += st != WD_OK;
            if (wd_inject_failure(0) < nth)
                break;
        }
        assert_true(lost > 5);
        place_close(&p);
        place_verifies(&p);
        place_open(&p);
        json_t *r;
        assert_ok(wd_audit_list(p.g, &p.auditor, &(wd_audit_filter){ .outcome = "interrupted" }, &r, &err));
        assert_in_range(json_array_size(r), 1,
                        lost); /* fewer: some were written, and only the anchors failed */
        json_decref(r);
        place_close(&p);
        place_verifies(&p);
        place_end(&p);
    }
}

static void every_failure_of_a_first_start_leaves_a_place_that_starts(void **state)
{
    (void)state;
    uint64_t nth = 1, failures = 0;
    for (;; nth++) {
        place p;
        test_vfs_reset();
        place_make(&p);
        p.o.vfs = "test";
        wd_err why = { 0 };
        wd_inject_failure(nth);
        const wd_status st = wd_guard_open(&p.o, &p.g, &why);
        const bool hit = wd_inject_failure(0) >= nth;
        if (st) {
            failures++;
            assert_null(p.g);
            assert_true(*why.text != 0);
            place_open(&p);
        }
        place_close(&p);
        place_verifies(&p);
        place_end(&p);
        if (!hit)
            break;
    }
    assert_true(failures > 20);
}

static void every_failure_of_a_change_leaves_both_it_and_its_record_or_none(void **state)
{
    (void)state;
    place p;
    uint64_t nth = 1;
    char name[32];
    json_t *users, *records;
    test_vfs_reset();
    place_make(&p);
    p.o.vfs = "test";
    p.o.checkpoint_every = 1000;
    place_open(&p);
    for (;; nth++) {
        snprintf(name, sizeof name, "user%llu", (unsigned long long)nth);
        wd_inject_failure(nth);
        const wd_status st = wd_admin_user_add(p.g, &p.admin, "main", name, WD_ACCOUNT_NURSE, (wd_span){ 0 },
                                               NULL);
        (void)st;
        if (wd_inject_failure(0) < nth)
            break;
    }
    assert_true(nth > 4);
    assert_ok(wd_admin_user_list(p.g, &p.admin, &users, &err));
    assert_ok(wd_audit_list(p.g, &p.auditor, &(wd_audit_filter){ .action = "user.add" }, &records, &err));
    assert_int_equal(json_array_size(users), json_array_size(records));
    assert_in_range(json_array_size(users), 1, nth - 1); /* some failed, and the last did not */
    json_decref(users);
    json_decref(records);
    place_close(&p);
    place_verifies(&p);
    place_end(&p);
}

static void power_loss_at_any_write_leaves_a_chain_that_verifies(void **state)
{
    (void)state;
    for (int lose = 0; lose < 2; lose++) {
        for (uint64_t at = 1;; at++) {
            place p;
            char token[WD_TOKEN_MAX];
            int begun = 0, ended = 0;
            test_vfs_reset();
            place_make(&p);
            p.o.vfs = "test";
            p.o.checkpoint_every = 3;
            place_open(&p);
            place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, NULL);
            test_vfs_state.ops = 0;
            test_vfs_state.lose = lose;
            test_vfs_state.crash_at = at;
            for (int i = 0; i < 3; i++) {
                wd_visit *v;
                wd_refusal no;
                if (place_ask(&p, "POST", "/v1/embeddings", token, &v, &no, NULL))
                    continue;
                const bool good = wd_visit_begin(v, &(wd_work){ 0 }, NULL) == WD_OK;
                begun += good;
                const wd_outcome o = { .kind = good ? WD_OUTCOME_DONE : WD_OUTCOME_FAILED };
                ended += wd_visit_end(&v, &o, NULL) == WD_OK && good;
            }
            place_close(&p);
            const bool died = test_vfs_state.dead;
            test_vfs_reset();
            place_open(&p);
            json_t *r;
            assert_ok(
                wd_audit_list(p.g, &p.auditor, &(wd_audit_filter){ .action = "embedding.create" }, &r, &err));
            int n_begin = 0, n_done = 0;
            for (size_t i = 0; i < json_array_size(r); i++) {
                n_begin += !strcmp(text_at(r, i, "event"), "begin");
                n_done += !strcmp(text_at(r, i, "outcome"), "done");
            }
            json_decref(r);
            assert_true(n_begin >= begun && n_begin <= begun + 1);
            assert_true(n_done >= ended && n_done <= ended + 1);
            place_close(&p);
            place_verifies(&p);
            place_end(&p);
            if (!died)
                break;
        }
    }
}

/* ---- kill -9 ---- */

typedef struct worker {
    place *p;
    const char *token;
    int pipe;
} worker;

/* Requests without end; each acknowledged step goes through the pipe: 'b' or 'e' and the visit's id. */
static void *work_until_killed(void *arg)
{
    const worker *w = arg;
    for (;;) {
        wd_visit *v;
        wd_refusal no;
        char line[33];
        if (place_ask(w->p, "POST", "/v1/embeddings", w->token, &v, &no, NULL))
            _exit(3);
        memcpy(line + 1, wd_visit_id(v), 32);
        if (wd_visit_begin(v, &(wd_work){ .model = "tiny" }, NULL))
            _exit(4);
        line[0] = 'b';
        if (write(w->pipe, line, sizeof line) != sizeof line)
            _exit(5);
        if (wd_visit_end(&v, &(wd_outcome){ .kind = WD_OUTCOME_DONE, .http = 200 }, NULL))
            _exit(6);
        line[0] = 'e';
        if (write(w->pipe, line, sizeof line) != sizeof line)
            _exit(7);
    }
    return NULL;
}

static int64_t real_now(void *clock)
{
    struct timespec t;
    (void)clock;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void serve_until_killed(place *p, const char *token, int out)
{
    pthread_t t[4];
    worker w = { p, token, out };
    if (wd_guard_open(&p->o, &p->g, NULL))
        _exit(2);
    for (size_t i = 0; i < WD_COUNT(t); i++)
        if (pthread_create(&t[i], NULL, work_until_killed, &w))
            _exit(2);
    for (;;)
        pause();
}

/* The visits of the acknowledgments of one letter are all in the records of that event. */
static size_t check_acknowledged(const wd_buf *said, char letter, const json_t *records, const char *event)
{
    size_t n = 0;
    for (size_t at = 0; at + 33 <= said->n; at += 33) {
        bool there = false;
        if (said->p[at] != letter)
            continue;
        for (size_t i = 0; i < json_array_size(records) && !there; i++)
            there = !strcmp(text_at(records, i, "event"), event) &&
                    !memcmp(text_at(records, i, "visit"), said->p + at + 1, 32) &&
                    (letter == 'b' || !strcmp(text_at(records, i, "outcome"), "done"));
        if (!there)
            fail_msg("an acknowledged '%c' is not in the audit", letter);
        n++;
    }
    return n;
}

static void kill_once(place *p, const char *token, uint64_t wait_us, size_t *n_begin, size_t *n_end,
                      size_t *n_open)
{
    int fd[2], status;
    wd_buf said = { 0 };
    uint8_t part[4096];
    ssize_t got;
    assert_int_equal(pipe(fd), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        close(fd[0]);
        serve_until_killed(p, token, fd[1]);
    }
    assert_true(pid > 0);
    close(fd[1]);
    assert_int_equal(read(fd[0], part, 33), 33); /* it works */
    wd_buf_put(&said, part, 33);
    usleep((useconds_t)wait_us);
    assert_int_equal(kill(pid, SIGKILL), 0);
    while ((got = read(fd[0], part, sizeof part)) > 0)
        wd_buf_put(&said, part, (size_t)got);
    close(fd[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));

    struct timespec from, to; /* of the processor, so that a busy machine does not count */
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    place_open(p);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    assert_true((double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) * 1e-9 < 1.0);
    json_t *r;
    assert_ok(wd_audit_list(p->g, &p->auditor, &(wd_audit_filter){ .action = "embedding.create" }, &r, &err));
    *n_begin += check_acknowledged(&said, 'b', r, "begin");
    *n_end += check_acknowledged(&said, 'e', r, "end");
    size_t begins = 0, ends = 0;
    *n_open = 0; /* of all kills so far: the audit keeps them */
    for (size_t i = 0; i < json_array_size(r); i++) {
        begins += !strcmp(text_at(r, i, "event"), "begin");
        ends += !strcmp(text_at(r, i, "event"), "end");
        *n_open += !strcmp(text_at(r, i, "outcome"), "interrupted");
    }
    assert_int_equal(begins, ends); /* what was open is closed now */
    json_decref(r);
    place_close(p);
    place_verifies(p);
    wd_buf_free(&said);
}

static void nothing_acknowledged_is_lost_when_the_process_is_killed(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    wd_rand rand;
    size_t n_begin = 0, n_end = 0, n_open = 0;
    const char *rounds = getenv("WARD_TEST_KILLS");
    const long n = rounds ? strtol(rounds, NULL, 10) : 20;
    place_make(&p);
    p.o.checkpoint_every = 5;
    p.o.now_us = real_now; /* four threads ask for it */
    place_open(&p);
    place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, NULL);
    place_close(&p);
    wd_rand_init(&rand, 20261121);
    for (long i = 0; i < n; i++)
        kill_once(&p, token, wd_rand_below(&rand, 60000), &n_begin, &n_end, &n_open);
    print_message(
        "%ld kills: %zu first and %zu last records acknowledged, all there; %zu closed as interrupted\n", n,
        n_begin, n_end, n_open);
    assert_true(n_begin >= (size_t)n);
    place_end(&p);
}

static void *visit_ten_times(void *arg)
{
    const worker *w = arg;
    for (int i = 0; i < 10; i++) {
        wd_visit *v;
        wd_refusal no;
        if (place_ask(w->p, "POST", "/v1/embeddings", w->token, &v, &no, NULL))
            return arg;
        const wd_status begun = wd_visit_begin(v, &(wd_work){ .model = "tiny" }, NULL);
        if (wd_visit_end(&v, &(wd_outcome){ .kind = WD_OUTCOME_DONE }, NULL) || begun)
            return arg;
    }
    return NULL;
}

static void threads_and_programs_make_one_chain(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    pthread_t t[4];
    wd_digest d;
    wd_guard *second;
    place_make(&p);
    p.o.now_us = real_now;
    p.o.checkpoint_every = 7;
    place_open(&p);
    place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, NULL);
    wd_guard_opts beside = p.o; /* as the command line beside the server */
    beside.serve = false;
    assert_ok(wd_guard_open(&beside, &second, &err));
    worker w = { &p, token, -1 };
    for (size_t i = 0; i < WD_COUNT(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, visit_ten_times, &w), 0);
    for (int i = 0; i < 15; i++)
        assert_ok(wd_audit_digest(second, &p.auditor, WD_SPAN_LIT("x"), &d, &err));
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        void *bad;
        assert_int_equal(pthread_join(t[i], &bad), 0);
        assert_null(bad);
    }
    wd_guard_close(second);
    place_close(&p);
    place_verifies(&p);
    assert_int_equal(place_verify(&p).n_record, 2 + 80 + 15);
    place_end(&p);
}

static void a_checkpoint_is_made_when_time_has_passed_and_on_demand(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    json_t *v;
    place_make(&p);
    place_open(&p);
    place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, NULL);
    assert_int_equal(place_verify(&p).n_anchor, 1);
    p.now_us += (int64_t)p.o.checkpoint_s * 1000000;
    place_visit(&p, "GET", "/v1/models", token);
    assert_int_equal(place_verify(&p).n_anchor, 2);
    assert_ok(wd_audit_checkpoint(p.g, &p.auditor, &v, &err));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(v, "checkpoint"), "seq")), 4);
    json_decref(v);
    const wd_audit_report r = place_verify(&p);
    assert_int_equal(r.n_anchor, 3);
    assert_int_equal(r.last, 4);
    place_end(&p);
}

int main(void)
{
    wd_log_set_level(WD_LOG_ERROR); /* failing is what is tested */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_disk_refuses_requests_and_the_next_one_after_it_works),
        cmocka_unit_test(every_failure_of_a_first_start_leaves_a_place_that_starts),
        cmocka_unit_test(every_failure_of_a_change_leaves_both_it_and_its_record_or_none),
        cmocka_unit_test(power_loss_at_any_write_leaves_a_chain_that_verifies),
        cmocka_unit_test(nothing_acknowledged_is_lost_when_the_process_is_killed),
        cmocka_unit_test(threads_and_programs_make_one_chain),
        cmocka_unit_test(a_checkpoint_is_made_when_time_has_passed_and_on_demand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
