/* ward tokenize as a program. */
#include "support/test.h"

#include "base/json.h"
#include "support/program.h"
#include "text/tokenizer.h"

#define MODEL GOLDEN_CHECKPOINTS "/vl-embedding"

static void tokenize(const char *const args[4], test_output *o)
{
    const char *argv[8] = { WARD_PROGRAM, "tokenize", "-m", MODEL };

    for (size_t i = 0; i < 3 && args[i]; i++)
        argv[4 + i] = args[i];
    test_run(argv, o);
}

static void ids_of(unsigned flags, const char *text, wd_ids *ids)
{
    wd_tokenizer *tok;

    assert_ok(wd_tokenizer_open(MODEL, &tok, &err));
    assert_ok(wd_tokenizer_encode(tok, wd_span_str(text), flags, ids, &err));
    wd_tokenizer_close(tok);
}

/* The ids as the program prints them. */
static wd_buf line_of(unsigned flags, const char *text)
{
    wd_ids ids = { 0 };
    wd_buf line = { 0 };

    ids_of(flags, text, &ids);
    for (size_t i = 0; i < ids.n; i++)
        wd_buf_printf(&line, "%s%u", i ? " " : "", ids.v[i]);
    wd_buf_char(&line, '\n');
    wd_ids_free(&ids);
    return line;
}

static void text_becomes_a_line_of_ids(void **state)
{
    static const struct {
        const char *option;
        unsigned flags;
    } ways[] = { { "--no-special", WD_TOK_PLAIN },
                 { "--special", WD_TOK_SPECIAL },
                 { "--post", WD_TOK_POST } };
    const char *text = "No pleural effusion.<|im_end|>";
    (void)state;

    for (size_t i = 0; i < WD_COUNT(ways); i++) {
        test_output o = { 0 };
        wd_buf want = line_of(ways[i].flags, text);
        tokenize((const char *const[4]){ ways[i].option, text }, &o);
        assert_int_equal(o.exit_code, 0);
        assert_string_equal((const char *)o.out.p, (const char *)want.p);
        wd_buf_free(&want);
        test_output_free(&o);
    }
}

static void ids_become_the_text_again(void **state)
{
    const char *text = "\xE8\x82\xBA\xE9\x83\xA8 4.5 cm";
    test_output o = { 0 };
    wd_buf line = line_of(0, text);
    (void)state;

    tokenize((const char *const[4]){ "--decode", (const char *)line.p }, &o);
    assert_int_equal(o.exit_code, 0);
    assert_string_equal((const char *)o.out.p, text);
    wd_buf_free(&line);
    test_output_free(&o);
}

static void json_holds_ids_and_pieces(void **state)
{
    test_output o = { 0 };
    json_t *v;
    (void)state;

    tokenize((const char *const[4]){ "--json", "-s", "a<|im_end|>" }, &o);
    assert_int_equal(o.exit_code, 0);
    assert_ok(wd_json_parse(wd_buf_view(&o.out), "stdout", &v, &err));
    assert_int_equal(json_integer_value(json_object_get(v, "count")), 2);
    assert_int_equal(json_array_size(json_object_get(v, "tokens")), 2);
    assert_string_equal(json_string_value(json_array_get(json_object_get(v, "pieces"), 1)), "<|im_end|>");
    json_decref(v);
    test_output_free(&o);
}

static void what_is_wrong_is_said_with_its_exit_code(void **state)
{
    static const struct {
        const char *args[4];
        int status;
        const char *part;
    } bad[] = { { { "--decode", "12 x" }, 3, "byte 3 is 0x78" },
                { { "--decode", "1 4294967296" }, 3, "id number 2 is past the vocabulary" },
                { { "--decode", "--special", "1" }, 2, "--decode does not go with" },
                { { "-m", "/nonexistent", "x" }, 3, "/nonexistent/tokenizer.json" } };
    (void)state;

    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        test_output o = { 0 };
        tokenize(bad[i].args, &o);
        assert_int_equal(o.exit_code, bad[i].status);
        assert_non_null(strstr((const char *)o.err.p, bad[i].part));
        test_output_free(&o);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_becomes_a_line_of_ids),
        cmocka_unit_test(ids_become_the_text_again),
        cmocka_unit_test(json_holds_ids_and_pieces),
        cmocka_unit_test(what_is_wrong_is_said_with_its_exit_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
