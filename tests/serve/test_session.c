/* /api/v1/session over HTTP: cookies as browsers get them, pages of other sites, ends of sessions, what the audit has. */
#include "support/test.h"

#include <stdio.h>

#include "guard/admin.h"
#include "guard/audit.h"
#include "serve/client.h"
#include "serve/serve.h"
#include "support/scripted.h"

#define SESSION "/api/v1/session"
#define CHAT "/v1/chat/completions"
#define HELLO "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}]}"
#define LOGIN "{\"name\":\"alice\",\"password\":\"correct horse battery\"}"

typedef struct rig {
    scripted engine;
    char *dir;
    wd_guard_opts go;
    wd_guard *guard;
    wd_serve_opts o;
    wd_server *server;
    int64_t now_us;
    char key[80], origin[64];
} rig;

static int64_t clock_of(void *clock)
{
    return *(int64_t *)clock;
}

static void rig_start(rig *r, const char *origin)
{
    static const char *const reply[] = { "good day" };
    wd_identity by;
    char token[WD_TOKEN_MAX], id[WD_NAME_MAX + 1];
    memset(r, 0, sizeof *r);
    r->dir = test_make_dir();
    r->now_us = 1800000000LL * 1000000;
    r->go = WD_GUARD_OPTS_DEFAULT;
    r->go.dir = r->dir;
    r->go.serve = true;
    r->go.pw_ops = 1;
    r->go.pw_mem = (uint64_t)8 << 20;
    r->go.now_us = clock_of;
    r->go.clock = &r->now_us;
    assert_ok(wd_guard_open(&r->go, &r->guard, &err));
    wd_identity_local("test", WD_ACCOUNT_ADMIN, &by);
    assert_ok(wd_admin_user_add(r->guard, &by, "main", "alice", WD_ACCOUNT_CLINICIAN,
                                WD_SPAN_LIT("correct horse battery"), &err));
    assert_ok(wd_admin_key_add(r->guard, &by,
                               &(wd_key_new){ .label = "k", .user = "alice", .scopes = WD_SCOPE_ALL }, token,
                               id, &err));
    snprintf(r->key, sizeof r->key, "%s", token);
    scripted_init(&r->engine, reply, 1);
    r->o = WD_SERVE_OPTS_DEFAULT;
    r->o.engine = &r->engine.engine;
    r->o.guard = r->guard;
    r->o.model = "scripted";
    r->o.version = "0";
    r->o.port = 0;
    r->o.origin = origin;
    assert_ok(wd_serve_start(&r->o, &r->server, &err));
    snprintf(r->origin, sizeof r->origin, "Origin: http://localhost\r\n"); /* as the client's Host */
}

static void rig_stop(rig *r)
{
    wd_serve_stop(r->server);
    wd_guard_close(r->guard);
    test_rm_dir(r->dir);
}

static answer call(const rig *r, const char *method, const char *path, const char *headers, const char *body)
{
    answer a;
    char all[600];
    snprintf(all, sizeof all, "Connection: close\r\n%s", headers);
    const int fd = dial(wd_serve_port(r->server));
    ask_with(fd, method, path, all, body);
    hear(fd, &a);
    return a;
}

/* "Cookie: ward=...\r\n" of a log-in, and its csrf value. */
static void log_in(const rig *r, char cookie[160], char csrf[80])
{
    answer a = call(r, "POST", SESSION, "", LOGIN);
    assert_int_equal(a.status, 200);
    const char *set = strstr((char *)a.raw.p, "Set-Cookie: ");
    assert_non_null(set);
    snprintf(cookie, 160, "Cookie: %.*s\r\n", (int)strcspn(set + 12, ";"), set + 12);
    json_t *v = json_of(&a);
    snprintf(csrf, 80, "%s", text_at(v, "csrf"));
    json_decref(v);
    answer_free(&a);
}

static unsigned records(const rig *r, const char *action, const char *part)
{
    wd_identity by;
    json_t *list;
    unsigned n = 0;
    wd_identity_local("test", WD_ACCOUNT_AUDITOR, &by);
    assert_ok(wd_audit_list(r->guard, &by, &(wd_audit_filter){ .action = action }, &list, &err));
    for (size_t i = 0; i < json_array_size(list); i++) {
        wd_buf b = { 0 };
        assert_ok(wd_json_write(json_array_get(list, i), JSON_COMPACT, &b, &err));
        n += wd_span_find(wd_buf_view(&b), wd_span_str(part), 0) != SIZE_MAX;
        wd_buf_free(&b);
    }
    json_decref(list);
    return n;
}

static void a_log_in_gives_a_cookie_that_speaks_for_the_account(void **state)
{
    (void)state;
    static rig r;
    char cookie[160], csrf[80], headers[400];
    rig_start(&r, NULL);
    answer a = call(&r, "POST", SESSION, "", LOGIN);
    assert_int_equal(a.status, 200);
    const char *set = strstr((char *)a.raw.p, "Set-Cookie: ward=ward_"),
               *end = set ? strchr(set, '\r') : NULL;
    assert_non_null(end);
    static const char *const flags[] = { "; Path=/", "; HttpOnly", "; SameSite=Strict", "; Max-Age=" };
    for (size_t i = 0; i < WD_COUNT(flags); i++) {
        const char *at_flag = strstr(set, flags[i]);
        assert_true(at_flag && at_flag < end);
    }
    assert_null(strstr(set, "Secure"));             /* it is spoken over loopback without TLS here */
    assert_null(strstr((char *)a.body.p, "ward_")); /* scripts do not see it */
    json_t *v = json_of(&a);
    assert_string_equal(text_at(v, "name"), "alice");
    assert_string_equal(text_at(v, "role"), "clinician");
    assert_string_equal(text_at(v, "tenant"), "main");
    assert_int_equal(json_integer_value(at(v, "expires_at")), r.now_us / 1000000 + r.go.session_s);
    assert_int_equal(json_integer_value(at(v, "idle_s")), 1800);
    json_decref(v);
    answer_free(&a);

    log_in(&r, cookie, csrf);
    a = call(&r, "GET", SESSION, cookie, "");
    assert_int_equal(a.status, 200);
    v = json_of(&a);
    assert_string_equal(text_at(v, "subject"), "user:alice");
    assert_string_equal(text_at(v, "csrf"), csrf);
    json_decref(v);
    answer_free(&a);
    snprintf(headers, sizeof headers, "%s%s", cookie, r.origin);
    expect_answer(call(&r, "POST", CHAT, headers, HELLO), 200, "good day");
    expect_answer(call(&r, "GET", "/v1/files", cookie, ""), 200, "\"data\":[]");
    snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\n", r.key);
    expect_answer(call(&r, "GET", SESSION, headers, ""), 200,
                  "\"csrf\":null"); /* a key says who it is, too */
    expect_answer(call(&r, "DELETE", SESSION, headers, ""), 400, "no log-in to end");
    assert_int_equal(records(&r, "session.create", "\"outcome\":\"done\""), 2);
    assert_int_equal(records(&r, "session.create", "user:alice"), 2);
    assert_int_equal(records(&r, "session.create", "input_digest"),
                     0); /* of a password: it could be guessed at */
    assert_int_equal(records(&r, "chat.create", "\"key\":\"s-"), 2);
    rig_stop(&r);
}

static void pages_of_other_sites_do_nothing_with_it(void **state)
{
    (void)state;
    static rig r;
    char cookie[160], csrf[80], headers[500];
    static const struct {
        const char *headers;
        bool changes, reads;
    } of[] = {
        { "Origin: http://localhost\r\n", true, true },
        { "Origin: HTTP://LOCALHOST\r\n", true, true },
        { "Origin: https://localhost\r\n", false, false },
        { "Origin: http://localhost.evil.example\r\n", false, false },
        { "Origin: http://evil.example\r\n", false, false },
        { "Origin: null\r\n", false, false },
        { "Origin:\r\n", false, false },
        { "", false, true },
        { "X-CSRF-Token: CSRF\r\n", true, true },
        { "X-CSRF-Token: CSR\r\n", false, true },
        { "X-CSRF-Token: 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n", false, true },
        { "Origin: http://evil.example\r\nX-CSRF-Token: CSRF\r\n", false, false },
    };
    rig_start(&r, NULL);
    log_in(&r, cookie, csrf);
    const size_t before = r.engine.n_asked;
    size_t n = 0;
    for (size_t i = 0; i < WD_COUNT(of); i++) {
        const char *mark = strstr(of[i].headers, "CSRF\r");
        snprintf(headers, sizeof headers, "%s%.*s%s%s", cookie,
                 (int)(mark ? mark - of[i].headers : (long)strlen(of[i].headers)), of[i].headers,
                 mark ? csrf : "", mark ? mark + 4 : "");
        answer a = call(&r, "POST", CHAT, headers, HELLO);
        if (a.status != (of[i].changes ? 200 : 403))
            fail_msg("%s: %s", of[i].headers, (char *)a.raw.p);
        n += of[i].changes;
        answer_free(&a);
        expect_answer(call(&r, "GET", "/v1/files", headers, ""), of[i].reads ? 200 : 403,
                      of[i].reads ? "data" : "origin_refused");
    }
    assert_int_equal(r.engine.n_asked - before, n);
    assert_int_equal(records(&r, "chat.create", "other_site"), WD_COUNT(of) - n);
    /* nor do they log anybody in */
    expect_answer(call(&r, "POST", SESSION, "Origin: http://evil.example\r\n", LOGIN), 403, "origin_refused");
    expect_answer(call(&r, "POST", SESSION, r.origin, LOGIN), 200, "alice");
    /* a key is no cookie, and a header needs no Origin */
    snprintf(headers, sizeof headers, "Cookie: ward=%s\r\n%s", r.key, r.origin);
    expect_answer(call(&r, "POST", CHAT, headers, HELLO), 401, "invalid_api_key");
    snprintf(headers, sizeof headers, "Authorization: Bearer %s\r\nOrigin: http://evil.example\r\n", r.key);
    expect_answer(call(&r, "POST", CHAT, headers, HELLO), 200, "good day");
    rig_stop(&r);
}

static void a_session_ends_by_log_out_by_age_and_unused(void **state)
{
    (void)state;
    static rig r;
    char cookie[160], other[160], csrf[80], headers[400];
    rig_start(&r, NULL);
    log_in(&r, cookie, csrf);
    log_in(&r, other, csrf);
    snprintf(headers, sizeof headers, "%s%s", cookie, r.origin);
    answer a = call(&r, "DELETE", SESSION, headers, "");
    assert_int_equal(a.status, 200);
    assert_non_null(strstr((char *)a.raw.p, "Set-Cookie: ward=; Max-Age=0;"));
    answer_free(&a);
    expect_answer(call(&r, "GET", SESSION, cookie, ""), 401, "invalid_api_key");
    expect_answer(call(&r, "GET", SESSION, other, ""), 200, "alice");
    assert_int_equal(records(&r, "session.delete", "\"outcome\":\"done\""), 1);

    /* used now and then it goes on; asking who one is does not count as use */
    for (int i = 0; i < 4; i++) {
        r.now_us += 1500 * 1000000LL;
        expect_answer(call(&r, "GET", "/v1/files", other, ""), 200, "data");
    }
    r.now_us += 1000 * 1000000LL;
    expect_answer(call(&r, "GET", SESSION, other, ""), 200, "alice");
    r.now_us += 1000 * 1000000LL;
    expect_answer(call(&r, "GET", SESSION, other, ""), 401, "invalid_api_key");
    assert_int_equal(records(&r, "session.read", "expired_key"), 1);

    log_in(&r, cookie, csrf); /* used all the time, it ends all the same */
    size_t n = 0;
    for (; n < 100; n++) {
        r.now_us += 1200 * 1000000LL;
        a = call(&r, "GET", "/v1/files", cookie, "");
        const int status = a.status;
        answer_free(&a);
        if (status != 200)
            break;
    }
    assert_int_equal(n, r.go.session_s / 1200 - 1);
    rig_stop(&r);
}

static void wrong_passwords_are_one_answer_and_then_have_to_wait(void **state)
{
    (void)state;
    static rig r;
    rig_start(&r, NULL);
    expect_answer(call(&r, "POST", SESSION, "", "{}"), 400, "\"param\":\"name\"");
    expect_answer(call(&r, "POST", SESSION, "", "{\"name\":\"alice\"}"), 400, "\"param\":\"password\"");
    expect_answer(call(&r, "POST", SESSION, "", "{\"name\":7,\"password\":\"x\"}"), 400, "invalid_type");
    for (uint32_t i = 0; i < r.go.lock_after; i++) {
        answer a = call(&r, "POST", SESSION, "", "{\"name\":\"alice\",\"password\":\"wrong wrong wrong\"}");
        assert_int_equal(a.status, 401);
        assert_non_null(strstr((char *)a.body.p, "wrong name or password"));
        assert_null(strstr((char *)a.raw.p, "Set-Cookie"));
        answer_free(&a);
    }
    answer a = call(&r, "POST", SESSION, "", LOGIN); /* the right one, now */
    assert_int_equal(a.status, 429);
    assert_non_null(strstr((char *)a.raw.p, "Retry-After: "));
    assert_non_null(strstr((char *)a.body.p, "too_many_attempts"));
    answer_free(&a);
    assert_int_equal(records(&r, "session.create", "account_locked"), 1);
    assert_int_equal(records(&r, "session.create", "invalid_credentials"), r.go.lock_after);
    assert_int_equal(records(&r, "session.create", "wrong wrong"), 0);
    r.now_us += (int64_t)(r.go.lock_s + 1) * 1000000;
    expect_answer(call(&r, "POST", SESSION, "", LOGIN), 200, "alice");
    for (uint32_t i = 0; i < r.go.bad_per_min; i++) { /* any name: then the address waits, known or not */
        a = call(&r, "POST", SESSION, "", "{\"name\":\"nobody\",\"password\":\"wrong wrong wrong\"}");
        assert_true(a.status == 401 || a.status == 429);
        answer_free(&a);
        a = call(&r, "POST", SESSION, "", "{\"name\":\"a name with spaces\",\"password\":\"x\"}");
        assert_true(a.status == 401 || a.status == 429);
        answer_free(&a);
    }
    rig_stop(&r);
}

static void behind_a_proxy_the_origin_is_the_one_that_was_configured(void **state)
{
    (void)state;
    static rig r;
    char cookie[160], csrf[80], headers[400];
    rig_start(&r, "https://ward.hospital");
    answer a = call(&r, "POST", SESSION, "", LOGIN);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr((char *)a.raw.p, "Set-Cookie: __Host-ward=ward_"));
    assert_non_null(strstr((char *)a.raw.p, "; SameSite=Strict; Secure\r\n"));
    answer_free(&a);
    log_in(&r, cookie, csrf);
    snprintf(headers, sizeof headers, "%sOrigin: https://ward.hospital\r\n", cookie);
    expect_answer(call(&r, "POST", CHAT, headers, HELLO), 200, "good day");
    snprintf(headers, sizeof headers, "%s%s", cookie, r.origin);
    expect_answer(call(&r, "POST", CHAT, headers, HELLO), 403, "origin_refused");
    memmove(strstr(cookie, "__Host-"), strstr(cookie, "__Host-") + 7,
            strlen(strstr(cookie, "__Host-") + 7) + 1);
    expect_answer(call(&r, "GET", SESSION, cookie, ""), 401,
                  "invalid_api_key"); /* a cookie that any host could have set */
    rig_stop(&r);
}

static void a_server_without_accounts_says_so(void **state)
{
    (void)state;
    static rig r;
    rig_start(&r, NULL);
    wd_serve_stop(r.server);
    r.o.guard = NULL;
    assert_ok(wd_serve_start(&r.o, &r.server, &err));
    expect_answer(call(&r, "POST", SESSION, "", LOGIN), 501, "has no accounts");
    expect_answer(call(&r, "GET", SESSION, "", ""), 501, "has no accounts");
    expect_answer(call(&r, "DELETE", SESSION, "", ""), 501, "has no accounts");
    rig_stop(&r);
}

/* Beyond loopback it takes both: here an address that no machine has. */
static void beyond_loopback_it_listens_with_accounts_and_a_certificate(void **state)
{
    (void)state;
    static rig r;
    wd_server *s;
    rig_start(&r, NULL);
    wd_serve_opts o = r.o;
    o.address = "192.0.2.1";
    assert_fails(wd_serve_start(&o, &s, &err), WD_E_USAGE, "needs a TLS certificate");
    o.cert = o.key = "not looked at before the address is";
    o.guard = NULL;
    assert_fails(wd_serve_start(&o, &s, &err), WD_E_USAGE, "for this machine only");
    o.guard = r.guard;
    assert_fails(wd_serve_start(&o, &s, &err), WD_E_IO, "cannot listen on 192.0.2.1");
    rig_stop(&r);
}

/* What is open needs nothing, everything else a key or a cookie; what changes something, by cookie, a sign besides. */
static void check_security(const char *path, const char *method, json_t *how)
{
    const wd_rule *rule;
    char upper[16] = "";
    for (size_t i = 0; method[i] && i < sizeof upper - 1; i++)
        upper[i] = (char)(method[i] - 'a' + 'A');
    assert_ok(wd_policy_find(upper, path, &rule, NULL, &err));
    json_t *own = json_object_get(how, "security");
    if (rule->open) {
        assert_true(json_is_array(own) && json_array_size(own) == 0);
    } else if (!strcmp(method, "get")) {
        assert_null(own); /* as the whole document says */
    } else {
        assert_non_null(at(own, "0.key"));
        assert_non_null(at(own, "1.session"));
        assert_non_null(at(own, "1.csrf"));
        assert_int_equal(json_array_size(own), 2);
    }
}

static void the_document_says_how_to_sign_in(void **state)
{
    (void)state;
    static const char *const origins[] = { NULL, "https://ward.example" };
    for (size_t i = 0; i < WD_COUNT(origins); i++) {
        static rig r;
        const char *path, *method;
        json_t *of, *how;
        size_t n = 0;
        rig_start(&r, origins[i]);
        answer a = call(&r, "GET", "/api/openapi.json", "", "");
        json_t *v = json_of(&a);
        answer_free(&a);
        assert_string_equal(text_at(v, "components.securitySchemes.key.scheme"), "bearer");
        assert_string_equal(text_at(v, "components.securitySchemes.session.in"), "cookie");
        assert_string_equal(text_at(v, "components.securitySchemes.session.name"),
                            i ? "__Host-ward" : "ward");
        assert_string_equal(text_at(v, "components.securitySchemes.csrf.name"), "X-CSRF-Token");
        assert_non_null(at(v, "security.0.key"));
        assert_non_null(at(v, "security.1.session"));
        json_object_foreach(json_object_get(v, "paths"), path, of)
        {
            json_object_foreach(of, method, how)
            {
                check_security(path, method, how);
                n++;
            }
        }
        assert_true(n > 25);
        json_decref(v);
        rig_stop(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_document_says_how_to_sign_in),
        cmocka_unit_test(a_log_in_gives_a_cookie_that_speaks_for_the_account),
        cmocka_unit_test(pages_of_other_sites_do_nothing_with_it),
        cmocka_unit_test(a_session_ends_by_log_out_by_age_and_unused),
        cmocka_unit_test(wrong_passwords_are_one_answer_and_then_have_to_wait),
        cmocka_unit_test(behind_a_proxy_the_origin_is_the_one_that_was_configured),
        cmocka_unit_test(a_server_without_accounts_says_so),
        cmocka_unit_test(beyond_loopback_it_listens_with_accounts_and_a_certificate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
