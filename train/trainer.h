/* Training a model, from raw text to the best model, in one call that can be repeated.
 *
 * The same call on a stopped run continues it, bit for bit as if it had never stopped (same
 * threads). A finished run is left as it is. */
#ifndef MIXT_TRAIN_TRAINER_H
#define MIXT_TRAIN_TRAINER_H

#include "model/config.h"

/* Trains as config says; see recipes/ for what that can be. Reports to stderr and to save.dir.
 * Signals: SIGTERM and SIGINT save and stop (STATUS_INTERRUPTED, *signal_number set); SIGUSR1 saves
 * and goes on. */
enum status trainer_run(const struct config *config, int *signal_number) STATUS_CHECKED;

#endif
