/* For comparing with another tokenizer: reads documents, writes ids.
 *
 *   tokenizer_pipe DIR plain|special|post|decode|decode-skip [ROUNDS] < IN > OUT
 *
 * Everything is a list of records: a 32-bit little-endian count, then so many bytes (documents, text) or 32-bit ids.
 * With decode the records read are ids and those written are text. decode is checked against token-by-token
 * decoding on the way. On stderr: seconds of processor time to open, and of the quickest of ROUNDS.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/utf8.h"
#include "text/tokenizer.h"

#define IN_MAX ((size_t)1 << 30)

static void die(const char *what)
{
    fprintf(stderr, "tokenizer_pipe: %s\n", what);
    exit(1);
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void read_all(wd_buf *in)
{
    char block[1 << 11];
    size_t n;

    in->max = IN_MAX;
    while ((n = fread(block, 1, sizeof(block), stdin)) > 0)
        wd_buf_put(in, block, n);
    if (in->failed)
        die("input too large");
}

/* The record at *at; count is in units of unit bytes. */
static wd_span next_record(wd_span in, size_t *at, size_t unit)
{
    if (in.n - *at < 4 || wd_le32(in.p + *at) > (in.n - *at - 4) / unit)
        die("cut off record");
    const wd_span r = wd_span_sub(in, *at + 4, wd_le32(in.p + *at) * unit);
    *at += 4 + r.n;
    return r;
}

static void put_count(wd_buf *out, size_t n)
{
    const uint32_t count = (uint32_t)n;
    wd_buf_put(out, &count, sizeof(count));
}

static void encode_one(const wd_tokenizer *tok, wd_span doc, unsigned flags, wd_ids *ids, wd_buf *out)
{
    wd_err err;

    wd_ids_clear(ids);
    if (wd_tokenizer_encode(tok, doc, flags, ids, &err))
        die(err.text);
    put_count(out, ids->n);
    wd_buf_put(out, ids->v, ids->n * sizeof(*ids->v));
}

static void decode_one(const wd_tokenizer *tok, wd_span record, bool skip, wd_buf *out)
{
    const size_t at = out->n, n = record.n / 4;
    uint32_t *ids = wd_calloc(n, 4);
    wd_buf streamed = { 0 };
    wd_detok d;
    wd_err err;

    if (n)
        memcpy(ids, record.p, n * 4);
    put_count(out, 0);
    if (wd_tokenizer_decode(tok, ids, n, skip, out, &err))
        die(err.text);
    const wd_span text = wd_span_of(out->p + at + 4, out->n - at - 4);
    const uint32_t count = (uint32_t)text.n;
    memcpy(out->p + at, &count, 4);

    wd_detok_init(&d, tok, skip);
    for (size_t i = 0; i < n; i++) {
        if (wd_detok_push(&d, ids[i], &streamed, &err) || !wd_utf8_valid(wd_buf_view(&streamed)))
            die("token-by-token decoding split a character");
    }
    if (wd_detok_flush(&d, &streamed, &err) || !wd_span_eq(text, wd_buf_view(&streamed)))
        die("token-by-token decoding gave another text");
    wd_buf_free(&streamed);
    wd_free(ids);
}

int main(int argc, char **argv)
{
    wd_tokenizer *tok;
    wd_buf in = { 0 }, out = { 0 };
    wd_ids ids = { 0 };
    wd_err err;
    double best = 1e9;

    if (argc < 3)
        die("usage: tokenizer_pipe DIR plain|special|post|decode|decode-skip [ROUNDS]");
    const bool decode = strncmp(argv[2], "decode", 6) == 0, skip = strcmp(argv[2], "decode-skip") == 0;
    const unsigned flags = strcmp(argv[2], "plain") == 0  ? WD_TOK_PLAIN
                           : strcmp(argv[2], "post") == 0 ? WD_TOK_SPECIAL | WD_TOK_POST
                                                          : WD_TOK_SPECIAL;
    const long rounds = argc > 3 ? strtol(argv[3], NULL, 10) : 1;
    double t = cpu_s();
    if (wd_tokenizer_open(argv[1], &tok, &err))
        die(err.text);
    fprintf(stderr, "open %.4f\n", cpu_s() - t);
    read_all(&in);
    for (long i = 0; i < rounds; i++) {
        wd_buf_clear(&out);
        t = cpu_s();
        for (size_t at = 0; at < in.n;) {
            const wd_span record = next_record(wd_buf_view(&in), &at, decode ? 4 : 1);
            if (decode)
                decode_one(tok, record, skip, &out);
            else
                encode_one(tok, record, flags, &ids, &out);
        }
        t = cpu_s() - t;
        best = t < best ? t : best;
    }
    fprintf(stderr, "run %.4f\n", best);
    if (out.failed || fwrite(out.p, 1, out.n, stdout) != out.n)
        die("cannot write");
    wd_ids_free(&ids);
    wd_buf_free(&out);
    wd_buf_free(&in);
    wd_tokenizer_close(tok);
    return 0;
}
