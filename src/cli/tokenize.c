/* ward tokenize */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"
#include "cli/checkpoint.h"
#include "cli/cli.h"

#define STDIN_MAX ((size_t)64 << 20)

typedef struct options {
    const char *model;
    bool decode, special, post, pieces, skip_special, json;
} options;

static const wd_opt opts[] = {
    { "model", 'm', WD_OPT_STR, offsetof(options, model), NULL, 0, 0,
      "directory with tokenizer.json, or GGUF file" },
    { "decode", 'd', WD_OPT_BOOL, offsetof(options, decode), "false", 0, 0, "ids to text" },
    { "special", 's', WD_OPT_BOOL, offsetof(options, special), "false", 0, 0,
      "recognise added tokens such as <|im_end|> in the text" },
    { "post", 0, WD_OPT_BOOL, offsetof(options, post), "false", 0, 0,
      "add what the model's post-processor adds (embedding checkpoints)" },
    { "pieces", 'p', WD_OPT_BOOL, offsetof(options, pieces), "false", 0, 0,
      "a line for each token: id and text" },
    { "skip-special", 0, WD_OPT_BOOL, offsetof(options, skip_special), "false", 0, 0,
      "with --decode, leave special tokens out" },
    { "json", 0, WD_OPT_BOOL, offsetof(options, json), "false", 0, 0, "machine-readable output" },
};

/* The operands with a space between, or standard input as it is. */
static wd_status read_input(const wd_opt_list *rest, wd_buf *in, wd_err *err)
{
    char block[2048];
    size_t n;

    for (size_t i = 0; i < rest->n; i++)
        wd_buf_printf(in, "%s%s", i ? " " : "", rest->v[i]);
    if (rest->n)
        return wd_buf_check(in, "text", err);
    in->max = STDIN_MAX;
    while ((n = fread(block, 1, sizeof(block), stdin)) > 0 && !in->failed) {
        wd_buf_put(in, block, n);
        if (atomic_load(&wd_cli_cancelled))
            return WD_FAIL(err, WD_E_CANCELLED, "interrupted");
    }
    if (ferror(stdin))
        return WD_FAIL(err, WD_E_IO, "standard input: cannot read: %s", strerror(errno));
    return wd_buf_check(in, "standard input", err);
}

/* Ids with anything that is no digit between them, so that the output of encoding, JSON lists and commas do. */
static wd_status read_ids(wd_span text, uint32_t n_vocab, wd_ids *ids, wd_err *err)
{
    for (size_t i = 0; i < text.n;) {
        const uint8_t c = text.p[i];
        if (c < '0' || c > '9') {
            if (!strchr(" \t\r\n,[]", c) || c == 0)
                return WD_FAIL(err, WD_E_INVALID,
                               "--decode takes ids separated by spaces or commas, byte %zu is 0x%02x", i, c);
            i++;
            continue;
        }
        uint64_t id = 0;
        for (; i < text.n && text.p[i] >= '0' && text.p[i] <= '9'; i++)
            id = WD_MIN(id * 10 + (uint64_t)(text.p[i] - '0'), (uint64_t)UINT32_MAX);
        if (id >= n_vocab)
            return WD_FAIL(err, WD_E_INVALID, "id number %zu is past the vocabulary, whose last is %u",
                           ids->n + 1, n_vocab - 1);
        wd_ids_put(ids, (uint32_t)id);
    }
    return wd_ids_check(ids, "ids", err);
}

/* A token's bytes as text, for people: what is no whole character is shown as U+FFFD. */
static json_t *piece_json(const wd_tokenizer *tok, uint32_t id, wd_buf *tmp)
{
    wd_buf_clear(tmp);
    wd_utf8_sanitize(wd_tokenizer_bytes(tok, id), tmp);
    return tmp->failed ? NULL : json_stringn(tmp->n ? (const char *)tmp->p : "", tmp->n);
}

static wd_status print_json(const wd_tokenizer *tok, const wd_ids *ids, const wd_buf *text, wd_err *err)
{
    json_t *o = json_object(), *tokens = json_array(), *pieces = json_array();
    wd_buf tmp = { 0 };
    bool ok = true;

    for (size_t i = 0; i < ids->n && ok; i++)
        ok = json_array_append_new(tokens, json_integer(ids->v[i])) == 0 &&
             json_array_append_new(pieces, piece_json(tok, ids->v[i], &tmp)) == 0;
    wd_buf_free(&tmp);
    if (text)
        ok = ok &&
             json_object_set_new(o, "text", json_stringn(text->n ? (const char *)text->p : "", text->n)) == 0;
    ok = ok && json_object_set_new(o, "count", json_integer((json_int_t)ids->n)) == 0;
    ok = ok && json_object_set(o, "tokens", tokens) == 0 && json_object_set(o, "pieces", pieces) == 0;
    json_decref(tokens);
    json_decref(pieces);
    if (!ok) {
        json_decref(o);
        o = NULL;
    }
    return wd_cli_print_json(o, err);
}

static wd_status print_ids(const wd_tokenizer *tok, const wd_ids *ids, bool pieces, wd_err *err)
{
    wd_buf b = { 0 };

    for (size_t i = 0; i < ids->n; i++) {
        wd_buf_printf(&b, "%s%u", i && !pieces ? " " : "", ids->v[i]);
        if (pieces) {
            wd_buf_char(&b, '\t');
            wd_buf_json(&b, wd_tokenizer_bytes(tok, ids->v[i]));
            wd_buf_char(&b, '\n');
        }
    }
    if (!pieces)
        wd_buf_char(&b, '\n');
    wd_status st = wd_buf_check(&b, "output", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_free(&b);
    return st;
}

static wd_status decode(const wd_tokenizer *tok, const options *o, wd_span in, wd_err *err)
{
    wd_ids ids = { 0 };
    wd_buf text = { 0 };

    wd_status st = read_ids(in, wd_tokenizer_n_vocab(tok), &ids, err);
    if (!st)
        st = wd_tokenizer_decode(tok, ids.v, ids.n, o->skip_special, &text, err);
    if (!st && o->json) {
        st = print_json(tok, &ids, &text, err);
    } else if (!st) {
        if (isatty(STDOUT_FILENO) == 1)
            wd_buf_char(&text, '\n'); /* elsewhere the text as it is: it may be compared, or encoded again */
        st = wd_buf_check(&text, "output", err);
        if (!st)
            st = wd_cli_print(wd_buf_view(&text), err);
    }
    wd_buf_free(&text);
    wd_ids_free(&ids);
    return st;
}

static wd_status encode(const wd_tokenizer *tok, const options *o, wd_span in, wd_err *err)
{
    wd_ids ids = { 0 };

    wd_status st = wd_tokenizer_encode(
        tok, in, (o->special ? WD_TOK_SPECIAL : 0) | (o->post ? WD_TOK_POST : 0), &ids, err);
    if (!st)
        st = o->json ? print_json(tok, &ids, NULL, err) : print_ids(tok, &ids, o->pieces, err);
    wd_ids_free(&ids);
    return st;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    wd_tokenizer *tok = NULL;
    wd_buf in = { 0 };
    wd_status st;

    WD_TRY(wd_cli_options(cli, &wd_cmd_tokenize, argc, argv, &o, &rest, err));
    if (!o.model)
        return WD_FAIL(err, WD_E_USAGE, "ward tokenize needs a model: -m DIRECTORY or FILE.gguf");
    if (o.decode && (o.special || o.post))
        return WD_FAIL(err, WD_E_USAGE, "--decode does not go with --special or --post");
    st = wd_checkpoint_open_tokenizer(o.model, &tok, err);
    if (!st)
        st = read_input(&rest, &in, err);
    if (!st)
        st = o.decode ? decode(tok, &o, wd_buf_view(&in), err) : encode(tok, &o, wd_buf_view(&in), err);
    wd_buf_free(&in);
    wd_tokenizer_close(tok);
    return st;
}

const wd_command wd_cmd_tokenize = {
    .name = "tokenize",
    .brief = "text to token ids and back",
    .operands = "[TEXT...]",
    .about =
        "Encodes the text (or standard input, byte for byte) with the model's tokenizer and prints the ids.\n"
        "Text is plain unless --special is given: \"<|im_end|>\" in it is then just these letters.\n"
        "Invalid UTF-8 counts as U+FFFD. With --decode the operands or standard input are ids.",
    .examples = "  ward tokenize -m Qwen3-VL-2B-Instruct \"No pleural effusion.\"\n"
                "  ward tokenize -m Qwen3-VL-2B-Instruct --pieces < report.txt\n"
                "  ward tokenize -m Qwen3-VL-2B-Instruct --decode 2753 7100 4176 3289 7560 13\n",
    .options = { "tokenize", opts, WD_COUNT(opts) },
    .run = run,
};
