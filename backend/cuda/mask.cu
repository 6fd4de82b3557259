/* Choosing by masks over the softmax of all experts (Shazeer et al. 2017, appendix F), and the
 * weights of choices that are not a top-k of their own softmax. */
#include "backend/cuda/device.h"

/* -- weights of choices -- */

/* A warp a token. Reads 8 bytes a choice, half of them anywhere in a row, and writes 4. */
__global__ void choice_weights_kernel(float *weights, const float *x, const int32_t *experts,
                                      const int32_t *starts, struct choice_shape shape,
                                      bool is_softmax)
{
    for (int64_t n = warp_index(); n < shape.n_tokens; n += warp_count()) {
        const float *row = x + n * shape.n_experts;
        const int64_t first = first_of(starts, shape.k, n), last = first_of(starts, shape.k, n + 1);
        struct exp_sum sum = exp_sum_none();
        for (int64_t c = first + lane_index(); c < last && is_softmax; c += WARP) {
            exp_sum_raise(&sum, row[experts[c]]);
            exp_sum_add(&sum, row[experts[c]]);
        }
        sum = warp_exp_sum(sum);
        const float total = exp_sum_value(sum);
        for (int64_t c = first + lane_index(); c < last; c += WARP) {
            const float value = row[experts[c]];
            weights[c] = is_softmax ? expf(value - sum.largest) / total : value;
        }
    }
}

extern "C" cudaError_t launch_choice_weights(cudaStream_t stream, float *weights, const float *x,
                                             const int32_t *experts, const int32_t *starts,
                                             struct choice_shape shape, bool is_softmax)
{
    if (shape.n_tokens == 0)
        return cudaSuccess;
    return CU_LAUNCH(choice_weights_kernel, grid_of(shape.n_tokens, BLOCK / WARP), BLOCK, 0, stream,
                     weights, x, experts, starts, shape, is_softmax);
}

/* A warp a token. Reads 12 bytes a choice, and writes 4 an expert. */
__global__ void choice_weights_backward_kernel(float *d_x, const float *d_weights,
                                               const float *weights, const int32_t *experts,
                                               const int32_t *starts, struct choice_shape shape,
                                               bool is_softmax)
{
    for (int64_t n = warp_index(); n < shape.n_tokens; n += warp_count()) {
        float *row = d_x + n * shape.n_experts, mean = 0;
        const int64_t first = first_of(starts, shape.k, n), last = first_of(starts, shape.k, n + 1);
        for (int64_t e = lane_index(); e < shape.n_experts; e += WARP)
            row[e] = 0;
        for (int64_t c = first + lane_index(); c < last && is_softmax; c += WARP)
            mean = fmaf(weights[c], d_weights[c], mean);
        mean = warp_sum(mean);
        __syncwarp();
        for (int64_t c = first + lane_index(); c < last; c += WARP)
            row[experts[c]] = (is_softmax ? weights[c] : 1) * (d_weights[c] - mean);
    }
}

extern "C" cudaError_t launch_choice_weights_backward(cudaStream_t stream, float *d_x,
                                                      const float *d_weights, const float *weights,
                                                      const int32_t *experts, const int32_t *starts,
                                                      struct choice_shape shape, bool is_softmax)
{
    if (shape.n_tokens == 0)
        return cudaSuccess;
    return CU_LAUNCH(choice_weights_backward_kernel, grid_of(shape.n_tokens, BLOCK / WARP), BLOCK,
                     0, stream, d_x, d_weights, weights, experts, starts, shape, is_softmax);
}

/* -- the balanced mask -- */

enum {
    TILE = 32,
    TILE_ROWS = 8,
    N_BINS = 256,
    FEW_TOKENS = 128 /* of a group: up to so many are compared one with another */
};

/* p [N, E] becomes keys [E, N] that are ordered as the numbers are, tile by tile through shared
 * memory, so that an expert's tokens stand together. Reads and writes 4 bytes a number. */
__global__ void column_keys_kernel(uint32_t *keys, const float *p, int64_t rows, int64_t columns)
{
    CU_SHARED(uint32_t, tile, [TILE][TILE + 1]);
    const int64_t n_across = (columns + TILE - 1) / TILE, n_down = (rows + TILE - 1) / TILE;
    for (int64_t i = blockIdx.x; i < n_across * n_down; i += gridDim.x) {
        const int64_t row = i / n_across * TILE, column = i % n_across * TILE;
        for (int64_t r = threadIdx.y; r < TILE; r += TILE_ROWS)
            if (row + r < rows && column + threadIdx.x < columns)
                tile[r][threadIdx.x] = order_of(p[(row + r) * columns + column + threadIdx.x]);
        __syncthreads();
        for (int64_t c = threadIdx.y; c < TILE; c += TILE_ROWS)
            if (column + c < columns && row + threadIdx.x < rows)
                keys[(column + c) * rows + row + threadIdx.x] = tile[threadIdx.x][c];
        __syncthreads();
    }
}

/* How many of a group's tokens each expert gets. */
__device__ __forceinline__ int64_t share_of(int64_t n_tokens, int64_t k, int64_t n_experts)
{
    const int64_t nearest = (2 * k * n_tokens + n_experts) / (2 * n_experts);
    return nearest < 1 ? 1 : nearest > n_tokens ? n_tokens : nearest;
}

/* Where a key stands among those of one expert in one group. */
struct selection {
    uint32_t key;     /* the smallest that is chosen */
    int64_t n_equal;  /* tokens that have it */
    int64_t n_chosen; /* of these, the first so many */
};

/* The wanted-th largest of keys [count], by four passes over it that each find 8 bits. A block of
 * 256 threads; bins [256] and found [2] are shared memory. */
__device__ struct selection select_key(const uint32_t *keys, int64_t count, int64_t wanted,
                                       int *bins, int *found)
{
    const int bin = (int)threadIdx.x;
    struct selection selection = {0, 0, wanted};
    for (int shift = 24; shift >= 0; shift -= 8) {
        bins[bin] = 0;
        __syncthreads();
        for (int64_t n = threadIdx.x; n < count; n += N_BINS)
            if (shift == 24 || keys[n] >> (shift + 8) == selection.key >> (shift + 8))
                atomicAdd(&bins[keys[n] >> shift & 0xff], 1);
        __syncthreads();
        int64_t above = 0;
        for (int i = bin + 1; i < N_BINS; i++)
            above += bins[i];
        if (above < selection.n_chosen && above + bins[bin] >= selection.n_chosen) {
            found[0] = bin;
            found[1] = (int)(selection.n_chosen - above);
        }
        __syncthreads();
        selection.key |= (uint32_t)found[0] << shift;
        selection.n_chosen = found[1];
        selection.n_equal = bins[found[0]];
        __syncthreads();
    }
    return selection;
}

/* The place of the wanted-th of the keys that equal `key`. Every thread of the block gets it;
 * counts [8] and found [1] are shared memory. */
__device__ int64_t find_equal(const uint32_t *keys, int64_t count, uint32_t key, int64_t wanted,
                              int *counts, int *found)
{
    const int lane = lane_index(), warp = (int)threadIdx.x / WARP;
    int64_t before = 0;
    for (int64_t first = 0; first < count && before < wanted; first += N_BINS) {
        const int64_t n = first + threadIdx.x;
        const bool is_equal = n < count && keys[n] == key;
        const uint32_t equal = __ballot_sync(FULL_WARP, is_equal);
        if (lane == 0)
            counts[warp] = __popc(equal);
        __syncthreads();
        int64_t rank = before + __popc(equal & ((1u << lane) - 1)) + 1;
        for (int i = 0; i < N_BINS / WARP; i++) {
            rank += i < warp ? counts[i] : 0;
            before += counts[i];
        }
        if (is_equal && rank == wanted)
            found[0] = (int)n;
        __syncthreads();
    }
    return found[0];
}

/* A block for each expert of each large group: the smallest key that is chosen, and the last row
 * that is chosen with just that key. Reads 4 bytes a number four times, mostly from the caches, and
 * a fifth time where equal numbers stand on the border. */
__global__ void select_kernel(uint32_t *least, int32_t *last_row, const uint32_t *keys,
                              const int32_t *groups, int64_t n_groups, int64_t rows,
                              int64_t n_columns, int64_t k, int64_t n_experts)
{
    CU_SHARED(int, bins, [N_BINS]);
    CU_SHARED(int, found, [2]);
    for (int64_t i = blockIdx.x; i < n_groups * n_columns; i += gridDim.x) {
        const int64_t g = i / n_columns, e = i % n_columns, first = groups ? groups[g] : 0;
        const int64_t count = (groups ? groups[g + 1] : rows) - first;
        if (count <= FEW_TOKENS)
            continue;
        const uint32_t *column = keys + e * rows + first;
        const struct selection selection =
            select_key(column, count, share_of(count, k, n_experts), bins, found);
        int64_t last = count - 1;
        if (selection.n_chosen < selection.n_equal)
            last = find_equal(column, count, selection.key, selection.n_chosen, bins, found);
        if (threadIdx.x == 0) {
            least[i] = selection.key;
            last_row[i] = (int32_t)(first + last);
        }
    }
}

/* How many of tokens first .. last-1 come before token n for expert e: those of larger numbers, and
 * of the same in lower rows. */
__device__ __forceinline__ int64_t tokens_before(const float *p, int64_t first, int64_t last,
                                                 int64_t n, int64_t e, int64_t n_columns)
{
    const uint32_t key = order_of(p[n * n_columns + e]);
    int64_t before = 0;
    for (int64_t i = first; i < last; i++) {
        const uint32_t other = order_of(p[i * n_columns + e]);
        before += other > key || (other == key && i < n);
    }
    return before;
}

/* Threads walk along a row. Reads 4 bytes a number and writes 4; in a small group each number is
 * compared with its column, which comes from the caches. */
__global__ void balanced_mask_kernel(int32_t *mask, const float *p, const uint32_t *least,
                                     const int32_t *last_row, const int32_t *groups,
                                     int64_t n_groups, int64_t rows, int64_t n_columns, int64_t k,
                                     int64_t n_experts)
{
    for (int64_t n = first_row(); n < rows; n += row_step()) {
        const int64_t g = run_of(groups, n_groups, n), first = groups ? groups[g] : 0;
        const int64_t last = groups ? groups[g + 1] : rows, head = g * n_columns;
        const int64_t share = share_of(last - first, k, n_experts);
        for (int64_t e = threadIdx.x; e < n_columns; e += blockDim.x) {
            bool is_chosen;
            if (last - first <= FEW_TOKENS) {
                is_chosen = tokens_before(p, first, last, n, e, n_columns) < share;
            } else {
                const uint32_t key = order_of(p[n * n_columns + e]), border = least[head + e];
                is_chosen = key > border || (key == border && n <= last_row[head + e]);
            }
            mask[n * n_columns + e] = is_chosen;
        }
    }
}

extern "C" size_t balanced_mask_scratch(int64_t rows, int64_t n_columns, int64_t n_groups)
{
    return (size_t)((rows + 2 * n_groups) * n_columns) * sizeof(uint32_t);
}

extern "C" cudaError_t launch_balanced_mask(cudaStream_t stream, int32_t *mask, void *scratch,
                                            const float *p, const int32_t *groups, int64_t n_groups,
                                            int64_t rows, int64_t n_columns, int64_t k,
                                            int64_t n_experts)
{
    if (rows == 0 || n_columns == 0)
        return cudaSuccess;
    uint32_t *keys = (uint32_t *)scratch, *least = keys + rows * n_columns;
    int32_t *last_row = (int32_t *)(least + n_groups * n_columns);
    const int64_t n_tiles = (rows + TILE - 1) / TILE * ((n_columns + TILE - 1) / TILE);
    const bool is_large = rows > FEW_TOKENS;
    cudaError_t error = cudaSuccess;
    if (is_large)
        error = CU_LAUNCH(column_keys_kernel, grid_of(n_tiles, 1), dim3(TILE, TILE_ROWS), 0, stream,
                          keys, p, rows, n_columns);
    if (is_large && error == cudaSuccess)
        error = CU_LAUNCH(select_kernel, grid_of(n_groups * n_columns, 1), N_BINS, 0, stream, least,
                          last_row, keys, groups, n_groups, rows, n_columns, k, n_experts);
    if (error != cudaSuccess)
        return error;
    const dim3 block = row_block(n_columns);
    return CU_LAUNCH(balanced_mask_kernel, grid_of(rows, block.y), block, 0, stream, mask, p, least,
                     last_row, groups, n_groups, rows, n_columns, k, n_experts);
}

/* -- thresholds -- */

enum { ACROSS = 32, DOWN = 8, PART_ROWS = 128 };

/* A thread's threshold while it walks down a column; a group's is made when the group begins. */
struct threshold {
    int group; /* -1: none yet */
    float value;
    float border; /* the largest float not above it: x > value and x > border are the same */
};

__device__ __forceinline__ void threshold_move(struct threshold *threshold, int group,
                                               const float *log_threshold)
{
    const double value = exp((double)*log_threshold);
    threshold->group = group;
    threshold->value = (float)value;
    threshold->border = (double)threshold->value > value ? nextafterf(threshold->value, -INFINITY)
                                                         : threshold->value;
}

/* Blocks of 32 experts x 8 tokens over 128 tokens. Reads 4 bytes a number and writes 4. */
__global__ void threshold_mask_kernel(int32_t *mask, const float *p, const float *log_threshold,
                                      const int32_t *groups, int64_t n_groups, int64_t rows,
                                      int64_t n_experts)
{
    const int64_t e = (int64_t)blockIdx.x * ACROSS + threadIdx.x;
    const int64_t end = ((int64_t)blockIdx.y + 1) * PART_ROWS, last = end < rows ? end : rows;
    struct threshold threshold = {-1, 0, 0};
    for (int64_t n = end - PART_ROWS + threadIdx.y; n < last && e < n_experts; n += DOWN) {
        const int group = run_of(groups, n_groups, n);
        if (group != threshold.group)
            threshold_move(&threshold, group, log_threshold + group * n_experts + e);
        mask[n * n_experts + e] = p[n * n_experts + e] > threshold.border;
    }
}

static dim3 threshold_grid(int64_t rows, int64_t n_experts)
{
    return dim3((unsigned)((n_experts + ACROSS - 1) / ACROSS),
                (unsigned)((rows + PART_ROWS - 1) / PART_ROWS));
}

extern "C" cudaError_t launch_threshold_mask(cudaStream_t stream, int32_t *mask, const float *p,
                                             const float *log_threshold, const int32_t *groups,
                                             int64_t n_groups, int64_t rows, int64_t n_experts)
{
    if (rows == 0 || n_experts == 0)
        return cudaSuccess;
    return CU_LAUNCH(threshold_mask_kernel, threshold_grid(rows, n_experts), dim3(ACROSS, DOWN), 0,
                     stream, mask, p, log_threshold, groups, n_groups, rows, n_experts);
}

/* Adds a thread's surplus of choices to its group's; whole numbers, so that no order matters. */
__device__ __forceinline__ void add_surplus(int32_t *surplus, int count, int group, int64_t e,
                                            int64_t n_experts)
{
    if (count != 0)
        atomicAdd(&surplus[group * n_experts + e], count);
}

/* The same blocks. Their losses go to losses [blocks]; surplus [G*E] is zero before. Reads 12 bytes
 * a number, and writes 4 where the masks differ. */
__global__ void threshold_loss_kernel(float *losses, int32_t *surplus, float *d_p, const float *p,
                                      const int32_t *mask, const float *log_threshold,
                                      const int32_t *groups, int64_t n_groups, int64_t rows,
                                      int64_t n_experts, float coefficient)
{
    CU_SHARED(float, part, [WARP]);
    const int64_t e = (int64_t)blockIdx.x * ACROSS + threadIdx.x;
    const int64_t end = ((int64_t)blockIdx.y + 1) * PART_ROWS, last = end < rows ? end : rows;
    struct threshold threshold = {-1, 0, 0};
    float loss = 0;
    int count = 0;
    for (int64_t n = end - PART_ROWS + threadIdx.y; n < last && e < n_experts; n += DOWN) {
        const int64_t at = n * n_experts + e;
        const int group = run_of(groups, n_groups, n);
        if (group != threshold.group) {
            add_surplus(surplus, count, threshold.group, e, n_experts);
            count = 0;
            threshold_move(&threshold, group, log_threshold + group * n_experts + e);
        }
        const int difference = (p[at] > threshold.border) - mask[at];
        if (difference == 0)
            continue;
        loss += difference * (p[at] - threshold.value);
        count += difference;
        d_p[at] += coefficient * difference;
    }
    add_surplus(surplus, count, threshold.group, e, n_experts);
    loss = block_sum(loss, part);
    if (threadIdx.x == 0 && threadIdx.y == 0)
        losses[(int64_t)blockIdx.y * gridDim.x + blockIdx.x] = loss;
}

/* One block. */
__global__ void threshold_join_kernel(float *loss, float *d_log_threshold, const float *losses,
                                      int64_t n_losses, const int32_t *surplus,
                                      const float *log_threshold, int64_t n_all, float coefficient)
{
    CU_SHARED(float, part, [WARP]);
    float total = 0;
    for (int64_t i = threadIdx.x; i < n_losses; i += blockDim.x)
        total += losses[i];
    total = block_sum(total, part);
    if (threadIdx.x == 0)
        loss[0] = coefficient * total;
    for (int64_t i = threadIdx.x; i < n_all; i += blockDim.x)
        if (surplus[i] != 0)
            d_log_threshold[i] -= coefficient * surplus[i] * expf(log_threshold[i]);
}

extern "C" size_t threshold_loss_scratch(int64_t rows, int64_t n_experts, int64_t n_groups)
{
    const dim3 grid = threshold_grid(rows, n_experts);
    return ((size_t)grid.x * grid.y + (size_t)(n_groups * n_experts)) * sizeof(float);
}

extern "C" cudaError_t launch_threshold_loss(cudaStream_t stream, float *loss, float *d_p,
                                             float *d_log_threshold, void *scratch, const float *p,
                                             const int32_t *mask, const float *log_threshold,
                                             const int32_t *groups, int64_t n_groups, int64_t rows,
                                             int64_t n_experts, float coefficient)
{
    const dim3 grid = threshold_grid(rows, n_experts);
    const int64_t n_all = n_groups * n_experts, n_losses = (int64_t)grid.x * grid.y;
    int32_t *surplus = (int32_t *)scratch;
    float *losses = (float *)(surplus + n_all);
    cudaError_t error = cudaSuccess;
    if (n_all > 0)
        error = cudaMemsetAsync(surplus, 0, (size_t)n_all * sizeof(int32_t), stream);
    if (error == cudaSuccess && n_losses > 0)
        error =
            CU_LAUNCH(threshold_loss_kernel, grid, dim3(ACROSS, DOWN), 0, stream, losses, surplus,
                      d_p, p, mask, log_threshold, groups, n_groups, rows, n_experts, coefficient);
    if (error != cudaSuccess)
        return error;
    return CU_LAUNCH(threshold_join_kernel, 1, BLOCK, 0, stream, loss, d_log_threshold, losses,
                     n_losses, surplus, log_threshold, n_all, coefficient);
}

/* -- lists of masks -- */

/* A warp a token counts what its row marks. Reads 4 bytes an expert. */
__global__ void mask_counts_kernel(int32_t *counts, const int32_t *mask, int64_t rows,
                                   int64_t n_experts)
{
    for (int64_t n = warp_index(); n < rows; n += warp_count()) {
        int32_t count = 0;
        for (int64_t e = lane_index(); e < n_experts; e += WARP)
            count += mask[n * n_experts + e];
#pragma unroll
        for (int apart = WARP / 2; apart > 0; apart /= 2)
            count += __shfl_xor_sync(FULL_WARP, count, apart);
        if (lane_index() == 0)
            counts[n] = count;
    }
}

extern "C" cudaError_t launch_mask_starts(cudaStream_t stream, int32_t *starts, const int32_t *mask,
                                          int64_t rows, int64_t n_experts)
{
    if (rows > 0) {
        const cudaError_t error = CU_LAUNCH(mask_counts_kernel, grid_of(rows, BLOCK / WARP), BLOCK,
                                            0, stream, starts, mask, rows, n_experts);
        if (error != cudaSuccess)
            return error;
    }
    return launch_scan(stream, starts, rows);
}

/* A warp a token. Reads 4 bytes an expert and writes 4 a choice. */
__global__ void mask_experts_kernel(int32_t *experts, const int32_t *mask, const int32_t *starts,
                                    int64_t rows, int64_t n_experts)
{
    const int lane = lane_index();
    for (int64_t n = warp_index(); n < rows; n += warp_count()) {
        int32_t c = starts[n];
        for (int64_t first = 0; first < n_experts; first += WARP) {
            const int64_t e = first + lane;
            const bool is_marked = e < n_experts && mask[n * n_experts + e] != 0;
            const uint32_t marked = __ballot_sync(FULL_WARP, is_marked);
            if (is_marked)
                experts[c + __popc(marked & ((1u << lane) - 1))] = (int32_t)e;
            c += __popc(marked);
        }
    }
}

extern "C" cudaError_t launch_mask_experts(cudaStream_t stream, int32_t *experts,
                                           const int32_t *mask, const int32_t *starts, int64_t rows,
                                           int64_t n_experts)
{
    if (rows == 0)
        return cudaSuccess;
    return CU_LAUNCH(mask_experts_kernel, grid_of(rows, BLOCK / WARP), BLOCK, 0, stream, experts,
                     mask, starts, rows, n_experts);
}
