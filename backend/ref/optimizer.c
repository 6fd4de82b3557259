/* Sums of squares and Adam. */
#include <math.h>

#include "backend/ref/real.h"

static void ref_sum_squares(struct backend *backend, const struct tensor *sum,
                            const struct tensor *x)
{
    (void)backend;
    double total = 0;
    for (int64_t i = 0; i < tensor_count(x); i++)
        total += (double)reals(x)[i] * reals(x)[i];
    reals(sum)[0] = (real)(reals(sum)[0] + total);
}

static void ref_adam_step(struct backend *backend, const struct tensor *value,
                          const struct tensor *first, const struct tensor *second,
                          const struct tensor *gradient, const struct adam *adam)
{
    (void)backend;
    const double unbias1 = 1 - pow(adam->beta1, (double)adam->step);
    const double unbias2 = 1 - pow(adam->beta2, (double)adam->step);
    for (int64_t i = 0; i < tensor_count(value); i++) {
        const double g = adam->gradient_scale * reals(gradient)[i];
        const double m = adam->beta1 * reals(first)[i] + (1 - adam->beta1) * g;
        const double v = adam->beta2 * reals(second)[i] + (1 - adam->beta2) * g * g;
        reals(first)[i] = (real)m;
        reals(second)[i] = (real)v;
        reals(value)[i] -=
            (real)(adam->learning_rate * (m / unbias1) / (sqrt(v / unbias2) + adam->epsilon));
    }
}

void REF(set_optimizer)(struct backend_ops *ops)
{
    ops->sum_squares = ref_sum_squares;
    ops->adam_step = ref_adam_step;
}
