/* Softmax over the real source positions. A sentence's numbers do not depend on the padding. */
#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/vector.h"

static int64_t checked_length(const struct tensor *weights, const int32_t *lengths, int64_t n)
{
    const int32_t length = lengths[n % weights->dim[1]];
    CHECK(length >= 1 && length <= weights->dim[2], "length %d of %lld", length,
          (long long)weights->dim[2]);
    return length;
}

KERNEL static void softmax_row(float *row, int64_t length, int64_t width)
{
    const float sum = vector_exp_sum(row, row, length, vector_max(row, length));
    for (int64_t s = 0; s < length; s++)
        row[s] /= sum;
    memset(row + length, 0, (size_t)(width - length) * sizeof *row);
}

static void cpu_attention_softmax(struct backend *backend, const struct tensor *weights,
                                  const struct tensor *lengths)
{
    CHECK(weights->rank == 3 && tensor_count(lengths) == weights->dim[1], "shapes differ");
    if (!context_enter(backend))
        return;
    const int64_t width = weights->dim[2], rows = tensor_rows(weights);
    const int n_parts = context_parts(backend, 4 * rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        softmax_row(floats(weights) + n * width, checked_length(weights, ints(lengths), n), width);
}

KERNEL static void softmax_backward_row(float *d, const float *w, int64_t length, int64_t width)
{
    const float dot = vector_dot(w, d, length);
    for (int64_t s = 0; s < length; s++)
        d[s] = w[s] * (d[s] - dot);
    memset(d + length, 0, (size_t)(width - length) * sizeof *d);
}

static void cpu_attention_softmax_backward(struct backend *backend, const struct tensor *d_scores,
                                           const struct tensor *weights,
                                           const struct tensor *lengths)
{
    CHECK(weights->rank == 3 && tensor_count(d_scores) == tensor_count(weights) &&
              tensor_count(lengths) == weights->dim[1],
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int64_t width = weights->dim[2], rows = tensor_rows(weights);
    const int n_parts = context_parts(backend, 4 * rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        softmax_backward_row(floats(d_scores) + n * width, floats(weights) + n * width,
                             checked_length(weights, ints(lengths), n), width);
}

void cpu_set_attention(struct backend_ops *ops)
{
    ops->attention_softmax = cpu_attention_softmax;
    ops->attention_softmax_backward = cpu_attention_softmax_backward;
}
