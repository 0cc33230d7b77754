/* A model's reply about a teaching video, and the three forms of the draft that comes of it: steps lie within the cards
 * that were shown, in order; the subtitles keep their structure whatever a title says. */
#include <stdlib.h>

#include "base/json.h"
#include "care/lesson.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

static size_t count(wd_span text, const char *what)
{
    size_t n = 0;
    for (size_t at = 0; (at = wd_span_find(text, wd_span_str(what), at)) != SIZE_MAX; at++)
        n++;
    return n;
}

static void check_steps(const wd_lesson *l)
{
    for (uint32_t i = 0; i < l->n_step; i++) {
        const wd_lesson_step *s = &l->step[i];
        must(s->title[0] && s->first_card >= 1 && s->first_card <= s->last_card &&
             s->last_card <= l->cards->n_card);
        must(s->start_s == l->cards->card[s->first_card - 1].start_s &&
             s->end_s == l->cards->card[s->last_card - 1].end_s);
        must(!i || l->step[i - 1].first_card <= s->first_card);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static wd_lesson_card card[4] = { { 0, 2.5, 1, false, { 0 } },
                                      { 2.5, 7, 4, false, { 0 } },
                                      { 7, 3600, 9, false, { 0 } },
                                      { 3600, 36000, 4000, true, { 0 } } };
    static const wd_lesson_cards cards = { .card = card, .n_card = 4, .codec = "h264" };
    wd_arena *a = wd_arena_create(64u << 20, false);
    must(a != NULL);
    wd_lesson l = { .raw = "", .origin = { .language = size && data[0] & 1 ? "zh" : "en", .model = "m" } };
    wd_buf b = { 0 };
    wd_err err;
    must(wd_lesson_parse(wd_span_of(data, size), &cards, a, &l) == l.parsed && l.parsed == !l.why_not);
    check_steps(&l);
    must(!wd_lesson_text(&l, WD_LESSON_VTT, &b, &err));
    must(count(wd_buf_view(&b), "-->") ==
         count(wd_buf_view(&b), "\n\n") - 1); /* a cue after each blank line */
    wd_buf_clear(&b);
    must(!wd_lesson_text(&l, WD_LESSON_MARKDOWN, &b, &err));
    wd_buf_clear(&b);
    must(!wd_lesson_text(&l, WD_LESSON_JSON, &b, &err));
    json_t *v = NULL;
    must(!wd_json_parse(wd_buf_view(&b), "draft", &v, &err));
    must(json_array_size(json_object_get(v, "steps")) == l.n_step);
    json_decref(v);
    wd_buf_free(&b);
    wd_arena_destroy(a);
    return 0;
}
