/* Bringing the experts' outputs back together. Sorting the choices is too little work to split. */
#include "backend/cpu/choices.h"
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

/* True where all operands over choices have as many, and tokens are as many as y has rows. */
static bool shapes_agree(const struct tensor *y, const struct tensor *x, const struct tensor *place,
                         const struct tensor *starts)
{
    return tensor_rows(x) == tensor_count(place) && tensor_columns(x) == tensor_columns(y) &&
           (starts ? tensor_count(starts) == tensor_rows(y) + 1
                   : tensor_rows(place) == tensor_rows(y));
}

static void cpu_combine(struct backend *backend, const struct tensor *y, const struct tensor *x,
                        const struct tensor *weights, const struct tensor *place,
                        const struct tensor *starts)
{
    const int64_t width = tensor_columns(y), k = tensor_columns(place), rows = tensor_rows(y);
    CHECK(shapes_agree(y, x, place, starts) &&
              (!weights || tensor_count(weights) == tensor_count(place)),
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int32_t *start = ints_or_null(starts);
    const int n_parts = context_parts(backend, tensor_count(x) + tensor_count(y));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++) {
        const int64_t first = first_of(start, k, n);
        combine_row(floats(y) + n * width, floats(x), weights ? floats(weights) + first : NULL,
                    ints(place) + first, first_of(start, k, n + 1) - first, width);
    }
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
                                 const struct tensor *starts, const struct tensor *d_y)
{
    const int64_t width = tensor_columns(d_y), k = tensor_columns(place), rows = tensor_rows(d_y);
    CHECK(shapes_agree(d_y, x, place, starts) && tensor_count(d_x) == tensor_count(x) &&
              tensor_count(weights) == tensor_count(place) &&
              tensor_count(d_weights) == tensor_count(place),
          "shapes differ");
    if (!context_enter(backend))
        return;
    const int32_t *start = ints_or_null(starts);
    const int n_parts = context_parts(backend, tensor_count(x) + tensor_count(d_y));
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++) {
        const int64_t first = first_of(start, k, n);
        combine_backward_row(floats(d_x), floats(d_weights) + first, floats(x),
                             floats(weights) + first, ints(place) + first, floats(d_y) + n * width,
                             first_of(start, k, n + 1) - first, width);
    }
}

void cpu_set_moe(struct backend_ops *ops)
{
    ops->combine = cpu_combine;
    ops->combine_backward = cpu_combine_backward;
}
