/* Conversations of tests/golden/chat as wd_chat. */
#ifndef WD_TESTS_TEXT_CASES_H
#define WD_TESTS_TEXT_CASES_H

#include <jansson.h>

#include "text/chat.h"

/* tests/golden/chat/NAME.json, or $WARD_CHAT_CASES/NAME.json (tools/golden/chat.py --out); the caller releases it with json_decref. Fails the test when it cannot be read. */
json_t *cases_read(const char *name);

/* One case's conversation in the arena, with spans into the document. as_text: JSON is handed over as text. */
wd_chat cases_chat(wd_arena *a, const json_t *one, wd_chat_kind kind, bool as_text);

/* {"videos": n, "images": n, "texts": [..]} */
wd_chat_item cases_item(wd_arena *a, const json_t *item);

wd_span cases_str(const json_t *o, const char *key);

#endif
