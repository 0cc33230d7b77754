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
#define LIST_MAX 100
#define LIST_DEFAULT 20
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

/* --- GET, DELETE ------------------------------------------------------------------------------------------- */

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

/* --- GET .../input_items ----------------------------------------------------------------------------------- */

static wd_status prepare_input(wd_req *r, wd_fault *f)
{
    wd_kept k;
    wd_page *page = WD_NEW(r->arena, wd_page);
    if (!page)
        return no_memory(f);
    r->state = page;
    r->n_item = 1;
    WD_TRY(wd_serve__page(r, LIST_DEFAULT, LIST_MAX, page, f));
    return wd_serve__find_kept(r, r->server->responses, r->name, "response.input", NULL, &k, f);
}

/* An id by which a list goes on: the item's own, where no item before it has the same, else one of its place. */
static bool set_id(const char *response, size_t i, json_t *item, json_t *seen)
{
    static const char *const made[][2] = { { "function_call", "fc_" },
                                           { "function_call_output", "fco_" },
                                           { "reasoning", "rs_" },
                                           { "message", "msg_" } };
    const char *id = json_string_value(json_object_get(item, "id")),
               *type = json_string_value(json_object_get(item, "type")), *prefix = "item_";
    if (id && *id && strlen(id) <= WD_NAME_MAX && !json_object_get(seen, id))
        return json_object_set_new(seen, id, json_true()) == 0;
    for (size_t k = 0; k < WD_COUNT(made); k++)
        if (type && !strcmp(type, made[k][0]))
            prefix = made[k][1];
    json_t *mine = json_sprintf("%s%s_%zu", prefix, response + strcspn(response, "_") + 1, i);
    const bool ok = mine && json_object_set(seen, json_string_value(mine), mine) == 0 &&
                    json_object_set(item, "id", mine) == 0;
    json_decref(mine);
    return ok;
}

/* A message's text as a list of one part. */
static bool set_content(json_t *item)
{
    json_t *content = json_object_get(item, "content");
    const char *role = json_string_value(json_object_get(item, "role"));
    if (!json_is_string(content))
        return true;
    json_t *part = role && !strcmp(role, "assistant")
                       ? json_pack("[{s:s, s:O, s:[]}]", "type", "output_text", "text", content,
                                   "annotations")
                       : json_pack("[{s:s, s:O}]", "type", "input_text", "text", content);
    return part && json_object_set_new(item, "content", part) == 0;
}

/* What the API's lists have and its requests may leave out. */
static bool complete(const char *response, json_t *items)
{
    json_t *seen = json_object();
    bool ok = seen != NULL;
    for (size_t i = 0; ok && i < json_array_size(items); i++) {
        json_t *item = json_array_get(items, i);
        if (!json_object_get(item, "type"))
            ok = json_object_set_new(item, "type", json_string("message")) == 0;
        if (ok && !json_object_get(item, "status"))
            ok = json_object_set_new(item, "status", json_string("completed")) == 0;
        ok = ok && set_id(response, i, item, seen) && set_content(item);
    }
    json_decref(seen);
    return ok;
}

static const char *id_at(const json_t *items, size_t i)
{
    return json_string_value(json_object_get(json_array_get(items, i), "id"));
}

static void put_end(const char *key, const char *id, wd_buf *b)
{
    wd_buf_printf(b, ",\"%s\":", key);
    if (id)
        wd_buf_json(b, wd_span_str(id));
    else
        wd_buf_str(b, "null");
}

static wd_status put_page(const wd_page *page, const json_t *items, wd_buf *b, wd_fault *f)
{
    const size_t n_item = json_array_size(items);
    size_t from = 0, n = 0;
    const char *first = NULL, *last = NULL;
    wd_err err = { 0 };
#define AT(k) (page->newest_first ? n_item - 1 - (k) : (k))
    if (*page->after) {
        while (from < n_item && strcmp(id_at(items, AT(from)), page->after) != 0)
            from++;
        if (from == n_item)
            return wd_fault_set(f, 404, "not_found", "after", "after: no such item");
        from++;
    }
    wd_buf_str(b, "{\"object\":\"list\",\"data\":[");
    for (; from + n < n_item && n < page->limit; n++) {
        wd_buf_str(b, n ? "," : "");
        if (wd_json_write(json_array_get(items, AT(from + n)), JSON_COMPACT, b, &err))
            return no_memory(f);
        last = id_at(items, AT(from + n));
        first = first ? first : last;
    }
#undef AT
    wd_buf_printf(b, "],\"has_more\":%s", from + n < n_item ? "true" : "false");
    put_end("first_id", first, b);
    put_end("last_id", last, b);
    wd_buf_char(b, '}');
    return WD_OK;
}

static wd_status item_input(wd_req *r, size_t i, wd_fault *f)
{
    wd_err err = { 0 };
    wd_span content, response, text;
    json_t *items = NULL;
    (void)i;
    WD_TRY(wd_serve__read_kept(r, r->server->responses, r->name, NULL, &content, f));
    WD_TRY(split(content, &response, &text, f));
    if (wd_json_parse(text, "items", &items, &err))
        return err.code == WD_E_NOMEM ? no_memory(f) : damaged(f);
    const wd_status st = complete(r->name, items) ? put_page(r->state, items, &r->early, f) : no_memory(f);
    json_decref(items);
    return st;
}

static void finish_input(wd_req *r)
{
    wd_serve__answer(r, 200, "application/json", &r->early);
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
static const wd_field input_query[] = { WD_PAGE_FIELDS(LIST_MAX) };
const wd_route wd_route_response_input = {
    .method = "GET",
    .path = "/v1/responses/{id}/input_items",
    .brief = "What it was asked: the input that is kept with it.",
    .prepare = prepare_input,
    .item = item_input,
    .finish = finish_input,
    .query = input_query,
    .n_query = WD_COUNT(input_query),
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
