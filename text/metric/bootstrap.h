/* Scores of a bootstrap's resamples: the number of segments is drawn from the segments with
 * replacement, their counts are added up, and the sum is scored; again and again.
 *
 * The draws are those of NumPy's default_rng(seed).choice(n, size=(n_samples, n)), and the sums are
 * those of NumPy's float32 arrays: added row by row and rounded each time, which matters once a sum
 * passes 2^24. */
#ifndef MIXT_TEXT_METRIC_BOOTSTRAP_H
#define MIXT_TEXT_METRIC_BOOTSTRAP_H

#include "text/metric/resample.h"

/* Scores resamples of several systems, each resample drawing the same segments for all of them.
 *
 * systems    in   [n_systems]             with the same number of segments
 * scores     out  [n_systems, n_samples]
 * are_float  out  [n_systems, n_samples]  metric_is_float() of the score
 *
 * STATUS_DATA over 2^31 - 1 segments, STATUS_MEMORY, and what numpy_random_seed() returns. */
enum status bootstrap_scores(const struct metric *metric, const struct resample_counts *systems,
                             size_t n_systems, const struct resample_options *options,
                             double *scores, bool *are_float) STATUS_CHECKED;

#endif
