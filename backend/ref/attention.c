/* Softmax over the real source positions. */
#include <math.h>

#include "backend/ref/real.h"

static int32_t checked_length(const struct tensor *weights, const struct tensor *lengths,
                              int64_t sentence)
{
    const int32_t length = ints(lengths)[sentence];
    CHECK(length >= 1 && length <= weights->dim[2], "length %d of %lld", length,
          (long long)weights->dim[2]);
    return length;
}

static void ref_attention_softmax(struct backend *backend, const struct tensor *weights,
                                  const struct tensor *lengths)
{
    (void)backend;
    CHECK(weights->rank == 3 && tensor_count(lengths) == weights->dim[1], "shapes differ");
    const int64_t width = weights->dim[2];
    for (int64_t n = 0; n < tensor_rows(weights); n++) {
        real *row = reals(weights) + n * width;
        const int32_t length = checked_length(weights, lengths, n % weights->dim[1]);
        double largest = row[0], sum = 0;
        for (int32_t s = 1; s < length; s++)
            largest = row[s] > largest ? row[s] : largest;
        for (int32_t s = 0; s < length; s++)
            sum += exp(row[s] - largest);
        for (int64_t s = 0; s < width; s++)
            row[s] = s < length ? (real)(exp(row[s] - largest) / sum) : 0;
    }
}

static void ref_attention_softmax_backward(struct backend *backend, const struct tensor *d_scores,
                                           const struct tensor *weights,
                                           const struct tensor *lengths)
{
    (void)backend;
    const int64_t width = weights->dim[2];
    for (int64_t n = 0; n < tensor_rows(weights); n++) {
        real *d = reals(d_scores) + n * width;
        const real *w = reals(weights) + n * width;
        const int32_t length = checked_length(weights, lengths, n % weights->dim[1]);
        double dot = 0;
        for (int32_t s = 0; s < length; s++)
            dot += (double)w[s] * d[s];
        for (int64_t s = 0; s < width; s++)
            d[s] = s < length ? (real)(w[s] * (d[s] - dot)) : 0;
    }
}

void REF(set_attention)(struct backend_ops *ops)
{
    ops->attention_softmax = ref_attention_softmax;
    ops->attention_softmax_backward = ref_attention_softmax_backward;
}
