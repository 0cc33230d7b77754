/* Checkpoints made on the spot: safetensors files, good ones from a list and bad ones from a header's text. */
#ifndef WD_TESTS_SUPPORT_CHECKPOINT_H
#define WD_TESTS_SUPPORT_CHECKPOINT_H

#include "base/buf.h"

typedef struct test_tensor {
    const char *name, *dtype;
    size_t dim[5]; /* ends at the first 0 */
} test_tensor;

/* 8 bytes of length, the header as it is, then data_bytes bytes that count 0, 1, 2, ... */
void test_st_raw(wd_buf *out, const char *header, size_t data_bytes);
/* A correct file of these tensors, in this order. */
void test_st_file(wd_buf *out, const test_tensor *t, size_t n);
void test_write_st(const char *dir, const char *name, const test_tensor *t, size_t n);
void test_write_text(const char *dir, const char *name, const char *text);

#endif
