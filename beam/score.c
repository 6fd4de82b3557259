/* Scores of hypotheses. */
#include "beam/score.h"

#include <math.h>

#include "base/status.h"

static const double SMALLEST_COVERAGE = 1e-10;

double score_length_penalty(int64_t length, double alpha)
{
    CHECK(alpha >= 0 && length >= 0, "alpha %g, length %lld", alpha, (long long)length);
    return pow((5.0 + (double)length) / 6.0, alpha);
}

double score_coverage_penalty(const double *coverage, int64_t n_source, double beta)
{
    double sum = 0;
    for (int64_t i = 0; i < n_source; i++)
        sum += log(fmin(fmax(coverage[i], SMALLEST_COVERAGE), 1));
    return beta * sum;
}

/* Let Y' extend Y to n <= max_length tokens. log P(Y') <= log P(Y) <= 0, because every further
 * factor is a probability. lp grows with the length, as alpha >= 0, so lp(n) <= lp(max_length), and
 * a negative number divided by the larger lp is the larger one:
 *   s(Y') = log P(Y') / lp(n) + cp <= log P(Y') / lp(max_length) <= log P(Y) / lp(max_length),
 * where cp <= 0 because every logarithm is taken of at most 1. */
double score_bound(double log_prob, int64_t max_length, double alpha)
{
    return log_prob / score_length_penalty(max_length, alpha);
}
