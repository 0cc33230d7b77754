/* The sandbox: each misdeed of a decoder is one sentence about that input, and the next call works. */
#include "support/test.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "media/decode_test.h"
#include "media/sandbox_inner.h"

typedef struct heard {
    uint64_t n_message, bytes;
    wd_buf all;
    uint64_t stop_after; /* messages, 0 = never */
} heard;

static wd_status hear(void *ctx, uint32_t type, wd_span bytes, wd_err *err)
{
    heard *h = ctx;
    (void)type;
    h->n_message++;
    h->bytes += bytes.n;
    if (h->bytes < ((uint64_t)8 << 20))
        wd_buf_span(&h->all, bytes);
    if (h->stop_after && h->n_message >= h->stop_after)
        return WD_FAIL(err, WD_E_INVALID, "heard enough");
    return WD_OK;
}

static wd_sandbox_limits small_limits(void)
{
    wd_sandbox_limits l = WD_SANDBOX_LIMITS_DEFAULT;
    l.memory_bytes = (size_t)256 << 20;
    l.timeout_ms = 2000;
    l.output_bytes = (uint64_t)16 << 20;
    l.message_bytes = (size_t)1 << 20;
    return l;
}

static wd_status call(wd_test_deed deed, uint64_t arg, const char *input, const wd_sandbox_limits *limits,
                      const atomic_bool *cancel, heard *h, wd_err *err)
{
    const wd_test_request r = { .deed = deed, .arg = arg };
    return wd_sandbox_run_bytes(WD_DECODER_TEST, "x.bin", wd_span_of(&r, sizeof r), wd_span_str(input),
                                limits, cancel, hear, h, err);
}

static void check_echo(void)
{
    heard h = { 0 };
    assert_ok(call(WD_TEST_ECHO, 4, "hello, world", NULL, NULL, &h, &err));
    assert_int_equal(h.n_message, 3);
    assert_string_equal((char *)h.all.p, "hello, world");
    wd_buf_free(&h.all);
}

/* deed must fail so, and the sandbox must work afterwards. */
static void check(wd_test_deed deed, wd_status want, const char *part)
{
    const wd_sandbox_limits limits = small_limits();
    heard h = { 0 };
    assert_fails(call(deed, 0, "input", &limits, NULL, &h, &err), want, part);
    wd_buf_free(&h.all);
    check_echo();
}

static void echo_gives_the_input_back(void **state)
{
    (void)state;
    check_echo();
    heard h = { 0 };
    assert_ok(call(WD_TEST_ECHO, 0, "", NULL, NULL, &h, &err));
    assert_int_equal(h.n_message, 0);
}

static void large_messages_arrive_whole(void **state)
{
    (void)state;
    const size_t n = 40000000;
    char *big = wd_calloc(n + 1, 1);
    heard h = { 0 };
    assert_non_null(big);
    memset(big, 'a', n);
    assert_ok(call(WD_TEST_ECHO, 30000000, big, NULL, NULL, &h, &err));
    assert_int_equal(h.bytes, n);
    assert_int_equal(h.n_message, 2);
    wd_buf_free(&h.all);
    wd_free(big);
}

static void decoder_sentence_comes_with_the_name_of_the_input(void **state)
{
    (void)state;
    heard h = { 0 };
    assert_fails(call(WD_TEST_SAY, WD_E_CORRUPT, "row 3 is short", NULL, NULL, &h, &err), WD_E_CORRUPT,
                 "x.bin: row 3 is short");
    assert_fails(call(WD_TEST_SAY, WD_E_UNSUPPORTED, "a\nb\xff", NULL, NULL, &h, &err), WD_E_UNSUPPORTED,
                 "x.bin: a?b\xef\xbf\xbd");
    assert_fails(call(WD_TEST_SAY, WD_E_NOMEM, "none", NULL, NULL, &h, &err), WD_E_LIMIT,
                 "x.bin: decoding needs more than the 2048 MiB of memory that it may use");
}

static void crash_is_one_sentence(void **state)
{
    (void)state;
    if (WD_SANDBOX__SANITIZER) { /* its handlers report and exit */
        check(WD_TEST_SEGV, WD_E_CRASHED, "x.bin: the decoder ");
        check(WD_TEST_ABORT, WD_E_CRASHED, "x.bin: the decoder ");
        return;
    }
    check(WD_TEST_SEGV, WD_E_CRASHED, "x.bin: the decoder stopped (signal 11)");
    check(WD_TEST_ABORT, WD_E_CRASHED, "x.bin: the decoder stopped (signal 6)");
    check(WD_TEST_RECURSE, WD_E_CRASHED, "x.bin: the decoder stopped (signal 11)");
}

static void endless_loop_meets_the_clock(void **state)
{
    (void)state;
    const double t0 = wd_clock_s();
    check(WD_TEST_LOOP, WD_E_LIMIT, "x.bin: the decoder gave no answer for 2 s");
    check(WD_TEST_DRIBBLE, WD_E_LIMIT, "x.bin: the decoder gave no answer for 2 s");
    assert_true(wd_clock_s() - t0 < 8);
}

static void endless_allocation_meets_the_limit(void **state)
{
    (void)state;
    if (!wd_sandbox__memory_is_limited())
        skip(); /* a sanitizer's shadow does not live under RLIMIT_AS */
    check(WD_TEST_ALLOC, WD_E_LIMIT, "x.bin: decoding needs more than the 256 MiB of memory that it may use");
}

static void forbidden_calls_stop_the_decoder(void **state)
{
    (void)state;
    static const wd_test_deed deeds[] = {
        WD_TEST_OPEN, WD_TEST_SOCKET, WD_TEST_FORK,     WD_TEST_THREAD,
        WD_TEST_EXEC, WD_TEST_KILL,   WD_TEST_MAP_CODE, WD_TEST_WRITE_INPUT
    };
    if (!wd_sandbox__calls_are_filtered())
        skip();
    for (size_t i = 0; i < WD_COUNT(deeds); i++)
        check(deeds[i], WD_E_CRASHED, "x.bin: the decoder made a system call that it may not make");
}

static void endless_output_meets_the_limit(void **state)
{
    (void)state;
    check(WD_TEST_WRITE_ENDLESS, WD_E_LIMIT, "x.bin: decoding gives more than 16777216 bytes");
    check(WD_TEST_EMPTY_ENDLESS, WD_E_LIMIT, "x.bin: decoding gives more than 16777216 bytes");
}

static void lies_are_not_believed(void **state)
{
    (void)state;
    check(WD_TEST_LIE_LENGTH, WD_E_LIMIT,
          "x.bin: the decoder announced a message of 1152921504606846976 bytes, at most 1048576");
    check(WD_TEST_LIE_ZERO, WD_E_CRASHED, "x.bin: the decoder's answer is not in its own format");
    check(WD_TEST_LIE_STATUS, WD_E_CRASHED, "x.bin: the decoder's answer is not in its own format");
    check(WD_TEST_LIE_SHORT, WD_E_CRASHED, "x.bin: the decoder's answer is not in its own format");
    check(WD_TEST_STOP_HALFWAY, WD_E_CRASHED, "x.bin: the decoder ended without an answer (exit 0)");
    check(WD_TEST_STOP_SILENT, WD_E_CRASHED, "x.bin: the decoder ended without an answer (exit 0)");
}

static void caller_can_stop_the_decoder(void **state)
{
    (void)state;
    heard h = { .stop_after = 2 };
    assert_fails(call(WD_TEST_WRITE_ENDLESS, 0, "", NULL, NULL, &h, &err), WD_E_INVALID, "heard enough");
    assert_int_equal(h.n_message, 2);
    wd_buf_free(&h.all);
    check_echo();
}

static atomic_bool stop_now;

static void *stop_soon(void *arg)
{
    usleep(100000);
    stop_now = true;
    return arg;
}

static void cancel_stops_a_silent_decoder(void **state)
{
    (void)state;
    pthread_t t;
    heard h = { 0 };
    const double t0 = wd_clock_s();
    stop_now = false;
    assert_int_equal(pthread_create(&t, NULL, stop_soon, NULL), 0);
    assert_fails(call(WD_TEST_LOOP, 0, "", NULL, &stop_now, &h, &err), WD_E_CANCELLED,
                 "x.bin: decoding was cancelled");
    pthread_join(t, NULL);
    assert_true(wd_clock_s() - t0 < 1.5);
    check_echo();
}

static void *many_calls(void *arg)
{
    static const wd_test_deed deeds[] = { WD_TEST_ECHO, WD_TEST_STOP_SILENT, WD_TEST_ECHO, WD_TEST_LIE_ZERO };
    uintptr_t wrong = 0;
    (void)arg;
    for (size_t i = 0; i < 24; i++) {
        heard h = { 0 };
        wd_err err = { 0 };
        const wd_test_deed d = deeds[i % WD_COUNT(deeds)];
        const wd_status st = call(d, 3, "some bytes", NULL, NULL, &h, &err);
        if (d == WD_TEST_ECHO)
            wrong += st != WD_OK || h.bytes != 10;
        else
            wrong += st != WD_E_CRASHED;
        wd_buf_free(&h.all);
    }
    return (void *)wrong; /* NOLINT */
}

static void threads_may_call_at_once(void **state)
{
    (void)state;
    pthread_t t[6];
    for (size_t i = 0; i < WD_COUNT(t); i++)
        assert_int_equal(pthread_create(&t[i], NULL, many_calls, NULL), 0);
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        void *wrong = NULL;
        pthread_join(t[i], &wrong);
        assert_null(wrong);
    }
}

static void shared_descriptor_is_read_from_its_start_by_each(void **state)
{
    (void)state;
    char *dir = test_make_dir(), path[600];
    const wd_test_request r = { .deed = WD_TEST_ECHO };
    uint64_t size;
    test_write(dir, "f", "0123456789", 10);
    snprintf(path, sizeof path, "%s/f", dir);
    const int fd = wd_file_open_read(path, &size, NULL);
    assert_true(fd >= 0);
    assert_int_equal(lseek(fd, 5, SEEK_SET), 5);
    for (int i = 0; i < 2; i++) {
        heard h = { 0 };
        assert_ok(
            wd_sandbox_run(WD_DECODER_TEST, "f", wd_span_of(&r, sizeof r), fd, NULL, NULL, hear, &h, &err));
        assert_string_equal((char *)h.all.p, "0123456789");
        wd_buf_free(&h.all);
    }
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 5);
    close(fd);
    const int dir_fd = open(dir, O_RDONLY | O_DIRECTORY);
    heard h = { 0 };
    assert_fails(
        wd_sandbox_run(WD_DECODER_TEST, "d", wd_span_of(&r, sizeof r), dir_fd, NULL, NULL, hear, &h, &err),
        WD_E_INVALID, "d: not a regular file");
    close(dir_fd);
    test_rm_dir(dir);
}

static void no_descriptor_leaks(void **state)
{
    (void)state;
    const int before = dup(0);
    assert_true(before >= 0);
    close(before);
    check(WD_TEST_STOP_SILENT, WD_E_CRASHED, "ended");
    check(WD_TEST_LIE_ZERO, WD_E_CRASHED, "format");
    const int after = dup(0);
    close(after);
    assert_int_equal(before, after);
}

/* The n-th allocation of the parent fails: an error, and the next call works. */
static void failed_allocation_is_an_error(void **state)
{
    (void)state;
    bool done = false;
    for (uint64_t n = 1; !done; n++) {
        heard h = { 0 };
        wd_err err = { 0 };
        wd_inject_failure(n);
        const wd_status st = call(WD_TEST_ECHO, 4, "hello, world", NULL, NULL, &h, &err);
        const bool hit = wd_inject_failure(0) >= n;
        if (hit && st != WD_OK)
            assert_int_equal(st, WD_E_NOMEM);
        done = !hit;
        if (done)
            assert_int_equal(st, WD_OK);
        wd_buf_free(&h.all);
        assert_true(n < 1000);
    }
    check_echo();
}

static void dead_zygote_is_reported_and_can_be_started_again(void **state)
{
    (void)state;
    heard h = { 0 };
    const pid_t old = wd_sandbox__zygote_pid();
    assert_int_equal(kill(old, SIGKILL), 0);
    for (int i = 0; i < 3; i++)
        assert_fails(call(WD_TEST_ECHO, 0, "hello", NULL, NULL, &h, &err), WD_E_IO,
                     "x.bin: the decoder process");
    assert_ok(wd_sandbox_start(&err));
    assert_int_not_equal(wd_sandbox__zygote_pid(), old);
    check_echo();
    assert_ok(wd_sandbox_start(&err)); /* idempotent */
    wd_sandbox_stop();
    assert_fails(call(WD_TEST_ECHO, 0, "hello", NULL, NULL, &h, &err), WD_E_INTERNAL, "not started");
    assert_ok(wd_sandbox_start(&err));
    check_echo();
    wd_buf_free(&h.all);
}

static int start(void **state)
{
    (void)state;
    wd_err err;
    return wd_sandbox_start(&err) != WD_OK;
}

static int stop(void **state)
{
    (void)state;
    wd_sandbox_stop();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(echo_gives_the_input_back),
        cmocka_unit_test(large_messages_arrive_whole),
        cmocka_unit_test(decoder_sentence_comes_with_the_name_of_the_input),
        cmocka_unit_test(crash_is_one_sentence),
        cmocka_unit_test(endless_loop_meets_the_clock),
        cmocka_unit_test(endless_allocation_meets_the_limit),
        cmocka_unit_test(forbidden_calls_stop_the_decoder),
        cmocka_unit_test(endless_output_meets_the_limit),
        cmocka_unit_test(lies_are_not_believed),
        cmocka_unit_test(caller_can_stop_the_decoder),
        cmocka_unit_test(cancel_stops_a_silent_decoder),
        cmocka_unit_test(threads_may_call_at_once),
        cmocka_unit_test(shared_descriptor_is_read_from_its_start_by_each),
        cmocka_unit_test(no_descriptor_leaks),
        cmocka_unit_test(failed_allocation_is_an_error),
        cmocka_unit_test(dead_zygote_is_reported_and_can_be_started_again),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
