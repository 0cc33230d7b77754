/* Replies drawn at random from the masks of wd_constrained, over a vocabulary of bytes: what comes out is read back by the
 * parser of replies. */
#include "engine/local/constrain.h"

#include "../text/mini.h"
#include "base/rand.h"
#include "support/test.h"

enum { END = 256, THINK, THOUGHT, CALL, CALLED, N_VOCAB };
static const char added[] = MINI_ADDED(256, "<|im_end|>", true) "," MINI_ADDED(
    257, "<think>", false) "," MINI_ADDED(258, "</think>",
                                          false) "," MINI_ADDED(259, "<tool_call>",
                                                                false) "," MINI_ADDED(260, "</tool_call>",
                                                                                      false);

typedef struct rig {
    wd_tokenizer *tok;
    wd_lexicon *lex;
    wd_constraint *call;
    wd_rand r;
} rig;

#define LABS                                                                                                 \
    "{\"type\":\"object\",\"properties\":{\"name\":{\"const\":\"labs\"},\"arguments\":{\"type\":\"object\"," \
    "\"properties\":{\"of\":{\"enum\":[\"CRP\",\"Hb\"]},\"in\":{\"type\":\"object\",\"properties\":{"        \
    "\"days\":{"                                                                                             \
    "\"type\":\"integer\",\"minimum\":1,\"maximum\":30}},\"required\":[\"days\"],\"additionalProperties\":"  \
    "false}},\"required\":[\"of\"],\"additionalProperties\":false}},\"required\":[\"name\",\"arguments\"],"  \
    "\"additionalProperties\":false}"
#define PING                                                                                                 \
    "{\"type\":\"object\",\"properties\":{\"name\":{\"const\":\"ping\"},\"arguments\":{\"type\":\"object\"," \
    "\"additionalProperties\":false}},\"required\":[\"name\",\"arguments\"],\"additionalProperties\":false}"

static void rig_open(rig *k)
{
    wd_buf json = { 0 };
    *k = (rig){ 0 };
    wd_rand_init(&k->r, 3);
    mini_json(&(mini){ .added = added }, &json);
    assert_ok(wd_tokenizer_open_json(wd_buf_view(&json), "mini", &k->tok, &err));
    wd_buf_free(&json);
    assert_ok(wd_lexicon_create(k->tok, N_VOCAB, &k->lex, &err));
    assert_ok(wd_constraint_schema(WD_SPAN_LIT("{\"anyOf\":[" LABS "," PING "]}"), WD_SPACE_BOUNDED, &k->call,
                                   &err));
}

static void rig_close(rig *k)
{
    wd_constraint_unref(&k->call);
    wd_lexicon_destroy(k->lex);
    wd_tokenizer_close(k->tok);
}

static bool may(const uint64_t *mask, uint32_t id)
{
    return !mask || mask[id / 64] >> id % 64 & 1;
}

/* A reply of at most 400 tokens. Where anything may come, tokens for calls and the end are what comes often. False: it
 * did not end. */
static bool draw(rig *k, const wd_constrain_opts *o, wd_buf *text, size_t *n_ahead)
{
    static const uint32_t often[] = { CALL, CALL, END, 'x', ' ', '\n', THOUGHT, CALLED };
    wd_constrained *c = NULL;
    bool over = false;
    assert_ok(wd_constrained_create(o, &c, &err));
    for (int i = 0; i < 400 && !over; i++) {
        uint32_t list[N_VOCAB], n = 0, sure[4], id;
        const uint64_t *mask;
        assert_ok(wd_constrained_mask(c, &mask, &err));
        for (uint32_t t = 0; t < N_VOCAB; t++)
            if (may(mask, t))
                list[n++] = t;
        assert_true(n > 0);
        const size_t n_sure = wd_constrained_ahead(c, 4, sure);
        id = mask ? list[wd_rand_below(&k->r, n)] : often[wd_rand_below(&k->r, WD_COUNT(often))];
        if (n_sure) { /* of single bytes: certain indeed */
            assert_true(n == 1 && list[0] == sure[0]);
            *n_ahead += 1;
        }
        assert_ok(wd_constrained_advance(c, id, &err));
        over = id == END;
        if (!over)
            wd_buf_span(text, wd_tokenizer_bytes(k->tok, id));
    }
    wd_constrained_destroy(c);
    return over;
}

/* Every call is one of those given, with arguments that satisfy its schema. */
static void check_calls(const rig *k, const wd_parsed *p)
{
    for (size_t i = 0; i < p->n_call; i++) {
        wd_buf body = { 0 };
        wd_buf_printf(&body, "{\"name\":\"%s\",\"arguments\":%s}", p->call[i].name, p->call[i].args);
        if (!wd_constraint_accepts(k->call, wd_buf_view(&body)))
            fail_msg("%s", (char *)body.p);
        wd_buf_free(&body);
    }
}

static void calls_satisfy_their_schema_whatever_is_drawn(void **state)
{
    (void)state;
    rig k;
    size_t n_over = 0, n_call[8] = { 0 }, n_many = 0, n_none = 0, n_ahead = 0, n_reasoned = 0;
    const uint32_t end = END;
    rig_open(&k);
    for (int i = 0; i < 400; i++) {
        const wd_constrain_opts o = { .call = k.call,
                                      .lexicon = k.lex,
                                      .tokenizer = k.tok,
                                      .end = &end,
                                      .n_end = 1,
                                      .must_call = i & 1,
                                      .one_call = i & 2,
                                      .thinking = (i & 12) == 4,
                                      .may_think = (i & 12) == 8 };
        wd_buf text = { 0 };
        wd_parsed p = { 0 };
        const bool over = draw(&k, &o, &text, &n_ahead);
        n_over += over;
        assert_ok(
            wd_parse_text(wd_buf_view(&text), &(wd_parse_opts){ .opens_thinking = o.thinking }, &p, &err));
        check_calls(&k, &p);
        n_call[i & 3] += p.n_call;
        n_many += p.n_call > 1;
        n_none += !p.n_call;
        n_reasoned += p.reasoning.n > 0;
        if (o.one_call)
            assert_true(p.n_call <= 1);
        if (over && o.must_call) {
            assert_true(p.n_call >= 1);
            assert_int_equal(p.content.n, 0);
        }
        /* what looks like a call and is none would be content */
        if (over && o.must_call)
            assert_null(strstr((char *)text.p, "<tool_call><tool_call>"));
        wd_parsed_free(&p);
        wd_buf_free(&text);
    }
    print_message(
        "%zu of 400 ended; calls %zu %zu %zu %zu, several in %zu, none in %zu; %zu certain tokens\n", n_over,
        n_call[0], n_call[1], n_call[2], n_call[3], n_many, n_none, n_ahead);
    assert_true(n_over > 300 && n_many > 20 && n_none > 20 && n_ahead > 1000 && n_reasoned > 20);
    for (int i = 0; i < 4; i++)
        assert_true(n_call[i] > 20);
    rig_close(&k);
}

static void a_line_may_end_behind_a_call(void **state)
{
    (void)state;
    rig k;
    wd_constrained *c = NULL;
    const uint32_t end = END;
    const uint64_t *mask;
    rig_open(&k);
    const wd_constrain_opts o = {
        .call = k.call, .lexicon = k.lex, .tokenizer = k.tok, .end = &end, .n_end = 1, .must_call = true
    };
    static const char body[] = "\n{\"name\": \"ping\", \"arguments\": {}}";
    assert_ok(wd_constrained_create(&o, &c, &err));
    assert_ok(wd_constrained_mask(c, &mask, &err));
    assert_true(may(mask, CALL) && !may(mask, END) && !may(mask, 'x') && !may(mask, THINK));
    assert_ok(wd_constrained_advance(c, CALL, &err));
    for (size_t i = 0; body[i]; i++)
        assert_ok(wd_constrained_advance(c, (uint8_t)body[i], &err));
    for (int line = 0; line < 2; line++) {
        assert_ok(wd_constrained_mask(c, &mask, &err));
        assert_int_equal(may(mask, '\n'), line == 0);
        assert_true(may(mask, CALLED) && !may(mask, ' ') && !may(mask, END));
        if (line == 0)
            assert_ok(wd_constrained_advance(c, '\n', &err));
    }
    assert_ok(wd_constrained_advance(c, CALLED, &err));
    assert_ok(wd_constrained_mask(c, &mask, &err)); /* the end, or another */
    assert_true(may(mask, END) && may(mask, CALL) && may(mask, '\n') && !may(mask, 'x'));
    assert_ok(wd_constrained_advance(c, '\n', &err));
    assert_ok(wd_constrained_mask(c, &mask, &err));
    assert_true(may(mask, CALL) && !may(mask, '\n') && !may(mask, END));
    wd_constrained_destroy(c);
    rig_close(&k);
}

/* Behind reasoning a model writes line breaks; a reply that begins with its document has none, however it is asked for. */
static void lines_come_before_a_document_behind_reasoning_alone(void **state)
{
    (void)state;
    rig k;
    const uint32_t end = END;
    rig_open(&k);
    for (int way = 0; way < 4; way++) { /* no reasoning; it could have come; it was begun; it came */
        wd_constrained *c = NULL;
        const uint64_t *mask;
        const bool thinks = way >= 2;
        const wd_constrain_opts o = { .constraint = k.call,
                                      .lexicon = k.lex,
                                      .tokenizer = k.tok,
                                      .end = &end,
                                      .n_end = 1,
                                      .thinking = way == 2,
                                      .may_think = way == 1 || way == 3 };
        assert_ok(wd_constrained_create(&o, &c, &err));
        if (way == 3)
            assert_ok(wd_constrained_advance(c, THINK, &err));
        if (thinks)
            assert_ok(wd_constrained_advance(c, THOUGHT, &err));
        for (int line = 0; line < 3; line++) {
            assert_ok(wd_constrained_mask(c, &mask, &err));
            assert_true(may(mask, '{') && !may(mask, ' ') && !may(mask, END));
            assert_int_equal(may(mask, THINK), way == 1);
            assert_int_equal(may(mask, '\n'), thinks && line < 2);
            if (!thinks || line == 2)
                break;
            assert_ok(wd_constrained_advance(c, '\n', &err));
        }
        wd_constrained_destroy(c);
    }
    rig_close(&k);
}

static void a_vocabulary_without_tokens_for_calls_cannot_hold_them(void **state)
{
    (void)state;
    rig k;
    wd_buf json = { 0 };
    wd_tokenizer *plain;
    wd_constrained *c;
    rig_open(&k);
    mini_json(&(mini){ .added = "" }, &json);
    assert_ok(wd_tokenizer_open_json(wd_buf_view(&json), "mini", &plain, &err));
    assert_true(wd_constrained_can_call(k.tok) && !wd_constrained_can_call(plain));
    const wd_constrain_opts o = { .call = k.call, .lexicon = k.lex, .tokenizer = plain };
    assert_fails(wd_constrained_create(&o, &c, &err), WD_E_UNSUPPORTED, "<tool_call>");
    assert_null(c);
    wd_tokenizer_close(plain);
    wd_buf_free(&json);
    rig_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_satisfy_their_schema_whatever_is_drawn),
        cmocka_unit_test(a_line_may_end_behind_a_call),
        cmocka_unit_test(lines_come_before_a_document_behind_reasoning_alone),
        cmocka_unit_test(a_vocabulary_without_tokens_for_calls_cannot_hold_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
