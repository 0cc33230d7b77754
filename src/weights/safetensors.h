/* One safetensors file: its header read and checked whole, its tensors as views of the mapped bytes. */
#ifndef WD_WEIGHTS_SAFETENSORS_H
#define WD_WEIGHTS_SAFETENSORS_H

#include "base/arena.h"
#include "base/file.h"
#include "tensor/tensor.h"

#define WD_ST_HEADER_MAX 100000000 /* bytes; what the reference reader accepts */
#define WD_ST_NAME_MAX 256         /* bytes of a tensor name */

typedef struct wd_st_tensor {
    const char *name;  /* as stored; printable ASCII, so it may go into messages */
    size_t begin, end; /* bytes of the data section */
    wd_tensor t;       /* data points into the file, at any alignment */
} wd_st_tensor;

typedef struct wd_st_file {
    wd_mapped map;
    wd_st_tensor *tensor; /* by offset; the ranges cover the data section exactly once */
    size_t n;
} wd_st_file;

/* Checks the bytes of a file and lists its tensors; names and list live in the arena, data in `bytes`.
 *
 * Refused, with a sentence naming `where` and the tensor: a header that is longer than the file or than
 * WD_ST_HEADER_MAX, that is no JSON object or names a tensor twice; an unknown dtype; more than
 * WD_TENSOR_DIMS dimensions; a negative or overflowing size; a range that leaves the file, does not hold
 * exactly shape x dtype, or overlaps another; bytes that no tensor owns. */
WD_MUST_CHECK wd_status wd_st_parse(wd_span bytes, const char *where, wd_arena *a, wd_st_tensor **tensor,
                                    size_t *n, wd_err *err);

/* Maps the file and parses it. On failure *out is {0}. */
WD_MUST_CHECK wd_status wd_st_open(const char *path, wd_arena *a, wd_st_file *out, wd_err *err);
void wd_st_close(wd_st_file *f); /* accepts {0}; the list itself dies with its arena */

/* "[1024, 128]" and "F32[1024, 128]", for messages. Both return text. */
#define WD_ST_TEXT 128
const char *wd_st_dims_text(const size_t *dim, uint32_t n_dim, char text[WD_ST_TEXT]);
const char *wd_st_shape_text(const wd_tensor *t, char text[WD_ST_TEXT]);

#endif
