/* ReLU feed-forward experts. */
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
                                         .forms = PACK_PLAIN},
                     "%s.expert.%s", prefix, name);
}

static struct param *add_biases(struct param_list *params, const char *prefix, const char *name,
                                int64_t n_experts, int64_t out)
{
    return param_add(params, (struct param_spec){.rank = 2, .dim = {n_experts, out}},
                     "%s.expert.%s", prefix, name);
}

void experts_init(struct experts *experts, struct param_list *params, const char *prefix,
                  int64_t n_experts, int64_t dim, int64_t hidden)
{
    experts->up = add_matrices(params, prefix, "up", n_experts, dim, hidden);
    experts->up_bias = add_biases(params, prefix, "up_bias", n_experts, hidden);
    experts->down = add_matrices(params, prefix, "down", n_experts, hidden, dim);
    experts->down_bias = add_biases(params, prefix, "down_bias", n_experts, dim);
}

void experts_forward(const struct experts *experts, const struct pass *pass,
                     struct experts_record *record, const struct tensor *y, const struct tensor *x,
                     const struct tensor *offsets)
{
    const struct backend_ops *ops = pass->backend->ops;
    *record = (struct experts_record){.x = *x, .offsets = *offsets};
    record->hidden = pass_2d(pass, x->dim[0], experts->up->weight.value.dim[2]);
    ops->grouped_linear(pass->backend, &record->hidden, x, &experts->up->weight, false,
                        &experts->up_bias->weight.value, offsets, ACTIVATION_RELU);
    ops->grouped_linear(pass->backend, y, &record->hidden, &experts->down->weight, false,
                        &experts->down_bias->weight.value, offsets, ACTIVATION_NONE);
}

void experts_backward(const struct experts *experts, const struct pass *pass,
                      const struct tensor *d_x, const struct experts_record *record,
                      const struct tensor *d_y)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const struct tensor d_hidden = tensor_like(pass->arena, &record->hidden);
    ops->grouped_linear_gradient(backend, &experts->down->grad, &experts->down_bias->grad,
                                 &record->hidden, d_y, &record->offsets);
    ops->grouped_linear(backend, &d_hidden, d_y, &experts->down->weight, true, NULL,
                        &record->offsets, ACTIVATION_NONE);
    ops->activate_backward(backend, &d_hidden, &record->hidden, &d_hidden, ACTIVATION_RELU);
    ops->grouped_linear_gradient(backend, &experts->up->grad, &experts->up_bias->grad, &record->x,
                                 &d_hidden, &record->offsets);
    ops->grouped_linear(backend, d_x, &d_hidden, &experts->up->weight, true, NULL, &record->offsets,
                        ACTIVATION_NONE);
}
