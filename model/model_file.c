/* Model files and checkpoints. */
#include "model/model_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "layer/runs.h"
#include "model/base64.h"

static const char format_name[] = "mixt-1";

/* What a parameter may have: the forms of its value, then the optimiser's states of it. */
enum { STATES = 8, VALUES = 3, BLOCKS = 0, MAX_METADATA = 32, NAME_BYTES = 160 };
static const char *const state_suffix[STATES] = {
    ".blocks", "", ".scales", ".first", ".second", ".second_row", ".second_column", ".average"};

/* Of the optimiser, which a rank has of its own numbers where ranks share the update. */
static bool is_moment(const struct param *param, const struct tensor *state)
{
    return state == &param->first || state == &param->second;
}

/* One of these; absent where it has none. */
static const struct tensor *state_of(const struct param *param, int state)
{
    static const struct tensor absent;
    const struct weight *weight = &param->weight;
    const bool is_int8_alone = weight->blocks.rank && !weight->value.data;
    const struct tensor *const states[STATES] = {
        &weight->blocks,       is_int8_alone ? &absent : &weight->value,
        &weight->scales,       &param->first,
        &param->second,        &param->second_row,
        &param->second_column, &param->average};
    return states[state];
}

static void name_state(char name[NAME_BYTES], const struct param *param, int state)
{
    snprintf(name, NAME_BYTES, "%s%s", param->name, state_suffix[state]);
}

/* Names and shapes of all tensors of a file, and where they are in the model. */
struct inventory {
    struct backend *backend;            /* borrowed */
    struct safetensors_tensor *tensors; /* owned */
    const struct tensor **places;       /* owned; of experts that ranks divide, those here */
    const struct param **params;        /* owned: whose they are */
    char *names;                        /* owned */
    size_t count;
    const struct model_source *given; /* borrowed; NULL: the places are in memory */
    struct comm *comm; /* borrowed: the ranks that divide the experts; NULL: all are here */
    size_t index;      /* with comm: up to where rank 0 was asked for bytes */
    uint64_t offset;
};

static void inventory_free(struct inventory *inventory)
{
    free(inventory->tensors);
    free(inventory->places);
    free(inventory->params);
    free(inventory->names);
    *inventory = (struct inventory){0};
}

static struct safetensors_tensor describe(const struct tensor *tensor, const char *name)
{
    struct safetensors_tensor entry = {.name = name,
                                       .type = tensor->dtype == DTYPE_F64  ? SAFETENSORS_F64
                                               : tensor->dtype == DTYPE_I8 ? SAFETENSORS_I8
                                                                           : SAFETENSORS_F32,
                                       .rank = tensor->rank,
                                       .size = (uint64_t)tensor_count(tensor) *
                                               dtype_size(tensor->dtype)};
    memcpy(entry.dim, tensor->dim, sizeof tensor->dim);
    return entry;
}

/* Whether each rank has its own numbers of a tensor: of experts that they divide, of moments of an
 * update that they share. Of all else all have all. */
static bool is_parted(const struct inventory *inventory, size_t index)
{
    const struct param *param = inventory->params[index];
    return param_is_divided(param) ||
           (param->run_count > 0 && is_moment(param, inventory->places[index]));
}

/* Which numbers of a whole tensor are a rank's own. */
static struct run_range range_of(const struct inventory *inventory, size_t index, int rank)
{
    const struct param *param = inventory->params[index];
    const int64_t whole =
        (int64_t)(inventory->tensors[index].size / dtype_size(inventory->places[index]->dtype));
    if (!is_parted(inventory, index))
        return (struct run_range){0, whole};
    const int size = inventory->comm->size;
    if (!param_is_divided(param))
        return run_range_of(param, rank, size);
    const int64_t unit = whole / param->n_experts;
    return (struct run_range){unit * comm_share(param->n_experts, rank, size),
                              unit * comm_share(param->n_experts, rank + 1, size)};
}

static void inventory_add(struct inventory *inventory, const struct param *param, int state)
{
    const struct tensor *place = state_of(param, state);
    if (place->rank == 0)
        return;
    char *name = inventory->names + inventory->count * NAME_BYTES;
    name_state(name, param, state);
    struct tensor whole = *place;
    if (param->run_count > 0 && is_moment(param, place))
        whole = param->weight.value;
    if (param_is_divided(param))
        whole.dim[0] = param->n_experts;
    inventory->places[inventory->count] = place;
    inventory->params[inventory->count] = param;
    inventory->tensors[inventory->count++] = describe(&whole, name);
}

static enum status inventory_make(struct inventory *inventory, const struct model *model,
                                  bool with_state)
{
    const int n_states = with_state ? STATES : VALUES;
    const size_t most = (size_t)model->params.count * (size_t)n_states + 1;
    *inventory = (struct inventory){.backend = model->params.backend,
                                    .tensors = calloc(most, sizeof *inventory->tensors),
                                    .places = calloc(most, sizeof *inventory->places),
                                    .params = calloc(most, sizeof *inventory->params),
                                    .names = calloc(most, NAME_BYTES)};
    if (!comm_is_alone(model->params.comm))
        inventory->comm = model->params.comm;
    if (!inventory->tensors || !inventory->places || !inventory->params || !inventory->names) {
        inventory_free(inventory);
        return status_set(STATUS_MEMORY, "no memory for the list of %zu tensors", most);
    }
    for (int64_t i = 0; i < model->params.count; i++)
        inventory_add(inventory, model->params.items[i], BLOCKS);
    for (int64_t i = 0; i < model->params.count; i++)
        for (int state = BLOCKS + 1; state < n_states; state++)
            inventory_add(inventory, model->params.items[i], state);
    return STATUS_OK;
}

/* The numbers in the bytes offset .. offset+size-1 of a tensor. */
static struct tensor part_of(const struct tensor *tensor, uint64_t offset, size_t size)
{
    const size_t unit = dtype_size(tensor->dtype);
    const struct tensor flat = tensor_as_2d(tensor, tensor_count(tensor), 1);
    return tensor_slice(&flat, (int64_t)(offset / unit), (int64_t)(size / unit));
}

/* The bytes offset .. offset+size-1 of a tensor into target on all ranks: each gives those that are
 * its own. What all have, each takes from its own. */
static enum status gather_part(struct inventory *inventory, size_t index, uint64_t offset,
                               char *target, size_t size)
{
    const struct tensor *place = inventory->places[index];
    const uint64_t element = dtype_size(place->dtype);
    struct comm *comm = inventory->comm;
    struct backend *backend = inventory->backend;
    if (!is_parted(inventory, index)) {
        const struct tensor part = part_of(place, offset, size);
        backend->ops->download(backend, target, &part, size);
        return backend_sync(backend);
    }
    enum status status = STATUS_OK;
    for (int r = 0; r < comm->size; r++) {
        const struct run_range own = range_of(inventory, index, r);
        const uint64_t start = element * (uint64_t)own.start, end = element * (uint64_t)own.end;
        const uint64_t from = offset > start ? offset : start;
        const uint64_t to = offset + size < end ? offset + size : end;
        if (from >= to)
            continue;
        if (r == comm->rank) {
            const struct tensor part = part_of(place, from - start, to - from);
            backend->ops->download(backend, target + (from - offset), &part, to - from);
            const enum status synced = backend_sync(backend);
            status = status < 0 ? status : synced;
        }
        const enum status sent = comm_broadcast(comm, target + (from - offset), to - from, r);
        status = status < 0 ? status : sent;
    }
    return status;
}

static enum status download_part(void *context, size_t index, uint64_t offset, void *target,
                                 size_t size)
{
    struct inventory *inventory = context;
    if (inventory->comm) {
        inventory->index = index;
        inventory->offset = offset + size;
        return gather_part(inventory, index, offset, target, size);
    }
    const struct tensor part = part_of(inventory->places[index], offset, size);
    inventory->backend->ops->download(inventory->backend, target, &part, size);
    return backend_sync(inventory->backend);
}

/* What a rank that does not write does meanwhile: gives its experts, block by block as rank 0 asks
 * for them. Rank 0 itself goes on so where it cannot write. */
static enum status follow(struct inventory *inventory)
{
    char *block = malloc(SAFETENSORS_BLOCK_BYTES);
    enum status status = block ? STATUS_OK : status_set(STATUS_MEMORY, "no memory to save");
    for (size_t i = inventory->index; block && i < inventory->count; i++) {
        const uint64_t total = inventory->tensors[i].size;
        uint64_t size = 0;
        for (uint64_t at = i == inventory->index ? inventory->offset : 0; at < total; at += size) {
            const uint64_t left = total - at;
            size = left < SAFETENSORS_BLOCK_BYTES ? left : SAFETENSORS_BLOCK_BYTES;
            const enum status one = gather_part(inventory, i, at, block, size);
            status = status < 0 ? status : one;
        }
    }
    free(block);
    return status;
}

static enum status ask_for_part(void *context, size_t index, uint64_t offset, void *target,
                                size_t size)
{
    const struct inventory *inventory = context;
    const struct model_source *given = inventory->given;
    return given->read(given->context, inventory->tensors[index].name, offset, target, size);
}

/* Ends a saving on all ranks, each with its own status so far, which become one. A rank without an
 * inventory cannot give what the others wait for: the error stays its own, and ends them in time.
 * They wait longer than usual, since rank 0 waits for its disk. */
static enum status finish_together(struct comm *comm, struct inventory *inventory,
                                   enum status status)
{
    enum { DISK_PATIENCE = 10 };
    const double timeout_s = comm->timeout_s;
    if (!inventory->comm)
        return status;
    if (comm->rank != 0 || status < 0) {
        char message[512];
        snprintf(message, sizeof message, "%s", status_message());
        const enum status followed = follow(inventory);
        if (status < 0)
            (void)status_set(status, "%s", message);
        status = status < 0 ? status : followed;
    }
    comm->timeout_s = DISK_PATIENCE * timeout_s;
    status = comm_agree(comm, status);
    comm->timeout_s = timeout_s;
    return status;
}

/* Writes what model_save() or model_save_from() describe; given NULL: the tensors are in memory. */
static enum status save(struct model *model, const char *path, bool with_state,
                        const struct safetensors_text *metadata, size_t n,
                        const struct model_source *given)
{
    CHECK(n + 3 <= MAX_METADATA, "%zu texts", n);
    struct safetensors_text texts[MAX_METADATA] = {{.key = "format", .value = format_name}};
    struct buffer config = {0}, subword = {0};
    struct inventory inventory = {0};
    const struct subword_text model_bytes = subword_serialized(model->subword);
    enum status status = config_write(&model->config, CONFIG_PART_PORTABLE, &config);
    if (status >= 0)
        status = base64_encode(model_bytes.bytes, model_bytes.size, &subword);
    if (status >= 0)
        status = inventory_make(&inventory, model, with_state);
    if (status < 0)
        goto done;
    texts[1] = (struct safetensors_text){.key = "config", .value = config.data};
    texts[2] = (struct safetensors_text){.key = "subword", .value = subword.data};
    for (size_t i = 0; i < n; i++)
        texts[3 + i] = metadata[i];
    inventory.given = given;
    const struct safetensors_source source = {given ? ask_for_part : download_part, &inventory};
    if (!inventory.comm || inventory.comm->rank == 0)
        status = safetensors_write(path, inventory.tensors, inventory.count, texts, n + 3, &source);
done:
    if (!comm_is_alone(model->params.comm))
        status = finish_together(model->params.comm, &inventory, status);
    inventory_free(&inventory);
    buffer_free(&config);
    buffer_free(&subword);
    return status;
}

enum status model_save(struct model *model, const char *path, bool with_state,
                       const struct safetensors_text *metadata, size_t n)
{
    return save(model, path, with_state, metadata, n, NULL);
}

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
            const struct tensor part = part_of(whole->places[i], at, size);
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
        status = inventory_make(&to, whole, false);
    if (status >= 0)
        status = inventory_make(&from, model, false);
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

enum status model_save_from(struct model *model, const char *path,
                            const struct model_source *source)
{
    return save(model, path, false, NULL, 0, source);
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

/* Where a tensor of a file goes. */
struct target {
    struct backend *backend;
    const struct tensor *tensor;
    uint64_t start; /* bytes of the file's tensor before it, of other ranks */
};

static struct target target_of(const struct inventory *inventory, size_t index)
{
    const int rank = inventory->comm ? inventory->comm->rank : 0;
    const struct run_range own = range_of(inventory, index, rank);
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
    const struct tensor part = part_of(tensor, from - start, to - from);
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

/* The blocks of a parameter, where they lie in the file. */
static enum status map_blocks(struct param *param, struct safetensors *file, const char *path)
{
    char name[NAME_BYTES];
    const void *bytes = NULL;
    const struct safetensors_tensor *found = NULL;
    name_state(name, param, BLOCKS);
    const struct safetensors_tensor wanted = describe(&param->weight.blocks, name);
    enum status status = find_tensor(file, path, &wanted, &found);
    if (status >= 0)
        status = safetensors_map(file, found, found->size <= MODEL_VERIFIED_BYTES, &bytes);
    param->weight.blocks.data = (void *)(uintptr_t)bytes;
    return status;
}

/* How many of a file's tensors are values or states of the model's parameters, by their names. */
static size_t count_known(const struct model *model, const struct safetensors *file)
{
    size_t count = 0;
    for (int64_t i = 0; i < model->params.count; i++)
        for (int state = 0; state < STATES; state++) {
            char name[NAME_BYTES];
            name_state(name, model->params.items[i], state);
            count += safetensors_find(file, name) != NULL;
        }
    return count;
}

enum status model_read_values(struct model *model, struct safetensors *file, const char *path,
                              bool with_state)
{
    struct inventory inventory;
    enum status status = inventory_make(&inventory, model, with_state);
    if (status < 0)
        return status;
    const size_t n_found = safetensors_count(file);
    const size_t n_used = with_state ? inventory.count : count_known(model, file);
    if (n_found != n_used)
        status = status_set(STATUS_FORMAT, "%s: %zu tensors where the configuration has %zu", path,
                            n_found, n_used);
    for (int64_t i = 0; i < model->params.count && status >= 0; i++)
        if (model->params.items[i]->weight.blocks.rank)
            status = map_blocks(model->params.items[i], file, path);
    for (size_t i = 0; i < inventory.count && status >= 0; i++)
        if (inventory.places[i]->dtype != DTYPE_I8)
            status = read_tensor(file, path, &inventory.tensors[i], target_of(&inventory, i));
    if (status >= 0)
        status = backend_sync(inventory.backend);
    if (status >= 0)
        param_list_pack(&model->params);
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
        status = model_init(model, backend, config, subword_size(subword), false);
    if (status < 0) {
        subword_free(subword);
        goto done;
    }
    model->subword = subword;
    status = model_read_values(model, file, name.data, false);
    if (model->params.is_int8) {
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
