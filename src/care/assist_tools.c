/* The tools of the story "assist".
 *
 * One table says each tool's name, parameters and function: the definitions that a model reads and the check of what it
 * asks both come from it. A tool function fetches resources, keeps those that match, sorts them by date and makes a row
 * of each of the last.
 */
#include "care/assist_tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/json.h"
#include "base/utf8.h"
#include "text/jsontext.h"

#define TEXT_MAX 80    /* bytes of a text argument */
#define ARGS_MAX 4096  /* bytes of all arguments */
#define FIELD_MAX 2000 /* bytes of one text from a record: a conclusion may be long */
#define IMAGING_ROWS_USUAL 3
#define PARAMS_MAX 4
#define CHOICES_MAX 6

typedef struct call {
    const wd_records *records;
    wd_lang lang;
    const json_t *args; /* checked */
    wd_arena *arena;
    wd_tool_result *out;
    wd_err *err;
} call;

/* A resource that matches, with the date that sorts it ("" when it has none). */
typedef struct item {
    const json_t *resource;
    const char *date;
    size_t i; /* place in the records: keeps equal dates in order */
} item;

typedef struct items {
    json_t *owner;
    item *v; /* [n] */
    size_t n;
} items;

/* --- reading FHIR ------------------------------------------------------------------------------------------------ */

static const char *text_at(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static const json_t *first(const json_t *o, const char *key)
{
    return json_array_get(json_object_get(o, key), 0);
}

/* The text of o[key] in another language: FHIR's translation extension on the primitive's sibling "_key". */
static const char *translation(const json_t *o, const char *key, const char *lang)
{
    char sibling[32];
    json_t *ext, *part;
    size_t i, k;
    snprintf(sibling, sizeof sibling, "_%s", key);
    json_array_foreach(json_object_get(json_object_get(o, sibling), "extension"), i, ext)
    {
        const char *url = text_at(ext, "url"), *code = NULL, *content = NULL;
        if (!url || strcmp(url, "http://hl7.org/fhir/StructureDefinition/translation") != 0)
            continue;
        json_array_foreach(json_object_get(ext, "extension"), k, part)
        {
            const char *what = text_at(part, "url");
            if (what && !strcmp(what, "lang"))
                code = text_at(part, "valueCode");
            else if (what && !strcmp(what, "content"))
                content = text_at(part, "valueString");
        }
        if (code && content && !strncmp(code, lang, 2) && (!code[2] || code[2] == '-'))
            return content;
    }
    return NULL;
}

static const char *lang_code(wd_lang lang)
{
    return lang == WD_LANG_ZH ? "zh" : "en";
}

/* o[key] in the call's language if the record has it so, else as it stands. */
static const char *said(const call *c, const json_t *o, const char *key)
{
    const char *t = translation(o, key, lang_code(c->lang));
    return t ? t : text_at(o, key);
}

static const char *code_of(const json_t *concept, const char *system)
{
    json_t *coding;
    size_t i;
    json_array_foreach(json_object_get(concept, "coding"), i, coding)
    {
        const char *s = text_at(coding, "system");
        if (!system || (s && !strcmp(s, system)))
            return text_at(coding, "code");
    }
    return NULL;
}

/* A CodeableConcept in words: its text, else a coding's display, else its code. */
static const char *words(const call *c, const json_t *concept)
{
    const char *t = said(c, concept, "text");
    const json_t *coding = first(concept, "coding");
    if (!t)
        t = said(c, coding, "display");
    return t ? t : text_at(coding, "code");
}

static bool contains(const char *text, const char *name)
{
    const size_t n = strlen(name);
    for (; text && *text; text++)
        if (!strncasecmp(text, name, n))
            return true;
    return false;
}

/* Does a concept go by this name: its text, translations, codes? loose: also as a part of the text, as in
 * "metformin 500 mg tablet". */
static bool is_called(const json_t *concept, const char *name, bool loose)
{
    const char *texts[] = { text_at(concept, "text"), translation(concept, "text", "en"),
                            translation(concept, "text", "zh") };
    json_t *coding;
    size_t i;
    for (i = 0; i < WD_COUNT(texts); i++)
        if (texts[i] && (loose ? contains(texts[i], name) : !strcasecmp(texts[i], name)))
            return true;
    json_array_foreach(json_object_get(concept, "coding"), i, coding)
    {
        const char *code = text_at(coding, "code"), *display = text_at(coding, "display");
        if ((code && !strcasecmp(code, name)) ||
            (display && (loose ? contains(display, name) : !strcasecmp(display, name))))
            return true;
    }
    return false;
}

/* A date or time in the words of the record: at most its day. */
static const char *day_of(const char *s)
{
    return s ? s : "";
}

/* --- rows -------------------------------------------------------------------------------------------------------- */

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "tools: no memory");
}

/* row[key] = the text, if there is one. */
static void put_text(json_t *row, const char *key, const char *s)
{
    if (s && *s) {
        wd_span t = wd_span_str(s);
        t = wd_span_sub(t, 0, FIELD_MAX);
        t.n -= t.n == FIELD_MAX ? wd_utf8_partial(t) : 0;
        json_object_set_new(row, key, json_stringn((const char *)t.p, t.n));
    }
}

static void put_day(json_t *row, const char *key, const char *s)
{
    if (s && *s)
        json_object_set_new(row, key, json_stringn(s, WD_MIN(strlen(s), (size_t)10)));
}

static wd_status note_read(call *c, const json_t *resource)
{
    const char *type = text_at(resource, "resourceType"), *id = text_at(resource, "id");
    const char *name = wd_arena_printf(c->arena, "%s/%s", type ? type : "?", id ? id : "?");
    if (!name)
        return no_memory(c->err);
    c->out->read[c->out->n_read++] = name;
    return WD_OK;
}

/* Refuses the call with a sentence for the model. */
static wd_status refuse(call *c, const char *sentence)
{
    json_decref(c->out->value);
    c->out->value = json_pack("{s:s}", "error", sentence);
    c->out->refused = true;
    return c->out->value ? WD_OK : no_memory(c->err);
}

static int by_date(const void *a, const void *b)
{
    const item *x = a, *y = b;
    const int order = strcmp(x->date, y->date);
    return order ? order : x->i < y->i ? -1 : 1;
}

static const char *date_of(const json_t *r)
{
    static const char *const keys[] = { "effectiveDateTime", "effectiveInstant", "authoredOn",
                                        "started",           "onsetDateTime",    "recordedDate" };
    for (size_t i = 0; i < WD_COUNT(keys); i++)
        if (text_at(r, keys[i]))
            return text_at(r, keys[i]);
    return day_of(text_at(json_object_get(r, "effectivePeriod"), "start"));
}

/* The resources of a type that match, oldest first. All are checked to be the patient's. */
static wd_status fetch(call *c, const char *type, const char *since,
                       bool (*matches)(const call *c, const json_t *r), items *out)
{
    const wd_records_query q = { type, since };
    json_t *r;
    size_t i;
    *out = (items){ 0 };
    WD_TRY(c->records->find(c->records->self, &q, &out->owner, c->err));
    out->v = WD_NEW_N(c->arena, item, json_array_size(out->owner) + 1);
    if (!out->v)
        return no_memory(c->err);
    json_array_foreach(out->owner, i, r)
    {
        const char *of = wd_records_patient_of(r), *is = text_at(r, "resourceType");
        const size_t n = of ? strlen(of) : 0, n_patient = strlen(c->records->patient);
        const bool theirs = n >= n_patient && !strcmp(of + n - n_patient, c->records->patient) &&
                            (n == n_patient || of[n - n_patient - 1] == '/');
        if (!theirs || !is || strcmp(is, type) != 0)
            return WD_FAIL(c->err, WD_E_CORRUPT, "records: a resource that is not the bound patient's %s",
                           type);
        const char *status = text_at(r, "status");
        const char *sure = code_of(json_object_get(r, "verificationStatus"), NULL);
        if ((status && !strcmp(status, "entered-in-error")) || (sure && !strcmp(sure, "entered-in-error")) ||
            (sure && !strcmp(sure, "refuted")) || (status && !strcmp(status, "cancelled")))
            continue;
        if (!matches || matches(c, r))
            out->v[out->n++] = (item){ r, date_of(r), i };
    }
    qsort(out->v, out->n, sizeof *out->v, by_date);
    return WD_OK;
}

/* The first of the last `last` items. */
static size_t first_shown(const call *c, const items *l, size_t usual)
{
    const json_t *last = json_object_get(c->args, "last");
    const size_t n = last ? (size_t)json_integer_value(last) : usual;
    return l->n > n ? l->n - n : 0;
}

/* Fills "rows" (and "total" before them) with what `make` makes of the items from `from` on. */
static wd_status put_rows(call *c, const items *l, size_t from,
                          wd_status (*make)(call *c, const json_t *r, json_t *row))
{
    json_t *rows = json_array();
    c->out->read = WD_NEW_N(c->arena, const char *, 2 * (l->n - from) + 1); /* a row reads two at most */
    if (!rows || !c->out->read ||
        json_object_set_new(c->out->value, "total", json_integer((json_int_t)l->n)) ||
        json_object_set(c->out->value, "rows", rows)) {
        json_decref(rows);
        return no_memory(c->err);
    }
    json_decref(rows); /* the value keeps it */
    for (size_t i = from; i < l->n; i++) {
        json_t *row = json_object();
        if (!row || json_array_append_new(rows, row))
            return no_memory(c->err);
        WD_TRY(make(c, l->v[i].resource, row));
        WD_TRY(note_read(c, l->v[i].resource));
    }
    return WD_OK;
}

/* --- observations -------------------------------------------------------------------------------------------------- */

#define LOINC "http://loinc.org"

static bool is_observation(const call *c, const json_t *r)
{
    const char *name = text_at(c->args, "name"), *since = text_at(c->args, "since"), *date = date_of(r);
    const json_t *code = json_object_get(r, "code");
    const wd_term *term = wd_term_find(name);
    const char *loinc = code_of(code, LOINC);
    if (since && strncmp(date, since, 10) < 0)
        return false;
    return (term && loinc && !strcmp(term->loinc, loinc)) || is_called(code, name, false);
}

/* A FHIR decimal as it was written: 4.8, 140. */
static const char *number_text(const call *c, const json_t *v)
{
    wd_buf b = { 0 };
    if (json_is_integer(v))
        wd_buf_printf(&b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
    else if (json_is_real(v))
        wd_jsontext_float(json_real_value(v), &b);
    const char *s = b.n ? wd_arena_strndup(c->arena, (const char *)b.p, b.n) : NULL;
    wd_buf_free(&b);
    return s;
}

static const json_t *quantity_of(const json_t *r)
{
    const json_t *q = json_object_get(r, "valueQuantity");
    return q ? q : json_object_get(first(r, "component"), "valueQuantity");
}

static const char *unit_of(const json_t *r)
{
    const char *unit = text_at(quantity_of(r), "unit");
    return unit ? unit : "";
}

/* A limit of the reference range; NULL: open. */
static const json_t *limit_of(const json_t *r, const char *side)
{
    const json_t *v = json_object_get(json_object_get(first(r, "referenceRange"), side), "value");
    return json_is_number(v) ? v : NULL;
}

/* "3.5-5.3", "<=10", ">=94", or "". */
static const char *range_of(const call *c, const json_t *r)
{
    const json_t *low = limit_of(r, "low"), *high = limit_of(r, "high");
    const char *from = low ? number_text(c, low) : NULL, *to = high ? number_text(c, high) : NULL;
    const char *s = text_at(first(r, "referenceRange"), "text");
    if (from && to)
        s = wd_arena_printf(c->arena, "%s-%s", from, to);
    else if (from || to)
        s = wd_arena_printf(c->arena, "%s%s", from ? ">=" : "<=", from ? from : to);
    return s ? s : "";
}

/* "high", "low", "normal" or "abnormal": what the laboratory said, else the place in its own range; NULL: unknown. */
static const char *flag_of(const json_t *r)
{
    const char *code = code_of(first(r, "interpretation"), NULL);
    if (code && *code && strchr("HLNA", *code))
        return *code == 'H' ? "high" : *code == 'L' ? "low" : *code == 'N' ? "normal" : "abnormal";
    const json_t *value = json_object_get(json_object_get(r, "valueQuantity"), "value");
    const json_t *low = limit_of(r, "low"), *high = limit_of(r, "high");
    if (!json_is_number(value) || (!low && !high))
        return NULL;
    const double v = json_number_value(value);
    return high && v > json_number_value(high) ? "high"
           : low && v < json_number_value(low) ? "low"
                                               : "normal";
}

/* One value, or the values of the components joined by "/": 142/88. */
static json_t *value_of(const call *c, const json_t *r)
{
    json_t *v = json_object_get(json_object_get(r, "valueQuantity"), "value"), *part;
    const char *text = text_at(r, "valueString");
    size_t i;
    if (json_is_number(v))
        return json_incref(v);
    if (!text && json_object_get(r, "valueCodeableConcept"))
        text = words(c, json_object_get(r, "valueCodeableConcept"));
    json_array_foreach(json_object_get(r, "component"), i, part)
    {
        const char *n = number_text(c, json_object_get(json_object_get(part, "valueQuantity"), "value"));
        if (n)
            text = i ? wd_arena_printf(c->arena, "%s/%s", text ? text : "", n) : n;
    }
    return text ? json_string(text) : NULL;
}

static wd_status observation_row(call *c, const json_t *r, json_t *row)
{
    const char *unit = text_at(c->out->value, "unit"), *range = text_at(c->out->value, "range");
    const char *own_unit = unit_of(r), *own_range = range_of(c, r), *flag = flag_of(r);
    json_t *value = value_of(c, r);
    put_day(row, "date", date_of(r));
    if (value)
        json_object_set_new(row, "value", value);
    if (strcmp(own_unit, unit ? unit : "") != 0)
        json_object_set_new(row, "unit", json_string(own_unit));
    if (strcmp(own_range, range ? range : "") != 0)
        json_object_set_new(row, "range", json_string(own_range));
    put_text(row, "flag", flag);
    return WD_OK;
}

/* Of all rows' values from old to new; NULL when they are fewer than two or no numbers of one unit. */
static const char *trend_of(const items *l, size_t from)
{
    bool up = false, down = false;
    for (size_t i = from; i < l->n; i++) {
        const json_t *v = json_object_get(json_object_get(l->v[i].resource, "valueQuantity"), "value");
        if (!json_is_number(v) || strcmp(unit_of(l->v[i].resource), unit_of(l->v[from].resource)) != 0)
            return NULL;
        const json_t *q = i > from ? json_object_get(l->v[i - 1].resource, "valueQuantity") : NULL;
        const double before = q ? json_number_value(json_object_get(q, "value")) : json_number_value(v);
        up |= json_number_value(v) > before;
        down |= json_number_value(v) < before;
    }
    if (l->n - from < 2)
        return NULL;
    return up && down ? "mixed" : up ? "rising" : down ? "falling" : "stable";
}

static wd_status get_observations(call *c)
{
    items l;
    const char *name = text_at(c->args, "name"), *since = text_at(c->args, "since");
    const wd_term *term = wd_term_find(name);
    wd_status st = fetch(c, "Observation", since, is_observation, &l);
    if (!st) {
        json_t *v = c->out->value;
        const size_t from = first_shown(c, &l, WD_ASSIST_ROWS_USUAL);
        const json_t *newest = l.n ? l.v[l.n - 1].resource : NULL;
        const char *own = newest ? words(c, json_object_get(newest, "code")) : NULL;
        put_text(v, "name", term ? term->name[c->lang] : own ? own : name);
        put_text(v, "unit", newest ? unit_of(newest) : NULL);
        put_text(v, "range", newest ? range_of(c, newest) : NULL);
        put_text(v, "trend", trend_of(&l, from));
        put_text(v, "since", since);
        st = put_rows(c, &l, from, observation_row);
    }
    json_decref(l.owner);
    return st;
}

/* --- medications, allergies, conditions ------------------------------------------------------------------------------ */

static bool has_status(const call *c, const char *status)
{
    const char *wanted = text_at(c->args, "status");
    if (!wanted || !strcmp(wanted, "all"))
        return true;
    const bool active = status && (!strcmp(status, "active") || !strcmp(status, "recurrence") ||
                                   !strcmp(status, "relapse"));
    return !strcmp(wanted, "active") == active;
}

static bool is_medication(const call *c, const json_t *r)
{
    const char *name = text_at(c->args, "name");
    return has_status(c, text_at(r, "status")) &&
           (!name || is_called(json_object_get(r, "medicationCodeableConcept"), name, true));
}

/* The dosage in words: the record's own, else from its parts. */
static const char *dose_of(const call *c, const json_t *r)
{
    const json_t *d = first(r, "dosageInstruction");
    const char *text = said(c, d, "text");
    const json_t *q = json_object_get(first(d, "doseAndRate"), "doseQuantity");
    const json_t *repeat = json_object_get(json_object_get(d, "timing"), "repeat");
    const char *amount = number_text(c, json_object_get(q, "value")), *unit = text_at(q, "unit");
    const char *frequency = number_text(c, json_object_get(repeat, "frequency"));
    const char *period = number_text(c, json_object_get(repeat, "period"));
    const char *period_unit = text_at(repeat, "periodUnit");
    if (text || !amount)
        return text;
    if (!frequency || !period || !period_unit)
        return wd_arena_printf(c->arena, "%s %s", amount, unit ? unit : "");
    return wd_arena_printf(c->arena, "%s %s, %s/%s %s", amount, unit ? unit : "", frequency, period,
                           period_unit);
}

static wd_status medication_row(call *c, const json_t *r, json_t *row)
{
    put_text(row, "name", words(c, json_object_get(r, "medicationCodeableConcept")));
    put_text(row, "dose", dose_of(c, r));
    put_day(row, "ordered", text_at(r, "authoredOn"));
    put_text(row, "status", text_at(r, "status"));
    return WD_OK;
}

static wd_status allergy_row(call *c, const json_t *r, json_t *row)
{
    put_text(row, "substance", words(c, json_object_get(r, "code")));
    put_text(row, "reaction", words(c, first(first(r, "reaction"), "manifestation")));
    put_text(row, "criticality", text_at(r, "criticality"));
    return WD_OK;
}

static const char *clinical_status(const json_t *r)
{
    return code_of(json_object_get(r, "clinicalStatus"), NULL);
}

static bool is_condition(const call *c, const json_t *r)
{
    return has_status(c, clinical_status(r));
}

static bool is_allergy(const call *c, const json_t *r)
{
    const char *status = clinical_status(r);
    (void)c;
    return !status || !strcmp(status, "active");
}

static wd_status condition_row(call *c, const json_t *r, json_t *row)
{
    put_text(row, "name", words(c, json_object_get(r, "code")));
    put_day(row, "since", text_at(r, "onsetDateTime"));
    put_text(row, "status", clinical_status(r));
    return WD_OK;
}

/* All that match, up to the limit. */
static wd_status get_all(call *c, const char *type, bool (*matches)(const call *c, const json_t *r),
                         wd_status (*make)(call *c, const json_t *r, json_t *row))
{
    items l;
    wd_status st = fetch(c, type, NULL, matches, &l);
    if (!st)
        st = put_rows(c, &l, first_shown(c, &l, WD_ASSIST_ROWS_MAX), make);
    json_decref(l.owner);
    return st;
}

static wd_status get_medications(call *c)
{
    return get_all(c, "MedicationRequest", is_medication, medication_row);
}

static wd_status get_allergies(call *c)
{
    return get_all(c, "AllergyIntolerance", is_allergy, allergy_row);
}

static wd_status get_conditions(call *c)
{
    return get_all(c, "Condition", is_condition, condition_row);
}

/* --- imaging --------------------------------------------------------------------------------------------------------- */

typedef struct modality {
    const char *code, *other; /* the argument; another DICOM code of the same kind */
    const char *name[2];
} modality;

static const modality modalities[] = {
    { "CT", NULL, { "CT", "CT" } },
    { "MR", NULL, { "MRI", "磁共振" } },
    { "DX", "CR", { "X-ray", "X线" } },
    { "US", NULL, { "ultrasound", "超声" } },
};

static const modality *find_modality(const char *code)
{
    for (size_t i = 0; code && i < WD_COUNT(modalities); i++)
        if (!strcmp(code, modalities[i].code))
            return &modalities[i];
    return NULL;
}

static bool is_study(const call *c, const json_t *r)
{
    const modality *m = find_modality(text_at(c->args, "modality"));
    json_t *coding;
    size_t i;
    if (!m)
        return true;
    json_array_foreach(json_object_get(r, "modality"), i, coding)
    {
        const char *code = text_at(coding, "code");
        if (code && (!strcmp(code, m->code) || (m->other && !strcmp(code, m->other))))
            return true;
    }
    return false;
}

/* The report that speaks of a study; NULL: none. */
static const json_t *report_of(const items *reports, const json_t *study)
{
    const char *id = text_at(study, "id");
    json_t *ref;
    size_t k;
    for (size_t i = reports->n; id && i-- > 0;) {
        json_array_foreach(json_object_get(reports->v[i].resource, "imagingStudy"), k, ref)
        {
            const char *to = text_at(ref, "reference"), *at = to ? strstr(to, "ImagingStudy/") : NULL;
            if (at && !strcmp(at + strlen("ImagingStudy/"), id))
                return reports->v[i].resource;
        }
    }
    return NULL;
}

static wd_status study_row(call *c, const json_t *r, json_t *row)
{
    const char *what = words(c, first(r, "procedureCode"));
    put_day(row, "date", text_at(r, "started"));
    put_text(row, "study", what ? what : said(c, r, "description"));
    return WD_OK;
}

static wd_status get_imaging(call *c)
{
    items l, reports = { 0 };
    const modality *m = find_modality(text_at(c->args, "modality"));
    wd_status st = fetch(c, "ImagingStudy", NULL, is_study, &l);
    if (!st)
        st = fetch(c, "DiagnosticReport", NULL, NULL, &reports);
    const size_t from = st ? 0 : first_shown(c, &l, IMAGING_ROWS_USUAL);
    if (!st) {
        put_text(c->out->value, "modality", m ? m->name[c->lang] : NULL);
        st = put_rows(c, &l, from, study_row);
    }
    for (size_t i = from; !st && i < l.n; i++) {
        const json_t *report = report_of(&reports, l.v[i].resource);
        json_t *row = json_array_get(json_object_get(c->out->value, "rows"), i - from);
        if (report) {
            put_text(row, "conclusion", said(c, report, "conclusion"));
            st = note_read(c, report);
        }
    }
    json_decref(reports.owner);
    json_decref(l.owner);
    return st;
}

/* --- the table -------------------------------------------------------------------------------------------------------- */

typedef enum param_kind { TEXT, COUNT, DATE, CHOICE } param_kind;

typedef struct param {
    const char *name;
    param_kind kind;
    bool required;
    const char *choice[CHOICES_MAX];
    const char *help;
} param;

typedef struct tool {
    const char *name, *help;
    param param[PARAMS_MAX];
    wd_status (*run)(call *c);
} tool;

static const tool tools[] = {
    { "get_observations",
      "Laboratory values and vital signs",
      { { "name", TEXT, true, { NULL }, "English name, e.g. potassium, white cells" },
        { "last", COUNT, false, { NULL }, NULL },
        { "since", DATE, false, { NULL }, "YYYY-MM-DD" } },
      get_observations },
    { "get_medications",
      "Prescriptions",
      { { "name", TEXT, false, { NULL }, "English" },
        { "status", CHOICE, false, { "active", "stopped" }, NULL } },
      get_medications },
    { "get_allergies", "Allergies", { { NULL, TEXT, false, { NULL }, NULL } }, get_allergies },
    { "get_conditions",
      "Diagnoses",
      { { "status", CHOICE, true, { "active", "resolved", "all" }, NULL } },
      get_conditions },
    { "get_imaging",
      "Imaging studies",
      { { "modality", CHOICE, false, { "CT", "MR", "DX", "US" }, NULL },
        { "last", COUNT, false, { NULL }, NULL } },
      get_imaging },
};

static json_t *param_schema(const param *p)
{
    json_t *v = json_pack("{s:s}", "type", p->kind == COUNT ? "integer" : "string");
    if (p->choice[0]) {
        json_t *list = json_array();
        for (size_t i = 0; i < CHOICES_MAX && p->choice[i]; i++)
            json_array_append_new(list, json_string(p->choice[i]));
        json_object_set_new(v, "enum", list);
    }
    if (p->help)
        json_object_set_new(v, "description", json_string(p->help));
    return v;
}

static json_t *tool_schema(const tool *t)
{
    json_t *properties = json_object(), *required = json_array();
    for (size_t i = 0; i < PARAMS_MAX && t->param[i].name; i++) {
        json_object_set_new(properties, t->param[i].name, param_schema(&t->param[i]));
        if (t->param[i].required)
            json_array_append_new(required, json_string(t->param[i].name));
    }
    json_t *parameters = json_pack("{s:s, s:o}", "type", "object", "properties", properties);
    if (json_array_size(required))
        json_object_set(parameters, "required", required);
    json_decref(required);
    return json_pack("{s:s, s:{s:s, s:s, s:o}}", "type", "function", "function", "name", t->name,
                     "description", t->help, "parameters", parameters);
}

json_t *wd_assist_tools(void)
{
    json_t *list = json_array();
    for (size_t i = 0; i < WD_COUNT(tools); i++) {
        if (json_array_append_new(list, tool_schema(&tools[i]))) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* --- the check of what a model asks ------------------------------------------------------------------------------------ */

/* Why the value is not one of the parameter; NULL: it is. */
static const char *why_not(wd_arena *a, const tool *t, const param *p, const json_t *v)
{
    const char *s = json_string_value(v);
    switch (p->kind) {
    case COUNT:
        if (json_is_integer(v) && json_integer_value(v) >= 1 && json_integer_value(v) <= WD_ASSIST_ROWS_MAX)
            return NULL;
        return wd_arena_printf(a, "%s: %s must be an integer from 1 to %d.", t->name, p->name,
                               WD_ASSIST_ROWS_MAX);
    case DATE:
        return s && wd_is_date(s) ? NULL
                                  : wd_arena_printf(a, "%s: %s must be a date YYYY-MM-DD.", t->name, p->name);
    case TEXT:
        if (s && *s && json_string_length(v) <= TEXT_MAX && strlen(s) == json_string_length(v))
            return NULL;
        return wd_arena_printf(a, "%s: %s must be a text of 1 to %d bytes.", t->name, p->name, TEXT_MAX);
    case CHOICE:
        break;
    }
    wd_buf b = { 0 };
    for (size_t i = 0; i < CHOICES_MAX && p->choice[i]; i++) {
        if (s && !strcmp(s, p->choice[i]))
            return wd_buf_free(&b), NULL;
        wd_buf_printf(&b, "%s%s", i ? ", " : "", p->choice[i]);
    }
    const char *sentence = wd_arena_printf(a, "%s: %s must be one of %s.", t->name, p->name,
                                           b.failed ? "its choices" : (const char *)b.p);
    wd_buf_free(&b);
    return sentence;
}

static const param *find_param(const tool *t, const char *name)
{
    for (size_t i = 0; i < PARAMS_MAX && t->param[i].name; i++)
        if (!strcmp(t->param[i].name, name))
            return &t->param[i];
    return NULL;
}

/* The sentence for an argument that the tool does not have. */
static const char *takes(wd_arena *a, const tool *t)
{
    const char *list = "";
    for (size_t i = 0; list && i < PARAMS_MAX && t->param[i].name; i++)
        list = wd_arena_printf(a, "%s%s%s", list, i ? ", " : "", t->param[i].name);
    if (list && !*list)
        return wd_arena_printf(a, "%s takes no arguments.", t->name);
    return list ? wd_arena_printf(a, "%s takes only %s.", t->name, list) : NULL;
}

/* *why: the sentence when the arguments are not the tool's. */
static wd_status check_args(wd_arena *a, const tool *t, json_t *args, const char **why, wd_err *err)
{
    const char *key;
    json_t *v;
    *why = NULL;
    if (!json_is_object(args)) {
        *why = wd_arena_printf(a, "%s: the arguments must be a JSON object.", t->name);
        return *why ? WD_OK : no_memory(err);
    }
    json_object_foreach(args, key, v)
    {
        const param *p = find_param(t, key);
        if (p && !(*why = why_not(a, t, p, v)))
            continue;
        if (!p)
            *why = takes(a, t);
        return *why ? WD_OK : no_memory(err);
    }
    for (size_t i = 0; i < PARAMS_MAX && t->param[i].name; i++) {
        if (t->param[i].required && !json_object_get(args, t->param[i].name)) {
            *why = wd_arena_printf(a, "%s needs %s.", t->name, t->param[i].name);
            return *why ? WD_OK : no_memory(err);
        }
    }
    return WD_OK;
}

static wd_status call_tool(call *c, const tool *t, json_t *args)
{
    const char *why;
    WD_TRY(check_args(c->arena, t, args, &why, c->err));
    if (why)
        return refuse(c, why);
    c->args = args;
    return t->run(c);
}

wd_status wd_assist_call(const wd_records *r, wd_lang lang, const char *name, const char *args, wd_arena *a,
                         wd_tool_result *out, wd_err *err)
{
    const tool *t = NULL;
    wd_tool_result result = { .value = json_object() };
    json_t *parsed = NULL;
    call c = { .records = r, .lang = lang, .arena = a, .out = &result, .err = err };
    if (!result.value)
        return no_memory(err);
    for (size_t i = 0; i < WD_COUNT(tools) && !t; i++)
        t = strcmp(name, tools[i].name) == 0 ? &tools[i] : NULL;
    wd_status st = WD_OK;
    wd_err why;
    if (!t)
        st = refuse(&c, "There is no such tool.");
    else if (strlen(args) > ARGS_MAX)
        st = refuse(&c, "The arguments are too long.");
    else if ((st = wd_json_parse(wd_span_str(args), "arguments", &parsed, &why)) == WD_OK)
        st = call_tool(&c, t, parsed);
    else if (st == WD_E_CORRUPT || st == WD_E_LIMIT)
        st = refuse(&c, "The arguments are no valid JSON.");
    else if (err)
        *err = why;
    json_decref(parsed);
    if (st)
        json_decref(result.value);
    else
        *out = result;
    return st;
}
