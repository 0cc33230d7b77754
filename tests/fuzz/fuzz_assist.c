/* The tools of "assist" on arbitrary arguments and arbitrary records. The first line holds the arguments, the rest a JSON
 * array of resources. Whatever comes: an object that can be printed, or a status; and nothing of another patient. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "care/assist_tools.h"
#include "text/jsontext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

/* Hostile records, that give whatever has the type. */
typedef struct hostile {
    json_t *resources;
    bool gave_foreign; /* a resource that is not Patient/p1's */
} hostile;

static wd_status find(void *self, const wd_records_query *q, json_t **out, wd_err *err)
{
    hostile *h = self;
    json_t *r;
    size_t i;
    (void)err;
    *out = json_array();
    json_array_foreach(h->resources, i, r)
    {
        const char *type = json_string_value(json_object_get(r, "resourceType"));
        const wd_span of = wd_span_str(wd_records_patient_of(r));
        if (!type || strcmp(type, q->type) != 0)
            continue;
        must(!json_array_append(*out, r));
        h->gave_foreign |= !wd_span_is(of, "Patient/p1") && !wd_span_ends(of, "/Patient/p1");
    }
    return WD_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const tools[] = { "get_observations", "get_medications", "get_allergies",
                                         "get_conditions",   "get_imaging",     "get_patient" };
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    const size_t n = end ? (size_t)(end - data) : size;
    wd_err err;
    json_t *resources = NULL;
    wd_arena *a = wd_arena_create((size_t)1 << 26, false);
    const char *args = a ? wd_arena_strndup(a, (const char *)data, n) : NULL;
    if (end && wd_json_parse(wd_span_of(end + 1, size - n - 1), "resources", &resources, &err))
        resources = NULL;
    hostile h = { .resources = resources };
    wd_records records = { .self = &h, .patient = "Patient/p1", .today = "2026-01-01", .find = find };
    for (size_t i = 0; args && i < WD_COUNT(tools); i++) {
        for (int lang = 0; lang < 2; lang++) {
            wd_tool_result r;
            h.gave_foreign = false;
            if (wd_assist_call(&records, (wd_lang)lang, tools[i], args, a, &r, &err))
                continue;
            wd_buf b = { 0 };
            must(json_is_object(r.value) && !wd_jsontext_value(r.value, "result", &b, &err));
            must(r.refused == (json_object_get(r.value, "error") != NULL));
            must(!r.refused || r.n_read == 0);
            must(!h.gave_foreign);
            json_decref(r.value);
            wd_buf_free(&b);
        }
    }
    json_decref(resources);
    wd_arena_destroy(a);
    return 0;
}
