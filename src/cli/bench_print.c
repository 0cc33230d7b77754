/* Tables and JSON of ward bench. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cli/bench.h"

#define MEBI(bytes) ((bytes) >> 20)

/* ---- the machine ---- */

static void put_caches(const wd_limits *l, wd_buf *b)
{
    wd_buf_str(b, "caches");
    for (int i = 0; i < WD_CACHE_LEVELS; i++)
        if (l->cache[i])
            wd_buf_printf(b, "%s L%d %zu KiB", i ? "," : "   ", i + 1, l->cache[i] >> 10);
    wd_buf_char(b, '\n');
}

static void put_rate(wd_buf *b, const char *name, wd_rate r, double unit, const char *unit_name,
                     unsigned n_thread)
{
    wd_buf_printf(b, "  %-34s %9.3f  %9.3f %s", name, r.one / unit, r.all / unit, unit_name);
    wd_buf_printf(b, "   %.2f of %u x one thread\n", r.all / r.one / n_thread, n_thread);
}

static void put_machine(const wd_limits *l, wd_buf *b)
{
    char name[64];
    const char *before = "not here: ";
    wd_buf_printf(b, "%s, %u threads\n", l->cpu[0] ? l->cpu : "processor", l->n_thread);
    put_caches(l, b);
    wd_buf_printf(b, "\n  %-34s %9s  %9s\n", "", "1 thread", "all");
    for (int huge = 0; huge < 2; huge++) {
        for (int ahead = 0; ahead < 2; ahead++) {
            snprintf(name, sizeof name, "read, %s pages%s", huge ? "huge" : "usual",
                     ahead ? ", prefetched" : "");
            put_rate(b, name, l->read[huge][ahead], 1e9, "GB/s   ", l->n_thread);
        }
    }
    for (int i = 0; i < WD_PEAK_COUNT; i++) {
        const bool whole = i == WD_PEAK_AVX512_INT8 || i == WD_PEAK_AMX_INT8;
        if (l->peak[i].one > 0)
            put_rate(b, wd_peak_name((wd_peak)i), l->peak[i], 1e12, whole ? "TOP/s  " : "TFLOP/s",
                     l->n_thread);
    }
    for (int i = 0; i < WD_PEAK_COUNT; i++) {
        if (l->peak[i].one > 0)
            continue;
        wd_buf_printf(b, "%s%s", before, wd_peak_name((wd_peak)i));
        before = ", ";
    }
    if (before[0] == ',')
        wd_buf_char(b, '\n');
    wd_buf_printf(b, "read from buffers of %zu MiB, %zu MiB of the second in huge pages\n",
                  MEBI(l->buffer_bytes), MEBI(l->huge_bytes));
}

static json_t *rate_json(wd_rate r)
{
    return json_pack("{s:f, s:f}", "one", r.one, "all", r.all);
}

static json_t *machine_json(const wd_limits *l)
{
    json_t *cache = NULL, *peak = json_object();
    cache = json_array();
    for (int i = 0; i < WD_CACHE_LEVELS; i++)
        wd_json_append(&cache, l->cache[i] ? json_integer((json_int_t)l->cache[i]) : json_null());
    for (int i = 0; i < WD_PEAK_COUNT; i++)
        json_object_set_new(peak, wd_peak_key((wd_peak)i),
                            l->peak[i].one > 0 ? rate_json(l->peak[i]) : json_null());
    return json_pack("{s:s, s:s, s:i, s:o, s:I, s:I, s:{s:o, s:o, s:o, s:o}, s:o}", "cpu", l->cpu, "isa",
                     wd_isa_name(l->isa), "threads", (int)l->n_thread, "cache_bytes", cache, "buffer_bytes",
                     (json_int_t)l->buffer_bytes, "huge_bytes", (json_int_t)l->huge_bytes, "read_bytes_per_s",
                     "usual", rate_json(l->read[0][0]), "usual_prefetched", rate_json(l->read[0][1]), "huge",
                     rate_json(l->read[1][0]), "huge_prefetched", rate_json(l->read[1][1]),
                     "operations_per_s", peak);
}

static wd_status print_text(wd_buf *b, wd_err *err)
{
    wd_status st = wd_buf_check(b, "bench", err);
    if (!st)
        st = wd_cli_print(wd_buf_view(b), err);
    wd_buf_free(b);
    return st;
}

/* Shows the text or, with --json, the object; then writes the object to the file of --save. Both are given up. */
static wd_status show(const wd_bench_args *a, json_t *v, wd_buf *text, wd_err *err)
{
    if (!v) {
        wd_buf_free(text);
        return WD_FAIL(err, WD_E_NOMEM, "bench: no memory for the results");
    }
    wd_status st = a->json ? wd_cli_print_json(json_incref(v), err) : print_text(text, err);
    if (!st && a->save) {
        wd_buf b = { 0 };
        st = wd_json_write(v, JSON_INDENT(2), &b, err);
        wd_buf_char(&b, '\n');
        if (!st)
            st = wd_buf_check(&b, "bench", err);
        if (!st)
            st = wd_file_write(a->save, wd_buf_view(&b), err);
        wd_buf_free(&b);
    }
    wd_buf_free(text);
    json_decref(v);
    return st;
}

wd_status wd_bench_print_machine(const wd_bench_args *a, const wd_limits *l, wd_err *err)
{
    wd_buf b = { 0 };
    put_machine(l, &b);
    return show(a, machine_json(l), &b, err);
}

/* ---- a model ---- */

static bool is_exact(const wd_bench_args *a)
{
    return !strcmp(a->m.precision, "exact");
}

/* What a row is worth: tokens per second, or seconds. */
static double value_of(const wd_bench_row *r, double seconds)
{
    return r->n_token > 0 ? r->n_token / seconds : seconds;
}

static void least_and_most(const wd_bench_row *r, double *least, double *most)
{
    *least = *most = r->seconds[0];
    for (unsigned i = 1; i < r->n_run; i++) {
        *least = WD_MIN(*least, r->seconds[i]);
        *most = WD_MAX(*most, r->seconds[i]);
    }
    if (r->n_token > 0) { /* the slowest run has the lowest rate */
        const double slow = value_of(r, *most);
        *most = value_of(r, *least);
        *least = slow;
    }
}

/* A part's time at its own limit, of the time it took. */
static double part_share(const wd_bench_row *r, const wd_meter_sum *part, double bound_s)
{
    return part->seconds > 0 ? bound_s * r->n_run / part->seconds : 0;
}

static void put_row(wd_buf *b, const wd_bench_row *r, const wd_limits *l, bool exact)
{
    char name[48], range[48], limit[48];
    snprintf(name, sizeof name, "%s %llu", r->work, (unsigned long long)r->size);
    if (r->missing) {
        wd_buf_printf(b, "%-15s missing: %s\n", name, r->missing);
        return;
    }
    const wd_bench_bound bound = wd_bench_bound_of(l, &r->cost, r->dtype, exact);
    const double median = wd_bench_median(r->seconds, r->n_run);
    const double in = r->parts.linear.seconds + r->parts.attn.seconds + r->parts.rest.seconds;
    double least, most, all = 0;
    for (unsigned i = 0; i < r->n_run; i++)
        all += r->seconds[i];
    least_and_most(r, &least, &most);
    snprintf(range, sizeof range, "%.*f..%.*f", r->n_token > 0 ? 2 : 3, least, r->n_token > 0 ? 2 : 3, most);
    snprintf(limit, sizeof limit, "-");
    if (bound.seconds > 0)
        snprintf(limit, sizeof limit, "%s %.*f", bound.by, r->n_token > 0 ? 2 : 3,
                 value_of(r, bound.seconds));
    wd_buf_printf(b, "%-15s %9.*f %-8s %-18s %-20s %5.1f %%   %5.1f %%   %5.1f %%   %3.0f / %.0f / %.0f\n",
                  name, r->n_token > 0 ? 2 : 3, value_of(r, median), r->n_token > 0 ? "tokens/s" : "s", range,
                  limit, 100 * bound.seconds / median, 100 * part_share(r, &r->parts.linear, bound.linear_s),
                  100 * part_share(r, &r->parts.attn, bound.attn_s), 100 * r->parts.linear.seconds / all,
                  100 * r->parts.attn.seconds / all, 100 * (r->parts.rest.seconds + all - in) / all);
}

static void put_head(wd_buf *b, const wd_bench_args *a, wd_runtime *rt, const wd_limits *l,
                     const wd_bench_row *row, size_t n)
{
    const bool exact = is_exact(a);
    const wd_rate read = wd_limits_read(l);
    wd_buf_printf(b, "model    %s\n         %s, %u threads, %.2f GiB of weights, opened in %.3f s\n",
                  a->m.model, wd_runtime_engine(rt)->info.name, wd_pool_size(wd_runtime_pool(rt)),
                  (double)wd_weights_mapped_bytes(wd_runtime_weights(rt)) / (1 << 30), wd_runtime_load_s(rt));
    if (read.all > 0)
        wd_buf_printf(b, "machine  %s: reads %.1f GB/s", l->cpu[0] ? l->cpu : "processor", read.all / 1e9);
    else
        wd_buf_str(b, "machine  its limits were not measured");
    uint32_t peaks = 0;
    for (size_t i = 0; i < n; i++)
        peaks |= wd_bench_peaks(row[i].dtype, exact);
    for (int i = 0; i < WD_PEAK_COUNT; i++)
        if ((peaks >> i & 1u) && l->peak[i].all > 0)
            wd_buf_printf(b, ", %s %.3f T/s", wd_peak_key((wd_peak)i), l->peak[i].all / 1e12);
    wd_buf_printf(b, "\n\n%-15s %18s %-18s %-20s %7s %9s %9s   %s\n", "", "median      ", "least..most",
                  "limit", "share", "products", "attention", "% of the time in these two and the rest");
}

static json_t *row_json(const wd_bench_row *r, const wd_limits *l, bool exact)
{
    json_t *v = json_pack("{s:s, s:I}", "work", r->work, "size", (json_int_t)r->size);
    if (r->missing) {
        json_object_set_new(v, "missing", json_string(r->missing));
        return v;
    }
    const wd_bench_bound bound = wd_bench_bound_of(l, &r->cost, r->dtype, exact);
    const double median = wd_bench_median(r->seconds, r->n_run);
    double least, most;
    json_t *seconds = json_array();
    least_and_most(r, &least, &most);
    for (unsigned i = 0; i < r->n_run; i++)
        wd_json_append(&seconds, json_real(r->seconds[i]));
    json_object_update_new(v,
                           json_pack("{s:s, s:f, s:f, s:f, s:o, s:f}", "unit",
                                     r->n_token > 0 ? "tokens/s" : "s", "median", value_of(r, median),
                                     "least", least, "most", most, "seconds", seconds, "tokens", r->n_token));
    json_object_update_new(v, json_pack("{s:{s:f, s:f, s:f}, s:{s:f, s:f}, s:{s:f, s:f}}", "parts_s",
                                        "products", r->parts.linear.seconds / r->n_run, "attention",
                                        r->parts.attn.seconds / r->n_run, "rest",
                                        r->parts.rest.seconds / r->n_run, "operations", "products",
                                        r->cost.linear_ops, "attention", r->cost.attn_ops, "bytes", "weights",
                                        r->cost.weight_bytes, "kv", r->cost.kv_bytes));
    if (bound.seconds > 0)
        json_object_update_new(v, json_pack("{s:{s:s, s:f, s:f, s:f}, s:f, s:f, s:f}", "limit", "by",
                                            bound.by, "seconds", bound.seconds, "read_s", bound.read_s,
                                            "multiply_s", bound.multiply_s, "share", bound.seconds / median,
                                            "products_share", part_share(r, &r->parts.linear, bound.linear_s),
                                            "attention_share", part_share(r, &r->parts.attn, bound.attn_s)));
    return v;
}

static json_t *model_json(const wd_bench_args *a, wd_runtime *rt, const wd_limits *l, const wd_bench_row *row,
                          size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        wd_json_append(&list, row_json(&row[i], l, is_exact(a)));
    return json_pack("{s:{s:s, s:s, s:I, s:f}, s:o, s:o}", "model", "path", a->m.model, "engine",
                     wd_runtime_engine(rt)->info.name, "weights_bytes",
                     (json_int_t)wd_weights_mapped_bytes(wd_runtime_weights(rt)), "load_s",
                     wd_runtime_load_s(rt), "machine", a->seconds > 0 ? machine_json(l) : json_null(),
                     "results", list);
}

wd_status wd_bench_print(const wd_bench_args *a, wd_runtime *rt, const wd_limits *l, const wd_bench_row *row,
                         size_t n, wd_err *err)
{
    wd_buf b = { 0 };
    put_head(&b, a, rt, l, row, n);
    for (size_t i = 0; i < n; i++)
        put_row(&b, &row[i], l, is_exact(a));
    return show(a, model_json(a, rt, l, row, n), &b, err);
}
