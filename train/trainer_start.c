/* Starting a training and continuing one. */
#include <stdlib.h>

#include "base/file.h"
#include "train/prepare.h"
#include "train/ranks.h"
#include "train/trainer_parts.h"

enum status trainer_agree(struct trainer *trainer, enum status mine)
{
    const enum status status = ranks_agree(trainer->comm, mine);
    trainer->is_common = status < 0 && (comm_is_alone(trainer->comm) || trainer->comm->error >= 0);
    return status;
}

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
        status = model_init_share(&trainer->model, &trainer->backend, trainer->comm, config,
                                  subword_size(subword), true);
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
    struct subword *subword = NULL;
    enum status status = STATUS_OK;
    if (trainer->is_writer)
        status = prepare_subword(config, &trainer->report, &subword);
    status = trainer_agree(trainer, status);
    if (status >= 0)
        status = ranks_share_subword(trainer->comm, &subword);
    if (status >= 0)
        status = model_init_share(&trainer->model, &trainer->backend, trainer->comm, config,
                                  subword_size(subword), true);
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

enum status trainer_start_epoch(struct trainer *trainer)
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

bool trainer_is_done(const struct trainer *trainer)
{
    return trainer->place.is_finished || trainer->place.step >= trainer->config->train.steps;
}

static enum status open_trainer(struct trainer *trainer)
{
    const struct config *config = trainer->config;
    char path[CONFIG_PATH_BYTES + 32];
    checkpoint_path(config->save.dir, path, sizeof path);
    bool is_continued = file_exists(path);
    enum status status = ranks_follow_first(trainer->comm, &is_continued);
    if (status >= 0)
        status =
            trainer_agree(trainer, ranks_open_backend(&trainer->backend, config, trainer->comm));
    if (status >= 0)
        status = ranks_check_same_device(trainer->comm, &trainer->backend);
    if (status >= 0)
        status = backend_arena_init(&trainer->backend, &trainer->activations, 0);
    if (status >= 0)
        status = arena_init(&trainer->host, 0);
    if (status >= 0 && is_continued)
        status = continue_run(trainer, path);
    status = trainer_agree(trainer, status);
    if (status < 0 || (is_continued && trainer_is_done(trainer)))
        return status;
    trainer->is_open = true;
    if (trainer->is_writer)
        status = report_open(&trainer->report, config->save.dir, trainer->place.step,
                             config->train.steps);
    status = trainer_agree(trainer, status);
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
    if (status >= 0 && trainer->is_writer)
        status = run_directory_write_config(&trainer->directory, config);
    return status;
}

void trainer_close(struct trainer *trainer)
{
    losses_free(&trainer->pass);
    losses_free(&trainer->step);
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
    if (trainer->comm && (trainer->is_common || trainer->has_ended))
        comm_close(trainer->comm); /* before the backend, whose tensors it carried */
    backend_close(&trainer->backend);
    if (trainer->report.log)
        report_close(&trainer->report);
    run_directory_close(&trainer->directory);
}

enum status trainer_prepare(struct trainer *trainer)
{
    const struct config *config = trainer->config;
    enum status status = config_check_train(config);
    if (status >= 0)
        status = ranks_check_config(config, trainer->comm);
    status = trainer_agree(trainer, status);
    if (status >= 0)
        status = trainer_agree(trainer, ranks_check_same_config(config, trainer->comm));
    if (status < 0)
        return status;
    if (trainer->is_writer)
        status = run_directory_open(&trainer->directory, config->save.dir);
    status = trainer_agree(trainer, status);
    if (status >= 0)
        status = open_trainer(trainer);
    if (!trainer->is_common)
        status = trainer_agree(trainer, status);
    if (status >= 0 && trainer->is_open && !comm_is_alone(trainer->comm))
        status = trainer_agree(trainer, comm_check_same(trainer->comm, trainer->corpus.text_hash,
                                                        "the data of data.train"));
    return status;
}
