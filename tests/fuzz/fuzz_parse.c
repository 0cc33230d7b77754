/* The parser of a model's output and the JSON reader on arbitrary bytes. The first byte says how the rest is cut: the
 * result must be that of the whole. JSON that is accepted prints as itself when read again. */
#include <stdlib.h>

#include "text/jsontext.h"
#include "text/parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good)
{
    if (!good)
        abort();
}

typedef struct heard {
    wd_parsed all;
    wd_buf args; /* of the call that is told of */
    bool open;
} heard;

/* What is told of a call while it grows is what it is in the end. */
static wd_status hear(void *arg, const wd_parse_event *ev, wd_err *err)
{
    heard *h = arg;
    if (ev->kind == WD_PARSE_CALL) {
        h->open = true;
        wd_buf_clear(&h->args);
    } else if (ev->kind == WD_PARSE_ARGS) {
        must(h->open && ev->text.n);
        wd_buf_span(&h->args, ev->text);
    } else if (ev->kind == WD_PARSE_TOOL_CALL) {
        must(!h->open || wd_span_eq(ev->text, wd_buf_view(&h->args)));
        h->open = false;
    }
    return wd_parsed_collect(&h->all, ev, err);
}

static wd_parsed parse(wd_span text, const wd_parse_opts *o, size_t step, wd_status *st)
{
    heard h = { 0 };
    wd_parse *p;
    wd_err err;
    must(!wd_parse_create(o, hear, &h, &p, &err));
    *st = WD_OK;
    for (size_t at = 0; at < text.n && !*st; at += step)
        *st = wd_parse_feed(p, wd_span_sub(text, at, step), &err);
    if (!*st)
        *st = wd_parse_end(p, &err);
    must(!*st || (*st == WD_E_LIMIT && o->sure_calls));
    wd_parse_destroy(p);
    wd_buf_free(&h.args);
    return h.all;
}

static void compare(const wd_parsed *a, const wd_parsed *b)
{
    must(wd_span_eq(wd_buf_view(&a->reasoning), wd_buf_view(&b->reasoning)));
    must(wd_span_eq(wd_buf_view(&a->content), wd_buf_view(&b->content)));
    must(a->n_call == b->n_call);
    for (size_t i = 0; i < a->n_call; i++)
        must(strcmp(a->call[i].name, b->call[i].name) == 0 && strcmp(a->call[i].args, b->call[i].args) == 0);
}

static void read_json(wd_span text)
{
    wd_buf once = { 0 }, twice = { 0 };
    wd_err err;
    if (!wd_jsontext_text(text, "input", NULL, &once, &err)) {
        /* 1e400 prints as Infinity, which is Python's and not JSON */
        const bool json = wd_span_find(wd_buf_view(&once), WD_SPAN_LIT("Infinity"), 0) == SIZE_MAX;
        const wd_status again = wd_jsontext_text(wd_buf_view(&once), "output", NULL, &twice, &err);
        must(!json || (!again && wd_span_eq(wd_buf_view(&once), wd_buf_view(&twice))));
    }
    wd_buf_free(&once);
    wd_buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    wd_parse_opts o = {
        .opens_thinking = data[0] & 1,
        .no_tools = data[0] & 2,
        .max_call_bytes = data[0] & 4 ? 40 : 0,
    };
    const wd_span text = wd_span_of(data + 1, size - 1);
    for (int sure = 0; sure < 2; sure++) {
        wd_status st, st_cut;
        o.sure_calls = sure;
        wd_parsed whole = parse(text, &o, text.n + 1, &st),
                  cut = parse(text, &o, 1 + (data[0] >> 3), &st_cut);
        must(st == st_cut);
        compare(&whole, &cut);
        wd_parsed_free(&whole);
        wd_parsed_free(&cut);
    }
    read_json(text);
    return 0;
}
