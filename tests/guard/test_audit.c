/* The audit: what tampering leaves, and what is exported. */
#include "guard/place.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <sqlite3.h>

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

int main(void)
{
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
