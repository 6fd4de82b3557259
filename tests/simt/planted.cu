#include "backend/cuda/cu.h"
#include "tests/simt/planted.h"

#define FULL 0xffffffffu

/* The greatest value or the sum over a block, the same in all threads; part[] holds one a warp. */
static __device__ float block_reduce(float v, float *part, bool is_max, int defect)
{
    for (int offset = 16; offset; offset >>= 1) {
        const float other = __shfl_xor_sync(FULL, v, offset);
        v = is_max ? fmaxf(v, other) : v + other;
    }
    const int n_warps = (int)blockDim.x / 32;
    if (defect != NO_BARRIER_BEFORE_REUSE)
        __syncthreads();
    if ((threadIdx.x & 31) == 0)
        part[threadIdx.x / 32] = v;
    if (defect != NO_BARRIER_AFTER_WRITE)
        __syncthreads();
    if (defect == DIVERGENT_BARRIER && threadIdx.x < 32)
        __syncthreads();
    if (defect == MISSING_THREAD && threadIdx.x)
        __syncthreads();
    v = part[0];
    for (int i = 1; i < n_warps + (defect == SHARED_UNWRITTEN); i++)
        v = is_max ? fmaxf(v, part[i]) : v + part[i];
    return v;
}

static __global__ void __launch_bounds__(256)
    softmax_kernel(float *y, const float *x, int n, int defect)
{
    CU_SHARED(float, part, [32]);
    const float *from = x + (size_t)blockIdx.x * n;
    float *to = y + (size_t)blockIdx.x * n;
    if (defect == EXIT_BEFORE_BARRIER && threadIdx.x >= 32)
        return;
    float top = -INFINITY, sum = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        top = fmaxf(top, from[i]);
    top = block_reduce(top, part, true, defect);
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        sum += expf(from[i] - top);
    sum = block_reduce(sum, part, false, defect);
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        to[i] = expf(from[i] - top) / sum;
}

/* One warp a row, the lower index of equal values. */
template <int n_warps>
static __global__ void top_kernel(int *index, const float *x, int n_rows, int n, int defect)
{
    const int row = blockIdx.x * n_warps + threadIdx.x / 32, lane = threadIdx.x & 31;
    if (row >= n_rows)
        return;
    const float *from = x + (size_t)row * n;
    float best = -INFINITY;
    int at = n;
    for (int i = lane; i < n + (defect == READ_OVERRUN); i += 32) {
        if (from[i] > best) {
            best = from[i];
            at = i;
        }
    }
    const unsigned mask = defect == SHUFFLE_MASK && lane < 16 ? 0xffffu : FULL;
    for (int offset = 16; offset; offset >>= 1) {
        if (defect == SHUFFLE_INACTIVE && lane == 31)
            break;
        const float other = __shfl_xor_sync(mask, best, offset);
        const int other_at = __shfl_xor_sync(FULL, at, offset);
        if (other > best || (other == best && other_at < at)) {
            best = other;
            at = other_at;
        }
    }
    if (lane == 0)
        index[row] = at;
}

/* 256 values a block: a tree over shared memory, whose last steps are one warp's. */
static __global__ void tree_sum_kernel(float *y, const float *x, int defect)
{
    CU_SHARED_DYNAMIC(float, part);
    const int i = threadIdx.x;
    part[i + (defect == SHARED_OVERRUN)] = x[blockIdx.x * blockDim.x + i];
    __syncthreads();
    for (int n = blockDim.x / 2; n >= 32; n /= 2) {
        if (i < n)
            part[i] += part[i + n];
        if (defect != NO_BARRIER_IN_TREE)
            __syncthreads();
    }
    for (int n = 16; i < 32 && n; n /= 2) {
        const float v = i < n ? part[i + n] : 0;
        if (defect != NO_SYNCWARP)
            __syncwarp();
        part[i] += v;
        if (defect != NO_SYNCWARP)
            __syncwarp();
    }
    if (i == 0)
        y[blockIdx.x] = part[0];
}

static __global__ void scatter_kernel(float *table, const int *row, const float *x, int n_rows,
                                      int n, int defect)
{
    const int i = blockIdx.x * blockDim.y + threadIdx.y;
    if (i >= n_rows)
        return;
    for (int j = threadIdx.x; j < n; j += blockDim.x) {
        float *to = &table[row[i] * n + j];
        if (defect == NO_ATOMIC)
            *to += x[i * n + j];
        else if (defect != ATOMIC_AND_READ || *to >= 0)
            atomicAdd(to, x[i * n + j]);
    }
}

static __global__ void square_kernel(__nv_bfloat16 *y, const float4 *x, int n4, int defect)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n4 + (defect == WRITE_OVERRUN))
        return;
    const float4 v = x[i < n4 ? i : 0];
    const float values[4] = {v.x, v.y, v.z, v.w};
    for (int k = 0; k < 4; k++)
        y[i * 4 + k] = __float2bfloat16(values[k] * values[k]);
}

/* Every thread of a warp passes a value on to the next lane, in several ways. */
static __global__ void pass_on_kernel(int *y, const int *x, int defect)
{
    CU_SHARED(int, slot, [32]);
    CU_SHARED(int *, place, [1]);
    const int lane = threadIdx.x, next = (lane + 1) % 32;
    int mine = x[blockIdx.x * 32 + lane];
    const int none[2] = {mine - mine, 0};
    slot[lane] = mine;
    if (defect == PARTIAL_SYNCWARP) {
        __syncwarp(lane < 16 ? 0xffffu : 0xffff0000u);
        __syncwarp(lane < 16 ? 0xffffu : 0xffff0000u);
    } else {
        __syncwarp();
    }
    int got = slot[next] + none[lane % 2 + (defect == LOCAL_OVERRUN)];
    if (lane == 0)
        place[0] = &mine;
    __syncwarp();
    const int first = slot[0];
    if (defect == OTHERS_LOCAL)
        got += *place[0] - first; /* which is 0 */
    if (defect == MANY_READERS && lane == 7)
        slot[0] = first + 1;
    __syncwarp();
    y[(defect == BLOCKS_MEET ? 0 : blockIdx.x * 32) + lane] = got;
}

/* Bytes of one word by four threads; none may disturb the others. */
static __global__ void bytes_kernel(uint8_t *y, int defect)
{
    const int i = threadIdx.x;
    if (defect == BYTE_IN_WORD && i == 0)
        *(uint32_t *)y = 0x03020100u;
    else
        y[i] = (uint8_t)i;
}

static __global__ void touch_kernel(int *p, int value)
{
    if (threadIdx.x == 0 && value)
        *p = value;
    else if (threadIdx.x == 0 && *p == 12345)
        __trap();
}

static __global__ void barriers_kernel(float *y, int n_rounds)
{
    float v = threadIdx.x;
    for (int i = 0; i < n_rounds; i++) {
        v = v * 1.0001f + 1;
        __syncthreads();
    }
    y[blockIdx.x * blockDim.x + threadIdx.x] = v;
}

extern "C" cudaError_t planted_softmax(cudaStream_t stream, int defect, float *y, const float *x,
                                       int n_rows, int n)
{
    return CU_LAUNCH(softmax_kernel, n_rows, 256, 0, stream, y, x, n, defect);
}

extern "C" cudaError_t planted_top(cudaStream_t stream, int defect, int *index, const float *x,
                                   int n_rows, int n)
{
    return CU_LAUNCH((top_kernel<4>), (n_rows + 3) / 4, 128, 0, stream, index, x, n_rows, n,
                     defect);
}

extern "C" cudaError_t planted_tree_sum(cudaStream_t stream, int defect, float *y, const float *x,
                                        int n_rows)
{
    return CU_LAUNCH(tree_sum_kernel, n_rows, 256, 256 * sizeof(float), stream, y, x, defect);
}

extern "C" cudaError_t planted_scatter(cudaStream_t stream, int defect, float *table,
                                       const int *row, const float *x, int n_rows, int n)
{
    return CU_LAUNCH(scatter_kernel, (n_rows + 3) / 4, dim3(32, 4), 0, stream, table, row, x,
                     n_rows, n, defect);
}

extern "C" cudaError_t planted_square(cudaStream_t stream, int defect, uint16_t *y, const float *x,
                                      int n4)
{
    const float *from = defect == MISALIGNED ? x + 1 : x;
    return CU_LAUNCH(square_kernel, n4 / 64 + 1, 64, 0, stream, (__nv_bfloat16 *)y,
                     (const float4 *)from, n4, defect);
}

extern "C" cudaError_t planted_pass_on(cudaStream_t stream, int defect, int *y, const int *x,
                                       int n_blocks)
{
    const int n_threads = defect == RAGGED_BLOCK ? 31 : 32;
    return CU_LAUNCH(pass_on_kernel, n_blocks, n_threads, 0, stream, y, x, defect);
}

extern "C" cudaError_t planted_bytes(cudaStream_t stream, int defect, uint8_t *y)
{
    return CU_LAUNCH(bytes_kernel, 1, 32, 0, stream, y, defect);
}

extern "C" cudaError_t planted_touch(cudaStream_t stream, int *p, int value)
{
    return CU_LAUNCH(touch_kernel, 1, 32, 0, stream, p, value);
}

extern "C" cudaError_t planted_barriers(cudaStream_t stream, float *y, int n_blocks, int n_rounds)
{
    return CU_LAUNCH(barriers_kernel, n_blocks, 256, 0, stream, y, n_rounds);
}
