/* A stable counting sort of whole numbers below a bound: experts of choices, ids of tokens.
 *
 * Tiles of 512 keys are counted apart (rank), the counts become starts (prefix, scan), and each key
 * finds its place (place): the same order every time, without a race for places. */
#include "backend/cuda/device.h"

enum { SORT_TILE = 512, SCAN_BLOCK = 1024 };

static int64_t tile_count(int64_t count)
{
    return (count + SORT_TILE - 1) / SORT_TILE;
}

extern "C" size_t sort_scratch(int64_t count, int64_t n_bins)
{
    return (size_t)(tile_count(count) * n_bins) * sizeof(int32_t);
}

/* A block's thread i counts the keys of its tile that equal key i, before it and behind it: the
 * first is its rank, and the last of its kind writes how many there are. counts [n_tiles, n_bins]
 * is zero before. Reads and writes 4 bytes a key, and 2 x 256 reads of shared memory a key. */
__global__ void rank_kernel(int32_t *rank, int32_t *counts, const int32_t *keys, int64_t count,
                            int64_t n_bins)
{
    CU_SHARED(int4, tile, [SORT_TILE / 4]);
    for (int64_t first = (int64_t)blockIdx.x * SORT_TILE; first < count;
         first += (int64_t)gridDim.x * SORT_TILE) {
        const int i = (int)threadIdx.x;
        const int key = first + i < count ? keys[first + i] : -1;
        ((int *)tile)[i] = key;
        __syncthreads();
        int before = 0, behind = 0;
        for (int j = 0; j < SORT_TILE; j += 4) {
            const int4 four = tile[j / 4];
            const int is_equal[4] = {four.x == key, four.y == key, four.z == key, four.w == key};
#pragma unroll
            for (int m = 0; m < 4; m++) {
                before += j + m < i ? is_equal[m] : 0;
                behind += j + m > i ? is_equal[m] : 0;
            }
        }
        __syncthreads();
        if (first + i >= count)
            continue;
        rank[first + i] = before;
        if (behind == 0)
            counts[first / SORT_TILE * n_bins + key] = before + 1;
    }
}

/* A thread for each bin: its counts [n_tiles] become the numbers of keys before each tile, and
 * totals [n_bins] their sum. Reads and writes 4 bytes a count, in rows. */
__global__ void tile_prefix_kernel(int32_t *totals, int32_t *counts, int64_t n_tiles,
                                   int64_t n_bins)
{
    for (int64_t bin = thread_index(); bin < n_bins; bin += thread_count()) {
        int32_t total = 0;
        for (int64_t tile = 0; tile < n_tiles; tile++) {
            const int32_t here = counts[tile * n_bins + bin];
            counts[tile * n_bins + bin] = total;
            total += here;
        }
        totals[bin] = total;
    }
}

/* The sum of x over the threads before, in a block of 1024; *total gets that of all. part [32] is
 * shared memory. */
__device__ __forceinline__ int32_t block_prefix(int32_t x, int32_t *total, int32_t *part)
{
    const int lane = lane_index(), warp = (int)threadIdx.x / WARP;
    int32_t sum = x;
#pragma unroll
    for (int apart = 1; apart < WARP; apart *= 2) {
        const int32_t other = __shfl_up_sync(FULL_WARP, sum, apart);
        sum += lane >= apart ? other : 0;
    }
    if (lane == WARP - 1)
        part[warp] = sum;
    __syncthreads();
    int32_t before = 0, all = 0;
    for (int w = 0; w < SCAN_BLOCK / WARP; w++) {
        before += w < warp ? part[w] : 0;
        all += part[w];
    }
    __syncthreads();
    *total = all;
    return before + sum - x;
}

/* One block replaces x [n] by the sums of what stood before each, and writes that of all behind
 * them. Reads and writes 4 bytes a number. */
__global__ void scan_kernel(int32_t *x, int64_t n)
{
    CU_SHARED(int32_t, part, [WARP]);
    int32_t before = 0;
    for (int64_t first = 0; first < n; first += SCAN_BLOCK) {
        const int64_t i = first + threadIdx.x;
        int32_t total;
        const int32_t sum = block_prefix(i < n ? x[i] : 0, &total, part);
        if (i < n)
            x[i] = before + sum;
        before += total;
    }
    if (threadIdx.x == 0)
        x[n] = before;
}

extern "C" cudaError_t launch_scan(cudaStream_t stream, int32_t *x, int64_t n)
{
    return CU_LAUNCH(scan_kernel, 1, SCAN_BLOCK, 0, stream, x, n);
}

/* rank becomes the key's place among all. Reads 16 bytes a key, half of them anywhere. */
__global__ void place_kernel(int32_t *rank, const int32_t *offsets, const int32_t *counts,
                             const int32_t *keys, int64_t count, int64_t n_bins)
{
    for (int64_t i = thread_index(); i < count; i += thread_count())
        rank[i] += offsets[keys[i]] + counts[i / SORT_TILE * n_bins + keys[i]];
}

extern "C" cudaError_t launch_sort(cudaStream_t stream, int32_t *place, int32_t *offsets,
                                   int32_t *scratch, const int32_t *keys, int64_t count,
                                   int64_t n_bins)
{
    const int64_t n_tiles = tile_count(count);
    cudaError_t error = cudaSuccess;
    if (n_tiles > 0)
        error = cudaMemsetAsync(scratch, 0, sort_scratch(count, n_bins), stream);
    if (error == cudaSuccess && n_tiles > 0)
        error = CU_LAUNCH(rank_kernel, grid_of(n_tiles, 1), SORT_TILE, 0, stream, place, scratch,
                          keys, count, n_bins);
    if (error == cudaSuccess)
        error = CU_LAUNCH(tile_prefix_kernel, grid_of(n_bins, BLOCK), BLOCK, 0, stream, offsets,
                          scratch, n_tiles, n_bins);
    if (error == cudaSuccess)
        error = launch_scan(stream, offsets, n_bins);
    if (error == cudaSuccess && n_tiles > 0)
        error = CU_LAUNCH(place_kernel, grid_of(count, BLOCK), BLOCK, 0, stream, place, offsets,
                          scratch, keys, count, n_bins);
    return error;
}
