/* The learner's pairs of neighbouring symbols: how often each occurs, in which words, and which is
 * the most frequent.
 *
 * The counts are kept as subword-nmt keeps them, since its codes depend on it: rare pairs are left
 * out of the statistics ("pruned") and come back with the count they had, and what happened to them
 * in between replaces that count where it adds up to 0 or more and is added where it is negative.
 * For most texts that is an exact count. */
#ifndef MIXT_TEXT_SUBWORD_BPE_PAIRS_H
#define MIXT_TEXT_SUBWORD_BPE_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/subword/bpe_codes.h"
#include "text/subword/strings.h"

/* A word and how often a pair is thought to occur in it; word -1: a free entry. */
struct bpe_place {
    int32_t word;
    int32_t count;
};

/* The words of a pair: a hash table by word. A zeroed one is empty. */
struct bpe_places {
    struct bpe_place *entries; /* owned, [capacity] */
    uint32_t capacity;         /* 0 or a power of two */
    uint32_t size;
};

struct bpe_candidate;

/* A zeroed one is empty; symbols must be set. */
struct bpe_pairs {
    const struct strings *symbols; /* borrowed: ties go to the largest pair of strings */
    struct bpe_merge *pairs;       /* owned, [capacity], as are all below */
    struct bpe_places *places;
    int64_t *frequency; /* in the statistics; only where is_live */
    int64_t *pruned;    /* what is remembered of a pair outside the statistics */
    bool *is_live;
    bool *is_touched;
    int32_t *live;    /* [n_live] pairs in the statistics */
    int32_t *touched; /* [n_touched] pairs that became live or more frequent in this round */
    int32_t *slots;   /* [n_slots] pair numbers by hash; -1: free */
    struct bpe_candidate *heap; /* the most frequent first, with entries that are out of date */
    size_t n_slots, n_heap, heap_capacity;
    int32_t size, capacity, n_live, n_touched;
    double threshold; /* live pairs below it are pruned from time to time */
};

/* Changes the count of a pair of symbols: n (-1 or 1) times more in a word that occurs frequency
 * times in the text. STATUS_MEMORY. */
enum status bpe_pairs_change(struct bpe_pairs *pairs, struct bpe_merge pair, int32_t word, int n,
                             int64_t frequency) STATUS_CHECKED;

/* After the counts of the whole text: makes ready for round 0. At least one pair is needed. */
enum status bpe_pairs_start(struct bpe_pairs *pairs) STATUS_CHECKED;

/* The most frequent pair of a round, the largest one in a tie, and its frequency. */
enum status bpe_pairs_best(struct bpe_pairs *pairs, int64_t round, int32_t *best,
                           int64_t *frequency) STATUS_CHECKED;

/* Moves the words of a pair to *places (to be freed) and sets its counts to 0: changes follow. */
void bpe_pairs_take(struct bpe_pairs *pairs, int32_t number, struct bpe_places *places);

/* Ends the round in which a pair was merged. */
enum status bpe_pairs_finish(struct bpe_pairs *pairs, int64_t round, int32_t merged) STATUS_CHECKED;

/* Give the memory back; zeroed ones may be freed. */
void bpe_places_free(struct bpe_places *places);
void bpe_pairs_free(struct bpe_pairs *pairs);

#endif
