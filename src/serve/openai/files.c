/* /v1/files: pictures, DICOM objects, studies as ZIP files and videos that requests then show by their id. Each belongs to
 * who sent it (guard/policy.c), lies sealed (store/files.h), and goes when it is told to or its time is over. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "media/kind.h"
#include "serve/inner.h"

#define PARTS_MAX 16
#define LIST_MAX 10000
#define SHORTEST_S 60 /* of "expires_after" */

static wd_status no_memory(wd_fault *f)
{
    return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
}

static void put_file(const wd_kept *k, wd_buf *b)
{
    wd_buf_printf(b,
                  "{\"id\":\"%s\",\"object\":\"file\",\"bytes\":%llu,\"created_at\":%lld,\"expires_at\":%lld,"
                  "\"status\":\"processed\",\"kind\":\"%s\",\"purpose\":",
                  k->id, (unsigned long long)k->bytes, (long long)k->created, (long long)k->expires, k->kind);
    wd_buf_json(b, wd_span_str(k->purpose));
    wd_buf_str(b, ",\"filename\":");
    wd_buf_json(b, wd_span_str(k->name));
    wd_buf_char(b, '}');
}

wd_status wd_serve__find_kept(wd_req *r, wd_files *in, const char *id, const char *action, const char *param,
                              wd_kept *out, wd_fault *f)
{
    wd_err err = { 0 };
    const char *noun = wd_files_noun(in);
    if (wd_files_find(in, id, out, &err))
        return wd_fault_set(f, 404, "not_found", param, "no such %s", noun);
    return wd_gate_object(r->visit, action, noun, out->id, out->tenant, out->owner, param, f);
}

static void free_bytes(void *arg)
{
    wd_buf *b = arg;
    wd_buf_wipe(b);
    wd_buf_free(b);
}

wd_buf *wd_serve__new_buf(wd_req *r)
{
    wd_buf *b = WD_NEW(r->arena, wd_buf); /* freed with it */
    return b && !wd_arena_defer(r->arena, free_bytes, b) ? b : NULL;
}

wd_status wd_serve__read_kept(wd_req *r, wd_files *in, const char *id, const char *param, wd_span *out,
                              wd_fault *f)
{
    wd_err err = { 0 };
    wd_buf *b = wd_serve__new_buf(r);
    if (!b)
        return no_memory(f);
    const wd_status st = wd_files_read(in, id, b, &err);
    if (st) {
        wd_fault_of(f, st, param, &err);
        if (st == WD_E_CORRUPT) /* it is ours that is damaged */
            f->http = 500;
        return st;
    }
    *out = wd_buf_view(b);
    return WD_OK;
}

wd_status wd_serve__not_kept(wd_fault *f, wd_status st, const char *param, const wd_err *err)
{
    wd_fault_of(f, st, param, err);
    if (st == WD_E_LIMIT) {
        f->http = 507;
        f->code = "storage_full";
    }
    return st;
}

/* --- POST /v1/files ---------------------------------------------------------------------------------------- */

typedef struct upload {
    wd_kept kept;
    wd_span content;
} upload;

static bool is_purpose(wd_span s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!(s.p[i] >= 'a' && s.p[i] <= 'z') && s.p[i] != '_' && s.p[i] != '-')
            return false;
    return s.n >= 1 && s.n <= WD_FILE_PURPOSE_MAX;
}

static wd_status take_expiry(const wd_req *r, wd_span text, wd_kept *k, wd_fault *f)
{
    char digits[16], *end;
    snprintf(digits, sizeof digits, "%.*s", (int)WD_MIN(text.n, sizeof digits - 1), (const char *)text.p);
    const long long s = strtoll(digits, &end, 10);
    if (text.n == 0 || text.n >= sizeof digits || *end || s < SHORTEST_S || s > r->server->o.file_s)
        return wd_fault_set(f, 400, "invalid_value", "expires_after[seconds]",
                            "expires_after[seconds]: expected %d to %u, a file's longest time here",
                            SHORTEST_S, r->server->o.file_s);
    k->expires = s; /* from when it is kept */
    return WD_OK;
}

/* A name is shown to people and used for nothing else. */
static void take_name(wd_span name, char out[WD_FILE_NAME_MAX + 1])
{
    size_t n = 0;
    for (size_t i = 0; i < name.n && n < WD_FILE_NAME_MAX; i++)
        if (name.p[i] >= ' ' && name.p[i] != 127)
            out[n++] = (char)name.p[i];
    out[n] = 0;
}

static wd_status take_part(wd_req *r, const wd_form_part *p, upload *u, wd_fault *f)
{
    if (wd_span_is(p->name, "purpose")) {
        if (!is_purpose(p->body))
            return wd_fault_set(f, 400, "invalid_value", "purpose",
                                "purpose: expected 1 to %d lower-case letters, such as user_data",
                                WD_FILE_PURPOSE_MAX);
        memcpy(u->kept.purpose, p->body.p, p->body.n);
        u->kept.purpose[p->body.n] = 0;
    } else if (wd_span_is(p->name, "expires_after[anchor]")) {
        if (!wd_span_is(p->body, "created_at"))
            return wd_fault_set(f, 400, "invalid_value", "expires_after[anchor]",
                                "expires_after[anchor]: expected created_at");
    } else if (wd_span_is(p->name, "expires_after[seconds]")) {
        return take_expiry(r, p->body, &u->kept, f);
    } else if (wd_span_is(p->name, "file")) {
        if (u->content.p)
            return wd_fault_set(f, 400, "invalid_value", "file", "file: there are two; send one by one");
        u->content = p->body;
        take_name(p->filename, u->kept.name);
    }
    return WD_OK;
}

static wd_status prepare_upload(wd_req *r, wd_fault *f)
{
    wd_form_part part[PARTS_MAX];
    size_t n;
    wd_err err = { 0 };
    upload *u = WD_NEW(r->arena, upload);
    if (!u)
        return no_memory(f);
    r->state = u;
    const wd_status st = wd_multipart_parse(wd_buf_view(&r->body), r->boundary, part, PARTS_MAX, &n, &err);
    if (st)
        return wd_fault_of(f, st, NULL, &err);
    snprintf(u->kept.purpose, sizeof u->kept.purpose, "user_data");
    u->kept.expires = r->server->o.file_s;
    for (size_t i = 0; i < n; i++)
        WD_TRY(take_part(r, &part[i], u, f));
    if (!u->content.n)
        return wd_fault_set(f, 400, "missing", "file", u->content.p ? "file is empty" : "file is missing");
    const wd_media_kind kind = wd_media_kind_of(u->content);
    if (kind == WD_MEDIA_UNKNOWN)
        return wd_fault_set(f, 400, "unsupported", "file",
                            "file: expected a picture, a DICOM object, a ZIP file of a study, or a video");
    snprintf(u->kept.kind, sizeof u->kept.kind, "%s", wd_media_kind_name(kind));
    snprintf(u->kept.tenant, sizeof u->kept.tenant, "%s", wd_gate_tenant_name(r->visit));
    snprintf(u->kept.owner, sizeof u->kept.owner, "%s", wd_gate_owner(r->visit));
    r->input = u->content;
    r->n_item = 1;
    return WD_OK;
}

/* After the first record; the reply leaves after the second. A file whose second record fails stays, and the client is told
 * of the failure: what is kept and was not acknowledged goes when its time is over. */
static wd_status item_upload(wd_req *r, size_t i, wd_fault *f)
{
    upload *u = r->state;
    wd_err err = { 0 };
    (void)i;
    const wd_status st = wd_files_put(r->server->files, &u->kept, u->content, &err);
    if (!st) /* names it in the record */
        return wd_gate_object(r->visit, "file.create", "file", u->kept.id, u->kept.tenant, u->kept.owner,
                              NULL, f);
    return wd_serve__not_kept(f, st, "file", &err);
}

static void finish_upload(wd_req *r)
{
    const upload *u = r->state;
    wd_buf b = { 0 };
    put_file(&u->kept, &b);
    wd_serve__answer(r, 200, "application/json", &b);
}

/* --- GET /v1/files ----------------------------------------------------------------------------------------- */

typedef struct listing {
    const wd_req *r;
    wd_page page;
    const char *purpose;
    wd_kept *v; /* [cap] */
    size_t n, cap;
} listing;

static bool is_mine(const listing *l, const wd_kept *k)
{
    return !strcmp(k->tenant, wd_gate_tenant_name(l->r->visit)) &&
           !strcmp(k->owner, wd_gate_owner(l->r->visit)) && (!l->purpose || !strcmp(l->purpose, k->purpose));
}

/* Oldest first. */
static bool collect(void *ctx, const wd_kept *k)
{
    listing *l = ctx;
    if (is_mine(l, k) && l->n < l->cap)
        l->v[l->n++] = *k;
    return true;
}

static wd_status put_list(const listing *l, wd_buf *b, wd_fault *f)
{
    size_t n = 0, from = 0;
    const bool back = l->page.newest_first;
    const wd_kept *first = NULL, *last = NULL;
    if (*l->page.after) {
        while (from < l->n && strcmp(l->v[back ? l->n - 1 - from : from].id, l->page.after) != 0)
            from++;
        if (from == l->n)
            return wd_fault_set(f, 404, "not_found", "after", "after: no such file");
        from++;
    }
    wd_buf_str(b, "{\"object\":\"list\",\"data\":[");
    for (size_t i = from; i < l->n && n < l->page.limit; i++, n++) {
        const wd_kept *k = &l->v[back ? l->n - 1 - i : i];
        if (n)
            wd_buf_char(b, ',');
        put_file(k, b);
        first = first ? first : k;
        last = k;
    }
    wd_buf_printf(b, "],\"has_more\":%s,\"first_id\":", from + n < l->n ? "true" : "false");
    wd_buf_printf(b, first ? "\"%s\"" : "null", first ? first->id : "");
    wd_buf_str(b, ",\"last_id\":");
    wd_buf_printf(b, last ? "\"%s\"" : "null", last ? last->id : "");
    wd_buf_char(b, '}');
    return WD_OK;
}

static void list(wd_req *r)
{
    listing l = { .r = r, .cap = LIST_MAX };
    wd_fault f;
    wd_buf b = { 0 };
    wd_status st = wd_serve__page(r, LIST_MAX, LIST_MAX, &l.page, &f);
    l.purpose = MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND, "purpose");
    if (!st) {
        l.v = WD_ALLOC_N(wd_kept, l.cap);
        st = l.v ? WD_OK : no_memory(&f);
    }
    if (!st) {
        wd_files_each(r->server->files, collect, &l);
        st = put_list(&l, &b, &f);
    }
    if (l.v)
        wd_wipe(l.v, l.n * sizeof *l.v);
    wd_free(l.v);
    if (st)
        wd_serve__answer_fault(r, &f);
    else
        wd_serve__answer(r, 200, "application/json", &b);
    wd_buf_free(&b);
}

/* --- one file ---------------------------------------------------------------------------------------------- */

static void show(wd_req *r)
{
    wd_kept k;
    wd_fault f;
    wd_buf b = { 0 };
    if (wd_serve__find_kept(r, r->server->files, r->name, "file.read", NULL, &k, &f)) {
        wd_serve__answer_fault(r, &f);
        return;
    }
    put_file(&k, &b);
    wd_serve__answer(r, 200, "application/json", &b);
}

static wd_status prepare_content(wd_req *r, wd_fault *f)
{
    wd_kept k;
    r->n_item = 1;
    return wd_serve__find_kept(r, r->server->files, r->name, "file.content", NULL, &k, f);
}

static wd_status item_content(wd_req *r, size_t i, wd_fault *f)
{
    wd_span *content = WD_NEW(r->arena, wd_span);
    (void)i;
    if (!content)
        return no_memory(f);
    r->state = content;
    return wd_serve__read_kept(r, r->server->files, r->name, NULL, content, f);
}

static void finish_content(wd_req *r)
{
    const wd_span *content = r->state;
    wd_buf b = { 0 };
    wd_buf_span(&b, *content);
    wd_serve__answer(r, 200, "application/octet-stream", &b);
}

static wd_status prepare_delete(wd_req *r, wd_fault *f)
{
    wd_kept k;
    r->n_item = 1;
    return wd_serve__find_kept(r, r->server->files, r->name, "file.delete", NULL, &k, f);
}

static wd_status item_delete(wd_req *r, size_t i, wd_fault *f)
{
    wd_err err = { 0 };
    (void)i;
    const wd_status st = wd_files_delete(r->server->files, r->name, &err);
    return st ? wd_fault_of(f, st, NULL, &err) : WD_OK;
}

static void finish_delete(wd_req *r)
{
    wd_buf b = { 0 };
    wd_buf_printf(&b, "{\"id\":\"%s\",\"object\":\"file\",\"deleted\":true}", r->name);
    wd_serve__answer(r, 200, "application/json", &b);
}

static const char upload_form[] =
    "{\"type\":\"object\",\"properties\":{\"file\":{\"type\":\"string\",\"format\":\"binary\"},"
    "\"purpose\":{\"type\":\"string\",\"default\":\"user_data\"},"
    "\"expires_after[anchor]\":{\"const\":\"created_at\"},"
    "\"expires_after[seconds]\":{\"type\":\"integer\"}},\"required\":[\"file\"]}";

static const wd_field list_query[] = {
    WD_PAGE_FIELDS(LIST_MAX),
    { "purpose", WD_FIELD_STR, 0, false, 0, 0, "only those of this purpose" },
};

const wd_route wd_route_file_create = {
    .method = "POST",
    .path = "/v1/files",
    .brief = "Keeps a picture, a DICOM object, a study (ZIP) or a video.",
    .prepare = prepare_upload,
    .item = item_upload,
    .finish = finish_upload,
    .body = WD_BODY_FORM,
    .form = upload_form,
    .no_model = true,
};
const wd_route wd_route_file_list = {
    .method = "GET",
    .path = "/v1/files",
    .brief = "The caller's files.",
    .now = list,
    .query = list_query,
    .n_query = WD_COUNT(list_query),
};
const wd_route wd_route_file = {
    .method = "GET",
    .path = "/v1/files/{id}",
    .brief = "What is known about one.",
    .now = show,
};
const wd_route wd_route_file_content = {
    .method = "GET",
    .path = "/v1/files/{id}/content",
    .brief = "Its bytes, as they were sent.",
    .prepare = prepare_content,
    .item = item_content,
    .finish = finish_content,
    .body = WD_BODY_NONE,
    .no_model = true,
};
const wd_route wd_route_file_delete = {
    .method = "DELETE",
    .path = "/v1/files/{id}",
    .brief = "Deletes it at once.",
    .prepare = prepare_delete,
    .item = item_delete,
    .finish = finish_delete,
    .body = WD_BODY_NONE,
    .no_model = true,
};
