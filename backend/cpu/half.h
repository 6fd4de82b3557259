/* Products in fp16 (half precision) on vectors of AVX512-FP16, twice as many numbers as of f32.
 *
 * The terms of a sum are taken in chunks of 128. A chunk's numbers of a row of the first operand,
 * or of a column of the second, are scaled by a power of two that brings the largest to 8 .. 16,
 * and rounded: gradients neither vanish nor overflow, whatever the loss's scale. The two halves of
 * a chunk are summed in fp16, which rounds less than one sum of all, then their sums, at most
 * 2^15; the sum of all chunks is kept in f32. Each has one fixed order, so that a row
 * of a product depends on nothing beside it, and a gradient not on the number of threads. */
#ifndef MIXT_BACKEND_CPU_HALF_H
#define MIXT_BACKEND_CPU_HALF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gemm_end;

/* Whether the processor and the compiler know AVX512-FP16. The functions below may be called only
 * then. */
bool half_is_there(void);

/* Bytes of a packed matrix [k, n]. */
size_t half_packed_bytes(int64_t k, int64_t n);

/* target, packed [k, n] and rounded, from source [k, n], or [n, k] when transposed. */
void half_pack(void *target, const float *source, bool transposed, int64_t k, int64_t n,
               int n_threads);

/* Bytes of working memory that a product, or a gradient, needs on so many threads. */
size_t half_product_bytes(int64_t k, int n_threads);
size_t half_gradient_bytes(int n_threads);

/* y [rows, n] = end(x [rows, k] packed [k, n]). */
void half_product(void *memory, const void *packed, float *y, const float *x, int64_t rows,
                  int64_t k, int64_t n, const struct gemm_end *end, int n_threads);

/* d_w [in, out] += x [rows, in]^T d_y [rows, out]. */
void half_gradient(void *memory, float *d_w, const float *x, const float *d_y, int64_t rows,
                   int64_t in, int64_t out, int n_threads);

#endif
