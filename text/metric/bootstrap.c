/* Two ways to the same float sums. While a sum of whole numbers stays within 2^24, float adds are
 * exact in any order; so it is counted how often each segment was drawn, and the sums are products
 * of those counts and the columns of the table, in whole numbers, which streams through memory
 * where picking rows would jump about. A resample with a larger sum is done again by adding rows in
 * the order drawn. */
#include "text/metric/bootstrap.h"

#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>

#include "base/parallel.h"
#include "text/metric/numpy_random.h"

enum {
    GROUP = 4,           /* resamples that one piece of work sums together */
    DRAWS = 1024,        /* made at a time */
    CHUNK = 1024,        /* segments whose columns lie together, small enough for the first cache */
    EXACT_SUM = 1 << 24, /* up to here float adds whole numbers exactly */
    BLEU_PACKED = 16,    /* counts in a packed row of BLEU */
    CHRF_PACKED = 24     /* of chrF and chrF++ */
};

/* Working memory of a thread. */
struct desk {
    int16_t *times;    /* [GROUP, n_chunks * CHUNK] how often each segment was drawn */
    int32_t *products; /* [n_systems, METRIC_MAX_COUNTS, GROUP] sums in whole numbers */
    float *sums;       /* [n_systems, METRIC_MAX_COUNTS] of one resample */
    bool *is_open;     /* [n_systems] still without sums of that resample */
};

struct bootstrap {
    const struct metric *metric;
    const struct resample_counts *systems;
    size_t n_systems;
    size_t width;
    uint32_t n; /* segments */
    size_t n_chunks;
    int64_t n_samples;
    int16_t **columns; /* [n_systems] owned; a system's counts by columns, [n_chunks, width, CHUNK]
                           with zeros at the end; NULL: its sums are large, or most likely so */
    bool has_columns;  /* any */
    uint16_t *packed;  /* [n, n_systems, packed_width] owned; the counts in less memory, zeros at
                           the rows' ends; NULL where no system is large or they do not fit */
    size_t packed_width;
    struct desk *desks; /* [threads] owned */
    int threads;
    struct numpy_random random; /* one thread: where the next group starts; else the first */
    uint64_t *rejected; /* [n_groups] owned; draws rejected in the groups' first words and before;
                           NULL for one thread */
    double *scores;
    bool *are_float;
};

/* Whether products and sums of any resample fit 16 and 32 bits, and whether the sums are likely
 * enough to be exact in float. */
static bool wants_columns(const struct bootstrap *bootstrap, const struct resample_counts *counts)
{
    int64_t sums[METRIC_MAX_COUNTS] = {0};
    int32_t largest = 0;
    const int32_t *row = counts->rows;
    for (uint32_t i = 0; i < bootstrap->n; i++, row += bootstrap->width) {
        for (size_t k = 0; k < bootstrap->width; k++) {
            largest = row[k] > largest ? row[k] : largest;
            sums[k] += row[k];
        }
    }
    for (size_t k = 0; k < bootstrap->width; k++) {
        if (sums[k] > EXACT_SUM)
            return false;
    }
    return largest <= INT16_MAX && (int64_t)largest * bootstrap->n <= INT32_MAX;
}

static enum status make_columns(struct bootstrap *bootstrap, size_t system)
{
    const struct resample_counts *counts = &bootstrap->systems[system];
    if (!wants_columns(bootstrap, counts))
        return STATUS_OK;
    const size_t width = bootstrap->width;
    int16_t *values = calloc(bootstrap->n_chunks * width, CHUNK * sizeof *values);
    if (values == NULL)
        return status_set(STATUS_MEMORY, "no memory to resample %u segments", bootstrap->n);
    for (uint32_t i = 0; i < bootstrap->n; i++) {
        int16_t *cell = values + i / CHUNK * width * CHUNK + i % CHUNK;
        for (size_t k = 0; k < width; k++)
            cell[k * CHUNK] = (int16_t)counts->rows[i * width + k];
    }
    bootstrap->columns[system] = values;
    bootstrap->has_columns = true;
    return STATUS_OK;
}

/* Memory at the start of a page, in large pages where the system has them: rows are picked all over
 * it. */
static void *allocate_pages(size_t size_bytes)
{
    const size_t page = (size_t)1 << 21, rounded = (size_bytes + page - 1) / page * page;
    void *memory = aligned_alloc(page, rounded);
    if (memory != NULL)
        madvise(memory, rounded, MADV_HUGEPAGE); /* only a hint */
    return memory;
}

/* Makes the packed rows if there is a large system and all counts fit. */
static enum status make_packed(struct bootstrap *bootstrap)
{
    const size_t width = bootstrap->width, n_systems = bootstrap->n_systems;
    const size_t packed_width = width <= BLEU_PACKED ? BLEU_PACKED : CHRF_PACKED;
    bool is_wanted = false;
    for (size_t system = 0; system < n_systems; system++) {
        is_wanted |= bootstrap->columns[system] == NULL;
        const int32_t *rows = bootstrap->systems[system].rows;
        for (size_t i = 0; i < bootstrap->n * width; i++) {
            if (rows[i] > UINT16_MAX)
                return STATUS_OK;
        }
    }
    if (!is_wanted || width > packed_width)
        return STATUS_OK;
    uint16_t *cell = allocate_pages(bootstrap->n * n_systems * packed_width * sizeof *cell);
    if (cell == NULL)
        return status_set(STATUS_MEMORY, "no memory to resample %u segments", bootstrap->n);
    bootstrap->packed = cell;
    bootstrap->packed_width = packed_width;
    for (size_t i = 0; i < bootstrap->n; i++) {
        for (size_t system = 0; system < n_systems; system++, cell += packed_width) {
            memset(cell, 0, packed_width * sizeof *cell);
            for (size_t k = 0; k < width; k++)
                cell[k] = (uint16_t)bootstrap->systems[system].rows[i * width + k];
        }
    }
    return STATUS_OK;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Draws a resample and counts in times [n_chunks * CHUNK] how often each segment came. Only over
 * 2^15 segments could one come more often than 16 bits hold, with a chance of less than one in
 * 2^15 factorial. */
static void count_draws(const struct bootstrap *bootstrap, struct numpy_random *random,
                        int16_t *times)
{
    uint32_t drawn[DRAWS];
    memset(times, 0, bootstrap->n_chunks * CHUNK * sizeof *times);
    for (size_t done = 0; done < bootstrap->n; done += DRAWS) {
        const size_t n = smaller(DRAWS, bootstrap->n - done);
        numpy_random_fill(random, bootstrap->n, drawn, n);
        for (size_t i = 0; i < n; i++)
            times[drawn[i]]++;
    }
}

/* Adds to sums[0..GROUP-1] the products of a column and each of the GROUP counts of draws, which
 * lie stride apart. */
static void add_products(const int16_t *column, const int16_t *times, size_t stride, int32_t *sums)
{
    const int16_t *times1 = times + stride, *times2 = times1 + stride, *times3 = times2 + stride;
    int32_t sum0 = 0, sum1 = 0, sum2 = 0, sum3 = 0;
    for (size_t i = 0; i < CHUNK; i++) {
        sum0 += (int32_t)column[i] * times[i];
        sum1 += (int32_t)column[i] * times1[i];
        sum2 += (int32_t)column[i] * times2[i];
        sum3 += (int32_t)column[i] * times3[i];
    }
    sums[0] += sum0;
    sums[1] += sum1;
    sums[2] += sum2;
    sums[3] += sum3;
}

/* Sums of the group by products: sums [width, GROUP]. */
static void multiply(const struct bootstrap *bootstrap, const int16_t *values, const int16_t *times,
                     int32_t *sums)
{
    const size_t width = bootstrap->width, stride = bootstrap->n_chunks * CHUNK;
    memset(sums, 0, width * GROUP * sizeof *sums);
    for (size_t chunk = 0; chunk < bootstrap->n_chunks; chunk++) {
        for (size_t k = 0; k < width; k++)
            add_products(values + (chunk * width + k) * CHUNK, times + chunk * CHUNK, stride,
                         sums + k * GROUP);
    }
}

/* Adds the rows [n] drawn, one after another. */
static void add_rows(const int32_t *rows, size_t width, const uint32_t *drawn, size_t n,
                     float *sums)
{
    for (size_t i = 0; i < n; i++) {
        const int32_t *row = rows + drawn[i] * width;
        for (size_t k = 0; k < width; k++)
            sums[k] += (float)row[k];
    }
}

/* The same of packed rows, which lie stride apart. With a width the compiler knows, the sums stay
 * in registers. */
static inline void add_packed(const uint16_t *rows, size_t stride, size_t width,
                              const uint32_t *drawn, size_t n, float *sums)
{
    float total[CHRF_PACKED];
    memcpy(total, sums, width * sizeof *total);
    for (size_t i = 0; i < n; i++) {
        const uint16_t *row = rows + drawn[i] * stride;
        for (size_t k = 0; k < width; k++)
            total[k] += (float)row[k];
    }
    memcpy(sums, total, width * sizeof *total);
}

static void add_block(const struct bootstrap *bootstrap, size_t system, const uint32_t *drawn,
                      size_t n, float *sums)
{
    const size_t width = bootstrap->packed_width, stride = bootstrap->n_systems * width;
    const uint16_t *rows = bootstrap->packed + system * width;
    if (bootstrap->packed == NULL)
        add_rows(bootstrap->systems[system].rows, bootstrap->width, drawn, n, sums);
    else if (width == BLEU_PACKED)
        add_packed(rows, stride, BLEU_PACKED, drawn, n, sums);
    else
        add_packed(rows, stride, CHRF_PACKED, drawn, n, sums);
}

/* Draws a resample and adds the rows of the systems that are still without sums. */
static void add_drawn(const struct bootstrap *bootstrap, struct numpy_random *random,
                      struct desk *desk)
{
    uint32_t drawn[DRAWS];
    for (size_t system = 0; system < bootstrap->n_systems; system++) {
        if (desk->is_open[system])
            memset(desk->sums + system * METRIC_MAX_COUNTS, 0, METRIC_MAX_COUNTS * sizeof(float));
    }
    for (size_t done = 0; done < bootstrap->n; done += DRAWS) {
        const size_t n = smaller(DRAWS, bootstrap->n - done);
        numpy_random_fill(random, bootstrap->n, drawn, n);
        for (size_t system = 0; system < bootstrap->n_systems; system++) {
            if (desk->is_open[system])
                add_block(bootstrap, system, drawn, n, desk->sums + system * METRIC_MAX_COUNTS);
        }
    }
}

static void score_sums(const struct bootstrap *bootstrap, const struct desk *desk, int64_t sample)
{
    for (size_t system = 0; system < bootstrap->n_systems; system++) {
        const float *sums = desk->sums + system * METRIC_MAX_COUNTS;
        const size_t at = system * (size_t)bootstrap->n_samples + (size_t)sample;
        bootstrap->scores[at] = metric_score_float(bootstrap->metric, sums);
        bootstrap->are_float[at] = metric_is_float(bootstrap->metric, sums);
    }
}

/* Takes the sums of one resample of the group as floats where they are exact. */
static bool take_products(const int32_t *products, size_t width, float *sums)
{
    bool is_exact = true;
    for (size_t k = 0; k < width; k++) {
        is_exact &= products[k * GROUP] <= EXACT_SUM;
        sums[k] = (float)products[k * GROUP];
    }
    return is_exact;
}

/* Sets out which systems have exact sums of the group's resample i, and takes them. */
static bool take_exact(const struct bootstrap *bootstrap, struct desk *desk, int i)
{
    bool is_any_open = false;
    for (size_t system = 0; system < bootstrap->n_systems; system++) {
        const int32_t *products = desk->products + system * METRIC_MAX_COUNTS * GROUP + i;
        desk->is_open[system] =
            bootstrap->columns[system] == NULL ||
            !take_products(products, bootstrap->width, desk->sums + system * METRIC_MAX_COUNTS);
        is_any_open |= desk->is_open[system];
    }
    return !is_any_open;
}

/* Resamples first..first+n-1 from random on, which is left behind them. */
static void run_group(const struct bootstrap *bootstrap, struct numpy_random *random,
                      struct desk *desk, int64_t first, int n)
{
    const size_t stride = bootstrap->n_chunks * CHUNK;
    struct numpy_random starts[GROUP];
    for (int i = 0; i < n && bootstrap->has_columns; i++) {
        starts[i] = *random;
        count_draws(bootstrap, random, desk->times + (size_t)i * stride);
    }
    for (size_t system = 0; system < bootstrap->n_systems; system++) {
        if (bootstrap->columns[system] != NULL)
            multiply(bootstrap, bootstrap->columns[system], desk->times,
                     desk->products + system * METRIC_MAX_COUNTS * GROUP);
    }
    for (int i = 0; i < n; i++) {
        if (!take_exact(bootstrap, desk, i))
            add_drawn(bootstrap, bootstrap->has_columns ? &starts[i] : random, desk);
        score_sums(bootstrap, desk, first + i);
    }
}

/* Moves on by n draws of 32 bits; no half may be kept yet. */
static void skip_halves(struct numpy_random *random, uint64_t n)
{
    numpy_random_skip(random, n / 2);
    if (n % 2 != 0)
        numpy_random_next_half(random);
}

static uint64_t draws_before(const struct bootstrap *bootstrap, int64_t group)
{
    return (uint64_t)group * GROUP * bootstrap->n;
}

/* Counts what is rejected of the draws that a group would take if none was rejected before it. */
static enum status count_rejected(void *context, int thread, int64_t group)
{
    (void)thread;
    struct bootstrap *bootstrap = context;
    struct numpy_random random = bootstrap->random;
    skip_halves(&random, draws_before(bootstrap, group));
    bootstrap->rejected[group] =
        numpy_random_count_rejected(&random, bootstrap->n, (uint64_t)GROUP * bootstrap->n);
    return STATUS_OK;
}

/* Moves from the start to the group's first draw. As many as were rejected on the way there are
 * still missing then: they are drawn and dropped. */
static void seek_group(const struct bootstrap *bootstrap, struct numpy_random *random,
                       int64_t group)
{
    if (bootstrap->n == 1)
        return;
    skip_halves(random, draws_before(bootstrap, group));
    for (uint64_t left = bootstrap->rejected[group]; left > 0;) {
        uint32_t drawn[DRAWS];
        const size_t n = left < DRAWS ? (size_t)left : DRAWS;
        numpy_random_fill(random, bootstrap->n, drawn, n);
        left -= n;
    }
}

static enum status run_piece(void *context, int thread, int64_t group)
{
    struct bootstrap *bootstrap = context;
    const int64_t first = group * GROUP, left = bootstrap->n_samples - first;
    const int n = left < GROUP ? (int)left : GROUP;
    if (bootstrap->rejected == NULL) {
        run_group(bootstrap, &bootstrap->random, &bootstrap->desks[thread], first, n);
        return STATUS_OK;
    }
    struct numpy_random random = bootstrap->random;
    seek_group(bootstrap, &random, group);
    run_group(bootstrap, &random, &bootstrap->desks[thread], first, n);
    return STATUS_OK;
}

static enum status run_groups(struct bootstrap *bootstrap)
{
    const int64_t n_groups = (bootstrap->n_samples + GROUP - 1) / GROUP;
    if (bootstrap->threads > 1) {
        bootstrap->rejected = calloc((size_t)n_groups, sizeof *bootstrap->rejected);
        if (bootstrap->rejected == NULL)
            return status_set(STATUS_MEMORY, "no memory to resample");
        enum status status = parallel_for(bootstrap->threads, n_groups, count_rejected, bootstrap);
        if (status < 0)
            return status;
        uint64_t before = 0;
        for (int64_t group = 0; group < n_groups; group++) {
            const uint64_t here = bootstrap->rejected[group];
            bootstrap->rejected[group] = before;
            before += here;
        }
    }
    return parallel_for(bootstrap->threads, n_groups, run_piece, bootstrap);
}

static enum status make_desks(struct bootstrap *bootstrap)
{
    for (int i = 0; i < bootstrap->threads; i++) {
        struct desk *desk = &bootstrap->desks[i];
        desk->sums = calloc(bootstrap->n_systems, METRIC_MAX_COUNTS * sizeof *desk->sums);
        desk->is_open = calloc(bootstrap->n_systems, sizeof *desk->is_open);
        desk->products =
            calloc(bootstrap->n_systems * GROUP, METRIC_MAX_COUNTS * sizeof *desk->products);
        if (bootstrap->has_columns)
            desk->times = calloc(GROUP * bootstrap->n_chunks, CHUNK * sizeof *desk->times);
        if (!desk->sums || !desk->is_open || !desk->products ||
            (bootstrap->has_columns && !desk->times))
            return status_set(STATUS_MEMORY, "no memory to resample %u segments", bootstrap->n);
    }
    return STATUS_OK;
}

static void free_all(struct bootstrap *bootstrap)
{
    for (size_t i = 0; bootstrap->columns && i < bootstrap->n_systems; i++)
        free(bootstrap->columns[i]);
    for (int i = 0; bootstrap->desks && i < bootstrap->threads; i++) {
        free(bootstrap->desks[i].times);
        free(bootstrap->desks[i].products);
        free(bootstrap->desks[i].sums);
        free(bootstrap->desks[i].is_open);
    }
    free(bootstrap->columns);
    free(bootstrap->packed);
    free(bootstrap->desks);
    free(bootstrap->rejected);
}

enum status bootstrap_scores(const struct metric *metric, const struct resample_counts *systems,
                             size_t n_systems, const struct resample_options *options,
                             double *scores, bool *are_float)
{
    const int64_t n = systems[0].n_segments;
    for (size_t i = 0; i < n_systems; i++)
        CHECK(systems[i].n_segments == n && n >= 1, "system %zu: %lld segments", i,
              (long long)systems[i].n_segments);
    if (n > INT32_MAX)
        return status_set(STATUS_DATA, "%lld segments are too many to resample", (long long)n);
    struct bootstrap bootstrap = {
        .metric = metric,
        .systems = systems,
        .n_systems = n_systems,
        .width = metric_width(metric),
        .n = (uint32_t)n,
        .n_chunks = ((size_t)n + CHUNK - 1) / CHUNK,
        .n_samples = options->n_samples,
        .threads = options->threads > 1 ? options->threads : 1,
        .scores = scores,
        .are_float = are_float,
    };
    bootstrap.columns = calloc(n_systems, sizeof *bootstrap.columns);
    bootstrap.desks = calloc((size_t)bootstrap.threads, sizeof *bootstrap.desks);
    enum status status = STATUS_OK;
    if (!bootstrap.columns || !bootstrap.desks)
        status = status_set(STATUS_MEMORY, "no memory to resample");
    for (size_t i = 0; i < n_systems && status == STATUS_OK; i++)
        status = make_columns(&bootstrap, i);
    if (status == STATUS_OK)
        status = make_packed(&bootstrap);
    if (status == STATUS_OK)
        status = make_desks(&bootstrap);
    if (status == STATUS_OK)
        status = numpy_random_seed(&bootstrap.random, options->has_seed ? options->seed : NULL);
    if (status == STATUS_OK)
        status = run_groups(&bootstrap);
    free_all(&bootstrap);
    return status;
}
