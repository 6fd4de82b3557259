/* A training under way, for train/trainer*.c alone. */
#ifndef MIXT_TRAIN_TRAINER_PARTS_H
#define MIXT_TRAIN_TRAINER_PARTS_H

#include "layer/phase.h"
#include "train/calibration.h"
#include "train/checkpoint.h"
#include "train/losses.h"
#include "train/report.h"
#include "train/run_directory.h"
#include "train/validation.h"

struct trainer {
    const struct config *config;
    struct comm *comm; /* borrowed; NULL or alone: no other ranks */
    bool is_writer;    /* rank 0: its directory, its log */
    bool is_common;    /* the error that ends the run is that of all ranks */
    bool is_open;      /* there is something to train */
    bool has_ended;    /* without an error */
    struct run_directory directory;
    struct report report;
    struct backend backend;
    struct model model;
    struct arena activations, host;
    struct corpus corpus;
    struct epoch_plan plan; /* of place.epoch */
    struct validation validation;
    struct expert_stats experts;
    struct calibration calibration;
    struct batch batch;
    struct model_batch uploaded;
    struct model_record record;
    struct place place;
    struct losses pass;    /* of one pass, here */
    struct losses step;    /* of the update, here; by parts of all ranks */
    struct losses window;  /* since the last report, of all ranks as the rest */
    int64_t step_tokens;   /* source + target, here */
    double window_norm;    /* sum of norms */
    int64_t window_tokens; /* source + target */
    double window_start;   /* seconds */
    int64_t window_first;  /* step before the window */

    int signal_number;      /* that ended the run, on whichever rank it came */
    struct profile profile; /* of the updates since the last report, with train.profile */
    double profiled[PROFILE_MAX_PHASES]; /* seconds, of all updates */
    int64_t profiled_steps;
};

/* One status of all ranks, for what each did on its own. */
enum status trainer_agree(struct trainer *trainer, enum status mine) STATUS_CHECKED;

/* All that comes before the first update, on all ranks or none; they wait for each other as long as
 * it takes. trainer->is_open says whether there is something to train. */
enum status trainer_prepare(struct trainer *trainer) STATUS_CHECKED;
void trainer_close(struct trainer *trainer);

/* Goes on to place.epoch; where words are cut anew for each epoch, the text is read again. */
enum status trainer_start_epoch(struct trainer *trainer) STATUS_CHECKED;

bool trainer_is_done(const struct trainer *trainer);

#endif
