/* The draft as JSON, Markdown and subtitles. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "care/lesson.h"
#include "media/png_write.h"

static json_t *text_or_null(const char *s)
{
    return s ? json_string(s) : json_null();
}

/* Times are measured to a tenth of a second or so: milliseconds are plenty. */
static json_t *seconds(double s)
{
    return json_real((double)(int64_t)(s * 1000 + 0.5) / 1000);
}

static json_t *video_json(const wd_lesson_cards *c)
{
    return json_pack("{s:i, s:i, s:o, s:o, s:s}", "width", (int)c->width, "height", (int)c->height, "fps",
                     seconds(c->fps), "duration_s", seconds(c->duration_s), "codec", c->codec);
}

static json_t *cards_json(const wd_lesson_cards *c)
{
    json_t *a = json_array();
    for (uint32_t i = 0; a && i < c->n_card; i++)
        wd_json_append(&a, json_pack("{s:i, s:o, s:o, s:o, s:b}", "card", (int)i + 1, "start_s",
                                     seconds(c->card[i].start_s), "end_s", seconds(c->card[i].end_s), "key_s",
                                     seconds(c->card[i].key_s), "without_cut", c->card[i].is_take));
    return a;
}

static json_t *steps_json(const wd_lesson *l)
{
    json_t *a = json_array();
    for (uint32_t i = 0; a && i < l->n_step; i++) {
        const wd_lesson_step *s = &l->step[i];
        json_t *cards = json_array();
        for (uint32_t k = s->first_card; cards && k <= s->last_card; k++)
            wd_json_append(&cards, json_integer(k));
        wd_json_append(&a,
                       json_pack("{s:i, s:s, s:o, s:o, s:o}", "n", (int)i + 1, "title", s->title, "start_s",
                                 seconds(s->start_s), "end_s", seconds(s->end_s), "cards", cards));
    }
    return a;
}

static json_t *terms_json(const wd_lesson *l)
{
    json_t *a = json_array();
    for (uint32_t i = 0; a && i < l->n_term; i++)
        wd_json_append(&a, json_pack("{s:s, s:s}", "term", l->term[i].term, "meaning", l->term[i].meaning));
    return a;
}

json_t *wd_lesson_json(const wd_lesson *l)
{
    json_t *tokens = json_pack("{s:I, s:I}", "prompt", (json_int_t)l->origin.n_prompt, "reply",
                               (json_int_t)l->origin.n_reply);
    return json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:i, s:b, s:o, s:s, s:o, s:o, s:s, s:i, s:b, s:b, s:s, s:s, s:o, s:s, "
        "s:o}",
        "status", "DRAFT", "created", l->origin.created, "language", l->origin.language, "video",
        video_json(l->cards), "cards", cards_json(l->cards), "shots_left_out", (int)l->cards->n_left_out,
        "parsed", l->parsed, "why_not_parsed", text_or_null(l->why_not), "title", l->title, "steps",
        steps_json(l), "terms", terms_json(l), "summary", l->summary, "dropped_steps", (int)l->n_dropped,
        "reordered", l->reordered, "cut", l->origin.cut, "raw", l->raw, "model", l->origin.model,
        "model_digest", text_or_null(l->origin.model_digest), "prompt_digest", l->origin.prompt_digest,
        "tokens", tokens);
}

/* The words of the page in the draft's language. */
typedef struct words {
    const char *draft, *note, *untitled, *steps, *terms, *summary, *none, *raw, *unparsed, *cut, *dropped,
        *reordered, *left_out;
} words;

static const words english = {
    "DRAFT",
    "Written by a program from pictures of the video; speech was not heard. To be checked by the editor "
    "before "
    "release. The video itself is unchanged: faces in it are not hidden.",
    "Teaching video",
    "Steps",
    "Words to know",
    "Summary",
    "(none)",
    "The model's text, unchanged",
    "The model's text could not be read as a lesson",
    "It was cut at the token limit.",
    "steps that cite a card which was not shown were removed",
    "The model told the steps in another order than the video.",
    "shorter shots were not shown to the model",
};
static const words chinese = {
    "草稿 (DRAFT)",
    "由程序根据视频画面起草，未听取语音，发布前须经编辑审核。视频本身未作改动，其中的人脸未做遮挡。",
    "教学视频",
    "步骤",
    "词语解释",
    "小结",
    "（无）",
    "模型原文（未改动）",
    "模型输出无法解析为教学步骤",
    "因达到长度上限而截断。",
    "个步骤引用了未显示的卡片，已删除",
    "模型给出的步骤顺序与视频不同。",
    "个较短的镜头未交给模型",
};

static const words *words_of(const wd_lesson *l)
{
    return !strcmp(l->origin.language, "zh") ? &chinese : &english;
}

/* Text from the model on one line: control characters become spaces. */
static void put_line(wd_buf *b, const char *s)
{
    for (; *s; s++)
        wd_buf_char(b, (uint8_t)*s < 0x20 || *s == 0x7F ? ' ' : *s);
}

static void put_clock(wd_buf *b, double s)
{
    const uint64_t tenths = (uint64_t)(s * 10 + 0.5);
    wd_buf_printf(b, "%u:%02u.%u", (unsigned)(tenths / 600), (unsigned)(tenths / 10 % 60),
                  (unsigned)(tenths % 10));
}

static void put_steps(const wd_lesson *l, const words *w, wd_buf *b)
{
    wd_buf_printf(b, "## %s\n\n", w->steps);
    for (uint32_t i = 0; i < l->n_step; i++) {
        wd_buf_printf(b, "%u. **", i + 1);
        put_clock(b, l->step[i].start_s);
        wd_buf_str(b, " - ");
        put_clock(b, l->step[i].end_s);
        wd_buf_str(b, "** ");
        put_line(b, l->step[i].title);
        wd_buf_char(b, '\n');
    }
    wd_buf_printf(b, "%s", l->n_step ? "" : w->none);
}

static void put_rest(const wd_lesson *l, const words *w, wd_buf *b)
{
    if (l->n_term)
        wd_buf_printf(b, "\n## %s\n\n", w->terms);
    for (uint32_t i = 0; i < l->n_term; i++) {
        wd_buf_str(b, "- **");
        put_line(b, l->term[i].term);
        wd_buf_str(b, "**: ");
        put_line(b, l->term[i].meaning);
        wd_buf_char(b, '\n');
    }
    if (l->summary[0]) {
        wd_buf_printf(b, "\n## %s\n\n", w->summary);
        put_line(b, l->summary);
        wd_buf_char(b, '\n');
    }
}

static void put_markdown(const wd_lesson *l, wd_buf *b)
{
    const words *w = words_of(l);
    wd_buf_str(b, "# ");
    put_line(b, l->title[0] ? l->title : w->untitled);
    wd_buf_printf(b, " - %s\n\n> %s\n\n", w->draft, w->note);
    if (l->parsed) {
        put_steps(l, w, b);
        put_rest(l, w, b);
    } else {
        wd_buf_printf(b, "**%s: %s.**%s%s\n\n## %s\n\n```\n%s\n```\n", w->unparsed, l->why_not,
                      l->origin.cut ? " " : "", l->origin.cut ? w->cut : "", w->raw, l->raw);
    }
    if (l->n_dropped)
        wd_buf_printf(b, "\n%u %s.\n", l->n_dropped, w->dropped);
    if (l->reordered)
        wd_buf_printf(b, "\n%s\n", w->reordered);
    if (l->cards->n_left_out)
        wd_buf_printf(b, "\n%u %s.\n", l->cards->n_left_out, w->left_out);
    wd_buf_printf(b, "\n---\nDRAFT, %s; model %s %s; prompt %s\n", l->origin.created, l->origin.model,
                  l->origin.model_digest ? l->origin.model_digest : "", l->origin.prompt_digest);
}

static void put_cue_time(wd_buf *b, double s)
{
    const uint64_t ms = (uint64_t)(s * 1000 + 0.5);
    wd_buf_printf(b, "%02llu:%02u:%02u.%03u", (unsigned long long)(ms / 3600000), (unsigned)(ms / 60000 % 60),
                  (unsigned)(ms / 1000 % 60), (unsigned)(ms % 1000));
}

/* Text of a cue: one line, with the three characters that mean something in WebVTT written as entities. */
static void put_cue_text(wd_buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '&')
            wd_buf_str(b, "&amp;");
        else if (*s == '<')
            wd_buf_str(b, "&lt;");
        else if (*s == '>')
            wd_buf_str(b, "&gt;");
        else
            wd_buf_char(b, (uint8_t)*s < 0x20 || *s == 0x7F ? ' ' : *s);
    }
}

/* Steps of the very same time share a cue. */
static void put_vtt(const wd_lesson *l, wd_buf *b)
{
    wd_buf_printf(b, "WEBVTT\n\nNOTE\n%s. %s\n", words_of(l)->draft, words_of(l)->note);
    for (uint32_t i = 0, k; i < l->n_step; i = k) {
        const wd_lesson_step *s = &l->step[i];
        wd_buf_printf(b, "\n%u\n", i + 1);
        put_cue_time(b, s->start_s);
        wd_buf_str(b, " --> ");
        put_cue_time(b, s->end_s);
        wd_buf_char(b, '\n');
        for (k = i; k < l->n_step && l->step[k].start_s == s->start_s && l->step[k].end_s == s->end_s; k++) {
            wd_buf_printf(b, "%u. ", k + 1);
            put_cue_text(b, l->step[k].title);
            wd_buf_char(b, '\n');
        }
    }
}

wd_status wd_lesson_text(const wd_lesson *l, wd_lesson_form form, wd_buf *out, wd_err *err)
{
    if (form == WD_LESSON_JSON) {
        json_t *v = wd_lesson_json(l);
        if (!v)
            return WD_FAIL(err, WD_E_NOMEM, "lesson: no memory");
        const wd_status st = wd_json_write(v, JSON_INDENT(2), out, err);
        json_decref(v);
        WD_TRY(st);
        wd_buf_char(out, '\n');
    } else if (form == WD_LESSON_MARKDOWN) {
        put_markdown(l, out);
    } else {
        put_vtt(l, out);
    }
    return wd_buf_check(out, "lesson", err);
}

static wd_status save_bytes(const char *dir, const char *name, wd_span bytes, wd_err *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", dir, name) >= (int)sizeof path)
        return WD_FAIL(err, WD_E_INVALID, "%s: the path is too long", dir);
    return wd_file_write(path, bytes, err);
}

wd_status wd_lesson_save(const wd_lesson *l, const char *dir, wd_err *err)
{
    static const char *const names[] = { "lesson.json", "lesson.md", "lesson.vtt" };
    WD_TRY(wd_file_mkdirs(dir, err));
    wd_status st = WD_OK;
    wd_buf b = { 0 };
    for (int form = 0; !st && form < (int)WD_COUNT(names); form++) {
        wd_buf_clear(&b);
        st = wd_lesson_text(l, (wd_lesson_form)form, &b, err);
        if (!st)
            st = save_bytes(dir, names[form], wd_buf_view(&b), err);
    }
    for (uint32_t i = 0; !st && i < l->cards->n_card; i++) {
        char name[32];
        snprintf(name, sizeof name, "card-%02u.png", i + 1);
        wd_buf_clear(&b);
        st = wd_png_write(&l->cards->card[i].picture, &b, err);
        if (!st)
            st = save_bytes(dir, name, wd_buf_view(&b), err);
    }
    wd_buf_wipe(&b);
    return st;
}
