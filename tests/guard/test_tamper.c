/* Every single change of every record of a chain: found, each of them, by the database alone. What sort of finding each change
 * gives is in test_audit.c; here none may slip through. $WARD_TEST_TAMPER=1: a longer chain, and every bit of some records. */
#include "guard/place.h"

#include <stdlib.h>

#include <sqlite3.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/rand.h"

typedef struct rig {
    place p;
    wd_buf whole; /* the database as it was written */
    wd_public_key key;
    int64_t last;
    sqlite3 *db;
    wd_rand rand;
} rig;

static void rig_make(rig *x, int n_visit)
{
    char token[WD_TOKEN_MAX], pub[700];
    place_make(&x->p);
    x->p.o.checkpoint_every = 50;
    place_open(&x->p);
    place_key(&x->p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, NULL);
    for (int i = 0; i < n_visit; i++)
        place_visit(&x->p, "POST", "/v1/embeddings", token);
    place_close(&x->p);
    snprintf(pub, sizeof pub, "%s/audit.pub", x->p.data);
    assert_ok(wd_public_key_read(pub, &x->key, &err));
    assert_ok(wd_file_read(x->p.db, 1 << 26, &x->whole, &err));
    x->last = place_verify(&x->p).last;
    wd_rand_init(&x->rand, 20261122);
}

static void exec(rig *x, const char *sql)
{
    char *why = NULL;
    if (sqlite3_exec(x->db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
}

/* The database as it was, opened for who has the file and no key. */
static void begin(rig *x)
{
    FILE *f = fopen(x->p.db, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(x->whole.p, 1, x->whole.n, f), x->whole.n);
    fclose(f);
    assert_int_equal(sqlite3_open(x->p.db, &x->db), SQLITE_OK);
    exec(x, "PRAGMA synchronous = OFF; PRAGMA journal_mode = MEMORY; DROP TRIGGER audit_stays; DROP TRIGGER "
            "audit_keeps");
}

static uint64_t findings(rig *x)
{
    wd_audit_report r;
    assert_int_equal(sqlite3_close(x->db), SQLITE_OK);
    assert_ok(wd_audit_verify(x->p.db, &x->key, NULL, &r, &err));
    return r.n_finding;
}

/* One bit of a column of record seq; its digest set to fit, or not. */
static void flip(rig *x, const char *column, int64_t seq, uint64_t bit, bool fit)
{
    sqlite3_stmt *q;
    char sql[128];
    uint8_t b[4096], hashed[4200] = "ward audit record 1\n";
    wd_digest d;
    snprintf(sql, sizeof sql, "SELECT %s FROM audit WHERE seq = %lld", column, (long long)seq);
    assert_int_equal(sqlite3_prepare_v2(x->db, sql, -1, &q, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(q), SQLITE_ROW);
    const size_t n = (size_t)sqlite3_column_bytes(q, 0);
    assert_in_range(n, 1, sizeof b);
    memcpy(b, sqlite3_column_blob(q, 0), n);
    sqlite3_finalize(q);
    b[bit / 8 % n] ^= (uint8_t)(1 << bit % 8);
    snprintf(sql, sizeof sql, "UPDATE audit SET %s = ?1, hash = coalesce(?2, hash) WHERE seq = %lld", column,
             (long long)seq);
    if (!strcmp(column, "hash"))
        snprintf(sql, sizeof sql, "UPDATE audit SET hash = ?1 WHERE seq = %lld", (long long)seq);
    assert_int_equal(sqlite3_prepare_v2(x->db, sql, -1, &q, NULL), SQLITE_OK);
    sqlite3_bind_blob(q, 1, b, (int)n, SQLITE_TRANSIENT);
    if (fit) {
        const size_t tag = strlen((char *)hashed);
        memcpy(hashed + tag, b, n);
        wd_digest_of(wd_span_of(hashed, tag + n), &d);
        sqlite3_bind_blob(q, 2, d.b, sizeof d.b, SQLITE_TRANSIENT);
    }
    assert_int_equal(sqlite3_step(q), SQLITE_DONE);
    sqlite3_finalize(q);
}

enum { EDIT, EDIT_AND_FIT, HASH, REMOVE, REMOVE_AND_RENUMBER, SWAP, DOUBLE, INSERT, CUT, N_WAY };
static const char *const way_names[] = { "edited",
                                         "edited, with a digest that fits",
                                         "another digest",
                                         "removed",
                                         "removed, the rest renumbered",
                                         "exchanged with the next",
                                         "put in the next one's place",
                                         "added once more, the rest renumbered",
                                         "the end cut off" };

static void change(rig *x, int way, int64_t seq)
{
    char sql[512];
    const long long s = seq;

    if (way == EDIT || way == EDIT_AND_FIT || way == HASH) {
        flip(x, way == HASH ? "hash" : "body", seq, wd_rand_below(&x->rand, 1 << 20), way == EDIT_AND_FIT);
        return;
    }
    switch (way) {
    case REMOVE:
        snprintf(sql, sizeof sql, "DELETE FROM audit WHERE seq = %lld", s);
        break;
    case REMOVE_AND_RENUMBER: /* by way of negative numbers: they are unique at each moment */
        snprintf(sql, sizeof sql,
                 "DELETE FROM audit WHERE seq = %lld; UPDATE audit SET seq = 1 - seq WHERE seq > %lld;"
                 " UPDATE audit SET seq = -seq WHERE seq < 0",
                 s, s);
        break;
    case SWAP:
        snprintf(sql, sizeof sql,
                 "UPDATE audit SET seq = -1 WHERE seq = %lld; UPDATE audit SET seq = %lld WHERE seq = %lld;"
                 " UPDATE audit SET seq = %lld WHERE seq = -1",
                 s, s, s + 1, s + 1);
        break;
    case DOUBLE:
        snprintf(sql, sizeof sql,
                 "UPDATE audit SET (body, hash) = (SELECT body, hash FROM audit WHERE seq = %lld) WHERE seq "
                 "= %lld",
                 s, s + 1);
        break;
    case INSERT:
        snprintf(
            sql, sizeof sql,
            "UPDATE audit SET seq = -seq - 1 WHERE seq > %lld; UPDATE audit SET seq = -seq WHERE seq < 0;"
            " INSERT INTO audit SELECT seq + 1, body, hash FROM audit WHERE seq = %lld",
            s, s);
        break;
    default:
        snprintf(sql, sizeof sql, "DELETE FROM audit WHERE seq >= %lld", s);
        break;
    }
    exec(x, sql);
}

static void no_change_of_any_record_slips_through(void **state)
{
    (void)state;
    static rig x;
    const bool longer = getenv("WARD_TEST_TAMPER") != NULL;
    uint64_t n = 0, bits = 0;
    rig_make(&x, longer ? 300 : 100);
    const double from = wd_clock_s();
    begin(&x);
    assert_int_equal(findings(&x), 0); /* dropping the triggers is not seen, and is no change of a record */
    for (int64_t seq = 1; seq <= x.last; seq++) {
        for (int way = 0; way < N_WAY; way++) {
            if (seq == x.last && (way == SWAP || way == DOUBLE)) /* there is no next one */
                continue;
            begin(&x);
            change(&x, way, seq);
            if (findings(&x) == 0)
                fail_msg("record %lld of %lld %s: not found", (long long)seq, (long long)x.last,
                         way_names[way]);
            n++;
        }
    }
    for (int64_t seq = 10; longer && seq <= x.last; seq += x.last / 3) {
        for (uint64_t bit = 0; bit < 8 * 400; bit++, bits++) {
            begin(&x);
            flip(&x, "body", seq, bit, bit & 8);
            if (findings(&x) == 0)
                fail_msg("bit %llu of record %lld: not found", (unsigned long long)bit, (long long)seq);
        }
    }
    print_message("%lld records: %llu changes of single records in %d ways and %llu of single bits, all "
                  "found, %.1f ms each\n",
                  (long long)x.last, (unsigned long long)n, N_WAY, (unsigned long long)bits,
                  (wd_clock_s() - from) * 1000 / (double)(n + bits));
    wd_buf_free(&x.whole);
    place_end(&x.p);
}

int main(void)
{
    wd_log_set_level(WD_LOG_ERROR);
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_change_of_any_record_slips_through) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
