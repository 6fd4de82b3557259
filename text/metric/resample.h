/* Significance by resampling: bootstrap intervals (Koehn 2004), paired bootstrap, and approximate
 * randomization (Riezler and Maxwell 2005), with sacreBLEU 2.6.0's numbers: the same generator
 * (text/metric/numpy_random.h), the same order of draws, the same float and double arithmetic. */
#ifndef MIXT_TEXT_METRIC_RESAMPLE_H
#define MIXT_TEXT_METRIC_RESAMPLE_H

#include "text/metric/metric.h"

/* The counts of a system's segments. */
struct resample_counts {
    const int32_t *rows; /* [n_segments, metric_width], borrowed */
    int64_t n_segments;  /* at least 1 */
};

struct resample_options {
    int64_t n_samples; /* resamples or trials, 1 to 2^31 - 1 */
    bool has_seed;     /* false: seeded by the operating system */
    const char *seed;  /* decimal digits of a whole number >= 0 of any size; 0 is a seed like others
                          (sacreBLEU's paired tests take it for none) */
    int threads;       /* no influence on the results */
};

/* All return STATUS_MEMORY, STATUS_DATA over 2^31 - 1 segments, STATUS_USAGE for a seed that
 * is no whole number, and STATUS_FAILED when the system gives nothing to seed with; what they write
 * is then undefined. */

/* Mean and half of the 95 % interval of a system's score.
 *
 * Source: sacreBLEU's corpus_score(n_bootstrap): rows drawn with replacement, scored by
 * metric_score_float(); the mean is exact (statistics.mean). chrF's come out of sacreBLEU as
 * numpy.float32, so they are rounded to float here too. */
enum status resample_interval(const struct metric *metric, const struct resample_counts *counts,
                              const struct resample_options *options, double *mean,
                              double *half_width) STATUS_CHECKED;

/* A system beside the baseline. */
struct resample_result {
    double p_value;
    double mean;       /* of the bootstrap; not set by randomization */
    double half_width; /* likewise */
};

/* Paired bootstrap of systems [n_systems], the first of them the baseline: for each, results[i] has
 * the p value of |score - baseline's| under resampling, the mean (as NumPy's pairwise mean) and the
 * interval; the baseline's own p value means nothing. All have the same number of segments.
 *
 * One call draws once for all systems, which with a seed is what sacreBLEU's separate runs draw. */
enum status resample_paired_systems(const struct metric *metric,
                                    const struct resample_counts *systems, size_t n_systems,
                                    const struct resample_options *options,
                                    struct resample_result *results) STATUS_CHECKED;

/* The same for one system beside the baseline; result is the system's. */
enum status resample_paired_bootstrap(const struct metric *metric,
                                      const struct resample_counts *baseline,
                                      const struct resample_counts *system,
                                      const struct resample_options *options,
                                      struct resample_result *result) STATUS_CHECKED;

/* Approximate randomization: the two systems' segments are exchanged at random, in whole numbers
 * scored by metric_score_trial(). Sets result->p_value only. */
enum status resample_randomization(const struct metric *metric,
                                   const struct resample_counts *baseline,
                                   const struct resample_counts *system,
                                   const struct resample_options *options,
                                   struct resample_result *result) STATUS_CHECKED;

#endif
