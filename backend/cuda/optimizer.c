/* Sums of squares and Adam. */
#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"

static void cuda_sum_squares(struct backend *backend, const struct tensor *sum,
                             const struct tensor *x)
{
    if (!context_enter(backend))
        return;
    float *scratch = context_scratch(backend, sum_squares_scratch());
    if (!scratch)
        return;
    context_check(backend,
                  launch_sum_squares(context_of(backend)->stream, floats(sum), scratch, floats(x),
                                     tensor_count(x)),
                  "sum_squares");
}

static void cuda_adam_step(struct backend *backend, const struct tensor *value,
                           const struct tensor *first, const struct tensor *second,
                           const struct tensor *gradient, const struct adam *adam)
{
    const int64_t count = tensor_count(value);
    CHECK((!first || count == tensor_count(first)) && count == tensor_count(second) &&
              count == tensor_count(gradient),
          "counts differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_adam_step(context_of(backend)->stream, floats(value),
                                   first ? floats(first) : NULL, floats(second), floats(gradient),
                                   count, adam_rates_of(adam, first != NULL)),
                  "adam_step");
}

static void cuda_adam_factored_step(struct backend *backend, const struct tensor *value,
                                    const struct tensor *row, const struct tensor *column,
                                    const struct tensor *gradient, const struct adam *adam)
{
    const int64_t n_matrices = value->dim[0], in = value->dim[1], out = value->dim[2];
    CHECK(value->rank == 3 && tensor_count(gradient) == tensor_count(value) &&
              tensor_count(row) == n_matrices * in && tensor_count(column) == n_matrices * out,
          "shapes differ");
    if (!context_enter(backend))
        return;
    float *scratch = context_scratch(backend, adam_factored_scratch(n_matrices, in, out));
    if (!scratch)
        return;
    context_check(backend,
                  launch_adam_factored_step(context_of(backend)->stream, floats(value), floats(row),
                                            floats(column), floats(gradient), scratch, n_matrices,
                                            in, out, adam_rates_of(adam, false)),
                  "adam_factored_step");
}

void cuda_set_optimizer(struct backend_ops *ops)
{
    ops->sum_squares = cuda_sum_squares;
    ops->adam_step = cuda_adam_step;
    ops->adam_factored_step = cuda_adam_factored_step;
    ops->product_sum_squares = backend_product_sum_squares;
    ops->product_adam_step = backend_product_adam_step;
    ops->product_adam_factored_step = backend_product_adam_factored_step;
}
