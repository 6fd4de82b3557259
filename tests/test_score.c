/* Length normalisation and coverage penalty, against values worked by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "beam/score.h"

static void expect_near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * (1 + fabs(want))))
        fail_msg("%.17g, wanted %.17g", got, want);
}

static void test_length_penalty(void **state)
{
    (void)state;
    expect_near(score_length_penalty(1, 0.7), 1);      /* 6/6 */
    expect_near(score_length_penalty(7, 1), 2);        /* 12/6 */
    expect_near(score_length_penalty(19, 0.5), 2);     /* sqrt(24/6) */
    expect_near(score_length_penalty(43, 1.0 / 3), 2); /* cube root of 48/6 */
    expect_near(score_length_penalty(4, 2), 2.25);     /* (9/6)^2 */
    expect_near(score_length_penalty(100, 0), 1);
}

static void test_coverage_penalty(void **state)
{
    (void)state;
    const double even[] = {1, 1, 1}, over[] = {3, 1, 8};
    expect_near(score_coverage_penalty(even, 3, 0.2), 0);
    expect_near(score_coverage_penalty(over, 3, 0.2), 0);
    /* ln(1/2) + ln(1/4) + 0 = -3 ln 2 */
    const double partly[] = {0.5, 0.25, 2};
    expect_near(score_coverage_penalty(partly, 3, 0.2), -0.2 * 3 * 0.69314718055994531);
    /* The third is not part of the sentence. */
    expect_near(score_coverage_penalty((const double[]){0.5, 1, 0.1}, 2, 1), -0.69314718055994531);
    /* 0 counts as 10^-10: ln is -10 * 2.302585... */
    expect_near(score_coverage_penalty((const double[]){0}, 1, 0.5), -5 * 2.3025850929940457);
    expect_near(score_coverage_penalty((const double[]){0}, 1, 0), 0);
}

/* The bound holds, and is reached, over extensions of a hypothesis. */
static void test_bound(void **state)
{
    (void)state;
    const double alphas[] = {0, 0.2, 1, 1.5};
    for (int a = 0; a < 4; a++) {
        const double bound = score_bound(-2, 13, alphas[a]);
        for (int64_t length = 4; length <= 13; length++)
            for (double log_prob = -2; log_prob > -5; log_prob -= 0.25)
                assert_true(log_prob / score_length_penalty(length, alphas[a]) <= bound);
        expect_near(bound, -2 / score_length_penalty(13, alphas[a]));
    }
    expect_near(score_bound(-3, 13, 1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length_penalty),
        cmocka_unit_test(test_coverage_penalty),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
