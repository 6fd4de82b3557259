/* Additive scores, and the softmax over the real source positions. */
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

/* The operands; row n is step n / B of sentence n % B. */
struct additive {
    const struct tensor *query, *keys, *v, *lengths;
    const struct tensor *d_scores; /* only backward */
};

static double tanh_at(const struct additive *x, int64_t n, int64_t s, int64_t a)
{
    const int64_t n_b = x->query->dim[1], n_a = x->query->dim[2];
    return tanh((double)reals(x->query)[n * n_a + a] +
                reals(x->keys)[(s * n_b + n % n_b) * n_a + a]);
}

static double d_score_at(const struct additive *x, int64_t n, int64_t s)
{
    if (s >= checked_length(x->d_scores, x->lengths, n % x->query->dim[1]))
        return 0;
    return reals(x->d_scores)[n * x->keys->dim[0] + s];
}

/* Of query + key, before the tanh. */
static double d_sum_at(const struct additive *x, int64_t n, int64_t s, int64_t a)
{
    const double h = tanh_at(x, n, s, a);
    return d_score_at(x, n, s) * reals(x->v)[a] * (1 - h * h);
}

static void ref_additive_scores(struct backend *backend, const struct tensor *scores,
                                const struct tensor *query, const struct tensor *keys,
                                const struct tensor *v, const struct tensor *lengths)
{
    (void)backend;
    additive_check(scores, query, keys, v, lengths);
    const struct additive operands = {query, keys, v, lengths, NULL};
    const int64_t n_s = scores->dim[2];
    for (int64_t n = 0; n < tensor_rows(scores); n++) {
        const int64_t length = checked_length(scores, lengths, n % scores->dim[1]);
        for (int64_t s = 0; s < n_s; s++) {
            double sum = 0;
            for (int64_t a = 0; a < tensor_count(v) && s < length; a++)
                sum += reals(v)[a] * tanh_at(&operands, n, s, a);
            reals(scores)[n * n_s + s] = (real)sum;
        }
    }
}

static void ref_additive_scores_backward(struct backend *backend, const struct tensor *d_query,
                                         const struct tensor *d_keys, const struct tensor *d_v,
                                         const struct tensor *query, const struct tensor *keys,
                                         const struct tensor *v, const struct tensor *lengths,
                                         const struct tensor *d_scores)
{
    (void)backend;
    additive_check(d_scores, query, keys, v, lengths);
    const struct additive scores = {query, keys, v, lengths, d_scores};
    const int64_t n_t = d_scores->dim[0], n_b = d_scores->dim[1], n_s = d_scores->dim[2];
    const int64_t n_a = tensor_count(v);
    for (int64_t n = 0; n < n_t * n_b; n++)
        for (int64_t a = 0; a < n_a; a++) {
            double sum = 0;
            for (int64_t s = 0; s < n_s; s++)
                sum += d_sum_at(&scores, n, s, a);
            reals(d_query)[n * n_a + a] = (real)sum;
        }
    for (int64_t k = 0; k < n_s * n_b; k++)
        for (int64_t a = 0; a < n_a; a++) {
            double sum = reals(d_keys)[k * n_a + a];
            for (int64_t t = 0; t < n_t; t++)
                sum += d_sum_at(&scores, t * n_b + k % n_b, k / n_b, a);
            reals(d_keys)[k * n_a + a] = (real)sum;
        }
    for (int64_t a = 0; a < n_a; a++) {
        double sum = reals(d_v)[a];
        for (int64_t i = 0; i < n_t * n_b * n_s; i++)
            sum += d_score_at(&scores, i / n_s, i % n_s) * tanh_at(&scores, i / n_s, i % n_s, a);
        reals(d_v)[a] = (real)sum;
    }
}

void REF(set_attention)(struct backend_ops *ops)
{
    ops->additive_scores = ref_additive_scores;
    ops->additive_scores_backward = ref_additive_scores_backward;
    ops->attention_softmax = ref_attention_softmax;
    ops->attention_softmax_backward = ref_attention_softmax_backward;
}
