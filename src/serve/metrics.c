/* Prometheus text, version 0.0.4. */
#include "serve/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define BUCKETS 24

typedef struct histogram {
    uint64_t n[BUCKETS]; /* of each bucket alone; written as running sums */
    uint64_t count;
    double sum;
} histogram;

#define N_STATUS 6 /* 1xx .. 5xx by the first digit */

struct wd_metrics {
    pthread_mutex_t mu;
    int64_t gauge[WD_GAUGE_COUNT]; /* all under mu */
    uint64_t counter[WD_COUNTER_COUNT];
    histogram histogram[WD_HISTOGRAM_COUNT];
    uint64_t answer[WD_METRICS_ROUTES][N_STATUS];
};

/* The bounds of vLLM's own histograms, so that its dashboards fit. */
static const double first_token_s[] = { 0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75,
                                        1,     2.5,   5,    7.5,  10,   20,   40,   80,  160,  640, 2560 };
static const double inter_token_s[] = { 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5,
                                        0.75, 1,     2.5,  5,     7.5, 10,   20,  40,  80 };
static const double whole_s[] = { 0.3, 0.5, 0.8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                  30,  40,  50,  60, 120, 240, 480, 960, 1920, 7680 };
static const double tokens[] = { 1,   2,    5,    10,   20,    50,    100,   200,
                                 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000 };

static const struct {
    const char *name, *help;
    const double *bound;
    size_t n;
} histograms[WD_HISTOGRAM_COUNT] = {
    [WD_HISTOGRAM_FIRST_TOKEN] = { "vllm:time_to_first_token_seconds",
                                   "Seconds from the request to its first token.", first_token_s,
                                   WD_COUNT(first_token_s) },
    [WD_HISTOGRAM_INTER_TOKEN] = { "vllm:inter_token_latency_seconds",
                                   "Seconds between two tokens of a reply.", inter_token_s,
                                   WD_COUNT(inter_token_s) },
    [WD_HISTOGRAM_WHOLE] = { "vllm:e2e_request_latency_seconds",
                             "Seconds from the request to the end of the reply.", whole_s,
                             WD_COUNT(whole_s) },
    [WD_HISTOGRAM_QUEUED] = { "vllm:request_queue_time_seconds", "Seconds a request waited for a worker.",
                              whole_s, WD_COUNT(whole_s) },
    [WD_HISTOGRAM_PROMPT_TOKENS] = { "vllm:request_prompt_tokens", "Tokens of a prompt.", tokens,
                                     WD_COUNT(tokens) },
    [WD_HISTOGRAM_GENERATION_TOKENS] = { "vllm:request_generation_tokens", "Tokens of a reply.", tokens,
                                         WD_COUNT(tokens) },
};

static const struct {
    const char *name, *label, *help; /* label: what stands beside the model's name, or NULL */
    bool of_server;
} counters[WD_COUNTER_COUNT] = {
    [WD_COUNTER_PROMPT_TOKENS] = { "vllm:prompt_tokens_total", NULL, "Tokens of prompts.", false },
    [WD_COUNTER_GENERATION_TOKENS] = { "vllm:generation_tokens_total", NULL, "Tokens of replies.", false },
    [WD_COUNTER_PREFIX_QUERIES] = { "vllm:prefix_cache_queries_total", NULL,
                                    "Prompt tokens looked up in the cache.", false },
    [WD_COUNTER_PREFIX_HITS] = { "vllm:prefix_cache_hits_total", NULL, "Prompt tokens found in the cache.",
                                 false },
    [WD_COUNTER_STOP] = { "vllm:request_success_total", "finished_reason=\"stop\"",
                          "Replies by how they ended.", false },
    [WD_COUNTER_LENGTH] = { "vllm:request_success_total", "finished_reason=\"length\"", NULL, false },
    [WD_COUNTER_TOOL_CALLS] = { "vllm:request_success_total", "finished_reason=\"tool_calls\"", NULL, false },
    [WD_COUNTER_ABORT] = { "vllm:request_success_total", "finished_reason=\"abort\"", NULL, false },
    [WD_COUNTER_ERROR] = { "vllm:request_success_total", "finished_reason=\"error\"", NULL, false },
    [WD_COUNTER_REFUSED_FULL] = { "ward:requests_refused_total", "reason=\"queue_full\"",
                                  "Requests refused because too many waited.", true },
    [WD_COUNTER_SLOW_READER] = { "ward:streams_cut_total", "reason=\"slow_reader\"",
                                 "Streams ended because of their reader.", true },
    [WD_COUNTER_VANISHED] = { "ward:streams_cut_total", "reason=\"vanished\"", NULL, true },
    [WD_COUNTER_CONSTRAINT_QUERIES] = { "ward:constraint_cache_queries_total", NULL,
                                        "Schemas and the like looked up in the cache.", true },
    [WD_COUNTER_CONSTRAINT_HITS] = { "ward:constraint_cache_hits_total", NULL,
                                     "Those found there, compiled before.", true },
};

static const struct {
    const char *name, *help;
    bool of_model;
} gauges[WD_GAUGE_COUNT] = {
    [WD_GAUGE_RUNNING] = { "vllm:num_requests_running", "Requests that run.", true },
    [WD_GAUGE_WAITING] = { "vllm:num_requests_waiting", "Requests that wait for a worker.", false },
    [WD_GAUGE_CONNECTIONS] = { "ward:connections", "Open connections.", false },
};

wd_metrics *wd_metrics_create(void)
{
    wd_metrics *m = WD_ALLOC(wd_metrics);
    if (m)
        pthread_mutex_init(&m->mu, NULL);
    return m;
}

void wd_metrics_destroy(wd_metrics *m)
{
    if (!m)
        return;
    pthread_mutex_destroy(&m->mu);
    wd_free(m);
}

void wd_metrics_gauge(wd_metrics *m, wd_gauge g, int64_t change)
{
    pthread_mutex_lock(&m->mu);
    m->gauge[g] += change;
    pthread_mutex_unlock(&m->mu);
}

int64_t wd_metrics_gauge_value(wd_metrics *m, wd_gauge g)
{
    pthread_mutex_lock(&m->mu);
    const int64_t v = m->gauge[g];
    pthread_mutex_unlock(&m->mu);
    return v;
}

void wd_metrics_count(wd_metrics *m, wd_counter c, uint64_t more)
{
    pthread_mutex_lock(&m->mu);
    m->counter[c] += more;
    pthread_mutex_unlock(&m->mu);
}

uint64_t wd_metrics_counter_value(wd_metrics *m, wd_counter c)
{
    pthread_mutex_lock(&m->mu);
    const uint64_t v = m->counter[c];
    pthread_mutex_unlock(&m->mu);
    return v;
}

void wd_metrics_observe(wd_metrics *m, wd_histogram h, double value)
{
    size_t i = 0;
    while (i < histograms[h].n && value > histograms[h].bound[i])
        i++;
    pthread_mutex_lock(&m->mu);
    m->histogram[h].n[i]++;
    m->histogram[h].count++;
    m->histogram[h].sum += value;
    pthread_mutex_unlock(&m->mu);
}

void wd_metrics_answer(wd_metrics *m, size_t route, int http)
{
    pthread_mutex_lock(&m->mu);
    if (route < WD_METRICS_ROUTES && http >= 100 && http < 100 * N_STATUS)
        m->answer[route][http / 100]++;
    pthread_mutex_unlock(&m->mu);
}

/* A label's value: backslash, quote and newline are escaped (the format's rule). */
static void put_label(wd_buf *out, const char *v)
{
    for (; v && *v; v++) {
        if (*v == '\\' || *v == '"')
            wd_buf_char(out, '\\');
        if (*v == '\n')
            wd_buf_str(out, "\\n");
        else
            wd_buf_char(out, *v);
    }
}

static void put_head(wd_buf *out, const char *name, const char *type, const char *help)
{
    if (help)
        wd_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* model NULL: a line of the server. */
static void put_name(wd_buf *out, const char *name, const char *suffix, const char *model, const char *label)
{
    wd_buf_printf(out, "%s%s", name, suffix);
    if (model || label)
        wd_buf_char(out, '{');
    if (model) {
        wd_buf_str(out, "model_name=\"");
        put_label(out, model);
        wd_buf_str(out, label ? "\"," : "\"");
    }
    wd_buf_str(out, label ? label : "");
    wd_buf_str(out, model || label ? "} " : " ");
}

static void put_histogram(const histogram *v, size_t h, const char *model, wd_buf *out)
{
    const char *name = histograms[h].name;
    uint64_t below = 0;
    for (size_t i = 0; i < histograms[h].n; i++) {
        char label[48];
        snprintf(label, sizeof label, "le=\"%g\"", histograms[h].bound[i]);
        below += v->n[i];
        put_name(out, name, "_bucket", model, label);
        wd_buf_printf(out, "%" PRIu64 "\n", below);
    }
    put_name(out, name, "_bucket", model, "le=\"+Inf\"");
    wd_buf_printf(out, "%" PRIu64 "\n", v->count);
    put_name(out, name, "_sum", model, NULL);
    wd_buf_printf(out, "%.9g\n", v->sum);
    put_name(out, name, "_count", model, NULL);
    wd_buf_printf(out, "%" PRIu64 "\n", v->count);
}

static const struct {
    const char *name, *type, *help;
    size_t offset; /* of a uint64_t in wd_metrics_engine; SIZE_MAX: kv_share */
} states[] = {
#define STATE(field) offsetof(wd_metrics_engine, field)
    { "vllm:kv_cache_usage_perc", "gauge", "Share of the memory for keys and values in use, 0 to 1.",
      SIZE_MAX },
    { "vllm:num_preemptions_total", "counter", "Requests that lost their pages and began anew.",
      STATE(n_preempted) },
    { "vllm:mm_cache_queries_total", "counter", "Images and frames looked up in the cache.", STATE(n_image) },
    { "vllm:mm_cache_hits_total", "counter", "Images and frames found there.", STATE(n_image_cached) },
    { "ward:kv_cache_bytes", "gauge", "Memory of keys and values in use, cached ones included.",
      STATE(kv_bytes) },
    { "ward:kv_cache_max_bytes", "gauge", "The most that it may be; 0: no limit.", STATE(kv_max_bytes) },
    { "ward:prefix_cache_bytes", "gauge", "Of it, kept for prompts that begin alike.", STATE(prefix_bytes) },
    { "ward:prefix_cache_max_bytes", "gauge", "The most that it may be.", STATE(prefix_max_bytes) },
    { "ward:image_cache_bytes", "gauge", "Features of images, kept.", STATE(image_bytes) },
    { "ward:image_cache_max_bytes", "gauge", "The most that they may be.", STATE(image_max_bytes) },
    { "ward:engine_max_calls", "gauge", "Calls that are computed together at most.", STATE(max_seqs) },
    { "ward:engine_calls_running", "gauge", "Calls that the engine works on.", STATE(n_running) },
    { "ward:engine_calls_waiting", "gauge", "Calls that wait in the engine for room.", STATE(n_waiting) },
};

static void put_states(const wd_metrics_who *who, wd_buf *out)
{
    for (size_t i = 0; i < WD_COUNT(states); i++) {
        put_head(out, states[i].name, states[i].type, states[i].help);
        for (size_t k = 0; k < who->n_model; k++) {
            const wd_metrics_engine *e = &who->model[k].state;
            if (!who->model[k].has_state)
                continue;
            put_name(out, states[i].name, "", who->model[k].name, NULL);
            if (states[i].offset == SIZE_MAX)
                wd_buf_printf(out, "%.9g\n", e->kv_share);
            else
                wd_buf_printf(out, "%" PRIu64 "\n",
                              *(const uint64_t *)(const void *)((const char *)e + states[i].offset));
        }
    }
}

static void put_answers(const wd_metrics *m, const wd_metrics_who *who, wd_buf *out)
{
    put_head(out, "ward:http_requests_total", "counter", "Answers by route and class of status.");
    for (size_t r = 0; r < who->n_route && r < WD_METRICS_ROUTES; r++)
        for (int s = 0; s < N_STATUS; s++)
            if (m->answer[r][s])
                wd_buf_printf(out, "ward:http_requests_total{handler=\"%s\",status=\"%dxx\"} %" PRIu64 "\n",
                              who->route[r], s, m->answer[r][s]);
}

/* A copy of what one counts: no line is written under its lock. */
static void look(wd_metrics *m, wd_metrics *out)
{
    pthread_mutex_lock(&m->mu);
    memcpy(out->gauge, m->gauge, sizeof m->gauge);
    memcpy(out->counter, m->counter, sizeof m->counter);
    memcpy(out->histogram, m->histogram, sizeof m->histogram);
    memcpy(out->answer, m->answer, sizeof m->answer);
    pthread_mutex_unlock(&m->mu);
}

static void put_counts(const wd_metrics *server, const wd_metrics *of, const wd_metrics_who *who, wd_buf *out)
{
    for (size_t i = 0; i < WD_GAUGE_COUNT; i++) {
        put_head(out, gauges[i].name, "gauge", gauges[i].help);
        if (!gauges[i].of_model) {
            put_name(out, gauges[i].name, "", who->n_model == 1 ? who->model[0].name : NULL, NULL);
            wd_buf_printf(out, "%" PRId64 "\n", server->gauge[i]);
        }
        for (size_t k = 0; gauges[i].of_model && k < who->n_model; k++) {
            put_name(out, gauges[i].name, "", who->model[k].name, NULL);
            wd_buf_printf(out, "%" PRId64 "\n", of[k].gauge[i]);
        }
    }
    for (size_t i = 0; i < WD_COUNTER_COUNT; i++) {
        put_head(out, counters[i].name, "counter", counters[i].help);
        if (counters[i].of_server) {
            put_name(out, counters[i].name, "", who->n_model == 1 ? who->model[0].name : NULL,
                     counters[i].label);
            wd_buf_printf(out, "%" PRIu64 "\n", server->counter[i]);
        }
        for (size_t k = 0; !counters[i].of_server && k < who->n_model; k++) {
            put_name(out, counters[i].name, "", who->model[k].name, counters[i].label);
            wd_buf_printf(out, "%" PRIu64 "\n", of[k].counter[i]);
        }
    }
    for (size_t i = 0; i < WD_HISTOGRAM_COUNT; i++) {
        put_head(out, histograms[i].name, "histogram", histograms[i].help);
        for (size_t k = 0; k < who->n_model; k++)
            put_histogram(&of[k].histogram[i], i, who->model[k].name, out);
    }
    put_answers(server, who, out);
}

void wd_metrics_write(wd_metrics *m, const wd_metrics_who *who, wd_buf *out)
{
    wd_metrics *of = WD_ALLOC_N(wd_metrics, who->n_model + 1), *server = of ? &of[who->n_model] : NULL;
    if (!of) {
        out->failed = true;
        return;
    }
    look(m, server);
    for (size_t k = 0; k < who->n_model; k++)
        look(who->model[k].of, &of[k]);
    put_head(out, "ward_build_info", "gauge", "The program.");
    wd_buf_printf(out, "ward_build_info{version=\"%s\",engine=\"", who->version);
    put_label(out, who->engine);
    wd_buf_str(out, "\"} 1\n");
    put_states(who, out);
    put_counts(server, of, who, out);
    wd_free(of);
}
