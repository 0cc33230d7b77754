/* Merging against the plain definition, for short, cached and long pieces. */
#include "support/test.h"

#include "base/clock.h"
#include "base/rand.h"
#include "text/bpe.h"

#define N_MERGE 120

/* Random merges over the letters a..d: tokens 0..255 are bytes, token 256 + i is what merge i makes. */
static void random_merges(wd_rand *r, wd_bpe_merge *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        do {
            const uint64_t a = wd_rand_below(r, i + 4), b = wd_rand_below(r, i + 4);
            m[i].left = (uint32_t)(a < 4 ? 'a' + a : 256 + a - 4);
            m[i].right = (uint32_t)(b < 4 ? 'a' + b : 256 + b - 4);
            for (k = 0; k < i && (m[k].left != m[i].left || m[k].right != m[i].right); k++)
                continue;
        } while (k < i);
        m[i].id = (uint32_t)(256 + i);
    }
}

static void init(wd_bpe *b, const wd_bpe_merge *m, size_t n)
{
    *b = (wd_bpe){ 0 };
    for (uint32_t i = 0; i < 256; i++)
        b->byte_id[i] = i;
    assert_ok(wd_bpe_init(b, m, n, "t", &err));
}

/* The definition: the best rank anywhere, its leftmost place, again and again. */
static size_t merge_plainly(const wd_bpe_merge *m, size_t n_merge, uint32_t *id, size_t n)
{
    for (size_t rank = 0; rank < n_merge;) {
        size_t i = 0;
        while (i + 1 < n && (id[i] != m[rank].left || id[i + 1] != m[rank].right))
            i++;
        if (i + 1 >= n) {
            rank++;
            continue;
        }
        id[i] = m[rank].id;
        n--;
        memmove(id + i + 1, id + i + 2, (n - i - 1) * sizeof(*id));
        rank = 0;
    }
    return n;
}

static void check_lengths(size_t min, size_t max, int rounds, uint64_t seed)
{
    wd_bpe_merge m[N_MERGE];
    wd_bpe b;
    wd_rand r;

    wd_rand_init(&r, seed);
    for (int set = 0; set < 5; set++) {
        random_merges(&r, m, N_MERGE);
        init(&b, m, N_MERGE);
        wd_bpe_work *w = wd_bpe_work_create();
        for (int round = 0; round < rounds; round++) {
            const size_t n = min + wd_rand_below(&r, max - min + 1);
            uint8_t *p = wd_calloc(n, 1);
            uint32_t *want = wd_calloc(n, sizeof(*want));
            wd_ids got = { 0 };
            for (size_t i = 0; i < n; i++)
                want[i] = p[i] = (uint8_t)('a' + wd_rand_below(&r, 2 + (uint64_t)set % 3));
            const size_t n_want = merge_plainly(m, N_MERGE, want, n);
            for (int again = 0; again < 2; again++) { /* the second time from the cache, if it fits */
                wd_ids_clear(&got);
                assert_ok(wd_bpe_encode(&b, w, p, n, &got, &err));
                assert_int_equal(got.n, n_want);
                assert_memory_equal(got.v, want, n_want * sizeof(*want));
            }
            wd_ids_free(&got);
            wd_free(want);
            wd_free(p);
        }
        wd_bpe_work_trim(w);
        wd_bpe_work_destroy(w);
        wd_bpe_free(&b);
    }
}

static void short_pieces_merge_as_defined(void **state)
{
    (void)state;
    check_lengths(1, 40, 2000, 1);
}

static void pieces_around_the_border_of_short_and_long_merge_as_defined(void **state)
{
    (void)state;
    check_lengths(60, 100, 300, 2);
}

static void long_pieces_merge_as_defined(void **state)
{
    (void)state;
    check_lengths(100, 600, 40, 3);
}

static void equal_pairs_merge_from_the_left(void **state)
{
    static const wd_bpe_merge m[] = { { 'a', 'a', 256 }, { 256, 256, 257 } };
    wd_bpe b;
    wd_ids ids = { 0 };
    wd_bpe_work *w = wd_bpe_work_create();
    (void)state;

    init(&b, m, 2);
    assert_ok(wd_bpe_encode(&b, w, (const uint8_t *)"aaaaaaa", 7, &ids, &err));
    assert_int_equal(ids.n, 3);
    assert_true(ids.v[0] == 257 && ids.v[1] == 256 && ids.v[2] == 'a');
    wd_ids_free(&ids);
    wd_bpe_work_destroy(w);
    wd_bpe_free(&b);
}

static void a_repeated_merge_is_refused(void **state)
{
    static const wd_bpe_merge m[] = { { 'a', 'b', 256 }, { 'b', 'c', 257 }, { 'a', 'b', 256 } };
    wd_bpe b = { 0 };
    (void)state;

    assert_fails(wd_bpe_init(&b, m, 3, "t", &err), WD_E_INVALID, "t: merges[2] repeats merges[0]");
    wd_bpe_free(&b);
}

/* A megabyte of one letter: quadratic merging would take an hour. */
static void a_megabyte_without_a_break_is_quick(void **state)
{
    const size_t n = (size_t)1 << 20;
    wd_bpe_merge m[20];
    wd_bpe b;
    wd_ids ids = { 0 };
    uint8_t *p = wd_calloc(n, 1);
    wd_bpe_work *w = wd_bpe_work_create();
    (void)state;

    for (uint32_t i = 0; i < 20; i++)
        m[i] = (wd_bpe_merge){ i ? 255 + i : 'a', i ? 255 + i : 'a', 256 + i };
    init(&b, m, 20);
    memset(p, 'a', n);
    const double t = wd_clock_s();
    assert_ok(wd_bpe_encode(&b, w, p, n, &ids, &err));
    assert_int_equal(ids.n, 1);
    assert_int_equal(ids.v[0], 275);
    assert_true(wd_clock_s() - t < 20); /* about 0.2 s; the limit is for sanitizers and busy machines */
    wd_ids_free(&ids);
    wd_free(p);
    wd_bpe_work_destroy(w);
    wd_bpe_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_pieces_merge_as_defined),
        cmocka_unit_test(pieces_around_the_border_of_short_and_long_merge_as_defined),
        cmocka_unit_test(long_pieces_merge_as_defined),
        cmocka_unit_test(equal_pairs_merge_from_the_left),
        cmocka_unit_test(a_repeated_merge_is_refused),
        cmocka_unit_test(a_megabyte_without_a_break_is_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
