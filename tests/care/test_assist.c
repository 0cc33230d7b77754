/* The story "assist": a conversation with tools on a small chart, with a scripted engine; and the tools themselves against
 * what a model should never ask. */
#include "support/scripted.h"
#include "support/test.h"

#include <stdio.h>

#include "base/json.h"
#include "care/assist.h"

/* Two patients: p1 is asked about, p2 must never be seen. */
static const char chart[] =
    "{\"resourceType\": \"Bundle\", \"type\": \"collection\", \"timestamp\": \"2026-03-05T08:00:00Z\", "
    "\"entry\": ["
    "{\"resource\": {\"resourceType\": \"Patient\", \"id\": \"p1\"}},"
    "{\"resource\": {\"resourceType\": \"Patient\", \"id\": \"p2\"}},"
    "{\"resource\": {\"resourceType\": \"Observation\", \"id\": \"k2\", \"status\": \"final\","
    " \"code\": {\"coding\": [{\"system\": \"http://loinc.org\", \"code\": \"2823-3\"}], \"text\": "
    "\"Kalium\"},"
    " \"subject\": {\"reference\": \"Patient/p1\"}, \"effectiveDateTime\": \"2026-03-02T07:00:00Z\","
    " \"valueQuantity\": {\"value\": 5.6, \"unit\": \"mmol/L\"},"
    " \"interpretation\": [{\"coding\": [{\"code\": \"H\"}]}],"
    " \"referenceRange\": [{\"low\": {\"value\": 3.5}, \"high\": {\"value\": 5.3}}]}},"
    "{\"resource\": {\"resourceType\": \"Observation\", \"id\": \"k1\", \"status\": \"final\","
    " \"code\": {\"coding\": [{\"system\": \"http://loinc.org\", \"code\": \"2823-3\"}], \"text\": "
    "\"Kalium\"},"
    " \"subject\": {\"reference\": \"https://his/fhir/Patient/p1\"}, \"effectiveDateTime\": \"2026-01-10\","
    " \"valueQuantity\": {\"value\": 4.0, \"unit\": \"mmol/L\"},"
    " \"referenceRange\": [{\"low\": {\"value\": 3.5}, \"high\": {\"value\": 5.3}}]}},"
    "{\"resource\": {\"resourceType\": \"Observation\", \"id\": \"wrong\", \"status\": \"entered-in-error\","
    " \"code\": {\"text\": \"potassium\"}, \"subject\": {\"reference\": \"Patient/p1\"},"
    " \"effectiveDateTime\": \"2026-03-04\", \"valueQuantity\": {\"value\": 9.9, \"unit\": \"mmol/L\"}}},"
    "{\"resource\": {\"resourceType\": \"Observation\", \"id\": \"other\", \"status\": \"final\","
    " \"code\": {\"text\": \"potassium\"}, \"subject\": {\"reference\": \"Patient/p2\"},"
    " \"effectiveDateTime\": \"2026-03-03\", \"valueQuantity\": {\"value\": 7.7, \"unit\": \"mmol/L\"}}},"
    "{\"resource\": {\"resourceType\": \"MedicationRequest\", \"id\": \"m1\", \"status\": \"active\", "
    "\"intent\": \"order\","
    " \"medicationCodeableConcept\": {\"text\": \"Metformin 500 mg oral tablet\"},"
    " \"subject\": {\"reference\": \"Patient/p1\"}, \"authoredOn\": \"2025-11-03\","
    " \"dosageInstruction\": [{\"timing\": {\"repeat\": {\"frequency\": 2, \"period\": 1, \"periodUnit\": "
    "\"d\"}},"
    " \"doseAndRate\": [{\"doseQuantity\": {\"value\": 500, \"unit\": \"mg\"}}]}]}},"
    "{\"resource\": {\"resourceType\": \"Condition\", \"id\": \"c1\","
    " \"clinicalStatus\": {\"coding\": [{\"code\": \"active\"}]}, \"code\": {\"text\": \"asthma\","
    " \"_text\": {\"extension\": [{\"url\": \"http://hl7.org/fhir/StructureDefinition/translation\", "
    "\"extension\": ["
    " {\"url\": \"lang\", \"valueCode\": \"zh-CN\"}, {\"url\": \"content\", \"valueString\": \"哮喘\"}]}]}},"
    " \"subject\": {\"reference\": \"Patient/p1\"}, \"onsetDateTime\": \"2019\"}}]}";

static char *dir;
static char path[600], prompt_en[600], prompt_zh[600];
static wd_arena *arena;
static wd_records records;

/* One call; returns its result as text. */
static const char *call(wd_lang lang, const char *name, const char *args, bool *refused)
{
    wd_tool_result r;
    wd_buf b = { 0 };
    wd_err err;
    if (wd_assist_call(&records, lang, name, args, arena, &r, &err))
        fail_msg("%s %s: %s", name, args, err.text);
    if (wd_json_write(r.value, JSON_COMPACT | JSON_REAL_PRECISION(15), &b, &err))
        fail_msg("%s", err.text);
    json_decref(r.value);
    if (refused)
        *refused = r.refused;
    const char *text = wd_arena_strndup(arena, (const char *)b.p, b.n);
    wd_buf_free(&b);
    return text;
}

static void tools_return_the_last_rows_with_unit_range_flag_and_trend(void **state)
{
    (void)state;
    assert_string_equal(
        call(WD_LANG_EN, "get_observations", "{\"name\": \"K+\"}", NULL),
        "{\"name\":\"potassium\",\"unit\":\"mmol/L\",\"range\":\"3.5-5.3\",\"trend\":\"rising\",\"total\":2,"
        "\"rows\":[{\"date\":\"2026-01-10\",\"value\":4.0,\"flag\":\"normal\"},"
        "{\"date\":\"2026-03-02\",\"value\":5.6,\"flag\":\"high\"}]}");
    assert_string_equal(call(WD_LANG_ZH, "get_observations", "{\"name\": \"2823-3\", \"last\": 1}", NULL),
                        "{\"name\":\"血钾\",\"unit\":\"mmol/L\",\"range\":\"3.5-5.3\",\"total\":2,"
                        "\"rows\":[{\"date\":\"2026-03-02\",\"value\":5.6,\"flag\":\"high\"}]}");
    assert_string_equal(
        call(WD_LANG_EN, "get_observations", "{\"name\": \"kalium\", \"since\": \"2026-03-03\"}", NULL),
        "{\"name\":\"kalium\",\"since\":\"2026-03-03\",\"total\":0,\"rows\":[]}");
    assert_string_equal(
        call(WD_LANG_EN, "get_medications", "{\"name\": \"metformin\", \"status\": \"active\"}", NULL),
        "{\"total\":1,\"rows\":[{\"name\":\"Metformin 500 mg oral tablet\",\"dose\":\"500 mg, 2/1 d\","
        "\"ordered\":\"2025-11-03\",\"status\":\"active\"}]}");
    assert_string_equal(
        call(WD_LANG_ZH, "get_conditions", "{\"status\": \"all\"}", NULL),
        "{\"total\":1,\"rows\":[{\"name\":\"哮喘\",\"since\":\"2019\",\"status\":\"active\"}]}");
    assert_string_equal(call(WD_LANG_EN, "get_allergies", "{}", NULL), "{\"total\":0,\"rows\":[]}");
    assert_string_equal(call(WD_LANG_EN, "get_imaging", "{\"modality\": \"MR\"}", NULL),
                        "{\"modality\":\"MRI\",\"total\":0,\"rows\":[]}");
}

static void a_call_that_is_not_allowed_is_refused_with_a_sentence(void **state)
{
    static const struct {
        const char *name, *args, *why;
    } cases[] = {
        { "get_patient", "{}", "There is no such tool." },
        { "", "{}", "There is no such tool." },
        { "get_observations", "{}", "get_observations needs name." },
        { "get_observations", "[]", "the arguments must be a JSON object" },
        { "get_observations", "null", "the arguments must be a JSON object" },
        { "get_observations", "{\"name\": ", "no valid JSON" },
        { "get_observations", "{\"name\": \"a\", \"name\": \"b\"}", "no valid JSON" },
        { "get_observations", "{\"name\": 5}", "name must be a text of 1 to 80 bytes" },
        { "get_observations", "{\"name\": \"\"}", "name must be a text of 1 to 80 bytes" },
        { "get_observations", "{\"name\": null}", "name must be a text of 1 to 80 bytes" },
        { "get_observations", "{\"name\": \"k\", \"last\": 0}", "last must be an integer from 1 to 20" },
        { "get_observations", "{\"name\": \"k\", \"last\": -1}", "last must be an integer from 1 to 20" },
        { "get_observations", "{\"name\": \"k\", \"last\": 9223372036854775807}", "last must be an integer" },
        { "get_observations", "{\"name\": \"k\", \"last\": 99999999999999999999}", "no valid JSON" },
        { "get_observations", "{\"name\": \"k\", \"last\": \"5\"}", "last must be an integer from 1 to 20" },
        { "get_observations", "{\"name\": \"k\", \"last\": 2.5}", "last must be an integer from 1 to 20" },
        { "get_observations", "{\"name\": \"k\", \"since\": \"last week\"}",
          "since must be a date YYYY-MM-DD" },
        { "get_observations", "{\"name\": \"k\", \"since\": \"2026-02-30\"}",
          "since must be a date YYYY-MM-DD" },
        { "get_observations", "{\"name\": \"k\", \"patient\": \"p2\"}",
          "get_observations takes only name, last, since." },
        { "get_observations", "{\"name\": \"k\", \"subject\": {\"reference\": \"Patient/p2\"}}",
          "takes only" },
        { "get_allergies", "{\"patient\": \"p2\"}", "get_allergies takes no arguments." },
        { "get_conditions", "{\"status\": \"any\"}", "status must be one of active, resolved, all." },
        { "get_imaging", "{\"modality\": \"PT\"}", "modality must be one of CT, MR, DX, US." },
    };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        bool refused = false;
        const char *got = call(WD_LANG_EN, cases[i].name, cases[i].args, &refused);
        if (!refused || !strstr(got, cases[i].why) || !strstr(got, "{\"error\":"))
            fail_msg("%s %s: got %s", cases[i].name, cases[i].args, got);
    }
    char *huge = wd_arena_alloc(arena, 1, 10001);
    memset(huge, '[', 10000);
    bool refused = false;
    assert_non_null(strstr(call(WD_LANG_EN, "get_allergies", huge, &refused), "too long"));
    assert_true(refused);
}

static wd_status foreign(void *self, const wd_records_query *q, json_t **out, wd_err *err)
{
    (void)err;
    *out = json_pack("[{s:s, s:{s:s}, s:{s:s}}]", "resourceType", q->type, "subject", "reference", self,
                     "code", "text", "potassium");
    return WD_OK;
}

static void another_patients_resource_is_never_handed_on(void **state)
{
    static char other[] = "Patient/p2", longer[] = "Patient/p10", inside[] = "xPatient/p1",
                mine[] = "his/Patient/p1";
    char *const bad[] = { other, longer, inside };
    (void)state;
    wd_tool_result r;
    wd_records evil = { .patient = "Patient/p1", .today = "2026-01-01", .find = foreign };
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        evil.self = bad[i];
        assert_fails(wd_assist_call(&evil, WD_LANG_EN, "get_observations", "{\"name\": \"potassium\"}", arena,
                                    &r, &err),
                     WD_E_CORRUPT, "not the bound patient's Observation");
    }
    evil.self = mine;
    assert_ok(
        wd_assist_call(&evil, WD_LANG_EN, "get_observations", "{\"name\": \"potassium\"}", arena, &r, &err));
    json_decref(r.value);
    assert_null(strstr(call(WD_LANG_EN, "get_observations", "{\"name\": \"potassium\"}", NULL), "7.7"));
}

static void definitions_are_short_and_name_what_is_required(void **state)
{
    (void)state;
    json_t *tools = wd_assist_tools();
    wd_buf b = { 0 };
    assert_int_equal(json_array_size(tools), 5);
    const json_t *f = json_object_get(json_array_get(tools, 0), "function");
    assert_string_equal(json_string_value(json_object_get(f, "name")), "get_observations");
    const json_t *required = json_object_get(json_object_get(f, "parameters"), "required");
    assert_string_equal(json_string_value(json_array_get(required, 0)), "name");
    assert_ok(wd_json_write(tools, 0, &b, &err));
    assert_true(b.n < 1300); /* each prompt pays for them */
    assert_null(strstr((char *)b.p, "patient"));
    wd_buf_free(&b);
    json_decref(tools);
}

static wd_assist_opts ask_opts(void)
{
    return (wd_assist_opts){ .ask = { .prompt_path = prompt_en, .language = "en" }, .max_rounds = 2 };
}

#define CALL(name, args) "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " args "}\n</tool_call>"

static void a_conversation_ends_in_an_answer_with_its_evidence(void **state)
{
    static const char *const reply[] = {
        CALL("get_observations", "{\"name\": \"potassium\", \"last\": 1}") "\n" CALL("get_allergies", "{}"),
        "\n The latest potassium is 5.6 mmol/L on 2026-03-02 (3.5-5.3), HbA1c 12.5. \n"
    };
    (void)state;
    static scripted e;
    scripted_init(&e, reply, 2);
    wd_assist_opts o = ask_opts();
    wd_assist r;
    assert_ok(wd_assist_ask(&e.engine, &records, "What is the latest potassium?", &o, arena, &r, &err));
    assert_true(r.answered);
    assert_string_equal(r.answer, "The latest potassium is 5.6 mmol/L on 2026-03-02 (3.5-5.3), HbA1c 12.5.");
    assert_int_equal(r.n_round, 2);
    assert_int_equal(r.n_step, 2);
    assert_string_equal(r.step[0].args, "{\"name\": \"potassium\", \"last\": 1}");
    assert_int_equal(r.n_evidence, 1);
    assert_string_equal(r.evidence[0], "Observation/k2");
    assert_int_equal(r.n_unsupported, 1);
    assert_string_equal(r.unsupported[0], "12.5");
    /* the second prompt: the question, and what the tools returned */
    assert_non_null(strstr(e.prompt, "Today is 2026-03-05. What is the latest potassium?"));
    assert_non_null(
        strstr(e.prompt, "\"rows\": [{\"date\": \"2026-03-02\", \"value\": 5.6, \"flag\": \"high\"}]}"));
    assert_non_null(strstr(e.prompt, "{\"total\": 0, \"rows\": []}"));
    assert_null(strstr(e.prompt, "p1"));

    json_t *v = wd_assist_json(&r);
    assert_string_equal(json_string_value(json_object_get(v, "status")), "DRAFT");
    assert_string_equal(json_string_value(json_array_get(json_object_get(v, "evidence"), 0)),
                        "Observation/k2");
    assert_int_equal(json_array_size(json_object_get(v, "calls")), 2);
    json_decref(v);
}

static void a_refused_call_is_read_by_the_model_and_the_talk_goes_on(void **state)
{
    static const char *const reply[] = { CALL("get_secrets", "{}"),
                                         CALL("get_allergies", "{\"patient\": \"p2\"}"),
                                         "Nothing is recorded." };
    (void)state;
    static scripted e;
    scripted_init(&e, reply, 3);
    wd_assist_opts o = ask_opts();
    wd_assist r;
    assert_ok(wd_assist_ask(&e.engine, &records, "secrets?", &o, arena, &r, &err));
    assert_true(r.answered && r.step[0].refused && r.step[1].refused);
    assert_int_equal(r.n_evidence, 0);
    assert_non_null(strstr(e.prompt, "There is no such tool."));
    assert_non_null(strstr(e.prompt, "get_allergies takes no arguments."));
}

static void a_model_that_only_asks_is_stopped(void **state)
{
    static char many[4096];
    static const char *const reply[] = { many };
    (void)state;
    for (int i = 0; i < 20; i++)
        strncat(many, CALL("get_allergies", "{}") "\n", sizeof many - strlen(many) - 1);
    static scripted e;
    scripted_init(&e, reply, 1);
    wd_assist_opts o = ask_opts();
    wd_assist r;
    assert_ok(wd_assist_ask(&e.engine, &records, "?", &o, arena, &r, &err));
    assert_false(r.answered);
    assert_string_equal(r.answer, "");
    assert_int_equal(e.n_asked, 3); /* two rounds, and one more chance to answer */
    assert_int_equal(r.n_step, 3 * WD_ASSIST_CALLS_MAX);
    o.max_rounds = WD_ASSIST_ROUNDS_MAX;
    assert_ok(wd_assist_ask(&e.engine, &records, "?", &o, arena, &r, &err));
    assert_int_equal(e.n_asked, 3 + WD_ASSIST_ROUNDS_MAX + 1);
}

static void bad_questions_and_failing_engines_are_named(void **state)
{
    static const char *const reply[] = { "yes" };
    (void)state;
    static scripted e;
    scripted_init(&e, reply, 1);
    wd_assist_opts o = ask_opts();
    wd_assist r;
    assert_fails(wd_assist_ask(&e.engine, &records, " \n", &o, arena, &r, &err), WD_E_INVALID,
                 "question is empty");
    char *longer = wd_arena_alloc(arena, 1, 9001);
    memset(longer, 'a', 9000);
    assert_fails(wd_assist_ask(&e.engine, &records, longer, &o, arena, &r, &err), WD_E_INVALID, "9000 bytes");
    o.max_rounds = 17;
    assert_fails(wd_assist_ask(&e.engine, &records, "?", &o, arena, &r, &err), WD_E_USAGE, "17 rounds");
    o = ask_opts();
    o.ask.prompt_path = "/nonexistent/p.txt";
    assert_fails(wd_assist_ask(&e.engine, &records, "?", &o, arena, &r, &err), WD_E_NOT_FOUND, "p.txt");
    o = ask_opts();
    e.fail = WD_E_CANCELLED;
    assert_fails(wd_assist_ask(&e.engine, &records, "?", &o, arena, &r, &err), WD_E_CANCELLED,
                 "scripted failure");
}

static void numbers_without_a_source_are_found(void **state)
{
    static const char *const text[] = { "{\"value\": 4.8, \"range\": \"3.5-5.3\", \"date\": \"2026-03-02\"}",
                                        "142/88 mmHg" };
    static const struct {
        const char *answer;
        size_t n;
        const char *first;
    } cases[] = {
        { "4.8 on 2026-03-02 (3.5-5.3), 142/88", 0, NULL },
        { "above 5.3.", 0, NULL },
        { "4.80", 1, "4.80" },
        { "4", 1, "4" },
        { "8", 1, "8" },
        { "2026-03-03", 1, "2026-03-03" },
        { "2026-02-03", 1, "2026-02-03" }, /* each part stands somewhere, the date does not */
        { "5.3-3.5", 0, NULL },
        { "HbA1c", 0, NULL },
        { "血钾为7.7，2026年", 1, "7.7" },
    };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        const char *out[4];
        const size_t n = wd_assist_unsupported(cases[i].answer, text, 2, arena, out, 4);
        if (n != cases[i].n || (n && strcmp(out[0], cases[i].first) != 0))
            fail_msg("%s: %zu, first %s", cases[i].answer, n, n ? out[0] : "-");
    }
}

static void charts_that_are_none_are_named(void **state)
{
    static const struct {
        const char *text;
        wd_status code;
        const char *part;
    } cases[] = {
        { "{", WD_E_CORRUPT, "not valid JSON" },
        { "[]", WD_E_INVALID, "expected a FHIR Bundle" },
        { "{\"resourceType\": \"Patient\"}", WD_E_INVALID, "expected a FHIR Bundle" },
        { "{\"resourceType\": \"Bundle\", \"entry\": {}}", WD_E_INVALID, "expected a FHIR Bundle" },
        { "{\"resourceType\": \"Bundle\", \"entry\": [{}]}", WD_E_INVALID, "entry 1 holds no resource" },
        { "{\"resourceType\": \"Bundle\", \"entry\": []}", WD_E_INVALID, "no Patient resource" },
        { "{\"resourceType\": \"Bundle\", \"timestamp\": \"yesterday\", \"entry\": [{\"resource\": "
          "{\"resourceType\": "
          "\"Patient\", \"id\": \"a\"}}]}",
          WD_E_INVALID, "timestamp is no date" },
    };
    (void)state;
    wd_records r;
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        char p[700];
        test_write(dir, "bad.json", cases[i].text, strlen(cases[i].text));
        snprintf(p, sizeof p, "%s/bad.json", dir);
        assert_fails(wd_records_open_chart(p, NULL, arena, &r, &err), cases[i].code, cases[i].part);
    }
    assert_fails(wd_records_open_chart(path, NULL, arena, &r, &err), WD_E_USAGE, "holds 2 patients");
    assert_fails(wd_records_open_chart(path, &(wd_chart_opts){ .patient = "p3" }, arena, &r, &err),
                 WD_E_NOT_FOUND, "no patient with the id");
    assert_fails(wd_records_open_chart(path, &(wd_chart_opts){ .patient = "p1", .today = "2026-13-01" },
                                       arena, &r, &err),
                 WD_E_INVALID, "today is no date");
}

static void any_allocation_or_read_may_fail(void **state)
{
    static const char *const reply[] = { CALL("get_observations", "{\"name\": \"potassium\"}"),
                                         "4.0, then 5.6." };
    (void)state;
    for (uint64_t nth = 1;; nth++) {
        static scripted e;
        scripted_init(&e, reply, 2);
        wd_inject_failure(nth);
        wd_arena *a = wd_arena_create((size_t)1 << 24, true);
        const wd_assist_opts o = ask_opts();
        wd_records rec;
        wd_assist r;
        wd_status st = a ? WD_OK : WD_E_NOMEM;
        if (!st)
            st = wd_records_open_chart(path, &(wd_chart_opts){ .patient = "p1" }, a, &rec, NULL);
        if (!st)
            st = wd_assist_ask(&e.engine, &rec, "potassium?", &o, a, &r, NULL);
        const bool injected = wd_inject_failure(0) >= nth;
        if (!injected)
            assert_int_equal(st, WD_OK);
        if (!st)
            assert_string_equal(r.answer, "4.0, then 5.6.");
        wd_arena_destroy(a);
        if (!injected)
            break;
    }
}

static int set_up(void **state)
{
    (void)state;
    wd_err err;
    wd_json_use_our_memory();
    dir = test_make_dir();
    test_write(dir, "chart.json", chart, sizeof chart - 1);
    snprintf(path, sizeof path, "%s/chart.json", dir);
    snprintf(prompt_en, sizeof prompt_en, "%s/../prompts/assist.en.txt", test_data_dir());
    snprintf(prompt_zh, sizeof prompt_zh, "%s/../prompts/assist.zh.txt", test_data_dir());
    arena = wd_arena_create((size_t)1 << 28, false);
    return wd_records_open_chart(path, &(wd_chart_opts){ .patient = "p1" }, arena, &records, &err) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
    test_rm_dir(dir);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tools_return_the_last_rows_with_unit_range_flag_and_trend),
        cmocka_unit_test(a_call_that_is_not_allowed_is_refused_with_a_sentence),
        cmocka_unit_test(another_patients_resource_is_never_handed_on),
        cmocka_unit_test(definitions_are_short_and_name_what_is_required),
        cmocka_unit_test(a_conversation_ends_in_an_answer_with_its_evidence),
        cmocka_unit_test(a_refused_call_is_read_by_the_model_and_the_talk_goes_on),
        cmocka_unit_test(a_model_that_only_asks_is_stopped),
        cmocka_unit_test(bad_questions_and_failing_engines_are_named),
        cmocka_unit_test(numbers_without_a_source_are_found),
        cmocka_unit_test(charts_that_are_none_are_named),
        cmocka_unit_test(any_allocation_or_read_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
