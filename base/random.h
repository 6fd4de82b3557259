/* Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
 * easy as 1, 2, 3").
 *
 * Four words are a pure function of a key and a counter, so a number depends on what it is for
 * (seed, step, layer, row) and never on threads, ranks or the order of calls. */
#ifndef MIXT_BASE_RANDOM_H
#define MIXT_BASE_RANDOM_H

#include <stdint.h>

/* Names one stream of random numbers. */
struct random_key {
    uint64_t seed;   /* of the run */
    uint32_t step;   /* update number */
    uint32_t stream; /* which use: a layer's place in the model, shuffling, initialisation */
};

struct random_words {
    uint32_t word[4];
};

static inline struct random_words random_philox(struct random_key key, uint32_t row, uint32_t block)
{
    uint32_t c0 = block, c1 = row, c2 = key.stream, c3 = key.step;
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return (struct random_words){{c0, c1, c2, c3}};
}

/* A word as a number in (0, 1), never 0 or 1; exact in double. */
static inline double random_unit(uint32_t word)
{
    return ((double)word + 0.5) * 0x1p-32;
}

/* Two independent standard normal numbers of two words (Box and Muller 1958). */
void random_normal_pair(uint32_t word0, uint32_t word1, double normal[2]);

/* A whole number in 0..bound-1 from two words; bound >= 1. Biased by less than bound / 2^64. */
static inline uint64_t random_below(uint32_t word0, uint32_t word1, uint64_t bound)
{
    const uint64_t high = ((uint64_t)word0 << 32) | word1;
    return high % bound;
}

#endif
