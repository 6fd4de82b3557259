/* Products by cuBLAS and cuBLASLt. */
#include "backend/cuda/product.h"

#include <limits.h>

static const float zero = 0, one = 1;

static cublasOperation_t operation(const struct factor *factor)
{
    return factor->is_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
}

static cudaDataType_t type_of(const struct product *product)
{
    return product->is_bf16 ? CUDA_R_16BF : CUDA_R_32F;
}

static cublasComputeType_t compute_of(const struct backend *backend, const struct product *product)
{
    const bool is_tf32 =
        backend->compute == COMPUTE_TF32 && !product->is_exact && !product->is_bf16;
    return is_tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
}

/* A dimension as cuBLAS counts. */
static int size_of(int64_t size)
{
    CHECK(size >= 0 && size <= INT_MAX, "%lld rows or columns", (long long)size);
    return (int)size;
}

/* Zeroes c, where there is nothing to sum; true when that is all there was to do. */
static bool is_done(struct backend *backend, const struct product *product)
{
    const int64_t n_batches = product->n_batches > 1 ? product->n_batches : 1;
    if (product->m == 0 || product->n == 0)
        return true;
    if (product->k > 0)
        return false;
    CHECK(product->c_step == product->n * n_batches, "a part of a matrix without sums");
    if (!product->accumulate)
        context_check(backend,
                      cudaMemsetAsync(product->c, 0,
                                      (size_t)(product->m * product->c_step) * sizeof(float),
                                      context_of(backend)->stream),
                      "product");
    return true;
}

void product_run(struct backend *backend, const struct product *product)
{
    const struct factor *a = &product->a, *b = &product->b;
    const cudaDataType_t type = type_of(product);
    const int m = size_of(product->m), n = size_of(product->n), k = size_of(product->k);
    const float *beta = product->accumulate ? &one : &zero;
    cublasHandle_t blas = context_of(backend)->blas;
    if (is_done(backend, product))
        return;
    if (product->n_batches > 1) {
        context_check_blas(
            backend,
            cublasGemmStridedBatchedEx(
                blas, operation(b), operation(a), n, m, k, &one, b->data, type, size_of(b->step),
                b->batch_step, a->data, type, size_of(a->step), a->batch_step, beta, product->c,
                CUDA_R_32F, size_of(product->c_step), product->c_batch_step,
                size_of(product->n_batches), compute_of(backend, product), CUBLAS_GEMM_DEFAULT),
            "products");
        return;
    }
    context_check_blas(backend,
                       cublasGemmEx(blas, operation(b), operation(a), n, m, k, &one, b->data, type,
                                    size_of(b->step), a->data, type, size_of(a->step), beta,
                                    product->c, CUDA_R_32F, size_of(product->c_step),
                                    compute_of(backend, product), CUBLAS_GEMM_DEFAULT),
                       "product");
}

/* -- with a bias, by cuBLASLt -- */

#define DESCRIBE(description, attribute, value)                                                    \
    cublasLtMatmulDescSetAttribute(description, attribute, &(value), sizeof(value))

static void lay_out(struct backend *backend, cublasLtMatrixLayout_t layout, cudaDataType_t type,
                    int64_t rows, int64_t columns, int64_t step)
{
    const uint32_t data_type = (uint32_t)type;
    const uint64_t n_rows = (uint64_t)rows, n_columns = (uint64_t)columns;
    const struct {
        cublasLtMatrixLayoutAttribute_t name;
        const void *value;
        size_t size;
    } attributes[] = {{CUBLASLT_MATRIX_LAYOUT_TYPE, &data_type, sizeof data_type},
                      {CUBLASLT_MATRIX_LAYOUT_ROWS, &n_rows, sizeof n_rows},
                      {CUBLASLT_MATRIX_LAYOUT_COLS, &n_columns, sizeof n_columns},
                      {CUBLASLT_MATRIX_LAYOUT_LD, &step, sizeof step}};
    for (size_t i = 0; i < sizeof attributes / sizeof *attributes; i++)
        context_check_blas(backend,
                           cublasLtMatrixLayoutSetAttribute(
                               layout, attributes[i].name, attributes[i].value, attributes[i].size),
                           "layout of a product");
}

/* A factor's rows and columns as cuBLASLt sees them: by columns, before its operation. */
static void lay_out_factor(struct backend *backend, cublasLtMatrixLayout_t layout,
                           const struct factor *factor, cudaDataType_t type, int64_t rows,
                           int64_t columns)
{
    if (factor->is_transposed)
        lay_out(backend, layout, type, columns, rows, factor->step);
    else
        lay_out(backend, layout, type, rows, columns, factor->step);
}

/* The largest power of 2, up to 256, that an address is a multiple of. */
static uint32_t alignment_of(const void *data)
{
    uint32_t alignment = 256;
    while ((uintptr_t)data % alignment != 0)
        alignment /= 2;
    return alignment;
}

/* By default cuBLASLt takes all operands to be aligned to 256 bytes. */
static void promise(struct backend *backend, const struct product *product)
{
    const struct {
        cublasLtMatmulPreferenceAttributes_t name;
        const void *data;
    } operands[] = {{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, product->b.data},
                    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, product->a.data},
                    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, product->c},
                    {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, product->c}};
    for (int i = 0; i < 4; i++) {
        const uint32_t alignment = alignment_of(operands[i].data);
        context_check_blas(backend,
                           cublasLtMatmulPreferenceSetAttribute(context_of(backend)->lt.preference,
                                                                operands[i].name, &alignment,
                                                                sizeof alignment),
                           "alignment of a product");
    }
}

static void describe(struct backend *backend, const struct product *product, const float *bias,
                     bool is_relu)
{
    const struct lt_description *lt = &context_of(backend)->lt;
    const cublasOperation_t first = operation(&product->b), second = operation(&product->a);
    const cublasLtEpilogue_t epilogue =
        is_relu ? CUBLASLT_EPILOGUE_RELU_BIAS : CUBLASLT_EPILOGUE_BIAS;
    const cublasComputeType_t compute = compute_of(backend, product);
    const char *what = "product";
    context_check_blas(backend, DESCRIBE(lt->product, CUBLASLT_MATMUL_DESC_TRANSA, first), what);
    context_check_blas(backend, DESCRIBE(lt->product, CUBLASLT_MATMUL_DESC_TRANSB, second), what);
    context_check_blas(backend, DESCRIBE(lt->product, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE, compute),
                       what);
    context_check_blas(backend, DESCRIBE(lt->product, CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue),
                       what);
    context_check_blas(backend, DESCRIBE(lt->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias),
                       what);
    lay_out_factor(backend, lt->a, &product->b, type_of(product), product->n, product->k);
    lay_out_factor(backend, lt->b, &product->a, type_of(product), product->k, product->m);
    lay_out(backend, lt->c, CUDA_R_32F, product->n, product->m, product->c_step);
    promise(backend, product);
}

bool product_run_biased(struct backend *backend, const struct product *product, const float *bias,
                        bool is_relu)
{
    struct context *context = context_of(backend);
    const struct lt_description *lt = &context->lt;
    cublasLtMatmulHeuristicResult_t found;
    int n_found = 0;
    if (product->m == 0 || product->n == 0 || product->k == 0)
        return product->m == 0 || product->n == 0;
    describe(backend, product, bias, is_relu);
    if (backend->error != STATUS_OK)
        return true;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(context->blas_lt, lt->product, lt->a, lt->b, lt->c, lt->c,
                                       lt->preference, 1, &found, &n_found);
    if (status == CUBLAS_STATUS_NOT_SUPPORTED || (status == CUBLAS_STATUS_SUCCESS && n_found == 0))
        return false;
    context_check_blas(backend, status, "product");
    if (backend->error == STATUS_OK)
        context_check_blas(backend,
                           cublasLtMatmul(context->blas_lt, lt->product, &one, product->b.data,
                                          lt->a, product->a.data, lt->b,
                                          product->accumulate ? &one : &zero, product->c, lt->c,
                                          product->c, lt->c, &found.algo, context->workspace,
                                          WORKSPACE_BYTES, context->stream),
                           "product");
    return true;
}

/* -- groups -- */

/* One group's product. */
static struct product group_of(const struct grouped_product *grouped, int64_t e)
{
    struct product product = grouped->one;
    const int64_t first = grouped->rows[e], count = grouped->rows[e + 1] - first;
    const int64_t size = product.is_bf16 ? 2 : (int64_t)sizeof(float);
    product.a.data = (const char *)product.a.data + first * product.a.step * size;
    if (grouped->is_k_grouped) {
        product.k = count;
        product.b.data = (const char *)product.b.data + first * product.b.step * size;
        product.c += e * grouped->c_group_step;
    } else {
        product.m = count;
        const int64_t place = grouped->places ? grouped->places[e] : e;
        product.b.data = (const char *)product.b.data + place * grouped->b_group_step * size;
        product.c += first * product.c_step;
    }
    return product;
}

static void run_one_by_one(struct backend *backend, const struct grouped_product *grouped)
{
    for (int64_t e = grouped->first; e < grouped->n_groups && backend->error == STATUS_OK; e++) {
        const struct product product = group_of(grouped, e);
        if (product.k > 0)
            product_run(backend, &product);
    }
}

/* What cublasGemmGroupedBatchedEx() wants of up to MOST_GROUPS groups, each of one product. */
enum { MOST_GROUPS = 512 };

struct groups {
    cublasOperation_t first[MOST_GROUPS], second[MOST_GROUPS];
    int n[MOST_GROUPS], m[MOST_GROUPS], k[MOST_GROUPS];
    int b_step[MOST_GROUPS], a_step[MOST_GROUPS], c_step[MOST_GROUPS], sizes[MOST_GROUPS];
    float alpha[MOST_GROUPS], beta[MOST_GROUPS];
    const void *pointers[3 * MOST_GROUPS]; /* b, a, c of all groups */
    int count;
};

static void add_group(struct groups *groups, const struct product *product)
{
    const int i = groups->count++;
    groups->first[i] = operation(&product->b);
    groups->second[i] = operation(&product->a);
    groups->n[i] = size_of(product->n);
    groups->m[i] = size_of(product->m);
    groups->k[i] = size_of(product->k);
    groups->b_step[i] = size_of(product->b.step);
    groups->a_step[i] = size_of(product->a.step);
    groups->c_step[i] = size_of(product->c_step);
    groups->sizes[i] = 1;
    groups->alpha[i] = 1;
    groups->beta[i] = product->accumulate ? 1 : 0;
    groups->pointers[i] = product->b.data;
    groups->pointers[MOST_GROUPS + i] = product->a.data;
    groups->pointers[2 * MOST_GROUPS + i] = product->c;
}

/* The groups' pointers, which cuBLAS reads on the device, go to `room`. */
static void run_groups(struct backend *backend, const struct grouped_product *grouped,
                       const struct groups *groups, const void **room)
{
    struct context *context = context_of(backend);
    const cudaDataType_t type = type_of(&grouped->one);
    context_upload(backend, room, groups->pointers, sizeof groups->pointers);
    if (backend->error != STATUS_OK)
        return;
    context_check_blas(
        backend,
        cublasGemmGroupedBatchedEx(
            context->blas, groups->first, groups->second, groups->n, groups->m, groups->k,
            groups->alpha, room, type, groups->b_step, room + MOST_GROUPS, type, groups->a_step,
            groups->beta, (void *const *)(uintptr_t)(room + 2 * (size_t)MOST_GROUPS), CUDA_R_32F,
            groups->c_step, groups->count, groups->sizes, compute_of(backend, &grouped->one)),
        "products of groups");
}

void product_run_grouped(struct backend *backend, const struct grouped_product *grouped)
{
    struct groups groups;
    const void **room = context_of(backend)->group_pointers;
    if (grouped->one.is_bf16) { /* of bf16 cuBLAS has grouped products to bf16 only */
        run_one_by_one(backend, grouped);
        return;
    }
    for (int64_t e = grouped->first; e < grouped->n_groups && backend->error == STATUS_OK;) {
        groups.count = 0;
        for (; e < grouped->n_groups && groups.count < MOST_GROUPS; e++) {
            if (grouped->rows[e] == grouped->rows[e + 1])
                continue;
            const struct product product = group_of(grouped, e);
            if (product.m > 0 && product.k > 0)
                add_group(&groups, &product);
        }
        if (groups.count > 0)
            run_groups(backend, grouped, &groups, room);
    }
}

/* -- a handle's own -- */

bool product_open(struct backend *backend)
{
    struct context *context = context_of(backend);
    struct lt_description *lt = &context->lt;
    const size_t limit = WORKSPACE_BYTES;
    const cublasStatus_t opened[] = {
        cublasCreate(&context->blas),
        cublasLtCreate(&context->blas_lt),
        cublasLtMatmulDescCreate(&lt->product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
        cublasLtMatrixLayoutCreate(&lt->a, CUDA_R_32F, 1, 1, 1),
        cublasLtMatrixLayoutCreate(&lt->b, CUDA_R_32F, 1, 1, 1),
        cublasLtMatrixLayoutCreate(&lt->c, CUDA_R_32F, 1, 1, 1),
        cublasLtMatmulPreferenceCreate(&lt->preference),
    };
    for (size_t i = 0; i < sizeof opened / sizeof *opened; i++)
        context_check_blas(backend, opened[i], "cuBLAS");
    context_check(backend, cudaMalloc(&context->workspace, WORKSPACE_BYTES), "cuBLAS's memory");
    context_check(backend,
                  cudaMalloc((void **)&context->group_pointers, 3 * MOST_GROUPS * sizeof(void *)),
                  "pointers of groups");
    if (backend->error != STATUS_OK)
        return false;
    context_check_blas(backend, cublasSetStream(context->blas, context->stream), "cuBLAS");
    /* With memory of its own, and one stream, cuBLAS gives the same bits every time. */
    context_check_blas(
        backend, cublasSetWorkspace(context->blas, context->workspace, WORKSPACE_BYTES), "cuBLAS");
    context_check_blas(
        backend,
        cublasLtMatmulPreferenceSetAttribute(
            lt->preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &limit, sizeof limit),
        "cuBLAS");
    return backend->error == STATUS_OK;
}

void product_close(struct context *context)
{
    struct lt_description *lt = &context->lt;
    if (lt->preference)
        (void)cublasLtMatmulPreferenceDestroy(lt->preference);
    const cublasLtMatrixLayout_t layouts[] = {lt->a, lt->b, lt->c};
    for (int i = 0; i < 3; i++)
        if (layouts[i])
            (void)cublasLtMatrixLayoutDestroy(layouts[i]);
    if (lt->product)
        (void)cublasLtMatmulDescDestroy(lt->product);
    if (context->blas_lt)
        (void)cublasLtDestroy(context->blas_lt);
    if (context->blas)
        (void)cublasDestroy(context->blas);
    (void)cudaFree(context->workspace);
    (void)cudaFree(context->group_pointers);
}
