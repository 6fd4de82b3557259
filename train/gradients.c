/* Adding gradients over the ranks. */
#include "train/gradients.h"

#include "layer/runs.h"

/* What is done with each run. */
typedef enum status run_function(const struct param_list *params, const struct run *run);

static enum status for_all_runs(const struct param_list *params, run_function *function)
{
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < params->n_runs && status >= 0; i++)
        status = function(params, &params->runs[i]);
    return status;
}

static void clear(struct backend *backend, const struct tensor *vector, int64_t from, int64_t to)
{
    const struct tensor part = tensor_slice(vector, from, to - from);
    if (to > from)
        backend->ops->fill(backend, &part, 0);
}

/* This rank's share of the sum; the others' are of no use any more. */
static enum status reduce_run(const struct param_list *params, const struct run *run)
{
    struct backend *backend = params->backend;
    const struct comm *comm = params->comm;
    const struct tensor *whole = &run->gradients, share = run_share_of(params, whole);
    const int64_t count = tensor_count(whole);
    const enum status status = comm_reduce_scatter(params->comm, backend, &share, whole);
    clear(backend, whole, 0, comm_share(count, comm->rank, comm->size));
    clear(backend, whole, comm_share(count, comm->rank + 1, comm->size), count);
    return status;
}

static enum status add_parts_of_run(const struct param_list *params, const struct run *run)
{
    struct backend *backend = params->backend;
    const struct tensor share = run_share_of(params, &run->sums);
    const enum status status = comm_add_shares(params->comm, backend, &share, &run->gradients);
    backend->ops->fill(backend, &run->gradients, 0);
    return status;
}

/* All ranks' shares. */
static enum status gather(const struct param_list *params, const struct tensor *whole)
{
    const struct tensor share = run_share_of(params, whole);
    return comm_gather_parts(params->comm, params->backend, whole, &share);
}

static enum status gather_sums(const struct param_list *params, const struct run *run)
{
    return gather(params, &run->sums);
}

static enum status gather_values(const struct param_list *params, const struct run *run)
{
    return gather(params, &run->values);
}

enum status gradients_add_parts(const struct param_list *params)
{
    if (!comm_is_alone(params->comm))
        return for_all_runs(params, add_parts_of_run);
    for (int64_t i = 0; i < params->count; i++)
        param_add_part(params->backend, params->items[i]);
    return STATUS_OK;
}

enum status gradients_join(const struct param_list *params)
{
    return for_all_runs(params, params->by_parts ? gather_sums : reduce_run);
}

enum status gradients_share_values(const struct param_list *params)
{
    return for_all_runs(params, gather_values);
}
