/* Softmax over rows, and the loss. */
#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"

static void cuda_cross_entropy(struct backend *backend, const struct tensor *loss,
                               const struct tensor *nll, const struct tensor *logits,
                               const struct tensor *targets, double smoothing,
                               double gradient_scale)
{
    const int64_t rows = tensor_rows(logits);
    CHECK(tensor_count(loss) == rows && tensor_count(nll) == rows && tensor_count(targets) == rows,
          "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_cross_entropy(context_of(backend)->stream, floats(loss), floats(nll),
                                       floats(logits), ints(targets), rows, tensor_columns(logits),
                                       (float)smoothing, (float)gradient_scale),
                  "cross_entropy");
}

static void cuda_log_sum_exp(struct backend *backend, const struct tensor *y,
                             const struct tensor *x)
{
    CHECK(tensor_count(y) == tensor_rows(x), "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_log_sum_exp(context_of(backend)->stream, floats(y), floats(x),
                                     tensor_rows(x), tensor_columns(x)),
                  "log_sum_exp");
}

static void cuda_softmax(struct backend *backend, const struct tensor *y, const struct tensor *x)
{
    CHECK(tensor_count(y) == tensor_count(x), "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_softmax(context_of(backend)->stream, floats(y), floats(x), tensor_rows(x),
                                 tensor_columns(x)),
                  "softmax");
}

static void cuda_softmax_backward(struct backend *backend, const struct tensor *d_x,
                                  const struct tensor *y, const struct tensor *d_y)
{
    CHECK(tensor_count(y) == tensor_count(d_x) && tensor_count(y) == tensor_count(d_y),
          "counts differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_softmax_backward(context_of(backend)->stream, floats(d_x), floats(y),
                                          floats(d_y), tensor_rows(y), tensor_columns(y)),
                  "softmax_backward");
}

void cuda_set_loss(struct backend_ops *ops)
{
    ops->cross_entropy = cuda_cross_entropy;
    ops->log_sum_exp = cuda_log_sum_exp;
    ops->softmax = cuda_softmax;
    ops->softmax_backward = cuda_softmax_backward;
}
