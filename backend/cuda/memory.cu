/* Filling, adding, moving between layouts and types. All of it is bound by memory. */
#include "backend/cuda/device.h"

/* -- whole tensors -- */

/* Thread i takes the fours i, i + threads, ... and then the same of the numbers left over.
 * Writes 4 bytes a number. */
__global__ void fill_kernel(float *y, int64_t count, int64_t n_fours, float value)
{
    for (int64_t i = thread_index(); i < n_fours; i += thread_count())
        ((float4 *)y)[i] = {value, value, value, value};
    for (int64_t i = 4 * n_fours + thread_index(); i < count; i += thread_count())
        y[i] = value;
}

extern "C" cudaError_t launch_fill(cudaStream_t stream, float *y, int64_t count, float value)
{
    if (count == 0)
        return cudaSuccess;
    const int64_t n_fours = is_aligned(y) ? count / 4 : 0;
    return CU_LAUNCH(fill_kernel, grid_of(count, 4 * BLOCK), BLOCK, 0, stream, y, count, n_fours,
                     value);
}

/* As fill_kernel. Reads 8 bytes a number and writes 4. */
__global__ void add_kernel(float *y, const float *x, int64_t count, int64_t n_fours, float scale)
{
    for (int64_t i = thread_index(); i < n_fours; i += thread_count()) {
        const float4 a = ((const float4 *)y)[i], b = ((const float4 *)x)[i];
        ((float4 *)y)[i] = {fmaf(scale, b.x, a.x), fmaf(scale, b.y, a.y), fmaf(scale, b.z, a.z),
                            fmaf(scale, b.w, a.w)};
    }
    for (int64_t i = 4 * n_fours + thread_index(); i < count; i += thread_count())
        y[i] = fmaf(scale, x[i], y[i]);
}

extern "C" cudaError_t launch_add(cudaStream_t stream, float *y, const float *x, int64_t count,
                                  float scale)
{
    if (count == 0)
        return cudaSuccess;
    const int64_t n_fours = is_aligned(y) && is_aligned(x) ? count / 4 : 0;
    return CU_LAUNCH(add_kernel, grid_of(count, 4 * BLOCK), BLOCK, 0, stream, y, x, count, n_fours,
                     scale);
}

/* -- parts of rows -- */

/* Threads walk along a row, and blocks over rows. Reads 4 bytes a number, 8 to accumulate, and
 * writes 4. */
template <class T>
__global__ void copy_rows_kernel(T *y, int64_t y_stride, const T *x, int64_t x_stride, int64_t rows,
                                 int64_t columns, bool accumulate)
{
    for (int64_t n = first_row(); n < rows; n += row_step())
        for (int64_t d = threadIdx.x; d < columns; d += blockDim.x) {
            const T value = x[n * x_stride + d];
            y[n * y_stride + d] = accumulate ? y[n * y_stride + d] + value : value;
        }
}

extern "C" cudaError_t launch_copy_rows(cudaStream_t stream, float *y, int64_t y_stride,
                                        const float *x, int64_t x_stride, int64_t rows,
                                        int64_t columns, bool accumulate)
{
    if (rows == 0 || columns == 0)
        return cudaSuccess;
    const dim3 block = row_block(columns);
    return CU_LAUNCH(copy_rows_kernel<float>, grid_of(rows, block.y), block, 0, stream, y, y_stride,
                     x, x_stride, rows, columns, accumulate);
}

extern "C" cudaError_t launch_copy_rows_i32(cudaStream_t stream, int32_t *y, int64_t y_stride,
                                            const int32_t *x, int64_t x_stride, int64_t rows,
                                            int64_t columns)
{
    if (rows == 0 || columns == 0)
        return cudaSuccess;
    const dim3 block = row_block(columns);
    return CU_LAUNCH(copy_rows_kernel<int32_t>, grid_of(rows, block.y), block, 0, stream, y,
                     y_stride, x, x_stride, rows, columns, false);
}

/* -- transposing -- */

enum { TILE = 32, TILE_ROWS = 8 };

/* A block turns tiles of 32 x 32 through shared memory, so that both sides are read and written
 * along their rows; the odd stride keeps the columns in different banks. Reads 4 bytes a number, 8
 * to accumulate, and writes 4. */
__global__ void transpose_kernel(float *y, int64_t y_stride, const float *x, int64_t x_stride,
                                 int64_t rows, int64_t columns, bool accumulate)
{
    CU_SHARED(float, tile, [TILE][TILE + 1]);
    const int64_t n_across = (columns + TILE - 1) / TILE, n_down = (rows + TILE - 1) / TILE;
    for (int64_t i = blockIdx.x; i < n_across * n_down; i += gridDim.x) {
        const int64_t row = i / n_across * TILE, column = i % n_across * TILE;
        for (int64_t r = threadIdx.y; r < TILE; r += TILE_ROWS)
            if (row + r < rows && column + threadIdx.x < columns)
                tile[r][threadIdx.x] = x[(row + r) * x_stride + column + threadIdx.x];
        __syncthreads();
        for (int64_t c = threadIdx.y; c < TILE; c += TILE_ROWS)
            if (column + c < columns && row + threadIdx.x < rows) {
                float *to = &y[(column + c) * y_stride + row + threadIdx.x];
                *to = accumulate ? *to + tile[threadIdx.x][c] : tile[threadIdx.x][c];
            }
        __syncthreads();
    }
}

extern "C" cudaError_t launch_transpose(cudaStream_t stream, float *y, int64_t y_stride,
                                        const float *x, int64_t x_stride, int64_t rows,
                                        int64_t columns, bool accumulate)
{
    if (rows == 0 || columns == 0)
        return cudaSuccess;
    const int64_t n_tiles = (columns + TILE - 1) / TILE * ((rows + TILE - 1) / TILE);
    return CU_LAUNCH(transpose_kernel, grid_of(n_tiles, 1), dim3(TILE, TILE_ROWS), 0, stream, y,
                     y_stride, x, x_stride, rows, columns, accumulate);
}

/* -- sequences -- */

/* Threads walk along a row [D] of y [T, B, D], which comes from step lengths[b] - 1 - t of the same
 * sentence. Reads and writes 4 bytes a number. */
__global__ void reverse_kernel(float *y, const float *x, const int32_t *lengths, int64_t n_t,
                               int64_t n_b, int64_t width, bool accumulate)
{
    for (int64_t n = first_row(); n < n_t * n_b; n += row_step()) {
        const int64_t t = n / n_b, b = n % n_b, length = lengths ? lengths[b] : n_t;
        const float *from = x + ((length - 1 - t) * n_b + b) * width;
        for (int64_t d = threadIdx.x; d < width; d += blockDim.x) {
            const float value = t < length ? from[d] : 0;
            y[n * width + d] = accumulate ? y[n * width + d] + value : value;
        }
    }
}

extern "C" cudaError_t launch_reverse(cudaStream_t stream, float *y, const float *x,
                                      const int32_t *lengths, int64_t n_t, int64_t n_b,
                                      int64_t width, bool accumulate)
{
    if (n_t * n_b * width == 0)
        return cudaSuccess;
    const dim3 block = row_block(width);
    return CU_LAUNCH(reverse_kernel, grid_of(n_t * n_b, block.y), block, 0, stream, y, x, lengths,
                     n_t, n_b, width, accumulate);
}

/* -- bf16 -- */

/* One number a thread at a time. Reads 4 bytes a number and writes 2. */
__global__ void to_bf16_kernel(__nv_bfloat16 *y, const float *x, int64_t count)
{
    for (int64_t i = thread_index(); i < count; i += thread_count())
        y[i] = __float2bfloat16_rn(x[i]);
}

/* Reads 2 bytes a number and writes 4. */
__global__ void from_bf16_kernel(float *y, const __nv_bfloat16 *x, int64_t count)
{
    for (int64_t i = thread_index(); i < count; i += thread_count())
        y[i] = __bfloat162float(x[i]);
}

extern "C" cudaError_t launch_to_bf16(cudaStream_t stream, void *y, const float *x, int64_t count)
{
    if (count == 0)
        return cudaSuccess;
    return CU_LAUNCH(to_bf16_kernel, grid_of(count, BLOCK), BLOCK, 0, stream, (__nv_bfloat16 *)y, x,
                     count);
}

extern "C" cudaError_t launch_from_bf16(cudaStream_t stream, float *y, const void *x, int64_t count)
{
    if (count == 0)
        return cudaSuccess;
    return CU_LAUNCH(from_bf16_kernel, grid_of(count, BLOCK), BLOCK, 0, stream, y,
                     (const __nv_bfloat16 *)x, count);
}
