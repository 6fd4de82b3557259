/* Products with packed weights, for other operations of this folder. */
#ifndef MIXT_BACKEND_CPU_MATMUL_H
#define MIXT_BACKEND_CPU_MATMUL_H

#include "backend/backend.h"

/* y [rows, out] (+)= x [rows, in] W + bias [out] (or NULL); transposed: with W^T. Plain memory,
 * first rows of larger tensors. */
void matmul_rows(struct backend *backend, float *y, const float *x, int64_t rows,
                 const struct weight *weight, bool transposed, const float *bias, bool accumulate);

/* sum [width] += sums of the columns of x [rows, width], in the same order for any n_threads. */
void matmul_sum_columns(struct backend *backend, float *sum, const float *x, int64_t rows,
                        int64_t width);

#endif
