/* Means as sacreBLEU's two ways to a confidence interval take them: Python's statistics.mean, which
 * is exact, and NumPy's, which adds pairwise. */
#ifndef MIXT_TEXT_METRIC_MEAN_H
#define MIXT_TEXT_METRIC_MEAN_H

#include <stddef.h>

#include "base/status.h"

/* The mean of values [n], n from 1 to 2^31 - 1, finite and not negative: the exact quotient,
 * rounded once. */
double mean_exact(const double *values, size_t n);

/* numpy.mean of a float64 array [n], n >= 1. */
double mean_pairwise(const double *values, size_t n);

/* numpy.mean of a float32 array. */
float mean_pairwise_float(const float *values, size_t n);

#endif
