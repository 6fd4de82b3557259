/* Work on single numbers: activations, scaling, dropout. */
#include "backend/cpu/elements.h"

#include <math.h>
#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/normal.h"
#include "backend/cpu/vector.h"

KERNEL void elements_activate(float *y, const float *x, int64_t first, int64_t last,
                              enum activation activation)
{
    if (activation == ACTIVATION_RELU)
#pragma omp simd
        for (int64_t i = first; i < last; i++)
            y[i] = x[i] < 0 ? 0 : x[i];
    else if (activation == ACTIVATION_TANH)
#pragma omp simd
        for (int64_t i = first; i < last; i++)
            y[i] = vector_tanh(x[i]);
    else if (activation == ACTIVATION_SIGMOID)
#pragma omp simd
        for (int64_t i = first; i < last; i++)
            y[i] = vector_sigmoid(x[i]);
    else if (activation == ACTIVATION_CUBE)
#pragma omp simd
        for (int64_t i = first; i < last; i++)
            y[i] = x[i] * x[i] * x[i];
    else
#pragma omp simd
        for (int64_t i = first; i < last; i++)
            y[i] = x[i];
}

static void cpu_activate(struct backend *backend, const struct tensor *y, const struct tensor *x,
                         enum activation activation)
{
    const int64_t count = tensor_count(x);
    CHECK(tensor_count(y) == count, "counts differ");
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, count);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++)
        elements_activate(floats(y), floats(x), part_start(count, part, n_parts),
                          part_start(count, part + 1, n_parts), activation);
}

KERNEL static void activate_backward_run(float *d_x, const float *y, const float *d_y,
                                         int64_t first, int64_t last, enum activation activation)
{
    if (activation == ACTIVATION_RELU)
#pragma omp simd
        for (int64_t i = first; i < last; i++)
            d_x[i] = y[i] > 0 ? d_y[i] : 0;
    else if (activation == ACTIVATION_TANH)
#pragma omp simd
        for (int64_t i = first; i < last; i++)
            d_x[i] = d_y[i] * (1.0f - y[i] * y[i]);
    else if (activation == ACTIVATION_SIGMOID)
#pragma omp simd
        for (int64_t i = first; i < last; i++)
            d_x[i] = d_y[i] * (y[i] * (1.0f - y[i]));
    else if (activation == ACTIVATION_CUBE)
#pragma omp simd
        for (int64_t i = first; i < last; i++) {
            const float x = vector_cbrt(y[i]);
            d_x[i] = d_y[i] * (3.0f * x * x);
        }
    else
#pragma omp simd
        for (int64_t i = first; i < last; i++)
            d_x[i] = d_y[i];
}

static void cpu_activate_backward(struct backend *backend, const struct tensor *d_x,
                                  const struct tensor *y, const struct tensor *d_y,
                                  enum activation activation)
{
    const int64_t count = tensor_count(y);
    CHECK(count == tensor_count(d_x) && count == tensor_count(d_y), "counts differ");
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, count);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++)
        activate_backward_run(floats(d_x), floats(y), floats(d_y), part_start(count, part, n_parts),
                              part_start(count, part + 1, n_parts), activation);
}

KERNEL static void scale_rows(float *y, const float *x, const float *v, int64_t first, int64_t last,
                              int64_t width)
{
    for (int64_t n = first; n < last; n++)
#pragma omp simd
        for (int64_t d = 0; d < width; d++)
            y[n * width + d] = x[n * width + d] * v[d];
}

static void cpu_scale_columns(struct backend *backend, const struct tensor *y,
                              const struct tensor *x, const struct tensor *v)
{
    const int64_t width = tensor_columns(x), rows = tensor_rows(x);
    CHECK(tensor_count(y) == tensor_count(x) && tensor_count(v) == width, "shapes differ");
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++)
        scale_rows(floats(y), floats(x), floats(v), part_start(rows, part, n_parts),
                   part_start(rows, part + 1, n_parts), width);
}

/* d_v [first .. last-1] += column sums of d_y * x. */
KERNEL static void sum_products(float *d_v, const float *x, const float *d_y, int64_t rows,
                                int64_t width, int64_t first, int64_t last)
{
    for (int64_t n = 0; n < rows; n++)
#pragma omp simd
        for (int64_t d = first; d < last; d++)
            d_v[d] += d_y[n * width + d] * x[n * width + d];
}

static void cpu_scale_columns_backward(struct backend *backend, const struct tensor *d_x,
                                       const struct tensor *d_v, const struct tensor *x,
                                       const struct tensor *v, const struct tensor *d_y)
{
    const int64_t width = tensor_columns(x), rows = tensor_rows(x);
    CHECK(tensor_count(d_y) == tensor_count(x) && tensor_count(v) == width &&
              tensor_count(d_v) == width,
          "shapes differ");
    if (!context_enter(backend))
        return;
    /* Threads take columns, so that the order of rows is the same for any number of them. */
    const int n_parts = context_parts(backend, rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++)
        sum_products(floats(d_v), floats(x), floats(d_y), rows, width,
                     part_start(width, part, n_parts), part_start(width, part + 1, n_parts));
    cpu_scale_columns(backend, d_x, d_y, v);
}

/* -- dropout -- */

enum { BLOCK = 8 * LANES }; /* elements whose random numbers are drawn together */

/* One row. residual may be NULL. */
KERNEL static void dropout_row(float *y, const float *x, const float *residual, int64_t width,
                               struct random_key key, uint32_t row, uint32_t threshold, float scale)
{
    for (int64_t first = 0; first < width; first += BLOCK) {
        uint32_t words[LANES][4];
        uint16_t half[BLOCK]; /* the low half of a word stands first in memory */
        vector_philox(words, key, row, (uint32_t)(first / 8));
        memcpy(half, words, sizeof half);
        const int64_t count = width - first < BLOCK ? width - first : BLOCK;
        if (residual)
#pragma omp simd
            for (int64_t j = 0; j < count; j++)
                y[first + j] =
                    residual[first + j] + (half[j] < threshold ? 0 : x[first + j] * scale);
        else
#pragma omp simd
            for (int64_t j = 0; j < count; j++)
                y[first + j] = half[j] < threshold ? 0 : x[first + j] * scale;
    }
}

/* y = x + residual for numbers first .. last-1; y may be either. */
KERNEL static void add_residual(float *y, const float *x, const float *residual, int64_t first,
                                int64_t last)
{
#pragma omp simd
    for (int64_t i = first; i < last; i++)
        y[i] = residual[i] + x[i];
}

/* Dropout that drops nothing. */
static void keep_all(struct backend *backend, float *y, const float *x, const float *residual,
                     int64_t count)
{
    const int n_parts = context_parts(backend, count);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++) {
        const int64_t first = part_start(count, part, n_parts);
        const int64_t last = part_start(count, part + 1, n_parts);
        if (residual)
            add_residual(y, x, residual, first, last);
        else
            elements_activate(y, x, first, last, ACTIVATION_NONE);
    }
}

static void cpu_dropout(struct backend *backend, const struct tensor *y, const struct tensor *x,
                        const struct tensor *residual, double rate, struct random_key key,
                        const struct tensor *rows)
{
    const int64_t width = tensor_columns(x), n_rows = tensor_rows(x);
    CHECK(tensor_count(y) == tensor_count(x) && rate >= 0 && rate < 1, "rate %g", rate);
    CHECK(!residual || tensor_count(residual) == tensor_count(x), "residual of other size");
    CHECK(!rows || tensor_count(rows) == n_rows, "%lld row names", (long long)tensor_count(rows));
    if (!context_enter(backend))
        return;
    const uint32_t threshold = (uint32_t)lrint(rate * 65536);
    const float scale = (float)(1 / (1 - rate));
    const int32_t *names = rows ? ints(rows) : NULL;
    const float *start = residual ? floats(residual) : NULL;
    if (threshold == 0 && scale == 1) {
        keep_all(backend, floats(y), floats(x), start, n_rows * width);
        return;
    }
    const int n_parts = context_parts(backend, n_rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < n_rows; n++)
        dropout_row(floats(y) + n * width, floats(x) + n * width, start ? start + n * width : NULL,
                    width, key, names ? (uint32_t)names[n] : (uint32_t)n, threshold, scale);
}

void cpu_set_elements(struct backend_ops *ops)
{
    ops->activate = cpu_activate;
    ops->activate_backward = cpu_activate_backward;
    ops->scale_columns = cpu_scale_columns;
    ops->scale_columns_backward = cpu_scale_columns_backward;
    ops->dropout = cpu_dropout;
}
