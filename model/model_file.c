/* Model files and checkpoints. */
#include "model/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/base64.h"

static const char format_name[] = "mixt-1";

enum { STATES = 4, MAX_METADATA = 32 }; /* value, first and second moment, average */
static const char *const state_suffix[STATES] = {"", ".first", ".second", ".average"};

static const struct tensor *state_of(const struct param *param, int state)
{
    const struct tensor *const states[STATES] = {&param->weight.value, &param->first,
                                                 &param->second, &param->average};
    return states[state];
}

/* How many tensors a parameter has in a file. */
static int states_of(const struct model *model, bool with_state)
{
    if (!with_state)
        return 1;
    return model->params.has_average ? STATES : STATES - 1;
}

/* Names and shapes of all tensors of a file; data in one buffer of host memory. */
struct inventory {
    struct safetensors_tensor *tensors; /* owned */
    char *names;                        /* owned */
    char *bytes;                        /* owned; NULL when not wanted */
    size_t count;
};

static void inventory_free(struct inventory *inventory)
{
    free(inventory->tensors);
    free(inventory->names);
    free(inventory->bytes);
    *inventory = (struct inventory){0};
}

static struct safetensors_tensor describe(const struct tensor *tensor, const char *name)
{
    struct safetensors_tensor entry = {
        .name = name,
        .type = tensor->dtype == DTYPE_F64 ? SAFETENSORS_F64 : SAFETENSORS_F32,
        .rank = tensor->rank,
        .size = (uint64_t)tensor_count(tensor) * dtype_size(tensor->dtype)};
    memcpy(entry.dim, tensor->dim, sizeof tensor->dim);
    return entry;
}

static enum status inventory_make(struct inventory *inventory, const struct model *model,
                                  int n_states)
{
    enum { NAME_BYTES = 160 };
    const size_t n = (size_t)model->params.count * (size_t)n_states;
    *inventory = (struct inventory){.tensors = calloc(n + 1, sizeof *inventory->tensors),
                                    .names = calloc(n + 1, NAME_BYTES)};
    if (!inventory->tensors || !inventory->names) {
        inventory_free(inventory);
        return status_set(STATUS_MEMORY, "no memory for the list of %zu tensors", n);
    }
    for (int64_t i = 0; i < model->params.count; i++)
        for (int state = 0; state < n_states; state++) {
            const struct param *param = model->params.items[i];
            char *name = inventory->names + inventory->count * NAME_BYTES;
            snprintf(name, NAME_BYTES, "%s%s", param->name, state_suffix[state]);
            inventory->tensors[inventory->count++] = describe(state_of(param, state), name);
        }
    return STATUS_OK;
}

/* Copies every tensor to the host. */
static enum status inventory_download(struct inventory *inventory, struct model *model,
                                      int n_states)
{
    struct backend *backend = model->params.backend;
    size_t total = 0, at = 0;
    for (size_t i = 0; i < inventory->count; i++)
        total += inventory->tensors[i].size;
    inventory->bytes = malloc(total + 1);
    if (!inventory->bytes)
        return status_set(STATUS_MEMORY, "no memory to save %zu bytes", total);
    for (size_t i = 0; i < inventory->count; i++) {
        struct safetensors_tensor *entry = &inventory->tensors[i];
        const struct param *param = model->params.items[i / (size_t)n_states];
        entry->data = inventory->bytes + at;
        backend->ops->download(backend, inventory->bytes + at,
                               state_of(param, (int)(i % (size_t)n_states)), entry->size);
        at += entry->size;
    }
    return backend_sync(backend);
}

enum status model_save(struct model *model, const char *path, bool with_state,
                       const struct safetensors_text *metadata, size_t n)
{
    CHECK(n + 3 <= MAX_METADATA, "%zu texts", n);
    struct safetensors_text texts[MAX_METADATA] = {{.key = "format", .value = format_name}};
    struct buffer config = {0}, subword = {0};
    struct inventory inventory = {0};
    const int n_states = states_of(model, with_state);
    const struct subword_text model_bytes = subword_serialized(model->subword);
    enum status status = config_write(&model->config, CONFIG_PART_PORTABLE, &config);
    if (status >= 0)
        status = base64_encode(model_bytes.bytes, model_bytes.size, &subword);
    if (status >= 0)
        status = inventory_make(&inventory, model, n_states);
    if (status >= 0)
        status = inventory_download(&inventory, model, n_states);
    if (status < 0)
        goto done;
    texts[1] = (struct safetensors_text){.key = "config", .value = config.data};
    texts[2] = (struct safetensors_text){.key = "subword", .value = subword.data};
    for (size_t i = 0; i < n; i++)
        texts[3 + i] = metadata[i];
    status = safetensors_write(path, inventory.tensors, inventory.count, texts, n + 3);
done:
    inventory_free(&inventory);
    buffer_free(&config);
    buffer_free(&subword);
    return status;
}

enum status model_read_head(const struct safetensors *file, const char *path, struct config *config,
                            struct subword **subword)
{
    *subword = NULL;
    const char *format = safetensors_metadata(file, "format");
    const char *config_text = safetensors_metadata(file, "config");
    const char *subword_text = safetensors_metadata(file, "subword");
    if (!format || !config_text || !subword_text)
        return status_set(STATUS_FORMAT, "%s: a safetensors file, but not a model of mixt", path);
    if (strcmp(format, format_name) != 0)
        return status_set(STATUS_FORMAT, "%s: format '%s'; this program reads '%s'", path, format,
                          format_name);
    enum status status = config_read_text(config, config_text, strlen(config_text), path);
    struct buffer bytes = {0};
    if (status >= 0)
        status = base64_decode(subword_text, strlen(subword_text), &bytes);
    if (status >= 0)
        status = subword_open_bytes(subword, bytes.data, bytes.size, path);
    buffer_free(&bytes);
    return status;
}

static enum status read_tensor(struct model *model, const struct safetensors *file,
                               const char *path, const struct safetensors_tensor *wanted,
                               const struct tensor *target, struct buffer *scratch)
{
    const struct safetensors_tensor *found = safetensors_find(file, wanted->name);
    if (!found)
        return status_set(STATUS_FORMAT, "%s: tensor '%s' is missing", path, wanted->name);
    bool is_same = found->type == wanted->type && found->rank == wanted->rank;
    for (int d = 0; is_same && d < found->rank; d++)
        is_same = found->dim[d] == wanted->dim[d];
    if (!is_same)
        return status_set(STATUS_FORMAT,
                          "%s: tensor '%s' has not the shape that the configuration in the file "
                          "gives it",
                          path, wanted->name);
    buffer_clear(scratch);
    enum status status = buffer_reserve(scratch, found->size);
    if (status >= 0)
        status = safetensors_read(file, found, scratch->data);
    if (status >= 0)
        model->params.backend->ops->upload(model->params.backend, target, scratch->data,
                                           found->size);
    return status;
}

enum status model_read_values(struct model *model, const struct safetensors *file, const char *path,
                              bool with_state)
{
    const int n_states = states_of(model, with_state);
    const size_t n_found = safetensors_count(file), n_params = (size_t)model->params.count;
    const bool is_checkpoint = n_found == n_params * (STATES - 1) || n_found == n_params * STATES;
    struct inventory inventory;
    struct buffer scratch = {0};
    enum status status = inventory_make(&inventory, model, n_states);
    if (status >= 0 && n_found != inventory.count && !(is_checkpoint && !with_state))
        status = status_set(STATUS_FORMAT, "%s: %zu tensors where the configuration has %zu", path,
                            n_found, inventory.count);
    for (size_t i = 0; i < inventory.count && status >= 0; i++) {
        const struct param *param = model->params.items[i / (size_t)n_states];
        status = read_tensor(model, file, path, &inventory.tensors[i],
                             state_of(param, (int)(i % (size_t)n_states)), &scratch);
    }
    if (status >= 0)
        status = backend_sync(model->params.backend);
    if (status >= 0)
        param_list_pack(&model->params);
    inventory_free(&inventory);
    buffer_free(&scratch);
    return status;
}

enum status model_find(const char *path, struct buffer *file)
{
    static const char *const names[] = {"best.safetensors", "last/state.safetensors"};
    if (!file_is_directory(path))
        return buffer_append_string(file, path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        buffer_clear(file);
        const enum status status = buffer_printf(file, "%s/%s", path, names[i]);
        if (status < 0 || file_exists(file->data))
            return status;
    }
    (void)status_set(STATUS_IO, "%s: no model in this directory", path);
    status_hint("a run directory has a model after its first save; see 'mixt train --help'");
    return STATUS_IO;
}

enum status model_load(struct model *model, struct backend *backend, const char *path)
{
    *model = (struct model){0};
    struct safetensors *file = NULL;
    struct subword *subword = NULL;
    struct config config;
    struct buffer name = {0};
    enum status status = model_find(path, &name);
    if (status >= 0)
        status = safetensors_open(&file, name.data);
    if (status >= 0)
        status = model_read_head(file, name.data, &config, &subword);
    if (status >= 0)
        status = model_init(model, backend, &config, subword_size(subword), false);
    if (status < 0) {
        subword_free(subword);
        goto done;
    }
    model->subword = subword;
    status = model_read_values(model, file, name.data, false);
    if (status < 0)
        model_free(model);
done:
    safetensors_close(file);
    buffer_free(&name);
    return status;
}
