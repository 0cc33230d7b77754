/* Request bodies by table. */
#include "serve/field.h"

#include <math.h>
#include <stdio.h>

static const char *const type_names[] = { "true or false", "an integer", "a number", "a string",
                                          "an array",      "an object",  "another" };

const char *wd_json_kind(const json_t *v)
{
    static const char *const names[] = { "an object", "an array", "a string", "an integer",
                                         "a number",  "true",     "false",    "null" };
    return names[json_typeof(v)];
}

static bool fits(wd_field_type t, const json_t *v)
{
    switch (t) {
    case WD_FIELD_BOOL:
        return json_is_boolean(v);
    case WD_FIELD_INT:
        return json_is_integer(v) || (json_is_real(v) && fabs(json_real_value(v)) < 0x1p53 &&
                                      json_real_value(v) == trunc(json_real_value(v)));
    case WD_FIELD_NUM:
        return json_is_number(v);
    case WD_FIELD_STR:
        return json_is_string(v);
    case WD_FIELD_ARR:
        return json_is_array(v);
    case WD_FIELD_OBJ:
        return json_is_object(v);
    case WD_FIELD_ANY:
        break;
    }
    return true;
}

static wd_status read_one(const wd_field *f, const json_t *v, const char *param, void *target,
                          wd_fault *fault)
{
    if (!fits(f->type, v))
        return wd_fault_set(fault, 400, "invalid_type", param, "%s is %s, expected %s", param,
                            wd_json_kind(v), type_names[f->type]);
    void *to = (char *)target + f->offset;
    const bool limited = f->min != 0 || f->max != 0;
    const double num = json_number_value(v);
    if ((f->type == WD_FIELD_INT || f->type == WD_FIELD_NUM) && limited && !(num >= f->min && num <= f->max))
        return wd_fault_set(fault, 400, "invalid_value", param, "%s is %.17g, expected %.17g to %.17g", param,
                            num, f->min, f->max);
    switch (f->type) {
    case WD_FIELD_BOOL:
        *(bool *)to = json_is_true(v);
        break;
    case WD_FIELD_INT:
        *(int64_t *)to = json_is_integer(v) ? json_integer_value(v) : (int64_t)num;
        break;
    case WD_FIELD_NUM:
        *(double *)to = num;
        break;
    case WD_FIELD_STR:
        *(wd_span *)to = wd_json_span(v);
        break;
    case WD_FIELD_ARR:
    case WD_FIELD_OBJ:
    case WD_FIELD_ANY:
        *(const json_t **)to = v;
        break;
    }
    return WD_OK;
}

wd_status wd_fields_read(const wd_field *f, size_t n, const json_t *o, const char *where, void *target,
                         wd_fault *fault)
{
    for (size_t i = 0; i < n; i++) {
        char param[120];
        snprintf(param, sizeof param, "%s%s", where, f[i].name);
        const json_t *v = json_object_get(o, f[i].name);
        if (v && !json_is_null(v))
            WD_TRY(read_one(&f[i], v, param, target, fault));
        else if (f[i].needed)
            return wd_fault_set(fault, 400, "missing", param, "%s is missing", param);
    }
    return WD_OK;
}

static void put_schema(const wd_field *f, wd_buf *out)
{
    static const char *const schema[] = { "boolean", "integer", "number", "string", "array", "object" };
    wd_buf_char(out, '{');
    if (f->type != WD_FIELD_ANY)
        wd_buf_printf(out, "\"type\":\"%s\",", schema[f->type]);
    if (f->min != 0 || f->max != 0)
        wd_buf_printf(out, "\"minimum\":%.17g,\"maximum\":%.17g,", f->min, f->max);
    wd_buf_str(out, "\"description\":");
    wd_buf_json(out, wd_span_str(f->help));
    wd_buf_char(out, '}');
}

void wd_fields_query(const wd_field *f, size_t n, wd_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        wd_buf_printf(out, "%s{\"name\":\"%s\",\"in\":\"query\",\"schema\":", i ? "," : "", f[i].name);
        put_schema(&f[i], out);
        wd_buf_char(out, '}');
    }
}

void wd_fields_schema(const wd_field *f, size_t n, wd_buf *out)
{
    wd_buf_str(out, "{\"type\":\"object\",\"properties\":{");
    for (size_t i = 0; i < n; i++) {
        wd_buf_printf(out, "%s\"%s\":", i ? "," : "", f[i].name);
        put_schema(&f[i], out);
    }
    wd_buf_str(out, "},\"required\":[");
    bool first = true;
    for (size_t i = 0; i < n; i++) {
        if (!f[i].needed)
            continue;
        wd_buf_printf(out, "%s\"%s\"", first ? "" : ",", f[i].name);
        first = false;
    }
    wd_buf_str(out, "]}");
}
