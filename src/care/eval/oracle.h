/* An engine that answers with the truth, and can write down what it was asked.
 *
 * Evaluating it must give a perfect score: that proves the metrics and all parsing on the way. What it writes down is
 * what a model is trained and compared on: the very prompts and pictures that the product sends.
 *
 * Record: for every call one line of JSON, then the raw bytes of its pictures, [height][width][3] each, in order:
 *   {"suite", "case", "seed", "call": "generate" | "rerank" | "embed",
 *    "messages": [{"role", "content": "text" | [{"type": "text", "text"} | {"type": "image" | "video"}],
 *                  "reasoning_content"?, "tool_calls"?: [{"name", "arguments"}]}], "tools"?: [...],     (generate)
 *    "instruction", "query": [part], "document": [part],                                                (rerank)
 *    "instruction", "item": [part],                                                                     (embed)
 *    "prompt": "what a Qwen3-VL Instruct, Reranker or Embedding checkpoint reads, one placeholder a picture",
 *    "reply": "raw text, tool-call markup included" (generate) | "score": 0 | 1 (rerank),
 *    "images": [{"width", "height"}],
 *    "videos": [{"width", "height", "fps", "frames": [index of each frame that follows]}],
 *    "truth": {...}}                                                       (only in the first record of a case)
 * Frames of videos follow the images, video by video.
 */
#ifndef WD_CARE_EVAL_ORACLE_H
#define WD_CARE_EVAL_ORACLE_H

#include <jansson.h>

#include "engine/engine.h"

typedef struct wd_oracle wd_oracle;

/* record: NULL, a file, or "-" for standard output. */
WD_MUST_CHECK wd_status wd_oracle_create(const char *record, wd_oracle **out, wd_err *err);
/* No oracle but a witness: `inner` (borrowed) answers, and what it was asked and answered is written down. Nothing need
 * be expected. In place of the right answer the record holds what came: "reply" (content alone), "finish", "prompt_ids"
 * and "reply_ids" (tokens, the end token last); "score"; "vector". */
WD_MUST_CHECK wd_status wd_oracle_create_around(wd_engine *inner, const char *record, wd_oracle **out,
                                                wd_err *err);
void wd_oracle_destroy(wd_oracle *o); /* accepts NULL */
wd_engine *wd_oracle_engine(wd_oracle *o);

/* Begins a case and forgets what was still expected. truth (may be NULL) is borrowed until the next case. */
void wd_oracle_case(wd_oracle *o, const char *suite, const char *case_name, uint64_t seed);
void wd_oracle_truth(wd_oracle *o, const json_t *truth);

/* What the next calls are answered, in the order they were told: the raw text of a generate()'s reply, tool-call markup
 * included; the score of a rerank(), 0 or 1. Copied. A call that nobody told the answer of is WD_E_INTERNAL. */
void wd_oracle_expect(wd_oracle *o, wd_span reply);
void wd_oracle_expect_score(wd_oracle *o, double score);
size_t wd_oracle_n_expected(const wd_oracle *o); /* not asked for yet */

/* All records are in the file. WD_E_IO: a write failed before, or now (a full disk, a reader that left). */
WD_MUST_CHECK wd_status wd_oracle_flush(wd_oracle *o, wd_err *err);
bool wd_oracle_failed(const wd_oracle *o); /* a write failed: no further call succeeds */

#endif
