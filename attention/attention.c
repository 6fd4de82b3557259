/* Additive attention (Shazeer et al. 2017, eqs. 21 and 22). */
#include "attention/attention.h"

#include <math.h>
#include <stdio.h>

#include "layer/phase.h"

void attention_init(struct attention *attention, struct param_list *params, const char *prefix,
                    int64_t dim, int64_t attention_dim, enum attention_kind kind)
{
    char name[96];
    attention->kind = kind;
    snprintf(name, sizeof name, "%s.memory", prefix);
    linear_init(&attention->memory, params, name, dim, attention_dim, false);
    snprintf(name, sizeof name, "%s.query", prefix);
    linear_init(&attention->query, params, name, dim, attention_dim, false);
    attention->v = param_add(params,
                             (struct param_spec){.rank = 1,
                                                 .dim = {attention_dim},
                                                 .start = PARAM_NORMAL,
                                                 .bound = 2 / sqrt((double)attention_dim)},
                             "%s.v", prefix);
}

/* What is done to each side before the two meet. */
static enum activation activation_of(const struct attention *attention)
{
    return attention->kind == ATTENTION_FACTORED ? ACTIVATION_TANH : ACTIVATION_NONE;
}

void attention_start(const struct attention *attention, const struct pass *pass,
                     struct attention_source *source, const struct tensor *memory,
                     const struct tensor *lengths)
{
    source->memory = *memory;
    source->lengths = *lengths;
    source->keys =
        pass_3d(pass, memory->dim[0], memory->dim[1], tensor_count(&attention->v->weight.value));
    phase_enter(pass->backend, PHASE_ATTENTION);
    linear_forward(&attention->memory, pass, &source->keys, memory, activation_of(attention));
    phase_leave(pass->backend);
}

void attention_record_start(const struct attention *attention, const struct pass *pass,
                            struct attention_record *record, const struct attention_source *source,
                            const struct tensor *x)
{
    const int64_t n_t = x->dim[0], n_b = x->dim[1];
    *record = (struct attention_record){.x = *x};
    record->query = pass_3d(pass, n_t, n_b, source->keys.dim[2]);
    if (attention->kind == ATTENTION_FACTORED)
        record->scaled = tensor_like(pass->arena, &record->query);
    record->weights = pass_3d(pass, n_t, n_b, source->memory.dim[0]);
}

/* All steps of a record. */
static void forward(const struct attention *attention, const struct pass *pass,
                    const struct attention_record *record, const struct attention_source *source,
                    const struct tensor *context)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const struct tensor *v = &attention->v->weight.value;
    phase_enter(backend, PHASE_ATTENTION);
    linear_forward(&attention->query, pass, &record->query, &record->x, activation_of(attention));
    if (attention->kind == ATTENTION_FACTORED) {
        ops->scale_columns(backend, &record->scaled, &record->query, v);
        ops->batch_matmul(backend, &record->weights, &record->scaled, false, &source->keys, true,
                          false);
    } else {
        ops->additive_scores(backend, &record->weights, &record->query, &source->keys, v,
                             &source->lengths);
    }
    ops->attention_softmax(backend, &record->weights, &source->lengths);
    ops->batch_matmul(backend, context, &record->weights, false, &source->memory, false, false);
    phase_leave(backend);
}

void attention_forward(const struct attention *attention, const struct pass *pass,
                       struct attention_record *record, const struct attention_source *source,
                       const struct tensor *x, const struct tensor *context)
{
    attention_record_start(attention, pass, record, source, x);
    forward(attention, pass, record, source, context);
}

/* The record of all steps seen as that of step t. */
static struct attention_record record_at(const struct attention_record *record, int64_t t)
{
    struct attention_record at = {.x = tensor_slice(&record->x, t, 1),
                                  .query = tensor_slice(&record->query, t, 1),
                                  .weights = tensor_slice(&record->weights, t, 1)};
    if (record->scaled.rank)
        at.scaled = tensor_slice(&record->scaled, t, 1);
    return at;
}

void attention_forward_at(const struct attention *attention, const struct pass *pass,
                          const struct attention_record *record,
                          const struct attention_source *source, const struct tensor *context,
                          int64_t t)
{
    const struct attention_record at = record_at(record, t);
    const struct tensor context_at = tensor_slice(context, t, 1);
    forward(attention, pass, &at, source, &context_at);
}

/* -- backward -- */

void attention_gradient_start(const struct attention *attention, const struct pass *pass,
                              struct attention_gradient *gradient,
                              const struct attention_record *record,
                              const struct attention_source *source)
{
    gradient->scores = tensor_like(pass->arena, &record->weights);
    gradient->query = tensor_like(pass->arena, &record->query);
    gradient->keys = tensor_like(pass->arena, &source->keys);
    if (attention->kind == ATTENTION_ADDITIVE)
        pass->backend->ops->fill(pass->backend, &gradient->keys, 0);
}

/* All steps of a record and a gradient: the queries' side. */
static void backward(const struct attention *attention, const struct pass *pass,
                     const struct tensor *d_x, const struct attention_gradient *gradient,
                     const struct attention_record *record, const struct attention_source *source,
                     const struct tensor *d_context)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const struct tensor *v = &attention->v->weight.value, *d_v = &attention->v->grad;
    const struct tensor *d_scores = &gradient->scores, *d_query = &gradient->query;
    phase_enter(backend, PHASE_ATTENTION_BACKWARD);
    ops->batch_matmul(backend, d_scores, d_context, false, &source->memory, true, false);
    ops->attention_softmax_backward(backend, d_scores, &record->weights, &source->lengths);
    if (attention->kind == ATTENTION_FACTORED) {
        ops->batch_matmul(backend, d_query, d_scores, false, &source->keys, false, false);
        ops->scale_columns_backward(backend, d_query, d_v, &record->query, v, d_query);
        ops->activate_backward(backend, d_query, &record->query, d_query, ACTIVATION_TANH);
    } else {
        ops->additive_scores_backward(backend, d_query, &gradient->keys, d_v, &record->query,
                                      &source->keys, v, &source->lengths, d_scores);
    }
    ops->linear(backend, d_x, d_query, &attention->query.weight->weight, true, NULL,
                ACTIVATION_NONE, true);
    phase_leave(backend);
}

void attention_backward_at(const struct attention *attention, const struct pass *pass,
                           const struct tensor *d_x, const struct attention_gradient *gradient,
                           const struct attention_record *record,
                           const struct attention_source *source, const struct tensor *d_context,
                           int64_t t)
{
    const struct attention_record at = record_at(record, t);
    const struct attention_gradient gradient_at = {.scores = tensor_slice(&gradient->scores, t, 1),
                                                   .query = tensor_slice(&gradient->query, t, 1),
                                                   .keys = gradient->keys};
    const struct tensor d_x_at = tensor_slice(d_x, t, 1);
    const struct tensor d_context_at = tensor_slice(d_context, t, 1);
    backward(attention, pass, &d_x_at, &gradient_at, &at, source, &d_context_at);
}

void attention_gradients(const struct attention *attention, const struct pass *pass,
                         const struct tensor *d_memory, const struct attention_gradient *gradient,
                         const struct attention_record *record,
                         const struct attention_source *source, const struct tensor *d_context)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    phase_enter(backend, PHASE_ATTENTION_BACKWARD);
    ops->batch_matmul(backend, d_memory, &record->weights, true, d_context, false, true);
    if (attention->kind == ATTENTION_FACTORED) {
        ops->batch_matmul(backend, &gradient->keys, &gradient->scores, true, &record->scaled, false,
                          false);
        ops->activate_backward(backend, &gradient->keys, &source->keys, &gradient->keys,
                               ACTIVATION_TANH);
    }
    linear_backward(&attention->query, pass, NULL, &record->x, &gradient->query, true);
    linear_backward(&attention->memory, pass, d_memory, &source->memory, &gradient->keys, true);
    phase_leave(backend);
}

void attention_backward(const struct attention *attention, const struct pass *pass,
                        const struct tensor *d_x, const struct tensor *d_memory,
                        const struct attention_record *record,
                        const struct attention_source *source, const struct tensor *d_context)
{
    struct attention_gradient gradient;
    attention_gradient_start(attention, pass, &gradient, record, source);
    backward(attention, pass, d_x, &gradient, record, source, d_context);
    attention_gradients(attention, pass, d_memory, &gradient, record, source, d_context);
}
