/* The Qwen pre-tokenizer: cuts text into the pieces inside which BPE merges.
 *
 *   (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
 *   \s+(?!\S)|\s+
 *
 * as a scanner without backtracking: linear whatever the text. The pieces cover the text.
 */
#ifndef WD_TEXT_PRETOK_H
#define WD_TEXT_PRETOK_H

#include "text/unicode.h"

#define WD_PRETOK_QWEN                                                    \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| " \
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Where the piece that begins at `at` ends. text is well-formed UTF-8, at < text.n the end of a piece or 0. */
size_t wd_pretok_next(const wd_unicode *u, wd_span text, size_t at);

#endif
