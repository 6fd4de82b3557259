/* Additive scores, and the softmax over the real source positions. A sentence's numbers do not
 * depend on the padding. */
#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/matmul.h"
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

/* -- additive scores -- */

/* The sum over a of v tanh(query + key), lane by lane as in vector_dot(). */
VECTOR_INLINE float tanh_dot(const float *v, const float *query, const float *key, int64_t n_a)
{
    float lane[LANES] = {0};
    int64_t a = 0;
    for (; a + LANES <= n_a; a += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += v[a + j] * vector_tanh(query[a + j] + key[a + j]);
    for (int j = 0; a + j < n_a; j++)
        lane[j] += v[a + j] * vector_tanh(query[a + j] + key[a + j]);
    return lanes_sum(lane);
}

/* One row of scores; rows of keys stand key_stride numbers apart. */
KERNEL static void additive_row(float *scores, const float *query, const float *keys,
                                int64_t key_stride, const float *v, int64_t n_a, int64_t length)
{
    for (int64_t s = 0; s < length; s++)
        scores[s] = tanh_dot(v, query, keys + s * key_stride, n_a);
}

static void cpu_additive_scores(struct backend *backend, const struct tensor *scores,
                                const struct tensor *query, const struct tensor *keys,
                                const struct tensor *v, const struct tensor *lengths)
{
    additive_check(scores, query, keys, v, lengths);
    if (!context_enter(backend))
        return;
    const int64_t n_b = scores->dim[1], n_s = scores->dim[2], n_a = tensor_count(v);
    const int64_t rows = tensor_rows(scores);
    const int n_parts = context_parts(backend, rows * n_s * n_a);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++) {
        const int64_t length = checked_length(scores, ints(lengths), n);
        float *row = floats(scores) + n * n_s;
        additive_row(row, floats(query) + n * n_a, floats(keys) + n % n_b * n_a, n_b * n_a,
                     floats(v), n_a, length);
        memset(row + length, 0, (size_t)(n_s - length) * sizeof *row);
    }
}

/* One step's scores backward: d_query [A] = , d_keys and d_v [A] +=. */
KERNEL static void additive_row_backward(float *restrict d_query, float *restrict d_keys,
                                         float *restrict d_v, const float *restrict query,
                                         const float *restrict keys, int64_t key_stride,
                                         const float *restrict v, int64_t n_a,
                                         const float *restrict d_scores, int64_t length)
{
    memset(d_query, 0, (size_t)n_a * sizeof *d_query);
    for (int64_t s = 0; s < length; s++) {
        const float d = d_scores[s], *key = keys + s * key_stride;
        float *d_key = d_keys + s * key_stride;
#pragma omp simd
        for (int64_t a = 0; a < n_a; a++) {
            const float h = vector_tanh(query[a] + key[a]);
            const float d_sum = d * v[a] * (1.0f - h * h);
            d_query[a] += d_sum;
            d_key[a] += d_sum;
            d_v[a] += d * h;
        }
    }
}

static void cpu_additive_scores_backward(struct backend *backend, const struct tensor *d_query,
                                         const struct tensor *d_keys, const struct tensor *d_v,
                                         const struct tensor *query, const struct tensor *keys,
                                         const struct tensor *v, const struct tensor *lengths,
                                         const struct tensor *d_scores)
{
    additive_check(d_scores, query, keys, v, lengths);
    if (!context_enter(backend))
        return;
    const int64_t n_b = d_scores->dim[1], n_s = d_scores->dim[2], n_a = tensor_count(v);
    /* Each sentence sums its own d_v, so that threads do not meet and the order is always one. */
    float *d_v_parts = context_scratch(backend, (size_t)(n_b * n_a));
    if (!d_v_parts)
        return;
    const int n_parts = context_parts(backend, 2 * tensor_count(d_scores) * n_a);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t b = 0; b < n_b; b++) {
        memset(d_v_parts + b * n_a, 0, (size_t)n_a * sizeof(float));
        for (int64_t n = b; n < tensor_rows(d_scores); n += n_b)
            additive_row_backward(
                floats(d_query) + n * n_a, floats(d_keys) + b * n_a, d_v_parts + b * n_a,
                floats(query) + n * n_a, floats(keys) + b * n_a, n_b * n_a, floats(v), n_a,
                floats(d_scores) + n * n_s, checked_length(d_scores, ints(lengths), n));
    }
    matmul_sum_columns(backend, floats(d_v), d_v_parts, n_b, n_a);
}

void cpu_set_attention(struct backend_ops *ops)
{
    ops->additive_scores = cpu_additive_scores;
    ops->additive_scores_backward = cpu_additive_scores_backward;
    ops->attention_softmax = cpu_attention_softmax;
    ops->attention_softmax_backward = cpu_attention_softmax_backward;
}
