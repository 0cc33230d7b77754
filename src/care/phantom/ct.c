/* A synthetic chest CT as a case: its findings, its truth, its files. */
#include "care/phantom/ct.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "care/phantom/ct_inner.h"
#include "care/phantom/ct_report.h"
#include "media/dicom_write.h"

#define TEXT_STREAM 0x7465787473656564u

wd_status wd_ct_create(const wd_ct_opts *o, wd_ct **out, wd_err *err)
{
    *out = NULL;
    if (o->n_slice < 8 || o->n_slice > WD_CT_SLICES_MAX || o->matrix < 64 || o->matrix > 512)
        return WD_FAIL(err, WD_E_USAGE, "phantom: %u slices of %u pixels, expected 8 to %d of 64 to 512",
                       o->n_slice, o->matrix, WD_CT_SLICES_MAX);
    wd_ct *ct = WD_ALLOC(wd_ct);
    if (!ct)
        return WD_FAIL(err, WD_E_NOMEM, "phantom: no memory");
    ct->o = *o;
    ct->step_mm = CT_HEIGHT_MM / o->n_slice;
    wd_rand_init(&ct->rand, o->seed);
    ct__anatomy(ct);
    ct__vessels(ct);
    ct__add(ct, &(ct_shape){ .kind = CT_FISSURES, .hu = -560 });
    wd_status st = ct->failed ? WD_OK : ct__findings(ct, err);
    if (!st && ct->failed)
        st = WD_FAIL(err, WD_E_NOMEM, "phantom: no memory for its shapes");
    wd_rand words;
    wd_rand_init(&words, o->seed ^ TEXT_STREAM);
    for (size_t i = 0; !st && i < ct->n_finding; i++)
        wd_ct_report__sentence(&ct->finding[i], &words);
    if (st) {
        wd_ct_destroy(ct);
        return st;
    }
    *out = ct;
    return WD_OK;
}

void wd_ct_destroy(wd_ct *ct)
{
    if (!ct)
        return;
    for (size_t i = 0; i < ct->n_finding; i++) {
        wd_free(ct->finding[i].box);
        wd_free(ct->finding[i].slice);
    }
    wd_free(ct->shape);
    wd_free(ct);
}

const wd_ct_finding *wd_ct_findings(const wd_ct *ct, size_t *n)
{
    *n = ct->n_finding;
    return ct->finding;
}

/* ---- names */

const char *wd_ct_type_name(wd_ct_type t)
{
    static const char *const name[] = { "nodule", "consolidation", "effusion", "emphysema" };
    return name[t];
}

const char *wd_ct_side_name(wd_ct_side s)
{
    static const char *const name[] = { "right", "left", "both" };
    return name[s];
}

const char *wd_ct_lobe_name(wd_ct_lobe l)
{
    static const char *const name[] = { "right upper lobe", "right middle lobe", "right lower lobe",
                                        "left upper lobe",  "left lower lobe",   NULL };
    return name[l];
}

const char *wd_ct_density_name(wd_ct_density d)
{
    static const char *const name[] = { "solid", "part-solid", "ground-glass", "calcified" };
    return name[d];
}

const char *wd_ct_margin_name(wd_ct_margin m)
{
    static const char *const name[] = { "smooth", "lobulated", "spiculated" };
    return name[m];
}

const char *wd_ct_grade_name(wd_ct_grade g)
{
    static const char *const name[] = { "small", "moderate", "large" };
    return name[g];
}

/* ---- truth.json */

static json_t *text_or_null(const char *s)
{
    return s ? json_string(s) : json_null();
}

/* To a tenth: no digit depends on how the last bits fell. */
static json_t *tenth(double v)
{
    return json_real(floor(v * 10 + 0.5) / 10);
}

static json_t *numbers(const uint32_t *v, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(a, json_integer(v[i]))) {
            json_decref(a);
            return NULL;
        }
    return a;
}

static json_t *boxes(const wd_ct *ct, const wd_ct_finding *f)
{
    const double pixel = CT_FIELD_MM / ct->o.matrix, n = ct->o.matrix;
    json_t *a = json_array();
    for (uint32_t i = 0; a && i < f->n_box; i++) {
        int v[4];
        for (int k = 0; k < 4; k++) {
            const double at = (f->box[i].mm[k] + CT_FIELD_MM / 2) / pixel;
            v[k] = (int)fmin(fmax(k < 2 ? floor(at) : ceil(at), 0), n);
        }
        if (json_array_append_new(a, json_pack("{s:i, s:[iiii]}", "slice", (int)f->box[i].slice, "box", v[0],
                                               v[1], v[2], v[3]))) {
            json_decref(a);
            return NULL;
        }
    }
    return a;
}

static json_t *finding_json(const wd_ct *ct, const wd_ct_finding *f)
{
    const bool nodule = f->type == WD_CT_NODULE;
    return json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:[ooo], s:{s:s, s:s}}", "type",
                     wd_ct_type_name(f->type), "side", wd_ct_side_name(f->side), "lobe",
                     text_or_null(wd_ct_lobe_name(f->lobe)), "size_mm",
                     f->size_mm > 0 ? json_integer((json_int_t)f->size_mm) : json_null(), "grade",
                     text_or_null(f->type == WD_CT_EFFUSION ? wd_ct_grade_name(f->grade) : NULL), "density",
                     text_or_null(nodule ? wd_ct_density_name(f->density) : NULL), "margin",
                     text_or_null(nodule ? wd_ct_margin_name(f->margin) : NULL), "depth_mm",
                     f->type == WD_CT_EFFUSION ? tenth(f->depth_mm) : json_null(), "slices",
                     numbers(f->slice, f->n_slice), "boxes", boxes(ct, f), "centre_mm",
                     tenth(f->centre_mm[0]), tenth(f->centre_mm[1]), tenth(f->centre_mm[2]), "text", "en",
                     f->text[WD_CT_EN], "zh", f->text[WD_CT_ZH]);
}

/* The report in one wording: what it says follows from the findings alone. */
static json_t *plain(const wd_ct *ct, wd_ct_lang l)
{
    wd_ct_finding f[WD_CT_FINDINGS_MAX];
    for (size_t i = 0; i < ct->n_finding; i++) {
        f[i] = ct->finding[i];
        wd_ct_report__sentence(&f[i], NULL);
    }
    return wd_ct_report__json(f, ct->n_finding, l, NULL);
}

json_t *wd_ct_truth(const wd_ct *ct)
{
    json_t *list = json_array(), *report[WD_CT_N_LANG];
    for (size_t i = 0; list && i < ct->n_finding; i++)
        if (json_array_append_new(list, finding_json(ct, &ct->finding[i]))) {
            json_decref(list);
            list = NULL;
        }
    for (wd_ct_lang l = 0; l < WD_CT_N_LANG; l++) {
        wd_rand words; /* its own stream: what one language says does not move the other */
        wd_rand_init(&words, (ct->o.seed ^ TEXT_STREAM) * 3 + 1 + l);
        report[l] = wd_ct_report__json(ct->finding, ct->n_finding, l, &words);
    }
    return json_pack("{s:s, s:I, s:i, s:o, s:f, s:i, s:o, s:{s:o, s:o}, s:{s:o, s:o}}", "kind", "ct", "seed",
                     (json_int_t)ct->o.seed, "slices", (int)ct->o.n_slice, "spacing_mm", tenth(ct->step_mm),
                     "field_mm", CT_FIELD_MM, "matrix", (int)ct->o.matrix, "findings", list, "report", "en",
                     report[WD_CT_EN], "zh", report[WD_CT_ZH], "plain", "en", plain(ct, WD_CT_EN), "zh",
                     plain(ct, WD_CT_ZH));
}

/* ---- files */

/* A UID under 2.25 (PS3.5 annex B.2) from the seed: the same series is the same object. */
static void make_uid(char out[65], const wd_ct *ct, unsigned part, unsigned index)
{
    wd_rand r;
    wd_rand_init(&r, ct->o.seed * 1000003 + part * 65537 + ct->o.n_slice * 1024 + ct->o.matrix);
    snprintf(out, 65, "2.25.%llu.%u.%u", (unsigned long long)(wd_rand_u64(&r) >> 1), part + 1, index + 1);
}

static wd_status write_slice(const wd_ct *ct, const char *dir, uint32_t slice, int16_t *hu, wd_buf *file,
                             wd_err *err)
{
    const double pixel = CT_FIELD_MM / ct->o.matrix, corner = 0.5 * pixel - CT_FIELD_MM / 2;
    char uid[4][65], path[4096], patient[32];
    WD_TRY(wd_ct_draw(ct, slice, hu, err));
    for (unsigned k = 0; k < WD_COUNT(uid); k++)
        make_uid(uid[k], ct, k, k == 2 ? slice - 1 : 0);
    snprintf(patient, sizeof patient, "PHANTOM-%llu", (unsigned long long)ct->o.seed);
    if (snprintf(path, sizeof path, "%s/series/slice-%03u.dcm", dir, slice) >= (int)sizeof path)
        return WD_FAIL(err, WD_E_INVALID, "phantom: a folder name of %zu bytes is too long", strlen(dir));
    const wd_dicom_ct image = { .study_uid = uid[0],
                                .series_uid = uid[1],
                                .sop_instance_uid = uid[2],
                                .frame_of_reference_uid = uid[3],
                                .patient_name = "Phantom^Synthetic",
                                .patient_id = patient,
                                .study_description = "Synthetic chest phantom",
                                .series_description = "Axial phantom",
                                .date = "20260101",
                                .time = "120000",
                                .body_part = "CHEST",
                                .series_number = 1,
                                .instance_number = (int32_t)slice,
                                .rows = ct->o.matrix,
                                .cols = ct->o.matrix,
                                .hu = hu,
                                .position = { corner, corner, ct__slice_z(ct, slice) },
                                .orientation = { 1, 0, 0, 0, 1, 0 },
                                .spacing = { pixel, pixel },
                                .thickness = fmin(CT_THICKNESS_MM, ct->step_mm),
                                .window_center = -600,
                                .window_width = 1500 };
    wd_buf_clear(file);
    WD_TRY(wd_dicom_write_ct(&image, file, err));
    return wd_file_write(path, wd_buf_view(file), err);
}

static wd_status write_truth(const wd_ct *ct, const char *dir, wd_buf *file, wd_err *err)
{
    char path[4096];
    json_t *truth = wd_ct_truth(ct);
    wd_status st = WD_OK;
    wd_buf_clear(file);
    if (!truth)
        st = WD_FAIL(err, WD_E_NOMEM, "phantom: no memory for the truth");
    else if (snprintf(path, sizeof path, "%s/truth.json", dir) >= (int)sizeof path)
        st = WD_FAIL(err, WD_E_INVALID, "phantom: a folder name of %zu bytes is too long", strlen(dir));
    if (!st)
        st = wd_json_write(truth, JSON_INDENT(1) | JSON_REAL_PRECISION(6), file, err);
    if (!st) {
        wd_buf_char(file, '\n');
        st = wd_buf_check(file, "truth.json", err);
    }
    if (!st)
        st = wd_file_write(path, wd_buf_view(file), err);
    json_decref(truth);
    return st;
}

wd_status wd_ct_write(const wd_ct *ct, const char *dir, wd_err *err)
{
    char series[4096];
    if (snprintf(series, sizeof series, "%s/series", dir) >= (int)sizeof series)
        return WD_FAIL(err, WD_E_INVALID, "phantom: a folder name of %zu bytes is too long", strlen(dir));
    WD_TRY(wd_file_mkdirs(series, err));
    wd_buf file = { 0 };
    int16_t *hu = WD_ALLOC_N(int16_t, (size_t)ct->o.matrix * ct->o.matrix);
    wd_status st = hu ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "phantom: no memory for a slice");
    for (uint32_t i = 1; !st && i <= ct->o.n_slice; i++)
        st = write_slice(ct, dir, i, hu, &file, err);
    if (!st)
        st = write_truth(ct, dir, &file, err); /* last: a case with a truth is whole */
    wd_free(hu);
    wd_buf_free(&file);
    return st;
}

wd_status wd_ct_make(const char *dir, const wd_ct_opts *o, wd_err *err)
{
    wd_ct *ct;
    WD_TRY(wd_ct_create(o, &ct, err));
    const wd_status st = wd_ct_write(ct, dir, err);
    wd_ct_destroy(ct);
    return st;
}
