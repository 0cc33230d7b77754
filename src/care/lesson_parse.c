/* A model's reply becomes steps with times, or is said not to. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "care/lesson.h"
#include "care/reply.h"

#define STEPS_MAX 200u
#define TEXT_BYTES_MAX 2000u /* of a title, a term or its meaning; a summary may have ten times as many */

/* The member as trimmed text in the arena; absent or null: "". NULL when it is something else, too long, or there is no
 * memory. */
static const char *text_of(const json_t *o, const char *key, size_t max, wd_arena *a)
{
    const json_t *v = json_object_get(o, key);
    if (!v || json_is_null(v))
        return "";
    const wd_span s = wd_reply_trim(wd_span_of(json_string_value(v), json_string_length(v)));
    return json_is_string(v) && s.n <= max ? wd_arena_strndup(a, (const char *)s.p, s.n) : NULL;
}

/* One step of the reply, or NULL and it is taken; a card that was not shown is counted. */
static const char *take_step(const json_t *v, wd_arena *a, wd_lesson *l)
{
    const json_t *card = json_object_get(v, "card");
    const char *title = text_of(v, "title", TEXT_BYTES_MAX, a);
    if (!json_is_object(v) || !title || !*title)
        return "a step has no title";
    const json_int_t n = json_integer_value(card); /* 0 when it is no integer */
    if (n < 1 || n > l->cards->n_card) {
        l->n_dropped++;
        return NULL;
    }
    const wd_lesson_card *c = &l->cards->card[n - 1];
    if (l->n_step && l->step[l->n_step - 1].first_card > (uint32_t)n)
        l->reordered = true;
    l->step[l->n_step++] = (wd_lesson_step){ title, (uint32_t)n, (uint32_t)n, c->start_s, c->end_s };
    return NULL;
}

/* In order of cards, steps of one card as they came. n is small. */
static void sort_steps(wd_lesson *l)
{
    for (uint32_t i = 1; i < l->n_step; i++) {
        const wd_lesson_step s = l->step[i];
        uint32_t k = i;
        for (; k > 0 && l->step[k - 1].first_card > s.first_card; k--)
            l->step[k] = l->step[k - 1];
        l->step[k] = s;
    }
}

/* The same step on the same or the next card is one. */
static void join_steps(wd_lesson *l)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->n_step; i++) {
        wd_lesson_step *last = n ? &l->step[n - 1] : NULL;
        const wd_lesson_step *s = &l->step[i];
        if (last && !strcmp(last->title, s->title) && s->first_card <= last->last_card + 1) {
            last->last_card = s->last_card;
            last->end_s = s->end_s;
        } else {
            l->step[n++] = *s;
        }
    }
    l->n_step = n;
}

static const char *take_term(const json_t *v, wd_arena *a, wd_lesson *l)
{
    const char *term = text_of(v, "term", TEXT_BYTES_MAX, a),
               *meaning = text_of(v, "meaning", TEXT_BYTES_MAX, a);
    if (!json_is_object(v) || !term || !meaning || !*term)
        return "a term has no text";
    l->term[l->n_term++] = (wd_lesson_term){ term, meaning };
    return NULL;
}

/* NULL, or why this object is no lesson. */
static const char *take_object(const json_t *o, wd_arena *a, wd_lesson *l)
{
    const json_t *steps = json_object_get(o, "steps"), *terms = json_object_get(o, "terms");
    const size_t n_step = json_array_size(steps), n_term = json_array_size(terms);
    if (!json_is_array(steps))
        return "the JSON has no steps array";
    if (terms && !json_is_null(terms) && !json_is_array(terms))
        return "the terms are no array";
    if (n_step > STEPS_MAX || n_term > STEPS_MAX)
        return "it lists more steps or terms than a lesson can have";
    l->title = text_of(o, "title", TEXT_BYTES_MAX, a);
    l->summary = text_of(o, "summary", 10 * TEXT_BYTES_MAX, a);
    if (!l->title || !l->summary)
        return "title or summary is no text of a usual length";
    l->step = WD_NEW_N(a, wd_lesson_step, n_step);
    l->term = WD_NEW_N(a, wd_lesson_term, n_term);
    if (!l->step || !l->term)
        return "there was no memory for it";
    for (size_t i = 0; i < n_step; i++) {
        const char *why = take_step(json_array_get(steps, i), a, l);
        if (why)
            return why;
    }
    for (size_t i = 0; i < n_term; i++) {
        const char *why = take_term(json_array_get(terms, i), a, l);
        if (why)
            return why;
    }
    sort_steps(l);
    join_steps(l);
    return NULL;
}

bool wd_lesson_parse(wd_span text, const wd_lesson_cards *cards, wd_arena *a, wd_lesson *out)
{
    wd_err err;
    json_t *v = NULL;
    const wd_span body = wd_reply_body(text);
    const char *why = "it is not the JSON asked for";
    out->cards = cards;
    if (body.n && body.p[0] == '{')
        why = wd_json_parse(body, "reply", &v, &err) ? "it is no whole JSON object" : take_object(v, a, out);
    json_decref(v);
    out->parsed = why == NULL;
    out->why_not = why;
    if (why) {
        out->title = out->summary = "";
        out->n_step = out->n_term = out->n_dropped = 0;
        out->reordered = false;
    }
    return out->parsed;
}
