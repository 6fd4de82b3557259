/* The parameter list. */
#include "layer/param.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES = 128 };

static bool grow(struct param_list *list)
{
    if (list->count < list->capacity)
        return true;
    const int64_t capacity = list->capacity ? 2 * list->capacity : 64;
    struct param **items = realloc(list->items, (size_t)capacity * sizeof(struct param *));
    if (!items) {
        list->error =
            status_set(STATUS_MEMORY, "no memory for %lld parameters", (long long)capacity);
        return false;
    }
    list->items = items;
    list->capacity = capacity;
    return true;
}

static struct tensor take_like(struct param_list *list, struct param_spec spec)
{
    const enum dtype real = list->backend->real;
    if (spec.rank == 1)
        return tensor_1d(list->arena, real, spec.dim[0]);
    if (spec.rank == 2)
        return tensor_2d(list->arena, real, spec.dim[0], spec.dim[1]);
    return tensor_3d(list->arena, real, spec.dim[0], spec.dim[1], spec.dim[2]);
}

static struct tensor take_zeros(struct param_list *list, struct param_spec spec)
{
    const struct tensor tensor = take_like(list, spec);
    list->backend->ops->fill(list->backend, &tensor, 0);
    return tensor;
}

/* What the optimiser keeps from step to step. */
static void take_moments(struct param_list *list, struct param *param, struct param_spec spec)
{
    const bool is_reduced = list->factors_experts && spec.is_expert;
    if (!is_reduced)
        param->first = take_zeros(list, spec);
    if (!is_reduced || spec.rank < 3) {
        param->second = take_zeros(list, spec);
        return;
    }
    spec.rank = 2;
    param->second_row = take_zeros(list, spec);
    spec.dim[1] = spec.dim[2];
    param->second_column = take_zeros(list, spec);
}

struct param *param_add(struct param_list *list, struct param_spec spec, const char *name_format,
                        ...)
{
    CHECK(spec.rank >= 1 && spec.rank <= 3, "rank %d", spec.rank);
    char name[NAME_BYTES];
    va_list arguments;
    va_start(arguments, name_format);
    vsnprintf(name, sizeof name, name_format, arguments);
    va_end(arguments);
    CHECK(!param_find(list, name), "parameter %s exists", name);
    struct param *param = arena_take_zeroed(list->arena, sizeof *param);
    param->name = arena_copy_string(list->arena, name);
    param->start = spec.start;
    param->bound = spec.bound;
    param->forms = spec.forms;
    param->weight.value = take_like(list, spec);
    if (list->is_training) {
        param->grad = take_like(list, spec);
        take_moments(list, param, spec);
    }
    if (list->has_average)
        param->average = take_like(list, spec);
    if (grow(list))
        list->items[list->count++] = param;
    return param;
}

enum status param_list_check(const struct param_list *list)
{
    return list->error;
}

/* Start value number i of a parameter; `stream` tells the parameters apart. */
static double start_value(const struct param *param, uint64_t seed, uint32_t stream, int64_t i)
{
    if (param->start == PARAM_ZERO)
        return 0;
    if (param->start == PARAM_CONSTANT)
        return param->bound;
    if (param->start == PARAM_FORGET_GATE) {
        const int64_t width = tensor_columns(&param->weight.value);
        return i % width / (width / 4) == 1 ? 1 : 0;
    }
    const struct random_key key = {.seed = seed, .step = UINT32_MAX, .stream = stream};
    const struct random_words words =
        random_philox(key, (uint32_t)((uint64_t)i >> 32), (uint32_t)((uint64_t)i / 2));
    const int64_t half = i % 2;
    if (param->start == PARAM_UNIFORM)
        return param->bound * (2 * random_unit(words.word[2 * half]) - 1);
    double normal[2];
    random_normal_pair(words.word[0], words.word[1], normal);
    return param->bound * normal[half];
}

static void start_param(struct param_list *list, struct param *param, uint64_t seed,
                        uint32_t stream)
{
    enum { BLOCK = 4096 };
    double wide[BLOCK];
    float narrow[BLOCK];
    const struct tensor *value = &param->weight.value;
    const struct tensor flat = tensor_as_2d(value, tensor_count(value), 1);
    for (int64_t first = 0; first < flat.dim[0]; first += BLOCK) {
        const int64_t rest = flat.dim[0] - first;
        const struct tensor part = tensor_slice(&flat, first, rest < BLOCK ? rest : BLOCK);
        for (int64_t i = 0; i < part.dim[0]; i++) {
            wide[i] = start_value(param, seed, stream, first + i);
            narrow[i] = (float)wide[i];
        }
        const void *host = value->dtype == DTYPE_F64 ? (void *)wide : (void *)narrow;
        list->backend->ops->upload(list->backend, &part, host,
                                   (size_t)part.dim[0] * dtype_size(value->dtype));
    }
}

void param_list_start(struct param_list *list, uint64_t seed)
{
    for (int64_t i = 0; i < list->count; i++)
        start_param(list, list->items[i], seed, (uint32_t)i);
}

void param_list_pack(struct param_list *list)
{
    for (int64_t i = 0; i < list->count; i++) {
        struct param *param = list->items[i];
        const int forms = list->is_training ? PACK_PLAIN | PACK_TRANSPOSED : param->forms;
        if (param->forms)
            list->backend->ops->weight_pack(list->backend, &param->weight, forms);
    }
}

void param_list_average(struct param_list *list, double share)
{
    struct backend *backend = list->backend;
    for (int64_t i = 0; i < list->count; i++) {
        const struct param *param = list->items[i];
        if (share == 1) {
            backend->ops->copy(backend, &param->average, &param->weight.value);
            continue;
        }
        backend->ops->add(backend, &param->average, &param->average, -share);
        backend->ops->add(backend, &param->average, &param->weight.value, share);
    }
}

void param_list_swap_average(struct param_list *list)
{
    for (int64_t i = 0; i < list->count; i++) {
        struct param *param = list->items[i];
        const struct tensor value = param->weight.value;
        param->weight.value = param->average;
        param->average = value;
    }
    param_list_pack(list);
}

void param_list_zero_gradients(struct param_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        list->backend->ops->fill(list->backend, &list->items[i]->grad, 0);
}

int64_t param_list_size(const struct param_list *list)
{
    int64_t size = 0;
    for (int64_t i = 0; i < list->count; i++)
        size += tensor_count(&list->items[i]->weight.value);
    return size;
}

struct param *param_find(const struct param_list *list, const char *name)
{
    for (int64_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i]->name, name) == 0)
            return list->items[i];
    return NULL;
}

void param_list_free(struct param_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        if (list->items[i]->weight.packed)
            list->backend->ops->weight_free(list->backend, &list->items[i]->weight);
    free(list->items);
    *list = (struct param_list){0};
}
