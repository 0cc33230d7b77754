/* The guard: who is let in, for what, and what is written down about it. */
#include "guard/place.h"

#include <sys/stat.h>

#include "guard/limits.h"
#include "guard/policy_expected.h"
#include "store/store.h"

static const wd_outcome done = { .kind = WD_OUTCOME_DONE, .http = 200 };

/* "/v1/files/{id}" with something in its place. */
static void real_path(const char *pattern, char out[128])
{
    const char *hole = strchr(pattern, '{');
    if (hole)
        snprintf(out, 128, "%.*sfile-12ab%s", (int)(hole - pattern), pattern, strchr(pattern, '}') + 1);
    else
        snprintf(out, 128, "%s", pattern);
}

static wd_refusal refused(place *p, const char *path, const char *token, wd_status want, const char *part)
{
    wd_visit *v;
    wd_refusal no;
    assert_fails(place_ask(p, "POST", path, token, &v, &no, &err), want, part);
    assert_null(v);
    return no;
}

/* The whole table through the door: keys of every role at every route. */
static void every_role_is_let_in_where_the_table_says_and_nowhere_else(void **state)
{
    (void)state;
    place p;
    char token[WD_N_ACCOUNT_ROLE][WD_TOKEN_MAX], path[128];
    place_make(&p);
    place_open(&p);
    for (unsigned role = 0; role < WD_N_ACCOUNT_ROLE; role++)
        place_key(&p, (wd_account_role)role, WD_SCOPE_ALL, token[role], NULL);
    for (size_t i = 0; i < WD_COUNT(policy_expected); i++) {
        if (!policy_expected[i].path)
            continue;
        real_path(policy_expected[i].path, path);
        for (unsigned role = 0; role < WD_N_ACCOUNT_ROLE; role++) {
            wd_visit *v;
            wd_refusal no;
            wd_err why = { 0 };
            const wd_status st = place_ask(&p, policy_expected[i].method, path, token[role], &v, &no, &why);
            const char reach = policy_expected[i].reach[role];
            if (reach == '-') {
                if (st != WD_E_DENIED || no.http != 403)
                    fail_msg("%s %s as %s: %s", policy_expected[i].method, path,
                             wd_account_role_name((wd_account_role)role), why.text);
                continue;
            }
            if (st)
                fail_msg("%s %s as %s: %s", policy_expected[i].method, path,
                         wd_account_role_name((wd_account_role)role), why.text);
            assert_string_equal(wd_visit_rule(v)->action, policy_expected[i].action);
            if (reach != '*') {
                /* objects of one's own, of the tenant, of another tenant */
                const char *me = wd_visit_who(v)->subject;
                const wd_status own = wd_visit_object(v, "file", "file-1", "main", me, NULL);
                const wd_status theirs = wd_visit_object(v, "file", "file-1", "main", "user:other", NULL);
                const wd_status far = wd_visit_object(v, "file", "file-1", "elsewhere", me, NULL);
                assert_int_equal(own, WD_OK);
                assert_int_equal(theirs, reach == 'o' ? WD_E_NOT_FOUND : WD_OK);
                assert_int_equal(far, reach == 'a' ? WD_OK : WD_E_NOT_FOUND);
            }
            assert_ok(wd_visit_end(&v, &(wd_outcome){ .kind = WD_OUTCOME_CANCELLED }, &err));
        }
        /* without credentials: only what is open */
        wd_visit *v;
        wd_refusal no;
        p.now_us += 60000000; /* no address limit here */
        const wd_status st = place_ask(&p, policy_expected[i].method, path, NULL, &v, &no, NULL);
        assert_int_equal(st, *policy_expected[i].reach == '*' ? WD_OK : WD_E_AUTH);
        if (!st)
            assert_ok(wd_visit_end(&v, &done, &err));
        else
            assert_int_equal(no.http, 401);
    }
    place_close(&p);
    place_verifies(&p);
    place_end(&p);
}

static void a_request_leaves_two_records_with_who_what_and_digests(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX], id[WD_NAME_MAX + 1], hex[65];
    wd_visit *v;
    wd_refusal no;
    wd_digest model, input;
    place_make(&p);
    place_open(&p);
    place_key(&p, WD_ACCOUNT_CLINICIAN, WD_SCOPE_INFER, token, id);
    assert_ok(place_ask(&p, "POST", "/v1/chat/completions", token, &v, &no, &err));
    wd_digest_of(WD_SPAN_LIT("weights"), &model);
    wd_guard_digest(p.g, WD_SPAN_LIT("What does Mr Example have?"), &input);
    assert_ok(wd_visit_begin(v, &(wd_work){ "qwen3-vl", &model, &input }, &err));
    assert_fails(wd_visit_begin(v, &(wd_work){ 0 }, &err), WD_E_INTERNAL, "begun twice");
    assert_ok(wd_visit_end(
        &v, &(wd_outcome){ .kind = WD_OUTCOME_DONE, .http = 200, .tokens_in = 12, .tokens_out = 34 }, &err));
    json_t *r = place_last(&p, 2);
    for (size_t i = 0; i < 2; i++) {
        char subject[WD_NAME_MAX + 8];
        snprintf(subject, sizeof subject, "key:%s", id);
        assert_string_equal(text_at(r, i, "event"), i ? "end" : "begin");
        assert_string_equal(text_at(r, i, "subject"), subject);
        assert_string_equal(text_at(r, i, "role"), "clinician");
        assert_string_equal(text_at(r, i, "tenant"), "main");
        assert_string_equal(text_at(r, i, "from"), "10.2.0.7");
        assert_string_equal(text_at(r, i, "action"), "chat.create");
        assert_string_equal(text_at(r, i, "model"), "qwen3-vl");
        wd_digest_hex(&model, hex);
        assert_string_equal(text_at(r, i, "model_digest"), hex);
        wd_digest_hex(&input, hex);
        assert_string_equal(text_at(r, i, "input_digest"), hex);
        assert_string_equal(text_at(r, i, "outcome"), i ? "done" : "");
        assert_int_equal(strlen(text_at(r, i, "visit")), 32);
        assert_string_equal(text_at(r, i, "time") + 19,
                            i ? text_at(r, 1, "time") + 19 : text_at(r, 0, "time") + 19);
    }
    assert_string_equal(text_at(r, 0, "visit"), text_at(r, 1, "visit"));
    assert_int_equal(json_integer_value(json_object_get(json_array_get(r, 1), "tokens_out")), 34);
    json_decref(r);
    /* the digest is the installation's: another one has another, and it is no plain digest */
    wd_digest again, plain;
    wd_guard_digest(p.g, WD_SPAN_LIT("What does Mr Example have?"), &again);
    wd_digest_of(WD_SPAN_LIT("What does Mr Example have?"), &plain);
    assert_memory_equal(again.b, input.b, 32);
    assert_memory_not_equal(plain.b, input.b, 32);
    place_end(&p);
}

static void forgetting_to_begin_fails_the_request(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    wd_visit *v;
    wd_refusal no;
    place_make(&p);
    place_open(&p);
    place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, NULL);
    assert_ok(place_ask(&p, "POST", "/v1/embeddings", token, &v, &no, &err));
    assert_fails(wd_visit_end(&v, &done, &err), WD_E_INTERNAL,
                 "embedding.create: ended well without having begun");
    assert_null(v);
    json_t *r = place_last(&p, 1);
    assert_string_equal(text_at(r, 0, "reason"), "not_begun");
    json_decref(r);
    place_end(&p);
}

static void what_could_be_content_does_not_get_into_a_record(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    wd_visit *v;
    wd_refusal no;
    wd_buf db = { 0 };
    place_make(&p);
    place_open(&p);
    place_key(&p, WD_ACCOUNT_CLINICIAN, WD_SCOPE_ALL, token, NULL);
    const wd_ask odd = { .method = "GET", .path = "/v1/files/Secretname", .from = "Secretname" };
    assert_fails(wd_guard_admit(p.g, &odd, &v, &no, &err), WD_E_AUTH, "a key that counts is needed");
    assert_ok(place_ask(&p, "POST", "/v1/chat/completions", token, &v, &no, &err));
    assert_fails(wd_visit_begin(v, &(wd_work){ .model = "Secretname has a cough" }, &err), WD_E_INTERNAL,
                 "a model's name");
    assert_fails(wd_visit_object(v, "file", "Secretname 1", "main", "-", &err), WD_E_INTERNAL, "names");
    assert_ok(wd_visit_begin(v, &(wd_work){ 0 }, &err));
    assert_fails(wd_visit_end(&v, &(wd_outcome){ .kind = WD_OUTCOME_FAILED, .reason = "Secretname\n" }, &err),
                 WD_E_INTERNAL, "no name");
    const wd_ask in = { .method = "POST", .path = "/api/v1/session", .from = "::1" };
    char session[WD_TOKEN_MAX];
    assert_ok(wd_guard_admit(p.g, &in, &v, &no, &err));
    assert_fails(wd_visit_login(v, "secretname", WD_SPAN_LIT("Secretname12345"), session, NULL, &err),
                 WD_E_AUTH, "wrong name or password");
    assert_ok(wd_visit_end(&v, &(wd_outcome){ .kind = WD_OUTCOME_REFUSED, .http = 401 }, &err));
    place_close(&p);
    assert_ok(wd_file_read(p.db, 1 << 24, &db, &err));
    assert_int_equal(wd_span_find(wd_buf_view(&db), WD_SPAN_LIT("ecretname"), 0), SIZE_MAX);
    assert_int_equal(wd_span_find(wd_buf_view(&db), wd_span_str(token), 0),
                     SIZE_MAX); /* nor is a key's secret */
    wd_buf_free(&db);
    place_end(&p);
}

static void keys_that_do_not_count_get_one_answer_and_a_record_each(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "x",
        "ward_",
        "ward_0000000000000000000000000000000000000000000",
        "WARD_0000000000000000000000000000000000000000000",
        "ward_00000000000000000000000000000000000000000000000000",
        "ward_' OR 1=1 --0000000000000000000000000000000",
    };
    place p;
    char token[WD_TOKEN_MAX], id[WD_NAME_MAX + 1];
    place_make(&p);
    p.o.bad_per_min = 1000;
    place_open(&p);
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        assert_int_equal(refused(&p, "/v1/embeddings", bad[i], WD_E_AUTH, "a key that counts is needed").http,
                         401);
        json_t *r = place_last(&p, 1);
        assert_string_equal(text_at(r, 0, "reason"), "unknown_key");
        assert_string_equal(text_at(r, 0, "subject"), "-");
        json_decref(r);
    }
    const wd_key_new k = { .label = "short",
                           .tenant = "main",
                           .role = WD_ACCOUNT_SERVICE,
                           .scopes = WD_SCOPE_ALL,
                           .expires_s = 60 };
    assert_ok(wd_admin_key_add(p.g, &p.admin, &k, token, id, &err));
    place_visit(&p, "POST", "/v1/embeddings", token);
    p.now_us += 61000000;
    assert_int_equal(refused(&p, "/v1/embeddings", token, WD_E_AUTH, "a key that counts").http, 401);
    json_t *r = place_last(&p, 1);
    assert_string_equal(text_at(r, 0, "reason"), "expired_key");
    assert_string_equal(text_at(r, 0, "key"), id); /* which key it was is known, and said */
    json_decref(r);
    place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, id);
    place_visit(&p, "POST", "/v1/embeddings", token);
    assert_ok(wd_admin_key_revoke(p.g, &p.admin, id, &err));
    refused(&p, "/v1/embeddings", token, WD_E_AUTH, "a key that counts");
    r = place_last(&p, 1);
    assert_string_equal(text_at(r, 0, "reason"), "revoked_key");
    json_decref(r);
    const wd_tenant_change off = { NULL, 0, WD_KEEP, WD_KEEP };
    place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, id);
    assert_ok(wd_admin_tenant_change(p.g, &p.admin, "main", &off, &err));
    refused(&p, "/v1/embeddings", token, WD_E_AUTH, "a key that counts");
    place_end(&p);
}

static void headers_are_read_as_rfc_6750_says(void **state)
{
    (void)state;
    static const struct {
        const char *format;
        bool good;
    } forms[] = { { "Bearer %s", true },    { "bearer %s", true }, { "BEARER   %s", true },
                  { "Bearer %s x", false }, { "Basic %s", false }, { "%s", false },
                  { "Bearer\t%s", false },  { "Bearer  ", false } };
    place p;
    char token[WD_TOKEN_MAX], header[128];
    place_make(&p);
    place_open(&p);
    place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, NULL);
    for (size_t i = 0; i < WD_COUNT(forms); i++) {
        wd_visit *v;
        wd_refusal no;
        snprintf(header, sizeof header, forms[i].format, token);
        const wd_ask ask = {
            .method = "GET", .path = "/v1/models", .authorization = header, .from = "10.0.0.1"
        };
        const wd_status st = wd_guard_admit(p.g, &ask, &v, &no, NULL);
        assert_int_equal(st, forms[i].good ? WD_OK : WD_E_AUTH);
        if (!st)
            assert_ok(wd_visit_end(&v, &done, &err));
    }
    place_end(&p);
}

static void a_persons_key_is_what_the_person_is_now(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX], id[WD_NAME_MAX + 1];
    place_make(&p);
    place_open(&p);
    assert_ok(wd_admin_user_add(p.g, &p.admin, "main", "alice", WD_ACCOUNT_CLINICIAN, (wd_span){ 0 }, &err));
    const wd_key_new k = { .label = "laptop", .user = "alice", .scopes = WD_SCOPE_ALL };
    assert_ok(wd_admin_key_add(p.g, &p.admin, &k, token, id, &err));
    place_visit(&p, "POST", "/v1/completions", token);
    wd_user_change c = { .set_role = true, .role = WD_ACCOUNT_NURSE, .active = WD_KEEP };
    assert_ok(wd_admin_user_change(p.g, &p.admin, "alice", &c, &err));
    assert_int_equal(
        refused(&p, "/v1/completions", token, WD_E_DENIED, "the role nurse may not do completion.create")
            .http,
        403);
    place_visit(&p, "POST", "/v1/chat/completions", token);
    c = (wd_user_change){ .active = 0 };
    assert_ok(wd_admin_user_change(p.g, &p.admin, "alice", &c, &err));
    refused(&p, "/v1/chat/completions", token, WD_E_AUTH, "a key that counts");
    json_t *r = place_last(&p, 1);
    assert_string_equal(text_at(r, 0, "subject"), "user:alice");
    assert_string_equal(text_at(r, 0, "reason"), "inactive_account");
    json_decref(r);
    c = (wd_user_change){ .active = 1 };
    assert_ok(wd_admin_user_change(p.g, &p.admin, "alice", &c, &err));
    place_visit(&p, "POST", "/v1/chat/completions", token);
    place_end(&p);
}

static void a_scope_narrows_a_key(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    place_make(&p);
    place_open(&p);
    place_key(&p, WD_ACCOUNT_CLINICIAN, WD_SCOPE_MODELS | WD_SCOPE_FILES, token, NULL);
    place_visit(&p, "GET", "/v1/models", token);
    assert_int_equal(
        refused(&p, "/v1/chat/completions", token, WD_E_DENIED, "this key's scope does not hold chat.create")
            .http,
        403);
    json_t *r = place_last(&p, 1);
    assert_string_equal(text_at(r, 0, "reason"), "scope");
    json_decref(r);
    place_end(&p);
}

static void unknown_routes_and_methods_are_refused_unrecorded(void **state)
{
    (void)state;
    place p;
    wd_visit *v;
    wd_refusal no;
    place_make(&p);
    place_open(&p);
    json_t *before = place_last(&p, 1);
    assert_fails(place_ask(&p, "GET", "/wp-login.php", NULL, &v, &no, &err), WD_E_NOT_FOUND, "no such route");
    assert_int_equal(no.http, 404);
    assert_fails(place_ask(&p, "PATCH", "/v1/files/x", NULL, &v, &no, &err), WD_E_UNSUPPORTED, "GET, DELETE");
    assert_int_equal(no.http, 405);
    assert_string_equal(no.allow, "GET, DELETE");
    assert_ok(place_ask(&p, "GET", "/health", NULL, &v, &no, &err));
    assert_ok(wd_visit_end(&v, &done, &err));
    json_t *after = place_last(&p, 1);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(after, 0), "seq")),
                     json_integer_value(json_object_get(json_array_get(before, 0), "seq")) +
                         1); /* the first look */
    json_decref(before);
    json_decref(after);
    place_end(&p);
}

static void an_address_with_many_bad_keys_waits_and_floods_no_audit(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    wd_visit *v;
    wd_refusal no = { 0 };
    place_make(&p);
    place_open(&p);
    place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, NULL);
    for (int i = 0; i < 200; i++)
        if (place_ask(&p, "GET", "/v1/models", "ward_x", &v, &no, NULL) == WD_E_BUSY)
            assert_int_equal(no.http, 429);
    assert_int_equal(no.http, 429);
    assert_in_range(no.retry_after_s, 1, 60);
    /* a good key from there is let in all the same: the address may be a proxy's; a log-in is not */
    place_visit(&p, "GET", "/v1/models", token);
    assert_fails(place_ask(&p, "POST", "/api/v1/session", NULL, &v, &no, &err), WD_E_BUSY,
                 "too many credentials from this address did not count");
    assert_int_equal(no.http, 429);
    assert_ok(wd_guard_admit(
        p.g, &(wd_ask){ .method = "POST", .path = "/api/v1/session", .from = "10.2.0.8" }, &v, &no, &err));
    assert_ok(wd_visit_end(&v, &(wd_outcome){ .kind = WD_OUTCOME_CANCELLED }, &err));
    json_t *r;
    assert_ok(wd_audit_list(p.g, &p.auditor, &(wd_audit_filter){ .outcome = "refused" }, &r, &err));
    assert_in_range(json_array_size(r), 21,
                    23); /* twenty, that it waits now, and what trickles in meanwhile */
    json_decref(r);
    p.now_us += 61000000;
    place_visit(&p, "GET", "/v1/models", token);
    place_end(&p);
}

static void rates_of_keys_and_tenants_hold(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX], id[WD_NAME_MAX + 1];
    wd_visit *v;
    wd_refusal no;
    place_make(&p);
    place_open(&p);
    const wd_key_new k = {
        .label = "batch", .tenant = "main", .role = WD_ACCOUNT_SERVICE, .scopes = WD_SCOPE_ALL, .per_min = 60
    };
    assert_ok(wd_admin_key_add(p.g, &p.admin, &k, token, id, &err));
    int good = 0;
    for (int i = 0; i < 30; i++) {
        if (place_ask(&p, "GET", "/v1/models", token, &v, &no, NULL) == WD_OK) {
            assert_ok(wd_visit_end(&v, &done, &err));
            good++;
        }
    }
    assert_in_range(good, 10, 12); /* a sixth at once */
    assert_int_equal(no.http, 429);
    assert_int_equal(no.retry_after_s, 1);
    assert_string_equal(no.code, "rate_limit_exceeded");
    json_t *r;
    assert_ok(wd_audit_list(p.g, &p.auditor, &(wd_audit_filter){ .outcome = "refused" }, &r, &err));
    assert_int_equal(json_array_size(r), 1); /* the flood is one record */
    assert_string_equal(text_at(r, 0, "reason"), "key_rate");
    json_decref(r);
    p.now_us += 1100000;
    place_visit(&p, "GET", "/v1/models", token);
    place_key(&p, WD_ACCOUNT_SERVICE, WD_SCOPE_ALL, token, NULL);
    assert_ok(
        wd_admin_tenant_change(p.g, &p.admin, "main", &(wd_tenant_change){ NULL, WD_KEEP, 6, 250 }, &err));
    assert_ok(place_ask(&p, "GET", "/v1/models", token, &v, &no, &err));
    assert_int_equal(wd_visit_who(v)->weight, 250);
    assert_ok(wd_visit_end(&v, &done, &err));
    refused(&p, "/v1/embeddings", token, WD_E_BUSY, "this tenant may make 6 requests a minute");
    place_end(&p);
}

static void buckets_refill_and_names_of_kinds_differ(void **state)
{
    (void)state;
    wd_limits *l = wd_limits_create();
    uint32_t retry;
    bool first;
    wd_limit a = { 'a', "2001:db8::1", 1, 2 }, b = { 'k', "2001:db8::1", 1, 2 };
    assert_true(wd_limits_take(l, &a, 1, 0, &retry, &first));
    a.name = "2001:db8::ffff:2"; /* the same house */
    assert_true(wd_limits_take(l, &a, 1, 0, &retry, &first));
    assert_false(wd_limits_take(l, &a, 1, 0, &retry, &first));
    assert_true(first);
    assert_int_equal(retry, 1);
    assert_false(wd_limits_take(l, &a, 0, 500000, &retry, &first));
    assert_false(first);
    assert_true(wd_limits_take(l, &b, 1, 0, &retry, &first));
    a.name = "2001:db8:0:1::1";
    assert_true(wd_limits_take(l, &a, 1, 0, &retry, &first));
    a.name = "2001:db8::1";
    assert_false(wd_limits_take(l, &a, 1, -5000000, &retry, &first)); /* the clock was set back */
    assert_true(wd_limits_take(l, &a, 1, 9000000, &retry, &first));
    for (int i = 0; i < 100000; i++) { /* many names take no memory */
        char name[32];
        snprintf(name, sizeof name, "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
        const wd_limit many = { 'a', name, 1, 2 };
        assert_true(wd_limits_take(l, &many, 1, 9000000, &retry, &first));
    }
    wd_limits_destroy(l);
}

/* ---- log-in ---- */

static wd_status log_in(place *p, const char *name, const char *password, char token[WD_TOKEN_MAX],
                        uint32_t *retry, wd_err *why)
{
    wd_visit *v;
    wd_refusal no;
    const wd_ask ask = { .method = "POST", .path = "/api/v1/session", .from = "10.9.9.9" };
    WD_TRY(wd_guard_admit(p->g, &ask, &v, &no, why));
    const wd_status st = wd_visit_login(v, name, wd_span_str(password), token, retry, why);
    const wd_outcome o = { .kind = st ? WD_OUTCOME_REFUSED : WD_OUTCOME_DONE, .http = st ? 401 : 200 };
    assert_ok(wd_visit_end(&v, &o, &err));
    return st;
}

static void a_password_gives_a_session_that_ends(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX], other[WD_TOKEN_MAX];
    wd_visit *v;
    wd_refusal no;
    place_make(&p);
    place_open(&p);
    assert_fails(
        wd_admin_user_add(p.g, &p.admin, "main", "bob", WD_ACCOUNT_NURSE, WD_SPAN_LIT("short"), &err),
        WD_E_INVALID, "the password has 5 bytes, expected 12 to 1024");
    assert_fails(wd_admin_user_add(p.g, &p.admin, "main", "bob", WD_ACCOUNT_NURSE,
                                   WD_SPAN_LIT("twelve bytes\n"), &err),
                 WD_E_INVALID, "one line of UTF-8");
    assert_ok(wd_admin_user_add(p.g, &p.admin, "main", "bob", WD_ACCOUNT_NURSE,
                                WD_SPAN_LIT("correct horse battery"), &err));
    assert_fails(log_in(&p, "bob", "correct horse batterz", token, NULL, &err), WD_E_AUTH,
                 "wrong name or password");
    assert_fails(log_in(&p, "bo", "correct horse battery", token, NULL, &err), WD_E_AUTH,
                 "wrong name or password");
    assert_string_equal(token, "");
    assert_ok(log_in(&p, "bob", "correct horse battery", token, NULL, &err));
    json_t *r = place_last(&p, 1);
    assert_string_equal(text_at(r, 0, "subject"), "user:bob");
    assert_string_equal(text_at(r, 0, "action"), "session.create");
    json_decref(r);
    place_visit(&p, "POST", "/v1/chat/completions", token);
    assert_ok(log_in(&p, "bob", "correct horse battery", other, NULL, &err));
    assert_string_not_equal(token, other);
    /* out again */
    assert_ok(place_ask(&p, "DELETE", "/api/v1/session", token, &v, &no, &err));
    assert_ok(wd_visit_logout(v, &err));
    assert_ok(wd_visit_end(&v, &done, &err));
    refused(&p, "/v1/chat/completions", token, WD_E_AUTH, "a key that counts");
    place_visit(&p, "POST", "/v1/chat/completions", other);
    /* by the clock, by a new password, by another role */
    p.now_us += (int64_t)p.o.session_s * 1000000;
    refused(&p, "/v1/chat/completions", other, WD_E_AUTH, "a key that counts");
    assert_ok(log_in(&p, "bob", "correct horse battery", token, NULL, &err));
    const wd_user_change c = { .set_password = true,
                               .password = WD_SPAN_LIT("another good one"),
                               .active = WD_KEEP };
    assert_ok(wd_admin_user_change(p.g, &p.admin, "bob", &c, &err));
    refused(&p, "/v1/chat/completions", token, WD_E_AUTH, "a key that counts");
    assert_fails(log_in(&p, "bob", "correct horse battery", token, NULL, &err), WD_E_AUTH, "wrong name");
    assert_ok(log_in(&p, "bob", "another good one", token, NULL, &err));
    place_end(&p);
}

static void wrong_passwords_lock_an_account_and_names_that_are_none(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    uint32_t retry;
    place_make(&p);
    p.o.bad_per_min = 100000;
    place_open(&p);
    assert_ok(wd_admin_user_add(p.g, &p.admin, "main", "carol", WD_ACCOUNT_ADMIN,
                                WD_SPAN_LIT("correct horse battery"), &err));
    for (int k = 0; k < 2; k++) {
        const char *name = k ? "nobody" : "carol";
        for (uint32_t i = 0; i < p.o.lock_after; i++)
            assert_fails(log_in(&p, name, "wrong wrong wrong", token, &retry, &err), WD_E_AUTH,
                         "wrong name or password");
        assert_fails(log_in(&p, name, "correct horse battery", token, &retry, &err), WD_E_BUSY,
                     "too many wrong passwords");
        assert_in_range(retry, 1, p.o.lock_s);
    }
    json_t *r;
    assert_ok(wd_audit_list(
        p.g, &p.auditor, &(wd_audit_filter){ .action = "session.create", .outcome = "refused" }, &r, &err));
    size_t locks = 0;
    for (size_t i = 0; i < json_array_size(r); i++) {
        if (!strcmp(text_at(r, i, "reason"), "account_locked")) {
            assert_string_equal(text_at(r, i, "object"), "user:carol");
            locks++;
        }
    }
    assert_int_equal(locks, 1);
    json_decref(r);
    place_close(&p); /* a restart frees nobody who has an account */
    place_open(&p);
    assert_fails(log_in(&p, "carol", "correct horse battery", token, &retry, &err), WD_E_BUSY,
                 "too many wrong passwords");
    p.now_us += (int64_t)(p.o.lock_s + 1) * 1000000;
    assert_ok(log_in(&p, "carol", "correct horse battery", token, &retry, &err));
    for (uint32_t i = 0; i < p.o.lock_after; i++)
        assert_fails(log_in(&p, "carol", "wrong wrong wrong", token, &retry, &err), WD_E_AUTH,
                     "wrong name or password");
    assert_ok(wd_admin_user_change(p.g, &p.admin, "carol",
                                   &(wd_user_change){ .unlock = true, .active = WD_KEEP }, &err));
    assert_ok(log_in(&p, "carol", "correct horse battery", token, &retry, &err));
    place_end(&p);
}

static void stronger_settings_hash_again_at_the_next_log_in(void **state)
{
    (void)state;
    place p;
    char token[WD_TOKEN_MAX];
    wd_buf db = { 0 };
    place_make(&p);
    place_open(&p);
    assert_ok(wd_admin_user_add(p.g, &p.admin, "main", "dora", WD_ACCOUNT_NURSE,
                                WD_SPAN_LIT("correct horse battery"), &err));
    place_close(&p);
    assert_ok(wd_file_read(p.db, 1 << 24, &db, &err));
    assert_int_not_equal(wd_span_find(wd_buf_view(&db), WD_SPAN_LIT("$argon2id$v=19$m=8,t=1,p=1$"), 0),
                         SIZE_MAX);
    p.o.pw_ops = 2;
    p.o.pw_mem = 16384;
    place_open(&p);
    assert_ok(log_in(&p, "dora", "correct horse battery", token, NULL, &err));
    assert_ok(log_in(&p, "dora", "correct horse battery", token, NULL, &err));
    place_close(&p);
    wd_buf_clear(&db);
    assert_ok(wd_file_read(p.db, 1 << 24, &db, &err));
    assert_int_not_equal(wd_span_find(wd_buf_view(&db), WD_SPAN_LIT("$argon2id$v=19$m=16,t=2,p=1$"), 0),
                         SIZE_MAX);
    wd_buf_free(&db);
    place_end(&p);
}

/* ---- administration ---- */

static void an_administrator_of_one_tenant_reaches_no_other(void **state)
{
    (void)state;
    place p;
    wd_identity north = {
        .role = WD_ACCOUNT_ADMIN, .scopes = WD_SCOPE_ALL, .subject = "user:nadmin", .tenant = "north"
    };
    char token[WD_TOKEN_MAX], id[WD_NAME_MAX + 1];
    json_t *v;
    place_make(&p);
    place_open(&p);
    assert_fails(wd_admin_user_add(p.g, &p.admin, "north", "erin", WD_ACCOUNT_NURSE, (wd_span){ 0 }, &err),
                 WD_E_NOT_FOUND, "no such tenant: north");
    assert_ok(wd_admin_tenant_add(p.g, &p.admin, "north", &WD_TENANT_CHANGE_NONE, &err));
    assert_fails(wd_admin_tenant_add(p.g, &p.admin, "north", &WD_TENANT_CHANGE_NONE, &err), WD_E_INVALID,
                 "there is a tenant north");
    assert_ok(wd_admin_user_add(p.g, &north, "north", "erin", WD_ACCOUNT_NURSE, (wd_span){ 0 }, &err));
    assert_fails(wd_admin_user_add(p.g, &p.admin, "main", "erin", WD_ACCOUNT_NURSE, (wd_span){ 0 }, &err),
                 WD_E_INVALID, "there is an account erin already");
    assert_fails(wd_admin_user_add(p.g, &north, "main", "mole", WD_ACCOUNT_ADMIN, (wd_span){ 0 }, &err),
                 WD_E_NOT_FOUND, "no such tenant");
    assert_ok(wd_admin_user_add(p.g, &p.admin, "main", "frank", WD_ACCOUNT_NURSE, (wd_span){ 0 }, &err));
    const wd_user_change up = { .set_role = true, .role = WD_ACCOUNT_ADMIN, .active = WD_KEEP };
    assert_fails(wd_admin_user_change(p.g, &north, "frank", &up, &err), WD_E_NOT_FOUND, "no such account");
    const wd_key_new for_frank = { .label = "x", .user = "frank", .scopes = 1 };
    assert_fails(wd_admin_key_add(p.g, &north, &for_frank, token, id, &err), WD_E_NOT_FOUND,
                 "no such account");
    assert_string_equal(token, "");
    assert_ok(wd_admin_key_add(p.g, &p.admin, &for_frank, token, id, &err));
    assert_fails(wd_admin_key_revoke(p.g, &north, id, &err), WD_E_NOT_FOUND, "no such key");
    assert_ok(wd_admin_user_list(p.g, &north, &v, &err));
    assert_int_equal(json_array_size(v), 1);
    json_decref(v);
    assert_ok(wd_admin_user_list(p.g, &p.admin, &v, &err));
    assert_int_equal(json_array_size(v), 2);
    json_decref(v);
    assert_ok(wd_admin_key_list(p.g, &p.admin, &v, &err));
    assert_string_equal(text_at(v, 0, "subject"), "user:frank");
    assert_string_equal(text_at(v, 0, "scopes"), "models");
    json_decref(v);
    /* every other role: nothing */
    for (unsigned role = WD_ACCOUNT_ADMIN + 1; role < WD_N_ACCOUNT_ROLE; role++) {
        wd_identity who;
        wd_identity_local("x", (wd_account_role)role, &who);
        assert_fails(wd_admin_user_add(p.g, &who, "main", "mole", WD_ACCOUNT_ADMIN, (wd_span){ 0 }, &err),
                     WD_E_DENIED, "may not do user.add");
        assert_fails(wd_admin_user_change(p.g, &who, "frank", &up, &err), WD_E_DENIED,
                     "may not do user.change");
        assert_fails(wd_admin_key_add(p.g, &who, &for_frank, token, id, &err), WD_E_DENIED,
                     "may not do key.add");
        assert_fails(wd_admin_key_revoke(p.g, &who, "k-1", &err), WD_E_DENIED, "may not do key.revoke");
        assert_fails(wd_admin_tenant_add(p.g, &who, "south", &WD_TENANT_CHANGE_NONE, &err), WD_E_DENIED,
                     "may not do tenant.add");
    }
    assert_fails(wd_admin_tenant_add(p.g, &north, "south", &WD_TENANT_CHANGE_NONE, &err), WD_E_DENIED,
                 "reaches over tenants");
    assert_fails(wd_admin_tenant_change(p.g, &north, "main", &WD_TENANT_CHANGE_NONE, &err), WD_E_DENIED,
                 "reaches over tenants");
    assert_ok(wd_admin_tenant_list(p.g, &north, &v, &err));
    assert_int_equal(json_array_size(v), 1);
    json_decref(v);
    place_end(&p);
}

static void names_and_numbers_that_cannot_be_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",    "Alice", "-x",       ".x",  "a b",
        "a/b", "a:b",   "\xC3\xA9", "a\n", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    };
    place p;
    char token[WD_TOKEN_MAX], id[WD_NAME_MAX + 1];
    place_make(&p);
    place_open(&p);
    for (size_t i = 0; i < WD_COUNT(bad); i++) {
        assert_fails(wd_admin_user_add(p.g, &p.admin, "main", bad[i], WD_ACCOUNT_NURSE, (wd_span){ 0 }, &err),
                     WD_E_INVALID, "the name of an account has 1 to 64");
        assert_fails(wd_admin_tenant_add(p.g, &p.admin, bad[i], &WD_TENANT_CHANGE_NONE, &err), WD_E_INVALID,
                     "the name of a tenant has 1 to 64");
    }
    const wd_key_new keys[] = {
        { .label = "a b", .tenant = "main", .scopes = 1 },
        { .label = NULL, .tenant = "main", .scopes = 1 },
        { .label = "x", .tenant = "main", .scopes = 0 },
        { .label = "x", .tenant = "main", .scopes = 64 },
        { .label = "x", .tenant = "main", .scopes = 1, .role = WD_N_ACCOUNT_ROLE },
        { .label = "x", .scopes = 1 },
        { .label = "x", .tenant = "main", .scopes = 1, .expires_s = -1 },
        { .label = "x", .tenant = "main", .scopes = 1, .per_min = 1000001 },
    };
    for (size_t i = 0; i < WD_COUNT(keys); i++) {
        const wd_status st = wd_admin_key_add(p.g, &p.admin, &keys[i], token, id, NULL);
        assert_int_equal(st, WD_E_INVALID);
    }
    assert_fails(
        wd_admin_tenant_change(p.g, &p.admin, "main", &(wd_tenant_change){ NULL, 2, WD_KEEP, WD_KEEP }, &err),
        WD_E_INVALID, "active");
    assert_fails(
        wd_admin_tenant_change(p.g, &p.admin, "main", &(wd_tenant_change){ NULL, WD_KEEP, WD_KEEP, 0 }, &err),
        WD_E_INVALID, "1 to 1000");
    assert_fails(wd_admin_tenant_change(p.g, &p.admin, "none", &WD_TENANT_CHANGE_NONE, &err), WD_E_NOT_FOUND,
                 "no such tenant");
    place_end(&p);
}

/* ---- the directory ---- */

static void one_server_has_the_directory_and_the_command_line_beside_it(void **state)
{
    (void)state;
    place p;
    wd_guard *second;
    char token[WD_TOKEN_MAX], id[WD_NAME_MAX + 1];
    struct stat info;
    place_make(&p);
    place_open(&p);
    assert_fails(wd_guard_open(&p.o, &second, &err), WD_E_BUSY, "another server uses this directory");
    assert_null(second);
    wd_guard_opts beside = p.o;
    beside.serve = false;
    beside.must_exist = true;
    assert_ok(wd_guard_open(&beside, &second, &err));
    const wd_key_new k = {
        .label = "cli", .tenant = "main", .role = WD_ACCOUNT_SERVICE, .scopes = WD_SCOPE_ALL
    };
    assert_ok(wd_admin_key_add(second, &p.admin, &k, token, id, &err));
    place_visit(&p, "GET", "/v1/models", token); /* at once, in the other */
    assert_ok(wd_admin_key_revoke(second, &p.admin, id, &err));
    refused(&p, "/v1/embeddings", token, WD_E_AUTH, "a key that counts");
    wd_guard_close(second);
    place_verifies(&p); /* beside the running server */
    assert_int_equal(stat(p.data, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    beside.dir = "/nonexistent/ward";
    assert_fails(wd_guard_open(&beside, &second, &err), WD_E_NOT_FOUND, "no such data directory");
    place_end(&p);
}

static void a_key_file_that_others_read_or_is_another_is_refused(void **state)
{
    (void)state;
    place p;
    char path[700];
    place_make(&p);
    place_open(&p);
    place_close(&p);
    snprintf(path, sizeof path, "%s/audit.key", p.data);
    assert_int_equal(chmod(path, 0644), 0);
    assert_fails(wd_guard_open(&p.o, &p.g, &err), WD_E_DENIED,
                 "audit.key: others may read it (mode 644), expected mode 600");
    assert_ok(wd_file_write_secret(
        path, WD_SPAN_LIT("0000000000000000000000000000000000000000000000000000000000000000\n"), &err));
    assert_fails(wd_guard_open(&p.o, &p.g, &err), WD_E_CORRUPT,
                 "is not the key that the audit was begun with");
    assert_ok(wd_file_write_secret(path, WD_SPAN_LIT("0000"), &err));
    assert_fails(wd_guard_open(&p.o, &p.g, &err), WD_E_CORRUPT, "expected 64 lower-case hexadecimal digits");
    assert_int_equal(unlink(path), 0);
    assert_fails(wd_guard_open(&p.o, &p.g, &err), WD_E_NOT_FOUND, "audit.key: cannot open");
    place_end(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_role_is_let_in_where_the_table_says_and_nowhere_else),
        cmocka_unit_test(a_request_leaves_two_records_with_who_what_and_digests),
        cmocka_unit_test(forgetting_to_begin_fails_the_request),
        cmocka_unit_test(what_could_be_content_does_not_get_into_a_record),
        cmocka_unit_test(keys_that_do_not_count_get_one_answer_and_a_record_each),
        cmocka_unit_test(headers_are_read_as_rfc_6750_says),
        cmocka_unit_test(a_persons_key_is_what_the_person_is_now),
        cmocka_unit_test(a_scope_narrows_a_key),
        cmocka_unit_test(unknown_routes_and_methods_are_refused_unrecorded),
        cmocka_unit_test(an_address_with_many_bad_keys_waits_and_floods_no_audit),
        cmocka_unit_test(rates_of_keys_and_tenants_hold),
        cmocka_unit_test(buckets_refill_and_names_of_kinds_differ),
        cmocka_unit_test(a_password_gives_a_session_that_ends),
        cmocka_unit_test(wrong_passwords_lock_an_account_and_names_that_are_none),
        cmocka_unit_test(stronger_settings_hash_again_at_the_next_log_in),
        cmocka_unit_test(an_administrator_of_one_tenant_reaches_no_other),
        cmocka_unit_test(names_and_numbers_that_cannot_be_are_refused),
        cmocka_unit_test(one_server_has_the_directory_and_the_command_line_beside_it),
        cmocka_unit_test(a_key_file_that_others_read_or_is_another_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
