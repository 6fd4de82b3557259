/* Softmax over wide rows: the loss, its gradient, and the search's normalisation. */
#include <math.h>

#include "backend/cpu/context.h"
#include "backend/cpu/vector.h"

VECTOR_INLINE float lanes_total(const float *x, int64_t n)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += x[i + j];
    for (int j = 0; i + j < n; j++)
        lane[j] += x[i + j];
    return lanes_sum(lane);
}

/* What one row of logits becomes. */
struct row_loss {
    double loss, nll;
};

/* The row's exponentials are kept in its place until the gradient is made of them. */
KERNEL static struct row_loss loss_row(float *row, int64_t width, int32_t target, double smoothing,
                                       double gradient_scale)
{
    const double logit = row[target], mean = lanes_total(row, width) / (double)width;
    const float largest = vector_max(row, width);
    const float sum = gradient_scale == 0 ? vector_exp_sum(NULL, row, width, largest)
                                          : vector_exp_sum(row, row, width, largest);
    const double total = largest + log(sum);
    if (gradient_scale != 0) {
        const float factor = (float)(gradient_scale / sum);
        const float base = (float)(gradient_scale * smoothing / (double)width);
        for (int64_t v = 0; v < width; v++)
            row[v] = row[v] * factor - base;
        const double wanted = smoothing / (double)width + 1 - smoothing;
        row[target] = (float)(gradient_scale * (exp(logit - total) - wanted));
    }
    return (struct row_loss){(1 - smoothing) * (total - logit) + smoothing * (total - mean),
                             total - logit};
}

static void cpu_cross_entropy(struct backend *backend, const struct tensor *loss,
                              const struct tensor *nll, const struct tensor *logits,
                              const struct tensor *targets, double smoothing, double gradient_scale)
{
    const int64_t width = tensor_columns(logits), rows = tensor_rows(logits);
    CHECK(tensor_count(loss) == rows && tensor_count(nll) == rows && tensor_count(targets) == rows,
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int32_t *target = ints(targets);
    const int n_parts = context_parts(backend, 4 * rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++) {
        CHECK(target[n] >= 0 && target[n] < width, "target %d of %lld", target[n],
              (long long)width);
        const struct row_loss result =
            loss_row(floats(logits) + n * width, width, target[n], smoothing, gradient_scale);
        floats(loss)[n] = (float)result.loss;
        floats(nll)[n] = (float)result.nll;
    }
}

KERNEL static float log_sum_exp_row(const float *row, int64_t width)
{
    return vector_log_sum_exp(row, width, vector_max(row, width));
}

static void cpu_log_sum_exp(struct backend *backend, const struct tensor *y, const struct tensor *x)
{
    const int64_t width = tensor_columns(x), rows = tensor_rows(x);
    CHECK(tensor_count(y) == rows, "shapes differ");
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, 4 * rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        floats(y)[n] = log_sum_exp_row(floats(x) + n * width, width);
}

KERNEL static void softmax_row(float *y, const float *x, int64_t width)
{
    const float sum = vector_exp_sum(y, x, width, vector_max(x, width));
    for (int64_t d = 0; d < width; d++)
        y[d] /= sum;
}

static void cpu_softmax(struct backend *backend, const struct tensor *y, const struct tensor *x)
{
    const int64_t width = tensor_columns(x), rows = tensor_rows(x);
    CHECK(tensor_count(y) == tensor_count(x), "shapes differ");
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, 4 * rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        softmax_row(floats(y) + n * width, floats(x) + n * width, width);
}

KERNEL static void softmax_backward_row(float *d_x, const float *y, const float *d_y, int64_t width)
{
    const float dot = vector_dot(y, d_y, width);
    for (int64_t d = 0; d < width; d++)
        d_x[d] = y[d] * (d_y[d] - dot);
}

static void cpu_softmax_backward(struct backend *backend, const struct tensor *d_x,
                                 const struct tensor *y, const struct tensor *d_y)
{
    const int64_t width = tensor_columns(y), rows = tensor_rows(y);
    CHECK(tensor_count(y) == tensor_count(d_x) && tensor_count(y) == tensor_count(d_y),
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        softmax_backward_row(floats(d_x) + n * width, floats(y) + n * width,
                             floats(d_y) + n * width, width);
}

void cpu_set_loss(struct backend_ops *ops)
{
    ops->cross_entropy = cpu_cross_entropy;
    ops->log_sum_exp = cpu_log_sum_exp;
    ops->softmax = cpu_softmax;
    ops->softmax_backward = cpu_softmax_backward;
}
