/* Sums of the losses of batches, on the host. */
#ifndef MIXT_TRAIN_LOSSES_H
#define MIXT_TRAIN_LOSSES_H

#include "model/model.h"

struct losses {
    double loss;        /* label-smoothed, summed over target tokens */
    double nll;         /* without smoothing */
    int64_t tokens;     /* target tokens */
    struct buffer host; /* owned room for downloads */
};

/* Waits for the pass (backend_sync) and adds its losses. STATUS_DEVICE, STATUS_MEMORY. */
enum status losses_add(struct losses *losses, const struct pass *pass,
                       const struct model_record *record) STATUS_CHECKED;

/* total += what was added to part on every rank of comm, one rank's after the other's. Collective;
 * comm NULL: what was added here. */
enum status losses_add_in_order(struct losses *total, const struct losses *part,
                                struct comm *comm) STATUS_CHECKED;

/* Sums to zero; the room stays. */
void losses_clear(struct losses *losses);
void losses_free(struct losses *losses);

#endif
