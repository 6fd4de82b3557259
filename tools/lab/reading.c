/* Models reading texts. */
#include "tools/lab/reading.h"

static enum status find_layers(struct reading *reading, const char *model)
{
    const struct encoder_config *encoder = &reading->model.encoder.config;
    const int64_t all = model_moe_layers(&reading->model, reading->layers, READING_MAX_LAYERS);
    for (int64_t l = 0; l < encoder->n_layers; l++)
        reading->n_encoder += encoder->has_moe_after[l];
    reading->n_layers = reading->feed.inputs[FEED_TARGET] ? all : reading->n_encoder;
    if (reading->n_layers > 0)
        return STATUS_OK;
    return status_set(STATUS_CONFIG, "%s has no mixture of experts%s", model,
                      all > 0 ? " in its encoder; name a target text, too" : "");
}

enum status reading_open(struct reading *reading, const struct reading_options *options,
                         const struct option_list *texts)
{
    if (!options->model)
        return status_set(STATUS_USAGE, "a model is missing: -m MODEL");
    enum status status = backend_open(&reading->backend, options->device, (int)options->threads);
    if (status >= 0)
        status = backend_arena_init(&reading->backend, &reading->arena, 0);
    if (status >= 0)
        status = arena_init(&reading->host, 0);
    if (status >= 0)
        status = model_load(&reading->model, &reading->backend, options->model);
    if (status < 0)
        return status;
    const bool is_lm = model_is_lm(&reading->model);
    if (is_lm && texts->count == 2)
        return status_set(STATUS_USAGE, "%s is a language model, which reads one text",
                          options->model);
    const char *const source = is_lm ? NULL : texts->items[0];
    const char *const target = texts->count == 2 ? texts->items[1] : is_lm ? texts->items[0] : NULL;
    status = feed_open(&reading->feed, &reading->model, options->language, source, target);
    return status < 0 ? status : find_layers(reading, options->model);
}

void reading_free(struct reading *reading)
{
    feed_free(&reading->feed);
    batch_free(&reading->batch);
    model_batch_free(&reading->uploaded);
    model_free(&reading->model);
    arena_free(&reading->arena);
    arena_free(&reading->host);
    backend_close(&reading->backend);
}

struct pass reading_pass(struct reading *reading)
{
    return (struct pass){
        .backend = &reading->backend, .arena = &reading->arena, .host = &reading->host};
}

enum status reading_next(struct reading *reading, size_t *n)
{
    const struct pass pass = reading_pass(reading);
    arena_release(&reading->arena, 0);
    arena_release(&reading->host, 0);
    enum status status = feed_next(&reading->feed, &reading->batch, n);
    if (status < 0 || *n == 0)
        return status;
    status = model_batch_upload(&reading->uploaded, &pass, &reading->batch);
    if (status < 0)
        return status;
    if (reading->feed.inputs[FEED_TARGET])
        model_loss(&reading->model, &pass, &reading->record, &reading->uploaded, 0, 1, 0);
    else
        (void)model_encode(&reading->model, &pass, &reading->record.encoder,
                           &reading->uploaded.source);
    return backend_sync(&reading->backend);
}

const struct sequence *reading_sequence(const struct reading *reading, int64_t l)
{
    const bool is_source = l < reading->n_encoder && !model_is_lm(&reading->model);
    return is_source ? &reading->uploaded.source : &reading->uploaded.target;
}

const struct moe_record *reading_record(const struct reading *reading, int64_t l)
{
    return model_moe_record(&reading->model, &reading->record, l);
}
