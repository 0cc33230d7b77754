/* The GGUF container: what is read, and the sentence for everything that is not. */
#include "support/test.h"

#include <math.h>
#include <stdio.h>

#include "support/gguf.h"
#include "weights/gguf.h"

static wd_status parse(wd_span bytes, wd_err *err)
{
    wd_gguf g;
    wd_arena *a = wd_arena_create(1 << 20, false);
    assert_non_null(a);
    const wd_status st = wd_gguf_parse(bytes, "x.gguf", a, &g, err);
    wd_arena_destroy(a);
    return st;
}

/* Ends the builder. */
static void refuse(test_gguf *b, wd_status code, const char *part)
{
    wd_buf file = { 0 };
    test_gguf_end(b, &file);
    assert_fails(parse(wd_buf_view(&file), &err), code, part);
    wd_buf_free(&file);
}

static void make_small(wd_buf *file)
{
    static const int32_t sizes[] = { 3, -4 };
    static const char *const words[] = { "a", "", "\xe8\x82\xba" };
    test_gguf b = { 0 };
    test_gguf_str(&b, "general.architecture", "qwen3");
    test_gguf_u32(&b, "n", 7);
    test_gguf_u64(&b, "huge", UINT64_MAX);
    test_gguf_f32(&b, "x", 0.5f);
    test_gguf_bool(&b, "yes", true);
    test_gguf_i32s(&b, "sizes", sizes, 2);
    test_gguf_strs(&b, "words", words, 3);
    test_gguf_tensor(&b, "a", WD_GGML_F32, (const size_t[]){ 3, 2, 0 }, NULL);
    test_gguf_tensor(&b, "b", WD_GGML_Q8_0, (const size_t[]){ 2, 64, 0 }, NULL);
    test_gguf_end(&b, file);
}

static void file_is_read_with_metadata_and_tensors(void **state)
{
    (void)state;
    wd_buf file = { 0 };
    wd_gguf g;
    wd_span s, *words;
    size_t n;
    int64_t v;
    double x;
    bool yes;
    const wd_gguf_pair *p;
    wd_arena *a = wd_arena_create(1 << 20, false);
    make_small(&file);
    assert_ok(wd_gguf_parse(wd_buf_view(&file), "x.gguf", a, &g, &err));
    assert_int_equal(g.version, 3);
    assert_int_equal(g.n_pair, 7);
    assert_ok(wd_gguf_str(&g, "general.architecture", &s, &err));
    assert_true(wd_span_is(s, "qwen3"));
    assert_ok(wd_gguf_str(&g, "nothing", &s, &err));
    assert_null(s.p);
    assert_ok(wd_gguf_need_int(&g, "n", 0, 7, &v, &err));
    assert_int_equal(v, 7);
    assert_ok(wd_gguf_int(&g, "nothing", 0, 7, 5, &v, &err));
    assert_int_equal(v, 5);
    assert_ok(wd_gguf_num(&g, "x", 0, 1, 0, &x, &err));
    assert_true(x == 0.5);
    assert_ok(wd_gguf_need_num(&g, "n", 0, 10, &x, &err)); /* an integer is a number */
    assert_true(x == 7);
    assert_ok(wd_gguf_bool(&g, "yes", false, &yes, &err));
    assert_true(yes);
    assert_ok(wd_gguf_array(&g, "sizes", &p, &err));
    assert_int_equal(p->n, 2);
    assert_int_equal(wd_gguf_int_at(p, 1), -4);
    assert_true(wd_gguf_num_at(p, 0) == 3);
    assert_int_equal(wd_gguf_int_at(p, 2), INT64_MIN);
    assert_true(isnan(wd_gguf_num_at(p, 2)));
    assert_ok(wd_gguf_strings(&g, "words", a, &words, &n, &err));
    assert_int_equal(n, 3);
    assert_true(wd_span_is(words[0], "a") && words[1].n == 0 && wd_span_is(words[2], "\xe8\x82\xba"));

    assert_int_equal(g.n_tensor, 2);
    const wd_gguf_tensor *t = wd_gguf_tensor_find(&g, "a");
    assert_ptr_equal(t, &g.tensor[0]);
    assert_int_equal(t->n_dim, 2);
    assert_int_equal(t->dim[0], 3);
    assert_int_equal(t->dim[1], 2);
    assert_int_equal(t->bytes, 24);
    t = wd_gguf_tensor_find(&g, "b");
    assert_int_equal(t->type, WD_GGML_Q8_0);
    assert_int_equal(t->bytes, 2 * 2 * 34);
    assert_ptr_equal(t->data, g.tensor[0].data + 32);
    assert_int_equal(t->data[1], 7);
    assert_ptr_equal(t->data + t->bytes, file.p + file.n);
    assert_null(wd_gguf_tensor_find(&g, "c"));
    wd_arena_destroy(a);
    wd_buf_free(&file);
}

static void versions_and_byte_orders_are_named(void **state)
{
    (void)state;
    wd_buf file = { 0 };
    test_gguf b = { .version = 2 };
    test_gguf_u32(&b, "n", 7);
    test_gguf_end(&b, &file);
    assert_ok(parse(wd_buf_view(&file), &err));
    wd_buf_free(&file);
    b.version = 1;
    refuse(&b, WD_E_UNSUPPORTED, "x.gguf: GGUF version 1; versions 2 and 3, little-endian, are read");
    b.version = 4;
    refuse(&b, WD_E_UNSUPPORTED, "GGUF version 4;");
    b.version = 0x03000000;
    refuse(&b, WD_E_UNSUPPORTED, "(a big-endian file)");
    assert_fails(parse((wd_span){ 0 }, &err), WD_E_CORRUPT, "0 bytes, a GGUF file has at least 24");
    assert_fails(parse(WD_SPAN_LIT("GGML0123456789012345678901234567"), &err), WD_E_CORRUPT,
                 "does not begin with \"GGUF\"");
    assert_true(wd_gguf_is(WD_SPAN_LIT("GGUFxx")));
    assert_false(wd_gguf_is(WD_SPAN_LIT("GGU")));
}

static void every_prefix_of_a_file_is_refused(void **state)
{
    (void)state;
    wd_buf file = { 0 };
    make_small(&file);
    for (size_t n = 0; n < file.n; n++) {
        wd_err err = { 0 };
        uint8_t *copy = wd_calloc(n + 1, 1); /* at its end nothing may be read */
        memcpy(copy, file.p, n);
        const wd_status st = parse(wd_span_of(copy, n), &err);
        if (st != WD_E_CORRUPT)
            fail_msg("%zu of %zu bytes: %s %s", n, file.n, wd_status_name(st), err.text);
        wd_free(copy);
    }
    assert_ok(parse(wd_buf_view(&file), &err));
    wd_buf_str(&file, "something after the last tensor");
    assert_ok(parse(wd_buf_view(&file), &err));
    wd_buf_free(&file);
}

static void counts_are_believed_only_as_far_as_there_are_bytes(void **state)
{
    (void)state;
    test_gguf b = { 0 };
    b.n_pair = UINT32_MAX;
    refuse(&b, WD_E_LIMIT, "4294967295 metadata pairs and 0 tensors, at most 65536 and 1048576");
    b.n_tensor = UINT64_MAX;
    refuse(&b, WD_E_LIMIT, "18446744073709551615 tensors");
    b.n_tensor = 1000000;
    refuse(&b, WD_E_CORRUPT, "0 metadata pairs and 1000000 tensors do not fit in the 0 bytes");
    b.n_pair = 65536;
    refuse(&b, WD_E_CORRUPT, "do not fit");
    /* an array of 4 G strings, of 2^63 numbers, and a string of 2^64 - 1 bytes */
    static const uint8_t strings[] = { 8, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0 };
    test_gguf_raw(&b, "words", 9, strings, sizeof strings);
    refuse(&b, WD_E_CORRUPT, "the file ends (53 bytes) in words");
    static const uint8_t numbers[] = { 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80 };
    test_gguf_raw(&b, "numbers", 9, numbers, sizeof numbers);
    refuse(&b, WD_E_CORRUPT, "the file ends (55 bytes) in numbers");
    static const uint8_t text[] = { 255, 255, 255, 255, 255, 255, 255, 255, 'a' };
    test_gguf_raw(&b, "text", 8, text, sizeof text);
    refuse(&b, WD_E_CORRUPT, "in text");
}

static void metadata_is_checked(void **state)
{
    (void)state;
    test_gguf b = { 0 };
    static const uint8_t nested[] = {
        9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    };
    static const uint8_t two = 2;
    test_gguf_raw(&b, "deep", 9, nested, sizeof nested);
    refuse(&b, WD_E_UNSUPPORTED, "deep is an array of arrays");
    test_gguf_raw(&b, "odd", 13, nested, 8);
    refuse(&b, WD_E_CORRUPT, "odd has type 13, the largest known is 12");
    test_gguf_raw(&b, "yes", 7, &two, 1);
    refuse(&b, WD_E_CORRUPT, "yes holds the bool 2, expected 0 or 1");
    test_gguf_u32(&b, "n", 1);
    test_gguf_u32(&b, "n", 1);
    refuse(&b, WD_E_CORRUPT, "key n is there twice");
    test_gguf_u32(&b, "", 1);
    refuse(&b, WD_E_CORRUPT, "a metadata key has 0 bytes, expected 1 to 256");
    test_gguf_u32(&b, "a\x1b[2J", 1);
    refuse(&b, WD_E_CORRUPT, "a metadata key holds a byte that is not printable ASCII");
    char long_key[300];
    memset(long_key, 'k', sizeof long_key - 1);
    long_key[sizeof long_key - 1] = 0;
    test_gguf_u32(&b, long_key, 1);
    refuse(&b, WD_E_CORRUPT, "a metadata key has 299 bytes");
}

static void values_are_asked_for_by_type_and_range(void **state)
{
    (void)state;
    static const int32_t same[] = { 8, 8 }, other[] = { 8, 4 };
    test_gguf b = { 0 };
    wd_buf file = { 0 };
    wd_gguf g;
    wd_span s, *list;
    const wd_gguf_pair *p;
    int64_t v;
    double x;
    bool yes;
    size_t n;
    wd_arena *a = wd_arena_create(1 << 20, false);
    test_gguf_u32(&b, "n", 7);
    test_gguf_u64(&b, "huge", UINT64_MAX);
    test_gguf_f32(&b, "x", 0.5f);
    test_gguf_f32(&b, "nan", NAN);
    test_gguf_str(&b, "s", "text");
    test_gguf_bool(&b, "yes", true);
    test_gguf_i32s(&b, "same", same, 2);
    test_gguf_i32s(&b, "other", other, 2);
    test_gguf_i32s(&b, "none", other, 0);
    test_gguf_end(&b, &file);
    assert_ok(wd_gguf_parse(wd_buf_view(&file), "x.gguf", a, &g, &err));
    assert_fails(wd_gguf_need_int(&g, "gone", 0, 9, &v, &err), WD_E_INVALID, "x.gguf: gone is missing");
    assert_fails(wd_gguf_need_int(&g, "n", 0, 6, &v, &err), WD_E_INVALID, "n is 7, expected 0 to 6");
    assert_fails(wd_gguf_need_int(&g, "huge", 0, INT32_MAX, &v, &err), WD_E_INVALID,
                 "huge is 9223372036854775807");
    assert_fails(wd_gguf_need_int(&g, "x", 0, 9, &v, &err), WD_E_INVALID, "x is not an integer");
    assert_fails(wd_gguf_need_int(&g, "s", 0, 9, &v, &err), WD_E_INVALID, "s is not an integer");
    assert_fails(wd_gguf_need_int(&g, "yes", 0, 9, &v, &err), WD_E_INVALID, "yes is not an integer");
    assert_fails(wd_gguf_need_int(&g, "same", 0, 9, &v, &err), WD_E_INVALID, "same is an array");
    assert_ok(wd_gguf_need_same_int(&g, "same", 0, 9, &v, &err));
    assert_int_equal(v, 8);
    assert_fails(wd_gguf_need_same_int(&g, "other", 0, 9, &v, &err), WD_E_UNSUPPORTED,
                 "other differs between layers (8, then 4)");
    assert_fails(wd_gguf_need_same_int(&g, "none", 0, 9, &v, &err), WD_E_INVALID, "none is not an integer");
    assert_fails(wd_gguf_need_num(&g, "gone", 0, 9, &x, &err), WD_E_INVALID, "gone is missing");
    assert_fails(wd_gguf_need_num(&g, "s", 0, 9, &x, &err), WD_E_INVALID, "s is not a number");
    assert_fails(wd_gguf_need_num(&g, "nan", 0, 9, &x, &err), WD_E_INVALID, "nan is nan, expected 0 to 9");
    assert_fails(wd_gguf_num(&g, "x", 1, 9, 1, &x, &err), WD_E_INVALID, "x is 0.5, expected 1 to 9");
    assert_fails(wd_gguf_bool(&g, "n", true, &yes, &err), WD_E_INVALID, "n is not a bool");
    assert_fails(wd_gguf_str(&g, "n", &s, &err), WD_E_INVALID, "n is not a string");
    assert_fails(wd_gguf_array(&g, "n", &p, &err), WD_E_INVALID, "n is not an array of numbers");
    assert_fails(wd_gguf_strings(&g, "same", a, &list, &n, &err), WD_E_INVALID,
                 "same is not an array of strings");
    assert_ok(wd_gguf_strings(&g, "gone", a, &list, &n, &err));
    assert_int_equal(n, 0);
    wd_arena_destroy(a);
    wd_buf_free(&file);
}

static void tensors_are_checked(void **state)
{
    (void)state;
    test_gguf b = { 0 };
#define ENTRY(...) test_gguf_entry(&b, __VA_ARGS__)
#define N(...) ((const uint64_t[]){ __VA_ARGS__ })
    ENTRY("a", 0, N(1), 0, 0);
    wd_buf_str(&b.data, "12345678"); /* the shortest entry has a dimension */
    refuse(&b, WD_E_CORRUPT, "tensor a has 0 dimensions, expected 1 to 4");
    ENTRY("a", 5, N(1, 1, 1, 1, 1), 0, 0);
    refuse(&b, WD_E_CORRUPT, "tensor a has 5 dimensions");
    ENTRY("a", 1, N(0), 0, 0);
    refuse(&b, WD_E_CORRUPT, "tensor a has rows of 0 values");
    ENTRY("a", 1, N(32), 10, 0);
    refuse(&b, WD_E_UNSUPPORTED, "tensor a is of type Q2_K (10), expected F32, F16, BF16, Q8_0,");
    ENTRY("a", 1, N(32), 99, 0);
    refuse(&b, WD_E_UNSUPPORTED, "tensor a is of type unknown (99)");
    ENTRY("a", 2, N(48, 2), 2, 0);
    refuse(&b, WD_E_CORRUPT, "tensor a has rows of 48 values, expected blocks of 32");
    ENTRY("a", 2, N(128, 2), 12, 0);
    refuse(&b, WD_E_CORRUPT, "rows of 128 values, expected blocks of 256");
    ENTRY("a", 3, N(1ull << 32, 1ull << 32, 4), 0, 0);
    refuse(&b, WD_E_CORRUPT, "the size of tensor a overflows");
    ENTRY("a", 1, N(1ull << 62), 0, 0);
    refuse(&b, WD_E_CORRUPT, "the size of tensor a overflows");
    ENTRY("a", 1, N(16), 0, 0);
    refuse(&b, WD_E_CORRUPT, "the file ends");
    ENTRY("a", 1, N(16), 0, 0);
    ENTRY("a", 1, N(16), 0, 64);
    refuse(&b, WD_E_CORRUPT, "tensor a is there twice");
    ENTRY("a\n", 1, N(16), 0, 0);
    refuse(&b, WD_E_CORRUPT, "a tensor name holds a byte that is not printable ASCII");
}

/* Two tensors of 64 bytes at these offsets, in 128 bytes of data. */
static void two_at(test_gguf *b, uint64_t first, uint64_t second)
{
    static const uint8_t zero[128];
    test_gguf_entry(b, "a", 1, N(16), 0, first);
    test_gguf_entry(b, "b", 1, N(16), 0, second);
    wd_buf_put(&b->data, zero, sizeof zero);
}

static void places_follow_each_other(void **state)
{
    (void)state;
    test_gguf b = { 0 };
    wd_buf file = { 0 };
    two_at(&b, 64, 0); /* any order in the table */
    test_gguf_end(&b, &file);
    assert_ok(parse(wd_buf_view(&file), &err));
    wd_buf_free(&file);
    two_at(&b, 0, 0);
    refuse(&b, WD_E_CORRUPT, "tensors a and b overlap");
    two_at(&b, 0, 32);
    refuse(&b, WD_E_CORRUPT, "tensors a and b overlap");
    two_at(&b, 0, 68);
    refuse(&b, WD_E_CORRUPT, "tensor b begins at 68, no multiple of the alignment 32");
    two_at(&b, 0, 96);
    refuse(&b, WD_E_CORRUPT, "tensor b has 64 bytes from 96, past the 128 bytes of data in the file");
    two_at(&b, 0, 1ull << 63);
    refuse(&b, WD_E_CORRUPT, "past the 128 bytes");
    two_at(&b, 32, 96);
    refuse(&b, WD_E_CORRUPT, "a hole: 32 bytes before tensor a belong to no tensor");
}

static void alignment_is_a_power_of_two_within_reason(void **state)
{
    (void)state;
    test_gguf b = { 0 };
    wd_buf file = { 0 };
    static const uint32_t bad[] = { 0, 4, 48, 131072, UINT32_MAX };
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        test_gguf_u32(&b, "general.alignment", bad[i]);
        two_at(&b, 0, 64);
        refuse(&b, WD_E_INVALID, "general.alignment is");
    }
    b.alignment = 64;
    test_gguf_u32(&b, "general.alignment", 64);
    two_at(&b, 0, 64);
    test_gguf_end(&b, &file);
    assert_ok(parse(wd_buf_view(&file), &err));
    wd_buf_free(&file);
    test_gguf_str(&b, "general.alignment", "32");
    refuse(&b, WD_E_INVALID, "general.alignment is not an integer");
}

static void open_names_what_is_not_a_file(void **state)
{
    (void)state;
    char path[1100];
    char *dir = test_make_dir();
    wd_gguf g;
    wd_arena *a = wd_arena_create(1 << 20, false);
    snprintf(path, sizeof path, "%s/m.gguf", dir);
    assert_fails(wd_gguf_open(path, a, &g, &err), WD_E_NOT_FOUND, "m.gguf: cannot open");
    test_write(dir, "m.gguf", "", 0);
    assert_fails(wd_gguf_open(path, a, &g, &err), WD_E_CORRUPT, "m.gguf: 0 bytes");
    assert_null(g.tensor);
    wd_gguf_close(&g);
    wd_arena_destroy(a);
    test_rm_dir(dir);
}

static void parse_survives_every_failure(void **state)
{
    (void)state;
    wd_buf file = { 0 };
    make_small(&file);
    for (uint64_t n = 1;; n++) {
        wd_gguf g;
        wd_span *words;
        size_t n_word;
        wd_err err = { 0 };
        wd_inject_failure(n);
        wd_arena *a = wd_arena_create(1 << 20, false);
        wd_status st = a ? wd_gguf_parse(wd_buf_view(&file), "x.gguf", a, &g, &err)
                         : WD_FAIL(&err, WD_E_NOMEM, "arena");
        if (!st)
            st = wd_gguf_strings(&g, "words", a, &words, &n_word, &err);
        const uint64_t passed = wd_inject_failure(0);
        wd_arena_destroy(a);
        if (passed < n) {
            assert_int_equal(st, WD_OK);
            assert_true(n > 10);
            break;
        }
        assert_int_equal(st, WD_E_NOMEM);
        assert_true(err.text[0] != 0);
    }
    wd_buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_is_read_with_metadata_and_tensors),
        cmocka_unit_test(versions_and_byte_orders_are_named),
        cmocka_unit_test(every_prefix_of_a_file_is_refused),
        cmocka_unit_test(counts_are_believed_only_as_far_as_there_are_bytes),
        cmocka_unit_test(metadata_is_checked),
        cmocka_unit_test(values_are_asked_for_by_type_and_range),
        cmocka_unit_test(tensors_are_checked),
        cmocka_unit_test(places_follow_each_other),
        cmocka_unit_test(alignment_is_a_power_of_two_within_reason),
        cmocka_unit_test(open_names_what_is_not_a_file),
        cmocka_unit_test(parse_survives_every_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
