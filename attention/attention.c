/* Factored additive attention (Shazeer et al. 2017, eq. 22). */
#include "attention/attention.h"

#include <math.h>
#include <stdio.h>

void attention_init(struct attention *attention, struct param_list *params, const char *prefix,
                    int64_t dim, int64_t attention_dim)
{
    char name[96];
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

void attention_start(const struct attention *attention, const struct pass *pass,
                     struct attention_source *source, const struct tensor *memory,
                     const struct tensor *lengths)
{
    source->memory = *memory;
    source->lengths = *lengths;
    source->keys =
        pass_3d(pass, memory->dim[0], memory->dim[1], tensor_count(&attention->v->weight.value));
    linear_forward(&attention->memory, pass, &source->keys, memory, ACTIVATION_TANH);
}

void attention_forward(const struct attention *attention, const struct pass *pass,
                       struct attention_record *record, const struct attention_source *source,
                       const struct tensor *x, const struct tensor *context)
{
    const struct backend_ops *ops = pass->backend->ops;
    const int64_t n_t = x->dim[0], n_b = x->dim[1];
    record->x = *x;
    record->query = pass_3d(pass, n_t, n_b, source->keys.dim[2]);
    record->scaled = tensor_like(pass->arena, &record->query);
    record->weights = pass_3d(pass, n_t, n_b, source->memory.dim[0]);
    linear_forward(&attention->query, pass, &record->query, x, ACTIVATION_TANH);
    ops->scale_columns(pass->backend, &record->scaled, &record->query, &attention->v->weight.value);
    ops->batch_matmul(pass->backend, &record->weights, &record->scaled, false, &source->keys, true,
                      false);
    ops->attention_softmax(pass->backend, &record->weights, &source->lengths);
    ops->batch_matmul(pass->backend, context, &record->weights, false, &source->memory, false,
                      false);
}

void attention_backward(const struct attention *attention, const struct pass *pass,
                        const struct tensor *d_x, const struct tensor *d_memory,
                        const struct attention_record *record,
                        const struct attention_source *source, const struct tensor *d_context)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const struct tensor d_scores = tensor_like(pass->arena, &record->weights);
    ops->batch_matmul(backend, &d_scores, d_context, false, &source->memory, true, false);
    ops->batch_matmul(backend, d_memory, &record->weights, true, d_context, false, true);
    ops->attention_softmax_backward(backend, &d_scores, &record->weights, &source->lengths);

    const struct tensor d_query = tensor_like(pass->arena, &record->query);
    const struct tensor d_keys = tensor_like(pass->arena, &source->keys);
    ops->batch_matmul(backend, &d_query, &d_scores, false, &source->keys, false, false);
    ops->batch_matmul(backend, &d_keys, &d_scores, true, &record->scaled, false, false);
    ops->scale_columns_backward(backend, &d_query, &attention->v->grad, &record->query,
                                &attention->v->weight.value, &d_query);
    ops->activate_backward(backend, &d_query, &record->query, &d_query, ACTIVATION_TANH);
    ops->activate_backward(backend, &d_keys, &source->keys, &d_keys, ACTIVATION_TANH);
    linear_backward(&attention->query, pass, d_x, &record->x, &d_query, true);
    linear_backward(&attention->memory, pass, d_memory, &source->memory, &d_keys, true);
}
