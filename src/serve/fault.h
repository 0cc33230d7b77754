/* What goes back to a client whose request fails: OpenAI's error object, and the HTTP status. */
#ifndef WD_SERVE_FAULT_H
#define WD_SERVE_FAULT_H

#include "base/buf.h"

typedef struct wd_fault {
    int http;         /* 400, 404, 429, ... */
    const char *code; /* stable, for programs: "context_length_exceeded"; NULL: none */
    char param[120];  /* the field at fault, "messages[2].content"; empty: none */
    uint32_t retry_s; /* Retry-After; 0: none */
    char text[WD_ERR_TEXT_MAX];
} wd_fault;

/* Fills *f and returns WD_E_INVALID. param may be NULL or empty. */
wd_status wd_fault_set(wd_fault *f, int http, const char *code, const char *param, const char *fmt, ...)
    WD_PRINTF(5, 6);
/* The fault that a failed call below is; returns st. */
wd_status wd_fault_of(wd_fault *f, wd_status st, const char *param, const wd_err *err);

/* {"error": {"message", "type", "param", "code"}} */
void wd_fault_json(const wd_fault *f, wd_buf *out);

#endif
