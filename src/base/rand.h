/* Seeded pseudo-random numbers (xoshiro256**, Blackman & Vigna 2018, seeded by splitmix64): the same seed
 * gives the same sequence on every machine. Not for keys: those come from libsodium. */
#ifndef WD_BASE_RAND_H
#define WD_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

typedef struct wd_rand {
    uint64_t s[4];
} wd_rand;

void wd_rand_init(wd_rand *r, uint64_t seed);
uint64_t wd_rand_u64(wd_rand *r);
double wd_rand_unit(wd_rand *r); /* [0, 1), 53 bits */
double wd_rand_range(wd_rand *r, double lo, double hi);
uint64_t wd_rand_below(wd_rand *r, uint64_t n); /* 0 .. n-1 without bias, n >= 1 */
double wd_rand_normal(wd_rand *r);              /* mean 0, deviation 1 */
/* A seed from the operating system, for requests that ask for none. */
uint64_t wd_rand_os_seed(void);

#endif
