/* Choosing by masks over the softmax of all experts: the strictly balanced gate (Shazeer et al.
 * 2017, appendix F), and the weights of choices that are not a top-k of their own softmax. */
#include <math.h>

#include "backend/ref/choices.h"

/* -- weights of choices -- */

/* Makes weights first..last-1 their softmax. */
static void softmax_of(const struct tensor *weights, int64_t first, int64_t last)
{
    double largest = -INFINITY, sum = 0;
    for (int64_t c = first; c < last; c++)
        largest = fmax(largest, reals(weights)[c]);
    for (int64_t c = first; c < last; c++)
        sum += exp(reals(weights)[c] - largest);
    for (int64_t c = first; c < last; c++)
        reals(weights)[c] = (real)(exp(reals(weights)[c] - largest) / sum);
}

static void ref_choice_weights(struct backend *backend, const struct tensor *weights,
                               const struct tensor *x, const struct tensor *experts,
                               const struct tensor *starts, bool is_softmax)
{
    (void)backend;
    const int64_t k = tensor_columns(experts);
    CHECK(tensor_count(weights) == tensor_count(experts), "shapes differ");
    for (int64_t n = 0; n < tensor_rows(x); n++) {
        const int64_t first = first_of(starts, k, n), last = first_of(starts, k, n + 1);
        for (int64_t c = first; c < last; c++)
            reals(weights)[c] = reals(x)[n * tensor_columns(x) + ints(experts)[c]];
        if (is_softmax)
            softmax_of(weights, first, last);
    }
}

static void ref_choice_weights_backward(struct backend *backend, const struct tensor *d_x,
                                        const struct tensor *d_weights,
                                        const struct tensor *weights, const struct tensor *experts,
                                        const struct tensor *starts, bool is_softmax)
{
    (void)backend;
    const int64_t k = tensor_columns(experts), n_experts = tensor_columns(d_x);
    for (int64_t i = 0; i < tensor_count(d_x); i++)
        reals(d_x)[i] = 0;
    for (int64_t n = 0; n < tensor_rows(d_x); n++) {
        const int64_t first = first_of(starts, k, n), last = first_of(starts, k, n + 1);
        double mean = 0;
        for (int64_t c = first; c < last && is_softmax; c++)
            mean += (double)reals(weights)[c] * reals(d_weights)[c];
        for (int64_t c = first; c < last; c++) {
            const double slope = is_softmax ? reals(weights)[c] : 1;
            reals(d_x)[n * n_experts + ints(experts)[c]] =
                (real)(slope * (reals(d_weights)[c] - mean));
        }
    }
}

/* -- masks -- */

/* How many of a group's tokens each expert gets. */
static int64_t share_of(int64_t n_tokens, int64_t k, int64_t n_experts)
{
    const int64_t nearest = (2 * k * n_tokens + n_experts) / (2 * n_experts);
    return nearest < 1 ? 1 : nearest > n_tokens ? n_tokens : nearest;
}

/* p [N, E] of token n and expert e; NaN counts as -infinity. */
static double rank_of(const struct tensor *p, int64_t n, int64_t e)
{
    const double value = reals(p)[n * tensor_columns(p) + e];
    return isnan(value) ? -INFINITY : value;
}

/* Clears the mask of the token that comes last among those that expert e has in first..last-1: the
 * highest row of the lowest numbers. */
static void take_away_last(const struct tensor *mask, const struct tensor *p, int64_t first,
                           int64_t last, int64_t e)
{
    int64_t worst = -1;
    for (int64_t n = first; n < last; n++)
        if (ints(mask)[n * tensor_columns(p) + e] &&
            (worst < 0 || rank_of(p, n, e) <= rank_of(p, worst, e)))
            worst = n;
    ints(mask)[worst * tensor_columns(p) + e] = 0;
}

static void ref_balanced_mask(struct backend *backend, const struct tensor *mask,
                              const struct tensor *p, const struct tensor *groups, int64_t k,
                              int64_t n_experts)
{
    (void)backend;
    const int64_t n_columns = tensor_columns(p);
    for (int64_t g = 0; g < group_count(groups); g++) {
        const int64_t first = group_first(groups, g), last = group_end(groups, p, g);
        const int64_t share = share_of(last - first, k, n_experts);
        for (int64_t e = 0; e < n_columns; e++) {
            int64_t kept = 0;
            for (int64_t n = first; n < last; n++) {
                ints(mask)[n * n_columns + e] = 1;
                if (++kept > share)
                    take_away_last(mask, p, first, n + 1, e);
            }
        }
    }
}

static void ref_threshold_mask(struct backend *backend, const struct tensor *mask,
                               const struct tensor *p, const struct tensor *log_threshold,
                               const struct tensor *groups)
{
    (void)backend;
    const int64_t n_experts = tensor_columns(p);
    for (int64_t g = 0; g < group_count(groups); g++)
        for (int64_t n = group_first(groups, g); n < group_end(groups, p, g); n++)
            for (int64_t e = 0; e < n_experts; e++)
                ints(mask)[n * n_experts + e] =
                    reals(p)[n * n_experts + e] > exp(reals(log_threshold)[g * n_experts + e]);
}

static void ref_threshold_loss(struct backend *backend, const struct tensor *loss,
                               const struct tensor *d_p, const struct tensor *d_log_threshold,
                               const struct tensor *p, const struct tensor *mask,
                               const struct tensor *log_threshold, const struct tensor *groups,
                               double coefficient)
{
    (void)backend;
    const int64_t n_experts = tensor_columns(p);
    double total = 0;
    for (int64_t g = 0; g < group_count(groups); g++)
        for (int64_t e = 0; e < n_experts; e++) {
            const double threshold = exp((double)reals(log_threshold)[g * n_experts + e]);
            double surplus = 0;
            for (int64_t n = group_first(groups, g); n < group_end(groups, p, g); n++) {
                const int64_t i = n * n_experts + e;
                const int difference = (reals(p)[i] > threshold) - ints(mask)[i];
                total += difference * (reals(p)[i] - threshold);
                surplus += difference;
                reals(d_p)[i] = (real)(reals(d_p)[i] + coefficient * difference);
            }
            real *d = reals(d_log_threshold) + g * n_experts + e;
            *d = (real)(*d - coefficient * surplus * threshold);
        }
    reals(loss)[0] = (real)(coefficient * total);
}

static void ref_mask_starts(struct backend *backend, const struct tensor *starts,
                            const struct tensor *mask)
{
    (void)backend;
    int32_t count = 0;
    for (int64_t n = 0; n < tensor_rows(mask); n++) {
        ints(starts)[n] = count;
        for (int64_t e = 0; e < tensor_columns(mask); e++)
            count += ints(mask)[n * tensor_columns(mask) + e];
    }
    ints(starts)[tensor_rows(mask)] = count;
}

static void ref_mask_experts(struct backend *backend, const struct tensor *experts,
                             const struct tensor *mask, const struct tensor *starts)
{
    (void)backend;
    for (int64_t n = 0; n < tensor_rows(mask); n++) {
        int64_t c = ints(starts)[n];
        for (int64_t e = 0; e < tensor_columns(mask); e++)
            if (ints(mask)[n * tensor_columns(mask) + e])
                ints(experts)[c++] = (int32_t)e;
    }
}

void REF(set_mask)(struct backend_ops *ops)
{
    ops->choice_weights = ref_choice_weights;
    ops->choice_weights_backward = ref_choice_weights_backward;
    ops->balanced_mask = ref_balanced_mask;
    ops->threshold_mask = ref_threshold_mask;
    ops->threshold_loss = ref_threshold_loss;
    ops->mask_starts = ref_mask_starts;
    ops->mask_experts = ref_mask_experts;
}
