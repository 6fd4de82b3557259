/* One update of all parameters: clip by norm, Adam, pack, average. */
#ifndef MIXT_TRAIN_OPTIMIZER_H
#define MIXT_TRAIN_OPTIMIZER_H

#include "layer/param.h"
#include "model/config.h"

/* Averages move every so many steps, by the share that as many single moves would have; before the
 * first move there are none. */
enum { OPTIMIZER_AVERAGE_EVERY = 10 };

/* Where several ranks share the list (params->comm): all of it is collective, gradients of what all
 * hold are added over the ranks first, those of divided experts are whole where they are.
 *
 * Applies the gradients with the rate of this step (1, 2, ...) and sets *norm to the norm of the
 * whole gradient before clipping. A norm that is not finite is STATUS_DIVERGED, with the parameters
 * and moments as they were. scratch: an arena for one number, with ranks for a bucket of gradients,
 * and for some matrices of gradients that are not stored; it must stand above what those read of
 * the pass. */
enum status optimizer_step(struct param_list *params, struct arena *scratch,
                           const struct config_train *train, int64_t step,
                           double *norm) STATUS_CHECKED;

#endif
