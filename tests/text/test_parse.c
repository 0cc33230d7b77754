#include "text/parse.h"

#include <stdio.h>

#include "base/rand.h"
#include "base/utf8.h"
#include "support/test.h"
#include "text/jsontext.h"

/* A result in one line of text, to be compared and shown. */
static void show(const wd_parsed *r, wd_buf *out)
{
    wd_buf_str(out, "R[");
    wd_buf_span(out, wd_buf_view(&r->reasoning));
    wd_buf_str(out, "] C[");
    wd_buf_span(out, wd_buf_view(&r->content));
    wd_buf_str(out, "]");
    for (size_t i = 0; i < r->n_call; i++)
        wd_buf_printf(out, " %s(%s)", r->call[i].name, r->call[i].args);
}

/* Parses text cut behind each byte i for which cuts(i) holds. */
static void parse_cut(wd_span text, const wd_parse_opts *o, const bool *cut, wd_buf *shown)
{
    wd_parsed r = { 0 };
    wd_parse *p = NULL;
    assert_ok(wd_parse_create(o, wd_parsed_collect, &r, &p, &err));
    for (size_t from = 0; from < text.n;) {
        size_t n = 1;
        while (from + n < text.n && !cut[from + n - 1])
            n++;
        assert_ok(wd_parse_feed(p, wd_span_sub(text, from, n), &err));
        from += n;
    }
    assert_ok(wd_parse_end(p, &err));
    wd_parse_destroy(p);
    show(&r, shown);
    wd_parsed_free(&r);
}

static void check_cut(wd_span text, const wd_parse_opts *o, const bool *cut, const char *want)
{
    wd_buf got = { 0 };
    parse_cut(text, o, cut, &got);
    if (strcmp((const char *)got.p, want) != 0)
        fail_msg("%.*s\n  want %s\n  got  %s", (int)text.n, (const char *)text.p, want, (const char *)got.p);
    wd_buf_free(&got);
}

/* All at once, every cut in two, every cut in three of short texts, byte by byte, and random cuts. */
static void check_every_cut(wd_span text, const wd_parse_opts *o, const char *want)
{
    static bool cut[4096];
    wd_rand r;
    wd_rand_init(&r, text.n);
    assert_true(text.n < sizeof cut);
    memset(cut, 0, sizeof cut);
    check_cut(text, o, cut, want);
    for (size_t i = 0; i < text.n; i++) {
        cut[i] = true;
        check_cut(text, o, cut, want);
        for (size_t k = i + 1; k < text.n && text.n < 130; k++) {
            cut[k] = true;
            check_cut(text, o, cut, want);
            cut[k] = false;
        }
        cut[i] = false;
    }
    for (int round = 0; round < 200; round++) {
        const uint64_t one_in = round ? 1 + wd_rand_below(&r, 12) : 1;
        for (size_t i = 0; i < text.n; i++)
            cut[i] = wd_rand_below(&r, one_in) == 0;
        check_cut(text, o, cut, want);
    }
}

#define CALL(name, args) "<tool_call>\n{\"name\": \"" name "\", \"arguments\": " args "}\n</tool_call>"

static const struct {
    bool opens, no_tools;
    const char *output, *want;
} known[] = {
    { 0, 0, "", "R[] C[]" },
    { 0, 0, "Hello.", "R[] C[Hello.]" },
    { 0, 0, "Hello.\n\n", "R[] C[Hello.\n\n]" },
    { 0, 0, " \n Hello", "R[] C[ \n Hello]" },
    { 0, 0, "<think>\nhm\n</think>\n\nHello!", "R[hm] C[Hello!]" },
    { 0, 0, "\n <think>\n\na\n\nb\n\n</think>\n\n\nX\n", "R[a\n\nb] C[X\n]" },
    { 0, 0, "<think>\n\n</think>\n\nHi", "R[] C[Hi]" },
    { 0, 0, "<think></think>", "R[] C[]" },
    { 0, 0, "<think>cut off\n", "R[cut off] C[]" },
    { 0, 0, "<think>cut off</thi", "R[cut off</thi] C[]" },
    { 0, 0, "<think>a<think>b</think>c</think>d", "R[a<think>b] C[c</think>d]" },
    { 0, 0, "<thin", "R[] C[<thin]" },
    { 0, 0, "<thinking>x</thinking>", "R[] C[<thinking>x</thinking>]" },
    { 0, 0, "a < b <t <th <<think>", "R[] C[a < b <t <th <<think>]" },
    { 0, 0, "The <think> tag", "R[] C[The <think> tag]" },
    { 0, 0, "forgot\n</think>\n\nanswer", "R[forgot] C[answer]" },
    { 0, 0, "\n\nforgot</think>", "R[forgot] C[]" },
    { 0, 0, "</think>answer", "R[] C[answer]" },
    { 0, 0, "a</think>b</think>c", "R[a] C[b</think>c]" },
    { 1, 0, "so\n</think>\n\nanswer", "R[so] C[answer]" },
    { 1, 0, "\nstill thinking\n", "R[still thinking] C[]" },
    { 1, 0, "<think>\nagain</think>x", "R[again] C[x]" },
    { 1, 0, " \n<think>\nagain</think>x", "R[again] C[x]" },
    { 1, 0, "  lead</think>x", "R[  lead] C[x]" },
    { 1, 0, "\n", "R[] C[]" },
    { 1, 0, "</think>x", "R[] C[x]" },
    { 1, 0, "a <tool_call>b</tool_call></think>" CALL("f", "{}"), "R[a <tool_call>b</tool_call>] C[] f({})" },
    { 0, 0, CALL("f", "{\"a\": 1}"), "R[] C[] f({\"a\": 1})" },
    { 0, 0, CALL("f", "{}") "\n" CALL("g", "{\"x\": [1, {}]}") "\n", "R[] C[] f({}) g({\"x\": [1, {}]})" },
    { 0, 0, "Let me see.\n\n" CALL("f", "{}"), "R[] C[Let me see.] f({})" },
    { 0, 0, "A\n" CALL("f", "{}") "\nB\n", "R[] C[A\nB\n] f({})" },
    { 0, 0, CALL("f", "{}") "\nB", "R[] C[B] f({})" },
    { 0, 0, "<think>r</think>\n\n" CALL("f", "{}"), "R[r] C[] f({})" },
    { 0, 0, "<tool_call>{\"name\":\"f\",\"arguments\":{\"a\":\"\\u00e9<\"}}</tool_call>",
      "R[] C[] f({\"a\":\"\\u00e9<\"})" },
    { 0, 0, "<tool_call>\n{\"name\": \"f\", \"arguments\": \"{\\\"a\\\": 1}\"}\n</tool_call>",
      "R[] C[] f({\"a\": 1})" },
    { 0, 0, "<tool_call>\n{\"arguments\": {}, \"id\": 7, \"name\": \"查\\n\"}\n</tool_call>",
      "R[] C[] 查\n({})" },
    { 0, 0, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}", "R[] C[] f({})" },
    { 0, 0, "x\n<tool_call>\n{\"name\": \"f\", \"argum", "R[] C[x\n<tool_call>\n{\"name\": \"f\", \"argum]" },
    { 0, 0, "x\n<tool_call>\nnot json\n</tool_call>\ny", "R[] C[x\n<tool_call>\nnot json\n</tool_call>\ny]" },
    { 0, 0, "<tool_call>[1]</tool_call>", "R[] C[<tool_call>[1]</tool_call>]" },
    { 0, 0, "<tool_call>{\"name\": \"f\"}</tool_call>", "R[] C[<tool_call>{\"name\": \"f\"}</tool_call>]" },
    { 0, 0, "<tool_call>{\"name\": 1, \"arguments\": {}}</tool_call>",
      "R[] C[<tool_call>{\"name\": 1, \"arguments\": {}}</tool_call>]" },
    { 0, 0, "<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>",
      "R[] C[<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>]" },
    { 0, 0, "<tool_call>{\"name\": \"a\\u0000b\", \"arguments\": {}}</tool_call>",
      "R[] C[<tool_call>{\"name\": \"a\\u0000b\", \"arguments\": {}}</tool_call>]" },
    { 0, 0, "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
      "R[] C[<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>]" },
    { 0, 0, "<tool_call>{\"name\": \"f\", \"arguments\": \"no\"}</tool_call>",
      "R[] C[<tool_call>{\"name\": \"f\", \"arguments\": \"no\"}</tool_call>]" },
    { 0, 0, "<tool_call></tool_call>" CALL("f", "{}"), "R[] C[<tool_call></tool_call>] f({})" },
    { 0, 0, "<tool_call>a<tool_call>" CALL("f", "{}"), "R[] C[<tool_call>a<tool_call>" CALL("f", "{}") "]" },
    { 0, 0, CALL("f", "{}") "</think>x", "R[] C[</think>x] f({})" },
    { 0, 0, "<tool_call>bad</tool_call>\n</think>x", "R[<tool_call>bad</tool_call>] C[x]" },
    { 0, 0, "</tool_call> <tool_response>", "R[] C[</tool_call> <tool_response>]" },
    { 0, 1, "x\n" CALL("f", "{}") "\n", "R[] C[x\n" CALL("f", "{}") "\n]" },
    { 0, 0, "中文 🩻\n<tool_call", "R[] C[中文 🩻\n<tool_call]" },
    { 0, 0, "a\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\nb",
      "R[] C[a\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\nb]" },
};

static void outputs_are_taken_apart_alike_for_every_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < WD_COUNT(known); i++) {
        const wd_parse_opts o = { .opens_thinking = known[i].opens, .no_tools = known[i].no_tools };
        check_every_cut(wd_span_str(known[i].output), &o, known[i].want);
    }
}

/* --- a plain reference that sees the whole output ----------------------------------------------------------------- */

static wd_span trim_newlines(wd_span s, bool at_end)
{
    while (s.n && s.p[0] == '\n')
        s = wd_span_sub(s, 1, SIZE_MAX);
    while (at_end && s.n && s.p[s.n - 1] == '\n')
        s.n--;
    return s;
}

static size_t find(wd_span s, const char *tag, size_t from)
{
    return wd_span_find(s, wd_span_str(tag), from);
}

static bool is_call(wd_span body, char *name, char *args)
{
    wd_span n, a;
    wd_buf b = { 0 };
    wd_err err;
    bool good = !wd_jsontext_member(body, "name", &n, &err) &&
                !wd_jsontext_member(body, "arguments", &a, &err) && !wd_jsontext_unquote(n, &b, &err) &&
                b.n && a.n && a.p[0] == '{';
    if (good) {
        snprintf(name, 64, "%.*s", (int)b.n, (const char *)b.p);
        snprintf(args, 64, "%.*s", (int)a.n, (const char *)a.p);
    }
    wd_buf_free(&b);
    return good;
}

static void drop_newlines(wd_buf *b)
{
    while (b->n && b->p[b->n - 1] == '\n')
        b->n--;
}

static void reference(wd_span s, bool opens, wd_buf *out)
{
    wd_buf content = { 0 }, calls = { 0 }, reasoning = { 0 };
    bool thought = opens, joint = false;
    size_t n_call = 0, at = 0, lead = 0;
    while (lead < s.n && lead < 256 && strchr(" \n\r\t", s.p[lead]))
        lead++;
    if (find(s, "<think>", lead) == lead) {
        thought = true;
        at = lead + 7;
    }
    if (thought) {
        const size_t close = find(s, "</think>", at);
        wd_buf_span(&reasoning, trim_newlines(wd_span_sub(s, at, close - at), true));
        s = close == SIZE_MAX ? (wd_span){ 0 } : trim_newlines(wd_span_sub(s, close + 8, SIZE_MAX), false);
        at = 0;
    }
    while (at < s.n) {
        const size_t close = thought || n_call ? SIZE_MAX : find(s, "</think>", at);
        const size_t open = find(s, "<tool_call>", at), next = WD_MIN(close, open);
        const wd_span text = wd_span_sub(s, at, next - at);
        if (joint && trim_newlines(text, false).n) {
            if (content.n)
                wd_buf_char(&content, '\n');
            wd_buf_span(&content, trim_newlines(text, false));
            joint = false;
        } else if (!joint) {
            wd_buf_span(&content, text);
        }
        if (next == SIZE_MAX)
            break;
        if (next == close) {
            thought = true;
            wd_buf_span(&reasoning, trim_newlines(wd_buf_view(&content), true));
            wd_buf_clear(&content);
            s = trim_newlines(wd_span_sub(s, next + 8, SIZE_MAX), false);
            at = 0;
            continue;
        }
        const size_t end = find(s, "</tool_call>", open + 11);
        const wd_span body = wd_span_sub(s, open + 11, end == SIZE_MAX ? SIZE_MAX : end - open - 11);
        char name[64], args[64];
        at = end == SIZE_MAX ? s.n : end + 12;
        if (is_call(body, name, args)) {
            wd_buf_printf(&calls, " %s(%s)", name, args);
            drop_newlines(&content);
            joint = true;
            n_call++;
            continue;
        }
        if (joint && content.n)
            wd_buf_char(&content, '\n');
        joint = false;
        wd_buf_span(&content, wd_span_sub(s, open, at - open));
    }
    wd_buf_printf(out, "R[%s] C[%s]%s", reasoning.n ? (char *)reasoning.p : "", "", "");
    out->n -= 1;
    wd_buf_span(out, wd_buf_view(&content));
    wd_buf_char(out, ']');
    wd_buf_span(out, wd_buf_view(&calls));
    wd_buf_free(&content);
    wd_buf_free(&calls);
    wd_buf_free(&reasoning);
}

static void random_outputs_equal_a_plain_reference(void **state)
{
    static const char *const pieces[] = {
        "<think>",
        "</think>",
        "<tool_call>",
        "</tool_call>",
        "\n",
        "\n",
        "\n\n",
        "x",
        "word ",
        " ",
        "<",
        "</",
        "<tool_",
        "think>",
        "{\"name\": \"f\", \"arguments\": {}}",
        "{\"name\": \"g\", \"arguments\": {\"a\": 1}}",
        CALL("f", "{}"),
        CALL("g", "{\"b\":2}"),
        "é",
    };
    (void)state;
    wd_rand r;
    wd_rand_init(&r, 17);
    for (int round = 0; round < 40000; round++) {
        static bool cut[4096];
        wd_buf text = { 0 }, want = { 0 };
        const wd_parse_opts o = { .opens_thinking = wd_rand_below(&r, 3) == 0 };
        for (uint64_t n = wd_rand_below(&r, 12); n > 0; n--)
            wd_buf_str(&text, pieces[wd_rand_below(&r, WD_COUNT(pieces))]);
        reference(wd_buf_view(&text), o.opens_thinking, &want);
        for (int k = 0; k < 3; k++) {
            for (size_t i = 0; i < text.n; i++)
                cut[i] = k && (k == 1 || wd_rand_below(&r, 5) == 0);
            check_cut(wd_buf_view(&text), &o, cut, (const char *)want.p);
        }
        wd_buf_free(&text);
        wd_buf_free(&want);
    }
}

/* --- bounds ------------------------------------------------------------------------------------------------------ */

#define SHORT "<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>"

static void a_body_that_is_too_long_becomes_content_at_the_same_byte(void **state)
{
    static const struct {
        const char *output, *want;
    } t[] = {
        { "<tool_call>0123456789</tool_call>x", "R[] C[<tool_call>0123456789</tool_call>x]" },
        { "<tool_call>{\"name\":\"f\",\"arguments\":{   }}</tool_call>", "R[] C[] f({   })" },
        { "<tool_call>{\"name\":\"f\",\"arguments\":{    }}</tool_call>x",
          "R[] C[<tool_call>{\"name\":\"f\",\"arguments\":{    }}</tool_call>x]" },
        { "a<tool_call>0123456789012345678901234567890123456789012345678901234567890</tool_call>" SHORT,
          "R[] C[a<tool_call>0123456789012345678901234567890123456789012345678901234567890</tool_call>] "
          "f({})" },
        { "<tool_call>0123456789012345678901234567890123456789<tool_call>\n</think>b", NULL },
    };
    (void)state;
    const wd_parse_opts o = { .max_call_bytes = 30 }; /* the second body has 30 bytes, the third 31 */
    for (size_t i = 0; i < WD_COUNT(t); i++) {
        static const bool whole[256];
        wd_buf first = { 0 };
        parse_cut(wd_span_str(t[i].output), &o, whole, &first);
        check_every_cut(wd_span_str(t[i].output), &o, t[i].want ? t[i].want : (const char *)first.p);
        wd_buf_free(&first);
    }
}

/* Streams without end hold back a bounded number of bytes. */
static void what_is_held_back_is_bounded(void **state)
{
    static const char *const endless[] = { " ",      "\n", "<",        "<tool_call>",
                                           "<think", "x",  "</think>", "{\"name\":" };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(endless); i++) {
        const wd_parse_opts o = { .max_call_bytes = 1000 };
        wd_parsed r = { 0 };
        wd_parse *p = NULL;
        size_t fed = 0, reported = 0;
        assert_ok(wd_parse_create(&o, wd_parsed_collect, &r, &p, &err));
        while (fed < 300000) {
            assert_ok(wd_parse_feed(p, wd_span_str(endless[i]), &err));
            fed += strlen(endless[i]);
            reported = r.content.n + r.reasoning.n;
            if (*endless[i] != '\n' && i != 6)
                assert_true(fed - reported < 1200);
        }
        assert_ok(wd_parse_end(p, &err));
        if (i != 6) /* its first one is a tag */
            assert_int_equal(r.content.n, fed);
        wd_parse_destroy(p);
        wd_parsed_free(&r);
    }
}

static wd_status refuse(void *arg, const wd_parse_event *ev, wd_err *err)
{
    (void)ev;
    ++*(int *)arg;
    return WD_FAIL(err, WD_E_CANCELLED, "enough");
}

static void a_callback_that_refuses_stops_the_parser(void **state)
{
    (void)state;
    int calls = 0;
    wd_parse *p = NULL;
    assert_ok(wd_parse_create(NULL, refuse, &calls, &p, &err));
    assert_fails(wd_parse_feed(p, WD_SPAN_LIT("ab"), &err), WD_E_CANCELLED, "enough");
    assert_fails(wd_parse_feed(p, WD_SPAN_LIT("ab"), &err), WD_E_INTERNAL, "after its end");
    assert_fails(wd_parse_end(p, &err), WD_E_INTERNAL, "ended twice");
    assert_int_equal(calls, 1);
    wd_parse_destroy(p);
    wd_parse_destroy(NULL);
}

static wd_status note(void *arg, const wd_parse_event *ev, wd_err *err)
{
    static const char *const names[] = { "R", "C", "was", "call" };
    (void)err;
    wd_buf_printf(arg, "%s(%.*s)", names[ev->kind], (int)ev->text.n, (const char *)ev->text.p);
    return WD_OK;
}

static void pieces_are_handed_on_as_soon_as_they_are_certain(void **state)
{
    (void)state;
    wd_buf seen = { 0 };
    wd_parse *p = NULL;
    assert_ok(wd_parse_create(NULL, note, &seen, &p, &err));
    assert_ok(wd_parse_feed(p, WD_SPAN_LIT("<think>\na"), &err));
    assert_string_equal((char *)seen.p, "R(a)");
    assert_ok(wd_parse_feed(p, WD_SPAN_LIT(" b</th"), &err));
    assert_string_equal((char *)seen.p, "R(a)R( b)");
    assert_ok(wd_parse_feed(p, WD_SPAN_LIT("ink>\n\nOne"), &err));
    assert_string_equal((char *)seen.p, "R(a)R( b)C(One)");
    assert_ok(wd_parse_feed(p, WD_SPAN_LIT(" two\n" CALL("f", "{}")), &err));
    assert_string_equal((char *)seen.p, "R(a)R( b)C(One)C( two)call({})");
    assert_ok(wd_parse_end(p, &err));
    assert_string_equal((char *)seen.p, "R(a)R( b)C(One)C( two)call({})");
    wd_parse_destroy(p);
    wd_buf_free(&seen);
}

static wd_status must_be_characters(void *arg, const wd_parse_event *ev, wd_err *err)
{
    (void)err;
    ++*(size_t *)arg;
    assert_true(wd_utf8_valid(ev->text));
    return WD_OK;
}

static void pieces_hold_whole_characters(void **state)
{
    static const char *const outputs[] = {
        "过敏的记录。",
        " \n过敏",
        "<过敏",
        "<t过",
        "<think过",
        "<think>过</think>敏",
        "<think>\n\n过<敏</thin过",
        "a<tool_call过",
        "过<<敏",
        "<tool_call>过</tool_call>敏",
        "\n\n过\n敏",
    };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(outputs); i++) {
        for (int opens = 0; opens < 2; opens++) {
            wd_parse *p;
            size_t n_event = 0;
            const wd_span text = wd_span_str(outputs[i]);
            const wd_parse_opts o = { .opens_thinking = opens };
            assert_ok(wd_parse_create(&o, must_be_characters, &n_event, &p, &err));
            for (size_t at = 0, n; at < text.n;
                 at += n) { /* a character at a time, as a model's text comes */
                wd_utf8_next(text, at, &n);
                assert_ok(wd_parse_feed(p, wd_span_sub(text, at, n), &err));
            }
            assert_ok(wd_parse_end(p, &err));
            assert_true(n_event > 0);
            wd_parse_destroy(p);
            assert_ok(wd_parse_create(&o, must_be_characters, &n_event, &p, &err));
            assert_ok(wd_parse_feed(p, text, &err)); /* and all of it */
            assert_ok(wd_parse_end(p, &err));
            wd_parse_destroy(p);
        }
    }
}

static void a_continued_text_is_content_as_it_stands(void **state)
{
    (void)state;
    const wd_span text = WD_SPAN_LIT(
        "\n\n <think>a</think>\n<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call></thi");
    for (size_t step = 1; step <= text.n; step++) {
        wd_parsed r = { 0 };
        wd_parse *p;
        const wd_parse_opts o = { .plain = true };
        assert_ok(wd_parse_create(&o, wd_parsed_collect, &r, &p, &err));
        for (size_t at = 0; at < text.n; at += step)
            assert_ok(wd_parse_feed(p, wd_span_sub(text, at, step), &err));
        assert_ok(wd_parse_end(p, &err));
        assert_true(wd_span_eq(wd_buf_view(&r.content), text));
        assert_int_equal(r.reasoning.n + r.n_call, 0);
        wd_parse_destroy(p);
        wd_parsed_free(&r);
    }
}

/* What a client of a stream makes of what it is told: calls as joined from their pieces. */
typedef struct told {
    wd_buf name, args, seen;
    bool open;
    size_t n_piece; /* of arguments */
} told;

/* Not within an escape: an even number of backslashes at its end, no digits missing behind \\u, nor the second of a pair. */
static bool ends_whole(wd_span s)
{
    size_t n = 0;
    for (size_t digits = 0; digits < 4 && digits + 2 <= s.n; digits++)
        if (s.p[s.n - digits - 1] == 'u' && s.p[s.n - digits - 2] == '\\')
            return false;
    if (s.n >= 6 && !memcmp(s.p + s.n - 6, "\\uD8", 4))
        return false;
    while (n < s.n && s.p[s.n - n - 1] == '\\')
        n++;
    return n % 2 == 0;
}

static wd_status be_told(void *arg, const wd_parse_event *ev, wd_err *err)
{
    told *t = arg;
    (void)err;
    assert_true(wd_utf8_valid(ev->text));
    switch (ev->kind) {
    case WD_PARSE_CALL:
        assert_false(t->open);
        t->open = true;
        wd_buf_clear(&t->name);
        wd_buf_clear(&t->args);
        wd_buf_span(&t->name, ev->name);
        break;
    case WD_PARSE_ARGS:
        assert_true(t->open);
        assert_true(ev->text.n > 0);
        assert_true(ends_whole(ev->text));
        wd_buf_span(&t->args, ev->text);
        t->n_piece++;
        break;
    case WD_PARSE_TOOL_CALL:
        if (t->open) {
            assert_true(wd_span_eq(ev->name, wd_buf_view(&t->name)));
            assert_true(wd_span_eq(ev->text, wd_buf_view(&t->args)));
        }
        wd_buf_printf(&t->seen, "%s %.*s(%.*s)", t->open ? "told" : "whole", (int)ev->name.n,
                      (const char *)ev->name.p, (int)ev->text.n, (const char *)ev->text.p);
        t->open = false;
        break;
    default:
        if (!t->open) /* otherwise what was told already */
            wd_buf_span(&t->seen, ev->text);
    }
    return WD_OK;
}

/* A character at a time, or `step` of them. */
static void tell_all(wd_span text, size_t step, told *t)
{
    const wd_parse_opts o = { .sure_calls = true };
    wd_parse *p;
    assert_ok(wd_parse_create(&o, be_told, t, &p, &err));
    for (size_t at = 0, n; at < text.n; at += n) {
        wd_utf8_next(text, at, &n);
        for (size_t k = 1, more; k < step && at + n < text.n; k++, n += more)
            wd_utf8_next(text, at + n, &more);
        assert_ok(wd_parse_feed(p, wd_span_sub(text, at, n), &err));
    }
    assert_ok(wd_parse_end(p, &err));
    wd_parse_destroy(p);
}

static void free_told(told *t)
{
    wd_buf_free(&t->name);
    wd_buf_free(&t->args);
    wd_buf_free(&t->seen);
}

static void calls_that_are_sure_are_told_while_they_grow(void **state)
{
    static const struct {
        const char *output, *want;
        bool cut; /* the output ends in a call that was told of */
    } t[] = {
        { CALL("f", "{\"a\": 1}"), "told f({\"a\": 1})", false },
        { CALL("f", "{}"), "told f({})", false },
        { CALL("\\u0066\\\"", "{ }"), "told f\"({ })", false },
        { "<think>\nso\n</think>\n\nLook.\n" CALL("f", "{\"a\": [{\"b\": \"}]\"}, {}]}"),
          "soLook.told f({\"a\": [{\"b\": \"}]\"}, {}]})", false },
        { CALL("f", "{\"a\": \"\\\\\\\"漢\\n\\u001f字\\\\\"}") "\n" CALL("g", "{\"é\": 2}"),
          "told f({\"a\": \"\\\\\\\"漢\\n\\u001f字\\\\\"})told g({\"é\": 2})", false },
        { "<tool_call>{\n  \"name\" : \"f\" ,\n  \"arguments\" :\n{\n}\n}</tool_call>", "told f({\n})",
          false },
        { CALL("f", "{\"a\": \"\\uD83D\\uDE00\\uD83D\\uDE01x\\u00e9\", \"\\uD83D\\uDE00\": 1}"),
          "told f({\"a\": \"\\uD83D\\uDE00\\uD83D\\uDE01x\\u00e9\", \"\\uD83D\\uDE00\": 1})", false },
        { CALL("f", "{\"a\": \"</tool_call><tool_call>\"}"), "told f({\"a\": \"</tool_call><tool_call>\"})",
          false },
        { "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": 1}}", "told f({\"a\": 1})", false },
        { "a<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"b", "a", true },
        { "<tool_call>{\"name\": \"f\", \"arg", "<tool_call>{\"name\": \"f\", \"arg", false },
        /* where something else was promised than came: whole, or content, as otherwise */
        { "<tool_call>{\"arguments\": {}, \"name\": \"f\"}</tool_call>", "whole f({})", false },
        { CALL("f", "\"{}\""), "whole f({})", false },
        { "<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>x",
          "<tool_call>{\"name\": \"\", \"arguments\": {}}</tool_call>x", false },
        { "<tool_call>no</tool_call>" CALL("f", "{}"), "<tool_call>no</tool_call>told f({})", false },
    };
    (void)state;
    for (size_t i = 0; i < WD_COUNT(t); i++)
        for (size_t step = 1; step < 60; step += step < 12 ? 1 : 12) {
            told got = { 0 };
            const wd_span text = wd_span_str(t[i].output);
            tell_all(text, step, &got);
            if (!wd_span_is(wd_buf_view(&got.seen), t[i].want) || got.open != t[i].cut)
                fail_msg("%s, %zu at a time\n  want %s\n  got  %.*s", t[i].output, step, t[i].want,
                         (int)got.seen.n, (const char *)got.seen.p);
            if (step == 1 && i == 4)
                assert_true(got.n_piece > 20);
            free_told(&got);
        }
}

static void a_call_that_was_told_of_and_grows_too_long_is_an_error(void **state)
{
    (void)state;
    const wd_parse_opts o = { .sure_calls = true, .max_call_bytes = 40 };
    wd_parse *p;
    told t = { 0 };
    assert_ok(wd_parse_create(&o, be_told, &t, &p, &err));
    assert_ok(wd_parse_feed(p, WD_SPAN_LIT("<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \""), &err));
    assert_true(t.open);
    assert_fails(wd_parse_feed(p, WD_SPAN_LIT("0123456789012345678901234567890123456789"), &err), WD_E_LIMIT,
                 "more than 40 bytes");
    wd_parse_destroy(p);
    free_told(&t);
}

static void every_failing_allocation_is_reported(void **state)
{
    (void)state;
    const wd_span text = WD_SPAN_LIT(
        "<think>a</think>\nb\n" CALL("f", "\"{\\\"a\\\": 1.5}\"") "\n" CALL("g", "{}") "c");
    bool passed = false;
    for (uint64_t nth = 1; !passed; nth++) {
        wd_parsed r = { 0 };
        wd_err err;
        wd_inject_failure(nth);
        const wd_status st = wd_parse_text(text, NULL, &r, &err);
        passed = wd_inject_failure(0) < nth;
        assert_int_equal(st, passed ? WD_OK : WD_E_NOMEM);
        if (passed) {
            wd_buf got = { 0 };
            show(&r, &got);
            assert_string_equal((char *)got.p, "R[a] C[b\nc] f({\"a\": 1.5}) g({})");
            wd_buf_free(&got);
        } else {
            assert_int_equal(r.n_call + r.content.cap + r.reasoning.cap, 0);
        }
        wd_parsed_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outputs_are_taken_apart_alike_for_every_cut),
        cmocka_unit_test(random_outputs_equal_a_plain_reference),
        cmocka_unit_test(a_body_that_is_too_long_becomes_content_at_the_same_byte),
        cmocka_unit_test(what_is_held_back_is_bounded),
        cmocka_unit_test(a_callback_that_refuses_stops_the_parser),
        cmocka_unit_test(pieces_are_handed_on_as_soon_as_they_are_certain),
        cmocka_unit_test(pieces_hold_whole_characters),
        cmocka_unit_test(a_continued_text_is_content_as_it_stands),
        cmocka_unit_test(calls_that_are_sure_are_told_while_they_grow),
        cmocka_unit_test(a_call_that_was_told_of_and_grows_too_long_is_an_error),
        cmocka_unit_test(every_failing_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
