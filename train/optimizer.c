/* The update. */
#include "train/optimizer.h"

#include <math.h>

#include "layer/runs.h"
#include "train/gradients.h"
#include "train/schedule.h"

/* Memory for some matrices of a gradient that is not stored: one a thread, and where they are
 * small more, since what computes several at a time wastes less. */
static struct tensor take_room(const struct param_list *params, const struct param *param,
                               struct arena *scratch)
{
    enum { NUMBERS = 1 << 24 };
    const int64_t *dim = param->weight.value.dim;
    int64_t count = NUMBERS / (dim[1] * dim[2]);
    count = count < params->backend->n_threads ? params->backend->n_threads : count;
    return tensor_3d(scratch, params->backend->real, count < dim[0] ? count : dim[0], dim[1],
                     dim[2]);
}

/* One parameter's step, by what moments it has. */
static void update_stored(struct backend *backend, const struct param *param,
                          const struct adam *adam)
{
    const struct tensor *value = &param->weight.value, *gradient = param_gradient(param);
    if (param->second_row.rank)
        backend->ops->adam_factored_step(backend, value, &param->second_row, &param->second_column,
                                         gradient, adam);
    else
        backend->ops->adam_step(backend, value, tensor_or_null(&param->first), &param->second,
                                gradient, adam);
}

/* The same of one whose gradient is not stored. */
static void update_product(struct backend *backend, const struct param *param,
                           const struct tensor *room, const struct adam *adam)
{
    const struct tensor *value = &param->weight.value;
    if (param->second_row.rank)
        backend->ops->product_adam_factored_step(
            backend, value, &param->second_row, &param->second_column, room, &param->product, adam);
    else
        backend->ops->product_adam_step(backend, value, tensor_or_null(&param->first),
                                        &param->second, room, &param->product, adam);
}

/* This rank's numbers of what all hold. */
static void update_run(const struct param_list *params, const struct run *run,
                       const struct adam *adam)
{
    struct backend *backend = params->backend;
    const struct tensor values = run_share_of(params, &run->values);
    const struct tensor gradients = run_share_of(params, &run->gradients);
    if (tensor_count(&values) > 0)
        backend->ops->adam_step(backend, &values, &run->first, &run->second, &gradients, adam);
}

/* Of what all hold each rank updates its share, and then all have all of it. */
static enum status update_runs(struct param_list *params, const struct adam *adam)
{
    for (int64_t i = 0; i < params->n_runs; i++)
        update_run(params, &params->runs[i], adam);
    const enum status status = gradients_share_values(params);
    if (status < 0)
        return status;
    for (int64_t i = 0; i < params->count; i++)
        if (params->items[i]->run_count > 0)
            param_list_pack_one(params, params->items[i]);
    return STATUS_OK;
}

static void update_param(const struct param_list *params, const struct param *param,
                         struct arena *scratch, const struct adam *adam)
{
    const size_t mark = arena_mark(scratch);
    if (param->products) {
        const struct tensor room = take_room(params, param, scratch);
        update_product(params->backend, param, &room, adam);
    } else {
        update_stored(params->backend, param, adam);
    }
    arena_release(scratch, mark);
}

/* Below the arena's top, or of another arena. */
static bool is_safe(const struct arena *arena, const struct tensor *tensor)
{
    const uintptr_t base = (uintptr_t)arena->memory, data = (uintptr_t)tensor->data;
    return data < base || data >= base + arena->capacity || data <= base + arena_mark(arena);
}

/* sum += the squares of a parameter's gradient. */
static void add_squares(const struct param_list *params, const struct param *param,
                        struct arena *scratch, const struct tensor *sum)
{
    struct backend *backend = params->backend;
    const size_t mark = arena_mark(scratch);
    if (param->products) {
        CHECK(param->product.x.rank, "%s has no gradient", param->name);
        CHECK(is_safe(scratch, &param->product.x), "%s: its gradient was given back", param->name);
        const struct tensor room = take_room(params, param, scratch);
        backend->ops->product_sum_squares(backend, sum, &room, &param->product);
    } else {
        backend->ops->sum_squares(backend, sum, param_gradient(param));
    }
    arena_release(scratch, mark);
}

/* How many sums of squares a parameter has by parts: an expert's is its own, so that they are added
 * in one order wherever the experts are. */
static int64_t count_of(const struct param *param)
{
    if (!param->is_expert)
        return 1;
    return param_is_divided(param) ? param->n_experts : param->weight.value.dim[0];
}

static int64_t count_squares(const struct param_list *params)
{
    int64_t count = 0;
    for (int64_t i = 0; i < params->count; i++)
        count += count_of(params->items[i]);
    return count;
}

/* Those of a parameter to sums [count_of()], the experts' that are here at their numbers. */
static void add_each(struct backend *backend, const struct param *param, const struct tensor *sums)
{
    const struct tensor *gradient = param_gradient(param);
    const int64_t n_here = param->is_expert ? gradient->dim[0] : 1;
    const int64_t size = tensor_count(gradient) / n_here;
    const struct tensor rows = tensor_as_2d(gradient, n_here, size);
    for (int64_t e = 0; e < n_here; e++) {
        const struct tensor one = tensor_slice(&rows, e, 1);
        const struct tensor sum = tensor_slice(sums, param->first_expert + e, 1);
        backend->ops->sum_squares(backend, &sum, &one);
    }
}

static void add_squares_of_runs(const struct param_list *params, const struct tensor *sum)
{
    struct backend *backend = params->backend;
    for (int64_t i = 0; i < params->n_runs; i++) {
        const struct tensor share = run_share_of(params, &params->runs[i].gradients);
        if (tensor_count(&share) > 0)
            backend->ops->sum_squares(backend, sum, &share);
    }
}

/* Sums of all gradients' squares, the same on every rank: what all hold counts once, or each rank's
 * share of it. All in one, or by parts [count_squares()]. */
static enum status square_gradients(struct param_list *params, struct arena *scratch,
                                    const struct tensor *sums)
{
    struct backend *backend = params->backend;
    struct comm *comm = params->comm;
    int64_t used = 0;
    backend->ops->fill(backend, sums, 0);
    for (int64_t i = 0; i < params->count; i++) {
        const struct param *param = params->items[i];
        const struct tensor own = tensor_slice(sums, used, params->by_parts ? count_of(param) : 1);
        used += params->by_parts ? count_of(param) : 0;
        if (param->run_count > 0 ||
            (!comm_is_alone(comm) && comm->rank > 0 && !param_is_divided(param)))
            continue;
        if (params->by_parts)
            add_each(backend, param, &own);
        else
            add_squares(params, param, scratch, &own);
    }
    if (runs_are_shared(params))
        add_squares_of_runs(params, sums);
    return comm_is_alone(comm) ? STATUS_OK : comm_all_reduce(comm, backend, sums);
}

/* The sum of numbers [n], from the first on. */
static double add_up(struct backend *backend, const struct tensor *numbers)
{
    enum { BLOCK = 512 };
    double wide[BLOCK], sum = 0;
    float narrow[BLOCK];
    void *host = backend->real == DTYPE_F64 ? (void *)wide : (void *)narrow;
    for (int64_t first = 0; first < tensor_count(numbers); first += BLOCK) {
        const int64_t left = tensor_count(numbers) - first, n = left < BLOCK ? left : BLOCK;
        const struct tensor block = tensor_slice(numbers, first, n);
        backend->ops->download(backend, host, &block, (size_t)n * dtype_size(backend->real));
        for (int64_t i = 0; i < n; i++)
            sum += backend->real == DTYPE_F64 ? wide[i] : (double)narrow[i];
    }
    return sum;
}

static enum status gradient_norm(struct param_list *params, struct arena *scratch, double *norm)
{
    struct backend *backend = params->backend;
    const size_t mark = arena_mark(scratch);
    const struct tensor sums =
        tensor_1d(scratch, backend->real, params->by_parts ? count_squares(params) : 1);
    enum status status = gradients_join(params);
    if (status >= 0)
        status = square_gradients(params, scratch, &sums);
    *norm = status < 0 ? 0 : sqrt(add_up(backend, &sums));
    arena_release(scratch, mark);
    return status < 0 ? status : backend_sync(backend);
}

enum status optimizer_step(struct param_list *params, struct arena *scratch,
                           const struct config_train *train, int64_t step, double *norm)
{
    const enum status status = gradient_norm(params, scratch, norm);
    if (status < 0)
        return status;
    if (!isfinite(*norm)) {
        (void)status_set(STATUS_DIVERGED, "step %lld: the gradient is not finite", (long long)step);
        status_hint("the last saved state is as it was; lower train.optimizer.lr (now %g) or "
                    "train.optimizer.clip (now %g) and run the same command again",
                    train->optimizer.lr, train->optimizer.clip);
        return STATUS_DIVERGED;
    }
    const double clip = train->optimizer.clip;
    const struct adam adam = {.learning_rate = schedule_rate(train, step),
                              .beta1 = train->optimizer.beta1,
                              .beta2 = train->optimizer.beta2,
                              .epsilon = train->optimizer.epsilon,
                              .step = step,
                              .gradient_scale = clip > 0 && *norm > clip ? clip / *norm : 1};
    struct backend *backend = params->backend;
    for (int64_t i = 0; i < params->count; i++) {
        if (params->items[i]->run_count > 0)
            continue;
        update_param(params, params->items[i], scratch, &adam);
        param_list_pack_one(params, params->items[i]); /* while its values are in a cache */
    }
    param_list_drop_products(params);
    if (runs_are_shared(params)) {
        const enum status shared = update_runs(params, &adam);
        if (shared < 0)
            return shared;
    }
    if (params->has_average && step % OPTIMIZER_AVERAGE_EVERY == 0) {
        /* Early on the plain mean of what there was, so that the start is forgotten. */
        const double decay = pow(train->average, OPTIMIZER_AVERAGE_EVERY);
        const double earliest = (double)OPTIMIZER_AVERAGE_EVERY / (double)step;
        param_list_average(params, 1 - decay > earliest ? 1 - decay : earliest);
    }
    return backend_sync(backend);
}
