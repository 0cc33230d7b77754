/* How stories ask a model. */
#include "support/test.h"

#include <stdio.h>

#include "care/ask.h"
#include "support/scripted.h"

static wd_arena *arena;

static int set_up(void **state)
{
    (void)state;
    arena = wd_arena_create((size_t)1 << 20, false);
    return arena ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
    return 0;
}

static wd_prompt_file template(const char *system, const char *user)
{
    return (wd_prompt_file){ .system = wd_span_str(system), .user = wd_span_str(user), .path = "p.txt" };
}

static void pictures_stand_between_the_texts_each_after_its_label(void **state)
{
    (void)state;
    const wd_prompt_file f = template("", "Of {{name}}: {{images}} what?");
    const wd_prompt_value value[] = { { "name", WD_SPAN_LIT("A {{name}}") } };
    static const char *const label[] = { "one ", "two " };
    static const char *const want[] = { "Of A {{name}}: ", "one ", NULL, "two ", NULL, " what?" };
    wd_message m;
    assert_ok(wd_ask_message(&f, value, 1, label, 2, arena, &m, &err));
    assert_int_equal(m.role, WD_ROLE_USER);
    assert_true(m.is_list);
    assert_int_equal(m.n_part, WD_COUNT(want));
    for (size_t i = 0; i < m.n_part; i++) {
        assert_int_equal(m.part[i].kind, want[i] ? WD_PART_TEXT : WD_PART_IMAGE);
        assert_true(!want[i] || wd_span_is(m.part[i].text, want[i]));
    }
}

static void a_text_alone_is_one_part(void **state)
{
    (void)state;
    const wd_prompt_file f = template("", "{{a}}!");
    const wd_prompt_value value[] = { { "a", WD_SPAN_LIT("x") } };
    wd_message m;
    assert_ok(wd_ask_message(&f, value, 1, NULL, 0, arena, &m, &err));
    assert_false(m.is_list);
    assert_int_equal(m.n_part, 1);
    assert_true(wd_span_is(m.part[0].text, "x!"));
}

static void a_template_that_does_not_fit_is_named(void **state)
{
    (void)state;
    static const char *const label[] = { "one " };
    const wd_prompt_file none = template("", "no place"), unknown = template("", "{{b}} {{images}}"),
                         late = template("", "{{images}} {{b}}");
    wd_message m;
    assert_fails(wd_ask_message(&none, NULL, 0, label, 1, arena, &m, &err), WD_E_INVALID,
                 "p.txt: the [user] part has no {{images}}");
    assert_fails(wd_ask_message(&unknown, NULL, 0, label, 1, arena, &m, &err), WD_E_INVALID, "{{b}}");
    assert_fails(wd_ask_message(&late, NULL, 0, label, 1, arena, &m, &err), WD_E_INVALID, "{{b}}");
}

static void the_origin_tells_who_answered_and_adds_up(void **state)
{
    (void)state;
    static const char *const reply[] = { "good", "bad \xff byte" };
    static scripted e;
    scripted_init(&e, reply, 2);
    wd_prompt_file f = template("be brief", "ask");
    wd_digest_of(WD_SPAN_LIT("x"), &f.digest);
    const wd_ask_opts o = { .language = "zh", .max_tokens = 7, .model_digest = "ab" };
    wd_message m;
    wd_origin g;
    const char *text;
    assert_ok(wd_ask_message(&f, NULL, 0, NULL, 0, arena, &m, &err));
    wd_origin_begin(&g, &e.engine, &o, &f);
    assert_string_equal(g.model, "scripted");
    assert_string_equal(g.model_digest, "ab");
    assert_string_equal(g.language, "zh");
    assert_int_equal(strlen(g.prompt_digest), 64);
    assert_int_equal(strlen(g.created), 20);
    assert_ok(wd_ask_text(&e.engine, &o, f.system, &m, &(wd_media){ 0 }, arena, &g, &text, &err));
    assert_string_equal(text, "good");
    assert_string_equal(e.prompt, "be briefask");
    assert_ok(wd_ask_text(&e.engine, &o, WD_SPAN_LIT(""), &m, &(wd_media){ 0 }, arena, &g, &text, &err));
    assert_string_equal(text, "bad \xef\xbf\xbd byte");
    assert_string_equal(e.prompt, "ask");
    assert_int_equal(g.n_prompt, 20);
    assert_int_equal(g.n_reply, 1 + 2); /* five bytes a token */
    e.fail = WD_E_LIMIT;
    assert_fails(wd_ask_text(&e.engine, &o, f.system, &m, &(wd_media){ 0 }, arena, &g, &text, &err),
                 WD_E_LIMIT, "scripted failure");
}

static void without_a_model_the_origin_has_none(void **state)
{
    (void)state;
    const wd_ask_opts o = { .language = "en" };
    wd_origin g;
    wd_origin_begin(&g, NULL, &o, NULL);
    assert_null(g.model);
    assert_string_equal(g.prompt_digest, "");
    assert_string_equal(g.language, "en");
}

/* How an engine was asked to sample. */
static wd_sample_opts sampled;
static uint32_t limit;

static wd_status spy(void *self, wd_arena *a, const wd_generate *rq, wd_generated *out, wd_err *err)
{
    (void)self, (void)a, (void)out;
    sampled = rq->sample;
    limit = rq->max_tokens;
    return WD_FAIL(err, WD_E_CANCELLED, "seen");
}

static void sampling_is_the_models_unless_told(void **state)
{
    (void)state;
    wd_engine e = { .generate = spy,
                    .info = { .name = "spy", .sample = { .temperature = 0.7f, .top_p = 0.8f } } };
    wd_ask_opts o = { .language = "en", .temperature = -1, .seed = 5, .max_tokens = 9 };
    wd_generate rq = { 0 };
    wd_origin g = { 0 };
    wd_parsed reply;
    assert_fails(wd_ask(&e, &o, &rq, arena, &g, &reply, &err), WD_E_CANCELLED, "seen");
    assert_true(sampled.temperature == 0.7f && sampled.top_p == 0.8f && sampled.seed == 5 && limit == 9);
    o.temperature = 0;
    assert_fails(wd_ask(&e, &o, &rq, arena, &g, &reply, &err), WD_E_CANCELLED, "seen");
    assert_true(sampled.temperature == 0 && sampled.top_p == 0.8f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pictures_stand_between_the_texts_each_after_its_label, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_text_alone_is_one_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_template_that_does_not_fit_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_origin_tells_who_answered_and_adds_up, set_up, tear_down),
        cmocka_unit_test(without_a_model_the_origin_has_none),
        cmocka_unit_test_setup_teardown(sampling_is_the_models_unless_told, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
