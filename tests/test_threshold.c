/* Where a balanced gate's share of scores ends: by hand, with ties, and against sorting. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "moe/threshold.h"

enum { MANY = 3000 };

static void expect(const float *scores, int64_t n, int64_t top_k, int64_t n_experts, double want)
{
    float copy[MANY];
    memcpy(copy, scores, (size_t)n * sizeof *copy);
    const double got = exp((double)threshold_between(copy, n, top_k, n_experts));
    if (!(fabs(got - want) <= 3e-6 * want))
        fail_msg("%lld scores, %lld of %lld experts: got %.9g, want %.9g", (long long)n,
                 (long long)top_k, (long long)n_experts, got, want);
}

/* m of 6 tokens with 3 experts: 2 for one expert a token, 4 for two; of 5 tokens 3 for two. */
static void test_by_hand(void **state)
{
    (void)state;
    const float scores[] = {0.1F, 0.5F, 0.2F, 0.4F, 0.05F, 0.8F};
    expect(scores, 6, 1, 3, sqrt(0.5 * 0.4));
    expect(scores, 6, 2, 3, sqrt(0.2 * 0.1));
    expect(scores, 5, 2, 3, sqrt(0.2 * 0.1));
    expect(scores, 6, 3, 3, sqrt(0.05 * FLT_MIN));
    expect(scores, 1, 1, 9, sqrt(0.1 * FLT_MIN));
}

static void test_ties(void **state)
{
    (void)state;
    const float low[] = {0.3F, 0.3F, 0.9F, 0.3F, 0.3F, 0.1F};  /* 2 of 1 or 5: 1 is nearer */
    const float high[] = {0.3F, 0.3F, 0.9F, 0.3F, 0.2F, 0.1F}; /* 3 of 1 or 4: 4 is nearer */
    const float near[] = {0.3F, 0.300001F, 0.9F, 0.3F, 0.299999F, 0.1F};
    const float all[] = {0.3F, 0.3F, 0.3F, 0.3F, 0.3F, 0.1F}; /* 2 of 0 or 5: some it must be */
    expect(low, 6, 1, 3, sqrt(0.9 * 0.3));
    expect(high, 6, 1, 2, sqrt(0.3 * 0.2));
    expect(near, 6, 1, 3, sqrt(0.9 * 0.3));
    expect(all, 6, 1, 3, sqrt(0.3 * 0.1));
}

static void test_tiny(void **state)
{
    (void)state;
    const float tiny[] = {NAN, 0, 0.25F, 1e-42F};
    expect(tiny, 4, 1, 4, sqrt(0.25 * FLT_MIN));
    expect(tiny, 4, 2, 4, sqrt(0.25 * FLT_MIN)); /* 1 or all of them, which all are too small */
}

static int descending(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* Distinct numbers in any order: 7919 is prime to MANY. */
static void test_sorted(void **state)
{
    (void)state;
    float scores[MANY], sorted[MANY];
    for (int64_t i = 0; i < MANY; i++)
        sorted[i] = scores[i] = (float)(i * 7919 % MANY + 1) / (MANY + 1);
    qsort(sorted, MANY, sizeof *sorted, descending);
    for (int64_t top_k = 1; top_k < 32; top_k += 5) {
        const int64_t m = (int64_t)lround((double)(top_k * MANY) / 32);
        expect(scores, MANY, top_k, 32, sqrt((double)sorted[m - 1] * (double)sorted[m]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_by_hand), cmocka_unit_test(test_ties),
                                       cmocka_unit_test(test_tiny), cmocka_unit_test(test_sorted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
