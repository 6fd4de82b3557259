/* Products with weights in int8, for linear() and its relatives. */
#ifndef MIXT_BACKEND_CUDA_INT8_H
#define MIXT_BACKEND_CUDA_INT8_H

#include "backend/backend.h"

/* y [N, out] = act(x [N, in] W + bias), or += without an activation, with a weight [in, out] that
 * is in int8 and packed, in the form that its blocks are for. bias may be NULL. To be called after
 * context_enter(); uses the context's scratch. The result is the reference's to the bit. */
void int8_linear(struct backend *backend, const struct tensor *y, const struct tensor *x,
                 const struct weight *weight, bool transposed, const struct tensor *bias,
                 enum activation activation, bool accumulate);

/* The same for a weight [E, in, out], offsets [E+1] i32, which may have part of its matrices on the
 * host (backend/cuda/slots.h). */
void int8_grouped_linear(struct backend *backend, const struct tensor *y, const struct tensor *x,
                         const struct weight *weight, bool transposed, const struct tensor *bias,
                         const struct tensor *offsets, enum activation activation);

#endif
