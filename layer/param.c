/* The parameter list. */
#include "layer/param.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/quantize.h"
#include "base/parallel.h"
#include "layer/phase.h"
#include "layer/runs.h"

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

static struct tensor take_from(const struct param_list *list, struct arena *arena,
                               struct param_spec spec)
{
    const enum dtype real = list->backend->real;
    if (spec.rank == 1)
        return tensor_1d(arena, real, spec.dim[0]);
    if (spec.rank == 2)
        return tensor_2d(arena, real, spec.dim[0], spec.dim[1]);
    return tensor_3d(arena, real, spec.dim[0], spec.dim[1], spec.dim[2]);
}

static struct tensor take_like(const struct param_list *list, struct param_spec spec)
{
    return take_from(list, list->arena, spec);
}

/* For others to read, without data. */
static struct tensor shape_of(const struct param_list *list, struct param_spec spec)
{
    struct tensor shape = {.rank = spec.rank, .dtype = list->backend->real};
    memcpy(shape.dim, spec.dim, sizeof spec.dim);
    return shape;
}

/* A parameter's values, gradient or sum: what lies in a run gets its memory later. */
static struct tensor take_side(struct param_list *list, struct param_spec spec)
{
    return runs_hold(list, spec.is_expert) ? shape_of(list, spec) : take_like(list, spec);
}

static struct tensor take_gradient(struct param_list *list, struct param_spec spec)
{
    return list->gradients ? take_from(list, list->gradients, spec) : take_side(list, spec);
}

/* A matrix that is kept in int8 alone, or in a file, has no data. */
static struct tensor take_value(struct param_list *list, struct param_spec spec)
{
    const bool is_rounded = list->is_int8 && spec.may_round;
    const bool is_mapped = list->is_mapped && spec.is_expert && spec.may_round;
    return is_rounded || is_mapped ? shape_of(list, spec) : take_side(list, spec);
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
    if (runs_are_shared(list) && !spec.is_expert)
        return; /* runs_place() does */
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

/* Leaves this rank's share of the experts of a list that is divided. */
static void take_share(const struct param_list *list, struct param *param, struct param_spec *spec)
{
    if (!spec->is_expert || comm_is_alone(list->comm))
        return;
    const int rank = list->comm->rank, size = list->comm->size;
    param->n_experts = spec->dim[0];
    param->first_expert = comm_share(param->n_experts, rank, size);
    spec->dim[0] = comm_share_length(param->n_experts, rank, size);
    CHECK(spec->dim[0] > 0, "%s: %lld experts for %d ranks", param->name,
          (long long)param->n_experts, size);
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
    struct param *param = arena_take_zeroed(list->host, sizeof *param);
    param->name = arena_copy_string(list->host, name);
    param->start = spec.start;
    param->bound = spec.bound;
    param->forms = spec.forms;
    param->is_expert = spec.is_expert;
    /* Read step by step, a matrix keeps its copy for as long as the loop lasts; experts' do not. */
    param->is_late = list->packs_late && (spec.rank == 2 || spec.is_met_once);
    take_share(list, param, &spec);
    param->weight.value = take_value(list, spec);
    if (list->is_int8 && spec.may_round)
        param_round(list, param);
    if (list->is_training) {
        param->products = spec.is_product ? list->products : NULL;
        if (!param->products)
            param->grad = take_gradient(list, spec);
        if (list->by_parts)
            param->sum = take_side(list, spec);
        take_moments(list, param, spec);
    }
    if (list->has_average)
        param->average = take_like(list, spec);
    if (grow(list))
        list->items[list->count++] = param;
    return param;
}

void param_round(struct param_list *list, struct param *param)
{
    struct weight *weight = &param->weight;
    const bool transposed = param->forms == PACK_TRANSPOSED;
    CHECK(list->is_int8 && !list->is_training && (transposed || param->forms == PACK_PLAIN),
          "%s in int8 with forms %d", param->name, param->forms);
    const struct tensor scales = quantized_scales(&weight->value, transposed);
    weight->blocks = quantized_blocks(&weight->value, transposed);
    weight->scales = tensor_like(list->arena, &scales);
}

enum status param_list_check(const struct param_list *list)
{
    return list->error;
}

enum { BLOCK = 1 << 14, WINDOW = 64 * BLOCK }; /* start values a thread and a round make */

/* A round of start values; `stream` tells the parameters apart. */
struct window {
    const struct param *param;
    uint64_t seed;
    uint32_t stream;
    int64_t skipped;      /* numbers of other ranks' experts before the parameter's */
    int64_t first, count; /* in the parameter */
    void *values;         /* [count] real, owned by the host's arena */
};

/* Random start values number i and i + 1, i even. */
static void start_pair(const struct window *window, int64_t i, double pair[2])
{
    const struct random_key key = {
        .seed = window->seed, .step = UINT32_MAX, .stream = window->stream};
    const struct random_words words =
        random_philox(key, (uint32_t)((uint64_t)i >> 32), (uint32_t)((uint64_t)i / 2));
    if (window->param->start == PARAM_NORMAL)
        random_normal_pair(words.word[0], words.word[1], pair);
    else
        for (int half = 0; half < 2; half++)
            pair[half] = 2 * random_unit(words.word[2 * half]) - 1;
    for (int half = 0; half < 2; half++)
        pair[half] *= window->param->bound;
}

static enum status start_block(void *context, int thread, int64_t index)
{
    (void)thread;
    const struct window *window = context;
    const bool is_wide = window->param->weight.value.dtype == DTYPE_F64;
    const int64_t end = (index + 1) * BLOCK < window->count ? (index + 1) * BLOCK : window->count;
    for (int64_t i = index * BLOCK; i < end;) {
        const int64_t number = window->skipped + window->first + i;
        double pair[2];
        start_pair(window, number & ~INT64_C(1), pair);
        for (int64_t half = number & 1; half < 2 && i < end; half++, i++)
            if (is_wide)
                ((double *)window->values)[i] = pair[half];
            else
                ((float *)window->values)[i] = (float)pair[half];
    }
    return STATUS_OK;
}

static void start_randomly(struct param_list *list, struct window *window)
{
    const struct tensor *value = &window->param->weight.value;
    const struct tensor flat = tensor_as_2d(value, tensor_count(value), 1);
    window->skipped = window->param->first_expert * (flat.dim[0] / value->dim[0]);
    for (window->first = 0; window->first < flat.dim[0]; window->first += WINDOW) {
        const int64_t left = flat.dim[0] - window->first;
        window->count = left < WINDOW ? left : WINDOW;
        const enum status status = parallel_for(
            list->backend->n_threads, (window->count + BLOCK - 1) / BLOCK, start_block, window);
        CHECK(status == STATUS_OK, "a block failed");
        const struct tensor part = tensor_slice(&flat, window->first, window->count);
        list->backend->ops->upload(list->backend, &part, window->values,
                                   (size_t)window->count * dtype_size(value->dtype));
    }
}

/* 1 for the forget gates of every row [4H], in the order i f g o. */
static void start_forget_gates(struct backend *backend, const struct tensor *value)
{
    const int64_t rows = tensor_rows(value), width = tensor_columns(value);
    const struct tensor gates = tensor_as_2d(value, 4 * rows, width / 4);
    backend->ops->fill(backend, value, 0);
    for (int64_t row = 0; row < rows; row++) {
        const struct tensor forget = tensor_slice(&gates, 4 * row + 1, 1);
        backend->ops->fill(backend, &forget, 1);
    }
}

static void start_param(struct param_list *list, const struct param *param, uint64_t seed,
                        uint32_t stream)
{
    struct backend *backend = list->backend;
    const struct tensor *value = &param->weight.value;
    if (param->start == PARAM_FORGET_GATE) {
        start_forget_gates(backend, value);
    } else if (param->start == PARAM_ZERO || param->start == PARAM_CONSTANT) {
        backend->ops->fill(backend, value, param->start == PARAM_CONSTANT ? param->bound : 0);
    } else {
        const size_t mark = arena_mark(list->host);
        const int64_t count = tensor_count(value) < WINDOW ? tensor_count(value) : WINDOW;
        struct window window = {.param = param, .seed = seed, .stream = stream};
        window.values = arena_take(list->host, (size_t)count * dtype_size(value->dtype));
        start_randomly(list, &window);
        arena_release(list->host, mark);
    }
}

void param_list_start(struct param_list *list, uint64_t seed)
{
    CHECK(!list->is_int8, "start values are not in int8");
    for (int64_t i = 0; i < list->count; i++)
        start_param(list, list->items[i], seed, (uint32_t)i);
}

void param_list_pack_one(struct param_list *list, struct param *param)
{
    if (!param->forms)
        return;
    int forms = list->is_training ? PACK_PLAIN | PACK_TRANSPOSED | param->forms : param->forms;
    if (param->is_late && !(forms & PACK_EXACT))
        forms |= PACK_LATE;
    phase_enter(list->backend, PHASE_PACK);
    list->backend->ops->weight_pack(list->backend, &param->weight, forms);
    phase_leave(list->backend);
}

void param_list_pack(struct param_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        param_list_pack_one(list, list->items[i]);
}

void param_list_pack_for_all(struct param_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        if (list->items[i]->is_late && list->items[i]->forms)
            list->backend->ops->weight_pack(list->backend, &list->items[i]->weight,
                                            list->items[i]->forms);
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

const struct tensor *param_gradient(const struct param *param)
{
    return param->sum.rank ? &param->sum : &param->grad;
}

void param_add_part(struct backend *backend, const struct param *param)
{
    backend->ops->add(backend, &param->sum, &param->grad, 1);
    backend->ops->fill(backend, &param->grad, 0);
}

void param_list_zero_gradients(struct param_list *list)
{
    for (int64_t i = 0; i < list->count; i++) {
        const struct param *param = list->items[i];
        if (!param->products)
            list->backend->ops->fill(list->backend, &param->grad, 0);
        if (param->sum.rank)
            list->backend->ops->fill(list->backend, &param->sum, 0);
    }
    param_list_drop_products(list);
}

void param_list_drop_products(struct param_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        list->items[i]->product = (struct product_gradient){0};
    if (list->products)
        arena_release(list->products, 0);
}

bool param_is_divided(const struct param *param)
{
    return param->n_experts > 0;
}

int64_t param_list_size(const struct param_list *list)
{
    int64_t size = 0;
    for (int64_t i = 0; i < list->count; i++) {
        const struct param *param = list->items[i];
        const int64_t count = tensor_count(&param->weight.value);
        const int64_t part = param->weight.value.dim[0];
        size += param_is_divided(param) ? count / part * param->n_experts : count;
    }
    return size;
}

struct param *param_find(const struct param_list *list, const char *name)
{
    for (int64_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i]->name, name) == 0)
            return list->items[i];
    return NULL;
}

struct param *param_find_part(const struct param_list *list, const char *name, const char *ending)
{
    char stem[NAME_BYTES];
    const size_t length = strlen(name), cut = strlen(ending);
    if (length < cut || length - cut >= sizeof stem || strcmp(name + length - cut, ending) != 0)
        return NULL;
    memcpy(stem, name, length - cut);
    stem[length - cut] = '\0';
    return param_find(list, stem);
}

void param_list_free(struct param_list *list)
{
    for (int64_t i = 0; i < list->count; i++)
        if (list->items[i]->weight.packed)
            list->backend->ops->weight_free(list->backend, &list->items[i]->weight);
    free(list->items);
    *list = (struct param_list){0};
}
