/* Noisy top-k gating: noise, importance and load, and their gradients (Shazeer et al. 2017). */
#include <math.h>

#include "backend/ref/real.h"

static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

/* Standard normal distribution and density. */
static double normal_below(double x)
{
    return 0.5 * erfc(-x * 0.70710678118654752440);
}

static double normal_density(double x)
{
    return 0.39894228040143267794 * exp(-0.5 * x * x);
}

static void ref_gate_noise(struct backend *backend, const struct tensor *noisy,
                           const struct tensor *stddev, const struct tensor *clean,
                           const struct tensor *raw, struct random_key key,
                           const struct tensor *rows)
{
    (void)backend;
    const int64_t n_experts = tensor_columns(clean);
    CHECK(tensor_count(noisy) == tensor_count(clean) && tensor_count(raw) == tensor_count(clean),
          "shapes differ");
    for (int64_t n = 0; n < tensor_rows(clean); n++) {
        const uint32_t row = rows ? (uint32_t)ints(rows)[n] : (uint32_t)n;
        double normal[4] = {0};
        for (int64_t e = 0; e < n_experts; e++) {
            if (e % 4 == 0) {
                const struct random_words words = random_philox(key, row, (uint32_t)(e / 4));
                random_normal_pair(words.word[0], words.word[1], normal);
                random_normal_pair(words.word[2], words.word[3], normal + 2);
            }
            const int64_t i = n * n_experts + e;
            const double width = fmax(softplus(reals(raw)[i]), GATE_MIN_STDDEV);
            reals(stddev)[i] = (real)width;
            reals(noisy)[i] = (real)(reals(clean)[i] + normal[e % 4] * width);
        }
    }
}

/* Place in top [N, K+1] of the K-th largest without e: the K-th itself, or the one after it when e
 * is among the first K (eq. 9). */
static int64_t threshold_place(const int32_t *chosen, int64_t k, int64_t e)
{
    for (int64_t i = 0; i < k; i++)
        if (chosen[i] == e)
            return k;
    return k - 1;
}

static void ref_gate_load(struct backend *backend, const struct tensor *importance,
                          const struct tensor *load, const struct tensor *weights,
                          const struct tensor *experts, const struct tensor *top,
                          const struct tensor *clean, const struct tensor *noisy,
                          const struct tensor *stddev)
{
    (void)backend;
    (void)noisy;
    const int64_t n_experts = tensor_count(load), k = tensor_columns(weights);
    const int64_t n_top = tensor_columns(top);
    CHECK(tensor_count(importance) == n_experts && (k == n_experts || !clean || n_top == k + 1),
          "%lld of %lld experts, %lld top values", (long long)k, (long long)n_experts,
          (long long)n_top);
    for (int64_t e = 0; e < n_experts; e++) {
        double gates = 0, total = 0;
        for (int64_t n = 0; n < tensor_rows(weights); n++) {
            const int32_t *chosen = ints(experts) + n * k;
            const int64_t place = threshold_place(chosen, k, e);
            const bool is_chosen = place == k;
            for (int64_t i = 0; i < k; i++)
                if (chosen[i] == e)
                    gates += reals(weights)[n * k + i];
            if (!clean || k == n_experts) {
                total += is_chosen;
                continue;
            }
            const int64_t at = n * n_experts + e;
            total += normal_below(((double)reals(clean)[at] - reals(top)[n * n_top + place]) /
                                  reals(stddev)[at]);
        }
        reals(importance)[e] = (real)gates;
        reals(load)[e] = (real)total;
    }
}

static void ref_balance_loss(struct backend *backend, const struct tensor *loss,
                             const struct tensor *d_v, const struct tensor *v, double coefficient)
{
    (void)backend;
    const int64_t count = tensor_count(v);
    double mean = 0, variance = 0;
    for (int64_t e = 0; e < count; e++)
        mean += reals(v)[e] / (double)count;
    for (int64_t e = 0; e < count; e++)
        variance += (reals(v)[e] - mean) * (reals(v)[e] - mean) / (double)count;
    reals(loss)[0] = (real)(mean == 0 ? 0 : coefficient * variance / (mean * mean));
    for (int64_t e = 0; e < count; e++) {
        const double slope =
            2 * ((reals(v)[e] - mean) / (mean * mean) - variance / (mean * mean * mean)) /
            (double)count;
        reals(d_v)[e] = (real)(mean == 0 ? 0 : coefficient * slope);
    }
}

/* Adds the load's gradient of one token (eqs. 8-10): to d_clean and d_raw, and, through the
 * thresholds, to the noisy values that set them, kept in d_noisy [n_top] by place. */
static void load_backward(real *d_clean, real *d_raw, double *d_threshold, const real *d_load,
                          const int32_t *chosen, const real *top, const real *clean,
                          const real *stddev, const real *raw, int64_t n_experts, int64_t k)
{
    for (int64_t e = 0; e < n_experts; e++) {
        const int64_t place = threshold_place(chosen, k, e);
        const double z = ((double)clean[e] - top[place]) / stddev[e];
        const double slope = d_load[e] * normal_density(z) / stddev[e];
        d_clean[e] = (real)(d_clean[e] + slope);
        d_threshold[place - (k - 1)] -= slope;
        d_raw[e] = (real)(d_raw[e] - slope * z / (1 + exp(-(double)raw[e])));
    }
}

static void ref_gate_backward(struct backend *backend, const struct tensor *d_clean,
                              const struct tensor *d_raw, const struct tensor *d_weights,
                              const struct tensor *d_importance, const struct tensor *d_load,
                              const struct tensor *weights, const struct tensor *order,
                              const struct tensor *top, const struct tensor *clean,
                              const struct tensor *noisy, const struct tensor *stddev,
                              const struct tensor *raw)
{
    (void)backend;
    const int64_t n_experts = tensor_columns(d_clean), k = tensor_columns(weights);
    const int64_t n_top = tensor_columns(top);
    CHECK(tensor_columns(order) == n_top && (n_top == k || n_top == k + 1), "%lld top values",
          (long long)n_top);
    for (int64_t n = 0; n < tensor_rows(weights); n++) {
        const int32_t *chosen = ints(order) + n * n_top;
        const real *w = reals(weights) + n * k;
        real *d_w = reals(d_weights) + n * k, *d_c = reals(d_clean) + n * n_experts;
        real *d_s = d_raw ? reals(d_raw) + n * n_experts : NULL;
        double dot = 0, d_threshold[2] = {0};
        for (int64_t e = 0; e < n_experts; e++) {
            d_c[e] = 0;
            if (d_s)
                d_s[e] = 0;
        }
        for (int64_t i = 0; i < k; i++) {
            d_w[i] += reals(d_importance)[chosen[i]];
            dot += (double)w[i] * d_w[i];
        }
        if (d_raw && n_top > k)
            load_backward(d_c, d_s, d_threshold, reals(d_load), chosen, reals(top) + n * n_top,
                          reals(clean) + n * n_experts, reals(stddev) + n * n_experts,
                          reals(raw) + n * n_experts, n_experts, k);
        /* What reaches the noisy values goes on to clean, and times the drawn normal to stddev. */
        for (int64_t i = 0; i < n_top; i++) {
            const int64_t at = n * n_experts + chosen[i];
            double d_noisy = i < k ? w[i] * (d_w[i] - dot) : 0;
            if (i >= k - 1 && n_top > k)
                d_noisy += d_threshold[i - (k - 1)];
            d_c[chosen[i]] = (real)(d_c[chosen[i]] + d_noisy);
            if (!d_s)
                continue;
            const double normal = ((double)reals(noisy)[at] - reals(clean)[at]) / reals(stddev)[at];
            d_s[chosen[i]] =
                (real)(d_s[chosen[i]] + d_noisy * normal / (1 + exp(-(double)reals(raw)[at])));
        }
    }
}

void REF(set_gate)(struct backend_ops *ops)
{
    ops->gate_noise = ref_gate_noise;
    ops->gate_load = ref_gate_load;
    ops->balance_loss = ref_balance_loss;
    ops->gate_backward = ref_gate_backward;
}
