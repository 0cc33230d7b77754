/* One connection to a log server: opened, written, finished. Times out, and ends soon after *cancel. */
#ifndef WD_GUARD_SHIP_TLS_H
#define WD_GUARD_SHIP_TLS_H

#include "base/buf.h"
#include "guard/ship.h"

#define WD_FINGERPRINT_BYTES 32

/* "sha-256:" and 32 pairs of hexadecimal digits with ':' between them (RFC 5425, section 4.2.2). */
bool wd_fingerprint_parse(const char *text, uint8_t out[WD_FINGERPRINT_BYTES]);

typedef struct wd_tls_out wd_tls_out;

/* *trouble: true when the other side or the network is at fault, so that another try may go well. */
WD_MUST_CHECK wd_status wd_tls_out_open(const wd_ship_opts *o, wd_tls_out **out, bool *trouble, wd_err *err);
WD_MUST_CHECK wd_status wd_tls_out_write(wd_tls_out *t, wd_span bytes, wd_err *err);
/* Ends our side and waits for the other's end. WD_OK: it has read everything. */
WD_MUST_CHECK wd_status wd_tls_out_finish(wd_tls_out *t, wd_err *err);
void wd_tls_out_close(wd_tls_out *t); /* accepts NULL */

#endif
