/* Adding gradients over the ranks. */
#include "train/gradients.h"

/* Small tensors go side by side: numbers of one call. */
enum { BUCKET = 1 << 22 };

/* Parameters number first .. last - 1, of which those that all ranks hold fill a bucket; one that
 * is large is a run of its own and stays where it is. */
struct run {
    const struct param_list *params;
    int64_t first, last;
    int64_t n_params, used; /* that all hold, and their numbers */
};

/* What is moved of a parameter. */
typedef const struct tensor *side_of(const struct param *param);

static const struct tensor *gradient_of(const struct param *param)
{
    return &param->grad;
}

static struct run take_run(const struct param_list *params, int64_t first)
{
    struct run run = {.params = params, .first = first, .last = first};
    for (; run.last < params->count; run.last++) {
        const struct param *param = params->items[run.last];
        if (param_is_divided(param))
            continue;
        if (run.n_params > 0 && run.used + tensor_count(&param->grad) > BUCKET)
            break;
        run.used += tensor_count(&param->grad);
        run.n_params++;
    }
    return run;
}

/* Copies a run's tensors to the bucket or back; one alone is the bucket. */
static void move(const struct run *run, side_of *side, const struct tensor *bucket, bool is_back)
{
    struct backend *backend = run->params->backend;
    int64_t used = 0;
    for (int64_t i = run->first; i < run->last && run->n_params > 1; i++) {
        if (param_is_divided(run->params->items[i]))
            continue;
        const struct tensor *tensor = side(run->params->items[i]);
        const struct tensor part = tensor_slice(bucket, used, tensor_count(tensor));
        backend->ops->copy(backend, is_back ? tensor : &part, is_back ? &part : tensor);
        used += part.dim[0];
    }
}

/* A run's numbers side by side [n, 1]. */
static struct tensor collect(const struct run *run, side_of *side, struct arena *scratch)
{
    for (int64_t i = run->first; run->n_params == 1; i++)
        if (!param_is_divided(run->params->items[i]))
            return tensor_as_2d(side(run->params->items[i]), run->used, 1);
    const struct tensor bucket = tensor_2d(scratch, run->params->backend->real, run->used, 1);
    move(run, side, &bucket, false);
    return bucket;
}

/* This rank's share of a bucket. */
static struct tensor share_of(const struct comm *comm, const struct tensor *bucket)
{
    const int64_t n = tensor_count(bucket);
    return tensor_slice(bucket, comm_share(n, comm->rank, comm->size),
                        comm_share_length(n, comm->rank, comm->size));
}

/* What is done with each run. */
typedef enum status run_function(const struct run *run, struct arena *scratch);

static enum status for_all_runs(struct param_list *params, struct arena *scratch,
                                run_function *function)
{
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < params->count && status >= 0;) {
        const struct run run = take_run(params, i);
        const size_t mark = arena_mark(scratch);
        if (run.used > 0)
            status = function(&run, scratch);
        arena_release(scratch, mark);
        i = run.last;
    }
    return status;
}

static enum status add_run(const struct run *run, struct arena *scratch)
{
    struct backend *backend = run->params->backend;
    const struct tensor bucket = collect(run, gradient_of, scratch);
    const enum status status = comm_all_reduce(run->params->comm, backend, &bucket);
    move(run, gradient_of, &bucket, true);
    return status;
}

static enum status add_parts_of_run(const struct run *run, struct arena *scratch)
{
    struct comm *comm = run->params->comm;
    struct backend *backend = run->params->backend;
    const struct tensor gradients = collect(run, gradient_of, scratch);
    const struct tensor sums = collect(run, param_gradient, scratch);
    const struct tensor share = share_of(comm, &sums);
    const enum status status = comm_add_shares(comm, backend, &share, &gradients);
    move(run, param_gradient, &sums, true);
    backend->ops->fill(backend, &gradients, 0);
    move(run, gradient_of, &gradients, true);
    return status;
}

static enum status gather_run(const struct run *run, struct arena *scratch)
{
    struct comm *comm = run->params->comm;
    struct backend *backend = run->params->backend;
    const struct tensor sums = collect(run, param_gradient, scratch);
    const struct tensor share = share_of(comm, &sums);
    const enum status status = comm_gather_parts(comm, backend, &sums, &share);
    move(run, param_gradient, &sums, true);
    return status;
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
    return for_all_runs(params, scratch, params->by_parts ? gather_run : add_run);
}
