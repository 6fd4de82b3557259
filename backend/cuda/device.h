/* What the kernels share: launch shapes, sums over warps and blocks, loads of four numbers, random
 * words, and the softmax's running sum. Only kernel files include it.
 *
 * Sums are made in an order that follows from the shapes alone, so that the same call gives the
 * same bits every time, and a row's result does not depend on the rows beside it. */
#ifndef MIXT_BACKEND_CUDA_DEVICE_H
#define MIXT_BACKEND_CUDA_DEVICE_H

#include "backend/cuda/cu.h"
#include "backend/cuda/kernels.h"

#define FULL_WARP 0xffffffffu

enum {
    WARP = 32,
    BLOCK = 256,       /* threads of a block where nothing speaks for another number */
    WIDE_BLOCK = 512,  /* of one that works on one wide row at a time */
    NARROW_ROW = 1024, /* rows up to this width are one warp's work, wider ones a block's */
    LARGEST_GRID_Y = 65535
};

/* Blocks of a launch whose kernel goes on with a stride; tests make it small. */
#ifndef LARGEST_GRID
#    define LARGEST_GRID 65535
#endif

/* -- launch shapes; on the host -- */

/* Blocks for so many items; kernels go on with a stride where there are more. */
static inline unsigned grid_of(int64_t n_items, int64_t per_block)
{
    const int64_t n_blocks = (n_items + per_block - 1) / per_block;
    return (unsigned)(n_blocks < LARGEST_GRID ? n_blocks : (int64_t)LARGEST_GRID);
}

/* A block for rows of n_items: x walks along a row, y over rows. */
static inline dim3 row_block(int64_t n_items)
{
    unsigned x = WARP;
    while (x < BLOCK && x < n_items)
        x *= 2;
    return dim3(x, BLOCK / x);
}

static inline bool is_aligned(const void *p)
{
    return (uintptr_t)p % 16 == 0;
}

/* True where each row can be read and written in fours. NULL counts as aligned. */
static inline bool rows_aligned(int64_t width, const void *a, const void *b, const void *c)
{
    return width % 4 == 0 && is_aligned(a) && is_aligned(b) && is_aligned(c);
}

/* -- where a thread works -- */

__device__ __forceinline__ int64_t thread_index()
{
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

__device__ __forceinline__ int64_t thread_count()
{
    return (int64_t)gridDim.x * blockDim.x;
}

/* Of blocks as row_block() makes them. */
__device__ __forceinline__ int64_t first_row()
{
    return (int64_t)blockIdx.x * blockDim.y + threadIdx.y;
}

__device__ __forceinline__ int64_t row_step()
{
    return (int64_t)gridDim.x * blockDim.y;
}

/* Where a warp is what works on a row. */
__device__ __forceinline__ int64_t warp_index()
{
    return ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / WARP;
}

__device__ __forceinline__ int64_t warp_count()
{
    return (int64_t)gridDim.x * blockDim.x / WARP;
}

__device__ __forceinline__ int lane_index()
{
    return (int)(threadIdx.x % WARP);
}

/* The run that holds entry `at`: the first r with starts[r + 1] > at; NULL: 0. Group of a token,
 * token of a choice. n_runs >= 1. */
__device__ inline int run_of(const int32_t *starts, int64_t n_runs, int64_t at)
{
    int64_t low = 0, high = starts ? n_runs - 1 : 0;
    while (low < high) {
        const int64_t middle = (low + high) / 2;
        if (starts[middle + 1] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return (int)low;
}

/* Token n's choices are first_of(n) .. first_of(n+1)-1: K each, or as starts says. */
__device__ __forceinline__ int64_t first_of(const int32_t *starts, int64_t k, int64_t n)
{
    return starts ? starts[n] : n * k;
}

/* The token of choice c. */
__device__ __forceinline__ int64_t token_of(const int32_t *starts, int64_t k, int64_t n_tokens,
                                            int64_t c)
{
    return starts ? run_of(starts, n_tokens, c) : c / k;
}

/* -- four numbers at once -- */

/* Numbers at .. at+3 of a row; `fill` beyond its width. Only speed depends on is_aligned. */
__device__ __forceinline__ float4 load_four(const float *row, int64_t at, int64_t width,
                                            bool is_aligned, float fill)
{
    if (is_aligned && at + 4 <= width)
        return *(const float4 *)(row + at);
    float4 four = {fill, fill, fill, fill};
    if (at < width)
        four.x = row[at];
    if (at + 1 < width)
        four.y = row[at + 1];
    if (at + 2 < width)
        four.z = row[at + 2];
    if (at + 3 < width)
        four.w = row[at + 3];
    return four;
}

__device__ __forceinline__ void store_four(float *row, int64_t at, int64_t width, bool is_aligned,
                                           float4 four)
{
    if (is_aligned && at + 4 <= width) {
        *(float4 *)(row + at) = four;
        return;
    }
    if (at < width)
        row[at] = four.x;
    if (at + 1 < width)
        row[at + 1] = four.y;
    if (at + 2 < width)
        row[at + 2] = four.z;
    if (at + 3 < width)
        row[at + 3] = four.w;
}

/* -- sums -- */

/* Every lane gets the sum; so do the others below. */
__device__ __forceinline__ float warp_sum(float x)
{
#pragma unroll
    for (int apart = WARP / 2; apart > 0; apart /= 2)
        x += __shfl_xor_sync(FULL_WARP, x, apart);
    return x;
}

__device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int apart = WARP / 2; apart > 0; apart /= 2)
        x = fmaxf(x, __shfl_xor_sync(FULL_WARP, x, apart));
    return x;
}

/* Over a block of up to 32 warps; part [32] is shared memory, free again afterwards. Every thread
 * of the block must come here. */
__device__ __forceinline__ float block_sum(float x, float *part)
{
    const int n_warps = (int)(blockDim.x * blockDim.y) / WARP;
    const int thread = (int)(threadIdx.y * blockDim.x + threadIdx.x);
    x = warp_sum(x);
    if (thread % WARP == 0)
        part[thread / WARP] = x;
    __syncthreads();
    x = warp_sum(thread % WARP < n_warps ? part[thread % WARP] : 0);
    __syncthreads();
    return x;
}

/* -- softmax -- */

/* The sum of exp(x - largest) over some numbers: `count` of them are the largest, and the others
 * give `rest`, which is kept apart since it may be tiny beside 1. */
struct exp_sum {
    float largest, count, rest;
};

__device__ __forceinline__ struct exp_sum exp_sum_none()
{
    return {-INFINITY, 0, 0};
}

__device__ __forceinline__ void exp_sum_raise(struct exp_sum *sum, float largest)
{
    if (largest > sum->largest) {
        sum->rest = (sum->rest + sum->count) * expf(sum->largest - largest);
        sum->count = 0;
        sum->largest = largest;
    }
}

__device__ __forceinline__ void exp_sum_add(struct exp_sum *sum, float x)
{
    if (x == sum->largest)
        sum->count += 1;
    else
        sum->rest += expf(x - sum->largest);
}

/* A NaN leaves the largest as it is and makes the rest NaN. */
__device__ __forceinline__ void exp_sum_add_four(struct exp_sum *sum, float4 x)
{
    exp_sum_raise(sum, fmaxf(fmaxf(x.x, x.y), fmaxf(x.z, x.w)));
    exp_sum_add(sum, x.x);
    exp_sum_add(sum, x.y);
    exp_sum_add(sum, x.z);
    exp_sum_add(sum, x.w);
}

/* What a sum becomes below a largest number that may be another's. */
__device__ __forceinline__ struct exp_sum exp_sum_below(struct exp_sum sum, float largest)
{
    if (sum.largest != largest)
        return {largest, 0, (sum.rest + sum.count) * expf(sum.largest - largest)};
    return sum;
}

__device__ __forceinline__ struct exp_sum warp_exp_sum(struct exp_sum sum)
{
    sum = exp_sum_below(sum, warp_max(sum.largest));
    sum.count = warp_sum(sum.count);
    sum.rest = warp_sum(sum.rest);
    return sum;
}

/* part [32] as in block_sum(). */
__device__ __forceinline__ struct exp_sum block_exp_sum(struct exp_sum sum, struct exp_sum *part)
{
    const int n_warps = (int)blockDim.x / WARP, lane = lane_index();
    sum = warp_exp_sum(sum);
    if (lane == 0)
        part[threadIdx.x / WARP] = sum;
    __syncthreads();
    sum = warp_exp_sum(lane < n_warps ? part[lane] : exp_sum_none());
    __syncthreads();
    return sum;
}

/* log of the sum without the largest: NaN where that is infinite. */
__device__ __forceinline__ float exp_sum_log(struct exp_sum sum)
{
    if (isinf(sum.largest))
        return NAN;
    return logf(sum.count) + log1pf(sum.rest / sum.count);
}

__device__ __forceinline__ float exp_sum_value(struct exp_sum sum)
{
    return isinf(sum.largest) ? NAN : sum.count + sum.rest;
}

/* Of a row, by one warp. */
__device__ __forceinline__ struct exp_sum warp_row_exp_sum(const float *row, int width)
{
    struct exp_sum sum = exp_sum_none();
    for (int d = lane_index(); d < width; d += WARP) {
        exp_sum_raise(&sum, row[d]);
        exp_sum_add(&sum, row[d]);
    }
    return warp_exp_sum(sum);
}

/* -- activations; numbers as enum activation of backend.h, which elements.c compares -- */

enum { NONE, RELU, TANH, SIGMOID, CUBE };

__device__ __forceinline__ float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

__device__ __forceinline__ float activated(float x, int activation)
{
    if (activation == NONE)
        return x;
    if (activation == RELU)
        return x > 0 ? x : 0;
    if (activation == TANH)
        return tanhf(x);
    return activation == SIGMOID ? sigmoid(x) : x * x * x;
}

/* -- random numbers; the words of base/random.h -- */

__device__ __forceinline__ uint4 philox(struct philox_key key, uint32_t row, uint32_t block)
{
    uint32_t c0 = block, c1 = row, c2 = key.stream, c3 = key.step;
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {c0, c1, c2, c3};
}

/* -- order -- */

/* A number's place in the order of floats, as a whole number; NaN counts as -infinity, and -0 as 0.
 * Never 0. */
__device__ __forceinline__ uint32_t order_of(float x)
{
    if (isnan(x))
        x = -INFINITY;
    const uint32_t bits = __float_as_uint(x + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

#endif
