/* The golden cases of tools/golden/vision.py, and the pictures they speak of. */
#ifndef WD_TESTS_VISION_GOLDEN_H
#define WD_TESTS_VISION_GOLDEN_H

#include "base/image.h"
#include "base/json.h"
#include "support/test.h"

/* The document; the caller's (json_decref). */
json_t *golden_load(void);
/* A picture of the generator's formula; the caller's. */
wd_image golden_picture(uint32_t seed, uint32_t width, uint32_t height);
int64_t golden_int(const json_t *o, const char *key);
double golden_num(const json_t *o, const char *key);
const char *golden_str(const json_t *o, const char *key);
/* Fails the test, naming what, when the digest of the bytes is not `hex`. */
void golden_check(const void *bytes, size_t n, const char *hex, const char *what);

#endif
