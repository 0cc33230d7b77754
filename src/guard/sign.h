/* The signatures of the audit: Ed25519 (RFC 8032, through libsodium) over short texts that say what they are. */
#ifndef WD_GUARD_SIGN_H
#define WD_GUARD_SIGN_H

#include "base/digest.h"

typedef struct wd_public_key {
    uint8_t b[32];
} wd_public_key;
typedef struct wd_signature {
    uint8_t b[64];
} wd_signature;

typedef struct wd_signer {
    wd_public_key pub;
    uint8_t secret[64];
    uint8_t digest_key[32]; /* of wd_guard_digest; drawn from the seed */
} wd_signer;

/* Reads DIR/audit.key, or with `make` creates it and DIR/audit.pub. The file holds the seed as 64 hexadecimal digits and
 * may be readable by its owner only.
 *   WD_E_NOT_FOUND   not there, and not to be made     WD_E_CORRUPT   not such a file
 *   WD_E_DENIED      others may read it */
WD_MUST_CHECK wd_status wd_signer_open(const char *dir, bool make, wd_signer *out, wd_err *err);
void wd_signer_wipe(wd_signer *s);

/* A public key from a file of 64 hexadecimal digits. */
WD_MUST_CHECK wd_status wd_public_key_read(const char *path, wd_public_key *out, wd_err *err);

/* What is signed: the chain's end, or a checkpoint of it. They cannot stand for each other. */
typedef enum wd_signed_kind { WD_SIGNED_HEAD, WD_SIGNED_CHECKPOINT } wd_signed_kind;
void wd_sign(const wd_signer *s, wd_signed_kind kind, int64_t seq, const wd_digest *hash, const char *time,
             wd_signature *out);
bool wd_sign_verify(const wd_public_key *k, wd_signed_kind kind, int64_t seq, const wd_digest *hash,
                    const char *time, const wd_signature *sig);

/* Exactly n bytes from 2n lower-case hexadecimal digits. */
bool wd_unhex(wd_span text, uint8_t *out, size_t n);

#endif
