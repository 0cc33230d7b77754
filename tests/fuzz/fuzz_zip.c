/* The ZIP reader on arbitrary bytes, with limits that a test run can bear. */
#include <stdlib.h>

#include "media/archive_inner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static wd_status look(void *ctx, uint32_t entry, const char *name, wd_span bytes, wd_err *err)
{
    uint64_t *total = ctx;
    (void)entry, (void)err;
    *total += bytes.n + strlen(name);
    return WD_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const wd_archive_limits limits = {
        .max_entries = 100, .max_entry_bytes = 1 << 20, .max_total_bytes = 4 << 20, .max_ratio = 100
    };
    uint64_t total = 0;
    wd_err err;
    if (wd_archive__each_here(wd_span_of(data, size), &limits, look, &total, &err) == WD_OK &&
        total > limits.max_total_bytes + 100 * 4096u)
        abort(); /* a limit did not hold */
    return 0;
}
