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

#endif
