/* Stages from a trace, and how far they are from the reference's. */
#include <math.h>
#include <stdio.h>

#include "golden/run.h"
#include "support/test.h"

#define N_GREEDY 64

static void keep(void *self, const char *stage, size_t n_row, size_t n_col, const float *data)
{
    golden_stages *all = self;
    golden_stage *s = (golden_stage *)golden_stage_find(all, stage);
    if (!s) {
        assert_true(all->n < WD_COUNT(all->s));
        s = &all->s[all->n++];
        snprintf(s->name, sizeof(s->name), "%s", stage);
        s->n_col = n_col;
    }
    assert_int_equal(s->n_col, n_col);
    if (s->n_row + n_row > s->cap) {
        s->cap = 2 * (s->n_row + n_row);
        s->v = wd_realloc(s->v, s->cap * n_col, sizeof(float));
        assert_non_null(s->v);
    }
    memcpy(s->v + s->n_row * n_col, data, n_row * n_col * sizeof(float));
    s->n_row += n_row;
}

void golden_stages_init(golden_stages *s)
{
    s->n = 0;
    s->trace = (wd_trace){ .fn = keep, .self = s };
}

void golden_stages_free(golden_stages *s)
{
    for (size_t i = 0; i < s->n; i++)
        wd_free(s->s[i].v);
    s->n = 0;
}

const golden_stage *golden_stage_find(const golden_stages *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->s[i].name, name) == 0)
            return &s->s[i];
    return NULL;
}

double golden_error(const float *got, const float *want, size_t n)
{
    double diff = 0, top = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)got[i] - (double)want[i]);
        if (!(d <= diff))
            diff = isnan(d) ? INFINITY : d;
        if (fabs((double)want[i]) > top)
            top = fabs((double)want[i]);
    }
    return top > 0 ? diff / top : diff;
}

double golden_l2(const float *got, const float *want, size_t n)
{
    double diff = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)got[i] - (double)want[i];
        diff += d * d;
        sum += (double)want[i] * (double)want[i];
    }
    return isfinite(diff) ? sqrt(diff / (sum > 0 ? sum : 1)) : INFINITY;
}

double golden_limit(const char *stage, wd_precision p)
{
    const bool end = strcmp(stage, "final_norm") == 0 || strcmp(stage, "merger_out") == 0 ||
                     strncmp(stage, "deepstack_", 10) == 0;
    const bool logits = strcmp(stage, "logits") == 0;
    if (p == WD_PRECISION_EXACT)
        return logits ? 1e-4 : end ? 5e-5 : 1e-5;
    return logits ? 3e-2 : end ? 2e-2 : 1e-2;
}

void golden_note(golden_report *r, const char *stage, double error, double limit)
{
    assert_true(r->n < WD_COUNT(r->row));
    golden_row *row = &r->row[r->n++];
    snprintf(row->stage, sizeof(row->stage), "%s", stage);
    row->error = error;
    row->limit = limit;
}

bool golden_passed(const golden_report *r)
{
    for (size_t i = 0; i < r->n; i++)
        if (!(r->row[i].error <= r->row[i].limit))
            return false;
    return r->n > 0;
}

/* Tokens whose experts differ from the reference's in some layer up to `layer`. With 16-bit activations a near-tie
 * between two experts may fall the other way; such a token is another computation from there on, and is left out. */
static bool rerouted(const gold *want, const char *sample, const golden_stages *got, int layer, size_t token)
{
    for (int l = 0; l <= layer; l++) {
        char name[32];
        gold_tensor ids;
        snprintf(name, sizeof(name), "router_ids_%d", l);
        const golden_stage *s = golden_stage_find(got, name);
        if (!s || !gold_find(want, sample, name, &ids) || token >= ids.n_row || token >= s->n_row)
            continue;
        for (size_t k = 0; k < ids.n_col; k++)
            if ((int32_t)s->v[token * s->n_col + k] != ids.i[token * ids.n_col + k])
                return true;
    }
    return false;
}

/* The layer whose routing a stage depends on, -1: none. */
static int layer_of(const char *stage)
{
    int l = -1;
    if (strcmp(stage, "final_norm") == 0 || strcmp(stage, "logits") == 0)
        return WD_MAX_LAYERS;
    if (sscanf(stage, "layer_%d_", &l) != 1)
        return -1;
    return strstr(stage, "_attn") ? l - 1 : l;
}

/* Error of one stage; *n_out (rows left out) is added to. */
static double stage_error(const gold *want, const char *sample, const golden_stages *all, const char *stage,
                          wd_precision p, size_t *n_out)
{
    char key[80];
    snprintf(key, sizeof(key), "%s.rows", stage);
    const gold_tensor rows = gold_get(want, sample, key), t = gold_get(want, sample, stage);
    const golden_stage *got = golden_stage_find(all, stage);
    if (!got || got->n_col != t.n_col || rows.n != t.n_row)
        return INFINITY;
    float *v = WD_ALLOC_N(float, t.n), *w = WD_ALLOC_N(float, t.n);
    assert_true(v && w);
    const int layer = p == WD_PRECISION_FAST ? layer_of(stage) : -1;
    size_t n = 0;
    double error = 0;
    for (size_t i = 0; i < rows.n; i++) {
        const size_t row = (size_t)rows.i[i];
        if (row >= got->n_row) {
            error = INFINITY;
            break;
        }
        if (rerouted(want, sample, all, layer < WD_MAX_LAYERS ? layer : WD_MAX_LAYERS - 1, row)) {
            ++*n_out;
            continue;
        }
        for (size_t k = 0; k < t.n_col; k++, n++) {
            v[n] = got->v[row * t.n_col + k];
            w[n] = t.f ? t.f[i * t.n_col + k] : (float)t.i[i * t.n_col + k];
        }
    }
    if (t.i) /* expert ids: how many differ */
        for (size_t i = 0; i < n; i++)
            error += v[i] != w[i];
    else if (error == 0)
        error = p == WD_PRECISION_EXACT ? golden_error(v, w, n) : golden_l2(v, w, n);
    wd_free(v);
    wd_free(w);
    return error;
}

void golden_compare(const gold *want, const char *sample, const golden_stages *got, wd_precision p,
                    golden_report *r)
{
    const size_t prefix = strlen(sample) + 1;
    for (size_t i = 0; i < gold_count(want); i++) {
        const char *key = gold_name(want, i);
        const size_t n = strlen(key);
        if (n < 6 || strcmp(key + n - 5, ".rows") != 0 || strncmp(key, sample, prefix - 1) != 0 ||
            key[prefix - 1] != '.')
            continue;
        char stage[64];
        snprintf(stage, sizeof(stage), "%.*s", (int)(n - 5 - prefix), key + prefix);
        const bool router = strncmp(stage, "router_", 7) == 0, ids = strncmp(stage, "router_ids", 10) == 0;
        if (strcmp(stage, "pixel_rows") == 0 || (router && p == WD_PRECISION_FAST))
            continue;
        size_t n_out = 0;
        const double error = stage_error(want, sample, got, stage, p, &n_out);
        golden_note(r, stage, error, ids ? 0 : golden_limit(stage, p));
        if (strcmp(stage, "final_norm") == 0 && p == WD_PRECISION_FAST &&
            golden_stage_find(got, "router_ids_0")) {
            const double n_row = (double)gold_get(want, sample, "final_norm").n_row;
            golden_note(r, "rerouted_share", (double)n_out / n_row, 0.2);
        }
    }
}

/* Log-probability of each next prompt token: the largest difference. */
static double logprob_error(const float *logits, const uint32_t *ids, size_t n, size_t n_vocab,
                            gold_tensor want)
{
    double worst = 0;
    for (size_t i = 0; i + 1 < n; i++) {
        const float *v = logits + i * n_vocab;
        const double top = (double)v[golden_argmax(v, n_vocab)];
        double sum = 0;
        for (size_t j = 0; j < n_vocab; j++)
            sum += exp((double)v[j] - top);
        const double got = (double)v[ids[i + 1]] - top - log(sum), d = fabs(got - (double)want.f[i]);
        if (!(d <= worst))
            worst = d;
    }
    return worst;
}

static double n_other(const float *logits, size_t n_vocab, gold_tensor argmax)
{
    double n = 0;
    for (size_t i = 0; i < argmax.n; i++)
        n += golden_argmax(logits + i * n_vocab, n_vocab) != (size_t)argmax.i[i];
    return n;
}

void golden_check(const golden_opts *o, const char *set, const char *sample, golden_report *r)
{
    gold *want = gold_open(set);
    golden_model g;
    golden_open(&g, o);
    golden_stages *got = WD_ALLOC(golden_stages);
    assert_non_null(got);
    golden_stages_init(got);
    golden_prompt p;
    golden_prompt_init(&p, &g, want, sample, NULL, &got->trace);
    wd_kv *kv;
    assert_ok(wd_kv_create(g.kv, &kv, &err));
    const size_t n_vocab = g.cfg.text.n_vocab;
    float *logits = WD_ALLOC_N(float, p.n *n_vocab);
    assert_non_null(logits);
    golden_feed(&g, &p, kv, 0, p.n, 512, false, NULL, logits, &got->trace);
    golden_compare(want, sample, got, o->precision, r);

    const bool exact = o->precision == WD_PRECISION_EXACT;
    if (exact) {
        golden_note(r, "prompt_logprob",
                    logprob_error(logits, p.ids, p.n, n_vocab, gold_get(want, sample, "logprob")), 1e-4);
        golden_note(r, "prompt_argmax_differs", n_other(logits, n_vocab, gold_get(want, sample, "argmax")),
                    0);
        uint32_t token[N_GREEDY];
        const gold_tensor greedy = gold_get(want, sample, "greedy");
        assert_int_equal(greedy.n, N_GREEDY);
        golden_greedy(&g, kv, logits + (p.n - 1) * n_vocab, N_GREEDY, token);
        double n = 0;
        for (size_t i = 0; i < N_GREEDY; i++)
            n += token[i] != (uint32_t)greedy.i[i];
        golden_note(r, "greedy_64_differs", n, 0);
    }
    wd_free(logits);
    wd_kv_destroy(kv);
    golden_prompt_free(&p);
    golden_stages_free(got);
    wd_free(got);
    golden_close(&g);
    gold_close(want);
}
