/* A visit from inside the guard. */
#ifndef WD_GUARD_VISIT_H
#define WD_GUARD_VISIT_H

#include "guard/inner.h"

struct wd_visit {
    wd_guard *g;
    const wd_rule *rule;
    wd_identity who;
    wd_reach reach;
    char id[WD_GUARD__VISIT_ID + 1];
    char from[WD_GUARD__FROM_MAX];
    char object[WD_NAME_MAX + 24], model[WD_NAME_MAX + 1];
    bool has_model_digest, has_input_digest;
    wd_digest model_digest, input_digest;
    bool begun; /* the first record of two is written */
};

/* How many bad credentials an address may show. */
wd_limit wd_guard__address(const wd_guard *g, const char *from);

#endif
