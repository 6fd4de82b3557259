/* Softmax over rows of any width, and the loss. A row of up to 1024 numbers is one warp's work, a
 * wider one a block's. */
#include "backend/cuda/device.h"

/* -- sums of exponentials -- */

/* A warp a row. Reads 4 bytes a number. */
__global__ void log_sum_exp_warp_kernel(float *y, const float *x, int64_t rows, int width)
{
    for (int64_t n = warp_index(); n < rows; n += warp_count()) {
        const struct exp_sum sum = warp_row_exp_sum(x + n * width, width);
        if (lane_index() == 0)
            y[n] = sum.largest + exp_sum_log(sum);
    }
}

/* A block's share of a row: thread i takes the fours i, i + threads, ... */
__device__ __forceinline__ struct exp_sum block_row_exp_sum(const float *row, int width,
                                                            bool is_aligned, struct exp_sum *part)
{
    struct exp_sum sum = exp_sum_none();
    for (int d = 4 * (int)threadIdx.x; d < width; d += 4 * (int)blockDim.x)
        exp_sum_add_four(&sum, load_four(row, d, width, is_aligned, -INFINITY));
    return block_exp_sum(sum, part);
}

/* A block a row. Reads 4 bytes a number, once. */
__global__ void log_sum_exp_block_kernel(float *y, const float *x, int64_t rows, int width,
                                         bool is_aligned)
{
    CU_SHARED(struct exp_sum, part, [WARP]);
    for (int64_t n = blockIdx.x; n < rows; n += gridDim.x) {
        const struct exp_sum sum = block_row_exp_sum(x + n * width, width, is_aligned, part);
        if (threadIdx.x == 0)
            y[n] = sum.largest + exp_sum_log(sum);
    }
}

extern "C" cudaError_t launch_log_sum_exp(cudaStream_t stream, float *y, const float *x,
                                          int64_t rows, int64_t width)
{
    if (rows == 0)
        return cudaSuccess;
    if (width <= NARROW_ROW)
        return CU_LAUNCH(log_sum_exp_warp_kernel, grid_of(rows, BLOCK / WARP), BLOCK, 0, stream, y,
                         x, rows, (int)width);
    return CU_LAUNCH(log_sum_exp_block_kernel, grid_of(rows, 1), WIDE_BLOCK, 0, stream, y, x, rows,
                     (int)width, rows_aligned(width, x, NULL, NULL));
}

/* -- softmax -- */

/* A warp a row; y may be x. Reads 4 bytes a number, again from the caches, and writes 4. */
__global__ void softmax_warp_kernel(float *y, const float *x, int64_t rows, int width)
{
    for (int64_t n = warp_index(); n < rows; n += warp_count()) {
        const struct exp_sum sum = warp_row_exp_sum(x + n * width, width);
        const float total = exp_sum_value(sum);
        for (int d = lane_index(); d < width; d += WARP)
            y[n * width + d] = expf(x[n * width + d] - sum.largest) / total;
    }
}

/* A block a row; y may be x. Reads 4 bytes a number, again from the caches, and writes 4. */
__global__ void softmax_block_kernel(float *y, const float *x, int64_t rows, int width,
                                     bool is_aligned)
{
    CU_SHARED(struct exp_sum, part, [WARP]);
    for (int64_t n = blockIdx.x; n < rows; n += gridDim.x) {
        const float *row = x + n * width;
        const struct exp_sum sum = block_row_exp_sum(row, width, is_aligned, part);
        const float total = exp_sum_value(sum);
        for (int d = 4 * (int)threadIdx.x; d < width; d += 4 * (int)blockDim.x) {
            const float4 a = load_four(row, d, width, is_aligned, 0);
            store_four(y + n * width, d, width, is_aligned,
                       {expf(a.x - sum.largest) / total, expf(a.y - sum.largest) / total,
                        expf(a.z - sum.largest) / total, expf(a.w - sum.largest) / total});
        }
    }
}

extern "C" cudaError_t launch_softmax(cudaStream_t stream, float *y, const float *x, int64_t rows,
                                      int64_t width)
{
    if (rows == 0 || width == 0)
        return cudaSuccess;
    if (width <= NARROW_ROW)
        return CU_LAUNCH(softmax_warp_kernel, grid_of(rows, BLOCK / WARP), BLOCK, 0, stream, y, x,
                         rows, (int)width);
    return CU_LAUNCH(softmax_block_kernel, grid_of(rows, 1), WIDE_BLOCK, 0, stream, y, x, rows,
                     (int)width, rows_aligned(width, y, x, NULL));
}

/* A block a row, of one warp for narrow rows; d_x may be d_y. Reads 8 bytes a number, again from
 * the caches, and writes 4. */
__global__ void softmax_backward_kernel(float *d_x, const float *y, const float *d_y, int64_t rows,
                                        int width)
{
    CU_SHARED(float, part, [WARP]);
    for (int64_t n = blockIdx.x; n < rows; n += gridDim.x) {
        const float *y_row = y + n * width, *d_row = d_y + n * width;
        float dot = 0;
        for (int d = (int)threadIdx.x; d < width; d += (int)blockDim.x)
            dot = fmaf(y_row[d], d_row[d], dot);
        dot = block_sum(dot, part);
        for (int d = (int)threadIdx.x; d < width; d += (int)blockDim.x)
            d_x[n * width + d] = y_row[d] * (d_row[d] - dot);
    }
}

extern "C" cudaError_t launch_softmax_backward(cudaStream_t stream, float *d_x, const float *y,
                                               const float *d_y, int64_t rows, int64_t width)
{
    if (rows == 0 || width == 0)
        return cudaSuccess;
    const int n_threads = width <= 128 ? WARP : width <= NARROW_ROW ? 128 : WIDE_BLOCK;
    return CU_LAUNCH(softmax_backward_kernel, grid_of(rows, 1), n_threads, 0, stream, d_x, y, d_y,
                     rows, (int)width);
}

/* -- the loss -- */

struct loss_rule {
    float smoothing, gradient_scale;
    bool has_gradient;
};

/* Sets the loss and its own part in one row and returns the target's d_logit over gradient_scale:
 * p - wanted, as exp(-nll) - 1 + ..., which stays exact where p comes close to 1. */
__device__ __forceinline__ float row_loss(float *loss, float *nll, struct exp_sum sum, float logit,
                                          float total, int width, struct loss_rule rule)
{
    const float log_sum = exp_sum_log(sum), mean = total / width;
    *nll = (sum.largest - logit) + log_sum;
    *loss = (1 - rule.smoothing) * *nll + rule.smoothing * ((sum.largest - mean) + log_sum);
    return expm1f(-*nll) + rule.smoothing - rule.smoothing / width;
}

/* The gradient of four logits that are not the target's. */
__device__ __forceinline__ float4 logit_gradients(float4 x, float largest, float factor, float base)
{
    return {expf(x.x - largest) * factor - base, expf(x.y - largest) * factor - base,
            expf(x.z - largest) * factor - base, expf(x.w - largest) * factor - base};
}

/* A block a row: one pass finds the largest logit, the sum of exponentials below it and the mean;
 * a second one, over numbers that are still in the caches, writes the gradient in the logits'
 * place. No probability is kept. Reads 4 bytes a logit, again from the caches, and writes 4. */
__global__ void cross_entropy_kernel(float *loss, float *nll, float *logits, const int32_t *targets,
                                     int64_t rows, int width, struct loss_rule rule,
                                     bool is_aligned)
{
    CU_SHARED(struct exp_sum, part, [WARP]);
    CU_SHARED(float, total_part, [WARP]);
    for (int64_t n = blockIdx.x; n < rows; n += gridDim.x) {
        float *row = logits + n * width;
        struct exp_sum sum = exp_sum_none();
        float total = 0;
        for (int d = 4 * (int)threadIdx.x; d < width; d += 4 * (int)blockDim.x) {
            const float4 a = load_four(row, d, width, is_aligned, -INFINITY);
            exp_sum_add_four(&sum, a);
            total += a.x + (d + 1 < width ? a.y : 0);
            total += (d + 2 < width ? a.z : 0) + (d + 3 < width ? a.w : 0);
        }
        const int target = targets[n];
        const float logit = row[target];
        sum = block_exp_sum(sum, part);
        total = block_sum(total, total_part);
        float row_loss_value, row_nll;
        const float slope = row_loss(&row_loss_value, &row_nll, sum, logit, total, width, rule);
        if (threadIdx.x == 0) {
            loss[n] = row_loss_value;
            nll[n] = row_nll;
        }
        if (!rule.has_gradient)
            continue;
        const float factor = rule.gradient_scale / exp_sum_value(sum);
        const float base = rule.gradient_scale * rule.smoothing / width;
        for (int d = 4 * (int)threadIdx.x; d < width; d += 4 * (int)blockDim.x) {
            const float4 a = load_four(row, d, width, is_aligned, 0);
            store_four(row, d, width, is_aligned, logit_gradients(a, sum.largest, factor, base));
            if (target / 4 == d / 4)
                row[target] = rule.gradient_scale * slope;
        }
    }
}

extern "C" cudaError_t launch_cross_entropy(cudaStream_t stream, float *loss, float *nll,
                                            float *logits, const int32_t *targets, int64_t rows,
                                            int64_t width, float smoothing, float gradient_scale)
{
    if (rows == 0)
        return cudaSuccess;
    const struct loss_rule rule = {smoothing, gradient_scale, gradient_scale != 0};
    return CU_LAUNCH(cross_entropy_kernel, grid_of(rows, 1), width <= NARROW_ROW ? 128 : WIDE_BLOCK,
                     0, stream, loss, nll, logits, targets, rows, (int)width, rule,
                     rows_aligned(width, logits, NULL, NULL));
}
