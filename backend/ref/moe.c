/* Sorting tokens by expert, and bringing the experts' outputs back together. */
#include "backend/ref/real.h"

static void ref_dispatch(struct backend *backend, const struct tensor *order,
                         const struct tensor *place, const struct tensor *offsets,
                         const struct tensor *experts)
{
    (void)backend;
    const int64_t n_choices = tensor_count(experts), n_experts = tensor_count(offsets) - 1;
    CHECK(tensor_count(order) == n_choices && tensor_count(place) == n_choices && n_experts >= 1,
          "shapes differ");
    int32_t *start = ints(offsets);
    for (int64_t e = 0; e <= n_experts; e++)
        start[e] = 0;
    for (int64_t i = 0; i < n_choices; i++) {
        const int32_t e = ints(experts)[i];
        CHECK(e >= 0 && e < n_experts, "expert %d of %lld", e, (long long)n_experts);
        start[e + 1]++;
    }
    for (int64_t e = 0; e < n_experts; e++)
        start[e + 1] += start[e];
    /* Each place is taken from its expert's start, which moves on and is moved back at the end. */
    for (int64_t i = 0; i < n_choices; i++) {
        const int32_t at = start[ints(experts)[i]]++;
        ints(place)[i] = at;
        ints(order)[at] = (int32_t)i;
    }
    for (int64_t e = n_experts; e > 0; e--)
        start[e] = start[e - 1];
    start[0] = 0;
}

static void ref_combine(struct backend *backend, const struct tensor *y, const struct tensor *x,
                        const struct tensor *weights, const struct tensor *place)
{
    (void)backend;
    const int64_t width = tensor_columns(y), k = tensor_columns(place);
    CHECK(tensor_rows(y) == tensor_rows(place) && tensor_rows(x) == tensor_count(place) &&
              tensor_columns(x) == width,
          "shapes differ");
    for (int64_t n = 0; n < tensor_rows(y); n++)
        for (int64_t d = 0; d < width; d++) {
            double sum = 0;
            for (int64_t i = n * k; i < (n + 1) * k; i++)
                sum += (weights ? (double)reals(weights)[i] : 1) *
                       reals(x)[ints(place)[i] * width + d];
            reals(y)[n * width + d] = (real)sum;
        }
}

static void ref_combine_backward(struct backend *backend, const struct tensor *d_x,
                                 const struct tensor *d_weights, const struct tensor *x,
                                 const struct tensor *weights, const struct tensor *place,
                                 const struct tensor *d_y)
{
    (void)backend;
    const int64_t width = tensor_columns(d_y), k = tensor_columns(place);
    CHECK(tensor_rows(d_y) == tensor_rows(place) && tensor_rows(d_x) == tensor_count(place),
          "shapes differ");
    for (int64_t i = 0; i < tensor_count(place); i++) {
        const int64_t row = ints(place)[i] * width;
        double dot = 0;
        for (int64_t d = 0; d < width; d++) {
            const double up = reals(d_y)[i / k * width + d];
            dot += up * reals(x)[row + d];
            reals(d_x)[row + d] = (real)(reals(weights)[i] * up);
        }
        reals(d_weights)[i] = (real)dot;
    }
}

void REF(set_moe)(struct backend_ops *ops)
{
    ops->dispatch = ref_dispatch;
    ops->combine = ref_combine;
    ops->combine_backward = ref_combine_backward;
}
