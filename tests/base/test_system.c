/* Files, JSON, arenas, threads: what touches the system. */
#include "support/test.h"

#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/cores.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/host.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rand.h"

static void a_failed_write_leaves_the_old_file_whole(void **state)
{
    (void)state;
    char *dir = test_make_dir(), path[600];
    snprintf(path, sizeof path, "%s/report.json", dir);
    assert_ok(wd_file_write(path, WD_SPAN_LIT("old"), &err));
    uint64_t nth = 1;
    unsigned n_after = 0; /* failures when the new file already stands in its place */
    for (;; nth++) {
        wd_inject_failure(nth);
        const wd_status st = wd_file_write(path, WD_SPAN_LIT("newer"), NULL);
        const bool injected = wd_inject_failure(0) >= nth;
        wd_buf b = { 0 };
        assert_ok(wd_file_read(path, 100, &b, &err));
        assert_string_equal((char *)b.p, st ? "old" : "newer");
        wd_buf_free(&b);
        wd_arena *a = wd_arena_create(1 << 16, false);
        char **names;
        size_t n;
        assert_ok(wd_file_list(a, dir, &names, &n, &err));
        assert_int_equal(n, 1); /* no temporary file stays behind */
        wd_arena_destroy(a);
        if (!injected)
            break;
        n_after += st == WD_OK;
    }
    assert_int_equal(n_after, 2); /* the directory: to open it, to sync it */
    assert_true(nth > 3 + n_after);
    test_rm_dir(dir);
}

static void odd_files_are_refused_by_name(void **state)
{
    (void)state;
    char *dir = test_make_dir(), path[600];
    wd_mapped m;
    wd_buf b = { 0 };
    assert_fails(wd_file_map(dir, &m, &err), WD_E_INVALID, "is a directory");
    snprintf(path, sizeof path, "%s/none", dir);
    assert_fails(wd_file_map(path, &m, &err), WD_E_NOT_FOUND, "none: cannot open");
    snprintf(path, sizeof path, "%s/fifo", dir);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_fails(wd_file_read(path, 10, &b, &err), WD_E_INVALID,
                 "is a device or pipe, expected a regular file");
    test_write(dir, "big", "0123456789", 10);
    snprintf(path, sizeof path, "%s/big", dir);
    assert_fails(wd_file_read(path, 9, &b, &err), WD_E_LIMIT, "expected at most 9");
    test_write(dir, "empty", "", 0);
    snprintf(path, sizeof path, "%s/empty", dir);
    assert_ok(wd_file_map(path, &m, &err));
    assert_int_equal(m.n, 0);
    test_rm_dir(dir);
}

static bool huge_pages_on_request(void)
{
    char line[100] = "[never]";
    FILE *f = fopen("/sys/kernel/mm/transparent_hugepage/enabled", "r"); /* its size is not what stat says */
    if (f && !fgets(line, sizeof line, f))
        line[0] = 0;
    if (f)
        fclose(f);
    return !strstr(line, "[never]");
}

/* Whether Linux has the advice for huge pages ("hg") on the mapping that begins at p. */
static bool is_advised(const void *p)
{
    char line[512], start[32];
    bool here = false;
    FILE *f = fopen("/proc/self/smaps", "re");
    assert_non_null(f);
    snprintf(start, sizeof start, "%llx-", (unsigned long long)(uintptr_t)p);
    while (fgets(line, sizeof line, f)) {
        if (!strncmp(line, start, strlen(start)))
            here = true;
        else if (here && !strncmp(line, "VmFlags:", 8))
            break;
    }
    const bool advised = here && strstr(line, " hg");
    fclose(f);
    return advised;
}

static void a_mapping_asks_for_huge_pages_and_keeps_its_bytes(void **state)
{
    (void)state;
    if (!huge_pages_on_request())
        skip();
    enum { N = 5 << 20 };
    char *dir = test_make_dir(), path[600];
    uint8_t *bytes = wd_calloc(N, 1);
    wd_mapped m;
    for (size_t i = 0; i < N; i++)
        bytes[i] = (uint8_t)(i * 7919 >> 8);
    test_write(dir, "weights", bytes, N);
    snprintf(path, sizeof path, "%s/weights", dir);
    assert_ok(wd_file_map(path, &m, &err));
    assert_false(is_advised(m.p));
    wd_file_want_huge(&m);
    assert_true(is_advised(m.p));
    assert_memory_equal(m.p, bytes, N);
    wd_file_unmap(&m);
    wd_file_want_huge(&m); /* nothing */
    wd_free(bytes);
    test_rm_dir(dir);
}

static void json_getters_name_the_field_and_what_was_expected(void **state)
{
    (void)state;
    json_t *v;
    int64_t i;
    bool yes;
    assert_ok(wd_json_parse(WD_SPAN_LIT("{\"a\": 5, \"b\": \"x\", \"n\": null}"), "t.json", &v, &err));
    assert_ok(wd_json_need_int(v, "t.json", "a", 0, 10, &i, &err));
    assert_int_equal(i, 5);
    assert_fails(wd_json_need_int(v, "t.json", "a", 0, 4, &i, &err), WD_E_INVALID, "a is 5, expected 0 to 4");
    assert_fails(wd_json_need_int(v, "t.json", "b", 0, 4, &i, &err), WD_E_INVALID,
                 "b is a string, expected an integer");
    assert_fails(wd_json_need_int(v, "t.json", "n", 0, 4, &i, &err), WD_E_INVALID, "n is missing");
    assert_fails(wd_json_bool(v, "t.json", "a", true, &yes, &err), WD_E_INVALID, "expected true or false");
    json_decref(v);
    assert_fails(wd_json_parse(WD_SPAN_LIT("{\"a\":1,\"a\":2}"), "t.json", &v, &err), WD_E_CORRUPT,
                 "duplicate");
    assert_fails(wd_json_parse(WD_SPAN_LIT("{} x"), "t.json", &v, &err), WD_E_CORRUPT,
                 "t.json: not valid JSON");
    wd_buf deep = { 0 };
    for (int k = 0; k < 100000; k++)
        wd_buf_char(&deep, '[');
    assert_fails(wd_json_parse(wd_buf_view(&deep), "t.json", &v, &err), WD_E_CORRUPT, "depth");
    wd_buf_free(&deep);
}

static void count_down(void *arg)
{
    int *order = arg;
    *order = *order * 10 + 1;
}

static void json_parse_reports_every_failed_allocation(void **state)
{
    (void)state;
    static const char text[] =
        "{\"a name longer than any first buffer of a lexer\": [1, 2.5, \"and a text that "
        "makes that buffer grow a second time, in the middle of a token\"], \"b\": {}}";
    wd_json_use_our_memory();
    uint64_t nth = 1;
    for (;; nth++) {
        json_t *v = NULL;
        wd_inject_failure(nth);
        const wd_status st = wd_json_parse(WD_SPAN_LIT(text), "t.json", &v, NULL);
        if (wd_inject_failure(0) < nth) {
            assert_int_equal(st, WD_OK);
            json_decref(v);
            break;
        }
        assert_int_equal(st, WD_E_NOMEM);
        assert_null(v);
    }
    assert_true(nth > 10);
}

static void arena_runs_deferred_calls_and_keeps_its_limit(void **state)
{
    (void)state;
    wd_arena *a = wd_arena_create(4096, true);
    int order = 0;
    assert_int_equal(wd_arena_defer(a, count_down, &order), WD_OK);
    uint8_t *p = wd_arena_alloc(a, 100, 1);
    assert_non_null(p);
    for (int i = 0; i < 100; i++)
        assert_int_equal(p[i], 0);
    assert_int_equal((uintptr_t)p % 16, 0);
    assert_null(wd_arena_alloc(a, 5000, 1));
    assert_null(wd_arena_alloc(a, SIZE_MAX / 2, 4));
    wd_arena_reset(a);
    assert_int_equal(order, 1);
    assert_int_equal(wd_arena_used(a), 0);
    assert_string_equal(wd_arena_printf(a, "%d-%s", 7, "x"), "7-x");
    wd_arena_destroy(a);
}

typedef struct sum_job {
    size_t n;
    atomic_size_t total, calls;
} sum_job;

static void sum_share(void *arg, unsigned worker, unsigned n_worker)
{
    sum_job *j = arg;
    size_t first, last, s = 0;
    wd_pool_share(j->n, 3, worker, n_worker, &first, &last);
    for (size_t i = first; i < last; i++)
        s += i;
    atomic_fetch_add(&j->total, s);
    atomic_fetch_add(&j->calls, 1);
}

static void pool_covers_every_item_once_for_many_rounds(void **state)
{
    (void)state;
    for (unsigned n_thread = 1; n_thread <= 5; n_thread++) {
        wd_pool *p;
        assert_ok(wd_pool_create(n_thread, &p, &err));
        for (size_t n = 0; n < 500; n++) {
            sum_job j = { .n = n };
            wd_pool_run(p, sum_share, &j);
            assert_int_equal(j.total, n ? n * (n - 1) / 2 : 0);
            assert_int_equal(j.calls, n_thread);
            if (n % 100 == 99)
                usleep(200); /* let the workers fall asleep */
        }
        wd_pool_destroy(p);
    }
}

/* A machine of eight logical processors: cores {0, 4}, {1, 5}, {2, 6} and {3, 7}, in the files of Linux. */
static void show_processors(const char *root, const char *name)
{
    for (unsigned cpu = 0; cpu < 8; cpu++) {
        char dir[700], text[32];
        snprintf(dir, sizeof dir, "%s/sys/devices/system/cpu/cpu%u/topology", root, cpu);
        assert_ok(wd_file_mkdirs(dir, &err));
        test_write(dir, name, text, (size_t)snprintf(text, sizeof text, "%u,%u\n", cpu % 4, cpu % 4 + 4));
    }
}

static void limit_group(const char *root, const char *group, const char *text)
{
    char dir[700];
    snprintf(dir, sizeof dir, "%s/sys/fs/cgroup%s", root, group);
    assert_ok(wd_file_mkdirs(dir, &err));
    test_write(dir, "cpu.max", text, strlen(text));
}

static unsigned cores_of(const char *root, unsigned long mask)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    for (size_t cpu = 0; cpu < 64; cpu++) {
        if (mask >> cpu & 1)
            CPU_SET(cpu, &set);
    }
    return wd_core_count_below(root, &set, sizeof set);
}

static void halves_of_a_core_count_once(void **state)
{
    (void)state;
    static const char *const names[] = { "thread_siblings_list", "core_cpus_list" };
    for (size_t i = 0; i < WD_COUNT(names); i++) {
        char *root = test_make_dir();
        assert_int_equal(cores_of(root, 0xFF), 8); /* nothing is told: each counts */
        show_processors(root, names[i]);
        assert_int_equal(cores_of(root, 0xFF), 4);
        assert_int_equal(cores_of(root, 0x0F), 4);
        assert_int_equal(cores_of(root, 0xF0), 4); /* only the second halves are allowed */
        assert_int_equal(cores_of(root, 0x13), 2); /* 0, 1 and 4 */
        assert_int_equal(cores_of(root, 0), 1);
        char dir[700];
        snprintf(dir, sizeof dir, "%s/sys/devices/system/cpu/cpu1/topology", root);
        test_write(dir, names[i], "0-1,9-", 6); /* another way to write a list, cut off */
        assert_int_equal(cores_of(root, 0x03), 1);
        test_write(dir, names[i], "no list", 7);
        assert_int_equal(cores_of(root, 0x03), 2);
        test_rm_dir(root);
    }
    assert_in_range(wd_core_count(), 1, sysconf(_SC_NPROCESSORS_CONF));
}

static void a_control_group_bounds_the_cores(void **state)
{
    (void)state;
    char *root = test_make_dir(), dir[700];
    snprintf(dir, sizeof dir, "%s/proc/self", root);
    assert_ok(wd_file_mkdirs(dir, &err));
    static const char groups[] = "1:cpu:/elsewhere\n0::/hospital.slice/ward.service\n";
    test_write(dir, "cgroup", groups, strlen(groups));
    assert_int_equal(cores_of(root, 0xFF), 8);
    limit_group(root, "/hospital.slice/ward.service", "max 100000\n");
    limit_group(root, "/elsewhere", "100000 100000\n");
    assert_int_equal(cores_of(root, 0xFF), 8);
    limit_group(root, "/hospital.slice", "550000 100000\n");
    assert_int_equal(cores_of(root, 0xFF), 5);
    assert_int_equal(cores_of(root, 0x07), 3);
    limit_group(root, "/hospital.slice/ward.service", "50000 100000\n");
    assert_int_equal(cores_of(root, 0xFF), 1);
    limit_group(root, "/hospital.slice/ward.service", "1 0\n");
    assert_int_equal(cores_of(root, 0xFF), 5);
    test_write(dir, "cgroup", "0::/\n", 5); /* in a container: its own group is the topmost one */
    assert_int_equal(cores_of(root, 0xFF), 8);
    limit_group(root, "", "200000 100000\n");
    assert_int_equal(cores_of(root, 0xFF), 2);
    test_rm_dir(root);
}

enum { DEALT = 1500 };

typedef struct deal_check {
    size_t n, grain, most;
    size_t held; /* pieces that begin here wait until all others are done; SIZE_MAX: none */
    unsigned n_worker;
    atomic_uint seen[DEALT];
    atomic_size_t done, largest;
    atomic_bool wrong, gave_up;
} deal_check;

static void deal_piece(void *arg, unsigned worker, size_t first, size_t last)
{
    deal_check *c = arg;
    if (first >= last || last > c->n || first % c->grain || (last % c->grain && last != c->n) ||
        last - first > WD_MAX(c->most, c->grain) || worker >= c->n_worker)
        c->wrong = true;
    if (first == c->held) {
        const uint64_t until = wd_clock_ns() + 10 * UINT64_C(1000000000);
        while (c->done < c->n - (last - first)) {
            if (wd_clock_ns() > until) {
                c->gave_up = true;
                break;
            }
            sched_yield();
        }
    }
    for (size_t i = first; i < last; i++)
        c->seen[i]++;
    c->done += last - first;
    for (size_t was = c->largest;
         was < last - first && !atomic_compare_exchange_weak(&c->largest, &was, last - first);) {
    }
}

static void check_deal(wd_pool *p, unsigned n_thread, size_t n, size_t grain, size_t most, size_t held)
{
    static deal_check c;
    memset(&c, 0, sizeof c);
    c.n = n;
    c.grain = grain;
    c.most = most;
    c.held = held;
    c.n_worker = n_thread;
    wd_pool_deal(p, n, grain, most, deal_piece, &c);
    assert_false(c.wrong);
    assert_false(c.gave_up);
    assert_int_equal(c.done, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(c.seen[i], 1);
    if (n >= 4 * most * n_thread && most >= grain) /* large pieces while there is much */
        assert_int_equal(c.largest, most / grain * grain);
}

static void pool_deals_every_item_once(void **state)
{
    (void)state;
    check_deal(NULL, 1, 1000, 16, 64, SIZE_MAX);
    for (unsigned n_thread = 1; n_thread <= 5; n_thread++) {
        wd_pool *p;
        assert_ok(wd_pool_create(n_thread, &p, &err));
        for (size_t n = 0; n < DEALT; n += n < 200 ? 1 : 97) {
            check_deal(p, n_thread, n, 1, 1, SIZE_MAX);
            check_deal(p, n_thread, n, 16, 64, SIZE_MAX);
            check_deal(p, n_thread, n, 16, 5, SIZE_MAX); /* never less than a grain */
            check_deal(p, n_thread, n, 7, 30, SIZE_MAX);
        }
        wd_pool_destroy(p);
    }
}

/* Whoever has the first piece of a share waits for all the others to be done, so they must be done by others. */
static void pool_takes_the_work_of_a_worker_that_is_held_up(void **state)
{
    (void)state;
    for (unsigned n_thread = 2; n_thread <= 5; n_thread++) {
        wd_pool *p;
        assert_ok(wd_pool_create(n_thread, &p, &err));
        for (int round = 0; round < 50; round++) {
            for (unsigned i = 0; i < n_thread; i++) {
                size_t first, last;
                wd_pool_share(1280, 16, i, n_thread, &first, &last);
                check_deal(p, n_thread, 1280, 16, 64, first);
            }
        }
        wd_pool_destroy(p);
    }
}

static void random_numbers_repeat_and_are_level(void **state)
{
    (void)state;
    wd_rand a, b;
    wd_rand_init(&a, 42);
    wd_rand_init(&b, 42);
    size_t count[7] = { 0 };
    double sum = 0, sum2 = 0;
    for (int i = 0; i < 70000; i++) {
        const uint64_t v = wd_rand_below(&a, 7);
        assert_int_equal(v, wd_rand_below(&b, 7));
        count[v]++;
        const double z = wd_rand_normal(&a);
        assert_true(z == wd_rand_normal(&b));
        sum += z;
        sum2 += z * z;
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(count[i], 9500, 10500);
    assert_true(sum / 70000 < 0.02 && sum / 70000 > -0.02 && sum2 / 70000 > 0.97 && sum2 / 70000 < 1.03);
}

/* RFC 7693's algorithm with 32 bytes of output; value from Python's hashlib.blake2b(b"abc", digest_size=32).
 */
static void digest_is_blake2b_256(void **state)
{
    (void)state;
    static const char want[] = "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319";
    wd_digest d;
    char hex[65];
    wd_digest_of(WD_SPAN_LIT("abc"), &d);
    wd_digest_hex(&d, hex);
    assert_string_equal(hex, want);
    wd_digester *g = wd_digester_create();
    wd_digester_add(g, WD_SPAN_LIT("a"));
    wd_digester_add(g, WD_SPAN_LIT("bc"));
    wd_digester_end(g, &d);
    wd_digest_hex(&d, hex);
    assert_string_equal(hex, want);
}

static void large_blocks_are_touched_in_huge_pages(void **state)
{
    (void)state;
    enum { BYTES = 64 << 20 };
    for (size_t bytes = 64; bytes <= BYTES; bytes *= 32) {
        struct rusage before, after;
        uint8_t *p = wd_alloc_aligned(bytes, 1);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        getrusage(RUSAGE_SELF, &before);
        memset(p, 1, bytes);
        getrusage(RUSAGE_SELF, &after);
        const long faults = after.ru_minflt - before.ru_minflt;
        wd_free(p);
        /* 16,384 without; memory may be in pieces, and a sanitizer has its shadow in small pages */
        if (bytes == BYTES && !WD_SANITIZED && huge_pages_on_request() && faults > BYTES / 4096 / 2)
            fail_msg("%ld faults for %zu bytes", faults, bytes);
    }
}

static void only_this_machine_is_loopback(void **state)
{
    (void)state;
    static const char *const here[] = { "localhost", "127.0.0.1", "127.255.0.3", "[::1]" };
    static const char *const there[] = {
        "127.evil.example", "127.0.0.1.evil.example", "localhost.example", "128.0.0.1", "[::2]", "0.0.0.0", ""
    };
    for (size_t i = 0; i < WD_COUNT(here); i++)
        assert_true(wd_host_is_loopback(here[i]));
    for (size_t i = 0; i < WD_COUNT(there); i++)
        assert_false(wd_host_is_loopback(there[i]));
}

static void error_text_is_one_line_and_whole_characters(void **state)
{
    (void)state;
    wd_err err;
    char long_text[1000];
    memset(long_text, 'x', sizeof long_text);
    memcpy(long_text + WD_ERR_TEXT_MAX - 3, "\xe4\xb8\xad", 4);
    assert_int_equal(WD_FAIL(&err, WD_E_INVALID, "%s", long_text), WD_E_INVALID);
    assert_int_equal(strlen(err.text), WD_ERR_TEXT_MAX - 3);
    (void)WD_FAIL(&err, WD_E_IO, "a\nb\x1b[0m");
    assert_string_equal(err.text, "a?b?[0m");
    (void)WD_FAIL(&err, WD_E_IO, "again: %s", err.text); /* its own text as an argument */
    assert_string_equal(err.text, "again: a?b?[0m");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_write_leaves_the_old_file_whole),
        cmocka_unit_test(odd_files_are_refused_by_name),
        cmocka_unit_test(a_mapping_asks_for_huge_pages_and_keeps_its_bytes),
        cmocka_unit_test(json_getters_name_the_field_and_what_was_expected),
        cmocka_unit_test(json_parse_reports_every_failed_allocation),
        cmocka_unit_test(arena_runs_deferred_calls_and_keeps_its_limit),
        cmocka_unit_test(pool_covers_every_item_once_for_many_rounds),
        cmocka_unit_test(pool_deals_every_item_once),
        cmocka_unit_test(pool_takes_the_work_of_a_worker_that_is_held_up),
        cmocka_unit_test(halves_of_a_core_count_once),
        cmocka_unit_test(a_control_group_bounds_the_cores),
        cmocka_unit_test(random_numbers_repeat_and_are_level),
        cmocka_unit_test(digest_is_blake2b_256),
        cmocka_unit_test(large_blocks_are_touched_in_huge_pages),
        cmocka_unit_test(only_this_machine_is_loopback),
        cmocka_unit_test(error_text_is_one_line_and_whole_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
