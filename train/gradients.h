/* Gradients of what all ranks hold, added over them. Those of experts that ranks divide are whole
 * where they are.
 *
 * Each call is collective, and nothing where it has nothing to do. */
#ifndef MIXT_TRAIN_GRADIENTS_H
#define MIXT_TRAIN_GRADIENTS_H

#include "layer/param.h"

/* After a pass by parts: adds the gradients of each rank's part to the sums of the parts, one after
 * the other, so that the bits do not depend on how many ranks there are, and clears them. A rank
 * then has its shares of these sums until gradients_join(). */
enum status gradients_add_parts(const struct param_list *params) STATUS_CHECKED;

/* Before an update: of param_gradient() what this rank updates, by parts all, becomes the sum over
 * the ranks; where they share the update, what others update becomes 0. */
enum status gradients_join(const struct param_list *params) STATUS_CHECKED;

/* After an update that ranks share: all values on all ranks. */
enum status gradients_share_values(const struct param_list *params) STATUS_CHECKED;

#endif
