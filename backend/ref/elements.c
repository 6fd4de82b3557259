/* Work on single numbers: activations, scaling, dropout. */
#include <math.h>

#include "backend/ref/real.h"

double REF(activation_value)(double x, enum activation activation)
{
    switch (activation) {
    case ACTIVATION_NONE:
        return x;
    case ACTIVATION_RELU:
        return x > 0 ? x : 0;
    case ACTIVATION_TANH:
        return tanh(x);
    case ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    case ACTIVATION_CUBE:
        return x * x * x;
    }
    CHECK(false, "activation %d", (int)activation);
}

double REF(activation_slope)(double y, enum activation activation)
{
    switch (activation) {
    case ACTIVATION_NONE:
        return 1;
    case ACTIVATION_RELU:
        return y > 0 ? 1 : 0;
    case ACTIVATION_TANH:
        return 1 - y * y;
    case ACTIVATION_SIGMOID:
        return y * (1 - y);
    case ACTIVATION_CUBE:
        return 3 * cbrt(y) * cbrt(y);
    }
    CHECK(false, "activation %d", (int)activation);
}

static void ref_activate(struct backend *backend, const struct tensor *y, const struct tensor *x,
                         enum activation activation)
{
    (void)backend;
    CHECK(tensor_count(y) == tensor_count(x), "counts differ");
    for (int64_t i = 0; i < tensor_count(x); i++)
        reals(y)[i] = (real)REF(activation_value)(reals(x)[i], activation);
}

static void ref_activate_backward(struct backend *backend, const struct tensor *d_x,
                                  const struct tensor *y, const struct tensor *d_y,
                                  enum activation activation)
{
    (void)backend;
    CHECK(tensor_count(y) == tensor_count(d_x) && tensor_count(y) == tensor_count(d_y),
          "counts differ");
    for (int64_t i = 0; i < tensor_count(y); i++)
        reals(d_x)[i] = (real)(reals(d_y)[i] * REF(activation_slope)(reals(y)[i], activation));
}

static void ref_scale_columns(struct backend *backend, const struct tensor *y,
                              const struct tensor *x, const struct tensor *v)
{
    (void)backend;
    const int64_t width = tensor_columns(x);
    CHECK(tensor_count(y) == tensor_count(x) && tensor_count(v) == width, "shapes differ");
    for (int64_t i = 0; i < tensor_count(x); i++)
        reals(y)[i] = reals(x)[i] * reals(v)[i % width];
}

static void ref_scale_columns_backward(struct backend *backend, const struct tensor *d_x,
                                       const struct tensor *d_v, const struct tensor *x,
                                       const struct tensor *v, const struct tensor *d_y)
{
    (void)backend;
    const int64_t width = tensor_columns(x), rows = tensor_rows(x);
    CHECK(tensor_count(d_y) == tensor_count(x) && tensor_count(v) == width, "shapes differ");
    for (int64_t d = 0; d < width; d++) {
        double sum = 0;
        for (int64_t n = 0; n < rows; n++)
            sum += (double)reals(d_y)[n * width + d] * reals(x)[n * width + d];
        reals(d_v)[d] = (real)(reals(d_v)[d] + sum);
    }
    ref_scale_columns(backend, d_x, d_y, v);
}

static void ref_dropout(struct backend *backend, const struct tensor *y, const struct tensor *x,
                        const struct tensor *residual, double rate, struct random_key key,
                        const struct tensor *rows)
{
    (void)backend;
    const int64_t width = tensor_columns(x);
    CHECK(tensor_count(y) == tensor_count(x) && rate >= 0 && rate < 1, "rate %g", rate);
    CHECK(!rows || tensor_count(rows) == tensor_rows(x), "%lld row names",
          (long long)tensor_count(rows));
    const uint32_t threshold = (uint32_t)lrint(rate * 65536);
    for (int64_t n = 0; n < tensor_rows(x); n++) {
        const uint32_t row = rows ? (uint32_t)ints(rows)[n] : (uint32_t)n;
        struct random_words words = {{0}};
        for (int64_t d = 0; d < width; d++) {
            if (d % 8 == 0)
                words = random_philox(key, row, (uint32_t)(d / 8));
            const uint32_t half = words.word[d % 8 / 2] >> (d % 2 ? 16 : 0) & 0xffff;
            const int64_t i = n * width + d;
            const double kept = half < threshold ? 0 : reals(x)[i] / (1 - rate);
            reals(y)[i] = (real)((residual ? reals(residual)[i] : 0) + kept);
        }
    }
}

void REF(set_elements)(struct backend_ops *ops)
{
    ops->activate = ref_activate;
    ops->activate_backward = ref_activate_backward;
    ops->scale_columns = ref_scale_columns;
    ops->scale_columns_backward = ref_scale_columns_backward;
    ops->dropout = ref_dropout;
}
