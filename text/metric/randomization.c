/* Approximate randomization. Trial t exchanges the segments whose bits are set among bits t * n ..
 * t * n + n - 1 of the generator's stream, so each trial starts where it likes. The sum of a
 * subset's rows is looked up for eight segments at once in a table of all 256 subsets, which is
 * made once for many trials (Arlazarov et al. 1970, "four Russians"). */
#include "text/metric/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "text/metric/numpy_random.h"

enum {
    MIN_TRIALS = 64, /* of a piece of work: fewer are not worth the tables */
    MAX_TRIALS = 512,
    SLAB_WORDS = 8, /* bits of a trial kept at a time, in words */
    WORD_BITS = 64,
    SUBSET_BITS = 8, /* segments of a table */
    N_SUBSETS = 1 << SUBSET_BITS
};

/* A trial under way. */
struct trial {
    struct numpy_random random;
    uint64_t ahead; /* the next word of the stream, some of its bits used up */
    uint64_t bits[SLAB_WORDS];
};

/* Working memory of a thread. */
struct desk {
    struct trial *trials; /* [n_trials] */
    int64_t *sums;        /* [n_trials, width] over the exchanged segments */
    int64_t *table;       /* [N_SUBSETS, width] */
};

struct randomization {
    const struct metric *metric;
    const int32_t *baseline, *system; /* [n, width] */
    size_t width;
    uint64_t n; /* segments */
    int64_t baseline_sums[METRIC_MAX_COUNTS], system_sums[METRIC_MAX_COUNTS];
    double observed; /* difference of the scores */
    int64_t n_samples;
    int64_t n_trials;   /* of a piece */
    struct desk *desks; /* [threads] */
    struct numpy_random random;
    int64_t *larger; /* [n_pieces] trials with a larger difference */
};

static void add_row(int64_t *sum, const int64_t *row, size_t width)
{
    for (size_t k = 0; k < width; k++)
        sum[k] += row[k];
}

/* The sums of baseline - system over all subsets of segments first..first+7; segments behind the
 * last one count as nothing. */
static void make_table(const struct randomization *random, uint64_t first, int64_t *table)
{
    const size_t width = random->width;
    memset(table, 0, width * sizeof *table);
    for (size_t i = 0; i < SUBSET_BITS; i++) {
        int64_t difference[METRIC_MAX_COUNTS] = {0};
        const size_t row = (size_t)(first + i) * width, n = (size_t)1 << i;
        for (size_t k = 0; first + i < random->n && k < width; k++)
            difference[k] = (int64_t)random->baseline[row + k] - random->system[row + k];
        memcpy(table + n * width, table, n * width * sizeof *table);
        for (size_t subset = n; subset < 2 * n; subset++)
            add_row(table + subset * width, difference, width);
    }
}

static void start_trial(const struct randomization *random, struct trial *trial, int64_t number)
{
    trial->random = random->random;
    numpy_random_skip(&trial->random, (uint64_t)number * random->n / WORD_BITS);
    trial->ahead = numpy_random_next(&trial->random);
}

/* Fills the trial's next bits; shift is how many bits of trial->ahead went to the trial before. */
static void draw_bits(struct trial *trial, unsigned shift)
{
    for (size_t i = 0; i < SLAB_WORDS; i++) {
        const uint64_t next = numpy_random_next(&trial->random);
        trial->bits[i] = trial->ahead;
        if (shift > 0)
            trial->bits[i] = trial->ahead >> shift | next << (WORD_BITS - shift);
        trial->ahead = next;
    }
}

/* Adds what the trials exchange among segments first.., as many as a slab has bits. */
static void add_slab(const struct randomization *random, struct desk *desk, uint64_t first,
                     size_t n_trials)
{
    const size_t width = random->width;
    for (size_t at = 0; at < SLAB_WORDS * WORD_BITS && first + at < random->n; at += SUBSET_BITS) {
        make_table(random, first + at, desk->table);
        for (size_t i = 0; i < n_trials; i++) {
            const uint64_t word = desk->trials[i].bits[at / WORD_BITS] >> at % WORD_BITS;
            add_row(desk->sums + i * width, desk->table + (word & (N_SUBSETS - 1)) * width, width);
        }
    }
}

/* |score of one mixed system - score of the other|. */
static double difference(const struct randomization *random, const int64_t *exchanged)
{
    int64_t one[METRIC_MAX_COUNTS], other[METRIC_MAX_COUNTS];
    for (size_t k = 0; k < random->width; k++) {
        one[k] = random->system_sums[k] + exchanged[k];
        other[k] = random->baseline_sums[k] - exchanged[k];
    }
    return fabs(metric_score_trial(random->metric, one) -
                metric_score_trial(random->metric, other));
}

static enum status run_piece(void *context, int thread, int64_t index)
{
    struct randomization *random = context;
    struct desk *desk = &random->desks[thread];
    const int64_t first = index * random->n_trials, left = random->n_samples - first;
    const size_t n_trials = (size_t)(left < random->n_trials ? left : random->n_trials);
    for (size_t i = 0; i < n_trials; i++)
        start_trial(random, &desk->trials[i], first + (int64_t)i);
    memset(desk->sums, 0, n_trials * random->width * sizeof *desk->sums);
    for (uint64_t done = 0; done < random->n; done += SLAB_WORDS * WORD_BITS) {
        for (size_t i = 0; i < n_trials; i++)
            draw_bits(&desk->trials[i],
                      (unsigned)((uint64_t)(first + (int64_t)i) * random->n % WORD_BITS));
        add_slab(random, desk, done, n_trials);
    }
    int64_t larger = 0;
    for (size_t i = 0; i < n_trials; i++)
        larger += difference(random, desk->sums + i * random->width) > random->observed ? 1 : 0;
    random->larger[index] = larger;
    return STATUS_OK;
}

static void sum_rows(const struct resample_counts *counts, size_t width, int64_t *sums)
{
    for (int64_t i = 0; i < counts->n_segments; i++) {
        for (size_t k = 0; k < width; k++)
            sums[k] += counts->rows[(size_t)i * width + k];
    }
}

static enum status make_desks(struct randomization *random, int threads)
{
    const size_t n_trials = (size_t)random->n_trials, width = random->width;
    for (int i = 0; i < threads; i++) {
        struct desk *desk = &random->desks[i];
        desk->trials = calloc(n_trials, sizeof *desk->trials);
        desk->sums = calloc(n_trials * width, sizeof *desk->sums);
        desk->table = calloc(N_SUBSETS * width, sizeof *desk->table);
        if (!desk->trials || !desk->sums || !desk->table)
            return status_set(STATUS_MEMORY, "no memory for randomization");
    }
    return STATUS_OK;
}

static int64_t choose_trials(int64_t n_samples, int threads)
{
    const int64_t even = n_samples / (8 * (int64_t)threads);
    if (even < MIN_TRIALS)
        return MIN_TRIALS;
    return even < MAX_TRIALS ? even : MAX_TRIALS;
}

enum status resample_randomization(const struct metric *metric,
                                   const struct resample_counts *baseline,
                                   const struct resample_counts *system,
                                   const struct resample_options *options,
                                   struct resample_result *result)
{
    CHECK(options->n_samples >= 1 && options->n_samples <= INT32_MAX, "%lld trials",
          (long long)options->n_samples);
    CHECK(baseline->n_segments == system->n_segments && system->n_segments >= 1,
          "%lld and %lld segments", (long long)baseline->n_segments, (long long)system->n_segments);
    const int threads = options->threads > 1 ? options->threads : 1;
    struct randomization random = {
        .metric = metric,
        .baseline = baseline->rows,
        .system = system->rows,
        .width = metric_width(metric),
        .n = (uint64_t)baseline->n_segments,
        .n_samples = options->n_samples,
        .n_trials = choose_trials(options->n_samples, threads),
    };
    if (random.n > INT32_MAX)
        return status_set(STATUS_DATA, "%lld segments are too many to resample",
                          (long long)random.n);
    sum_rows(baseline, random.width, random.baseline_sums);
    sum_rows(system, random.width, random.system_sums);
    random.observed =
        fabs(metric_score(metric, random.baseline_sums) - metric_score(metric, random.system_sums));
    const int64_t n_pieces = (random.n_samples + random.n_trials - 1) / random.n_trials;
    random.larger = calloc((size_t)n_pieces, sizeof *random.larger);
    random.desks = calloc((size_t)threads, sizeof *random.desks);
    enum status status = STATUS_OK;
    if (!random.larger || !random.desks)
        status = status_set(STATUS_MEMORY, "no memory for randomization");
    if (status == STATUS_OK)
        status = make_desks(&random, threads);
    if (status == STATUS_OK)
        status = numpy_random_seed(&random.random, options->has_seed ? options->seed : NULL);
    if (status == STATUS_OK)
        status = parallel_for(threads, n_pieces, run_piece, &random);
    int64_t larger = 0;
    for (int64_t i = 0; i < n_pieces && status == STATUS_OK; i++)
        larger += random.larger[i];
    result->p_value = (double)(larger + 1) / (double)(random.n_samples + 1);
    for (int i = 0; random.desks && i < threads; i++) {
        free(random.desks[i].trials);
        free(random.desks[i].sums);
        free(random.desks[i].table);
    }
    free(random.desks);
    free(random.larger);
    return status;
}
