/* Shipping the audit: what arrives, what a receiver that fails leaves, whom the sender trusts. */
#include "guard/place.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "base/log.h"
#include "guard/receiver.h"
#include "guard/ship.h"
#include "guard/ship_tls.h"

#define PATIENCE_S 20

typedef struct rig {
    place p;
    receiver r;
    wd_ship_opts o;
    char token[WD_TOKEN_MAX];
} rig;

static int64_t real_now(void *clock)
{
    struct timespec t;
    (void)clock;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* 2 + 2 n records, checkpoints at 1, 9, 17, ... */
static void rig_make(rig *x, int n)
{
    place_make(&x->p);
    x->p.o.checkpoint_every = 8;
    x->p.o.now_us = real_now; /* threads ask for it */
    place_open(&x->p);
    place_key(&x->p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, x->token, NULL);
    for (int i = 0; i < n; i++)
        place_visit(&x->p, "POST", "/v1/embeddings", x->token);
    receiver_start(&x->r, x->p.dir);
    x->o = WD_SHIP_OPTS_DEFAULT;
    x->o.host = "localhost";
    x->o.port = x->r.port;
    x->o.ca = x->r.cert;
    x->o.poll_ms = 20;
    x->o.retry_ms = 100;
}

static void rig_end(rig *x)
{
    receiver_end(&x->r);
    place_close(&x->p);
    place_verifies(&x->p);
    place_end(&x->p);
}

static wd_status ship(rig *x, wd_ship_report *report, wd_err *e)
{
    return wd_audit_ship(x->p.g, &x->p.auditor, &x->o, report, e);
}

static int64_t last_record(const rig *x)
{
    sqlite3 *db;
    sqlite3_stmt *q;
    assert_int_equal(sqlite3_open(x->p.db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT max(seq) FROM audit", -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    const int64_t n = sqlite3_column_int64(q, 0);
    sqlite3_finalize(q);
    sqlite3_close(db);
    return n;
}

static wd_status gather(void *ctx, wd_span line, wd_err *e)
{
    wd_buf *b = ctx;
    wd_buf_span(b, line);
    wd_buf_char(b, '\n');
    return wd_buf_check(b, "lines", e);
}

/* The lines of text that hold a checkpoint, from its JSON on, as an anchors file. */
static void checkpoints_of(const receiver_text *text, wd_buf *out)
{
    for (const char *line = text->p; line && *line; line = strchr(line, '\n') + 1) {
        const char *end = strchr(line, '\n'), *at = strstr(line, "{\"checkpoint\"");
        if (at && at < end)
            wd_buf_put(out, at, (size_t)(end + 1 - at));
    }
}

static void what_arrives_is_the_export_and_the_anchors(void **state)
{
    (void)state;
    rig x;
    wd_ship_report r;
    wd_buf want = { 0 }, have = { 0 }, anchors = { 0 };
    rig_make(&x, 12);
    assert_ok(ship(&x, &r, &err));
    assert_int_equal(r.n_record, 27); /* 26, and that it was asked for */
    assert_int_equal(r.seq, 27);
    assert_int_equal(r.n_checkpoint, 4);
    assert_int_equal(r.n_connection, 1);
    assert_int_equal(r.n_failed, 0);
    assert_ok(wd_audit_export(x.p.g, &x.p.auditor, &(wd_audit_filter){ .last = 28 }, WD_AUDIT_RFC5424, gather,
                              &want, &err));
    wd_buf_clear(&have);
    checkpoints_of(&x.r.got, &have);
    assert_ok(wd_file_read(x.p.anchors, 1 << 20, &anchors, &err));
    assert_true(wd_span_eq(wd_buf_view(&have), wd_buf_view(&anchors)));
    /* the records come first; the export's own record is not among them */
    assert_int_equal(x.r.got.n > 1000, 1);
    const size_t last = wd_span_find(wd_buf_view(&want), WD_SPAN_LIT(" audit.export "), 0);
    assert_true(last != SIZE_MAX);
    const wd_span records = wd_span_sub(wd_buf_view(&want), 0, last - 60);
    assert_true(records.n > 5000 && x.r.got.n > records.n);
    assert_memory_equal(x.r.got.p, records.p, records.n);

    place_visit(&x.p, "POST", "/v1/embeddings", x.token); /* 29 and 30 */
    assert_ok(ship(&x, &r, &err));
    assert_int_equal(r.n_record, 4); /* the export's, the visit's two, and this one's */
    assert_int_equal(r.seq, 31);
    assert_int_equal(receiver_has(&x.r), 31);
    assert_int_equal(x.r.host.n_accepted, 2);
    wd_buf_free(&want);
    wd_buf_free(&have);
    wd_buf_free(&anchors);
    rig_end(&x);
}

static void each_receiver_has_a_cursor_of_its_own_and_batches_are_connections(void **state)
{
    (void)state;
    rig x;
    receiver second;
    char dir[600];
    wd_ship_report r;
    rig_make(&x, 12);
    snprintf(dir, sizeof dir, "%s/2", x.p.dir);
    assert_ok(wd_file_mkdirs(dir, &err));
    receiver_start(&second, dir);
    x.o.batch = 5;
    assert_ok(ship(&x, &r, &err));
    assert_int_equal(r.n_connection, 6);
    assert_int_equal(receiver_has(&x.r), 27);
    x.o.port = second.port;
    x.o.ca = NULL;
    x.o.fingerprint = second.fingerprint;
    assert_ok(ship(&x, &r, &err));
    assert_int_equal(r.n_record, 28);
    assert_int_equal(receiver_has(&second), 28);
    place_close(&x.p); /* and cursors outlive the program */
    place_open(&x.p);
    assert_ok(ship(&x, &r, &err));
    assert_int_equal(r.n_record, 1);
    receiver_end(&second);
    rig_end(&x);
}

/* Wherever the receiver fails, the cursor is not ahead of what it has read; after it, everything is there. */
static void a_receiver_that_fails_anywhere_loses_nothing(void **state)
{
    (void)state;
    static const receiver_way ways[] = { RECEIVER_DIES, RECEIVER_RESETS, RECEIVER_SHUTS };
    rig x;
    wd_ship_report r;
    unsigned n_failed = 0;
    rig_make(&x, 45);
    for (size_t w = 0; w < WD_COUNT(ways); w++) {
        const int64_t before = receiver_has(&x.r);
        for (size_t after = 0; after < 40000; after = after ? after * 2 + 1 : 1) {
            wd_err why = { 0 };
            receiver_set(&x.r, ways[w], after);
            const wd_status st = ship(&x, &r, &why);
            const int64_t has = receiver_has(&x.r);
            if (st != WD_E_IO || r.seq != before || r.seq > has || !*why.text)
                fail_msg("way %zu, %zu bytes: the cursor is at %lld of %lld: %s", w, after, (long long)r.seq,
                         (long long)has, why.text);
            n_failed++;
        }
        receiver_set(&x.r, w ? RECEIVER_GOOD : RECEIVER_CURT, 0);
        assert_ok(ship(&x, &r, &err));
        assert_int_equal(r.seq, last_record(&x));
        assert_int_equal(receiver_has(&x.r), last_record(&x));
        for (int i = 0; i < 45; i++) /* more than 40000 bytes again */
            place_visit(&x.p, "POST", "/v1/embeddings", x.token);
    }
    assert_true(n_failed >= 30);
    receiver_set(&x.r, RECEIVER_HANGS_UP, 0);
    assert_fails(ship(&x, &r, &err), WD_E_IO,
                 "localhost: the receiver broke off the connection in the handshake");
    receiver_stop(&x.r);
    assert_fails(ship(&x, &r, &err), WD_E_IO, "cannot connect: Connection refused");
    receiver_again(&x.r);
    x.o.host = "no-such-host.invalid";
    assert_fails(ship(&x, &r, &err), WD_E_IO, "no-such-host.invalid: no such host");
    rig_end(&x);
}

static void only_the_right_receiver_is_told_anything(void **state)
{
    (void)state;
    rig x;
    wd_ship_report r;
    receiver other;
    char dir[600];
    rig_make(&x, 2);
    snprintf(dir, sizeof dir, "%s/2", x.p.dir);
    assert_ok(wd_file_mkdirs(dir, &err));
    receiver_start(&other, dir);
    x.o.ca = other.cert;
    assert_fails(ship(&x, &r, &err), WD_E_AUTH, "localhost: the receiver's certificate does not count: ");
    x.o.ca = NULL; /* the system's authorities do not know it either */
    const wd_status st = ship(&x, &r, NULL);
    assert_true(st == WD_E_AUTH || st == WD_E_NOT_FOUND);
    x.o.ca = x.r.cert;
    x.o.host = "127.0.0.1"; /* it is "localhost" by its certificate */
    assert_fails(ship(&x, &r, &err), WD_E_AUTH, "The name in the certificate does not match");
    x.o.name = "localhost";
    assert_ok(ship(&x, &r, &err));
    const size_t told = x.r.got.n;
    x.o.ca = x.o.name = NULL;
    x.o.fingerprint = other.fingerprint;
    assert_fails(ship(&x, &r, &err), WD_E_AUTH,
                 "127.0.0.1: the receiver's certificate has another fingerprint");
    assert_int_equal(x.r.got.n, told);
    assert_int_equal(r.seq, receiver_has(&x.r));
    receiver_end(&other);
    rig_end(&x);
}

static void a_receiver_that_asks_who_sends_gets_the_certificate(void **state)
{
    (void)state;
    rig x;
    wd_ship_report r;
    rig_make(&x, 2);
    receiver_set(&x.r, RECEIVER_WANTS, 0);
    assert_fails(ship(&x, &r, &err), WD_E_AUTH, "localhost: the receiver refused the connection: ");
    assert_int_equal(r.seq, 0);
    x.o.cert = x.r.cert; /* its own authority */
    x.o.key = x.r.key;
    assert_ok(ship(&x, &r, &err));
    assert_int_equal(receiver_has(&x.r), last_record(&x));
    rig_end(&x);
}

static void what_cannot_be_is_a_sentence(void **state)
{
    (void)state;
    rig x;
    wd_ship_report r;
    uint8_t b[WD_FINGERPRINT_BYTES];
    char text[256];
    rig_make(&x, 0);
    const wd_ship_opts good = x.o;
    static const char *const hosts[] = { "", "a b", "a/b", "a\"b", "a\nb" }, *const ports[] = { "", "x",
                                                                                                "65536", "-1",
                                                                                                "000006514" };
    for (size_t i = 0; i < WD_COUNT(hosts); i++) {
        x.o = good;
        x.o.host = hosts[i];
        assert_fails(ship(&x, &r, &err), WD_E_USAGE, "the receiver is a name or a numeric address");
        x.o = good;
        x.o.port = ports[i];
        assert_fails(ship(&x, &r, &err), WD_E_USAGE, "the receiver's port is a number");
    }
    x.o = good;
    x.o.key = x.r.key;
    assert_fails(ship(&x, &r, &err), WD_E_USAGE, "go together");
    x.o.cert = x.r.key;
    assert_fails(ship(&x, &r, &err), WD_E_CORRUPT, "expected PEM");
    x.o.cert = "/nonexistent.pem";
    assert_fails(ship(&x, &r, &err), WD_E_NOT_FOUND, "/nonexistent.pem: cannot be read");
    x.o = good;
    x.o.ca = "/nonexistent.pem";
    assert_fails(ship(&x, &r, &err), WD_E_NOT_FOUND, "/nonexistent.pem: cannot be read");
    x.o.ca = x.r.key;
    assert_true(ship(&x, &r, NULL) != WD_OK);
    x.o.ca = NULL;
    for (size_t cut = 0; cut < strlen(x.r.fingerprint); cut += 5) {
        snprintf(text, sizeof text, "%.*s", (int)cut, x.r.fingerprint);
        x.o.fingerprint = text;
        assert_fails(ship(&x, &r, &err), WD_E_USAGE, "a fingerprint is \"sha-256:\"");
    }
    assert_true(wd_fingerprint_parse(x.r.fingerprint, b));
    snprintf(text, sizeof text, "%s0", x.r.fingerprint);
    assert_false(wd_fingerprint_parse(text, b));
    snprintf(text, sizeof text, "%s", x.r.fingerprint);
    text[20] = 'g';
    assert_false(wd_fingerprint_parse(text, b));
    x.o = good;
    x.o.batch = 0;
    assert_fails(ship(&x, &r, &err), WD_E_USAGE, "greater than 0");
    x.o = good;
    assert_fails(wd_audit_ship(x.p.g, &x.p.admin, &x.o, &r, &err), WD_E_DENIED,
                 "the role admin may not do audit.ship");
    assert_int_equal(x.r.host.n_accepted, 0);
    rig_end(&x);
}

/* ---- following ---- */

typedef struct follower {
    rig *x;
    atomic_bool cancel;
    wd_ship_report report;
    wd_status st;
    wd_err err;
    pthread_t thread;
} follower;

static void *run_follower(void *arg)
{
    follower *f = arg;
    f->st = wd_audit_ship(f->x->p.g, &f->x->p.auditor, &f->x->o, &f->report, &f->err);
    return NULL;
}

static void follower_start(follower *f, rig *x)
{
    *f = (follower){ .x = x };
    x->o.follow = true;
    x->o.cancel = &f->cancel;
    assert_int_equal(pthread_create(&f->thread, NULL, run_follower, f), 0);
}

static void follower_end(follower *f)
{
    atomic_store(&f->cancel, true);
    pthread_join(f->thread, NULL);
    if (f->st)
        fail_msg("%s", f->err.text);
}

static void wait_until_it_has(rig *x, int64_t n)
{
    const uint64_t until = wd_clock_ns() + (uint64_t)PATIENCE_S * 1000000000;
    while (receiver_has(&x->r) < n) {
        assert_true(wd_clock_ns() < until);
        usleep(5000);
    }
}

static void following_outlives_a_receiver_that_is_away(void **state)
{
    (void)state;
    rig x;
    follower f;
    rig_make(&x, 3);
    receiver_stop(&x.r);
    follower_start(&f, &x);
    for (int i = 0; i < 20; i++) { /* nobody waits for it */
        place_visit(&x.p, "POST", "/v1/embeddings", x.token);
        usleep(10000);
    }
    receiver_again(&x.r);
    wait_until_it_has(&x, last_record(&x));
    receiver_set(&x.r, RECEIVER_DIES, 300);
    for (int i = 0; i < 10; i++)
        place_visit(&x.p, "POST", "/v1/embeddings", x.token);
    usleep(100000);
    receiver_set(&x.r, RECEIVER_CURT, 0);
    wait_until_it_has(&x, last_record(&x));
    follower_end(&f);
    assert_true(f.report.n_failed >= 2);
    assert_int_equal(receiver_has(&x.r), last_record(&x));
    rig_end(&x);
}

static void a_receiver_that_reads_nothing_holds_up_no_request(void **state)
{
    (void)state;
    rig x;
    follower f;
    wd_ship_report r;
    rig_make(&x, 3);
    receiver_set(&x.r, RECEIVER_STALLS, 0);
    x.o.timeout_ms = 300;
    assert_fails(ship(&x, &r, &err), WD_E_DEADLINE,
                 "the receiver's end of the connection took more than 300 ms");
    assert_int_equal(r.seq, 0);
    receiver_release(&x.r);
    receiver_set(&x.r, RECEIVER_STALLS, 0);
    x.o.timeout_ms = 20000;
    follower_start(&f, &x);
    const uint64_t from = wd_clock_ns();
    for (int i = 0; i < 10; i++)
        place_visit(&x.p, "POST", "/v1/embeddings", x.token);
    assert_true(wd_clock_ns() - from <
                (uint64_t)10 * 1000000000); /* far from the 20 s of the batch that hangs */
    receiver_release(&x.r);
    wait_until_it_has(&x, last_record(&x));
    receiver_set(&x.r, RECEIVER_STALLS, 0);
    place_visit(&x.p, "POST", "/v1/embeddings", x.token);
    usleep(100000);
    const uint64_t end = wd_clock_ns();
    follower_end(&f); /* a batch under way has 2 s to end */
    assert_true(wd_clock_ns() - end < (uint64_t)15 * 1000000000);
    receiver_release(&x.r);
    rig_end(&x);
}

/* The end of its side has come, and ours is not acknowledged: it may still turn out not to have been read. */
static void an_end_counts_only_after_ours_has_arrived(void **state)
{
    (void)state;
    rig x;
    wd_ship_report r;
    rig_make(&x, 20);
    receiver_stop(&x.r);
    x.r.small = true;
    receiver_again(&x.r);
    receiver_set(&x.r, RECEIVER_HALF, 0);
    x.o.timeout_ms = 500;
    assert_fails(ship(&x, &r, &err), WD_E_DEADLINE, "took more than 500 ms");
    assert_int_equal(r.seq, 0);
    receiver_set(&x.r, RECEIVER_GOOD, 0);
    receiver_release(&x.r);
    x.o.timeout_ms = 20000;
    assert_ok(ship(&x, &r, &err));
    assert_int_equal(receiver_has(&x.r), last_record(&x));
    rig_end(&x);
}

static void move_the_cursor(void *ctx)
{
    const rig *x = ctx;
    sqlite3 *db;
    assert_int_equal(sqlite3_open(x->p.db, &db), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_exec(db, "UPDATE audit_ship SET seq = seq + 1", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void two_programs_that_ship_to_one_receiver_notice(void **state)
{
    (void)state;
    rig x;
    wd_ship_report r;
    rig_make(&x, 3);
    assert_ok(ship(&x, &r, &err));
    x.r.ctx = &x;
    x.r.before_close = move_the_cursor;
    place_visit(&x.p, "POST", "/v1/embeddings", x.token);
    assert_fails(ship(&x, &r, &err), WD_E_BUSY, "another program ships to localhost:");
    x.r.before_close = NULL;
    rig_end(&x);
}

/* Every allocation, write to the database and step of the connection fails once. */
static void every_failure_leaves_the_cursor_behind_the_receiver(void **state)
{
    (void)state;
    rig x;
    wd_ship_report r;
    uint64_t nth = 1, failures = 0;
    rig_make(&x, 3);
    for (;; nth++) {
        wd_err why = { 0 };
        wd_inject_failure(nth);
        const wd_status st = ship(&x, &r, &why);
        const bool hit = wd_inject_failure(0) >= nth;
        const int64_t has = receiver_has(&x.r);
        if (r.seq > has)
            fail_msg("failure %llu: the cursor is at %lld of %lld", (unsigned long long)nth, (long long)r.seq,
                     (long long)has);
        if (st && !*why.text)
            fail_msg("failure %llu: no sentence", (unsigned long long)nth);
        failures += st != WD_OK;
        if (!hit)
            break;
        place_visit(&x.p, "POST", "/v1/embeddings", x.token);
    }
    assert_true(failures > 20);
    assert_ok(ship(&x, &r, &err));
    assert_int_equal(receiver_has(&x.r), last_record(&x));
    rig_end(&x);
}

int main(void)
{
    wd_log_set_level(WD_LOG_ERROR); /* failing is what is tested */
    signal(SIGPIPE, SIG_IGN);       /* the receiver's; the sender does not need it */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_arrives_is_the_export_and_the_anchors),
        cmocka_unit_test(each_receiver_has_a_cursor_of_its_own_and_batches_are_connections),
        cmocka_unit_test(a_receiver_that_fails_anywhere_loses_nothing),
        cmocka_unit_test(only_the_right_receiver_is_told_anything),
        cmocka_unit_test(a_receiver_that_asks_who_sends_gets_the_certificate),
        cmocka_unit_test(what_cannot_be_is_a_sentence),
        cmocka_unit_test(following_outlives_a_receiver_that_is_away),
        cmocka_unit_test(a_receiver_that_reads_nothing_holds_up_no_request),
        cmocka_unit_test(an_end_counts_only_after_ours_has_arrived),
        cmocka_unit_test(two_programs_that_ship_to_one_receiver_notice),
        cmocka_unit_test(every_failure_leaves_the_cursor_behind_the_receiver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
