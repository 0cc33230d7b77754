/* One patient's records, wherever they are: a chart file here, a hospital's FHIR server later.
 *
 * The patient is bound when the records are opened. Nothing that is asked of them can name another one, and what they
 * give is checked to speak of that patient (care/assist_tools.h).
 */
#ifndef WD_CARE_RECORDS_H
#define WD_CARE_RECORDS_H

#include <jansson.h>

#include "base/arena.h"
#include "base/buf.h"

typedef struct wd_records_query {
    const char *type;  /* FHIR resource type: "Observation" */
    const char *since; /* "YYYY-MM-DD": resources before it may be left out; NULL: all */
} wd_records_query;

typedef struct wd_records {
    void *self;
    const char *patient; /* "Patient/ID" */
    const char *today;   /* "YYYY-MM-DD", what "today" means for these records */
    /* *out: an array of FHIR R4 resources of the type, all of the patient's, in any order; owned by the caller. */
    wd_status (*find)(void *self, const wd_records_query *q, json_t **out, wd_err *err);
} wd_records;

typedef struct wd_chart_opts {
    const char *patient; /* id, when the chart holds several patients; NULL: the only one */
    const char *today;   /* NULL: the day of the bundle's timestamp; without one, the system's */
} wd_chart_opts;

/* Opens a FHIR R4 Bundle in a JSON file. Everything lives in the arena.
 *
 *   WD_E_CORRUPT, _INVALID   no JSON, no bundle of resources, no patient, today is no date
 *   WD_E_NOT_FOUND           the patient asked for is not in it
 *   WD_E_USAGE               several patients and none was named */
WD_MUST_CHECK wd_status wd_records_open_chart(const char *path, const wd_chart_opts *o, wd_arena *a,
                                              wd_records *out, wd_err *err);

/* Ten bytes "YYYY-MM-DD" with a month and a day that exist. */
bool wd_is_date(const char *s);
/* What a resource says of whom it is: the reference in "subject" or "patient"; NULL: nothing. */
const char *wd_records_patient_of(const json_t *resource);

#endif
