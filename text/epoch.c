/* The order of an epoch (declared in text/corpus.h). */
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "text/corpus.h"

enum {
    WHOLE_CORPUS_PAIRS = 1 << 20,
    WINDOW_PAIRS = 1 << 18,
    LENGTH_BITS = 20,
    LEAD_BITS = LENGTH_BITS + 1,
    PLACE_BITS = 21 /* of a place inside a window */
};

/* Streams of random numbers (random_key.stream). */
enum { STREAM_PAIRS = 0x50414952, STREAM_BATCHES = 0x42415443 };

/* A whole number in 0..bound-1. */
static int64_t draw(struct random_key key, int64_t number, int64_t bound)
{
    const struct random_words words =
        random_philox(key, (uint32_t)number, (uint32_t)((uint64_t)number >> 32));
    return (int64_t)random_below(words.word[0], words.word[1], (uint64_t)bound);
}

static void shuffle_pairs(int32_t *pairs, int64_t n, struct random_key key)
{
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t other = draw(key, i, i + 1);
        const int32_t kept = pairs[i];
        pairs[i] = pairs[other];
        pairs[other] = kept;
    }
}

static int64_t longer(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t longest_side(const struct corpus_pair *pair)
{
    return longer(pair->source_length, pair->target_length);
}

static int compare_keys(const void *left, const void *right)
{
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Sorts a window by the longer side, and pairs of one such length by how far the target is longer
 * than the source, at every second length the other way round: so neighbours are alike on both
 * sides also where one length ends, and a batch has little padding. Equal pairs keep their shuffled
 * order. keys and sorted have room for the window. */
static void sort_window(const struct corpus *corpus, int32_t *pairs, int64_t n, uint64_t *keys,
                        int32_t *sorted)
{
    for (int64_t i = 0; i < n; i++) {
        const struct corpus_pair *pair = &corpus->pairs[pairs[i]];
        const int64_t longest = longest_side(pair);
        const int64_t lead = longest + pair->target_length - pair->source_length;
        const int64_t second = longest % 2 ? lead : 2 * longest - lead;
        keys[i] = (uint64_t)longest << (LEAD_BITS + PLACE_BITS) | (uint64_t)second << PLACE_BITS |
                  (uint64_t)i;
    }
    qsort(keys, (size_t)n, sizeof *keys, compare_keys);
    for (int64_t i = 0; i < n; i++)
        sorted[i] = pairs[keys[i] & ((UINT64_C(1) << PLACE_BITS) - 1)];
    memcpy(pairs, sorted, (size_t)n * sizeof *pairs);
}

static enum status no_memory(const struct corpus *corpus)
{
    return status_set(STATUS_MEMORY, "no memory to plan an epoch of %lld pairs",
                      (long long)corpus->n_pairs);
}

/* Returns how many batches there are, and writes where each begins, and the end, to starts [that
 * many + 1] unless it is NULL. */
static int64_t cut_batches(const struct corpus *corpus, const int32_t *pairs, int64_t max_tokens,
                           int64_t *starts)
{
    int64_t n_batches = 0, first = 0, longest = 0;
    for (int64_t i = 0; i < corpus->n_pairs; i++) {
        const int64_t length = longest_side(&corpus->pairs[pairs[i]]);
        longest = longer(longest, length);
        const bool is_full = i > first && longest > max_tokens / (i - first + 1);
        if (is_full) {
            first = i;
            longest = length;
        }
        if (starts != NULL && i == first)
            starts[n_batches] = first;
        n_batches += i == first ? 1 : 0;
    }
    if (starts != NULL)
        starts[n_batches] = corpus->n_pairs;
    return n_batches;
}

/* Copies a batch with the longest source first; equal lengths keep their order. */
static void copy_batch(const struct corpus *corpus, const int32_t *from, int64_t n, int32_t *to,
                       uint64_t *keys)
{
    for (int64_t i = 0; i < n; i++) {
        const uint64_t length = (uint64_t)corpus->pairs[from[i]].source_length;
        keys[i] = ((UINT64_C(1) << LENGTH_BITS) - length) << 32 | (uint64_t)i;
    }
    qsort(keys, (size_t)n, sizeof *keys, compare_keys);
    for (int64_t i = 0; i < n; i++)
        to[i] = from[keys[i] & UINT32_MAX];
}

/* Puts the batches of pairs into plan in a shuffled order; keys has room for the largest batch. */
static enum status shuffle_batches(struct epoch_plan *plan, const struct corpus *corpus,
                                   const int32_t *pairs, int64_t max_tokens, uint64_t *keys,
                                   struct random_key key)
{
    plan->n_batches = cut_batches(corpus, pairs, max_tokens, NULL);
    const size_t room = (size_t)plan->n_batches + 1;
    int64_t *starts = calloc(room, sizeof *starts);
    int32_t *order = calloc(room, sizeof *order);
    plan->starts = calloc(room, sizeof *plan->starts);
    if (!starts || !order || !plan->starts) {
        free(starts);
        free(order);
        return no_memory(corpus);
    }
    cut_batches(corpus, pairs, max_tokens, starts);
    for (int64_t i = 0; i < plan->n_batches; i++)
        order[i] = (int32_t)i;
    shuffle_pairs(order, plan->n_batches, key);
    int64_t end = 0;
    for (int64_t i = 0; i < plan->n_batches; i++) {
        const int64_t first = starts[order[i]];
        const int64_t n = starts[order[i] + 1] - first;
        plan->starts[i] = end;
        copy_batch(corpus, pairs + first, n, plan->pairs + end, keys);
        end += n;
    }
    plan->starts[plan->n_batches] = end;
    free(starts);
    free(order);
    return STATUS_OK;
}

enum status epoch_plan_make(struct epoch_plan *plan, const struct corpus *corpus, uint64_t seed,
                            uint32_t epoch, int64_t max_tokens)
{
    CHECK(max_tokens >= 1, "max_tokens %lld", (long long)max_tokens);
    const int64_t n = corpus->n_pairs;
    const int64_t window = n < WHOLE_CORPUS_PAIRS ? longer(n, 1) : WINDOW_PAIRS;
    /* a sentence has one token at least */
    const int64_t largest_batch = max_tokens < n ? max_tokens : longer(n, 1);
    *plan = (struct epoch_plan){0};
    enum status status = STATUS_OK;
    int32_t *pairs = calloc((size_t)n + 1, sizeof *pairs);
    int32_t *sorted = calloc((size_t)window, sizeof *sorted);
    uint64_t *keys = calloc((size_t)longer(window, largest_batch), sizeof *keys);
    plan->pairs = calloc((size_t)n + 1, sizeof *plan->pairs);
    if (!pairs || !sorted || !keys || !plan->pairs) {
        status = no_memory(corpus);
        goto done;
    }
    for (int64_t i = 0; i < n; i++)
        pairs[i] = (int32_t)i;
    shuffle_pairs(pairs, n, (struct random_key){seed, epoch, STREAM_PAIRS});
    for (int64_t first = 0; first < n; first += window) {
        const int64_t size = n - first < window ? n - first : window;
        sort_window(corpus, pairs + first, size, keys, sorted);
    }
    status = shuffle_batches(plan, corpus, pairs, max_tokens, keys,
                             (struct random_key){seed, epoch, STREAM_BATCHES});
done:
    free(pairs);
    free(sorted);
    free(keys);
    if (status < 0)
        epoch_plan_free(plan);
    return status;
}

void epoch_plan_free(struct epoch_plan *plan)
{
    free(plan->starts);
    free(plan->pairs);
    *plan = (struct epoch_plan){0};
}

enum status epoch_plan_batch(const struct epoch_plan *plan, const struct corpus *corpus,
                             int64_t index, int64_t first_sentence, struct batch *batch)
{
    return epoch_plan_share(plan, corpus, index, first_sentence, 0, 1, batch);
}

enum status epoch_plan_share(const struct epoch_plan *plan, const struct corpus *corpus,
                             int64_t index, int64_t first_sentence, int part, int n_parts,
                             struct batch *batch)
{
    CHECK(index >= 0 && index < plan->n_batches, "batch %lld of %lld", (long long)index,
          (long long)plan->n_batches);
    CHECK(part >= 0 && part < n_parts, "share %d of %d", part, n_parts);
    batch_start(batch);
    for (int64_t i = plan->starts[index] + part; i < plan->starts[index + 1]; i += n_parts) {
        const int64_t number = plan->pairs[i];
        const struct corpus_pair *pair = &corpus->pairs[number];
        const enum status status =
            batch_add(batch, corpus_source(corpus, number), pair->source_length,
                      corpus_target(corpus, number), pair->target_length);
        if (status < 0)
            return status;
    }
    return batch_finish_share(batch, corpus->bos, first_sentence + part, n_parts);
}
