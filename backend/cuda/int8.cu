/* Products with weights in int8: rows are rounded by their own scale, sums of products are exact
 * integers, and a result is rounded in the same steps as the reference's (backend/quantize.h). */
#include "backend/cuda/device.h"

/* A warp a row [in] of x finds its largest magnitude and rounds it to q [padded], zeros behind.
 * Reads 4 bytes a number, again from the caches, and writes 1. */
__global__ void round_rows_kernel(int32_t *q, float *scales, const float *x, int64_t rows, int in,
                                  int padded)
{
    const int lane = lane_index();
    for (int64_t n = warp_index(); n < rows; n += warp_count()) {
        const float *row = x + n * in;
        float largest = 0;
        bool is_nan = false;
        for (int d = lane; d < in; d += WARP) {
            largest = fmaxf(largest, fabsf(row[d]));
            is_nan |= isnan(row[d]);
        }
        largest = warp_max(largest);
        if (__any_sync(FULL_WARP, is_nan))
            largest = NAN;
        float scale = 0, inverse = 0;
        if (!(largest <= 3.40282347e38f)) {
            scale = NAN;
        } else if (largest >= 0x1p-100f) {
            scale = __fdiv_rn(largest, INT8_MAX_STEP);
            inverse = __fdiv_rn(INT8_MAX_STEP, largest);
        }
        for (int d = 4 * lane; d < padded; d += 4 * WARP) {
            uint32_t four = 0;
            for (int i = 0; i < 4 && inverse > 0; i++)
                if (d + i < in) {
                    const int step = __float2int_rn(__fmul_rn(row[d + i], inverse));
                    four |= (uint32_t)(step & 0xff) << (8 * i);
                }
            q[(n * padded + d) / 4] = (int32_t)four;
        }
        if (lane == 0)
            scales[n] = scale;
    }
}

extern "C" cudaError_t launch_int8_round_rows(cudaStream_t stream, void *q, float *scales,
                                              const float *x, int64_t rows, int64_t in)
{
    if (rows == 0)
        return cudaSuccess;
    const int64_t padded = (in + INT8_INPUTS - 1) / INT8_INPUTS * INT8_INPUTS;
    return CU_LAUNCH(round_rows_kernel, grid_of(rows, BLOCK / WARP), BLOCK, 0, stream, (int32_t *)q,
                     scales, x, rows, (int)in, (int)padded);
}

/* Four inputs stand in one word, and four columns are a thread's. */
enum {
    INPUT_WORDS = INT8_INPUTS / 4, /* of a step */
    TILE_COLUMNS = 64,
    COLUMN_THREADS = TILE_COLUMNS / 4,
    ROW_THREADS = 8,
    INT8_BLOCK = COLUMN_THREADS * ROW_THREADS,
    BLOCK_WORDS = INPUT_WORDS * INT8_COLUMNS /* of 16 columns in one step */
};

/* A step's part of the weights, 64 columns x 64 inputs, to shared memory: of each block of 16
 * columns 1 KiB that lies together. */
__device__ __forceinline__ void load_weights(int (*w)[TILE_COLUMNS], const int32_t *blocks,
                                             int64_t first_block, int64_t n_blocks, int64_t words,
                                             int64_t step)
{
    for (int i = (int)threadIdx.x; i < TILE_COLUMNS * INPUT_WORDS / 4; i += INT8_BLOCK) {
        const int block = 4 * i / BLOCK_WORDS, at = 4 * i % BLOCK_WORDS;
        int4 four = {0, 0, 0, 0};
        if (first_block + block < n_blocks)
            four = *(const int4 *)(blocks + (first_block + block) * words * INT8_COLUMNS +
                                   step * BLOCK_WORDS + at);
        *(int4 *)&w[at / INT8_COLUMNS][block * INT8_COLUMNS + at % INT8_COLUMNS] = four;
    }
}

/* What becomes of a sum. No product and sum may be fused here. */
__device__ __forceinline__ void finish_number(float *y, int sum, float row_scale, float scale,
                                              const float *bias, struct int8_rule rule)
{
    float value = __fmul_rn((float)sum, __fmul_rn(row_scale, scale));
    if (bias)
        value = __fadd_rn(value, *bias);
    if (rule.accumulate)
        value = __fadd_rn(value, *y);
    *y = activated(value, rule.activation);
}

/* Block (i, j) makes columns 64 i .. of rows 8 ROWS j .., a thread four columns of ROWS rows; step
 * by step 64 inputs of both sides go through shared memory. With groups a tile is gone over once
 * for each group that its rows belong to. Reads the weights, 1 byte a number, once for each 8 ROWS
 * rows, and rows of q once for each 64 columns; few rows are bound by the weights' bytes, many by
 * dp4a. */
template <int ROWS>
__global__ void int8_linear_kernel(float *y, struct int8_operands x, struct int8_shape shape,
                                   struct int8_rule rule)
{
    CU_SHARED(int4, w_memory, [INPUT_WORDS * TILE_COLUMNS / 4]);
    CU_SHARED(int, q, [ROWS * ROW_THREADS][INPUT_WORDS]);
    int(*w)[TILE_COLUMNS] = (int(*)[TILE_COLUMNS])w_memory;
    const int tx = (int)threadIdx.x % COLUMN_THREADS, ty = (int)threadIdx.x / COLUMN_THREADS;
    const int64_t column = (int64_t)blockIdx.x * TILE_COLUMNS;
    const int64_t words = (shape.in + INT8_INPUTS - 1) / INT8_INPUTS * INPUT_WORDS;
    const int64_t n_blocks = (shape.out + INT8_COLUMNS - 1) / INT8_COLUMNS;
    const int64_t n_tiles = (shape.rows + ROWS * ROW_THREADS - 1) / (ROWS * ROW_THREADS);
    for (int64_t tile = blockIdx.y; tile < n_tiles; tile += gridDim.y) {
        const int64_t start = tile * ROWS * ROW_THREADS, end = start + ROWS * ROW_THREADS;
        const int64_t last = end < shape.rows ? end : shape.rows;
        for (int64_t row = start; row < last;) {
            const int group = run_of(x.offsets, shape.n_groups, row);
            const int64_t next =
                x.offsets && x.offsets[group + 1] < last ? x.offsets[group + 1] : last;
            const int64_t matrix = x.slots ? x.slots[group] : group;
            const int32_t *blocks = x.blocks + matrix * n_blocks * words * INT8_COLUMNS;
            int sum[ROWS][4] = {};
            for (int64_t step = 0; step < words / INPUT_WORDS; step++) {
                load_weights(w, blocks, column / INT8_COLUMNS, n_blocks, words, step);
                for (int i = (int)threadIdx.x; i < ROWS * ROW_THREADS * INPUT_WORDS;
                     i += INT8_BLOCK) {
                    const int64_t n = start + i / INPUT_WORDS;
                    q[i / INPUT_WORDS][i % INPUT_WORDS] =
                        n >= row && n < next ? x.q[n * words + step * INPUT_WORDS + i % INPUT_WORDS]
                                             : 0;
                }
                __syncthreads();
#pragma unroll
                for (int i = 0; i < INPUT_WORDS; i++) {
                    const int4 four = *(const int4 *)&w[i][4 * tx];
#pragma unroll
                    for (int r = 0; r < ROWS; r++) {
                        const int a = q[ty + r * ROW_THREADS][i];
                        sum[r][0] = __dp4a(a, four.x, sum[r][0]);
                        sum[r][1] = __dp4a(a, four.y, sum[r][1]);
                        sum[r][2] = __dp4a(a, four.z, sum[r][2]);
                        sum[r][3] = __dp4a(a, four.w, sum[r][3]);
                    }
                }
                __syncthreads();
            }
#pragma unroll
            for (int r = 0; r < ROWS; r++)
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    const int64_t n = start + ty + r * ROW_THREADS, j = column + 4 * tx + i;
                    if (n >= row && n < next && j < shape.out)
                        finish_number(y + n * shape.out + j, sum[r][i], x.row_scales[n],
                                      x.scales[group * shape.out + j],
                                      x.bias ? x.bias + group * shape.out + j : NULL, rule);
                }
            row = next;
        }
    }
}

template <int ROWS>
static cudaError_t launch_tiles(cudaStream_t stream, float *y, struct int8_operands x,
                                struct int8_shape shape, struct int8_rule rule)
{
    const dim3 grid((unsigned)((shape.out + TILE_COLUMNS - 1) / TILE_COLUMNS),
                    grid_of(shape.rows, ROWS * ROW_THREADS));
    return CU_LAUNCH(int8_linear_kernel<ROWS>, grid, INT8_BLOCK, 0, stream, y, x, shape, rule);
}

extern "C" cudaError_t launch_int8_linear(cudaStream_t stream, float *y, struct int8_operands x,
                                          struct int8_shape shape, struct int8_rule rule)
{
    if (shape.rows == 0 || shape.out == 0)
        return cudaSuccess;
    if (!is_aligned(x.blocks))
        return cudaErrorMisalignedAddress;
    if (shape.rows <= ROW_THREADS)
        return launch_tiles<1>(stream, y, x, shape, rule);
    return launch_tiles<4>(stream, y, x, shape, rule);
}
