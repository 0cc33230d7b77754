/* Findings as plain values. */
#include "care/eval/claims.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define FINDINGS_MAX 100
#define SLICES_MAX 100000
#define SIZE_MAX_MM 1000.0

/* ---- reading ---- */

typedef const char *name_fn(unsigned value);

static const char *type_name(unsigned v)
{
    return wd_lex_type_name((wd_lex_type)v);
}

static const char *density_name(unsigned v)
{
    return wd_lex_density_name((wd_lex_density)v);
}

static const char *margin_name(unsigned v)
{
    return wd_lex_margin_name((wd_lex_margin)v);
}

static const char *grade_name(unsigned v)
{
    return wd_lex_grade_name((wd_lex_grade)v);
}

/* One of the n names, or null where it may be (then 0). */
static wd_status read_name(const json_t *f, const char *where, const char *key, name_fn *name, unsigned first,
                           unsigned n, unsigned *out, wd_err *err)
{
    const char *s;
    *out = 0;
    WD_TRY(first ? wd_json_str(f, where, key, &s, err) : wd_json_need_str(f, where, key, &s, err));
    if (!s)
        return WD_OK;
    for (unsigned v = first; v < n; v++) {
        if (!strcmp(name(v), s)) {
            *out = v;
            return WD_OK;
        }
    }
    char list[160] = "";
    for (unsigned v = first, at = 0; v < n; v++)
        at += (unsigned)snprintf(list + at, sizeof list - at, "%s%s", v > first ? ", " : "", name(v));
    return WD_FAIL(err, WD_E_INVALID, "%s: %s is \"%.40s\", expected one of %s", where, key, s, list);
}

static wd_status read_place(const json_t *f, const char *where, wd_claim *c, wd_err *err)
{
    const char *lobe;
    WD_TRY(read_name(f, where, "side", wd_lex_side_name, 1, 4, &c->side, err));
    WD_TRY(wd_json_str(f, where, "lobe", &lobe, err));
    if (!lobe || !*lobe)
        return WD_OK;
    unsigned side;
    wd_lexicon_place(wd_span_str(lobe), &side, &c->lobe);
    if (!c->lobe)
        return WD_FAIL(err, WD_E_INVALID, "%s: lobe is \"%.40s\", expected one such as \"right upper lobe\"",
                       where, lobe);
    if (c->side && c->side != side)
        return WD_FAIL(err, WD_E_INVALID, "%s: side is \"%s\", but lobe is \"%.40s\"", where,
                       wd_lex_side_name(c->side), lobe);
    c->side = side;
    return WD_OK;
}

static wd_status read_slices(const json_t *f, const char *where, wd_arena *a, wd_claim *c, wd_err *err)
{
    json_t *list;
    WD_TRY(wd_json_arr(f, where, "slices", &list, err));
    const size_t n = json_array_size(list);
    if (n > SLICES_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "%s: slices has %zu numbers, more than %d", where, n, SLICES_MAX);
    uint32_t *slice = WD_NEW_N(a, uint32_t, n);
    if (!slice)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", where);
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);
        const json_int_t number = json_integer_value(v);
        if (!json_is_integer(v) || number < 1 || number > SLICES_MAX)
            return WD_FAIL(err, WD_E_INVALID, "%s: slices[%zu] is no slice number, expected 1 to %d", where,
                           i, SLICES_MAX);
        slice[i] = (uint32_t)number;
    }
    c->slice = slice;
    c->n_slice = (uint32_t)n;
    return WD_OK;
}

/* "text": one sentence, or one per language. */
static wd_status read_text(const json_t *f, const char *where, const char *language, wd_arena *a, wd_claim *c,
                           wd_err *err)
{
    const json_t *text = json_object_get(f, "text");
    if (json_is_object(text))
        text = json_object_get(text, language);
    if (!text || json_is_null(text))
        return WD_OK;
    if (!json_is_string(text))
        return WD_FAIL(err, WD_E_INVALID, "%s: text is no text", where);
    c->text = wd_arena_strndup(a, json_string_value(text), json_string_length(text));
    return c->text ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "%s: no memory", where);
}

static wd_status read_finding(const json_t *f, const char *where, const char *language, wd_arena *a,
                              wd_claim *c, wd_err *err)
{
    unsigned type, density, margin, grade;
    if (!json_is_object(f))
        return WD_FAIL(err, WD_E_INVALID, "%s: expected an object", where);
    WD_TRY(read_name(f, where, "type", type_name, 0, WD_LEX_N_TYPE, &type, err));
    WD_TRY(read_place(f, where, c, err));
    WD_TRY(wd_json_num(f, where, "size_mm", 0, SIZE_MAX_MM, 0, &c->size_mm, err));
    WD_TRY(read_name(f, where, "density", density_name, 1, WD_LEX_N_DENSITY, &density, err));
    WD_TRY(read_name(f, where, "margin", margin_name, 1, WD_LEX_N_MARGIN, &margin, err));
    WD_TRY(read_name(f, where, "grade", grade_name, 1, WD_LEX_N_GRADE, &grade, err));
    c->type = (wd_lex_type)type;
    c->density = (wd_lex_density)density;
    c->margin = (wd_lex_margin)margin;
    c->grade = (wd_lex_grade)grade;
    c->match = -1;
    WD_TRY(read_slices(f, where, a, c, err));
    return read_text(f, where, language, a, c, err);
}

wd_status wd_eval__truth(const json_t *truth, const char *where, const char *language, wd_arena *a,
                         wd_claim **out, size_t *n, wd_err *err)
{
    json_t *list;
    WD_TRY(wd_json_arr(truth, where, "findings", &list, err));
    if (!list)
        return WD_FAIL(err, WD_E_INVALID, "%s: findings is missing", where);
    const size_t n_finding = json_array_size(list);
    if (n_finding > FINDINGS_MAX)
        return WD_FAIL(err, WD_E_LIMIT, "%s: %zu findings, more than %d", where, n_finding, FINDINGS_MAX);
    wd_claim *c = WD_NEW_N(a, wd_claim, n_finding);
    if (!c)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", where);
    for (size_t i = 0; i < n_finding; i++) {
        char here[400];
        snprintf(here, sizeof here, "%.360s: findings[%zu]", where, i);
        WD_TRY(read_finding(json_array_get(list, i), here, language, a, &c[i], err));
    }
    *out = c;
    *n = n_finding;
    return WD_OK;
}

/* ---- matching ---- */

static size_t shared_slices(const wd_claim *a, const wd_claim *b)
{
    size_t n = 0;
    for (uint32_t i = 0; i < a->n_slice; i++)
        for (uint32_t k = 0; k < b->n_slice; k++)
            n += a->slice[i] == b->slice[k];
    return n;
}

/* How well they go together, 0: not at all. */
static double likeness(const wd_claim *said, const wd_claim *truth)
{
    if (said->type != truth->type)
        return 0;
    const size_t shared = shared_slices(said, truth);
    const bool same_lobe = said->lobe && said->lobe == truth->lobe;
    if (!shared && !same_lobe) {
        if ((said->lobe && truth->lobe) || (said->side && truth->side && !(said->side & truth->side)))
            return 0;
        if (said->n_slice && truth->n_slice && truth->lobe)
            return 0;
    }
    double v = 1 + (same_lobe ? 4 : 0);
    v += said->side && said->side == truth->side ? 2 : 0;
    if (said->n_slice && truth->n_slice)
        v += 3.0 * (double)shared / (double)WD_MIN(said->n_slice, truth->n_slice);
    v += said->density && said->density == truth->density ? 0.5 : 0; /* tells two nodules of a lobe apart */
    if (said->size_mm > 0 && truth->size_mm > 0)
        v += 0.5 / (1 + fabs(said->size_mm - truth->size_mm));
    return v;
}

wd_status wd_eval__match(wd_claim *said, size_t n_said, wd_claim *truth, size_t n_truth, wd_arena *a,
                         wd_err *err)
{
    size_t n;
    double *like = wd_mul_size(n_said, n_truth, &n) ? WD_NEW_N(a, double, n) : NULL;
    if (!like)
        return WD_FAIL(err, WD_E_NOMEM, "evaluation: no memory");
    for (size_t i = 0; i < n_said; i++)
        for (size_t k = 0; k < n_truth; k++)
            like[i * n_truth + k] = likeness(&said[i], &truth[k]);
    for (size_t i = 0; i < n_said; i++)
        said[i].match = -1;
    for (size_t i = 0; i < n_truth; i++)
        truth[i].match = -1;
    for (;;) {
        double best = 0;
        size_t at = 0;
        for (size_t i = 0; i < n; i++) {
            if (like[i] > best && said[i / n_truth].match < 0 && truth[i % n_truth].match < 0) {
                best = like[i];
                at = i;
            }
        }
        if (!(best > 0))
            return WD_OK;
        said[at / n_truth].match = (int)(at % n_truth);
        truth[at % n_truth].match = (int)(at / n_truth);
    }
}

/* ---- writing ---- */

static json_t *text_or_null(const char *s)
{
    return s ? json_string(s) : json_null();
}

json_t *wd_eval__claim_json(const wd_claim *c)
{
    json_t *slices = json_array();
    for (uint32_t i = 0; slices && i < c->n_slice; i++)
        json_array_append_new(slices, json_integer(c->slice[i]));
    return json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "type", wd_lex_type_name(c->type), "side",
        text_or_null(wd_lex_side_name(c->side)), "lobe", text_or_null(wd_lex_lobe_name(c->lobe)), "size_mm",
        c->size_mm > 0 ? json_real(c->size_mm) : json_null(), "density",
        text_or_null(wd_lex_density_name(c->density)), "margin", text_or_null(wd_lex_margin_name(c->margin)),
        "grade", text_or_null(wd_lex_grade_name(c->grade)), "slices", slices, "text", text_or_null(c->text),
        "match", c->match >= 0 ? json_integer(c->match) : json_null());
}
