/* Products with many matrices that are used as they lie in a weight, without packed copies.
 *
 * A packed copy costs as much memory as the weight itself, and a pass over both at every update. It
 * pays where many rows meet each matrix, from about 64 on; of many experts each meets few. */
#ifndef MIXT_BACKEND_CPU_PLAIN_H
#define MIXT_BACKEND_CPU_PLAIN_H

#include "backend/backend.h"
#include "backend/cpu/gemm.h"

/* Whether a weight is used so; from its shape alone, since the two ways differ in their last bits.
 */
bool plain_is_better(const struct tensor *weight);

/* As gemm_groups(), on weight [E, in, out] itself. */
void plain_groups(struct backend *backend, const struct tensor *weight, bool transposed, float *y,
                  const float *x, const int32_t *offsets, struct gemm_end end);

/* As gemm_gradient_groups(). */
void plain_gradient_groups(struct backend *backend, const struct tensor *d_weight, const float *x,
                           const float *d_y, const int32_t *offsets);

/* The most rows of a gradient's matrix that are computed together. */
enum { PLAIN_INPUTS = 64 };

/* Rows first .. first+count-1, at most PLAIN_INPUTS, of x [rows, in]^T d_y [rows, out], added to
 * d_w [count, out]; on the calling thread, and to the bit what plain_gradient_groups() adds there.
 */
void plain_gradient_rows(float *d_w, const float *x, const float *d_y, int64_t rows, int64_t in,
                         int64_t out, int64_t first, int64_t count);

/* The sum of squares of x^T d_y, which is the sum over pairs of rows n, m of (x_n . x_m) times
 * (d_y_n . d_y_m); on the calling thread. */
double plain_product_squares(const float *x, const float *d_y, int64_t rows, int64_t in,
                             int64_t out);

#endif
