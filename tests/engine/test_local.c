/* The local engine on the golden checkpoints: what is reused, what is not, how calls end. */
#include "rig.h"

static void a_following_turn_reuses_the_cache_and_gives_the_same_tokens(void **state)
{
    (void)state;
    rig r, fresh;
    ask q;
    rig_open(&r, "text-untied", 0);
    rig_open(&fresh, "text-untied", 0);
    const char *const turns[] = { "What is seen on the film of the chest?", "Nothing new.", "And the ribs?" };
    ask_init(&q, NULL, 0, turns, 1);
    go(&r, &q);
    ask_init(&q, NULL, 0, turns, 3);
    const wd_generated again = go(&r, &q), alone = go(&fresh, &q);
    assert_true(again.n_cached > 5);
    assert_int_equal(alone.n_cached, 0);
    assert_same_tokens(&again, &alone);
    rig_close(&r);
    rig_close(&fresh);
}

/* Two pictures of one size give the same tokens: only their pixels tell them apart (spec section 11, P32). */
static void another_picture_with_the_same_tokens_is_not_taken_from_the_cache(void **state)
{
    (void)state;
    rig r, fresh;
    ask q;
    wd_image a, b;
    noise(&a, 96, 64, 1);
    noise(&b, 96, 64, 2);
    rig_open(&r, "vl-dense", 0);
    rig_open(&fresh, "vl-dense", 0);
    const char *const text[] = { "Describe it." };
    ask_init(&q, &a, 1, text, 1);
    const wd_generated first = go(&r, &q), same = go(&r, &q);
    assert_int_equal(first.n_cached, 0);
    assert_int_equal(first.n_visual, 6);
    assert_int_equal(same.n_cached, same.n_prompt - 1);
    assert_same_tokens(&first, &same);
    ask_init(&q, &b, 1, text, 1);
    const wd_generated other = go(&r, &q), alone = go(&fresh, &q);
    assert_true(other.n_cached < 6); /* what stands before the picture */
    assert_same_tokens(&other, &alone);
    assert_memory_not_equal(first.id, other.id, first.n_id * sizeof *first.id);
    wd_image_free(&a);
    wd_image_free(&b);
    rig_close(&r);
    rig_close(&fresh);
}

static void a_second_picture_after_a_cached_one_is_seen(void **state)
{
    (void)state;
    rig r, fresh;
    ask q;
    wd_image im[2];
    noise(&im[0], 96, 64, 1);
    noise(&im[1], 64, 96, 2);
    rig_open(&r, "vl-dense", 0);
    rig_open(&fresh, "vl-dense", 0);
    const char *const text[] = { "Compare." };
    ask_init(&q, im, 1, text, 1);
    go(&r, &q);
    ask_init(&q, im, 2, text, 1);
    const wd_generated two = go(&r, &q), alone = go(&fresh, &q);
    assert_true(two.n_cached >= 6);
    assert_same_tokens(&two, &alone);
    for (int i = 0; i < 2; i++)
        wd_image_free(&im[i]);
    rig_close(&r);
    rig_close(&fresh);
}

typedef struct stopper {
    wd_stage at;
    atomic_bool cancel;
} stopper;

static void stop_at(void *self, wd_stage stage, uint64_t done, uint64_t total)
{
    stopper *s = self;
    (void)done, (void)total;
    if (stage == s->at)
        atomic_store(&s->cancel, true);
}

static void a_call_is_cancelled_in_every_stage_and_the_engine_goes_on(void **state)
{
    (void)state;
    rig r, fresh;
    ask q;
    rig_open(&r, "vl-dense", 0);
    rig_open(&fresh, "vl-dense", 0);
    const char *const text[] = {
        "A question that has more than one chunk of tokens in it, so that prefill takes two."
    };
    for (wd_stage at = WD_STAGE_VISION; at <= WD_STAGE_DECODE; at++) {
        wd_image im;
        noise(&im, 96, 64, 3 + (uint64_t)at); /* one that is in no cache */
        ask_init(&q, &im, 1, text, 1);
        const wd_generated want = go(&fresh, &q);
        stopper s = { .at = at };
        ask_init(&q, &im, 1, text, 1);
        q.rq.watch = (wd_watch){ .cancel = &s.cancel, .progress = stop_at, .self = &s };
        wd_generated g;
        assert_fails(r.engine->generate(r.engine->self, r.arena, &q.rq, &g, &err), WD_E_CANCELLED, "cancel");
        q.rq.watch = (wd_watch){ 0 };
        wd_engine_stats stats;
        r.engine->stats(r.engine->self, &stats);
        assert_int_equal(stats.n_running + stats.n_waiting, 0);
        const wd_generated after = go(&r, &q);
        assert_same_tokens(&want, &after);
        wd_image_free(&im);
    }
    rig_close(&r);
    rig_close(&fresh);
}

/* The same tokens as prompt and as reply have the same log-probabilities, bit for bit. */
static void prompt_and_reply_logprobs_agree(void **state)
{
    (void)state;
    rig r;
    ask q;
    rig_open(&r, "text-untied-f32", 0);
    const char *const text[] = { "Hello." };
    ask_init(&q, NULL, 0, text, 1);
    q.rq.logprobs = q.rq.prompt_logprobs = true;
    q.rq.n_top = 3;
    const wd_generated g = go(&r, &q);
    assert_int_equal(g.n_cached, 0);
    assert_null(g.prompt_logprob[0].top);
    for (size_t i = 1; i < g.n_prompt; i++) {
        assert_int_equal(g.prompt_logprob[i].n_top, 3);
        assert_true(g.prompt_logprob[i].logprob <= g.prompt_logprob[i].top[0].logprob);
    }
    for (size_t i = 0; i < g.n_id; i++) { /* greedy: the token is the best */
        assert_int_equal(g.logprob[i].top[0].id, g.id[i]);
        assert_true(g.logprob[i].logprob == g.logprob[i].top[0].logprob);
    }
    rig_close(&r);
}

/* Tokens and log-probabilities with and without guesses, bit for bit: greedy, drawn, at the context's end, in chat. */
static void guesses_change_nothing_but_the_time(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float temperature;
        uint32_t context, max_tokens;
    } cases[] = {
        { "text-untied", 0, 0, 120 },     { "text-untied-f32", 0, 0, 120 }, { "text-tied", 0, 0, 120 },
        { "text-untied", 0.02f, 0, 120 }, { "text-yarn", 0.5f, 0, 60 },     { "text-moe", 0, 0, 80 },
        { "vl-dense", 0, 0, 80 },         { "text-tied", 0, 50, 0 },        { "text-untied", 0, 60, 0 },
    };
    size_t n_right = 0, n_wrong = 0;
    for (size_t i = 0; i < WD_COUNT(cases); i++) {
        rig with, without;
        ask q;
        wd_image im;
        noise(&im, 96, 64, 3);
        rig_open_with(&with, cases[i].name, cases[i].context, WD_LOOKUP_ALWAYS);
        rig_open_with(&without, cases[i].name, cases[i].context, WD_LOOKUP_OFF);
        const bool sees = with.cfg.has_vision;
        const char *const text[] = { "Say it again: no effusion, no effusion.", "No effusion.",
                                     "And again?" };
        for (size_t turn = 1; turn <= 3; turn += 2) { /* the second finds the first in the cache */
            ask_init(&q, &im, sees, text, turn);
            q.rq.max_tokens = cases[i].max_tokens;
            q.rq.sample.temperature = cases[i].temperature;
            q.rq.sample.seed = 5;
            q.rq.logprobs = true;
            q.rq.n_top = 2;
            if (turn == 3 && cases[i].context)
                break;
            const wd_generated a = go(&with, &q), b = go(&without, &q);
            assert_int_equal(b.n_guess, 0);
            assert_same_tokens(&a, &b);
            assert_int_equal(a.finish, b.finish);
            for (size_t k = 0; k < a.n_id; k++)
                assert_true(a.logprob[k].logprob == b.logprob[k].logprob);
            assert_int_equal(a.n_cached, b.n_cached);
            n_right += a.n_guess_right;
            n_wrong += a.n_guess - a.n_guess_right;
        }
        wd_image_free(&im);
        rig_close(&with);
        rig_close(&without);
    }
    print_message("%zu guesses right, %zu wrong\n", n_right, n_wrong);
    assert_true(n_right > 100 && n_wrong > 20);
}

static void a_prompt_beyond_the_context_is_refused_and_a_reply_ends_at_it(void **state)
{
    (void)state;
    rig r;
    ask q;
    rig_open(&r, "text-untied", 64);
    char longer[2000];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    for (size_t i = 1; i < sizeof longer - 1; i += 2)
        longer[i] = ' ';
    const char *const big[] = { longer }, *const text[] = { "Hi" };
    ask_init(&q, NULL, 0, big, 1);
    wd_generated g;
    assert_fails(r.engine->generate(r.engine->self, r.arena, &q.rq, &g, &err), WD_E_LIMIT, "context");
    ask_init(&q, NULL, 0, text, 1);
    q.rq.max_tokens = 0;
    g = go(&r, &q);
    assert_int_equal(g.finish, WD_FINISH_LENGTH);
    assert_int_equal(g.n_prompt + g.n_id, 64);
    rig_close(&r);
}

static void a_stop_string_ends_the_reply_before_it(void **state)
{
    (void)state;
    rig r;
    ask q;
    rig_open(&r, "text-untied", 0);
    const char *const text[] = { "Hello there" };
    ask_init(&q, NULL, 0, text, 1);
    q.rq.max_tokens = 40;
    wd_generated g;
    assert_ok(r.engine->generate(r.engine->self, r.arena, &q.rq, &g, &err));
    wd_span whole = wd_buf_view(&g.reply.content);
    assert_true(whole.n > 12);
    char stop[8] = { 0 };
    memcpy(stop, whole.p + whole.n / 2, 4); /* may cut characters: bytes are compared */
    const wd_span stops[] = { wd_span_of(stop, 4) };
    const size_t at = wd_span_find(whole, stops[0], 0);
    q.rq.stop = stops;
    q.rq.n_stop = 1;
    wd_generated cut;
    assert_ok(r.engine->generate(r.engine->self, r.arena, &q.rq, &cut, &err));
    assert_int_equal(cut.finish, WD_FINISH_STOP);
    assert_int_equal(cut.reply.content.n, at);
    assert_memory_equal(cut.reply.content.p, whole.p, at);
    assert_true(cut.n_id < g.n_id);
    wd_parsed_free(&g.reply);
    wd_parsed_free(&cut.reply);
    rig_close(&r);
}

static void text_models_refuse_pictures(void **state)
{
    (void)state;
    rig r;
    ask q;
    wd_image im;
    noise(&im, 64, 64, 1);
    rig_open(&r, "text-untied", 0);
    const char *const text[] = { "x" };
    ask_init(&q, &im, 1, text, 1);
    wd_generated g;
    wd_err e;
    assert_int_not_equal(r.engine->generate(r.engine->self, r.arena, &q.rq, &g, &e), WD_OK);
    wd_image_free(&im);
    rig_close(&r);
}

static void a_processor_that_cuts_other_patches_is_refused(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, "vl-dense", 0);
    wd_local_opts o = { .model = r.model, .tokenizer = r.tok, .chat_kind = WD_CHAT_QWEN3_VL_INSTRUCT };
    wd_vision_processor_defaults(&o.processor);
    o.processor.image.patch_size = 32;
    wd_engine *e;
    assert_fails(wd_local_create(&o, &e, &err), WD_E_INVALID, "patches of 2 x 32 x 32 merged by 2");
    assert_null(e);
    rig_close(&r);
}

static void a_pair_scores_the_same_alone_and_after_others(void **state)
{
    (void)state;
    rig r, fresh;
    rig_open(&r, "vl-tied", 0);
    rig_open(&fresh, "vl-tied", 0);
    wd_image im;
    noise(&im, 96, 64, 5);
    const wd_part query = { WD_PART_TEXT, WD_SPAN_LIT("pleural effusion") };
    const wd_part docs[] = { { WD_PART_TEXT, WD_SPAN_LIT("The left sinus is blunted.") },
                             { .kind = WD_PART_IMAGE },
                             { WD_PART_TEXT, WD_SPAN_LIT("No fracture.") } };
    for (size_t i = 0; i < WD_COUNT(docs); i++) {
        double a, b, c;
        size_t n;
        wd_rerank_pair p = { .query = { .parts = { &query, 1 } }, .document = { .parts = { &docs[i], 1 } } };
        if (docs[i].kind == WD_PART_IMAGE)
            p.document.media = (wd_media){ .image = &im, .n_image = 1 };
        assert_ok(r.engine->rerank(r.engine->self, r.arena, &p, &a, &n, &err));
        wd_engine_destroy(fresh.engine);
        wd_local_opts o = { .model = fresh.model,
                            .tokenizer = fresh.tok,
                            .chat_kind = WD_CHAT_QWEN3_VL_INSTRUCT };
        wd_vision_processor_defaults(&o.processor);
        assert_ok(wd_local_create(&o, &fresh.engine, &err));
        assert_ok(fresh.engine->rerank(fresh.engine->self, fresh.arena, &p, &b, &n, &err));
        assert_ok(r.engine->rerank(r.engine->self, r.arena, &p, &c, &n, &err));
        assert_true(a == b && a == c && a > 0 && a < 1);
    }
    wd_image_free(&im);
    rig_close(&r);
    rig_close(&fresh);
}

static void a_picture_to_rank_is_no_larger_than_the_processor_allows(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, "vl-tied", 0); /* 24 * 1024 pixels: 128 x 128, 16 tokens */
    wd_image im;
    noise(&im, 256, 256, 5);
    const wd_part query = { WD_PART_TEXT, WD_SPAN_LIT("effusion") }, picture = { .kind = WD_PART_IMAGE };
    const wd_rerank_pair p = { .query = { .parts = { &query, 1 } },
                               .document = { .parts = { &picture, 1 },
                                             .media = { .image = &im, .n_image = 1 } } };
    double score;
    size_t small, large;
    assert_ok(r.engine->rerank(r.engine->self, r.arena, &p, &score, &small, &err));
    wd_engine_destroy(r.engine);
    wd_local_opts o = { .model = r.model, .tokenizer = r.tok, .chat_kind = WD_CHAT_QWEN3_VL_INSTRUCT };
    wd_vision_processor_defaults(
        &o.processor); /* allows more than the wrappers ask for: 256 x 256, 64 tokens */
    assert_ok(wd_local_create(&o, &r.engine, &err));
    assert_ok(r.engine->rerank(r.engine->self, r.arena, &p, &score, &large, &err));
    assert_int_equal(large - small, 64 - 16);
    wd_image_free(&im);
    rig_close(&r);
}

static void an_embedding_has_length_one_at_every_size(void **state)
{
    (void)state;
    rig r;
    rig_open(&r, "vl-embedding", 0);
    const wd_part part = { WD_PART_TEXT, WD_SPAN_LIT("a spiculated nodule") };
    for (uint32_t dim = 8; dim <= r.engine->info.n_embd; dim += 11) {
        const wd_embed rq = { .item = { .parts = { &part, 1 } }, .dim = dim };
        const float *v;
        uint32_t got;
        size_t n;
        double sum = 0;
        assert_ok(r.engine->embed(r.engine->self, r.arena, &rq, &v, &got, &n, &err));
        assert_int_equal(got, dim);
        for (uint32_t i = 0; i < dim; i++)
            sum += (double)v[i] * (double)v[i];
        assert_true(sum > 0.999999 && sum < 1.000001);
    }
    const wd_embed rq = { .item = { .parts = { &part, 1 } }, .dim = r.engine->info.n_embd + 1 };
    const float *v;
    uint32_t got;
    size_t n;
    assert_fails(r.engine->embed(r.engine->self, r.arena, &rq, &v, &got, &n, &err), WD_E_INVALID,
                 "values wanted");
    rig_close(&r);
}

typedef struct heard {
    uint32_t id[16];
    float logprob[16];
    size_t n, n_piece;
} heard;

static void hear(void *self, uint32_t id, const wd_token_logprob *lp)
{
    heard *h = self;
    assert_true(h->n < 16 && lp);
    h->id[h->n] = id;
    h->logprob[h->n++] = lp->logprob;
}

static wd_status hear_piece(void *self, const wd_parse_event *ev, wd_err *err)
{
    heard *h = self;
    (void)err;
    assert_int_equal(ev->kind, WD_PARSE_CONTENT);
    h->n_piece += h->n > 0; /* never before its token */
    return WD_OK;
}

static void tokens_in_the_place_of_a_chat_are_continued_alike(void **state)
{
    (void)state;
    rig r;
    ask q;
    rig_open(&r, "vl-dense", 0);
    ask_init(&q, NULL, 0, (const char *const[]){ "Describe the film." }, 1);
    q.rq.logprobs = true;
    const wd_generated chat = go(&r, &q);
    heard h = { .n = 0 };
    q.rq.prompt = chat.prompt_id;
    q.rq.n_prompt = chat.n_prompt;
    q.rq.chat = (wd_chat){ 0 };
    q.rq.watch = (wd_watch){ .token = hear, .event = hear_piece, .self = &h };
    const wd_generated plain = go(&r, &q);
    assert_same_tokens(&chat, &plain);
    assert_int_equal(h.n, plain.n_id);
    assert_true(h.n_piece > 0);
    for (size_t i = 0; i < h.n; i++) {
        assert_int_equal(h.id[i], plain.id[i]);
        assert_true(h.logprob[i] == chat.logprob[i].logprob);
    }
    const uint32_t strange[] = { 1, 0x7fffffff };
    wd_generated g;
    q.rq.prompt = strange;
    q.rq.n_prompt = 2;
    assert_fails(r.engine->generate(r.engine->self, r.arena, &q.rq, &g, &err), WD_E_INVALID, "token 1 is");
    q.rq.n_prompt = 0;
    assert_fails(r.engine->generate(r.engine->self, r.arena, &q.rq, &g, &err), WD_E_INVALID, "no token");
    q.rq.n_prompt = (size_t)r.engine->info.context + 1;
    assert_fails(r.engine->generate(r.engine->self, r.arena, &q.rq, &g, &err), WD_E_LIMIT, "the context");
    rig_close(&r);
}

/* Any weights: what is written satisfies the schema, for the masks leave nothing else. */
static void a_constrained_reply_satisfies_its_schema(void **state)
{
    (void)state;
    rig r;
    ask q;
    wd_constraint *c = NULL;
    rig_open(&r, "text-untied", 0);
    assert_ok(wd_constraint_schema(
        WD_SPAN_LIT("{\"type\":\"object\",\"properties\":{\"side\":{\"enum\":[\"left\",\"right\"]},"
                    "\"size\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":99}},"
                    "\"required\":[\"side\",\"size\"],\"additionalProperties\":false}"),
        WD_SPACE_NONE, &c, &err));
    const char *const turns[] = { "Which side?" };
    for (uint64_t seed = 0; seed < 6; seed++) {
        wd_generated g;
        ask_init(&q, NULL, 0, turns, 1);
        q.rq.constraint = c;
        q.rq.chat.enable_thinking = WD_OFF;
        q.rq.ignore_stop_ids = false;
        q.rq.max_tokens = 200;
        q.rq.sample.temperature = seed ? 1.5f : 0;
        q.rq.sample.seed = seed;
        assert_ok(r.engine->generate(r.engine->self, r.arena, &q.rq, &g, &err));
        assert_int_equal(g.finish, WD_FINISH_STOP);
        if (!wd_constraint_accepts(c, wd_buf_view(&g.reply.content)))
            fail_msg("%s", (const char *)g.reply.content.p);
        wd_parsed_free(&g.reply);
    }
    wd_generated g;
    q.rq.ignore_stop_ids = true;
    assert_fails(r.engine->generate(r.engine->self, r.arena, &q.rq, &g, &err), WD_E_USAGE, "end tokens");
    wd_constraint_unref(&c);
    rig_close(&r);
}

/* Names and punctuation that a schema leaves no choice about are computed together, and nothing else changes. */
static void what_a_schema_leaves_no_choice_about_comes_in_one_pass(void **state)
{
    (void)state;
    rig with, without;
    ask q;
    wd_constraint *c = NULL;
    size_t n_right = 0, n_token = 0;
    rig_open_with(&with, "text-untied", 0, WD_LOOKUP_AUTO);
    rig_open_with(&without, "text-untied", 0, WD_LOOKUP_OFF);
    assert_ok(wd_constraint_schema(
        WD_SPAN_LIT(
            "{\"type\":\"object\",\"properties\":{\"side_of_the_finding\":{\"enum\":[\"left lung\",\"right "
            "lung\"]},"
            "\"largest_diameter_mm\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":99}},"
            "\"required\":[\"side_of_the_finding\",\"largest_diameter_mm\"],\"additionalProperties\":false}"),
        WD_SPACE_NONE, &c, &err));
    const char *const turns[] = { "Which side?" };
    for (uint64_t seed = 0; seed < 4; seed++) {
        ask_init(&q, NULL, 0, turns, 1);
        q.rq.constraint = c;
        q.rq.chat.enable_thinking = WD_OFF;
        q.rq.ignore_stop_ids = false;
        q.rq.max_tokens = 200;
        q.rq.logprobs = true;
        q.rq.n_top = 2;
        q.rq.sample.temperature = seed ? 1.2f : 0;
        q.rq.sample.seed = seed;
        const wd_generated a = go(&with, &q), b = go(&without, &q);
        assert_same_tokens(&a, &b);
        assert_int_equal(b.n_guess, 0);
        for (size_t k = 0; k < a.n_id; k++)
            assert_true(a.logprob[k].logprob == b.logprob[k].logprob);
        n_right += a.n_guess_right;
        n_token += a.n_id;
    }
    print_message("%zu of %zu tokens came ahead\n", n_right, n_token);
    assert_true(n_right > n_token / 4);
    wd_constraint_unref(&c);
    rig_close(&with);
    rig_close(&without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_constrained_reply_satisfies_its_schema),
        cmocka_unit_test(what_a_schema_leaves_no_choice_about_comes_in_one_pass),
        cmocka_unit_test(a_following_turn_reuses_the_cache_and_gives_the_same_tokens),
        cmocka_unit_test(another_picture_with_the_same_tokens_is_not_taken_from_the_cache),
        cmocka_unit_test(a_second_picture_after_a_cached_one_is_seen),
        cmocka_unit_test(a_call_is_cancelled_in_every_stage_and_the_engine_goes_on),
        cmocka_unit_test(prompt_and_reply_logprobs_agree),
        cmocka_unit_test(guesses_change_nothing_but_the_time),
        cmocka_unit_test(a_prompt_beyond_the_context_is_refused_and_a_reply_ends_at_it),
        cmocka_unit_test(a_stop_string_ends_the_reply_before_it),
        cmocka_unit_test(text_models_refuse_pictures),
        cmocka_unit_test(a_processor_that_cuts_other_patches_is_refused),
        cmocka_unit_test(a_pair_scores_the_same_alone_and_after_others),
        cmocka_unit_test(a_picture_to_rank_is_no_larger_than_the_processor_allows),
        cmocka_unit_test(tokens_in_the_place_of_a_chat_are_continued_alike),
        cmocka_unit_test(an_embedding_has_length_one_at_every_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
