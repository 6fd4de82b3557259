/* What every decoder layer above the first and the readout read: x beside the context. */
#ifndef MIXT_DECODER_JOIN_H
#define MIXT_DECODER_JOIN_H

#include "layer/pass.h"

/* [.., 2D] = [x; context] of x and context [.., D], in a fresh tensor of the pass's arena. */
static inline struct tensor decoder_join(const struct pass *pass, const struct tensor *x,
                                         const struct tensor *context)
{
    struct backend *backend = pass->backend;
    const int64_t dim = tensor_columns(x);
    struct tensor shape = *x;
    shape.dim[shape.rank - 1] = 2 * dim;
    const struct tensor joined = tensor_like(pass->arena, &shape);
    backend->ops->copy_columns(backend, &joined, 0, x, 0, dim, false);
    backend->ops->copy_columns(backend, &joined, dim, context, 0, dim, false);
    return joined;
}

#endif
