/* Thresholds of balanced gates, set anew before they choose.
 *
 * In training a balanced gate chooses by the batch, and its thresholds follow by a loss (eq. 20):
 * near enough for that loss, too far for a translation, since they learn from scores under dropout
 * and lag behind a model that moves. So what is validated and saved as the best model has
 * thresholds that are exact for a sample of the training text, read as in translating, as if it
 * were one batch, of all ranks together. Training itself goes on with the thresholds that it
 * learned, so it does not depend on when it is validated. */
#ifndef MIXT_TRAIN_CALIBRATION_H
#define MIXT_TRAIN_CALIBRATION_H

#include "train/ranks.h"

struct calibration_gate; /* in calibration.c */

/* Zeroed: of a model without balanced gates, for which all below do nothing. */
struct calibration {
    struct calibration_gate *gates; /* [n_gates] owned */
    int64_t n_gates;
};

/* The text to sample: batches from number `first` on, around their end if need be. */
struct calibration_text {
    /* with a share of batch `index` */
    enum status (*fill)(void *context, int64_t index, struct ranks_share share,
                        struct batch *batch);
    void *context;
    int64_t n_batches, first;
    double tokens; /* target tokens wanted; at least 2^14, at most 2^18 and all batches are read */
};

/* Finds the balanced gates. model is borrowed. */
enum status calibration_init(struct calibration *calibration, struct model *model) STATUS_CHECKED;
void calibration_free(struct calibration *calibration);

/* Keeps the thresholds there are, and sets new ones, alike on all ranks: collective where
 * model.params.comm has several, and failing on all or none. A group of experts that meets fewer
 * tokens than it has experts keeps what it learned. arena: for activations; host, batch: memory to
 * use. On error some may be set. */
enum status calibration_run(struct calibration *calibration, struct model *model,
                            struct arena *arena, struct arena *host, struct batch *batch,
                            const struct calibration_text *text) STATUS_CHECKED;

/* Puts the thresholds back that calibration_run() found. */
void calibration_undo(const struct calibration *calibration, struct model *model);

#endif
