/* The audit sent to a log server: messages of RFC 5424 over TLS (RFC 5425, with the versions of RFC 9662: 1.2 and 1.3).
 *
 * Every record arrives at least once, in order; one that arrives twice has the same "seq". RFC 5425 acknowledges no message,
 * but TCP and TLS acknowledge a connection: when the receiver has closed its side after ours, without a reset, it has read
 * everything up to our end (a socket that is closed with bytes still unread is reset). So a batch is a connection, and only
 * when it has ended like that the cursor moves, durably, in the database. Anything else (a refused or broken connection, a
 * reset, an alert, a receiver that stops reading) leaves the cursor where it is, and the batch is sent again.
 * What cannot be known: that a receiver which ends its sending half early goes on reading, and what it does with what it read.
 *
 * Checkpoints travel with the records (guard/syslog.h): the receiver's copy of them is an anchors file that nobody here can
 * change. Reading the audit holds up no request; a receiver that is away costs nothing but its lag.
 */
#ifndef WD_GUARD_SHIP_H
#define WD_GUARD_SHIP_H

#include <stdatomic.h>

#include "guard/guard.h"

typedef struct wd_ship_opts {
    const char *host, *port; /* a name or numeric address; port a number    required, "6514" */
    const char *name;        /* that its certificate must have              default host */
    const char *ca;          /* PEM file of authorities                     default the system's */
    const char *
        fingerprint; /* "sha-256:AB:CD:...": this certificate and no other; authorities and names do not count */
    const char *cert, *key; /* PEM files, for a receiver that asks who sends; both or none */
    bool follow;            /* go on when all is sent or the receiver is away, until *cancel */
    uint32_t batch;         /* records of one connection   default 1000 */
    uint32_t timeout_ms;    /* for each step of a connection              default 30000 */
    uint32_t poll_ms;       /* following: how often it looks for records  default 1000 */
    uint32_t retry_ms; /* following: longest pause between tries, doubling from poll_ms on   default 60000 */
    const atomic_bool *cancel; /* NULL: never. A batch under way has two seconds to end well */
} wd_ship_opts;
#define WD_SHIP_OPTS_DEFAULT \
    ((wd_ship_opts){ .port = "6514", .batch = 1000, .timeout_ms = 30000, .poll_ms = 1000, .retry_ms = 60000 })

typedef struct wd_ship_report {
    uint64_t n_record, n_checkpoint; /* that the receiver has for certain */
    uint64_t n_connection, n_failed; /* tries, and those that came to nothing */
    int64_t seq;                     /* the receiver has the records up to this one */
} wd_ship_report;

/* Sends what this receiver (host and port) has not got. Checks `by` against audit.ship and records that it was asked, once.
 * *report is filled whatever comes back.
 *   WD_E_USAGE       options that cannot be: a bad fingerprint, a certificate without its key
 *   WD_E_NOT_FOUND, WD_E_CORRUPT   files of certificates, or a record of the audit, that cannot be read
 *   WD_E_AUTH        the receiver's certificate does not count, or ours did not there
 *   WD_E_IO          no connection, or it broke off                 WD_E_DEADLINE   a step took too long
 *   WD_E_BUSY        another program ships to the same receiver
 *   WD_E_CANCELLED   not following, and *cancel rose
 * Following, WD_E_AUTH, WD_E_IO and WD_E_DEADLINE of a connection are logged and tried again, and *cancel ends it well. */
WD_MUST_CHECK wd_status wd_audit_ship(wd_guard *g, const wd_identity *by, const wd_ship_opts *o,
                                      wd_ship_report *report, wd_err *err);

#endif
