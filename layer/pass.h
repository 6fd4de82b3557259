/* What every layer is handed: the backend, memory for this batch, and what kind of pass it is. */
#ifndef MIXT_LAYER_PASS_H
#define MIXT_LAYER_PASS_H

#include "backend/backend.h"
#include "backend/comm/comm.h"

struct pass {
    struct backend *backend; /* borrowed */
    struct arena *arena;     /* borrowed, of the backend: tensors; what a forward pass records
                                stays until its backward */
    struct arena *host;      /* borrowed, another one, of the host: lists and schedules */
    struct arena *rooms;     /* borrowed, of the backend: where LSTMs' rooms lie, as far as there is
                                space, until their backward pass; NULL: in arena */
    struct comm *comm; /* borrowed: ranks that run this pass together, each on sentences of its
                                own, and divide the experts; NULL: this one runs alone */
    bool by_parts;     /* what each rank passes is a part of the batch that stands alone, so that
                          results do not depend on how many ranks there are: balance losses are of
                          its own tokens, and experts meet one rank's after the other's */
    bool is_training;  /* dropout and gate noise are drawn */
    double dropout;    /* drop probability in 0..1, used only in training */
    uint64_t seed;     /* of the run */
    uint32_t step;     /* update number; with seed and a layer's stream it keys the noise */
};

/* Where both arenas stand, and back to there. */
struct pass_mark {
    size_t arena, host;
};

static inline struct pass_mark pass_mark(const struct pass *pass)
{
    return (struct pass_mark){arena_mark(pass->arena), arena_mark(pass->host)};
}

static inline void pass_release(const struct pass *pass, struct pass_mark mark)
{
    arena_release(pass->arena, mark.arena);
    arena_release(pass->host, mark.host);
}

/* Key of one layer's random numbers in this pass. */
static inline struct random_key pass_key(const struct pass *pass, uint32_t stream)
{
    return (struct random_key){.seed = pass->seed, .step = pass->step, .stream = stream};
}

/* y = residual + dropout(x); outside of training nothing is dropped. residual and names may be
 * NULL; see dropout in backend/backend.h. Backward is the same call on the gradient. */
static inline void pass_dropout(const struct pass *pass, uint32_t stream, const struct tensor *y,
                                const struct tensor *x, const struct tensor *residual,
                                const struct tensor *names)
{
    pass->backend->ops->dropout(pass->backend, y, x, residual,
                                pass->is_training ? pass->dropout : 0, pass_key(pass, stream),
                                names);
}

/* Fresh real tensors in the pass's arena. */
static inline struct tensor pass_2d(const struct pass *pass, int64_t d0, int64_t d1)
{
    return tensor_2d(pass->arena, pass->backend->real, d0, d1);
}

static inline struct tensor pass_3d(const struct pass *pass, int64_t d0, int64_t d1, int64_t d2)
{
    return tensor_3d(pass->arena, pass->backend->real, d0, d1, d2);
}

#endif
