/* A model in GGUF files: the text model (one file, or the parts gguf-split makes) and the vision tower's (mmproj).
 *
 *   wd_gguf_set_open ── the files, checked whole, mapped
 *        ├── wd_gguf_config ─────── what config.json says of a directory
 *        └── wd_weights_open_gguf ─ tensors under the names that a directory's have
 *
 * Architectures: qwen3, qwen3moe, qwen3vl, qwen3vlmoe; projector qwen3vl_merger. Names and keys are those that llama.cpp's
 * converter writes (spec section 2.9).
 *
 * What memory holds. F32, F16 and BF16 tensors are used in place. The decoder's quantised matrices are packed as W8 or W4
 * (tensor/quant.h) when the model asks for them, beside the mapped file: Q8_0, Q5_0, IQ4_NL and Q4_0 without any change of
 * their values, Q4_1 and Q4_K with a minimum rounded to a sixteenth of a step, Q5_1, Q5_K and Q6_K quantised again to
 * eight bits. Those of the tower are decoded to bf16. F16 matrices become bf16 where every value can be told in bf16, as
 * all of a model published in bf16 can: the products are then many times faster; others stay F16 in place. The patch
 * embedding, two convolutions in the file, is put together again.
 */
#ifndef WD_WEIGHTS_GGUF_OPEN_H
#define WD_WEIGHTS_GGUF_OPEN_H

#include "weights/config.h"
#include "weights/gguf.h"
#include "weights/weights.h"

typedef struct wd_gguf_set wd_gguf_set;

/* Is path a regular file that begins as GGUF files do, or that says so by its name? */
bool wd_gguf_is_path(const char *path);

/* Opens path, the other parts if it is the first of several, and mmproj. mmproj NULL: for qwen3vl and qwen3vlmoe the
 * file beside path that has "mmproj" in its name and fits the model (widths, DeepStack layers); of several, BF16 before
 * F16, F32 and quantised ones, then by name; none is fine, the model then takes no pictures (one warning).
 *
 *   WD_E_UNSUPPORTED   another architecture or projector, named; a vision file in the place of the text model; a file
 *                      without a tensor, as those that carry a vocabulary alone
 *   WD_E_INVALID       not the first part; mmproj does not fit, or the model takes none
 *   WD_E_NOT_FOUND     no such file; a part is missing
 *   and all of wd_gguf_parse */
WD_MUST_CHECK wd_status wd_gguf_set_open(const char *path, const char *mmproj, wd_gguf_set **out,
                                         wd_err *err);
void wd_gguf_set_close(wd_gguf_set *s); /* accepts NULL; all that came from it dies */

const wd_gguf *wd_gguf_set_text(const wd_gguf_set *s);   /* the first file: metadata, tokenizer */
const wd_gguf *wd_gguf_set_vision(const wd_gguf_set *s); /* NULL: none */

/* As wd_config_read. Ends of text: the file's eos, eot and eom ids and the tokens <|im_end|> and <|endoftext|>; sampling:
 * general.sampling.*, greedy where there is none. Without a vision file has_vision is false, whatever the architecture:
 * text alone has the same numbers. */
WD_MUST_CHECK wd_status wd_gguf_config(const wd_gguf_set *s, wd_model_config *out, wd_err *err);

/* The tensors. s is borrowed until wd_weights_close. Experts, one tensor in the file, are separate ones here; so are
 * queries, keys and values of a joined attn_qkv.
 *   WD_E_UNSUPPORTED   a tensor that changes numbers in a way that Ward does not compute (rope_freqs)
 *   WD_E_CORRUPT       two tensors of one normal name; a tensor that cannot be split as it should be */
WD_MUST_CHECK wd_status wd_weights_open_gguf(const wd_gguf_set *s, const wd_model_config *c, wd_weights **out,
                                             wd_err *err);

#endif
