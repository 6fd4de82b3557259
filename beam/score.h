/* How hypotheses of different lengths are compared: length normalisation and coverage penalty.
 *
 * Wu et al. 2016 (arXiv:1609.08144), section 7:
 *   s(Y, X) = log P(Y|X) / lp(Y) + cp(X; Y)
 *   lp(Y) = ((5 + |Y|) / (5 + 1))^alpha
 *   cp(X; Y) = beta * sum over i of log(min(sum over j of p_ij, 1))
 * |Y| counts the tokens whose probabilities make up P(Y|X): the end symbol is one of them. */
#ifndef MIXT_BEAM_SCORE_H
#define MIXT_BEAM_SCORE_H

#include <stdint.h>

/* lp of a length; alpha >= 0. 1 for alpha = 0 and for length 1. */
double score_length_penalty(int64_t length, double alpha);

/* cp, never above 0. coverage [S] holds for every source token the attention that all target tokens
 * paid to it. A sum below 1e-10 counts as 1e-10: weights may underflow to 0, and its logarithm
 * would make every hypothesis equally bad. */
double score_coverage_penalty(const double *coverage, int64_t n_source, double beta);

/* No hypothesis that begins with these tokens, of log-probability log_prob, and is at most
 * max_length tokens long can score above this. */
double score_bound(double log_prob, int64_t max_length, double alpha);

#endif
