/* What an open checkpoint is made of: for weights.c, which opens directories and hands tensors out, and gguf_open.c. */
#ifndef WD_WEIGHTS_WEIGHTS_PARTS_H
#define WD_WEIGHTS_WEIGHTS_PARTS_H

#include "base/arena.h"
#include "base/map.h"
#include "weights/gguf.h"
#include "weights/safetensors.h"
#include "weights/weights.h"

typedef struct wd_weights_shard {
    const char *name, *path;
    wd_st_file file; /* {0} of a GGUF file: it belongs to the wd_gguf_set */
    wd_span bytes;   /* all of it */
} wd_weights_shard;

/* Rows of a tensor in a GGUF file: whole blocks, row after row. */
typedef struct wd_weights_rows {
    const uint8_t *data;
    wd_ggml_type type;
    size_t n_row, n_col;
} wd_weights_rows;

/* How an entry's values come to be. */
typedef enum wd_weights_form {
    WD_WEIGHTS_IN_PLACE, /* in the file */
    WD_WEIGHTS_PACKED,   /* rows[0], a quantised type, as W8 or W4 */
    WD_WEIGHTS_DECODED,  /* rows[0], a quantised type, as bf16 */
    WD_WEIGHTS_NARROWED, /* rows[0], F16, as bf16 when no value changes by that; in place otherwise */
    WD_WEIGHTS_JOINED,   /* n_turn values of rows[0], then of rows[1], and so on; F32, or bf16 as above */
} wd_weights_form;

typedef struct wd_weights_entry {
    const char *stored, *name; /* in the file; the normal one */
    uint32_t shard_i;
    bool indexed; /* always true without an index */
    bool fetched;
    bool part; /* of a quantised matrix: the scales or zeros; gone once the matrix is put together */
    wd_tensor t;
    wd_weights_form form;
    wd_weights_rows rows[2]; /* GGUF only */
    size_t n_turn;
    bool narrow; /* JOINED: bf16 if it can be */
    void *owned; /* what t lies in when it is not the file; NULL: it is */
} wd_weights_entry;

struct wd_weights {
    wd_arena *arena;                      /* every string and list below */
    const char *dir;                      /* names the checkpoint: a directory, or a GGUF file */
    const char *index_path, *config_path; /* unused with GGUF */
    bool has_index, is_gguf;
    wd_weights_shard *shard; /* by name */
    size_t n_shard;
    wd_weights_entry *entry;
    size_t n_entry, cap_entry;
    wd_map *by_name; /* normal name -> entry */
    size_t made_bytes;
    wd_pool *pool; /* borrowed, may be NULL */
};

/* Fills by_name. WD_E_CORRUPT for two tensors of one name. */
WD_MUST_CHECK wd_status wd_weights__index_names(wd_weights *w, wd_err *err);
/* For an entry with name, shape and part: how its values are to be had, and their type. */
void wd_weights__plan(wd_weights_entry *e);
/* Makes an entry of a GGUF file what its t says. */
WD_MUST_CHECK wd_status wd_weights__make(wd_weights *w, wd_weights_entry *e, wd_err *err);

#endif
