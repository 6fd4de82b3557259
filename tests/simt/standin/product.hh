/* Matrix products on emulated device memory, for the stand-ins of cuBLAS and cuBLASLt:
 * d = epilogue(alpha a b + beta c), summed in double. */
#ifndef MIXT_TESTS_SIMT_STANDIN_PRODUCT_HH
#define MIXT_TESTS_SIMT_STANDIN_PRODUCT_HH

#include <cuda_runtime.h>
#include <library_types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

/* Element (i, j) lies at data[i * row_stride + j * col_stride]. */
struct standin_matrix {
    const void *data;
    cudaDataType type;
    int64_t rows, cols;
    int64_t row_stride, col_stride;
};

/* What the units of a fast compute type see of a float. */
enum standin_rounding {
    STANDIN_ROUNDING_NONE,
    STANDIN_ROUNDING_TF32, /* 10 bits of mantissa */
    STANDIN_ROUNDING_BF16, /* 7 bits */
};

/* What follows the product, in this order; NULL: not. */
struct standin_epilogue {
    void *bias; /* [rows of d], added */
    cudaDataType bias_type;
    bool relu;
    void *mask;         /* bits of what ReLU let through, column by column */
    int64_t mask_ld;    /* bits from one column to the next */
    bool mask_is_out;   /* written by the forward pass; else read, and what it forbids is 0 */
    void *gradient;     /* [rows of d] sums over d's columns, or as the next two say */
    bool gradient_of_a; /* [rows of d] sums over a's columns */
    bool gradient_of_b; /* [columns of d] sums over b's rows */
};

struct standin_product {
    const char *function;             /* for complaints */
    struct standin_matrix a, b, c, d; /* [m, k], [k, n], [m, n], [m, n]; c may be d */
    double alpha, beta;               /* alpha 0: a and b are not read; beta 0: c is not */
    enum standin_rounding rounding;
    struct standin_epilogue epilogue;
};

/* Bytes of an element; 0 for a type that the stand-ins do not know. */
size_t standin_type_bytes(cudaDataType type);

/* A float as a type stores it: to nearest, ties to even. */
double standin_round_bf16(double value);

/* What the units of a compute type see of it. */
double standin_rounded(double value, enum standin_rounding rounding);

/* One element from or to device memory, which must be accessible. */
double standin_load(const void *data, cudaDataType type, int64_t index);
void standin_store(void *data, cudaDataType type, int64_t index, double value);

/* A column-major matrix, or with `transposed` the transpose of one. */
struct standin_matrix standin_column_major(const void *data, cudaDataType type, int64_t rows,
                                           int64_t cols, int64_t ld, bool transposed);

/* Whether all its elements lie in device memory; complains if not. */
bool standin_matrix_in_device(const char *function, const char *what,
                              const struct standin_matrix *matrix);

/* Whether the operands lie in device memory; those that are not read are not looked at. */
bool standin_product_in_device(const struct standin_product *product);

/* Computes it; device memory must be accessible. */
void standin_product_run(const struct standin_product *product);

/* Leaves products to a stream, which use the workspace (NULL: none) as they like. */
void standin_enqueue_products(cudaStream_t stream, void *workspace, size_t workspace_bytes,
                              const std::vector<struct standin_product> &products);

#endif
