/* The mixture-of-experts layer: gate, dispatch, experts, combine. */
#include "moe/moe.h"

#include <stdio.h>

void moe_init(struct moe *moe, struct param_list *params, const char *name, int64_t dim,
              const struct moe_config *config, uint32_t stream)
{
    *moe = (struct moe){.has_sigmoid = config->has_sigmoid, .stream = stream + 1};
    snprintf(moe->name, sizeof moe->name, "%s", name);
    moe->gate = (struct gate){.n_experts = config->n_experts,
                              .top_k = config->top_k,
                              .importance_weight = config->importance_weight,
                              .load_weight = config->load_weight,
                              .stream = stream};
    gate_init(&moe->gate, params, name, dim);
    experts_init(&moe->experts, params, name, config->n_experts, dim, config->hidden);
}

/* Sorts the tokens' choices by expert. */
static void dispatch(const struct moe *moe, const struct pass *pass, struct moe_record *record)
{
    const int64_t n_rows = record->gate.x.dim[0], k = moe->gate.top_k;
    record->order = tensor_1d(pass->arena, DTYPE_I32, n_rows * k);
    record->place = tensor_2d(pass->arena, DTYPE_I32, n_rows, k);
    record->offsets = tensor_1d(pass->arena, DTYPE_I32, moe->gate.n_experts + 1);
    pass->backend->ops->dispatch(pass->backend, &record->order, &record->place, &record->offsets,
                                 &record->gate.experts);
}

/* y [N, D] = x + dropout(act(mixture(x))) of real tokens x [N, D]. */
static void mix_tokens(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                       const struct tensor *y, const struct tensor *x, const struct tensor *names,
                       double balance_scale)
{
    struct backend *backend = pass->backend;
    const int64_t n_rows = x->dim[0], dim = x->dim[1], k = moe->gate.top_k;
    gate_forward(&moe->gate, pass, &record->gate, x, names, balance_scale);
    dispatch(moe, pass, record);
    const struct tensor sorted = pass_2d(pass, n_rows * k, dim);
    backend->ops->gather_rows(backend, &sorted, x, &record->order, k);
    record->outputs = pass_2d(pass, n_rows * k, dim);
    experts_forward(&moe->experts, pass, &record->experts, &record->outputs, &sorted,
                    &record->offsets);
    record->y = pass_2d(pass, n_rows, dim);
    backend->ops->combine(backend, &record->y, &record->outputs, &record->gate.weights,
                          &record->place);
    if (moe->has_sigmoid)
        backend->ops->activate(backend, &record->y, &record->y, ACTIVATION_SIGMOID);
    pass_dropout(pass, moe->stream, y, &record->y, x, names);
}

void moe_forward(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                 const struct tensor *y, const struct tensor *x, const struct sequence *sequence,
                 double balance_scale)
{
    struct backend *backend = pass->backend;
    const int64_t dim = tensor_columns(x);
    if (sequence->rows.rank == 0) {
        const struct tensor flat = tensor_as_2d(y, tensor_rows(y), dim);
        record->x = tensor_as_2d(x, tensor_rows(x), dim);
        mix_tokens(moe, pass, record, &flat, &record->x, tensor_or_null(&sequence->names),
                   balance_scale);
        return;
    }
    record->x = pass_2d(pass, sequence->rows.dim[0], dim);
    backend->ops->gather_rows(backend, &record->x, x, &sequence->rows, 1);
    const struct tensor real = tensor_like(pass->arena, &record->x);
    mix_tokens(moe, pass, record, &real, &record->x, tensor_or_null(&sequence->row_names),
               balance_scale);
    backend->ops->scatter_rows(backend, y, &real, &sequence->rows);
}

/* d_x [N, D] from d_y [N, D] of real tokens. */
static void mix_tokens_backward(const struct moe *moe, const struct pass *pass,
                                const struct tensor *d_x, const struct moe_record *record,
                                const struct tensor *d_y, const struct tensor *names)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const struct tensor d_mixture = tensor_like(pass->arena, &record->y);
    pass_dropout(pass, moe->stream, &d_mixture, d_y, NULL, names);
    if (moe->has_sigmoid)
        ops->activate_backward(backend, &d_mixture, &record->y, &d_mixture, ACTIVATION_SIGMOID);
    const struct tensor d_outputs = tensor_like(pass->arena, &record->outputs);
    const struct tensor d_weights = tensor_like(pass->arena, &record->gate.weights);
    ops->combine_backward(backend, &d_outputs, &d_weights, &record->outputs, &record->gate.weights,
                          &record->place, &d_mixture);
    const struct tensor d_sorted = tensor_like(pass->arena, &record->outputs);
    experts_backward(&moe->experts, pass, &d_sorted, &record->experts, &d_outputs);
    ops->combine(backend, d_x, &d_sorted, NULL, &record->place);
    gate_backward(&moe->gate, pass, d_x, &d_weights, &record->gate);
    ops->add(backend, d_x, d_y, 1);
}

void moe_backward(const struct moe *moe, const struct pass *pass, const struct moe_record *record,
                  const struct tensor *d, const struct sequence *sequence)
{
    struct backend *backend = pass->backend;
    const size_t mark = arena_mark(pass->arena);
    const struct tensor d_x = tensor_like(pass->arena, &record->x);
    if (sequence->rows.rank == 0) {
        mix_tokens_backward(moe, pass, &d_x, record, d, tensor_or_null(&sequence->names));
        backend->ops->copy(backend, d, &d_x);
    } else {
        const struct tensor d_y = tensor_like(pass->arena, &record->x);
        backend->ops->gather_rows(backend, &d_y, d, &sequence->rows, 1);
        mix_tokens_backward(moe, pass, &d_x, record, &d_y, tensor_or_null(&sequence->row_names));
        backend->ops->scatter_rows(backend, d, &d_x, &sequence->rows);
    }
    arena_release(pass->arena, mark);
}
