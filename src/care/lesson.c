/* The story "lesson": asking. */
#include "care/lesson.h"

#include <string.h>

/* "Card 2 (12.0-19.6 s): " before each picture: the number that a step cites. */
static const char *label(wd_arena *a, const char *language, uint32_t i, const wd_lesson_card *c)
{
    return wd_arena_printf(a, !strcmp(language, "zh") ? "卡片%u（%.1f-%.1f秒）：" : "Card %u (%.1f-%.1f s): ",
                           i + 1, c->start_s, c->end_s);
}

wd_status wd_lesson_ask(wd_engine *e, const wd_lesson_cards *cards, const wd_lesson_opts *o, wd_arena *a,
                        wd_lesson *out, wd_err *err)
{
    const uint32_t n = cards->n_card;
    const char *n_cards = wd_arena_printf(a, "%u", n), **labels = WD_NEW_N(a, const char *, n);
    wd_image *images = WD_NEW_N(a, wd_image, n);
    bool whole = n_cards && labels && images;
    for (uint32_t i = 0; whole && i < n; i++) {
        images[i] = cards->card[i].picture;
        whole = (labels[i] = label(a, o->ask.language, i, &cards->card[i])) != NULL;
    }
    if (!whole)
        return WD_FAIL(err, WD_E_NOMEM, "lesson: no memory");
    const wd_prompt_value values[] = { { "n_cards", wd_span_str(n_cards) } };
    wd_prompt_file file;
    wd_message message;
    WD_TRY(wd_prompt_file_read(o->ask.prompt_path, a, &file, err));
    WD_TRY(wd_ask_message(&file, values, WD_COUNT(values), labels, n, a, &message, err));

    wd_lesson l = { .cards = cards };
    const wd_media media = { .image = images, .n_image = n };
    wd_origin_begin(&l.origin, e, &o->ask, &file);
    WD_TRY(wd_ask_text(e, &o->ask, file.system, &message, &media, a, &l.origin, &l.raw, err));
    (void)wd_lesson_parse(wd_span_str(l.raw), cards, a, &l); /* l.parsed tells */
    *out = l;
    return WD_OK;
}
