/* The suite "lesson": steps of a teaching video with their times, against what its cards say.
 *
 * A step of the reply matches a step of the truth when their titles are alike (1 - edit distance / longer length, in
 * characters, is at least 0.8) and their times overlap; each matches one at most. Times are compared for matched steps.
 * The character error rate is that of all step titles of a video, in order, one to a line.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "care/eval/case.h"
#include "care/eval/eval.h"
#include "care/lesson.h"
#include "care/phantom/lesson.h"

#define ALIKE 0.8
#define CHARACTERS_MAX 4000u /* of a text that is compared */
#define STEPS_MAX 200u
#define MAX_TOKENS 1024u
#define WITHIN_S 1.0

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "lesson: no memory");
}

/* ---- a case ---- */

static wd_status make(const char *dir, uint64_t seed, wd_err *err)
{
    return wd_phantom_lesson(dir, seed, err);
}

static wd_status find_video(const char *dir, wd_arena *a, const char **out, wd_err *err)
{
    static const char *const names[] = { "video.mp4", "video.mov", "video.mkv", "video.webm", "video.avi" };
    for (size_t i = 0; i < WD_COUNT(names); i++) {
        *out = wd_path_join(a, dir, names[i]);
        if (!*out)
            return no_memory(err);
        if (wd_file_exists(*out))
            return WD_OK;
    }
    return WD_FAIL(err, WD_E_NOT_FOUND, "%s: holds no video.mp4 (nor .mov, .mkv, .webm, .avi)", dir);
}

/* Only what is compared: [{"title", "start_s", "end_s"}]. */
static wd_status true_steps(const char *where, const json_t *truth, json_t **out, wd_err *err)
{
    json_t *steps, *list = NULL;
    WD_TRY(wd_json_arr(truth, where, "steps", &steps, err));
    if (!steps || !json_array_size(steps) || json_array_size(steps) > STEPS_MAX)
        return WD_FAIL(err, WD_E_INVALID, "%s: steps: expected 1 to %u of them", where, STEPS_MAX);
    list = json_array();
    wd_status st = list ? WD_OK : no_memory(err);
    for (size_t i = 0; !st && i < json_array_size(steps); i++) {
        const json_t *s = json_array_get(steps, i);
        const char *title;
        double start, end;
        st = wd_json_need_str(s, where, "title", &title, err);
        if (!st)
            st = wd_json_num(s, where, "start_s", 0, 1e9, -1, &start, err);
        if (!st)
            st = wd_json_num(s, where, "end_s", 0, 1e9, -1, &end, err);
        if (!st && !(start >= 0 && end > start))
            st = WD_FAIL(err, WD_E_INVALID, "%s: step %zu needs start_s and a later end_s", where, i + 1);
        if (!st && json_array_append_new(
                       list, json_pack("{s:s, s:f, s:f}", "title", title, "start_s", start, "end_s", end)))
            st = no_memory(err);
    }
    if (st)
        json_decref(list);
    else
        *out = list;
    return st;
}

static json_t *or_empty(const json_t *v, json_t *empty)
{
    if (!v)
        return empty;
    json_decref(empty);
    return json_incref((json_t *)(uintptr_t)v);
}

/* The truth in the form asked for: each card whose middle lies in a step, with that step's title. */
static wd_status right_reply(const wd_lesson_cards *cards, const json_t *truth, const json_t *steps,
                             wd_buf *out, wd_err *err)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < cards->n_card; i++) {
        const double middle = (cards->card[i].start_s + cards->card[i].end_s) / 2;
        for (size_t k = 0; k < json_array_size(steps); k++) {
            const json_t *s = json_array_get(steps, k);
            if (middle >= json_number_value(json_object_get(s, "start_s")) &&
                middle < json_number_value(json_object_get(s, "end_s")))
                wd_json_append(
                    &list, json_pack("{s:O, s:i}", "title", json_object_get(s, "title"), "card", (int)i + 1));
        }
    }
    json_t *v = json_pack("{s:o, s:o, s:o, s:o}", "title",
                          or_empty(json_object_get(truth, "title"), json_string("")), "steps", list, "terms",
                          or_empty(json_object_get(truth, "terms"), json_array()), "summary",
                          or_empty(json_object_get(truth, "summary"), json_string("")));
    if (!v)
        return no_memory(err);
    wd_status st = wd_json_write(v, 0, out, err);
    json_decref(v);
    return st ? st : wd_buf_check(out, "reply", err);
}

static json_t *said_steps(const wd_lesson *l)
{
    json_t *a = json_array();
    for (uint32_t i = 0; i < l->n_step; i++)
        wd_json_append(&a, json_pack("{s:s, s:f, s:f}", "title", l->step[i].title, "start_s",
                                     l->step[i].start_s, "end_s", l->step[i].end_s));
    return a;
}

/* ---- comparing ---- */

typedef struct letters {
    uint32_t c[CHARACTERS_MAX];
    uint32_t n;
} letters;

static void add_letters(letters *l, const char *s)
{
    const wd_span text = wd_span_str(s);
    size_t n;
    for (size_t at = 0; at < text.n && l->n < CHARACTERS_MAX; at += n)
        l->c[l->n++] = wd_utf8_next(text, at, &n);
}

/* Levenshtein's: insertions, deletions and replacements. row [CHARACTERS_MAX + 1] is room to work in. */
static uint32_t edits(const letters *a, const letters *b, uint32_t *row)
{
    for (uint32_t j = 0; j <= b->n; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a->n; i++) {
        uint32_t diagonal = row[0];
        row[0] = i;
        for (uint32_t j = 1; j <= b->n; j++) {
            const uint32_t change = diagonal + (a->c[i - 1] != b->c[j - 1]);
            diagonal = row[j];
            row[j] = WD_MIN(change, WD_MIN(row[j], row[j - 1]) + 1);
        }
    }
    return row[b->n];
}

typedef struct tally {
    size_t n_case, n_parsed, n_title, n_title_exact;
    size_t n_said, n_true, n_match, n_letter, n_edit, n_within;
    double *err_s; /* [n_match], room for all true steps */
    letters a, b;
    uint32_t row[CHARACTERS_MAX + 1];
} tally;

static double number(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static double likeness(tally *t, const char *x, const char *y)
{
    t->a.n = t->b.n = 0;
    add_letters(&t->a, x);
    add_letters(&t->b, y);
    const uint32_t longer = WD_MAX(t->a.n, t->b.n);
    return longer ? 1 - (double)edits(&t->a, &t->b, t->row) / longer : 1;
}

static double overlap_s(const json_t *x, const json_t *y)
{
    return fmin(number(x, "end_s"), number(y, "end_s")) - fmax(number(x, "start_s"), number(y, "start_s"));
}

/* For each true step the likest one that is still free; of equals the one with the longer overlap. match[STEPS_MAX], may
 * be NULL: the number of it, -1 for none. */
static void match_steps(tally *t, const json_t *said, const json_t *truth, int *match)
{
    bool taken[STEPS_MAX] = { false };
    const size_t n_said = WD_MIN(json_array_size(said), STEPS_MAX), n_true = json_array_size(truth);
    t->n_said += json_array_size(said);
    t->n_true += n_true;
    for (size_t i = 0; i < n_true; i++) {
        const json_t *want = json_array_get(truth, i);
        size_t best = SIZE_MAX;
        double best_like = ALIKE, best_overlap = 0;
        if (match)
            match[i] = -1;
        for (size_t k = 0; k < n_said; k++) {
            const json_t *s = json_array_get(said, k);
            const double overlap = overlap_s(want, s);
            if (taken[k] || overlap <= 0)
                continue;
            const double like = likeness(t, text(want, "title"), text(s, "title"));
            if (like > best_like || (like >= best_like && overlap > best_overlap)) {
                best = k;
                best_like = like;
                best_overlap = overlap;
            }
        }
        if (best == SIZE_MAX)
            continue;
        taken[best] = true;
        if (match)
            match[i] = (int)best;
        const double e = fabs(number(json_array_get(said, best), "start_s") - number(want, "start_s"));
        t->err_s[t->n_match++] = e;
        t->n_within += e <= WITHIN_S;
    }
}

/* "match" of each step, said or true: the number of its partner on the other side, null without one. */
static wd_status mark_matches(json_t *result, wd_arena *a, wd_err *err)
{
    const json_t *said = json_object_get(result, "steps"), *truth = json_object_get(result, "steps_true");
    int match[STEPS_MAX];
    tally *t = WD_NEW(a, tally);
    if (!t || !(t->err_s = WD_NEW_N(a, double, json_array_size(truth) + 1)))
        return no_memory(err);
    match_steps(t, said, truth, match);
    bool bad = false;
    for (size_t i = 0; i < json_array_size(said); i++)
        bad |= json_object_set_new(json_array_get(said, i), "match", json_null()) != 0;
    for (size_t i = 0; i < json_array_size(truth); i++) {
        const int k = match[i];
        bad |= json_object_set_new(json_array_get(truth, i), "match",
                                   k < 0 ? json_null() : json_integer(k)) != 0;
        if (k >= 0)
            bad |= json_object_set_new(json_array_get(said, (size_t)k), "match", json_integer((int)i)) != 0;
    }
    return bad ? no_memory(err) : WD_OK;
}

static wd_status run(const wd_eval_run *r, const char *dir, const json_t *truth, wd_arena *a, json_t **out,
                     wd_err *err)
{
    wd_lesson_opts o = WD_LESSON_OPTS_DEFAULT;
    const char *video, *title, *where = wd_path_join(a, dir, "truth.json");
    if (!where)
        return no_memory(err);
    WD_TRY(wd_eval__ask(r, "lesson", MAX_TOKENS, a, &o.ask, err));
    WD_TRY(find_video(dir, a, &video, err));
    WD_TRY(wd_json_str(truth, where, "title", &title, err));
    wd_lesson_cards cards;
    WD_TRY(wd_lesson_look(video, &o, a, &cards, err));
    json_t *steps = NULL;
    WD_TRY(true_steps(where, truth, &steps, err));
    wd_status st = WD_OK;
    if (r->oracle) {
        wd_buf reply = { 0 };
        st = right_reply(&cards, truth, steps, &reply, err);
        if (!st)
            wd_oracle_expect(r->oracle, wd_buf_view(&reply));
        wd_buf_free(&reply);
    }
    wd_lesson l;
    if (!st)
        st = wd_lesson_ask(r->engine, &cards, &o, a, &l, err);
    if (st) {
        json_decref(steps);
        return st;
    }
    *out = json_pack("{s:f, s:i, s:s?, s:o, s:s, s:o, s:b, s:i, s:s%}", "duration_s", cards.duration_s,
                     "cards", (int)cards.n_card, "title_true", title, "steps_true", steps, "title", l.title,
                     "steps", said_steps(&l), "parsed", l.parsed, "dropped", (int)l.n_dropped, "reply", l.raw,
                     strlen(l.raw));
    if (!*out)
        return no_memory(err);
    st = mark_matches(*out, a, err);
    if (!st && r->detail && json_object_set_new(*out, "draft", wd_lesson_json(&l)))
        st = no_memory(err);
    if (st) {
        json_decref(*out);
        *out = NULL;
    }
    return st;
}

static void add_titles(letters *l, const json_t *steps)
{
    l->n = 0;
    for (size_t i = 0; i < json_array_size(steps); i++) {
        if (i)
            add_letters(l, "\n");
        add_letters(l, text(json_array_get(steps, i), "title"));
    }
}

static void add_case(tally *t, const json_t *r)
{
    const json_t *said = json_object_get(r, "steps"), *truth = json_object_get(r, "steps_true");
    t->n_case++;
    t->n_parsed += json_is_true(json_object_get(r, "parsed"));
    if (json_is_string(json_object_get(r, "title_true"))) {
        t->n_title++;
        t->n_title_exact += !strcmp(text(r, "title"), text(r, "title_true"));
    }
    match_steps(t, said, truth, NULL);
    add_titles(&t->a, truth);
    add_titles(&t->b, said);
    t->n_letter += t->a.n;
    t->n_edit += edits(&t->a, &t->b, t->row);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
    qsort(v, n, sizeof *v, by_size);
    return n ? (v[(n - 1) / 2] + v[n / 2]) / 2 : 0;
}

static double share(size_t part, size_t of)
{
    return of ? (double)part / (double)of : 0;
}

static wd_status set_all(tally *t, json_t *m, wd_err *err)
{
    WD_TRY(wd_eval_set(m, "step_f1", share(2 * t->n_match, t->n_said + t->n_true), t->n_true, err));
    WD_TRY(wd_eval_set(m, "step_precision", share(t->n_match, t->n_said), t->n_said, err));
    WD_TRY(wd_eval_set(m, "step_recall", share(t->n_match, t->n_true), t->n_true, err));
    WD_TRY(wd_eval_set(m, "step_time_err_s_median", median(t->err_s, t->n_match), t->n_match, err));
    WD_TRY(wd_eval_set(m, "step_time_within_1s", share(t->n_within, t->n_match), t->n_match, err));
    WD_TRY(wd_eval_set(m, "text_cer", share(t->n_edit, t->n_letter), t->n_case, err));
    WD_TRY(wd_eval_set(m, "title_exact", share(t->n_title_exact, t->n_title), t->n_title, err));
    return wd_eval_set(m, "parsed", share(t->n_parsed, t->n_case), t->n_case, err);
}

/* The metrics of the results in one language; NULL: in any. */
static wd_status score_language(json_t *const *result, size_t n, const char *language, json_t *metrics,
                                wd_err *err)
{
    size_t n_true = 0;
    for (size_t i = 0; i < n; i++)
        n_true += json_array_size(json_object_get(result[i], "steps_true"));
    tally *t = WD_ALLOC(tally);
    if (t)
        t->err_s = WD_ALLOC_N(double, n_true + 1);
    wd_status st = t && t->err_s ? WD_OK : no_memory(err);
    for (size_t i = 0; !st && i < n; i++)
        if (!language || !strcmp(text(result[i], "language"), language))
            add_case(t, result[i]);
    if (!st)
        st = set_all(t, metrics, err);
    if (t)
        wd_free(t->err_s);
    wd_free(t);
    return st;
}

static wd_status score(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    static const char *const languages[] = { "en", "zh" };
    WD_TRY(score_language(result, n, NULL, metrics, err));
    json_t *by = json_object();
    if (!by || json_object_set_new(metrics, "by", by))
        return no_memory(err);
    for (size_t i = 0; i < WD_COUNT(languages); i++) {
        json_t *own = json_object();
        if (!own || json_object_set_new(by, languages[i], own))
            return no_memory(err);
        WD_TRY(score_language(result, n, languages[i], own, err));
    }
    return WD_OK;
}

/* ---- the blind answer: the usual title, the usual steps, as many as usual, evenly spread ---- */

/* counts[key] += 1 */
static void count(json_t *counts, const char *key)
{
    json_object_set_new(counts, key, json_integer(json_integer_value(json_object_get(counts, key)) + 1));
}

/* The most frequent key that is not in `without` (an object, or NULL); of equals the first. NULL when none is left. */
static const char *most(json_t *counts, const json_t *without)
{
    const char *key, *best = NULL;
    json_int_t best_n = 0;
    json_t *v;
    json_object_foreach(counts, key, v)
    {
        if (json_integer_value(v) > best_n && !(without && json_object_get(without, key))) {
            best = key;
            best_n = json_integer_value(v);
        }
    }
    return best;
}

typedef struct usual {
    json_t *title, *step, *number; /* counts */
} usual;

static void count_all(json_t *const *result, size_t n, const char *language, usual *u)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *steps = json_object_get(result[i], "steps_true");
        if (strcmp(text(result[i], "language"), language) != 0)
            continue;
        char number_of[24];
        snprintf(number_of, sizeof number_of, "%zu", json_array_size(steps));
        count(u->number, number_of);
        count(u->title, text(result[i], "title_true"));
        for (size_t k = 0; k < json_array_size(steps); k++)
            count(u->step, text(json_array_get(steps, k), "title"));
    }
}

/* `like` with the blind answer in place of the model's. */
static json_t *blind_result(const json_t *like, const usual *u)
{
    const char *number_of = most(u->number, NULL), *title = most(u->title, NULL);
    const int n = number_of ? (int)strtol(number_of, NULL, 10) : 0;
    const double length_s = number(like, "duration_s") / (n ? n : 1);
    json_t *steps = json_array(), *said = json_object();
    for (int i = 0; i < n; i++) {
        const char *step = most(u->step, said);
        if (!step)
            break;
        json_object_set_new(said, step, json_true());
        wd_json_append(&steps, json_pack("{s:s, s:f, s:f}", "title", step, "start_s", i * length_s, "end_s",
                                         (i + 1) * length_s));
    }
    json_decref(said);
    json_t *r = json_copy((json_t *)(uintptr_t)like);
    if (!r || json_object_set_new(r, "steps", steps) || json_object_set_new(r, "parsed", json_true()) ||
        json_object_set_new(r, "title", json_string(title ? title : ""))) {
        json_decref(r);
        return NULL;
    }
    return r;
}

static wd_status blind(json_t *const *result, size_t n, json_t *metrics, wd_err *err)
{
    static const char *const languages[] = { "en", "zh" };
    json_t **answer = WD_ALLOC_N(json_t *, n + 1);
    wd_status st = answer ? WD_OK : no_memory(err);
    for (size_t l = 0; !st && l < WD_COUNT(languages); l++) {
        usual u = { json_object(), json_object(), json_object() };
        count_all(result, n, languages[l], &u);
        for (size_t i = 0; !st && i < n; i++) {
            if (strcmp(text(result[i], "language"), languages[l]) != 0)
                continue;
            answer[i] = blind_result(result[i], &u);
            if (!answer[i])
                st = no_memory(err);
        }
        json_decref(u.title);
        json_decref(u.step);
        json_decref(u.number);
    }
    if (!st)
        st = score(answer, n, metrics, err);
    for (size_t i = 0; answer && i < n; i++)
        json_decref(answer[i]);
    wd_free(answer);
    return st;
}

static const wd_eval_target targets[] = {
    { "step_f1", "", 0.85, false },
    { "step_precision", "", NAN, false },
    { "step_recall", "", NAN, false },
    { "step_time_err_s_median", "s", 1, true },
    { "step_time_within_1s", "", NAN, false },
    { "text_cer", "", NAN, true },
    { "title_exact", "", NAN, false },
    { "parsed", "", NAN, false },
};

const wd_eval_suite wd_eval_lesson = {
    .name = "lesson",
    .brief = "steps of a teaching video with their times",
    .target = targets,
    .n_target = WD_COUNT(targets),
    .make = make,
    .run = run,
    .score = score,
    .blind = blind,
};
