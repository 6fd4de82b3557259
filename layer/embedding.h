/* Word embeddings: rows of a table, one table for source and target or one each. */
#ifndef MIXT_LAYER_EMBEDDING_H
#define MIXT_LAYER_EMBEDDING_H

#include "layer/param.h"
#include "layer/pass.h"

struct embedding {
    struct param *table; /* [V, D]; may be shared with another embedding and with the softmax */
    double scale;        /* rows are multiplied by it: sqrt(D) */
};

/* y [N, D] = scale * table[ids]; ids [N] i32 in 0..V-1. */
void embedding_forward(const struct embedding *embedding, const struct pass *pass,
                       const struct tensor *y, const struct tensor *ids);

/* The table's gradient += what d_y [N, D] brings. */
void embedding_backward(const struct embedding *embedding, const struct pass *pass,
                        const struct tensor *d_y, const struct tensor *ids);

#endif
