/* What the reference computed: tests/golden/expected/SET.safetensors, opened for a test. A missing file or name fails
 * the test that asked. README.md says what the names mean. */
#ifndef WD_TESTS_GOLDEN_EXPECTED_H
#define WD_TESTS_GOLDEN_EXPECTED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct gold gold;

typedef struct gold_tensor {
    const float *f;   /* [n_row][n_col] of an F32 tensor, NULL otherwise */
    const int32_t *i; /* the same of an I32 tensor */
    size_t n_row, n_col, n;
} gold_tensor;

gold *gold_open(const char *set);
void gold_close(gold *g);

/* "SAMPLE.NAME". A one-dimensional tensor is a single row. */
gold_tensor gold_get(const gold *g, const char *sample, const char *name);
bool gold_find(const gold *g, const char *sample, const char *name, gold_tensor *out);

size_t gold_count(const gold *g);
const char *gold_name(const gold *g, size_t i);

#endif
