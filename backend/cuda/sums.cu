/* Sums over the rows of a matrix, in two stages of a fixed order: blocks of rows, then the blocks'
 * sums. */
#include "backend/cuda/device.h"

enum { ACROSS = 32, DOWN = 8, PART_ROWS = 256 };

static int64_t part_count(int64_t rows)
{
    return (rows + PART_ROWS - 1) / PART_ROWS;
}

extern "C" size_t column_sums_scratch(int64_t rows, int64_t columns)
{
    const int64_t n_parts = part_count(rows);
    return n_parts > 1 ? (size_t)(n_parts * columns) * sizeof(float) : 0;
}

/* Adds up what the threads of a block of 32 x 8 hold for each of its 32 columns; row 0 of threads
 * gets the sums. */
__device__ __forceinline__ float sum_down(float x, float (*part)[ACROSS])
{
    part[threadIdx.y][threadIdx.x] = x;
    __syncthreads();
    for (int i = DOWN / 2; i > 0; i /= 2) {
        if ((int)threadIdx.y < i)
            part[threadIdx.y][threadIdx.x] += part[threadIdx.y + i][threadIdx.x];
        __syncthreads();
    }
    x = part[0][threadIdx.x];
    __syncthreads();
    return x;
}

/* A block of 32 x 8 sums 32 columns of rows first .. last-1. factor NULL: of x; else of x * factor,
 * and then y, unless NULL, becomes x * scale, column by column. */
__device__ float sum_columns(const float *x, const float *factor, float *y, const float *scale,
                             int64_t first, int64_t last, int64_t column, int64_t columns,
                             float (*part)[ACROSS])
{
    float sum = 0;
    for (int64_t n = first + threadIdx.y; n < last && column < columns; n += DOWN) {
        const int64_t i = n * columns + column;
        const float value = x[i];
        sum += factor ? value * factor[i] : value;
        if (y)
            y[i] = value * scale[column];
    }
    return sum_down(sum, part);
}

/* Block (i, p) sums columns 32 i .. of the 256 rows of part p into parts [n_parts, D], or onto the
 * sum where there is one part. Reads 4 bytes a number; with a factor 8, and writes 4 of y. */
__global__ void part_sums_kernel(float *sum, float *parts, const float *x, const float *factor,
                                 float *y, const float *scale, int64_t rows, int64_t columns)
{
    CU_SHARED(float, part, [DOWN][ACROSS]);
    const int64_t column = (int64_t)blockIdx.x * ACROSS + threadIdx.x;
    const int64_t first = (int64_t)blockIdx.y * PART_ROWS;
    const int64_t last = first + PART_ROWS < rows ? first + PART_ROWS : rows;
    const float total = sum_columns(x, factor, y, scale, first, last, column, columns, part);
    if (threadIdx.y > 0 || column >= columns)
        return;
    if (gridDim.y == 1)
        sum[column] += total;
    else
        parts[blockIdx.y * columns + column] = total;
}

/* A block of 32 x 8 for each 32 columns. Reads the parts. */
__global__ void join_sums_kernel(float *sum, const float *parts, int64_t n_parts, int64_t columns,
                                 bool accumulate)
{
    CU_SHARED(float, part, [DOWN][ACROSS]);
    const int64_t column = (int64_t)blockIdx.x * ACROSS + threadIdx.x;
    const float total = sum_columns(parts, NULL, NULL, NULL, 0, n_parts, column, columns, part);
    if (threadIdx.y == 0 && column < columns)
        sum[column] = accumulate ? sum[column] + total : total;
}

extern "C" cudaError_t launch_join_sums(cudaStream_t stream, float *sum, const float *parts,
                                        int64_t n_parts, int64_t columns, bool accumulate)
{
    if (columns == 0)
        return cudaSuccess;
    return CU_LAUNCH(join_sums_kernel, (unsigned)((columns + ACROSS - 1) / ACROSS),
                     dim3(ACROSS, DOWN), 0, stream, sum, parts, n_parts, columns, accumulate);
}

static cudaError_t sum_parts(cudaStream_t stream, float *sum, float *scratch, const float *x,
                             const float *factor, float *y, const float *scale, int64_t rows,
                             int64_t columns)
{
    if (rows == 0 || columns == 0)
        return cudaSuccess;
    const int64_t n_parts = part_count(rows);
    const dim3 grid((unsigned)((columns + ACROSS - 1) / ACROSS), (unsigned)n_parts);
    if (n_parts > LARGEST_GRID_Y)
        return cudaErrorInvalidConfiguration;
    const cudaError_t error = CU_LAUNCH(part_sums_kernel, grid, dim3(ACROSS, DOWN), 0, stream, sum,
                                        scratch, x, factor, y, scale, rows, columns);
    if (error != cudaSuccess || n_parts == 1)
        return error;
    return launch_join_sums(stream, sum, scratch, n_parts, columns, true);
}

extern "C" cudaError_t launch_column_sums(cudaStream_t stream, float *sum, float *scratch,
                                          const float *x, int64_t rows, int64_t columns)
{
    return sum_parts(stream, sum, scratch, x, NULL, NULL, NULL, rows, columns);
}

extern "C" cudaError_t launch_scale_columns_backward(cudaStream_t stream, float *d_x, float *d_v,
                                                     float *scratch, const float *x, const float *v,
                                                     const float *d_y, int64_t rows,
                                                     int64_t columns)
{
    return sum_parts(stream, d_v, scratch, d_y, x, d_x, v, rows, columns);
}

/* Block (i, e) sums columns 32 i .. of expert e's rows. Reads 4 bytes a number. */
__global__ void grouped_sums_kernel(float *sum, const float *x, const int32_t *offsets,
                                    int64_t n_groups, int64_t columns)
{
    CU_SHARED(float, part, [DOWN][ACROSS]);
    const int64_t column = (int64_t)blockIdx.x * ACROSS + threadIdx.x;
    for (int64_t e = blockIdx.y; e < n_groups; e += gridDim.y) {
        const float total =
            sum_columns(x, NULL, NULL, NULL, offsets[e], offsets[e + 1], column, columns, part);
        if (threadIdx.y == 0 && column < columns)
            sum[e * columns + column] += total;
    }
}

extern "C" cudaError_t launch_grouped_column_sums(cudaStream_t stream, float *sum, const float *x,
                                                  const int32_t *offsets, int64_t n_groups,
                                                  int64_t columns)
{
    if (n_groups == 0 || columns == 0)
        return cudaSuccess;
    const dim3 grid((unsigned)((columns + ACROSS - 1) / ACROSS), grid_of(n_groups, 1));
    return CU_LAUNCH(grouped_sums_kernel, grid, dim3(ACROSS, DOWN), 0, stream, sum, x, offsets,
                     n_groups, columns);
}

/* -- sums of squares -- */

enum { SQUARE_BLOCKS = 1024 };

extern "C" size_t sum_squares_scratch(void)
{
    return SQUARE_BLOCKS * sizeof(float);
}

/* Each thread sums four runs of its own, each block its threads, into parts [blocks]. Reads 4 bytes
 * a number. */
__global__ void square_parts_kernel(float *parts, const float *x, int64_t count, int64_t n_fours)
{
    CU_SHARED(float, part, [WARP]);
    float4 sum = {0, 0, 0, 0};
    for (int64_t i = thread_index(); i < n_fours; i += thread_count()) {
        const float4 four = ((const float4 *)x)[i];
        sum = {fmaf(four.x, four.x, sum.x), fmaf(four.y, four.y, sum.y),
               fmaf(four.z, four.z, sum.z), fmaf(four.w, four.w, sum.w)};
    }
    for (int64_t i = 4 * n_fours + thread_index(); i < count; i += thread_count())
        sum.x = fmaf(x[i], x[i], sum.x);
    const float total = block_sum((sum.x + sum.y) + (sum.z + sum.w), part);
    if (threadIdx.x == 0)
        parts[blockIdx.x] = total;
}

/* One block joins them. */
__global__ void square_join_kernel(float *sum, const float *parts, int n_parts)
{
    CU_SHARED(float, part, [WARP]);
    float total = 0;
    for (int i = (int)threadIdx.x; i < n_parts; i += (int)blockDim.x)
        total += parts[i];
    total = block_sum(total, part);
    if (threadIdx.x == 0)
        sum[0] += total;
}

extern "C" cudaError_t launch_sum_squares(cudaStream_t stream, float *sum, float *scratch,
                                          const float *x, int64_t count)
{
    if (count == 0)
        return cudaSuccess;
    const int64_t n_fours = is_aligned(x) ? count / 4 : 0,
                  needed = (count + 4 * BLOCK - 1) / (4 * BLOCK);
    const int n_blocks = (int)(needed < SQUARE_BLOCKS ? needed : (int64_t)SQUARE_BLOCKS);
    const cudaError_t error = CU_LAUNCH(square_parts_kernel, (unsigned)n_blocks, BLOCK, 0, stream,
                                        scratch, x, count, n_fours);
    if (error != cudaSuccess)
        return error;
    return CU_LAUNCH(square_join_kernel, 1, BLOCK, 0, stream, sum, scratch, n_blocks);
}
