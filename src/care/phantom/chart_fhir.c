/* The drawn patient as a FHIR R4 Bundle. Chinese stands beside English as FHIR's translation extension. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "care/phantom/chart_inner.h"

#define BASE "http://example.org/fhir/" /* of full URLs, against which relative references resolve */
#define TRANSLATION "http://hl7.org/fhir/StructureDefinition/translation"
#define TERMINOLOGY "http://terminology.hl7.org/CodeSystem/"
#define LOINC "http://loinc.org"
#define UCUM "http://unitsofmeasure.org"
#define DICOM "http://dicom.nema.org/resources/ontology/DCM"

typedef struct bundle {
    json_t *entry;
    char patient[64]; /* "Patient/ID" */
} bundle;

/* o[key] in English, its translation beside it. */
static void put_said(json_t *o, const char *key, const char *en, const char *zh)
{
    char sibling[32];
    snprintf(sibling, sizeof sibling, "_%s", key);
    json_object_set_new(o, key, json_string(en));
    json_object_set_new(o, sibling,
                        json_pack("{s:[{s:s, s:[{s:s, s:s}, {s:s, s:s}]}]}", "extension", "url", TRANSLATION,
                                  "extension", "url", "lang", "valueCode", "zh", "url", "content",
                                  "valueString", zh));
}

/* A CodeableConcept; system NULL: words alone. */
static json_t *concept(const char *system, const char *code, const char *display, const char *en,
                       const char *zh)
{
    json_t *c = json_object();
    if (system) {
        json_t *coding = json_pack("{s:s, s:s}", "system", system, "code", code);
        if (display)
            json_object_set_new(coding, "display", json_string(display));
        json_object_set_new(c, "coding", json_pack("[o]", coding));
    }
    if (en)
        put_said(c, "text", en, zh);
    return c;
}

static json_t *coded(const char *system, const char *code)
{
    return json_pack("{s:[{s:s, s:s}]}", "coding", "system", system, "code", code);
}

static json_t *number(int32_t value, int decimals)
{
    char text[16];
    wd_chart__number(value, decimals, text);
    return decimals ? json_real(strtod(text, NULL)) : json_integer(value);
}

static json_t *quantity(json_t *value, const char *unit, const char *ucum)
{
    json_t *q = json_pack("{s:o}", "value", value);
    if (unit)
        json_object_set_new(q, "unit", json_string(unit));
    json_object_set_new(q, "system", json_string(UCUM));
    json_object_set_new(q, "code", json_string(ucum));
    return q;
}

/* A resource of the patient's, entered into the bundle; borrowed. subject: the name of the reference. */
static json_t *add(bundle *b, const char *type, const char *prefix, size_t number_, const char *subject)
{
    char id[64], url[128];
    if (prefix)
        snprintf(id, sizeof id, "%s-%zu", prefix, number_ + 1);
    else
        snprintf(id, sizeof id, "%s", b->patient + strlen("Patient/"));
    snprintf(url, sizeof url, BASE "%s/%s", type, id);
    json_t *r = json_pack("{s:s, s:s}", "resourceType", type, "id", id);
    if (subject)
        json_object_set_new(r, subject, json_pack("{s:s}", "reference", b->patient));
    json_array_append_new(b->entry, json_pack("{s:s, s:o}", "fullUrl", url, "resource", r));
    return r;
}

static void put_date(json_t *r, const char *key, int64_t day)
{
    char date[11];
    wd_chart__date(day, date);
    json_object_set_new(r, key, json_string(date));
}

static void put_time(json_t *r, const char *key, int64_t day, int minute)
{
    char date[11], time[48];
    wd_chart__date(day, date);
    snprintf(time, sizeof time, "%sT%02d:%02d:00Z", date, minute / 60, minute % 60);
    json_object_set_new(r, key, json_string(time));
}

static void add_patient(bundle *b, const wd_chart__patient *p)
{
    char text[64];
    json_t *r = add(b, "Patient", NULL, 0, NULL);
    snprintf(text, sizeof text, "SYNTHETIC-%llu", (unsigned long long)p->seed);
    json_object_set_new(
        r, "identifier",
        json_pack("[{s:s, s:s}]", "system", "http://example.org/synthetic-patients", "value", text));
    snprintf(text, sizeof text, "Synthetic Patient %llu", (unsigned long long)p->seed);
    json_object_set_new(r, "name", json_pack("[{s:s, s:s}]", "use", "anonymous", "text", text));
    json_object_set_new(r, "gender", json_string(p->female ? "female" : "male"));
    put_date(r, "birthDate", p->birth_day);
}

static json_t *reference_range(const wd_chart__test *t)
{
    json_t *range = json_object();
    if (t->low != CHART_NO_LIMIT)
        json_object_set_new(range, "low", quantity(number(t->low, t->decimals), t->unit, t->ucum));
    if (t->high != CHART_NO_LIMIT)
        json_object_set_new(range, "high", quantity(number(t->high, t->decimals), t->unit, t->ucum));
    return json_pack("[o]", range);
}

static json_t *component(const char *code, const char *display, int32_t value)
{
    return json_pack("{s:o, s:o}", "code", concept(LOINC, code, display, NULL, NULL), "valueQuantity",
                     quantity(json_integer(value), "mmHg", "mm[Hg]"));
}

static void add_observation(bundle *b, const wd_chart__patient *p, const wd_chart__series *s, int i, size_t n)
{
    static const char *const flag[3][2] = { { "L", "Low" }, { "N", "Normal" }, { "H", "High" } };
    const wd_chart__test *t = s->test;
    json_t *r = add(b, "Observation", "obs", n, "subject");
    const int v = s->visit[i];
    const char *category = t->vital ? "vital-signs" : "laboratory";
    json_object_set_new(r, "status", json_string("final"));
    json_object_set_new(r, "category", json_pack("[o]", coded(TERMINOLOGY "observation-category", category)));
    json_object_set_new(r, "code",
                        concept(LOINC, s->term->loinc, s->term->display, s->term->name[WD_LANG_EN],
                                s->term->name[WD_LANG_ZH]));
    put_time(r, "effectiveDateTime", p->visit[v], p->minute[v]);
    if (!strcmp(t->name, "blood pressure")) {
        json_object_set_new(r, "component",
                            json_pack("[o, o]", component("8480-6", "Systolic blood pressure", s->value[i]),
                                      component("8462-4", "Diastolic blood pressure", s->second[i])));
        return;
    }
    json_object_set_new(r, "valueQuantity", quantity(number(s->value[i], t->decimals), t->unit, t->ucum));
    if (t->low == CHART_NO_LIMIT && t->high == CHART_NO_LIMIT)
        return;
    const char *const *f = flag[wd_chart__side(t, s->value[i]) + 1];
    json_object_set_new(r, "interpretation",
                        json_pack("[{s:[{s:s, s:s, s:s}]}]", "coding", "system",
                                  TERMINOLOGY "v3-ObservationInterpretation", "code", f[0], "display", f[1]));
    json_object_set_new(r, "referenceRange", reference_range(t));
}

static void add_observations(bundle *b, const wd_chart__patient *p)
{
    size_t n = 0;
    for (size_t k = 0; k < p->n_series; k++)
        for (int i = 0; i < p->series[k].n; i++)
            add_observation(b, p, &p->series[k], i, n++);
}

static json_t *dosage(const wd_chart__order *o)
{
    char amount[16], en[64], zh[64];
    wd_chart__dose(o->dose, amount);
    snprintf(en, sizeof en, "%s %s %s", amount, o->drug->unit, o->frequency->words.t[WD_LANG_EN]);
    snprintf(zh, sizeof zh, "%s %s %s", amount, o->drug->unit, o->frequency->words.t[WD_LANG_ZH]);
    json_t *d = json_object();
    put_said(d, "text", en, zh);
    json_object_set_new(d, "timing",
                        json_pack("{s:{s:i, s:i, s:s}}", "repeat", "frequency", o->frequency->times, "period",
                                  o->frequency->per_days, "periodUnit", "d"));
    json_t *value = strchr(amount, '.') ? json_real(strtod(amount, NULL)) : json_integer(o->dose / 1000);
    json_object_set_new(d, "doseAndRate",
                        json_pack("[{s:o}]", "doseQuantity", quantity(value, o->drug->unit, o->drug->ucum)));
    return json_pack("[o]", d);
}

static void add_order(bundle *b, const wd_chart__order *o, size_t n)
{
    json_t *r = add(b, "MedicationRequest", "med", n, "subject");
    const char *const *name = o->drug->name.t;
    json_object_set_new(r, "status", json_string(o->stopped ? "stopped" : "active"));
    json_object_set_new(r, "intent", json_string("order"));
    json_object_set_new(r, "medicationCodeableConcept",
                        concept("http://www.whocc.no/atc", o->drug->atc, name[WD_LANG_EN], name[WD_LANG_EN],
                                name[WD_LANG_ZH]));
    put_date(r, "authoredOn", o->day);
    json_object_set_new(r, "dosageInstruction", dosage(o));
}

static void add_allergy(bundle *b, const wd_chart__allergy *a, size_t n)
{
    json_t *r = add(b, "AllergyIntolerance", "allergy", n, "patient");
    const char *const *name = a->substance->name.t, *const *reaction = a->reaction->t;
    json_object_set_new(r, "clinicalStatus", coded(TERMINOLOGY "allergyintolerance-clinical", "active"));
    json_object_set_new(r, "verificationStatus",
                        coded(TERMINOLOGY "allergyintolerance-verification", "confirmed"));
    json_object_set_new(r, "type", json_string("allergy"));
    json_object_set_new(r, "category", json_pack("[s]", a->substance->category));
    json_object_set_new(r, "criticality", json_string(a->high ? "high" : "low"));
    json_object_set_new(r, "code", concept(NULL, NULL, NULL, name[WD_LANG_EN], name[WD_LANG_ZH]));
    json_object_set_new(r, "reaction",
                        json_pack("[{s:[o]}]", "manifestation",
                                  concept(NULL, NULL, NULL, reaction[WD_LANG_EN], reaction[WD_LANG_ZH])));
}

static void add_condition(bundle *b, const wd_chart__condition *c, size_t n)
{
    json_t *r = add(b, "Condition", "condition", n, "subject");
    const char *const *name = c->disease->name.t;
    json_object_set_new(r, "clinicalStatus",
                        coded(TERMINOLOGY "condition-clinical", c->resolved ? "resolved" : "active"));
    json_object_set_new(r, "verificationStatus", coded(TERMINOLOGY "condition-ver-status", "confirmed"));
    json_object_set_new(r, "category",
                        json_pack("[o]", coded(TERMINOLOGY "condition-category", "problem-list-item")));
    json_object_set_new(r, "code",
                        concept("http://hl7.org/fhir/sid/icd-10", c->disease->icd10, NULL, name[WD_LANG_EN],
                                name[WD_LANG_ZH]));
    put_date(r, "onsetDateTime", c->day);
    if (c->resolved)
        put_date(r, "abatementDateTime", c->end_day);
}

/* The study, and the report that speaks of it. */
static void add_study(bundle *b, const wd_chart__patient *p, const wd_chart__study *s, size_t n)
{
    const char *const *name = s->kind->name.t;
    wd_rand uid;
    char study_uid[64], series_uid[64], reference[64];
    wd_rand_init(&uid, p->seed * 64 + n);
    snprintf(study_uid, sizeof study_uid, "urn:oid:2.25.%llu", (unsigned long long)(wd_rand_u64(&uid) >> 1));
    snprintf(series_uid, sizeof series_uid, "2.25.%llu", (unsigned long long)(wd_rand_u64(&uid) >> 1));

    json_t *r = add(b, "ImagingStudy", "study", n, "subject");
    json_object_set_new(r, "identifier",
                        json_pack("[{s:s, s:s}]", "system", "urn:dicom:uid", "value", study_uid));
    json_object_set_new(r, "status", json_string("available"));
    json_object_set_new(r, "modality", json_pack("[{s:s, s:s}]", "system", DICOM, "code", s->kind->modality));
    put_time(r, "started", s->day, 9 * 60 + 30);
    json_object_set_new(r, "numberOfSeries", json_integer(1));
    json_object_set_new(r, "procedureCode",
                        json_pack("[o]", concept(NULL, NULL, NULL, name[WD_LANG_EN], name[WD_LANG_ZH])));
    json_object_set_new(r, "series",
                        json_pack("[{s:s, s:i, s:{s:s, s:s}}]", "uid", series_uid, "number", 1, "modality",
                                  "system", DICOM, "code", s->kind->modality));

    r = add(b, "DiagnosticReport", "report", n, "subject");
    snprintf(reference, sizeof reference, "ImagingStudy/study-%zu", n + 1);
    json_object_set_new(r, "status", json_string("final"));
    json_object_set_new(r, "category", json_pack("[o]", coded(TERMINOLOGY "v2-0074", "RAD")));
    json_object_set_new(
        r, "code", concept(LOINC, "18748-4", "Diagnostic imaging study", name[WD_LANG_EN], name[WD_LANG_ZH]));
    put_time(r, "effectiveDateTime", s->day, 9 * 60 + 30);
    json_object_set_new(r, "imagingStudy", json_pack("[{s:s}]", "reference", reference));
    put_said(r, "conclusion", s->conclusion[WD_LANG_EN], s->conclusion[WD_LANG_ZH]);
}

json_t *wd_chart__bundle(const wd_chart__patient *p)
{
    bundle b = { .entry = json_array() };
    char id[32];
    snprintf(b.patient, sizeof b.patient, "Patient/synthetic-%llu", (unsigned long long)p->seed);
    snprintf(id, sizeof id, "chart-%llu", (unsigned long long)p->seed);
    add_patient(&b, p);
    add_observations(&b, p);
    for (size_t i = 0; i < p->n_order; i++)
        add_order(&b, &p->order[i], i);
    for (size_t i = 0; i < p->n_allergy; i++)
        add_allergy(&b, &p->allergy[i], i);
    for (size_t i = 0; i < p->n_condition; i++)
        add_condition(&b, &p->condition[i], i);
    for (size_t i = 0; i < p->n_study; i++)
        add_study(&b, p, &p->study[i], i);

    json_t *bundle_ = json_pack("{s:s, s:s, s:{s:[{s:s, s:s, s:s}]}, s:s}", "resourceType", "Bundle", "id",
                                id, "meta", "tag", "system", TERMINOLOGY "v3-ActReason", "code", "HTEST",
                                "display", "test health data", "type", "collection");
    put_time(bundle_, "timestamp", p->today, 22 * 60);
    json_object_set_new(bundle_, "entry", b.entry);
    return bundle_;
}
