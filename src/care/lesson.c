/* The story "lesson": asking. */
#include "care/lesson.h"

#include <string.h>

#include "base/clock.h"
#include "base/utf8.h"
#include "care/prompt_file.h"

#define PROMPT_BYTES_MAX ((size_t)1 << 20)
static const char images_mark[] = "{{images}}";

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "lesson: no memory");
}

/* "Card 2 (12.0-19.6 s): " before each picture: the number that a step cites. */
static const char *label(wd_arena *a, const char *language, uint32_t i, const wd_lesson_card *c)
{
    return wd_arena_printf(a, !strcmp(language, "zh") ? "卡片%u（%.1f-%.1f秒）：" : "Card %u (%.1f-%.1f s): ",
                           i + 1, c->start_s, c->end_s);
}

static wd_status add_text(wd_arena *a, wd_message *m, wd_part *part, wd_span text, wd_err *err)
{
    if (!text.n)
        return WD_OK;
    const char *s = wd_arena_strndup(a, (const char *)text.p, text.n);
    if (!s)
        return no_memory(err);
    part[m->n_part++] = (wd_part){ WD_PART_TEXT, wd_span_of(s, text.n) };
    return WD_OK;
}

/* The user's message: text before {{images}}, each card with its label, text after. */
static wd_status user_message(const wd_prompt_file *f, const wd_lesson_cards *c, const wd_lesson_opts *o,
                              wd_arena *a, wd_message *out, wd_image **images, wd_err *err)
{
    const size_t at = wd_span_find(f->user, wd_span_str(images_mark), 0);
    if (at == SIZE_MAX)
        return WD_FAIL(err, WD_E_INVALID, "%s: the [user] part has no %s", f->path, images_mark);
    const wd_span before = wd_span_sub(f->user, 0, at),
                  after = wd_span_sub(f->user, at + sizeof images_mark - 1, f->user.n);
    const char *n_cards = wd_arena_printf(a, "%u", c->n_card);
    wd_part *part = WD_NEW_N(a, wd_part, 2 * (size_t)c->n_card + 2);
    *images = WD_NEW_N(a, wd_image, c->n_card);
    if (!n_cards || !part || !*images)
        return no_memory(err);
    const wd_prompt_value values[] = { { "n_cards", wd_span_str(n_cards) } };
    *out = (wd_message){ .role = WD_ROLE_USER, .part = part, .is_list = true };
    for (int half = 0; half < 2; half++) {
        wd_buf b = { .max = PROMPT_BYTES_MAX };
        wd_status st = wd_prompt_file_fill(f, half ? after : before, values, WD_COUNT(values), &b, err);
        if (!st)
            st = add_text(a, out, part, wd_buf_view(&b), err);
        wd_buf_free(&b);
        WD_TRY(st);
        for (uint32_t i = 0; !half && i < c->n_card; i++) {
            const char *l = label(a, o->language, i, &c->card[i]);
            if (!l)
                return no_memory(err);
            part[out->n_part++] = (wd_part){ WD_PART_TEXT, wd_span_str(l) };
            part[out->n_part++] = (wd_part){ .kind = WD_PART_IMAGE };
            (*images)[i] = c->card[i].picture;
        }
    }
    return WD_OK;
}

wd_status wd_lesson_ask(wd_engine *e, const wd_lesson_cards *cards, const wd_lesson_opts *o, wd_arena *a,
                        wd_lesson *out, wd_err *err)
{
    wd_prompt_file file;
    wd_message *message = WD_NEW_N(a, wd_message, 2);
    wd_part *system = WD_NEW(a, wd_part);
    wd_image *images = NULL;
    if (!message || !system)
        return no_memory(err);
    WD_TRY(wd_prompt_file_read(o->prompt_path, a, &file, err));
    *system = (wd_part){ WD_PART_TEXT, file.system };
    message[0] = wd_message_text(WD_ROLE_SYSTEM, file.system, system);
    WD_TRY(user_message(&file, cards, o, a, &message[1], &images, err));

    wd_generate rq = { .chat = { .message = message, .n_message = 2, .enable_thinking = WD_OFF },
                       .media = { .image = images, .n_image = cards->n_card },
                       .sample = e->info.sample,
                       .max_tokens = o->max_tokens,
                       .watch = o->watch };
    if (o->temperature >= 0)
        rq.sample.temperature = (float)o->temperature;
    rq.sample.seed = o->seed;
    wd_generated g;
    WD_TRY(e->generate(e->self, a, &rq, &g, err));

    wd_lesson l = { .cards = cards,
                    .model = e->info.name,
                    .language = o->language,
                    .model_digest = o->model_digest,
                    .cut = g.finish == WD_FINISH_LENGTH,
                    .timings = g.timings,
                    .n_prompt = g.n_prompt,
                    .n_reply = g.n_id };
    wd_digest_hex(&file.digest, l.prompt_digest);
    wd_clock_iso8601(l.created);
    wd_buf text = { 0 };
    wd_utf8_sanitize(wd_buf_view(&g.reply.content), &text);
    wd_parsed_free(&g.reply);
    l.raw = text.failed ? NULL : wd_arena_strndup(a, (const char *)text.p, text.n);
    wd_buf_wipe(&text);
    if (l.raw)
        (void)wd_lesson_parse(wd_span_str(l.raw), cards, a, &l); /* l.parsed tells */
    if (!l.raw)
        return no_memory(err);
    *out = l;
    return WD_OK;
}
