/* Runs of parameters. */
#include "layer/runs.h"

/* Numbers that go side by side. */
enum { RUN_NUMBERS = 1 << 22 };

struct run run_take(const struct param_list *list, int64_t first)
{
    struct run run = {.first = first, .last = first};
    for (; run.last < list->count; run.last++) {
        const struct param *param = list->items[run.last];
        const int64_t count = tensor_count(&param->weight.value);
        if (param_is_divided(param))
            continue;
        if (run.n_params > 0 && run.used + count > RUN_NUMBERS)
            break;
        run.used += count;
        run.n_params++;
    }
    return run;
}

bool runs_are_shared(const struct param_list *list)
{
    return list->is_training && !list->by_parts && !comm_is_alone(list->comm);
}

static struct tensor take_own(const struct param_list *list, int64_t count)
{
    const struct tensor own = tensor_1d(list->arena, list->backend->real, count);
    if (count > 0)
        list->backend->ops->fill(list->backend, &own, 0);
    return own;
}

static void share_run(struct param_list *list, const struct run *run)
{
    int64_t at = 0;
    for (int64_t i = run->first; i < run->last; i++) {
        struct param *param = list->items[i];
        if (param_is_divided(param))
            continue;
        param->run_at = at;
        param->run_count = run->used;
        at += tensor_count(&param->weight.value);
        const struct run_range own = run_range_of(param, list->comm->rank, list->comm->size);
        param->first = take_own(list, own.end - own.start);
        param->second = take_own(list, own.end - own.start);
    }
}

void runs_share(struct param_list *list)
{
    for (int64_t i = 0; i < list->count && runs_are_shared(list);) {
        const struct run run = run_take(list, i);
        share_run(list, &run);
        i = run.last;
    }
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
