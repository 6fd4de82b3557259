/* Text through the model, choices to the tallies. */
#include "tools/routing/collect.h"

#include "model/model_file.h"

/* Finds the layers that will run: without a target not those of the decoder. */
static int64_t find_layers(struct collect *collect)
{
    const struct encoder_config *encoder = &collect->model.encoder.config;
    const int64_t all = model_moe_layers(&collect->model, collect->layers, COLLECT_MAX_LAYERS);
    for (int64_t l = 0; l < encoder->n_layers; l++)
        collect->n_encoder += encoder->has_moe_after[l];
    return collect->feed.inputs[FEED_TARGET] ? all : collect->n_encoder;
}

static enum status open_tallies(struct collect *collect, const char *path, int64_t n_top)
{
    const int64_t n_layers = find_layers(collect);
    if (n_layers == 0)
        return status_set(STATUS_CONFIG, "%s has no mixture of experts%s", path,
                          collect->layers[0] ? " in its encoder; name a target text, too" : "");
    enum status status = STATUS_OK;
    while (status >= 0 && collect->n_layers < n_layers) {
        const int64_t l = collect->n_layers++;
        status = tally_init(&collect->tallies[l], collect->layers[l]->n_experts, n_top);
    }
    return status;
}

enum status collect_open(struct collect *collect, const struct routing_options *options,
                         const char *path, const char *const *texts, size_t n)
{
    CHECK(n == 1 || n == 2, "%zu texts", n);
    struct model *model = &collect->model;
    enum status status = backend_open(&collect->backend, options->device, (int)options->threads);
    if (status >= 0)
        status = backend_arena_init(&collect->backend, &collect->arena, 0);
    if (status >= 0)
        status = arena_init(&collect->host, 0);
    if (status >= 0)
        status = model_load(model, &collect->backend, path);
    const bool is_lm = status >= 0 && model_is_lm(model);
    if (is_lm && n == 2)
        status = status_set(STATUS_USAGE, "%s is a language model, which reads one text", path);
    const char *const target = n == 2 ? texts[1] : is_lm ? texts[0] : NULL;
    if (status >= 0)
        status =
            feed_open(&collect->feed, model, options->language, is_lm ? NULL : texts[0], target);
    return status < 0 ? status
                      : open_tallies(collect, path, options->n_experts > 0 ? options->n_top : 0);
}

void collect_free(struct collect *collect)
{
    for (int64_t l = 0; l < collect->n_layers; l++)
        tally_free(&collect->tallies[l]);
    feed_free(&collect->feed);
    for (int i = 0; i < 3; i++)
        buffer_free(&collect->numbers[i]);
    batch_free(&collect->batch);
    model_batch_free(&collect->uploaded);
    model_free(&collect->model);
    arena_free(&collect->arena);
    arena_free(&collect->host);
    backend_close(&collect->backend);
    *collect = (struct collect){0};
}

/* Sends the batch through the model. */
static enum status run_batch(struct collect *collect, const struct pass *pass)
{
    const struct batch *batch = &collect->batch;
    const enum status status = model_batch_upload(&collect->uploaded, pass, batch);
    if (status < 0)
        return status;
    if (batch->target_length > 0)
        model_loss(&collect->model, pass, &collect->record, &collect->uploaded, 0, 1, 0);
    else
        (void)model_encode(&collect->model, pass, &collect->record.encoder,
                           &collect->uploaded.source);
    return backend_sync(&collect->backend);
}

static enum status download(struct collect *collect, struct buffer *to, const struct tensor *from)
{
    const size_t bytes = (size_t)tensor_count(from) * dtype_size(from->dtype);
    buffer_clear(to);
    const enum status status = buffer_reserve(to, bytes + 1);
    if (status >= 0)
        collect->backend.ops->download(&collect->backend, to->data, from, bytes);
    return status;
}

static enum status tally_layer(struct collect *collect, const struct pass *pass, int64_t l)
{
    CHECK(collect->backend.real == DTYPE_F32, "the program computes in 32 bits");
    const struct moe *moe = collect->layers[l];
    const struct moe_record *record = model_moe_record(&collect->model, &collect->record, l);
    const struct batch *batch = &collect->batch;
    const bool is_encoder = !model_is_lm(&collect->model) && l < collect->n_encoder;
    struct tensor tokens, weights;
    moe_choices(moe, pass, record, &tokens, &weights);
    enum status status = download(collect, &collect->numbers[0], moe_offsets(moe, record));
    if (status >= 0)
        status = download(collect, &collect->numbers[1], &tokens);
    if (status >= 0)
        status = download(collect, &collect->numbers[2], &weights);
    if (status < 0)
        return status;
    const void *const data[] = {collect->numbers[0].data, collect->numbers[1].data,
                                collect->numbers[2].data};
    const struct tally_choices choices = {
        .n_tokens = is_encoder ? batch->n_source_tokens : batch->n_target_tokens,
        .n_sentences = batch->n_sentences,
        .first_line = collect->lines + 1,
        .ids = is_encoder ? batch->source : batch->target_in,
        .lengths = is_encoder ? batch->source_lengths : batch->target_lengths,
        .rows = is_encoder ? batch->source_rows : batch->target_rows,
        .offsets = data[0],
        .tokens = data[1],
        .weights = data[2]};
    return tally_add(&collect->tallies[l], &choices);
}

enum status collect_run(struct collect *collect)
{
    const struct pass pass = {
        .backend = &collect->backend, .arena = &collect->arena, .host = &collect->host};
    for (;;) {
        size_t n = 0;
        const struct pass_mark mark = pass_mark(&pass);
        enum status status = feed_next(&collect->feed, &collect->batch, &n);
        if (status < 0 || n == 0) {
            for (int64_t l = 0; l < collect->n_layers; l++)
                tally_sort(&collect->tallies[l]);
            return status;
        }
        status = run_batch(collect, &pass);
        for (int64_t l = 0; l < collect->n_layers && status >= 0; l++)
            status = tally_layer(collect, &pass, l);
        if (status < 0)
            return status;
        pass_release(&pass, mark);
        collect->lines += (int64_t)n;
    }
}
