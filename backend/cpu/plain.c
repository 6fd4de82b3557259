/* Products on matrices as they lie. Every number of a result is one sum in one fixed order, however
 * rows and columns are cut into tiles: so a row depends on nothing beside it. */
#include "backend/cpu/plain.h"

#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/elements.h"
#include "backend/cpu/vector.h"

enum {
    TILE = 4,          /* rows, and terms or columns, whose sums are held in registers */
    PANEL = 256,       /* columns of the matrix that are taken at a time */
    PANEL_TERMS = 128, /* and rows, where they are copied */
    DOTS_COLUMNS = 6,  /* columns whose sums with TILE rows fill the registers */
    MANY_ROWS = 12,    /* from here on a copy pays */
    BLOCK_VECTORS = 2, /* columns whose sums for so many rows fill the registers, in vectors */
    BLOCK_COLUMNS = BLOCK_VECTORS * LANES,
    PANEL_BLOCKS = PANEL / BLOCK_COLUMNS,
    LINE = 16,        /* numbers of a line of the caches */
    PIECE_ROWS = 128, /* rows of a group that are one thread's work: most often all of them, so
                           that its matrix is read once; at least PLAIN_INPUTS */
    PAIRS_SIDE = 16   /* rows whose products with as many others are summed together */
};

/* One register where there are such wide ones. */
typedef float vector __attribute__((vector_size(LANES * sizeof(float))));

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

/* Columns first .. last-1 of y and w, whose rows follow each other after width numbers. */
VECTOR_INLINE void product_few(float *restrict y, struct coefficients c, const float *restrict w,
                               int64_t rows, int64_t terms, int64_t width, int64_t first,
                               int64_t last)
{
    for (int64_t j = first; j < last; j += PANEL) {
        const int64_t n = last - j < PANEL ? last - j : PANEL;
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

/* Asks for memory that is wanted soon, rows of PANEL numbers that follow each other after `width`:
 * for the `pair`th two lines of it, as the first brings the second. */
VECTOR_INLINE void ask(const float *next, int64_t width, int64_t pair)
{
    const int64_t at = pair * 2 * LINE;
    __builtin_prefetch(next + at / PANEL * width + at % PANEL, 0, 2);
}

/* The first of as few parts of n as hold `most` each, which differ by one at most: half of `most`
 * or more where n is. */
VECTOR_INLINE int64_t even_part(int64_t n, int64_t most)
{
    return n / ((n + most - 1) / most);
}

/* The coefficients of each tile's rows, side by side for each term. */
VECTOR_INLINE void pack_coefficients(float *restrict packed, struct coefficients c, int64_t rows,
                                     int64_t terms)
{
    for (int64_t a = 0; a < rows;) {
        const int64_t size = even_part(rows - a, MANY_ROWS);
        for (int64_t i = 0; i < size; i++)
            for (int64_t b = 0; b < terms; b++)
                packed[b * size + i] = c.c[(a + i) * c.row_step + b * c.term_step];
        packed += terms * size;
        a += size;
    }
}

/* The sums of `rows` rows and BLOCK_VECTORS vectors of columns, in registers over all terms. */
VECTOR_INLINE void block_tile(float *restrict y, int64_t width, const float *restrict packed,
                              const vector *restrict block, int64_t terms, const float *next,
                              const int rows)
{
    vector sum[MANY_ROWS][BLOCK_VECTORS];
    for (int a = 0; a < rows; a++)
        memcpy(sum[a], y + a * width, sizeof sum[a]);
    for (int64_t b = 0; b < terms; b++) {
        ask(next, width, b);
        for (int a = 0; a < rows; a++)
            for (int v = 0; v < BLOCK_VECTORS; v++)
                sum[a][v] += packed[b * rows + a] * block[b * BLOCK_VECTORS + v];
    }
    for (int a = 0; a < rows; a++)
        memcpy(y + a * width, sum[a], sizeof sum[a]);
}

/* All rows of a block's columns. */
VECTOR_INLINE void block_rows(float *restrict y, int64_t width, const float *restrict packed,
                              const vector *restrict block, int64_t rows, int64_t terms,
                              const float *next)
{
    for (int64_t a = 0; a < rows;) {
        const int64_t size = even_part(rows - a, MANY_ROWS);
        float *const target = y + a * width;
        switch (size) {
        case 12:
            block_tile(target, width, packed, block, terms, next, 12);
            break;
        case 11:
            block_tile(target, width, packed, block, terms, next, 11);
            break;
        case 10:
            block_tile(target, width, packed, block, terms, next, 10);
            break;
        case 9:
            block_tile(target, width, packed, block, terms, next, 9);
            break;
        case 8:
            block_tile(target, width, packed, block, terms, next, 8);
            break;
        case 7:
            block_tile(target, width, packed, block, terms, next, 7);
            break;
        default:
            block_tile(target, width, packed, block, terms, next, 6);
            break;
        }
        packed += terms * size;
        a += size;
    }
}

/* Copies a block of `terms` rows of w. As they lie, they are so far apart that they push each other
 * out of the first cache. */
VECTOR_INLINE void copy_block(vector *restrict block, const float *restrict w, int64_t width,
                              int64_t terms)
{
    for (int64_t b = 0; b < terms; b++)
        memcpy(block + b * BLOCK_VECTORS, w + b * width, BLOCK_COLUMNS * sizeof(float));
}

/* The first n columns of at most PIECE_ROWS rows and PANEL_TERMS terms, in panels: of the next one
 * is asked for as much as of this one is multiplied. */
VECTOR_INLINE void product_panels(float *restrict y, struct coefficients c, const float *restrict w,
                                  int64_t rows, int64_t terms, int64_t width, int64_t n)
{
    float packed[PIECE_ROWS * PANEL_TERMS];
    pack_coefficients(packed, c, rows, terms);
    for (int64_t j = 0; j < n; j += PANEL) {
        const float *next = j + PANEL < n ? w + j + PANEL : w + terms * width;
        for (int64_t i = j; i < j + PANEL; i += BLOCK_COLUMNS) {
            vector block[PANEL_TERMS * BLOCK_VECTORS];
            copy_block(block, w + i, width, terms);
            block_rows(y + i, width, packed, block, rows, terms, next);
            next += PANEL_TERMS / PANEL_BLOCKS * width;
        }
    }
}

/* At most PIECE_ROWS rows; those of y and w follow each other after y_step = w_step = width
 * numbers. */
KERNEL static void product(float *restrict y, struct coefficients c, const float *restrict w,
                           int64_t rows, int64_t terms, int64_t width)
{
    const int64_t in_panels = rows < MANY_ROWS ? 0 : width / PANEL * PANEL;
    for (int64_t b = 0; b < terms && in_panels > 0; b += PANEL_TERMS) {
        const struct coefficients part = {c.c + b * c.term_step, c.row_step, c.term_step};
        product_panels(y, part, w + b * width, rows,
                       terms - b < PANEL_TERMS ? terms - b : PANEL_TERMS, width, in_panels);
    }
    product_few(y, c, w, rows, terms, width, in_panels, width);
}

/* -- y [rows, columns] += x [rows, n] w [columns, n]^T, 16 partial sums each -- */

/* Parts of a vector. */
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
VECTOR_INLINE void dots_add(vector sum[TILE][DOTS_COLUMNS], const float *x, const float *w,
                            int64_t n, const int rows, const int columns, size_t count)
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

/* Beside, asks for n numbers from next. */
VECTOR_INLINE void dots_tile(float *y, int64_t y_step, const float *x, const float *w, int64_t n,
                             const float *next, const int rows, const int columns)
{
    vector sum[TILE][DOTS_COLUMNS];
    for (int a = 0; a < rows; a++)
        for (int i = 0; i < columns; i++)
            sum[a][i] = (vector){0};
    int64_t d = 0;
    for (; d + LANES <= n; d += LANES) {
        __builtin_prefetch(next + d, 0, 2);
        dots_add(sum, x + d, w + d, n, rows, columns, LANES);
    }
    if (d < n)
        dots_add(sum, x + d, w + d, n, rows, columns, (size_t)(n - d));
    for (int a = 0; a < rows; a++)
        for (int i = 0; i < columns; i++)
            y[a * y_step + i] += vector_sum(&sum[a][i]);
}

/* While a tile of rows meets these columns of w, one of the next columns comes from memory. */
VECTOR_INLINE void dots_rows(float *y, int64_t y_step, const float *x, const float *w, int64_t n,
                             int64_t rows, const int columns)
{
    const float *next = w + columns * n;
    for (int64_t a = 0; a < rows;) {
        const int size = next_tile(rows - a);
        float *const target = y + a * y_step;
        if (size == 4)
            dots_tile(target, y_step, x + a * n, w, n, next, 4, columns);
        else if (size == 2)
            dots_tile(target, y_step, x + a * n, w, n, next, 2, columns);
        else
            dots_tile(target, y_step, x + a * n, w, n, next, 1, columns);
        a += size;
        next += n;
    }
}

/* Columns outermost: the matrix is larger than x, and is read once. */
KERNEL static void dots(float *y, const float *x, const float *w, int64_t rows, int64_t columns,
                        int64_t n)
{
    for (int64_t i = 0; i < columns;) {
        const float *const part = w + i * n;
        const int size = columns - i >= DOTS_COLUMNS ? DOTS_COLUMNS : next_tile(columns - i);
        if (size == DOTS_COLUMNS)
            dots_rows(y + i, columns, x, part, n, rows, DOTS_COLUMNS);
        else if (size == 4)
            dots_rows(y + i, columns, x, part, n, rows, 4);
        else if (size == 2)
            dots_rows(y + i, columns, x, part, n, rows, 2);
        else
            dots_rows(y + i, columns, x, part, n, rows, 1);
        i += size;
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

/* Pieces of the group that has most of them. */
static int64_t most_pieces(const int32_t *offsets, int64_t n_groups)
{
    int64_t most = 0;
    for (int64_t g = 0; g < n_groups; g++) {
        const int64_t pieces = (offsets[g + 1] - offsets[g] + PIECE_ROWS - 1) / PIECE_ROWS;
        most = pieces > most ? pieces : most;
    }
    return most;
}

void plain_groups(struct backend *backend, const struct tensor *weight, bool transposed, float *y,
                  const float *x, const int32_t *offsets, struct gemm_end end)
{
    const int64_t n_groups = weight->dim[0], n_pieces = most_pieces(offsets, n_groups);
    const struct grouped grouped = {floats(weight), weight->dim[1], weight->dim[2], transposed,
                                    end};
    const int64_t n_x = transposed ? grouped.out : grouped.in;
    const int64_t n_y = transposed ? grouped.in : grouped.out;
    const int n_threads = context_parts(backend, offsets[n_groups] * n_x * n_y / 8);
#pragma omp parallel for collapse(2) num_threads(n_threads) schedule(dynamic)
    for (int64_t g = 0; g < n_groups; g++)
        for (int64_t piece = 0; piece < n_pieces; piece++) {
            const int64_t first = offsets[g] + piece * PIECE_ROWS, left = offsets[g + 1] - first;
            if (left > 0)
                group_rows(&grouped, g, y + first * n_y, x + first * n_x,
                           left < PIECE_ROWS ? left : PIECE_ROWS);
        }
}

void plain_gradient_groups(struct backend *backend, const struct tensor *d_weight, const float *x,
                           const float *d_y, const int32_t *offsets)
{
    const int64_t n_groups = d_weight->dim[0], in = d_weight->dim[1], out = d_weight->dim[2];
    const int64_t n_pieces = (in + PLAIN_INPUTS - 1) / PLAIN_INPUTS;
    const int n_threads = context_parts(backend, offsets[n_groups] * in * out / 8);
    float *const d_w = floats(d_weight);
#pragma omp parallel for collapse(2) num_threads(n_threads) schedule(dynamic, 8)
    for (int64_t g = 0; g < n_groups; g++)
        for (int64_t piece = 0; piece < n_pieces; piece++) {
            const int64_t first = piece * PLAIN_INPUTS, left = in - first, start = offsets[g];
            plain_gradient_rows(d_w + (g * in + first) * out, x + start * in, d_y + start * out,
                                offsets[g + 1] - start, in, out, first,
                                left < PLAIN_INPUTS ? left : PLAIN_INPUTS);
        }
}

/* -- without the matrix -- */

void plain_gradient_rows(float *d_w, const float *x, const float *d_y, int64_t rows, int64_t in,
                         int64_t out, int64_t first, int64_t count)
{
    CHECK(count <= PLAIN_INPUTS, "%lld rows at once", (long long)count);
    product(d_w, (struct coefficients){x + first, 1, in}, d_y, count, rows, out);
}

/* The sum over n_a rows with n_b others. */
static double pair_squares(const float *x_a, const float *x_b, const float *d_y_a,
                           const float *d_y_b, int64_t n_a, int64_t n_b, int64_t in, int64_t out)
{
    float of_x[PAIRS_SIDE * PAIRS_SIDE] = {0}, of_d_y[PAIRS_SIDE * PAIRS_SIDE] = {0};
    dots(of_x, x_a, x_b, n_a, n_b, in);
    dots(of_d_y, d_y_a, d_y_b, n_a, n_b, out);
    double sum = 0;
    for (int64_t i = 0; i < n_a * n_b; i++)
        sum += (double)of_x[i] * of_d_y[i];
    return sum;
}

double plain_product_squares(const float *x, const float *d_y, int64_t rows, int64_t in,
                             int64_t out)
{
    double total = 0;
    for (int64_t a = 0; a < rows; a += PAIRS_SIDE)
        for (int64_t b = 0; b <= a; b += PAIRS_SIDE) {
            const int64_t n_a = rows - a < PAIRS_SIDE ? rows - a : PAIRS_SIDE;
            const int64_t n_b = rows - b < PAIRS_SIDE ? rows - b : PAIRS_SIDE;
            const double sum = pair_squares(x + a * in, x + b * in, d_y + a * out, d_y + b * out,
                                            n_a, n_b, in, out);
            total += b < a ? 2 * sum : sum;
        }
    return total < 0 ? 0 : total; /* rounding; NaN stays */
}
