/* The tools of the story "assist": what a model may look up in one patient's records, and what does it.
 *
 * The patient is bound by the records and is no argument. Every resource that the records give is checked to be that
 * patient's. What a model may not or cannot ask is answered with one sentence for it to read, not with a failure.
 */
#ifndef WD_CARE_ASSIST_TOOLS_H
#define WD_CARE_ASSIST_TOOLS_H

#include "care/records.h"
#include "care/terms.h"

#define WD_ASSIST_ROWS_MAX 20  /* most that `last` may ask for */
#define WD_ASSIST_ROWS_USUAL 5 /* without `last` */

/* The definitions, as an array in the form of OpenAI's "tools"; owned by the caller. NULL: no memory. */
json_t *wd_assist_tools(void);

typedef struct wd_tool_result {
    json_t *value; /* what the model reads; owned by the caller. {"error": "..."} when refused */
    bool refused;
    const char **read; /* [n_read] "Observation/12": what the rows were taken from; in the arena */
    size_t n_read;
} wd_tool_result;

/* Does one call. name and args (JSON text) are the model's and may be anything. Times run from old to new.
 *
 *   get_observations  {"name", "last"?, "since"?}  -> {"name", "unit"?, "range"?, "trend"?, "since"?, "total", "rows": [
 *                      {"date", "value", "flag"?, "unit"?, "range"?}]}: the last rows; unit and range are said once, and in a row
 *                      where it differs. trend "rising", "falling", "stable" or "mixed" of two or more numbers
 *   get_medications   {"name"?, "status"?}         -> {"total", "rows": [{"name", "dose", "ordered", "status"}]}
 *   get_allergies     {}                           -> {"total", "rows": [{"substance", "reaction", "criticality"}]}
 *   get_conditions    {"status"}                   -> {"total", "rows": [{"name", "since", "status"}]}
 *   get_imaging       {"modality"?, "last"?}       -> {"modality"?, "total", "rows": [{"date", "study", "conclusion"}]}
 *
 * total counts what matches; rows are the last of them, 5 if not said otherwise (imaging: 3), 20 where nothing can be said.
 * What a resource does not say is left out of its row.
 *
 *   WD_E_CORRUPT   the records gave another patient's resource: nothing of it is handed on
 *   WD_E_NOMEM     or what the records fail with */
WD_MUST_CHECK wd_status wd_assist_call(const wd_records *r, wd_lang lang, const char *name, const char *args,
                                       wd_arena *a, wd_tool_result *out, wd_err *err);

#endif
