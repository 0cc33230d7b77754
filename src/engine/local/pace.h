/* How many rows of prompts go into a step that replies wait for: as many as keep it within a time. Arithmetic alone: what
 * steps took is told. */
#ifndef WD_ENGINE_LOCAL_PACE_H
#define WD_ENGINE_LOCAL_PACE_H

#include <stddef.h>

/* Starts as { .most_s = ... }. */
typedef struct wd_local_pace {
    double most_s;  /* that a step with replies should take, unless replies alone take more than half of it */
    double reply_s; /* a step of replies alone, lately; 0: not known */
    double row_s;   /* a step's time over its rows, of late steps that had prompts; 0: not known */
    unsigned n_mixed; /* steps with both since reply_s was measured */
} wd_local_pace;

/* A step with n_reply rows of replies and n_prompt rows of prompts took step_s. */
void wd_local__pace_note(wd_local_pace *p, size_t n_reply, size_t n_prompt, double step_s);

/* Rows of prompts for a step that has n_reply >= 1 rows of replies, `most` at most. 0: this step shows what replies take
 * alone; the one after it has rows again. */
size_t wd_local__pace_rows(const wd_local_pace *p, size_t n_reply, size_t most);

#endif
