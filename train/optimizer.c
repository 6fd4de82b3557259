/* The update. */
#include "train/optimizer.h"

#include <math.h>

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
    const struct tensor *value = &param->weight.value, *gradient = &param->grad;
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
        backend->ops->sum_squares(backend, sum, &param->grad);
    }
    arena_release(scratch, mark);
}

/* Small gradients are added over the ranks side by side: numbers of one call. */
enum { BUCKET = 1 << 22 };

/* Copies gradients number first .. last - 1 that are not divided to or from the bucket. */
static void move_gradients(const struct param_list *params, int64_t first, int64_t last,
                           const struct tensor *bucket, bool is_back)
{
    struct backend *backend = params->backend;
    int64_t used = 0;
    for (int64_t i = first; i < last; i++) {
        const struct tensor *gradient = &params->items[i]->grad;
        if (param_is_divided(params->items[i]))
            continue;
        const struct tensor part = tensor_slice(bucket, used, tensor_count(gradient));
        backend->ops->copy(backend, is_back ? gradient : &part, is_back ? &part : gradient);
        used += part.dim[0];
    }
}

/* Adds what all ranks hold over them: large gradients where they are, the others by buckets. */
static enum status add_gradients(struct param_list *params, struct arena *scratch)
{
    struct backend *backend = params->backend;
    enum status status = STATUS_OK;
    const size_t mark = arena_mark(scratch);
    const struct tensor bucket = tensor_1d(scratch, backend->real, BUCKET);
    for (int64_t i = 0; i < params->count && status >= 0;) {
        int64_t used = 0, last = i;
        for (; last < params->count; last++) {
            const struct param *param = params->items[last];
            const int64_t count = param_is_divided(param) ? 0 : tensor_count(&param->grad);
            if (used + count > BUCKET)
                break;
            used += count;
        }
        if (last == i) {
            status = comm_all_reduce(params->comm, backend, &params->items[i++]->grad);
            continue;
        }
        const struct tensor part = tensor_slice(&bucket, 0, used);
        move_gradients(params, i, last, &part, false);
        if (used > 0)
            status = comm_all_reduce(params->comm, backend, &part);
        move_gradients(params, i, last, &part, true);
        i = last;
    }
    arena_release(scratch, mark);
    return status;
}

/* The sum of all gradients' squares [1], the same on every rank: what all hold counts once. */
static enum status square_gradients(struct param_list *params, struct arena *scratch,
                                    const struct tensor *sum)
{
    struct backend *backend = params->backend;
    struct comm *comm = params->comm;
    backend->ops->fill(backend, sum, 0);
    for (int64_t i = 0; i < params->count; i++)
        if (comm_is_alone(comm) || comm->rank == 0 || param_is_divided(params->items[i]))
            add_squares(params, params->items[i], scratch, sum);
    return comm_is_alone(comm) ? STATUS_OK : comm_all_reduce(comm, backend, sum);
}

static enum status gradient_norm(struct param_list *params, struct arena *scratch, double *norm)
{
    struct backend *backend = params->backend;
    const size_t mark = arena_mark(scratch);
    const struct tensor sum = tensor_1d(scratch, backend->real, 1);
    enum status status = comm_is_alone(params->comm) ? STATUS_OK : add_gradients(params, scratch);
    if (status >= 0)
        status = square_gradients(params, scratch, &sum);
    float narrow = 0;
    double wide = 0;
    void *host = backend->real == DTYPE_F64 ? (void *)&wide : (void *)&narrow;
    if (status >= 0)
        backend->ops->download(backend, host, &sum, dtype_size(backend->real));
    *norm = sqrt(backend->real == DTYPE_F64 ? wide : (double)narrow);
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
        update_param(params, params->items[i], scratch, &adam);
        param_list_pack_one(params, params->items[i]); /* while its values are in a cache */
    }
    param_list_drop_products(params);
    if (params->has_average && step % OPTIMIZER_AVERAGE_EVERY == 0) {
        /* Early on the plain mean of what there was, so that the start is forgotten. */
        const double decay = pow(train->average, OPTIMIZER_AVERAGE_EVERY);
        const double earliest = (double)OPTIMIZER_AVERAGE_EVERY / (double)step;
        param_list_average(params, 1 - decay > earliest ? 1 - decay : earliest);
    }
    return backend_sync(backend);
}
