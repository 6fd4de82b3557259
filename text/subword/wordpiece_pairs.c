/* A score rises whenever one of the pair's units becomes rarer, which happens to all pairs of both
 * units at every join. To leave them alone most of the time, the heap is ordered by upper bounds:
 * scores with counts of units a little lower than they are, and the total as it was, which only
 * shrinks. The best pair is found by visiting all candidates whose bound is not below the best
 * score seen; they are the top of the heap. Bounds are made anew when a unit falls below its floor.
 */
#include "text/subword/wordpiece_pairs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_CAPACITY = 1024, FLOOR_PART = 32 };

static enum status no_memory(void)
{
    return status_set(STATUS_MEMORY, "no memory to learn wordpieces");
}

enum status wordpiece_pairs_add_units(struct wordpiece_pairs *pairs, int32_t n)
{
    if (n > pairs->units_capacity) {
        const int32_t capacity = n < INT32_MAX / 2 ? 2 * n : n;
        struct wordpiece_unit *units =
            realloc(pairs->units, (size_t)capacity * sizeof *pairs->units);
        if (units != NULL)
            pairs->units = units;
        int32_t *touched = realloc(pairs->touched_units, (size_t)capacity * sizeof *touched);
        if (touched != NULL)
            pairs->touched_units = touched;
        if (units == NULL || touched == NULL)
            return no_memory();
        pairs->units_capacity = capacity;
    }
    for (; pairs->n_units < n; pairs->n_units++)
        pairs->units[pairs->n_units] = (struct wordpiece_unit){0};
    return STATUS_OK;
}

void wordpiece_pairs_count_unit(struct wordpiece_pairs *pairs, int32_t unit, int64_t n)
{
    struct wordpiece_unit *changed = &pairs->units[unit];
    changed->count += n;
    pairs->total += n;
    if (!changed->is_touched)
        pairs->touched_units[pairs->n_touched_units++] = unit;
    changed->is_touched = true;
}

static size_t hash_of(int32_t left, int32_t right)
{
    const uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (size_t)((key ^ key >> 29) * UINT64_C(0x9E3779B97F4A7C15) >> 24);
}

/* The slot that holds a pair, or the free one where it belongs. */
static size_t find_slot(const struct wordpiece_pairs *pairs, int32_t left, int32_t right)
{
    size_t slot = hash_of(left, right) & (pairs->n_slots - 1);
    for (;; slot = (slot + 1) & (pairs->n_slots - 1)) {
        const int32_t number = pairs->slots[slot];
        if (number < 0 ||
            (pairs->pairs[number].left == left && pairs->pairs[number].right == right))
            return slot;
    }
}

/* Twice the room; slots are half full at most. */
static enum status grow(struct wordpiece_pairs *pairs)
{
    if (pairs->capacity > INT32_MAX / 2)
        return no_memory();
    const int32_t capacity = pairs->capacity > 0 ? 2 * pairs->capacity : FIRST_CAPACITY;
    const size_t n_slots = 2 * (size_t)capacity;
    struct wordpiece_pair *grown = realloc(pairs->pairs, (size_t)capacity * sizeof *grown);
    if (grown != NULL)
        pairs->pairs = grown;
    int32_t *touched = realloc(pairs->touched_pairs, (size_t)capacity * sizeof *touched);
    if (touched != NULL)
        pairs->touched_pairs = touched;
    struct wordpiece_candidate *heap = realloc(pairs->heap, (size_t)capacity * sizeof *heap);
    if (heap != NULL)
        pairs->heap = heap;
    int32_t *visited = realloc(pairs->visited, (size_t)capacity * sizeof *visited);
    if (visited != NULL)
        pairs->visited = visited;
    int32_t *slots = malloc(n_slots * sizeof *slots);
    if (!grown || !touched || !heap || !visited || !slots) {
        free(slots);
        return no_memory();
    }
    free(pairs->slots);
    pairs->slots = slots;
    pairs->n_slots = n_slots;
    pairs->capacity = capacity;
    memset(slots, 0xFF, n_slots * sizeof *slots);
    for (int32_t number = 0; number < pairs->size; number++)
        slots[find_slot(pairs, grown[number].left, grown[number].right)] = number;
    return STATUS_OK;
}

static enum status note_word(struct wordpiece_pair *pair, int32_t word)
{
    if (pair->n_words > 0 && pair->words[pair->n_words - 1] == word)
        return STATUS_OK;
    if (pair->n_words == pair->capacity) {
        const uint32_t capacity = pair->capacity > 0 ? 2 * pair->capacity : 2;
        int32_t *words = realloc(pair->words, capacity * sizeof *words);
        if (words == NULL)
            return no_memory();
        pair->words = words;
        pair->capacity = capacity;
    }
    pair->words[pair->n_words++] = word;
    return STATUS_OK;
}

enum status wordpiece_pairs_count(struct wordpiece_pairs *pairs, int32_t left, int32_t right,
                                  int64_t n, int32_t word)
{
    if (pairs->size == pairs->capacity) {
        const enum status code = grow(pairs);
        if (code < 0)
            return code;
    }
    const size_t slot = find_slot(pairs, left, right);
    if (pairs->slots[slot] < 0) {
        pairs->pairs[pairs->size] =
            (struct wordpiece_pair){.left = left, .right = right, .heap_at = -1};
        pairs->slots[slot] = pairs->size++;
    }
    const int32_t number = pairs->slots[slot];
    struct wordpiece_pair *pair = &pairs->pairs[number];
    pair->count += n;
    if (!pair->is_touched)
        pairs->touched_pairs[pairs->n_touched_pairs++] = number;
    pair->is_touched = true;
    return word < 0 ? STATUS_OK : note_word(pair, word);
}

static double score_with(const struct wordpiece_pairs *pairs, const struct wordpiece_pair *pair,
                         int64_t n_left, int64_t n_right)
{
    const double count = (double)pair->count, alone = (double)n_left * (double)n_right;
    if (pairs->score == WORDPIECE_SCORE_RATIO)
        return count / alone;
    return count * log(count * (double)pairs->total / alone);
}

static double score_of(const struct wordpiece_pairs *pairs, const struct wordpiece_pair *pair)
{
    return score_with(pairs, pair, pairs->units[pair->left].count, pairs->units[pair->right].count);
}

/* A little more than the score with units as rare as their floors, for rounding. */
static double bound_of(const struct wordpiece_pairs *pairs, const struct wordpiece_pair *pair)
{
    const double bound =
        score_with(pairs, pair, pairs->units[pair->left].floor, pairs->units[pair->right].floor);
    return bound + 1e-9 * fabs(bound);
}

static void put(struct wordpiece_pairs *pairs, int32_t at, struct wordpiece_candidate candidate)
{
    pairs->heap[at] = candidate;
    pairs->pairs[candidate.pair].heap_at = at;
}

/* Puts a candidate where it belongs, starting from a place whose own one is moved away. */
static void settle(struct wordpiece_pairs *pairs, int32_t at, struct wordpiece_candidate candidate)
{
    const struct wordpiece_candidate *heap = pairs->heap;
    for (; at > 0 && candidate.bound > heap[(at - 1) / 2].bound; at = (at - 1) / 2)
        put(pairs, at, heap[(at - 1) / 2]);
    for (int32_t child = 2 * at + 1; child < pairs->n_heap; child = 2 * at + 1) {
        if (child + 1 < pairs->n_heap && heap[child + 1].bound > heap[child].bound)
            child++;
        if (heap[child].bound <= candidate.bound)
            break;
        put(pairs, at, heap[child]);
        at = child;
    }
    put(pairs, at, candidate);
}

static void bound_pair(struct wordpiece_pairs *pairs, int32_t number)
{
    const struct wordpiece_pair *pair = &pairs->pairs[number];
    settle(pairs, pair->heap_at >= 0 ? pair->heap_at : pairs->n_heap++,
           (struct wordpiece_candidate){bound_of(pairs, pair), number});
}

static void remove_pair(struct wordpiece_pairs *pairs, int32_t number)
{
    const int32_t at = pairs->pairs[number].heap_at;
    pairs->pairs[number].heap_at = -1;
    const struct wordpiece_candidate last = pairs->heap[--pairs->n_heap];
    if (last.pair != number)
        settle(pairs, at, last);
}

static enum status list_pair(struct wordpiece_unit *unit, int32_t number)
{
    if (unit->n_pairs == unit->capacity) {
        const int32_t capacity = unit->capacity > 0 ? 2 * unit->capacity : 4;
        int32_t *listed = realloc(unit->pairs, (size_t)capacity * sizeof *listed);
        if (listed == NULL)
            return no_memory();
        unit->pairs = listed;
        unit->capacity = capacity;
    }
    unit->pairs[unit->n_pairs++] = number;
    return STATUS_OK;
}

/* Takes a changed pair in among the candidates or out. */
static enum status update_pair(struct wordpiece_pairs *pairs, int32_t number)
{
    struct wordpiece_pair *pair = &pairs->pairs[number];
    enum status code = STATUS_OK;
    pair->is_touched = false;
    if (pair->count < pairs->min_count) {
        if (pair->heap_at >= 0)
            remove_pair(pairs, number);
        return STATUS_OK;
    }
    if (!pair->is_listed_left)
        code = list_pair(&pairs->units[pair->left], number);
    if (code == STATUS_OK && !pair->is_listed_right && pair->left != pair->right)
        code = list_pair(&pairs->units[pair->right], number);
    if (code < 0)
        return code;
    pair->is_listed_left = pair->is_listed_right = true;
    bound_pair(pairs, number);
    return STATUS_OK;
}

/* Gives a unit that became too rare a lower floor and its candidates new bounds, and takes pairs
 * that are none off its list. */
static void lower_floor(struct wordpiece_pairs *pairs, int32_t number)
{
    struct wordpiece_unit *unit = &pairs->units[number];
    int32_t kept = 0;
    unit->floor = unit->count - unit->count / FLOOR_PART;
    for (int32_t i = 0; i < unit->n_pairs; i++) {
        struct wordpiece_pair *pair = &pairs->pairs[unit->pairs[i]];
        if (pair->heap_at >= 0) {
            bound_pair(pairs, unit->pairs[i]);
            unit->pairs[kept++] = unit->pairs[i];
            continue;
        }
        if (pair->left == number)
            pair->is_listed_left = false;
        if (pair->right == number)
            pair->is_listed_right = false;
    }
    unit->n_pairs = kept;
}

enum status wordpiece_pairs_update(struct wordpiece_pairs *pairs)
{
    for (int32_t i = 0; i < pairs->n_touched_pairs; i++) {
        const enum status code = update_pair(pairs, pairs->touched_pairs[i]);
        if (code < 0)
            return code;
    }
    for (int32_t i = 0; i < pairs->n_touched_units; i++) {
        struct wordpiece_unit *unit = &pairs->units[pairs->touched_units[i]];
        unit->is_touched = false;
        if (unit->count < unit->floor || unit->floor == 0) /* 0: a new unit */
            lower_floor(pairs, pairs->touched_units[i]);
    }
    pairs->n_touched_pairs = pairs->n_touched_units = 0;
    return STATUS_OK;
}

/* Whether a pair of the same score goes before another. */
static bool is_before(const struct wordpiece_pairs *pairs, const struct wordpiece_pair *a,
                      const struct wordpiece_pair *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    const int order = strings_compare(pairs->names, a->left, b->left);
    return order != 0 ? order < 0 : strings_compare(pairs->names, a->right, b->right) < 0;
}

int32_t wordpiece_pairs_best(struct wordpiece_pairs *pairs)
{
    int32_t *visited = pairs->visited; /* places in the heap, then the pairs there */
    int32_t n_visited = 0, best = -1;
    double best_score = -INFINITY;
    if (pairs->n_heap > 0)
        visited[n_visited++] = 0;
    for (int32_t i = 0; i < n_visited; i++) {
        const int32_t at = visited[i], number = pairs->heap[at].pair;
        const double score = score_of(pairs, &pairs->pairs[number]);
        visited[i] = number;
        if (best < 0 || score > best_score ||
            (score == best_score && is_before(pairs, &pairs->pairs[number], &pairs->pairs[best]))) {
            best = number;
            best_score = score;
        }
        for (int32_t child = 2 * at + 1; child <= 2 * at + 2 && child < pairs->n_heap; child++) {
            if (pairs->heap[child].bound >= best_score)
                visited[n_visited++] = child;
        }
    }
    for (int32_t i = 0; i < n_visited; i++) /* the total has shrunk */
        bound_pair(pairs, visited[i]);
    return best;
}

void wordpiece_pairs_free(struct wordpiece_pairs *pairs)
{
    for (int32_t i = 0; i < pairs->size; i++)
        free(pairs->pairs[i].words);
    for (int32_t i = 0; i < pairs->n_units; i++)
        free(pairs->units[i].pairs);
    free(pairs->units);
    free(pairs->pairs);
    free(pairs->slots);
    free(pairs->heap);
    free(pairs->visited);
    free(pairs->touched_pairs);
    free(pairs->touched_units);
    *pairs = (struct wordpiece_pairs){0};
}
