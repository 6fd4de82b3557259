/* The largest K of each row, one kernel for the gate and the beam search, with the logarithm of the
 * row's sum of exponentials where the search wants it.
 *
 * Numbers are compared as 64-bit keys, their order above their place counted from the end: all keys
 * differ, ties go to the lower index, and the same K are found in whatever order they are met. */
#include "backend/cuda/device.h"

typedef unsigned long long wide_key; /* the type of CUDA's 64-bit shuffles */

/* -- narrow rows, few K: a warp a row, all in registers -- */

/* A lane's largest number among those left; ties go to the lower place. */
template <int ITEMS> struct lane_items {
    float item[ITEMS]; /* of place lane + 32 i; NaN counts as -infinity */
    uint32_t left;     /* bit i: item i was not chosen yet */
    float best;
    int place; /* of the best; behind all places when none is left */

    __device__ __forceinline__ void load(const float *row, int width)
    {
        left = 0;
#pragma unroll
        for (int i = 0; i < ITEMS; i++) {
            const int at = lane_index() + WARP * i;
            item[i] = at < width ? row[at] : -INFINITY;
            if (isnan(item[i]))
                item[i] = -INFINITY;
            left |= at < width ? 1u << i : 0;
        }
        find_best();
    }

    __device__ __forceinline__ void find_best()
    {
        best = -INFINITY;
        place = INT32_MAX;
#pragma unroll
        for (int i = 0; i < ITEMS; i++)
            if (left >> i & 1 && (item[i] > best || place == INT32_MAX)) {
                best = item[i];
                place = lane_index() + WARP * i;
            }
    }

    /* Takes the warp's best away from its lane. */
    __device__ __forceinline__ void take(int taken)
    {
        if (taken != place)
            return;
        left &= ~(1u << (taken / WARP));
        find_best();
    }
};

/* The largest of all lanes' numbers, and its place. */
__device__ __forceinline__ void warp_best(float *best, int *place)
{
#pragma unroll
    for (int apart = WARP / 2; apart > 0; apart /= 2) {
        const float other = __shfl_xor_sync(FULL_WARP, *best, apart);
        const int other_place = __shfl_xor_sync(FULL_WARP, *place, apart);
        if (other > *best || (other == *best && other_place < *place)) {
            *best = other;
            *place = other_place;
        }
    }
}

/* Rows of up to 32 ITEMS numbers, k <= 32: a warp finds one after the other, lane i keeps the i-th.
 * Reads 4 bytes a number, again from the caches for the logarithm, and writes 8 a choice. */
template <int ITEMS>
__global__ void top_k_warp_kernel(float *values, int32_t *indices, float *log_sums, const float *x,
                                  int64_t rows, int width, int k)
{
    const int lane = lane_index();
    for (int64_t n = warp_index(); n < rows; n += warp_count()) {
        struct lane_items<ITEMS> items;
        items.load(x + n * width, width);
        float value = 0;
        int index = 0;
        for (int i = 0; i < k; i++) {
            float best = items.best;
            int place = items.place;
            warp_best(&best, &place);
            items.take(place);
            value = lane == i ? best : value;
            index = lane == i ? place : index;
        }
        if (lane < k) {
            values[n * k + lane] = value;
            indices[n * k + lane] = index;
        }
        if (!log_sums)
            continue;
        const struct exp_sum sum = warp_row_exp_sum(x + n * width, width);
        if (lane == 0)
            log_sums[n] = sum.largest + exp_sum_log(sum);
    }
}

/* -- wide rows, many K: a block a row -- */

enum { GROUP = 16, N_GROUPS = WIDE_BLOCK / GROUP }; /* of threads, for the first threshold */

/* What a block finds in a row; the pointers are to shared memory. */
struct finder {
    wide_key *kept;     /* [capacity], all of them at least the threshold */
    int *n_kept;        /* for the threads to add to */
    wide_key *groups;   /* [N_GROUPS] */
    int capacity, step; /* numbers looked at between two barriers; capacity = 2 step */
    wide_key below;     /* only keys below it are wanted */
    wide_key threshold; /* smaller keys are not among the wanted */
};

/* The key of place `at`; 0, which no number has, where it is none of those wanted. */
__device__ __forceinline__ wide_key key_of(float x, int at, int width, wide_key below)
{
    const wide_key key = (wide_key)order_of(x) << 32 | (uint32_t)~at;
    return at < width && key < below ? key : 0;
}

__device__ __forceinline__ wide_key larger(wide_key a, wide_key b)
{
    return a > b ? a : b;
}

/* A key that at least `count` <= 32 of the block's keys reach: the count-th of the largest in 32
 * groups of threads. It lets few through that are not wanted. The block has 512 threads. */
__device__ __forceinline__ wide_key first_threshold(const struct finder *finder,
                                                    const wide_key key[4], int count)
{
    wide_key best = larger(larger(key[0], key[1]), larger(key[2], key[3]));
#pragma unroll
    for (int apart = GROUP / 2; apart > 0; apart /= 2)
        best = larger(best, __shfl_xor_sync(FULL_WARP, best, apart));
    if (threadIdx.x % GROUP == 0)
        finder->groups[threadIdx.x / GROUP] = best;
    __syncthreads();
    const int lane = lane_index();
    best = finder->groups[lane];
    int rank = 0;
    for (int i = 0; i < N_GROUPS; i++) {
        const wide_key other = __shfl_sync(FULL_WARP, best, i);
        rank += other > best || (other == best && i < lane);
    }
    const int holder = __ffs((int)__ballot_sync(FULL_WARP, rank == count - 1)) - 1;
    return __shfl_sync(FULL_WARP, best, holder);
}

/* Appends a thread's key, if it is wanted, behind those of the lanes before. */
__device__ __forceinline__ void keep(const struct finder *finder, wide_key key)
{
    const bool is_wanted = key != 0 && key >= finder->threshold;
    const uint32_t wanted = __ballot_sync(FULL_WARP, is_wanted);
    const int lane = lane_index();
    int at = 0;
    if (lane == 0 && wanted)
        at = atomicAdd(finder->n_kept, __popc(wanted));
    at = __shfl_sync(FULL_WARP, at, 0);
    if (is_wanted)
        finder->kept[at + __popc(wanted & ((1u << lane) - 1))] = key;
}

/* Sorts the kept keys, largest first (bitonic, Batcher 1968). Every thread comes here between
 * barriers. */
__device__ void sort_kept(const struct finder *finder, int n_kept)
{
    const int n_threads = (int)blockDim.x;
    int size = 2;
    while (size < n_kept)
        size *= 2;
    for (int i = n_kept + (int)threadIdx.x; i < size; i += n_threads)
        finder->kept[i] = 0;
    __syncthreads();
    for (int run = 2; run <= size; run *= 2)
        for (int apart = run / 2; apart > 0; apart /= 2) {
            for (int p = (int)threadIdx.x; p < size / 2; p += n_threads) {
                const int i = 2 * p - (p & (apart - 1));
                const wide_key a = finder->kept[i], b = finder->kept[i + apart];
                if ((a < b) == ((i & run) == 0)) {
                    finder->kept[i] = b;
                    finder->kept[i + apart] = a;
                }
            }
            __syncthreads();
        }
}

/* Leaves the count largest keys below `below` in kept, sorted. With has_sum, sum gets the thread's
 * share of the row's exponentials, as block_row_exp_sum() of loss.cu makes it. */
__device__ __forceinline__ void find_largest(struct finder *finder, const float *row, int width,
                                             bool is_aligned, int count, bool has_sum,
                                             struct exp_sum *sum)
{
    finder->threshold = 0;
    if (threadIdx.x == 0)
        *finder->n_kept = 0;
    __syncthreads();
    float4 ahead = load_four(row, 4 * (int)threadIdx.x, width, is_aligned, -INFINITY);
    for (int first = 0; first < width; first += finder->step) {
        const int at = first + 4 * (int)threadIdx.x;
        const float4 a = ahead;
        ahead = load_four(row, at + finder->step, width, is_aligned, -INFINITY);
        const wide_key key[4] = {
            key_of(a.x, at, width, finder->below), key_of(a.y, at + 1, width, finder->below),
            key_of(a.z, at + 2, width, finder->below), key_of(a.w, at + 3, width, finder->below)};
        if (has_sum && at < width)
            exp_sum_add_four(sum, a);
        if (first == 0 && count <= N_GROUPS && blockDim.x == WIDE_BLOCK)
            finder->threshold = first_threshold(finder, key, count);
#pragma unroll
        for (int i = 0; i < 4; i++)
            keep(finder, key[i]);
        __syncthreads();
        const int n_kept = *finder->n_kept;
        __syncthreads();
        const bool is_last = first + finder->step >= width;
        if (!is_last && n_kept <= finder->capacity - finder->step)
            continue;
        sort_kept(finder, n_kept);
        if (is_last || n_kept <= count)
            continue;
        finder->threshold = finder->kept[count - 1];
        if (threadIdx.x == 0)
            *finder->n_kept = count;
        __syncthreads();
    }
}

/* A block a row: keys that reach a threshold are kept in shared memory, and when that is full
 * sorted, cut to K, and the threshold raised. Above step of K the row is gone over again for the
 * next so many. Reads 4 bytes a number for each step of K, and writes 8 a choice. */
__global__ void top_k_block_kernel(float *values, int32_t *indices, float *log_sums, const float *x,
                                   int64_t rows, int width, int k, bool is_aligned)
{
    CU_SHARED_DYNAMIC(wide_key, kept);
    CU_SHARED(wide_key, groups, [N_GROUPS]);
    CU_SHARED(int, n_kept, [1]);
    CU_SHARED(struct exp_sum, part, [WARP]);
    struct finder finder = {kept, n_kept, groups, 8 * (int)blockDim.x, 4 * (int)blockDim.x, 0, 0};
    for (int64_t n = blockIdx.x; n < rows; n += gridDim.x) {
        const float *row = x + n * width;
        struct exp_sum sum = exp_sum_none();
        finder.below = ~(wide_key)0;
        for (int done = 0; done < k; done += finder.step) {
            const int count = k - done < finder.step ? k - done : finder.step;
            find_largest(&finder, row, width, is_aligned, count, log_sums && done == 0, &sum);
            for (int i = (int)threadIdx.x; i < count; i += (int)blockDim.x) {
                const int index = (int)~(uint32_t)kept[i];
                values[n * k + done + i] = isnan(row[index]) ? -INFINITY : row[index];
                indices[n * k + done + i] = index;
            }
            finder.below = kept[count - 1];
        }
        if (!log_sums)
            continue;
        sum = block_exp_sum(sum, part);
        if (threadIdx.x == 0)
            log_sums[n] = sum.largest + exp_sum_log(sum);
    }
}

/* -- choosing the kernel, by width and k alone -- */

static cudaError_t launch_block(cudaStream_t stream, float *values, int32_t *indices,
                                float *log_sums, const float *x, int64_t rows, int64_t width,
                                int64_t k)
{
    int n_threads = 2 * WARP;
    while (n_threads < WIDE_BLOCK && 4 * n_threads < width)
        n_threads *= 2;
    return CU_LAUNCH(top_k_block_kernel, grid_of(rows, 1), n_threads,
                     8 * (size_t)n_threads * sizeof(wide_key), stream, values, indices, log_sums, x,
                     rows, (int)width, (int)k, rows_aligned(width, x, NULL, NULL));
}

template <int ITEMS>
static cudaError_t launch_warp(cudaStream_t stream, float *values, int32_t *indices,
                               float *log_sums, const float *x, int64_t rows, int64_t width,
                               int64_t k)
{
    enum { TOP_K_BLOCK = 128 };
    return CU_LAUNCH(top_k_warp_kernel<ITEMS>, grid_of(rows, TOP_K_BLOCK / WARP), TOP_K_BLOCK, 0,
                     stream, values, indices, log_sums, x, rows, (int)width, (int)k);
}

extern "C" cudaError_t launch_top_k(cudaStream_t stream, float *values, int32_t *indices,
                                    float *log_sums, const float *x, int64_t rows, int64_t width,
                                    int64_t k)
{
    if (rows == 0)
        return cudaSuccess;
    if (width > NARROW_ROW)
        return launch_block(stream, values, indices, log_sums, x, rows, width, k);
    if (k > WARP) {
        const cudaError_t error = launch_block(stream, values, indices, NULL, x, rows, width, k);
        if (error != cudaSuccess || !log_sums)
            return error;
        return launch_log_sum_exp(stream, log_sums, x, rows, width);
    }
    if (width <= 2 * WARP)
        return launch_warp<2>(stream, values, indices, log_sums, x, rows, width, k);
    if (width <= 8 * WARP)
        return launch_warp<8>(stream, values, indices, log_sums, x, rows, width, k);
    return launch_warp<32>(stream, values, indices, log_sums, x, rows, width, k);
}
