/* The policy table through HTTP: every role on every route, with its key, with the cookie of a log-in, without either, and
 * with a key narrowed by scope. */
#include "support/test.h"

#include <stdio.h>

#include "guard/admin.h"
#include "serve/client.h"
#include "serve/inner.h"
#include "support/scripted.h"

typedef struct rig {
    scripted engine;
    char *dir;
    wd_guard *guard;
    wd_server *server;
    char key[WD_N_ACCOUNT_ROLE][160], narrow[WD_N_ACCOUNT_ROLE][160]; /* narrow: the scope "metrics" alone */
    char cookie[WD_N_ACCOUNT_ROLE][160];                              /* of a page of the server */
} rig;

static void add_key(rig *r, wd_account_role role, uint32_t scopes, char out[160])
{
    wd_identity by;
    char token[WD_TOKEN_MAX], id[WD_NAME_MAX + 1];
    wd_identity_local("test", WD_ACCOUNT_ADMIN, &by);
    const wd_key_new key = { .label = "roles", .tenant = "main", .role = role, .scopes = scopes };
    assert_ok(wd_admin_key_add(r->guard, &by, &key, token, id, &err));
    snprintf(out, 160, "Authorization: Bearer %s\r\n", token);
}

#define FORGED "Authorization: Bearer ward_0000000000000000000000000000000000000000000\r\n"
#define PASSWORD "correct horse battery"

static void add_account(rig *r, wd_account_role role)
{
    wd_identity by;
    wd_identity_local("test", WD_ACCOUNT_ADMIN, &by);
    assert_ok(wd_admin_user_add(r->guard, &by, "main", wd_account_role_name(role), role,
                                WD_SPAN_LIT(PASSWORD), &err));
}

static void log_in(rig *r, wd_account_role role)
{
    answer a;
    char body[128];
    snprintf(body, sizeof body, "{\"name\":\"%s\",\"password\":\"" PASSWORD "\"}",
             wd_account_role_name(role));
    const int fd = dial(wd_serve_port(r->server));
    ask_with(fd, "POST", "/api/v1/session", "Connection: close\r\n", body);
    hear(fd, &a);
    assert_int_equal(a.status, 200);
    const char *set = strstr((char *)a.raw.p, "Set-Cookie: ");
    assert_non_null(set);
    snprintf(r->cookie[role], sizeof r->cookie[role], "Cookie: %.*s\r\nOrigin: http://localhost\r\n",
             (int)strcspn(set + 12, ";"), set + 12);
    answer_free(&a);
}

static void rig_start(rig *r)
{
    static const char *const reply[] = { "good day" };
    wd_guard_opts go = WD_GUARD_OPTS_DEFAULT;
    wd_serve_opts o = WD_SERVE_OPTS_DEFAULT;
    memset(r, 0, sizeof *r);
    r->dir = test_make_dir();
    go.dir = r->dir;
    go.serve = true;
    go.bad_per_min = 1000000;
    go.pw_ops = 1;
    go.pw_mem = (uint64_t)8 << 20;
    assert_ok(wd_guard_open(&go, &r->guard, &err));
    for (unsigned k = 0; k < WD_N_ACCOUNT_ROLE; k++) {
        add_key(r, (wd_account_role)k, WD_SCOPE_ALL, r->key[k]);
        add_key(r, (wd_account_role)k, WD_SCOPE_METRICS, r->narrow[k]);
        add_account(r, (wd_account_role)k);
    }
    scripted_init(&r->engine, reply, 1);
    o.engine = &r->engine.engine;
    o.guard = r->guard;
    o.model = "scripted";
    o.version = "0";
    o.port = 0;
    assert_ok(wd_serve_start(&o, &r->server, &err));
    for (unsigned k = 0; k < WD_N_ACCOUNT_ROLE; k++)
        log_in(r, (wd_account_role)k);
}

static void rig_stop(rig *r)
{
    wd_serve_stop(r->server);
    wd_guard_close(r->guard);
    test_rm_dir(r->dir);
}

/* A path of the rule, with something in the place of {id} and {rest}. */
static void path_of(const wd_rule *rule, char out[128])
{
    const char *brace = strchr(rule->path, '{'), *end = brace ? strchr(brace, '}') + 1 : NULL;
    if (brace)
        snprintf(out, 128, "%.*snothing%s", (int)(brace - rule->path), rule->path, end);
    else
        snprintf(out, 128, "%s", rule->path);
}

/* Status, and the error's code in `code`. */
static int try(const rig *r, const wd_rule *rule, const char *credentials, char code[64])
{
    char headers[320], path[128];
    answer a;
    const bool post = !strcmp(rule->method, "POST");
    snprintf(headers, sizeof headers, "Connection: close\r\n%s%s", credentials ? credentials : "",
             !strcmp(rule->path, "/v1/files") && post ? "Content-Type: multipart/form-data; boundary=b\r\n"
                                                      : "");
    path_of(rule, path);
    const int fd = dial(wd_serve_port(r->server));
    ask_with(fd, rule->method, path, headers, post ? "{}" : "");
    hear(fd, &a);
    code[0] = 0;
    if (a.status >= 400) {
        json_t *v = json_of(&a);
        snprintf(code, 64, "%s", text_at(v, "error.code"));
        json_decref(v);
    }
    const int status = a.status;
    answer_free(&a);
    return status;
}

/* Rows that speak of routes which are not served: nothing is behind them for anybody. */
static bool is_served(const wd_rule *rule)
{
    for (size_t i = 0; i < wd_serve__n_route; i++)
        if (!strcmp(wd_serve__routes[i]->path, rule->path) &&
            !strcmp(wd_serve__routes[i]->method, rule->method))
            return true;
    return false;
}

static void check(const rig *r, const wd_rule *rule, const char *who, const char *credentials, bool may)
{
    char code[64];
    const int status = try(r, rule, credentials, code);
    const bool refused = status == 401 || status == 403;
    if (!is_served(rule) ? status != 404 && status != 405 && !refused : refused == may)
        fail_msg("%s %s as %s: %d %s", rule->method, rule->path, who, status, code);
    if (refused && credentials && is_served(rule))
        assert_string_equal(code, "insufficient_permissions");
    if (may && is_served(rule)) /* let in, it is the request that is at fault, or answered */
        assert_true(status == 200 || status == 400 || status == 404 || status == 501 || status == 409);
}

static void every_role_gets_what_its_row_says_on_every_route(void **state)
{
    (void)state;
    static rig r;
    size_t n, n_try = 0, n_may = 0;
    const wd_rule *rules = wd_policy_rules(&n);
    rig_start(&r);
    for (size_t i = 0; i < n; i++) {
        char code[64];
        if (!rules[i].path)
            continue;
        for (unsigned k = 0; k < WD_N_ACCOUNT_ROLE; k++) {
            const bool may = wd_policy_reach(&rules[i], (wd_account_role)k, WD_SCOPE_ALL) != WD_REACH_NO,
                       narrow = wd_policy_reach(&rules[i], (wd_account_role)k, WD_SCOPE_METRICS) !=
                                WD_REACH_NO;
            check(&r, &rules[i], wd_account_role_name((wd_account_role)k), r.key[k], may);
            check(&r, &rules[i], "a narrow key", r.narrow[k], narrow);
            check(&r, &rules[i], "a log-in", r.cookie[k], may);
            n_try += 3;
            n_may += 2 * may + narrow;
            if (!strcmp(rules[i].action, "session.delete"))
                log_in(&r, (wd_account_role)k);
        }
        if (!is_served(&rules[i]) || rules[i].open)
            continue;
        assert_int_equal(try(&r, &rules[i], NULL, code), 401);
        assert_int_equal(try(&r, &rules[i], FORGED, code), 401);
        assert_int_equal(try(&r, &rules[i], "Authorization: Basic YTpi\r\n", code), 401);
        n_try += 3;
    }
    assert_int_equal(r.engine.n_asked, 0);
    assert_true(n_try > 300 && n_may > 100 && n_may < n_try);
    print_message("%zu requests, %zu let in\n", n_try, n_may);
    rig_stop(&r);
}

/* The other way round: nothing is served that the table does not decide. */
static void every_route_has_a_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < wd_serve__n_route; i++) {
        const wd_route *route = wd_serve__routes[i];
        const wd_rule *rule;
        char path[128];
        path_of(&(wd_rule){ .path = route->path }, path);
        assert_ok(wd_policy_find(route->method, path, &rule, NULL, &err));
        assert_int_equal(rule->open, route->open);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_role_gets_what_its_row_says_on_every_route),
        cmocka_unit_test(every_route_has_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
