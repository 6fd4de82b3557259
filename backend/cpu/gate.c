/* Noisy top-k gating: noise, importance and load, and their gradients (Shazeer et al. 2017). */
#include <math.h>
#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/normal.h"
#include "backend/cpu/vector.h"

enum { ROWS = 64 }; /* tokens whose load is summed together, for any number of threads */

/* softplus(x) = max(x, 0) + log(1 + exp(-|x|)) */
VECTOR_INLINE float vector_softplus(float x)
{
    const float e = vector_exp(x > 0 ? -x : x);
    return (x > 0 ? x : 0) + 2 * vector_atanh(e / (2 + e));
}

KERNEL static void noise_row(float *restrict noisy, float *restrict stddev,
                             const float *restrict clean, const float *restrict raw,
                             int64_t n_experts, struct random_key key, uint32_t row)
{
    for (int64_t first = 0; first < n_experts; first += NORMALS) {
        float normal[NORMALS];
        vector_normals(normal, key, row, (uint32_t)(first / 4));
        const int64_t count = n_experts - first < NORMALS ? n_experts - first : NORMALS;
#pragma omp simd
        for (int64_t e = 0; e < count; e++) {
            const float width = fmaxf(vector_softplus(raw[first + e]), (float)GATE_MIN_STDDEV);
            stddev[first + e] = width;
            noisy[first + e] = clean[first + e] + normal[e] * width;
        }
    }
}

static void cpu_gate_noise(struct backend *backend, const struct tensor *noisy,
                           const struct tensor *stddev, const struct tensor *clean,
                           const struct tensor *raw, struct random_key key,
                           const struct tensor *rows)
{
    const int64_t n_experts = tensor_columns(clean), n_rows = tensor_rows(clean);
    CHECK(tensor_count(noisy) == tensor_count(clean) && tensor_count(raw) == tensor_count(clean) &&
              tensor_count(stddev) == tensor_count(clean) &&
              (!rows || tensor_count(rows) == n_rows),
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int32_t *names = rows ? ints(rows) : NULL;
    const int n_parts = context_parts(backend, 8 * n_rows * n_experts);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < n_rows; n++)
        noise_row(floats(noisy) + n * n_experts, floats(stddev) + n * n_experts,
                  floats(clean) + n * n_experts, floats(raw) + n * n_experts, n_experts, key,
                  names ? (uint32_t)names[n] : (uint32_t)n);
}

/* -- load -- */

/* Eq. 9's threshold of each expert: the K-th largest value, or the one after it for the chosen. */
VECTOR_INLINE void thresholds(float *threshold, const int32_t *chosen, const float *top, int64_t k,
                              int64_t n_experts)
{
    for (int64_t e = 0; e < n_experts; e++)
        threshold[e] = top[k - 1];
    for (int64_t i = 0; i < k; i++)
        threshold[chosen[i]] = top[k];
}

/* load [E] += each expert's chance of being chosen by one token; threshold [E] is scratch. */
KERNEL static void load_row(double *load, float *threshold, const int32_t *chosen, const float *top,
                            const float *clean, const float *stddev, int64_t k, int64_t n_experts)
{
    thresholds(threshold, chosen, top, k, n_experts);
#pragma omp simd
    for (int64_t e = 0; e < n_experts; e++)
        threshold[e] = vector_normal_below((clean[e] - threshold[e]) / stddev[e]);
    for (int64_t e = 0; e < n_experts; e++)
        load[e] += threshold[e];
}

/* What gate_load's threads share. */
struct load {
    const float *weights, *top, *clean, *stddev; /* clean NULL: the choices are counted */
    const int32_t *experts;
    int64_t n_rows, n_experts, k, n_top;
};

/* Sums of ROWS tokens: importance [E], then load [E]; threshold [E] is scratch. */
static void load_block(double *sums, float *threshold, const struct load *l, int64_t block)
{
    const int64_t last = (block + 1) * ROWS < l->n_rows ? (block + 1) * ROWS : l->n_rows;
    double *load = sums + l->n_experts;
    memset(sums, 0, 2 * (size_t)l->n_experts * sizeof *sums);
    for (int64_t n = block * ROWS; n < last; n++) {
        const int32_t *chosen = l->experts + n * l->k;
        for (int64_t i = 0; i < l->k; i++) {
            sums[chosen[i]] += l->weights[n * l->k + i];
            if (!l->clean)
                load[chosen[i]] += 1;
        }
        if (l->clean)
            load_row(load, threshold, chosen, l->top + n * l->n_top, l->clean + n * l->n_experts,
                     l->stddev + n * l->n_experts, l->k, l->n_experts);
    }
}

static void cpu_gate_load(struct backend *backend, const struct tensor *importance,
                          const struct tensor *load, const struct tensor *weights,
                          const struct tensor *experts, const struct tensor *top,
                          const struct tensor *clean, const struct tensor *noisy,
                          const struct tensor *stddev)
{
    (void)noisy;
    const int64_t n_experts = tensor_count(load), k = tensor_columns(weights);
    const bool is_counted = !clean || k == n_experts;
    CHECK(tensor_count(importance) == n_experts && (is_counted || tensor_columns(top) == k + 1),
          "%lld of %lld experts, %lld top values", (long long)k, (long long)n_experts,
          (long long)tensor_columns(top));
    if (!context_enter(backend))
        return;
    const struct load l = {floats(weights),
                           floats(top),
                           is_counted ? NULL : floats(clean),
                           is_counted ? NULL : floats(stddev),
                           ints(experts),
                           tensor_rows(weights),
                           n_experts,
                           k,
                           tensor_columns(top)};
    const int64_t n_blocks = (l.n_rows + ROWS - 1) / ROWS;
    double *sums = (double *)context_scratch(backend, (size_t)(n_blocks * n_experts * 5));
    if (!sums)
        return;
    float *scratch = (float *)(sums + n_blocks * n_experts * 2);
    const int n_parts = context_parts(backend, 8 * l.n_rows * n_experts);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t block = 0; block < n_blocks; block++)
        load_block(sums + block * 2 * n_experts, scratch + block * n_experts, &l, block);
    for (int64_t e = 0; e < n_experts; e++) {
        double gates = 0, total = 0;
        for (int64_t block = 0; block < n_blocks; block++) {
            gates += sums[block * 2 * n_experts + e];
            total += sums[block * 2 * n_experts + n_experts + e];
        }
        floats(importance)[e] = (float)gates;
        floats(load)[e] = (float)total;
    }
}

/* -- backward -- */

/* The load's gradient of one token: d_clean [E] and d_raw [E], and what reaches the K-th and the
 * next value through the thresholds. d_clean holds the thresholds on the way. */
KERNEL static void load_backward_row(float *d_clean, float *d_raw, double d_threshold[2],
                                     const float *d_load, const int32_t *chosen, const float *top,
                                     const float *clean, const float *stddev, const float *raw,
                                     int64_t k, int64_t n_experts)
{
    thresholds(d_clean, chosen, top, k, n_experts);
#pragma omp simd
    for (int64_t e = 0; e < n_experts; e++) {
        const float z = (clean[e] - d_clean[e]) / stddev[e];
        const float slope = d_load[e] * vector_normal_density(z) / stddev[e];
        d_clean[e] = slope;
        d_raw[e] = -slope * z * vector_sigmoid(raw[e]);
    }
    double all = 0, of_chosen = 0;
    for (int64_t i = 0; i < k; i++)
        of_chosen += d_clean[chosen[i]];
    for (int64_t e = 0; e < n_experts; e++)
        all += d_clean[e];
    d_threshold[0] = of_chosen - all;
    d_threshold[1] = -of_chosen;
}

/* Rows of the operands of one token; raw and those of the noise may be NULL. */
struct gate_row {
    float *d_clean, *d_raw, *d_weights;
    const float *d_importance, *d_load, *weights, *top, *clean, *noisy, *stddev, *raw;
    const int32_t *order;
    int64_t k, n_top, n_experts;
};

static void gate_backward_row(const struct gate_row *g)
{
    const size_t row_bytes = (size_t)g->n_experts * sizeof(float);
    double dot = 0, d_threshold[2] = {0};
    for (int64_t i = 0; i < g->k; i++) {
        g->d_weights[i] += g->d_importance[g->order[i]];
        dot += (double)g->weights[i] * g->d_weights[i];
    }
    if (g->d_raw && g->n_top > g->k) {
        load_backward_row(g->d_clean, g->d_raw, d_threshold, g->d_load, g->order, g->top, g->clean,
                          g->stddev, g->raw, g->k, g->n_experts);
    } else {
        memset(g->d_clean, 0, row_bytes);
        if (g->d_raw)
            memset(g->d_raw, 0, row_bytes);
    }
    /* What reaches the noisy values goes on to clean, and times the drawn normal to stddev. */
    for (int64_t i = 0; i < g->n_top; i++) {
        const int32_t e = g->order[i];
        double d_noisy = i < g->k ? g->weights[i] * (g->d_weights[i] - dot) : 0;
        if (i >= g->k - 1 && g->n_top > g->k)
            d_noisy += d_threshold[i - (g->k - 1)];
        g->d_clean[e] = (float)(g->d_clean[e] + d_noisy);
        if (!g->d_raw)
            continue;
        const double normal = ((double)g->noisy[e] - g->clean[e]) / g->stddev[e];
        g->d_raw[e] = (float)(g->d_raw[e] + d_noisy * normal / (1 + exp(-(double)g->raw[e])));
    }
}

static void cpu_gate_backward(struct backend *backend, const struct tensor *d_clean,
                              const struct tensor *d_raw, const struct tensor *d_weights,
                              const struct tensor *d_importance, const struct tensor *d_load,
                              const struct tensor *weights, const struct tensor *order,
                              const struct tensor *top, const struct tensor *clean,
                              const struct tensor *noisy, const struct tensor *stddev,
                              const struct tensor *raw)
{
    const int64_t n_experts = tensor_columns(d_clean), k = tensor_columns(weights);
    const int64_t n_top = tensor_columns(top), n_rows = tensor_rows(weights);
    CHECK(tensor_columns(order) == n_top && (n_top == k || n_top == k + 1), "%lld top values",
          (long long)n_top);
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, 8 * n_rows * n_experts);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < n_rows; n++) {
        const int64_t at = n * n_experts;
        const struct gate_row row = {.d_clean = floats(d_clean) + at,
                                     .d_raw = d_raw ? floats(d_raw) + at : NULL,
                                     .d_weights = floats(d_weights) + n * k,
                                     .d_importance = floats(d_importance),
                                     .d_load = d_raw ? floats(d_load) : NULL,
                                     .weights = floats(weights) + n * k,
                                     .top = floats(top) + n * n_top,
                                     .clean = d_raw ? floats(clean) + at : NULL,
                                     .noisy = d_raw ? floats(noisy) + at : NULL,
                                     .stddev = d_raw ? floats(stddev) + at : NULL,
                                     .raw = d_raw ? floats(raw) + at : NULL,
                                     .order = ints(order) + n * n_top,
                                     .k = k,
                                     .n_top = n_top,
                                     .n_experts = n_experts};
        gate_backward_row(&row);
    }
}

void cpu_set_gate(struct backend_ops *ops)
{
    ops->gate_noise = cpu_gate_noise;
    ops->gate_load = cpu_gate_load;
    ops->gate_backward = cpu_gate_backward;
}
