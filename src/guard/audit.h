/* Reading the audit: verifying it, listing it, exporting it.
 *
 * The chain. A record is one line of JSON that holds its number ("seq", from 1) and the digest of the record before it
 * ("prev"); its own digest is BLAKE2b-256 of "ward audit record 1\n" and the line. With each record the end of the chain
 * (number and digest) is signed with Ed25519 and replaces the signature before; from time to time a signed checkpoint is
 * kept, in the database and in the anchors file. docs/trust.md says which change is found by what.
 *
 * Verifying needs the public key alone and changes nothing, so it can be done on a copy, elsewhere.
 */
#ifndef WD_GUARD_AUDIT_H
#define WD_GUARD_AUDIT_H

#include "base/json.h"
#include "guard/guard.h"
#include "guard/sign.h"

#define WD_AUDIT_MAX_FINDINGS 20

/* What a verification found. */
typedef struct wd_audit_report {
    int64_t first, last; /* numbers of the records read; 0: none */
    uint64_t n_record, n_checkpoint,
        n_anchor;       /* anchors: checkpoints of the anchors file that were compared */
    bool head;          /* the signed end was there and is the last record's */
    uint64_t n_finding; /* 0: nothing was changed */
    char finding[WD_AUDIT_MAX_FINDINGS][160];
    uint64_t n_torn;    /* lines of the anchors file that were cut off in writing: no finding */
    char head_hash[65]; /* digest of the last record */
} wd_audit_report;

/* Checks DIR/ward.db (as a whole, too) against the public key and, where anchors is not NULL and the file exists, the
 * checkpoints in it. A record that was edited, removed, added or moved, and an end that was cut off, are findings; the
 * status is WD_OK when the work could be done.
 *   WD_E_NOT_FOUND, WD_E_IO   the file cannot be read      WD_E_CORRUPT   no database of Ward's, or damaged as one */
WD_MUST_CHECK wd_status wd_audit_verify(const char *db_path, const wd_public_key *key, const char *anchors,
                                        wd_audit_report *out, wd_err *err);
/* The same for the lines of `wd_audit_export` in JSON. An export that begins later than record 1 is taken from there. */
WD_MUST_CHECK wd_status wd_audit_verify_lines(wd_span text, const wd_public_key *key, wd_span anchors,
                                              wd_audit_report *out, wd_err *err);

/* Which records. {0}: all. */
typedef struct wd_audit_filter {
    const char *subject, *action, *tenant, *outcome, *visit; /* NULL: any */
    const char *since, *until; /* "2026-01-31" or "2026-01-31T12:00:00Z": from then on, and before then */
    int64_t after;             /* only records with a higher number: still a chain */
    uint64_t last;             /* 0: all; else the newest so many of them */
} wd_audit_filter;

typedef enum wd_audit_form {
    WD_AUDIT_JSON_LINES, /* the chain itself: with all records, wd_audit_verify_lines checks it */
    WD_AUDIT_RFC5424     /* syslog lines, facility 13; digests as parameters */
} wd_audit_form;

/* Calls fn with one line (no newline) after another; what fn returns other than WD_OK ends it. Checks `by` against
 * audit.export and records that it was asked, before the first line. JSON lines end with the checkpoints and the signed
 * end, unless a filter other than `after` left records out: then they are no chain any more. The database is read as it
 * stood at one moment; requests go on meanwhile. */
typedef wd_status (*wd_audit_line_fn)(void *ctx, wd_span line, wd_err *err);
WD_MUST_CHECK wd_status wd_audit_export(wd_guard *g, const wd_identity *by, const wd_audit_filter *filter,
                                        wd_audit_form form, wd_audit_line_fn fn, void *ctx, wd_err *err);
/* The records as a JSON array, against audit.list. */
WD_MUST_CHECK wd_status wd_audit_list(wd_guard *g, const wd_identity *by, const wd_audit_filter *filter,
                                      json_t **out, wd_err *err);
/* A checkpoint at the end, now: {"seq", "hash", "time", "sig"}. */
WD_MUST_CHECK wd_status wd_audit_checkpoint(wd_guard *g, const wd_identity *by, json_t **out, wd_err *err);
/* wd_guard_digest for people: audit.digest, recorded. */
WD_MUST_CHECK wd_status wd_audit_digest(wd_guard *g, const wd_identity *by, wd_span content, wd_digest *out,
                                        wd_err *err);

#endif
