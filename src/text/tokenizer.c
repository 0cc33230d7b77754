/* Encoding and decoding. Reading the file is tokenizer_read.c's.
 *
 * An encoder needs memory: a cache of pieces, room for normalised text and for merging. It is taken from the
 * tokenizer's pool for the length of a call, so that threads share nothing while they encode, and a thread that
 * comes again finds a warm cache.
 */
#include "text/tokenizer.h"

#include <pthread.h>

#include "base/file.h"
#include "base/utf8.h"
#include "text/pretok.h"
#include "text/tokenizer_parts.h"

#define FILE_MAX ((size_t)256 << 20)
#define TEXT_MAX ((size_t)64 << 20) /* of one call */
#define POOL_KEEP 16                /* encoders kept for later */
#define KEEP_BYTES (1 << 20)        /* of each of their buffers */

typedef struct encoder {
    struct encoder *next;
    wd_bpe_work *bpe;
    wd_buf raw, nfc;
    size_t *end; /* [end_cap] where each part ends in raw */
    size_t end_cap;
} encoder;

struct wd_tokenizer_pool {
    pthread_mutex_t mu;
    encoder *free; /* under mu */
    unsigned n_free;
};

static void encoder_destroy(encoder *e)
{
    if (!e)
        return;
    wd_buf_wipe(&e->raw);
    wd_buf_wipe(&e->nfc);
    wd_buf_free(&e->raw);
    wd_buf_free(&e->nfc);
    wd_bpe_work_destroy(e->bpe);
    wd_free(e->end);
    wd_free(e);
}

static encoder *encoder_create(void)
{
    encoder *e = WD_ALLOC(encoder);

    if (!e)
        return NULL;
    e->bpe = wd_bpe_work_create();
    if (!e->bpe) {
        wd_free(e);
        return NULL;
    }
    return e;
}

static encoder *take_encoder(wd_tokenizer_pool *pool)
{
    pthread_mutex_lock(&pool->mu);
    encoder *e = pool->free;
    if (e) {
        pool->free = e->next;
        pool->n_free--;
    }
    pthread_mutex_unlock(&pool->mu);
    return e ? e : encoder_create();
}

/* The text does not outlive the call in the buffers. */
static void empty_buffer(wd_buf *b)
{
    if (b->n)
        wd_wipe(b->p, b->n);
    wd_buf_clear(b);
    if (b->cap > KEEP_BYTES)
        wd_buf_free(b);
}

static void give_encoder(wd_tokenizer_pool *pool, encoder *e)
{
    empty_buffer(&e->raw);
    empty_buffer(&e->nfc);
    wd_bpe_work_trim(e->bpe);
    pthread_mutex_lock(&pool->mu);
    const bool keep = pool->n_free < POOL_KEEP;
    if (keep) {
        e->next = pool->free;
        pool->free = e;
        pool->n_free++;
    }
    pthread_mutex_unlock(&pool->mu);
    if (!keep)
        encoder_destroy(e);
}

static wd_tokenizer_pool *pool_create(void)
{
    wd_tokenizer_pool *pool = WD_ALLOC(wd_tokenizer_pool);

    if (pool && pthread_mutex_init(&pool->mu, NULL) != 0) {
        wd_free(pool);
        return NULL;
    }
    return pool;
}

static void pool_destroy(wd_tokenizer_pool *pool)
{
    if (!pool)
        return;
    while (pool->free) {
        encoder *e = pool->free;
        pool->free = e->next;
        encoder_destroy(e);
    }
    pthread_mutex_destroy(&pool->mu);
    wd_free(pool);
}

/* Text without added tokens: normalised, cut into pieces, merged. */
static wd_status encode_gap(const wd_tokenizer *tok, encoder *e, wd_span text, wd_ids *ids, wd_err *err)
{
    if (tok->nfc && wd_unicode_nfc_prefix(tok->unicode, text) < text.n) {
        wd_buf_clear(&e->nfc);
        WD_TRY(wd_unicode_nfc(tok->unicode, text, &e->nfc, err));
        text = wd_buf_view(&e->nfc);
    }
    for (size_t at = 0, end; at < text.n; at = end) {
        end = wd_pretok_next(tok->unicode, text, at);
        WD_TRY(wd_bpe_encode(&tok->bpe, e->bpe, text.p + at, end - at, ids, err));
    }
    return WD_OK;
}

/* The parts as one well-formed text, and where each ends in it. */
static wd_status join_parts(encoder *e, const wd_tok_part *parts, size_t n_part, wd_span *text, wd_err *err)
{
    size_t total = 0;

    for (size_t i = 0; i < n_part; i++) {
        if (!wd_add_size(total, parts[i].text.n, &total) || total > TEXT_MAX)
            return WD_FAIL(err, WD_E_LIMIT, "tokenizer: text of more than %zu MiB", TEXT_MAX >> 20);
    }
    if (n_part > e->end_cap) {
        size_t *grown = wd_realloc(e->end, n_part, sizeof(*grown));
        if (!grown)
            return WD_FAIL(err, WD_E_NOMEM, "tokenizer: no memory for %zu parts of text", n_part);
        e->end = grown;
        e->end_cap = n_part;
    }
    if (n_part == 1 && wd_utf8_valid(parts[0].text)) {
        *text = parts[0].text;
        e->end[0] = text->n;
        return WD_OK;
    }
    for (size_t i = 0; i < n_part; i++) {
        wd_utf8_sanitize(parts[i].text, &e->raw);
        e->end[i] = e->raw.n;
    }
    *text = wd_buf_view(&e->raw);
    return wd_buf_check(&e->raw, "tokenizer", err);
}

static wd_status encode(const wd_tokenizer *tok, encoder *e, const wd_tok_part *parts, size_t n_part,
                        wd_ids *ids, wd_err *err)
{
    wd_span text = { 0 };
    size_t done = 0; /* encoded up to here */

    WD_TRY(join_parts(e, parts, n_part, &text, err));
    for (size_t i = 0; i < n_part; i++) {
        if (!parts[i].markup)
            continue;
        size_t at = i ? e->end[i - 1] : 0, n;
        uint32_t id;
        while (i + 1 < n_part && parts[i + 1].markup)
            i++;
        while (wd_added_find(&tok->added, wd_span_sub(text, 0, e->end[i]), &at, &n, &id)) {
            WD_TRY(encode_gap(tok, e, wd_span_sub(text, done, at - done), ids, err));
            wd_ids_put(ids, id);
            done = at += n;
        }
    }
    WD_TRY(encode_gap(tok, e, wd_span_sub(text, done, text.n - done), ids, err));
    return WD_OK;
}

wd_status wd_tokenizer_encode_parts(const wd_tokenizer *tok, const wd_tok_part *parts, size_t n_part,
                                    unsigned flags, wd_ids *ids, wd_err *err)
{
    const size_t n_before = ids->n;
    encoder *e = take_encoder(tok->pool);
    wd_status st;

    if (!e)
        return WD_FAIL(err, WD_E_NOMEM, "tokenizer: no memory to encode");
    if (flags & WD_TOK_POST)
        wd_ids_add(ids, tok->before.v, tok->before.n);
    st = encode(tok, e, parts, n_part, ids, err);
    if (flags & WD_TOK_POST)
        wd_ids_add(ids, tok->after.v, tok->after.n);
    if (st == WD_OK)
        st = wd_ids_check(ids, "tokenizer", err);
    if (st) {
        ids->n = n_before;
        ids->failed = false;
    }
    give_encoder(tok->pool, e);
    return st;
}

wd_status wd_tokenizer_encode(const wd_tokenizer *tok, wd_span text, unsigned flags, wd_ids *ids, wd_err *err)
{
    const wd_tok_part part = { .text = text, .markup = flags & WD_TOK_SPECIAL };

    return wd_tokenizer_encode_parts(tok, &part, 1, flags, ids, err);
}

wd_status wd_tokenizer_decode(const wd_tokenizer *tok, const uint32_t *ids, size_t n, bool skip_special,
                              wd_buf *out, wd_err *err)
{
    wd_buf bytes = { 0 };

    for (size_t i = 0; i < n; i++) {
        if (!(skip_special && wd_tokenizer_is_special(tok, ids[i])))
            wd_buf_span(&bytes, wd_tokenizer_bytes(tok, ids[i]));
    }
    if (!bytes.failed)
        wd_utf8_sanitize(wd_buf_view(&bytes), out);
    wd_status st = wd_buf_check(bytes.failed ? &bytes : out, "decoded text", err);
    wd_buf_wipe(&bytes);
    wd_buf_free(&bytes);
    return st;
}

void wd_detok_init(wd_detok *d, const wd_tokenizer *tok, bool skip_special)
{
    *d = (wd_detok){ .tok = tok, .skip_special = skip_special };
}

wd_status wd_detok_push(wd_detok *d, uint32_t id, wd_buf *out, wd_err *err)
{
    wd_span bytes = wd_tokenizer_bytes(d->tok, id);

    if (d->skip_special && wd_tokenizer_is_special(d->tok, id))
        return WD_OK;
    while (d->n_held && bytes.n) { /* byte by byte until the held character is whole or broken */
        d->held[d->n_held++] = *bytes.p;
        bytes = wd_span_sub(bytes, 1, bytes.n - 1);
        const wd_span held = wd_span_of(d->held, d->n_held);
        const size_t n_partial = wd_utf8_partial(held);
        wd_utf8_sanitize(wd_span_sub(held, 0, held.n - n_partial), out);
        memmove(d->held, d->held + held.n - n_partial, n_partial);
        d->n_held = (uint8_t)n_partial;
    }
    const size_t n_partial = wd_utf8_partial(bytes);
    wd_utf8_sanitize(wd_span_sub(bytes, 0, bytes.n - n_partial), out);
    if (bytes.n) {
        memcpy(d->held, bytes.p + bytes.n - n_partial, n_partial);
        d->n_held = (uint8_t)n_partial;
    }
    return wd_buf_check(out, "decoded text", err);
}

wd_status wd_detok_flush(wd_detok *d, wd_buf *out, wd_err *err)
{
    wd_utf8_sanitize(wd_span_of(d->held, d->n_held), out);
    d->n_held = 0;
    return wd_buf_check(out, "decoded text", err);
}

uint32_t wd_tokenizer_n_vocab(const wd_tokenizer *tok)
{
    return tok->vocab.n_id;
}

uint32_t wd_tokenizer_id_of(const wd_tokenizer *tok, wd_span bytes)
{
    const uint32_t id = wd_added_id(&tok->added, bytes);

    return id != WD_TOKEN_NONE ? id : wd_vocab_find(&tok->vocab, bytes.p, bytes.n);
}

uint32_t wd_tokenizer_id(const wd_tokenizer *tok, const char *text)
{
    return wd_tokenizer_id_of(tok, wd_span_str(text));
}

wd_span wd_tokenizer_bytes(const wd_tokenizer *tok, uint32_t id)
{
    return wd_vocab_bytes(&tok->vocab, id);
}

bool wd_tokenizer_is_added(const wd_tokenizer *tok, uint32_t id)
{
    return wd_vocab_flags(&tok->vocab, id) & WD_VOCAB_ADDED;
}

bool wd_tokenizer_is_special(const wd_tokenizer *tok, uint32_t id)
{
    return wd_vocab_flags(&tok->vocab, id) & WD_VOCAB_SPECIAL;
}

/* From json, or from lists where that is not NULL. */
static wd_status open_any(wd_span json, const wd_tok_lists *lists, const char *where, wd_tokenizer **out,
                          wd_err *err)
{
    wd_tokenizer *tok = WD_ALLOC(wd_tokenizer);
    wd_status st;

    *out = NULL;
    if (!tok)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for a tokenizer", where);
    wd_vocab_init(&tok->vocab);
    tok->unicode = wd_unicode_create();
    tok->pool = pool_create();
    if (!tok->unicode || !tok->pool)
        st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory for a tokenizer", where);
    else if (lists)
        st = wd_tokenizer__read_lists(tok, lists, where, err);
    else
        st = wd_tokenizer__read(tok, json, where, err);
    if (st)
        wd_tokenizer_close(tok);
    else
        *out = tok;
    return st;
}

wd_status wd_tokenizer_open_json(wd_span json, const char *where, wd_tokenizer **out, wd_err *err)
{
    return open_any(json, NULL, where, out, err);
}

wd_status wd_tokenizer_open_lists(const wd_tok_lists *lists, const char *where, wd_tokenizer **out,
                                  wd_err *err)
{
    return open_any((wd_span){ 0 }, lists, where, out, err);
}

wd_status wd_tokenizer_open(const char *dir, wd_tokenizer **out, wd_err *err)
{
    wd_buf path = { 0 }, json = { 0 };
    wd_status st;

    *out = NULL;
    wd_buf_printf(&path, "%s/tokenizer.json", dir);
    st = wd_buf_check(&path, "path", err);
    if (st == WD_OK)
        st = wd_file_read((const char *)path.p, FILE_MAX, &json, err);
    if (st == WD_OK)
        st = wd_tokenizer_open_json(wd_buf_view(&json), (const char *)path.p, out, err);
    wd_buf_free(&json);
    wd_buf_free(&path);
    return st;
}

void wd_tokenizer_close(wd_tokenizer *tok)
{
    if (!tok)
        return;
    pool_destroy(tok->pool);
    wd_ids_free(&tok->before);
    wd_ids_free(&tok->after);
    wd_added_free(&tok->added);
    wd_bpe_free(&tok->bpe);
    wd_vocab_free(&tok->vocab);
    wd_free(tok->unicode);
    wd_free(tok);
}
