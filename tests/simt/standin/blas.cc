/* Stand-in of cuBLAS: products of f32, bf16 and int8, checked as the manual says.
 *
 * Scalars are read in the call, from the host; the other pointer mode is refused, as are float16
 * and complex numbers. Where the manual leaves a choice (which scratch is used, what is kept of a
 * float), it takes the one that hurts. */
#include "tests/simt/standin/blas.hh"

#include <initializer_list>
#include <vector>

#include "tests/simt/device.h"
#include "tests/simt/standin/product.hh"
#include "tests/simt/standin/standin.hh"
#include "tests/simt/standin/work.hh"

/* One call: all matrices of a batch have these sizes. */
struct gemm {
    const char *function;
    cublasOperation_t transa, transb;
    int64_t m, n, k;
    cudaDataType ab_type, c_type;
    int64_t lda, ldb, ldc;
    cublasComputeType_t compute;
};

static bool is_operation(cublasOperation_t operation)
{
    return operation == CUBLAS_OP_N || operation == CUBLAS_OP_T || operation == CUBLAS_OP_C;
}

static bool is_ld(const char *function, const char *name, int64_t ld, int64_t rows)
{
    if (ld >= (rows > 1 ? rows : 1))
        return true;
    standin_complain(function, "%s %lld is less than the %lld rows", name, (long long)ld,
                     (long long)rows);
    return false;
}

static cublasStatus_t check_sizes(const struct gemm *g)
{
    if (!is_operation(g->transa) || !is_operation(g->transb) || g->m < 0 || g->n < 0 || g->k < 0) {
        standin_complain(g->function, "operation %d %d of m %lld n %lld k %lld", g->transa,
                         g->transb, (long long)g->m, (long long)g->n, (long long)g->k);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const bool is_good =
        is_ld(g->function, "lda", g->lda, g->transa == CUBLAS_OP_N ? g->m : g->k) &&
        is_ld(g->function, "ldb", g->ldb, g->transb == CUBLAS_OP_N ? g->k : g->n) &&
        is_ld(g->function, "ldc", g->ldc, g->m);
    return is_good ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

/* The rows of the manual's tables of compute types that mixt could want. */
static bool is_supported(const struct gemm *g, bool is_grouped)
{
    switch (g->compute) {
    case CUBLAS_COMPUTE_32I:
    case CUBLAS_COMPUTE_32I_PEDANTIC:
        return !is_grouped && g->ab_type == CUDA_R_8I && g->c_type == CUDA_R_32I;
    case CUBLAS_COMPUTE_32F:
        if (g->ab_type == CUDA_R_16BF)
            return g->c_type == CUDA_R_16BF || (!is_grouped && g->c_type == CUDA_R_32F);
        return g->ab_type == CUDA_R_32F && g->c_type == CUDA_R_32F;
    case CUBLAS_COMPUTE_32F_PEDANTIC:
        if (g->ab_type == CUDA_R_16BF && !is_grouped)
            return g->c_type == CUDA_R_16BF || g->c_type == CUDA_R_32F;
        return g->ab_type == CUDA_R_32F && g->c_type == CUDA_R_32F;
    case CUBLAS_COMPUTE_32F_FAST_16BF:
        return !is_grouped && g->ab_type == CUDA_R_32F && g->c_type == CUDA_R_32F;
    case CUBLAS_COMPUTE_32F_FAST_TF32:
        return g->ab_type == CUDA_R_32F && g->c_type == CUDA_R_32F;
    default:
        return false;
    }
}

static cublasStatus_t check_types(const struct gemm *g, bool is_grouped)
{
    if (is_supported(g, is_grouped))
        return CUBLAS_STATUS_SUCCESS;
    standin_complain(g->function, "no product of type %d into %d with compute type %d", g->ab_type,
                     g->c_type, g->compute);
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

/* Products of int8 take whole words: pointers and leading dimensions in fours. */
static cublasStatus_t check_words(const struct gemm *g, const void *a, const void *b)
{
    if (g->ab_type != CUDA_R_8I ||
        ((uintptr_t)a % 4 == 0 && (uintptr_t)b % 4 == 0 && g->lda % 4 == 0 && g->ldb % 4 == 0))
        return CUBLAS_STATUS_SUCCESS;
    standin_complain(g->function, "int8: A, B, lda %lld and ldb %lld must be multiples of 4",
                     (long long)g->lda, (long long)g->ldb);
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

static double scalar(const void *value, cublasComputeType_t compute)
{
    if (compute == CUBLAS_COMPUTE_32I || compute == CUBLAS_COMPUTE_32I_PEDANTIC)
        return *static_cast<const int32_t *>(value);
    return *static_cast<const float *>(value);
}

/* TF32 may be allowed by the compute type or by the handle's mode. */
static enum standin_rounding rounding_of(const struct gemm *g, cublasMath_t math)
{
    if (g->ab_type != CUDA_R_32F)
        return STANDIN_ROUNDING_NONE;
    if (g->compute == CUBLAS_COMPUTE_32F_FAST_16BF)
        return STANDIN_ROUNDING_BF16;
    const bool is_mode = (math & 0xf) == CUBLAS_TF32_TENSOR_OP_MATH;
    if (g->compute == CUBLAS_COMPUTE_32F_FAST_TF32 || (is_mode && g->compute == CUBLAS_COMPUTE_32F))
        return STANDIN_ROUNDING_TF32;
    return STANDIN_ROUNDING_NONE;
}

static struct standin_product product_of(const struct gemm *g, cublasMath_t math, double alpha,
                                         double beta)
{
    struct standin_product p = {};
    p.function = g->function;
    p.alpha = alpha;
    p.beta = beta;
    p.rounding = rounding_of(g, math);
    p.a = standin_column_major(NULL, g->ab_type, g->m, g->k, g->lda, g->transa != CUBLAS_OP_N);
    p.b = standin_column_major(NULL, g->ab_type, g->k, g->n, g->ldb, g->transb != CUBLAS_OP_N);
    p.c = p.d = standin_column_major(NULL, g->c_type, g->m, g->n, g->ldc, false);
    return p;
}

static void set_operands(struct standin_product *p, const void *a, const void *b, void *c)
{
    p->a.data = a;
    p->b.data = b;
    p->c.data = p->d.data = c;
}

static void enqueue(cublasHandle_t handle, const std::vector<struct standin_product> &products)
{
    standin_enqueue_products(handle->stream, handle->workspace, handle->workspace_bytes, products);
}

/* Each product of a batch at its stride from the one before. */
static cublasStatus_t strided(cublasHandle_t handle, const struct gemm *g, const void *alpha,
                              const void *a, long long stride_a, const void *b, long long stride_b,
                              const void *beta, void *c, long long stride_c, int batch)
{
    if (!alpha || !beta || batch < 0) {
        standin_complain(g->function, "alpha %p beta %p batch %d", alpha, beta, batch);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    struct standin_product p =
        product_of(g, handle->math, scalar(alpha, g->compute), scalar(beta, g->compute));
    const long long size = (long long)standin_type_bytes(g->ab_type);
    const long long c_size = (long long)standin_type_bytes(g->c_type);
    /* Behind one another, or side by side within the rows of c. */
    const bool is_behind = stride_c >= g->ldc * (g->n - 1) + g->m;
    const bool is_beside = stride_c >= g->m && stride_c * (batch - 1) + g->m <= g->ldc;
    if (batch > 1 && g->m && g->n && !is_behind && !is_beside) {
        standin_complain(g->function, "results of a batch overlap: stride %lld", stride_c);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    std::vector<struct standin_product> products;
    for (int i = 0; i < batch; i++) {
        set_operands(&p, (const char *)a + i * stride_a * size,
                     (const char *)b + i * stride_b * size, (char *)c + i * stride_c * c_size);
        if (!standin_product_in_device(&p))
            return CUBLAS_STATUS_EXECUTION_FAILED;
        products.push_back(p);
    }
    enqueue(handle, products);
    return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t check(cublasHandle_t handle, const struct gemm *g, const void *a,
                            const void *b)
{
    cublasStatus_t status = blas_enter(g->function, handle);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = check_sizes(g);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = check_types(g, false);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = check_words(g, a, b);
    return status;
}

cublasStatus_t cublasGemmStridedBatchedEx(cublasHandle_t handle, cublasOperation_t transa,
                                          cublasOperation_t transb, int m, int n, int k,
                                          const void *alpha, const void *A, cudaDataType Atype,
                                          int lda, long long int strideA, const void *B,
                                          cudaDataType Btype, int ldb, long long int strideB,
                                          const void *beta, void *C, cudaDataType Ctype, int ldc,
                                          long long int strideC, int batchCount,
                                          cublasComputeType_t computeType, cublasGemmAlgo_t algo)
{
    (void)algo;
    const struct gemm g = {__func__, transa, transb, m,   n,   k,
                           Atype,    Ctype,  lda,    ldb, ldc, computeType};
    const cublasStatus_t status = check(handle, &g, A, B);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    if (Atype != Btype)
        return CUBLAS_STATUS_NOT_SUPPORTED;
    return strided(handle, &g, alpha, A, strideA, B, strideB, beta, C, strideC, batchCount);
}

cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transa,
                            cublasOperation_t transb, int m, int n, int k, const void *alpha,
                            const void *A, cudaDataType Atype, int lda, const void *B,
                            cudaDataType Btype, int ldb, const void *beta, void *C,
                            cudaDataType Ctype, int ldc, cublasComputeType_t computeType,
                            cublasGemmAlgo_t algo)
{
    return cublasGemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, A, Atype, lda, 0, B,
                                      Btype, ldb, 0, beta, C, Ctype, ldc, 0, 1, computeType, algo);
}

cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t handle, cublasOperation_t transa,
                                         cublasOperation_t transb, int m, int n, int k,
                                         const float *alpha, const float *A, int lda,
                                         long long int strideA, const float *B, int ldb,
                                         long long int strideB, const float *beta, float *C,
                                         int ldc, long long int strideC, int batchCount)
{
    return cublasGemmStridedBatchedEx(handle, transa, transb, m, n, k, alpha, A, CUDA_R_32F, lda,
                                      strideA, B, CUDA_R_32F, ldb, strideB, beta, C, CUDA_R_32F,
                                      ldc, strideC, batchCount, CUBLAS_COMPUTE_32F,
                                      CUBLAS_GEMM_DEFAULT);
}

cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t transa,
                              cublasOperation_t transb, int m, int n, int k, const float *alpha,
                              const float *A, int lda, const float *B, int ldb, const float *beta,
                              float *C, int ldc)
{
    return cublasSgemmStridedBatched(handle, transa, transb, m, n, k, alpha, A, lda, 0, B, ldb, 0,
                                     beta, C, ldc, 0, 1);
}

/* y = alpha op(A) x + beta y: a product with one column. */
cublasStatus_t cublasSgemv_v2(cublasHandle_t handle, cublasOperation_t trans, int m, int n,
                              const float *alpha, const float *A, int lda, const float *x, int incx,
                              const float *beta, float *y, int incy)
{
    cublasStatus_t status = blas_enter(__func__, handle);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    if (!is_operation(trans) || m < 0 || n < 0 || incx <= 0 || incy <= 0 || !alpha || !beta ||
        !is_ld(__func__, "lda", lda, m))
        return CUBLAS_STATUS_INVALID_VALUE;
    const bool transposed = trans != CUBLAS_OP_N;
    const int rows = transposed ? n : m, cols = transposed ? m : n;
    const struct gemm g = {__func__,   trans,      CUBLAS_OP_N, rows, 1, cols,
                           CUDA_R_32F, CUDA_R_32F, lda,         cols, 1, CUBLAS_COMPUTE_32F};
    struct standin_product p = product_of(&g, handle->math, *alpha, *beta);
    p.b.row_stride = incx;
    p.c.row_stride = p.d.row_stride = incy;
    set_operands(&p, A, x, y);
    if (!standin_product_in_device(&p))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    enqueue(handle, {p});
    return CUBLAS_STATUS_SUCCESS;
}

/* Products whose operands are found when they run: the arrays of pointers lie on the device. */
struct group {
    struct standin_product product;
    int64_t first, count; /* in the arrays of pointers */
};

/* What the manual asks of the operands of tensor cores. */
static size_t wanted_alignment(const struct standin_product *p)
{
    const bool is_fast = p->a.type == CUDA_R_16BF || p->rounding != STANDIN_ROUNDING_NONE;
    if (is_fast && p->a.cols % 8 == 0)
        return 16;
    if (is_fast && p->a.cols % 2 == 0)
        return 4;
    return standin_type_bytes(p->a.type);
}

static bool is_aligned(const struct standin_product *p)
{
    const size_t alignment = wanted_alignment(p);
    for (const void *operand : {p->a.data, p->b.data, p->d.data})
        if ((uintptr_t)operand % alignment) {
            standin_report(p->function, "%p is not aligned to %zu bytes", operand, alignment);
            return false;
        }
    return true;
}

struct pointer_arrays {
    const void *const *a, *const *b;
    void *const *c;
};

static void run_groups(const struct pointer_arrays *arrays, const struct group *groups, size_t n)
{
    for (size_t g = 0; g < n; g++) {
        const size_t first = (size_t)groups[g].first, count = (size_t)groups[g].count;
        const size_t bytes = count * sizeof(void *);
        simt_check_read(arrays->a + first, bytes, "grouped product: Aarray");
        simt_check_read(arrays->b + first, bytes, "grouped product: Barray");
        simt_check_read(arrays->c + first, bytes, "grouped product: Carray");
        for (size_t i = first; i < first + count; i++) {
            struct standin_product p = groups[g].product;
            set_operands(&p, arrays->a[i], arrays->b[i], arrays->c[i]);
            if (p.d.rows && p.d.cols && standin_product_in_device(&p) && is_aligned(&p))
                standin_product_run(&p);
        }
    }
}

static cublasStatus_t add_group(const struct gemm *g, int size)
{
    if (size < 0) {
        standin_complain(g->function, "a group of %d", size);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    const cublasStatus_t status = check_sizes(g);
    return status == CUBLAS_STATUS_SUCCESS ? check_types(g, true) : status;
}

static bool is_null(const char *function, std::initializer_list<const void *> pointers)
{
    for (const void *pointer : pointers)
        if (!pointer) {
            standin_complain(function, "an array is NULL");
            return true;
        }
    return false;
}

cublasStatus_t cublasGemmGroupedBatchedEx(
    cublasHandle_t handle, const cublasOperation_t transa_array[],
    const cublasOperation_t transb_array[], const int m_array[], const int n_array[],
    const int k_array[], const void *alpha_array, const void *const Aarray[], cudaDataType_t Atype,
    const int lda_array[], const void *const Barray[], cudaDataType_t Btype, const int ldb_array[],
    const void *beta_array, void *const Carray[], cudaDataType_t Ctype, const int ldc_array[],
    int group_count, const int group_size[], cublasComputeType_t computeType)
{
    const cublasStatus_t entered = blas_enter(__func__, handle);
    if (entered != CUBLAS_STATUS_SUCCESS)
        return entered;
    if (group_count < 0 || Atype != Btype)
        return CUBLAS_STATUS_INVALID_VALUE;
    if (group_count == 0)
        return CUBLAS_STATUS_SUCCESS;
    if (is_null(__func__, {transa_array, transb_array, m_array, n_array, k_array, alpha_array,
                           lda_array, ldb_array, beta_array, ldc_array, group_size}))
        return CUBLAS_STATUS_INVALID_VALUE;
    std::vector<struct group> groups;
    int64_t n_products = 0;
    for (int i = 0; i < group_count; i++) {
        const struct gemm g = {__func__,     transa_array[i], transb_array[i], m_array[i],
                               n_array[i],   k_array[i],      Atype,           Ctype,
                               lda_array[i], ldb_array[i],    ldc_array[i],    computeType};
        const cublasStatus_t status = add_group(&g, group_size[i]);
        if (status != CUBLAS_STATUS_SUCCESS)
            return status;
        const double alpha = static_cast<const float *>(alpha_array)[i];
        const double beta = static_cast<const float *>(beta_array)[i];
        groups.push_back({product_of(&g, handle->math, alpha, beta), n_products, group_size[i]});
        n_products += group_size[i];
    }
    const size_t bytes = (size_t)n_products * sizeof(void *);
    if (!standin_in_device(__func__, "Aarray", Aarray, bytes, sizeof(void *)) ||
        !standin_in_device(__func__, "Barray", Barray, bytes, sizeof(void *)) ||
        !standin_in_device(__func__, "Carray", Carray, bytes, sizeof(void *)))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    const struct pointer_arrays arrays = {Aarray, Barray, Carray};
    standin_enqueue(handle->stream, run_groups, arrays, groups);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasSgemmGroupedBatched(cublasHandle_t handle, const cublasOperation_t transa_array[],
                          const cublasOperation_t transb_array[], const int m_array[],
                          const int n_array[], const int k_array[], const float alpha_array[],
                          const float *const Aarray[], const int lda_array[],
                          const float *const Barray[], const int ldb_array[],
                          const float beta_array[], float *const Carray[], const int ldc_array[],
                          int group_count, const int group_size[])
{
    return cublasGemmGroupedBatchedEx(handle, transa_array, transb_array, m_array, n_array, k_array,
                                      alpha_array, (const void *const *)Aarray, CUDA_R_32F,
                                      lda_array, (const void *const *)Barray, CUDA_R_32F, ldb_array,
                                      beta_array, (void *const *)Carray, CUDA_R_32F, ldc_array,
                                      group_count, group_size, CUBLAS_COMPUTE_32F);
}
