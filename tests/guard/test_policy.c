/* The policy table: every role on every action, and routes that try to get round it. */
#include "support/test.h"

#include <stdio.h>

#include "base/file.h"
#include "guard/policy.h"
#include "guard/policy_expected.h"

static wd_reach reach_of(char letter)
{
    return letter == 'o'   ? WD_REACH_OWN
           : letter == 't' ? WD_REACH_TENANT
           : letter == '-' ? WD_REACH_NO
                           : WD_REACH_ALL;
}

static void every_role_reaches_on_every_action_what_is_written_down(void **state)
{
    (void)state;
    size_t n;
    const wd_rule *rules = wd_policy_rules(&n);
    assert_int_equal(n, WD_COUNT(policy_expected));
    for (size_t i = 0; i < n; i++) {
        const wd_rule *r = &rules[i];
        assert_string_equal(r->action, policy_expected[i].action);
        assert_true(!r->method == !policy_expected[i].method);
        if (r->method) {
            assert_string_equal(r->method, policy_expected[i].method);
            assert_string_equal(r->path, policy_expected[i].path);
        }
        for (unsigned role = 0; role < WD_N_ACCOUNT_ROLE; role++) {
            const wd_reach want = reach_of(policy_expected[i].reach[role]);
            if (wd_policy_reach(r, (wd_account_role)role, WD_SCOPE_ALL) != want)
                fail_msg("%s: %s", r->action, wd_account_role_name((wd_account_role)role));
        }
    }
}

static void a_scope_that_is_not_given_takes_the_action_away(void **state)
{
    (void)state;
    size_t n;
    const wd_rule *rules = wd_policy_rules(&n);
    for (size_t i = 0; i < n; i++) {
        uint32_t need = 0;
        if (*policy_expected[i].scope)
            assert_ok(wd_scopes_parse(policy_expected[i].scope, &need, &err));
        assert_int_equal((uint32_t)rules[i].scope, need);
        for (unsigned role = 0; role < WD_N_ACCOUNT_ROLE; role++) {
            for (uint32_t scopes = 0; scopes <= WD_SCOPE_ALL; scopes++) {
                const wd_reach want = rules[i].open || (scopes & need) == need
                                          ? reach_of(policy_expected[i].reach[role])
                                          : WD_REACH_NO;
                assert_int_equal(wd_policy_reach(&rules[i], (wd_account_role)role, scopes), want);
            }
        }
        assert_int_equal(wd_policy_reach(&rules[i], WD_N_ACCOUNT_ROLE, WD_SCOPE_ALL),
                         rules[i].open ? WD_REACH_ALL : WD_REACH_NO);
    }
}

/* What must hold whatever rows come later. */
static void rows_keep_the_separation_of_duties(void **state)
{
    (void)state;
    size_t n;
    const wd_rule *rules = wd_policy_rules(&n);
    for (size_t i = 0; i < n; i++) {
        const wd_rule *r = &rules[i];
        const bool content = r->scope == WD_SCOPE_INFER || r->scope == WD_SCOPE_FILES;
        if (content)
            assert_true(r->recorded != WD_RECORD_NEVER && !r->open);
        if (content && strcmp(r->action, "file.delete") != 0)
            assert_int_equal(r->reach[WD_ACCOUNT_ADMIN], WD_REACH_NO);
        if (content)
            assert_int_equal(r->reach[WD_ACCOUNT_AUDITOR], WD_REACH_NO);
        if (r->scope == WD_SCOPE_ADMIN && strcmp(strchr(r->action, '.'), ".list") != 0)
            for (unsigned role = WD_ACCOUNT_ADMIN + 1; role < WD_N_ACCOUNT_ROLE; role++)
                assert_int_equal(r->reach[role], WD_REACH_NO);
        if (r->scope == WD_SCOPE_AUDIT || r->scope == WD_SCOPE_ADMIN)
            assert_int_equal(r->recorded, r->path ? WD_RECORD_TWICE : WD_RECORD_ONCE);
        if (content) /* what somebody made is nobody else's to read */
            assert_true(!strstr(r->path ? r->path : "", "{id}") ||
                        r->reach[WD_ACCOUNT_SERVICE] == WD_REACH_OWN);
        for (size_t k = 0; k < i; k++) /* one route, one rule */
            assert_true(!r->path || !rules[k].path || strcmp(r->path, rules[k].path) != 0 ||
                        strcmp(r->method, rules[k].method) != 0);
    }
}

static void routes_are_found_by_method_and_path(void **state)
{
    (void)state;
    const wd_rule *r;
    char allow[64], path[128];
    for (size_t i = 0; i < WD_COUNT(policy_expected); i++) {
        const char *p = policy_expected[i].path, *hole = p ? strchr(p, '{') : NULL;
        if (!p)
            continue;
        if (hole)
            snprintf(path, sizeof path, "%.*sfile-12ab%s", (int)(hole - p), p, strchr(p, '}') + 1);
        else
            snprintf(path, sizeof path, "%s", p);
        assert_ok(wd_policy_find(policy_expected[i].method, path, &r, allow, &err));
        assert_string_equal(r->action, policy_expected[i].action);
        assert_string_equal(allow, "");
    }
    assert_ok(
        wd_policy_find("GET", "/v1/models/Qwen/Qwen3-VL-2B", &r, NULL, &err)); /* models have such names */
    assert_string_equal(r->action, "model.read");
    assert_fails(wd_policy_find("PUT", "/v1/files/file-1", &r, allow, &err), WD_E_UNSUPPORTED,
                 "this route takes GET, DELETE only");
    assert_string_equal(allow, "GET, DELETE");
    assert_null(r);
}

static void routes_that_are_nearly_right_have_no_rule(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "",
        "/",
        "//health",
        "/health/",
        "/Health",
        "/health?x",
        "/v1",
        "/v1/models/",
        "/v1/files/a/b",
        "/v1//models",
        "/v1/files/%2e%2e/content/",
        "/v1/files//content",
        "/v1/files/x/Content",
        "v1/models",
        "/v1/chat/completions/",
        "/v1/chat%2fcompletions",
        "/../health",
        "/v1/./models",
        "/v1/models\\x/y/z",
        "/v1/modelsx/y",
        "/api/v1/session/x",
        "/v3/rerank",
        "/v1/files/{id}/{id}",
        "/metrics\n",
    };
    const wd_rule *r;
    for (size_t i = 0; i < WD_COUNT(paths); i++) {
        wd_err err = { 0 };
        if (wd_policy_find("GET", paths[i], &r, NULL, &err) != WD_E_NOT_FOUND)
            fail_msg("%s has a rule", paths[i]);
        if (strlen(paths[i]) > 3)
            assert_null(strstr(err.text, paths[i])); /* it may hold anything, so it is not said again */
    }
    assert_fails(wd_policy_find("get", "/health", &r, NULL, &err), WD_E_UNSUPPORTED, "takes GET only");
    assert_null(wd_policy_action("chat.createx"));
    assert_string_equal(wd_policy_action("chat.create")->path, "/v1/chat/completions");
}

static void names_are_written_and_read(void **state)
{
    (void)state;
    wd_account_role role;
    uint32_t s;
    for (unsigned i = 0; i < WD_N_ACCOUNT_ROLE; i++) {
        assert_true(wd_account_role_parse(wd_account_role_name((wd_account_role)i), &role));
        assert_int_equal(role, i);
    }
    assert_false(wd_account_role_parse("Admin", &role));
    assert_false(wd_account_role_parse("", &role));
    for (uint32_t m = 1; m <= WD_SCOPE_ALL; m++) {
        wd_buf b = { 0 };
        wd_scopes_write(m, &b);
        assert_ok(wd_scopes_parse((char *)b.p, &s, &err));
        assert_int_equal(s, m);
        wd_buf_free(&b);
    }
    assert_fails(wd_scopes_parse("infer,", &s, &err), WD_E_INVALID, "scope \"\", expected all, or some of");
    assert_fails(wd_scopes_parse("infer,root", &s, &err), WD_E_INVALID, "scope \"root\"");
}

static void the_table_of_the_documentation_is_the_one_that_decides(void **state)
{
    (void)state;
    wd_buf doc = { 0 }, table = { 0 };
    char path[1024];
    snprintf(path, sizeof path, "%s/../docs/trust.md", test_data_dir());
    assert_ok(wd_file_read(path, 1 << 20, &doc, &err));
    wd_policy_write(&table);
    assert_ok(wd_buf_check(&table, "table", &err));
    if (wd_span_find(wd_buf_view(&doc), wd_buf_view(&table), 0) == SIZE_MAX)
        fail_msg("docs/trust.md does not hold the table that `ward audit policy` prints:\n%s",
                 (char *)table.p);
    wd_buf_free(&doc);
    wd_buf_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_role_reaches_on_every_action_what_is_written_down),
        cmocka_unit_test(a_scope_that_is_not_given_takes_the_action_away),
        cmocka_unit_test(rows_keep_the_separation_of_duties),
        cmocka_unit_test(routes_are_found_by_method_and_path),
        cmocka_unit_test(routes_that_are_nearly_right_have_no_rule),
        cmocka_unit_test(names_are_written_and_read),
        cmocka_unit_test(the_table_of_the_documentation_is_the_one_that_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
