/* Sums of squares and Adam: as fast as memory. */
#include "backend/cpu/optimizer.h"

#include <math.h>
#include <string.h>

#include "backend/cpu/context.h"

enum {
    RUN = 16384,      /* numbers whose squares are summed together, for any number of threads */
    UPDATE_RUN = 2048 /* numbers whose gradient is zeroed after their update, from the first cache;
                         one by one, each zero would delay the next loads */
};

KERNEL double optimizer_sum_squares(const float *x, int64_t count)
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
        part[i] = optimizer_sum_squares(floats(x) + i * RUN,
                                        count - i * RUN < RUN ? count - i * RUN : RUN);
    double total = 0;
    for (int64_t i = 0; i < runs; i++)
        total += part[i];
    floats(sum)[0] = (float)(floats(sum)[0] + total);
}

KERNEL static void adam_run(float *restrict value, float *restrict first, float *restrict second,
                            const float *restrict gradient, int64_t count, struct adam_rates rates)
{
    for (int64_t i = 0; i < count; i++) {
        const float g = rates.gradient_scale * gradient[i];
        const float m = rates.keep1 * first[i] + rates.add1 * g;
        const float v = rates.keep2 * second[i] + rates.add2 * g * g;
        first[i] = m;
        second[i] = v;
        value[i] -= rates.step * m / (sqrtf(v * rates.unbias2) + rates.epsilon);
    }
}

/* Without a first moment. */
KERNEL static void adam_second_run(float *restrict value, float *restrict second,
                                   const float *restrict gradient, int64_t count,
                                   struct adam_rates rates)
{
    for (int64_t i = 0; i < count; i++) {
        const float g = rates.gradient_scale * gradient[i];
        const float v = rates.keep2 * second[i] + rates.add2 * g * g;
        second[i] = v;
        value[i] -= rates.step * g / (sqrtf(v * rates.unbias2) + rates.epsilon);
    }
}

void optimizer_adam(float *value, float *first, float *second, float *gradient, int64_t count,
                    struct adam_rates rates)
{
    for (int64_t i = 0; i < count; i += UPDATE_RUN) {
        const int64_t n = count - i < UPDATE_RUN ? count - i : UPDATE_RUN;
        if (first)
            adam_run(value + i, first + i, second + i, gradient + i, n, rates);
        else
            adam_second_run(value + i, second + i, gradient + i, n, rates);
        memset(gradient + i, 0, (size_t)n * sizeof *gradient);
    }
}

static void cpu_adam_step(struct backend *backend, const struct tensor *value,
                          const struct tensor *first, const struct tensor *second,
                          const struct tensor *gradient, const struct adam *adam)
{
    const int64_t count = tensor_count(value);
    CHECK((!first || count == tensor_count(first)) && count == tensor_count(second) &&
              count == tensor_count(gradient),
          "counts differ");
    if (!context_enter(backend))
        return;
    const struct adam_rates rates = adam_rates_of(adam, first != NULL);
    const int n_parts = context_parts(backend, count);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++) {
        const int64_t from = part_start(count, part, n_parts);
        optimizer_adam(floats(value) + from, first ? floats(first) + from : NULL,
                       floats(second) + from, floats(gradient) + from,
                       part_start(count, part + 1, n_parts) - from, rates);
    }
}

/* -- factored second moments -- */

void optimizer_factored_decay(float *moments, int64_t count, struct adam_rates rates)
{
    for (int64_t i = 0; i < count; i++)
        moments[i] *= rates.keep2;
}

/* row [count] = keep * row + add / out * sums of squares of each row, column [out] += add / in *
 * those of each column. */
KERNEL float optimizer_factored_moments(float *restrict row, float *restrict column,
                                        const float *restrict gradient, int64_t count, int64_t in,
                                        int64_t out, struct adam_rates rates)
{
    const float add = rates.add2 * rates.gradient_scale * rates.gradient_scale;
    const float add_row = add / (float)out, add_column = add / (float)in;
    float largest = 0;
    for (int64_t i = 0; i < count; i++) {
        const float *restrict g = gradient + i * out;
        float sum = 0;
#pragma omp simd reduction(+ : sum) reduction(max : largest)
        for (int64_t j = 0; j < out; j++) {
            const float square = g[j] * g[j], magnitude = fabsf(g[j]);
            sum += square;
            column[j] += add_column * square;
            largest = magnitude > largest ? magnitude : largest;
        }
        row[i] = rates.keep2 * row[i] + add_row * sum;
    }
    return largest;
}

/* value -= step * gradient / (sqrt(estimate) + epsilon); the root is the product of a row's and a
 * column's, which go to root [out]. */
KERNEL void optimizer_factored_update(float *restrict value, const float *restrict row,
                                      const float *restrict column, float *restrict root,
                                      float *restrict gradient, int64_t in, int64_t out,
                                      struct adam_rates rates)
{
    double mean = 0;
    for (int64_t i = 0; i < in; i++)
        mean += row[i];
    mean /= (double)in;
    const float scale = mean > 0 ? (float)(rates.unbias2 / mean) : 0;
    const float step = rates.step * rates.gradient_scale;
    for (int64_t j = 0; j < out; j++)
        root[j] = sqrtf(column[j]);
    for (int64_t i = 0; i < in; i++) {
        const float row_root = sqrtf(row[i] * scale);
        for (int64_t j = 0; j < out; j++)
            value[i * out + j] -=
                step * gradient[i * out + j] / (row_root * root[j] + rates.epsilon);
        memset(gradient + i * out, 0, (size_t)out * sizeof *gradient);
    }
}

/* The matrix is read twice, the second time from a cache. One whose gradient is zero keeps its
 * values, and they are not touched. */
static void adam_factored(float *value, float *row, float *column, float *root, float *gradient,
                          int64_t in, int64_t out, struct adam_rates rates)
{
    optimizer_factored_decay(column, out, rates);
    if (optimizer_factored_moments(row, column, gradient, in, in, out, rates) > 0)
        optimizer_factored_update(value, row, column, root, gradient, in, out, rates);
}

static void cpu_adam_factored_step(struct backend *backend, const struct tensor *value,
                                   const struct tensor *row, const struct tensor *column,
                                   const struct tensor *gradient, const struct adam *adam)
{
    CHECK(value->rank == 3, "values of rank %d", value->rank);
    const int64_t count = value->dim[0], in = value->dim[1], out = value->dim[2];
    CHECK(tensor_count(gradient) == count * in * out && tensor_count(row) == count * in &&
              tensor_count(column) == count * out,
          "shapes differ");
    if (!context_enter(backend))
        return;
    const struct adam_rates rates = adam_rates_of(adam, false);
    const int n_parts = context_parts(backend, count * in * out);
    const int64_t stride = (out + 15) / 16 * 16;
    float *roots = context_scratch(backend, (size_t)(n_parts * stride));
    if (!roots)
        return;
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++)
        for (int64_t e = part_start(count, part, n_parts); e < part_start(count, part + 1, n_parts);
             e++)
            adam_factored(floats(value) + e * in * out, floats(row) + e * in,
                          floats(column) + e * out, roots + part * stride,
                          floats(gradient) + e * in * out, in, out, rates);
}

void cpu_set_optimizer(struct backend_ops *ops)
{
    ops->sum_squares = cpu_sum_squares;
    ops->adam_step = cpu_adam_step;
    ops->adam_factored_step = cpu_adam_factored_step;
}
