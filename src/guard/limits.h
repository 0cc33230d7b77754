/* Token buckets in memory: rates of keys and tenants, bad credentials of addresses.
 *
 * A fixed number of buckets, found by a keyed hash of the name. When all the places of a name are taken, the one unused
 * longest makes room: its owner starts again with a full bucket. Thread-safe. Forgotten when the process ends; account
 * lock-outs are in the database instead.
 */
#ifndef WD_GUARD_LIMITS_H
#define WD_GUARD_LIMITS_H

#include "base/buf.h"

typedef struct wd_limits wd_limits;

WD_MUST_CHECK wd_limits *wd_limits_create(void); /* NULL: no memory */
void wd_limits_destroy(wd_limits *l);            /* accepts NULL */

typedef struct wd_limit {
    char kind;        /* 'a' address, 'k' key, 't' tenant, 'n' name: names of different kinds are different */
    const char *name; /* an IPv6 address counts by its first 64 bits */
    double per_s, burst;
} wd_limit;

/* Takes `cost` from the bucket. False when there is not as much: nothing is taken, *retry_s says when there will be, and
 * *first whether the last call was still allowed (so that a flood of refusals is recorded once). cost 0 asks only:
 * whether one could be taken. now_us may go back; then no time has passed. */
bool wd_limits_take(wd_limits *l, const wd_limit *limit, double cost, int64_t now_us, uint32_t *retry_s,
                    bool *first);

#endif
