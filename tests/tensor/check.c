/* The kernel checker's machinery: guarded buffers, hard inputs, comparisons, timing. */
#include "check.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CANARY 0xA5

void wd_check_fail(wd_check *c, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    printf("FAILED %s %s%s: ", c->isa, c->name, c->low ? " (low)" : "");
    vprintf(fmt, args);
    putchar('\n');
    va_end(args);
    c->n_bad++;
}

static void check_canaries(wd_check *c, unsigned b)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const unsigned char *first = c->buf[b].map + page, *last = c->buf[b].map + c->buf[b].map_bytes - page;
    for (const unsigned char *p = first; p < last; p++) {
        const bool inside = p >= c->buf[b].p && p < c->buf[b].p + c->buf[b].bytes;
        if (!inside && *p != CANARY) {
            wd_check_fail(c, "buffer %u was written %td bytes from its start", b, p - c->buf[b].p);
            return;
        }
    }
}

void wd_check_end(wd_check *c)
{
    for (unsigned b = 0; b < c->n_buf; b++) {
        check_canaries(c, b);
        munmap(c->buf[b].map, c->buf[b].map_bytes);
    }
    c->n_buf = 0;
}

bool wd_check_begin(wd_check *c, size_t slot, const char *fmt, ...)
{
    va_list args;
    wd_check_end(c);
    va_start(args, fmt);
    vsnprintf(c->name, sizeof c->name, fmt, args);
    va_end(args);
    if (c->filter && !strstr(c->name, c->filter))
        return false;
    if (c->below &&
        !memcmp((const char *)c->below + slot, (const char *)c->dut + slot, sizeof(void (*)(void))))
        return false;
    wd_rand_init(&c->rand, 20240229); /* the same inputs for every level, whatever ran before */
    c->n_check++;
    return true;
}

void *wd_check_bytes(wd_check *c, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), inner = (n + page) / page * page;
    if (c->n_buf == WD_COUNT(c->buf))
        abort();
    unsigned char *map = mmap(NULL, inner + 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
                              0);
    if (map == MAP_FAILED || mprotect(map, page, PROT_NONE) ||
        mprotect(map + page + inner, page, PROT_NONE)) {
        perror("mmap");
        exit(1);
    }
    memset(map + page, CANARY, inner);
    unsigned char *p = c->low ? map + page : map + page + inner - n;
    memset(p, 0, n);
    c->buf[c->n_buf].map = map;
    c->buf[c->n_buf].p = p;
    c->buf[c->n_buf].map_bytes = inner + 2 * page;
    c->buf[c->n_buf].bytes = n;
    c->n_buf++;
    return p;
}

float *wd_check_buf(wd_check *c, size_t n)
{
    return wd_check_bytes(c, n * sizeof(float));
}

void wd_check_fill(wd_check *c, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const double scale = ldexp(1, (int)wd_rand_below(&c->rand, 17) - 8), v = wd_rand_normal(&c->rand);
        switch (wd_rand_below(&c->rand, 16)) {
        case 0:
            x[i] = wd_rand_below(&c->rand, 2) ? 0.0f : -0.0f;
            break;
        case 1:
            x[i] = (float)ldexp(v, -140);
            break;
        default:
            x[i] = (float)(v * scale);
        }
    }
    if (n > 4)
        x[wd_rand_below(&c->rand, n)] = 12345.678f;
}

void wd_check_fill_bf16(wd_check *c, void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float v;
        wd_check_fill(c, &v, 1);
        const wd_bf16 b = wd_f32_to_bf16(v);
        memcpy((char *)p + i * sizeof b, &b, sizeof b);
    }
}

void wd_check_fill_f16(wd_check *c, void *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        float v;
        wd_check_fill(c, &v, 1);
        const wd_f16 h = wd_f32_to_f16(fabsf(v) < 1e-30f ? v * 0x1p120f : v); /* denormals of f16 too */
        memcpy((char *)p + i * sizeof h, &h, sizeof h);
    }
}

void wd_check_nmse(wd_check *c, const float *want, const float *got, size_t n, double limit)
{
    double error = 0, power = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        power += (double)want[i] * want[i];
    }
    if (!(error <= limit * power)) /* not NaN either */
        wd_check_fail(c, "NMSE %.3g, limit %.3g", error / power, limit);
}

void wd_check_near(wd_check *c, const float *want, const float *got, const float *scale, size_t n,
                   double limit)
{
    for (size_t i = 0; i < n; i++) {
        const double size = fmax(fabs((double)want[i]), scale ? fabs((double)scale[i]) : 0);
        if (!(fabs((double)got[i] - want[i]) <= limit * size + 1.5e-38)) {
            wd_check_fail(c, "element %zu is %.9g, wanted %.9g", i, (double)got[i], (double)want[i]);
            return;
        }
    }
}

void wd_check_same(wd_check *c, const char *what, const void *want, const void *got, size_t bytes)
{
    if (memcmp(want, got, bytes) != 0)
        wd_check_fail(c, "%s: bits differ", what);
}

unsigned wd_check_level(const char *isa, const wd_kern *ref, const wd_kern *below, const wd_kern *dut,
                        bool bench, const char *filter, unsigned *n_check)
{
    unsigned n_bad = 0;
    *n_check = 0;
    for (int low = 0; low < 2; low++) {
        wd_check c = { .ref = ref, .dut = dut, .below = below, .isa = isa, .filter = filter, .low = low };
        c.bench = bench && low; /* a masked access that reaches into a guard page is slow */
        check_matmul(&c);
        check_quant(&c);
        check_convert(&c);
        check_rows(&c);
        check_attn(&c);
        *n_check += c.n_check;
        n_bad += c.n_bad;
    }
    return n_bad;
}

/* ---- benchmark ---------------------------------------------------------------------------------------------- */

enum { MAX_NAMES = 256, MAX_ISAS = 6, ROUNDS = 5 };
#define ROUND_S 0.02

static struct {
    char name[64];
    double bytes_s[MAX_ISAS], flops_s[MAX_ISAS];
} table[MAX_NAMES];
static const char *isas[MAX_ISAS];
static size_t n_name, n_isa;
static double started, best;
static unsigned calls, next_look, rounds;

/* The process's own time: other people's load on the machine counts little. */
static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void wd_check__bench_start(void)
{
    best = INFINITY;
    calls = rounds = 0;
    next_look = 1;
    started = cpu_s();
}

static size_t find(const char *name)
{
    for (size_t i = 0; i < n_name; i++) {
        if (!strcmp(table[i].name, name))
            return i;
    }
    if (n_name == MAX_NAMES)
        abort();
    snprintf(table[n_name].name, sizeof table[n_name].name, "%s", name);
    return n_name++;
}

bool wd_check__bench_more(wd_check *c, double bytes, double flops)
{
    /* Asking the clock takes half a microsecond: only after as many calls as the last round took. */
    if (++calls < next_look)
        return true;
    const double spent = cpu_s() - started;
    if (spent < ROUND_S) {
        next_look = 2 * calls;
        return true;
    }
    best = fmin(best, spent / calls);
    calls = 0;
    started = cpu_s();
    if (++rounds < ROUNDS)
        return true;
    size_t i = 0;
    while (i < n_isa && strcmp(isas[i], c->isa) != 0)
        i++;
    if (i == n_isa)
        isas[n_isa++] = c->isa;
    const size_t row = find(c->name);
    table[row].bytes_s[i] = bytes / best;
    table[row].flops_s[i] = flops / best;
    return false;
}

void wd_check_bench_print(void)
{
    printf("%-34s", "GB/s | GFLOP/s");
    for (size_t i = 0; i < n_isa; i++)
        printf(" %17s", isas[i]);
    putchar('\n');
    for (size_t row = 0; row < n_name; row++) {
        printf("%-34s", table[row].name);
        for (size_t i = 0; i < n_isa; i++) {
            if (table[row].bytes_s[i] > 0)
                printf(" %7.1f | %7.1f", table[row].bytes_s[i] * 1e-9, table[row].flops_s[i] * 1e-9);
            else
                printf(" %17s", "-");
        }
        putchar('\n');
    }
}
