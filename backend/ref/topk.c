/* The largest K of each row, shared by the gate and the beam search. */
#include <math.h>

#include "backend/ref/real.h"

static void ref_top_k(struct backend *backend, const struct tensor *values,
                      const struct tensor *indices, const struct tensor *x)
{
    (void)backend;
    const int64_t width = tensor_columns(x), k = tensor_columns(values);
    CHECK(k >= 1 && k <= width && tensor_columns(indices) == k &&
              tensor_rows(values) == tensor_rows(x) && tensor_rows(indices) == tensor_rows(x),
          "top %lld of %lld", (long long)k, (long long)width);
    for (int64_t n = 0; n < tensor_rows(x); n++) {
        real *best = reals(values) + n * k;
        int32_t *place = ints(indices) + n * k;
        int64_t kept = 0;
        for (int64_t m = 0; m < width; m++) {
            const real raw = reals(x)[n * width + m];
            const real value = isnan(raw) ? (real)-INFINITY : raw;
            if (kept == k && !(value > best[k - 1]))
                continue;
            int64_t at = kept < k ? kept++ : k - 1;
            for (; at > 0 && value > best[at - 1]; at--) {
                best[at] = best[at - 1];
                place[at] = place[at - 1];
            }
            best[at] = value;
            place[at] = (int32_t)m;
        }
    }
}

static void ref_top_k_log_sum(struct backend *backend, const struct tensor *values,
                              const struct tensor *indices, const struct tensor *log_sums,
                              const struct tensor *x)
{
    backend->ops->top_k(backend, values, indices, x);
    backend->ops->log_sum_exp(backend, log_sums, x);
}

void REF(set_topk)(struct backend_ops *ops)
{
    ops->linear_top_k = backend_linear_top_k;
    ops->top_k_log_sum = ref_top_k_log_sum;
    ops->top_k = ref_top_k;
}
