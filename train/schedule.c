/* Learning rate schedules. */
#include "train/schedule.h"

#include <math.h>

double schedule_rate(const struct config_train *train, int64_t step)
{
    const double peak = train->optimizer.lr;
    const int64_t warmup = train->schedule.warmup, flat_end = warmup + train->schedule.hold;
    if (step <= warmup)
        return peak * (double)step / (double)warmup;
    if (step <= flat_end)
        return peak;
    switch (train->schedule.decay) {
    case CONFIG_DECAY_INV_SQRT:
        return peak * sqrt((double)(flat_end > 0 ? flat_end : 1) / (double)step);
    case CONFIG_DECAY_LINEAR:
        return train->steps <= flat_end ? peak
                                        : peak * (double)(train->steps + 1 - step) /
                                              (double)(train->steps + 1 - flat_end);
    case CONFIG_DECAY_NONE:
        return peak;
    }
    return peak;
}
