/* JSON through jansson, with our errors: every message names the document and the field.
 *
 * Parsing refuses duplicate keys, text after the value, NUL in strings, and nesting deeper than jansson's own
 * limit of 2048. Values from outside are fetched with the typed getters below, which check type and range.
 * `where` is the name used in messages, e.g. "config.json" or "config.json: text_config".
 */
#ifndef WD_BASE_JSON_H
#define WD_BASE_JSON_H

#include <jansson.h>

#include "base/buf.h"

/* A value takes up to 130 bytes once parsed, an empty "[]," in the text three: without a limit of its own, a file
 * within its size limit could ask for forty times as much memory. */
#define WD_JSON_MAX_VALUES 8000000

/* *out is owned by the caller (json_decref). WD_E_LIMIT for more than about WD_JSON_MAX_VALUES values. */
WD_MUST_CHECK wd_status wd_json_parse(wd_span text, const char *where, json_t **out, wd_err *err);
WD_MUST_CHECK wd_status wd_json_read_file(const char *path, size_t max_bytes, json_t **out, wd_err *err);

/* A member. An absent or null member gives the default (WD_OK) where there is one; wd_json_need_* fail with
 * "WHERE: KEY is missing". A wrong type or a number out of [min, max] is WD_E_INVALID naming key and value.
 */
WD_MUST_CHECK wd_status wd_json_int(const json_t *o, const char *where, const char *key, int64_t min,
                                    int64_t max, int64_t def, int64_t *out, wd_err *err);
WD_MUST_CHECK wd_status wd_json_need_int(const json_t *o, const char *where, const char *key, int64_t min,
                                         int64_t max, int64_t *out, wd_err *err);
WD_MUST_CHECK wd_status wd_json_num(const json_t *o, const char *where, const char *key, double min,
                                    double max, double def, double *out, wd_err *err);
WD_MUST_CHECK wd_status wd_json_bool(const json_t *o, const char *where, const char *key, bool def, bool *out,
                                     wd_err *err);
/* *out points into the document; NULL when absent. */
WD_MUST_CHECK wd_status wd_json_str(const json_t *o, const char *where, const char *key, const char **out,
                                    wd_err *err);
WD_MUST_CHECK wd_status wd_json_need_str(const json_t *o, const char *where, const char *key,
                                         const char **out, wd_err *err);
/* Borrowed object or array, NULL when absent. */
WD_MUST_CHECK wd_status wd_json_obj(const json_t *o, const char *where, const char *key, json_t **out,
                                    wd_err *err);
WD_MUST_CHECK wd_status wd_json_arr(const json_t *o, const char *where, const char *key, json_t **out,
                                    wd_err *err);

/* Appends v, which is given up, to *list. When v is NULL or there is no memory, *list is released and becomes NULL, so
 * that json_pack("o") of it fails as a whole: a list never has a hole. */
void wd_json_append(json_t **list, json_t *v);

/* Appends the value. flags as json_dumpb (JSON_COMPACT, JSON_INDENT(n), ...); insertion order is kept. */
WD_MUST_CHECK wd_status wd_json_write(const json_t *v, size_t flags, wd_buf *out, wd_err *err);

/* Routes jansson's memory through wd_realloc, so that failures can be injected. Called once at start. */
void wd_json_use_our_memory(void);

#endif
