/* The story "lesson": a patient-education video becomes a list of steps with times, subtitles, terms and a summary.
 *
 * Cuts are measured, the model reads. Ward finds the shots itself (care/lesson_cuts.h), shows the model one picture of
 * each - a card - with its number and times, and asks for the steps, each with the number of its card. Times come from
 * the card, never from the model. Nothing is invented: a reply that does not parse is kept as it came and said to be
 * so, and steps that cite a card that was not shown are dropped and counted.
 *
 * The result is a DRAFT for the editor. It reads pictures only: speech is not heard, and the video itself is not
 * changed; nobody's face is hidden by this story.
 */
#ifndef WD_CARE_LESSON_H
#define WD_CARE_LESSON_H

#include <jansson.h>

#include "care/ask.h"
#include "care/lesson_cuts.h"

typedef struct wd_lesson_opts {
    wd_cuts_opts cuts;
    double sample_fps;       /* frames per second that are looked at        default 5              */
    uint32_t max_cards;      /* 1 .. WD_LESSON_CARDS_MAX                    default 12             */
    uint32_t picture_pixels; /* a card's picture has at most so many        default 36864: 256x144 */
    wd_ask_opts ask;
} wd_lesson_opts;
#define WD_LESSON_CARDS_MAX 64u
#define WD_LESSON_OPTS_DEFAULT                       \
    ((wd_lesson_opts){ .cuts = WD_CUTS_OPTS_DEFAULT, \
                       .sample_fps = 5,              \
                       .max_cards = 12,              \
                       .picture_pixels = 256 * 144,  \
                       .ask = { .language = "en", .max_tokens = 1024 } })

typedef struct wd_lesson_card {
    double start_s, end_s, key_s; /* key_s: when the picture was taken */
    bool is_take;                 /* goes on without a cut from the card before */
    wd_image picture;
} wd_lesson_card;

typedef struct wd_lesson_cards {
    uint32_t width, height; /* of the video */
    double fps, duration_s;
    const char *codec;
    wd_lesson_card *card; /* [n_card]; card i is number i + 1 */
    uint32_t n_card;
    uint32_t n_left_out; /* shots that are no card: the longest ones were taken */
} wd_lesson_cards;

/* Finds the shots of a video file and takes their pictures. A take longer than cuts.long_s becomes several cards; the
 * bound rises so that one take alone never makes more than max_cards. Everything lives in the arena. Needs
 * wd_sandbox_start(). Errors as media/video.h; WD_E_USAGE for options out of range. */
WD_MUST_CHECK wd_status wd_lesson_look(const char *path, const wd_lesson_opts *o, wd_arena *a,
                                       wd_lesson_cards *out, wd_err *err);

typedef struct wd_lesson_step {
    const char *title;
    uint32_t first_card, last_card; /* numbers from 1, all of them shown */
    double start_s, end_s;          /* of those cards */
} wd_lesson_step;

typedef struct wd_lesson_term {
    const char *term, *meaning;
} wd_lesson_term;

typedef struct wd_lesson {
    const wd_lesson_cards *cards;
    bool parsed;          /* false: nothing but raw is there */
    const char *why_not;  /* the sentence, when not parsed */
    const char *title;    /* "" when not said, as is summary */
    wd_lesson_step *step; /* [n_step] in order of time */
    uint32_t n_step;
    wd_lesson_term *term; /* [n_term] */
    uint32_t n_term;
    const char *summary;
    uint32_t n_dropped; /* steps that cite a card that was not shown */
    bool reordered;     /* the model told the steps in another order than the video */
    const char *raw;    /* the model's text as it came */
    wd_origin origin;
} wd_lesson;

/* Asks for the steps of the cards. Everything lives in the arena; `cards` is kept. */
WD_MUST_CHECK wd_status wd_lesson_ask(wd_engine *e, const wd_lesson_cards *cards, const wd_lesson_opts *o,
                                      wd_arena *a, wd_lesson *out, wd_err *err);

/* The reply alone: {"title", "steps": [{"title", "card"}], "terms": [{"term", "meaning"}], "summary"}, also inside ```
 * fences. Steps are put in order of their cards; the same step on neighbouring cards becomes one. Returns false with
 * *why_not, a sentence, when it is no such object. */
bool wd_lesson_parse(wd_span text, const wd_lesson_cards *cards, wd_arena *a, wd_lesson *out);

typedef enum wd_lesson_form { WD_LESSON_JSON, WD_LESSON_MARKDOWN, WD_LESSON_VTT } wd_lesson_form;

/* The draft as bytes; all three forms say DRAFT. The subtitles (WebVTT) have one cue for each step; without steps they
 * are a file without cues. */
json_t *wd_lesson_json(const wd_lesson *l); /* NULL: no memory */
WD_MUST_CHECK wd_status wd_lesson_text(const wd_lesson *l, wd_lesson_form form, wd_buf *out, wd_err *err);
/* dir/lesson.json, dir/lesson.md, dir/lesson.vtt, and the cards' pictures dir/card-01.png .. (dir is created). */
WD_MUST_CHECK wd_status wd_lesson_save(const wd_lesson *l, const char *dir, wd_err *err);

#endif
