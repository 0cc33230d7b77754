/* ward bench: what is measured, what bounds it, and how both are shown. */
#ifndef WD_CLI_BENCH_H
#define WD_CLI_BENCH_H

#include "cli/runtime.h"
#include "model/cost.h"
#include "tensor/cpu/limits.h"
#include "tensor/meter.h"

#define WD_BENCH_RUNS 50
#define WD_BENCH_SIZES 16

/* One piece of work, some runs of it. */
typedef struct wd_bench_row {
    const char *work;    /* "prefill" */
    uint64_t size;       /* tokens, depth, pixels a side, images, sequences */
    const char *missing; /* why it was not measured; NULL: it was */
    unsigned n_run;
    double seconds[WD_BENCH_RUNS];
    double n_token;       /* of a run: shown as tokens per second; 0: shown as seconds */
    wd_cost cost;         /* of a run */
    wd_dtype dtype;       /* of its weights */
    wd_meter_total parts; /* of all runs together */
} wd_bench_row;

/* The time that a piece of work takes at the machine's limits, and which limit that is. */
typedef struct wd_bench_bound {
    double read_s, multiply_s;
    double seconds;          /* the larger; 0 where no limit is known */
    const char *by;          /* "read", or a peak's key */
    double linear_s, attn_s; /* the same for the products with weights, and for attention, by themselves */
} wd_bench_bound;

typedef struct wd_bench_args {
    wd_model_args m;
    wd_opt_list only;
    const char *prefill, *decode, *image, *rerank, *batch; /* sizes: "512,2048" */
    int64_t repeat, steps;
    double seconds;
    const char *save; /* JSON also there; NULL: not */
    bool json;
} wd_bench_args;

/* ---- bench_share.c: arithmetic ---- */

double wd_bench_median(const double *v, unsigned n); /* 1 <= n <= WD_BENCH_RUNS */
/* "512,2048" -> sizes. WD_E_USAGE naming the option for anything but 1 .. WD_BENCH_SIZES numbers of min .. max. */
WD_MUST_CHECK wd_status wd_bench_sizes(const char *option, const char *text, uint64_t min, uint64_t max,
                                       uint64_t size[WD_BENCH_SIZES], size_t *n, wd_err *err);
/* The peaks at which products with weights of this type may run, as bits 1 << WD_PEAK_x. exact: in f32. */
uint32_t wd_bench_peaks(wd_dtype t, bool exact);
wd_bench_bound wd_bench_bound_of(const wd_limits *l, const wd_cost *c, wd_dtype t, bool exact);

/* ---- bench_model.c: measuring ---- */

/* WD_E_USAGE for words and sizes that cannot be: before anything is measured. rt NULL: as far as
 * can be told without a model. */
WD_MUST_CHECK wd_status wd_bench_check(const wd_bench_args *a, wd_runtime *rt, wd_err *err);
/* *rows in the arena. */
WD_MUST_CHECK wd_status wd_bench_model(wd_cli *cli, const wd_bench_args *a, wd_runtime *rt,
                                       wd_bench_row **rows, size_t *n, wd_err *err);

/* ---- bench_print.c ---- */

WD_MUST_CHECK wd_status wd_bench_print_machine(const wd_bench_args *a, const wd_limits *l, wd_err *err);
WD_MUST_CHECK wd_status wd_bench_print(const wd_bench_args *a, wd_runtime *rt, const wd_limits *l,
                                       const wd_bench_row *row, size_t n, wd_err *err);

#endif
