/* Products of f32 matrices, computed in f32 or from operands rounded to bf16 or fp16, on the lanes
 * that speak to oneDNN.
 *
 * oneDNN compiles code for each shape it meets. To keep the number of shapes small, whatever the
 * batches look like, a product over many rows is cut into blocks from a short list of row counts.
 * That is allowed because each row of a product with a packed matrix comes out the same, to the
 * bit, in every block; where the library cannot promise this (processors without AVX-512), all
 * blocks have one fixed size and the last is filled up with zeros. */
#ifndef MIXT_BACKEND_CPU_GEMM_H
#define MIXT_BACKEND_CPU_GEMM_H

#include "backend/backend.h"

struct gemm;        /* a handle's compiled shapes and working memory */
struct gemm_layout; /* how the library wants a packed matrix [K, N] */

/* What happens to a product before it is stored. */
struct gemm_end {
    const float *bias; /* [N] or NULL */
    enum activation activation;
    bool accumulate; /* y += ...; no activation then */
};

/* Returns NULL, with the status message set, when oneDNN or the memory fails. */
struct gemm *gemm_open(int n_threads, enum compute compute);
void gemm_close(struct gemm *gemm);

/* A layout for matrices [k, n], or NULL with the error in the backend; and the bytes it takes.
 * Exact: in f32 whatever the handle rounds to. */
struct gemm_layout *gemm_layout_open(struct backend *backend, int64_t k, int64_t n, bool is_exact);
void gemm_layout_close(struct gemm_layout *layout);
size_t gemm_layout_bytes(const struct gemm_layout *layout);
int64_t gemm_layout_k(const struct gemm_layout *layout);
int64_t gemm_layout_n(const struct gemm_layout *layout);

/* Packs `count` matrices, each k*n floats after the one before; transposed: they are stored
 * [n, k]. Each target is gemm_layout_bytes() after the one before. */
void gemm_pack(struct backend *backend, const struct gemm_layout *layout, void *target,
               const float *source, bool transposed, int64_t count);

/* y [rows, n] = end(x [rows, k] packed [k, n]), on all threads. */
void gemm_rows(struct backend *backend, const struct gemm_layout *layout, const void *packed,
               float *y, const float *x, int64_t rows, struct gemm_end end);

/* Matrices of one layout, one after the other. */
struct gemm_matrices {
    const struct gemm_layout *layout;
    const void *packed;  /* NULL: a thread packs the one that it needs ... */
    const float *source; /* ... from here, [k, n] each, or [n, k] where transposed */
    bool transposed;
};

/* The same with n_groups matrices and as many biases: group g has rows offsets[g] ..
 * offsets[g+1]-1. */
void gemm_groups(struct backend *backend, const struct gemm_matrices *matrices, float *y,
                 const float *x, const int32_t *offsets, int64_t n_groups, struct gemm_end end);

/* d_w [in, out] += x [rows, in]^T d_y [rows, out]. */
void gemm_gradient(struct backend *backend, float *d_w, const float *x, const float *d_y,
                   int64_t rows, int64_t in, int64_t out);
/* The same on the calling thread alone, one of a team; false when it failed, which
 * gemm_message() tells. */
bool gemm_gradient_alone(const struct backend *backend, float *d_w, const float *x,
                         const float *d_y, int64_t rows, int64_t in, int64_t out);
const char *gemm_message(const struct backend *backend);

void gemm_gradient_groups(struct backend *backend, float *d_w, const float *x, const float *d_y,
                          const int32_t *offsets, int64_t n_groups, int64_t in, int64_t out);

#endif
