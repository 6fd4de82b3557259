/* Products with weights in int8.
 *
 * Sums are whole numbers and exact, and what follows them is done number by number, without fused
 * operations: so a row's result is the same to the bit on every processor, whatever rows and
 * columns are computed together, and on how many threads. */
#ifndef MIXT_BACKEND_CPU_INT8_H
#define MIXT_BACKEND_CPU_INT8_H

#include "backend/backend.h"
#include "backend/cpu/gemm.h"

/* A matrix [in, out] of a weight: borrowed. */
struct int8_matrix {
    const int8_t *blocks; /* as backend/quantize.h orders them */
    const float *scales;  /* [out] */
    int64_t in, out;
};

/* Matrix `group` of a weight in int8, or the transpose of it if that is its form. */
struct int8_matrix int8_matrix_of(const struct weight *weight, bool transposed, int64_t group);

/* Asks the system for a matrix that is mapped from a file, without waiting for it. */
void int8_fetch(const struct int8_matrix *matrix);

/* Rows of x, rounded. Kernels read 31 rows past the last. */
struct int8_rows {
    int8_t *values; /* [rows, step] */
    float *scales;  /* [rows] */
    int32_t *sums;  /* [rows] of a row's values */
    int64_t step;   /* bytes from row to row: inputs, filled up with zeros to a multiple of 64 */
};

/* Rounds x [count, in] on all threads, into memory of the handle that the next call takes again.
 * values is NULL where there is none, and then the backend has the error. */
struct int8_rows int8_round_rows(struct backend *backend, const float *x, int64_t count,
                                 int64_t in);

/* Rows first_row .. and columns first_column .. of a product, on the calling thread:
 * y [n_rows, y_step] = end(rows matrix). first_column is a multiple of 16; the bias in `end` is
 * that of column 0. */
struct int8_part {
    int64_t first_row, n_rows, first_column, n_columns;
};
void int8_product(float *y, int64_t y_step, const struct int8_rows *rows,
                  const struct int8_matrix *matrix, struct int8_part part, struct gemm_end end);

/* y [rows, out] = end(x [rows, in] W), on all threads. */
void int8_linear(struct backend *backend, float *y, const float *x, int64_t rows,
                 const struct weight *weight, bool transposed, struct gemm_end end);

/* The same with n_groups matrices, and as many biases: as gemm_groups(). */
void int8_groups(struct backend *backend, float *y, const float *x, const int32_t *offsets,
                 int64_t n_groups, const struct weight *weight, bool transposed,
                 struct gemm_end end);

#endif
