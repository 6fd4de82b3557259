/* The numbers that NumPy's default_rng(seed) draws, bit for bit: SeedSequence, PCG64 (O'Neill 2014,
 * XSL-RR 128/64) and bounded integers by multiplication (Lemire 2019, "Fast random integer
 * generation in an interval"), as NumPy 1.17 to 2.4 have them.
 *
 * default_rng(seed).choice(n, size) and integers(n, size=size) are numpy_random_fill();
 * integers(2, size=size, dtype=bool) is the bits of numpy_random_next(), lowest first. */
#ifndef MIXT_TEXT_METRIC_NUMPY_RANDOM_H
#define MIXT_TEXT_METRIC_NUMPY_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* A generator; may be copied, and the copy goes on from the same place. */
struct numpy_random {
    uint64_t state_high, state_low;
    uint64_t increment_high, increment_low;
    uint32_t half; /* the upper half of the last word, where only the lower one was used */
    bool has_half;
};

/* Starts from a seed: decimal digits of a whole number of any size, or NULL for 128 bits of the
 * operating system. STATUS_USAGE for a seed that is not one, STATUS_MEMORY, STATUS_FAILED when the
 * system gives no bits. */
enum status numpy_random_seed(struct numpy_random *random, const char *seed) STATUS_CHECKED;

/* 64 bits; a kept half stays kept, as in NumPy. */
uint64_t numpy_random_next(struct numpy_random *random);

/* 32 bits: the lower half of a word, then its upper half. */
uint32_t numpy_random_next_half(struct numpy_random *random);

/* Passes over n words of 64 bits in O(log n); a kept half stays kept. */
void numpy_random_skip(struct numpy_random *random, uint64_t n);

/* A whole number 0..bound-1; bound >= 1. Up to 2^32 it takes 32 bits a try, above that 64; a bound
 * of 1 takes none. */
uint64_t numpy_random_below(struct numpy_random *random, uint64_t bound);

/* Fills numbers [n] as n calls of numpy_random_below() would, faster. */
void numpy_random_fill(struct numpy_random *random, uint32_t bound, uint32_t *numbers, size_t n);

/* Draws n times 32 bits and counts those that numpy_random_below() would reject for the bound. */
uint64_t numpy_random_count_rejected(struct numpy_random *random, uint32_t bound, uint64_t n);

#endif
