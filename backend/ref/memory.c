/* Memory, copies and sums of whole tensors: a host pointer is a device pointer here. */
#include <string.h>

#include "backend/ref/real.h"

static enum status ref_arena_init(struct backend *backend, struct arena *arena, size_t capacity)
{
    (void)backend;
    return arena_init(arena, capacity);
}

static void ref_upload(struct backend *backend, const struct tensor *target, const void *host,
                       size_t size_bytes)
{
    (void)backend;
    CHECK(size_bytes <= (size_t)tensor_count(target) * dtype_size(target->dtype), "%zu bytes",
          size_bytes);
    if (size_bytes)
        memcpy(target->data, host, size_bytes);
}

static void ref_download(struct backend *backend, void *host, const struct tensor *source,
                         size_t size_bytes)
{
    CHECK(size_bytes <= (size_t)tensor_count(source) * dtype_size(source->dtype), "%zu bytes",
          size_bytes);
    if (backend->error < 0)
        memset(host, 0, size_bytes);
    else if (size_bytes)
        memcpy(host, source->data, size_bytes);
}

static void ref_copy(struct backend *backend, const struct tensor *target,
                     const struct tensor *source)
{
    CHECK(tensor_count(target) == tensor_count(source) && target->dtype == source->dtype,
          "copy of %lld numbers to %lld", (long long)tensor_count(source),
          (long long)tensor_count(target));
    ref_upload(backend, target, source->data,
               (size_t)tensor_count(source) * dtype_size(source->dtype));
}

static void ref_fill(struct backend *backend, const struct tensor *target, double value)
{
    (void)backend;
    real *y = reals(target);
    const int64_t count = tensor_count(target);
    for (int64_t i = 0; i < count; i++)
        y[i] = (real)value;
}

static void copy_columns_i32(const struct tensor *target, int64_t to, const struct tensor *source,
                             int64_t from, int64_t columns)
{
    int32_t *y = ints(target);
    const int32_t *x = ints(source);
    const int64_t y_width = tensor_columns(target), x_width = tensor_columns(source);
    for (int64_t n = 0; n < tensor_rows(source); n++)
        for (int64_t d = 0; d < columns; d++)
            y[n * y_width + to + d] = x[n * x_width + from + d];
}

static void ref_copy_columns(struct backend *backend, const struct tensor *target, int64_t to,
                             const struct tensor *source, int64_t from, int64_t columns,
                             bool accumulate)
{
    (void)backend;
    const int64_t y_width = tensor_columns(target), x_width = tensor_columns(source);
    CHECK(tensor_rows(target) == tensor_rows(source) && to + columns <= y_width &&
              from + columns <= x_width,
          "columns %lld + %lld of %lld to %lld of %lld", (long long)from, (long long)columns,
          (long long)x_width, (long long)to, (long long)y_width);
    if (target->dtype == DTYPE_I32) {
        CHECK(!accumulate, "whole numbers are copied only");
        copy_columns_i32(target, to, source, from, columns);
        return;
    }
    real *y = reals(target);
    const real *x = reals(source);
    for (int64_t n = 0; n < tensor_rows(source); n++)
        for (int64_t d = 0; d < columns; d++) {
            real *cell = &y[n * y_width + to + d];
            const real value = x[n * x_width + from + d];
            *cell = accumulate ? *cell + value : value;
        }
}

static void ref_add(struct backend *backend, const struct tensor *target,
                    const struct tensor *source, double scale)
{
    (void)backend;
    const int64_t count = tensor_count(target);
    CHECK(count == tensor_count(source), "sum of %lld and %lld numbers", (long long)count,
          (long long)tensor_count(source));
    real *y = reals(target);
    const real *x = reals(source);
    for (int64_t i = 0; i < count; i++)
        y[i] = (real)(y[i] + scale * x[i]);
}

void REF(set_memory)(struct backend_ops *ops)
{
    ops->arena_init = ref_arena_init;
    ops->upload = ref_upload;
    ops->download = ref_download;
    ops->copy = ref_copy;
    ops->fill = ref_fill;
    ops->copy_columns = ref_copy_columns;
    ops->add = ref_add;
}
