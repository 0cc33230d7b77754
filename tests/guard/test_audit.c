/* The audit: what tampering leaves, what failures leave, what a killed process leaves. */
#include "guard/place.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include <sqlite3.h>

#include "base/log.h"
#include "base/rand.h"
#include "support/vfs.h"

/* A place with some history: a key, and n requests. */
static void place_with(place *p, int n, char token[WD_TOKEN_MAX])
{
    place_make(p);
    p->o.checkpoint_every = 8;
    place_open(p);
    place_key(p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, NULL);
    for (int i = 0; i < n; i++)
        place_visit(p, "POST", "/v1/embeddings", token);
}

/* ---- tampering ---- */

/* What somebody with the file and SQLite does to it. */
static void tamper(const place *p, const char *sql)
{
    sqlite3 *db;
    char *why = NULL;
    assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
    if (sqlite3_exec(db, "DROP TRIGGER IF EXISTS audit_stays; DROP TRIGGER IF EXISTS audit_keeps", NULL, NULL,
                     &why) != SQLITE_OK ||
        sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
    sqlite3_close(db);
}

static bool has_finding(const wd_audit_report *r, const char *part)
{
    for (uint64_t i = 0; i < r->n_finding && i < WD_AUDIT_MAX_FINDINGS; i++)
        if (strstr(r->finding[i], part))
            return true;
    return false;
}

static void triggers_keep_slips_away(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    sqlite3 *db;
    place_with(&p, 3, token);
    place_close(&p);
    assert_int_equal(sqlite3_open(p.db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE audit SET body = x'00' WHERE seq = 2", NULL, NULL, NULL),
                     SQLITE_CONSTRAINT);
    assert_int_equal(sqlite3_exec(db, "DELETE FROM audit", NULL, NULL, NULL), SQLITE_CONSTRAINT);
    sqlite3_close(db);
    place_verifies(&p);
    place_end(&p);
}

static void every_kind_of_tampering_is_found(void **state)
{
    (void)state;
    /* 26 records: 1 start, 1 key, 12 requests of two. Checkpoints at 1, 9, 17, 25, and at the close, 26. */
    static const struct {
        const char *sql, *finding;
    } ways[] = {
        { "UPDATE audit SET body = cast(replace(cast(body AS TEXT), 'embedding.create', 'chat.create') AS "
          "BLOB) WHERE seq = 5",
          "record 5 was changed" },
        { "UPDATE audit SET body = cast(cast(body AS TEXT) || ' ' AS BLOB) WHERE seq = 20",
          "record 20 was changed" },
        { "UPDATE audit SET hash = zeroblob(32) WHERE seq = 7", "record 7 was changed" },
        { "UPDATE audit SET hash = x'00' WHERE seq = 7", "record 7 was changed" },
        { "UPDATE audit SET body = x'' WHERE seq = 3", "record 3 holds no record" },
        { "UPDATE audit SET body = x'ff00ff' WHERE seq = 3", "record 3 holds no record" },
        { "DELETE FROM audit WHERE seq = 1", "record 1 is missing" },
        { "DELETE FROM audit WHERE seq = 10", "record 10 is missing" },
        { "DELETE FROM audit WHERE seq BETWEEN 10 AND 14", "records 10 to 14 are missing" },
        { "DELETE FROM audit WHERE seq = 26",
          "the last records are missing: the signed end is of record 26" },
        { "DELETE FROM audit WHERE seq > 12", "the last records are missing" },
        { "DELETE FROM audit", "there are no records" },
        { "UPDATE audit SET seq = -1 WHERE seq = 4; UPDATE audit SET seq = 4 WHERE seq = 5; UPDATE audit SET "
          "seq = 5 WHERE seq = -1",
          "record 4 says that it is record 5" },
        { "UPDATE audit SET seq = seq + 100 WHERE seq > 20", "records 21 to 120 are missing" },
        { "INSERT INTO audit SELECT seq + 1, body, hash FROM audit WHERE seq = 26",
          "record 27 says that it is record 26" },
        { "INSERT INTO audit SELECT 9223372036854775807, body, hash FROM audit WHERE seq = 26",
          "are missing" },
        { "DELETE FROM audit_head", "there is no signed end" },
        { "UPDATE audit_head SET seq = 25, hash = (SELECT hash FROM audit WHERE seq = 25)",
          "was not signed with this key" },
        { "UPDATE audit_head SET sig = zeroblob(64)",
          "the signed end of record 26 was not signed with this key" },
        { "UPDATE audit_checkpoint SET hash = zeroblob(32) WHERE seq = 9",
          "the checkpoint of record 9 was not signed" },
        /* a checkpoint for an end */
        { "UPDATE audit_head SET seq = 17, hash = (SELECT hash FROM audit_checkpoint WHERE seq = 17),"
          " sig = (SELECT sig FROM audit_checkpoint WHERE seq = 17); DELETE FROM audit WHERE seq > 17;"
          " DELETE FROM audit_checkpoint WHERE seq > 17",
          "the signed end of record 17 was not signed with this key" },
    };
    for (size_t i = 0; i < WD_COUNT(ways); i++) {
        place p;
        char token[WD_TOKEN_MAX];
        place_with(&p, 12, token);
        place_close(&p);
        const wd_audit_report before = place_verify(&p);
        assert_int_equal(before.n_record, 26);
        assert_int_equal(before.n_checkpoint, 5);
        assert_int_equal(before.n_anchor, 5);
        assert_int_equal(before.n_finding, 0);
        tamper(&p, ways[i].sql);
        assert_int_equal(unlink(p.anchors), 0); /* the database alone must tell */
        const wd_audit_report r = place_verify(&p);
        if (!has_finding(&r, ways[i].finding))
            fail_msg("%s: %llu findings, first: %s", ways[i].sql, (unsigned long long)r.n_finding,
                     r.finding[0]);
        place_end(&p);
    }
}

/* The chain computed anew after an edit, as one can who knows this file but not the key. */
static void rewrite_from(const place *p, int64_t seq)
{
    sqlite3 *db;
    sqlite3_stmt *get, *put;
    wd_digest prev = { 0 };
    char hex[65];
    assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
    sqlite3_exec(db, "DROP TRIGGER audit_stays", NULL, NULL, NULL);
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT seq, body FROM audit ORDER BY seq", -1, &get, NULL),
                     SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db, "UPDATE audit SET body = ?, hash = ? WHERE seq = ?", -1, &put, NULL),
        SQLITE_OK);
    while (sqlite3_step(get) == SQLITE_ROW) {
        wd_buf line = { 0 }, hashed = { 0 };
        wd_buf_put(&line, sqlite3_column_blob(get, 1), (size_t)sqlite3_column_bytes(get, 1));
        const int64_t at = sqlite3_column_int64(get, 0);
        char *own = strstr((char *)line.p, "\"prev\":\"");
        assert_non_null(own);
        if (at == seq) { /* what is to be hidden */
            char *x = strstr((char *)line.p, "embedding");
            assert_non_null(x);
            memcpy(x, "harmless_", 9);
        }
        wd_digest_hex(&prev, hex);
        memcpy(own + 8, hex, 64);
        wd_buf_str(&hashed, "ward audit record 1\n");
        wd_buf_span(&hashed, wd_buf_view(&line));
        wd_digest_of(wd_buf_view(&hashed), &prev);
        if (at >= seq) {
            sqlite3_bind_blob(put, 1, line.p, (int)line.n, SQLITE_TRANSIENT);
            sqlite3_bind_blob(put, 2, prev.b, 32, SQLITE_TRANSIENT);
            sqlite3_bind_int64(put, 3, at);
            assert_int_equal(sqlite3_step(put), SQLITE_DONE);
            sqlite3_reset(put);
        }
        wd_buf_free(&line);
        wd_buf_free(&hashed);
    }
    sqlite3_finalize(get);
    sqlite3_finalize(put);
    sqlite3_close(db);
}

static void a_chain_computed_anew_is_found_by_what_was_signed(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    place_with(&p, 12, token);
    place_close(&p);
    rewrite_from(&p, 11);
    const wd_audit_report r = place_verify(&p);
    assert_true(has_finding(&r, "record 26 is not the one that its signed end was made of"));
    assert_true(has_finding(&r, "record 17 is not the one that its checkpoint was made of"));
    assert_true(has_finding(&r, "record 17 is not the one that its anchored checkpoint was made of"));
    assert_false(has_finding(&r, "record 9 "));
    assert_fails(wd_guard_open(&p.o, &p.g, &err), WD_E_CORRUPT, "does not end as it was signed");
    place_end(&p);
}

static void a_start_refuses_an_audit_that_was_cut(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    place_with(&p, 5, token);
    place_close(&p);
    tamper(&p, "DELETE FROM audit WHERE seq > 6");
    assert_fails(wd_guard_open(&p.o, &p.g, &err), WD_E_CORRUPT,
                 "the audit has lost its last records; see ward audit verify");
    tamper(&p, "INSERT INTO audit VALUES(99, x'00', x'00')");
    assert_fails(wd_guard_open(&p.o, &p.g, &err), WD_E_CORRUPT, "has records that were not signed");
    place_end(&p);
}

static void copy_file(const char *from, const char *to)
{
    wd_buf b = { 0 };
    assert_ok(wd_file_read(from, 1 << 26, &b, &err));
    assert_ok(wd_file_write_secret(to, wd_buf_view(&b), &err));
    wd_buf_free(&b);
}

static void an_older_copy_of_the_database_is_found_by_the_anchors(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX], old[700];
    place_with(&p, 3, token);
    place_close(&p);
    snprintf(old, sizeof old, "%s/old.db", p.dir);
    copy_file(p.db, old);
    place_open(&p);
    for (int i = 0; i < 6; i++)
        place_visit(&p, "POST", "/v1/embeddings", token);
    place_close(&p);
    place_verifies(&p);
    copy_file(old, p.db); /* everything in it is as it was signed */
    const wd_audit_report r = place_verify(&p);
    assert_true(has_finding(&r, "the last records are missing: the anchored checkpoint is of record"));
    assert_fails(wd_guard_open(&p.o, &p.g, &err), WD_E_CORRUPT, "ends before a checkpoint that was anchored");
    /* another history of the same length */
    assert_int_equal(unlink(p.anchors), 0);
    char kept[700];
    snprintf(kept, sizeof kept, "%s/kept", p.dir);
    place_open(&p);
    for (int i = 0; i < 3; i++)
        place_visit(&p, "POST", "/v1/embeddings", token);
    place_close(&p);
    copy_file(p.anchors, kept);
    copy_file(old, p.db);
    assert_int_equal(unlink(p.anchors), 0);
    place_open(&p);
    for (int i = 0; i < 6; i++)
        place_visit(&p, "GET", "/v1/models", token);
    place_close(&p);
    place_verifies(&p);
    copy_file(kept, p.anchors);
    assert_fails(wd_guard_open(&p.o, &p.g, &err), WD_E_CORRUPT, "is another one than what was anchored");
    place_end(&p);
}

static void verifying_needs_no_secret_and_changes_nothing(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX], copy[700], side[720];
    wd_audit_report r;
    wd_public_key key, other = { { 1 } };
    char pub[700];
    place_with(&p, 4, token);
    place_close(&p);
    snprintf(copy, sizeof copy, "%s/copy.db", p.dir);
    snprintf(pub, sizeof pub, "%s/audit.pub", p.data);
    copy_file(p.db, copy);
    assert_int_equal(chmod(copy, 0400), 0);
    assert_ok(wd_public_key_read(pub, &key, &err));
    assert_ok(wd_audit_verify(copy, &key, NULL, &r, &err));
    assert_int_equal(r.n_finding, 0);
    snprintf(side, sizeof side, "%s-shm", copy);
    assert_false(wd_file_exists(side));
    assert_ok(wd_audit_verify(copy, &other, NULL, &r, &err)); /* another installation's key */
    assert_true(has_finding(&r, "was not signed with this key"));
    assert_fails(wd_audit_verify("/nonexistent", &key, NULL, &r, &err), WD_E_NOT_FOUND, "cannot open");
    place_end(&p);
}

static void a_line_of_the_anchors_that_was_cut_off_accuses_nobody(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    wd_buf b = { 0 };
    place_with(&p, 8, token);
    place_close(&p);
    assert_ok(wd_file_read(p.anchors, 1 << 20, &b, &err));
    assert_ok(wd_file_write(p.anchors, wd_span_of(b.p, b.n - 40), &err));
    wd_audit_report r = place_verify(&p);
    assert_int_equal(r.n_finding, 0);
    assert_int_equal(r.n_torn, 1);
    place_open(&p); /* goes on after it, in a line of its own */
    place_visit(&p, "POST", "/v1/embeddings", token);
    place_close(&p);
    r = place_verify(&p);
    assert_int_equal(r.n_finding, 0);
    assert_int_equal(r.n_torn, 1);
    assert_true(r.n_anchor >= 4);
    /* a whole line that was edited does accuse */
    wd_buf_clear(&b);
    assert_ok(wd_file_read(p.anchors, 1 << 20, &b, &err));
    char *h = strstr((char *)b.p, "\"hash\":\"");
    assert_non_null(h);
    h[8] = h[8] == 'a' ? 'b' : 'a';
    assert_ok(wd_file_write(p.anchors, wd_buf_view(&b), &err));
    r = place_verify(&p);
    assert_true(has_finding(&r, "the anchored checkpoint of record 1 was not signed with this key"));
    wd_buf_free(&b);
    place_end(&p);
}

/* ---- exports ---- */

static wd_status gather(void *ctx, wd_span line, wd_err *err)
{
    wd_buf *b = ctx;
    wd_buf_span(b, line);
    wd_buf_char(b, '\n');
    return wd_buf_check(b, "lines", err);
}

static void public_key(const place *p, wd_public_key *key)
{
    char pub[700];
    snprintf(pub, sizeof pub, "%s/audit.pub", p->data);
    assert_ok(wd_public_key_read(pub, key, &err));
}

/* Line number i of the text, or {0}. */
static wd_span line_at(const wd_buf *b, size_t i)
{
    size_t at = 0;
    for (;;) {
        const size_t end = wd_span_find(wd_buf_view(b), WD_SPAN_LIT("\n"), at);
        if (end == SIZE_MAX)
            return (wd_span){ 0 };
        if (i-- == 0)
            return wd_span_of(b->p + at, end + 1 - at);
        at = end + 1;
    }
}

static void an_export_verifies_by_itself_and_shows_every_change(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    wd_public_key key;
    wd_audit_report r;
    wd_buf b = { 0 }, changed = { 0 };
    place_with(&p, 10, token);
    public_key(&p, &key);
    assert_ok(
        wd_audit_export(p.g, &p.auditor, &(wd_audit_filter){ 0 }, WD_AUDIT_JSON_LINES, gather, &b, &err));
    assert_ok(wd_audit_verify_lines(wd_buf_view(&b), &key, (wd_span){ 0 }, &r, &err));
    assert_int_equal(r.n_finding, 0);
    assert_int_equal(r.n_record, 23);
    assert_true(r.head && r.n_checkpoint == 3);
    size_t n_line = 0;
    while (line_at(&b, n_line).n)
        n_line++;
    assert_int_equal(n_line, 23 + 3 + 1);
    /* each line left out, doubled, and exchanged with the next; each byte of two lines changed */
    for (size_t drop = 0; drop < 23; drop++) {
        for (int way = 0; way < 3; way++) {
            wd_buf_clear(&changed);
            for (size_t i = 0; i < n_line; i++) {
                if (way == 2 && i == drop && drop < 22)
                    wd_buf_span(&changed, line_at(&b, i + 1));
                if (!(way == 2 && i == drop + 1) && !(way == 0 && i == drop))
                    wd_buf_span(&changed, line_at(&b, i));
                if (way == 1 && i == drop)
                    wd_buf_span(&changed, line_at(&b, i));
            }
            assert_ok(wd_audit_verify_lines(wd_buf_view(&changed), &key, (wd_span){ 0 }, &r, &err));
            if (r.n_finding == 0 && !(way == 2 && drop == 22) && !(way == 0 && drop == 0))
                fail_msg("line %zu, way %d: nothing found", drop, way);
            if (way == 0 && drop == 0) /* an export may begin later, and says so */
                assert_int_equal(r.first, 2);
        }
    }
    const wd_span from = line_at(&b, 12);
    const size_t at = (size_t)(from.p - b.p);
    for (size_t i = 0; i < from.n - 1; i++) {
        b.p[at + i] ^= 1;
        assert_ok(wd_audit_verify_lines(wd_buf_view(&b), &key, (wd_span){ 0 }, &r, &err));
        if (r.n_finding == 0)
            fail_msg("byte %zu of a record: nothing found", i);
        b.p[at + i] ^= 1;
    }
    /* the tail cut off: with the signed end it shows, and without one, too */
    assert_ok(wd_audit_verify_lines(wd_span_of(b.p, at), &key, (wd_span){ 0 }, &r, &err));
    assert_true(has_finding(&r, "there is no signed end"));
    wd_buf_free(&b);
    wd_buf_free(&changed);
    place_end(&p);
}

static void an_export_goes_on_where_the_last_one_ended(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    wd_public_key key;
    wd_audit_report r;
    wd_buf b = { 0 }, anchors = { 0 };
    place_with(&p, 10, token);
    public_key(&p, &key);
    assert_ok(wd_audit_export(p.g, &p.auditor, &(wd_audit_filter){ .after = 12 }, WD_AUDIT_JSON_LINES, gather,
                              &b, &err));
    assert_ok(wd_file_read(p.anchors, 1 << 20, &anchors, &err));
    assert_ok(wd_audit_verify_lines(wd_buf_view(&b), &key, wd_buf_view(&anchors), &r, &err));
    assert_int_equal(r.n_finding, 0);
    assert_int_equal(r.first, 13);
    assert_int_equal(r.last, 23);
    assert_int_equal(r.n_anchor, 1); /* of 17; those of 1 and 9 speak of what is not here */
    wd_buf_free(&b);
    wd_buf_free(&anchors);
    place_end(&p);
}

static void lists_are_filtered_and_recorded(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    json_t *v;
    wd_identity nurse;
    place_with(&p, 3, token);
    wd_identity_local("x", WD_ACCOUNT_NURSE, &nurse);
    assert_fails(wd_audit_list(p.g, &nurse, &(wd_audit_filter){ 0 }, &v, &err), WD_E_DENIED,
                 "the role nurse may not do audit.list");
    assert_fails(
        wd_audit_export(p.g, &p.admin, &(wd_audit_filter){ 0 }, WD_AUDIT_JSON_LINES, gather, NULL, &err),
        WD_E_DENIED, "the role admin may not do audit.export");
    assert_ok(wd_audit_list(p.g, &p.auditor,
                            &(wd_audit_filter){ .action = "embedding.create", .outcome = "done" }, &v, &err));
    assert_int_equal(json_array_size(v), 3);
    char visit[40];
    snprintf(visit, sizeof visit, "%s", text_at(v, 1, "visit"));
    json_decref(v);
    assert_ok(wd_audit_list(p.g, &p.auditor, &(wd_audit_filter){ .visit = visit }, &v, &err));
    assert_int_equal(json_array_size(v), 2);
    json_decref(v);
    assert_ok(wd_audit_list(p.g, &p.auditor, &(wd_audit_filter){ .action = "audit.list" }, &v, &err));
    assert_int_equal(json_array_size(v), 3); /* this one, too */
    json_decref(v);
    char day[32];
    assert_ok(wd_audit_list(p.g, &p.auditor, &(wd_audit_filter){ .last = 2 }, &v, &err));
    assert_int_equal(json_array_size(v), 2);
    snprintf(day, sizeof day, "%s", text_at(v, 0, "time"));
    json_decref(v);
    assert_ok(wd_audit_list(p.g, &p.auditor, &(wd_audit_filter){ .until = day }, &v, &err));
    assert_int_equal(json_array_size(v), 10); /* 1 start, 1 key, 6 of requests, 2 looks */
    json_decref(v);
    assert_ok(
        wd_audit_list(p.g, &p.auditor, &(wd_audit_filter){ .since = day, .action = "audit.list" }, &v, &err));
    assert_int_equal(json_array_size(v), 4);
    json_decref(v);
    assert_fails(wd_audit_list(p.g, &p.auditor, &(wd_audit_filter){ .since = "yesterday" }, &v, &err),
                 WD_E_USAGE, "since: expected a date");
    place_end(&p);
}

static void syslog_lines_are_of_rfc_5424(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    wd_buf b = { 0 };
    wd_visit *v;
    wd_refusal no;
    place_with(&p, 1, token);
    assert_fails(place_ask(&p, "POST", "/v1/embeddings", NULL, &v, &no, &err), WD_E_AUTH, "");
    assert_ok(wd_audit_export(p.g, &p.auditor, &(wd_audit_filter){ .action = "embedding.create" },
                              WD_AUDIT_RFC5424, gather, &b, &err));
    for (size_t i = 0; i < 3; i++) {
        char line[2048], time[64], host[300], app[16], proc[16], msgid[64], rest[1600];
        int pri, version;
        const wd_span s = line_at(&b, i);
        snprintf(line, sizeof line, "%.*s", (int)s.n - 1, (const char *)s.p);
        assert_int_equal(sscanf(line, "<%d>%d %63s %299s %15s %15s %63s %1599[^\n]", &pri, &version, time,
                                host, app, proc, msgid, rest),
                         8);
        assert_int_equal(pri, i == 2 ? 108 : 110);
        assert_int_equal(version, 1);
        assert_string_equal(app, "ward");
        assert_string_equal(proc, "-");
        assert_string_equal(msgid, "embedding.create");
        assert_int_equal(strlen(time), 27);
        assert_true(!strncmp(rest, "[ward@32473 seq=\"", 17) && rest[strlen(rest) - 1] == ']');
        assert_non_null(strstr(rest, i == 2 ? "reason=\"no_key\"" : "tenant=\"main\""));
    }
    assert_int_equal(line_at(&b, 3).n, 0);
    wd_buf_free(&b);
    place_end(&p);
}

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
        cmocka_unit_test(triggers_keep_slips_away),
        cmocka_unit_test(every_kind_of_tampering_is_found),
        cmocka_unit_test(a_chain_computed_anew_is_found_by_what_was_signed),
        cmocka_unit_test(a_start_refuses_an_audit_that_was_cut),
        cmocka_unit_test(an_older_copy_of_the_database_is_found_by_the_anchors),
        cmocka_unit_test(verifying_needs_no_secret_and_changes_nothing),
        cmocka_unit_test(a_line_of_the_anchors_that_was_cut_off_accuses_nobody),
        cmocka_unit_test(an_export_verifies_by_itself_and_shows_every_change),
        cmocka_unit_test(an_export_goes_on_where_the_last_one_ended),
        cmocka_unit_test(lists_are_filtered_and_recorded),
        cmocka_unit_test(syslog_lines_are_of_rfc_5424),
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
