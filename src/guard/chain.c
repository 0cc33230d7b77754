/* Lines and digests of the chain. */
#include "guard/chain.h"

#include <sodium.h>

#include "base/file.h"
#include "base/json.h"

#define RECORD_HEAD "{\"record\":"
#define RECORD_MID ",\"hash\":\""
#define RECORD_TAIL "\"}"

void wd_chain_hash(wd_span body, wd_digest *out)
{
    static const char what[] = "ward audit record 1\n";
    crypto_generichash_state h;

    crypto_generichash_init(&h, NULL, 0, sizeof out->b);
    crypto_generichash_update(&h, (const uint8_t *)what, sizeof what - 1);
    crypto_generichash_update(&h, body.p, body.n);
    crypto_generichash_final(&h, out->b, sizeof out->b);
}

static void put_hex(wd_buf *out, wd_span bytes)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < bytes.n; i++) {
        wd_buf_char(out, digits[bytes.p[i] >> 4]);
        wd_buf_char(out, digits[bytes.p[i] & 15]);
    }
}

void wd_chain_put_checkpoint(int64_t seq, wd_span hash, const char *time, wd_span sig, wd_buf *out)
{
    wd_buf_printf(out, "{\"checkpoint\":{\"seq\":%lld,\"hash\":\"", (long long)seq);
    put_hex(out, hash);
    wd_buf_str(out, "\",\"time\":");
    wd_buf_json(out, wd_span_str(time));
    wd_buf_str(out, ",\"sig\":\"");
    put_hex(out, sig);
    wd_buf_str(out, "\"}}");
}

void wd_chain_put_head(int64_t seq, wd_span hash, wd_span sig, wd_buf *out)
{
    wd_buf_printf(out, "{\"head\":{\"seq\":%lld,\"hash\":\"", (long long)seq);
    put_hex(out, hash);
    wd_buf_str(out, "\",\"sig\":\"");
    put_hex(out, sig);
    wd_buf_str(out, "\"}}");
}

void wd_chain_put_record(wd_span body, wd_span hash, wd_buf *out)
{
    wd_buf_str(out, RECORD_HEAD);
    wd_buf_span(out, body);
    wd_buf_str(out, RECORD_MID);
    put_hex(out, hash);
    wd_buf_str(out, RECORD_TAIL);
}

bool wd_chain_get_record(wd_span line, wd_span *body, wd_digest *hash)
{
    const size_t head = sizeof RECORD_HEAD - 1, tail = sizeof RECORD_MID - 1 + 64 + sizeof RECORD_TAIL - 1;

    if (line.n < head + tail || !wd_span_starts(line, RECORD_HEAD) || !wd_span_ends(line, RECORD_TAIL))
        return false;
    const wd_span rest = wd_span_sub(line, line.n - tail, tail);
    if (!wd_span_starts(rest, RECORD_MID) ||
        !wd_unhex(wd_span_sub(rest, sizeof RECORD_MID - 1, 64), hash->b, sizeof hash->b))
        return false;
    *body = wd_span_sub(line, head, line.n - head - tail);
    return true;
}

bool wd_chain_get_signed(wd_span line, wd_signed_kind *kind, wd_anchor *out)
{
    json_t *o = NULL;
    wd_anchor a = { 0 };
    bool ok = false;

    if (line.n > 1024 || wd_json_parse(line, "line", &o, NULL))
        return false;
    const json_t *head = json_object_get(o, "head"), *cp = json_object_get(o, "checkpoint"),
                 *v = cp ? cp : head;
    const json_t *seq = json_object_get(v, "seq");
    const char *hash = json_string_value(json_object_get(v, "hash")),
               *sig = json_string_value(json_object_get(v, "sig"));
    const char *time = cp ? json_string_value(json_object_get(v, "time")) : "";
    if (json_object_size(o) == 1 && json_is_integer(seq) && json_integer_value(seq) > 0 && hash && sig &&
        time && strlen(time) < sizeof a.time && wd_unhex(wd_span_str(hash), a.hash.b, sizeof a.hash.b) &&
        wd_unhex(wd_span_str(sig), a.sig.b, sizeof a.sig.b)) {
        a.seq = json_integer_value(seq);
        memcpy(a.time, time, strlen(time) + 1);
        *kind = cp ? WD_SIGNED_CHECKPOINT : WD_SIGNED_HEAD;
        *out = a;
        ok = true;
    }
    json_decref(o);
    return ok;
}

wd_status wd_anchors_newest(const char *path, const wd_public_key *key, wd_anchor *out, wd_err *err)
{
    wd_buf b = { .max = WD_ANCHORS_BYTES_MAX + 1 };
    wd_anchor a;
    wd_signed_kind kind;

    *out = (wd_anchor){ 0 };
    if (!wd_file_exists(path))
        return WD_OK;
    const wd_status st = wd_file_read(path, WD_ANCHORS_BYTES_MAX, &b, err);
    size_t end = b.n;              /* 0 when it could not be read */
    while (end > 0 && !out->seq) { /* from the last line back: the newest is nearly always the last */
        size_t from = end;
        while (from > 0 && b.p[from - 1] != '\n')
            from--;
        const wd_span line = wd_span_of(b.p + from, end - from);
        if (wd_chain_get_signed(line, &kind, &a) && kind == WD_SIGNED_CHECKPOINT &&
            wd_sign_verify(key, kind, a.seq, &a.hash, a.time, &a.sig))
            *out = a;
        end = from ? from - 1 : 0;
    }
    wd_buf_free(&b);
    return st;
}
