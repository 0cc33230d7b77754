/* Counters and histograms under vLLM's names (docs.vllm.ai, "Metrics"), in Prometheus' text format. Thread-safe.
 *
 * Each model has a wd_metrics for its requests, and the server one for what is no model's: requests that wait, connections,
 * refusals, streams that were cut, answers by route. */
#ifndef WD_SERVE_METRICS_H
#define WD_SERVE_METRICS_H

#include "base/buf.h"

typedef enum wd_gauge {
    WD_GAUGE_RUNNING, /* requests with a worker, of a model */
    WD_GAUGE_WAITING, /* requests in the queue: which model they are for is not known yet */
    WD_GAUGE_CONNECTIONS,
    WD_GAUGE_COUNT
} wd_gauge;

typedef enum wd_counter {
    WD_COUNTER_PROMPT_TOKENS,
    WD_COUNTER_GENERATION_TOKENS,
    WD_COUNTER_PREFIX_QUERIES, /* prompt tokens looked up in the prefix cache */
    WD_COUNTER_PREFIX_HITS,    /* and found there */
    WD_COUNTER_STOP,           /* choices that ended by themselves, by length, in tool calls, or not */
    WD_COUNTER_LENGTH,
    WD_COUNTER_TOOL_CALLS,
    WD_COUNTER_ABORT,
    WD_COUNTER_ERROR,
    WD_COUNTER_REFUSED_FULL, /* 429 */
    WD_COUNTER_SLOW_READER,
    WD_COUNTER_VANISHED,
    WD_COUNTER_CONSTRAINT_QUERIES, /* schemas and the like looked up in the cache */
    WD_COUNTER_CONSTRAINT_HITS,    /* and found there */
    WD_COUNTER_COUNT
} wd_counter;

typedef enum wd_histogram {
    WD_HISTOGRAM_FIRST_TOKEN, /* seconds since the request was complete */
    WD_HISTOGRAM_INTER_TOKEN,
    WD_HISTOGRAM_WHOLE, /* seconds to the end */
    WD_HISTOGRAM_QUEUED,
    WD_HISTOGRAM_PROMPT_TOKENS,
    WD_HISTOGRAM_GENERATION_TOKENS,
    WD_HISTOGRAM_COUNT
} wd_histogram;

typedef struct wd_metrics wd_metrics;

WD_MUST_CHECK wd_metrics *wd_metrics_create(void); /* NULL: no memory */
void wd_metrics_destroy(wd_metrics *m);            /* accepts NULL */

void wd_metrics_gauge(wd_metrics *m, wd_gauge g, int64_t change);
int64_t wd_metrics_gauge_value(wd_metrics *m, wd_gauge g);
void wd_metrics_count(wd_metrics *m, wd_counter c, uint64_t more);
uint64_t wd_metrics_counter_value(wd_metrics *m, wd_counter c);
void wd_metrics_observe(wd_metrics *m, wd_histogram h, double value);
/* One more answered request of a route ("/v1/models") with that HTTP status. */
void wd_metrics_answer(wd_metrics *m, size_t route, int http);

/* What the engine says of itself. */
typedef struct wd_metrics_engine {
    uint64_t n_running, n_waiting, n_preempted, n_image, n_image_cached;
    double kv_share; /* of its memory for keys and values, 0 .. 1 */
    /* used, and the most; 0: no limit, or not known */
    uint64_t kv_bytes, kv_max_bytes, prefix_bytes, prefix_max_bytes, image_bytes, image_max_bytes, max_seqs;
} wd_metrics_engine;

/* A model, and what was counted of its requests. */
typedef struct wd_metrics_model {
    const char *name;
    wd_metrics *of;
    bool has_state; /* state is known */
    wd_metrics_engine state;
} wd_metrics_model;

/* What tells this process apart, and what its models did. */
typedef struct wd_metrics_who {
    const char *version, *engine;
    const char *const *route; /* [n_route] */
    size_t n_route;
    const wd_metrics_model *model; /* [n_model] */
    size_t n_model;
} wd_metrics_who;

/* m: of the server as a whole, what is no model's. */
void wd_metrics_write(wd_metrics *m, const wd_metrics_who *who, wd_buf *out);

#define WD_METRICS_ROUTES 32

#endif
