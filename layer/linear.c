/* Linear layers. */
#include "layer/linear.h"

#include <math.h>

void linear_init(struct linear *linear, struct param_list *params, const char *prefix, int64_t in,
                 int64_t out, bool has_bias)
{
    *linear = (struct linear){0};
    linear->weight = param_add(params,
                               (struct param_spec){.rank = 2,
                                                   .dim = {in, out},
                                                   .start = PARAM_UNIFORM,
                                                   .bound = sqrt(3.0 / (double)in),
                                                   .forms = PACK_PLAIN,
                                                   .may_round = true},
                               "%s.weight", prefix);
    if (has_bias)
        linear->bias =
            param_add(params, (struct param_spec){.rank = 1, .dim = {out}}, "%s.bias", prefix);
}

void linear_forward(const struct linear *linear, const struct pass *pass, const struct tensor *y,
                    const struct tensor *x, enum activation activation)
{
    pass->backend->ops->linear(pass->backend, y, x, &linear->weight->weight, false,
                               linear->bias ? &linear->bias->weight.value : NULL, activation,
                               false);
}

void linear_backward(const struct linear *linear, const struct pass *pass, const struct tensor *d_x,
                     const struct tensor *x, const struct tensor *d_y, bool accumulate)
{
    const struct backend_ops *ops = pass->backend->ops;
    ops->linear_gradient(pass->backend, &linear->weight->grad,
                         linear->bias ? &linear->bias->grad : NULL, x, d_y);
    if (d_x)
        ops->linear(pass->backend, d_x, d_y, &linear->weight->weight, true, NULL, ACTIVATION_NONE,
                    accumulate);
}
