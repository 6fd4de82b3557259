/* Adding gradients over the ranks. */
#include "train/gradients.h"

#include "layer/runs.h"

/* What is moved of a parameter. */
typedef const struct tensor *side_of(const struct param *param);

static const struct tensor *gradient_of(const struct param *param)
{
    return &param->grad;
}

static const struct tensor *value_of(const struct param *param)
{
    return &param->weight.value;
}

/* Numbers of a run: all of them, or a rank's share. */
struct range {
    int64_t first, count;
};

static struct range whole_of(const struct run *run)
{
    return (struct range){0, run->used};
}

static struct range share_of(const struct param_list *params, const struct run *run)
{
    const struct comm *comm = params->comm;
    return (struct range){comm_share(run->used, comm->rank, comm->size),
                          comm_share_length(run->used, comm->rank, comm->size)};
}

/* Copies numbers of a run's tensors to the bucket or back; one tensor alone is the bucket. */
static void move(const struct param_list *params, const struct run *run, side_of *side,
                 struct range range, const struct tensor *bucket, bool is_back)
{
    struct backend *backend = params->backend;
    int64_t start = 0, end = 0; /* of the tensor, in the run */
    for (int64_t i = run->first; i < run->last && run->n_params > 1; i++) {
        if (param_is_divided(params->items[i]))
            continue;
        const struct tensor *tensor = side(params->items[i]);
        start = end;
        end += tensor_count(tensor);
        const int64_t from = start > range.first ? start : range.first;
        const int64_t to = end < range.first + range.count ? end : range.first + range.count;
        if (from >= to)
            continue;
        const struct tensor flat = tensor_as_2d(tensor, tensor_count(tensor), 1);
        const struct tensor here = tensor_slice(&flat, from - start, to - from);
        const struct tensor there = tensor_slice(bucket, from, to - from);
        backend->ops->copy(backend, is_back ? &here : &there, is_back ? &there : &here);
    }
}

/* A run's numbers side by side [n, 1], of which those in the range are set. */
static struct tensor collect(const struct param_list *params, const struct run *run, side_of *side,
                             struct range range, struct arena *scratch)
{
    for (int64_t i = run->first; run->n_params == 1; i++)
        if (!param_is_divided(params->items[i]))
            return tensor_as_2d(side(params->items[i]), run->used, 1);
    const struct tensor bucket = tensor_2d(scratch, params->backend->real, run->used, 1);
    move(params, run, side, range, &bucket, false);
    return bucket;
}

/* What is done with each run. */
typedef enum status run_function(const struct param_list *params, const struct run *run,
                                 struct arena *scratch);

static enum status for_all_runs(struct param_list *params, struct arena *scratch,
                                run_function *function)
{
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < params->count && status >= 0;) {
        const struct run run = run_take(params, i);
        const size_t mark = arena_mark(scratch);
        if (run.used > 0)
            status = function(params, &run, scratch);
        arena_release(scratch, mark);
        i = run.last;
    }
    return status;
}

/* This rank's share of the sum; the rest is of no use any more. */
static enum status reduce_run(const struct param_list *params, const struct run *run,
                              struct arena *scratch)
{
    const struct range own = share_of(params, run);
    const struct tensor bucket = collect(params, run, gradient_of, whole_of(run), scratch);
    const struct tensor share = tensor_slice(&bucket, own.first, own.count);
    const enum status status = comm_reduce_scatter(params->comm, params->backend, &share, &bucket);
    move(params, run, gradient_of, own, &bucket, true);
    return status;
}

static enum status add_parts_of_run(const struct param_list *params, const struct run *run,
                                    struct arena *scratch)
{
    struct backend *backend = params->backend;
    const struct range own = share_of(params, run);
    const struct tensor gradients = collect(params, run, gradient_of, whole_of(run), scratch);
    const struct tensor sums = collect(params, run, param_gradient, own, scratch);
    const struct tensor share = tensor_slice(&sums, own.first, own.count);
    const enum status status = comm_add_shares(params->comm, backend, &share, &gradients);
    move(params, run, param_gradient, own, &sums, true);
    for (int64_t i = run->first; i < run->last; i++)
        if (!param_is_divided(params->items[i]))
            backend->ops->fill(backend, &params->items[i]->grad, 0);
    return status;
}

/* All ranks' shares of a side. */
static enum status gather_side(const struct param_list *params, const struct run *run,
                               side_of *side, struct arena *scratch)
{
    const struct range own = share_of(params, run);
    const struct tensor bucket = collect(params, run, side, own, scratch);
    const struct tensor share = tensor_slice(&bucket, own.first, own.count);
    const enum status status = comm_gather_parts(params->comm, params->backend, &bucket, &share);
    move(params, run, side, whole_of(run), &bucket, true);
    return status;
}

static enum status gather_sums(const struct param_list *params, const struct run *run,
                               struct arena *scratch)
{
    return gather_side(params, run, param_gradient, scratch);
}

static enum status gather_values(const struct param_list *params, const struct run *run,
                                 struct arena *scratch)
{
    return gather_side(params, run, value_of, scratch);
}

enum status gradients_add_parts(struct param_list *params, struct arena *scratch)
{
    if (!comm_is_alone(params->comm))
        return for_all_runs(params, scratch, add_parts_of_run);
    for (int64_t i = 0; i < params->count; i++)
        param_add_part(params->backend, params->items[i]);
    return STATUS_OK;
}

enum status gradients_join(struct param_list *params, struct arena *scratch)
{
    if (comm_is_alone(params->comm))
        return STATUS_OK;
    return for_all_runs(params, scratch, params->by_parts ? gather_sums : reduce_run);
}

enum status gradients_share_values(struct param_list *params, struct arena *scratch)
{
    return runs_are_shared(params) ? for_all_runs(params, scratch, gather_values) : STATUS_OK;
}
