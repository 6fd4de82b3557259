/* The training loop. */
#include "train/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/file.h"
#include "layer/phase.h"
#include "train/calibration.h"
#include "train/checkpoint.h"
#include "train/losses.h"
#include "train/optimizer.h"
#include "train/prepare.h"
#include "train/report.h"
#include "train/run_directory.h"
#include "train/schedule.h"
#include "train/signals.h"
#include "train/validation.h"

struct trainer {
    const struct config *config;
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
    struct losses window;  /* since the last report */
    double window_norm;    /* sum of norms */
    int64_t window_tokens; /* source + target */
    double window_start;   /* seconds */
    int64_t window_first;  /* step before the window */

    struct profile profile; /* of the updates since the last report, with train.profile */
    double profiled[PROFILE_MAX_PHASES]; /* seconds, of all updates */
    int64_t profiled_steps;
};

/* -- starting and continuing -- */

/* Takes configuration, subword model, values and place from DIR/last. */
static enum status continue_run(struct trainer *trainer, const char *path)
{
    const struct config *config = trainer->config;
    struct safetensors *file = NULL;
    struct subword *subword = NULL;
    struct config *trained = malloc(sizeof *trained);
    enum status status = trained ? STATUS_OK : status_set(STATUS_MEMORY, "no memory to continue");
    if (status >= 0)
        status = safetensors_open(&file, path);
    if (status >= 0)
        status = model_read_head(file, path, trained, &subword);
    if (status >= 0)
        status = config_model_difference(trained, config, config->save.dir);
    if (status >= 0)
        status = checkpoint_read_place(file, path, &trainer->place);
    if (status >= 0)
        status =
            model_init(&trainer->model, &trainer->backend, config, subword_size(subword), true);
    if (status >= 0) {
        trainer->model.subword = subword;
        subword = NULL;
        status = model_read_values(&trainer->model, file, path, true);
    }
    subword_free(subword);
    safetensors_close(file);
    free(trained);
    return status;
}

static enum status begin_run(struct trainer *trainer)
{
    const struct config *config = trainer->config;
    struct subword *subword;
    enum status status = prepare_subword(config, &trainer->report, &subword);
    if (status >= 0)
        status =
            model_init(&trainer->model, &trainer->backend, config, subword_size(subword), true);
    if (status < 0) {
        subword_free(subword);
        return status;
    }
    trainer->model.subword = subword;
    model_start(&trainer->model, (uint64_t)config->train.seed);
    return STATUS_OK;
}

/* Loads the data and makes sure that a continued run sees what it saw before. */
static enum status load_data(struct trainer *trainer, bool is_continued)
{
    const int threads = trainer->backend.n_threads;
    const struct subword *subword = trainer->model.subword;
    enum status status =
        prepare_corpus(trainer->config, subword, threads, trainer->place.epoch, &trainer->corpus);
    if (status >= 0)
        prepare_tell(&trainer->corpus, trainer->config, &trainer->report);
    if (status >= 0)
        status = validation_open(&trainer->validation, trainer->config, subword, threads);
    if (status < 0)
        return status;
    const uint64_t hash = trainer->corpus.text_hash;
    if (is_continued && hash != trainer->place.corpus_hash) {
        (void)status_set(STATUS_DATA, "%s was trained on other data than data.train is now",
                         trainer->config->save.dir);
        status_hint("restore the data, data.max_len and the order of lines, or use another "
                    "save.dir");
        return STATUS_DATA;
    }
    trainer->place.corpus_hash = hash;
    return STATUS_OK;
}

/* The order of place.epoch. */
static enum status plan_epoch(struct trainer *trainer)
{
    epoch_plan_free(&trainer->plan);
    return epoch_plan_make(&trainer->plan, &trainer->corpus, (uint64_t)trainer->config->train.seed,
                           (uint32_t)trainer->place.epoch, trainer->config->train.batch_tokens);
}

/* Goes on to place.epoch; where words are cut anew for each epoch, the text is read again. */
static enum status start_epoch(struct trainer *trainer)
{
    if (trainer->config->data.subword.sampling <= 0)
        return plan_epoch(trainer);
    corpus_free(&trainer->corpus);
    const enum status status =
        prepare_corpus(trainer->config, trainer->model.subword, trainer->backend.n_threads,
                       trainer->place.epoch, &trainer->corpus);
    if (status >= 0 && trainer->corpus.text_hash != trainer->place.corpus_hash)
        return status_set(STATUS_DATA, "%s: data.train changed while it was trained on",
                          trainer->config->save.dir);
    return status < 0 ? status : plan_epoch(trainer);
}

static bool is_done(const struct trainer *trainer)
{
    return trainer->place.is_finished || trainer->place.step >= trainer->config->train.steps;
}

static enum status open_trainer(struct trainer *trainer)
{
    const struct config *config = trainer->config;
    char path[CONFIG_PATH_BYTES + 32];
    checkpoint_path(config->save.dir, path, sizeof path);
    const bool is_continued = file_exists(path);
    enum status status =
        backend_open_for(&trainer->backend, config->train.device,
                         (enum compute)config->train.compute, (int)config->train.threads);
    if (status >= 0)
        status = backend_arena_init(&trainer->backend, &trainer->activations, 0);
    if (status >= 0)
        status = arena_init(&trainer->host, 0);
    if (status >= 0 && is_continued)
        status = continue_run(trainer, path);
    if (status < 0 || (is_continued && is_done(trainer)))
        return status;
    status =
        report_open(&trainer->report, config->save.dir, trainer->place.step, config->train.steps);
    if (status >= 0 && trainer->backend.hardware[0])
        report_note(&trainer->report, "computing on %s (%s)", trainer->backend.hardware,
                    trainer->backend.name);
    if (status >= 0 && !is_continued)
        status = begin_run(trainer);
    if (status >= 0)
        status = load_data(trainer, is_continued);
    if (status >= 0)
        param_list_zero_gradients(&trainer->model.params); /* after this, updates do it */
    if (status >= 0)
        status = expert_stats_init(&trainer->experts, &trainer->model);
    if (status >= 0)
        status = calibration_init(&trainer->calibration, &trainer->model);
    if (status >= 0)
        status = plan_epoch(trainer);
    if (status >= 0)
        status = run_directory_write_config(&trainer->directory, config);
    return status;
}

static void close_trainer(struct trainer *trainer)
{
    losses_free(&trainer->window);
    model_batch_free(&trainer->uploaded);
    batch_free(&trainer->batch);
    calibration_free(&trainer->calibration);
    expert_stats_free(&trainer->experts);
    validation_free(&trainer->validation);
    epoch_plan_free(&trainer->plan);
    corpus_free(&trainer->corpus);
    model_free(&trainer->model);
    arena_free(&trainer->activations);
    arena_free(&trainer->host);
    backend_close(&trainer->backend);
    if (trainer->report.log)
        report_close(&trainer->report);
    run_directory_close(&trainer->directory);
}

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

/* Adds the gradients of batch number index of the epoch. What is left in the pass's arenas may be
 * part of them. */
static enum status add_batch(struct trainer *trainer, const struct pass *pass, int64_t index,
                             int64_t first_sentence, double scale, double balance_scale)
{
    phase_enter(pass->backend, PHASE_BATCH);
    enum status status =
        epoch_plan_batch(&trainer->plan, &trainer->corpus, index, first_sentence, &trainer->batch);
    if (status >= 0)
        status = model_batch_upload(&trainer->uploaded, pass, &trainer->batch);
    phase_leave(pass->backend);
    if (status < 0)
        return status;
    model_loss(&trainer->model, pass, &trainer->record, &trainer->uploaded,
               trainer->config->train.label_smoothing, scale, balance_scale);
    phase_enter(pass->backend, PHASE_REPORT);
    status = losses_add(&trainer->window, pass, &trainer->record);
    if (status >= 0)
        expert_stats_add(&trainer->experts, &trainer->model, &trainer->record, pass);
    phase_leave(pass->backend);
    trainer->window_tokens += trainer->batch.n_source_tokens + trainer->batch.n_target_tokens;
    return status;
}

/* Adds the gradients of the n batches of the next update. */
static enum status add_batches(struct trainer *trainer, const struct pass *pass, int64_t n_batches)
{
    const struct place *place = &trainer->place;
    const double scale = 1 / (double)update_tokens(trainer, n_batches);
    const int64_t first = trainer->plan.starts[place->batch];
    const struct pass_mark mark = pass_mark(pass);
    enum status status = STATUS_OK;
    for (int64_t i = place->batch; i < place->batch + n_batches && status >= 0; i++) {
        pass_release(pass, mark);
        status = add_batch(trainer, pass, i, trainer->plan.starts[i] - first, scale,
                           1 / (double)n_batches);
    }
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
                              .is_training = true,
                              .dropout = trainer->config->model.dropout,
                              .seed = (uint64_t)train->seed,
                              .step = (uint32_t)(place->step + 1)};
    const struct pass_mark mark = pass_mark(&pass);
    enum status status = add_batches(trainer, &pass, n_batches);
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
    status = start_epoch(trainer);
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

static void tell(struct trainer *trainer)
{
    phase_enter(&trainer->backend, PHASE_REPORT);
    const struct report_train now = describe_window(trainer);
    const bool is_window = trainer->place.step % trainer->config->log.every == 0;
    report_live(&trainer->report, &now, &trainer->experts);
    if (is_window)
        report_window(&trainer->report, &now, &trainer->experts);
    phase_leave(&trainer->backend);
    if (!is_window)
        return;
    tell_profile(trainer, trainer->place.step - trainer->window_first);
    start_window(trainer);
}

/* Keeps the model as DIR/best.safetensors. */
static enum status save_best(struct trainer *trainer)
{
    char path[CONFIG_PATH_BYTES + 32];
    snprintf(path, sizeof path, "%s/best.safetensors", trainer->config->save.dir);
    return model_save(&trainer->model, path, false, NULL, 0);
}

static enum status fill_batch(void *context, int64_t index, struct batch *batch)
{
    const struct trainer *trainer = context;
    return epoch_plan_batch(&trainer->plan, &trainer->corpus, index, 0, batch);
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

static enum status train(struct trainer *trainer)
{
    const struct config *config = trainer->config;
    enum status status = STATUS_OK;
    if (config->train.profile) {
        profile_start(&trainer->profile, clock_seconds);
        trainer->backend.profile = &trainer->profile;
    }
    start_window(trainer);
    while (status >= 0 && !is_done(trainer)) {
        if ((status = update(trainer)) < 0)
            break;
        tell(trainer);
        const int64_t step = trainer->place.step;
        const bool is_last = step == config->train.steps;
        if (step % config->valid.every == 0 || is_last)
            status = validate(trainer);
        if (status < 0)
            break;
        const int number = signals_stop();
        if (signals_take_save() || number || step % config->save.every == 0 || is_done(trainer))
            status = save(trainer);
        if (status >= 0 && number)
            return status_set(STATUS_INTERRUPTED, "signal %d: saved at step %lld", number,
                              (long long)step);
        if (status >= 0)
            status = report_check(&trainer->report);
    }
    return status;
}

static void tell_start(struct trainer *trainer)
{
    const struct model *model = &trainer->model;
    report_note(&trainer->report, "%s: %.1f M parameters, %s with %d threads, %s step %lld",
                trainer->config->save.dir, (double)param_list_size(&model->params) * 1e-6,
                trainer->backend.ops->name, trainer->backend.n_threads,
                trainer->place.step ? "continuing after" : "from", (long long)trainer->place.step);
}

static void tell_end(struct trainer *trainer)
{
    const struct place *place = &trainer->place;
    if (trainer->report.log)
        report_note(&trainer->report, "finished at step %lld%s; best model of step %lld in %s",
                    (long long)place->step, place->is_finished ? " (no gain)" : "",
                    (long long)place->best_step, trainer->config->save.dir);
    else
        fprintf(stderr, "%s: already finished at step %lld of %lld%s; raise train.steps to go on\n",
                trainer->config->save.dir, (long long)place->step,
                (long long)trainer->config->train.steps,
                place->is_finished ? ", stopped early" : "");
}

enum status trainer_run(const struct config *config, int *signal_number)
{
    struct trainer *trainer = calloc(1, sizeof *trainer);
    if (!trainer)
        return status_set(STATUS_MEMORY, "no memory to train");
    trainer->config = config;
    trainer->directory.lock = -1;
    enum status status = config_check_train(config);
    if (status >= 0)
        status = run_directory_open(&trainer->directory, config->save.dir);
    if (status >= 0)
        status = open_trainer(trainer);
    if (status >= 0 && trainer->report.log) {
        signals_watch();
        tell_start(trainer);
        status = train(trainer);
        tell_profile(trainer, trainer->place.step - trainer->window_first);
        if (trainer->profiled_steps > 0)
            report_profile_table(&trainer->report, trainer->profiled_steps, trainer->profiled);
    }
    if (status >= 0)
        tell_end(trainer);
    *signal_number = signals_stop();
    close_trainer(trainer);
    free(trainer);
    return status;
}
