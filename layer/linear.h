/* y = x W + bias. */
#ifndef MIXT_LAYER_LINEAR_H
#define MIXT_LAYER_LINEAR_H

#include "layer/param.h"
#include "layer/pass.h"

struct linear {
    struct param *weight; /* [in, out] */
    struct param *bias;   /* [out], or NULL */
};

/* Adds "PREFIX.weight", uniform in +-sqrt(3 / in), and, where wanted, "PREFIX.bias", zero. */
void linear_init(struct linear *linear, struct param_list *params, const char *prefix, int64_t in,
                 int64_t out, bool has_bias);

/* y [N, out] = act(x [N, in] W + bias). */
void linear_forward(const struct linear *linear, const struct pass *pass, const struct tensor *y,
                    const struct tensor *x, enum activation activation);

/* d_x [N, in] = (or +=) d_y W^T, where d_y [N, out] is the gradient before the activation; the
 * parameters' gradients accumulate. d_x NULL: not wanted. */
void linear_backward(const struct linear *linear, const struct pass *pass, const struct tensor *d_x,
                     const struct tensor *x, const struct tensor *d_y, bool accumulate);

#endif
