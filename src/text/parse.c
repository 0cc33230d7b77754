/* The output stream, taken apart.
 *
 * States: LEAD      nothing but white space so far; "<think>" may follow
 *         REASONING inside the think block
 *         CONTENT   the answer
 *         CALL      inside "<tool_call>"; the body is collected, and told of while it grows where that is asked for
 *         OVER      ended, or stopped by the callback
 *
 * Invariants:
 *  1. Every tag begins with '<' and has no second one, so a failed match can only restart at its last byte.
 *  2. `held` is a proper prefix of a tag that the state knows, or empty.
 *  3. `newlines` stand in the stream before `held` and are neither reported nor dropped yet.
 *  4. Each byte is taken by exactly one state at a place that depends on earlier bytes alone: cuts do not matter.
 *  5. What is fed in whole characters is reported in whole characters: a byte that turns out to be text is not reported
 *     alone but read again with those behind it.
 */
#include "text/parse.h"

#include "text/jsontext.h"
#include "text/parse_call.h"

#define LEAD_MAX 256
#define HELD_MAX 16
#define CALL_BYTES_DEFAULT ((size_t)1 << 20)

static const char think_open[] = "<think>", think_close[] = "</think>";
static const char call_open[] = "<tool_call>", call_close[] = "</tool_call>";

typedef enum state { LEAD, REASONING, CONTENT, CALL, OVER } state;

struct wd_parse {
    state state;
    wd_parse_opts opts;
    wd_parse_fn fn;
    void *arg;

    uint8_t lead[LEAD_MAX];
    size_t n_lead;
    uint8_t held[HELD_MAX];
    size_t n_held;
    uint64_t newlines;
    bool eat_newlines;  /* just behind a tag */
    bool had_reasoning; /* a think block was opened or declared */
    bool had_content;
    bool joint; /* a call was reported since the last content: a newline before more of it */
    uint32_t n_call;
    wd_buf body; /* of the call at hand */
    wd_call_follow follow;
    enum { UNTOLD, TOLD, SILENT } told; /* of it; SILENT: its name is none */
    size_t sent;                        /* of the body: the arguments were told up to here */
    wd_buf name, args;
};

static bool starts_tag(const wd_parse *p, const char *tag)
{
    return p->n_held <= strlen(tag) && memcmp(p->held, tag, p->n_held) == 0;
}

/* The tags that mean something in this state; NULL-terminated. */
static void known_tags(const wd_parse *p, const char *tag[3])
{
    size_t n = 0;
    if (p->state == LEAD)
        tag[n++] = think_open;
    if (p->state == REASONING || (p->state == CONTENT && !p->had_reasoning && p->n_call == 0))
        tag[n++] = think_close;
    if (p->state == CONTENT && !p->opts.no_tools)
        tag[n++] = call_open;
    tag[n] = NULL;
}

static wd_status report(wd_parse *p, wd_parse_kind kind, wd_span text, wd_err *err)
{
    const wd_parse_event ev = { .kind = kind, .text = text };
    return p->fn(p->arg, &ev, err);
}

static wd_status report_newlines(wd_parse *p, wd_parse_kind kind, wd_err *err)
{
    static const char many[] = "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n";
    while (p->newlines) {
        const size_t n = p->newlines < sizeof many - 1 ? (size_t)p->newlines : sizeof many - 1;
        WD_TRY(report(p, kind, wd_span_of(many, n), err));
        p->newlines -= n;
    }
    return WD_OK;
}

/* Text that is certain, of the block that the state says. */
static wd_status put_text(wd_parse *p, wd_span text, wd_err *err)
{
    const bool content = p->state != REASONING;
    const wd_parse_kind kind = content ? WD_PARSE_CONTENT : WD_PARSE_REASONING;
    if (!text.n)
        return WD_OK;
    p->eat_newlines = false;
    if (content && p->joint) {
        p->joint = false;
        if (p->had_content && !p->newlines)
            p->newlines = 1;
    }
    WD_TRY(report_newlines(p, kind, err));
    p->had_content |= content;
    return report(p, kind, text, err);
}

static void put_newline(wd_parse *p)
{
    if (!p->eat_newlines)
        p->newlines++;
}

/* --- tool calls -------------------------------------------------------------------------------------------- */

/* The body as a call: name and arguments filled. WD_E_INVALID or WD_E_LIMIT when it is none. */
static wd_status read_call(wd_parse *p, wd_span body, wd_span *args, wd_err *err)
{
    wd_span name;
    char kind = 0;
    wd_buf_clear(&p->name);
    wd_buf_clear(&p->args);
    WD_TRY(wd_jsontext_member(body, "name", &name, err));
    WD_TRY(wd_jsontext_member(body, "arguments", args, err));
    WD_TRY(wd_jsontext_unquote(name, &p->name, err));
    if (!p->name.n || memchr(p->name.p, 0, p->name.n))
        return WD_E_INVALID;
    if (args->n && args->p[0] == '"') {
        wd_buf printed = { 0 };
        WD_TRY(wd_jsontext_unquote(*args, &p->args, err));
        *args = wd_buf_view(&p->args);
        const wd_status st = wd_jsontext_text(*args, "arguments", &kind, &printed, err);
        wd_buf_wipe(&printed);
        WD_TRY(st);
    } else if (args->n) {
        kind = (char)args->p[0];
    }
    return kind == '{' ? WD_OK : WD_E_INVALID;
}

/* The body is complete, or the output ended in it. */
static wd_status end_call(wd_parse *p, size_t n_body, bool closed, wd_err *err)
{
    wd_span args = { 0 };
    wd_err unused;
    const wd_span body = wd_span_sub(wd_buf_view(&p->body), 0, n_body);
    const wd_status st = read_call(p, body, &args, &unused);
    p->state = CONTENT;
    if (st == WD_E_INVALID || st == WD_E_LIMIT) {
        WD_TRY(put_text(p, wd_span_str(call_open), err));
        WD_TRY(put_text(p, body, err));
        return closed ? put_text(p, wd_span_str(call_close), err) : WD_OK;
    }
    if (st) {
        if (err)
            *err = unused;
        return st;
    }
    const wd_parse_event ev = { WD_PARSE_TOOL_CALL, args, wd_buf_view(&p->name), p->n_call };
    p->n_call++;
    p->newlines = 0;
    p->eat_newlines = true;
    p->joint = true;
    return p->fn(p->arg, &ev, err);
}

static wd_status tell_name(wd_parse *p, wd_err *err)
{
    const wd_call_follow *f = &p->follow;
    const wd_span quoted = wd_span_sub(wd_buf_view(&p->body), f->name, f->name_end - f->name);
    wd_err unused;
    wd_buf_clear(&p->name);
    const wd_status st = wd_jsontext_unquote(quoted, &p->name, &unused);
    if (st && st != WD_E_INVALID) {
        if (err)
            *err = unused;
        return st;
    }
    p->told = st || !p->name.n || memchr(p->name.p, 0, p->name.n) ? SILENT : TOLD;
    p->sent = f->args;
    const wd_parse_event ev = { .kind = WD_PARSE_CALL, .name = wd_buf_view(&p->name), .index = p->n_call };
    return p->told == TOLD ? p->fn(p->arg, &ev, err) : WD_OK;
}

/* What is new of a call that is sure. */
static wd_status tell_call(wd_parse *p, wd_err *err)
{
    wd_call_follow *f = &p->follow;
    wd_parse__follow(f, wd_buf_view(&p->body));
    if (p->told == UNTOLD && f->args)
        WD_TRY(tell_name(p, err));
    if (p->told != TOLD || f->safe <= p->sent)
        return WD_OK;
    const wd_parse_event ev = { .kind = WD_PARSE_ARGS,
                                .text = wd_span_sub(wd_buf_view(&p->body), p->sent, f->safe - p->sent),
                                .index = p->n_call };
    p->sent = f->safe;
    return p->fn(p->arg, &ev, err);
}

/* Takes bytes of the body; *taken gets how many. Leaves the state when the body ends or grows too long. */
static wd_status feed_call(wd_parse *p, wd_span s, size_t *taken, wd_err *err)
{
    const size_t tag_n = sizeof call_close - 1, cap = p->opts.max_call_bytes + tag_n;
    const size_t before = p->body.n, n = WD_MIN(s.n, cap - before);
    wd_buf_put(&p->body, s.p, n);
    WD_TRY(wd_buf_check(&p->body, "tool call", err));
    size_t from = before < tag_n ? 0 : before - tag_n + 1;
    if (p->opts.sure_calls) {
        WD_TRY(tell_call(p, err));
        const wd_call_follow *f = &p->follow; /* a tag before its end is text within it */
        from = f->lost ? WD_MAX(from, f->at - 1) : f->end ? WD_MAX(from, f->end) : p->body.n;
    }
    const size_t close = wd_span_find(wd_buf_view(&p->body), wd_span_str(call_close), from);
    if (close != SIZE_MAX) {
        *taken = close + tag_n - before;
        WD_TRY(end_call(p, close, true, err));
        wd_buf_clear(&p->body);
        return WD_OK;
    }
    *taken = n;
    if (p->body.n < cap)
        return WD_OK;
    if (p->told == TOLD)
        return WD_FAIL(err, WD_E_LIMIT, "tool call: more than %zu bytes", p->opts.max_call_bytes);
    p->state = CONTENT;
    WD_TRY(put_text(p, wd_span_str(call_open), err));
    WD_TRY(put_text(p, wd_buf_view(&p->body), err));
    wd_buf_clear(&p->body);
    return WD_OK;
}

/* --- tags -------------------------------------------------------------------------------------------------- */

/* A tag is complete in `held`. */
static wd_status on_tag(wd_parse *p, const char *tag, wd_err *err)
{
    p->n_held = 0;
    if (tag == call_open) {
        p->state = CALL; /* newlines before it wait for the verdict on the body */
        p->follow = (wd_call_follow){ 0 };
        p->told = UNTOLD;
        return WD_OK;
    }
    const bool forgotten = tag == think_close && p->state == CONTENT;
    p->newlines = 0;
    p->n_lead = 0;
    p->eat_newlines = true;
    p->had_reasoning = true;
    p->state = tag == think_open ? REASONING : CONTENT;
    if (!forgotten)
        return WD_OK;
    p->had_content = false;
    return report(p, WD_PARSE_WAS_REASONING, (wd_span){ 0 }, err);
}

static wd_status feed_byte(wd_parse *p, uint8_t c, bool *taken, wd_err *err);

/* It does not begin with "<think>": what was held (ASCII) is read again as what it is. */
static wd_status leave_lead(wd_parse *p, wd_err *err)
{
    uint8_t again[LEAD_MAX + HELD_MAX];
    const size_t n = p->n_lead + p->n_held;
    memcpy(again, p->lead, p->n_lead);
    memcpy(again + p->n_lead, p->held, p->n_held);
    p->n_lead = p->n_held = 0;
    p->state = p->opts.opens_thinking ? REASONING : CONTENT;
    p->had_reasoning = p->eat_newlines = p->opts.opens_thinking;
    wd_status st = WD_OK;
    for (size_t i = 0; i < n && !st;) {
        bool taken = true;
        st = feed_byte(p, again[i], &taken, err);
        i += taken;
    }
    wd_wipe(again, sizeof again);
    return st;
}

/* `held` is no beginning of a tag: all but its last byte is text, and the last one is read anew. */
static wd_status give_up_tag(wd_parse *p, bool *taken, wd_err *err)
{
    p->n_held--;
    *taken = false;
    if (p->state == LEAD)
        return leave_lead(p, err);
    const wd_span text = wd_span_of(p->held, p->n_held);
    p->n_held = 0;
    return put_text(p, text, err);
}

/* One byte in LEAD, REASONING or CONTENT. *taken is set to false when it must be read anew, in another state or with
 * nothing held: once at most for a byte in each state, by invariant 1. */
static wd_status feed_byte(wd_parse *p, uint8_t c, bool *taken, wd_err *err)
{
    const char *tag[3];
    if (p->n_held || c == '<') {
        known_tags(p, tag);
        if (!tag[0]) /* no tag means anything any more */
            return put_text(p, wd_span_of(&c, 1), err);
        p->held[p->n_held++] = c;
        for (size_t i = 0; tag[i]; i++)
            if (starts_tag(p, tag[i]))
                return p->n_held == strlen(tag[i]) ? on_tag(p, tag[i], err) : WD_OK;
        return give_up_tag(p, taken, err);
    }
    if (p->state == LEAD) {
        const bool space = c == ' ' || c == '\n' || c == '\r' || c == '\t';
        if (space && p->n_lead < LEAD_MAX) {
            p->lead[p->n_lead++] = c;
            return WD_OK;
        }
        *taken = false;
        return leave_lead(p, err);
    }
    if (c != '\n')
        return put_text(p, wd_span_of(&c, 1), err);
    put_newline(p);
    return WD_OK;
}

/* --- the whole ----------------------------------------------------------------------------------------------- */

wd_status wd_parse_create(const wd_parse_opts *opts, wd_parse_fn fn, void *arg, wd_parse **out, wd_err *err)
{
    wd_parse *p = WD_ALLOC(wd_parse);
    *out = p;
    if (!p)
        return WD_FAIL(err, WD_E_NOMEM, "output parser: no memory");
    if (opts)
        p->opts = *opts;
    if (!p->opts.max_call_bytes)
        p->opts.max_call_bytes = CALL_BYTES_DEFAULT;
    if (p->opts.plain) { /* a state in which no tag means anything */
        p->state = CONTENT;
        p->had_reasoning = p->opts.no_tools = true;
    }
    p->fn = fn;
    p->arg = arg;
    return WD_OK;
}

void wd_parse_destroy(wd_parse *p)
{
    if (!p)
        return;
    wd_buf_wipe(&p->body);
    wd_buf_wipe(&p->name);
    wd_buf_wipe(&p->args);
    wd_wipe(p, sizeof *p);
    wd_free(p);
}

/* The part of s from `at` that is plainly text: no tag can begin in it and no newline is in it. */
static size_t plain_run(const wd_parse *p, wd_span s, size_t at)
{
    size_t n = 0;
    if (p->n_held || p->state == LEAD)
        return 0;
    while (at + n < s.n && s.p[at + n] != '<' && s.p[at + n] != '\n')
        n++;
    return n;
}

static wd_status feed(wd_parse *p, wd_span s, wd_err *err)
{
    for (size_t at = 0; at < s.n;) {
        size_t n;
        if (p->state == CALL) {
            WD_TRY(feed_call(p, wd_span_sub(s, at, SIZE_MAX), &n, err));
        } else if ((n = plain_run(p, s, at)) > 0) {
            WD_TRY(put_text(p, wd_span_sub(s, at, n), err));
        } else {
            bool taken = true;
            WD_TRY(feed_byte(p, s.p[at], &taken, err));
            n = taken;
        }
        at += n;
    }
    return WD_OK;
}

wd_status wd_parse_feed(wd_parse *p, wd_span bytes, wd_err *err)
{
    if (p->state == OVER)
        return WD_FAIL(err, WD_E_INTERNAL, "output parser: fed after its end");
    const wd_status st = feed(p, bytes, err);
    if (st)
        p->state = OVER;
    return st;
}

static wd_status finish(wd_parse *p, wd_err *err)
{
    if (p->state == LEAD)
        WD_TRY(leave_lead(p, err));
    if (p->state == CALL)
        WD_TRY(end_call(p, p->body.n, false, err));
    const size_t n = p->n_held;
    p->n_held = 0;
    WD_TRY(put_text(p, wd_span_of(p->held, n), err));
    return p->state == CONTENT ? report_newlines(p, WD_PARSE_CONTENT, err) : WD_OK;
}

wd_status wd_parse_end(wd_parse *p, wd_err *err)
{
    if (p->state == OVER)
        return WD_FAIL(err, WD_E_INTERNAL, "output parser: ended twice");
    const wd_status st = finish(p, err);
    p->state = OVER;
    return st;
}

/* --- collecting ------------------------------------------------------------------------------------------------ */

static char *copy_text(wd_span s)
{
    char *copy = WD_ALLOC_N(char, s.n + 1);
    if (copy)
        memcpy(copy, s.p, s.n);
    return copy;
}

static wd_status add_call(wd_parsed *r, const wd_parse_event *ev, wd_err *err)
{
    wd_parsed_call *grown = wd_realloc(r->call, r->n_call + 1, sizeof *grown);
    if (grown) {
        r->call = grown;
        grown[r->n_call] = (wd_parsed_call){ copy_text(ev->name), copy_text(ev->text) };
        r->n_call++; /* freed with the rest, whether both copies are there or not */
        if (grown[r->n_call - 1].name && grown[r->n_call - 1].args)
            return WD_OK;
    }
    return WD_FAIL(err, WD_E_NOMEM, "tool calls: no memory");
}

wd_status wd_parsed_collect(void *parsed, const wd_parse_event *ev, wd_err *err)
{
    wd_parsed *r = parsed;
    switch (ev->kind) {
    case WD_PARSE_REASONING:
        wd_buf_span(&r->reasoning, ev->text);
        return wd_buf_check(&r->reasoning, "reasoning", err);
    case WD_PARSE_CONTENT:
        wd_buf_span(&r->content, ev->text);
        return wd_buf_check(&r->content, "content", err);
    case WD_PARSE_WAS_REASONING: {
        size_t from = 0;
        while (from < r->content.n && r->content.p[from] == '\n')
            from++;
        wd_buf_span(&r->reasoning, wd_span_sub(wd_buf_view(&r->content), from, SIZE_MAX));
        wd_buf_clear(&r->content);
        return wd_buf_check(&r->reasoning, "reasoning", err);
    }
    case WD_PARSE_CALL:
    case WD_PARSE_ARGS:
        return WD_OK; /* all of it comes at its end */
    case WD_PARSE_TOOL_CALL:
        break;
    }
    return add_call(r, ev, err);
}

static void wipe_text(char *s)
{
    if (s)
        wd_wipe(s, strlen(s));
    wd_free(s);
}

void wd_parsed_free(wd_parsed *r)
{
    for (size_t i = 0; i < r->n_call; i++) {
        wipe_text(r->call[i].name);
        wipe_text(r->call[i].args);
    }
    wd_free(r->call);
    wd_buf_wipe(&r->reasoning);
    wd_buf_wipe(&r->content);
    *r = (wd_parsed){ 0 };
}

wd_status wd_parse_text(wd_span output, const wd_parse_opts *opts, wd_parsed *out, wd_err *err)
{
    wd_parse *p;
    WD_TRY(wd_parse_create(opts, wd_parsed_collect, out, &p, err));
    wd_status st = wd_parse_feed(p, output, err);
    if (!st)
        st = wd_parse_end(p, err);
    wd_parse_destroy(p);
    if (st)
        wd_parsed_free(out);
    return st;
}
