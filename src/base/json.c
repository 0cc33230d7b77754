/* JSON through jansson. */
#include "base/json.h"

#include "base/file.h"

/* jansson 2.14 overlooks a failed growth of its token buffer, and then reads and writes past it: it must never see
 * a failure. The first is noted, tried again, and reported when the parse is over; one that lasts stops the process
 * before memory is damaged. Set and read within one call of wd_json_parse. */
static _Thread_local bool memory_failed;

static void *json_malloc(size_t n)
{
    void *p = wd_realloc(NULL, n, 1);
    if (!p) {
        memory_failed = true;
        p = wd_realloc(NULL, n, 1);
        WD_BUG_IF(!p);
    }
    return p;
}

/* Commas and opening brackets, those in strings too: at least as many as there are values, less one. */
static size_t count_values(wd_span text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.n; i++)
        n += text.p[i] == ',' || text.p[i] == '[' || text.p[i] == '{';
    return n;
}

wd_status wd_json_parse(wd_span text, const char *where, json_t **out, wd_err *err)
{
    *out = NULL;
    json_error_t je;
    if (count_values(text) > WD_JSON_MAX_VALUES)
        return WD_FAIL(err, WD_E_LIMIT, "%s: more than %d JSON values", where, WD_JSON_MAX_VALUES);
    memory_failed = false;
    json_t *v = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &je);
    if (memory_failed) {
        json_decref(v);
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for this JSON", where);
    }
    if (!v)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: not valid JSON at line %d, column %d: %s", where, je.line,
                       je.column, je.text);
    *out = v;
    return WD_OK;
}

wd_status wd_json_read_file(const char *path, size_t max_bytes, json_t **out, wd_err *err)
{
    *out = NULL;
    wd_buf text = { 0 };
    wd_status st = wd_file_read(path, max_bytes, &text, err);
    if (!st)
        st = wd_json_parse(wd_buf_view(&text), path, out, err);
    wd_buf_free(&text);
    return st;
}

/* The member, or NULL when absent or null. */
static json_t *member(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    return json_is_null(v) ? NULL : v;
}

static const char *kind(const json_t *v)
{
    static const char *const names[] = { "an object", "an array", "a string", "an integer",
                                         "a number",  "true",     "false",    "null" };
    return names[json_typeof(v)];
}

static wd_status missing(const char *where, const char *key, wd_err *err)
{
    return WD_FAIL(err, WD_E_INVALID, "%s: %s is missing", where, key);
}

static wd_status wrong(const char *where, const char *key, const json_t *v, const char *want, wd_err *err)
{
    return WD_FAIL(err, WD_E_INVALID, "%s: %s is %s, expected %s", where, key, kind(v), want);
}

wd_status wd_json_need_int(const json_t *o, const char *where, const char *key, int64_t min, int64_t max,
                           int64_t *out, wd_err *err)
{
    const json_t *v = member(o, key);
    if (!v)
        return missing(where, key, err);
    if (!json_is_integer(v))
        return wrong(where, key, v, "an integer", err);
    const int64_t i = json_integer_value(v);
    if (i < min || i > max)
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is %lld, expected %lld to %lld", where, key, (long long)i,
                       (long long)min, (long long)max);
    *out = i;
    return WD_OK;
}

wd_status wd_json_int(const json_t *o, const char *where, const char *key, int64_t min, int64_t max,
                      int64_t def, int64_t *out, wd_err *err)
{
    if (member(o, key))
        return wd_json_need_int(o, where, key, min, max, out, err);
    *out = def;
    return WD_OK;
}

wd_status wd_json_num(const json_t *o, const char *where, const char *key, double min, double max, double def,
                      double *out, wd_err *err)
{
    const json_t *v = member(o, key);
    if (!v) {
        *out = def;
        return WD_OK;
    }
    if (!json_is_number(v))
        return wrong(where, key, v, "a number", err);
    const double d = json_number_value(v);
    if (!(d >= min && d <= max))
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is %g, expected %g to %g", where, key, d, min, max);
    *out = d;
    return WD_OK;
}

wd_status wd_json_bool(const json_t *o, const char *where, const char *key, bool def, bool *out, wd_err *err)
{
    const json_t *v = member(o, key);
    if (v && !json_is_boolean(v))
        return wrong(where, key, v, "true or false", err);
    *out = v ? json_is_true(v) : def;
    return WD_OK;
}

wd_status wd_json_str(const json_t *o, const char *where, const char *key, const char **out, wd_err *err)
{
    const json_t *v = member(o, key);
    if (v && !json_is_string(v))
        return wrong(where, key, v, "a string", err);
    *out = v ? json_string_value(v) : NULL;
    return WD_OK;
}

wd_status wd_json_need_str(const json_t *o, const char *where, const char *key, const char **out, wd_err *err)
{
    WD_TRY(wd_json_str(o, where, key, out, err));
    return *out ? WD_OK : missing(where, key, err);
}

wd_status wd_json_obj(const json_t *o, const char *where, const char *key, json_t **out, wd_err *err)
{
    json_t *v = member(o, key);
    if (v && !json_is_object(v))
        return wrong(where, key, v, "an object", err);
    *out = v;
    return WD_OK;
}

wd_status wd_json_arr(const json_t *o, const char *where, const char *key, json_t **out, wd_err *err)
{
    json_t *v = member(o, key);
    if (v && !json_is_array(v))
        return wrong(where, key, v, "an array", err);
    *out = v;
    return WD_OK;
}

static int append(const char *p, size_t n, void *arg)
{
    wd_buf *out = arg;
    wd_buf_put(out, p, n);
    return out->failed ? -1 : 0;
}

void wd_json_append(json_t **list, json_t *v)
{
    if (!*list) {
        json_decref(v);
    } else if (json_array_append_new(*list, v) != 0) { /* also for v NULL */
        json_decref(*list);
        *list = NULL;
    }
}

wd_status wd_json_write(const json_t *v, size_t flags, wd_buf *out, wd_err *err)
{
    if (json_dump_callback(v, append, out, flags | JSON_ENCODE_ANY) < 0)
        return WD_FAIL(err, WD_E_NOMEM, "JSON: no memory to write it");
    return WD_OK;
}

void wd_json_use_our_memory(void)
{
    json_set_alloc_funcs(json_malloc, wd_free);
}
