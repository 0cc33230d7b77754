#include "text/schema/matcher.h"

#include "base/rand.h"
#include "mini.h"
#include "support/test.h"

/* Words of every awkward kind: across strings and structure, halves of characters, escapes. */
static const char *const words[] = {
    "",      "{",    "}",        "[",        "]",    ",",        ":",        "\"",      "\\",   " ",
    "\n",    "  ",   "a",        "b",        "ab",   "\"a",      "\"a\"",    "a\"",     "a\":", "\":",
    "\",\"", "\"}",  "\"]",      "{\"",      "{}",   "[]",       "]}",       "}}",      "1",    "2",
    "12",    "-",    ".",        "1,",       "0",    "0.5",      "true",     "tr",      "ue",   "null",
    "n",     "ull",  "\\\"",     "\\n",      "\\u",  "00",       "1f",       "\xe6",    "\xbc", "\xa2",
    "漢",    "字\"", "é",        "\xc3",     "\xa9", "\xf0\x9f", "\x98\x80", "\": \"",  "\",",  "},{\"",
    "\t",    "u",    "\\u001",   "f",        "x",    "xy",       "\"x\":",   "\"b\":1", "b\"",  "\": ",
    "[[",    "\"\"", "ab\":",    "\"ab\"",   "yes",  "y",        "es",       "no",      "A1",   "B",
    "7",     "aab",  "\xed\xa0", "\xe0\x80",
};
#define N (WD_COUNT(words) + 256) /* and every byte */
#define END 0u                    /* the empty word */

static const char *const schemas[] = {
    "{}",
    "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"maxLength\":3},\"ab\":{\"type\":"
    "\"integer\"}},"
    "\"required\":[\"a\"]}",
    "{\"type\":\"object\",\"properties\":{\"a\":{},\"b\":{}},\"additionalProperties\":false,"
    "\"minProperties\":1}",
    "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"^a*b\"},\"maxItems\":3}",
    "{\"type\":\"array\",\"items\":{\"type\":\"number\",\"minimum\":-1,\"maximum\":12.5}}",
    "{\"enum\":[\"ab\",\"a\",[\"x\",{\"b\":1}],null]}",
    "{\"anyOf\":[{\"type\":\"string\",\"minLength\":2},{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}},{"
    "\"const\":12}]}",
    "{\"type\":\"string\",\"minLength\":2,\"maxLength\":4}",
    "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"boolean\"},\"maxProperties\":2}",
};

static wd_span token[N];

static void fill_tokens(void)
{
    static uint8_t byte[256];
    for (size_t i = 0; i < WD_COUNT(words); i++)
        token[i] = wd_span_str(words[i]);
    for (size_t i = 0; i < 256; i++) {
        byte[i] = (uint8_t)i;
        token[WD_COUNT(words) + i] = wd_span_of(&byte[i], 1);
    }
}

static wd_lexicon *lexicon(void)
{
    wd_lexicon *l = NULL;
    fill_tokens();
    assert_ok(wd_lexicon_create_list(token, N, &l, &err));
    assert_int_equal(wd_lexicon_n_vocab(l), N);
    return l;
}

static bool lines_before; /* of the matchers that are made */

static wd_matcher *matcher(const wd_constraint *c, wd_lexicon *l)
{
    const uint32_t end = END;
    wd_matcher *m = NULL;
    assert_ok(wd_matcher_create(c, l, &end, 1, &m, &err));
    if (lines_before)
        wd_matcher_allow_lines_before(m);
    return m;
}

static bool bit(const uint64_t *mask, uint32_t id)
{
    return mask[id / 64] >> id % 64 & 1;
}

/* Whether the token may come after the ones so far, found out by following bytes alone. */
static bool may_come(const wd_constraint *c, wd_lexicon *l, const uint32_t *so_far, size_t n, uint32_t id)
{
    wd_matcher *m = matcher(c, l);
    wd_err err;
    for (size_t i = 0; i < n; i++)
        assert_int_equal(wd_matcher_advance(m, so_far[i], &err), WD_OK);
    const bool yes = wd_matcher_advance(m, id, &err) == WD_OK;
    wd_matcher_destroy(m);
    return yes;
}

static void check_walk(const wd_constraint *c, wd_lexicon *l, wd_rand *r)
{
    uint32_t so_far[40];
    size_t n = 0;
    wd_matcher *m = matcher(c, l);
    wd_buf text = { 0 };
    while (n < WD_COUNT(so_far)) {
        uint64_t mask[(N + 63) / 64];
        uint32_t may[N];
        size_t n_may = 0;
        assert_ok(wd_matcher_mask(m, mask, &err));
        for (uint32_t id = 0; id < N; id++) {
            if (bit(mask, id) != may_come(c, l, so_far, n, id))
                fail_msg("after %s: token %u is %d", text.p ? (const char *)text.p : "", id, bit(mask, id));
            if (bit(mask, id))
                may[n_may++] = id;
        }
        assert_true(n_may > 0);
        assert_int_equal(bit(mask, END), wd_matcher_complete(m));
        assert_int_equal(bit(mask, END), wd_constraint_accepts(c, wd_buf_view(&text)));
        const uint32_t id = may[wd_rand_below(r, n_may)];
        assert_ok(wd_matcher_advance(m, id, &err));
        if (id == END) {
            assert_ok(wd_matcher_mask(m, mask, &err));
            for (uint32_t k = 0; k < N; k++)
                assert_false(bit(mask, k));
            assert_fails(wd_matcher_advance(m, END, &err), WD_E_INVALID, "may not come");
            break;
        }
        wd_buf_span(&text, token[id]);
        so_far[n++] = id;
    }
    wd_buf_free(&text);
    wd_matcher_destroy(m);
}

static void masks_hold_exactly_what_may_come(void **state)
{
    (void)state;
    wd_rand r;
    wd_rand_init(&r, 7);
    wd_lexicon *l = lexicon();
    for (size_t i = 0; i < WD_COUNT(schemas); i++)
        for (int space = 0; space < 2; space++) {
            wd_constraint *c = NULL;
            assert_ok(wd_constraint_schema(wd_span_str(schemas[i]), space ? WD_SPACE_NONE : WD_SPACE_BOUNDED,
                                           &c, &err));
            for (int walk = 0; walk < 6; walk++) {
                lines_before = walk & 1;
                check_walk(c, l, &r);
            }
            lines_before = false;
            wd_constraint_unref(&c);
        }
    static const char *const regexes[] = { "(?:yes|no)[A-Z]?", "[^\"]*", "a*b{2}|漢+字\"" };
    for (size_t i = 0; i < WD_COUNT(regexes); i++) {
        wd_constraint *c = NULL;
        assert_ok(wd_constraint_regex(wd_span_str(regexes[i]), &c, &err));
        for (int walk = 0; walk < 5; walk++)
            check_walk(c, l, &r);
        wd_constraint_unref(&c);
    }
    wd_lexicon_destroy(l);
}

#define MANY 3000

static bool has_double(const wd_span *word, const uint64_t *mask, uint32_t id)
{
    for (uint32_t k = 1; k < MANY; k++)
        if (k != id && bit(mask, k) && wd_span_eq(word[k], word[id]))
            return true;
    return false;
}

/* A vocabulary dense enough for whole branches of its trie to be alike: words of up to five pieces of four kinds. */
static wd_lexicon *dense_lexicon(wd_rand *r, wd_span *word, uint8_t (*bytes)[16])
{
    static const char *const piece[] = { "a", "b", "e",  "q",      "Z",  "7",   " ",  ".",
                                         "-", "@", "a",  "e",      "ab", "漢",  "字", "水",
                                         "é", "я", "\"", "\\",     "\n", "\\n", "\t", "n",
                                         "u", "æ", "¼",  "ð", "", "í ",  "Ñ" };
    wd_lexicon *l = NULL;
    for (size_t i = 1; i < MANY; i++) {
        size_t n = 0;
        if (i <= 256)
            bytes[i][n++] = (uint8_t)(i - 1);
        for (size_t k = i <= 256 ? 0 : 1 + wd_rand_below(r, 5); k > 0 && n + 3 < sizeof bytes[i]; k--) {
            const wd_span p = wd_span_str(
                piece[wd_rand_below(r, wd_rand_below(r, 3) ? 19 : WD_COUNT(piece))]);
            memcpy(bytes[i] + n, p.p, p.n);
            n += p.n;
        }
        word[i] = wd_span_of(bytes[i], n);
    }
    assert_ok(wd_lexicon_create_list(word, MANY, &l, &err));
    return l;
}

/* Patterns whose states are of every sort that masks are found by: welcome kinds, unwelcome ones, counts, odd states. */
static void masks_of_patterns_hold_exactly_what_may_come(void **state)
{
    static const char *const patterns[] = {
        "{\"type\":\"string\",\"pattern\":\"e+\"}",
        "{\"type\":\"string\",\"pattern\":\"^[^e]*$\"}",
        "{\"type\":\"string\",\"pattern\":\"^[^e]{3,8}$\"}",
        "{\"type\":\"string\",\"pattern\":\"^[a-z]{1,4}( [a-z]{1,4}){0,3}\\\\.$\"}",
        "{\"type\":\"string\",\"pattern\":\"^[一-鿿]{2,4}$\"}",
        "{\"type\":\"string\",\"pattern\":\"^[一-漢a-z ]{2,40}$\"}",
        "{\"type\":\"string\",\"pattern\":\"^(?:[ab]*@)?[^@]*$\"}",
        "{\"type\":\"string\",\"pattern\":\"^[^a]*\\\\n[^b]*$\"}",
        "{\"type\":\"string\",\"format\":\"email\"}",
        "{\"oneOf\":[{\"type\":\"string\",\"maxLength\":4},{\"type\":\"string\",\"minLength\":3}]}",
    };
    (void)state;
    wd_rand r;
    wd_rand_init(&r, 11);
    wd_span *word = WD_ALLOC_N(wd_span, MANY);
    uint8_t(*bytes)[16] = wd_calloc(MANY, sizeof *bytes);
    wd_lexicon *l = dense_lexicon(&r, word, bytes);
    for (size_t i = 0; i < WD_COUNT(patterns) + 2; i++) {
        wd_constraint *c = NULL;
        if (i < WD_COUNT(patterns))
            assert_ok(wd_constraint_schema(wd_span_str(patterns[i]), WD_SPACE_NONE, &c, &err));
        else
            assert_ok(wd_constraint_regex(wd_span_str(i % 2 ? "[a-z ]*(?:7|é)[^e\"]*" : "[^q]*"), &c, &err));
        uint64_t mask[(MANY + 63) / 64];
        for (int walk = 0; walk < 2; walk++) {
            wd_matcher *m = matcher(c, l);
            uint32_t so_far[6];
            for (size_t n = 0; n < WD_COUNT(so_far); n++) {
                size_t n_may = 0;
                assert_ok(wd_matcher_mask(m, mask, &err));
                for (uint32_t id = 1; id < MANY; id++) {
                    const bool first = bit(mask, id); /* of tokens with equal bytes one is in */
                    n_may += first;
                    if (first && !may_come(c, l, so_far, n, id))
                        fail_msg("%zu: token %u may not come", i, id);
                    if (!first && may_come(c, l, so_far, n, id) && !has_double(word, mask, id))
                        fail_msg("%zu: token %u may come", i, id);
                }
                if (!n_may)
                    break;
                size_t k = wd_rand_below(&r, n_may);
                uint32_t id = 1;
                while (!bit(mask, id) || k-- > 0)
                    id++;
                assert_ok(wd_matcher_advance(m, id, &err));
                so_far[n] = id;
            }
            wd_matcher_destroy(m);
        }
        wd_constraint_unref(&c);
    }
    wd_lexicon_destroy(l);
    wd_free(word);
    wd_free(bytes);
}

static void what_is_certain_is_told_ahead(void **state)
{
    (void)state;
    wd_lexicon *l = lexicon();
    wd_constraint *c = NULL;
    assert_ok(wd_constraint_schema(
        WD_SPAN_LIT(
            "{\"type\":\"object\",\"properties\":{\"first\":{\"enum\":[\"same here\",\"same there\"]}},"
            "\"required\":[\"first\"],\"additionalProperties\":false}"),
        WD_SPACE_NONE, &c, &err));
    wd_matcher *m = matcher(c, l);
    wd_buf b = { 0 };
    wd_matcher_ahead_bytes(m, 100, &b);
    assert_string_equal((const char *)b.p, "{\"first\":\"same ");
    wd_buf_clear(&b);
    wd_matcher_ahead_bytes(m, 3, &b);
    assert_string_equal((const char *)b.p, "{\"f");
    wd_buf_free(&b);
    wd_matcher_destroy(m);
    wd_constraint_unref(&c);
    wd_lexicon_destroy(l);
}

static void ahead_comes_in_tokens_of_the_tokenizer(void **state)
{
    (void)state;
    wd_buf json = { 0 };
    wd_tokenizer *tok;
    wd_lexicon *l;
    wd_constraint *c;
    mini_json(&(mini){ .vocab = "\"ab\":256", .merges = "\"a b\"" }, &json);
    assert_ok(wd_tokenizer_open_json(wd_buf_view(&json), "mini", &tok, &err));
    assert_ok(wd_lexicon_create(tok, 300, &l, &err));
    assert_ok(wd_constraint_choice(&WD_SPAN_LIT("xabab"), 1, &c, &err));
    wd_matcher *m = matcher(c, l);
    wd_ids ids = { 0 };
    wd_matcher_ahead(m, tok, 10, &ids);
    assert_int_equal(ids.n, 2); /* the last one could be part of another */
    assert_int_equal(ids.v[0], 'x');
    assert_int_equal(ids.v[1], 256);
    for (size_t i = 0; i < ids.n; i++)
        assert_ok(wd_matcher_advance(m, ids.v[i], &err));
    wd_ids_free(&ids);
    wd_matcher_destroy(m);
    wd_constraint_unref(&c);
    wd_lexicon_destroy(l);
    wd_tokenizer_close(tok);
    wd_buf_free(&json);
}

/* Many objects one after another: cells are tidied, names of each object are its own. */
static void long_documents_stay_correct(void **state)
{
    (void)state;
    wd_lexicon *l = lexicon();
    wd_constraint *c = NULL;
    assert_ok(wd_constraint_schema(WD_SPAN_LIT("{\"type\":\"array\",\"items\":{\"type\":\"object\"}}"),
                                   WD_SPACE_NONE, &c, &err));
    wd_matcher *m = matcher(c, l);
    static const char *const once[] = { "{\"", "a\":", "1", ",", "\"x\":", "true", "}" };
    const char *const *w = once;
    assert_ok(wd_matcher_advance(m, 3, &err)); /* "[" */
    for (int i = 0; i < 7 * 2000; i++) {
        uint32_t k = 1;
        while (strcmp(words[k], w[i % 7]) != 0)
            k++;
        assert_ok(wd_matcher_advance(m, k, &err));
        if (i % 7 == 3) { /* a name that was used */
            uint32_t used = 1;
            while (strcmp(words[used], "\"a\"") != 0)
                used++;
            assert_fails(wd_matcher_advance(m, used, &err), WD_E_INVALID, "may not come");
        }
        if (i % 7 == 6)
            assert_ok(wd_matcher_advance(m, 5, &err)); /* "," */
    }
    wd_matcher_destroy(m);
    wd_constraint_unref(&c);
    wd_lexicon_destroy(l);
}

/* 256 objects that are told apart by their last member alone. */
static wd_constraint *much_alike(const char *types)
{
    wd_buf s = { 0 };
    wd_constraint *c = NULL;
    wd_buf_str(&s, "{\"anyOf\":[");
    for (int i = 0; i < 256; i++)
        wd_buf_printf(&s,
                      "%s{\"type\":\"object\",\"properties\":{\"a\":{\"type\":[%s]},\"x%d\":{}},"
                      "\"required\":[\"a\",\"x%d\"],\"additionalProperties\":false}",
                      i ? "," : "", types, i, i);
    wd_buf_str(&s, "]}");
    assert_ok(wd_constraint_schema(wd_buf_view(&s), WD_SPACE_NONE, &c, &err));
    wd_buf_free(&s);
    return c;
}

/* The first byte that was not taken, NULL: all were. */
static const char *write_bytes(wd_matcher *m, const char *text, wd_err *err)
{
    for (; *text; text++) {
        uint32_t id = 0; /* of equal words the first is the token */
        while (token[id].n != 1 || token[id].p[0] != (uint8_t)*text)
            id++;
        if (wd_matcher_advance(m, id, err))
            return text;
    }
    return NULL;
}

static void alternatives_are_followed_or_refused_but_never_dropped(void **state)
{
    (void)state;
    wd_lexicon *l = lexicon();
    uint64_t mask[(N + 63) / 64];
    wd_err why;
    wd_constraint *c = much_alike("\"string\",\"null\""), *too_many = much_alike("\"boolean\",\"null\"");
    wd_matcher *m = matcher(c, l);
    assert_null(write_bytes(m, "{\"a\":", &why));
    assert_ok(wd_matcher_mask(m, mask, &err));
    assert_null(write_bytes(m, "null,\"x255\":1}", &why));
    assert_true(wd_matcher_complete(m));
    wd_matcher_destroy(m);

    m = matcher(too_many, l);
    assert_null(write_bytes(m, "{\"a\"", &why));
    assert_string_equal(write_bytes(m, ":", &why), ":");
    assert_int_equal(why.code, WD_E_LIMIT);
    assert_non_null(strstr(why.text, "begin alike"));
    assert_fails(wd_matcher_mask(m, mask, &err), WD_E_LIMIT,
                 "begin alike"); /* a token beyond it is looked at */
    wd_matcher_destroy(m);
    wd_constraint_unref(&c);
    wd_constraint_unref(&too_many);
    wd_lexicon_destroy(l);
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    wd_constraint *c = NULL;
    assert_ok(wd_constraint_object(WD_SPACE_BOUNDED, &c, &err));
    fill_tokens();
    for (uint64_t nth = 1;; nth++) {
        wd_err err;
        wd_lexicon *l = NULL;
        wd_matcher *m = NULL;
        uint64_t mask[(N + 63) / 64];
        const uint32_t end = END;
        wd_inject_failure(nth);
        wd_status st = wd_lexicon_create_list(token, N, &l, &err);
        if (!st)
            st = wd_matcher_create(c, l, &end, 1, &m, &err);
        for (size_t i = 0; !st && i < 3; i++) {
            st = wd_matcher_mask(m, mask, &err);
            if (!st)
                st = wd_matcher_advance(m, i == 0 ? 23 : 12, &err); /* {" a */
        }
        const uint64_t left = wd_inject_failure(0);
        wd_matcher_destroy(m);
        wd_lexicon_destroy(l);
        if (left < nth) {
            assert_int_equal(st, WD_OK);
            break;
        }
        assert_int_equal(st, WD_E_NOMEM);
        assert_true(nth < 1000);
    }
    wd_constraint_unref(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_hold_exactly_what_may_come),
        cmocka_unit_test(masks_of_patterns_hold_exactly_what_may_come),
        cmocka_unit_test(what_is_certain_is_told_ahead),
        cmocka_unit_test(ahead_comes_in_tokens_of_the_tokenizer),
        cmocka_unit_test(long_documents_stay_correct),
        cmocka_unit_test(alternatives_are_followed_or_refused_but_never_dropped),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("schema_matcher", tests, NULL, NULL);
}
