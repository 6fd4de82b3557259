/* Saving and reading a training's place. */
#include "train/checkpoint.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* All numbers of a place as texts; the metric as a hexadecimal float, exact. */
enum { FIELDS = 8, FIELD_BYTES = 40 };
static const char *const keys[FIELDS] = {"step",      "epoch",       "batch",    "validations_bad",
                                         "best_step", "best_metric", "finished", "corpus_hash"};

void checkpoint_path(const char *directory, char *path, size_t size)
{
    snprintf(path, size, "%s/last/state.safetensors", directory);
}

enum status checkpoint_save(struct model *model, const char *directory, const struct place *place)
{
    char values[FIELDS][FIELD_BYTES];
    const int64_t numbers[5] = {place->step, place->epoch, place->batch, place->validations_bad,
                                place->best_step};
    for (int i = 0; i < 5; i++)
        snprintf(values[i], FIELD_BYTES, "%" PRId64, numbers[i]);
    snprintf(values[5], FIELD_BYTES, "%a", place->best_metric);
    snprintf(values[6], FIELD_BYTES, "%d", place->is_finished);
    snprintf(values[7], FIELD_BYTES, "%016" PRIx64, place->corpus_hash);
    struct safetensors_text texts[FIELDS];
    for (int i = 0; i < FIELDS; i++)
        texts[i] = (struct safetensors_text){.key = keys[i], .value = values[i]};
    char path[CONFIG_PATH_BYTES + 32];
    checkpoint_path(directory, path, sizeof path);
    return model_save_state(model, path, texts, FIELDS);
}

enum status checkpoint_read_place(const struct safetensors *file, const char *path,
                                  struct place *place)
{
    int finished = 0;
    int64_t *const numbers[5] = {&place->step, &place->epoch, &place->batch,
                                 &place->validations_bad, &place->best_step};
    *place = (struct place){0};
    for (int i = 0; i < FIELDS; i++) {
        const char *text = safetensors_metadata(file, keys[i]);
        int used = -1, found = 0;
        if (text && i < 5)
            found = sscanf(text, "%" SCNd64 "%n", numbers[i], &used);
        else if (text && i == 5)
            found = sscanf(text, "%la%n", &place->best_metric, &used);
        else if (text && i == 6)
            found = sscanf(text, "%d%n", &finished, &used);
        else if (text)
            found = sscanf(text, "%" SCNx64 "%n", &place->corpus_hash, &used);
        if (found != 1 || used < 0 || text[used] != '\0')
            return status_set(STATUS_FORMAT, "%s: a checkpoint needs '%s' as a number", path,
                              keys[i]);
    }
    place->is_finished = finished != 0;
    if (place->step < 0 || place->epoch < 0 || place->batch < 0 || place->epoch > UINT32_MAX)
        return status_set(STATUS_FORMAT, "%s: a checkpoint with numbers out of range", path);
    return STATUS_OK;
}
