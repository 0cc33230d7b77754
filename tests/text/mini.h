/* A small tokenizer.json, any part of which a test can replace. */
#ifndef WD_TESTS_TEXT_MINI_H
#define WD_TESTS_TEXT_MINI_H

#include "base/buf.h"

#define MINI_SPLIT                                                                                           \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}" \
    "]?"                                                                                                     \
    "\\\\p{L}+|\\\\p{N}| "                                                                                   \
    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"                 \
    "\"behavior\":\"Isolated\",\"invert\":false}"
#define MINI_BYTES \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false}"
#define MINI_ADDED(id, text, special)                                                                   \
    "{\"id\":" #id ",\"content\":\"" text "\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false," \
    "\"normalized\":false,\"special\":" #special "}"

/* Every part is JSON text; NULL gives the usual one. Ids 0..255 are the bytes. */
typedef struct mini {
    const char *vocab;  /* further members of the vocabulary, "\"ab\":256" */
    const char *merges; /* members of the list */
    const char *added;  /* members of the list */
    const char *normalizer, *pre_tokenizer, *post_processor, *decoder;
    const char *model; /* further members of "model", first of all: "\"dropout\":0.1," */
    const char *more;  /* further members of the document, "\"x\":1," */
    const char *order; /* "merges first" */
    int left_out;      /* 1 + a byte that has no token */
} mini;

void mini_json(const mini *m, wd_buf *out);

#endif
