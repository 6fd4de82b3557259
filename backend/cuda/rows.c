/* Work on rows: embeddings, gather and scatter. */
#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"

static void cuda_embed(struct backend *backend, const struct tensor *y, const struct tensor *table,
                       const struct tensor *ids, double scale)
{
    const int64_t width = tensor_columns(table), rows = tensor_count(ids);
    CHECK(tensor_rows(y) == rows && tensor_columns(y) == width, "shapes differ");
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_embed(context_of(backend)->stream, floats(y), floats(table), ints(ids),
                               rows, width, scale),
                  "embed");
}

static void cuda_embed_backward(struct backend *backend, const struct tensor *d_table,
                                const struct tensor *d_y, const struct tensor *ids, double scale)
{
    const int64_t width = tensor_columns(d_table), n_words = tensor_rows(d_table);
    const int64_t rows = tensor_count(ids);
    CHECK(tensor_rows(d_y) == rows && tensor_columns(d_y) == width, "shapes differ");
    if (!context_enter(backend))
        return;
    void *scratch = context_scratch(backend, embed_backward_scratch(rows, n_words));
    if (!scratch)
        return;
    context_check(backend,
                  launch_embed_backward(context_of(backend)->stream, floats(d_table), scratch,
                                        floats(d_y), ints(ids), rows, n_words, width, scale),
                  "embed_backward");
}

static void check_rows(const struct tensor *all, const struct tensor *some,
                       const struct tensor *rows)
{
    CHECK(tensor_rows(some) == tensor_count(rows) && tensor_columns(all) == tensor_columns(some) &&
              all->dtype == some->dtype && dtype_size(all->dtype) == sizeof(float),
          "shapes differ");
}

static void cuda_gather_rows(struct backend *backend, const struct tensor *y,
                             const struct tensor *x, const struct tensor *rows)
{
    check_rows(x, y, rows);
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_gather_rows(context_of(backend)->stream, y->data, x->data, ints(rows),
                                     tensor_count(rows), tensor_columns(x)),
                  "gather_rows");
}

static void cuda_scatter_rows(struct backend *backend, const struct tensor *y,
                              const struct tensor *x, const struct tensor *rows)
{
    check_rows(y, x, rows);
    if (!context_enter(backend))
        return;
    context_check(backend,
                  launch_scatter_rows(context_of(backend)->stream, y->data, x->data, ints(rows),
                                      tensor_count(rows), tensor_rows(y), tensor_columns(x)),
                  "scatter_rows");
}

void cuda_set_rows(struct backend_ops *ops)
{
    ops->embed = cuda_embed;
    ops->embed_backward = cuda_embed_backward;
    ops->gather_rows = cuda_gather_rows;
    ops->scatter_rows = cuda_scatter_rows;
}
