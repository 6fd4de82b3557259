/* Products in bf16 on the tiles of AMX: sums in f32, each in one fixed order, so that a row of a
 * product depends on nothing beside it, and a gradient not on the number of threads.
 *
 * A tile holds 16 rows of 64 bytes. One instruction adds the product of 16 rows of 32 numbers and
 * of 32 rows of 16 numbers to 16 by 16 sums; the second operand lies in pairs of rows. Products go
 * in squares of 2 by 2 tiles. */
#ifndef MIXT_BACKEND_CPU_AMX_H
#define MIXT_BACKEND_CPU_AMX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct gemm_end;

/* Whether the processor has the tiles and the system lets the process use them. The functions below
 * may be called only then. */
bool amx_is_there(void);

/* Bytes of a packed matrix [k, n]. */
size_t amx_packed_bytes(int64_t k, int64_t n);

/* target, packed [k, n] and rounded, from source [k, n], or [n, k] when transposed. */
void amx_pack(void *target, const float *source, bool transposed, int64_t k, int64_t n,
              int n_threads);

/* Bytes of working memory that a product, or a gradient, needs on so many threads. */
size_t amx_product_bytes(int64_t k, int n_threads);
size_t amx_gradient_bytes(int n_threads);

/* y [rows, n] = end(x [rows, k] packed [k, n]). */
void amx_product(void *memory, const void *packed, float *y, const float *x, int64_t rows,
                 int64_t k, int64_t n, const struct gemm_end *end, int n_threads);

/* d_w [in, out] += x [rows, in]^T d_y [rows, out]. */
void amx_gradient(void *memory, float *d_w, const float *x, const float *d_y, int64_t rows,
                  int64_t in, int64_t out, int n_threads);

#endif
