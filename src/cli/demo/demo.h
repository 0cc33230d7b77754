/* What the parts of `ward demo` share: one object with all that was found out, and the pictures that go with it. */
#ifndef WD_CLI_DEMO_DEMO_H
#define WD_CLI_DEMO_DEMO_H

#include "care/slices.h"
#include "cli/cli.h"

typedef enum wd_demo_section {
    WD_DEMO_REPORT,
    WD_DEMO_FIND,
    WD_DEMO_REHAB,
    WD_DEMO_LESSON,
    WD_DEMO_ASSIST,
    WD_DEMO_N
} wd_demo_section;

/* "report": also the suite's name. */
const char *wd_demo_section_name(wd_demo_section s);

typedef struct wd_demo_frame {
    double time_s;
    size_t sample; /* of an exercise: number in what was looked at; of a lesson: number of the true step */
    wd_image image;
} wd_demo_frame;

typedef struct wd_demo {
    /* {"seed", "language", "notice", "out", "page", "engine": {"sees": {"model", "name", "digest"}, "reads": ... | null},
     *  "seconds", "sections": {NAME: {"case", "seed", "made_s", "seconds", "skipped": null | "a sentence",
     *    "agrees": "yes" | "partly" | "no" | null, "checks": [...] (wd_demo_judge), "result": {...}, "metrics": {...}}}}
     * result and metrics are the evaluation's own (care/eval/eval.h). */
    json_t *all;
    json_t *truth[WD_DEMO_N]; /* truth.json of the sections that ran; NULL */
    wd_slices slices;         /* of the CT; n_picture 0 without one */
    wd_demo_frame *exercise, *lesson;
    size_t n_exercise, n_lesson;
    bool zh;
} wd_demo;

/* The section, or NULL when it was not asked for. */
json_t *wd_demo_at(const wd_demo *d, wd_demo_section s);

/* truth: the case's truth.json, for what is only shown. Sets "checks" and "agrees" of a section that has its result. Each check is one thing that is true or was said:
 *   {"about", "truth": text | null, "said": text | null, "faults": [word], "note"?: text}
 * without faults it is right. Which finding, step or fault belongs to which, and what differs, is what the evaluation's
 * run() and score() say; nothing is compared here that they do not compare. */
WD_MUST_CHECK wd_status wd_demo_judge(json_t *section, wd_demo_section s, const json_t *truth,
                                      const char *language, wd_err *err);

/* The page: one file of HTML, pictures inside, that refers to nothing but the two videos beside it. */
WD_MUST_CHECK wd_status wd_demo_page(const wd_demo *d, wd_buf *out, wd_err *err);

/* The same for a terminal. colour: 24-bit colours and half blocks; otherwise plain characters. */
WD_MUST_CHECK wd_status wd_demo_text(const wd_demo *d, bool colour, wd_buf *out, wd_err *err);

/* Fields of JSON objects; "" and 0 where there is none. */
const char *wd_demo_str(const json_t *o, const char *key);
double wd_demo_num(const json_t *o, const char *key);
size_t wd_demo_len(const json_t *o, const char *key); /* of an array */

/* Is the number in the list? */
bool wd_demo_holds(const json_t *list, uint32_t number);
#define WD_DEMO_SLICES_MAX 400u /* of a series */

/* Words of faults ("missed", "side", ...) for people, in English or Chinese. */
const char *wd_demo_fault(const char *code, bool zh);
/* "agrees with the truth", ... for "yes", "partly", "no", NULL. */
const char *wd_demo_agrees(const char *code, bool zh);
/* A fault of a movement ("trunk_lean") and an angle ("knee_flexion") for people. */
const char *wd_demo_movement(const char *code, bool zh);
const char *wd_demo_angle(const char *code, bool zh);
const char *wd_demo_title(wd_demo_section s, bool zh);

#endif
