/* Work on rows: embeddings, gather and scatter. */
#include <string.h>

#include "backend/cpu/context.h"

KERNEL static void scale_row(float *restrict y, const float *restrict x, int64_t width, float scale)
{
    for (int64_t d = 0; d < width; d++)
        y[d] = scale * x[d];
}

static void cpu_embed(struct backend *backend, const struct tensor *y, const struct tensor *table,
                      const struct tensor *ids, double scale)
{
    const int64_t width = tensor_columns(table), count = tensor_count(ids);
    CHECK(tensor_rows(y) == count && tensor_columns(y) == width, "shapes differ");
    if (!context_enter(backend))
        return;
    const int32_t *id = ints(ids);
    const int n_parts = context_parts(backend, count * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < count; n++) {
        CHECK(id[n] >= 0 && id[n] < table->dim[0], "id %d of %lld", id[n],
              (long long)table->dim[0]);
        scale_row(floats(y) + n * width, floats(table) + id[n] * width, width, (float)scale);
    }
}

KERNEL static void add_rows(float *table, const float *d_y, const int32_t *ids, int64_t count,
                            int64_t width, int64_t first, int64_t last, float scale)
{
    for (int64_t n = 0; n < count; n++)
#pragma omp simd
        for (int64_t d = first; d < last; d++)
            table[ids[n] * width + d] += scale * d_y[n * width + d];
}

/* Threads take columns, so that the order of additions is the same for any number of them. */
static void cpu_embed_backward(struct backend *backend, const struct tensor *d_table,
                               const struct tensor *d_y, const struct tensor *ids, double scale)
{
    const int64_t width = tensor_columns(d_table), count = tensor_count(ids);
    CHECK(tensor_rows(d_y) == count && tensor_columns(d_y) == width, "shapes differ");
    if (!context_enter(backend))
        return;
    const int32_t *id = ints(ids);
    for (int64_t n = 0; n < count; n++)
        CHECK(id[n] >= 0 && id[n] < d_table->dim[0], "id %d of %lld", id[n],
              (long long)d_table->dim[0]);
    const int64_t blocks = (width + 15) / 16;
    const int n_parts = context_parts(backend, count * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++) {
        const int64_t last = part_start(blocks, part + 1, n_parts) * 16;
        add_rows(floats(d_table), floats(d_y), id, count, width,
                 part_start(blocks, part, n_parts) * 16, last < width ? last : width, (float)scale);
    }
}

static void cpu_gather_rows(struct backend *backend, const struct tensor *y, const struct tensor *x,
                            const struct tensor *rows)
{
    const size_t row_bytes = (size_t)tensor_columns(x) * dtype_size(x->dtype);
    const int64_t count = tensor_count(rows), n_source = tensor_rows(x);
    CHECK(tensor_rows(y) == count && tensor_columns(y) == tensor_columns(x) && y->dtype == x->dtype,
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int32_t *from = ints(rows);
    const int n_parts = context_parts(backend, count * tensor_columns(x));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < count; n++) {
        const int64_t row = from[n];
        CHECK(row >= 0 && row < n_source, "row %lld of %lld", (long long)row, (long long)n_source);
        memcpy((char *)y->data + (size_t)n * row_bytes,
               (const char *)x->data + (size_t)row * row_bytes, row_bytes);
    }
}

static void cpu_scatter_rows(struct backend *backend, const struct tensor *y,
                             const struct tensor *x, const struct tensor *rows)
{
    const size_t row_bytes = (size_t)tensor_columns(x) * dtype_size(x->dtype);
    const int64_t count = tensor_count(rows), n_target = tensor_rows(y);
    CHECK(tensor_rows(x) == count && tensor_columns(y) == tensor_columns(x) && y->dtype == x->dtype,
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int32_t *to = ints(rows);
    const int n_parts = context_parts(backend, tensor_count(y));
#pragma omp parallel num_threads(n_parts)
    {
#pragma omp for schedule(static)
        for (int64_t n = 0; n < n_target; n++)
            memset((char *)y->data + (size_t)n * row_bytes, 0, row_bytes);
#pragma omp for schedule(static)
        for (int64_t n = 0; n < count; n++) {
            CHECK(to[n] >= 0 && to[n] < n_target, "row %d of %lld", to[n], (long long)n_target);
            memcpy((char *)y->data + (size_t)to[n] * row_bytes,
                   (const char *)x->data + (size_t)n * row_bytes, row_bytes);
        }
    }
}

void cpu_set_rows(struct backend_ops *ops)
{
    ops->embed = cpu_embed;
    ops->embed_backward = cpu_embed_backward;
    ops->gather_rows = cpu_gather_rows;
    ops->scatter_rows = cpu_scatter_rows;
}
