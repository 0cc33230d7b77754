/* The right words about a fault of an exercise: what is wrong, why it may be, what to do. The wording follows from what
 * was measured (exercise, fault, how far past the limit), so that it can be learned from the measurements alone. */
#ifndef WD_CARE_PHANTOM_EXERCISE_WORDS_H
#define WD_CARE_PHANTOM_EXERCISE_WORDS_H

#include "care/rehab_rules.h"

#define WD_EXERCISE_SAID_REPS 64

typedef struct wd_exercise_said {
    wd_exercise_kind exercise;
    wd_rehab_fault_kind kind;
    bool zh;
    double worst_deg;
    uint32_t rep[WD_EXERCISE_SAID_REPS], n_rep; /* numbers from 1 */
} wd_exercise_said;

typedef struct wd_exercise_phrase {
    char issue[320], cause[320], advice[320];
} wd_exercise_phrase;

void wd_exercise_say(const wd_exercise_said *s, wd_exercise_phrase *out);

/* One sentence about the whole: n_rep repetitions (or a hold of hold_s seconds), n_fault kinds of fault. */
void wd_exercise_sum_up(wd_exercise_kind k, bool zh, uint32_t n_rep, double hold_s, uint32_t n_fault,
                        char out[320]);

#endif
