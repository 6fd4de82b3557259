/* Products of matrices, as cuBLAS and cuBLASLt make them, of row-major matrices.
 *
 * cuBLAS reads matrices by columns. A row-major matrix [r, c] read so is its transpose, and so the
 * transpose of c = a b, b^T a^T, is asked for, with the same memory. */
#ifndef MIXT_BACKEND_CUDA_PRODUCT_H
#define MIXT_BACKEND_CUDA_PRODUCT_H

#include "backend/cuda/context.h"

/* An operand: f32, or bf16. */
struct factor {
    const void *data;
    int64_t step;       /* numbers from one row as it lies to the next */
    int64_t batch_step; /* and from one matrix to the next */
    bool is_transposed; /* it lies as [k, m] instead of [m, k], or as [n, k] instead of [k, n] */
};

/* c [m, n] (+)= a [m, k] b [k, n], or n_batches of them. */
struct product {
    int64_t m, n, k;
    struct factor a, b;
    float *c;
    int64_t c_step, c_batch_step;
    int64_t n_batches; /* 0 and 1: one */
    bool accumulate;
    bool is_bf16;  /* a and b are */
    bool is_exact; /* f32 whatever the handle's compute type */
};

/* Creates and destroys what a handle needs for products. False: the backend has the error. */
bool product_open(struct backend *backend);
void product_close(struct context *context);

/* Enqueues. Nothing is done for m or n = 0; for k = 0 all sums are zero. */
void product_run(struct backend *backend, const struct product *product);

/* The same of one product, with bias [n] added, and then cut off below 0 where is_relu. False where
 * cuBLASLt has none of this kind, and nothing was done. */
bool product_run_biased(struct backend *backend, const struct product *product, const float *bias,
                        bool is_relu);

/* Products of one shape but for one size, by groups: group e has m or k = rows[e+1] - rows[e]. */
struct grouped_product {
    struct product one;      /* m or k is not used; the operands of group 0, where rows[0] is 0 */
    const int32_t *rows;     /* [n_groups+1] on the host */
    int64_t first, n_groups; /* groups first .. n_groups-1 are multiplied */
    const int32_t *places;   /* [n_groups] on the host: the matrices' places; NULL: e at e */
    bool is_k_grouped;       /* k varies, with rows of a and b; else m, with rows of a and c */
    int64_t b_group_step;    /* m varies: numbers from one group's b to the next's */
    int64_t c_group_step;    /* k varies: the same of c */
};

/* Enqueues all groups that have rows. */
void product_run_grouped(struct backend *backend, const struct grouped_product *grouped);

#endif
