/* The safetensors container: what is read, and the sentence for everything that is not. */
#include "support/test.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/checkpoint.h"
#include "weights/safetensors.h"

#define T(name, dtype, shape, from, to) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #from "," #to "]}"

static wd_status parse(wd_span bytes, wd_err *err)
{
    wd_st_tensor *t;
    size_t n;
    wd_arena *a = wd_arena_create(1 << 20, false);
    assert_non_null(a);
    const wd_status st = wd_st_parse(bytes, "x.safetensors", a, &t, &n, err);
    wd_arena_destroy(a);
    return st;
}

static void refuse(const char *header, size_t data_bytes, wd_status code, const char *part)
{
    wd_buf file = { 0 };
    test_st_raw(&file, header, data_bytes);
    assert_fails(parse(wd_buf_view(&file), &err), code, part);
    wd_buf_free(&file);
}

static void accept(const char *header, size_t data_bytes)
{
    wd_buf file = { 0 };
    test_st_raw(&file, header, data_bytes);
    assert_ok(parse(wd_buf_view(&file), &err));
    wd_buf_free(&file);
}

static void file_is_read_with_shapes_and_places(void **state)
{
    (void)state;
    const char *head = "{\"__metadata__\":{\"format\":\"pt\"}," T("b", "BF16", "[2,3]", 8, 20) "," T(
        "a", "F32", "[2]", 0, 8) "," T("s", "I64", "[]", 20, 28) "," T("e", "U8", "[0,4]", 20, 20) "}  ";
    wd_buf file = { 0 };
    wd_st_tensor *t = NULL;
    size_t n = 0;
    wd_arena *a = wd_arena_create(1 << 20, false);
    test_st_raw(&file, head, 28);
    assert_ok(wd_st_parse(wd_buf_view(&file), "x", a, &t, &n, &err));
    assert_int_equal(n, 4);
    assert_string_equal(t[0].name, "a");
    assert_int_equal(t[0].t.dtype, WD_DTYPE_F32);
    assert_int_equal(t[0].t.n_dim, 1);
    assert_string_equal(t[1].name, "b");
    assert_int_equal(t[1].t.dtype, WD_DTYPE_BF16);
    assert_int_equal(t[1].t.n_dim, 2);
    assert_int_equal(t[1].t.dim[0], 2);
    assert_int_equal(t[1].t.dim[1], 3);
    assert_ptr_equal(t[1].t.data, file.p + 8 + strlen(head) + 8);
    assert_int_equal(((const uint8_t *)t[1].t.data)[0], 8);
    assert_string_equal(t[2].name, "e"); /* empty, before what begins at the same byte */
    assert_string_equal(t[3].name, "s");
    assert_int_equal(t[3].t.n_dim, 0);
    wd_arena_destroy(a);
    wd_buf_free(&file);
}

static void every_dtype_of_the_family_is_known(void **state)
{
    (void)state;
    accept("{" T("a", "F32", "[2]", 0, 8) "," T("b", "F16", "[2]", 8, 12) "," T(
               "c", "BF16", "[2]", 12, 16) "," T("d", "F8_E4M3", "[2]", 16,
                                                 18) "," T("e", "I32", "[2]", 18,
                                                           26) "," T("f", "I64", "[2]", 26,
                                                                     42) "," T("g", "U8", "[2]", 42, 44) "}",
           44);
    accept("{}", 0);
}

static void prefix_and_header_are_checked(void **state)
{
    (void)state;
    static const uint8_t four_gb[16] = { 0, 0, 0, 0, 1 }, over[16] = { 0x09 }, seven[7] = { 2 };
    static const uint8_t huge[16] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    assert_fails(parse((wd_span){ NULL, 0 }, &err), WD_E_CORRUPT,
                 "x.safetensors: 0 bytes, a safetensors file has at");
    assert_fails(parse(wd_span_of(seven, 7), &err), WD_E_CORRUPT, "7 bytes");
    assert_fails(parse(wd_span_of(four_gb, 16), &err), WD_E_CORRUPT,
                 "header length 4294967296 is over the limit of 100000000 bytes");
    assert_fails(parse(wd_span_of(huge, 16), &err), WD_E_CORRUPT,
                 "header length 18446744073709551615 is over");
    assert_fails(parse(wd_span_of(over, 16), &err), WD_E_CORRUPT,
                 "header length 9 is past the end of the file (16 bytes)");
    refuse("", 8, WD_E_CORRUPT, "does not begin with '{'");
    refuse(" {}", 0, WD_E_CORRUPT, "does not begin with '{'");
    refuse("[]", 0, WD_E_CORRUPT, "does not begin with '{'");
    refuse("{\"a\":", 0, WD_E_CORRUPT, "not valid JSON");
    refuse("{} x", 0, WD_E_CORRUPT, "not valid JSON");
    refuse("{\"a\xff\":1}", 0, WD_E_CORRUPT, "not valid JSON");
}

static void nesting_that_never_ends_is_an_error(void **state)
{
    (void)state;
    wd_buf head = { 0 };
    wd_buf_str(&head, "{\"a\":");
    for (int i = 0; i < 100000; i++)
        wd_buf_char(&head, '[');
    refuse((const char *)head.p, 0, WD_E_CORRUPT, "not valid JSON");
    wd_buf_free(&head);
}

static void header_cannot_ask_for_gigabytes(void **state)
{
    (void)state;
    wd_buf head = { 0 };
    wd_buf_str(&head, "{\"a\":[[]");
    for (int i = 0; i < 4000000; i++)
        wd_buf_str(&head, ",[]");
    wd_buf_str(&head, "]}");
    refuse((const char *)head.p, 0, WD_E_LIMIT, "more than 8000000 JSON values");
    wd_buf_free(&head);
}

static void names_are_checked(void **state)
{
    (void)state;
    wd_buf head = { 0 };
    refuse("{" T("a", "U8", "[1]", 0, 1) "," T("a", "U8", "[1]", 1, 2) "}", 2, WD_E_CORRUPT, "duplicate");
    refuse("{" T("", "U8", "[1]", 0, 1) "}", 1, WD_E_CORRUPT, "a tensor name has 0 bytes");
    refuse("{" T("a\\u001b[2J", "U8", "[1]", 0, 1) "}", 1, WD_E_CORRUPT, "not printable ASCII");
    refuse("{" T("\\u540d", "U8", "[1]", 0, 1) "}", 1, WD_E_CORRUPT, "not printable ASCII");
    wd_buf_str(&head, "{\"");
    for (int i = 0; i < 257; i++)
        wd_buf_char(&head, 'n');
    wd_buf_str(&head, "\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}");
    refuse((const char *)head.p, 1, WD_E_CORRUPT, "a tensor name has 257 bytes, expected 1 to 256");
    wd_buf_free(&head);
}

static void entries_are_checked(void **state)
{
    (void)state;
    refuse("{\"a\":1}", 0, WD_E_CORRUPT, "tensor a is not described by an object");
    refuse("{\"a\":{}}", 0, WD_E_CORRUPT, "tensor a has no dtype");
    refuse("{\"a\":{\"dtype\":\"F32\"}}", 0, WD_E_CORRUPT, "tensor a has no shape");
    refuse("{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, WD_E_CORRUPT,
           "tensor a needs data_offsets of two numbers");
    refuse("{" T("a", "F64", "[1]", 0, 8) "}", 8, WD_E_UNSUPPORTED, "tensor a has dtype \"F64\"");
    refuse("{" T("a", "bf16", "[1]", 0, 2) "}", 2, WD_E_UNSUPPORTED, "tensor a has dtype \"bf16\"");
    refuse("{" T("a", "U8", "[1,1,1,1,1,1]", 0, 1) "}", 1, WD_E_UNSUPPORTED,
           "tensor a has 6 dimensions, at most 5");
    refuse("{\"__metadata__\":1}", 0, WD_E_CORRUPT, "__metadata__ is not an object");
    refuse("{\"__metadata__\":{\"k\":1}}", 0, WD_E_CORRUPT,
           "__metadata__ holds \"k\", which is not a string");
}

static void sizes_are_checked(void **state)
{
    (void)state;
    refuse("{" T("a", "U8", "[-1]", 0, 1) "}", 1, WD_E_CORRUPT, "tensor a has the negative dimension -1");
    refuse("{" T("a", "U8", "[1.5]", 0, 1) "}", 1, WD_E_CORRUPT,
           "tensor a has a dimension that is not an integer");
    refuse("{" T("a", "U8", "[\"1\"]", 0, 1) "}", 1, WD_E_CORRUPT, "not an integer");
    refuse("{" T("a", "U8", "[1]", -1, 0) "}", 1, WD_E_CORRUPT, "tensor a has the negative offset -1");
    refuse("{" T("a", "U8", "[1]", 1, 0) "}", 1, WD_E_CORRUPT, "tensor a ends at 0, before it begins at 1");
    refuse("{" T("a", "U8", "[18446744073709551617]", 0, 1) "}", 1, WD_E_CORRUPT, "not valid JSON");
    refuse("{" T("a", "F32", "[4294967296,4294967296,4]", 0, 0) "}", 0, WD_E_CORRUPT,
           "the size of tensor a, F32[");
    refuse("{" T("a", "F32", "[4611686018427387904]", 0, 0) "}", 0, WD_E_CORRUPT, "overflows");
    refuse("{" T("a", "F32", "[3]", 0, 8) "}", 8, WD_E_CORRUPT, "tensor a has 8 bytes, but F32[3] needs 12");
    refuse("{" T("a", "F32", "[1]", 0, 8) "}", 8, WD_E_CORRUPT, "tensor a has 8 bytes, but F32[1] needs 4");
}

static void data_section_is_covered_exactly_once(void **state)
{
    (void)state;
    refuse("{" T("a", "U8", "[9]", 0, 9) "}", 8, WD_E_CORRUPT,
           "tensor a ends at byte 9, past the 8 bytes of data in the file");
    refuse("{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 3, 7) "}", 7, WD_E_CORRUPT,
           "tensors a and b overlap");
    refuse("{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 0, 4) "}", 4, WD_E_CORRUPT,
           "tensors a and b overlap");
    refuse("{" T("a", "U8", "[8]", 0, 8) "," T("b", "U8", "[0]", 4, 4) "}", 8, WD_E_CORRUPT, "overlap");
    refuse("{" T("a", "U8", "[4]", 0, 4) "," T("b", "U8", "[4]", 6, 10) "}", 10, WD_E_CORRUPT,
           "a hole: the 2 bytes before tensor b belong to no tensor");
    refuse("{" T("a", "U8", "[4]", 1, 5) "}", 5, WD_E_CORRUPT, "the 1 bytes before tensor a");
    refuse("{" T("a", "U8", "[4]", 0, 4) "}", 7, WD_E_CORRUPT, "the last 3 bytes belong to no tensor");
    refuse("{}", 3, WD_E_CORRUPT, "the last 3 bytes belong to no tensor");
}

static void open_names_what_is_not_a_file(void **state)
{
    (void)state;
    char path[1100];
    char *dir = test_make_dir();
    wd_arena *a = wd_arena_create(1 << 20, false);
    wd_st_file f;
    snprintf(path, sizeof path, "%s/model.safetensors", dir);
    assert_fails(wd_st_open(path, a, &f, &err), WD_E_NOT_FOUND, "model.safetensors: cannot open");
    assert_int_equal(mkdir(path, 0755), 0);
    assert_fails(wd_st_open(path, a, &f, &err), WD_E_INVALID, "model.safetensors: is a directory");
    assert_int_equal(rmdir(path), 0);
    test_write(dir, "model.safetensors", "", 0);
    assert_fails(wd_st_open(path, a, &f, &err), WD_E_CORRUPT, "model.safetensors: 0 bytes");
    assert_null(f.tensor);
    wd_st_close(&f);
    wd_arena_destroy(a);
    test_rm_dir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_is_read_with_shapes_and_places),
        cmocka_unit_test(every_dtype_of_the_family_is_known),
        cmocka_unit_test(prefix_and_header_are_checked),
        cmocka_unit_test(nesting_that_never_ends_is_an_error),
        cmocka_unit_test(header_cannot_ask_for_gigabytes),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(entries_are_checked),
        cmocka_unit_test(sizes_are_checked),
        cmocka_unit_test(data_section_is_covered_exactly_once),
        cmocka_unit_test(open_names_what_is_not_a_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
