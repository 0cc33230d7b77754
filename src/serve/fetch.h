/* One GET of what the list of places allows (serve/allow.h). */
#ifndef WD_SERVE_FETCH_H
#define WD_SERVE_FETCH_H

#include <stdatomic.h>

#include "serve/allow.h"

typedef struct wd_fetch_opts {
    const wd_allow *allow;     /* NULL: nothing is fetched */
    const char *ca_file;       /* PEM, instead of the system's authorities; NULL: those */
    uint32_t connect_ms;       /* until a connection stands, the name's resolution and TLS included */
    uint32_t total_ms;         /* of it all */
    size_t max_bytes;          /* of the body */
    uint64_t deadline_ns;      /* of the request; 0: none */
    const atomic_bool *cancel; /* may be NULL */
} wd_fetch_opts;

/* Appends the body of the answer to *out. No redirect is followed, no proxy is used, nothing of us goes along: no names,
 * keys or cookies. The sentence of a failure says nothing of what came back.
 *   WD_E_INVALID   no URL that can be fetched
 *   WD_E_DENIED    the list does not allow it, or not the addresses that its name leads to
 *   WD_E_LIMIT     more bytes than may be
 *   WD_E_IO        no connection, too slow, another status than 200
 *   WD_E_CANCELLED, WD_E_DEADLINE */
WD_MUST_CHECK wd_status wd_fetch(const wd_fetch_opts *o, const char *url, wd_buf *out, wd_err *err);

#endif
