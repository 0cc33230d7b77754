/* Messages of a chat: roles, content in parts, tool calls; pictures as data URLs. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "media/image.h"
#include "serve/inner.h"

#define MESSAGES_MAX 10000
#define PARAM_MAX 120

typedef struct reader {
    wd_req *r;
    wd_messages *out;
    uint64_t pixels; /* left for further images */
    wd_fault *f;
} reader;

static wd_status no_memory(wd_fault *f)
{
    return wd_fault_set(f, 503, "no_memory", "messages", "no memory for this request");
}

static void free_image(void *arg)
{
    wd_image_free(arg);
}

/* The bytes of a data URL in the arena. */
static wd_status read_data_url(wd_req *r, wd_span url, const char *param, wd_span *out, wd_fault *f)
{
    const uint8_t *comma = url.n ? memchr(url.p, ',', WD_MIN(url.n, (size_t)256)) : NULL;
    if (!wd_span_starts(url, "data:"))
        return wd_fault_set(f, 400, "remote_url_refused", param,
                            "%s: this server fetches nothing: expected \"data:image/...;base64,...\"", param);
    if (!comma || !wd_span_ends(wd_span_of(url.p, (size_t)(comma - url.p)), ";base64"))
        return wd_fault_set(f, 400, "invalid_value", param, "%s: a data URL without \";base64,\"", param);
    const char *text = (const char *)comma + 1;
    const size_t n_text = url.n - (size_t)(comma + 1 - url.p), room = n_text / 4 * 3 + 3;
    uint8_t *bytes = wd_arena_alloc(r->arena, room, 1);
    if (!bytes)
        return no_memory(f);
    static const int variants[] = { sodium_base64_VARIANT_ORIGINAL,
                                    sodium_base64_VARIANT_ORIGINAL_NO_PADDING };
    for (size_t i = 0; i < WD_COUNT(variants); i++) {
        size_t n;
        if (sodium_base642bin(bytes, room, text, n_text, " \r\n\t", &n, NULL, variants[i]) == 0 && n) {
            *out = wd_span_of(bytes, n);
            return WD_OK;
        }
    }
    return wd_fault_set(f, 400, "invalid_value", param, "%s: the data URL's base64 is empty or damaged",
                        param);
}

wd_status wd_serve__image(wd_req *r, wd_span url, const char *param, uint64_t *pixels, wd_image *out,
                          wd_fault *f)
{
    wd_span bytes;
    wd_err err = { 0 };
    wd_image *im = WD_NEW(r->arena, wd_image); /* in the arena: freed with it */
    if (!im)
        return no_memory(f);
    if (!r->model->engine->info.sees)
        return wd_fault_set(f, 400, "unsupported", param, "%s: this model takes no images", param);
    WD_TRY(read_data_url(r, url, param, &bytes, f));
    const wd_image_opts o = { .cancel = &r->cancel };
    while (sem_wait(&r->server->decoders) != 0)
        ;
    const wd_status st = wd_image_decode(param, bytes, &o, im, &err);
    sem_post(&r->server->decoders);
    if (st)
        return wd_fault_of(f, st, param, &err);
    if (wd_arena_defer(r->arena, free_image, im))
        return no_memory(f);
    const uint64_t n = (uint64_t)im->width * im->height;
    if (n > *pixels)
        return wd_fault_set(f, 400, "limit_exceeded", param,
                            "%s: the images of a request have more than %llu pixels", param,
                            (unsigned long long)r->server->o.image_pixels);
    *pixels -= n;
    *out = *im;
    return WD_OK;
}

wd_status wd_serve__item(wd_req *r, const json_t *v, const char *param, uint64_t *pixels, wd_item *out,
                         wd_fault *f)
{
    wd_part *part = WD_NEW_N(r->arena, wd_part, 2);
    wd_image *im = WD_NEW(r->arena, wd_image);
    char where[PARAM_MAX];
    if (!part || !im)
        return no_memory(f);
    *out = (wd_item){ .parts = { part, 0 }, .media = { .image = im } };
    if (json_is_string(v)) {
        part[out->parts.n_part++] = (wd_part){ WD_PART_TEXT, wd_json_span(v) };
        return WD_OK;
    }
    const json_t *image = json_object_get(v, "image"), *text = json_object_get(v, "text");
    if ((!image && !text) || (image && !json_is_string(image)) || (text && !json_is_string(text)))
        return wd_fault_set(f, 400, "invalid_type", param,
                            "%s: expected a string, or an object with strings \"text\", \"image\" or both",
                            param);
    if (image) {
        snprintf(where, sizeof where, "%s.image", param);
        WD_TRY(wd_serve__image(r, wd_json_span(image), where, pixels, im, f));
        out->media.n_image = 1;
        part[out->parts.n_part++] = (wd_part){ .kind = WD_PART_IMAGE };
    }
    if (text)
        part[out->parts.n_part++] = (wd_part){ WD_PART_TEXT, wd_json_span(text) };
    return WD_OK;
}

static wd_status read_image_part(reader *d, const json_t *part, const char *where, wd_part *out)
{
    char param[PARAM_MAX + 16];
    const json_t *v = json_object_get(part, "image_url");
    snprintf(param, sizeof param, "%s.image_url", where);
    if (json_is_object(v)) {
        v = json_object_get(v, "url");
        snprintf(param, sizeof param, "%s.image_url.url", where);
    }
    if (!json_is_string(v))
        return wd_fault_set(d->f, 400, "invalid_type", param, "%s is %s, expected a string", param,
                            v ? wd_json_kind(v) : "missing");
    if (d->out->n_image == d->r->server->o.max_images)
        return wd_fault_set(d->f, 400, "limit_exceeded", param, "more than %u images",
                            d->r->server->o.max_images);
    WD_TRY(wd_serve__image(d->r, wd_json_span(v), param, &d->pixels, &d->out->image[d->out->n_image], d->f));
    d->out->n_image++;
    *out = (wd_part){ .kind = WD_PART_IMAGE };
    return WD_OK;
}

static wd_status read_part(reader *d, const json_t *part, const char *where, wd_part *out)
{
    const char *type = json_string_value(json_object_get(part, "type"));
    char param[PARAM_MAX + 16];
    if (!json_is_object(part) || !type)
        return wd_fault_set(d->f, 400, "invalid_type", where, "%s is no object with a string \"type\"",
                            where);
    if (!strcmp(type, "image_url"))
        return read_image_part(d, part, where, out);
    const char *key = !strcmp(type, "refusal") ? "refusal" : "text";
    if (strcmp(type, key) != 0)
        return wd_fault_set(d->f, 400, "unsupported", where, "%s: expected type \"text\" or \"image_url\"",
                            where);
    snprintf(param, sizeof param, "%s.%s", where, key);
    const json_t *text = json_object_get(part, key);
    if (!json_is_string(text))
        return wd_fault_set(d->f, 400, "invalid_type", param, "%s is %s, expected a string", param,
                            text ? wd_json_kind(text) : "missing");
    *out = (wd_part){ WD_PART_TEXT, wd_json_span(text) };
    return WD_OK;
}

static wd_status read_content(reader *d, const json_t *v, const char *where, wd_message *out)
{
    char param[PARAM_MAX];
    snprintf(param, sizeof param, "%s.content", where);
    const bool may_lack = out->role == WD_ROLE_ASSISTANT;
    if (!v || json_is_null(v)) {
        if (!may_lack)
            return wd_fault_set(d->f, 400, "missing", param, "%s is missing", param);
        return WD_OK;
    }
    if (!json_is_string(v) && !json_is_array(v))
        return wd_fault_set(d->f, 400, "invalid_type", param,
                            "%s is %s, expected a string or an array of parts", param, wd_json_kind(v));
    const size_t n = json_is_array(v) ? json_array_size(v) : 1;
    wd_part *part = WD_NEW_N(d->r->arena, wd_part, n);
    if (n && !part)
        return no_memory(d->f);
    if (json_is_string(v)) {
        part[0] = (wd_part){ WD_PART_TEXT, wd_json_span(v) };
    } else {
        out->is_list = true;
        for (size_t i = 0; i < n; i++) {
            snprintf(param, sizeof param, "%s.content[%zu]", where, i);
            WD_TRY(read_part(d, json_array_get(v, i), param, &part[i]));
        }
    }
    out->part = part;
    out->n_part = n;
    return WD_OK;
}

static wd_status read_call(reader *d, const json_t *v, const char *where, wd_tool_call *out)
{
    const json_t *fn = json_object_get(v, "function");
    const json_t *name = json_object_get(fn, "name"), *args = json_object_get(fn, "arguments");
    if (!json_is_string(name) || (!json_is_string(args) && !json_is_object(args)))
        return wd_fault_set(d->f, 400, "invalid_value", where,
                            "%s: expected {\"function\": {\"name\": ..., \"arguments\": ...}}", where);
    *out = (wd_tool_call){ .name = wd_json_span(name) };
    if (json_is_object(args)) {
        out->args.value = args;
    } else {
        out->verbatim = true;
        out->args.text = wd_json_span(args);
    }
    return WD_OK;
}

static wd_status read_assistant(reader *d, const json_t *v, const char *where, wd_message *out)
{
    char param[PARAM_MAX];
    const json_t *reasoning = json_object_get(v, "reasoning_content");
    if (!reasoning)
        reasoning = json_object_get(v, "reasoning");
    if (json_is_string(reasoning)) {
        out->reasoning = wd_json_span(reasoning);
        out->has_reasoning = true;
    }
    const json_t *calls = json_object_get(v, "tool_calls");
    if (!calls || json_is_null(calls))
        return WD_OK;
    if (!json_is_array(calls))
        return wd_fault_set(d->f, 400, "invalid_type", where, "%s.tool_calls is %s, expected an array", where,
                            wd_json_kind(calls));
    const size_t n = json_array_size(calls);
    wd_tool_call *call = WD_NEW_N(d->r->arena, wd_tool_call, n);
    if (n && !call)
        return no_memory(d->f);
    for (size_t i = 0; i < n; i++) {
        snprintf(param, sizeof param, "%s.tool_calls[%zu]", where, i);
        WD_TRY(read_call(d, json_array_get(calls, i), param, &call[i]));
    }
    out->call = call;
    out->n_call = n;
    return WD_OK;
}

static wd_status read_message(reader *d, const json_t *v, size_t i, wd_message *out)
{
    static const struct {
        const char *name;
        wd_role role;
    } roles[] = { { "system", WD_ROLE_SYSTEM }, { "developer", WD_ROLE_SYSTEM },
                  { "user", WD_ROLE_USER },     { "assistant", WD_ROLE_ASSISTANT },
                  { "tool", WD_ROLE_TOOL },     { "function", WD_ROLE_TOOL } };
    char where[PARAM_MAX / 2];
    snprintf(where, sizeof where, "messages[%zu]", i);
    const char *role = json_string_value(json_object_get(v, "role"));
    *out = (wd_message){ .role = WD_ROLE_USER };
    for (size_t k = 0; k <= WD_COUNT(roles); k++) {
        if (!role || k == WD_COUNT(roles))
            return wd_fault_set(d->f, 400, "invalid_value", where,
                                "%s.role: expected system, developer, user, assistant or tool", where);
        if (!strcmp(role, roles[k].name)) {
            out->role = roles[k].role;
            break;
        }
    }
    WD_TRY(read_content(d, json_object_get(v, "content"), where, out));
    return out->role == WD_ROLE_ASSISTANT ? read_assistant(d, v, where, out) : WD_OK;
}

wd_status wd_serve__messages(wd_req *r, const json_t *list, wd_messages *out, wd_fault *f)
{
    const size_t n = json_array_size(list);
    if (n == 0 || n > MESSAGES_MAX)
        return wd_fault_set(f, 400, "invalid_value", "messages", "messages has %zu members, expected 1 to %d",
                            n, MESSAGES_MAX);
    wd_message *m = WD_NEW_N(r->arena, wd_message, n);
    *out = (wd_messages){ .message = m,
                          .n = n,
                          .image = WD_NEW_N(r->arena, wd_image, r->server->o.max_images) };
    if (!m || !out->image)
        return no_memory(f);
    reader d = { r, out, r->server->o.image_pixels, f };
    for (size_t i = 0; i < n; i++)
        WD_TRY(read_message(&d, json_array_get(list, i), i, &m[i]));
    return WD_OK;
}
