/* The gates' noise, balance losses and gradients (Shazeer et al. 2017, sections 2 and 4). */
#include <math.h>

#include "backend/ref/choices.h"

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

static void noise_row(const struct gating *gating, struct random_key key, int64_t n, uint32_t name,
                      int64_t group)
{
    const int64_t n_experts = tensor_columns(&gating->clean);
    const uint32_t first = (uint32_t)(group * ((n_experts + 3) / 4));
    double normal[4] = {0};
    struct random_words words = {0};
    for (int64_t e = 0; e < n_experts; e++) {
        const int64_t i = n * n_experts + e;
        if (e % 4 == 0)
            words = random_philox(key, name, first + (uint32_t)(e / 4));
        if (e % 4 == 0 && gating->raw.rank) {
            random_normal_pair(words.word[0], words.word[1], normal);
            random_normal_pair(words.word[2], words.word[3], normal + 2);
        }
        double noise = gating->noise * random_unit(words.word[e % 4]);
        if (gating->raw.rank) {
            const double width =
                fmax(gating->noise * softplus(reals(&gating->raw)[i]), GATE_MIN_STDDEV);
            reals(&gating->stddev)[i] = (real)width;
            noise = normal[e % 4] * width;
        }
        reals(&gating->noisy)[i] = (real)(reals(&gating->clean)[i] + noise);
    }
}

static void ref_gate_noise(struct backend *backend, const struct gating *gating,
                           struct random_key key, const struct tensor *names)
{
    (void)backend;
    CHECK(tensor_count(&gating->noisy) == tensor_count(&gating->clean) &&
              tensor_count(&gating->raw) == tensor_count(&gating->stddev),
          "shapes differ");
    const struct tensor *groups = tensor_or_null(&gating->groups);
    for (int64_t g = 0; g < group_count(groups); g++)
        for (int64_t n = group_first(groups, g); n < group_end(groups, &gating->clean, g); n++)
            noise_row(gating, key, n, names ? (uint32_t)ints(names)[n] : (uint32_t)n, g);
}

/* -- importance -- */

static void ref_gate_importance(struct backend *backend, const struct tensor *importance,
                                const struct gating *gating)
{
    (void)backend;
    const struct tensor *groups = tensor_or_null(&gating->groups);
    const int64_t n_experts = tensor_count(importance) / group_count(groups);
    for (int64_t g = 0; g < group_count(groups); g++)
        for (int64_t e = 0; e < n_experts; e++) {
            double sum = 0;
            for (int64_t n = group_first(groups, g); n < group_end(groups, &gating->clean, g); n++)
                for (int64_t c = first_choice(gating, n); c < first_choice(gating, n + 1); c++)
                    if (ints(&gating->experts)[c] == e)
                        sum += scale_of(gating, n) * reals(&gating->weights)[c];
            reals(importance)[g * n_experts + e] = (real)sum;
        }
}

static void ref_gate_importance_backward(struct backend *backend, const struct tensor *d_weights,
                                         const struct tensor *d_scale,
                                         const struct tensor *d_importance,
                                         const struct gating *gating)
{
    (void)backend;
    const struct tensor *groups = tensor_or_null(&gating->groups);
    const int64_t n_experts = tensor_count(d_importance) / group_count(groups);
    for (int64_t g = 0; g < group_count(groups); g++)
        for (int64_t n = group_first(groups, g); n < group_end(groups, &gating->clean, g); n++) {
            double d_row = 0;
            for (int64_t c = first_choice(gating, n); c < first_choice(gating, n + 1); c++) {
                const double d = reals(d_importance)[g * n_experts + ints(&gating->experts)[c]];
                d_row += d * reals(&gating->weights)[c];
                reals(d_weights)[c] = (real)(reals(d_weights)[c] + scale_of(gating, n) * d);
            }
            if (d_scale)
                reals(d_scale)[n] = (real)(reals(d_scale)[n] + d_row);
        }
}

/* -- load -- */

/* Column of top [N, K+1] with the K-th largest without e: the K-th itself, or the one after it
 * when e is among the first K (eq. 9). */
static int64_t threshold_column(const int32_t *order, int64_t k, int64_t e)
{
    for (int64_t i = 0; i < k; i++)
        if (order[i] == e)
            return k;
    return k - 1;
}

/* True where the load is a sum of chances; else tokens are counted. */
static bool is_smooth(const struct gating *gating)
{
    return gating->noise > 0 &&
           tensor_columns(&gating->top) == tensor_columns(&gating->experts) + 1;
}

/* The chance that fresh noise lifts an expert over a threshold. */
static double chance(const struct gating *gating, int64_t at, double threshold)
{
    const double clean = reals(&gating->clean)[at];
    if (gating->raw.rank)
        return normal_below((clean - threshold) / reals(&gating->stddev)[at]);
    return fmin(fmax((clean + gating->noise - threshold) / gating->noise, 0), 1);
}

static void count_choices(const struct tensor *load, const struct gating *gating)
{
    const struct tensor *groups = tensor_or_null(&gating->groups);
    const int64_t n_experts = tensor_count(load) / group_count(groups);
    for (int64_t i = 0; i < tensor_count(load); i++)
        reals(load)[i] = 0;
    for (int64_t g = 0; g < group_count(groups); g++)
        for (int64_t n = group_first(groups, g); n < group_end(groups, &gating->clean, g); n++)
            for (int64_t c = first_choice(gating, n); c < first_choice(gating, n + 1); c++)
                reals(load)[g * n_experts + ints(&gating->experts)[c]] += 1;
}

static void ref_gate_load(struct backend *backend, const struct tensor *load,
                          const struct gating *gating)
{
    (void)backend;
    if (!is_smooth(gating)) {
        count_choices(load, gating);
        return;
    }
    const struct tensor *groups = tensor_or_null(&gating->groups);
    const int64_t n_experts = tensor_columns(&gating->clean), n_top = tensor_columns(&gating->top);
    CHECK(tensor_count(load) == group_count(groups) * n_experts, "%lld loads",
          (long long)tensor_count(load));
    for (int64_t g = 0; g < group_count(groups); g++)
        for (int64_t e = 0; e < n_experts; e++) {
            double sum = 0;
            for (int64_t n = group_first(groups, g); n < group_end(groups, &gating->clean, g);
                 n++) {
                const int32_t *order = ints(&gating->order) + n * n_top;
                const real *top = reals(&gating->top) + n * n_top;
                sum +=
                    chance(gating, n * n_experts + e, top[threshold_column(order, n_top - 1, e)]);
            }
            reals(load)[g * n_experts + e] = (real)sum;
        }
}

/* -- gradients -- */

/* The load's gradient of token n to d_clean and d_raw, and, through the thresholds, to the noisy
 * values that set them: of the K-th and the next. */
static void load_backward(const struct gating *gating, const real *d_load, int64_t n, real *d_clean,
                          real *d_raw, double d_threshold[2])
{
    const int64_t n_experts = tensor_columns(&gating->clean), n_top = tensor_columns(&gating->top);
    const int32_t *order = ints(&gating->order) + n * n_top;
    const real *top = reals(&gating->top) + n * n_top;
    for (int64_t e = 0; e < n_experts; e++) {
        const int64_t at = n * n_experts + e, column = threshold_column(order, n_top - 1, e);
        double slope;
        if (gating->raw.rank) {
            const double stddev = reals(&gating->stddev)[at];
            const double z = (reals(&gating->clean)[at] - top[column]) / stddev;
            slope = d_load[e] * normal_density(z) / stddev;
            d_raw[e] = (real)(d_raw[e] - slope * z * gating->noise /
                                             (1 + exp(-(double)reals(&gating->raw)[at])));
        } else {
            const double p = chance(gating, at, top[column]);
            slope = p > 0 && p < 1 ? d_load[e] / gating->noise : 0;
        }
        d_clean[e] = (real)(d_clean[e] + slope);
        d_threshold[column - (n_top - 2)] -= slope;
    }
}

/* What reaches a noisy value goes on to clean, and times the drawn normal to stddev. */
static void noisy_backward(const struct gating *gating, int64_t n, int64_t e, double d_noisy,
                           real *d_clean, real *d_raw)
{
    const int64_t at = n * tensor_columns(&gating->clean) + e;
    d_clean[e] = (real)(d_clean[e] + d_noisy);
    if (!d_raw)
        return;
    const double normal = ((double)reals(&gating->noisy)[at] - reals(&gating->clean)[at]) /
                          reals(&gating->stddev)[at];
    d_raw[e] = (real)(d_raw[e] + d_noisy * normal * gating->noise /
                                     (1 + exp(-(double)reals(&gating->raw)[at])));
}

static void gate_backward_row(const struct gating *gating, int64_t n, const real *d_weights,
                              const real *d_load, real *d_clean, real *d_raw)
{
    const int64_t n_experts = tensor_columns(&gating->clean), n_top = tensor_columns(&gating->top);
    const int64_t k = tensor_columns(&gating->experts);
    const real *weights = reals(&gating->weights) + n * k;
    double dot = 0, d_threshold[2] = {0};
    for (int64_t e = 0; e < n_experts; e++) {
        d_clean[e] = 0;
        if (d_raw)
            d_raw[e] = 0;
    }
    for (int64_t i = 0; i < k && d_weights; i++)
        dot += (double)weights[i] * d_weights[n * k + i];
    if (d_load && is_smooth(gating))
        load_backward(gating, d_load, n, d_clean, d_raw, d_threshold);
    for (int64_t i = 0; i < n_top; i++) {
        double d_noisy = i < k && d_weights ? weights[i] * (d_weights[n * k + i] - dot) : 0;
        if (i >= k - 1 && n_top > k)
            d_noisy += d_threshold[i - (k - 1)];
        noisy_backward(gating, n, ints(&gating->order)[n * n_top + i], d_noisy, d_clean, d_raw);
    }
}

static void ref_gate_backward(struct backend *backend, const struct tensor *d_clean,
                              const struct tensor *d_raw, const struct tensor *d_weights,
                              const struct tensor *d_load, const struct gating *gating)
{
    (void)backend;
    const int64_t n_experts = tensor_columns(d_clean), k = tensor_columns(&gating->experts);
    const int64_t n_top = tensor_columns(&gating->top);
    CHECK(gating->starts.rank == 0 && (n_top == k || n_top == k + 1), "%lld top values of %lld",
          (long long)n_top, (long long)k);
    const struct tensor *groups = tensor_or_null(&gating->groups);
    for (int64_t g = 0; g < group_count(groups); g++)
        for (int64_t n = group_first(groups, g); n < group_end(groups, &gating->clean, g); n++)
            gate_backward_row(gating, n, d_weights ? reals(d_weights) : NULL,
                              d_load ? reals(d_load) + g * n_experts : NULL,
                              reals(d_clean) + n * n_experts,
                              d_raw ? reals(d_raw) + n * n_experts : NULL);
}

/* -- losses -- */

static void ref_join_load(struct backend *backend, const struct tensor *load,
                          const struct tensor *primary, const struct tensor *secondary,
                          const struct tensor *groups)
{
    (void)backend;
    const int64_t n_experts = tensor_count(load) / tensor_count(primary);
    for (int64_t i = 0; i < tensor_count(load); i++) {
        const int64_t g = i / n_experts, tokens = ints(groups)[g + 1] - ints(groups)[g];
        const double mean = tokens ? (double)reals(primary)[g] / (double)tokens : 0;
        reals(load)[i] = (real)(mean * reals(secondary)[i]);
    }
}

static void ref_join_load_backward(struct backend *backend, const struct tensor *d_primary,
                                   const struct tensor *d_secondary, const struct tensor *d_load,
                                   const struct tensor *primary, const struct tensor *secondary,
                                   const struct tensor *groups)
{
    (void)backend;
    const int64_t n_experts = tensor_count(d_load) / tensor_count(primary);
    for (int64_t g = 0; g < tensor_count(primary); g++) {
        const int64_t tokens = ints(groups)[g + 1] - ints(groups)[g];
        const double share = tokens ? 1 / (double)tokens : 0;
        double sum = 0;
        for (int64_t i = g * n_experts; i < (g + 1) * n_experts; i++) {
            sum += share * reals(d_load)[i] * reals(secondary)[i];
            reals(d_secondary)[i] = (real)(share * reals(d_load)[i] * reals(primary)[g]);
        }
        reals(d_primary)[g] = (real)sum;
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

void REF(set_gate)(struct backend_ops *ops)
{
    ops->gate_noise = ref_gate_noise;
    ops->gate_importance = ref_gate_importance;
    ops->gate_importance_backward = ref_gate_importance_backward;
    ops->gate_load = ref_gate_load;
    ops->gate_backward = ref_gate_backward;
    ops->join_load = ref_join_load;
    ops->join_load_backward = ref_join_load_backward;
    ops->balance_loss = ref_balance_loss;
}
