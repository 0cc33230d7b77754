/* Asking a model, as every story does. */
#include "care/ask.h"

#include "base/clock.h"
#include "base/utf8.h"

#define PROMPT_BYTES_MAX ((size_t)4 << 20)
static const char images_mark[] = "{{images}}";

static wd_status add_text(const wd_prompt_file *f, wd_span text, const wd_prompt_value *value, size_t n_value,
                          wd_arena *a, wd_part *part, size_t *n, wd_err *err)
{
    wd_buf b = { .max = PROMPT_BYTES_MAX };
    wd_status st = wd_prompt_file_fill(f, text, value, n_value, &b, err);
    const char *kept = st ? NULL : wd_arena_strndup(a, (const char *)b.p, b.n);
    if (!st && !kept)
        st = WD_FAIL(err, WD_E_NOMEM, "%s: no memory", f->path);
    if (!st && b.n)
        part[(*n)++] = (wd_part){ WD_PART_TEXT, wd_span_of(kept, b.n) };
    wd_buf_wipe(&b);
    return st;
}

wd_status wd_ask_message(const wd_prompt_file *f, const wd_prompt_value *value, size_t n_value,
                         const char *const *label, uint32_t n_image, wd_arena *a, wd_message *out,
                         wd_err *err)
{
    const size_t at = n_image ? wd_span_find(f->user, wd_span_str(images_mark), 0) : f->user.n;
    if (at == SIZE_MAX)
        return WD_FAIL(err, WD_E_INVALID, "%s: the [user] part has no %s", f->path, images_mark);
    wd_part *part = WD_NEW_N(a, wd_part, 2 * (size_t)n_image + 2);
    size_t n = 0;
    if (!part)
        return WD_FAIL(err, WD_E_NOMEM, "%s: no memory", f->path);
    WD_TRY(add_text(f, wd_span_sub(f->user, 0, at), value, n_value, a, part, &n, err));
    for (uint32_t i = 0; i < n_image; i++) {
        part[n++] = (wd_part){ WD_PART_TEXT, wd_span_str(label[i]) };
        part[n++] = (wd_part){ .kind = WD_PART_IMAGE };
    }
    if (n_image)
        WD_TRY(add_text(f, wd_span_sub(f->user, at + sizeof images_mark - 1, f->user.n), value, n_value, a,
                        part, &n, err));
    *out = (wd_message){ .role = WD_ROLE_USER, .part = part, .n_part = n, .is_list = n_image > 0 };
    return WD_OK;
}

void wd_origin_begin(wd_origin *g, const wd_engine *e, const wd_ask_opts *o, const wd_prompt_file *f)
{
    *g = (wd_origin){ .language = o->language,
                      .model = e ? e->info.name : NULL,
                      .model_digest = o->model_digest };
    if (f)
        wd_digest_hex(&f->digest, g->prompt_digest);
    wd_clock_iso8601(g->created);
}

wd_status wd_ask(wd_engine *e, const wd_ask_opts *o, wd_generate *rq, wd_arena *a, wd_origin *g,
                 wd_parsed *reply, wd_err *err)
{
    rq->chat.enable_thinking = WD_OFF;
    rq->sample = e->info.sample;
    if (o->temperature >= 0)
        rq->sample.temperature = (float)o->temperature;
    rq->sample.seed = o->seed;
    rq->max_tokens = o->max_tokens;
    rq->watch = o->watch;
    wd_generated r;
    WD_TRY(e->generate(e->self, a, rq, &r, err));
    g->cut = r.finish == WD_FINISH_LENGTH;
    g->timings.preprocess_s += r.timings.preprocess_s;
    g->timings.vision_s += r.timings.vision_s;
    g->timings.prefill_s += r.timings.prefill_s;
    g->timings.decode_s += r.timings.decode_s;
    g->n_prompt += r.n_prompt;
    g->n_reply += r.n_id;
    *reply = r.reply;
    return WD_OK;
}

wd_status wd_ask_text(wd_engine *e, const wd_ask_opts *o, wd_span system, const wd_message *user,
                      const wd_media *media, wd_arena *a, wd_origin *g, const char **text, wd_err *err)
{
    wd_part part = { WD_PART_TEXT, system };
    const wd_message message[2] = { wd_message_text(WD_ROLE_SYSTEM, system, &part), *user };
    wd_generate rq = { .chat = { .message = system.n ? message : message + 1,
                                 .n_message = 1 + (system.n > 0) },
                       .media = *media };
    wd_parsed reply;
    WD_TRY(wd_ask(e, o, &rq, a, g, &reply, err));
    wd_buf b = { 0 };
    wd_utf8_sanitize(wd_buf_view(&reply.content), &b);
    wd_parsed_free(&reply);
    *text = b.failed ? NULL : wd_arena_strndup(a, (const char *)b.p, b.n);
    wd_buf_wipe(&b);
    return *text ? WD_OK : WD_FAIL(err, WD_E_NOMEM, "no memory for the model's reply");
}
