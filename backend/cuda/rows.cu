/* Work on rows: embeddings, gather and scatter. Row numbers are not checked on the device. */
#include "backend/cuda/device.h"

/* Threads walk along a row in fours. Reads and writes 4 bytes a number. The product is rounded
 * once, as the reference's. */
__global__ void embed_kernel(float *y, const float *table, const int32_t *ids, int64_t rows,
                             int64_t width, double scale, bool is_aligned)
{
    for (int64_t n = first_row(); n < rows; n += row_step()) {
        const float *from = table + (int64_t)ids[n] * width;
        for (int64_t d = 4 * threadIdx.x; d < width; d += 4 * blockDim.x) {
            const float4 a = load_four(from, d, width, is_aligned, 0);
            store_four(y + n * width, d, width, is_aligned,
                       {(float)(scale * a.x), (float)(scale * a.y), (float)(scale * a.z),
                        (float)(scale * a.w)});
        }
    }
}

extern "C" cudaError_t launch_embed(cudaStream_t stream, float *y, const float *table,
                                    const int32_t *ids, int64_t rows, int64_t width, double scale)
{
    if (rows == 0 || width == 0)
        return cudaSuccess;
    const dim3 block = row_block((width + 3) / 4);
    return CU_LAUNCH(embed_kernel, grid_of(rows, block.y), block, 0, stream, y, table, ids, rows,
                     width, scale, rows_aligned(width, y, table, NULL));
}

/* -- embed backward: tokens sorted by id, then one run of equal ids after the other -- */

/* order[place[n]] = n. Reads and writes 4 bytes a token. */
__global__ void order_kernel(int32_t *order, const int32_t *place, int64_t rows)
{
    for (int64_t n = thread_index(); n < rows; n += thread_count())
        order[place[n]] = (int32_t)n;
}

enum { RUN_COLUMNS = 128, AHEAD = 16 };

/* Block (p, i) looks at the token of place p; where it is the first of its id it adds that id's
 * rows in order, columns 128 i .., one a thread. Loads run 16 rows ahead of the sum. Reads 4
 * bytes a number of d_y; reads and writes each row of the table that occurs once. The longest run
 * is what takes time. */
__global__ void embed_backward_kernel(float *d_table, const float *d_y, const int32_t *ids,
                                      const int32_t *order, const int32_t *offsets, int64_t rows,
                                      int64_t width, double scale)
{
    const int64_t d = (int64_t)blockIdx.y * RUN_COLUMNS + threadIdx.x;
    for (int64_t p = blockIdx.x; p < rows; p += gridDim.x) {
        const int32_t id = ids[order[p]];
        if (offsets[id] != p || d >= width)
            continue;
        const int64_t end = offsets[id + 1];
        float sum = d_table[id * width + d];
        for (int64_t first = p; first < end; first += AHEAD) {
            float ahead[AHEAD];
#pragma unroll
            for (int i = 0; i < AHEAD; i++)
                ahead[i] = first + i < end ? d_y[order[first + i] * width + d] : 0;
#pragma unroll
            for (int i = 0; i < AHEAD; i++)
                if (first + i < end)
                    sum += (float)(scale * ahead[i]);
        }
        d_table[id * width + d] = sum;
    }
}

extern "C" size_t embed_backward_scratch(int64_t rows, int64_t n_words)
{
    return sort_scratch(rows, n_words) + (size_t)(2 * rows + n_words + 1) * sizeof(int32_t);
}

extern "C" cudaError_t launch_embed_backward(cudaStream_t stream, float *d_table, void *scratch,
                                             const float *d_y, const int32_t *ids, int64_t rows,
                                             int64_t n_words, int64_t width, double scale)
{
    if (rows == 0 || width == 0)
        return cudaSuccess;
    int32_t *place = (int32_t *)scratch, *order = place + rows, *offsets = order + rows;
    cudaError_t error =
        launch_sort(stream, place, offsets, offsets + n_words + 1, ids, rows, n_words);
    if (error == cudaSuccess)
        error = CU_LAUNCH(order_kernel, grid_of(rows, BLOCK), BLOCK, 0, stream, order, place, rows);
    if (error != cudaSuccess)
        return error;
    const dim3 grid(grid_of(rows, 1), (unsigned)((width + RUN_COLUMNS - 1) / RUN_COLUMNS));
    return CU_LAUNCH(embed_backward_kernel, grid, RUN_COLUMNS, 0, stream, d_table, d_y, ids, order,
                     offsets, rows, width, scale);
}

/* -- gather and scatter: of any 4-byte type -- */

/* Threads walk along a row in fours. Reads and writes 4 bytes a number. */
__global__ void gather_kernel(float *y, const float *x, const int32_t *rows, int64_t n_rows,
                              int64_t width, bool is_aligned)
{
    for (int64_t n = first_row(); n < n_rows; n += row_step())
        for (int64_t d = 4 * threadIdx.x; d < width; d += 4 * blockDim.x)
            store_four(y + n * width, d, width, is_aligned,
                       load_four(x + (int64_t)rows[n] * width, d, width, is_aligned, 0));
}

extern "C" cudaError_t launch_gather_rows(cudaStream_t stream, void *y, const void *x,
                                          const int32_t *rows, int64_t n_rows, int64_t width)
{
    if (n_rows == 0 || width == 0)
        return cudaSuccess;
    const dim3 block = row_block((width + 3) / 4);
    return CU_LAUNCH(gather_kernel, grid_of(n_rows, block.y), block, 0, stream, (float *)y,
                     (const float *)x, rows, n_rows, width, rows_aligned(width, y, x, NULL));
}

/* As gather_kernel, the other way round. */
__global__ void scatter_kernel(float *y, const float *x, const int32_t *rows, int64_t n_rows,
                               int64_t width, bool is_aligned)
{
    for (int64_t n = first_row(); n < n_rows; n += row_step())
        for (int64_t d = 4 * threadIdx.x; d < width; d += 4 * blockDim.x)
            store_four(y + (int64_t)rows[n] * width, d, width, is_aligned,
                       load_four(x + n * width, d, width, is_aligned, 0));
}

extern "C" cudaError_t launch_scatter_rows(cudaStream_t stream, void *y, const void *x,
                                           const int32_t *rows, int64_t n_rows, int64_t y_rows,
                                           int64_t width)
{
    if (y_rows == 0 || width == 0)
        return cudaSuccess;
    const cudaError_t error =
        cudaMemsetAsync(y, 0, (size_t)(y_rows * width) * sizeof(float), stream);
    if (error != cudaSuccess || n_rows == 0)
        return error;
    const dim3 block = row_block((width + 3) / 4);
    return CU_LAUNCH(scatter_kernel, grid_of(n_rows, block.y), block, 0, stream, (float *)y,
                     (const float *)x, rows, n_rows, width, rows_aligned(width, y, x, NULL));
}
