/* xoshiro256** and what is made of it. */
#include "base/rand.h"

#include <math.h>

#include <sodium.h>

void wd_rand_init(wd_rand *r, uint64_t seed)
{
    for (int i = 0; i < 4; i++) { /* splitmix64: never leaves all four zero */
        seed += 0x9E3779B97F4A7C15u;
        uint64_t z = seed;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        r->s[i] = z ^ z >> 31;
    }
}

static uint64_t rotl(uint64_t x, int k)
{
    return x << k | x >> (64 - k);
}

uint64_t wd_rand_u64(wd_rand *r)
{
    uint64_t *s = r->s;
    const uint64_t out = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotl(s[3], 45);
    return out;
}

double wd_rand_unit(wd_rand *r)
{
    return (double)(wd_rand_u64(r) >> 11) * 0x1p-53;
}

double wd_rand_range(wd_rand *r, double lo, double hi)
{
    return lo + (hi - lo) * wd_rand_unit(r);
}

uint64_t wd_rand_below(wd_rand *r, uint64_t n)
{
    const uint64_t reject = -n % n; /* 2^64 mod n: values under it would favour small results */
    uint64_t v;
    do
        v = wd_rand_u64(r);
    while (v < reject);
    return v % n;
}

double wd_rand_normal(wd_rand *r)
{
    const double u = 1.0 - wd_rand_unit(r), v = wd_rand_unit(r); /* Box-Muller, u in (0, 1] */
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

uint64_t wd_rand_os_seed(void)
{
    uint64_t seed;
    randombytes_buf(&seed, sizeof seed);
    return seed;
}
