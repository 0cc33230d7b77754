/* BLAKE2b-256 through libsodium. */
#include "base/digest.h"

#include <sodium.h>

struct wd_digester {
    crypto_generichash_state st;
};

wd_digester *wd_digester_create(void)
{
    wd_digester *d = wd_alloc_aligned(1, sizeof *d);
    if (d)
        crypto_generichash_init(&d->st, NULL, 0, sizeof((wd_digest *)0)->b);
    return d;
}

void wd_digester_add(wd_digester *d, wd_span bytes)
{
    crypto_generichash_update(&d->st, bytes.p, bytes.n);
}

void wd_digester_end(wd_digester *d, wd_digest *out)
{
    crypto_generichash_final(&d->st, out->b, sizeof out->b);
    wd_free(d);
}

void wd_digest_of(wd_span bytes, wd_digest *out)
{
    crypto_generichash(out->b, sizeof out->b, bytes.p, bytes.n, NULL, 0);
}

void wd_digest_hex(const wd_digest *d, char out[65])
{
    sodium_bin2hex(out, 65, d->b, sizeof d->b);
}
