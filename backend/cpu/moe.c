/* Bringing the experts' outputs back together. Sorting the choices is too little work to split. */
#include "backend/cpu/context.h"
#include "backend/cpu/vector.h"

KERNEL static void combine_row(float *restrict y, const float *restrict x, const float *weights,
                               const int32_t *place, int64_t k, int64_t width)
{
    for (int64_t d = 0; d < width; d++)
        y[d] = 0;
    for (int64_t i = 0; i < k; i++) {
        const float weight = weights ? weights[i] : 1;
        const float *row = x + place[i] * width;
        for (int64_t d = 0; d < width; d++)
            y[d] += weight * row[d];
    }
}

static void cpu_combine(struct backend *backend, const struct tensor *y, const struct tensor *x,
                        const struct tensor *weights, const struct tensor *place)
{
    const int64_t width = tensor_columns(y), k = tensor_columns(place), rows = tensor_rows(y);
    CHECK(rows == tensor_rows(place) && tensor_rows(x) == tensor_count(place) &&
              tensor_columns(x) == width && (!weights || tensor_count(weights) == rows * k),
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, rows * k * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        combine_row(floats(y) + n * width, floats(x), weights ? floats(weights) + n * k : NULL,
                    ints(place) + n * k, k, width);
}

KERNEL static void combine_backward_row(float *d_x, float *d_weights, const float *x,
                                        const float *weights, const int32_t *place,
                                        const float *d_y, int64_t k, int64_t width)
{
    for (int64_t i = 0; i < k; i++) {
        float *target = d_x + place[i] * width;
        d_weights[i] = vector_dot(d_y, x + place[i] * width, width);
        const float weight = weights[i];
#pragma omp simd
        for (int64_t d = 0; d < width; d++)
            target[d] = weight * d_y[d];
    }
}

static void cpu_combine_backward(struct backend *backend, const struct tensor *d_x,
                                 const struct tensor *d_weights, const struct tensor *x,
                                 const struct tensor *weights, const struct tensor *place,
                                 const struct tensor *d_y)
{
    const int64_t width = tensor_columns(d_y), k = tensor_columns(place), rows = tensor_rows(d_y);
    CHECK(rows == tensor_rows(place) && tensor_rows(d_x) == tensor_count(place) &&
              tensor_count(weights) == rows * k && tensor_count(d_weights) == rows * k,
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, rows * k * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        combine_backward_row(floats(d_x), floats(d_weights) + n * k, floats(x),
                             floats(weights) + n * k, ints(place) + n * k, floats(d_y) + n * width,
                             k, width);
}

void cpu_set_moe(struct backend_ops *ops)
{
    ops->combine = cpu_combine;
    ops->combine_backward = cpu_combine_backward;
}
