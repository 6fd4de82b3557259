/* Intervals and p values of the bootstrap's scores. Randomization is in randomization.c.
 *
 * In sacreBLEU, chrF's resampled scores are numpy.float32 but for some zeros, and what is computed
 * from an array of nothing but those is float as well: the means, the differences, and the observed
 * difference they are compared with. A mixed array is one of doubles. */
#include "text/metric/resample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/metric/bootstrap.h"
#include "text/metric/mean.h"

/* The scores of one or more systems. */
struct scores {
    double *values;  /* [n_systems + 1, n], the last row to work in; owned */
    bool *are_float; /* [n_systems, n] owned */
    float *floats;   /* [n] to work in; owned */
    size_t n;
};

static void scores_free(struct scores *scores)
{
    free(scores->values);
    free(scores->are_float);
    free(scores->floats);
}

static enum status scores_make(struct scores *scores, const struct metric *metric,
                               const struct resample_counts *systems, size_t n_systems,
                               const struct resample_options *options)
{
    CHECK(options->n_samples >= 1 && options->n_samples <= INT32_MAX, "%lld resamples",
          (long long)options->n_samples);
    const size_t n = (size_t)options->n_samples;
    *scores = (struct scores){.values = calloc(n_systems + 1, n * sizeof *scores->values),
                              .are_float = calloc(n_systems, n * sizeof *scores->are_float),
                              .floats = calloc(n, sizeof *scores->floats),
                              .n = n};
    if (!scores->values || !scores->are_float || !scores->floats)
        return status_set(STATUS_MEMORY, "no memory for %zu resamples", n);
    return bootstrap_scores(metric, systems, n_systems, options, scores->values, scores->are_float);
}

/* Whether an array of a system's scores is one of float. */
static bool are_float(const struct scores *scores, size_t system)
{
    const bool *flags = scores->are_float + system * scores->n;
    return memchr(flags, false, scores->n * sizeof *flags) == NULL;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Half the distance between the scores at 1/40 from both ends. */
static double half_width(const double *sorted, size_t n, bool is_float)
{
    const double lower = sorted[n / 40], upper = sorted[n - n / 40 - 1];
    if (is_float)
        return 0.5f * ((float)upper - (float)lower);
    return 0.5 * (upper - lower);
}

/* The mean as NumPy has it; floats is working memory [n]. */
static double numpy_mean(const double *values, size_t n, bool is_float, float *floats)
{
    if (!is_float)
        return mean_pairwise(values, n);
    for (size_t i = 0; i < n; i++)
        floats[i] = (float)values[i];
    return mean_pairwise_float(floats, n);
}

/* Counts the differences [n] whose distance above their mean exceeds the observed difference. */
static double p_value(const double *differences, size_t n, bool is_float, float *floats,
                      double observed)
{
    const double mean = numpy_mean(differences, n, is_float, floats);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (is_float)
            count += (float)differences[i] - (float)mean > (float)observed ? 1 : 0;
        else
            count += differences[i] - mean > observed ? 1 : 0;
    }
    return (double)(count + 1) / (double)(n + 1);
}

/* The score of the system as it is. */
static double score_whole(const struct metric *metric, const struct resample_counts *counts)
{
    const size_t width = metric_width(metric);
    int64_t sums[METRIC_MAX_COUNTS] = {0};
    for (int64_t i = 0; i < counts->n_segments; i++) {
        for (size_t k = 0; k < width; k++)
            sums[k] += counts->rows[(size_t)i * width + k];
    }
    return metric_score(metric, sums);
}

enum status resample_interval(const struct metric *metric, const struct resample_counts *counts,
                              const struct resample_options *options, double *mean, double *half)
{
    struct scores scores;
    const enum status status = scores_make(&scores, metric, counts, 1, options);
    if (status == STATUS_OK) {
        const bool is_float = are_float(&scores, 0);
        const double exact = mean_exact(scores.values, scores.n);
        qsort(scores.values, scores.n, sizeof *scores.values, compare);
        *mean = is_float ? (double)(float)exact : exact;
        *half = half_width(scores.values, scores.n, is_float);
    }
    scores_free(&scores);
    return status;
}

/* One system's result, where the scores as they are differ by observed. Its resampled scores are
 * sorted afterwards. */
static struct resample_result compare_scores(struct scores *scores, size_t n_systems, size_t system,
                                             double observed)
{
    const size_t n = scores->n;
    double *own = scores->values + system * n, *differences = scores->values + n_systems * n;
    const double *baseline = scores->values;
    const bool is_float = are_float(scores, system);
    const bool is_pair_float = is_float && are_float(scores, 0);
    for (size_t i = 0; i < n; i++) {
        const double difference = fabs(own[i] - baseline[i]);
        differences[i] = is_pair_float ? (double)(float)difference : difference;
    }
    struct resample_result result;
    result.p_value = p_value(differences, n, is_pair_float, scores->floats, observed);
    qsort(own, n, sizeof *own, compare); /* NumPy's mean is that of the sorted scores */
    result.mean = numpy_mean(own, n, is_float, scores->floats);
    result.half_width = half_width(own, n, is_float);
    return result;
}

enum status resample_paired_systems(const struct metric *metric,
                                    const struct resample_counts *systems, size_t n_systems,
                                    const struct resample_options *options,
                                    struct resample_result *results)
{
    struct scores scores;
    const enum status status = scores_make(&scores, metric, systems, n_systems, options);
    if (status == STATUS_OK) {
        const double baseline = score_whole(metric, &systems[0]);
        for (size_t i = n_systems; i-- > 0;) { /* the baseline last: its scores are sorted then */
            const double observed = fabs(baseline - score_whole(metric, &systems[i]));
            results[i] = compare_scores(&scores, n_systems, i, observed);
        }
    }
    scores_free(&scores);
    return status;
}

enum status resample_paired_bootstrap(const struct metric *metric,
                                      const struct resample_counts *baseline,
                                      const struct resample_counts *system,
                                      const struct resample_options *options,
                                      struct resample_result *result)
{
    const struct resample_counts systems[2] = {*baseline, *system};
    struct resample_result results[2];
    const enum status status = resample_paired_systems(metric, systems, 2, options, results);
    if (status == STATUS_OK)
        *result = results[1];
    return status;
}
