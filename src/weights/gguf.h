/* One GGUF file: header, metadata and tensor table read and checked whole, tensors as views of the mapped bytes.
 *
 * The format (gguf.md of the ggml project, versions 2 and 3, little-endian): "GGUF", a version, the counts of tensors
 * and of metadata pairs; the pairs (name, type, value); the tensors (name, dimensions innermost first, type, offset);
 * padding to the alignment; the data. Names here are as stored, dimensions outermost first as everywhere in Ward.
 */
#ifndef WD_WEIGHTS_GGUF_H
#define WD_WEIGHTS_GGUF_H

#include "base/arena.h"
#include "base/file.h"
#include "tensor/ggml_blocks.h"

#define WD_GGUF_DIMS 4
#define WD_GGUF_MAX_PAIRS 65536
#define WD_GGUF_MAX_TENSORS 1048576

typedef enum wd_gguf_type { /* numbers as in the file */
                            WD_GGUF_U8,
                            WD_GGUF_I8,
                            WD_GGUF_U16,
                            WD_GGUF_I16,
                            WD_GGUF_U32,
                            WD_GGUF_I32,
                            WD_GGUF_F32,
                            WD_GGUF_BOOL,
                            WD_GGUF_STRING,
                            WD_GGUF_ARRAY,
                            WD_GGUF_U64,
                            WD_GGUF_I64,
                            WD_GGUF_F64,
                            WD_GGUF_N_TYPE
} wd_gguf_type;

typedef struct wd_gguf_pair {
    const char *key;
    wd_gguf_type type; /* of the value, or of each element of an array */
    bool is_array;
    uint64_t n;    /* elements; 1 of a value that is no array */
    wd_span bytes; /* the n elements as stored, checked: strings are lengths (8 bytes) and bytes in turn */
} wd_gguf_pair;

typedef struct wd_gguf_tensor {
    const char *name;
    wd_ggml_type type; /* one that can be decoded */
    uint32_t n_dim;
    size_t dim[WD_GGUF_DIMS]; /* outermost first; the last is a multiple of the block's values */
    const uint8_t *data;      /* aligned as the file says, at least to 8 bytes of the file */
    size_t bytes;
} wd_gguf_tensor;

typedef struct wd_gguf {
    wd_mapped map;
    const char *path; /* names the file in messages */
    uint32_t version;
    wd_gguf_pair *pair; /* in the file's order */
    size_t n_pair;
    wd_gguf_tensor *tensor; /* by place in the file */
    size_t n_tensor;
} wd_gguf;

/* Is this the beginning of a GGUF file? Any version. */
bool wd_gguf_is(wd_span bytes);

/* Checks the bytes of a file; lists, names and nothing else live in the arena, values and data in `bytes`.
 *
 * Refused, with a sentence naming `where` and the key or tensor:
 *   WD_E_UNSUPPORTED   another version or byte order; an array of arrays; a type of tensor that is not decoded
 *   WD_E_CORRUPT       no GGUF; anything that ends past the end of the file; a name that is empty, too long, not
 *                      printable ASCII or there twice; an unknown type of value; an alignment that is no power of two
 *                      from 8 to 65536; a dimension of 0, a row that is not whole blocks, a size that overflows; tensors
 *                      that overlap, leave a hole, or are not aligned
 *   WD_E_LIMIT         more pairs or tensors than the limits above
 *
 * A count is believed only as far as the file has bytes for it, so no file makes Ward take much more memory than it
 * is long. Bytes after the last tensor are ignored. */
WD_MUST_CHECK wd_status wd_gguf_parse(wd_span bytes, const char *where, wd_arena *a, wd_gguf *out,
                                      wd_err *err);

/* Maps the file and parses it; path is kept. On failure *out is {0}. */
WD_MUST_CHECK wd_status wd_gguf_open(const char *path, wd_arena *a, wd_gguf *out, wd_err *err);
void wd_gguf_close(wd_gguf *g); /* accepts {0}; the lists die with their arena */

/* ---- metadata ---- */

const wd_gguf_pair *wd_gguf_find(const wd_gguf *g, const char *key); /* NULL: not there */
const wd_gguf_tensor *wd_gguf_tensor_find(const wd_gguf *g, const char *name);

/* Typed values, as the getters of base/json.h: an absent key gives the default, wd_gguf_need_* fail; another type or a
 * value outside [min, max] is WD_E_INVALID naming file, key and value. Every integer type counts as an integer, every
 * number as a number. */
WD_MUST_CHECK wd_status wd_gguf_int(const wd_gguf *g, const char *key, int64_t min, int64_t max, int64_t def,
                                    int64_t *out, wd_err *err);
WD_MUST_CHECK wd_status wd_gguf_need_int(const wd_gguf *g, const char *key, int64_t min, int64_t max,
                                         int64_t *out, wd_err *err);
/* As need_int; an array with one value for each layer is the same when they are all equal, WD_E_UNSUPPORTED if not. */
WD_MUST_CHECK wd_status wd_gguf_need_same_int(const wd_gguf *g, const char *key, int64_t min, int64_t max,
                                              int64_t *out, wd_err *err);
WD_MUST_CHECK wd_status wd_gguf_num(const wd_gguf *g, const char *key, double min, double max, double def,
                                    double *out, wd_err *err);
WD_MUST_CHECK wd_status wd_gguf_need_num(const wd_gguf *g, const char *key, double min, double max,
                                         double *out, wd_err *err);
WD_MUST_CHECK wd_status wd_gguf_bool(const wd_gguf *g, const char *key, bool def, bool *out, wd_err *err);
/* Empty with p NULL when absent. */
WD_MUST_CHECK wd_status wd_gguf_str(const wd_gguf *g, const char *key, wd_span *out, wd_err *err);

/* An array of integers, numbers or bools; NULL when absent. */
WD_MUST_CHECK wd_status wd_gguf_array(const wd_gguf *g, const char *key, const wd_gguf_pair **out,
                                      wd_err *err);
int64_t wd_gguf_int_at(const wd_gguf_pair *p, uint64_t i); /* i < n; what is no integer gives INT64_MIN */
double wd_gguf_num_at(const wd_gguf_pair *p, uint64_t i);  /* i < n; what is no number gives NaN */

/* An array of strings as spans of the file, the list in the arena; *n 0 when absent. */
WD_MUST_CHECK wd_status wd_gguf_strings(const wd_gguf *g, const char *key, wd_arena *a, wd_span **out,
                                        size_t *n, wd_err *err);

#endif
