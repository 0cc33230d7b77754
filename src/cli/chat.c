/* ward chat: one question, or a conversation. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/rand.h"
#include "cli/inputs.h"
#include "cli/runtime.h"
#include "cli/show.h"

#define PROMPT_BYTES_MAX ((size_t)64 << 20)
#define TURNS_MAX 1000

typedef struct options {
    wd_model_args m;
    wd_opt_list image, video, stop, logit_bias;
    const char *system, *tools, *window, *schema, *regex;
    wd_opt_tri think;
    bool add_vision_id, json, interactive, ignore_end, json_object;
    int64_t max_tokens, top_k, seed, logprobs, prompt_logprobs, slices;
    double temperature, top_p, min_p, repetition_penalty, presence_penalty, frequency_penalty;
} options;

#define AT(field) offsetof(options, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(options, m),
    { "image", 'i', WD_OPT_LIST, AT(image), NULL, 0, 0, "a picture, DICOM file, folder or ZIP" },
    { "video", 'v', WD_OPT_LIST, AT(video), NULL, 0, 0, "a video" },
    { "window", 0, WD_OPT_STR, AT(window), "file", 0, 0, "for DICOM: lung, mediastinum, bone, brain, ..., 40/400, file" },
    { "slices", 0, WD_OPT_INT, AT(slices), "8", 1, 1000, "most slices taken from a DICOM folder" },
    { "system", 's', WD_OPT_STR, AT(system), NULL, 0, 0, "system prompt" },
    { "tools", 0, WD_OPT_STR, AT(tools), NULL, 0, 0, "JSON file with an array of tools (functions)" },
    { "think", 0, WD_OPT_TRI, AT(think), NULL, 0, 0, "let a hybrid model reason first, or not" },
    { "add-vision-id", 0, WD_OPT_BOOL, AT(add_vision_id), "false", 0, 0, "number pictures and videos in the prompt" },
    { "max-tokens", 'n', WD_OPT_INT, AT(max_tokens), "0", 0, 1 << 24, "of the reply; 0: what the context leaves" },
    { "temperature", 't', WD_OPT_NUM, AT(temperature), "-1", -1, 100, "0: greedy; -1: the model's" },
    { "top-k", 0, WD_OPT_INT, AT(top_k), "-1", -1, 1 << 24, "-1: the model's; 0: all" },
    { "top-p", 0, WD_OPT_NUM, AT(top_p), "-1", -1, 1, "-1: the model's" },
    { "min-p", 0, WD_OPT_NUM, AT(min_p), "0", 0, 1, "least share of the best token's probability" },
    { "repetition-penalty", 0, WD_OPT_NUM, AT(repetition_penalty), "-1", -1, 100, "-1: the model's" },
    { "presence-penalty", 0, WD_OPT_NUM, AT(presence_penalty), "0", -100, 100, "for tokens already in the reply" },
    { "frequency-penalty", 0, WD_OPT_NUM, AT(frequency_penalty), "0", -100, 100, "times their count" },
    { "logit-bias", 0, WD_OPT_LIST, AT(logit_bias), NULL, 0, 0, "ID=BIAS" },
    { "seed", 0, WD_OPT_INT, AT(seed), "-1", -1, 0x1p62, "-1: from the system" },
    { "ignore-end", 0, WD_OPT_BOOL, AT(ignore_end), "false", 0, 0, "go on after an end token: for measuring" },
    { "stop", 0, WD_OPT_LIST, AT(stop), NULL, 0, 0, "end before this text" },
    { "schema", 0, WD_OPT_STR, AT(schema), NULL, 0, 0, "the reply is JSON that satisfies this JSON Schema file" },
    { "json-object", 0, WD_OPT_BOOL, AT(json_object), "false", 0, 0, "the reply is a JSON object" },
    { "regex", 0, WD_OPT_STR, AT(regex), NULL, 0, 0, "the reply is text that this regular expression matches" },
    { "logprobs", 0, WD_OPT_INT, AT(logprobs), "-1", -1, WD_SAMPLE_TOP_MAX, "K best of each token (with --json)" },
    { "prompt-logprobs", 0, WD_OPT_INT, AT(prompt_logprobs), "-1", -1, WD_SAMPLE_TOP_MAX, "the same for the prompt" },
    { "interactive", 0, WD_OPT_BOOL, AT(interactive), "false", 0, 0, "a conversation, read from standard input" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "one JSON object on standard output" },
};
/* clang-format on */

typedef struct session {
    wd_cli *cli;
    const options *o;
    wd_runtime *rt;
    wd_engine *engine;
    wd_generate rq;
    wd_show show;
    wd_message *message; /* [TURNS_MAX * 2 + 1] */
    wd_span *stops;
    wd_logit_bias *bias;
    json_t *tools;
    wd_constraint *constraint;
    double decode_s; /* pictures and videos opened, before the first question */
} session;

static wd_status no_memory(wd_err *err)
{
    return WD_FAIL(err, WD_E_NOMEM, "chat: no memory");
}

static wd_status parse_bias(session *s, wd_err *err)
{
    const wd_opt_list *l = &s->o->logit_bias;
    s->bias = WD_NEW_N(s->cli->arena, wd_logit_bias, l->n);
    if (!s->bias)
        return no_memory(err);
    for (size_t i = 0; i < l->n; i++) {
        char *end, *end2 = NULL;
        const long id = strtol(l->v[i], &end, 10);
        const double b = *end == '=' ? strtod(end + 1, &end2) : 0;
        if (end == l->v[i] || *end != '=' || end2 == end + 1 || *end2 || id < 0 || id > 0x7FFFFFFF)
            return WD_FAIL(err, WD_E_USAGE, "--logit-bias: \"%s\", expected ID=BIAS", l->v[i]);
        s->bias[i] = (wd_logit_bias){ (int32_t)id, (float)b };
    }
    return WD_OK;
}

/* --schema, --json-object, --regex: at most one of them. */
static wd_status read_constraint(session *s, wd_err *err)
{
    const options *o = s->o;
    if ((o->schema != NULL) + o->json_object + (o->regex != NULL) > 1)
        return WD_FAIL(err, WD_E_USAGE, "--schema, --json-object and --regex exclude each other");
    if (o->json_object)
        return wd_constraint_object(WD_SPACE_BOUNDED, &s->constraint, err);
    if (o->regex)
        return wd_constraint_regex(wd_span_str(o->regex), &s->constraint, err);
    if (!o->schema)
        return WD_OK;
    wd_buf text = { 0 };
    wd_status st = wd_file_read(o->schema, WD_SCHEMA_BYTES_MAX, &text, err);
    if (!st)
        st = wd_constraint_schema(wd_buf_view(&text), WD_SPACE_BOUNDED, &s->constraint, err);
    wd_buf_free(&text);
    return st;
}

static wd_status read_tools(session *s, wd_err *err)
{
    if (!s->o->tools)
        return WD_OK;
    WD_TRY(wd_json_read_file(s->o->tools, (size_t)16 << 20, &s->tools, err));
    if (!json_is_array(s->tools))
        return WD_FAIL(err, WD_E_INVALID, "%s: expected a JSON array of tools", s->o->tools);
    s->rq.chat.tools = (wd_chat_json){ .value = s->tools };
    return WD_OK;
}

static wd_status fill_request(session *s, wd_err *err)
{
    const options *o = s->o;
    wd_sample_opts *p = &s->rq.sample;
    *p = s->engine->info.sample;
    if (o->temperature >= 0)
        p->temperature = (float)o->temperature;
    if (o->top_k >= 0)
        p->top_k = (int32_t)o->top_k;
    if (o->top_p >= 0)
        p->top_p = (float)o->top_p;
    if (o->repetition_penalty >= 0)
        p->repetition_penalty = (float)o->repetition_penalty;
    p->min_p = (float)o->min_p;
    p->presence_penalty = (float)o->presence_penalty;
    p->frequency_penalty = (float)o->frequency_penalty;
    p->seed = o->seed >= 0 ? (uint64_t)o->seed : wd_rand_os_seed();
    WD_TRY(parse_bias(s, err));
    p->bias = s->bias;
    p->n_bias = (uint32_t)o->logit_bias.n;
    WD_TRY(read_tools(s, err));
    WD_TRY(read_constraint(s, err));
    s->rq.constraint = s->constraint;
    s->stops = WD_NEW_N(s->cli->arena, wd_span, o->stop.n);
    if (!s->stops)
        return no_memory(err);
    for (size_t i = 0; i < o->stop.n; i++)
        s->stops[i] = wd_span_str(o->stop.v[i]);
    s->rq.stop = s->stops;
    s->rq.n_stop = o->stop.n;
    s->rq.max_tokens = (uint32_t)o->max_tokens;
    s->rq.ignore_stop_ids = o->ignore_end;
    s->rq.logprobs = o->logprobs >= 0;
    s->rq.prompt_logprobs = o->prompt_logprobs >= 0;
    s->rq.n_top = (uint32_t)WD_MAX(WD_MAX(o->logprobs, o->prompt_logprobs), 0);
    s->rq.chat.enable_thinking = (wd_tristate)o->think;
    s->rq.chat.add_vision_id = o->add_vision_id;
    wd_show_begin(&s->show, o->json);
    s->rq.watch = wd_show_watch(&s->show);
    return WD_OK;
}

/* Appends a message whose text is copied; a user's first message carries the media. */
static wd_status add_message(session *s, wd_role role, wd_span text, const wd_media *media, wd_err *err)
{
    const size_t n_media = media ? media->n_image + media->n_video : 0;
    wd_part *part = WD_NEW_N(s->cli->arena, wd_part, n_media + 1);
    char *copy = wd_arena_strndup(s->cli->arena, (const char *)text.p, text.n);
    if (!part || !copy)
        return no_memory(err);
    for (size_t i = 0; i < n_media; i++)
        part[i].kind = i < media->n_image ? WD_PART_IMAGE : WD_PART_VIDEO;
    part[n_media] = (wd_part){ WD_PART_TEXT, wd_span_of(copy, text.n) };
    s->message[s->rq.chat.n_message++] = (wd_message){
        .role = role, .part = part, .n_part = n_media + 1, .is_list = n_media > 0
    };
    s->rq.chat.message = s->message;
    return WD_OK;
}

/* One reply to the messages so far; it becomes a message itself. */
static wd_status reply(session *s, wd_err *err)
{
    wd_arena *a = wd_arena_create((size_t)1 << 31, true);
    if (!a)
        return no_memory(err);
    wd_generated g;
    wd_status st = s->engine->generate(s->engine->self, a, &s->rq, &g, err);
    wd_show_end(&s->show);
    if (!st) {
        g.timings.preprocess_s += s->decode_s;
        if (s->o->json)
            st = wd_show_json(&g, &s->rq, s->rt, err);
        else
            st = wd_show_text_end(&s->show, &g, err);
        if (!st && s->o->interactive)
            st = add_message(s, WD_ROLE_ASSISTANT, wd_buf_view(&g.reply.content), NULL, err);
        wd_parsed_free(&g.reply);
    }
    wd_arena_destroy(a);
    return st;
}

static wd_status converse(session *s, const wd_media *media, wd_err *err)
{
    char *line = NULL;
    size_t cap = 0;
    wd_status st = WD_OK;
    const bool tty = isatty(STDIN_FILENO) == 1;
    for (int turn = 0; !st && turn < TURNS_MAX; turn++) {
        if (tty)
            fputs(turn ? "\n> " : "> ", stderr);
        const ssize_t n = getline(&line, &cap, stdin);
        if (n < 0 || atomic_load(&wd_cli_cancelled))
            break;
        const size_t len = (size_t)n - (n > 0 && line[n - 1] == '\n');
        if (len == 0)
            continue;
        st = add_message(s, WD_ROLE_USER, wd_span_of(line, len), turn ? NULL : media, err);
        if (!st)
            st = reply(s, err);
    }
    free(line); /* getline's own memory */
    return st;
}

/* The question: the operands joined by spaces, or all of standard input. */
static wd_status question(const wd_opt_list *rest, wd_buf *out, wd_err *err)
{
    for (size_t i = 0; i < rest->n; i++) {
        wd_buf_str(out, i ? " " : "");
        wd_buf_str(out, rest->v[i]);
    }
    if (rest->n)
        return wd_buf_check(out, "question", err);
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof part, stdin)) > 0;)
        wd_buf_put(out, part, n);
    if (ferror(stdin))
        return WD_FAIL(err, WD_E_IO, "standard input: cannot read");
    while (out->n && out->p[out->n - 1] == '\n')
        out->n--;
    return wd_buf_check(out, "question", err);
}

static wd_status converse_or_answer(session *s, const wd_opt_list *rest, wd_err *err)
{
    const options *o = s->o;
    wd_inputs in = { 0 };
    const double start = wd_clock_s();
    WD_TRY(wd_inputs_open(s->cli, &o->image, &o->video, o->window, (uint32_t)o->slices, &in, err));
    s->decode_s = wd_clock_s() - start;
    s->rq.media = in.media;
    s->message = WD_NEW_N(s->cli->arena, wd_message, TURNS_MAX * 2 + 1);
    if (!s->message)
        return no_memory(err);
    if (o->system)
        WD_TRY(add_message(s, WD_ROLE_SYSTEM, wd_span_str(o->system), NULL, err));
    if (o->interactive)
        return converse(s, &in.media, err);
    wd_buf text = { .max = PROMPT_BYTES_MAX };
    wd_status st = question(rest, &text, err);
    if (!st && !text.n && !in.media.n_image && !in.media.n_video)
        st = WD_FAIL(err, WD_E_USAGE, "no question: give it as an argument or on standard input");
    if (!st)
        st = add_message(s, WD_ROLE_USER, wd_buf_view(&text), &in.media, err);
    if (!st)
        st = reply(s, err);
    wd_buf_wipe(&text);
    return st;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    options o = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_chat, argc, argv, &o, &rest, err));
    if (o.interactive && o.json)
        return WD_FAIL(err, WD_E_USAGE, "--json prints one object: not with --interactive");
    if (!rest.n && !o.json && isatty(STDIN_FILENO) == 1)
        o.interactive = true;
    session s = { .cli = cli, .o = &o };
    wd_status st = wd_runtime_open(cli, &o.m, &s.rt, err);
    if (!st) {
        s.engine = wd_runtime_engine(s.rt);
        st = fill_request(&s, err);
    }
    if (!st)
        st = converse_or_answer(&s, &rest, err);
    wd_show_end(&s.show);
    json_decref(s.tools);
    wd_constraint_unref(&s.constraint);
    wd_runtime_close(s.rt);
    return st;
}

const wd_command wd_cmd_chat = {
    .name = "chat",
    .brief = "answer a question about text, pictures, DICOM slices and videos",
    .operands = "[QUESTION...]",
    .about =
        "Answers one question, or holds a conversation when no question is given on a terminal. Pictures "
        "and\n"
        "videos come before the question in the prompt. The reply goes to standard output as it is written,\n"
        "reasoning to standard error. Ctrl-C ends.",
    .examples =
        "  ward chat -m Qwen3-4B \"What does a raised CRP mean?\"\n"
        "  ward chat -m Qwen3-VL-2B-Instruct -i film.png \"Describe this film.\"\n"
        "  ward chat -m Qwen3-VL-2B-Instruct -i CT/ --window lung --slices 12 \"Is there a nodule?\"\n"
        "  ward chat -m Qwen3-8B --no-think --schema findings.json \"List the findings: ...\"\n"
        "  ward chat -m Qwen3-8B --no-think -t 0 --json --logprobs 5 \"Say yes.\" \n",
    .options = { "chat", opts, WD_COUNT(opts) },
    .run = run,
};
