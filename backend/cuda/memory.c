/* Copies and sums of whole tensors and of columns. */
#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"

static void cuda_copy(struct backend *backend, const struct tensor *target,
                      const struct tensor *source)
{
    const int64_t count = tensor_count(target);
    CHECK(count == tensor_count(source) && target->dtype == source->dtype,
          "copy of %lld numbers to %lld", (long long)tensor_count(source), (long long)count);
    if (count == 0 || !context_enter(backend))
        return;
    context_check(backend,
                  cudaMemcpyAsync(target->data, source->data,
                                  (size_t)count * dtype_size(target->dtype),
                                  cudaMemcpyDeviceToDevice, context_of(backend)->stream),
                  "copy");
}

static void cuda_fill(struct backend *backend, const struct tensor *target, double value)
{
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_fill(context_of(backend)->stream, floats(target), tensor_count(target),
                              (float)value),
                  "fill");
}

static void cuda_copy_columns(struct backend *backend, const struct tensor *target, int64_t to,
                              const struct tensor *source, int64_t from, int64_t columns,
                              bool accumulate)
{
    const int64_t y_width = tensor_columns(target), x_width = tensor_columns(source);
    const int64_t rows = tensor_rows(source);
    CHECK(tensor_rows(target) == rows && to + columns <= y_width && from + columns <= x_width,
          "columns %lld + %lld of %lld to %lld of %lld", (long long)from, (long long)columns,
          (long long)x_width, (long long)to, (long long)y_width);
    CHECK(target->dtype != DTYPE_I32 || !accumulate, "whole numbers are copied only");
    if (rows == 0 || columns == 0 || !context_enter(backend))
        return;
    cudaStream_t stream = context_of(backend)->stream;
    const cudaError_t error =
        target->dtype == DTYPE_I32
            ? launch_copy_rows_i32(stream, ints(target) + to, y_width, ints(source) + from, x_width,
                                   rows, columns)
            : launch_copy_rows(stream, floats(target) + to, y_width, floats(source) + from, x_width,
                               rows, columns, accumulate);
    context_check(backend, error, "copy_columns");
}

static void cuda_add(struct backend *backend, const struct tensor *target,
                     const struct tensor *source, double scale)
{
    const int64_t count = tensor_count(target);
    CHECK(count == tensor_count(source), "sum of %lld and %lld numbers", (long long)count,
          (long long)tensor_count(source));
    if (!context_enter_reals(backend))
        return;
    context_check(backend,
                  launch_add(context_of(backend)->stream, floats(target), floats(source), count,
                             (float)scale),
                  "add");
}

void cuda_set_memory(struct backend_ops *ops)
{
    ops->copy = cuda_copy;
    ops->fill = cuda_fill;
    ops->copy_columns = cuda_copy_columns;
    ops->add = cuda_add;
}
