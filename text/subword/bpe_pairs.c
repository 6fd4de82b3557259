/* Pairs by number in arrays side by side, found through a hash table; a heap finds the best.
 *
 * The heap holds pairs at or above the threshold only: below it the statistics are renewed anyway.
 * Counts mostly fall, so entries are not moved when they do: one that comes to the top with an old
 * count goes back with the new one. */
#include "text/subword/bpe_pairs.h"

#include <stdlib.h>
#include <string.h>

enum { FIRST_PAIRS = 1024, PRUNING_ROUNDS = 100 };

struct bpe_candidate {
    int64_t frequency; /* when it was pushed */
    int32_t pair;
};

static size_t hash_numbers(uint32_t left, uint32_t right)
{
    uint64_t hash = ((uint64_t)left << 32 | right) * UINT64_C(0x9E3779B97F4A7C15);
    hash ^= hash >> 29;
    return (size_t)(hash * UINT64_C(0xBF58476D1CE4E5B9) >> 16);
}

static struct bpe_place *find_place(struct bpe_place *entries, uint32_t capacity, int32_t word)
{
    size_t slot = hash_numbers(0, (uint32_t)word) & (capacity - 1);
    while (entries[slot].word >= 0 && entries[slot].word != word)
        slot = (slot + 1) & (capacity - 1);
    return &entries[slot];
}

static enum status grow_places(struct bpe_places *places)
{
    const uint32_t capacity = places->capacity ? 2 * places->capacity : 2;
    struct bpe_place *entries = malloc(capacity * sizeof *entries);
    if (entries == NULL)
        return status_set(STATUS_MEMORY, "no memory for the words of a pair");
    memset(entries, 0xFF, capacity * sizeof *entries);
    for (uint32_t i = 0; i < places->capacity; i++) {
        if (places->entries[i].word >= 0)
            *find_place(entries, capacity, places->entries[i].word) = places->entries[i];
    }
    free(places->entries);
    places->entries = entries;
    places->capacity = capacity;
    return STATUS_OK;
}

/* One entry always stays free, so that searches end. */
static enum status change_place(struct bpe_places *places, int32_t word, int n)
{
    if (places->size + 1 + places->capacity / 4 >= places->capacity) {
        const enum status status = grow_places(places);
        if (status < 0)
            return status;
    }
    struct bpe_place *place = find_place(places->entries, places->capacity, word);
    if (place->word < 0) {
        *place = (struct bpe_place){word, 0};
        places->size++;
    }
    place->count += n;
    return STATUS_OK;
}

void bpe_places_free(struct bpe_places *places)
{
    free(places->entries);
    *places = (struct bpe_places){0};
}

/* A longer array; without memory the old one, and *is_grown false. */
static void *grow_array(void *array, size_t capacity, size_t item_bytes, bool *is_grown)
{
    void *grown = realloc(array, capacity * item_bytes);
    *is_grown = *is_grown && grown != NULL;
    return grown != NULL ? grown : array;
}

static enum status grow_pairs(struct bpe_pairs *pairs)
{
    if (pairs->capacity > INT32_MAX / 2)
        return status_set(STATUS_MEMORY, "more than %d different pairs", pairs->capacity);
    const size_t n = pairs->capacity ? 2 * (size_t)pairs->capacity : FIRST_PAIRS;
    const size_t n_slots = 2 * n;
    bool is_grown = true;
    pairs->pairs = grow_array(pairs->pairs, n, sizeof *pairs->pairs, &is_grown);
    pairs->places = grow_array(pairs->places, n, sizeof *pairs->places, &is_grown);
    pairs->frequency = grow_array(pairs->frequency, n, sizeof *pairs->frequency, &is_grown);
    pairs->pruned = grow_array(pairs->pruned, n, sizeof *pairs->pruned, &is_grown);
    pairs->is_live = grow_array(pairs->is_live, n, sizeof *pairs->is_live, &is_grown);
    pairs->is_touched = grow_array(pairs->is_touched, n, sizeof *pairs->is_touched, &is_grown);
    pairs->live = grow_array(pairs->live, n, sizeof *pairs->live, &is_grown);
    pairs->touched = grow_array(pairs->touched, n, sizeof *pairs->touched, &is_grown);
    pairs->slots = grow_array(pairs->slots, n_slots, sizeof *pairs->slots, &is_grown);
    if (!is_grown)
        return status_set(STATUS_MEMORY, "no memory for %zu pairs of symbols", n);
    memset(pairs->slots, 0xFF, n_slots * sizeof *pairs->slots);
    for (int32_t number = 0; number < pairs->size; number++) {
        const struct bpe_merge *pair = &pairs->pairs[number];
        size_t slot = hash_numbers((uint32_t)pair->left, (uint32_t)pair->right) & (n_slots - 1);
        while (pairs->slots[slot] >= 0)
            slot = (slot + 1) & (n_slots - 1);
        pairs->slots[slot] = number;
    }
    pairs->n_slots = n_slots;
    pairs->capacity = (int32_t)n;
    return STATUS_OK;
}

static enum status find_pair(struct bpe_pairs *pairs, struct bpe_merge pair, int32_t *number)
{
    if (pairs->size == pairs->capacity) {
        const enum status status = grow_pairs(pairs);
        if (status < 0)
            return status;
    }
    const size_t mask = pairs->n_slots - 1;
    size_t slot = hash_numbers((uint32_t)pair.left, (uint32_t)pair.right) & mask;
    for (; pairs->slots[slot] >= 0; slot = (slot + 1) & mask) {
        const struct bpe_merge *found = &pairs->pairs[pairs->slots[slot]];
        if (found->left == pair.left && found->right == pair.right) {
            *number = pairs->slots[slot];
            return STATUS_OK;
        }
    }
    *number = pairs->size++;
    pairs->slots[slot] = *number;
    pairs->pairs[*number] = pair;
    pairs->places[*number] = (struct bpe_places){0};
    pairs->pruned[*number] = 0;
    pairs->is_live[*number] = false;
    pairs->is_touched[*number] = false;
    return STATUS_OK;
}

enum status bpe_pairs_change(struct bpe_pairs *pairs, struct bpe_merge pair, int32_t word, int n,
                             int64_t frequency)
{
    int32_t number = 0;
    const enum status status = find_pair(pairs, pair, &number);
    if (status < 0)
        return status;
    const bool was_live = pairs->is_live[number];
    if (!was_live) {
        pairs->is_live[number] = true;
        pairs->frequency[number] = 0;
        pairs->live[pairs->n_live++] = number;
    }
    pairs->frequency[number] += n * frequency;
    if ((!was_live || n > 0) && !pairs->is_touched[number]) {
        pairs->is_touched[number] = true;
        pairs->touched[pairs->n_touched++] = number;
    }
    return change_place(&pairs->places[number], word, n);
}

/* True where the first is to be merged before the second. */
static bool is_before(const struct bpe_pairs *pairs, struct bpe_candidate first,
                      struct bpe_candidate second)
{
    if (first.frequency != second.frequency)
        return first.frequency > second.frequency;
    const struct bpe_merge *a = &pairs->pairs[first.pair], *b = &pairs->pairs[second.pair];
    if (a->left != b->left)
        return strings_compare(pairs->symbols, a->left, b->left) > 0;
    return a->right != b->right && strings_compare(pairs->symbols, a->right, b->right) > 0;
}

static enum status push(struct bpe_pairs *pairs, int32_t number)
{
    if (pairs->n_heap == pairs->heap_capacity) {
        const size_t capacity = pairs->heap_capacity ? 2 * pairs->heap_capacity : FIRST_PAIRS;
        bool is_grown = true;
        pairs->heap = grow_array(pairs->heap, capacity, sizeof *pairs->heap, &is_grown);
        if (!is_grown)
            return status_set(STATUS_MEMORY, "no memory for %zu pairs of symbols", capacity);
        pairs->heap_capacity = capacity;
    }
    const struct bpe_candidate candidate = {pairs->frequency[number], number};
    size_t at = pairs->n_heap++;
    for (; at > 0 && is_before(pairs, candidate, pairs->heap[(at - 1) / 2]); at = (at - 1) / 2)
        pairs->heap[at] = pairs->heap[(at - 1) / 2];
    pairs->heap[at] = candidate;
    return STATUS_OK;
}

static struct bpe_candidate pop(struct bpe_pairs *pairs)
{
    struct bpe_candidate *heap = pairs->heap;
    const struct bpe_candidate top = heap[0], last = heap[--pairs->n_heap];
    size_t at = 0;
    for (size_t child = 1; child < pairs->n_heap; child = 2 * at + 1) {
        if (child + 1 < pairs->n_heap && is_before(pairs, heap[child + 1], heap[child]))
            child++;
        if (!is_before(pairs, heap[child], last))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = last;
    return top;
}

static bool is_frequent(const struct bpe_pairs *pairs, int64_t frequency)
{
    return (double)frequency >= pairs->threshold;
}

/* Takes the live pairs below the threshold out of the statistics. */
static void prune(struct bpe_pairs *pairs)
{
    int32_t n_kept = 0;
    for (int32_t i = 0; i < pairs->n_live; i++) {
        const int32_t number = pairs->live[i];
        const int64_t frequency = pairs->frequency[number];
        if (is_frequent(pairs, frequency)) {
            pairs->live[n_kept++] = number;
            continue;
        }
        pairs->is_live[number] = false;
        pairs->pruned[number] = frequency < 0 ? pairs->pruned[number] + frequency : frequency;
    }
    pairs->n_live = n_kept;
}

/* The best by counts of all pairs. */
static struct bpe_candidate find_best(const struct bpe_pairs *pairs, const int64_t *counts)
{
    struct bpe_candidate best = {counts[0], 0};
    for (int32_t number = 1; number < pairs->size; number++) {
        const struct bpe_candidate candidate = {counts[number], number};
        if (candidate.frequency >= best.frequency && is_before(pairs, candidate, best))
            best = candidate;
    }
    return best;
}

/* Brings all pairs back that are not below the threshold, and rebuilds the heap. */
static enum status restore(struct bpe_pairs *pairs)
{
    enum status status = STATUS_OK;
    pairs->n_live = 0;
    pairs->n_heap = 0;
    for (int32_t number = 0; number < pairs->size && status == STATUS_OK; number++) {
        pairs->is_live[number] = is_frequent(pairs, pairs->pruned[number]);
        if (!pairs->is_live[number])
            continue;
        pairs->frequency[number] = pairs->pruned[number];
        pairs->live[pairs->n_live++] = number;
        status = push(pairs, number);
    }
    return status;
}

static void forget_touched(struct bpe_pairs *pairs)
{
    for (int32_t i = 0; i < pairs->n_touched; i++)
        pairs->is_touched[pairs->touched[i]] = false;
    pairs->n_touched = 0;
}

enum status bpe_pairs_start(struct bpe_pairs *pairs)
{
    CHECK(pairs->size > 0, "no pairs");
    enum status status = STATUS_OK;
    forget_touched(pairs);
    memcpy(pairs->pruned, pairs->frequency, (size_t)pairs->size * sizeof *pairs->pruned);
    pairs->threshold = (double)find_best(pairs, pairs->frequency).frequency / 10;
    for (int32_t number = 0; number < pairs->size && status == STATUS_OK; number++) {
        if (is_frequent(pairs, pairs->frequency[number]))
            status = push(pairs, number);
    }
    return status;
}

/* The live pair at the top of the heap; false where none is left. */
static enum status find_top(struct bpe_pairs *pairs, struct bpe_candidate *best, bool *is_found)
{
    enum status status = STATUS_OK;
    *is_found = false;
    while (pairs->n_heap > 0 && status == STATUS_OK) {
        const int32_t number = pairs->heap[0].pair;
        const int64_t pushed = pairs->heap[0].frequency;
        const int64_t frequency = pairs->is_live[number] ? pairs->frequency[number] : pushed - 1;
        *best = (struct bpe_candidate){frequency, number};
        *is_found = frequency == pushed && pairs->is_live[number];
        if (*is_found)
            break;
        pop(pairs);
        /* a count that rose was pushed again when it did */
        if (pairs->is_live[number] && frequency < pushed && is_frequent(pairs, frequency))
            status = push(pairs, number);
    }
    return status;
}

enum status bpe_pairs_best(struct bpe_pairs *pairs, int64_t round, int32_t *best,
                           int64_t *frequency)
{
    struct bpe_candidate top = {0};
    bool is_found = false;
    enum status status = STATUS_OK;
    if (round == 0) {
        top = find_best(pairs, pairs->frequency);
    } else {
        status = find_top(pairs, &top, &is_found);
        if (status == STATUS_OK && !is_found) {
            prune(pairs);
            top = find_best(pairs, pairs->pruned);
            pairs->threshold = (double)top.frequency * (double)round / ((double)round + 10000.0);
            status = restore(pairs);
            top.frequency = pairs->pruned[top.pair];
        }
    }
    *best = top.pair;
    *frequency = top.frequency;
    return status;
}

void bpe_pairs_take(struct bpe_pairs *pairs, int32_t number, struct bpe_places *places)
{
    *places = pairs->places[number];
    pairs->places[number] = (struct bpe_places){0};
    if (!pairs->is_live[number]) {
        pairs->is_live[number] = true;
        pairs->live[pairs->n_live++] = number;
    }
    pairs->frequency[number] = 0;
}

enum status bpe_pairs_finish(struct bpe_pairs *pairs, int64_t round, int32_t merged)
{
    enum status status = STATUS_OK;
    pairs->frequency[merged] = 0;
    for (int32_t i = 0; i < pairs->n_touched && status == STATUS_OK; i++) {
        const int32_t number = pairs->touched[i];
        if (pairs->is_live[number] && is_frequent(pairs, pairs->frequency[number]))
            status = push(pairs, number);
    }
    forget_touched(pairs);
    if (round % PRUNING_ROUNDS == 0)
        prune(pairs);
    return status;
}

void bpe_pairs_free(struct bpe_pairs *pairs)
{
    for (int32_t number = 0; number < pairs->size; number++)
        bpe_places_free(&pairs->places[number]);
    free(pairs->pairs);
    free(pairs->places);
    free(pairs->frequency);
    free(pairs->pruned);
    free(pairs->is_live);
    free(pairs->is_touched);
    free(pairs->live);
    free(pairs->touched);
    free(pairs->slots);
    free(pairs->heap);
    *pairs = (struct bpe_pairs){0};
}
