/* Work on single numbers, and sums of columns. */
#include <math.h>

#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"

/* The numbers that device.h gives the activations. */
_Static_assert(ACTIVATION_NONE == 0 && ACTIVATION_RELU == 1 && ACTIVATION_TANH == 2 &&
                   ACTIVATION_SIGMOID == 3 && ACTIVATION_CUBE == 4,
               "device.h has other activations");

static void cuda_activate(struct backend *backend, const struct tensor *y, const struct tensor *x,
                          enum activation activation)
{
    CHECK(tensor_count(y) == tensor_count(x), "counts differ");
    if (!context_enter_reals(backend))
        return;
    context_check(backend,
                  launch_activate(context_of(backend)->stream, floats(y), floats(x),
                                  tensor_count(x), (int)activation),
                  "activate");
}

static void cuda_activate_backward(struct backend *backend, const struct tensor *d_x,
                                   const struct tensor *y, const struct tensor *d_y,
                                   enum activation activation)
{
    CHECK(tensor_count(y) == tensor_count(d_x) && tensor_count(y) == tensor_count(d_y),
          "counts differ");
    if (!context_enter_reals(backend))
        return;
    context_check(backend,
                  launch_activate_backward(context_of(backend)->stream, floats(d_x), floats(y),
                                           floats(d_y), tensor_count(y), (int)activation),
                  "activate_backward");
}

static void cuda_scale_columns(struct backend *backend, const struct tensor *y,
                               const struct tensor *x, const struct tensor *v)
{
    const int64_t width = tensor_columns(x);
    CHECK(tensor_count(y) == tensor_count(x) && tensor_count(v) == width, "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_scale_columns(context_of(backend)->stream, floats(y), floats(x), floats(v),
                                       tensor_rows(x), width),
                  "scale_columns");
}

static void cuda_scale_columns_backward(struct backend *backend, const struct tensor *d_x,
                                        const struct tensor *d_v, const struct tensor *x,
                                        const struct tensor *v, const struct tensor *d_y)
{
    const int64_t width = tensor_columns(x), rows = tensor_rows(x);
    CHECK(tensor_count(d_y) == tensor_count(x) && tensor_count(d_x) == tensor_count(x) &&
              tensor_count(v) == width && tensor_count(d_v) == width,
          "shapes differ");
    if (!context_enter(backend))
        return;
    float *scratch = context_scratch(backend, column_sums_scratch(rows, width));
    if (!scratch)
        return;
    context_check(backend,
                  launch_scale_columns_backward(context_of(backend)->stream, floats(d_x),
                                                floats(d_v), scratch, floats(x), floats(v),
                                                floats(d_y), rows, width),
                  "scale_columns_backward");
}

static void cuda_column_sums(struct backend *backend, const struct tensor *sum,
                             const struct tensor *x)
{
    const int64_t width = tensor_columns(x), rows = tensor_rows(x);
    CHECK(tensor_count(sum) == width, "%lld sums of %lld columns", (long long)tensor_count(sum),
          (long long)width);
    if (!context_enter(backend))
        return;
    float *scratch = context_scratch(backend, column_sums_scratch(rows, width));
    if (!scratch)
        return;
    context_check(backend,
                  launch_column_sums(context_of(backend)->stream, floats(sum), scratch, floats(x),
                                     rows, width),
                  "column_sums");
}

static void cuda_dropout(struct backend *backend, const struct tensor *y, const struct tensor *x,
                         const struct tensor *residual, double rate, struct random_key key,
                         const struct tensor *rows)
{
    CHECK(tensor_count(y) == tensor_count(x) && rate >= 0 && rate < 1, "rate %g", rate);
    CHECK(!rows || tensor_count(rows) == tensor_rows(x), "%lld row names",
          (long long)tensor_count(rows));
    CHECK(!residual || tensor_count(residual) == tensor_count(x), "shapes differ");
    if (!context_enter(backend))
        return;
    const struct philox_key words = {key.seed, key.step, key.stream};
    context_check(backend,
                  launch_dropout(context_of(backend)->stream, floats(y), floats(x),
                                 residual ? floats(residual) : NULL, rows ? ints(rows) : NULL,
                                 tensor_rows(x), tensor_columns(x), words,
                                 (uint32_t)lrint(rate * 65536), (float)(1 / (1 - rate))),
                  "dropout");
}

void cuda_set_elements(struct backend_ops *ops)
{
    ops->activate = cuda_activate;
    ops->activate_backward = cuda_activate_backward;
    ops->scale_columns = cuda_scale_columns;
    ops->scale_columns_backward = cuda_scale_columns_backward;
    ops->column_sums = cuda_column_sums;
    ops->dropout = cuda_dropout;
}
