/* Forms: what is taken, and what is refused. */
#include "serve/multipart.h"

#include "support/test.h"

#define B "--b7"

static void boundary_is_found_in_its_header(void **state)
{
    (void)state;
    static const struct {
        const char *type, *boundary; /* NULL: refused */
    } all[] = {
        { "multipart/form-data; boundary=b7", "b7" },
        { "Multipart/Form-Data;charset=utf-8; Boundary=\"a b;c\"", "a b;c" },
        { "multipart/form-data; boundary=b7; charset=utf-8", "b7" },
        { "multipart/form-data", NULL },
        { "multipart/form-data; boundary=", NULL },
        { "multipart/form-data; boundary=\"open", NULL },
        { "multipart/form-data; "
          "boundary=0123456789012345678901234567890123456789012345678901234567890123456789x",
          NULL },
        { "multipart/form-dataset; boundary=b7", NULL },
        { "application/json", NULL },
        { "", NULL },
        { NULL, NULL },
    };
    for (size_t i = 0; i < WD_COUNT(all); i++) {
        char got[WD_BOUNDARY_MAX + 1];
        if (!all[i].boundary) {
            assert_fails(wd_multipart_boundary(all[i].type, got, &err), WD_E_INVALID, "");
            continue;
        }
        assert_ok(wd_multipart_boundary(all[i].type, got, &err));
        assert_string_equal(got, all[i].boundary);
    }
}

static size_t n_part;
static wd_form_part part[4];

static wd_status parse(const char *text, size_t n, wd_err *err)
{
    return wd_multipart_parse(wd_span_of(text, n), "b7", part, WD_COUNT(part), &n_part, err);
}

#define PARSE(text) parse(text, sizeof(text) - 1, &err)

static void parts_are_views_of_the_body(void **state)
{
    (void)state;
    assert_ok(PARSE(
        "a preamble\r\n" B "\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nuser_data\r\n" B
        "\r\nContent-Type: image/png\r\ncontent-disposition: form-data; filename=\"a;\\\"name=\\\"x.png\"; "
        "name=file\r\n\r\n\0--b7\r\n--b\r\n\r\n" B "--\r\nan epilogue"));
    assert_int_equal(n_part, 2);
    assert_true(wd_span_is(part[0].name, "purpose") && wd_span_is(part[0].body, "user_data"));
    assert_null(part[0].filename.p);
    assert_true(wd_span_is(part[1].name, "file"));
    assert_true(wd_span_is(part[1].filename, "a;\\\"name=\\\"x.png"));
    assert_true(wd_span_eq(part[1].body, wd_span_of("\0--b7\r\n--b\r\n", 12)));
    assert_ok(PARSE(B "--"));
    assert_int_equal(n_part, 0);
    assert_ok(PARSE(B "\r\nContent-Disposition: form-data; name=\"e\"\r\n\r\n\r\n" B "--\r\n"));
    assert_int_equal(n_part, 1);
    assert_int_equal(part[0].body.n, 0);
}

static void damaged_forms_are_refused(void **state)
{
    (void)state;
    static const char whole[] = B "\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nbody\r\n" B "--";
    for (size_t n = 0; n < sizeof whole - 1; n++) /* cut off anywhere */
        assert_fails(parse(whole, n, &err), WD_E_CORRUPT, "form");
    assert_ok(parse(whole, sizeof whole - 1, &err));
    assert_fails(PARSE("--other\r\n\r\n--other--"), WD_E_CORRUPT, "damaged");
    assert_fails(PARSE(B "\r\nContent-Type: text/plain\r\n\r\nx\r\n" B "--"), WD_E_CORRUPT, "without a name");
    assert_fails(PARSE(B "\r\n\r\n" B "--"), WD_E_CORRUPT, "");
    wd_buf many = { 0 };
    for (int i = 0; i < 5; i++)
        wd_buf_str(&many, B "\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nx\r\n");
    wd_buf_str(&many, B "--");
    assert_fails(parse((const char *)many.p, many.n, &err), WD_E_LIMIT, "more than 4 parts");
    wd_buf_free(&many);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boundary_is_found_in_its_header),
        cmocka_unit_test(parts_are_views_of_the_body),
        cmocka_unit_test(damaged_forms_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
