/* Work on single numbers: activations, scaling, bias, dropout. All of it is bound by memory. */
#include "backend/cuda/device.h"

/* -- activations -- */

/* As fill_kernel; y may be x. Reads and writes 4 bytes a number. */
__global__ void activate_kernel(float *y, const float *x, int64_t count, int64_t n_fours,
                                int activation)
{
    for (int64_t i = thread_index(); i < n_fours; i += thread_count()) {
        const float4 a = ((const float4 *)x)[i];
        ((float4 *)y)[i] = {activated(a.x, activation), activated(a.y, activation),
                            activated(a.z, activation), activated(a.w, activation)};
    }
    for (int64_t i = 4 * n_fours + thread_index(); i < count; i += thread_count())
        y[i] = activated(x[i], activation);
}

extern "C" cudaError_t launch_activate(cudaStream_t stream, float *y, const float *x, int64_t count,
                                       int activation)
{
    if (count == 0)
        return cudaSuccess;
    const int64_t n_fours = is_aligned(y) && is_aligned(x) ? count / 4 : 0;
    return CU_LAUNCH(activate_kernel, grid_of(count, 4 * BLOCK), BLOCK, 0, stream, y, x, count,
                     n_fours, activation);
}

__device__ __forceinline__ float slope_of(float y, int activation)
{
    if (activation == NONE)
        return 1;
    if (activation == RELU)
        return y > 0 ? 1 : 0;
    if (activation == TANH)
        return 1 - y * y;
    if (activation == SIGMOID)
        return y * (1 - y);
    const float root = cbrtf(y);
    return 3 * root * root;
}

/* As fill_kernel; d_x may be d_y. Reads 8 bytes a number and writes 4. */
__global__ void activate_backward_kernel(float *d_x, const float *y, const float *d_y,
                                         int64_t count, int64_t n_fours, int activation)
{
    for (int64_t i = thread_index(); i < n_fours; i += thread_count()) {
        const float4 a = ((const float4 *)y)[i], d = ((const float4 *)d_y)[i];
        ((float4 *)d_x)[i] = {d.x * slope_of(a.x, activation), d.y * slope_of(a.y, activation),
                              d.z * slope_of(a.z, activation), d.w * slope_of(a.w, activation)};
    }
    for (int64_t i = 4 * n_fours + thread_index(); i < count; i += thread_count())
        d_x[i] = d_y[i] * slope_of(y[i], activation);
}

extern "C" cudaError_t launch_activate_backward(cudaStream_t stream, float *d_x, const float *y,
                                                const float *d_y, int64_t count, int activation)
{
    if (count == 0)
        return cudaSuccess;
    const int64_t n_fours = is_aligned(y) && is_aligned(d_x) && is_aligned(d_y) ? count / 4 : 0;
    return CU_LAUNCH(activate_backward_kernel, grid_of(count, 4 * BLOCK), BLOCK, 0, stream, d_x, y,
                     d_y, count, n_fours, activation);
}

/* -- rows -- */

/* Threads walk along a row in fours; y may be x. Reads and writes 4 bytes a number; v stays in the
 * caches. */
__global__ void scale_columns_kernel(float *y, const float *x, const float *v, int64_t rows,
                                     int64_t width, bool is_aligned)
{
    for (int64_t n = first_row(); n < rows; n += row_step())
        for (int64_t d = 4 * threadIdx.x; d < width; d += 4 * blockDim.x) {
            const float4 a = load_four(x + n * width, d, width, is_aligned, 0);
            const float4 s = load_four(v, d, width, is_aligned, 0);
            store_four(y + n * width, d, width, is_aligned,
                       {a.x * s.x, a.y * s.y, a.z * s.z, a.w * s.w});
        }
}

extern "C" cudaError_t launch_scale_columns(cudaStream_t stream, float *y, const float *x,
                                            const float *v, int64_t rows, int64_t width)
{
    if (rows == 0 || width == 0)
        return cudaSuccess;
    const dim3 block = row_block((width + 3) / 4);
    return CU_LAUNCH(scale_columns_kernel, grid_of(rows, block.y), block, 0, stream, y, x, v, rows,
                     width, rows_aligned(width, y, x, v));
}

/* Threads walk along a row in fours. Reads and writes 4 bytes a number. With offsets [E+1], bias is
 * [E, D] and a row takes that of its expert. */
__global__ void bias_kernel(float *y, const float *bias, const int32_t *offsets, int64_t n_groups,
                            int64_t rows, int64_t width, int activation, bool is_aligned)
{
    for (int64_t n = first_row(); n < rows; n += row_step()) {
        const float *row_bias = bias ? bias + run_of(offsets, n_groups, n) * width : NULL;
        for (int64_t d = 4 * threadIdx.x; d < width; d += 4 * blockDim.x) {
            const float4 a = load_four(y + n * width, d, width, is_aligned, 0);
            float4 b = {0, 0, 0, 0};
            if (bias)
                b = load_four(row_bias, d, width, is_aligned, 0);
            store_four(y + n * width, d, width, is_aligned,
                       {activated(a.x + b.x, activation), activated(a.y + b.y, activation),
                        activated(a.z + b.z, activation), activated(a.w + b.w, activation)});
        }
    }
}

extern "C" cudaError_t launch_bias_activation(cudaStream_t stream, float *y, const float *bias,
                                              const int32_t *offsets, int64_t n_groups,
                                              int64_t rows, int64_t width, int activation)
{
    if (rows == 0 || width == 0 || (!bias && activation == NONE))
        return cudaSuccess;
    const dim3 block = row_block((width + 3) / 4);
    return CU_LAUNCH(bias_kernel, grid_of(rows, block.y), block, 0, stream, y, bias, offsets,
                     n_groups, rows, width, activation, rows_aligned(width, y, bias, NULL));
}

/* -- dropout -- */

struct dropout_rule {
    struct philox_key key;
    uint32_t threshold; /* halves of words below it drop */
    float scale;
};

__device__ __forceinline__ float kept(float x, uint32_t half, struct dropout_rule rule)
{
    return (half & 0xffff) < rule.threshold ? 0 : x * rule.scale;
}

/* What four numbers with two random words become. */
__device__ __forceinline__ float4 kept_four(float4 x, float4 residual, uint32_t word0,
                                            uint32_t word1, struct dropout_rule rule)
{
    return {residual.x + kept(x.x, word0, rule), residual.y + kept(x.y, word0 >> 16, rule),
            residual.z + kept(x.z, word1, rule), residual.w + kept(x.w, word1 >> 16, rule)};
}

/* A thread makes the four words of eight neighbours in a row; y may be x or residual. Reads 4 bytes
 * a number, 8 with a residual, and writes 4: the mask is made again in the backward pass. */
__global__ void dropout_kernel(float *y, const float *x, const float *residual,
                               const int32_t *names, int64_t rows, int64_t width,
                               struct dropout_rule rule, bool is_aligned)
{
    const float4 none = {0, 0, 0, 0};
    for (int64_t n = first_row(); n < rows; n += row_step()) {
        const uint32_t name = names ? (uint32_t)names[n] : (uint32_t)n;
        const float *x_row = x + n * width, *r_row = residual ? residual + n * width : NULL;
        for (int64_t d = 8 * threadIdx.x; d < width; d += 8 * blockDim.x) {
            const uint4 words = philox(rule.key, name, (uint32_t)(d / 8));
            const float4 a = load_four(x_row, d, width, is_aligned, 0);
            const float4 b = load_four(x_row, d + 4, width, is_aligned, 0);
            const float4 r = r_row ? load_four(r_row, d, width, is_aligned, 0) : none;
            const float4 s = r_row ? load_four(r_row, d + 4, width, is_aligned, 0) : none;
            store_four(y + n * width, d, width, is_aligned,
                       kept_four(a, r, words.x, words.y, rule));
            store_four(y + n * width, d + 4, width, is_aligned,
                       kept_four(b, s, words.z, words.w, rule));
        }
    }
}

extern "C" cudaError_t launch_dropout(cudaStream_t stream, float *y, const float *x,
                                      const float *residual, const int32_t *names, int64_t rows,
                                      int64_t width, struct philox_key key, uint32_t threshold,
                                      float scale)
{
    if (rows == 0 || width == 0)
        return cudaSuccess;
    const dim3 block = row_block((width + 7) / 8);
    const struct dropout_rule rule = {key, threshold, scale};
    return CU_LAUNCH(dropout_kernel, grid_of(rows, block.y), block, 0, stream, y, x, residual,
                     names, rows, width, rule, rows_aligned(width, y, x, residual));
}
