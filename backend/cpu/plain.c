/* Products on matrices as they lie. Every number of a result is one sum in one fixed order, however
 * rows and columns are cut into tiles: so a row depends on nothing beside it. */
#include "backend/cpu/plain.h"

#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/elements.h"
#include "backend/cpu/vector.h"

enum {
    TILE = 4,         /* rows, and terms or columns, whose sums are held in registers */
    PANEL = 512,      /* columns of a product that stay in the first-level cache */
    PIECE_ROWS = 32,  /* rows of a piece of work that one thread takes */
    PIECE_INPUTS = 64 /* likewise of a gradient's matrix */
};

bool plain_is_better(const struct tensor *weight)
{
    return weight->rank == 3 && weight->dim[0] >= WEIGHT_MANY;
}

/* -- y [rows, n] += c [rows, terms] w [terms, n], the terms one after the other -- */

/* Coefficients of a product: c(row, term) stands at row * row_step + term * term_step. */
struct coefficients {
    const float *c;
    int64_t row_step, term_step;
};

VECTOR_INLINE void product_tile(float *restrict y, int64_t y_step, struct coefficients c,
                                const float *restrict w, int64_t w_step, int64_t n, const int rows,
                                const int terms)
{
    float k[TILE][TILE];
    for (int a = 0; a < rows; a++)
        for (int b = 0; b < terms; b++)
            k[a][b] = c.c[a * c.row_step + b * c.term_step];
#pragma omp simd
    for (int64_t j = 0; j < n; j++)
        for (int a = 0; a < rows; a++) {
            float sum = y[a * y_step + j];
            for (int b = 0; b < terms; b++)
                sum += k[a][b] * w[b * w_step + j];
            y[a * y_step + j] = sum;
        }
}

/* The next of the sizes 4, 2, 1. */
VECTOR_INLINE int next_tile(int64_t left)
{
    return left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

VECTOR_INLINE void product_rows(float *restrict y, int64_t y_step, struct coefficients c,
                                const float *restrict w, int64_t w_step, int64_t n, int64_t terms,
                                const int rows)
{
    for (int64_t b = 0; b < terms;) {
        const struct coefficients rest = {c.c + b * c.term_step, c.row_step, c.term_step};
        const int size = next_tile(terms - b);
        if (size == 4)
            product_tile(y, y_step, rest, w + b * w_step, w_step, n, rows, 4);
        else if (size == 2)
            product_tile(y, y_step, rest, w + b * w_step, w_step, n, rows, 2);
        else
            product_tile(y, y_step, rest, w + b * w_step, w_step, n, rows, 1);
        b += size;
    }
}

/* Rows of y and w follow each other after y_step = w_step = width numbers. */
KERNEL static void product(float *restrict y, struct coefficients c, const float *restrict w,
                           int64_t rows, int64_t terms, int64_t width)
{
    for (int64_t j = 0; j < width; j += PANEL) {
        const int64_t n = width - j < PANEL ? width - j : PANEL;
        for (int64_t a = 0; a < rows;) {
            const struct coefficients rest = {c.c + a * c.row_step, c.row_step, c.term_step};
            const int size = next_tile(rows - a);
            float *const target = y + a * width + j;
            if (size == 4)
                product_rows(target, width, rest, w + j, width, n, terms, 4);
            else if (size == 2)
                product_rows(target, width, rest, w + j, width, n, terms, 2);
            else
                product_rows(target, width, rest, w + j, width, n, terms, 1);
            a += size;
        }
    }
}

/* -- y [rows, columns] += x [rows, n] w [columns, n]^T, 16 partial sums each -- */

/* As one register where there are such wide ones; and parts of it. */
typedef float vector __attribute__((vector_size(LANES * sizeof(float))));
typedef float half __attribute__((vector_size(LANES / 2 * sizeof(float))));
typedef float quarter __attribute__((vector_size(LANES / 4 * sizeof(float))));

/* As lanes_sum(). */
VECTOR_INLINE float vector_sum(const vector *sum)
{
    half h[2];
    memcpy(h, sum, sizeof h);
    h[0] += h[1];
    quarter q[2];
    memcpy(q, h, sizeof q);
    q[0] += q[1];
    return (q[0][0] + q[0][2]) + (q[0][1] + q[0][3]);
}

/* Adds the products of columns d .. d+count-1, at most LANES, to the sums. */
VECTOR_INLINE void dots_add(vector sum[TILE][TILE], const float *x, const float *w, int64_t n,
                            const int rows, const int columns, size_t count)
{
    vector x_part[TILE] = {{0}}, w_part = {0};
    for (int a = 0; a < rows; a++)
        memcpy(&x_part[a], x + a * n, count * sizeof(float));
    for (int i = 0; i < columns; i++) {
        memcpy(&w_part, w + i * n, count * sizeof(float));
        for (int a = 0; a < rows; a++)
            sum[a][i] += x_part[a] * w_part;
    }
}

VECTOR_INLINE void dots_tile(float *y, int64_t y_step, const float *x, const float *w, int64_t n,
                             const int rows, const int columns)
{
    vector sum[TILE][TILE];
    for (int a = 0; a < rows; a++)
        for (int i = 0; i < columns; i++)
            sum[a][i] = (vector){0};
    int64_t d = 0;
    for (; d + LANES <= n; d += LANES)
        dots_add(sum, x + d, w + d, n, rows, columns, LANES);
    if (d < n)
        dots_add(sum, x + d, w + d, n, rows, columns, (size_t)(n - d));
    for (int a = 0; a < rows; a++)
        for (int i = 0; i < columns; i++)
            y[a * y_step + i] += vector_sum(&sum[a][i]);
}

VECTOR_INLINE void dots_columns(float *y, int64_t y_step, const float *x, const float *w, int64_t n,
                                int64_t columns, const int rows)
{
    int64_t i = 0;
    for (; i + TILE <= columns; i += TILE)
        dots_tile(y + i, y_step, x, w + i * n, n, rows, TILE);
    for (; i < columns; i++)
        dots_tile(y + i, y_step, x, w + i * n, n, rows, 1);
}

KERNEL static void dots(float *y, const float *x, const float *w, int64_t rows, int64_t columns,
                        int64_t n)
{
    for (int64_t a = 0; a < rows;) {
        const int size = next_tile(rows - a);
        if (size == 4)
            dots_columns(y + a * columns, columns, x + a * n, w, n, columns, 4);
        else if (size == 2)
            dots_columns(y + a * columns, columns, x + a * n, w, n, columns, 2);
        else
            dots_columns(y + a * columns, columns, x + a * n, w, n, columns, 1);
        a += size;
    }
}

/* -- groups -- */

/* What all pieces of a grouped product share. */
struct grouped {
    const float *weight;
    int64_t in, out; /* of the weight as it lies */
    bool is_transposed;
    struct gemm_end end;
};

/* Some rows of group g. */
static void group_rows(const struct grouped *grouped, int64_t g, float *y, const float *x,
                       int64_t rows)
{
    const int64_t in = grouped->in, out = grouped->out, n_y = grouped->is_transposed ? in : out;
    const float *w = grouped->weight + g * in * out;
    const float *bias = grouped->end.bias ? grouped->end.bias + g * n_y : NULL;
    for (int64_t n = 0; n < rows; n++)
        if (bias)
            memcpy(y + n * n_y, bias, (size_t)n_y * sizeof *y);
        else
            memset(y + n * n_y, 0, (size_t)n_y * sizeof *y);
    if (grouped->is_transposed)
        dots(y, x, w, rows, in, out);
    else
        product(y, (struct coefficients){x, in, 1}, w, rows, in, out);
    for (int64_t n = 0; n < rows && grouped->end.activation != ACTIVATION_NONE; n++)
        elements_activate(y + n * n_y, y + n * n_y, 0, n_y, grouped->end.activation);
}

/* The group of a row, by halving: the last that starts at or before it and is not empty. */
static int64_t group_of(const int32_t *offsets, int64_t n_groups, int64_t row)
{
    int64_t low = 0, high = n_groups;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        if (offsets[middle] <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

void plain_groups(struct backend *backend, const struct tensor *weight, bool transposed, float *y,
                  const float *x, const int32_t *offsets, struct gemm_end end)
{
    const int64_t n_groups = weight->dim[0], total = offsets[n_groups];
    const struct grouped grouped = {floats(weight), weight->dim[1], weight->dim[2], transposed,
                                    end};
    const int64_t n_x = transposed ? grouped.out : grouped.in;
    const int64_t n_y = transposed ? grouped.in : grouped.out;
    const int n_threads = context_parts(backend, total * n_x * n_y / 8);
#pragma omp parallel for num_threads(n_threads) schedule(dynamic)
    for (int64_t first = 0; first < total; first += PIECE_ROWS) {
        const int64_t last = first + PIECE_ROWS < total ? first + PIECE_ROWS : total;
        int64_t g = group_of(offsets, n_groups, first);
        for (int64_t n = first; n < last; g++) {
            const int64_t stop = offsets[g + 1] < last ? offsets[g + 1] : last;
            if (stop > n)
                group_rows(&grouped, g, y + n * n_y, x + n * n_x, stop - n);
            n = stop > n ? stop : n;
        }
    }
}

void plain_gradient_groups(struct backend *backend, const struct tensor *d_weight, const float *x,
                           const float *d_y, const int32_t *offsets)
{
    const int64_t n_groups = d_weight->dim[0], in = d_weight->dim[1], out = d_weight->dim[2];
    const int64_t n_pieces = (in + PIECE_INPUTS - 1) / PIECE_INPUTS;
    const int n_threads = context_parts(backend, offsets[n_groups] * in * out / 8);
    float *const d_w = floats(d_weight);
#pragma omp parallel for collapse(2) num_threads(n_threads) schedule(dynamic, 8)
    for (int64_t g = 0; g < n_groups; g++)
        for (int64_t piece = 0; piece < n_pieces; piece++) {
            const int64_t first = piece * PIECE_INPUTS, left = in - first, start = offsets[g];
            product(d_w + (g * in + first) * out,
                    (struct coefficients){x + start * in + first, 1, in}, d_y + start * out,
                    left < PIECE_INPUTS ? left : PIECE_INPUTS, offsets[g + 1] - start, out);
        }
}
