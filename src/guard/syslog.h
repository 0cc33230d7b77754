/* Records and checkpoints as messages of RFC 5424, one line each, without a newline.
 *
 *     <110>1 2026-01-31T12:00:00.000000Z ward1 ward - chat.create [ward@32473 seq="7" prev="..." event="begin" ...]
 *     <110>1 2026-01-31T12:00:00.000000Z ward1 ward - checkpoint [ward@32473 seq="7"] {"checkpoint":{...}}
 *
 * Facility 13, log audit; severity warning for what was refused, failed or interrupted, else informational. The message of a
 * checkpoint is its line of the anchors file: who keeps them has anchors outside of Ward's reach. */
#ifndef WD_GUARD_SYSLOG_H
#define WD_GUARD_SYSLOG_H

#include "base/json.h"

/* This machine's name as the header wants it: printable ASCII without spaces, "-" when there is none. */
void wd_syslog_host(char out[256]);
/* o: a record's JSON. */
void wd_syslog_put_record(const json_t *o, const char *host, wd_buf *out);
void wd_syslog_put_checkpoint(int64_t seq, wd_span hash, const char *time, wd_span sig, const char *host,
                              wd_buf *out);

#endif
