/* The story "report". */
#include "care/report.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "care/prompt_file.h"

#define PROMPT_BYTES_MAX ((size_t)4 << 20)

typedef struct prompt {
    wd_message message[2];
    wd_part *part; /* of the user's message */
    size_t n_part;
    wd_image *image;
} prompt;

/* "CT slice 12 (lung)" before each picture: the number that a finding may cite. */
static const char *label(wd_arena *a, const wd_report_opts *o, const wd_slice_picture *p)
{
    const bool zh = !strcmp(o->language, "zh");
    const char *window = p->window[0] ? p->window : "";
    if (zh)
        return wd_arena_printf(a, *window ? "第 %u 层（%s）：" : "第 %u 层：", p->slice + 1, window);
    return wd_arena_printf(a, *window ? "Slice %u (%s): " : "Slice %u: ", p->slice + 1, window);
}

static wd_span or_unknown(const wd_report_opts *o, const char *s)
{
    if (s && *s)
        return wd_span_str(s);
    return !strcmp(o->language, "zh") ? WD_SPAN_LIT("无") : WD_SPAN_LIT("none given");
}

/* The user's message: text before {{images}}, each picture with its label, text after. */
static wd_status user_parts(const wd_prompt_file *f, const wd_report_opts *o, const wd_slices *s, wd_arena *a,
                            prompt *out, wd_err *err)
{
    char numbers[2][16];
    snprintf(numbers[0], sizeof numbers[0], "%u", s->n_slice);
    snprintf(numbers[1], sizeof numbers[1], "%u", s->series->n_slice);
    const wd_prompt_value values[] = {
        { "modality", or_unknown(o, s->series->modality) },
        { "body_part", or_unknown(o, s->series->body_part) },
        { "series", or_unknown(o, s->series->description) },
        { "n_slices", wd_span_str(numbers[0]) },
        { "n_series_slices", wd_span_str(numbers[1]) },
        { "question", or_unknown(o, o->question) },
        { "earlier", or_unknown(o, o->earlier) },
    };
    const size_t at = wd_span_find(f->user, WD_SPAN_LIT("{{images}}"), 0);
    if (at == SIZE_MAX)
        return WD_FAIL(err, WD_E_INVALID, "%s: the [user] part has no {{images}}", f->path);
    const wd_span half[2] = { wd_span_sub(f->user, 0, at), wd_span_sub(f->user, at + 10, f->user.n) };
    out->part = WD_NEW_N(a, wd_part, 2 * (size_t)s->n_picture + 2);
    out->image = WD_NEW_N(a, wd_image, s->n_picture);
    if (!out->part || !out->image)
        return WD_FAIL(err, WD_E_NOMEM, "report: no memory");
    for (int h = 0; h < 2; h++) {
        wd_buf b = { .max = PROMPT_BYTES_MAX };
        wd_status st = wd_prompt_file_fill(f, half[h], values, WD_COUNT(values), &b, err);
        const char *text = st ? NULL : wd_arena_strndup(a, (const char *)b.p, b.n);
        if (!st && !text)
            st = WD_FAIL(err, WD_E_NOMEM, "report: no memory");
        if (!st && b.n)
            out->part[out->n_part++] = (wd_part){ WD_PART_TEXT, wd_span_of(text, b.n) };
        wd_buf_wipe(&b);
        WD_TRY(st);
        for (uint32_t i = 0; h == 0 && i < s->n_picture; i++) {
            const char *l = label(a, o, &s->picture[i]);
            if (!l)
                return WD_FAIL(err, WD_E_NOMEM, "report: no memory");
            out->part[out->n_part++] = (wd_part){ WD_PART_TEXT, wd_span_str(l) };
            out->part[out->n_part++] = (wd_part){ .kind = WD_PART_IMAGE };
            out->image[i] = s->picture[i].image;
        }
    }
    return WD_OK;
}

static wd_status build_prompt(const wd_report_opts *o, const wd_slices *s, wd_arena *a, prompt *out,
                              wd_prompt_file *f, wd_err *err)
{
    WD_TRY(wd_prompt_file_read(o->prompt_path, a, f, err));
    WD_TRY(user_parts(f, o, s, a, out, err));
    wd_part *system = WD_NEW(a, wd_part);
    if (!system)
        return WD_FAIL(err, WD_E_NOMEM, "report: no memory");
    *system = (wd_part){ WD_PART_TEXT, f->system };
    out->message[0] = wd_message_text(WD_ROLE_SYSTEM, f->system, system);
    out->message[1] = (wd_message){
        .role = WD_ROLE_USER, .part = out->part, .n_part = out->n_part, .is_list = true
    };
    return WD_OK;
}

wd_status wd_report_make(wd_engine *e, const wd_study *study, const wd_report_opts *o, wd_arena *a,
                         wd_report *out, wd_err *err)
{
    wd_slices *shown = WD_NEW(a, wd_slices);
    if (!shown)
        return WD_FAIL(err, WD_E_NOMEM, "report: no memory");
    WD_TRY(wd_slices_pick(study, &o->slices, a, shown, err));
    prompt p = { 0 };
    wd_prompt_file file;
    WD_TRY(build_prompt(o, shown, a, &p, &file, err));

    wd_generate rq = { .chat = { .message = p.message, .n_message = 2, .enable_thinking = WD_OFF },
                       .media = { .image = p.image, .n_image = shown->n_picture },
                       .sample = e->info.sample,
                       .max_tokens = o->max_tokens,
                       .watch = o->watch };
    if (o->temperature >= 0)
        rq.sample.temperature = (float)o->temperature;
    rq.sample.seed = o->seed;
    wd_generated g;
    WD_TRY(e->generate(e->self, a, &rq, &g, err));

    wd_report r = { .shown = shown,
                    .model = e->info.name,
                    .language = o->language,
                    .question = o->question,
                    .model_digest = o->model_digest,
                    .cut = g.finish == WD_FINISH_LENGTH,
                    .timings = g.timings,
                    .n_prompt = g.n_prompt,
                    .n_reply = g.n_id };
    wd_digest_hex(&file.digest, r.prompt_digest);
    wd_clock_iso8601(r.created);
    const wd_span reply = wd_buf_view(&g.reply.content);
    r.raw = wd_arena_strndup(a, (const char *)reply.p, reply.n);
    if (r.raw)
        (void)wd_report_parse(reply, shown, a, &r); /* r.parsed tells */
    wd_parsed_free(&g.reply);
    if (!r.raw)
        return WD_FAIL(err, WD_E_NOMEM, "report: no memory");
    *out = r;
    return WD_OK;
}
