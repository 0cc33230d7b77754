/* BLAKE2b-256 digests (RFC 7693, through libsodium), written as 64 lower-case hexadecimal digits. */
#ifndef WD_BASE_DIGEST_H
#define WD_BASE_DIGEST_H

#include "base/buf.h"

typedef struct wd_digest {
    uint8_t b[32];
} wd_digest;

typedef struct wd_digester wd_digester; /* for input in parts */

WD_MUST_CHECK wd_digester *wd_digester_create(void);
void wd_digester_add(wd_digester *d, wd_span bytes);
void wd_digester_end(wd_digester *d, wd_digest *out); /* destroys d */

void wd_digest_of(wd_span bytes, wd_digest *out);
void wd_digest_hex(const wd_digest *d, char out[65]);

#endif
