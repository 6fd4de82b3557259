/* The training loop. */
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "train/gradients.h"
#include "train/optimizer.h"
#include "train/ranks.h"
#include "train/schedule.h"
#include "train/signals.h"
#include "train/trainer_parts.h"

/* -- one update -- */

/* Target tokens of the n batches that make the next update: the mean loss is over all of them. */
static int64_t update_tokens(const struct trainer *trainer, int64_t n_batches)
{
    const struct epoch_plan *plan = &trainer->plan;
    const int64_t first = plan->starts[trainer->place.batch];
    const int64_t last = plan->starts[trainer->place.batch + n_batches];
    int64_t tokens = 0;
    for (int64_t i = first; i < last; i++)
        tokens += trainer->corpus.pairs[plan->pairs[i]].target_length;
    return tokens;
}

/* The passes of an update's batches: a pass is of one round of one of them. */
struct passes {
    int64_t first; /* batch of the epoch's plan */
    int n_rounds;
    double scale, balance_scale; /* of the losses */
};

/* Adds the gradients of this rank's share of a round of a batch. After a failure, this one's or an
 * earlier pass's, it takes part for the other ranks alone. What is left in the pass's arenas may be
 * part of the gradients. */
static enum status add_share(struct trainer *trainer, const struct pass *pass,
                             const struct passes *passes, int64_t number, bool has_failed)
{
    const int64_t index = passes->first + number / passes->n_rounds;
    const int64_t *const starts = trainer->plan.starts;
    const struct ranks_share share =
        ranks_share_of(trainer->config, trainer->comm, (int)(number % passes->n_rounds));
    phase_enter(pass->backend, PHASE_BATCH);
    const enum status taken = ranks_take_batch(pass, &trainer->plan, &trainer->corpus, index,
                                               starts[index] - starts[passes->first], share,
                                               has_failed, &trainer->batch, &trainer->uploaded);
    phase_leave(pass->backend);
    if (taken < 0 && comm_is_alone(trainer->comm))
        return taken;
    model_loss(&trainer->model, pass, &trainer->record, &trainer->uploaded,
               trainer->config->train.label_smoothing, passes->scale, passes->balance_scale);
    phase_enter(pass->backend, PHASE_REPORT);
    const enum status status = losses_add(&trainer->pass, pass, &trainer->record);
    if (status >= 0)
        expert_stats_add(&trainer->experts, &trainer->model, &trainer->record, pass);
    phase_leave(pass->backend);
    trainer->step_tokens += trainer->batch.n_source_tokens + trainer->batch.n_target_tokens;
    return taken < 0 ? taken : status;
}

/* The same, and what a pass by parts hands on at its end. */
static enum status add_pass(struct trainer *trainer, const struct pass *pass,
                            const struct passes *passes, int64_t number, bool has_failed)
{
    losses_clear(&trainer->pass);
    const enum status status = add_share(trainer, pass, passes, number, has_failed);
    enum status handed =
        losses_add_in_order(&trainer->step, &trainer->pass, pass->by_parts ? trainer->comm : NULL);
    if (handed >= 0 && pass->by_parts)
        handed = gradients_add_parts(&trainer->model.params);
    return status < 0 ? status : handed;
}

/* Adds the gradients of the next n batches, on all ranks or none. */
static enum status add_batches(struct trainer *trainer, const struct pass *pass, int64_t n_batches)
{
    const int n_rounds = ranks_rounds(trainer->config, trainer->comm);
    const double n_balances =
        (double)(n_batches * (pass->by_parts ? trainer->config->dist.parts : 1));
    const struct passes passes = {.first = trainer->place.batch,
                                  .n_rounds = n_rounds,
                                  .scale = 1 / (double)update_tokens(trainer, n_batches),
                                  .balance_scale = 1 / n_balances};
    const bool is_alone = comm_is_alone(trainer->comm);
    enum status status = STATUS_OK;
    const struct pass_mark mark = pass_mark(pass);
    losses_clear(&trainer->step);
    trainer->step_tokens = 0;
    for (int64_t i = 0; i < n_batches * n_rounds && (status >= 0 || !is_alone); i++) {
        pass_release(pass, mark);
        const enum status one = add_pass(trainer, pass, &passes, i, status < 0);
        status = status < 0 ? status : one;
    }
    return trainer_agree(trainer, status);
}

/* Adds the update's losses, of all ranks, to the window's. By parts they are already of all. */
static enum status add_losses(struct trainer *trainer)
{
    const int64_t n_known = trainer->config->dist.reproducible ? 3 : 0;
    double sums[] = {trainer->step.loss, trainer->step.nll, (double)trainer->step.tokens,
                     (double)trainer->step_tokens};
    const enum status status = ranks_sum(trainer->comm, sums + n_known, 4 - n_known);
    trainer->window.loss += sums[0];
    trainer->window.nll += sums[1];
    trainer->window.tokens += (int64_t)sums[2];
    trainer->window_tokens += (int64_t)sums[3];
    return status;
}

static enum status update(struct trainer *trainer)
{
    const struct config_train *train = &trainer->config->train;
    struct place *place = &trainer->place;
    const int64_t left = trainer->plan.n_batches - place->batch;
    const int64_t n_batches = left < train->accumulate ? left : train->accumulate;
    const struct pass pass = {.backend = &trainer->backend,
                              .arena = &trainer->activations,
                              .host = &trainer->host,
                              .comm = trainer->comm,
                              .by_parts = trainer->config->dist.reproducible,
                              .is_training = true,
                              .dropout = trainer->config->model.dropout,
                              .seed = (uint64_t)train->seed,
                              .step = (uint32_t)(place->step + 1)};
    const struct pass_mark mark = pass_mark(&pass);
    if (trainer->comm)
        trainer->comm->step = place->step + 1;
    enum status status = add_batches(trainer, &pass, n_batches);
    if (status >= 0)
        status = add_losses(trainer);
    if (status < 0)
        return status;
    double norm;
    phase_enter(pass.backend, PHASE_OPTIMIZER);
    status = optimizer_step(&trainer->model.params, &trainer->activations, train, place->step + 1,
                            &norm);
    phase_leave(pass.backend);
    pass_release(&pass, mark);
    if (status < 0)
        return status;
    trainer->window_norm += norm;
    place->step++;
    place->batch += n_batches;
    if (place->batch < trainer->plan.n_batches)
        return STATUS_OK;
    place->batch = 0;
    place->epoch++;
    phase_enter(pass.backend, PHASE_BATCH);
    status = trainer_start_epoch(trainer);
    phase_leave(pass.backend);
    return status;
}

/* -- telling, validating, saving -- */

static void start_window(struct trainer *trainer)
{
    losses_clear(&trainer->window);
    expert_stats_clear(&trainer->experts);
    trainer->window_norm = 0;
    trainer->window_tokens = 0;
    trainer->window_start = clock_seconds();
    trainer->window_first = trainer->place.step;
}

static struct report_train describe_window(const struct trainer *trainer)
{
    const double seconds = clock_seconds() - trainer->window_start;
    const double steps = (double)(trainer->place.step - trainer->window_first);
    const double tokens = (double)(trainer->window.tokens ? trainer->window.tokens : 1);
    const double to_do = (double)(trainer->config->train.steps - trainer->place.step);
    return (struct report_train){.step = trainer->place.step,
                                 .loss = trainer->window.loss / tokens,
                                 .nll = trainer->window.nll / tokens,
                                 .tokens_a_second = (double)trainer->window_tokens / seconds,
                                 .rate =
                                     schedule_rate(&trainer->config->train, trainer->place.step),
                                 .norm = trainer->window_norm / steps,
                                 .seconds_left = to_do * seconds / steps};
}

/* Where the time since the last such call went, in which n_steps updates were made. */
static void tell_profile(struct trainer *trainer, int64_t n_steps)
{
    double seconds[PROFILE_MAX_PHASES];
    if (!trainer->backend.profile)
        return;
    (void)profile_take(trainer->backend.profile, seconds);
    for (int phase = 0; phase < PHASE_COUNT; phase++)
        trainer->profiled[phase] += seconds[phase];
    trainer->profiled_steps += n_steps;
    if (n_steps > 0)
        report_profile(&trainer->report, trainer->place.step, n_steps, seconds);
}

/* The last update ends a window. */
static bool is_window(const struct trainer *trainer)
{
    return trainer->place.step % trainer->config->log.every == 0;
}

static void tell(struct trainer *trainer)
{
    phase_enter(&trainer->backend, PHASE_REPORT);
    const struct report_train now = describe_window(trainer);
    report_live(&trainer->report, &now, &trainer->experts);
    if (is_window(trainer))
        report_window(&trainer->report, &now, &trainer->experts);
    phase_leave(&trainer->backend);
    if (!is_window(trainer))
        return;
    tell_profile(trainer, trainer->place.step - trainer->window_first);
    start_window(trainer);
}

/* Keeps the model as DIR/best.safetensors. */
static enum status save_best(struct trainer *trainer)
{
    char path[CONFIG_PATH_BYTES + 32];
    snprintf(path, sizeof path, "%s/best.safetensors", trainer->config->save.dir);
    return model_save(&trainer->model, path);
}

static enum status fill_batch(void *context, int64_t index, struct ranks_share share,
                              struct batch *batch)
{
    const struct trainer *trainer = context;
    return epoch_plan_share(&trainer->plan, &trainer->corpus, index, 0, share.part, share.n_parts,
                            batch);
}

/* Thresholds for the model as it is, from the text that comes next: a tenth of what is trained on
 * between two validations costs about 3 % of the time. */
static enum status calibrate(struct trainer *trainer)
{
    const struct config *config = trainer->config;
    const struct config_train *train = &config->train;
    const double updates = fmin((double)config->valid.every, (double)train->steps);
    const struct calibration_text text = {.fill = fill_batch,
                                          .context = trainer,
                                          .n_batches = trainer->plan.n_batches,
                                          .first = trainer->place.batch,
                                          .tokens = 0.1 * updates * (double)train->accumulate *
                                                    (double)train->batch_tokens};
    return calibration_run(&trainer->calibration, &trainer->model, &trainer->activations,
                           &trainer->host, &trainer->batch, &text);
}

/* Judges the model, or its averages where there are some; without validation data the newest model
 * counts as the best. */
static enum status validate(struct trainer *trainer)
{
    struct place *place = &trainer->place;
    const double start = clock_seconds();
    struct param_list *params = &trainer->model.params;
    const bool use_average = params->has_average && place->step >= OPTIMIZER_AVERAGE_EVERY;
    struct validation_result result = {.bleu = -1};
    /* What follows is one phase, whatever it is made of. */
    phase_enter(&trainer->backend, PHASE_VALIDATION);
    struct profile *const profile = trainer->backend.profile;
    trainer->backend.profile = NULL;
    if (use_average)
        param_list_swap_average(params);
    enum status status = calibrate(trainer);
    if (status >= 0 && trainer->validation.is_wanted)
        status = validation_run(&trainer->validation, &trainer->model, &trainer->activations,
                                &trainer->host, &trainer->batch, &result);
    const double metric = result.bleu >= 0 ? result.bleu : -result.nll;
    const bool is_best =
        !trainer->validation.is_wanted || place->best_step == 0 || metric > place->best_metric;
    if (status >= 0 && is_best)
        status = save_best(trainer);
    calibration_undo(&trainer->calibration, &trainer->model);
    if (use_average)
        param_list_swap_average(params);
    trainer->backend.profile = profile;
    phase_leave(&trainer->backend);
    if (status < 0)
        return status;
    if (is_best) {
        place->best_metric = metric;
        place->best_step = place->step;
    }
    place->validations_bad = is_best ? 0 : place->validations_bad + 1;
    const int64_t patience = trainer->config->valid.patience;
    place->is_finished = patience > 0 && place->validations_bad >= patience;
    if (trainer->validation.is_wanted) {
        const struct report_valid valid = {.step = place->step,
                                           .nll = result.nll,
                                           .bleu = result.bleu,
                                           .is_best = is_best,
                                           .seconds = clock_seconds() - start};
        report_validation(&trainer->report, &valid);
    }
    trainer->window_start += clock_seconds() - start;
    return STATUS_OK;
}

static enum status save(struct trainer *trainer)
{
    const double start = clock_seconds();
    phase_enter(&trainer->backend, PHASE_SAVE);
    const enum status status =
        checkpoint_save(&trainer->model, trainer->config->save.dir, &trainer->place);
    phase_leave(&trainer->backend);
    trainer->window_start += clock_seconds() - start;
    return status;
}

/* One update, told, on all ranks or none. */
static enum status update_together(struct trainer *trainer)
{
    const int64_t check_every = trainer->config->dist.check_every;
    enum status status = update(trainer);
    if (status < 0 && trainer->is_common)
        return status;
    if (status >= 0 && trainer->config->dist.reproducible && is_window(trainer))
        status = expert_stats_add_ranks(&trainer->experts, trainer->comm);
    if (status >= 0) {
        tell(trainer);
        status = report_check(&trainer->report);
    }
    status = trainer_agree(trainer, status);
    if (status < 0 || check_every == 0 || trainer->place.step % check_every != 0)
        return status;
    status = ranks_check_weights(trainer->comm, &trainer->model.params);
    return status < 0 ? trainer_agree(trainer, status) : status;
}

static enum status train(struct trainer *trainer)
{
    const struct config *config = trainer->config;
    enum status status = STATUS_OK;
    if (config->train.profile) {
        profile_start(&trainer->profile, clock_seconds);
        trainer->backend.profile = &trainer->profile;
    }
    start_window(trainer);
    while (status >= 0 && !trainer_is_done(trainer)) {
        if ((status = update_together(trainer)) < 0)
            break;
        const int64_t step = trainer->place.step;
        const bool is_last = step == config->train.steps;
        if (step % config->valid.every == 0 || is_last)
            status = validate(trainer);
        struct ranks_wishes wishes = {signals_stop(), signals_take_save()};
        if (status >= 0)
            status = ranks_share_wishes(trainer->comm, &wishes);
        if (status < 0)
            break;
        if (wishes.is_save || wishes.stop || step % config->save.every == 0 ||
            trainer_is_done(trainer))
            status = save(trainer);
        if (status >= 0 && wishes.stop) {
            trainer->signal_number = wishes.stop;
            status = status_set(STATUS_INTERRUPTED, "signal %d: saved at step %lld", wishes.stop,
                                (long long)step);
            break;
        }
    }
    if (status >= 0)
        status = report_check(&trainer->report);
    return trainer->is_common ? status : trainer_agree(trainer, status);
}

static void tell_start(struct trainer *trainer)
{
    const struct model *model = &trainer->model;
    char ranks[32] = "";
    if (!comm_is_alone(trainer->comm))
        snprintf(ranks, sizeof ranks, "%d ranks of ", trainer->comm->size);
    report_note(&trainer->report, "%s: %.1f M parameters, %s%s with %d threads, %s step %lld",
                trainer->config->save.dir, (double)param_list_size(&model->params) * 1e-6, ranks,
                trainer->backend.ops->name, trainer->backend.n_threads,
                trainer->place.step ? "continuing after" : "from", (long long)trainer->place.step);
}

static void tell_end(struct trainer *trainer)
{
    const struct place *place = &trainer->place;
    if (!trainer->is_writer)
        return;
    if (trainer->is_open)
        report_note(&trainer->report, "finished at step %lld%s; best model of step %lld in %s",
                    (long long)place->step, place->is_finished ? " (no gain)" : "",
                    (long long)place->best_step, trainer->config->save.dir);
    else
        fprintf(stderr, "%s: already finished at step %lld of %lld%s; raise train.steps to go on\n",
                trainer->config->save.dir, (long long)place->step,
                (long long)trainer->config->train.steps,
                place->is_finished ? ", stopped early" : "");
}

/* All that comes before the first update, then all updates. */
static enum status run(struct trainer *trainer)
{
    if (trainer->comm)
        trainer->comm->timeout_s = RANKS_PATIENCE_S;
    enum status status = trainer_prepare(trainer);
    if (trainer->comm)
        trainer->comm->timeout_s = trainer->config->dist.timeout_s;
    if (status < 0 || !trainer->is_open)
        return status;
    signals_watch();
    tell_start(trainer);
    status = train(trainer);
    tell_profile(trainer, trainer->place.step - trainer->window_first);
    if (trainer->profiled_steps > 0)
        report_profile_table(&trainer->report, trainer->profiled_steps, trainer->profiled);
    return status;
}

/* An error that is all ranks': rank 0 tells it before another leaves, since the launcher ends those
 * that are left. */
static void tell_failure(const struct trainer *trainer, bool is_common, void (*say)(void))
{
    if (trainer->is_writer || !is_common)
        say();
    if (is_common && !comm_is_alone(trainer->comm))
        (void)!comm_barrier(trainer->comm); /* where it fails, the others have left */
}

enum status trainer_run(const struct config *config, struct comm *comm, void (*say)(void),
                        int *signal_number, bool *is_common)
{
    struct trainer *trainer = calloc(1, sizeof *trainer);
    *is_common = comm_is_alone(comm);
    if (!trainer) {
        const enum status status = status_set(STATUS_MEMORY, "no memory to train");
        say();
        return status;
    }
    trainer->config = config;
    trainer->comm = comm;
    trainer->is_writer = comm_is_alone(comm) || comm->rank == 0;
    trainer->directory.lock = -1;
    const enum status status = run(trainer);
    if (status >= 0)
        tell_end(trainer);
    trainer->has_ended = status >= 0;
    *is_common = *is_common || trainer->has_ended || trainer->is_common;
    *signal_number = trainer->signal_number ? trainer->signal_number : signals_stop();
    if (status < 0)
        tell_failure(trainer, *is_common, say);
    trainer_close(trainer);
    free(trainer);
    return status;
}
