/* Encoding and decoding with the small golden tokenizer, and with the published one where it has been fetched. */
#include "support/test.h"

#include <pthread.h>

#include "base/file.h"
#include "base/json.h"
#include "base/rand.h"
#include "base/utf8.h"
#include "mini.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

static wd_tokenizer *pool; /* tests/golden/pool */
static json_t *golden;     /* tests/golden/tokenizer/cases.json */

static int open_golden(void **state)
{
    char path[600];
    (void)state;

    snprintf(path, sizeof(path), "%s/golden/pool", test_data_dir());
    assert_ok(wd_tokenizer_open(path, &pool, &err));
    snprintf(path, sizeof(path), "%s/golden/tokenizer/cases.json", test_data_dir());
    assert_ok(wd_json_read_file(path, (size_t)4 << 20, &golden, &err));
    return 0;
}

static int close_golden(void **state)
{
    (void)state;
    wd_tokenizer_close(pool);
    json_decref(golden);
    return 0;
}

static wd_tokenizer *open_mini(const mini *m)
{
    wd_buf json = { 0 };
    wd_tokenizer *tok;

    mini_json(m, &json);
    assert_ok(wd_tokenizer_open_json(wd_buf_view(&json), "mini", &tok, &err));
    wd_buf_free(&json);
    return tok;
}

static void assert_ids(const wd_ids *got, const json_t *want)
{
    assert_int_equal(got->n, json_array_size(want));
    for (size_t i = 0; i < got->n; i++)
        assert_int_equal(got->v[i], json_integer_value(json_array_get(want, i)));
}

static void encoding_equals_the_reference(void **state)
{
    (void)state;
    const json_t *cases = json_object_get(golden, "cases");
    assert_true(json_array_size(cases) > 50);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *text = json_object_get(c, "text");
        const wd_span s = wd_span_of(json_string_value(text), json_string_length(text));
        wd_ids ids = { 0 };
        assert_ok(wd_tokenizer_encode(pool, s, WD_TOK_SPECIAL, &ids, &err));
        assert_ids(&ids, json_object_get(c, "ids"));
        wd_ids_clear(&ids);
        assert_ok(wd_tokenizer_encode(pool, s, WD_TOK_PLAIN, &ids, &err));
        assert_ids(&ids, json_object_get(c, "plain"));
        for (size_t k = 0; k < ids.n; k++)
            assert_false(wd_tokenizer_is_added(pool, ids.v[k]));
        wd_ids_free(&ids);
    }
}

/* The pool's tokenizer.json as lists, as a GGUF file has it. */
static void put_lists(const json_t *doc, wd_arena *a, wd_tok_lists *l)
{
    const json_t *model = json_object_get(doc, "model"), *vocab = json_object_get(model, "vocab"), *v;
    const json_t *merges = json_object_get(model, "merges"), *added = json_object_get(doc, "added_tokens");
    const char *word;
    l->n_token = json_object_size(vocab) + json_array_size(added) + 3; /* the last rows are without tokens */
    l->n_merge = json_array_size(merges);
    wd_span *token = WD_NEW_N(a, wd_span, l->n_token), *merge = WD_NEW_N(a, wd_span, l->n_merge);
    uint8_t *kind = WD_NEW_N(a, uint8_t, l->n_token);
    json_object_foreach((json_t *)vocab, word, v)
    {
        token[json_integer_value(v)] = wd_span_str(word);
        kind[json_integer_value(v)] = WD_TOK_KIND_PIECE;
    }
    for (size_t i = 0; i < json_array_size(added); i++) {
        const json_t *o = json_array_get(added, i);
        const json_int_t id = json_integer_value(json_object_get(o, "id"));
        token[id] = wd_span_str(json_string_value(json_object_get(o, "content")));
        kind[id] = json_is_true(json_object_get(o, "special")) ? WD_TOK_KIND_SPECIAL : WD_TOK_KIND_ADDED;
    }
    for (size_t i = 0; i < l->n_merge; i++) {
        const json_t *m = json_array_get(merges, i);
        merge[i] = wd_span_str(json_is_string(m)
                                   ? json_string_value(m)
                                   : wd_arena_printf(a, "%s %s", json_string_value(json_array_get(m, 0)),
                                                     json_string_value(json_array_get(m, 1))));
    }
    l->token = token;
    l->kind = kind;
    l->merge = merge;
    l->before = l->after = WD_TOKEN_NONE;
}

static void lists_give_the_same_tokenizer(void **state)
{
    (void)state;
    char path[600];
    json_t *doc;
    wd_tok_lists l;
    wd_tokenizer *tok;
    const json_t *cases = json_object_get(golden, "cases");
    wd_arena *a = wd_arena_create(16u << 20, false);
    snprintf(path, sizeof(path), "%s/golden/pool/tokenizer.json", test_data_dir());
    assert_ok(wd_json_read_file(path, (size_t)4 << 20, &doc, &err));
    put_lists(doc, a, &l);
    l.after = wd_tokenizer_id(pool, "<|endoftext|>");
    assert_ok(wd_tokenizer_open_lists(&l, "lists", &tok, &err));
    assert_int_equal(wd_tokenizer_n_vocab(tok), wd_tokenizer_n_vocab(pool));
    for (uint32_t id = 0; id < wd_tokenizer_n_vocab(pool); id++) {
        assert_true(wd_span_eq(wd_tokenizer_bytes(tok, id), wd_tokenizer_bytes(pool, id)));
        assert_int_equal(wd_tokenizer_is_added(tok, id), wd_tokenizer_is_added(pool, id));
        assert_int_equal(wd_tokenizer_is_special(tok, id), wd_tokenizer_is_special(pool, id));
    }
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *text = json_object_get(c, "text");
        const wd_span s = wd_span_of(json_string_value(text), json_string_length(text));
        wd_ids ids = { 0 };
        assert_ok(wd_tokenizer_encode(tok, s, WD_TOK_SPECIAL, &ids, &err));
        assert_ids(&ids, json_object_get(c, "ids"));
        wd_ids_clear(&ids);
        assert_ok(wd_tokenizer_encode(tok, s, WD_TOK_PLAIN, &ids, &err));
        assert_ids(&ids, json_object_get(c, "plain"));
        wd_ids_clear(&ids);
        assert_ok(wd_tokenizer_encode(tok, s, WD_TOK_POST, &ids, &err));
        assert_int_equal(ids.v[ids.n - 1], l.after);
        wd_ids_free(&ids);
    }
    wd_tokenizer_close(tok);
    json_decref(doc);
    wd_arena_destroy(a);
}

static void lists_that_fit_badly_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *what, *part;
    } cases[] = {
        { "merge", "model.merges[0]: \"nothing\" is not two tokens with a space between" },
        { "unknown", "model.merges[0]: \"zzzzzzqq\" is not in the vocabulary" },
        { "empty", "lists: token 5 is empty" },
        { "twice", "comes twice" },
        { "no-byte", "model.vocab has no token for byte 0x" },
        { "end", "lists: the end of texts is id 4194303, which is no token" },
    };
    char path[600];
    json_t *doc;
    snprintf(path, sizeof(path), "%s/golden/pool/tokenizer.json", test_data_dir());
    assert_ok(wd_json_read_file(path, (size_t)4 << 20, &doc, &err));
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        wd_tok_lists l;
        wd_tokenizer *tok;
        wd_arena *a = wd_arena_create(16u << 20, false);
        put_lists(doc, a, &l);
        wd_span *token = (wd_span *)(uintptr_t)l.token, *merge = (wd_span *)(uintptr_t)l.merge;
        uint8_t *kind = (uint8_t *)(uintptr_t)l.kind;
        if (i == 0)
            merge[0] = WD_SPAN_LIT("nothing");
        if (i == 1)
            merge[0] = WD_SPAN_LIT("a zzzzzzqq");
        if (i == 2)
            token[5] = (wd_span){ 0 };
        if (i == 3)
            token[6] = token[5];
        if (i == 4)
            kind[5] = WD_TOK_KIND_NONE;
        if (i == 5)
            l.after = WD_VOCAB_ID_END - 1;
        assert_fails(wd_tokenizer_open_lists(&l, "lists", &tok, &err), WD_E_INVALID, cases[i].part);
        assert_null(tok);
        wd_arena_destroy(a);
    }
    json_decref(doc);
}

static void decoding_equals_the_reference(void **state)
{
    (void)state;
    const json_t *cases = json_object_get(golden, "cases");
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *c = json_array_get(cases, i), *list = json_object_get(c, "ids");
        wd_ids ids = { 0 };
        for (size_t k = 0; k < json_array_size(list); k++)
            wd_ids_put(&ids, (uint32_t)json_integer_value(json_array_get(list, k)));
        for (int skip = 0; skip < 2; skip++) {
            wd_buf text = { 0 };
            assert_ok(wd_tokenizer_decode(pool, ids.v, ids.n, skip, &text, &err));
            assert_true(wd_span_is(wd_buf_view(&text),
                                   json_string_value(json_object_get(c, skip ? "decoded_skip" : "decoded"))));
            wd_buf_free(&text);
        }
        wd_ids_free(&ids);
    }
}

/* Every id list of up to four tokens drawn from bytes and words, decoded token by token: whole characters at every
 * step, and in the end the text of all at once. */
static void token_by_token_decoding_never_splits_a_character(void **state)
{
    wd_rand r;
    (void)state;

    wd_rand_init(&r, 11);
    for (int round = 0; round < 20000; round++) {
        uint32_t ids[24];
        const size_t n = 1 + wd_rand_below(&r, WD_COUNT(ids));
        wd_buf at_once = { 0 }, streamed = { 0 };
        wd_detok d;
        for (size_t i = 0; i < n; i++) {
            const uint8_t high = (uint8_t)(0x80 + wd_rand_below(&r, 128)); /* mostly broken characters */
            ids[i] = wd_rand_below(&r, 4) ? wd_tokenizer_id_of(pool, wd_span_of(&high, 1))
                                          : (uint32_t)wd_rand_below(&r, wd_tokenizer_n_vocab(pool) + 5u);
        }
        const bool skip = round % 2;
        assert_ok(wd_tokenizer_decode(pool, ids, n, skip, &at_once, &err));
        wd_detok_init(&d, pool, skip);
        for (size_t i = 0; i < n; i++) {
            assert_ok(wd_detok_push(&d, ids[i], &streamed, &err));
            assert_true(wd_utf8_valid(wd_buf_view(&streamed)));
        }
        assert_ok(wd_detok_flush(&d, &streamed, &err));
        assert_true(wd_span_eq(wd_buf_view(&at_once), wd_buf_view(&streamed)));
        wd_buf_free(&at_once);
        wd_buf_free(&streamed);
    }
}

static void every_split_of_a_text_into_byte_tokens_streams_whole_characters(void **state)
{
    static const char text[] = "a\xC3\xA9\xE8\x82\xBA\xF0\x9F\x98\x80z";
    const size_t n = sizeof(text) - 1;
    (void)state;

    wd_detok d;
    wd_detok_init(&d, pool, false);
    wd_buf out = { 0 };
    for (size_t i = 0; i < n; i++) {
        assert_ok(wd_detok_push(&d, wd_tokenizer_id_of(pool, wd_span_of(text + i, 1)), &out, &err));
        const wd_span so_far = wd_span_of(text, i + 1);
        assert_int_equal(out.n, so_far.n - wd_utf8_partial(so_far)); /* no later than possible */
        assert_memory_equal(out.p, text, out.n);
    }
    wd_buf_clear(&out);
    assert_ok(wd_detok_push(&d, wd_tokenizer_id_of(pool, wd_span_of("\xF0", 1)), &out, &err));
    assert_ok(wd_detok_push(&d, wd_tokenizer_id_of(pool, wd_span_of("\x9F", 1)), &out, &err));
    assert_int_equal(out.n, 0);
    assert_ok(wd_detok_flush(&d, &out, &err));
    assert_true(wd_span_is(wd_buf_view(&out), "\xEF\xBF\xBD"));
    wd_buf_free(&out);
}

static void users_text_never_becomes_an_added_token(void **state)
{
    (void)state;
    for (uint32_t id = 0; id < wd_tokenizer_n_vocab(pool); id++) {
        wd_ids ids = { 0 };
        if (!wd_tokenizer_is_added(pool, id))
            continue;
        const wd_span text = wd_tokenizer_bytes(pool, id);
        assert_ok(wd_tokenizer_encode(pool, text, WD_TOK_PLAIN, &ids, &err));
        for (size_t i = 0; i < ids.n; i++)
            assert_false(wd_tokenizer_is_added(pool, ids.v[i]));
        wd_ids_clear(&ids);
        assert_ok(wd_tokenizer_encode(pool, text, WD_TOK_SPECIAL, &ids, &err));
        assert_int_equal(ids.n, 1);
        assert_int_equal(ids.v[0], id);
        wd_ids_free(&ids);
    }
}

static void encode_parts(const wd_tok_part *parts, size_t n, wd_ids *ids)
{
    wd_ids_clear(ids);
    assert_ok(wd_tokenizer_encode_parts(pool, parts, n, 0, ids, &err));
}

static size_t count(const wd_ids *ids, const char *token)
{
    size_t n = 0;
    for (size_t i = 0; i < ids->n; i++)
        n += ids->v[i] == wd_tokenizer_id(pool, token);
    return n;
}

static void an_added_token_never_reaches_into_a_users_part(void **state)
{
    const char *token = "<|im_end|>";
    wd_ids ids = { 0 };
    (void)state;

    for (size_t cut = 0; cut <= strlen(token); cut++) {
        const wd_span head = wd_span_of(token, cut), tail = wd_span_str(token + cut);
        for (int trust = 0; trust < 4; trust++) {
            const wd_tok_part parts[] = { { head, trust & 1 }, { tail, trust & 2 } };
            const bool whole = (cut == 0 || trust & 1) && (tail.n == 0 || trust & 2);
            encode_parts(parts, 2, &ids);
            assert_int_equal(count(&ids, token), whole);
        }
    }
    wd_ids_free(&ids);
}

static void parts_are_encoded_as_the_one_text_that_they_are(void **state)
{
    static const char text[] = "<|im_start|>user\n\nfind don't e\xCC\x81 12<|im_end|>\n";
    const size_t head = strlen("<|im_start|>"), tail = strlen("<|im_end|>\n"), n = sizeof(text) - 1;
    wd_ids whole = { 0 }, ids = { 0 };
    (void)state;

    assert_ok(wd_tokenizer_encode(pool, wd_span_str(text), WD_TOK_SPECIAL, &whole, &err));
    for (size_t cut = head; cut <= n - tail; cut++) {
        if ((text[cut] & 0xC0) == 0x80)
            continue; /* would break a character: see below */
        const wd_tok_part parts[] = { { wd_span_of(text, head), true },
                                      { wd_span_of(text + head, cut - head), true },
                                      { wd_span_of(text + cut, n - tail - cut), false },
                                      { wd_span_of(text + n - tail, tail), true } };
        encode_parts(parts, 4, &ids);
        assert_int_equal(ids.n, whole.n);
        assert_memory_equal(ids.v, whole.v, whole.n * sizeof(*ids.v));
    }
    wd_ids_free(&whole);
    wd_ids_free(&ids);
}

static void ill_formed_bytes_become_u_fffd_part_by_part(void **state)
{
    const wd_tok_part broken[] = { { wd_span_str("a\xE8\x82"), false }, { wd_span_str("\xBA"), true } };
    wd_ids ids = { 0 };
    wd_buf text = { 0 };
    (void)state;

    encode_parts(broken, 2, &ids);
    assert_ok(wd_tokenizer_decode(pool, ids.v, ids.n, false, &text, &err));
    assert_true(wd_span_is(wd_buf_view(&text), "a\xEF\xBF\xBD\xEF\xBF\xBD"));
    wd_buf_clear(&text);
    wd_ids_clear(&ids);
    assert_ok(wd_tokenizer_encode(pool, WD_SPAN_LIT("\xFFx\xF0\x9F\x98\xC3\xA9\xED\xA0\x80"), 0, &ids, &err));
    assert_ok(wd_tokenizer_decode(pool, ids.v, ids.n, false, &text, &err));
    assert_true(wd_span_is(wd_buf_view(&text),
                           "\xEF\xBF\xBDx\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"));
    wd_buf_free(&text);
    wd_ids_free(&ids);
}

static void the_longest_added_token_at_the_leftmost_place_wins(void **state)
{
    const mini m = { .added = MINI_ADDED(256, "<a", true) "," MINI_ADDED(257, "<ab>", false) "," MINI_ADDED(
                         258, "ab>c", true) };
    wd_tokenizer *tok = open_mini(&m);
    wd_ids ids = { 0 };
    (void)state;

    assert_ok(wd_tokenizer_encode(tok, WD_SPAN_LIT("<ab>c<ab<"), WD_TOK_SPECIAL, &ids, &err));
    const uint32_t want[] = { 257, 'c', 256, 'b', '<' };
    assert_int_equal(ids.n, WD_COUNT(want));
    for (size_t i = 0; i < ids.n; i++) {
        const wd_span b = wd_tokenizer_bytes(tok, ids.v[i]);
        assert_true(want[i] >= 256 ? ids.v[i] == want[i] : b.n == 1 && b.p[0] == want[i]);
    }
    assert_true(wd_tokenizer_is_special(tok, 256) && !wd_tokenizer_is_special(tok, 257));
    assert_true(wd_tokenizer_is_added(tok, 257) && !wd_tokenizer_is_added(tok, 'a'));
    assert_int_equal(wd_tokenizer_id(tok, "<ab>"), 257);
    assert_int_equal(wd_tokenizer_id(tok, "<abc>"), WD_TOKEN_NONE);
    wd_ids_free(&ids);
    wd_tokenizer_close(tok);
}

static void merges_are_read_in_both_spellings_and_in_any_place(void **state)
{
    static const mini forms[] = {
        { .vocab = "\"ab\":256,\"\\u0120ab\":300", .merges = "[\"a\",\"b\"],[\"\\u0120\",\"ab\"]" },
        { .vocab = "\"ab\":256,\"\xC4\xA0"
                   "ab\":300",
          .merges = "\"a b\",\"\xC4\xA0 ab\"" },
        { .vocab = "\"ab\":256,\"\xC4\xA0"
                   "ab\":300",
          .merges = " [ \"a\" , \"b\" ] , \"\\u0120 ab\"",
          .order = "merges first" },
    };
    (void)state;

    for (size_t i = 0; i < WD_COUNT(forms); i++) {
        wd_tokenizer *tok = open_mini(&forms[i]);
        wd_ids ids = { 0 };
        assert_ok(wd_tokenizer_encode(tok, WD_SPAN_LIT("ab ab"), 0, &ids, &err));
        assert_int_equal(ids.n, 2);
        assert_int_equal(ids.v[0], 256);
        assert_int_equal(ids.v[1], 300);
        assert_int_equal(wd_tokenizer_n_vocab(tok), 301);
        assert_int_equal(wd_tokenizer_bytes(tok, 280).n, 0); /* a hole */
        assert_int_equal(wd_tokenizer_id(tok, " ab"), 300);
        wd_ids_free(&ids);
        wd_tokenizer_close(tok);
    }
}

static void the_post_processor_puts_its_tokens_around(void **state)
{
    const mini m = {
        .added = MINI_ADDED(256, "<s>", true) "," MINI_ADDED(257, "</s>", true),
        .post_processor = "{\"type\":\"Sequence\",\"processors\":[" MINI_BYTES
                          ",{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\","
                          "\"type_id\":0}},{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"SpecialToken\":{"
                          "\"id\":\"</s>\",\"type_id\":0}}],\"pair\":[],\"special_tokens\":{\"<s>\":{\"id\":"
                          "\"<s>\",\"ids\":[256],\"tokens\":[\"<s>\"]},\"</s>\":{\"id\":\"</s>\",\"ids\":"
                          "[257,257],\"tokens\":[\"</s>\",\"</s>\"]}}}]}"
    };
    wd_tokenizer *tok = open_mini(&m);
    wd_ids ids = { 0 };
    (void)state;

    assert_ok(wd_tokenizer_encode(tok, WD_SPAN_LIT("!"), WD_TOK_POST, &ids, &err));
    assert_int_equal(ids.n, 4);
    assert_true(ids.v[0] == 256 && ids.v[2] == 257 && ids.v[3] == 257);
    wd_ids_clear(&ids);
    assert_ok(wd_tokenizer_encode(tok, WD_SPAN_LIT("!"), 0, &ids, &err));
    assert_int_equal(ids.n, 1);
    wd_ids_free(&ids);
    wd_tokenizer_close(tok);
}

static void no_normalizer_leaves_text_as_it_is(void **state)
{
    const mini m = { .normalizer = "null" };
    wd_tokenizer *tok = open_mini(&m);
    wd_ids ids = { 0 };
    (void)state;

    assert_ok(wd_tokenizer_encode(tok, WD_SPAN_LIT("e\xCC\x81"), 0, &ids, &err));
    assert_int_equal(ids.n, 3);
    wd_ids_free(&ids);
    wd_tokenizer_close(tok);
}

static void ids_beyond_the_callers_limit_leave_the_array_as_it_was(void **state)
{
    wd_ids ids = { .max = 10 };
    (void)state;

    assert_ok(wd_tokenizer_encode(pool, WD_SPAN_LIT("1 2"), 0, &ids, &err));
    const size_t n = ids.n;
    assert_fails(wd_tokenizer_encode(pool, WD_SPAN_LIT("1234567890123"), 0, &ids, &err), WD_E_LIMIT,
                 "more than 10 tokens");
    assert_int_equal(ids.n, n);
    assert_ok(wd_tokenizer_encode(pool, WD_SPAN_LIT("3"), 0, &ids, &err));
    assert_int_equal(ids.n, n + 1);
    wd_ids_free(&ids);
}

static void *encode_all_cases(void *arg)
{
    const json_t *cases = json_object_get(golden, "cases");
    size_t *wrong = arg;

    for (int round = 0; round < 30; round++) {
        for (size_t i = 0; i < json_array_size(cases); i++) {
            const json_t *c = json_array_get(cases, i), *want = json_object_get(c, "plain");
            wd_ids ids = { 0 };
            wd_err err;
            *wrong += wd_tokenizer_encode(pool, wd_span_str(json_string_value(json_object_get(c, "text"))), 0,
                                          &ids, &err) != WD_OK;
            *wrong += ids.n != json_array_size(want);
            for (size_t k = 0; k < ids.n && k < json_array_size(want); k++)
                *wrong += ids.v[k] != (uint32_t)json_integer_value(json_array_get(want, k));
            wd_ids_free(&ids);
        }
    }
    return NULL;
}

static void threads_share_a_tokenizer(void **state)
{
    pthread_t thread[4];
    size_t wrong[4] = { 0 };
    (void)state;

    for (size_t i = 0; i < WD_COUNT(thread); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, encode_all_cases, &wrong[i]), 0);
    for (size_t i = 0; i < WD_COUNT(thread); i++) {
        pthread_join(thread[i], NULL);
        assert_int_equal(wrong[i], 0);
    }
}

/* The specification's spot checks. Skipped where tools/fetch-tokenizer has not been run. */
static void the_published_tokenizer_gives_the_specified_ids(void **state)
{
    static const struct {
        const char *text;
        uint32_t id[2];
        size_t n;
    } want[] = { { "Hello world", { 9707, 1879 }, 2 },
                 { " Hello world", { 21927, 1879 }, 2 },
                 { "system", { 8948 }, 1 },
                 { "user", { 872 }, 1 },
                 { "assistant", { 77091 }, 1 },
                 { "\n", { 198 }, 1 },
                 { "yes", { 9693 }, 1 },
                 { "no", { 2152 }, 1 },
                 { "Yes", { 9454 }, 1 },
                 { "No", { 2753 }, 1 },
                 { "<|im_end|>", { 151645 }, 1 },
                 { "</think>", { 151668 }, 1 } };
    char path[600];
    wd_tokenizer *tok;
    (void)state;

    snprintf(path, sizeof(path), "%s/../.cache/qwen3-tokenizer", test_data_dir());
    if (!wd_file_is_dir(path))
        skip();
    assert_ok(wd_tokenizer_open(path, &tok, &err));
    assert_int_equal(wd_tokenizer_n_vocab(tok), 151669);
    for (size_t i = 0; i < WD_COUNT(want); i++) {
        wd_ids ids = { 0 };
        assert_ok(wd_tokenizer_encode(tok, wd_span_str(want[i].text), WD_TOK_SPECIAL, &ids, &err));
        assert_int_equal(ids.n, want[i].n);
        assert_memory_equal(ids.v, want[i].id, ids.n * sizeof(*ids.v));
        wd_ids_free(&ids);
    }
    wd_tokenizer_close(tok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding_equals_the_reference),
        cmocka_unit_test(lists_give_the_same_tokenizer),
        cmocka_unit_test(lists_that_fit_badly_are_refused),
        cmocka_unit_test(decoding_equals_the_reference),
        cmocka_unit_test(token_by_token_decoding_never_splits_a_character),
        cmocka_unit_test(every_split_of_a_text_into_byte_tokens_streams_whole_characters),
        cmocka_unit_test(users_text_never_becomes_an_added_token),
        cmocka_unit_test(an_added_token_never_reaches_into_a_users_part),
        cmocka_unit_test(parts_are_encoded_as_the_one_text_that_they_are),
        cmocka_unit_test(ill_formed_bytes_become_u_fffd_part_by_part),
        cmocka_unit_test(the_longest_added_token_at_the_leftmost_place_wins),
        cmocka_unit_test(merges_are_read_in_both_spellings_and_in_any_place),
        cmocka_unit_test(the_post_processor_puts_its_tokens_around),
        cmocka_unit_test(no_normalizer_leaves_text_as_it_is),
        cmocka_unit_test(ids_beyond_the_callers_limit_leave_the_array_as_it_was),
        cmocka_unit_test(threads_share_a_tokenizer),
        cmocka_unit_test(the_published_tokenizer_gives_the_specified_ids),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
