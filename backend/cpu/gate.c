/* The gates' noise, importance and load, and their gradients (Shazeer et al. 2017). */
#include <math.h>
#include <string.h>

#include "backend/cpu/choices.h"
#include "backend/cpu/normal.h"
#include "backend/cpu/vector.h"

/* -- noise -- */

/* softplus(x) = max(x, 0) + log(1 + exp(-|x|)) */
VECTOR_INLINE float vector_softplus(float x)
{
    const float e = vector_exp(x > 0 ? -x : x);
    return (x > 0 ? x : 0) + 2 * vector_atanh(e / (2 + e));
}

/* The random numbers of one token: those of E experts from a block of words on. */
struct draw {
    struct random_key key;
    uint32_t name, first;
};

KERNEL static void normal_noise(float *restrict noisy, float *restrict stddev,
                                const float *restrict clean, const float *restrict raw,
                                int64_t n_experts, float noise, struct draw draw)
{
    for (int64_t first = 0; first < n_experts; first += NORMALS) {
        float normal[NORMALS];
        vector_normals(normal, draw.key, draw.name, draw.first + (uint32_t)(first / 4));
        const int64_t count = n_experts - first < NORMALS ? n_experts - first : NORMALS;
#pragma omp simd
        for (int64_t e = 0; e < count; e++) {
            const float least = (float)GATE_MIN_STDDEV, softplus = vector_softplus(raw[first + e]);
            const float width = noise * softplus > least ? noise * softplus : least;
            stddev[first + e] = width;
            noisy[first + e] = clean[first + e] + normal[e] * width;
        }
    }
}

KERNEL static void uniform_noise(float *restrict noisy, const float *restrict clean,
                                 int64_t n_experts, double noise, struct draw draw)
{
    for (int64_t first = 0; first < n_experts; first += NORMALS) {
        uint32_t words[LANES][4];
        vector_philox(words, draw.key, draw.name, draw.first + (uint32_t)(first / 4));
        const uint32_t *word = words[0];
        const int64_t count = n_experts - first < NORMALS ? n_experts - first : NORMALS;
        for (int64_t e = 0; e < count; e++)
            noisy[first + e] = (float)(clean[first + e] + noise * random_unit(word[e]));
    }
}

static void noise_block(const struct gating *gating, const struct block *block,
                        struct random_key key, const int32_t *names)
{
    const int64_t n_experts = tensor_columns(&gating->clean);
    const float *raw = floats_or_null(&gating->raw);
    float *stddev = floats_or_null(&gating->stddev);
    for (int64_t n = block->first; n < block->last; n++) {
        const int64_t at = n * n_experts;
        const struct draw draw = {key, (uint32_t)(names ? names[n] : n),
                                  (uint32_t)(block->group * ((n_experts + 3) / 4))};
        float *noisy = floats(&gating->noisy) + at;
        const float *clean = floats(&gating->clean) + at;
        if (raw)
            normal_noise(noisy, stddev + at, clean, raw + at, n_experts, (float)gating->noise,
                         draw);
        else
            uniform_noise(noisy, clean, n_experts, gating->noise, draw);
    }
}

static void cpu_gate_noise(struct backend *backend, const struct gating *gating,
                           struct random_key key, const struct tensor *names)
{
    const int64_t n_rows = tensor_rows(&gating->clean), n_all = tensor_count(&gating->clean);
    CHECK(tensor_count(&gating->noisy) == n_all &&
              tensor_count(&gating->raw) == tensor_count(&gating->stddev) &&
              (gating->raw.rank == 0 || tensor_count(&gating->raw) == n_all) &&
              (!names || tensor_count(names) == n_rows),
          "shapes differ");
    if (!context_enter(backend))
        return;
    const struct blocks blocks = blocks_of(backend, tensor_or_null(&gating->groups), n_rows, 0);
    const int n_parts = context_parts(backend, 8 * n_all);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t i = 0; i < blocks.count; i++)
        noise_block(gating, &blocks.list[i], key, ints_or_null(names));
}

/* -- importance -- */

/* sums [E] of one block. */
static void importance_block(double *sums, const struct gating *gating, const struct block *block)
{
    const int64_t k = tensor_columns(&gating->experts);
    const int32_t *starts = ints_or_null(&gating->starts), *experts = ints(&gating->experts);
    const float *scale = floats_or_null(&gating->scale), *weights = floats(&gating->weights);
    for (int64_t n = block->first; n < block->last; n++)
        for (int64_t c = first_of(starts, k, n); c < first_of(starts, k, n + 1); c++)
            sums[experts[c]] += (scale ? (double)scale[n] : 1) * weights[c];
}

/* Numbers of all experts [G*E] from those of each block. */
static void spread(float *all, int64_t n_all, double *sums, const struct blocks *blocks,
                   int64_t n_experts)
{
    join_blocks(sums, blocks, n_experts);
    memset(all, 0, (size_t)n_all * sizeof *all);
    for (int64_t i = 0; i < blocks->count; i++)
        for (int64_t e = 0; e < n_experts && is_first_block(blocks, i); e++)
            all[blocks->list[i].group * n_experts + e] = (float)sums[i * n_experts + e];
}

static void cpu_gate_importance(struct backend *backend, const struct tensor *importance,
                                const struct gating *gating)
{
    const struct tensor *groups = tensor_or_null(&gating->groups);
    const int64_t n_rows = tensor_rows(&gating->clean), n_all = tensor_count(importance);
    const int64_t n_experts = tensor_columns(&gating->clean);
    CHECK(n_all == group_count(groups) * n_experts, "%lld sums", (long long)n_all);
    if (!context_enter(backend))
        return;
    const int64_t n_sums = block_limit(groups, n_rows) * n_experts;
    const struct blocks blocks = blocks_of(backend, groups, n_rows, 2 * n_sums);
    if (!blocks.memory)
        return;
    double *sums = (double *)blocks.memory;
    memset(sums, 0, (size_t)n_sums * sizeof *sums);
    const int n_parts = context_parts(backend, tensor_count(&gating->experts));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t i = 0; i < blocks.count; i++)
        importance_block(sums + i * n_experts, gating, &blocks.list[i]);
    spread(floats(importance), n_all, sums, &blocks, n_experts);
}

static void importance_backward_block(float *d_weights, float *d_scale, const float *d_importance,
                                      const struct gating *gating, const struct block *block)
{
    const int64_t k = tensor_columns(&gating->experts);
    const int32_t *starts = ints_or_null(&gating->starts), *experts = ints(&gating->experts);
    const float *scale = floats_or_null(&gating->scale), *weights = floats(&gating->weights);
    for (int64_t n = block->first; n < block->last; n++) {
        double d_row = 0;
        for (int64_t c = first_of(starts, k, n); c < first_of(starts, k, n + 1); c++) {
            const double d = d_importance[experts[c]];
            d_row += d * weights[c];
            d_weights[c] = (float)(d_weights[c] + (scale ? (double)scale[n] : 1) * d);
        }
        if (d_scale)
            d_scale[n] = (float)(d_scale[n] + d_row);
    }
}

static void cpu_gate_importance_backward(struct backend *backend, const struct tensor *d_weights,
                                         const struct tensor *d_scale,
                                         const struct tensor *d_importance,
                                         const struct gating *gating)
{
    const struct tensor *groups = tensor_or_null(&gating->groups);
    const int64_t n_experts = tensor_columns(&gating->clean);
    CHECK(tensor_count(d_weights) == tensor_count(&gating->weights) &&
              tensor_count(d_importance) == group_count(groups) * n_experts,
          "shapes differ");
    if (!context_enter(backend))
        return;
    const struct blocks blocks = blocks_of(backend, groups, tensor_rows(&gating->clean), 0);
    const int n_parts = context_parts(backend, tensor_count(d_weights));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t i = 0; i < blocks.count; i++)
        importance_backward_block(floats(d_weights), floats_or_null(d_scale),
                                  floats(d_importance) + blocks.list[i].group * n_experts, gating,
                                  &blocks.list[i]);
}

/* -- load -- */

/* True where the load is a sum of chances; else tokens are counted. */
static bool is_smooth(const struct gating *gating)
{
    return gating->noise > 0 &&
           tensor_columns(&gating->top) == tensor_columns(&gating->experts) + 1;
}

/* Eq. 9's threshold of each expert: the K-th largest value, or the one after it for the chosen. */
VECTOR_INLINE void thresholds(float *threshold, const int32_t *chosen, const float *top, int64_t k,
                              int64_t n_experts)
{
    for (int64_t e = 0; e < n_experts; e++)
        threshold[e] = top[k - 1];
    for (int64_t i = 0; i < k; i++)
        threshold[chosen[i]] = top[k];
}

/* The chance that fresh uniform noise lifts an expert over a threshold, before it is clipped. In
 * double, as the reference: what lies at a border must lie there for both. */
VECTOR_INLINE double uniform_chance(float clean, float threshold, double noise)
{
    return (clean + noise - threshold) / noise;
}

/* load [E] += each expert's chance of being chosen by one token; threshold [E] is scratch. stddev
 * NULL: the noise is uniform. */
KERNEL static void load_row(double *load, float *threshold, const int32_t *chosen, const float *top,
                            const float *clean, const float *stddev, double noise, int64_t k,
                            int64_t n_experts)
{
    thresholds(threshold, chosen, top, k, n_experts);
    if (stddev) {
#pragma omp simd
        for (int64_t e = 0; e < n_experts; e++)
            threshold[e] = vector_normal_below((clean[e] - threshold[e]) / stddev[e]);
    } else {
        for (int64_t e = 0; e < n_experts; e++) {
            const double p = uniform_chance(clean[e], threshold[e], noise);
            threshold[e] = (float)(p < 0 ? 0 : p > 1 ? 1 : p);
        }
    }
    for (int64_t e = 0; e < n_experts; e++)
        load[e] += threshold[e];
}

/* sums [E] of one block; threshold [E] is scratch. */
static void load_block(double *sums, float *threshold, const struct gating *gating,
                       const struct block *block)
{
    const int64_t n_experts = tensor_columns(&gating->clean), k = tensor_columns(&gating->experts);
    const int32_t *starts = ints_or_null(&gating->starts), *experts = ints(&gating->experts);
    const float *stddev = floats_or_null(&gating->stddev);
    const bool is_sum = is_smooth(gating);
    for (int64_t n = block->first; n < block->last; n++) {
        const int64_t at = n * n_experts;
        if (is_sum)
            load_row(sums, threshold, ints(&gating->order) + n * (k + 1),
                     floats(&gating->top) + n * (k + 1), floats(&gating->clean) + at,
                     stddev ? stddev + at : NULL, gating->noise, k, n_experts);
        for (int64_t c = first_of(starts, k, n); c < first_of(starts, k, n + 1) && !is_sum; c++)
            sums[experts[c]] += 1;
    }
}

static void cpu_gate_load(struct backend *backend, const struct tensor *load,
                          const struct gating *gating)
{
    const struct tensor *groups = tensor_or_null(&gating->groups);
    const int64_t n_rows = tensor_rows(&gating->clean), n_all = tensor_count(load);
    const int64_t n_experts = tensor_columns(&gating->clean);
    CHECK(n_all == group_count(groups) * n_experts, "%lld loads", (long long)n_all);
    if (!context_enter(backend))
        return;
    const int64_t n_sums = block_limit(groups, n_rows) * n_experts;
    const struct blocks blocks = blocks_of(backend, groups, n_rows, 3 * n_sums);
    if (!blocks.memory)
        return;
    double *sums = (double *)blocks.memory;
    float *scratch = blocks.memory + 2 * n_sums;
    memset(sums, 0, (size_t)n_sums * sizeof *sums);
    const int n_parts = context_parts(backend, is_smooth(gating) ? 8 * n_rows * n_experts
                                                                 : tensor_count(&gating->experts));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t i = 0; i < blocks.count; i++)
        load_block(sums + i * n_experts, scratch + i * n_experts, gating, &blocks.list[i]);
    spread(floats(load), n_all, sums, &blocks, n_experts);
}

/* -- gradients -- */

/* Rows of the operands of one token; NULL: absent. */
struct gate_row {
    float *d_clean, *d_raw;
    const float *d_weights, *d_load, *weights, *top, *clean, *noisy, *stddev, *raw;
    const int32_t *order;
    double noise;
    int64_t k, n_top, n_experts;
};

/* d_clean [E] and d_raw [E] from the load with normal noise. d_clean holds thresholds before. */
VECTOR_INLINE void normal_slopes(const struct gate_row *g)
{
    const float noise = (float)g->noise;
#pragma omp simd
    for (int64_t e = 0; e < g->n_experts; e++) {
        const float z = (g->clean[e] - g->d_clean[e]) / g->stddev[e];
        const float slope = g->d_load[e] * vector_normal_density(z) / g->stddev[e];
        g->d_clean[e] = slope;
        g->d_raw[e] = -slope * z * noise * vector_sigmoid(g->raw[e]);
    }
}

VECTOR_INLINE void uniform_slopes(const struct gate_row *g)
{
    for (int64_t e = 0; e < g->n_experts; e++) {
        const double p = uniform_chance(g->clean[e], g->d_clean[e], g->noise);
        g->d_clean[e] = p > 0 && p < 1 ? (float)(g->d_load[e] / g->noise) : 0;
    }
}

/* The load's gradient of one token, and what reaches the K-th and the next value through the
 * thresholds. */
KERNEL static void load_backward_row(const struct gate_row *g, double d_threshold[2])
{
    const int64_t k = g->n_top - 1;
    thresholds(g->d_clean, g->order, g->top, k, g->n_experts);
    if (g->raw)
        normal_slopes(g);
    else
        uniform_slopes(g);
    double all = 0, of_chosen = 0;
    for (int64_t i = 0; i < k; i++)
        of_chosen += g->d_clean[g->order[i]];
    for (int64_t e = 0; e < g->n_experts; e++)
        all += g->d_clean[e];
    d_threshold[0] = of_chosen - all;
    d_threshold[1] = -of_chosen;
}

static void gate_backward_row(const struct gate_row *g)
{
    const size_t row_bytes = (size_t)g->n_experts * sizeof(float);
    const bool has_next = g->n_top > g->k;
    double dot = 0, d_threshold[2] = {0};
    for (int64_t i = 0; i < g->k && g->d_weights; i++)
        dot += (double)g->weights[i] * g->d_weights[i];
    if (g->d_load) {
        load_backward_row(g, d_threshold);
    } else {
        memset(g->d_clean, 0, row_bytes);
        if (g->d_raw)
            memset(g->d_raw, 0, row_bytes);
    }
    /* What reaches the noisy values goes on to clean, and times the drawn normal to stddev. */
    for (int64_t i = 0; i < g->n_top; i++) {
        const int32_t e = g->order[i];
        double d_noisy = i < g->k && g->d_weights ? g->weights[i] * (g->d_weights[i] - dot) : 0;
        if (i >= g->k - 1 && has_next)
            d_noisy += d_threshold[i - (g->k - 1)];
        g->d_clean[e] = (float)(g->d_clean[e] + d_noisy);
        if (!g->d_raw)
            continue;
        const double normal = ((double)g->noisy[e] - g->clean[e]) / g->stddev[e];
        g->d_raw[e] =
            (float)(g->d_raw[e] + d_noisy * normal * g->noise / (1 + exp(-(double)g->raw[e])));
    }
}

static void gate_backward_block(float *d_clean, float *d_raw, const float *d_weights,
                                const float *d_load, const struct gating *gating,
                                const struct block *block)
{
    const int64_t n_experts = tensor_columns(&gating->clean), n_top = tensor_columns(&gating->top);
    const int64_t k = tensor_columns(&gating->experts);
    for (int64_t n = block->first; n < block->last; n++) {
        const int64_t at = n * n_experts;
        const struct gate_row row = {.d_clean = d_clean + at,
                                     .d_raw = d_raw ? d_raw + at : NULL,
                                     .d_weights = d_weights ? d_weights + n * k : NULL,
                                     .d_load = d_load,
                                     .weights = floats(&gating->weights) + n * k,
                                     .top = floats(&gating->top) + n * n_top,
                                     .clean = floats(&gating->clean) + at,
                                     .noisy = floats(&gating->noisy) + at,
                                     .stddev = d_raw ? floats(&gating->stddev) + at : NULL,
                                     .raw = d_raw ? floats(&gating->raw) + at : NULL,
                                     .order = ints(&gating->order) + n * n_top,
                                     .noise = gating->noise,
                                     .k = k,
                                     .n_top = n_top,
                                     .n_experts = n_experts};
        gate_backward_row(&row);
    }
}

static void cpu_gate_backward(struct backend *backend, const struct tensor *d_clean,
                              const struct tensor *d_raw, const struct tensor *d_weights,
                              const struct tensor *d_load, const struct gating *gating)
{
    const int64_t n_experts = tensor_columns(d_clean), k = tensor_columns(&gating->experts);
    const int64_t n_top = tensor_columns(&gating->top);
    CHECK(gating->starts.rank == 0 && (n_top == k || n_top == k + 1) &&
              (gating->raw.rank == 0) == (d_raw == NULL),
          "%lld top values of %lld", (long long)n_top, (long long)k);
    if (!context_enter(backend))
        return;
    const struct blocks blocks =
        blocks_of(backend, tensor_or_null(&gating->groups), tensor_rows(d_clean), 0);
    const float *loads = is_smooth(gating) ? floats_or_null(d_load) : NULL;
    const int n_parts = context_parts(backend, 8 * tensor_count(d_clean));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t i = 0; i < blocks.count; i++)
        gate_backward_block(floats(d_clean), floats_or_null(d_raw), floats_or_null(d_weights),
                            loads ? loads + blocks.list[i].group * n_experts : NULL, gating,
                            &blocks.list[i]);
}

void cpu_set_gate(struct backend_ops *ops)
{
    ops->gate_noise = cpu_gate_noise;
    ops->gate_importance = cpu_gate_importance;
    ops->gate_importance_backward = cpu_gate_importance_backward;
    ops->gate_load = cpu_gate_load;
    ops->gate_backward = cpu_gate_backward;
}
