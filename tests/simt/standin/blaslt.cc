/* Stand-in of cuBLASLt: the choice of an algorithm, and the product with its epilogue.
 *
 * An algorithm fits the very problem that the heuristic was asked about and the alignments that
 * the preference promised; it wants as much workspace as a number drawn from the problem says,
 * within the preference. */
#include "tests/simt/standin/blaslt.hh"

#include <string.h>

#include <vector>

#include "tests/simt/device.h"
#include "tests/simt/standin/product.hh"
#include "tests/simt/standin/standin.hh"

/* A product as the descriptors give it; m, n and k after the operations. */
struct problem {
    const char *function;
    const struct blaslt_descriptor *desc, *a, *b, *c, *d;
    int64_t m, n, k;
    int64_t epilogue;
};

/* What is in a cublasLtMatmulAlgo_t. */
struct algorithm {
    uint64_t magic;
    uint64_t fingerprint; /* of the problem */
    uint64_t workspace_bytes;
    uint16_t alignment[5]; /* of A, B, C, D and the bias */
};

static const uint64_t MAGIC = 0x6d69787453494d54u;
static_assert(sizeof(struct algorithm) <= sizeof(cublasLtMatmulAlgo_t), "it has room");

static int64_t rows(const struct blaslt_descriptor *layout)
{
    return blaslt_int(layout, CUBLASLT_MATRIX_LAYOUT_ROWS);
}

static int64_t cols(const struct blaslt_descriptor *layout)
{
    return blaslt_int(layout, CUBLASLT_MATRIX_LAYOUT_COLS);
}

static cudaDataType type_of(const struct blaslt_descriptor *layout)
{
    return (cudaDataType)blaslt_int(layout, CUBLASLT_MATRIX_LAYOUT_TYPE);
}

static bool is_row_order(const struct blaslt_descriptor *layout)
{
    return blaslt_int(layout, CUBLASLT_MATRIX_LAYOUT_ORDER) == CUBLASLT_ORDER_ROW;
}

static bool is_transposed(const struct problem *p, int attribute)
{
    return blaslt_int(p->desc, attribute) != CUBLAS_OP_N;
}

static bool find_all(struct problem *p, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                     cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d)
{
    p->desc = blaslt_matmul_desc(p->function, desc);
    p->a = blaslt_layout(p->function, a);
    p->b = blaslt_layout(p->function, b);
    p->c = blaslt_layout(p->function, c);
    p->d = blaslt_layout(p->function, d);
    if (!p->desc || !p->a || !p->b || !p->c || !p->d)
        return false;
    p->epilogue = blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE);
    p->m = rows(p->d);
    p->n = cols(p->d);
    p->k = is_transposed(p, CUBLASLT_MATMUL_DESC_TRANSA) ? rows(p->a) : cols(p->a);
    return true;
}

static bool has_shape(const struct problem *p, const char *name,
                      const struct blaslt_descriptor *layout, int64_t n_rows, int64_t n_cols)
{
    const int64_t ld = blaslt_int(layout, CUBLASLT_MATRIX_LAYOUT_LD);
    if (rows(layout) == n_rows && cols(layout) == n_cols &&
        ld >= (is_row_order(layout) ? n_cols : n_rows))
        return true;
    standin_complain(p->function, "%s is [%lld, %lld] with ld %lld, not [%lld, %lld]", name,
                     (long long)rows(layout), (long long)cols(layout), (long long)ld,
                     (long long)n_rows, (long long)n_cols);
    return false;
}

static bool has_shapes(const struct problem *p)
{
    const bool ta = is_transposed(p, CUBLASLT_MATMUL_DESC_TRANSA);
    const bool tb = is_transposed(p, CUBLASLT_MATMUL_DESC_TRANSB);
    return has_shape(p, "A", p->a, ta ? p->k : p->m, ta ? p->m : p->k) &&
           has_shape(p, "B", p->b, tb ? p->n : p->k, tb ? p->k : p->n) &&
           has_shape(p, "C", p->c, p->m, p->n) && has_shape(p, "D", p->d, p->m, p->n);
}

/* Rows of the manual's table of types. */
static bool has_types(const struct problem *p)
{
    const cudaDataType ab = type_of(p->a), d = type_of(p->d);
    const int64_t scale = blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_SCALE_TYPE);
    if (type_of(p->b) != ab || type_of(p->c) != d)
        return false;
    switch (blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE)) {
    case CUBLAS_COMPUTE_32F:
    case CUBLAS_COMPUTE_32F_PEDANTIC:
        if (ab == CUDA_R_16BF)
            return scale == CUDA_R_32F && (d == CUDA_R_16BF || d == CUDA_R_32F);
        return scale == CUDA_R_32F && ab == CUDA_R_32F && d == CUDA_R_32F;
    case CUBLAS_COMPUTE_32F_FAST_TF32:
    case CUBLAS_COMPUTE_32F_FAST_16BF:
        return scale == CUDA_R_32F && ab == CUDA_R_32F && d == CUDA_R_32F;
    case CUBLAS_COMPUTE_32I:
        return scale == CUDA_R_32I && ab == CUDA_R_8I && d == CUDA_R_32I;
    default:
        return false;
    }
}

/* Integer tensor cores, with plain layouts: A transposed, B not, everything in fours. */
static bool fits_integers(const struct problem *p)
{
    if (type_of(p->a) != CUDA_R_8I)
        return true;
    return is_transposed(p, CUBLASLT_MATMUL_DESC_TRANSA) &&
           !is_transposed(p, CUBLASLT_MATMUL_DESC_TRANSB) &&
           p->epilogue == CUBLASLT_EPILOGUE_DEFAULT && p->m % 4 == 0 && p->k % 4 == 0 &&
           blaslt_int(p->a, CUBLASLT_MATRIX_LAYOUT_LD) % 4 == 0 &&
           blaslt_int(p->b, CUBLASLT_MATRIX_LAYOUT_LD) % 4 == 0 &&
           blaslt_int(p->d, CUBLASLT_MATRIX_LAYOUT_LD) % 4 == 0;
}

static bool wants_bias(int64_t epilogue)
{
    return epilogue & CUBLASLT_EPILOGUE_BIAS;
}

static bool wants_mask(int64_t epilogue)
{
    return epilogue & 128;
}

static bool wants_gradient(int64_t epilogue)
{
    return epilogue & (16 | CUBLASLT_EPILOGUE_BGRADA | CUBLASLT_EPILOGUE_BGRADB);
}

static bool has_epilogue(const struct problem *p)
{
    const int64_t bias_type = blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE);
    switch (p->epilogue) {
    case CUBLASLT_EPILOGUE_DEFAULT:
        return true;
    case CUBLASLT_EPILOGUE_RELU:
    case CUBLASLT_EPILOGUE_RELU_AUX:
    case CUBLASLT_EPILOGUE_BIAS:
    case CUBLASLT_EPILOGUE_RELU_BIAS:
    case CUBLASLT_EPILOGUE_RELU_AUX_BIAS:
    case CUBLASLT_EPILOGUE_DRELU:
    case CUBLASLT_EPILOGUE_DRELU_BGRAD:
    case CUBLASLT_EPILOGUE_BGRADA:
    case CUBLASLT_EPILOGUE_BGRADB:
        /* A vector along the rows fits the column order only. */
        return !is_row_order(p->d) && (bias_type == -1 || bias_type == (int64_t)type_of(p->d));
    default:
        return false;
    }
}

static bool has_batch(const struct problem *p)
{
    const int64_t count = blaslt_int(p->d, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
    for (const struct blaslt_descriptor *layout : {p->a, p->b, p->c})
        if (blaslt_int(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) != count)
            return false;
    return count >= 1;
}

static bool is_plain(const struct problem *p)
{
    for (const struct blaslt_descriptor *layout : {p->a, p->b, p->c, p->d}) {
        const int64_t order = blaslt_int(layout, CUBLASLT_MATRIX_LAYOUT_ORDER);
        if (order != CUBLASLT_ORDER_COL && order != CUBLASLT_ORDER_ROW)
            return false;
    }
    return is_row_order(p->c) == is_row_order(p->d) &&
           blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_TRANSC) == CUBLAS_OP_N &&
           blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_FILL_MODE) == CUBLAS_FILL_MODE_FULL &&
           blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_POINTER_MODE) == CUBLASLT_POINTER_MODE_HOST;
}

/* Empty products are refused here, unlike in cuBLAS. */
static cublasStatus_t check(const struct problem *p)
{
    const bool is_supported = p->m > 0 && p->n > 0 && p->k > 0 && has_types(p) && is_plain(p) &&
                              has_batch(p) && has_epilogue(p) && fits_integers(p);
    if (!has_shapes(p))
        return CUBLAS_STATUS_INVALID_VALUE;
    if (is_supported)
        return CUBLAS_STATUS_SUCCESS;
    standin_complain(p->function,
                     "not supported: m %lld n %lld k %lld, types %d -> %d, compute %lld, "
                     "epilogue %lld, trans %d %d",
                     (long long)p->m, (long long)p->n, (long long)p->k, (int)type_of(p->a),
                     (int)type_of(p->d),
                     (long long)blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE),
                     (long long)p->epilogue, is_transposed(p, CUBLASLT_MATMUL_DESC_TRANSA),
                     is_transposed(p, CUBLASLT_MATMUL_DESC_TRANSB));
    return CUBLAS_STATUS_NOT_SUPPORTED;
}

/* Everything that the choice may depend on: all but the addresses. */
static uint64_t fingerprint(const struct problem *p)
{
    uint64_t hash = MAGIC;
    for (const struct blaslt_descriptor *descriptor : {p->desc, p->a, p->b, p->c, p->d})
        for (const auto &entry : descriptor->attribute)
            if (descriptor != p->desc || (entry.first != CUBLASLT_MATMUL_DESC_BIAS_POINTER &&
                                          entry.first != CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER))
                hash = standin_hash(hash ^ standin_hash((uint64_t)entry.first) ^ entry.second);
    return hash;
}

static uint16_t alignment_of(const void *pointer, uint16_t most)
{
    uint16_t alignment = most;
    while ((uintptr_t)pointer % alignment)
        alignment /= 2;
    return alignment;
}

static struct algorithm choose(const struct problem *p, uint64_t most_workspace)
{
    struct algorithm algorithm = {};
    algorithm.magic = MAGIC;
    algorithm.fingerprint = fingerprint(p);
    const uint64_t wanted = 256 * (algorithm.fingerprint % 64);
    algorithm.workspace_bytes = wanted < most_workspace ? wanted : most_workspace;
    algorithm.alignment[4] =
        alignment_of(blaslt_pointer(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER), 16);
    return algorithm;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t operationDesc, cublasLtMatrixLayout_t Adesc,
    cublasLtMatrixLayout_t Bdesc, cublasLtMatrixLayout_t Cdesc, cublasLtMatrixLayout_t Ddesc,
    cublasLtMatmulPreference_t preference, int requestedAlgoCount,
    cublasLtMatmulHeuristicResult_t heuristicResultsArray[], int *returnAlgoCount)
{
    static const int attributes[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    struct problem p = {};
    p.function = __func__;
    cublasStatus_t status = blaslt_enter(__func__, lightHandle);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    const struct blaslt_descriptor *wish = blaslt_preference(__func__, preference);
    if (!wish || requestedAlgoCount < 1 || !heuristicResultsArray || !returnAlgoCount ||
        !find_all(&p, operationDesc, Adesc, Bdesc, Cdesc, Ddesc))
        return CUBLAS_STATUS_INVALID_VALUE;
    *returnAlgoCount = 0;
    status = check(&p);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    const uint64_t most = (uint64_t)blaslt_int(wish, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
    struct algorithm algorithm = choose(&p, most);
    for (int i = 0; i < 4; i++)
        algorithm.alignment[i] = (uint16_t)blaslt_int(wish, attributes[i]);
    cublasLtMatmulHeuristicResult_t *result = &heuristicResultsArray[0];
    memset(result, 0, sizeof *result);
    memcpy(&result->algo, &algorithm, sizeof algorithm);
    result->workspaceSize = algorithm.workspace_bytes;
    result->state = CUBLAS_STATUS_SUCCESS;
    result->wavesCount = 1;
    *returnAlgoCount = 1;
    return CUBLAS_STATUS_SUCCESS;
}

/* The algorithm that is given or, where none is, one that the pointers and the workspace allow. */
static cublasStatus_t read_algorithm(const struct problem *p, const cublasLtMatmulAlgo_t *given,
                                     size_t workspace_bytes, struct algorithm *algorithm)
{
    if (!given) {
        *algorithm = choose(p, workspace_bytes);
        return CUBLAS_STATUS_SUCCESS;
    }
    memcpy(algorithm, given, sizeof *algorithm);
    if (algorithm->magic == MAGIC && algorithm->fingerprint == fingerprint(p))
        return CUBLAS_STATUS_SUCCESS;
    standin_complain(p->function, "the algorithm was not chosen for this problem");
    return CUBLAS_STATUS_INVALID_VALUE;
}

static bool is_aligned(const struct problem *p, const struct algorithm *algorithm,
                       const void *const operands[5])
{
    for (int i = 0; i < 5; i++)
        if (algorithm->alignment[i] && (uintptr_t)operands[i] % algorithm->alignment[i]) {
            standin_complain(p->function, "operand %c at %p breaks the promised alignment of %u",
                             "ABCDb"[i], operands[i], algorithm -> alignment[i]);
            return false;
        }
    return true;
}

static struct standin_matrix view(const struct blaslt_descriptor *layout, const void *data,
                                  bool transposed)
{
    const int64_t ld = blaslt_int(layout, CUBLASLT_MATRIX_LAYOUT_LD);
    const int64_t n_rows = transposed ? cols(layout) : rows(layout);
    const int64_t n_cols = transposed ? rows(layout) : cols(layout);
    return standin_column_major(data, type_of(layout), n_rows, n_cols, ld,
                                transposed != is_row_order(layout));
}

static enum standin_rounding rounding_of(const struct problem *p)
{
    switch (blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE)) {
    case CUBLAS_COMPUTE_32F_FAST_TF32:
        return STANDIN_ROUNDING_TF32;
    case CUBLAS_COMPUTE_32F_FAST_16BF:
        return STANDIN_ROUNDING_BF16;
    default:
        return STANDIN_ROUNDING_NONE;
    }
}

static struct standin_epilogue epilogue_of(const struct problem *p)
{
    struct standin_epilogue e = {};
    void *vector = blaslt_pointer(p->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
    e.bias = wants_bias(p->epilogue) ? vector : NULL;
    e.gradient = wants_gradient(p->epilogue) ? vector : NULL;
    e.bias_type = type_of(p->d);
    e.relu = p->epilogue & CUBLASLT_EPILOGUE_RELU;
    e.gradient_of_a = p->epilogue == CUBLASLT_EPILOGUE_BGRADA;
    e.gradient_of_b = p->epilogue == CUBLASLT_EPILOGUE_BGRADB;
    if (wants_mask(p->epilogue))
        e.mask = blaslt_pointer(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER);
    e.mask_ld = blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD);
    e.mask_is_out = e.relu;
    return e;
}

/* The vectors and bits of the epilogue, which the heuristic does not look at. */
static bool has_epilogue_memory(const struct problem *p, const struct standin_product *product)
{
    const struct standin_epilogue *e = &product->epilogue;
    const size_t size = standin_type_bytes(e->bias_type);
    const size_t length = (size_t)(e->gradient_of_b ? p->n : p->m);
    if (wants_bias(p->epilogue) || wants_gradient(p->epilogue)) {
        const void *vector = e->bias ? e->bias : e->gradient;
        if (!standin_in_device(p->function, "bias", vector, length * size, size))
            return false;
    }
    if (!wants_mask(p->epilogue))
        return true;
    if (e->mask_ld < p->m || e->mask_ld % 128) {
        standin_complain(p->function, "a mask of %lld bits a column", (long long)e->mask_ld);
        return false;
    }
    return standin_in_device(p->function, "mask", e->mask, (size_t)(e->mask_ld * p->n) / 8, 16);
}

static void *advance(const void *data, int64_t elements, cudaDataType type)
{
    return data ? (char *)const_cast<void *>(data) + elements * (int64_t)standin_type_bytes(type)
                : NULL;
}

static int64_t stride(const struct blaslt_descriptor *layout)
{
    return blaslt_int(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
}

/* The i-th product of the batch. */
static struct standin_product nth(const struct problem *p, const struct standin_product *first,
                                  int64_t i)
{
    struct standin_product product = *first;
    struct standin_epilogue *e = &product.epilogue;
    product.a.data = advance(first->a.data, i * stride(p->a), first->a.type);
    product.b.data = advance(first->b.data, i * stride(p->b), first->b.type);
    product.c.data = advance(first->c.data, i * stride(p->c), first->c.type);
    product.d.data = advance(first->d.data, i * stride(p->d), first->d.type);
    const int64_t bias = i * blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE);
    e->bias = advance(e->bias, bias, e->bias_type);
    e->gradient = advance(e->gradient, bias, e->bias_type);
    if (e->mask)
        e->mask = (char *)e->mask +
                  i * blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_BATCH_STRIDE) / 8;
    return product;
}

static cublasStatus_t enqueue(const struct problem *p, const struct standin_product *first,
                              void *workspace, size_t workspace_bytes, cudaStream_t stream)
{
    std::vector<struct standin_product> products;
    const int64_t count = blaslt_int(p->d, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
    for (int64_t i = 0; i < count; i++) {
        products.push_back(nth(p, first, i));
        if (!has_epilogue_memory(p, &products.back()))
            return CUBLAS_STATUS_INVALID_VALUE;
        if (!standin_product_in_device(&products.back()))
            return CUBLAS_STATUS_EXECUTION_FAILED;
    }
    standin_enqueue_products(stream, workspace, workspace_bytes, products);
    return CUBLAS_STATUS_SUCCESS;
}

static double scalar(const struct problem *p, const void *value)
{
    if (blaslt_int(p->desc, CUBLASLT_MATMUL_DESC_SCALE_TYPE) == CUDA_R_32I)
        return *static_cast<const int32_t *>(value);
    return *static_cast<const float *>(value);
}

/* In place only with one layout: the kernels read C and write D element by element. */
static bool is_same_place(const struct problem *p, const void *c, const void *d)
{
    if (c != d || p->c->attribute == p->d->attribute)
        return true;
    standin_report(p->function, "C and D are one place with two layouts");
    return false;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t lightHandle, cublasLtMatmulDesc_t computeDesc,
                              const void *alpha, const void *A, cublasLtMatrixLayout_t Adesc,
                              const void *B, cublasLtMatrixLayout_t Bdesc, const void *beta,
                              const void *C, cublasLtMatrixLayout_t Cdesc, void *D,
                              cublasLtMatrixLayout_t Ddesc, const cublasLtMatmulAlgo_t *algo,
                              void *workspace, size_t workspaceSizeInBytes, cudaStream_t stream)
{
    struct problem p = {};
    p.function = __func__;
    cublasStatus_t status = blaslt_enter(__func__, lightHandle);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    if (!alpha || !beta || !find_all(&p, computeDesc, Adesc, Bdesc, Cdesc, Ddesc))
        return CUBLAS_STATUS_INVALID_VALUE;
    struct algorithm algorithm = {};
    status = check(&p);
    if (status == CUBLAS_STATUS_SUCCESS)
        status = read_algorithm(&p, algo, workspaceSizeInBytes, &algorithm);
    if (status != CUBLAS_STATUS_SUCCESS)
        return status;
    const void *const operands[] = {A, B, C, D,
                                    blaslt_pointer(p.desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER)};
    if (algorithm.workspace_bytes > workspaceSizeInBytes || !is_aligned(&p, &algorithm, operands)) {
        standin_complain(__func__, "%zu bytes of workspace, the algorithm wants %llu",
                         workspaceSizeInBytes, (unsigned long long)algorithm.workspace_bytes);
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    if (!is_same_place(&p, C, D) ||
        !standin_in_device(__func__, "workspace", workspace, workspaceSizeInBytes, 256))
        return CUBLAS_STATUS_EXECUTION_FAILED;
    struct standin_product product = {};
    product.function = __func__;
    product.a = view(p.a, A, is_transposed(&p, CUBLASLT_MATMUL_DESC_TRANSA));
    product.b = view(p.b, B, is_transposed(&p, CUBLASLT_MATMUL_DESC_TRANSB));
    product.c = view(p.c, C, false);
    product.d = view(p.d, D, false);
    product.alpha = scalar(&p, alpha);
    product.beta = scalar(&p, beta);
    product.rounding = rounding_of(&p);
    product.epilogue = epilogue_of(&p);
    return enqueue(&p, &product, workspace, algorithm.workspace_bytes, stream);
}
