/* A threshold that chooses as a batch would: where a balanced gate's share of its tokens ends
 * (Shazeer et al. 2017, eqs. 18 and 19). */
#ifndef MIXT_MOE_THRESHOLD_H
#define MIXT_MOE_THRESHOLD_H

#include <stdint.h>

/* Scores that differ by less than this share are tied. A batch splits them by their places, a
 * threshold cannot: the first tokens of all sentences of a language model, say, are one. It is
 * above what rounding does to a threshold's logarithm. */
#define THRESHOLD_TIE 1e-5

/* The logarithm of a threshold above which lie the m largest of one expert's scores [n], each in
 * 0..1: half way, in logarithms, from the m-th to the next. m = top_k n / n_experts as in
 * balanced_mask. Those tied with the m-th all lie above or all below, whichever is nearer to m, but
 * not below if they are the largest. Scores below the smallest normal number, and NaN, count as
 * that number; so does what comes after the last. n >= 1; the scores are reordered. */
float threshold_between(float *scores, int64_t n, int64_t top_k, int64_t n_experts);

#endif
