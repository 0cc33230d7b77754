/* The compilers of structured output on arbitrary bytes: a schema, or (first byte) a regular expression. What compiles is
 * followed at random through masks over all bytes: no state may be without a way on, and what ends must be accepted. */
#include <stdlib.h>

#include "base/rand.h"
#include "text/schema/matcher.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define END 256u
#define STEPS 120

static void must(bool good)
{
    if (!good)
        abort();
}

static void follow(const wd_constraint *c, uint64_t seed)
{
    static uint8_t byte[256];
    wd_span token[257] = { 0 };
    const uint32_t end = END;
    uint64_t mask[(257 + 63) / 64];
    wd_lexicon *l;
    wd_matcher *m;
    wd_rand r;
    wd_buf text = { 0 };
    wd_err err;
    for (size_t i = 0; i < 256; i++) {
        byte[i] = (uint8_t)i;
        token[i] = wd_span_of(&byte[i], 1);
    }
    wd_rand_init(&r, seed);
    must(!wd_lexicon_create_list(token, 257, &l, &err));
    must(!wd_matcher_create(c, l, &end, 1, &m, &err));
    for (int step = 0; step < STEPS; step++) {
        uint32_t may[257], n = 0;
        must(!wd_matcher_mask(m, mask, &err));
        for (uint32_t i = 0; i < 257; i++)
            if (mask[i / 64] >> i % 64 & 1)
                may[n++] = i;
        must(n > 0);
        const uint32_t id = may[wd_rand_below(&r, n)];
        must(!wd_matcher_advance(m, id, &err));
        if (id == END) {
            must(wd_constraint_accepts(c, wd_buf_view(&text)));
            break;
        }
        wd_buf_put(&text, &byte[id], 1);
    }
    wd_buf_free(&text);
    wd_matcher_destroy(m);
    wd_lexicon_destroy(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wd_constraint *c;
    wd_err err;
    if (size < 1)
        return 0;
    const wd_span text = wd_span_of(data + 1, size - 1);
    const wd_status st = data[0] & 1 ? wd_constraint_regex(text, &c, &err)
                                     : wd_constraint_schema(
                                           text, data[0] & 2 ? WD_SPACE_NONE : WD_SPACE_BOUNDED, &c, &err);
    if (!st)
        follow(c, size);
    wd_constraint_unref(&c);
    return 0;
}
