/* From text and a picture to the reference's tokens, through every part at once: PNG, resize, patches, chat template,
 * tokenizer, positions, tower, decoder, greedy sampling; and the same for the embedding and reranker prompts. */
#include <math.h>

#include <png.h>

#include "engine/local/local.h"
#include "golden/run.h"
#include "support/test.h"

/* libpng's simple interface: what this test is about begins after the decoder. */
static wd_image read_png(void)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/golden/image/phantom.png", test_data_dir());
    png_image im = { .version = PNG_IMAGE_VERSION };
    assert_true(png_image_begin_read_from_file(&im, path));
    im.format = PNG_FORMAT_RGB;
    wd_image out = { 0 };
    assert_ok(wd_image_init(&out, im.width, im.height, &err));
    assert_true(png_image_finish_read(&im, NULL, out.rgb, 0, NULL));
    return out;
}

typedef struct whole {
    golden_model g;
    wd_tokenizer *tok;
    wd_engine *engine;
    wd_arena *arena;
} whole;

static void whole_open(whole *w, const char *checkpoint)
{
    golden_open(&w->g,
                &(golden_opts){ .checkpoint = checkpoint, .isa = "auto", .precision = WD_PRECISION_EXACT });
    assert_ok(wd_tokenizer_open(golden_path(checkpoint), &w->tok, &err));
    wd_local_opts o = { .model = w->g.m,
                        .tokenizer = w->tok,
                        .chat_kind = WD_CHAT_QWEN3_VL_INSTRUCT,
                        .kv = WD_KV_F32,
                        .backend = "cpu" };
    assert_ok(wd_vision_processor_read(golden_path(checkpoint), &o.processor, &err));
    assert_ok(wd_local_create(&o, &w->engine, &err));
    assert_non_null(w->arena = wd_arena_create(1u << 30, false));
}

static void whole_close(whole *w)
{
    wd_arena_destroy(w->arena);
    wd_engine_destroy(w->engine);
    wd_tokenizer_close(w->tok);
    golden_close(&w->g);
}

static void pixel_rows_of_a_png_equal_the_reference(void **state)
{
    (void)state;
    gold *want = gold_open("vl-image");
    wd_image im = read_png();
    wd_vision_processor proc;
    assert_ok(wd_vision_processor_read(golden_path("vl-dense"), &proc, &err));
    wd_visual v;
    assert_ok(wd_visual_of_image(&proc, NULL, &im, &v, &err));
    const gold_tensor grid = gold_get(want, "image", "grids"), rows = gold_get(want, "image", "pixel_rows");
    const gold_tensor at = gold_get(want, "image", "pixel_rows.rows");
    for (int i = 0; i < 3; i++)
        assert_int_equal(v.grid[i], grid.i[i]);
    float row[1536], worst = 0;
    for (size_t i = 0; i < at.n; i++) {
        wd_visual_fill(&v, (size_t)at.i[i], 1, row);
        for (size_t k = 0; k < 1536; k++)
            worst = fmaxf(worst, fabsf(row[k] - rows.f[i * 1536 + k]));
    }
    assert_true(worst <= 1e-6f);
    wd_visual_free(&v);
    wd_image_free(&im);
    gold_close(want);
}

static void a_picture_and_a_question_give_the_reference_s_tokens(void **state)
{
    (void)state;
    gold *want = gold_open("vl-image");
    whole w;
    whole_open(&w, "vl-dense-f32");
    wd_image im = read_png();
    const wd_part system = { .kind = WD_PART_TEXT, .text = WD_SPAN_LIT("You are a radiologist.") };
    const wd_part user[] = { { .kind = WD_PART_IMAGE },
                             { .kind = WD_PART_TEXT,
                               .text = WD_SPAN_LIT(
                                   "Describe this image. \xe8\xaf\xb7\xe6\x8f\x8f\xe8\xbf\xb0"
                                   "\xe8\xbf\x99\xe5\xbc\xa0\xe5\x9b\xbe\xe5\x83\x8f\xe3\x80\x82") } };
    const wd_message message[] = { { .role = WD_ROLE_SYSTEM, .part = &system, .n_part = 1 },
                                   { .role = WD_ROLE_USER, .part = user, .n_part = 2, .is_list = true } };
    wd_generate rq = { .chat = { .message = message, .n_message = 2 },
                       .media = { .image = &im, .n_image = 1 },
                       .sample = WD_SAMPLE_OPTS_DEFAULT,
                       .max_tokens = 64,
                       .ignore_stop_ids = true,
                       .prompt_logprobs = true };
    rq.sample.temperature = 0;
    wd_generated out;
    assert_ok(w.engine->generate(w.engine->self, w.arena, &rq, &out, &err));
    const gold_tensor ids = gold_get(want, "image", "ids"), greedy = gold_get(want, "image", "greedy");
    const gold_tensor logprob = gold_get(want, "image", "logprob");
    assert_int_equal(out.n_prompt, ids.n);
    assert_memory_equal(out.prompt_id, ids.i, ids.n * sizeof(uint32_t));
    for (size_t i = 0; i < logprob.n; i++)
        assert_true(fabsf(out.prompt_logprob[i + 1].logprob - logprob.f[i]) <= 1e-4f);
    assert_int_equal(out.n_id, greedy.n);
    assert_memory_equal(out.id, greedy.i, greedy.n * sizeof(uint32_t));
    wd_parsed_free(&out.reply);
    wd_image_free(&im);
    whole_close(&w);
    gold_close(want);
}

/* ---- a clip ---- */

enum { CLIP_FRAMES = 41, CLIP_W = 96, CLIP_H = 64 };

/* Frame t of the clip that tools/golden/video.py makes. */
static void draw_frame(wd_image *im, uint64_t t)
{
    for (uint32_t i = 0; i < CLIP_W * CLIP_H * 3; i++) {
        uint32_t x = i + (uint32_t)t * 1000003u;
        x ^= x >> 16;
        x *= 0x85ebca6bu;
        x ^= x >> 13;
        x *= 0xc2b2ae35u;
        x ^= x >> 16;
        im->rgb[i] = (uint8_t)(x >> 24);
    }
}

typedef struct clip {
    gold_tensor chosen; /* the reference's frames */
    size_t n_asked;
} clip;

static wd_status clip_frames(void *self, const uint64_t *index, uint32_t n,
                             wd_status (*on_frame)(void *ctx, uint32_t i, const wd_image *frame, wd_err *err),
                             void *ctx, wd_err *err)
{
    clip *c = self;
    wd_image im = { 0 };
    WD_TRY(wd_image_init(&im, CLIP_W, CLIP_H, err));
    wd_status st = WD_OK;
    for (uint32_t i = 0; i < n && !st; i++) {
        assert_true(c->n_asked < c->chosen.n);
        assert_int_equal(index[i], c->chosen.i[c->n_asked++]);
        draw_frame(&im, index[i]);
        st = on_frame(ctx, i, &im, err);
    }
    wd_image_free(&im);
    return st;
}

static void a_clip_and_a_question_give_the_reference_s_tokens(void **state)
{
    (void)state;
    gold *want = gold_open("vl-video");
    whole w;
    whole_open(&w, "vl-dense-f32");
    clip c = { .chosen = gold_get(want, "video", "frames") };
    const wd_video_source source = { .n_frame = CLIP_FRAMES,
                                     .fps = 12.5,
                                     .width = CLIP_W,
                                     .height = CLIP_H,
                                     .frames = clip_frames,
                                     .self = &c };
    const wd_part user[] = { { .kind = WD_PART_VIDEO },
                             { .kind = WD_PART_TEXT, .text = WD_SPAN_LIT("What does the video show?") } };
    const wd_message message = { .role = WD_ROLE_USER, .part = user, .n_part = 2, .is_list = true };
    wd_generate rq = { .chat = { .message = &message, .n_message = 1 },
                       .media = { .video = &source, .n_video = 1 },
                       .sample = WD_SAMPLE_OPTS_DEFAULT,
                       .max_tokens = 64,
                       .ignore_stop_ids = true };
    rq.sample.temperature = 0;
    wd_generated out;
    assert_ok(w.engine->generate(w.engine->self, w.arena, &rq, &out, &err));
    const gold_tensor ids = gold_get(want, "video", "ids"), greedy = gold_get(want, "video", "greedy");
    assert_int_equal(c.n_asked, c.chosen.n);
    assert_int_equal(out.n_prompt, ids.n); /* timestamps, groups and places */
    assert_memory_equal(out.prompt_id, ids.i, ids.n * sizeof(uint32_t));
    assert_int_equal(out.n_id, greedy.n);
    assert_memory_equal(out.id, greedy.i, greedy.n * sizeof(uint32_t));
    wd_parsed_free(&out.reply);
    whole_close(&w);
    gold_close(want);
}

static void greedy_tokens_of(whole *w, const wd_image *im, uint32_t *id)
{
    const wd_part user = { .kind = WD_PART_IMAGE };
    const wd_message message = { .role = WD_ROLE_USER, .part = &user, .n_part = 1, .is_list = true };
    wd_generate rq = { .chat = { .message = &message, .n_message = 1 },
                       .media = { .image = im, .n_image = 1 },
                       .sample = WD_SAMPLE_OPTS_DEFAULT,
                       .max_tokens = 24,
                       .ignore_stop_ids = true };
    rq.sample.temperature = 0;
    wd_generated out;
    assert_ok(w->engine->generate(w->engine->self, w->arena, &rq, &out, &err));
    assert_int_equal(out.n_id, 24);
    memcpy(id, out.id, 24 * sizeof(uint32_t));
    wd_parsed_free(&out.reply);
}

/* P32: two pictures of one size give the same prompt tokens; what the cache holds of the first must not serve the
 * second. */
static void another_picture_of_the_same_size_is_not_taken_from_the_cache(void **state)
{
    (void)state;
    uint32_t first[24], second[24], again[24], fresh[24];
    wd_image im = read_png(), other = read_png();
    for (size_t i = 0; i < (size_t)other.width * other.height * 3; i++)
        other.rgb[i] = (uint8_t)(255 - other.rgb[i]);
    whole w;
    whole_open(&w, "vl-dense");
    greedy_tokens_of(&w, &im, first);
    greedy_tokens_of(&w, &other, second);
    greedy_tokens_of(&w, &im, again);
    whole_close(&w);
    whole_open(&w, "vl-dense");
    greedy_tokens_of(&w, &other, fresh);
    whole_close(&w);
    assert_memory_equal(second, fresh, sizeof(fresh));
    assert_memory_equal(again, first, sizeof(first));
    assert_memory_not_equal(second, first, sizeof(first));
    wd_image_free(&im);
    wd_image_free(&other);
}

static void texts_are_embedded_as_the_reference_does(void **state)
{
    (void)state;
    static const char *const text[] = {
        "Solid nodule in the right upper lobe.",
        "\xe5\x8f\xb3\xe8\x82\xba\xe4\xb8\x8a\xe5\x8f\xb6\xe8\xa7\x81\xe5\xae\x9e"
        "\xe6\x80\xa7\xe7\xbb\x93\xe8\x8a\x82\xef\xbc\x8c\xe8\xbe\xb9\xe7\x95\x8c"
        "\xe6\xb8\x85\xe6\xa5\x9a\xe3\x80\x82"
    };
    gold *want = gold_open("vl-embedding");
    whole w;
    whole_open(&w, "vl-embedding");
    for (int i = 0; i < 2; i++) {
        const char sample[2] = { (char)('0' + i), 0 };
        const wd_part part = { .kind = WD_PART_TEXT, .text = wd_span_str(text[i]) };
        wd_embed rq = { .item = { .parts = { .part = &part, .n_part = 1 } }, .dim = 64 };
        const float *v;
        uint32_t dim;
        size_t n_token;
        assert_ok(w.engine->embed(w.engine->self, w.arena, &rq, &v, &dim, &n_token, &err));
        assert_int_equal(n_token, gold_get(want, sample, "ids").n);
        assert_int_equal(dim, 64);
        assert_true(golden_error(v, gold_get(want, sample, "embedding_64").f, 64) <= 5e-5);
    }
    whole_close(&w);
    gold_close(want);
}

static void a_pair_is_ranked_as_the_reference_does(void **state)
{
    (void)state;
    gold *want = gold_open("vl-reranker");
    whole w;
    whole_open(&w, "vl-tied");
    const wd_part query = { .kind = WD_PART_TEXT, .text = WD_SPAN_LIT("nodule in the right upper lobe") };
    const wd_part document = { .kind = WD_PART_TEXT, .text = WD_SPAN_LIT("No pleural effusion is seen.") };
    const wd_rerank_pair rq = { .query.parts = { &query, 1 }, .document.parts = { &document, 1 } };
    double score;
    size_t n_token;
    assert_ok(w.engine->rerank(w.engine->self, w.arena, &rq, &score, &n_token, &err));
    assert_int_equal(n_token, gold_get(want, "0", "ids").n);
    assert_true(fabs(score - (double)gold_get(want, "0", "score").f[0]) <= 1e-5);
    whole_close(&w);
    gold_close(want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixel_rows_of_a_png_equal_the_reference),
        cmocka_unit_test(a_picture_and_a_question_give_the_reference_s_tokens),
        cmocka_unit_test(a_clip_and_a_question_give_the_reference_s_tokens),
        cmocka_unit_test(another_picture_of_the_same_size_is_not_taken_from_the_cache),
        cmocka_unit_test(texts_are_embedded_as_the_reference_does),
        cmocka_unit_test(a_pair_is_ranked_as_the_reference_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
