/* Sums of squares and Adam on the calling thread, for other operations of this folder. */
#ifndef MIXT_BACKEND_CPU_OPTIMIZER_H
#define MIXT_BACKEND_CPU_OPTIMIZER_H

#include <stdint.h>

#include "backend/adam.h"

double optimizer_sum_squares(const float *x, int64_t count);

/* adam_step() of `count` numbers; first may be NULL. The gradient becomes zero. */
void optimizer_adam(float *value, float *first, float *second, float *gradient, int64_t count,
                    struct adam_rates rates);

/* adam_factored_step() of one matrix [in, out], whose gradient may come in parts: the moments take
 * them one after the other, then all of it changes the values.
 *
 * decay: of columns' moments before the first part; of those of rows, too, where the gradient is
 * zero and nothing else is called. moments: `count` rows of the gradient, whose moments start at
 * row; returns the largest magnitude in them. update: the gradient becomes zero; root [out] is
 * memory for the call. */
void optimizer_factored_decay(float *moments, int64_t count, struct adam_rates rates);
float optimizer_factored_moments(float *row, float *column, const float *gradient, int64_t count,
                                 int64_t in, int64_t out, struct adam_rates rates);
void optimizer_factored_update(float *value, const float *row, const float *column, float *root,
                               float *gradient, int64_t in, int64_t out, struct adam_rates rates);

#endif
