/* The gates' noise, balance losses and gradients (Shazeer et al. 2017, sections 2 and 4). */
#include "backend/cuda/device.h"

/* -- noise -- */

__device__ __forceinline__ float softplus(float x)
{
    return fmaxf(x, 0) + log1pf(expf(-fabsf(x)));
}

/* Two normal numbers (Box and Muller 1958) of the units (word + 1/2) / 2^32. The logarithm is taken
 * from the end of 0..1 that is nearer, and the angle from its middle, where f32 is exact. */
__device__ __forceinline__ void normal_pair(uint32_t word0, uint32_t word1, float normal[2])
{
    const float near_one = log1pf(-((float)~word0 + 0.5f) * 0x1p-32f);
    const float near_zero = logf(((float)word0 + 0.5f) * 0x1p-32f);
    const float radius = sqrtf(-2 * (word0 >> 31 ? near_one : near_zero));
    const float turn = ((float)(int32_t)(word1 ^ 0x80000000u) + 0.5f) * 0x1p-32f;
    float sine, cosine;
    sincosf(6.28318530717958647692f * turn, &sine, &cosine);
    normal[0] = -radius * cosine;
    normal[1] = -radius * sine;
}

/* A thread draws for four experts of a token. Reads 4 bytes an expert and writes 4; normal noise
 * reads and writes 4 more. */
__global__ void gate_noise_kernel(struct gate_view gate, struct philox_key key,
                                  const int32_t *names)
{
    const int n_experts = (int)gate.n_experts;
    for (int64_t n = first_row(); n < gate.n_tokens; n += row_step()) {
        const uint32_t name = names ? (uint32_t)names[n] : (uint32_t)n;
        const int group = run_of(gate.groups, gate.n_groups, n);
        const uint32_t first = (uint32_t)group * (uint32_t)((n_experts + 3) / 4);
        for (int e = 4 * (int)threadIdx.x; e < n_experts; e += 4 * (int)blockDim.x) {
            const uint4 drawn = philox(key, name, first + (uint32_t)(e / 4));
            const uint32_t word[4] = {drawn.x, drawn.y, drawn.z, drawn.w};
            float normal[4] = {0, 0, 0, 0};
            if (gate.raw) {
                normal_pair(word[0], word[1], normal);
                normal_pair(word[2], word[3], normal + 2);
            }
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int64_t at = n * n_experts + e + i;
                if (e + i >= n_experts)
                    continue;
                float noise = (float)gate.noise * (((float)word[i] + 0.5f) * 0x1p-32f);
                if (gate.raw) {
                    const float width = (float)gate.noise * softplus(gate.raw[at]);
                    gate.stddev[at] = fmaxf(width, gate.least_stddev);
                    noise = normal[i] * gate.stddev[at];
                }
                gate.noisy[at] = gate.clean[at] + noise;
            }
        }
    }
}

extern "C" cudaError_t launch_gate_noise(cudaStream_t stream, struct gate_view gate,
                                         struct philox_key key, const int32_t *names)
{
    if (gate.n_tokens == 0)
        return cudaSuccess;
    const dim3 block = row_block((gate.n_experts + 3) / 4);
    return CU_LAUNCH(gate_noise_kernel, grid_of(gate.n_tokens, block.y), block, 0, stream, gate,
                     key, names);
}

/* -- importance -- */

enum { STAGE = 512 }; /* choices that a block looks at */

/* Block (i, p): thread j sums for expert 256 i + j of all G*E, over the 512 choices of part p,
 * which are brought to shared memory. So the order of a sum is that of the choices, without
 * atomics. weights NULL: choices are counted. Reads 8 bytes a choice for each 256 experts. */
__global__ void importance_kernel(float *parts, struct gate_view gate, struct choice_shape shape)
{
    CU_SHARED(int, expert_of, [STAGE]);
    CU_SHARED(float, value_of, [STAGE]);
    const int64_t first = (int64_t)blockIdx.y * STAGE, n_all = shape.n_groups * shape.n_experts;
    const int64_t left = shape.n_choices - first;
    const int count = (int)(left < STAGE ? left : (int64_t)STAGE);
    for (int i = (int)threadIdx.x; i < count; i += (int)blockDim.x) {
        const int64_t n = token_of(gate.starts, shape.k, shape.n_tokens, first + i);
        const int group = run_of(gate.groups, shape.n_groups, n);
        expert_of[i] = gate.experts[first + i] + group * (int)shape.n_experts;
        value_of[i] = gate.weights ? gate.weights[first + i] * (gate.scale ? gate.scale[n] : 1) : 1;
    }
    __syncthreads();
    const int64_t mine = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0;
    for (int i = 0; i < count; i++)
        sum += expert_of[i] == mine ? value_of[i] : 0;
    if (mine < n_all)
        parts[blockIdx.y * n_all + mine] = sum;
}

static int64_t importance_parts(struct choice_shape shape)
{
    return (shape.n_choices + STAGE - 1) / STAGE;
}

extern "C" size_t gate_importance_scratch(struct choice_shape shape)
{
    return (size_t)(importance_parts(shape) * shape.n_groups * shape.n_experts) * sizeof(float);
}

extern "C" cudaError_t launch_gate_importance(cudaStream_t stream, float *importance,
                                              float *scratch, struct gate_view gate,
                                              struct choice_shape shape)
{
    const int64_t n_parts = importance_parts(shape), n_all = shape.n_groups * shape.n_experts;
    if (n_parts > LARGEST_GRID_Y)
        return cudaErrorInvalidConfiguration;
    if (n_parts > 0) {
        const dim3 grid((unsigned)((n_all + BLOCK - 1) / BLOCK), (unsigned)n_parts);
        const cudaError_t error =
            CU_LAUNCH(importance_kernel, grid, BLOCK, 0, stream, scratch, gate, shape);
        if (error != cudaSuccess)
            return error;
    }
    return launch_join_sums(stream, importance, scratch, n_parts, n_all, false);
}

/* A warp a token. Reads 12 bytes a choice and writes 4. */
__global__ void importance_backward_kernel(float *d_weights, float *d_scale,
                                           const float *d_importance, struct gate_view gate,
                                           struct choice_shape shape)
{
    for (int64_t n = warp_index(); n < shape.n_tokens; n += warp_count()) {
        const int64_t last = first_of(gate.starts, shape.k, n + 1);
        const float *d_group =
            d_importance + run_of(gate.groups, shape.n_groups, n) * shape.n_experts;
        const float scale = gate.scale ? gate.scale[n] : 1;
        float d_row = 0;
        for (int64_t c = first_of(gate.starts, shape.k, n) + lane_index(); c < last; c += WARP) {
            const float d = d_group[gate.experts[c]];
            d_row = fmaf(d, gate.weights[c], d_row);
            d_weights[c] += scale * d;
        }
        if (!d_scale)
            continue;
        d_row = warp_sum(d_row);
        if (lane_index() == 0)
            d_scale[n] += d_row;
    }
}

extern "C" cudaError_t launch_gate_importance_backward(cudaStream_t stream, float *d_weights,
                                                       float *d_scale, const float *d_importance,
                                                       struct gate_view gate,
                                                       struct choice_shape shape)
{
    if (shape.n_tokens == 0)
        return cudaSuccess;
    return CU_LAUNCH(importance_backward_kernel, grid_of(shape.n_tokens, BLOCK / WARP), BLOCK, 0,
                     stream, d_weights, d_scale, d_importance, gate, shape);
}

/* -- load -- */

/* Column of top [N, K+1] with the K-th largest without e: the K-th itself, or the one after it when
 * e is among the first K (eq. 9). */
__device__ __forceinline__ int threshold_column(const int32_t *order, int k, int e)
{
    for (int i = 0; i < k; i++)
        if (order[i] == e)
            return k;
    return k - 1;
}

/* What uniform noise can lift an expert over a threshold by; in double, since whether it is above 0
 * decides a gradient. */
__device__ __forceinline__ double room_above(struct gate_view gate, int64_t at, float threshold)
{
    return (double)gate.clean[at] + gate.noise - threshold;
}

/* The chance that fresh noise lifts an expert over a threshold. */
__device__ __forceinline__ float chance_above(struct gate_view gate, int64_t at, float threshold)
{
    if (gate.raw)
        return 0.5f *
               erfcf((threshold - gate.clean[at]) / gate.stddev[at] * 0.70710678118654752440f);
    const float p = (float)room_above(gate, at, threshold) / (float)gate.noise;
    return fminf(fmaxf(p, 0), 1);
}

enum { ACROSS = 32, DOWN = 8, PART_ROWS = 128, MOST_PARTS = 1024 };

/* Parts that each group's tokens are cut into. */
static int64_t load_parts(struct gate_view gate)
{
    const int64_t n_parts =
        (gate.n_tokens + PART_ROWS * gate.n_groups - 1) / (PART_ROWS * gate.n_groups);
    return n_parts < 1 ? 1 : n_parts < MOST_PARTS ? n_parts : (int64_t)MOST_PARTS;
}

extern "C" size_t gate_load_scratch(struct gate_view gate)
{
    return (size_t)(load_parts(gate) * gate.n_groups * gate.n_experts) * sizeof(float);
}

/* Blocks of 32 x 8, each for 32 experts of a group g and one of n_parts runs of its tokens, into
 * parts [n_parts, G*E]. Reads 4 bytes a number of clean, and 4 of stddev. */
__global__ void gate_load_kernel(float *parts, struct gate_view gate, int64_t n_parts)
{
    CU_SHARED(float, part, [DOWN][ACROSS]);
    const int64_t e = (int64_t)blockIdx.x * ACROSS + threadIdx.x;
    const int64_t n_all = gate.n_groups * gate.n_experts, n_tiles = gate.n_groups * n_parts;
    for (int64_t tile = blockIdx.y; tile < n_tiles; tile += gridDim.y) {
        const int64_t g = tile / n_parts, p = tile % n_parts;
        const int64_t start = gate.groups ? gate.groups[g] : 0;
        const int64_t length = (gate.groups ? gate.groups[g + 1] : gate.n_tokens) - start;
        const int64_t last = start + length * (p + 1) / n_parts;
        float sum = 0;
        for (int64_t n = start + length * p / n_parts + threadIdx.y; n < last; n += DOWN)
            if (e < gate.n_experts) {
                const int32_t *order = gate.order + n * gate.n_top;
                const int column = threshold_column(order, (int)gate.k, (int)e);
                sum +=
                    chance_above(gate, n * gate.n_experts + e, gate.top[n * gate.n_top + column]);
            }
        part[threadIdx.y][threadIdx.x] = sum;
        __syncthreads();
        if (threadIdx.y == 0 && e < gate.n_experts) {
            for (int i = 1; i < DOWN; i++)
                sum += part[i][threadIdx.x];
            parts[p * n_all + g * gate.n_experts + e] = sum;
        }
        __syncthreads();
    }
}

extern "C" cudaError_t launch_gate_load(cudaStream_t stream, float *load, float *scratch,
                                        struct gate_view gate)
{
    const int64_t n_parts = load_parts(gate), n_all = gate.n_groups * gate.n_experts;
    if (n_all == 0)
        return cudaSuccess;
    const dim3 grid((unsigned)((gate.n_experts + ACROSS - 1) / ACROSS),
                    grid_of(gate.n_groups * n_parts, 1));
    const cudaError_t error =
        CU_LAUNCH(gate_load_kernel, grid, dim3(ACROSS, DOWN), 0, stream, scratch, gate, n_parts);
    if (error != cudaSuccess)
        return error;
    return launch_join_sums(stream, load, scratch, n_parts, n_all, false);
}

/* -- gradients -- */

/* The load's gradient of expert e of a token: returns that of clean, and sets that of raw. */
__device__ __forceinline__ float load_slope(struct gate_view gate, int64_t at, float threshold,
                                            float d_load, float *d_raw)
{
    *d_raw = 0;
    if (!gate.raw) {
        const double room = room_above(gate, at, threshold);
        return room > 0 && room < gate.noise ? d_load / (float)gate.noise : 0;
    }
    const float stddev = gate.stddev[at], z = (gate.clean[at] - threshold) / stddev;
    const float slope = d_load * 0.39894228040143267794f * expf(-0.5f * z * z) / stddev;
    *d_raw = -slope * z * (float)gate.noise * sigmoid(gate.raw[at]);
    return slope;
}

/* What reaches the i-th largest noisy value through the softmax and as a threshold goes on to its
 * clean value, and times the drawn normal number to its stddev. */
__device__ __forceinline__ void noisy_backward(float *d_clean, float *d_raw, struct gate_view gate,
                                               int64_t n, int i, float d_noisy)
{
    const int64_t at = n * gate.n_experts + gate.order[n * gate.n_top + i];
    d_clean[at] += d_noisy;
    if (!d_raw)
        return;
    const float normal = (gate.noisy[at] - gate.clean[at]) / gate.stddev[at];
    d_raw[at] += d_noisy * normal * (float)gate.noise * sigmoid(gate.raw[at]);
}

/* A warp a token: first all experts, by the load, then the K or K+1 largest. Reads 8 bytes an
 * expert with a load, 16 where the noise is normal, and writes 4 or 8. */
__global__ void gate_backward_kernel(float *d_clean, float *d_raw, const float *d_weights,
                                     const float *d_load, struct gate_view gate)
{
    const int lane = lane_index(), k = (int)gate.k;
    for (int64_t n = warp_index(); n < gate.n_tokens; n += warp_count()) {
        const float *d_group =
            d_load ? d_load + run_of(gate.groups, gate.n_groups, n) * gate.n_experts : NULL;
        float d_kth = 0, d_next = 0, dot = 0;
        for (int64_t e = lane; e < gate.n_experts; e += WARP) {
            const int64_t at = n * gate.n_experts + e;
            float slope = 0, raw_slope = 0;
            if (d_group) {
                const int column = threshold_column(gate.order + n * gate.n_top, k, (int)e);
                slope =
                    load_slope(gate, at, gate.top[n * gate.n_top + column], d_group[e], &raw_slope);
                d_kth -= column == k ? 0 : slope;
                d_next -= column == k ? slope : 0;
            }
            d_clean[at] = slope;
            if (d_raw)
                d_raw[at] = raw_slope;
        }
        d_kth = warp_sum(d_kth);
        d_next = warp_sum(d_next);
        for (int i = lane; i < k && d_weights; i += WARP)
            dot = fmaf(gate.weights[n * k + i], d_weights[n * k + i], dot);
        dot = warp_sum(dot);
        __syncwarp();
        for (int i = lane; i < gate.n_top; i += WARP) {
            float d_noisy = 0;
            if (i < k && d_weights)
                d_noisy = gate.weights[n * k + i] * (d_weights[n * k + i] - dot);
            if (gate.n_top > k)
                d_noisy += i == k - 1 ? d_kth : i == k ? d_next : 0;
            noisy_backward(d_clean, d_raw, gate, n, i, d_noisy);
        }
    }
}

extern "C" cudaError_t launch_gate_backward(cudaStream_t stream, float *d_clean, float *d_raw,
                                            const float *d_weights, const float *d_load,
                                            struct gate_view gate)
{
    if (gate.n_tokens == 0)
        return cudaSuccess;
    return CU_LAUNCH(gate_backward_kernel, grid_of(gate.n_tokens, BLOCK / WARP), BLOCK, 0, stream,
                     d_clean, d_raw, d_weights, d_load, gate);
}

/* -- losses; a few numbers -- */

/* 1 / tokens of group g; 0 without any. */
__device__ __forceinline__ float token_share(const int32_t *groups, int64_t g)
{
    const int32_t n_tokens = groups[g + 1] - groups[g];
    return n_tokens > 0 ? 1.0f / n_tokens : 0;
}

/* An expert a thread. */
__global__ void join_load_kernel(float *load, const float *primary, const float *secondary,
                                 const int32_t *groups, int64_t n_experts, int64_t count)
{
    for (int64_t i = thread_index(); i < count; i += thread_count())
        load[i] = primary[i / n_experts] * token_share(groups, i / n_experts) * secondary[i];
}

extern "C" cudaError_t launch_join_load(cudaStream_t stream, float *load, const float *primary,
                                        const float *secondary, const int32_t *groups,
                                        int64_t n_groups, int64_t n_experts)
{
    const int64_t count = n_groups * n_experts;
    if (count == 0)
        return cudaSuccess;
    return CU_LAUNCH(join_load_kernel, grid_of(count, BLOCK), BLOCK, 0, stream, load, primary,
                     secondary, groups, n_experts, count);
}

/* A warp a group. */
__global__ void join_load_backward_kernel(float *d_primary, float *d_secondary, const float *d_load,
                                          const float *primary, const float *secondary,
                                          const int32_t *groups, int64_t n_groups,
                                          int64_t n_experts)
{
    for (int64_t g = warp_index(); g < n_groups; g += warp_count()) {
        const float share = token_share(groups, g);
        float sum = 0;
        for (int64_t i = g * n_experts + lane_index(); i < (g + 1) * n_experts; i += WARP) {
            sum = fmaf(share * d_load[i], secondary[i], sum);
            d_secondary[i] = share * d_load[i] * primary[g];
        }
        sum = warp_sum(sum);
        if (lane_index() == 0)
            d_primary[g] = sum;
    }
}

extern "C" cudaError_t launch_join_load_backward(cudaStream_t stream, float *d_primary,
                                                 float *d_secondary, const float *d_load,
                                                 const float *primary, const float *secondary,
                                                 const int32_t *groups, int64_t n_groups,
                                                 int64_t n_experts)
{
    if (n_groups == 0)
        return cudaSuccess;
    return CU_LAUNCH(join_load_backward_kernel, grid_of(n_groups, BLOCK / WARP), BLOCK, 0, stream,
                     d_primary, d_secondary, d_load, primary, secondary, groups, n_groups,
                     n_experts);
}

__device__ double block_sum_double(double x, double *part)
{
    for (int apart = WARP / 2; apart > 0; apart /= 2)
        x += __shfl_xor_sync(FULL_WARP, x, apart);
    if (lane_index() == 0)
        part[threadIdx.x / WARP] = x;
    __syncthreads();
    x = 0;
    for (int i = 0; i < (int)blockDim.x / WARP; i++)
        x += part[i];
    __syncthreads();
    return x;
}

/* One block, in double: experts that are nearly even differ by little from their mean. */
__global__ void balance_loss_kernel(float *loss, float *d_v, const float *v, int64_t count,
                                    double coefficient)
{
    CU_SHARED(double, part, [WARP]);
    double sum = 0, squares = 0;
    for (int64_t e = threadIdx.x; e < count; e += blockDim.x)
        sum += v[e];
    const double mean = block_sum_double(sum, part) / count;
    for (int64_t e = threadIdx.x; e < count; e += blockDim.x)
        squares += (v[e] - mean) * (v[e] - mean);
    const double variance = block_sum_double(squares, part) / count;
    const bool is_zero = mean == 0;
    const double inverse = is_zero ? 0 : 1 / mean;
    if (threadIdx.x == 0)
        loss[0] = (float)(coefficient * variance * inverse * inverse);
    for (int64_t e = threadIdx.x; e < count; e += blockDim.x)
        d_v[e] = (float)(2 * coefficient / count * inverse * inverse *
                         ((v[e] - mean) - variance * inverse));
}

extern "C" cudaError_t launch_balance_loss(cudaStream_t stream, float *loss, float *d_v,
                                           const float *v, int64_t count, double coefficient)
{
    return CU_LAUNCH(balance_loss_kernel, 1, BLOCK, 0, stream, loss, d_v, v, count, coefficient);
}
