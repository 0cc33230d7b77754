/* Any bytes as the event stream of an upstream. The first byte says what was asked for and how the rest is cut: the result
 * must be that of the whole. Nothing of the stream gets into an error's sentence. */
#include <stdlib.h>

#include "engine/remote/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct result {
    wd_parsed reply;
    wd_buf told; /* of the call that grows */
    bool growing;
    uint32_t n_call;
    wd_status st;
    wd_reply_end end;
} result;

static void must(bool good)
{
    if (!good)
        abort();
}

static wd_status on_event(void *self, const wd_parse_event *ev, wd_err *err)
{
    result *r = self;
    const bool whole = ev->kind == WD_PARSE_TOOL_CALL;
    if (whole || ev->kind == WD_PARSE_CALL || ev->kind == WD_PARSE_ARGS)
        must(ev->index == r->n_call);
    if (ev->kind == WD_PARSE_CALL) {
        must(!r->growing && ev->name.n);
        r->growing = true;
        wd_buf_clear(&r->told);
    }
    if (ev->kind == WD_PARSE_ARGS) { /* what is told stays: it is the beginning of the whole */
        must(r->growing && ev->text.n);
        wd_buf_span(&r->told, ev->text);
    }
    must(!whole || !r->growing || wd_span_eq(ev->text, wd_buf_view(&r->told)));
    r->growing &= !whole;
    r->n_call += whole;
    return wd_parsed_collect(&r->reply, ev, err);
}

static result read_stream(wd_span text, wd_reply_opts o, size_t step)
{
    result r = { 0 };
    wd_reply *reply;
    wd_err err = { 0 };
    o.event = on_event;
    o.self = &r;
    must(!wd_reply_create(&o, &reply, &err));
    for (size_t at = 0; !r.st && at < text.n; at += step)
        r.st = wd_reply_feed(reply, wd_span_sub(text, at, step), &err);
    if (!r.st)
        r.st = wd_reply_finish(reply, &r.end, &err);
    must(!r.st == !err.text[0]);
    must(!strstr(err.text, "SECRET"));
    wd_reply_destroy(reply);
    wd_buf_free(&r.told);
    return r;
}

static void compare(const result *a, const result *b)
{
    must(a->st == b->st && a->end.finish == b->end.finish && a->end.n_reply == b->end.n_reply &&
         a->end.n_prompt == b->end.n_prompt && a->end.n_cached <= a->end.n_prompt);
    must(wd_span_eq(wd_buf_view(&a->reply.reasoning), wd_buf_view(&b->reply.reasoning)));
    must(a->st || wd_span_eq(wd_buf_view(&a->reply.content), wd_buf_view(&b->reply.content)));
    must(a->reply.n_call == b->reply.n_call && a->n_call == b->n_call);
    for (size_t i = 0; i < a->reply.n_call; i++)
        must(!strcmp(a->reply.call[i].name, b->reply.call[i].name) &&
             !strcmp(a->reply.call[i].args, b->reply.call[i].args));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *name = "host:1";
    if (size < 1)
        return 0;
    const wd_reply_opts o = { .name = &name, .plain = data[0] & 1, .tools = data[0] & 2 };
    const wd_span text = wd_span_of(data + 1, size - 1);
    result whole = read_stream(text, o, text.n + 1), cut = read_stream(text, o, 1 + (data[0] >> 2));
    compare(&whole, &cut);
    wd_parsed_free(&whole.reply);
    wd_parsed_free(&cut.reply);
    return 0;
}
