/* Adam, and Adam with factored second moments. Bound by memory. */
#include "backend/cuda/device.h"

/* -- Adam -- */

__device__ __forceinline__ void adam_number(float *value, float *first, float *second, float g,
                                            struct adam_rates rates)
{
    g *= rates.gradient_scale;
    const float m = first ? rates.keep1 * *first + rates.add1 * g : g;
    const float v = rates.keep2 * *second + rates.add2 * g * g;
    if (first)
        *first = m;
    *second = v;
    *value -= rates.step * m / (sqrtf(v * rates.unbias2) + rates.epsilon);
}

/* As fill_kernel. Reads 16 bytes a number and writes 16, without first moments 12 and 12. */
__global__ void adam_kernel(float *value, float *first, float *second, float *gradient,
                            int64_t count, int64_t n_fours, struct adam_rates rates)
{
    for (int64_t i = thread_index(); i < n_fours; i += thread_count()) {
        float4 x = ((float4 *)value)[i], v = ((float4 *)second)[i], m = {0, 0, 0, 0};
        const float4 g = ((float4 *)gradient)[i];
        if (first)
            m = ((float4 *)first)[i];
        adam_number(&x.x, first ? &m.x : NULL, &v.x, g.x, rates);
        adam_number(&x.y, first ? &m.y : NULL, &v.y, g.y, rates);
        adam_number(&x.z, first ? &m.z : NULL, &v.z, g.z, rates);
        adam_number(&x.w, first ? &m.w : NULL, &v.w, g.w, rates);
        ((float4 *)value)[i] = x;
        ((float4 *)second)[i] = v;
        ((float4 *)gradient)[i] = {0, 0, 0, 0};
        if (first)
            ((float4 *)first)[i] = m;
    }
    for (int64_t i = 4 * n_fours + thread_index(); i < count; i += thread_count()) {
        adam_number(value + i, first ? first + i : NULL, second + i, gradient[i], rates);
        gradient[i] = 0;
    }
}

extern "C" cudaError_t launch_adam_step(cudaStream_t stream, float *value, float *first,
                                        float *second, float *gradient, int64_t count,
                                        struct adam_rates rates)
{
    if (count == 0)
        return cudaSuccess;
    const bool aligned =
        is_aligned(value) && is_aligned(first) && is_aligned(second) && is_aligned(gradient);
    return CU_LAUNCH(adam_kernel, grid_of(count, 4 * BLOCK), BLOCK, 0, stream, value, first, second,
                     gradient, count, aligned ? count / 4 : 0, rates);
}

/* -- factored second moments -- */

/* A warp for each row of E matrices [in, out]: row becomes its moving average. Reads 4 bytes a
 * number. */
__global__ void square_rows_kernel(float *row, const float *gradient, int64_t rows, int64_t out,
                                   struct adam_rates rates)
{
    const float g_scale = rates.gradient_scale;
    for (int64_t n = warp_index(); n < rows; n += warp_count()) {
        float sum = 0;
        for (int64_t j = lane_index(); j < out; j += WARP) {
            const float g = g_scale * gradient[n * out + j];
            sum = fmaf(g, g, sum);
        }
        sum = warp_sum(sum);
        if (lane_index() == 0)
            row[n] = rates.keep2 * row[n] + rates.add2 * (sum / out);
    }
}

enum { ACROSS = 32, DOWN = 8, PART_ROWS = 128 };

static int64_t square_parts(int64_t in)
{
    return (in + PART_ROWS - 1) / PART_ROWS;
}

/* Blocks of 32 x 8, one for 32 columns of the 128 rows of part p of a matrix e: their sums of
 * squares go to parts [E, n_parts, out]. Reads 4 bytes a number. */
__global__ void square_columns_kernel(float *parts, const float *gradient, int64_t in, int64_t out,
                                      int64_t n_tiles, float g_scale)
{
    CU_SHARED(float, part, [DOWN][ACROSS]);
    const int64_t n_parts = (in + PART_ROWS - 1) / PART_ROWS;
    const int64_t column = (int64_t)blockIdx.x * ACROSS + threadIdx.x;
    for (int64_t tile = blockIdx.y; tile < n_tiles; tile += gridDim.y) {
        const int64_t e = tile / n_parts, first = tile % n_parts * PART_ROWS;
        const int64_t last = first + PART_ROWS < in ? first + PART_ROWS : in;
        float sum = 0;
        for (int64_t i = first + threadIdx.y; i < last && column < out; i += DOWN) {
            const float g = g_scale * gradient[(e * in + i) * out + column];
            sum = fmaf(g, g, sum);
        }
        part[threadIdx.y][threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.y == 0 && column < out) {
            for (int i = 1; i < DOWN; i++)
                sum += part[i][threadIdx.x];
            parts[tile * out + column] = sum;
        }
        __syncthreads();
    }
}

/* A number of column [E, out] a thread. Reads the parts. */
__global__ void join_columns_kernel(float *column, const float *parts, int64_t in, int64_t out,
                                    int64_t count, struct adam_rates rates)
{
    const int64_t n_parts = (in + PART_ROWS - 1) / PART_ROWS;
    for (int64_t i = thread_index(); i < count; i += thread_count()) {
        const int64_t e = i / out, j = i % out;
        float sum = 0;
        for (int64_t p = 0; p < n_parts; p++)
            sum += parts[(e * n_parts + p) * out + j];
        column[i] = rates.keep2 * column[i] + rates.add2 * (sum / in);
    }
}

/* A block for each matrix: the mean of its row [in]. */
__global__ void row_mean_kernel(float *mean, const float *row, int64_t n_matrices, int64_t in)
{
    CU_SHARED(float, part, [WARP]);
    for (int64_t e = blockIdx.x; e < n_matrices; e += gridDim.x) {
        float sum = 0;
        for (int64_t i = threadIdx.x; i < in; i += blockDim.x)
            sum += row[e * in + i];
        sum = block_sum(sum, part);
        if (threadIdx.x == 0)
            mean[e] = sum / in;
    }
}

/* Threads walk along a row of a matrix. Reads 8 bytes a number and writes 8. */
__global__ void adam_factored_kernel(float *value, const float *row, const float *column,
                                     const float *mean, float *gradient, int64_t rows, int64_t in,
                                     int64_t out, struct adam_rates rates)
{
    for (int64_t n = first_row(); n < rows; n += row_step()) {
        const int64_t e = n / in;
        const float share = mean[e] > 0 ? row[n] / mean[e] : 0;
        for (int64_t j = threadIdx.x; j < out; j += blockDim.x) {
            const float g = rates.gradient_scale * gradient[n * out + j];
            const float v = share * column[e * out + j];
            value[n * out + j] -= rates.step * g / (sqrtf(v * rates.unbias2) + rates.epsilon);
            gradient[n * out + j] = 0;
        }
    }
}

extern "C" size_t adam_factored_scratch(int64_t n_matrices, int64_t in, int64_t out)
{
    return (size_t)(n_matrices * (square_parts(in) * out + 1)) * sizeof(float);
}

extern "C" cudaError_t launch_adam_factored_step(cudaStream_t stream, float *value, float *row,
                                                 float *column, float *gradient, float *scratch,
                                                 int64_t n_matrices, int64_t in, int64_t out,
                                                 struct adam_rates rates)
{
    const int64_t rows = n_matrices * in, n_tiles = n_matrices * square_parts(in);
    if (rows == 0 || out == 0)
        return cudaSuccess;
    float *mean = scratch, *parts = scratch + n_matrices;
    const dim3 tiles((unsigned)((out + ACROSS - 1) / ACROSS), grid_of(n_tiles, 1));
    cudaError_t error = CU_LAUNCH(square_rows_kernel, grid_of(rows, BLOCK / WARP), BLOCK, 0, stream,
                                  row, gradient, rows, out, rates);
    if (error == cudaSuccess)
        error = CU_LAUNCH(row_mean_kernel, grid_of(n_matrices, 1), BLOCK, 0, stream, mean, row,
                          n_matrices, in);
    if (error == cudaSuccess)
        error = CU_LAUNCH(square_columns_kernel, tiles, dim3(ACROSS, DOWN), 0, stream, parts,
                          gradient, in, out, n_tiles, rates.gradient_scale);
    if (error == cudaSuccess)
        error = CU_LAUNCH(join_columns_kernel, grid_of(n_matrices * out, BLOCK), BLOCK, 0, stream,
                          column, parts, in, out, n_matrices * out, rates);
    if (error != cudaSuccess)
        return error;
    const dim3 block = row_block(out);
    return CU_LAUNCH(adam_factored_kernel, grid_of(rows, block.y), block, 0, stream, value, row,
                     column, mean, gradient, rows, in, out, rates);
}
