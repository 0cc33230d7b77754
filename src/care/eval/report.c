/* The suite "report": the draft's findings and impression against what is true of the series.
 *
 * A report's claims are what its findings' sentences say (lexicon.h), with the finding's own place, size and slices
 * where they are given. They are matched with the true findings (claims.h); everything else is counted from that:
 *
 *   finding_precision, _recall, _f1   over all positive claims and all true findings of all cases
 *   laterality, lobe                  of matched findings with a true side, lobe: the share that says the same
 *   size_err_mm_median                of matched findings where truth and report give a size
 *   size_stated                       of matched findings with a true size: the share that gives one
 *   density, margin                   of matched nodules (margin: from 8 mm on) the share that says the true one
 *   impression_rank                   of reports: the first impression is about what the truth names first
 *   schema_valid                      of replies: the JSON object that was asked for, whole
 *   contradictions                    of reports: "no X" beside X, or text and place of a finding on different sides
 *   template_collapse                 of reports: the share that, without digits, are the most frequent one
 *   distinct_texts                    different reports without digits, per report
 *   unsupported                       of positive sentences: no true finding is behind them (an impression's sentence:
 *                                     no true finding of that type)
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "care/eval/case.h"
#include "care/eval/claims.h"
#include "care/eval/eval.h"
#include "care/report.h"

#define REPLY_TOKENS_MAX 1024
#define CLAIMS_MAX 400
#define MENTIONS_MAX 8
#define MARGIN_FROM_MM 8 /* nobody describes the margin of a smaller nodule */

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "evaluation: no memory");
}

/* ---- what the truth says ---- */

/* The report that truth.json gives as the right one, or NULL. */
static const json_t *true_report(const json_t *truth, const char *language)
{
    const json_t *r = json_object_get(truth, "report");
    const json_t *own = json_object_get(r, language);
    return json_is_object(own) ? own : NULL;
}

/* The right reply: the truth's own report; what that lacks is made of its findings. */
static json_t *right_reply(const json_t *truth, const char *language, const wd_claim *c, size_t n)
{
    const json_t *own = true_report(truth, language);
    json_t *own_impression = json_object_get(own, "impression");
    if (own_impression && json_object_get(own, "findings"))
        return json_deep_copy(own);
    json_t *findings = json_array(), *impression = json_array();
    for (size_t i = 0; findings && impression && i < n; i++) {
        const char *place = c[i].lobe ? wd_lex_lobe_name(c[i].lobe) : wd_lex_side_name(c[i].side);
        const char *text = c[i].text ? c[i].text : wd_lex_type_name(c[i].type);
        json_t *slices = json_array();
        for (uint32_t k = 0; slices && k < c[i].n_slice; k++)
            json_array_append_new(slices, json_integer(c[i].slice[k]));
        json_array_append_new(
            findings, json_pack("{s:s, s:s?, s:o, s:o}", "text", text, "place", place, "size_mm",
                                c[i].size_mm > 0 ? json_real(c[i].size_mm) : json_null(), "slices", slices));
        json_array_append_new(impression, json_string(text));
    }
    if (own_impression) {
        json_decref(impression);
        impression = json_incref(own_impression);
    }
    return json_pack("{s:o, s:o}", "findings", findings, "impression", impression);
}

static wd_status tell_oracle(const wd_eval_run *r, const json_t *truth, const wd_claim *c, size_t n,
                             wd_err *err)
{
    if (!r->oracle)
        return WD_OK;
    json_t *reply = right_reply(truth, r->language, c, n);
    wd_buf b = { 0 };
    wd_status st = reply ? wd_json_write(reply, 0, &b, err) : no_memory(err);
    json_decref(reply);
    if (!st)
        wd_oracle_expect(r->oracle, wd_buf_view(&b));
    wd_buf_free(&b);
    return st;
}

/* ---- what the report says ---- */

typedef struct reading {
    const wd_report *report;
    wd_claim *said; /* [n_said] positive claims of the findings */
    size_t n_said;
    wd_mention all[CLAIMS_MAX]; /* every claim, the impression's too, denials too */
    size_t n_all;
    size_t n_positive;                    /* findings with a positive claim, and impressions with one */
    json_t *contradictions, *unsupported; /* sentences */
} reading;

static void add_slices(wd_claim *c, const wd_report_finding *f, wd_arena *a)
{
    uint32_t *slice = WD_NEW_N(a, uint32_t, f->n_slice);
    for (uint32_t i = 0; slice && i < f->n_slice; i++) {
        uint32_t k = 0;
        while (k < c->n_slice && slice[k] != f->slice[i])
            k++;
        if (k == c->n_slice)
            slice[c->n_slice++] = f->slice[i];
    }
    c->slice = slice;
}

/* The claim of a mention; with one in the sentence, the finding's own fields speak for it. */
static void claim_of(const wd_mention *m, const wd_report_finding *f, bool only, wd_claim *c)
{
    *c = (wd_claim){ .type = m->type,
                     .side = m->side,
                     .lobe = m->lobe,
                     .size_mm = m->size_mm,
                     .density = m->density,
                     .margin = m->margin,
                     .grade = m->grade,
                     .text = f->text,
                     .match = -1 };
    if (!only)
        return;
    unsigned side;
    wd_lex_lobe lobe;
    wd_lexicon_place(wd_span_str(f->place), &side, &lobe);
    if (f->size_mm > 0)
        c->size_mm = f->size_mm;
    if (lobe || (side && side != c->side))
        c->lobe = lobe;
    if (side)
        c->side = side;
}

/* Text and place of a finding on different sides? */
static bool sides_differ(const wd_mention *m, const wd_report_finding *f)
{
    unsigned side;
    wd_lex_lobe lobe;
    wd_lexicon_place(wd_span_str(f->place), &side, &lobe);
    return m->side && side && !(m->side & side);
}

static size_t n_positive(const wd_mention *m, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++)
        count += !m[i].negated;
    return count;
}

static void read_finding(reading *r, size_t index, wd_arena *a)
{
    const wd_report_finding *f = &r->report->finding[index];
    wd_mention m[MENTIONS_MAX];
    const size_t n = wd_lexicon_read(wd_span_str(f->text), m, MENTIONS_MAX), positive = n_positive(m, n);
    r->n_positive += positive > 0;
    bool differ = false;
    for (size_t i = 0; i < n; i++) {
        if (r->n_all < CLAIMS_MAX)
            r->all[r->n_all++] = m[i];
        if (m[i].negated || r->n_said == CLAIMS_MAX)
            continue;
        wd_claim *c = &r->said[r->n_said++];
        claim_of(&m[i], f, positive == 1, c);
        c->sentence = index;
        add_slices(c, f, a);
        differ |= positive == 1 && sides_differ(&m[i], f);
    }
    if (differ)
        json_array_append_new(r->contradictions, json_string(f->text));
}

static bool has_type(const wd_claim *truth, size_t n, wd_lex_type type)
{
    for (size_t i = 0; i < n; i++)
        if (truth[i].type == type)
            return true;
    return false;
}

static void read_impression(reading *r, const char *text, const wd_claim *truth, size_t n_truth)
{
    wd_mention m[MENTIONS_MAX];
    const size_t n = wd_lexicon_read(wd_span_str(text), m, MENTIONS_MAX);
    bool supported = false;
    for (size_t i = 0; i < n; i++) {
        supported |= !m[i].negated && has_type(truth, n_truth, m[i].type);
        if (r->n_all < CLAIMS_MAX)
            r->all[r->n_all++] = m[i];
    }
    if (!n_positive(m, n))
        return;
    r->n_positive++;
    if (!supported)
        json_array_append_new(r->unsupported, json_string(text));
}

/* "No X" and X of the same place? */
static bool denies(const wd_mention *no, const wd_mention *yes)
{
    if (!no->negated || no->rest || yes->negated || no->type != yes->type)
        return false;
    if (no->lobe && yes->lobe)
        return no->lobe == yes->lobe;
    return !no->lobe && (!no->side || !yes->side || (no->side & yes->side));
}

static void find_denials(reading *r)
{
    for (size_t i = 0; i < r->n_all; i++) {
        for (size_t k = 0; k < r->n_all; k++) {
            if (!denies(&r->all[i], &r->all[k]))
                continue;
            char text[64];
            snprintf(text, sizeof text, "no %s, and %s", wd_lex_type_name(r->all[i].type),
                     wd_lex_type_name(r->all[k].type));
            json_array_append_new(r->contradictions, json_string(text));
            return;
        }
    }
}

/* Findings' sentences none of whose claims found its truth. Claims are in order of sentences. */
static void find_unsupported(reading *r)
{
    for (size_t i = 0; i < r->n_said;) {
        const size_t sentence = r->said[i].sentence;
        bool matched = false;
        size_t k = i;
        for (; k < r->n_said && r->said[k].sentence == sentence; k++)
            matched |= r->said[k].match >= 0;
        if (!matched)
            json_array_append_new(r->unsupported, json_string(r->said[i].text));
        i = k;
    }
}

static wd_status read_report(reading *r, wd_claim *truth, size_t n_truth, wd_arena *a, wd_err *err)
{
    r->said = WD_NEW_N(a, wd_claim, CLAIMS_MAX);
    r->contradictions = json_array();
    r->unsupported = json_array();
    if (!r->said || !r->contradictions || !r->unsupported)
        return no_memory(err);
    for (uint32_t i = 0; i < r->report->n_finding; i++)
        read_finding(r, i, a);
    WD_TRY(wd_eval__match(r->said, r->n_said, truth, n_truth, a, err));
    find_unsupported(r);
    for (uint32_t i = 0; i < r->report->n_impression; i++)
        read_impression(r, r->report->impression[i], truth, n_truth);
    find_denials(r);
    return WD_OK;
}

/* ---- single judgements ---- */

/* Is the reply, fences apart, the JSON object itself? Text under headings is a report too, but not what was asked. */
static bool is_json_reply(const wd_report *r)
{
    const char *s = r->raw;
    const char *fence = strstr(s, "```");
    if (fence) {
        s = strchr(fence, '\n');
        if (!s)
            return false;
    }
    s += strspn(s, " \t\r\n");
    return r->parsed && *s == '{';
}

/* Do two impressions name the same thing first? Nothing positive is a thing too: "no significant finding". */
static bool same_subject(const char *said, const char *truth)
{
    wd_mention a[MENTIONS_MAX], b[MENTIONS_MAX];
    const size_t na = wd_lexicon_read(wd_span_str(said), a, MENTIONS_MAX),
                 nb = wd_lexicon_read(wd_span_str(truth), b, MENTIONS_MAX);
    size_t i = 0, k = 0;
    while (i < na && a[i].negated)
        i++;
    while (k < nb && b[k].negated)
        k++;
    if (i == na || k == nb)
        return i == na && k == nb;
    if (a[i].type != b[k].type)
        return false;
    if (a[i].lobe && b[k].lobe)
        return a[i].lobe == b[k].lobe;
    return !a[i].side || !b[k].side || (a[i].side & b[k].side);
}

/* Whether the first impression is right; null when the truth has none. */
static json_t *judge_impression(const wd_report *r, const json_t *truth, const char *language)
{
    const char *want = json_string_value(
        json_array_get(json_object_get(true_report(truth, language), "impression"), 0));
    if (!want)
        return json_null();
    return json_boolean(r->n_impression && same_subject(r->impression[0], want));
}

static void put_without_digits(wd_buf *b, const char *s)
{
    for (; *s; s++)
        if (*s < '0' || *s > '9')
            wd_buf_char(b, *s);
    wd_buf_char(b, '\n');
}

/* What the report says, without digits: equal for reports from one template. */
static json_t *template_of(const wd_report *r)
{
    wd_buf b = { 0 };
    for (uint32_t i = 0; i < r->n_finding; i++)
        put_without_digits(&b, r->finding[i].text);
    for (uint32_t i = 0; i < r->n_impression; i++)
        put_without_digits(&b, r->impression[i]);
    if (!r->parsed)
        put_without_digits(&b, r->raw);
    json_t *v = b.failed ? NULL : json_stringn(b.n ? (char *)b.p : "", b.n);
    wd_buf_free(&b);
    return v;
}

/* ---- one case ---- */

static json_t *claims_json(const wd_claim *c, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; a && i < n; i++)
        json_array_append_new(a, wd_eval__claim_json(&c[i]));
    return a;
}

static json_t *strings(const char *const *s, uint32_t n)
{
    json_t *a = json_array();
    for (uint32_t i = 0; a && i < n; i++)
        json_array_append_new(a, json_string(s[i]));
    return a;
}

static json_t *result_json(const reading *r, const wd_claim *truth, size_t n_truth, const json_t *case_truth,
                           const char *language)
{
    const wd_report *rep = r->report;
    return json_pack(
        "{s:s, s:b, s:s?, s:b, s:b, s:o, s:o, s:o, s:o, s:I, s:O, s:O, s:o, s:I, s:I}", "reply", rep->raw,
        "parsed", rep->parsed, "why_not", rep->why_not, "schema_valid", is_json_reply(rep), "cut",
        rep->origin.cut, "truth", claims_json(truth, n_truth), "said", claims_json(r->said, r->n_said),
        "impression", strings(rep->impression, rep->n_impression), "impression_first",
        judge_impression(rep, case_truth, language), "positive_sentences", (json_int_t)r->n_positive,
        "unsupported", r->unsupported, "contradictions", r->contradictions, "template", template_of(rep),
        "prompt_tokens", (json_int_t)rep->origin.n_prompt, "reply_tokens", (json_int_t)rep->origin.n_reply);
}

static wd_status make_report(const wd_eval_run *r, const char *dir, const json_t *truth, wd_arena *a,
                             wd_report *out, wd_err *err)
{
    wd_study *study;
    WD_TRY(wd_eval__study(dir, r->cancel, a, &study, err));
    wd_report_opts o = { .slices = { .n_slice = r->n_slice, .windows = r->windows, .cancel = r->cancel },
                         .question = json_string_value(json_object_get(truth, "question")),
                         .earlier = json_string_value(json_object_get(truth, "earlier")) };
    WD_TRY(wd_eval__ask(r, "report", REPLY_TOKENS_MAX, a, &o.ask, err));
    return wd_report_make(r->engine, study, &o, a, out, err);
}

wd_status wd_eval__judge_report(const wd_report *report, const json_t *truth, const char *where,
                                const char *language, wd_arena *a, json_t **out, wd_err *err)
{
    wd_claim *claims;
    size_t n_claim;
    reading *r = WD_NEW(a, reading);
    if (!r)
        return no_memory(err);
    r->report = report;
    WD_TRY(wd_eval__truth(truth, where, language, a, &claims, &n_claim, err));
    wd_status st = read_report(r, claims, n_claim, a, err);
    if (!st) {
        *out = result_json(r, claims, n_claim, truth, language);
        st = *out ? WD_OK : no_memory(err);
    }
    json_decref(r->contradictions);
    json_decref(r->unsupported);
    return st;
}

static wd_status run(const wd_eval_run *r, const char *dir, const json_t *truth, wd_arena *a, json_t **out,
                     wd_err *err)
{
    const char *where = wd_path_join(a, dir, "truth.json");
    wd_claim *claims;
    size_t n_claim;
    wd_report report;
    if (!where)
        return no_memory(err);
    WD_TRY(
        wd_eval__truth(truth, where, r->language, a, &claims, &n_claim, err)); /* before a model is asked */
    WD_TRY(tell_oracle(r, truth, claims, n_claim, err));
    WD_TRY(make_report(r, dir, truth, a, &report, err));
    WD_TRY(wd_eval__judge_report(&report, truth, where, r->language, a, out, err));
    if (r->detail && json_object_set_new(*out, "draft", wd_report_json(&report))) {
        json_decref(*out);
        *out = NULL;
        return no_memory(err);
    }
    return WD_OK;
}

/* ---- all cases ---- */

typedef struct tally {
    size_t said, matched, truth, found; /* claims and those with a truth; truths and those that were found */
    size_t side, side_right, lobe, lobe_right, density, density_right, margin, margin_right, sized,
        sized_said;
    double *size_err; /* [n_err] */
    size_t n_err;
} tally;

static double number_at(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

/* Counts o[key] of the truth in *n, and whether the claim says the same in *right. */
static void agree(const json_t *said, const json_t *truth, const char *key, size_t *n, size_t *right)
{
    const json_t *want = json_object_get(truth, key);
    if (!json_is_string(want))
        return;
    ++*n;
    *right += json_equal(want, json_object_get(said, key)) ? 1 : 0;
}

static void tally_pair(tally *t, const json_t *said, const json_t *truth)
{
    agree(said, truth, "side", &t->side, &t->side_right);
    agree(said, truth, "lobe", &t->lobe, &t->lobe_right);
    agree(said, truth, "density", &t->density, &t->density_right);
    const double want = number_at(truth, "size_mm"), got = number_at(said, "size_mm");
    if (!(want > 0 && want < MARGIN_FROM_MM))
        agree(said, truth, "margin", &t->margin, &t->margin_right);
    t->sized += want > 0;
    if (want > 0 && got > 0) {
        t->sized_said++;
        t->size_err[t->n_err++] = fabs(got - want);
    }
}

typedef bool takes_fn(const json_t *result, const json_t *claim, const char *name);

static void tally_result(tally *t, const json_t *result, takes_fn *takes, const char *name)
{
    const json_t *said = json_object_get(result, "said"), *truth = json_object_get(result, "truth");
    for (size_t i = 0; i < json_array_size(said); i++) {
        const json_t *c = json_array_get(said, i);
        if (takes && !takes(result, c, name))
            continue;
        t->said++;
        t->matched += json_is_integer(json_object_get(c, "match"));
    }
    for (size_t i = 0; i < json_array_size(truth); i++) {
        const json_t *c = json_array_get(truth, i), *match = json_object_get(c, "match");
        if (takes && !takes(result, c, name))
            continue;
        t->truth++;
        if (!json_is_integer(match))
            continue;
        t->found++;
        tally_pair(t, json_array_get(said, (size_t)json_integer_value(match)), c);
    }
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double share(size_t part, size_t all)
{
    return all ? (double)part / (double)all : 0;
}

/* The metrics of a tally; the looks only where there are any. */
static wd_status set_tally(json_t *m, const tally *t, wd_err *err)
{
    const double p = share(t->matched, t->said), r = share(t->found, t->truth);
    qsort(t->size_err, t->n_err, sizeof *t->size_err, by_value);
    const double median = !t->n_err ? 0 : (t->size_err[(t->n_err - 1) / 2] + t->size_err[t->n_err / 2]) / 2;
    WD_TRY(wd_eval_set(m, "finding_precision", p, t->said, err));
    WD_TRY(wd_eval_set(m, "finding_recall", r, t->truth, err));
    WD_TRY(wd_eval_set(m, "finding_f1", p + r > 0 ? 2 * p * r / (p + r) : 0, t->said + t->truth, err));
    WD_TRY(wd_eval_set(m, "laterality", share(t->side_right, t->side), t->side, err));
    WD_TRY(wd_eval_set(m, "lobe", share(t->lobe_right, t->lobe), t->lobe, err));
    WD_TRY(wd_eval_set(m, "size_err_mm_median", median, t->n_err, err));
    WD_TRY(wd_eval_set(m, "size_stated", share(t->sized_said, t->sized), t->sized, err));
    WD_TRY(wd_eval_set(m, "density", share(t->density_right, t->density), t->density, err));
    return wd_eval_set(m, "margin", share(t->margin_right, t->margin), t->margin, err);
}

static wd_status tally_all(json_t *const *result, size_t n, takes_fn *takes, const char *name,
                           json_t *metrics, wd_err *err)
{
    size_t n_truth = 0;
    for (size_t i = 0; i < n; i++)
        n_truth += json_array_size(json_object_get(result[i], "truth"));
    tally t = { .size_err = wd_calloc(n_truth + 1, sizeof *t.size_err) };
    if (!t.size_err)
        return no_memory(err);
    for (size_t i = 0; i < n; i++)
        tally_result(&t, result[i], takes, name);
    const wd_status st = set_tally(metrics, &t, err);
    wd_free(t.size_err);
    return st;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static wd_status set_templates(json_t *const *result, size_t n, json_t *m, wd_err *err)
{
    const char **text = wd_calloc(n + 1, sizeof *text);
    if (!text)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        text[i] = json_string_value(json_object_get(result[i], "template"));
        text[i] = text[i] ? text[i] : "";
    }
    qsort(text, n, sizeof *text, by_text);
    size_t most = 0, distinct = 0;
    for (size_t i = 0, k; i < n; i = k) {
        for (k = i; k < n && !strcmp(text[k], text[i]); k++)
            ;
        distinct++;
        most = WD_MAX(most, k - i);
    }
    wd_free(text);
    WD_TRY(wd_eval_set(m, "template_collapse", share(most, n), n, err));
    return wd_eval_set(m, "distinct_texts", share(distinct, n), n, err);
}

static wd_status set_reports(json_t *const *result, size_t n, json_t *m, wd_err *err)
{
    size_t first = 0, first_right = 0, valid = 0, contradicting = 0, positive = 0, unsupported = 0;
    for (size_t i = 0; i < n; i++) {
        const json_t *f = json_object_get(result[i], "impression_first");
        first += json_is_boolean(f);
        first_right += json_is_true(f);
        valid += json_is_true(json_object_get(result[i], "schema_valid"));
        contradicting += json_array_size(json_object_get(result[i], "contradictions")) > 0;
        positive += (size_t)json_integer_value(json_object_get(result[i], "positive_sentences"));
        unsupported += json_array_size(json_object_get(result[i], "unsupported"));
    }
    WD_TRY(wd_eval_set(m, "impression_rank", share(first_right, first), first, err));
    WD_TRY(wd_eval_set(m, "schema_valid", share(valid, n), n, err));
    WD_TRY(wd_eval_set(m, "contradictions", share(contradicting, n), n, err));
    WD_TRY(set_templates(result, n, m, err));
    return wd_eval_set(m, "unsupported", share(unsupported, positive), positive, err);
}

/* ---- per kind ---- */

static bool is_type(const json_t *result, const json_t *claim, const char *name)
{
    (void)result;
    return !strcmp(json_string_value(json_object_get(claim, "type")), name);
}

static bool is_density(const json_t *result, const json_t *claim, const char *name)
{
    (void)result;
    const char *own = json_string_value(json_object_get(claim, "density"));
    return own && !strcmp(own, name);
}

static bool is_language(const json_t *result, const json_t *claim, const char *name)
{
    (void)claim;
    const char *own = json_string_value(json_object_get(result, "language"));
    return own && !strcmp(own, name);
}

/* Nodules by diameter, "6-8": from 6 to below 8 mm. */
static bool is_size(const json_t *result, const json_t *claim, const char *name)
{
    char *end;
    const double from = strtod(name, &end), to = strtod(end + 1, NULL), size = number_at(claim, "size_mm");
    return is_type(result, claim, "nodule") && size >= from && size < to;
}

static const struct {
    const char *kind;
    takes_fn *takes;
    const char *name[8];
} groups[] = {
    { "type", is_type, { "nodule", "effusion", "consolidation", "emphysema" } },
    { "nodule_size_mm", is_size, { "1-6", "6-8", "8-15", "15-31", "31-1000" } },
    { "density", is_density, { "solid", "part-solid", "ground-glass", "calcified" } },
    { "language", is_language, { "en", "zh" } },
};

static wd_status set_groups(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    json_t *by = json_object();
    wd_status st = by ? WD_OK : no_memory(err);
    for (size_t g = 0; !st && g < WD_COUNT(groups); g++) {
        json_t *kind = json_object();
        if (json_object_set_new(by, groups[g].kind, kind))
            st = no_memory(err);
        for (size_t i = 0; !st && i < WD_COUNT(groups[g].name) && groups[g].name[i]; i++) {
            json_t *m = json_object();
            st = json_object_set_new(kind, groups[g].name[i], m)
                     ? no_memory(err)
                     : tally_all(result, n, groups[g].takes, groups[g].name[i], m, err);
        }
    }
    if (!st && json_object_set(metrics, "by", by))
        st = no_memory(err);
    json_decref(by);
    return st;
}

static wd_status score(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    WD_TRY(tally_all(result, n, NULL, NULL, metrics, err));
    WD_TRY(set_reports(result, n, metrics, err));
    return set_groups(result, n, metrics, err);
}

/* ---- the blind answer ---- */

/* The most frequent finding of these cases (type, side, lobe; its median size), reported for every case. */
typedef struct kind_count {
    wd_claim claim;
    size_t n;
} kind_count;

static wd_status count_kinds(const wd_claim *c, size_t n, kind_count *kinds, size_t max, size_t *n_kind)
{
    for (size_t i = 0; i < n; i++) {
        size_t k = 0;
        while (k < *n_kind && (kinds[k].claim.type != c[i].type || kinds[k].claim.side != c[i].side ||
                               kinds[k].claim.lobe != c[i].lobe))
            k++;
        if (k == max)
            continue;
        if (k == *n_kind)
            kinds[(*n_kind)++].claim = (wd_claim){ .type = c[i].type, .side = c[i].side, .lobe = c[i].lobe };
        kinds[k].n++;
    }
    return WD_OK;
}

#define KINDS_MAX (WD_LEX_N_TYPE * 4 * WD_LEX_N_LOBE)

static wd_status read_truths(json_t *const *result, size_t n, wd_arena *a, wd_claim **claims, size_t *n_claim,
                             wd_err *err)
{
    for (size_t i = 0; i < n; i++) {
        json_t *v = json_pack("{s:O}", "findings", json_object_get(result[i], "truth"));
        const wd_status st = v ? wd_eval__truth(v, "truth", "en", a, &claims[i], &n_claim[i], err)
                               : no_memory(err);
        json_decref(v);
        WD_TRY(st);
    }
    return WD_OK;
}

static double median_size(const wd_claim *like, wd_claim *const *claims, const size_t *n_claim, size_t n,
                          wd_arena *a)
{
    size_t all = 0, n_size = 0;
    for (size_t i = 0; i < n; i++)
        all += n_claim[i];
    double *size = WD_NEW_N(a, double, all);
    for (size_t i = 0; size && i < n; i++)
        for (size_t k = 0; k < n_claim[i]; k++)
            if (claims[i][k].type == like->type && claims[i][k].lobe == like->lobe &&
                claims[i][k].size_mm > 0)
                size[n_size++] = claims[i][k].size_mm;
    if (!n_size)
        return 0;
    qsort(size, n_size, sizeof *size, by_value);
    return size[n_size / 2];
}

/* The result of a case had the model said `always`. */
static json_t *blind_result(const json_t *result, const wd_claim *always, wd_claim *truth, size_t n_truth,
                            wd_arena *a, wd_err *err)
{
    wd_claim said = *always;
    if (wd_eval__match(&said, 1, truth, n_truth, a, err))
        return NULL;
    json_t *v = json_pack("{s:O, s:o, s:[o], s:n, s:b, s:[], s:I, s:o, s:s}", "language",
                          json_object_get(result, "language"), "truth", claims_json(truth, n_truth), "said",
                          wd_eval__claim_json(&said), "impression_first", "schema_valid", 1, "contradictions",
                          "positive_sentences", (json_int_t)1, "unsupported",
                          said.match < 0 ? json_pack("[s]", "always") : json_array(), "template", "always");
    if (!v)
        (void)no_memory(err);
    return v;
}

static wd_status blind_in(json_t *const *result, size_t n, wd_arena *a, json_t *metrics, wd_err *err)
{
    wd_claim **claims = WD_NEW_N(a, wd_claim *, n);
    size_t *n_claim = WD_NEW_N(a, size_t, n), n_kind = 0, best = 0;
    kind_count *kinds = WD_NEW_N(a, kind_count, KINDS_MAX);
    json_t **blind = WD_NEW_N(a, json_t *, n);
    if (!claims || !n_claim || !kinds || !blind)
        return no_memory(err);
    WD_TRY(read_truths(result, n, a, claims, n_claim, err));
    for (size_t i = 0; i < n; i++)
        WD_TRY(count_kinds(claims[i], n_claim[i], kinds, KINDS_MAX, &n_kind));
    for (size_t k = 1; k < n_kind; k++)
        if (kinds[k].n > kinds[best].n)
            best = k;
    wd_claim always = kinds[best].claim;
    always.size_mm = median_size(&always, claims, n_claim, n, a);
    wd_status st = WD_OK;
    for (size_t i = 0; !st && i < n; i++) {
        blind[i] = blind_result(result[i], &always, claims[i], n_claim[i], a, err);
        st = blind[i] ? WD_OK : err->code;
    }
    if (!st)
        st = score(blind, n, metrics, err);
    for (size_t i = 0; i < n; i++)
        json_decref(blind[i]);
    return st;
}

static wd_status blind(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    wd_arena *a = wd_arena_create((size_t)1 << 30, false);
    if (!a)
        return no_memory(err);
    const wd_status st = blind_in(result, n, a, metrics, err);
    wd_arena_destroy(a);
    return st;
}

static const wd_eval_target targets[] = {
    { "finding_precision", "", NAN, false },
    { "finding_recall", "", NAN, false },
    { "finding_f1", "", 0.90, false },
    { "laterality", "", 0.98, false },
    { "lobe", "", 0.90, false },
    { "size_err_mm_median", "mm", 2, true },
    { "size_stated", "", NAN, false },
    { "density", "", NAN, false },
    { "margin", "", NAN, false },
    { "impression_rank", "", NAN, false },
    { "schema_valid", "", NAN, false },
    { "contradictions", "", NAN, true },
    { "template_collapse", "", NAN, true },
    { "distinct_texts", "", NAN, false },
    { "unsupported", "", NAN, true },
};

const wd_eval_suite wd_eval_report = {
    .name = "report",
    .brief = "findings and impression of a draft report",
    .target = targets,
    .n_target = WD_COUNT(targets),
    .make = wd_eval__make_ct,
    .run = run,
    .score = score,
    .blind = blind,
};
