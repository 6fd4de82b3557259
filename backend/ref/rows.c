/* Work on rows: embeddings, gather and scatter. */
#include <string.h>

#include "backend/ref/real.h"

static void ref_embed(struct backend *backend, const struct tensor *y, const struct tensor *table,
                      const struct tensor *ids, double scale)
{
    (void)backend;
    const int64_t width = tensor_columns(table);
    CHECK(tensor_rows(y) == tensor_count(ids) && tensor_columns(y) == width, "shapes differ");
    for (int64_t n = 0; n < tensor_count(ids); n++) {
        const int32_t id = ints(ids)[n];
        CHECK(id >= 0 && id < table->dim[0], "id %d of %lld", id, (long long)table->dim[0]);
        for (int64_t d = 0; d < width; d++)
            reals(y)[n * width + d] = (real)(scale * reals(table)[id * width + d]);
    }
}

static void ref_embed_backward(struct backend *backend, const struct tensor *d_table,
                               const struct tensor *d_y, const struct tensor *ids, double scale)
{
    (void)backend;
    const int64_t width = tensor_columns(d_table);
    CHECK(tensor_rows(d_y) == tensor_count(ids) && tensor_columns(d_y) == width, "shapes differ");
    for (int64_t n = 0; n < tensor_count(ids); n++)
        for (int64_t d = 0; d < width; d++)
            reals(d_table)[ints(ids)[n] * width + d] += (real)(scale * reals(d_y)[n * width + d]);
}

static void ref_gather_rows(struct backend *backend, const struct tensor *y, const struct tensor *x,
                            const struct tensor *rows)
{
    (void)backend;
    const size_t row_bytes = (size_t)tensor_columns(x) * dtype_size(x->dtype);
    CHECK(tensor_rows(y) == tensor_count(rows) && tensor_columns(y) == tensor_columns(x) &&
              y->dtype == x->dtype,
          "shapes differ");
    for (int64_t n = 0; n < tensor_count(rows); n++) {
        const int64_t row = ints(rows)[n];
        CHECK(row >= 0 && row < tensor_rows(x), "row %lld of %lld", (long long)row,
              (long long)tensor_rows(x));
        memcpy((char *)y->data + (size_t)n * row_bytes, (char *)x->data + (size_t)row * row_bytes,
               row_bytes);
    }
}

static void ref_scatter_rows(struct backend *backend, const struct tensor *y,
                             const struct tensor *x, const struct tensor *rows)
{
    (void)backend;
    const size_t row_bytes = (size_t)tensor_columns(x) * dtype_size(x->dtype);
    CHECK(tensor_rows(x) == tensor_count(rows) && tensor_columns(y) == tensor_columns(x) &&
              y->dtype == x->dtype,
          "shapes differ");
    if (tensor_count(y))
        memset(y->data, 0, (size_t)tensor_rows(y) * row_bytes);
    for (int64_t n = 0; n < tensor_count(rows); n++) {
        const int64_t row = ints(rows)[n];
        CHECK(row >= 0 && row < tensor_rows(y), "row %lld of %lld", (long long)row,
              (long long)tensor_rows(y));
        memcpy((char *)y->data + (size_t)row * row_bytes, (char *)x->data + (size_t)n * row_bytes,
               row_bytes);
    }
}

void REF(set_rows)(struct backend_ops *ops)
{
    ops->embed = ref_embed;
    ops->embed_backward = ref_embed_backward;
    ops->gather_rows = ref_gather_rows;
    ops->scatter_rows = ref_scatter_rows;
}
