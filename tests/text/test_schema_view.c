/* Views of a vocabulary: as automata see it, masks are what a walk through its bytes gives. */
#include <pthread.h>

#include "support/test.h"
#include "text/schema/lexicon_inner.h"
#include "text/schema/matcher.h"

#define MANY 6000

typedef struct words {
    wd_span word[MANY];
    uint8_t bytes[MANY][12];
} words;

/* Every byte, then words of up to four pieces: letters mostly, wide characters, halves of them, quotes, escapes. */
static wd_lexicon *lexicon(words *w)
{
    static const char *const piece[] = { "a",  "b", "c",        "e",  "t",   "x",    "A",   "Z",
                                         "0",  "7", " ",        "-",  ".",   "@",    "\"",  "\\",
                                         "漢", "é", "\xe6\xbc", "\n", "\\n", "\\u0", "\xf0" };
    const size_t n_piece = WD_COUNT(piece);
    wd_lexicon *l = NULL;
    for (size_t i = 0; i < MANY; i++) {
        size_t n = 0;
        if (i < 256)
            w->bytes[i][n++] = (uint8_t)i;
        for (size_t x = i < 256 ? 0 : i * 7; x; x /= n_piece) {
            const wd_span p = wd_span_str(piece[x % n_piece]);
            memcpy(w->bytes[i] + n, p.p, WD_MIN(p.n, sizeof w->bytes[i] - n));
            n = WD_MIN(n + p.n, sizeof w->bytes[i]);
        }
        w->word[i] = wd_span_of(w->bytes[i], n);
    }
    assert_ok(wd_lexicon_create_list(w->word, MANY, &l, &err));
    return l;
}

static const char *const patterns[] = {
    "[^e]*",        "[^e]{2,5}",      "(?:[^e]*e[^t]*t[^a]*)?", "[a-z]{1,3}(?: [a-z]{1,3})*",
    "[漢é]*[^漢]?", "(?:ab|ce)+|x.*", "[\\s\\S]{0,6}",          "[^a]*\\n[^b]*",
    "7{4}",         "\\w{0,3}\"?"
};

static wd_constraint *constraint(size_t i, bool raw)
{
    wd_constraint *c = NULL;
    wd_buf json = { 0 };
    if (raw) {
        assert_ok(wd_constraint_regex(wd_span_str(patterns[i]), &c, &err));
        return c;
    }
    wd_buf_str(&json, "{\"type\":\"string\",\"pattern\":");
    wd_buf_str(&json, "\"^(?:");
    for (const char *p = patterns[i]; *p; p++)
        wd_buf_printf(&json, *p == '\\' || *p == '"' ? "\\%c" : "%c", *p);
    wd_buf_str(&json, ")$\"}");
    assert_ok(wd_constraint_schema(wd_buf_view(&json), WD_SPACE_NONE, &c, &err));
    wd_buf_free(&json);
    return c;
}

static void check_state(const wd_lexicon *l, const wd_lex_view *view, const wd_str_shape *s, uint32_t q)
{
    const wd_thread t = { .where = WD_AT_STRING, .shape = s, .phase = WD_PH_TEXT, .q = q };
    wd_lex_mask *fast = wd_lexicon__find(l, view, &t, UINT32_MAX - 1, NULL),
                *plain = wd_lexicon__find(l, NULL, &t, UINT32_MAX - 1, NULL);
    assert_true(fast && plain);
    assert_memory_equal(fast->bit, plain->bit, l->n_word * sizeof *fast->bit);
    assert_int_equal(fast->n_close, plain->n_close);
    assert_memory_equal(fast->close, plain->close, fast->n_close * sizeof *fast->close);
    wd_lexicon__free_mask(fast);
    wd_lexicon__free_mask(plain);
}

static void a_view_gives_what_a_walk_of_the_bytes_gives(void **state)
{
    (void)state;
    words *w = WD_ALLOC(words);
    wd_lexicon *l = lexicon(w);
    size_t n_view = 0, n_none = 0;
    for (size_t i = 0; i < 2 * WD_COUNT(patterns); i++) {
        wd_constraint *c = constraint(i / 2, i % 2);
        const wd_lex_views *v = wd_lexicon__views(l, c);
        assert_non_null(v);
        const wd_str_shape *s = &c->node[0].str[0];
        n_view += v->of[s->id] != NULL;
        n_none += v->of[s->id] == NULL;
        for (uint32_t q = 0; q < s->dfa->n_state; q++)
            check_state(l, v->of[s->id], s, q);
        wd_lexicon__give_back_views(l, v);
        wd_constraint_unref(&c);
    }
    assert_true(n_view > WD_COUNT(patterns)); /* both ways were taken */
    assert_true(n_none > 0);
    wd_lexicon_destroy(l);
    wd_free(w);
}

static void automata_with_the_same_classes_share_a_view(void **state)
{
    (void)state;
    words *w = WD_ALLOC(words);
    wd_lexicon *l = lexicon(w);
    wd_constraint *c[] = { constraint(0, true), constraint(1, true), constraint(0, false) };
    const wd_lex_views *v[WD_COUNT(c)];
    for (size_t i = 0; i < WD_COUNT(c); i++)
        assert_non_null(v[i] = wd_lexicon__views(l, c[i]));
    assert_non_null(v[0]->of[1]);
    assert_ptr_equal(v[0]->of[1], v[1]->of[1]);
    assert_ptr_not_equal(v[0]->of[1], v[2]->of[1]); /* quotes and escapes are something else there */
    assert_ptr_equal(wd_lexicon__views(l, c[0]), v[0]);
    wd_lexicon__give_back_views(l, v[0]);
    for (size_t i = 0; i < WD_COUNT(c); i++) {
        wd_lexicon__give_back_views(l, v[i]);
        wd_constraint_unref(&c[i]);
    }
    wd_lexicon__give_back_views(l, NULL);
    wd_lexicon_destroy(l);
    wd_free(w);
}

/* Constraints come and go; the views of those in use stay. */
static void what_is_kept_of_views_is_bounded(void **state)
{
    (void)state;
    words *w = WD_ALLOC(words);
    wd_lexicon *l = lexicon(w);
    wd_constraint *held = constraint(3, true);
    const wd_lex_views *v = wd_lexicon__views(l, held);
    for (int i = 0; i < 700; i++) {
        wd_constraint *c = constraint((size_t)i % 3, true);
        const wd_lex_views *passing = wd_lexicon__views(l, c);
        assert_non_null(passing);
        wd_lexicon__give_back_views(l, passing);
        wd_constraint_unref(&c);
    }
    assert_true(l->n_views <= 512);
    assert_ptr_equal(wd_lexicon__views(l, held), v);
    const wd_str_shape *s = &held->node[0].str[0];
    check_state(l, v->of[s->id], s, 0);
    wd_lexicon__give_back_views(l, v);
    wd_lexicon__give_back_views(l, v);
    wd_constraint_unref(&held);
    wd_lexicon_destroy(l);
    wd_free(w);
}

typedef struct worker {
    wd_lexicon *l;
    wd_constraint **c;
    uint64_t sum[WD_COUNT(patterns)];
} worker;

static void *find_masks(void *arg)
{
    worker *k = arg;
    for (size_t i = 0; i < WD_COUNT(patterns); i++) {
        wd_matcher *m;
        wd_err err;
        uint64_t mask[(MANY + 63) / 64];
        const uint32_t end = 0;
        if (wd_matcher_create(k->c[i], k->l, &end, 1, &m, &err) || wd_matcher_mask(m, mask, &err))
            return k;
        for (size_t n = 0; n < WD_COUNT(mask); n++)
            k->sum[i] = k->sum[i] * 31 + mask[n];
        wd_matcher_destroy(m);
    }
    return NULL;
}

static void threads_share_views(void **state)
{
    (void)state;
    words *w = WD_ALLOC(words);
    wd_lexicon *l = lexicon(w);
    wd_constraint *c[WD_COUNT(patterns)];
    pthread_t t[4];
    worker k[4];
    for (size_t i = 0; i < WD_COUNT(patterns); i++)
        c[i] = constraint(i, true);
    for (size_t i = 0; i < 4; i++) {
        k[i] = (worker){ .l = l, .c = c };
        assert_int_equal(pthread_create(&t[i], NULL, find_masks, &k[i]), 0);
    }
    for (size_t i = 0; i < 4; i++) {
        void *bad;
        assert_int_equal(pthread_join(t[i], &bad), 0);
        assert_null(bad);
        assert_memory_equal(k[i].sum, k[0].sum, sizeof k[0].sum);
    }
    for (size_t i = 0; i < WD_COUNT(patterns); i++)
        wd_constraint_unref(&c[i]);
    wd_lexicon_destroy(l);
    wd_free(w);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    words *w = WD_ALLOC(words);
    wd_lexicon *l = lexicon(w);
    bool passed = false;
    for (uint64_t nth = 1; !passed; nth++) {
        wd_constraint *c = constraint(2, true); /* a new one each time: nothing of it is kept */
        wd_matcher *m = NULL;
        wd_err err;
        uint64_t mask[(MANY + 63) / 64];
        const uint32_t end = 0;
        wd_inject_failure(nth);
        wd_status st = wd_matcher_create(c, l, &end, 1, &m, &err);
        if (!st)
            st = wd_matcher_mask(m, mask, &err);
        passed = wd_inject_failure(0) < nth;
        assert_int_equal(st, passed ? WD_OK : WD_E_NOMEM);
        wd_matcher_destroy(m);
        wd_constraint_unref(&c);
        assert_true(nth < 1000);
    }
    wd_lexicon_destroy(l);
    wd_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_gives_what_a_walk_of_the_bytes_gives),
        cmocka_unit_test(automata_with_the_same_classes_share_a_view),
        cmocka_unit_test(what_is_kept_of_views_is_bounded),
        cmocka_unit_test(threads_share_views),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
