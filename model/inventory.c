/* What of a model goes into a file. */
#include "model/inventory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_suffix[INVENTORY_STATES] = {
    ".blocks", "", ".scales", ".first", ".second", ".second_row", ".second_column", ".average"};

/* One of these; absent where it has none. */
static const struct tensor *state_of(const struct param *param, int state)
{
    static const struct tensor absent;
    const struct weight *weight = &param->weight;
    const bool has_value = weight->value.data != NULL;
    const struct tensor *const states[INVENTORY_STATES] = {
        &weight->blocks,       has_value ? &weight->value : &absent,
        &weight->scales,       &param->first,
        &param->second,        &param->second_row,
        &param->second_column, &param->average};
    return states[state];
}

void inventory_name(char name[INVENTORY_NAME_BYTES], const struct param *param, int state)
{
    snprintf(name, INVENTORY_NAME_BYTES, "%s%s", param->name, state_suffix[state]);
}

struct safetensors_tensor inventory_describe(const struct tensor *tensor, const char *name)
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

struct tensor inventory_part_of(const struct tensor *tensor, uint64_t offset, size_t size)
{
    const size_t unit = dtype_size(tensor->dtype);
    const struct tensor flat = tensor_as_2d(tensor, tensor_count(tensor), 1);
    return tensor_slice(&flat, (int64_t)(offset / unit), (int64_t)(size / unit));
}

/* -- parts -- */

/* Of the optimiser, which a rank has of its own numbers where ranks share the update. */
static bool is_shared_moment(const struct param *param, const struct tensor *state)
{
    return param->run_count > 0 && (state == &param->first || state == &param->second);
}

static bool is_parted(const struct param *param, const struct tensor *state)
{
    return param_is_divided(param) || is_shared_moment(param, state);
}

bool inventory_is_parted(const struct inventory *inventory, size_t index)
{
    return is_parted(inventory->params[index], inventory->places[index]);
}

struct run_range inventory_range(const struct inventory *inventory, size_t index, int rank)
{
    const struct param *param = inventory->params[index];
    const struct tensor *place = inventory->places[index];
    if (!is_parted(param, place))
        return (struct run_range){0, tensor_count(place)};
    const int size = inventory->comm->size;
    if (!param_is_divided(param))
        return run_range_of(param, rank, size);
    const int64_t unit = tensor_count(place) / place->dim[0];
    return (struct run_range){unit * comm_share(param->n_experts, rank, size),
                              unit * comm_share(param->n_experts, rank + 1, size)};
}

/* -- making it -- */

void inventory_free(struct inventory *inventory)
{
    free(inventory->tensors);
    free(inventory->places);
    free(inventory->params);
    free(inventory->names);
    *inventory = (struct inventory){0};
}

static struct tensor whole_of(const struct param *param, const struct tensor *place)
{
    struct tensor whole = is_shared_moment(param, place) ? param->weight.value : *place;
    if (param_is_divided(param))
        whole.dim[0] = param->n_experts;
    return whole;
}

static bool is_wanted(const struct param *param, const struct tensor *place,
                      enum inventory_kind kind)
{
    if (place->rank == 0 || kind == INVENTORY_WHOLE)
        return place->rank > 0;
    if (is_parted(param, place))
        return kind == INVENTORY_OWN && tensor_count(place) > 0;
    return kind == INVENTORY_COMMON;
}

static void add(struct inventory *inventory, const struct param *param, int state,
                enum inventory_kind kind)
{
    const struct tensor *place = state_of(param, state);
    if (!is_wanted(param, place, kind))
        return;
    char *name = inventory->names + inventory->count * INVENTORY_NAME_BYTES;
    inventory_name(name, param, state);
    const struct tensor whole = whole_of(param, place);
    inventory->places[inventory->count] = place;
    inventory->params[inventory->count] = param;
    inventory->tensors[inventory->count++] =
        inventory_describe(kind == INVENTORY_OWN ? place : &whole, name);
}

enum status inventory_make(struct inventory *inventory, const struct model *model,
                           enum inventory_kind kind, bool with_state)
{
    const int n_states = with_state ? INVENTORY_STATES : INVENTORY_VALUES;
    const size_t most = (size_t)model->params.count * (size_t)n_states + 1;
    *inventory = (struct inventory){.backend = model->params.backend,
                                    .tensors = calloc(most, sizeof *inventory->tensors),
                                    .places = calloc(most, sizeof *inventory->places),
                                    .params = calloc(most, sizeof *inventory->params),
                                    .names = calloc(most, INVENTORY_NAME_BYTES)};
    if (!comm_is_alone(model->params.comm))
        inventory->comm = model->params.comm;
    if (!inventory->tensors || !inventory->places || !inventory->params || !inventory->names) {
        inventory_free(inventory);
        return status_set(STATUS_MEMORY, "no memory for the list of %zu tensors", most);
    }
    for (int64_t i = 0; i < model->params.count; i++)
        add(inventory, model->params.items[i], INVENTORY_BLOCKS, kind);
    for (int64_t i = 0; i < model->params.count; i++)
        for (int state = INVENTORY_BLOCKS + 1; state < n_states; state++)
            add(inventory, model->params.items[i], state, kind);
    return STATUS_OK;
}

enum status inventory_download(void *context, size_t index, uint64_t offset, void *target,
                               size_t size)
{
    const struct inventory *inventory = context;
    const struct tensor part = inventory_part_of(inventory->places[index], offset, size);
    inventory->backend->ops->download(inventory->backend, target, &part, size);
    const enum status status = backend_sync(inventory->backend);
    if (status < 0 || !inventory->pulse)
        return status;
    return comm_beat(inventory->comm, inventory->pulse);
}
