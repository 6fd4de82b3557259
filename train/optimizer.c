/* The update. */
#include "train/optimizer.h"

#include <math.h>

#include "train/schedule.h"

/* One parameter's step, by what moments it has. */
static void update_param(struct backend *backend, const struct param *param,
                         const struct adam *adam)
{
    const struct tensor *value = &param->weight.value, *gradient = &param->grad;
    if (param->second_row.rank)
        backend->ops->adam_factored_step(backend, value, &param->second_row, &param->second_column,
                                         gradient, adam);
    else
        backend->ops->adam_step(backend, value, param->first.rank ? &param->first : NULL,
                                &param->second, gradient, adam);
}

static enum status gradient_norm(struct param_list *params, struct arena *scratch, double *norm)
{
    struct backend *backend = params->backend;
    const size_t mark = arena_mark(scratch);
    const struct tensor sum = tensor_1d(scratch, backend->real, 1);
    backend->ops->fill(backend, &sum, 0);
    for (int64_t i = 0; i < params->count; i++)
        backend->ops->sum_squares(backend, &sum, &params->items[i]->grad);
    float narrow = 0;
    double wide = 0;
    void *host = backend->real == DTYPE_F64 ? (void *)&wide : (void *)&narrow;
    backend->ops->download(backend, host, &sum, dtype_size(backend->real));
    *norm = sqrt(backend->real == DTYPE_F64 ? wide : (double)narrow);
    arena_release(scratch, mark);
    return backend_sync(backend);
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
        update_param(backend, params->items[i], &adam);
        param_list_pack_one(params, params->items[i]); /* while its values are in a cache */
    }
    if (params->has_average && step % OPTIMIZER_AVERAGE_EVERY == 0) {
        /* Early on the plain mean of what there was, so that the start is forgotten. */
        const double decay = pow(train->average, OPTIMIZER_AVERAGE_EVERY);
        const double earliest = (double)OPTIMIZER_AVERAGE_EVERY / (double)step;
        param_list_average(params, 1 - decay > earliest ? 1 - decay : earliest);
    }
    return backend_sync(backend);
}
