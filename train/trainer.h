/* Training a model, from raw text to the best model, in one call that can be repeated.
 *
 * The same call on a stopped run continues it, bit for bit as if it had never stopped (same
 * threads). A finished run is left as it is. */
#ifndef MIXT_TRAIN_TRAINER_H
#define MIXT_TRAIN_TRAINER_H

#include "backend/comm/comm.h"
#include "model/config.h"

/* Trains as config says; see recipes/ for what that can be. Reports to stderr and to save.dir.
 * Signals: SIGTERM and SIGINT save and stop (STATUS_INTERRUPTED, *signal_number set); SIGUSR1 saves
 * and goes on.
 *
 * comm, borrowed: the ranks that train together, one model on the same batches, all with the same
 * config; NULL or alone: this one. Rank 0 writes and reports. *is_common: all ranks return the same
 * status, and comm is closed; where that is false, others may wait for this rank, and the caller
 * has to end them, comm_abort(). say is called where an error is to be told to the user, which is
 * status_message(): on rank 0 alone if all have it, and before any of them returns. */
enum status trainer_run(const struct config *config, struct comm *comm, void (*say)(void),
                        int *signal_number, bool *is_common) STATUS_CHECKED;

#endif
