/* Model files and checkpoints. */
#include "model/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "model/base64.h"
#include "model/inventory.h"
#include "model/shards.h"

static const char format_name[] = "mixt-1";
enum { MAX_METADATA = 32 };

/* -- one file of what several ranks have -- */

/* A saving that gathers: up to where rank 0 was asked for bytes. */
struct gathering {
    struct inventory inventory;
    size_t index;
    uint64_t offset;
};

/* The bytes offset .. offset+size-1 of a tensor into target on all ranks: each gives those that are
 * its own. What all have, each takes from its own. */
static enum status gather_part(struct inventory *inventory, size_t index, uint64_t offset,
                               char *target, size_t size)
{
    const struct tensor *place = inventory->places[index];
    const uint64_t element = dtype_size(place->dtype);
    struct comm *comm = inventory->comm;
    struct backend *backend = inventory->backend;
    if (!inventory_is_parted(inventory, index)) {
        const struct tensor part = inventory_part_of(place, offset, size);
        backend->ops->download(backend, target, &part, size);
        return backend_sync(backend);
    }
    enum status status = STATUS_OK;
    for (int r = 0; r < comm->size; r++) {
        const struct run_range own = inventory_range(inventory, index, r);
        const uint64_t start = element * (uint64_t)own.start, end = element * (uint64_t)own.end;
        const uint64_t from = offset > start ? offset : start;
        const uint64_t to = offset + size < end ? offset + size : end;
        if (from >= to)
            continue;
        if (r == comm->rank) {
            const struct tensor part = inventory_part_of(place, from - start, to - from);
            backend->ops->download(backend, target + (from - offset), &part, to - from);
            const enum status synced = backend_sync(backend);
            status = status < 0 ? status : synced;
        }
        const enum status sent = comm_broadcast(comm, target + (from - offset), to - from, r);
        status = status < 0 ? status : sent;
    }
    return status;
}

static enum status gather_next(void *context, size_t index, uint64_t offset, void *target,
                               size_t size)
{
    struct gathering *gathering = context;
    gathering->index = index;
    gathering->offset = offset + size;
    return gather_part(&gathering->inventory, index, offset, target, size);
}

/* What a rank that does not write does meanwhile: gives its experts, block by block as rank 0 asks
 * for them. Rank 0 itself goes on so where it cannot write. */
static enum status follow(struct gathering *gathering)
{
    struct inventory *inventory = &gathering->inventory;
    char *block = malloc(SAFETENSORS_BLOCK_BYTES);
    enum status status = block ? STATUS_OK : status_set(STATUS_MEMORY, "no memory to save");
    for (size_t i = gathering->index; block && i < inventory->count; i++) {
        const uint64_t total = inventory->tensors[i].size;
        uint64_t size = 0;
        for (uint64_t at = i == gathering->index ? gathering->offset : 0; at < total; at += size) {
            const uint64_t left = total - at;
            size = left < SAFETENSORS_BLOCK_BYTES ? left : SAFETENSORS_BLOCK_BYTES;
            const enum status one = gather_part(inventory, i, at, block, size);
            status = status < 0 ? status : one;
        }
    }
    free(block);
    return status;
}

/* -- writing -- */

/* Writes a file of the model's: texts about it, n more, and the inventory's tensors. */
static enum status write_file(const struct model *model, const char *path,
                              const struct inventory *inventory,
                              const struct safetensors_text *metadata, size_t n,
                              const struct safetensors_source *source)
{
    CHECK(n + 3 <= MAX_METADATA, "%zu texts", n);
    struct safetensors_text texts[MAX_METADATA] = {{.key = "format", .value = format_name}};
    struct buffer config = {0}, subword = {0};
    const struct subword_text model_bytes = subword_serialized(model->subword);
    enum status status = config_write(&model->config, CONFIG_PART_PORTABLE, &config);
    if (status >= 0)
        status = base64_encode(model_bytes.bytes, model_bytes.size, &subword);
    texts[1] = (struct safetensors_text){.key = "config", .value = config.data};
    texts[2] = (struct safetensors_text){.key = "subword", .value = subword.data};
    for (size_t i = 0; i < n; i++)
        texts[3 + i] = metadata[i];
    if (status >= 0)
        status =
            safetensors_write(path, inventory->tensors, inventory->count, texts, n + 3, source);
    buffer_free(&config);
    buffer_free(&subword);
    return status;
}

/* What stands here is all there is. */
static enum status save_here(const struct model *model, const char *path, enum inventory_kind kind,
                             bool with_state, const struct safetensors_text *metadata, size_t n,
                             struct comm_pulse *pulse)
{
    struct inventory inventory = {0};
    enum status status = inventory_make(&inventory, model, kind, with_state);
    inventory.pulse = pulse;
    const struct safetensors_source source = {inventory_download, &inventory};
    if (status >= 0)
        status = write_file(model, path, &inventory, metadata, n, &source);
    inventory_free(&inventory);
    return status;
}

/* Rank 0 writes all to one file, and asks the others for theirs. A rank without an inventory cannot
 * give what the others wait for: the error stays its own, and ends them in time. */
static enum status save_gathered(const struct model *model, const char *path)
{
    struct comm *comm = model->params.comm;
    struct gathering gathering = {0};
    enum status status = inventory_make(&gathering.inventory, model, INVENTORY_WHOLE, false);
    if (status < 0)
        return status;
    const struct safetensors_source source = {gather_next, &gathering};
    if (comm->rank == 0)
        status = write_file(model, path, &gathering.inventory, NULL, 0, &source);
    if (comm->rank != 0 || status < 0) {
        char message[512];
        snprintf(message, sizeof message, "%s", status_message());
        const enum status followed = follow(&gathering);
        if (status < 0)
            (void)status_set(status, "%s", message);
        status = status < 0 ? status : followed;
    }
    inventory_free(&gathering.inventory);
    return comm_agree(comm, status);
}

/* Each rank writes a shard of its own, then rank 0 the rest and their list. */
static enum status save_shards(const struct model *model, const char *path,
                               const struct safetensors_text *metadata, size_t n)
{
    struct comm *comm = model->params.comm;
    struct safetensors_text texts[MAX_METADATA];
    struct comm_pulse pulse = {0};
    struct inventory own = {0};
    struct buffer list = {0};
    enum status status = comm_agree(comm, inventory_make(&own, model, INVENTORY_OWN, true));
    if (status >= 0)
        status = shards_write(&own, path, &list);
    inventory_free(&own);
    if (status >= 0) {
        CHECK(n < MAX_METADATA, "%zu texts", n);
        memcpy(texts, metadata, n * sizeof *metadata);
        texts[n] = (struct safetensors_text){.key = SHARDS_KEY, .value = list.data};
        if (comm->rank == 0)
            status = save_here(model, path, INVENTORY_COMMON, true, texts, n + 1, &pulse);
        status = comm_beat_end(comm, &pulse, status);
    }
    if (status >= 0 && comm->rank == 0)
        shards_clean(path, list.data);
    buffer_free(&list);
    return status;
}

enum status model_save(struct model *model, const char *path)
{
    if (!comm_is_alone(model->params.comm))
        return save_gathered(model, path);
    return save_here(model, path, INVENTORY_WHOLE, false, NULL, 0, NULL);
}

enum status model_save_state(struct model *model, const char *path,
                             const struct safetensors_text *metadata, size_t n)
{
    if (!comm_is_alone(model->params.comm))
        return save_shards(model, path, metadata, n);
    const enum status status = save_here(model, path, INVENTORY_WHOLE, true, metadata, n, NULL);
    if (status >= 0)
        shards_clean(path, NULL);
    return status;
}

/* Passes on what is asked for of tensors that are not in memory. */
struct giving {
    const struct inventory *inventory;
    const struct model_source *given;
};

static enum status ask_for_part(void *context, size_t index, uint64_t offset, void *target,
                                size_t size)
{
    const struct giving *giving = context;
    const struct model_source *given = giving->given;
    return given->read(given->context, giving->inventory->tensors[index].name, offset, target,
                       size);
}

enum status model_save_from(struct model *model, const char *path,
                            const struct model_source *source)
{
    struct inventory inventory = {0};
    struct giving giving = {&inventory, source};
    const struct safetensors_source asking = {ask_for_part, &giving};
    enum status status = inventory_make(&inventory, model, INVENTORY_WHOLE, false);
    if (status >= 0)
        status = write_file(model, path, &inventory, NULL, 0, &asking);
    inventory_free(&inventory);
    return status;
}

/* -- gathering in memory -- */

/* Uploads what gather_part() gives of every tensor of from; places of whole are in their order. */
static enum status gather_all(struct inventory *whole, struct inventory *from)
{
    char *block = malloc(SAFETENSORS_BLOCK_BYTES);
    enum status status = block ? STATUS_OK : status_set(STATUS_MEMORY, "no memory for experts");
    status = comm_agree(from->comm, status);
    for (size_t i = 0; i < from->count && status >= 0; i++) {
        const uint64_t total = from->tensors[i].size;
        uint64_t size = 0;
        for (uint64_t at = 0; at < total && status >= 0; at += size) {
            size = total - at < SAFETENSORS_BLOCK_BYTES ? total - at : SAFETENSORS_BLOCK_BYTES;
            status = gather_part(from, i, at, block, size);
            const struct tensor part = inventory_part_of(whole->places[i], at, size);
            whole->backend->ops->upload(whole->backend, &part, block, size);
        }
    }
    free(block);
    return comm_agree(from->comm, status);
}

enum status model_gather(struct model *whole, struct model *model)
{
    const struct subword_text subword = subword_serialized(model->subword);
    struct inventory to = {0}, from = {0};
    enum status status =
        model_init(whole, model->params.backend, &model->config, model->vocabulary, false);
    if (status >= 0)
        status = subword_open_bytes(&whole->subword, subword.bytes, subword.size, "a copy");
    if (status >= 0)
        status = inventory_make(&to, whole, INVENTORY_WHOLE, false);
    if (status >= 0)
        status = inventory_make(&from, model, INVENTORY_WHOLE, false);
    status = comm_agree(model->params.comm, status);
    if (status >= 0)
        status = gather_all(&to, &from);
    if (status >= 0)
        param_list_pack(&whole->params);
    else
        model_free(whole);
    inventory_free(&to);
    inventory_free(&from);
    return status;
}

/* -- reading -- */

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

/* Where a tensor of a file goes. */
struct target {
    struct backend *backend;
    const struct tensor *tensor;
    uint64_t start; /* bytes of the file's tensor before it, of other ranks */
};

static struct target target_of(const struct inventory *inventory, size_t index)
{
    const int rank = inventory->comm ? inventory->comm->rank : 0;
    const struct run_range own = inventory_range(inventory, index, rank);
    return (struct target){.backend = inventory->backend,
                           .tensor = inventory->places[index],
                           .start =
                               dtype_size(inventory->places[index]->dtype) * (uint64_t)own.start};
}

static enum status upload_part(void *context, uint64_t offset, const void *bytes, size_t size)
{
    const struct target *target = context;
    const struct tensor *tensor = target->tensor;
    const uint64_t start = target->start;
    const uint64_t end = start + (uint64_t)tensor_count(tensor) * dtype_size(tensor->dtype);
    const uint64_t from = offset > start ? offset : start;
    const uint64_t to = offset + size < end ? offset + size : end;
    if (from >= to)
        return STATUS_OK;
    const struct tensor part = inventory_part_of(tensor, from - start, to - from);
    target->backend->ops->upload(target->backend, &part, (const char *)bytes + (from - offset),
                                 to - from);
    return STATUS_OK;
}

/* The tensor of a file that must be like the wanted one. */
static enum status find_tensor(const struct safetensors *file, const char *path,
                               const struct safetensors_tensor *wanted,
                               const struct safetensors_tensor **found)
{
    *found = safetensors_find(file, wanted->name);
    if (!*found)
        return status_set(STATUS_FORMAT, "%s: tensor '%s' is missing", path, wanted->name);
    bool is_same = (*found)->type == wanted->type && (*found)->rank == wanted->rank;
    for (int d = 0; is_same && d < wanted->rank; d++)
        is_same = (*found)->dim[d] == wanted->dim[d];
    if (is_same)
        return STATUS_OK;
    return status_set(STATUS_FORMAT,
                      "%s: tensor '%s' has not the shape that the configuration in the file "
                      "gives it",
                      path, wanted->name);
}

static enum status read_tensor(const struct safetensors *file, const char *path,
                               const struct safetensors_tensor *wanted, struct target target)
{
    const struct safetensors_tensor *found = NULL;
    const struct safetensors_sink sink = {upload_part, &target};
    const enum status status = find_tensor(file, path, wanted, &found);
    return status < 0 ? status : safetensors_read_blocks(file, found, &sink);
}

/* One of a parameter's tensors, where it lies in the file. */
static enum status map_tensor(const struct param *param, const struct tensor *tensor, int state,
                              struct safetensors *file, const char *path, const void **bytes)
{
    const uint64_t most = state == INVENTORY_BLOCKS ? MODEL_VERIFIED_BYTES : UINT64_MAX;
    char name[INVENTORY_NAME_BYTES];
    const struct safetensors_tensor *found = NULL;
    inventory_name(name, param, state);
    const struct safetensors_tensor wanted = inventory_describe(tensor, name);
    const enum status status = find_tensor(file, path, &wanted, &found);
    return status < 0 ? status : safetensors_map(file, found, found->size <= most, bytes);
}

static enum status map_blocks(struct param *param, struct safetensors *file, const char *path)
{
    const void *bytes = NULL;
    const enum status status =
        map_tensor(param, &param->weight.blocks, INVENTORY_BLOCKS, file, path, &bytes);
    param->weight.blocks.data = (void *)(uintptr_t)bytes;
    return status;
}

/* What the parameters read in the file's mapping. */
static enum status map_params(const struct param_list *params, struct safetensors *file,
                              const char *path)
{
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < params->count && status >= 0; i++) {
        struct param *param = params->items[i];
        struct weight *weight = &param->weight;
        if (weight->blocks.rank)
            status = map_blocks(param, file, path);
        else if (params->is_mapped && !weight->value.data)
            status = map_tensor(param, &weight->value, INVENTORY_VALUE, file, path, &weight->host);
    }
    return status;
}

/* How many of a file's tensors are values or states of the model's parameters, by their names. */
static size_t count_known(const struct model *model, const struct safetensors *file)
{
    size_t count = 0;
    for (int64_t i = 0; i < model->params.count; i++)
        for (int state = 0; state < INVENTORY_STATES; state++) {
            char name[INVENTORY_NAME_BYTES];
            inventory_name(name, model->params.items[i], state);
            count += safetensors_find(file, name) != NULL;
        }
    return count;
}

/* Every tensor of a file must be one of the model's; those of a state without shards are all. */
static enum status check_count(const struct model *model, const struct safetensors *file,
                               const char *path, size_t n_whole)
{
    const size_t n_found = safetensors_count(file);
    const size_t n_used = n_whole ? n_whole : count_known(model, file);
    if (n_found == n_used)
        return STATUS_OK;
    return status_set(STATUS_FORMAT, "%s: %zu tensors where the configuration has %zu", path,
                      n_found, n_used);
}

/* The shards of a state; NULL where it has none. */
static enum status open_shards(struct shards **shards, const struct model *model,
                               const struct safetensors *file, const char *path)
{
    const char *list = safetensors_metadata(file, SHARDS_KEY);
    enum status status = list ? shards_open(shards, path, list) : STATUS_OK;
    for (size_t i = 0; list && status >= 0 && i < shards_count(*shards); i++)
        status = check_count(model, shards_get(*shards, i), path, 0);
    return status;
}

/* Tensor number i of the model, from the file or its shards. */
static enum status read_one(const struct inventory *inventory, size_t i,
                            const struct safetensors *file, const struct shards *shards,
                            const char *path)
{
    const struct safetensors_tensor *wanted = &inventory->tensors[i];
    struct target target = target_of(inventory, i);
    if (!shards || safetensors_find(file, wanted->name))
        return read_tensor(file, path, wanted, target);
    const int rank = inventory->comm ? inventory->comm->rank : 0;
    const struct safetensors_sink sink = {upload_part, &target};
    return shards_read(shards, wanted, inventory_range(inventory, i, rank), &sink);
}

enum status model_read_values(struct model *model, struct safetensors *file, const char *path,
                              bool with_state)
{
    struct inventory inventory;
    struct shards *shards = NULL;
    enum status status = inventory_make(&inventory, model, INVENTORY_WHOLE, with_state);
    if (status >= 0)
        status = open_shards(&shards, model, file, path);
    if (status >= 0)
        status = check_count(model, file, path, with_state && !shards ? inventory.count : 0);
    if (status >= 0)
        status = map_params(&model->params, file, path);
    for (size_t i = 0; i < inventory.count && status >= 0; i++)
        if (inventory.places[i]->dtype != DTYPE_I8)
            status = read_one(&inventory, i, file, shards, path);
    if (status >= 0)
        status = backend_sync(inventory.backend);
    if (status >= 0)
        param_list_pack(&model->params);
    shards_close(shards);
    inventory_free(&inventory);
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
    struct config *config = malloc(sizeof *config);
    struct buffer name = {0};
    enum status status = config ? STATUS_OK : status_set(STATUS_MEMORY, "no memory to load");
    if (status >= 0)
        status = model_find(path, &name);
    if (status >= 0)
        status = safetensors_open(&file, name.data);
    if (status >= 0)
        status = model_read_head(file, name.data, config, &subword);
    if (status >= 0)
        status = safetensors_metadata(file, SHARDS_KEY)
                     ? model_init(model, backend, config, subword_size(subword), false)
                     : model_init_mapped(model, backend, config, subword_size(subword));
    if (status < 0) {
        subword_free(subword);
        goto done;
    }
    model->subword = subword;
    status = model_read_values(model, file, name.data, false);
    if (model->params.is_int8 || model->params.is_mapped) {
        model->file = file;
        file = NULL;
    }
    if (status < 0)
        model_free(model);
done:
    safetensors_close(file);
    buffer_free(&name);
    free(config);
    return status;
}
