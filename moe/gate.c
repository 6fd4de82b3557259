/* Noisy top-k gating. */
#include "moe/gate.h"

static struct param *add_zero_matrix(struct param_list *params, const char *prefix,
                                     const char *name, int64_t in, int64_t out)
{
    return param_add(params, (struct param_spec){.rank = 2, .dim = {in, out}, .forms = PACK_PLAIN},
                     "%s.gate.%s", prefix, name);
}

void gate_init(struct gate *gate, struct param_list *params, const char *prefix, int64_t dim)
{
    gate->weight = add_zero_matrix(params, prefix, "weight", dim, gate->n_experts);
    gate->noise = add_zero_matrix(params, prefix, "noise", dim, gate->n_experts);
}

static void add_noise(const struct gate *gate, const struct pass *pass, struct gate_record *record,
                      const struct tensor *names)
{
    struct backend *backend = pass->backend;
    record->raw = tensor_like(pass->arena, &record->clean);
    record->stddev = tensor_like(pass->arena, &record->clean);
    record->noisy = tensor_like(pass->arena, &record->clean);
    backend->ops->linear(backend, &record->raw, &record->x, &gate->noise->weight, false, NULL,
                         ACTIVATION_NONE, false);
    backend->ops->gate_noise(backend, &record->noisy, &record->stddev, &record->clean, &record->raw,
                             pass_key(pass, gate->stream), names);
}

/* Keeps the K largest, and in training the one after them, the threshold of eq. 9. */
static void choose(const struct gate *gate, const struct pass *pass, struct gate_record *record)
{
    struct backend *backend = pass->backend;
    const int64_t n_rows = record->x.dim[0], k = gate->top_k;
    const bool wants_threshold = pass->is_training && k < gate->n_experts;
    record->top = pass_2d(pass, n_rows, wants_threshold ? k + 1 : k);
    record->order = tensor_2d(pass->arena, DTYPE_I32, n_rows, record->top.dim[1]);
    backend->ops->top_k(backend, &record->top, &record->order, &record->noisy);
    record->weights = pass_2d(pass, n_rows, k);
    record->experts = tensor_2d(pass->arena, DTYPE_I32, n_rows, k);
    backend->ops->copy_columns(backend, &record->weights, 0, &record->top, 0, k, false);
    backend->ops->copy_columns(backend, &record->experts, 0, &record->order, 0, k, false);
    backend->ops->softmax(backend, &record->weights, &record->weights);
}

static void balance(const struct gate *gate, const struct pass *pass, struct gate_record *record,
                    double scale)
{
    struct backend *backend = pass->backend;
    struct tensor *vectors[] = {&record->importance, &record->load, &record->d_importance,
                                &record->d_load};
    for (int i = 0; i < 4; i++)
        *vectors[i] = tensor_1d(pass->arena, backend->real, gate->n_experts);
    record->losses = tensor_1d(pass->arena, backend->real, 2);
    backend->ops->gate_load(backend, &record->importance, &record->load, &record->weights,
                            &record->experts, &record->top, &record->clean, &record->noisy,
                            &record->stddev);
    const struct tensor importance_loss = tensor_slice(&record->losses, 0, 1);
    const struct tensor load_loss = tensor_slice(&record->losses, 1, 1);
    backend->ops->balance_loss(backend, &importance_loss, &record->d_importance,
                               &record->importance, scale * gate->importance_weight);
    backend->ops->balance_loss(backend, &load_loss, &record->d_load, &record->load,
                               scale * gate->load_weight);
}

void gate_forward(const struct gate *gate, const struct pass *pass, struct gate_record *record,
                  const struct tensor *x, const struct tensor *names, double balance_scale)
{
    *record = (struct gate_record){.x = *x};
    record->clean = pass_2d(pass, x->dim[0], gate->n_experts);
    pass->backend->ops->linear(pass->backend, &record->clean, x, &gate->weight->weight, false, NULL,
                               ACTIVATION_NONE, false);
    record->noisy = record->clean;
    if (pass->is_training)
        add_noise(gate, pass, record, names);
    choose(gate, pass, record);
    if (pass->is_training)
        balance(gate, pass, record, balance_scale);
}

void gate_backward(const struct gate *gate, const struct pass *pass, const struct tensor *d_x,
                   const struct tensor *d_weights, const struct gate_record *record)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const struct tensor d_clean = tensor_like(pass->arena, &record->clean);
    const struct tensor d_raw = tensor_like(pass->arena, &record->clean);
    ops->gate_backward(backend, &d_clean, &d_raw, d_weights, &record->d_importance, &record->d_load,
                       &record->weights, &record->order, &record->top, &record->clean,
                       &record->noisy, &record->stddev, &record->raw);
    ops->linear_gradient(backend, &gate->weight->grad, NULL, &record->x, &d_clean);
    ops->linear_gradient(backend, &gate->noise->grad, NULL, &record->x, &d_raw);
    ops->linear(backend, d_x, &d_clean, &gate->weight->weight, true, NULL, ACTIVATION_NONE, true);
    ops->linear(backend, d_x, &d_raw, &gate->noise->weight, true, NULL, ACTIVATION_NONE, true);
}
