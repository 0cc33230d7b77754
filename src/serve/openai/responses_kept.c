/* Responses that are kept (store/files.h): read, continued and deleted by who made them, until their time is over.
 *
 *   content   u32 length of the response | the response, as it was answered | the items that were its input, JSON
 *
 * A response holds its own input alone and names the one before it. So nothing is kept twice, and what is deleted is gone:
 * also what continues it can be continued no more. */
#include <stdio.h>
#include <string.h>

#include "serve/openai/responses.h"

#define HEAD 4
#define CHAIN_MAX 1000 /* responses, one continuing another */

static wd_status no_memory(wd_fault *f)
{
    return wd_fault_set(f, 503, "no_memory", NULL, "no memory for this request");
}

static wd_status damaged(wd_fault *f)
{
    return wd_fault_set(f, 500, "corrupt", NULL, "a response that was kept is damaged");
}

/* --- keeping ----------------------------------------------------------------------------------------------- */

wd_status wd_responses_room(wd_req *r, size_t bytes, wd_fault *f)
{
    wd_err err = { 0 };
    const wd_status st = wd_files_room(r->server->responses, wd_gate_tenant_name(r->visit),
                                       wd_gate_owner(r->visit), bytes, &err);
    return st ? wd_serve__not_kept(f, st, "store", &err) : WD_OK;
}

wd_status wd_responses_keep(wd_req *r, const char *id, wd_span response, const json_t *items, wd_fault *f)
{
    wd_err err = { 0 };
    wd_buf b = { 0 };
    const uint32_t n = (uint32_t)response.n;
    const uint8_t head[HEAD] = { (uint8_t)n, (uint8_t)(n >> 8), (uint8_t)(n >> 16), (uint8_t)(n >> 24) };
    wd_kept k = { .purpose = "response", .kind = "response", .expires = r->server->o.response_s };
    snprintf(k.id, sizeof k.id, "%s", id);
    snprintf(k.tenant, sizeof k.tenant, "%s", wd_gate_tenant_name(r->visit));
    snprintf(k.owner, sizeof k.owner, "%s", wd_gate_owner(r->visit));
    wd_buf_put(&b, head, sizeof head);
    wd_buf_span(&b, response);
    wd_status st = response.n > UINT32_MAX ? WD_FAIL(&err, WD_E_LIMIT, "the response is too long to be kept")
                                           : wd_json_write(items, JSON_COMPACT, &b, &err);
    if (!st)
        st = wd_buf_check(&b, "response", &err);
    if (!st)
        st = wd_files_put(r->server->responses, &k, wd_buf_view(&b), &err);
    wd_buf_wipe(&b);
    wd_buf_free(&b);
    if (st)
        return wd_serve__not_kept(f, st, "store", &err);
    return wd_gate_object(r->visit, "response.create", "response", k.id, k.tenant, k.owner, NULL, f);
}

/* --- continuing -------------------------------------------------------------------------------------------- */

/* The two halves of a kept response. */
static wd_status split(wd_span content, wd_span *response, wd_span *items, wd_fault *f)
{
    if (content.n < HEAD || wd_le32(content.p) > content.n - HEAD)
        return damaged(f);
    *response = wd_span_sub(content, HEAD, wd_le32(content.p));
    *items = wd_span_sub(content, HEAD + response->n, content.n);
    return WD_OK;
}

/* Its input and then its output: a new list. before: the id of the one that it continues, or "". */
static wd_status items_of(wd_span content, json_t **out, char before[WD_FILE_ID_MAX], wd_fault *f)
{
    wd_err err = { 0 };
    wd_span response, items;
    json_t *v = NULL;
    *out = NULL;
    WD_TRY(split(content, &response, &items, f));
    if (wd_json_parse(items, "items", out, &err) || wd_json_parse(response, "response", &v, &err)) {
        json_decref(*out);
        *out = NULL;
        return err.code == WD_E_NOMEM ? no_memory(f) : damaged(f);
    }
    const char *id = json_string_value(json_object_get(v, "previous_response_id"));
    snprintf(before, WD_FILE_ID_MAX, "%s", id ? id : "");
    const bool whole = json_array_extend(*out, json_object_get(v, "output")) == 0;
    json_decref(v);
    if (whole)
        return WD_OK;
    json_decref(*out);
    *out = NULL;
    return no_memory(f);
}

/* One response of the chain goes before what there is. left: bytes that the chain may still have. */
static wd_status prepend(wd_req *r, char id[WD_FILE_ID_MAX], bool first, size_t *left, json_t **items,
                         wd_fault *f)
{
    wd_files *in = r->server->responses;
    wd_kept k;
    wd_span content;
    json_t *list;
    const wd_status st = wd_serve__find_kept(r, in, id, "response.read", "previous_response_id", &k, f);
    if (st && f->http == 404 && !first)
        return wd_fault_set(f, 404, "not_found", "previous_response_id",
                            "previous_response_id: a response that it continues is not there any more");
    if (st && f->http == 404)
        return wd_fault_set(f, 404, "not_found", "previous_response_id",
                            "previous_response_id: no such response; one is kept when its request says "
                            "store: true, until its time is over");
    WD_TRY(st);
    if (k.bytes > *left)
        return wd_fault_set(f, 400, "limit_exceeded", "previous_response_id",
                            "previous_response_id: what was said before has more than %zu bytes",
                            r->server->o.body_bytes);
    *left -= (size_t)k.bytes;
    WD_TRY(wd_serve__read_kept(r, in, k.id, "previous_response_id", &content, f));
    WD_TRY(items_of(content, &list, id, f));
    const bool whole = !*items || json_array_extend(list, *items) == 0;
    json_decref(*items);
    *items = list;
    return whole ? WD_OK : no_memory(f);
}

static wd_status collect(wd_req *r, const char *newest, json_t **items, wd_fault *f)
{
    char id[WD_FILE_ID_MAX];
    wd_kept k;
    size_t left = r->server->o.body_bytes;
    snprintf(id, sizeof id, "%s", newest);
    for (size_t n = 0; *id; n++) {
        if (n == CHAIN_MAX)
            return wd_fault_set(f, 400, "limit_exceeded", "previous_response_id",
                                "previous_response_id: more than %d responses continue each other",
                                CHAIN_MAX);
        WD_TRY(prepend(r, id, n == 0, &left, items, f));
    }
    /* the record names the one that was asked for, not the last that was looked at */
    return wd_serve__find_kept(r, r->server->responses, newest, "response.read", "previous_response_id", &k,
                               f);
}

wd_status wd_responses_before(wd_req *r, wd_span previous, json_t **items, wd_fault *f)
{
    char id[WD_FILE_ID_MAX] = "-"; /* of none */
    *items = NULL;
    if (previous.n < sizeof id && !memchr(previous.p, 0, previous.n)) {
        memcpy(id, previous.p, previous.n);
        id[previous.n] = 0;
    }
    const wd_status st = collect(r, id, items, f);
    if (st) {
        json_decref(*items);
        *items = NULL;
    }
    return st;
}

/* --- GET and DELETE ---------------------------------------------------------------------------------------- */

static wd_status prepare_read(wd_req *r, wd_fault *f)
{
    const char *stream = MHD_lookup_connection_value(r->conn, MHD_GET_ARGUMENT_KIND, "stream");
    wd_kept k;
    if (stream && strcmp(stream, "false") != 0)
        return wd_fault_set(f, 400, "unsupported", "stream", "stream: a kept response comes whole");
    r->n_item = 1;
    return wd_serve__find_kept(r, r->server->responses, r->name, "response.read", NULL, &k, f);
}

static wd_status item_read(wd_req *r, size_t i, wd_fault *f)
{
    wd_span content, items, *response = WD_NEW(r->arena, wd_span);
    (void)i;
    if (!response)
        return no_memory(f);
    r->state = response;
    WD_TRY(wd_serve__read_kept(r, r->server->responses, r->name, NULL, &content, f));
    return split(content, response, &items, f);
}

static void finish_read(wd_req *r)
{
    const wd_span *response = r->state;
    wd_buf b = { 0 };
    wd_buf_span(&b, *response);
    wd_serve__answer(r, 200, "application/json", &b);
}

static wd_status prepare_delete(wd_req *r, wd_fault *f)
{
    wd_kept k;
    r->n_item = 1;
    return wd_serve__find_kept(r, r->server->responses, r->name, "response.delete", NULL, &k, f);
}

static wd_status item_delete(wd_req *r, size_t i, wd_fault *f)
{
    wd_err err = { 0 };
    (void)i;
    const wd_status st = wd_files_delete(r->server->responses, r->name, &err);
    return st ? wd_fault_of(f, st, NULL, &err) : WD_OK;
}

static void finish_delete(wd_req *r)
{
    wd_buf b = { 0 };
    wd_buf_printf(&b, "{\"id\":\"%s\",\"object\":\"response\",\"deleted\":true}", r->name);
    wd_serve__answer(r, 200, "application/json", &b);
}

const wd_route wd_route_response = {
    .method = "GET",
    .path = "/v1/responses/{id}",
    .brief = "A response that was kept, as it was answered.",
    .prepare = prepare_read,
    .item = item_read,
    .finish = finish_read,
    .body = WD_BODY_NONE,
    .no_model = true,
};
const wd_route wd_route_response_delete = {
    .method = "DELETE",
    .path = "/v1/responses/{id}",
    .brief = "Deletes it, with the input that is kept with it.",
    .prepare = prepare_delete,
    .item = item_delete,
    .finish = finish_delete,
    .body = WD_BODY_NONE,
    .no_model = true,
};
