/* ward bench: what the machine can do, and how much of it a model gets. */
#include <string.h>

#include "cli/bench.h"

#define AT(field) offsetof(wd_bench_args, field)
/* clang-format off */
static const wd_opt opts[] = {
    WD_MODEL_OPTS(wd_bench_args, m),
    { "only", 0, WD_OPT_LIST, AT(only), NULL, 0, 0, "prefill, decode, image, rerank or batch; repeatable" },
    { "prefill", 0, WD_OPT_STR, AT(prefill), "512,2048,8192", 0, 0, "tokens of a prompt" },
    { "decode", 0, WD_OPT_STR, AT(decode), "0,4096,16384", 0, 0, "tokens in the cache before those that are timed" },
    { "image", 0, WD_OPT_STR, AT(image), "512,1024", 0, 0, "pixels a side" },
    { "rerank", 0, WD_OPT_STR, AT(rerank), "12", 0, 0, "images of about 300 tokens, against one sentence" },
    { "batch", 0, WD_OPT_STR, AT(batch), "1,4,8,16", 0, 0, "sequences decoded together" },
    { "steps", 0, WD_OPT_INT, AT(steps), "32", 1, 4096, "tokens decoded in a run" },
    { "repeat", 'r', WD_OPT_INT, AT(repeat), "3", 1, WD_BENCH_RUNS, "runs of each; the median counts" },
    { "seconds", 0, WD_OPT_NUM, AT(seconds), "0.25", 0, 60, "spent on each limit of the machine; 0: they are not measured" },
    { "save", 0, WD_OPT_STR, AT(save), NULL, 0, 0, "also write the JSON object to this file" },
    { "json", 0, WD_OPT_BOOL, AT(json), "false", 0, 0, "one JSON object on standard output" },
};
/* clang-format on */

static wd_status machine(const wd_bench_args *a, wd_err *err)
{
    wd_limits_opts o = WD_LIMITS_OPTS_DEFAULT;
    wd_limits l;
    if (a->seconds <= 0)
        return WD_FAIL(err, WD_E_USAGE, "--seconds 0: the limits are all that \"machine\" measures");
    WD_TRY(wd_isa_parse(a->m.isa, &o.isa, err));
    WD_TRY(wd_pool_create((unsigned)a->m.threads, &o.pool, err));
    o.seconds = a->seconds;
    wd_status st = wd_limits_measure(&o, &l, err);
    wd_pool_destroy(o.pool);
    if (!st)
        st = wd_bench_print_machine(a, &l, err);
    return st;
}

static wd_status model(wd_cli *cli, wd_bench_args *a, wd_err *err)
{
    wd_runtime *rt = NULL;
    wd_bench_row *row;
    size_t n;
    a->m.metered = true;
    WD_TRY(wd_bench_check(a, NULL, err));
    wd_status st = wd_runtime_open(cli, &a->m, &rt, err);
    wd_limits l = { 0 };
    if (!st)
        st = wd_bench_check(a, rt, err);
    if (!st && a->seconds > 0) { /* on the team that will run the model */
        const wd_limits_opts o = { .pool = wd_runtime_pool(rt),
                                   .isa = wd_runtime_isa_bits(rt),
                                   .seconds = a->seconds };
        st = wd_limits_measure(&o, &l, err);
    }
    if (!st)
        st = wd_bench_model(cli, a, rt, &row, &n, err);
    if (!st)
        st = wd_bench_print(a, rt, &l, row, n, err);
    wd_runtime_close(rt);
    return st;
}

static wd_status run(wd_cli *cli, int argc, const char *const *argv, wd_err *err)
{
    wd_bench_args a = { 0 };
    wd_opt_list rest;
    WD_TRY(wd_cli_options(cli, &wd_cmd_bench, argc, argv, &a, &rest, err));
    if (rest.n > 1)
        return WD_FAIL(err, WD_E_USAGE, "ward bench takes \"machine\" or one model, got \"%s\" as well",
                       rest.v[1]);
    if (rest.n == 1 && !strcmp(rest.v[0], "machine"))
        return machine(&a, err);
    if (rest.n == 1)
        a.m.model = rest.v[0];
    return model(cli, &a, err);
}

const wd_command wd_cmd_bench = {
    .name = "bench",
    .brief = "measure the machine and a model's share of it",
    .operands = "machine|MODEL",
    .about =
        "\"machine\" prints what the machine can do at most: bytes read from memory, multiplications per "
        "second.\n"
        "For a MODEL it times reading a prompt, writing tokens, looking at images and ranking them, and "
        "prints the\n"
        "median of the runs, the least and the most, the limit that bounds the work and the share of it that "
        "was\n"
        "reached. Below \"products\" and \"attention\" stands the same for these parts by themselves: "
        "weights times\n"
        "activations, and queries with the keys and values of the cache. Weights may be random: the time is "
        "the same.",
    .examples = "  ward bench machine\n"
                "  ward bench Qwen3-VL-2B-Instruct\n"
                "  ward bench Qwen3-VL-2B-Instruct --only decode --decode 0,4096 --repeat 5 --json\n",
    .options = { "bench", opts, WD_COUNT(opts) },
    .run = run,
};
