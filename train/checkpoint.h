/* A training's place: what, beside weights and moments, an exact continuation needs.
 *
 * Random numbers are functions of (seed, step, place), and an epoch's order of (seed, epoch), so a
 * few whole numbers are all. One file, DIR/last/state.safetensors, holds everything, or with
 * several ranks what all have and a list of the shards beside it, and is replaced by one rename:
 * whenever the processes die, the old or the new state is there, whole. */
#ifndef MIXT_TRAIN_CHECKPOINT_H
#define MIXT_TRAIN_CHECKPOINT_H

#include "model/model_file.h"

struct place {
    int64_t step;            /* updates done */
    int64_t epoch;           /* of the next batch */
    int64_t batch;           /* of the next batch, inside the epoch */
    int64_t validations_bad; /* validations since the last best */
    int64_t best_step;       /* 0: none yet */
    double best_metric;      /* larger is better */
    bool is_finished;        /* stopped early */
    uint64_t corpus_hash;    /* of the training data */
};

/* DIR/last/state.safetensors, into path. */
void checkpoint_path(const char *directory, char *path, size_t size);

enum status checkpoint_save(struct model *model, const char *directory,
                            const struct place *place) STATUS_CHECKED;

/* Reads the place of an opened checkpoint; path is for messages. */
enum status checkpoint_read_place(const struct safetensors *file, const char *path,
                                  struct place *place) STATUS_CHECKED;

#endif
