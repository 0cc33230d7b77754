/* What is no tokenizer.json that Ward reads: each gets its sentence, none a crash. */
#include "support/test.h"

#include "base/file.h"
#include "base/json.h"
#include "mini.h"
#include "text/tokenizer.h"

static wd_status open_text(wd_span json, wd_err *err)
{
    wd_tokenizer *tok;
    const wd_status st = wd_tokenizer_open_json(json, "t", &tok, err);

    if (st)
        assert_null(tok);
    wd_tokenizer_close(tok);
    return st;
}

static wd_status open_mini(const mini *m, wd_err *err)
{
    wd_buf json = { 0 };

    mini_json(m, &json);
    const wd_status st = open_text(wd_buf_view(&json), err);
    wd_buf_free(&json);
    return st;
}

typedef struct bad {
    mini m;
    wd_status st;
    const char *part; /* of the sentence */
} bad;

static void check_all(const bad *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_fails(open_mini(&list[i].m, &err), list[i].st, list[i].part);
}

static void vocabularies_that_contradict_themselves_are_refused(void **state)
{
    static const bad list[] = {
        { { .vocab = "\"ab\":7" }, WD_E_INVALID, "id 7 belongs to two tokens" },
        { { .vocab = "\"a\":256" }, WD_E_INVALID, "token \"a\" comes twice" },
        { { .vocab = "\"\":256" }, WD_E_INVALID, "an empty token" },
        { { .vocab = "\"ab\":-1" }, WD_E_INVALID, "a token's id is not a whole number" },
        { { .vocab = "\"ab\":1.5" }, WD_E_INVALID, "a token's id is not a whole number" },
        { { .vocab = "\"ab\":\"256\"" }, WD_E_INVALID, "a token's id is not a whole number" },
        { { .vocab = "\"ab\":2147483648" }, WD_E_LIMIT, "a token's id is over 4194303" },
        { { .vocab = "\"ab\":18446744073709551616" }, WD_E_LIMIT, "a token's id is over" },
        { { .vocab = "\"a b\":256" }, WD_E_INVALID, "token \"a b\" is not written in the byte alphabet" },
        { { .vocab = "\"\xE8\x82\xBA\":256" }, WD_E_INVALID, "not written in the byte alphabet" },
        { { .vocab = "\"\xC5\x84\":256" }, WD_E_INVALID, "not written in the byte alphabet" }, /* U+0144 */
        { { .vocab = "\"\xC4\":256" }, WD_E_INVALID, "not written in the byte alphabet" },
        { { .left_out = 1 + 'a' }, WD_E_INVALID, "no token for byte 0x61" },
        { { .left_out = 1 }, WD_E_INVALID, "no token for byte 0x00" },
    };
    (void)state;

    check_all(list, WD_COUNT(list));
}

static void merges_that_make_no_sense_are_refused(void **state)
{
    static const bad list[] = {
        { { .merges = "[\"a\",\"xy\"]" }, WD_E_INVALID, "model.merges[0]: \"xy\" is not in the vocabulary" },
        { { .merges = "\"xy a\"" }, WD_E_INVALID, "\"xy\" is not in the vocabulary" },
        { { .merges = "[\"a\",\"b\"]" },
          WD_E_INVALID,
          "model.merges[0] makes a token that is not in the vocabulary" },
        { { .vocab = "\"ab\":256", .merges = "\"a b\",[\"a\",\"b\"]" },
          WD_E_INVALID,
          "merges[1] repeats merges[0]" },
        { { .merges = "\"ab\"" }, WD_E_INVALID, "is not two tokens with a space between" },
        { { .merges = "\"\"" }, WD_E_INVALID, "is not two tokens" },
        { { .merges = "\"a b c\"" }, WD_E_INVALID, "\"b c\" is not in the vocabulary" },
        { { .merges = "[\"a\"]" }, WD_E_INVALID, "model.merges[0] is not a pair" },
        { { .merges = "[\"a\",\"b\",\"c\"]" }, WD_E_INVALID, "model.merges[0] is not a pair" },
        { { .merges = "7" }, WD_E_CORRUPT, "expected a string" },
        { { .merges = "[\"\xE8\",\"a\"]" }, WD_E_INVALID, "is not in the vocabulary" },
        { { .vocab = "\"<s>\":256,\"<s\":257",
            .merges = "\"< s\",\"<s >\"",
            .added = MINI_ADDED(256, "<s>", true) },
          WD_E_INVALID,
          "model.merges[1] makes the added token \"<s>\" out of plain text" },
    };
    (void)state;

    check_all(list, WD_COUNT(list));
}

static void added_tokens_that_clash_are_refused(void **state)
{
    static const bad list[] = {
        { { .added = MINI_ADDED(97, "<s>", true) },
          WD_E_INVALID,
          "id 97 of \"<s>\" belongs to another token" },
        { { .added = MINI_ADDED(256, "<s>", true) "," MINI_ADDED(257, "<s>", true) },
          WD_E_INVALID,
          "\"<s>\" comes twice" },
        { { .added = MINI_ADDED(256, "<s>", true) "," MINI_ADDED(256, "<t>", true) },
          WD_E_INVALID,
          "another token" },
        { { .added = MINI_ADDED(256, "", true) }, WD_E_INVALID, "content is empty" },
        { { .added = MINI_ADDED(4194304, "<s>", true) }, WD_E_INVALID, "id is 4194304" },
        { { .added = MINI_ADDED(-1, "<s>", true) }, WD_E_INVALID, "id is -1" },
        { { .added = "{\"id\":256}" }, WD_E_INVALID, "added_tokens[0]: content is missing" },
        { { .added = "{\"content\":\"x\"}" }, WD_E_INVALID, "added_tokens[0]: id is missing" },
        { { .added = "7" }, WD_E_INVALID, "added_tokens[0]" },
        { { .vocab = "\"<s>\":256", .added = MINI_ADDED(257, "<s>", true) },
          WD_E_INVALID,
          "has id 257, but 256 in model.vocab" },
        { { .vocab = "\"a\xC3\x82\":300", .added = MINI_ADDED(300, "a\xC3\x82", true) },
          WD_E_INVALID,
          "belongs to another token" },
        { { .added = MINI_ADDED(65, "A", true) }, WD_E_INVALID, "" },
        { { .added = "{\"id\":256,\"content\":\"x\",\"lstrip\":true}" },
          WD_E_UNSUPPORTED,
          "lstrip matching" },
        { { .added = "{\"id\":256,\"content\":\"x\",\"normalized\":true}" },
          WD_E_UNSUPPORTED,
          "normalized matching" },
        { { .added = "{\"id\":256,\"content\":\"x\",\"single_word\":1}" }, WD_E_INVALID, "single_word" },
    };
    (void)state;

    check_all(list, WD_COUNT(list));
}

static void other_kinds_are_refused_by_name(void **state)
{
    static const bad list[] = {
        { { .normalizer = "{\"type\":\"NFKC\"}" }, WD_E_UNSUPPORTED, "normalizer of type NFKC" },
        { { .normalizer = "[]" }, WD_E_UNSUPPORTED, "normalizer of type (none)" },
        { { .pre_tokenizer = "null" }, WD_E_UNSUPPORTED, "pre_tokenizer of type (none)" },
        { { .pre_tokenizer = "{\"type\":\"Metaspace\"}" },
          WD_E_UNSUPPORTED,
          "pre_tokenizer of type Metaspace" },
        { { .pre_tokenizer = "{\"type\":\"Sequence\",\"pretokenizers\":[" MINI_SPLIT "]}" },
          WD_E_UNSUPPORTED,
          "Sequence of Split" },
        { { .pre_tokenizer = "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{"
                             "\"Regex\":\"a+\"},"
                             "\"behavior\":\"Isolated\",\"invert\":false}," MINI_BYTES "]}" },
          WD_E_UNSUPPORTED,
          "splits by \"a+\"" },
        { { .post_processor = "{\"type\":\"BertProcessing\"}" },
          WD_E_UNSUPPORTED,
          "post_processor of type BertProcessing" },
        { { .post_processor = "{\"type\":\"TemplateProcessing\",\"single\":[]}" },
          WD_E_UNSUPPORTED,
          "post_processor template" },
        { { .post_processor = "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}},{"
                              "\"SpecialToken\":{"
                              "\"id\":\"x\"}}],\"special_tokens\":{}}" },
          WD_E_INVALID,
          "special token \"x\" has no ids" },
        { { .post_processor = "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{\"id\":\"A\"}},{"
                              "\"SpecialToken\":{"
                              "\"id\":\"x\"}}],\"special_tokens\":{\"x\":{\"ids\":[999]}}}" },
          WD_E_INVALID,
          "\"x\" stands for an id that is no token" },
        { { .decoder = "{\"type\":\"WordPiece\"}" }, WD_E_UNSUPPORTED, "decoder of type WordPiece" },
        { { .model = "\"type\":\"Unigram\"," }, WD_E_UNSUPPORTED, "model.type is \"Unigram\"" },
        { { .model = "\"type\":\"BPE\",\"byte_fallback\":true," },
          WD_E_UNSUPPORTED,
          "model.byte_fallback is true" },
        { { .model = "\"dropout\":0.1," }, WD_E_UNSUPPORTED, "model.dropout is 0.1" },
        { { .model = "\"end_of_word_suffix\":\"</w>\"," }, WD_E_UNSUPPORTED, "model.end_of_word_suffix" },
        { { .model = "\"vocab\":{}," }, WD_E_CORRUPT, "model.vocab comes twice" },
        { { .model = "\"vocab\":[]," }, WD_E_INVALID, "model.vocab is not an object" },
        { { .more = "\"spice\":1," }, WD_E_UNSUPPORTED, "\"spice\" is not a part" },
        { { .more = "\"decoder\":{\"type\":\"Fuse\"}," }, WD_E_CORRUPT, "decoder comes twice" },
        { { .more = "\"model\":{\"vocab\":{},\"merges\":[]}," }, WD_E_CORRUPT, "model comes twice" },
        { { .more = "\"model\":{\"vocab\":{}}," }, WD_E_INVALID, "model.merges is missing" },
    };
    (void)state;

    check_all(list, WD_COUNT(list));
    assert_fails(open_text(WD_SPAN_LIT("{}"), &err), WD_E_INVALID, "model is missing");
    assert_fails(open_text(WD_SPAN_LIT("[]"), &err), WD_E_INVALID, "the document is not an object");
    assert_fails(open_text(WD_SPAN_LIT(""), &err), WD_E_CORRUPT, "cut off");
}

/* A whole small file, cut at every byte. */
static void a_file_cut_anywhere_is_refused(void **state)
{
    const mini m = { .vocab = "\"ab\":256",
                     .merges = "[\"a\",\"b\"]",
                     .added = MINI_ADDED(257, "<s>", true) };
    wd_buf json = { 0 };
    wd_err failure;
    (void)state;

    mini_json(&m, &json);
    for (size_t n = 0; n < json.n; n++) {
        const wd_status st = open_text(wd_span_of(json.p, n), &failure);
        if (st != WD_E_CORRUPT && st != WD_E_INVALID)
            fail_msg("cut at %zu: %s", n, wd_status_name(st));
    }
    assert_ok(open_text(wd_buf_view(&json), &err));
    wd_buf_str(&json, " x");
    assert_fails(open_text(wd_buf_view(&json), &err), WD_E_CORRUPT, "expected the end of the file");
    wd_buf_free(&json);
}

/* A whole small file with each byte changed to several others: refused or read, never a crash. */
static void a_file_with_any_byte_changed_does_not_crash(void **state)
{
    static const char put[] = "\"\\{}[],:0\xFF";
    const mini m = { .vocab = "\"ab\":256", .merges = "\"a b\"", .added = MINI_ADDED(257, "<s>", true) };
    wd_buf json = { 0 };
    wd_err failure;
    (void)state;

    mini_json(&m, &json);
    for (size_t i = 0; i < json.n; i++) {
        const uint8_t was = json.p[i];
        json.p[i] = (uint8_t)put[i % (sizeof(put) - 1)];
        (void)!open_text(wd_buf_view(&json), &failure);
        json.p[i] = was;
    }
    wd_buf_free(&json);
}

static void enormous_strings_are_refused(void **state)
{
    static const char *const before[] = { "{\"model\":{\"vocab\":{\"", "{\"added_tokens\":[{\"content\":\"",
                                          "{\"" };
    static const char *const part[] = { "longer than 16384 bytes", "added_tokens is longer than 16 MiB",
                                        "is not a part" };
    const size_t n = (size_t)100 << 20;
    wd_buf json = { 0 };
    (void)state;

    for (size_t i = 0; i < WD_COUNT(before); i++) {
        wd_buf_clear(&json);
        wd_buf_str(&json, before[i]);
        uint8_t *p = wd_buf_grow(&json, n);
        assert_non_null(p);
        memset(p, 'a', n);
        wd_buf_str(&json, i == 1 ? "\"}]}" : "\":1}}}");
        assert_fails(open_text(wd_buf_view(&json), &err), i == 2 ? WD_E_UNSUPPORTED : WD_E_LIMIT, part[i]);
    }
    wd_buf_free(&json);
}

static void a_missing_file_is_named(void **state)
{
    char *dir = test_make_dir();
    wd_tokenizer *tok = NULL;
    (void)state;

    assert_fails(wd_tokenizer_open(dir, &tok, &err), WD_E_NOT_FOUND, "/tokenizer.json");
    test_write(dir, "tokenizer.json", "{\"model\":", 9);
    assert_fails(wd_tokenizer_open(dir, &tok, &err), WD_E_CORRUPT, "/tokenizer.json: ends at byte 9");
    assert_null(tok);
    test_rm_dir(dir);
}

/* The n-th allocation or read fails, for every n: the sentence says so and nothing leaks (the sanitizer build sees it). */
static void every_failed_allocation_while_opening_is_survived(void **state)
{
    const mini m = { .vocab = "\"ab\":256",
                     .merges = "[\"\\u0061\",\"b\"]",
                     .added = MINI_ADDED(257, "<s>", true) };
    char *dir = test_make_dir();
    wd_buf json = { 0 };
    (void)state;

    mini_json(&m, &json);
    test_write(dir, "tokenizer.json", json.p, json.n);
    for (uint64_t n = 1;; n++) {
        wd_tokenizer *tok;
        wd_err failure;
        wd_inject_failure(n);
        const wd_status st = wd_tokenizer_open(dir, &tok, &failure);
        const uint64_t seen = wd_inject_failure(0);
        if (st == WD_OK) {
            assert_true(seen < n && n > 50);
            wd_tokenizer_close(tok);
            break;
        }
        wd_tokenizer_close(
            tok); /* jansson asks once more after a failure: then the file opens all the same */
        assert_true(st == WD_OK || st == WD_E_NOMEM || st == WD_E_IO);
    }
    wd_buf_free(&json);
    test_rm_dir(dir);
}

static void every_failed_allocation_while_encoding_is_survived(void **state)
{
    const mini m = { .vocab = "\"ab\":256",
                     .merges = "[\"a\",\"b\"]",
                     .added = MINI_ADDED(257, "<s>", true) };
    wd_buf json = { 0 }, text = { 0 };
    wd_tokenizer *tok;
    (void)state;

    mini_json(&m, &json);
    for (int i = 0; i < 300; i++)
        wd_buf_str(&text, "ab<s>e\xCC\x81\xFF");
    for (int i = 0; i < 300; i++)
        wd_buf_str(&text, "ab");
    for (uint64_t n = 1;; n++) {
        wd_ids ids = { 0 };
        wd_err failure;
        assert_ok(wd_tokenizer_open_json(wd_buf_view(&json), "t", &tok, &err));
        wd_inject_failure(n);
        const wd_status st = wd_tokenizer_encode(tok, wd_buf_view(&text), WD_TOK_SPECIAL, &ids, &failure);
        wd_inject_failure(0);
        assert_true(st == WD_OK || (st == WD_E_NOMEM && ids.n == 0));
        wd_ids_free(&ids);
        wd_tokenizer_close(tok);
        if (st == WD_OK) {
            assert_true(n > 5);
            break;
        }
    }
    wd_buf_free(&json);
    wd_buf_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vocabularies_that_contradict_themselves_are_refused),
        cmocka_unit_test(merges_that_make_no_sense_are_refused),
        cmocka_unit_test(added_tokens_that_clash_are_refused),
        cmocka_unit_test(other_kinds_are_refused_by_name),
        cmocka_unit_test(a_file_cut_anywhere_is_refused),
        cmocka_unit_test(a_file_with_any_byte_changed_does_not_crash),
        cmocka_unit_test(enormous_strings_are_refused),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(every_failed_allocation_while_opening_is_survived),
        cmocka_unit_test(every_failed_allocation_while_encoding_is_survived),
    };
    wd_json_use_our_memory();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
