/* Word embeddings. */
#include "layer/embedding.h"

void embedding_forward(const struct embedding *embedding, const struct pass *pass,
                       const struct tensor *y, const struct tensor *ids)
{
    pass->backend->ops->embed(pass->backend, y, &embedding->table->weight.value, ids,
                              embedding->scale);
}

void embedding_backward(const struct embedding *embedding, const struct pass *pass,
                        const struct tensor *d_y, const struct tensor *ids)
{
    pass->backend->ops->embed_backward(pass->backend, &embedding->table->grad, d_y, ids,
                                       embedding->scale);
}
