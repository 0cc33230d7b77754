/* The kernel checker: one registration per slot is its check and its benchmark.
 *
 * Every slot that an instruction set overrides is compared with the reference; the reference itself is compared
 * with formulas in long double that share no code with it (spec.c). Buffers lie between pages that fault, once
 * against the upper one and once against the lower one.
 */
#ifndef WD_TESTS_TENSOR_CHECK_H
#define WD_TESTS_TENSOR_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/rand.h"
#include "tensor/cpu/kern.h"

typedef struct wd_check {
    const wd_kern *ref, *dut; /* what is right; what is under test */
    const wd_kern *below;     /* the level before: a slot equal to it is not checked again; NULL: all are */
    const char *isa, *filter;
    bool bench, low; /* low: buffers against the lower guard, else against the upper */
    wd_rand rand;
    char name[64];
    unsigned n_check, n_bad, n_buf;
    struct {
        unsigned char *map, *p;
        size_t map_bytes, bytes;
    } buf[16];
} wd_check;

#define WD_SLOT(slot) offsetof(wd_kern, slot)

/* Starts a case: frees the buffers of the last. False: this level does not override the slot, or it is filtered. */
bool wd_check_begin(wd_check *c, size_t slot, const char *fmt, ...) WD_PRINTF(3, 4);
/* Ends the last case of a registration. */
void wd_check_end(wd_check *c);

/* Zeroed memory between guard pages, with canaries in the rest of its own pages. */
void *wd_check_bytes(wd_check *c, size_t n);
float *wd_check_buf(wd_check *c, size_t n); /* n floats */
/* Mixed scales (2^-8 .. 2^8), zeros, denormals, one outlier. */
void wd_check_fill(wd_check *c, float *x, size_t n);
/* The same as 16-bit values, p may be odd. */
void wd_check_fill_bf16(wd_check *c, void *p, size_t n);
void wd_check_fill_f16(wd_check *c, void *p, size_t n);

void wd_check_nmse(wd_check *c, const float *want, const float *got, size_t n, double limit);
/* |got - want| <= limit * max(|want|, |scale|) + 1.5e-38 at every element. */
void wd_check_near(wd_check *c, const float *want, const float *got, const float *scale, size_t n,
                   double limit);
void wd_check_same(wd_check *c, const char *what, const void *want, const void *got, size_t bytes);
void wd_check_fail(wd_check *c, const char *fmt, ...) WD_PRINTF(2, 3);

/* With --bench: repeats `call` and notes bytes and operations per second. */
#define wd_check_bench(c, bytes, flops, call)                                      \
    do {                                                                           \
        if ((c)->bench) {                                                          \
            wd_check__bench_start();                                               \
            do {                                                                   \
                call;                                                              \
            } while (wd_check__bench_more((c), (double)(bytes), (double)(flops))); \
        }                                                                          \
    } while (0)
void wd_check__bench_start(void);
bool wd_check__bench_more(wd_check *c, double bytes, double flops);
void wd_check_bench_print(void);

/* Every registration, against the upper guard and against the lower one. Returns how many failed. */
unsigned wd_check_level(const char *isa, const wd_kern *ref, const wd_kern *below, const wd_kern *dut,
                        bool bench, const char *filter, unsigned *n_check);

/* The registrations. */
void check_matmul(wd_check *c);
void check_quant(wd_check *c);
void check_convert(wd_check *c);
void check_rows(wd_check *c);
void check_attn(wd_check *c);

/* Operators at model shapes, on all cores; prints as it goes. */
void bench_ops(const char *filter);

/* Every slot by its formula in long double. */
void wd_kern_init_spec(wd_kern *k);

#endif
