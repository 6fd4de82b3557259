/* Weights of choices, and choosing by masks (Shazeer et al. 2017, appendix F). */
#include <math.h>
#include <omp.h>
#include <string.h>

#include "backend/cpu/choices.h"
#include "backend/cpu/vector.h"

/* -- weights of choices -- */

/* Makes count numbers their softmax. */
static void softmax_of(float *weights, int64_t count)
{
    float largest = -INFINITY;
    double sum = 0;
    for (int64_t c = 0; c < count; c++)
        largest = fmaxf(largest, weights[c]);
    for (int64_t c = 0; c < count; c++)
        sum += exp((double)weights[c] - largest);
    for (int64_t c = 0; c < count; c++)
        weights[c] = (float)(exp((double)weights[c] - largest) / sum);
}

static void cpu_choice_weights(struct backend *backend, const struct tensor *weights,
                               const struct tensor *x, const struct tensor *experts,
                               const struct tensor *starts, bool is_softmax)
{
    const int64_t k = tensor_columns(experts), n_experts = tensor_columns(x), rows = tensor_rows(x);
    CHECK(tensor_count(weights) == tensor_count(experts) &&
              (starts ? tensor_count(starts) == rows + 1 : tensor_rows(experts) == rows),
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int32_t *start = ints_or_null(starts), *expert = ints(experts);
    float *weight = floats(weights);
    const int n_parts = context_parts(backend, 8 * tensor_count(experts));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++) {
        const int64_t first = first_of(start, k, n), last = first_of(start, k, n + 1);
        for (int64_t c = first; c < last; c++)
            weight[c] = floats(x)[n * n_experts + expert[c]];
        if (is_softmax)
            softmax_of(weight + first, last - first);
    }
}

static void cpu_choice_weights_backward(struct backend *backend, const struct tensor *d_x,
                                        const struct tensor *d_weights,
                                        const struct tensor *weights, const struct tensor *experts,
                                        const struct tensor *starts, bool is_softmax)
{
    const int64_t k = tensor_columns(experts), n_experts = tensor_columns(d_x);
    const int64_t rows = tensor_rows(d_x);
    CHECK(tensor_count(d_weights) == tensor_count(experts) &&
              tensor_count(weights) == tensor_count(experts) &&
              (starts ? tensor_count(starts) == rows + 1 : tensor_rows(experts) == rows),
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int32_t *start = ints_or_null(starts), *expert = ints(experts);
    const float *weight = floats(weights), *d_weight = floats(d_weights);
    const int n_parts = context_parts(backend, tensor_count(d_x));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++) {
        const int64_t first = first_of(start, k, n), last = first_of(start, k, n + 1);
        float *d_row = floats(d_x) + n * n_experts;
        double mean = 0;
        memset(d_row, 0, (size_t)n_experts * sizeof *d_row);
        for (int64_t c = first; c < last && is_softmax; c++)
            mean += (double)weight[c] * d_weight[c];
        for (int64_t c = first; c < last; c++)
            d_row[expert[c]] = (float)((is_softmax ? weight[c] : 1) * (d_weight[c] - mean));
    }
}

/* -- the largest of each column -- */

/* A number as a whole number of the same order: equal ones, and the two zeros, stay equal, and NaN
 * counts as -infinity. */
VECTOR_INLINE int32_t key_of(float x)
{
    const float y = x != x ? -INFINITY : x + 0.0f;
    const int32_t bits = (int32_t)bits_of_float(y);
    return bits ^ ((bits >> 31) & 0x7fffffff);
}

/* Marks the m largest of p [n, width] in each of its width <= LANES columns; the rows of p and mask
 * are stride numbers apart, keys [n, LANES] is scratch. The m-th largest key of a column is built
 * bit by bit, from the sign on: a bit is set where m keys still lie at or above. */
KERNEL static void mark_columns(int32_t *mask, int32_t *keys, const float *p, int64_t n, int64_t m,
                                int64_t width, int64_t stride)
{
    int32_t least[LANES], left[LANES];
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < LANES; j++)
            keys[i * LANES + j] = key_of(p[i * stride + (j < width ? j : 0)]);
    for (int j = 0; j < LANES; j++)
        least[j] = INT32_MIN;
    for (int bit = 31; bit >= 0; bit--) {
        int32_t next[LANES], count[LANES] = {0};
        for (int j = 0; j < LANES; j++)
            next[j] = (int32_t)((uint32_t)least[j] ^ (uint32_t)1 << bit);
        for (int64_t i = 0; i < n; i++)
            for (int j = 0; j < LANES; j++)
                count[j] += keys[i * LANES + j] >= next[j];
        for (int j = 0; j < LANES; j++)
            least[j] = count[j] >= m ? next[j] : least[j];
    }
    for (int j = 0; j < LANES; j++)
        left[j] = (int32_t)m;
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < LANES; j++)
            left[j] -= keys[i * LANES + j] > least[j];
    for (int64_t i = 0; i < n; i++) {
        int32_t chosen[LANES];
        for (int j = 0; j < LANES; j++) {
            const int32_t key = keys[i * LANES + j];
            const int32_t is_tied = key == least[j] && left[j] > 0;
            left[j] -= is_tied;
            chosen[j] = is_tied | (key > least[j]);
        }
        memcpy(mask + i * stride, chosen, (size_t)width * sizeof *mask);
    }
}

/* How many of a group's tokens each expert gets. */
static int64_t share_of(int64_t n_tokens, int64_t k, int64_t n_experts)
{
    const int64_t nearest = (2 * k * n_tokens + n_experts) / (2 * n_experts);
    return nearest < 1 ? 1 : nearest > n_tokens ? n_tokens : nearest;
}

/* Threads take LANES columns of one group at a time. */
static void cpu_balanced_mask(struct backend *backend, const struct tensor *mask,
                              const struct tensor *p, const struct tensor *groups, int64_t k,
                              int64_t n_experts)
{
    const int64_t n_columns = tensor_columns(p), n_rows = tensor_rows(p);
    const int64_t n_tiles = (n_columns + LANES - 1) / LANES, n_groups = group_count(groups);
    CHECK(tensor_count(mask) == tensor_count(p), "shapes differ");
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, 8 * n_rows * n_columns);
    int32_t *keys = (int32_t *)context_scratch(backend, (size_t)(n_parts * n_rows * LANES));
    if (!keys)
        return;
#pragma omp parallel for num_threads(n_parts) schedule(dynamic)
    for (int64_t task = 0; task < n_groups * n_tiles; task++) {
        const int64_t g = task / n_tiles, column = task % n_tiles * LANES;
        const int64_t first = groups ? ints(groups)[g] : 0;
        const int64_t n = (groups ? ints(groups)[g + 1] : n_rows) - first;
        const int64_t width = n_columns - column < LANES ? n_columns - column : LANES;
        if (n > 0)
            mark_columns(ints(mask) + first * n_columns + column,
                         keys + omp_get_thread_num() * n_rows * LANES,
                         floats(p) + first * n_columns + column, n, share_of(n, k, n_experts),
                         width, n_columns);
    }
}

/* -- thresholds; compared in double, as the reference does -- */

static void take_thresholds(double *thresholds, const struct tensor *log_threshold)
{
    for (int64_t e = 0; e < tensor_count(log_threshold); e++)
        thresholds[e] = exp((double)floats(log_threshold)[e]);
}

KERNEL static void threshold_rows(int32_t *mask, const float *p, const double *thresholds,
                                  int64_t rows, int64_t n_experts)
{
    for (int64_t n = 0; n < rows; n++)
        for (int64_t e = 0; e < n_experts; e++)
            mask[n * n_experts + e] = p[n * n_experts + e] > thresholds[e];
}

static void cpu_threshold_mask(struct backend *backend, const struct tensor *mask,
                               const struct tensor *p, const struct tensor *log_threshold,
                               const struct tensor *groups)
{
    const int64_t n_experts = tensor_columns(p), n_all = tensor_count(log_threshold);
    CHECK(tensor_count(mask) == tensor_count(p) && n_all == group_count(groups) * n_experts,
          "shapes differ");
    if (!context_enter(backend))
        return;
    const struct blocks blocks = blocks_of(backend, groups, tensor_rows(p), 2 * n_all);
    if (!blocks.memory)
        return;
    double *thresholds = (double *)blocks.memory;
    take_thresholds(thresholds, log_threshold);
    const int n_parts = context_parts(backend, tensor_count(p));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t i = 0; i < blocks.count; i++) {
        const struct block *block = &blocks.list[i];
        threshold_rows(ints(mask) + block->first * n_experts, floats(p) + block->first * n_experts,
                       thresholds + block->group * n_experts, block->last - block->first,
                       n_experts);
    }
}

/* sums: of a block's losses [E], then of its surplus [E]; both start at zero. */
KERNEL static void threshold_loss_rows(double *restrict sums, float *restrict d_p, const float *p,
                                       const int32_t *mask, const double *thresholds, int64_t rows,
                                       int64_t n_experts, double coefficient)
{
    double *restrict surplus = sums + n_experts;
    for (int64_t n = 0; n < rows; n++) {
        const int64_t at = n * n_experts;
#pragma omp simd
        for (int64_t e = 0; e < n_experts; e++) {
            const int difference = (p[at + e] > thresholds[e]) - mask[at + e];
            sums[e] += difference * (p[at + e] - thresholds[e]);
            surplus[e] += difference;
            d_p[at + e] = (float)(d_p[at + e] + coefficient * difference);
        }
    }
}

static void cpu_threshold_loss(struct backend *backend, const struct tensor *loss,
                               const struct tensor *d_p, const struct tensor *d_log_threshold,
                               const struct tensor *p, const struct tensor *mask,
                               const struct tensor *log_threshold, const struct tensor *groups,
                               double coefficient)
{
    const int64_t n_experts = tensor_columns(p), n_rows = tensor_rows(p);
    const int64_t n_all = tensor_count(log_threshold);
    CHECK(tensor_count(mask) == tensor_count(p) && tensor_count(d_p) == tensor_count(p) &&
              tensor_count(d_log_threshold) == n_all && n_all == group_count(groups) * n_experts,
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int64_t n_sums = block_limit(groups, n_rows) * 2 * n_experts;
    const struct blocks blocks = blocks_of(backend, groups, n_rows, 2 * (n_all + n_sums));
    if (!blocks.memory)
        return;
    double *thresholds = (double *)blocks.memory, *sums = thresholds + n_all, total = 0;
    take_thresholds(thresholds, log_threshold);
    memset(sums, 0, (size_t)n_sums * sizeof *sums);
    const int n_parts = context_parts(backend, tensor_count(p));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t i = 0; i < blocks.count; i++) {
        const struct block *block = &blocks.list[i];
        const int64_t at = block->first * n_experts;
        threshold_loss_rows(sums + i * 2 * n_experts, floats(d_p) + at, floats(p) + at,
                            ints(mask) + at, thresholds + block->group * n_experts,
                            block->last - block->first, n_experts, coefficient);
    }
    join_blocks(sums, &blocks, 2 * n_experts);
    for (int64_t i = 0; i < blocks.count; i++)
        for (int64_t e = 0; e < n_experts && is_first_block(&blocks, i); e++) {
            const int64_t at = blocks.list[i].group * n_experts + e;
            const double surplus = sums[(2 * i + 1) * n_experts + e];
            float *d = floats(d_log_threshold) + at;
            total += sums[2 * i * n_experts + e];
            *d = (float)(*d - coefficient * surplus * thresholds[at]);
        }
    floats(loss)[0] = (float)(coefficient * total);
}

/* -- lists of masks -- */

KERNEL static int32_t count_marks(const int32_t *mask, int64_t n_experts)
{
    int32_t count = 0;
    for (int64_t e = 0; e < n_experts; e++)
        count += mask[e];
    return count;
}

static void cpu_mask_starts(struct backend *backend, const struct tensor *starts,
                            const struct tensor *mask)
{
    const int64_t n_experts = tensor_columns(mask), rows = tensor_rows(mask);
    CHECK(tensor_count(starts) == rows + 1, "shapes differ");
    int32_t *start = ints(starts);
    const int n_parts = context_parts(backend, tensor_count(mask));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        start[n + 1] = count_marks(ints(mask) + n * n_experts, n_experts);
    start[0] = 0;
    for (int64_t n = 0; n < rows; n++)
        start[n + 1] += start[n];
}

static void cpu_mask_experts(struct backend *backend, const struct tensor *experts,
                             const struct tensor *mask, const struct tensor *starts)
{
    const int64_t n_experts = tensor_columns(mask), rows = tensor_rows(mask);
    CHECK(tensor_count(starts) == rows + 1 && tensor_count(experts) == ints(starts)[rows],
          "shapes differ");
    const int n_parts = context_parts(backend, tensor_count(mask));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++) {
        const int32_t *row = ints(mask) + n * n_experts;
        int32_t *next = ints(experts) + ints(starts)[n];
        for (int64_t e = 0; e < n_experts; e++)
            if (row[e])
                *next++ = (int32_t)e;
    }
}

void cpu_set_mask(struct backend_ops *ops)
{
    ops->choice_weights = cpu_choice_weights;
    ops->choice_weights_backward = cpu_choice_weights_backward;
    ops->balanced_mask = cpu_balanced_mask;
    ops->threshold_mask = cpu_threshold_mask;
    ops->threshold_loss = cpu_threshold_loss;
    ops->mask_starts = cpu_mask_starts;
    ops->mask_experts = cpu_mask_experts;
}
