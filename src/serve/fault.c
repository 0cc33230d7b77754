/* Errors as the API shows them. */
#include "serve/fault.h"

#include <stdarg.h>
#include <stdio.h>

wd_status wd_fault_set(wd_fault *f, int http, const char *code, const char *param, const char *fmt, ...)
{
    *f = (wd_fault){ .http = http, .code = code };
    snprintf(f->param, sizeof f->param, "%s", param ? param : "");
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    return WD_E_INVALID;
}

wd_status wd_fault_of(wd_fault *f, wd_status st, const char *param, const wd_err *err)
{
    static const struct {
        int http;
        const char *code;
    } of[] = {
        [WD_OK] = { 500, "internal" },
        [WD_E_USAGE] = { 400, "invalid_value" },
        [WD_E_INVALID] = { 400, "invalid_value" },
        [WD_E_CORRUPT] = { 400, "corrupt" },
        [WD_E_UNSUPPORTED] = { 400, "unsupported" },
        [WD_E_NOT_FOUND] = { 404, "not_found" },
        [WD_E_LIMIT] = { 400, "limit_exceeded" },
        [WD_E_IO] = { 500, "io" },
        [WD_E_NOMEM] = { 503, "no_memory" },
        [WD_E_CANCELLED] = { 499, "cancelled" },
        [WD_E_CRASHED] = { 400, "decoder_crashed" },
        [WD_E_INTERNAL] = { 500, "internal" },
        [WD_E_BUSY] = { 429, "busy" },
        [WD_E_DEADLINE] = { 504, "deadline" },
        [WD_E_AUTH] = { 401, "invalid_api_key" },
        [WD_E_DENIED] = { 403, "insufficient_permissions" },
    };
    const size_t i = (size_t)st < WD_COUNT(of) ? (size_t)st : 0;
    wd_fault_set(f, of[i].http, of[i].code, param, "%s", err->text[0] ? err->text : "the request failed");
    f->retry_s = f->http == 429 || f->http == 503 ? 1 : 0;
    return st ? st : WD_E_INTERNAL;
}

static const char *type_of(int http)
{
    switch (http) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 429:
        return "rate_limit_error";
    case 503:
        return "service_unavailable_error";
    default:
        return http >= 500 ? "server_error" : "invalid_request_error";
    }
}

void wd_fault_json(const wd_fault *f, wd_buf *out)
{
    wd_buf_str(out, "{\"error\":{\"message\":");
    wd_buf_json(out, wd_span_str(f->text));
    wd_buf_printf(out, ",\"type\":\"%s\",\"param\":", type_of(f->http));
    if (f->param[0])
        wd_buf_json(out, wd_span_str(f->param));
    else
        wd_buf_str(out, "null");
    if (f->code)
        wd_buf_printf(out, ",\"code\":\"%s\"}}", f->code);
    else
        wd_buf_str(out, ",\"code\":null}}");
}
