/* Pairs of neighbouring units while wordpieces are learnt: how often each occurs, in which words,
 * and which is the best to join.
 *
 * Under independent units a place where a and b meet has the probability p(a) p(b), and p(ab) once
 * they are joined, where p(x) = count(x) / (count of all units). */
#ifndef MIXT_TEXT_SUBWORD_WORDPIECE_PAIRS_H
#define MIXT_TEXT_SUBWORD_WORDPIECE_PAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/subword/strings.h"

/* What a pair is worth; computed in double. */
enum wordpiece_score {
    WORDPIECE_SCORE_GAIN, /* count(ab) * log(p(ab) / (p(a) p(b))): what the log-likelihood of the
                             text gains, over all its places */
    WORDPIECE_SCORE_RATIO /* count(ab) / (count(a) * count(b)): what it gains at each place, which
                             prefers pairs that hardly occur but together, however rare */
};

struct wordpiece_pair {
    int32_t left, right; /* units */
    int64_t count;
    int32_t heap_at;  /* place in the heap, -1: too rare to be in it */
    uint32_t n_words; /* in use */
    uint32_t capacity;
    int32_t *words; /* owned; words that had the pair at some time, now and then twice */
    bool is_listed_left, is_listed_right; /* among the pairs of its left and right unit */
    bool is_touched;
};

struct wordpiece_unit {
    int64_t count;
    int64_t floor;  /* bounds of this unit's pairs hold while its count is not below */
    int32_t *pairs; /* owned; candidates with this unit, and some that are no more */
    int32_t n_pairs, capacity;
    bool is_touched;
};

/* A pair frequent enough, and what its score cannot exceed. */
struct wordpiece_candidate {
    double bound;
    int32_t pair;
};

/* A zeroed one is empty; names, score and min_count must be set. */
struct wordpiece_pairs {
    const struct strings *names; /* of the units; borrowed */
    enum wordpiece_score score;
    int64_t min_count; /* rarer pairs are no candidates */
    int64_t total;     /* count of all units */
    struct wordpiece_unit *units;
    int32_t n_units, units_capacity;
    struct wordpiece_pair *pairs;
    int32_t size, capacity;
    int32_t *slots; /* pair numbers by hash; -1: free */
    size_t n_slots;
    struct wordpiece_candidate *heap; /* [capacity] the highest bound first */
    int32_t n_heap;
    int32_t *visited;       /* [capacity] to work in */
    int32_t *touched_pairs; /* [capacity] changed since the last update */
    int32_t n_touched_pairs;
    int32_t *touched_units; /* [units_capacity] */
    int32_t n_touched_units;
};

/* Makes room for units 0..n-1. STATUS_MEMORY. */
enum status wordpiece_pairs_add_units(struct wordpiece_pairs *pairs, int32_t n) STATUS_CHECKED;

/* Changes the count of a unit by n. */
void wordpiece_pairs_count_unit(struct wordpiece_pairs *pairs, int32_t unit, int64_t n);

/* Changes the count of a pair by n, and notes word (-1: does not) as one that has it.
 * STATUS_MEMORY. */
enum status wordpiece_pairs_count(struct wordpiece_pairs *pairs, int32_t left, int32_t right,
                                  int64_t n, int32_t word) STATUS_CHECKED;

/* Brings the candidates up to date with the counts. STATUS_MEMORY. */
enum status wordpiece_pairs_update(struct wordpiece_pairs *pairs) STATUS_CHECKED;

/* The candidate with the highest score, -1 where there is none. Call it after an update. In a tie
 * the more frequent one; then the one whose left unit comes first by its bytes ("##" included);
 * then the one whose right unit does. */
int32_t wordpiece_pairs_best(struct wordpiece_pairs *pairs);

/* Gives the memory back; a zeroed one may be freed. */
void wordpiece_pairs_free(struct wordpiece_pairs *pairs);

#endif
