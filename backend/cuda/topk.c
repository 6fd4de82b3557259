/* The largest K of each row, shared by the gate and the beam search. */
#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"

static void run_top_k(struct backend *backend, const struct tensor *values,
                      const struct tensor *indices, const struct tensor *log_sums,
                      const struct tensor *x)
{
    const int64_t width = tensor_columns(x), k = tensor_columns(values), rows = tensor_rows(x);
    CHECK(k >= 1 && k <= width && tensor_columns(indices) == k && tensor_rows(values) == rows &&
              tensor_rows(indices) == rows && (!log_sums || tensor_count(log_sums) == rows),
          "top %lld of %lld", (long long)k, (long long)width);
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_top_k(context_of(backend)->stream, floats(values), ints(indices),
                               log_sums ? floats(log_sums) : NULL, floats(x), rows, width, k),
                  "top_k");
}

static void cuda_top_k(struct backend *backend, const struct tensor *values,
                       const struct tensor *indices, const struct tensor *x)
{
    run_top_k(backend, values, indices, NULL, x);
}

static void cuda_top_k_log_sum(struct backend *backend, const struct tensor *values,
                               const struct tensor *indices, const struct tensor *log_sums,
                               const struct tensor *x)
{
    run_top_k(backend, values, indices, log_sums, x);
}

void cuda_set_topk(struct backend_ops *ops)
{
    ops->top_k = cuda_top_k;
    ops->top_k_log_sum = cuda_top_k_log_sum;
    ops->linear_top_k = backend_linear_top_k;
}
