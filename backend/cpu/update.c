/* Updates of matrices whose gradients are products that nobody stores: each thread computes one
 * matrix's, a cacheful at a time, and applies it at once. A stored gradient would be written, read
 * for the norm, read again and zeroed, and of many experts that is more than all else they cost. */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/optimizer.h"
#include "backend/cpu/plain.h"

/* One matrix's factors. */
struct factors {
    const float *x, *d_y;
    int64_t rows, in, out;
};

static struct factors factors_of(const struct product_gradient *gradient, int64_t e)
{
    const int32_t *start = ints(&gradient->offsets);
    const int64_t in = gradient->x.dim[1], out = gradient->d_y.dim[1];
    return (struct factors){.x = floats(&gradient->x) + start[e] * in,
                            .d_y = floats(&gradient->d_y) + start[e] * out,
                            .rows = start[e + 1] - start[e],
                            .in = in,
                            .out = out};
}

/* -- the norm -- */

/* Many rows are dearer two by two than the matrix is. */
static double squares_of(const struct factors *f, float *room)
{
    if (f->rows * (f->in + f->out) <= f->in * f->out)
        return plain_product_squares(f->x, f->d_y, f->rows, f->in, f->out);
    double sum = 0;
    for (int64_t first = 0; first < f->in; first += PLAIN_INPUTS) {
        const int64_t left = f->in - first, count = left < PLAIN_INPUTS ? left : PLAIN_INPUTS;
        memset(room, 0, (size_t)(count * f->out) * sizeof *room);
        plain_gradient_rows(room, f->x, f->d_y, f->rows, f->in, f->out, first, count);
        sum += optimizer_sum_squares(room, count * f->out);
    }
    return sum;
}

static void cpu_product_sum_squares(struct backend *backend, const struct tensor *sum,
                                    const struct tensor *room,
                                    const struct product_gradient *gradient)
{
    const int64_t n_matrices = product_check(room, gradient), size = room->dim[1] * room->dim[2];
    if (!context_enter(backend))
        return;
    double *part = (double *)context_scratch(backend, 2 * (size_t)n_matrices);
    if (!part)
        return;
    const int64_t most = room->dim[0] < n_matrices ? room->dim[0] : n_matrices;
    const int wanted = context_parts(backend, gradient->x.dim[0] * (room->dim[1] + room->dim[2]));
    const int n_threads = most < wanted ? (int)most : wanted;
#pragma omp parallel for num_threads(n_threads) schedule(dynamic)
    for (int64_t e = 0; e < n_matrices; e++) {
        const struct factors factors = factors_of(gradient, e);
        part[e] = squares_of(&factors, floats(room) + omp_get_thread_num() * size);
    }
    double total = 0;
    for (int64_t e = 0; e < n_matrices; e++)
        total += part[e];
    floats(sum)[0] = (float)(floats(sum)[0] + total);
}

/* -- Adam -- */

/* Rows first .. first+count-1 of the gradient, in room [count, out], which is zero. All of them at
 * once where the matrix is one that is packed: so it gets the bits that a stored one gets. */
static bool compute(const struct backend *backend, float *room, const struct factors *f,
                    bool is_plain, int64_t first, int64_t count)
{
    if (f->rows == 0)
        return true;
    if (!is_plain)
        return gemm_gradient_alone(backend, room, f->x, f->d_y, f->rows, f->in, f->out);
    plain_gradient_rows(room, f->x, f->d_y, f->rows, f->in, f->out, first, count);
    return true;
}

/* How many threads take a matrix each; 0: there are too few matrices or too little room, and the
 * threads should share each. */
static int threads_for(const struct backend *backend, const struct tensor *room, int64_t n_matrices)
{
    const int n_threads = context_parts(backend, n_matrices * room->dim[1] * room->dim[2]);
    return room->dim[0] < n_threads || n_matrices < n_threads ? 0 : n_threads;
}

static void cpu_product_adam_step(struct backend *backend, const struct tensor *value,
                                  const struct tensor *first, const struct tensor *second,
                                  const struct tensor *room,
                                  const struct product_gradient *gradient, const struct adam *adam)
{
    const int64_t n_matrices = product_check(room, gradient), in = room->dim[1], out = room->dim[2],
                  size = in * out;
    CHECK((!first || tensor_count(first) == n_matrices * size) &&
              tensor_count(second) == n_matrices * size && tensor_count(value) == n_matrices * size,
          "counts differ");
    const int n_threads = threads_for(backend, room, n_matrices);
    if (n_threads == 0) {
        backend_product_adam_step(backend, value, first, second, room, gradient, adam);
        return;
    }
    if (!context_enter(backend))
        return;
    const struct adam_rates rates = adam_rates_of(adam, first != NULL);
    const bool is_plain = plain_is_better(value);
    const int64_t piece = is_plain ? PLAIN_INPUTS : in;
    bool is_failed = false;
    memset(floats(room), 0, (size_t)(n_threads * size) * sizeof(float));
#pragma omp parallel for num_threads(n_threads) schedule(dynamic) reduction(| : is_failed)
    for (int64_t e = 0; e < n_matrices; e++) {
        const struct factors factors = factors_of(gradient, e);
        float *const own = floats(room) + omp_get_thread_num() * size;
        for (int64_t i = 0; i < in; i += piece) {
            const int64_t count = in - i < piece ? in - i : piece, at = e * size + i * out;
            is_failed |= !compute(backend, own, &factors, is_plain, i, count);
            optimizer_adam(floats(value) + at, first ? floats(first) + at : NULL,
                           floats(second) + at, own, count * out, rates);
        }
    }
    if (is_failed)
        backend_fail(backend, "%s", gemm_message(backend));
}

/* Of a matrix without rows only the moments change. */
static void cpu_product_adam_factored_step(struct backend *backend, const struct tensor *value,
                                           const struct tensor *row, const struct tensor *column,
                                           const struct tensor *room,
                                           const struct product_gradient *gradient,
                                           const struct adam *adam)
{
    const int64_t n_matrices = product_check(room, gradient), in = room->dim[1], out = room->dim[2],
                  size = in * out, stride = (out + 15) / 16 * 16;
    CHECK(tensor_count(row) == n_matrices * in && tensor_count(column) == n_matrices * out &&
              tensor_count(value) == n_matrices * size,
          "shapes differ");
    const int n_threads = threads_for(backend, room, n_matrices);
    if (n_threads == 0) {
        backend_product_adam_factored_step(backend, value, row, column, room, gradient, adam);
        return;
    }
    float *roots =
        context_enter(backend) ? context_scratch(backend, (size_t)(n_threads * stride)) : NULL;
    if (!roots)
        return;
    const struct adam_rates rates = adam_rates_of(adam, false);
    const bool is_plain = plain_is_better(value);
    const int64_t piece = is_plain ? PLAIN_INPUTS : in;
    bool is_failed = false;
    memset(floats(room), 0, (size_t)(n_threads * size) * sizeof(float));
#pragma omp parallel for num_threads(n_threads) schedule(dynamic) reduction(| : is_failed)
    for (int64_t e = 0; e < n_matrices; e++) {
        const struct factors factors = factors_of(gradient, e);
        const int thread = omp_get_thread_num();
        float *const own_row = floats(row) + e * in, *const own_column = floats(column) + e * out;
        float *const own = floats(room) + thread * size;
        optimizer_factored_decay(own_column, out, rates);
        if (factors.rows == 0) {
            optimizer_factored_decay(own_row, in, rates);
            continue;
        }
        float largest = 0;
        for (int64_t i = 0; i < in; i += piece) {
            const int64_t count = in - i < piece ? in - i : piece;
            is_failed |= !compute(backend, own + i * out, &factors, is_plain, i, count);
            largest =
                fmaxf(largest, optimizer_factored_moments(own_row + i, own_column, own + i * out,
                                                          count, in, out, rates));
        }
        if (largest > 0)
            optimizer_factored_update(floats(value) + e * size, own_row, own_column,
                                      roots + thread * stride, own, in, out, rates);
    }
    if (is_failed)
        backend_fail(backend, "%s", gemm_message(backend));
}

void cpu_set_update(struct backend_ops *ops)
{
    ops->product_sum_squares = cpu_product_sum_squares;
    ops->product_adam_step = cpu_product_adam_step;
    ops->product_adam_factored_step = cpu_product_adam_factored_step;
}
