/* Reading a tokenizer.json, or the same from lists.
 *
 * The vocabulary and the merges are nine tenths of the file and are read as they come; all else is small, is put
 * aside and then parsed as a tree. Merges may only be resolved when the vocabulary is known: if they come first,
 * they wait as text.
 *
 * Tokens are written in the byte alphabet of GPT-2: a printable character for each of the 256 bytes. They are kept
 * as the bytes they stand for. An entry with any other character can be no piece of text; the only use for one is
 * an added token, and any other is refused.
 */
#include "base/json.h"
#include "base/utf8.h"
#include "text/jscan.h"
#include "text/pretok.h"
#include "text/tokenizer_parts.h"

#define ALPHABET_END 0x144           /* code points of the byte alphabet lie below */
#define SMALL_MAX ((size_t)16 << 20) /* any part but vocabulary and merges */

typedef struct reader {
    wd_tokenizer *tok;
    const char *where;
    wd_jscan scan;
    int16_t byte_of[ALPHABET_END]; /* -1: not in the alphabet */
    bool has_model, has_vocab, has_merges;
    wd_span merges_text; /* merges that came before the vocabulary */
    wd_bpe_merge *merge; /* [n_merge] */
    size_t n_merge, merge_cap;
    uint8_t *tmp; /* the bytes of two tokens, as long as their texts may be */
    wd_span added, normalizer, pre_tokenizer, post_processor, decoder; /* empty: not there */
} reader;

/* Printable ASCII and Latin-1 stand for themselves; the other bytes in order are U+0100, U+0101, ... */
static void init_alphabet(int16_t byte_of[ALPHABET_END])
{
    unsigned next = 0x100;

    for (unsigned i = 0; i < ALPHABET_END; i++)
        byte_of[i] = -1;
    for (unsigned b = 0; b < 256; b++) {
        const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        byte_of[printable ? b : next++] = (int16_t)b;
    }
}

/* The bytes that text in the byte alphabet stands for, into out[text.n]; false if it holds another character. */
static bool to_bytes(const reader *r, wd_span text, uint8_t *out, size_t *n)
{
    size_t k = 0;

    for (size_t i = 0; i < text.n; i++) {
        unsigned c = text.p[i];
        if (c >= 0xC2 && c <= 0xC5 && i + 1 < text.n && (text.p[i + 1] & 0xC0) == 0x80)
            c = (c & 0x1F) << 6 | (text.p[++i] & 0x3F);
        else if (c >= 0x80)
            return false;
        if (c >= ALPHABET_END || r->byte_of[c] < 0)
            return false;
        out[k++] = (uint8_t)r->byte_of[c];
    }
    *n = k;
    return true;
}

/* A token's text for a message: its beginning, at most 40 bytes. For "%.*s". */
#define SHOW(s) (int)WD_MIN((s).n, (size_t)40), (const char *)(s).p

/* The bytes of one token, at r->tmp + at. *is_piece false: it is not written in the byte alphabet. */
static wd_status token_bytes(reader *r, wd_span text, size_t at, size_t *n, bool *is_piece, wd_err *err)
{
    *n = 0;
    *is_piece = text.n <= 2 * WD_VOCAB_TOKEN_MAX && to_bytes(r, text, r->tmp + at, n);
    if (text.n > 2 * WD_VOCAB_TOKEN_MAX || *n > WD_VOCAB_TOKEN_MAX ||
        (!*is_piece && text.n > WD_VOCAB_TOKEN_MAX))
        return WD_FAIL(err, WD_E_LIMIT, "%s: token \"%.*s...\" is longer than %u bytes", r->where, SHOW(text),
                       WD_VOCAB_TOKEN_MAX);
    return WD_OK;
}

/* A token of the vocabulary whose bytes token_bytes has found. */
static wd_status add_vocab(reader *r, wd_span text, bool is_piece, size_t n, uint32_t id, wd_err *err)
{
    wd_vocab *v = &r->tok->vocab;
    bool twice = false;

    if (wd_vocab_flags(v, id))
        return WD_FAIL(err, WD_E_INVALID, "%s: model.vocab: id %u belongs to two tokens", r->where, id);
    WD_TRY(wd_vocab_add(v, id, is_piece ? wd_span_of(r->tmp, n) : text, is_piece ? WD_VOCAB_PIECE : 0, &twice,
                        err));
    if (twice)
        return WD_FAIL(err, WD_E_INVALID, "%s: model.vocab: token \"%.*s\" comes twice", r->where,
                       SHOW(text));
    return WD_OK;
}

static wd_status read_vocab_entry(reader *r, wd_err *err)
{
    wd_span text;
    uint64_t id;
    size_t n;
    bool is_piece;

    WD_TRY(wd_jscan_key(&r->scan, &text, err));
    if (text.n == 0)
        return WD_FAIL(err, WD_E_INVALID, "%s: model.vocab: an empty token", r->where);
    WD_TRY(token_bytes(r, text, 0, &n, &is_piece, err));
    WD_TRY(wd_jscan_uint(&r->scan, WD_VOCAB_ID_END - 1, "a token's id", &id, err));
    return add_vocab(r, text, is_piece, n, (uint32_t)id, err);
}

static wd_status read_vocab(reader *r, wd_err *err)
{
    bool more;

    WD_TRY(wd_jscan_enter(&r->scan, '{', "model.vocab", err));
    WD_TRY(wd_jscan_more(&r->scan, '{', true, &more, err));
    while (more) {
        WD_TRY(read_vocab_entry(r, err));
        WD_TRY(wd_jscan_more(&r->scan, '{', false, &more, err));
    }
    return WD_OK;
}

/* One half of a merge: its id, its bytes at r->tmp + at. */
static wd_status find_half(reader *r, wd_span text, size_t at, size_t *n, uint32_t *id, wd_err *err)
{
    bool is_piece;

    WD_TRY(token_bytes(r, text, at, n, &is_piece, err));
    *id = is_piece ? wd_vocab_find(&r->tok->vocab, r->tmp + at, *n) : UINT32_MAX;
    if (*id == UINT32_MAX)
        return WD_FAIL(err, WD_E_INVALID, "%s: model.merges[%zu]: \"%.*s\" is not in the vocabulary",
                       r->where, r->n_merge, SHOW(text));
    return WD_OK;
}

/* The token with these bytes. Merges nearly always come in the order of the ids that they make: look there first. */
static uint32_t find_union(const reader *r, wd_span bytes)
{
    const wd_vocab *v = &r->tok->vocab;
    const uint32_t guess = r->n_merge ? r->merge[r->n_merge - 1].id + 1 : 0;

    if (wd_vocab_flags(v, guess) & WD_VOCAB_PIECE && wd_span_eq(wd_vocab_bytes(v, guess), bytes))
        return guess;
    return wd_vocab_find(v, bytes.p, bytes.n);
}

/* The token that the two halves at the beginning of r->tmp make. */
static wd_status join_halves(reader *r, size_t n_left, size_t n_right, wd_bpe_merge *m, wd_err *err)
{
    m->id = find_union(r, wd_span_of(r->tmp, n_left + n_right));
    if (m->id == UINT32_MAX)
        return WD_FAIL(err, WD_E_INVALID, "%s: model.merges[%zu] makes a token that is not in the vocabulary",
                       r->where, r->n_merge);
    return WD_OK;
}

/* "a b" */
static wd_status parse_merge(reader *r, wd_span text, wd_bpe_merge *m, wd_err *err)
{
    size_t n_left, n_right;
    const uint8_t *space = text.n ? memchr(text.p, ' ', text.n) : NULL;

    if (!space)
        return WD_FAIL(err, WD_E_INVALID,
                       "%s: model.merges[%zu]: \"%.*s\" is not two tokens with a space between", r->where,
                       r->n_merge, SHOW(text));
    const size_t cut = (size_t)(space - text.p);
    WD_TRY(find_half(r, wd_span_sub(text, 0, cut), 0, &n_left, &m->left, err));
    WD_TRY(find_half(r, wd_span_sub(text, cut + 1, text.n), n_left, &n_right, &m->right, err));
    return join_halves(r, n_left, n_right, m, err);
}

/* "a b" or ["a", "b"] */
static wd_status read_merge(reader *r, wd_bpe_merge *m, wd_err *err)
{
    wd_span text;
    size_t n_left, n_right;
    bool more;

    if (wd_jscan_peek(&r->scan) != '[') {
        WD_TRY(wd_jscan_string(&r->scan, &text, err));
        return parse_merge(r, text, m, err);
    }
    WD_TRY(wd_jscan_enter(&r->scan, '[', "a merge", err));
    WD_TRY(wd_jscan_string(&r->scan, &text, err));
    WD_TRY(find_half(r, text, 0, &n_left, &m->left, err));
    WD_TRY(wd_jscan_more(&r->scan, '[', false, &more, err));
    if (more) {
        WD_TRY(wd_jscan_string(&r->scan, &text, err));
        WD_TRY(find_half(r, text, n_left, &n_right, &m->right, err));
        WD_TRY(wd_jscan_more(&r->scan, '[', false, &more, err));
        if (!more)
            return join_halves(r, n_left, n_right, m, err);
    }
    return WD_FAIL(err, WD_E_INVALID, "%s: model.merges[%zu] is not a pair", r->where, r->n_merge);
}

static wd_status room_for_merge(reader *r, wd_err *err)
{
    if (r->n_merge < r->merge_cap)
        return WD_OK;
    const size_t cap = r->merge_cap ? r->merge_cap * 2 : 4096;
    wd_bpe_merge *grown = wd_realloc(r->merge, cap, sizeof(*grown));
    if (!grown)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory for more than %zu merges", r->where, r->n_merge);
    r->merge = grown;
    r->merge_cap = cap;
    return WD_OK;
}

static wd_status read_merges(reader *r, wd_err *err)
{
    bool more;

    WD_TRY(wd_jscan_enter(&r->scan, '[', "model.merges", err));
    WD_TRY(wd_jscan_more(&r->scan, '[', true, &more, err));
    while (more) {
        WD_TRY(room_for_merge(r, err));
        WD_TRY(read_merge(r, r->merge + r->n_merge, err));
        r->n_merge++;
        WD_TRY(wd_jscan_more(&r->scan, '[', false, &more, err));
    }
    return WD_OK;
}

/* A member of "model" other than vocabulary and merges: only what makes no difference, or what we are. */
static wd_status check_setting(const reader *r, wd_span name, wd_span value, wd_err *err)
{
    static const char *const neutral[] = { "null", "false", "\"\"", "0", "0.0" };

    if (wd_span_is(name, "type") && wd_span_is(value, "\"BPE\""))
        return WD_OK;
    if (wd_span_is(name, "unk_token") || wd_span_is(name, "fuse_unk"))
        return WD_OK; /* with all 256 bytes in the vocabulary nothing is unknown */
    for (size_t i = 0; i < WD_COUNT(neutral); i++) {
        if (wd_span_is(value, neutral[i]) && !wd_span_is(name, "type"))
            return WD_OK;
    }
    return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: model.%.*s is %.*s, which Ward's byte-level BPE does not do",
                   r->where, SHOW(name), SHOW(value));
}

/* One member of "model". */
static wd_status read_model_member(reader *r, wd_err *err)
{
    wd_span key, value;

    WD_TRY(wd_jscan_key(&r->scan, &key, err));
    const bool vocab = wd_span_is(key, "vocab"), merges = wd_span_is(key, "merges");
    if ((vocab && r->has_vocab) || (merges && r->has_merges))
        return WD_FAIL(err, WD_E_CORRUPT, "%s: model.%s comes twice", r->where, vocab ? "vocab" : "merges");
    if (vocab) {
        r->has_vocab = true;
        return read_vocab(r, err);
    }
    if (merges) {
        r->has_merges = true;
        if (r->has_vocab)
            return read_merges(r, err);
        return wd_jscan_skip(&r->scan, &r->merges_text, err);
    }
    char name[64];
    const size_t n = WD_MIN(key.n, sizeof(name));
    memcpy(name, key.p, n); /* the key may lie where the next string will */
    WD_TRY(wd_jscan_skip(&r->scan, &value, err));
    if (wd_jscan_peek(&r->scan) < 0)
        return WD_OK; /* cut off, perhaps in this value: what is read next says so */
    return check_setting(r, wd_span_of(name, n), value, err);
}

static wd_status read_model(reader *r, wd_err *err)
{
    bool more;

    if (r->has_model)
        return WD_FAIL(err, WD_E_CORRUPT, "%s: model comes twice", r->where);
    r->has_model = true;
    WD_TRY(wd_jscan_enter(&r->scan, '{', "model", err));
    WD_TRY(wd_jscan_more(&r->scan, '{', true, &more, err));
    while (more) {
        WD_TRY(read_model_member(r, err));
        WD_TRY(wd_jscan_more(&r->scan, '{', false, &more, err));
    }
    if (!r->has_vocab || !r->has_merges)
        return WD_FAIL(err, WD_E_INVALID, "%s: model.%s is missing", r->where,
                       r->has_vocab ? "merges" : "vocab");
    if (r->merges_text.n) { /* now that the vocabulary is known */
        const size_t after = r->scan.at;
        r->scan.at = (size_t)(r->merges_text.p - r->scan.text.p);
        WD_TRY(read_merges(r, err));
        r->scan.at = after;
    }
    return WD_OK;
}

/* A member of the whole document: model is read, the others are put aside. */
static wd_status read_member(reader *r, wd_err *err)
{
    const struct {
        const char *name;
        wd_span *text; /* NULL: makes no difference to Ward */
    } parts[] = { { "added_tokens", &r->added }, { "normalizer", &r->normalizer },
                  { "decoder", &r->decoder },    { "pre_tokenizer", &r->pre_tokenizer },
                  { "version", NULL },           { "post_processor", &r->post_processor },
                  { "truncation", NULL },        { "padding", NULL } };
    wd_span key, value;

    WD_TRY(wd_jscan_key(&r->scan, &key, err));
    if (wd_span_is(key, "model"))
        return read_model(r, err);
    for (size_t i = 0; i < WD_COUNT(parts); i++) {
        if (!wd_span_is(key, parts[i].name))
            continue;
        if (parts[i].text && parts[i].text->n)
            return WD_FAIL(err, WD_E_CORRUPT, "%s: %s comes twice", r->where, parts[i].name);
        WD_TRY(wd_jscan_skip(&r->scan, &value, err));
        if (value.n > SMALL_MAX)
            return WD_FAIL(err, WD_E_LIMIT, "%s: %s is longer than %zu MiB", r->where, parts[i].name,
                           SMALL_MAX >> 20);
        if (parts[i].text)
            *parts[i].text = value;
        return WD_OK;
    }
    return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: \"%.*s\" is not a part of a tokenizer that Ward knows",
                   r->where, SHOW(key));
}

static wd_status read_document(reader *r, wd_err *err)
{
    bool more;

    WD_TRY(wd_jscan_enter(&r->scan, '{', "the document", err));
    WD_TRY(wd_jscan_more(&r->scan, '{', true, &more, err));
    while (more) {
        WD_TRY(read_member(r, err));
        WD_TRY(wd_jscan_more(&r->scan, '{', false, &more, err));
    }
    WD_TRY(wd_jscan_end(&r->scan, err));
    if (!r->has_model)
        return WD_FAIL(err, WD_E_INVALID, "%s: model is missing", r->where);
    return WD_OK;
}

/* An added token; `where` names it. */
static wd_status add_added(reader *r, wd_span text, uint32_t id, bool special, const char *where, wd_err *err)
{
    wd_vocab *v = &r->tok->vocab;
    bool is_piece;
    size_t n;

    if (text.n == 0)
        return WD_FAIL(err, WD_E_INVALID, "%s: content is empty", where);
    if (wd_added_id(&r->tok->added, text) != UINT32_MAX)
        return WD_FAIL(err, WD_E_INVALID, "%s: \"%.*s\" comes twice", where, SHOW(text));
    WD_TRY(token_bytes(r, text, 0, &n, &is_piece, err));
    const uint32_t known = is_piece ? wd_vocab_find(v, r->tmp, n) : UINT32_MAX;
    if (known != UINT32_MAX && known != id)
        return WD_FAIL(err, WD_E_INVALID, "%s: \"%.*s\" has id %u, but %u in model.vocab", where, SHOW(text),
                       id, known);
    if (wd_vocab_flags(v, id) && !wd_span_eq(wd_vocab_bytes(v, id), text))
        return WD_FAIL(err, WD_E_INVALID, "%s: id %u of \"%.*s\" belongs to another token", where, id,
                       SHOW(text));
    if (!wd_vocab_flags(v, id))
        WD_TRY(wd_vocab_add(v, id, text, 0, NULL, err));
    v->token[id].flags |= WD_VOCAB_ADDED | (special ? WD_VOCAB_SPECIAL : 0);
    return wd_added_put(&r->tok->added, text, id, err);
}

/* One entry of added_tokens. */
static wd_status read_added(reader *r, const json_t *o, const char *where, wd_err *err)
{
    static const char *const refused[] = { "single_word", "lstrip", "rstrip", "normalized" };
    const char *content;
    bool special, on;
    int64_t id;

    WD_TRY(wd_json_need_str(o, where, "content", &content, err));
    WD_TRY(wd_json_need_int(o, where, "id", 0, WD_VOCAB_ID_END - 1, &id, err));
    WD_TRY(wd_json_bool(o, where, "special", false, &special, err));
    for (size_t i = 0; i < WD_COUNT(refused); i++) {
        WD_TRY(wd_json_bool(o, where, refused[i], false, &on, err));
        if (on)
            return WD_FAIL(err, WD_E_UNSUPPORTED,
                           "%s: \"%.40s\" asks for %s matching, which Ward does not do", where, content,
                           refused[i]);
    }
    return add_added(r, wd_span_str(content), (uint32_t)id, special, where, err);
}

static wd_status read_all_added(reader *r, const json_t *list, wd_err *err)
{
    char where[160];

    if (!json_is_array(list) && !json_is_null(list) && list)
        return WD_FAIL(err, WD_E_INVALID, "%s: added_tokens is not an array", r->where);
    for (size_t i = 0; i < json_array_size(list); i++) {
        snprintf(where, sizeof(where), "%.100s: added_tokens[%zu]", r->where, i);
        WD_TRY(read_added(r, json_array_get(list, i), where, err));
    }
    return WD_OK;
}

static const char *type_of(const json_t *o)
{
    const char *type = json_string_value(json_object_get(o, "type"));
    return type ? type : "(none)";
}

static wd_status refuse(const reader *r, const char *part, const json_t *o, const char *reads, wd_err *err)
{
    return WD_FAIL(err, WD_E_UNSUPPORTED, "%s: %s of type %.40s, but Ward reads %s", r->where, part,
                   type_of(o), reads);
}

static bool is_byte_level(const json_t *o)
{
    return strcmp(type_of(o), "ByteLevel") == 0;
}

static wd_status check_normalizer(reader *r, const json_t *o, wd_err *err)
{
    if (o && !json_is_null(o) && strcmp(type_of(o), "NFC") != 0)
        return refuse(r, "normalizer", o, "NFC or none", err);
    r->tok->nfc = o && !json_is_null(o);
    return WD_OK;
}

static wd_status check_pre_tokenizer(reader *r, const json_t *o, wd_err *err)
{
    const json_t *list = json_object_get(o, "pretokenizers");
    const json_t *split = json_array_get(list, 0), *bytes = json_array_get(list, 1);

    if (strcmp(type_of(o), "Sequence") != 0 || json_array_size(list) != 2 ||
        strcmp(type_of(split), "Split") != 0 || !is_byte_level(bytes))
        return refuse(r, "pre_tokenizer", o, "a Sequence of Split and ByteLevel", err);
    const char *pattern = json_string_value(json_object_get(json_object_get(split, "pattern"), "Regex"));
    const char *behavior = json_string_value(json_object_get(split, "behavior"));
    if (!pattern || strcmp(pattern, WD_PRETOK_QWEN) != 0)
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "%s: pre_tokenizer splits by \"%.120s\", but Ward knows only Qwen's pattern", r->where,
                       pattern ? pattern : "(none)");
    if (!behavior || strcmp(behavior, "Isolated") != 0 || json_is_true(json_object_get(split, "invert")))
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "%s: pre_tokenizer Split is not \"Isolated\" without \"invert\"", r->where);
    if (!json_is_false(json_object_get(bytes, "use_regex")) ||
        json_is_true(json_object_get(bytes, "add_prefix_space")))
        return WD_FAIL(err, WD_E_UNSUPPORTED,
                       "%s: pre_tokenizer ByteLevel adds a prefix space or splits by a pattern of its own",
                       r->where);
    return WD_OK;
}

/* The ids that special_tokens gives the name in a template. */
static wd_status template_ids(reader *r, const json_t *o, const char *name, wd_ids *ids, wd_err *err)
{
    const json_t *list = json_object_get(json_object_get(json_object_get(o, "special_tokens"), name), "ids");

    if (json_array_size(list) == 0)
        return WD_FAIL(err, WD_E_INVALID, "%s: post_processor: special token \"%.40s\" has no ids", r->where,
                       name);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *id = json_array_get(list, i);
        const json_int_t v = json_is_integer(id) ? json_integer_value(id) : -1;
        if (v < 0 || v >= WD_VOCAB_ID_END || !wd_vocab_flags(&r->tok->vocab, (uint32_t)v))
            return WD_FAIL(err, WD_E_INVALID,
                           "%s: post_processor: \"%.40s\" stands for an id that is no token", r->where, name);
        wd_ids_put(ids, (uint32_t)v);
    }
    return wd_ids_check(ids, r->where, err);
}

static wd_status read_template(reader *r, const json_t *o, wd_err *err)
{
    const json_t *single = json_object_get(o, "single");
    bool has_text = false;

    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i);
        const char *text = json_string_value(json_object_get(json_object_get(piece, "Sequence"), "id"));
        const char *name = json_string_value(json_object_get(json_object_get(piece, "SpecialToken"), "id"));
        if (name) {
            WD_TRY(template_ids(r, o, name, has_text ? &r->tok->after : &r->tok->before, err));
        } else if (text && strcmp(text, "A") == 0 && !has_text) {
            has_text = true;
        } else {
            break;
        }
        if (i + 1 == json_array_size(single) && has_text)
            return WD_OK;
    }
    return WD_FAIL(err, WD_E_UNSUPPORTED,
                   "%s: post_processor template is not one sequence A with special tokens around it",
                   r->where);
}

/* ByteLevel changes no ids. */
static wd_status check_post_processor(reader *r, const json_t *o, wd_err *err)
{
    const json_t *list = json_object_get(o, "processors");
    const bool sequence = strcmp(type_of(o), "Sequence") == 0 && json_is_array(list);
    const json_t *template = NULL;

    if (!o || json_is_null(o))
        return WD_OK;
    for (size_t i = 0; i < (sequence ? json_array_size(list) : 1); i++) {
        const json_t *one = sequence ? json_array_get(list, i) : o;
        const bool is_template = strcmp(type_of(one), "TemplateProcessing") == 0;
        if (is_byte_level(one))
            continue;
        if (!is_template || template)
            return refuse(r, "post_processor", one, "ByteLevel and one TemplateProcessing", err);
        template = one;
    }
    return template ? read_template(r, template, err) : WD_OK;
}

static wd_status check_decoder(reader *r, const json_t *o, wd_err *err)
{
    return is_byte_level(o) ? WD_OK : refuse(r, "decoder", o, "ByteLevel", err);
}

/* Parses a part that was put aside and hands it to use; NULL if it is not there. */
static wd_status with_tree(reader *r, wd_span text, const char *part,
                           wd_status (*use)(reader *r, const json_t *o, wd_err *err), wd_err *err)
{
    char where[160];
    json_t *o = NULL;
    wd_status st = WD_OK;

    snprintf(where, sizeof(where), "%.100s: %s", r->where, part);
    if (text.n)
        st = wd_json_parse(text, where, &o, err);
    if (st == WD_OK)
        st = use(r, o, err);
    json_decref(o);
    return st;
}

/* Every byte is a token; no added token can come out of the merging of text. */
static wd_status check_reach(reader *r, wd_err *err)
{
    wd_tokenizer *tok = r->tok;

    for (unsigned b = 0; b < 256; b++) {
        const uint8_t byte = (uint8_t)b;
        tok->bpe.byte_id[b] = wd_vocab_find(&tok->vocab, &byte, 1);
        if (tok->bpe.byte_id[b] == UINT32_MAX)
            return WD_FAIL(err, WD_E_INVALID, "%s: model.vocab has no token for byte 0x%02x", r->where, b);
        if (wd_vocab_flags(&tok->vocab, tok->bpe.byte_id[b]) & WD_VOCAB_ADDED)
            return WD_FAIL(err, WD_E_INVALID, "%s: the token for byte 0x%02x is an added token", r->where, b);
    }
    for (size_t i = 0; i < r->n_merge; i++) {
        if (wd_vocab_flags(&tok->vocab, r->merge[i].id) & WD_VOCAB_ADDED)
            return WD_FAIL(err, WD_E_INVALID,
                           "%s: model.merges[%zu] makes the added token \"%.*s\" out of plain text", r->where,
                           i, SHOW(wd_vocab_bytes(&tok->vocab, r->merge[i].id)));
    }
    for (uint32_t id = 0; id < tok->vocab.n_id; id++) {
        const uint8_t flags = tok->vocab.token[id].flags;
        if (flags && !(flags & (WD_VOCAB_PIECE | WD_VOCAB_ADDED)))
            return WD_FAIL(err, WD_E_INVALID,
                           "%s: model.vocab: token \"%.*s\" is not written in the byte alphabet", r->where,
                           SHOW(wd_vocab_bytes(&tok->vocab, id)));
    }
    return WD_OK;
}

static wd_status read_all(reader *r, wd_err *err)
{
    WD_TRY(read_document(r, err));
    WD_TRY(with_tree(r, r->added, "added_tokens", read_all_added, err));
    WD_TRY(with_tree(r, r->normalizer, "normalizer", check_normalizer, err));
    WD_TRY(with_tree(r, r->pre_tokenizer, "pre_tokenizer", check_pre_tokenizer, err));
    WD_TRY(with_tree(r, r->post_processor, "post_processor", check_post_processor, err));
    WD_TRY(with_tree(r, r->decoder, "decoder", check_decoder, err));
    WD_TRY(check_reach(r, err));
    return WD_OK;
}

/* ---- lists ---- */

static wd_status add_list_tokens(reader *r, const wd_tok_lists *l, wd_err *err)
{
    bool is_piece;
    size_t n;

    if (l->n_token > WD_VOCAB_ID_END)
        return WD_FAIL(err, WD_E_LIMIT, "%s: %zu tokens, at most %u are read", r->where, l->n_token,
                       WD_VOCAB_ID_END);
    for (size_t i = 0; i < l->n_token; i++) {
        if (l->kind[i] != WD_TOK_KIND_PIECE)
            continue;
        if (l->token[i].n == 0)
            return WD_FAIL(err, WD_E_INVALID, "%s: token %zu is empty", r->where, i);
        WD_TRY(token_bytes(r, l->token[i], 0, &n, &is_piece, err));
        WD_TRY(add_vocab(r, l->token[i], is_piece, n, (uint32_t)i, err));
    }
    for (size_t i = 0; i < l->n_token; i++)
        if (l->kind[i] == WD_TOK_KIND_ADDED || l->kind[i] == WD_TOK_KIND_SPECIAL)
            WD_TRY(add_added(r, l->token[i], (uint32_t)i, l->kind[i] == WD_TOK_KIND_SPECIAL, r->where, err));
    return WD_OK;
}

static wd_status add_template_id(const reader *r, uint32_t id, const char *what, wd_ids *to, wd_err *err)
{
    if (id == WD_TOKEN_NONE)
        return WD_OK;
    if (!wd_vocab_flags(&r->tok->vocab, id))
        return WD_FAIL(err, WD_E_INVALID, "%s: the %s of texts is id %u, which is no token", r->where, what,
                       id);
    wd_ids_put(to, id);
    return wd_ids_check(to, r->where, err);
}

static wd_status read_lists(reader *r, const wd_tok_lists *l, wd_err *err)
{
    WD_TRY(add_list_tokens(r, l, err));
    for (size_t i = 0; i < l->n_merge; i++) {
        WD_TRY(room_for_merge(r, err));
        WD_TRY(parse_merge(r, l->merge[i], r->merge + r->n_merge, err));
        r->n_merge++;
    }
    WD_TRY(add_template_id(r, l->before, "beginning", &r->tok->before, err));
    WD_TRY(add_template_id(r, l->after, "end", &r->tok->after, err));
    r->tok->nfc = true;
    return check_reach(r, err);
}

/* Reads json, or lists where that is not NULL. */
static wd_status read_any(wd_tokenizer *tok, wd_span json, const wd_tok_lists *lists, const char *where,
                          wd_err *err)
{
    reader *r = WD_ALLOC(reader);
    wd_status st;

    if (!r)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory to read it", where);
    r->tok = tok;
    r->where = where;
    r->tmp = wd_calloc(2 * 2 * WD_VOCAB_TOKEN_MAX, 1);
    wd_jscan_init(&r->scan, json, where);
    init_alphabet(r->byte_of);
    if (r->tmp)
        st = lists ? read_lists(r, lists, err) : read_all(r, err);
    else
        st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory to read it", where);
    if (st == WD_OK)
        st = wd_bpe_init(&tok->bpe, r->merge, r->n_merge, where, err);
    wd_jscan_free(&r->scan);
    wd_free(r->merge);
    wd_free(r->tmp);
    wd_free(r);
    return st;
}

wd_status wd_tokenizer__read(wd_tokenizer *tok, wd_span json, const char *where, wd_err *err)
{
    return read_any(tok, json, NULL, where, err);
}

wd_status wd_tokenizer__read_lists(wd_tokenizer *tok, const wd_tok_lists *lists, const char *where,
                                   wd_err *err)
{
    return read_any(tok, (wd_span){ 0 }, lists, where, err);
}
