/* /v1/files over HTTP: uploads by their owner, used by id, gone when deleted. */
#include "support/test.h"

#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "guard/admin.h"
#include "media/sandbox.h"
#include "serve/client.h"
#include "serve/keys.h"
#include "serve/serve.h"
#include "support/scripted.h"

#define CHAT "/v1/chat/completions"

typedef struct rig {
    scripted engine;
    wd_server *server;
    test_keys keys;
    bool guarded;
} rig;

static void rig_start(rig *r, bool guarded, uint64_t files_bytes)
{
    static const char *const reply[] = { "good day" };
    wd_serve_opts o = WD_SERVE_OPTS_DEFAULT;
    memset(r, 0, sizeof *r);
    scripted_init(&r->engine, reply, 1);
    r->guarded = guarded;
    if (guarded) {
        test_keys_make(&r->keys);
        o.guard = r->keys.guard;
        o.data = r->keys.dir;
    }
    o.engine = &r->engine.engine;
    o.model = "scripted";
    o.version = "0";
    o.port = 0;
    o.files_bytes = files_bytes;
    assert_ok(wd_serve_start(&o, &r->server, &err));
}

static answer call(const rig *r, const char *who, const char *method, const char *path, const char *type,
                   wd_span body)
{
    answer a;
    wd_buf b = { 0 };
    wd_buf_printf(
        &b,
        "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: %zu\r\n%s%s%s%s%s%s\r\n",
        method, path, body.n, type ? "Content-Type: " : "", type ? type : "", type ? "\r\n" : "",
        who ? "Authorization: " : "", who ? who : "", who ? "\r\n" : "");
    wd_buf_span(&b, body);
    const int fd = dial(wd_serve_port(r->server));
    say(fd, (const char *)b.p, b.n);
    hear(fd, &a);
    wd_buf_free(&b);
    return a;
}

static answer upload(const rig *r, const char *who, wd_span content, const char *fields)
{
    wd_buf b = { 0 };
    wd_buf_printf(
        &b, "%s--b7\r\nContent-Disposition: form-data; name=\"file\"; filename=\"Invented.dcm\"\r\n\r\n",
        fields);
    wd_buf_span(&b, content);
    wd_buf_str(&b, "\r\n--b7--\r\n");
    answer a = call(r, who, "POST", "/v1/files", "multipart/form-data; boundary=b7", wd_buf_view(&b));
    wd_buf_free(&b);
    return a;
}

#define FIELD(name, value) "--b7\r\nContent-Disposition: form-data; name=\"" name "\"\r\n\r\n" value "\r\n"

static void expect(answer a, int status, const char *code)
{
    if (a.status != status || (code && !strstr((char *)a.body.p, code)))
        fail_msg("wanted %d %s: %s", status, code ? code : "", (char *)a.raw.p);
    answer_free(&a);
}

static void golden(const char *name, wd_buf *out)
{
    char path[600];
    snprintf(path, sizeof path, "%s/golden/dicom/%s", test_data_dir(), name);
    assert_ok(wd_file_read(path, 1 << 24, out, &err));
}

static void a_file_is_kept_shown_and_deleted_by_its_owner_alone(void **state)
{
    (void)state;
    for (int guarded = 0; guarded < 2; guarded++) {
        static rig r;
        wd_buf dicom = { 0 };
        char path[128], content[160], body[512];
        rig_start(&r, guarded, 0);
        const char *me = guarded ? r.keys.clinician : NULL;
        golden("window_linear.dcm", &dicom);
        answer a = upload(&r, me, wd_buf_view(&dicom), FIELD("purpose", "vision"));
        assert_int_equal(a.status, 200);
        json_t *v = json_of(&a);
        answer_free(&a);
        assert_string_equal(text_at(v, "kind"), "dicom");
        assert_string_equal(text_at(v, "purpose"), "vision");
        assert_string_equal(text_at(v, "filename"), "Invented.dcm");
        assert_int_equal(json_integer_value(at(v, "bytes")), dicom.n);
        assert_int_equal(json_integer_value(at(v, "expires_at")) - json_integer_value(at(v, "created_at")),
                         86400);
        snprintf(path, sizeof path, "/v1/files/%s", text_at(v, "id"));
        snprintf(content, sizeof content, "%s/content", path);
        snprintf(body, sizeof body,
                 "{\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"see\"},{"
                 "\"type\":\"file\","
                 "\"file\":{\"file_id\":\"%s\",\"window\":\"40/400,file\"}}]}]}",
                 text_at(v, "id"));
        json_decref(v);

        expect(call(&r, me, "GET", path, NULL, (wd_span){ 0 }), 200, "Invented.dcm");
        expect(call(&r, me, "GET", "/v1/files?purpose=vision&limit=5", NULL, (wd_span){ 0 }), 200, path + 10);
        expect(call(&r, me, "GET", "/v1/files?purpose=other", NULL, (wd_span){ 0 }), 200, "\"data\":[]");
        expect(call(&r, me, "GET", "/v1/files?limit=0", NULL, (wd_span){ 0 }), 400, "limit");
        expect(call(&r, me, "GET", "/v1/files?after=file-x", NULL, (wd_span){ 0 }), 404, "after");
        a = call(&r, me, "GET", content, NULL, (wd_span){ 0 });
        assert_int_equal(a.status, 200);
        assert_non_null(strstr((char *)a.raw.p, "Content-Disposition: attachment"));
        assert_true(a.raw.n > dicom.n && !memcmp(a.raw.p + a.raw.n - dicom.n, dicom.p, dicom.n));
        answer_free(&a);
        expect(call(&r, me, "POST", CHAT, NULL, wd_span_str(body)), 200, "good day");
        assert_string_equal(r.engine.prompt, "see[image][image]");
        assert_int_equal(r.engine.n_image, 2);

        if (guarded) { /* for others it does not exist */
            expect(call(&r, r.keys.other, "GET", path, NULL, (wd_span){ 0 }), 404, "no such file");
            expect(call(&r, r.keys.other, "GET", content, NULL, (wd_span){ 0 }), 404, "no such file");
            expect(call(&r, r.keys.other, "DELETE", path, NULL, (wd_span){ 0 }), 404, "no such file");
            expect(call(&r, r.keys.other, "GET", "/v1/files", NULL, (wd_span){ 0 }), 200, "\"data\":[]");
            expect(call(&r, r.keys.other, "POST", CHAT, NULL, wd_span_str(body)), 404,
                   "messages[0].content[1].file.file_id");
            expect(call(&r, r.keys.auditor, "GET", path, NULL, (wd_span){ 0 }), 403, NULL);
        }
        expect(call(&r, me, "PUT", path, NULL, (wd_span){ 0 }), 405, NULL);
        expect(call(&r, me, "DELETE", path, NULL, (wd_span){ 0 }), 200, "\"deleted\":true");
        expect(call(&r, me, "DELETE", path, NULL, (wd_span){ 0 }), 404, "no such file");
        expect(call(&r, me, "GET", content, NULL, (wd_span){ 0 }), 404, "no such file");
        expect(call(&r, me, "POST", CHAT, NULL, wd_span_str(body)), 404, "file_id");
        wd_serve_stop(r.server);
        if (guarded)
            assert_int_equal(test_keys_end(&r.keys, "file.delete", "done"), 1);
        wd_buf_free(&dicom);
    }
}

static void what_is_no_upload_is_refused(void **state)
{
    (void)state;
    static rig r;
    static const wd_span png = { (const uint8_t *)"\x89PNG\r\n\x1a\n and more", 17 };
    rig_start(&r, false, 100);
    expect(call(&r, NULL, "POST", "/v1/files", "application/json", WD_SPAN_LIT("{}")), 415,
           "multipart/form-data");
    expect(call(&r, NULL, "POST", "/v1/files", "multipart/form-data; boundary=b7", WD_SPAN_LIT("{}")), 400,
           "damaged");
    expect(call(&r, NULL, "POST", "/v1/files", "multipart/form-data; boundary=b7", WD_SPAN_LIT("--b7--")),
           400, "file is missing");
    expect(upload(&r, NULL, WD_SPAN_LIT("%PDF-1.7"), ""), 400, "expected a picture");
    expect(upload(&r, NULL, WD_SPAN_LIT(""), ""), 400, "file is empty");
    expect(upload(&r, NULL, png, FIELD("purpose", "UPPER")), 400, "\"param\":\"purpose\"");
    expect(upload(&r, NULL, png, FIELD("expires_after[seconds]", "1")), 400, "expires_after[seconds]");
    expect(upload(&r, NULL, png, FIELD("expires_after[anchor]", "never")), 400, "expires_after[anchor]");
    for (int i = 0; i < 5; i++)
        expect(upload(&r, NULL, png,
                      FIELD("expires_after[anchor]", "created_at") FIELD("expires_after[seconds]", "60")),
               200, "user_data");
    expect(upload(&r, NULL, png, ""), 507, "storage_full");
    wd_serve_stop(r.server);
}

static void lists_come_in_pages(void **state)
{
    (void)state;
    static rig r;
    static const wd_span png = { (const uint8_t *)"\x89PNG\r\n\x1a\n and more", 17 };
    char path[128] = "/v1/files?limit=2&order=asc";
    size_t n = 0;
    rig_start(&r, false, 0);
    for (int i = 0; i < 5; i++)
        expect(upload(&r, NULL, png, ""), 200, NULL);
    for (bool more = true; more;) {
        answer a = call(&r, NULL, "GET", path, NULL, (wd_span){ 0 });
        json_t *v = json_of(&a);
        answer_free(&a);
        n += json_array_size(at(v, "data"));
        more = json_is_true(at(v, "has_more"));
        assert_true(more == (n < 5));
        snprintf(path, sizeof path, "/v1/files?limit=2&order=asc&after=%s", text_at(v, "last_id"));
        json_decref(v);
    }
    assert_int_equal(n, 5);
    wd_serve_stop(r.server);
}

int main(void)
{
    wd_err err = { 0 };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_kept_shown_and_deleted_by_its_owner_alone),
        cmocka_unit_test(what_is_no_upload_is_refused),
        cmocka_unit_test(lists_come_in_pages),
    };
    if (wd_sandbox_start(&err))
        return 1;
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    wd_sandbox_stop();
    return failed;
}
