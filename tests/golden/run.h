/* A golden checkpoint opened for a test, its samples run through it, and what came out held against the reference.
 *
 * Failures to open or run fail the cmocka test at hand; comparisons only collect, so that a table can be printed whole.
 */
#ifndef WD_TESTS_GOLDEN_RUN_H
#define WD_TESTS_GOLDEN_RUN_H

#include "golden/expected.h"
#include "model/heads.h"
#include "model/model.h"

typedef struct golden_opts {
    const char *checkpoint;  /* a directory under build/tests/golden/checkpoints */
    const char *isa;         /* as wd_isa_parse reads it */
    wd_precision precision;  /* EXACT: keys and values in F32 too; FAST: in BF16 */
    const char *lora[2];     /* folders under tests/golden/lora, or NULL */
    double lora_scale;       /* of all of them; 0: 1 */
    unsigned n_thread;       /* 0: the calling thread alone */
    int weight_bits;         /* 8 or 4: the weights quantised once they are open; 0: as stored */
    uint32_t weight_group;   /* of that; 0: the default */
    const char *dir;         /* a checkpoint anywhere, in place of `checkpoint`; NULL: that one */
    const char *weights_dir; /* where the tensors are, when not beside config.json; NULL: there */
    bool kv8;                /* keys and values in 8 bits instead */
} golden_opts;

typedef struct golden_model {
    golden_opts o;
    wd_model_config cfg;
    wd_weights *w;
    wd_pool *pool;
    wd_ops *ops;
    wd_lora *lora[2];
    size_t n_lora;
    wd_model *m;
    wd_kv_pool *kv;
} golden_model;

/* Instruction set levels from the reference up; NULL ends the list. */
extern const char *const golden_isa[];
bool golden_has_isa(const char *isa); /* on this machine */

/* The full path of a derived checkpoint; static memory, one at a time. */
const char *golden_path(const char *checkpoint);

void golden_open(golden_model *g, const golden_opts *o);
void golden_close(golden_model *g);

/* A prompt ready to run: ids, positions, and which row of the features stands for which token. */
typedef struct golden_prompt {
    size_t n;
    const uint32_t *ids;
    int32_t *pos[3];
    int32_t *visual; /* NULL without images */
    int32_t rope_delta;
    size_t n_grid, n_image;
    uint32_t (*grid)[3];
    wd_features features;
} golden_prompt;

/* Reads SAMPLE of the set and, when it shows something, runs the tower over its pixel rows (rows NULL: the recipe's).
 * Positions must equal the reference's exactly. */
void golden_prompt_init(golden_prompt *p, golden_model *g, const gold *want, const char *sample,
                        const float *rows, const wd_trace *trace);
void golden_prompt_free(golden_prompt *p);

/* The pixel rows of README.md: [n_row][n_col]; the caller frees. */
float *golden_pixels(size_t n_row, size_t n_col, uint32_t seed);

/* Tokens [first, first + n) appended to kv in steps of at most `chunk`; logits [n][n_vocab] of all of them, or of the
 * last alone when last_only. hidden likewise, may be NULL. */
void golden_feed(golden_model *g, const golden_prompt *p, wd_kv *kv, size_t first, size_t n, size_t chunk,
                 bool last_only, float *hidden, float *logits, const wd_trace *trace);

/* n_token greedy tokens after logits (of the last prompt token), fed one at a time. */
void golden_greedy(golden_model *g, wd_kv *kv, const float *logits, size_t n_token, uint32_t *out);

size_t golden_argmax(const float *v, size_t n);

/* ---- comparing ---- */

/* Stages as they come from a trace, each joined over its calls. */
typedef struct golden_stage {
    char name[64];
    float *v; /* [n_row][n_col] */
    size_t n_row, n_col, cap;
} golden_stage;

typedef struct golden_stages {
    golden_stage s[96];
    size_t n;
    wd_trace trace; /* give its address to a run */
} golden_stages;

void golden_stages_init(golden_stages *s);
void golden_stages_free(golden_stages *s);
const golden_stage *golden_stage_find(const golden_stages *s, const char *name);

typedef struct golden_row {
    char stage[64];
    double error, limit;
} golden_row;

typedef struct golden_report {
    golden_row row[128];
    size_t n;
} golden_report;

/* One line per stage that the reference holds. EXACT: largest difference over the largest value; FAST: relative L2.
 * Limits from section 12.4 of the specification. A stage that the run did not show counts as an infinite error. */
void golden_compare(const gold *want, const char *sample, const golden_stages *got, wd_precision p,
                    golden_report *r);
void golden_note(golden_report *r, const char *stage, double error, double limit);
double golden_error(const float *got, const float *want, size_t n); /* max abs over max abs(want) */
double golden_l2(const float *got, const float *want, size_t n);    /* relative L2 */
double golden_limit(const char *stage, wd_precision p);
bool golden_passed(const golden_report *r);
/* Everything about a sample at once: stages, log-probabilities of the prompt and, when EXACT, 64 greedy tokens. */
void golden_check(const golden_opts *o, const char *set, const char *sample, golden_report *r);

#endif
