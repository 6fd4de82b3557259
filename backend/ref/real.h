/* The type that one compilation of the reference computes in, and its helpers.
 *
 * Every file of this folder is compiled twice: in float (REF_DOUBLE not defined), the oracle of the
 * other backends, and in double, for gradient checks. REF(name) keeps the two apart. Clarity comes
 * first here: plain loops, one thread, accumulation in double. */
#ifndef MIXT_BACKEND_REF_REAL_H
#define MIXT_BACKEND_REF_REAL_H

#include "backend/support.h"

#ifdef REF_DOUBLE
typedef double real;
#    define REF(name)  ref_double_##name
#    define REAL_DTYPE DTYPE_F64
#else
typedef float real;
#    define REF(name)  ref_float_##name
#    define REAL_DTYPE DTYPE_F32
#endif

static inline real *reals(const struct tensor *tensor)
{
    CHECK(tensor->dtype == REAL_DTYPE, "tensor of type %d", (int)tensor->dtype);
    return tensor->data;
}

/* Each file sets the operations it defines. */
void REF(set_attention)(struct backend_ops *ops);
void REF(set_elements)(struct backend_ops *ops);
void REF(set_gate)(struct backend_ops *ops);
void REF(set_loss)(struct backend_ops *ops);
void REF(set_lstm)(struct backend_ops *ops);
void REF(set_mask)(struct backend_ops *ops);
void REF(set_matmul)(struct backend_ops *ops);
void REF(set_memory)(struct backend_ops *ops);
void REF(set_moe)(struct backend_ops *ops);
void REF(set_optimizer)(struct backend_ops *ops);
void REF(set_rows)(struct backend_ops *ops);
void REF(set_topk)(struct backend_ops *ops);

/* Shared between the files. */
/* y [out] = act(x [in] W + bias) or y += x W + bias with matrix `group` of a weight in int8; bias
 * may be NULL. */
void REF(int8_row)(real *y, const real *x, const struct weight *weight, bool transposed,
                   int64_t group, const real *bias, enum activation activation, bool accumulate);
double REF(activation_value)(double x, enum activation activation);
double REF(activation_slope)(double y, enum activation activation); /* from y = act(x) */

#endif
