/* The gates' noise, balance losses and gradients. */
#include "backend/cuda/choices.h"

static struct gate_view view_of(const struct gating *gating)
{
    return (struct gate_view){.clean = floats_or_null(&gating->clean),
                              .raw = floats_or_null(&gating->raw),
                              .stddev = floats_or_null(&gating->stddev),
                              .noisy = floats_or_null(&gating->noisy),
                              .top = floats_or_null(&gating->top),
                              .order = ints_or_null(&gating->order),
                              .weights = floats_or_null(&gating->weights),
                              .experts = ints_or_null(&gating->experts),
                              .starts = ints_or_null(&gating->starts),
                              .groups = ints_or_null(&gating->groups),
                              .scale = floats_or_null(&gating->scale),
                              .n_tokens = tensor_rows(&gating->clean),
                              .n_experts = tensor_columns(&gating->clean),
                              .k = gating->experts.rank ? tensor_columns(&gating->experts) : 0,
                              .n_top = gating->top.rank ? tensor_columns(&gating->top) : 0,
                              .n_groups = group_count(&gating->groups),
                              .noise = gating->noise,
                              .least_stddev = (float)GATE_MIN_STDDEV};
}

static void cuda_gate_noise(struct backend *backend, const struct gating *gating,
                            struct random_key key, const struct tensor *names)
{
    CHECK(tensor_count(&gating->noisy) == tensor_count(&gating->clean) &&
              tensor_count(&gating->raw) == tensor_count(&gating->stddev),
          "shapes differ");
    if (!context_enter(backend))
        return;
    const struct philox_key words = {key.seed, key.step, key.stream};
    context_check(
        backend,
        launch_gate_noise(context_of(backend)->stream, view_of(gating), words, ints_or_null(names)),
        "gate_noise");
}

/* -- importance -- */

/* Of the choices of a gating, with n_all experts in all groups. */
static struct choice_shape gating_choices(const struct gating *gating, int64_t n_all)
{
    const int64_t n_groups = group_count(&gating->groups);
    CHECK(n_all % n_groups == 0, "%lld experts in %lld groups", (long long)n_all,
          (long long)n_groups);
    return choice_shape_of(&gating->experts, &gating->starts, n_all / n_groups, n_groups);
}

/* sums [G*E] over choices of view's weights. */
static void sum_choices(struct backend *backend, const struct tensor *sums, struct gate_view view,
                        struct choice_shape shape, const char *what)
{
    float *scratch = context_scratch(backend, gate_importance_scratch(shape));
    if (scratch)
        context_check(
            backend,
            launch_gate_importance(context_of(backend)->stream, floats(sums), scratch, view, shape),
            what);
}

static void cuda_gate_importance(struct backend *backend, const struct tensor *importance,
                                 const struct gating *gating)
{
    const struct choice_shape shape = gating_choices(gating, tensor_count(importance));
    if (context_enter(backend))
        sum_choices(backend, importance, view_of(gating), shape, "gate_importance");
}

static void cuda_gate_importance_backward(struct backend *backend, const struct tensor *d_weights,
                                          const struct tensor *d_scale,
                                          const struct tensor *d_importance,
                                          const struct gating *gating)
{
    const struct choice_shape shape = gating_choices(gating, tensor_count(d_importance));
    CHECK(tensor_count(d_weights) == shape.n_choices, "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_gate_importance_backward(context_of(backend)->stream, floats(d_weights),
                                                  floats_or_null(d_scale), floats(d_importance),
                                                  view_of(gating), shape),
                  "gate_importance_backward");
}

/* -- load -- */

/* True where the load is a sum of chances; else tokens are counted. */
static bool is_smooth(const struct gating *gating)
{
    return gating->noise > 0 &&
           tensor_columns(&gating->top) == tensor_columns(&gating->experts) + 1;
}

static void cuda_gate_load(struct backend *backend, const struct tensor *load,
                           const struct gating *gating)
{
    struct gate_view view = view_of(gating);
    const struct choice_shape shape = gating_choices(gating, tensor_count(load));
    if (!context_enter(backend))
        return;
    if (!is_smooth(gating)) {
        view.weights = NULL;
        sum_choices(backend, load, view, shape, "gate_load");
        return;
    }
    CHECK(tensor_count(load) == view.n_groups * view.n_experts, "%lld loads",
          (long long)tensor_count(load));
    float *scratch = context_scratch(backend, gate_load_scratch(view));
    if (scratch)
        context_check(backend,
                      launch_gate_load(context_of(backend)->stream, floats(load), scratch, view),
                      "gate_load");
}

/* -- gradients -- */

static void cuda_gate_backward(struct backend *backend, const struct tensor *d_clean,
                               const struct tensor *d_raw, const struct tensor *d_weights,
                               const struct tensor *d_load, const struct gating *gating)
{
    const struct gate_view view = view_of(gating);
    CHECK(!view.starts && (view.n_top == view.k || view.n_top == view.k + 1),
          "%lld top values of %lld", (long long)view.n_top, (long long)view.k);
    CHECK(tensor_count(d_clean) == tensor_count(&gating->clean) && !d_raw == !view.raw,
          "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_gate_backward(context_of(backend)->stream, floats(d_clean),
                                       floats_or_null(d_raw), floats_or_null(d_weights),
                                       is_smooth(gating) ? floats_or_null(d_load) : NULL, view),
                  "gate_backward");
}

/* -- losses -- */

static void cuda_join_load(struct backend *backend, const struct tensor *load,
                           const struct tensor *primary, const struct tensor *secondary,
                           const struct tensor *groups)
{
    const int64_t n_groups = tensor_count(primary);
    CHECK(tensor_count(groups) == n_groups + 1 && tensor_count(secondary) == tensor_count(load),
          "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_join_load(context_of(backend)->stream, floats(load), floats(primary),
                                   floats(secondary), ints(groups), n_groups,
                                   tensor_count(load) / n_groups),
                  "join_load");
}

static void cuda_join_load_backward(struct backend *backend, const struct tensor *d_primary,
                                    const struct tensor *d_secondary, const struct tensor *d_load,
                                    const struct tensor *primary, const struct tensor *secondary,
                                    const struct tensor *groups)
{
    const int64_t n_groups = tensor_count(primary);
    CHECK(tensor_count(groups) == n_groups + 1 && tensor_count(secondary) == tensor_count(d_load),
          "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_join_load_backward(context_of(backend)->stream, floats(d_primary),
                                            floats(d_secondary), floats(d_load), floats(primary),
                                            floats(secondary), ints(groups), n_groups,
                                            tensor_count(d_load) / n_groups),
                  "join_load_backward");
}

static void cuda_balance_loss(struct backend *backend, const struct tensor *loss,
                              const struct tensor *d_v, const struct tensor *v, double coefficient)
{
    CHECK(tensor_count(d_v) == tensor_count(v), "counts differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_balance_loss(context_of(backend)->stream, floats(loss), floats(d_v),
                                      floats(v), tensor_count(v), coefficient),
                  "balance_loss");
}

void cuda_set_gate(struct backend_ops *ops)
{
    ops->gate_noise = cuda_gate_noise;
    ops->gate_importance = cuda_gate_importance;
    ops->gate_importance_backward = cuda_gate_importance_backward;
    ops->gate_load = cuda_gate_load;
    ops->gate_backward = cuda_gate_backward;
    ops->join_load = cuda_join_load;
    ops->join_load_backward = cuda_join_load_backward;
    ops->balance_loss = cuda_balance_loss;
}
