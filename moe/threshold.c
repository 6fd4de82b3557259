/* Where the m largest of some scores end. */
#include "moe/threshold.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>

/* Hoare's FIND: afterwards what is before place k is no smaller than it, and what follows no
 * larger. */
static void find(float *v, int64_t n, int64_t k)
{
    int64_t first = 0, last = n - 1;
    while (first < last) {
        const float pivot = v[k];
        int64_t i = first, j = last;
        while (i <= j) {
            while (v[i] > pivot)
                i++;
            while (v[j] < pivot)
                j--;
            if (i > j)
                break;
            const float moved = v[i];
            v[i++] = v[j];
            v[j--] = moved;
        }
        if (j < k)
            first = i;
        if (i > k)
            last = j;
    }
}

/* How many of n tokens an expert gets. */
static int64_t share_of(int64_t n, int64_t top_k, int64_t n_experts)
{
    const int64_t nearest = (2 * top_k * n + n_experts) / (2 * n_experts);
    return nearest < 1 ? 1 : nearest > n ? n : nearest;
}

float threshold_between(float *scores, int64_t n, int64_t top_k, int64_t n_experts)
{
    const int64_t m = share_of(n, top_k, n_experts);
    int64_t n_above = 0, n_below = 0;
    double above = 1, below = FLT_MIN; /* the nearest scores that are not tied with the last */
    for (int64_t i = 0; i < n; i++)
        scores[i] = scores[i] > FLT_MIN ? scores[i] : FLT_MIN;
    find(scores, n, m - 1);
    const double last = scores[m - 1];
    for (int64_t i = 0; i < n; i++) {
        if (scores[i] > last * (1 + THRESHOLD_TIE)) {
            above = n_above++ == 0 || scores[i] < above ? (double)scores[i] : above;
        } else if (scores[i] < last * (1 - THRESHOLD_TIE)) {
            below = n_below++ == 0 || scores[i] > below ? (double)scores[i] : below;
        }
    }
    const bool takes_ties = n_above == 0 || n - n_below - m <= m - n_above;
    return (float)(0.5 * (log(last) + log(takes_ties ? below : above)));
}
