/* Finds which keys of a long sequence were there before, in memory that does not grow with it but
 * for a bit a key.
 *
 * Keys are 128-bit hashes. They go to buckets of a file by their first bits, and bucket after
 * bucket is looked through at the end. Two texts of the same hash would be taken for one; among
 * 10^9 texts that happens with probability 10^-21. */
#ifndef MIXT_TEXT_PREP_DUPLICATES_H
#define MIXT_TEXT_PREP_DUPLICATES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

struct duplicates_key {
    uint64_t low;
    uint64_t high;
};

struct duplicates;

/* Begins with no keys. file is an empty one open for reading and writing, borrowed. On error
 * *duplicates is NULL: STATUS_MEMORY. */
enum status duplicates_open(struct duplicates **duplicates, FILE *file) STATUS_CHECKED;

/* NULL is allowed. */
void duplicates_close(struct duplicates *duplicates);

/* Adds key number 0, 1, ... STATUS_IO, STATUS_MEMORY. */
enum status duplicates_add(struct duplicates *duplicates,
                           const struct duplicates_key *key) STATUS_CHECKED;

/* Compares all keys, once, when they are complete. The result is the same for any number of
 * threads. STATUS_IO, STATUS_MEMORY. */
enum status duplicates_find(struct duplicates *duplicates, int threads) STATUS_CHECKED;

/* After duplicates_find(): whether a key before number i is equal to it. */
bool duplicates_has(const struct duplicates *duplicates, int64_t i);

#endif
