/* Databases of earlier versions, kept as text in tests/guard/kept/N (its `make` says how): each comes to the present whole,
 * or stays what it was. */
#include "guard/place.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "base/mem.h"
#include "support/vfs.h"

#define NOW_US 1795400000000000 /* as kept/make has it */

/* ---- looking at a database from outside ---- */

static sqlite3 *look(const char *path)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    return db;
}

static sqlite3_stmt *ask(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *s;
    if (sqlite3_prepare_v2(db, sql, -1, &s, NULL) != SQLITE_OK)
        fail_msg("%s: %s", sql, sqlite3_errmsg(db));
    return s;
}

static int64_t number(const char *path, const char *sql)
{
    sqlite3 *db = look(path);
    sqlite3_stmt *s = ask(db, sql);
    assert_int_equal(sqlite3_step(s), SQLITE_ROW);
    const int64_t n = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return n;
}

static int64_t version_of(const char *path)
{
    return number(path, "SELECT version FROM ward_schema WHERE owner = 'guard'");
}

/* All that a statement answers, as text: values with their types, a line for each row. */
static void answers(sqlite3 *db, const char *sql, wd_buf *out)
{
    sqlite3_stmt *s = ask(db, sql);
    while (sqlite3_step(s) == SQLITE_ROW) {
        for (int i = 0; i < sqlite3_column_count(s); i++) {
            const uint8_t *p = sqlite3_column_blob(s, i);
            wd_buf_printf(out, "%d:", sqlite3_column_type(s, i));
            for (int k = 0; k < sqlite3_column_bytes(s, i); k++)
                wd_buf_printf(out, "%02x", p[k]);
            wd_buf_char(out, ' ');
        }
        wd_buf_char(out, '\n');
    }
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
}

/* For each table but the version's, a statement for all its rows with the columns that it has now: they are asked again
 * after a migration, which may have added others. */
static void statements_for_rows(const char *path, wd_buf *out)
{
    sqlite3 *db = look(path);
    sqlite3_stmt *s = ask(
        db, "SELECT 'SELECT ' || group_concat(c.name) || ' FROM ' || t.name || ' ORDER BY rowid'"
            " FROM sqlite_master t, pragma_table_info(t.name) c"
            " WHERE t.type = 'table' AND t.name <> 'ward_schema' GROUP BY t.name ORDER BY t.name");
    while (sqlite3_step(s) == SQLITE_ROW)
        wd_buf_printf(out, "%s\n", (const char *)sqlite3_column_text(s, 0));
    assert_int_equal(sqlite3_finalize(s), SQLITE_OK);
    sqlite3_close(db);
}

static void rows(const char *path, const wd_buf *statements, wd_buf *out)
{
    sqlite3 *db = look(path);
    char *all = wd_strdup((char *)statements->p), *rest = all, *line;
    while ((line = strsep(&rest, "\n")) && *line) {
        wd_buf_printf(out, "%s\n", line);
        answers(db, line, out);
    }
    wd_free(all);
    sqlite3_close(db);
}

static void schema_of(const char *path, wd_buf *out)
{
    sqlite3 *db = look(path);
    answers(db, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name", out);
    sqlite3_close(db);
}

static void assert_same(const wd_buf *a, const wd_buf *b)
{
    assert_false(a->failed || b->failed);
    assert_string_equal((char *)a->p, (char *)b->p);
}

/* ---- kept directories ---- */

static bool kept_path(int64_t version, const char *name, char out[700])
{
    snprintf(out, 700, "%s/guard/kept/%lld/%s", test_data_dir(), (long long)version, name);
    return wd_file_exists(out);
}

/* p->data as a program of that version left it. */
static void place_of_version(place *p, int64_t version)
{
    static const char *const beside[] = { "audit.key", "audit.pub", "audit.anchors" };
    char path[700], to[700];
    wd_buf b = { 0 };
    sqlite3 *db;
    place_make(p);
    p->now_us = NOW_US;
    assert_int_equal(mkdir(p->data, 0700), 0);
    for (size_t i = 0; i < WD_COUNT(beside); i++) {
        wd_buf_clear(&b);
        assert_true(kept_path(version, beside[i], path));
        assert_ok(wd_file_read(path, 1 << 20, &b, &err));
        snprintf(to, sizeof to, "%s/%s", p->data, beside[i]);
        assert_ok(wd_file_write_secret(to, wd_buf_view(&b), &err));
    }
    wd_buf_clear(&b);
    assert_true(kept_path(version, "ward.sql", path));
    assert_ok(wd_file_read(path, 1 << 24, &b, &err));
    wd_buf_char(&b, 0);
    assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
    char *why = NULL;
    if (sqlite3_exec(db, "PRAGMA synchronous = OFF; PRAGMA journal_mode = WAL", NULL, NULL, &why) ||
        sqlite3_exec(db, (char *)b.p, NULL, NULL, &why))
        fail_msg("%s: %s", path, why);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(chmod(p->db, 0600), 0);
    assert_int_equal(version_of(p->db), version);
    wd_buf_free(&b);
}

/* The newest version, and how its tables are declared. */
static int64_t present(wd_buf *schema)
{
    place p;
    place_make(&p);
    place_open(&p);
    place_close(&p);
    const int64_t version = version_of(p.db);
    if (schema)
        schema_of(p.db, schema);
    place_end(&p);
    return version;
}

/* ---- */

/* Whoever adds a migration keeps what the last program before it left. */
static void every_version_is_kept(void **state)
{
    (void)state;
    char path[700];
    const int64_t newest = present(NULL);
    assert_true(newest >= 3);
    for (int64_t v = 1; v <= newest; v++)
        if (!kept_path(v, "ward.sql", path))
            fail_msg("%s is missing: tests/guard/kept/make makes it", path);
    assert_false(kept_path(newest + 1, "ward.sql", path));
}

static void every_version_comes_to_the_present_with_every_row(void **state)
{
    (void)state;
    wd_buf schema = { 0 };
    const int64_t newest = present(&schema);
    for (int64_t v = 1; v <= newest; v++) {
        place p;
        wd_buf sql = { 0 }, before = { 0 }, after = { 0 }, got = { 0 };
        place_of_version(&p, v);
        place_verifies(&p);
        const int64_t n_record = place_verify(&p).last;
        assert_true(n_record > 12);
        statements_for_rows(p.db, &sql);
        rows(p.db, &sql, &before);
        p.o.serve = false; /* as the command line: opening alone records nothing */
        place_open(&p);
        place_close(&p);
        rows(p.db, &sql, &after);
        assert_same(&before, &after);
        schema_of(p.db, &got);
        assert_same(&schema, &got); /* as of a directory made today */
        assert_int_equal(version_of(p.db), newest);
        place_verifies(&p);
        assert_int_equal(place_verify(&p).last, n_record);
        assert_true(place_verify(&p).n_anchor > 0);
        place_end(&p);
        wd_buf_free(&sql);
        wd_buf_free(&before);
        wd_buf_free(&after);
        wd_buf_free(&got);
    }
    wd_buf_free(&schema);
}

static wd_status knock(place *p, char letter)
{
    char token[] = "ward_...........................................";
    wd_visit *v;
    wd_refusal no;
    memset(token + 5, letter, 43);
    const wd_status st = place_ask(p, "GET", "/v1/models", token, &v, &no, NULL);
    const wd_outcome done = { .kind = WD_OUTCOME_DONE, .http = 200 };
    return st ? st : wd_visit_end(&v, &done, NULL);
}

/* Not only there, but of use: keys let in, a session that was used lately goes on, new records follow the old. */
static void what_comes_from_an_earlier_version_works(void **state)
{
    (void)state;
    const int64_t newest = present(NULL);
    for (int64_t v = 1; v <= newest; v++) {
        place p;
        json_t *list;
        char id[WD_NAME_MAX + 1], token[WD_TOKEN_MAX];
        place_of_version(&p, v);
        const int64_t n_record = place_verify(&p).last;
        place_open(&p);
        assert_int_equal(knock(&p, 'k'), WD_OK);
        assert_int_equal(knock(&p, 's'), WD_OK);
        assert_int_not_equal(knock(&p, 'x'), WD_OK);
        p.now_us += (int64_t)p.o.session_idle_s * 1000000;
        assert_int_equal(knock(&p, 'k'), WD_OK);
        assert_int_not_equal(knock(&p, 's'), WD_OK); /* nobody used it for too long */
        assert_ok(wd_admin_user_list(p.g, &p.admin, &list, &err));
        assert_int_equal(json_array_size(list), 3);
        json_decref(list);
        assert_ok(wd_admin_key_list(p.g, &p.admin, &list, &err));
        assert_int_equal(json_array_size(list), 5);
        json_decref(list);
        place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, id);
        place_close(&p);
        place_verifies(&p);
        assert_true(place_verify(&p).last > n_record);
        place_end(&p);
    }
}

/* The database and nothing beside it: what a program that died left in the log comes with looking at it. */
static void settle(const place *p)
{
    sqlite3 *db;
    assert_int_equal(sqlite3_open(p->db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

/* The process or the machine dies at any write of a migration, with and without what was not synced; or the write fails.
 * What is there then is a version, the old or the new, with every row; and the next start goes on. */
static void a_migration_that_ends_anywhere_has_happened_or_not(void **state)
{
    (void)state;
    const int64_t newest = present(NULL);
    enum { LOSE, KEEP, FAIL, N_WAY };
    for (int64_t v = 1; v < newest; v++) {
        for (int way = 0; way < N_WAY; way++) {
            uint64_t n_old = 0, n_new = 0;
            for (uint64_t at = 1;; at++) {
                place p;
                wd_err why = { 0 };
                wd_buf sql = { 0 }, before = { 0 }, after = { 0 };
                test_vfs_reset();
                place_of_version(&p, v);
                statements_for_rows(p.db, &sql);
                rows(p.db, &sql, &before);
                p.o.serve = false;
                p.o.vfs = "test";
                if (way == FAIL)
                    wd_inject_failure(at);
                else
                    test_vfs_state.crash_at = at;
                test_vfs_state.lose = way == LOSE;
                const wd_status st = wd_guard_open(&p.o, &p.g, &why);
                const bool hit = way == FAIL ? wd_inject_failure(0) >= at : test_vfs_state.dead;
                assert_true(!st == (p.g != NULL) && !st == !*why.text);
                place_close(&p);
                test_vfs_reset();
                p.o.vfs = NULL;
                settle(&p);
                const int64_t now = version_of(p.db);
                if (now != v && now != newest)
                    fail_msg("version %lld of %lld", (long long)now, (long long)newest);
                n_old += now == v;
                n_new += now == newest;
                assert_true(st || now == newest);
                rows(p.db, &sql, &after);
                assert_same(&before, &after);
                place_open(&p);
                place_close(&p);
                assert_int_equal(version_of(p.db), newest);
                place_verifies(&p);
                place_end(&p);
                wd_buf_free(&sql);
                wd_buf_free(&before);
                wd_buf_free(&after);
                if (!hit)
                    break;
            }
            assert_true(n_old > 0 && n_new > 0);
        }
    }
}

static void a_later_version_is_refused_and_stays_as_it_is(void **state)
{
    (void)state;
    place p;
    char sql[120], sentence[800];
    wd_buf before = { 0 }, after = { 0 };
    sqlite3 *db;
    const int64_t newest = present(NULL);
    place_of_version(&p, newest);
    snprintf(sql, sizeof sql, "UPDATE ward_schema SET version = %lld; CREATE TABLE later(x)",
             (long long)newest + 1);
    assert_int_equal(sqlite3_open(p.db, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_ok(wd_file_read(p.db, 1 << 24, &before, &err));
    snprintf(
        sentence, sizeof sentence,
        "%s: the tables of \"guard\" have version %lld, this program knows up to %lld: made by a newer Ward",
        p.db, (long long)newest + 1, (long long)newest);
    for (int serve = 0; serve < 2; serve++) {
        p.o.serve = serve;
        wd_err why = { 0 };
        assert_int_equal(wd_guard_open(&p.o, &p.g, &why), WD_E_UNSUPPORTED);
        assert_null(p.g);
        assert_string_equal(why.text, sentence);
    }
    assert_ok(wd_file_read(p.db, 1 << 24, &after, &err));
    assert_true(wd_span_eq(wd_buf_view(&before), wd_buf_view(&after)));
    wd_buf_free(&before);
    wd_buf_free(&after);
    place_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_version_is_kept),
        cmocka_unit_test(every_version_comes_to_the_present_with_every_row),
        cmocka_unit_test(what_comes_from_an_earlier_version_works),
        cmocka_unit_test(a_migration_that_ends_anywhere_has_happened_or_not),
        cmocka_unit_test(a_later_version_is_refused_and_stays_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
