/* The option table: command line, configuration file, defaults. */
#include "support/test.h"

#include <stdio.h>

#include "base/file.h"
#include "base/opt.h"

typedef struct target {
    const char *model;
    int64_t max_tokens;
    double temperature;
    bool think;
    wd_opt_list image;
} target;

#define AT(field) offsetof(target, field)
static const wd_opt opts[] = {
    { "model", 'm', WD_OPT_STR, AT(model), NULL, 0, 0, "model directory" },
    { "max-tokens", 'n', WD_OPT_INT, AT(max_tokens), "512", 1, 100000, "most tokens" },
    { "temperature", 't', WD_OPT_NUM, AT(temperature), "0.7", 0, 10, "randomness" },
    { "think", 0, WD_OPT_BOOL, AT(think), "true", 0, 0, "reason first" },
    { "image", 'i', WD_OPT_LIST, AT(image), NULL, 0, 0, "an image" },
};
static const wd_opt_table table = { "chat", opts, WD_COUNT(opts) };

static wd_arena *arena;

static wd_status parse(target *t, wd_opt_list *rest, const char *config, wd_err *err, int argc,
                       const char *const *argv)
{
    *t = (target){ 0 };
    return wd_opt_parse(&table, argc, argv, config, arena, t, rest, err);
}
#define PARSE(t, rest, config, ...)                                                \
    parse(t, rest, config, &err, (int)WD_COUNT(((const char *[]){ __VA_ARGS__ })), \
          (const char *[]){ __VA_ARGS__ })

static void every_spelling_of_an_option_is_read(void **state)
{
    (void)state;
    target t;
    wd_opt_list rest;
    assert_ok(PARSE(&t, &rest, NULL, "-m", "dir", "--max-tokens=7", "-t0.25", "--no-think", "-i", "a.png",
                    "hello", "--image", "b.png", "--", "-x"));
    assert_string_equal(t.model, "dir");
    assert_int_equal(t.max_tokens, 7);
    assert_true(t.temperature == 0.25);
    assert_false(t.think);
    assert_int_equal(t.image.n, 2);
    assert_string_equal(t.image.v[1], "b.png");
    assert_int_equal(rest.n, 2);
    assert_string_equal(rest.v[1], "-x");
}

static void a_wrong_option_gets_one_clear_sentence(void **state)
{
    (void)state;
    target t;
    wd_opt_list rest;
    assert_fails(PARSE(&t, &rest, NULL, "--max-token", "7"), WD_E_USAGE, "did you mean --max-tokens?");
    assert_fails(PARSE(&t, &rest, NULL, "-n", "0"), WD_E_USAGE,
                 "--max-tokens: \"0\", expected an integer from 1");
    assert_fails(PARSE(&t, &rest, NULL, "-n", "9x"), WD_E_USAGE, "expected an integer");
    assert_fails(PARSE(&t, &rest, NULL, "-n", "99999999999999999999"), WD_E_USAGE, "expected an integer");
    assert_fails(PARSE(&t, &rest, NULL, "-t", "nan"), WD_E_USAGE, "expected a number");
    assert_fails(PARSE(&t, &rest, NULL, "-m"), WD_E_USAGE, "-m needs a value");
    assert_fails(PARSE(&t, &rest, NULL, "-q"), WD_E_USAGE, "no option -q");
}

static void the_line_beats_the_command_section_beats_the_ward_section(void **state)
{
    (void)state;
    char *dir = test_make_dir();
    static const char ini[] =
        "[ward]\nmodel = from-ward\nmax-tokens = 1\ntemperature = 2\nother-command = x\n"
        "[chat]\nmax-tokens = 2\ntemperature = 3\nimage = c.png\n[report]\nslices = 4\n";
    test_write(dir, "ward.ini", ini, sizeof ini - 1);
    char path[600];
    snprintf(path, sizeof path, "%s/ward.ini", dir);
    target t;
    wd_opt_list rest;
    assert_ok(PARSE(&t, &rest, path, "-t", "4", "-i", "d.png"));
    assert_string_equal(t.model, "from-ward");
    assert_int_equal(t.max_tokens, 2);
    assert_true(t.temperature == 4);
    assert_int_equal(t.image.n, 1);
    assert_string_equal(t.image.v[0], "d.png");

    static const char typo[] = "[chat]\nmax-tokns = 2\n", broken[] = "[chat\nx\n";
    test_write(dir, "ward.ini", typo, sizeof typo - 1);
    assert_fails(PARSE(&t, &rest, path, "x"), WD_E_USAGE, "[chat] has no key \"max-tokns\"");
    test_write(dir, "ward.ini", broken, sizeof broken - 1);
    assert_fails(PARSE(&t, &rest, path, "x"), WD_E_CORRUPT, "line 1 is neither");
    assert_fails(PARSE(&t, &rest, "/nowhere/ward.ini", "x"), WD_E_NOT_FOUND, "/nowhere/ward.ini");
    test_rm_dir(dir);
}

static void any_allocation_or_read_may_fail(void **state)
{
    (void)state;
    char *dir = test_make_dir(), path[600];
    test_write(dir, "ward.ini", "[ward]\nmodel = m\nimage = a\n", 27);
    snprintf(path, sizeof path, "%s/ward.ini", dir);
    for (uint64_t nth = 1;; nth++) {
        wd_inject_failure(nth);
        wd_arena *a = wd_arena_create(1 << 16, false);
        const char *const argv[] = { "-i", "b", "x" };
        target t = { 0 };
        wd_opt_list rest;
        const wd_status st = a ? wd_opt_parse(&table, 3, argv, path, a, &t, &rest, NULL) : WD_E_NOMEM;
        const bool injected = wd_inject_failure(0) >= nth;
        wd_arena_destroy(a);
        assert_true(injected ? st != WD_OK : st == WD_OK);
        if (!injected)
            break;
    }
    test_rm_dir(dir);
}

static void help_names_every_option(void **state)
{
    (void)state;
    wd_buf b = { 0 };
    wd_opt_help(&table, &b);
    for (size_t i = 0; i < WD_COUNT(opts); i++)
        assert_non_null(strstr((char *)b.p, opts[i].name));
    wd_buf_free(&b);
}

static int set_up(void **state)
{
    (void)state;
    arena = wd_arena_create(1 << 20, false);
    return arena ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wd_arena_destroy(arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling_of_an_option_is_read),
        cmocka_unit_test(a_wrong_option_gets_one_clear_sentence),
        cmocka_unit_test(the_line_beats_the_command_section_beats_the_ward_section),
        cmocka_unit_test(any_allocation_or_read_may_fail),
        cmocka_unit_test(help_names_every_option),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
