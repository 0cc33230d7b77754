/* A data directory for a test, with a clock that the test sets. */
#ifndef WD_TESTS_GUARD_PLACE_H
#define WD_TESTS_GUARD_PLACE_H

#include "support/test.h"

#include <stdio.h>
#include <unistd.h>

#include <sodium.h>

#include "base/file.h"
#include "guard/admin.h"
#include "guard/audit.h"
#include "guard/guard.h"

typedef struct place {
    char *dir;
    char data[600], db[640], anchors[640];
    int64_t now_us;
    wd_guard *g;
    wd_guard_opts o;
    wd_identity admin, auditor; /* at the machine */
} place;

static int64_t place_now(void *clock)
{
    place *p = clock;
    return p->now_us += 1000; /* a millisecond for each look */
}

/* Argon2id as cheap as libsodium allows: what is tested is what is done with it. */
static void place_make(place *p)
{
    assert_true(sodium_init() >= 0);
    *p = (place){ .dir = test_make_dir(), .now_us = 1795300000000000, .o = WD_GUARD_OPTS_DEFAULT };
    snprintf(p->data, sizeof p->data, "%s/data", p->dir);
    snprintf(p->db, sizeof p->db, "%s/ward.db", p->data);
    snprintf(p->anchors, sizeof p->anchors, "%s/audit.anchors", p->data);
    p->o.dir = p->data;
    p->o.serve = true;
    p->o.pw_ops = crypto_pwhash_OPSLIMIT_MIN;
    p->o.pw_mem = crypto_pwhash_MEMLIMIT_MIN;
    p->o.now_us = place_now;
    p->o.clock = p;
    wd_identity_local("tester", WD_ACCOUNT_ADMIN, &p->admin);
    wd_identity_local("tester", WD_ACCOUNT_AUDITOR, &p->auditor);
}

static void place_open(place *p)
{
    assert_ok(wd_guard_open(&p->o, &p->g, &err));
}

static void place_close(place *p)
{
    wd_guard_close(p->g);
    p->g = NULL;
}

static void place_end(place *p)
{
    place_close(p);
    test_rm_dir(p->dir);
}

static WD_UNUSED void place_key(place *p, wd_account_role role, uint32_t scopes, char token[WD_TOKEN_MAX],
                                char id[WD_NAME_MAX + 1])
{
    const wd_key_new k = { .label = "test", .tenant = "main", .role = role, .scopes = scopes };
    char own[WD_NAME_MAX + 1];
    assert_ok(wd_admin_key_add(p->g, &p->admin, &k, token, id ? id : own, &err));
}

static WD_UNUSED wd_status place_ask(place *p, const char *method, const char *path, const char *token,
                                     wd_visit **v, wd_refusal *no, wd_err *err)
{
    char header[128];
    snprintf(header, sizeof header, "Bearer %s", token ? token : "");
    const wd_ask ask = {
        .method = method, .path = path, .authorization = token ? header : NULL, .from = "10.2.0.7"
    };
    return wd_guard_admit(p->g, &ask, v, no, err);
}

/* A whole request that goes well. */
static WD_UNUSED void place_visit(place *p, const char *method, const char *path, const char *token)
{
    wd_visit *v;
    wd_refusal no;
    const wd_outcome done = { .kind = WD_OUTCOME_DONE, .http = 200, .tokens_in = 3, .tokens_out = 5 };
    assert_ok(place_ask(p, method, path, token, &v, &no, &err));
    assert_ok(wd_visit_begin(v, &(wd_work){ .model = "tiny" }, &err));
    assert_ok(wd_visit_end(&v, &done, &err));
    assert_null(v);
}

/* The newest n records, oldest of them first. */
static WD_UNUSED json_t *place_last(place *p, uint64_t n)
{
    json_t *v;
    /* the listing itself is recorded: one more */
    assert_ok(wd_audit_list(p->g, &p->auditor, &(wd_audit_filter){ .last = n + 1 }, &v, &err));
    json_array_remove(v, json_array_size(v) - 1);
    assert_int_equal(json_array_size(v), n);
    return v;
}

static WD_UNUSED const char *text_at(const json_t *list, size_t i, const char *key)
{
    const char *s = json_string_value(json_object_get(json_array_get(list, i), key));
    return s ? s : "";
}

static WD_UNUSED wd_audit_report place_verify(place *p)
{
    wd_audit_report r;
    wd_public_key key;
    char pub[640];
    snprintf(pub, sizeof pub, "%s/audit.pub", p->data);
    assert_ok(wd_public_key_read(pub, &key, &err));
    assert_ok(wd_audit_verify(p->db, &key, p->anchors, &r, &err));
    return r;
}

/* Nothing was changed. */
static WD_UNUSED void place_verifies(place *p)
{
    const wd_audit_report r = place_verify(p);
    if (r.n_finding)
        fail_msg("%s", r.finding[0]);
    assert_true(r.head);
    assert_int_equal(r.first, 1);
    assert_int_equal(r.n_record, r.last);
}

#endif
