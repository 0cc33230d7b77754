/* The store: what it keeps, what it refuses, and what is left after failures at every operation. */
#include "support/test.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "base/file.h"
#include "store/store.h"
#include "support/vfs.h"

static const char *const steps[] = {
    "CREATE TABLE note(id INTEGER PRIMARY KEY, words TEXT NOT NULL) STRICT",
    "ALTER TABLE note ADD COLUMN stars INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX note_by_stars ON note(stars)",
};

typedef struct place {
    char *dir;
    char path[600];
    wd_store *s;
    wd_store_opts o;
} place;

static void place_make(place *p)
{
    *p = (place){ .dir = test_make_dir(), .o = WD_STORE_OPTS_DEFAULT };
    p->o.vfs = "test";
    snprintf(p->path, sizeof p->path, "%s/ward.db", p->dir);
    test_vfs_reset();
}

static void place_open(place *p)
{
    assert_ok(wd_store_open(p->path, &p->o, &p->s, &err));
    assert_ok(wd_store_migrate(p->s, "notes", steps, 2, &err));
}

static void place_end(place *p)
{
    wd_store_close(p->s);
    test_rm_dir(p->dir);
}

static wd_status add(wd_store *s, int64_t id, const char *words, wd_err *err)
{
    wd_tx *tx;
    WD_TRY(wd_store_begin(s, WD_STORE_WRITE, &tx, err));
    return wd_store_end(
        tx, wd_store_run(tx, err, "INSERT INTO note(id, words) VALUES(?, ?)", "is", id, words), err);
}

/* Number of notes; each must read "note <id>". */
static int64_t count(wd_store *s)
{
    wd_tx *tx;
    wd_rows *r;
    bool there;
    int64_t n = 0;
    char want[32];
    assert_ok(wd_store_begin(s, WD_STORE_READ, &tx, &err));
    assert_ok(wd_store_query(tx, &r, &err, "SELECT id, words FROM note ORDER BY id", ""));
    for (;;) {
        assert_ok(wd_rows_next(r, &there, &err));
        if (!there)
            break;
        snprintf(want, sizeof want, "note %lld", (long long)wd_rows_int(r, 0));
        assert_string_equal(wd_rows_text(r, 1), want);
        n++;
    }
    wd_rows_end(r);
    assert_ok(wd_store_end(tx, WD_OK, &err));
    return n;
}

static wd_status add_note(wd_store *s, int64_t id, wd_err *err)
{
    char words[32];
    snprintf(words, sizeof words, "note %lld", (long long)id);
    return add(s, id, words, err);
}

static void values_of_every_kind_come_back_as_they_went_in(void **state)
{
    (void)state;
    place p;
    wd_tx *tx;
    wd_rows *r;
    bool there;
    place_make(&p);
    place_open(&p);
    assert_ok(wd_store_begin(p.s, WD_STORE_WRITE, &tx, &err));
    assert_ok(wd_store_query(tx, &r, &err, "SELECT ?, ?, ?, ?, ?", "isbnb", INT64_MIN, "a'b\";--",
                             wd_span_of("x\0y", 3), wd_span_of(NULL, 0)));
    assert_ok(wd_rows_next(r, &there, &err));
    assert_true(there);
    assert_true(wd_rows_int(r, 0) == INT64_MIN);
    assert_string_equal(wd_rows_text(r, 1), "a'b\";--");
    assert_true(wd_span_eq(wd_rows_bytes(r, 2), wd_span_of("x\0y", 3)));
    assert_string_equal(wd_rows_text(r, 3), "");
    assert_int_equal(wd_rows_bytes(r, 4).n, 0);
    /* the same statement while its rows are read, and a wrong number of values, are our own mistakes */
    wd_rows *again;
    assert_fails(wd_store_run(tx, &err, "SELECT ?", "ii", (int64_t)1, (int64_t)2), WD_E_INTERNAL,
                 "bind values");
    wd_rows_end(r);
    assert_fails(wd_store_query(tx, &again, &err, "SELEC", ""), WD_E_INTERNAL, "syntax");
    assert_null(again);
    assert_ok(wd_store_end(tx, WD_OK, &err));
    place_end(&p);
}

static void what_failed_in_the_middle_is_taken_back(void **state)
{
    (void)state;
    place p;
    wd_tx *tx;
    place_make(&p);
    place_open(&p);
    assert_ok(add_note(p.s, 1, &err));
    assert_ok(wd_store_begin(p.s, WD_STORE_WRITE, &tx, &err));
    assert_ok(wd_store_run(tx, &err, "INSERT INTO note(id, words) VALUES(2, 'note 2')", ""));
    assert_int_equal(wd_store_changed(tx), 1);
    wd_err why = { 0 };
    const wd_status st = wd_store_run(tx, &why, "INSERT INTO note(id, words) VALUES(1, 'twice')", "");
    assert_int_equal(wd_store_end(tx, st, &why), WD_E_INTERNAL);
    assert_non_null(strstr(why.text, "UNIQUE")); /* the end keeps the sentence of the failure */
    assert_int_equal(count(p.s), 1);
    place_end(&p);
}

static void migrations_run_once_and_newer_files_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { NULL, NULL, "CREATE TABLE third(x); INSERT INTO nowhere VALUES(1)" };
    const char *list[3];
    place p;
    int64_t v;
    place_make(&p);
    assert_ok(wd_store_open(p.path, &p.o, &p.s, &err));
    assert_ok(wd_store_version(p.s, "notes", &v, &err));
    assert_int_equal(v, 0);
    assert_ok(wd_store_migrate(p.s, "notes", steps, 1, &err)); /* an older program made the file */
    wd_tx *tx;
    assert_ok(wd_store_begin(p.s, WD_STORE_WRITE, &tx, &err));
    assert_ok(wd_store_run(tx, &err, "INSERT INTO note VALUES(1, 'note 1')", ""));
    assert_ok(wd_store_end(tx, WD_OK, &err));
    assert_ok(wd_store_migrate(p.s, "notes", steps, 2, &err));
    assert_int_equal(count(p.s), 1);
    memcpy(list, steps, sizeof steps);
    list[2] = bad[2];
    assert_fails(wd_store_migrate(p.s, "notes", list, 3, &err), WD_E_INTERNAL, "cannot migrate");
    assert_ok(wd_store_version(p.s, "notes", &v, &err));
    assert_int_equal(v, 2);
    assert_ok(wd_store_begin(p.s, WD_STORE_READ, &tx, &err)); /* nothing of the failed step is there */
    assert_fails(wd_store_run(tx, &err, "SELECT * FROM third", ""), WD_E_INTERNAL, "no such table");
    assert_ok(wd_store_end(tx, WD_OK, &err));
    assert_fails(wd_store_migrate(p.s, "notes", steps, 1, &err), WD_E_UNSUPPORTED,
                 "the tables of \"notes\" have version 2, this program knows up to 1");
    place_end(&p);
}

static void other_files_are_refused_and_stay_as_they_are(void **state)
{
    (void)state;
    place p;
    sqlite3 *db;
    wd_buf before = { 0 }, after = { 0 };
    place_make(&p);
    p.o.vfs = NULL;
    test_write(p.dir, "ward.db",
               "This is a letter, and no database at all. It is long enough for a header, too, "
               "which has a hundred bytes.....",
               110);
    assert_fails(wd_store_open(p.path, &p.o, &p.s, &err), WD_E_CORRUPT, "is not an SQLite database");
    assert_int_equal(unlink(p.path), 0);
    assert_int_equal(sqlite3_open(p.path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE theirs(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_ok(wd_file_read(p.path, 1 << 20, &before, &err));
    assert_fails(wd_store_open(p.path, &p.o, &p.s, &err), WD_E_CORRUPT, "not one of Ward's");
    assert_ok(wd_file_read(p.path, 1 << 20, &after, &err));
    assert_true(wd_span_eq(wd_buf_view(&before), wd_buf_view(&after)));
    assert_int_equal(unlink(p.path), 0);
    assert_int_equal(mkdir(p.path, 0700), 0);
    assert_fails(wd_store_open(p.path, &p.o, &p.s, &err), WD_E_IO, "ward.db: cannot open: Is a directory");
    assert_int_equal(rmdir(p.path), 0);
    assert_int_equal(symlink("/etc/hostname", p.path), 0);
    assert_fails(wd_store_open(p.path, &p.o, &p.s, &err), WD_E_IO, "cannot open");
    assert_int_equal(unlink(p.path), 0);
    p.o.read_only = true;
    assert_fails(wd_store_open(p.path, &p.o, &p.s, &err), WD_E_NOT_FOUND, "cannot open");
    assert_false(wd_file_exists(p.path));
    snprintf(p.path, sizeof p.path, "%s/none/ward.db", p.dir);
    p.o.read_only = false;
    assert_fails(wd_store_open(p.path, &p.o, &p.s, &err), WD_E_NOT_FOUND, "No such file");
    wd_buf_free(&before);
    wd_buf_free(&after);
    place_end(&p);
}

static void damage_is_named_when_the_file_is_opened(void **state)
{
    (void)state;
    place p;
    wd_buf b = { 0 };
    place_make(&p);
    place_open(&p);
    for (int64_t i = 1; i <= 400; i++)
        assert_ok(add_note(p.s, i, &err));
    wd_store_close(p.s);
    p.s = NULL;
    assert_ok(wd_file_read(p.path, 1 << 24, &b, &err));
    assert_true(b.n > 3 * 4096);
    memset(b.p + 2 * 4096, 0xA5, 600); /* the header of a page */
    test_write(p.dir, "ward.db", b.p, b.n);
    assert_fails(wd_store_open(p.path, &p.o, &p.s, &err), WD_E_CORRUPT, "the file is damaged");
    p.o.check_max = 0; /* as with a file too large to be checked whole at every start */
    assert_ok(wd_store_open(p.path, &p.o, &p.s, &err));
    assert_fails(wd_store_check(p.s, &err), WD_E_CORRUPT, "the file is damaged; restore it from a backup");
    wd_buf_free(&b);
    place_end(&p);
}

static void nobody_else_may_read_the_file(void **state)
{
    (void)state;
    place p;
    struct stat st;
    place_make(&p);
    const mode_t was = umask(0);
    place_open(&p);
    umask(was);
    assert_ok(add_note(p.s, 1, &err));
    assert_int_equal(stat(p.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    strcat(p.path, "-wal"); /* NOLINT: a test's own buffer */
    assert_int_equal(stat(p.path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    place_end(&p);
}

static void a_lock_of_another_program_is_said_after_a_wait(void **state)
{
    (void)state;
    place p;
    sqlite3 *other;
    place_make(&p);
    p.o.busy_ms = 50;
    place_open(&p);
    assert_ok(add_note(p.s, 1, &err));
    assert_int_equal(sqlite3_open(p.path, &other), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    assert_fails(add_note(p.s, 2, &err), WD_E_BUSY, "another program has kept it locked for 50 ms");
    assert_int_equal(count(p.s), 1); /* reading goes on */
    assert_int_equal(sqlite3_exec(other, "COMMIT", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    assert_ok(add_note(p.s, 2, &err));
    place_end(&p);
}

static void a_read_only_copy_is_read_and_not_written(void **state)
{
    (void)state;
    place p;
    wd_tx *tx;
    place_make(&p);
    place_open(&p);
    assert_ok(add_note(p.s, 1, &err));
    wd_store_close(p.s);
    assert_int_equal(chmod(p.path, 0400), 0);
    p.o.read_only = true;
    assert_ok(wd_store_open(p.path, &p.o, &p.s, &err));
    assert_int_equal(count(p.s), 1);
    assert_fails(wd_store_begin(p.s, WD_STORE_WRITE, &tx, &err), WD_E_INTERNAL, "for reading only");
    char side[700];
    snprintf(side, sizeof side, "%s-shm", p.path);
    assert_false(wd_file_exists(side));
    place_end(&p);
}

/* One operation fails, each in turn: the sentence says why, nothing is half there, and the store goes on. */
static void every_failed_operation_leaves_all_or_nothing(void **state)
{
    (void)state;
    for (int full = 0; full < 2; full++) {
        place p;
        uint64_t nth = 1, failures = 0;
        int64_t acknowledged = 0;
        place_make(&p);
        test_vfs_state.full = full;
        place_open(&p);
        for (;; nth++) {
            wd_err why = { 0 };
            wd_inject_failure(nth);
            const wd_status st = add_note(p.s, (int64_t)nth, &why);
            const bool hit = wd_inject_failure(0) >= nth;
            if (st) {
                failures++;
                assert_int_equal(st, WD_E_IO);
                assert_non_null(strstr(why.text, p.path));
                if (full)
                    assert_true(strstr(why.text, "the disk is full") || strstr(why.text, "cannot write"));
            } else {
                acknowledged++;
            }
            assert_int_equal(count(p.s), acknowledged);
            if (!hit)
                break;
        }
        assert_true(failures >= 2); /* a write and a sync at least */
        place_end(&p);
    }
}

static void every_failure_while_opening_is_a_sentence_and_the_next_start_works(void **state)
{
    (void)state;
    uint64_t nth = 1, failures = 0;
    for (;; nth++) {
        place p;
        place_make(&p);
        wd_err why = { 0 };
        wd_inject_failure(nth);
        wd_status st = wd_store_open(p.path, &p.o, &p.s, &why);
        if (!st)
            st = wd_store_migrate(p.s, "notes", steps, 2, &why);
        const bool hit = wd_inject_failure(0) >= nth;
        if (st) {
            failures++;
            assert_non_null(strstr(why.text, p.path));
        }
        wd_store_close(p.s);
        place_open(&p);
        assert_ok(add_note(p.s, 1, &err));
        assert_int_equal(count(p.s), 1);
        place_end(&p);
        if (!hit)
            break;
    }
    assert_true(failures > 5);
}

/* The power fails at each operation in turn. What was acknowledged is there afterwards, and at most the one note that was
 * being written beside it. */
static void power_loss_at_any_operation_loses_nothing_acknowledged(void **state)
{
    (void)state;
    for (int lose = 0; lose < 2; lose++) {
        for (uint64_t at = 1;; at++) {
            place p;
            int64_t acknowledged = 0;
            place_make(&p);
            place_open(&p);
            test_vfs_state.ops = 0;
            test_vfs_state.lose = lose;
            test_vfs_state.crash_at = at;
            for (int64_t id = 1; id <= 6; id++) {
                if (add_note(p.s, id, NULL))
                    break;
                acknowledged++;
            }
            wd_store_close(p.s); /* folds the log into the file, when there is power */
            p.s = NULL;
            const bool died = test_vfs_state.dead;
            test_vfs_reset();
            place_open(&p);
            const int64_t n = count(p.s);
            assert_true(n == acknowledged || n == acknowledged + 1);
            assert_ok(wd_store_check(p.s, &err));
            place_end(&p);
            if (!died) {
                assert_int_equal(acknowledged, 6);
                assert_true(at > 12);
                break;
            }
        }
    }
}

static void an_acknowledged_write_has_been_synced(void **state)
{
    (void)state;
    place p;
    place_make(&p);
    place_open(&p);
    for (int64_t id = 1; id <= 20; id++) {
        assert_ok(add_note(p.s, id, &err));
        assert_int_equal(test_vfs_state.unsynced, 0);
    }
    place_end(&p);
}

typedef struct writer {
    wd_store *s;
    int64_t first;
} writer;

static void *write_many(void *arg)
{
    const writer *w = arg;
    for (int64_t i = 0; i < 25; i++)
        if (add_note(w->s, w->first + i, NULL))
            return arg;
    return NULL;
}

static void threads_and_processes_write_in_turn(void **state)
{
    (void)state;
    place p;
    pthread_t t[4];
    writer w[4];
    place_make(&p);
    p.o.vfs = NULL;
    place_open(&p);
    wd_store_close(p.s);
    p.s = NULL;
    const pid_t pid = fork(); /* before SQLite has the file open here: its locks do not pass to children */
    if (pid == 0) {
        wd_store *s;
        if (wd_store_open(p.path, &p.o, &s, NULL))
            _exit(1);
        writer mine = { s, 1000 };
        const bool bad = write_many(&mine) != NULL;
        wd_store_close(s);
        _exit(bad);
    }
    place_open(&p);
    for (int i = 0; i < 4; i++) {
        w[i] = (writer){ p.s, 1 + 100 * i };
        assert_int_equal(pthread_create(&t[i], NULL, write_many, &w[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *bad;
        assert_int_equal(pthread_join(t[i], &bad), 0);
        assert_null(bad);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(count(p.s), 125);
    place_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_every_kind_come_back_as_they_went_in),
        cmocka_unit_test(what_failed_in_the_middle_is_taken_back),
        cmocka_unit_test(migrations_run_once_and_newer_files_are_refused),
        cmocka_unit_test(other_files_are_refused_and_stay_as_they_are),
        cmocka_unit_test(damage_is_named_when_the_file_is_opened),
        cmocka_unit_test(nobody_else_may_read_the_file),
        cmocka_unit_test(a_lock_of_another_program_is_said_after_a_wait),
        cmocka_unit_test(a_read_only_copy_is_read_and_not_written),
        cmocka_unit_test(every_failed_operation_leaves_all_or_nothing),
        cmocka_unit_test(every_failure_while_opening_is_a_sentence_and_the_next_start_works),
        cmocka_unit_test(power_loss_at_any_operation_loses_nothing_acknowledged),
        cmocka_unit_test(an_acknowledged_write_has_been_synced),
        cmocka_unit_test(threads_and_processes_write_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
