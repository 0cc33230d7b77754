/* Synthetic charts: valid FHIR R4 in what every resource must have, the same bytes for the same seed, variety, and nothing
 * that a clinician would laugh at. */
#include "support/test.h"

#include <stdio.h>

#include "base/file.h"
#include "base/json.h"
#include "base/map.h"
#include "base/utf8.h"
#include "care/phantom/chart_inner.h"
#include "care/records.h"

#define SEEDS 60

static const char *text_at(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static const json_t *first(const json_t *o, const char *key)
{
    return json_array_get(json_object_get(o, key), 0);
}

/* A CodeableConcept: a coding with system and code, or words. */
static void check_concept(const json_t *c)
{
    json_t *coding;
    size_t i;
    assert_true(json_is_object(c));
    assert_true(json_array_size(json_object_get(c, "coding")) || *text_at(c, "text"));
    json_array_foreach(json_object_get(c, "coding"), i, coding)
    {
        assert_true(!strncmp(text_at(coding, "system"), "http://", 7));
        assert_true(*text_at(coding, "code"));
    }
}

static void check_quantity(const json_t *q)
{
    assert_true(json_is_number(json_object_get(q, "value")));
    assert_string_equal(text_at(q, "system"), "http://unitsofmeasure.org");
    assert_true(*text_at(q, "code"));
}

static void check_observation(const json_t *r)
{
    json_t *part;
    size_t i;
    assert_string_equal(text_at(r, "status"), "final");
    check_concept(json_object_get(r, "code"));
    check_concept(first(r, "category"));
    assert_string_equal(text_at(first(json_object_get(r, "code"), "coding"), "system"), "http://loinc.org");
    assert_int_equal(strlen(text_at(r, "effectiveDateTime")), 20);
    const json_t *q = json_object_get(r, "valueQuantity");
    if (!q) /* the pressure: two components, no value of its own */
        assert_int_equal(json_array_size(json_object_get(r, "component")), 2);
    else
        check_quantity(q);
    json_array_foreach(json_object_get(r, "component"), i, part)
    {
        check_concept(json_object_get(part, "code"));
        check_quantity(json_object_get(part, "valueQuantity"));
    }
    const json_t *range = first(r, "referenceRange");
    if (!range)
        return;
    const char *code = text_at(first(first(r, "interpretation"), "coding"), "code");
    const json_t *low = json_object_get(range, "low"), *high = json_object_get(range, "high");
    const double v = json_number_value(json_object_get(q, "value"));
    assert_true(low || high);
    const bool is_low = low && v < json_number_value(json_object_get(low, "value"));
    const bool is_high = high && v > json_number_value(json_object_get(high, "value"));
    assert_string_equal(code, is_high ? "H" : is_low ? "L" : "N");
}

static void check_resource(const json_t *r)
{
    const char *type = text_at(r, "resourceType");
    assert_true(strlen(text_at(r, "id")) > 0 && strlen(text_at(r, "id")) <= 64);
    if (!strcmp(type, "Observation")) {
        check_observation(r);
    } else if (!strcmp(type, "MedicationRequest")) {
        assert_string_equal(text_at(r, "intent"), "order");
        assert_true(!strcmp(text_at(r, "status"), "active") || !strcmp(text_at(r, "status"), "stopped"));
        check_concept(json_object_get(r, "medicationCodeableConcept"));
        check_quantity(json_object_get(first(first(r, "dosageInstruction"), "doseAndRate"), "doseQuantity"));
    } else if (!strcmp(type, "AllergyIntolerance")) {
        check_concept(json_object_get(r, "clinicalStatus"));
        check_concept(json_object_get(r, "code"));
        check_concept(first(first(r, "reaction"), "manifestation"));
    } else if (!strcmp(type, "Condition")) {
        check_concept(json_object_get(r, "clinicalStatus"));
        check_concept(json_object_get(r, "code"));
        const bool resolved = !strcmp(text_at(first(json_object_get(r, "clinicalStatus"), "coding"), "code"),
                                      "resolved");
        assert_int_equal(json_object_get(r, "abatementDateTime") != NULL, resolved); /* FHIR's rule con-4 */
        assert_true(wd_is_date(text_at(r, "onsetDateTime")));
    } else if (!strcmp(type, "ImagingStudy")) {
        assert_string_equal(text_at(r, "status"), "available");
        assert_true(*text_at(first(r, "series"), "uid"));
        assert_true(*text_at(json_object_get(first(r, "series"), "modality"), "code"));
    } else if (!strcmp(type, "DiagnosticReport")) {
        check_concept(json_object_get(r, "code"));
        assert_true(*text_at(r, "conclusion"));
    } else {
        assert_string_equal(type, "Patient");
        assert_true(!strncmp(text_at(first(r, "identifier"), "value"), "SYNTHETIC-", 10));
        assert_true(!strncmp(text_at(first(r, "name"), "text"), "Synthetic Patient", 17));
    }
}

/* Every "reference" in it is one of the full URLs. */
static size_t check_references(const json_t *v, const wd_map *urls)
{
    const char *key;
    json_t *part;
    size_t i, n = 0;
    char url[256];
    if (json_is_object(v) && json_object_get(v, "reference")) {
        snprintf(url, sizeof url, "http://example.org/fhir/%s", text_at(v, "reference"));
        uint64_t at;
        if (!wd_map_get(urls, wd_span_str(url), &at))
            fail_msg("%s is not in the bundle", url);
        n++;
    }
    json_object_foreach((json_t *)v, key, part) n += check_references(part, urls);
    json_array_foreach(v, i, part) n += check_references(part, urls);
    return n;
}

static void every_resource_has_what_r4_requires_and_references_resolve(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        json_t *chart, *truth, *entry;
        size_t i;
        assert_ok(wd_phantom_chart_make(seed, &chart, &truth, &err));
        assert_string_equal(text_at(chart, "resourceType"), "Bundle");
        assert_string_equal(text_at(chart, "type"), "collection");
        assert_string_equal(text_at(first(json_object_get(chart, "meta"), "tag"), "code"), "HTEST");
        wd_map *urls = wd_map_create(256);
        json_array_foreach(json_object_get(chart, "entry"), i, entry)
        {
            bool was;
            assert_int_equal(wd_map_put(urls, wd_span_str(text_at(entry, "fullUrl")), i, &was), WD_OK);
            assert_false(was);
            check_resource(json_object_get(entry, "resource"));
        }
        assert_true(check_references(chart, urls) >= i - 1); /* all but the patient speak of one */
        wd_map_destroy(urls);
        json_decref(chart);
        json_decref(truth);
    }
}

static void the_same_seed_gives_the_same_bytes_and_another_one_others(void **state)
{
    (void)state;
    char *dir = test_make_dir(), sub[3][600], file[1300];
    wd_buf b[3][2] = { 0 };
    static const uint64_t seed[3] = { 7, 7, 8 };
    static const char *const name[2] = { "chart.json", "truth.json" };
    for (int i = 0; i < 3; i++) {
        snprintf(sub[i], sizeof sub[i], "%s/deep/%d", dir, i);
        assert_ok(wd_phantom_chart_write(sub[i], seed[i], &err));
        for (int k = 0; k < 2; k++) {
            snprintf(file, sizeof file, "%.600s/%s", sub[i], name[k]);
            assert_ok(wd_file_read(file, 1 << 22, &b[i][k], &err));
        }
    }
    for (int k = 0; k < 2; k++) {
        assert_true(wd_span_eq(wd_buf_view(&b[0][k]), wd_buf_view(&b[1][k])));
        assert_false(wd_span_eq(wd_buf_view(&b[0][k]), wd_buf_view(&b[2][k])));
        assert_true(wd_utf8_valid(wd_buf_view(&b[0][k])));
    }
    assert_null(strstr((char *)b[0][0].p, "00000000")); /* 4.8, not 4.7999999999999998 */
    assert_null(strstr((char *)b[0][0].p, "99999999"));
    for (int i = 0; i < 3; i++)
        for (int k = 0; k < 2; k++)
            wd_buf_free(&b[i][k]);
    test_write(dir, "file", "x", 1);
    snprintf(file, sizeof file, "%s/file/case", dir);
    assert_fails(wd_phantom_chart_write(file, 7, &err), WD_E_NOT_FOUND, "cannot create the directory");
    test_rm_dir(dir);
}

static void every_kind_of_question_comes_in_at_least_six_wordings(void **state)
{
    (void)state;
    for (size_t i = 0; i < wd_chart__n_wording; i++) {
        for (int lang = 0; lang < 2; lang++) {
            const char *const *ask = wd_chart__wordings[i].ask[lang];
            size_t n = 0;
            for (; n < 9 && ask[n]; n++)
                for (size_t k = 0; k < n; k++)
                    assert_string_not_equal(ask[k], ask[n]);
            assert_true(n >= 6);
        }
    }
}

static void all_kinds_are_asked_and_no_place_stays_open(void **state)
{
    (void)state;
    wd_map *kinds = wd_map_create(64);
    for (uint64_t seed = 0; seed < 4 * SEEDS; seed++) {
        json_t *chart, *truth, *q;
        size_t i, k;
        assert_ok(wd_phantom_chart_make(seed, &chart, &truth, &err));
        const json_t *questions = json_object_get(truth, "questions");
        assert_int_equal(json_array_size(questions), WD_CHART_QUESTIONS);
        json_array_foreach(questions, i, q)
        {
            assert_int_equal(wd_map_put(kinds, wd_span_str(text_at(q, "kind")), 0, NULL), WD_OK);
            for (k = 0; k < i; k++)
                assert_string_not_equal(text_at(json_array_get(questions, k), "kind"), text_at(q, "kind"));
            for (int lang = 0; lang < 2; lang++) {
                const json_t *t = json_object_get(q, lang ? "zh" : "en");
                json_t *fact;
                assert_true(*text_at(t, "question") && *text_at(t, "answer"));
                assert_null(strchr(text_at(t, "question"), '{'));
                assert_true(json_array_size(json_object_get(t, "facts")) > 0);
                json_array_foreach(json_object_get(t, "facts"), k, fact)
                    assert_non_null(strstr(text_at(t, "answer"), json_string_value(fact)));
            }
        }
        json_decref(chart);
        json_decref(truth);
    }
    assert_int_equal(wd_map_count(kinds), wd_chart__n_wording);
    wd_map_destroy(kinds);
}

static void no_drug_is_ordered_against_an_allergy_or_twice_in_its_group(void **state)
{
    (void)state;
    size_t n_forbidden = 0;
    for (uint64_t seed = 0; seed < 10 * SEEDS; seed++) {
        static wd_chart__patient p;
        wd_chart__draw(seed, &p);
        for (size_t i = 0; i < p.n_order; i++) {
            const wd_chart__drug *d = p.order[i].drug;
            assert_false(d->men && p.female);
            assert_true(p.order[i].day < p.today);
            for (size_t k = 0; k < i; k++)
                assert_true(strncmp(d->atc, p.order[k].drug->atc, 3) != 0);
            for (size_t k = 0; k < p.n_allergy; k++) {
                const char *forbids = p.allergy[k].substance->forbids;
                n_forbidden += forbids != NULL;
                assert_false(forbids && !strncmp(d->atc, forbids, strlen(forbids)));
            }
        }
        for (size_t i = 0; i < p.n_series; i++)
            for (int k = 0; k < p.series[i].n; k++) {
                const wd_chart__test *t = p.series[i].test;
                assert_in_range(p.series[i].value[k], t->least, t->most);
                assert_true(k == 0 || p.series[i].visit[k] > p.series[i].visit[k - 1]);
                assert_true(p.visit[p.series[i].visit[k]] <= p.today);
            }
        for (size_t i = 0; i < p.n_study; i++) {
            const char *no = strstr(p.study[i].conclusion[0], "No ");
            assert_true(!no || (no == p.study[i].conclusion[0] && strchr(no, '.') == no + strlen(no) - 1));
            assert_true(p.study[i].day < p.today);
        }
    }
    assert_true(n_forbidden > 50); /* it was really put to the test */
}

static void dates_and_numbers_are_written_as_people_do(void **state)
{
    (void)state;
    static const struct {
        int64_t day;
        const char *date;
    } days[] = { { 0, "1970-01-01" },     { -1, "1969-12-31" },    { 11016, "2000-02-29" },
                 { 19723, "2024-01-01" }, { 19782, "2024-02-29" }, { 20818, "2026-12-31" },
                 { -25567, "1900-01-01" } };
    char date[11], text[16];
    for (size_t i = 0; i < WD_COUNT(days); i++) {
        wd_chart__date(days[i].day, date);
        assert_string_equal(date, days[i].date);
    }
    static const struct {
        int32_t value;
        int decimals;
        const char *text;
    } numbers[] = { { 140, 0, "140" }, { 48, 1, "4.8" }, { 40, 1, "4.0" },
                    { 5, 1, "0.5" },   { 10, 2, "0.1" }, { 105, 2, "1.05" },
                    { 400, 2, "4.0" }, { 4, 2, "0.04" }, { 0, 0, "0" } };
    for (size_t i = 0; i < WD_COUNT(numbers); i++) {
        wd_chart__number(numbers[i].value, numbers[i].decimals, text);
        assert_string_equal(text, numbers[i].text);
    }
    wd_chart__dose(500000, text);
    assert_string_equal(text, "500");
    wd_chart__dose(62, text);
    assert_string_equal(text, "0.062");
    wd_chart__dose(2500, text);
    assert_string_equal(text, "2.5");
}

static void names_of_measurements_are_unique_and_every_drawn_one_is_known(void **state)
{
    (void)state;
    const wd_term *t;
    for (size_t i = 0; (t = wd_term_at(i)); i++) {
        assert_ptr_equal(wd_term_find(t->loinc), t);
        for (int lang = 0; lang < 2; lang++) {
            assert_ptr_equal(wd_term_find(t->name[lang]), t);
            for (int k = 0; k < WD_TERM_ALSO_MAX && t->also[lang][k]; k++)
                assert_ptr_equal(wd_term_find(t->also[lang][k]), t);
        }
    }
    for (size_t i = 0; i < wd_chart__n_test; i++)
        assert_non_null(wd_term_find(wd_chart__tests[i].name));
    assert_ptr_equal(wd_term_find("POTASSIUM"), wd_term_find("血钾"));
    assert_null(wd_term_find("potass"));
    assert_null(wd_term_find(""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_resource_has_what_r4_requires_and_references_resolve),
        cmocka_unit_test(the_same_seed_gives_the_same_bytes_and_another_one_others),
        cmocka_unit_test(every_kind_of_question_comes_in_at_least_six_wordings),
        cmocka_unit_test(all_kinds_are_asked_and_no_place_stays_open),
        cmocka_unit_test(no_drug_is_ordered_against_an_allergy_or_twice_in_its_group),
        cmocka_unit_test(dates_and_numbers_are_written_as_people_do),
        cmocka_unit_test(names_of_measurements_are_unique_and_every_drawn_one_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
