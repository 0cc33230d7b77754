/* Checks every kernel of every instruction set that this machine has: kern_check [filter]
 * Measures them beside each other:                                   kern_check --bench [filter] */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "tensor/ops.h"

int main(int argc, char **argv)
{
    static const char *const levels[] = { "ref", "avx2", "avx512", "avx512vnni", "avx512bf16", "amx" };
    const bool bench = argc > 1 && !strcmp(argv[1], "--bench");
    const char *filter = argc > 1 + bench ? argv[1 + bench] : NULL;
    wd_kern spec, ref, before, dut;
    unsigned n_bad = 0;

    wd_kern_init_spec(&spec);
    wd_kern_init_ref(&ref);
    for (size_t i = 0; i < WD_COUNT(levels); i++) {
        uint32_t isa;
        unsigned n_check = 0;
        if (wd_isa_parse(levels[i], &isa, NULL)) {
            printf("%-11s SKIPPED: this machine does not have it\n", levels[i]);
            continue;
        }
        wd_kern_init(&dut, isa);
        n_bad += wd_check_level(levels[i], i ? &ref : &spec, i ? &before : NULL, &dut, bench, filter,
                                &n_check);
        printf("%-11s %u cases checked\n", levels[i], n_check);
        before = dut;
    }
    if (bench) {
        wd_check_bench_print();
        bench_ops(filter);
    }
    return n_bad > 0;
}
