/* The forms of the chain that writer and verifier share. */
#ifndef WD_GUARD_CHAIN_H
#define WD_GUARD_CHAIN_H

#include "guard/sign.h"

#define WD_CHAIN_BODY_MAX 4096 /* bytes of a record */

/* The digest of a record's line. */
void wd_chain_hash(wd_span body, wd_digest *out);

/* {"checkpoint":{"seq":9,"hash":"...","time":"...","sig":"..."}}, no newline. */
void wd_chain_put_checkpoint(int64_t seq, wd_span hash, const char *time, wd_span sig, wd_buf *out);
/* {"head":{"seq":9,"hash":"...","sig":"..."}} */
void wd_chain_put_head(int64_t seq, wd_span hash, wd_span sig, wd_buf *out);
/* {"record":{...},"hash":"..."} */
void wd_chain_put_record(wd_span body, wd_span hash, wd_buf *out);
/* Takes such a line apart; false when it is not of this form. */
bool wd_chain_get_record(wd_span line, wd_span *body, wd_digest *hash);

/* A signed end of the chain as it stood at a time. */
typedef struct wd_anchor {
    int64_t seq; /* 0: none */
    wd_digest hash;
    char time[41];
    wd_signature sig;
} wd_anchor;

/* Takes a checkpoint's or head's line apart (signatures are not looked at); false when it is neither. */
bool wd_chain_get_signed(wd_span line, wd_signed_kind *kind, wd_anchor *out);

#define WD_ANCHORS_BYTES_MAX ((size_t)256 << 20)
/* The newest checkpoint in the anchors file whose signature holds; seq 0 when there is no file, or none in it. */
WD_MUST_CHECK wd_status wd_anchors_newest(const char *path, const wd_public_key *key, wd_anchor *out,
                                          wd_err *err);

#endif
