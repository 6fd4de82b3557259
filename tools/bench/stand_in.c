/* Thresholds of random weights. */
#include "tools/bench/stand_in.h"

#include <stdlib.h>
#include <string.h>

#include "train/calibration.h"

enum {
    STREAM_TEXT = 600,
    MOST_HIDDEN = 16,    /* units of an expert */
    SENTENCES = 40,      /* of a batch */
    LENGTH = 25,         /* pieces, with the end symbol */
    FILL_COUNT = 1 << 16 /* numbers made at a time */
};

/* Logarithm of the threshold that calibration begins with, in shares of 1 / E: of scores that are
 * normal and of size 1, 7 % are above it. At 1 / E itself its first batches would be large. */
static const float first_guess = 1;

static bool has_balanced_gates(const struct config *config)
{
    const struct config_moe *moe = &config->model.moe;
    bool has = false;
    for (int64_t level = 0; level < moe->experts.n; level++)
        has = has || moe->gate.value[level] == CONFIG_GATE_BALANCED;
    return has;
}

static enum status make_model(struct stand_in *stand_in, const struct config *config,
                              int64_t vocabulary)
{
    stand_in->config = malloc(sizeof *stand_in->config);
    if (!stand_in->config)
        return status_set(STATUS_MEMORY, "no memory for the configuration");
    *stand_in->config = *config;
    stand_in->config->model.dtype = CONFIG_DTYPE_F32;
    if (config->model.moe.expert.hidden > MOST_HIDDEN)
        stand_in->config->model.moe.expert.hidden = MOST_HIDDEN;
    enum status status = backend_open(&stand_in->backend, "cpu", 1);
    if (status >= 0)
        status = backend_arena_init(&stand_in->backend, &stand_in->arena, 0);
    if (status >= 0)
        status = arena_init(&stand_in->host, 0);
    return status < 0 ? status
                      : model_init(&stand_in->model, &stand_in->backend, stand_in->config,
                                   vocabulary, false);
}

static bool is_threshold(const char *name)
{
    const size_t length = strlen(name), ending = strlen(".threshold");
    return length > ending && strcmp(name + length - ending, ".threshold") == 0;
}

static void fill_model(struct stand_in *stand_in, uint64_t seed, stand_in_fill *fill)
{
    struct backend *backend = &stand_in->backend;
    const size_t mark = arena_mark(&stand_in->host);
    float *numbers = arena_take(&stand_in->host, FILL_COUNT * sizeof *numbers);
    for (int64_t i = 0; i < stand_in->model.params.count; i++) {
        const struct param *param = stand_in->model.params.items[i];
        const struct tensor *value = &param->weight.value;
        const struct tensor flat = tensor_as_2d(value, tensor_count(value), 1);
        for (int64_t first = 0; first < flat.dim[0]; first += FILL_COUNT) {
            const int64_t left = flat.dim[0] - first, n = left < FILL_COUNT ? left : FILL_COUNT;
            const struct tensor part = tensor_slice(&flat, first, n);
            fill(param, seed, (uint64_t)first, numbers, (size_t)n);
            for (int64_t k = 0; k < n && is_threshold(param->name); k++)
                numbers[k] += first_guess;
            backend->ops->upload(backend, &part, numbers, (size_t)n * sizeof *numbers);
        }
    }
    param_list_pack(&stand_in->model.params);
    arena_release(&stand_in->host, mark);
}

/* Sentences of random pieces; context is a stand-in. */
static enum status fill_batch(void *context, int64_t index, struct ranks_share share,
                              struct batch *batch)
{
    const struct stand_in *stand_in = context;
    const bool is_lm = model_is_lm(&stand_in->model);
    const uint64_t n_words = (uint64_t)stand_in->model.vocabulary - SUBWORD_EOS - 1;
    const struct random_key key = {.seed = (uint64_t)index, .stream = STREAM_TEXT};
    int32_t ids[2 * SENTENCES][LENGTH];
    enum status status = STATUS_OK;
    batch_start(batch);
    for (uint32_t s = 0; s < 2 * SENTENCES; s++)
        for (uint32_t i = 0; i < LENGTH; i++) {
            const struct random_words words = random_philox(key, s, i);
            const uint64_t word = random_below(words.word[0], words.word[1], n_words);
            ids[s][i] = i + 1 < LENGTH ? SUBWORD_EOS + 1 + (int32_t)word : SUBWORD_EOS;
        }
    for (int s = 2 * share.part; s < 2 * SENTENCES && status >= 0; s += 2 * share.n_parts)
        status = batch_add(batch, is_lm ? NULL : ids[s], is_lm ? 0 : LENGTH, ids[s + 1], LENGTH);
    return status < 0 ? status : batch_finish(batch, SUBWORD_BOS, 0);
}

/* As many tokens as calibration reads at least. */
static enum status set_thresholds(struct stand_in *stand_in)
{
    struct calibration calibration = {0};
    const struct calibration_text text = {
        .fill = fill_batch, .context = stand_in, .n_batches = INT32_MAX};
    enum status status = calibration_init(&calibration, &stand_in->model);
    if (status >= 0)
        status = calibration_run(&calibration, &stand_in->model, &stand_in->arena, &stand_in->host,
                                 &stand_in->batch, &text);
    calibration_free(&calibration);
    return status;
}

enum status stand_in_open(struct stand_in *stand_in, const struct config *config,
                          int64_t vocabulary, uint64_t seed, stand_in_fill *fill)
{
    if (!has_balanced_gates(config))
        return STATUS_OK;
    const enum status status = make_model(stand_in, config, vocabulary);
    if (status < 0)
        return status;
    fill_model(stand_in, seed, fill);
    return set_thresholds(stand_in);
}

void stand_in_free(struct stand_in *stand_in)
{
    batch_free(&stand_in->batch);
    model_free(&stand_in->model);
    arena_free(&stand_in->arena);
    arena_free(&stand_in->host);
    backend_close(&stand_in->backend);
    free(stand_in->config);
    *stand_in = (struct stand_in){0};
}

bool stand_in_read(const struct stand_in *stand_in, const char *name, uint64_t first,
                   float *numbers, size_t count)
{
    const struct param *param = param_find(&stand_in->model.params, name);
    if (!param || !is_threshold(name))
        return false;
    const struct tensor *value = &param->weight.value;
    const struct tensor flat = tensor_as_2d(value, tensor_count(value), 1);
    const struct tensor part = tensor_slice(&flat, (int64_t)first, (int64_t)count);
    struct backend *backend = stand_in->model.params.backend;
    backend->ops->download(backend, numbers, &part, count * sizeof *numbers);
    return true;
}
