/* The fields of request bodies. One table is name, type, limits and documentation (/api/openapi.json) at once; what the
 * table does not name is ignored, as the OpenAI API does. */
#ifndef WD_SERVE_FIELD_H
#define WD_SERVE_FIELD_H

#include <jansson.h>

#include "serve/fault.h"

typedef enum wd_field_type {
    WD_FIELD_BOOL, /* bool */
    WD_FIELD_INT,  /* int64_t, min..max */
    WD_FIELD_NUM,  /* double, min..max */
    WD_FIELD_STR,  /* wd_span, into the document */
    WD_FIELD_ARR,  /* const json_t *, borrowed */
    WD_FIELD_OBJ,  /* the same */
    WD_FIELD_ANY   /* the same: more than one type, checked by the route */
} wd_field_type;

typedef struct wd_field {
    const char *name;
    wd_field_type type;
    size_t offset;
    bool needed;
    double min, max; /* of INT and NUM; both 0: no limits */
    const char *help;
} wd_field;

/* Members that are there and not null go to *target; the others leave it as it is. `where` stands before the names in
 * faults: "" or "stream_options.". */
WD_MUST_CHECK wd_status wd_fields_read(const wd_field *f, size_t n, const json_t *o, const char *where,
                                       void *target, wd_fault *fault);

/* "a string", "an array", ...: for faults of routes. */
const char *wd_json_kind(const json_t *v);

static inline wd_span wd_json_span(const json_t *v)
{
    return wd_span_of(json_string_value(v), json_string_length(v));
}

/* The table as OpenAPI's parameters of a URL, with commas between. */
void wd_fields_query(const wd_field *f, size_t n, wd_buf *out);
/* The table as a JSON Schema object. */
void wd_fields_schema(const wd_field *f, size_t n, wd_buf *out);

#endif
