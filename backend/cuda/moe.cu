/* Sorting tokens by expert, and bringing the experts' outputs back together. */
#include "backend/cuda/device.h"

/* A choice a thread: its expert among all G*E. Reads and writes 4 bytes a choice. */
__global__ void choice_keys_kernel(int32_t *keys, const int32_t *experts, const int32_t *starts,
                                   const int32_t *groups, struct choice_shape shape)
{
    for (int64_t c = thread_index(); c < shape.n_choices; c += thread_count()) {
        const int64_t n = token_of(starts, shape.k, shape.n_tokens, c);
        keys[c] = experts[c] + run_of(groups, shape.n_groups, n) * (int)shape.n_experts;
    }
}

extern "C" cudaError_t launch_choice_keys(cudaStream_t stream, int32_t *keys,
                                          const int32_t *experts, const int32_t *starts,
                                          const int32_t *groups, struct choice_shape shape)
{
    if (shape.n_choices == 0)
        return cudaSuccess;
    return CU_LAUNCH(choice_keys_kernel, grid_of(shape.n_choices, BLOCK), BLOCK, 0, stream, keys,
                     experts, starts, groups, shape);
}

/* rows[place[c]] = the token of choice c. Reads and writes 4 bytes a choice. */
__global__ void choice_rows_kernel(int32_t *rows, const int32_t *place, const int32_t *starts,
                                   struct choice_shape shape)
{
    for (int64_t c = thread_index(); c < shape.n_choices; c += thread_count())
        rows[place[c]] = (int32_t)token_of(starts, shape.k, shape.n_tokens, c);
}

extern "C" size_t dispatch_scratch(struct choice_shape shape)
{
    return (size_t)shape.n_choices * sizeof(int32_t) +
           sort_scratch(shape.n_choices, shape.n_groups * shape.n_experts);
}

extern "C" cudaError_t launch_dispatch(cudaStream_t stream, int32_t *rows, int32_t *place,
                                       int32_t *offsets, void *scratch, const int32_t *experts,
                                       const int32_t *starts, const int32_t *groups,
                                       struct choice_shape shape)
{
    int32_t *keys = (int32_t *)scratch;
    cudaError_t error = launch_choice_keys(stream, keys, experts, starts, groups, shape);
    if (error == cudaSuccess)
        error = launch_sort(stream, place, offsets, keys + shape.n_choices, keys, shape.n_choices,
                            shape.n_groups * shape.n_experts);
    if (error != cudaSuccess || shape.n_choices == 0)
        return error;
    return CU_LAUNCH(choice_rows_kernel, grid_of(shape.n_choices, BLOCK), BLOCK, 0, stream, rows,
                     place, starts, shape);
}

/* Threads walk along a token's row in fours, and add its choices' rows in order. Reads 4 K bytes a
 * number of y and writes 4. */
__global__ void combine_kernel(float *y, const float *x, const float *weights, const int32_t *place,
                               const int32_t *starts, int64_t k, int64_t n_tokens, int64_t width,
                               bool is_aligned)
{
    for (int64_t n = first_row(); n < n_tokens; n += row_step()) {
        const int64_t first = first_of(starts, k, n), last = first_of(starts, k, n + 1);
        for (int64_t d = 4 * threadIdx.x; d < width; d += 4 * blockDim.x) {
            float4 sum = {0, 0, 0, 0};
            for (int64_t c = first; c < last; c++) {
                const float4 a = load_four(x + place[c] * width, d, width, is_aligned, 0);
                const float w = weights ? weights[c] : 1;
                sum = {fmaf(w, a.x, sum.x), fmaf(w, a.y, sum.y), fmaf(w, a.z, sum.z),
                       fmaf(w, a.w, sum.w)};
            }
            store_four(y + n * width, d, width, is_aligned, sum);
        }
    }
}

extern "C" cudaError_t launch_combine(cudaStream_t stream, float *y, const float *x,
                                      const float *weights, const int32_t *place,
                                      const int32_t *starts, struct choice_shape shape,
                                      int64_t width)
{
    if (shape.n_tokens == 0 || width == 0)
        return cudaSuccess;
    const dim3 block = row_block((width + 3) / 4);
    return CU_LAUNCH(combine_kernel, grid_of(shape.n_tokens, block.y), block, 0, stream, y, x,
                     weights, place, starts, shape.k, shape.n_tokens, width,
                     rows_aligned(width, y, x, NULL));
}

/* A warp for each choice. Reads 8 bytes a number of d_x and writes 4. */
__global__ void combine_backward_kernel(float *d_x, float *d_weights, const float *x,
                                        const float *weights, const int32_t *place,
                                        const int32_t *starts, const float *d_y,
                                        struct choice_shape shape, int64_t width, bool is_aligned)
{
    for (int64_t c = warp_index(); c < shape.n_choices; c += warp_count()) {
        const float *up = d_y + token_of(starts, shape.k, shape.n_tokens, c) * width;
        const int64_t row = place[c] * width;
        const float w = weights[c];
        float dot = 0;
        for (int64_t d = 4 * lane_index(); d < width; d += 4 * WARP) {
            const float4 u = load_four(up, d, width, is_aligned, 0);
            const float4 a = load_four(x + row, d, width, is_aligned, 0);
            dot += (u.x * a.x + u.y * a.y) + (u.z * a.z + u.w * a.w);
            store_four(d_x + row, d, width, is_aligned, {w * u.x, w * u.y, w * u.z, w * u.w});
        }
        dot = warp_sum(dot);
        if (lane_index() == 0)
            d_weights[c] = dot;
    }
}

extern "C" cudaError_t launch_combine_backward(cudaStream_t stream, float *d_x, float *d_weights,
                                               const float *x, const float *weights,
                                               const int32_t *place, const int32_t *starts,
                                               const float *d_y, struct choice_shape shape,
                                               int64_t width)
{
    if (shape.n_choices == 0)
        return cudaSuccess;
    return CU_LAUNCH(combine_backward_kernel, grid_of(shape.n_choices, BLOCK / WARP), BLOCK, 0,
                     stream, d_x, d_weights, x, weights, place, starts, d_y, shape, width,
                     rows_aligned(width, d_x, x, d_y));
}
