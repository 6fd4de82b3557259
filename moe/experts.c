/* Feed-forward experts. */
#include "moe/experts.h"

#include <math.h>

/* Fewer numbers in the rows that a product's factors have than in its matrices, by half: their norm
 * takes the product of every row with every other. */
static bool are_few(int64_t n_rows, int64_t n_experts, int64_t in, int64_t out)
{
    return n_rows > 0 &&
           2 * (double)n_rows * (double)(in + out) < (double)n_experts * (double)in * (double)out;
}

bool experts_have_few_rows(const struct expert_config *config, int64_t n_experts, int64_t in,
                           int64_t out)
{
    const int64_t n_patches = config->n_patches;
    return are_few(config->n_rows * n_patches, n_experts, in / n_patches, config->hidden) &&
           are_few(config->n_rows, n_experts, config->hidden, out);
}

static struct param *add_matrices(struct param_list *params, const char *prefix, const char *name,
                                  int64_t n_experts, int64_t in, int64_t out, bool is_product)
{
    return param_add(params,
                     (struct param_spec){.rank = 3,
                                         .dim = {n_experts, in, out},
                                         .start = PARAM_UNIFORM,
                                         .bound = sqrt(3.0 / (double)in),
                                         .forms = PACK_PLAIN,
                                         .is_expert = true,
                                         .is_product = is_product,
                                         .may_round = true},
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
    CHECK(n_patches >= 1 && in % n_patches == 0, "%lld patches of %lld inputs",
          (long long)n_patches, (long long)in);
    const bool is_product = experts_have_few_rows(config, n_experts, in, out);
    *experts = (struct experts){.config = *config};
    experts->up = add_matrices(params, prefix, "up", n_experts, in / n_patches, hidden, is_product);
    experts->up_bias = add_biases(params, prefix, "up_bias", n_experts, hidden);
    experts->down = add_matrices(params, prefix, "down", n_experts, hidden, out, is_product);
    experts->down_bias = add_biases(params, prefix, "down_bias", n_experts, out);
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

/* Where each expert's patches start: offsets [E+1] times P. */
static struct tensor patch_offsets(const struct experts *experts, const struct pass *pass,
                                   const struct tensor *offsets)
{
    enum { BLOCK = 1024 };
    int32_t starts[BLOCK];
    const int64_t count = tensor_count(offsets);
    const struct tensor scaled = tensor_like(pass->arena, offsets);
    for (int64_t first = 0; first < count; first += BLOCK) {
        const int64_t n = count - first < BLOCK ? count - first : BLOCK;
        const struct tensor from = tensor_slice(offsets, first, n);
        const struct tensor to = tensor_slice(&scaled, first, n);
        pass->backend->ops->download(pass->backend, starts, &from, (size_t)n * sizeof *starts);
        for (int64_t i = 0; i < n; i++)
            starts[i] *= (int32_t)experts->config.n_patches;
        pass->backend->ops->upload(pass->backend, &to, starts, (size_t)n * sizeof *starts);
    }
    return scaled;
}

/* x [M, in] or its gradient as patches [M*P, in / P]. */
static struct tensor as_patches(const struct experts *experts, const struct tensor *x)
{
    const int64_t n_patches = experts->config.n_patches;
    return tensor_as_2d(x, x->dim[0] * n_patches, x->dim[1] / n_patches);
}

/* Hidden units that a gradient's factors keep anyway are not computed again. */
static bool is_recomputed(const struct experts *experts)
{
    return experts->config.is_recomputed && !experts->up->products;
}

/* The hidden units of every patch, and their sum, in fresh tensors. */
static void hidden_forward(const struct experts *experts, const struct pass *pass,
                           struct experts_record *record)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const enum activation activation = activation_of(experts);
    const bool is_cube = activation == ACTIVATION_CUBE;
    const int64_t n_rows = record->x.dim[0], n_patches = experts->config.n_patches;
    const int64_t width = experts->config.hidden;
    const struct tensor patches = as_patches(experts, &record->x);
    record->patch_offsets =
        n_patches > 1 ? patch_offsets(experts, pass, &record->offsets) : record->offsets;
    record->hidden = pass_2d(pass, n_rows * n_patches, width);
    ops->grouped_linear(backend, &record->hidden, &patches, &experts->up->weight, false,
                        &experts->up_bias->weight.value, &record->patch_offsets,
                        is_cube ? ACTIVATION_NONE : activation);
    if (is_cube)
        ops->activate(backend, &record->hidden, &record->hidden, activation);
    record->sum = record->hidden;
    if (n_patches == 1)
        return;
    const struct tensor side_by_side = tensor_as_2d(&record->hidden, n_rows, n_patches * width);
    record->sum = pass_2d(pass, n_rows, width);
    for (int64_t p = 0; p < n_patches; p++)
        ops->copy_columns(backend, &record->sum, 0, &side_by_side, p * width, width, p > 0);
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
    if (is_recomputed(experts) || (experts->config.is_recomputed && !pass->is_training))
        arena_release(pass->arena, mark);
}

/* The gradient [M*P, F] of every patch's hidden units before the activation, from that of their sum
 * [M, F], which it may replace. */
static struct tensor hidden_backward(const struct experts *experts, const struct pass *pass,
                                     const struct experts_record *record,
                                     const struct tensor *d_sum)
{
    const struct backend_ops *ops = pass->backend->ops;
    const int64_t n_rows = record->x.dim[0], n_patches = experts->config.n_patches;
    const int64_t width = experts->config.hidden;
    struct tensor d_hidden = *d_sum;
    if (n_patches > 1) {
        d_hidden = tensor_like(pass->arena, &record->hidden);
        const struct tensor side_by_side = tensor_as_2d(&d_hidden, n_rows, n_patches * width);
        for (int64_t p = 0; p < n_patches; p++)
            ops->copy_columns(pass->backend, &side_by_side, p * width, d_sum, 0, width, false);
    }
    if (activation_of(experts) != ACTIVATION_NONE)
        ops->activate_backward(pass->backend, &d_hidden, &record->hidden, &d_hidden,
                               activation_of(experts));
    return d_hidden;
}

/* Adds the gradients of matrices and biases; of matrices whose gradient is not stored, leaves its
 * factors. */
static void add_gradients(const struct pass *pass, struct param *matrices, struct param *biases,
                          const struct tensor *x, const struct tensor *d_y,
                          const struct tensor *offsets)
{
    pass->backend->ops->grouped_linear_gradient(pass->backend, tensor_or_null(&matrices->grad),
                                                &biases->grad, x, d_y, offsets);
    if (!matrices->products)
        return;
    CHECK(matrices->product.x.rank == 0, "%s: gradients of two passes, and no place for their sum",
          matrices->name);
    matrices->product = (struct product_gradient){.x = *x, .d_y = *d_y, .offsets = *offsets};
}

/* A copy of d_y that lives until the update, where one is needed. */
static struct tensor keep(const struct pass *pass, const struct tensor *d_y, struct arena *products)
{
    if (!products)
        return *d_y;
    const struct tensor copy = tensor_like(products, d_y);
    pass->backend->ops->copy(pass->backend, &copy, d_y);
    return copy;
}

void experts_backward(const struct experts *experts, const struct pass *pass,
                      const struct tensor *d_x, const struct experts_record *record,
                      const struct tensor *d_y)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    struct arena *products = experts->up->products;
    struct experts_record again = *record;
    struct pass kept = *pass; /* whose tensors live until the update, where one reads them */
    if (products)
        kept.arena = products;
    const size_t mark = arena_mark(pass->arena);
    if (is_recomputed(experts))
        hidden_forward(experts, pass, &again);
    const bool is_hidden = experts->config.n_patches == 1; /* the sum's gradient is a patch's */
    const struct tensor d_sum = tensor_like(is_hidden ? kept.arena : pass->arena, &again.sum);
    const struct tensor kept_d_y = keep(pass, d_y, products);
    add_gradients(pass, experts->down, experts->down_bias, &again.sum, &kept_d_y, &again.offsets);
    ops->grouped_linear(backend, &d_sum, d_y, &experts->down->weight, true, NULL, &again.offsets,
                        ACTIVATION_NONE);
    const struct tensor d_hidden = hidden_backward(experts, &kept, &again, &d_sum);
    const struct tensor patches = as_patches(experts, &again.x);
    add_gradients(pass, experts->up, experts->up_bias, &patches, &d_hidden, &again.patch_offsets);
    if (d_x) {
        const struct tensor d_patches = as_patches(experts, d_x);
        ops->grouped_linear(backend, &d_patches, &d_hidden, &experts->up->weight, true, NULL,
                            &again.patch_offsets, ACTIVATION_NONE);
    }
    arena_release(pass->arena, mark);
}

void experts_add_part(const struct experts *experts, const struct pass *pass)
{
    param_add_part(pass->backend, experts->up);
    param_add_part(pass->backend, experts->up_bias);
    param_add_part(pass->backend, experts->down);
    param_add_part(pass->backend, experts->down_bias);
}
