/* The engine that knows the answers. */
#include "care/eval/oracle.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"

#define STREAM_BYTES ((size_t)1 << 20)
#define RECORD_FPS \
    2.0 /* frames of a video that are written: what the models' processors take when nobody says */
#define RECORD_MIN_FRAMES 4u
#define RECORD_MAX_FRAMES 768u
#define EMBED_DIM 8u

typedef struct expected {
    struct expected *next;
    double score;
    bool is_score;
    size_t n;
    char *text; /* NULL for a score */
} expected;

struct wd_oracle {
    wd_engine engine;
    wd_engine *inner; /* answers, and the oracle only writes down; NULL: the oracle answers */
    expected *first, **last;
    size_t n_expected;
    bool lost; /* an expectation could not be kept: no memory */
    /* the case */
    const char *suite;
    char *case_name;
    uint64_t seed;
    const json_t *truth;
    /* the record */
    FILE *file;
    bool is_stdout, closed;
    int failed; /* errno of the first failed write */
    char *path;
};

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "oracle: no memory");
}

static void forget(wd_oracle *o)
{
    while (o->first) {
        expected *e = o->first;
        o->first = e->next;
        wd_free(e->text);
        wd_free(e);
    }
    o->last = &o->first;
    o->n_expected = 0;
    o->lost = false;
}

/* Takes what->text over. */
static void expect(wd_oracle *o, const expected *what)
{
    expected *e = WD_ALLOC(expected);
    if (!e || (!what->is_score && !what->text)) {
        wd_free(what->text);
        wd_free(e);
        o->lost = true;
        return;
    }
    *e = *what;
    *o->last = e;
    o->last = &e->next;
    o->n_expected++;
}

void wd_oracle_expect(wd_oracle *o, wd_span reply)
{
    char *text = wd_calloc(reply.n + 1, 1);
    if (text && reply.n)
        memcpy(text, reply.p, reply.n);
    expect(o, &(expected){ .text = text, .n = reply.n });
}

void wd_oracle_expect_score(wd_oracle *o, double score)
{
    expect(o, &(expected){ .score = score, .is_score = true });
}

size_t wd_oracle_n_expected(const wd_oracle *o)
{
    return o->n_expected;
}

void wd_oracle_case(wd_oracle *o, const char *suite, const char *case_name, uint64_t seed)
{
    forget(o);
    o->suite = suite;
    wd_free(o->case_name);
    o->case_name = wd_strdup(case_name);
    o->seed = seed;
    o->truth = NULL;
}

void wd_oracle_truth(wd_oracle *o, const json_t *truth)
{
    o->truth = truth;
}

/* ---- the record ---- */

static wd_status record_error(const wd_oracle *o, wd_err *err)
{
    const char *where = o->is_stdout ? "standard output" : o->path;
    if (o->closed)
        return WD_FAIL(err, WD_E_IO, "%s: the reader of the record has closed it; stopped", where);
    return WD_FAIL(err, WD_E_IO, "%s: cannot write the record: %s", where, strerror(o->failed));
}

static wd_status put(wd_oracle *o, const void *p, size_t n, wd_err *err)
{
    if (o->failed)
        return record_error(o, err);
    if (n && fwrite(p, 1, n, o->file) != n) {
        o->failed = errno ? errno : EIO;
        o->closed = o->failed == EPIPE;
        return record_error(o, err);
    }
    return WD_OK;
}

wd_status wd_oracle_flush(wd_oracle *o, wd_err *err)
{
    if (!o->file)
        return WD_OK;
    if (!o->failed && fflush(o->file) != 0) {
        o->failed = errno ? errno : EIO;
        o->closed = o->failed == EPIPE;
    }
    return o->failed ? record_error(o, err) : WD_OK;
}

bool wd_oracle_failed(const wd_oracle *o)
{
    return o->failed != 0;
}

static json_t *text_json(wd_span s)
{
    return json_stringn(s.n ? (const char *)s.p : "", s.n);
}

static json_t *part_json(const wd_part *p)
{
    static const char *const kinds[] = { "text", "image", "video" };
    json_t *v = json_pack("{s:s}", "type", kinds[p->kind]);
    if (v && p->kind == WD_PART_TEXT && json_object_set_new(v, "text", text_json(p->text))) {
        json_decref(v);
        v = NULL;
    }
    return v;
}

static json_t *parts_json(const wd_part *part, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; a && i < n; i++) {
        if (json_array_append_new(a, part_json(&part[i]))) {
            json_decref(a);
            a = NULL;
        }
    }
    return a;
}

static json_t *given_json(const wd_chat_json *v)
{
    if (v->value)
        return json_deep_copy(v->value);
    return v->text.n ? json_loadb((const char *)v->text.p, v->text.n, JSON_DECODE_ANY, NULL) : NULL;
}

static json_t *calls_json(const wd_message *m)
{
    json_t *a = json_array();
    for (size_t i = 0; a && i < m->n_call; i++) {
        json_t *args = given_json(&m->call[i].args), *v = json_object();
        if (json_object_set_new(v, "name", text_json(m->call[i].name)) ||
            json_object_set_new(v, "arguments", args ? args : json_object()) || json_array_append(a, v)) {
            json_decref(a);
            a = NULL;
        }
        json_decref(v);
    }
    return a;
}

static json_t *message_json(const wd_message *m)
{
    static const char *const roles[] = { "system", "user", "assistant", "tool" };
    json_t *content = m->is_list || m->n_part != 1 ? parts_json(m->part, m->n_part)
                                                   : text_json(m->part[0].text);
    json_t *v = json_pack("{s:s, s:o}", "role", roles[m->role], "content", content);
    bool bad = !v;
    if (!bad && m->has_reasoning)
        bad = json_object_set_new(v, "reasoning_content", text_json(m->reasoning)) != 0;
    if (!bad && m->n_call)
        bad = json_object_set_new(v, "tool_calls", calls_json(m)) != 0;
    if (bad) {
        json_decref(v);
        v = NULL;
    }
    return v;
}

static json_t *messages_json(const wd_chat *c)
{
    json_t *a = json_array();
    for (size_t i = 0; a && i < c->n_message; i++) {
        if (json_array_append_new(a, message_json(&c->message[i]))) {
            json_decref(a);
            a = NULL;
        }
    }
    return a;
}

static json_t *images_json(const wd_media *const *media, size_t n)
{
    json_t *a = json_array();
    for (size_t k = 0; a && k < n; k++)
        for (uint32_t i = 0; a && i < media[k]->n_image; i++)
            json_array_append_new(a, json_pack("{s:i, s:i}", "width", (int)media[k]->image[i].width, "height",
                                               (int)media[k]->image[i].height));
    return a;
}

/* Evenly from the first to the last frame, two per second. */
static uint32_t n_frames(const wd_video_source *v)
{
    const double fps = v->fps > 0 ? v->fps : 24;
    const double n = (double)v->n_frame / fps * RECORD_FPS;
    const uint32_t wanted = (uint32_t)fmin(fmax(n, RECORD_MIN_FRAMES), RECORD_MAX_FRAMES);
    return v->n_frame < wanted ? (uint32_t)v->n_frame : wanted;
}

static uint64_t frame_at(const wd_video_source *v, uint32_t i, uint32_t n)
{
    return n < 2 ? 0 : (uint64_t)llround((double)i * (double)(v->n_frame - 1) / (n - 1));
}

static json_t *videos_json(const wd_media *const *media, size_t n)
{
    json_t *a = json_array();
    for (size_t k = 0; a && k < n; k++) {
        for (uint32_t i = 0; a && i < media[k]->n_video; i++) {
            const wd_video_source *v = &media[k]->video[i];
            json_t *frames = json_array();
            const uint32_t nf = n_frames(v);
            for (uint32_t f = 0; frames && f < nf; f++)
                json_array_append_new(frames, json_integer((json_int_t)frame_at(v, f, nf)));
            json_array_append_new(a, json_pack("{s:i, s:i, s:f, s:o}", "width", (int)v->width, "height",
                                               (int)v->height, "fps", v->fps, "frames", frames));
        }
    }
    return a;
}

static wd_status put_frame(void *ctx, uint32_t i, const wd_image *frame, wd_err *err)
{
    (void)i;
    return put(ctx, frame->rgb, (size_t)frame->width * frame->height * 3, err);
}

static wd_status put_media(wd_oracle *o, const wd_media *m, wd_err *err)
{
    for (uint32_t i = 0; i < m->n_image; i++)
        WD_TRY(put_frame(o, i, &m->image[i], err));
    return WD_OK;
}

static wd_status put_videos(wd_oracle *o, wd_arena *a, const wd_media *m, wd_err *err)
{
    for (uint32_t i = 0; i < m->n_video; i++) {
        const wd_video_source *v = &m->video[i];
        const uint32_t n = n_frames(v);
        uint64_t *index = WD_NEW_N(a, uint64_t, n);
        if (!index)
            return no_memory(err);
        for (uint32_t f = 0; f < n; f++)
            index[f] = frame_at(v, f, n);
        WD_TRY(v->frames(v->self, index, n, put_frame, o, err));
    }
    return WD_OK;
}

/* Writes `call` (given up), completed by what all records have, and the pictures. */
static wd_status record(wd_oracle *o, wd_arena *a, const char *name, json_t *call,
                        const wd_media *const *media, size_t n_media, wd_err *err)
{
    json_t *v = json_pack("{s:s, s:s, s:I, s:s}", "suite", o->suite ? o->suite : "", "case",
                          o->case_name ? o->case_name : "", "seed", (json_int_t)o->seed, "call", name);
    bool bad = !v || !call || json_object_update(v, call) ||
               json_object_set_new(v, "images", images_json(media, n_media)) ||
               json_object_set_new(v, "videos", videos_json(media, n_media));
    if (!bad && o->truth)
        bad = json_object_set_new(v, "truth", json_deep_copy(o->truth)) != 0;
    json_decref(call);
    wd_buf line = { 0 };
    wd_status st = bad ? no_memory(err) : wd_json_write(v, JSON_COMPACT, &line, err);
    json_decref(v);
    wd_buf_char(&line, '\n');
    if (!st)
        st = wd_buf_check(&line, "record", err);
    if (!st)
        st = put(o, line.p, line.n, err);
    wd_buf_free(&line);
    for (size_t k = 0; !st && k < n_media; k++)
        st = put_media(o, media[k], err);
    for (size_t k = 0; !st && k < n_media; k++)
        st = put_videos(o, a, media[k], err);
    if (!st)
        o->truth = NULL;
    return st;
}

/* ---- the engine ---- */

/* The next expectation, which the caller frees. */
static wd_status next(wd_oracle *o, bool is_score, expected **out, wd_err *err)
{
    if (o->lost)
        return no_memory(err);
    expected *e = o->first;
    if (!e || e->is_score != is_score)
        return WD_FAIL(err, WD_E_INTERNAL, "oracle: asked for a %s, but %s is expected next",
                       is_score ? "score" : "reply",
                       !e            ? "nothing"
                       : e->is_score ? "a score"
                                     : "a reply");
    o->first = e->next;
    if (!o->first)
        o->last = &o->first;
    o->n_expected--;
    *out = e;
    return WD_OK;
}

static void release(expected *e)
{
    if (e)
        wd_free(e->text);
    wd_free(e);
}

typedef struct reply_sink {
    wd_parsed *parsed;
    const wd_watch *watch;
} reply_sink;

static wd_status on_piece(void *arg, const wd_parse_event *ev, wd_err *err)
{
    reply_sink *s = arg;
    WD_TRY(wd_parsed_collect(s->parsed, ev, err));
    return s->watch->event ? s->watch->event(s->watch->self, ev, err) : WD_OK;
}

static wd_status parse_reply(const wd_generate *rq, wd_span text, wd_parsed *out, wd_err *err)
{
    const wd_parse_opts po = { .no_tools = !rq->chat.tools.value && !rq->chat.tools.text.n };
    reply_sink sink = { out, &rq->watch };
    wd_parse *p = NULL;
    wd_status st = wd_parse_create(&po, on_piece, &sink, &p, err);
    if (!st)
        st = wd_parse_feed(p, text, err);
    if (!st)
        st = wd_parse_end(p, err);
    wd_parse_destroy(p);
    return st;
}

/* The prompt as a Qwen3-VL Instruct checkpoint reads it joins the call. */
static wd_status with_prompt(json_t **call, wd_status rendered, const wd_chat_text *t, wd_err *err)
{
    wd_status st = rendered;
    if (!st && (!*call || json_object_set_new(*call, "prompt", text_json(t->text))))
        st = no_memory(err);
    if (st) {
        json_decref(*call);
        *call = NULL;
    }
    return st;
}

static json_t *instructed(wd_span instruction)
{
    return json_pack("{s:o}", "instruction", text_json(instruction));
}

/* Adds the members of both to one object; either may be NULL for no memory. Both are given up. */
static json_t *joined(json_t *a, json_t *b)
{
    if (a && (!b || json_object_update(a, b))) {
        json_decref(a);
        a = NULL;
    }
    json_decref(b);
    return a;
}

static wd_status record_generate(wd_oracle *o, wd_arena *a, const wd_generate *rq, json_t *answer,
                                 wd_err *err)
{
    json_t *call = json_pack("{s:o}", "messages", messages_json(&rq->chat)),
           *tools = given_json(&rq->chat.tools);
    if (call && tools)
        json_object_set_new(call, "tools", tools);
    call = joined(call, answer);
    wd_chat chat = rq->chat;
    chat.kind = WD_CHAT_QWEN3_VL_INSTRUCT;
    wd_chat_text text;
    WD_TRY(with_prompt(&call, wd_chat_render(a, &chat, &text, err), &text, err));
    return record(o, a, "generate", call, (const wd_media *[]){ &rq->media }, 1, err);
}

static wd_status record_rerank(wd_oracle *o, wd_arena *a, const wd_rerank_pair *rq, double score, wd_err *err)
{
    json_t *call = joined(instructed(rq->instruction),
                          json_pack("{s:o, s:o, s:f}", "query",
                                    parts_json(rq->query.parts.part, rq->query.parts.n_part), "document",
                                    parts_json(rq->document.parts.part, rq->document.parts.n_part), "score",
                                    score));
    wd_chat_text text;
    WD_TRY(with_prompt(
        &call, wd_chat_vl_reranker(a, rq->instruction, rq->query.parts, rq->document.parts, &text, err),
        &text, err));
    return record(o, a, "rerank", call, (const wd_media *[]){ &rq->query.media, &rq->document.media }, 2,
                  err);
}

static wd_status record_embed(wd_oracle *o, wd_arena *a, const wd_embed *rq, const float *v, uint32_t dim,
                              wd_err *err)
{
    json_t *call = joined(instructed(rq->instruction),
                          json_pack("{s:o}", "item", parts_json(rq->item.parts.part, rq->item.parts.n_part)));
    json_t *vector = json_array();
    for (uint32_t i = 0; o->inner && i < dim; i++)
        json_array_append_new(vector, json_real((double)v[i]));
    if (o->inner)
        call = joined(call, json_pack("{s:O}", "vector", vector));
    json_decref(vector);
    wd_chat_text text;
    WD_TRY(
        with_prompt(&call, wd_chat_vl_embedding(a, rq->instruction, rq->item.parts, &text, err), &text, err));
    return record(o, a, "embed", call, (const wd_media *[]){ &rq->item.media }, 1, err);
}

static json_t *ids_json(const uint32_t *id, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; a && id && i < n; i++)
        json_array_append_new(a, json_integer(id[i]));
    return a;
}

/* What an engine replied. */
static json_t *answer_json(const wd_generated *g)
{
    return json_pack("{s:o, s:s, s:o, s:o}", "reply", text_json(wd_buf_view(&g->reply.content)), "finish",
                     wd_finish_name(g->finish), "prompt_ids", ids_json(g->prompt_id, g->n_prompt),
                     "reply_ids", ids_json(g->id, g->n_id));
}

static wd_status generate_inner(wd_oracle *o, wd_arena *a, const wd_generate *rq, wd_generated *out,
                                wd_err *err)
{
    wd_generated g;
    WD_TRY(o->inner->generate(o->inner->self, a, rq, &g, err));
    const wd_status st = record_generate(o, a, rq, answer_json(&g), err);
    if (st)
        wd_parsed_free(&g.reply);
    else
        *out = g;
    return st;
}

static wd_status generate(void *self, wd_arena *a, const wd_generate *rq, wd_generated *out, wd_err *err)
{
    wd_oracle *o = self;
    expected *e = NULL;
    if (o->inner)
        return generate_inner(o, a, rq, out, err);
    WD_TRY(next(o, false, &e, err));
    wd_status st = WD_OK;
    if (o->file)
        st = record_generate(o, a, rq, json_pack("{s:o}", "reply", json_stringn(e->text, e->n)), err);
    wd_generated r = { .finish = WD_FINISH_STOP };
    if (!st)
        st = parse_reply(rq, wd_span_of(e->text, e->n), &r.reply, err);
    release(e);
    if (st) {
        wd_parsed_free(&r.reply);
        return st;
    }
    if (r.reply.n_call)
        r.finish = WD_FINISH_TOOL_CALLS;
    *out = r;
    return WD_OK;
}

static wd_status rerank(void *self, wd_arena *a, const wd_rerank_pair *rq, double *score, size_t *n_token,
                        wd_err *err)
{
    wd_oracle *o = self;
    double answer;
    size_t n = 0;
    if (o->inner) {
        WD_TRY(o->inner->rerank(o->inner->self, a, rq, &answer, &n, err));
    } else {
        expected *e = NULL;
        WD_TRY(next(o, true, &e, err));
        answer = e->score;
        release(e);
    }
    if (o->file)
        WD_TRY(record_rerank(o, a, rq, answer, err));
    *score = answer;
    *n_token = n;
    return WD_OK;
}

/* There is no right vector: without an engine every item gets the same one, for the record's sake. */
static wd_status embed(void *self, wd_arena *a, const wd_embed *rq, const float **out, uint32_t *dim,
                       size_t *n_token, wd_err *err)
{
    wd_oracle *o = self;
    const float *v;
    uint32_t n = EMBED_DIM;
    size_t n_prompt = 0;
    if (o->inner) {
        WD_TRY(o->inner->embed(o->inner->self, a, rq, &v, &n, &n_prompt, err));
    } else {
        float *same = WD_NEW_N(a, float, EMBED_DIM);
        if (!same)
            return no_memory(err);
        same[0] = 1;
        v = same;
    }
    if (o->file)
        WD_TRY(record_embed(o, a, rq, v, n, err));
    *out = v;
    *dim = n;
    *n_token = n_prompt;
    return WD_OK;
}

static void nothing(void *self)
{
    (void)self; /* the oracle owns its engine */
}

static wd_status open_record(wd_oracle *o, const char *record, wd_err *err)
{
    o->is_stdout = !strcmp(record, "-");
    o->path = wd_strdup(record);
    if (!o->path)
        return no_memory(err);
    o->file = o->is_stdout ? stdout : fopen(record, "wb");
    if (!o->file)
        return WD_FAIL(err, WD_E_IO, "%s: cannot write the record: %s", record, strerror(errno));
    setvbuf(o->file, NULL, _IOFBF, STREAM_BYTES);
    return WD_OK;
}

static wd_status create(const char *record, wd_engine *inner, wd_oracle **out, wd_err *err)
{
    *out = NULL;
    wd_oracle *o = WD_ALLOC(wd_oracle);
    if (!o)
        return no_memory(err);
    o->last = &o->first;
    o->inner = inner;
    o->engine = (wd_engine){ .self = o,
                             .generate = generate,
                             .embed = embed,
                             .rerank = rerank,
                             .destroy = nothing,
                             .info = { .name = "oracle",
                                       .chat_kind = "qwen3-vl-instruct",
                                       .sees = true,
                                       .n_embd = EMBED_DIM,
                                       .context = 1u << 20,
                                       .sample = WD_SAMPLE_OPTS_DEFAULT } };
    if (inner)
        o->engine.info = inner->info;
    const wd_status st = record ? open_record(o, record, err) : WD_OK;
    if (st) {
        wd_oracle_destroy(o);
        return st;
    }
    *out = o;
    return WD_OK;
}

wd_status wd_oracle_create(const char *record, wd_oracle **out, wd_err *err)
{
    return create(record, NULL, out, err);
}

wd_status wd_oracle_create_around(wd_engine *inner, const char *record, wd_oracle **out, wd_err *err)
{
    return create(record, inner, out, err);
}

void wd_oracle_destroy(wd_oracle *o)
{
    if (!o)
        return;
    forget(o);
    if (o->file && !o->is_stdout)
        (void)fclose(o->file);
    wd_free(o->case_name);
    wd_free(o->path);
    wd_free(o);
}

wd_engine *wd_oracle_engine(wd_oracle *o)
{
    return &o->engine;
}
