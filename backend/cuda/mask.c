/* Choosing by masks over the softmax of all experts, and the weights of choices. */
#include "backend/cuda/choices.h"

static void cuda_choice_weights(struct backend *backend, const struct tensor *weights,
                                const struct tensor *x, const struct tensor *experts,
                                const struct tensor *starts, bool is_softmax)
{
    const struct choice_shape shape = choice_shape_of(experts, starts, tensor_columns(x), 1);
    CHECK(tensor_count(weights) == shape.n_choices && tensor_rows(x) == shape.n_tokens,
          "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_choice_weights(context_of(backend)->stream, floats(weights), floats(x),
                                        ints(experts), ints_or_null(starts), shape, is_softmax),
                  "choice_weights");
}

static void cuda_choice_weights_backward(struct backend *backend, const struct tensor *d_x,
                                         const struct tensor *d_weights,
                                         const struct tensor *weights, const struct tensor *experts,
                                         const struct tensor *starts, bool is_softmax)
{
    const struct choice_shape shape = choice_shape_of(experts, starts, tensor_columns(d_x), 1);
    CHECK(tensor_count(weights) == shape.n_choices && tensor_count(d_weights) == shape.n_choices &&
              tensor_rows(d_x) == shape.n_tokens,
          "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_choice_weights_backward(context_of(backend)->stream, floats(d_x),
                                                 floats(d_weights), floats(weights), ints(experts),
                                                 ints_or_null(starts), shape, is_softmax),
                  "choice_weights_backward");
}

static void cuda_balanced_mask(struct backend *backend, const struct tensor *mask,
                               const struct tensor *p, const struct tensor *groups, int64_t k,
                               int64_t n_experts)
{
    const int64_t rows = tensor_rows(p), n_columns = tensor_columns(p);
    const int64_t n_groups = group_count(groups);
    CHECK(tensor_count(mask) == tensor_count(p), "shapes differ");
    if (!context_enter(backend))
        return;
    void *scratch = context_scratch(backend, balanced_mask_scratch(rows, n_columns, n_groups));
    if (!scratch)
        return;
    context_check(backend,
                  launch_balanced_mask(context_of(backend)->stream, ints(mask), scratch, floats(p),
                                       ints_or_null(groups), n_groups, rows, n_columns, k,
                                       n_experts),
                  "balanced_mask");
}

static void cuda_threshold_mask(struct backend *backend, const struct tensor *mask,
                                const struct tensor *p, const struct tensor *log_threshold,
                                const struct tensor *groups)
{
    const int64_t n_experts = tensor_columns(p), n_groups = group_count(groups);
    CHECK(tensor_count(mask) == tensor_count(p) &&
              tensor_count(log_threshold) == n_groups * n_experts,
          "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_threshold_mask(context_of(backend)->stream, ints(mask), floats(p),
                                        floats(log_threshold), ints_or_null(groups), n_groups,
                                        tensor_rows(p), n_experts),
                  "threshold_mask");
}

static void cuda_threshold_loss(struct backend *backend, const struct tensor *loss,
                                const struct tensor *d_p, const struct tensor *d_log_threshold,
                                const struct tensor *p, const struct tensor *mask,
                                const struct tensor *log_threshold, const struct tensor *groups,
                                double coefficient)
{
    const int64_t rows = tensor_rows(p), n_experts = tensor_columns(p);
    const int64_t n_groups = group_count(groups);
    CHECK(tensor_count(mask) == tensor_count(p) && tensor_count(d_p) == tensor_count(p) &&
              tensor_count(log_threshold) == n_groups * n_experts &&
              tensor_count(d_log_threshold) == n_groups * n_experts,
          "shapes differ");
    if (!context_enter(backend))
        return;
    void *scratch = context_scratch(backend, threshold_loss_scratch(rows, n_experts, n_groups));
    if (!scratch)
        return;
    context_check(backend,
                  launch_threshold_loss(context_of(backend)->stream, floats(loss), floats(d_p),
                                        floats(d_log_threshold), scratch, floats(p), ints(mask),
                                        floats(log_threshold), ints_or_null(groups), n_groups, rows,
                                        n_experts, (float)coefficient),
                  "threshold_loss");
}

static void cuda_mask_starts(struct backend *backend, const struct tensor *starts,
                             const struct tensor *mask)
{
    CHECK(tensor_count(starts) == tensor_rows(mask) + 1, "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_mask_starts(context_of(backend)->stream, ints(starts), ints(mask),
                                     tensor_rows(mask), tensor_columns(mask)),
                  "mask_starts");
}

static void cuda_mask_experts(struct backend *backend, const struct tensor *experts,
                              const struct tensor *mask, const struct tensor *starts)
{
    CHECK(tensor_count(starts) == tensor_rows(mask) + 1, "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_mask_experts(context_of(backend)->stream, ints(experts), ints(mask),
                                      ints(starts), tensor_rows(mask), tensor_columns(mask)),
                  "mask_experts");
}

void cuda_set_mask(struct backend_ops *ops)
{
    ops->choice_weights = cuda_choice_weights;
    ops->choice_weights_backward = cuda_choice_weights_backward;
    ops->balanced_mask = cuda_balanced_mask;
    ops->threshold_mask = cuda_threshold_mask;
    ops->threshold_loss = cuda_threshold_loss;
    ops->mask_starts = cuda_mask_starts;
    ops->mask_experts = cuda_mask_experts;
}
