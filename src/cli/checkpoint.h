/* A model by the path that -m gives: a directory in Hugging Face layout, or a GGUF file with its vision part. */
#ifndef WD_CLI_CHECKPOINT_H
#define WD_CLI_CHECKPOINT_H

#include "text/chat.h"
#include "text/tokenizer.h"
#include "vision/config.h"
#include "weights/gguf_open.h"
#include "weights/weights.h"

typedef struct wd_checkpoint {
    const char *path;  /* borrowed */
    wd_gguf_set *gguf; /* NULL: a directory */
    wd_model_config cfg;
    wd_weights *weights;
} wd_checkpoint;

/* Configuration and tensors. mmproj NULL: what is found beside a GGUF file (weights/gguf_open.h); WD_E_USAGE with a
 * directory, which has its own. */
WD_MUST_CHECK wd_status wd_checkpoint_open(const char *path, const char *mmproj, wd_checkpoint *out,
                                           wd_err *err);
void wd_checkpoint_close(wd_checkpoint *c); /* accepts {0}, becomes {0} */

WD_MUST_CHECK wd_status wd_checkpoint_tokenizer(const wd_checkpoint *c, wd_tokenizer **out, wd_err *err);
/* want: --chat-template. */
WD_MUST_CHECK wd_status wd_checkpoint_chat(const wd_checkpoint *c, const char *want, wd_chat_kind *kind,
                                           wd_err *err);
/* How pictures are wanted. A GGUF file says less than the processor files of a directory: what it does not say is as
 * published. */
WD_MUST_CHECK wd_status wd_checkpoint_processor(const wd_checkpoint *c, wd_vision_processor *out,
                                                wd_err *err);

/* The tokenizer alone: the rest of the model need not be there. */
WD_MUST_CHECK wd_status wd_checkpoint_open_tokenizer(const char *path, wd_tokenizer **out, wd_err *err);

#endif
