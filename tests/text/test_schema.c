#include "text/schema/constraint.h"

#include "mini.h"
#include "support/test.h"

static wd_constraint *schema(const char *json, wd_space space)
{
    wd_constraint *c = NULL;
    assert_ok(wd_constraint_schema(wd_span_str(json), space, &c, &err));
    return c;
}

typedef struct rule {
    const char *schema;
    const char *yes[8], *no[8];
} rule;

static const rule rules[] = {
    { "{\"type\":\"integer\",\"minimum\":3,\"maximum\":12}",
      { "3", "9", "10", "12" },
      { "2", "13", "3.0", "1", "03", "", "-3" } },
    { "{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
      { "\"ab\"", "\"漢字字\"", "\"\\n\\\"\"", "\"\\u0001x\"" },
      { "\"a\"", "\"abcd\"", "\"ab", "ab", "\"\\u0041b\"", "\"\\/b\"", "\"\\u000a1\"", "\"\xff\xfe\"" } },
    { "{\"enum\":[\"a\",\"ab\",1,null,{\"k\":[true]}]}",
      { "\"a\"", "\"ab\"", "1", "null", "{\"k\":[true]}", "{ \"k\": [\n  true\n]}" },
      { "\"b\"", "2", "nul", "{\"k\":[]}", "{}", "true" } },
    { "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{},\"c\":{\"type\":\"null\"}},"
      "\"required\":[\"c\"],\"additionalProperties\":false}",
      { "{\"c\":null}", "{\"a\":1,\"c\":null}", "{\"a\": 1, \"b\": {\"x\":[]},\n\"c\":null }",
        "{\"b\":1,\"c\":null}" },
      { "{}", "{\"c\":null,\"a\":1}", "{\"a\":1}", "{\"a\":1,\"a\":1,\"c\":null}", "{\"c\":null,}",
        "{\"c\":null,\"d\":1}", "{\"c\" :null}" } },
    { "{\"type\":\"object\",\"properties\":{\"id\":{\"const\":1}},\"additionalProperties\":{\"type\":"
      "\"boolean\"}}",
      { "{}", "{\"id\":1}", "{\"id\":1,\"x\":true,\"y\":false}", "{\"i\":true}", "{\"idd\":true}",
        "{\"\":true}" },
      { "{\"id\":true}", "{\"x\":true,\"x\":false}", "{\"x\":1}", "{\"x\":true,\"id\":1}",
        "{\"x\":true,\"y\":true,\"x\":true}" } },
    { "{\"type\":\"array\",\"prefixItems\":[{\"type\":\"integer\"}],\"items\":{\"type\":\"string\"},"
      "\"minItems\":1,\"maxItems\":3}",
      { "[1]", "[1,\"a\"]", "[ 1, \"a\", \"b\" ]", "[1,\"a\"\n]" },
      { "[]", "[\"a\"]", "[1,2]", "[1,\"a\",\"b\",\"c\"]", "[1,]", "[,1]", "[1,  \"a\"]" } },
    { "{\"$ref\":\"#/$defs/t\",\"$defs\":{\"t\":{\"type\":[\"null\",\"array\"],\"items\":{\"$ref\":\"#/$defs/"
      "t\"}}}}",
      { "null", "[]", "[null,[[],null]]" },
      { "[1]", "[[]", "[]]" } },
    { "{\"anyOf\":[{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"a\"},\"v\":{\"type\":\"integer\"}}"
      ",\"required\":[\"k\",\"v\"]},"
      "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"b\"},\"v\":{\"type\":\"string\"}},"
      "\"required\":[\"k\",\"v\"]}]}",
      { "{\"k\":\"a\",\"v\":1}", "{\"k\":\"b\",\"v\":\"1\"}", "{\"k\":\"b\",\"v\":\"1\",\"w\":2}" },
      { "{\"k\":\"a\",\"v\":\"1\"}", "{\"k\":\"b\",\"v\":1}", "{\"k\":\"c\",\"v\":1}", "{\"v\":1}" } },
};

static void documents_are_taken_exactly_when_they_are_valid(void **state)
{
    (void)state;
    for (size_t i = 0; i < WD_COUNT(rules); i++) {
        wd_constraint *c = schema(rules[i].schema, WD_SPACE_BOUNDED);
        for (size_t k = 0; k < 8 && rules[i].yes[k]; k++)
            if (!wd_constraint_accepts(c, wd_span_str(rules[i].yes[k])))
                fail_msg("%s\nrefuses %s", rules[i].schema, rules[i].yes[k]);
        for (size_t k = 0; k < 8 && rules[i].no[k]; k++)
            if (wd_constraint_accepts(c, wd_span_str(rules[i].no[k])))
                fail_msg("%s\ntakes %s", rules[i].schema, rules[i].no[k]);
        wd_constraint_unref(&c);
        assert_null(c);
    }
}

static void white_space_is_bounded(void **state)
{
    (void)state;
    wd_constraint *c = schema("{\"type\":\"object\"}", WD_SPACE_BOUNDED);
    wd_buf b = { 0 };
    wd_buf_str(&b, "\n\n{\n");
    for (int i = 0; i < WD_SCHEMA_INDENT; i++)
        wd_buf_char(&b, ' ');
    const size_t n = b.n;
    wd_buf_str(&b, "}");
    assert_true(wd_constraint_accepts(c, wd_buf_view(&b)));
    b.n = n;
    wd_buf_str(&b, " }");
    assert_false(wd_constraint_accepts(c, wd_buf_view(&b)));
    wd_buf_free(&b);
    static const char *const no[] = { " {}",    "{} ",         "{}\n",        "\n\n\n{}",
                                      "{\n\n}", "{\"a\":  1}", "{\"a\":\n1}", "{\"a\":1 ,\"b\":1}" };
    for (size_t i = 0; i < WD_COUNT(no); i++)
        assert_false(wd_constraint_accepts(c, wd_span_str(no[i])));
    wd_constraint_unref(&c);
    c = schema("{\"type\":\"object\"}", WD_SPACE_NONE);
    assert_true(wd_constraint_accepts(c, WD_SPAN_LIT("{\"a\":[1,2]}")));
    assert_false(wd_constraint_accepts(c, WD_SPAN_LIT("{\"a\": 1}")));
    assert_false(wd_constraint_accepts(c, WD_SPAN_LIT("\n{}")));
    wd_constraint_unref(&c);
}

static void nesting_ends_where_it_can_still_be_closed(void **state)
{
    (void)state;
    wd_constraint *c = schema(
        "{\"$ref\":\"#/$defs/t\",\"$defs\":{\"t\":{\"type\":\"array\",\"items\":{\"$ref\":\"#/$defs/t\"}}}}",
        WD_SPACE_NONE);
    char deep[2 * WD_SCHEMA_DEPTH + 2];
    memset(deep, '[', WD_SCHEMA_DEPTH);
    memset(deep + WD_SCHEMA_DEPTH, ']', WD_SCHEMA_DEPTH);
    assert_true(wd_constraint_accepts(c, wd_span_of(deep, sizeof deep - 2)));
    memset(deep, '[', WD_SCHEMA_DEPTH + 1);
    memset(deep + WD_SCHEMA_DEPTH + 1, ']', WD_SCHEMA_DEPTH + 1);
    assert_false(wd_constraint_accepts(c, wd_span_of(deep, sizeof deep)));
    wd_constraint_unref(&c);
}

static void text_that_is_not_json_is_constrained_too(void **state)
{
    (void)state;
    wd_constraint *c;
    const wd_span choice[] = { WD_SPAN_LIT("yes"), WD_SPAN_LIT("no"), WD_SPAN_LIT("not sure"),
                               WD_SPAN_LIT("不") };
    assert_ok(wd_constraint_choice(choice, 4, &c, &err));
    for (size_t i = 0; i < 4; i++)
        assert_true(wd_constraint_accepts(c, choice[i]));
    assert_false(wd_constraint_accepts(c, WD_SPAN_LIT("not")));
    assert_false(wd_constraint_accepts(c, WD_SPAN_LIT("\nyes")));
    wd_constraint_unref(&c);
    assert_ok(wd_constraint_regex(WD_SPAN_LIT("[A-Z]\\d{2} \"\\w+\""), &c, &err));
    assert_true(wd_constraint_accepts(c, WD_SPAN_LIT("J45 \"asthma\"")));
    assert_false(wd_constraint_accepts(c, WD_SPAN_LIT("J45 asthma")));
    wd_constraint_unref(&c);
    assert_ok(wd_constraint_object(WD_SPACE_BOUNDED, &c, &err));
    assert_true(wd_constraint_accepts(c, WD_SPAN_LIT("{\"a\": {\"b\": [1.5e3, null, \"\\\\\"]}}")));
    assert_false(wd_constraint_accepts(c, WD_SPAN_LIT("[]")));
    wd_constraint_unref(&c);
}

static void it_tells_what_it_was_made_from(void **state)
{
    (void)state;
    char schema[] = "{ \"type\" : \"integer\" }";
    const wd_span choice[] = { WD_SPAN_LIT("yes"), WD_SPAN_LIT("no") };
    wd_constraint *c;
    assert_ok(wd_constraint_schema(wd_span_str(schema), WD_SPACE_NONE, &c, &err));
    memset(schema, 'x', sizeof schema - 1); /* a copy */
    const wd_constraint_source *s = wd_constraint_source_of(c);
    assert_int_equal(s->kind, WD_CONSTRAINT_SCHEMA);
    assert_true(wd_span_is(s->text, "{ \"type\" : \"integer\" }"));
    wd_constraint_unref(&c);
    assert_ok(wd_constraint_object(WD_SPACE_NONE, &c, &err));
    assert_int_equal(wd_constraint_source_of(c)->kind, WD_CONSTRAINT_OBJECT);
    wd_constraint_unref(&c);
    assert_ok(wd_constraint_regex(WD_SPAN_LIT("a|b"), &c, &err));
    s = wd_constraint_source_of(c);
    assert_int_equal(s->kind, WD_CONSTRAINT_REGEX);
    assert_true(wd_span_is(s->text, "a|b"));
    wd_constraint_unref(&c);
    assert_ok(wd_constraint_choice(choice, 2, &c, &err));
    s = wd_constraint_source_of(c);
    assert_int_equal(s->kind, WD_CONSTRAINT_CHOICE);
    assert_int_equal(s->n_choice, 2);
    assert_true(wd_span_is(s->choice[0], "yes") && wd_span_is(s->choice[1], "no"));
    wd_constraint_unref(&c);
}

static void what_is_not_understood_is_refused_by_name(void **state)
{
    static const struct {
        const char *schema;
        wd_status st;
        const char *part;
    } t[] = {
        { "{", WD_E_CORRUPT, "schema" },
        { "3", WD_E_INVALID, "expected an object" },
        { "{\"properties\":{\"a\":{\"multipleOf\":2}}}", WD_E_UNSUPPORTED,
          "#/properties/a: the keyword \"multipleOf\"" },
        { "{\"not\":{}}", WD_E_UNSUPPORTED, "\"not\"" },
        { "{\"if\":{}}", WD_E_UNSUPPORTED, "\"if\"" },
        { "{\"uniqueItems\":true}", WD_E_UNSUPPORTED, "uniqueItems" },
        { "{\"items\":{\"$id\":\"x\"}}", WD_E_UNSUPPORTED, "\"$id\"" },
        { "{\"format\":\"ipv6\"}", WD_E_UNSUPPORTED, "\"ipv6\"" },
        { "{\"$ref\":\"other.json\"}", WD_E_UNSUPPORTED, "other.json" },
        { "{\"$ref\":\"#/$defs/x\"}", WD_E_INVALID, "leads to no schema" },
        { "{\"$ref\":\"#\"}", WD_E_INVALID, "comes back to itself" },
        { "{\"allOf\":[{\"$ref\":\"#\"}]}", WD_E_INVALID, "comes back to itself" },
        { "{\"type\":\"int\"}", WD_E_INVALID, "type: expected" },
        { "{\"type\":[]}", WD_E_INVALID, "type: expected" },
        { "{\"minimum\":\"3\"}", WD_E_INVALID, "minimum: expected a number" },
        { "{\"maxLength\":1.5}", WD_E_INVALID, "maxLength: expected" },
        { "{\"items\":[{}]}", WD_E_INVALID, "items: expected a schema" },
        { "{\"required\":[1]}", WD_E_INVALID, "required: expected" },
        { "{\"anyOf\":[]}", WD_E_INVALID, "anyOf: expected" },
        { "{\"pattern\":\"(?!a)\"}", WD_E_UNSUPPORTED,
          "#: pattern: byte 2 of the regular expression: look-ahead" },
        { "{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}", WD_E_INVALID, "no value" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", WD_E_INVALID,
          "no value" },
        { "{\"oneOf\":[{\"type\":\"array\"},{\"items\":{}}]}", WD_E_UNSUPPORTED, "branches 0 and 1" },
        { "{\"minLength\":2000000}", WD_E_LIMIT, "minLength" },
    };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        wd_constraint *c = (wd_constraint *)&t;
        assert_fails(wd_constraint_schema(wd_span_str(t[i].schema), WD_SPACE_BOUNDED, &c, &err), t[i].st,
                     t[i].part);
        assert_null(c);
    }
    wd_constraint *c;
    assert_fails(wd_constraint_choice(NULL, 0, &c, &err), WD_E_INVALID, "choice");
    assert_fails(wd_constraint_choice(&(wd_span){ 0 }, 1, &c, &err), WD_E_INVALID, "choice 0");
    assert_fails(wd_constraint_regex(WD_SPAN_LIT("a^b"), &c, &err), WD_E_INVALID, "no text");
}

static void every_failed_allocation_is_reported(void **state)
{
    (void)state;
    const wd_span json = WD_SPAN_LIT(
        "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":1},\"b\":{\"enum\":["
        "\"x\",2,[3]]},"
        "\"c\":{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"^a\",\"maxLength\":9},{\"$ref\":\"#\"}]},"
        "\"d\":{\"oneOf\":[{\"maxLength\":2,\"type\":\"string\"},{\"enum\":[\"abc\"]}]}},\"required\":[\"a\","
        "\"z\"]}");
    for (uint64_t nth = 1;; nth++) {
        wd_constraint *c;
        wd_err err;
        wd_inject_failure(nth);
        const wd_status st = wd_constraint_schema(json, WD_SPACE_BOUNDED, &c, &err);
        const uint64_t left = wd_inject_failure(0);
        assert_int_equal(st == WD_OK, c != NULL);
        if (c) { /* of a place's name for messages no failure is made */
            wd_constraint_unref(&c);
            if (left < nth)
                break;
            continue;
        }
        assert_true(st == WD_E_NOMEM || st == WD_E_LIMIT || st == WD_E_CORRUPT);
        assert_true(nth < 100000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_taken_exactly_when_they_are_valid),
        cmocka_unit_test(white_space_is_bounded),
        cmocka_unit_test(nesting_ends_where_it_can_still_be_closed),
        cmocka_unit_test(text_that_is_not_json_is_constrained_too),
        cmocka_unit_test(it_tells_what_it_was_made_from),
        cmocka_unit_test(what_is_not_understood_is_refused_by_name),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests_name("schema", tests, NULL, NULL);
}
