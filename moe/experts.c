/* Feed-forward experts. */
#include "moe/experts.h"

#include <math.h>

static struct param *add_matrices(struct param_list *params, const char *prefix, const char *name,
                                  int64_t n_experts, int64_t in, int64_t out)
{
    return param_add(params,
                     (struct param_spec){.rank = 3,
                                         .dim = {n_experts, in, out},
                                         .start = PARAM_UNIFORM,
                                         .bound = sqrt(3.0 / (double)in),
                                         .forms = PACK_PLAIN,
                                         .is_expert = true},
                     "%s.%s", prefix, name);
}

static struct param *add_biases(struct param_list *params, const char *prefix, const char *name,
                                int64_t n_experts, int64_t out)
{
    return param_add(params,
                     (struct param_spec){.rank = 2, .dim = {n_experts, out}, .is_expert = true},
                     "%s.%s", prefix, name);
}

void experts_init(struct experts *experts, struct param_list *params, const char *prefix,
                  int64_t n_experts, int64_t in, int64_t out, const struct expert_config *config)
{
    const int64_t n_patches = config->n_patches, hidden = config->hidden;
    CHECK(n_patches >= 1 && n_patches <= EXPERTS_MAX_PATCHES && in % n_patches == 0,
          "%lld patches of %lld inputs", (long long)n_patches, (long long)in);
    *experts = (struct experts){.config = *config};
    experts->up = add_matrices(params, prefix, "up", n_experts, in / n_patches, hidden);
    experts->up_bias = add_biases(params, prefix, "up_bias", n_experts, hidden);
    experts->down = add_matrices(params, prefix, "down", n_experts, hidden, out);
    experts->down_bias = add_biases(params, prefix, "down_bias", n_experts, out);
}

/* Patch p of x [M, in]: x itself where there is but one. */
static struct tensor patch_of(const struct experts *experts, const struct pass *pass,
                              const struct tensor *x, int64_t p)
{
    const int64_t width = experts->up->weight.value.dim[1];
    if (experts->config.n_patches == 1)
        return *x;
    const struct tensor patch = pass_2d(pass, x->dim[0], width);
    pass->backend->ops->copy_columns(pass->backend, &patch, 0, x, p * width, width, false);
    return patch;
}

static enum activation activation_of(const struct experts *experts)
{
    switch (experts->config.kind) {
    case EXPERT_RELU:
        return ACTIVATION_RELU;
    case EXPERT_CUBIC:
        return ACTIVATION_CUBE;
    default:
        return ACTIVATION_NONE;
    }
}

/* The hidden units of every patch, and their sum, in fresh tensors. */
static void hidden_forward(const struct experts *experts, const struct pass *pass,
                           struct experts_record *record)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const enum activation activation = activation_of(experts);
    const bool is_cube = activation == ACTIVATION_CUBE;
    const int64_t n_rows = record->x.dim[0];
    for (int64_t p = 0; p < experts->config.n_patches; p++) {
        const struct tensor *hidden = &record->hidden[p];
        record->hidden[p] = pass_2d(pass, n_rows, experts->config.hidden);
        const size_t mark = arena_mark(pass->arena);
        const struct tensor patch = patch_of(experts, pass, &record->x, p);
        ops->grouped_linear(backend, hidden, &patch, &experts->up->weight, false,
                            &experts->up_bias->weight.value, &record->offsets,
                            is_cube ? ACTIVATION_NONE : activation);
        if (is_cube)
            ops->activate(backend, hidden, hidden, activation);
        arena_release(pass->arena, mark);
    }
    record->sum = record->hidden[0];
    if (experts->config.n_patches == 1)
        return;
    record->sum = tensor_like(pass->arena, &record->hidden[0]);
    ops->copy(backend, &record->sum, &record->hidden[0]);
    for (int64_t p = 1; p < experts->config.n_patches; p++)
        ops->add(backend, &record->sum, &record->hidden[p], 1);
}

void experts_forward(const struct experts *experts, const struct pass *pass,
                     struct experts_record *record, const struct tensor *y, const struct tensor *x,
                     const struct tensor *offsets)
{
    *record = (struct experts_record){.x = *x, .offsets = *offsets};
    const size_t mark = arena_mark(pass->arena);
    hidden_forward(experts, pass, record);
    pass->backend->ops->grouped_linear(pass->backend, y, &record->sum, &experts->down->weight,
                                       false, &experts->down_bias->weight.value, offsets,
                                       ACTIVATION_NONE);
    if (experts->config.is_recomputed)
        arena_release(pass->arena, mark);
}

/* Gradients of one patch: d_hidden [M, F] of its hidden units. */
static void patch_backward(const struct experts *experts, const struct pass *pass,
                           const struct tensor *d_x, const struct experts_record *record, int64_t p,
                           const struct tensor *d_hidden)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const bool is_whole = experts->config.n_patches == 1;
    const int64_t width = experts->up->weight.value.dim[1];
    const struct tensor patch = patch_of(experts, pass, &record->x, p);
    const struct tensor d_patch = is_whole ? *d_x : tensor_like(pass->arena, &patch);
    ops->grouped_linear_gradient(backend, &experts->up->grad, &experts->up_bias->grad, &patch,
                                 d_hidden, &record->offsets);
    ops->grouped_linear(backend, &d_patch, d_hidden, &experts->up->weight, true, NULL,
                        &record->offsets, ACTIVATION_NONE);
    if (!is_whole)
        ops->copy_columns(backend, d_x, p * width, &d_patch, 0, width, false);
}

void experts_backward(const struct experts *experts, const struct pass *pass,
                      const struct tensor *d_x, const struct experts_record *record,
                      const struct tensor *d_y)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    struct experts_record again = *record;
    const size_t mark = arena_mark(pass->arena);
    if (experts->config.is_recomputed)
        hidden_forward(experts, pass, &again);
    const struct tensor d_sum = tensor_like(pass->arena, &again.sum);
    const struct tensor d_hidden = tensor_like(pass->arena, &again.sum);
    ops->grouped_linear_gradient(backend, &experts->down->grad, &experts->down_bias->grad,
                                 &again.sum, d_y, &record->offsets);
    ops->grouped_linear(backend, &d_sum, d_y, &experts->down->weight, true, NULL, &record->offsets,
                        ACTIVATION_NONE);
    for (int64_t p = 0; p < experts->config.n_patches; p++) {
        const size_t patch_mark = arena_mark(pass->arena);
        ops->activate_backward(backend, &d_hidden, &again.hidden[p], &d_sum,
                               activation_of(experts));
        patch_backward(experts, pass, d_x, &again, p, &d_hidden);
        arena_release(pass->arena, patch_mark);
    }
    arena_release(pass->arena, mark);
}
