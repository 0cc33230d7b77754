/* Kept files: what comes back, what a copy of the directory shows, what is left after failures at every operation. */
#include "store/files.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "support/test.h"

#define SECRET "\x89PNG of Invented Patient"

typedef struct place {
    char *dir;
    wd_files *f;
    wd_files_opts o;
    int64_t now;
} place;

static int64_t clock_of(void *clock)
{
    return *(int64_t *)clock;
}

static void place_make(place *p, bool on_disk)
{
    *p = (place){ .dir = test_make_dir(), .o = WD_FILES_OPTS_DEFAULT, .now = 1000 };
    p->o.dir = on_disk ? p->dir : NULL;
    p->o.now_s = clock_of;
    p->o.clock = &p->now;
    assert_ok(wd_files_open(&p->o, &p->f, &err));
}

static void place_again(place *p)
{
    wd_files_close(p->f);
    assert_ok(wd_files_open(&p->o, &p->f, &err));
}

static void place_end(place *p)
{
    wd_files_close(p->f);
    test_rm_dir(p->dir);
}

static wd_kept of(const char *owner, const char *name)
{
    wd_kept k = { .tenant = "main", .purpose = "user_data", .kind = "image", .expires = 100 };
    snprintf(k.owner, sizeof k.owner, "%s", owner);
    snprintf(k.name, sizeof k.name, "%s", name);
    return k;
}

static void expect(wd_files *f, const char *id, const char *text)
{
    wd_buf b = { 0 };
    assert_ok(wd_files_read(f, id, &b, &err));
    assert_true(wd_span_is(wd_buf_view(&b), text));
    wd_buf_free(&b);
}

static bool count_one(void *ctx, const wd_kept *k)
{
    (void)k;
    ++*(size_t *)ctx;
    return true;
}

static size_t count(wd_files *f)
{
    size_t n = 0;
    wd_files_each(f, count_one, &n);
    return n;
}

static void what_is_put_comes_back_until_it_is_deleted(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        place p;
        wd_kept a = of("user:a", "Invented.png"), b = of("user:b", "b"), got;
        wd_buf none = { 0 };
        place_make(&p, on_disk);
        assert_ok(wd_files_put(p.f, &a, wd_span_str(SECRET), &err));
        p.now++;
        assert_ok(wd_files_put(p.f, &b, wd_span_str("two"), &err));
        if (on_disk)
            place_again(&p);
        assert_int_equal(count(p.f), 2);
        assert_ok(wd_files_find(p.f, a.id, &got, &err));
        assert_string_equal(got.name, "Invented.png");
        assert_string_equal(got.owner, "user:a");
        assert_int_equal(got.created, 1000);
        assert_int_equal(got.expires, 1100);
        assert_int_equal(got.bytes, strlen(SECRET));
        expect(p.f, a.id, SECRET);
        expect(p.f, b.id, "two");
        assert_ok(wd_files_delete(p.f, a.id, &err));
        assert_fails(wd_files_delete(p.f, a.id, &err), WD_E_NOT_FOUND, "no such file");
        assert_fails(wd_files_read(p.f, a.id, &none, &err), WD_E_NOT_FOUND, "no such file");
        assert_fails(wd_files_find(p.f, "../../etc/passwd", &got, &err), WD_E_NOT_FOUND, "no such file");
        if (on_disk)
            place_again(&p);
        assert_int_equal(count(p.f), 1);
        place_end(&p);
    }
}

static void time_ends_a_file(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        place p;
        wd_kept a = of("user:a", "a"), got;
        place_make(&p, on_disk);
        assert_ok(wd_files_put(p.f, &a, wd_span_str("x"), &err));
        p.now = 1099;
        assert_int_equal(wd_files_sweep(p.f), 0);
        assert_ok(wd_files_find(p.f, a.id, &got, &err));
        p.now = 1100;
        assert_fails(wd_files_find(p.f, a.id, &got, &err), WD_E_NOT_FOUND, "no such file");
        assert_int_equal(count(p.f), 0);
        assert_int_equal(wd_files_sweep(p.f), 1);
        p.now = 1000;
        if (on_disk)
            place_again(&p);
        assert_int_equal(count(p.f), 0);
        place_end(&p);
    }
}

/* The same of the other kind, beside it, under a key and ids of its own. */
static void responses_lie_apart_from_uploads(void **state)
{
    (void)state;
    place p;
    wd_files *r;
    wd_kept a = of("user:a", "a"), b = of("user:a", ""), got;
    char path[600];
    place_make(&p, true);
    wd_files_opts o = p.o;
    o.kind = WD_FILES_RESPONSES;
    o.max_bytes = o.owner_bytes = 5;
    assert_ok(wd_files_open(&o, &r, &err));
    assert_ok(wd_files_put(p.f, &a, wd_span_str("one"), &err));
    snprintf(b.id, sizeof b.id, "resp_0123456789abcdefghijABCD");
    assert_ok(wd_files_put(r, &b, wd_span_str("two"), &err));
    assert_memory_equal(a.id, "file-", 5);
    assert_string_equal(b.id, "resp_0123456789abcdefghijABCD"); /* the caller's own */
    assert_fails(wd_files_find(r, a.id, &got, &err), WD_E_NOT_FOUND, "no such response");
    assert_fails(wd_files_find(p.f, b.id, &got, &err), WD_E_NOT_FOUND, "no such file");
    assert_ok(wd_files_room(r, "main", "user:a", 2, &err));
    assert_fails(wd_files_room(r, "main", "user:a", 3, &err), WD_E_LIMIT, "all responses together");
    wd_files_close(r);
    o.max_bytes = o.owner_bytes = 1; /* less than is there: that stays, and nothing is added */
    assert_ok(wd_files_open(&o, &r, &err));
    expect(r, b.id, "two");
    assert_fails(wd_files_room(r, "main", "user:b", 1, &err), WD_E_LIMIT, "no room for 1 bytes");
    snprintf(path, sizeof path, "%s/responses/%s", p.dir, b.id);
    assert_true(wd_file_exists(path));
    snprintf(path, sizeof path, "%s/responses.key", p.dir);
    assert_true(wd_file_exists(path));
    wd_files_close(r);
    place_end(&p);
}

static void limits_hold_and_deleting_makes_room(void **state)
{
    (void)state;
    place p;
    wd_kept a = of("user:a", ""), b = of("user:b", ""), c = of("user:c", ""), d = of("user:d", "");
    place_make(&p, true);
    p.o.max_bytes = 10;
    p.o.owner_bytes = 6;
    p.o.max_files = 3;
    place_again(&p);
    assert_ok(wd_files_put(p.f, &a, wd_span_str("12345"), &err));
    assert_fails(
        wd_files_put(p.f, &(wd_kept){ .tenant = "main", .owner = "user:a" }, wd_span_str("12"), &err),
        WD_E_LIMIT, "your files have 5 bytes already");
    assert_ok(wd_files_put(p.f, &b, wd_span_str("1234"), &err));
    assert_fails(wd_files_put(p.f, &c, wd_span_str("12"), &err), WD_E_LIMIT, "no room for 2 bytes");
    assert_ok(wd_files_put(p.f, &c, wd_span_str("1"), &err));
    assert_fails(wd_files_put(p.f, &d, wd_span_str(""), &err), WD_E_LIMIT, "3 files are kept already");
    place_again(&p); /* counts what is there */
    assert_fails(wd_files_put(p.f, &d, wd_span_str(""), &err), WD_E_LIMIT, "3 files are kept already");
    assert_ok(wd_files_delete(p.f, a.id, &err));
    assert_ok(wd_files_put(p.f, &d, wd_span_str("12345"), &err));
    place_end(&p);
}

static void path_in(const place *p, const char *id, char out[600])
{
    snprintf(out, 600, "%s/files/%s", p->dir, id);
}

/* Neither content nor names nor owners are on the disk; a byte changed, a file cut off, one put in another's place, and
 * another key are all noticed. */
static void the_directory_shows_nothing_and_takes_no_changes(void **state)
{
    (void)state;
    place p;
    wd_kept a = of("user:alice", "Invented.png"), b = of("user:alice", "other");
    wd_buf file = { 0 }, none = { 0 };
    char path[600], other[600];
    struct stat info;
    place_make(&p, true);
    assert_ok(wd_files_put(p.f, &a, wd_span_str(SECRET), &err));
    assert_ok(wd_files_put(p.f, &b, wd_span_str("xxxxxxxxxxxxxxxxxxxxxxx"), &err));
    path_in(&p, a.id, path);
    path_in(&p, b.id, other);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_ok(wd_file_read(path, 1 << 20, &file, &err));
    const char *const words[] = { "Invented", "PNG", "alice", "main", "user_data" };
    for (size_t i = 0; i < WD_COUNT(words); i++)
        assert_true(wd_span_find(wd_buf_view(&file), wd_span_str(words[i]), 0) == SIZE_MAX);

    for (size_t at = 0; at < file.n; at++) {
        file.p[at] ^= 1;
        test_write(p.dir, "changed", file.p, file.n);
        file.p[at] ^= 1;
        char changed[600];
        snprintf(changed, sizeof changed, "%s/changed", p.dir);
        assert_int_equal(rename(changed, path), 0);
        const wd_status st = wd_files_read(p.f, a.id, &none, NULL);
        if (st == WD_OK) { /* in the facts: the content is whole, but it is not opened again */
            place_again(&p);
            assert_fails(wd_files_read(p.f, a.id, &none, &err), WD_E_NOT_FOUND, "no such file");
            wd_buf_clear(&none);
        } else {
            assert_int_equal(st, WD_E_CORRUPT);
            assert_int_equal(none.n, 0);
        }
        test_write(p.dir, "changed", file.p, file.n);
        assert_int_equal(rename(changed, path), 0);
        place_again(&p);
    }
    expect(p.f, a.id, SECRET);
    assert_int_equal(truncate(path, (off_t)file.n - 1), 0);
    assert_fails(wd_files_read(p.f, a.id, &none, &err), WD_E_CORRUPT, a.id);
    assert_int_equal(rename(other, path), 0);
    assert_fails(wd_files_read(p.f, a.id, &none, &err), WD_E_CORRUPT, "changed since");
    place_again(&p);
    assert_int_equal(count(p.f), 0);
    assert_true(wd_file_exists(path)); /* left alone */
    wd_buf_free(&file);
    wd_buf_free(&none);
    place_end(&p);
}

static void keys_are_refused_that_others_read_or_that_are_none(void **state)
{
    (void)state;
    place p;
    char path[600];
    wd_files *f;
    place_make(&p, true);
    snprintf(path, sizeof path, "%s/files.key", p.dir);
    assert_int_equal(chmod(path, 0640), 0);
    assert_fails(wd_files_open(&p.o, &f, &err), WD_E_DENIED, "others may read it");
    test_write(p.dir, "files.key", "short", 5);
    assert_int_equal(chmod(path, 0600), 0);
    assert_fails(wd_files_open(&p.o, &f, &err), WD_E_CORRUPT, "expected 32");
    assert_null(f);
    place_end(&p);
}

/* A program that ended while it wrote leaves "ID.XXXXXX": it goes. What is none of ours stays. */
static void half_written_files_go(void **state)
{
    (void)state;
    place p;
    char path[600];
    place_make(&p, true);
    snprintf(path, sizeof path, "%s/files", p.dir);
    test_write(path, "file-abc.Xy12Zz", "ward", 4);
    test_write(path, "notes.txt", "mine", 4);
    test_write(path, "file-nonsense", "mine", 4);
    place_again(&p);
    assert_int_equal(count(p.f), 0);
    path_in(&p, "file-abc.Xy12Zz", path);
    assert_false(wd_file_exists(path));
    path_in(&p, "notes.txt", path);
    assert_true(wd_file_exists(path));
    path_in(&p, "file-nonsense", path);
    assert_true(wd_file_exists(path));
    place_end(&p);
}

/* Files of one second whose time is over; the operations that can fail in their deletion are counted. */
static uint64_t sweep_many(size_t n)
{
    place p;
    place_make(&p, true);
    for (size_t i = 0; i < n; i++) {
        wd_kept k = of("user:a", "a");
        assert_ok(wd_files_put(p.f, &k, wd_span_str("x"), &err));
    }
    p.now = 1100;
    wd_inject_failure(UINT64_MAX);
    assert_int_equal(wd_files_sweep(p.f), n);
    const uint64_t ops = wd_inject_failure(0);
    place_again(&p);
    p.now = 1000;
    assert_int_equal(count(p.f), 0);
    place_end(&p);
    return ops;
}

static void many_whose_time_is_over_cost_one_sync(void **state)
{
    (void)state;
    const uint64_t one = sweep_many(1);
    assert_true(one > 0);
    assert_int_equal(sweep_many(40), one);
}

static bool note_id(void *ctx, const wd_kept *k)
{
    wd_buf_printf(ctx, "%s ", k->name);
    return true;
}

static void expect_names(wd_files *f, const char *want)
{
    wd_buf b = { 0 };
    wd_files_each(f, note_id, &b);
    wd_buf_put(&b, "", 1);
    assert_string_equal((char *)b.p, want);
    wd_buf_free(&b);
}

/* What cannot be deleted, or not durably, stays listed in its place and counted, and goes with a later attempt. */
static void what_cannot_be_deleted_is_tried_again(void **state)
{
    (void)state;
    place p;
    wd_kept k[4];
    char path[600];
    place_make(&p, true);
    p.o.max_bytes = p.o.owner_bytes = 4;
    place_again(&p);
    for (int i = 0; i < 4; i++, p.now++) {
        k[i] = of("user:a", (const char *[]){ "a", "b", "c", "d" }[i]);
        assert_ok(wd_files_put(p.f, &k[i], wd_span_str("x"), &err));
    }
    wd_inject_failure(2); /* the sync */
    assert_fails(wd_files_delete(p.f, k[1].id, &err), WD_E_IO, "sync");
    wd_inject_failure(0);
    expect_names(p.f, "a b c d ");
    p.now = 2000; /* all are over; one cannot be unlinked: a directory is in its place */
    path_in(&p, k[2].id, path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(wd_files_sweep(p.f), 3);
    p.now = 1000;
    expect_names(p.f, "c ");
    wd_kept more = of("user:a", "e");
    assert_fails(wd_files_put(p.f, &more, wd_span_str("1234"), &err), WD_E_LIMIT, "no room");
    assert_int_equal(rmdir(path), 0);
    wd_inject_failure(2);
    p.now = 2000;
    assert_int_equal(wd_files_sweep(p.f), 0);
    wd_inject_failure(0);
    assert_int_equal(wd_files_sweep(p.f), 1);
    assert_ok(wd_files_put(p.f, &more, wd_span_str("1234"), &err)); /* all room is there again */
    expect_names(p.f, "e ");
    place_end(&p);
}

typedef struct worker {
    wd_files *f;
    size_t seed;
    atomic_size_t *kept; /* those that are to be there at the end */
    pthread_t thread;
} worker;

static void *work(void *arg)
{
    const worker *w = arg;
    for (size_t i = 0; i < 60; i++) {
        const size_t way = (w->seed + i) % 4;
        wd_kept k = of("user:a", "a"), got;
        wd_err e;
        wd_buf b = { 0 };
        k.expires = way == 0 ? 0 : 100; /* 0: over at once; whoever comes by deletes it */
        if (wd_files_put(w->f, &k, wd_span_str("1234"), &e))
            return arg;
        if (way == 1 && wd_files_delete(w->f, k.id, &e))
            return arg;
        if (way == 2)
            wd_files_sweep(w->f);
        if (way > 1 && (wd_files_find(w->f, k.id, &got, &e) || wd_files_read(w->f, k.id, &b, &e) || b.n != 4))
            return arg;
        wd_buf_free(&b);
        atomic_fetch_add(w->kept, way > 1);
    }
    return NULL;
}

static void threads_keep_and_delete_beside_each_other(void **state)
{
    (void)state;
    for (int on_disk = 0; on_disk < 2; on_disk++) {
        place p;
        worker w[4];
        atomic_size_t kept = 0;
        place_make(&p, on_disk);
        for (size_t i = 0; i < WD_COUNT(w); i++) {
            w[i] = (worker){ .f = p.f, .seed = i, .kept = &kept };
            assert_int_equal(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
        }
        for (size_t i = 0; i < WD_COUNT(w); i++) {
            void *bad;
            assert_int_equal(pthread_join(w[i].thread, &bad), 0);
            assert_null(bad);
        }
        wd_files_sweep(p.f);
        assert_int_equal(count(p.f), kept);
        if (on_disk) { /* and the directory holds just these */
            p.now = 900;
            place_again(&p);
            assert_int_equal(count(p.f), kept);
        }
        p.now = 1100;
        assert_int_equal(wd_files_sweep(p.f), kept);
        place_end(&p);
    }
}

/* The first operation fails, then the second, and so on: a file is there whole or not at all, and room is given back. */
static void failures_leave_all_or_nothing(void **state)
{
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        place p;
        wd_kept k = of("user:a", "a");
        wd_err e = { 0 };
        place_make(&p, true);
        p.o.max_bytes = p.o.owner_bytes = 4;
        place_again(&p);
        wd_inject_failure(nth);
        const wd_status st = wd_files_put(p.f, &k, wd_span_str("1234"), &e);
        const bool reached = wd_inject_failure(0) >= nth;
        if (st) {
            assert_true(reached && e.text[0]);
            assert_int_equal(count(p.f), 0);
            place_again(&p);
            assert_int_equal(count(p.f), 0);
            k = of("user:a", "a");
            assert_ok(wd_files_put(p.f, &k, wd_span_str("1234"), &err));
        }
        place_again(&p);
        expect(p.f, k.id, "1234");
        wd_inject_failure(nth);
        const wd_status gone = wd_files_delete(p.f, k.id, &e);
        wd_inject_failure(0);
        if (gone) /* told that it failed: it may be asked again */
            assert_ok(wd_files_delete(p.f, k.id, &err));
        place_again(&p);
        assert_int_equal(count(p.f), 0);
        place_end(&p);
        if (!reached)
            break;
        assert_true(nth < 200);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_comes_back_until_it_is_deleted),
        cmocka_unit_test(time_ends_a_file),
        cmocka_unit_test(responses_lie_apart_from_uploads),
        cmocka_unit_test(limits_hold_and_deleting_makes_room),
        cmocka_unit_test(the_directory_shows_nothing_and_takes_no_changes),
        cmocka_unit_test(keys_are_refused_that_others_read_or_that_are_none),
        cmocka_unit_test(half_written_files_go),
        cmocka_unit_test(many_whose_time_is_over_cost_one_sync),
        cmocka_unit_test(what_cannot_be_deleted_is_tried_again),
        cmocka_unit_test(threads_keep_and_delete_beside_each_other),
        cmocka_unit_test(failures_leave_all_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
