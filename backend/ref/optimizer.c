/* Sums of squares and Adam. */
#include <math.h>

#include "backend/ref/real.h"

static void ref_sum_squares(struct backend *backend, const struct tensor *sum,
                            const struct tensor *x)
{
    (void)backend;
    double total = 0;
    for (int64_t i = 0; i < tensor_count(x); i++)
        total += (double)reals(x)[i] * reals(x)[i];
    reals(sum)[0] = (real)(reals(sum)[0] + total);
}

static void ref_adam_step(struct backend *backend, const struct tensor *value,
                          const struct tensor *first, const struct tensor *second,
                          const struct tensor *gradient, const struct adam *adam)
{
    (void)backend;
    const double unbias1 = first ? 1 - pow(adam->beta1, (double)adam->step) : 1;
    const double unbias2 = 1 - pow(adam->beta2, (double)adam->step);
    for (int64_t i = 0; i < tensor_count(value); i++) {
        const double g = adam->gradient_scale * reals(gradient)[i];
        const double m = first ? adam->beta1 * reals(first)[i] + (1 - adam->beta1) * g : g;
        const double v = adam->beta2 * reals(second)[i] + (1 - adam->beta2) * g * g;
        if (first)
            reals(first)[i] = (real)m;
        reals(second)[i] = (real)v;
        reals(value)[i] -=
            (real)(adam->learning_rate * (m / unbias1) / (sqrt(v / unbias2) + adam->epsilon));
        reals(gradient)[i] = 0;
    }
}

/* One matrix [in, out]. */
static void factored_matrix(real *value, real *row, real *column, real *gradient, int64_t in,
                            int64_t out, const struct adam *adam)
{
    const double unbias2 = 1 - pow(adam->beta2, (double)adam->step);
    const double scale2 = adam->gradient_scale * adam->gradient_scale;
    double mean = 0;
    for (int64_t i = 0; i < in; i++) {
        double sum = 0;
        for (int64_t j = 0; j < out; j++)
            sum += (double)gradient[i * out + j] * gradient[i * out + j];
        row[i] = (real)(adam->beta2 * row[i] + (1 - adam->beta2) * scale2 * sum / (double)out);
        mean += row[i] / (double)in;
    }
    for (int64_t j = 0; j < out; j++) {
        double sum = 0;
        for (int64_t i = 0; i < in; i++)
            sum += (double)gradient[i * out + j] * gradient[i * out + j];
        column[j] = (real)(adam->beta2 * column[j] + (1 - adam->beta2) * scale2 * sum / (double)in);
    }
    for (int64_t i = 0; i < in; i++)
        for (int64_t j = 0; j < out; j++) {
            const double g = adam->gradient_scale * gradient[i * out + j];
            const double v = mean > 0 ? (double)row[i] * column[j] / mean : 0;
            value[i * out + j] -=
                (real)(adam->learning_rate * g / (sqrt(v / unbias2) + adam->epsilon));
            gradient[i * out + j] = 0;
        }
}

static void ref_adam_factored_step(struct backend *backend, const struct tensor *value,
                                   const struct tensor *row, const struct tensor *column,
                                   const struct tensor *gradient, const struct adam *adam)
{
    (void)backend;
    const int64_t in = value->dim[1], out = value->dim[2];
    CHECK(value->rank == 3 && tensor_count(gradient) == tensor_count(value) &&
              tensor_count(row) == value->dim[0] * in &&
              tensor_count(column) == value->dim[0] * out,
          "shapes differ");
    for (int64_t e = 0; e < value->dim[0]; e++)
        factored_matrix(reals(value) + e * in * out, reals(row) + e * in, reals(column) + e * out,
                        reals(gradient) + e * in * out, in, out, adam);
}

/* Number (i, j) of matrix e's gradient. */
static double product_number(const struct product_gradient *gradient, int64_t e, int64_t i,
                             int64_t j)
{
    const int32_t *start = ints(&gradient->offsets);
    const int64_t in = gradient->x.dim[1], out = gradient->d_y.dim[1];
    double sum = 0;
    for (int64_t n = start[e]; n < start[e + 1]; n++)
        sum += (double)reals(&gradient->x)[n * in + i] * reals(&gradient->d_y)[n * out + j];
    return sum;
}

static void ref_product_sum_squares(struct backend *backend, const struct tensor *sum,
                                    const struct tensor *room,
                                    const struct product_gradient *gradient)
{
    (void)backend;
    const int64_t n_matrices = product_check(room, gradient);
    double total = 0;
    for (int64_t e = 0; e < n_matrices; e++)
        for (int64_t i = 0; i < room->dim[1]; i++)
            for (int64_t j = 0; j < room->dim[2]; j++) {
                const double g = product_number(gradient, e, i, j);
                total += g * g;
            }
    reals(sum)[0] = (real)(reals(sum)[0] + total);
}

/* Matrix e's gradient, in the room's first. */
static struct tensor product_matrix(const struct tensor *room,
                                    const struct product_gradient *gradient, int64_t e)
{
    const struct tensor matrix = tensor_slice(room, 0, 1);
    for (int64_t i = 0; i < room->dim[1]; i++)
        for (int64_t j = 0; j < room->dim[2]; j++)
            reals(&matrix)[i * room->dim[2] + j] = (real)product_number(gradient, e, i, j);
    return matrix;
}

static void ref_product_adam_step(struct backend *backend, const struct tensor *value,
                                  const struct tensor *first, const struct tensor *second,
                                  const struct tensor *room,
                                  const struct product_gradient *gradient, const struct adam *adam)
{
    const int64_t n_matrices = product_check(room, gradient);
    for (int64_t e = 0; e < n_matrices; e++) {
        const struct tensor matrix = product_matrix(room, gradient, e);
        const struct tensor own_value = tensor_slice(value, e, 1);
        const struct tensor own_second = tensor_slice(second, e, 1);
        struct tensor own_first = {0};
        if (first)
            own_first = tensor_slice(first, e, 1);
        ref_adam_step(backend, &own_value, tensor_or_null(&own_first), &own_second, &matrix, adam);
    }
}

static void ref_product_adam_factored_step(struct backend *backend, const struct tensor *value,
                                           const struct tensor *row, const struct tensor *column,
                                           const struct tensor *room,
                                           const struct product_gradient *gradient,
                                           const struct adam *adam)
{
    const int64_t n_matrices = product_check(room, gradient);
    for (int64_t e = 0; e < n_matrices; e++) {
        const struct tensor matrix = product_matrix(room, gradient, e);
        const struct tensor own_value = tensor_slice(value, e, 1);
        const struct tensor own_row = tensor_slice(row, e, 1);
        const struct tensor own_column = tensor_slice(column, e, 1);
        ref_adam_factored_step(backend, &own_value, &own_row, &own_column, &matrix, adam);
    }
}

void REF(set_optimizer)(struct backend_ops *ops)
{
    ops->sum_squares = ref_sum_squares;
    ops->adam_step = ref_adam_step;
    ops->adam_factored_step = ref_adam_factored_step;
    ops->product_sum_squares = ref_product_sum_squares;
    ops->product_adam_step = ref_product_adam_step;
    ops->product_adam_factored_step = ref_product_adam_factored_step;
}
