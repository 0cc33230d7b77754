/* A synthetic patient's chart, drawn from a seed: a FHIR R4 Bundle, and questions about it with the tool calls and answers
 * they need. Distribution and layout: docs/cases.md. It stands for nobody: identifiers say SYNTHETIC, and the bundle carries
 * FHIR's tag for test data. */
#ifndef WD_CARE_PHANTOM_CHART_H
#define WD_CARE_PHANTOM_CHART_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

#define WD_CHART_QUESTIONS 4 /* of a chart, each of another kind */

/* Both are owned by the caller; the same seed gives the same values. NULL on failure. */
WD_MUST_CHECK wd_status wd_phantom_chart_make(uint64_t seed, json_t **chart, json_t **truth, wd_err *err);

/* Writes dir/chart.json and dir/truth.json (dir is created). The same seed gives the same bytes. */
WD_MUST_CHECK wd_status wd_phantom_chart_write(const char *dir, uint64_t seed, wd_err *err);

#endif
