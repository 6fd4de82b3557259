/* The learning rate of each step.
 *
 * Shazeer et al. 2017, appendix E: linear warm-up, then constant, then proportional to
 * 1/sqrt(step). A linear end instead of the last falls to zero at the last step. */
#ifndef MIXT_TRAIN_SCHEDULE_H
#define MIXT_TRAIN_SCHEDULE_H

#include "model/config.h"

/* Rate of step 1, 2, ..., train->steps. */
double schedule_rate(const struct config_train *train, int64_t step);

#endif
