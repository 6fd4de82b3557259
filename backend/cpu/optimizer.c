/* Sums of squares and Adam: as fast as memory. */
#include <math.h>

#include "backend/cpu/context.h"

enum { RUN = 16384 }; /* numbers whose squares are summed together, for any number of threads */

KERNEL static double sum_squares_run(const float *x, int64_t count)
{
    enum { SUMS = 16 };
    double sum[SUMS] = {0};
    int64_t i = 0;
    for (; i + SUMS <= count; i += SUMS)
        for (int j = 0; j < SUMS; j++)
            sum[j] += (double)x[i + j] * x[i + j];
    for (int j = 0; i + j < count; j++)
        sum[j] += (double)x[i + j] * x[i + j];
    double total = 0;
    for (int j = 0; j < SUMS; j++)
        total += sum[j];
    return total;
}

static void cpu_sum_squares(struct backend *backend, const struct tensor *sum,
                            const struct tensor *x)
{
    const int64_t count = tensor_count(x), runs = (count + RUN - 1) / RUN;
    if (!context_enter(backend))
        return;
    double *part = (double *)context_scratch(backend, 2 * (size_t)runs);
    if (!part)
        return;
    const int n_parts = context_parts(backend, count);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t i = 0; i < runs; i++)
        part[i] =
            sum_squares_run(floats(x) + i * RUN, count - i * RUN < RUN ? count - i * RUN : RUN);
    double total = 0;
    for (int64_t i = 0; i < runs; i++)
        total += part[i];
    floats(sum)[0] = (float)(floats(sum)[0] + total);
}

/* Adam's settings as the loop needs them. */
struct rates {
    float keep1, add1, keep2, add2; /* beta1, 1 - beta1, beta2, 1 - beta2 */
    float gradient_scale, step, unbias2, epsilon;
};

KERNEL static void adam_run(float *restrict value, float *restrict first, float *restrict second,
                            const float *restrict gradient, int64_t from, int64_t to,
                            struct rates rates)
{
    for (int64_t i = from; i < to; i++) {
        const float g = rates.gradient_scale * gradient[i];
        const float m = rates.keep1 * first[i] + rates.add1 * g;
        const float v = rates.keep2 * second[i] + rates.add2 * g * g;
        first[i] = m;
        second[i] = v;
        value[i] -= rates.step * m / (sqrtf(v * rates.unbias2) + rates.epsilon);
    }
}

static void cpu_adam_step(struct backend *backend, const struct tensor *value,
                          const struct tensor *first, const struct tensor *second,
                          const struct tensor *gradient, const struct adam *adam)
{
    const int64_t count = tensor_count(value);
    CHECK(count == tensor_count(first) && count == tensor_count(second) &&
              count == tensor_count(gradient),
          "counts differ");
    if (!context_enter(backend))
        return;
    const double unbias1 = 1 - pow(adam->beta1, (double)adam->step);
    const double unbias2 = 1 - pow(adam->beta2, (double)adam->step);
    const struct rates rates = {.keep1 = (float)adam->beta1,
                                .add1 = (float)(1 - adam->beta1),
                                .keep2 = (float)adam->beta2,
                                .add2 = (float)(1 - adam->beta2),
                                .gradient_scale = (float)adam->gradient_scale,
                                .step = (float)(adam->learning_rate / unbias1),
                                .unbias2 = (float)(1 / unbias2),
                                .epsilon = (float)adam->epsilon};
    const int n_parts = context_parts(backend, count);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++)
        adam_run(floats(value), floats(first), floats(second), floats(gradient),
                 part_start(count, part, n_parts), part_start(count, part + 1, n_parts), rates);
}

void cpu_set_optimizer(struct backend_ops *ops)
{
    ops->sum_squares = cpu_sum_squares;
    ops->adam_step = cpu_adam_step;
}
