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
                                         .is_met_once = true,
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

/* -- forward -- */

struct experts_turn experts_take_turn(const struct experts *experts, const struct pass *pass,
                                      int64_t first, int64_t n_rows, const struct tensor *offsets)
{
    return (struct experts_turn){.first = first,
                                 .n_rows = n_rows,
                                 .offsets = *offsets,
                                 .patch_offsets = experts->config.n_patches > 1
                                                      ? patch_offsets(experts, pass, offsets)
                                                      : *offsets};
}

/* All rows in one turn. */
static struct experts_turn whole(const struct experts_record *record)
{
    return (struct experts_turn){0, record->x.dim[0], record->offsets, record->patch_offsets};
}

/* A turn's rows of a tensor [M, ..]. */
static struct tensor rows_of(const struct experts_turn *turn, const struct tensor *tensor)
{
    return tensor_slice(tensor, turn->first, turn->n_rows);
}

/* A turn's rows of a tensor [M*P, ..] of patches. */
static struct tensor patches_of(const struct experts *experts, const struct experts_turn *turn,
                                const struct tensor *tensor)
{
    const int64_t n_patches = experts->config.n_patches;
    return tensor_slice(tensor, turn->first * n_patches, turn->n_rows * n_patches);
}

static void take_hidden(const struct experts *experts, const struct pass *pass,
                        struct experts_record *record)
{
    const int64_t n_rows = record->x.dim[0], n_patches = experts->config.n_patches;
    const int64_t width = experts->config.hidden;
    record->hidden = pass_2d(pass, n_rows * n_patches, width);
    record->sum = n_patches > 1 ? pass_2d(pass, n_rows, width) : record->hidden;
}

/* The hidden units of every patch of a turn, and their sum. */
static void hidden_forward(const struct experts *experts, const struct pass *pass,
                           const struct experts_record *record, const struct experts_turn *turn)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const enum activation activation = activation_of(experts);
    const bool is_cube = activation == ACTIVATION_CUBE;
    const int64_t n_patches = experts->config.n_patches, width = experts->config.hidden;
    const struct tensor x = rows_of(turn, &record->x);
    const struct tensor patches = as_patches(experts, &x);
    const struct tensor hidden = patches_of(experts, turn, &record->hidden);
    ops->grouped_linear(backend, &hidden, &patches, &experts->up->weight, false,
                        &experts->up_bias->weight.value, &turn->patch_offsets,
                        is_cube ? ACTIVATION_NONE : activation);
    if (is_cube)
        ops->activate(backend, &hidden, &hidden, activation);
    if (n_patches == 1)
        return;
    const struct tensor side_by_side = tensor_as_2d(&hidden, turn->n_rows, n_patches * width);
    const struct tensor sum = rows_of(turn, &record->sum);
    for (int64_t p = 0; p < n_patches; p++)
        ops->copy_columns(backend, &sum, 0, &side_by_side, p * width, width, p > 0);
}

void experts_forward_open(const struct experts *experts, const struct pass *pass,
                          struct experts_record *record, const struct tensor *x,
                          const struct tensor *offsets)
{
    *record = (struct experts_record){.x = *x, .offsets = *offsets, .patch_offsets = *offsets};
    if (experts->config.n_patches > 1)
        record->patch_offsets = patch_offsets(experts, pass, offsets);
    record->mark = arena_mark(pass->arena);
    take_hidden(experts, pass, record);
}

void experts_forward_turn(const struct experts *experts, const struct pass *pass,
                          const struct experts_record *record, const struct tensor *y,
                          const struct experts_turn *turn)
{
    const struct tensor sum = rows_of(turn, &record->sum), y_turn = rows_of(turn, y);
    hidden_forward(experts, pass, record, turn);
    comm_poll(pass->comm);
    pass->backend->ops->grouped_linear(pass->backend, &y_turn, &sum, &experts->down->weight, false,
                                       &experts->down_bias->weight.value, &turn->offsets,
                                       ACTIVATION_NONE);
}

void experts_forward_close(const struct experts *experts, const struct pass *pass,
                           const struct experts_record *record)
{
    if (is_recomputed(experts) || (experts->config.is_recomputed && !pass->is_training))
        arena_release(pass->arena, record->mark);
}

void experts_forward(const struct experts *experts, const struct pass *pass,
                     struct experts_record *record, const struct tensor *y, const struct tensor *x,
                     const struct tensor *offsets)
{
    experts_forward_open(experts, pass, record, x, offsets);
    const struct experts_turn turn = whole(record);
    experts_forward_turn(experts, pass, record, y, &turn);
    experts_forward_close(experts, pass, record);
}

/* -- backward -- */

/* The gradient of every patch's hidden units before the activation, from that of their sum. */
static void hidden_backward(const struct experts *experts, const struct pass *pass,
                            const struct experts_gradients *gradients,
                            const struct experts_turn *turn)
{
    const struct backend_ops *ops = pass->backend->ops;
    const int64_t n_patches = experts->config.n_patches, width = experts->config.hidden;
    const struct tensor d_sum = rows_of(turn, &gradients->d_sum);
    const struct tensor d_hidden = patches_of(experts, turn, &gradients->d_hidden);
    const struct tensor hidden = patches_of(experts, turn, &gradients->record.hidden);
    const struct tensor side_by_side = tensor_as_2d(&d_hidden, turn->n_rows, n_patches * width);
    for (int64_t p = 0; p < n_patches && n_patches > 1; p++)
        ops->copy_columns(pass->backend, &side_by_side, p * width, &d_sum, 0, width, false);
    if (activation_of(experts) != ACTIVATION_NONE)
        ops->activate_backward(pass->backend, &d_hidden, &hidden, &d_hidden,
                               activation_of(experts));
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

void experts_backward_open(const struct experts *experts, const struct pass *pass,
                           struct experts_gradients *gradients, const struct experts_record *record)
{
    struct pass kept = *pass; /* whose tensors live until the update, where one reads them */
    if (experts->up->products)
        kept.arena = experts->up->products;
    const bool is_hidden = experts->config.n_patches == 1; /* the sum's gradient is a patch's */
    *gradients = (struct experts_gradients){.record = *record};
    struct experts_record *again = &gradients->record;
    if (is_recomputed(experts)) {
        const struct experts_turn turn = whole(again);
        take_hidden(experts, pass, again);
        hidden_forward(experts, pass, again, &turn);
    }
    gradients->d_sum = tensor_like(is_hidden ? kept.arena : pass->arena, &again->sum);
    gradients->d_hidden = is_hidden ? gradients->d_sum : tensor_like(kept.arena, &again->hidden);
}

void experts_backward_turn(const struct experts *experts, const struct pass *pass,
                           const struct experts_gradients *gradients, const struct tensor *d_x,
                           const struct tensor *d_y, const struct experts_turn *turn)
{
    struct backend *backend = pass->backend;
    const struct tensor d_y_turn = rows_of(turn, d_y), d_sum = rows_of(turn, &gradients->d_sum);
    backend->ops->grouped_linear(backend, &d_sum, &d_y_turn, &experts->down->weight, true, NULL,
                                 &turn->offsets, ACTIVATION_NONE);
    hidden_backward(experts, pass, gradients, turn);
    if (!d_x)
        return;
    comm_poll(pass->comm);
    const struct tensor d_x_turn = rows_of(turn, d_x);
    const struct tensor d_patches = as_patches(experts, &d_x_turn);
    const struct tensor d_hidden = patches_of(experts, turn, &gradients->d_hidden);
    backend->ops->grouped_linear(backend, &d_patches, &d_hidden, &experts->up->weight, true, NULL,
                                 &turn->patch_offsets, ACTIVATION_NONE);
}

void experts_backward_params(const struct experts *experts, const struct pass *pass,
                             const struct experts_gradients *gradients, const struct tensor *d_y)
{
    const struct experts_record *record = &gradients->record;
    const struct tensor kept_d_y = keep(pass, d_y, experts->up->products);
    const struct tensor patches = as_patches(experts, &record->x);
    add_gradients(pass, experts->down, experts->down_bias, &record->sum, &kept_d_y,
                  &record->offsets);
    comm_poll(pass->comm);
    add_gradients(pass, experts->up, experts->up_bias, &patches, &gradients->d_hidden,
                  &record->patch_offsets);
}

void experts_backward(const struct experts *experts, const struct pass *pass,
                      const struct tensor *d_x, const struct experts_record *record,
                      const struct tensor *d_y)
{
    struct experts_gradients gradients;
    const struct experts_turn turn = whole(record);
    const size_t mark = arena_mark(pass->arena);
    experts_backward_open(experts, pass, &gradients, record);
    experts_backward_turn(experts, pass, &gradients, d_x, d_y, &turn);
    experts_backward_params(experts, pass, &gradients, d_y);
    arena_release(pass->arena, mark);
}

void experts_add_part(const struct experts *experts, const struct pass *pass)
{
    param_add_part(pass->backend, experts->up);
    param_add_part(pass->backend, experts->up_bias);
    param_add_part(pass->backend, experts->down);
    param_add_part(pass->backend, experts->down_bias);
}
