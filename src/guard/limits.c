/* Token buckets. */
#include "guard/limits.h"

#include <arpa/inet.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

#include <sodium.h>

#define SLOTS 8192u /* a power of 2 */
#define PLACES 8u   /* of one name */

typedef struct bucket {
    uint64_t name; /* 0: free */
    double left;
    int64_t at_us;
    bool refusing;
} bucket;

struct wd_limits {
    pthread_mutex_t mu;
    uint8_t key[crypto_shorthash_KEYBYTES];
    bucket b[SLOTS]; /* under mu */
};

wd_limits *wd_limits_create(void)
{
    wd_limits *l = WD_ALLOC(wd_limits);
    if (l) {
        pthread_mutex_init(&l->mu, NULL);
        randombytes_buf(l->key, sizeof l->key);
    }
    return l;
}

void wd_limits_destroy(wd_limits *l)
{
    if (l)
        pthread_mutex_destroy(&l->mu);
    wd_free(l);
}

static uint64_t name_of(const wd_limits *l, const wd_limit *limit)
{
    uint8_t text[128] = { (uint8_t)limit->kind }, out[crypto_shorthash_BYTES];
    struct in6_addr six;
    size_t n = 1;

    if (limit->kind == 'a' && inet_pton(AF_INET6, limit->name, &six) == 1) {
        const bool four = IN6_IS_ADDR_V4MAPPED(&six);
        memcpy(text + 1, six.s6_addr + (four ? 8 : 0), 8); /* a house has 2^64 addresses: they count as one */
        n += 8;
    } else {
        n += (size_t)snprintf((char *)text + 1, sizeof text - 1, "%s", limit->name);
        n = WD_MIN(n, sizeof text - 1);
    }
    crypto_shorthash(out, text, n, l->key);
    const uint64_t h = wd_le64(out);
    return h ? h : 1;
}

/* The name's bucket, or the one of its places that was unused longest, filled anew. */
static bucket *find(wd_limits *l, uint64_t name, double burst, int64_t now_us)
{
    bucket *oldest = NULL;

    for (size_t i = 0; i < PLACES; i++) {
        bucket *b = &l->b[(name + i) & (SLOTS - 1)];
        if (b->name == name)
            return b;
        if (!oldest || !b->name || (oldest->name && b->at_us < oldest->at_us))
            oldest = b;
    }
    *oldest = (bucket){ .name = name, .left = burst, .at_us = now_us };
    return oldest;
}

bool wd_limits_take(wd_limits *l, const wd_limit *limit, double cost, int64_t now_us, uint32_t *retry_s,
                    bool *first)
{
    const uint64_t name = name_of(l, limit);
    const double need = cost > 0 ? cost : 1;

    pthread_mutex_lock(&l->mu);
    bucket *b = find(l, name, limit->burst, now_us);
    if (now_us > b->at_us)
        b->left = WD_MIN(limit->burst, b->left + (double)(now_us - b->at_us) * 1e-6 * limit->per_s);
    b->at_us = now_us;
    const bool ok = b->left >= need;
    *first = !ok && !b->refusing;
    *retry_s = 0;
    b->refusing = !ok;
    if (ok)
        b->left -= cost;
    else
        *retry_s = limit->per_s > 0 ? (uint32_t)WD_MIN(ceil((need - b->left) / limit->per_s), 86400.0)
                                    : 86400;
    pthread_mutex_unlock(&l->mu);
    return ok;
}
