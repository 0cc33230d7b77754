/* Signatures and the key files. */
#include "guard/sign.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sodium.h>

#include "base/file.h"

#define SEED_BYTES 32

bool wd_unhex(wd_span text, uint8_t *out, size_t n)
{
    if (text.n != 2 * n)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        const uint8_t c = text.p[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
            return false;
        const uint8_t v = c <= '9' ? (uint8_t)(c - '0') : (uint8_t)(c - 'a' + 10);
        out[i / 2] = i % 2 ? (uint8_t)(out[i / 2] | v) : (uint8_t)(v << 4);
    }
    return true;
}

/* 64 digits and an optional newline. */
static wd_status read_hex32(const char *path, uint8_t out[32], wd_err *err)
{
    wd_buf b = { .max = 4096 };
    wd_status st = wd_file_read(path, 256, &b, err);
    if (!st) {
        wd_span s = wd_buf_view(&b);
        if (wd_span_ends(s, "\n"))
            s.n--;
        if (!wd_unhex(s, out, 32))
            st = WD_FAIL(err, WD_E_CORRUPT, "%s: expected 64 lower-case hexadecimal digits", path);
    }
    wd_buf_wipe(&b);
    wd_buf_free(&b);
    return st;
}

wd_status wd_public_key_read(const char *path, wd_public_key *out, wd_err *err)
{
    return read_hex32(path, out->b, err);
}

static void from_seed(const uint8_t seed[SEED_BYTES], wd_signer *s)
{
    crypto_sign_seed_keypair(s->pub.b, s->secret, seed);
    crypto_generichash(s->digest_key, sizeof s->digest_key, (const uint8_t *)"ward digest key 1", 17, seed,
                       SEED_BYTES);
}

static wd_status write_hex32(const char *path, const uint8_t b[32], bool secret, wd_err *err)
{
    char text[66];

    sodium_bin2hex(text, 65, b, 32);
    text[64] = '\n';
    const wd_span bytes = wd_span_of(text, 65);
    const wd_status st = secret ? wd_file_write_secret(path, bytes, err) : wd_file_write(path, bytes, err);
    wd_wipe(text, sizeof text);
    return st;
}

wd_status wd_signer_open(const char *dir, bool make, wd_signer *out, wd_err *err)
{
    char path[4096], pub[4096];
    uint8_t seed[SEED_BYTES];
    struct stat info;
    wd_status st;

    if (snprintf(path, sizeof path, "%s/audit.key", dir) >= (int)sizeof path ||
        snprintf(pub, sizeof pub, "%s/audit.pub", dir) >= (int)sizeof pub)
        return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", dir);
    if (stat(path, &info) < 0 && make) {
        randombytes_buf(seed, sizeof seed);
        st = write_hex32(path, seed, true, err);
    } else if (stat(path, &info) == 0 && (info.st_mode & 077)) {
        return WD_FAIL(err, WD_E_DENIED, "%s: others may read it (mode %03o), expected mode 600", path,
                       (unsigned)(info.st_mode & 0777));
    } else {
        st = read_hex32(path, seed, err);
    }
    if (!st)
        from_seed(seed, out);
    wd_wipe(seed, sizeof seed);
    if (!st && make)
        st = write_hex32(pub, out->pub.b, false, err);
    if (st)
        wd_signer_wipe(out);
    return st;
}

void wd_signer_wipe(wd_signer *s)
{
    wd_wipe(s, sizeof *s);
}

/* The signed text: one line for each field, none of which can hold a newline. */
static int text_of(wd_signed_kind kind, int64_t seq, const wd_digest *hash, const char *time, char out[256])
{
    char hex[65];

    wd_digest_hex(hash, hex);
    return snprintf(out, 256, "ward audit %s 1\n%lld\n%s\n%.40s\n",
                    kind == WD_SIGNED_HEAD ? "head" : "checkpoint", (long long)seq, hex, time);
}

void wd_sign(const wd_signer *s, wd_signed_kind kind, int64_t seq, const wd_digest *hash, const char *time,
             wd_signature *out)
{
    char text[256];
    const int n = text_of(kind, seq, hash, time, text);
    crypto_sign_detached(out->b, NULL, (const uint8_t *)text, (unsigned long long)n, s->secret);
}

bool wd_sign_verify(const wd_public_key *k, wd_signed_kind kind, int64_t seq, const wd_digest *hash,
                    const char *time, const wd_signature *sig)
{
    char text[256];
    const int n = text_of(kind, seq, hash, time, text);
    return crypto_sign_verify_detached(sig->b, (const uint8_t *)text, (unsigned long long)n, k->b) == 0;
}
