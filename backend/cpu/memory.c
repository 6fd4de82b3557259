/* Copies and sums of whole tensors, split over the threads when they are large. */
#include <string.h>

#include "backend/cpu/context.h"

static void cpu_copy(struct backend *backend, const struct tensor *target,
                     const struct tensor *source)
{
    CHECK(tensor_count(target) == tensor_count(source) && target->dtype == source->dtype,
          "copy of %lld numbers to %lld", (long long)tensor_count(source),
          (long long)tensor_count(target));
    const int64_t count = tensor_count(source);
    const size_t size = dtype_size(source->dtype);
    const int n_parts = context_parts(backend, count);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++) {
        const int64_t first = part_start(count, part, n_parts);
        const int64_t last = part_start(count, part + 1, n_parts);
        if (last > first)
            memcpy((char *)target->data + (size_t)first * size,
                   (const char *)source->data + (size_t)first * size,
                   (size_t)(last - first) * size);
    }
}

KERNEL static void fill_run(float *y, int64_t first, int64_t last, float value)
{
    if (value == 0) { /* gradients: memset knows how to write gigabytes without reading them */
        memset(y + first, 0, (size_t)(last - first) * sizeof *y);
        return;
    }
    for (int64_t i = first; i < last; i++)
        y[i] = value;
}

static void cpu_fill(struct backend *backend, const struct tensor *target, double value)
{
    float *y = floats(target);
    const int64_t count = tensor_count(target);
    const int n_parts = context_parts(backend, count);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++)
        fill_run(y, part_start(count, part, n_parts), part_start(count, part + 1, n_parts),
                 (float)value);
}

KERNEL static void add_run(float *y, const float *x, int64_t first, int64_t last, float scale)
{
#pragma omp simd
    for (int64_t i = first; i < last; i++)
        y[i] += scale * x[i];
}

static void cpu_add(struct backend *backend, const struct tensor *target,
                    const struct tensor *source, double scale)
{
    const int64_t count = tensor_count(target);
    CHECK(count == tensor_count(source), "sum of %lld and %lld numbers", (long long)count,
          (long long)tensor_count(source));
    if (!context_enter(backend))
        return;
    float *y = floats(target);
    const float *x = floats(source);
    const int n_parts = context_parts(backend, count);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++)
        add_run(y, x, part_start(count, part, n_parts), part_start(count, part + 1, n_parts),
                (float)scale);
}

static void cpu_copy_columns(struct backend *backend, const struct tensor *target, int64_t to,
                             const struct tensor *source, int64_t from, int64_t columns,
                             bool accumulate)
{
    const int64_t y_width = tensor_columns(target), x_width = tensor_columns(source);
    const int64_t rows = tensor_rows(source);
    CHECK(tensor_rows(target) == rows && to >= 0 && from >= 0 && columns >= 0 &&
              to + columns <= y_width && from + columns <= x_width &&
              target->dtype == source->dtype && dtype_size(target->dtype) == sizeof(float),
          "columns %lld + %lld of %lld to %lld of %lld", (long long)from, (long long)columns,
          (long long)x_width, (long long)to, (long long)y_width);
    CHECK(!accumulate || target->dtype == DTYPE_F32, "whole numbers are copied only");
    if (!context_enter(backend))
        return;
    float *y = (float *)target->data + to;
    const float *x = (const float *)source->data + from;
    const int n_parts = context_parts(backend, rows * columns);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++) {
        if (accumulate)
            add_run(y + n * y_width, x + n * x_width, 0, columns, 1);
        else
            memcpy(y + n * y_width, x + n * x_width, (size_t)columns * sizeof(float));
    }
}

void cpu_set_memory(struct backend_ops *ops)
{
    ops->copy = cpu_copy;
    ops->fill = cpu_fill;
    ops->add = cpu_add;
    ops->copy_columns = cpu_copy_columns;
}
