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
    int64_t n_samples; /* resamples or trials, at least 1 */
    bool has_seed;     /* false: seeded by the operating system */
    const char *seed;  /* decimal digits of a whole number >= 0 of any size */
    int threads;       /* no influence on the results */
};

/* Mean and half of the 95 % interval of a system's score.
 *
 * Source: sacreBLEU's corpus_score(n_bootstrap): rows drawn with replacement, scored by
 * metric_score_float(); the mean is exact (statistics.mean). STATUS_MEMORY. */
enum status resample_interval(const struct metric *metric, const struct resample_counts *counts,
                              const struct resample_options *options, double *mean,
                              double *half_width) STATUS_CHECKED;

/* A system beside the baseline. */
struct resample_result {
    double p_value;
    double mean;       /* of the bootstrap; not set by randomization */
    double half_width; /* likewise */
};

/* Paired bootstrap: result->p_value of |score - baseline's| under resampling, and the system's
 * mean (as NumPy's pairwise mean) and interval. Both systems have the same number of segments.
 * STATUS_MEMORY. */
enum status resample_paired_bootstrap(const struct metric *metric,
                                      const struct resample_counts *baseline,
                                      const struct resample_counts *system,
                                      const struct resample_options *options,
                                      struct resample_result *result) STATUS_CHECKED;

/* Approximate randomization: the two systems' segments are exchanged at random. STATUS_MEMORY. */
enum status resample_randomization(const struct metric *metric,
                                   const struct resample_counts *baseline,
                                   const struct resample_counts *system,
                                   const struct resample_options *options,
                                   struct resample_result *result) STATUS_CHECKED;

#endif
