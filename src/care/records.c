/* A patient's records from a chart file. */
#include "care/records.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"

#define CHART_BYTES_MAX ((size_t)64 << 20)

typedef struct chart {
    json_t *bundle;
    const char *patient;
} chart;

bool wd_is_date(const char *s)
{
    static const char form[] = "dddd-dd-dd";
    if (strlen(s) != sizeof form - 1)
        return false;
    for (size_t i = 0; form[i]; i++)
        if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
            return false;
    const int year = (s[0] - '0') * 1000 + (s[1] - '0') * 100 + (s[2] - '0') * 10 + s[3] - '0';
    const int month = (s[5] - '0') * 10 + s[6] - '0', day = (s[8] - '0') * 10 + s[9] - '0';
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    const bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (leap && month == 2);
}

static const char *text_at(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

const char *wd_records_patient_of(const json_t *resource)
{
    const json_t *subject = json_object_get(resource, "subject");
    return text_at(subject ? subject : json_object_get(resource, "patient"), "reference");
}

static bool is_type(const json_t *resource, const char *type)
{
    const char *t = text_at(resource, "resourceType");
    return t && !strcmp(t, type);
}

/* "Patient/7", "https://host/fhir/Patient/7" and "Patient/7/_history/2" all speak of Patient/7. */
static bool speaks_of(const char *reference, const char *patient)
{
    const char *at = reference ? strstr(reference, "Patient/") : NULL;
    const size_t n = strlen(patient);
    return at && (at == reference || at[-1] == '/') && !strncmp(at, patient, n) &&
           (at[n] == 0 || at[n] == '/');
}

static wd_status find(void *self, const wd_records_query *q, json_t **out, wd_err *err)
{
    const chart *c = self;
    json_t *list = json_array(), *entry;
    size_t i;
    *out = NULL;
    json_array_foreach(json_object_get(c->bundle, "entry"), i, entry)
    {
        json_t *r = json_object_get(entry, "resource");
        if (!is_type(r, q->type) || !speaks_of(wd_records_patient_of(r), c->patient))
            continue;
        if (json_array_append(list, r)) {
            json_decref(list);
            list = NULL;
            break;
        }
    }
    if (!list)
        return WD_FAIL(err, WD_E_NOMEM, "chart: no memory");
    *out = list;
    return WD_OK;
}

/* The id of the patient to bind. */
static wd_status choose_patient(const char *path, const json_t *bundle, const char *wanted, const char **id,
                                wd_err *err)
{
    json_t *entry;
    size_t i, n = 0;
    json_array_foreach(json_object_get(bundle, "entry"), i, entry)
    {
        const json_t *r = json_object_get(entry, "resource");
        const char *this_id = is_type(r, "Patient") ? text_at(r, "id") : NULL;
        if (!this_id || (wanted && strcmp(this_id, wanted) != 0))
            continue;
        *id = this_id;
        n++;
    }
    if (n == 1)
        return WD_OK;
    if (n > 1)
        return WD_FAIL(err, wanted ? WD_E_CORRUPT : WD_E_USAGE,
                       wanted ? "%s: %zu patients have the id that was asked for"
                              : "%s: holds %zu patients; name one by its id",
                       path, n);
    return wanted ? WD_FAIL(err, WD_E_NOT_FOUND, "%s: holds no patient with the id that was asked for", path)
                  : WD_FAIL(err, WD_E_INVALID, "%s: holds no Patient resource with an id", path);
}

static wd_status choose_today(const char *path, const json_t *bundle, const char *wanted, char out[11],
                              wd_err *err)
{
    char now[21];
    const char *stamp = text_at(bundle, "timestamp");
    wd_clock_iso8601(now);
    snprintf(out, 11, "%.10s", wanted ? wanted : stamp ? stamp : now);
    if ((wanted && strlen(wanted) != 10) || !wd_is_date(out))
        return WD_FAIL(err, WD_E_INVALID, "%s: %s is no date, expected YYYY-MM-DD", path,
                       wanted ? "today" : "the bundle's timestamp");
    return WD_OK;
}

static wd_status check_entries(const char *path, const json_t *bundle, wd_err *err)
{
    const json_t *list = json_object_get(bundle, "entry");
    json_t *entry;
    size_t i;
    if (!is_type(bundle, "Bundle") || !json_is_array(list))
        return WD_FAIL(err, WD_E_INVALID, "%s: expected a FHIR Bundle with an array \"entry\"", path);
    json_array_foreach(list, i, entry)
    {
        if (!text_at(json_object_get(entry, "resource"), "resourceType"))
            return WD_FAIL(err, WD_E_INVALID, "%s: entry %zu holds no resource", path, i + 1);
    }
    return WD_OK;
}

static void close_chart(void *arg)
{
    json_decref(arg);
}

wd_status wd_records_open_chart(const char *path, const wd_chart_opts *o, wd_arena *a, wd_records *out,
                                wd_err *err)
{
    chart *c = WD_NEW(a, chart);
    const char *id = NULL;
    char today[11];
    if (!c)
        return WD_FAIL(err, WD_E_NOMEM, "chart: no memory");
    WD_TRY(wd_json_read_file(path, CHART_BYTES_MAX, &c->bundle, err));
    if (wd_arena_defer(a, close_chart, c->bundle))
        return WD_FAIL(err, WD_E_NOMEM, "chart: no memory");
    WD_TRY(check_entries(path, c->bundle, err));
    WD_TRY(choose_patient(path, c->bundle, o ? o->patient : NULL, &id, err));
    WD_TRY(choose_today(path, c->bundle, o ? o->today : NULL, today, err));
    c->patient = wd_arena_printf(a, "Patient/%s", id);
    const char *kept = wd_arena_strndup(a, today, 10);
    if (!c->patient || !kept)
        return WD_FAIL(err, WD_E_NOMEM, "chart: no memory");
    *out = (wd_records){ .self = c, .patient = c->patient, .today = kept, .find = find };
    return WD_OK;
}
