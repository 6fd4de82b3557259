/* Softmax cross-entropy over the vocabulary. */
#include <math.h>

#include "backend/ref/real.h"

static double row_log_sum_exp(const real *row, int64_t width)
{
    double largest = -INFINITY, sum = 0;
    for (int64_t v = 0; v < width; v++)
        largest = row[v] > largest ? row[v] : largest;
    for (int64_t v = 0; v < width; v++)
        sum += exp(row[v] - largest);
    return largest + log(sum);
}

static void ref_cross_entropy(struct backend *backend, const struct tensor *loss,
                              const struct tensor *nll, const struct tensor *logits,
                              const struct tensor *targets, double smoothing, double gradient_scale)
{
    (void)backend;
    const int64_t width = tensor_columns(logits), rows = tensor_rows(logits);
    CHECK(tensor_count(loss) == rows && tensor_count(nll) == rows && tensor_count(targets) == rows,
          "shapes differ");
    for (int64_t n = 0; n < rows; n++) {
        real *row = reals(logits) + n * width;
        const int32_t target = ints(targets)[n];
        CHECK(target >= 0 && target < width, "target %d of %lld", target, (long long)width);
        const double total = row_log_sum_exp(row, width);
        double mean = 0;
        for (int64_t v = 0; v < width; v++)
            mean += row[v] / (double)width;
        reals(nll)[n] = (real)(total - row[target]);
        reals(loss)[n] =
            (real)((1 - smoothing) * (total - row[target]) + smoothing * (total - mean));
        if (gradient_scale == 0)
            continue;
        for (int64_t v = 0; v < width; v++) {
            const double wanted = smoothing / (double)width + (v == target ? 1 - smoothing : 0);
            row[v] = (real)(gradient_scale * (exp(row[v] - total) - wanted));
        }
    }
}

static void ref_log_sum_exp(struct backend *backend, const struct tensor *y, const struct tensor *x)
{
    (void)backend;
    const int64_t width = tensor_columns(x);
    CHECK(tensor_count(y) == tensor_rows(x), "shapes differ");
    for (int64_t n = 0; n < tensor_rows(x); n++)
        reals(y)[n] = (real)row_log_sum_exp(reals(x) + n * width, width);
}

static void ref_softmax(struct backend *backend, const struct tensor *y, const struct tensor *x)
{
    (void)backend;
    const int64_t width = tensor_columns(x);
    CHECK(tensor_count(y) == tensor_count(x), "shapes differ");
    for (int64_t n = 0; n < tensor_rows(x); n++) {
        const double total = row_log_sum_exp(reals(x) + n * width, width);
        for (int64_t d = 0; d < width; d++)
            reals(y)[n * width + d] = (real)exp(reals(x)[n * width + d] - total);
    }
}

static void ref_softmax_backward(struct backend *backend, const struct tensor *d_x,
                                 const struct tensor *y, const struct tensor *d_y)
{
    (void)backend;
    const int64_t width = tensor_columns(y);
    CHECK(tensor_count(y) == tensor_count(d_x) && tensor_count(y) == tensor_count(d_y),
          "shapes differ");
    for (int64_t n = 0; n < tensor_rows(y); n++) {
        double dot = 0;
        for (int64_t d = n * width; d < (n + 1) * width; d++)
            dot += (double)reals(y)[d] * reals(d_y)[d];
        for (int64_t d = n * width; d < (n + 1) * width; d++)
            reals(d_x)[d] = (real)(reals(y)[d] * (reals(d_y)[d] - dot));
    }
}

void REF(set_loss)(struct backend_ops *ops)
{
    ops->cross_entropy = ref_cross_entropy;
    ops->log_sum_exp = ref_log_sum_exp;
    ops->softmax = ref_softmax;
    ops->softmax_backward = ref_softmax_backward;
}
