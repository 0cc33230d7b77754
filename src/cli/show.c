/* How a generation is shown. */
#include "cli/show.h"

#include <math.h>

#include "care/boxes.h"
#include "text/tokenizer.h"

void wd_show_begin(wd_show *s, bool quiet)
{
    *s = (wd_show){ .quiet = quiet };
}

static void on_progress(void *self, wd_stage stage, uint64_t done, uint64_t total)
{
    static const char *const what[] = { "reading", "seeing", "prefill", "writing" };
    static const char *const unit[] = { "pictures", "visual tokens", "tokens", "tokens" };
    wd_show *s = self;
    if (stage == WD_STAGE_DECODE && !s->quiet) { /* the text itself shows that */
        wd_show_end(s);
        return;
    }
    if (!s->in_stage || s->stage != stage) {
        wd_progress_end(&s->progress);
        wd_progress_begin(&s->progress, what[stage], unit[stage]);
        s->stage = stage;
        s->in_stage = true;
    }
    wd_progress_at(&s->progress, done, total);
}

static wd_status on_event(void *self, const wd_parse_event *ev, wd_err *err)
{
    wd_show *s = self;
    if (s->quiet)
        return WD_OK;
    if (ev->kind == WD_PARSE_REASONING) {
        s->in_reasoning = true;
        fwrite(ev->text.p, 1, ev->text.n, stderr);
        return WD_OK;
    }
    if (ev->kind != WD_PARSE_CONTENT)
        return WD_OK;
    if (s->in_reasoning)
        fputs("\n\n", stderr);
    s->in_reasoning = false;
    return wd_cli_print(ev->text, err);
}

wd_watch wd_show_watch(wd_show *s)
{
    return (wd_watch){ .cancel = &wd_cli_cancelled, .progress = on_progress, .event = on_event, .self = s };
}

void wd_show_end(wd_show *s)
{
    wd_progress_end(&s->progress);
    s->in_stage = false;
}

wd_status wd_show_text_end(wd_show *s, const wd_generated *g, wd_err *err)
{
    wd_buf b = { 0 };
    wd_buf_char(&b, '\n');
    for (size_t i = 0; i < g->reply.n_call; i++)
        wd_buf_printf(&b, "call %s(%s)\n", g->reply.call[i].name, g->reply.call[i].args);
    wd_status st = wd_buf_check(&b, "reply", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(&b), err);
    wd_buf_wipe(&b);
    if (g->finish == WD_FINISH_LENGTH)
        fprintf(stderr, "[cut after %zu tokens]\n", g->n_id);
    s->in_reasoning = false;
    return st;
}

static json_t *ids(const uint32_t *id, size_t n)
{
    if (!id)
        return json_null();
    json_t *a = json_array();
    for (size_t i = 0; a && i < n; i++)
        json_array_append_new(a, json_integer(id[i]));
    return a;
}

static json_t *text(const wd_buf *b)
{
    return json_stringn(b->n ? (const char *)b->p : "", b->n);
}

/* -inf has no JSON form: the least double stands for it. */
static json_t *logprob(float v)
{
    return json_real(isfinite(v) ? (double)v : -1.7976931348623157e308);
}

static json_t *one_logprob(uint32_t id, const wd_token_logprob *l)
{
    json_t *top = json_array();
    for (uint32_t k = 0; top && k < l->n_top; k++)
        json_array_append_new(
            top, json_pack("{s:i, s:o}", "id", (int)l->top[k].id, "logprob", logprob(l->top[k].logprob)));
    return json_pack("{s:i, s:o, s:o}", "id", (int)id, "logprob", logprob(l->logprob), "top", top);
}

static json_t *logprobs(const uint32_t *id, const wd_token_logprob *l, size_t n, size_t first)
{
    json_t *a = json_array();
    for (size_t i = 0; a && i < n; i++)
        json_array_append_new(a, i < first ? json_null() : one_logprob(id[i], &l[i]));
    return a;
}

static json_t *tool_calls(const wd_parsed *r)
{
    json_t *a = json_array();
    for (size_t i = 0; a && i < r->n_call; i++) {
        char name[32];
        snprintf(name, sizeof name, "call_%zu", i);
        json_array_append_new(a,
                              json_pack("{s:s, s:s, s:{s:s, s:s}}", "id", name, "type", "function",
                                        "function", "name", r->call[i].name, "arguments", r->call[i].args));
    }
    return a;
}

static double rate(size_t n, double s)
{
    return s > 0 ? (double)n / s : 0;
}

static json_t *timings(const wd_generated *g, const wd_runtime *rt)
{
    const wd_timings *t = &g->timings;
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "load", wd_runtime_load_s(rt), "preprocess",
                     t->preprocess_s, "vision", t->vision_s, "prefill", t->prefill_s, "decode", t->decode_s,
                     "vision_tokens_per_s", rate(g->n_visual, t->vision_s), "prefill_tokens_per_s",
                     rate(g->n_prompt - g->n_cached, t->prefill_s), "decode_tokens_per_s",
                     rate(g->n_id ? g->n_id - 1 : 0, t->decode_s));
}

/* Boxes of a reply about a single picture, in its pixels. */
static wd_status boxes(const wd_generated *g, const wd_generate *rq, json_t **out, wd_err *err)
{
    wd_arena *a = wd_arena_create((size_t)1 << 20, true);
    if (!a)
        return WD_FAIL(err, WD_E_NOMEM, "boxes: no memory");
    wd_box *box;
    size_t n, n_bad;
    const wd_image *im = rq->media.image;
    const wd_status st = wd_boxes_read(wd_buf_view(&g->reply.content), im->width, im->height, a, &box, &n,
                                       &n_bad, err);
    json_t *list = json_array();
    for (size_t i = 0; !st && list && i < n; i++)
        json_array_append_new(list, json_pack("{s:s, s:[f, f, f, f]}", "label", box[i].label, "pixels",
                                              box[i].x1, box[i].y1, box[i].x2, box[i].y2));
    wd_arena_destroy(a);
    *out = list;
    return st;
}

wd_status wd_show_json(const wd_generated *g, const wd_generate *rq, const wd_runtime *rt, wd_err *err)
{
    json_t *usage = json_pack("{s:I, s:I, s:I, s:{s:I}, s:{s:I, s:I}}", "prompt_tokens",
                              (json_int_t)g->n_prompt, "completion_tokens", (json_int_t)g->n_id,
                              "total_tokens", (json_int_t)(g->n_prompt + g->n_id), "prompt_tokens_details",
                              "cached_tokens", (json_int_t)g->n_cached, "completion_tokens_details",
                              "accepted_prediction_tokens", (json_int_t)g->n_guess_right,
                              "rejected_prediction_tokens", (json_int_t)(g->n_guess - g->n_guess_right));
    json_t *v = json_pack("{s:o, s:o, s:o, s:o, s:o, s:s, s:o, s:o}", "prompt_tokens",
                          ids(g->prompt_id, g->n_prompt), "tokens", ids(g->id, g->n_id), "text",
                          text(&g->reply.content), "reasoning", text(&g->reply.reasoning), "tool_calls",
                          tool_calls(&g->reply), "finish_reason", wd_finish_name(g->finish), "usage", usage,
                          "timings", timings(g, rt));
    if (v && rq->media.n_image == 1 && rq->media.n_video == 0) {
        json_t *found = NULL;
        const wd_status st = boxes(g, rq, &found, err);
        json_object_set_new(v, "boxes", found);
        if (st) {
            json_decref(v);
            return st;
        }
    }
    if (v && rq->logprobs)
        json_object_set_new(v, "logprobs", logprobs(g->id, g->logprob, g->n_id, 0));
    if (v && rq->prompt_logprobs)
        json_object_set_new(v, "prompt_logprobs", logprobs(g->prompt_id, g->prompt_logprob, g->n_prompt, 1));
    return wd_cli_print_json(v, err);
}
