/* Additive scores, and the softmax over the real source positions. What a sentence gets does not
 * depend on the padding. */
#include "backend/cuda/device.h"

/* A warp a row of scores, up to its sentence's length. Reads 4 bytes a number, again from the
 * caches, and writes 4. */
__global__ void attention_softmax_kernel(float *weights, const int32_t *lengths, int64_t rows,
                                         int64_t n_b, int n_s)
{
    for (int64_t n = warp_index(); n < rows; n += warp_count()) {
        float *row = weights + n * n_s;
        const int length = lengths[n % n_b];
        const struct exp_sum sum = warp_row_exp_sum(row, length);
        const float total = exp_sum_value(sum);
        for (int s = lane_index(); s < n_s; s += WARP)
            row[s] = s < length ? expf(row[s] - sum.largest) / total : 0;
    }
}

extern "C" cudaError_t launch_attention_softmax(cudaStream_t stream, float *weights,
                                                const int32_t *lengths, int64_t rows, int64_t n_b,
                                                int64_t n_s)
{
    if (rows == 0)
        return cudaSuccess;
    return CU_LAUNCH(attention_softmax_kernel, grid_of(rows, BLOCK / WARP), BLOCK, 0, stream,
                     weights, lengths, rows, n_b, (int)n_s);
}

/* The same walk. Reads 8 bytes a number, again from the caches, and writes 4. */
__global__ void attention_softmax_backward_kernel(float *d_scores, const float *weights,
                                                  const int32_t *lengths, int64_t rows, int64_t n_b,
                                                  int n_s)
{
    for (int64_t n = warp_index(); n < rows; n += warp_count()) {
        float *d = d_scores + n * n_s;
        const float *w = weights + n * n_s;
        const int length = lengths[n % n_b];
        float dot = 0;
        for (int s = lane_index(); s < length; s += WARP)
            dot = fmaf(w[s], d[s], dot);
        dot = warp_sum(dot);
        for (int s = lane_index(); s < n_s; s += WARP)
            d[s] = s < length ? w[s] * (d[s] - dot) : 0;
    }
}

extern "C" cudaError_t launch_attention_softmax_backward(cudaStream_t stream, float *d_scores,
                                                         const float *weights,
                                                         const int32_t *lengths, int64_t rows,
                                                         int64_t n_b, int64_t n_s)
{
    if (rows == 0)
        return cudaSuccess;
    return CU_LAUNCH(attention_softmax_backward_kernel, grid_of(rows, BLOCK / WARP), BLOCK, 0,
                     stream, d_scores, weights, lengths, rows, n_b, (int)n_s);
}

/* -- additive scores -- */

/* A warp a score: query and v of a row come from the caches for all its keys. Bound by tanh, one
 * for each of T B S A; reads 4 bytes a number of the query and the keys at least once. */
__global__ void additive_scores_kernel(float *scores, const float *query, const float *keys,
                                       const float *v, const int32_t *lengths,
                                       struct additive_shape shape)
{
    const int64_t count = shape.n_t * shape.n_b * shape.n_s;
    for (int64_t i = warp_index(); i < count; i += warp_count()) {
        const int64_t n = i / shape.n_s, s = i % shape.n_s, b = n % shape.n_b;
        const float *q = query + n * shape.n_a, *key = keys + (s * shape.n_b + b) * shape.n_a;
        float sum = 0;
        if (s < lengths[b])
            for (int a = lane_index(); a < shape.n_a; a += WARP)
                sum = fmaf(v[a], tanhf(q[a] + key[a]), sum);
        sum = warp_sum(sum);
        if (lane_index() == 0)
            scores[i] = sum;
    }
}

extern "C" cudaError_t launch_additive_scores(cudaStream_t stream, float *scores,
                                              const float *query, const float *keys, const float *v,
                                              const int32_t *lengths, struct additive_shape shape)
{
    const int64_t count = shape.n_t * shape.n_b * shape.n_s;
    if (count == 0)
        return cudaSuccess;
    return CU_LAUNCH(additive_scores_kernel, grid_of(count, BLOCK / WARP), BLOCK, 0, stream, scores,
                     query, keys, v, lengths, shape);
}

/* Threads walk along a row [A] of the query and go over its keys. d_v_parts [T, B, A] gets each
 * row's part of d_v. Bound by tanh; reads 4 bytes a number of query and d_scores, the keys of a
 * sentence for each of its T rows from the caches, and writes 8 bytes a number. */
__global__ void additive_query_kernel(float *d_query, float *d_v_parts, const float *query,
                                      const float *keys, const float *v, const int32_t *lengths,
                                      const float *d_scores, struct additive_shape shape)
{
    for (int64_t n = first_row(); n < shape.n_t * shape.n_b; n += row_step()) {
        const int64_t b = n % shape.n_b;
        const int length = lengths[b];
        const float *d_row = d_scores + n * shape.n_s;
        for (int a = (int)threadIdx.x; a < shape.n_a; a += (int)blockDim.x) {
            const float q = query[n * shape.n_a + a];
            float d_q = 0, d_v = 0;
            for (int s = 0; s < length; s++) {
                const float h = tanhf(q + keys[(s * shape.n_b + b) * shape.n_a + a]);
                d_q = fmaf(d_row[s], 1 - h * h, d_q);
                d_v = fmaf(d_row[s], h, d_v);
            }
            d_query[n * shape.n_a + a] = v[a] * d_q;
            d_v_parts[n * shape.n_a + a] = d_v;
        }
    }
}

/* The same for a row of the keys, which goes over the T rows of its sentence. */
__global__ void additive_keys_kernel(float *d_keys, const float *query, const float *keys,
                                     const float *v, const int32_t *lengths, const float *d_scores,
                                     struct additive_shape shape)
{
    for (int64_t n = first_row(); n < shape.n_s * shape.n_b; n += row_step()) {
        const int64_t s = n / shape.n_b, b = n % shape.n_b;
        if (s >= lengths[b])
            continue;
        for (int a = (int)threadIdx.x; a < shape.n_a; a += (int)blockDim.x) {
            const float key = keys[n * shape.n_a + a];
            float d_key = 0;
            for (int64_t t = 0; t < shape.n_t; t++) {
                const int64_t row = t * shape.n_b + b;
                const float h = tanhf(query[row * shape.n_a + a] + key);
                d_key = fmaf(d_scores[row * shape.n_s + s], 1 - h * h, d_key);
            }
            d_keys[n * shape.n_a + a] += v[a] * d_key;
        }
    }
}

extern "C" size_t additive_scores_backward_scratch(struct additive_shape shape)
{
    const int64_t rows = shape.n_t * shape.n_b;
    return (size_t)(rows * shape.n_a) * sizeof(float) + column_sums_scratch(rows, shape.n_a);
}

extern "C" cudaError_t launch_additive_scores_backward(cudaStream_t stream, float *d_query,
                                                       float *d_keys, float *d_v, float *scratch,
                                                       const float *query, const float *keys,
                                                       const float *v, const int32_t *lengths,
                                                       const float *d_scores,
                                                       struct additive_shape shape)
{
    const int64_t rows = shape.n_t * shape.n_b, n_keys = shape.n_s * shape.n_b;
    if (rows == 0 || shape.n_a == 0)
        return cudaSuccess;
    const dim3 block = row_block(shape.n_a);
    cudaError_t error = CU_LAUNCH(additive_query_kernel, grid_of(rows, block.y), block, 0, stream,
                                  d_query, scratch, query, keys, v, lengths, d_scores, shape);
    if (error == cudaSuccess && n_keys > 0)
        error = CU_LAUNCH(additive_keys_kernel, grid_of(n_keys, block.y), block, 0, stream, d_keys,
                          query, keys, v, lengths, d_scores, shape);
    if (error != cudaSuccess)
        return error;
    return launch_column_sums(stream, d_v, scratch + rows * shape.n_a, scratch, rows, shape.n_a);
}
