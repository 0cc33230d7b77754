/* The files of a GGUF model: for gguf_set.c, which opens them, gguf_config.c and gguf_open.c. */
#ifndef WD_WEIGHTS_GGUF_PARTS_H
#define WD_WEIGHTS_GGUF_PARTS_H

#include "weights/gguf_open.h"

#define WD_GGUF_MAX_FILES 1024

struct wd_gguf_set {
    wd_arena *arena; /* every list of the files */
    wd_arch arch;
    const char *arch_key; /* "qwen3vl": what its keys begin with */
    wd_gguf *file;        /* [n_file] parts of the text model, then the vision file */
    size_t n_file;
    bool has_vision; /* the last file */
};

/* Key "ARCH.NAME" of the text model. */
#define WD_GGUF_KEY_MAX 96
const char *wd_gguf__key(const wd_gguf_set *s, const char *name, char key[WD_GGUF_KEY_MAX]);

/* The blocks whose output goes to the decoder, from clip.vision.is_deepstack_layers; at most WD_MAX_DEEPSTACK. */
WD_MUST_CHECK wd_status wd_gguf__deepstack(const wd_gguf *vision, uint32_t layer[WD_MAX_DEEPSTACK],
                                           uint32_t *n, wd_err *err);

/* The tensor in any part of the text model, NULL: none. */
const wd_gguf_tensor *wd_gguf__text_tensor(const wd_gguf_set *s, const char *name);

#endif
