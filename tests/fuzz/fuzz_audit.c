/* An audit's export and anchors from arbitrary bytes, against a fixed key. The corpus holds a true export by that key: nobody
 * else can sign, so what verifies must end as it does. The input is the export; what follows a line "anchors" are those. */
#include <stdio.h>
#include <stdlib.h>

#include <sodium.h>

#include "guard/audit.h"
#include "guard/chain.h"

/* Of the seed 00 01 02 ... 1f; the end of tests/fuzz/corpus/audit/export. */
static const char public_key[] = "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8";
#define LAST 9
static const char last_hash[] = "5bab1cadbedaf4e73bac1401a30cf2769f9f7a6fb8120fa5c506d6fbee9059e4";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wd_public_key key;
    wd_audit_report r;
    wd_err err;
    wd_span text = wd_span_of(data, size), anchors = { 0 };

    if (sodium_init() < 0 || !wd_unhex(wd_span_str(public_key), key.b, sizeof key.b))
        abort();
    const size_t at = wd_span_find(text, WD_SPAN_LIT("\nanchors\n"), 0);
    if (at != SIZE_MAX) {
        anchors = wd_span_sub(text, at + 9, size);
        text = wd_span_sub(text, 0, at + 1);
    }
    if (wd_audit_verify_lines(text, &key, anchors, &r, &err))
        abort();
    for (uint64_t i = 0; i < r.n_finding && i < WD_AUDIT_MAX_FINDINGS; i++)
        if (!memchr(r.finding[i], 0, sizeof r.finding[i]))
            abort();
    if (r.n_finding == 0 && (!r.head || r.last != LAST || strcmp(r.head_hash, last_hash) != 0 ||
                             r.first < 1 || r.n_record != (uint64_t)(r.last - r.first + 1))) {
        fprintf(stderr, "verified, and is another audit\n");
        abort();
    }
    return 0;
}
