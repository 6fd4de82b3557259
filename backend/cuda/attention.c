/* Additive scores, and the softmax over the real source positions. */
#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"

static void cuda_attention_softmax(struct backend *backend, const struct tensor *weights,
                                   const struct tensor *lengths)
{
    CHECK(weights->rank == 3 && tensor_count(lengths) == weights->dim[1], "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_attention_softmax(context_of(backend)->stream, floats(weights),
                                           ints(lengths), tensor_rows(weights), weights->dim[1],
                                           weights->dim[2]),
                  "attention_softmax");
}

static void cuda_attention_softmax_backward(struct backend *backend, const struct tensor *d_scores,
                                            const struct tensor *weights,
                                            const struct tensor *lengths)
{
    CHECK(weights->rank == 3 && tensor_count(d_scores) == tensor_count(weights) &&
              tensor_count(lengths) == weights->dim[1],
          "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_attention_softmax_backward(
                      context_of(backend)->stream, floats(d_scores), floats(weights), ints(lengths),
                      tensor_rows(weights), weights->dim[1], weights->dim[2]),
                  "attention_softmax_backward");
}

static struct additive_shape additive_shape_of(const struct tensor *scores,
                                               const struct tensor *query,
                                               const struct tensor *keys, const struct tensor *v,
                                               const struct tensor *lengths)
{
    additive_check(scores, query, keys, v, lengths);
    return (struct additive_shape){scores->dim[0], scores->dim[1], scores->dim[2], tensor_count(v)};
}

static void cuda_additive_scores(struct backend *backend, const struct tensor *scores,
                                 const struct tensor *query, const struct tensor *keys,
                                 const struct tensor *v, const struct tensor *lengths)
{
    const struct additive_shape shape = additive_shape_of(scores, query, keys, v, lengths);
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_additive_scores(context_of(backend)->stream, floats(scores), floats(query),
                                         floats(keys), floats(v), ints(lengths), shape),
                  "additive_scores");
}

static void cuda_additive_scores_backward(struct backend *backend, const struct tensor *d_query,
                                          const struct tensor *d_keys, const struct tensor *d_v,
                                          const struct tensor *query, const struct tensor *keys,
                                          const struct tensor *v, const struct tensor *lengths,
                                          const struct tensor *d_scores)
{
    const struct additive_shape shape = additive_shape_of(d_scores, query, keys, v, lengths);
    if (!context_enter(backend))
        return;
    float *scratch = context_scratch(backend, additive_scores_backward_scratch(shape));
    if (!scratch)
        return;
    context_check(backend,
                  launch_additive_scores_backward(context_of(backend)->stream, floats(d_query),
                                                  floats(d_keys), floats(d_v), scratch,
                                                  floats(query), floats(keys), floats(v),
                                                  ints(lengths), floats(d_scores), shape),
                  "additive_scores_backward");
}

void cuda_set_attention(struct backend_ops *ops)
{
    ops->additive_scores = cuda_additive_scores;
    ops->additive_scores_backward = cuda_additive_scores_backward;
    ops->attention_softmax = cuda_attention_softmax;
    ops->attention_softmax_backward = cuda_attention_softmax_backward;
}
