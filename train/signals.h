/* Signals as flags that the training loop looks at between two updates. */
#ifndef MIXT_TRAIN_SIGNALS_H
#define MIXT_TRAIN_SIGNALS_H

#include <stdbool.h>

/* From here on SIGINT and SIGTERM ask to stop and SIGUSR1 to save; a second SIGINT or SIGTERM ends
 * the process at once. */
void signals_watch(void);

/* The signal that asked to stop, or 0. */
int signals_stop(void);

/* True once for each SIGUSR1. */
bool signals_take_save(void);

#endif
