/* Runs of parameters. */
#include "layer/runs.h"

/* Numbers that go side by side, and what a parameter's place is a multiple of: as much as any
 * backend's arena aligns to. */
enum { RUN_NUMBERS = 1 << 22, PLACE_NUMBERS = 64 };

bool runs_are_shared(const struct param_list *list)
{
    return list->is_training && !list->by_parts && !comm_is_alone(list->comm);
}

bool runs_hold(const struct param_list *list, bool is_expert)
{
    return list->is_training && !is_expert && !comm_is_alone(list->comm);
}

/* A parameter's numbers and the gap behind them. */
static int64_t room_of(const struct param *param)
{
    const int64_t count = tensor_count(&param->weight.value);
    return (count + PLACE_NUMBERS - 1) / PLACE_NUMBERS * PLACE_NUMBERS;
}

/* The run that begins with parameter number first, and its length to *count: 0 where only experts
 * are left. */
static struct run take_run(const struct param_list *list, int64_t first, int64_t *count)
{
    struct run run = {.first_param = first, .last_param = first};
    *count = 0;
    for (; run.last_param < list->count; run.last_param++) {
        struct param *param = list->items[run.last_param];
        if (param->is_expert)
            continue;
        if (*count > 0 && *count + room_of(param) > RUN_NUMBERS)
            break;
        *count += room_of(param);
    }
    return run;
}

static struct tensor take_zeros(const struct param_list *list, int64_t count)
{
    const struct tensor vector = tensor_1d(list->arena, list->backend->real, count);
    if (count > 0)
        list->backend->ops->fill(list->backend, &vector, 0);
    return vector;
}

/* Numbers of a vector that a tensor of this shape is to see. */
static void place(struct tensor *tensor, const struct tensor *vector, int64_t at)
{
    tensor->data = tensor_slice(vector, at, tensor_count(tensor)).data;
}

static void place_params(const struct param_list *list, const struct run *run)
{
    const int64_t count = tensor_count(&run->values);
    int64_t at = 0;
    for (int64_t i = run->first_param; i < run->last_param; i++) {
        struct param *param = list->items[i];
        if (param->is_expert)
            continue;
        place(&param->weight.value, &run->values, at);
        place(&param->grad, &run->gradients, at);
        if (list->by_parts) {
            place(&param->sum, &run->sums, at);
        } else {
            param->run_at = at;
            param->run_count = count;
            const struct run_range own = run_range_of(param, list->comm->rank, list->comm->size);
            const int64_t before = comm_share(count, list->comm->rank, list->comm->size);
            const int64_t from = own.start < own.end ? at + own.start - before : 0;
            param->first = tensor_slice(&run->first, from, own.end - own.start);
            param->second = tensor_slice(&run->second, from, own.end - own.start);
        }
        at += room_of(param);
    }
}

static void make_run(const struct param_list *list, struct run *run, int64_t count)
{
    run->values = take_zeros(list, count);
    run->gradients = take_zeros(list, count);
    if (list->by_parts) {
        run->sums = take_zeros(list, count);
    } else {
        const int64_t own = comm_share_length(count, list->comm->rank, list->comm->size);
        run->first = take_zeros(list, own);
        run->second = take_zeros(list, own);
    }
    place_params(list, run);
}

void runs_place(struct param_list *list)
{
    if (!runs_hold(list, false) || list->error < 0)
        return;
    list->runs = arena_take_zeroed(list->host, (size_t)list->count * sizeof *list->runs);
    for (int64_t i = 0, count; i < list->count;) {
        const struct run run = take_run(list, i, &count);
        i = run.last_param;
        if (count == 0)
            continue;
        list->runs[list->n_runs] = run;
        make_run(list, &list->runs[list->n_runs++], count);
    }
}

struct tensor run_share_of(const struct param_list *list, const struct tensor *vector)
{
    const int64_t count = tensor_count(vector);
    return tensor_slice(vector, comm_share(count, list->comm->rank, list->comm->size),
                        comm_share_length(count, list->comm->rank, list->comm->size));
}

static int64_t clamp(int64_t x, int64_t most)
{
    return x < 0 ? 0 : x > most ? most : x;
}

struct run_range run_range_of(const struct param *param, int rank, int size)
{
    const int64_t count = tensor_count(&param->weight.value);
    return (struct run_range){
        clamp(comm_share(param->run_count, rank, size) - param->run_at, count),
        clamp(comm_share(param->run_count, rank + 1, size) - param->run_at, count)};
}
