/* Sorting tokens by expert, and bringing the experts' outputs back together. */
#include "backend/cuda/choices.h"

static void cuda_dispatch(struct backend *backend, const struct tensor *rows,
                          const struct tensor *place, const struct tensor *offsets,
                          const struct tensor *experts, const struct tensor *starts,
                          const struct tensor *groups)
{
    const int64_t n_all = tensor_count(offsets) - 1, n_groups = group_count(groups);
    const struct choice_shape shape = choice_shape_of(experts, starts, n_all / n_groups, n_groups);
    CHECK(tensor_count(rows) == shape.n_choices && tensor_count(place) == shape.n_choices &&
              n_all >= 1 && n_all % n_groups == 0,
          "shapes differ");
    if (!context_enter(backend))
        return;
    void *scratch = context_scratch(backend, dispatch_scratch(shape));
    if (!scratch)
        return;
    context_check(backend,
                  launch_dispatch(context_of(backend)->stream, ints(rows), ints(place),
                                  ints(offsets), scratch, ints(experts), ints_or_null(starts),
                                  ints_or_null(groups), shape),
                  "dispatch");
}

static void cuda_combine(struct backend *backend, const struct tensor *y, const struct tensor *x,
                         const struct tensor *weights, const struct tensor *place,
                         const struct tensor *starts)
{
    const struct choice_shape shape = choice_shape_of(place, starts, 0, 1);
    CHECK(tensor_rows(y) == shape.n_tokens && tensor_rows(x) == shape.n_choices &&
              tensor_columns(x) == tensor_columns(y),
          "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_combine(context_of(backend)->stream, floats(y), floats(x),
                                 floats_or_null(weights), ints(place), ints_or_null(starts), shape,
                                 tensor_columns(y)),
                  "combine");
}

static void cuda_combine_backward(struct backend *backend, const struct tensor *d_x,
                                  const struct tensor *d_weights, const struct tensor *x,
                                  const struct tensor *weights, const struct tensor *place,
                                  const struct tensor *starts, const struct tensor *d_y)
{
    const struct choice_shape shape = choice_shape_of(place, starts, 0, 1);
    CHECK(tensor_rows(d_y) == shape.n_tokens && tensor_rows(d_x) == shape.n_choices &&
              tensor_count(x) == tensor_count(d_x) && tensor_columns(x) == tensor_columns(d_y),
          "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_combine_backward(context_of(backend)->stream, floats(d_x),
                                          floats(d_weights), floats(x), floats(weights),
                                          ints(place), ints_or_null(starts), floats(d_y), shape,
                                          tensor_columns(d_y)),
                  "combine_backward");
}

void cuda_set_moe(struct backend_ops *ops)
{
    ops->dispatch = cuda_dispatch;
    ops->combine = cuda_combine;
    ops->combine_backward = cuda_combine_backward;
}
